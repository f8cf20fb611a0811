/* SPDX-License-Identifier: Apache-2.0 */
/* What was enqueued between norn_context_profile(on) and (off), with the times of the device's clock. */
#include "backend/internal.h"
#include <time.h>

/* Events are kept until somebody asks or this many wait: a driver's event is far larger than an entry. */
enum { MAX_PENDING = 4096 };

uint64_t norni_now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

cl_event *norni_profile_event(norn_context *ctx, cl_event *event) {
    *event = NULL;
    return ctx->profile.on && !ctx->host ? event : NULL;
}

static void release(norni_profile_pending *p) {
    if (p->before)
        clReleaseEvent(p->before);
    if (p->event)
        clReleaseEvent(p->event);
}

static uint64_t stamp(cl_event e, cl_profiling_info what) {
    cl_ulong t = 0;
    if (NORNI_CL(clGetEventProfilingInfo(e, what, sizeof t, &t, NULL)) != CL_SUCCESS)
        t = 0;
    return t;
}

/* Turns what is pending into entries; the queue must be finished. */
static norn_status resolve(norn_context *ctx) {
    norni_profile *p = &ctx->profile;
    norn_status s = NORN_OK;
    for (size_t i = 0; i < p->pending.n; i++) {
        norni_profile_pending *e = &p->pending.v[i];
        e->entry.queued_ns = stamp(e->before ? e->before : e->event, CL_PROFILING_COMMAND_QUEUED);
        e->entry.start_ns = e->before ? stamp(e->before, CL_PROFILING_COMMAND_END)
                                      : stamp(e->event, CL_PROFILING_COMMAND_START);
        e->entry.end_ns = stamp(e->event, CL_PROFILING_COMMAND_END);
        if (s == NORN_OK && !NORNI_PUSH(&p->done, e->entry))
            s = norni_nomem();
        release(e);
    }
    p->pending.n = 0;
    return s;
}

norn_status norni_profile_add(norn_context *ctx, cl_event before, cl_event event, const char *kernel,
                              const char *what, double flops, double bytes) {
    if (!event) {
        if (before)
            clReleaseEvent(before);
        return NORN_OK;
    }
    norni_profile_pending p = {.before = before, .event = event};
    p.entry =
        (norn_profile_entry){.kernel = kernel, .what = what ? what : "", .flops = flops, .bytes = bytes};
    if (!NORNI_PUSH(&ctx->profile.pending, p)) {
        release(&p);
        return norni_nomem();
    }
    if (ctx->profile.pending.n < MAX_PENDING)
        return NORN_OK;
    int e = NORNI_CL(clFinish(ctx->queue));
    return e == CL_SUCCESS ? resolve(ctx) : norni_cl_fail(&ctx->device, e, "clFinish", "for the profile");
}

norn_status norni_profile_add_host(norn_context *ctx, const char *kernel, uint64_t start_ns, double bytes) {
    if (!ctx->profile.on)
        return NORN_OK;
    norn_profile_entry e = {
        .kernel = kernel, .what = "", .queued_ns = start_ns, .start_ns = start_ns, .bytes = bytes};
    e.end_ns = norni_now_ns();
    return NORNI_PUSH(&ctx->profile.done, e) ? NORN_OK : norni_nomem();
}

void norni_profile_clear(norn_context *ctx) {
    for (size_t i = 0; i < ctx->profile.pending.n; i++)
        release(&ctx->profile.pending.v[i]);
    norni_vec_free(&ctx->profile.pending);
    norni_vec_free(&ctx->profile.done);
}

norn_status norn_context_profile(norn_context *ctx, bool on) {
    NORNI_TRY(norni_context_check(ctx, "profile"));
    if (on == ctx->profile.on)
        return NORN_OK;
    NORNI_TRY(norn_context_finish(ctx));
    if (!on) {
        ctx->profile.on = false;
        NORNI_TRY(resolve(ctx));
        return norni_context_set_queue(ctx, ctx->lazy);
    }
    norni_profile_clear(ctx);
    NORNI_TRY(norni_context_set_queue(ctx, true));
    ctx->profile.on = true;
    return NORN_OK;
}

size_t norn_context_profile_count(norn_context *ctx) {
    if (ctx->profile.pending.n && NORNI_CL(clFinish(ctx->queue)) == CL_SUCCESS)
        resolve(ctx); /* an entry that memory lacks for is not counted */
    return ctx->profile.done.n;
}

const norn_profile_entry *norn_context_profile_at(norn_context *ctx, size_t i) {
    return i < ctx->profile.done.n ? &ctx->profile.done.v[i] : NULL;
}
