/* SPDX-License-Identifier: Apache-2.0 */
/* Scattering by index, for the Scatter operators and the gradients of the Gather operators. */
#ifndef NORNI_SCATTER_H
#define NORNI_SCATTER_H
#include "ops/gather.h"

typedef enum {
    NORNI_REPLACE,
    NORNI_SCATTER_ADD,
    NORNI_SCATTER_MUL,
    NORNI_SCATTER_MAX,
    NORNI_SCATTER_MIN
} norni_joining;

/* Slices brought to the places of an indexed range: y[o][r] = x[o][r] joined with u[o][k] for those k whose index is r,
 * over [outer][range] and [outer][count] slices of `inner` elements. x -1: none, the start is 0. Index k is a tuple of
 * `width` indices (input `index_input` of the node) below dims; r is what they count to, row-major. */
typedef struct {
    norni_joining how;
    norn_dtype dtype;
    int index_input, width;
    const int64_t *dims;
    int64_t outer, range, count, inner;
    norni_ref x, u, y;
} norni_scatter;
norn_status norni_emit_scatter(norni_emit *e, const norni_scatter *s);

/* The gradient of y = scatter(x, index, u): `scatter` and `gather` are the texts of the operator without its reduction,
 * and of the one that reads the same places. */
void norni_scatter_gradient(norni_grad *c, norni_joining how, const char *scatter, const char *gather);

/* y[i] joined with u[k], on the host; of bools, sum and product are or and and. */
void norni_join_elems(norni_joining how, norn_dtype t, void *y, int64_t i, const void *u, int64_t k);

#endif
