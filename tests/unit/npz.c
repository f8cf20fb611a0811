/* SPDX-License-Identifier: Apache-2.0 */
#include "files.h"

#include "export/npz.h"

static norn_status load_all(norn_archive *a) {
    norn_status s = NORN_OK;
    for (size_t i = 0; i < norn_archive_count(a) && s == NORN_OK; i++) {
        norn_tensor *t;
        s = norn_archive_load_at(a, i, &t);
        norn_tensor_free(t);
    }
    return s;
}

static norn_status load_bytes(const unsigned char *data, size_t bytes) {
    norn_archive *a;
    norn_status s = norni_archive_open_memory(data, bytes, "memory", &a);
    if (s == NORN_OK)
        s = load_all(a);
    norn_archive_close(a);
    return s;
}

static norn_status load_file(const char *path) {
    norn_archive *a;
    norn_status s = norn_archive_open(path, &a);
    if (s == NORN_OK)
        s = load_all(a);
    norn_archive_close(a);
    return s;
}

static void reads_members(void **state) {
    static const char *const files[] = {"npz/stored.npz", "npz/deflated.npz"};
    for (int i = 0; i < 2; i++) {
        norn_archive *a;
        norn_tensor *t;
        WORKS(norn_archive_open(data_path(files[i]), &a));
        assert_int_equal(norn_archive_count(a), 2);
        assert_string_equal(norn_archive_name(a, 0), "a");
        assert_string_equal(norn_archive_name(a, 1), "layer.0/b");
        assert_null(norn_archive_name(a, 2));
        assert_true(norn_archive_has(a, "a"));
        assert_false(norn_archive_has(a, "a.npy"));
        assert_false(norn_archive_has(a, "notes.txt"));
        WORKS(norn_archive_load(a, "layer.0/b", &t));
        assert_shape(t, NORN_I64, 1, (int64_t[]){4});
        static const int64_t wanted[] = {-4, -1, 2, 5};
        assert_memory_equal(norni_tensor_data(t), wanted, sizeof wanted);
        norn_tensor_free(t);
        WORKS(norn_archive_load_at(a, 0, &t));
        assert_shape(t, NORN_F32, 2, (int64_t[]){2, 3});
        norn_tensor_free(t);
        FAILS(norn_archive_load(a, "b", &t), NORN_ARG, "no member 'b' (it has 'a', 'layer.0/b')");
        assert_null(t);
        FAILS(norn_archive_load_at(a, 2, &t), NORN_ARG, "member 2 (wanted less than 2)");
        norn_archive_close(a);
    }
    norn_archive_close(NULL);
}

static void loads_one_tensor_by_path(void **state) {
    norn_tensor *t;
    char spec[600];
    WORKS(norn_tensor_load(data_path("npz/one.npz"), &t));
    assert_shape(t, NORN_F32, 2, (int64_t[]){2, 3});
    norn_tensor_free(t);
    snprintf(spec, sizeof spec, "%s:layer.0/b", data_path("npz/stored.npz"));
    WORKS(norn_tensor_load(spec, &t));
    assert_shape(t, NORN_I64, 1, (int64_t[]){4});
    norn_tensor_free(t);
    FAILS(norn_tensor_load(data_path("npz/stored.npz"), &t), NORN_ARG,
          "stored.npz: 2 arrays (wanted one; write ");
    FAILS(norn_tensor_load(data_path("npz/none.npz"), &t), NORN_ARG, "none.npz: no arrays in it");
    snprintf(spec, sizeof spec, "%s:c", data_path("npz/stored.npz"));
    FAILS(norn_tensor_load(spec, &t), NORN_ARG, "no member 'c' (it has 'a'");
}

static void refuses_damaged_archives(void **state) {
    static const struct {
        const char *file, *text;
        norn_status status;
    } c[] = {{"bad_crc", "member 'a': cannot be unpacked: CRC error", NORN_PARSE},
             {"bad_size", "packed cannot hold the 4000000000 that the archive gives", NORN_PARSE},
             {"bad_bomb", "packed cannot hold the 4294967040", NORN_PARSE},
             {"bad_stored", "4294967040 bytes packed, in an archive of ", NORN_PARSE},
             {"bad_bzip2", "compression method 12 (wanted stored or deflated)", NORN_UNSUPPORTED},
             {"bad_encrypted", "member 'a': is encrypted", NORN_UNSUPPORTED},
             {"bad_twice", "member 'a' is there twice", NORN_PARSE},
             {"bad_members", "not a readable zip archive", NORN_PARSE}};
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        char path[64];
        snprintf(path, sizeof path, "npz/%s.npz", c[i].file);
        FAILS(load_file(data_path(path)), c[i].status, c[i].text);
        assert_non_null(strstr(norn_error(), path));
    }
    FAILS(load_file(data_path("npy/bool.npy")), NORN_PARSE,
          "bool.npy: not a readable zip archive: Not a zip archive");
    FAILS(load_file("/no/such.npz"), NORN_IO, "/no/such.npz: cannot open");
    FAILS(load_file(temporary), NORN_IO, "is a directory");
    put_file(temporary_path("empty.npz"), "", 0);
    FAILS(load_file(temporary_path("empty.npz")), NORN_PARSE,
          "empty.npz: 0 bytes: too short for a zip archive");
}

static void stands_damage(void **state) {
    static const char *const files[] = {"npz/stored.npz", "npz/deflated.npz"};
    for (int i = 0; i < 2; i++) {
        size_t n;
        unsigned char *data = get_file(data_path(files[i]), &n);
        damage(data, n, 5000, true, load_bytes);
        norni_free(data);
    }
    const char *bad = fixture_path("bad/npz_truncated.npz");
    if (bad)
        FAILS(load_file(bad), NORN_PARSE, "npz_truncated.npz: not a readable zip archive");
    assert_true(peak_megabytes() < 1024);
}

static void saves_and_loads_again(void **state) {
    norn_tensor *t[3], *back;
    norn_archive *a;
    const char *names[] = {"conv1.weight", "/stem/\xc3\xa4", "empty"};
    int64_t dims[] = {3, 5}, none[] = {0, 2};
    const char *path = temporary_path("out.npz");
    WORKS(norni_tensor_host(NORN_F32, 2, dims, &t[0]));
    WORKS(norni_tensor_host(NORN_U8, 0, NULL, &t[1]));
    WORKS(norni_tensor_host(NORN_F64, 2, none, &t[2]));
    for (int i = 0; i < 15; i++)
        norni_set_double(NORN_F32, norni_tensor_data(t[0]), i, i * 0.5);
    WORKS(norn_archive_save(path, 3, names, t));
    WORKS(norn_archive_open(path, &a));
    assert_int_equal(norn_archive_count(a), 3);
    for (int i = 0; i < 3; i++) {
        WORKS(norn_archive_load(a, names[i], &back));
        assert_true(norni_tensor_equal(back, t[i]));
        norn_tensor_free(back);
    }
    norn_archive_close(a);
    /* Over an old file; the same tensors give the same bytes. */
    size_t n, m;
    unsigned char *first = get_file(path, &n);
    put_file(path, "garbage", 7);
    WORKS(norn_archive_save(path, 3, names, t));
    unsigned char *second = get_file(path, &m);
    assert_int_equal(n, m);
    assert_memory_equal(first, second, n);
    norni_free(second);
    /* Refusals leave the file as it is. */
    const char *twice[] = {"a", "b", "a"}, *control[] = {"a", "b\n", "c"}, *blank[] = {"a", "", "c"};
    FAILS(norn_archive_save(path, 3, twice, t), NORN_ARG, "out.npz: name 'a' is given twice");
    FAILS(norn_archive_save(path, 3, control, t), NORN_ARG,
          "name 1 is empty, too long or has control characters");
    FAILS(norn_archive_save(path, 3, blank, t), NORN_ARG, "name 1 is empty");
    FAILS(norn_archive_save(path, 0, names, t), NORN_ARG, "no tensors to save");
    norn_tensor_free(t[1]);
    WORKS(norni_tensor_host(NORN_BF16, 0, NULL, &t[1]));
    FAILS(norn_archive_save(path, 3, names, t), NORN_UNSUPPORTED, "NumPy has no element type for bfloat16");
    FAILS(norn_archive_save("/no/such/a.npz", 1, names, t), NORN_IO, "/no/such/a.npz: cannot write");
    FAILS(norn_archive_save("/dev/null", 1, names, t), NORN_IO, "/dev/null: is a character device");
    second = get_file(path, &m);
    assert_int_equal(n, m);
    assert_memory_equal(first, second, n);
    norni_free(first);
    norni_free(second);
    for (int i = 0; i < 3; i++)
        norn_tensor_free(t[i]);
}

static norn_status load_starved(void) {
    return load_file(data_path("npz/deflated.npz"));
}

static norn_tensor *saved[2];
static norn_status save_starved(void) {
    const char *names[] = {"a", "b"};
    return norn_archive_save(temporary_path("starved.npz"), 2, names, saved);
}

static void survives_without_memory(void **state) {
    starve(load_starved);
    for (int i = 0; i < 2; i++)
        WORKS(norn_tensor_load(data_path("npy/int16_be.npy"), &saved[i]));
    starve(save_starved);
    for (int i = 0; i < 2; i++)
        norn_tensor_free(saved[i]);
}

static void reads_the_fixtures(void **state) {
    const char *stored = fixture_path("weights/lenet/model.npz"),
               *packed = fixture_path("weights/lenet/model_compressed.npz");
    if (!stored || !packed)
        skip();
    norn_archive *a, *b;
    WORKS(norn_archive_open(stored, &a));
    WORKS(norn_archive_open(packed, &b));
    assert_true(norn_archive_count(a) > 3);
    assert_int_equal(norn_archive_count(a), norn_archive_count(b));
    for (size_t i = 0; i < norn_archive_count(a); i++) {
        norn_tensor *s, *t;
        WORKS(norn_archive_load_at(a, i, &s));
        WORKS(norn_archive_load(b, norn_archive_name(a, i), &t));
        assert_true(norni_tensor_equal(s, t));
        norn_tensor_free(s);
        norn_tensor_free(t);
    }
    norn_archive_close(a);
    norn_archive_close(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_members),
        cmocka_unit_test(loads_one_tensor_by_path),
        cmocka_unit_test(refuses_damaged_archives),
        cmocka_unit_test(stands_damage),
        cmocka_unit_test(saves_and_loads_again),
        cmocka_unit_test(survives_without_memory),
        cmocka_unit_test(reads_the_fixtures),
    };
    return cmocka_run_group_tests(tests, make_temporary, remove_temporary);
}
