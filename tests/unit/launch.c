/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/backend.h"

static const char source[] =
    "__kernel void scale(__global const float *x, __global float *y, float a, int n) {\n"
    "    int i = get_global_id(0);\n"
    "    if (i < n) y[i] = a * x[i] + ADD;\n"
    "}\n"
    "__kernel void sums(__global const float *x, __global float *y, __local float *t) {\n"
    "    int l = get_local_id(0);\n"
    "    t[l] = x[get_global_id(0)];\n"
    "    barrier(CLK_LOCAL_MEM_FENCE);\n"
    "    if (l == 0) { float s = 0; for (int i = 0; i < get_local_size(0); i++) s += t[i]; "
    "y[get_group_id(0)] = s; }\n"
    "}\n"
    "__kernel void place(__global int *y, int4 v, uchar b) {\n"
    "    int i = (get_global_id(2) * get_global_size(1) + get_global_id(1)) * get_global_size(0) + "
    "get_global_id(0);\n"
    "    y[i] = v.w + (int)b + (int)(get_local_size(0) * 100 + get_local_size(1) * 10 + get_local_size(2));\n"
    "}\n"
    "__kernel void maybe(__global const float *x, __global float *y) { y[0] = x ? x[0] : -1.0f; }\n";

static norni_program *get(norn_context *ctx, const char *options) {
    norni_program_source src = {"test.cl", source, options};
    norni_program *p;
    OK(norni_programs_get(ctx, &src, 1, &p));
    return p;
}

static norni_kernel *kernel(norni_program *p, const char *name) {
    norni_kernel *k;
    OK(norni_kernel_new(p, name, &k));
    return k;
}

static norn_buffer *buffer(norn_context *ctx, const void *data, size_t bytes) {
    norn_buffer *b;
    OK(norn_buffer_new(ctx, bytes, &b));
    if (data)
        OK(norn_buffer_write(b, 0, data, bytes));
    return b;
}

static norni_launch range(size_t global, size_t local) {
    return (norni_launch){.dims = 1, .global = {global, 1, 1}, .local = {local, 1, 1}};
}

static void test_launch(void **state) {
    norn_context *ctx = open_context();
    norni_kernel *k = kernel(get(ctx, "-DADD=1.0f"), "scale");
    float x[100], y[100], a = 2;
    int n = 100;
    for (int i = 0; i < n; i++)
        x[i] = (float)i;
    norn_buffer *bx = buffer(ctx, x, sizeof x), *by = buffer(ctx, NULL, sizeof y);
    OK(norni_kernel_set_buffer(k, 0, bx));
    OK(norni_kernel_set_buffer(k, 1, by));
    OK(norni_kernel_set_value(k, 2, &a, sizeof a));
    OK(norni_kernel_set_value(k, 3, &n, sizeof n));
    OK(norni_kernel_ready(k));
    assert_true(norni_kernel_max_work_group(k) >= 1);
    norni_launch l = range(100, 0);
    OK(norni_kernel_launch(k, &l));
    a = 3; /* arguments are those of the moment of the launch */
    OK(norni_kernel_set_value(k, 2, &a, sizeof a));
    OK(norn_buffer_read(by, 0, y, sizeof y));
    for (int i = 0; i < n; i++)
        assert_true(y[i] == 2 * x[i] + 1);
    l = range(128, 32);
    OK(norni_kernel_launch(k, &l));
    OK(norn_buffer_read(by, 0, y, sizeof y));
    for (int i = 0; i < n; i++)
        assert_true(y[i] == 3 * x[i] + 1);
    /* Two kernels of one program have arguments of their own. */
    norni_kernel *k2 = kernel(get(ctx, "-DADD=1.0f"), "scale");
    FAILS(norni_kernel_ready(k2), NORN_INTERNAL, "scale", "argument 0 was never set");
    norni_kernel_free(k2);
    /* Nothing to do is done. */
    l = range(0, 32);
    OK(norni_kernel_launch(k, &l));
    /* The kernel keeps its buffers when everybody else lets go, and the old one until the new one is in
     * place. */
    norn_buffer_free(bx);
    OK(norn_context_finish(ctx));
    bx = buffer(ctx, x, sizeof x);
    OK(norni_kernel_set_buffer(k, 0, bx));
    norn_buffer_free(bx);
    l = range(128, 16);
    OK(norni_kernel_launch(k, &l));
    OK(norn_buffer_read(by, 0, y, sizeof y));
    assert_true(y[99] == 298);
    norn_buffer_free(by);
    norni_kernel_free(k);
    norni_kernel_free(NULL);
    norn_memory_stats m;
    norn_context_memory(ctx, &m);
    assert_int_equal(m.live_bytes, 0);
    norn_context_close(ctx);
}

static void test_local_and_values(void **state) {
    norn_context *ctx = open_context();
    norni_program *p = get(ctx, "-DADD=0");
    norni_kernel *k = kernel(p, "sums");
    float x[64], y[4];
    for (int i = 0; i < 64; i++)
        x[i] = (float)i;
    norn_buffer *bx = buffer(ctx, x, sizeof x), *by = buffer(ctx, NULL, 3 * 4 * 5 * 4);
    OK(norni_kernel_set_buffer(k, 0, bx));
    OK(norni_kernel_set_buffer(k, 1, by));
    OK(norni_kernel_set_local(k, 2, 16 * sizeof(float)));
    norni_launch l = range(64, 16);
    OK(norni_kernel_launch(k, &l));
    OK(norn_buffer_read(by, 0, y, sizeof y));
    for (int i = 0; i < 4; i++)
        assert_true(y[i] == 16 * (16 * i + 7.5f));
    norni_kernel_free(k);

    k = kernel(p, "place");
    int v[4] = {0, 0, 0, 7000}, got[60];
    unsigned char b = 200;
    OK(norni_kernel_set_buffer(k, 0, by));
    OK(norni_kernel_set_value(k, 1, v, sizeof v));
    OK(norni_kernel_set_value(k, 2, &b, sizeof b));
    l = (norni_launch){.dims = 3, .global = {3, 4, 5}, .local = {3, 2, 1}};
    OK(norni_kernel_launch(k, &l));
    OK(norn_buffer_read(by, 0, got, sizeof got));
    for (int i = 0; i < 60; i++)
        assert_int_equal(got[i], 7200 + 321);
    norni_kernel_free(k);

    k = kernel(p, "maybe"); /* an argument may be no buffer at all */
    OK(norni_kernel_set_buffer(k, 0, NULL));
    OK(norni_kernel_set_buffer(k, 1, by));
    l = range(1, 1);
    OK(norni_kernel_launch(k, &l));
    OK(norn_buffer_read(by, 0, y, 4));
    assert_true(y[0] == -1);
    norni_kernel_free(k);
    norn_buffer_free(bx);
    norn_buffer_free(by);
    norn_context_close(ctx);
}

static void test_wrong_arguments(void **state) {
    norn_context *ctx = open_context(), *other;
    norni_program *p = get(ctx, "-DADD=0");
    norni_kernel *k, *sums = kernel(p, "sums"), *place = kernel(p, "place");
    FAILS(norni_kernel_new(p, "missing", &k), NORN_INTERNAL, "test.cl", "'missing'");
    assert_null(k);
    k = kernel(p, "scale");
    double d = 1;
    float f = 1, zeros[100] = {0};
    norn_buffer *b = buffer(ctx, zeros, sizeof zeros);
    FAILS(norni_kernel_set_value(k, 4, &f, 4), NORN_INTERNAL, "scale", "argument 4 (wanted below 4)");
    FAILS(norni_kernel_set_buffer(k, 4, b), NORN_INTERNAL, "argument 4");
    FAILS(norni_kernel_set_local(k, 99, 4), NORN_INTERNAL, "argument 99");
    FAILS(norni_kernel_set_value(k, 2, &d, sizeof d), NORN_INTERNAL, "argument 2", "8 bytes");
    FAILS(norni_kernel_set_value(k, 2, &f, 1), NORN_INTERNAL, "argument 2", "1 bytes");
    FAILS(norni_kernel_set_value(place, 1, &d, sizeof d), NORN_INTERNAL, "place", "argument 1");
    /* Kinds are known where the driver tells them. */
    FAILS(norni_kernel_set_value(k, 0, &f, 4), NORN_INTERNAL, "argument 0");
    FAILS(norni_kernel_set_buffer(k, 2, b), NORN_INTERNAL, "argument 2");
    FAILS(norni_kernel_set_local(k, 0, 4), NORN_INTERNAL, "argument 0");
    FAILS(norni_kernel_set_buffer(sums, 2, b), NORN_INTERNAL, "argument 2", "(wanted local memory)");
    FAILS(norni_kernel_set_local(sums, 2, 0), NORN_INTERNAL, "0 bytes of local memory");
    FAILS(norni_kernel_set_local(sums, 2, (size_t)norn_device_local_bytes(norn_context_device(ctx)) + 1),
          NORN_INTERNAL, "of local memory");
    OK(norn_context_open(NULL, &other));
    norn_buffer *foreign = buffer(other, NULL, 4);
    FAILS(norni_kernel_set_buffer(k, 0, foreign), NORN_INTERNAL, "another context");
    norn_buffer_free(foreign);
    norn_context_close(other);

    norni_launch l = range(64, 16);
    FAILS(norni_kernel_launch(k, &l), NORN_INTERNAL, "scale", "argument 0 was never set");
    OK(norni_kernel_set_buffer(k, 0, b));
    OK(norni_kernel_set_buffer(k, 1, b));
    OK(norni_kernel_set_value(k, 2, &f, 4));
    FAILS(norni_kernel_launch(k, &l), NORN_INTERNAL, "argument 3 was never set");
    OK(norni_kernel_set_value(k, 3, &(int){64}, 4));
    OK(norni_kernel_launch(k, &l));
    l.dims = 4;
    FAILS(norni_kernel_launch(k, &l), NORN_INTERNAL, "4 dimensions");
    l.dims = 0;
    FAILS(norni_kernel_launch(k, &l), NORN_INTERNAL, "0 dimensions");
    l = range(65, 16);
    l.what = "Relu(float[65])";
    FAILS(norni_kernel_launch(k, &l), NORN_INTERNAL, "Relu(float[65]): kernel scale",
          "global 65x1x1, local 16x1x1", "multiples", norn_device_name(norn_context_device(ctx)));
    l = (norni_launch){.dims = 2, .global = {64, 64, 1}, .local = {16, 0, 1}};
    FAILS(norni_kernel_launch(k, &l), NORN_INTERNAL, "local 16x0x1");
    size_t most = norni_kernel_max_work_group(k);
    l = range(most * 2, most * 2);
    FAILS(norni_kernel_launch(k, &l), NORN_INTERNAL, "at most");
    /* What the driver refuses is said with call, code, kernel, sizes and device. */
    l = range(64, 16);
    l.what = "Relu(float[64])";
    norni_pool_drop(ctx);
    norni_cl_fail_after(0, CL_OUT_OF_RESOURCES);
    FAILS(norni_kernel_launch(k, &l), NORN_DEVICE, "Relu(float[64])", "clEnqueueNDRangeKernel",
          "CL_OUT_OF_RESOURCES (-5)", "kernel scale", "global 64x1x1, local 16x1x1",
          norn_device_name(norn_context_device(ctx)));
    norn_buffer_free(buffer(ctx, NULL, 400)); /* something in the pool: given back, and once more */
    norni_cl_fail_after(0, CL_OUT_OF_RESOURCES);
    OK(norni_kernel_launch(k, &l));
    norni_kernel_free(k);
    norni_kernel_free(sums);
    norni_kernel_free(place);
    norn_buffer_free(b);
    norn_context_close(ctx);
}

static void test_build_errors(void **state) {
    norn_context *ctx = open_context();
    norni_program_source bad = {"broken.cl", "__kernel void k(__global float *x) { x[0] = nonsense; }",
                                "-DSOME=1"};
    norni_program_source two[2] = {{"test.cl", source, "-DADD=0"}, bad};
    norni_program *p[2] = {(norni_program *)ctx, NULL};
    FAILS(norni_programs_get(ctx, &bad, 1, p), NORN_BUILD, "broken.cl",
          norn_device_name(norn_context_device(ctx)), "-DSOME=1", "-cl-std=CL1.2",
          "CL_BUILD_PROGRAM_FAILURE (-11)", "nonsense");
    assert_null(p[0]);
    FAILS(norni_programs_get(ctx, two, 2, p), NORN_BUILD, "broken.cl");
    norn_build_stats st;
    norn_context_builds(ctx, &st);
    unsigned n = st.built + st.cached;
    assert_int_equal(n, 1); /* the good one is kept */
    OK(norni_programs_get(ctx, two, 1, p));
    norn_context_builds(ctx, &st);
    assert_int_equal(st.built + st.cached, n);
    /* A log of pages is cut. */
    char *pages = calloc(1, 20000);
    strcpy(pages, "__kernel void k() {\n");
    for (int i = 0; i < 300; i++)
        sprintf(pages + strlen(pages), "  undeclared_%d = %d;\n", i, i);
    strcat(pages, "}\n");
    norni_program_source log = {"pages.cl", pages, NULL};
    FAILS(norni_programs_get(ctx, &log, 1, p), NORN_BUILD, "pages.cl", "undeclared_0");
    int lines = 0;
    for (const char *c = norn_error(); *c; c++)
        lines += *c == '\n';
    assert_true(lines >= 1 && lines <= 12);
    free(pages);
    static const char *const refused[] = {"-cl-fast-relaxed-math", "-DX -cl-finite-math-only -DY",
                                          "-cl-unsafe-math-optimizations", "-cl-std=CL2.0"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        norni_program_source src = {"fast.cl", source, refused[i]};
        FAILS(norni_programs_get(ctx, &src, 1, p), NORN_ARG, "fast.cl", refused[i], "refused");
        assert_null(p[0]);
    }
    norni_cl_fail_after(0, CL_OUT_OF_HOST_MEMORY);
    norni_program_source fresh = {"fresh.cl", source, "-DADD=77"};
    FAILS(norni_programs_get(ctx, &fresh, 1, p), NORN_NOMEM, "fresh.cl", "clCreateProgramWithSource",
          "CL_OUT_OF_HOST_MEMORY");
    OK(norni_programs_get(ctx, &fresh, 1, p)); /* and then it works */
    norn_context_close(ctx);
    OK(norn_context_open("host", &ctx));
    FAILS(norni_programs_get(ctx, &fresh, 1, p), NORN_UNSUPPORTED, "host reference", "no kernels");
    norn_context_close(ctx);
}

static void test_table(void **state) {
    norn_context *ctx = open_context();
    norni_program_source src[] = {{"a", source, "-DADD=1"},
                                  {"b", source, "-DADD=2"},
                                  {"a again", source, "-DADD=1"},
                                  {"c", source, "-DADD=3"},
                                  {"b again", source, "-DADD=2"}};
    norni_program *p[5], *q[5];
    OK(norni_programs_get(ctx, src, 5, p));
    assert_ptr_equal(p[0], p[2]);
    assert_ptr_equal(p[1], p[4]);
    assert_ptr_not_equal(p[0], p[1]);
    assert_ptr_not_equal(p[0], p[3]);
    norn_build_stats st;
    norn_context_builds(ctx, &st);
    assert_int_equal(st.built + st.cached, 3);
    OK(norni_programs_get(ctx, src, 5, q));
    assert_memory_equal(p, q, sizeof p);
    OK(norni_programs_get(ctx, src, 0, q));
    norn_context_builds(ctx, &st);
    assert_int_equal(st.built + st.cached, 3);
    norn_context_close(ctx);
}

static void test_outlive(void **state) {
    norn_context *ctx = open_context();
    norni_kernel *k = kernel(get(ctx, "-DADD=1.0f"), "scale"), *k2 = kernel(get(ctx, "-DADD=1.0f"), "scale");
    float zeros[100] = {0};
    norn_buffer *b = buffer(ctx, zeros, sizeof zeros);
    OK(norni_kernel_set_buffer(k, 0, b));
    OK(norni_kernel_set_buffer(k, 1, b));
    OK(norni_kernel_set_value(k, 2, &(float){1}, 4));
    OK(norni_kernel_set_value(k, 3, &(int){100}, 4));
    norni_launch l = range(128, 16);
    OK(norni_kernel_launch(k, &l)); /* still running when the context is closed */
    norn_context_close(ctx);
    FAILS(norni_kernel_launch(k, &l), NORN_ARG, "closed");
    FAILS(norni_kernel_set_buffer(k, 0, b), NORN_ARG, "closed");
    norni_program_source src = {"test.cl", source, "-DADD=1"};
    norni_program *p;
    FAILS(norni_programs_get(ctx, &src, 1, &p), NORN_ARG, "closed");
    norn_buffer_free(b);
    norni_kernel_free(k);
    norni_kernel_free(k2);
}

static const norn_profile_entry *entry(norn_context *ctx, size_t i, const char *name, double bytes) {
    const norn_profile_entry *e = norn_context_profile_at(ctx, i);
    assert_non_null(e);
    assert_string_equal(e->kernel, name);
    assert_true(e->bytes == bytes);
    assert_true(e->queued_ns <= e->start_ns && e->start_ns <= e->end_ns && e->end_ns > 0);
    return e;
}

static void test_profile(void **state) {
    norn_context *ctx = open_context();
    norni_kernel *k = kernel(get(ctx, "-DADD=1.0f"), "scale");
    enum { N = 1 << 12 };
    float *x = calloc(N, 4);
    norn_buffer *a = buffer(ctx, x, N * 4), *b = buffer(ctx, x, N * 4);
    OK(norni_kernel_set_buffer(k, 0, a));
    OK(norni_kernel_set_buffer(k, 1, b));
    OK(norni_kernel_set_value(k, 2, &(float){1}, 4));
    OK(norni_kernel_set_value(k, 3, &(int){N}, 4));
    norni_launch l = range(N, 64);
    l.what = "Mul(float[4096], float)";
    l.flops = 2 * N;
    l.bytes = 8 * N;
    assert_int_equal(norn_context_profile_count(ctx), 0);
    for (int round = 0; round < 3; round++) {
        OK(norn_context_profile(ctx, true));
        OK(norn_context_profile(ctx, true));
        assert_int_equal(norn_context_profile_count(ctx), 0);
        OK(norn_buffer_write(a, 0, x, N * 4));
        OK(norni_buffer_fill_async(b, 0, 16, 0));
        l.local[0] = round == 2 ? 32 : 64; /* also while a first launch is being timed */
        OK(norni_kernel_launch(k, &l));
        l.what = NULL;
        OK(norni_kernel_launch(k, &l));
        l.what = "Mul(float[4096], float)";
        OK(norni_buffer_copy_async(a, 0, b, 64, 100));
        if (round == 1)
            assert_int_equal(norn_context_profile_count(ctx), 5); /* in the middle */
        OK(norn_buffer_read(b, 0, x, 4));
        OK(norn_context_profile(ctx, false));
        OK(norn_context_profile(ctx, false));
        OK(norni_kernel_launch(k, &l)); /* not recorded */
        assert_int_equal(norn_context_profile_count(ctx), 6);
        assert_string_equal(entry(ctx, 0, "write", N * 4)->what, "");
        entry(ctx, 1, "fill", 16);
        const norn_profile_entry *e = entry(ctx, 2, "scale", 8 * N);
        assert_string_equal(e->what, l.what);
        assert_true(e->flops == 2 * N);
        assert_true(e->start_ns >= norn_context_profile_at(ctx, 1)->end_ns);
        assert_string_equal(entry(ctx, 3, "scale", 8 * N)->what, "");
        entry(ctx, 4, "copy", 100);
        entry(ctx, 5, "read", 4);
        assert_null(norn_context_profile_at(ctx, 6));
    }
    OK(norn_context_profile(ctx, true));
    l.global[0] = l.local[0];
    for (int i = 0; i < 5000; i++) /* more than are kept pending */
        OK(norni_kernel_launch(k, &l));
    assert_int_equal(norn_context_profile_count(ctx), 5000);
    for (size_t i = 0; i < 5000; i++)
        entry(ctx, i, "scale", 8 * N);
    norni_kernel_free(k); /* names stay, and what is pending goes with the context */
    assert_string_equal(norn_context_profile_at(ctx, 4999)->kernel, "scale");
    OK(norn_buffer_write(a, 0, x, 4));
    norn_buffer_free(a);
    norn_buffer_free(b);
    norn_context_close(ctx);
    OK(norn_context_open("host", &ctx));
    OK(norn_context_profile(ctx, true));
    a = buffer(ctx, x, N);
    OK(norn_buffer_copy(a, 0, a, N / 2, N / 2));
    OK(norn_context_profile(ctx, false));
    assert_int_equal(norn_context_profile_count(ctx), 2);
    entry(ctx, 0, "write", N);
    entry(ctx, 1, "copy", N / 2);
    norn_buffer_free(a);
    norn_context_close(ctx);
    free(x);
}

static norn_status everything(void *arg) {
    norn_context *ctx = NULL;
    NORNI_TRY(norn_context_open(NULL, &ctx));
    norni_program *p[2];
    norni_kernel *k = NULL;
    norn_buffer *b = NULL;
    float x[64] = {1, 2};
    norni_program_source src[] = {{"test.cl", source, "-DADD=1"}, {"test.cl", source, "-DADD=2"}};
    norni_launch l = range(64, 32);
    norn_status s = norni_programs_get(ctx, src, 2, p);
    s = s ? s : norni_kernel_new(p[1], "scale", &k);
    s = s ? s : norn_buffer_new(ctx, sizeof x, &b);
    s = s ? s : norn_buffer_write(b, 0, x, sizeof x);
    s = s ? s : norni_kernel_set_buffer(k, 0, b);
    s = s ? s : norni_kernel_set_buffer(k, 1, b);
    s = s ? s : norni_kernel_set_value(k, 2, &(float){3}, 4);
    s = s ? s : norni_kernel_set_value(k, 3, &(int){64}, 4);
    s = s ? s : norni_kernel_launch(k, &l);
    s = s ? s : norn_context_profile(ctx, true);
    s = s ? s : norni_kernel_launch(k, &l);
    s = s ? s : norn_buffer_read(b, 0, x, sizeof x);
    s = s ? s : norn_context_profile(ctx, false);
    if (s == NORN_OK) {
        assert_true(x[1] == 3 * (3 * 2 + 2) + 2);
        assert_int_equal(norn_context_profile_count(ctx), 2);
    }
    norni_kernel_free(k);
    norn_buffer_free(b);
    norn_context_close(ctx);
    return s;
}

static void test_faults(void **state) {
    if (!have_device())
        skip();
    assert_true(for_each_cl_fault(everything, NULL, CL_OUT_OF_RESOURCES) > 20);
    assert_true(for_each_cl_fault(everything, NULL, CL_OUT_OF_HOST_MEMORY) > 20);
    assert_true(for_each_alloc_fault(everything, NULL) > 20);
}

int main(void) {
    setenv("NORN_CACHE", "0", 1); /* which has tests of its own */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_launch),          cmocka_unit_test(test_local_and_values),
        cmocka_unit_test(test_wrong_arguments), cmocka_unit_test(test_build_errors),
        cmocka_unit_test(test_table),           cmocka_unit_test(test_outlive),
        cmocka_unit_test(test_profile),         cmocka_unit_test(test_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
