/* SPDX-License-Identifier: Apache-2.0 */
/* Pooling of planes x [planes][in0][in1][in2] to y [planes][out0][out1][out2]:
 *
 *     y[p, o] = max, or the mean (-DAVERAGE), of x[p, o * s + k * d - b] over the kernel elements k, those outside x left out
 *
 *   -DLP=p         instead the p-norm of the window; 0: the plain sum
 *   -DAVERAGE      the sum is divided by the elements in the window; -DINCLUDE_PAD: with those in the padding (up to e)
 *   -DPLACES       max: also where in the plane the maximum stands, the first of equals, -1 for an empty window;
 *   -DINDICES=1    the same over all planes (2: with the first spatial dimension running fastest)
 *   pool_rows      CPUs: a work-item makes `each` rows of y, `chunk` elements of a row at a time. The rows that a window
 *                  covers are joined into a buffer first, W columns at a time, with the padding filled in; then W
 *                  outputs at a time from the buffer. -DS2=1 or 2: the stride along the row, else any.
 *   pool_each      a work-item an output; range (out2, out1 * out0, planes)
 *   pool_blocked   blocked form (ops/blocked.h) of W channels a block; a work-item makes `each` rows; range (parts of the
 *                  rows, blocks, n) */
#ifndef W
#define W 1
#endif
#define L 1024 /* NORNI_POOL_BUFFER */
#define SIZES                                                                                                \
    const long planes, const long channels, const long in0, const long in1, const long in2, const long out0, \
        const long out1, const long out2, const long k0, const long k1, const long k2, const long s0,        \
        const long s1, const long s2, const long d0, const long d1, const long d2, const long b0,            \
        const long b1, const long b2, const long e0, const long e1, const long e2

#if defined(LP) && LP == 1
#define BEFORE(v) fabs(v)
#define AFTER(v) (v)
#elif defined(LP) && LP == 2
#define BEFORE(v) ((v) * (v))
#define AFTER(v) sqrt(v)
#elif defined(LP) && LP > 2
#define BEFORE(v) power_of(v)
#define AFTER(v) root_of(v)
#define POWERS(F)                                                                                            \
    static inline F __attribute__((overloadable)) power_of(F v) {                                            \
        F r = (F)(1);                                                                                        \
        v = fabs(v);                                                                                         \
        for (int n = LP; n; n >>= 1, v *= v)                                                                 \
            r *= n & 1 ? v : (F)(1);                                                                         \
        return r;                                                                                            \
    }                                                                                                        \
    static inline F __attribute__((overloadable)) root_of(F v) { return pow(v, (F)((C)1 / (C)LP)); }
POWERS(C)
#if W > 1
POWERS(CV(W))
#endif
#else
#define BEFORE(v) (v)
#define AFTER(v) (v)
#endif

#if defined(AVERAGE) || defined(LP)
#define START ((C)0)
#define JOIN1(a, b) ((a) + (b))
#define JOIN(a, b) ((a) + (b))
#elif defined(NORNI_REAL)
#define START ((C)-INFINITY)
#define JOIN1(a, b) ((a) < (b) || isnan(b) ? (b) : (a))
#define JOIN(a, b) select(a, b, ((a) < (b)) | isnan(b))
#else
#ifdef T_I8
#define START ((C)CHAR_MIN)
#else
#define START ((C)0)
#endif
#define JOIN1(a, b) max(a, b)
#define JOIN(a, b) max(a, b)
#endif

/* v, an element, comes before the best so far. */
#ifdef NORNI_REAL
#define ABOVE1(v, best) ((v) > (best) || (isnan(v) && !isnan(best)))
#define SAME1(v, best) ((v) == (best) || (isnan(v) && isnan(best)))
#define ABOVE(v, best) (((v) > (best)) | (isnan(v) & ~isnan(best)))
#define SAME(v, best) (((v) == (best)) | (isnan(v) & isnan(best)))
#else
#define ABOVE1(v, best) ((v) > (best))
#define SAME1(v, best) ((v) == (best))
#define ABOVE(v, best) ((v) > (best))
#define SAME(v, best) ((v) == (best))
#endif
#define NOWHERE INT_MAX

#ifdef PLACES
#define PLACES_ARG , __global int *places
#define PUT_PLACE(i, at) places[i] = (at)
#else
#define PLACES_ARG
#define PUT_PLACE(i, at)
#endif
#ifdef INDICES
#define INDICES_ARG , __global long *indices
#if INDICES == 2
static inline long index_of(const long at, const long in0, const long in1, const long in2) {
    return at < 0 ? at : at / in2 / in1 + in0 * (at / in2 % in1 + in1 * (at % in2));
}
#else
#define index_of(at, in0, in1, in2) (long)(at)
#endif
/* -1 for an empty window */
#define PUT_INDEX(i, plane, at)                                                                              \
    indices[i] = (at) < 0 ? -1 : (plane) * in0 * in1 * in2 + index_of(at, in0, in1, in2)
#else
#define INDICES_ARG
#define PUT_INDEX(i, plane, at)
#endif
#if defined(PLACES) || defined(INDICES)
#define WHERE
#endif

/* Of the places at + j * step, j = 0 .. n - 1, those within lo .. hi - 1: the first j; returns how many. */
static inline long inside(const long at, const long n, const long step, const long lo, const long hi, long *first) {
    const long a = at < lo ? (lo - at + step - 1) / step : 0;
    const long z = at + (n - 1) * step < hi ? n : at < hi ? (hi - at + step - 1) / step : 0;
    *first = a;
    return max(z - a, (long)0);
}

/* What is counted of the window that starts at `at` along a dimension. */
static inline long counted(const long at, const long n, const long step, const long in, const long b, const long e) {
    long first;
#ifdef INCLUDE_PAD
    return inside(at, n, step, -b, in + e, &first);
#else
    return inside(at, n, step, 0, in, &first);
#endif
}

#if !defined(NORNI_ONLY) || defined(K_pool_each)
__kernel void pool_each(__global const T *x, __global T *y PLACES_ARG INDICES_ARG, SIZES NORNI_EPI_ARGS) {
    const long o2 = get_global_id(0), o01 = get_global_id(1), plane = get_global_id(2);
    if (o2 >= out2 || o01 >= out0 * out1 || plane >= planes)
        return;
    const long i0 = o01 / out1 * s0 - b0, i1 = o01 % out1 * s1 - b1, i2 = o2 * s2 - b2;
    long f0, f1, f2;
    const long n0 = inside(i0, k0, d0, 0, in0, &f0), n1 = inside(i1, k1, d1, 0, in1, &f1),
               n2 = inside(i2, k2, d2, 0, in2, &f2);
    const long from = ((i0 + f0 * d0) * in1 + i1 + f1 * d1) * in2 + i2 + f2 * d2;
    x += plane * in0 * in1 * in2;
    C r = START;
    int best = -1;
    for (long a0 = 0; a0 < n0; a0++)
        for (long a1 = 0; a1 < n1; a1++)
            for (long a2 = 0; a2 < n2; a2++) {
                const long at = from + (a0 * d0 * in1 + a1 * d1) * in2 + a2 * d2;
                const C v = BEFORE(LD(x, at));
#ifdef WHERE
                best = best < 0 || ABOVE1(v, r) ? (int)at : best;
#endif
                r = JOIN1(r, v);
            }
#ifdef AVERAGE
    r /= (C)(counted(i0, k0, d0, in0, b0, e0) * counted(i1, k1, d1, in1, b1, e1) * counted(i2, k2, d2, in2, b2, e2));
#endif
    r = AFTER(r);
    const size_t i = (size_t)((plane * out0 * out1 + o01) * out2 + o2);
    PUT_PLACE(i, best);
    PUT_INDEX(i, plane, best);
    ST(y, i, NORNI_EPI(1, r, i, (size_t)(plane % channels)));
}
#endif

#if !defined(NORNI_ONLY) || defined(K_pool_rows)
#define VEC CV(W)
#define VLOAD(p) NORNI_CAT(vload, W)(0, p)
#define VSTORE(v, p) NORNI_CAT(vstore, W)(v, 0, p)
#ifdef T_F64
#define PLACE long
#else
#define PLACE int
#endif
#define PVEC NORNI_CAT(PLACE, W)
#define TO_PLACE NORNI_CAT(NORNI_CAT(convert_, PLACE), W)
#if defined(T_I8) || defined(T_U8)
#define TO_MASK NORNI_CAT(convert_char, W)
#else
#define TO_MASK
#endif

/* Every s2-th element from p on; at most n are read. */
#if defined(S2) && S2 == 1
#define TAKE(F, p, n) VLOAD(p)
#elif defined(S2) && S2 == 2
#define TAKE(F, p, n) ((NORNI_CAT(F, W))(VLOAD(p).even, VLOAD((p) + W).even))
#else
#define TAKE(F, p, n) NORNI_CAT(spread_, F)(p, s2, n)
#define SPREAD(F)                                                                                            \
    static inline NORNI_CAT(F, W) NORNI_CAT(spread_, F)(const F *p, const long s, const long n) {            \
        F v[W];                                                                                              \
        for (int i = 0; i < W; i++)                                                                          \
            v[i] = p[min((long)i, n - 1) * s];                                                               \
        return VLOAD(v);                                                                                     \
    }
SPREAD(C)
#ifdef WHERE
SPREAD(PLACE)
#endif
#endif

__kernel void pool_rows(__global const T *x, __global T *y PLACES_ARG INDICES_ARG, SIZES, const long each,
                        const long chunk NORNI_EPI_ARGS) {
    const long r0 = get_global_id(0) * each, r1 = min(r0 + each, planes * out0 * out1);
    C row[L + 2 * W];
#ifdef WHERE
    PLACE from_row[L + 2 * W], counting[W];
    for (int i = 0; i < W; i++)
        counting[i] = i;
    const PVEC ramp = VLOAD(counting);
#endif
#ifdef AVERAGE
    C count[L + W];
#endif
    for (long q0 = 0; q0 < out2; q0 += chunk) {
        const long n = min(chunk, out2 - q0), c0 = q0 * s2 - b2, len = (n - 1) * s2 + (k2 - 1) * d2 + 1;
        const long begin = min(max(-c0, (long)0), len), end = max(begin, min(in2 - c0, len));
        for (long j = 0; j < len + 2 * W; j += W) {
            VSTORE((VEC)(START), row + min(j, len + W));
#ifdef WHERE
            VSTORE((PVEC)(NOWHERE), from_row + min(j, len + W));
#endif
        }
#ifdef AVERAGE
        for (long j = 0; j < n + W; j++)
            count[j] = counted((q0 + j) * s2 - b2, k2, d2, in2, b2, e2);
#endif
        long plane = r0 / (out0 * out1), o0 = r0 / out1 % out0, o1 = r0 % out1 - 1;
        for (long r = r0; r < r1; r++) {
            if (++o1 == out1) {
                o1 = 0;
                if (++o0 == out0) {
                    o0 = 0;
                    plane++;
                }
            }
            const long i0 = o0 * s0 - b0, i1 = o1 * s1 - b1;
            long f0, f1;
            const long n0 = inside(i0, k0, d0, 0, in0, &f0), n1 = inside(i1, k1, d1, 0, in1, &f1);
            const long t0 = d0 * in1 * in2, t1 = d1 * in2, at = ((i0 + f0 * d0) * in1 + i1 + f1 * d1) * in2 + c0;
            __global const T *in = x + plane * in0 * in1 * in2 + at;
            const bool wide = end - begin >= W;
            /* Down the columns; the last vector overlaps the one before. */
            for (long j = begin; wide && j < end; j += W) {
                const long l = min(j, end - W);
                VEC v = (VEC)(START);
#ifdef WHERE
                PVEC where = (PVEC)(NOWHERE);
                bool first = true;
#endif
                for (long a0 = 0; a0 < n0; a0++)
                    for (long a1 = 0; a1 < n1; a1++) {
                        const VEC w = BEFORE(LDV(W, in, a0 * t0 + a1 * t1 + l));
#ifdef WHERE
                        const PVEC here = (PVEC)((PLACE)(at + a0 * t0 + a1 * t1 + l));
                        where = first ? here : select(where, here, TO_PLACE(ABOVE(w, v)));
                        v = first ? w : select(v, w, ABOVE(w, v));
                        first = false;
#else
                        v = JOIN(v, w);
#endif
                    }
                VSTORE(v, row + l);
#ifdef WHERE
                VSTORE(first ? (PVEC)(NOWHERE) : where + ramp, from_row + l);
#endif
            }
            for (long j = begin; !wide && j < end; j++) {
                C v = START;
#ifdef WHERE
                PLACE where = NOWHERE;
#endif
                for (long a0 = 0; a0 < n0; a0++)
                    for (long a1 = 0; a1 < n1; a1++) {
                        const C w = BEFORE(LD(in, a0 * t0 + a1 * t1 + j));
#ifdef WHERE
                        where = where == NOWHERE || ABOVE1(w, v) ? (PLACE)(at + a0 * t0 + a1 * t1 + j) : where;
#endif
                        v = JOIN1(v, w);
                    }
                row[j] = v;
#ifdef WHERE
                from_row[j] = where;
#endif
            }
#ifdef AVERAGE
            const C rows = counted(i0, k0, d0, in0, b0, e0) * counted(i1, k1, d1, in1, b1, e1);
#endif
            const size_t c = (size_t)(plane % channels);
            const size_t i = (size_t)(r * out2 + q0);
            for (long j = 0; j < n; j += W) {
                const long left = n - j;
                VEC v = (VEC)(START);
#ifdef WHERE
                PVEC where = (PVEC)(NOWHERE);
#endif
                for (long a2 = 0; a2 < k2; a2++) {
                    const VEC w = TAKE(C, row + j * s2 + a2 * d2, left);
#ifdef WHERE
                    const PVEC here = TAKE(PLACE, from_row + j * s2 + a2 * d2, left);
                    where = select(where, here,
                                   TO_PLACE(ABOVE(w, v) | (SAME(w, v) & TO_MASK(here < where))));
#endif
                    v = JOIN(v, w);
                }
#ifdef AVERAGE
                v /= VLOAD(count + j) * rows;
#endif
                v = AFTER(v);
#ifdef WHERE
                const PVEC at_best = select(where, (PVEC)(-1), where == (PVEC)(NOWHERE));
#if defined(PLACES) && !defined(INDICES) && !defined(T_F64)
                const bool whole = left >= W;
                if (whole)
                    VSTORE(at_best, places + i + j);
#else
                const bool whole = false;
#endif
                if (!whole) {
                    PLACE found[W];
                    VSTORE(at_best, found);
                    for (int l = 0; l < W && l < left; l++) {
                        PUT_PLACE(i + j + l, (int)found[l]);
                        PUT_INDEX(i + j + l, plane, found[l]);
                    }
                }
#endif
                if (left >= W)
                    STV(W, y, i + j, NORNI_EPI(W, v, i + j, c));
                else {
                    C part[W];
                    VSTORE(v, part);
                    for (long l = 0; l < left; l++)
                        ST(y, i + j + l, NORNI_EPI(1, part[l], i + j + l, c));
                }
            }
        }
    }
}
#endif

#if !defined(NORNI_ONLY) || defined(K_pool_blocked)
#define BVEC CV(W)
__kernel void pool_blocked(__global const T *x, __global T *y, SIZES, const long each NORNI_EPI_ARGS) {
    const long block = get_global_id(1), image = get_global_id(2) * get_global_size(1) + block;
    const long r0 = get_global_id(0) * each, r1 = min(r0 + each, out0 * out1);
    x += image * in0 * in1 * in2 * W;
    for (long r = r0; r < r1; r++) {
        const long i0 = r / out1 * s0 - b0, i1 = r % out1 * s1 - b1;
        long f0, f1, f2;
        const long n0 = inside(i0, k0, d0, 0, in0, &f0), n1 = inside(i1, k1, d1, 0, in1, &f1);
        const long t0 = d0 * in1 * in2 * W, t1 = d1 * in2 * W, t2 = d2 * W;
        __global const T *row = x + ((i0 + f0 * d0) * in1 + i1 + f1 * d1) * in2 * W;
#ifdef AVERAGE
        const long count01 = counted(i0, k0, d0, in0, b0, e0) * counted(i1, k1, d1, in1, b1, e1);
#endif
        for (long o2 = 0; o2 < out2; o2++) {
            const long i2 = o2 * s2 - b2;
            const bool whole = i2 >= 0 && i2 + (k2 - 1) * d2 < in2;
            f2 = 0;
            const long n2 = whole ? k2 : inside(i2, k2, d2, 0, in2, &f2);
            __global const T *p = row + (i2 + f2 * d2) * W;
            BVEC v = (BVEC)(START);
            for (long a0 = 0; a0 < n0; a0++)
                for (long a1 = 0; a1 < n1; a1++)
                    for (long a2 = 0; a2 < n2; a2++) {
                        const BVEC w = LDV(W, p, a0 * t0 + a1 * t1 + a2 * t2);
                        v = JOIN(v, w);
                    }
#ifdef AVERAGE
            v /= (BVEC)((C)(count01 * (whole ? k2 : counted(i2, k2, d2, in2, b2, e2))));
#endif
            const size_t at = (size_t)((image * out0 * out1 + r) * out2 + o2) * W;
            STV(W, y, at, NORNI_EPI(W, v, at, (size_t)block * W));
        }
    }
}
#endif
