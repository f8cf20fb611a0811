/* SPDX-License-Identifier: Apache-2.0 */
/* Shapes that depend on data: the run is cut, the rest stays on the device. Random operators: other numbers each run, the
 * same ones for the same seed, and one set of numbers on both sides of a cut. */
#include "graph/session.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define OK(call)                                                                                             \
    if ((call) != NORN_OK)                                                                                   \
    fail_msg("%s: %s", #call, norn_error())

static norn_session *session, *host;

static int open_sessions(void **state) {
    (void)state;
    return norn_session_open(NULL, &session) == NORN_OK && norn_session_open("host", &host) == NORN_OK ? 0
                                                                                                       : -1;
}
static int close_sessions(void **state) {
    (void)state;
    norn_session_close(session);
    norn_session_close(host);
    return 0;
}

static norn_executable *load(norn_session *s, const char *text, uint64_t seed) {
    norn_graph *g;
    norn_executable *e;
    const norn_plan_options o = {.seed = seed};
    OK(norn_graph_parse(text, &g));
    OK(norn_executable_new(s, g, &o, NULL, &e));
    norn_graph_free(g);
    return e;
}

static norn_tensor *floats(int64_t n, const float *v) {
    norn_tensor *t;
    OK(norni_tensor_host(NORN_F32, 1, &n, &t));
    memcpy(norni_tensor_data(t), v, (size_t)n * sizeof *v);
    return t;
}

/* Rows that are positive after a product, on the device; the count changes from run to run of one executable. */
static void another_count_each_run(void **state) {
    (void)state;
    norn_executable *e = load(session,
                              "g (float[5] x) => (int64[1,K] places, float[M] kept) {\n"
                              "  r = Relu(x)\n  s = Add(r, r)\n  places = NonZero(s)\n"
                              "  b = Greater(s, r)\n  kept = Compress<axis=0>(s, b)\n}",
                              0);
    const float rows[3][5] = {{1, -1, 2, -3, 4}, {-1, -1, -1, -1, -1}, {1, 2, 3, 4, 5}};
    const int64_t counts[] = {3, 0, 5};
    for (int k = 0; k < 3; k++) {
        norn_tensor *x = floats(5, rows[k]);
        norn_fetch out[2] = {{"places", NULL}, {"kept", NULL}};
        OK(norn_executable_run(e, 1, &(norn_feed){"x", x}, 2, out));
        assert_int_equal(out[0].tensor->dims[1], counts[k]);
        assert_int_equal(out[1].tensor->dims[0], counts[k]);
        for (int i = 0, at = 0; i < 5; i++)
            if (rows[k][i] > 0) {
                assert_int_equal(((int64_t *)norni_tensor_data(out[0].tensor))[at], i);
                assert_float_equal(((float *)norni_tensor_data(out[1].tensor))[at++], 2 * rows[k][i], 0);
            }
        assert_int_equal(norn_executable_host_count(e), 0);
        norn_tensor_free(out[0].tensor);
        norn_tensor_free(out[1].tensor);
        norn_tensor_free(x);
    }
    norn_executable_free(e);
}

/* Unique runs on the host and is listed; what comes before and after it does not. */
static void host_node_between_kernels(void **state) {
    (void)state;
    norn_executable *e = load(
        session, "g (float[6] x) => (float[U] y) {\n  r = Relu(x)\n  u = Unique(r)\n  y = Add(u, u)\n}", 0);
    norn_tensor *x = floats(6, (const float[]){3, -1, 3, 2, 0, 2});
    norn_fetch out = {"y", NULL};
    OK(norn_executable_run(e, 1, &(norn_feed){"x", x}, 1, &out));
    assert_int_equal(out.tensor->dims[0], 3);
    const float want[] = {0, 4, 6};
    assert_memory_equal(norni_tensor_data(out.tensor), want, sizeof want);
    assert_int_equal(norn_executable_host_count(e), 1);
    assert_string_equal(norn_executable_host_at(e, 0), "Unique(float[6])");
    norn_tensor_free(out.tensor);
    norn_tensor_free(x);
    norn_executable_free(e);
}

static norn_tensor *draw(norn_executable *e) {
    norn_fetch out = {"y", NULL};
    OK(norn_executable_run(e, 0, NULL, 1, &out));
    return out.tensor;
}

static bool equal(const norn_tensor *a, const norn_tensor *b) {
    return !memcmp(norni_tensor_data(a), norni_tensor_data(b), norni_tensor_bytes(a));
}

static void random_numbers(void **state) {
    (void)state;
    static const char text[] = "g () => (float[100] y) {\n  y = RandomUniform<shape=[100]>()\n}",
                      twice[] = "g () => (float[100] y) {\n  a = RandomUniform<shape=[100]>()\n"
                                "  b = RandomUniform<shape=[100]>()\n  y = Sub(a, b)\n}",
                      own[] = "g () => (float[100] y) {\n  y = RandomUniform<shape=[100], seed=9>()\n}";
    norn_executable *e = load(session, text, 1), *h = load(host, text, 1), *other = load(session, text, 2),
                    *sub = load(session, twice, 1), *own1 = load(session, own, 1),
                    *own2 = load(session, own, 2);
    norn_tensor *a = draw(e), *b = draw(e), *ha = draw(h), *hb = draw(h), *c = draw(other), *d = draw(sub),
                *o1 = draw(own1), *o2 = draw(own2);
    assert_true(equal(a, ha)); /* the same numbers on every device, run by run */
    assert_true(equal(b, hb));
    assert_false(equal(a, b)); /* others in the next run, from another seed, of another node */
    assert_false(equal(a, c));
    int zeros = 0;
    for (int i = 0; i < 100; i++)
        zeros += ((float *)norni_tensor_data(d))[i] == 0;
    assert_true(zeros < 5);
    assert_true(equal(o1, o2)); /* a node's own seed goes before the user's */
    norn_tensor *all[] = {a, b, ha, hb, c, d, o1, o2};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        norn_tensor_free(all[i]);
    norn_executable *exes[] = {e, h, other, sub, own1, own2};
    for (size_t i = 0; i < sizeof exes / sizeof *exes; i++)
        norn_executable_free(exes[i]);
}

/* The part that is run to know the count draws what the rest draws. */
static void random_across_a_cut(void **state) {
    (void)state;
    norn_executable *e =
        load(session,
             "g () => (float[1000] r, float[K] y) <float h = {0.5}> {\n"
             "  r = RandomUniform<shape=[1000]>()\n  b = Greater(r, h)\n  y = Compress(r, b)\n}",
             3);
    for (int run = 0; run < 2; run++) {
        norn_fetch out[2] = {{"r", NULL}, {"y", NULL}};
        OK(norn_executable_run(e, 0, NULL, 2, out));
        const float *r = norni_tensor_data(out[0].tensor), *y = norni_tensor_data(out[1].tensor);
        int64_t n = 0;
        for (int i = 0; i < 1000; i++)
            if (r[i] > 0.5f) {
                assert_true(n < out[1].tensor->dims[0]);
                assert_float_equal(y[n++], r[i], 0);
            }
        assert_int_equal(n, out[1].tensor->dims[0]);
        norn_tensor_free(out[0].tensor);
        norn_tensor_free(out[1].tensor);
    }
    norn_executable_free(e);
}

/* Moments and bounds of what is drawn: 100000 numbers, so that 0.02 is six standard deviations of the mean. */
static void distributions(void **state) {
    (void)state;
    static const struct {
        const char *text;
        double mean, variance, low, high;
    } cases[] = {{"g () => (float[100000] y) {\n  y = RandomNormal<shape=[100000], mean=1, scale=2>()\n}", 1,
                  4, -20, 20},
                 {"g () => (float[100000] y) {\n  y = RandomUniform<shape=[100000], low=-1, high=2>()\n}",
                  0.5, 0.75, -1, 2}};
    for (int k = 0; k < 2; k++) {
        norn_executable *e = load(session, cases[k].text, 5);
        norn_tensor *t = draw(e);
        const float *y = norni_tensor_data(t);
        double sum = 0, squares = 0, cross = 0, m = cases[k].mean;
        for (int i = 0; i < 100000; i++) {
            assert_true(y[i] >= cases[k].low && y[i] <= cases[k].high);
            sum += y[i];
            squares += (y[i] - m) * (y[i] - m);
            cross += i ? (y[i] - m) * (y[i - 1] - m) : 0;
        }
        assert_float_equal(sum / 1e5, m, 0.04);
        assert_float_equal(squares / 1e5, cases[k].variance, 0.08);
        assert_float_equal(cross / 1e5, 0, 0.08);
        norn_tensor_free(t);
        norn_executable_free(e);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_count_each_run), cmocka_unit_test(host_node_between_kernels),
        cmocka_unit_test(random_numbers), cmocka_unit_test(random_across_a_cut),
        cmocka_unit_test(distributions)};
    return cmocka_run_group_tests(tests, open_sessions, close_sessions);
}
