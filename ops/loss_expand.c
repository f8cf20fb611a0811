/* SPDX-License-Identifier: Apache-2.0 */
/* The classification losses by simpler operators: [class is label] by comparing with 0 .. C - 1. Where no class is the
 * label, its weight is 0 / 0. */
#include "ops/loss.h"

typedef norni_loss_form form;
typedef struct {
    norn_graph *g;
    const norn_node *node;
    const form *f;
    norn_value *x, *labels, *hit, *w; /* hit: bool like x; w: weights of the samples, like labels */
    norn_value *axis;                 /* int64[1]{1} */
    norn_dtype dtype;
} expansion;

static norn_value *over_classes(expansion *x, const char *op, norn_value *v, bool keep) {
    return NORNI_OP2(x->g, v, x->axis, "%s<keepdims=%d>", op, keep);
}

static norn_status expansion_begin(expansion *x, norn_graph *g, const norn_node *node, const form *f) {
    *x = (expansion){.g = g, .node = node, .f = f, .x = node->in[f->x], .labels = node->in[f->labels]};
    const norni_type *t = &x->x->type;
    int64_t shape[NORN_MAX_RANK] = {0};
    norn_tensor *classes;
    if (t->rank < 2 || t->dims[1] < 0)
        return norni_fail(NORN_SHAPE, "%s: the number of classes is not known", node->op->name);
    for (int i = 0; i < t->rank; i++)
        shape[i] = i == 1 ? t->dims[1] : 1;
    NORNI_TRY(norni_tensor_host(x->labels->type.dtype, t->rank, shape, &classes));
    for (int64_t i = 0; i < t->dims[1]; i++)
        norni_set_int(classes->dtype, norni_tensor_data(classes), i, i);
    x->dtype = t->dtype;
    x->axis = norni_i64_const(g, 1, (int64_t[]){1});
    x->hit = NORNI_OP2(g, NORNI_OP2(g, x->labels, x->axis, "Unsqueeze"), norni_value_const(g, NULL, classes),
                       "Equal");
    norn_value *one = NORNI_OP1(g, x->hit, "Cast<to=%d>", (int)x->dtype),
               *count = over_classes(x, "ReduceSum", one, false);
    norn_value *sum = count;
    if (norni_loss_has(node, f->weights)) {
        shape[1] = -1;
        norn_value *w = NORNI_OP2(g, node->in[f->weights], norni_i64_const(g, t->rank, shape), "Reshape");
        sum = over_classes(x, "ReduceSum", NORNI_OP2(g, one, w, "Mul"), false);
    }
    x->w = NORNI_OP2(g, sum, count, "Div");
    if (norni_loss_ignores(node)) {
        norni_type scalar = {.dtype = x->labels->type.dtype};
        norn_value *ignored =
            NORNI_OP2(g, x->labels,
                      norni_fill_const(g, &scalar, (double)norni_loss_attrs_of(node)->ignore_index), "Equal");
        x->w = NORNI_OP3(g, ignored, norni_scalar_const(g, x->dtype, 0), x->w, "Where");
    }
    return norn_graph_status(g);
}

static norn_value *kept(expansion *x, norn_value *v) {
    return norni_loss_kept(x->dtype) == x->dtype
               ? v
               : NORNI_OP1(x->g, v, "Cast<to=%d>", (int)norni_loss_kept(x->dtype));
}

static norn_status expand_loss(norn_graph *g, const norn_node *node, norn_value **out, const form *f) {
    expansion x;
    int reduction = norni_loss_attrs_of(node)->reduction;
    NORNI_TRY(expansion_begin(&x, g, node, f));
    norn_value *lp = f->logits ? NORNI_OP1(g, x.x, "LogSoftmax<axis=1>") : x.x;
    norn_value *zero = norni_scalar_const(g, x.dtype, 0);
    norn_value *picked = over_classes(&x, "ReduceSum", NORNI_OP3(g, x.hit, lp, zero, "Where"), false);
    norn_value *loss = NORNI_OP1(g, NORNI_OP2(g, x.w, picked, "Mul"), "Neg");
    norn_value *total = NORNI_OP1(g, x.w, "ReduceSum<keepdims=0>");
    if (reduction != NORNI_LOSS_NONE)
        loss = NORNI_OP1(g, loss, "ReduceSum<keepdims=0>");
    out[NORNI_LOSS_OUT] = reduction == NORNI_LOSS_MEAN ? NORNI_OP2(g, loss, total, "Div") : loss;
    if (!f->logits) {
        out[NORNI_NLL_TOTAL] = kept(&x, total);
        return norn_graph_status(g);
    }
    out[NORNI_LOSS_LOG_PROB] = lp;
    out[NORNI_LOSS_TOTAL] = kept(&x, total);
    if (node->n_out > NORNI_LOSS_LOG_SUM && (node->out[NORNI_LOSS_PEAK] || node->out[NORNI_LOSS_LOG_SUM])) {
        norn_value *s = kept(&x, x.x), *m = over_classes(&x, "ReduceMax", s, true);
        norn_value *e = NORNI_OP1(g, NORNI_OP2(g, s, m, "Sub"), "Exp");
        out[NORNI_LOSS_PEAK] = over_classes(&x, "ReduceMax", s, false);
        out[NORNI_LOSS_LOG_SUM] = NORNI_OP1(g, over_classes(&x, "ReduceSum", e, false), "Log");
    }
    return norn_graph_status(g);
}
norn_status norni_loss_expand(norn_graph *g, const norn_node *node, norn_value **out) {
    return expand_loss(g, node, out, &norni_loss_forward);
}
norn_status norni_nll_expand(norn_graph *g, const norn_node *node, norn_value **out) {
    return expand_loss(g, node, out, &norni_nll_forward);
}

static norn_status expand_grad_of(norn_graph *g, const norn_node *node, norn_value **out, const form *f) {
    expansion x;
    NORNI_TRY(expansion_begin(&x, g, node, f));
    norn_value *dy = node->in[f->dy], *factor = NORNI_OP2(g, x.w, dy, "Mul"),
               *zero = norni_scalar_const(g, x.dtype, 0);
    if (norni_loss_attrs_of(node)->reduction == NORNI_LOSS_MEAN)
        factor = NORNI_OP2(g, factor, NORNI_OP1(g, x.w, "ReduceSum<keepdims=0>"), "Div");
    factor = NORNI_OP2(g, factor, x.axis, "Unsqueeze");
    if (f->logits) {
        norn_value *one = NORNI_OP1(g, x.hit, "Cast<to=%d>", (int)x.dtype);
        norn_value *p = NORNI_OP1(g, x.x, "Softmax<axis=1>");
        out[0] = NORNI_OP2(g, factor, NORNI_OP2(g, p, one, "Sub"), "Mul");
    } else /* zero, or NaN */
        out[0] = NORNI_OP3(g, x.hit, NORNI_OP1(g, factor, "Neg"), NORNI_OP2(g, factor, zero, "Mul"), "Where");
    return norn_graph_status(g);
}
norn_status norni_loss_grad_expand(norn_graph *g, const norn_node *node, norn_value **out) {
    return expand_grad_of(g, node, out, &norni_loss_backward);
}
norn_status norni_nll_grad_expand(norn_graph *g, const norn_node *node, norn_value **out) {
    return expand_grad_of(g, node, out, &norni_nll_backward);
}
