/* SPDX-License-Identifier: Apache-2.0 */
/* Copies between strided layouts: what Transpose, Expand, Slice, Concat, Split and the like come down to; and what
 * other kernels that move rows of elements share. */
#ifndef NORNI_COPY_H
#define NORNI_COPY_H
#include "ops/op.h"

/* One side: element (i0, ..) lies at offset + sum of i_k * strides[k]; strides may be 0 or negative. */
enum { NORNI_COPY_RANK = 2 * NORN_MAX_RANK };
typedef struct {
    norni_ref ref;
    int64_t offset, strides[NORNI_COPY_RANK];
} norni_layout;

/* Emits to(i) = from(i) for all i below dims. rank may be up to NORNI_COPY_RANK where dimensions that are joined (sizes 1,
 * neighbours that both sides walk through evenly) leave no more than NORN_MAX_RANK. */
norn_status norni_emit_strided_copy(norni_emit *e, norn_dtype dtype, int rank, const int64_t *dims,
                                    const norni_layout *from, const norni_layout *to);

/* How `rows` rows of n elements are shared among work-items: each does `chunk` elements of `rows_each` rows, `width` at
 * a time; item i does part i % chunks of the rows from i / chunks * rows_each on. */
typedef struct {
    int width;
    int64_t rows_each, chunks, chunk, items;
} norni_row_split;
norni_row_split norni_split_rows(const norni_emit *e, int64_t rows, int64_t n, norn_dtype dtype);

/* A kernel for which elements are just so many bytes: T is the unsigned type of the size of dtype's, and T_NAME its name,
 * so that a program serves all types of a size. */
norni_step *norni_emit_move(norni_emit *e, const char *file, const char *kernel, norn_dtype dtype);

#endif
