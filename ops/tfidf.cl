/* SPDX-License-Identifier: Apache-2.0 */
/* y[row][out] = how often the n-grams of an output occur in a row of x: the tokens at s, s + d, s + 2 d ... are those of the
 * n-gram, for any start s and any distance d from 1 to `skips` + 1; single tokens count once. A work-item does `each`
 * elements of y.
 *
 *   x     [rows][tokens]      pool   the n-grams' tokens
 *   gram  (first, length) in the pool, for each n-gram, those of an output together
 *   from  [outputs + 1]: output o has the n-grams from[o] .. from[o + 1] - 1 */
__kernel void ngrams(__global const T *x, __global const long *pool, __global const int *gram, __global const int *from,
                     __global float *y, const long count, const long tokens, const long outputs, const long skips,
                     const long each) {
    const long i0 = get_global_id(0) * each, i1 = min(i0 + each, count);
    for (long i = i0; i < i1; i++) {
        __global const T *row = x + i / outputs * tokens;
        const long out = i % outputs;
        long found = 0;
        for (int g = from[out]; g < from[out + 1]; g++) {
            __global const long *want = pool + gram[2 * g];
            const int length = gram[2 * g + 1];
            const long last = length == 1 ? 1 : min(skips + 1, tokens);
            for (long d = 1; d <= last; d++)
                for (long s = 0; s + d * (length - 1) < tokens; s++) {
                    int k = 0;
                    while (k < length && (long)row[s + d * k] == want[k])
                        k++;
                    found += k == length;
                }
        }
        y[i] = (float)found;
    }
}
