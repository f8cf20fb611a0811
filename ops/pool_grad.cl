/* SPDX-License-Identifier: Apache-2.0 */
/* Gradients of pooling, planes y [planes][out0][out1][out2] to x [planes][in0][in1][in2]. Sums are made in one fixed order.
 *
 *   max_grad_planes   dx[p, places[p, o]] += dy[p, o]. CPUs: a work-item has `each` planes, or of one plane the lines
 *                     (i0, i1) from item * strip on. Range (planes / each, strips)
 *   max_grad_each     the same, a work-item an element of dx: looks at the windows that cover it; range (in2, in1 * in0, planes)
 *   max_take          y[p, o] = x[p, places[p, o]]; range (outputs / each, planes)
 *   mean_grad_rows    dx[p, i] = sum over o, k with o * s + k * d - b = i of dy[p, o] / count(o). CPUs: a work-item makes
 *                     `each` lines of dx, `chunk` elements at a time: what the outputs of all rows that cover the line
 *                     give is put into a buffer, `s2` apart, then joined W elements at a time
 *   mean_grad_each    the same, a work-item an element; range (in2, in1 * in0, planes)
 *   -DPLAIN           count(o) is 1
 *   -DINCLUDE_PAD     count(o) has the window's elements in the padding too */
#ifndef W
#define W 1
#endif
#define L 1024 /* NORNI_POOL_BUFFER */
#define SIZES                                                                                                \
    const long planes, const long channels, const long in0, const long in1, const long in2, const long out0, \
        const long out1, const long out2, const long k0, const long k1, const long k2, const long s0,        \
        const long s1, const long s2, const long d0, const long d1, const long d2, const long b0,            \
        const long b1, const long b2, const long e0, const long e1, const long e2

/* What is counted of the window that starts at `at` along a dimension. */
static inline long counted(const long at, const long n, const long step, const long in, const long b, const long e) {
#ifdef INCLUDE_PAD
    const long lo = -b, hi = in + e;
#else
    const long lo = 0, hi = in;
#endif
#ifdef PLAIN
    return 1;
#endif
    const long first = at < lo ? (lo - at + step - 1) / step : 0;
    return max((at < hi ? min((hi - at + step - 1) / step, n) : 0) - first, (long)0);
}

/* The output along a dimension that reads input i with kernel element a, or -1. */
static inline long reader(const long i, const long a, const long s, const long d, const long b, const long out) {
    const long t = i + b - a * d;
    return t < 0 || t % s || t / s >= out ? -1 : t / s;
}

#if !defined(NORNI_ONLY) || defined(K_max_grad_planes)
__kernel void max_grad_planes(__global const T *dy, __global const int *places, __global T *dx, SIZES, const long each,
                              const long strip) {
    const long p0 = get_global_id(0) * each, p1 = min(p0 + each, planes);
    const long l0 = get_global_id(1) * strip, l1 = min(l0 + strip, in0 * in1), n = out0 * out1 * out2;
    if (l0 >= l1)
        return;
    /* The outputs that may have a place in these lines. */
    const long z0 = l0 / in1, z1 = (l1 - 1) / in1, r0 = l0 % in1, r1 = (l1 - 1) % in1;
    const long u0 = max((z0 + b0 - (k0 - 1) * d0 + s0 - 1) / s0, (long)0), u1 = min((z1 + b0) / s0, out0 - 1);
    const long v0 = z0 < z1 ? 0 : max((r0 + b1 - (k1 - 1) * d1 + s1 - 1) / s1, (long)0),
               v1 = z0 < z1 ? out1 - 1 : min((r1 + b1) / s1, out1 - 1);
    const uint lo = l0 * in2, many = (l1 - l0) * in2;
    for (long p = p0; p < p1; p++) {
        __global T *to = dx + p * in0 * in1 * in2 + lo;
        for (uint i = 0; i < many; i++)
            to[i] = 0;
        for (long o0 = u0; o0 <= u1; o0++) {
            const long from = p * n + (o0 * out1 + v0) * out2, count = (v1 - v0 + 1) * out2;
            for (long o = from; o < from + count; o++) {
                const uint at = (uint)places[o] - lo;
                if (at < many)
                    ST(to, at, LD(to, at) + LD(dy, o));
            }
        }
    }
}
#endif

#if !defined(NORNI_ONLY) || defined(K_max_grad_each)
__kernel void max_grad_each(__global const T *dy, __global const int *places, __global T *dx, SIZES) {
    const long i2 = get_global_id(0), i01 = get_global_id(1), plane = get_global_id(2);
    if (i2 >= in2 || i01 >= in0 * in1 || plane >= planes)
        return;
    const long i0 = i01 / in1, i1 = i01 % in1, first = plane * out0 * out1 * out2;
    const int me = (int)(i01 * in2 + i2);
    C sum = 0;
    for (long a0 = k0 - 1; a0 >= 0; a0--) {
        const long o0 = reader(i0, a0, s0, d0, b0, out0);
        for (long a1 = k1 - 1; a1 >= 0 && o0 >= 0; a1--) {
            const long o1 = reader(i1, a1, s1, d1, b1, out1);
            for (long a2 = k2 - 1; a2 >= 0 && o1 >= 0; a2--) {
                const long o2 = reader(i2, a2, s2, d2, b2, out2), o = first + (o0 * out1 + o1) * out2 + o2;
                if (o2 >= 0 && places[o] == me)
                    sum += LD(dy, o);
            }
        }
    }
    ST(dx, (plane * in0 * in1 + i01) * in2 + i2, sum);
}
#endif

#if !defined(NORNI_ONLY) || defined(K_max_take)
__kernel void max_take(__global const T *x, __global const int *places, __global T *y, const long planes, const long ins,
                       const long outs, const long each) {
    const long o0 = get_global_id(0) * each, o1 = min(o0 + each, outs), plane = get_global_id(1);
    if (plane >= planes)
        return;
    for (long o = plane * outs + o0; o < plane * outs + o1; o++) {
        const long at = places[o];
        ST(y, o, at >= 0 && at < ins ? LD(x, plane * ins + at) : (C)0);
    }
}
#endif

#if !defined(NORNI_ONLY) || defined(K_mean_grad_each)
__kernel void mean_grad_each(__global const T *dy, __global T *dx, SIZES) {
    const long i2 = get_global_id(0), i01 = get_global_id(1), plane = get_global_id(2);
    if (i2 >= in2 || i01 >= in0 * in1 || plane >= planes)
        return;
    const long i0 = i01 / in1, i1 = i01 % in1;
    C sum = 0;
    dy += plane * out0 * out1 * out2;
    for (long a0 = k0 - 1; a0 >= 0; a0--) {
        const long o0 = reader(i0, a0, s0, d0, b0, out0), c0 = counted(o0 * s0 - b0, k0, d0, in0, b0, e0);
        for (long a1 = k1 - 1; a1 >= 0 && o0 >= 0; a1--) {
            const long o1 = reader(i1, a1, s1, d1, b1, out1), c1 = c0 * counted(o1 * s1 - b1, k1, d1, in1, b1, e1);
            for (long a2 = k2 - 1; a2 >= 0 && o1 >= 0; a2--) {
                const long o2 = reader(i2, a2, s2, d2, b2, out2);
                if (o2 >= 0)
                    sum += LD(dy, (o0 * out1 + o1) * out2 + o2) /
                           (C)(c1 * counted(o2 * s2 - b2, k2, d2, in2, b2, e2));
            }
        }
    }
    ST(dx, (plane * in0 * in1 + i01) * in2 + i2, sum);
}
#endif

#if !defined(NORNI_ONLY) || defined(K_mean_grad_rows)
#if W > 1
#define VEC CV(W)
#define VLOAD(p) NORNI_CAT(vload, W)(0, p)
#define VSTORE(v, p) NORNI_CAT(vstore, W)(v, 0, p)
__kernel void mean_grad_rows(__global const T *dy, __global T *dx, SIZES, const long each, const long chunk) {
    const long r0 = get_global_id(0) * each, r1 = min(r0 + each, planes * in0 * in1);
    C row[L + 2 * W], count[L + W];
    for (long q0 = 0; q0 < in2; q0 += chunk) {
        /* Buffer element j is what output (u0 + j) / s2 gives, if there is one. */
        const long n = min(chunk, in2 - q0), reach = (k2 - 1) * d2, u0 = q0 + b2 - reach, len = n + reach;
        const long begin = u0 > 0 ? (u0 + s2 - 1) / s2 : 0, end = max(begin, min((u0 + len - 1) / s2 + 1, out2));
        for (long j = 0; j < len + W; j += W)
            VSTORE((VEC)(0), row + j);
        for (long o = begin; o < end; o++)
            count[o - begin] = counted(o * s2 - b2, k2, d2, in2, b2, e2);
        const bool wide = end - begin >= W;
        for (long r = r0; r < r1; r++) {
            const long plane = r / (in0 * in1), i0 = r / in1 % in0, i1 = r % in1;
            __global const T *from = dy + plane * out0 * out1 * out2;
            for (long o = begin; o < end; o += wide ? W : 1) {
                const long l = wide ? min(o, end - W) : o;
                VEC v = (VEC)(0);
                for (long a0 = k0 - 1; a0 >= 0; a0--) {
                    const long o0 = reader(i0, a0, s0, d0, b0, out0);
                    for (long a1 = k1 - 1; a1 >= 0 && o0 >= 0; a1--) {
                        const long o1 = reader(i1, a1, s1, d1, b1, out1);
                        if (o1 < 0)
                            continue;
                        const C rows = (C)(counted(o0 * s0 - b0, k0, d0, in0, b0, e0) *
                                           counted(o1 * s1 - b1, k1, d1, in1, b1, e1));
                        const long at = (o0 * out1 + o1) * out2 + l;
                        if (wide)
                            v += LDV(W, from, at) / rows;
                        else
                            v.s0 += LD(from, at) / rows;
                    }
                }
                if (!wide)
                    row[l * s2 - u0] = v.s0 / count[l - begin];
                else if (s2 == 1)
                    VSTORE(v / VLOAD(count + l - begin), row + l - u0);
                else {
                    C part[W];
                    VSTORE(v / VLOAD(count + l - begin), part);
                    for (int i = 0; i < W; i++)
                        row[(l + i) * s2 - u0] = part[i];
                }
            }
            const long at = r * in2 + q0;
            for (long j = 0; j < n; j += W) {
                VEC v = (VEC)(0);
                for (long a2 = 0; a2 < k2; a2++)
                    v += VLOAD(row + j + a2 * d2);
                if (n - j >= W)
                    STV(W, dx, at + j, v);
                else {
                    C part[W];
                    VSTORE(v, part);
                    for (long i = 0; i < n - j; i++)
                        ST(dx, at + j + i, part[i]);
                }
            }
        }
    }
}
#endif
#endif
