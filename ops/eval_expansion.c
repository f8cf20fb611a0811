/* SPDX-License-Identifier: Apache-2.0 */
/* The host reference of operators that are functions of others: their expansion, evaluated node by node. */
#include "ops/op.h"
#include <string.h>

static norn_status run_nodes(norn_graph *g, size_t first, norn_tensor **of) {
    for (size_t n = first; n < g->nodes.n; n++) {
        const norn_node *node = g->nodes.v[n];
        norn_tensor *in[32] = {0}, *out[32] = {0};
        for (int i = 0; i < node->n_in && i < 32; i++)
            if (node->in[i])
                in[i] = node->in[i]->kind == NORNI_CONST ? node->in[i]->data : of[node->in[i]->id];
        NORNI_TRY(norni_node_eval(node, in, out));
        for (int k = 0; k < node->n_out && k < 32; k++)
            if (node->out[k])
                of[node->out[k]->id] = out[k];
    }
    return NORN_OK;
}

static norn_status evaluate(norni_eval *e, norn_graph *g) {
    norn_value *in[32] = {0}, *out[32] = {0};
    unsigned wanted = 0;
    for (int i = 0; i < e->n_in && i < 32; i++)
        in[i] = e->node->in[i] ? norni_value_const(g, NULL, norni_tensor_ref(e->in[i])) : NORNI_NONE;
    for (int k = 0; k < e->n_out && k < 32; k++)
        wanted |= e->out[k] ? 1u << k : 0;
    norn_node *node = norni_apply(g, e->node->op, e->attrs, e->n_in, in, wanted);
    size_t first = g->nodes.n;
    if (!node)
        return norn_graph_status(g);
    NORNI_TRY(e->node->op->expand(g, node, out));
    NORNI_TRY(norn_graph_status(g));
    size_t n = g->values.n;
    norn_tensor **of = norni_alloc_array(n + 1, sizeof *of);
    if (!of)
        return norni_nomem();
    norn_status s = run_nodes(g, first, of);
    for (int k = 0; k < e->n_out && k < 32 && s == NORN_OK; k++) {
        const norn_tensor *from = !out[k]                       ? NULL
                                  : out[k]->kind == NORNI_CONST ? out[k]->data
                                                                : of[out[k]->id];
        if (!e->out[k])
            continue;
        if (!from || from->dtype != e->out[k]->dtype ||
            norni_tensor_elems(from) != norni_tensor_elems(e->out[k]))
            s = norni_fail(NORN_INTERNAL, "%s: its expansion makes another output %d", e->node->op->name, k);
        else if (norni_tensor_elems(from))
            memcpy(norni_tensor_data(e->out[k]), norni_tensor_data(from),
                   norni_dtype_bytes(from->dtype, norni_tensor_elems(from)));
    }
    for (size_t i = 0; i < n; i++)
        norn_tensor_free(of[i]);
    norni_free(of);
    return s;
}

norn_status norni_eval_expansion(norni_eval *e) {
    norn_graph *g;
    norn_status s = norn_graph_new("expansion", &g);
    if (s != NORN_OK)
        return s;
    s = evaluate(e, g);
    norn_graph_free(g);
    return s;
}
