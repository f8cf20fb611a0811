/* SPDX-License-Identifier: Apache-2.0 */
/* The context: opening, closing, its queue, and who holds it up.
 *
 * Buffers, kernels and programs hold a reference to their context. norn_context_close finishes the queue,
 * saves compiled programs and gives the pool back; OpenCL's own objects go with the last reference, in the
 * order that every driver stands: kernels, buffers, programs, queue, context. So things may be freed after
 * their context, in any order, but they can only be freed then. */
#include "backend/internal.h"
#include "base/file.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

norn_status norni_context_check(const norn_context *ctx, const char *where) {
    return ctx->closed
               ? norni_fail(NORN_ARG, "%s: the context of device '%s' was closed", where, ctx->device.name)
               : NORN_OK;
}

void norni_context_ref(norn_context *ctx) {
    ctx->refs++;
}

void norni_context_unref(norn_context *ctx) {
    if (--ctx->refs)
        return;
    norni_profile_clear(ctx);
    for (size_t i = 0; i < ctx->names.n; i++)
        norni_free(ctx->names.v[i]);
    norni_vec_free(&ctx->names);
    norni_vec_free(&ctx->programs);
    norni_vec_free(&ctx->pool);
    norni_cache_close(&ctx->cache);
    if (ctx->queue)
        clReleaseCommandQueue(ctx->queue);
    if (ctx->cl)
        clReleaseContext(ctx->cl);
    norni_free(ctx);
}

static norn_status new_queue(norn_context *ctx, bool timed, cl_command_queue *out) {
    int e = CL_SUCCESS;
    NORNI_CL_NEW(*out, e, clCreateCommandQueue(ctx->cl, ctx->id, timed ? CL_QUEUE_PROFILING_ENABLE : 0, &e));
    return e == CL_SUCCESS ? NORN_OK : norni_cl_fail(&ctx->device, e, "clCreateCommandQueue", NULL);
}

norn_status norni_context_set_queue(norn_context *ctx, bool timed) {
    if (ctx->host || ctx->timed_queue == timed)
        return NORN_OK;
    cl_command_queue queue;
    NORNI_TRY(new_queue(ctx, timed, &queue));
    clReleaseCommandQueue(ctx->queue);
    ctx->queue = queue;
    ctx->timed_queue = timed;
    return NORN_OK;
}

bool norni_context_reclaim(norn_context *ctx, int code) {
    if (code != CL_MEM_OBJECT_ALLOCATION_FAILURE && code != CL_OUT_OF_RESOURCES &&
        code != CL_OUT_OF_HOST_MEMORY)
        return false;
    if (!ctx->pool.n)
        return false;
    clFinish(ctx->queue); /* what still runs holds on to memory */
    norni_pool_drop(ctx);
    return true;
}

const char *norni_context_name(norn_context *ctx, const char *name) {
    for (size_t i = 0; i < ctx->names.n; i++)
        if (!strcmp(ctx->names.v[i], name))
            return ctx->names.v[i];
    char *copy = norni_strdup(name);
    if (copy && !NORNI_PUSH(&ctx->names, copy)) {
        norni_free(copy);
        return NULL;
    }
    return copy;
}

/* Half and double precision: tried out, once a process and device --------------------------------- */
static const char probe_source[] = "#ifdef HALF\n"
                                   "#pragma OPENCL EXTENSION cl_khr_fp16 : enable\n"
                                   "typedef half real;\n"
                                   "#else\n"
                                   "#pragma OPENCL EXTENSION cl_khr_fp64 : enable\n"
                                   "typedef double real;\n"
                                   "#endif\n"
                                   "__kernel void probe(__global float *x) {\n"
                                   "    real a = (real)x[0], b = (real)x[1];\n"
                                   "    x[2] = (float)(a * a + b);\n"
                                   "    x[3] = (float)((a + b) - a);\n"
                                   "}\n";

/* *ok when the kernel builds, runs and rounds as the type must: a + b rounds b to a's last place. */
static norn_status try_float(norn_context *ctx, bool half, bool *ok) {
    float x[4] = {half ? 1025.0f : 0x1.000002p26f, half ? 0.75f : 0x1p-20f, 0, 0};
    /* half: 1025 + 0.75 becomes 1026; double: 2^-20 fits beside 2^26, which float would lose. */
    const float wanted = half ? 1.0f : 0x1p-20f;
    norni_program *p = NULL;
    norni_kernel *k = NULL;
    norn_buffer *b = NULL;
    norni_program_source src = {half ? "probe of halves" : "probe of doubles", probe_source,
                                half ? "-DHALF" : ""};
    norni_launch l = {.dims = 1, .global = {1, 1, 1}, .local = {1, 1, 1}};
    norn_status s = norni_programs_get(ctx, &src, 1, &p);
    s = s == NORN_OK ? norni_kernel_new(p, "probe", &k) : s;
    s = s == NORN_OK ? norn_buffer_new(ctx, sizeof x, &b) : s;
    s = s == NORN_OK ? norn_buffer_write(b, 0, x, sizeof x) : s;
    s = s == NORN_OK ? norni_kernel_set_buffer(k, 0, b) : s;
    s = s == NORN_OK ? norni_kernel_launch(k, &l) : s;
    s = s == NORN_OK ? norn_buffer_read(b, 0, x, sizeof x) : s;
    norni_kernel_free(k);
    norn_buffer_free(b);
    *ok = s == NORN_OK && x[3] == wanted;
    return s == NORN_BUILD ? NORN_OK : s; /* what does not build is an answer, not a failure */
}

/* Verdicts live as long as the process: device ids of root devices do too. */
typedef struct {
    cl_device_id id;
    bool fp16, fp64;
} verdict;
static pthread_mutex_t verdicts_lock = PTHREAD_MUTEX_INITIALIZER;
static verdict verdicts[64];
static size_t n_verdicts;

static norn_status verify_floats(norn_context *ctx) {
    norn_device *d = &ctx->device;
    bool want64 = d->fp64 && !norni_device_is_cpu(d); /* every CPU has doubles: no build for that */
    if (!d->fp16 && !want64)
        return NORN_OK;
    pthread_mutex_lock(&verdicts_lock);
    size_t i = 0;
    while (i < n_verdicts && verdicts[i].id != ctx->id)
        i++;
    bool known = i < n_verdicts;
    verdict v = known ? verdicts[i] : (verdict){.id = ctx->id, .fp64 = d->fp64};
    pthread_mutex_unlock(&verdicts_lock);
    if (!known) {
        if (d->fp16)
            NORNI_TRY(try_float(ctx, true, &v.fp16));
        if (want64)
            NORNI_TRY(try_float(ctx, false, &v.fp64));
        pthread_mutex_lock(&verdicts_lock);
        if (n_verdicts < sizeof verdicts / sizeof *verdicts)
            verdicts[n_verdicts++] = v; /* twice by two threads does no harm */
        pthread_mutex_unlock(&verdicts_lock);
        ctx->builds = (norn_build_stats){0}; /* these count what the caller asked for */
    }
    d->fp16 = v.fp16;
    d->fp64 = v.fp64;
    return NORN_OK;
}

/* Open and close ---------------------------------------------------------------------------------- */
/* As many as there are cores. Oclgrind 21.10 crashes when two threads build. */
static unsigned build_threads(const norn_device *d) {
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    const char *own = getenv("NORN_BUILD_THREADS");
    if (own && atoi(own) > 0)
        return (unsigned)atoi(own);
    return cores < 1 || norni_text_has(d->name, "oclgrind") || norni_text_has(d->vendor, "oclgrind")
               ? 1
               : (unsigned)cores;
}

static norn_status open_device(norn_context *ctx) {
    const norn_device *d = &ctx->device;
    const char *why = norni_device_unusable(d);
    if (why)
        return norni_fail(NORN_UNSUPPORTED, "device '%s': cannot be used: %s", d->name, why);
    cl_context_properties properties[] = {CL_CONTEXT_PLATFORM, (cl_context_properties)ctx->platform, 0};
    int e = CL_SUCCESS;
    NORNI_CL_NEW(ctx->cl, e, clCreateContext(properties, 1, &ctx->id, NULL, NULL, &e));
    if (e != CL_SUCCESS)
        return norni_cl_fail(d, e, "clCreateContext", NULL);
    /* Time stamps cost 0.4 us of 4 us a launch on PoCL; there they tell what the first launches spend on
     * compiling. */
    ctx->lazy =
        norni_text_has(d->platform, "Portable Computing Language") || norni_text_has(d->version, "PoCL");
    ctx->timed_queue = ctx->lazy;
    ctx->large_pages =
        d->type == NORN_DEVICE_CPU && (ctx->lazy || norni_text_has(d->platform, "Intel(R) OpenCL"));
    ctx->build_threads = build_threads(d);
    NORNI_TRY(new_queue(ctx, ctx->timed_queue, &ctx->queue));
    ctx->pool_cap_bytes = (size_t)(d->memory_bytes / 4 < SIZE_MAX / 4 ? d->memory_bytes / 4 : SIZE_MAX / 4);
    norni_cache_open(&ctx->cache, d, ctx->id);
    return norni_prefix(verify_floats(ctx), "trying halves and doubles");
}

/* NORN_PLAN_AS=FILE: plans are made for the kind of device that a file in the form of norn_device_print describes, as far
 * as this one can run them, so that kernels for devices that are not here can be tried. */
static norn_status plan_as(norn_device *d) {
    const char *path = getenv("NORN_PLAN_AS");
    unsigned char *text;
    size_t bytes;
    norn_device *as;
    if (!path || !*path || d->type == NORN_DEVICE_HOST)
        return NORN_OK;
    NORNI_TRY(norni_prefix(norni_file_read(path, 1 << 16, &text, &bytes), "NORN_PLAN_AS"));
    norn_status s = norni_prefix(norn_device_parse((const char *)text, &as), "NORN_PLAN_AS: %s", path);
    norni_free(text);
    NORNI_TRY(s);
    memcpy(d->name, as->name, sizeof d->name);
    d->type = as->type;
    d->compute_units = as->compute_units;
    d->local_dedicated = as->local_dedicated;
    d->vector_float = as->vector_float;
    d->unified_memory = as->unified_memory;
    d->cache_bytes = as->cache_bytes;
    d->fp16 = d->fp16 && as->fp16;
    d->fp64 = d->fp64 && as->fp64;
    d->local_bytes = as->local_bytes < d->local_bytes ? as->local_bytes : d->local_bytes;
    d->max_work_group = as->max_work_group < d->max_work_group ? as->max_work_group : d->max_work_group;
    for (int i = 0; i < 3; i++)
        if (as->max_work_item[i] < d->max_work_item[i])
            d->max_work_item[i] = as->max_work_item[i];
    norn_device_free(as);
    return NORN_OK;
}

norn_status norni_context_open_at(const norn_devices *list, size_t index, norn_context **out) {
    *out = NULL;
    if (index >= list->n)
        return norni_fail(NORN_ARG, "context: device %zu (wanted below %zu)", index, list->n);
    norn_context *ctx = norni_alloc(sizeof *ctx);
    if (!ctx)
        return norni_nomem();
    ctx->refs = 1;
    ctx->device = list->v[index].device;
    ctx->platform = list->v[index].platform;
    ctx->id = list->v[index].id;
    ctx->host = ctx->id == NULL;
    const char *poison = getenv("NORN_POISON");
    ctx->poison = poison && *poison && strcmp(poison, "0");
    ctx->opened_ns = norni_now_ns();
    ctx->saving_share = 0.05;
    norn_status s = plan_as(&ctx->device);
    if (s == NORN_OK && !ctx->host)
        s = open_device(ctx);
    if (s == NORN_OK) {
        *out = ctx;
        return NORN_OK;
    }
    norn_context_close(ctx);
    return s;
}

norn_status norn_context_open(const char *spec, norn_context **out) {
    *out = NULL;
    norn_devices *list = NULL;
    NORNI_TRY(norn_devices_list(&list));
    size_t index = 0, n = 0;
    norn_status s = norn_devices_pick(list, spec, 1, &index, &n);
    if (s == NORN_OK)
        s = norni_context_open_at(list, index, out);
    norn_devices_free(list);
    return s;
}

void norn_context_close(norn_context *ctx) {
    if (!ctx || ctx->closed)
        return;
    ctx->profile.on = false;
    if (ctx->last)
        clReleaseEvent(ctx->last);
    ctx->last = NULL;
    ctx->watch = false;
    if (ctx->queue) {
        clFinish(ctx->queue);
        norni_programs_save(ctx, 0);
        norni_blas_leave(ctx);
    }
    ctx->closed = true;
    norni_programs_drop(ctx);
    norni_pool_drop(ctx);
    norni_context_unref(ctx);
}

const norn_device *norn_context_device(const norn_context *ctx) {
    return &ctx->device;
}
bool norni_context_is_host(const norn_context *ctx) {
    return ctx->host;
}

void norni_context_watch(norn_context *ctx) {
    ctx->watch = !ctx->host && !ctx->profile.on;
}

void norni_context_watched(norn_context *ctx, cl_event event) {
    cl_event out = event;
    if (ctx->watch) {
        out = ctx->last;
        ctx->last = event;
    }
    if (out)
        clReleaseEvent(out);
}

/* An error is left to clFinish. */
static void look(norn_context *ctx) {
    enum { LOOK_NS = 200000 };
    cl_int state = CL_QUEUED;
    clFlush(ctx->queue);
    for (uint64_t start = norni_now_ns(); clGetEventInfo(ctx->last, CL_EVENT_COMMAND_EXECUTION_STATUS,
                                                         sizeof state, &state, NULL) == CL_SUCCESS &&
                                          state > CL_COMPLETE && norni_now_ns() - start < LOOK_NS;)
        ;
    clReleaseEvent(ctx->last);
    ctx->last = NULL;
}

norn_status norn_context_finish(norn_context *ctx) {
    NORNI_TRY(norni_context_check(ctx, "finish"));
    if (ctx->host)
        return NORN_OK;
    ctx->watch = false;
    if (ctx->last)
        look(ctx);
    int e = NORNI_CL(clFinish(ctx->queue));
    if (e != CL_SUCCESS)
        return norni_cl_fail(&ctx->device, e, "clFinish", NULL);
    uint64_t open_ns = norni_now_ns() - ctx->opened_ns;
    norni_programs_save(ctx, 1 + (uint64_t)((double)open_ns * ctx->saving_share)); /* never 0: no limit */
    return NORN_OK;
}

void norn_context_memory(const norn_context *ctx, norn_memory_stats *out) {
    *out = ctx->memory;
}
void norn_context_builds(const norn_context *ctx, norn_build_stats *out) {
    *out = ctx->builds;
}
