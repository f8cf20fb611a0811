/* SPDX-License-Identifier: Apache-2.0 */
/* If, Loop and Scan in another opset than that of their file, or without a file: their subgraphs are graphs (ops/control.h),
 * and are written as the graph around them is. A name that a subgraph makes is made nowhere around it. */
#include "export/onnx/export.h"
#include "graph/graph.h"
#include "ops/control.h"
#include <string.h>

bool norni_export_as_it_was(const norni_exporter *x, const norn_node *node) {
    bool has_proto = node->extra.bytes && node->type;
    return node->op == &norni_op_unknown ||
           (node->op->control && has_proto && x->opset == norn_model_opset(x->model));
}

/* ---- Choosing. */
static norn_status add_sub(norni_exporter *x, const norn_node *node, const char *attr,
                           const norni_subgraph *sub) {
    norni_rebuild copy = {.from =
                              sub->graph}; /* replacements are built in it; others may have the graph too */
    NORNI_TRY(norni_rebuild_run(&copy));
    norni_exporter *inner = norni_arena_alloc(x->arena, sizeof *inner);
    if (!inner || !NORNI_PUSH(&x->subs, ((norni_export_sub){node, attr, inner}))) {
        norn_graph_free(copy.to);
        return norni_nomem();
    }
    *inner = (norni_exporter){.model = x->model,
                              .g = copy.to,
                              .options = x->options,
                              .opset = x->opset,
                              .ir = x->ir,
                              .arena = x->arena,
                              .outer = x,
                              .formal = copy.to->inputs.n - (size_t)norni_control_of(node)->captured};
    norni_export_begin(inner);
    return norni_export_choose(inner);
}

/* What is refused within a subgraph, said outside it. */
static norn_status take_refusals(norni_exporter *x, const norni_export_sub *s) {
    for (size_t i = 0; i < s->x->refused.n; i++) {
        const char *name = s->node->name ? s->node->name : "";
        const char *line =
            norni_arena_printf(x->arena, "%s%s%s%s, %s: %s", *name ? "node '" : "", name, *name ? "' " : "",
                               s->node->op->name, s->attr, s->x->refused.v[i]);
        if (!line || !NORNI_PUSH(&x->refused, line))
            return norni_nomem();
    }
    s->x->refused.n = 0;
    for (size_t i = 0; i < s->x->changed.n; i++)
        if (!NORNI_PUSH(&x->changed, s->x->changed.v[i]))
            return norni_nomem();
    s->x->changed.n = 0;
    return NORN_OK;
}

norn_status norni_export_subgraphs(norni_exporter *x, const norn_node *node) {
    size_t first = x->subs.n;
    for (const norni_attr *a = node->op->attrs; a->name; a++) {
        norni_attr_value v;
        if (a->kind == NORNI_ATTR_GRAPH && norni_attr_get(a, node->attrs, &v) && v.g)
            NORNI_TRY(add_sub(x, node, a->name, v.g));
    }
    for (size_t i = first; i < x->subs.n; i++)
        NORNI_TRY(take_refusals(x, &x->subs.v[i]));
    return NORN_OK;
}

/* ---- Writing. */
static norn_status put_constant(norni_exporter *x, norni_str *nodes, norni_str *graph, norn_value *v) {
    const char *name = norni_export_name(x, v);
    norni_extra kept;
    norni_str tensor = {0};
    if (!name)
        return norni_nomem();
    if (norni_export_was_constant(x, v, &kept))
        return norni_export_constant(x, nodes, name, v->data, &kept);
    bool more = norni_extra_find(v, NORNI_EXTRA_TENSOR, &kept);
    if (norni_export_is_sparse(x, v))
        return norni_export_sparse(graph, name, v->data, &kept);
    norn_status s = norni_export_tensor_text(&tensor, 0, name, v->data);
    if (s == NORN_OK && more)
        norni_str_addn(&tensor, kept.data, kept.bytes);
    if (s == NORN_OK)
        norni_wire_put_message(graph, 5, &tensor);
    norni_str_free(&tensor);
    return s;
}

static norn_status put_formal(norni_exporter *x, norni_str *out, norn_value *v) {
    norni_extra kept = {0};
    const char *name = norni_export_name(x, v);
    if (!name)
        return norni_nomem();
    norni_extra_find(v, NORNI_EXTRA_VALUE, &kept);
    return norni_export_value_info(x, out, 11, name, &v->type, &kept);
}

/* Documentation, metadata and the like of the subgraph as the file had it. */
static norn_status put_rest(norni_exporter *x, norni_str *out, const norn_node *node, const char *attr) {
    const norni_pb_node *p;
    norni_extra rest;
    if (!node->type || !node->extra.bytes)
        return NORN_OK;
    NORNI_TRY(norni_pb_unpack(&norni_onnx__node_proto__descriptor, x->arena, node->extra.data,
                              node->extra.bytes, &p));
    for (size_t i = 0; i < p->n_attribute; i++) {
        norni_pb_graph *g = p->attribute[i]->g;
        if (!g || strcmp(norni_pb_text(p->attribute[i]->name), attr) != 0)
            continue;
        g->name = NULL;
        g->n_node = g->n_initializer = g->n_input = g->n_output = g->n_value_info = 0;
        g->n_sparse_initializer = 0;
        NORNI_TRY(norni_pb_pack(g, x->arena, &rest));
        norni_str_addn(out, rest.data, rest.bytes);
        return NORN_OK;
    }
    return NORN_OK;
}

/* The fields of the GraphProto. What it reads from around it is marked there. */
static norn_status put_subgraph(const norni_export_sub *sub, norni_str *out) {
    norni_exporter *x = sub->x;
    norn_graph *g = x->g;
    size_t own = (size_t)norni_control_own(sub->node);
    norni_str nodes = {0}, tensors = {0};
    NORNI_TRY(norni_export_inner_names(x, sub->node));
    norn_status s = norni_export_nodes(x, &nodes);
    for (size_t i = x->formal; i < g->inputs.n && s == NORN_OK; i++)
        if (norni_export_is_read(x, g->inputs.v[i]))
            s = norni_export_read(x->outer, norni_export_value(x->outer, sub->node->in[own + i - x->formal]));
    for (size_t i = 0; i < g->values.n && s == NORN_OK; i++)
        if (g->values.v[i]->kind == NORNI_CONST && norni_export_is_read(x, g->values.v[i]))
            s = put_constant(x, out, &tensors, g->values.v[i]);
    norni_str_addn(out, nodes.s, nodes.n);
    norni_wire_put_string(out, 2, g->name && *g->name ? g->name : "graph");
    norni_str_addn(out, tensors.s, tensors.n);
    out->failed |= nodes.failed || tensors.failed;
    norni_str_free(&nodes);
    norni_str_free(&tensors);
    if (s == NORN_OK)
        s = put_rest(x, out, sub->node, sub->attr);
    for (size_t i = 0; i < x->formal && s == NORN_OK; i++)
        s = put_formal(x, out, g->inputs.v[i]);
    return s == NORN_OK ? norni_export_declarations(x, out) : s;
}

static norn_status put_graph_attr(norni_exporter *x, norni_str *text, const norn_node *node,
                                  const char *name) {
    norni_str attr = {0}, graph = {0};
    norn_status s = norni_fail(NORN_INTERNAL, "its subgraph '%s' was not prepared", name);
    for (size_t i = 0; i < x->subs.n; i++)
        if (x->subs.v[i].node == node && !strcmp(x->subs.v[i].attr, name)) {
            s = put_subgraph(&x->subs.v[i], &graph);
            break;
        }
    norni_wire_put_string(&attr, 1, name);
    norni_wire_put_message(&attr, 6, &graph);
    norni_wire_put_int(&attr, 20, NORNI_ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH);
    norni_wire_put_message(text, 5, &attr);
    norni_str_free(&graph);
    norni_str_free(&attr);
    return s;
}

norn_status norni_export_control(norni_exporter *x, norni_str *text, const norn_node *node) {
    NORNI_TRY(norni_export_node_names(x, text, 1, norni_control_own(node), node->in));
    NORNI_TRY(norni_export_node_names(x, text, 2, node->n_out, node->out));
    norni_wire_put_string(text, 3, node->name);
    norni_wire_put_string(text, 4, node->op->name);
    for (const norni_attr *a = node->op->attrs; a->name; a++) {
        norni_attr_value v;
        if (!norni_attr_get(a, node->attrs, &v))
            continue;
        NORNI_TRY(a->kind == NORNI_ATTR_GRAPH ? put_graph_attr(x, text, node, a->name)
                                              : norni_export_attr(text, a->name, &v));
    }
    const uint8_t *p = node->extra.data, *end = p ? p + node->extra.bytes : NULL;
    norni_wire_field f;
    while (norni_wire_next(&p, end, &f)) /* documentation and the like */
        if (f.number > 5 && f.number != 7)
            norni_str_addn(text, (const char *)f.start, (size_t)(p - f.start));
    return NORN_OK;
}
