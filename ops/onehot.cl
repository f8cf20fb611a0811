/* SPDX-License-Identifier: Apache-2.0 */
/* y[o][d][i] = values[1] where the index at [o][i] is d (below 0: d - depth), else values[0]; `rows` = outer * depth rows of
 * inner, or, for inner = 1, outer rows of depth. T only has to have the right size. A work-item does the elements from
 * c * chunk to before (c + 1) * chunk of `rows_each` rows.
 *   -DIDX=long  type of the indices; with -DIDX_HALF they are half     -DW=16, -DT_NAME=uint  vectors */
#ifndef IDX
#define IDX long
#endif
#ifndef W
#define W 16
#endif
#ifndef T_NAME
#define T_NAME float
#endif
#ifdef IDX_HALF
#define INDEX(i) ((long)vload_half(i, index))
#else
#define INDEX(i) ((long)index[i])
#endif

#if !defined(NORNI_ONLY) || defined(K_onehot_rows)
__kernel void onehot_rows(__global const IDX *index, __global const T *values, __global T *y, const long depth,
                          const long rows, const long rows_each, const long chunks, const long chunk) {
    const long item = get_global_id(0), c = item % chunks, q0 = item / chunks * rows_each, q1 = min(q0 + rows_each, rows);
    const long j0 = c * chunk, j1 = min(j0 + chunk, depth);
    const T off = values[0], on = values[1];
    for (long q = q0; q < q1; q++) {
        __global T *to = y + q * depth;
        long at = INDEX(q), j = j0;
        at += at < 0 ? depth : 0;
#if W > 1
        for (; j + W <= j1; j += W)
            NORNI_CAT(vstore, W)((NORNI_CAT(T_NAME, W))(off), 0, to + j);
#endif
        for (; j < j1; j++)
            to[j] = off;
        if (at >= j0 && at < j1)
            to[at] = on;
    }
}
#endif

#if !defined(NORNI_ONLY) || defined(K_onehot_planes)
__kernel void onehot_planes(__global const IDX *index, __global const T *values, __global T *y, const long depth,
                            const long inner, const long rows, const long rows_each, const long chunks,
                            const long chunk) {
    const long item = get_global_id(0), c = item % chunks, q0 = item / chunks * rows_each, q1 = min(q0 + rows_each, rows);
    const long j0 = c * chunk, j1 = min(j0 + chunk, inner);
    const T off = values[0], on = values[1];
    for (long q = q0; q < q1; q++) {
        const long o = q / depth, d = q % depth;
        for (long j = j0; j < j1; j++) {
            const long at = INDEX(o * inner + j);
            y[q * inner + j] = at == d || at == d - depth ? on : off;
        }
    }
}
#endif
