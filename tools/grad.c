/* SPDX-License-Identifier: Apache-2.0 */
/* norn grad: derivatives of formulas. */
#include "formula.h"
#include "grad_parts.h"
#include "output.h"
#include "pick.h"
#include "verbs.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const dtypes[] = {"f64", "f32", NULL};
static const char *const styles[] = {"text", "latex", "c", "opencl", "python", "graph", "svg", NULL};

static int what_of(const grad_options *o, what *out) {
    const bool set[] = {o->jacobian, o->hessian, o->jvp, o->vjp, o->hvp, o->simplify};
    int n = 0;
    *out = WHAT_GRADIENT;
    for (int i = 0; i < 6; i++)
        if (set[i]) {
            n++;
            *out = (what)(WHAT_JACOBIAN + i);
        }
    if (n > 1 || (n && o->order))
        return usage_error(
            "--jacobian, --hessian, --jvp, --vjp, --hvp, --simplify and --order exclude each other");
    return 0;
}

norn_status derive(const norn_graph *g, what w, size_t n, const char *const *x, int order, norn_graph **out) {
    switch (w) {
    case WHAT_JACOBIAN:
        return norn_jacobian(g, n, x, out);
    case WHAT_HESSIAN:
        return norn_hessian(g, n, x, out);
    case WHAT_JVP:
        return norn_jvp(g, n, x, out);
    case WHAT_VJP:
        return norn_vjp(g, n, x, out);
    case WHAT_HVP:
        return norn_hvp(g, n, x, out);
    case WHAT_FORMULA:
        return norn_simplify(g, out);
    default:
        return norn_gradient(g, n, x, order, out);
    }
}

/* "x,y" as a list; the names lie in *text, which is the caller's to free. */
static int names_of(const char *list, char **text, const char ***names, size_t *n) {
    *n = 0;
    *text = text_copy(list ? list : "");
    *names = calloc(strlen(list ? list : "") + 1, sizeof **names);
    if (!*text || !*names)
        return out_of_memory();
    if (!list)
        return 0;
    for (char *p = strtok(*text, ", "); p; p = strtok(NULL, ", "))
        (*names)[(*n)++] = p;
    return *n ? 0 : usage_error("--wrt: got no name");
}

static int print_formula(const grad_options *o, const norn_graph *d) {
    static const norn_print_style style[] = {NORN_PRINT_TEXT,   NORN_PRINT_LATEX,  NORN_PRINT_C,
                                             NORN_PRINT_OPENCL, NORN_PRINT_PYTHON, NORN_PRINT_GRAPH,
                                             NORN_PRINT_SVG};
    char *text = NULL;
    norn_status s = norn_formula_print(d, style[o->print], o->name, &text);
    int code = s == NORN_OK ? 0 : fail(s);
    if (!code && o->json) {
        cJSON *j = cJSON_CreateObject(), *names = json_array(j, "outputs");
        json_text(j, "style", styles[o->print]);
        for (size_t i = 0; i < norn_graph_output_count(d); i++)
            json_append(names, norn_graph_output_name(d, i));
        json_text(j, "text", text);
        code = json_print(j, 0);
    } else if (!code)
        printf("%s%s", text, *text && text[strlen(text) - 1] == '\n' ? "" : "\n");
    norn_text_free(text);
    return code;
}

/* The result as a model, whose inputs are the variables. */
static int save_formula(const norn_graph *d, const char *path) {
    norn_graph *copy = NULL;
    norn_model *m = NULL;
    size_t n = strlen(path);
    if (n < 6 || strcmp(path + n - 5, ".onnx") != 0)
        return usage_error("got a second argument '%s' (wanted OUT.onnx)", path);
    norn_status s = norn_graph_simplify(d, &copy);
    if (s == NORN_OK && (s = norn_model_new(copy, &m)) != NORN_OK)
        norn_graph_free(copy);
    if (s == NORN_OK)
        s = norn_model_save(m, path, NULL);
    if (s == NORN_OK)
        printf("%s: %zu inputs, %zu outputs\n", path, norn_graph_input_count(d), norn_graph_output_count(d));
    norn_model_free(m);
    return s == NORN_OK ? 0 : fail(s);
}

static int print_values(const grad_options *o, const norn_graph *d, const point *at) {
    size_t n, count = norn_graph_output_count(d);
    norn_feed *feeds = calloc(norn_graph_input_count(d) + 1, sizeof *feeds);
    norn_tensor **out = calloc(count, sizeof *out);
    norn_session *s = NULL;
    if (!feeds || !out) {
        free(feeds);
        free(out);
        return out_of_memory();
    }
    int code = point_feeds(at, d, feeds, &n);
    if (!code) {
        norn_status st = norn_session_open(o->device, &s);
        if (st == NORN_OK)
            st = formula_run(s, d, n, feeds, out);
        code = st == NORN_OK ? 0 : fail(st);
    }
    cJSON *j = o->json && !code ? cJSON_CreateObject() : NULL, *values = j ? json_object(j, "values") : NULL;
    for (size_t i = 0; i < count && !code; i++) {
        if (o->json) {
            cJSON *v = json_object(values, norn_graph_output_name(d, i)), *shape = json_array(v, "shape"),
                  *data = json_array(v, "data");
            for (int k = 0; k < norn_tensor_rank(out[i]); k++)
                cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)norn_tensor_dims(out[i])[k]));
            for (int64_t k = 0; k < norn_tensor_elems(out[i]); k++)
                cJSON_AddItemToArray(data, cJSON_CreateNumber(norn_tensor_get(out[i], k)));
            continue;
        }
        if (count > 1)
            printf("%s = ", norn_graph_output_name(d, i));
        print_value(out[i]);
    }
    if (j)
        code = json_print(j, code);
    for (size_t i = 0; i < count; i++)
        norn_tensor_free(out[i]);
    point_feeds_free(feeds, n);
    norn_session_close(s);
    free(feeds);
    free(out);
    return code;
}

static int run(const void *options, int n_args, char *const *args) {
    const grad_options *o = options;
    norn_graph *g = NULL, *d = NULL;
    char *text = NULL;
    const char **x = NULL;
    size_t n = 0;
    what w;
    point at = {.option = "--at"};
    size_t len = strlen(args[0]);
    if (len > 5 && !strcmp(args[0] + len - 5, ".onnx"))
        return grad_model(o, n_args, args);
    if (n_args > 1 && (o->check || o->at.n || o->json || o->print))
        return usage_error("a file is written (wanted no --check, --at, --json or --print)");
    if (o->simplify && (o->check || o->wrt))
        return usage_error("--simplify differentiates nothing (wanted no --check or --wrt)");
    if (o->loss || o->step || o->batch)
        return usage_error("--loss, --step and --batch are for models");
    int code = what_of(o, &w), order = o->order ? (int)o->order : 1;
    for (size_t i = 0; i < o->at.n && !code; i++)
        code = point_parse(o->at.v[i], &at);
    if (!code)
        code = names_of(o->wrt, &text, &x, &n);
    if (!code)
        code = formula_open(args[0], o->dtype ? NORN_F32 : NORN_F64, &g);
    if (!code) {
        norn_status s = derive(g, w, n, x, order, &d);
        code = s == NORN_OK ? 0 : fail(s);
    }
    if (!code && n_args > 1)
        code = save_formula(d, args[1]);
    else if (!code && o->check)
        code = grad_check(o, g, d, w, n, x, order, &at);
    else if (!code && o->at.n)
        code = print_values(o, d, &at);
    else if (!code)
        code = print_formula(o, d);
    norn_graph_free(d);
    norn_graph_free(g);
    point_free(&at);
    free(text);
    free(x);
    return code;
}

static const option options[] = {
    {"wrt", "X,Y...", OPT_TEXT, offsetof(grad_options, wrt), "variables to differentiate by; else all", NULL,
     0},
    {"order", "N", OPT_INT, offsetof(grad_options, order), "of the derivative, by one scalar; else 1", NULL,
     1},
    {"jacobian", NULL, OPT_FLAG, offsetof(grad_options, jacobian), "the derivatives of every element", NULL,
     0},
    {"hessian", NULL, OPT_FLAG, offsetof(grad_options, hessian), "the matrix of second derivatives", NULL, 0},
    {"jvp", NULL, OPT_FLAG, offsetof(grad_options, jvp), "the derivative along a direction v_X", NULL, 0},
    {"vjp", NULL, OPT_FLAG, offsetof(grad_options, vjp), "the gradient of the sum of u times the formula",
     NULL, 0},
    {"hvp", NULL, OPT_FLAG, offsetof(grad_options, hvp), "the Hessian times a direction v_X", NULL, 0},
    {"simplify", NULL, OPT_FLAG, offsetof(grad_options, simplify), "the formula itself in its simplest form",
     NULL, 0},
    {"at", "X=V,Y=V...", OPT_LIST, offsetof(grad_options, at),
     "print the value there, not the formula; a value is a number, a formula without variables, or a list",
     NULL, 0},
    {"dtype", "T", OPT_CHOICE, offsetof(grad_options, dtype), "type of numbers", dtypes, 0},
    {"print", "STYLE", OPT_CHOICE, offsetof(grad_options, print), "how formulas are printed", styles, 0},
    {"name", "F", OPT_TEXT, offsetof(grad_options, name), "of the printed function or kernel; else f", NULL,
     0},
    {"check", NULL, OPT_FLAG, offsetof(grad_options, check),
     "compare with central differences, at the point or at random ones", NULL, 0},
    {"seed", "S", OPT_INT, offsetof(grad_options, seed), "of the random points of --check; else 1", NULL, 0},
    OPT_DEVICE(grad_options),
    OPT_JSON(grad_options),
    {"of models", NULL, OPT_HEADING, 0, NULL, NULL, 0},
    {"loss", "L", OPT_TEXT, offsetof(grad_options, loss),
     "of this loss, in training mode, rather than of the first output: cross-entropy, mse", NULL, 0},
    {"step", "O", OPT_TEXT, offsetof(grad_options, step),
     "a whole training step: sgd, momentum, nesterov, adam, adamw, rmsprop, adagrad", NULL, 0},
    {"batch", "N", OPT_INT, offsetof(grad_options, batch), "where the batch is a name; else 1", NULL, 1},
    {"momentum", "X", OPT_REAL, offsetof(grad_options, train.momentum), "of --step", NULL, 0},
    {"weight-decay", "X", OPT_REAL, offsetof(grad_options, train.weight_decay), "of --step", NULL, 0},
    {"beta1", "X", OPT_REAL, offsetof(grad_options, train.beta1), "of --step adam and adamw", NULL, 0},
    {"beta2", "X", OPT_REAL, offsetof(grad_options, train.beta2), "of --step adam and adamw", NULL, 0},
    {"freeze", "PATTERNS", OPT_TEXT, offsetof(grad_options, train.freeze), "what is not trained", NULL, 0},
    OPT_END,
};

static const grad_options defaults = {.seed = 1, .train = TRAINING_DEFAULTS};

const verb verb_grad = {
    .name = "grad",
    .args = "FORMULA [OUT.onnx] | MODEL.onnx [OUT.onnx]",
    .summary = "Differentiates a formula and prints the result, or its value; or a model.",
    .details = "  norn grad 'x**2'                        2*x\n"
               "  norn grad 'x**2' --at x=4               8\n"
               "  norn grad 'x: f64[3]; sum(x * x)'       2*x\n\n"
               "Variables are scalars unless they are declared. docs/formula.md has the grammar, "
               "docs/symbolic.md a tutorial.\n\n"
               "  norn grad net.onnx --wrt weights        net-grad.onnx: the gradient, for any runtime\n"
               "  norn grad net.onnx --step adam          net-step.onnx: a training step",
    .options = options,
    .bytes = sizeof(grad_options),
    .defaults = &defaults,
    .minus = true,
    .least = 1,
    .most = 2,
    .run = run,
};
