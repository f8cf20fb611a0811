/* SPDX-License-Identifier: Apache-2.0 */
/* What operators with indices share. */
#ifndef NORNI_GATHER_H
#define NORNI_GATHER_H
#include "ops/copy.h"

/* An index into a dimension of size d: those below 0 count from the end. False when it lies outside. */
bool norni_index_place(int64_t index, int64_t d, int64_t *place);
/* All elements of t are indices into dimension `axis` of size d. The error names t as "indices". */
norn_status norni_check_indices(const norn_tensor *t, int axis, int64_t d);
/* The same for tuples of indices along t's last dimension, the first of them into dimension `from` of dims. */
norn_status norni_check_tuples(const norn_tensor *t, int from, const int64_t *dims);
/* Tuple k as a place in a row-major range of shape dims; false when it lies outside. */
bool norni_tuple_place(const norn_tensor *t, int64_t k, int width, const int64_t *dims, int64_t *place);
/* Indices for GatherElements and ScatterElements fit x: its rank, and nowhere larger but along the axis. */
norn_status norni_element_indices(const norni_type *x, const norni_type *index, int axis);
/* Defines IDX as the type of the indices of input i. */
void norni_define_index(norni_emit *e, norni_step *s, int i);

#endif
