/* SPDX-License-Identifier: Apache-2.0 */
/* Reductions of x [outer][r][inner] over r, in `parts` parts: y [outer][parts][inner], part p taking the elements from
 * p * part to before (p + 1) * part.
 *
 *   -DHOW=...   SUM (default), MAX, MIN, PROD        -DPRE=... what is done to an element first: 0 nothing, 1 |x|, 2 x*x
 *   -DPOST=...  at the end: 0 nothing, 1 sqrt, 2 log  -DW=16    vector width
 *   reduce_rows  inner == 1: a work-item reduces `rows` rows, W elements at a time, in four independent sums
 *   reduce_cols  a work-item reduces W neighbouring columns
 *   reduce_tiles the same on CPUs for up to TILE neighbouring columns: whole rows are read one after the other, the sums stay in
 *                the nearest cache
 *   reduce_group inner == 1 on GPUs: a work-group of WG items a row, a tree in local memory */
#define SUM 0
#define MAX 1
#define MIN 2
#define PROD 3
#ifndef HOW
#define HOW SUM
#endif
#ifndef PRE
#define PRE 0
#endif
#ifndef POST
#define POST 0
#endif
#ifndef W
#define W 16
#endif
#ifndef WG
#define WG 64
#endif
#define VEC CV(W)

#if PRE == 1
#ifdef NORNI_REAL
#define BEFORE(x) fabs(x)
#else
#define BEFORE(x) ((x) < 0 ? -(x) : (x))
#endif
#elif PRE == 2
#define BEFORE(x) ((x) * (x))
#else
#define BEFORE(x) (x)
#endif

#if HOW == SUM
#define JOIN(a, b) ((a) + (b))
#define START ((C)0)
#elif HOW == PROD
#define JOIN(a, b) ((a) * (b))
#define START ((C)1)
#else
#ifdef NORNI_REAL
#if HOW == MAX
#define JOIN1(a, b) ((a) < (b) || isnan(b) ? (b) : (a))
#define JOINV(a, b) select(a, b, ((a) < (b)) | isnan(b))
#define START ((C)-INFINITY)
#else
#define JOIN1(a, b) ((a) > (b) || isnan(b) ? (b) : (a))
#define JOINV(a, b) select(a, b, ((a) > (b)) | isnan(b))
#define START ((C)INFINITY)
#endif
#else
#define JOIN1(a, b) (HOW == MAX ? max(a, b) : min(a, b))
#define JOINV(a, b) JOIN1(a, b)
#define START ((C)LIMIT)
#endif
#endif
#ifdef JOIN
#define JOIN1(a, b) JOIN(a, b)
#define JOINV(a, b) JOIN(a, b)
#endif

static inline C finish(C v, const REAL scale) {
#if POST == 1
    return sqrt(v);
#elif POST == 2
    return log(v);
#elif defined(NORNI_REAL)
    return v * (C)scale;
#elif defined(DIVIDE)
    return v / (C)scale;
#else
    return v;
#endif
}

#if W > 1 && (!defined(NORNI_ONLY) || defined(K_reduce_rows))
#define LANES4 0, 1, 2, 3
#define LANES8 LANES4, 4, 5, 6, 7
#define LANES16 LANES8, 8, 9, 10, 11, 12, 13, 14, 15
#define LANES ((VEC)(NORNI_CAT(LANES, W)))
/* The lanes of a vector joined, the halves at a time. */
#define JOIN_HALVES(w, half)                                                                                 \
    static inline C join##w(CV(w) v) { return join##half(JOINV(v.lo, v.hi)); }
static inline C join2(CV(2) v) { return JOIN1(v.lo, v.hi); }
JOIN_HALVES(4, 2)
#if W > 4
JOIN_HALVES(8, 4)
#endif
#if W > 8
JOIN_HALVES(16, 8)
#endif
#endif

#if !defined(NORNI_ONLY) || defined(K_reduce_rows)
__kernel void reduce_rows(__global const T *x, __global T *y, const long outer, const long r, const long parts,
                          const long part, const long rows, const REAL scale) {
    const long p = get_global_id(1), from = p * part, to = min(from + part, r);
    const long o0 = get_global_id(0) * rows, o1 = min(o0 + rows, outer);
    for (long o = o0; o < o1; o++) {
        __global const T *row = x + o * r;
        C total = START;
        long i = from;
#if W > 1
        if (to - from >= W) {
            VEC a0 = (VEC)(START), a1 = a0, a2 = a0, a3 = a0;
            for (; i + 4 * W <= to; i += 4 * W) {
                const VEC v0 = LDV(W, row, i), v1 = LDV(W, row, i + W), v2 = LDV(W, row, i + 2 * W),
                          v3 = LDV(W, row, i + 3 * W);
                a0 = JOINV(a0, BEFORE(v0));
                a1 = JOINV(a1, BEFORE(v1));
                a2 = JOINV(a2, BEFORE(v2));
                a3 = JOINV(a3, BEFORE(v3));
            }
            for (; i + W <= to; i += W) {
                const VEC v = LDV(W, row, i);
                a1 = JOINV(a1, BEFORE(v));
            }
            if (i < to) { /* the last vector overlaps the one before: what that one took counts as START */
                const VEC v = LDV(W, row, to - W);
                a2 = JOINV(a2, select((VEC)(START), BEFORE(v), LANES >= (VEC)((C)(W - (to - i)))));
                i = to;
            }
            total = NORNI_CAT(join, W)(JOINV(JOINV(a0, a1), JOINV(a2, a3)));
        }
#endif
        for (; i < to; i++) {
            const C v = LD(row, i);
            total = JOIN1(total, BEFORE(v));
        }
        ST(y, o * parts + p, finish(total, scale));
    }
}
#endif

#if !defined(NORNI_ONLY) || defined(K_reduce_cols)
__kernel void reduce_cols(__global const T *x, __global T *y, const long outer, const long r, const long inner,
                          const long parts, const long part, const REAL scale) {
    const long j = get_global_id(0) * W, o = get_global_id(1), p = get_global_id(2);
    const long from = p * part, to = min(from + part, r);
    if (j >= inner || o >= outer)
        return;
    x += o * r * inner;
    y += (o * parts + p) * inner;
#if W > 1
    if (j + W <= inner) {
        VEC a = (VEC)(START);
        for (long i = from; i < to; i++) {
            const VEC v = LDV(W, x, i * inner + j);
            a = JOINV(a, BEFORE(v));
        }
        C s[W];
        NORNI_CAT(vstore, W)(a, 0, s);
        for (int k = 0; k < W; k++)
            ST(y, j + k, finish(s[k], scale));
        return;
    }
#endif
    for (long k = j; k < min(j + W, inner); k++) {
        C a = START;
        for (long i = from; i < to; i++) {
            const C v = LD(x, i * inner + k);
            a = JOIN1(a, BEFORE(v));
        }
        ST(y, k, finish(a, scale));
    }
}
#endif

#if W > 1 && (!defined(NORNI_ONLY) || defined(K_reduce_tiles))
#define TILE 4096
#define SHORT_ROW 8192 /* bytes */
#define MANY_ROWS 64
__kernel void reduce_tiles(__global const T *x, __global T *y, const long outer, const long r, const long inner,
                           const long parts, const long part, const REAL scale) {
    const long j0 = get_global_id(0) * TILE, o = get_global_id(1), p = get_global_id(2);
    const long from = p * part, to = min(from + part, r), end = min(j0 + TILE, inner), n = (end - j0) / W;
    const long rest = end - j0 - n * W, last = n ? end - j0 - W : 0; /* with a rest the last vector overlaps the one before */
    VEC a[TILE / W], b = (VEC)(START);
    C s[W];
    x += o * r * inner;
    y += (o * parts + p) * inner;
    for (long k = 0; k < n; k++)
        a[k] = (VEC)(START);
    long i = from;
    /* Four rows at a time, whose tree has the smaller error; many short ones one by one, since memory is fetched ahead
     * where it is read in order. */
    for (; i + 4 <= to && (inner * sizeof(T) > SHORT_ROW || to - from < MANY_ROWS); i += 4) {
        __global const T *x0 = x + i * inner + j0, *x1 = x0 + inner, *x2 = x1 + inner, *x3 = x2 + inner;
        for (long k = 0; k < n; k++) {
            const VEC v0 = LDV(W, x0, k * W), v1 = LDV(W, x1, k * W), v2 = LDV(W, x2, k * W), v3 = LDV(W, x3, k * W);
            const VEC u = JOINV(BEFORE(v0), BEFORE(v1)), v = JOINV(BEFORE(v2), BEFORE(v3)), both = JOINV(u, v);
            a[k] = JOINV(a[k], both);
        }
        if (rest && n) {
            const VEC v0 = LDV(W, x0, last), v1 = LDV(W, x1, last), v2 = LDV(W, x2, last), v3 = LDV(W, x3, last);
            const VEC u = JOINV(BEFORE(v0), BEFORE(v1)), v = JOINV(BEFORE(v2), BEFORE(v3)), both = JOINV(u, v);
            b = JOINV(b, both);
        }
    }
    for (; i < to; i++) {
        for (long k = 0; k < n; k++) {
            const VEC v = LDV(W, x, i * inner + j0 + k * W);
            a[k] = JOINV(a[k], BEFORE(v));
        }
        if (rest && n) {
            const VEC v = LDV(W, x, i * inner + j0 + last);
            b = JOINV(b, BEFORE(v));
        }
    }
    if (rest && n) {
        NORNI_CAT(vstore, W)(b, 0, s);
        for (int l = 0; l < W; l++)
            ST(y, j0 + last + l, finish(s[l], scale));
    }
    for (long k = 0; k < n; k++) {
        NORNI_CAT(vstore, W)(a[k], 0, s);
        for (int l = 0; l < W; l++)
            ST(y, j0 + k * W + l, finish(s[l], scale));
    }
    if (n == 0 && rest) { /* fewer columns than lanes: lane l of vector k of W rows belongs to column (k W + l) mod inner */
        C column[W];
        VEC v[W];
        const long all = (to - from) * inner, whole = all - all % (inner * W);
        x += from * inner;
        for (long k = 0; k < inner; k++) {
            column[k] = START;
            v[k] = (VEC)(START);
        }
        for (long at = 0; at < whole; at += inner * W)
            for (long k = 0; k < inner; k++) {
                const VEC u = LDV(W, x, at + k * W);
                v[k] = JOINV(v[k], BEFORE(u));
            }
        if (whole)
            for (long k = 0; k < inner; k++) {
                NORNI_CAT(vstore, W)(v[k], 0, s);
                for (int l = 0; l < W; l++)
                    column[(k * W + l) % inner] = JOIN1(column[(k * W + l) % inner], s[l]);
            }
        for (long at = whole; at < all; at++) {
            const C u = LD(x, at);
            column[at % inner] = JOIN1(column[at % inner], BEFORE(u));
        }
        for (long k = 0; k < inner; k++)
            ST(y, k, finish(column[k], scale));
    }
}
#endif

#if !defined(NORNI_ONLY) || defined(K_reduce_group)
__kernel void reduce_group(__global const T *x, __global T *y, const long outer, const long r, const long parts,
                           const long part, const REAL scale) {
    __local C s[WG];
    const long p = get_global_id(1), o = get_group_id(0), from = p * part, to = min(from + part, r);
    const int l = get_local_id(0);
    C a = START;
    for (long i = from + l; i < to; i += WG) {
        const C v = LD(x, o * r + i);
        a = JOIN1(a, BEFORE(v));
    }
    s[l] = a;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int n = WG / 2; n > 0; n /= 2) {
        if (l < n)
            s[l] = JOIN1(s[l], s[l + n]);
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    if (l == 0)
        ST(y, o * parts + p, finish(s[0], scale));
}
#endif
