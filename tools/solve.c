/* SPDX-License-Identifier: Apache-2.0 */
/* norn solve: minimises formulas and ONNX outputs, fits data, solves quadratic programs. */
#include "formula.h"
#include "options.h"
#include "output.h"
#include "pick.h"
#include "solve_parts.h"
#include "verbs.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const dtypes[] = {"f64", "f32", NULL};
static const char *const methods[] = {"auto", "gd", "cg", "bfgs", "lbfgs", "newton-cg", "lm", NULL};

/* ---- Printing. */
static double rounded(double v, int digits) {
    char text[64];
    snprintf(text, sizeof text, "%.*g", digits, v);
    return strtod(text, NULL);
}

static bool undetermined(const norn_tensor *e, int64_t i) {
    return isinf(norn_tensor_get(e, i));
}

/* One end of the intervals: -1 or 1. */
static void print_ends(const norn_tensor *v, const norn_tensor *w, int side) {
    norn_tensor *t;
    if (norn_tensor_copy(v, NULL, &t) != NORN_OK)
        return;
    for (int64_t i = 0; i < norn_tensor_elems(t); i++)
        norn_tensor_set(t, i, norn_tensor_get(v, i) + side * norn_tensor_get(w, i));
    print_value(t);
    norn_tensor_free(t);
}

static void print_numbers(const char *name, const norn_solution *s, int64_t freedom) {
    const norn_tensor *v = norn_solution_value(s, name), *e = norn_solution_error(s, name),
                      *w = norn_solution_interval(s, name);
    printf("%s = ", name);
    print_value(v);
    if (!e)
        return;
    if (norn_tensor_rank(v) > 0) {
        if (freedom) {
            printf("    standard errors ");
            print_value(e);
            printf("    95 %% from ");
            print_ends(v, w, -1);
            printf("    to ");
            print_ends(v, w, 1);
        }
    } else if (undetermined(e, 0))
        printf("    not determined by the data: no standard error\n");
    else if (isnan(norn_tensor_get(e, 0))) {
        if (freedom)
            printf("    at its bound, which holds it: no standard error\n");
    } else {
        double x = norn_tensor_get(v, 0), d = norn_tensor_get(w, 0);
        int digits = 6; /* as many as tell the ends apart */
        while (digits < 17 && fabs(rounded(x + d, digits) - rounded(x - d, digits) - 2 * d) > 0.02 * d)
            digits++;
        printf("    standard error %.4g, 95 %% between %.*g and %.*g\n", norn_tensor_get(e, 0), digits, x - d,
               digits, x + d);
    }
}

bool table_has(size_t i, size_t n) {
    enum { LINES = 20 };
    bool left_out = n > LINES && i >= LINES / 2 && i + LINES / 2 < n;
    if (left_out && i == LINES / 2)
        printf("      ...\n");
    return !left_out;
}

static void print_table(const norn_solution *s) {
    size_t n = norn_solution_trace_count(s);
    printf("iteration             value          gradient\n");
    for (size_t i = 0; i < n; i++) {
        double f, g, x[2];
        norn_solution_trace(s, i, &f, &g, x);
        if (table_has(i, n))
            printf("%9zu  %16.9g  %16.3g\n", i, f, g);
    }
}

/* Whether the data leave entries undetermined; names them, where `name` says so. */
static bool find_undetermined(const norn_solution *s, const point *start, bool name) {
    bool any = false;
    for (size_t k = 0; k < start->n; k++) {
        const norn_tensor *e = norn_solution_error(s, start->names[k]);
        for (int64_t i = 0; e && i < norn_tensor_elems(e); i++) {
            if (!undetermined(e, i))
                continue;
            if (name)
                printf("%s%s", any ? ", " : "", start->names[k]);
            if (name && norn_tensor_rank(e))
                printf("[%lld]", (long long)i);
            any = true;
        }
    }
    return any;
}

static cJSON *number_or_null(double v) {
    return isfinite(v) ? cJSON_CreateNumber(v) : cJSON_CreateNull();
}

/* Values, standard errors, or both ends of the intervals, by variable. */
static void json_entries(cJSON *j, const char *what, const norn_solution *s, const point *start,
                         const norn_tensor *(*get)(const norn_solution *, const char *), bool ends) {
    cJSON *x = json_object(j, what);
    for (size_t k = 0; k < start->n; k++) {
        const norn_tensor *t = get(s, start->names[k]), *v = norn_solution_value(s, start->names[k]);
        cJSON *list = t ? json_array(x, start->names[k]) : NULL;
        for (int64_t e = 0; t && e < norn_tensor_elems(t); e++) {
            double n = norn_tensor_get(t, e), at = norn_tensor_get(v, e);
            cJSON *entry = ends && isfinite(n) ? cJSON_CreateArray() : number_or_null(n);
            if (ends && isfinite(n)) {
                cJSON_AddItemToArray(entry, cJSON_CreateNumber(at - n));
                cJSON_AddItemToArray(entry, cJSON_CreateNumber(at + n));
            }
            cJSON_AddItemToArray(list, entry);
        }
    }
}

static int report(const solve_options *o, const norn_solution *s, const point *start, double seconds) {
    norn_solution_info i;
    norn_solution_get(s, &i);
    if (i.residuals == 1)
        note("the formula has one element, and its square was minimised "
             "(wanted a list of residuals for --method lm)");
    if (o->json) {
        cJSON *j = cJSON_CreateObject();
        json_bool(j, "converged", i.converged);
        json_text(j, "method", i.method);
        json_text(j, "reason", i.reason);
        json_number(j, "iterations", (double)i.iterations);
        json_number(j, "values", (double)i.values);
        json_number(j, "products", (double)i.products);
        json_number(j, "value", i.value);
        json_number(j, "gradient", i.gradient);
        json_number(j, "seconds", seconds);
        json_entries(j, "x", s, start, norn_solution_value, false);
        json_entries(j, "standard_errors", s, start, norn_solution_error, false);
        json_entries(j, "intervals", s, start, norn_solution_interval, true);
        if (i.residuals) {
            json_number(j, "residuals", (double)i.residuals);
            json_number(j, "degrees_of_freedom", (double)i.freedom);
            json_number(j, "standard_deviation", i.freedom ? i.deviation : (double)NAN);
            json_bool(j, "determined", !find_undetermined(s, start, false));
        }
        return json_print(j, i.converged ? 0 : 1);
    }
    if (o->table)
        print_table(s);
    for (size_t k = 0; k < start->n; k++)
        print_numbers(start->names[k], s, i.freedom);
    if (find_undetermined(s, start, false)) {
        printf("not determined by the data, as a change of one can be made up for: ");
        find_undetermined(s, start, true);
        printf("\n");
    }
    printf("value %.9g, largest entry of the gradient %.2g\n", i.value, i.gradient);
    if (i.residuals && i.freedom)
        printf("%lld residuals, %lld unknowns, standard deviation %.4g (%lld degree%s of freedom)\n",
               (long long)i.residuals, (long long)i.unknowns, i.deviation, (long long)i.freedom,
               i.freedom == 1 ? "" : "s");
    else if (i.residuals)
        printf("%lld residuals, %lld unknowns: no degrees of freedom, so no standard errors\n",
               (long long)i.residuals, (long long)i.unknowns);
    printf("%s, %lld iterations, %lld values%s: %s\n", i.method, (long long)i.iterations, (long long)i.values,
           i.converged ? "" : ", not converged", i.reason);
    return i.converged ? 0 : 1;
}

/* ---- Input. */

/* The arrays of an archive that are inputs of the graph and have no start. */
static int load_data(const solve_options *o, const norn_graph *g, const point *start, norn_feed *data,
                     size_t *n) {
    norn_archive *a = NULL;
    *n = 0;
    if (!o->data)
        return 0;
    norn_status s = norn_archive_open(o->data, &a);
    for (size_t i = 0; i < norn_graph_input_count(g) && s == NORN_OK; i++) {
        const norn_value *v = norn_graph_input_at(g, i);
        norn_tensor *t = NULL, *made = NULL;
        if (point_find(start, norn_value_name(v)) || !norn_archive_has(a, norn_value_name(v)))
            continue;
        s = norn_archive_load(a, norn_value_name(v), &t);
        if (s == NORN_OK)
            s = norn_tensor_new(NULL, norn_value_dtype(v), norn_tensor_rank(t), norn_tensor_dims(t), NULL,
                                &made);
        for (int64_t k = 0; s == NORN_OK && k < norn_tensor_elems(t); k++)
            norn_tensor_set(made, k, norn_tensor_get(t, k));
        if (s == NORN_OK)
            data[(*n)++] = (norn_feed){norn_value_name(v), made};
        norn_tensor_free(t);
    }
    norn_archive_close(a);
    return s == NORN_OK ? 0 : fail(s);
}

static int open_graph(const solve_options *o, const char *text, norn_model **m, norn_graph **g) {
    size_t len = strlen(text);
    if (len <= 5 || strcmp(text + len - 5, ".onnx") != 0)
        return formula_open(text, o->dtype ? NORN_F32 : NORN_F64, g);
    norn_status s = norn_model_load(text, NULL, m);
    return s == NORN_OK ? 0 : fail(s);
}

/* Starts fill their variables where they are numbers and those are vectors. */
static int feeds_of(const point *p, const norn_graph *g, norn_feed *out) {
    for (size_t i = 0; i < p->n; i++) {
        const norn_value *v = norn_graph_value(g, p->names[i]);
        norn_tensor *t;
        int64_t dims[NORN_MAX_RANK];
        int rank = v ? norn_value_rank(v) : norn_tensor_rank(p->values[i]);
        bool fill = v && norn_tensor_rank(p->values[i]) == 0 && rank > 0;
        for (int k = 0; k < rank; k++) {
            dims[k] = fill                                 ? norn_value_dim(v, k)
                      : k < norn_tensor_rank(p->values[i]) ? norn_tensor_dims(p->values[i])[k]
                                                           : 1;
            if (dims[k] < 0)
                return usage_error("'%s' has sizes that are not known (wanted a list)", p->names[i]);
        }
        norn_status s = fill ? norn_tensor_new(NULL, NORN_F64, rank, dims, NULL, &t)
                             : norn_tensor_copy(p->values[i], NULL, &t);
        if (s != NORN_OK)
            return fail(s);
        for (int64_t k = 0; fill && k < norn_tensor_elems(t); k++)
            norn_tensor_set(t, k, norn_tensor_get(p->values[i], 0));
        out[i] = (norn_feed){p->names[i], t};
    }
    return 0;
}

static int read_points(const text_list *list, point *out) {
    int code = 0;
    for (size_t i = 0; i < list->n && !code; i++)
        code = point_parse(list->v[i], out);
    return code;
}

/* ---- Formulas. */
static int solve_formula(const solve_options *o, const char *text) {
    norn_model *m = NULL;
    norn_graph *g = NULL;
    norn_session *session = NULL;
    norn_solution *s = NULL;
    point start = {.option = "--start"}, lower = {.option = "--lower"}, upper = {.option = "--upper"};
    norn_feed *feeds = NULL, *data = NULL;
    size_t n_data = 0;
    double seconds = 0;
    int code = read_points(&o->start, &start);
    if (!code)
        code = read_points(&o->lower, &lower);
    if (!code)
        code = read_points(&o->upper, &upper);
    if (!code && !start.n)
        code = usage_error("--start: got no variable (wanted --start x=1,y=2)");
    if (!code)
        code = open_graph(o, text, &m, &g);
    const norn_graph *graph = m ? norn_model_graph(m) : g;
    if (!code && m && o->subject_to.n)
        code = usage_error("--subject-to: got the model '%s' (wanted a formula)", text);
    if (!code) {
        feeds = calloc(start.n + lower.n + upper.n + 1, sizeof *feeds);
        data = calloc(norn_graph_input_count(graph) + 1, sizeof *data);
        code = feeds && data ? feeds_of(&start, graph, feeds) : out_of_memory();
    }
    if (!code)
        code = feeds_of(&lower, graph, feeds + start.n);
    if (!code)
        code = feeds_of(&upper, graph, feeds + start.n + lower.n);
    if (!code)
        code = load_data(o, graph, &start, data, &n_data);
    if (!code && o->subject_to.n) {
        const constrained c = {.text = text,
                               .graph = graph,
                               .n_start = start.n,
                               .start = feeds,
                               .n_lower = lower.n,
                               .lower = feeds + start.n,
                               .n_upper = upper.n,
                               .upper = feeds + start.n + lower.n,
                               .n_data = n_data,
                               .data = data,
                               .constraints = &o->subject_to};
        norn_tensor *t[5] = {0};
        double constant = 0;
        norn_status st = norn_session_open(o->device, &session);
        code = st == NORN_OK ? quadratic_program(session, &c, t, &constant) : fail(st);
        if (!code)
            code = solve_arrays(o, session, &(norn_qp){.p = t[0], .q = t[1], .a = t[2], .l = t[3], .u = t[4]},
                                start.n, feeds, constant);
        for (int i = 0; i < 5; i++)
            norn_tensor_free(t[i]);
    } else if (!code) {
        norn_solve_options options = {.method = (norn_solver)o->method,
                                      .max_iterations = o->max_iterations,
                                      .tolerance = o->tolerance,
                                      .n_lower = lower.n,
                                      .lower = feeds + start.n,
                                      .n_upper = upper.n,
                                      .upper = feeds + start.n + lower.n};
        norn_status st = norn_session_open(o->device, &session);
        if (st == NORN_OK)
            seconds = -now_seconds();
        if (st == NORN_OK)
            st = norn_solve(session, graph, start.n, feeds, n_data, data, &options, &s);
        seconds += now_seconds();
        code = st == NORN_OK ? 0 : fail(st);
    }
    if (!code && s && o->plot)
        code = plot_solution(o->plot, session, graph, s, start.n, feeds, n_data, data);
    if (!code && s)
        code = report(o, s, &start, seconds);
    norn_solution_free(s);
    norn_session_close(session);
    for (size_t i = 0; feeds && i < start.n + lower.n + upper.n; i++)
        norn_tensor_free((norn_tensor *)feeds[i].tensor);
    for (size_t i = 0; i < n_data; i++)
        norn_tensor_free((norn_tensor *)data[i].tensor);
    free(feeds);
    free(data);
    point_free(&start);
    point_free(&lower);
    point_free(&upper);
    norn_graph_free(g);
    norn_model_free(m);
    return code;
}

static int run(const void *options, int n, char *const *args) {
    const solve_options *o = options;
    if (o->subject_to.n && (o->qp || o->method || o->dtype))
        return usage_error("--subject-to makes a quadratic program (wanted no --qp, --method or --dtype)");
    if (o->qp && n)
        return usage_error("got a formula and --qp (wanted one of them)");
    if (o->qp && (o->start.n || o->lower.n || o->upper.n || o->data || o->method || o->dtype))
        return usage_error(
            "--qp has all in its file (wanted no --start, --lower, --upper, --data, --method or "
            "--dtype)");
    if (o->out && !o->qp && !o->subject_to.n)
        return usage_error("--out is of quadratic programs (wanted --qp or --subject-to)");
    if (!o->qp && !n)
        return usage_error("got no formula (wanted FORMULA, MODEL.onnx, or --qp FILE.npz)");
    return o->qp ? solve_program(o) : solve_formula(o, args[0]);
}

static const option options[] = {
    {"start", "X=V,...", OPT_LIST, offsetof(solve_options, start), "what is solved for, and where to begin",
     NULL, 0},
    {"lower", "X=V,...", OPT_LIST, offsetof(solve_options, lower), "lower bounds", NULL, 0},
    {"upper", "X=V,...", OPT_LIST, offsetof(solve_options, upper), "upper bounds", NULL, 0},
    {"subject-to", "A<=B", OPT_LIST, offsetof(solve_options, subject_to),
     "of a quadratic formula: a linear constraint, with <=, >=, ==, or two as in 0 <= x <= 1", NULL, 0},
    {"data", "FILE.npz", OPT_TEXT, offsetof(solve_options, data), "values of the other variables, by name",
     NULL, 0},
    {"method", "M", OPT_CHOICE, offsetof(solve_options, method), "how", methods, 0},
    {"tolerance", "T", OPT_REAL, offsetof(solve_options, tolerance),
     "of the largest entry of the gradient, relative where it is below 1 at the start, of lm the cosine "
     "between residuals and Jacobian, else 1e-8; of the residuals of a quadratic program, else 1e-9",
     NULL, 0},
    {"max-iterations", "N", OPT_INT, offsetof(solve_options, max_iterations),
     "else 10000; of a quadratic program 20000", NULL, 1},
    {"table", NULL, OPT_FLAG, offsetof(solve_options, table),
     "print value and gradient of the iterations; of a quadratic program objective and residuals", NULL, 0},
    {"plot", "FILE.svg", OPT_TEXT, offsetof(solve_options, plot),
     "draw the convergence, and of two numbers the contours with the path", NULL, 0},
    {"qp", "FILE.npz", OPT_TEXT, offsetof(solve_options, qp),
     "a quadratic program: minimise 1/2 x'Px + q'x subject to l <= Ax <= u; a linear one without P; sparse P "
     "or "
     "A as P, P_indices, P_indptr (CSR)",
     NULL, 0},
    {"out", "FILE.npz", OPT_TEXT, offsetof(solve_options, out),
     "of a quadratic program: write x and the multipliers y", NULL, 0},
    {"dtype", "T", OPT_CHOICE, offsetof(solve_options, dtype), "type of numbers in formulas", dtypes, 0},
    OPT_DEVICE(solve_options),
    OPT_JSON(solve_options),
    OPT_END,
};

const verb verb_solve = {
    .name = "solve",
    .args = "FORMULA | MODEL.onnx | --qp FILE.npz",
    .summary = "Minimises a formula or a model's output, fits data, solves a quadratic program.",
    .details = "  norn solve '(1 - x)**2 + 100*(y - x**2)**2' --start x=-1.2,y=1\n"
               "  norn solve 't: f64[N], y: f64[N]; a*exp(-b*t) - y' --data d.npz --start a=1,b=1\n"
               "  norn solve 'x**2 + y**2 + x*y - 4*x' --start x=0,y=0 --subject-to 'x + y == 1'\n"
               "  norn solve --qp program.npz\n\n"
               "A formula that is a vector is a list of residuals: the sum of their squares is minimised by "
               "Levenberg-Marquardt, "
               "and the variables get standard errors from J'J, the Gauss-Newton Hessian; one element is an "
               "objective, whatever its shape. Exit code 1 says that the method did not converge, or "
               "that a quadratic "
               "program is infeasible or unbounded.",
    .options = options,
    .bytes = sizeof(solve_options),
    .minus = true,
    .least = 0,
    .most = 1,
    .run = run,
};
