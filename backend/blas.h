/* SPDX-License-Identifier: Apache-2.0 */
/* CLBlast behind one call. */
#ifndef NORNI_BLAS_H
#define NORNI_BLAS_H
#include "base/status.h"

/* C = alpha * op(A) op(B) + beta * C, row major, for `batch` matrices that lie stride_* elements apart.
 * op(A) is M x K, op(B) is K x N, C is M x N; ld* are row lengths in elements of the stored matrices. dtype
 * is NORN_F32 or NORN_F64. */
typedef struct {
    norn_dtype dtype;
    bool trans_a, trans_b;
    int64_t m, n, k, batch;
    double alpha, beta;
    const norn_buffer *a, *b;
    norn_buffer *c;
    int64_t a_offset, b_offset, c_offset; /* elements */
    int64_t lda, ldb, ldc, stride_a, stride_b, stride_c;
    const char *what; /* for messages and the profile */
} norni_gemm;

norn_status norni_blas_gemm(norn_context *ctx, const norni_gemm *g);
/* "CLBlast 1.5.3" as far as the library tells, for reports. */
const char *norni_blas_name(void);

#endif
