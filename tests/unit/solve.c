/* SPDX-License-Identifier: Apache-2.0 */
/* Solvers on functions whose minima are known, and a fit whose statistics are. */
#include "backend/context.h"
#include "base/alloc.h"
#include <math.h>
#include <norn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static norn_session *session, *host, *device;

static int open_session(void **state) {
    (void)state;
    int bad = norn_session_open("host", &host) != NORN_OK || norn_session_open(NULL, &device) != NORN_OK;
    session = host;
    return bad ? -1 : 0;
}
static int close_session(void **state) {
    (void)state;
    norn_session_close(host);
    norn_session_close(device);
    return 0;
}

static norn_tensor *numbers(int64_t n, const double *v) {
    norn_tensor *t;
    assert_int_equal(norn_tensor_new(NULL, NORN_F64, n ? 1 : 0, &n, v, &t), NORN_OK);
    return t;
}

typedef struct {
    const char *formula;
    int64_t n; /* of the vector x; 0: the numbers x and y */
    double start[4];
    double least;
} function;

static norn_status minimise(const function *f, const norn_solve_options *o, norn_solution **out) {
    norn_graph *g;
    norn_feed start[2] = {{"x", numbers(f->n, f->start)}, {"y", numbers(0, f->start + 1)}};
    assert_int_equal(norn_formula_parse(f->formula, NORN_F64, &g, NULL), NORN_OK);
    norn_status s = norn_solve(session, g, f->n ? 1 : 2, start, 0, NULL, o, out);
    for (int i = 0; i < 2; i++)
        norn_tensor_free((norn_tensor *)start[i].tensor);
    norn_graph_free(g);
    return s;
}

static const function functions[] = {
    {"(1 - x)**2 + 100*(y - x**2)**2", 0, {-1.2, 1}, 0}, /* Rosenbrock */
    {"x: f64[4]; (x[0] + 10*x[1])**2 + 5*(x[2] - x[3])**2 + (x[1] - 2*x[2])**4 + 10*(x[0] - x[3])**4",
     4,
     {3, -1, 0, 1},
     0}, /* Powell, whose Hessian is singular at the minimum */
    {"(1.5 - x + x*y)**2 + (2.25 - x + x*y**2)**2 + (2.625 - x + x*y**3)**2", 0, {1, 1}, 0}, /* Beale */
    {"(x**2 + y - 11)**2 + (x + y**2 - 7)**2", 0, {0, 0}, 0},                                /* Himmelblau */
    {"(x + 2*y - 7)**2 + (2*x + y - 5)**2", 0, {0, 0}, 0},                                   /* Booth */
    {"x - log(x) + y**2*exp(y)", 0, {3, 1}, 1}, /* has a domain */
};

static void methods(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        for (int m = NORN_SOLVE_GD; m <= NORN_SOLVE_NEWTON_CG; m++) {
            norn_solution *s;
            norn_solution_info info;
            norn_solve_options o = {.method = (norn_solver)m, .max_iterations = 60000};
            if (m == NORN_SOLVE_GD && functions[i].n == 4)
                continue; /* where the Hessian is singular, gradient descent takes millions of steps */
            if (minimise(&functions[i], &o, &s) != NORN_OK)
                fail_msg("%s: %s", functions[i].formula, norn_error());
            norn_solution_get(s, &info);
            if (!info.converged || !(info.gradient <= 1e-8) || fabs(info.value - functions[i].least) > 1e-9)
                fail_msg("%s by %s: value %g, gradient %g after %d iterations: %s", functions[i].formula,
                         info.method, info.value, info.gradient, (int)info.iterations, info.reason);
            assert_int_equal(norn_solution_trace_count(s), info.iterations + 1);
            norn_solution_free(s);
        }
}

static void bounds(void **state) {
    const double half = 0.5, minus = -1;
    norn_tensor *upper = numbers(0, &half), *lower = numbers(0, &minus);
    norn_feed u = {"x", upper}, l = {"y", lower};
    (void)state;
    for (int m = NORN_SOLVE_GD; m <= NORN_SOLVE_NEWTON_CG; m++) {
        norn_solve_options o = {.method = (norn_solver)m,
                                .max_iterations = 60000,
                                .n_upper = 1,
                                .upper = &u,
                                .n_lower = 1,
                                .lower = &l};
        norn_solution *s;
        norn_solution_info info;
        if (minimise(&functions[0], &o, &s) != NORN_OK)
            fail_msg("%s", norn_error());
        norn_solution_get(s, &info);
        if (!info.converged)
            fail_msg("%s: %s after %d", info.method, info.reason, (int)info.iterations);
        assert_true(fabs(norn_tensor_get(norn_solution_value(s, "x"), 0) - 0.5) < 1e-12);
        assert_true(fabs(norn_tensor_get(norn_solution_value(s, "y"), 0) - 0.25) < 1e-8);
        norn_solution_free(s);
    }
    norn_tensor_free(upper);
    norn_tensor_free(lower);
}

/* A straight line, whose statistics have a formula. */
static void fit(void **state) {
    const double t[] = {1, 2, 3, 4, 5, 6}, y[] = {1.1, 1.9, 3.2, 3.9, 5.1, 5.8}, zero = 0;
    norn_tensor *tt = numbers(6, t), *ty = numbers(6, y), *start = numbers(0, &zero);
    norn_feed x[] = {{"a", start}, {"b", start}}, data[] = {{"t", tt}, {"y", ty}};
    norn_graph *g;
    norn_solution *s;
    norn_solution_info info;
    (void)state;
    assert_int_equal(norn_formula_parse("t: f64[N], y: f64[N]; a + b*t - y", NORN_F64, &g, NULL), NORN_OK);
    if (norn_solve(session, g, 2, x, 2, data, NULL, &s) != NORN_OK)
        fail_msg("%s", norn_error());
    norn_solution_get(s, &info);
    assert_true(info.converged);
    assert_string_equal(info.method, "Levenberg-Marquardt");
    /* b = Sxy / Sxx, a = mean y - b mean t; errors s / sqrt(Sxx) and s sqrt(1/n + mean t^2 / Sxx). */
    double mt = 3.5, my = 21.0 / 6, sxx = 17.5, sxy = 0, ssr = 0;
    for (int i = 0; i < 6; i++)
        sxy += (t[i] - mt) * (y[i] - my);
    double b = sxy / sxx, a = my - b * mt;
    for (int i = 0; i < 6; i++)
        ssr += (a + b * t[i] - y[i]) * (a + b * t[i] - y[i]);
    double dev = sqrt(ssr / 4);
    const struct {
        const char *name;
        double value, error;
    } want[] = {{"a", a, dev * sqrt(1.0 / 6 + mt * mt / sxx)}, {"b", b, dev / sqrt(sxx)}};
    for (int i = 0; i < 2; i++) {
        assert_true(fabs(norn_tensor_get(norn_solution_value(s, want[i].name), 0) - want[i].value) < 1e-8);
        assert_true(fabs(norn_tensor_get(norn_solution_error(s, want[i].name), 0) - want[i].error) < 1e-8);
        /* Student's t with 4 degrees of freedom: 2.7764451 */
        assert_true(fabs(norn_tensor_get(norn_solution_interval(s, want[i].name), 0) -
                         2.7764451052 * want[i].error) < 1e-7);
    }
    assert_true(fabs(info.deviation - dev) < 1e-8);
    norn_solution_free(s);
    norn_graph_free(g);
    norn_tensor_free(tt);
    norn_tensor_free(ty);
    norn_tensor_free(start);
}

/* The line, its intercept kept at 0.5 or above, which it would be below: b is that of y - 0.5 through the origin. */
static void fit_in_bounds(void **state) {
    const double t[] = {1, 2, 3, 4, 5, 6}, y[] = {1.1, 1.9, 3.2, 3.9, 5.1, 5.8}, ones[] = {1, 1}, half = 0.5,
                 large = 100;
    norn_tensor *tt = numbers(6, t), *ty = numbers(6, y), *start = numbers(0, ones), *low = numbers(0, &half),
                *high = numbers(0, &large);
    norn_feed x[] = {{"a", start}, {"b", start}}, data[] = {{"t", tt}, {"y", ty}}, lower = {"a", low},
              upper[] = {{"a", high}, {"b", high}};
    norn_graph *g;
    norn_solution *s;
    norn_solution_info info;
    norn_solve_options o = {.n_lower = 1, .lower = &lower, .n_upper = 2, .upper = upper};
    (void)state;
    assert_int_equal(norn_formula_parse("t: f64[N], y: f64[N]; a + b*t - y", NORN_F64, &g, NULL), NORN_OK);
    if (norn_solve(session, g, 2, x, 2, data, &o, &s) != NORN_OK)
        fail_msg("%s", norn_error());
    norn_solution_get(s, &info);
    assert_true(info.converged);
    double tt2 = 0, ty2 = 0, ssr = 0;
    for (int i = 0; i < 6; i++)
        tt2 += t[i] * t[i], ty2 += t[i] * (y[i] - 0.5);
    double b = ty2 / tt2;
    for (int i = 0; i < 6; i++)
        ssr += (0.5 + b * t[i] - y[i]) * (0.5 + b * t[i] - y[i]);
    assert_true(norn_tensor_get(norn_solution_value(s, "a"), 0) == 0.5);
    assert_true(fabs(norn_tensor_get(norn_solution_value(s, "b"), 0) - b) < 1e-8);
    assert_true(isnan(norn_tensor_get(norn_solution_error(s, "a"), 0)));
    assert_true(fabs(norn_tensor_get(norn_solution_error(s, "b"), 0) - sqrt(ssr / 5 / tt2)) < 1e-8);
    /* Student's t with 5 degrees of freedom: 2.5705818 */
    assert_true(
        fabs(norn_tensor_get(norn_solution_interval(s, "b"), 0) - 2.5705818366 * sqrt(ssr / 5 / tt2)) < 1e-7);
    norn_solution_free(s);
    /* Bounds that hold nothing change nothing; those that cross are refused. */
    o = (norn_solve_options){.n_upper = 2, .upper = upper};
    assert_int_equal(norn_solve(session, g, 2, x, 2, data, &o, &s), NORN_OK);
    assert_true(norn_tensor_get(norn_solution_error(s, "a"), 0) > 0);
    norn_solution_free(s);
    o = (norn_solve_options){.n_lower = 1, .lower = upper, .n_upper = 1, .upper = &lower};
    assert_int_equal(norn_solve(session, g, 2, x, 2, data, &o, &s), NORN_ARG);
    norn_graph_free(g);
    norn_tensor_free(tt);
    norn_tensor_free(ty);
    norn_tensor_free(start);
    norn_tensor_free(low);
    norn_tensor_free(high);
}

/* A single residual whose square has no step down that numbers can hold is no minimum. */
static void stuck(void **state) {
    norn_solve_options o = {.method = NORN_SOLVE_LM};
    norn_solution *s;
    norn_solution_info info;
    (void)state;
    assert_int_equal(minimise(&functions[0], &o, &s), NORN_OK);
    norn_solution_get(s, &info);
    assert_true(info.gradient > 1);
    assert_false(info.converged);
    norn_solution_free(s);
}

/* One element is an objective, whatever its shape. */
static void one_element(void **state) {
    const function f = {"x: f64[2]; sum((x - [1, 2])**2, keepdims=1)", 2, {0, 0}, 0};
    norn_solution *s;
    norn_solution_info info;
    (void)state;
    assert_int_equal(minimise(&f, NULL, &s), NORN_OK);
    norn_solution_get(s, &info);
    assert_string_equal(info.method, "L-BFGS");
    assert_true(info.converged && info.residuals == 0);
    assert_true(fabs(norn_tensor_get(norn_solution_value(s, "x"), 1) - 2) < 1e-8);
    norn_solution_free(s);
}

/* A function that is small everywhere has the minimum of a large one, by whatever method; a start at the minimum is one. */
static void small(void **state) {
    static const function scaled[] = {
        {"1e-12*(x - 3)**2 + 1e-12*(y - x)**2 + 1e-13*(x - y)**4", 0, {0, 9}, 0},
        {"1e-12*(x - 3)**2 + 1e-12*(y - x)**2", 0, {3.0001, 3.0001}, 0},
        {"1e-12*(x - 3)**2 + 1e-12*(y - x)**2", 0, {3, 3}, 0}};
    (void)state;
    for (size_t i = 0; i < sizeof scaled / sizeof *scaled; i++)
        for (int m = NORN_SOLVE_GD; m <= NORN_SOLVE_NEWTON_CG; m++) {
            norn_solve_options o = {.method = (norn_solver)m};
            norn_solution *s;
            norn_solution_info info;
            assert_int_equal(minimise(&scaled[i], &o, &s), NORN_OK);
            norn_solution_get(s, &info);
            double x = norn_tensor_get(norn_solution_value(s, "x"), 0);
            if (!info.converged || fabs(x - 3) > 1e-5)
                fail_msg("%s: x = %g: %s", info.method, x, info.reason);
            norn_solution_free(s);
        }
}

/* Data of any size have the same fit, and one in which a sum of two numbers counts names them. */
static void fit_of_any_scale(void **state) {
    enum { N = 12 };
    static const double scales[] = {1, 1e-9, 1e9}, ones[] = {1};
    double t[N], y[N], b = 0, error = 0;
    norn_tensor *start = numbers(0, ones);
    (void)state;
    for (int k = 0; k < 3; k++)
        for (int twice = 0; twice < 2; twice++) {
            for (int i = 0; i < N; i++) {
                t[i] = 0.25 * i;
                y[i] = scales[k] * (2 * exp(-1.1 * t[i]) + 0.5 + (i % 3 - 1) * 0.01);
            }
            norn_tensor *tt = numbers(N, t), *ty = numbers(N, y);
            norn_tensor *high = numbers(0, &scales[k]);
            norn_feed x[] = {{"a", high}, {"b", start}, {"c", high}, {"d", high}},
                      data[] = {{"t", tt}, {"y", ty}};
            norn_graph *g;
            norn_solution *s;
            norn_solution_info info;
            assert_int_equal(norn_formula_parse(twice ? "t: f64[N], y: f64[N]; a*exp(-b*t) + c + d - y"
                                                      : "t: f64[N], y: f64[N]; a*exp(-b*t) + c - y",
                                                NORN_F64, &g, NULL),
                             NORN_OK);
            assert_int_equal(norn_solve(session, g, twice ? 4 : 3, x, 2, data, NULL, &s), NORN_OK);
            norn_solution_get(s, &info);
            if (!info.converged)
                fail_msg("data of size %g: %s", scales[k], info.reason);
            assert_int_equal(info.freedom, N - 3);
            double got = norn_tensor_get(norn_solution_value(s, "b"), 0),
                   e = norn_tensor_get(norn_solution_error(s, "b"), 0);
            if (k == 0 && !twice)
                b = got, error = e;
            if (fabs(got - b) > 1e-7 || fabs(e - error) > 1e-6 * error || !(e > 0))
                fail_msg("data of size %g: b = %.12g, error %g (wanted %.12g, %g)", scales[k], got, e, b,
                         error);
            assert_true(isfinite(norn_tensor_get(norn_solution_error(s, "a"), 0)));
            assert_true(!isinf(norn_tensor_get(norn_solution_error(s, "c"), 0)) == !twice);
            if (twice)
                assert_true(isinf(norn_tensor_get(norn_solution_error(s, "d"), 0)));
            norn_solution_free(s);
            norn_graph_free(g);
            norn_tensor_free(tt);
            norn_tensor_free(ty);
            norn_tensor_free(high);
        }
    norn_tensor_free(start);
}

/* At a bound sums of squares no longer tell points apart before the residuals are orthogonal. */
static void squares_at_a_bound(void **state) {
    const function f = {"[1 - x, 10*(y - x**2)]", 0, {-1.2, 1}, 0};
    const double half = 0.5;
    norn_tensor *upper = numbers(0, &half);
    norn_solve_options o = {.n_upper = 1, .upper = &(norn_feed){"x", upper}};
    norn_solution *s;
    norn_solution_info info;
    (void)state;
    assert_int_equal(minimise(&f, &o, &s), NORN_OK);
    norn_solution_get(s, &info);
    assert_true(info.converged);
    assert_true(norn_tensor_get(norn_solution_value(s, "x"), 0) == 0.5);
    assert_true(fabs(norn_tensor_get(norn_solution_value(s, "y"), 0) - 0.25) < 1e-9);
    norn_solution_free(s);
    norn_tensor_free(upper);
}

/* What falls without bound is said to, by whatever method, and nothing else is: not where numbers end (the sigmoid of -800 is 0), and
 * not where steps are so short that the value falls in a straight line as far as they go. */
static void endless(void **state) {
    static const struct {
        function f;
        bool ends, bounded; /* bounded: y <= 2 */
    } cases[] = {{{"x + y**2", 0, {1, 1}, 0}, false, false},
                 {{"log(x) + y**2", 0, {1, 0}, 0}, false, false},
                 {{"-1/(x - 1)**2 + y**2", 0, {3, 0}, 0}, false, false},
                 {{"y**2 - x", 0, {0, 1}, 0}, false, true},
                 {{"x**2 + log(sigmoid(x)) + y**2", 0, {10000, 0}, 0}, true, false},
                 {{"x**2/10000 + log(sigmoid(x)) + y**2", 0, {10000, 0}, 0}, true, false},
                 {{"x**2/10000 + log(sigmoid(x)) + y**2", 0, {10000, 0}, 0}, true, true},
                 {{"y**2*1e16 - x + 1e-9*x**2", 0, {0, 1}, 0}, true, false},
                 {{"y**2*1e16 - x + 1e-9*x**2", 0, {0, 1}, 0}, true, true}};
    static const double two = 2;
    norn_tensor *upper = numbers(0, &two);
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int m = cases[i].ends ? NORN_SOLVE_GD : NORN_SOLVE_CG; m <= NORN_SOLVE_LBFGS; m++) {
            norn_solve_options o = {.method = (norn_solver)m,
                                    .max_iterations = 450,
                                    .n_upper = cases[i].bounded,
                                    .upper = &(norn_feed){"y", upper}};
            norn_solution *s;
            norn_solution_info info;
            if (minimise(&cases[i].f, &o, &s) != NORN_OK)
                fail_msg("%s: %s", cases[i].f.formula, norn_error());
            norn_solution_get(s, &info);
            bool said = !strcmp(info.reason, "the value falls without bound");
            if (said == cases[i].ends || (said && info.converged))
                fail_msg("%s by %s: value %g after %d iterations: %s", cases[i].f.formula, info.method,
                         info.value, (int)info.iterations, info.reason);
            norn_solution_free(s);
        }
    norn_tensor_free(upper);
}

static void refused(void **state) {
    const function nowhere = {"log(x) + y", 0, {-1, 0}, 0}, vector = {"[x, y]", 0, {1, 1}, 0};
    norn_solve_options o = {.method = NORN_SOLVE_BFGS};
    norn_solution *s;
    (void)state;
    assert_int_equal(minimise(&nowhere, &o, &s), NORN_ARG);
    assert_null(s);
    assert_int_equal(minimise(&vector, &o, &s), NORN_SHAPE);
    o = (norn_solve_options){.max_iterations = 3};
    assert_int_equal(minimise(&functions[0], &o, &s), NORN_OK);
    norn_solution_info info;
    norn_solution_get(s, &info);
    assert_false(info.converged);
    assert_int_equal(info.iterations, 3);
    norn_solution_free(s);
}

static norn_tensor *matrix(int64_t rows, int64_t columns, const double *v) {
    norn_tensor *t;
    assert_int_equal(norn_tensor_new(NULL, NORN_F64, 2, (int64_t[]){rows, columns}, v, &t), NORN_OK);
    return t;
}

static norn_qp_result program(const double *p, const double *q, const double *a, const double *l,
                              const double *u) {
    norn_tensor *t[] = {p ? matrix(2, 2, p) : NULL, numbers(2, q), matrix(3, 2, a), numbers(3, l),
                        numbers(3, u)};
    norn_qp_result r;
    const norn_qp qp = {.p = t[0], .q = t[1], .a = t[2], .l = t[3], .u = t[4]};
    if (norn_solve_qp(session, &qp, 0, 0, &r) != NORN_OK)
        fail_msg("%s", norn_error());
    for (int i = 0; i < 5; i++)
        norn_tensor_free(t[i]);
    return r;
}

/* The example of OSQP's documentation, and what has no solution. */
static void programs(void **state) {
    const double p[] = {4, 1, 1, 2}, none[4] = {0}, q[] = {1, 1}, a[] = {1, 1, 1, 0, 0, 1}, l[] = {1, 0, 0},
                 u[] = {1, 0.7, 0.7}, high[] = {2, 0, 0}, far[] = {INFINITY, INFINITY, INFINITY},
                 down[] = {-1, 0};
    (void)state;
    norn_qp_result r = program(p, q, a, l, u);
    assert_int_equal(r.status, NORN_QP_SOLVED);
    assert_true(fabs(norn_tensor_get(r.x, 0) - 0.3) < 1e-9 && fabs(norn_tensor_get(r.x, 1) - 0.7) < 1e-9);
    assert_true(fabs(r.objective - 1.88) < 1e-9);
    assert_true(r.primal < 1e-9 && r.dual < 1e-9 && r.gap < 1e-9);
    /* The steps: from 0, every 25 iterations, to the result. */
    assert_true(r.n_steps >= 2);
    const norn_qp_step *first = r.steps, *last = r.steps + r.n_steps - 1;
    assert_int_equal(first->iteration, 0);
    assert_true(first->x[0] == 0 && first->x[1] == 0 && first->objective == 0 && first->primal == 1 &&
                first->dual == 1 && first->gap == 0);
    for (size_t i = 1; i < r.n_steps; i++) {
        assert_int_equal(r.steps[i].iteration, r.steps[i - 1].iteration + (r.steps[i].polished ? 0 : 25));
        assert_true(!r.steps[i].polished || !r.steps[i - 1].polished);
    }
    assert_int_equal(last->iteration, r.iterations);
    assert_int_equal(last->polished, r.polished);
    assert_true(last->objective == r.objective && last->primal == r.primal && last->dual == r.dual &&
                last->gap == r.gap && last->x[0] == norn_tensor_get(r.x, 0) &&
                last->x[1] == norn_tensor_get(r.x, 1));
    norn_qp_result_free(&r);
    r = program(p, q, a, high, (const double[]){3, 0.7, 0.7});
    assert_int_equal(r.status, NORN_QP_INFEASIBLE);
    norn_qp_result_free(&r);
    for (int linear = 0; linear < 2; linear++) { /* without P it is 0 */
        r = program(linear ? NULL : none, down, a, l, far);
        assert_int_equal(r.status, NORN_QP_UNBOUNDED);
        norn_qp_result_free(&r);
        r = program(linear ? NULL : none, q, a, l, u);
        assert_int_equal(r.status, NORN_QP_SOLVED);
        assert_true(fabs(r.objective - 1) < 1e-9 && r.primal < 1e-9 && r.dual < 1e-9 && r.gap < 1e-9);
        norn_qp_result_free(&r);
    }
    /* No point, and a direction without end too: x + y is to be 1 and 2. */
    r = program(NULL, (const double[]){1, 2}, (const double[]){1, 1, 1, 1, 0, 0}, (const double[]){1, 2, 0},
                (const double[]){1, 2, 0});
    assert_int_equal(r.status, NORN_QP_INFEASIBLE);
    const double y[] = {norn_tensor_get(r.y, 0), norn_tensor_get(r.y, 1)};
    assert_true(fabs(y[0] + y[1]) < 1e-7 && y[0] + 2 * y[1] < -1e-7);
    norn_qp_result_free(&r);
}

/* The same steps where the values are computed on an OpenCL device. */
static void on_device(void **state) {
    session = device;
    for (int m = NORN_SOLVE_CG; m <= NORN_SOLVE_NEWTON_CG; m++) {
        norn_solve_options o = {.method = (norn_solver)m, .max_iterations = 1000};
        norn_solution *s;
        norn_solution_info info;
        if (minimise(&functions[0], &o, &s) != NORN_OK)
            fail_msg("%s", norn_error());
        norn_solution_get(s, &info);
        if (!info.converged || !(info.gradient <= 1e-8) || !(info.value <= 1e-9))
            fail_msg("%s: value %g, gradient %g: %s", info.method, info.value, info.gradient, info.reason);
        norn_solution_free(s);
    }
    fit(state);
    fit_in_bounds(state);
    programs(state);
    session = host;
}

/* Whatever allocation or OpenCL call fails, that is said, and it can be tried again. */
static void try_failing(norn_session *on, const norn_qp *qp, double objective) {
    norn_qp_result r;
    for (int cl = 0; cl < 2; cl++) {
        bool over = false;
        for (long k = 0; !over; k += 1 + k / 16) {
            if (cl)
                norni_cl_fail_after(k, -5 /* CL_OUT_OF_RESOURCES */);
            else
                norni_alloc_fail_after(k);
            norn_status s = norn_solve_qp(on, qp, 0, 0, &r);
            bool pending = norni_cl_fail_pending();
            norni_alloc_fail_after(-1);
            norni_cl_fail_after(-1, 0);
            over = s == NORN_OK && (!cl || pending);
            if (s != NORN_OK) {
                assert_true(cl ? !pending && *norn_error() : s == NORN_NOMEM);
                assert_null(r.x);
                assert_null(r.y);
                assert_null(r.steps);
            }
            norn_qp_result_free(&r);
            assert_true(k < 100000);
        }
        assert_int_equal(norn_solve_qp(on, qp, 0, 0, &r), NORN_OK);
        assert_int_equal(r.status, NORN_QP_SOLVED);
        assert_true(fabs(r.objective - objective) < 1e-9);
        norn_qp_result_free(&r);
    }
}

/* Dense; and sparse in the form of SciPy: minimise sum of x[i]^2 - x[i] x[i+1] - x[0], all of them within 0.25. */
static void failing(void **state) {
    enum { N = 20, ENTRIES = 3 * N - 2 };
    const double p[] = {4, 1, 1, 2}, q[] = {1, 1}, a[] = {1, 1, 1, 0, 0, 1}, l[] = {1, 0, 0},
                 u[] = {1, 0.7, 0.7};
    double sp[ENTRIES], sq[N] = {-1}, ones[N], low[N], high[N];
    int32_t column[ENTRIES], start[N + 1] = {0}, diagonal[N + 1];
    int n = 0;
    for (int i = 0; i < N; i++) {
        for (int c = i ? i - 1 : 0; c <= i + 1 && c < N; c++, n++)
            column[n] = c, sp[n] = c == i ? 2 : -1;
        start[i + 1] = n;
        diagonal[i] = i;
        ones[i] = 1, high[i] = 0.25, low[i] = -0.25;
    }
    diagonal[N] = N;
    norn_tensor *t[14] = {matrix(2, 2, p), numbers(2, q),   matrix(3, 2, a), numbers(3, l),
                          numbers(3, u),   numbers(n, sp),  numbers(N, sq),  numbers(N, ones),
                          numbers(N, low), numbers(N, high)};
    const struct {
        int64_t n;
        const int32_t *v;
    } integers[] = {{n, column}, {N + 1, start}, {N, diagonal}, {N + 1, diagonal}};
    for (int i = 0; i < 4; i++)
        assert_int_equal(norn_tensor_new(NULL, NORN_I32, 1, &integers[i].n, integers[i].v, &t[10 + i]),
                         NORN_OK);
    const norn_qp programs[] = {{.p = t[0], .q = t[1], .a = t[2], .l = t[3], .u = t[4]},
                                {.p = t[5],
                                 .q = t[6],
                                 .a = t[7],
                                 .l = t[8],
                                 .u = t[9],
                                 .p_indices = t[10],
                                 .p_indptr = t[11],
                                 .a_indices = t[12],
                                 .a_indptr = t[13]}};
    (void)state;
    for (int i = 0; i < 2; i++) {
        norn_qp_result r;
        assert_int_equal(norn_solve_qp(host, &programs[i], 0, 0, &r), NORN_OK);
        double objective = r.objective;
        norn_qp_result_free(&r);
        try_failing(host, &programs[i], objective);
        try_failing(device, &programs[i], objective);
    }
    for (int i = 0; i < 14; i++)
        norn_tensor_free(t[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(methods),
        cmocka_unit_test(bounds),
        cmocka_unit_test(fit),
        cmocka_unit_test(fit_in_bounds),
        cmocka_unit_test(on_device),
        cmocka_unit_test(stuck),
        cmocka_unit_test(endless),
        cmocka_unit_test(refused),
        cmocka_unit_test(programs),
        cmocka_unit_test(failing),
        cmocka_unit_test(one_element),
        cmocka_unit_test(small),
        cmocka_unit_test(fit_of_any_scale),
        cmocka_unit_test(squares_at_a_bound),
    };
    return cmocka_run_group_tests(tests, open_session, close_session);
}
