/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks of images x [planes][in0][in1][in2] as columns [planes][k0 * k1 * k2][out0 * out1 * out2], and back:
 *
 *   col2im  x[p, i] = sum over k, o with o * s + k * d - b = i of column[p, k, o]; a work-item makes a line of x.
 *           Range (in0 * in1, planes)
 *   im2col  column[p, k, o] = x[p, o * s + k * d - b], 0 outside x. Range (out0 * out1, k0 * k1 * k2, planes) */
#define SEGMENT 128
#define WINDOW                                                                                               \
    const long planes, const long in0, const long in1, const long in2, const long out0, const long out1,     \
        const long out2, const long k0, const long k1, const long k2, const long s0, const long s1, const long s2, \
        const long d0, const long d1, const long d2, const long b0, const long b1, const long b2
#ifdef T_BOOL
#define PLUS(a, b) ((a) | (b))
#else
#define PLUS(a, b) ((a) + (b))
#endif

/* The outputs of a dimension whose place o * s + shift is in 0 .. n - 1: from lo to before hi. */
#define OUTPUTS(shift, n, s, out)                                                                            \
    const long lo = (shift) >= 0 ? 0 : (-(shift) + (s)-1) / (s),                                             \
               hi = min(out, (n) > (shift) ? ((n) - (shift) + (s)-1) / (s) : 0)

#if !defined(NORNI_ONLY) || defined(K_col2im)
__kernel void col2im(__global const T *from, __global T *x, WINDOW) {
    const long line = get_global_id(0), p = get_global_id(1), outs = out0 * out1 * out2;
    if (line >= in0 * in1 || p >= planes)
        return;
    const long i0 = line / in1 + b0, i1 = line % in1 + b1;
    from += p * k0 * k1 * k2 * outs;
    for (long e0 = 0; e0 < in2; e0 += SEGMENT) {
        C acc[SEGMENT];
        const long n = min((long)SEGMENT, in2 - e0);
        for (long j = 0; j < n; j++)
            acc[j] = 0;
        for (long a0 = 0; a0 < k0; a0++) {
            const long t0 = i0 - a0 * d0;
            if (t0 < 0 || t0 % s0 || t0 / s0 >= out0)
                continue;
            for (long a1 = 0; a1 < k1; a1++) {
                const long t1 = i1 - a1 * d1;
                if (t1 < 0 || t1 % s1 || t1 / s1 >= out1)
                    continue;
                for (long a2 = 0; a2 < k2; a2++) {
                    const long shift = a2 * d2 - b2 - e0;
                    OUTPUTS(shift, n, s2, out2);
                    __global const T *row = from + ((a0 * k1 + a1) * k2 + a2) * outs + (t0 / s0 * out1 + t1 / s1) * out2;
                    for (long o = lo; o < hi; o++)
                        acc[o * s2 + shift] = PLUS(acc[o * s2 + shift], LD(row, o));
                }
            }
        }
        const size_t at = (size_t)((p * in0 * in1 + line) * in2 + e0);
        for (long j = 0; j < n; j++)
            ST(x, at + j, acc[j]);
    }
}
#endif

#if !defined(NORNI_ONLY) || defined(K_im2col)
__kernel void im2col(__global const T *x, __global T *to, WINDOW) {
    const long row = get_global_id(0), k = get_global_id(1), p = get_global_id(2);
    if (row >= out0 * out1 || k >= k0 * k1 * k2 || p >= planes)
        return;
    const long i0 = row / out1 * s0 + k / k2 / k1 * d0 - b0, i1 = row % out1 * s1 + k / k2 % k1 * d1 - b1;
    const long shift = k % k2 * d2 - b2;
    OUTPUTS(shift, in2, s2, out2);
    const bool inside = i0 >= 0 && i0 < in0 && i1 >= 0 && i1 < in1;
    __global const T *from = x + ((p * in0 + i0) * in1 + i1) * in2 + shift;
    __global T *at = to + ((p * k0 * k1 * k2 + k) * out0 * out1 + row) * out2;
    for (long o = 0; o < out2; o++)
        at[o] = inside && o >= lo && o < hi ? from[o * s2] : (T)0;
}
#endif
