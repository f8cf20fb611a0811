/* SPDX-License-Identifier: Apache-2.0 */
/* The invariants of a graph, checked one by one. */
#include "graph/graph.h"
#include "ops/op.h"
#include <string.h>

static norn_status broken(const norn_node *n, const char *what) {
    return norni_fail(NORN_INTERNAL, "graph: node %d (%s): %s", n->id,
                      n->op == &norni_op_unknown ? n->type : n->op->name, what);
}

static norn_status verify_node(const norn_graph *g, const norn_node *n, const bool *defined) {
    if (n->graph != g)
        return broken(n, "belongs to another graph");
    for (int i = 0; i < n->n_in; i++) {
        const norn_value *v = n->in[i];
        if (!v)
            continue;
        if (v->graph != g || v->id < 0 || (size_t)v->id >= g->values.n || g->values.v[v->id] != v)
            return broken(n, "reads a value of another graph");
        if (!defined[v->id])
            return broken(n, "reads a value before it is made");
    }
    for (int k = 0; k < n->n_out; k++) {
        const norn_value *v = n->out[k];
        if (!v)
            continue;
        if (v->kind != NORNI_RESULT || v->producer != n || v->index != k)
            return broken(n, "an output names another producer");
        if (defined[v->id])
            return broken(n, "an output is made twice");
        const norni_param *p = norni_op_output(n->op, k);
        if (!p || (v->type.dtype != NORN_UNDEFINED && p->types && !(p->types & NORNI_T(v->type.dtype))))
            return broken(n, "an output has a type that the operator does not give");
    }
    return NORN_OK;
}

norn_status norn_graph_verify(const norn_graph *g) {
    NORNI_TRY(norn_graph_status(g));
    bool *defined = norni_alloc_array(g->values.n + 1, sizeof *defined);
    norn_status s = defined ? NORN_OK : norni_nomem();
    for (size_t i = 0; i < g->values.n && s == NORN_OK; i++) {
        const norn_value *v = g->values.v[i];
        defined[i] = v->kind != NORNI_RESULT;
        if (v->kind == NORNI_CONST &&
            (!v->data || v->data->dtype != v->type.dtype || v->data->rank != v->type.rank))
            s = norni_fail(NORN_INTERNAL, "graph: constant %zu has no data of its type", i);
    }
    for (size_t i = 0; i < g->nodes.n && s == NORN_OK; i++) {
        const norn_node *n = g->nodes.v[i];
        if (n->id != (int)i)
            s = broken(n, "has another place than its number says");
        else
            s = verify_node(g, n, defined);
        for (int k = 0; k < n->n_out && s == NORN_OK; k++)
            if (n->out[k])
                defined[n->out[k]->id] = true;
    }
    for (size_t i = 0; i < g->outputs.n && s == NORN_OK; i++) {
        if (!defined[g->outputs.v[i].value->id])
            s = norni_fail(NORN_INTERNAL, "graph: output '%s' is made by no node", g->outputs.v[i].name);
        for (size_t k = 0; k < i && s == NORN_OK; k++)
            if (!strcmp(g->outputs.v[i].name, g->outputs.v[k].name))
                s = norni_fail(NORN_INTERNAL, "graph: two outputs are called '%s'", g->outputs.v[i].name);
    }
    for (size_t i = 0; i < g->states.n && s == NORN_OK; i++) {
        const norni_state *st = &g->states.v[i];
        if (!st->value->name || st->value->kind != NORNI_STATE)
            s = norni_fail(NORN_INTERNAL, "graph: state %zu has no name", i);
        else if (st->next && (!defined[st->next->id] || !norni_type_equal(&st->next->type, &st->value->type)))
            s = norni_fail(NORN_INTERNAL, "graph: the update of state '%s' is missing or of another type",
                           st->value->name);
    }
    norni_free(defined);
    return s;
}
