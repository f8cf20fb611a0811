/* SPDX-License-Identifier: Apache-2.0 */
/* Conversions that know all element types, those below a byte too (ops/recode.cl). */
#ifndef NORNI_RECODE_H
#define NORNI_RECODE_H
#include "ops/op.h"

/* To float8e8m0. */
enum { NORNI_ROUND_UP, NORNI_ROUND_DOWN, NORNI_ROUND_NEAREST };
extern const char *const norni_round_words[];

static inline bool norni_dtype_is_small(norn_dtype t) {
    return t != NORN_UNDEFINED && NORNI_SMALL & NORNI_T(t);
}
/* Element i = v in a floating-point type, with a word about what is out of range of a float8. */
void norni_set_rounded(norn_dtype t, void *data, int64_t i, double v, bool saturate, int round_mode);
/* A step over n elements with the types of X and Y defined. */
norni_step *norni_emit_recode(norni_emit *e, const char *kernel, norn_dtype x, norn_dtype y);
/* Elements of an item, and the range for n of them. */
int64_t norni_recode_each(const norni_emit *e, int64_t n);

#endif
