/* SPDX-License-Identifier: Apache-2.0 */
/* Copies between strided layouts: what Transpose, Expand, Slice, Concat, Split, Pad and the like come down
 * to. */
#ifndef NORNI_COPY_H
#define NORNI_COPY_H
#include "ops/op.h"

/* One side: element (i0, ..) lies at offset + sum of i_k * strides[k]; strides may be 0 or negative. */
typedef struct {
    norni_ref ref;
    int64_t offset, strides[NORN_MAX_RANK];
} norni_layout;

/* Emits to(i) = from(i) for all i below dims. */
norn_status norni_emit_strided_copy(norni_emit *e, norn_dtype dtype, int rank, const int64_t *dims,
                                    const norni_layout *from, const norni_layout *to);

#endif
