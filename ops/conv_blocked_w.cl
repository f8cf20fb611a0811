/* SPDX-License-Identifier: Apache-2.0 */
/* The gradient of a convolution with respect to its weights from the blocked forms (ops/blocked.h) of x and dy, B channels a
 * block:
 *
 *     dw[m][c][k] = sum over n, o of dy[n][o][m] * x[n][o * stride + k * dilation - begin][c]
 *
 * with the channels of x as scalars and those of dy as vectors; nothing is copied. A work-item keeps CC channels of x by
 * NV blocks of dy for TAPS kernel elements in private memory, a kernel element's sums at a time in registers, and goes
 * through the images in chunks that stay in the nearest cache while all kernel elements read them. Lanes beyond the last
 * channel are not stored.
 *
 *   conv_blocked_w  range (panels of m, panels of c * parts of the taps, group * parts of the images)
 *
 *   -DB=16           channels of a block
 *   -DCC=16 -DNV=1   CC divides B, or is the number of all channels; CC * NV + NV + 1 vectors should fit the registers
 *   -DTAPS=9         kernel elements of a work-item, at most
 *   -DPARTIAL=1      dw is of type C, one for each part of the images
 *   -DRAW=1          dw is [group][panels of c][panels of m][CC][NV][B] of C, in whole blocks; one kernel element, one part
 *   -DADD=1          RAW: dw grows by the result
 */
#ifndef B
#define B 16
#endif
#ifndef CC
#define CC 16
#endif
#ifndef NV
#define NV 1
#endif
#ifndef TAPS
#define TAPS 9
#endif
#define VEC CV(B)
#define LOADC(p) NORNI_CAT(vload, B)(0, (p))
#define STOREC(v, p) NORNI_CAT(vstore, B)((v), 0, (p))
#if defined(PARTIAL) || defined(RAW)
#define R C
#define STR(p, i, v) ((p)[i] = (v))
#else
#define R T
#define STR ST
#endif

/* Outputs lo .. hi - 1 whose element at offset `a` from the window's begin lies inside `in`. */
static inline void range_of(long *lo, long *hi, const long a, const long in, const long out, const long s) {
    *lo = a < 0 ? min((-a + s - 1) / s, out) : 0;
    *hi = max(*lo, a < in ? min((in - a + s - 1) / s, out) : 0);
}

__attribute__((reqd_work_group_size(1, 1, 1)))
__kernel void conv_blocked_w(__global const T *x, __global const T *dy, __global R *dw, const long images,
                             const long images_each, const long chunk, const long group, const long c, const long m,
                             const long panels_c, const long in0, const long in1, const long in2, const long out0,
                             const long out1, const long out2, const long k0, const long k1, const long k2,
                             const long s0, const long s1, const long s2, const long d0, const long d1, const long d2,
                             const long b0, const long b1, const long b2) {
    const long panel_m = get_global_id(0), panel_c = get_global_id(1) % panels_c;
    const long g = get_global_id(2) % group, part = get_global_id(2) / group;
    const long taps = k0 * k1 * k2, t0 = get_global_id(1) / panels_c * TAPS, t1 = min(t0 + TAPS, taps);
    const long blocks_c = (c + B - 1) / B, blocks_m = (m + B - 1) / B;
    const long in = in0 * in1 * in2, outs = out0 * out1 * out2;
    const long first_c = panel_c * CC; /* of the group */
    const long n0 = part * images_each, n1 = min(n0 + images_each, images);
    x += (g * blocks_c + first_c / B) * in * B + first_c % B;
    VEC sums[TAPS * CC * NV];
#if defined(RAW) && defined(ADD)
    for (int i = 0; i < CC * NV; i++)
        sums[i] = LOADC(dw + (((g * panels_c + panel_c) * get_global_size(0) + panel_m) * CC * NV + i) * B);
#else
    for (int i = 0; i < TAPS * CC * NV; i++)
        sums[i] = (VEC)(0);
#endif
    long dy_at[NV]; /* blocks beyond the last one are the last one again */
#pragma unroll
    for (int v = 0; v < NV; v++)
        dy_at[v] = (g * blocks_m + min(panel_m * NV + v, blocks_m - 1)) * outs * B;
    for (long from = n0; from < n1; from += chunk) {
        const long to = min(from + chunk, n1);
        for (long t = t0; t < t1; t++) {
            const long a0 = t / (k1 * k2) * d0 - b0, a1 = t / k2 % k1 * d1 - b1, a2 = t % k2 * d2 - b2;
            long lo0, hi0, lo1, hi1, lo2, hi2;
            range_of(&lo0, &hi0, a0, in0, out0, s0);
            range_of(&lo1, &hi1, a1, in1, out1, s1);
            range_of(&lo2, &hi2, a2, in2, out2, s2);
            VEC *kept = sums + (t - t0) * CC * NV;
            VEC acc[CC][NV];
#pragma unroll
            for (int i = 0; i < CC; i++)
#pragma unroll
                for (int v = 0; v < NV; v++)
                    acc[i][v] = kept[i * NV + v];
            for (long n = from; n < to; n++)
                for (long o0 = lo0; o0 < hi0; o0++)
                    for (long o1 = lo1; o1 < hi1; o1++) {
                        __global const T *xp = x + n * group * blocks_c * in * B +
                                               (((o0 * s0 + a0) * in1 + o1 * s1 + a1) * in2 + lo2 * s2 + a2) * B;
                        __global const T *d = dy + n * group * blocks_m * outs * B + ((o0 * out1 + o1) * out2 + lo2) * B;
                        for (long o2 = lo2; o2 < hi2; o2++, xp += s2 * B, d += B) {
                            VEC dv[NV];
#pragma unroll
                            for (int v = 0; v < NV; v++)
                                dv[v] = LDV(B, d, dy_at[v]);
#pragma unroll
                            for (int i = 0; i < CC; i++) {
                                const VEC xv = (VEC)(LD(xp, i));
#pragma unroll
                                for (int v = 0; v < NV; v++)
                                    acc[i][v] = fma(xv, dv[v], acc[i][v]);
                            }
                        }
                    }
#pragma unroll
            for (int i = 0; i < CC; i++)
#pragma unroll
                for (int v = 0; v < NV; v++)
                    kept[i * NV + v] = acc[i][v];
        }
    }
#ifdef RAW
    for (int i = 0; i < CC * NV; i++)
        STOREC(sums[i], dw + (((g * panels_c + panel_c) * get_global_size(0) + panel_m) * CC * NV + i) * B);
#else
    const C *flat = (const C *)sums;
    const int channels = (int)min((long)CC, c - first_c), rows = (int)min((long)(NV * B), m - panel_m * NV * B);
    dw += (((part * group + g) * m + panel_m * NV * B) * c + first_c) * taps;
    for (int j = 0; j < rows; j++, dw += c * taps)
        for (int i = 0; i < channels; i++)
            for (long t = t0; t < t1; t++)
                STR(dw, i * taps + t, flat[((t - t0) * CC + i) * NV * B + j]);
#endif
}
