/* SPDX-License-Identifier: Apache-2.0 */
/* If, Loop and SequenceMap over sequences and optionals, in a model that is read for what its inputs hold: the branch that is
 * taken, or every iteration, as nodes of the graph around. Sources: ONNX If-25, Loop-25, SequenceMap-17. */
#include "export/onnx/import.h"
#include <string.h>

enum { MAX_ITEMS = 32, MAX_ITERATIONS = 1024 };

static const norni_pb_graph *body_of(norni_scope *sc, const norni_pb_node *n, const char *name) {
    for (size_t i = 0; i < n->n_attribute; i++) {
        const norni_pb_attr *a = norni_scope_attr(sc, n->attribute[i]);
        if (a && a->g && !strcmp(norni_pb_text(a->name), name))
            return a->g;
    }
    return NULL;
}

static const char *prefix_of(norni_scope *sc, const norni_pb_node *n, int64_t i) {
    const char *call = *norni_pb_text(n->name) ? n->name : n->n_output ? n->output[0] : "";
    return norni_arena_printf(sc->imp->scratch, "%s%s/%lld/", sc->prefix, call, (long long)i);
}

/* One element of a sequence is an item like any other. */
static norni_item element(const norni_list *l, int i) {
    return (norni_item){l->v[i], NULL};
}

static norn_status run_body(norni_scope *sc, const norni_pb_node *n, const norni_pb_graph *p, int64_t i,
                            size_t n_in, const norni_item *in, const norni_captures *captures,
                            norni_item *out) {
    const char *prefix = prefix_of(sc, n, i);
    return prefix ? norni_import_body(sc, p, prefix, n_in, in, captures, out) : norni_nomem();
}

static norn_status take_branch(norni_scope *sc, const norni_pb_node *n, const norni_captures *captures,
                               norni_item *out) {
    norn_value *cond = n->n_input ? norni_scope_item(sc, n->input[0]).v : NULL;
    int64_t taken;
    int one;
    if (!cond || !norni_known_ints(sc->imp, cond, &taken, 1, &one) || one != 1)
        return norni_fail(NORN_UNSUPPORTED, "which branch is taken does not follow from the inputs");
    const norni_pb_graph *p = body_of(sc, n, taken ? "then_branch" : "else_branch");
    if (!p || p->n_output != n->n_output)
        return norni_fail(NORN_PARSE, "the branch has %zu outputs (wanted %zu)", p ? p->n_output : 0,
                          n->n_output);
    return run_body(sc, n, p, 0, 0, NULL, captures, out);
}

/* ---- Loop. */
static norn_status known_flag(norni_scope *sc, norn_value *v, bool *on) {
    int64_t x = 1;
    int one = 1;
    if (v && (!norni_known_ints(sc->imp, v, &x, 1, &one) || one != 1))
        return norni_fail(NORN_UNSUPPORTED, "how often it runs does not follow from the inputs");
    *on = x != 0;
    return NORN_OK;
}

static norn_status stack_up(norni_scope *sc, norni_list *l, norni_item *out) {
    norn_graph *g = sc->imp->g;
    norn_value *axis = norni_i64_const(g, 1, (int64_t[]){0});
    if (!l->n)
        return norni_fail(NORN_UNSUPPORTED, "no iteration, and an output that would be made of them");
    for (int i = 0; i < l->n; i++)
        l->v[i] = NORNI_OP2(g, l->v[i], axis, "Unsqueeze");
    *out = (norni_item){norni_opf(g, l->n, l->v, "Concat<axis=0>"), NULL};
    return norn_graph_status(g);
}

static norn_status run_loop(norni_scope *sc, const norni_pb_node *n, const norni_captures *captures,
                            norni_item *out) {
    const norni_pb_graph *p = body_of(sc, n, "body");
    size_t carried = n->n_input > 2 ? n->n_input - 2 : 0;
    norni_item item[MAX_ITEMS] = {0}, made[MAX_ITEMS] = {0};
    norni_list *scans[MAX_ITEMS] = {0};
    norn_value *m = n->n_input ? norni_scope_item(sc, n->input[0]).v : NULL;
    norn_value *cond = n->n_input > 1 ? norni_scope_item(sc, n->input[1]).v : NULL;
    int64_t times = MAX_ITERATIONS;
    int one;
    bool on;
    if (!p || p->n_input != carried + 2 || p->n_output != n->n_output + 1 || p->n_output >= MAX_ITEMS ||
        n->n_output < carried || p->n_input >= MAX_ITEMS)
        return norni_fail(NORN_PARSE, "the body has %zu inputs and %zu outputs (the node %zu and %zu)",
                          p ? p->n_input : 0, p ? p->n_output : 0, n->n_input, n->n_output);
    if (m && (!norni_known_ints(sc->imp, m, &times, 1, &one) || one != 1))
        return norni_fail(NORN_UNSUPPORTED, "how often it runs does not follow from the inputs");
    if (m && times > MAX_ITERATIONS)
        return norni_fail(NORN_UNSUPPORTED, "%lld iterations (written out at most %d)", (long long)times,
                          MAX_ITERATIONS);
    NORNI_TRY(known_flag(sc, cond, &on));
    item[1] = (norni_item){cond ? cond : norni_scalar_const(sc->imp->g, NORN_BOOL, 1), NULL};
    for (size_t i = 0; i < carried; i++)
        item[i + 2] = norni_scope_item(sc, n->input[i + 2]);
    for (size_t k = carried; k < n->n_output; k++)
        if (!(scans[k] = norni_list_new(sc, (int)(times > 0 ? times : 0))))
            return norni_nomem();
        else
            scans[k]->n = 0;
    for (int64_t i = 0; on && i < times; i++) {
        item[0] = (norni_item){norni_scalar_const(sc->imp->g, NORN_I64, (double)i), NULL};
        NORNI_TRY(run_body(sc, n, p, i, carried + 2, item, captures, made));
        for (size_t k = 0; k <= n->n_output; k++)
            if (k > carried) {
                if (!made[k].v)
                    return norni_fail(NORN_UNSUPPORTED, "output %zu of the body is no tensor", k);
                scans[k - 1]->v[scans[k - 1]->n++] = made[k].v;
            } else
                item[k + 1] = made[k];
        NORNI_TRY(known_flag(sc, item[1].v, &on));
        if (!m && on && i + 1 == times)
            return norni_fail(NORN_UNSUPPORTED, "more than %d iterations", MAX_ITERATIONS);
    }
    for (size_t k = 0; k < n->n_output; k++)
        if (k < carried)
            out[k] = item[k + 2];
        else if (*n->output[k])
            NORNI_TRY(stack_up(sc, scans[k], &out[k]));
    return NORN_OK;
}

/* ---- SequenceMap: the body for each element; tensors beside the sequences are the same for all. */
static norn_status run_map(norni_scope *sc, const norni_pb_node *n, const norni_captures *captures,
                           norni_item *out) {
    const norni_pb_graph *p = body_of(sc, n, "body");
    norni_item in[MAX_ITEMS], made[MAX_ITEMS] = {0}, one[MAX_ITEMS];
    if (!p || p->n_output != n->n_output || n->n_input >= MAX_ITEMS || p->n_output >= MAX_ITEMS)
        return norni_fail(NORN_PARSE, "the body has %zu outputs (wanted %zu)", p ? p->n_output : 0,
                          n->n_output);
    for (size_t i = 0; i < n->n_input; i++)
        in[i] = norni_scope_item(sc, n->input[i]);
    if (!n->n_input || !in[0].list)
        return norni_fail(NORN_UNSUPPORTED, "how long the sequence is does not follow from the inputs");
    int length = in[0].list->n;
    for (size_t k = 0; k < n->n_output; k++)
        if (!(out[k].list = norni_list_new(sc, length)))
            return norni_nomem();
    for (int i = 0; i < length; i++) {
        for (size_t k = 0; k < n->n_input; k++) {
            if (in[k].list && in[k].list->n != length)
                return norni_fail(NORN_ARG, "sequences of %d and %d elements", length, in[k].list->n);
            one[k] = in[k].list ? element(in[k].list, i) : in[k];
        }
        NORNI_TRY(run_body(sc, n, p, i, n->n_input, one, captures, made));
        for (size_t k = 0; k < n->n_output; k++)
            if (!(out[k].list->v[i] = made[k].v))
                return norni_fail(NORN_UNSUPPORTED, "output %zu of the body is no tensor", k);
    }
    return NORN_OK;
}

/* ---- Which ones. */
static bool has_lists(const norni_scope *sc, const norni_pb_node *n, const norni_captures *captures) {
    for (size_t i = 0; i < n->n_input + captures->n; i++) {
        norni_item item = norni_scope_item(sc, i < n->n_input ? n->input[i] : captures->v[i - n->n_input]);
        if (item.list || (!item.v && i >= n->n_input))
            return true;
    }
    return false;
}

static bool makes_lists(const norni_pb_graph *p) {
    for (size_t i = 0; p && i < p->n_output; i++)
        if (norni_import_form(p->output[i]->type) != NORN_FORM_TENSOR)
            return true;
    for (size_t i = 0; p && i < p->n_node; i++)
        if (!strncmp(norni_pb_text(p->node[i]->op_type), "Sequence", 8) ||
            !strncmp(norni_pb_text(p->node[i]->op_type), "Optional", 8))
            return true;
    return false;
}

norn_status norni_import_unrolled(norni_scope *sc, const norni_pb_node *n, const norni_captures *captures,
                                  const char *where, bool *done) {
    const char *type = norni_pb_text(n->op_type);
    norni_item out[MAX_ITEMS] = {0};
    norn_status s;
    *done = false;
    if (!norni_reads_contents(sc->imp) || *norni_pb_domain(n->domain) || n->n_output > MAX_ITEMS)
        return NORN_OK;
    bool map = !strcmp(type, "SequenceMap"), branch = !strcmp(type, "If");
    if (!map && !branch && strcmp(type, "Loop") != 0)
        return NORN_OK;
    if (!map && !has_lists(sc, n, captures) &&
        !makes_lists(body_of(sc, n, branch ? "then_branch" : "body")) &&
        !(branch && makes_lists(body_of(sc, n, "else_branch"))))
        return NORN_OK;
    s = map      ? run_map(sc, n, captures, out)
        : branch ? take_branch(sc, n, captures, out)
                 : run_loop(sc, n, captures, out);
    for (size_t k = 0; k < n->n_output && s == NORN_OK; k++) {
        if (!*n->output[k])
            continue;
        norni_name *entry = norni_table_add(&sc->values, n->output[k], NULL);
        if (!entry)
            s = norni_nomem();
        else if (out[k].list)
            s = norni_scope_add_list(sc, n->output[k], out[k].list);
        else if (out[k].v)
            s = norni_scope_bind(sc, n->output[k], out[k].v, where);
    }
    *done = s == NORN_OK;
    return norni_prefix(s, "%s %s", where, type);
}
