/* SPDX-License-Identifier: Apache-2.0 */
/* One step of an optimizer over any number of tensors: Momentum, Adam, Adagrad. Inputs are the learning rate r, the number t of
 * steps done, then all tensors x, all gradients g, and all tensors of each kind of state (v, h); outputs the new x and the
 * new state in the same order. With gr = norm_coefficient x + g:
 *
 *     Momentum  v' = alpha v + (t > 0 ? beta : 1) gr     x' = x - r v'     nesterov: x' = x - r (gr + alpha v')
 *     Adam      v' = alpha v + (1 - alpha) gr     h' = beta h + (1 - beta) gr^2
 *               x' = (1 - norm_coefficient_post) (x - r' v' / (sqrt(h') + epsilon))
 *               r' = t > 0 ? r sqrt(1 - beta^t) / (1 - alpha^t) : r
 *     Adagrad   h' = h + gr^2     x' = x - r / (1 + t decay_factor) gr / (sqrt(h') + epsilon)
 *
 * Source: ai.onnx.preview.training-1. They are expansions: pointwise, so that each tensor is one generated kernel. */
#include "ops/op.h"
#include <math.h>
#include <string.h>

enum { R, T, FIRST, MAX_VARS = 12 };
#define REALS (NORNI_T(NORN_F32) | NORNI_T(NORN_F64))

static const norni_param inputs[] = {{"R", NORNI_NODIFF, REALS, 0},
                                     {"T", NORNI_NODIFF, NORNI_T(NORN_I64), 0},
                                     {"inputs", NORNI_VARIADIC, REALS, 0},
                                     {0}};
static const norni_param outputs[] = {{"outputs", NORNI_VARIADIC, REALS, 0}, {0}};

/* How many tensors there are; kinds: of inputs for each (x, g and the state). */
static int tensors(const norn_node *node, int kinds) {
    return (node->n_in - FIRST) / kinds;
}

static norn_status infer_step(norni_infer *c, int kinds) {
    const norn_node *node = c->node;
    int n = tensors(node, kinds);
    if (node->n_in <= FIRST || (node->n_in - FIRST) % kinds)
        return norni_fail(NORN_ARG, "%d tensors (wanted a multiple of %d)", node->n_in - FIRST, kinds);
    if (node->n_out > n * (kinds - 1))
        return norni_fail(NORN_ARG, "%d outputs (wanted at most %d)", node->n_out, n * (kinds - 1));
    for (int i = 0; i < FIRST; i++)
        if (node->in[i]->type.rank > 1 ||
            (node->in[i]->type.rank == 1 && node->in[i]->type.dims[0] >= 0 && node->in[i]->type.dims[0] != 1))
            return norni_fail(NORN_SHAPE, "'%s' has rank %d (wanted a scalar)", inputs[i].name,
                              node->in[i]->type.rank);
    for (int i = 0; i < n; i++)
        for (int k = 1; k < kinds; k++) {
            const norni_type *x = norni_in_type(c, FIRST + i), *s = norni_in_type(c, FIRST + k * n + i);
            if (!x || !s)
                return norni_fail(NORN_ARG, "tensor %d is missing", i);
            bool equal = x->rank < 0 || s->rank < 0 || x->rank == s->rank;
            for (int d = 0; equal && d < x->rank && s->rank >= 0; d++)
                equal = x->dims[d] < 0 || s->dims[d] < 0 || x->dims[d] == s->dims[d];
            if (!equal || x->dtype != s->dtype)
                return norni_fail(NORN_SHAPE, "input %d has another type than input %d (wanted the same)",
                                  FIRST + k * n + i, FIRST + i);
        }
    /* Outputs are x, then the state: all but the gradients. */
    for (int k = 0; k < node->n_out; k++)
        c->out[k] = *norni_in_type(c, FIRST + (k < n ? k : k + n));
    return NORN_OK;
}

/* The variables of the formulas for one tensor. */
typedef struct {
    norn_graph *g;
    norn_dtype dtype;
    int n;
    const char *names[MAX_VARS];
    norn_value *vars[MAX_VARS];
} step;

static void let(step *s, const char *name, norn_value *v) {
    s->names[s->n] = name;
    s->vars[s->n++] = v;
}

static void let_number(step *s, const char *name, double v) {
    let(s, name, norni_scalar_const(s->g, s->dtype, v));
}

/* Gives the value of a formula a name. */
static norn_value *let_formula(step *s, const char *name, const char *text) {
    norn_value *v = norni_formula(s->g, text, s->n, s->names, s->vars);
    let(s, name, v);
    return v;
}

/* A scalar input as a scalar of the tensors' type. */
static norn_value *scalar(const step *s, norn_value *v) {
    norn_value *x = norni_cast(s->g, v, s->dtype);
    return x && x->type.rank == 1 ? NORNI_OP2(s->g, x, norni_i64_const(s->g, 0, NULL), "Reshape") : x;
}

/* Variables for tensor i: r, t, x, g, and the state by the names given. */
static void begin(step *s, norn_graph *g, const norn_node *node, int i, const char *v, const char *h) {
    int n = tensors(node, v && h ? 4 : 3), at = FIRST + 2 * n + i;
    *s = (step){.g = g, .dtype = node->in[FIRST + i]->type.dtype};
    let(s, "r", scalar(s, node->in[R]));
    let(s, "t", scalar(s, node->in[T]));
    let(s, "x", node->in[FIRST + i]);
    let(s, "g", node->in[FIRST + n + i]);
    if (v)
        let(s, v, node->in[at]);
    if (h)
        let(s, h, node->in[v ? at + n : at]);
}

/* g + coefficient x, by the name of g. */
static void regularize(step *s, double coefficient) {
    if (coefficient == 0)
        return;
    let_number(s, "c", coefficient);
    norn_value *g = norni_formula(s->g, "c * x + g", s->n, s->names, s->vars);
    s->n--;
    for (int i = 0; i < s->n; i++)
        if (!strcmp(s->names[i], "g"))
            s->vars[i] = g;
}

/* ---- Momentum. */
typedef struct {
    float alpha, beta, norm_coefficient;
    int mode;
} momentum_attrs;
static const char *const modes[] = {"standard", "nesterov", NULL};
static const norni_attr momentum_table[] = {
    NORNI_A(momentum_attrs, alpha, FLOAT, .flags = NORNI_ATTR_REQUIRED),
    NORNI_A(momentum_attrs, beta, FLOAT, .flags = NORNI_ATTR_REQUIRED),
    NORNI_A(momentum_attrs, norm_coefficient, FLOAT, .flags = NORNI_ATTR_REQUIRED),
    NORNI_A(momentum_attrs, mode, ENUM, .flags = NORNI_ATTR_REQUIRED, .words = modes), NORNI_A_END};

static norn_status infer_momentum(norni_infer *c) {
    return infer_step(c, 3);
}

static norn_status expand_momentum(norn_graph *g, const norn_node *node, norn_value **out) {
    const momentum_attrs *a = node->attrs;
    int n = tensors(node, 3);
    for (int i = 0; i < n; i++) {
        step s;
        begin(&s, g, node, i, "v", NULL);
        regularize(&s, a->norm_coefficient);
        let_number(&s, "a", a->alpha);
        let_number(&s, "b", a->beta);
        out[n + i] = let_formula(&s, "w", "a * v + where(t > 0, b, 1) * g");
        out[i] = let_formula(&s, "y", a->mode ? "x - r * (g + a * w)" : "x - r * w");
    }
    return norn_graph_status(g);
}

const norn_op norni_op_Momentum = {
    .domain = "ai.onnx.preview.training",
    .name = "Momentum",
    .versions = (const int[]){1, 0},
    .doc = "one step of gradient descent with momentum",
    .inputs = inputs,
    .outputs = outputs,
    .attrs_bytes = sizeof(momentum_attrs),
    .attrs = momentum_table,
    .infer = infer_momentum,
    .expand = expand_momentum,
    .cases =
        (const char *const[]){
            "ai.onnx.preview.training.Momentum<alpha=0.9, beta=0.5, norm_coefficient=0.1, mode=\"standard\">"
            "(float[], int64[]{3}, float[5], float[5], float[5]) => 2",
            "ai.onnx.preview.training.Momentum<alpha=0.9, beta=0.5, norm_coefficient=0.0, mode=\"standard\">"
            "(float[1], int64[1]{0}, float[2,3], double[], float[2,3], double[], float[2,3], double[]) => 4",
            "ai.onnx.preview.training.Momentum<alpha=0.7, beta=0.5, norm_coefficient=0.1, mode=\"nesterov\">"
            "(double[], int64[]{1}, double[3,0], double[3,0], double[3,0]) => 2",
            "ai.onnx.preview.training.Momentum<alpha=0.7, beta=0.5, norm_coefficient=0.1, mode=\"nesterov\">"
            "(double[], int64[]{0}, double[17], double[17], double[17]) => 1",
            NULL},
};

/* ---- Adam. */
typedef struct {
    float alpha, beta, epsilon, norm_coefficient, norm_coefficient_post;
} adam_attrs;
static const norni_attr adam_table[] = {NORNI_A_FLOAT(adam_attrs, alpha, 0.9f),
                                        NORNI_A_FLOAT(adam_attrs, beta, 0.999f),
                                        NORNI_A_FLOAT(adam_attrs, epsilon, 1e-6f),
                                        NORNI_A_FLOAT(adam_attrs, norm_coefficient, 0),
                                        NORNI_A_FLOAT(adam_attrs, norm_coefficient_post, 0),
                                        NORNI_A_END};

static norn_status infer_adam(norni_infer *c) {
    return infer_step(c, 4);
}

/* 1 - a^t by that name. For a near 1 and small t the difference would lose its digits: with u = -t log(a) / 2 it is
 * 2 tanh(u) / (1 + tanh(u)). */
static void bias(step *s, const char *name, double a) {
    norn_value *v;
    int n = s->n;
    if (a < 0) {
        let_number(s, "p", a);
        v = norni_formula(s->g, "1 - p ** t", s->n, s->names, s->vars);
    } else {
        let_number(s, "p", a > 0 ? -log(a) / 2 : INFINITY);
        let_formula(s, "q", "tanh(t * p)");
        v = norni_formula(s->g, "2 * q / (1 + q)", s->n, s->names, s->vars);
    }
    s->n = n;
    let(s, name, v);
}

/* The learning rate with the bias of the moments corrected. */
static norn_value *corrected_rate(const step *from, const adam_attrs *a) {
    step s = *from;
    s.n = 2; /* r, t */
    bias(&s, "m", a->alpha);
    bias(&s, "k", a->beta);
    return norni_formula(s.g, "where(t > 0, r * sqrt(k) / m, r)", s.n, s.names, s.vars);
}

static norn_status expand_adam(norn_graph *g, const norn_node *node, norn_value **out) {
    const adam_attrs *a = node->attrs;
    int n = tensors(node, 4);
    for (int i = 0; i < n; i++) {
        step s;
        begin(&s, g, node, i, "v", "h");
        regularize(&s, a->norm_coefficient);
        s.vars[0] = corrected_rate(&s, a);
        let_number(&s, "a", a->alpha);
        out[n + i] = let_formula(&s, "w", "a * v + (1 - a) * g");
        let_number(&s, "b", a->beta);
        out[2 * n + i] = let_formula(&s, "k", "b * h + (1 - b) * g * g");
        let_number(&s, "e", a->epsilon);
        out[i] = norni_formula(g, "x - r * w / (sqrt(k) + e)", s.n, s.names, s.vars);
        if (a->norm_coefficient_post != 0)
            out[i] = NORNI_OP2(g, out[i],
                               norni_scalar_const(g, s.dtype, 1 - (double)a->norm_coefficient_post), "Mul");
    }
    return norn_graph_status(g);
}

const norn_op norni_op_Adam = {
    .domain = "ai.onnx.preview.training",
    .name = "Adam",
    .versions = (const int[]){1, 0},
    .doc = "one step of Adam",
    .inputs = inputs,
    .outputs = outputs,
    .attrs_bytes = sizeof(adam_attrs),
    .attrs = adam_table,
    .infer = infer_adam,
    .expand = expand_adam,
    .lo = 0.1,
    .hi = 1,
    .cases =
        (const char *const[]){
            "ai.onnx.preview.training.Adam(float[], int64[]{1}, float[5], float[5], float[5], float[5]) => 3",
            "ai.onnx.preview.training.Adam<alpha=0.5, beta=0.75, epsilon=0.01>(float[1], int64[1]{0}, "
            "float[2,3], float[2,3], "
            "float[2,3], float[2,3]) => 3",
            "ai.onnx.preview.training.Adam<norm_coefficient=0.1, norm_coefficient_post=0.01>(float[], "
            "int64[]{1000}, double[2,3], "
            "float[], double[2,3], float[], double[2,3], float[], double[2,3], float[]) => 6",
            "ai.onnx.preview.training.Adam<alpha=0.0>(double[], int64[]{4}, double[0,3], double[0,3], "
            "double[0,3], double[0,3]) "
            "=> 3",
            NULL},
};

/* ---- Adagrad. */
typedef struct {
    float decay_factor, epsilon, norm_coefficient;
} adagrad_attrs;
static const norni_attr adagrad_table[] = {NORNI_A_FLOAT(adagrad_attrs, decay_factor, 0),
                                           NORNI_A_FLOAT(adagrad_attrs, epsilon, 1e-6f),
                                           NORNI_A_FLOAT(adagrad_attrs, norm_coefficient, 0), NORNI_A_END};

static norn_status infer_adagrad(norni_infer *c) {
    return infer_step(c, 3);
}

static norn_status expand_adagrad(norn_graph *g, const norn_node *node, norn_value **out) {
    const adagrad_attrs *a = node->attrs;
    int n = tensors(node, 3);
    for (int i = 0; i < n; i++) {
        step s;
        begin(&s, g, node, i, NULL, "h");
        regularize(&s, a->norm_coefficient);
        let_number(&s, "d", a->decay_factor);
        let_number(&s, "e", a->epsilon);
        out[n + i] = let_formula(&s, "k", "h + g * g");
        let_formula(&s, "q", "r / (1 + t * d)");
        out[i] = let_formula(&s, "y", "x - q * g / (sqrt(k) + e)");
    }
    return norn_graph_status(g);
}

const norn_op norni_op_Adagrad = {
    .domain = "ai.onnx.preview.training",
    .name = "Adagrad",
    .versions = (const int[]){1, 0},
    .doc = "one step of Adagrad",
    .inputs = inputs,
    .outputs = outputs,
    .attrs_bytes = sizeof(adagrad_attrs),
    .attrs = adagrad_table,
    .infer = infer_adagrad,
    .expand = expand_adagrad,
    .lo = 0.1,
    .hi = 1,
    .cases =
        (const char *const[]){
            "ai.onnx.preview.training.Adagrad(float[], int64[]{0}, float[5], float[5], float[5]) => 2",
            "ai.onnx.preview.training.Adagrad<decay_factor=0.5, epsilon=0.01, "
            "norm_coefficient=0.1>(float[1], int64[1]{3}, "
            "float[2,3], double[], float[2,3], double[], float[2,3], double[]) => 4",
            "ai.onnx.preview.training.Adagrad(double[], int64[]{1}, double[3,0], double[3,0], double[3,0]) "
            "=> 2",
            NULL},
};
