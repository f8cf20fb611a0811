/* SPDX-License-Identifier: Apache-2.0 */
/* Probabilities p of K classes from those of pairs, r[i][j] of i against j: p minimises the sum of (r[j][i] p[i] - r[i][j] p[j])^2
 * over the pairs, by the iteration of Wu, Lin and Weng (libsvm), which stops at an error below 0.005 / K. A work-item does
 * `each` rows.
 *   pair  [rows][K (K - 1) / 2], of i against j > i     y  [rows][K]     -DK=2 */
#ifndef K
#define K 2
#endif

__kernel void couple(__global const T *pair, __global T *y, const long rows, const long each) {
    const long r0 = get_global_id(0) * each, r1 = min(r0 + each, rows);
    for (long row = r0; row < r1; row++) {
        C r[K][K], q[K][K], p[K], qp[K];
        long at = row * (K * (K - 1) / 2);
        for (int i = 0; i < K; i++)
            for (int j = i + 1; j < K; j++, at++) {
                r[i][j] = LD(pair, at);
                r[j][i] = (C)1 - r[i][j];
            }
        for (int t = 0; t < K; t++) {
            p[t] = (C)1 / (C)K;
            q[t][t] = (C)0;
            for (int j = 0; j < K; j++)
                if (j != t) {
                    q[t][t] = fma(r[j][t], r[j][t], q[t][t]);
                    q[t][j] = -r[j][t] * r[t][j];
                }
        }
        for (int round = 0; round < (K > 100 ? K : 100); round++) {
            C all = (C)0, worst = (C)0;
            for (int t = 0; t < K; t++) {
                qp[t] = (C)0;
                for (int j = 0; j < K; j++)
                    qp[t] = fma(q[t][j], p[j], qp[t]);
                all = fma(p[t], qp[t], all);
            }
            for (int t = 0; t < K; t++)
                worst = fmax(worst, fabs(qp[t] - all));
            if (worst < (C)0.005 / (C)K)
                break;
            for (int t = 0; t < K; t++) {
                const C d = (all - qp[t]) / q[t][t], s = (C)1 / ((C)1 + d);
                p[t] += d;
                all = (all + d * fma(d, q[t][t], (C)2 * qp[t])) * s * s;
                for (int j = 0; j < K; j++) {
                    qp[j] = fma(d, q[t][j], qp[j]) * s;
                    p[j] *= s;
                }
            }
        }
        for (int t = 0; t < K; t++)
            ST(y, row * K + t, p[t]);
    }
}
