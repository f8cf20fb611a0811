/* SPDX-License-Identifier: Apache-2.0 */
/* The files of the program cache, and the environment that says where they lie. */
#include "tests/backend.h"
#include <fcntl.h>
#include <time.h>

static norni_cache make_cache(const char *dir, uint64_t cap) {
    norni_cache c = {.dir = norni_strdup(dir), .device_key = norni_strdup("device\n"), .cap_bytes = cap};
    return c;
}

static norni_cache_entry make_entry(unsigned char *binary, size_t n, uint64_t *variants, size_t n_variants) {
    for (size_t i = 0; i < n; i++)
        binary[i] = (unsigned char)(i * 7 + 1);
    return (norni_cache_entry){
        .binary = binary, .binary_bytes = n, .variants = variants, .n_variants = n_variants};
}

static size_t slurp(const char *path, unsigned char *out, size_t max) {
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t n = fread(out, 1, max, f);
    fclose(f);
    return n;
}

static void spit(const char *path, const unsigned char *data, size_t n) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    fclose(f);
}

static bool loads(const norni_cache *c, const char *key) {
    norni_cache_entry e;
    bool ok = norni_cache_load(c, key, &e);
    norni_cache_entry_free(&e);
    return ok;
}

static void test_files(void **state) {
    const char *dir = new_folder();
    norni_cache c = make_cache(dir, 1 << 20);
    unsigned char binary[500];
    uint64_t variants[] = {11, 22, 33}, other[] = {22, 44};
    norni_cache_entry e = make_entry(binary, sizeof binary, variants, 3), got;
    char *key = norni_cache_key(&c, "-DA", "source"), *key2 = norni_cache_key(&c, "-DB", "source");
    assert_string_equal(key, "device\n-DA\nsource");
    assert_false(norni_cache_load(&c, key, &got));
    norni_cache_store(&c, key, &e);
    assert_true(norni_cache_load(&c, key, &got));
    assert_int_equal(got.binary_bytes, sizeof binary);
    assert_memory_equal(got.binary, binary, sizeof binary);
    assert_int_equal(got.n_variants, 3);
    assert_memory_equal(got.variants, variants, sizeof variants);
    norni_cache_entry_free(&got);
    assert_false(loads(&c, key2));
    assert_true(norni_cache_covers(&c, key, variants, 3));
    assert_true(norni_cache_covers(&c, key, other, 1));
    assert_true(norni_cache_covers(&c, key, NULL, 0));
    assert_false(norni_cache_covers(&c, key, other, 2));
    assert_false(norni_cache_covers(&c, key2, NULL, 0));
    e.n_variants = 0; /* replaced */
    norni_cache_store(&c, key, &e);
    assert_false(norni_cache_covers(&c, key, variants, 1));
    assert_true(loads(&c, key));
    char path[400];
    only_file(dir, path);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 077, 0); /* the owner's alone */
    norni_free(key);
    norni_free(key2);
    norni_cache_close(&c);
    remove_folder(dir);
}

static void test_corruption(void **state) {
    const char *dir = new_folder();
    norni_cache c = make_cache(dir, 1 << 20);
    unsigned char binary[300], file[4096], bad[4096];
    uint64_t variants[] = {5, 6};
    norni_cache_entry e = make_entry(binary, sizeof binary, variants, 2);
    const char *key = "device\n-DX\n__kernel void k() {}", *key2 = "device\n-DY\n__kernel void k() {}";
    char path[400];
    norni_cache_store(&c, key, &e);
    size_t n = slurp(only_file(dir, path), file, sizeof file);
    assert_true(loads(&c, key));
    for (size_t i = 0; i < n; i++) { /* any byte changed */
        memcpy(bad, file, n);
        bad[i] ^= (unsigned char)(1 + i % 255);
        spit(path, bad, n);
        assert_false(loads(&c, key));
        bad[i] = 0xFF; /* huge counts */
        spit(path, bad, n);
        assert_int_equal(loads(&c, key), file[i] == 0xFF);
    }
    for (size_t i = 0; i < n; i++) { /* cut anywhere */
        spit(path, file, i);
        assert_false(loads(&c, key));
    }
    memcpy(bad, file, n);
    bad[n] = 0;
    spit(path, bad, n + 1); /* longer than it says */
    assert_false(loads(&c, key));
    memset(bad, 'x', sizeof bad);
    spit(path, bad, sizeof bad);
    assert_false(loads(&c, key));
    for (int i = 0; i < 8; i++) /* every size in the header at its limits */
        for (int k = 0; k < 3; k++) {
            memcpy(bad, file, n);
            static const uint64_t extreme[] = {UINT64_MAX, UINT64_MAX / 8 + 1, (uint64_t)1 << 63};
            memcpy(bad + 8 + i * 4, &extreme[k], 8);
            spit(path, bad, n);
            assert_false(loads(&c, key));
        }
    memcpy(bad, file, n);
    bad[n - 1] ^= 1; /* only the checksum tells: removed, so that nobody takes it for good */
    spit(path, bad, n);
    assert_true(norni_cache_covers(&c, key, variants, 2));
    assert_false(loads(&c, key));
    assert_int_equal(access(path, F_OK), -1);
    norni_cache_remove(&c, key); /* gone already */
    /* Another program's file under this name: the key inside decides. */
    spit(path, file, n);
    char saved[420], path2[400];
    snprintf(saved, sizeof saved, "%s.kept", path);
    assert_int_equal(rename(path, saved), 0);
    norni_cache_store(&c, key2, &e);
    unlink(saved);
    assert_int_equal(rename(only_file(dir, path2), path), 0);
    assert_false(loads(&c, key));
    assert_false(loads(&c, key2));
    unlink(path);
    /* Not a file at all. */
    assert_int_equal(mkdir(path, 0700), 0);
    assert_false(loads(&c, key));
    norni_cache_store(&c, key, &e); /* cannot replace a folder; no harm */
    assert_int_equal(count_files(dir), 1);
    rmdir(path);
    assert_int_equal(symlink("/dev/zero", path), 0);
    assert_false(loads(&c, key));
    norni_cache_store(&c, key, &e); /* replaces the link */
    assert_true(loads(&c, key));
    if (geteuid() == 0 && chown(path, 12345, 12345) == 0)
        assert_false(loads(&c, key)); /* somebody else's */
    norni_cache_close(&c);
    remove_folder(dir);
}

/* Sets how long ago the file was used. */
static void age(const char *path, long seconds) {
    struct timespec t[2] = {{time(NULL) - seconds, 0}, {time(NULL) - seconds, 0}};
    assert_int_equal(utimensat(AT_FDCWD, path, t, 0), 0);
}

static void test_trim(void **state) {
    const char *dir = new_folder();
    norni_cache c = make_cache(dir, 5000);
    unsigned char binary[1000];
    norni_cache_entry e = make_entry(binary, sizeof binary, NULL, 0);
    char key[10][16], aside[100], path[400], here[400];
    snprintf(aside, sizeof aside, "%s/aside", dir);
    for (int i = 0; i < 10; i++) { /* each alone in a folder of its own while its age is set */
        assert_int_equal(mkdir(aside, 0700), 0);
        norni_cache other = make_cache(aside, 5000);
        snprintf(key[i], sizeof key[i], "key %d", i);
        norni_cache_store(&other, key[i], &e);
        norni_cache_close(&other);
        age(only_file(aside, path), 1000 - i * 10);
        snprintf(here, sizeof here, "%.60s/%.200s", dir, strrchr(path, '/') + 1);
        assert_int_equal(rename(path, here), 0);
        rmdir(aside);
    }
    assert_true(loads(&c, key[0])); /* the oldest is used now */
    norni_cache_trim(&c);
    for (int i = 0; i < 10; i++)
        assert_int_equal(loads(&c, key[i]), i == 0 || i >= 7); /* four of some 1050 bytes fit */
    norni_cache_trim(&c);
    assert_int_equal(count_files(dir), 4);
    /* Too large for the limit: not stored. What a crash left is removed later, foreign files never. */
    c.cap_bytes = 999;
    norni_cache_store(&c, "large", &e);
    assert_false(loads(&c, "large"));
    char old[400], young[400], foreign[400];
    snprintf(old, sizeof old, "%s/unfinished-abcdef", dir);
    snprintf(young, sizeof young, "%s/unfinished-ghijkl", dir);
    snprintf(foreign, sizeof foreign, "%s/precious.txt", dir);
    spit(old, binary, 10);
    spit(young, binary, 10);
    spit(foreign, binary, 10);
    age(old, 7200);
    age(foreign, 999999);
    c.cap_bytes = 0;
    norni_cache_trim(&c);
    assert_int_equal(access(old, F_OK), -1);
    assert_int_equal(access(young, F_OK), 0);
    assert_int_equal(access(foreign, F_OK), 0);
    assert_int_equal(count_files(dir), 2);
    norni_cache_close(&c);
    remove_folder(dir);
    norni_cache gone = make_cache("/nowhere/at/all", 1000);
    norni_cache_trim(&gone);
    norni_cache_store(&gone, "key", &e);
    assert_false(loads(&gone, "key"));
    norni_cache_close(&gone);
    norni_cache off = {0};
    assert_null(norni_cache_key(&off, "", ""));
    assert_false(loads(&off, "key"));
    norni_cache_store(&off, "key", &e);
    norni_cache_trim(&off);
}

static void with_env(const char *dir, const char *xdg, const char *home, const char *wanted) {
    static const char *const names[] = {"NORN_CACHE_DIR", "XDG_CACHE_HOME", "HOME"};
    const char *values[] = {dir, xdg, home};
    for (int i = 0; i < 3; i++)
        if (values[i])
            setenv(names[i], values[i], 1);
        else
            unsetenv(names[i]);
    norn_context *ctx = open_context();
    if (wanted)
        assert_string_equal(ctx->cache.dir, wanted);
    else
        assert_null(ctx->cache.dir);
    norn_context_close(ctx);
}

static void test_environment(void **state) {
    if (!have_device())
        skip();
    char *home = getenv("HOME") ? strdup(getenv("HOME")) : NULL, a[100], b[200], file[100];
    const char *dir = new_folder();
    unsetenv("NORN_CACHE");
    snprintf(a, sizeof a, "%s/x/y/z", dir);
    with_env(a, "/tmp/never", "/tmp/never", a);
    struct stat st;
    assert_int_equal(stat(a, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    snprintf(b, sizeof b, "%s/norn", a);
    with_env(NULL, a, "/tmp/never", b);
    with_env("", a, "/tmp/never", b);
    snprintf(b, sizeof b, "%s/.cache/norn", a);
    with_env(NULL, NULL, a, b);
    with_env(NULL, "relative", a, b);
    with_env(NULL, NULL, NULL, NULL);
    with_env(NULL, NULL, "", NULL);
    snprintf(file, sizeof file, "%s/file", dir);
    spit(file, (const unsigned char *)"x", 1);
    snprintf(b, sizeof b, "%s/below", file);
    with_env(b, NULL, NULL, NULL); /* cannot be made: no cache, no error */
    setenv("NORN_CACHE", "0", 1);
    with_env(a, NULL, NULL, NULL);
    setenv("NORN_CACHE", "1", 1);
    static const struct {
        const char *mb;
        uint64_t bytes;
    } caps[] = {{"", 512u << 20},
                {"7", 7u << 20},
                {"x", 512u << 20},
                {"-3", 512u << 20},
                {"99999999999999999999", (uint64_t)1 << 50}};
    for (size_t i = 0; i < sizeof caps / sizeof *caps; i++) {
        setenv("NORN_CACHE_MB", caps[i].mb, 1);
        setenv("NORN_CACHE_DIR", a, 1);
        norn_context *ctx = open_context();
        assert_true(ctx->cache.cap_bytes == caps[i].bytes);
        norn_context_close(ctx);
    }
    setenv("NORN_CACHE_MB", "0", 1);
    with_env(a, NULL, NULL, NULL);
    unsetenv("NORN_CACHE_MB");
    unsetenv("NORN_CACHE");
    unsetenv("NORN_CACHE_DIR");
    if (home)
        setenv("HOME", home, 1);
    free(home);
    remove_folder(dir);
}

int main(void) {
    unsetenv("NORN_CACHE");
    unsetenv("NORN_CACHE_MB");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_corruption),
        cmocka_unit_test(test_trim),
        cmocka_unit_test(test_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
