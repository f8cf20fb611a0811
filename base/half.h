/* SPDX-License-Identifier: Apache-2.0 */
/* Small floating-point formats to and from double. Rounding is to nearest, ties to even.
 * Sources: IEEE 754-2019 (binary16); ONNX "Float stored in 8 bits" (float8 formats); OCP MX specification 1.0
 * (float8e8m0, float4e2m1); bfloat16 is the upper half of a binary32. */
#ifndef NORNI_HALF_H
#define NORNI_HALF_H
#include <stdint.h>

uint16_t norni_f16_from(double v);
double norni_f16_to(uint16_t h);
uint16_t norni_bf16_from(double v);
double norni_bf16_to(uint16_t h);

/* The formats below 16 bits, described rather than coded one by one. */
typedef struct {
    int exp_bits, man_bits, bias;
    int has_inf;       /* the largest exponent holds infinity and NaNs as in IEEE 754 */
    int has_nan;       /* some NaN exists */
    int unsigned_zero; /* "UZ": 0x80 is the only NaN, there is no negative zero */
} norni_minifloat;
extern const norni_minifloat norni_f8e4m3fn, norni_f8e4m3fnuz, norni_f8e5m2, norni_f8e5m2fnuz, norni_f4e2m1;

/* saturate: out-of-range and infinite values become the largest finite one instead of infinity or NaN. */
uint8_t norni_minifloat_from(const norni_minifloat *f, double v, int saturate);
double norni_minifloat_to(const norni_minifloat *f, uint8_t bits);
/* float8e8m0: a power of two, 2^(bits - 127); 255 is NaN. */
uint8_t norni_e8m0_from(double v);
double norni_e8m0_to(uint8_t bits);

#endif
