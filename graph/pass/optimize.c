/* SPDX-License-Identifier: Apache-2.0 */
/* The optimizer: a graph that computes the same with fewer nodes, for files. Rules are applied to node after node, in
 * rounds, until none applies; the frame folds constants and drops what nobody reads. */
#include "graph/pass/optimize.h"
#include <string.h>

enum { MAX_ROUNDS = 64 };

bool norni_node_is(const norn_node *n, const char *name) {
    return n && !*n->op->domain && !strcmp(n->op->name, name);
}

norn_node *norni_made_by(const norn_value *v, const char *name) {
    return v && v->kind == NORNI_RESULT && norni_node_is(v->producer, name) ? v->producer : NULL;
}

int64_t norni_node_int(const norn_node *n, const char *attr, int64_t absent) {
    const norni_attr *a = norni_attr_find(n->op, attr);
    int64_t v = a && (a->kind == NORNI_ATTR_INT || a->kind == NORNI_ATTR_DTYPE)
                    ? (a->kind == NORNI_ATTR_INT
                           ? *(const int64_t *)((const char *)n->attrs + a->offset)
                           : (int64_t) * (const norn_dtype *)((const char *)n->attrs + a->offset))
                    : NORNI_NO_INT;
    return v == NORNI_NO_INT ? absent : v;
}

bool norni_node_ints(const norn_node *n, const char *attr, norni_ints *out) {
    const norni_attr *a = norni_attr_find(n->op, attr);
    if (!a || a->kind != NORNI_ATTR_INTS)
        return false;
    *out = *(const norni_ints *)((const char *)n->attrs + a->offset);
    return out->n >= 0;
}

bool norni_sole_use(const norni_rule *x, int i) {
    const norni_optimizer *o = x->r->ctx;
    return i < x->node->n_in && x->node->in[i] && o->uses[x->node->in[i]->id] == 1;
}

norn_value *norni_same_op(const norni_rule *x, int n_in, norn_value *const *in) {
    norn_node *made = norni_apply(x->g, x->node->op, x->node->attrs, n_in, in, 1);
    if (!made)
        return NULL;
    made->name = x->node->name ? norni_arena_strdup(x->g->arena, x->node->name) : NULL;
    return made->out[0];
}

/* ---- Nodes that pass their input on. */
static bool is_false(const norn_value *v) {
    return v == NORNI_NONE || (norni_is_const(v) && norni_is_const_value(v, 0));
}

static bool passes_on(const norni_rule *x) {
    static const char *const views[] = {"Reshape",   "Flatten", "Expand",   "Squeeze",
                                        "Unsqueeze", "Cast",    "CastLike", NULL};
    static const char *const folds[] = {"Concat", "Sum", "Max", "Min", "Mean", NULL};
    const norn_node *n = x->node;
    const norni_type *from = &n->in[0]->type, *to = &n->out[0]->type;
    for (int i = 0; views[i]; i++)
        if (norni_node_is(n, views[i]))
            return to->rank >= 0 && to->dtype != NORN_UNDEFINED && norni_type_equal(from, to);
    for (int i = 0; folds[i]; i++)
        if (norni_node_is(n, folds[i]))
            return n->n_in == 1;
    if (norni_node_is(n, "Dropout"))
        return !(n->n_out > 1 && n->out[1]) && (n->n_in < 3 || is_false(x->in[2]));
    if (norni_node_is(n, "Pad"))
        return norni_is_const(x->in[1]) && norni_is_const_value(x->in[1], 0);
    return false;
}

norn_value *norni_rule_noop(const norni_rule *x) {
    return x->node->n_in && x->node->in[0] && passes_on(x) ? x->in[0] : NULL;
}

/* ---- Shape arithmetic. */

/* A vector of sizes as the shape of a Reshape of x: numbers, 0 for sizes that stay, and at most one -1. */
static norn_value *reshape_constant(const norni_rule *x) {
    const norn_node *n = x->node;
    int count, open = 0;
    int64_t v[NORN_MAX_RANK];
    const norni_dim *d = norni_value_known(n->in[1], &count);
    const norni_type *from = &n->in[0]->type;
    if (!d || count > NORN_MAX_RANK || norni_is_const(x->in[1]) || norni_node_int(n, "allowzero", 0))
        return NULL;
    for (int i = 0; i < count; i++) {
        bool number = norni_dim_number(n->graph, d[i], &v[i]);
        if (number && v[i] == 0) /* as a size or as a copy */
            return NULL;
        if (!number && i < from->rank && from->dims[i] == d[i])
            v[i] = 0;
        else if (!number || v[i] == -1) {
            v[i] = -1;
            open++;
        }
    }
    return open <= 1 ? norni_same_op(x, 2, (norn_value *[]){x->in[0], norni_i64_const(x->g, count, v)})
                     : NULL;
}

/* A Reshape of what only has another shape: of that itself. */
static norn_value *reshape_again(const norni_rule *x) {
    static const char *const views[] = {"Reshape", "Flatten", "Squeeze", "Unsqueeze", NULL};
    int64_t v[NORN_MAX_RANK];
    int n;
    const norn_node *before = NULL;
    for (int i = 0; views[i] && !before; i++)
        before = norni_made_by(x->in[0], views[i]);
    if (!before || !norni_is_const(x->in[1]) || !norni_value_ints(x->in[1], v, NORN_MAX_RANK, &n) ||
        norni_node_int(x->node, "allowzero", 0))
        return NULL;
    const norni_type *from = &before->in[0]->type, *to = &before->out[0]->type;
    for (int i = 0; i < n; i++) /* 0: as in what it reads */
        if (v[i] == 0 && (i >= from->rank || i >= to->rank || from->dims[i] != to->dims[i]))
            return NULL;
    return norni_same_op(x, 2, (norn_value *[]){before->in[0], x->in[1]});
}

/* Small integers that shapes alone decide become constants. */
norn_value *norni_rule_known(const norni_rule *x) {
    const norn_node *n = x->node;
    norn_value *out = n->out[0];
    int64_t v[NORNI_MAX_KNOWN];
    int count;
    norn_tensor *t;
    if (norni_node_is(n, "Reshape") && n->in[1]) {
        norn_value *again = reshape_again(x);
        return again ? again : reshape_constant(x);
    }
    if (n->n_out != 1 || !n->n_in || !norni_dtype_is_int(out->type.dtype) || !norni_type_static(&out->type) ||
        !norni_value_ints(out, v, NORNI_MAX_KNOWN, &count) || count != norni_type_elems(&out->type))
        return NULL;
    for (int i = 0; i < count; i++)
        if (v[i] == -INT64_MAX) /* may stand for INT64_MIN (norni_dim_of) */
            return NULL;
    norn_status s = norni_tensor_host(out->type.dtype, out->type.rank, out->type.dims, &t);
    if (s != NORN_OK)
        return norni_graph_failed(x->g, s);
    for (int i = 0; i < count; i++)
        norni_set_int(t->dtype, norni_tensor_data(t), i, v[i]);
    return norni_value_const(x->g, NULL, t);
}

/* ---- Quantize(Dequantize(q)) with the same scale and zero point is q. */
static bool same_constant(const norn_value *a, const norn_value *b) {
    if (a == b)
        return true;
    return norni_is_const(a) && norni_is_const(b) && norni_tensor_equal(a->data, b->data);
}

norn_value *norni_rule_requantize(const norni_rule *x) {
    const norn_node *n = x->node, *d;
    if (!norni_node_is(n, "QuantizeLinear") || n->n_in < 2 ||
        !(d = norni_made_by(x->in[0], "DequantizeLinear")))
        return NULL;
    norn_value *zero = n->n_in > 2 && x->in[2] != NORNI_NONE ? x->in[2] : NULL,
               *dz = d->n_in > 2 ? d->in[2] : NULL;
    bool scalar = norni_is_const(x->in[1]) && norni_type_elems(&x->in[1]->type) == 1;
    if (!scalar || !same_constant(x->in[1], d->in[1]) ||
        (zero ? !dz || !same_constant(zero, dz) : dz != NULL) ||
        d->in[0]->type.dtype != n->out[0]->type.dtype)
        return NULL;
    return d->in[0];
}

/* ---- Rounds. */
static norn_status rewrite(norni_rebuild *r, const norn_node *node, norn_value **in, bool *done) {
    static norni_rule_fn *const rules[] = {norni_rule_noop,   norni_rule_known,     norni_rule_requantize,
                                           norni_rule_affine, norni_rule_transpose, NULL};
    norni_optimizer *o = r->ctx;
    norni_rule x = {r, r->to, node, in};
    if (node->op == &norni_op_unknown || norni_node_random(node) || !node->n_out || !node->out[0])
        return NORN_OK;
    for (int i = 0; rules[i]; i++) {
        norn_value *v = rules[i](&x);
        NORNI_TRY(norn_graph_status(r->to));
        if (!v)
            continue;
        if (v->kind == NORNI_RESULT && !v->name && node->out[0]->name)
            v->name = norni_arena_strdup(r->to->arena, node->out[0]->name);
        r->map[node->out[0]->id] = v;
        o->changes++;
        *done = true;
        return NORN_OK;
    }
    return NORN_OK;
}

static norn_status optimize(const norn_graph *g, bool doubles, norn_graph **out) {
    norn_graph *from = NULL;
    norni_optimizer o = {.doubles = doubles};
    *out = NULL;
    for (int round = 0; round < MAX_ROUNDS; round++) {
        const norn_graph *old = from ? from : g;
        int *uses = norni_graph_uses(old);
        if (!uses) {
            norn_graph_free(from);
            return norni_nomem();
        }
        o.uses = uses;
        o.changes = 0;
        norni_rebuild r = {.from = old,
                           .fold = true,
                           .merge = true,
                           .keep_quantized = true,
                           .fold_limit_elems = 1 << 24,
                           .rewrite = rewrite,
                           .ctx = &o};
        norn_status s = norni_rebuild_run(&r);
        norni_free(uses);
        norn_graph_free(from);
        NORNI_TRY(s);
        from = r.to;
        if (!o.changes && o.last)
            break;
        o.last = !o.changes;
    }
    *out = from;
    return NORN_OK;
}

static size_t transpositions(const norn_graph *g) {
    size_t n = 0;
    for (size_t i = 0; i < g->nodes.n; i++)
        n += norni_node_is(g->nodes.v[i], "Transpose");
    return n;
}

/* Where transpositions are left it may help to double some, which then meet others. */
norn_status norn_graph_optimize(const norn_graph *g, norn_graph **out) {
    norn_graph *other;
    NORNI_TRY(optimize(g, false, out));
    if (!transpositions(*out))
        return NORN_OK;
    norn_status s = optimize(*out, true, &other);
    if (s == NORN_OK && transpositions(other) < transpositions(*out)) {
        norn_graph_free(*out);
        *out = other;
    } else if (s == NORN_OK)
        norn_graph_free(other);
    else {
        norn_graph_free(*out);
        *out = NULL;
    }
    return s;
}
