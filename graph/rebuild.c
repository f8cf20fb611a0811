/* SPDX-License-Identifier: Apache-2.0 */
/* Making a new graph from an old one: the frame of every pass. Folding and merging happen here, so that each
 * pass leaves a graph without what it made superfluous. */
#include "base/hash.h"
#include "graph/graph.h"
#include "ops/control.h"
#include "ops/op.h"
#include <string.h>

/* ---- Common subexpressions: nodes already made, by hash of operator, attributes and inputs. */
typedef struct norni_cse {
    norn_node **slots;
    size_t n, cap; /* cap: a power of two */
} norni_cse;

static uint64_t node_hash(const norn_op *op, const void *attrs, int n_in, norn_value *const *in) {
    uint64_t h = norni_hash_u64(1, (uint64_t)(uintptr_t)op);
    for (int i = 0; i < n_in; i++)
        h = norni_hash_u64(h, in[i] ? (uint64_t)in[i]->id + 1 : 0);
    return norni_attrs_hash(op, attrs, h);
}

static norn_node **cse_slot(norni_cse *c, uint64_t h, const norn_op *op, const void *attrs, int n_in,
                            norn_value *const *in) {
    for (size_t i = (size_t)h;; i++) {
        norn_node **s = &c->slots[i & (c->cap - 1)];
        if (!*s)
            return s;
        if ((*s)->op == op && (*s)->n_in == n_in &&
            (!n_in || !memcmp((*s)->in, in, (size_t)n_in * sizeof *in)) &&
            norni_attrs_equal(op, (*s)->attrs, attrs))
            return s;
    }
}

static bool cse_grow(norni_cse *c) {
    if (c->n * 2 < c->cap)
        return true;
    norni_cse bigger = {.cap = c->cap ? c->cap * 2 : 64, .n = c->n};
    bigger.slots = norni_alloc_array(bigger.cap, sizeof *bigger.slots);
    if (!bigger.slots)
        return false;
    for (size_t i = 0; i < c->cap; i++)
        if (c->slots[i]) {
            norn_node *x = c->slots[i];
            *cse_slot(&bigger, node_hash(x->op, x->attrs, x->n_in, x->in), x->op, x->attrs, x->n_in, x->in) =
                x;
        }
    norni_free(c->slots);
    *c = bigger;
    return true;
}

/* ---- Which nodes are needed. */
static bool *needed_nodes(const norn_graph *g) {
    bool *need = norni_alloc_array(g->nodes.n, sizeof *need);
    if (!need)
        return NULL;
#define NEED(v)                                                                                              \
    if ((v) && (v)->producer)                                                                                \
    need[(v)->producer->id] = true
    for (size_t i = 0; i < g->outputs.n; i++)
        NEED(g->outputs.v[i].value);
    for (size_t i = 0; i < g->states.n; i++)
        NEED(g->states.v[i].next);
    for (size_t i = g->nodes.n; i-- > 0;)
        for (int k = 0; need[i] && k < g->nodes.v[i]->n_in; k++)
            NEED(g->nodes.v[i]->in[k]);
#undef NEED
    return need;
}

/* ---- Single nodes. */
static norn_status copy_value(norni_rebuild *r, const norn_value *old) {
    norn_graph *to = r->to;
    norn_value *v = r->leaf ? r->leaf(r, old) : NULL;
    if (v || to->status != NORN_OK)
        ;
    else if (old->kind == NORNI_CONST) {
        norn_tensor *t = norni_tensor_ref(old->data);
        v = norni_value_const(to, old->name, t);
    } else {
        norni_type type = old->type;
        for (int i = 0; i < type.rank; i++)
            type.dims[i] = norni_dim_import(to, r->from, type.dims[i]);
        if (old->kind == NORNI_STATE)
            v = norni_value_state(to, old->name, &type, old->data ? norni_tensor_ref(old->data) : NULL);
        else
            v = norni_value_input(to, old->name, &type);
    }
    if (v)
        v->extra =
            (norni_extra){norni_arena_dup(to->arena, old->extra.data, old->extra.bytes), old->extra.bytes};
    r->map[old->id] = v;
    return v ? NORN_OK : norn_graph_status(to);
}

/* ---- What is computed on the host though no file has it. */
norn_status norni_fold_log_add(norni_fold_log *l, const norn_tensor *known) {
    norn_tensor *ref = norni_tensor_ref(known);
    if (ref && NORNI_PUSH(&l->known, ref))
        return NORN_OK;
    norn_tensor_free(ref);
    return norni_nomem();
}

void norni_fold_log_free(norni_fold_log *l) {
    for (size_t i = 0; i < l->known.n; i++)
        norn_tensor_free(l->known.v[i]);
    for (size_t i = 0; i < l->lines.n; i++)
        norni_free(l->lines.v[i]);
    norni_vec_free(&l->known);
    norni_vec_free(&l->lines);
}

static bool depends_on_known(const norni_fold_log *l, const norn_node *n) {
    for (int k = 0; k < n->n_in; k++)
        for (size_t i = 0; i < l->known.n; i++)
            if (n->in[k] && n->in[k]->data && n->in[k]->data->storage == l->known.v[i]->storage)
                return true;
    return false;
}

static norn_status log_folded(norni_fold_log *l, const norn_node *n, norn_tensor *const *out) {
    norni_str line = {0};
    if (!depends_on_known(l, n))
        return NORN_OK;
    for (int k = 0; k < n->n_out; k++)
        if (out[k])
            NORNI_TRY(norni_fold_log_add(l, out[k]));
    norni_node_print(&line, n);
    char *text = norni_str_take(&line);
    if (text && NORNI_PUSH(&l->lines, text))
        return NORN_OK;
    norni_free(text);
    return norni_nomem();
}

static bool is_kept(const norni_rebuild *r, const norn_value *v) {
    for (size_t i = 0; i < r->n_keep; i++)
        if (v->name && !strcmp(v->name, r->keep[i]))
            return true;
    return false;
}

/* Shape and Size of an input whose sizes are numbers become constants. */
static norn_status fold_sizes(norni_rebuild *r, const norn_node *node, norn_node *made, bool *done) {
    int64_t known[NORN_MAX_RANK];
    int n;
    if (!r->fold || !norni_op_reads_sizes(made->op) ||
        !norni_value_ints(made->out[0], known, NORN_MAX_RANK, &n))
        return NORN_OK;
    norn_value *v = made->out[0];
    norn_tensor *t;
    NORNI_TRY(norni_tensor_host(v->type.dtype, v->type.rank, v->type.dims, &t));
    for (int i = 0; i < n; i++)
        norni_set_int(t->dtype, norni_tensor_data(t), i, known[i]);
    *done = true;
    norn_value *c = r->map[node->out[0]->id] = norni_value_const(r->to, v->name, t);
    return c ? NORN_OK : norn_graph_status(r->to);
}

/* What depends on elements that are fed may stay on the device when its own elements are known as sizes. */
static bool may_stay(const norni_rebuild *r, const norn_node *made) {
    int64_t known[NORNI_MAX_KNOWN];
    int n;
    return r->log && made->n_out == 1 && norni_value_ints(made->out[0], known, NORNI_MAX_KNOWN, &n) &&
           depends_on_known(r->log, made);
}

/* A node all of whose inputs are constants becomes constants. One without inputs holds its elements already: of
 * whatever size. */
static norn_status fold(norni_rebuild *r, const norn_node *node, norn_node *made, bool *done) {
    if (r->integers_only)
        for (int k = 0; k < made->n_out; k++)
            if (made->out[k] && norni_dtype_is_float(made->out[k]->type.dtype))
                return NORN_OK;
    if (norni_node_random(node) || !r->fold ||
        (r->keep_quantized && !strcmp(node->op->name, "DequantizeLinear")))
        return NORN_OK;
    norn_tensor *in[32], *out[32] = {0};
    bool data = made->op->data_shapes; /* nothing else can run it: of whatever size */
    if (made->n_in > 32 || made->n_out > 32 || (!made->op->eval && !norni_op_pointwise(made->op)))
        return NORN_OK;
    for (int i = 0; i < made->n_in; i++) {
        const norn_value *v = made->in[i];
        if (v && (v->kind != NORNI_CONST || is_kept(r, v) ||
                  (!data && norni_type_elems(&v->type) > (int64_t)r->fold_limit_elems * 16)))
            return NORN_OK;
        in[i] = v ? v->data : NULL;
    }
    for (int k = 0; k < made->n_out; k++)
        if (!data && made->out[k] &&
            (!norni_type_static(&made->out[k]->type) ||
             (made->n_in && norni_type_elems(&made->out[k]->type) > (int64_t)r->fold_limit_elems)))
            return NORN_OK;
    if (!data && may_stay(r, made))
        return NORN_OK;
    norn_status s = norni_node_eval(made, in, out);
    if (s == NORN_UNSUPPORTED)
        return NORN_OK;
    NORNI_TRY(s);
    *done = true;
    if (r->log)
        s = log_folded(r->log, made, out);
    for (int k = 0; k < made->n_out && s != NORN_OK; k++)
        norn_tensor_free(out[k]);
    for (int k = 0; k < made->n_out && s == NORN_OK; k++)
        if (out[k]) {
            norn_value *v = norni_value_const(r->to, made->out[k]->name, out[k]);
            r->map[node->out[k]->id] = v;
            s = v ? NORN_OK : norn_graph_status(r->to);
        }
    return s;
}

/* What only the file's declarations say of a type: the operators alone would not know it again. */
static void keep_type(norni_rebuild *r, norni_type *t, const norni_type *old) {
    if (t->dtype != old->dtype || old->rank < 0 || (t->rank >= 0 && t->rank != old->rank))
        return;
    for (int i = 0; i < old->rank; i++)
        if (t->rank < 0 ||
            (norni_dim_unknown(r->to, t->dims[i]) && !norni_dim_unknown(r->from, old->dims[i])))
            t->dims[i] = norni_dim_import(r->to, r->from, old->dims[i]);
    t->rank = old->rank;
}

static norn_status copy_node(norni_rebuild *r, const norn_node *node, norn_value **in) {
    unsigned wanted = 0;
    norn_node **slot = NULL;
    for (int k = 0; k < node->n_out; k++)
        wanted |= node->out[k] ? 1u << k : 0;
    if (r->merge && !norni_node_random(node) && node->op != &norni_op_unknown) {
        norn_value **plain = norni_arena_array(r->to->arena, (size_t)node->n_in, sizeof *plain);
        if (!plain || !cse_grow(r->cse))
            return norni_nomem();
        for (int i = 0; i < node->n_in; i++)
            plain[i] = in[i] == NORNI_NONE ? NULL : in[i];
        slot = cse_slot(r->cse, node_hash(node->op, node->attrs, node->n_in, plain), node->op, node->attrs,
                        node->n_in, plain);
        if (*slot) {
            for (int k = 0; k < node->n_out; k++)
                if (node->out[k] && !(r->map[node->out[k]->id] = norni_want_output(*slot, k)))
                    return norn_graph_status(r->to);
            return NORN_OK;
        }
    }
    norn_node *made = norni_apply(r->to, node->op, node->attrs, node->n_in, in, wanted);
    if (!made)
        return norn_graph_status(r->to);
    made->name = node->name ? norni_arena_strdup(r->to->arena, node->name) : NULL;
    made->domain = node->domain ? norni_arena_strdup(r->to->arena, node->domain) : NULL;
    made->type = node->type ? norni_arena_strdup(r->to->arena, node->type) : NULL;
    made->stream = node->stream;
    made->guard = node->guard;
    made->extra =
        (norni_extra){norni_arena_dup(r->to->arena, node->extra.data, node->extra.bytes), node->extra.bytes};
    for (int k = 0; k < node->n_out; k++) {
        const norn_value *old = node->out[k];
        if (!old)
            continue;
        norn_value *v = r->map[old->id] = made->out[k];
        v->name = old->name ? norni_arena_strdup(r->to->arena, old->name) : NULL;
        v->extra =
            (norni_extra){norni_arena_dup(r->to->arena, old->extra.data, old->extra.bytes), old->extra.bytes};
        if (!r->leaf)
            keep_type(r, &v->type, &old->type);
        if (node->op == &norni_op_unknown) { /* only the file knows its type */
            v->type = old->type;
            for (int i = 0; i < v->type.rank; i++)
                v->type.dims[i] = norni_dim_import(r->to, r->from, v->type.dims[i]);
        }
    }
    bool folded = false;
    NORNI_TRY(fold(r, node, made, &folded));
    if (!folded)
        NORNI_TRY(fold_sizes(r, node, made, &folded));
    if (folded) { /* the node was only made to know its types */
        r->to->nodes.n--;
        norni_attrs_release(made->op, made->attrs);
        for (int k = 0; k < made->n_out; k++)
            if (made->out[k])
                made->out[k]->name = NULL;
    } else if (slot) {
        *slot = made;
        r->cse->n++;
    }
    return NORN_OK;
}

/* The input that a node only passes on: Identity, Cast to the same type, Where with a condition that is the same
 * everywhere, products and quotients with 1. NULL: none. */
static norn_value *passed_on(const norni_rebuild *r, const norn_node *node, norn_value *const *in) {
    if (!r->merge || *node->op->domain || node->n_in < 1)
        return NULL;
    if (!strcmp(node->op->name, "Identity"))
        return in[0];
    if (!strcmp(node->op->name, "Cast"))
        return in[0]->type.dtype == node->out[0]->type.dtype ? in[0] : NULL;
    if (!strcmp(node->op->name, "Where")) {
        for (int i = 1; i <= 2; i++)
            if (norni_is_const_value(in[0], 2 - i) && norni_type_equal(&in[i]->type, &node->out[0]->type) &&
                norni_type_static(&in[i]->type))
                return in[i];
        return NULL;
    }
    bool product = !strcmp(node->op->name, "Mul");
    if (node->n_in != 2 || (!product && strcmp(node->op->name, "Div")))
        return NULL;
    for (int i = 0; i < 2; i++) {
        const norni_type *one = &in[i]->type, *other = &in[1 - i]->type;
        if ((product || i == 1) && norni_type_static(one) && norni_type_elems(one) == 1 &&
            one->rank <= other->rank && norni_is_const_value(in[i], 1))
            return in[1 - i];
    }
    return NULL;
}

norn_status norni_rebuild_run(norni_rebuild *r) {
    const norn_graph *g = r->from;
    norni_cse cse = {0};
    norn_status s = norn_graph_status(g);
    if (s == NORN_OK)
        s = norn_graph_new(g->name, &r->to);
    if (s != NORN_OK)
        return s;
    bool *need = needed_nodes(g);
    r->map = norni_alloc_array(g->values.n, sizeof *r->map);
    r->cse = &cse;
    r->to->next_stream = g->next_stream;
    if (!need || !r->map)
        s = norni_nomem();
    /* Inputs and states first, in their order: they stay even when nothing reads them. */
    for (size_t i = 0; i < g->inputs.n && s == NORN_OK; i++)
        s = copy_value(r, g->inputs.v[i]);
    for (size_t i = 0; i < g->states.n && s == NORN_OK; i++)
        s = copy_value(r, g->states.v[i].value);
    for (size_t i = 0; i < g->nodes.n && s == NORN_OK; i++) {
        const norn_node *node = g->nodes.v[i];
        norn_value **in =
            need[i] ? norni_arena_array(r->to->arena, (size_t)node->n_in + 1, sizeof *in) : NULL;
        bool done = false;
        if (!need[i])
            continue;
        for (int k = 0; k < node->n_in && s == NORN_OK; k++) {
            if (node->in[k] && !r->map[node->in[k]->id])
                s = copy_value(r, node->in[k]);
            if (in)
                in[k] = node->in[k] ? r->map[node->in[k]->id] : NORNI_NONE;
        }
        if (!in)
            s = norni_nomem();
        if (s == NORN_OK && r->rewrite)
            s = r->rewrite(r, node, in, &done);
        if (s != NORN_OK || done)
            continue;
        norn_value *same = passed_on(r, node, in);
        if (same)
            r->map[node->out[0]->id] = same;
        else
            s = copy_node(r, node, in);
    }
    for (size_t i = 0; i < g->outputs.n && s == NORN_OK; i++) {
        const norni_output *o = &g->outputs.v[i];
        if (!r->map[o->value->id])
            s = copy_value(r, o->value);
        norni_output copy = {norni_arena_strdup(r->to->arena, o->name),
                             r->map[o->value->id],
                             {norni_arena_dup(r->to->arena, o->extra.data, o->extra.bytes), o->extra.bytes}};
        if (s == NORN_OK && (!copy.name || !NORNI_PUSH(&r->to->outputs, copy)))
            s = norni_nomem();
    }
    for (size_t i = 0; i < g->states.n && s == NORN_OK; i++) {
        norn_value *next = g->states.v[i].next, *kept = r->map[g->states.v[i].value->id];
        size_t place = 0;
        while (place < r->to->states.n && r->to->states.v[place].value != kept)
            place++;
        if (place == r->to->states.n) /* it is no state any more: an input, or a constant */
            continue;
        if (next && !r->map[next->id])
            s = copy_value(r, next);
        r->to->states.v[place].next = next ? r->map[next->id] : NULL;
    }
    norni_free(need);
    norni_free(r->map);
    norni_free(cse.slots);
    r->map = NULL;
    r->cse = NULL;
    if (s != NORN_OK) {
        norn_graph_free(r->to);
        r->to = NULL;
    }
    return s;
}

norn_status norn_graph_simplify(const norn_graph *g, norn_graph **out) {
    *out = NULL;
    norni_rebuild r = {.from = g, .fold = true, .merge = true, .fold_limit_elems = 1 << 20};
    NORNI_TRY(norni_rebuild_run(&r));
    *out = r.to;
    return NORN_OK;
}

/* ---- Binding. */
typedef struct {
    norni_dim_lookup *lookup;
    const void *ctx;
    const norni_type *const *types;
    norn_tensor *const *tensors;
    int branches; /* that stand in the place of an If */
} binding;

static norn_value *bound_input(norni_rebuild *r, const norn_value *old) {
    const binding *b = r->ctx;
    size_t i = 0;
    if (old->kind != NORNI_INPUT)
        return NULL;
    while (r->from->inputs.v[i] != old)
        i++;
    if (b->tensors && b->tensors[i])
        return norni_value_const(r->to, old->name, norni_tensor_ref(b->tensors[i]));
    norni_type t = b->types && b->types[i] ? *b->types[i] : old->type;
    for (int k = 0; k < t.rank; k++)
        if (t.dims[k] < 0) {
            int64_t size = b->lookup ? norni_dim_eval(r->from, t.dims[k], b->lookup, b->ctx) : -1;
            t.dims[k] = size >= 0 ? size : norni_dim_import(r->to, r->from, t.dims[k]);
        }
    return norni_value_input(r->to, old->name, &t);
}

/* Of an If whose condition is known now, the branch: with the sizes that are known now. */
static norn_status take_branch(norni_rebuild *r, const norn_node *node, norn_value **in, bool *done) {
    unsigned wanted = 0;
    norn_value *out[32] = {0};
    if (node->op != &norni_op_If || !in[0] || in[0]->kind != NORNI_CONST || node->n_out > 32)
        return NORN_OK;
    for (int k = 0; k < node->n_out; k++)
        wanted |= node->out[k] ? 1u << k : 0;
    norn_node *made = norni_apply(r->to, node->op, node->attrs, node->n_in, in, wanted);
    if (!made)
        return norn_graph_status(r->to);
    if (!norni_control_unrolls(made))
        return NORN_OK;
    NORNI_TRY(node->op->expand(r->to, made, out));
    for (int k = 0; k < node->n_out; k++)
        if (node->out[k])
            r->map[node->out[k]->id] = out[k];
    *done = true;
    ((binding *)r->ctx)->branches++;
    return norn_graph_status(r->to);
}

static norn_status bind(const norn_graph *g, norni_dim_lookup *lookup, const void *ctx,
                        const norni_type *const *types, norn_tensor *const *tensors, norni_fold_log *log,
                        size_t n_keep, const char *const *keep, norn_graph **out) {
    binding b = {lookup, ctx, types, tensors, 0};
    norni_rebuild r = {.from = g,
                       .fold = true,
                       .merge = true,
                       .fold_limit_elems = 1 << 16,
                       .n_keep = n_keep,
                       .keep = keep,
                       .leaf = bound_input,
                       .rewrite = take_branch,
                       .ctx = &b,
                       .log = log};
    *out = NULL;
    NORNI_TRY(norni_rebuild_run(&r));
    *out = r.to;
    if (!b.branches)
        return NORN_OK;
    norni_rebuild again = r; /* without the Ifs, which nobody reads */
    again.from = r.to;
    again.leaf = NULL;
    again.rewrite = NULL;
    norn_status s = norni_rebuild_run(&again);
    *out = again.to;
    norn_graph_free(r.to);
    return s;
}

norn_status norni_graph_bind(const norn_graph *g, norni_dim_lookup *lookup, const void *ctx,
                             const norni_type *const *types, norn_tensor *const *tensors, norni_fold_log *log,
                             norn_graph **out) {
    return bind(g, lookup, ctx, types, tensors, log, 0, NULL, out);
}

typedef struct {
    size_t n;
    const char *const *binds;
} bind_list;

static int64_t find_bind(const void *ctx, const char *name) {
    const bind_list *l = ctx;
    size_t len = strlen(name);
    for (size_t i = 0; i < l->n; i++)
        if (!strncmp(l->binds[i], name, len) && l->binds[i][len] == '=') {
            int64_t v = 0;
            for (const char *c = l->binds[i] + len + 1; *c >= '0' && *c <= '9' && v < INT64_MAX / 10 - 1; c++)
                v = v * 10 + (*c - '0');
            return v;
        }
    return -1;
}

static bool graph_has_dim(const norn_graph *g, const char *name, size_t len) {
    for (size_t i = 0; i < g->inputs.n; i++)
        for (int k = 0; k < g->inputs.v[i]->type.rank; k++) {
            const char *d = norni_dim_name(g, g->inputs.v[i]->type.dims[k]);
            if (d && strlen(d) == len && !memcmp(d, name, len))
                return true;
        }
    return false;
}

norn_status norn_graph_bind(const norn_graph *g, size_t n, const char *const *binds, norn_graph **out) {
    return norn_graph_bind_keep(g, n, binds, 0, NULL, out);
}

norn_status norn_graph_bind_keep(const norn_graph *g, size_t n, const char *const *binds, size_t n_keep,
                                 const char *const *keep, norn_graph **out) {
    *out = NULL;
    for (size_t i = 0; i < n; i++) {
        const char *eq = strchr(binds[i], '=');
        if (!eq || eq == binds[i] || !eq[1] || eq[1 + strspn(eq + 1, "0123456789")] || strlen(eq + 1) > 18)
            return norni_fail(NORN_ARG, "size '%s': got no number (wanted NAME=NUMBER)", binds[i]);
        if (graph_has_dim(g, binds[i], (size_t)(eq - binds[i])))
            continue;
        norni_str names = {0};
        for (size_t k = 0; k < g->inputs.n; k++)
            for (int d = 0; d < g->inputs.v[k]->type.rank; d++) {
                const char *name = norni_dim_name(g, g->inputs.v[k]->type.dims[d]);
                if (name)
                    norni_str_addf(&names, "%s%s", names.n ? ", " : "", name);
            }
        norn_status s = norni_fail(NORN_ARG, "size '%s': no input has a size of this name (there are: %s)",
                                   binds[i], names.s ? names.s : "none");
        norni_str_free(&names);
        return s;
    }
    bind_list l = {n, binds};
    return bind(g, find_bind, &l, NULL, NULL, NULL, n_keep, keep, out);
}

/* ---- Inputs that decide shapes. */

/* Large floating-point inputs are data: what is computed from them is read from the device. */
static bool is_data(const norni_type *t) {
    return norni_dtype_is_float(t->dtype) &&
           (t->rank < 0 || t->rank > 1 || !norni_type_static(t) || norni_type_elems(t) > NORNI_MAX_KNOWN);
}

bool *norni_graph_host_inputs(const norn_graph *g) {
    bool *host = norni_alloc_array(g->values.n + 1, sizeof *host), *inputs;
    if (!host)
        return NULL;
    for (size_t i = g->nodes.n; i-- > 0;) {
        const norn_node *n = g->nodes.v[i];
        bool any = false; /* an output whose elements must be known needs all its inputs' elements */
        for (int k = 0; k < n->n_out; k++)
            any |= n->out[k] && host[n->out[k]->id];
        /* ... but for what only looks at sizes */
        for (int k = 0; k < n->n_in; k++) {
            const norni_param *p = norni_op_input(n->op, k);
            if (n->in[k] && ((any && !norni_op_reads_sizes(n->op) && !is_data(&n->in[k]->type)) ||
                             (p && p->flags & NORNI_HOST)))
                host[n->in[k]->id] = true;
        }
    }
    inputs = norni_alloc_array(g->inputs.n + 1, sizeof *inputs);
    for (size_t i = 0; inputs && i < g->inputs.n; i++)
        inputs[i] = host[g->inputs.v[i]->id];
    norni_free(host);
    return inputs;
}
