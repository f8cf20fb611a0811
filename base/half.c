/* SPDX-License-Identifier: Apache-2.0 */
#include "base/half.h"
#include <math.h>
#include <string.h>

/* Rounds v >= 0 to a float with `man` fraction bits, smallest normal exponent emin; returns it exactly. */
static double round_to(double v, int man, int emin) {
    int e;
    frexp(v, &e); /* v = m * 2^e, 0.5 <= m < 1 */
    int exp = e - 1 < emin ? emin : e - 1;
    return ldexp(nearbyint(ldexp(v, man - exp)), exp - man);
}

uint16_t norni_f16_from(double v) {
    uint16_t sign = signbit(v) ? 0x8000 : 0;
    if (isnan(v))
        return 0x7e00 | sign;
    double a = fabs(v);
    if (isfinite(a))
        a = round_to(a, 10, -14);
    if (a > 65504)
        return sign | 0x7c00;
    if (a < 0x1p-14)
        return sign | (uint16_t)(a * 0x1p24);
    int e;
    double m = frexp(a, &e);
    return (uint16_t)(sign | ((e - 1 + 15) << 10) | ((int)(m * 2048) - 1024));
}

double norni_f16_to(uint16_t h) {
    int exp = (h >> 10) & 31, man = h & 1023;
    double a = exp == 31 ? (man ? (double)NAN : (double)INFINITY)
               : exp     ? ldexp(1024 + man, exp - 25)
                         : ldexp(man, -24);
    return h & 0x8000 ? -a : a;
}

uint16_t norni_bf16_from(double v) {
    if (isnan(v))
        return 0x7fc0;
    double a = fabs(v);
    if (isfinite(a))
        a = round_to(a, 7, -126);
    float f = (float)a;
    uint32_t u;
    memcpy(&u, &f, 4);
    return (uint16_t)(u >> 16) | (signbit(v) ? 0x8000 : 0);
}

double norni_bf16_to(uint16_t h) {
    uint32_t u = (uint32_t)h << 16;
    float f;
    memcpy(&f, &u, 4);
    return (double)f;
}

const norni_minifloat norni_f8e4m3fn = {4, 3, 7, 0, 1, 0}, norni_f8e4m3fnuz = {4, 3, 8, 0, 1, 1},
                      norni_f8e5m2 = {5, 2, 15, 1, 1, 0}, norni_f8e5m2fnuz = {5, 2, 16, 0, 1, 1},
                      norni_f4e2m1 = {2, 1, 1, 0, 0, 0};

/* The bit pattern of the largest finite value, without sign. */
static int largest(const norni_minifloat *f) {
    int all = (1 << (f->exp_bits + f->man_bits)) - 1;
    if (f->has_inf)
        return all - (1 << f->man_bits);
    return f->has_nan && !f->unsigned_zero ? all - 1 : all;
}

double norni_minifloat_to(const norni_minifloat *f, uint8_t bits) {
    int sign_bit = 1 << (f->exp_bits + f->man_bits), mag = bits & (sign_bit - 1), neg = bits & sign_bit;
    if (f->unsigned_zero && neg && mag == 0)
        return (double)NAN;
    if (mag > largest(f))
        return f->has_inf && mag == largest(f) + 1 ? (double)(neg ? -INFINITY : INFINITY) : (double)NAN;
    int exp = mag >> f->man_bits, man = mag & ((1 << f->man_bits) - 1);
    double a = exp ? ldexp((1 << f->man_bits) + man, exp - f->bias - f->man_bits)
                   : ldexp(man, 1 - f->bias - f->man_bits);
    return neg ? -a : a;
}

uint8_t norni_minifloat_from(const norni_minifloat *f, double v, int saturate) {
    int sign_bit = 1 << (f->exp_bits + f->man_bits), sign = signbit(v) ? sign_bit : 0, top = largest(f);
    if (isnan(v))
        return (uint8_t)(f->unsigned_zero || !f->has_nan ? sign_bit : sign | (sign_bit - 1)); /* float4: -0 */
    double a = fabs(v), max = norni_minifloat_to(f, (uint8_t)top);
    if (isfinite(a))
        a = round_to(a, f->man_bits, 1 - f->bias);
    if (a > max) {
        if (saturate || !f->has_nan)
            return (uint8_t)(sign | top);
        return (uint8_t)(f->has_inf ? sign | (top + 1) : f->unsigned_zero ? sign_bit : sign | (sign_bit - 1));
    }
    if (a == 0)
        return (uint8_t)(f->unsigned_zero ? 0 : sign);
    int e;
    frexp(a, &e);
    int exp = e - 1 + f->bias;
    if (exp < 1) /* subnormal */
        return (uint8_t)(sign | (int)ldexp(a, f->bias - 1 + f->man_bits));
    return (uint8_t)(sign | (exp << f->man_bits) |
                     ((int)ldexp(a, f->man_bits - (e - 1)) - (1 << f->man_bits)));
}

uint8_t norni_e8m0_from(double v) {
    if (isnan(v))
        return 255;
    double a = fabs(v);
    if (a <= 0x1p-127)
        return 0;
    if (isinf(a) || a >= 0x1p127)
        return 254;
    return (uint8_t)(127 + (int)nearbyint(log2(a)));
}

double norni_e8m0_to(uint8_t bits) {
    return bits == 255 ? (double)NAN : ldexp(1, (int)bits - 127);
}
