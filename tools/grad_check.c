/* SPDX-License-Identifier: Apache-2.0 */
/* norn grad --check: derivatives against central differences. Two steps, h and h/2, make one estimate whose error falls with h^4
 * (Richardson). What that does not confirm is differenced with steps from large to small, extrapolated, and the estimate with the
 * least error of its own decides (Ridders, Accurate computation of F'(x) and F'(x)F''(x), 1982). What is differenced is the formula
 * itself, for second derivatives its gradient. */
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

/* Moves the point by h from where it was, `from`, which is the value of the element or, along directions, all of them. */
static void shift(const checker *c, const move *m, const double *from, double h) {
    if (m->t) {
        norn_tensor_set(m->t, m->at, *from + h);
        return;
    }
    for (size_t i = 0; i < m->n; i++) {
        norn_tensor *t = fed(c, "", m->x[i]), *v = fed(c, "v_", m->x[i]);
        for (int64_t k = 0; t && k < norn_tensor_elems(t); k++, from++)
            if (v)
                norn_tensor_set(t, k, *from + h * norn_tensor_get(v, k));
    }
}

/* Where the point is, as `shift` wants it, and how large its numbers are, at least 1. */
static double *place(const checker *c, const move *m, double *size) {
    int64_t n = 1, at = 0;
    for (size_t i = 0; i < m->n && !m->t; i++) {
        const norn_tensor *t = fed(c, "", m->x[i]);
        n += t ? norn_tensor_elems(t) : 0;
    }
    double *from = calloc((size_t)n, sizeof *from);
    *size = 1;
    if (from && m->t)
        from[at++] = norn_tensor_get(m->t, m->at);
    for (size_t i = 0; from && i < m->n && !m->t; i++) {
        const norn_tensor *t = fed(c, "", m->x[i]);
        for (int64_t k = 0; t && k < norn_tensor_elems(t); k++)
            from[at++] = norn_tensor_get(t, k);
    }
    for (int64_t k = 0; from && k < at; k++)
        if (isfinite(from[k]))
            *size = fmax(*size, fabs(from[k]));
    return from;
}

/* Central difference with step h: *out gets n numbers, and as many more, what rounding alone may do to them. */
static norn_status difference(const checker *c, const move *m, const double *from, double size, double h,
                              double **out, size_t *n) {
    const double epsilon = c->single ? 1.2e-7 : 2.2e-16;
    double *a = NULL, *b = NULL, *both = NULL, width = 2 * h;
    *out = NULL;
    shift(c, m, from, h);
    if (m->t) /* as numbers round it */
        width = norn_tensor_get(m->t, m->at);
    norn_status s = run_flat(c, c->of, c->base, &a, n);
    shift(c, m, from, -h);
    if (m->t)
        width -= norn_tensor_get(m->t, m->at);
    if (s == NORN_OK)
        s = run_flat(c, c->of, c->base, &b, n);
    shift(c, m, from, 0);
    if (s == NORN_OK && !(both = calloc(2 * *n + 1, sizeof *both)))
        s = NORN_NOMEM;
    for (size_t i = 0; i < *n && s == NORN_OK; i++) {
        both[i] = (a[i] - b[i]) / width;
        both[*n + i] =
            epsilon * (fabs(a[i]) + fabs(b[i]) + fabs(both[i]) * (m->t ? fabs(*from) : size)) / width;
    }
    free(a);
    free(b);
    *out = both;
    return s;
}

static norn_status estimate(const checker *c, const move *m, double **out, size_t *n) {
    double *fine = NULL, size, *from = place(c, m, &size), h = (c->single ? 1e-2 : 1e-3) * size;
    *out = NULL;
    norn_status s = from ? difference(c, m, from, size, h, out, n) : NORN_NOMEM;
    if (s == NORN_OK)
        s = difference(c, m, from, size, h / 2, &fine, n);
    for (size_t i = 0; i < *n && s == NORN_OK; i++)
        (*out)[i] = (4 * fine[i] - (*out)[i]) / 3;
    if (s != NORN_OK) {
        free(*out);
        *out = NULL;
    }
    free(fine);
    free(from);
    return s;
}

static double relative(double difference, double a, double b) {
    return fabs(difference) / fmax(1, fmax(fabs(a), fabs(b)));
}

/* Steps from a tenth of the point's size down, each a quarter of the last, and their extrapolations: of each number the estimate
 * whose neighbours are nearest, and how near. */
static norn_status refine(const checker *c, const move *m, double **out, double **error, size_t *n) {
    enum { STEPS = 20, ORDERS = 4 };
    double size, *from = place(c, m, &size), *row = NULL, *last = NULL;
    norn_status s = from ? NORN_OK : NORN_NOMEM;
    *out = *error = NULL;
    for (int k = 0; k < STEPS && s == NORN_OK; k++) {
        double *d = NULL;
        s = difference(c, m, from, size, ldexp(0.1 * size, -2 * k), &d, n);
        if (s == NORN_OK && !*out) {
            *out = calloc(*n + 1, sizeof **out);
            *error = calloc(*n + 1, sizeof **error);
            row = calloc(ORDERS * *n + 1, sizeof *row);
            last = calloc(ORDERS * *n + 1, sizeof *last);
            s = *out && *error && row && last ? NORN_OK : NORN_NOMEM;
            for (size_t i = 0; i < *n && s == NORN_OK; i++)
                (*error)[i] = (double)INFINITY, (*out)[i] = (double)NAN;
        }
        for (size_t i = 0; i < *n && s == NORN_OK; i++) {
            double *now = row + ORDERS * i, *before = last + ORDERS * i, power = 1;
            now[0] = d[i];
            for (int j = 1; j < ORDERS && j <= k; j++) {
                power *= 16;
                now[j] = (power * now[j - 1] - before[j - 1]) / (power - 1);
                double e = fmax(fabs(now[j] - now[j - 1]), fabs(now[j] - before[j - 1])) + d[*n + i];
                if (relative(e, now[j], 0) < relative((*error)[i], (*out)[i], 0) || !isfinite((*out)[i]))
                    (*error)[i] = isfinite(now[j]) ? e : (double)INFINITY, (*out)[i] = now[j];
            }
            memcpy(before, now, ORDERS * sizeof *now);
        }
        free(d);
    }
    free(from);
    free(row);
    free(last);
    if (s != NORN_OK) {
        free(*out);
        free(*error);
        *out = *error = NULL;
    }
    return s;
}

/* What was compared. */
typedef struct {
    double tolerance, worst, at_got, at_want, at_error;
    size_t count, differ, unclear; /* unclear: what the differences do not say well enough */
    const char *
        x; /* the variable of the worst number, NULL along directions; its entry, -1 of a number, and that of the result */
    int64_t entry, row;
    bool moved; /* the worst is of this point */
    char *where;
} report;

static bool agree(const report *r, double got, double want) {
    return (isnan(got) && isnan(want)) || relative(got - want, got, want) <= r->tolerance;
}

/* A number of the derivative with an estimate, which is known to `error`. */
static void compare(report *r, double got, double want, double error, const char *x, int64_t entry,
                    size_t row) {
    double e = isnan(got) && isnan(want) ? 0 : relative(got - want, got, want);
    r->count++;
    if (!agree(r, got, want) && fabs(got - want) <= error) {
        r->unclear++;
        return;
    }
    r->differ += !agree(r, got, want);
    if (e <= r->worst)
        return;
    r->worst = isnan(e) ? (double)INFINITY : e;
    r->at_got = got;
    r->at_want = want;
    r->at_error = error;
    r->x = x;
    r->entry = entry;
    r->row = (int64_t)row;
    r->moved = true;
}

static norn_status along_direction(const checker *c, size_t n, const char *const *x, const double *d,
                                   size_t n_d, report *r) {
    double *e = NULL, *fine = NULL, *error = NULL;
    size_t count;
    bool well = true;
    const move m = {.n = n, .x = x};
    norn_status s = estimate(c, &m, &e, &count);
    for (size_t i = 0; i < n_d && s == NORN_OK; i++)
        well = well && i < count && agree(r, d[i], e[i]);
    if (s == NORN_OK && !well)
        s = refine(c, &m, &fine, &error, &count);
    for (size_t i = 0; i < n_d && s == NORN_OK; i++) {
        bool better = i < count && fine && !agree(r, d[i], e[i]);
        compare(r, d[i],
                i >= count ? (double)NAN
                : better   ? fine[i]
                           : e[i],
                better ? error[i] : 0, NULL, 0, i);
    }
    free(e);
    free(fine);
    free(error);
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
            const move m = {.t = t, .at = (int64_t)j};
            const int64_t entry = norn_tensor_rank(t) ? (int64_t)j : -1;
            double *fine = NULL, *error = NULL;
            s = estimate(c, &m, &e, &count);
            for (int pass = 0; pass < 2 && s == NORN_OK; pass++) { /* looks, then compares */
                double sum = 0, doubt = 0;
                size_t first = 0, row = 0;
                bool well = true;
                for (size_t i = 0; i < outputs; i++) {
                    size_t before = 0;
                    for (size_t q = 0; q < k; q++)
                        before += rows[i] * (size_t)norn_tensor_elems(fed(c, "", x[q]));
                    for (size_t p = 0; p < rows[i]; p++, row++) {
                        double weight = vjp ? norn_tensor_get(c->u, (int64_t)row) : 1;
                        double got =
                            vjp ? 0 : d[scalars ? row * width + column : first + before + p * size + j];
                        bool better = fine && (vjp || !agree(r, got, e[row]));
                        sum += (better ? fine[row] : e[row]) * weight;
                        doubt += better ? error[row] * fabs(weight) : 0;
                        if (vjp)
                            continue;
                        well = well && agree(r, got, e[row]);
                        if (pass)
                            compare(r, got, better ? fine[row] : e[row], better ? error[row] : 0, x[k], entry,
                                    row);
                    }
                    first += rows[i] * width;
                }
                if (vjp)
                    well = agree(r, d[column], sum);
                if (vjp && pass)
                    compare(r, d[column], sum, doubt, x[k], entry, 0);
                if (!pass && !well)
                    s = refine(c, &m, &fine, &error, &count);
            }
            free(e);
            free(fine);
            free(error);
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

/* The point, as far as it is numbers, and the entry that the worst number is of. */
static norn_status note_point(const checker *c, report *r) {
    char *text = text_of("%s", "");
    for (size_t i = 0; text && i < c->n_feeds; i++) {
        const norn_tensor *t = c->feeds[i].tensor;
        const char *name = c->feeds[i].name, *comma = *text ? ", " : "";
        char *more = NULL;
        if (norn_tensor_rank(t) == 0)
            more = text_of("%s%s%s = %.9g", text, comma, name, norn_tensor_get(t, 0));
        else if (r->x && !strcmp(name, r->x))
            more = text_of("%s%s%s[%lld] = %.9g", text, comma, name, (long long)r->entry,
                           norn_tensor_get(t, r->entry));
        else
            continue;
        free(text);
        text = more;
    }
    free(r->where);
    r->where = text;
    r->moved = false;
    return text ? NORN_OK : NORN_NOMEM;
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
    if (s == NORN_OK && r->moved)
        s = note_point(c, r);
    return s;
}

static void print_report(const report *r, int points) {
    printf("largest error %.2g, over %zu number%s at %d point%s%s\n", r->worst, r->count,
           r->count == 1 ? "" : "s", points, points == 1 ? "" : "s", r->differ ? ": they differ" : "");
    if (r->unclear)
        printf("%zu of them are within the error of the differences, which is larger than %g\n", r->unclear,
               r->tolerance);
    if (!r->differ)
        return;
    if (r->x && r->entry < 0)
        printf("by %s", r->x);
    else if (r->x)
        printf("by %s[%lld]", r->x, (long long)r->entry);
    else
        printf("along the directions");
    printf(", number %lld of the result", (long long)r->row);
    printf("%s%s: ", *r->where ? ", at " : "", r->where);
    printf("got %.17g, the differences say %.17g", isnan(r->at_got) ? (double)NAN : r->at_got,
           isnan(r->at_want) ? (double)NAN : r->at_want); /* without a sign */
    if (r->at_error > 0 && isfinite(r->at_error))
        printf(", to within %.2g", r->at_error);
    printf("\n");
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
    report r = {.tolerance = o->dtype ? 2e-2 : w == WHAT_GRADIENT && order < 2 ? 1e-6 : 1e-4};
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
    if (s != NORN_OK)
        code = fail(s);
    else if (!code && o->json) {
        cJSON *j = cJSON_CreateObject();
        json_bool(j, "agree", !r.differ);
        json_number(j, "largest_error", r.worst);
        json_number(j, "tolerance", r.tolerance);
        json_number(j, "numbers", (double)r.count);
        json_number(j, "unclear", (double)r.unclear);
        json_number(j, "points", points);
        if (r.differ) {
            if (r.x)
                json_text(j, "variable", r.x);
            json_number(j, "entry", fmax(0, (double)r.entry));
            json_number(j, "number", (double)r.row);
            json_text(j, "at", r.where);
            json_number(j, "got", r.at_got);
            json_number(j, "differences", r.at_want);
        }
        code = json_print(j, r.differ ? 1 : 0);
    } else if (!code) {
        print_report(&r, points);
        code = r.differ ? 1 : 0;
    }
    free(r.where);
    norn_executable_free(c.of);
    norn_executable_free(c.derivative);
    norn_session_close(c.s);
    norn_graph_free(lower);
    free(all);
    free(c.feeds);
    return code;
}
