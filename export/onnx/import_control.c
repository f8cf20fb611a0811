/* SPDX-License-Identifier: Apache-2.0 */
/* If, Loop and Scan: their subgraphs become graphs of their own, which read what is around them as inputs behind their
 * formal ones (ops/control.h). */
#include "export/onnx/import.h"
#include "ops/control.h"
#include <limits.h>
#include <string.h>

/* Constants that may be shapes are known within the subgraph too. */
static bool is_small(const norn_value *v) {
    return v->kind == NORNI_CONST && norni_dtype_is_int(v->type.dtype) &&
           norni_type_elems(&v->type) <= NORNI_MAX_KNOWN;
}

/* blind: without what is known of it. */
static norn_status add_capture(norni_scope *sub, const char *name, const norn_value *outer, bool blind) {
    norn_graph *g = sub->imp->g;
    norni_type t = blind ? (norni_type){.dtype = outer->type.dtype, .rank = -1} : outer->type;
    for (int i = 0; i < t.rank; i++)
        t.dims[i] = norni_dim_import(g, outer->graph, t.dims[i]);
    norn_value *v = norni_value_input(g, name, &t);
    if (v && is_small(outer) && !blind)
        v = norni_value_const(g, NULL, norni_tensor_ref(outer->data));
    norni_name *entry = norni_table_add(&sub->values, name, NULL);
    if (!v || !entry)
        return v ? norni_nomem() : norn_graph_status(g);
    entry->p = v;
    return NORN_OK;
}

/* given: the element type of what the node gives it, in place of a declaration. */
static norn_status add_formal(norni_scope *sub, const norni_pb_value *p, norn_dtype given) {
    norn_graph *g = sub->imp->g;
    norni_type t;
    bool whole;
    const char *name = norni_pb_text(p->name);
    NORNI_TRY(norni_import_type(sub->imp, p->type, &t, &whole));
    if (t.dtype == NORN_UNDEFINED && whole)
        t = (norni_type){.dtype = given, .rank = -1};
    norn_value *v = norni_value_input(g, name, &t);
    norni_name *entry = norni_table_add(&sub->values, name, NULL);
    if (!v || !entry)
        return v ? norni_nomem() : norn_graph_status(g);
    entry->p = v;
    return NORN_OK;
}

/* given: values for the first formal inputs. */
typedef struct {
    norn_value *const *v;
    size_t n;
} given_values;

static norn_status fill(norni_scope *sub, const norni_pb_graph *p, const norni_scope *outer,
                        const given_values *given, const norni_captures *captures, bool blind) {
    norn_graph *g = sub->imp->g;
    NORNI_TRY(norni_scope_declare(sub, p));
    for (size_t i = 0; i < p->n_input; i++)
        NORNI_TRY(add_formal(sub, p->input[i],
                             i < given->n && given->v[i] ? given->v[i]->type.dtype : NORN_UNDEFINED));
    for (size_t i = 0; i < captures->n; i++) {
        norn_value *v = norni_scope_value(outer, captures->v[i]);
        if (!v || v == NORNI_NONE)
            return norni_fail(NORN_PARSE, "'%s', which it reads, is made by nothing around it",
                              captures->v[i]);
        NORNI_TRY(add_capture(sub, captures->v[i], v, blind));
    }
    for (size_t i = 0; i < p->n_initializer; i++)
        NORNI_TRY(norni_import_initializer(sub, p->initializer[i], NULL));
    for (size_t i = 0; i < p->n_sparse_initializer; i++)
        NORNI_TRY(norni_import_initializer(sub, p->sparse_initializer[i]->values, p->sparse_initializer[i]));
    NORNI_TRY(norni_scope_nodes(sub, p->n_node, p->node));
    for (size_t i = 0; i < p->n_output; i++) {
        norn_value *v = norni_scope_value(sub, norni_pb_text(p->output[i]->name));
        norni_output o = {norni_arena_printf(g->arena, "out%zu", i), v, {0}};
        if (!v || v == NORNI_NONE)
            return norni_fail(NORN_PARSE, "output '%s': nothing makes it", norni_pb_text(p->output[i]->name));
        if (!o.name || !NORNI_PUSH(&g->outputs, o))
            return norni_nomem();
    }
    return norn_graph_status(g);
}

/* What norn can run: no operators that it lacks, no values that it has no storage for. */
static bool can_run(norn_model *m, const norn_graph *g) {
    for (size_t i = 0; i < g->nodes.n; i++)
        if (g->nodes.v[i]->op == &norni_op_unknown) {
            norni_model_warn(m, "subgraph '%s': norn does not have its operator %s", g->name,
                             g->nodes.v[i]->type);
            return false;
        }
    for (size_t i = 0; i < g->inputs.n; i++) {
        norn_dtype t = g->inputs.v[i]->type.dtype;
        if (t == NORN_UNDEFINED || norni_dtype_class(t) == NORNI_CLASS_NONE)
            return false;
    }
    for (size_t i = 0; i < g->outputs.n; i++) {
        norn_dtype t = g->outputs.v[i].value->type.dtype;
        if (t == NORN_UNDEFINED || norni_dtype_class(t) == NORNI_CLASS_NONE)
            return false;
    }
    return true;
}

static norn_status import_subgraph(norni_scope *sc, const norni_pb_graph *p, const given_values *given,
                                   const norni_captures *captures, bool blind, norni_subgraph **out,
                                   bool *runs) {
    norni_importer *imp = sc->imp;
    norn_graph *around = imp->g, *g;
    norni_table sizes = imp->sizes;
    *out = NULL;
    NORNI_TRY(norn_graph_new(norni_pb_text(p->name), &g));
    norni_scope sub = {.imp = imp,
                       .n_opsets = sc->n_opsets,
                       .opsets = sc->opsets,
                       .prefix = sc->prefix,
                       .function = sc->function,
                       .n_given = sc->n_given,
                       .given = sc->given,
                       .depth = sc->depth};
    imp->g = g;
    imp->sizes = (norni_table){0};
    norn_status s = fill(&sub, p, sc, given, captures, blind);
    norni_scope_drop_lists(&sub);
    norni_table_free(&imp->sizes);
    imp->sizes = sizes;
    imp->g = around;
    norni_table_free(&sub.values);
    norni_table_free(&sub.declared);
    norni_table_free(&sub.outputs);
    if (s != NORN_OK) {
        norn_graph_free(g);
        return s;
    }
    *runs = *runs && can_run(imp->model, g);
    return norni_subgraph_new(g, out);
}

static norn_status set_attrs(norni_scope *sc, const norni_pb_node *n, const norn_op *op, void *attrs,
                             const given_values *given, const norni_captures *captures, bool *runs) {
    norni_importer *imp = sc->imp;
    for (size_t i = 0; i < n->n_attribute && *runs; i++) {
        const norni_pb_attr *a = norni_scope_attr(sc, n->attribute[i]);
        norni_attr_value v = {.kind = NORNI_ATTR_GRAPH};
        norn_tensor *owned = NULL;
        norni_subgraph *sub = NULL;
        if (!a)
            continue;
        const char *name = norni_pb_text(a->name);
        norn_status s;
        if (a->g) {
            /* A branch that is not taken may make no sense with the shapes that there are. */
            s = import_subgraph(sc, a->g, given, captures, false, &sub, runs);
            if (s == NORN_SHAPE || s == NORN_ARG || s == NORN_UNSUPPORTED)
                s = import_subgraph(sc, a->g, given, captures, true, &sub, runs);
            s = norni_prefix(s, "attribute '%s'", name);
            v.g = sub;
        } else
            s = norni_import_attr(imp, a, &v, &owned);
        if (s == NORN_OK)
            s = norni_attrs_set(op, attrs, imp->scratch, name, &v);
        norn_tensor_free(owned);
        norni_subgraph_free(sub);
        NORNI_TRY(s);
    }
    ((norni_control_attrs *)attrs)->captured = (int64_t)captures->n;
    return NORN_OK;
}

static norn_status apply(norni_scope *sc, norn_node *node, int version, unsigned wanted, norn_value **out,
                         norn_node **made) {
    norn_graph *g = sc->imp->g;
    norni_adapt a = {
        .g = g, .version = (int)norni_scope_opset(sc, ""), .node = node, .out = out, .wanted = wanted};
    NORNI_TRY(norni_raise(&a, version));
    NORNI_TRY(norn_graph_status(g));
    if (a.replaced)
        return NORN_OK;
    norn_value **in = norni_arena_array(sc->imp->scratch, (size_t)node->n_in + 1, sizeof *in);
    if (!in)
        return norni_nomem();
    for (int i = 0; i < node->n_in; i++)
        in[i] = node->in[i] ? node->in[i] : NORNI_NONE;
    *made = norni_apply(g, node->op, node->attrs, node->n_in, in, wanted);
    NORNI_TRY(norn_graph_status(g));
    for (int k = 0; k < (*made)->n_out && k < 32; k++)
        out[k] = (*made)->out[k];
    return NORN_OK;
}

norn_status norni_import_control(norni_scope *sc, const norni_pb_node *n, const norni_captures *captures,
                                 unsigned wanted, const char *where, norn_value **out, norn_node **made,
                                 bool *done) {
    norni_importer *imp = sc->imp;
    const norn_op *op = norni_op_find(norni_pb_domain(n->domain), norni_pb_text(n->op_type));
    int64_t opset = op ? norni_scope_opset(sc, "") : 0;
    int version = op && op->control ? norni_op_version(op, opset < INT_MAX ? (int)opset : INT_MAX) : 0;
    *done = false;
    *made = NULL;
    if (!version)
        return NORN_OK;
    /* A loop may leave out both of its first inputs. */
    size_t own = op == &norni_op_Loop && n->n_input < 2 ? 2 : n->n_input, n_in = own + captures->n;
    norn_node node = {.graph = imp->g, .op = op, .n_in = (int)n_in, .n_out = (int)n->n_output};
    node.in = norni_arena_array(imp->scratch, n_in + NORNI_RAISE_ROOM, sizeof *node.in);
    node.out = norni_arena_array(imp->scratch, 32, sizeof *node.out);
    node.attrs = norni_arena_alloc(imp->scratch, op->attrs_bytes);
    if (!node.in || !node.out || !node.attrs)
        return norni_nomem();
    for (size_t i = 0; i < n_in; i++) {
        norn_value *v = i < n->n_input ? norni_scope_value(sc, n->input[i])
                        : i < own      ? NORNI_NONE
                                       : norni_scope_value(sc, captures->v[i - own]);
        if (v && v != NORNI_NONE &&
            (v->type.dtype == NORN_UNDEFINED || norni_dtype_class(v->type.dtype) == NORNI_CLASS_NONE))
            return NORN_OK;
        node.in[i] = v == NORNI_NONE ? NULL : v;
    }
    norni_attrs_default(op, node.attrs);
    bool runs = true;
    bool lens = op == &norni_op_Scan && version < 9; /* an input in front of those of the body */
    given_values given = {node.in + (lens && own), op == &norni_op_If ? 0 : own - (lens && own)};
    norn_status s = set_attrs(sc, n, op, node.attrs, &given, captures, &runs);
    if (s == NORN_OK && runs) {
        s = apply(sc, &node, version, wanted, out, made);
        *done = s == NORN_OK;
    }
    norni_attrs_release(op, node.attrs);
    return s == NORN_OK ? s : norni_prefix(s, "%s %s", where, op->name);
}
