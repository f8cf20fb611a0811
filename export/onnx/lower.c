/* SPDX-License-Identifier: Apache-2.0 */
/* Operators in the form of an older opset: the hook of the operator, then inputs that were attributes. And other nodes
 * for those that cannot be said at all: hidden operators of domain norn, hidden outputs, operators that are too new. */
#include "export/onnx/older.h"
#include "ops/control.h"
#include <string.h>

enum {
    MAX_DEPTH = 16,      /* replacements within replacements */
    CEIL_LEAVES_OUT = 22 /* the opset from which ceil_mode leaves windows out */
};

norn_status norni_export_at(norn_status s, const norn_node *node) {
    if (s == NORN_OK)
        return s;
    norni_str text = {0};
    norni_node_print(&text, node);
    s = node->name ? norni_prefix(s, "node '%s' %s", node->name, text.s ? text.s : "")
                   : norni_prefix(s, "%s", text.s ? text.s : "");
    norni_str_free(&text);
    return s;
}

norn_value *norni_export_value(const norni_exporter *x, norn_value *v) {
    while (v && (size_t)v->id < x->replaced.n && x->replaced.v[v->id])
        v = x->replaced.v[v->id];
    return v;
}

/* ---- Inputs that are attributes in an older form. */
static norn_status constant_attr(norni_exporter *x, const norni_attr *a, const norn_tensor *t,
                                 norni_attr_value *out) {
    int64_t n = norni_tensor_elems(t);
    const void *data = norni_tensor_data(t);
    bool list = a->kind == NORNI_ATTR_INTS || a->kind == NORNI_ATTR_FLOATS;
    if ((!list && n != 1) || n > INT32_MAX)
        return norni_fail(NORN_SHAPE, "%lld elements (wanted one)", (long long)n);
    *out = (norni_attr_value){.kind = a->kind};
    int64_t *ints = norni_arena_array(x->arena, (size_t)n, sizeof *ints);
    float *floats = norni_arena_array(x->arena, (size_t)n, sizeof *floats);
    if (!ints || !floats)
        return norni_nomem();
    for (int64_t i = 0; i < n; i++) {
        ints[i] = norni_get_int(t->dtype, data, i);
        floats[i] = (float)norni_get_double(t->dtype, data, i);
    }
    out->i = list ? 0 : ints[0];
    out->f = list ? 0 : floats[0];
    if (a->kind == NORNI_ATTR_INTS)
        out->ints = (norni_ints){(int)n, ints};
    else if (a->kind == NORNI_ATTR_FLOATS)
        out->floats = (norni_floats){(int)n, floats};
    return NORN_OK;
}

/* Opsets before 11 count axes from the front only: in the larger rank, which is that of Unsqueeze's output, and of the
 * input elsewhere. */
static norn_status axes_from_front(const norn_node *low, int64_t *axes, int n) {
    int in = low->in[0] ? low->in[0]->type.rank : -1, out = low->out[0] ? low->out[0]->type.rank : -1;
    int rank = in > out ? in : out;
    for (int i = 0; i < n; i++)
        if (axes[i] < 0) {
            if (in < 0 || out < 0)
                return norni_fail(NORN_UNSUPPORTED,
                                  "axes count from the back, and the rank is not known (before opset 11 "
                                  "they count from the front)");
            axes[i] += rank;
        }
    return NORN_OK;
}

norn_value *norni_export_known(norni_exporter *x, norn_value *v) {
    int64_t ints[NORNI_MAX_KNOWN];
    int n;
    norn_tensor *t;
    if (v->kind == NORNI_CONST)
        return v;
    if (!norni_type_static(&v->type) || !norni_value_ints(v, ints, NORNI_MAX_KNOWN, &n) ||
        n != norni_type_elems(&v->type) ||
        norni_tensor_host(v->type.dtype, v->type.rank, v->type.dims, &t) != NORN_OK)
        return NULL;
    for (int i = 0; i < n; i++)
        norni_set_int(t->dtype, norni_tensor_data(t), i, ints[i]);
    return norni_value_const(x->g, NULL, t);
}

static norn_status to_attribute(norni_exporter *x, norn_node *low, const norni_moved *m) {
    const norn_op *op = low->op;
    const norni_attr *a = norni_attr_find(op, m->attr);
    norn_value *v = m->input < low->n_in ? low->in[m->input] : NULL;
    norni_attr_value value;
    if (!v)
        return NORN_OK;
    const char *name = norni_op_input(op, m->input)->name;
    if (v->kind != NORNI_CONST && !(v = norni_export_known(x, v)))
        return norni_fail(NORN_UNSUPPORTED,
                          "input '%s' is computed (in opset %d it is the attribute '%s', a constant)", name,
                          x->opset, m->attr);
    NORNI_TRY(norni_prefix(constant_attr(x, a, v->data, &value), "input '%s'", name));
    if (!strcmp(m->attr, "axes") && a->kind == NORNI_ATTR_INTS && x->opset < 11)
        NORNI_TRY(axes_from_front(low, (int64_t *)value.ints.v, value.ints.n));
    NORNI_TRY(norni_attrs_set(op, low->attrs, x->arena, m->attr, &value));
    low->in[m->input] = NULL;
    return NORN_OK;
}

/* Dilations of 1 say nothing. */
static void drop_ones(const norni_attr *a, norn_node *low, const norni_attr_value *v) {
    bool ones = a->kind == NORNI_ATTR_INTS && !strcmp(a->name, "dilations");
    for (int i = 0; ones && i < v->ints.n; i++)
        ones = v->ints.v[i] == 1;
    if (ones)
        norni_attr_reset(a, low->attrs);
}

/* What the form in force at the opset does not have. */
static norn_status check_form(norni_exporter *x, norn_node *low) {
    for (const norni_attr *a = low->op->attrs; a && a->name; a++) {
        norni_attr_value v;
        if (!(a->flags & NORNI_ATTR_OLD) && a->since > x->opset && norni_attr_get(a, low->attrs, &v))
            drop_ones(a, low, &v);
        if (!(a->flags & NORNI_ATTR_OLD) && a->since > x->opset && norni_attr_get(a, low->attrs, &v))
            return norni_fail(NORN_UNSUPPORTED, "attribute '%s' is new in opset %d (wanted opset %d)",
                              a->name, a->since, x->opset);
    }
    for (int i = 0; i < low->n_in; i++) {
        const norni_param *p = norni_op_input(low->op, i);
        if (low->in[i] && p && NORNI_SINCE_OF(p->flags) > x->opset)
            return norni_fail(NORN_UNSUPPORTED, "input '%s' is new in opset %d (wanted opset %d)", p->name,
                              NORNI_SINCE_OF(p->flags), x->opset);
    }
    return NORN_OK;
}

/* Old files name outputs (masks of Dropout) that nobody reads. */
static bool is_needed(const norni_exporter *x, const norn_value *v) {
    return v && ((size_t)v->id >= x->needed.n || x->needed.v[v->id]);
}

static unsigned wanted_outputs(const norni_exporter *x, const norn_node *node) {
    unsigned wanted = 0;
    for (int k = 0; k < node->n_out && k < 32; k++)
        wanted |= is_needed(x, node->out[k]) ? 1u << k : 0;
    return wanted;
}

norn_status norni_lower(norni_exporter *x, const norn_node *node, norn_node *low, norn_value **out,
                        bool *replaced) {
    const norn_op *op = node->op;
    bool standard = !*op->domain;
    *replaced = false;
    *low = *node;
    low->in = norni_arena_array(x->arena, (size_t)node->n_in + NORNI_RAISE_ROOM, sizeof *low->in);
    low->attrs = norni_arena_alloc(x->arena, op->attrs_bytes);
    if (!low->in || !low->attrs)
        return norni_nomem();
    for (int i = 0; i < node->n_in; i++)
        low->in[i] = norni_export_value(x, node->in[i]);
    NORNI_TRY(norni_attrs_copy(op, low->attrs, node->attrs, x->arena));
    norn_status s = NORN_OK;
    if (standard && op->lower && norni_op_version(op, x->opset) < norni_op_since(op)) {
        norni_adapt a = {
            .g = x->g, .version = x->opset, .node = low, .out = out, .wanted = wanted_outputs(x, node)};
        s = op->lower(&a);
        if (s == NORN_OK)
            s = norn_graph_status(x->g);
        *replaced = a.replaced;
    }
    for (const norni_moved *m = op->moved; standard && m && m->attr && s == NORN_OK && !*replaced; m++)
        if (m->since > x->opset)
            s = to_attribute(x, low, m);
    while (low->n_in && !low->in[low->n_in - 1])
        low->n_in--;
    if (s == NORN_OK && standard && !*replaced && x->opset < CEIL_LEAVES_OUT)
        s = norni_lower_ceil(node, low);
    if (s == NORN_OK && standard && !*replaced)
        s = check_form(x, low);
    if (s == NORN_OK && !*replaced)
        s = norni_types_check(node, x->opset);
    if (s != NORN_OK)
        norni_attrs_release(op, low->attrs);
    return norni_export_at(s, node);
}

/* ---- Replacements. */
/* Room for what is known by value. */
static norn_status grow(norni_exporter *x) {
    while (x->needed.n < x->g->values.n)
        if (!NORNI_PUSH(&x->needed, false))
            return norni_nomem();
    while (x->replaced.n < x->g->values.n)
        if (!NORNI_PUSH(&x->replaced, NULL))
            return norni_nomem();
    return NORN_OK;
}

static void mark_inputs(norni_exporter *x, const norn_node *node) {
    for (int k = 0; k < node->n_in; k++)
        if (node->in[k])
            x->needed.v[node->in[k]->id] = true;
}

static bool stash_is_read(const norni_exporter *x, const norn_node *node) {
    for (int k = 0; k < node->n_out; k++) {
        const norni_param *p = norni_op_output(node->op, k);
        if (node->out[k] && p && p->flags & NORNI_STASH && x->needed.v[node->out[k]->id])
            return true;
    }
    return false;
}

/* A pointwise operator by its formula. */
static norn_status expand_formula(norni_exporter *x, norn_node *node, norn_value **out) {
    const norni_expr *e;
    const char *names[32];
    norni_str text = {0};
    NORNI_TRY(norni_node_formula(node, x->arena, &e));
    for (int i = 0; i < 32; i++)
        if (!(names[i] = norni_arena_printf(x->arena, "v%d", i)))
            return norni_nomem();
    norni_expr_print(&text, e, names);
    if (text.failed || !text.s)
        return norni_nomem();
    out[0] = norni_formula(x->g, text.s, node->n_in, names, node->in);
    norni_str_free(&text);
    return norn_graph_status(x->g);
}

static void clear_status(norni_exporter *x) {
    if (x->g->status == NORN_OK)
        return;
    x->g->status = NORN_OK;
    norni_free(x->g->error);
    x->g->error = NULL;
}

/* The node with the inputs that stand for its own. */
static norn_status in_its_place(norni_exporter *x, const norn_node *node, norn_node *out) {
    *out = *node;
    out->in = norni_arena_array(x->arena, (size_t)node->n_in, sizeof *out->in);
    if (!out->in)
        return norni_nomem();
    for (int i = 0; i < node->n_in; i++)
        out->in[i] = norni_export_value(x, node->in[i]);
    return NORN_OK;
}

/* A failure means that there is no such way. */
static norn_status by_older(norni_exporter *x, const norn_node *node, norn_value **out, bool *done) {
    norn_status s = norni_older(x, node, out, done);
    if (s == NORN_NOMEM)
        return s;
    if (s != NORN_OK) {
        clear_status(x);
        *done = false;
    }
    return NORN_OK;
}

/* The same for a node whose operator the opset has, but not so: `why` and norn_error() say what is missing. */
static norn_status by_others(norni_exporter *x, const norn_node *node, norn_value **out, norn_status why) {
    char *message = norni_arena_strdup(x->arena, norn_error());
    norn_node in_place;
    bool done;
    if (!message)
        return norni_nomem();
    NORNI_TRY(in_its_place(x, node, &in_place));
    NORNI_TRY(by_older(x, &in_place, out, &done));
    if (!done && norni_op_pointwise(node->op) && !node->op->variadic_fold && !node->op->channel_from) {
        done = expand_formula(x, &in_place, out) == NORN_OK && out[0] && out[0]->producer &&
               out[0]->producer->op != node->op;
        clear_status(x);
    }
    return done ? NORN_OK : norni_fail(why, "%s", message);
}

/* The nodes that stand for one that the opset does not have. */
static norn_status expand(norni_exporter *x, const norn_node *node, norn_value **out) {
    const norn_op *op = node->op;
    norn_node in_place;
    bool done;
    NORNI_TRY(in_its_place(x, node, &in_place));
    NORNI_TRY(by_older(x, &in_place, out, &done));
    if (done)
        return NORN_OK;
    if (op->expand) {
        NORNI_TRY(op->expand(x->g, &in_place, out));
        return norn_graph_status(x->g);
    }
    if (norni_op_pointwise(op) && !op->variadic_fold && !op->channel_from)
        return expand_formula(x, &in_place, out);
    if (!strcmp(op->domain, "norn") || op->defined)
        return norni_fail(NORN_UNSUPPORTED, "an operator of %s own, which ONNX cannot say",
                          op->defined ? "the program's" : "norn's");
    for (int k = 0; k < node->n_out; k++)
        if (node->out[k] && norni_op_output(op, k)->flags & NORNI_STASH)
            return norni_fail(NORN_UNSUPPORTED,
                              "its output '%s' is norn's own, and no other operators make it",
                              norni_op_output(op, k)->name);
    return norni_fail(NORN_UNSUPPORTED, "the operator is new in opset %d (wanted opset %d)", op->versions[0],
                      x->opset);
}

static norn_status choose(norni_exporter *x, norn_node *node, const norn_node *const *within, int depth);

norn_status norni_export_refuse(norni_exporter *x, norn_status s) {
    if (s == NORN_OK || s == NORN_NOMEM || s == NORN_INTERNAL)
        return s;
    const char *line = norni_arena_strdup(x->arena, norn_error());
    if (!line || !NORNI_PUSH(&x->refused, line))
        return norni_nomem();
    clear_status(x); /* it was fine before: a replacement failed */
    return NORN_OK;
}

/* Writes the nodes that were made since first, and lets their results stand for those of the node. */
static norn_status replace(norni_exporter *x, const norn_node *node, norn_value **out, size_t first,
                           const norn_node *const *within, int depth) {
    size_t last = x->g->nodes.n;
    NORNI_TRY(grow(x));
    for (size_t i = first; i < last; i++)
        mark_inputs(x, x->g->nodes.v[i]);
    for (size_t i = first; i < last; i++)
        NORNI_TRY(choose(x, x->g->nodes.v[i], within, depth + 1));
    for (int k = 0; k < node->n_out && k < 32; k++) {
        norn_value *old = node->out[k];
        bool hidden = norni_op_output(node->op, k)->flags & NORNI_STASH;
        if (!old || ((hidden || !is_needed(x, old)) && !out[k]))
            continue;
        if (!out[k])
            return norni_fail(NORN_INTERNAL, "its replacement does not make output %d", k);
        norn_value *v = norni_export_value(x, out[k]);
        if (v == old)
            return norni_fail(NORN_INTERNAL, "its replacement is the node itself");
        if ((size_t)v->id >= x->old_values && !v->name) { /* takes over what the file says of the value */
            v->name = old->name;
            v->extra = old->extra;
            if (v->type.dtype == old->type.dtype)
                v->type = old->type;
        }
        x->replaced.v[old->id] = v;
    }
    return NORN_OK;
}

static norn_status too_deep(const norni_exporter *x) {
    return norni_fail(NORN_UNSUPPORTED, "takes more than %d steps to say in opset %d", MAX_DEPTH, x->opset);
}

/* Before opset 11 both branches of an If had the same shapes, before 9 Scan worked on batches. */
static bool has_control_form(const norni_exporter *x, const norn_node *node) {
    const norni_control_attrs *a = norni_control_of(node);
    if (!norni_op_version(node->op, x->opset) || (node->op == &norni_op_Scan && x->opset < 9))
        return false;
    for (size_t k = 0; node->op == &norni_op_If && x->opset < 11 && k < a->then_branch->graph->outputs.n;
         k++) {
        const norni_type *t = &a->then_branch->graph->outputs.v[k].value->type,
                         *e = &a->else_branch->graph->outputs.v[k].value->type;
        if (t->rank != e->rank)
            return false;
        for (int i = 0; i < t->rank; i++) /* sizes without a number may turn out the same */
            if (t->dims[i] >= 0 && e->dims[i] >= 0 && t->dims[i] != e->dims[i])
                return false;
    }
    return true;
}

/* All its outputs lack names: nothing reads it, and the hooks of operators do not expect that. */
static bool makes_nothing(const norn_node *node) {
    for (int k = 0; k < node->n_out; k++)
        if (node->out[k])
            return false;
    return true;
}

/* within: the nodes that this one is a replacement for. */
static norn_status choose(norni_exporter *x, norn_node *node, const norn_node *const *within, int depth) {
    const norn_node *path[MAX_DEPTH + 1];
    norn_value *out[32] = {0};
    const norn_op *op = node->op;
    size_t first = x->g->nodes.n;
    if (norni_export_as_it_was(x, node)) {
        NORNI_TRY(norni_export_check_proto(x, node));
        return NORNI_PUSH(&x->nodes, node) ? NORN_OK : norni_nomem();
    }
    if (makes_nothing(node) &&
        (op->control || *op->domain == 'n' || norni_op_version(op, x->opset) < norni_op_since(op)))
        return NORNI_PUSH(&x->changed, op->name) ? NORN_OK : norni_nomem(); /* becomes no node at all */
    if (op->control && has_control_form(x, node)) {
        size_t refused = x->refused.n;
        NORNI_TRY(norni_export_subgraphs(x, node));
        if (x->refused.n == refused || !norni_control_unrolls(node))
            return NORNI_PUSH(&x->nodes, node) ? NORN_OK : norni_nomem();
        x->refused.n = refused; /* without a subgraph it may be said */
    }
    if (op->control || !strcmp(op->domain, "norn") || op->defined || stash_is_read(x, node) ||
        (!*op->domain && !norni_op_version(op, x->opset))) {
        for (int i = 0; i < depth; i++)
            if (within[i]->op == op && !op->control)
                return norni_fail(NORN_UNSUPPORTED, "the operator is new in opset %d (wanted opset %d)",
                                  op->versions[0], x->opset);
        if (depth == MAX_DEPTH)
            return too_deep(x);
        NORNI_TRY(norni_export_at(expand(x, node, out), node));
    } else {
        norn_node low;
        bool replaced;
        norn_status s = norni_lower(x, node, &low, out, &replaced);
        if (s == NORN_OK)
            norni_attrs_release(op, low.attrs);
        else if (s == NORN_NOMEM || s == NORN_INTERNAL)
            return s;
        else {
            NORNI_TRY(by_others(x, node, out, s));
            replaced = true;
        }
        if (!replaced)
            return NORNI_PUSH(&x->nodes, node) ? NORN_OK : norni_nomem();
        if (depth == MAX_DEPTH)
            return too_deep(x);
    }
    if (depth)
        memcpy(path, within, (size_t)depth * sizeof *path);
    path[depth] = node;
    if (!depth && *op->domain != 'n' && !NORNI_PUSH(&x->changed, op->name))
        return norni_nomem();
    norn_status s = replace(x, node, out, first, path, depth);
    return depth ? s : norni_export_at(s, node); /* what stands for it says why, not for what */
}

/* ---- All nodes. */
static void mark(norni_exporter *x, bool *marks, const norn_value *v) {
    if (v && v->producer && (size_t)v->producer->id < x->old_nodes)
        marks[v->producer->id] = true;
}

static void mark_needed(norni_exporter *x, bool *marks) {
    for (size_t i = x->old_nodes; i-- > 0;) {
        const norn_node *n = x->g->nodes.v[i];
        for (int k = 0; marks[i] && k < n->n_in; k++)
            mark(x, marks, n->in[k]);
    }
}

/* Nodes that no output needs, and the next content of a parameter does: training is not part of the file. */
static bool *training_nodes(norni_exporter *x) {
    const norn_graph *g = x->g;
    bool *next = norni_arena_array(x->arena, x->old_nodes + 1, sizeof *next);
    bool *needed = norni_arena_array(x->arena, x->old_nodes + 1, sizeof *needed);
    if (!next || !needed)
        return NULL;
    for (size_t i = 0; i < g->outputs.n; i++)
        mark(x, needed, g->outputs.v[i].value);
    for (size_t i = 0; i < g->states.n; i++)
        mark(x, next, g->states.v[i].next);
    mark_needed(x, needed);
    mark_needed(x, next);
    for (size_t i = 0; i < x->old_nodes; i++) {
        next[i] = next[i] && !needed[i];
        x->drops |= next[i];
    }
    return next;
}

norn_status norni_export_choose(norni_exporter *x) {
    const bool *dropped = training_nodes(x);
    if (!dropped)
        return norni_nomem();
    NORNI_TRY(grow(x));
    for (size_t i = 0; i < x->old_nodes; i++)
        if (!dropped[i])
            mark_inputs(x, x->g->nodes.v[i]);
    for (size_t i = 0; i < x->g->outputs.n; i++)
        x->needed.v[x->g->outputs.v[i].value->id] = true;
    for (size_t i = 0; i < x->old_nodes; i++)
        if (!dropped[i])
            NORNI_TRY(norni_export_refuse(x, choose(x, x->g->nodes.v[i], NULL, 0)));
    return NORN_OK;
}

void norni_export_begin(norni_exporter *x) {
    x->old_nodes = x->g->nodes.n;
    x->old_values = x->g->values.n;
    x->old_stream = x->g->next_stream;
}

void norni_export_undo(norni_exporter *x) {
    norn_graph *g = x->g;
    clear_status(x);
    for (size_t i = x->old_nodes; i < g->nodes.n; i++)
        norni_attrs_release(g->nodes.v[i]->op, g->nodes.v[i]->attrs);
    for (size_t i = x->old_values; i < g->values.n; i++)
        norn_tensor_free(g->values.v[i]->data);
    g->nodes.n = x->old_nodes;
    g->values.n = x->old_values;
    g->next_stream = x->old_stream;
}
