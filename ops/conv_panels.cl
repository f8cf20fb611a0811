/* SPDX-License-Identifier: Apache-2.0 */
/* Operands of dW = dY X' (ops/conv_panels.c) as ops/gemm.cl wants them, straight from dy and the planes of x
 * (ops/conv_direct.cl), all images in one sum: k = image * outs + o.
 *
 *   panels_x   to [group][pairs / NR][k][NR] from planes [images][group][c][channel]; pair = c * taps + kernel element;
 *              range (pairs / W, images, group)
 *   panels_dy  to [group][m / P][k][P] from dy [images][group][m][outs]; range (m / P, images, group)
 *
 *   -DW=16  vector width, 8 or 16      -DNR=32  pairs of a panel, a multiple of W      -DP=8  channels of a panel */
#ifndef W
#define W 16
#endif
#ifndef NR
#define NR (2 * W)
#endif
#ifndef P
#define P 8
#endif
#define VEC CV(W)

/* v as a W x W matrix is transposed: quarters off the diagonal are exchanged, then those of the quarters. */
#if W == 16
#define SWAP8(a, b, x, y) x = (VEC)((a).lo, (b).lo), y = (VEC)((a).hi, (b).hi)
#define SWAP4(a, b, x, y)                                                                                    \
    x = (VEC)((a).s0123, (b).s0123, (a).s89ab, (b).s89ab), y = (VEC)((a).s4567, (b).s4567, (a).scdef, (b).scdef)
#define SWAP2(a, b, x, y)                                                                                    \
    x = (VEC)((a).s01, (b).s01, (a).s45, (b).s45, (a).s89, (b).s89, (a).scd, (b).scd),                        \
    y = (VEC)((a).s23, (b).s23, (a).s67, (b).s67, (a).sab, (b).sab, (a).sef, (b).sef)
#define SWAP1(a, b, x, y)                                                                                    \
    x = (VEC)((a).s0, (b).s0, (a).s2, (b).s2, (a).s4, (b).s4, (a).s6, (b).s6, (a).s8, (b).s8, (a).sa, (b).sa, \
              (a).sc, (b).sc, (a).se, (b).se),                                                               \
    y = (VEC)((a).s1, (b).s1, (a).s3, (b).s3, (a).s5, (b).s5, (a).s7, (b).s7, (a).s9, (b).s9, (a).sb, (b).sb, \
              (a).sd, (b).sd, (a).sf, (b).sf)
#else
#define SWAP4(a, b, x, y) x = (VEC)((a).lo, (b).lo), y = (VEC)((a).hi, (b).hi)
#define SWAP2(a, b, x, y)                                                                                    \
    x = (VEC)((a).s01, (b).s01, (a).s45, (b).s45), y = (VEC)((a).s23, (b).s23, (a).s67, (b).s67)
#define SWAP1(a, b, x, y)                                                                                    \
    x = (VEC)((a).s0, (b).s0, (a).s2, (b).s2, (a).s4, (b).s4, (a).s6, (b).s6),                                \
    y = (VEC)((a).s1, (b).s1, (a).s3, (b).s3, (a).s5, (b).s5, (a).s7, (b).s7)
#endif
static inline void transpose(VEC *v) {
    VEC t[W];
#if W == 16
#pragma unroll
    for (int i = 0; i < 8; i++)
        SWAP8(v[i], v[i + 8], t[i], t[i + 8]);
#pragma unroll
    for (int i = 0; i < W; i++)
        v[i] = t[i];
#endif
#pragma unroll
    for (int i = 0; i < W / 2; i++)
        SWAP4(v[i / 4 * 8 + i % 4], v[i / 4 * 8 + i % 4 + 4], t[i / 4 * 8 + i % 4], t[i / 4 * 8 + i % 4 + 4]);
#pragma unroll
    for (int i = 0; i < W / 2; i++)
        SWAP2(t[i / 2 * 4 + i % 2], t[i / 2 * 4 + i % 2 + 2], v[i / 2 * 4 + i % 2], v[i / 2 * 4 + i % 2 + 2]);
#pragma unroll
    for (int i = 0; i < W / 2; i++)
        SWAP1(v[2 * i], v[2 * i + 1], t[2 * i], t[2 * i + 1]);
#pragma unroll
    for (int i = 0; i < W; i++)
        v[i] = t[i];
}

#if !defined(NORNI_ONLY) || defined(K_panels_x)
__kernel void panels_x(__global const C *planes, __global C *to, const long images, const long group, const long c,
                       const long k0, const long k1, const long k2, const long s0, const long s1, const long s2,
                       const long d0, const long d1, const long d2, const long f1, const long f2, const long q1,
                       const long q2, const long plane, const long channel, const long out1, const long out2,
                       const long outs, const long pixels) {
    const long block = get_global_id(0), image = get_global_id(1), g = get_global_id(2);
    const long taps = k0 * k1 * k2, pairs = c * taps, panels = (pairs + NR - 1) / NR, pair0 = block * W;
    int from[W];
    for (int j = 0; j < W; j++) {
        const int pair = (int)min(pair0 + j, pairs - 1), ch = pair / (int)taps, t = pair - ch * (int)taps;
        const int a0 = t / (int)(k1 * k2) * (int)d0, a1 = t / (int)k2 % (int)k1 * (int)d1, a2 = t % (int)k2 * (int)d2;
        const int r0 = a0 / (int)s0, r1 = a1 / (int)s1, r2 = a2 / (int)s2;
        from[j] = ch * (int)channel + (r0 * (int)q1 + r1) * (int)q2 + r2 +
                  (((a0 - r0 * (int)s0) * (int)f1 + a1 - r1 * (int)s1) * (int)f2 + a2 - r2 * (int)s2) * (int)plane;
    }
    planes += (image * group + g) * c * channel;
    to += ((g * panels + pair0 / NR) * images + image) * outs * NR + pair0 % NR;
    long col = 0, row = 0; /* of output p */
    for (long p = 0; p < pixels; p += W) {
        VEC v[W];
#pragma unroll
        for (int j = 0; j < W; j++)
            v[j] = NORNI_CAT(vload, W)(0, planes + from[j] + p);
        transpose(v);
        for (int l = 0; l < W && p + l < pixels; l++) {
            if (col < out2 && row < out1) {
                NORNI_CAT(vstore, W)(v[l], 0, to);
                to += NR;
            }
            if (++col == q2) {
                col = 0;
                row = row + 1 == q1 ? 0 : row + 1;
            }
        }
    }
}
#endif

#if !defined(NORNI_ONLY) || defined(K_panels_dy)
__kernel void panels_dy(__global const T *dy, __global C *to, const long image0, const long images, const long group,
                        const long m, const long outs) {
    const long panel = get_global_id(0), image = get_global_id(1), g = get_global_id(2), n = min((long)P, m - panel * P);
    dy += (((image0 + image) * group + g) * m + panel * P) * outs;
    to += ((g * ((m + P - 1) / P) + panel) * images + image) * outs * P;
    for (long o = 0; o < outs; o++)
        for (int i = 0; i < P; i++)
            to[o * P + i] = i < n ? LD(dy, i * outs + o) : (C)0;
}
#endif
