/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/backend.h"
#include <math.h>

/* NULL for host memory, then the host reference, then a device: each test body runs on all three. */
static void everywhere(void (*test)(norn_context *)) {
    test(NULL);
    norn_context *ctx;
    OK(norn_context_open("host", &ctx));
    test(ctx);
    norn_context_close(ctx);
    ctx = open_context();
    test(ctx);
    norn_context_close(ctx);
}

static norn_tensor *make(norn_context *ctx, norn_dtype dtype, int rank, const int64_t *dims,
                         const void *data) {
    norn_tensor *t;
    OK(norn_tensor_new(ctx, dtype, rank, dims, data, &t));
    return t;
}

static void basics(norn_context *ctx) {
    const int64_t dims[] = {2, 3};
    const float x[] = {1, 2, 3, 4, 5, 6}, z[6] = {0};
    float got[6];
    norn_tensor *t = make(ctx, NORN_F32, 2, dims, x);
    assert_int_equal(norn_tensor_dtype(t), NORN_F32);
    assert_int_equal(norn_tensor_rank(t), 2);
    assert_memory_equal(norn_tensor_dims(t), dims, sizeof dims);
    assert_int_equal(norn_tensor_elems(t), 6);
    assert_int_equal(norn_tensor_bytes(t), 24);
    assert_int_equal(norn_tensor_data(t) != NULL, ctx == NULL);
    assert_int_equal(norni_tensor_buffer(t) != NULL, ctx != NULL);
    OK(norn_tensor_read(t, got));
    assert_memory_equal(got, x, sizeof x);
    float y[] = {9, 8, 7, 6, 5, -0.0f};
    OK(norn_tensor_write(t, y));
    OK(norn_tensor_read(t, got));
    assert_memory_equal(got, y, sizeof y);
    norn_tensor_free(t);

    t = make(ctx, NORN_F32, 2, dims, NULL);
    OK(norn_tensor_read(t, got));
    assert_memory_equal(got, z, sizeof z);
    norn_tensor_free(t);

    double d;
    t = make(ctx, NORN_F64, 0, NULL, &(double){2.5}); /* a scalar */
    assert_int_equal(norn_tensor_elems(t), 1);
    OK(norn_tensor_read(t, &d));
    assert_true(d == 2.5);
    norn_tensor_free(t);
    const int64_t none[] = {3, 0, 5};
    t = make(ctx, NORN_I64, 3, none, NULL); /* no elements */
    assert_int_equal(norn_tensor_bytes(t), 0);
    OK(norn_tensor_write(t, &d));
    OK(norn_tensor_read(t, &d));
    norn_tensor *v;
    OK(norn_tensor_slice(t, 0, 3, 3, &v));
    OK(norn_tensor_read(v, &d));
    norn_tensor_free(v);
    norn_tensor_free(t);
    norn_tensor_free(NULL);
}

static void test_basics(void **state) {
    everywhere(basics);
}

static void wrong(norn_context *ctx) {
    norn_tensor *t;
    const int64_t negative[] = {2, -1}, huge[] = {INT64_MAX / 2, 5}, big[] = {INT64_MAX / 64};
    FAILS(norn_tensor_new(ctx, NORN_F32, 9, negative, NULL, &t), NORN_SHAPE, "rank 9", "0 to 8");
    FAILS(norn_tensor_new(ctx, NORN_F32, -1, negative, NULL, &t), NORN_SHAPE, "rank -1");
    FAILS(norn_tensor_new(ctx, NORN_F32, 2, negative, NULL, &t), NORN_SHAPE, "[2,-1]");
    FAILS(norn_tensor_new(ctx, NORN_F32, 2, huge, NULL, &t), NORN_SHAPE, "too many");
    FAILS(norn_tensor_new(ctx, NORN_STRING, 1, big, NULL, &t), NORN_UNSUPPORTED, "string");
    FAILS(norn_tensor_new(ctx, NORN_C64, 1, big, NULL, &t), NORN_UNSUPPORTED, "complex64");
    FAILS(norn_tensor_new(ctx, (norn_dtype)99, 1, big, NULL, &t), NORN_UNSUPPORTED, "99");
    FAILS(norn_tensor_new(ctx, NORN_F32, 1, big, NULL, &t), NORN_NOMEM, "float", "[144115188075855871]");
    assert_null(t);
}

static void test_wrong(void **state) {
    everywhere(wrong);
}

/* Reads the view and compares it with what plain loops over x say. */
static void expect(const norn_tensor *v, const int *wanted, int n) {
    int got[64];
    assert_int_equal(norn_tensor_elems(v), n);
    memset(got, 0xEE, sizeof got);
    OK(norn_tensor_read(v, got));
    assert_memory_equal(got, wanted, (size_t)n * sizeof *wanted);
    assert_int_equal(got[n], (int)0xEEEEEEEE);
}

static void views(norn_context *ctx) {
    enum { A = 2, B = 3, C = 4 };
    const int64_t dims[] = {A, B, C};
    int x[A * B * C], w[A * B * C], n = 0;
    for (int i = 0; i < A * B * C; i++)
        x[i] = i * 11;
    norn_tensor *t = make(ctx, NORN_I32, 3, dims, x), *s, *p, *q, *c;

    OK(norn_tensor_slice(t, 1, 1, 3, &s)); /* gaps between rows */
    for (int a = 0; a < A; a++)
        for (int b = 1; b < 3; b++)
            for (int k = 0; k < C; k++)
                w[n++] = x[(a * B + b) * C + k];
    expect(s, w, n);
    assert_null(norn_tensor_data(s));
    OK(norn_tensor_slice(s, 2, 1, 3, &p)); /* a slice of a slice */
    n = 0;
    for (int a = 0; a < A; a++)
        for (int b = 1; b < 3; b++)
            for (int k = 1; k < 3; k++)
                w[n++] = x[(a * B + b) * C + k];
    expect(p, w, n);
    OK(norn_tensor_transpose(p, (int[]){2, 0, 1}, &q));
    n = 0;
    for (int k = 1; k < 3; k++)
        for (int a = 0; a < A; a++)
            for (int b = 1; b < 3; b++)
                w[n++] = x[(a * B + b) * C + k];
    expect(q, w, n);
    OK(norn_tensor_copy(q, NULL, &c)); /* packed on the host */
    assert_non_null(norn_tensor_data(c));
    expect(c, w, n);
    norn_tensor_free(c);
    OK(norn_tensor_copy(q, ctx, &c));
    expect(c, w, n);
    norn_tensor *flat;
    const int64_t eight[] = {8}, seven[] = {7};
    OK(norn_tensor_reshape(c, 1, eight, &flat));
    expect(flat, w, n);
    norn_tensor_free(flat);
    FAILS(norn_tensor_reshape(c, 1, seven, &flat), NORN_SHAPE, "[2,2,2] to [7]");
    FAILS(norn_tensor_reshape(q, 1, eight, &flat), NORN_ARG, "gaps", "[2,2,2]");
    FAILS(norn_tensor_reshape(c, 9, eight, &flat), NORN_SHAPE, "rank 9");
    assert_null(flat);
    norn_tensor_free(c);

    /* Writing into a view changes its elements and no others. */
    int y[8], all[A * B * C];
    for (int i = 0; i < 8; i++)
        y[i] = -1 - i;
    OK(norn_tensor_write(q, y));
    n = 0;
    for (int k = 1; k < 3; k++)
        for (int a = 0; a < A; a++)
            for (int b = 1; b < 3; b++)
                x[(a * B + b) * C + k] = y[n++];
    OK(norn_tensor_read(t, all));
    assert_memory_equal(all, x, sizeof x);
    expect(q, y, 8);

    norn_tensor_free(t); /* views keep the memory */
    norn_tensor_free(s);
    norn_tensor_free(p);
    expect(q, y, 8);
    norn_tensor_free(q);
}

static void test_views(void **state) {
    everywhere(views);
}

static void view_errors(norn_context *ctx) {
    const int64_t dims[] = {4, 5};
    norn_tensor *t = make(ctx, NORN_F32, 2, dims, NULL), *v;
    FAILS(norn_tensor_slice(t, 2, 0, 1, &v), NORN_ARG, "axis 2", "0 to 1");
    FAILS(norn_tensor_slice(t, -1, 0, 1, &v), NORN_ARG, "axis -1");
    FAILS(norn_tensor_slice(t, 0, -1, 1, &v), NORN_SHAPE, "-1 to 1");
    FAILS(norn_tensor_slice(t, 0, 2, 1, &v), NORN_SHAPE, "2 to 1");
    FAILS(norn_tensor_slice(t, 0, 0, 5, &v), NORN_SHAPE, "within 0 to 4");
    FAILS(norn_tensor_transpose(t, (int[]){0, 0}, &v), NORN_ARG, "perm[1] is 0");
    FAILS(norn_tensor_transpose(t, (int[]){0, 2}, &v), NORN_ARG, "perm[1] is 2");
    FAILS(norn_tensor_transpose(t, (int[]){-1, 0}, &v), NORN_ARG, "perm[0] is -1");
    assert_null(v);
    norn_tensor_free(t);
}

static void test_view_errors(void **state) {
    everywhere(view_errors);
}

/* Types below a byte: two or four elements share one. */
static void small_types(norn_context *ctx) {
    const int64_t dims[] = {7};
    unsigned char packed[] = {0x21, 0x43, 0x65, 0x07}, got[4] = {0};
    norn_tensor *t = make(ctx, NORN_U4, 1, dims, packed), *v, *w, *h;
    OK(norn_tensor_read(t, got));
    assert_memory_equal(got, packed, 4);
    OK(norn_tensor_slice(t, 0, 2, 5, &v)); /* 3 4 5, the last in half a byte */
    OK(norn_tensor_read(v, got));
    assert_int_equal(got[0], 0x43);
    assert_int_equal(got[1], 0x05);
    const unsigned char other[] = {0xBA, 0xFC};
    OK(norn_tensor_write(v, other)); /* the half of the neighbour stays */
    OK(norn_tensor_read(t, got));
    assert_memory_equal(got, "\x21\xBA\x6C\x07", 4);
    FAILS(norn_tensor_slice(t, 0, 1, 3, &w), NORN_UNSUPPORTED, "uint4", "byte");
    OK(norn_tensor_copy(t, NULL, &h));
    assert_true(norn_tensor_get(h, 3) == 11);
    norn_tensor_set(h, 3, 2);
    assert_true(norn_tensor_get(h, 2) == 10 && norn_tensor_get(h, 3) == 2);
    norn_tensor_free(h);
    norn_tensor_free(v);
    norn_tensor_free(t);
    const int64_t square[] = {2, 2};
    t = make(ctx, NORN_F4E2M1, 2, square, packed);
    FAILS(norn_tensor_transpose(t, (int[]){1, 0}, &v), NORN_UNSUPPORTED, "float4e2m1");
    OK(norn_tensor_transpose(t, (int[]){0, 1}, &v));
    norn_tensor_free(v);
    FAILS(norn_tensor_slice(t, 1, 0, 1, &v), NORN_UNSUPPORTED, "packed");
    norn_tensor_free(t);
}

static void test_small_types(void **state) {
    everywhere(small_types);
}

static void expect_text(norn_tensor *t, int64_t limit, const char *wanted) {
    char *text;
    OK(norn_tensor_print(t, limit, &text));
    assert_string_equal(text, wanted);
    norn_text_free(text);
    norn_tensor_free(t);
}

static void printing(norn_context *ctx) {
    const int64_t dims[] = {2, 2}, one[] = {3}, none[] = {0};
    const float f[] = {0.1f, -0.0f, INFINITY, 1e20f};
    expect_text(make(ctx, NORN_F32, 2, dims, f), -1, "float[2,2] {0.1, -0, inf, 1e+20}");
    expect_text(make(ctx, NORN_F32, 2, dims, f), 4, "float[2,2] {0.1, -0, inf, 1e+20}");
    expect_text(make(ctx, NORN_F32, 2, dims, f), 2, "float[2,2] {0.1, -0, ...}");
    expect_text(make(ctx, NORN_F32, 2, dims, f), 0, "float[2,2] {...}");
    expect_text(make(ctx, NORN_F64, 0, NULL, &(double){0.1}), 9, "double {0.1}");
    expect_text(make(ctx, NORN_I32, 1, none, NULL), 9, "int32[0] {}");
    expect_text(make(ctx, NORN_U64, 1, one, (uint64_t[]){0, 1, UINT64_MAX}), -1,
                "uint64[3] {0, 1, 18446744073709551615}");
    expect_text(make(ctx, NORN_I8, 1, one, (int8_t[]){-128, 0, 127}), -1, "int8[3] {-128, 0, 127}");
    expect_text(make(ctx, NORN_BOOL, 1, one, (uint8_t[]){1, 0, 1}), -1, "bool[3] {1, 0, 1}");
    expect_text(make(ctx, NORN_F16, 1, one, (uint16_t[]){0x3C00, 0x7E00, 0xC000}), -1,
                "float16[3] {1, nan, -2}");
    norn_tensor *t = make(ctx, NORN_F32, 2, dims, f), *v;
    OK(norn_tensor_transpose(t, (int[]){1, 0}, &v));
    norn_tensor_free(t);
    expect_text(v, -1, "float[2,2] {0.1, inf, -0, 1e+20}");
}

static void test_printing(void **state) {
    everywhere(printing);
}

static void test_get_set(void **state) {
    const int64_t dims[] = {2, 3};
    norn_tensor *t = make(NULL, NORN_F32, 2, dims, NULL), *v;
    for (int i = 0; i < 6; i++)
        norn_tensor_set(t, i, i + 0.5);
    OK(norn_tensor_transpose(t, (int[]){1, 0}, &v));
    assert_true(norn_tensor_get(v, 1) == 3.5); /* row 0, column 1 of the transposed is row 1, column 0 */
    norn_tensor_set(v, 5, -1);
    assert_true(norn_tensor_get(t, 5) == -1);
    assert_true(isnan(norn_tensor_get(t, 6)) && isnan(norn_tensor_get(t, -1)));
    norn_tensor_set(t, 6, 1);
    norn_tensor_set(t, -1, 1);
    norn_tensor_free(t);
    norn_tensor_free(v);
    norn_context *ctx = open_context();
    t = make(ctx, NORN_F32, 2, dims, NULL);
    assert_true(isnan(norn_tensor_get(t, 0))); /* not in host memory */
    norn_tensor_set(t, 0, 1);
    norn_tensor_free(t);
    norn_context_close(ctx);
}

static void test_copies(void **state) {
    norn_context *ctx = open_context(), *host;
    OK(norn_context_open("host", &host));
    norn_context *at[] = {NULL, host, ctx};
    const int64_t dims[] = {3, 4};
    int x[12], got[12];
    for (int i = 0; i < 12; i++)
        x[i] = i;
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 3; k++) {
            norn_tensor *a = make(at[i], NORN_I32, 2, dims, x), *v, *b;
            OK(norn_tensor_copy(a, at[k], &b));
            OK(norn_tensor_read(b, got));
            assert_memory_equal(got, x, sizeof x);
            int zero[12] = {0};
            OK(norn_tensor_write(b, zero)); /* a copy, not a view */
            OK(norn_tensor_read(a, got));
            assert_memory_equal(got, x, sizeof x);
            norn_tensor_free(b);
            OK(norn_tensor_slice(a, 1, 1, 3, &v));
            OK(norn_tensor_copy(v, at[k], &b));
            OK(norn_tensor_read(b, got));
            assert_memory_equal(got, ((int[]){1, 2, 5, 6, 9, 10}), 24);
            norn_tensor_free(b);
            norn_tensor_free(v);
            OK(norn_tensor_slice(a, 0, 1, 3, &v)); /* packed, but not at the start */
            OK(norn_tensor_copy(v, at[k], &b));
            OK(norn_tensor_read(b, got));
            assert_memory_equal(got, x + 4, 32);
            norn_tensor_free(b);
            norn_tensor_free(v);
            norn_tensor_free(a);
        }
    norn_context_close(host);
    norn_context_close(ctx);
}

static void test_over_buffer(void **state) {
    norn_context *ctx = open_context();
    norn_buffer *b;
    norn_tensor *t;
    const int64_t dims[] = {5}, more[] = {6};
    float x[] = {1, 2, 3, 4, 5}, got[5];
    OK(norn_buffer_new(ctx, 20, &b));
    OK(norn_buffer_write(b, 0, x, 20));
    OK(norni_tensor_over_buffer(b, NORN_F32, 1, dims, &t));
    assert_ptr_equal(norni_tensor_buffer(t), b);
    norn_buffer_free(b); /* the tensor has its own reference */
    OK(norn_tensor_read(t, got));
    assert_memory_equal(got, x, 20);
    norn_tensor *u;
    FAILS(norni_tensor_over_buffer(norni_tensor_buffer(t), NORN_F32, 1, more, &u), NORN_SHAPE, "20 bytes",
          "wanted 24");
    assert_null(u);
    norn_tensor_free(t);
    norn_memory_stats m;
    norn_context_memory(ctx, &m);
    assert_int_equal(m.live_bytes, 0);
    norn_context_close(ctx);
}

static norn_status everything(void *arg) {
    norn_context *ctx = arg;
    const int64_t dims[] = {4, 6}, flat[] = {8};
    float x[24] = {0}, y[24];
    norn_tensor *t = NULL, *v = NULL, *c = NULL, *p = NULL, *r = NULL, *h = NULL;
    char *text = NULL;
    norn_status s = norn_tensor_new(ctx, NORN_F32, 2, dims, x, &t);
    s = s ? s : norn_tensor_slice(t, 1, 2, 4, &v);
    s = s ? s : norn_tensor_write(v, x);
    s = s ? s : norn_tensor_read(v, y);
    s = s ? s : norn_tensor_transpose(v, (int[]){1, 0}, &p);
    s = s ? s : norn_tensor_copy(p, ctx, &c);
    s = s ? s : norn_tensor_copy(c, NULL, &h);
    s = s ? s : norn_tensor_reshape(c, 1, flat, &r);
    s = s ? s : norn_tensor_print(p, -1, &text);
    norn_text_free(text);
    norn_tensor *all[] = {t, v, c, p, r, h};
    for (int i = 0; i < 6; i++)
        norn_tensor_free(all[i]);
    return s;
}

static void test_faults(void **state) {
    assert_true(for_each_alloc_fault(everything, NULL) > 5);
    norn_context *ctx = open_context();
    assert_true(for_each_alloc_fault(everything, ctx) > 5);
    norni_pool_drop(ctx);
    assert_true(for_each_cl_fault(everything, ctx, CL_MEM_OBJECT_ALLOCATION_FAILURE) > 5);
    assert_true(for_each_cl_fault(everything, ctx, CL_INVALID_MEM_OBJECT) > 5);
    norn_memory_stats m;
    norn_context_memory(ctx, &m);
    assert_int_equal(m.live_bytes, 0);
    norn_context_close(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_basics),      cmocka_unit_test(test_wrong),
        cmocka_unit_test(test_views),       cmocka_unit_test(test_view_errors),
        cmocka_unit_test(test_small_types), cmocka_unit_test(test_printing),
        cmocka_unit_test(test_get_set),     cmocka_unit_test(test_copies),
        cmocka_unit_test(test_over_buffer), cmocka_unit_test(test_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
