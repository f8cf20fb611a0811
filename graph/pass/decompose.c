/* SPDX-License-Identifier: Apache-2.0 */
/* Operators are replaced by the simpler ones they stand for: those that have no kernels of their own, or that ONNX does not
 * have. */
#include "graph/graph.h"
#include "ops/control.h"
#include "ops/op.h"
#include <string.h>

enum { MAX_ROUNDS = 16 };

typedef bool chooser(const norn_node *node);

/* MaxPool's place in the plane, an output that files have no name for, from its Indices, which count through all planes. */
static norn_status max_pool(norni_rebuild *r, const norn_node *node, norn_value **in) {
    enum { Y, INDICES, PLACES };
    norn_graph *g = r->to;
    const norni_type *x = &in[0]->type;
    int64_t elems = x->rank > 2 ? norni_elems(x->rank - 2, x->dims + 2) : -1;
    const norni_attr *order = norni_attr_find(node->op, "storage_order");
    if (elems < 1 || (order && *(const int64_t *)((const char *)node->attrs + order->offset)))
        return norni_fail(NORN_UNSUPPORTED,
                          "MaxPool: the spatial sizes are not known, or columns come first");
    norn_node *made = norni_apply(g, node->op, node->attrs, node->n_in, in, 1u << Y | 1u << INDICES);
    if (!made)
        return norn_graph_status(g);
    norn_value *place =
        NORNI_OP2(g, made->out[INDICES], norni_scalar_const(g, NORN_I64, (double)elems), "Mod");
    if (node->out[Y])
        r->map[node->out[Y]->id] = made->out[Y];
    if (node->out[INDICES])
        r->map[node->out[INDICES]->id] = made->out[INDICES];
    if (node->out[PLACES])
        r->map[node->out[PLACES]->id] = norni_cast(g, place, NORN_I32);
    return norn_graph_status(g);
}

static norn_status expand_node(norni_rebuild *r, const norn_node *node, norn_value **in, bool *done) {
    chooser *const *which = r->ctx;
    norn_value *out[32] = {0};
    unsigned wanted = 0;
    if (!(*which)(node))
        return NORN_OK;
    if (!*node->op->domain && !strcmp(node->op->name, "MaxPool")) {
        *done = true;
        return max_pool(r, node, in);
    }
    if (norni_moves_small(node)) {
        *done = true;
        NORNI_TRY(norni_expand_small(r->to, node, in, out));
        for (int k = 0; k < node->n_out; k++)
            if (node->out[k])
                r->map[node->out[k]->id] = out[k];
        return NORN_OK;
    }
    if (!node->op->expand)
        return norni_fail(NORN_UNSUPPORTED, "%s has no form in operators of ONNX", node->op->name);
    for (int k = 0; k < node->n_out; k++)
        wanted |= node->out[k] ? 1u << k : 0;
    norn_node *made = norni_apply(r->to, node->op, node->attrs, node->n_in, in, wanted);
    if (!made)
        return norn_graph_status(r->to);
    made->stream = node->stream;
    NORNI_TRY(node->op->expand(r->to, made, out));
    NORNI_TRY(norn_graph_status(r->to));
    for (int k = 0; k < node->n_out; k++)
        if (node->out[k] && !(r->map[node->out[k]->id] = out[k]))
            return norni_fail(NORN_INTERNAL, "%s: its expansion makes no output %d", node->op->name, k);
    *done = true;
    return NORN_OK;
}

static norn_status expand_all(norn_graph **g, chooser *which, bool integers_only) {
    /* The expanded node stays behind unread, until the next rebuild drops it: so it takes a round more. */
    for (int round = 0; round < MAX_ROUNDS; round++) {
        bool any = false;
        for (size_t i = 0; i < (*g)->nodes.n && !any; i++)
            any = which((*g)->nodes.v[i]);
        if (!any)
            return NORN_OK;
        norni_rebuild r = {.from = *g,
                           .fold = true,
                           .integers_only = integers_only,
                           .merge = true,
                           .fold_limit_elems = 1 << 16,
                           .rewrite = expand_node,
                           .ctx = &which};
        NORNI_TRY(norni_rebuild_run(&r));
        norn_graph_free(*g);
        *g = r.to;
    }
    return norni_fail(NORN_INTERNAL, "expansions nest deeper than %d", MAX_ROUNDS);
}

norn_status norni_graph_expand(norn_graph **g, bool (*which)(const norn_node *node)) {
    return expand_all(g, which, true);
}

/* ---- What has no kernels. */

/* Generated kernels do not know the types below a byte and float8. */
static bool touches_small(const norn_node *node) {
    for (int i = 0; i < node->n_in + node->n_out; i++) {
        const norn_value *v = i < node->n_in ? node->in[i] : node->out[i - node->n_in];
        if (v && v->type.dtype != NORN_UNDEFINED && NORNI_SMALL & NORNI_T(v->type.dtype))
            return true;
    }
    return false;
}

static bool no_kernels(const norn_node *node) {
    const norn_op *op = node->op;
    if (op->control)
        return norni_control_unrolls(node);
    return norni_moves_small(node) ||
           (op->expand && (norni_op_pointwise(op) ? touches_small(node) : !op->impls));
}

static bool no_reference(const norn_node *node) {
    const norn_op *op = node->op;
    if (op->control)
        return norni_control_unrolls(node);
    return op->expand && !op->eval && (!norni_op_pointwise(op) || touches_small(node));
}

norn_status norni_graph_decompose(norn_graph **g, bool host) {
    return expand_all(g, host ? no_reference : no_kernels, false);
}

/* ---- What ONNX does not have. */

/* Makes an output that files have no name for, and that its expansion makes. What has none (LSTM) keeps it: the expansions of
 * gradients do not read it. */
static bool has_hidden(const norn_node *node) {
    if (!node->op->expand && strcmp(node->op->name, "MaxPool") != 0)
        return false;
    for (int k = 0; k < node->n_out; k++) {
        const norni_param *p = node->out[k] ? norni_op_output(node->op, k) : NULL;
        if (p && p->flags & NORNI_STASH)
            return true;
    }
    return false;
}

bool norni_not_standard(const norn_node *node) {
    return node->op != &norni_op_unknown && (*node->op->domain || has_hidden(node));
}
