/* SPDX-License-Identifier: Apache-2.0 */
/* Derivatives of graphs as simplified graphs: the reverse walk of graph/grad.c, once or twice, then terms and back. */
#include "symbolic/derive.h"
#include "graph/graph.h"
#include "ops/op.h"
#include "symbolic/term.h"
#include <string.h>

enum { MAX_ROWS = 4096 };

/* A copy to work on, with what is differentiated. */
typedef struct {
    norn_graph *g;
    norn_value *y;
    size_t n;
    norn_value **x;
} work;

static void stop(work *w) {
    norn_graph_free(w->g);
    norni_free(w->x);
    *w = (work){0};
}

static norn_status find_inputs(work *w, size_t n, const char *const *names) {
    for (size_t i = 0; i < n; i++) {
        norn_value *v = norni_graph_find(w->g, names[i]);
        if (!v || v->kind == NORNI_RESULT) {
            norni_str list = {0};
            for (size_t k = 0; k < w->g->inputs.n; k++)
                norni_str_addf(&list, "%s%s", k ? ", " : "", w->g->inputs.v[k]->name);
            norn_status s =
                norni_fail(NORN_ARG, "no variable '%s' (there are: %s)", names[i], list.s ? list.s : "none");
            norni_str_free(&list);
            return s;
        }
        for (size_t k = 0; k < i; k++)
            if (w->x[k] == v)
                return norni_fail(NORN_ARG, "variable '%s' is named twice", names[i]);
        w->x[w->n++] = v;
    }
    for (size_t k = 0; !n && k < w->g->inputs.n; k++)
        if (norni_dtype_is_float(w->g->inputs.v[k]->type.dtype))
            w->x[w->n++] = w->g->inputs.v[k];
    return w->n ? NORN_OK : norni_fail(NORN_ARG, "there is no variable to differentiate by");
}

static norn_status start(work *w, const norn_graph *g, size_t n, const char *const *names) {
    norni_rebuild r = {.from = g, .merge = true};
    *w = (work){0};
    if (!g->outputs.n)
        return norni_fail(NORN_ARG, "derivative: the graph has no output");
    NORNI_TRY(norni_rebuild_run(&r));
    w->g = r.to;
    w->y = w->g->outputs.v[0].value;
    w->x = norni_alloc_array(n + w->g->inputs.n + 1, sizeof *w->x);
    norn_status s = w->x ? find_inputs(w, n, names) : norni_nomem();
    if (s != NORN_OK)
        stop(w);
    return s;
}

static norn_status want_scalar(const norn_value *y, const char *otherwise) {
    bool one = y->type.rank >= 0;
    for (int i = 0; i < y->type.rank; i++)
        one = one && y->type.dims[i] == 1;
    if (one)
        return NORN_OK;
    norni_str t = {0};
    norni_type_print(&t, y->graph, &y->type);
    norn_status s =
        norni_fail(NORN_SHAPE, "the formula has type %s (wanted a scalar%s)", t.s ? t.s : "", otherwise);
    norni_str_free(&t);
    return s;
}

static bool all_scalars(const work *w) {
    for (size_t i = 0; i < w->n; i++)
        if (w->x[i]->type.rank != 0)
            return false;
    return true;
}

/* A list of outputs on the way: names, and values of the graph. */
typedef struct {
    NORNI_VEC(char *) names;
    NORNI_VEC(norn_value *) values;
} results;

static void results_free(results *r) {
    for (size_t i = 0; i < r->names.n; i++)
        norni_free(r->names.v[i]);
    norni_vec_free(&r->names);
    norni_vec_free(&r->values);
}

static norn_status result(results *r, norn_value *v, const char *a, const char *b, const char *c) {
    norni_str s = {0};
    norni_str_addf(&s, "%s%s%s%s", a, b, *c ? "_" : "", c);
    char *name = norni_str_take(&s);
    if (!name || !NORNI_PUSH(&r->names, name)) {
        norni_free(name);
        return norni_nomem();
    }
    return NORNI_PUSH(&r->values, v) ? NORN_OK : norni_nomem();
}

/* Operators that are better seen as what they stand for. */
static bool has_no_term(const norn_node *node) {
    return !strcmp(node->op->name, "SliceGrad") ||
           (node->op->defined && node->op->expand && !node->op->grad && !node->op->impls);
}

/* The results as the outputs of a graph whose shape arithmetic is folded. *gone: its counterpart there. */
static norn_status folded(norn_graph *g, const results *r, norn_value **gone, norn_graph **out) {
    norni_rebuild b = {
        .from = g, .fold = true, .integers_only = true, .merge = true, .fold_limit_elems = 4096};
    size_t had = g->outputs.n, n = r->values.n, place = SIZE_MAX;
    norni_output *old = norni_alloc_array(had + 1, sizeof *old);
    norn_status s = old ? NORN_OK : norni_nomem();
    if (old)
        memcpy(old, g->outputs.v, had * sizeof *old);
    g->outputs.n = 0;
    for (size_t i = 0; i < n && s == NORN_OK; i++)
        if (!NORNI_PUSH(&g->outputs, ((norni_output){r->names.v[i], r->values.v[i], {0}})))
            s = norni_nomem();
    if (s == NORN_OK)
        s = norni_rebuild_run(&b);
    for (size_t i = 0; *gone && i < g->inputs.n; i++)
        if (g->inputs.v[i] == *gone)
            place = i;
    g->outputs.n = 0;
    for (size_t i = 0; i < had && old; i++) /* there was room for them before */
        (void)NORNI_PUSH(&g->outputs, old[i]);
    norni_free(old);
    if (s == NORN_OK)
        s = norni_graph_expand(&b.to, has_no_term);
    if (s != NORN_OK) {
        norn_graph_free(b.to);
        b.to = NULL;
    }
    if (s == NORN_OK)
        *gone = place < b.to->inputs.n ? b.to->inputs.v[place] : NULL;
    *out = b.to;
    return s;
}

/* The widest of the floating-point types: whole numbers and truths are cast to it where they count as numbers. */
static norn_dtype type_of_numbers(const norn_graph *g) {
    norn_dtype t = NORN_UNDEFINED;
    for (size_t i = 0; i < g->inputs.n + g->outputs.n; i++) {
        norn_dtype d = (i < g->inputs.n ? g->inputs.v[i] : g->outputs.v[i - g->inputs.n].value)->type.dtype;
        if (norni_dtype_is_float(d) && (t == NORN_UNDEFINED || norni_dtype_bits(d) > norni_dtype_bits(t)))
            t = d;
    }
    return t == NORN_UNDEFINED ? NORN_F64 : t;
}

/* The results in normal form as a graph. `gone`: an input that must not be left over, or NULL. */
static norn_status finish(norn_graph *whole, const results *r, norn_value *gone, norn_graph **out) {
    norni_terms c;
    norn_graph *g;
    size_t n = r->values.n;
    NORNI_TRY(norn_graph_status(whole));
    NORNI_TRY(folded(whole, r, &gone, &g));
    const norni_term **t = norni_alloc_array(n + 1, sizeof *t);
    norn_value **v = norni_alloc_array(n + 1, sizeof *v);
    norn_status s = norni_terms_start(&c, g, type_of_numbers(g));
    c.guards = true;
    if (!t || !v)
        s = norni_nomem();
    for (size_t i = 0; i < n && s == NORN_OK; i++)
        v[i] = g->outputs.v[i].value;
    if (s == NORN_OK)
        s = norni_terms_from(&c, n, v, t);
    for (size_t i = 0; i < n && s == NORN_OK; i++) {
        t[i] = norni_t_simplify(&c, t[i]);
        s = c.status;
    }
    for (size_t i = 0; gone && i < g->inputs.n; i++)
        if (g->inputs.v[i] == gone) {
            memmove(g->inputs.v + i, g->inputs.v + i + 1, (g->inputs.n - i - 1) * sizeof *g->inputs.v);
            g->inputs.n--;
        }
    if (s == NORN_OK)
        s = norni_terms_to_graph(&c, n, t, (const char *const *)r->names.v, out);
    norni_terms_end(&c);
    norni_free(t);
    norni_free(v);
    norn_graph_free(g);
    return s;
}

static norn_status gradients(work *w, norn_value *dy, results *r, const char *prefix) {
    norn_value **dx = norni_alloc_array(w->n, sizeof *dx);
    norn_status s = dx ? norn_grad(w->g, w->y, dy, w->n, w->x, dx) : norni_nomem();
    for (size_t i = 0; i < w->n && s == NORN_OK; i++)
        s = result(r, dx[i], prefix, w->x[i]->name, "");
    norni_free(dx);
    return s;
}

norn_status norn_gradient(const norn_graph *g, size_t n, const char *const *x, int order, norn_graph **out) {
    work w;
    results r = {0};
    *out = NULL;
    if (order < 1 || order > 16)
        return norni_fail(NORN_ARG, "gradient: order %d (wanted 1 to 16)", order);
    NORNI_TRY(start(&w, g, n, x));
    norn_status s = want_scalar(w.y, "; see --jacobian and --vjp");
    if (s == NORN_OK && order > 1 && (w.n != 1 || w.x[0]->type.rank != 0))
        s = norni_fail(NORN_ARG, "order %d needs one variable that is a scalar (see --hessian)", order);
    if (s == NORN_OK)
        s = gradients(&w, NULL, &r, "d_");
    if (s == NORN_OK)
        s = finish(w.g, &r, NULL, out);
    if (s == NORN_OK && order > 1) {
        norn_graph *first = *out;
        const char *name = w.x[0]->name;
        s = norn_gradient(first, 1, &name, order - 1, out);
        norn_graph_free(first);
    }
    results_free(&r);
    stop(&w);
    return s;
}

norn_status norni_value_gradient(const norn_graph *g, size_t n, const char *const *x, norn_graph **out) {
    work w;
    results r = {0};
    *out = NULL;
    NORNI_TRY(start(&w, g, n, x));
    norn_status s = want_scalar(w.y, ", or --method lm for a list of residuals");
    if (s == NORN_OK)
        s = result(&r, w.y, "value", "", "");
    if (s == NORN_OK)
        s = gradients(&w, NULL, &r, "d_");
    if (s == NORN_OK)
        s = finish(w.g, &r, NULL, out);
    results_free(&r);
    stop(&w);
    return s;
}

/* ---- Rows: the gradient of each element of a value. */
static norn_status rows(norn_graph *g, norn_value *y, size_t n, norn_value *const *x, int64_t *m,
                        norn_value ***out) {
    *m = norni_type_static(&y->type) ? norni_type_elems(&y->type) : -1;
    *out = NULL;
    if (*m < 0)
        return norni_fail(NORN_SHAPE, "the sizes of the formula are not known (wanted numbers)");
    if (*m > MAX_ROWS)
        return norni_fail(NORN_SHAPE, "the formula has %lld elements (wanted at most %d)", (long long)*m,
                          MAX_ROWS);
    norn_value *flat = y->type.rank == 1 ? y : NORNI_OP2(g, y, norni_i64_const(g, 1, m), "Reshape");
    norn_value **d = norni_alloc_array((size_t)*m * n + 1, sizeof *d);
    if (!d)
        return norni_nomem();
    norn_status s = norn_graph_status(g);
    for (int64_t i = 0; i < *m && s == NORN_OK; i++) {
        norn_value *front = norni_i64_const(g, 1, (int64_t[]){0});
        norn_value *e =
            NORNI_OP3(g, flat, norni_i64_const(g, 1, &i), norni_i64_const(g, 1, (int64_t[]){i + 1}), "Slice");
        e = NORNI_OP2(g, e, front, "Squeeze");
        s = e ? norn_grad(g, y->type.rank == 0 ? y : e, NULL, n, x, d + (size_t)i * n) : norn_graph_status(g);
    }
    *out = d;
    return s;
}

/* m values of one shape stacked, in the shape y..., x.... */
static norn_value *stacked(norn_graph *g, int64_t m, norn_value *const *d, size_t stride, const norni_type *y,
                           const norni_type *x) {
    int64_t dims[NORN_MAX_RANK];
    norn_value **v = norni_arena_array(g->arena, (size_t)m + 1, sizeof *v);
    norn_value *front = norni_i64_const(g, 1, (int64_t[]){0});
    if (!v)
        return norni_graph_failed(g, norni_nomem());
    if (y->rank + x->rank > NORN_MAX_RANK)
        return norni_graph_failed(
            g, norni_fail(NORN_SHAPE, "a derivative with more than %d axes", NORN_MAX_RANK));
    for (int64_t i = 0; i < m; i++)
        v[i] = NORNI_OP2(g, d[(size_t)i * stride], front, "Unsqueeze");
    norn_value *all = m ? norni_opf(g, (int)m, v, "Concat<axis=0>") : NULL;
    memcpy(dims, y->dims, sizeof *dims * (size_t)y->rank);
    memcpy(dims + y->rank, x->dims, sizeof *dims * (size_t)x->rank);
    return NORNI_OP2(g, all, norni_i64_const(g, y->rank + x->rank, dims), "Reshape");
}

/* m n scalars as a matrix. */
static norn_value *matrix(norn_graph *g, int64_t m, size_t n, norn_value *const *d) {
    norni_type t = {.rank = 2, .dims = {m, (int64_t)n}}, none = {0};
    return stacked(g, m * (int64_t)n, d, 1, &t, &none);
}

norn_status norn_jacobian(const norn_graph *g, size_t n, const char *const *x, norn_graph **out) {
    work w;
    results r = {0};
    norn_value **d = NULL;
    int64_t m;
    *out = NULL;
    NORNI_TRY(start(&w, g, n, x));
    norn_status s = rows(w.g, w.y, w.n, w.x, &m, &d);
    if (s == NORN_OK && m == 0)
        s = norni_fail(NORN_SHAPE, "the formula has no elements");
    if (s == NORN_OK && all_scalars(&w))
        s = result(&r, matrix(w.g, m, w.n, d), "jacobian", "", "");
    else
        for (size_t i = 0; i < w.n && s == NORN_OK; i++)
            s = norni_type_static(&w.x[i]->type)
                    ? result(&r, stacked(w.g, m, d + i, w.n, &w.y->type, &w.x[i]->type), "d_", w.x[i]->name,
                             "")
                    : norni_fail(NORN_SHAPE, "the sizes of '%s' are not known (wanted numbers)",
                                 w.x[i]->name);
    if (s == NORN_OK)
        s = finish(w.g, &r, NULL, out);
    norni_free(d);
    results_free(&r);
    stop(&w);
    return s;
}

norn_status norn_hessian(const norn_graph *g, size_t n, const char *const *x, norn_graph **out) {
    work w, v = {0};
    results r = {0};
    norn_graph *first = NULL;
    const char **names = NULL;
    norn_value **all = NULL;
    *out = NULL;
    NORNI_TRY(start(&w, g, n, x));
    norn_status s = norn_gradient(g, n, x, 1, &first);
    size_t count = w.n;
    if (s == NORN_OK && (!(names = norni_alloc_array(count, sizeof *names)) ||
                         !(all = norni_alloc_array(count * count, sizeof *all))))
        s = norni_nomem();
    for (size_t i = 0; i < count && s == NORN_OK; i++)
        names[i] = w.x[i]->name;
    if (s == NORN_OK)
        s = start(&v, first, count, names);
    bool scalars = all_scalars(&w);
    for (size_t i = 0; i < count && s == NORN_OK; i++) {
        norn_value **d = NULL, *y = v.g->outputs.v[i].value;
        int64_t m;
        s = rows(v.g, y, count, v.x, &m, &d);
        for (size_t k = 0; k < count && s == NORN_OK; k++)
            if (scalars)
                all[i * count + k] = d[k];
            else if (!norni_type_static(&v.x[k]->type))
                s = norni_fail(NORN_SHAPE, "the sizes of '%s' are not known (wanted numbers)", names[k]);
            else
                s = result(&r, stacked(v.g, m, d + k, count, &y->type, &v.x[k]->type), "d_", names[i],
                           names[k]);
        norni_free(d);
    }
    if (s == NORN_OK && scalars)
        s = result(&r, matrix(v.g, (int64_t)count, count, all), "hessian", "", "");
    if (s == NORN_OK)
        s = finish(v.g, &r, NULL, out);
    norn_graph_free(first);
    norni_free(names);
    norni_free(all);
    results_free(&r);
    stop(&v);
    stop(&w);
    return s;
}

/* ---- Products with vectors. */
static norn_value *new_input(norn_graph *g, const char *prefix, const char *name, const norni_type *type) {
    char *full = norni_arena_printf(g->arena, "%s%s", prefix, name);
    if (full && norni_graph_find(g, full))
        return norni_graph_failed(
            g, norni_fail(NORN_ARG, "the name '%s' is needed for a direction, and taken", full));
    return norni_value_input(g, full, type);
}

/* sum of d[i] v[i], v new inputs. */
static norn_value *along(work *w, norn_value *const *d) {
    norn_value *total = NULL;
    for (size_t i = 0; i < w->n; i++) {
        norn_value *v = new_input(w->g, "v_", w->x[i]->name, &w->x[i]->type);
        norn_value *p = NORNI_OP2(w->g, d[i], v, "Mul");
        if (p && p->type.rank)
            p = NORNI_OP1(w->g, p, "ReduceSum<keepdims=0>");
        total = total ? NORNI_OP2(w->g, total, p, "Add") : p;
    }
    return total;
}

norn_status norn_jvp(const norn_graph *g, size_t n, const char *const *x, norn_graph **out) {
    work w;
    results r = {0};
    *out = NULL;
    NORNI_TRY(start(&w, g, n, x));
    /* The gradient of sum(u y) is linear in u: its derivative along v, by u, is what is wanted. */
    norn_value *u = new_input(w.g, "cotangent of the output", "", &w.y->type), *d = NULL;
    norn_value **dx = norni_alloc_array(w.n, sizeof *dx);
    norn_status s = dx ? norn_graph_status(w.g) : norni_nomem();
    if (s == NORN_OK)
        s = norn_grad(w.g, w.y, u, w.n, w.x, dx);
    norn_value *total = s == NORN_OK ? along(&w, dx) : NULL;
    if (s == NORN_OK)
        s = norn_graph_status(w.g);
    if (s == NORN_OK)
        s = norn_grad(w.g, total, NULL, 1, &u, &d);
    if (s == NORN_OK)
        s = result(&r, d, "jvp", "", "");
    if (s == NORN_OK)
        s = finish(w.g, &r, u, out);
    norni_free(dx);
    results_free(&r);
    stop(&w);
    return s;
}

norn_status norn_vjp(const norn_graph *g, size_t n, const char *const *x, norn_graph **out) {
    work w;
    results r = {0};
    *out = NULL;
    NORNI_TRY(start(&w, g, n, x));
    norn_value *u = new_input(w.g, "u", "", &w.y->type);
    norn_status s = norn_graph_status(w.g);
    if (s == NORN_OK)
        s = gradients(&w, u, &r, "d_");
    if (s == NORN_OK)
        s = finish(w.g, &r, NULL, out);
    results_free(&r);
    stop(&w);
    return s;
}

norn_status norn_hvp(const norn_graph *g, size_t n, const char *const *x, norn_graph **out) {
    work w;
    results r = {0};
    *out = NULL;
    NORNI_TRY(start(&w, g, n, x));
    norn_status s = want_scalar(w.y, "; see --jacobian and --vjp");
    norn_value **dx = norni_alloc_array(w.n, sizeof *dx);
    if (!dx)
        s = norni_nomem();
    if (s == NORN_OK)
        s = norn_grad(w.g, w.y, NULL, w.n, w.x, dx);
    if (s == NORN_OK) {
        w.y = along(&w, dx);
        s = norn_graph_status(w.g);
    }
    if (s == NORN_OK)
        s = gradients(&w, NULL, &r, "h_");
    if (s == NORN_OK)
        s = finish(w.g, &r, NULL, out);
    norni_free(dx);
    results_free(&r);
    stop(&w);
    return s;
}

norn_status norn_simplify(const norn_graph *g, norn_graph **out) {
    results r = {0};
    norn_status s = NORN_OK;
    *out = NULL;
    if (!g->outputs.n)
        return norni_fail(NORN_ARG, "simplify: the graph has no output");
    for (size_t i = 0; i < g->outputs.n && s == NORN_OK; i++)
        s = result(&r, g->outputs.v[i].value, g->outputs.v[i].name, "", "");
    if (s == NORN_OK)
        s = finish((norn_graph *)g, &r, NULL, out);
    results_free(&r);
    return s;
}
