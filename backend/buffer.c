/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers and their pool. Commands of a context run in order, so memory that goes back to the pool while
 * commands on it are still queued may be handed out at once: whatever uses it next is queued behind them. */
#include "backend/internal.h"
#include <string.h>

enum { SMALLEST = 256, MAX_POOLED = 512 };

/* Sizes in classes, so that freed memory is found again: eight a doubling below 1 MiB, 64 above (at most 1.6
 * % over). */
static size_t class_bytes(size_t bytes) {
    if (bytes <= SMALLEST)
        return SMALLEST;
    if (bytes > SIZE_MAX / 2)
        return bytes;
    size_t top = SMALLEST;
    while (top <= bytes / 2)
        top *= 2;
    size_t step = bytes < (1u << 20) ? top / 8 : top / 64;
    return (bytes + step - 1) / step * step;
}

static void count(norn_context *ctx, uint64_t live, uint64_t pooled) {
    norn_memory_stats *m = &ctx->memory;
    m->live_bytes = live;
    m->pooled_bytes = pooled;
    if (live + pooled > m->peak_bytes)
        m->peak_bytes = live + pooled;
}

static void drop_first(norn_context *ctx, size_t n) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < n; i++) {
        clReleaseMemObject(ctx->pool.v[i].mem);
        bytes += ctx->pool.v[i].bytes;
    }
    if (n)
        memmove(ctx->pool.v, ctx->pool.v + n, (ctx->pool.n - n) * sizeof *ctx->pool.v);
    ctx->pool.n -= n;
    ctx->memory.pooled_bytes -= bytes;
}

void norni_pool_drop(norn_context *ctx) {
    drop_first(ctx, ctx->pool.n);
}

static cl_mem take_pooled(norn_context *ctx, size_t bytes) {
    for (size_t i = ctx->pool.n; i-- > 0;) {
        if (ctx->pool.v[i].bytes != bytes)
            continue;
        cl_mem mem = ctx->pool.v[i].mem;
        memmove(ctx->pool.v + i, ctx->pool.v + i + 1, (ctx->pool.n - i - 1) * sizeof *ctx->pool.v);
        ctx->pool.n--;
        count(ctx, ctx->memory.live_bytes + bytes, ctx->memory.pooled_bytes - bytes);
        return mem;
    }
    return NULL;
}

static void give_pooled(norn_context *ctx, cl_mem mem, size_t bytes) {
    ctx->memory.live_bytes -= bytes;
    norni_pooled p = {mem, bytes};
    if (ctx->closed || bytes > ctx->pool_cap_bytes || !NORNI_PUSH(&ctx->pool, p)) {
        clReleaseMemObject(mem);
        return;
    }
    ctx->memory.pooled_bytes += bytes;
    size_t n = 0;
    uint64_t left = ctx->memory.pooled_bytes;
    while (left > ctx->pool_cap_bytes || ctx->pool.n - n > MAX_POOLED)
        left -= ctx->pool.v[n++].bytes;
    drop_first(ctx, n);
}

/* A size that the device can allocate at all. */
static norn_status check_size(const norn_device *d, size_t bytes) {
    if (bytes <= d->max_alloc_bytes)
        return NORN_OK;
    return norni_fail(NORN_NOMEM,
                      "device '%s': buffer: %zu bytes (wanted at most %llu, its largest allocation)", d->name,
                      bytes, (unsigned long long)d->max_alloc_bytes);
}

static norn_status create(norn_context *ctx, norn_buffer *b) {
    const norn_device *d = &ctx->device;
    NORNI_TRY(check_size(d, b->bytes));
    b->room = class_bytes(b->bytes);
    if (b->room > d->max_alloc_bytes)
        b->room = b->bytes ? b->bytes : 1;
    b->mem = take_pooled(ctx, b->room);
    if (b->mem)
        return NORN_OK;
    int e = CL_SUCCESS;
    b->mem = norni_large_pages_buffer(ctx, b->room);
    if (!b->mem)
        NORNI_CL_NEW(b->mem, e, clCreateBuffer(ctx->cl, CL_MEM_READ_WRITE, b->room, NULL, &e));
    if (e != CL_SUCCESS && norni_context_reclaim(ctx, e))
        NORNI_CL_NEW(b->mem, e, clCreateBuffer(ctx->cl, CL_MEM_READ_WRITE, b->room, NULL, &e));
    if (e != CL_SUCCESS) {
        b->mem = NULL;
        norni_cl_fail(d, e, "clCreateBuffer", "%zu bytes, with %llu of %llu in use", b->bytes,
                      (unsigned long long)ctx->memory.live_bytes, (unsigned long long)d->memory_bytes);
        return e == CL_OUT_OF_RESOURCES ? NORN_NOMEM : norni_cl_status(e);
    }
    count(ctx, ctx->memory.live_bytes + b->room, ctx->memory.pooled_bytes);
    return NORN_OK;
}

static norn_status create_host(norn_context *ctx, norn_buffer *b) {
    NORNI_TRY(check_size(&ctx->device, b->bytes));
    b->room = b->bytes ? b->bytes : 1;
    b->host = norni_alloc_aligned(b->room, 64);
    if (!b->host)
        return norni_fail(NORN_NOMEM, "device '%s': buffer: no memory for %zu bytes", ctx->device.name,
                          b->bytes);
    count(ctx, ctx->memory.live_bytes + b->room, 0);
    return NORN_OK;
}

norn_status norn_buffer_new(norn_context *ctx, size_t bytes, norn_buffer **out) {
    *out = NULL;
    NORNI_TRY(norni_context_check(ctx, "buffer"));
    norn_buffer *b = norni_alloc(sizeof *b);
    if (!b)
        return norni_nomem();
    b->bytes = bytes;
    b->refs = 1;
    norn_status s = ctx->host ? create_host(ctx, b) : create(ctx, b);
    if (s != NORN_OK) {
        norni_free(b);
        return s;
    }
    b->ctx = ctx;
    norni_context_ref(ctx);
    if (ctx->poison) {
        b->bytes = b->room; /* the rest of the class too */
        s = norni_buffer_fill_async(b, 0, b->room, 0xFF);
        b->bytes = bytes;
    }
    if (s != NORN_OK) {
        norn_buffer_free(b);
        return s;
    }
    *out = b;
    return NORN_OK;
}

norn_status norni_buffer_sub(norn_buffer *parent, size_t offset_bytes, size_t bytes, norn_buffer **out) {
    *out = NULL;
    norn_context *ctx = parent->ctx;
    NORNI_TRY(norni_context_check(ctx, "buffer"));
    if (offset_bytes > parent->bytes || bytes > parent->bytes - offset_bytes)
        return norni_fail(NORN_ARG, "sub-buffer: %zu bytes at %zu of a buffer of %zu", bytes, offset_bytes,
                          parent->bytes);
    size_t offset = parent->offset + offset_bytes;
    norn_buffer *root =
        parent->parent ? parent->parent : parent; /* OpenCL has no sub-buffers of sub-buffers */
    if (offset % ctx->device.base_align_bytes && bytes)
        return norni_fail(NORN_ARG, "sub-buffer: offset %zu (wanted a multiple of %zu)", offset_bytes,
                          ctx->device.base_align_bytes);
    norn_buffer *b = norni_alloc(sizeof *b);
    if (!b)
        return norni_nomem();
    b->bytes = bytes;
    b->offset = offset;
    b->refs = 1;
    if (ctx->host) {
        b->host = root->host + offset;
    } else {
        /* OpenCL has no empty regions either; where an empty one lies is all the same. */
        cl_buffer_region region = {bytes ? offset : 0, bytes ? bytes : 1};
        int e = CL_SUCCESS;
        NORNI_CL_NEW(
            b->mem, e,
            clCreateSubBuffer(root->mem, CL_MEM_READ_WRITE, CL_BUFFER_CREATE_TYPE_REGION, &region, &e));
        if (e != CL_SUCCESS) {
            norni_free(b);
            return norni_cl_fail(&ctx->device, e, "clCreateSubBuffer", "%zu bytes at %zu", bytes, offset);
        }
    }
    b->parent = norni_buffer_ref(root);
    b->ctx = ctx;
    norni_context_ref(ctx);
    *out = b;
    return NORN_OK;
}

norn_buffer *norni_buffer_whole(norn_buffer *b, size_t *offset_bytes) {
    *offset_bytes = b->offset;
    return b->parent ? b->parent : b;
}

bool norni_buffer_alone(const norn_buffer *b) {
    return b->refs == 1;
}

norn_buffer *norni_buffer_ref(norn_buffer *b) {
    b->refs++;
    return b;
}

void norn_buffer_free(norn_buffer *b) {
    if (!b || --b->refs)
        return;
    norn_context *ctx = b->ctx;
    if (b->parent) {
        if (b->mem)
            clReleaseMemObject(b->mem); /* before the memory it is a part of */
        norn_buffer_free(b->parent);
    } else if (b->mem) {
        give_pooled(ctx, b->mem, b->room);
    } else {
        ctx->memory.live_bytes -= b->room;
        norni_free(b->host);
    }
    norni_free(b);
    norni_context_unref(ctx);
}

size_t norn_buffer_bytes(const norn_buffer *b) {
    return b->bytes;
}
norn_context *norni_buffer_context(const norn_buffer *b) {
    return b->ctx;
}

/* Transfers --------------------------------------------------------------------------------------- */
static norn_status check_range(const norn_buffer *b, const char *verb, size_t offset, size_t bytes) {
    NORNI_TRY(norni_context_check(b->ctx, verb));
    if (offset > b->bytes || bytes > b->bytes - offset)
        return norni_fail(NORN_ARG, "buffer: %s: %zu bytes at %zu (wanted to end within %zu)", verb, bytes,
                          offset, b->bytes);
    return NORN_OK;
}

/* After an enqueue: the error with its sizes, or the entry in the profile. */
static norn_status enqueued(norn_context *ctx, int e, const char *call, const char *verb, cl_event event,
                            size_t offset, size_t bytes) {
    if (e != CL_SUCCESS)
        return norni_cl_fail(&ctx->device, e, call, "%zu bytes at %zu", bytes, offset);
    return norni_profile_add(ctx, NULL, event, verb, NULL, 0, (double)bytes);
}

static norn_status write_to(norn_buffer *b, size_t offset, const void *data, size_t bytes, bool wait) {
    NORNI_TRY(check_range(b, "write", offset, bytes));
    norn_context *ctx = b->ctx;
    if (!bytes)
        return NORN_OK;
    if (b->host) {
        uint64_t start = norni_now_ns();
        memcpy(b->host + offset, data, bytes);
        return norni_profile_add_host(ctx, "write", start, (double)bytes);
    }
    cl_event event, *at = norni_profile_event(ctx, &event);
    int e = CL_SUCCESS;
    do {
        e = NORNI_CL(clEnqueueWriteBuffer(ctx->queue, b->mem, wait, offset, bytes, data, 0, NULL, at));
    } while (norni_context_reclaim(ctx, e));
    return enqueued(ctx, e, "clEnqueueWriteBuffer", "write", event, offset, bytes);
}

static norn_status read_from(const norn_buffer *b, size_t offset, void *data, size_t bytes, bool wait) {
    NORNI_TRY(check_range(b, "read", offset, bytes));
    norn_context *ctx = b->ctx;
    if (!bytes)
        return NORN_OK;
    if (b->host) {
        uint64_t start = norni_now_ns();
        memcpy(data, b->host + offset, bytes);
        return norni_profile_add_host(ctx, "read", start, (double)bytes);
    }
    cl_event event, *at = norni_profile_event(ctx, &event);
    bool watch = ctx->watch && !ctx->profile.on && !wait;
    int e = CL_SUCCESS;
    if (watch)
        at = &event;
    do {
        e = NORNI_CL(clEnqueueReadBuffer(ctx->queue, b->mem, wait, offset, bytes, data, 0, NULL, at));
    } while (norni_context_reclaim(ctx, e));
    if (watch && e == CL_SUCCESS) {
        norni_context_watched(ctx, event);
        return NORN_OK;
    }
    return enqueued(ctx, e, "clEnqueueReadBuffer", "read", event, offset, bytes);
}

norn_status norn_buffer_write(norn_buffer *b, size_t offset_bytes, const void *data, size_t bytes) {
    return write_to(b, offset_bytes, data, bytes, true);
}
norn_status norni_buffer_write_async(norn_buffer *b, size_t offset_bytes, const void *data, size_t bytes) {
    return write_to(b, offset_bytes, data, bytes, false);
}
norn_status norn_buffer_read(const norn_buffer *b, size_t offset_bytes, void *data, size_t bytes) {
    return read_from(b, offset_bytes, data, bytes, true);
}
norn_status norni_buffer_read_async(const norn_buffer *b, size_t offset_bytes, void *data, size_t bytes) {
    return read_from(b, offset_bytes, data, bytes, false);
}

static norn_status wait_for(norn_context *ctx, norn_status s) {
    if (s != NORN_OK || ctx->host)
        return s;
    int e = NORNI_CL(clFinish(ctx->queue));
    return e == CL_SUCCESS ? NORN_OK : norni_cl_fail(&ctx->device, e, "clFinish", NULL);
}

/* Between devices the bytes go through host memory, a piece at a time. */
static norn_status copy_across(const norn_buffer *from, size_t from_at, norn_buffer *to, size_t to_at,
                               size_t bytes) {
    size_t piece = bytes < (16u << 20) ? bytes : 16u << 20;
    void *data = norni_alloc(piece);
    norn_status s = data ? NORN_OK : norni_nomem();
    for (size_t done = 0; done < bytes && s == NORN_OK; done += piece) {
        size_t n = bytes - done < piece ? bytes - done : piece;
        s = norn_buffer_read(from, from_at + done, data, n);
        if (s == NORN_OK)
            s = norn_buffer_write(to, to_at + done, data, n);
    }
    norni_free(data);
    return s;
}

norn_status norni_buffer_copy_async(const norn_buffer *from, size_t from_bytes, norn_buffer *to,
                                    size_t to_bytes, size_t bytes) {
    NORNI_TRY(check_range(from, "copy from", from_bytes, bytes));
    NORNI_TRY(check_range(to, "copy to", to_bytes, bytes));
    if (!bytes)
        return NORN_OK;
    norn_context *ctx = to->ctx;
    const norn_buffer *a = from->parent ? from->parent : from, *b = to->parent ? to->parent : to;
    size_t a_at = from->offset + from_bytes, b_at = to->offset + to_bytes;
    if (a == b && a_at < b_at + bytes && b_at < a_at + bytes)
        return norni_fail(NORN_ARG,
                          "buffer: copy: %zu bytes from %zu to %zu of one buffer (wanted ranges apart)",
                          bytes, a_at, b_at);
    if (from->ctx != ctx)
        return copy_across(from, from_bytes, to, to_bytes, bytes);
    if (to->host) {
        uint64_t start = norni_now_ns();
        memcpy(to->host + to_bytes, from->host + from_bytes, bytes);
        return norni_profile_add_host(ctx, "copy", start, (double)bytes);
    }
    cl_event event, *at = norni_profile_event(ctx, &event);
    int e = CL_SUCCESS;
    do {
        /* on the whole buffers: a copy between two sub-buffers of one is refused by some drivers */
        e = NORNI_CL(clEnqueueCopyBuffer(ctx->queue, a->mem, b->mem, a_at, b_at, bytes, 0, NULL, at));
    } while (norni_context_reclaim(ctx, e));
    return enqueued(ctx, e, "clEnqueueCopyBuffer", "copy", event, to_bytes, bytes);
}

norn_status norn_buffer_copy(const norn_buffer *from, size_t from_bytes, norn_buffer *to, size_t to_bytes,
                             size_t bytes) {
    return wait_for(to->ctx, norni_buffer_copy_async(from, from_bytes, to, to_bytes, bytes));
}

norn_status norni_buffer_fill_async(norn_buffer *b, size_t offset_bytes, size_t bytes, uint8_t value) {
    NORNI_TRY(check_range(b, "fill", offset_bytes, bytes));
    if (!bytes)
        return NORN_OK;
    norn_context *ctx = b->ctx;
    if (b->host) {
        uint64_t start = norni_now_ns();
        memset(b->host + offset_bytes, value, bytes);
        return norni_profile_add_host(ctx, "fill", start, (double)bytes);
    }
    cl_event event, *at = norni_profile_event(ctx, &event);
    cl_uchar16 pattern;
    memset(&pattern, value, sizeof pattern);
    size_t unit = offset_bytes % 16 == 0 && bytes % 16 == 0 ? 16
                  : offset_bytes % 4 == 0 && bytes % 4 == 0 ? 4
                                                            : 1;
    int e = CL_SUCCESS;
    do {
        e = NORNI_CL(
            clEnqueueFillBuffer(ctx->queue, b->mem, &pattern, unit, offset_bytes, bytes, 0, NULL, at));
    } while (norni_context_reclaim(ctx, e));
    return enqueued(ctx, e, "clEnqueueFillBuffer", "fill", event, offset_bytes, bytes);
}

norn_status norn_buffer_fill(norn_buffer *b, size_t offset_bytes, size_t bytes, uint8_t value) {
    return wait_for(b->ctx, norni_buffer_fill_async(b, offset_bytes, bytes, value));
}
