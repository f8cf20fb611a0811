/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of backend/ share: a context on the device that NORN_DEVICE names (else the first), the
 * program started again as a child, fresh folders, faults at every call in turn. */
#ifndef NORN_TESTS_BACKEND_H
#define NORN_TESTS_BACKEND_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backend/internal.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define OK(expr)                                                                                             \
    do {                                                                                                     \
        norn_status ok_ = (expr);                                                                            \
        if (ok_ != NORN_OK)                                                                                  \
            fail_msg("%s: %s: %s", #expr, norn_status_name(ok_), norn_error());                              \
    } while (0)

/* The status, and every given piece of the message. */
#define FAILS(expr, status, ...)                                                                             \
    do {                                                                                                     \
        norn_status got_ = (expr);                                                                           \
        const char *pieces_[] = {__VA_ARGS__};                                                               \
        if (got_ != (status))                                                                                \
            fail_msg("%s: %s: %s", #expr, norn_status_name(got_), got_ ? norn_error() : "");                 \
        for (size_t p_ = 0; p_ < sizeof pieces_ / sizeof *pieces_; p_++)                                     \
            if (!strstr(norn_error(), pieces_[p_]))                                                          \
                fail_msg("%s: message '%s' lacks '%s'", #expr, norn_error(), pieces_[p_]);                   \
    } while (0)

static inline bool have_device(void) {
    norn_devices *list;
    OK(norn_devices_list(&list));
    bool found = norn_devices_count(list) > 1;
    norn_devices_free(list);
    return found;
}

static inline norn_context *open_context(void) {
    if (!have_device())
        skip();
    norn_context *ctx;
    OK(norn_context_open(NULL, &ctx));
    return ctx;
}

/* Starts this program again as `program ROLE`, with one more environment variable set (or not, for NULL). */
static inline pid_t start_child(const char *role, const char *name, const char *value) {
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (name)
            setenv(name, value, 1);
        char self[] = "/proc/self/exe", arg[64];
        snprintf(arg, sizeof arg, "%s", role);
        char *argv[] = {self, arg, NULL};
        execv(self, argv);
        _exit(127);
    }
    return pid;
}

static inline int wait_child(pid_t pid) {
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static inline void remove_folder(const char *path) {
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
            continue;
        size_t n = strlen(path) + strlen(e->d_name) + 2;
        char *sub = malloc(n);
        assert_non_null(sub);
        snprintf(sub, n, "%s/%s", path, e->d_name);
        struct stat st;
        if (lstat(sub, &st) == 0 && S_ISDIR(st.st_mode))
            remove_folder(sub);
        else
            unlink(sub);
        free(sub);
    }
    if (dir)
        closedir(dir);
    rmdir(path);
}

/* A new empty folder; the path is static. */
static inline const char *new_folder(void) {
    static char path[64];
    snprintf(path, sizeof path, "/tmp/norn-test-XXXXXX");
    assert_non_null(mkdtemp(path));
    return path;
}

/* The only file in the folder; fails when there is none or more than one. */
static inline char *only_file(const char *dir, char path[400]) {
    int n = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));)
        if (*e->d_name != '.') {
            n++;
            snprintf(path, 400, "%.100s/%.250s", dir, e->d_name);
        }
    closedir(d);
    assert_int_equal(n, 1);
    return path;
}

static inline int count_files(const char *dir) {
    int n = 0;
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));)
        n += *e->d_name != '.';
    if (d)
        closedir(d);
    return n;
}

/* Runs `body` (which must clean up after itself) with the k-th OpenCL call failing, for every k until there
 * are no more calls; each failure must carry a message. Returns how many calls there were. */
static inline long for_each_cl_fault(norn_status (*body)(void *), void *arg, int code) {
    for (long k = 0; k < 10000; k++) {
        norni_cl_fail_after(k, code);
        norn_status s = body(arg);
        bool pending = norni_cl_fail_pending();
        norni_cl_fail_after(-1, 0);
        if (pending) {
            OK(s);
            return k;
        }
        if (s != NORN_OK)
            assert_true(*norn_error());
    }
    fail_msg("more than 10000 calls");
    return -1;
}

/* The same with host memory, which fails from the k-th allocation on. */
static inline long for_each_alloc_fault(norn_status (*body)(void *), void *arg) {
    for (long k = 0; k < 10000; k++) {
        norni_alloc_fail_after(k);
        norn_status s = body(arg);
        norni_alloc_fail_after(-1);
        if (s == NORN_OK)
            return k;
        assert_int_equal(s, NORN_NOMEM);
    }
    fail_msg("more than 10000 allocations");
    return -1;
}

#endif
