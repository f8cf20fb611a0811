/* SPDX-License-Identifier: Apache-2.0 */
/* y[offset + i * stride] = v for i < n; T only has to have the right size, v's low bits are its elements'. A work-item
 * does `chunk` elements.  -DW=16, -DT_NAME=uint  vectors */
#ifndef W
#define W 16
#endif
#ifndef T_NAME
#define T_NAME float
#endif
__kernel void fill(__global T *y, const long n, const long chunk, const long offset, const long stride, const long v) {
    const long i0 = get_global_id(0) * chunk, i1 = min(i0 + chunk, n);
    long i = i0;
#if W > 1
    if (stride == 1)
        for (; i + W <= i1; i += W)
            NORNI_CAT(vstore, W)((NORNI_CAT(T_NAME, W))((T)v), 0, y + offset + i);
#endif
    for (; i < i1; i++)
        y[offset + i * stride] = (T)v;
}
