/* SPDX-License-Identifier: Apache-2.0 */
/* y [RANK][count] = coordinates, in a shape d0 .. d7, of the elements i < n at which running sums s go up: in column
 * s[i] - 1. A work-item does `chunk` elements. */
__kernel void places(__global const long *s, __global long *y, const long n, const long chunk, const long count,
                     const long d0, const long d1, const long d2, const long d3, const long d4, const long d5,
                     const long d6, const long d7) {
    const long dims[8] = {d0, d1, d2, d3, d4, d5, d6, d7};
    const long i0 = get_global_id(0) * chunk, i1 = min(i0 + chunk, n);
    long last = i0 > 0 && i0 < n ? s[i0 - 1] : 0;
    for (long i = i0; i < i1; i++) {
        const long at = s[i];
        if (at != last && at >= 1 && at <= count) {
            long rest = i;
            for (int k = RANK - 1; k >= 0; k--) {
                y[k * count + at - 1] = rest % dims[k];
                rest /= dims[k];
            }
        }
        last = at;
    }
}
