/* SPDX-License-Identifier: Apache-2.0 */
/* write_sizes: y[i] = d_i for i < n <= 8. One work-item. */
__kernel void write_sizes(__global long *y, const int n, const long d0, const long d1, const long d2, const long d3,
                          const long d4, const long d5, const long d6, const long d7) {
    const long d[8] = {d0, d1, d2, d3, d4, d5, d6, d7};
    for (int i = 0; i < n; i++)
        y[i] = d[i];
}
