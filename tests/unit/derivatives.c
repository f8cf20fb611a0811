/* SPDX-License-Identifier: Apache-2.0 */
/* The table tests/symbolic/derivatives.txt: every derivative equals central differences, its printed form parses to the same
 * values, and is no longer than the table allows. */
#include <ctype.h>
#include <math.h>
#include <norn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static norn_session *session;

#define OK(call)                                                                                             \
    do {                                                                                                     \
        if ((call) != NORN_OK)                                                                               \
            fail_msg("%s: %s: %s", formula, #call, norn_error());                                            \
    } while (0)

/* ---- Values. */
enum { MAX_INPUTS = 8 };

typedef struct {
    size_t n;
    norn_feed v[MAX_INPUTS];
} point;

static uint64_t seed = 88172645463325252ULL;
static double uniform(void) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (double)(seed >> 11) / 9007199254740992.0;
}

static point random_point(const char *formula, const norn_graph *g) {
    point p = {0};
    for (size_t i = 0; i < norn_graph_input_count(g); i++) {
        const norn_value *v = norn_graph_input_at(g, i);
        int64_t dims[NORN_MAX_RANK];
        norn_tensor *t;
        for (int k = 0; k < norn_value_rank(v); k++)
            dims[k] = norn_value_dim(v, k);
        OK(norn_tensor_new(NULL, norn_value_dtype(v), norn_value_rank(v), dims, NULL, &t));
        for (int64_t k = 0; k < norn_tensor_elems(t); k++)
            norn_tensor_set(t, k, 0.25 + 0.6 * uniform());
        p.v[p.n++] = (norn_feed){norn_value_name(v), t};
    }
    return p;
}

static void end_point(point *p) {
    for (size_t i = 0; i < p->n; i++)
        norn_tensor_free((norn_tensor *)p->v[i].tensor);
}

static norn_tensor *run(const char *formula, norn_executable *e, const norn_graph *g, const point *p) {
    norn_fetch f = {norn_graph_output_name(g, 0), NULL};
    norn_feed feeds[MAX_INPUTS];
    size_t n = 0;
    for (size_t i = 0; i < p->n; i++)
        for (size_t k = 0; k < norn_graph_input_count(g); k++)
            if (!strcmp(norn_value_name(norn_graph_input_at(g, k)), p->v[i].name))
                feeds[n++] = p->v[i];
    OK(norn_executable_run(e, n, feeds, 1, &f));
    return f.tensor;
}

static norn_executable *load(const char *formula, const norn_graph *g) {
    norn_executable *e;
    OK(norn_executable_new(session, g, NULL, NULL, &e));
    return e;
}

static double at(const char *formula, norn_executable *e, const norn_graph *g, const point *p) {
    norn_tensor *t = run(formula, e, g, p);
    double v = norn_tensor_get(t, 0);
    norn_tensor_free(t);
    return v;
}

/* Central differences with steps h and h/2, extrapolated. */
static double difference(const char *formula, norn_executable *e, const norn_graph *g, const point *p,
                         norn_tensor *x, int64_t k) {
    double d[2], h = 2e-3, was = norn_tensor_get(x, k);
    for (int i = 0; i < 2; i++, h /= 2) {
        norn_tensor_set(x, k, was + h);
        double up = at(formula, e, g, p);
        norn_tensor_set(x, k, was - h);
        double down = at(formula, e, g, p);
        norn_tensor_set(x, k, was);
        d[i] = (up - down) / (2 * h);
    }
    return (4 * d[1] - d[0]) / 3;
}

static int failures;

/* All lines that fail are shown. */
#define WRONG(...)                                                                                           \
    do {                                                                                                     \
        print_error(__VA_ARGS__);                                                                            \
        print_error("\n");                                                                                   \
        failures++;                                                                                          \
    } while (0)

static void close_to(const char *formula, const char *what, double got, double want, double tolerance) {
    if (!(fabs(got - want) <= tolerance * fmax(1, fmax(fabs(got), fabs(want)))))
        WRONG("%s: %s: got %.12g (wanted %.12g)", formula, what, got, want);
}

/* ---- Text. */

/* Operators and calls in a printed formula. */
static int operators(const char *text) {
    int n = 0;
    for (const char *c = text; *c; c++) {
        if (c[0] == '*' && c[1] == '*') {
            n++;
            c++;
        } else if (strchr("+-*/@<>", *c) || (*c == '(' && c > text && isalnum((unsigned char)c[-1])))
            n++;
    }
    return n;
}

/* The printed derivative with the declarations of the formula before it. */
static char *with_declarations(const char *formula, const char *printed) {
    const char *last = strchr(formula, ':') ? strrchr(formula, ';') : NULL;
    size_t n = last ? (size_t)(last - formula) + 1 : 0;
    char *s = malloc(n + strlen(printed) + 1);
    memcpy(s, formula, n);
    strcpy(s + n, printed);
    return s;
}

static void same_values(const char *formula, const norn_graph *d, const char *text, const point *p) {
    norn_graph *again;
    if (norn_formula_parse(text, NORN_F64, &again, NULL) != NORN_OK) {
        WRONG("%s: its derivative does not parse: %s", formula, norn_error());
        return;
    }
    norn_executable *a = load(formula, d), *b = load(formula, again);
    norn_tensor *x = run(formula, a, d, p), *y = run(formula, b, again, p);
    if (norn_tensor_elems(x) != norn_tensor_elems(y) && norn_tensor_elems(y) != 1)
        WRONG("%s: printed as %s: another shape", formula, text);
    else
        for (int64_t i = 0; i < norn_tensor_elems(x); i++)
            close_to(formula, text, norn_tensor_get(y, norn_tensor_elems(y) == 1 ? 0 : i),
                     norn_tensor_get(x, i), 1e-9);
    norn_tensor_free(x);
    norn_tensor_free(y);
    norn_executable_free(a);
    norn_executable_free(b);
    norn_graph_free(again);
}

/* ---- One line of the table. */
static void check_second(const char *formula, const norn_graph *g, const norn_graph *d, const char *name) {
    norn_graph *dd;
    OK(norn_gradient(g, 1, &name, 2, &dd));
    norn_executable *a = load(formula, d), *b = load(formula, dd);
    point p = random_point(formula, g);
    for (size_t i = 0; i < p.n; i++)
        if (!strcmp(p.v[i].name, name))
            close_to(formula, "second derivative", at(formula, b, dd, &p),
                     difference(formula, a, d, &p, (norn_tensor *)p.v[i].tensor, 0), 1e-4);
    end_point(&p);
    norn_executable_free(a);
    norn_executable_free(b);
    norn_graph_free(dd);
}

static int check(const char *formula) {
    norn_graph *g;
    int count = 0;
    OK(norn_formula_parse(formula, NORN_F64, &g, NULL));
    norn_executable *f = load(formula, g);
    for (size_t i = 0; i < norn_graph_input_count(g); i++) {
        const char *name = norn_value_name(norn_graph_input_at(g, i));
        norn_graph *d;
        char *text;
        OK(norn_gradient(g, 1, &name, 1, &d));
        OK(norn_graph_verify(d));
        OK(norn_formula_print(d, NORN_PRINT_TEXT, NULL, &text));
        text[strcspn(text, "\n")] = 0;
        count += operators(text);
        norn_executable *e = load(formula, d);
        char *whole = with_declarations(formula, text);
        for (int k = 0; k < 2; k++) {
            point p = random_point(formula, g);
            norn_tensor *got = run(formula, e, d, &p), *x = (norn_tensor *)p.v[i].tensor;
            assert_int_equal(norn_tensor_elems(got), norn_tensor_elems(x));
            for (int64_t j = 0; j < norn_tensor_elems(x); j++)
                close_to(formula, name, norn_tensor_get(got, j), difference(formula, f, g, &p, x, j), 1e-6);
            same_values(formula, d, whole, &p);
            norn_tensor_free(got);
            end_point(&p);
        }
        if (norn_value_rank(norn_graph_input_at(g, i)) == 0)
            check_second(formula, g, d, name);
        norn_executable_free(e);
        norn_text_free(text);
        free(whole);
        norn_graph_free(d);
    }
    norn_executable_free(f);
    norn_graph_free(g);
    return count;
}

static void table(void **state) {
    FILE *f = fopen(TEST_DATA "/../symbolic/derivatives.txt", "r");
    char line[512];
    int lines = 0, limits = 0;
    (void)state;
    assert_non_null(f);
    assert_int_equal(norn_session_open("host", &session), NORN_OK);
    while (fgets(line, sizeof line, f)) {
        if (*line == '#' || *line == '\n')
            continue;
        char *bar = strchr(line, '|'), *formula = bar + 2;
        formula[strcspn(formula, "\n")] = 0;
        int count = check(formula);
        lines++;
        if (*line != '-') {
            limits++;
            if (count > atoi(line))
                WRONG("%s: its derivative has %d operators (wanted at most %d)", formula, count, atoi(line));
        }
    }
    fclose(f);
    norn_session_close(session);
    assert_int_equal(failures, 0);
    assert_true(lines >= 200);
    assert_true(limits >= 60);
}

/* All gradients of a formula at once on the device: the values of the host reference. */
static void check_device(const char *formula, norn_session *device) {
    norn_graph *g, *d;
    norn_executable *a, *b;
    norn_fetch x[MAX_INPUTS], y[MAX_INPUTS];
    OK(norn_formula_parse(formula, NORN_F64, &g, NULL));
    OK(norn_gradient(g, 0, NULL, 1, &d));
    size_t n = norn_graph_output_count(d);
    OK(norn_executable_new(session, d, NULL, NULL, &a));
    OK(norn_executable_new(device, d, NULL, NULL, &b));
    point p = random_point(formula, g);
    for (size_t i = 0; i < n; i++)
        x[i] = y[i] = (norn_fetch){norn_graph_output_name(d, i), NULL};
    OK(norn_executable_run(a, p.n, p.v, n, x));
    OK(norn_executable_run(b, p.n, p.v, n, y));
    for (size_t i = 0; i < n; i++) {
        for (int64_t k = 0; k < norn_tensor_elems(x[i].tensor); k++)
            close_to(formula, "on the device", norn_tensor_get(y[i].tensor, k),
                     norn_tensor_get(x[i].tensor, k), 1e-9);
        norn_tensor_free(x[i].tensor);
        norn_tensor_free(y[i].tensor);
    }
    end_point(&p);
    norn_executable_free(a);
    norn_executable_free(b);
    norn_graph_free(d);
    norn_graph_free(g);
}

static void on_device(void **state) {
    FILE *f = fopen(TEST_DATA "/../symbolic/derivatives.txt", "r");
    char line[512];
    norn_session *device;
    (void)state;
    assert_non_null(f);
    assert_int_equal(norn_session_open("host", &session), NORN_OK);
    assert_int_equal(norn_session_open(NULL, &device), NORN_OK);
    while (fgets(line, sizeof line, f)) {
        if (*line == '#' || *line == '\n')
            continue;
        char *formula = strchr(line, '|') + 2;
        formula[strcspn(formula, "\n")] = 0;
        check_device(formula, device);
    }
    fclose(f);
    norn_session_close(device);
    norn_session_close(session);
    assert_int_equal(failures, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(table), cmocka_unit_test(on_device)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
