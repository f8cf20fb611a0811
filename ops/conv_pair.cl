/* SPDX-License-Identifier: Apache-2.0 */
/* norn.ConvPair: a 1 x 1 convolution, a function of its elements, and a convolution of each channel with a kernel of its own,
 * without what lies between in memory:
 *
 *     e[m][p] = f(bias1[m] + sum over c of w1[m][c] * x[c][p])
 *     y[m][o] = bias2[m] + sum over k of w2[m][k] * e[m][o * stride + k * dilation - begin]
 *
 * conv_pair: blocked form (ops/blocked.h), B channels a block. One work-item computes some rows of NV blocks of y. The rows of
 * e that a row of y reads lie in private memory, in a ring: each is computed once, and overwritten when the last row
 * that reads it is done. Zeros stand where windows reach beyond the edges.
 *   range (m / (B NV), parts of the rows, n), or without panels_first (n, parts of the rows, m / (B NV))
 * conv_pair_each: plain form, an element of y for each work-item; range (out1 * out2, m, n)
 *
 *   -DB=16 -DNV=2 -DTW=14  pixels of e computed at once: TW * NV sums of B channels
 *   -DTP=7                 pixels of y computed at once
 *   -DK1=3 -DK2=3 -DS2=1   the kernel's size and the stride within rows, constant; -DANY=1: arguments
 *   -DRING=512             vectors of private memory: rows of e * their length * NV
 *   -DHAS_BIAS1=1 -DHAS_BIAS2=1
 *   NORNI_F(v)             f of a vector (conv_pair) or an element, in the source before this file
 */
#ifndef B
#define B 16
#endif
#ifndef NV
#define NV 2
#endif
#ifndef TW
#define TW 14
#endif
#ifndef TP
#define TP 7
#endif
#ifndef K1
#define K1 3
#endif
#ifndef K2
#define K2 3
#endif
#ifndef S2
#define S2 1
#endif
#ifndef RING
#define RING 512
#endif
#ifndef NORNI_F
#define NORNI_F(v) (v)
#endif
#define VEC CV(B)
#define LOADC(p) NORNI_CAT(vload, B)(0, (p))
#ifdef HAS_BIAS1
#define BIAS1_ARG , __global const T *bias1
#else
#define BIAS1_ARG
#endif
#ifdef HAS_BIAS2
#define BIAS2_ARG , __global const T *bias2
#else
#define BIAS2_ARG
#endif

#if !defined(NORNI_ONLY) || defined(K_conv_pair)
__attribute__((reqd_work_group_size(1, 1, 1)))
__kernel void conv_pair(__global const T *x, __global const C *w1, __global const C *w2, __global T *y, const long c,
                        const long m, const long in1, const long in2, const long out1, const long out2, const long k1,
                        const long k2, const long s1, const long s2, const long d1, const long d2, const long b1,
                        const long b2, const long pw, const long rows_each,
                        const int panels_first BIAS1_ARG BIAS2_ARG NORNI_EPI_ARGS) {
    const long panel = get_global_id(panels_first ? 0 : 2), image = get_global_id(panels_first ? 2 : 0);
    const long r0 = get_global_id(1) * rows_each, r1 = min(r0 + rows_each, out1);
    const long blocks_c = (c + B - 1) / B, blocks = (m + B - 1) / B, block0 = panel * NV;
    const int n_blocks = (int)min((long)NV, blocks - block0);
    const long extent = (k1 - 1) * d1 + 1;
    VEC ring[RING]; /* [extent][NV][pw] */
    x += image * blocks_c * in1 * in2 * B;
    w1 += panel * blocks_c * B * B * NV;
    for (long i = 0; i < extent * NV; i++) {
        for (long q = 0; q < b2; q++)
            ring[i * pw + q] = (VEC)(0);
        for (long q = b2 + in2; q < pw; q++)
            ring[i * pw + q] = (VEC)(0);
    }
    long next = r0 * s1 - b1; /* the first row of e that is not in the ring */
    for (long r = r0; r < r1; r++) {
        const long h0 = r * s1 - b1;
        for (next = max(next, h0); next < h0 + extent; next++) {
            VEC *row = ring + (next + b1) % extent * NV * pw + b2;
            if (next < 0 || next >= in1) {
                for (int v = 0; v < NV; v++)
                    for (long q = 0; q < in2; q++)
                        row[v * pw + q] = (VEC)(0);
                continue;
            }
            for (long first = 0; first < in2; first += TW) {
                const long o = min(first, in2 - TW); /* the last tile is moved back to end with the row */
                VEC acc[TW][NV];
#pragma unroll
                for (int v = 0; v < NV; v++) {
#ifdef HAS_BIAS1
                    const VEC start = LDV(B, bias1, (block0 + min(v, n_blocks - 1)) * B);
#else
                    const VEC start = (VEC)(0);
#endif
#pragma unroll
                    for (int t = 0; t < TW; t++)
                        acc[t][v] = start;
                }
                __global const C *w = w1;
                for (long block = 0; block < blocks_c; block++) {
                    const int lanes = (int)min((long)B, c - block * B);
                    __global const T *xt = x + ((block * in1 + next) * in2 + o) * B;
                    for (int i = 0; i < lanes; i++, xt++, w += B * NV) {
                        VEC wv[NV];
#pragma unroll
                        for (int v = 0; v < NV; v++)
                            wv[v] = LOADC(w + v * B);
#pragma unroll
                        for (int t = 0; t < TW; t++) {
                            const VEC xv = (VEC)(LD(xt, t * B));
#pragma unroll
                            for (int v = 0; v < NV; v++)
                                acc[t][v] = fma(xv, wv[v], acc[t][v]);
                        }
                    }
                }
#pragma unroll
                for (int v = 0; v < NV; v++)
#pragma unroll
                    for (int t = 0; t < TW; t++)
                        row[v * pw + o + t] = NORNI_F(acc[t][v]);
            }
        }
        for (int v = 0; v < n_blocks; v++) {
            const long block = block0 + v;
            __global const C *w = w2 + block * k1 * k2 * B;
            const size_t base = (((size_t)image * blocks + block) * out1 + r) * out2 * B;
#ifdef HAS_BIAS2
            const VEC start = LDV(B, bias2, block * B);
#else
            const VEC start = (VEC)(0);
#endif
            for (long first = 0; first < out2; first += TP) {
                const long o = min(first, out2 - TP);
                VEC acc[TP];
#pragma unroll
                for (int t = 0; t < TP; t++)
                    acc[t] = start;
#ifdef ANY
                for (long i = 0; i < k1; i++)
                    for (long j = 0; j < k2; j++) {
                        const long step = s2;
#else
#pragma unroll
                for (int i = 0; i < K1; i++)
#pragma unroll
                    for (int j = 0; j < K2; j++) {
                        const long step = S2;
#endif
                        const VEC *p = ring + ((h0 + b1 + i * d1) % extent * NV + v) * pw + o * step + j * d2;
                        const VEC wij = LOADC(w + (i * k2 + j) * B);
#pragma unroll
                        for (int t = 0; t < TP; t++)
                            acc[t] = fma(p[t * step], wij, acc[t]);
                    }
#pragma unroll
                for (int t = 0; t < TP; t++)
                    if (o + t >= first) {
                        const size_t at = base + (o + t) * B;
                        STV(B, y, at, NORNI_EPI(B, acc[t], at, (size_t)block * B));
                    }
            }
        }
    }
}
#endif

#if !defined(NORNI_ONLY) || defined(K_conv_pair_each)
__kernel void conv_pair_each(__global const T *x, __global const T *w1, __global const T *w2, __global T *y,
                             const long c, const long m, const long in1, const long in2, const long out1,
                             const long out2, const long k1, const long k2, const long s1, const long s2, const long d1,
                             const long d2, const long b1, const long b2 BIAS1_ARG BIAS2_ARG NORNI_EPI_ARGS) {
    const long o = get_global_id(0), channel = get_global_id(1), image = get_global_id(2);
    if (o >= out1 * out2 || channel >= m)
        return;
    x += image * c * in1 * in2;
#ifdef HAS_BIAS2
    C sum = LD(bias2, channel);
#else
    C sum = 0;
#endif
    for (long i = 0; i < k1; i++)
        for (long j = 0; j < k2; j++) {
            const long h = o / out2 * s1 + i * d1 - b1, q = o % out2 * s2 + j * d2 - b2;
            if (h < 0 || h >= in1 || q < 0 || q >= in2)
                continue;
#ifdef HAS_BIAS1
            C e = LD(bias1, channel);
#else
            C e = 0;
#endif
            for (long k = 0; k < c; k++)
                e = fma(LD(w1, channel * c + k), LD(x, (k * in1 + h) * in2 + q), e);
            sum = fma(LD(w2, (channel * k1 + i) * k2 + j), NORNI_F(e), sum);
        }
    const size_t at = ((size_t)image * m + channel) * out1 * out2 + o;
    ST(y, at, NORNI_EPI(1, sum, at, (size_t)channel));
}
#endif
