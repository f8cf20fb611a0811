/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers of the symbolic layer: quotients of 64-bit integers as long as they fit, else doubles. */
#ifndef NORNI_NUMBER_H
#define NORNI_NUMBER_H
#include "base/str.h"

typedef struct {
    bool exact;   /* p / q, in lowest terms, q > 0; else d */
    bool decimal; /* came from a number written with a point: printed so */
    int64_t p, q;
    double d;
} norni_num;

norni_num norni_num_int(int64_t p);
norni_num norni_num_ratio(int64_t p, int64_t q); /* q != 0 */
/* The decimal that prints as v does, when it is short; else v itself. single: v was a float. */
norni_num norni_num_double(double v, bool single);
norni_num norni_num_add(norni_num a, norni_num b);
norni_num norni_num_mul(norni_num a, norni_num b);
norni_num norni_num_div(norni_num a, norni_num b);
norni_num norni_num_neg(norni_num a);
/* a ** b for a whole b; false when the result has no exact form. */
bool norni_num_pow(norni_num a, int64_t b, norni_num *out);
/* The exact n-th root of a >= 0; false when there is none. */
bool norni_num_root(norni_num a, int64_t n, norni_num *out);
double norni_num_value(norni_num a);
bool norni_num_is(norni_num a, int64_t v);
bool norni_num_equal(norni_num a, norni_num b);
bool norni_num_whole(norni_num a);
int norni_num_sign(norni_num a); /* -1, 0, 1; of NaN 1 */

#endif
