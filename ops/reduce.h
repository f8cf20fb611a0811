/* SPDX-License-Identifier: Apache-2.0 */
/* Reductions: one group of neighbouring axes a pass, x [outer][r][inner] to y [outer][inner]. */
#ifndef NORNI_REDUCE_H
#define NORNI_REDUCE_H
#include "ops/op.h"

typedef enum {
    NORNI_SUM,
    NORNI_MEAN,
    NORNI_MAX,
    NORNI_MIN,
    NORNI_PROD,
    NORNI_L1,
    NORNI_L2,
    NORNI_SUM_SQUARE,
    NORNI_LOG_SUM
} norni_reduction;

typedef struct {
    int64_t keepdims, noop_with_empty_axes;
    norni_ints axes; /* before opset 13 or 18 */
} norni_reduce_attrs;

/* Which axes the node reduces. known: 1, or 0 where its axes input is not known yet. */
norn_status norni_reduced_axes(norn_node *node, int rank, bool set[NORN_MAX_RANK], int *known);

/* The rules of the gradients. */
void norni_reduce_grad_extreme(norni_grad *c), norni_reduce_grad_l1(norni_grad *c),
    norni_reduce_grad_l2(norni_grad *c), norni_reduce_grad_log_sum(norni_grad *c),
    norni_reduce_grad_log_sum_exp(norni_grad *c), norni_reduce_grad_mean(norni_grad *c),
    norni_reduce_grad_prod(norni_grad *c), norni_reduce_grad_sum(norni_grad *c),
    norni_reduce_grad_sum_square(norni_grad *c);

/* Emits y = the reduction of x over the axes with reduced[i]. dtype is that of x and y. */
norn_status norni_emit_reduce(norni_emit *e, norni_reduction how, norn_dtype dtype, int rank,
                              const int64_t *dims, const bool *reduced, norni_ref x, norni_ref y);

#endif
