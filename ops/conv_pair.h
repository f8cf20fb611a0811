/* SPDX-License-Identifier: Apache-2.0 */
/* norn.ConvPair, for the pass that makes it (graph/pass/fuse_convs.c). */
#ifndef NORNI_CONV_PAIR_H
#define NORNI_CONV_PAIR_H
#include "ops/blocked.h"
#include "ops/conv.h"

enum { NORNI_PAIR_X, NORNI_PAIR_W1, NORNI_PAIR_W2, NORNI_PAIR_B1, NORNI_PAIR_B2 };

typedef struct {
    norni_window_attrs window; /* of the second convolution */
    const char *f;             /* a formula over x */
} norni_conv_pair_attrs;

/* NULL: the formula, over variable 0 alone, can be one of norn.ConvPair; else why not. */
const char *norni_conv_pair_formula(const norni_expr *f);
/* It is worth it on a CPU: a second convolution of [n, c, in...] with these weights' sizes. */
bool norni_conv_pair_pays(const norni_conv *first, const norni_conv *second);

#endif
