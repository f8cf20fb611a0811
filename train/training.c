/* SPDX-License-Identifier: Apache-2.0 */
/* The training and the evaluation graph, made from the inference form for one shape of batches. */
#include "ops/op.h"
#include "train/prepare.h"
#include <stdio.h>
#include <string.h>

typedef struct {
    norni_training *t;
    const norn_train_options *o;
    const norn_tensor *x;
    bool training;    /* BatchNormalization and Dropout as in training */
    norn_value *step; /* counts the steps, for the dropout masks; NULL until needed */
    norn_value *seed;
} making;

static bool is_op(const norn_node *n, const char *name) {
    return !*n->op->domain && !strcmp(n->op->name, name);
}

static const norni_parameter *find(const norni_training *t, const char *name) {
    for (size_t i = 0; i < t->parameters.n; i++)
        if (!strcmp(t->parameters.v[i].name, name))
            return &t->parameters.v[i];
    return NULL;
}

/* Parameters become state, and the input gets the batch's shape. */
static norn_value *leaf(norni_rebuild *r, const norn_value *old) {
    const making *m = r->ctx;
    if (old->kind == NORNI_INPUT) {
        norni_type t = {.dtype = m->x->dtype, .rank = m->x->rank};
        memcpy(t.dims, m->x->dims, sizeof t.dims);
        return norni_value_input(r->to, old->name, &t);
    }
    const norni_parameter *p = old->kind == NORNI_CONST && old->name ? find(m->t, old->name) : NULL;
    if (!p || p->frozen)
        return NULL;
    return norni_value_state(r->to, old->name, &old->type, norni_tensor_ref(old->data));
}

static bool live_statistics(const norn_value *v) {
    return v && v->kind == NORNI_STATE;
}

/* PyTorch's rule: running = momentum running + (1 - momentum) batch, the variance unbiased. */
static norn_status train_batch_norm(norni_rebuild *r, const norn_node *node, norn_value **in, bool *done) {
    float momentum = 0, epsilon = 0;
    norni_attr_value v;
    for (const norni_attr *a = node->op->attrs; a && a->name; a++) {
        if (strcmp(a->name, "momentum") && strcmp(a->name, "epsilon"))
            continue;
        norni_attr_get(a, node->attrs, &v);
        *(*a->name == 'm' ? &momentum : &epsilon) = v.f;
    }
    norn_node *made =
        norni_opf_node(r->to, 7, 5, in, "norn.BatchNormTrain<momentum=%.9g, epsilon=%.9g, unbiased=1>",
                       (double)momentum, (double)epsilon);
    if (!made)
        return norn_graph_status(r->to);
    r->map[node->out[0]->id] = made->out[0];
    *done = true;
    NORNI_TRY(norn_graph_update(r->to, in[3], made->out[1]));
    return norn_graph_update(r->to, in[4], made->out[2]);
}

/* The number of the step, from 0, as state "norn.step". */
static norn_status need_step(making *m, norn_graph *g) {
    norn_tensor *zero;
    norni_type t = {.dtype = NORN_I64};
    if (m->step)
        return NORN_OK;
    NORNI_TRY(norni_tensor_host(NORN_I64, 0, NULL, &zero));
    m->step = norni_value_state(g, "norn.step", &t, zero);
    norn_value *next = NORNI_OP2(g, m->step, norni_scalar_const(g, NORN_I64, 1), "Add");
    NORNI_TRY(norn_graph_status(g));
    return norn_graph_update(g, m->step, next);
}

static norn_status train_dropout(norni_rebuild *r, const norn_node *node, norn_value **in, bool *done) {
    making *m = r->ctx;
    norn_graph *g = r->to;
    double ratio = 0.5;
    norn_tensor *seed;
    if (node->n_in > 1 && node->in[1]) {
        if (!norni_is_const(in[1]))
            return norni_fail(NORN_UNSUPPORTED, "the ratio of a Dropout is computed (wanted a constant)");
        ratio = norni_get_double(in[1]->data->dtype, norni_tensor_data(in[1]->data), 0);
    }
    *done = true;
    if (ratio == 0) {
        r->map[node->out[0]->id] = in[0];
        return NORN_OK;
    }
    NORNI_TRY(need_step(m, g));
    if (!m->seed) {
        NORNI_TRY(norni_tensor_host(NORN_I64, 0, NULL, &seed));
        *(int64_t *)norni_tensor_data(seed) = (int64_t)m->o->seed;
        m->seed = norni_value_const(g, NULL, seed);
    }
    norn_node *mask = norni_opf_node(g, 1, 3, (norn_value *[]){in[0], m->seed, m->step},
                                     "norn.DropoutMask<ratio=%.9g>", ratio);
    if (!mask)
        return norn_graph_status(g);
    mask->stream = node->stream;
    static const char *const names[] = {"x", "mask", "scale"};
    norn_value *vars[] = {in[0], mask->out[0], norni_scalar_const(g, in[0]->type.dtype, 1 / (1 - ratio))};
    r->map[node->out[0]->id] = norni_formula(g, "where(mask, x * scale, 0)", 3, names, vars);
    return norn_graph_status(g);
}

static norn_status in_training(norni_rebuild *r, const norn_node *node, norn_value **in, bool *done) {
    const making *m = r->ctx;
    if (m->training && is_op(node, "BatchNormalization") && live_statistics(in[3]) && live_statistics(in[4]))
        return train_batch_norm(r, node, in, done);
    if (m->training && is_op(node, "Dropout"))
        return train_dropout(r, node, in, done);
    return NORN_OK;
}

/* ---- The loss. */

norn_value *norni_logits(norni_training *t, norn_value *scores) {
    norn_value *v = scores;
    while (v->producer && is_op(v->producer, "Identity"))
        v = v->producer->in[0];
    const norn_node *n = v->producer;
    if (!n || (!is_op(n, "Softmax") && !is_op(n, "LogSoftmax")) || v->type.rank < 2)
        return scores;
    const norni_attr *axis = norni_attr_find(n->op, "axis");
    int64_t a = axis ? *(const int64_t *)((const char *)n->attrs + axis->offset) : -1;
    if (a == NORNI_NO_INT) /* absent */
        a = -1;
    if (a != 1 && a != 1 - v->type.rank)
        return scores;
    norni_training_note(t, "the final %s is part of the cross entropy, which takes its input", n->op->name);
    return n->in[0];
}

/* Half precision is too coarse for a sum over a batch. */
static norn_value *in_float(norn_graph *g, norn_value *x) {
    return x->type.dtype == NORN_F16 || x->type.dtype == NORN_BF16 ? NORNI_OP1(g, x, "Cast<to=1>") : x;
}

static norn_status cross_entropy(const making *m, norn_graph *g, norn_value *scores, norn_value **loss,
                                 norn_value **correct) {
    norn_value *x = in_float(g, norni_logits(m->t, scores));
    norni_type labels = x->type;
    NORNI_TRY(norn_graph_status(g));
    if (x->type.rank < 2) {
        norni_str text = {0};
        norni_type_print(&text, g, &x->type);
        norn_status s =
            norni_fail(NORN_SHAPE, "output '%s' is %s (cross entropy wants scores [N,C] or [N,C,...])",
                       m->t->output, text.s ? text.s : "");
        norni_str_free(&text);
        return s;
    }
    labels.dtype = NORN_I64;
    labels.rank--;
    for (int i = 1; i < labels.rank; i++)
        labels.dims[i] = x->type.dims[i + 1];
    norn_value *y = norni_value_input(g, "norn.labels", &labels);
    *loss = NORNI_OP2(g, x, y, "SoftmaxCrossEntropyLoss");
    norn_value *best = NORNI_OP1(g, x, "ArgMax<axis=1, keepdims=0>");
    *correct =
        NORNI_OP1(g, NORNI_OP1(g, NORNI_OP2(g, best, y, "Equal"), "Cast<to=7>"), "ReduceSum<keepdims=0>");
    return norn_graph_status(g);
}

static norn_status squared_error(norn_graph *g, norn_value *out, norn_value **loss) {
    out = in_float(g, out);
    NORNI_TRY(norn_graph_status(g));
    norn_value *y = norni_value_input(g, "norn.labels", &out->type);
    norn_value *d = NORNI_OP2(g, out, y, "Sub");
    *loss = NORNI_OP1(g, NORNI_OP2(g, d, d, "Mul"), "ReduceMean<keepdims=0>");
    return norn_graph_status(g);
}

/* The graph with parameters as state, its loss and, with class labels, the number of right answers. */
static norn_status with_loss(making *m, const norn_graph *g, norn_graph **out, norn_value **loss,
                             norn_value **correct) {
    /* folded: sizes that a file computes of constants must be known to the gradients */
    norni_rebuild r = {
        .from = g, .leaf = leaf, .rewrite = in_training, .ctx = m, .fold = true, .fold_limit_elems = 1 << 16};
    norn_status s = norni_rebuild_run(&r);
    *correct = NULL;
    *out = r.to;
    if (s != NORN_OK) {
        const norni_type *x = &g->inputs.v[0]->type;
        if (x->rank > 0 && x->dims[0] >= 0 && m->x->rank > 0 && x->dims[0] != m->x->dims[0] &&
            s == NORN_SHAPE)
            s = norni_prefix(
                s,
                "the file fixes the batch at %lld, and that shows inside it (export it with a named batch "
                "size, or train with --batch %lld)",
                (long long)x->dims[0], (long long)x->dims[0]);
        return s;
    }
    norn_value *y = NULL;
    for (size_t i = 0; i < r.to->outputs.n; i++)
        if (!strcmp(r.to->outputs.v[i].name, m->t->output))
            y = r.to->outputs.v[i].value;
    s = m->o->loss == NORN_CROSS_ENTROPY ? cross_entropy(m, r.to, y, loss, correct)
                                         : squared_error(r.to, y, loss);
    r.to->outputs.n = 0;
    if (s == NORN_OK)
        s = norn_graph_output(r.to, "loss", *loss);
    if (s == NORN_OK && *correct)
        s = norn_graph_output(r.to, "correct", *correct);
    return s;
}

static norn_status add_gradients(const norni_training *t, norn_graph *g, norn_value *loss) {
    size_t n = 0;
    norn_value **x = norni_alloc_array(t->parameters.n + 1, sizeof *x),
               **dx = norni_alloc_array(t->parameters.n + 1, sizeof *dx);
    norn_status s = x && dx ? NORN_OK : norni_nomem();
    for (size_t i = 0; i < t->parameters.n && s == NORN_OK; i++)
        if (t->parameters.v[i].trained && !(x[n++] = norni_graph_find(g, t->parameters.v[i].name)))
            s = norni_fail(NORN_INTERNAL, "parameter '%s' was lost", t->parameters.v[i].name);
    if (s == NORN_OK)
        s = norn_grad(g, loss, NULL, n, x, dx);
    for (size_t i = 0; i < n && s == NORN_OK; i++) {
        char name[512];
        snprintf(name, sizeof name, "grad:%s", x[i]->name);
        s = norn_graph_output(g, name, dx[i]);
    }
    for (size_t i = 0; i < g->states.n; i++) /* nothing changes */
        g->states.v[i].next = NULL;
    norni_free(x);
    norni_free(dx);
    return s;
}

static norn_status add_update(const norni_training *t, const norn_train_options *o, norn_graph *g,
                              norn_value *loss) {
    size_t n = 0;
    norn_value **x = norni_alloc_array(t->parameters.n + 1, sizeof *x);
    norn_status s = x ? NORN_OK : norni_nomem();
    for (size_t i = 0; i < t->parameters.n && s == NORN_OK; i++)
        if (t->parameters.v[i].trained && !(x[n++] = norni_graph_find(g, t->parameters.v[i].name)))
            s = norni_fail(NORN_INTERNAL, "parameter '%s' was lost", t->parameters.v[i].name);
    if (s == NORN_OK)
        s = norn_graph_minimize(g, loss, &o->optimizer, true, n, x);
    norni_free(x);
    return s;
}

norn_status norni_training_graph(const norn_graph *g, const norn_train_options *o, norni_training *t,
                                 const norn_tensor *x, bool update, norn_graph **out) {
    making m = {.t = t, .o = o, .x = x, .training = true};
    norn_value *loss, *correct;
    norn_status s = with_loss(&m, g, out, &loss, &correct);
    if (s == NORN_OK)
        s = update ? add_update(t, o, *out, loss) : add_gradients(t, *out, loss);
    if (s != NORN_OK) {
        norn_graph_free(*out);
        *out = NULL;
    }
    return s;
}

norn_status norni_evaluation_graph(const norn_graph *g, const norn_train_options *o, norni_training *t,
                                   const norn_tensor *x, norn_graph **out) {
    making m = {.t = t, .o = o, .x = x};
    norn_value *loss, *correct;
    norn_status s = with_loss(&m, g, out, &loss, &correct);
    if (s != NORN_OK) {
        norn_graph_free(*out);
        *out = NULL;
    }
    return s;
}
