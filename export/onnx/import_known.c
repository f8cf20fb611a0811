/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a model for what its inputs hold (norn_load_options): sequences and optionals become tensors at its inputs and
 * outputs, and integers that decide on them are computed here, by the host reference. */
#include "export/onnx/import.h"
#include <stdio.h>
#include <string.h>

enum { MAX_KNOWN_ELEMS = 4096, MAX_DEPTH = 100 };

norn_form norni_import_form(const norni_pb_type *t) {
    if (!t || t->value_case == NORNI_ONNX__TYPE_PROTO__VALUE__NOT_SET ||
        t->value_case == NORNI_ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE)
        return NORN_FORM_TENSOR;
    bool optional = t->value_case == NORNI_ONNX__TYPE_PROTO__VALUE_OPTIONAL_TYPE;
    if (optional) {
        t = t->optional_type->elem_type;
        if (t && t->value_case == NORNI_ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE)
            return NORN_FORM_OPTIONAL;
    }
    if (!t || t->value_case != NORNI_ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE || !t->sequence_type->elem_type ||
        t->sequence_type->elem_type->value_case != NORNI_ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE)
        return NORN_FORM_OTHER;
    return optional ? NORN_FORM_OPTIONAL_SEQUENCE : NORN_FORM_SEQUENCE;
}

static const norn_content *content_of(const norni_importer *imp, const char *name) {
    for (size_t i = 0; i < imp->n_contents; i++)
        if (imp->contents[i].name && !strcmp(imp->contents[i].name, name))
            return &imp->contents[i];
    return NULL;
}

/* An input for one tensor; the name is that of the whole, or of its element i. */
static norn_status add_input(norni_scope *sc, const char *name, int i, const norn_tensor *t,
                             norn_value **out) {
    norni_importer *imp = sc->imp;
    const char *full = i < 0 ? norni_arena_strdup(imp->g->arena, name)
                             : norni_arena_printf(imp->g->arena, "%s[%d]", name, i);
    norni_type type = {.dtype = norn_tensor_dtype(t), .rank = norn_tensor_rank(t)};
    bool fresh;
    if (!full || !norni_table_add(&imp->taken, full, &fresh))
        return norni_nomem();
    if (!fresh && i >= 0)
        return norni_fail(NORN_UNSUPPORTED, "the name '%s' is taken", full);
    for (int k = 0; k < type.rank; k++)
        type.dims[k] = norn_tensor_dims(t)[k];
    *out = norni_value_input(imp->g, full, &type);
    norni_known_input(imp, full, *out);
    return norn_graph_status(imp->g);
}

norn_status norni_import_content(norni_scope *sc, const char *name, norn_form form, bool *done) {
    const norn_content *c = content_of(sc->imp, name);
    *done = false;
    if (!norni_reads_contents(sc->imp) || form == NORN_FORM_TENSOR)
        return NORN_OK;
    if (!c || c->form != form)
        return norni_fail(NORN_ARG, "no content of its form is given");
    if (form == NORN_FORM_OTHER || c->n > NORNI_MAX_LIST)
        return norni_fail(NORN_UNSUPPORTED, "norn has no such values");
    norni_list *l = norni_list_new(sc, (int)c->n);
    norni_name *entry = norni_table_add(&sc->values, name, NULL);
    if (!l || !entry)
        return norni_nomem();
    entry->i = 1;
    l->optional = form != NORN_FORM_SEQUENCE;
    l->holds = c->present;
    l->sequence = form == NORN_FORM_OPTIONAL_SEQUENCE;
    for (size_t i = 0; i < c->n; i++)
        NORNI_TRY(add_input(sc, name, form == NORN_FORM_OPTIONAL ? -1 : (int)i, c->tensors[i], &l->v[i]));
    *done = true;
    return norni_scope_add_list(sc, name, l);
}

norn_status norni_output_list(norni_scope *sc, const char *name, norn_form form, bool *done) {
    norn_graph *g = sc->imp->g;
    norni_name *entry = norni_table_find(&sc->lists, name);
    const norni_list *l = entry ? entry->p : NULL;
    *done = norni_reads_contents(sc->imp) && (l || form == NORN_FORM_OPTIONAL);
    if (!*done)
        return NORN_OK;
    norni_name *value = norni_table_find(&sc->values, name);
    if (!l && value && !value->p)
        return NORN_OK; /* an optional that was left out */
    *done = l != NULL;
    for (int i = 0; l && i < l->n; i++) {
        bool one = l->optional && !l->sequence;
        norni_output o = {one ? norni_arena_strdup(g->arena, name)
                              : norni_arena_printf(g->arena, "%s[%d]", name, i),
                          l->v[i],
                          {0}};
        if (!o.name || !NORNI_PUSH(&g->outputs, o))
            return norni_nomem();
    }
    return NORN_OK;
}

/* ---- Elements. */
static norn_tensor **slot(norni_importer *imp, const norn_value *v) {
    if (v->graph != imp->model->graph)
        return NULL;
    while (imp->known.n <= (size_t)v->id)
        if (!NORNI_PUSH(&imp->known, NULL))
            return NULL;
    return &imp->known.v[v->id];
}

void norni_known_input(norni_importer *imp, const char *name, const norn_value *v) {
    size_t n = strlen(name);
    for (size_t i = 0; v && i < imp->n_contents; i++) {
        const norn_content *c = &imp->contents[i];
        size_t whole = strlen(c->name);
        norn_tensor **to = NULL, *t = NULL;
        for (size_t k = 0; k < c->n; k++) {
            char index[24];
            snprintf(index, sizeof index, "[%zu]", k);
            if ((c->n == 1 && !strcmp(name, c->name)) ||
                (n > whole && !strncmp(name, c->name, whole) && !strcmp(name + whole, index)))
                t = c->tensors[k];
        }
        if (t && norn_tensor_data(t) && norn_tensor_elems(t) <= MAX_KNOWN_ELEMS && (to = slot(imp, v)) &&
            !*to)
            *to = norni_tensor_ref(t);
    }
}

static const norn_tensor *known_at(norni_importer *imp, const norn_value *v, int depth) {
    norn_tensor **s = v->kind == NORNI_CONST ? NULL : slot(imp, v);
    const norn_node *node = v->producer;
    if (v->kind == NORNI_CONST)
        return v->data;
    if (!s || *s || !node || depth == MAX_DEPTH)
        return s ? *s : NULL;
    if (node->op == &norni_op_unknown || node->op->control || node->op->data_shapes ||
        norni_node_random(node))
        return NULL;
    norn_tensor **in = norni_arena_array(imp->scratch, (size_t)node->n_in + 1, sizeof *in);
    norn_tensor **out = norni_arena_array(imp->scratch, (size_t)node->n_out + 1, sizeof *out);
    for (int i = 0; in && out && i < node->n_in; i++) {
        const norn_tensor *t = node->in[i] ? known_at(imp, node->in[i], depth + 1) : NULL;
        if (node->in[i] && !t)
            return NULL;
        in[i] = (norn_tensor *)t;
    }
    for (int i = 0; i < node->n_out; i++)
        if (node->out[i] && (!norni_type_static(&node->out[i]->type) ||
                             norni_type_elems(&node->out[i]->type) > MAX_KNOWN_ELEMS))
            return NULL;
    if (!in || !out || norni_node_eval(node, in, out) != NORN_OK)
        return NULL;
    for (int i = 0; i < node->n_out; i++) {
        norn_tensor **to = node->out[i] && out[i] ? slot(imp, node->out[i]) : NULL;
        if (to && !*to)
            *to = out[i];
        else
            norn_tensor_free(out[i]);
    }
    s = slot(imp, v);
    return s ? *s : NULL;
}

const norn_tensor *norni_known(norni_importer *imp, const norn_value *v) {
    return known_at(imp, v, 0);
}

bool norni_known_ints(norni_importer *imp, norn_value *v, int64_t *out, int max, int *n) {
    if (norni_value_ints(v, out, max, n))
        return true;
    const norn_tensor *t = norni_known(imp, v);
    if (!t || !(norni_dtype_is_int(t->dtype) || t->dtype == NORN_BOOL) || norn_tensor_elems(t) > max)
        return false;
    *n = (int)norn_tensor_elems(t);
    for (int i = 0; i < *n; i++)
        out[i] = norni_get_int(t->dtype, norn_tensor_data(t), i);
    return true;
}

void norni_known_free(norni_importer *imp) {
    for (size_t i = 0; i < imp->known.n; i++)
        norn_tensor_free(imp->known.v[i]);
    norni_vec_free(&imp->known);
}
