/* SPDX-License-Identifier: Apache-2.0 */
/* The gradient of a convolution with respect to its weights, without columns: products of rows of planes
 * (ops/conv_direct.cl), summed along vectors. dy lies in planes too, as gapped as the outputs there, with zeros between
 * its rows: what x has in those places does not count (unless it is infinite or NaN, which makes the result NaN).
 *
 *     dw[m, c, k] = sum over n, p of dy[n][m][p] * planes[n][c][offset(k) + p]
 *
 *   conv_direct_w  one work-item m_each channels of dy x NT pairs (c, k), over the images of its part; range (m / m_each,
 *                  c * taps / NT, group * parts), m_each a multiple of MR; only outputs p0 .. p1 - 1 count; dw [parts][group * m][c][taps], of C where parts are summed
 *   sum_parts      w[i] = sum over parts; range (elements / 1024)
 *
 *   -DMR=4 -DNT=6  rows and pairs of a tile; MR * NT + MR + 1 vectors should fit the registers
 *   -DW=16         vector width
 *   -DADD=1        dw grows by the result (the images of an earlier step are in it)
 *   -DPARTIAL=1    dw is of type C, not T */
#ifndef MR
#define MR 4
#endif
#ifndef NT
#define NT 6
#endif
#ifndef W
#define W 16
#endif
#define VEC CV(W)
#define LOADC(p) NORNI_CAT(vload, W)(0, (p))
/* The sums of W vectors at once, lane i that of v[i]: halves of neighbours are added until a lane is left of each. */
#define LAST(a, b) ((VEC)((a).even, (b).even) + (VEC)((a).odd, (b).odd))
#if W == 16
static inline VEC sum_lanes(const VEC *v) {
    VEC a[8], b[4], c[2];
#pragma unroll
    for (int i = 0; i < 8; i++)
        a[i] = (VEC)(v[2 * i].lo, v[2 * i + 1].lo) + (VEC)(v[2 * i].hi, v[2 * i + 1].hi);
#pragma unroll
    for (int i = 0; i < 4; i++)
        b[i] = (VEC)(a[2 * i].s0123, a[2 * i].s89ab, a[2 * i + 1].s0123, a[2 * i + 1].s89ab) +
               (VEC)(a[2 * i].s4567, a[2 * i].scdef, a[2 * i + 1].s4567, a[2 * i + 1].scdef);
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const VEC p = b[2 * i], q = b[2 * i + 1];
        c[i] = (VEC)(p.s01, p.s45, p.s89, p.scd, q.s01, q.s45, q.s89, q.scd) +
               (VEC)(p.s23, p.s67, p.sab, p.sef, q.s23, q.s67, q.sab, q.sef);
    }
    return LAST(c[0], c[1]);
}
#else
static inline VEC sum_lanes(const VEC *v) {
    VEC a[4], b[2];
#pragma unroll
    for (int i = 0; i < 4; i++)
        a[i] = (VEC)(v[2 * i].lo, v[2 * i + 1].lo) + (VEC)(v[2 * i].hi, v[2 * i + 1].hi);
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const VEC p = a[2 * i], q = a[2 * i + 1];
        b[i] = (VEC)(p.s01, p.s45, q.s01, q.s45) + (VEC)(p.s23, p.s67, q.s23, q.s67);
    }
    return LAST(b[0], b[1]);
}
#endif
#define SUMS ((MR * NT + W - 1) / W)
#ifdef PARTIAL
#define R C
#define LDR(p, i) (p)[i]
#define STR(p, i, v) ((p)[i] = (v))
#else
#define R T
#define LDR LD
#define STR ST
#endif

#if !defined(NORNI_ONLY) || defined(K_conv_direct_w)
__attribute__((reqd_work_group_size(1, 1, 1)))
__kernel void conv_direct_w(__global const C *planes, __global const C *dy, __global R *dw, const long dy0, const long images,
                            const long images_each, const long group, const long c, const long m, const long m_each,
                            const long k0, const long k1, const long k2, const long s0, const long s1, const long s2,
                            const long d0, const long d1, const long d2, const long f1, const long f2, const long q1,
                            const long q2, const long plane, const long channel, const long row, const long p0,
                            const long p1) {
    const long g = get_global_id(2) % group, part = get_global_id(2) / group;
    const long t0 = get_global_id(1) * NT, taps = k0 * k1 * k2, pairs = c * taps;
    const long n0 = part * images_each, n1 = min(n0 + images_each, images);
    const long first = get_global_id(0) * m_each, last = min(first + m_each, m);
    long from[NT];
#pragma unroll
    for (int j = 0; j < NT; j++) {
        const int pair = (int)min(t0 + j, pairs - 1), ch = pair / (int)taps, t = pair - ch * (int)taps;
        const int a0 = t / (int)(k1 * k2), a1 = t / (int)k2 - a0 * (int)k1, a2 = t % (int)k2;
        const int t0_ = a0 * (int)d0, t1_ = a1 * (int)d1, t2_ = a2 * (int)d2;
        const int r0 = t0_ / (int)s0, r1 = t1_ / (int)s1, r2 = t2_ / (int)s2;
        from[j] = ch * channel +
                  ((t0_ - r0 * s0) * f1 * f2 + (t1_ - r1 * s1) * f2 + t2_ - r2 * s2) * plane + (r0 * q1 + r1) * q2 + r2;
    }
    for (long m0 = first; m0 < last; m0 += MR) {
        VEC acc[SUMS * W];
#pragma unroll
        for (int i = 0; i < SUMS * W; i++)
            acc[i] = (VEC)(0);
        for (long n = n0; n < n1; n++) {
            __global const C *x = planes + (n * group + g) * c * channel, *d = dy + dy0 + ((n * group + g) * m + m0) * row;
            long below[MR];
#pragma unroll
            for (int i = 0; i < MR; i++)
                below[i] = min((long)i, m - 1 - m0) * row;
            for (long p = p0; p < p1; p += W) {
                VEC dv[MR];
#pragma unroll
                for (int i = 0; i < MR; i++)
                    dv[i] = LOADC(d + below[i] + p);
#pragma unroll
                for (int j = 0; j < NT; j++) {
                    const VEC xv = LOADC(x + from[j] + p);
#pragma unroll
                    for (int i = 0; i < MR; i++)
                        acc[i * NT + j] = fma(dv[i], xv, acc[i * NT + j]);
                }
            }
        }
        C sums[SUMS * W];
#pragma unroll
        for (int i = 0; i < SUMS; i++)
            NORNI_CAT(vstore, W)(sum_lanes(acc + i * W), i, sums);
        __global R *to = dw + ((part * group + g) * m + m0) * pairs + t0;
        const int rows = (int)min((long)MR, m - m0), cols = (int)min((long)NT, pairs - t0);
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < cols; j++) {
#ifdef ADD
                STR(to, i * pairs + j, LDR(to, i * pairs + j) + sums[i * NT + j]);
#else
                STR(to, i * pairs + j, sums[i * NT + j]);
#endif
            }
    }
}
#endif

#if !defined(NORNI_ONLY) || defined(K_sum_parts)
__kernel void sum_parts(__global const C *partial, __global T *w, const long elems, const long parts) {
    const long i0 = get_global_id(0) * 1024, i1 = min(i0 + 1024, elems);
    for (long i = i0; i < i1; i++) {
        C sum = partial[i];
        for (long p = 1; p < parts; p++)
            sum += partial[p * elems + i];
        ST(w, i, sum);
    }
}
#endif
