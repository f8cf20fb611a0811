/* SPDX-License-Identifier: Apache-2.0 */
/* Random numbers (ops/random.c says which word makes which element). n elements in blocks of four words, four elements
 * or two doubles each; a work-item makes `chunk` blocks.
 *
 *   random_uniform    y = low + range u
 *   random_normal     y = mean + scale z, two of them from a pair of words by Box and Muller's formula
 *   random_bernoulli  y = u < x, as OUT: an unsigned integer of the width of y's type, in which ONE is how 1 is stored */
#if defined(NORNI_REAL) && defined(T_F64)
#define PER 2
#define UNIT0(w) ((C)(((ulong)(w).x << 32 | (w).y) >> 11) * 0x1p-53)
#define UNIT1(w) ((C)(((ulong)(w).z << 32 | (w).w) >> 11) * 0x1p-53)
#define TINY 0x1p-53
#else
#define PER 4
#define UNIT(w) ((float)((w) >> 8) * 0x1p-24f)
#define TINY 0x1p-24f
#endif

#if !defined(NORNI_ONLY) || defined(K_random_uniform)
__kernel void random_uniform(__global T *y, const long n, const long chunk, NORNI_RANDOM_ARGS, const C low, const C range) {
    const long b0 = get_global_id(0) * chunk, b1 = min(b0 + chunk, (n + PER - 1) / PER);
    for (long b = b0; b < b1; b++) {
        const uint4 w = NORNI_RANDOM(b);
        const long i = b * PER;
#if PER == 2
        y[i] = fma(range, UNIT0(w), low);
        if (i + 1 < n)
            y[i + 1] = fma(range, UNIT1(w), low);
#else
        const float u[4] = {UNIT(w.x), UNIT(w.y), UNIT(w.z), UNIT(w.w)};
        for (int k = 0; k < 4 && i + k < n; k++)
            ST(y, i + k, fma(range, u[k], low));
#endif
    }
}
#endif

#if !defined(NORNI_ONLY) || defined(K_random_normal)
static inline void pair(C u, C v, C *z) {
    const C r = sqrt((C)-2 * log(u + (C)TINY));
    z[0] = r * cospi((C)2 * v);
    z[1] = r * sinpi((C)2 * v);
}
__kernel void random_normal(__global T *y, const long n, const long chunk, NORNI_RANDOM_ARGS, const C mean, const C scale) {
    const long b0 = get_global_id(0) * chunk, b1 = min(b0 + chunk, (n + PER - 1) / PER);
    for (long b = b0; b < b1; b++) {
        const uint4 w = NORNI_RANDOM(b);
        const long i = b * PER;
        C z[PER];
#if PER == 2
        pair(UNIT0(w), UNIT1(w), z);
#else
        pair(UNIT(w.x), UNIT(w.y), z);
        pair(UNIT(w.z), UNIT(w.w), z + 2);
#endif
        for (int k = 0; k < PER && i + k < n; k++)
            ST(y, i + k, fma(scale, z[k], mean));
    }
}
#endif

#if defined(K_random_bernoulli)
__kernel void random_bernoulli(__global const T *x, __global OUT *y, const long n, const long chunk, NORNI_RANDOM_ARGS) {
    const long b0 = get_global_id(0) * chunk, b1 = min(b0 + chunk, (n + 3) / 4);
    for (long b = b0; b < b1; b++) {
        const uint4 w = NORNI_RANDOM(b) >> 8;
        const uint u[4] = {w.x, w.y, w.z, w.w};
        const long i = b * 4;
        for (int k = 0; k < 4 && i + k < n; k++)
            y[i + k] = (C)u[k] * (C)0x1p-24f < LD(x, i + k) ? (OUT)ONE : (OUT)0;
    }
}
#endif

/* y [rows][samples] = classes drawn with probability exp(x[c]) / sum exp(x): x[c] becomes an integer weight, exp(x[c] - max)
 * 2^32, and a draw is the first class at which the running sum is above the random number times their sum / 2^64. So the
 * classes are the same on every device. A work-item does `chunk` samples of a row. */
#if defined(K_random_multinomial)
NORNI_EXP_NEG_FLOAT(exp_neg, float, int)
static inline ulong weight(__global const T *x, const long c, const float top) {
    const float w = exp_neg(fmin((float)LD(x, c) - top, 0.0f));
    return w > 0 ? (ulong)(w * 0x1p32f) : 0;
}
__kernel void random_multinomial(__global const T *x, __global OUT *y, const long rows, const long classes,
                                 const long samples, const long chunk, NORNI_RANDOM_ARGS) {
    const long row = get_global_id(1), s0 = get_global_id(0) * chunk, s1 = min(s0 + chunk, samples);
    if (row >= rows)
        return;
    x += row * classes;
    float top = -INFINITY;
    for (long c = 0; c < classes; c++)
        top = fmax(top, (float)LD(x, c));
    ulong total = 0;
    for (long c = 0; c < classes; c++)
        total += weight(x, c, top);
    for (long s = s0; s < s1; s++) {
        const long i = row * samples + s;
        const uint4 w = NORNI_RANDOM(i / 2);
        const ulong r = mul_hi(i % 2 ? (ulong)w.z << 32 | w.w : (ulong)w.x << 32 | w.y, total);
        ulong sum = 0;
        long c = 0;
        for (; c < classes - 1; c++) {
            sum += weight(x, c, top);
            if (sum > r)
                break;
        }
        y[i] = (OUT)c;
    }
}
#endif
