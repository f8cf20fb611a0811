/* SPDX-License-Identifier: Apache-2.0 */
/* y[i] = start + i * delta for i < n; in float or double (A) for floating-point types, else in 64-bit integers. A
 * work-item does `chunk` elements. */
#ifdef NORNI_REAL
#ifdef T_F64
#define A double
#else
#define A float
#endif
#else
#define A long
#endif
__kernel void range(__global T *y, const long n, const long chunk, const A start, const A delta) {
    const long i0 = get_global_id(0) * chunk, i1 = min(i0 + chunk, n);
    for (long i = i0; i < i1; i++)
        ST(y, i, (C)(start + (A)i * delta));
}
