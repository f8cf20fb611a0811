/* SPDX-License-Identifier: Apache-2.0 */
/* Programs compiled by worker processes: that they are, that the results and the cache are the same then, and that workers
 * which are absent, die, hang or answer nonsense change nothing but who does the work. */
#include "tests/backend.h"
#include <errno.h>
#include <fcntl.h>

/* A tag of its own for each program; two kernels, one with barriers. */
static const char source[] = "__kernel void scale(__global float *x, int n) {\n"
                             "    int i = get_global_id(0);\n"
                             "    if (i < n) x[i] = x[i] * TAG + 1;\n"
                             "}\n"
                             "__kernel void turn(__global float *x, __local float *t) {\n"
                             "    int l = get_local_id(0), n = get_local_size(0);\n"
                             "    t[l] = x[get_global_id(0)];\n"
                             "    barrier(CLK_LOCAL_MEM_FENCE);\n"
                             "    x[get_global_id(0)] = t[n - 1 - l];\n"
                             "}\n";

enum { N = 1 << 17, N_PROGRAMS = 4, LOCAL = 16 };
static char folder[64], log_path[100], script_path[100];

/* A range that PoCL compiles for as a large one, and a small one. */
static const norni_planned planned[] = {
    {"scale", {.dims = 1, .global = {N}, .local = {1}}},
    {"turn", {.dims = 2, .global = {1024, 1}, .local = {LOCAL, 1}}},
    {"scale", {.dims = 1, .global = {N}, .local = {1}}}, /* again */
};

static norn_status launch_all(norni_program *p, norn_buffer *b) {
    norni_kernel *k[3] = {NULL};
    int n = N;
    norn_status s = NORN_OK;
    for (int i = 0; i < 3 && s == NORN_OK; i++) {
        s = norni_kernel_new(p, planned[i].kernel, &k[i]);
        s = s ? s : norni_kernel_set_buffer(k[i], 0, b);
        if (i != 1)
            s = s ? s : norni_kernel_set_value(k[i], 1, &n, sizeof n);
        else
            s = s ? s : norni_kernel_set_local(k[i], 1, LOCAL * sizeof(float));
        s = s ? s : norni_kernel_launch(k[i], &planned[i].launch);
    }
    for (int i = 0; i < 3; i++)
        norni_kernel_free(k[i]);
    return s;
}

/* Gets the programs, runs all and compares with what they compute. */
static norn_status start(norn_build_stats *builds, size_t *unsaved, bool lose_folder) {
    norn_context *ctx;
    NORNI_TRY(norn_context_open(NULL, &ctx));
    norni_program_source src[N_PROGRAMS];
    norni_planned_list list[N_PROGRAMS];
    norni_program *p[N_PROGRAMS];
    char options[N_PROGRAMS][32];
    for (int i = 0; i < N_PROGRAMS; i++) {
        snprintf(options[i], sizeof options[i], "-DTAG=%d.0f", i + 2);
        src[i] = (norni_program_source){"scale.cl", source, options[i]};
        list[i] = (norni_planned_list){planned, sizeof planned / sizeof *planned};
    }
    if (lose_folder)
        remove_folder(folder);
    static float x[N];
    norn_buffer *b = NULL;
    norn_status s = norn_buffer_new(ctx, sizeof x, &b);
    s = s ? s : norni_programs_get_for(ctx, src, list, N_PROGRAMS, p);
    *unsaved = 0;
    for (int i = 0; i < N_PROGRAMS && s == NORN_OK; i++) {
        for (int k = 0; k < N; k++)
            x[k] = (float)(k % 1000);
        s = norn_buffer_write(b, 0, x, sizeof x);
        s = s ? s : launch_all(p[i], b);
        s = s ? s : norn_buffer_read(b, 0, x, sizeof x);
        float tag = (float)(i + 2);
        for (int k = 0; k < N && s == NORN_OK; k++) {
            int from = k < 1024 ? k / LOCAL * LOCAL + LOCAL - 1 - k % LOCAL : k;
            float wanted = (float)(from % 1000) * tag + 1;
            assert_true(x[k] == wanted * tag + 1);
        }
        *unsaved += s == NORN_OK && p[i]->unsaved;
    }
    norn_context_builds(ctx, builds);
    norn_buffer_free(b);
    norn_context_close(ctx);
    return s;
}

static int lines(const char *path) {
    FILE *f = fopen(path, "r");
    int n = 0;
    for (int c; f && (c = fgetc(f)) != EOF;)
        n += c == '\n';
    if (f)
        fclose(f);
    return n;
}

/* A worker that leaves a line in the log and goes on with `body`, in a shell. */
static void use_worker(const char *body) {
    FILE *f = fopen(script_path, "w");
    assert_non_null(f);
    fprintf(f, "#!/bin/sh\necho started >>%s\n%s\n", log_path, body);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(script_path, 0700), 0);
    setenv("NORN_WORKER", script_path, 1);
}

static int setup(void **state) {
    snprintf(folder, sizeof folder, "%s", new_folder());
    snprintf(log_path, sizeof log_path, "%s.log", folder);
    snprintf(script_path, sizeof script_path, "%s.sh", folder);
    setenv("NORN_CACHE_DIR", folder, 1);
    return 0;
}

static int teardown(void **state) {
    unsetenv("NORN_CACHE_DIR");
    unsetenv("NORN_WORKER");
    remove_folder(folder);
    unlink(log_path);
    unlink(script_path);
    return 0;
}

static bool no_children(void) {
    return waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD;
}

/* Whether this driver is one that workers are for. */
static void need_lazy(void) {
    norn_context *ctx = open_context();
    bool lazy = ctx->lazy;
    norn_context_close(ctx);
    if (!lazy)
        skip();
    remove_folder(folder); /* what opening the context may have tried */
    assert_int_equal(mkdir(folder, 0700), 0);
}

static void complete_cache(void) {
    norn_build_stats st;
    size_t unsaved;
    OK(start(&st, &unsaved, false));
    assert_int_equal(st.built, 0);
    assert_int_equal(st.cached, N_PROGRAMS);
    assert_int_equal(unsaved, 0);
    assert_int_equal(count_files(folder), N_PROGRAMS);
    assert_true(no_children());
}

static void test_workers_build(void **state) {
    need_lazy();
    use_worker("exec " NORN_WORKER_PATH " \"$@\"");
    norn_build_stats st;
    size_t unsaved;
    OK(start(&st, &unsaved, false));
    assert_in_range(lines(log_path), 1, N_PROGRAMS);
    assert_int_equal(st.built, N_PROGRAMS);
    assert_int_equal(st.cached, 0);
    assert_int_equal(unsaved, 0); /* they have it all: every launch, nothing left to do when closing */
    unlink(log_path);
    complete_cache();
    assert_int_equal(lines(log_path), 0); /* nobody was needed */
}

/* Without a cache nobody is asked. */
static void test_no_cache(void **state) {
    need_lazy();
    use_worker("exec " NORN_WORKER_PATH " \"$@\"");
    setenv("NORN_CACHE", "0", 1);
    norn_build_stats st;
    size_t unsaved;
    norn_status s = start(&st, &unsaved, false);
    unsetenv("NORN_CACHE");
    OK(s);
    assert_int_equal(lines(log_path), 0);
    assert_int_equal(st.built, N_PROGRAMS);
}

/* A folder that goes away, or cannot be written. */
static void test_lost_folder(void **state) {
    need_lazy();
    use_worker("exec " NORN_WORKER_PATH " \"$@\"");
    norn_build_stats st;
    size_t unsaved;
    OK(start(&st, &unsaved, true));
    assert_int_equal(st.built, N_PROGRAMS);
    assert_true(no_children());
}

static void test_bad_workers(void **state) {
    static const char *const bodies[] = {
        "exit 1",
        "kill -9 $$",
        "head -c 10 >/dev/null; exit 0",                    /* in the middle of a request */
        "exec head -c 100000 /dev/urandom >&0 2>/dev/null", /* nonsense */
        "printf '\\001\\000\\167\\156' >&0; exit 0",        /* the beginning of an answer */
        "exec " NORN_WORKER_PATH " no such device at_all",
        "exec sleep 1000",                                            /* hangs */
        "POCL_CACHE_DIR=/proc/none exec " NORN_WORKER_PATH " \"$@\"", /* the driver dies, or does not build */
    };
    need_lazy();
    norni_workers_silent_ms = 1000;
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        remove_folder(folder);
        assert_int_equal(mkdir(folder, 0700), 0);
        unlink(log_path);
        use_worker(bodies[i]);
        norn_build_stats st;
        size_t unsaved;
        OK(start(&st, &unsaved, false));
        if (lines(log_path) < 1 || st.built != N_PROGRAMS || !no_children())
            fail_msg("worker '%s': %d started, %u built", bodies[i], lines(log_path), st.built);
        complete_cache();
    }
    norni_workers_silent_ms = 120000;
    setenv("NORN_WORKER", "/nonexistent/worker", 1);
    remove_folder(folder);
    assert_int_equal(mkdir(folder, 0700), 0);
    norn_build_stats st;
    size_t unsaved;
    OK(start(&st, &unsaved, false));
    assert_int_equal(st.built, N_PROGRAMS);
    complete_cache();
}

/* One worker dies at its second program, the rest goes on; what it had is built here. */
static void test_one_dies(void **state) {
    need_lazy();
    use_worker("mkdir " NORN_TEST_ONCE " 2>/dev/null || exec " NORN_WORKER_PATH " \"$@\"\n"
               "exit 1");
    rmdir(NORN_TEST_ONCE);
    norn_build_stats st;
    size_t unsaved;
    setenv("NORN_BUILD_THREADS", "3", 1);
    norn_status s = start(&st, &unsaved, false);
    unsetenv("NORN_BUILD_THREADS");
    rmdir(NORN_TEST_ONCE);
    OK(s);
    assert_int_equal(lines(log_path), 3);
    assert_int_equal(st.built, N_PROGRAMS);
    complete_cache();
}

/* What does not build says so as ever. */
static void test_build_error(void **state) {
    need_lazy();
    use_worker("exec " NORN_WORKER_PATH " \"$@\"");
    norn_context *ctx = open_context();
    norni_program_source src[] = {{"good.cl", source, "-DTAG=1.0f"},
                                  {"bad.cl", "__kernel void scale() { fault; }", ""}};
    norni_planned_list list[] = {{planned, 1}, {planned, 1}};
    norni_program *p[2];
    FAILS(norni_programs_get_for(ctx, src, list, 2, p), NORN_BUILD, "bad.cl", "clBuildProgram", "fault");
    OK(norni_programs_get_for(ctx, src, list, 1, p));
    norn_context_close(ctx);
    assert_true(no_children());
}

/* Two first starts at once. */
static void test_processes(void **state) {
    need_lazy();
    setenv("NORN_WORKER", NORN_WORKER_PATH, 1);
    pid_t pids[2];
    for (int i = 0; i < 2; i++)
        pids[i] = start_child("start", NULL, NULL);
    for (int i = 0; i < 2; i++)
        assert_int_equal(wait_child(pids[i]), 0);
    complete_cache();
}

int main(int argc, char **argv) {
    if (argc > 1) {
        norn_build_stats st;
        size_t unsaved;
        norn_status s = start(&st, &unsaved, false);
        if (s != NORN_OK)
            fprintf(stderr, "%s\n", norn_error());
        return s != NORN_OK;
    }
    unsetenv("NORN_CACHE");
    unsetenv("NORN_CACHE_MB");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_workers_build, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_cache, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lost_folder, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_workers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_dies, setup, teardown),
        cmocka_unit_test_setup_teardown(test_build_error, setup, teardown),
        cmocka_unit_test_setup_teardown(test_processes, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
