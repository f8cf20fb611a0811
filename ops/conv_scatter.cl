/* SPDX-License-Identifier: Apache-2.0 */
/* ConvTranspose of small images in blocked form (ops/blocked.h), B channels a block: each kernel element's product with all
 * pixels is added where it belongs, so that nothing is multiplied with padding.
 *
 *     y[o * stride + k * dilation - begin][m] += sum over c of x[o][c] * w[c][m][k]
 *
 * One work-item computes all pixels of an image for NV blocks of channels, in private memory. w: as pack_blocks of
 * ops/conv_blocked.cl packs it, transposed. Range (m / (B NV), n * group).
 *
 *   -DB=16 -DTW=13 -DNV=2  pixels and blocks of a tile in registers
 *   -DPIXELS=144 -DOUTS=64 pixels of y and x
 *   -DPADDED=1             elements may fall outside of y
 *   -DHALF=8               the last block of a tile has at most so many channels, half a block: half a vector does
 *   -DHAS_BIAS=1           bias has whole blocks */
#ifndef B
#define B 16
#endif
#ifndef TW
#define TW 13
#endif
#ifndef NV
#define NV 2
#endif
#ifndef PIXELS
#define PIXELS 16
#endif
#ifndef OUTS
#define OUTS 16
#endif
#ifdef HALF
#define FULL (NV - 1)
#define TAIL CV(HALF)
#else
#define FULL NV
#endif
#define VEC CV(B)
#define LOADC(p) NORNI_CAT(vload, B)(0, (p))

__attribute__((reqd_work_group_size(1, 1, 1)))
__kernel void conv_scatter(__global const T *x, __global const C *w, __global T *y, const long group, const long c,
                           const long m, const long in0, const long in1, const long in2, const long out0,
                           const long out1, const long out2, const long k0, const long k1, const long k2,
                           const long s0, const long s1, const long s2, const long d0, const long d1, const long d2,
                           const long b0, const long b1, const long b2
#ifdef HAS_BIAS
                           , __global const T *bias
#endif
                           NORNI_EPI_ARGS) {
    const long panel = get_global_id(0), g = get_global_id(1) % group, n = get_global_id(1) / group;
    const long blocks = (c + B - 1) / B, taps = k0 * k1 * k2;
    const long blocks_y = group == 1 ? (m + B - 1) / B : group * (m / B), block0 = g * (m / B) + panel * NV;
    const int n_blocks = (int)min((long)NV, (m + B - 1) / B - panel * NV);
    VEC image[PIXELS * NV];
    int at[OUTS]; /* where the first kernel element falls, from element (0, 0, 0) on */
    for (int v = 0; v < NV; v++) {
#ifdef HAS_BIAS
        const VEC start = LDV(B, bias, (block0 + min(v, n_blocks - 1)) * B);
#else
        const VEC start = (VEC)(0);
#endif
        for (int i = 0; i < PIXELS; i++)
            image[i * NV + v] = start;
    }
    for (int o = 0; o < OUTS; o++)
        at[o] = (int)(((o / (out2 * out1) * s0 - b0) * in1 + o / out2 % out1 * s1 - b1) * in2 + o % out2 * s2 - b2);
    x += (n * group + g) * blocks * OUTS * B;
    w += (g * get_global_size(0) + panel) * blocks * taps * B * B * NV;
    for (long t = 0; t < taps; t++) {
        const long a0 = t / (k1 * k2) * d0, a1 = t / k2 % k1 * d1, a2 = t % k2 * d2;
        const int offset = (int)((a0 * in1 + a1) * in2 + a2);
        for (int p = 0; p < OUTS; p += TW) {
            VEC acc[TW][NV];
            int from[TW]; /* pixels beyond the last are the last again, and not added */
#pragma unroll
            for (int i = 0; i < TW; i++) {
                from[i] = min(p + i, OUTS - 1) * B;
#pragma unroll
                for (int v = 0; v < FULL; v++)
                    acc[i][v] = (VEC)(0);
            }
#ifdef HALF
            TAIL tail[TW];
#pragma unroll
            for (int i = 0; i < TW; i++)
                tail[i] = (TAIL)(0);
#endif
            for (long block = 0; block < blocks; block++) {
                const int lanes = (int)min((long)B, c - block * B);
                __global const T *xb = x + block * OUTS * B;
                __global const C *wb = w + (block * taps + taps - 1 - t) * B * B * NV;
                for (int l = 0; l < lanes; l++, xb++, wb += B * NV) {
                    VEC wv[NV];
#pragma unroll
                    for (int v = 0; v < FULL; v++)
                        wv[v] = LOADC(wb + v * B);
#ifdef HALF
                    const TAIL wt = NORNI_CAT(vload, HALF)(0, wb + FULL * B);
#endif
#pragma unroll
                    for (int i = 0; i < TW; i++) {
                        const VEC xv = (VEC)(LD(xb, from[i]));
#pragma unroll
                        for (int v = 0; v < FULL; v++)
                            acc[i][v] = fma(xv, wv[v], acc[i][v]);
#ifdef HALF
                        tail[i] = fma((TAIL)(LD(xb, from[i])), wt, tail[i]);
#endif
                    }
                }
            }
#pragma unroll
            for (int i = 0; i < TW; i++)
                if (p + i < OUTS) {
#ifdef PADDED
                    const long o = p + i, i0 = o / (out2 * out1) * s0 - b0 + a0, i1 = o / out2 % out1 * s1 - b1 + a1,
                               i2 = o % out2 * s2 - b2 + a2;
                    if (i0 < 0 || i0 >= in0 || i1 < 0 || i1 >= in1 || i2 < 0 || i2 >= in2)
                        continue;
#endif
#pragma unroll
                    for (int v = 0; v < FULL; v++)
                        image[(at[p + i] + offset) * NV + v] += acc[i][v];
#ifdef HALF
                    image[(at[p + i] + offset) * NV + FULL].lo += tail[i];
#endif
                }
        }
    }
    for (int v = 0; v < n_blocks; v++)
        for (int i = 0; i < PIXELS; i++) {
            const size_t to = (((size_t)n * blocks_y + block0 + v) * PIXELS + i) * B;
            STV(B, y, to, NORNI_EPI(B, image[i * NV + v], to, (size_t)(block0 + v) * B));
        }
}
