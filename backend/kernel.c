/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels, their arguments, and launches. A kernel holds references to the buffers that are its arguments:
 * OpenCL does not, and PoCL aborts on a launch whose argument is gone. */
#include "backend/internal.h"
#include "base/hash.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum { ARG_UNKNOWN, ARG_BUFFER, ARG_VALUE, ARG_LOCAL } arg_kind;
static const char *const kind_names[] = {"anything", "a buffer", "a value", "local memory"};

typedef struct {
    arg_kind wanted;     /* unknown where the driver does not tell */
    size_t wanted_bytes; /* of a value of a built-in type, else 0 */
    bool set;
    norn_buffer *buffer;
} arg;

struct norni_kernel {
    norni_program *program;
    const char *name; /* the context's copy */
    cl_kernel cl;
    unsigned n_args;
    arg *args;
    size_t max_work_group;
};

static const char *device_name(const norni_kernel *k) {
    return k->program->ctx->device.name;
}

/* "float4" is 16; 0 for names that are not built in. */
static size_t type_bytes(const char *type) {
    static const struct {
        const char *name;
        size_t bytes;
    } scalars[] = {{"char", 1}, {"uchar", 1}, {"short", 2}, {"ushort", 2}, {"half", 2},  {"int", 4},
                   {"uint", 4}, {"float", 4}, {"long", 8},  {"ulong", 8},  {"double", 8}};
    size_t n = 0;
    while (isalpha((unsigned char)type[n]))
        n++;
    long lanes = 1;
    if (type[n]) {
        char *end;
        lanes = strtol(type + n, &end, 10);
        if (*end || lanes < 2 || lanes > 16)
            return 0;
    }
    if (lanes == 3)
        lanes = 4;
    for (size_t i = 0; i < sizeof scalars / sizeof *scalars; i++)
        if (strlen(scalars[i].name) == n && !strncmp(type, scalars[i].name, n))
            return scalars[i].bytes * (size_t)lanes;
    return 0;
}

/* What the driver says of an argument: everything, where the program was built with -cl-kernel-arg-info, or
 * nothing. */
static void describe(norni_kernel *k, cl_uint i) {
    cl_kernel_arg_address_qualifier space = 0;
    char type[64] = "";
    if (NORNI_CL(clGetKernelArgInfo(k->cl, i, CL_KERNEL_ARG_ADDRESS_QUALIFIER, sizeof space, &space, NULL)) !=
        CL_SUCCESS)
        return;
    switch (space) {
    case CL_KERNEL_ARG_ADDRESS_GLOBAL:
    case CL_KERNEL_ARG_ADDRESS_CONSTANT:
        k->args[i].wanted = ARG_BUFFER;
        break;
    case CL_KERNEL_ARG_ADDRESS_LOCAL:
        k->args[i].wanted = ARG_LOCAL;
        break;
    case CL_KERNEL_ARG_ADDRESS_PRIVATE:
        k->args[i].wanted = ARG_VALUE;
        if (NORNI_CL(clGetKernelArgInfo(k->cl, i, CL_KERNEL_ARG_TYPE_NAME, sizeof type, type, NULL)) ==
            CL_SUCCESS)
            k->args[i].wanted_bytes = type_bytes(type);
        break;
    default:
        break;
    }
}

static norn_status open_kernel(norni_kernel *k, const char *name) {
    norn_context *ctx = k->program->ctx;
    const norn_device *d = &ctx->device;
    int e = CL_SUCCESS;
    NORNI_CL_NEW(k->cl, e, clCreateKernel(k->program->cl, name, &e));
    if (e == CL_INVALID_KERNEL_NAME)
        return norni_fail(NORN_INTERNAL, "%s: has no kernel '%s'", k->program->name, name);
    if (e != CL_SUCCESS)
        return norni_prefix(norni_cl_fail(d, e, "clCreateKernel", NULL), "%s: %s", k->program->name, name);
    k->name = norni_context_name(ctx, name);
    if (!k->name)
        return norni_nomem();
    cl_uint n = 0;
    e = NORNI_CL(clGetKernelInfo(k->cl, CL_KERNEL_NUM_ARGS, sizeof n, &n, NULL));
    if (e != CL_SUCCESS)
        return norni_prefix(norni_cl_fail(d, e, "clGetKernelInfo", NULL), "%s: %s", k->program->name, name);
    k->args = norni_alloc_array(n, sizeof *k->args);
    if (!k->args)
        return norni_nomem();
    k->n_args = n;
    for (cl_uint i = 0; i < n; i++)
        describe(k, i);
    if (NORNI_CL(clGetKernelWorkGroupInfo(k->cl, ctx->id, CL_KERNEL_WORK_GROUP_SIZE, sizeof k->max_work_group,
                                          &k->max_work_group, NULL)) != CL_SUCCESS ||
        !k->max_work_group)
        k->max_work_group = d->max_work_group;
    return NORN_OK;
}

norn_status norni_kernel_new(norni_program *p, const char *name, norni_kernel **out) {
    *out = NULL;
    NORNI_TRY(norni_context_check(p->ctx, name));
    norni_kernel *k = norni_alloc(sizeof *k);
    if (!k)
        return norni_nomem();
    k->program = p;
    p->refs++;
    norn_status s = open_kernel(k, name);
    if (s == NORN_OK)
        *out = k;
    else
        norni_kernel_free(k);
    return s;
}

void norni_kernel_free(norni_kernel *k) {
    if (!k)
        return;
    if (k->cl)
        clReleaseKernel(k->cl); /* before its buffers */
    for (unsigned i = 0; i < k->n_args; i++)
        norn_buffer_free(k->args[i].buffer);
    norni_free(k->args);
    norni_program_unref(k->program);
    norni_free(k);
}

size_t norni_kernel_max_work_group(const norni_kernel *k) {
    return k->max_work_group;
}

/* Arguments --------------------------------------------------------------------------------------- */
static norn_status check_arg(const norni_kernel *k, unsigned index, arg_kind kind, size_t bytes) {
    if (index >= k->n_args)
        return norni_fail(NORN_INTERNAL, "kernel %s: argument %u (wanted below %u)", k->name, index,
                          k->n_args);
    const arg *a = &k->args[index];
    if (a->wanted != ARG_UNKNOWN && a->wanted != kind)
        return norni_fail(NORN_INTERNAL, "kernel %s: argument %u: %s (wanted %s)", k->name, index,
                          kind_names[kind], kind_names[a->wanted]);
    if (a->wanted_bytes && kind == ARG_VALUE && bytes != a->wanted_bytes)
        return norni_fail(NORN_INTERNAL, "kernel %s: argument %u: %zu bytes (wanted %zu)", k->name, index,
                          bytes, a->wanted_bytes);
    return norni_context_check(k->program->ctx, k->name);
}

static norn_status set(norni_kernel *k, unsigned index, size_t bytes, const void *value, norn_buffer *b) {
    int e = NORNI_CL(clSetKernelArg(k->cl, index, bytes, value));
    if (e != CL_SUCCESS) {
        norn_status s = norni_cl_fail(&k->program->ctx->device, e, "clSetKernelArg", "argument %u, %zu bytes",
                                      index, bytes);
        norni_prefix(s, "kernel %s", k->name);
        return e == CL_INVALID_ARG_SIZE || e == CL_INVALID_ARG_VALUE ? NORN_INTERNAL : s;
    }
    norn_buffer *old = k->args[index].buffer;
    k->args[index].buffer = b ? norni_buffer_ref(b) : NULL;
    k->args[index].set = true;
    norn_buffer_free(old);
    return NORN_OK;
}

norn_status norni_kernel_set_buffer(norni_kernel *k, unsigned index, norn_buffer *b) {
    NORNI_TRY(check_arg(k, index, ARG_BUFFER, 0));
    if (b && norni_buffer_context(b) != k->program->ctx)
        return norni_fail(NORN_INTERNAL, "kernel %s: argument %u: a buffer of another context", k->name,
                          index);
    return set(k, index, sizeof(cl_mem), b ? &b->mem : NULL, b);
}

norn_status norni_kernel_set_value(norni_kernel *k, unsigned index, const void *value, size_t bytes) {
    NORNI_TRY(check_arg(k, index, ARG_VALUE, bytes));
    return set(k, index, bytes, value, NULL);
}

norn_status norni_kernel_set_local(norni_kernel *k, unsigned index, size_t bytes) {
    NORNI_TRY(check_arg(k, index, ARG_LOCAL, bytes));
    uint64_t most = k->program->ctx->device.local_bytes;
    if (!bytes || bytes > most)
        return norni_fail(NORN_INTERNAL,
                          "kernel %s: argument %u: %zu bytes of local memory (wanted 1 to %llu)", k->name,
                          index, bytes, (unsigned long long)most);
    return set(k, index, bytes, NULL, NULL);
}

norn_status norni_kernel_ready(const norni_kernel *k) {
    for (unsigned i = 0; i < k->n_args; i++)
        if (!k->args[i].set)
            return norni_fail(NORN_INTERNAL, "kernel %s: argument %u was never set", k->name, i);
    return NORN_OK;
}

/* Launches ---------------------------------------------------------------------------------------- */
static const char *sizes_text(const norni_launch *l, char *buf, size_t n) {
    snprintf(buf, n, "global %zux%zux%zu, local ", l->global[0], l->dims > 1 ? l->global[1] : 1,
             l->dims > 2 ? l->global[2] : 1);
    size_t at = strlen(buf);
    if (l->local[0])
        snprintf(buf + at, n - at, "%zux%zux%zu", l->local[0], l->dims > 1 ? l->local[1] : 1,
                 l->dims > 2 ? l->local[2] : 1);
    else
        snprintf(buf + at, n - at, "free");
    return buf;
}

static norn_status bad_launch(const norni_kernel *k, const norni_launch *l, const char *wanted,
                              size_t limit) {
    char sizes[160];
    return norni_fail(NORN_INTERNAL, "%s%skernel %s: device '%s': %s (wanted %s %zu)", l->what ? l->what : "",
                      l->what ? ": " : "", k->name, device_name(k), sizes_text(l, sizes, sizeof sizes),
                      wanted, limit);
}

static norn_status check_launch(const norni_kernel *k, const norni_launch *l) {
    if (l->dims < 1 || l->dims > 3)
        return norni_fail(NORN_INTERNAL, "kernel %s: %d dimensions (wanted 1 to 3)", k->name, l->dims);
    NORNI_TRY(norni_context_check(k->program->ctx, k->name));
    NORNI_TRY(norni_kernel_ready(k));
    if (!l->local[0])
        return NORN_OK;
    const norn_device *d = &k->program->ctx->device;
    size_t items = 1;
    for (int i = 0; i < l->dims; i++) {
        if (!l->local[i] || l->global[i] % l->local[i])
            return bad_launch(k, l, "global sizes that are multiples of the local ones, in dimension",
                              (size_t)i);
        if (d->max_work_item[i] && l->local[i] > d->max_work_item[i])
            return bad_launch(k, l, "a local size of at most", d->max_work_item[i]);
        if (l->local[i] > k->max_work_group / items)
            return bad_launch(k, l, "a work-group of at most", k->max_work_group);
        items *= l->local[i];
    }
    return NORN_OK;
}

uint64_t norni_variant(const char *kernel, const norni_launch *l) {
    uint64_t h = norni_hash_str(0, kernel);
    bool small = true;
    for (int i = 0; i < l->dims; i++) {
        h = norni_hash_u64(h, l->local[0] ? l->local[i] : l->global[i]);
        small = small && l->global[i] < NORNI_SMALL_RANGE;
    }
    return norni_hash_u64(h, small);
}

/* On an idle queue, what lies between submission and start of a kernel's first launch is its compilation. */
static norn_status count_compilation(norn_context *ctx, cl_event event) {
    cl_ulong from = 0, to = 0;
    int e = NORNI_CL(clWaitForEvents(1, &event));
    if (e != CL_SUCCESS)
        return norni_cl_fail(&ctx->device, e, "clWaitForEvents", NULL);
    e = NORNI_CL(clGetEventProfilingInfo(event, CL_PROFILING_COMMAND_SUBMIT, sizeof from, &from, NULL));
    if (e == CL_SUCCESS)
        e = NORNI_CL(clGetEventProfilingInfo(event, CL_PROFILING_COMMAND_START, sizeof to, &to, NULL));
    if (e == CL_SUCCESS && to > from)
        ctx->builds.build_ms += (double)(to - from) * 1e-6;
    return NORN_OK; /* a count that fails is no reason to */
}

norn_status norni_kernel_launch(norni_kernel *k, const norni_launch *l) {
    NORNI_TRY(check_launch(k, l));
    for (int i = 0; i < l->dims; i++)
        if (!l->global[i])
            return NORN_OK;
    norn_context *ctx = k->program->ctx;
    int e = CL_SUCCESS;
    bool first = norni_program_launches(k->program, norni_variant(k->name, l)) && ctx->timed_queue;
    cl_event event, *at = norni_profile_event(ctx, &event);
    if (ctx->watch && !ctx->profile.on)
        at = &event;
    if (first) {
        at = &event;
        e = NORNI_CL(clFinish(ctx->queue));
        if (e != CL_SUCCESS)
            return norni_cl_fail(&ctx->device, e, "clFinish", "before the first launch of kernel %s",
                                 k->name);
    }
    do {
        e = NORNI_CL(clEnqueueNDRangeKernel(ctx->queue, k->cl, (cl_uint)l->dims, NULL, l->global,
                                            l->local[0] ? l->local : NULL, 0, NULL, at));
    } while (norni_context_reclaim(ctx, e));
    if (e != CL_SUCCESS) {
        char sizes[160];
        norn_status s = norni_cl_fail(&ctx->device, e, "clEnqueueNDRangeKernel", "kernel %s, %s", k->name,
                                      sizes_text(l, sizes, sizeof sizes));
        return l->what ? norni_prefix(s, "%s", l->what) : s;
    }
    norn_status s = first ? count_compilation(ctx, event) : NORN_OK;
    if (ctx->profile.on) {
        norn_status added = norni_profile_add(ctx, NULL, event, k->name, l->what, l->flops, l->bytes);
        return s == NORN_OK ? added : s;
    }
    if (event)
        norni_context_watched(ctx, event);
    return s;
}
