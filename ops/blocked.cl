/* SPDX-License-Identifier: Apache-2.0 */
/* Copies between the plain and the blocked form of a tensor (ops/blocked.h), -DB=16 channels a block.
 *
 *   to_blocks    x [n][c][pixels] to y [n][c / B][pixels][B], NaN in the lanes beyond c
 *   from_blocks  the reverse
 *   whole_blocks x [c] to y [c / B * B], zeros beyond c
 *
 *   reduce_pixels x [n][c / B][pixels][B] to y [n][c]: the sums over the pixels by `count`, or with -DMAX=1 the largest;
 *                 range (c / B, n)
 *
 * Range of the first two: (parts of the pixels, blocks, n). Work goes by squares of B pixels and B channels. */
#ifndef B
#define B 16
#endif

#if !defined(NORNI_ONLY) || defined(K_to_blocks)
__kernel void to_blocks(__global const T *x, __global T *y, const long c, const long pixels, const long each) {
    const long block = get_global_id(1), p0 = get_global_id(0) * each, p1 = min(p0 + each, pixels);
    const int lanes = (int)min((long)B, c - block * B);
    x += (get_global_id(2) * c + block * B) * pixels;
    y += (get_global_id(2) * get_global_size(1) + block) * pixels * B;
    long p = p0;
    if (lanes == B)
        for (; p + B <= p1; p += B) {
            C s[B][B];
            for (int l = 0; l < B; l++)
                NORNI_CAT(vstore, B)(LDV(B, x, l * pixels + p), 0, s[l]);
            for (int i = 0; i < B; i++)
                for (int l = 0; l < B; l++)
                    ST(y, (p + i) * B + l, s[l][i]);
        }
    for (; p < p1; p++)
        for (int l = 0; l < B; l++)
            ST(y, p * B + l, l < lanes ? LD(x, l * pixels + p) : (C)NAN);
}
#endif

#if !defined(NORNI_ONLY) || defined(K_from_blocks)
__kernel void from_blocks(__global const T *x, __global T *y, const long c, const long pixels, const long each) {
    const long block = get_global_id(1), p0 = get_global_id(0) * each, p1 = min(p0 + each, pixels);
    const int lanes = (int)min((long)B, c - block * B);
    y += (get_global_id(2) * c + block * B) * pixels;
    x += (get_global_id(2) * get_global_size(1) + block) * pixels * B;
    long p = p0;
    if (lanes == B)
        for (; p + B <= p1; p += B) {
            C s[B][B];
            for (int i = 0; i < B; i++)
                NORNI_CAT(vstore, B)(LDV(B, x, (p + i) * B), 0, s[i]);
            for (int l = 0; l < B; l++)
                for (int i = 0; i < B; i++)
                    ST(y, l * pixels + p + i, s[i][l]);
        }
    for (; p < p1; p++)
        for (int l = 0; l < lanes; l++)
            ST(y, l * pixels + p, LD(x, p * B + l));
}
#endif

#if !defined(NORNI_ONLY) || defined(K_whole_blocks)
__kernel void whole_blocks(__global const T *x, __global T *y, const long c) {
    for (long i = get_global_id(0) * B; i < (get_global_id(0) + 1) * B; i++)
        if (i < c)
            y[i] = x[i];
        else
            y[i] = 0;
}
#endif

#if !defined(NORNI_ONLY) || defined(K_reduce_pixels)
__kernel void reduce_pixels(__global const T *x, __global T *y, const long c, const long pixels, const C count) {
    const long block = get_global_id(0), n = get_global_id(1);
    x += (n * get_global_size(0) + block) * pixels * B;
#ifdef MAX
#define JOIN(a, b) select(a, b, ((a) < (b)) | isnan(b))
    const CV(B) start = (CV(B))((C)-INFINITY);
#else
#define JOIN(a, b) ((a) + (b))
    const CV(B) start = (CV(B))(0);
#endif
    CV(B) s0 = start, s1 = start, s2 = start, s3 = start;
    long p = 0;
    for (; p + 4 <= pixels; p += 4) {
        const CV(B) a = LDV(B, x, p * B), b = LDV(B, x, (p + 1) * B);
        const CV(B) d = LDV(B, x, (p + 2) * B), e = LDV(B, x, (p + 3) * B);
        s0 = JOIN(s0, a);
        s1 = JOIN(s1, b);
        s2 = JOIN(s2, d);
        s3 = JOIN(s3, e);
    }
    for (; p < pixels; p++) {
        const CV(B) a = LDV(B, x, p * B);
        s0 = JOIN(s0, a);
    }
    s0 = JOIN(s0, s1);
    s2 = JOIN(s2, s3);
    s0 = JOIN(s0, s2);
#ifndef MAX
    s0 /= (CV(B))(count);
#endif
    C s[B];
    NORNI_CAT(vstore, B)(s0, 0, s);
    for (int l = 0; l < B && block * B + l < c; l++)
        ST(y, n * c + block * B + l, s[l]);
}
#endif
