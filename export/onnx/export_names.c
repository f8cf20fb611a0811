/* SPDX-License-Identifier: Apache-2.0 */
/* Names of values in a file: those of the graph as far as they are unique, and made-up ones for the rest. Inputs keep
 * theirs, outputs get those that the graph gives them, and names that subgraphs read stay. */
#include "export/onnx/export.h"
#include "ops/control.h"
#include <stdio.h>
#include <string.h>

norn_status norni_export_captures(norni_exporter *x, const norn_node *node, norni_captures *out,
                                  size_t *own) {
    *out = (norni_captures){0};
    *own = (size_t)node->n_in;
    if (!node->extra.bytes)
        return NORN_OK;
    const norni_pb_node *p;
    NORNI_TRY(norni_pb_unpack(&norni_onnx__node_proto__descriptor, x->arena, node->extra.data,
                              node->extra.bytes, &p));
    NORNI_TRY(norni_captures_find(p, x->arena, out, &x->inner));
    if (out->n > (size_t)node->n_in)
        return norni_fail(NORN_INTERNAL, "node '%s' %s: %d inputs (its subgraphs read %zu values)",
                          node->name ? node->name : "", node->type, node->n_in, out->n);
    *own = out->n ? (size_t)node->n_in - out->n : (size_t)node->n_in;
    return NORN_OK;
}

static norn_status room(norni_exporter *x) {
    while (x->names.n < x->g->values.n)
        if (!NORNI_PUSH(&x->names, NULL))
            return norni_nomem();
    return NORN_OK;
}

/* A subgraph may not make a name again that the graphs around it have, nor these one that it has. */
static norn_status reserve(norni_exporter *x, const norn_value *v, const char *name, bool *done) {
    *done = false;
    for (const norni_exporter *o = x->outer; o; o = o->outer)
        if (norni_table_find(&o->taken, name))
            return NORN_OK;
    norni_name *n = norni_table_add(&x->taken, name, done);
    for (norni_exporter *o = x->outer; n && *done && o; o = o->outer)
        if (!norni_table_add(&o->inner, name, NULL))
            n = NULL;
    if (!n)
        return norni_nomem();
    if (*done)
        n->p = (void *)v;
    return NORN_OK;
}

/* Gives v a name that nobody has yet; *done is false when somebody has. */
static norn_status claim(norni_exporter *x, const norn_value *v, const char *name, bool *done) {
    NORNI_TRY(reserve(x, v, name, done));
    if (*done)
        x->names.v[v->id] = name;
    return NORN_OK;
}

/* A name for a value that has none, or one that is taken: "Relu_12", "w_2". */
static norn_status invent(norni_exporter *x, const norn_value *v) {
    char id[24];
    const char *base = v->name, *type = v->producer              ? v->producer->op->name
                                        : v->kind == NORNI_CONST ? "const"
                                                                 : "value";
    snprintf(id, sizeof id, "%d", v->id);
    for (size_t i = 2;; i++) {
        const char *name = base     ? norni_arena_printf(x->arena, "%s_%zu", base, i)
                           : i == 2 ? norni_arena_printf(x->arena, "%s_%s", type, id)
                                    : norni_arena_printf(x->arena, "%s_%s_%zu", type, id, i);
        bool done = false;
        if (!name)
            return norni_nomem();
        if (norni_table_find(&x->inner, name))
            continue;
        NORNI_TRY(claim(x, v, name, &done));
        if (done)
            return NORN_OK;
    }
}

static bool is_output_name(const norni_exporter *x, const char *name) {
    norni_name *n = norni_table_find(&x->taken, name);
    return n && n->i;
}

/* Outputs: their names are reserved, then given to the values behind them where these are free to take them. */
static norn_status name_outputs(norni_exporter *x) {
    const norn_graph *g = x->g;
    for (size_t i = 0; i < g->outputs.n; i++) {
        const norni_output *o = &g->outputs.v[i];
        const norn_value *v = norni_export_value(x, o->value);
        norni_name *n = norni_table_add(&x->taken, o->name, NULL);
        if (!n)
            return norni_nomem();
        if (n->i)
            return norni_fail(NORN_ARG, "output '%s': there are two of this name", o->name);
        if (n->p && n->p != v)
            return norni_fail(NORN_ARG, "output '%s': an input has this name already", o->name);
        n->i = i + 1;
    }
    for (size_t i = 0; i < g->outputs.n; i++) {
        const norni_output *o = &g->outputs.v[i];
        const norn_value *v = norni_export_value(x, o->value);
        bool same = v->name && !strcmp(v->name, o->name);
        /* A value with an output's name of its own keeps that; initialisers keep theirs. */
        bool free_to_take = v->kind == NORNI_RESULT && !(v->name && is_output_name(x, v->name));
        if (!x->names.v[v->id] && (same || free_to_take)) {
            norni_table_find(&x->taken, o->name)->p = (void *)v;
            x->names.v[v->id] = o->name;
        }
    }
    return NORN_OK;
}

/* Names that subgraphs read belong to the values behind them, when these are still free. */
static norn_status name_captured(norni_exporter *x) {
    for (size_t i = 0; i < x->nodes.n; i++) {
        norn_node *node = x->nodes.v[i];
        norni_captures c;
        size_t own;
        if (!norni_export_as_it_was(x, node))
            continue;
        NORNI_TRY(norni_export_captures(x, node, &c, &own));
        for (size_t k = 0; k < c.n; k++) {
            const norn_value *v = norni_export_value(x, node->in[own + k]);
            bool done;
            if (v && !x->names.v[v->id])
                NORNI_TRY(claim(x, v, c.v[k], &done));
        }
    }
    return NORN_OK;
}

norn_status norni_export_names(norni_exporter *x) {
    const norn_graph *g = x->g;
    bool done;
    NORNI_TRY(room(x));
    for (size_t i = 0; i < g->inputs.n; i++) {
        const norn_value *v = g->inputs.v[i];
        if (!v->name)
            continue;
        NORNI_TRY(claim(x, v, v->name, &done));
        if (!done)
            return norni_fail(NORN_ARG, "input '%s': there are two of this name", v->name);
    }
    NORNI_TRY(name_outputs(x));
    NORNI_TRY(name_captured(x));
    /* Then every value that keeps its own name, so that no invented one comes before it. */
    for (size_t i = 0; i < g->values.n; i++) {
        const norn_value *v = g->values.v[i];
        if (v->name && !x->names.v[i] && norni_export_value(x, (norn_value *)v) == v)
            NORNI_TRY(claim(x, v, v->name, &done));
    }
    return NORN_OK;
}

/* ---- Subgraphs. A value that is an output and cannot have the name for itself alone: the output's is another. */
static norn_status name_inner_output(norni_exporter *x, norni_output *o, size_t i) {
    norn_value *v = norni_export_value(x, o->value);
    bool done = false;
    if (v->kind == NORNI_RESULT && !x->names.v[v->id]) {
        if (v->name)
            NORNI_TRY(claim(x, v, v->name, &done));
        o->name = norni_export_name(x, v);
        done = true;
    }
    const char *base = v->name ? v->name : x->g->name && *x->g->name ? x->g->name : "out";
    for (size_t k = i; !done && o->name; k++) {
        o->name = norni_arena_printf(x->arena, "%s_out%zu", base, k);
        if (o->name && !norni_table_find(&x->inner, o->name))
            NORNI_TRY(reserve(x, v, o->name, &done));
    }
    if (!o->name)
        return norni_nomem();
    norni_table_find(&x->taken, o->name)->i = i + 1;
    return NORN_OK;
}

norn_status norni_export_inner_names(norni_exporter *x, const norn_node *node) {
    const norn_graph *g = x->g;
    size_t own = (size_t)norni_control_own(node);
    bool done;
    NORNI_TRY(room(x));
    for (size_t i = x->formal; i < g->inputs.n; i++)
        if (!(x->names.v[g->inputs.v[i]->id] =
                  norni_export_name(x->outer, norni_export_value(x->outer, node->in[own + i - x->formal]))))
            return norni_nomem();
    for (size_t i = 0; i < x->formal; i++) {
        norn_value *v = g->inputs.v[i];
        NORNI_TRY(v->name ? claim(x, v, v->name, &done) : NORN_OK);
        if (!norni_export_name(x, v))
            return norni_nomem();
    }
    for (size_t i = 0; i < g->outputs.n; i++)
        NORNI_TRY(name_inner_output(x, &g->outputs.v[i], i));
    NORNI_TRY(name_captured(x));
    for (size_t i = 0; i < g->values.n; i++) {
        const norn_value *v = g->values.v[i];
        if (v->name && !x->names.v[i] && norni_export_value(x, (norn_value *)v) == v)
            NORNI_TRY(claim(x, v, v->name, &done));
    }
    return NORN_OK;
}

const char *norni_export_name(norni_exporter *x, norn_value *v) {
    if (room(x) != NORN_OK || (!x->names.v[v->id] && invent(x, v) != NORN_OK))
        return NULL;
    return x->names.v[v->id];
}
