/* SPDX-License-Identifier: Apache-2.0 */
/* Gradients and training steps of models as models of their own, in operators of ONNX only. */
#include "export/model.h"
#include "ops/op.h"
#include "train/prepare.h"
#include <string.h>

typedef NORNI_VEC(const char *) names;

static norn_status push(names *v, const char *name) {
    for (size_t i = 0; i < v->n; i++)
        if (!strcmp(v->v[i], name))
            return NORN_OK;
    return NORNI_PUSH(v, name) ? NORN_OK : norni_nomem();
}

/* ---- What is differentiated by. */
static bool is_statistics(const norn_graph *g, const norn_value *v) {
    for (size_t i = 0; i < g->nodes.n; i++) {
        const norn_node *n = g->nodes.v[i];
        for (int k = 3; k < 5 && k < n->n_in; k++)
            if (!*n->op->domain && !strcmp(n->op->name, "BatchNormalization") && n->in[k] == v)
                return true;
    }
    return false;
}

static norn_status choose_weights(const norn_graph *g, bool nodes, names *out) {
    bool *reaching = norni_reaching(g); /* ratios and limits are no weights */
    norn_status s = reaching ? NORN_OK : norni_nomem();
    for (size_t i = 0; i < g->values.n && s == NORN_OK; i++)
        if (reaching[i] && norni_is_weight(g->values.v[i], nodes) && !is_statistics(g, g->values.v[i]))
            s = push(out, g->values.v[i]->name);
    norni_free(reaching);
    return s;
}

static norn_status choose(const norn_graph *g, const char *wrt, norni_arena *arena, names *out) {
    bool weights = !wrt || !strcmp(wrt, "weights"), inputs = wrt && !strcmp(wrt, "inputs");
    norn_status s = NORN_OK;
    for (int nodes = 0; nodes < 2 && s == NORN_OK && weights && !out->n; nodes++)
        s = choose_weights(g, nodes, out);
    for (size_t i = 0; i < g->values.n && s == NORN_OK && inputs; i++)
        if (g->values.v[i]->kind == NORNI_INPUT && norni_dtype_is_float(g->values.v[i]->type.dtype))
            s = push(out, g->values.v[i]->name);
    for (const char *p = weights || inputs ? "" : wrt; *p && s == NORN_OK;) {
        size_t n = strcspn(p, ",");
        char *name = norni_arena_strndup(arena, p, n);
        const norn_value *v = name ? norni_graph_find(g, name) : NULL;
        if (!v || v->kind == NORNI_RESULT)
            return norni_fail(NORN_ARG,
                              "no input or weight '%s' (wanted weights, inputs, or names of theirs)",
                              name ? name : "");
        s = push(out, name);
        p += n + (p[n] == ',');
    }
    if (s == NORN_OK && !out->n)
        s = norni_fail(NORN_ARG, "the model has no %s to differentiate by", inputs ? "inputs" : "weights");
    return s;
}

/* ---- Sizes. */

/* "N=8" for each named size of the inputs: the batch. */
static norn_status bindings(const norn_graph *g, int64_t batch, norni_arena *arena, names *out) {
    for (size_t i = 0; i < g->inputs.n; i++)
        for (int k = 0; k < g->inputs.v[i]->type.rank; k++) {
            const char *name = norni_dim_name(g, g->inputs.v[i]->type.dims[k]);
            char *text =
                name ? norni_arena_printf(arena, "%s=%lld", name, (long long)(batch ? batch : 1)) : NULL;
            if (name && !text)
                return norni_nomem();
            if (name)
                NORNI_TRY(push(out, text));
        }
    return NORN_OK;
}

/* ---- Gradients of an output. */
static norn_status of_output(const norn_graph *g, const names *x, norni_arena *arena) {
    norn_graph *to = (norn_graph *)g;
    norn_value *y = NULL, *dy = NULL, **v = norni_arena_array(arena, 2 * x->n + 1, sizeof *v);
    for (size_t i = 0; i < g->outputs.n && !y; i++)
        if (norni_dtype_is_float(g->outputs.v[i].value->type.dtype))
            y = g->outputs.v[i].value;
    if (!y || !v)
        return v ? norni_fail(NORN_DTYPE, "the model has no output of a floating-point type") : norni_nomem();
    if (y->type.rank != 0) {
        char *name = norni_arena_printf(arena, "grad_%s", y->name ? y->name : "output");
        if (name && norni_graph_find(g, name))
            name = norni_arena_printf(arena, "norn.%s", name);
        dy = norni_value_input(to, name, &y->type);
    }
    for (size_t i = 0; i < x->n; i++)
        if (!(v[i] = norni_graph_find(g, x->v[i])))
            return norni_fail(NORN_INTERNAL, "'%s' was lost", x->v[i]);
    NORNI_TRY(norn_grad(to, y, dy, x->n, v, v + x->n));
    for (size_t i = 0; i < x->n; i++) {
        char *name = norni_arena_printf(arena, "grad:%s", x->v[i]);
        norn_value *d = v[x->n + i];
        if (!d->producer || d == y) /* an output is made by a node of its own */
            d = NORNI_OP1(to, d, "Identity");
        NORNI_TRY(name ? norn_graph_output(to, name, d) : norni_nomem());
    }
    return norn_graph_status(to);
}

static norn_status plain(const norn_model *m, const norn_model_gradient_options *o, norni_arena *arena,
                         norn_graph **out) {
    names binds = {0}, x = {0};
    norn_status s = choose(m->graph, o->wrt, arena, &x);
    if (s == NORN_OK)
        s = bindings(m->graph, o->batch, arena, &binds);
    if (s == NORN_OK)
        s = norn_graph_bind_keep(m->graph, binds.n, binds.v, x.n, x.v, out);
    if (s == NORN_OK)
        s = of_output(*out, &x, arena);
    norni_vec_free(&binds);
    norni_vec_free(&x);
    return s;
}

/* ---- Gradients of a loss, and training steps. */
typedef struct {
    bool step;
    const char *labels;
} conversion;

/* What a step changes comes in; the rest of the state is constant. */
static norn_value *leaf(norni_rebuild *r, const norn_value *old) {
    const conversion *c = r->ctx;
    const norn_value *next = NULL;
    if (old->kind == NORNI_INPUT && old->name && !strcmp(old->name, "norn.labels"))
        return norni_value_input(r->to, c->labels, &old->type);
    if (old->kind != NORNI_STATE)
        return NULL;
    for (size_t i = 0; i < r->from->states.n; i++)
        if (r->from->states.v[i].value == old)
            next = r->from->states.v[i].next;
    return c->step && next ? norni_value_input(r->to, old->name, &old->type)
                           : norni_value_const(r->to, old->name, norni_tensor_ref(old->data));
}

/* What Dropout keeps is drawn by the runtime, anew at each step: norn's own numbers have no form in ONNX. */
static norn_status draw_masks(norni_rebuild *r, const norn_node *node, norn_value **in, bool *done) {
    norn_graph *g = r->to;
    if (strcmp(node->op->domain, "norn") || strcmp(node->op->name, "DropoutMask"))
        return NORN_OK;
    const norni_attr *ratio = norni_attr_find(node->op, "ratio");
    norn_value *least =
        node->n_in > 3 && node->in[3]
            ? norni_cast(g, in[3], NORN_F32)
            : norni_scalar_const(g, NORN_F32, *(const float *)((const char *)node->attrs + ratio->offset));
    *done = true;
    r->map[node->out[0]->id] =
        NORNI_OP2(g, NORNI_OP1(g, in[0], "RandomUniformLike<dtype=1>"), least, "GreaterOrEqual");
    return norn_graph_status(g);
}

static norn_status save_state(const norn_graph *g, const char *path) {
    size_t n = 0;
    const char **name = norni_alloc_array(g->states.n + 1, sizeof *name);
    norn_tensor **t = norni_alloc_array(g->states.n + 1, sizeof *t);
    norn_status s = name && t ? NORN_OK : norni_nomem();
    for (size_t i = 0; i < g->states.n && s == NORN_OK; i++)
        if (g->states.v[i].next) {
            name[n] = g->states.v[i].value->name;
            s = norni_tensor_pack(g->states.v[i].value->data, &t[n]);
            n += s == NORN_OK;
        }
    if (s == NORN_OK)
        s = norn_archive_save(path, n, name, t);
    for (size_t i = 0; i < n; i++)
        norn_tensor_free(t[i]);
    norni_free(name);
    norni_free(t);
    return s;
}

/* A line on what is trained, and the notes. */
static norn_status say(const norni_training *t, char **out) {
    norni_str text = {0};
    int64_t elems = 0;
    size_t n = 0;
    for (size_t i = 0; i < t->parameters.n; i++)
        if (t->parameters.v[i].trained) {
            elems += t->parameters.v[i].elems;
            n++;
        }
    norni_str_addf(&text, "%lld parameters in %zu tensors are trained\n", (long long)elems, n);
    for (size_t i = 0; i < t->notes.n; i++)
        norni_str_addf(&text, "%s\n", t->notes.v[i]);
    *out = norni_str_take(&text);
    return *out ? NORN_OK : norni_nomem();
}

/* The state as inputs and outputs. */
static norn_status open_state(const norn_graph *g, const norn_model_gradient_options *o, norni_arena *arena,
                              norn_graph **out) {
    conversion c = {o->step != NULL, norni_graph_find(g, "labels") ? "norn.labels" : "labels"};
    norn_graph *all = (norn_graph *)g; /* its outputs for a while also what the state becomes */
    size_t had = g->outputs.n;
    norn_status s = NORN_OK;
    for (size_t i = 0; i < g->states.n && s == NORN_OK && c.step; i++) {
        const norni_state *st = &g->states.v[i];
        norni_output next = {
            st->next ? norni_arena_printf(arena, "%s_next", st->value->name) : "", st->next, {0}};
        if (st->next && (!next.name || !NORNI_PUSH(&all->outputs, next)))
            s = norni_nomem();
    }
    norni_rebuild r = {.from = g, .leaf = leaf, .rewrite = draw_masks, .ctx = &c};
    if (s == NORN_OK)
        s = norni_rebuild_run(&r);
    all->outputs.n = had;
    *out = r.to;
    return s;
}

static norn_status with_loss(norn_model *m, const norn_model_gradient_options *o, norni_arena *arena,
                             norn_graph **out) {
    norn_train_options t;
    norni_training info = {0};
    norn_tensor *x = NULL;
    norn_graph *g = NULL;
    norn_train_options_init(&t);
    t.loss = o->loss;
    t.freeze = o->freeze;
    t.train = o->train;
    if (o->step)
        t.optimizer = *o->step;
    norn_status s = norn_optimizer_check(&t.optimizer);
    if (s == NORN_OK)
        s = norni_inference_form(m, &info);
    if (s == NORN_OK)
        s = norni_find_parameters(m->graph, &t, &info);
    if (s == NORN_OK && !o->step && o->wrt &&
        strcmp(o->wrt, "weights") != 0) { /* only those that are named */
        names chosen = {0};
        s = choose(m->graph, o->wrt, arena, &chosen);
        for (size_t i = 0; i < info.parameters.n; i++) {
            bool in = false;
            for (size_t k = 0; k < chosen.n; k++)
                in |= !strcmp(chosen.v[k], info.parameters.v[i].name);
            info.parameters.v[i].trained = in;
            for (size_t k = 0; in && k < chosen.n; k++)
                if (!strcmp(chosen.v[k], info.parameters.v[i].name))
                    chosen.v[k] = chosen.v[--chosen.n];
        }
        if (s == NORN_OK && chosen.n)
            s = norni_fail(NORN_ARG, "'%s' is no weight (a loss is differentiated by weights)", chosen.v[0]);
        norni_vec_free(&chosen);
    }
    if (s == NORN_OK) {
        const norni_type *type = &m->graph->inputs.v[0]->type;
        int64_t dims[NORN_MAX_RANK];
        for (int i = 0; i < type->rank; i++)
            dims[i] = type->dims[i] >= 0 && !(i == 0 && o->batch) ? type->dims[i] : o->batch ? o->batch : 1;
        s = type->rank < 0 ? norni_fail(NORN_SHAPE, "the rank of input '%s' is not known", info.input)
                           : norni_tensor_host(type->dtype, type->rank, dims, &x);
    }
    if (s == NORN_OK)
        s = norni_training_graph(m->graph, &t, &info, x, o->step != NULL, &g);
    if (s == NORN_OK && o->step && o->state_path)
        s = save_state(g, o->state_path);
    if (s == NORN_OK)
        s = open_state(g, o, arena, out);
    if (s == NORN_OK && o->notes && (o->step || !o->wrt || !strcmp(o->wrt, "weights")))
        s = say(&info, o->notes);
    norn_graph_free(g);
    norn_tensor_free(x);
    norni_training_free(&info);
    return s;
}

norn_status norn_model_gradient(norn_model *m, const norn_model_gradient_options *options, norn_model **out) {
    norn_model_gradient_options o = options ? *options : (norn_model_gradient_options){0};
    norni_arena *arena = norni_arena_new(0);
    norn_graph *g = NULL, *simple = NULL;
    char *missing = NULL;
    *out = NULL;
    if (o.notes)
        *o.notes = NULL;
    if (!arena)
        return norni_nomem();
    norn_status s = norn_graph_unsupported(m->graph, &missing);
    if (s == NORN_OK && missing)
        s = norni_fail(NORN_UNSUPPORTED, "operators that norn does not have: %.*s",
                       (int)strcspn(missing, "\n"), missing);
    norn_text_free(missing);
    if (s == NORN_OK)
        s = o.with_loss || o.step ? with_loss(m, &o, arena, &g) : plain(m, &o, arena, &g);
    if (s == NORN_OK)
        s = norni_graph_expand(&g, norni_not_standard);
    if (s == NORN_OK)
        s = norn_graph_simplify(g, &simple);
    norn_graph_free(g);
    if (s == NORN_OK && (s = norn_model_new(simple, out)) != NORN_OK)
        norn_graph_free(simple);
    if (s != NORN_OK && o.notes) {
        norn_text_free(*o.notes);
        *o.notes = NULL;
    }
    norni_arena_free(arena);
    return s;
}
