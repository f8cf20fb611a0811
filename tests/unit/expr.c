/* SPDX-License-Identifier: Apache-2.0 */
/* Formulas: parsing, printing, evaluation, OpenCL C. */
#include "base/expr.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static const char *const names[] = {"x", "y", "n", "alpha"};

static const norni_expr *parse(norni_arena *a, const char *text) {
    const norni_expr *e;
    if (norni_expr_parse(a, text, 4, names, &e) != NORN_OK)
        fail_msg("%s", norn_error());
    return e;
}

static double eval(const char *text, double x, double y, int64_t n) {
    norni_arena *a = norni_arena_new(0);
    norni_scalar v[] = {{NORNI_CLASS_FLOAT, x, 0},
                        {NORNI_CLASS_FLOAT, y, 0},
                        {NORNI_CLASS_INT, 0, n},
                        {NORNI_CLASS_FLOAT, 0.25, 0}};
    norni_scalar r = norni_expr_eval(parse(a, text), v);
    norni_arena_free(a);
    return r.cls == NORNI_CLASS_FLOAT ? r.d : (double)r.i;
}

static void values(void **state) {
    const struct {
        const char *text;
        double want; /* at x = 3, y = -2, n = 7 */
    } table[] = {
        {"1 + 2 * 3", 7},
        {"(1 + 2) * 3", 9},
        {"2 ** 3 ** 2", 512},
        {"-x ** 2", -9},
        {"x - y - 1", 4},
        {"x / y / 2", -0.75},
        {"n / 2", 3},
        {"-n / 2", -3},
        {"n / 0", 0},
        {"mod(-n, 3)", 2},
        {"fmod(-n, 3)", -1},
        {"mod(y, x)", 1},
        {"max(x, y)", 3},
        {"min(x, y)", -2},
        {"where(x > y, 1, 2)", 1},
        {"x > y and not (y > x)", 1},
        {"x < y or x == 3", 1},
        {"x <= 3", 1},
        {"x != 3", 0},
        {"abs(y)", 2},
        {"sign(y)", -1},
        {"round(2.5)", 2},
        {"round(3.5)", 4},
        {"floor(-0.5)", -1},
        {"sigmoid(0)", 0.5},
        {"exp(0) + log(1)", 1},
        {"alpha * 4", 1},
        {"n ** 2", 49},
        {"shl(n, 2)", 28},
        {"shr(n, 1)", 3},
        {"bitand(n, 3)", 3},
        {"1e2 + .5", 100.5},
        {"sqrt(16) + trunc(-1.7)", 3},
    };
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        double got = eval(table[i].text, 3, -2, 7);
        if (fabs(got - table[i].want) > 1e-12)
            fail_msg("%s: got %g (wanted %g)", table[i].text, got, table[i].want);
    }
    assert_true(isnan(eval("max(x, y)", (double)NAN, 1, 0)));
    assert_true(isnan(eval("max(x, y)", 1, (double)NAN, 0)));
    assert_true(isnan(eval("min(x, 0)", (double)NAN, 1, 0)));
    assert_true(eval("x == x", (double)NAN, 0, 0) == 0);
}

/* Printed text means the same. */
static void round_trip(void **state) {
    static const char *const texts[] = {
        "x + y * n",
        "(x + y) * n",
        "x - (y - n)",
        "x / (y / 2)",
        "-x ** 2",
        "(-x) ** 2",
        "2 ** (x ** y)",
        "(2 ** x) ** y",
        "where(x < y, -x, y)",
        "not (x < y)",
        "x < y and y < x or x == 1",
        "(x < 1) == (y < 1)",
        "max(x, 0.5)",
        "x * -2",
        "x - -2.5",
        "1.0 * x",
        "1e-20 + x",
        "not x < y and x > 1",
    };
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        norni_arena *a = norni_arena_new(0);
        norni_str once = {0}, twice = {0};
        norni_expr_print(&once, parse(a, texts[i]), names);
        norni_expr_print(&twice, parse(a, once.s), names);
        assert_string_equal(once.s, twice.s);
        for (int k = -2; k < 3; k++) {
            double v = eval(texts[i], k * 0.7, 1.3 - k, k), w = eval(once.s, k * 0.7, 1.3 - k, k);
            if (!(v == w || (isnan(v) && isnan(w))))
                fail_msg("%s printed as %s: %g became %g", texts[i], once.s, v, w);
        }
        norni_str_free(&once);
        norni_str_free(&twice);
        norni_arena_free(a);
    }
}

static void errors(void **state) {
    const struct {
        const char *text, *message;
    } table[] = {
        {"x +", "formula 'x +': column 4: got '' (wanted a number, a name or '(')"},
        {"foo(x)", "formula 'foo(x)': column 1: got 'foo(x)' (wanted a known function)"},
        {"x + zz", "formula 'x + zz': column 5: got 'zz' (wanted a known variable)"},
        {"max(x)", "formula 'max(x)': column 6: got ')' (wanted ',')"},
        {"(x", "formula '(x': column 3: got '' (wanted ')')"},
        {"x y", "formula 'x y': column 3: got 'y' (wanted an operator or the end)"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        norni_arena *a = norni_arena_new(0);
        const norni_expr *e;
        assert_int_equal(norni_expr_parse(a, table[i].text, 4, names, &e), NORN_PARSE);
        assert_null(e);
        assert_string_equal(norn_error(), table[i].message);
        norni_arena_free(a);
    }
    /* Deep nesting is refused, not followed until the stack ends. */
    char deep[20001];
    const norni_expr *e;
    memset(deep, '(', 20000);
    deep[20000] = 0;
    norni_arena *a = norni_arena_new(0);
    assert_int_equal(norni_expr_parse(a, deep, 4, names, &e), NORN_PARSE);
    memset(deep, '-', 20000);
    assert_int_equal(norni_expr_parse(a, deep, 4, names, &e), NORN_PARSE);
    norni_arena_free(a);
}

static void opencl(void **state) {
    const norni_expr_var f[] = {{"a", NORN_F32}, {"b", NORN_F32}, {"c", NORN_I64}, {"d", NORN_BOOL}};
    const struct {
        const char *text, *scalar, *vector;
    } table[] = {
        {"x + y", "(a + b)", "(a + b)"},
        {"x * 2", "(a * ((float)(2.0f)))", "(a * ((float4)(2.0f)))"},
        {"where(x < y, x, 0)", "((a < b) ? a : ((float)(0.0f)))", "select(((float4)(0.0f)), a, (a < b))"},
        {"x ** 2", "(a * a)", "(a * a)"},
        {"max(x, y)", "norni_max_float(a, b)", "norni_max_float4(a, b)"},
        {"x + n", "(a + (float)(c))", "(a + convert_float4(c))"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        norni_arena *a = norni_arena_new(0);
        norni_str s = {0};
        norni_expr_print_cl(&s, parse(a, table[i].text), f, NORN_F32, 1);
        assert_string_equal(s.s, table[i].scalar);
        norni_str_free(&s);
        norni_expr_print_cl(&s, parse(a, table[i].text), f, NORN_F32, 4);
        assert_string_equal(s.s, table[i].vector);
        norni_str_free(&s);
        norni_arena_free(a);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(values), cmocka_unit_test(round_trip),
                                       cmocka_unit_test(errors), cmocka_unit_test(opencl)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
