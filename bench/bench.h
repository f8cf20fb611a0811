/* SPDX-License-Identifier: Apache-2.0 */
/* What the benchmarks share: data, clock, comparison with the host reference. */
#ifndef NORNI_BENCH_H
#define NORNI_BENCH_H
#include "graph/plan.h"
#include "graph/session.h"

/* ---- Random data, the same on every machine. Floats lie in [lo, hi), integers in 0 .. below - 1 (unless below is 0:
 * 1 to 4, so that nothing divides by 0). */
typedef struct {
    double lo, hi;
    int64_t below;
    uint64_t stream;
} norni_bench_range;
norn_status norni_bench_random(const norni_type *t, const norni_bench_range *r, norn_tensor **out);

/* ---- Time. */
typedef struct {
    norn_status (*run)(void *ctx); /* enqueues one run and waits for it */
    void *ctx;
} norni_bench_run;
double norni_bench_now_ms(void);
/* Warm-up, then timed runs: fills in median_ms, best_ms, spread_ms and runs. */
norn_status norni_bench_measure(const norni_bench_run *r, const norn_bench_options *o,
                                norn_bench_result *out);
/* One more run under the profiler: fills in `implementation`, the kernels by the time they took. */
norn_status norni_bench_profile(norn_context *ctx, const norni_bench_run *r, norn_bench_result *out);
/* gflops and gbytes_s from a plan's cost and the median. */
void norni_bench_rates(const norn_plan *p, norn_bench_result *out);

/* What a step will take by the roofline of a device, and what it is bound by. */
double norni_forecast_ms(const norn_device *d, const norn_peaks *p, const norni_step *s, const char **limit);

/* ---- Correctness. */
/* Seconds that the host reference may take; what would take longer is not checked. */
enum { NORNI_BENCH_CHECK_S = 20 };
/* What the host reference takes for work of this plan, roughly. */
double norni_bench_host_seconds(const norn_plan *p);
/* Raises out->max_error to the largest difference between the tensors, relative to the largest element that is wanted;
 * sets out->correct to false when it is above what the element type allows, or when types, shapes, integers or the
 * places of NaN and infinities differ. */
void norni_bench_compare(const norn_tensor *got, const norn_tensor *want, norn_bench_result *out);
/* By |got - want| / |want|: where the input of a ReLU is zero but for rounding, single elements of a gradient part,
 * whatever computes them. But not by much: a single one that is far off is wrong, too. `turned`: what is allowed if that
 * is more than what the type allows. */
void norni_bench_compare_gradient(const norn_tensor *got, const norn_tensor *want, double turned,
                                  norn_bench_result *out);
/* Changes each float of a tensor in host memory by up to the share that is returned, a hundredth of what is allowed. */
double norni_bench_shake(norn_tensor *x);
/* The largest |shaken - want| / |want| of n gradients, NULL ones left out; at most 0.1. */
double norni_bench_turned(norn_tensor *const *shaken, norn_tensor *const *want, size_t n);
void norni_bench_note(norn_bench_result *out, const char *fmt, ...) NORNI_PRINTF(2, 3);

#endif
