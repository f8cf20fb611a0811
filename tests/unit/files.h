/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of file readers share: samples, a temporary folder, damaged copies, failing allocations. */
#ifndef TEST_FILES_H
#define TEST_FILES_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/tensor.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define UNUSED __attribute__((unused))

/* The call must fail with this status and say this. */
#define FAILS(call, status, text)                                                                            \
    do {                                                                                                     \
        norn_status got_ = (call);                                                                           \
        if (got_ != (status) || !strstr(norn_error(), (text)))                                               \
            fail_msg("%s: got %s: \"%s\" (wanted %s: \"%s\")", #call, norn_status_name(got_), norn_error(),  \
                     norn_status_name(status), (text));                                                      \
    } while (0)
#define WORKS(call)                                                                                          \
    do {                                                                                                     \
        norn_status got_ = (call);                                                                           \
        if (got_ != NORN_OK)                                                                                 \
            fail_msg("%s: %s: \"%s\"", #call, norn_status_name(got_), norn_error());                         \
    } while (0)

static UNUSED const char *data_path(const char *name) {
    static char path[4][512];
    static unsigned turn;
    char *p = path[turn++ % 4];
    snprintf(p, sizeof *path, TEST_DATA "/%s", name);
    return p;
}

/* NULL where the larger test material is missing. */
static UNUSED const char *fixture_path(const char *name) {
    static char path[4][512];
    static unsigned turn;
    char *p = path[turn++ % 4];
    snprintf(p, sizeof *path, NORN_FIXTURES "/%s", name);
    return norni_path_exists(p) ? p : NULL;
}

static char temporary[256];

static UNUSED int make_temporary(void **state) {
    const char *base = getenv("TMPDIR");
    snprintf(temporary, sizeof temporary, "%s/norn-test-XXXXXX", base ? base : "/tmp");
    return mkdtemp(temporary) ? 0 : -1;
}

static UNUSED void remove_tree(const char *path) {
    norni_names names;
    if (norni_path_is_dir(path) && norni_dir_list(path, &names) == NORN_OK) {
        for (size_t i = 0; i < names.n; i++) {
            char *p = norni_path_join(path, names.v[i]);
            remove_tree(p);
            norni_free(p);
        }
        norni_names_free(&names);
    }
    remove(path);
}

static UNUSED int remove_temporary(void **state) {
    remove_tree(temporary);
    return norni_path_exists(temporary) ? -1 : 0; /* a hidden file left behind keeps the folder */
}

static UNUSED const char *temporary_path(const char *name) {
    static char path[4][512];
    static unsigned turn;
    char *p = path[turn++ % 4];
    snprintf(p, sizeof *path, "%s/%s", temporary, name);
    return p;
}

static UNUSED void put_file(const char *path, const void *data, size_t bytes) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, bytes, f), bytes);
    assert_int_equal(fclose(f), 0);
}

static UNUSED unsigned char *get_file(const char *path, size_t *bytes) {
    unsigned char *data;
    WORKS(norni_file_read(path, (size_t)1 << 30, &data, bytes));
    return data;
}

static UNUSED uint32_t random_u32(void) {
    static uint64_t s = 88172645463325252u;
    s ^= s << 13;
    s ^= s >> 7;
    s ^= s << 17;
    return (uint32_t)(s >> 16);
}

/* Reads damaged copies of `data`: every beginning of it (which `whole` says is never accepted), then `flips`
 * copies with one to four random bits turned over. `read` frees what it got; that nothing leaks or is read
 * out of bounds is for the sanitizers to say. */
static UNUSED void damage(const unsigned char *data, size_t bytes, int flips, bool whole,
                          norn_status (*read)(const unsigned char *data, size_t bytes)) {
    for (size_t n = 0; n < bytes; n++) {
        unsigned char *cut = malloc(n ? n : 1); /* of exactly this size, so that reading past it is seen */
        memcpy(cut, data, n);
        norn_status s = read(cut, n);
        if (whole && s == NORN_OK)
            fail_msg("the first %zu of %zu bytes were accepted", n, bytes);
        if (s != NORN_OK && (s == NORN_INTERNAL || s == NORN_NOMEM || !norn_error()[0]))
            fail_msg("the first %zu of %zu bytes: %s: %s", n, bytes, norn_status_name(s), norn_error());
        free(cut);
    }
    unsigned char *copy = malloc(bytes);
    for (int i = 0; i < flips; i++) {
        memcpy(copy, data, bytes);
        for (uint32_t k = 0, n = 1 + random_u32() % 4; k < n; k++)
            copy[random_u32() % bytes] ^= (unsigned char)(1u << random_u32() % 8);
        norn_status s = read(copy, bytes);
        if (s == NORN_INTERNAL || s == NORN_NOMEM)
            fail_msg("flip %d: %s: %s", i, norn_status_name(s), norn_error());
    }
    free(copy);
}

/* Calls `run` with the first, second, ... allocation failing until it succeeds. */
static UNUSED void starve(norn_status (*run)(void)) {
    for (long n = 0;; n++) {
        norni_alloc_fail_after(n);
        norn_status s = run();
        norni_alloc_fail_after(-1);
        if (s == NORN_OK) {
            assert_true(n > 0);
            return;
        }
        if (s != NORN_NOMEM)
            fail_msg("allocation %ld fails: got %s: %s", n, norn_status_name(s), norn_error());
        assert_true(n < 10000);
    }
}

/* Megabytes that this process had at most. */
static UNUSED long peak_megabytes(void) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_maxrss / 1024;
}

static UNUSED void assert_shape(const norn_tensor *t, norn_dtype dtype, int rank, const int64_t *dims) {
    char a[128], b[128];
    if (t->dtype != dtype || t->rank != rank ||
        (rank && memcmp(t->dims, dims, (size_t)rank * sizeof *dims) != 0))
        fail_msg("%s%s (wanted %s%s)", norni_dtype_name(t->dtype), norni_shape_text(t->rank, t->dims, a),
                 norni_dtype_name(dtype), norni_shape_text(rank, dims, b));
}

#endif
