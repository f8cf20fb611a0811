/* SPDX-License-Identifier: Apache-2.0 */
/* Arithmetic of sizes. */
#ifndef NORNI_ARITH_H
#define NORNI_ARITH_H
#include <stdint.h>

/* a / b rounded up, for a >= 0 and b > 0. */
static inline int64_t norni_ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}
static inline int64_t norni_min(int64_t a, int64_t b) {
    return a < b ? a : b;
}
static inline int64_t norni_max(int64_t a, int64_t b) {
    return a > b ? a : b;
}

#endif
