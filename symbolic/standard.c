/* SPDX-License-Identifier: Apache-2.0 */
/* Graphs in operators of ONNX only. */
#include "symbolic/standard.h"
#include "graph/graph.h"

enum { MAX_ROUNDS = 16 };

bool norni_not_standard(const norn_node *node) {
    return node->op != &norni_op_unknown && *node->op->domain != 0;
}

typedef bool chooser(const norn_node *node);

static norn_status expand_node(norni_rebuild *r, const norn_node *node, norn_value **in, bool *done) {
    chooser *const *which = r->ctx;
    norn_value *out[32] = {0};
    unsigned wanted = 0;
    if (!(*which)(node))
        return NORN_OK;
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

norn_status norni_graph_expand(norn_graph **g, bool (*which)(const norn_node *node)) {
    for (int round = 0; round < MAX_ROUNDS; round++) {
        bool any = false;
        for (size_t i = 0; i < (*g)->nodes.n && !any; i++)
            any = which((*g)->nodes.v[i]);
        if (!any)
            return NORN_OK;
        norni_rebuild r = {.from = *g,
                           .fold = true,
                           .integers_only = true,
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
