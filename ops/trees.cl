/* SPDX-License-Identifier: Apache-2.0 */
/* Ensembles of decision trees: y[row][target] = what the leaves that a row of x reaches say, joined over the trees. A work-item
 * does `each` rows, a tree after the other.
 *
 *   nodes   6 integers a node: feature, mode, next where the test holds, next where not, first weight, weights. Mode 0: a leaf;
 *           1 <=, 2 <, 3 >=, 4 >, 5 ==, 6 !=; plus 8: NaN passes every test
 *   target, weight   of the leaves' weights
 *   -DJOIN=0   0: sum, 1: mean, 2: least, 3: largest. Where a target gets no weight: 0
 *   -DW=float  type of weights and y */
#ifndef JOIN
#define JOIN 0
#endif
#ifndef W
#define W float
#endif

__kernel void trees(__global const T *x, __global const int *nodes, __global const T *value, __global const int *root,
                    __global const int *target, __global const W *weight, __global W *y, const long rows,
                    const long features, const int n_trees, const int targets, const long each) {
    const long r0 = get_global_id(0) * each, r1 = min(r0 + each, rows);
    for (long r = r0; r < r1; r++) {
        __global const T *f = x + r * features;
        __global W *out = y + r * targets;
        for (int t = 0; t < targets; t++)
            out[t] = JOIN == 2 ? (W)INFINITY : JOIN == 3 ? -(W)INFINITY : (W)0;
        for (int k = 0; k < n_trees; k++) {
            __global const int *node = nodes + 6 * root[k];
            int at = root[k];
            while (node[1]) {
                const T v = f[node[0]], s = value[at];
                const int mode = node[1] & 7;
                bool yes = mode == 1 ? v <= s : mode == 2 ? v < s : mode == 3 ? v >= s : mode == 4 ? v > s : mode == 5 ? v == s : v != s;
                yes |= isnan(v) && (node[1] & 8) != 0;
                at = node[yes ? 2 : 3];
                node = nodes + 6 * at;
            }
            for (int i = node[4]; i < node[4] + node[5]; i++) {
                const W w = weight[i];
                const int t = target[i];
                out[t] = JOIN == 2 ? fmin(out[t], w) : JOIN == 3 ? fmax(out[t], w) : out[t] + w;
            }
        }
#if JOIN == 1
        for (int t = 0; t < targets; t++)
            out[t] /= (W)n_trees;
#elif JOIN > 1
        for (int t = 0; t < targets; t++)
            out[t] = isinf(out[t]) ? (W)0 : out[t];
#endif
    }
}
