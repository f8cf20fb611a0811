/* SPDX-License-Identifier: Apache-2.0 */
/* Convolution by its definition; one work-item an element of the result.
 *
 *     y[n, m, o] = sum over c, k of w[m, c, k] * x[n, c, o * s + k * d - b]      (ops/conv.h)
 *
 *   conv_y   range (elements of y per channel, channels of y, n); y += bias[m] with -DHAS_BIAS=1
 *   conv_x   range (elements of x per channel, channels of x, n); likewise
 *   conv_w   range (kernel elements, c, channels of y)
 * x [n][group * c][in0][in1][in2], y [n][group * m][out0][out1][out2], w [group * m][c][k0][k1][k2]. */
#define CONV_SIZES                                                                                           \
    const long n, const long group, const long c, const long m, const long in0, const long in1, const long in2, \
        const long out0, const long out1, const long out2, const long k0, const long k1, const long k2,      \
        const long s0, const long s1, const long s2, const long d0, const long d1, const long d2,            \
        const long b0, const long b1, const long b2
#ifdef HAS_BIAS
#define BIAS_ARG , __global const T *bias
#define BIAS(i) LD(bias, i)
#else
#define BIAS_ARG
#define BIAS(i) 0
#endif

__kernel void conv_y(__global const T *x, __global const T *w, __global T *y, CONV_SIZES BIAS_ARG NORNI_EPI_ARGS) {
    const long o = get_global_id(0), oc = get_global_id(1), b = get_global_id(2), outs = out0 * out1 * out2;
    if (o >= outs || oc >= group * m || b >= n)
        return;
    const long i2 = o % out2 * s2 - b2, i1 = o / out2 % out1 * s1 - b1, i0 = o / out2 / out1 * s0 - b0;
    C sum = BIAS(oc);
    x += (b * group + oc / m) * c * in0 * in1 * in2;
    w += oc * c * k0 * k1 * k2;
    for (long j = 0; j < c; j++)
        for (long a0 = 0; a0 < k0; a0++)
            for (long a1 = 0; a1 < k1; a1++)
                for (long a2 = 0; a2 < k2; a2++, w++) {
                    const long x0 = i0 + a0 * d0, x1 = i1 + a1 * d1, x2 = i2 + a2 * d2;
                    if (x0 >= 0 && x0 < in0 && x1 >= 0 && x1 < in1 && x2 >= 0 && x2 < in2)
                        sum = fma(LD(x, ((j * in0 + x0) * in1 + x1) * in2 + x2), LD(w, 0), sum);
                }
    const size_t at = (size_t)((b * group * m + oc) * outs + o);
    ST(y, at, NORNI_EPI(1, sum, at, (size_t)oc));
}

/* The output along one dimension that reads input i with kernel element a, or -1. */
static inline long reader(const long i, const long a, const long s, const long d, const long b, const long out) {
    const long t = i + b - a * d;
    return t < 0 || t % s || t / s >= out ? -1 : t / s;
}

__kernel void conv_x(__global const T *y, __global const T *w, __global T *x, CONV_SIZES BIAS_ARG NORNI_EPI_ARGS) {
    const long i = get_global_id(0), ic = get_global_id(1), b = get_global_id(2), ins = in0 * in1 * in2;
    if (i >= ins || ic >= group * c || b >= n)
        return;
    const long i2 = i % in2, i1 = i / in2 % in1, i0 = i / in2 / in1, taps = k0 * k1 * k2, g = ic / c;
    C sum = BIAS(ic);
    y += (b * group + g) * m * out0 * out1 * out2;
    w += (g * m * c + ic % c) * taps;
    for (long a0 = 0; a0 < k0; a0++) {
        const long o0 = reader(i0, a0, s0, d0, b0, out0);
        for (long a1 = 0; a1 < k1 && o0 >= 0; a1++) {
            const long o1 = reader(i1, a1, s1, d1, b1, out1);
            for (long a2 = 0; a2 < k2 && o1 >= 0; a2++) {
                const long o2 = reader(i2, a2, s2, d2, b2, out2);
                for (long j = 0; j < m && o2 >= 0; j++)
                    sum = fma(LD(y, ((j * out0 + o0) * out1 + o1) * out2 + o2),
                              LD(w, j * c * taps + (a0 * k1 + a1) * k2 + a2), sum);
            }
        }
    }
    const size_t at = (size_t)((b * group * c + ic) * ins + i);
    ST(x, at, NORNI_EPI(1, sum, at, (size_t)ic));
}

__kernel void conv_w(__global const T *x, __global const T *y, __global T *w, CONV_SIZES) {
    const long a = get_global_id(0), ic = get_global_id(1), oc = get_global_id(2), taps = k0 * k1 * k2;
    if (a >= taps || ic >= c || oc >= group * m)
        return;
    const long i2 = a % k2 * d2 - b2, i1 = a / k2 % k1 * d1 - b1, i0 = a / k2 / k1 * d0 - b0;
    const long ins = in0 * in1 * in2, outs = out0 * out1 * out2;
    C sum = 0;
    x += (oc / m * c + ic) * ins;
    y += oc * outs;
    for (long b = 0; b < n; b++, x += group * c * ins, y += group * m * outs)
        for (long o0 = 0; o0 < out0; o0++)
            for (long o1 = 0; o1 < out1; o1++)
                for (long o2 = 0; o2 < out2; o2++) {
                    const long x0 = i0 + o0 * s0, x1 = i1 + o1 * s1, x2 = i2 + o2 * s2;
                    if (x0 >= 0 && x0 < in0 && x1 >= 0 && x1 < in1 && x2 >= 0 && x2 < in2)
                        sum = fma(LD(x, (x0 * in1 + x1) * in2 + x2), LD(y, (o0 * out1 + o1) * out2 + o2), sum);
                }
    ST(w, (oc * c + ic) * taps + a, sum);
}
