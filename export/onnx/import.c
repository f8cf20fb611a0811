/* SPDX-License-Identifier: Apache-2.0 */
/* ONNX files to models. */
#include "export/onnx/import.h"
#include "export/file_kind.h"
#include <inttypes.h>
#include <string.h>

/* ---- The model's head. */
static norn_status copy_text(norni_arena *arena, const char *s, const char **out) {
    *out = s ? norni_arena_strdup(arena, s) : NULL;
    return !s || *out ? NORN_OK : norni_nomem();
}

static norn_status import_opsets(norni_importer *imp) {
    const norni_pb_model *p = imp->file;
    for (size_t i = 0; i < p->n_opset_import; i++) {
        norni_opset o = {norni_arena_strdup(imp->model->arena, norni_pb_domain(p->opset_import[i]->domain)),
                         p->opset_import[i]->version};
        if (!o.domain)
            return norni_nomem();
        int64_t before = norni_model_opset_of(imp->model, o.domain);
        if (before && before != o.version)
            return norni_fail(NORN_PARSE, "opsets %" PRId64 " and %" PRId64 " of domain '%s'", before,
                              o.version, o.domain);
        if (before) /* skl2onnx writes an import for each node kind */
            continue;
        if (o.version < 1 || (!*o.domain && o.version > NORNI_OPSET_MAX))
            return norni_fail(NORN_UNSUPPORTED, "opset %" PRId64 " of domain '%s' (wanted 1 to %d)",
                              o.version, o.domain, NORNI_OPSET_MAX);
        if (!NORNI_PUSH(&imp->model->opsets, o))
            return norni_nomem();
    }
    return p->n_opset_import ? NORN_OK
                             : norni_fail(NORN_PARSE, "no opset_import (it says what operators mean)");
}

static norn_status import_head(norni_importer *imp) {
    norn_model *m = imp->model;
    const norni_pb_model *p = imp->file;
    if (!p->graph)
        return norni_fail(NORN_PARSE, "no graph in it (is this an ONNX model?)");
    if (p->ir_version < NORNI_IR_MIN || p->ir_version > NORNI_IR_MAX)
        return norni_fail(NORN_UNSUPPORTED, "IR version %" PRId64 " (wanted %d to %d)", p->ir_version,
                          NORNI_IR_MIN, NORNI_IR_MAX);
    m->ir_version = (int)p->ir_version;
    m->model_version = p->model_version;
    NORNI_TRY(copy_text(m->arena, p->producer_name, &m->producer));
    NORNI_TRY(copy_text(m->arena, p->producer_version, &m->producer_version));
    NORNI_TRY(copy_text(m->arena, p->domain, &m->domain));
    NORNI_TRY(copy_text(m->arena, p->doc_string, &m->doc));
    for (size_t i = 0; i < p->n_metadata_props; i++)
        NORNI_TRY(norni_model_add_metadata(m, norni_pb_text(p->metadata_props[i]->key),
                                           norni_pb_text(p->metadata_props[i]->value)));
    return import_opsets(imp);
}

/* Fields of model and graph that norn has no place for. Functions stay where a call stays. */
static norn_status keep_rest(norni_importer *imp) {
    norni_pb_model rest = *imp->file;
    norni_pb_graph graph = *imp->file->graph;
    graph.n_node = graph.n_initializer = graph.n_sparse_initializer = 0;
    graph.n_input = graph.n_output = graph.n_value_info = 0;
    graph.name = NULL;
    rest.has_ir_version = rest.has_model_version = 0;
    rest.producer_name = rest.producer_version = rest.domain = rest.doc_string = NULL;
    rest.graph = NULL;
    rest.n_opset_import = rest.n_metadata_props = 0;
    rest.functions = norni_arena_array(imp->scratch, rest.n_functions, sizeof *rest.functions);
    if (!rest.functions)
        return norni_nomem();
    rest.n_functions = 0; /* those that are still called, or may be by training */
    for (size_t i = 0; i < imp->file->n_functions; i++)
        if (imp->functions[i].kept || rest.n_training_info)
            rest.functions[rest.n_functions++] = imp->file->functions[i];
    NORNI_TRY(norni_tensor_restore(&imp->tensors, &rest.base, imp->scratch));
    NORNI_TRY(norni_pb_pack(&rest, imp->model->arena, &imp->model->extra));
    return norni_pb_pack(&graph, imp->model->arena, &imp->model->graph_extra);
}

/* ---- Initialisers, inputs, outputs. */
norn_status norni_import_initializer(norni_scope *sc, const norni_pb_tensor *t,
                                     const norni_pb_sparse *sparse) {
    norni_importer *imp = sc->imp;
    const char *name = t ? norni_pb_text(t->name) : "";
    const char *where = norni_arena_printf(imp->scratch, "initialiser '%s'", name);
    if (!where)
        return norni_nomem();
    if (!*name)
        return norni_fail(NORN_PARSE, "an initialiser without a name");
    if (norni_table_find(&sc->values, name))
        return norni_fail(NORN_PARSE, "%s is there twice", where);
    if (!norni_table_add(&imp->taken, name, NULL))
        return norni_nomem();
    if (!sparse &&
        !norni_tensor_modelled(t)) { /* as an operator that norn lacks: it is kept, and cannot run */
        norni_pb_node n = NORNI_ONNX__NODE_PROTO__INIT;
        norni_pb_attr a = NORNI_ONNX__ATTRIBUTE_PROTO__INIT, *list = &a;
        norni_pb_opset opset = NORNI_ONNX__OPERATOR_SET_ID_PROTO__INIT, *opsets = &opset;
        norni_scope here = *sc;
        opset.version = NORNI_OPSET_MAX;
        here.opsets = &opsets;
        here.n_opsets = 1;
        a.name = "value";
        a.t = (norni_pb_tensor *)t;
        a.has_type = 1;
        a.type = NORNI_ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR;
        n.op_type = "Constant";
        n.n_output = n.n_attribute = 1;
        n.output = &((norni_pb_tensor *)t)->name;
        n.attribute = &list;
        norni_pb_node *nodes = &n;
        norn_status s = norni_scope_nodes(&here, 1, &nodes);
        sc->values = here.values;
        return norni_prefix(s, "%s", where);
    }
    norn_tensor *data;
    NORNI_TRY(norni_prefix(sparse ? norni_tensor_read_sparse(&imp->tensors, sparse, &data)
                                  : norni_tensor_read(&imp->tensors, t, &data),
                           "%s", where));
    norn_value *v = norni_value_const(imp->g, NULL, data);
    if (!v)
        return norn_graph_status(imp->g);
    if (sparse)
        NORNI_TRY(norni_extra_add(v, NORNI_EXTRA_SPARSE, NULL));
    if (t->doc_string || t->n_metadata_props || t->base.n_unknown_fields) {
        norni_pb_tensor rest = NORNI_ONNX__TENSOR_PROTO__INIT;
        norni_extra packed;
        rest.base = t->base;
        rest.doc_string = t->doc_string;
        rest.n_metadata_props = t->n_metadata_props;
        rest.metadata_props = t->metadata_props;
        NORNI_TRY(norni_pb_pack(&rest, imp->scratch, &packed));
        NORNI_TRY(norni_extra_add(v, NORNI_EXTRA_TENSOR, &packed));
    }
    return norni_scope_bind(sc, name, v, where);
}

static norn_status import_input(norni_scope *sc, const norni_pb_value *p) {
    norni_importer *imp = sc->imp;
    const char *name = norni_pb_text(p->name), *where = norni_arena_printf(imp->scratch, "input '%s'", name);
    if (!where)
        return norni_nomem();
    if (!*name)
        return norni_fail(NORN_PARSE, "an input without a name");
    norni_name *known = norni_table_find(&sc->values, name);
    if (known && known->i)
        return norni_fail(NORN_PARSE, "%s is there twice", where);
    norn_value *v = known ? known->p : NULL;
    norni_extra rest;
    if (known) { /* the default of an input; before IR version 4 every initialiser was listed */
        NORNI_TRY(norni_refine(imp, v, p, where));
        NORNI_TRY(norni_extra_add(v, NORNI_EXTRA_LISTED, NULL));
    } else {
        norni_type type;
        bool whole;
        bool done;
        NORNI_TRY(norni_prefix(norni_import_type(imp, p->type, &type, &whole), "%s", where));
        bool tensor = p->type && p->type->value_case == NORNI_ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
        if (type.dtype == NORN_UNDEFINED && (whole || (tensor && !p->type->tensor_type->elem_type)))
            return norni_fail(NORN_PARSE, "%s has no type", where);
        if (!NORNI_PUSH(&imp->model->input_forms, norni_import_form(p->type)))
            return norni_nomem();
        NORNI_TRY(
            norni_prefix(norni_import_content(sc, name, norni_import_form(p->type), &done), "%s", where));
        if (done)
            return NORN_OK;
        v = norni_value_input(imp->g, NULL, &type);
        if (!v || !norni_table_add(&imp->taken, name, NULL))
            return norni_nomem();
        NORNI_TRY(norni_scope_bind(sc, name, v, where));
        norni_known_input(imp, name, v);
        known = norni_table_find(&sc->values, name);
    }
    known->i = 1;
    NORNI_TRY(norni_value_rest(imp, p, &rest));
    return norni_extra_find(v, NORNI_EXTRA_VALUE, NULL) ? NORN_OK
                                                        : norni_extra_add(v, NORNI_EXTRA_VALUE, &rest);
}

static norn_status import_output(norni_scope *sc, const norni_pb_value *p) {
    norni_importer *imp = sc->imp;
    const char *name = norni_pb_text(p->name);
    norni_name *made = norni_table_find(&sc->values, name);
    bool done;
    if (!NORNI_PUSH(&imp->model->output_forms, norni_import_form(p->type)))
        return norni_nomem();
    NORNI_TRY(norni_output_list(sc, name, norni_import_form(p->type), &done));
    if (done)
        return NORN_OK;
    if (!*name || !made || !made->p)
        return norni_fail(NORN_PARSE, "output '%s': nothing makes it", name);
    norni_output o = {norni_arena_strdup(imp->g->arena, name), made->p, {0}};
    NORNI_TRY(norni_value_rest(imp, p, &o.extra));
    return o.name && NORNI_PUSH(&imp->g->outputs, o) ? NORN_OK : norni_nomem();
}

norn_status norni_scope_declare(norni_scope *sc, const norni_pb_graph *p) {
    for (size_t i = 0; i < p->n_value_info; i++) {
        norni_name *n = norni_table_add(&sc->declared, norni_pb_text(p->value_info[i]->name), NULL);
        if (!n)
            return norni_nomem();
        n->p = p->value_info[i];
    }
    for (size_t i = 0; i < p->n_output; i++) {
        bool fresh;
        norni_name *n = norni_table_add(&sc->outputs, norni_pb_text(p->output[i]->name), &fresh);
        if (!n)
            return norni_nomem();
        if (!fresh)
            return norni_fail(NORN_PARSE, "output '%s' is listed twice", n->name);
        n->p = p->output[i];
    }
    for (size_t i = 0; i < p->n_node; i++) /* names that functions must not take */
        for (size_t k = 0; k < p->node[i]->n_output; k++)
            if (!norni_table_add(&sc->imp->taken, p->node[i]->output[k], NULL))
                return norni_nomem();
    return NORN_OK;
}

static norn_status import_graph(norni_scope *sc) {
    const norni_pb_graph *p = sc->imp->file->graph;
    NORNI_TRY(norni_scope_declare(sc, p));
    for (size_t i = 0; i < p->n_initializer; i++)
        NORNI_TRY(norni_import_initializer(sc, p->initializer[i], NULL));
    for (size_t i = 0; i < p->n_sparse_initializer; i++)
        NORNI_TRY(norni_import_initializer(sc, p->sparse_initializer[i]->values, p->sparse_initializer[i]));
    for (size_t i = 0; i < p->n_input; i++)
        NORNI_TRY(import_input(sc, p->input[i]));
    NORNI_TRY(norni_scope_nodes(sc, p->n_node, p->node));
    for (size_t i = 0; i < p->n_output; i++)
        NORNI_TRY(import_output(sc, p->output[i]));
    return norn_graph_status(sc->imp->g);
}

/* ---- Files. */
static norn_status import_model(norni_importer *imp, const norni_prescan *scan) {
    if (!scan->fields)
        return norni_fail(NORN_PARSE, "the file is empty (wanted an ONNX model)");
    imp->unpacked = norni_arena_new((size_t)(scan->unpacked_bytes + (1u << 20)));
    imp->scratch = norni_arena_new(0);
    if (!imp->unpacked || !imp->scratch)
        return norni_nomem();
    NORNI_TRY(norni_pb_unpack(&norni_onnx__model_proto__descriptor, imp->unpacked, scan->slim,
                              scan->slim_bytes, &imp->file));
    NORNI_TRY(norni_model_make(&imp->model));
    NORNI_TRY(import_head(imp));
    NORNI_TRY(norn_graph_new(norni_pb_text(imp->file->graph->name), &imp->model->graph));
    imp->g = imp->model->graph;
    NORNI_TRY(norni_functions_init(imp));
    norni_scope sc = {
        .imp = imp, .n_opsets = imp->file->n_opset_import, .opsets = imp->file->opset_import, .prefix = ""};
    norn_status s = import_graph(&sc);
    norni_scope_drop_lists(&sc);
    norni_table_free(&sc.values);
    norni_table_free(&sc.declared);
    norni_table_free(&sc.outputs);
    return s == NORN_OK ? keep_rest(imp) : s;
}

static norn_status run(norni_blob *source, norni_externals *externals, const norn_load_options *options,
                       norn_model **out) {
    norni_prescan scan;
    uint64_t limit = options ? options->memory_limit_bytes : 0;
    NORNI_TRY(norni_prescan_run(source->data, source->bytes, &norni_onnx__model_proto__descriptor,
                                norni_prescan_limit(source->bytes, limit), &scan));
    norni_importer imp = {
        .tensors = {.source = source, .scan = &scan, .externals = externals, .dense_left = NORNI_DENSE_BYTES},
        .contents = options ? options->contents : NULL,
        .n_contents = options ? options->n_contents : 0};
    norn_status s = import_model(&imp, &scan);
    norni_table_free(&imp.function_names);
    norni_table_free(&imp.taken);
    norni_table_free(&imp.sizes);
    norni_known_free(&imp);
    norni_arena_free(imp.unpacked);
    norni_arena_free(imp.scratch);
    norni_prescan_free(&scan);
    if (s == NORN_OK)
        *out = imp.model;
    else
        norn_model_free(imp.model);
    return s;
}

norn_status norni_onnx_load(const char *path, const norn_load_options *options, norn_model **out) {
    norni_blob *source;
    norni_externals externals;
    *out = NULL;
    NORNI_TRY(norni_blob_open(path, &source));
    norn_status s = norni_externals_init(&externals, path);
    if (s == NORN_OK) {
        s = run(source, &externals, options, out);
        norni_externals_free(&externals);
        const char *kind = s == NORN_OK ? NULL : norni_file_kind(path, source->data, source->bytes);
        s = kind ? norni_fail(s, "%s: %s (wanted an ONNX model): %s", path, kind, norn_error())
                 : norni_prefix(s, "%s", path);
    }
    norni_blob_free(source);
    return s;
}

norn_status norni_onnx_import(const void *data, size_t bytes, const char *name,
                              const norn_load_options *options, norn_model **out) {
    norni_blob *source;
    norni_externals none = {0};
    *out = NULL;
    NORNI_TRY(norni_blob_memory(data, bytes, &source));
    norn_status s = norni_prefix(run(source, &none, options, out), "%s", name ? name : "model");
    norni_blob_free(source);
    return s;
}
