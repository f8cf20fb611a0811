/* SPDX-License-Identifier: Apache-2.0 */
/* Softmax and its gradient along r of x [outer][r][inner].
 *
 *     y = e^(x - m) / s,     m = max x,  s = sum e^(x - m)          -DLOG: y = x - m - ln s
 *     dx = y (dy - sum y dy)                                        -DLOG: dx = dy - e^y sum dy
 *
 *   -DW=16     vector width
 *   -DKEEP=0   elements of x that an item may hold for itself: rows and columns no longer than that are read once, and
 *              their exponentials computed once
 *   softmax_rows, softmax_grad_rows    inner == 1: a work-item takes `rows` rows. Longer ones are read twice: m and s are
 *                                      found together, block by block; -DTHROUGH=1: m first, then exponentials go to y, where
 *                                      caches keep a row that long
 *   softmax_cols, softmax_grad_cols    a work-item takes W neighbouring columns, softmax_cols G of them (-DG=1) where they are
 *                                      kept: more of each row at once; with -DTHROUGH=1 exponentials of G W columns go to y
 *   softmax_group, softmax_grad_group  inner == 1 on GPUs: a work-group of WG items takes a row
 *   hardmax                            1 for the first largest element (NaN is larger than all), else 0; an item a row */
#ifndef W
#define W 16
#endif
#ifndef KEEP
#define KEEP 0
#endif
#ifndef WG
#define WG 128
#endif
#define BLOCK 1024 /* elements that stay in the nearest cache */
#if W > 1
#define VEC CV(W)
#define SPLAT(v) ((VEC)(v))
#define VLOAD(p, i) NORNI_CAT(vload, W)(0, (p) + (i))
#define VSTORE(v, p, i) NORNI_CAT(vstore, W)(v, 0, (p) + (i))
#else
#define VEC C
#define SPLAT(v) (v)
#define VLOAD(p, i) (p)[i]
#define VSTORE(v, p, i) ((p)[i] = (v))
#undef LDV
#undef STV
#define LDV(w, p, i) LD(p, i)
#define STV(w, p, i, v) ST(p, i, v)
#endif

#ifdef T_F64
#define EXP1(x) exp(x)
#define EXPV(x) exp(x)
#define EXPN1(x) exp(x)
#define EXPNV(x) exp(x)
#else
NORNI_EXP_FLOAT(exp_1, float, int)
NORNI_EXP_NEG_FLOAT(expn_1, float, int)
#define EXP1(x) exp_1(x)
#define EXPN1(x) expn_1(x)
#if W > 1
NORNI_EXP_FLOAT(exp_v, NORNI_CAT(float, W), NORNI_CAT(int, W))
NORNI_EXP_NEG_FLOAT(expn_v, NORNI_CAT(float, W), NORNI_CAT(int, W))
#define EXPV(x) exp_v(x)
#define EXPNV(x) expn_v(x)
#else
#define EXPV(x) exp_1(x)
#define EXPNV(x) expn_1(x)
#endif
#endif
NORNI_JOIN_LANES(sum_of, C, NORNI_PLUS)
NORNI_JOIN_LANES(max_of, C, max)
#define SUM_OF(v) NORNI_CAT(sum_of, W)(v)
#define MAX_OF(v) NORNI_CAT(max_of, W)(v)

/* What is stored for an element: from d = x - m, and 1 / s or ln s. */
#ifdef LOG
#define LAST(s) log(s)
#define OUT(e, d, last) ((d) - (last))
#define KEPT_OUT(e, d, last) ((d) - (last))
#else
#define LAST(s) ((C)1 / (s))
#define OUT(e, d, last) (e(d) * (last))
#define KEPT_OUT(e, d, last) ((e) * (last))
#endif
/* What a sum of the gradient is made of, and the gradient. */
#ifdef LOG
#define TERM(y, dy) (dy)
#define GRAD(e, y, dy, s) ((dy) - e(y) * (s))
#else
#define TERM(y, dy) ((y) * (dy))
#define GRAD(e, y, dy, s) ((y) * ((dy) - (s)))
#endif

#if KEEP
/* Sum of the exponentials of n vectors, which are replaced by what KEPT_OUT takes. */
static inline VEC kept_sum(VEC *keep, const long n, const VEC m) {
    VEC s = SPLAT((C)0);
    for (long i = 0; i < n; i++) {
        const VEC d = keep[i] - m, e = EXPNV(d);
        s += e;
#ifdef LOG
        keep[i] = d;
#else
        keep[i] = e;
#endif
    }
    return s;
}

#if W > 1
#define LANES4 0, 1, 2, 3
#define LANES8 LANES4, 4, 5, 6, 7
#define LANES16 LANES8, 8, 9, 10, 11, 12, 13, 14, 15
#define LANES ((VEC)(NORNI_CAT(LANES, W)))
/* A row of r >= W. The last vector overlaps the one before, and has -inf where that one has elements. */
static inline void kept_row(__global const T *in, __global T *out, const long r) {
    VEC keep[KEEP / W];
    const long whole = r / W, rest = r % W;
    VEC m0 = SPLAT((C)-INFINITY), m1 = m0;
    long i = 0;
    for (; i + 2 <= whole; i += 2) {
        keep[i] = LDV(W, in, i * W);
        m0 = max(m0, keep[i]);
        keep[i + 1] = LDV(W, in, i * W + W);
        m1 = max(m1, keep[i + 1]);
    }
    if (i < whole) {
        keep[i] = LDV(W, in, i * W);
        m0 = max(m0, keep[i++]);
    }
    if (rest) {
        const VEC v = LDV(W, in, r - W);
        keep[i] = select(SPLAT((C)-INFINITY), v, LANES >= SPLAT((C)(W - rest)));
        m1 = max(m1, keep[i++]);
    }
    const VEC m = SPLAT(MAX_OF(max(m0, m1)));
    const C last = LAST(SUM_OF(kept_sum(keep, i, m)));
    if (rest) /* first, since the vector before it stores what it has not */
        STV(W, out, r - W, KEPT_OUT(keep[whole], keep[whole], SPLAT(last)));
    for (i = 0; i < whole; i++)
        STV(W, out, i * W, KEPT_OUT(keep[i], keep[i], SPLAT(last)));
}

/* n <= W rows of r < W, a lane a row; the lanes beyond them hold zeros. */
static inline void short_rows(__global const T *in, __global T *out, const long r, const long n) {
    VEC keep[W], m = SPLAT((C)-INFINITY);
    C part[W];
    for (long i = 0; i < r; i++) {
        if (n == W)
            for (int k = 0; k < W; k++)
                part[k] = LD(in, k * r + i);
        else
            for (int k = 0; k < W; k++)
                part[k] = k < n ? (C)LD(in, k * r + i) : (C)0;
        keep[i] = VLOAD(part, 0);
        m = max(m, keep[i]);
    }
    const VEC last = LAST(kept_sum(keep, r, m));
    for (long i = 0; i < r; i++) {
        VSTORE(KEPT_OUT(keep[i], keep[i], last), part, 0);
        for (int k = 0; k < n; k++)
            ST(out, k * r + i, part[k]);
    }
}
#endif

/* n <= W columns; the lanes beyond them hold zeros. */
static inline void kept_cols(__global const T *in, __global T *out, const long r, const long inner, const long n) {
    VEC keep[KEEP / W], m = SPLAT((C)-INFINITY);
    C part[W];
    for (int k = 0; k < W; k++)
        part[k] = 0;
    for (long i = 0; i < r; i++) {
        if (n == W)
            keep[i] = LDV(W, in, i * inner);
        else {
            for (long k = 0; k < n; k++)
                part[k] = LD(in, i * inner + k);
            keep[i] = VLOAD(part, 0);
        }
        m = max(m, keep[i]);
    }
    const VEC last = LAST(kept_sum(keep, r, m));
    for (long i = 0; i < r; i++) {
        const VEC v = KEPT_OUT(keep[i], keep[i], last);
        if (n == W)
            STV(W, out, i * inner, v);
        else {
            VSTORE(v, part, 0);
            for (long k = 0; k < n; k++)
                ST(out, i * inner + k, part[k]);
        }
    }
}
#endif

#ifndef G
#define G 1
#endif
#if KEEP && G > 1
/* G * W columns. */
static inline void kept_blocks(__global const T *in, __global T *out, const long r, const long inner) {
    VEC keep[KEEP / W], m[G], s[G];
    for (int g = 0; g < G; g++) {
        m[g] = SPLAT((C)-INFINITY);
        s[g] = SPLAT((C)0);
    }
    for (long i = 0; i < r; i++)
        for (int g = 0; g < G; g++) {
            keep[i * G + g] = LDV(W, in, i * inner + g * W);
            m[g] = max(m[g], keep[i * G + g]);
        }
    for (long i = 0; i < r; i++)
        for (int g = 0; g < G; g++) {
            const VEC d = keep[i * G + g] - m[g], e = EXPNV(d);
            s[g] += e;
#ifdef LOG
            keep[i * G + g] = d;
#else
            keep[i * G + g] = e;
#endif
        }
    for (int g = 0; g < G; g++)
        s[g] = LAST(s[g]);
    for (long i = 0; i < r; i++)
        for (int g = 0; g < G; g++)
            STV(W, out, i * inner + g * W, KEPT_OUT(keep[i * G + g], keep[i * G + g], s[g]));
}
#endif

#ifdef THROUGH
static inline void through_row(__global const T *in, __global T *out, const long r) {
    VEC v0 = SPLAT((C)-INFINITY), v1 = v0, a0 = SPLAT((C)0), a1 = a0;
    long i = 0;
    for (; i + 2 * W <= r; i += 2 * W) {
        v0 = max(v0, LDV(W, in, i));
        v1 = max(v1, LDV(W, in, i + W));
    }
    C m = MAX_OF(max(v0, v1)), s = 0;
    const long whole = i;
    for (; i < r; i++)
        m = max(m, (C)LD(in, i));
    for (i = 0; i < whole; i += 2 * W) {
#ifdef LOG
        a0 += EXPNV(LDV(W, in, i) - SPLAT(m));
        a1 += EXPNV(LDV(W, in, i + W) - SPLAT(m));
#else
        const VEC e0 = EXPNV(LDV(W, in, i) - SPLAT(m)), e1 = EXPNV(LDV(W, in, i + W) - SPLAT(m));
        a0 += e0;
        a1 += e1;
        STV(W, out, i, e0);
        STV(W, out, i + W, e1);
#endif
    }
    s = SUM_OF(a0 + a1);
    for (; i < r; i++)
        s += EXPN1(LD(in, i) - m);
    const C last = LAST(s);
    for (i = 0; i < whole; i += W)
#ifdef LOG
        STV(W, out, i, LDV(W, in, i) - SPLAT(m) - SPLAT(last));
#else
        STV(W, out, i, LDV(W, out, i) * SPLAT(last));
#endif
    for (; i < r; i++) {
        const C d = LD(in, i) - m;
        ST(out, i, OUT(EXPN1, d, last));
    }
}

/* G W columns, rows one after the other. */
static inline void through_cols(__global const T *x, __global T *y, const long r, const long inner) {
    VEC m[G], s[G];
    for (int g = 0; g < G; g++) {
        m[g] = SPLAT((C)-INFINITY);
        s[g] = SPLAT((C)0);
    }
    for (long i = 0; i < r; i++)
        for (int g = 0; g < G; g++)
            m[g] = max(m[g], LDV(W, x, i * inner + g * W));
    for (long i = 0; i < r; i++)
        for (int g = 0; g < G; g++) {
            const VEC d = LDV(W, x, i * inner + g * W) - m[g], e = EXPNV(d);
            s[g] += e;
#ifdef LOG
            STV(W, y, i * inner + g * W, d);
#else
            STV(W, y, i * inner + g * W, e);
#endif
        }
    for (int g = 0; g < G; g++)
        s[g] = LAST(s[g]);
    for (long i = 0; i < r; i++)
        for (int g = 0; g < G; g++) {
            const VEC v = LDV(W, y, i * inner + g * W);
            STV(W, y, i * inner + g * W, KEPT_OUT(v, v, s[g]));
        }
}
#endif

static inline void long_row(__global const T *in, __global T *out, const long r) {
    C m = (C)-INFINITY, s = 0;
    for (long from = 0; from < r; from += BLOCK) {
        const long to = min(from + BLOCK, r), whole = to - (to - from) % W;
        VEC v = SPLAT((C)-INFINITY), a = SPLAT((C)0);
        for (long i = from; i < whole; i += W)
            v = max(v, LDV(W, in, i));
        C top = max(m, MAX_OF(v));
        for (long i = whole; i < to; i++)
            top = max(top, (C)LD(in, i));
        const C base = top == (C)-INFINITY ? (C)0 : top; /* a block of -inf alone adds nothing */
        for (long i = from; i < whole; i += W)
            a += EXPNV(LDV(W, in, i) - SPLAT(base));
        s = s * EXPN1(m - base) + SUM_OF(a);
        for (long i = whole; i < to; i++)
            s += EXPN1(LD(in, i) - base);
        m = top;
    }
    const C last = LAST(s);
    long i = 0;
    for (; i + W <= r; i += W) {
        const VEC d = LDV(W, in, i) - SPLAT(m);
        STV(W, out, i, OUT(EXPNV, d, SPLAT(last)));
    }
    for (; i < r; i++) {
        const C d = LD(in, i) - m;
        ST(out, i, OUT(EXPN1, d, last));
    }
}

#if !defined(NORNI_ONLY) || defined(K_softmax_rows)
__kernel void softmax_rows(__global const T *x, __global T *y, const long outer, const long r, const long rows) {
    const long o0 = get_global_id(0) * rows, o1 = min(o0 + rows, outer);
#if KEEP && W > 1
    if (r < W) {
        for (long o = o0; o < o1; o += W)
            short_rows(x + o * r, y + o * r, r, min((long)W, o1 - o));
        return;
    }
    if (r <= KEEP) {
        for (long o = o0; o < o1; o++)
            kept_row(x + o * r, y + o * r, r);
        return;
    }
#endif
    for (long o = o0; o < o1; o++)
#ifdef THROUGH
        through_row(x + o * r, y + o * r, r);
#else
        long_row(x + o * r, y + o * r, r);
#endif
}
#endif

#if !defined(NORNI_ONLY) || defined(K_softmax_cols)
__kernel void softmax_cols(__global const T *x, __global T *y, const long outer, const long r, const long inner) {
    const long o = get_global_id(1);
    long j = get_global_id(0) * (W * G);
    if (j >= inner || o >= outer)
        return;
    x += o * r * inner;
    y += o * r * inner;
#if KEEP
    if (r * W <= KEEP) {
#if G > 1
        if (j + W * G <= inner) {
            kept_blocks(x + j, y + j, r, inner);
            return;
        }
#endif
        for (const long end = min(j + W * G, inner); j < end; j += W)
            kept_cols(x + j, y + j, r, inner, min((long)W, inner - j));
        return;
    }
#endif
#ifdef THROUGH
    if (j + W * G <= inner) {
        through_cols(x + j, y + j, r, inner);
        return;
    }
#endif
#if W > 1
    for (; j + W <= inner && j < (long)(get_global_id(0) + 1) * (W * G); j += W) {
        VEC m = LDV(W, x, j), s = SPLAT((C)0);
        for (long i = 1; i < r; i++)
            m = max(m, LDV(W, x, i * inner + j));
        for (long i = 0; i < r; i++)
            s += EXPNV(LDV(W, x, i * inner + j) - m);
        s = LAST(s);
        for (long i = 0; i < r; i++) {
            const VEC d = LDV(W, x, i * inner + j) - m;
            STV(W, y, i * inner + j, OUT(EXPNV, d, s));
        }
    }
#endif
    for (long k = j; k < min((long)(get_global_id(0) + 1) * (W * G), inner); k++) {
        C m = LD(x, k), s = 0;
        for (long i = 1; i < r; i++)
            m = max(m, (C)LD(x, i * inner + k));
        for (long i = 0; i < r; i++)
            s += EXPN1(LD(x, i * inner + k) - m);
        s = LAST(s);
        for (long i = 0; i < r; i++) {
            const C d = LD(x, i * inner + k) - m;
            ST(y, i * inner + k, OUT(EXPN1, d, s));
        }
    }
}
#endif

#if !defined(NORNI_ONLY) || defined(K_softmax_grad_rows)
__kernel void softmax_grad_rows(__global const T *y, __global const T *dy, __global T *dx, const long outer,
                                const long r, const long rows) {
    const long o0 = get_global_id(0) * rows, o1 = min(o0 + rows, outer);
    for (long o = o0; o < o1; o++) {
        const long from = o * r, to = from + r, whole = to - r % W;
        VEC a = SPLAT((C)0), b = a;
        long i = from;
        for (; i + 2 * W <= whole; i += 2 * W) {
            a += TERM(LDV(W, y, i), LDV(W, dy, i));
            b += TERM(LDV(W, y, i + W), LDV(W, dy, i + W));
        }
        for (; i < whole; i += W)
            a += TERM(LDV(W, y, i), LDV(W, dy, i));
        C s = SUM_OF(a + b);
        for (; i < to; i++)
            s += TERM(LD(y, i), LD(dy, i));
        for (i = from; i < whole; i += W)
            STV(W, dx, i, GRAD(EXPV, LDV(W, y, i), LDV(W, dy, i), SPLAT(s)));
        for (; i < to; i++)
            ST(dx, i, GRAD(EXP1, LD(y, i), LD(dy, i), s));
    }
}
#endif

#if !defined(NORNI_ONLY) || defined(K_softmax_grad_cols)
__kernel void softmax_grad_cols(__global const T *y, __global const T *dy, __global T *dx, const long outer,
                                const long r, const long inner) {
    const long j = get_global_id(0) * W, o = get_global_id(1);
    if (j >= inner || o >= outer)
        return;
    const long end = (o + 1) * r * inner;
#if W > 1
    if (j + W <= inner) {
        VEC s = SPLAT((C)0);
        for (long i = o * r * inner + j; i < end; i += inner)
            s += TERM(LDV(W, y, i), LDV(W, dy, i));
        for (long i = o * r * inner + j; i < end; i += inner)
            STV(W, dx, i, GRAD(EXPV, LDV(W, y, i), LDV(W, dy, i), s));
        return;
    }
#endif
    for (long k = j; k < min(j + W, inner); k++) {
        C s = 0;
        for (long i = o * r * inner + k; i < end; i += inner)
            s += TERM(LD(y, i), LD(dy, i));
        for (long i = o * r * inner + k; i < end; i += inner)
            ST(dx, i, GRAD(EXP1, LD(y, i), LD(dy, i), s));
    }
}
#endif

NORNI_JOIN_ITEMS(group_sum, C, NORNI_PLUS)
NORNI_JOIN_ITEMS(group_max, C, max)

#if !defined(NORNI_ONLY) || defined(K_softmax_group)
__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void
softmax_group(__global const T *x, __global T *y, const long outer, const long r) {
    __local C all[WG];
    const int l = get_local_id(0);
    const long o = get_group_id(0);
    x += o * r;
    y += o * r;
    C m = (C)-INFINITY, s = 0;
    for (long i = l; i < r; i += WG) {
        const C v = LD(x, i);
        m = max(m, v);
    }
    m = group_max(all, m);
    for (long i = l; i < r; i += WG)
        s += EXPN1(LD(x, i) - m);
    s = LAST(group_sum(all, s));
    for (long i = l; i < r; i += WG) {
        const C v = LD(x, i) - m;
        ST(y, i, OUT(EXPN1, v, s));
    }
}
#endif

#if !defined(NORNI_ONLY) || defined(K_softmax_grad_group)
__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void
softmax_grad_group(__global const T *y, __global const T *dy, __global T *dx, const long outer, const long r) {
    __local C all[WG];
    const int l = get_local_id(0);
    const long o = get_group_id(0), end = (o + 1) * r;
    C s = 0;
    for (long i = o * r + l; i < end; i += WG)
        s += TERM(LD(y, i), LD(dy, i));
    s = group_sum(all, s);
    for (long i = o * r + l; i < end; i += WG)
        ST(dx, i, GRAD(EXP1, LD(y, i), LD(dy, i), s));
}
#endif

#if !defined(NORNI_ONLY) || defined(K_hardmax)
__kernel void hardmax(__global const T *x, __global T *y, const long outer, const long r, const long inner) {
    const long j = get_global_id(0), o = get_global_id(1);
    if (j >= inner || o >= outer)
        return;
    x += o * r * inner + j;
    y += o * r * inner + j;
    long at = 0;
    C m = LD(x, 0);
    for (long i = 1; i < r; i++) {
        const C v = LD(x, i * inner);
        if (v > m || (isnan(v) && !isnan(m))) {
            m = v;
            at = i;
        }
    }
    for (long i = 0; i < r; i++)
        ST(y, i * inner, (C)(i == at ? 1 : 0));
}
#endif
