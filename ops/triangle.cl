/* SPDX-License-Identifier: Apache-2.0 */
/* triangle: y = x from the diagonal that begins k to the right (or -k down) on, upper or lower, and 0 elsewhere; over
 * `rows` rows of n, which are matrices of m rows. T only has to have the right size. A work-item does the elements from
 * c * chunk to before (c + 1) * chunk of `rows_each` rows.  -DLOWER  the lower part    -DW=16, -DT_NAME=uint  vectors */
#ifndef W
#define W 16
#endif
#ifndef T_NAME
#define T_NAME float
#endif
#define VT NORNI_CAT(T_NAME, W)

__kernel void triangle(__global const T *x, __global T *y, const long m, const long n, const long k, const long rows,
                       const long rows_each, const long chunks, const long chunk) {
    const long item = get_global_id(0), c = item % chunks, q0 = item / chunks * rows_each, q1 = min(q0 + rows_each, rows);
    const long j0 = c * chunk, j1 = min(j0 + chunk, n);
    for (long q = q0; q < q1; q++) {
        __global const T *from = x + q * n;
        __global T *to = y + q * n;
        long j = j0;
#ifdef LOWER
        const long end = clamp(q % m + k + 1, j0, j1);
#if W > 1
        for (; j + W <= end; j += W)
            NORNI_CAT(vstore, W)(NORNI_CAT(vload, W)(0, from + j), 0, to + j);
#endif
        for (; j < end; j++)
            to[j] = from[j];
        for (; j < j1; j++)
            to[j] = 0;
#else
        const long start = clamp(q % m + k, j0, j1);
        for (; j < start; j++)
            to[j] = 0;
#if W > 1
        for (; j + W <= j1; j += W)
            NORNI_CAT(vstore, W)(NORNI_CAT(vload, W)(0, from + j), 0, to + j);
#endif
        for (; j < j1; j++)
            to[j] = from[j];
#endif
    }
}
