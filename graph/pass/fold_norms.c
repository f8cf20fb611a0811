/* SPDX-License-Identifier: Apache-2.0 */
/* Normalisation in inference after a convolution, with a = inv scale a channel:
 *
 *     (w * x + bias - mean) a + b  =  (w a) * x + ((bias - mean) a + b)
 *
 * where all but x never change: the new weights and bias are computed once. */
#include "graph/graph.h"
#include "ops/builder.h"
#include "ops/op.h"
#include <string.h>

extern const norn_op norni_op_BatchNormApply, norni_op_Conv;

enum { X, SCALE, B, MEAN, INV }; /* inputs of norn.BatchNormApply */

/* Never changes: constants and states that are not updated, and what is computed from those. */
static bool steady(const norn_value *v, int depth) {
    if (v->kind != NORNI_RESULT)
        return norni_value_steady(v);
    const norn_node *n = v->producer;
    if (!depth || n->op->random)
        return false;
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i] && !steady(n->in[i], depth - 1))
            return false;
    return true;
}

static bool foldable(const norn_node *node, const int *uses) {
    enum { DEPTH = 6 };
    if (node->op != &norni_op_BatchNormApply)
        return false;
    const norn_value *y = node->in[X];
    const norn_node *conv = y->producer;
    if (!conv || conv->op != &norni_op_Conv || uses[y->id] != 1)
        return false;
    for (int i = 1; i < conv->n_in; i++)
        if (conv->in[i] && !steady(conv->in[i], DEPTH))
            return false;
    if (!norni_type_static(&conv->in[1]->type) || node->out[0]->type.dtype != y->type.dtype)
        return false;
    for (int i = SCALE; i <= INV; i++) {
        const norni_type *t = &node->in[i]->type;
        if (!steady(node->in[i], DEPTH) || t->dtype != y->type.dtype || t->rank != 1 ||
            t->dims[0] != conv->in[1]->type.dims[0])
            return false;
    }
    return true;
}

static norn_status fold(norni_rebuild *r, const norn_node *node, norn_value **in, bool *done) {
    if (!foldable(node, r->ctx))
        return NORN_OK;
    norn_graph *g = r->to;
    const norn_node *conv = in[X]->producer; /* as it is in the new graph */
    if (!conv || conv->op != &norni_op_Conv)
        return NORN_OK;
    norn_value *w = conv->in[1], *bias = conv->n_in > 2 ? conv->in[2] : NULL;
    norn_value *a = NORNI_OP2(g, in[INV], in[SCALE], "Mul");
    norn_value *from = bias ? NORNI_OP2(g, bias, in[MEAN], "Sub") : NORNI_OP1(g, in[MEAN], "Neg");
    norn_value *b = NORNI_OP2(g, NORNI_OP2(g, from, a, "Mul"), in[B], "Add");
    norn_value *scaled = NORNI_OP2(g, w, norni_along_channels(g, a, w->type.rank + 1), "Mul");
    norn_value *inputs[] = {conv->in[0], scaled, b};
    norn_node *made = norni_apply(g, conv->op, conv->attrs, 3, inputs, 1);
    if (!made)
        return norn_graph_status(g);
    made->name = conv->name;
    r->map[node->out[0]->id] = made->out[0];
    *done = true;
    return NORN_OK;
}

norn_status norni_graph_fold_norms(norn_graph **g) {
    int *uses = norni_graph_uses(*g);
    bool any = false;
    if (!uses)
        return norni_nomem();
    for (size_t i = 0; i < (*g)->nodes.n && !any; i++)
        any = foldable((*g)->nodes.v[i], uses);
    norn_status s = NORN_OK;
    /* Twice: the first time folds, the second computes what has become constant and drops what nobody reads. */
    for (int round = 0; round < 2 && any && s == NORN_OK; round++) {
        norni_rebuild r = {.from = *g,
                           .fold = true,
                           .merge = true,
                           .fold_limit_elems = 1 << 14,
                           .rewrite = round ? NULL : fold,
                           .ctx = uses};
        s = norni_rebuild_run(&r);
        if (s == NORN_OK) {
            norn_graph_free(*g);
            *g = r.to;
        }
    }
    norni_free(uses);
    return s;
}
