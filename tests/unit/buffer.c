/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/backend.h"

static norn_context *open_host(void) {
    norn_context *ctx;
    OK(norn_context_open("host", &ctx));
    return ctx;
}

/* Each of these runs on a device and on the host reference. */
static void on_both(void (*test)(norn_context *)) {
    norn_context *ctx = open_host();
    test(ctx);
    norn_context_close(ctx);
    ctx = open_context();
    test(ctx);
    norn_context_close(ctx);
}

static void fill_random(unsigned char *p, size_t n, unsigned seed) {
    for (size_t i = 0; i < n; i++)
        p[i] = (unsigned char)((seed = seed * 1664525u + 1013904223u) >> 24);
}

static void transfers(norn_context *ctx) {
    static const size_t sizes[] = {1, 3, 255, 256, 257, 4099, 100000, (1u << 20) + 13};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        size_t n = sizes[s];
        unsigned char *a = malloc(n), *b = malloc(n);
        fill_random(a, n, (unsigned)n);
        norn_buffer *x, *y;
        OK(norn_buffer_new(ctx, n, &x));
        OK(norn_buffer_new(ctx, n, &y));
        assert_int_equal(norn_buffer_bytes(x), n);
        assert_ptr_equal(norni_buffer_context(x), ctx);
        OK(norn_buffer_write(x, 0, a, n));
        OK(norn_buffer_read(x, 0, b, n));
        assert_memory_equal(a, b, n);
        OK(norn_buffer_write(x, n / 2, a, n - n / 2)); /* at odd places */
        memmove(a + n / 2, a, n - n / 2);
        OK(norn_buffer_read(x, n / 3, b, n - n / 3));
        assert_memory_equal(a + n / 3, b, n - n / 3);
        OK(norn_buffer_fill(y, 0, n, 7));
        OK(norn_buffer_copy(x, n / 3, y, n / 4, n / 5));
        OK(norn_buffer_read(y, 0, b, n));
        for (size_t i = 0; i < n; i++)
            assert_int_equal(b[i], i >= n / 4 && i < n / 4 + n / 5 ? a[n / 3 + i - n / 4] : 7);
        OK(norni_buffer_fill_async(y, 0, n, 1));
        OK(norni_buffer_write_async(y, 0, a, n));
        OK(norni_buffer_fill_async(y, n - 1, 1, 0x55));
        OK(norni_buffer_copy_async(y, n - 1, x, 0, 1));
        unsigned char last = 0;
        OK(norni_buffer_read_async(x, 0, &last, 1));
        OK(norn_context_finish(ctx));
        assert_int_equal(last, 0x55);
        norn_buffer_free(x);
        norn_buffer_free(y);
        free(a);
        free(b);
    }
}

static void test_transfers(void **state) {
    on_both(transfers);
}

static void ranges(norn_context *ctx) {
    norn_buffer *b, *e;
    char d[200] = {0};
    OK(norn_buffer_new(ctx, 100, &b));
    OK(norn_buffer_new(ctx, 0, &e));
    assert_int_equal(norn_buffer_bytes(e), 0);
    OK(norn_buffer_write(e, 0, d, 0));
    OK(norn_buffer_read(b, 100, d, 0));
    OK(norn_buffer_fill(b, 100, 0, 1));
    OK(norn_buffer_copy(b, 100, e, 0, 0));
    FAILS(norn_buffer_write(e, 0, d, 1), NORN_ARG, "write", "1 bytes at 0", "within 0");
    FAILS(norn_buffer_write(b, 1, d, 100), NORN_ARG, "100 bytes at 1", "within 100");
    FAILS(norn_buffer_write(b, SIZE_MAX, d, 2), NORN_ARG, "write");
    FAILS(norn_buffer_read(b, 101, d, 0), NORN_ARG, "read");
    FAILS(norn_buffer_read(b, 2, d, SIZE_MAX), NORN_ARG, "read");
    FAILS(norn_buffer_fill(b, 50, 51, 0), NORN_ARG, "fill");
    FAILS(norn_buffer_copy(b, 0, e, 0, 1), NORN_ARG, "copy to");
    FAILS(norn_buffer_copy(b, 50, b, 0, 51), NORN_ARG, "copy from");
    FAILS(norn_buffer_copy(b, 0, b, 9, 10), NORN_ARG, "ranges apart");
    OK(norn_buffer_copy(b, 0, b, 10, 10));
    norn_buffer_free(b);
    norn_buffer_free(e);
    norn_buffer_free(NULL);
}

static void test_ranges(void **state) {
    on_both(ranges);
}

static void subs(norn_context *ctx) {
    size_t align = norn_context_device(ctx)->base_align_bytes, n = 8 * align;
    unsigned char *a = malloc(n), *b = malloc(n);
    fill_random(a, n, 5);
    norn_buffer *whole, *part, *inner, *tail, *none;
    OK(norn_buffer_new(ctx, n, &whole));
    OK(norn_buffer_write(whole, 0, a, n));
    OK(norni_buffer_sub(whole, 2 * align, 4 * align, &part));
    OK(norni_buffer_sub(part, align, 2 * align + 1, &inner)); /* a part of a part */
    OK(norni_buffer_sub(whole, 7 * align, align, &tail));
    assert_int_equal(norn_buffer_bytes(inner), 2 * align + 1);
    OK(norn_buffer_read(inner, 1, b, 2 * align));
    assert_memory_equal(b, a + 3 * align + 1, 2 * align);
    OK(norn_buffer_fill(inner, 0, 2 * align + 1, 9));
    memset(a + 3 * align, 9, 2 * align + 1);
    OK(norn_buffer_copy(part, 0, tail, 0, align)); /* between parts of one buffer */
    memcpy(a + 7 * align, a + 2 * align, align);
    OK(norn_buffer_read(whole, 0, b, n));
    assert_memory_equal(a, b, n);
    FAILS(norn_buffer_copy(part, 0, inner, 1, align + 2), NORN_ARG, "ranges apart");
    FAILS(norn_buffer_read(inner, 0, b, 2 * align + 2), NORN_ARG, "within");
    norn_buffer *no = whole;
    FAILS(norni_buffer_sub(part, 0, 4 * align + 1, &no), NORN_ARG, "sub-buffer", "of a buffer of");
    assert_null(no);
    FAILS(norni_buffer_sub(part, 4 * align + 1, 0, &no), NORN_ARG, "sub-buffer");
    if (align > 1)
        FAILS(norni_buffer_sub(part, align - 1, 1, &no), NORN_ARG, "wanted a multiple of");
    OK(norni_buffer_sub(whole, n, 0, &none)); /* nothing, at the end */
    assert_int_equal(norn_buffer_bytes(none), 0);
    OK(norni_buffer_sub(none, 0, 0, &no));
    norn_buffer_free(no);
    norn_buffer_free(none);
    /* Parts keep the whole alive. */
    norn_buffer_free(whole);
    norn_buffer_free(part);
    OK(norn_buffer_read(tail, 0, b, align));
    assert_memory_equal(a + 7 * align, b, align);
    norn_memory_stats m;
    norn_context_memory(ctx, &m);
    assert_true(m.live_bytes >= n);
    norn_buffer_free(inner);
    norn_buffer *same = norni_buffer_ref(tail);
    norn_buffer_free(tail);
    OK(norn_buffer_read(same, 0, b, align));
    norn_buffer_free(same);
    norn_context_memory(ctx, &m);
    assert_int_equal(m.live_bytes, 0);
    free(a);
    free(b);
}

static void test_subs(void **state) {
    on_both(subs);
}

static void test_pool(void **state) {
    norn_context *ctx = open_context();
    norn_memory_stats m;
    norn_buffer *b[40];
    for (int i = 0; i < 40; i++)
        OK(norn_buffer_new(ctx, 1000 + (size_t)i, &b[i]));
    norn_context_memory(ctx, &m);
    uint64_t first = m.live_bytes;
    assert_true(first >= 40 * 1000 && first < 40 * 1300);
    assert_int_equal(m.pooled_bytes, 0);
    for (int i = 0; i < 40; i++)
        norn_buffer_free(b[i]);
    norn_context_memory(ctx, &m);
    assert_int_equal(m.live_bytes, 0);
    assert_int_equal(m.pooled_bytes, first);
    assert_int_equal(m.peak_bytes, first);
    for (int i = 0; i < 40; i++) /* the same sizes again: nothing new is allocated */
        OK(norn_buffer_new(ctx, 1000 + (size_t)i, &b[i]));
    norn_context_memory(ctx, &m);
    assert_int_equal(m.live_bytes, first);
    assert_int_equal(m.pooled_bytes, 0);
    assert_int_equal(m.peak_bytes, first);
    for (int i = 0; i < 40; i++)
        norn_buffer_free(b[i]);
    /* A lower limit holds for what is given back. */
    ctx->pool_cap_bytes = (size_t)first / 2;
    norn_buffer *big;
    OK(norn_buffer_new(ctx, 5000, &big));
    norn_buffer_free(big);
    norn_context_memory(ctx, &m);
    assert_true(m.pooled_bytes <= first / 2 && m.pooled_bytes >= 5000);
    assert_int_equal(m.live_bytes, 0);
    OK(norn_buffer_new(ctx, (size_t)first, &big)); /* larger than the limit: not kept */
    norn_buffer_free(big);
    norn_context_memory(ctx, &m);
    assert_true(m.pooled_bytes <= first / 2);
    for (int i = 0; i < 3000; i++) { /* many sizes: their number is limited too */
        OK(norn_buffer_new(ctx, (size_t)i * 7, &big));
        norn_buffer_free(big);
    }
    norn_context_memory(ctx, &m);
    assert_true(m.pooled_bytes <= first / 2);
    norn_context_close(ctx);
}

static void test_recycled_in_order(void **state) {
    /* Memory goes to the pool and out again while commands on it are queued. */
    norn_context *ctx = open_context();
    enum { N = 1 << 20 };
    unsigned char *out = malloc(N);
    norn_buffer *keep;
    OK(norn_buffer_new(ctx, N, &keep));
    for (int i = 0; i < 50; i++) {
        norn_buffer *t;
        OK(norn_buffer_new(ctx, N, &t));
        OK(norni_buffer_fill_async(t, 0, N, (uint8_t)i));
        OK(norni_buffer_copy_async(t, 0, keep, 0, N));
        norn_buffer_free(t);
    }
    norn_memory_stats m;
    norn_context_memory(ctx, &m);
    assert_true(m.peak_bytes < 3 * N);
    OK(norn_buffer_read(keep, 0, out, N));
    assert_int_equal(out[0], 49);
    assert_int_equal(out[N - 1], 49);
    norn_buffer_free(keep);
    norn_context_close(ctx);
    free(out);
}

static void test_too_large(void **state) {
    norn_context *ctx = open_context();
    uint64_t most = norn_device_max_alloc_bytes(norn_context_device(ctx));
    norn_buffer *b;
    char number[32], limit[32];
    snprintf(limit, sizeof limit, "%llu", (unsigned long long)most);
    snprintf(number, sizeof number, "%llu", (unsigned long long)most + 1);
    FAILS(norn_buffer_new(ctx, (size_t)most + 1, &b), NORN_NOMEM, number, limit);
    assert_null(b);
    FAILS(norn_buffer_new(ctx, SIZE_MAX, &b), NORN_NOMEM, limit);
    norn_memory_stats m;
    norn_context_memory(ctx, &m);
    assert_int_equal(m.live_bytes, 0);
    norn_context_close(ctx);
    ctx = open_host();
    FAILS(norn_buffer_new(ctx, SIZE_MAX / 2, &b), NORN_NOMEM, "host reference");
    norn_context_close(ctx);
}

static void test_reclaim(void **state) {
    norn_context *ctx = open_context();
    norn_buffer *b;
    norn_memory_stats m;
    static const int codes[] = {CL_MEM_OBJECT_ALLOCATION_FAILURE, CL_OUT_OF_RESOURCES, CL_OUT_OF_HOST_MEMORY};
    for (int i = 0; i < 3; i++) {
        OK(norn_buffer_new(ctx, 1 << 16, &b));
        norn_buffer_free(b);
        norni_cl_fail_after(0, codes[i]);
        OK(norn_buffer_new(ctx, 1 << 18, &b)); /* after the pool was given back */
        assert_false(norni_cl_fail_pending());
        norn_context_memory(ctx, &m);
        assert_int_equal(m.pooled_bytes, 0);
        assert_int_equal(m.live_bytes, 1 << 18);
        norn_buffer_free(b);
        norni_pool_drop(ctx);
        norni_cl_fail_after(0, codes[i]); /* nothing to give back */
        FAILS(norn_buffer_new(ctx, 1 << 18, &b), NORN_NOMEM, "clCreateBuffer", norni_cl_name(codes[i]),
              "262144 bytes");
        assert_null(b);
    }
    /* A driver may notice only when memory is used. */
    norn_buffer *spare;
    OK(norn_buffer_new(ctx, 64, &b));
    OK(norn_buffer_new(ctx, 4096, &spare));
    norn_buffer_free(spare);
    char d[64] = {1};
    norni_cl_fail_after(0, CL_MEM_OBJECT_ALLOCATION_FAILURE);
    OK(norn_buffer_write(b, 0, d, 64));
    norni_cl_fail_after(0, CL_MEM_OBJECT_ALLOCATION_FAILURE);
    FAILS(norn_buffer_write(b, 0, d, 64), NORN_NOMEM, "clEnqueueWriteBuffer", "64 bytes at 0");
    norni_cl_fail_after(0, CL_INVALID_COMMAND_QUEUE);
    FAILS(norn_buffer_read(b, 0, d, 64), NORN_DEVICE, "clEnqueueReadBuffer", "CL_INVALID_COMMAND_QUEUE (-36)",
          norn_device_name(norn_context_device(ctx)));
    norn_buffer_free(b);
    norn_context_close(ctx);
}

static void poison(norn_context *ctx) {
    unsigned char d[1000], ff[1000];
    memset(ff, 0xFF, sizeof ff);
    for (int i = 0; i < 3; i++) { /* fresh, then recycled */
        norn_buffer *b;
        OK(norn_buffer_new(ctx, sizeof d, &b));
        OK(norn_buffer_read(b, 0, d, sizeof d));
        assert_memory_equal(d, ff, sizeof d);
        OK(norn_buffer_fill(b, 0, sizeof d, 0));
        norn_buffer_free(b);
    }
    norn_tensor *t;
    int64_t dims[] = {250};
    OK(norn_tensor_new(ctx, NORN_F32, 1, dims, NULL, &t)); /* zeros are zeros all the same */
    OK(norn_tensor_read(t, d));
    for (size_t i = 0; i < sizeof d; i++)
        assert_int_equal(d[i], 0);
    norn_tensor_free(t);
}

static void test_poison(void **state) {
    setenv("NORN_POISON", "1", 1);
    on_both(poison);
    setenv("NORN_POISON", "0", 1);
    norn_context *ctx = open_host();
    assert_false(ctx->poison);
    norn_context_close(ctx);
    unsetenv("NORN_POISON");
}

/* What outlives its context can be freed, in any order, and only that. */
static void outlive(const char *spec) {
    norn_context *ctx;
    OK(norn_context_open(spec, &ctx));
    norn_buffer *b, *sub, *more;
    norn_tensor *t, *view;
    int64_t dims[] = {10, 10};
    OK(norn_buffer_new(ctx, 1 << 16, &b));
    OK(norni_buffer_sub(b, 0, 100, &sub));
    OK(norn_tensor_new(ctx, NORN_F32, 2, dims, NULL, &t));
    OK(norn_tensor_slice(t, 0, 2, 4, &view));
    norn_context_close(ctx);
    char d[400];
    FAILS(norn_buffer_read(b, 0, d, 1), NORN_ARG, "closed", norn_device_name(norn_context_device(ctx)));
    FAILS(norn_tensor_read(t, d), NORN_ARG, "closed");
    FAILS(norn_buffer_new(ctx, 1, &more), NORN_ARG, "closed");
    FAILS(norni_buffer_sub(b, 0, 1, &more), NORN_ARG, "closed");
    FAILS(norn_context_finish(ctx), NORN_ARG, "closed");
    FAILS(norn_context_profile(ctx, true), NORN_ARG, "closed");
    norn_context_close(ctx); /* again: nothing */
    norn_buffer_free(b);
    norn_tensor_free(t);
    norn_tensor_free(view);
    norn_buffer_free(sub); /* and with it the context */
}

static void test_outlive(void **state) {
    outlive("host");
    if (!have_device())
        skip();
    outlive(NULL);
    norn_context_close(NULL);
}

static void test_between_contexts(void **state) {
    norn_context *host = open_host(), *ctx = open_context();
    enum { N = 300001 };
    unsigned char *a = malloc(N), *b = malloc(N);
    fill_random(a, N, 3);
    norn_buffer *h, *d, *d2;
    OK(norn_buffer_new(host, N, &h));
    OK(norn_buffer_new(ctx, N, &d));
    OK(norn_buffer_write(h, 0, a, N));
    OK(norn_buffer_copy(h, 1, d, 2, N - 2));
    norn_context *second;
    OK(norn_context_open(NULL, &second)); /* two contexts of one device */
    OK(norn_buffer_new(second, N, &d2));
    OK(norn_buffer_copy(d, 2, d2, 0, N - 2));
    OK(norn_buffer_fill(h, 0, N, 0));
    OK(norn_buffer_copy(d2, 0, h, 1, N - 2));
    OK(norn_buffer_read(h, 1, b, N - 2));
    assert_memory_equal(a + 1, b, N - 2);
    norn_buffer_free(h);
    norn_buffer_free(d);
    norn_buffer_free(d2);
    norn_context_close(second);
    norn_context_close(ctx);
    norn_context_close(host);
    free(a);
    free(b);
}

/* All of it once, for faults; *arg is the context to use, or NULL to open one. */
static norn_status everything(void *arg) {
    norn_context *ctx = NULL;
    NORNI_TRY(norn_context_open(arg, &ctx));
    norn_buffer *a = NULL, *b = NULL, *sub = NULL;
    char d[512] = {0};
    norn_status s = norn_buffer_new(ctx, 4096, &a);
    s = s ? s : norn_buffer_new(ctx, 512, &b);
    s = s ? s : norni_buffer_sub(a, 0, 256, &sub);
    s = s ? s : norn_buffer_write(a, 0, d, 512);
    s = s ? s : norn_buffer_fill(b, 0, 512, 3);
    s = s ? s : norn_buffer_copy(b, 0, sub, 0, 256);
    s = s ? s : norn_buffer_read(a, 0, d, 512);
    s = s ? s : norn_context_finish(ctx);
    if (s == NORN_OK) {
        assert_int_equal(d[255], 3);
        assert_int_equal(d[256], 0);
    }
    norn_buffer_free(a);
    norn_buffer_free(sub);
    norn_buffer_free(b);
    norn_context_close(ctx);
    return s;
}

static void test_faults(void **state) {
    if (!have_device())
        skip();
    setenv("NORN_POISON", "1", 1);
    char host[] = "host";
    assert_true(for_each_alloc_fault(everything, NULL) > 5);
    assert_true(for_each_alloc_fault(everything, host) > 5);
    assert_true(for_each_cl_fault(everything, NULL, CL_MEM_OBJECT_ALLOCATION_FAILURE) > 10);
    assert_true(for_each_cl_fault(everything, NULL, CL_OUT_OF_RESOURCES) > 10);
    assert_true(for_each_cl_fault(everything, NULL, CL_INVALID_OPERATION) > 10);
    unsetenv("NORN_POISON");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transfers),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_subs),
        cmocka_unit_test(test_pool),
        cmocka_unit_test(test_recycled_in_order),
        cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_reclaim),
        cmocka_unit_test(test_poison),
        cmocka_unit_test(test_outlive),
        cmocka_unit_test(test_between_contexts),
        cmocka_unit_test(test_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
