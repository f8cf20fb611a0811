/* SPDX-License-Identifier: Apache-2.0 */
/* Copies between strided layouts; T only has to have the right size. Indices i0 .. i6 are the outer ones (unused ones
 * have size 1), j the innermost: element at offset + sum i_k * s_k + j * s_j.
 *
 *   copy_rows   a work-item copies the elements c * chunk to before (c + 1) * chunk of `rows_each` rows of n elements, W
 *               at a time where the innermost strides allow it
 *   copy_tiles  the innermost dimension of `to` (stride 1) against another, b, along which `from` has stride 1: a
 *               work-item copies TILE x TILE elements in blocks of 8 x 8, which are turned in registers
 *   copy_local  the same for GPUs: a work-group of 32 x 8 items turns 32 x 32 elements in local memory
 *
 *   -DW=16     vector width         -DT_NAME=uint  the vector types' name        -DTILE=32  a multiple of 8 */
#ifndef W
#define W 16
#endif
#ifndef T_NAME
#define T_NAME float
#endif
#ifndef TILE
#define TILE 32
#endif
#define OUTER_SIZES const long d1, const long d2, const long d3, const long d4, const long d5, const long d6
#define STRIDES(s)                                                                                           \
    const long s##_0, const long s##_1, const long s##_2, const long s##_3, const long s##_4, const long s##_5, \
        const long s##_6
/* The outer indices of row q, and the places of the row. */
#define INDEX(k)                                                                                             \
    long i##k = 0;                                                                                           \
    if (d##k > 1) {                                                                                          \
        i##k = r_ % d##k;                                                                                    \
        r_ /= d##k;                                                                                          \
        x += i##k * x_##k;                                                                                   \
        y += i##k * y_##k;                                                                                   \
    }
#define INDICES(q)                                                                                           \
    long r_ = (q);                                                                                           \
    INDEX(6) INDEX(5) INDEX(4) INDEX(3) INDEX(2) INDEX(1)                                                    \
    x += r_ * x_0;                                                                                           \
    y += r_ * y_0;
/* On to the next row: index k is counted up, and the next one out when it has come round. */
#define NEXT(k, out)                                                                                         \
    x += x_##k;                                                                                              \
    y += y_##k;                                                                                              \
    if (++i##k == d##k) {                                                                                    \
        i##k = 0;                                                                                            \
        x -= d##k * x_##k;                                                                                   \
        y -= d##k * y_##k;                                                                                   \
        out                                                                                                  \
    }
#define NEXT_ROW NEXT(6, NEXT(5, NEXT(4, NEXT(3, NEXT(2, NEXT(1, x += x_0; y += y_0;))))))

#if !defined(NORNI_ONLY) || defined(K_copy_rows)
__kernel void copy_rows(__global const T *from, __global T *to, const long n, const long rows, const long rows_each,
                        const long chunks, const long chunk, OUTER_SIZES, const long x0, const long xj, STRIDES(x),
                        const long y0, const long yj, STRIDES(y)) {
    const long item = get_global_id(0), c = item % chunks, q0 = item / chunks * rows_each, q1 = min(q0 + rows_each, rows);
    const long j0 = c * chunk, j1 = min(j0 + chunk, n);
    if (q0 >= rows)
        return;
    long x = x0, y = y0;
    INDICES(q0)
    for (long q = q0; q < q1; q++) {
        long j = j0;
#if W > 1
        if (yj == 1 && xj == 1)
            for (; j + W <= j1; j += W)
                NORNI_CAT(vstore, W)(NORNI_CAT(vload, W)(0, from + x + j), 0, to + y + j);
        else if (yj == 1 && xj == 0) {
            const NORNI_CAT(T_NAME, W) v = (NORNI_CAT(T_NAME, W))(from[x]);
            for (; j + W <= j1; j += W)
                NORNI_CAT(vstore, W)(v, 0, to + y + j);
        }
#endif
        for (; j < j1; j++)
            to[y + j * yj] = from[x + j * xj];
        NEXT_ROW
    }
}
#endif

/* A block of 8 x 8: eight lines along b of x, eight lines along j of y. In three rounds; which elements are paired in
 * them is chosen so that a round is one instruction a vector: within 128 bits for types of 32 and 64 bits, by interleaving
 * for smaller ones. */
#define V8 NORNI_CAT(T_NAME, 8)
#if defined(T_U8) || defined(T_U16)
#define LO(a, b) (V8)((a).s0, (b).s0, (a).s1, (b).s1, (a).s2, (b).s2, (a).s3, (b).s3)
#define HI(a, b) (V8)((a).s4, (b).s4, (a).s5, (b).s5, (a).s6, (b).s6, (a).s7, (b).s7)
#define ROUND(p, q)                                                                                          \
    const V8 q##0 = LO(p##0, p##4), q##1 = HI(p##0, p##4), q##2 = LO(p##1, p##5), q##3 = HI(p##1, p##5),     \
             q##4 = LO(p##2, p##6), q##5 = HI(p##2, p##6), q##6 = LO(p##3, p##7), q##7 = HI(p##3, p##7);
#define TURN ROUND(r, t) ROUND(t, u) ROUND(u, c)
#else
#define LO2(a, b) (V8)((a).s0, (b).s0, (a).s1, (b).s1, (a).s4, (b).s4, (a).s5, (b).s5)
#define HI2(a, b) (V8)((a).s2, (b).s2, (a).s3, (b).s3, (a).s6, (b).s6, (a).s7, (b).s7)
#define LO4(a, b) (V8)((a).s01, (b).s01, (a).s45, (b).s45)
#define HI4(a, b) (V8)((a).s23, (b).s23, (a).s67, (b).s67)
#define TURN                                                                                                 \
    const V8 t0 = LO2(r0, r1), t1 = HI2(r0, r1), t2 = LO2(r2, r3), t3 = HI2(r2, r3), t4 = LO2(r4, r5),       \
             t5 = HI2(r4, r5), t6 = LO2(r6, r7), t7 = HI2(r6, r7);                                           \
    const V8 u0 = LO4(t0, t2), u1 = HI4(t0, t2), u2 = LO4(t1, t3), u3 = HI4(t1, t3), u4 = LO4(t4, t6),       \
             u5 = HI4(t4, t6), u6 = LO4(t5, t7), u7 = HI4(t5, t7);                                           \
    const V8 c0 = (V8)(u0.lo, u4.lo), c1 = (V8)(u1.lo, u5.lo), c2 = (V8)(u2.lo, u6.lo),                      \
             c3 = (V8)(u3.lo, u7.lo), c4 = (V8)(u0.hi, u4.hi), c5 = (V8)(u1.hi, u5.hi),                      \
             c6 = (V8)(u2.hi, u6.hi), c7 = (V8)(u3.hi, u7.hi);
#endif
static inline void turn8(__global const T *x, const long xj, __global T *y, const long yb) {
    const V8 r0 = vload8(0, x), r1 = vload8(0, x + xj), r2 = vload8(0, x + 2 * xj), r3 = vload8(0, x + 3 * xj),
             r4 = vload8(0, x + 4 * xj), r5 = vload8(0, x + 5 * xj), r6 = vload8(0, x + 6 * xj),
             r7 = vload8(0, x + 7 * xj);
    TURN
    vstore8(c0, 0, y);
    vstore8(c1, 0, y + yb);
    vstore8(c2, 0, y + 2 * yb);
    vstore8(c3, 0, y + 3 * yb);
    vstore8(c4, 0, y + 4 * yb);
    vstore8(c5, 0, y + 5 * yb);
    vstore8(c6, 0, y + 6 * yb);
    vstore8(c7, 0, y + 7 * yb);
}

#define TILE_ARGS                                                                                            \
    __global const T *from, __global T *to, const long n, const long nb, const long rows, OUTER_SIZES, const long x0, \
        const long xj, STRIDES(x), const long y0, const long yb, STRIDES(y)

#if !defined(NORNI_ONLY) || defined(K_copy_tiles)
__kernel void copy_tiles(TILE_ARGS) {
    const long j0 = get_global_id(0) * TILE, b0 = get_global_id(1) * TILE, q = get_global_id(2);
    if (j0 >= n || b0 >= nb || q >= rows)
        return;
    const long j1 = min(j0 + TILE, n), b1 = min(b0 + TILE, nb);
    long x = x0, y = y0, j = j0;
    INDICES(q)
    const long jv = j0 + (j1 - j0) / 8 * 8;
    long b = b0;
    for (; b + 8 <= b1; b += 8)
        for (j = j0; j < jv; j += 8)
            turn8(from + x + j * xj + b, xj, to + y + j + b * yb, yb);
    for (; b < b1; b++)
        for (long k = j0; k < jv; k++)
            to[y + k + b * yb] = from[x + k * xj + b];
    j = jv;
    for (long b = b0; b < b1; b++)
        for (long k = j; k < j1; k++)
            to[y + k + b * yb] = from[x + k * xj + b];
}
#endif

#if !defined(NORNI_ONLY) || defined(K_copy_local)
__kernel __attribute__((reqd_work_group_size(32, 8, 1))) void copy_local(TILE_ARGS) {
    __local T tile[32][33];
    const long j0 = get_group_id(0) * 32, b0 = get_group_id(1) * 32, q = get_global_id(2);
    const int l = get_local_id(0), m = get_local_id(1);
    long x = x0, y = y0;
    INDICES(q)
    for (int k = m; k < 32; k += 8)
        if (j0 + k < n && b0 + l < nb)
            tile[k][l] = from[x + (j0 + k) * xj + b0 + l];
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int k = m; k < 32; k += 8)
        if (j0 + l < n && b0 + k < nb)
            to[y + j0 + l + (b0 + k) * yb] = tile[l][k];
}
#endif
