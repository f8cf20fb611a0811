/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NORN_TOOLS_COMPARE_H
#define NORN_TOOLS_COMPARE_H
#include <norn.h>

typedef struct {
    double rtol, atol;
    bool any_type; /* the element types may differ */
    bool rounded;  /* 16-bit floats may differ in their last two bits, whatever rtol says */
} tolerance;

/* NULL when every element is within atol + rtol |want| (numpy.allclose; NaN equals NaN) and type and shape are the same;
 * else what is wrong, newly allocated. *max_error rises to the largest absolute difference. */
char *compare_tensors(const norn_tensor *got, const norn_tensor *want, const tolerance *t, double *max_error);

#endif
