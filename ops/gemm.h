/* SPDX-License-Identifier: Apache-2.0 */
/* Matrix products for the operators that are made of them (Gemm, MatMul, Conv and its gradients).
 *
 *     C[b] = alpha * op(A[b]) op(B[b]) + beta * D,      op(A): M x K, op(B): K x N, row major
 *
 * D is broadcast: element (b, m, n) at d_offset + b * d_stride + m * d_sm + n * d_sn. Own kernel: operands are packed into panels, one
 * work-item computes a tile of MR x NR from a panel of each (after Goto and van de Geijn, "Anatomy of
 * High-Performance Matrix Multiplication", 2008). CLBlast takes float and double. */
#ifndef NORNI_GEMM_H
#define NORNI_GEMM_H
#include "ops/op.h"

/* One operand: a stored matrix with rows of `ld` elements; trans: the product uses its transpose. */
typedef struct {
    norni_ref ref;
    int input; /* index of the node's input it is, for prepacking what never changes; -1: none */
    bool trans;
    int64_t ld, stride; /* stride: elements from one matrix of the batch to the next; 0: the same for all */
    int64_t offset;     /* elements */
    norn_dtype dtype;   /* when it is not the product's (own kernel only) */
    int64_t outer; /* like stride, from one group of matrices to the next, where the product has groups */
} norni_matrix;

typedef struct {
    norn_dtype dtype, c_dtype; /* c_dtype: of C and D, when it is not dtype (own kernel only) */
    int64_t m, n, k, batch;
    int64_t inner; /* own kernel: matrices of a group, which divides the batch: matrix z of A lies at
                      z / inner * outer + z % inner * stride, and so of B; 0: there are no groups */
    double alpha, beta;
    norni_matrix a, b;
    norni_ref c;
    int64_t ldc, stride_c, c_offset;
    norni_ref d; /* -1: none */
    int64_t d_sm, d_sn, d_offset, d_stride;
    /* Own kernel: a.ref holds panels [m / mr][k][mr], b.ref [n / nr][k][nr] of the compute type (norni_gemm_tile). */
    bool a_packed, b_packed;
    int64_t tile_n; /* the n that a packed operand's tile was chosen for, when it is not n */
    /* The node's epilogue applies to C, at c_offset of the output, which C's elements belong to. Its channels are
     * the columns, or else (channel_rows) row i of matrix b is channel `channel` + b * channel_step + i. */
    bool epilogue, channel_rows;
    int64_t channel, channel_step;
} norni_product;

/* Register tile of the own kernel for a product on a device. */
void norni_gemm_tile(const norn_device *d, norn_dtype t, int64_t m, int64_t n, int *mr, int *nr, int *width);
norn_status norni_emit_product(norni_emit *e, const norni_product *p); /* on GPUs the next, where it can */
/* What a step of either kernel is given last: alpha, beta D, channels, epilogue. */
void norni_emit_product_end(norni_emit *e, norni_step *s, const norni_product *p, unsigned widths);
/* The same in tiles that work-groups share, for GPUs; what it has no form for goes to norni_emit_product. */
norn_status norni_emit_product_tiled(norni_emit *e, const norni_product *p);
bool norni_tiled_takes(const norn_device *d, const norni_product *p);
const char *norni_tiled_fits(const norni_fit *f); /* by the type of the node's first input */
/* The same through CLBlast; beta * D is written into C first, unless D is C. */
norn_status norni_emit_product_blas(norni_emit *e, const norni_product *p);
/* For norni_impl.fits, by the type of the node's first input; best: fits, and is taken before norn's own tiles, on GPUs, by a
 * tuning record or else from a size on where its tuned kernels make up for the pass that an epilogue then takes. */
const char *norni_blas_fits(const norni_fit *f);
const char *norni_blas_best(const norni_fit *f, int64_t m, int64_t n, int64_t k);

#endif
