/* SPDX-License-Identifier: Apache-2.0 */
/* CLBlast's GEMM: checked arguments, temporary memory from our pool, errors and profile as for our own
 * kernels. */
#include "backend/blas.h"
#include "backend/internal.h"
#include <clblast_c.h>
#include <pthread.h>
#include <stdio.h>

#define TEXT_OF(x) #x
#define TEXT(x)    TEXT_OF(x)

const char *norni_blas_name(void) {
    return "CLBlast " TEXT(CLBLAST_VERSION_MAJOR) "." TEXT(CLBLAST_VERSION_MINOR) "." TEXT(
        CLBLAST_VERSION_PATCH);
}

/* CLBlast keeps compiled programs for the whole process, and with them the OpenCL contexts. They are dropped
 * with the last of our contexts that used it: at exit, which is when CLBlast would, the driver may be gone.
 */
static pthread_mutex_t users_lock = PTHREAD_MUTEX_INITIALIZER;
static size_t users;

static void enter(norn_context *ctx) {
    if (ctx->used_blas)
        return;
    ctx->used_blas = true;
    pthread_mutex_lock(&users_lock);
    users++;
    pthread_mutex_unlock(&users_lock);
}

void norni_blas_leave(norn_context *ctx) {
    if (!ctx->used_blas)
        return;
    ctx->used_blas = false;
    pthread_mutex_lock(&users_lock);
    if (--users == 0)
        CLBlastClearCache();
    pthread_mutex_unlock(&users_lock);
}

static const char *what_of(const norni_gemm *g) {
    return g->what ? g->what : "gemm";
}

/* CLBlast's kernels index with int, so what one call reaches must lie within 2^31 elements of the buffer's
 * start. */
static norn_status check_matrix(const norni_gemm *g, char name, const norn_buffer *b, int64_t rows,
                                int64_t cols, int64_t offset, int64_t ld, int64_t stride) {
    if (offset < 0 || ld < cols || (g->batch > 1 && stride < 0))
        return norni_fail(
            NORN_INTERNAL,
            "%s: gemm: %c: offset %lld, row length %lld, stride %lld (wanted 0 or more, at least %lld, 0 or "
            "more)",
            what_of(g), name, (long long)offset, (long long)ld, (long long)stride, (long long)cols);
    int64_t most = INT32_MAX, batches = g->batch - 1;
    bool fits = offset <= most && cols <= most && (rows - 1) <= (most - cols) / ld &&
                (!batches || !stride || batches <= most / stride);
    int64_t end = fits ? offset + (rows - 1) * ld + cols + batches * stride : 0;
    if (!fits || end > most)
        return norni_fail(NORN_UNSUPPORTED,
                          "%s: gemm: %c reaches beyond 2^31 elements, which CLBlast cannot index", what_of(g),
                          name);
    size_t have = norn_buffer_bytes(b) / norni_dtype_bytes(g->dtype, 1);
    if ((uint64_t)end > have)
        return norni_fail(NORN_INTERNAL, "%s: gemm: %c ends at element %lld (wanted within the buffer's %zu)",
                          what_of(g), name, (long long)end, have);
    return NORN_OK;
}

static norn_status check(const norn_context *ctx, const norni_gemm *g) {
    NORNI_TRY(norni_context_check(ctx, what_of(g)));
    if (ctx->host)
        return norni_fail(NORN_UNSUPPORTED, "%s: device '%s' runs no CLBlast (wanted an OpenCL device)",
                          what_of(g), ctx->device.name);
    if (g->dtype != NORN_F32 && g->dtype != NORN_F64)
        return norni_fail(NORN_DTYPE, "%s: gemm: %s (wanted float or double)", what_of(g),
                          norni_dtype_name(g->dtype));
    if (g->dtype == NORN_F64 && !ctx->device.fp64)
        return norni_fail(NORN_UNSUPPORTED, "%s: device '%s' has no double precision", what_of(g),
                          ctx->device.name);
    if (g->m < 0 || g->n < 0 || g->k < 0 || g->batch < 0)
        return norni_fail(NORN_INTERNAL, "%s: gemm: M %lld, N %lld, K %lld, batch %lld (wanted 0 or more)",
                          what_of(g), (long long)g->m, (long long)g->n, (long long)g->k, (long long)g->batch);
    return NORN_OK;
}

static norn_status check_buffers(const norn_context *ctx, const norni_gemm *g) {
    if (norni_buffer_context(g->a) != ctx || norni_buffer_context(g->b) != ctx ||
        norni_buffer_context(g->c) != ctx)
        return norni_fail(NORN_INTERNAL, "%s: gemm: a buffer of another context", what_of(g));
    NORNI_TRY(check_matrix(g, 'A', g->a, g->trans_a ? g->k : g->m, g->trans_a ? g->m : g->k, g->a_offset,
                           g->lda, g->stride_a));
    NORNI_TRY(check_matrix(g, 'B', g->b, g->trans_b ? g->n : g->k, g->trans_b ? g->k : g->n, g->b_offset,
                           g->ldb, g->stride_b));
    NORNI_TRY(check_matrix(g, 'C', g->c, g->m, g->n, g->c_offset, g->ldc, g->stride_c));
    if (g->batch > 1 && g->stride_c < (g->m - 1) * g->ldc + g->n)
        return norni_fail(NORN_INTERNAL,
                          "%s: gemm: C's stride %lld lets its matrices overlap (wanted at least %lld)",
                          what_of(g), (long long)g->stride_c, (long long)((g->m - 1) * g->ldc + g->n));
    return NORN_OK;
}

typedef struct {
    CLBlastTranspose ta, tb;
    size_t m, n, k, ao, bo, co, lda, ldb, ldc;
} sizes;

static int batched(norn_context *ctx, const norni_gemm *g, const sizes *s, cl_event *event) {
    cl_command_queue *q = &ctx->queue;
    size_t sa = (size_t)g->stride_a, sb = (size_t)g->stride_b, sc = (size_t)g->stride_c,
           batch = (size_t)g->batch;
    if (g->dtype == NORN_F32)
        return (int)CLBlastSgemmStridedBatched(
            CLBlastLayoutRowMajor, s->ta, s->tb, s->m, s->n, s->k, (float)g->alpha, g->a->mem, s->ao, s->lda,
            sa, g->b->mem, s->bo, s->ldb, sb, (float)g->beta, g->c->mem, s->co, s->ldc, sc, batch, q, event);
    return (int)CLBlastDgemmStridedBatched(CLBlastLayoutRowMajor, s->ta, s->tb, s->m, s->n, s->k, g->alpha,
                                           g->a->mem, s->ao, s->lda, sa, g->b->mem, s->bo, s->ldb, sb,
                                           g->beta, g->c->mem, s->co, s->ldc, sc, batch, q, event);
}

static int single(norn_context *ctx, const norni_gemm *g, const sizes *s, cl_mem temp, cl_event *event) {
    cl_command_queue *q = &ctx->queue;
    if (g->dtype == NORN_F32)
        return (int)CLBlastSgemmWithTempBuffer(
            CLBlastLayoutRowMajor, s->ta, s->tb, s->m, s->n, s->k, (float)g->alpha, g->a->mem, s->ao, s->lda,
            g->b->mem, s->bo, s->ldb, (float)g->beta, g->c->mem, s->co, s->ldc, q, event, temp);
    return (int)CLBlastDgemmWithTempBuffer(CLBlastLayoutRowMajor, s->ta, s->tb, s->m, s->n, s->k, g->alpha,
                                           g->a->mem, s->ao, s->lda, g->b->mem, s->bo, s->ldb, g->beta,
                                           g->c->mem, s->co, s->ldc, q, event, temp);
}

/* Padded and transposed copies go to pooled memory: CLBlast itself would allocate and free some in every
 * call. */
static norn_status new_temp(norn_context *ctx, const norni_gemm *g, const sizes *s, norn_buffer **out) {
    size_t bytes = 0;
    *out = NULL;
    cl_command_queue *q = &ctx->queue;
    int e = NORNI_CL(
        (int)(g->dtype == NORN_F32
                  ? CLBlastSGemmTempBufferSize(CLBlastLayoutRowMajor, s->ta, s->tb, s->m, s->n, s->k, s->ao,
                                               s->lda, s->bo, s->ldb, s->co, s->ldc, q, &bytes)
                  : CLBlastDGemmTempBufferSize(CLBlastLayoutRowMajor, s->ta, s->tb, s->m, s->n, s->k, s->ao,
                                               s->lda, s->bo, s->ldb, s->co, s->ldc, q, &bytes)));
    if (e != CL_SUCCESS)
        return norni_cl_fail(&ctx->device, e, "CLBlastGemmTempBufferSize", "M %zu, N %zu, K %zu", s->m, s->n,
                             s->k);
    return bytes ? norn_buffer_new(ctx, bytes, out) : NORN_OK;
}

static norn_status run(norn_context *ctx, const norni_gemm *g) {
    sizes s = {g->trans_a ? CLBlastTransposeYes : CLBlastTransposeNo,
               g->trans_b ? CLBlastTransposeYes : CLBlastTransposeNo,
               (size_t)g->m,
               (size_t)g->n,
               (size_t)g->k,
               (size_t)g->a_offset,
               (size_t)g->b_offset,
               (size_t)g->c_offset,
               (size_t)g->lda,
               (size_t)g->ldb,
               (size_t)g->ldc};
    norn_buffer *temp = NULL;
    if (g->batch == 1)
        NORNI_TRY(new_temp(ctx, g, &s, &temp));
    /* The event is the last kernel's; a marker before tells where the first began. */
    cl_event before = NULL, event, *at = norni_profile_event(ctx, &event);
    int e =
        ctx->profile.on ? NORNI_CL(clEnqueueMarkerWithWaitList(ctx->queue, 0, NULL, &before)) : CL_SUCCESS;
    if (e == CL_SUCCESS) {
        do {
            e = g->batch == 1 ? NORNI_CL(single(ctx, g, &s, temp ? temp->mem : NULL, at))
                              : NORNI_CL(batched(ctx, g, &s, at));
        } while (norni_context_reclaim(ctx, e));
    }
    norn_buffer_free(temp);
    double size = (double)norni_dtype_bytes(g->dtype, 1), m = (double)g->m, n = (double)g->n,
           k = (double)g->k;
    double batch = (double)g->batch;
    if (e == CL_SUCCESS && ctx->profile.on)
        return norni_profile_add(ctx, before, event, "clblast gemm", g->what, 2 * m * n * k * batch,
                                 size * batch * (m * k + k * n + m * n * (g->beta != 0 ? 2 : 1)));
    if (before)
        clReleaseEvent(before);
    if (event)
        clReleaseEvent(event);
    if (e == CL_SUCCESS)
        return NORN_OK;
    norn_status status = norni_cl_fail(
        &ctx->device, e, "CLBlast gemm", "%s, M %zu, N %zu, K %zu, batch %lld, row lengths %zu %zu %zu",
        norni_dtype_name(g->dtype), s.m, s.n, s.k, (long long)g->batch, s.lda, s.ldb, s.ldc);
    if (e == CLBlastOpenCLBuildProgramFailure)
        status = NORN_BUILD;
    return g->what ? norni_prefix(status, "%s", g->what) : status;
}

/* K 0: C = beta * C, as a product of a zero column and a zero row, which spares a kernel of our own. */
static norn_status scale(norn_context *ctx, const norni_gemm *g) {
    if (g->beta == 1)
        return NORN_OK;
    int64_t most = g->m > g->n ? g->m : g->n;
    norn_buffer *zero;
    size_t bytes = norni_dtype_bytes(g->dtype, most);
    NORNI_TRY(norn_buffer_new(ctx, bytes, &zero));
    norni_gemm z = *g;
    z.trans_a = z.trans_b = false;
    z.k = z.lda = 1;
    z.ldb = g->n;
    z.a = z.b = zero;
    z.a_offset = z.b_offset = 0;
    z.alpha = 0;
    z.batch = 1;
    norn_status s = norni_buffer_fill_async(zero, 0, bytes, 0);
    for (int64_t i = 0; i < g->batch && s == NORN_OK; i++) {
        z.c_offset = g->c_offset + i * g->stride_c;
        s = run(ctx, &z);
    }
    norn_buffer_free(zero);
    return s;
}

norn_status norni_blas_gemm(norn_context *ctx, const norni_gemm *g) {
    NORNI_TRY(check(ctx, g));
    if (g->m == 0 || g->n == 0 || g->batch == 0)
        return NORN_OK;
    enter(ctx);
    if (g->k == 0) {
        NORNI_TRY(check_matrix(g, 'C', g->c, g->m, g->n, g->c_offset, g->ldc, g->stride_c));
        return scale(ctx, g);
    }
    NORNI_TRY(check_buffers(ctx, g));
    return run(ctx, g);
}
