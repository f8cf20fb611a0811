/* SPDX-License-Identifier: Apache-2.0 */
#include "files.h"

#include "export/onnx/tensor_pb.h"
#include "export/onnx/wire.h"

/* The values that tests/data/onnx/make.py wrote. */
static double sample(norn_dtype t, int64_t i) {
    double v = (double)((i * 7 + 3) % 5 - 2);
    return norni_dtype_class(t) == NORNI_CLASS_UINT || norni_dtype_class(t) == NORNI_CLASS_BOOL ? (v < 0 ? -v : v) : v;
}

static void check_file(const char *name, norn_dtype dtype, int rank, const int64_t *dims) {
    norn_tensor *t;
    WORKS(norni_tensor_from_pb(data_path(name), &t));
    assert_shape(t, dtype, rank, dims);
    for (int64_t i = 0; i < norni_tensor_elems(t); i++)
        assert_true(norni_get_double(dtype, norni_tensor_data(t), i) == sample(dtype, i));
    norn_tensor_free(t);
}

static void test_load(void **state) {
    check_file("onnx/float.pb", NORN_F32, 2, (int64_t[]){2, 3});
    check_file("onnx/half.pb", NORN_F16, 2, (int64_t[]){2, 3});
    check_file("onnx/int4.pb", NORN_I4, 1, (int64_t[]){5});
    norn_tensor *t;
    WORKS(norn_tensor_load(data_path("onnx/float.pb"), &t)); /* by extension */
    norn_tensor_free(t);
    FAILS(norni_tensor_from_pb(data_path("onnx/string.pb"), &t), NORN_UNSUPPORTED,
          "string.pb: element type string: norn has no storage for it");
    assert_null(t);
    FAILS(norni_tensor_from_pb(data_path("onnx/none.pb"), &t), NORN_IO, "none.pb: cannot open: No such file");
}

/* Every type goes out and comes back, also through a strided view and with no elements. */
static void test_round_trip(void **state) {
    for (int d = 1; d <= NORN_I2; d++) {
        norn_dtype dtype = (norn_dtype)d;
        if (norni_dtype_class(dtype) == NORNI_CLASS_NONE)
            continue;
        for (int64_t n = 0; n <= 2000; n = n ? n * 2 : 1) { /* larger ones are read in place */
            norn_tensor *t, *back;
            WORKS(norni_tensor_host(dtype, 2, (int64_t[]){1, n}, &t));
            for (int64_t i = 0; i < n; i++)
                norni_set_double(dtype, norni_tensor_data(t), i, sample(dtype, i));
            WORKS(norn_tensor_save(t, temporary_path("t.pb")));
            WORKS(norni_tensor_from_pb(temporary_path("t.pb"), &back));
            assert_true(norni_tensor_equal(t, back));
            norn_tensor_free(back);
            norn_tensor_free(t);
        }
    }
    norn_tensor *t, *back, *view, *want;
    WORKS(norni_tensor_host(NORN_F64, 2, (int64_t[]){3, 2}, &t));
    for (int64_t i = 0; i < 6; i++)
        norni_set_double(NORN_F64, norni_tensor_data(t), i, (double)i);
    WORKS(norn_tensor_transpose(t, (int[]){1, 0}, &view));
    WORKS(norni_tensor_to_pb(view, "name", temporary_path("t.pb")));
    WORKS(norni_tensor_from_pb(temporary_path("t.pb"), &back));
    WORKS(norni_tensor_pack(view, &want));
    assert_true(norni_tensor_equal(want, back));
    norn_tensor_free(t);
    norn_tensor_free(back);
    norn_tensor_free(view);
    norn_tensor_free(want);
}

/* A tensor in a mapped file outlives everything else, also the file. */
static void test_mapped(void **state) {
    norn_tensor *t, *back;
    WORKS(norni_tensor_host(NORN_U8, 1, (int64_t[]){100000}, &t));
    memset(norni_tensor_data(t), 7, 100000);
    WORKS(norni_tensor_to_pb(t, NULL, temporary_path("t.pb")));
    WORKS(norni_tensor_from_pb(temporary_path("t.pb"), &back));
    memset(norni_tensor_data(t), 8, 100000);
    WORKS(norni_tensor_to_pb(t, NULL, temporary_path("t.pb")));
    remove(temporary_path("t.pb"));
    assert_int_equal(norni_get_int(NORN_U8, norni_tensor_data(back), 99999), 7);
    norn_tensor_free(t);
    norn_tensor_free(back);
}

static norn_status parse(norni_str *b, norn_tensor **t) {
    put_file(temporary_path("bad.pb"), b->s ? b->s : "", b->n);
    norni_str_free(b);
    return norni_tensor_from_pb(temporary_path("bad.pb"), t);
}

/* A tensor of n elements of a type, its data still to come. */
static norni_str head(int64_t dtype, int64_t n) {
    norni_str b = {0};
    norni_wire_put_int(&b, 1, n);
    norni_wire_put_int(&b, 2, dtype);
    return b;
}

static void test_typed_fields(void **state) {
    norn_tensor *t;
    norni_str b = head(NORN_F16, 2); /* bit patterns, also sign-extended ones */
    norni_wire_put_int(&b, 5, 0x3c00);
    norni_wire_put_int(&b, 5, -0x4400); /* 0xbc00 */
    WORKS(parse(&b, &t));
    assert_true(norn_tensor_get(t, 0) == 1 && norn_tensor_get(t, 1) == -1);
    norn_tensor_free(t);
    b = head(NORN_BOOL, 2); /* raw booleans become 0 and 1 */
    norni_wire_put_bytes(&b, 9, "\0\xff", 2);
    WORKS(parse(&b, &t));
    assert_memory_equal(norni_tensor_data(t), "\0\1", 2);
    norn_tensor_free(t);
    b = head(NORN_I64, 1);
    norni_wire_put_int(&b, 7, INT64_MIN);
    WORKS(parse(&b, &t));
    assert_true(norni_get_int(NORN_I64, norni_tensor_data(t), 0) == INT64_MIN);
    norn_tensor_free(t);
    b = head(NORN_U64, 1);
    norni_wire_put_int(&b, 11, -1);
    WORKS(parse(&b, &t));
    assert_true(*(uint64_t *)norni_tensor_data(t) == UINT64_MAX);
    norn_tensor_free(t);
    b = head(NORN_F32, 0); /* an empty raw_data says nothing */
    norni_wire_put_bytes(&b, 9, "", 0);
    WORKS(parse(&b, &t));
    assert_int_equal(norni_tensor_elems(t), 0);
    norn_tensor_free(t);
}

static void test_errors(void **state) {
    norn_tensor *t;
    norni_str b = {0};
    FAILS(parse(&b, &t), NORN_PARSE, "bad.pb: the file is empty (wanted a tensor)");
    b = head(NORN_F32, 3);
    FAILS(parse(&b, &t), NORN_SHAPE, "bad.pb: 0 bytes of data (wanted 12 for float[3])");
    b = head(NORN_F32, 3);
    norni_wire_put_bytes(&b, 9, "12345678", 8);
    FAILS(parse(&b, &t), NORN_SHAPE, "8 bytes of data (wanted 12 for float[3])");
    b = head(NORN_F32, 2);
    norni_wire_put_float(&b, 4, 1);
    FAILS(parse(&b, &t), NORN_SHAPE, "1 elements (wanted 2 for float[2])");
    b = head(NORN_I32, 1);
    norni_wire_put_float(&b, 4, 1);
    FAILS(parse(&b, &t), NORN_PARSE, "elements of type int32 in float_data (wanted raw_data or int32_data)");
    b = head(NORN_I8, 1);
    norni_wire_put_int(&b, 5, 128);
    FAILS(parse(&b, &t), NORN_PARSE, "int32_data[0] is 128 (wanted -128 to 127 for int8)");
    b = head(NORN_U32, 1);
    norni_wire_put_int(&b, 11, -1);
    FAILS(parse(&b, &t), NORN_PARSE, "uint64_data[0] is -1 (wanted 0 to 4294967295 for uint32)");
    b = head(NORN_BOOL, 1);
    norni_wire_put_int(&b, 5, 2);
    FAILS(parse(&b, &t), NORN_PARSE, "int32_data[0] is 2 (wanted 0 to 1 for bool)");
    b = head(NORN_F32, 1);
    norni_wire_put_float(&b, 4, 1);
    norni_wire_put_bytes(&b, 9, "1234", 4);
    FAILS(parse(&b, &t), NORN_PARSE, "data in 2 pieces (wanted one field with all of them)");
    b = head(0, 1);
    FAILS(parse(&b, &t), NORN_DTYPE, "element type 0 (wanted 1 to 26)");
    b = head(99, 1);
    FAILS(parse(&b, &t), NORN_DTYPE, "element type 99 (wanted 1 to 26)");
    b = head(NORN_F32, -1);
    FAILS(parse(&b, &t), NORN_SHAPE, "size -1 in dimension 0 (wanted at least 0)");
    b = head(NORN_F32, (int64_t)1 << 40);
    norni_wire_put_int(&b, 1, (int64_t)1 << 40);
    FAILS(parse(&b, &t), NORN_SHAPE, "has more elements than can be counted");
    b = head(NORN_F32, 1);
    for (int i = 0; i < 8; i++)
        norni_wire_put_int(&b, 1, 1);
    FAILS(parse(&b, &t), NORN_UNSUPPORTED, "9 dimensions (wanted at most 8)");
    b = head(NORN_F32, 1);
    norni_str segment = {0};
    norni_wire_put_int(&segment, 1, 0);
    norni_wire_put_message(&b, 3, &segment);
    FAILS(parse(&b, &t), NORN_UNSUPPORTED, "one segment of a tensor (wanted the whole)");
    b = head(NORN_F32, 1);
    norni_str entry = {0};
    norni_wire_put_string(&entry, 1, "location");
    norni_wire_put_string(&entry, 2, "float.pb");
    norni_wire_put_message(&b, 13, &entry);
    norni_wire_put_int(&b, 14, 1);
    FAILS(parse(&b, &t), NORN_ARG, "external data at 'float.pb' (not allowed here)");
    b = head(NORN_I64, 2000); /* large packed data are decoded from the file: cut short there */
    norni_str numbers = {0};
    for (int i = 0; i < 1999; i++)
        norni_wire_put_varint(&numbers, 1);
    norni_wire_put_message(&b, 7, &numbers);
    FAILS(parse(&b, &t), NORN_SHAPE, "1999 elements (wanted 2000 for int64[2000])");
}

static norn_status read_bytes(const unsigned char *data, size_t n) {
    norn_tensor *t;
    put_file(temporary_path("damaged.pb"), data, n);
    norn_status s = norni_tensor_from_pb(temporary_path("damaged.pb"), &t);
    assert_true((s == NORN_OK) == (t != NULL));
    norn_tensor_free(t);
    return s;
}

static void test_damage(void **state) {
    size_t n;
    unsigned char *data = get_file(data_path("onnx/half.pb"), &n);
    damage(data, n, 2000, true, read_bytes);
    norni_free(data);
}

static norn_status starved(void) {
    norn_tensor *t;
    norn_status s = norni_tensor_from_pb(data_path("onnx/float.pb"), &t);
    if (s == NORN_OK)
        s = norni_tensor_to_pb(t, "name", temporary_path("starved.pb"));
    norn_tensor_free(t);
    return s;
}

static void test_starved(void **state) { starve(starved); }

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_load),   cmocka_unit_test(test_round_trip), cmocka_unit_test(test_mapped),
        cmocka_unit_test(test_typed_fields), cmocka_unit_test(test_errors), cmocka_unit_test(test_damage),
        cmocka_unit_test(test_starved),
    };
    return cmocka_run_group_tests(tests, make_temporary, remove_temporary);
}
