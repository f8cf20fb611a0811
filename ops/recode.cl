/* SPDX-License-Identifier: Apache-2.0 */
/* Elements between any two element types, float8, float4 and integers of 2 and 4 bits among them; and quantisation, which
 * is that with a scale. X is read, Y written, each type given by its number in ONNX (XT, YT, of scales SCALE_T).
 *
 *   recode       y[i] = x[i]
 *   quantize     y[i] = saturate(round(x[i] / scale) + zero)          quantize_dequantize.c
 *   dequantize   y[i] = (x[i] - zero) * scale
 *   -DSATURATE=1    values out of range become the largest float8, not infinity or NaN
 *   -DROUND_MODE=0  to float8e8m0: 0 up, 1 down, 2 nearest
 *   -DPRECISION=1   of the quotient, by number: 10 float16, 16 bfloat16
 *   -DZERO, -DBLOCKED, -DW=16, -DWIDE (to int64)
 * Work-items do `each` elements, a multiple of 8, so that no two write the same byte. */
#define IS_FLOAT(t) ((t) == 1 || (t) == 10 || (t) == 11 || (t) == 16 || ((t) >= 17 && (t) <= 20) || (t) >= 23 && (t) <= 24)
#define BITS(t)                                                                                              \
    ((t) == 21 || (t) == 22 || (t) == 23   ? 4                                                               \
     : (t) == 25 || (t) == 26              ? 2                                                               \
     : (t) == 10 || (t) == 16 || (t) == 4 || (t) == 5 ? 16                                                   \
     : (t) == 1 || (t) == 6 || (t) == 12   ? 32                                                              \
     : (t) == 7 || (t) == 11 || (t) == 13  ? 64                                                              \
                                           : 8)
#if XT == 11 || YT == 11
typedef double real;
#else
typedef float real;
#endif

/* ---- float8 and float4: sign, exponent of E bits with bias B, M bits of mantissa. inf: there are infinities; nan: there
 * are NaNs; uz: 0x80 is the only one. */
typedef struct {
    int e, m, b, inf, nan, uz;
} mini;
static inline mini mini_of(const int t) {
    const mini f = {t == 23 ? 2 : t <= 18 ? 4 : 5,
                    t == 23 ? 1 : t <= 18 ? 3 : 2,
                    t == 23 ? 1 : t == 17 ? 7 : t == 18 ? 8 : t == 19 ? 15 : 16,
                    t == 19,
                    t != 23,
                    t == 18 || t == 20};
    return f;
}
static inline int mini_top(const mini f) {
    const int all = (1 << (f.e + f.m)) - 1;
    return f.inf ? all - (1 << f.m) : f.nan && !f.uz ? all - 1 : all;
}
static inline float mini_ld(const mini f, const uint bits) {
    const uint sign = 1u << (f.e + f.m), mag = bits & (sign - 1), exp = mag >> f.m, man = mag & ((1u << f.m) - 1);
    const uint neg = bits & sign ? 0x80000000u : 0u;
    if (f.uz && neg && !mag)
        return NAN;
    if ((int)mag > mini_top(f))
        return f.inf && (int)mag == mini_top(f) + 1 ? as_float(0x7f800000u | neg) : NAN;
    if (exp)
        return as_float(neg | (exp + 127 - f.b) << 23 | man << (23 - f.m));
    const float v = (float)man * as_float((uint)(128 - f.b - f.m) << 23);
    return as_float(as_uint(v) | neg);
}
/* The mantissa with its leading bit is the value over the place of its last bit, rounded to even; it carries into the
 * exponent by itself. */
static inline uint mini_st(const mini f, const float v, const int saturate) {
    const uint u = as_uint(v), sign = u >> 31 << (f.e + f.m), nan = f.uz ? 1u << (f.e + f.m) : sign | ((1u << (f.e + f.m)) - 1);
    const float a = fabs(v);
    const int top = mini_top(f);
    if (isnan(v))
        return f.nan ? nan : 1u << (f.e + f.m); /* float4 has none: -0 */
    const int exp = max((int)(as_uint(a) >> 23) - 127, 1 - f.b);
    int mag = top + 1;
    if (exp + f.b < (1 << f.e) + 1)
        mag = ((exp + f.b - 1) << f.m) + (int)rint(a * as_float((uint)(127 + f.m - exp) << 23));
    if (mag > top) {
        if (saturate || !f.nan)
            return sign | (uint)top;
        return f.inf ? sign | (uint)(top + 1) : nan;
    }
    return f.uz && !mag ? 0u : sign | (uint)mag;
}
static inline float e8m0_ld(const uint b) {
    return b == 255 ? NAN : b ? as_float(b << 23) : as_float(0x00400000u);
}
static inline uint e8m0_st(const float v, const int saturate, const int mode) {
    const uint u = as_uint(v) & 0x7fffffffu, exp = u >> 23, rest = u & 0x7fffffu;
    if (exp == 255)
        return 255;
    uint up = mode == 0 ? rest != 0 : mode == 2 ? rest > 0x400000u || (rest == 0x400000u && exp) : 0u;
    return exp == 254 && saturate ? exp : exp + up;
}

#if XT == 11 || YT == 11
/* A double as a float with its last bit set where it is not exact: rounding it again is then as rounding the double. */
static inline float sticky(const double v) {
    const float f = convert_float_rtz(v);
    return isfinite(f) && (double)f != v ? as_float(as_uint(f) | 1u) : f;
}
#else
#define sticky(v) (v)
#endif

/* ---- One element. BUF(t): how it is stored; sub-byte types as bytes. */
#define SUB(p, i, bits) (((p)[(i) / (8 / (bits))] >> ((i) % (8 / (bits)) * (bits))) & ((1 << (bits)) - 1))
#define SIGNED(v, bits) ((long)(((v) ^ (1 << ((bits)-1))) - (1 << ((bits)-1))))
#define BUF_1 float
#define BUF_2 uchar
#define BUF_3 char
#define BUF_4 ushort
#define BUF_5 short
#define BUF_6 int
#define BUF_7 long
#define BUF_9 uchar
#define BUF_10 ushort
#define BUF_11 double
#define BUF_12 uint
#define BUF_13 ulong
#define BUF_16 ushort
#define BUF_17 uchar
#define BUF_18 uchar
#define BUF_19 uchar
#define BUF_20 uchar
#define BUF_21 uchar
#define BUF_22 uchar
#define BUF_23 uchar
#define BUF_24 uchar
#define BUF_25 uchar
#define BUF_26 uchar
#define BUF(t) NORNI_CAT(BUF_, t)
typedef BUF(XT) bx;
typedef BUF(YT) by;

#define READ_REAL(t, p, i)                                                                                   \
    ((t) == 10                ? (real)vload_half((size_t)(i), (const __global half *)(p))                    \
     : (t) == 16              ? (real)norni_bf16_ld(p[i])                                                    \
     : (t) >= 17 && (t) <= 20 ? (real)mini_ld(mini_of(t), p[i])                                              \
     : (t) == 23              ? (real)mini_ld(mini_of(23), SUB((__global const uchar *)(p), i, 4))           \
     : (t) == 24              ? (real)e8m0_ld(p[i])                                                          \
     : IS_FLOAT(t)            ? (real)p[i]                                                                   \
                              : (real)READ_INT(t, p, i))
#define READ_INT(t, p, i)                                                                                    \
    ((t) == 21   ? (long)SUB((__global const uchar *)(p), i, 4)                                              \
     : (t) == 22 ? SIGNED(SUB((__global const uchar *)(p), i, 4), 4)                                         \
     : (t) == 25 ? (long)SUB((__global const uchar *)(p), i, 2)                                              \
     : (t) == 26 ? SIGNED(SUB((__global const uchar *)(p), i, 2), 2)                                         \
                 : (long)p[i])

/* A value as what Y stores: bits of the small floats, else the number. */
#if IS_FLOAT(YT)
typedef real value;
#define ENCODE(v)                                                                                            \
    ((YT) == 24 ? e8m0_st(sticky(v), SATURATE, ROUND_MODE) : mini_st(mini_of(YT), sticky(v), SATURATE))
#else
typedef long value;
#define ENCODE(v) ((uint)(v))
#endif
#ifndef SATURATE
#define SATURATE 1
#endif
#ifndef ROUND_MODE
#define ROUND_MODE 0
#endif
#define PER_BYTE (8 / (BITS(YT) < 8 ? BITS(YT) : 8))

static inline void write(__global by *y, const long i, const value v) {
#if YT == 1 || YT == 11
    y[i] = v;
#elif YT == 10
    vstore_half_rte((float)v, (size_t)i, (__global half *)y);
#elif YT == 16
    y[i] = norni_bf16_st(v);
#elif IS_FLOAT(YT)
    y[i] = (uchar)ENCODE(v);
#elif YT == 9
    y[i] = v != 0;
#else
    y[i] = (by)v;
#endif
}
/* The elements i0 .. i1 - 1 of y from the expression v, which is about element i. */
#define WRITE_ALL(y, i0, i1, v)                                                                              \
    if (BITS(YT) >= 8)                                                                                       \
        for (long i = i0; i < i1; i++)                                                                       \
            write(y, i, v);                                                                                  \
    else                                                                                                     \
        for (long byte_ = i0; byte_ < i1; byte_ += PER_BYTE) {                                               \
            uint b_ = 0;                                                                                     \
            for (long i = byte_; i < byte_ + PER_BYTE && i < i1; i++)                                        \
                b_ |= (ENCODE(v) & ((1u << (BITS(YT) & 7)) - 1)) << ((i - byte_) * BITS(YT));                \
            ((__global uchar *)y)[byte_ / PER_BYTE] = (uchar)b_;                                             \
        }

#if !defined(NORNI_ONLY) || defined(K_recode)
__kernel void recode(__global const bx *x, __global by *y, const long n, const long each) {
    const long i0 = get_global_id(0) * each, i1 = min(i0 + each, n);
#if IS_FLOAT(YT)
    WRITE_ALL(y, i0, i1, READ_REAL(XT, x, i))
#elif IS_FLOAT(XT) && YT == 9
    WRITE_ALL(y, i0, i1, READ_REAL(XT, x, i) != 0)
#elif IS_FLOAT(XT)
    WRITE_ALL(y, i0, i1, convert_long_sat(READ_REAL(XT, x, i)))
#else
    WRITE_ALL(y, i0, i1, READ_INT(XT, x, i))
#endif
}
#endif

/* Element (o, a, k) of [outer][axis][inner] has scale a / block, or where BLOCKED scale (o * blocks + a / block) * inner
 * + k; axis 1: a single scale. */
#ifdef SCALE_T
typedef BUF(SCALE_T) bs;
#ifdef BLOCKED
#define SCALE_AT(i) ((i / inner / axis * blocks + i / inner % axis / block) * inner + i % inner)
#else
#define SCALE_AT(i) (axis == 1 ? 0 : i / inner % axis)
#endif
#define LAYOUT const long n, const long each, const long axis, const long inner, const long block, const long blocks
#endif

#if defined(K_quantize)
#define LOW (YT == 2 || YT == 4 || YT == 21 || YT == 25 ? 0 : -(1 << (BITS(YT) - 1)))
#define HIGH ((YT == 2 || YT == 4 || YT == 21 || YT == 25 ? (1 << BITS(YT)) : (1 << (BITS(YT) - 1))) - 1)
#ifdef ZERO
#define ZERO_INT(at) (int)READ_INT(YT, zero, at)
#define ZERO_REAL(at) READ_REAL(YT, zero, at)
#else
#define ZERO_INT(at) 0
#define ZERO_REAL(at) 0
#endif

/* The quotient, correctly rounded where division is not, then in the precision that is asked for. */
static inline float quotient(const float x, const float s) {
    float q = x / s;
    if (isfinite(q) && isfinite(s))
        q += fma(-q, s, x) / s;
#if PRECISION == 10
    ushort h;
    vstore_half_rte(q, 0, (__private half *)&h);
    q = vload_half(0, (const __private half *)&h);
#elif PRECISION == 16
    q = norni_bf16_ld(norni_bf16_st(q));
#endif
    return q;
}
static inline value quantized(__global const bx *x, __global const bs *scale, __global const by *zero, const long i,
                              const long at) {
    const float q = quotient(READ_REAL(XT, x, i), READ_REAL(SCALE_T, scale, at));
#if YT == 23
    return q + ZERO_REAL(at);
#elif IS_FLOAT(YT)
    return q;
#else
    return clamp((int)clamp(rint(q), -1073741824.0f, 1073741824.0f) + ZERO_INT(at), LOW, HIGH);
#endif
}
__kernel void quantize(__global const bx *x, __global const bs *scale, __global const by *zero, __global by *y, LAYOUT) {
    const long i0 = get_global_id(0) * each, i1 = min(i0 + each, n);
#if W > 1
    /* Vectors where all of them have one scale. */
    long from = i0;
    while (from < i1) {
        const long at = SCALE_AT(from), to = axis == 1 ? i1 : min(i1, from - from % inner + inner);
        const float s = READ_REAL(SCALE_T, scale, at);
        const NORNI_CAT(int, W) z = (NORNI_CAT(int, W))(ZERO_INT(at));
        for (; from + W <= to; from += W) {
#if XT == 1
            const NORNI_CAT(float, W) v = NORNI_CAT(vload, W)(0, x + from);
#elif XT == 10
            const NORNI_CAT(float, W) v = NORNI_CAT(vload_half, W)(0, (__global const half *)(x + from));
#else
            const NORNI_CAT(float, W) v = NORNI_CAT(norni_bf16_ld, W)(x + from);
#endif
            NORNI_CAT(float, W) q = v / s;
            const NORNI_CAT(float, W) r = fma(-q, (NORNI_CAT(float, W))(s), v) / s;
            q = select(q + r, q, isnan(r) | isinf(q));
            /* bounds as vectors: Oclgrind 21.10 reads beyond scalar ones */
            q = clamp(rint(q), (NORNI_CAT(float, W))(-1073741824.0f), (NORNI_CAT(float, W))(1073741824.0f));
            const NORNI_CAT(int, W) in_range = clamp(NORNI_CAT(convert_int, W)(q) + z, (NORNI_CAT(int, W))(LOW),
                                                     (NORNI_CAT(int, W))(HIGH));
            NORNI_CAT(vstore, W)(NORNI_CAT(NORNI_CAT(convert_, BUF(YT)), W)(in_range), 0, y + from);
        }
        for (; from < to; from++)
            write(y, from, quantized(x, scale, zero, from, at));
    }
#else
    WRITE_ALL(y, i0, i1, quantized(x, scale, zero, i, SCALE_AT(i)))
#endif
}
#endif

#if defined(K_dequantize)
static inline value dequantized(__global const bx *x, __global const bs *scale, __global const bx *zero, const long i,
                                const long at) {
#if IS_FLOAT(XT)
    float v = READ_REAL(XT, x, i);
#ifdef ZERO
    v -= READ_REAL(XT, zero, at);
#endif
#else
    int w = (int)READ_INT(XT, x, i);
#ifdef ZERO
    w -= (int)READ_INT(XT, zero, at);
#endif
    float v = (float)w;
#endif
    return v * READ_REAL(SCALE_T, scale, at);
}
__kernel void dequantize(__global const bx *x, __global const bs *scale, __global const bx *zero, __global by *y, LAYOUT) {
    const long i0 = get_global_id(0) * each, i1 = min(i0 + each, n);
#if W > 1
    long from = i0;
    while (from < i1) {
        const long at = SCALE_AT(from), to = axis == 1 ? i1 : min(i1, from - from % inner + inner);
        const float s = READ_REAL(SCALE_T, scale, at);
#ifdef ZERO
        const int z = (int)READ_INT(XT, zero, at);
#else
        const int z = 0;
#endif
        for (; from + W <= to; from += W)
            NORNI_CAT(vstore, W)(NORNI_CAT(convert_float, W)(NORNI_CAT(convert_int, W)(NORNI_CAT(vload, W)(0, x + from)) - z) * s, 0,
                                 y + from);
        for (; from < to; from++)
            write(y, from, dequantized(x, scale, zero, from, at));
    }
#else
    WRITE_ALL(y, i0, i1, dequantized(x, scale, zero, i, SCALE_AT(i)))
#endif
}
#endif
