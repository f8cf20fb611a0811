/* SPDX-License-Identifier: Apache-2.0 */
/* Sums over neighbouring channels of x [outer][channels][inner]: y[c] = x[c - before] + .. + x[c + behind]. A work-item takes W
 * neighbouring elements of `group` channels. */
#ifndef W
#define W 1
#endif
#if W > 1
#define VEC CV(W)
#else
#define VEC C
#undef LDV
#undef STV
#define LDV(w, p, i) LD(p, i)
#define STV(w, p, i, v) ST(p, i, v)
#endif
__kernel void channel_sum(__global const T *x, __global T *y, const long outer, const long channels, const long inner,
                          const long before, const long behind, const long group) {
    const long o = get_global_id(2), c0 = get_global_id(1) * group, c1 = min(c0 + group, channels);
    long j = get_global_id(0) * W;
    if (o >= outer || j >= inner)
        return;
    x += o * channels * inner;
    y += o * channels * inner;
#if W > 1
    if (j + W > inner)
        j = inner - W; /* the last ones anew: the same sums */
#endif
    for (long c = c0; c < c1; c++) {
        const long from = max(c - before, 0L), to = min(c + behind + 1, channels);
        VEC s = (VEC)(0);
        for (long k = from; k < to; k++)
            s += LDV(W, x, k * inner + j);
        STV(W, y, c * inner + j, s);
    }
}
