/* SPDX-License-Identifier: Apache-2.0 */
#include "base/philox.h"
#include "bench/bench.h"

norn_status norni_bench_random(const norni_type *t, const norni_bench_range *r, norn_tensor **out) {
    norni_philox_stream random;
    NORNI_TRY(norni_tensor_host(t->dtype, t->rank, t->dims, out));
    norni_philox_begin(&random, 1, (uint32_t)r->stream, NORNI_STREAM_BENCH);
    void *data = norni_tensor_data(*out);
    for (int64_t i = 0, n = norni_tensor_elems(*out); i < n; i++) {
        uint32_t u = norni_philox_u32(&random) >> 8;
        if (norni_dtype_is_float(t->dtype))
            norni_set_double(t->dtype, data, i, r->lo + (r->hi - r->lo) * (double)u / (1 << 24));
        else if (t->dtype == NORN_BOOL)
            norni_set_int(t->dtype, data, i, u & 1);
        else
            norni_set_int(t->dtype, data, i, r->below > 0 ? (int64_t)u % r->below : 1 + (int64_t)(u & 3));
    }
    return NORN_OK;
}
