/* SPDX-License-Identifier: Apache-2.0 */
/* Tuning of CLBlast: sets of parameters of its kernels for products, through its override call. Known good sets first, then
 * random steps from the best. A set counts when it is right on the products given and on small ones with odd sizes and every
 * transposition, since it is for all products of its type. */
#include "backend/blas.h"
#include "bench/trial.h"
#include "ops/tuning.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { PRODUCTS = 4, CHECKS = 5, ALWAYS = 0, NEVER = 1 << 16 }; /* the size from which Xgemm is taken */

typedef struct {
    norni_trial *trial, *reference;
    double before_ms, ms, size; /* ms: of the best so far; size: cube root of M N K */
} product;

typedef struct {
    norn_session *session, *host;
    norn_dtype dtype;
    product p[PRODUCTS + CHECKS]; /* first those that count, then those that are checked only */
    int n, n_all;
    int values[NORNI_BLAS_KERNELS][NORNI_BLAS_PARAMETERS]; /* the best, where `found` */
    bool found[NORNI_BLAS_KERNELS];
    uint64_t random;
    double each_s, until_ms;
    norn_tune_result *out;
} search;

/* ---- Products. */
static double product_size(const norn_plan *p, norn_dtype t) {
    for (size_t i = 0; i < p->builder.steps.n; i++) {
        const norni_step *s = p->builder.steps.v[i];
        if (s->kind == NORNI_STEP_GEMM && s->gemm.dtype == t)
            return cbrt((double)s->gemm.m * (double)s->gemm.n * (double)s->gemm.k);
    }
    return 0;
}

static void free_product(product *p) {
    if (p->reference)
        norni_trial_end(p->reference);
    if (p->trial)
        norni_trial_free(p->trial);
    norni_free(p->trial);
    norni_free(p->reference);
    *p = (product){0};
}

/* Leaves p->trial NULL where CLBlast does not run the line. */
static norn_status make_product(search *s, const char *line, product *p) {
    p->trial = norni_alloc(sizeof *p->trial);
    p->reference = norni_alloc(sizeof *p->reference);
    if (!p->trial || !p->reference)
        return norni_nomem();
    norn_status st = norni_trial_make(p->trial, s->session, line, "clblast", false);
    if (st == NORN_OK)
        st = norni_trial_start(p->trial);
    if (st == NORN_OK)
        p->size = product_size(norn_executable_plan(p->trial->exe), s->dtype);
    if (st == NORN_OK && p->size > 0)
        return norni_trial_reference(p->trial, s->host, p->reference);
    free_product(p);
    return st == NORN_UNSUPPORTED || st == NORN_ARG ? NORN_OK : st; /* no implementation of that name */
}

static norn_status make_products(search *s, size_t n, const char *const *lines) {
    for (size_t i = 0; i < n && s->n < PRODUCTS; i++) {
        NORNI_TRY(norni_prefix(make_product(s, lines[i], &s->p[s->n]), "%s", lines[i]));
        s->n += s->p[s->n].trial != NULL;
    }
    s->n_all = s->n;
    return NORN_OK;
}

/* Small products with odd sizes, in every form of the operands and in a batch; made for the first set that is faster. */
static bool make_checks(search *s) {
    static const char *const checks[CHECKS] = {
        "Gemm(%s[65,33], %s[33,97])", "Gemm<transA=1>(%s[33,65], %s[33,97])",
        "Gemm<transB=1>(%s[65,33], %s[97,33])", "Gemm<transA=1, transB=1>(%s[31,130], %s[7,31])",
        "MatMul(%s[3,18,37], %s[3,37,21])"};
    while (s->n_all < s->n + CHECKS) {
        char line[128];
        const char *t = norni_dtype_name(s->dtype);
        product *p = &s->p[s->n_all];
        snprintf(line, sizeof line, checks[s->n_all - s->n], t, t);
        if (make_product(s, line, p) != NORN_OK || !p->trial) {
            free_product(p);
            return false;
        }
        s->n_all++;
    }
    return true;
}

/* ---- One set. */
static bool all_right(search *s) {
    if (!make_checks(s))
        return false;
    for (int i = s->n_all - 1; i >= 0; i--) /* the small ones first */
        if (norni_trial_again(s->p[i].trial) != NORN_OK ||
            !norni_trial_agrees(s->p[i].trial, s->p[i].reference)) {
            s->out->wrong += s->p[i].trial->out[0].tensor != NULL;
            return false;
        }
    return true;
}

/* What the set does for the products that count: the geometric mean of new time by best; infinite when it is not right. */
static norn_status measure(search *s, double *share, double ms[PRODUCTS]) {
    double sum = 0;
    *share = INFINITY;
    s->out->tried++;
    for (int i = 0; i < s->n; i++) { /* one run, to pass over what is far off, or does not compile */
        double start = norni_bench_now_ms();
        if (norni_trial_again(s->p[i].trial) != NORN_OK)
            return NORN_OK;
        start = norni_bench_now_ms();
        NORNI_TRY(norni_executable_rerun(s->p[i].trial->exe));
        NORNI_TRY(norn_context_finish(s->session->contexts[0]));
        if (norni_bench_now_ms() - start > 4 * s->p[i].ms)
            return NORN_OK;
    }
    for (int i = 0; i < s->n; i++) {
        NORNI_TRY(norni_trial_time(s->p[i].trial, s->each_s, &ms[i]));
        sum += log(ms[i] / s->p[i].ms);
    }
    if (exp(sum / s->n) < 1 && !all_right(s))
        return NORN_OK;
    *share = exp(sum / s->n);
    return NORN_OK;
}

/* Sets values of one kernel, and keeps them where they are better by more than the noise. */
static norn_status try_values(search *s, int kernel, const int *values, bool *better) {
    double share, ms[PRODUCTS];
    norn_context *ctx = s->session->contexts[0];
    *better = false;
    NORNI_TRY(norni_blas_override(ctx, s->dtype, kernel, values));
    NORNI_TRY(measure(s, &share, ms));
    *better = share < 0.97;
    if (*better) {
        memcpy(s->values[kernel], values, sizeof s->values[kernel]);
        s->found[kernel] = true;
        for (int i = 0; i < s->n; i++)
            s->p[i].ms = ms[i];
    }
    return s->found[kernel] && !*better ? norni_blas_override(ctx, s->dtype, kernel, s->values[kernel])
                                        : NORN_OK;
}

/* ---- Sets to try. */
static uint64_t draw(search *s, uint64_t below) {
    s->random = s->random * 6364136223846793005u + 1442695040888963407u;
    return (s->random >> 33) % below;
}

/* A step from the best set: some parameters doubled, halved or switched. */
static bool next_values(search *s, int kernel, const int *from, int *values) {
    enum { TRIES = 400 };
    const norn_device *d = norn_context_device(s->session->contexts[0]);
    const norni_blas_kernel *k = &norni_blas_kernels[kernel];
    for (int i = 0; i < TRIES; i++) {
        memcpy(values, from, sizeof(int) * NORNI_BLAS_PARAMETERS);
        for (uint64_t c = 1 + draw(s, 4); c > 0; c--) {
            int *v = &values[draw(s, (uint64_t)k->n)];
            if (k->p[v - values].kind == NORNI_BLAS_FLAG)
                *v = !*v;
            else
                *v = draw(s, 2) ? *v * 2 : *v / 2;
        }
        if (memcmp(values, from, sizeof(int) * NORNI_BLAS_PARAMETERS) != 0 &&
            !norni_blas_illegal(d, s->dtype, kernel, values))
            return true;
    }
    return false;
}

/* Where the search begins: tiles with and without local memory, in the order of the kernels' parameters. */
typedef struct {
    int kernel, v[NORNI_BLAS_PARAMETERS];
} seed;
static const seed seeds[] = {
    {NORNI_BLAS_XGEMM, {0, 1, 16, 2, 8, 8, 32, 8, 8, 32, 0, 0, 0, 0, 4, 4}},
    {NORNI_BLAS_XGEMM, {0, 1, 16, 2, 16, 16, 64, 16, 16, 64, 1, 1, 0, 0, 4, 4}},
    {NORNI_BLAS_XGEMM, {0, 1, 32, 2, 8, 8, 64, 8, 8, 64, 1, 1, 0, 0, 4, 4}},
    {NORNI_BLAS_XGEMM, {0, 1, 16, 2, 16, 16, 128, 16, 16, 128, 1, 1, 1, 0, 4, 4}},
    {NORNI_BLAS_XGEMM, {0, 1, 16, 2, 8, 8, 64, 8, 8, 64, 0, 0, 0, 0, 4, 4}},
    {NORNI_BLAS_XGEMM, {1, 4, 1, 1, 8, 8, 32, 8, 8, 32, 0, 0, 0, 0, 4, 4}},
    {NORNI_BLAS_XGEMM, {1, 2, 1, 1, 16, 16, 64, 4, 4, 64, 0, 0, 0, 0, 1, 1}},
    {NORNI_BLAS_DIRECT, {2, 8, 8, 8, 8, 1, 1, 2, 2, 32}},
    {NORNI_BLAS_DIRECT, {2, 16, 16, 16, 16, 1, 1, 2, 2, 32}},
    {NORNI_BLAS_DIRECT, {8, 16, 16, 16, 16, 1, 1, 4, 4, 64}},
    {NORNI_BLAS_DIRECT, {2, 8, 8, 8, 8, 1, 1, 1, 1, 8}},
    {NORNI_BLAS_DIRECT, {2, 8, 8, 8, 8, 0, 0, 2, 2, 64}},
    {NORNI_BLAS_COPY, {8, 8, 4, 1}},
    {NORNI_BLAS_COPY, {16, 8, 2, 1}},
    {NORNI_BLAS_COPY + 1, {16, 8, 1, 1}},
    {NORNI_BLAS_COPY + 1, {8, 8, 4, 1}},
    {NORNI_BLAS_COPY + 2, {8, 0, 0, 4}},
    {NORNI_BLAS_COPY + 2, {16, 1, 1, 2}},
    {NORNI_BLAS_COPY + 3, {0, 8, 2}},
    {NORNI_BLAS_COPY + 3, {1, 16, 1}},
};

static bool time_left(const search *s, double until_ms) {
    return norni_bench_now_ms() < until_ms && norni_bench_now_ms() < s->until_ms;
}

/* The seeds of a kernel, then steps from the best, until the time is up. */
static norn_status search_kernel(search *s, int kernel, double seconds) {
    const norn_device *d = norn_context_device(s->session->contexts[0]);
    double until = norni_bench_now_ms() + seconds * 1e3;
    int values[NORNI_BLAS_PARAMETERS];
    const seed *first = NULL;
    bool better;
    for (size_t i = 0; i < sizeof seeds / sizeof *seeds && time_left(s, until); i++)
        if (seeds[i].kernel == kernel && !norni_blas_illegal(d, s->dtype, kernel, seeds[i].v)) {
            first = first ? first : &seeds[i];
            NORNI_TRY(try_values(s, kernel, seeds[i].v, &better));
        }
    while (first && time_left(s, until)) {
        const int *from = s->found[kernel] ? s->values[kernel] : first->v;
        if (!next_values(s, kernel, from, values))
            break;
        NORNI_TRY(try_values(s, kernel, values, &better));
    }
    return NORN_OK;
}

static norn_status set_from(search *s, int size) {
    return norni_blas_override(s->session->contexts[0], s->dtype, NORNI_BLAS_ROUTINE, &size);
}

/* The best times with Xgemm for all products, or for none, beginning with what CLBlast itself does then. A kernel for which
 * nothing better is found is left with what was tried last, so times are those that were measured when they were the best. */
static norn_status search_form(search *s, int from, double seconds, double ms[PRODUCTS]) {
    NORNI_TRY(set_from(s, from));
    for (int i = 0; i < s->n; i++)
        NORNI_TRY(norni_trial_time(s->p[i].trial, 2 * s->each_s, &s->p[i].ms));
    NORNI_TRY(search_kernel(s, from == ALWAYS ? NORNI_BLAS_XGEMM : NORNI_BLAS_DIRECT,
                            seconds * (from == ALWAYS ? 0.7 : 1)));
    for (int k = NORNI_BLAS_COPY; k < NORNI_BLAS_KERNELS && from == ALWAYS; k++)
        NORNI_TRY(search_kernel(s, k, seconds * 0.3 / (NORNI_BLAS_KERNELS - NORNI_BLAS_COPY)));
    for (int i = 0; i < s->n; i++)
        ms[i] = s->p[i].ms;
    return NORN_OK;
}

/* The size from which Xgemm serves the products best: that of one of them, or above all of them. */
static int best_from(const search *s, const double *indirect, const double *direct) {
    double best = INFINITY, largest = 0;
    int from = ALWAYS;
    for (int i = 0; i < s->n; i++)
        largest = fmax(largest, s->p[i].size);
    for (int cut = 0; cut <= s->n; cut++) {
        double size = cut < s->n ? floor(s->p[cut].size) : floor(largest) + 1, sum = 0;
        for (int i = 0; i < s->n; i++)
            sum += log(s->p[i].size < size ? direct[i] : indirect[i]);
        if (sum < best && size <= NEVER) {
            best = sum;
            from = (int)size;
        }
    }
    return from;
}

/* Records what was found where, all together, it is faster than what CLBlast did before. */
static norn_status keep(search *s, int from, const double *indirect, const double *direct) {
    const norn_device *d = norn_context_device(s->session->contexts[0]);
    double after = 0, sum = 0;
    for (int i = 0; i < s->n; i++) {
        double ms = s->p[i].size < from ? direct[i] : indirect[i];
        after += ms;
        sum += log(ms / s->p[i].before_ms);
    }
    if (!(exp(sum / s->n) < 0.95) || !all_right(s))
        return NORN_OK;
    s->out->after_ms = after;
    for (int k = 0; k < NORNI_BLAS_KERNELS; k++) {
        char key[96], text[256];
        if (!s->found[k])
            continue;
        norni_tuning_blas_key(s->dtype, k, key, sizeof key);
        norni_blas_values_print(k, s->values[k], text, sizeof text);
        NORNI_TRY(norni_tuning_put(d, key, text));
        size_t n = strlen(s->out->records);
        snprintf(s->out->records + n, sizeof s->out->records - n, "%s%s: %s", n ? "; " : "",
                 norni_blas_kernels[k].name, text);
    }
    return NORN_OK;
}

static norn_status tune(search *s, double seconds) {
    double indirect[PRODUCTS], direct[PRODUCTS];
    for (int i = 0; i < s->n; i++) {
        NORNI_TRY(norni_trial_time(s->p[i].trial, 3 * s->each_s, &s->p[i].before_ms));
        s->out->before_ms += s->p[i].before_ms;
    }
    s->out->after_ms = s->out->before_ms;
    s->until_ms = norni_bench_now_ms() + seconds * 1e3;
    NORNI_TRY(search_form(s, ALWAYS, seconds * 0.6, indirect));
    NORNI_TRY(search_form(s, NEVER, seconds * 0.4, direct));
    int from = best_from(s, indirect, direct);
    NORNI_TRY(set_from(s, from));
    s->values[NORNI_BLAS_ROUTINE][0] = from;
    s->found[NORNI_BLAS_ROUTINE] = true;
    return keep(s, from, indirect, direct);
}

norn_status norn_tune_blas(norn_session *session, size_t n, const char *const *lines, norn_dtype t,
                           const norn_tune_options *options, norn_tune_result *out) {
    search *s = norni_alloc(sizeof *s);
    *out = (norn_tune_result){0};
    if (!s)
        return norni_nomem();
    *s = (search){.session = session, .dtype = t, .random = 1, .each_s = 0.05, .out = out};
    norn_status st =
        t == NORN_F32 || t == NORN_F64
            ? NORN_OK
            : norni_fail(NORN_DTYPE, "CLBlast: %s (wanted float or double)", norni_dtype_name(t));
    bool able = st == NORN_OK && !norni_context_is_host(session->contexts[0]) &&
                (t == NORN_F32 || norn_context_device(session->contexts[0])->fp64);
    if (able)
        st = norn_session_open("host", &s->host);
    if (able && st == NORN_OK)
        st = make_products(s, n, lines);
    snprintf(out->line, sizeof out->line, "%s for %s, %d products", norni_blas_name(), norni_dtype_name(t),
             s->n);
    for (int k = 0; k < NORNI_BLAS_KERNELS && s->n; k++)
        out->parameters += norni_blas_kernels[k].n;
    if (able && st == NORN_OK && s->n)
        st = tune(s, options && options->seconds > 0 ? options->seconds : 60);
    for (int i = 0; i < PRODUCTS + CHECKS; i++)
        free_product(&s->p[i]);
    norn_session_close(s->host);
    norni_free(s);
    return norni_prefix(st, "CLBlast");
}
