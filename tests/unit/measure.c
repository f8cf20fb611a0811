/* SPDX-License-Identifier: Apache-2.0 */
/* The gate of benchmarks: what is taken for rounding, and what for a wrong kernel. */
#include "files.h"

#include "bench/bench.h"
#include <math.h>

static void gradient(const norn_tensor *got, const norn_tensor *want, norn_bench_result *out) {
    norni_bench_compare_gradient(got, want, 0, out);
}

static void turned(const norn_tensor *got, const norn_tensor *want, norn_bench_result *out) {
    norni_bench_compare_gradient(got, want, 0.02, out);
}

typedef void (*compare)(const norn_tensor *got, const norn_tensor *want, norn_bench_result *out);

static norn_tensor *tensor(norn_dtype t, int64_t n) {
    norn_tensor *x;
    WORKS(norni_tensor_host(t, 1, &n, &x));
    for (int64_t i = 0; i < n; i++)
        norn_tensor_set(x, i, sin((double)i * 1.7)); /* up to 1, about 0.7 */
    return x;
}

/* Element `at` of n floats is off by `by`; -1: each is off by that share of it. */
static norn_bench_result off(compare c, int64_t n, int64_t at, double by) {
    norn_bench_result r = {.correct = true};
    norn_tensor *got = tensor(NORN_F32, n), *want = tensor(NORN_F32, n);
    for (int64_t i = 0; i < n; i++)
        if (at < 0)
            norn_tensor_set(got, i, norn_tensor_get(want, i) * (1 + by));
        else if (i == at)
            norn_tensor_set(got, i, norn_tensor_get(want, i) + by);
    c(got, want, &r);
    norn_tensor_free(got);
    norn_tensor_free(want);
    return r;
}

static void elements(void **state) {
    (void)state;
    assert_true(off(norni_bench_compare, 1000, 3, 0).correct);
    assert_true(off(norni_bench_compare, 1000, 3, 0.9e-3).correct);
    assert_false(off(norni_bench_compare, 1000, 3, 1.1e-3).correct);
    assert_false(off(norni_bench_compare, 1000, 3, (double)NAN).correct);
    assert_true(fabs(off(norni_bench_compare, 1000, 3, 0.5e-3).max_error - 0.5e-3) < 1e-5);
}

static void gradients(void **state) {
    (void)state;
    assert_true(off(gradient, 1 << 20, -1, 0).correct);
    assert_true(off(gradient, 1 << 20, -1, 0.9e-3).correct);
    assert_false(off(gradient, 1 << 20, -1, 1.1e-3).correct); /* all of them */
    assert_true(off(gradient, 1 << 20, 7, 4e-3).correct);     /* one, by a ReLU's turning */
    norn_bench_result r = off(gradient, 1 << 20, 7, 0.02);    /* one that a kernel got wrong */
    assert_false(r.correct);
    assert_true(r.max_error < 1e-4); /* which the norm does not show */
    assert_non_null(strstr(r.note, "an element of a gradient is off by 0.02 of the largest"));
    assert_false(off(gradient, 4, 1, 4e-3).correct);
    assert_false(off(gradient, 1000, 3, (double)NAN).correct);
    assert_false(off(gradient, 1000, 3, (double)INFINITY).correct);
}

/* What ReLUs explain that turn when samples change by as little as rounding. */
static void turning(void **state) {
    (void)state;
    assert_true(off(turned, 1 << 20, -1, 0.019).correct);
    assert_false(off(turned, 1 << 20, -1, 0.021).correct);
    assert_true(off(turned, 1 << 20, 7, 0.15).correct);
    assert_false(off(turned, 1 << 20, 7, 0.17).correct);
    norn_tensor *a = tensor(NORN_F32, 1000), *b = tensor(NORN_F32, 1000), *none = NULL;
    assert_true(norni_bench_turned(&a, &b, 1) == 0 && norni_bench_turned(&none, &b, 1) == 0);
    assert_true(norni_bench_shake(a) == 1e-5);
    double by = norni_bench_turned(&a, &b, 1);
    assert_true(by > 3e-6 && by < 1e-5);
    norn_tensor_set(a, 0, 1e9); /* no number of ReLUs explains that */
    assert_true(norni_bench_turned(&a, &b, 1) == 0.1);
    norn_tensor_free(a);
    norn_tensor_free(b);
}

static void types(void **state) {
    (void)state;
    static const compare both[] = {norni_bench_compare, gradient};
    norn_tensor *a = tensor(NORN_F32, 4), *b = tensor(NORN_F64, 4), *c = tensor(NORN_F32, 5);
    for (int k = 0; k < 2; k++) {
        norn_bench_result r = {.correct = true}, s = r;
        both[k](a, b, &r);
        both[k](a, c, &s);
        assert_false(r.correct || s.correct);
        assert_non_null(strstr(r.note, "another type or shape"));
    }
    norn_tensor_free(a);
    norn_tensor_free(b);
    norn_tensor_free(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(elements), cmocka_unit_test(gradients),
                                       cmocka_unit_test(turning), cmocka_unit_test(types)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
