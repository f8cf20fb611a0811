/* SPDX-License-Identifier: Apache-2.0 */
/* Direct convolution into the blocked form (ops/blocked.h), B channels a block. One work-item computes a tile of
 * TH x TW pixels and NV blocks of channels:
 *
 *     acc[pixel][channels] = bias[channels] + sum over c, k of x[c][pixel * stride + k * dilation] * w[c][k][channels]
 *
 * with the elements of x as scalars and the channels as vectors. What a tile needs of a block of input channels is first
 * copied into private memory, zeros where windows reach beyond the edges.
 *
 *   pack_blocks   w to [group][m / (B NV)][c / B][taps][B][B NV]; range (m / (B NV), c / B, group)
 *   conv_blocked  range (tiles, m / (B NV), n * group), or without tiles_first the first two exchanged
 *   conv_channels one channel a group: lanes are channels; range (parts of the rows, channels / B, n)
 *
 *   -DB=16         channels of a block
 *   -DTH=1 -DTW=14 -DNV=2  the tile; what of it lies beyond the output is not stored
 *   -DXS=1         elements of the patch from a pixel's input to its neighbour's (the stride, or 1)
 *   -DPATCH=8192   elements of private memory: rows * PW * B; 0: windows never reach beyond the edges and the input is
 *                  read in its place
 *   -DPLAIN_IN=1   x is in plain form (n, group * c, ...)
 *   -DHAS_BIAS=1   bias has whole blocks
 *   -DPHASE=1      pack_blocks: only every step-th kernel element from `first` on, of a transposed w; `transposed`: w is
 *                  [group][c][m][taps] and reversed (ConvTranspose); nv stands for NV
 *   -DPLACED=1     output o is element first + o * step of y, whose sizes are `full`
 *   fill_phase     such elements without a sum: zero or the bias; range (their rows, m / B, n * group)
 *   -DK1=3 -DK2=3  conv_channels: the kernel's size, constant
 */
#ifndef B
#define B 16
#endif
#ifndef TH
#define TH 1
#endif
#ifndef TW
#define TW 14
#endif
#ifndef NV
#define NV 2
#endif
#ifndef XS
#define XS 1
#endif
#ifndef PATCH
#define PATCH 8192
#endif
#ifndef K1
#define K1 3
#endif
#ifndef K2
#define K2 3
#endif
#define VEC CV(B)
#define LOADC(p) NORNI_CAT(vload, B)(0, (p))
#define STOREC(v, p) NORNI_CAT(vstore, B)((v), 0, (p))
#ifdef PLAIN_IN
#define XB 1 /* elements between pixels */
#else
#define XB B
#endif

#if !defined(NORNI_ONLY) || defined(K_pack_blocks)
__kernel void pack_blocks(__global const T *w, __global C *packed, const long m, const long c, const long taps,
                          const long nv
#ifndef PHASE
                          , const int transposed
#else
                          , const long q1, const long q2, const long k0, const long k1, const long k2, const long f0,
                          const long f1, const long f2, const long s0, const long s1, const long s2
#endif
) {
#ifndef PHASE
    const long all = taps;
#else
    const long all = k0 * k1 * k2;
#endif
    const long tile = get_global_id(0), block = get_global_id(1), blocks = (c + B - 1) / B, g = get_global_id(2);
    if (block >= blocks)
        return;
    w += g * m * c * all;
    packed += ((g * get_global_size(0) + tile) * blocks + block) * taps * B * B * nv;
    for (long t = 0; t < taps; t++) {
#ifdef PHASE
        const long r = taps - 1 - t;
        const long from = ((f0 + r / (q1 * q2) * s0) * k1 + f1 + r / q2 % q1 * s1) * k2 + f2 + r % q2 * s2;
#endif
        for (long i = block * B; i < (block + 1) * B; i++)
            for (long j = tile * B * nv; j < (tile + 1) * B * nv; j++)
#ifdef PHASE
                *packed++ = i < c && j < m ? LD(w, (i * m + j) * all + from) : (C)0;
#else
                *packed++ = i < c && j < m ? LD(w, transposed ? (i * m + j) * taps + taps - 1 - t : (j * c + i) * taps + t)
                                           : (C)0;
#endif
    }
}
#endif

#if !defined(NORNI_ONLY) || defined(K_conv_blocked)
__attribute__((reqd_work_group_size(1, 1, 1)))
__kernel void conv_blocked(__global const T *x, __global const C *w, __global T *y, const long group, const long c,
                           const long m, const long in0, const long in1, const long in2, const long out0,
                           const long out1, const long out2, const long k0, const long k1, const long k2,
                           const long s0, const long s1, const long s2, const long d0, const long d1, const long d2,
                           const long b0, const long b1, const long b2, const long tiles1, const long tiles2,
                           const long rows, const long row_step, const long pw, const long column_step,
                           const int tiles_first
#ifdef PLACED
                           , const long first0, const long first1, const long first2, const long step0,
                           const long step1, const long step2, const long full0, const long full1, const long full2
#endif
#ifdef HAS_BIAS
                           , __global const T *bias
#endif
                           NORNI_EPI_ARGS) {
    /* rows: of a patch for each k0, row_step input rows apart; pw: its columns, column_step input columns apart. */
    const long tile = tiles_first ? get_global_id(0) : get_global_id(1);
    const long panel = tiles_first ? get_global_id(1) : get_global_id(0);
    const long panels = tiles_first ? get_global_size(1) : get_global_size(0);
    const long g = get_global_id(2) % group, b = get_global_id(2) / group;
    /* Without a patch the last tile is moved back to end with the row; `first` is what it has to store. */
    const long first = tile % tiles2 * TW, o2 = PATCH ? first : min(first, out2 - TW), o1 = tile / tiles2 % tiles1 * TH, o0 = tile / tiles2 / tiles1;
    const long blocks = (c + B - 1) / B, pixels = in0 * in1 * in2, taps = k0 * k1 * k2;
    const long i0 = o0 * s0 - b0, i1 = o1 * s1 - b1, i2 = o2 * s2 - b2;
#ifdef PLAIN_IN
    x += (b * group + g) * c * pixels;
#else
    x += (b * group + g) * blocks * pixels * B;
#endif
    w += (g * panels + panel) * blocks * taps * B * B * NV;
    VEC acc[TH][TW][NV];
    const long block0 = g * (m / B) + panel * NV; /* of the output; groups are whole blocks */
    const int n_blocks = (int)min((long)NV, (m + B - 1) / B - panel * NV);
#pragma unroll
    for (int v = 0; v < NV; v++) {
#ifdef HAS_BIAS
        const VEC start = LDV(B, bias, (block0 + min(v, n_blocks - 1)) * B);
#else
        const VEC start = (VEC)(0);
#endif
#pragma unroll
        for (int r = 0; r < TH; r++)
#pragma unroll
            for (int t = 0; t < TW; t++)
                acc[r][t][v] = start;
    }
#if PATCH
    C patch[PATCH];
    long lo = i2 < 0 ? (-i2 + column_step - 1) / column_step : 0;
    long hi = i2 < in2 ? (in2 - i2 + column_step - 1) / column_step : 0;
    hi = min(hi, pw);
    lo = min(lo, hi);
#endif
    for (long block = 0; block < blocks; block++) {
        const int lanes = (int)min((long)B, c - block * B);
#if PATCH
        for (long a = 0; a < k0; a++)
            for (long r = 0; r < rows; r++) {
                const long d = i0 + a * d0, h = i1 + r * row_step;
                const bool inside = d >= 0 && d < in0 && h >= 0 && h < in1;
                const long l = inside ? lo : pw, u = inside ? hi : pw;
#ifdef PLAIN_IN
                for (int j = 0; j < lanes; j++) {
                    C *to = patch + ((j * k0 + a) * rows + r) * pw;
                    __global const T *from = x + ((block * B + j) * in0 + d) * in1 * in2 + h * in2 + i2;
                    long q = 0;
                    for (; q < l; q++)
                        to[q] = 0;
                    if (column_step == 1)
                        for (; q + B <= u; q += B)
                            STOREC(LDV(B, from, q), to + q);
                    for (; q < u; q++)
                        to[q] = LD(from, q * column_step);
                    for (; q < pw; q++)
                        to[q] = 0;
                }
#else
                C *to = patch + (a * rows + r) * pw * B;
                __global const T *from = x + (block * pixels + (d * in1 + h) * in2 + i2) * B;
                long q = 0;
                for (; q < l; q++)
                    STOREC((VEC)(0), to + q * B);
                for (; q < u; q++)
                    STOREC(LDV(B, from, q * column_step * B), to + q * B);
                for (; q < pw; q++)
                    STOREC((VEC)(0), to + q * B);
#endif
            }
#ifdef PLAIN_IN
        const long step_c = k0 * rows * pw;
#else
        const long step_c = 1;
#endif
        const long step_a0 = rows * pw * XB, step_row = pw * XB;
        const C *xb = patch;
#define X(p, i) (p)[i]
#define XP const C *
#else
#ifdef PLAIN_IN
        const long step_c = pixels;
        __global const T *xb = x + block * B * pixels + (i0 * in1 + i1) * in2 + i2;
#else
        const long step_c = 1;
        __global const T *xb = x + (block * pixels + (i0 * in1 + i1) * in2 + i2) * B;
#endif
        const long step_a0 = d0 * in1 * in2 * XB, step_row = in2 * XB;
#define X(p, i) LD(p, i)
#define XP __global const T *
#endif
        for (long a0 = 0; a0 < k0; a0++)
            for (long a1 = 0; a1 < k1; a1++) {
#if PATCH
                const long d = i0 + a0 * d0, h = i1 + a1 * d1;
                if (d < 0 || d >= in0 || h >= in1 || h + (TH - 1) * s1 < 0) { /* padding in all rows of the tile */
                    w += k2 * B * B * NV;
                    continue;
                }
#endif
                for (long a2 = 0; a2 < k2; a2++) {
#if PATCH
                    const C *xt = xb + a0 * step_a0 + a1 * (row_step == 1 ? d1 : 1) * step_row + a2 * d2 * XB;
#else
                    __global const T *xt = xb + a0 * step_a0 + a1 * d1 * step_row + a2 * d2 * XB;
#endif
                    for (int i = 0; i < lanes; i++, xt += step_c, w += B * NV) {
                        VEC wv[NV];
#pragma unroll
                        for (int v = 0; v < NV; v++)
                            wv[v] = LOADC(w + v * B);
#pragma unroll
                        for (int r = 0; r < TH; r++) {
                            XP xr = xt + r * s1 * step_row;
#pragma unroll
                            for (int t = 0; t < TW; t++) {
                                const VEC xv = (VEC)(X(xr, t * XS * XB));
#pragma unroll
                                for (int v = 0; v < NV; v++)
                                    acc[r][t][v] = fma(xv, wv[v], acc[r][t][v]);
                            }
                        }
                    }
                    w += (B - lanes) * B * NV;
                }
            }
    }
#ifdef PLACED
    const size_t outs = (size_t)full0 * full1 * full2, start_y = (first0 + o0 * step0) * full1 * full2;
#define AT(row, column) ((size_t)((first1 + (row) * step1) * full2 + first2 + (column) * step2))
#else
    const size_t outs = (size_t)out0 * out1 * out2, start_y = (size_t)o0 * out1 * out2;
#define AT(row, column) ((size_t)((row) * out2 + (column)))
#endif
    const size_t blocks_y = (size_t)(group == 1 ? (m + B - 1) / B : group * (m / B));
#pragma unroll
    for (int v = 0; v < NV; v++)
        if (v < n_blocks) {
            const size_t base = (((size_t)b * blocks_y + block0 + v) * outs + start_y) * B;
#pragma unroll
            for (int r = 0; r < TH; r++)
#pragma unroll
                for (int t = 0; t < TW; t++)
                    if (PATCH ? o1 + r < out1 && o2 + t < out2 : o2 + t >= first) {
                        const size_t at = base + AT(o1 + r, o2 + t) * B;
                        STV(B, y, at, NORNI_EPI(B, acc[r][t][v], at, (size_t)(block0 + v) * B));
                    }
        }
}
#endif

#if !defined(NORNI_ONLY) || defined(K_fill_phase)
__kernel void fill_phase(__global T *y, const long out1, const long out2, const long first0, const long first1,
                         const long first2, const long step0, const long step1, const long step2, const long full0,
                         const long full1, const long full2
#ifdef HAS_BIAS
                         , __global const T *bias
#endif
                         NORNI_EPI_ARGS) {
    const long row = get_global_id(0), block = get_global_id(1), b = get_global_id(2);
#ifdef HAS_BIAS
    const VEC v = LDV(B, bias, block * B);
#else
    const VEC v = (VEC)(0);
#endif
    const size_t base = (((b * get_global_size(1) + block) * full0 + first0 + row / out1 * step0) * full1 +
                         first1 + row % out1 * step1) * full2 + first2;
    for (long o = 0; o < out2; o++) {
        const size_t at = (base + o * step2) * B;
        STV(B, y, at, NORNI_EPI(B, v, at, (size_t)block * B));
    }
}
#endif

#if !defined(NORNI_ONLY) || defined(K_pack_channels)
/* w [channels][taps] to [channels / B][taps][B]; range (channels / B). */
__kernel void pack_channels(__global const T *w, __global C *packed, const long channels, const long taps) {
    const long block = get_global_id(0);
    for (long t = 0; t < taps; t++)
        for (long i = 0; i < B; i++)
            packed[(block * taps + t) * B + i] = block * B + i < channels ? LD(w, (block * B + i) * taps + t) : (C)0;
}
#endif

#if !defined(NORNI_ONLY) || defined(K_conv_channels)
/* TW outputs of a row at once; K1 x K2 kernels over two dimensions, or with -DANY=1 of any size. */
__attribute__((reqd_work_group_size(1, 1, 1)))
__kernel void conv_channels(__global const T *x, __global const C *w, __global T *y, const long in1, const long in2,
                            const long out1, const long out2, const long k1, const long k2, const long s1,
                            const long s2, const long d1, const long d2, const long b1, const long b2,
                            const long rows_each
#ifdef HAS_BIAS
                            , __global const T *bias
#endif
                            NORNI_EPI_ARGS) {
    const long block = get_global_id(1), image = get_global_id(2) * get_global_size(1) + block;
    const long r0 = get_global_id(0) * rows_each, r1 = min(r0 + rows_each, out1);
    /* Outputs lo .. hi - 1 of a row read no element beyond its ends. */
    const long lo = min((b2 + s2 - 1) / s2, out2);
    const long all = in2 + b2 - (k2 - 1) * d2;
    const long hi = max(lo, min(out2, all > 0 ? (all + s2 - 1) / s2 : 0));
    x += image * in1 * in2 * B;
    y += image * out1 * out2 * B;
    w += block * k1 * k2 * B;
#ifdef HAS_BIAS
    const VEC start = LDV(B, bias, block * B);
#else
    const VEC start = (VEC)(0);
#endif
#ifndef ANY
    VEC wv[K1][K2];
#pragma unroll
    for (int i = 0; i < K1; i++)
#pragma unroll
        for (int j = 0; j < K2; j++)
            wv[i][j] = LOADC(w + (i * K2 + j) * B);
#endif
    for (long r = r0; r < r1; r++) {
        const long h = r * s1 - b1;
        const bool whole = h >= 0 && h + (k1 - 1) * d1 < in1;
        for (long o = 0; o < out2;) {
            if (whole && o >= lo && o + TW <= hi) {
                VEC acc[TW];
#pragma unroll
                for (int t = 0; t < TW; t++)
                    acc[t] = start;
#ifdef ANY
                for (long i = 0; i < k1; i++)
                    for (long j = 0; j < k2; j++) {
                        const VEC wij = LOADC(w + (i * k2 + j) * B);
#else
#pragma unroll
                for (int i = 0; i < K1; i++)
#pragma unroll
                    for (int j = 0; j < K2; j++) {
                        const VEC wij = wv[i][j];
#endif
                        __global const T *p = x + ((h + i * d1) * in2 + o * s2 - b2 + j * d2) * B;
#pragma unroll
                        for (int t = 0; t < TW; t++)
                            acc[t] = fma(LDV(B, p, t * s2 * B), wij, acc[t]);
                    }
#pragma unroll
                for (int t = 0; t < TW; t++) {
                    const size_t at = (size_t)(r * out2 + o + t) * B;
                    STV(B, y, at, NORNI_EPI(B, acc[t], (size_t)image * out1 * out2 * B + at, (size_t)block * B));
                }
                o += TW;
                continue;
            }
            VEC acc = start;
            for (long i = 0; i < k1; i++)
                for (long j = 0; j < k2; j++) {
                    const long q1 = h + i * d1, q2 = o * s2 - b2 + j * d2;
                    if (q1 >= 0 && q1 < in1 && q2 >= 0 && q2 < in2)
                        acc = fma(LDV(B, x, (q1 * in2 + q2) * B), LOADC(w + (i * k2 + j) * B), acc);
                }
            const size_t at = (size_t)(r * out2 + o) * B;
            STV(B, y, at, NORNI_EPI(B, acc, (size_t)image * out1 * out2 * B + at, (size_t)block * B));
            o++;
        }
    }
}
#endif
