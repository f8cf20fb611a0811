/* SPDX-License-Identifier: Apache-2.0 */
#include "backend/blas.h"
#include "tests/backend.h"
#include <math.h>

static double at(norn_dtype t, const void *p, int64_t i) {
    return t == NORN_F32 ? (double)((const float *)p)[i] : ((const double *)p)[i];
}

static void put(norn_dtype t, void *p, int64_t i, double v) {
    if (t == NORN_F32)
        ((float *)p)[i] = (float)v;
    else
        ((double *)p)[i] = v;
}

/* One for all tests: CLBlast compiles its kernels anew when the last context that uses it is closed. */
static norn_context *shared;

static int setup(void **state) {
    if (have_device())
        OK(norn_context_open(NULL, &shared));
    return 0;
}

static int teardown(void **state) {
    norn_context_close(shared);
    return 0;
}

static norn_context *context(void) {
    if (!shared)
        skip();
    return shared;
}

static unsigned seed = 1;
/* Halves of small integers: every sum is exact, so that results are compared for equality. */
static double number(void) {
    seed = seed * 1664525u + 1013904223u;
    return (double)(seed >> 24) / 2 - 64;
}

static norn_buffer *upload(norn_context *ctx, const void *data, size_t bytes) {
    norn_buffer *b;
    OK(norn_buffer_new(ctx, bytes, &b));
    OK(norn_buffer_write(b, 0, data, bytes));
    return b;
}

/* Runs g (sizes, lengths and offsets filled in) on numbers and compares with plain loops, element for
 * element: what lies around C must not change. C starts as NaN where beta is 0. */
static void compare(norn_context *ctx, norni_gemm g) {
    int64_t ra = g.trans_a ? g.k : g.m, rb = g.trans_b ? g.n : g.k;
    int64_t na = g.a_offset + ra * g.lda + (g.batch - 1) * g.stride_a + 1;
    int64_t nb = g.b_offset + rb * g.ldb + (g.batch - 1) * g.stride_b + 1;
    int64_t nc = g.c_offset + g.m * g.ldc + (g.batch - 1) * g.stride_c + 1;
    size_t size = norni_dtype_bytes(g.dtype, 1);
    char *a = malloc((size_t)na * size), *b = malloc((size_t)nb * size), *c = malloc((size_t)nc * size);
    char *got = malloc((size_t)nc * size);
    for (int64_t i = 0; i < na; i++)
        put(g.dtype, a, i, number());
    for (int64_t i = 0; i < nb; i++)
        put(g.dtype, b, i, number());
    for (int64_t i = 0; i < nc; i++)
        put(g.dtype, c, i, g.beta == 0 ? (double)NAN : number());
    norn_buffer *ba = upload(ctx, a, (size_t)na * size), *bb = upload(ctx, b, (size_t)nb * size);
    norn_buffer *bc = upload(ctx, c, (size_t)nc * size);
    g.a = ba;
    g.b = bb;
    g.c = bc;
    OK(norni_blas_gemm(ctx, &g));
    OK(norn_buffer_read(bc, 0, got, (size_t)nc * size));
    for (int64_t p = 0; p < g.batch; p++)
        for (int64_t i = 0; i < g.m; i++)
            for (int64_t j = 0; j < g.n; j++) {
                double s = 0;
                for (int64_t k = 0; k < g.k; k++)
                    s += at(g.dtype, a,
                            g.a_offset + p * g.stride_a + (g.trans_a ? k * g.lda + i : i * g.lda + k)) *
                         at(g.dtype, b,
                            g.b_offset + p * g.stride_b + (g.trans_b ? j * g.ldb + k : k * g.ldb + j));
                int64_t to = g.c_offset + p * g.stride_c + i * g.ldc + j;
                put(g.dtype, c, to, g.alpha * s + (g.beta == 0 ? 0 : g.beta * at(g.dtype, c, to)));
            }
    for (int64_t i = 0; i < nc; i++) {
        double x = at(g.dtype, got, i), y = at(g.dtype, c, i);
        if (x != y && !(isnan(x) && isnan(y)))
            fail_msg(
                "%s %lldx%lldx%lld batch %lld ta %d tb %d alpha %g beta %g: element %lld is %g (wanted %g)",
                norn_dtype_name(g.dtype), (long long)g.m, (long long)g.n, (long long)g.k, (long long)g.batch,
                g.trans_a, g.trans_b, g.alpha, g.beta, (long long)i, x, y);
    }
    norn_buffer_free(ba);
    norn_buffer_free(bb);
    norn_buffer_free(bc);
    free(a);
    free(b);
    free(c);
    free(got);
}

static norni_gemm sizes(norn_dtype dtype, bool ta, bool tb, int64_t m, int64_t n, int64_t k, int64_t batch,
                        int64_t gap) {
    norni_gemm g = {
        .dtype = dtype, .trans_a = ta, .trans_b = tb, .m = m, .n = n, .k = k, .batch = batch, .alpha = 1};
    g.lda = (ta ? m : k) + gap;
    g.ldb = (tb ? k : n) + gap;
    g.ldc = n + gap;
    g.a_offset = 3 * gap;
    g.b_offset = gap;
    g.c_offset = 2 * gap;
    g.stride_a = (ta ? k : m) * g.lda + gap;
    g.stride_b = (tb ? n : k) * g.ldb;
    g.stride_c = m * g.ldc + 5 * gap;
    g.what = "MatMul(test)";
    return g;
}

static void test_gemm(void **state) {
    norn_context *ctx = context();
    static const struct {
        int64_t m, n, k;
    } shapes[] = {{1, 1, 1}, {3, 5, 7}, {1, 17, 4}, {16, 1, 9}, {33, 20, 65}, {70, 130, 31}, {150, 140, 200}};
    static const double factors[][2] = {{1, 0}, {2, 1}, {-0.5, 0.25}, {0, 3}, {0, 0}};
    int64_t turn = 0;
    for (int d = 0; d < (ctx->device.fp64 ? 2 : 1); d++)
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
            for (int t = 0; t < 4; t++)
                for (size_t f = 0; f < sizeof factors / sizeof *factors; f++) {
                    norni_gemm g = sizes(d ? NORN_F64 : NORN_F32, t & 1, t >> 1, shapes[s].m, shapes[s].n,
                                         shapes[s].k, 1, turn++ % 3);
                    g.alpha = factors[f][0];
                    g.beta = factors[f][1];
                    compare(ctx, g);
                }
}

static void test_batched(void **state) {
    norn_context *ctx = context();
    for (int d = 0; d < (ctx->device.fp64 ? 2 : 1); d++)
        for (int t = 0; t < 4; t++)
            for (int64_t gap = 0; gap < 2; gap++) {
                norni_gemm g = sizes(d ? NORN_F64 : NORN_F32, t & 1, t >> 1, 18, 21, 37, 5, gap);
                g.alpha = 2;
                g.beta = gap ? 0 : -1;
                compare(ctx, g);
                g.stride_b = 0; /* one B for all */
                compare(ctx, g);
            }
}

static void test_empty(void **state) {
    norn_context *ctx = context();
    for (int d = 0; d < (ctx->device.fp64 ? 2 : 1); d++)
        for (int i = 0; i < 4; i++) { /* K 0: C = beta C */
            norni_gemm g = sizes(d ? NORN_F64 : NORN_F32, false, false, 5, 7, 0, i < 2 ? 1 : 3, i % 2);
            static const double beta[] = {0, 1, 0.5, -3};
            g.beta = beta[i];
            g.lda = 0;
            compare(ctx, g);
        }
    norn_buffer *b;
    OK(norn_buffer_new(ctx, 0, &b));
    for (int i = 0; i < 3; i++) { /* nothing to compute, in empty buffers */
        norni_gemm g = sizes(NORN_F32, false, false, i == 0 ? 0 : 3, i == 1 ? 0 : 3, 4, i == 2 ? 0 : 1, 0);
        g.a = g.b = g.c = b;
        OK(norni_blas_gemm(ctx, &g));
    }
    norn_buffer_free(b);
}

static void test_errors(void **state) {
    norn_context *ctx = context(), *other;
    norn_buffer *b, *small;
    OK(norn_buffer_new(ctx, 100 * 100 * 4, &b));
    OK(norn_buffer_new(ctx, 100 * 100 * 4 - 4, &small));
    norni_gemm ok = sizes(NORN_F32, false, false, 100, 100, 100, 1, 0), g;
    ok.a = ok.b = b;
    ok.c = b;
    g = ok;
    g.dtype = NORN_F16;
    FAILS(norni_blas_gemm(ctx, &g), NORN_DTYPE, "MatMul(test)", "float16 (wanted float or double)");
    g = ok;
    g.m = -1;
    FAILS(norni_blas_gemm(ctx, &g), NORN_INTERNAL, "M -1");
    g = ok;
    g.lda = 99;
    FAILS(norni_blas_gemm(ctx, &g), NORN_INTERNAL, "A: offset 0, row length 99");
    g = ok;
    g.c_offset = -1;
    FAILS(norni_blas_gemm(ctx, &g), NORN_INTERNAL, "C: offset -1");
    g = ok;
    g.b = small;
    FAILS(norni_blas_gemm(ctx, &g), NORN_INTERNAL,
          "B ends at element 10000 (wanted within the buffer's 9999)");
    g = ok;
    g.c_offset = 1;
    FAILS(norni_blas_gemm(ctx, &g), NORN_INTERNAL, "C ends at element 10001");
    g = ok;
    g.m = g.lda = INT64_MAX / 2;
    FAILS(norni_blas_gemm(ctx, &g), NORN_UNSUPPORTED, "2^31");
    g = ok;
    g.batch = 300000;
    FAILS(norni_blas_gemm(ctx, &g), NORN_UNSUPPORTED, "2^31");
    g = ok;
    g.m = 10;
    g.batch = 2;
    g.stride_a = g.stride_b = 0;
    g.stride_c = 999;
    FAILS(norni_blas_gemm(ctx, &g), NORN_INTERNAL, "C's stride 999", "1000");
    OK(norn_context_open(NULL, &other));
    norn_buffer *foreign;
    OK(norn_buffer_new(other, 40000, &foreign));
    g = ok;
    g.a = foreign;
    FAILS(norni_blas_gemm(ctx, &g), NORN_INTERNAL, "another context");
    norn_buffer_free(foreign);
    norn_context_close(other);
    OK(norn_context_open("host", &other));
    FAILS(norni_blas_gemm(other, &ok), NORN_UNSUPPORTED, "host reference");
    norn_context_close(other);
    bool fp64 = ctx->device.fp64;
    ctx->device.fp64 = false;
    g = ok;
    g.dtype = NORN_F64;
    FAILS(norni_blas_gemm(ctx, &g), NORN_UNSUPPORTED, "double precision");
    ctx->device.fp64 = fp64;
    norni_pool_drop(ctx);
    norni_cl_fail_after(1, -2046); /* after the question for the size of temporary memory */
    FAILS(norni_blas_gemm(ctx, &ok), NORN_DEVICE, "MatMul(test)", "CLBlastInvalidLocalMemUsage (-2046)",
          "M 100, N 100, K 100", norn_device_name(norn_context_device(ctx)));
    assert_memory_equal(norni_blas_name(), "CLBlast 1.", 10);
    norn_buffer_free(b);
    norn_buffer_free(small);
}

static void test_profile(void **state) {
    norn_context *ctx = context();
    norn_buffer *b, *c;
    OK(norn_buffer_new(ctx, 200 * 200 * 4, &b));
    OK(norn_buffer_new(ctx, 200 * 200 * 4, &c));
    OK(norn_buffer_fill(b, 0, 200 * 200 * 4, 0));
    OK(norn_buffer_fill(c, 0, 200 * 200 * 4, 0));
    norni_gemm g = sizes(NORN_F32, true, false, 200, 200, 200, 1, 0);
    g.a = g.b = b;
    g.c = c;
    OK(norni_blas_gemm(ctx, &g));
    OK(norn_context_profile(ctx, true));
    OK(norni_blas_gemm(ctx, &g));
    g.m = g.n = g.k = 100;
    g.lda = g.ldb = g.ldc = 100;
    g.stride_a = g.stride_b = g.stride_c = 10000;
    g.batch = 4;
    g.beta = 1;
    OK(norni_blas_gemm(ctx, &g));
    OK(norn_context_profile(ctx, false));
    assert_int_equal(norn_context_profile_count(ctx), 2);
    const norn_profile_entry *e = norn_context_profile_at(ctx, 0), *f = norn_context_profile_at(ctx, 1);
    assert_string_equal(e->kernel, "clblast gemm");
    assert_string_equal(e->what, "MatMul(test)");
    assert_true(e->flops == 2.0 * 200 * 200 * 200 && e->bytes == 4.0 * 3 * 200 * 200);
    assert_true(f->flops == 2.0 * 4 * 1e6 && f->bytes == 4.0 * 4 * 4 * 1e4);
    assert_true(e->queued_ns <= e->start_ns && e->start_ns < e->end_ns && e->end_ns <= f->end_ns);
    norn_buffer_free(b);
    norn_buffer_free(c);
}

static norn_status everything(void *arg) {
    norn_context *ctx = arg;
    norni_gemm g = sizes(NORN_F32, false, true, 120, 130, 140, 1, 0);
    norn_buffer *a = NULL, *b = NULL, *c = NULL;
    norn_status s = norn_buffer_new(ctx, 120 * 140 * 4, &a);
    s = s ? s : norn_buffer_new(ctx, 130 * 140 * 4, &b);
    s = s ? s : norn_buffer_new(ctx, 120 * 130 * 4, &c);
    s = s ? s : norni_buffer_fill_async(c, 0, 120 * 130 * 4, 0);
    g.a = a;
    g.b = b;
    g.c = c;
    s = s ? s : norni_blas_gemm(ctx, &g);
    g.k = 0;
    s = s ? s : norni_blas_gemm(ctx, &g);
    s = s ? s : norn_context_finish(ctx);
    norn_buffer_free(a);
    norn_buffer_free(b);
    norn_buffer_free(c);
    return s;
}

static void test_faults(void **state) {
    norn_context *ctx = context();
    assert_true(for_each_alloc_fault(everything, ctx) > 3);
    norni_pool_drop(ctx);
    assert_true(for_each_cl_fault(everything, ctx, CL_MEM_OBJECT_ALLOCATION_FAILURE) > 5);
    assert_true(for_each_cl_fault(everything, ctx, -2045) > 5);
    norn_memory_stats m;
    norn_context_memory(ctx, &m);
    assert_int_equal(m.live_bytes, 0);
}

int main(void) {
    setenv("NORN_CACHE", "0", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gemm),   cmocka_unit_test(test_batched), cmocka_unit_test(test_empty),
        cmocka_unit_test(test_errors), cmocka_unit_test(test_profile), cmocka_unit_test(test_faults),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
