/* SPDX-License-Identifier: Apache-2.0 */
/* Packed matrix product: C = alpha * A B + beta * D, A: M x K, B: K x N, row major, `batch` times.
 *
 *   pack_rows   panels of P rows:  dst[panel][k][p] = src[(panel * P + p) * s_row + k * s_col], zeros beyond the rows
 *   gemm        one work-item a tile of MR rows and NR columns; a: [M/MR][K][MR], b: [N/NR][K][NR]
 *
 *   -DMR=8  rows of the tile (A is read as scalars)        -DNR=32  columns, a multiple of W
 *   -DW=16  vector width: 4, 8, 16                         -DP=8    pack_rows: panel size
 *   -DHAS_D=1  adds beta * D, element (z, m, n) at z * d_stride + m * d_sm + n * d_sn
 *   -DCHANNEL_ROWS=1  the epilogue's channels are the rows, row m of matrix z is channel + z * channel_step + m
 * The range of gemm is (M/MR, N/NR, batch): dimension 0 walks the row panels, so that a panel of B stays in cache. */
#ifndef MR
#define MR 8
#endif
#ifndef W
#define W 16
#endif
#ifndef NR
#define NR (2 * W)
#endif
#ifndef P
#define P MR
#endif
#define NV (NR / W)
#define VEC CV(W)
#ifdef NORNI_REAL
#define FMA(a, b, c) fma(a, b, c)
#else
#define FMA(a, b, c) ((a) * (b) + (c))
#endif

#if !defined(NORNI_ONLY) || defined(K_pack_rows)
#if P % W == 0
/* One step of the transposition of W vectors of W elements: rows 2q and 2q + 1 become their even elements in row q and
 * their odd ones in row q + W/2. That rotates the bits of (row, column) by one; log2(W) steps exchange the two. */
#define HALF_STEP(from, to)                                                                                  \
    _Pragma("unroll") for (int q = 0; q < W / 2; q++) {                                                      \
        to[q] = (VEC)(from[2 * q].even, from[2 * q + 1].even);                                               \
        to[q + W / 2] = (VEC)(from[2 * q].odd, from[2 * q + 1].odd);                                         \
    }
static inline void transpose_block(VEC *x) {
    VEC t[W];
    HALF_STEP(x, t)
    HALF_STEP(t, x)
#if W == 8
    HALF_STEP(x, t)
#pragma unroll
    for (int q = 0; q < W; q++)
        x[q] = t[q];
#elif W == 16
    HALF_STEP(x, t)
    HALF_STEP(t, x)
#endif
}
#endif

/* Range: (panels, parts of K, batch). Panels of contiguous columns (s_row == 1) are copied, P elements an iteration;
 * those of contiguous rows (s_col == 1) are transposed in blocks of W x W, or by way of a tile where W does not divide P, so
 * that each row is read by whole vectors: rows that lie a power of two apart would evict each other from a cache that is
 * walked column by column. */
__kernel void pack_rows(__global const T *src, __global C *dst, const long rows, const long k, const long s_row,
                        const long s_col, const long src_offset, const long src_stride, const long k_part) {
    const long panel = get_global_id(0), k0 = get_global_id(1) * k_part, k1 = min(k0 + k_part, k);
    const long row = panel * P, n = min((long)P, rows - row);
    src += src_offset + get_global_id(2) * src_stride + row * s_row;
    dst += (get_global_id(2) * ((rows + P - 1) / P) + panel) * k * P;
    if (n <= 0)
        return;
    long i = k0;
#if P % W == 0
    if (n == P && s_col == 1)
        for (; i + W <= k1; i += W)
            for (int p = 0; p < P; p += W) {
                VEC x[W];
#pragma unroll
                for (int q = 0; q < W; q++)
                    x[q] = LDV(W, src, (p + q) * s_row + i);
                transpose_block(x);
#pragma unroll
                for (int q = 0; q < W; q++)
                    NORNI_CAT(vstore, W)(x[q], 0, dst + (i + q) * P + p);
            }
#else
    if (n == P && s_col == 1)
        for (; i + W <= k1; i += W) {
            C tile[P * W];
            for (int p = 0; p < P; p++)
                NORNI_CAT(vstore, W)(LDV(W, src, p * s_row + i), 0, tile + p * W);
            for (int q = 0; q < W; q++)
                for (int p = 0; p < P; p++)
                    dst[(i + q) * P + p] = tile[p * W + q];
        }
#endif
    if (n == P)
        for (; i < k1; i++)
            for (int p = 0; p < P; p++)
                dst[i * P + p] = LD(src, p * s_row + i * s_col);
    else
        for (; i < k1; i++)
            for (int p = 0; p < P; p++)
                dst[i * P + p] = p < n ? LD(src, p * s_row + i * s_col) : (C)0;
}
#endif

#if !defined(NORNI_ONLY) || defined(K_gemm)
__attribute__((reqd_work_group_size(1, 1, 1)))
__kernel void gemm(__global const C *a, __global const C *b, __global T *c, const long m, const long n, const long k,
                   const long a_stride, const long b_stride, const long b_offset, const long ldc, const long c_stride,
                   const long c_offset, const REAL alpha
#ifdef HAS_D
                   , __global const T *d, const REAL beta, const long d_sm, const long d_sn, const long d_offset,
                   const long d_stride
#endif
#ifdef CHANNEL_ROWS
                   , const long channel, const long channel_step
#endif
                   NORNI_EPI_ARGS) {
#ifdef ROWS_LAST /* neighbours lie side by side in c */
    const long i0 = get_global_id(1) * MR, j0 = get_global_id(0) * NR, z = get_global_id(2);
#else
    const long i0 = get_global_id(0) * MR, j0 = get_global_id(1) * NR, z = get_global_id(2);
#endif
    if (i0 >= m || j0 >= n)
        return;
    a += z * a_stride + i0 * k;
    b += b_offset + z * b_stride + j0 * k;
    VEC acc[MR][NV];
    for (int i = 0; i < MR; i++)
        for (int v = 0; v < NV; v++)
            acc[i][v] = (VEC)(0);
    for (long p = 0; p < k; p++) {
        VEC bv[NV];
#pragma unroll
        for (int v = 0; v < NV; v++)
            bv[v] = NORNI_CAT(vload, W)(v, b + p * NR);
#pragma unroll
        for (int i = 0; i < MR; i++) {
            const VEC av = (VEC)(a[p * MR + i]);
#pragma unroll
            for (int v = 0; v < NV; v++)
                acc[i][v] = FMA(av, bv[v], acc[i][v]);
        }
    }
    const size_t base = (size_t)(c_offset + z * c_stride);
#ifdef HAS_D
    d += d_offset + z * d_stride;
#endif
#ifdef CHANNEL_ROWS
#define CHANNEL(i, j) (size_t)(channel + z * channel_step + (i))
#else
#define CHANNEL(i, j) (size_t)(j)
#endif
#pragma unroll
    for (int i = 0; i < MR; i++) {
        if (i0 + i >= m)
            break;
        const size_t row = base + (size_t)((i0 + i) * ldc);
#pragma unroll
        for (int v = 0; v < NV; v++) {
            const long j = j0 + v * W;
            VEC x = acc[i][v];
#ifdef SCALE
            x *= (VEC)((C)alpha);
#endif
            if (j + W <= n) {
#ifdef HAS_D
                VEC dv;
                if (d_sn == 1)
                    dv = LDV(W, d, (i0 + i) * d_sm + j);
                else
                    dv = (VEC)(LD(d, (i0 + i) * d_sm));
                x = FMA((VEC)((C)beta), dv, x);
#endif
                STV(W, c, row + j, NORNI_EPI(W, x, row + j, CHANNEL(i0 + i, j)));
            } else {
                C s[W];
                NORNI_CAT(vstore, W)(x, 0, s);
                for (int l = 0; l < W && j + l < n; l++) {
                    C y = s[l];
#ifdef HAS_D
                    y = FMA((C)beta, LD(d, (i0 + i) * d_sm + (j + l) * d_sn), y);
#endif
                    ST(c, row + j + l, NORNI_EPI(1, y, row + j + l, CHANNEL(i0 + i, j + l)));
                }
            }
        }
    }
}
#endif

/* c[z][i][j] = d[z * d_stride + i * d_sm + j * d_sn]: what CLBlast then adds to. Range: (n, m, batch). */
#if !defined(NORNI_ONLY) || defined(K_spread)
__kernel void spread(__global const T *d, __global T *c, const long m, const long n, const long d_sm, const long d_sn,
                     const long ldc, const long c_stride, const long c_offset, const long d_offset,
                     const long d_stride) {
    const long j = get_global_id(0), i = get_global_id(1), z = get_global_id(2);
    if (i < m && j < n)
        c[c_offset + z * c_stride + i * ldc + j] = d[d_offset + z * d_stride + i * d_sm + j * d_sn];
}
#endif
