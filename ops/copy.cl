/* SPDX-License-Identifier: Apache-2.0 */
/* Copies between strided layouts; T only has to have the right size. Indices i0 .. i6 are the outer ones (unused ones
 * have size 1), j the innermost: element at offset + sum i_k * s_k + j * s_j.
 *
 *   copy_rows  a work-item copies `rows` rows of n elements; where both innermost strides are 1, W at a time
 *   copy_tiles the innermost dimension of `to` against another, b, along which `from` is contiguous: TILE x TILE blocks,
 *              so that both sides are walked in lines that stay in cache */
#ifndef W
#define W 16
#endif
#ifndef TILE
#define TILE 16
#endif
#define OUTER_SIZES const long d1, const long d2, const long d3, const long d4, const long d5, const long d6
#define STRIDES(s)                                                                                           \
    const long s##_0, const long s##_1, const long s##_2, const long s##_3, const long s##_4, const long s##_5, \
        const long s##_6
#define PLACES(q, x, y)                                                                                      \
    {                                                                                                        \
        long r_ = (q), i_;                                                                                   \
        i_ = r_ % d6; r_ /= d6; x += i_ * x##_6; y += i_ * y##_6;                                            \
        i_ = r_ % d5; r_ /= d5; x += i_ * x##_5; y += i_ * y##_5;                                            \
        i_ = r_ % d4; r_ /= d4; x += i_ * x##_4; y += i_ * y##_4;                                            \
        i_ = r_ % d3; r_ /= d3; x += i_ * x##_3; y += i_ * y##_3;                                            \
        i_ = r_ % d2; r_ /= d2; x += i_ * x##_2; y += i_ * y##_2;                                            \
        i_ = r_ % d1; r_ /= d1; x += i_ * x##_1; y += i_ * y##_1;                                            \
        x += r_ * x##_0; y += r_ * y##_0;                                                                    \
    }

#if !defined(NORNI_ONLY) || defined(K_copy_rows)
__kernel void copy_rows(__global const T *from, __global T *to, const long n, const long rows, const long rows_each,
                        OUTER_SIZES, const long x0, const long xj, STRIDES(x), const long y0, const long yj, STRIDES(y)) {
    const long r0 = get_global_id(0) * rows_each, r1 = min(r0 + rows_each, rows);
    for (long q = r0; q < r1; q++) {
        long x = x0, y = y0;
        PLACES(q, x, y)
        long j = 0;
        if (yj == 1 && xj == 1)
            for (; j + W <= n; j += W)
                NORNI_CAT(vstore, W)(NORNI_CAT(vload, W)(0, from + x + j), 0, to + y + j);
        else if (yj == 1 && xj == 0) {
            const NORNI_CAT(T_NAME, W) v = (NORNI_CAT(T_NAME, W))(from[x]);
            for (; j + W <= n; j += W)
                NORNI_CAT(vstore, W)(v, 0, to + y + j);
        }
        for (; j < n; j++)
            to[y + j * yj] = from[x + j * xj];
    }
}
#endif

#if !defined(NORNI_ONLY) || defined(K_copy_tiles)
__kernel void copy_tiles(__global const T *from, __global T *to, const long n, const long nb, const long rows,
                         OUTER_SIZES, const long x0, const long xj, const long xb, STRIDES(x), const long y0,
                         const long yj, const long yb, STRIDES(y)) {
    const long j0 = get_global_id(0) * TILE, b0 = get_global_id(1) * TILE, q = get_global_id(2);
    if (j0 >= n || b0 >= nb || q >= rows)
        return;
    const long j1 = min(j0 + TILE, n), b1 = min(b0 + TILE, nb);
    long x = x0, y = y0;
    PLACES(q, x, y)
    for (long b = b0; b < b1; b++)
        for (long j = j0; j < j1; j++)
            to[y + j * yj + b * yb] = from[x + j * xj + b * xb];
}
#endif
