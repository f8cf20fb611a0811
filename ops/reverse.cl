/* SPDX-License-Identifier: Apache-2.0 */
/* reverse_rows: y[a][b][i] = x[a'][b'][i], rows of `inner`, where along the time axis the first lens[s] rows of sequence s
 * are taken in reverse and the others as they are. T only has to have the right size. A work-item does the elements from
 * c * chunk to before (c + 1) * chunk of `rows_each` rows.
 *   -DTIME=0  the axis of time, 0 or 1     -DW=16, -DT_NAME=uint  vectors */
#ifndef TIME
#define TIME 0
#endif
#ifndef W
#define W 16
#endif

__kernel void reverse_rows(__global const T *x, __global const long *lens, __global T *y, const long d0, const long d1,
                           const long inner, const long rows_each, const long chunks, const long chunk) {
    const long item = get_global_id(0), c = item % chunks, q0 = item / chunks * rows_each,
               q1 = min(q0 + rows_each, d0 * d1);
    const long j0 = c * chunk, j1 = min(j0 + chunk, inner);
    for (long q = q0; q < q1; q++) {
        const long a = q / d1, b = q % d1;
#if TIME == 0
        const long n = min(lens[b], d0), at = a < n ? (n - 1 - a) * d1 + b : q;
#else
        const long n = min(lens[a], d1), at = b < n ? a * d1 + n - 1 - b : q;
#endif
        __global const T *from = x + at * inner;
        __global T *to = y + q * inner;
        long j = j0;
#if W > 1
        for (; j + W <= j1; j += W)
            NORNI_CAT(vstore, W)(NORNI_CAT(vload, W)(0, from + j), 0, to + j);
#endif
        for (; j < j1; j++)
            to[j] = from[j];
    }
}
