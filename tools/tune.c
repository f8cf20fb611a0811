/* SPDX-License-Identifier: Apache-2.0 */
/* norn tune: measures which parameters of the kernels suit a device, and keeps that for every later run. */
#include "bench_parts.h"
#include "files.h"
#include "output.h"
#include "pick.h"
#include "sizes.h"
#include "verbs.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    bool json;
    const char *device, *shapes, *budget, *implementations;
    text_list dims;
} tune_options;

typedef struct {
    char *line;
    double weight; /* share of the model's time; 1 for shapes */
    bool weights;  /* inputs from the second on are constants */
} subject;

typedef struct {
    subject *v;
    size_t n;
} subjects;

static void free_subjects(subjects *s) {
    for (size_t i = 0; i < s->n; i++)
        free(s->v[i].line);
    free(s->v);
}

/* Takes line over; equal ones are one. */
static bool add_subject(subjects *s, char *line, double weight, bool weights) {
    if (!line)
        return false;
    for (size_t i = 0; i < s->n; i++)
        if (!strcmp(s->v[i].line, line) && s->v[i].weights == weights) {
            s->v[i].weight += weight;
            free(line);
            return true;
        }
    subject *v = realloc(s->v, (s->n + 1) * sizeof *v);
    if (!v) {
        free(line);
        return false;
    }
    s->v = v;
    s->v[s->n++] = (subject){line, weight, weights};
    return true;
}

/* Operators that mostly are layers, whose weights are packed once. */
static bool is_layer(const char *line) {
    static const char *const layers[] = {"Conv<",          "Conv(", "ConvTranspose<",
                                         "ConvTranspose(", "Gemm<", "Gemm("};
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
        if (!strncmp(line, layers[i], strlen(layers[i])))
            return true;
    return false;
}

/* "60", "60s", "2m". */
static bool seconds_of(const char *text, double *out) {
    char *end;
    *out = strtod(text, &end);
    if (!strcmp(end, "m"))
        *out *= 60;
    return end != text && (!*end || !strcmp(end, "s") || !strcmp(end, "m")) && *out > 0 && *out < 1e7;
}

static int from_file(const char *path, subjects *out) {
    char *text = file_text(path, 1 << 20);
    if (!text)
        return fail_text(NORN_IO, "--shapes %s: cannot read: %s", path, strerror(errno));
    int code = 0, line = 1;
    for (char *l = text; *l && !code; line++) {
        size_t n = strcspn(l, "\r\n");
        char *next = l + n + strspn(l + n, "\r");
        next += *next == '\n';
        l[n] = 0;
        l += strspn(l, " \t");
        norn_status st = *l && *l != '#' ? norn_bench_op_check(l) : NORN_OK;
        if (st != NORN_OK)
            code = fail_text(st, "--shapes %s: line %d: %s", path, line, norn_error());
        else if (*l && *l != '#' && !add_subject(out, text_copy(l), 1, is_layer(l)))
            code = out_of_memory();
        l = next;
    }
    free(text);
    if (!code && !out->n)
        code = fail_text(NORN_ARG, "--shapes %s: no operators (wanted a line each)", path);
    return code;
}

static int by_weight(const void *a, const void *b) {
    const subject *x = a, *y = b;
    return x->weight > y->weight ? -1 : x->weight < y->weight ? 1 : strcmp(x->line, y->line);
}

/* The operators of a model that run as kernels of their own, the slowest by the forecast first. */
static int from_model(const char *path, const tune_options *o, const norn_session *s, subjects *out) {
    norn_model *m;
    norn_forecast *f = NULL;
    norn_status st = norn_model_load(path, NULL, &m);
    if (st != NORN_OK)
        return fail(st);
    const norn_forecast_options fo = {.n_dims = o->dims.n, .dims = o->dims.v, .no_batch_search = true};
    int code = sizes_check(&o->dims, norn_model_graph(m));
    if (!code)
        st = norn_forecast_new(m, norn_context_device(norn_session_context(s, 0)), NULL, &fo, &f);
    if (st != NORN_OK)
        code = fail_text(st, "%s: %s", path, norn_error());
    for (size_t i = 0; !code && i < norn_forecast_count(f); i++) {
        const norn_forecast_node *n = norn_forecast_at(f, i);
        bool kernel =
            n->runs == NORN_RUNS_NATIVE && *n->implementation && strcmp(n->implementation, "generated") != 0;
        if (kernel && n->flops > 1e5 && !add_subject(out, text_copy(n->line), n->ms, n->weights))
            code = out_of_memory();
    }
    if (!code && out->n)
        qsort(out->v, out->n, sizeof *out->v, by_weight);
    norn_forecast_free(f);
    norn_model_free(m);
    return code;
}

static int from_shapes(subjects *out) {
    const bench_shape *const lists[] = {gemm_shapes, conv_shapes};
    for (int i = 0; i < 2; i++)
        for (const bench_shape *s = lists[i]; s->name; s++)
            if (!add_subject(out, text_copy(s->line), 1, is_layer(s->line)))
                return out_of_memory();
    return 0;
}

static void report(const norn_tune_result *r, cJSON *list) {
    char before[32], after[32];
    if (list) {
        cJSON *o = json_object(list, NULL);
        json_text(o, "line", r->line);
        json_number(o, "before_ms", r->before_ms);
        json_number(o, "after_ms", r->after_ms);
        json_number(o, "parameters", r->parameters);
        json_number(o, "tried", r->tried);
        json_number(o, "wrong", r->wrong);
        json_text(o, "records", *r->records ? r->records : NULL);
        return;
    }
    printf("%s\n  ", r->line);
    if (!r->parameters)
        printf("has nothing to tune here\n");
    else if (*r->records)
        printf("%s before, %s after (%s)\n", time_text(r->before_ms * 1e-3, before),
               time_text(r->after_ms * 1e-3, after), r->records);
    else if (!r->tried && !r->wrong)
        printf("%s stays: there was no time to try anything else\n", time_text(r->before_ms * 1e-3, before));
    else
        printf("%s stays: nothing of %d tried is faster\n", time_text(r->before_ms * 1e-3, before), r->tried);
    if (r->wrong)
        printf("  %d gave WRONG results and were passed over\n", r->wrong);
    fflush(stdout);
}

static int tune_operators(const subjects *list, const tune_options *o, norn_session *s, double budget,
                          cJSON *results, bool *any) {
    double start = now_seconds();
    size_t done = 0;
    for (; done < list->n; done++) {
        double left = budget - (now_seconds() - start), share = left / (double)(list->n - done) * 2;
        const norn_tune_options to = {.seconds = share < left ? share : left, /* the first ones matter most */
                                      .implementations = o->implementations,
                                      .weights = list->v[done].weights};
        norn_tune_result r;
        if (left <= 0)
            break;
        progress("%zu/%zu %s", done + 1, list->n, list->v[done].line);
        norn_status st = norn_tune_op(s, list->v[done].line, &to, &r);
        progress_clear();
        if (st != NORN_OK)
            return fail(st);
        report(&r, results);
        *any |= *r.records != 0;
    }
    if (done < list->n)
        note("the time is up: %zu of %zu operators were not looked at", list->n - done, list->n);
    return 0;
}

/* CLBlast's parameters, of each element type that products have. */
static int tune_blas(const subjects *list, norn_session *s, double budget, cJSON *results, bool *any) {
    static const norn_dtype types[] = {NORN_F32, NORN_F64};
    const char **lines = calloc(list->n + 1, sizeof *lines);
    int code = lines ? 0 : out_of_memory();
    for (size_t i = 0; lines && i < list->n; i++)
        lines[i] = list->v[i].line;
    for (int i = 0; i < 2 && !code; i++) {
        const norn_tune_options to = {.seconds = budget};
        norn_tune_result r;
        progress("CLBlast");
        norn_status st = norn_tune_blas(s, list->n, lines, types[i], &to, &r);
        progress_clear();
        code = st == NORN_OK ? 0 : fail(st);
        if (code || !r.parameters)
            continue;
        report(&r, results);
        *any |= *r.records != 0;
    }
    free(lines);
    return code;
}

/* Where CLBlast takes part: on GPUs, and where it is asked for. */
static bool with_blas(const tune_options *o, const norn_session *s) {
    return norn_device_kind(norn_context_device(norn_session_context(s, 0))) == NORN_DEVICE_GPU ||
           (o->implementations && strstr(o->implementations, "clblast"));
}

static int tune(const subjects *list, const tune_options *o, norn_session *s, double budget, cJSON *j) {
    cJSON *results = j ? json_array(j, "results") : NULL;
    bool any = false, better = false, blas = list->n && with_blas(o, s);
    int code = tune_operators(list, o, s, blas ? budget * 0.5 : budget, results, &any);
    if (!code && blas)
        code = tune_blas(list, s, budget * 0.4, results, &better);
    if (!code && better && !o->implementations) /* then it may be the choice for more of them */
        code = tune_operators(list, o, s, budget * 0.1, results, &any);
    char *path = NULL; /* what was found before a failure is kept */
    norn_status st = any || better ? norn_tune_save(&path) : NORN_OK;
    if (st != NORN_OK && !code)
        code = fail(st);
    if (!code && j)
        json_text(j, "file", path);
    else if (!j && path)
        printf("saved %s\n", path);
    norn_text_free(path);
    return code;
}

static int run(const void *options, int n, char *const *args) {
    const tune_options *o = options;
    double budget = 60;
    subjects list = {0};
    norn_session *s = NULL;
    picked p;
    if (o->budget && !seconds_of(o->budget, &budget))
        return usage_error("--budget %s: no time (wanted one as 60s or 2m)", o->budget);
    if (n && o->shapes)
        return usage_error("got a model and --shapes (wanted one of them)");
    if (o->dims.n && !n)
        return usage_error("--dim: only for a model");
    int code = pick_devices(o->device, false, &p);
    norn_status st = code ? NORN_OK : open_picked(&p, 0, &s);
    if (st != NORN_OK)
        code = fail(st);
    if (!code && norn_device_kind(norn_context_device(norn_session_context(s, 0))) == NORN_DEVICE_HOST)
        code = usage_error("the host reference has nothing to tune (wanted an OpenCL device)");
    if (!code)
        code = o->shapes ? from_file(o->shapes, &list)
               : n       ? from_model(args[0], o, s, &list)
                         : from_shapes(&list);
    cJSON *j = o->json && !code ? cJSON_CreateObject() : NULL;
    if (j)
        json_text(j, "device", session_device(s));
    else if (!code)
        printf("%zu operators on %s\n", list.n, session_device(s));
    if (!code)
        code = tune(&list, o, s, budget, j);
    free_subjects(&list);
    norn_session_close(s);
    if (j && !code)
        return json_print(j, 0);
    cJSON_Delete(j);
    return code;
}

static const option options[] = {
    {"shapes", "FILE", OPT_TEXT, offsetof(tune_options, shapes),
     "operators, a line each, as 'MatMul(float[64,64], float[64,64])'", NULL, 0},
    {"budget", "TIME", OPT_TEXT, offsetof(tune_options, budget), "how long: 60s (as when not given), 5m",
     NULL, 0},
    {"implementations", "LIST", OPT_TEXT, offsetof(tune_options, implementations),
     "which kernels: a name, or OPERATOR=NAME with commas between; else those that norn takes", NULL, 0},
    OPT_DEVICE(tune_options),
    OPT_DIM(tune_options),
    OPT_JSON(tune_options),
    OPT_END,
};

const verb verb_tune = {
    .name = "tune",
    .args = "[MODEL]",
    .summary = "Finds the kernels' best parameters for a device, for a model or for given operators.",
    .details =
        "Every value that an implementation offers is tried on random data; what gives a wrong result "
        "is never kept. Faster "
        "ones are kept in the folder of the program cache (tune.txt there), and every later run uses "
        "them. Weights of a model and of Conv, ConvTranspose and Gemm are constants, as in a network "
        "that is run. On GPUs, and with --implementations clblast, sets of CLBlast's own parameters are "
        "searched too. Without a model or --shapes the products and convolutions of 'norn bench gemm' "
        "and 'conv' are tuned.",
    .options = options,
    .bytes = sizeof(tune_options),
    .least = 0,
    .most = 1,
    .run = run,
};
