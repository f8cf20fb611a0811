/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes: NodeProto to nodes of the graph. */
#include "export/onnx/import.h"
#include <limits.h>
#include <string.h>

enum { MAX_OUTPUTS = 32 };

int64_t norni_scope_opset(const norni_scope *sc, const char *domain) {
    for (size_t i = 0; i < sc->n_opsets; i++)
        if (!strcmp(norni_pb_domain(sc->opsets[i]->domain), domain))
            return sc->opsets[i]->version;
    return 0;
}

norn_value *norni_scope_value(const norni_scope *sc, const char *name) {
    if (!*name)
        return NORNI_NONE;
    norni_name *n = norni_table_find(&sc->values, name);
    return n ? (n->p ? n->p : NORNI_NONE) : NULL;
}

/* Strings and complex numbers are known by name only. */
static bool workable(const norn_value *v) {
    return !v || v == NORNI_NONE || v->type.dtype == NORN_UNDEFINED ||
           norni_dtype_class(v->type.dtype) != NORNI_CLASS_NONE;
}

const norn_op *norni_scope_op(const norni_scope *sc, const norni_pb_node *n, int *version) {
    const char *domain = norni_pb_domain(n->domain);
    const norn_op *op = norni_op_find(domain, norni_pb_text(n->op_type));
    int64_t opset = op ? norni_scope_opset(sc, domain) : 0;
    *version = op ? norni_op_version(op, opset < INT_MAX ? (int)opset : INT_MAX) : 0;
    if (!*version || norni_has_subgraph(n))
        return NULL;
    for (size_t i = 0; i < n->n_input; i++)
        if (!workable(norni_scope_value(sc, n->input[i])))
            return NULL;
    return op;
}

/* ---- Names. */
static const char *unique_name(norni_scope *sc, const char *name) {
    norni_importer *imp = sc->imp;
    norni_arena *arena = imp->g->arena;
    if (!*sc->prefix) /* the file's own names were reserved first */
        return norni_arena_strdup(arena, name);
    const char *full = norni_arena_printf(arena, "%s%s", sc->prefix, name), *s = full;
    bool fresh = false;
    for (size_t i = 2; s; i++) {
        if (!norni_table_add(&imp->taken, s, &fresh))
            return NULL;
        if (fresh)
            break;
        s = norni_arena_printf(arena, "%s_%zu", full, i);
    }
    return s;
}

norn_status norni_scope_bind(norni_scope *sc, const char *name, norn_value *v, const char *where) {
    norni_importer *imp = sc->imp;
    norni_name *entry = norni_table_add(&sc->values, name, NULL);
    if (!entry)
        return norni_nomem();
    entry->p = v;
    if (!v->name && !(v->name = unique_name(sc, name)))
        return norni_nomem();
    norni_name *declared = norni_table_find(&sc->declared, name),
               *output = norni_table_find(&sc->outputs, name);
    if (declared) {
        norni_extra rest;
        NORNI_TRY(norni_refine(imp, v, declared->p, where));
        NORNI_TRY(norni_value_rest(imp, declared->p, &rest));
        if (!norni_extra_find(v, NORNI_EXTRA_VALUE, NULL))
            NORNI_TRY(norni_extra_add(v, NORNI_EXTRA_VALUE, &rest));
    }
    return output ? norni_refine(imp, v, output->p, where) : NORN_OK;
}

static norn_status bind_outputs(norni_scope *sc, const norni_pb_node *n, unsigned wanted,
                                norn_value *const *out, const char *where) {
    for (size_t k = 0; k < n->n_output; k++)
        if (wanted & 1u << k) {
            if (!out[k])
                return norni_fail(NORN_UNSUPPORTED, "%s %s: output %zu '%s' is not made by its newest form",
                                  where, norni_pb_text(n->op_type), k, n->output[k]);
            NORNI_TRY(norni_scope_bind(sc, n->output[k], out[k], where));
        }
    return NORN_OK;
}

static unsigned wanted_outputs(const norni_pb_node *n) {
    unsigned wanted = 0;
    for (size_t k = 0; k < n->n_output; k++)
        wanted |= *n->output[k] ? 1u << k : 0;
    return wanted;
}

/* Of those, the outputs that neither a node nor the scope's own outputs read. */
static unsigned unread_outputs(const norni_scope *sc, const norni_pb_node *n) {
    unsigned unread = 0;
    for (size_t k = 0; k < n->n_output; k++)
        unread |= *n->output[k] && !norni_table_find(sc->read, n->output[k]) &&
                          !norni_table_find(&sc->outputs, n->output[k])
                      ? 1u << k
                      : 0;
    return unread;
}

/* Every name that the nodes and the scope's outputs read. */
static norn_status find_read(const norni_scope *sc, size_t n, norni_pb_node *const *nodes,
                             const norni_captures *captures, norni_table *read) {
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < nodes[i]->n_input; k++)
            if (!norni_table_add(read, nodes[i]->input[k], NULL))
                return norni_nomem();
        for (size_t k = 0; k < captures[i].n; k++)
            if (!norni_table_add(read, captures[i].v[k], NULL))
                return norni_nomem();
    }
    for (size_t k = 0; sc->function && k < sc->function->n_output; k++)
        if (!norni_table_add(read, sc->function->output[k], NULL))
            return norni_nomem();
    return NORN_OK;
}

/* Name and what norn does not model of the node. */
static norn_status describe(norni_scope *sc, norn_node *made, const norni_pb_node *n) {
    norni_pb_node rest = *n;
    rest.n_input = rest.n_output = rest.n_attribute = 0;
    rest.name = rest.op_type = rest.domain = NULL;
    if (*norni_pb_text(n->name) &&
        !(made->name = norni_arena_printf(sc->imp->g->arena, "%s%s", sc->prefix, n->name)))
        return norni_nomem();
    return norni_pb_pack(&rest, sc->imp->g->arena, &made->extra);
}

/* The message of a failure, behind the node's name: it begins with the operator already. */
static norn_status at_node(norn_status s, const char *where) {
    return s == NORN_OK ? s : norni_fail(s, "%s %s", where, norn_error());
}

/* ---- Operators that norn has. */
static norn_status import_attrs(norni_scope *sc, const norni_pb_node *n, const norn_op *op, void *attrs,
                                const char *where) {
    uint64_t seen = 0;
    int opset = (int)norni_scope_opset(sc, norni_pb_domain(n->domain));
    for (size_t i = 0; i < n->n_attribute; i++) {
        const norni_pb_attr *a = norni_scope_attr(sc, n->attribute[i]);
        if (!a)
            continue;
        const char *name = norni_pb_text(a->name);
        norni_attr_value v;
        norn_tensor *owned;
        norn_status s = norni_import_attr(sc->imp, a, &v, &owned);
        if (s != NORN_OK)
            return norni_prefix(s, "%s %s: attribute '%s'", where, op->name, name);
        s = at_node(norni_attrs_set(op, attrs, sc->imp->scratch, name, &v), where);
        norn_tensor_free(owned);
        NORNI_TRY(s);
        const norni_attr *known = norni_attr_find(op, name);
        uint64_t bit = (uint64_t)1 << (known - op->attrs);
        if (seen & bit)
            return norni_fail(NORN_PARSE, "%s %s: attribute '%s' is given twice", where, op->name, name);
        if (known->flags & NORNI_ATTR_OLD && known->since && known->since <= opset)
            return norni_fail(NORN_ARG, "%s %s: attribute '%s' in opset %d (opset %d took it away)", where,
                              op->name, name, opset, known->since);
        if (!(known->flags & NORNI_ATTR_OLD) && known->since > opset)
            return norni_fail(NORN_ARG, "%s %s: attribute '%s' in opset %d (it is new in opset %d)", where,
                              op->name, name, opset, known->since);
        seen |= bit;
    }
    return at_node(norni_attrs_complete(op, seen), where);
}

/* The node, in its newest form, into the graph. */
static norn_status apply_known(norni_scope *sc, const norni_pb_node *n, norn_node *node, int version,
                               const char *where) {
    norni_importer *imp = sc->imp;
    norn_graph *g = imp->g;
    norn_value *out[MAX_OUTPUTS] = {0};
    size_t nodes_before = g->nodes.n;
    norni_adapt a = {.g = g,
                     .version = (int)norni_scope_opset(sc, norni_pb_domain(n->domain)),
                     .node = node,
                     .out = out,
                     .wanted = wanted_outputs(n),
                     .unread = unread_outputs(sc, n)};
    norn_status s = norni_raise(&a, version);
    if (s == NORN_OK)
        s = norn_graph_status(g);
    if (s == NORN_OK && !a.replaced) {
        norn_value **in = norni_arena_array(imp->scratch, (size_t)node->n_in, sizeof *in);
        if (!in)
            return norni_nomem();
        for (int i = 0; i < node->n_in; i++)
            in[i] = node->in[i] ? node->in[i] : NORNI_NONE;
        norn_node *made = norni_apply(g, node->op, node->attrs, node->n_in, in, a.wanted);
        s = norn_graph_status(g);
        for (int k = 0; made && k < made->n_out && k < MAX_OUTPUTS; k++)
            out[k] = made->out[k];
    }
    NORNI_TRY(at_node(s, where));
    norn_node *made = out[0] ? out[0]->producer : NULL;
    if (made && made->id >= (int)nodes_before && !made->name)
        NORNI_TRY(describe(sc, made, n));
    return bind_outputs(sc, n, a.wanted, out, where);
}

/* Some exporters fold constants in float where the operator's other inputs are of a smaller type (torch, for
 * convolutions with a BatchNormalization folded in): ONNX forbids it, the meaning is plain. */
static norn_status convert_constants(norni_scope *sc, norn_node *node, const char *where) {
    for (int i = 0; i < node->n_in; i++) {
        const norni_param *p = norni_op_input(node->op, i);
        norn_value *v = node->in[i];
        norn_dtype t = NORN_UNDEFINED;
        if (!p || !p->var || !norni_is_const(v) || norni_dtype_class(v->type.dtype) != NORNI_CLASS_FLOAT)
            continue;
        for (int k = 0; k < node->n_in && t == NORN_UNDEFINED; k++) {
            const norni_param *q = norni_op_input(node->op, k);
            if (q && q->var == p->var && node->in[k] && !norni_is_const(node->in[k]))
                t = node->in[k]->type.dtype;
        }
        if ((t != NORN_F16 && t != NORN_BF16) || t == v->type.dtype)
            continue;
        norni_model_warn(sc->imp->model,
                         "%s %s: input '%s' has type %s, and is converted to %s, as the other inputs", where,
                         node->op->name, p->name, norni_dtype_name(v->type.dtype), norni_dtype_name(t));
        if (!(node->in[i] = norni_cast(sc->imp->g, v, t)))
            return norn_graph_status(sc->imp->g);
    }
    return NORN_OK;
}

static norn_status import_known(norni_scope *sc, const norni_pb_node *n, const norn_op *op, int version,
                                const char *where) {
    norni_importer *imp = sc->imp;
    int opset = (int)norni_scope_opset(sc, norni_pb_domain(n->domain));
    norn_node node = {.graph = imp->g, .op = op, .n_in = (int)n->n_input, .n_out = (int)n->n_output};
    node.in = norni_arena_array(imp->scratch, n->n_input + NORNI_RAISE_ROOM, sizeof *node.in);
    node.out = norni_arena_array(imp->scratch, MAX_OUTPUTS, sizeof *node.out);
    node.attrs = norni_arena_alloc(imp->scratch, op->attrs_bytes);
    if (!node.in || !node.out || !node.attrs)
        return norni_nomem();
    for (size_t i = 0; i < n->n_input; i++) {
        norn_value *v = norni_scope_value(sc, n->input[i]);
        const norni_param *p = norni_op_input(op, (int)i);
        node.in[i] = v == NORNI_NONE ? NULL : v;
        if (node.in[i] && p && NORNI_SINCE_OF(p->flags) > opset)
            return norni_fail(NORN_ARG, "%s %s: input %zu '%s' in opset %d (it is new in opset %d)", where,
                              op->name, i, p->name, opset, NORNI_SINCE_OF(p->flags));
    }
    norni_attrs_default(op, node.attrs);
    norn_status s = import_attrs(sc, n, op, node.attrs, where);
    if (s == NORN_OK)
        s = convert_constants(sc, &node, where);
    if (s == NORN_OK)
        s = apply_known(sc, n, &node, version, where);
    norni_attrs_release(op, node.attrs);
    return s;
}

/* ---- Nodes that are kept as the file has them: operators that norn lacks, and those with subgraphs. */
static norn_status keep_proto(norni_scope *sc, const norni_pb_node *n, const norni_captures *captures,
                              norn_node *made, const char *where) {
    norni_importer *imp = sc->imp;
    norn_graph *g = imp->g;
    norni_pb_node copy = *n;
    copy.attribute = norni_arena_array(imp->scratch, n->n_attribute, sizeof *copy.attribute);
    if (!copy.attribute)
        return norni_nomem();
    copy.n_attribute = 0;
    for (size_t i = 0; i < n->n_attribute; i++) {
        const norni_pb_attr *a = norni_scope_attr(sc, n->attribute[i]);
        if (a)
            copy.attribute[copy.n_attribute++] = (norni_pb_attr *)a;
    }
    norni_function_keep(imp, n);
    const char *domain = norni_pb_domain(n->domain);
    made->domain = norni_arena_strdup(g->arena, domain);
    made->type = norni_arena_strdup(g->arena, n->op_type);
    if (!made->domain || !made->type)
        return norni_nomem();
    if (*norni_pb_text(n->name) && !(made->name = norni_arena_printf(g->arena, "%s%s", sc->prefix, n->name)))
        return norni_nomem();
    copy.name = (char *)made->name;
    NORNI_TRY(norni_prefix(norni_tensor_restore(&imp->tensors, &copy.base, imp->scratch), "%s %s", where,
                           made->type));
    norni_renames names = {.scope = sc, .captures = captures};
    norn_status s = norni_rename_begin(&names, &copy);
    if (s == NORN_OK)
        s = norni_pb_pack(&copy, g->arena, &made->extra);
    norni_rename_end(&names);
    return s;
}

static norn_status import_control(norni_scope *sc, const norni_pb_node *n, const norni_captures *captures,
                                  const char *where, bool *done) {
    norn_value *out[MAX_OUTPUTS] = {0};
    norn_node *made;
    NORNI_TRY(norni_import_control(sc, n, captures, wanted_outputs(n), where, out, &made, done));
    if (!*done)
        return NORN_OK;
    /* What a function has in another opset than the file's is not written as it is. */
    bool same = norni_scope_opset(sc, "") == norni_model_opset_of(sc->imp->model, "");
    if (made)
        NORNI_TRY(same ? keep_proto(sc, n, captures, made, where) : describe(sc, made, n));
    return bind_outputs(sc, n, wanted_outputs(n), out, where);
}

/* ---- Operators that norn lacks. */
/* A Constant that norn has no storage for: what is known of its type, so that who reads it is kept as well. */
static void constant_type(const norni_pb_attr *a, norni_type *t) {
    const char *name = norni_pb_text(a->name);
    bool list = !strcmp(name, "value_strings");
    if (list || !strcmp(name, "value_string")) {
        t->dtype = NORN_STRING;
        t->rank = list;
        t->dims[0] = list ? (norni_dim)a->n_strings : 0;
    } else if (a->t && norni_dtype_valid(a->t->data_type)) {
        t->dtype = (norn_dtype)a->t->data_type;
        t->rank = a->t->n_dims <= NORN_MAX_RANK ? (int)a->t->n_dims : -1;
        for (int i = 0; i < t->rank; i++)
            t->dims[i] = a->t->dims[i];
    }
}

static norn_status import_unknown(norni_scope *sc, const norni_pb_node *n, const norni_captures *captures,
                                  const char *where) {
    norni_importer *imp = sc->imp;
    norn_graph *g = imp->g;
    size_t n_in = n->n_input + captures->n;
    norn_value **in = norni_arena_array(imp->scratch, n_in, sizeof *in);
    if (!in)
        return norni_nomem();
    for (size_t i = 0; i < n_in; i++)
        in[i] = norni_scope_value(sc, i < n->n_input ? n->input[i] : captures->v[i - n->n_input]);
    norn_node *made = norni_apply(g, &norni_op_unknown, NULL, (int)n_in, in, wanted_outputs(n));
    if (!made)
        return at_node(norn_graph_status(g), where);
    const norni_pb_attr *first = n->n_attribute ? norni_scope_attr(sc, n->attribute[0]) : NULL;
    if (first && !*norni_pb_domain(n->domain) && !strcmp(n->op_type, "Constant") && made->out[0])
        constant_type(first, &made->out[0]->type);
    NORNI_TRY(keep_proto(sc, n, captures, made, where));
    return bind_outputs(sc, n, wanted_outputs(n), made->out, where);
}

/* An operator of norn's that is kept as it is: its attributes must be right all the same. */
static norn_status check_attrs(norni_scope *sc, const norni_pb_node *n, const norn_op *op,
                               const char *where) {
    void *attrs = norni_arena_alloc(sc->imp->scratch, op->attrs_bytes);
    if (!attrs)
        return norni_nomem();
    norni_attrs_default(op, attrs);
    norn_status s = import_attrs(sc, n, op, attrs, where);
    norni_attrs_release(op, attrs);
    return s;
}

/* A ZipMap makes a sequence of maps, which norn has not. As an output of the model its tensor stands for it; for any
 * other reader it stays an operator that norn lacks. */
static const norn_op *take_zip_map(norni_scope *sc, const norni_pb_node *n, const norn_op *op,
                                   const char *where) {
    norni_importer *imp = sc->imp;
    if (!op || strcmp(op->name, "ZipMap") != 0)
        return op;
    if (imp->g != imp->model->graph || n->n_output != 1 || norni_table_find(sc->read, n->output[0]))
        return NULL;
    norni_model_warn(imp->model,
                     "%s ZipMap: '%s' is a sequence of maps; norn gives the tensor, a column for each class",
                     where, n->output[0]);
    return op;
}

/* Operators that other nodes stand for; *done is false when it is none. */
static norn_status import_written_out(norni_scope *sc, const norni_pb_node *n, const norni_captures *captures,
                                      const char *where, bool *done) {
    const char *domain = norni_pb_domain(n->domain), *type = norni_pb_text(n->op_type);
    norn_value *out[MAX_OUTPUTS] = {0};
    norn_status s = NORN_OK;
    *done = true;
    if (!strcmp(domain, "ai.onnx.preview") && !strcmp(type, "FlexAttention"))
        s = norni_import_flex_attention(sc, n, captures, out);
    else if (!strcmp(domain, "ai.onnx.preview.training") && !strcmp(type, "Gradient"))
        s = norni_import_gradient(sc, n, out);
    else
        s = norni_import_ort(sc, n, out, done);
    return *done && s == NORN_OK ? bind_outputs(sc, n, wanted_outputs(n), out, where)
                                 : norni_prefix(s, "%s %s", where, type);
}

static norn_status import_node(norni_scope *sc, const norni_pb_node *n, size_t index,
                               const norni_captures *captures) {
    const char *where = norni_node_label(sc->imp->scratch, n, index), *domain = norni_pb_domain(n->domain);
    const char *type = norni_pb_text(n->op_type);
    int version;
    if (!*type)
        return norni_fail(NORN_PARSE, "%s: names no operator", where);
    if (!norni_scope_opset(sc, domain))
        return norni_fail(NORN_PARSE, "%s %s: the file imports no opset of domain '%s'", where, type, domain);
    if (n->n_output > MAX_OUTPUTS)
        return norni_fail(NORN_UNSUPPORTED, "%s %s: %zu outputs (wanted at most %d)", where, type,
                          n->n_output, MAX_OUTPUTS);
    if (n->n_input > INT_MAX / 2 || captures->n > INT_MAX / 2)
        return norni_fail(NORN_UNSUPPORTED, "%s %s: %zu inputs", where, type, n->n_input + captures->n);
    bool kept = false, done;
    NORNI_TRY(import_written_out(sc, n, captures, where, &done));
    if (done)
        return NORN_OK;
    NORNI_TRY(norni_import_unrolled(sc, n, captures, where, &done));
    if (done)
        return NORN_OK;
    if (!*domain && !strcmp(type, "Constant")) {
        NORNI_TRY(norni_import_constant(sc, n, where, &kept));
        return kept ? import_unknown(sc, n, captures, where) : NORN_OK;
    }
    if (norni_has_subgraph(n)) {
        NORNI_TRY(import_control(sc, n, captures, where, &done));
        if (done)
            return NORN_OK;
    }
    norn_value *element;
    norni_list *list;
    NORNI_TRY(norni_import_sequence(sc, n, where, &element, &list));
    if (element)
        return bind_outputs(sc, n, wanted_outputs(n), &element, where);
    if (list) {
        if (!norni_reads_contents(sc->imp))
            NORNI_TRY(import_unknown(sc, n, captures, where));
        else if (!norni_table_add(&sc->values, n->output[0], NULL))
            return norni_nomem();
        return norni_scope_add_list(sc, n->output[0], list);
    }
    const norn_op *has = norni_scope_op(sc, n, &version), *op = take_zip_map(sc, n, has, where);
    if (has && !op)
        NORNI_TRY(check_attrs(sc, n, has, where));
    NORNI_TRY(norni_prefix(norni_import_first(sc, &n, &op, &version), "%s %s", where, type));
    if (op)
        return import_known(sc, n, op, version, where);
    norni_function *f = norni_function_find(sc->imp, n);
    if (f && f->expands)
        return norni_function_call(sc, n, f, where);
    if (!f && !version && norni_op_find(domain, type))
        norni_model_warn(sc->imp->model, "%s %s: norn does not have it as opset %lld defines it", where, type,
                         (long long)norni_scope_opset(sc, domain));
    return import_unknown(sc, n, captures, where);
}

norn_status norni_scope_nodes(norni_scope *sc, size_t n, norni_pb_node **nodes) {
    norni_arena *scratch = sc->imp->scratch;
    norni_captures *captures = norni_arena_array(scratch, n, sizeof *captures);
    size_t *order = norni_arena_array(scratch, n, sizeof *order);
    if (!captures || !order)
        return norni_nomem();
    for (size_t i = 0; i < n; i++)
        NORNI_TRY(norni_captures_find(nodes[i], scratch, &captures[i], NULL));
    NORNI_TRY(norni_import_order(sc, n, nodes, captures, order));
    norni_table read = {0};
    norn_status s = find_read(sc, n, nodes, captures, &read);
    sc->read = &read;
    for (size_t i = 0; i < n && s == NORN_OK; i++)
        s = import_node(sc, nodes[order[i]], order[i], &captures[order[i]]);
    sc->read = NULL;
    norni_table_free(&read);
    return s;
}
