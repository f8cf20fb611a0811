/* SPDX-License-Identifier: Apache-2.0 */
/* Operators that have no kernels of their own are replaced by the simpler ones they stand for. */
#include "graph/graph.h"
#include "ops/control.h"
#include "ops/op.h"
#include <string.h>

enum { MAX_ROUNDS = 8 };

/* Generated kernels do not know the types below a byte and float8. */
static bool touches_small(const norn_node *node) {
    for (int i = 0; i < node->n_in + node->n_out; i++) {
        const norn_value *v = i < node->n_in ? node->in[i] : node->out[i - node->n_in];
        if (v && v->type.dtype != NORN_UNDEFINED && NORNI_SMALL & NORNI_T(v->type.dtype))
            return true;
    }
    return false;
}

static bool needs_expansion(const norn_node *node, bool host) {
    const norn_op *op = node->op;
    if (op->control)
        return norni_control_unrolls(node);
    if (!op->expand || (host && op->eval))
        return false;
    return norni_op_pointwise(op) ? touches_small(node) : host || !op->impls;
}

static norn_status expand_node(norni_rebuild *r, const norn_node *node, norn_value **in, bool *done) {
    unsigned wanted = 0;
    norn_value *out[32] = {0};
    if (!needs_expansion(node, r->ctx != NULL))
        return NORN_OK;
    for (int k = 0; k < node->n_out; k++)
        wanted |= node->out[k] ? 1u << k : 0;
    norn_node *made = norni_apply(r->to, node->op, node->attrs, node->n_in, in, wanted);
    if (!made)
        return norn_graph_status(r->to);
    made->stream = node->stream;
    NORNI_TRY(node->op->expand(r->to, made, out));
    NORNI_TRY(norn_graph_status(r->to));
    for (int k = 0; k < node->n_out; k++)
        if (node->out[k]) {
            if (!out[k])
                return norni_fail(NORN_INTERNAL, "%s: its expansion makes no output %d", node->op->name, k);
            r->map[node->out[k]->id] = out[k];
        }
    *done = true;
    return NORN_OK;
}

norn_status norni_graph_decompose(norn_graph **g, bool host) {
    /* The expanded node stays behind unread, until the next rebuild drops it: so it takes a round more. */
    for (int round = 0; round < MAX_ROUNDS; round++) {
        bool any = false;
        for (size_t i = 0; i < (*g)->nodes.n && !any; i++)
            any = needs_expansion((*g)->nodes.v[i], host);
        if (!any)
            return NORN_OK;
        norni_rebuild r = {.from = *g,
                           .fold = true,
                           .merge = true,
                           .fold_limit_elems = 1 << 16,
                           .rewrite = expand_node,
                           .ctx = host ? &host : NULL};
        NORNI_TRY(norni_rebuild_run(&r));
        norn_graph_free(*g);
        *g = r.to;
    }
    return norni_fail(NORN_INTERNAL, "expansions nest deeper than %d", MAX_ROUNDS);
}
