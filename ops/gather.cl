/* SPDX-License-Identifier: Apache-2.0 */
/* Elements by index. Indices below 0 count from the end of their dimension; what lies outside gives 0, and nothing is
 * read there. T only has to have the right size.
 *
 *   gather_rows   y[o][k][i] = x[o][index[k]][i], of x [outer][d][inner], for `rows` = outer * count rows of inner
 *   -DIDX=long    type of the indices          -DW=16, -DT_NAME=uint   vectors
 * A work-item does the elements from c * chunk to before (c + 1) * chunk of `rows_each` rows. */
#ifndef IDX
#define IDX long
#endif
#ifndef W
#define W 16
#endif
#ifndef T_NAME
#define T_NAME float
#endif
#define VT NORNI_CAT(T_NAME, W)

static inline void copy_or_zero(__global const T *x, __global T *y, const bool zero, long j, const long j1) {
#if W > 1
    for (; j + W <= j1; j += W)
        NORNI_CAT(vstore, W)(zero ? (VT)(0) : NORNI_CAT(vload, W)(0, x + j), 0, y + j);
#endif
    for (; j < j1; j++)
        y[j] = zero ? (T)0 : x[j];
}

#if !defined(NORNI_ONLY) || defined(K_gather_rows)
__kernel void gather_rows(__global const T *x, __global const IDX *index, __global T *y, const long count, const long d,
                          const long inner, const long rows, const long rows_each, const long chunks,
                          const long chunk) {
    const long item = get_global_id(0), c = item % chunks, q0 = item / chunks * rows_each, q1 = min(q0 + rows_each, rows);
    const long j0 = c * chunk, j1 = min(j0 + chunk, inner);
    long o = q0 / count, k = q0 % count;
    for (long q = q0; q < q1; q++) {
        long at = index[k];
        at += at < 0 ? d : 0;
        const bool outside = at < 0 || at >= d;
        at = outside ? 0 : (o * d + at) * inner;
        if (inner == 1)
            y[q] = outside ? (T)0 : x[at];
        else
            copy_or_zero(x + at, y + q * inner, outside, j0, j1);
        if (++k == count) {
            k = 0;
            o++;
        }
    }
}
#endif

/* The outer indices of row q of y, and where the row begins in x. */
#define OUTER(k)                                                                                             \
    if (d##k > 1) {                                                                                          \
        at += r_ % d##k * s##k;                                                                              \
        r_ /= d##k;                                                                                          \
    }
#define SIDE(k) const long d##k, const long s##k

/* gather_elements: y[i.., j] = x[i.., j] with the index along the axis replaced by index[i.., j]; y and the indices have
 * rows of n; s_k and sj are strides of x, 0 along the axis, where it is sx. */
#if !defined(NORNI_ONLY) || defined(K_gather_elements)
__kernel void gather_elements(__global const T *x, __global const IDX *index, __global T *y, const long rows,
                              const long rows_each, const long chunks, const long chunk, const long n, const long d,
                              const long sx, const long sj, SIDE(0), SIDE(1), SIDE(2), SIDE(3), SIDE(4), SIDE(5),
                              SIDE(6)) {
    const long item = get_global_id(0), c = item % chunks, q0 = item / chunks * rows_each, q1 = min(q0 + rows_each, rows);
    const long j0 = c * chunk, j1 = min(j0 + chunk, n);
    for (long q = q0; q < q1; q++) {
        long r_ = q, at = 0;
        OUTER(6) OUTER(5) OUTER(4) OUTER(3) OUTER(2) OUTER(1) OUTER(0)
        for (long j = j0; j < j1; j++) {
            long i = index[q * n + j];
            i += i < 0 ? d : 0;
            y[q * n + j] = i < 0 || i >= d ? (T)0 : x[at + j * sj + i * sx];
        }
    }
}
#endif

/* gather_nd: row q of `inner` elements of y is the slice of x that tuple q of `width` indices names; index k is below d_k,
 * and steps by s_k. `count` tuples share a batch, of which x has one every `batch` elements. */
#define INDEX(k)                                                                                             \
    if (k < width) {                                                                                         \
        long i = index[q * width + k];                                                                       \
        i += i < 0 ? d##k : 0;                                                                               \
        outside |= i < 0 || i >= d##k;                                                                       \
        at += i * s##k;                                                                                      \
    }
#if !defined(NORNI_ONLY) || defined(K_gather_nd)
__kernel void gather_nd(__global const T *x, __global const IDX *index, __global T *y, const long rows,
                        const long rows_each, const long chunks, const long chunk, const long inner, const long count,
                        const long batch, const int width, SIDE(0), SIDE(1), SIDE(2), SIDE(3), SIDE(4), SIDE(5), SIDE(6),
                        SIDE(7)) {
    const long item = get_global_id(0), c = item % chunks, q0 = item / chunks * rows_each, q1 = min(q0 + rows_each, rows);
    const long j0 = c * chunk, j1 = min(j0 + chunk, inner);
    for (long q = q0; q < q1; q++) {
        long at = q / count * batch;
        bool outside = false;
        INDEX(0) INDEX(1) INDEX(2) INDEX(3) INDEX(4) INDEX(5) INDEX(6) INDEX(7)
        copy_or_zero(x + (outside ? 0 : at), y + q * inner, outside, j0, j1);
    }
}
#endif
