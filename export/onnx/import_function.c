/* SPDX-License-Identifier: Apache-2.0 */
/* Functions that a file brings along. A call whose function is made of operators that norn has is replaced by the
 * function's nodes; the others stay calls, and the file's functions stay with the model. A function may not call itself,
 * not by way of others either. */
#include "export/onnx/import.h"
#include <string.h>

static const char *key_of(norni_importer *imp, const char *domain, const char *name, const char *overload) {
    return norni_arena_printf(imp->scratch, "%s\x1f%s\x1f%s", norni_pb_domain(domain), norni_pb_text(name),
                              norni_pb_text(overload));
}

static const char *name_of(norni_importer *imp, const norni_function *f) {
    const char *domain = norni_pb_domain(f->proto->domain);
    const char *s =
        norni_arena_printf(imp->scratch, "%s%s%s", domain, *domain ? "." : "", norni_pb_text(f->proto->name));
    return s ? s : "";
}

norni_function *norni_function_find(norni_importer *imp, const norni_pb_node *n) {
    if (!imp->file->n_functions)
        return NULL;
    const char *key = key_of(imp, n->domain, n->op_type, n->overload);
    norni_name *found = key ? norni_table_find(&imp->function_names, key) : NULL;
    return found ? &imp->functions[found->i - 1] : NULL;
}

/* ---- Which functions can be expanded, and whether any calls itself. */
static norn_status analyse(norni_importer *imp, norni_function *f, int depth);

static norn_status analyse_nodes(norni_importer *imp, norni_function *f, size_t n, norni_pb_node **nodes,
                                 bool inner, int depth) {
    norni_scope sc = {.imp = imp, .n_opsets = f->proto->n_opset_import, .opsets = f->proto->opset_import};
    for (size_t i = 0; i < n; i++) {
        norni_function *callee = norni_function_find(imp, nodes[i]);
        int version;
        if (callee)
            NORNI_TRY(analyse(imp, callee, depth + 1));
        if (callee && callee->height >= f->height)
            f->height = callee->height + 1;
        const char *type = norni_pb_text(nodes[i]->op_type);
        bool standard = !*norni_pb_domain(nodes[i]->domain), constant = standard && !strcmp(type, "Constant");
        const norn_op *control = standard && norni_has_subgraph(nodes[i]) ? norni_op_find("", type) : NULL;
        if (!constant && !(control && control->control) && !norni_scope_op(&sc, nodes[i], &version) &&
            !norni_writes_out(&sc, nodes[i]) && !(callee && callee->expands))
            f->expands = false;
        for (size_t k = 0; k < nodes[i]->n_attribute; k++) {
            const norni_pb_attr *a = nodes[i]->attribute[k];
            bool graph = a->has_type && a->type == NORNI_ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH;
            if ((graph && !a->g) || a->n_graphs ||
                (a->has_type && a->type == NORNI_ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPHS))
                f->expands = false;
            if (inner && *norni_pb_text(a->ref_attr_name)) /* a subgraph is written back as it is */
                f->expands = false;
            if (a->g)
                NORNI_TRY(analyse_nodes(imp, f, a->g->n_node, a->g->node, true, depth));
            for (size_t j = 0; j < a->n_graphs; j++)
                NORNI_TRY(analyse_nodes(imp, f, a->graphs[j]->n_node, a->graphs[j]->node, true, depth));
        }
    }
    return NORN_OK;
}

static norn_status analyse(norni_importer *imp, norni_function *f, int depth) {
    if (f->state == NORNI_FUNCTION_ACTIVE)
        return norni_fail(NORN_PARSE, "function '%s' calls itself", name_of(imp, f));
    if (f->state == NORNI_FUNCTION_NEW) {
        if (depth >= NORNI_FUNCTION_DEPTH)
            return norni_fail(NORN_PARSE, "function '%s': calls nest deeper than %d (norn's limit)",
                              name_of(imp, f), NORNI_FUNCTION_DEPTH);
        f->state = NORNI_FUNCTION_ACTIVE;
        f->expands = true;
        NORNI_TRY(analyse_nodes(imp, f, f->proto->n_node, f->proto->node, false, depth));
        f->state = NORNI_FUNCTION_DONE;
    }
    if (depth + f->height >= NORNI_FUNCTION_DEPTH)
        return norni_fail(NORN_PARSE, "function '%s': calls nest deeper than %d (norn's limit)",
                          name_of(imp, f), NORNI_FUNCTION_DEPTH);
    return NORN_OK;
}

norn_status norni_functions_init(norni_importer *imp) {
    size_t n = imp->file->n_functions;
    imp->functions = norni_arena_array(imp->scratch, n, sizeof *imp->functions);
    if (!imp->functions)
        return norni_nomem();
    for (size_t i = 0; i < n; i++) {
        const norni_pb_function *p = imp->file->functions[i];
        const char *key = key_of(imp, p->domain, p->name, p->overload);
        bool fresh = true;
        imp->functions[i] = (norni_function){.proto = p};
        if (!*norni_pb_text(p->name))
            return norni_fail(NORN_PARSE, "function %zu has no name", i);
        norni_name *entry = key ? norni_table_add(&imp->function_names, key, &fresh) : NULL;
        if (!entry)
            return norni_nomem();
        if (!fresh)
            return norni_fail(NORN_PARSE, "function '%s' is defined twice", name_of(imp, &imp->functions[i]));
        entry->i = i + 1;
    }
    for (size_t i = 0; i < n; i++)
        NORNI_TRY(analyse(imp, &imp->functions[i], 0));
    return NORN_OK;
}

static void keep_nodes(norni_importer *imp, size_t n, norni_pb_node **nodes) {
    for (size_t i = 0; i < n; i++)
        norni_function_keep(imp, nodes[i]);
}

void norni_function_keep(norni_importer *imp, const norni_pb_node *n) {
    norni_function *f = norni_function_find(imp, n);
    if (f && !f->kept) {
        f->kept = true;
        keep_nodes(imp, f->proto->n_node, f->proto->node);
    }
    for (size_t i = 0; i < n->n_attribute && imp->file->n_functions; i++) {
        const norni_pb_attr *a = n->attribute[i];
        if (a->g)
            keep_nodes(imp, a->g->n_node, a->g->node);
        for (size_t k = 0; k < a->n_graphs; k++)
            keep_nodes(imp, a->graphs[k]->n_node, a->graphs[k]->node);
    }
}

/* ---- Calls. */
static bool declares(const norni_pb_function *f, const char *name) {
    for (size_t i = 0; i < f->n_attribute; i++)
        if (!strcmp(f->attribute[i], name))
            return true;
    for (size_t i = 0; i < f->n_attribute_proto; i++)
        if (!strcmp(norni_pb_text(f->attribute_proto[i]->name), name))
            return true;
    return false;
}

/* What the call gives for the attributes of the function. */
static norn_status give(norni_scope *sc, norni_scope *inner, const norni_pb_node *n,
                        const norni_pb_function *f) {
    inner->given = norni_arena_array(sc->imp->scratch, n->n_attribute, sizeof *inner->given);
    if (!inner->given)
        return norni_nomem();
    for (size_t i = 0; i < n->n_attribute; i++) {
        const norni_pb_attr *a = norni_scope_attr(sc, n->attribute[i]);
        if (!declares(f, norni_pb_text(n->attribute[i]->name)))
            return norni_fail(NORN_ARG, "attribute '%s' (the function has none of that name)",
                              norni_pb_text(n->attribute[i]->name));
        if (a)
            inner->given[inner->n_given++] = (norni_pb_attr *)a;
    }
    return NORN_OK;
}

const norni_pb_attr *norni_scope_attr(norni_scope *sc, const norni_pb_attr *a) {
    const norni_pb_attr *given = NULL;
    if (!*norni_pb_text(a->ref_attr_name) || !sc->function)
        return a;
    for (size_t i = 0; i < sc->function->n_attribute_proto && !given; i++)
        if (!strcmp(norni_pb_text(sc->function->attribute_proto[i]->name), a->ref_attr_name))
            given = sc->function->attribute_proto[i]; /* the default */
    for (size_t i = 0; i < sc->n_given; i++)
        if (!strcmp(norni_pb_text(sc->given[i]->name), a->ref_attr_name))
            given = sc->given[i];
    norni_pb_attr *copy = given ? norni_arena_dup(sc->imp->scratch, given, sizeof *given) : NULL;
    if (copy) {
        copy->name = a->name;
        copy->ref_attr_name = NULL;
    }
    return copy;
}

static norn_status bind_inputs(norni_scope *sc, norni_scope *inner, const norni_pb_node *n,
                               const norni_pb_function *f) {
    for (size_t i = 0; i < f->n_input; i++) {
        norn_value *v = i < n->n_input ? norni_scope_value(sc, n->input[i]) : NORNI_NONE;
        bool fresh;
        norni_name *entry = norni_table_add(&inner->values, f->input[i], &fresh);
        if (!entry)
            return norni_nomem();
        if (!fresh || !v)
            return norni_fail(NORN_PARSE, "input '%s' of the function %s", f->input[i],
                              v ? "is listed twice" : "is missing");
        entry->p = v == NORNI_NONE ? NULL : v;
    }
    for (size_t i = 0; i < f->n_value_info; i++) {
        norni_name *entry = norni_table_add(&inner->declared, norni_pb_text(f->value_info[i]->name), NULL);
        if (!entry)
            return norni_nomem();
        entry->p = f->value_info[i];
    }
    return NORN_OK;
}

static norn_status bind_outputs(norni_scope *sc, norni_scope *inner, const norni_pb_node *n,
                                const norni_pb_function *f, int first_id, const char *where) {
    for (size_t k = 0; k < n->n_output; k++) {
        if (!*n->output[k])
            continue;
        norn_value *v = norni_scope_value(inner, f->output[k]);
        if (!v || v == NORNI_NONE)
            return norni_fail(NORN_PARSE, "output '%s' of the function: nothing makes it", f->output[k]);
        if (v->id >= first_id)
            v->name = NULL; /* takes the name that the call gives it */
        NORNI_TRY(norni_scope_bind(sc, n->output[k], v, where));
    }
    return NORN_OK;
}

static norn_status note_inlined(norn_model *m, const char *name) {
    enum { MOST = 100 };
    if (m->inlined.n >= MOST)
        return NORN_OK;
    for (size_t i = 0; i < m->inlined.n; i++)
        if (!strcmp(m->inlined.v[i], name))
            return NORN_OK;
    const char *copy = norni_arena_strdup(m->arena, name);
    return copy && NORNI_PUSH(&m->inlined, copy) ? NORN_OK : norni_nomem();
}

norn_status norni_function_call(norni_scope *sc, const norni_pb_node *n, norni_function *f,
                                const char *where) {
    norni_importer *imp = sc->imp;
    const norni_pb_function *p = f->proto;
    norni_scope inner = {.imp = imp,
                         .n_opsets = p->n_opset_import,
                         .opsets = p->opset_import,
                         .function = p,
                         .depth = sc->depth + 1};
    int first_id = (int)imp->g->values.n;
    const char *call = *norni_pb_text(n->name) ? n->name : n->n_output ? n->output[0] : "";
    inner.prefix = norni_arena_printf(imp->scratch, "%s%s/", sc->prefix, call);
    if (!inner.prefix)
        return norni_nomem();
    norn_status s = NORN_OK;
    if (n->n_input > p->n_input || n->n_output > p->n_output)
        s = norni_fail(NORN_ARG, "%zu inputs, %zu outputs (the function has %zu and %zu)", n->n_input,
                       n->n_output, p->n_input, p->n_output);
    else
        s = norni_import_count(imp, p->n_node);
    if (s == NORN_OK)
        s = give(sc, &inner, n, p);
    if (s == NORN_OK)
        s = bind_inputs(sc, &inner, n, p);
    if (s == NORN_OK)
        s = norni_scope_nodes(&inner, p->n_node, p->node);
    if (s == NORN_OK)
        s = bind_outputs(sc, &inner, n, p, first_id, where);
    for (size_t i = 0; i < inner.list_nodes.n && s == NORN_OK; i++) /* whoever calls may still read them */
        s = NORNI_PUSH(&sc->list_nodes, inner.list_nodes.v[i]) ? NORN_OK : norni_nomem();
    norni_vec_free(&inner.list_nodes);
    norni_table_free(&inner.lists);
    norni_table_free(&inner.values);
    norni_table_free(&inner.declared);
    if (s == NORN_OK)
        s = note_inlined(imp->model, norni_pb_text(p->name));
    return norni_prefix(s, "%s %s", where, norni_pb_text(n->op_type));
}
