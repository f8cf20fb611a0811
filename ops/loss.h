/* SPDX-License-Identifier: Apache-2.0 */
/* What the classification losses and their expansions share. */
#ifndef NORNI_LOSS_H
#define NORNI_LOSS_H
#include "ops/op.h"

typedef struct {
    int64_t ignore_index; /* absent: none */
    int reduction;
} norni_loss_attrs;
enum { NORNI_LOSS_MEAN, NORNI_LOSS_SUM, NORNI_LOSS_NONE };

/* Outputs. The hidden ones: m = max x and ln sum e^(x - m) of each sample, and the sum of the weights. */
enum {
    NORNI_LOSS_OUT,
    NORNI_LOSS_LOG_PROB,
    NORNI_LOSS_PEAK,
    NORNI_LOSS_LOG_SUM,
    NORNI_LOSS_TOTAL,
    NORNI_NLL_TOTAL = 1
};

/* Inputs of the four operators by meaning; -1: has none. */
typedef struct {
    int dy, x, labels, weights, peak, log_sum, total;
    bool logits; /* x are scores, not log probabilities */
} norni_loss_form;
extern const norni_loss_form norni_loss_forward, norni_nll_forward, norni_loss_backward, norni_nll_backward;

static inline bool norni_loss_has(const norn_node *node, int i) {
    return i >= 0 && i < node->n_in && node->in[i];
}
static inline const norni_loss_attrs *norni_loss_attrs_of(const norn_node *node) {
    return node->attrs;
}
static inline bool norni_loss_ignores(const norn_node *node) {
    return norni_loss_attrs_of(node)->ignore_index != NORNI_NO_INT;
}
/* The type of what is kept for the gradient. */
static inline norn_dtype norni_loss_kept(norn_dtype t) {
    return t == NORN_F64 ? NORN_F64 : t == NORN_UNDEFINED ? t : NORN_F32;
}

norn_status norni_loss_expand(norn_graph *g, const norn_node *node, norn_value **out);
norn_status norni_nll_expand(norn_graph *g, const norn_node *node, norn_value **out);
norn_status norni_loss_grad_expand(norn_graph *g, const norn_node *node, norn_value **out);
norn_status norni_nll_grad_expand(norn_graph *g, const norn_node *node, norn_value **out);

#endif
