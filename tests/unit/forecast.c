/* SPDX-License-Identifier: Apache-2.0 */
/* What is said of a model before it runs: where operators run, memory, the largest batch, and times that the measured ones
 * do not contradict. Devices come from the snapshots in tests/devices. */
#include "files.h"

#include "bench/bench.h"
#include "export/model.h"

#include "tests/snapshot.h"

#define OK(call)                                                                                             \
    if ((call) != NORN_OK)                                                                                   \
    fail_msg("%s: %s", #call, norn_error())

static norn_model *model(const char *text) {
    norn_graph *g;
    norn_model *m;
    OK(norn_graph_parse(text, &g));
    OK(norn_model_new(g, &m));
    return m;
}

/* y = LAST(x w) for x [N,k] and w [k,n] of zeros; last NULL: x w. */
static norn_model *product(int64_t k, int64_t n, const char *last) {
    norn_graph *g;
    norn_model *m;
    norn_tensor *zeros;
    norn_value *y, *z;
    char type[64];
    OK(norn_graph_new("product", &g));
    OK(norn_tensor_new(NULL, NORN_F32, 2, (int64_t[]){k, n}, NULL, &zeros));
    snprintf(type, sizeof type, "float[N,%lld]", (long long)k);
    norn_value *x = norn_graph_input(g, "x", type), *w = norn_graph_constant(g, "w", zeros);
    OK(norn_graph_apply(g, "MatMul", 2, (norn_value *[]){x, w}, 1, &y));
    if (last)
        OK(norn_graph_apply(g, last, 1, &y, 1, &z));
    OK(norn_graph_output(g, "y", last ? z : y));
    OK(norn_model_new(g, &m));
    norn_tensor_free(zeros);
    return m;
}

static const norn_forecast_node *find(const norn_forecast *f, const char *op) {
    for (size_t i = 0; i < norn_forecast_count(f); i++)
        if (!strcmp(norn_forecast_at(f, i)->op, op))
            return norn_forecast_at(f, i);
    fail_msg("no operator %s in the forecast", op);
    return NULL;
}

static void where_operators_run(void **state) {
    (void)state;
    norn_device *d = snapshot("pocl-avx512");
    norn_model *m = model("g (float[N,8] x, float[8,4] w) => (float[N,4] y, float[K] u) {\n"
                          "  h = MatMul(x, w)\n  y = Relu(h)\n  f = Flatten<axis=0>(h)\n  u = Unique(f)\n}");
    norn_forecast *f;
    OK(norn_forecast_new(m, d, NULL, NULL, &f));
    assert_int_equal(find(f, "MatMul")->runs, NORN_RUNS_NATIVE);
    assert_int_equal(find(f, "Relu")->runs, NORN_RUNS_NATIVE);
    assert_int_equal(find(f, "Unique")->runs, NORN_RUNS_HOST);
    assert_true(strlen(find(f, "Unique")->why) > 0);
    assert_true(find(f, "MatMul")->flops == 2 * 8 * 4);
    const norn_forecast_info *t = norn_forecast_total(f);
    assert_int_equal(t->unsupported, 0);
    assert_false(t->planned); /* how much memory it takes only data tell */
    assert_true(strlen(t->note) > 0);
    norn_forecast_free(f);
    norn_model_free(m);

    m = model("g (bool[N,8] x) => (int64[2,K] y) {\n  y = NonZero(x)\n}");
    OK(norn_forecast_new(m, d, NULL, NULL, &f));
    assert_int_equal(find(f, "NonZero")->runs, NORN_RUNS_DECOMPOSED);
    assert_non_null(strstr(find(f, "NonZero")->why, "CumSum"));
    norn_forecast_free(f);
    norn_model_free(m);

    /* What a loop holds is listed, though only a run tells how often it runs. */
    OK(norn_model_load(TEST_DATA "/verify/control/loop_fed_m/model.onnx", NULL, &m));
    OK(norn_forecast_new(m, d, NULL, NULL, &f));
    assert_int_equal(find(f, "Loop")->runs, NORN_RUNS_HOST);
    t = norn_forecast_total(f);
    assert_true(norn_forecast_count(f) > 1 && t->unsupported == 0 && t->fits && !t->planned);
    assert_non_null(strstr(t->note, "only known in a run"));
    norn_forecast_free(f);
    norn_model_free(m);

    norn_device *mali = snapshot("mali-g78"); /* no double precision */
    m = model("g (double[4] x) => (double[4] y) {\n  y = Relu(x)\n}");
    OK(norn_forecast_new(m, mali, NULL, NULL, &f));
    assert_int_equal(find(f, "Relu")->runs, NORN_RUNS_HOST);
    assert_non_null(strstr(find(f, "Relu")->why, "double"));
    norn_forecast_free(f);
    norn_model_free(m);
    norn_device_free(mali);
    norn_device_free(d);
}

/* The batch that is named fits under the limit, twice as many do not. */
static void largest_batch(void **state) {
    (void)state;
    norn_device *d = snapshot("pocl-avx512");
    static const uint64_t limits[] = {8u << 20, 100u << 20};
    for (int k = 0; k < 2; k++)
        for (int train = 0; train < 2; train++) {
            norn_train_options training;
            norn_train_options_init(&training);
            norn_forecast_options o = {.plan = {.memory_limit_bytes = limits[k]},
                                       .train = train ? &training : NULL};
            norn_forecast *f;
            norn_model *m = product(1000, 500, "Softmax");
            OK(norn_forecast_new(m, d, NULL, &o, &f));
            norn_forecast_info t = *norn_forecast_total(f);
            norn_forecast_free(f);
            norn_model_free(m);
            if (!t.fits) { /* weights and two moments of Adam alone are too large */
                assert_true(train && k == 0);
                continue;
            }
            assert_true(t.largest_batch >= 1);
            assert_true(t.peak_bytes <= limits[k]);
            for (int twice = 0; twice < 2; twice++) {
                char dim[40];
                const char *dims[] = {dim};
                snprintf(dim, sizeof dim, "N=%lld", (long long)t.largest_batch << twice);
                o.n_dims = 1;
                o.dims = dims;
                o.batch = t.largest_batch << twice;
                o.no_batch_search = true;
                m = product(1000, 500, "Softmax");
                OK(norn_forecast_new(m, d, NULL, &o, &f));
                assert_int_equal(norn_forecast_total(f)->fits, !twice);
                norn_forecast_free(f);
                norn_model_free(m);
            }
        }
    norn_device_free(d);
}

/* A step of a batch that is far too large is worked out, not allocated, and what would fit is named. */
static void too_large_a_batch(void **state) {
    (void)state;
    norn_device *d = snapshot("pocl-avx512");
    norn_train_options training;
    norn_train_options_init(&training);
    static const int64_t batches[] = {1 << 28, (int64_t)1 << 50, INT64_MAX};
    for (int k = 0; k < 3; k++)
        for (int train = 0; train < 2; train++) {
            char dim[40];
            const char *dims[] = {dim};
            snprintf(dim, sizeof dim, "N=%lld", (long long)batches[k]);
            norn_forecast_options o = {.n_dims = 1,
                                       .dims = dims,
                                       .batch = train ? batches[k] : 0,
                                       .train = train ? &training : NULL,
                                       .plan = {.memory_limit_bytes = 100u << 20}};
            norn_forecast *f;
            norn_model *m = product(1000, 500, "Softmax");
            OK(norn_forecast_new(m, d, NULL, &o, &f));
            norn_forecast_info t = *norn_forecast_total(f);
            assert_false(t.fits);
            assert_false(t.planned);
            assert_true(strlen(t.note) > 0);
            assert_true(t.largest_batch > 1000 && t.largest_batch < 100000);
            norn_forecast_free(f);
            norn_model_free(m);
        }
    norn_device_free(d);
}

/* A model without a result where its sizes are 1 is worked out at sizes that it takes, and says which; one that takes none of
 * them says what was tried. */
static void sizes_that_are_not_given(void **state) {
    (void)state;
    norn_device *d = snapshot("pocl-avx512");
    static const char halves[] =
        "g (float[N,1,H,W] x, float[1,1,2,2] w) => (float[A,B,C,D] y) {\n"
        "  h = Conv<strides=[2,2], kernel_shape=[2,2], auto_pad=\"SAME_UPPER\">(x, w)\n"
        "  u = ConvTranspose<strides=[2,2], kernel_shape=[2,2]>(h, w)\n  y = Concat<axis=1>(u, x)\n}";
    norn_forecast *f;
    norn_model *m = model(halves);
    OK(norn_forecast_new(m, d, NULL, NULL, &f));
    const norn_forecast_info *t = norn_forecast_total(f);
    assert_true(t->planned && t->ms > 0 && t->largest_batch > 1000);
    assert_string_equal(t->other_names, "H, W");
    assert_int_equal(t->other_size, 8);
    norn_forecast_free(f);
    norn_forecast_options o = {.n_dims = 2, .dims = (const char *const[]){"H=16", "W=6"}};
    OK(norn_forecast_new(m, d, NULL, &o, &f));
    assert_string_equal(norn_forecast_total(f)->other_names, "");
    norn_forecast_free(f);
    o = (norn_forecast_options){.n_dims = 1, .dims = (const char *const[]){"H=7"}};
    assert_int_equal(norn_forecast_new(m, d, NULL, &o, &f), NORN_SHAPE);
    assert_non_null(strstr(norn_error(), "not given are 1: W"));
    norn_model_free(m);
    norn_device_free(d);
}

/* The best of all measurements of a device is kept, whatever else is in the file. */
static void kept_peaks(void **state) {
    (void)state;
    char path[sizeof temporary + 16];
    norn_device *d = snapshot("pocl-avx512"), *other = snapshot("mali-g78");
    snprintf(path, sizeof path, "%s/peaks.txt", temporary);
    setenv("NORN_CACHE", "", 1);
    setenv("NORN_CACHE_DIR", temporary, 1);
    norn_peaks a = {.fp32_gflops = 100, .copy_gbytes_s = 10, .launch_us = 5}, b = a, c = a, e = a;
    norn_peaks_keep(d, &a);
    assert_true(a.fp32_gflops == 100 && a.launch_us == 5 && a.fp64_gflops == 0);
    b.fp32_gflops = 60; /* a busy machine */
    b.launch_us = 9;
    b.copy_gbytes_s = 11;
    norn_peaks_keep(d, &b);
    assert_true(b.fp32_gflops == 100 && b.launch_us == 5 && b.copy_gbytes_s == 11);
    c.fp32_gflops = 7;
    norn_peaks_keep(other, &c); /* another device's are its own */
    assert_true(c.fp32_gflops == 7);
    norn_peaks_keep(d, &e);
    assert_true(e.fp32_gflops == 100 && e.copy_gbytes_s == 11);
    FILE *f = fopen(path, "a"); /* numbers that no device has, fields that there are not, no end of line */
    assert_non_null(f);
    fprintf(f, "fp32_gflops nan\nfp32_gflops 1e300\nlaunch_us -1\nlaunch_us 0\nnonsense 3\nfp32_gflops");
    fclose(f);
    norn_peaks_keep(d, &e);
    assert_true(e.fp32_gflops == 100 && e.launch_us == 5);
    f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f, "something else\n");
    fclose(f);
    norn_peaks_keep(d, &c); /* is written over */
    assert_true(c.fp32_gflops == 7);
    norn_peaks_keep(d, &a);
    c = (norn_peaks){.fp32_gflops = 1};
    norn_peaks_keep(d, &c);
    assert_true(c.fp32_gflops == 100);
    setenv("NORN_CACHE", "0", 1);
    c = (norn_peaks){.fp32_gflops = 1};
    norn_peaks_keep(d, &c);
    assert_true(c.fp32_gflops == 1);
    norn_device_free(d);
    norn_device_free(other);
}

/* More work takes longer; a faster device less; small work is bound by launches, large by what the roofline says. */
static void times(void **state) {
    (void)state;
    norn_device *d = snapshot("pocl-avx512");
    norn_peaks p;
    OK(norn_device_peaks(d, &p));
    static const char sum[] = "g (float[N,1048576] x) => (float[N,1048576] y) {\n  y = Relu(x)\n}",
                      tiny[] = "g (float[N,4] x) => (float[N,4] y) {\n  y = Softmax(x)\n}";
    static const struct {
        const char *text, *dim, *limit;
    } cases[] = {{NULL, "N=2048", "arithmetic"}, {sum, "N=64", "memory"}, {tiny, "N=1", "launches"}};
    for (int k = 0; k < 3; k++) {
        norn_forecast_options o = {.n_dims = 1, .dims = &cases[k].dim, .no_batch_search = true};
        norn_forecast *f, *fast;
        norn_model *m = cases[k].text ? model(cases[k].text) : product(2048, 2048, NULL);
        norn_peaks twice = p;
        twice.fp32_gflops *= 2;
        twice.copy_gbytes_s *= 2;
        twice.cache_gbytes_s *= 2;
        OK(norn_forecast_new(m, d, &p, &o, &f));
        OK(norn_forecast_new(m, d, &twice, &o, &fast));
        const norn_forecast_info *t = norn_forecast_total(f), *u = norn_forecast_total(fast);
        assert_string_equal(t->limit, cases[k].limit);
        assert_true(k == 2 ? u->ms <= t->ms : u->ms < 0.7 * t->ms);
        assert_true(t->ms > 0 && t->launches > 0);
        norn_forecast_free(f);
        norn_forecast_free(fast);
        norn_model_free(m);
    }
    norn_device_free(d);
}

/* Measured peaks are in bounds that hold for any machine, even a loaded one. */
static void measured_peaks(void **state) {
    (void)state;
    norn_session *s;
    norn_peaks p;
    OK(norn_session_open(NULL, &s));
    OK(norn_bench_peaks(s, true, &p));
    assert_true(p.fp32_gflops > 0.5 && p.fp32_gflops < 1e6);
    assert_true(p.global_gbytes_s > 0.1 && p.global_gbytes_s < 1e5);
    assert_true(p.copy_gbytes_s > 0.1 && p.cache_gbytes_s > 0.1 && p.local_gbytes_s > 0.1);
    assert_true(p.write_gbytes_s > 0.01 && p.read_gbytes_s > 0.01);
    assert_true(p.launch_us > 0.01 && p.launch_us < 1e5 && p.wait_us > 0.01 && p.build_ms > 0);
    assert_false(p.estimated);
    norn_session_close(s);
    OK(norn_session_open("host", &s));
    assert_int_equal(norn_bench_peaks(s, true, &p), NORN_UNSUPPORTED);
    norn_session_close(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(where_operators_run),
        cmocka_unit_test(largest_batch),
        cmocka_unit_test(times),
        cmocka_unit_test(measured_peaks),
        cmocka_unit_test(too_large_a_batch),
        cmocka_unit_test(sizes_that_are_not_given),
        cmocka_unit_test_setup_teardown(kept_peaks, make_temporary, remove_temporary)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
