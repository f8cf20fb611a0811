/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NORN_TOOLS_COMPARE_H
#define NORN_TOOLS_COMPARE_H
#include <norn.h>

typedef struct {
    double rtol, atol;
    bool any_type; /* the element types may differ */
    bool
        by_default; /* nobody set rtol. bfloat16, whose numbers lie up to 2^-7 apart, then has 2^-6, as in onnx's own tests */
} tolerance;

/* NULL when every element is within atol + rtol |want| (numpy.allclose; NaN equals NaN) and type and shape are the same;
 * else what is wrong, newly allocated. *max_error rises to the largest absolute difference. */
char *compare_tensors(const norn_tensor *got, const norn_tensor *want, const tolerance *t, double *max_error);

#endif
