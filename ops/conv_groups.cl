/* SPDX-License-Identifier: Apache-2.0 */
/* Convolution in blocked form (ops/blocked.h) with groups of G channels, of which a block of B holds several. Lanes are
 * channels of the output; with those of a group's input spread over the group's lanes,
 *
 *     acc[pixel][lane] = bias[lane] + sum over k, p < G of x[pixel * stride + k * dilation][lane / G * G + p] * w[k][p][lane]
 *
 *   pack_groups  w [channels][G][taps] to [channels / B][taps][G][B]; range (channels / B)
 *   conv_groups  TW outputs of a row at once; range (parts of the rows, channels / B, n)
 *
 *   -DB=16 -DG=4   channels of a block, of a group: G divides B and is less
 *   -DHAS_BIAS=1   bias has whole blocks */
#ifndef B
#define B 16
#endif
#ifndef G
#define G 4
#endif
#ifndef TW
#define TW 8
#endif
#define VEC CV(B)

#if !defined(NORNI_ONLY) || defined(K_pack_groups)
__kernel void pack_groups(__global const T *w, __global C *packed, const long channels, const long taps) {
    const long block = get_global_id(0);
    packed += block * taps * G * B;
    for (long t = 0; t < taps; t++)
        for (long p = 0; p < G; p++)
            for (long i = 0; i < B; i++)
                *packed++ = block * B + i < channels ? LD(w, ((block * B + i) * G + p) * taps + t) : (C)0;
}
#endif

#if !defined(NORNI_ONLY) || defined(K_conv_groups)
#define STEP(p, lanes)                                                                                       \
    {                                                                                                        \
        const VEC wv = NORNI_CAT(vload, B)(p, wk);                                                           \
        _Pragma("unroll") for (int t = 0; t < TW; t++) acc[t] = fma(xv[t].lanes, wv, acc[t]);                \
    }
#if B == 16 && G == 8
#define STEPS                                                                                                \
    STEP(0, s0000000088888888)                                                                               \
    STEP(1, s1111111199999999)                                                                               \
    STEP(2, s22222222aaaaaaaa)                                                                               \
    STEP(3, s33333333bbbbbbbb)                                                                               \
    STEP(4, s44444444cccccccc)                                                                               \
    STEP(5, s55555555dddddddd)                                                                               \
    STEP(6, s66666666eeeeeeee)                                                                               \
    STEP(7, s77777777ffffffff)
#elif B == 16 && G == 4
#define STEPS                                                                                                \
    STEP(0, s000044448888cccc)                                                                               \
    STEP(1, s111155559999dddd)                                                                               \
    STEP(2, s22226666aaaaeeee)                                                                               \
    STEP(3, s33337777bbbbffff)
#elif B == 16
#define STEPS STEP(0, s0022446688aaccee) STEP(1, s1133557799bbddff)
#elif G == 4
#define STEPS STEP(0, s00004444) STEP(1, s11115555) STEP(2, s22226666) STEP(3, s33337777)
#else
#define STEPS STEP(0, s00224466) STEP(1, s11335577)
#endif

__attribute__((reqd_work_group_size(1, 1, 1)))
__kernel void conv_groups(__global const T *x, __global const C *w, __global T *y, const long in1, const long in2,
                          const long out1, const long out2, const long k1, const long k2, const long s1, const long s2,
                          const long d1, const long d2, const long b1, const long b2, const long rows_each
#ifdef HAS_BIAS
                          , __global const T *bias
#endif
                          NORNI_EPI_ARGS) {
    const long block = get_global_id(1), image = get_global_id(2) * get_global_size(1) + block;
    const long r0 = get_global_id(0) * rows_each, r1 = min(r0 + rows_each, out1);
    x += image * in1 * in2 * B;
    y += image * out1 * out2 * B;
    w += block * k1 * k2 * G * B;
#ifdef HAS_BIAS
    const VEC start = LDV(B, bias, block * B);
#else
    const VEC start = (VEC)(0);
#endif
    for (long r = r0; r < r1; r++)
        for (long o = 0; o < out2; o += TW) {
            VEC acc[TW], xv[TW];
#pragma unroll
            for (int t = 0; t < TW; t++)
                acc[t] = start;
            for (long i = 0; i < k1; i++) {
                const long h = r * s1 - b1 + i * d1;
                if (h < 0 || h >= in1)
                    continue;
                for (long j = 0; j < k2; j++) {
                    const long c = o * s2 - b2 + j * d2;
                    __global const T *p = x + (h * in2 + c) * B;
                    __global const C *wk = w + (i * k2 + j) * G * B;
                    if (c >= 0 && c + (TW - 1) * s2 < in2) {
#pragma unroll
                        for (int t = 0; t < TW; t++)
                            xv[t] = LDV(B, p, t * s2 * B);
                    } else {
#pragma unroll
                        for (int t = 0; t < TW; t++)
                            xv[t] = c + t * s2 >= 0 && c + t * s2 < in2 ? LDV(B, p, t * s2 * B) : (VEC)(0);
                    }
                    STEPS
                }
            }
#pragma unroll
            for (int t = 0; t < TW; t++)
                if (o + t < out2) {
                    const size_t at = (size_t)(r * out2 + o + t) * B;
                    STV(B, y, at, NORNI_EPI(B, acc[t], (size_t)image * out1 * out2 * B + at, (size_t)block * B));
                }
        }
}
#endif
