/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes as expressions. */
#include "ops/op.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static norn_graph *g;

static int setup(void **state) {
    (void)state;
    return norn_graph_new("g", &g) != NORN_OK;
}

static int teardown(void **state) {
    (void)state;
    norn_graph_free(g);
    return 0;
}

static void prints(norni_dim d, const char *want) {
    norni_str s = {0};
    norni_dim_print(&s, g, d);
    assert_string_equal(s.s, want);
    norni_str_free(&s);
}

static void arithmetic(void **state) {
    (void)state;
    norni_dim n = norni_dim_named(g, "N"), c = norni_dim_named(g, "C"), h = norni_dim_named(g, "H");
    assert_true(n == norni_dim_named(g, "N"));
    assert_true(n != c);
    assert_int_equal(norni_dim_add(g, 2, 3), 5);
    assert_true(norni_dim_add(g, n, c) == norni_dim_add(g, c, n));
    assert_int_equal(norni_dim_sub(g, norni_dim_add(g, n, 3), n), 3);
    assert_true(norni_dim_sub(g, norni_dim_add(g, n, 3), 3) == n);
    norni_dim nc = norni_dim_mul(g, n, c);
    assert_true(nc == norni_dim_mul(g, c, n));
    assert_true(norni_dim_div(g, nc, n) == c);
    assert_true(norni_dim_div(g, norni_dim_mul(g, nc, 12), norni_dim_mul(g, c, 4)) == norni_dim_mul(g, n, 3));
    assert_int_equal(norni_dim_div(g, n, n), 1);
    /* (2H + 3)/2 = H + 1 */
    assert_true(norni_dim_div(g, norni_dim_add(g, norni_dim_mul(g, h, 2), 3), 2) == norni_dim_add(g, h, 1));
    /* (H - 1)/2 + 1 = (H + 1)/2 is true, but found only by whole multiples */
    prints(norni_dim_div(g, norni_dim_add(g, h, 1), 2), "((H + 1)/2)");
    prints(norni_dim_add(g, norni_dim_mul(g, nc, 2), 5), "2*N*C + 5");
    assert_true(norni_dim_mul(g, n, 0) == 0);
    assert_true(norni_dim_fresh(g) != norni_dim_fresh(g));
    norni_dim product[] = {n, 3, 4, 4};
    assert_true(norni_dim_div(g, norni_dim_product(g, 4, product), 48) == n);
    assert_string_equal(norni_dim_name(g, n), "N");
    assert_null(norni_dim_name(g, nc));
    int64_t v;
    assert_true(norni_dim_number(g, norni_dim_sub(g, 3, 5), &v));
    assert_int_equal(v, -2);
    assert_false(norni_dim_number(g, n, &v));
}

static int64_t lookup(const void *ctx, const char *name) {
    (void)ctx;
    return !strcmp(name, "N") ? 8 : !strcmp(name, "H") ? 7 : -1;
}

static void binding(void **state) {
    (void)state;
    norni_dim n = norni_dim_named(g, "N"), h = norni_dim_named(g, "H"), c = norni_dim_named(g, "C");
    norni_dim half = norni_dim_div(g, norni_dim_add(g, h, 1), 2);
    assert_int_equal(norni_dim_eval(g, norni_dim_mul(g, n, half), lookup, NULL), 32);
    assert_int_equal(norni_dim_eval(g, norni_dim_add(g, n, c), lookup, NULL), -1);
    norn_graph *other;
    assert_int_equal(norn_graph_new("other", &other), NORN_OK);
    norni_dim moved = norni_dim_import(other, g, norni_dim_mul(g, n, half));
    assert_int_equal(norni_dim_eval(other, moved, lookup, NULL), 32);
    norn_graph_free(other);
}

/* What is too large becomes unknown, and overflow never a number. */
static void limits(void **state) {
    (void)state;
    norni_dim d = norni_dim_named(g, "N");
    for (int i = 0; i < 40; i++)
        d = norni_dim_mul(g, d, norni_dim_add(g, norni_dim_named(g, "M"), 1));
    assert_true(d < 0);
    assert_int_equal(norni_dim_eval(g, d, lookup, NULL), -1);
    norni_dim big = norni_dim_mul(g, INT64_MAX / 2, norni_dim_mul(g, 4, norni_dim_named(g, "N")));
    assert_true(big < 0);
    assert_int_equal(norni_dim_eval(g, big, lookup, NULL), -1);
    assert_int_equal(norn_graph_status(g), NORN_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(arithmetic), cmocka_unit_test(binding),
                                       cmocka_unit_test(limits)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
