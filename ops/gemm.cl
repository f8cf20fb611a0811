/* SPDX-License-Identifier: Apache-2.0 */
/* Packed matrix product: C = alpha * A B + beta * D, A: M x K, B: K x N, row major, `batch` times.
 *
 *   pack_rows   panels of P rows:  dst[panel][k][p] = src[(panel * P + p) * s_row + k * s_col], zeros beyond the rows
 *   gemm        one work-item a tile of MR rows and NR columns; a: [M/MR][K][MR], b: [N/NR][K][NR]
 *   dots        one work-item MR rows of A by NR columns of B, both along K in memory: vectors of products, summed at the end
 *
 *   -DMR=8  rows of the tile (A is read as scalars)        -DNR=32  columns, a multiple of W
 *   -DW=16  vector width: 4, 8, 16                         -DP=8    pack_rows: panel size
 *   -DA_ROWS=1  gemm: A as it is, element (i, p) at i * a_row + p * a_col
 *   -DB_ROWS=1  gemm: B as it is, element (p, j) at p * b_row + j; N is at least NR
 *   -DGROUPS=1  matrix z of A lies at z / inner * a_outer + z % inner * a_stride, of B likewise
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

#if !defined(NORNI_ONLY) || defined(K_gemm) || defined(K_dots)
#ifdef HAS_D
#define D_ARGS , __global const T *d, const REAL beta, const long d_sm, const long d_sn, const long d_offset, const long d_stride
#else
#define D_ARGS
#endif
#ifdef CHANNEL_ROWS
#define CHANNEL_ARGS , const long channel, const long channel_step
#define CHANNEL(i, j) (size_t)(channel + z * channel_step + (i))
#else
#define CHANNEL_ARGS
#define CHANNEL(i, j) (size_t)(j)
#endif
#ifdef GROUPS
#define GROUP_ARGS , const long inner, const long a_outer, const long b_outer
#define A_MATRIX(z) ((z) / inner * a_outer + (z) % inner * a_stride)
#define B_MATRIX(z) ((z) / inner * b_outer + (z) % inner * b_stride)
#else
#define GROUP_ARGS
#define A_MATRIX(z) ((z) * a_stride)
#define B_MATRIX(z) ((z) * b_stride)
#endif
#ifdef A_ROWS
#define A_ARGS , const long a_offset, const long a_row, const long a_col
#else
#define A_ARGS
#endif
#ifdef B_ROWS
#define B_ARGS , const long b_row
#else
#define B_ARGS
#endif
#ifdef HAS_D
#define ADD_D(y, i, j) FMA((C)beta, LD(d, (i) * d_sm + (j) * d_sn), y)
#else
#define ADD_D(y, i, j) (y)
#endif
#endif

#if !defined(NORNI_ONLY) || defined(K_gemm)
#ifdef SCALE
#define SCALED(x) ((x) * ((C)alpha))
#else
#define SCALED(x) (x)
#endif
#ifdef HAS_D
#define ADD_D_VECTOR(x, i, j)                                                                                \
    FMA((VEC)((C)beta), d_sn == 1 ? LDV(W, d, (i) * d_sm + (j)) : (VEC)(LD(d, (i) * d_sm)), x)
#else
#define ADD_D_VECTOR(x, i, j) (x)
#endif
#define AT(i, j) (base + (size_t)((i) * ldc + (j)))
#define STORE_VECTOR(x, i, j)                                                                                \
    STV(W, c, AT(i, j), NORNI_EPI(W, ADD_D_VECTOR(SCALED(x), i, j), AT(i, j), CHANNEL(i, j)))
__attribute__((reqd_work_group_size(1, 1, 1)))
__kernel void gemm(__global const C *a, __global const C *b, __global T *c, const long m, const long n, const long k,
                   const long a_stride, const long b_stride, const long b_offset, const long ldc, const long c_stride,
                   const long c_offset A_ARGS B_ARGS GROUP_ARGS, const REAL alpha D_ARGS CHANNEL_ARGS NORNI_EPI_ARGS) {
#ifdef ROWS_LAST /* neighbours lie side by side in c */
    const long i0 = get_global_id(1) * MR, j0 = get_global_id(0) * NR, z = get_global_id(2);
#else
    const long i0 = get_global_id(0) * MR, j0 = get_global_id(1) * NR, z = get_global_id(2);
#endif
    if (i0 >= m || j0 >= n)
        return;
#ifdef A_ROWS /* rows beyond the last are its copies, and not stored */
    __global const C *rows[MR];
    a += a_offset + A_MATRIX(z);
#pragma unroll
    for (int i = 0; i < MR; i++)
        rows[i] = a + min(i0 + i, m - 1) * a_row;
#define A_AT(i, p) rows[i][(p) * a_col]
#else
    a += A_MATRIX(z) + i0 * k;
#define A_AT(i, p) a[(p) * MR + (i)]
#endif
#ifdef B_ROWS /* the last tile begins earlier, and stores what is its own */
    const long first = min(j0, n - NR);
    b += b_offset + B_MATRIX(z) + first;
#define B_STEP b_row
#else
    const long first = j0;
    b += b_offset + B_MATRIX(z) + j0 * k;
#define B_STEP NR
#endif
    VEC acc[MR][NV];
    for (int i = 0; i < MR; i++)
        for (int v = 0; v < NV; v++)
            acc[i][v] = (VEC)(0);
    for (long p = 0; p < k; p++) {
        VEC bv[NV];
#pragma unroll
        for (int v = 0; v < NV; v++)
            bv[v] = NORNI_CAT(vload, W)(v, b + p * B_STEP);
#pragma unroll
        for (int i = 0; i < MR; i++) {
            const VEC av = (VEC)(A_AT(i, p));
#pragma unroll
            for (int v = 0; v < NV; v++)
                acc[i][v] = FMA(av, bv[v], acc[i][v]);
        }
    }
    const size_t base = (size_t)(c_offset + z * c_stride);
#ifdef HAS_D
    d += d_offset + z * d_stride;
#endif
#if MR * NV * NORNI_EPI_OPS <= 64
    if (i0 + MR <= m && first == j0 && j0 + NR <= n) {
#pragma unroll
        for (int i = 0; i < MR; i++)
#pragma unroll
            for (int v = 0; v < NV; v++)
                STORE_VECTOR(acc[i][v], i0 + i, first + v * W);
    } else
#endif
    { /* What is left, in one loop: a copy for each vector of the tile would take longer to compile than all else. */
        C tile[MR * NR];
#pragma unroll
        for (int i = 0; i < MR; i++)
#pragma unroll
            for (int v = 0; v < NV; v++)
                NORNI_CAT(vstore, W)(acc[i][v], i * NV + v, tile);
        const int rows_left = (int)min((long)MR, m - i0);
#if MR * NV * NORNI_EPI_OPS > 64
        if (rows_left == MR && first == j0 && j0 + NR <= n) {
            NORNI_NO_UNROLL
            for (int i = 0; i < MR; i++)
#pragma unroll
                for (int v = 0; v < NV; v++)
                    STORE_VECTOR(NORNI_CAT(vload, W)(i * NV + v, tile), i0 + i, first + v * W);
        } else
#endif
        NORNI_NO_UNROLL
        for (int i = 0; i < rows_left; i++)
            NORNI_NO_UNROLL
            for (int v = 0; v < NV; v++) {
                const long j = first + v * W;
                const C *s = tile + (i * NV + v) * W;
                if (j >= j0 && j + W <= n)
                    STORE_VECTOR(NORNI_CAT(vload, W)(0, s), i0 + i, j);
                else
                    for (int l = (int)max(j0 - j, 0L); l < W && j + l < n; l++) {
                        const C y = ADD_D(SCALED(s[l]), i0 + i, j + l);
                        ST(c, AT(i0 + i, j + l), NORNI_EPI(1, y, AT(i0 + i, j + l), CHANNEL(i0 + i, j + l)));
                    }
            }
    }
}
#endif

#if !defined(NORNI_ONLY) || defined(K_dots)
NORNI_JOIN_LANES(sum_lanes, C, NORNI_PLUS)
__attribute__((reqd_work_group_size(1, 1, 1)))
__kernel void dots(__global const C *a, __global const C *b, __global T *c, const long m, const long n, const long k,
                   const long a_stride, const long b_stride, const long b_offset, const long ldc, const long c_stride,
                   const long c_offset, const long a_offset, const long a_row, const long b_row GROUP_ARGS,
                   const REAL alpha D_ARGS CHANNEL_ARGS NORNI_EPI_ARGS) {
    const long i0 = get_global_id(0) * MR, j0 = get_global_id(1) * NR, z = get_global_id(2);
    if (i0 >= m || j0 >= n)
        return;
    __global const C *rows[MR], *columns[NR]; /* those beyond the last are its copies, and not stored */
#pragma unroll
    for (int i = 0; i < MR; i++)
        rows[i] = a + a_offset + A_MATRIX(z) + min(i0 + i, m - 1) * a_row;
#pragma unroll
    for (int j = 0; j < NR; j++)
        columns[j] = b + b_offset + B_MATRIX(z) + min(j0 + j, n - 1) * b_row;
    VEC acc[MR][NR];
    C sum[MR][NR];
    for (int i = 0; i < MR; i++)
        for (int j = 0; j < NR; j++)
            acc[i][j] = (VEC)(0);
    long p = 0;
    for (; p + W <= k; p += W) {
        VEC av[MR];
#pragma unroll
        for (int i = 0; i < MR; i++)
            av[i] = NORNI_CAT(vload, W)(0, rows[i] + p);
#pragma unroll
        for (int j = 0; j < NR; j++) {
            const VEC bv = NORNI_CAT(vload, W)(0, columns[j] + p);
#pragma unroll
            for (int i = 0; i < MR; i++)
                acc[i][j] = FMA(av[i], bv, acc[i][j]);
        }
    }
#pragma unroll
    for (int i = 0; i < MR; i++)
#pragma unroll
        for (int j = 0; j < NR; j++) {
            C s = NORNI_CAT(sum_lanes, W)(acc[i][j]);
            for (long q = p; q < k; q++)
                s = FMA(rows[i][q], columns[j][q], s);
            sum[i][j] = s;
        }
    const size_t base = (size_t)(c_offset + z * c_stride);
#ifdef HAS_D
    d += d_offset + z * d_stride;
#endif
    for (int i = 0; i < MR && i0 + i < m; i++)
        for (int j = 0; j < NR && j0 + j < n; j++) {
            C y = sum[i][j];
#ifdef SCALE
            y *= (C)alpha;
#endif
            y = ADD_D(y, i0 + i, j0 + j);
            const size_t at = base + (size_t)((i0 + i) * ldc + j0 + j);
            ST(c, at, NORNI_EPI(1, y, at, CHANNEL(i0 + i, j0 + j)));
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
