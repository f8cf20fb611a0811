/* SPDX-License-Identifier: Apache-2.0 */
#include "base/philox.h"
#include "bench/bench.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WARMUP = 2, LEAST = 3, MOST = 100000, PATIENCE_S = 10 };

double norni_bench_now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

void norni_bench_note(norn_bench_result *out, const char *fmt, ...) {
    size_t n = strlen(out->note);
    va_list ap;
    va_start(ap, fmt);
    if (n && n + 3 < sizeof out->note)
        n += (size_t)snprintf(out->note + n, sizeof out->note - n, "; ");
    vsnprintf(out->note + n, sizeof out->note - n, fmt, ap);
    va_end(ap);
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* The value below which the share q of the sorted times lies, between neighbours by proportion. */
static double quantile(const double *sorted, int64_t n, double q) {
    double at = q * (double)(n - 1);
    int64_t i = (int64_t)at;
    return i + 1 < n ? sorted[i] + (at - (double)i) * (sorted[i + 1] - sorted[i]) : sorted[i];
}

norn_status norni_bench_measure(const norni_bench_run *r, const norn_bench_options *o,
                                norn_bench_result *out) {
    int64_t warmup = o->warmup > 0 ? o->warmup : WARMUP, most = o->repeat > 0 ? o->repeat : MOST, n = 0;
    double seconds = o->seconds > 0 ? o->seconds : 1;
    if (most > MOST)
        return norni_fail(NORN_ARG, "bench: %lld runs (wanted at most %d)", (long long)most, MOST);
    double *ms = norni_alloc_array((size_t)most, sizeof *ms);
    norn_status s = ms ? NORN_OK : norni_nomem();
    /* Nobody waits for a second run of what takes minutes. */
    double begun = norni_bench_now_ms(), patience_ms = fmax(PATIENCE_S * 1e3, seconds * 1e3), start, before;
    for (int64_t i = 0; i < warmup && s == NORN_OK; i++) {
        s = r->run(r->ctx);
        if (o->warmup <= 0 && norni_bench_now_ms() - begun > patience_ms)
            break;
    }
    start = before = norni_bench_now_ms();
    while (s == NORN_OK && n < most &&
           (o->repeat > 0 || !n || before - start < seconds * 1e3 ||
            (n < LEAST && before - start < patience_ms))) {
        s = r->run(r->ctx);
        double after = norni_bench_now_ms();
        ms[n++] = after - before;
        before = after;
    }
    if (s == NORN_OK) {
        qsort(ms, (size_t)n, sizeof *ms, by_value);
        out->runs = n;
        out->best_ms = ms[0];
        out->median_ms = quantile(ms, n, 0.5);
        out->spread_ms = quantile(ms, n, 0.75) - quantile(ms, n, 0.25);
    }
    norni_free(ms);
    return s;
}

/* ---- Which kernels ran. */
typedef struct {
    const char *kernel;
    double ms;
} kernel_time;

static int by_time(const void *a, const void *b) {
    const kernel_time *x = a, *y = b;
    return x->ms > y->ms ? -1 : x->ms < y->ms ? 1 : strcmp(x->kernel, y->kernel);
}

static bool is_launch(const char *kernel) {
    static const char *const transfers[] = {"read", "write", "copy", "fill"};
    for (size_t i = 0; i < sizeof transfers / sizeof *transfers; i++)
        if (!strcmp(kernel, transfers[i]))
            return false;
    return true;
}

static norn_status list_kernels(norn_context *ctx, norn_bench_result *out) {
    size_t n = norn_context_profile_count(ctx), found = 0, k, length = 0;
    kernel_time *v = norni_alloc_array(n + 1, sizeof *v);
    if (!v)
        return norni_nomem();
    out->launches = 0;
    for (size_t i = 0; i < n; i++) {
        const norn_profile_entry *e = norn_context_profile_at(ctx, i);
        for (k = 0; k < found && strcmp(v[k].kernel, e->kernel) != 0; k++)
            ;
        if (k == found)
            v[found++] = (kernel_time){.kernel = e->kernel};
        v[k].ms += (double)(e->end_ns - e->start_ns) * 1e-6;
        out->launches += is_launch(e->kernel);
    }
    if (found)
        qsort(v, found, sizeof *v, by_time);
    for (k = 0; k < found; k++) {
        size_t need = strlen(v[k].kernel) + (k ? 2 : 0);
        if (length + need + 5 > sizeof out->implementation) {
            snprintf(out->implementation + length, sizeof out->implementation - length, ", ...");
            break;
        }
        length += (size_t)snprintf(out->implementation + length, sizeof out->implementation - length, "%s%s",
                                   k ? ", " : "", v[k].kernel);
    }
    norni_free(v);
    return NORN_OK;
}

norn_status norni_bench_profile(norn_context *ctx, const norni_bench_run *r, norn_bench_result *out) {
    if (norni_context_is_host(ctx)) {
        snprintf(out->implementation, sizeof out->implementation, "host");
        return NORN_OK;
    }
    NORNI_TRY(norn_context_profile(ctx, true));
    norn_status s = r->run(r->ctx);
    if (s == NORN_OK)
        s = list_kernels(ctx, out);
    norn_status off = norn_context_profile(ctx, false);
    return s == NORN_OK ? off : s;
}

/* ---- Cost. */
static void plan_cost(const norn_plan *p, double *flops, double *bytes) {
    *flops = *bytes = 0;
    for (size_t i = 0; p && i < p->builder.steps.n; i++)
        if (!p->builder.steps.v[i]->load) {
            *flops += p->builder.steps.v[i]->flops;
            *bytes += p->builder.steps.v[i]->bytes;
        }
}

void norni_bench_rates(const norn_plan *p, norn_bench_result *out) {
    double flops, bytes;
    plan_cost(p, &flops, &bytes);
    if (out->median_ms > 0) {
        out->gflops = flops / out->median_ms * 1e-6;
        out->gbytes_s = bytes / out->median_ms * 1e-6;
    }
}

double norni_bench_host_seconds(const norn_plan *p) {
    /* The reference does some 1.5e9 multiplications and additions a second and converts every element that it touches:
     * measured on a 2023 server core, to within a factor of two. */
    double flops, bytes;
    plan_cost(p, &flops, &bytes);
    return flops / 1.5e9 + bytes / 2e8;
}

/* ---- Comparison. */

/* Largest difference, relative to the largest element, that rounding explains in networks of any depth that people
 * use; a wrong kernel is off by far more. */
static double allowed(norn_dtype t) {
    return t == NORN_F64 ? 1e-8 : t == NORN_F32 ? 1e-3 : t == NORN_BF16 ? 0.1 : 0.03;
}

/* Whether they can be compared at all. */
static bool same_type(const norn_tensor *got, const norn_tensor *want, norn_bench_result *out) {
    if (got->dtype == want->dtype && got->rank == want->rank &&
        !memcmp(got->dims, want->dims, (size_t)want->rank * sizeof *want->dims))
        return true;
    out->correct = false;
    norni_bench_note(out, "another type or shape than the host reference");
    return false;
}

/* However many ReLUs turn, gradients that differ by more than this share are not explained by it. */
#define TURNED_AT_MOST 0.1

static void found(double error, double most, norn_bench_result *out) {
    out->max_error = fmax(out->max_error, error);
    if (!(error <= most))
        out->correct = false;
}

/* The largest difference of single elements, relative to the largest element. */
static double worst_element(const norn_tensor *got, const norn_tensor *want) {
    norn_dtype t = want->dtype;
    const void *g = norni_tensor_data(got), *w = norni_tensor_data(want);
    int64_t n = norni_tensor_elems(want);
    double scale = 0, worst = 0;
    bool is_float = norni_dtype_is_float(t);
    for (int64_t i = 0; i < n && is_float; i++) {
        double x = fabs(norni_get_double(t, w, i));
        scale = isfinite(x) && x > scale ? x : scale;
    }
    for (int64_t i = 0; i < n; i++) {
        if (!is_float) {
            worst = norni_get_int(t, g, i) == norni_get_int(t, w, i) ? worst : INFINITY;
            continue;
        }
        double x = norni_get_double(t, g, i), y = norni_get_double(t, w, i);
        if (x == y || (isnan(x) && isnan(y)))
            continue;
        double d = fabs(x - y) / (scale > 0 ? scale : 1);
        worst = isfinite(d) && isfinite(y) ? fmax(worst, d) : INFINITY;
    }
    return worst;
}

void norni_bench_compare(const norn_tensor *got, const norn_tensor *want, norn_bench_result *out) {
    if (same_type(got, want, out))
        found(worst_element(got, want), allowed(want->dtype), out);
}

/* |got - want| / |want|, infinite where a number is not finite. */
static double apart(const norn_tensor *got, const norn_tensor *want) {
    norn_dtype t = want->dtype;
    const void *g = norni_tensor_data(got), *w = norni_tensor_data(want);
    double d2 = 0, w2 = 0;
    for (int64_t i = 0; i < norni_tensor_elems(want); i++) {
        double x = norni_get_double(t, g, i), y = norni_get_double(t, w, i);
        d2 += (x - y) * (x - y);
        w2 += y * y;
    }
    double error = d2 == 0 ? 0 : sqrt(d2 / (w2 > 0 ? w2 : 1));
    return isfinite(error) ? error : INFINITY;
}

double norni_bench_shake(norn_tensor *x) {
    double most = allowed(x->dtype) / 100;
    norni_philox_stream random;
    norni_philox_begin(&random, 2, 0, NORNI_STREAM_BENCH);
    void *data = norni_tensor_data(x);
    for (int64_t i = 0, n = norni_tensor_elems(x); i < n && norni_dtype_is_float(x->dtype); i++) {
        double by = most * ((double)(norni_philox_u32(&random) >> 8) / (1 << 23) - 1);
        norni_set_double(x->dtype, data, i, norni_get_double(x->dtype, data, i) * (1 + by));
    }
    return most;
}

double norni_bench_turned(norn_tensor *const *shaken, norn_tensor *const *want, size_t n) {
    double most = 0;
    for (size_t i = 0; i < n; i++)
        if (shaken[i] && want[i])
            most = fmax(most, apart(shaken[i], want[i]));
    return fmin(most, TURNED_AT_MOST);
}

void norni_bench_compare_gradient(const norn_tensor *got, const norn_tensor *want, double turned,
                                  norn_bench_result *out) {
    enum { SINGLE = 8 }; /* times what is allowed of all of them; 3 were seen */
    if (!same_type(got, want, out))
        return;
    double most = fmax(allowed(want->dtype), turned), single = worst_element(got, want);
    found(apart(got, want), most, out);
    if (out->correct && !(single <= SINGLE * most)) {
        out->correct = false;
        norni_bench_note(out, "an element of a gradient is off by %.2g of the largest", single);
    }
}
