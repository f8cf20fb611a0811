/* SPDX-License-Identifier: Apache-2.0 */
/* Products of matrices of 8-bit integers, C = sum of (A - zero of A) (B - zero of B), exact in 32-bit integers. Differences
 * are floats: their products are below 2^16, so that sums of BLOCK = 256 of them are exact in single precision (256 * 255^2
 * < 2^24), by the device's fused multiply-add; after each block they go over to integers.
 *
 *   pack_quantised     panels of P rows:  dst[panel][k][p] = src[(panel * P + p) * s_row + k * s_col] - zero, zeros beyond
 *                      the rows; zero element z * z_stride + row * z_row. Range (panels, parts of K, batch)
 *   columns_quantised  columns of a convolution in panels of LANES, as `columns` of conv_columns.cl
 *   qgemm              one work-item a tile of MR rows and NR columns, W lanes wide; range (M / MR, N / NR, batch). Matrix z
 *                      takes A number z % a_count
 *   -DCHANNEL_ROWS=1   the epilogue's channels are the rows: row i of matrix z is channel z % a_count * m + i */
#ifndef BLOCK
#define BLOCK 256
#endif
#ifndef W
#define W 16
#endif
#ifndef MR
#define MR 8
#endif
#ifndef NR
#define NR (2 * W)
#endif
#ifndef P
#define P MR
#endif
#ifndef LANES
#define LANES NR
#endif
#define FV NORNI_CAT(float, W)
#define IV NORNI_CAT(int, W)
#ifdef ZERO
#define ZERO_AT(i) (float)zero[i]
#else
#define ZERO_AT(i) 0.0f
#endif

#if !defined(NORNI_ONLY) || defined(K_pack_quantised)
__kernel void pack_quantised(__global const T *src, __global const T *zero, __global float *dst, const long rows, const long k,
                             const long s_row, const long s_col, const long src_offset, const long src_stride,
                             const long z_offset, const long z_stride, const long z_row, const long k_part) {
    const long panel = get_global_id(0), k0 = get_global_id(1) * k_part, k1 = min(k0 + k_part, k), z = get_global_id(2);
    const long row = panel * P, n = min((long)P, rows - row);
    float off[P];
    if (n <= 0)
        return;
    src += src_offset + z * src_stride + row * s_row;
    dst += (z * ((rows + P - 1) / P) + panel) * k * P;
    for (int p = 0; p < P; p++)
        off[p] = p < n ? ZERO_AT(z_offset + z * z_stride + (row + p) * z_row) : 0.0f;
    if (n == P && s_row == 1)
        for (long i = k0; i < k1; i++)
            for (int p = 0; p < P; p++)
                dst[i * P + p] = (float)src[i * s_col + p] - off[p];
    else
        for (long i = k0; i < k1; i++)
            for (int p = 0; p < P; p++)
                dst[i * P + p] = p < n ? (float)src[p * s_row + i * s_col] - off[p] : 0.0f;
}
#endif

#if !defined(NORNI_ONLY) || defined(K_columns_quantised)
__kernel void columns_quantised(__global const T *x, __global const T *zero, __global float *to, const long x_offset,
                                const long x_step, const long rows, const long rows_each, const long p0, const long pixels,
                                const long matrix_step, const long in0, const long in1, const long in2, const long out0,
                                const long out1, const long out2, const long k0, const long k1, const long k2, const long s0,
                                const long s1, const long s2, const long d0, const long d1, const long d2, const long b0,
                                const long b1, const long b2) {
    const long block = get_global_id(0) * LANES, taps = k0 * k1 * k2;
    const long r0 = get_global_id(1) * rows_each, r1 = min(r0 + rows_each, rows), z = get_global_id(2);
    if (block >= pixels)
        return;
    const long end = p0 + min(block + LANES, pixels);
    const float off = ZERO_AT(0);
    x += x_offset + z * x_step;
    to += z * matrix_step + block * rows;
    for (long r = r0; r < r1; r++) {
        const long t = r % taps, a2 = t % k2 * d2 - b2;
        const long a1 = t / k2 % k1 * d1 - b1, a0 = t / k2 / k1 * d0 - b0;
        __global const T *plane = x + r / taps * in0 * in1 * in2;
        __global float *at = to + r * LANES;
        /* Runs of columns along one row of outputs: of these the part inside x is taken. */
        for (long p = p0 + block, n; p < end; p += n, at += n) {
            const long o2 = p % out2, i1 = p / out2 % out1 * s1 + a1, i0 = p / out2 / out1 * s0 + a0;
            n = min(out2 - o2, end - p);
            const bool inside = i0 >= 0 && i0 < in0 && i1 >= 0 && i1 < in1;
            const long first = o2 * s2 + a2;
            long lo = first >= 0 ? 0 : (-first + s2 - 1) / s2, hi = in2 > first ? (in2 - first + s2 - 1) / s2 : 0;
            lo = inside ? min(lo, n) : n;
            hi = inside ? min(hi, n) : n;
            __global const T *from = plane + (i0 * in1 + i1) * in2 + first;
            long j = 0;
            for (; j < lo; j++)
                at[j] = 0;
            if (s2 == 1)
                for (; j + W <= hi; j += W)
                    NORNI_CAT(vstore, W)(NORNI_CAT(convert_float, W)(NORNI_CAT(vload, W)(0, from + j)) - off, 0, at + j);
            for (; j < hi; j++)
                at[j] = (float)from[j * s2] - off;
            for (; j < n; j++)
                at[j] = 0;
        }
        for (long p = end; p < p0 + block + LANES; p++, at++)
            *at = 0;
    }
}
#endif

#if !defined(NORNI_ONLY) || defined(K_qgemm)
#define NV (NR / W)
__attribute__((reqd_work_group_size(1, 1, 1)))
__kernel void qgemm(__global const float *a, __global const float *b, __global NORNI_EPI_T *c, const long m, const long n,
                    const long k, const long a_stride, const long a_count, const long b_stride, const long ldc,
                    const long c_stride, const long c_offset NORNI_EPI_ARGS) {
    const long i0 = get_global_id(0) * MR, j0 = get_global_id(1) * NR, z = get_global_id(2);
    if (i0 >= m || j0 >= n)
        return;
    a += z % a_count * a_stride + i0 * k;
    b += z * b_stride + j0 * k;
    IV sum[MR][NV];
    for (int i = 0; i < MR; i++)
        for (int v = 0; v < NV; v++)
            sum[i][v] = (IV)(0);
    for (long p0 = 0; p0 < k; p0 += BLOCK) {
        const long p1 = min(p0 + BLOCK, k);
        FV acc[MR][NV];
#pragma unroll
        for (int i = 0; i < MR; i++)
#pragma unroll
            for (int v = 0; v < NV; v++)
                acc[i][v] = (FV)(0.0f);
        for (long p = p0; p < p1; p++) {
            FV bv[NV];
#pragma unroll
            for (int v = 0; v < NV; v++)
                bv[v] = NORNI_CAT(vload, W)(v, b + p * NR);
#pragma unroll
            for (int i = 0; i < MR; i++) {
                const FV av = (FV)(a[p * MR + i]);
#pragma unroll
                for (int v = 0; v < NV; v++)
                    acc[i][v] = fma(av, bv[v], acc[i][v]);
            }
        }
#pragma unroll
        for (int i = 0; i < MR; i++)
#pragma unroll
            for (int v = 0; v < NV; v++)
                sum[i][v] += NORNI_CAT(convert_int, W)(acc[i][v]);
    }
#ifdef CHANNEL_ROWS
#define CHANNEL(i, j) (size_t)(z % a_count * m + (i))
#else
#define CHANNEL(i, j) (size_t)(j)
#endif
#pragma unroll
    for (int i = 0; i < MR; i++) {
        if (i0 + i >= m)
            break;
        const size_t row = (size_t)(c_offset + z * c_stride + (i0 + i) * ldc);
#pragma unroll
        for (int v = 0; v < NV; v++) {
            const long j = j0 + v * W;
            if (j + W <= n)
                NORNI_EPI_ST(W, c, row + j, NORNI_EPI(W, sum[i][v], row + j, CHANNEL(i0 + i, j)));
            else {
                int s[W];
                NORNI_CAT(vstore, W)(sum[i][v], 0, s);
                for (int l = 0; l < W && j + l < n; l++)
                    NORNI_EPI_ST(1, c, row + j + l, NORNI_EPI(1, s[l], row + j + l, CHANNEL(i0 + i, j + l)));
            }
        }
    }
}
#endif
