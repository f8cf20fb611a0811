/* SPDX-License-Identifier: Apache-2.0 */
/* The inference form of a model: what is trained starts from it, and what a trained file holds is it. */
#include "graph/graph.h"
#include "ops/op.h"
#include "train/prepare.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void norni_training_free(norni_training *t) {
    for (size_t i = 0; i < t->parameters.n; i++)
        norni_free(t->parameters.v[i].type);
    for (size_t i = 0; i < t->notes.n; i++)
        norni_free(t->notes.v[i]);
    norni_vec_free(&t->parameters);
    norni_vec_free(&t->notes);
}

norn_status norni_training_note(norni_training *t, const char *fmt, ...) {
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    for (size_t i = 0; i < t->notes.n; i++)
        if (!strcmp(t->notes.v[i], text))
            return NORN_OK;
    char *copy = norni_strdup(text);
    if (!copy || !NORNI_PUSH(&t->notes, copy)) {
        norni_free(copy);
        return norni_nomem();
    }
    return NORN_OK;
}

typedef struct {
    norni_training *t;
    int separated, batch_norms, dropouts;
} forms;

static bool is_op(const norn_node *n, const char *name) {
    return !*n->op->domain && !strcmp(n->op->name, name);
}

static bool is_loss(const norn_node *n) {
    return is_op(n, "SoftmaxCrossEntropyLoss") || is_op(n, "NegativeLogLikelihoodLoss");
}

/* Identity of an initialiser: a parameter of its own, under the name that the exporter took away. */
static norn_status separate(norni_rebuild *r, const norn_node *node, bool *done) {
    forms *f = r->ctx;
    const norn_value *x = node->in[0], *y = node->out[0];
    if (!norni_is_const(x) || !norni_dtype_is_float(x->type.dtype) || !y->name)
        return NORN_OK;
    norn_tensor *copy; /* storage of its own: it will be trained apart */
    NORNI_TRY(norni_tensor_pack(x->data, &copy));
    r->map[y->id] = norni_value_const(r->to, y->name, copy);
    f->separated++;
    *done = true;
    return norn_graph_status(r->to);
}

/* A node in training mode, applied anew with other attributes or inputs; only output 0 is kept. */
static norn_status in_inference(norni_rebuild *r, const norn_node *node, norn_value **in, bool *done) {
    forms *f = r->ctx;
    norn_node *made = NULL;
    if (is_op(node, "BatchNormalization")) {
        const norni_attr *mode = norni_attr_find(node->op, "training_mode");
        norni_attr_value v;
        if (!mode || !norni_attr_get(mode, node->attrs, &v) || !v.i)
            return NORN_OK;
        made = norni_apply(r->to, node->op, node->attrs, node->n_in, in, 1);
        if (made)
            *(int64_t *)((char *)made->attrs + mode->offset) = 0;
        f->batch_norms++;
    } else if (is_op(node, "Dropout") && node->n_in > 2 && node->in[2] &&
               !norni_is_const_value(node->in[2], 0)) {
        made = norni_apply(r->to, node->op, node->attrs, node->n_in > 1 ? 2 : 1, in, 1);
        f->dropouts++;
    } else
        return NORN_OK;
    if (!made)
        return norn_graph_status(r->to);
    made->name = node->name ? norni_arena_strdup(r->to->arena, node->name) : NULL;
    made->out[0]->name = node->out[0]->name ? norni_arena_strdup(r->to->arena, node->out[0]->name) : NULL;
    r->map[node->out[0]->id] = made->out[0];
    for (int k = 1; k < node->n_out; k++) /* running statistics and masks have no meaning here */
        if (node->out[k])
            r->map[node->out[k]->id] = k == 1 && node->n_in > 3   ? in[3]
                                       : k == 2 && node->n_in > 4 ? in[4]
                                                                  : made->out[0];
    *done = true;
    return NORN_OK;
}

static norn_status to_inference(norni_rebuild *r, const norn_node *node, norn_value **in, bool *done) {
    if (is_op(node, "Identity"))
        return separate(r, node, done);
    return in_inference(r, node, in, done);
}

/* A loss that is the graph's output gives way to its scores; labels and weights are no longer inputs then. */
static norn_status remove_loss(norn_graph *g, norni_training *t) {
    for (size_t i = 0; i < g->outputs.n; i++) {
        const norn_node *n = g->outputs.v[i].value->producer;
        if (!n || !is_loss(n))
            continue;
        norn_value *scores = n->in[0];
        if (is_op(n, "NegativeLogLikelihoodLoss") && scores->producer &&
            is_op(scores->producer, "LogSoftmax"))
            scores = scores->producer->in[0];
        NORNI_TRY(norni_training_note(t, "the loss at the end of the model (%s) is left out of what is saved",
                                      n->op->name));
        g->outputs.n = 0; /* its other outputs (log probabilities) belong to it */
        NORNI_TRY(norn_graph_output(g, scores->name ? scores->name : "scores", scores));
        return NORN_OK;
    }
    return NORN_OK;
}

/* Inputs that nothing reads any more. */
static void drop_unread_inputs(norn_graph *g) {
    int *uses = norni_graph_uses(g);
    size_t kept = 0;
    for (size_t i = 0; uses && i < g->inputs.n; i++)
        if (uses[g->inputs.v[i]->id])
            g->inputs.v[kept++] = g->inputs.v[i];
    if (uses && kept)
        g->inputs.n = kept;
    norni_free(uses);
}

norn_status norni_inference_form(norn_model *m, norni_training *t) {
    forms f = {.t = t};
    norn_graph *g = m->graph;
    norni_output *outputs = norni_alloc_array(g->outputs.n + 1, sizeof *outputs);
    size_t n_outputs = g->outputs.n;
    if (!outputs)
        return norni_nomem();
    memcpy(outputs, g->outputs.v, n_outputs * sizeof *outputs);
    norni_rebuild r = {.from = g, .rewrite = to_inference, .ctx = &f};
    norn_status s = remove_loss(g, t);
    bool loss = t->notes.n > 0;
    if (s == NORN_OK)
        s = norni_rebuild_run(&r);
    if (s != NORN_OK) { /* the model stays as it was */
        g->outputs.n = n_outputs;
        memcpy(g->outputs.v, outputs, n_outputs * sizeof *outputs);
        norni_free(outputs);
        return s;
    }
    norni_free(outputs);
    if (loss)
        drop_unread_inputs(r.to);
    norn_model_set_graph(m, r.to);
    if (f.separated)
        NORNI_TRY(norni_training_note(
            t, "%d initialiser%s that the exporter had merged with equal ones %s trained apart", f.separated,
            f.separated == 1 ? "" : "s", f.separated == 1 ? "is" : "are"));
    if (f.batch_norms + f.dropouts)
        NORNI_TRY(norni_training_note(t, "the file is in training form; what is saved is in inference form"));
    return NORN_OK;
}
