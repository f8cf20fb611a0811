/* SPDX-License-Identifier: Apache-2.0 */
/* norn grad --check: derivatives against central differences of step h. In double two steps, h and h/2, make one estimate
 * whose error falls with h^4 (Richardson). What is differenced is the formula itself, for second derivatives its gradient. */
#include "formula.h"
#include "grad_parts.h"
#include "output.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { POINTS = 5 };

typedef struct {
    norn_session *s;
    norn_executable *of; /* what is differenced, and the derivative */
    const norn_graph *base, *d;
    norn_executable *derivative;
    norn_feed *feeds; /* of d, whose inputs are those of base and directions */
    size_t n_feeds;
    bool single;
    what w;
    const norn_tensor *u;
} checker;

static norn_status run_flat(const checker *c, norn_executable *e, const norn_graph *g, double **out,
                            size_t *n) {
    return formula_flat(e, g, c->n_feeds, c->feeds, out, n);
}

static norn_tensor *fed(const checker *c, const char *prefix, const char *name) {
    char full[256];
    snprintf(full, sizeof full, "%s%s", prefix, name);
    for (size_t i = 0; i < c->n_feeds; i++)
        if (!strcmp(c->feeds[i].name, full))
            return (norn_tensor *)c->feeds[i].tensor;
    return NULL;
}

/* A move of the point: one element of one variable, or all along the directions. */
typedef struct {
    size_t n;
    const char *const *x;
    norn_tensor *t; /* NULL: along v_X */
    int64_t at;
} move;

static void shift(const checker *c, const move *m, double h) {
    if (m->t) {
        norn_tensor_set(m->t, m->at, norn_tensor_get(m->t, m->at) + h);
        return;
    }
    for (size_t i = 0; i < m->n; i++) {
        norn_tensor *t = fed(c, "", m->x[i]), *v = fed(c, "v_", m->x[i]);
        for (int64_t k = 0; t && v && k < norn_tensor_elems(t); k++)
            norn_tensor_set(t, k, norn_tensor_get(t, k) + h * norn_tensor_get(v, k));
    }
}

/* Central difference with step h: *out gets n numbers. */
static norn_status difference(const checker *c, const move *m, double h, double **out, size_t *n) {
    double *a = NULL, *b = NULL;
    *out = NULL;
    shift(c, m, h);
    norn_status s = run_flat(c, c->of, c->base, &a, n);
    shift(c, m, -2 * h);
    if (s == NORN_OK)
        s = run_flat(c, c->of, c->base, &b, n);
    shift(c, m, h);
    for (size_t i = 0; i < *n && s == NORN_OK; i++)
        a[i] = (a[i] - b[i]) / (2 * h);
    free(b);
    if (s == NORN_OK)
        *out = a;
    else
        free(a);
    return s;
}

static norn_status estimate(const checker *c, const move *m, double **out, size_t *n) {
    double *fine = NULL, h = c->single ? 1e-2 : 1e-3;
    norn_status s = difference(c, m, h, out, n);
    if (s == NORN_OK)
        s = difference(c, m, h / 2, &fine, n);
    for (size_t i = 0; i < *n && s == NORN_OK; i++)
        (*out)[i] = (4 * fine[i] - (*out)[i]) / 3;
    if (s != NORN_OK) {
        free(*out);
        *out = NULL;
    }
    free(fine);
    return s;
}

/* Where in the derivative's numbers those of element `col` of all (over all variables) stand: the derivative has an output for
 * each variable (or pair), the base one for each of its own outputs. */
typedef struct {
    double worst, at_got, at_want;
    size_t count;
} report;

static void compare(report *r, double got, double want) {
    double e = fabs(got - want) / fmax(1, fmax(fabs(got), fabs(want)));
    if (isnan(got) && isnan(want))
        e = 0;
    if (!(e <= r->worst)) {
        r->worst = isnan(e) ? (double)INFINITY : e;
        r->at_got = got;
        r->at_want = want;
    }
    r->count++;
}

static norn_status along_direction(const checker *c, size_t n, const char *const *x, const double *d,
                                   size_t n_d, report *r) {
    double *e = NULL;
    size_t count;
    norn_status s = estimate(c, &(move){.n = n, .x = x}, &e, &count);
    for (size_t i = 0; i < n_d && s == NORN_OK; i++)
        compare(r, d[i], i < count ? e[i] : (double)NAN);
    free(e);
    return s;
}

/* Element by element. The numbers of the derivative: for each base output, for each variable, [base elements, elements of it];
 * all scalars: one matrix [base elements, variables], which is the same order when every variable has one element and all
 * outputs of the base one. */
static norn_status by_element(const checker *c, size_t n, const char *const *x, const double *d, size_t n_d,
                              report *r) {
    size_t outputs = norn_graph_output_count(c->base), *rows = calloc(outputs + 1, sizeof *rows), total = 0;
    double *e = NULL;
    size_t count = 0, column = 0, width = 0;
    norn_status s = rows ? run_flat(c, c->of, c->base, &e, &count) : NORN_NOMEM;
    bool vjp = c->w == WHAT_VJP, scalars = true;
    free(e);
    for (size_t k = 0; k < n; k++) {
        width += (size_t)norn_tensor_elems(fed(c, "", x[k]));
        scalars = scalars && norn_tensor_rank(fed(c, "", x[k])) == 0;
    }
    for (size_t i = 0; i < outputs; i++) { /* the sizes of gradients are those of their variables */
        rows[i] = outputs == 1 ? count : (size_t)norn_tensor_elems(fed(c, "", x[i]));
        total += rows[i];
    }
    if (s == NORN_OK && (vjp ? width : total * width) != n_d)
        s = NORN_INTERNAL;
    for (size_t k = 0; k < n && s == NORN_OK; k++) {
        norn_tensor *t = fed(c, "", x[k]);
        size_t size = (size_t)norn_tensor_elems(t);
        for (size_t j = 0; j < size && s == NORN_OK; j++, column++) {
            s = estimate(c, &(move){.t = t, .at = (int64_t)j}, &e, &count);
            double sum = 0;
            size_t first = 0, row = 0;
            for (size_t i = 0; i < outputs && s == NORN_OK; i++) {
                size_t before = 0;
                for (size_t q = 0; q < k; q++)
                    before += rows[i] * (size_t)norn_tensor_elems(fed(c, "", x[q]));
                for (size_t p = 0; p < rows[i]; p++, row++) {
                    if (vjp)
                        sum += e[row] * norn_tensor_get(c->u, (int64_t)row);
                    else
                        compare(r, d[scalars ? row * width + column : first + before + p * size + j], e[row]);
                }
                first += rows[i] * width;
            }
            if (vjp && s == NORN_OK)
                compare(r, d[column], sum);
            free(e);
            e = NULL;
        }
    }
    free(rows);
    return s;
}

/* ---- Points. */
static double uniform(uint64_t *state) { /* xorshift64*; between 0 and 1 */
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (double)((*state * 0x2545F4914F6CDD1DULL) >> 11) / 9007199254740992.0;
}

static norn_status random_feeds(checker *c, uint64_t *state) {
    c->n_feeds = 0;
    for (size_t i = 0; i < norn_graph_input_count(c->d); i++) {
        const norn_value *v = norn_graph_input_at(c->d, i);
        int64_t dims[NORN_MAX_RANK];
        norn_tensor *t;
        for (int k = 0; k < norn_value_rank(v); k++)
            dims[k] = norn_value_dim(v, k) < 0 ? 3 : norn_value_dim(v, k);
        norn_status s = norn_tensor_new(NULL, norn_value_dtype(v), norn_value_rank(v), dims, NULL, &t);
        if (s != NORN_OK)
            return s;
        for (int64_t k = 0; k < norn_tensor_elems(t); k++)
            norn_tensor_set(t, k, 0.25 + 0.6 * uniform(state));
        c->feeds[c->n_feeds++] = (norn_feed){norn_value_name(v), t};
    }
    return NORN_OK;
}

static norn_status check_here(checker *c, size_t n, const char *const *x, report *r) {
    double *d = NULL;
    size_t n_d;
    c->u = fed(c, "", "u");
    norn_status s = run_flat(c, c->derivative, c->d, &d, &n_d);
    if (s == NORN_OK)
        s = c->w == WHAT_JVP || c->w == WHAT_HVP ? along_direction(c, n, x, d, n_d, r)
                                                 : by_element(c, n, x, d, n_d, r);
    free(d);
    return s;
}

/* All floating-point inputs, where no names are given. */
static const char **all_inputs(const norn_graph *g, size_t *n) {
    const char **names = calloc(norn_graph_input_count(g) + 1, sizeof *names);
    *n = 0;
    for (size_t i = 0; names && i < norn_graph_input_count(g); i++) {
        norn_dtype t = norn_value_dtype(norn_graph_input_at(g, i));
        if (t == NORN_F64 || t == NORN_F32)
            names[(*n)++] = norn_value_name(norn_graph_input_at(g, i));
    }
    return names;
}

int grad_check(const grad_options *o, const norn_graph *g, const norn_graph *d, what w, size_t n,
               const char *const *x, int order, const point *at) {
    checker c = {.d = d, .w = w, .single = o->dtype != 0};
    norn_graph *lower = NULL;
    const char **all = NULL;
    report r = {0};
    int code = 0, points = 0;
    uint64_t state = (uint64_t)o->seed * 0x9E3779B97F4A7C15ULL + 1;
    norn_status s = NORN_OK;
    c.feeds = calloc(norn_graph_input_count(d) + 1, sizeof *c.feeds);
    all = n ? NULL : all_inputs(g, &n);
    if (!c.feeds || (!x && !all))
        s = NORN_NOMEM;
    if (all)
        x = all;
    if (s == NORN_OK && (w == WHAT_HESSIAN || w == WHAT_HVP || order > 1))
        s = norn_gradient(g, n, x, order > 1 ? order - 1 : 1, &lower);
    c.base = lower ? lower : g;
    if (s == NORN_OK)
        s = norn_session_open(o->device, &c.s);
    if (s == NORN_OK)
        s = norn_executable_new(c.s, c.base, NULL, NULL, &c.of);
    if (s == NORN_OK)
        s = norn_executable_new(c.s, d, NULL, NULL, &c.derivative);
    for (; s == NORN_OK && !code && points < (at->n ? 1 : POINTS); points++) {
        if (at->n)
            code = point_feeds(at, d, c.feeds, &c.n_feeds);
        else
            s = random_feeds(&c, &state);
        if (!code && s == NORN_OK)
            s = check_here(&c, n, x, &r);
        point_feeds_free(c.feeds, c.n_feeds);
        c.n_feeds = 0;
    }
    double tolerance = c.single ? 2e-2 : w == WHAT_GRADIENT && order < 2 ? 1e-6 : 1e-4;
    if (s != NORN_OK)
        code = fail(s);
    else if (!code && o->json) {
        cJSON *j = cJSON_CreateObject();
        json_bool(j, "agree", r.worst <= tolerance);
        json_number(j, "largest_error", r.worst);
        json_number(j, "tolerance", tolerance);
        json_number(j, "numbers", (double)r.count);
        json_number(j, "points", points);
        code = json_print(j, r.worst <= tolerance ? 0 : 1);
    } else if (!code) {
        printf("largest error %.2g, over %zu number%s at %d point%s%s\n", r.worst, r.count,
               r.count == 1 ? "" : "s", points, points == 1 ? "" : "s",
               r.worst <= tolerance ? "" : ": they differ");
        if (!(r.worst <= tolerance)) {
            printf("got %.17g, the differences say %.17g\n", isnan(r.at_got) ? (double)NAN : r.at_got,
                   isnan(r.at_want) ? (double)NAN : r.at_want); /* without a sign */
            code = 1;
        }
    }
    norn_executable_free(c.of);
    norn_executable_free(c.derivative);
    norn_session_close(c.s);
    norn_graph_free(lower);
    free(all);
    free(c.feeds);
    return code;
}
