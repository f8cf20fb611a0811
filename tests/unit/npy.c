/* SPDX-License-Identifier: Apache-2.0 */
#include "files.h"

#include "export/npy.h"

typedef struct {
    const unsigned char *data;
    size_t bytes, at;
} memory;

static norn_status read_memory(void *ctx, void *out, size_t bytes) {
    memory *m = ctx;
    if (bytes > m->bytes - m->at)
        return norni_fail(NORN_INTERNAL, "read past the end");
    memcpy(out, m->data + m->at, bytes);
    m->at += bytes;
    return NORN_OK;
}

static norn_status parse(const unsigned char *data, size_t bytes, norn_tensor **out) {
    memory m = {data, bytes, 0};
    norni_source src = {read_memory, &m, bytes};
    return norni_npy_read(&src, out);
}

static norn_status parse_and_free(const unsigned char *data, size_t bytes) {
    norn_tensor *t;
    norn_status s = parse(data, bytes, &t);
    assert_true((s == NORN_OK) == (t != NULL));
    norn_tensor_free(t);
    return s;
}

/* The values that tests/data/make_files.py wrote. */
static double sample(norn_dtype t, int64_t i) {
    norni_class c = norni_dtype_class(t);
    return c == NORNI_CLASS_BOOL   ? (double)(i % 2)
           : c == NORNI_CLASS_UINT ? 3.0 * (double)i
                                   : 3.0 * (double)i - 4;
}

static void assert_samples(const char *name, norn_dtype dtype, int rank, const int64_t *dims) {
    norn_tensor *t;
    char path[64];
    snprintf(path, sizeof path, "npy/%s.npy", name);
    WORKS(norn_tensor_load(data_path(path), &t));
    assert_shape(t, dtype, rank, dims);
    for (int64_t i = 0; i < norni_tensor_elems(t); i++)
        if (norni_get_double(dtype, norni_tensor_data(t), i) != sample(dtype, i))
            fail_msg("%s: element %d is %g", name, (int)i, norni_get_double(dtype, norni_tensor_data(t), i));
    norn_tensor_free(t);
}

static const struct {
    const char *name;
    norn_dtype dtype;
} kinds[] = {{"bool", NORN_BOOL},      {"int8", NORN_I8},        {"uint8", NORN_U8},
             {"int16_le", NORN_I16},   {"int32_le", NORN_I32},   {"int64_le", NORN_I64},
             {"uint16_le", NORN_U16},  {"uint32_le", NORN_U32},  {"uint64_le", NORN_U64},
             {"float16_le", NORN_F16}, {"float32_le", NORN_F32}, {"float64_le", NORN_F64},
             {"int16_be", NORN_I16},   {"int32_be", NORN_I32},   {"int64_be", NORN_I64},
             {"uint16_be", NORN_U16},  {"uint32_be", NORN_U32},  {"uint64_be", NORN_U64},
             {"float16_be", NORN_F16}, {"float32_be", NORN_F32}, {"float64_be", NORN_F64}};
enum { KINDS = sizeof kinds / sizeof *kinds, NATIVE_KINDS = 12 };

static void reads_every_type(void **state) {
    for (int i = 0; i < KINDS; i++)
        assert_samples(kinds[i].name, kinds[i].dtype, 2, (int64_t[]){2, 3});
}

static void reads_every_layout_and_version(void **state) {
    assert_samples("fortran", NORN_I16, 3, (int64_t[]){2, 3, 4});
    assert_samples("fortran_be", NORN_F32, 2, (int64_t[]){3, 5});
    assert_samples("scalar", NORN_F32, 0, NULL);
    assert_samples("empty", NORN_F32, 3, (int64_t[]){2, 0, 3});
    assert_samples("version2", NORN_F32, 2, (int64_t[]){2, 3});
    assert_samples("version3", NORN_F32, 2, (int64_t[]){2, 3});
    assert_samples("rank8", NORN_F32, 8, (int64_t[]){1, 1, 1, 1, 1, 1, 1, 1});
}

static void refuses_by_name(void **state) {
    static const struct {
        const char *file, *text;
        norn_status status;
    } c[] = {{"complex", "element type '<c8': complex numbers", NORN_UNSUPPORTED},
             {"string", "element type '<U2': strings", NORN_UNSUPPORTED},
             {"bytes", "element type '|S3': strings", NORN_UNSUPPORTED},
             {"raw", "element type '|V2': raw bytes", NORN_UNSUPPORTED},
             {"date", "element type '<M8[s]': dates", NORN_UNSUPPORTED},
             {"record", "records are not supported", NORN_UNSUPPORTED},
             {"object", "element type '|O': Python objects", NORN_UNSUPPORTED},
             {"rank9", "more than 8 axes", NORN_SHAPE}};
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        char path[64];
        norn_tensor *t = (norn_tensor *)"";
        snprintf(path, sizeof path, "npy/refused_%s.npy", c[i].file);
        FAILS(norn_tensor_load(data_path(path), &t), c[i].status, c[i].text);
        assert_non_null(strstr(norn_error(), path)); /* the file is named */
        assert_null(t);
    }
}

/* A .npy of version 1 with this header text and so many bytes of data. */
static unsigned char *build(const char *header, size_t data_bytes, size_t *bytes) {
    size_t n = strlen(header);
    *bytes = 10 + n + data_bytes;
    unsigned char *p = calloc(1, *bytes);
    memcpy(p, "\x93NUMPY\1\0", 8);
    p[8] = (unsigned char)n;
    p[9] = (unsigned char)(n >> 8);
    memcpy(p + 10, header, n);
    return p;
}

static void parses_headers_strictly(void **state) {
    static const struct {
        const char *header;
        size_t data;
        norn_status status;
        const char *text;
    } c[] = {
        {"{'descr':'<f4','fortran_order':False,'shape':(2,)}", 8, NORN_OK, ""},
        {"{\"shape\": (2L, 3L,), \"descr\": \"=i2\", \"fortran_order\": True,}\n", 12, NORN_OK, ""},
        {"{'descr': 'u1', 'fortran_order': False, 'shape': (), }", 1, NORN_OK, ""},
        {"", 0, NORN_PARSE, "header, byte 0: the end (wanted '{')"},
        {"{", 0, NORN_PARSE, "header, byte 1: the end (wanted a key or '}')"},
        {"{}", 0, NORN_PARSE, "has no 'descr'"},
        {"{'descr': '<f4', 'shape': (1,)}", 4, NORN_PARSE, "has no 'fortran_order'"},
        {"{'descr': '<f4', 'fortran_order': False}", 4, NORN_PARSE, "has no 'shape'"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,)", 4, NORN_PARSE,
         "the end (wanted ',' or '}')"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,", 4, NORN_PARSE, "wanted a size"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1", 4, NORN_PARSE, "wanted ',' or ')'"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1)}", 4, NORN_PARSE, "is written (n,)"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': 1}", 4, NORN_PARSE, "the shape as a tuple"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': [1]}", 4, NORN_PARSE, "the shape as a tuple"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,,)}", 4, NORN_PARSE, "wanted a size"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (,)}", 4, NORN_PARSE, "wanted a size"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", 4, NORN_PARSE,
         "'-1,)}' (wanted a size of 0 or"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1.5,)}", 4, NORN_PARSE, "wanted ',' or ')'"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': ((1,),)}", 4, NORN_PARSE, "wanted a size"},
        {"{'descr': '<f4', 'fortran_order': 1, 'shape': (1,)}", 4, NORN_PARSE, "wanted True or False"},
        {"{'descr': '<f4', 'fortran_order': Truely, 'shape': (1,)}", 4, NORN_PARSE, "wanted ',' or '}'"},
        {"{'descr': '<f4', 'descr': '<f4', 'shape': (1,)}", 4, NORN_PARSE, "each once"},
        {"{'descr': '<f4', 'order': False, 'shape': (1,)}", 4, NORN_PARSE,
         "''order': False, '' (wanted the keys"},
        {"{'descr': '<f4\\x41', 'fortran_order': False, 'shape': (1,)}", 4, NORN_PARSE, "a plain string"},
        {"{'descr': '<f4, 'fortran_order", 4, NORN_UNSUPPORTED, "element type '<f4, '"},
        {"{'descr': '<f4", 4, NORN_PARSE, "wanted a closing quote"},
        {"{'descr': f4, 'fortran_order': False, 'shape': (1,)}", 4, NORN_PARSE,
         "an element type such as '<f4'"},
        {"{'descr': ('<f4', (2,)), 'fortran_order': False, 'shape': (1,)}", 8, NORN_UNSUPPORTED, "records"},
        {"{'descr': '', 'fortran_order': False, 'shape': (1,)}", 4, NORN_UNSUPPORTED, "element type ''"},
        {"{'descr': '<f3', 'fortran_order': False, 'shape': (1,)}", 4, NORN_UNSUPPORTED,
         "element type '<f3'"},
        {"{'descr': '<f16', 'fortran_order': False, 'shape': (1,)}", 16, NORN_UNSUPPORTED,
         "element type '<f16'"},
        {"{'descr': '\x1b[2J', 'fortran_order': False, 'shape': (1,)}", 4, NORN_UNSUPPORTED,
         "element type '?[2J'"},
        {"{'descr': '|f4', 'fortran_order': False, 'shape': (1,)}", 4, NORN_PARSE, "'|f4': no byte order"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} x", 4, NORN_PARSE,
         "'x' (wanted the end of the header)"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", 4, NORN_PARSE,
         "4 bytes of data (wanted 8 for shape [2] of float)"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", 9, NORN_PARSE,
         "9 bytes of data (wanted 8 for shape [2] of float)"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", 4, NORN_PARSE,
         "below 2^63"},
        {"{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807,)}", 4, NORN_PARSE,
         "shape [9223372036854775807] of float is larger than any memory, and 4 bytes"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296)}", 0, NORN_PARSE,
         "larger than any"},
        {"{'descr': '<f8', 'fortran_order': True, 'shape': (0, 4294967296, 4294967296)}", 0, NORN_PARSE,
         "larger than"},
        {"{'descr': '<f8', 'fortran_order': True, 'shape': (0, 4294967296)}", 0, NORN_OK, ""},
    };
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        size_t n;
        norn_tensor *t;
        unsigned char *data = build(c[i].header, c[i].data, &n);
        norn_status s = parse(data, n, &t);
        if (s != c[i].status || (s != NORN_OK && !strstr(norn_error(), c[i].text)))
            fail_msg("%s: got %s: %s", c[i].header, norn_status_name(s), norn_error());
        norn_tensor_free(t);
        free(data);
    }
}

/* Nothing here is parsed by recursion, so depth costs no stack; the length of a header is bounded, too. */
static void stands_hostile_headers(void **state) {
    char *text = malloc(60001);
    memset(text, '(', 60000);
    memcpy(text, "{'shape': ", 10);
    text[60000] = 0;
    size_t n;
    unsigned char *data = build(text, 0, &n);
    FAILS(parse_and_free(data, n), NORN_PARSE, "wanted a size");
    free(data);
    memset(text + 10, '[', 59990);
    memcpy(text, "{'descr': ", 10);
    data = build(text, 0, &n);
    FAILS(parse_and_free(data, n), NORN_UNSUPPORTED, "records");
    free(data);
    free(text);
    FAILS(parse_and_free((const unsigned char *)"\x93NUMPY\2\0\xff\xff\xff\xff    ", 16), NORN_PARSE,
          "a header of 4294967295 bytes, and 4 follow");
    FAILS(parse_and_free((const unsigned char *)"\x93NUMPY\1\0\x05\0    ", 14), NORN_PARSE,
          "a header of 5 bytes, and 4 follow");
    data = calloc(1, 100000);
    memcpy(data, "\x93NUMPY\2\0\x80\x80\1\0", 12);
    FAILS(parse_and_free(data, 100000), NORN_UNSUPPORTED, "a header of 98432 bytes (wanted at most 65536)");
    free(data);
    FAILS(parse_and_free((const unsigned char *)"\x93NUMPY\4\0    ", 12), NORN_UNSUPPORTED,
          ".npy version 4.0");
    FAILS(parse_and_free((const unsigned char *)"\x93NUMPY\1\1    ", 12), NORN_UNSUPPORTED,
          ".npy version 1.1");
    FAILS(parse_and_free((const unsigned char *)"\x93NUMPY\2\0   ", 11), NORN_PARSE, "too short");
    FAILS(parse_and_free((const unsigned char *)"PK\3\4        ", 12), NORN_PARSE, "does not begin as");
    FAILS(parse_and_free((const unsigned char *)"", 0), NORN_PARSE, "0 bytes: too short");
}

static void stands_damage(void **state) {
    static const char *const files[] = {"npy/int16_be.npy", "npy/fortran.npy", "npy/version2.npy",
                                        "npy/version3.npy", "npy/bool.npy",    "npy/scalar.npy",
                                        "npy/rank8.npy"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        size_t n;
        unsigned char *data = get_file(data_path(files[i]), &n);
        damage(data, n, 3000, true, parse_and_free);
        norni_free(data);
    }
    norn_tensor *t;
    const char *bad = fixture_path("bad/npy_shape_lie.npy");
    if (bad)
        FAILS(norn_tensor_load(bad, &t), NORN_PARSE,
              "16 bytes of data (wanted 4000000 for shape [1000000] of float)");
    assert_true(peak_megabytes() < 1024);
}

static void bool_is_zero_or_one(void **state) {
    size_t n;
    norn_tensor *t;
    unsigned char *data = build("{'descr': '|b1', 'fortran_order': False, 'shape': (3,)}", 3, &n);
    data[n - 1] = 7;
    data[n - 3] = 1;
    WORKS(parse(data, n, &t));
    assert_memory_equal(norni_tensor_data(t), "\1\0\1", 3);
    norn_tensor_free(t);
    free(data);
}

/* What is saved is byte for byte what NumPy wrote. */
static void writes_what_numpy_writes(void **state) {
    static const char *const more[] = {"scalar", "empty", "rank8"};
    for (int i = 0; i < NATIVE_KINDS + 3; i++) {
        char name[64];
        size_t n, m;
        norn_tensor *t;
        snprintf(name, sizeof name, "npy/%s.npy", i < NATIVE_KINDS ? kinds[i].name : more[i - NATIVE_KINDS]);
        unsigned char *wanted = get_file(data_path(name), &n);
        WORKS(norn_tensor_load(data_path(name), &t));
        WORKS(norn_tensor_save(t, temporary_path("out.npy")));
        unsigned char *got = get_file(temporary_path("out.npy"), &m);
        assert_int_equal(n, m);
        assert_memory_equal(wanted, got, n);
        norni_free(wanted);
        norni_free(got);
        norn_tensor_free(t);
    }
}

static void writes_views_packed(void **state) {
    norn_tensor *t, *back;
    int64_t dims[] = {2, 3};
    WORKS(norni_tensor_host(NORN_I32, 2, dims, &t));
    for (int i = 0; i < 6; i++)
        norni_set_int(NORN_I32, norni_tensor_data(t), i, i);
    t->dims[0] = 3; /* transposed */
    t->dims[1] = 2;
    t->strides[0] = 1;
    t->strides[1] = 3;
    WORKS(norn_tensor_save(t, temporary_path("view.npy")));
    WORKS(norn_tensor_load(temporary_path("view.npy"), &back));
    assert_shape(back, NORN_I32, 2, (int64_t[]){3, 2});
    static const int32_t wanted[] = {0, 3, 1, 4, 2, 5};
    assert_memory_equal(norni_tensor_data(back), wanted, sizeof wanted);
    norn_tensor_free(back);
    norn_tensor_free(t);
}

static void refuses_to_write(void **state) {
    norn_tensor *t;
    int64_t dims[] = {2};
    WORKS(norni_tensor_host(NORN_BF16, 1, dims, &t));
    FAILS(norn_tensor_save(t, temporary_path("b.npy")), NORN_UNSUPPORTED,
          "b.npy: NumPy has no element type for bfloat16; convert to float");
    assert_false(norni_path_exists(temporary_path("b.npy")));
    norn_tensor_free(t);
    WORKS(norni_tensor_host(NORN_F32, 1, dims, &t));
    FAILS(norn_tensor_save(t, temporary_path("b.xyz")), NORN_UNSUPPORTED,
          "no tensor format by its name (wanted .npy, .pb)");
    FAILS(norn_tensor_save(t, "/no/such/b.npy"), NORN_IO, "/no/such/b.npy: cannot make");
    void *host = t->storage->host;
    t->storage->host = NULL; /* as a tensor on a device */
    FAILS(norn_tensor_save(t, temporary_path("b.npy")), NORN_ARG, "b.npy: the tensor is on a device");
    t->storage->host = host;
    norn_tensor_free(t);
}

static void chooses_the_format(void **state) {
    norn_tensor *t;
    size_t n;
    unsigned char *data = get_file(data_path("npy/uint8.npy"), &n);
    put_file(temporary_path("no_extension"), data, n);
    norni_free(data);
    WORKS(norn_tensor_load(temporary_path("no_extension"), &t));
    norn_tensor_free(t);
    put_file(temporary_path("odd:name.npy"), "", 0); /* a colon that is part of the name */
    FAILS(norn_tensor_load(temporary_path("odd:name.npy"), &t), NORN_PARSE,
          "odd:name.npy: 0 bytes: too short");
    put_file(temporary_path("text.txt"), "hello", 5);
    FAILS(norn_tensor_load(temporary_path("text.txt"), &t), NORN_UNSUPPORTED,
          "(wanted .npy, .npz, .png, .pb)");
    put_file(temporary_path("nothing"), "", 0);
    FAILS(norn_tensor_load(temporary_path("nothing"), &t), NORN_UNSUPPORTED, "no tensor format");
    FAILS(norn_tensor_load("no.npy", &t), NORN_IO, "no.npy: cannot open: No such file");
    FAILS(norn_tensor_load("no.npz:x", &t), NORN_IO, "no.npz:x: cannot open: No such file");
    FAILS(norn_tensor_load(temporary, &t), NORN_IO, "is a directory");
    char spec[600];
    snprintf(spec, sizeof spec, "%s:x", data_path("npy/uint8.npy"));
    FAILS(norn_tensor_load(spec, &t), NORN_ARG, "a npy file holds one tensor, so 'x' names nothing in it");
}

static norn_status load_starved(void) {
    norn_tensor *t;
    norn_status s = norn_tensor_load(data_path("npy/fortran_be.npy"), &t);
    norn_tensor_free(t);
    return s;
}

static norn_tensor *saved;
static norn_status save_starved(void) {
    return norn_tensor_save(saved, temporary_path("starved.npy"));
}

static void survives_without_memory(void **state) {
    starve(load_starved);
    WORKS(norn_tensor_load(data_path("npy/fortran.npy"), &saved));
    starve(save_starved);
    norn_tensor_free(saved);
}

static void reads_the_fixtures(void **state) {
    norn_tensor *a, *b;
    const char *npy = fixture_path("data/img/china_crop_160x128.npy"),
               *png = fixture_path("data/img/china_crop_160x128.png");
    if (!npy || !png)
        skip();
    WORKS(norn_tensor_load(npy, &a));
    WORKS(norn_tensor_load(png, &b));
    assert_true(norni_tensor_equal(a, b)); /* as Pillow decoded it */
    norn_tensor_free(a);
    norn_tensor_free(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_type),       cmocka_unit_test(reads_every_layout_and_version),
        cmocka_unit_test(refuses_by_name),        cmocka_unit_test(parses_headers_strictly),
        cmocka_unit_test(stands_hostile_headers), cmocka_unit_test(stands_damage),
        cmocka_unit_test(bool_is_zero_or_one),    cmocka_unit_test(writes_what_numpy_writes),
        cmocka_unit_test(writes_views_packed),    cmocka_unit_test(refuses_to_write),
        cmocka_unit_test(chooses_the_format),     cmocka_unit_test(survives_without_memory),
        cmocka_unit_test(reads_the_fixtures),
    };
    return cmocka_run_group_tests(tests, make_temporary, remove_temporary);
}
