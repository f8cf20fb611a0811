/* SPDX-License-Identifier: Apache-2.0 */
/* Pads x into y; T only has to have the right size. Outer dimension k of y has size d_k, of x n_k, and x begins at p_k
 * in it; s_k is its stride in x. Likewise the innermost dimension: n_out, n_in, begin, stride 1. x0 is where x's first
 * element that is used lies.
 *
 *   -DMODE=0 (default)  0: a constant, *value with -DVALUE, else 0; 1: edge; 2: reflect; 3: wrap
 *   -DW=16              vector width
 * A work-item does the elements from c * chunk to before (c + 1) * chunk of `rows_each` rows. */
#ifndef MODE
#define MODE 0
#endif
#ifndef W
#define W 16
#endif
#ifndef T_NAME
#define T_NAME uint
#endif
#define VT NORNI_CAT(T_NAME, W)

/* Where place i beyond a dimension of n elements is taken from. */
static inline long place(long i, const long n) {
#if MODE == 1
    return clamp(i, 0L, n - 1);
#elif MODE == 2
    const long p = 2 * (n - 1);
    if (p == 0)
        return 0;
    i = i % p;
    i = i < 0 ? i + p : i;
    return i < n ? i : p - i;
#elif MODE == 3
    i = i % n;
    return i < 0 ? i + n : i;
#else
    return i;
#endif
}

#define OUTER(k)                                                                                             \
    if (d##k != 1) {                                                                                         \
        const long at = place(r % d##k - p##k, n##k);                                                        \
        r /= d##k;                                                                                           \
        outside |= at < 0 || at >= n##k;                                                                     \
        from += at * s##k;                                                                                   \
    } else {                                                                                                 \
        const long at = place(-p##k, n##k);                                                                  \
        outside |= at < 0 || at >= n##k;                                                                     \
        from += at * s##k;                                                                                   \
    }
#define DIM(k) const long d##k, const long p##k, const long n##k, const long s##k

__kernel void pad_rows(__global const T *x, __global T *y, __global const T *value, const long rows,
                       const long rows_each, const long chunks, const long chunk, const long n_out, const long n_in,
                       const long begin, const long x0, DIM(0), DIM(1), DIM(2), DIM(3), DIM(4), DIM(5), DIM(6)) {
    const long item = get_global_id(0), c = item % chunks, q0 = item / chunks * rows_each, q1 = min(q0 + rows_each, rows);
    const long j0 = c * chunk, j1 = min(j0 + chunk, n_out);
#ifdef VALUE
    const T fill = *value;
#else
    const T fill = 0;
#endif
    for (long q = q0; q < q1; q++) {
        long r = q, from = x0, j = j0;
        bool outside = false;
        OUTER(6) OUTER(5) OUTER(4) OUTER(3) OUTER(2) OUTER(1) OUTER(0)
        __global T *to = y + q * n_out;
        const long m0 = outside ? j1 : clamp(begin, j0, j1), m1 = outside ? j1 : clamp(begin + n_in, j0, j1);
        from -= begin;
#if MODE == 0
#if W > 1
        for (; j + W <= m0; j += W)
            NORNI_CAT(vstore, W)((VT)(fill), 0, to + j);
#endif
        for (; j < m0; j++)
            to[j] = fill;
#else
        for (; j < m0; j++)
            to[j] = x[from + begin + place(j - begin, n_in)];
#endif
#if W > 1
        for (; j + W <= m1; j += W)
            NORNI_CAT(vstore, W)(NORNI_CAT(vload, W)(0, x + from + j), 0, to + j);
#endif
        for (; j < m1; j++)
            to[j] = x[from + j];
#if MODE == 0
        for (; j < j1; j++)
            to[j] = fill;
#else
        for (; j < j1; j++)
            to[j] = x[from + begin + place(j - begin, n_in)];
#endif
    }
}
