/* SPDX-License-Identifier: Apache-2.0 */
/* Ensembles of decision trees: y[row][target] = what the leaves that a row of x reaches say, joined over the trees. A work-item
 * does `each` rows, a tree after the other.
 *
 *   nodes   6 integers a node: feature, mode, next where the test holds, next where not, first weight, weights. Mode 0: a leaf;
 *           1 <=, 2 <, 3 >=, 4 >, 5 ==, 6 !=; plus 8: NaN passes the test
 *   target, weight   of the leaves' weights
 *   -DJOIN=0   0: sum, 1: mean, 2: least, 3: largest. Where a target gets no weight: 0 */
#ifndef JOIN
#define JOIN 0
#endif

__kernel void trees(__global const T *x, __global const int *nodes, __global const T *value, __global const int *root,
                    __global const int *target, __global const float *weight, __global float *y, const long rows,
                    const long features, const int n_trees, const int targets, const long each) {
    const long r0 = get_global_id(0) * each, r1 = min(r0 + each, rows);
    for (long r = r0; r < r1; r++) {
        __global const T *f = x + r * features;
        __global float *out = y + r * targets;
        for (int t = 0; t < targets; t++)
            out[t] = JOIN == 2 ? INFINITY : JOIN == 3 ? -INFINITY : 0.0f;
        for (int k = 0; k < n_trees; k++) {
            __global const int *node = nodes + 6 * root[k];
            int at = root[k];
            while (node[1]) {
                const T v = f[node[0]], s = value[at];
                const int mode = node[1] & 7;
                bool yes = mode == 1 ? v <= s : mode == 2 ? v < s : mode == 3 ? v >= s : mode == 4 ? v > s : mode == 5 ? v == s : v != s;
                yes = isnan(v) ? (node[1] & 8) != 0 : yes;
                at = node[yes ? 2 : 3];
                node = nodes + 6 * at;
            }
            for (int i = node[4]; i < node[4] + node[5]; i++) {
                const float w = weight[i];
                const int t = target[i];
                out[t] = JOIN == 2 ? fmin(out[t], w) : JOIN == 3 ? fmax(out[t], w) : out[t] + w;
            }
        }
        for (int t = 0; t < targets; t++)
            out[t] = JOIN == 1 ? out[t] / (float)n_trees : isinf(out[t]) && JOIN >= 2 ? 0.0f : out[t];
    }
}
