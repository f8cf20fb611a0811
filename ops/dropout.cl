/* SPDX-License-Identifier: Apache-2.0 */
/* mask[n, i] = word i % 4 of Philox4x32-10 block i / 4 of sample n >= threshold (ops/dropout.c, base/philox.h).
 *   -DW=16   blocks at a time     -DRATIO   the threshold comes from a scalar
 *   range (blocks of a sample / each, samples) */
#ifndef W
#define W 1
#endif
#if W == 1
#define UV uint
#else
#define UV NORNI_CAT(uint, W)
#endif
#ifdef RATIO
#define RATIO_ARG , __global const T *ratio
#else
#define RATIO_ARG
#endif

__kernel void dropout_mask(__global const long *seed, __global const long *step RATIO_ARG, __global uchar *mask,
                           const long threshold, const long node, const long samples, const long n, const long each) {
    const long sample = get_global_id(1), from = get_global_id(0) * each, to = min(from + each, (n + 3) / 4);
    if (sample >= samples)
        return;
#ifdef RATIO
    const float part = LD(ratio, 0);
    const ulong least = part > 0 ? (ulong)ceil(part * 4294967296.0f) : 0ul;
#else
    const ulong least = threshold;
#endif
    const UV limit = (UV)(uint)(least - (least > 0xffffffff)); /* 2^32: nothing is kept */
    const bool none = least > 0xffffffff;
    mask += sample * n;
    for (long b = from; b < to; b += W) {
        UV c0 = (UV)((uint)b), c1 = (UV)((uint)sample), c2 = (UV)((uint)step[0]), c3 = (UV)((uint)node);
        uint key0 = (uint)seed[0], key1 = (uint)(seed[0] >> 32);
#if W > 1
        uint ramp[W];
        for (int i = 0; i < W; i++)
            ramp[i] = i;
        c0 += NORNI_CAT(vload, W)(0, ramp);
#endif
        for (int round = 0; round < 10; round++) {
            const UV h0 = mul_hi(c0, (UV)(0xD2511F53u)), l0 = c0 * (UV)(0xD2511F53u);
            const UV h1 = mul_hi(c2, (UV)(0xCD9E8D57u)), l1 = c2 * (UV)(0xCD9E8D57u);
            c0 = h1 ^ c1 ^ key0;
            c1 = l1;
            c2 = h0 ^ c3 ^ key1;
            c3 = l0;
            key0 += 0x9E3779B9u;
            key1 += 0xBB67AE85u;
        }
        if (none)
            c0 = c1 = c2 = c3 = (UV)(0u);
        const UV one = (UV)(1u), zero = (UV)(0u), top = none ? (UV)(1u) : limit;
#if W == 1
        const uint kept[4] = {c0 >= top, c1 >= top, c2 >= top, c3 >= top};
        for (int w = 0; w < 4 && b * 4 + w < n; w++)
            mask[b * 4 + w] = kept[w];
#else
        const UV kept = select(zero, one, c0 >= top) | select(zero, one, c1 >= top) << 8 |
                        select(zero, one, c2 >= top) << 16 | select(zero, one, c3 >= top) << 24;
        uint words[W];
        NORNI_CAT(vstore, W)(kept, 0, words);
        const uchar *bytes = (const uchar *)words;
        const long left = min((long)4 * W, n - b * 4);
        if (left == 4 * W)
            for (int i = 0; i < 4 * W; i += 16)
                vstore16(vload16(0, bytes + i), 0, mask + b * 4 + i);
        else
            for (int i = 0; i < left; i++)
                mask[b * 4 + i] = bytes[i];
#endif
    }
}
