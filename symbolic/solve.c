/* SPDX-License-Identifier: Apache-2.0 */
/* norn_solve: graphs as functions of one vector of doubles, and the solution that the caller reads. */
#include "symbolic/solve.h"
#include "symbolic/derive.h"
#include "symbolic/least_squares.h"
#include <math.h>
#include <string.h>

struct norn_solution {
    norn_solution_info info;
    norni_outcome outcome;
    size_t n;
    char **names;
    norn_tensor **values, **errors, **intervals; /* entries of the latter two NULL */
};

/* The unknowns as one vector, over the tensors that are fed. */
typedef struct {
    norn_session *session;
    size_t n; /* variables */
    const char **names;
    norn_tensor **x, **v;   /* their tensors, and those of directions */
    int64_t *at;            /* where each begins in the vector; at[n]: its length */
    norn_graph *bound;      /* the formula with all sizes known */
    norn_executable *first; /* value and gradient, or residuals */
    norn_graph *first_graph;
    norn_executable *second; /* products with the Hessian or the Jacobian */
    norn_graph *second_graph;
    norn_feed *feeds; /* variables, directions, data */
    size_t n_feeds;
} setting;

static void stop(setting *s) {
    for (size_t i = 0; i < s->n; i++) {
        norn_tensor_free(s->x ? s->x[i] : NULL);
        norn_tensor_free(s->v ? s->v[i] : NULL);
    }
    norn_executable_free(s->first);
    norn_executable_free(s->second);
    norn_graph_free(s->first_graph);
    norn_graph_free(s->second_graph);
    norn_graph_free(s->bound);
    norni_free(s->names);
    norni_free(s->x);
    norni_free(s->v);
    norni_free(s->at);
    norni_free(s->feeds);
}

static void scatter(const setting *s, norn_tensor *const *to, const double *x) {
    for (size_t i = 0; i < s->n; i++)
        for (int64_t k = 0; k < s->at[i + 1] - s->at[i]; k++)
            norni_set_double(to[i]->dtype, norni_tensor_data(to[i]), k, x[s->at[i] + k]);
}

/* Runs an executable; outputs one after the other into out, which has room for `most` numbers. */
static norn_status run(const setting *s, norn_executable *e, const norn_graph *g, int64_t most, double *out) {
    enum { MAX = 64 };
    norn_fetch f[MAX];
    norn_feed feeds[MAX];
    size_t n = 0, outputs = g->outputs.n;
    if (outputs > MAX || g->inputs.n > MAX)
        return norni_fail(NORN_ARG, "solve: more than %d variables", MAX);
    for (size_t i = 0; i < outputs; i++)
        f[i] = (norn_fetch){g->outputs.v[i].name, NULL};
    for (size_t i = 0; i < g->inputs.n; i++)
        for (size_t k = 0; k < s->n_feeds; k++)
            if (!strcmp(g->inputs.v[i]->name, s->feeds[k].name))
                feeds[n++] = s->feeds[k];
    NORNI_TRY(norn_executable_run(e, n, feeds, outputs, f));
    int64_t at = 0;
    for (size_t i = 0; i < outputs; i++) {
        for (int64_t k = 0; k < norni_tensor_elems(f[i].tensor) && at < most; k++)
            out[at++] = norni_get_double(f[i].tensor->dtype, norni_tensor_data(f[i].tensor), k);
        norn_tensor_free(f[i].tensor);
    }
    return NORN_OK;
}

static norn_status value(norni_problem *p, const double *x, double *f, double *g) {
    setting *s = p->ctx;
    double *all = norni_alloc_array((size_t)p->n + 1, sizeof *all);
    if (!all)
        return norni_nomem();
    scatter(s, s->x, x);
    norn_status st = run(s, s->first, s->first_graph, p->n + 1, all);
    *f = all[0];
    if (g)
        memcpy(g, all + 1, (size_t)p->n * sizeof *g);
    norni_free(all);
    p->values++;
    p->gradients++;
    return st;
}

static norn_status product(norni_problem *p, const double *x, const double *v, double *h) {
    setting *s = p->ctx;
    p->products++;
    scatter(s, s->x, x);
    scatter(s, s->v, v);
    return run(s, s->second, s->second_graph, p->n, h);
}

/* ---- Least squares. */
static norn_status residuals(norni_squares *q, const double *x, double *r) {
    setting *s = q->ctx;
    q->values++;
    scatter(s, s->x, x);
    return run(s, s->first, s->first_graph, q->m, r);
}

/* Column k of the Jacobian. */
static norn_status column(norni_squares *q, const double *x, int64_t k, double *out) {
    setting *s = q->ctx;
    double *v = norni_alloc_array((size_t)q->n, sizeof *v);
    if (!v)
        return norni_nomem();
    q->products++;
    v[k] = 1;
    scatter(s, s->x, x);
    scatter(s, s->v, v);
    norni_free(v);
    return run(s, s->second, s->second_graph, q->m, out);
}

/* ---- Setting up. */

/* Named sizes from the tensors that are fed. */
static norn_status bind_sizes(const norn_graph *g, setting *s, norn_graph **out) {
    NORNI_VEC(char *) binds = {0};
    norn_status st = NORN_OK;
    for (size_t i = 0; i < g->inputs.n && st == NORN_OK; i++)
        for (size_t k = 0; k < s->n_feeds; k++) {
            const norn_value *v = g->inputs.v[i];
            const norn_tensor *t = s->feeds[k].tensor;
            if (strcmp(v->name, s->feeds[k].name))
                continue;
            if (t->rank != v->type.rank)
                st = norni_fail(NORN_SHAPE, "'%s' has rank %d (wanted %d)", v->name, t->rank, v->type.rank);
            for (int d = 0; d < t->rank && st == NORN_OK; d++) {
                const char *name = norni_dim_name(g, v->type.dims[d]);
                norni_str text = {0};
                if (v->type.dims[d] >= 0 && v->type.dims[d] != t->dims[d])
                    st = norni_fail(NORN_SHAPE, "'%s': size %d is %lld (wanted %lld)", v->name, d,
                                    (long long)t->dims[d], (long long)v->type.dims[d]);
                if (!name || st != NORN_OK)
                    continue;
                norni_str_addf(&text, "%s=%lld", name, (long long)t->dims[d]);
                char *bind = norni_str_take(&text);
                bool there = false;
                for (size_t b = 0; bind && b < binds.n; b++)
                    there |= !strcmp(binds.v[b], bind);
                if (there)
                    norni_free(bind);
                else if (!bind || !NORNI_PUSH(&binds, bind))
                    st = norni_nomem();
            }
        }
    if (st == NORN_OK)
        st = norn_graph_bind(g, binds.n, (const char *const *)binds.v, out);
    for (size_t i = 0; i < binds.n; i++)
        norni_free(binds.v[i]);
    norni_vec_free(&binds);
    return st;
}

/* A tensor in the type that the input has. */
static norn_status in_type(const norn_value *v, const norn_tensor *t, norn_tensor **out) {
    NORNI_TRY(norni_tensor_host(v->type.dtype, t->rank, t->dims, out));
    for (int64_t i = 0; i < norni_tensor_elems(t); i++)
        norn_tensor_set(*out, i, norn_tensor_get(t, i));
    return NORN_OK;
}

static norn_status add_variables(setting *s, const norn_graph *g, size_t n, const norn_feed *start) {
    s->names = norni_alloc_array(n + 1, sizeof *s->names);
    s->x = norni_alloc_array(n + 1, sizeof *s->x);
    s->v = norni_alloc_array(n + 1, sizeof *s->v);
    s->at = norni_alloc_array(n + 1, sizeof *s->at);
    if (!s->names || !s->x || !s->v || !s->at)
        return norni_nomem();
    for (size_t i = 0; i < n; i++, s->n++) {
        const norn_value *v = norni_graph_find(g, start[i].name);
        if (!v || v->kind != NORNI_INPUT || !norni_dtype_is_float(v->type.dtype))
            return norni_fail(NORN_ARG, "no variable '%s' in the formula", start[i].name);
        NORNI_TRY(in_type(v, start[i].tensor, &s->x[i]));
        NORNI_TRY(norn_tensor_copy(s->x[i], NULL, &s->v[i]));
        s->names[i] = v->name;
        s->at[i + 1] = s->at[i] + norni_tensor_elems(s->x[i]);
    }
    return n ? NORN_OK : norni_fail(NORN_ARG, "solve: there is no variable to solve for");
}

static norn_status add_feeds(setting *s, norni_arena *arena, size_t n_data, const norn_feed *data) {
    s->feeds = norni_alloc_array(2 * s->n + n_data + 1, sizeof *s->feeds);
    if (!s->feeds)
        return norni_nomem();
    for (size_t i = 0; i < s->n; i++) {
        char *direction = norni_arena_printf(arena, "v_%s", s->names[i]);
        if (!direction)
            return norni_nomem();
        s->feeds[s->n_feeds++] = (norn_feed){s->names[i], s->x[i]};
        s->feeds[s->n_feeds++] = (norn_feed){direction, s->v[i]};
    }
    for (size_t i = 0; i < n_data; i++)
        s->feeds[s->n_feeds++] = data[i];
    return NORN_OK;
}

static norn_status check_fed(const setting *s, const norn_graph *g) {
    for (size_t i = 0; i < g->inputs.n; i++) {
        bool there = false;
        for (size_t k = 0; k < s->n_feeds; k++)
            there |= !strcmp(g->inputs.v[i]->name, s->feeds[k].name);
        if (!there)
            return norni_fail(NORN_ARG, "'%s' has neither a start nor data", g->inputs.v[i]->name);
    }
    return NORN_OK;
}

static norn_status spread_bounds(const setting *s, size_t n, const norn_feed *b, double otherwise,
                                 double **out) {
    if (!n)
        return NORN_OK;
    *out = norni_alloc_array((size_t)s->at[s->n] + 1, sizeof **out);
    if (!*out)
        return norni_nomem();
    for (int64_t i = 0; i < s->at[s->n]; i++)
        (*out)[i] = otherwise;
    for (size_t i = 0; i < n; i++) {
        size_t k = 0;
        while (k < s->n && strcmp(s->names[k], b[i].name))
            k++;
        int64_t elems = norn_tensor_elems(b[i].tensor), size = k < s->n ? s->at[k + 1] - s->at[k] : 0;
        if (k == s->n || (elems != 1 && elems != size))
            return norni_fail(k == s->n ? NORN_ARG : NORN_SHAPE, "bounds of '%s': %s", b[i].name,
                              k == s->n ? "it is not solved for" : "they have another size than it");
        for (int64_t j = 0; j < size; j++)
            (*out)[s->at[k] + j] = norn_tensor_get(b[i].tensor, elems == 1 ? 0 : j);
    }
    return NORN_OK;
}

static norn_status read_bounds(const setting *s, const norn_solve_options *o, double **lower,
                               double **upper) {
    NORNI_TRY(spread_bounds(s, o->n_lower, o->lower, -(double)INFINITY, lower));
    NORNI_TRY(spread_bounds(s, o->n_upper, o->upper, (double)INFINITY, upper));
    for (int64_t i = 0; i < s->at[s->n] && *lower && *upper; i++)
        if (!((*lower)[i] <= (*upper)[i]))
            return norni_fail(NORN_ARG, "bounds: the lower one is above the upper one");
    return NORN_OK;
}

/* ---- Solutions. */
void norn_solution_free(norn_solution *s) {
    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++) {
        norni_free(s->names[i]);
        norn_tensor_free(s->values[i]);
        norn_tensor_free(s->errors[i]);
        norn_tensor_free(s->intervals[i]);
    }
    norni_vec_free(&s->outcome.trace);
    norni_free(s->names);
    norni_free(s->values);
    norni_free(s);
}

static norn_status new_solution(const setting *s, norn_solution **out) {
    norn_solution *r = *out = norni_alloc(sizeof *r);
    if (!r)
        return norni_nomem();
    r->names = norni_alloc_array(s->n + 1, sizeof *r->names);
    r->values = norni_alloc_array(3 * s->n + 1, sizeof *r->values);
    if (!r->names || !r->values)
        return norni_nomem();
    r->errors = r->values + s->n;
    r->intervals = r->errors + s->n;
    for (size_t i = 0; i < s->n; i++, r->n++) {
        r->names[i] = norni_strdup(s->names[i]);
        if (!r->names[i])
            return norni_nomem();
    }
    return NORN_OK;
}

/* Entries of a vector as tensors by variable. */
static norn_status tensors(const setting *s, const double *x, norn_tensor **out) {
    for (size_t i = 0; i < s->n; i++) {
        NORNI_TRY(norni_tensor_host(NORN_F64, s->x[i]->rank, s->x[i]->dims, &out[i]));
        memcpy(norni_tensor_data(out[i]), x + s->at[i], (size_t)(s->at[i + 1] - s->at[i]) * sizeof *x);
    }
    return NORN_OK;
}

static norn_status solve_function(setting *s, const norn_solve_options *o, double *x, norn_solution *r) {
    norni_problem p = {.n = s->at[s->n], .value = value, .hessian = product, .ctx = s};
    norni_method m = {o->method, o->max_iterations, o->tolerance, o->progress, o->user};
    NORNI_TRY(norni_value_gradient(s->bound, s->n, s->names, &s->first_graph));
    norn_status st = norn_executable_new(s->session, s->first_graph, NULL, NULL, &s->first);
    if (st == NORN_OK && o->method == NORN_SOLVE_NEWTON_CG) {
        st = norn_hvp(s->bound, s->n, s->names, &s->second_graph);
        if (st == NORN_OK)
            st = norn_executable_new(s->session, s->second_graph, NULL, NULL, &s->second);
    }
    if (st == NORN_OK)
        st = read_bounds(s, o, &p.lower, &p.upper);
    if (st == NORN_OK)
        st = norni_minimise(&p, &m, x, &r->outcome);
    r->info.values = p.values;
    r->info.gradients = p.gradients;
    r->info.products = p.products;
    norni_free(p.lower);
    norni_free(p.upper);
    return st;
}

static norn_status solve_squares(setting *s, const norn_solve_options *o, double *x, norn_solution *r) {
    const norni_type *t = &s->bound->outputs.v[0].value->type;
    norni_squares q = {.n = s->at[s->n], .residuals = residuals, .column = column, .ctx = s};
    q.noise = t->dtype == NORN_F64 ? 1e-11 : 1e-5;
    norni_method m = {o->method, o->max_iterations, o->tolerance, o->progress, o->user};
    if (!norni_type_static(t))
        return norni_fail(NORN_SHAPE, "the sizes of the formula are not known");
    q.m = norni_type_elems(t);
    double *errors = norni_alloc_array(2 * (size_t)q.n + 1, sizeof *errors);
    norn_status st = errors ? norn_simplify(s->bound, &s->first_graph) : norni_nomem();
    if (st == NORN_OK)
        st = norn_executable_new(s->session, s->first_graph, NULL, NULL, &s->first);
    if (st == NORN_OK)
        st = norn_jvp(s->bound, s->n, s->names, &s->second_graph);
    if (st == NORN_OK)
        st = norn_executable_new(s->session, s->second_graph, NULL, NULL, &s->second);
    if (st == NORN_OK)
        st = read_bounds(s, o, &q.lower, &q.upper);
    if (st == NORN_OK)
        st = norni_least_squares(&q, &m, x, errors, &r->outcome);
    if (st == NORN_OK && (q.freedom > 0 || q.undetermined)) {
        st = tensors(s, errors, r->errors);
        if (st == NORN_OK)
            st = tensors(s, errors + q.n, r->intervals);
    }
    r->info.values = q.values;
    r->info.products = q.products;
    r->info.residuals = q.m;
    r->info.deviation = q.deviation;
    r->info.freedom = q.freedom;
    norni_free(q.lower);
    norni_free(q.upper);
    norni_free(errors);
    return st;
}

norn_status norn_solve(norn_session *session, const norn_graph *g, size_t n_start, const norn_feed *start,
                       size_t n_data, const norn_feed *data, const norn_solve_options *options,
                       norn_solution **out) {
    static const char *const names[] = {"",       "gradient descent", "conjugate gradients", "BFGS",
                                        "L-BFGS", "Newton-CG",        "Levenberg-Marquardt"};
    norn_solve_options o = options ? *options : (norn_solve_options){0};
    setting s = {.session = session};
    norni_arena *arena = norni_arena_new(0);
    double *x = NULL;
    *out = NULL;
    if (!arena)
        return norni_nomem();
    o.max_iterations = o.max_iterations ? o.max_iterations : 10000;
    o.tolerance = o.tolerance > 0 ? o.tolerance : 1e-8;
    norn_status st = g->outputs.n ? NORN_OK : norni_fail(NORN_ARG, "solve: the graph has no output");
    if (st == NORN_OK)
        st = add_variables(&s, g, n_start, start);
    if (st == NORN_OK)
        st = add_feeds(&s, arena, n_data, data);
    if (st == NORN_OK)
        st = check_fed(&s, g);
    if (st == NORN_OK)
        st = bind_sizes(g, &s, &s.bound);
    if (st == NORN_OK && o.method == NORN_SOLVE_AUTO) { /* one element is an objective, whatever its shape */
        const norni_type *t = &s.bound->outputs.v[0].value->type;
        bool one = norni_type_static(t) && norni_type_elems(t) == 1;
        o.method = one ? NORN_SOLVE_LBFGS : NORN_SOLVE_LM;
    }
    if (st == NORN_OK)
        st = new_solution(&s, out);
    if (st == NORN_OK && !(x = norni_alloc_array((size_t)s.at[s.n] + 1, sizeof *x)))
        st = norni_nomem();
    for (size_t i = 0; i < s.n && st == NORN_OK; i++)
        for (int64_t k = 0; k < s.at[i + 1] - s.at[i]; k++)
            x[s.at[i] + k] = norn_tensor_get(s.x[i], k);
    if (st == NORN_OK)
        st = o.method == NORN_SOLVE_LM ? solve_squares(&s, &o, x, *out) : solve_function(&s, &o, x, *out);
    if (st == NORN_OK)
        st = tensors(&s, x, (*out)->values);
    if (st == NORN_OK) {
        norn_solution_info *info = &(*out)->info;
        const norni_outcome *r = &(*out)->outcome;
        info->converged = r->converged;
        info->method = names[o.method];
        info->reason = r->reason;
        info->iterations = r->iterations;
        info->value = r->f;
        info->gradient = r->gradient;
        info->unknowns = s.at[s.n];
    } else {
        norn_solution_free(*out);
        *out = NULL;
    }
    stop(&s);
    norni_free(x);
    norni_arena_free(arena);
    return st;
}

void norn_solution_get(const norn_solution *s, norn_solution_info *out) {
    *out = s->info;
}

static const norn_tensor *of(const norn_solution *s, const char *name, norn_tensor *const *list) {
    for (size_t i = 0; i < s->n; i++)
        if (!strcmp(s->names[i], name))
            return list[i];
    return NULL;
}
const norn_tensor *norn_solution_value(const norn_solution *s, const char *name) {
    return of(s, name, s->values);
}
const norn_tensor *norn_solution_error(const norn_solution *s, const char *name) {
    return of(s, name, s->errors);
}
const norn_tensor *norn_solution_interval(const norn_solution *s, const char *name) {
    return of(s, name, s->intervals);
}

size_t norn_solution_trace_count(const norn_solution *s) {
    return s->outcome.trace.n;
}

void norn_solution_trace(const norn_solution *s, size_t i, double *value_, double *gradient, double x[2]) {
    const norni_trace *t = &s->outcome.trace.v[i];
    *value_ = t->f;
    *gradient = t->gradient;
    memcpy(x, t->x, sizeof t->x);
}
