/* SPDX-License-Identifier: Apache-2.0 */
/* What a device can do at best, measured by ops/peak.cl: the best of several forms, each the best of several runs. Every
 * result is checked; a wrong one is an error. */
#include "backend/program.h"
#include "bench/bench.h"
#include "ops/kernel_source.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_RUNS = 7 };

typedef struct {
    norn_context *ctx;
    const norn_device *d;
    bool cpu, quick;
    norn_buffer *x, *y;
    size_t bytes; /* of each */
} bed;

/* ---- Kernels. */
static norn_status kernel_for(const bed *b, const char *kernel, const char *options, norni_kernel **out) {
    char text[256], *source;
    norni_program *p;
    *out = NULL;
    snprintf(text, sizeof text, "%s -DK_%s", options, kernel);
    NORNI_TRY(norni_kernel_text(NULL, "peak.cl", &source));
    norn_status s = norni_programs_get(b->ctx, &(norni_program_source){"peak.cl", source, text}, 1, &p);
    norni_free(source);
    return s == NORN_OK ? norni_kernel_new(p, kernel, out) : s;
}

/* The time of the best of several launches in seconds, each waited for. */
static norn_status best_time(const bed *b, norni_kernel *k, size_t global, size_t local, double *out) {
    const norni_launch l = {.dims = 1, .global = {global, 1, 1}, .local = {local, 1, 1}};
    int runs = b->quick ? 3 : MAX_RUNS;
    *out = INFINITY;
    for (int i = 0; i <= runs; i++) { /* the first one warms up */
        double start = norni_bench_now_ms();
        NORNI_TRY(norni_kernel_launch(k, &l));
        NORNI_TRY(norn_context_finish(b->ctx));
        double s = (norni_bench_now_ms() - start) * 1e-3;
        if (i && s < *out)
            *out = s;
    }
    return NORN_OK;
}

static size_t work_items(const bed *b) {
    unsigned units = b->d->compute_units ? b->d->compute_units : 1;
    return b->cpu ? units : (size_t)units * 2048;
}
static size_t work_group(const bed *b) {
    return b->cpu ? 1 : b->d->max_work_group < 256 ? b->d->max_work_group : 256;
}

/* ---- Arithmetic. */
typedef struct {
    const char *type; /* in OpenCL C */
    bool half;
    size_t bytes;
} real;

/* The sum that an item of peak_fma ends with. */
static double fma_sum(int n, int accumulators, int width) {
    double s = 0;
    for (int k = 0; k < accumulators; k++) {
        double x = k;
        for (int i = 0; i < n && fabs(x - 2) > 1e-9; i++)
            x = x * 0.5 + 1;
        s += x * width;
    }
    return s;
}

static norn_status fma_rate(const bed *b, const real *t, int width, int accumulators, double *gflops) {
    char options[96];
    norni_kernel *k;
    const float fa = 0.5f, fb = 1;
    double got, seconds;
    unsigned char first[8];
    snprintf(options, sizeof options, "-DF=%s -DW=%d -DN=%d%s%s", t->type, width, accumulators,
             t->half ? " -DHALF" : "", t->bytes == 8 ? " -DNORNI_F64" : "");
    NORNI_TRY(kernel_for(b, "peak_fma", options, &k));
    size_t items = work_items(b);
    norn_status s = norni_kernel_set_buffer(k, 0, b->y);
    if (s == NORN_OK)
        s = norni_kernel_set_value(k, 1, &fa, sizeof fa);
    if (s == NORN_OK)
        s = norni_kernel_set_value(k, 2, &fb, sizeof fb);
    int n = 20000;
    for (int round = 0; round < 8 && s == NORN_OK; round++) { /* long enough that the launch does not count */
        s = norni_kernel_set_value(k, 3, &n, sizeof n);
        if (s == NORN_OK)
            s = best_time(b, k, items, work_group(b), &seconds);
        double rate = 2.0 * n * accumulators * width * (double)items / seconds * 1e-9;
        if (s == NORN_OK && rate > *gflops)
            *gflops = rate;
        if (seconds > (b->quick ? 0.01 : 0.03) || n > 100000000)
            break;
        n *= 4;
    }
    if (s == NORN_OK)
        s = norn_buffer_read(b->y, 0, first, t->bytes);
    norni_kernel_free(k);
    NORNI_TRY(s);
    got = norni_get_double(t->half ? NORN_F16 : t->bytes == 8 ? NORN_F64 : NORN_F32, first, 0);
    double want = fma_sum(n, accumulators, width);
    if (!(fabs(got - want) <= 0.01 * want))
        return norni_fail(NORN_DEVICE, "peak_fma of %s%d: got %g (wanted %g)", t->type, width, got, want);
    return NORN_OK;
}

static norn_status fma_best(const bed *b, const real *t, double *gflops) {
    static const int widths[] = {1, 2, 4, 8, 16};
    *gflops = 0;
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        bool wide = widths[i] * (int)t->bytes >= 32; /* CPUs: a register or more; GPUs: a lane or a few */
        if (b->cpu != wide)
            continue;
        for (int n = 8; n <= 12; n += 4)
            NORNI_TRY(fma_rate(b, t, widths[i], n, gflops));
    }
    return NORN_OK;
}

/* ---- Memory. */
static norn_status read_rate(const bed *b, size_t bytes, int again, int width, bool pieces,
                             double *gbytes_s) {
    char options[64];
    norni_kernel *k;
    size_t items = work_items(b), group = work_group(b);
    double seconds = 1;
    float sum = 0;
    int64_t n = (int64_t)(bytes / sizeof(float) / (size_t)width / items) / 4 * 4;
    if (n < 4)
        return NORN_OK;
    snprintf(options, sizeof options, "-DF=float -DW=%d%s", width, pieces ? " -DPIECES" : "");
    NORNI_TRY(kernel_for(b, "peak_read", options, &k));
    norn_status s = norni_kernel_set_buffer(k, 0, b->x);
    if (s == NORN_OK)
        s = norni_kernel_set_buffer(k, 1, b->y);
    if (s == NORN_OK)
        s = norni_kernel_set_value(k, 2, &n, sizeof n);
    if (s == NORN_OK)
        s = norni_kernel_set_value(k, 3, &again, sizeof again);
    if (s == NORN_OK)
        s = best_time(b, k, items, group, &seconds);
    if (s == NORN_OK)
        s = norn_buffer_read(b->y, 0, &sum, sizeof sum);
    norni_kernel_free(k);
    NORNI_TRY(s);
    if (sum != 0) /* x holds zeros */
        return norni_fail(NORN_DEVICE, "peak_read: got the sum %g (wanted 0)", (double)sum);
    double rate = (double)n * width * 4 * again * (double)items / seconds * 1e-9;
    *gbytes_s = rate > *gbytes_s ? rate : *gbytes_s;
    return NORN_OK;
}

static norn_status copy_rate(const bed *b, int width, bool pieces, double *gbytes_s) {
    char options[64];
    norni_kernel *k;
    size_t items = work_items(b);
    double seconds = 1;
    int64_t n = (int64_t)(b->bytes / sizeof(float) / (size_t)width / items);
    snprintf(options, sizeof options, "-DF=float -DW=%d%s", width, pieces ? " -DPIECES" : "");
    NORNI_TRY(kernel_for(b, "peak_copy", options, &k));
    norn_status s = norni_kernel_set_buffer(k, 0, b->x);
    if (s == NORN_OK)
        s = norni_kernel_set_buffer(k, 1, b->y);
    if (s == NORN_OK)
        s = norni_kernel_set_value(k, 2, &n, sizeof n);
    if (s == NORN_OK)
        s = best_time(b, k, items, work_group(b), &seconds);
    norni_kernel_free(k);
    NORNI_TRY(s);
    double rate = 2.0 * (double)n * width * 4 * (double)items / seconds * 1e-9;
    *gbytes_s = rate > *gbytes_s ? rate : *gbytes_s;
    return NORN_OK;
}

static norn_status local_rate(const bed *b, int width, double *gbytes_s) {
    char options[64];
    norni_kernel *k;
    size_t items = work_items(b);
    double seconds = 1;
    float sum = 0;
    int n = 4000000 / width;
    snprintf(options, sizeof options, "-DF=float -DW=%d -DLEN=%d", width, 4096 / width / 4);
    NORNI_TRY(kernel_for(b, "peak_local", options, &k));
    n = b->cpu ? n * 4 : 4096;
    norn_status s = norni_kernel_set_buffer(k, 0, b->y);
    if (s == NORN_OK)
        s = norni_kernel_set_value(k, 1, &n, sizeof n);
    if (s == NORN_OK)
        s = best_time(b, k, items, work_group(b), &seconds);
    if (s == NORN_OK)
        s = norn_buffer_read(b->y, 0, &sum, sizeof sum);
    norni_kernel_free(k);
    NORNI_TRY(s);
    double want = (double)n * width;
    if (!(fabs((double)sum - want) <= 0.01 * want))
        return norni_fail(NORN_DEVICE, "peak_local: got the sum %g (wanted %g)", (double)sum, want);
    double rate = (double)n * width * 4 * (double)items / seconds * 1e-9;
    *gbytes_s = rate > *gbytes_s ? rate : *gbytes_s;
    return NORN_OK;
}

static norn_status memory_rates(const bed *b, norn_peaks *p) {
    size_t near = (size_t)256 << 10; /* bytes that stay in the caches of any device */
    for (int width = b->cpu ? 8 : 1; width <= (b->cpu ? 16 : 4); width *= b->cpu ? 2 : 4) {
        NORNI_TRY(read_rate(b, b->bytes, 1, width, b->cpu, &p->global_gbytes_s));
        if (!b->cpu)
            NORNI_TRY(read_rate(b, b->bytes, 1, width, true, &p->global_gbytes_s));
        NORNI_TRY(read_rate(b, b->cpu ? near * b->d->compute_units : (size_t)2 << 20, b->cpu ? 400 : 50,
                            width, b->cpu, &p->cache_gbytes_s));
        NORNI_TRY(copy_rate(b, width, b->cpu, &p->copy_gbytes_s));
        NORNI_TRY(local_rate(b, width, &p->local_gbytes_s));
    }
    return NORN_OK;
}

static norn_status transfer_rates(const bed *b, norn_peaks *p) {
    unsigned char *host = norni_alloc(b->bytes);
    norn_status s = host ? NORN_OK : norni_nomem();
    for (int i = 0; i < (b->quick ? 3 : MAX_RUNS) && s == NORN_OK; i++) {
        double start = norni_bench_now_ms();
        s = norn_buffer_write(b->x, 0, host, b->bytes);
        double middle = norni_bench_now_ms();
        if (s == NORN_OK)
            s = norn_buffer_read(b->x, 0, host, b->bytes);
        double end = norni_bench_now_ms();
        p->write_gbytes_s = fmax(p->write_gbytes_s, (double)b->bytes / (middle - start) * 1e-6);
        p->read_gbytes_s = fmax(p->read_gbytes_s, (double)b->bytes / (end - middle) * 1e-6);
    }
    norni_free(host);
    return s;
}

/* ---- Launches and builds. */
static norn_status launch_times(const bed *b, norn_peaks *p) {
    norni_kernel *k;
    const norni_launch l = {.dims = 1, .global = {work_group(b), 1, 1}, .local = {work_group(b), 1, 1}};
    enum { MANY = 400 };
    NORNI_TRY(kernel_for(b, "peak_empty", "", &k));
    norn_status s = norni_kernel_set_buffer(k, 0, b->y);
    p->launch_us = p->wait_us = INFINITY;
    for (int run = 0; run < 5 && s == NORN_OK; run++) {
        double start = norni_bench_now_ms();
        for (int i = 0; i < MANY && s == NORN_OK; i++)
            s = norni_kernel_launch(k, &l);
        if (s == NORN_OK)
            s = norn_context_finish(b->ctx);
        double us = (norni_bench_now_ms() - start) * 1e3 / MANY;
        p->launch_us = run && us < p->launch_us ? us : p->launch_us;
        start = norni_bench_now_ms();
        for (int i = 0; i < 50 && s == NORN_OK; i++) {
            s = norni_kernel_launch(k, &l);
            if (s == NORN_OK)
                s = norn_context_finish(b->ctx);
        }
        us = (norni_bench_now_ms() - start) * 1e3 / 50;
        p->wait_us = run && us < p->wait_us ? us : p->wait_us;
    }
    norni_kernel_free(k);
    return s;
}

/* From source to the end of the first launch: some drivers compile only then. */
static norn_status build_time(const bed *b, norn_peaks *p) {
    char options[64];
    norni_kernel *k;
    const float one = 1;
    const int n = 1;
    const norni_launch l = {.dims = 1, .global = {work_group(b), 1, 1}, .local = {work_group(b), 1, 1}};
    double start = norni_bench_now_ms();
    snprintf(options, sizeof options, "-DF=float -DW=4 -DN=8 -DFRESH=%lld", (long long)(start * 1e3));
    NORNI_TRY(kernel_for(b, "peak_fma", options, &k));
    norn_status s = norni_kernel_set_buffer(k, 0, b->y);
    for (unsigned i = 1; i < 3 && s == NORN_OK; i++)
        s = norni_kernel_set_value(k, i, &one, sizeof one);
    if (s == NORN_OK)
        s = norni_kernel_set_value(k, 3, &n, sizeof n);
    if (s == NORN_OK)
        s = norni_kernel_launch(k, &l);
    if (s == NORN_OK)
        s = norn_context_finish(b->ctx);
    p->build_ms = norni_bench_now_ms() - start;
    norni_kernel_free(k);
    return s;
}

norn_status norn_bench_peaks(norn_session *session, bool quick, norn_peaks *out) {
    bed b = {.ctx = session->contexts[0], .quick = quick};
    static const real f32 = {"float", false, 4}, f64 = {"double", false, 8}, f16 = {"half", true, 2};
    *out = (norn_peaks){0};
    b.d = norn_context_device(b.ctx);
    if (norni_context_is_host(b.ctx))
        return norni_fail(NORN_UNSUPPORTED, "the host reference has no peaks (wanted an OpenCL device)");
    b.cpu = norni_device_is_cpu(b.d);
    b.bytes = (size_t)(b.d->cache_bytes && b.d->cache_bytes < ((size_t)64 << 20) ? 128 : 256) << 20;
    while (b.bytes > b.d->memory_bytes / 8 || b.bytes > b.d->max_alloc_bytes)
        b.bytes /= 2;
    if (quick && b.bytes > (size_t)128 << 20)
        b.bytes = (size_t)128 << 20;
    norn_status s = norn_buffer_new(b.ctx, b.bytes, &b.x);
    if (s == NORN_OK)
        s = norn_buffer_new(b.ctx, b.bytes, &b.y);
    if (s == NORN_OK)
        s = norn_buffer_fill(b.x, 0, b.bytes, 0);
    if (s == NORN_OK)
        s = norn_buffer_fill(b.y, 0, b.bytes, 0);
    if (s == NORN_OK)
        s = fma_best(&b, &f32, &out->fp32_gflops);
    if (s == NORN_OK && b.d->fp64)
        s = fma_best(&b, &f64, &out->fp64_gflops);
    if (s == NORN_OK && b.d->fp16)
        s = fma_best(&b, &f16, &out->fp16_gflops);
    if (s == NORN_OK)
        s = memory_rates(&b, out);
    if (s == NORN_OK)
        s = transfer_rates(&b, out);
    if (s == NORN_OK)
        s = launch_times(&b, out);
    if (s == NORN_OK)
        s = build_time(&b, out);
    norn_buffer_free(b.x);
    norn_buffer_free(b.y);
    return s;
}

norn_status norn_device_peaks(const norn_device *d, norn_peaks *out) {
    double units = d->compute_units ? d->compute_units : 1, ghz = (d->clock_mhz ? d->clock_mhz : 1000) * 1e-3;
    bool cpu = norni_device_is_cpu(d);
    /* Fused multiply-adds that a compute unit starts in a cycle: two vector registers on CPUs, 64 to 128 lanes on GPUs. */
    double lanes = cpu ? 2.0 * (d->vector_float ? d->vector_float : 4) : 64;
    *out = (norn_peaks){
        .fp32_gflops = 2 * units * ghz * lanes,
        .global_gbytes_s = cpu                 ? (units < 8 ? 6 * units : 50)
                           : d->unified_memory ? 40
                                               : 350,
        .launch_us = cpu ? 5 : 8,
        .wait_us = cpu ? 10 : 30,
        .build_ms = 300,
        .write_gbytes_s = d->unified_memory ? 8 : 10,
        .read_gbytes_s = d->unified_memory ? 8 : 10,
    };
    out->fp64_gflops = d->fp64 ? out->fp32_gflops / (cpu ? 2 : 32) : 0;
    out->fp16_gflops = d->fp16 ? out->fp32_gflops * 2 : 0;
    out->copy_gbytes_s = out->global_gbytes_s;
    out->cache_gbytes_s = out->global_gbytes_s * 3;
    out->local_gbytes_s = units * ghz * 128;
    out->estimated = true;
    return NORN_OK;
}
