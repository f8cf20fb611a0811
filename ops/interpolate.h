/* SPDX-License-Identifier: Apache-2.0 */
/* norn.Interpolate: one axis resampled by tables, which Resize is made of. */
#ifndef NORNI_INTERPOLATE_H
#define NORNI_INTERPOLATE_H
#include "ops/op.h"

/* For each of n_out places `taps` places of the input and their weights, stored as [taps][n_out]; place -1: nothing.
 * weight NULL: one tap of weight 1. */
typedef struct {
    int64_t taps, n_out;
    int32_t *index;
    double *weight;
} norni_taps;

norn_status norni_taps_alloc(int64_t taps, int64_t n_out, bool weighted, norni_taps *t);
void norni_taps_free(norni_taps *t);
/* The table of the gradient: for each of n places of the input the outputs that it went into. */
norn_status norni_taps_transpose(const norni_taps *t, int64_t n, norni_taps *out);
/* x resampled along an axis. */
norn_value *norni_interpolate(norn_graph *g, norn_value *x, int axis, const norni_taps *t);

#endif
