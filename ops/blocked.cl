/* SPDX-License-Identifier: Apache-2.0 */
/* Copies between the plain and the blocked form of a tensor (ops/blocked.h), -DB=16 channels a block.
 *
 *   to_blocks    x [n][c][pixels] to y [n][c / B][pixels][B], NaN in the lanes beyond c
 *   from_blocks  the reverse
 *   whole_blocks x [c] to y [c / B * B], zeros beyond c
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
