/* SPDX-License-Identifier: Apache-2.0 */
/* Types and shapes of a node's outputs. */
#include "ops/op.h"
#include <string.h>

const norni_type *norni_in_type(const norni_infer *c, int i) {
    return i < c->node->n_in && c->node->in[i] ? &c->node->in[i]->type : NULL;
}

bool norni_in_has(const norni_infer *c, int i) {
    return norni_in_type(c, i) != NULL;
}

bool norni_in_ranked(const norni_infer *c, int n) {
    for (int i = 0; i < n; i++) {
        const norni_type *t = norni_in_type(c, i);
        if (t && (t->rank < 0 || t->dtype == NORN_UNDEFINED))
            return false;
    }
    return true;
}

int norni_in_ints(const norni_infer *c, int i, int64_t *v, int max, int *n) {
    norn_value *x = c->node->in[i];
    if (norni_value_ints(x, v, max, n))
        return 1;
    return x->kind == NORNI_CONST ? -1 : 0;
}

norn_status norni_axis(int64_t axis, int rank, int *out) {
    *out = 0;
    if (axis < -rank || axis >= rank)
        return norni_fail(NORN_SHAPE, "axis %lld (wanted %d to %d for rank %d)", (long long)axis, -rank,
                          rank - 1, rank);
    *out = (int)(axis < 0 ? axis + rank : axis);
    return NORN_OK;
}

void norni_lower_axis(const norni_adapt *a, int64_t *axis, int rank) {
    if (a->version < 11 && *axis < 0 && rank >= 0)
        *axis += rank;
}

norn_status norni_broadcast(norn_graph *g, norni_type *a, const norni_type *b) {
    if (a->rank < 0 || b->rank < 0) {
        a->rank = -1;
        return NORN_OK;
    }
    norni_type r = *a;
    r.rank = a->rank > b->rank ? a->rank : b->rank;
    for (int i = 0; i < r.rank; i++) {
        int ia = i - (r.rank - a->rank), ib = i - (r.rank - b->rank);
        norni_dim x = ia < 0 ? 1 : a->dims[ia], y = ib < 0 ? 1 : b->dims[ib];
        if (x == y || y == 1)
            r.dims[i] = x;
        else if (x == 1)
            r.dims[i] = y;
        else if (x >= 0 && y >= 0)
            return norni_fail(
                NORN_SHAPE, "shapes do not broadcast: %lld against %lld in dimension %d (wanted equal or 1)",
                (long long)x, (long long)y, i);
        else if (x >= 0 || y >= 0) /* a number above 1 wins: the named one must be equal or 1 */
            r.dims[i] = x >= 0 ? x : y;
        else
            r.dims[i] = norni_dim_fresh(g);
    }
    *a = r;
    return NORN_OK;
}

norni_dim *norni_set_known(norni_infer *c, int k, int n) {
    norni_dim *d = norni_arena_array(c->g->arena, (size_t)n, sizeof *d);
    c->known[k] = d;
    c->n_known[k] = d ? n : 0;
    return d;
}

norn_status norni_node_check(const norn_node *node, int i, const norn_tensor *t) {
    if (!node->op->check)
        return NORN_OK;
    for (int k = 0; k < node->n_in; k++)
        if (node->in[k] && !norni_type_static(&node->in[k]->type))
            return NORN_OK;
    return node->op->check(node, i, t);
}

static const char *types_text(norni_types set, norni_str *buf) {
    for (int t = 1; t < 32; t++)
        if (set >> t & 1 && norni_dtype_valid(t))
            norni_str_addf(buf, "%s%s", buf->n ? ", " : "", norni_dtype_name((norn_dtype)t));
    return buf->s ? buf->s : "";
}

static norn_status check_inputs(const norn_node *node, norn_dtype vars[128]) {
    const norn_op *op = node->op;
    int needed = 0;
    for (const norni_param *p = op->inputs; p && p->name; p++)
        needed += !(p->flags & NORNI_OPT);
    for (int i = 0; i < node->n_in || i < needed; i++) {
        const norni_param *p = norni_op_input(op, i);
        if (!p)
            return norni_fail(NORN_ARG, "%d inputs (wanted at most %d)", node->n_in, i);
        const norn_value *v = i < node->n_in ? node->in[i] : NULL;
        if (!v) {
            if (!(p->flags & NORNI_OPT) && !(p->flags & NORNI_VARIADIC && i >= needed))
                return norni_fail(NORN_ARG, "input %d '%s' is missing", i, p->name);
            continue;
        }
        norn_dtype t = v->type.dtype;
        if (t == NORN_UNDEFINED)
            continue;
        if (!(p->types & NORNI_T(t))) {
            norni_str list = {0};
            norn_status s = norni_fail(NORN_DTYPE, "input '%s' has type %s (wanted %s)", p->name,
                                       norni_dtype_name(t), types_text(p->types, &list));
            norni_str_free(&list);
            return s;
        }
        unsigned char var = (unsigned char)p->var;
        if (var && vars[var] == NORN_UNDEFINED)
            vars[var] = t;
        else if (var && vars[var] != t)
            return norni_fail(NORN_DTYPE, "input '%s' has type %s (wanted %s, as the other inputs)", p->name,
                              norni_dtype_name(t), norni_dtype_name(vars[var]));
    }
    return NORN_OK;
}

bool norni_node_random(const norn_node *node) {
    return node->op->random && (!node->op->random_if || node->op->random_if(node));
}

/* ---- Shape arithmetic: a small integer vector that follows from constants and known sizes is known too. Constants are
 * folded by a pass; this serves the reading of shapes while the graph is still being built. */
enum { MAX_SMALL = 4096, MAX_EVALS = 32 };

/* *budget: how many nodes may still be evaluated; chains are short, files may be hostile. */
static bool known_outputs(const norn_node *node, int *budget, norn_tensor **res);

/* The elements of a value, as far as they are known or can be worked out; NULL if not. */
static norn_tensor *known_tensor(norn_value *v, int *budget) {
    int64_t x[NORNI_MAX_KNOWN];
    int n;
    norn_tensor *t = NULL, *res[32] = {0};
    if (v->kind == NORNI_CONST)
        return norni_tensor_elems(v->data) <= MAX_SMALL ? norni_tensor_ref(v->data) : NULL;
    if (!norni_type_static(&v->type) || norni_type_elems(&v->type) > NORNI_MAX_KNOWN)
        return NULL;
    if (norni_value_ints(v, x, NORNI_MAX_KNOWN, &n) && n == norni_type_elems(&v->type)) {
        if (norni_tensor_host(v->type.dtype, v->type.rank, v->type.dims, &t) == NORN_OK)
            for (int i = 0; i < n; i++)
                norni_set_int(v->type.dtype, norni_tensor_data(t), i, x[i]);
        return t;
    }
    if (v->kind == NORNI_RESULT && known_outputs(v->producer, budget, res))
        t = res[v->index] ? norni_tensor_ref(res[v->index]) : NULL;
    for (int k = 0; k < 32; k++)
        norn_tensor_free(res[k]);
    return t;
}

/* The outputs of a node of few integers or truth values whose inputs are known. */
static bool known_outputs(const norn_node *node, int *budget, norn_tensor **res) {
    if ((*budget)-- <= 0 || node->n_out > 32 || node->n_in > 16 || !node->n_in || norni_node_random(node) ||
        node->op == &norni_op_unknown)
        return false;
    for (int k = 0; k < node->n_out; k++)
        if (node->out[k] &&
            (!(norni_dtype_is_int(node->out[k]->type.dtype) || node->out[k]->type.dtype == NORN_BOOL) ||
             !norni_type_static(&node->out[k]->type) ||
             norni_type_elems(&node->out[k]->type) > NORNI_MAX_KNOWN))
            return false;
    norn_tensor *in[16] = {0};
    bool known = true;
    for (int i = 0; i < node->n_in && known; i++)
        known = !node->in[i] || (in[i] = known_tensor(node->in[i], budget)) != NULL;
    known = known && norni_node_eval(node, in, res) == NORN_OK;
    for (int i = 0; i < node->n_in; i++)
        norn_tensor_free(in[i]);
    return known;
}

static void fold_known(norn_node *node, int k) {
    norn_value *out = node->out[k];
    norn_tensor *res[32] = {0};
    int budget = MAX_EVALS;
    if (out->known || out->type.rank > 1)
        return;
    if (known_outputs(node, &budget, res) && res[k]) {
        int64_t n = norni_tensor_elems(res[k]);
        norni_dim *d = norni_arena_array(node->graph->arena, (size_t)n, sizeof *d);
        for (int64_t i = 0; d && i < n; i++)
            d[i] = norni_dim_of(node->graph, norni_get_int(out->type.dtype, norni_tensor_data(res[k]), i));
        out->known = d;
        out->n_known = d ? (int)n : 0;
    }
    for (int i = 0; i < node->n_out && i < 32; i++)
        norn_tensor_free(res[i]);
}

static bool input_untyped(const norn_node *node) {
    for (int i = 0; i < node->n_in; i++)
        if (node->in[i] && node->in[i]->type.dtype == NORN_UNDEFINED)
            return true;
    return false;
}

norn_status norni_infer_node(norn_node *node) {
    const norn_op *op = node->op;
    if (op == &norni_op_unknown)
        return NORN_OK;
    norn_dtype vars[128] = {NORN_UNDEFINED};
    NORNI_TRY(check_inputs(node, vars));
    norni_infer c = {.g = node->graph, .node = node, .attrs = node->attrs};
    if (norni_op_pointwise(op) && node->n_in > 32)
        return norni_fail(NORN_UNSUPPORTED, "%d inputs (wanted at most 32)", node->n_in);
    if (node->n_out > 32)
        return norni_fail(NORN_UNSUPPORTED, "%d outputs (wanted at most 32)", node->n_out);
    for (int k = 0; k < node->n_out; k++) {
        const norni_param *p = norni_op_output(op, k);
        c.out[k] = (norni_type){.rank = -1};
        if (!p)
            return norni_fail(NORN_ARG, "%d outputs (wanted at most %d)", node->n_out, k);
        if (p->var)
            c.out[k].dtype = vars[(unsigned char)p->var];
        else if (p->types && !(p->types & (p->types - 1))) /* only one type is possible */
            c.out[k].dtype = (norn_dtype)__builtin_ctz(p->types);
    }
    norn_status s = op->infer(&c);
    if (s == NORN_DTYPE &&
        input_untyped(node)) /* an operator that norn does not have made it: nothing is known */
        return NORN_OK;
    NORNI_TRY(s);
    for (int i = 0; i < node->n_in; i++)
        if (norni_is_const(node->in[i]))
            NORNI_TRY(norni_node_check(node, i, node->in[i]->data));
    for (int k = 0; k < node->n_out; k++) {
        norn_value *v = node->out[k];
        if (!v)
            continue;
        for (int i = 0; i < c.out[k].rank; i++) {
            int64_t number;
            if (norni_dim_number(node->graph, c.out[k].dims[i], &number) && number < 0)
                return norni_fail(NORN_SHAPE,
                                  "output '%s' would have size %lld in dimension %d (wanted at least 0)",
                                  norni_op_output(op, k)->name, (long long)number, i);
        }
        if (norni_type_static(&c.out[k]) && norni_type_elems(&c.out[k]) < 0)
            return norni_fail(NORN_SHAPE, "output '%s' would have more elements than can be counted",
                              norni_op_output(op, k)->name);
        v->type = c.out[k];
        if (c.known[k]) {
            v->known = c.known[k];
            v->n_known = c.n_known[k];
        }
    }
    for (int k = 0; k < node->n_out; k++)
        if (node->out[k])
            fold_known(node, k);
    return NORN_OK;
}

/* The type in another graph; an unknown size is a new unknown one there. */
static norni_type carried(norn_graph *to, const norn_graph *from, const norni_type *t) {
    norni_type r = *t;
    for (int i = 0; i < r.rank; i++)
        if (r.dims[i] < 0)
            r.dims[i] = norni_dim_has_unknown(from, r.dims[i]) ? norni_dim_fresh(to)
                                                               : norni_dim_import(to, from, r.dims[i]);
    return r;
}

enum { MOST = 32 };

norn_status norni_expand_apart(const norn_node *node, norn_value **out, norn_graph **result) {
    norn_graph *g;
    norn_value *in[MOST] = {0};
    norn_node copy = *node;
    *result = NULL;
    if (copy.n_in > MOST || copy.n_out > MOST)
        return norni_fail(NORN_INTERNAL, "%d inputs, %d outputs", copy.n_in, copy.n_out);
    NORNI_TRY(norn_graph_new("expansion", &g));
    for (int i = 0; i < copy.n_in; i++) {
        norn_value *v = node->in[i];
        norni_type own = v ? carried(g, node->graph, &v->type) : (norni_type){0};
        if (v)
            in[i] = norni_is_const(v) ? norni_value_const(g, NULL, norni_tensor_ref(v->data))
                                      : norni_value_input(g, NULL, &own);
    }
    copy.in = in;
    copy.graph = g;
    norn_status s = norn_graph_status(g);
    if (s == NORN_OK)
        s = node->op->expand(g, &copy, out);
    if (s == NORN_OK)
        *result = g;
    else
        norn_graph_free(g);
    return s;
}

norn_status norni_infer_by_expansion(norni_infer *c) {
    norn_graph *g;
    norn_value *out[MOST] = {0};
    bool fixed = true;
    for (int i = 0; i < c->node->n_in; i++) {
        const norni_type *t = norni_in_type(c, i);
        if (t && (t->rank < 0 || t->dtype == NORN_UNDEFINED))
            return NORN_OK; /* nothing can be told yet */
        fixed &= !t || norni_type_static(t);
    }
    norn_status s = norni_expand_apart(c->node, out, &g);
    for (int k = 0; k < c->node->n_out && s == NORN_OK; k++)
        if (out[k])
            c->out[k] = carried(c->g, g, &out[k]->type);
    if (s == NORN_OK)
        norn_graph_free(g);
    return s == NORN_UNSUPPORTED && !fixed ? NORN_OK : s; /* once the sizes are known, that is said again */
}
