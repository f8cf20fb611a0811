/* SPDX-License-Identifier: Apache-2.0 */
/* norn solve FORMULA --subject-to CONSTRAINT: a quadratic formula with linear constraints as a quadratic program. P is the formula's
 * Hessian, column by column, q its gradient at 0, and a row of A the derivative of a constraint; that these are the same elsewhere
 * is checked at another point. */
#include "formula.h"
#include "output.h"
#include "solve_parts.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The unknowns, in the order of --start. */
typedef struct {
    norn_session *session;
    size_t n;
    const char *const *names;
    norn_tensor **x, **v; /* values and directions */
    int64_t total;
    size_t n_known;
    norn_feed *known; /* all of them, the directions as v_NAME, and the data */
} unknowns;

static void set_all(const unknowns *u, norn_tensor *const *t, const double *to) {
    for (size_t i = 0, at = 0; i < u->n; i++)
        for (int64_t k = 0; k < norn_tensor_elems(t[i]); k++, at++)
            norn_tensor_set(t[i], k, to ? to[at] : 0);
}

/* The outputs of a graph, one after the other; *n of them. */
static norn_status once(const unknowns *u, const norn_graph *g, double **out, size_t *n) {
    norn_executable *e = NULL;
    *out = NULL;
    norn_status s = norn_executable_new(u->session, g, NULL, NULL, &e);
    if (s == NORN_OK)
        s = formula_flat(e, g, u->n_known, u->known, out, n);
    norn_executable_free(e);
    return s;
}

/* A linear function's matrix [rows, total] from its product with each direction. */
static norn_status columns(const unknowns *u, const norn_graph *product, size_t *rows, double **out) {
    norn_executable *e = NULL;
    double *unit = calloc((size_t)u->total + 1, sizeof *unit), *m = NULL, *column = NULL;
    size_t n = 0, total = (size_t)u->total;
    norn_status s = unit ? norn_executable_new(u->session, product, NULL, NULL, &e) : NORN_NOMEM;
    set_all(u, u->x, NULL);
    for (size_t k = 0; k < total && s == NORN_OK; k++) {
        unit[k] = 1;
        set_all(u, u->v, unit);
        unit[k] = 0;
        s = formula_flat(e, product, u->n_known, u->known, &column, &n);
        if (s == NORN_OK && !m && !(m = calloc(n * total + 1, sizeof *m)))
            s = NORN_NOMEM;
        for (size_t i = 0; i < n && s == NORN_OK; i++)
            m[i * total + k] = column[i];
        free(column);
        column = NULL;
    }
    norn_executable_free(e);
    free(unit);
    *rows = n;
    *out = m;
    return s;
}

/* Points without symmetries, on both sides of 0 and away from it, where what is almost quadratic shows. */
enum { ELSEWHERE = 2 };
static void elsewhere(const unknowns *u, int which, double *x) {
    for (int64_t k = 0; k < u->total; k++)
        x[k] = (which ? -1 : 1) * (370 + 610 * (double)(k % 7) - 230 * (double)(k % 3));
    set_all(u, u->x, x);
}

static bool near(double a, double b) {
    return fabs(a - b) <= 1e-9 * fmax(1, fmax(fabs(a), fabs(b)));
}

/* ---- The objective. */
static int read_objective(const unknowns *u, const norn_graph *g, double *p, double *q, double *constant) {
    norn_graph *h = NULL, *d = NULL;
    double *matrix = NULL, *slope = NULL, *value = NULL, *x = calloc((size_t)u->total + 1, sizeof *x);
    size_t rows, n;
    set_all(u, u->x, NULL);
    norn_status s = x ? norn_hvp(g, u->n, u->names, &h) : NORN_NOMEM;
    if (s == NORN_OK)
        s = norn_gradient(g, u->n, u->names, 1, &d);
    if (s == NORN_OK)
        s = once(u, d, &slope, &n);
    if (s == NORN_OK)
        s = once(u, g, &value, &n);
    if (s == NORN_OK)
        s = columns(u, h, &rows, &matrix);
    if (s == NORN_OK) {
        memcpy(p, matrix, (size_t)(u->total * u->total) * sizeof *p);
        memcpy(q, slope, (size_t)u->total * sizeof *q);
        *constant = value[0];
    }
    int code = s == NORN_OK ? 0 : fail(s);
    for (int which = 0; which < ELSEWHERE && !code; which++) {
        elsewhere(u, which, x);
        free(value);
        s = once(u, g, &value, &n);
        code = s == NORN_OK ? 0 : fail(s);
        double want = *constant;
        for (int64_t i = 0; i < u->total; i++) {
            want += q[i] * x[i];
            for (int64_t k = 0; k < u->total; k++)
                want += 0.5 * x[i] * p[i * u->total + k] * x[k];
        }
        if (!code && !near(value[0], want))
            code = usage_error("the formula is not quadratic (wanted that where there are constraints)");
    }
    norn_graph_free(h);
    norn_graph_free(d);
    free(matrix);
    free(slope);
    free(value);
    free(x);
    return code;
}

/* ---- Constraints. */
typedef struct {
    int64_t rows, room;
    double *a, *l, *u;
} block;

static int add_rows(block *b, int64_t n, size_t rows) {
    int64_t all = b->rows + (int64_t)rows;
    double *a = realloc(b->a, (size_t)(all * n + 1) * sizeof *a);
    b->a = a ? a : b->a;
    double *l = realloc(b->l, (size_t)(all + 1) * sizeof *l);
    b->l = l ? l : b->l;
    double *u = realloc(b->u, (size_t)(all + 1) * sizeof *u);
    b->u = u ? u : b->u;
    return a && l && u ? 0 : out_of_memory();
}

static bool has(size_t n, const norn_feed *feeds, const char *name) {
    for (size_t i = 0; i < n; i++)
        if (!strcmp(feeds[i].name, name))
            return true;
    return false;
}

/* Whether the function with values at_0 (at 0) and matrix m is what g is elsewhere too. */
static norn_status is_linear(const unknowns *u, const norn_graph *g, size_t rows, const double *at_0,
                             const double *m, bool *linear) {
    double *x = calloc((size_t)u->total + 1, sizeof *x), *at_x = NULL;
    norn_status s = x ? NORN_OK : NORN_NOMEM;
    *linear = true;
    for (int which = 0; which < ELSEWHERE && s == NORN_OK; which++) {
        size_t n;
        elsewhere(u, which, x);
        s = once(u, g, &at_x, &n);
        for (size_t i = 0; i < rows && s == NORN_OK; i++) {
            double want = at_0[i];
            for (int64_t k = 0; k < u->total; k++)
                want += m[(int64_t)i * u->total + k] * x[k];
            *linear = *linear && near(at_x[i], want);
        }
        free(at_x);
        at_x = NULL;
    }
    free(x);
    return s;
}

/* One side of a constraint, which begins at `from` of its text; *type: the caller's. What does not fit is shown in that text. */
static int check_side(const char *declarations, const char *whole, int n_whole, const char *from, size_t n,
                      char **type) {
    norn_graph *g = NULL;
    char *text = text_of("%s%.*s", declarations, (int)n, from);
    int column, code = 0;
    if (!text)
        return out_of_memory();
    norn_status s = norn_formula_parse(text, NORN_F64, &g, &column);
    int at = column - (int)strlen(declarations) + (int)(from - whole);
    if (s == NORN_OK)
        s = norn_value_type_text(norn_graph_output_at(g, 0), type);
    if (s != NORN_OK && column > (int)strlen(declarations)) {
        char before[64];
        snprintf(before, sizeof before, "column %d: ", column);
        const char *why = strstr(norn_error(), before);
        code = fail_text(s, "--subject-to: '%.*s': column %d: %s", n_whole, whole, at,
                         why ? why + strlen(before) : norn_error());
    } else if (s != NORN_OK)
        code = fail(s);
    norn_graph_free(g);
    free(text);
    return code;
}

/* Both sides, and whether their sizes fit. */
static int open_constraint(const char *declarations, const char *lhs, size_t n_lhs, const char *rhs,
                           size_t n_rhs, norn_graph **out) {
    char *types[2] = {NULL, NULL},
         *text = text_of("%s(%.*s) - (%.*s)", declarations, (int)n_lhs, lhs, (int)n_rhs, rhs);
    int whole = (int)(rhs + n_rhs - lhs);
    int code = text ? check_side(declarations, lhs, whole, lhs, n_lhs, &types[0]) : out_of_memory();
    if (!code)
        code = check_side(declarations, lhs, whole, rhs, n_rhs, &types[1]);
    norn_status s = code ? NORN_OK : norn_formula_parse(text, NORN_F64, out, NULL);
    if (s == NORN_SHAPE)
        code = fail_text(
            s, "--subject-to: '%.*s': the left side has type %s, the right side %s (wanted sizes that fit)",
            whole, lhs, types[0], types[1]);
    else if (s != NORN_OK)
        code = fail(s);
    for (int i = 0; i < 2; i++)
        norn_text_free(types[i]);
    free(text);
    return code;
}

/* lhs - rhs <= 0, >= 0 or == 0; declarations: what stands before the objective's value. */
static int add_constraint(const unknowns *u, const char *declarations, const char *lhs, size_t n_lhs, char op,
                          const char *rhs, size_t n_rhs, block *b) {
    norn_graph *g = NULL, *j = NULL;
    double *at_0 = NULL, *m = NULL;
    const char **names = calloc(u->n + 1, sizeof *names);
    size_t rows = 0, again, n = 0;
    int whole = (int)(rhs + n_rhs - lhs);
    bool linear = true;
    int code = names ? open_constraint(declarations, lhs, n_lhs, rhs, n_rhs, &g) : out_of_memory();
    for (size_t i = 0; !code && i < norn_graph_input_count(g); i++) {
        const char *name = norn_value_name(norn_graph_input_at(g, i));
        if (has(u->n, u->known, name)) /* the unknowns come first */
            names[n++] = name;
        else if (!has(u->n_known, u->known, name))
            code = usage_error("--subject-to: '%s' has neither a start nor data", name);
    }
    if (!code && !n)
        code = usage_error("--subject-to: '%.*s' has no variable", whole, lhs);
    if (!code) {
        set_all(u, u->x, NULL);
        norn_status s = norn_jvp(g, n, names, &j);
        if (s == NORN_OK)
            s = once(u, g, &at_0, &rows);
        if (s == NORN_OK)
            s = columns(u, j, &again, &m);
        if (s == NORN_OK)
            s = is_linear(u, g, rows, at_0, m, &linear);
        code = s == NORN_OK ? add_rows(b, u->total, rows) : fail(s);
    }
    if (!code && !linear)
        code = usage_error("--subject-to: '%.*s' is not linear", whole, lhs);
    for (size_t i = 0; !code && i < rows; i++, b->rows++) {
        memcpy(b->a + b->rows * u->total, m + (int64_t)i * u->total, (size_t)u->total * sizeof *m);
        b->l[b->rows] = op == '<' ? -(double)INFINITY : -at_0[i];
        b->u[b->rows] = op == '>' ? (double)INFINITY : -at_0[i];
    }
    norn_graph_free(g);
    norn_graph_free(j);
    free(at_0);
    free(m);
    free(names);
    return code;
}

/* "a <= b", "a == b", "l <= a <= u". */
static int read_constraint(const unknowns *u, const char *declarations, const char *text, block *b) {
    const char *from = text, *middle = NULL, *p = text;
    char op = 0;
    int depth = 0, code = 0, found = 0;
    for (;; p++) {
        depth += (*p == '(' || *p == '[') - (*p == ')' || *p == ']');
        bool sign = !depth && (*p == '<' || *p == '>' || *p == '=') && p[1] == '=';
        if (*p && !sign)
            continue;
        if (op && !code) {
            found++;
            code = add_constraint(u, declarations, from, (size_t)(middle - from), op, middle + 2,
                                  (size_t)(p - middle - 2), b);
            for (from = middle + 2; *from == ' ';)
                from++;
        }
        if (!*p)
            break;
        op = *p;
        middle = p++;
    }
    return code    ? code
           : found ? 0
                   : usage_error("--subject-to: got '%s' (wanted A <= B, A >= B or A == B)", text);
}

/* A row for each entry that has a bound. */
static int add_bounds(const unknowns *u, size_t n, const norn_feed *bounds, bool lower, block *b) {
    int code = 0;
    for (size_t i = 0; i < n && !code; i++) {
        int64_t at = 0;
        size_t k = 0;
        for (; k < u->n && strcmp(u->names[k], bounds[i].name); k++)
            at += norn_tensor_elems(u->x[k]);
        if (k == u->n)
            return usage_error("bounds of '%s': it is not solved for", bounds[i].name);
        int64_t size = norn_tensor_elems(u->x[k]), given = norn_tensor_elems(bounds[i].tensor);
        if (given != 1 && given != size)
            return usage_error("bounds of '%s': they have another size than it", bounds[i].name);
        code = add_rows(b, u->total, (size_t)size);
        for (int64_t e = 0; e < size && !code; e++, b->rows++) {
            double v = norn_tensor_get(bounds[i].tensor, given == 1 ? 0 : e);
            memset(b->a + b->rows * u->total, 0, (size_t)u->total * sizeof *b->a);
            b->a[b->rows * u->total + at + e] = 1;
            b->l[b->rows] = lower ? v : -(double)INFINITY;
            b->u[b->rows] = lower ? (double)INFINITY : v;
        }
    }
    return code;
}

static norn_status tensor_of(int rank, int64_t rows, int64_t n, const double *v, norn_tensor **out) {
    return norn_tensor_new(NULL, NORN_F64, rank, (const int64_t[]){rows, n}, v, out);
}

/* What formulas may be fed: values at 0, directions, data. The tensors of the first two are made. */
static int make_known(unknowns *u, const constrained *c) {
    u->known = calloc(2 * u->n + c->n_data + 1, sizeof *u->known);
    u->x = calloc(u->n + 1, sizeof *u->x);
    u->v = calloc(u->n + 1, sizeof *u->v);
    if (!u->known || !u->x || !u->v)
        return out_of_memory();
    for (size_t i = 0; i < u->n; i++) {
        const norn_tensor *t = c->start[i].tensor;
        char *direction = text_of("v_%s", c->start[i].name);
        norn_status s = direction ? norn_tensor_new(NULL, NORN_F64, norn_tensor_rank(t), norn_tensor_dims(t),
                                                    NULL, &u->x[i])
                                  : NORN_NOMEM;
        if (s == NORN_OK)
            s = norn_tensor_new(NULL, NORN_F64, norn_tensor_rank(t), norn_tensor_dims(t), NULL, &u->v[i]);
        u->known[i] = (norn_feed){c->start[i].name, u->x[i]};
        u->known[u->n + i] = (norn_feed){direction, u->v[i]};
        if (s != NORN_OK)
            return fail(s);
        u->total += norn_tensor_elems(t);
    }
    for (size_t i = 0; i < c->n_data; i++)
        u->known[2 * u->n + i] = c->data[i];
    u->n_known = 2 * u->n + c->n_data;
    return 0;
}

static void free_known(unknowns *u) {
    for (size_t i = 0; i < u->n; i++) {
        norn_tensor_free(u->x ? u->x[i] : NULL);
        norn_tensor_free(u->v ? u->v[i] : NULL);
        free(u->known ? (char *)u->known[u->n + i].name : NULL);
    }
    free(u->known);
    free(u->x);
    free(u->v);
}

int quadratic_program(norn_session *session, const constrained *c, norn_tensor *out[5], double *constant) {
    unknowns u = {.session = session, .n = c->n_start};
    const char **names = calloc(u.n + 1, sizeof *names);
    block b = {0};
    double *p = NULL, *q = NULL;
    char *declarations = text_copy(c->text);
    int code = names && declarations ? make_known(&u, c) : out_of_memory();
    if (declarations) {
        char *last = strrchr(declarations, ';');
        *(last ? last + 1 : declarations) = 0;
    }
    for (size_t i = 0; i < u.n && !code; i++)
        names[i] = c->start[i].name;
    u.names = names;
    if (!code) {
        p = calloc((size_t)(u.total * u.total) + 1, sizeof *p);
        q = calloc((size_t)u.total + 1, sizeof *q);
        code = p && q ? read_objective(&u, c->graph, p, q, constant) : out_of_memory();
    }
    for (size_t i = 0; i < c->constraints->n && !code; i++)
        code = read_constraint(&u, declarations, c->constraints->v[i], &b);
    if (!code)
        code = add_bounds(&u, c->n_lower, c->lower, true, &b);
    if (!code)
        code = add_bounds(&u, c->n_upper, c->upper, false, &b);
    if (!code) {
        norn_status s = tensor_of(2, u.total, u.total, p, &out[0]);
        if (s == NORN_OK)
            s = tensor_of(1, u.total, 0, q, &out[1]);
        if (s == NORN_OK)
            s = tensor_of(2, b.rows, u.total, b.a, &out[2]);
        if (s == NORN_OK)
            s = tensor_of(1, b.rows, 0, b.l, &out[3]);
        if (s == NORN_OK)
            s = tensor_of(1, b.rows, 0, b.u, &out[4]);
        code = s == NORN_OK ? 0 : fail(s);
    }
    free_known(&u);
    free(names);
    free(declarations);
    free(p);
    free(q);
    free(b.a);
    free(b.l);
    free(b.u);
    return code;
}
