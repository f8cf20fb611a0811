/* SPDX-License-Identifier: Apache-2.0 */
/* Attention without a matrix of scores: see ops/attention.h. A work-item takes QV * W queries of a head, and goes through the keys
 * in blocks of KB with the running maximum and sum of the softmax (Dao et al., "FlashAttention", 2022; Milakov, Gimelshein,
 * 2018). The lanes of a vector are queries: keys and values are read as they lie, element by element.
 *
 *   -DW=16 -DQV=2   lanes, vectors       -DD=64 -DE=64  room for the elements of a key and of a value
 *   -DBIAS          a bias with strides sb, sh, si, sj in elements (0: broadcast)
 *   -DCAP           scores are softcap tanh(s / softcap)
 *   -DBLIND_NAN     a query that sees no key gets NaN instead of 0 */
#ifndef W
#define W 16
#endif
#ifndef QV
#define QV 2
#endif
#ifndef D
#define D 64
#endif
#ifndef E
#define E 64
#endif
#define KB 32
#if W > 1
#define VEC CV(W)
#else
#define VEC C
#endif
#ifdef T_F64
#define EXPN(x) exp(x)
#define TANH(x) tanh(x)
#else
#if W > 1
#define IVEC NORNI_CAT(int, W)
#else
#define IVEC int
#endif
NORNI_EXP_NEG_FLOAT(expn, VEC, IVEC)
NORNI_EXP_FLOAT(expf_, VEC, IVEC)
NORNI_TANH_FLOAT(tanh_, VEC)
#define EXPN(x) expn(x)
#define TANH(x) tanh_(x)
#endif
#define LOW ((C)-INFINITY)
#ifdef BLIND_NAN
#define BLIND ((C)NAN)
#else
#define BLIND ((C)0)
#endif
#if W > 1
#define FROM(p) NORNI_CAT(vload, W)(0, p)
#define INTO(v, p) NORNI_CAT(vstore, W)(v, 0, p)
#else
#define FROM(p) (*(p))
#define INTO(v, p) (*(p) = (v))
#endif

/* For x = 0 .. QV - 1, and for n = 1 or 4 keys or elements: written out, so that all of it stays in registers. */
#if QV == 2
#define EACH(X, n) X(n, 0) X(n, 1)
#else
#define EACH(X, n) X(n, 0)
#endif
#define FOR1(X) EACH(X, 0)
#define FOR4(X) EACH(X, 0) EACH(X, 1) EACH(X, 2) EACH(X, 3)

/* Scores of the keys from j on, for all queries. */
#define ZERO(n, x) VEC a##n##x = (VEC)(0);
#define QUERY_VECTORS(n, x) const VEC q##x = qs[i * QV + x];
#define MORE(n, x) a##n##x = fma(q##x, (VEC)((C)LD(row##n, i)), a##n##x);
#define PUT(n, x) s[(j + n) * QV + x] = a##n##x;
#define ROW(n) __global const T *row##n = k + (j0 + j + n) * d;
#define SCORES(FOR)                                                                                          \
    FOR(ZERO)                                                                                                \
    for (long i = 0; i < d; i++) {                                                                           \
        EACH(QUERY_VECTORS, 0)                                                                               \
        FOR(MORE)                                                                                            \
    }                                                                                                        \
    FOR(PUT)

/* Adds the block's part of the elements from c on. */
#define GROWN(n, x) VEC a##n##x = o[(c + n) * QV + x] * grown[x];
#define WEIGHTS(n, x) const VEC p##x = s[i * QV + x];
#define ADD(n, x) a##n##x = fma(p##x, (VEC)((C)LD(row, n)), a##n##x);
#define KEEP(n, x) o[(c + n) * QV + x] = a##n##x;
#define VALUES(FOR)                                                                                          \
    FOR(GROWN)                                                                                               \
    __global const T *row = v + j0 * e + c;                                                                  \
    for (long i = 0; i < count; i++, row += e) {                                                             \
        EACH(WEIGHTS, 0)                                                                                     \
        FOR(ADD)                                                                                             \
    }                                                                                                        \
    FOR(KEEP)

__kernel void attention(__global const T *q, __global const T *k, __global const T *v,
#ifdef BIAS
                        __global const T *bias, const long sb, const long sh, const long si, const long sj,
#endif
                        __global T *y, const long heads, const long share, const long queries, const long keys,
                        const long d, const long e, const long all, const long lo, const long hi, const C scale,
                        const C cap) {
    const long bh = get_global_id(1), i0 = get_global_id(0) * (QV * W), here = min((long)(QV * W), queries - i0);
    if (bh >= all || here <= 0)
        return;
    VEC qs[D * QV], s[KB * QV], o[E * QV], m[QV], sum[QV], grown[QV];
    const long b = bh / heads, h = bh % heads, kv = b * (heads / share) + h / share;
    q += (bh * queries + i0) * d;
    k += kv * keys * d;
    v += kv * keys * e;
    y += (bh * queries + i0) * e;
    C lane[W];
    for (long i = 0; i < d; i++)
        for (int x = 0; x < QV; x++) {
            for (int l = 0; l < W; l++)
                lane[l] = (C)LD(q, min((long)(x * W + l), here - 1) * d + i) * scale;
            qs[i * QV + x] = FROM(lane);
        }
    for (long i = 0; i < e * QV; i++)
        o[i] = (VEC)(0);
    for (int x = 0; x < QV; x++) {
        m[x] = (VEC)(LOW);
        sum[x] = (VEC)(0);
    }
    /* Keys that some query may see. */
    const long first = max(i0 + lo, 0L) / KB * KB, last = min(i0 + here - 1 + hi + 1, keys);
    for (long j0 = first; j0 < last; j0 += KB) {
        const long count = min((long)KB, keys - j0);
        long j = 0;
        for (; j + 4 <= count; j += 4) {
            ROW(0) ROW(1) ROW(2) ROW(3)
            SCORES(FOR4)
        }
        for (; j < count; j++) {
            ROW(0)
            SCORES(FOR1)
        }
#ifdef CAP
        for (j = 0; j < count * QV; j++)
            s[j] = TANH(s[j] / cap) * cap;
#endif
        const bool cut = j0 < i0 + here - 1 + lo || j0 + count - 1 > i0 + hi; /* the window ends within the block */
#ifdef BIAS
        __global const T *add = bias + b * sb + h * sh + i0 * si + j0 * sj;
#else
        if (cut)
#endif
            for (j = 0; j < count; j++)
                for (int x = 0; x < QV; x++) {
                    for (int l = 0; l < W; l++) {
                        const long at = min((long)(x * W + l), here - 1), from = j0 + j - i0 - at;
#ifdef BIAS
                        lane[l] = cut && (from < lo || from > hi) ? LOW : (C)LD(add, at * si + j * sj);
#else
                        lane[l] = from < lo || from > hi ? LOW : (C)0;
#endif
                    }
                    const VEC more = FROM(lane);
                    s[j * QV + x] = more == (VEC)(LOW) ? (VEC)(LOW) : s[j * QV + x] + more;
                }
        for (int x = 0; x < QV; x++) {
            VEC top = m[x];
            for (j = 0; j < count; j++)
                top = max(top, s[j * QV + x]);
            const VEC base = top == (VEC)(LOW) ? (VEC)(0) : top; /* nothing seen yet */
            VEC a = (VEC)(0);
            for (j = 0; j < count; j++) {
                s[j * QV + x] = EXPN(s[j * QV + x] - base);
                a += s[j * QV + x];
            }
            grown[x] = EXPN(m[x] - base);
            sum[x] = fma(sum[x], grown[x], a);
            m[x] = top;
        }
        long c = 0;
        for (; c + 4 <= e; c += 4) {
            VALUES(FOR4)
        }
        for (; c < e; c++) {
            VALUES(FOR1)
        }
    }
    for (int x = 0; x < QV; x++)
        grown[x] = sum[x] == (VEC)(0) ? (VEC)(BLIND) : (VEC)(1) / sum[x];
    for (long i = 0; i < e * QV; i++)
        o[i] *= grown[i % QV];
    for (long i = 0; i < e; i++)
        for (int x = 0; x < QV; x++) {
            INTO(o[i * QV + x], lane);
            for (long l = 0; l < W && x * W + l < here; l++)
                ST(y, (x * W + l) * e + i, lane[l]);
        }
}
