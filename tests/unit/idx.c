/* SPDX-License-Identifier: Apache-2.0 */
#include "files.h"

#include "train/samples.h"

static norn_status load(const char *path) {
    norn_tensor *t;
    norn_status s = norni_idx_load(path, &t);
    assert_true((s == NORN_OK) == (t != NULL));
    norn_tensor_free(t);
    return s;
}

static norn_status load_bytes(const unsigned char *data, size_t bytes) {
    put_file(temporary_path("damaged"), data, bytes);
    return load(temporary_path("damaged"));
}

static void reads_every_type(void **state) {
    static const struct {
        const char *file;
        norn_dtype dtype;
    } c[] = {{"uint8.idx", NORN_U8},   {"int8.idx", NORN_I8},      {"int16.idx", NORN_I16},
             {"int32.idx", NORN_I32},  {"int32.idx.gz", NORN_I32}, {"float32.idx", NORN_F32},
             {"float64.idx", NORN_F64}};
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        norn_tensor *t;
        char path[64];
        snprintf(path, sizeof path, "idx/%s", c[i].file);
        WORKS(norni_idx_load(data_path(path), &t));
        assert_shape(t, c[i].dtype, 2, (int64_t[]){2, 3});
        for (int64_t k = 0; k < 6; k++)
            assert_true(norni_get_double(t->dtype, norni_tensor_data(t), k) ==
                        (double)(3 * k - (c[i].dtype == NORN_U8 ? 0 : 4)));
        norn_tensor_free(t);
    }
}

static void refuses_bad_headers(void **state) {
    static const struct {
        const char *bytes;
        size_t n;
        const char *text;
    } c[] = {
        {"", 0, "damaged: ends early: 4 bytes are missing"},
        {"\0\0\x08", 3, "ends early: 1 bytes are missing"},
        {"\1\0\x08\1", 4, "begins with 01 00 (wanted 00 00, as an IDX file does)"},
        {"\0\0\x0a\1\0\0\0\0", 8, "element type 0x0a (wanted 08, 09, 0b, 0c, 0d or 0e)"},
        {"\0\0\x08\0", 4, "0 axes (wanted 1 to 8)"},
        {"\0\0\x08\xff", 4, "255 axes (wanted 1 to 8)"},
        {"\0\0\x08\2\0\0\0\2", 8, "ends early: 4 bytes are missing"},
        {"\0\0\x08\1\0\0\0\2a", 9, "shape [2] of uint8 needs 2 bytes, and 1 follow"},
        {"\0\0\x08\1\0\0\0\2abc", 11, "shape [2] of uint8 needs 2 bytes, and 3 follow"},
        {"\0\0\x0e\3\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 16, "(more than can be counted)"},
        {"\0\0\x08\1\xff\xff\xff\xff", 8, "shape [4294967295] of uint8 needs 4294967295 bytes, and 0 follow"},
    };
    for (size_t i = 0; i < sizeof c / sizeof *c; i++)
        FAILS(load_bytes((const unsigned char *)c[i].bytes, c[i].n), NORN_PARSE, c[i].text);
    FAILS(load(data_path("idx/bad_longer.idx.gz")), NORN_PARSE,
          "goes on behind the data that its header announces");
    FAILS(load(data_path("idx/bad_crc.idx.gz")), NORN_PARSE,
          "bad_crc.idx.gz: cannot be unpacked: incorrect data check");
    const char *bad = fixture_path("bad/idx_huge_dims.idx");
    if (bad)
        FAILS(load(bad), NORN_PARSE,
              "idx_huge_dims.idx: shape [4294967295,4294967295,4294967295] of uint8 needs");
    FAILS(load("/no/such.idx"), NORN_IO, "/no/such.idx: cannot open");
    FAILS(load(temporary), NORN_IO, "is a directory");
}

/* A header that asks for 4 GiB, gzipped: refused before memory is taken, as so little cannot unpack to so
 * much. */
static void refuses_a_packed_bomb(void **state) {
    FAILS(load(data_path("idx/bad_bomb.idx.gz")), NORN_PARSE,
          "shape [4294967295] of uint8 needs 4294967295 bytes, and at most ");
    assert_true(peak_megabytes() < 1024);
}

static void stands_damage(void **state) {
    static const char *const files[] = {"idx/int16.idx", "idx/int32.idx.gz"};
    for (int i = 0; i < 2; i++) {
        size_t n;
        unsigned char *data = get_file(data_path(files[i]), &n);
        damage(data, n, 1500, true, load_bytes);
        /* Something behind the end, packed or not. */
        unsigned char *longer = malloc(n + 1);
        memcpy(longer, data, n);
        longer[n] = 1;
        if (i == 0)
            FAILS(load_bytes(longer, n + 1), NORN_PARSE,
                  "shape [2,3] of int16 needs 12 bytes, and 13 follow");
        free(longer);
        norni_free(data);
    }
}

static norn_status load_starved(void) {
    return load(data_path("idx/int16.idx"));
}
static norn_status samples_starved(void) {
    norni_samples s = {0};
    norn_status st = norni_samples_idx(data_path("mnist"), "test", &s);
    norni_samples_free(&s);
    return st;
}

static void survives_without_memory(void **state) {
    starve(load_starved);
    starve(samples_starved);
}

static norn_status samples(const char *path, const char *split, int64_t *count) {
    norni_samples s = {0};
    norn_status st = norni_samples_idx(path, split, &s);
    *count = st == NORN_OK ? s.x->dims[0] : 0;
    if (st == NORN_OK)
        assert_int_equal(s.y->dims[0], s.x->dims[0]);
    norni_samples_free(&s);
    return st;
}

static void finds_images_and_labels(void **state) {
    int64_t n;
    WORKS(samples(data_path("mnist"), NULL, &n));
    assert_int_equal(n, 4);
    WORKS(samples(data_path("mnist"), "train", &n));
    assert_int_equal(n, 4);
    WORKS(samples(data_path("mnist"), "test", &n)); /* t10k, both with a point, one of them gzipped */
    assert_int_equal(n, 2);
    WORKS(samples(data_path("mnist/t10k"), NULL, &n));
    assert_int_equal(n, 2);
    WORKS(samples(data_path("mnist/train-images-idx3-ubyte"), NULL, &n));
    assert_int_equal(n, 4);
    WORKS(samples(data_path("mnist/t10k-images.idx3-ubyte.gz"), NULL, &n));
    assert_int_equal(n, 2);
    FAILS(samples(data_path("mnist/lonely"), NULL, &n), NORN_IO,
          "lonely-images-idx3-ubyte: no labels beside it (wanted lonely-labels-idx1-ubyte)");
    FAILS(samples(data_path("mnist/t10k-labels.idx1-ubyte"), NULL, &n), NORN_ARG, "no 'images' in the name");
    FAILS(samples(data_path("mnist/train-images-idx3-ubyte"), "test", &n), NORN_ARG,
          "one IDX file has no split 'test'");
    FAILS(samples(data_path("mnist"), "wild", &n), NORN_IO, "mnist: no IDX images there");
    put_file(temporary_path("a-images"), "\0\0\x08\1\0\0\0\1x", 9);
    put_file(temporary_path("a-labels"), "\0\0\x08\2\0\0\0\1\0\0\0\1x", 13);
    FAILS(samples(temporary_path("a-images"), NULL, &n), NORN_SHAPE,
          "a-labels: shape [1,1] (wanted one label an image)");
    assert_true(norni_idx_present(data_path("mnist"), NULL));
    assert_true(norni_idx_present(data_path("mnist"), "test"));
    assert_false(norni_idx_present(data_path("mnist"), "wild"));
    assert_false(norni_idx_present(data_path("folder"), NULL));
    assert_true(norni_idx_present(data_path("mnist/train"), NULL));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_type),        cmocka_unit_test(refuses_bad_headers),
        cmocka_unit_test(refuses_a_packed_bomb),   cmocka_unit_test(stands_damage),
        cmocka_unit_test(survives_without_memory), cmocka_unit_test(finds_images_and_labels),
    };
    return cmocka_run_group_tests(tests, make_temporary, remove_temporary);
}
