/* SPDX-License-Identifier: Apache-2.0 */
/* Batch normalisation (Ioffe, Szegedy, 2015; ONNX BatchNormalization-15) of x [N,C,...], with vectors [C].
 *
 *     y = (x - m) i s + b        inference: m = mean, i = 1 / sqrt(var + epsilon)
 *                                training: m and i of the batch, var its population variance
 *     running values = old * momentum + batch's * (1 - momentum)
 *     training: dx = (dy - (db + (x - m) i ds) / n) i s,   db = sum dy,  ds = i sum dy (x - m),  n = elements of a channel
 *
 * BatchNormalization is what files and graphs say; it is planned as norn.BatchNormApply, one pointwise operator, which
 * fuses with its neighbours, and for training norn.BatchNormStats before it. norn.BatchNormTrain is the training form as
 * PyTorch has it: the running variance is kept from the batch's sample variance, M2 / (n - 1) (unbiased = 1). */
#include "ops/rows.h"
#include <math.h>

typedef struct {
    float epsilon, momentum;
    int64_t training_mode, unbiased, spatial, is_test;
    norni_ints consumed_inputs; /* before opset 6: says nothing about the result */
} batch_norm_attrs;
enum { X, SCALE, B, MEAN, VAR };                      /* inputs */
enum { Y, NEW_MEAN, NEW_VAR, SAVED_MEAN, SAVED_INV }; /* outputs; before opset 14 the last is the variance */

static bool wants(const norn_node *node, int k) {
    return k < node->n_out && node->out[k];
}
static norn_dtype kept_dtype(norn_dtype t) {
    return t == NORN_F64 ? NORN_F64 : t == NORN_UNDEFINED ? t : NORN_F32;
}

/* ---- Shapes. Inputs from `vectors` on have an element a channel (or, where `scalars`, one). */
static norn_status check_vectors(const norni_infer *c, int vectors, bool scalars) {
    const norni_type *x = norni_in_type(c, X);
    norni_dim channels = x->rank < 0 ? -1 : x->rank < 2 ? 1 : x->dims[1];
    for (int i = vectors; i < c->node->n_in; i++) {
        const norni_type *v = norni_in_type(c, i);
        const char *name = norni_op_input(c->node->op, i)->name;
        if (!v || v->rank < 0 || (scalars && norni_type_static(v) && norni_type_elems(v) == 1))
            continue;
        if (v->rank != 1)
            return norni_fail(NORN_SHAPE, "'%s' has rank %d (wanted 1)", name, v->rank);
        if (v->dims[0] >= 0 && channels >= 0 && v->dims[0] != channels)
            return norni_fail(NORN_SHAPE, "'%s' has %lld elements (wanted %lld, one a channel)", name,
                              (long long)v->dims[0], (long long)channels);
    }
    return NORN_OK;
}

static norn_status infer_apply(norni_infer *c) {
    norn_dtype t = c->out[0].dtype;
    NORNI_TRY(check_vectors(c, c->node->op->channel_from, true));
    c->out[0] = *norni_in_type(c, X);
    c->out[0].dtype = t;
    return NORN_OK;
}

static norn_status infer(norni_infer *c) {
    const norni_type *x = norni_in_type(c, X), *mean = norni_in_type(c, MEAN);
    const batch_norm_attrs *a = c->attrs;
    bool train = *c->node->op->domain || a->training_mode; /* norn.BatchNormTrain */
    NORNI_TRY(check_vectors(c, SCALE, false));
    if (!train && (wants(c->node, NEW_MEAN) || wants(c->node, NEW_VAR)))
        return norni_fail(NORN_ARG, "running values are wanted with training_mode 0 (wanted 1)");
    norni_type v = {.dtype = mean->dtype, .rank = 1};
    v.dims[0] = x->rank < 0 ? norni_dim_fresh(c->g) : x->rank < 2 ? 1 : x->dims[1];
    norn_dtype t = c->out[Y].dtype;
    c->out[Y] = *x;
    c->out[Y].dtype = t;
    for (int k = NEW_MEAN; k < c->node->n_out; k++) {
        c->out[k] = v;
        if (k >= SAVED_MEAN)
            c->out[k].dtype = kept_dtype(x->dtype);
    }
    return NORN_OK;
}

/* ---- Host reference. */
static double get(const norn_tensor *t, int64_t i) {
    return norni_get_double(t->dtype, norni_tensor_data(t), i);
}
static void put(const norni_eval *e, int k, int64_t i, double v) {
    if (k < e->n_out && e->out[k])
        norni_set_double(e->out[k]->dtype, norni_tensor_data(e->out[k]), i, v);
}

static norn_status eval_with(norni_eval *e, bool train, bool unbiased) {
    const batch_norm_attrs *a = e->attrs;
    const norn_tensor *x = e->in[X];
    int64_t channels = x->rank < 2 ? 1 : x->dims[1],
            depth = x->rank < 2 ? 1 : norni_elems(x->rank - 2, x->dims + 2);
    int64_t samples = x->rank ? x->dims[0] : 1;
    double n = (double)(samples * depth), momentum = (double)a->momentum;
    for (int64_t c = 0; c < channels; c++) {
        double m = get(e->in[MEAN], c), var = get(e->in[VAR], c);
        for (int round = train ? 0 : 2; round < 3; round++) { /* mean, variance, result */
            double sum = 0, inv = 1 / sqrt(var + (double)a->epsilon);
            for (int64_t s = 0; s < samples; s++)
                for (int64_t d = 0; d < depth; d++) {
                    int64_t at = (s * channels + c) * depth + d;
                    double v = get(x, at);
                    sum += round == 0 ? v : (v - m) * (v - m);
                    if (round == 2)
                        put(e, Y, at, (v - m) * inv * get(e->in[SCALE], c) + get(e->in[B], c));
                }
            if (round == 0)
                m = sum / n;
            else if (round == 1) {
                double kept = sum / (unbiased && n > 1 ? n - 1 : n);
                var = sum / n;
                put(e, NEW_MEAN, c, get(e->in[MEAN], c) * momentum + m * (1 - momentum));
                put(e, NEW_VAR, c, get(e->in[VAR], c) * momentum + kept * (1 - momentum));
                put(e, SAVED_MEAN, c, m);
                put(e, SAVED_INV, c, 1 / sqrt(var + (double)a->epsilon));
            }
        }
    }
    return NORN_OK;
}
static norn_status eval(norni_eval *e) {
    return eval_with(e, ((const batch_norm_attrs *)e->attrs)->training_mode, false);
}
static norn_status eval_train(norni_eval *e) {
    return eval_with(e, true, ((const batch_norm_attrs *)e->attrs)->unbiased);
}

/* ---- What the operators are made of. */
#define APPLY(g, ...) norni_opf(g, 5, (norn_value *[]){__VA_ARGS__}, "norn.BatchNormApply")

static norn_status expand_train(norn_graph *g, const norn_node *node, norn_value **out) {
    const batch_norm_attrs *a = node->attrs;
    norn_value *const *in = node->in;
    norn_dtype t = kept_dtype(in[X]->type.dtype);
    bool running = wants(node, NEW_MEAN) || wants(node, NEW_VAR);
    norn_value *stats_in[] = {in[X], norni_cast(g, in[MEAN], t), norni_cast(g, in[VAR], t)};
    norn_node *stats = norni_opf_node(g, running ? 15 : 3, running ? 3 : 1, stats_in,
                                      "norn.BatchNormStats<epsilon=%.9g, momentum=%.9g, unbiased=%d>",
                                      (double)a->epsilon, (double)a->momentum, (int)a->unbiased);
    if (!stats)
        return norn_graph_status(g);
    out[SAVED_MEAN] = stats->out[0];
    out[SAVED_INV] = stats->out[1];
    if (running) {
        out[NEW_MEAN] = norni_cast(g, stats->out[2], in[MEAN]->type.dtype);
        out[NEW_VAR] = norni_cast(g, stats->out[3], in[MEAN]->type.dtype);
    }
    out[Y] = APPLY(g, in[X], in[SCALE], in[B], stats->out[0], stats->out[1]);
    return norn_graph_status(g);
}

static norn_status expand(norn_graph *g, const norn_node *node, norn_value **out) {
    const batch_norm_attrs *a = node->attrs;
    norn_value *const *in = node->in;
    if (!a->training_mode) {
        norn_dtype t = kept_dtype(in[VAR]->type.dtype);
        norn_value *v[] = {norni_cast(g, in[VAR], t), norni_scalar_const(g, t, (double)a->epsilon)};
        norn_value *inv = norni_formula(g, "1 / sqrt(v + e)", 2, (const char *[]){"v", "e"}, v);
        out[Y] = APPLY(g, in[X], in[SCALE], in[B], in[MEAN], inv);
        return norn_graph_status(g);
    }
    unsigned wanted =
        1u << Y | (wants(node, NEW_MEAN) ? 1u << NEW_MEAN : 0) | (wants(node, NEW_VAR) ? 1u << NEW_VAR : 0);
    norn_node *train =
        norni_opf_node(g, wanted, 5, in, "norn.BatchNormTrain<epsilon=%.9g, momentum=%.9g, unbiased=0>",
                       (double)a->epsilon, (double)a->momentum);
    for (int k = Y; train && k <= NEW_VAR; k++)
        out[k] = train->out[k];
    return norn_graph_status(g);
}

/* A vector along axis 1 of x, in type t. */
static norn_value *spread(norn_graph *g, norn_value *v, const norn_value *x, norn_dtype t) {
    return norni_along_channels(g, norni_cast(g, v, t), x->type.rank);
}

/* Pointwise forms by ONNX's operators, in the widest type there is. */
static norn_status expand_formula(norn_graph *g, const norn_node *node, norn_value **out) {
    const norn_op *op = node->op;
    const char *names[16];
    norn_value *vars[16];
    norn_dtype t = kept_dtype(node->in[X]->type.dtype);
    if (node->in[X]->type.rank < 0)
        return norni_fail(NORN_UNSUPPORTED, "%s: the rank is not known", op->name);
    for (int i = 0; i < node->n_in; i++)
        if (node->in[i]->type.dtype == NORN_F64)
            t = NORN_F64;
    for (int i = 0; i < node->n_in; i++) {
        names[i] = op->inputs[i].name;
        vars[i] =
            i < op->channel_from ? norni_cast(g, node->in[i], t) : spread(g, node->in[i], node->in[X], t);
    }
    out[0] = norni_cast(g, norni_formula(g, op->expr, node->n_in, names, vars), node->in[X]->type.dtype);
    return norn_graph_status(g);
}

/* ---- Gradients. */
/* A single element as a vector, one for each channel. */
static norn_value *vector(norni_grad *c, norn_value *v) {
    const norni_type *x = &c->node->in[X]->type;
    if (!v || (v->type.rank == 1 && (x->rank < 2 || v->type.dims[0] == x->dims[1])))
        return v;
    int64_t channels = x->rank < 2 ? 1 : x->dims[1];
    if (channels >= 0)
        return NORNI_OP2(c->g, v, norni_i64_const(c->g, 1, &channels), "Expand");
    if (v->type.rank == 1) /* its size is that of the channels */
        return v;
    return NORNI_OP2(c->g, v, NORNI_OP1(c->g, c->node->in[SCALE], "Shape"), "Expand");
}

/* db and dscale of y = (x - mean) inv scale + b. */
static bool grad_sums(norni_grad *c, norn_value *mean, norn_value *inv, norn_value **db,
                      norn_value **dscale) {
    norn_value *x = c->node->in[X];
    norn_dtype t = kept_dtype(x->type.dtype);
    norn_value *m = norni_cast(c->g, vector(c, mean), t), *i = norni_cast(c->g, vector(c, inv), t);
    norn_node *sums = norni_opf_node(c->g, 3, 4, (norn_value *[]){c->dy[Y], x, m, i}, "norn.BatchNormSums");
    *db = sums ? sums->out[0] : NULL;
    *dscale = sums ? sums->out[1] : NULL;
    return sums != NULL;
}
static void set(norni_grad *c, int i, norn_value *v) {
    if (c->want[i])
        c->dx[i] = norni_cast(c->g, v, c->node->in[i]->type.dtype);
}

/* The statistics are inputs like the others. */
static void grad_apply(norni_grad *c) {
    static const char *const names[] = {"db", "ds", "s", "i"};
    norn_graph *g = c->g;
    norn_value *const *in = c->node->in, *db, *ds, *inv = in[4];
    norn_dtype t = kept_dtype(in[X]->type.dtype);
    if (c->want[X]) {
        norn_value *zero = norni_scalar_const(g, t, 0);
        c->dx[X] = APPLY(g, c->dy[Y], in[SCALE], zero, zero, inv);
    }
    if (!(c->want[SCALE] || c->want[B] || c->want[MEAN] || c->want[4]) ||
        !grad_sums(c, in[MEAN], inv, &db, &ds))
        return;
    norn_value *vars[] = {db, ds, norni_cast(g, in[SCALE], t), norni_cast(g, inv, t)};
    set(c, SCALE, ds);
    set(c, B, db);
    if (c->want[MEAN])
        set(c, MEAN, norni_formula(g, "-(db * s * i)", 4, names, vars));
    if (c->want[4])
        set(c, 4, norni_formula(g, "ds * s / i", 4, names, vars));
}

/* What arrives through the batch's mean (as dm in all) and variance (dv in all) adds (dm + 2 dv (x - m)) / n to dx. */
static norn_value *grad_through_stats(norni_grad *c, norn_value *m, norn_value *inv, norn_value *r,
                                      norn_value *n) {
    static const char *const names[] = {"d", "i", "k", "n"};
    const batch_norm_attrs *a = c->node->attrs;
    norn_graph *g = c->g;
    norn_dtype t = kept_dtype(c->node->in[X]->type.dtype);
    norn_value *dm = NULL, *dv = NULL,
               *vars[] = {NULL, inv, norni_scalar_const(g, t, 1 - (double)a->momentum), n};
    if (c->dy[NEW_MEAN]) {
        vars[0] = norni_cast(g, c->dy[NEW_MEAN], t);
        dm = norni_formula(g, "d * k", 4, names, vars);
    }
    if (c->dy[SAVED_MEAN])
        dm = dm ? NORNI_OP2(g, dm, c->dy[SAVED_MEAN], "Add") : c->dy[SAVED_MEAN];
    if (c->dy[NEW_VAR]) {
        vars[0] = norni_cast(g, c->dy[NEW_VAR], t);
        dv = norni_formula(g, a->unbiased ? "d * k * (n / max(n - 1, 1))" : "d * k", 4, names, vars);
    }
    if (c->dy[SAVED_INV]) {
        vars[0] = c->dy[SAVED_INV];
        norn_value *v = norni_formula(g, "d * -0.5 * i * i * i", 4, names, vars);
        dv = dv ? NORNI_OP2(g, dv, v, "Add") : v;
    }
    if (!dm && !dv)
        return NULL;
    norn_value *zero = norni_scalar_const(g, t, 0);
    norn_value *twice = dv ? NORNI_OP2(g, dv, norni_scalar_const(g, t, 2), "Mul") : zero;
    return APPLY(g, c->node->in[X], twice, dm ? NORNI_OP2(g, dm, r, "Mul") : zero, m, r);
}

static void grad_train(norni_grad *c) {
    const batch_norm_attrs *a = c->node->attrs;
    norn_graph *g = c->g;
    norn_value *const *in = c->node->in, *db, *ds, *dx = NULL;
    norn_dtype t = kept_dtype(in[X]->type.dtype);
    norn_value *m = norni_want_output(c->node, SAVED_MEAN), *inv = norni_want_output(c->node, SAVED_INV);
    norn_value *one = norni_scalar_const(g, t, 1), *n = norni_elems_per(g, in[X], in[SCALE], t);
    norn_value *r = NORNI_OP2(g, one, n, "Div");
    if (c->dy[Y] && grad_sums(c, m, inv, &db, &ds)) {
        set(c, SCALE, ds);
        set(c, B, db);
        dx = norni_opf(g, 8, (norn_value *[]){c->dy[Y], in[X], in[SCALE], m, inv, db, ds, r},
                       "norn.BatchNormDx");
    }
    if (c->want[X]) {
        norn_value *more = grad_through_stats(c, m, inv, r, n);
        c->dx[X] = dx && more ? NORNI_OP2(g, dx, more, "Add") : dx ? dx : more;
    }
    for (int k = 0; k < 2; k++)
        if (c->dy[NEW_MEAN + k] && c->want[MEAN + k])
            c->dx[MEAN + k] =
                NORNI_OP2(g, c->dy[NEW_MEAN + k],
                          norni_scalar_const(g, in[MEAN]->type.dtype, (double)a->momentum), "Mul");
}

/* ---- Before opset 14 the number of outputs (before opset 7: is_test) decided about training, and 3 and 4 were the batch's mean and variance. */
static norn_status raise(norni_adapt *a) {
    batch_norm_attrs *attrs = a->node->attrs;
    static const char *const names[] = {"i", "e"};
    if (attrs->spatial != NORNI_NO_INT && attrs->spatial != 1)
        return norni_fail(
            NORN_UNSUPPORTED,
            "BatchNormalization with spatial=%lld of opset 7 (statistics for each position); norn has "
            "statistics for each channel only",
            (long long)attrs->spatial);
    if (a->version >= 14 || (a->version < 7 ? attrs->is_test == 1 : !(a->wanted & ~1u)))
        return NORN_OK;
    attrs->training_mode = 1;
    if (!(a->wanted >> SAVED_MEAN))
        return NORN_OK;
    norn_dtype t = a->node->in[X]->type.dtype;
    norn_node *train = norni_opf_node(a->g, 31, 5, a->node->in,
                                      "norn.BatchNormTrain<epsilon=%.9g, momentum=%.9g, unbiased=0>",
                                      (double)attrs->epsilon, (double)attrs->momentum);
    if (!train)
        return norn_graph_status(a->g);
    norn_value *vars[] = {train->out[SAVED_INV],
                          norni_scalar_const(a->g, kept_dtype(t), (double)attrs->epsilon)};
    for (int k = Y; k <= NEW_VAR; k++)
        a->out[k] = train->out[k];
    a->out[SAVED_MEAN] = norni_cast(a->g, train->out[SAVED_MEAN], t);
    a->out[SAVED_INV] = norni_cast(a->g, norni_formula(a->g, "1 / (i * i) - e", 2, names, vars), t);
    a->replaced = true;
    return norn_graph_status(a->g);
}

static norn_status lower(norni_adapt *a) {
    const batch_norm_attrs *attrs = a->node->attrs;
    if (a->version < 7 && !attrs->training_mode)
        ((batch_norm_attrs *)a->node->attrs)->is_test = 1;
    if (a->version < 14 && attrs->training_mode) {
        a->replaced = true;
        return expand(a->g, a->node, a->out);
    }
    norn_dtype t = a->node->in[X]->type.dtype;
    for (int i = SCALE; i <= VAR && t != NORN_UNDEFINED; i++)
        if (a->node->in[i]->type.dtype != (i < MEAN || a->version < 14 ? t : a->node->in[MEAN]->type.dtype))
            return norni_fail(NORN_UNSUPPORTED, "'%s' has type %s (in opset %d it has that of X, %s)",
                              norni_op_input(a->node->op, i)->name,
                              norni_dtype_name(a->node->in[i]->type.dtype), a->version, norni_dtype_name(t));
    return NORN_OK;
}

static void cost(const norn_node *node, norni_cost *c) {
    bool train = wants(node, NEW_MEAN) || wants(node, SAVED_MEAN);
    c->flops = (train ? 6.0 : 2.0) * (double)norni_type_elems(&node->in[X]->type);
}

/* ---- Descriptors. */
#define KEPT (NORNI_T(NORN_F32) | NORNI_T(NORN_F64))
static const norni_attr
    table[] = {NORNI_A_INT(batch_norm_attrs, training_mode, 0, .lo = 0, .hi = 1, .since = 14),
               NORNI_A_FLOAT(batch_norm_attrs, momentum, 0.9f),
               NORNI_A_FLOAT(batch_norm_attrs, epsilon, 1e-5f),
               NORNI_A(batch_norm_attrs, spatial, INT, .flags = NORNI_ATTR_OLD),
               NORNI_A(batch_norm_attrs, is_test, INT, .flags = NORNI_ATTR_OLD, .since = 7),
               NORNI_A(batch_norm_attrs, consumed_inputs, INTS, .flags = NORNI_ATTR_OLD, .since = 6),
               NORNI_A_END},
    train_table[] = {NORNI_A_FLOAT(batch_norm_attrs, momentum, 0.9f),
                     NORNI_A_FLOAT(batch_norm_attrs, epsilon, 1e-5f),
                     NORNI_A_INT(batch_norm_attrs, unbiased, 1, .lo = 0, .hi = 1), NORNI_A_END};
#define INPUTS                                                                                               \
    PARAMS({"X", 0, NORNI_FLOATS, 'T'}, {"scale", 0, NORNI_FLOATS, 'S'}, {"B", 0, NORNI_FLOATS, 'S'},        \
           {"input_mean", 0, NORNI_FLOATS, 'U'}, {"input_var", 0, NORNI_FLOATS, 'U'})

const norn_op norni_op_BatchNormalization = {
    .domain = "",
    .name = "BatchNormalization",
    .versions = (const int[]){1, 6, 7, 9, 14, 15, 0},
    .doc = "(x - mean) / sqrt(var + epsilon) * scale + B for each channel; training_mode: with the batch's "
           "own mean and "
           "variance, of which running ones are kept",
    .inputs = INPUTS,
    .outputs = PARAMS({"Y", 0, NORNI_FLOATS, 'T'}, {"running_mean", NORNI_OPT, NORNI_FLOATS, 'U'},
                      {"running_var", NORNI_OPT, NORNI_FLOATS, 'U'}),
    .attrs_bytes = sizeof(batch_norm_attrs),
    .attrs = table,
    .raise = raise,
    .lower = lower,
    .infer = infer,
    .expand = expand,
    .eval = eval,
    .cost = cost,
    .lo = 0.1,
    .hi = 2,
    .cases =
        (const char *const[]){
            "BatchNormalization(float[2,3,4,5], float[3], float[3], float[3], float[3])",
            "BatchNormalization<epsilon=0.1>(float[5,7], float[7], float[7], float[7], float[7])",
            "BatchNormalization<training_mode=1>(float[2,3,4,5], float[3], float[3], float[3], float[3]) => "
            "3",
            "BatchNormalization<training_mode=1, momentum=0.6, epsilon=0.01>(float[3,17], float[17], "
            "float[17], "
            "float[17], float[17]) => 3",
            "BatchNormalization<training_mode=1>(float[2,3,33], float[3], float[3], float[3], float[3])",
            "BatchNormalization(float[2,3,4], float[3]{1,2,3}, float[3]{0,1,0}, float[3]{1,0,1}, "
            "float[3]{1,2,3})",
            "BatchNormalization(float16[2,3,4], float[3], float[3], float[3], float[3])",
            "BatchNormalization<training_mode=1>(bfloat16[2,3,20], float[3], float[3], double[3], double[3]) "
            "=> 3",
            "BatchNormalization<training_mode=1>(double[2,3,4], float[3], float[3], float16[3], float16[3]) "
            "=> 3",
            "BatchNormalization(float[6], float[1], float[1], float[1], float[1])",
            "BatchNormalization<training_mode=1>(float[6], float[1], float[1], float[1], float[1]) => 3",
            "BatchNormalization(float[0,3,2], float[3], float[3], float[3], float[3])", NULL},
};

const norn_op norni_op_BatchNormTrain = {
    .domain = "norn",
    .name = "BatchNormTrain",
    .versions = (const int[]){1, 0},
    .doc = "BatchNormalization in training; unbiased: the running variance is kept from the sample variance",
    .inputs = INPUTS,
    .outputs = PARAMS({"Y", 0, NORNI_FLOATS, 'T'}, {"running_mean", NORNI_OPT, NORNI_FLOATS, 'U'},
                      {"running_var", NORNI_OPT, NORNI_FLOATS, 'U'}, {"saved_mean", NORNI_STASH, KEPT, 0},
                      {"saved_inv", NORNI_STASH, KEPT, 0}),
    .attrs_bytes = sizeof(batch_norm_attrs),
    .attrs = train_table,
    .infer = infer,
    .grad = grad_train,
    .expand = expand_train,
    .eval = eval_train,
    .cost = cost,
    .cases =
        (const char *const[]){
            "norn.BatchNormTrain(float[2,3,4,5], float[3], float[3], float[3], float[3]) => 3",
            "norn.BatchNormTrain<unbiased=0, epsilon=0.1, momentum=0.5>(float[4,19], float[19], float[19], "
            "float[19], "
            "float[19]) => 3",
            "norn.BatchNormTrain(float[2,3,4,5], float[3], float[3], float[3], float[3])",
            "norn.BatchNormTrain(float[4,3,40,30], float[3], float[3], float[3], float[3]) => 3",
            "norn.BatchNormTrain(float16[2,3,4], float[3], float[3], float[3], float[3]) => 3", NULL},
};

/* The two pointwise forms. */
#define POINTWISE(id, from, formula, text, ins, rule, ...)                                                   \
    const norn_op norni_op_##id = {                                                                          \
        .domain = "norn",                                                                                    \
        .name = #id,                                                                                         \
        .versions = (const int[]){1, 0},                                                                     \
        .doc = text,                                                                                         \
        .inputs = ins,                                                                                       \
        .outputs = PARAMS({"y", 0, NORNI_FLOATS, 'T'}),                                                      \
        .infer = infer_apply,                                                                                \
        .grad = rule,                                                                                        \
        .expand = expand_formula,                                                                            \
        .expr = formula,                                                                                     \
        .channel_from = from,                                                                                \
        .lo = 0.1,                                                                                           \
        .hi = 2,                                                                                             \
        .cases = (const char *const[]){__VA_ARGS__, NULL},                                                   \
    }
POINTWISE(BatchNormApply, 1, "(x - mean) * (inv * scale) + b",
          "x normalised by given means and inverse deviations",
          PARAMS({"x", 0, NORNI_FLOATS, 'T'}, {"scale", 0, NORNI_FLOATS, 0}, {"b", 0, NORNI_FLOATS, 0},
                 {"mean", 0, NORNI_FLOATS, 0}, {"inv", 0, NORNI_FLOATS, 0}),
          grad_apply, "norn.BatchNormApply(float[2,3,4,5], float[3], float[3], float[3], float[3])",
          "norn.BatchNormApply(float[3,17], float[17], float[17], float[17], float[17])",
          "norn.BatchNormApply(float[2,3,5], float[3], float[]{0}, float[]{0}, float[1]{2})",
          "norn.BatchNormApply(float16[2,3,5], float[3], bfloat16[3], double[3], float[3])",
          "norn.BatchNormApply(float[5], float[1], float[1], float[1], float[1])");
POINTWISE(BatchNormDx, 2, "(dy - (db + (x - mean) * inv * dscale) * r) * (inv * scale)",
          "gradient of a batch normalisation for x; r: 1 / (elements of a channel)",
          PARAMS({"dy", 0, NORNI_FLOATS, 'T'}, {"x", 0, NORNI_FLOATS, 'T'}, {"scale", 0, NORNI_FLOATS, 0},
                 {"mean", 0, NORNI_FLOATS, 0}, {"inv", 0, NORNI_FLOATS, 0}, {"db", 0, NORNI_FLOATS, 0},
                 {"dscale", 0, NORNI_FLOATS, 0}, {"r", 0, NORNI_FLOATS, 0}),
          NULL,
          "norn.BatchNormDx(float[2,3,4], float[2,3,4], float[3], float[3], float[3], float[3], float[3], "
          "float[]{0.125})",
          "norn.BatchNormDx(float[5,19], float[5,19], float[19], float[19], float[19], float[19], float[19], "
          "float[])");
