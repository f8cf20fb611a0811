/* SPDX-License-Identifier: Apache-2.0 */
/* Tuning records: which device they are for, what becomes of them on disk, and that every value which an implementation
 * offers gives right results. */
#include "ops/tuning.h"
#include "backend/blas.h"
#include "base/file.h"
#include "bench/bench.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define OK(call)                                                                                             \
    if ((call) != NORN_OK)                                                                                   \
    fail_msg("%s: %s", #call, norn_error())

static const char *const abc[] = {"a", "b", "c"};

static void records_by_device(void **state) {
    (void)state;
    struct norn_device one = {.name = "one", .compute_units = 2}, two = {.name = "two", .compute_units = 2};
    assert_int_equal(norni_tuned(&one, "test x", 3, abc, 1), 1); /* the rule, without a record */
    OK(norni_tuning_put(&one, "test x", "c"));
    assert_int_equal(norni_tuned(&one, "test x", 3, abc, 1), 2);
    assert_int_equal(norni_tuned(&two, "test x", 3, abc, 1), 1);
    assert_int_equal(norni_tuned(&one, "test y", 3, abc, 1), 1);
    OK(norni_tuning_put(&one, "test x", "a")); /* a later one wins */
    assert_int_equal(norni_tuned(&one, "test x", 3, abc, 1), 0);
    assert_int_equal(norni_tuned(&one, "test x", 2, abc + 1, 1), 1); /* "a" is not offered any more */
    norni_tuning_try("test x", "b");
    assert_int_equal(norni_tuned(&one, "test x", 3, abc, 2), 1);
    norni_tuning_try(NULL, NULL);

    norni_tuning_watch w = {0};
    norni_tuning_watch_set(&w);
    norni_tuned(&one, "test x", 3, abc, 1);
    norni_tuned(&one, "test z", 3, abc, 1);
    norni_tuned(&one, "test x", 3, abc, 1);
    norni_tuning_watch_set(NULL);
    norni_tuned(&one, "test y", 3, abc, 1);
    assert_int_equal(w.asked.n, 2);
    assert_string_equal(w.asked.v[0].key, "test x");
    assert_int_equal(w.asked.v[0].now, 0);
    norni_tuning_watch_free(&w);
}

/* The file keeps what was put, each key once, and is read by the next process. */
static void records_on_disk(void **state) {
    (void)state;
    char *path = NULL;
    unsigned char *data;
    size_t bytes;
    OK(norni_tuning_save(&path));
    OK(norni_file_read(path, 1 << 20, &data, &bytes));
    const char *text = (const char *)data, *at = strstr(text, "test x = a\n");
    assert_true(!strncmp(text, "norn tune 1\n", 12));
    assert_non_null(at);
    assert_null(strstr(text, "test x = c\n"));
    assert_null(strstr(at + 1, "test x = "));
    norni_free(data);
    norni_free(path);
}

/* Every tile of the own product and of convolutions, on sizes that none of them divides. */
static void every_value_is_right(void **state) {
    (void)state;
    static const struct {
        const char *line, *implementation;
    } cases[] = {{"Gemm<transA=1, transB=1>(float[29,45], float[101,29], float[101])", "packed"},
                 {"Conv<pads=[1,1,1,1]>(float[2,19,31,37], float[70,19,3,3])", "blocked"},
                 {"Conv<pads=[1,1,1,1]>(float[2,19,31,37], float[70,19,3,3])", "winograd"},
                 {"Gemm<transA=1, transB=1>(float[29,45], float[101,29], float[101])", "tiled"},
                 {"Conv<pads=[1,1,1,1]>(float[2,19,13,17], float[37,19,3,3])", "tiled"}};
    norn_session *s;
    OK(norn_session_open(NULL, &s));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        norni_tuning_watch w = {0};
        norn_bench_options o = {
            .repeat = 1, .warmup = 1, .plan = {.implementations = cases[i].implementation}};
        norn_bench_result r;
        norni_tuning_watch_set(&w);
        OK(norn_bench_op(s, cases[i].line, &o, &r));
        norni_tuning_watch_set(NULL);
        assert_true(w.asked.n > 0);
        for (size_t k = 0; k < w.asked.n; k++)
            for (int v = 0; v < w.asked.v[k].n; v++) {
                norni_tuning_try(w.asked.v[k].key, w.asked.v[k].values[v]);
                OK(norn_bench_op(s, cases[i].line, &o, &r));
                norni_tuning_try(NULL, NULL);
                if (!r.checked || !r.correct)
                    fail_msg("%s with %s = %s: error %g", cases[i].line, w.asked.v[k].key,
                             w.asked.v[k].values[v], r.max_error);
            }
        norni_tuning_watch_free(&w);
    }
    norn_session_close(s);
}

/* A record changes the plan. */
static void records_reach_plans(void **state) {
    (void)state;
    norn_session *s;
    norn_graph *g;
    norn_plan *p;
    char *before, *after;
    OK(norn_session_open(NULL, &s));
    const norn_device *d = norn_context_device(norn_session_context(s, 0));
    const norn_plan_options o = {.implementations = "packed"};
    OK(norn_graph_parse("g (float[37,29] x, float[29,101] w) => (float[37,101] y) {\n  y = MatMul(x, w)\n}",
                        &g));
    OK(norn_plan_new(g, d, &o, &p));
    OK(norn_plan_print(p, &before));
    norn_plan_free(p);
    OK(norni_tuning_put(d, "gemm float 37x101x29", "6x3"));
    OK(norn_plan_new(g, d, &o, &p));
    OK(norn_plan_print(p, &after));
    norn_plan_free(p);
    assert_null(strstr(before, "-DMR=6 "));
    assert_non_null(strstr(after, "-DMR=6 "));
    norn_text_free(before);
    norn_text_free(after);
    norn_graph_free(g);
    norn_session_close(s);
}

/* A record for a kind of device is used on every such device, and on no other kind. */
static void records_by_kind(void **state) {
    (void)state;
    const struct norn_device wide = {.name = "AMD EPYC", .platform = "Intel(R) OpenCL", .vector_float = 16},
                             narrow = {.name = "AMD EPYC", .platform = "Intel(R) OpenCL", .vector_float = 8};
    OK(norni_tuning_put(&wide, "test width", "c"));
    assert_int_equal(norni_tuned(&wide, "test width", 3, abc, 1), 2);
    assert_int_equal(norni_tuned(&narrow, "test width", 3, abc, 1), 1);
    char *text = norni_tuned_text(&wide, "test width");
    assert_string_equal(text, "c");
    norni_free(text);
    assert_null(norni_tuned_text(&narrow, "test width"));
}

/* What comes with norn: for the CPUs it was measured on, whatever the driver's version and the number of cores, for no others,
 * and after what the user tuned (main wrote a record). */
static void records_that_ship(void **state) {
    (void)state;
    static const char *const tiles[] = {"14x2", "2x14x1", "1x28x1", "6x2"};
    const char *const key = "conv_blocked plain float n1 g1 c24 m48 1/1/1/1/0 56/3/2/1/1 56/3/2/1/1",
                      *const own = "gemm float 250x30x1000";
    struct norn_device pocl = {.name = "pthread-skylake-avx512-Xeon",
                               .platform = "Portable Computing Language",
                               .driver = "3.1",
                               .compute_units = 24,
                               .vector_float = 16},
                       intel = {.name = "AMD EPYC",
                                .platform = "Intel(R) OpenCL",
                                .driver = "2026",
                                .compute_units = 4,
                                .vector_float = 16},
                       avx2 = pocl, arm = pocl;
    snprintf(avx2.name, sizeof avx2.name, "pthread-haswell-Core");
    avx2.vector_float = 8;
    snprintf(arm.name, sizeof arm.name, "cpu-cortex-a76-0xd0b");
    arm.vector_float = 4;
    assert_int_equal(norni_tuned(&pocl, key, 4, tiles, 0), 2);
    assert_int_equal(norni_tuned(&intel, key, 4, tiles, 0), 2);
    assert_int_equal(norni_tuned(&avx2, key, 4, tiles, 0), 0);
    assert_int_equal(norni_tuned(&arm, key, 4, tiles, 0), 0);
    intel.vector_float = 8;
    assert_int_equal(norni_tuned(&intel, key, 4, tiles, 0), 0);
    assert_int_equal(norni_tuned(&pocl, own, 4, tiles, 0), 3);
}

/* CLBlast's parameters: what is out of range or breaks a kernel is refused, and such records are passed over. */
static void blas_values(void **state) {
    (void)state;
    norn_session *s;
    OK(norn_session_open(NULL, &s));
    norn_context *ctx = norn_session_context(s, 0);
    const norn_device *d = norn_context_device(ctx);
    int v[NORNI_BLAS_PARAMETERS];
    char text[256], key[96];
    static const char good[] =
        "GEMMK=0 KREG=1 KWG=16 KWI=2 MDIMA=4 MDIMC=4 MWG=16 NDIMB=4 NDIMC=4 NWG=16 SA=0 SB=0 "
        "STRM=0 STRN=0 VWM=1 VWN=1";
    static const char *const bad[] = {"", "GEMMK=0", "GEMMK=-1 KREG=1", "XGEMM=1",
                                      ("GEMMK=0 KREG=1 KWG=16 KWI=2 MDIMA=4 MDIMC=4 MWG=16 NDIMB=4 NDIMC=4 "
                                       "NWG=16 SA=0 SB=0 STRM=0 STRN=0 VWM=1 VWN=1 ")};
    assert_true(norni_blas_values_parse(NORNI_BLAS_XGEMM, good, v));
    norni_blas_values_print(NORNI_BLAS_XGEMM, v, text, sizeof text);
    assert_string_equal(text, good);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(norni_blas_values_parse(NORNI_BLAS_XGEMM, bad[i], v));
    assert_true(norni_blas_values_parse(NORNI_BLAS_XGEMM, good, v));
    assert_null(norni_blas_illegal(d, NORN_F32, NORNI_BLAS_XGEMM, v));
    for (int i = 0; i < norni_blas_kernels[NORNI_BLAS_XGEMM].n;
         i++) { /* what divides by 0 or is no power of two */
        int before = v[i];
        v[i] = norni_blas_kernels[NORNI_BLAS_XGEMM].p[i].lo - 1;
        assert_non_null(norni_blas_illegal(d, NORN_F32, NORNI_BLAS_XGEMM, v));
        v[i] = 3;
        assert_non_null(norni_blas_illegal(d, NORN_F32, NORNI_BLAS_XGEMM, v));
        assert_int_equal(norni_blas_override(ctx, NORN_F32, NORNI_BLAS_XGEMM, v), NORN_ARG);
        v[i] = before;
    }
    v[6] = 8; /* MWG, which 4 work-items of 4-vectors do not divide */
    v[14] = 4;
    assert_non_null(norni_blas_illegal(d, NORN_F32, NORNI_BLAS_XGEMM, v));
    norn_session_close(s);

    const norn_bench_options o = {.repeat = 1, .warmup = 1, .plan = {.implementations = "clblast"}};
    const char *const records[] = {"GEMMK=0 KREG=0", "0", good};
    for (size_t i = 0; i < sizeof records / sizeof *records; i++) {
        norn_bench_result r;
        OK(norn_session_open(NULL, &s));
        d = norn_context_device(norn_session_context(s, 0));
        norni_tuning_blas_key(NORN_F32, NORNI_BLAS_XGEMM, key, sizeof key);
        OK(norni_tuning_put(d, key, records[i]));
        norni_tuning_blas_key(NORN_F32, NORNI_BLAS_ROUTINE, key, sizeof key);
        OK(norni_tuning_put(d, key, "XGEMM_MIN_INDIRECT_SIZE=0"));
        OK(norn_bench_op(s, "Gemm<transA=1>(float[45,29], float[45,101])", &o, &r));
        assert_true(r.checked && r.correct);
        norn_session_close(s);
    }
}

/* Nothing to tune of CLBlast's where it runs nothing. */
static void blas_without_products(void **state) {
    (void)state;
    norn_session *s;
    norn_tune_result r;
    const char *const lines[] = {"Relu(float[3])"};
    OK(norn_session_open(NULL, &s));
    OK(norn_tune_blas(s, 1, lines, NORN_F32, NULL, &r));
    assert_int_equal(r.parameters, 0);
    assert_int_equal(norn_tune_blas(s, 1, lines, NORN_F16, NULL, &r), NORN_DTYPE);
    norn_session_close(s);
}

/* What was looked at, and never worse than before by more than noise explains. */
static void tuning(void **state) {
    (void)state;
    norn_session *s;
    norn_tune_result r;
    OK(norn_session_open(NULL, &s));
    OK(norn_tune_op(s, "MatMul(float[33,40], float[40,50])", &(norn_tune_options){.seconds = 1}, &r));
    assert_true(r.parameters >= 1);
    assert_true(r.tried >= 1);
    assert_int_equal(r.wrong, 0);
    assert_true(r.before_ms > 0 && r.after_ms > 0);
    OK(norn_tune_op(s, "Relu(float[33,40])", NULL, &r));
    assert_int_equal(r.parameters, 0);
    assert_int_equal(r.tried, 0);
    norn_session_close(s);
}

int main(void) {
    char folder[] = "/tmp/norn-tuning-XXXXXX", file[64];
    if (!mkdtemp(folder))
        return 1;
    snprintf(file, sizeof file, "%s/tune.txt", folder);
    setenv("NORN_CACHE_DIR", folder, 1);
    setenv("NORN_CACHE", "1", 1);
    static const char own[] = "norn tune 1\ndevice *skylake*\ngemm float 250x30x1000 = 6x2\nnonsense\n";
    if (norni_file_write(file, &(norni_piece){own, sizeof own - 1}, 1) != NORN_OK)
        return 1;
    const struct CMUnitTest tests[] = {cmocka_unit_test(records_by_device),
                                       cmocka_unit_test(records_on_disk),
                                       cmocka_unit_test(every_value_is_right),
                                       cmocka_unit_test(records_reach_plans),
                                       cmocka_unit_test(tuning),
                                       cmocka_unit_test(records_by_kind),
                                       cmocka_unit_test(records_that_ship),
                                       cmocka_unit_test(blas_values),
                                       cmocka_unit_test(blas_without_products)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    norni_names names = {0};
    if (norni_dir_list(folder, &names) == NORN_OK)
        for (size_t i = 0; i < names.n; i++) {
            char *path = norni_path_join(folder, names.v[i]);
            if (path)
                unlink(path);
            norni_free(path);
        }
    norni_names_free(&names);
    unlink(file);
    rmdir(folder);
    return failed;
}
