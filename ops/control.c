/* SPDX-License-Identifier: Apache-2.0 */
/* If, Loop, Scan: types, and the expansion by the nodes of their subgraphs. Sources: ONNX If-25, Loop-25, Scan-25; Scan-8.
 *
 *     Loop: i = 0, 1, ... while i < M and the condition holds:
 *               condition, carried..., scanned... = body(i, condition, carried...)
 *     Scan: for each i: state..., out... = body(state..., element i of each scan input...) */
#include "ops/control.h"
#include "ops/rows.h"
#include <string.h>

typedef norni_control_attrs control_attrs;

norn_status norni_subgraph_new(norn_graph *g, norni_subgraph **out) {
    *out = norni_alloc(sizeof **out);
    if (!*out) {
        norn_graph_free(g);
        return norni_nomem();
    }
    **out = (norni_subgraph){g, 1};
    return NORN_OK;
}

norni_subgraph *norni_subgraph_ref(norni_subgraph *s) {
    if (s)
        s->refs++;
    return s;
}

void norni_subgraph_free(norni_subgraph *s) {
    if (s && --s->refs == 0) {
        norn_graph_free(s->graph);
        norni_free(s);
    }
}

int norni_subgraph_nodes(const norni_subgraph *s) {
    return (int)s->graph->nodes.n;
}

/* ---- Subgraphs in place. */
norn_status norni_inline(norn_graph *g, const norn_graph *sub, norn_value *const *in, norn_value **out) {
    norn_value **map = norni_alloc_array(sub->values.n + 1, sizeof *map);
    norn_value **args = NULL;
    norn_status s = map ? norn_graph_status(g) : norni_nomem();
    for (size_t i = 0; i < sub->inputs.n && s == NORN_OK; i++)
        map[sub->inputs.v[i]->id] = in[i];
    for (size_t i = 0; i < sub->values.n && s == NORN_OK; i++)
        if (sub->values.v[i]->kind == NORNI_CONST)
            map[i] = norni_value_const(g, NULL, norni_tensor_ref(sub->values.v[i]->data));
    for (size_t i = 0; i < sub->nodes.n && s == NORN_OK; i++) {
        const norn_node *node = sub->nodes.v[i];
        unsigned wanted = 0;
        args = norni_arena_array(g->arena, (size_t)node->n_in + 1, sizeof *args);
        if (!args) {
            s = norni_nomem();
            break;
        }
        for (int k = 0; k < node->n_in; k++)
            args[k] = node->in[k] ? map[node->in[k]->id] : NORNI_NONE;
        for (int k = 0; k < node->n_out; k++)
            wanted |= node->out[k] ? 1u << k : 0;
        norn_node *made = norni_apply(g, node->op, node->attrs, node->n_in, args, wanted);
        s = norn_graph_status(g);
        if (!made)
            break;
        if (node->domain || node->type) { /* another control node */
            made->domain = node->domain ? norni_arena_strdup(g->arena, node->domain) : NULL;
            made->type = node->type ? norni_arena_strdup(g->arena, node->type) : NULL;
            made->extra = (norni_extra){norni_arena_dup(g->arena, node->extra.data, node->extra.bytes),
                                        node->extra.bytes};
        }
        for (int k = 0; k < node->n_out; k++)
            if (node->out[k])
                map[node->out[k]->id] = made->out[k];
    }
    for (size_t k = 0; k < sub->outputs.n && s == NORN_OK; k++)
        out[k] = map[sub->outputs.v[k].value->id];
    norni_free(map);
    return s;
}

static norn_status inline_of(norn_graph *g, const norni_subgraph *sub, norn_value *const *own, int n_own,
                             const norn_node *node, norn_value **out) {
    int first = norni_control_own(node), captured = node->n_in - first;
    norn_value **in = norni_arena_array(g->arena, (size_t)(n_own + captured) + 1, sizeof *in);
    if (!in)
        return norni_nomem();
    for (int i = 0; i < n_own; i++)
        in[i] = own[i];
    for (int i = 0; i < captured; i++)
        in[n_own + i] = node->in[first + i];
    return norni_inline(g, sub->graph, in, out);
}

/* ---- Types. Sizes of a subgraph mean something outside it when they are numbers or names. */
static norni_type outside(norni_infer *c, const norni_subgraph *sub, size_t k) {
    norni_type t = sub->graph->outputs.v[k].value->type;
    for (int i = 0; i < t.rank; i++)
        if (t.dims[i] < 0)
            t.dims[i] = norni_dim_has_unknown(sub->graph, t.dims[i])
                            ? norni_dim_fresh(c->g)
                            : norni_dim_import(c->g, sub->graph, t.dims[i]);
    return t;
}

/* What both types say. */
static norni_type common(norn_graph *g, norni_type a, const norni_type *b) {
    if (a.dtype != b->dtype)
        a.dtype = NORN_UNDEFINED;
    if (a.rank != b->rank)
        a.rank = -1;
    for (int i = 0; i < a.rank; i++)
        if (a.dims[i] != b->dims[i])
            a.dims[i] = norni_dim_fresh(g);
    return a;
}

static norn_status one_element(const norni_infer *c, int i, const char *what) {
    const norni_type *t = norni_in_type(c, i);
    if (t && t->rank >= 0 && norni_type_static(t) && norni_type_elems(t) != 1)
        return norni_fail(NORN_SHAPE, "%s has %lld elements (wanted one)", what,
                          (long long)norni_type_elems(t));
    return NORN_OK;
}

static norn_status want_outputs(const norni_infer *c, size_t n) {
    for (int k = (int)n; k < c->node->n_out; k++)
        if (c->node->out[k])
            return norni_fail(NORN_ARG, "output %d is wanted (its subgraph makes %zu)", k, n);
    return n <= 32 ? NORN_OK : norni_fail(NORN_UNSUPPORTED, "%zu outputs (wanted at most 32)", n);
}

static int known_bool(norn_value *v);

static norn_status infer_if(norni_infer *c) {
    const control_attrs *at = c->attrs;
    if (!at->then_branch || !at->else_branch)
        return norni_fail(NORN_ARG, "a branch is missing");
    const norn_graph *a = at->then_branch->graph, *b = at->else_branch->graph;
    if (a->outputs.n != b->outputs.n)
        return norni_fail(NORN_ARG, "then_branch has %zu outputs, else_branch %zu (wanted equal)",
                          a->outputs.n, b->outputs.n);
    NORNI_TRY(one_element(c, 0, "cond"));
    NORNI_TRY(want_outputs(c, a->outputs.n));
    int taken = known_bool(c->node->in[0]);
    for (size_t k = 0; k < a->outputs.n; k++) {
        norni_type then = outside(c, at->then_branch, k), other = outside(c, at->else_branch, k);
        c->out[k] = taken > 0 ? then : taken == 0 ? other : common(c->g, then, &other);
    }
    return NORN_OK;
}

static norn_status infer_loop(norni_infer *c) {
    const control_attrs *at = c->attrs;
    if (!at->body)
        return norni_fail(NORN_ARG, "attribute 'body' is missing");
    const norn_graph *body = at->body->graph;
    int own = norni_control_own(c->node), carried = own > 2 ? own - 2 : 0;
    size_t formal = body->inputs.n - (size_t)at->captured;
    if (formal != (size_t)carried + 2 || body->outputs.n < (size_t)carried + 1)
        return norni_fail(NORN_ARG,
                          "its body has %zu inputs and %zu outputs (wanted %d inputs, at least %d outputs)",
                          formal, body->outputs.n, carried + 2, carried + 1);
    NORNI_TRY(one_element(c, 0, "M"));
    NORNI_TRY(one_element(c, 1, "cond"));
    NORNI_TRY(want_outputs(c, body->outputs.n - 1));
    for (size_t k = 0; k + 1 < body->outputs.n; k++) {
        norni_type t = outside(c, at->body, k + 1);
        if (k < (size_t)carried) {
            const norni_type *v = norni_in_type(c, (int)k + 2);
            if (v && v->dtype != NORN_UNDEFINED && t.dtype != NORN_UNDEFINED && v->dtype != t.dtype)
                return norni_fail(NORN_DTYPE, "carried value %zu: %s at first, then %s (wanted equal)", k,
                                  norni_dtype_name(v->dtype), norni_dtype_name(t.dtype));
            c->out[k] = v ? common(c->g, t, v) : t;
        } else {
            c->out[k] = (norni_type){.dtype = t.dtype, .rank = t.rank < 0 ? -1 : t.rank + 1};
            if (t.rank >= NORN_MAX_RANK)
                return norni_fail(NORN_UNSUPPORTED, "output %zu has rank %d (wanted at most %d)", k,
                                  t.rank + 1, NORN_MAX_RANK);
            for (int i = 0; i < t.rank; i++)
                c->out[k].dims[i + 1] = t.dims[i];
            if (t.rank >= 0)
                c->out[k].dims[0] = norni_dim_fresh(c->g);
        }
    }
    return NORN_OK;
}

static int64_t item(const norni_ints *v, int i) {
    return i < v->n ? v->v[i] : 0;
}

static norn_status scan_parts(const norn_node *node, int *states, int *scanned, int *outs) {
    const control_attrs *at = node->attrs;
    if (!at->body)
        return norni_fail(NORN_ARG, "attribute 'body' is missing");
    int own = norni_control_own(node);
    *scanned = (int)at->num_scan_inputs;
    *states = own - *scanned;
    *outs = (int)at->body->graph->outputs.n - *states;
    size_t formal = at->body->graph->inputs.n - (size_t)at->captured;
    if (at->num_scan_inputs < 1 || *states < 0 || *outs < 0 || formal != (size_t)own)
        return norni_fail(
            NORN_ARG, "its body has %zu inputs and %zu outputs (there are %d inputs, %lld of them scanned)",
            formal, at->body->graph->outputs.n, own, (long long)at->num_scan_inputs);
    return NORN_OK;
}

static norn_status infer_scan(norni_infer *c) {
    const control_attrs *at = c->attrs;
    int states, scanned, outs;
    norni_dim steps = norni_dim_fresh(c->g);
    NORNI_TRY(scan_parts(c->node, &states, &scanned, &outs));
    NORNI_TRY(want_outputs(c, (size_t)(states + outs)));
    for (int i = 0; i < scanned; i++) {
        const norni_type *x = norni_in_type(c, states + i);
        int axis;
        if (!x || x->rank < 0)
            continue;
        NORNI_TRY(norni_axis(item(&at->scan_input_axes, i), x->rank, &axis));
        if (x->dims[axis] >= 0 && steps >= 0 && x->dims[axis] != steps)
            return norni_fail(NORN_SHAPE, "scan input %d has %lld elements (wanted %lld, as the others)", i,
                              (long long)x->dims[axis], (long long)steps);
        if (steps < 0)
            steps = x->dims[axis];
    }
    for (int k = 0; k < states + outs; k++) {
        norni_type t = outside(c, at->body, (size_t)k),
                   y = {.dtype = t.dtype, .rank = t.rank < 0 ? -1 : t.rank + 1};
        int axis = 0;
        if (k < states) {
            const norni_type *v = norni_in_type(c, k);
            c->out[k] = v ? common(c->g, t, v) : t;
            continue;
        }
        if (y.rank > NORN_MAX_RANK)
            return norni_fail(NORN_UNSUPPORTED, "output %d has rank %d (wanted at most %d)", k, y.rank,
                              NORN_MAX_RANK);
        if (y.rank > 0)
            NORNI_TRY(norni_axis(item(&at->scan_output_axes, k - states), y.rank, &axis));
        for (int i = 0, from = 0; i < y.rank; i++)
            y.dims[i] = i == axis ? steps : t.dims[from++];
        c->out[k] = y;
    }
    return NORN_OK;
}

/* ---- Expansions. */
static bool known_int(norn_value *v, int64_t *out) {
    int n;
    return v && norni_value_ints(v, out, 1, &n) && n == 1;
}

/* A condition with known content: 1 or 0; -1: not known; an absent one is true. */
static int known_bool(norn_value *v) {
    int64_t x;
    if (!v)
        return 1;
    if (known_int(v, &x))
        return x != 0;
    if (v->kind != NORNI_CONST || !v->data || !norni_tensor_is_host(v->data) ||
        norni_type_elems(&v->type) != 1)
        return -1;
    return norni_get_int(v->type.dtype, norni_tensor_data(v->data), 0) != 0;
}

static norn_status expand_if(norn_graph *g, const norn_node *node, norn_value **out) {
    const control_attrs *at = node->attrs;
    int cond = known_bool(node->in[0]);
    if (cond >= 0)
        return inline_of(g, cond ? at->then_branch : at->else_branch, NULL, 0, node, out);
    /* Both, and a choice: when they are of one shape. */
    norn_value *a[32] = {0}, *b[32] = {0};
    NORNI_TRY(inline_of(g, at->then_branch, NULL, 0, node, a));
    NORNI_TRY(inline_of(g, at->else_branch, NULL, 0, node, b));
    norn_value *c = NORNI_OP2(g, node->in[0], norni_i64_const(g, 0, NULL), "Reshape");
    for (int k = 0; k < node->n_out; k++) {
        if (!node->out[k])
            continue;
        if (a[k] && b[k] && (a[k]->type.rank < 0 || !norni_type_equal(&a[k]->type, &b[k]->type)))
            return norni_fail(NORN_UNSUPPORTED,
                              "the condition is computed, and output %d has another shape in each "
                              "branch",
                              k);
        out[k] = NORNI_OP3(g, c, a[k], b[k], "Where");
    }
    return norn_graph_status(g);
}

static const norn_value *through_identity(const norn_value *v) {
    while (v->producer && !*v->producer->op->domain &&
           (!strcmp(v->producer->op->name, "Identity") || !strcmp(v->producer->op->name, "Cast")))
        v = v->producer->in[0];
    return v;
}

bool norni_loop_goes_on(const norn_graph *body) {
    const norn_value *v = through_identity(body->outputs.v[0].value);
    return v == body->inputs.v[1] || (v->kind == NORNI_CONST && known_bool((norn_value *)v) == 1);
}

/* [1, ...] pieces side by side; without any, none of what the body would make. */
static norn_value *gather_up(norn_graph *g, int64_t n, norn_value **pieces, int axis, const norni_type *of) {
    if (n)
        return n == 1 ? pieces[0] : norni_opf(g, (int)n, pieces, "Concat<axis=%d>", axis);
    norni_type t = {.dtype = of->dtype, .rank = of->rank + 1};
    if (of->rank < 0 || of->dtype == NORN_UNDEFINED)
        return norni_graph_failed(g, norni_fail(NORN_UNSUPPORTED,
                                                "no iterations, and the rank of an output is not "
                                                "known"));
    for (int i = 0, from = 0; i < t.rank; i++) {
        int64_t size = i == axis ? 0 : of->dims[from++];
        t.dims[i] = size < 0 ? 0 : size;
    }
    return norni_fill_const(g, &t, 0);
}

static norn_status check_nodes(const norni_subgraph *body, int64_t times) {
    int64_t nodes = norni_subgraph_nodes(body) + 1;
    return times <= NORNI_UNROLL_NODES / nodes
               ? NORN_OK
               : norni_fail(NORN_UNSUPPORTED, "%lld iterations of %lld nodes (written out at most %d nodes)",
                            (long long)times, (long long)nodes, NORNI_UNROLL_NODES);
}

/* The body's condition is the true constant of its own, of the graph around it, or the one that it was given. */
static bool goes_on(const norn_node *node) {
    const norn_graph *body = norni_control_of(node)->body->graph;
    const norn_value *v = through_identity(body->outputs.v[0].value);
    int captured = (int)norni_control_of(node)->captured;
    for (int i = 0; i < captured; i++)
        if (v == body->inputs.v[body->inputs.n - (size_t)captured + (size_t)i])
            return node->in[node->n_in - captured + i] &&
                   known_bool(node->in[node->n_in - captured + i]) == 1;
    return norni_loop_goes_on(body);
}

/* How often it runs; fails where that is not known before it runs. */
static norn_status loop_times(const norn_node *node, int64_t *times) {
    norn_value *m = node->in[0], *cond = node->in[1];
    int first = known_bool(cond);
    *times = 0;
    if (first < 0 || (m && !known_int(m, times)) || (first && !goes_on(node)))
        return norni_fail(NORN_UNSUPPORTED, "how often it runs is only known when it runs");
    if (first && !m)
        return norni_fail(NORN_ARG, "its condition is always true, and there is no M: it has no end");
    if (!first || *times < 0)
        *times = 0;
    return check_nodes(norni_control_of(node)->body, *times);
}

static norn_status expand_loop(norn_graph *g, const norn_node *node, norn_value **out) {
    const control_attrs *at = node->attrs;
    const norn_graph *body = at->body->graph;
    int own = norni_control_own(node), carried = own > 2 ? own - 2 : 0, n_out = (int)body->outputs.n - 1;
    int64_t times;
    NORNI_TRY(loop_times(node, &times));
    norn_value **v = norni_arena_array(g->arena, (size_t)carried + 2, sizeof *v);
    norn_value **scanned = norni_arena_array(g->arena, (size_t)(times * n_out) + 1, sizeof *scanned);
    norn_value **got = norni_arena_array(g->arena, body->outputs.n, sizeof *got);
    if (!v || !scanned || !got)
        return norni_nomem();
    for (int i = 0; i < carried; i++)
        v[i + 2] = node->in[i + 2];
    norn_value *zero = norni_i64_const(g, 1, (int64_t[]){0});
    norni_type *types = norni_arena_array(g->arena, body->outputs.n, sizeof *types);
    if (!types)
        return norni_nomem();
    for (size_t i = 0; i < body->outputs.n; i++)
        types[i] = body->outputs.v[i].value->type;
    for (int64_t t = 0; t < times || (t == 0 && n_out > carried);
         t++) { /* without any: for the types alone */
        v[0] = norni_scalar_const(g, NORN_I64, (double)t);
        v[1] = norni_scalar_const(g, NORN_BOOL, 1);
        NORNI_TRY(inline_of(g, at->body, v, carried + 2, node, got));
        for (size_t i = 0; i < body->outputs.n; i++)
            types[i] = got[i]->type;
        for (int i = 0; i < n_out && times; i++)
            if (i < carried)
                v[i + 2] = got[i + 1];
            else if (i < node->n_out && node->out[i])
                scanned[i * times + t] = NORNI_OP2(g, got[i + 1], zero, "Unsqueeze");
    }
    for (int i = 0; i < node->n_out; i++)
        if (node->out[i])
            out[i] = i < carried ? v[i + 2] : gather_up(g, times, &scanned[i * times], 0, &types[i + 1]);
    return norn_graph_status(g);
}

static norn_status scan_times(const norn_node *node, int states, int scanned, int64_t *times) {
    const control_attrs *at = node->attrs;
    *times = -1;
    for (int i = 0; i < scanned; i++) {
        const norni_type *x = &node->in[states + i]->type;
        int axis;
        if (x->rank < 0)
            continue;
        NORNI_TRY(norni_axis(item(&at->scan_input_axes, i), x->rank, &axis));
        *times = x->dims[axis] >= 0 ? x->dims[axis] : *times;
    }
    if (*times < 0)
        return norni_fail(NORN_UNSUPPORTED, "the number of its steps is not known (bind the sizes first)");
    return check_nodes(at->body, *times);
}

static norn_status expand_scan(norn_graph *g, const norn_node *node, norn_value **out) {
    const control_attrs *at = node->attrs;
    const norn_graph *body = at->body->graph;
    int states, scanned, outs;
    int64_t times;
    NORNI_TRY(scan_parts(node, &states, &scanned, &outs));
    NORNI_TRY(scan_times(node, states, scanned, &times));
    norn_value **v = norni_arena_array(g->arena, (size_t)(states + scanned) + 1, sizeof *v);
    norn_value **pieces = norni_arena_array(g->arena, (size_t)(times * outs) + 1, sizeof *pieces);
    norn_value **got = norni_arena_array(g->arena, body->outputs.n + 1, sizeof *got);
    if (!v || !pieces || !got)
        return norni_nomem();
    for (int i = 0; i < states; i++)
        v[i] = node->in[i];
    for (int64_t t = 0; t < times; t++) {
        for (int i = 0; i < scanned; i++) {
            int64_t at_step = item(&at->scan_input_directions, i) ? times - 1 - t : t;
            v[states + i] =
                NORNI_OP2(g, node->in[states + i], norni_scalar_const(g, NORN_I64, (double)at_step),
                          "Gather<axis=%lld>", (long long)item(&at->scan_input_axes, i));
        }
        NORNI_TRY(inline_of(g, at->body, v, states + scanned, node, got));
        for (int i = 0; i < states; i++)
            v[i] = got[i];
        for (int i = 0; i < outs; i++) {
            int64_t at_step = item(&at->scan_output_directions, i) ? times - 1 - t : t;
            norn_value *axis = norni_i64_const(g, 1, (int64_t[]){item(&at->scan_output_axes, i)});
            if (states + i < node->n_out && node->out[states + i])
                pieces[i * times + at_step] = NORNI_OP2(g, got[states + i], axis, "Unsqueeze");
        }
    }
    for (int k = 0; k < node->n_out; k++) {
        if (!node->out[k])
            continue;
        if (k < states) {
            out[k] = v[k];
            continue;
        }
        const norni_type *of = &body->outputs.v[k].value->type;
        int axis = (int)item(&at->scan_output_axes, k - states);
        if (axis < 0 && of->rank >= 0)
            axis += of->rank + 1;
        out[k] = gather_up(g, times, &pieces[(k - states) * times], axis, of);
    }
    return norn_graph_status(g);
}

bool norni_control_unrolls(const norn_node *node) {
    int states, scanned, outs;
    int64_t times;
    if (node->op == &norni_op_If)
        return known_bool(node->in[0]) >= 0;
    if (node->op == &norni_op_Loop)
        return loop_times(node, &times) == NORN_OK;
    return scan_parts(node, &states, &scanned, &outs) == NORN_OK &&
           scan_times(node, states, scanned, &times) == NORN_OK;
}

/* x with so many zeros behind along its first axis. */
static norn_value *zeros_behind(norn_graph *g, norn_value *x, int64_t count) {
    int64_t pads[2 * NORN_MAX_RANK] = {0};
    if (!x || !count)
        return x;
    if (x->type.rank < 1)
        return norni_graph_failed(g, norni_fail(NORN_UNSUPPORTED, "the rank of an output is not known"));
    pads[x->type.rank] = count;
    return NORNI_OP2(g, x, norni_i64_const(g, 2 * x->type.rank, pads), "Pad");
}

/* Scan 8: each sample by itself, put together again; with sequence_lens, its first elements, and zeros behind. */
static norn_status raise_scan(norni_adapt *a) {
    norn_node *n = a->node;
    control_attrs *at = n->attrs;
    norn_graph *g = a->g;
    if (a->version >= 9)
        return NORN_OK;
    int64_t lens[NORNI_MAX_KNOWN];
    int n_lens = 0;
    if (n->n_in < 2 || (n->in[0] && !norni_value_ints(n->in[0], lens, NORNI_MAX_KNOWN, &n_lens)))
        return norni_fail(NORN_UNSUPPORTED, "opset 8 with sequence_lens that are no constants, or too many");
    int own = norni_control_own(n) - 1, scanned = (int)at->num_scan_inputs, states = own - scanned;
    norni_dim samples = n->in[1] && n->in[1]->type.rank > 0 ? n->in[1]->type.dims[0] : -1;
    if (samples < 0 || states < 0 || scanned < 1)
        return norni_fail(NORN_UNSUPPORTED, "opset 8 with a number of samples that is not known");
    if (samples > NORNI_UNROLL_NODES)
        return norni_fail(NORN_UNSUPPORTED, "opset 8 with %lld samples (wanted at most %d)",
                          (long long)samples, NORNI_UNROLL_NODES);
    norni_dim longest = n->in[own]->type.rank > 1 ? n->in[own]->type.dims[1] : -1;
    if (n->in[0] && (n_lens != samples || longest < 0))
        return norni_fail(NORN_SHAPE, "%d sequence_lens for %lld samples of %lld", n_lens, (long long)samples,
                          (long long)longest);
    for (int i = 0; i < n_lens; i++)
        if (lens[i] < 1 || lens[i] > longest)
            return norni_fail(NORN_ARG, "sequence_lens has %lld (wanted 1 to %lld)", (long long)lens[i],
                              (long long)longest);
    norni_control_attrs plain = *at;
    plain.scan_input_directions = at->directions;
    plain.directions = (norni_ints){-1, NULL};
    size_t n_out = at->body->graph->outputs.n;
    norn_value **pieces = norni_arena_array(g->arena, n_out * (size_t)samples + 1, sizeof *pieces);
    norn_value **in = norni_arena_array(g->arena, (size_t)n->n_in, sizeof *in);
    if (!pieces || !in)
        return norni_nomem();
    norn_value *zero = norni_i64_const(g, 1, (int64_t[]){0});
    for (int64_t b = 0; b < samples; b++) {
        for (int i = 0; i < n->n_in - 1; i++)
            in[i] = i < own ? NORNI_OP2(g, n->in[i + 1], norni_scalar_const(g, NORN_I64, (double)b),
                                        "Gather<axis=0>")
                            : n->in[i + 1];
        for (int i = states; i < own && n_lens; i++)
            in[i] = NORNI_OP3(g, in[i], zero, norni_i64_const(g, 1, &lens[b]), "Slice");
        norn_node *made = norni_apply(g, n->op, &plain, n->n_in - 1, in, a->wanted);
        for (size_t k = 0; made && k < n_out && k < 32; k++)
            if (a->wanted >> k & 1)
                pieces[k * (size_t)samples + (size_t)b] =
                    NORNI_OP2(g,
                              n_lens && (int)k >= states ? zeros_behind(g, made->out[k], longest - lens[b])
                                                         : made->out[k],
                              zero, "Unsqueeze");
    }
    for (size_t k = 0; k < n_out && k < 32; k++)
        if (a->wanted >> k & 1)
            a->out[k] = gather_up(g, samples, &pieces[k * (size_t)samples], 0,
                                  &at->body->graph->outputs.v[k].value->type);
    a->replaced = true;
    return norn_graph_status(g);
}

/* ---- Descriptors. */
static const norni_attr
    if_table[] = {NORNI_A(control_attrs, then_branch, GRAPH, .flags = NORNI_ATTR_OPTIONAL),
                  NORNI_A(control_attrs, else_branch, GRAPH, .flags = NORNI_ATTR_OPTIONAL), NORNI_A_END},
    loop_table[] = {NORNI_A(control_attrs, body, GRAPH, .flags = NORNI_ATTR_OPTIONAL), NORNI_A_END},
    scan_table[] = {
        NORNI_A(control_attrs, body, GRAPH, .flags = NORNI_ATTR_OPTIONAL),
        NORNI_A(control_attrs, num_scan_inputs, INT, .flags = NORNI_ATTR_REQUIRED, .lo = 1, .hi = 1024),
        NORNI_A_INTS(control_attrs, scan_input_axes, .since = 9),
        NORNI_A_INTS(control_attrs, scan_input_directions, .since = 9),
        NORNI_A_INTS(control_attrs, scan_output_axes, .since = 9),
        NORNI_A_INTS(control_attrs, scan_output_directions, .since = 9),
        NORNI_A(control_attrs, directions, INTS, .flags = NORNI_ATTR_OLD, .since = 9),
        NORNI_A_END};

#define CONTROL(id, text, vers, ...)                                                                         \
    const norn_op norni_op_##id = {.domain = "",                                                             \
                                   .name = #id,                                                              \
                                   .versions = vers,                                                         \
                                   .doc = text,                                                              \
                                   .attrs_bytes = sizeof(control_attrs),                                     \
                                   .control = true,                                                          \
                                   __VA_ARGS__}

CONTROL(If, "one of two subgraphs", ((const int[]){1, 11, 13, 16, 19, 21, 23, 24, 25, 0}), .attrs = if_table,
        .inputs = PARAMS({"cond", NORNI_NODIFF | NORNI_HOST, NORNI_BOOLS, 0},
                         {"captured", NORNI_OPT | NORNI_VARIADIC, NORNI_ALL, 0}),
        .outputs = PARAMS({"outputs", NORNI_VARIADIC, NORNI_ALL, 0}), .infer = infer_if, .expand = expand_if);
CONTROL(Loop, "a subgraph as often as a number and a condition say",
        ((const int[]){1, 11, 13, 16, 19, 21, 23, 24, 25, 0}), .attrs = loop_table,
        .inputs = PARAMS({"M", NORNI_OPT | NORNI_NODIFF | NORNI_HOST, NORNI_T(NORN_I64), 0},
                         {"cond", NORNI_OPT | NORNI_NODIFF | NORNI_HOST, NORNI_BOOLS, 0},
                         {"v_initial", NORNI_OPT | NORNI_VARIADIC, NORNI_ALL, 0}),
        .outputs = PARAMS({"v_final_and_scan_outputs", NORNI_VARIADIC, NORNI_ALL, 0}), .infer = infer_loop,
        .expand = expand_loop);
CONTROL(Scan, "a subgraph over the elements of sequences",
        ((const int[]){8, 9, 11, 16, 19, 21, 23, 24, 25, 0}), .attrs = scan_table,
        .inputs = PARAMS({"initial_state_and_scan_inputs", NORNI_OPT | NORNI_VARIADIC, NORNI_ALL, 0}),
        .outputs = PARAMS({"final_state_and_scan_outputs", NORNI_VARIADIC, NORNI_ALL, 0}),
        .raise = raise_scan, .infer = infer_scan, .expand = expand_scan);
