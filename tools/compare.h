/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NORN_TOOLS_COMPARE_H
#define NORN_TOOLS_COMPARE_H
#include <cjson/cJSON.h>
#include <norn.h>

typedef struct {
    double rtol, atol;
    bool any_type; /* the element types may differ */
    /* Nobody set rtol: bfloat16, whose numbers lie up to 2^-7 apart, then has 2^-6, as in onnx's own tests. */
    bool by_default;
} tolerance;

/* The member `key` of meta.json, where it is there. NULL, or what is wrong with it, newly allocated. */
char *tolerance_read(const cJSON *meta, const char *key, tolerance *out);

/* NULL when every element is within atol + rtol |want| (numpy.allclose; NaN equals NaN) and type and shape are the same;
 * else what is wrong, newly allocated. *max_error rises to the largest absolute difference. */
char *compare_tensors(const norn_tensor *got, const norn_tensor *want, const tolerance *t, double *max_error);

#endif
