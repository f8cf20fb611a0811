/* SPDX-License-Identifier: Apache-2.0 */
/* Programs through the cache: second starts, drivers that compile late, several processes, faults. */
#include "tests/backend.h"
#include <pthread.h>

/* Of the size and kind that norn runs: a register-tiled product, a pointwise kernel, a reduction. */
static const char realistic[] =
    "__kernel __attribute__((reqd_work_group_size(1, 1, 1)))\n"
    "void gemm(__global const float *a, __global const float *b, __global float *c, int K, int ldb) {\n"
    "    int i = get_global_id(0) * 8, j = get_global_id(1) * 32;\n"
    "    float16 s[8][2];\n"
    "    for (int r = 0; r < 8; r++) s[r][0] = s[r][1] = (float16)(0);\n"
    "    for (int k = 0; k < K; k++) {\n"
    "        float16 b0 = vload16(0, b + k * ldb + j), b1 = vload16(0, b + k * ldb + j + 16);\n"
    "        for (int r = 0; r < 8; r++) {\n"
    "            float16 x = (float16)(a[(i + r) * K + k]);\n"
    "            s[r][0] = fma(x, b0, s[r][0]);\n"
    "            s[r][1] = fma(x, b1, s[r][1]);\n"
    "        }\n"
    "    }\n"
    "    for (int r = 0; r < 8; r++) {\n"
    "        vstore16(s[r][0] * TAG, 0, c + (i + r) * ldb + j);\n"
    "        vstore16(s[r][1] * TAG, 0, c + (i + r) * ldb + j + 16);\n"
    "    }\n"
    "}\n"
    "__kernel void act(__global float *x, int n) {\n"
    "    int i = get_global_id(0);\n"
    "    if (i < n) x[i] = tanh(x[i]) + exp(-fabs(x[i])) * TAG;\n"
    "}\n"
    "__kernel void sums(__global const float *x, __global float *y, int n, __local float *t) {\n"
    "    int l = get_local_id(0);\n"
    "    float s = 0;\n"
    "    for (int i = get_global_id(0); i < n; i += get_global_size(0)) s += x[i];\n"
    "    t[l] = s;\n"
    "    barrier(CLK_LOCAL_MEM_FENCE);\n"
    "    for (int o = get_local_size(0) / 2; o; o /= 2) {\n"
    "        if (l < o) t[l] += t[l + o];\n"
    "        barrier(CLK_LOCAL_MEM_FENCE);\n"
    "    }\n"
    "    if (!l) y[get_group_id(0)] = t[0];\n"
    "}\n";

enum { SIDE = 64, N_PROGRAMS = 5 };

/* Files with a program of this source, and not what opening a context may try a device with; -1 for
 * unfinished ones. */
static int saved(const char *dir) {
    int n = 0;
    DIR *d = opendir(dir);
    for (struct dirent *e; d && (e = readdir(d));) {
        char path[400], text[16384];
        snprintf(path, sizeof path, "%.100s/%.250s", dir, e->d_name);
        FILE *f = *e->d_name != '.' && n >= 0 ? fopen(path, "rb") : NULL;
        if (!f)
            continue;
        size_t got = fread(text, 1, sizeof text, f), piece = strlen("void gemm(");
        fclose(f);
        bool found = false;
        for (size_t i = 0; i + piece <= got && !found; i++)
            found = !memcmp(text + i, "void gemm(", piece);
        n = strncmp(e->d_name, "unfinished", 10) ? n + found : -1;
    }
    if (d)
        closedir(d);
    return n;
}

static norn_status run_one(norn_context *ctx, norni_program *p, norn_buffer *a, norn_buffer *b, float *sum) {
    norni_kernel *gemm = NULL, *act = NULL, *sums = NULL;
    int side = SIDE, n = SIDE * SIDE;
    norn_status s = norni_kernel_new(p, "gemm", &gemm);
    s = s ? s : norni_kernel_new(p, "act", &act);
    s = s ? s : norni_kernel_new(p, "sums", &sums);
    norni_launch tiles = {.dims = 2, .global = {SIDE / 8, SIDE / 32}, .local = {1, 1}};
    norni_launch points = {.dims = 1, .global = {SIDE * SIDE}, .local = {64}},
                 one = {.dims = 1, .global = {64}, .local = {64}};
    s = s ? s : norni_kernel_set_buffer(gemm, 0, a);
    s = s ? s : norni_kernel_set_buffer(gemm, 1, a);
    s = s ? s : norni_kernel_set_buffer(gemm, 2, b);
    s = s ? s : norni_kernel_set_value(gemm, 3, &side, sizeof side);
    s = s ? s : norni_kernel_set_value(gemm, 4, &side, sizeof side);
    s = s ? s : norni_kernel_launch(gemm, &tiles);
    s = s ? s : norni_kernel_set_buffer(act, 0, b);
    s = s ? s : norni_kernel_set_value(act, 1, &n, sizeof n);
    s = s ? s : norni_kernel_launch(act, &points);
    s = s ? s : norni_kernel_set_buffer(sums, 0, b);
    s = s ? s : norni_kernel_set_buffer(sums, 1, a);
    s = s ? s : norni_kernel_set_value(sums, 2, &n, sizeof n);
    s = s ? s : norni_kernel_set_local(sums, 3, 64 * sizeof(float));
    s = s ? s : norni_kernel_launch(sums, &one);
    s = s ? s : norn_buffer_read(a, 0, sum, sizeof *sum);
    norni_kernel_free(gemm);
    norni_kernel_free(act);
    norni_kernel_free(sums);
    return s;
}

/* Opens a context, gets the programs, launches every kernel, checks the sums, closes. Times in ms: {opening,
 * programs and first launches, closing}. */
static norn_status start(int n_programs, norn_build_stats *builds, double ms[3]) {
    norn_context *ctx;
    uint64_t t[4] = {norni_now_ns()};
    NORNI_TRY(norn_context_open(NULL, &ctx));
    norni_program_source src[N_PROGRAMS];
    norni_program *p[N_PROGRAMS];
    char options[N_PROGRAMS][32];
    for (int i = 0; i < n_programs; i++) {
        snprintf(options[i], sizeof options[i], "-DTAG=%d.0f", i + 1);
        src[i] = (norni_program_source){"realistic.cl", realistic, options[i]};
    }
    norn_buffer *a = NULL, *b = NULL;
    size_t bytes = SIDE * SIDE * sizeof(float);
    norn_status s = norn_buffer_new(ctx, bytes, &a);
    s = s ? s : norn_buffer_new(ctx, bytes, &b);
    t[1] = norni_now_ns();
    s = s ? s : norni_programs_get(ctx, src, (size_t)n_programs, p);
    for (int i = 0; i < n_programs && s == NORN_OK; i++) {
        float sum = 0;
        s = norn_buffer_fill(a, 0, bytes, 0); /* tanh(0) + exp(0) * TAG */
        s = s ? s : run_one(ctx, p[i], a, b, &sum);
        if (s == NORN_OK)
            assert_true(sum == (float)(SIDE * SIDE * (i + 1)));
    }
    t[2] = norni_now_ns();
    if (builds)
        norn_context_builds(ctx, builds);
    norn_buffer_free(a);
    norn_buffer_free(b);
    norn_context_close(ctx);
    t[3] = norni_now_ns();
    for (int i = 0; i < 3 && ms; i++)
        ms[i] = (double)(t[i + 1] - t[i]) * 1e-6;
    return s;
}

static void expect_start(int n, unsigned built, unsigned cached) {
    norn_build_stats st;
    OK(start(n, &st, NULL));
    assert_int_equal(st.built, built);
    assert_int_equal(st.cached, cached);
    assert_true(built ? st.build_ms > 0 : st.build_ms == 0);
    assert_true(cached ? st.cache_ms > 0 : true);
}

static void test_second_start(void **state) {
    if (!have_device())
        skip();
    const char *dir = new_folder();
    setenv("NORN_CACHE_DIR", dir, 1);
    expect_start(2, 2, 0);
    assert_int_equal(saved(dir), 2);
    expect_start(2, 0, 2);
    expect_start(3, 1, 2);
    assert_int_equal(saved(dir), 3);
    setenv("NORN_CACHE", "0", 1);
    expect_start(1, 1, 0);
    unsetenv("NORN_CACHE");
    /* Files that a driver cannot use, or that are damaged, are replaced. */
    DIR *d = opendir(dir);
    int i = 0;
    for (struct dirent *e; (e = readdir(d));) {
        char path[400];
        snprintf(path, sizeof path, "%.100s/%.250s", dir, e->d_name);
        if (*e->d_name != '.')
            assert_int_equal(truncate(path, 100 + 1000 * i++), 0);
    }
    closedir(d);
    expect_start(3, 3, 0);
    expect_start(3, 0, 3);
    d = opendir(dir);
    for (struct dirent *e; (e = readdir(d));) { /* one byte at the end of each */
        char path[400];
        snprintf(path, sizeof path, "%.100s/%.250s", dir, e->d_name);
        FILE *f = *e->d_name != '.' ? fopen(path, "r+b") : NULL;
        if (!f)
            continue;
        assert_int_equal(fseek(f, -1, SEEK_END), 0);
        int c = fgetc(f);
        assert_int_equal(fseek(f, -1, SEEK_END), 0);
        fputc(c ^ 1, f);
        fclose(f);
    }
    closedir(d);
    expect_start(3, 3, 0);
    expect_start(3, 0, 3);
    /* The checksum is right, but the binary is nothing a driver knows. */
    norn_context *ctx = open_context();
    unsigned char junk[3000];
    memset(junk, 0x5A, sizeof junk);
    norni_cache_entry e = {.binary = junk, .binary_bytes = sizeof junk};
    char *key = norni_cache_key(&ctx->cache, "-cl-std=CL1.2 -cl-kernel-arg-info -DTAG=1.0f", realistic);
    assert_true(norni_cache_covers(&ctx->cache, key, NULL, 0));
    norni_cache_store(&ctx->cache, key, &e);
    assert_true(norni_cache_covers(&ctx->cache, key, NULL, 0));
    norn_context_close(ctx);
    expect_start(1, 1, 0);
    expect_start(1, 0, 1);
    norni_free(key);
    /* A folder that fills up keeps to its limit: three files of more than 100 KB in 0 MB cannot be tested by
     * the environment's whole megabytes, so by hand. */
    ctx = open_context();
    ctx->cache.cap_bytes = 1;
    norni_cache_trim(&ctx->cache);
    assert_int_equal(count_files(dir), 0);
    norn_context_close(ctx);
    unsetenv("NORN_CACHE_DIR");
    remove_folder(dir);
}

/* One launch of `act` with this local size in a context of its own; the milliseconds it counted as
 * compilation. */
static double launch_act(size_t local, double saving_share, bool finish, const char *dir,
                         int files_before_close) {
    norn_context *ctx = open_context();
    ctx->saving_share = saving_share;
    norni_program_source src = {"realistic.cl", realistic, "-DTAG=9.0f"};
    norni_program *p;
    norni_kernel *k;
    norn_buffer *b;
    OK(norni_programs_get(ctx, &src, 1, &p));
    norn_build_stats before, after;
    norn_context_builds(ctx, &before);
    OK(norni_kernel_new(p, "act", &k));
    OK(norn_buffer_new(ctx, 4096, &b));
    OK(norn_buffer_fill(b, 0, 4096, 0));
    OK(norni_kernel_set_buffer(k, 0, b));
    OK(norni_kernel_set_value(k, 1, &(int){1024}, sizeof(int)));
    norni_launch l = {.dims = 1, .global = {1024}, .local = {local}};
    OK(norni_kernel_launch(k, &l));
    OK(norni_kernel_launch(k, &l));
    if (finish)
        OK(norn_context_finish(ctx));
    norn_context_builds(ctx, &after);
    assert_int_equal(count_files(dir), files_before_close);
    norni_kernel_free(k);
    norn_buffer_free(b);
    norn_context_close(ctx);
    return after.build_ms - before.build_ms;
}

static void test_lazy_driver(void **state) {
    norn_context *ctx = open_context();
    bool lazy = ctx->lazy;
    norn_context_close(ctx);
    if (!lazy)
        skip();
    const char *dir = new_folder();
    setenv("NORN_CACHE_DIR", dir, 1);
    /* First launches are timed, known ones are not; a new local size is a new variant and is saved at the
     * end. */
    assert_true(launch_act(64, 1e-9, true, dir, 0) > 0); /* too early to save when finished */
    assert_int_equal(count_files(dir), 1);
    assert_true(launch_act(64, 1e-9, true, dir, 1) == 0);
    assert_true(launch_act(32, 1e-9, true, dir, 1) > 0);
    assert_true(launch_act(32, 1e-9, true, dir, 1) == 0);
    assert_true(launch_act(64, 1e-9, true, dir, 1) == 0);
    char path[400];
    unlink(only_file(dir, path));
    assert_true(launch_act(64, 1e3, true, dir, 1) > 0); /* time enough: saved while finishing */
    unlink(only_file(dir, path));
    assert_true(launch_act(64, 1e3, false, dir, 0) > 0); /* saved at the end without */
    assert_int_equal(count_files(dir), 1);
    unsetenv("NORN_CACHE_DIR");
    remove_folder(dir);
}

static int child_start(int n) {
    norn_build_stats st;
    double ms[3];
    if (start(n, &st, ms) != NORN_OK) {
        fprintf(stderr, "%s\n", norn_error());
        return 1;
    }
    const char *report = getenv("NORN_TEST_REPORT");
    FILE *f = report ? fopen(report, "w") : NULL;
    if (f) {
        fprintf(f, "%u %u %g %g %g %g %g\n", st.built, st.cached, st.build_ms, st.cache_ms, ms[0], ms[1],
                ms[2]);
        fclose(f);
    }
    return 0;
}

/* Dies in the middle, after launches, without closing anything. */
static int child_crash(void) {
    norn_context *ctx;
    norni_program_source src = {"realistic.cl", realistic, "-DTAG=1.0f"};
    norni_program *p;
    norni_kernel *k;
    norn_buffer *b;
    if (norn_context_open(NULL, &ctx) || norni_programs_get(ctx, &src, 1, &p) ||
        norni_kernel_new(p, "act", &k) || norn_buffer_new(ctx, 4096, &b) ||
        norni_kernel_set_buffer(k, 0, b) || norni_kernel_set_value(k, 1, &(int){1024}, sizeof(int)))
        return 1;
    norni_launch l = {.dims = 1, .global = {1024}, .local = {64}};
    if (norni_kernel_launch(k, &l))
        return 2;
    _exit(0);
}

static void test_processes(void **state) {
    if (!have_device())
        skip();
    const char *dir = new_folder();
    setenv("NORN_CACHE_DIR", dir, 1);
    for (int round = 0; round < 2; round++) { /* all build; then all load */
        pid_t pids[4];
        for (int i = 0; i < 4; i++)
            pids[i] = start_child("start-2", NULL, NULL);
        for (int i = 0; i < 4; i++)
            assert_int_equal(wait_child(pids[i]), 0);
        assert_int_equal(saved(dir), 2); /* nothing unfinished is left */
    }
    expect_start(2, 0, 2);
    remove_folder(dir);
    assert_int_equal(wait_child(start_child("crash", NULL, NULL)), 0);
    expect_start(1, saved(dir) ? 0 : 1, saved(dir) ? 1 : 0); /* saved before by drivers that compile early */
    expect_start(1, 0, 1);
    unsetenv("NORN_CACHE_DIR");
    remove_folder(dir);
}

static void *thread_start(void *arg) {
    for (int i = 0; i < 3; i++)
        if (start(3, NULL, NULL) != NORN_OK)
            return (void *)norn_error();
    return NULL;
}

/* Several contexts, each used by a thread of its own, over one folder. */
static void test_threads(void **state) {
    norn_context *ctx = open_context();
    bool alone = ctx->build_threads == 1 &&
                 norni_text_has(ctx->device.name, "oclgrind"); /* which is not thread-safe */
    norn_context_close(ctx);
    if (alone)
        skip();
    const char *dir = new_folder();
    setenv("NORN_CACHE_DIR", dir, 1);
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, thread_start, NULL), 0);
    for (int i = 0; i < 3; i++) {
        void *message;
        assert_int_equal(pthread_join(threads[i], &message), 0);
        assert_null(message);
    }
    expect_start(3, 0, 3);
    unsetenv("NORN_CACHE_DIR");
    remove_folder(dir);
}

/* With the driver's own cache off, a second start spends at most a tenth of the first on programs and first
 * launches. */
static void test_ten_times_faster(void **state) {
    norn_context *ctx = open_context();
    bool simulator =
        norni_text_has(ctx->device.name, "oclgrind"); /* which takes its time to run, not to build */
    norn_context_close(ctx);
    if (simulator)
        skip();
    const char *dir = new_folder();
    char report[100];
    snprintf(report, sizeof report, "%s.report", dir);
    setenv("NORN_CACHE_DIR", dir, 1);
    setenv("POCL_KERNEL_CACHE", "0", 1);
    double build[2], cache[2], open[2], work[2], closing[2];
    unsigned built[2], cached[2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(wait_child(start_child("start-5", "NORN_TEST_REPORT", report)), 0);
        FILE *f = fopen(report, "r");
        assert_non_null(f);
        assert_int_equal(fscanf(f, "%u %u %lf %lf %lf %lf %lf", &built[i], &cached[i], &build[i], &cache[i],
                                &open[i], &work[i], &closing[i]),
                         7);
        fclose(f);
        print_message(
            "%s start: %u built, %u cached, build %.1f ms, cache %.1f ms; opening %.1f, programs and first "
            "launches %.1f, closing %.1f ms\n",
            i ? "second" : "first", built[i], cached[i], build[i], cache[i], open[i], work[i], closing[i]);
    }
    unsetenv("POCL_KERNEL_CACHE");
    unsetenv("NORN_CACHE_DIR");
    remove_folder(dir);
    unlink(report);
    assert_int_equal(built[0], N_PROGRAMS);
    assert_int_equal(cached[1], N_PROGRAMS);
    assert_int_equal(built[1], 0);
    assert_true(10 * (build[1] + cache[1]) < build[0]);
    assert_true(10 * work[1] < work[0]);
}

static void test_faults(void **state) {
    if (!have_device())
        skip();
    const char *dir = new_folder();
    setenv("NORN_CACHE_DIR", dir, 1);
    for (int warm = 0; warm < 2; warm++) {
        if (warm)
            OK(start(2, NULL, NULL));
        for (long k = 0; k < 400;
             k += 1 + k / 8) { /* every call and every allocation takes long with builds */
            if (!warm) {
                remove_folder(dir);
                assert_int_equal(mkdir(dir, 0700), 0);
            }
            norni_cl_fail_after(k, CL_OUT_OF_RESOURCES);
            norn_status s = start(2, NULL, NULL);
            bool over = norni_cl_fail_pending();
            norni_cl_fail_after(-1, 0);
            assert_true(s == NORN_OK || (!over && *norn_error()));
            norni_alloc_fail_after(k);
            s = start(2, NULL, NULL);
            norni_alloc_fail_after(-1);
            assert_true(s == NORN_OK || s == NORN_NOMEM);
            OK(start(2, NULL, NULL)); /* whatever was left on the disk, it works */
            if (over && s == NORN_OK)
                break;
        }
    }
    unsetenv("NORN_CACHE_DIR");
    remove_folder(dir);
}

int main(int argc, char **argv) {
    if (argc > 1 && !strncmp(argv[1], "start-", 6))
        return child_start(atoi(argv[1] + 6));
    if (argc > 1)
        return !strcmp(argv[1], "crash") ? child_crash() : 99;
    unsetenv("NORN_CACHE");
    unsetenv("NORN_CACHE_MB");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_second_start),     cmocka_unit_test(test_lazy_driver),
        cmocka_unit_test(test_processes),        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_ten_times_faster), cmocka_unit_test(test_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
