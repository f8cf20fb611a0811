/* SPDX-License-Identifier: Apache-2.0 */
/* Determinants of x [..][n][n], and of their minors: a work-item each, by elimination in its part of `work`. */
static inline C eliminate(__global C *a, const long n) {
    C det = 1;
    for (long k = 0; k < n; k++) {
        long p = k;
        for (long i = k + 1; i < n; i++)
            if (fabs(a[i * n + k]) > fabs(a[p * n + k]))
                p = i;
        const C pivot = a[p * n + k];
        if (pivot == 0)
            return 0;
        for (long j = k; j < n && p != k; j++) {
            const C t = a[p * n + j];
            a[p * n + j] = a[k * n + j];
            a[k * n + j] = t;
        }
        det *= p != k ? -pivot : pivot;
        for (long i = k + 1; i < n; i++) {
            const C f = -a[i * n + k] / pivot;
            for (long j = k + 1; j < n; j++)
                a[i * n + j] = fma(f, a[k * n + j], a[i * n + j]);
        }
    }
    return det;
}

#if !defined(NORNI_ONLY) || defined(K_det)
__kernel void det(__global const T *x, __global T *y, __global C *work, const long count, const long n) {
    const long q = get_global_id(0);
    if (q >= count)
        return;
    __global C *a = work + q * n * n;
    for (long i = 0; i < n * n; i++)
        a[i] = LD(x, q * n * n + i);
    ST(y, q, eliminate(a, n));
}
#endif

#if !defined(NORNI_ONLY) || defined(K_cofactors)
__kernel void cofactors(__global const T *x, __global T *y, __global C *work, const long count, const long n) {
    const long q = get_global_id(0), m = q / (n * n), si = q / n % n, sj = q % n;
    if (q >= count)
        return;
    __global C *a = work + q * (n - 1) * (n - 1);
    long k = 0;
    for (long i = 0; i < n; i++)
        for (long j = 0; j < n; j++)
            if (i != si && j != sj)
                a[k++] = LD(x, (m * n + i) * n + j);
    const C d = eliminate(a, n - 1);
    ST(y, q, (si + sj) % 2 ? -d : d);
}
#endif
