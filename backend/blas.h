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

/* ---- The parameters of CLBlast's kernels that a product runs through. They are set for a device and an element type, for
 * all products and the whole process, in place of those that CLBlast ships for the device. */
enum { NORNI_BLAS_KERNELS = 7, NORNI_BLAS_PARAMETERS = 16 };
typedef enum { NORNI_BLAS_POWER, NORNI_BLAS_FLAG, NORNI_BLAS_NUMBER } norni_blas_kind;
typedef struct {
    const char *name; /* as CLBlast calls it */
    norni_blas_kind kind;
    int lo, hi; /* a power of two, 0 or 1, or any number from lo to hi */
} norni_blas_parameter;
typedef struct {
    const char *name;
    int n;
    norni_blas_parameter p[NORNI_BLAS_PARAMETERS];
} norni_blas_kernel;
extern const norni_blas_kernel norni_blas_kernels[NORNI_BLAS_KERNELS];
enum { NORNI_BLAS_XGEMM, NORNI_BLAS_DIRECT, NORNI_BLAS_ROUTINE, NORNI_BLAS_COPY }; /* and others that copy */

/* NULL when the kernel computes with these values on the device, else what they break. */
const char *norni_blas_illegal(const norn_device *d, norn_dtype t, int kernel, const int *values);
/* Values as "GEMMK=0 KREG=1 ...", as many as the kernel has; false: not such a text. */
bool norni_blas_values_parse(int kernel, const char *text, int *values);
void norni_blas_values_print(int kernel, const int *values, char *out, size_t bytes);
/* NORN_ARG when the values are illegal, NORN_UNSUPPORTED when CLBlast does not take them. */
norn_status norni_blas_override(norn_context *ctx, norn_dtype t, int kernel, const int *values);
/* True the first time for a context and type. */
bool norni_blas_first(norn_context *ctx, norn_dtype t);

#endif
