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

/* Emits y = the reduction of x over the axes with reduced[i]. dtype is that of x and y. */
norn_status norni_emit_reduce(norni_emit *e, norni_reduction how, norn_dtype dtype, int rank,
                              const int64_t *dims, const bool *reduced, norni_ref x, norni_ref y);

#endif
