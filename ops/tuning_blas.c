/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/blas.h"
#include "base/alloc.h"
#include "base/dtype.h"
#include "ops/tuning.h"
#include <stdio.h>

void norni_tuning_blas_key(norn_dtype t, int kernel, char *out, size_t bytes) {
    snprintf(out, bytes, "%s %s %s", norni_blas_name(), norni_dtype_name(t), norni_blas_kernels[kernel].name);
}

norn_status norni_tuning_blas(norn_context *ctx, norn_dtype t) {
    const norn_device *d = norn_context_device(ctx);
    if (!norni_blas_first(ctx, t))
        return NORN_OK;
    for (int k = 0; k < NORNI_BLAS_KERNELS; k++) {
        int values[NORNI_BLAS_PARAMETERS];
        char key[96];
        norni_tuning_blas_key(t, k, key, sizeof key);
        char *text = norni_tuned_text(d, key);
        bool legal = text && norni_blas_values_parse(k, text, values) && !norni_blas_illegal(d, t, k, values);
        norni_free(text);
        norn_status s = legal ? norni_blas_override(ctx, t, k, values) : NORN_OK;
        if (s != NORN_OK && s != NORN_UNSUPPORTED)
            return s;
    }
    return NORN_OK;
}
