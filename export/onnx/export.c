/* SPDX-License-Identifier: Apache-2.0 */
/* Models to ONNX files. */
#include "export/onnx/export.h"
#include <string.h>

enum {
    EXTERNAL_BYTES = 1024,    /* smaller tensors stay in the model even when the data are external */
    ALIGN_BYTES = 4096,       /* of large tensors in an external file: a page */
    ALIGN_FROM_BYTES = 65536, /* large */
    ALIGN_SMALL_BYTES = 64,
    FILE_LIMIT_BYTES = INT32_MAX /* protobuf's */
};

/* The IR version that came with an opset, by opset from 7. Source: ONNX's versioning table. */
static int ir_of_opset(int opset) {
    static const int ir[] = {3, 3, 4, 5, 6, 7, 7, 7, 8, 8, 8, 8, 9, 9, 10, 10, 11, 12, 13, 13, 13, 14};
    return opset < 7 ? NORNI_IR_MIN : ir[opset - 7];
}

typedef struct {
    norni_exporter *x;
    bool external;
    const char *location; /* of external data */
    norni_pieces graph, data;
    NORNI_VEC(norn_tensor *) tensors; /* kept until the file is written */
} writer;

/* ---- What is written. */
static const norn_tensor *content(const norni_exporter *x, const norn_value *v) {
    for (size_t i = 0; v->name && i < x->options->n_updates; i++)
        if (!strcmp(x->options->updates[i].name, v->name))
            return x->options->updates[i].tensor;
    return v->data;
}

static norn_status check_updates(const norni_exporter *x) {
    for (size_t i = 0; i < x->options->n_updates; i++) {
        const norn_feed *f = &x->options->updates[i];
        const norn_value *v = f->name ? norni_graph_find(x->g, f->name) : NULL;
        char a[128], b[128];
        if (!v || (v->kind != NORNI_CONST && v->kind != NORNI_STATE))
            return norni_fail(NORN_ARG, "update '%s': no parameter or constant has this name",
                              f->name ? f->name : "");
        const norn_tensor *t = f->tensor;
        if (!t || t->dtype != v->type.dtype || t->rank != v->type.rank ||
            (t->rank && memcmp(t->dims, v->type.dims, (size_t)t->rank * sizeof *t->dims)))
            return norni_fail(NORN_SHAPE, "update '%s': got %s%s (wanted %s%s)", f->name,
                              t ? norni_dtype_name(t->dtype) : "nothing",
                              t ? norni_shape_text(t->rank, t->dims, a) : "", norni_dtype_name(v->type.dtype),
                              norni_shape_text(v->type.rank, v->type.dims, b));
    }
    return NORN_OK;
}

/* A Constant stays one. Before opset 9 it held real numbers only. */
bool norni_export_was_constant(const norni_exporter *x, const norn_value *v, norni_extra *kept) {
    norn_dtype t = v->type.dtype;
    return (x->opset >= 9 || t == NORN_F32 || t == NORN_F64 || t == NORN_F16) &&
           norni_extra_find(v, NORNI_EXTRA_CONSTANT, kept);
}

/* Initialisers of the file stay even when nothing reads them, unless training was cut away. */
static bool is_initializer(const norni_exporter *x, const norn_value *v) {
    if ((v->kind != NORNI_CONST && v->kind != NORNI_STATE) || norni_export_was_constant(x, v, NULL))
        return false;
    bool of_file = v->kind == NORNI_CONST && v->name && (size_t)v->id < x->old_values && !x->drops;
    return norni_export_is_read(x, v) || of_file;
}

static bool is_listed(const norni_exporter *x, const norn_value *v) {
    return x->ir < 4 || norni_extra_find(v, NORNI_EXTRA_LISTED, NULL);
}

/* ---- The graph. */
static norn_status put_constants(writer *w, norni_str *out) {
    norni_exporter *x = w->x;
    for (size_t i = 0; i < x->g->values.n; i++) {
        norn_value *v = x->g->values.v[i];
        norni_extra kept;
        if (v->kind != NORNI_CONST || !norni_export_is_read(x, v) || !norni_export_was_constant(x, v, &kept))
            continue;
        const char *name = norni_export_name(x, v);
        if (!name)
            return norni_nomem();
        NORNI_TRY(norni_export_constant(x, out, name, content(x, v), &kept));
    }
    return NORN_OK;
}

static norn_status put_external(writer *w, const norn_tensor *t, norni_external_place *place) {
    static const unsigned char zeros[ALIGN_BYTES];
    size_t bytes = norni_tensor_bytes(t), align = bytes >= ALIGN_FROM_BYTES ? ALIGN_BYTES : ALIGN_SMALL_BYTES;
    NORNI_TRY(norni_pieces_add(&w->data, zeros, (align - w->data.bytes % align) % align));
    *place = (norni_external_place){w->location, w->data.bytes};
    return norni_pieces_add(&w->data, norni_tensor_data(t), bytes);
}

static norn_status put_initializer(writer *w, norn_value *v) {
    norni_exporter *x = w->x;
    const norn_tensor *t = content(x, v);
    const char *name = norni_export_name(x, v);
    norni_external_place place;
    norni_extra kept;
    norn_tensor *packed;
    if (!name)
        return norni_nomem();
    if (!t)
        return norni_fail(NORN_ARG, "parameter '%s' has no content (give it as an update)", name);
    if (norni_export_is_sparse(x, v)) {
        norni_str text = {0};
        norni_extra_find(v, NORNI_EXTRA_TENSOR, &kept);
        norn_status s = norni_export_sparse(&text, name, t, &kept);
        return s == NORN_OK ? norni_pieces_text(x, &w->graph, &text) : (norni_str_free(&text), s);
    }
    NORNI_TRY(norni_prefix(norni_export_packed(t, &packed), "'%s'", name));
    if (!NORNI_PUSH(&w->tensors, packed)) {
        norn_tensor_free(packed);
        return norni_nomem();
    }
    bool external = w->external && norni_tensor_bytes(packed) >= EXTERNAL_BYTES;
    if (external)
        NORNI_TRY(put_external(w, packed, &place));
    norni_extra_find(v, NORNI_EXTRA_TENSOR, &kept);
    return norni_export_tensor(x, &w->graph, 5, name, packed, external ? &place : NULL, &kept);
}

static norn_status put_inputs(norni_exporter *x, norni_str *out) {
    const norn_graph *g = x->g;
    norni_extra kept;
    for (size_t i = 0; i < g->inputs.n; i++) {
        norn_value *v = g->inputs.v[i];
        const char *name = norni_export_name(x, v);
        if (!name)
            return norni_nomem();
        norni_extra_find(v, NORNI_EXTRA_VALUE, &kept);
        NORNI_TRY(norni_export_value_info(x, out, 11, name, &v->type, &kept));
    }
    for (size_t i = 0; i < g->values.n; i++) {
        norn_value *v = g->values.v[i];
        if (!is_initializer(x, v) || !is_listed(x, v))
            continue;
        norni_extra_find(v, NORNI_EXTRA_VALUE, &kept);
        NORNI_TRY(norni_export_value_info(x, out, 11, norni_export_name(x, v), &v->type, &kept));
    }
    return NORN_OK;
}

static norn_status put_outputs(norni_exporter *x, norni_str *out) {
    for (size_t i = 0; i < x->g->outputs.n; i++) {
        const norni_output *o = &x->g->outputs.v[i];
        const norn_value *v = norni_export_value(x, o->value);
        NORNI_TRY(norni_export_value_info(x, out, 12, o->name, &v->type, &o->extra));
    }
    return NORN_OK;
}

/* Declarations of the file for values that it still has. */
static norn_status put_value_info(norni_exporter *x, norni_str *out) {
    const norn_graph *g = x->g;
    for (size_t i = 0; i < g->values.n; i++) {
        norn_value *v = g->values.v[i];
        norni_extra kept;
        bool here = i < x->names.n && x->names.v[i] && norni_export_value(x, v) == v;
        if (!here || v->kind == NORNI_INPUT || !norni_extra_find(v, NORNI_EXTRA_VALUE, &kept) ||
            (v->kind != NORNI_RESULT && is_listed(x, v)))
            continue;
        norni_name *n = norni_table_find(&x->taken, x->names.v[i]);
        if (n && n->i) /* declared as an output */
            continue;
        NORNI_TRY(norni_export_value_info(x, out, 13, x->names.v[i], &v->type, &kept));
    }
    return NORN_OK;
}

norn_status norni_export_declarations(norni_exporter *x, norni_str *out) {
    NORNI_TRY(put_outputs(x, out));
    return put_value_info(x, out);
}

static norn_status put_graph(writer *w) {
    norni_exporter *x = w->x;
    norni_str nodes = {0}, text = {0};
    norn_status s = norni_export_nodes(x, &nodes);
    if (s == NORN_OK)
        s = put_constants(w, &text);
    if (s == NORN_OK)
        s = norni_pieces_text(x, &w->graph, &text);
    if (s == NORN_OK)
        s = norni_pieces_text(x, &w->graph, &nodes);
    norni_wire_put_string(&text, 2, x->g->name && *x->g->name ? x->g->name : "graph");
    if (s == NORN_OK)
        s = norni_pieces_text(x, &w->graph, &text);
    for (size_t i = 0; i < x->g->values.n && s == NORN_OK; i++)
        if (is_initializer(x, x->g->values.v[i]))
            s = put_initializer(w, x->g->values.v[i]);
    norni_str_addn(&text, x->model->graph_extra.data, x->model->graph_extra.bytes);
    if (s == NORN_OK)
        s = put_inputs(x, &text);
    if (s == NORN_OK)
        s = norni_export_declarations(x, &text);
    if (s == NORN_OK)
        s = norni_pieces_text(x, &w->graph, &text);
    norni_str_free(&nodes);
    norni_str_free(&text);
    return s;
}

/* ---- The model. */
static void put_opset(norni_str *out, const char *domain, int64_t version) {
    norni_str o = {0};
    norni_wire_put_string(&o, 1, domain);
    norni_wire_put_int(&o, 2, version);
    norni_wire_put_message(out, 8, &o);
}

static bool has_standard_nodes(const norni_exporter *x) {
    for (size_t i = 0; i < x->nodes.n; i++) {
        const norn_node *n = x->nodes.v[i];
        if (n->op == &norni_op_unknown ? !n->domain || !*n->domain : !*n->op->domain)
            return true;
    }
    return false;
}

static norn_status put_model(writer *w, norni_pieces *out) {
    norni_exporter *x = w->x;
    const norn_model *m = x->model;
    norni_str text = {0};
    norni_wire_put_int(&text, 1, x->ir);
    norni_wire_put_string(&text, 2, m->ir_version ? m->producer : "norn");
    norni_wire_put_string(&text, 3, m->ir_version ? m->producer_version : norn_version());
    norni_wire_put_string(&text, 4, m->domain);
    if (m->model_version)
        norni_wire_put_int(&text, 5, m->model_version);
    norni_wire_put_string(&text, 6, m->doc);
    norni_wire_put_tag(&text, 7, NORNI_WIRE_BYTES);
    norni_wire_put_varint(&text, w->graph.bytes);
    NORNI_TRY(norni_pieces_text(x, out, &text));
    for (size_t i = 0; i < w->graph.v.n; i++)
        NORNI_TRY(norni_pieces_add(out, w->graph.v.v[i].data, w->graph.v.v[i].bytes));
    bool standard = false;
    for (size_t i = 0; i < m->opsets.n; i++) {
        bool is = !*m->opsets.v[i].domain;
        put_opset(&text, m->opsets.v[i].domain, is ? x->opset : m->opsets.v[i].version);
        standard |= is;
    }
    if (!standard && (has_standard_nodes(x) || !m->opsets.n))
        put_opset(&text, "", x->opset);
    for (size_t i = 0; i < m->metadata.n; i++) {
        if (!m->certified && !strcmp(m->metadata.v[i].key, NORNI_CERTIFICATE))
            continue;
        norni_str entry = {0};
        norni_wire_put_string(&entry, 1, m->metadata.v[i].key);
        norni_wire_put_string(&entry, 2, m->metadata.v[i].value);
        norni_wire_put_message(&text, 14, &entry);
    }
    NORNI_TRY(norni_export_extra(x, &text));
    return norni_pieces_text(x, out, &text);
}

static norn_status choose_versions(norni_exporter *x) {
    const norn_model *m = x->model;
    int own = norn_model_opset(m);
    x->opset = x->options->opset ? x->options->opset : own ? own : NORNI_OPSET_BUILT;
    if (x->options->opset && (x->opset < NORNI_OPSET_MIN_EXPORT || x->opset > NORNI_OPSET_MAX))
        return norni_fail(NORN_ARG, "opset %d (wanted %d to %d)", x->opset, NORNI_OPSET_MIN_EXPORT,
                          NORNI_OPSET_MAX);
    bool keep = m->ir_version && x->opset == own;
    x->ir = keep ? m->ir_version : ir_of_opset(x->opset);
    if (!keep && m->extra.bytes &&
        x->ir < m->ir_version) /* functions and the like need what they came with */
        x->ir = m->ir_version;
    if (m->ir_version && !own && !x->options->opset)
        x->ir = m->ir_version;
    return NORN_OK;
}

static norn_status prepare(norni_exporter *x) {
    NORNI_TRY(choose_versions(x));
    NORNI_TRY(check_updates(x));
    NORNI_TRY(norni_export_check_extra(x));
    NORNI_TRY(norni_export_choose(x));
    if (x->subs.n && x->ir < 4) /* initialisers of subgraphs, which are not their inputs */
        x->ir = 4;
    return NORN_OK;
}

/* All that is refused, as one line. */
static norn_status refusal(const norni_exporter *x) {
    norni_str text = {0};
    for (size_t i = 0; i < x->refused.n; i++)
        norni_str_addf(&text, "%s%s", i ? "; " : "", x->refused.v[i]);
    norn_status s = text.failed ? norni_nomem() : norni_fail(NORN_UNSUPPORTED, "%s", text.s ? text.s : "");
    norni_str_free(&text);
    return s;
}

static void writer_free(writer *w) {
    for (size_t i = 0; i < w->tensors.n; i++)
        norn_tensor_free(w->tensors.v[i]);
    norni_vec_free(&w->tensors);
    norni_vec_free(&w->graph.v);
    norni_vec_free(&w->data.v);
}

static norn_status write_file(writer *w, const norni_pieces *model, const char *path) {
    if (w->data.v.n) { /* first: a model whose data are missing is of no use */
        norni_str data_path = {0};
        norni_str_addf(&data_path, "%s.data", path);
        norn_status s =
            data_path.failed ? norni_nomem() : norni_file_write(data_path.s, w->data.v.v, w->data.v.n);
        norni_str_free(&data_path);
        NORNI_TRY(s);
    }
    return norni_file_write(path, model->v.v, model->v.n);
}

static norn_status to_memory(const norni_pieces *model, char **data, size_t *bytes) {
    char *p = norni_alloc(model->bytes + 1);
    if (!p)
        return norni_nomem();
    *data = p;
    *bytes = model->bytes;
    for (size_t i = 0; i < model->v.n; i++) {
        memcpy(p, model->v.v[i].data, model->v.v[i].bytes);
        p += model->v.v[i].bytes;
    }
    return NORN_OK;
}

/* Once with the data inside; again with the data beside it when that is too large. path NULL: to memory. */
static norn_status write_model(norni_exporter *x, const char *path, char **data, size_t *bytes) {
    norni_str location = {0};
    if (path)
        norni_str_addf(&location, "%s.data", norni_path_base(path));
    norn_status s = location.failed ? norni_nomem() : NORN_OK;
    for (bool external = x->options->external_data, done = false; !done && s == NORN_OK; external = true) {
        writer w = {.x = x, .external = external, .location = location.s};
        norni_pieces model = {0};
        s = put_graph(&w);
        if (s == NORN_OK)
            s = put_model(&w, &model);
        done = s != NORN_OK || model.bytes <= FILE_LIMIT_BYTES || external || !path;
        if (done && s == NORN_OK && model.bytes > FILE_LIMIT_BYTES)
            s = norni_fail(NORN_UNSUPPORTED, "%zu bytes (an ONNX file has at most %d%s)", model.bytes,
                           FILE_LIMIT_BYTES, path ? "" : "; in memory there are no external data");
        else if (done && s == NORN_OK)
            s = path ? write_file(&w, &model, path) : to_memory(&model, data, bytes);
        writer_free(&w);
        norni_vec_free(&model.v);
    }
    norni_str_free(&location);
    return s;
}

static norn_status begin(norni_exporter *x, const norn_model *m, const norn_save_options *options) {
    static const norn_save_options none;
    *x = (norni_exporter){
        .model = m, .g = m->graph, .options = options ? options : &none, .arena = norni_arena_new(0)};
    if (!x->arena)
        return norni_nomem();
    return m->graph ? norn_graph_status(m->graph) : norni_fail(NORN_ARG, "the model has no graph");
}

void norni_exporter_free(norni_exporter *x) {
    for (size_t i = 0; i < x->subs.n; i++) {
        norn_graph *copy = x->subs.v[i].x->g;
        norni_export_undo(x->subs.v[i].x);
        norni_exporter_free(x->subs.v[i].x);
        norn_graph_free(copy);
    }
    norni_vec_free(&x->subs);
    norni_vec_free(&x->refused);
    norni_vec_free(&x->changed);
    norni_vec_free(&x->nodes);
    norni_vec_free(&x->replaced);
    norni_vec_free(&x->needed);
    norni_vec_free(&x->names);
    norni_vec_free(&x->read);
    norni_table_free(&x->taken);
    norni_table_free(&x->inner);
    if (!x->outer)
        norni_arena_free(x->arena);
}

static norn_status export_model(const norn_model *m, const norn_save_options *options, const char *path,
                                char **data, size_t *bytes) {
    norni_exporter x;
    norn_status s = begin(&x, m, options);
    if (s == NORN_OK && !path && x.options->external_data)
        s = norni_fail(NORN_ARG, "external data (a model in memory has no directory)");
    if (s == NORN_OK) {
        norni_export_begin(&x);
        s = prepare(&x);
        if (s == NORN_OK && x.refused.n)
            s = refusal(&x);
        if (s == NORN_OK)
            s = norni_export_names(&x);
        if (s == NORN_OK)
            s = write_model(&x, path, data, bytes);
        norni_export_undo(&x);
    }
    norni_exporter_free(&x);
    return s;
}

static norn_status lines(size_t n, const char *const *v, char **out) {
    norni_str text = {0};
    for (size_t i = 0; i < n; i++)
        norni_str_addf(&text, "%s%s", i ? "\n" : "", v[i]);
    *out = n ? norni_str_take(&text) : NULL;
    return n && !*out ? norni_nomem() : NORN_OK;
}

/* "Gelu: 3 nodes become other operators (opset 17 does not have it as it is used)", each operator once. */
static norn_status changed_lines(norni_exporter *x, char **out) {
    NORNI_VEC(const char *) text = {0};
    norn_status s = NORN_OK;
    for (size_t i = 0; i < x->model->inlined.n && s == NORN_OK; i++) {
        const char *line = norni_arena_printf(x->arena, "function '%s': its nodes stand for its calls",
                                              x->model->inlined.v[i]);
        s = line && NORNI_PUSH(&text, line) ? NORN_OK : norni_nomem();
    }
    for (size_t i = 0; i < x->changed.n && s == NORN_OK; i++) {
        size_t count = 0;
        bool first = true;
        for (size_t k = 0; k < x->changed.n; k++) {
            bool same = !strcmp(x->changed.v[k], x->changed.v[i]);
            count += same;
            first = first && !(same && k < i);
        }
        if (!first)
            continue;
        const char *line = norni_arena_printf(
            x->arena, "%s: %zu node%s become%s other operators (opset %d does not have %s)", x->changed.v[i],
            count, count == 1 ? "" : "s", count == 1 ? "s" : "", x->opset, count == 1 ? "it so" : "them so");
        if (!line || !NORNI_PUSH(&text, line))
            s = norni_nomem();
    }
    if (s == NORN_OK)
        s = lines(text.n, text.v, out);
    norni_vec_free(&text);
    return s;
}

norn_status norni_onnx_preview(const norn_model *m, const norn_save_options *options, char **refused,
                               char **changed) {
    norni_exporter x;
    *refused = *changed = NULL;
    norn_status s = begin(&x, m, options);
    if (s == NORN_OK) {
        norni_export_begin(&x);
        s = prepare(&x);
        norni_export_undo(&x);
    }
    if (s == NORN_OK)
        s = lines(x.refused.n, x.refused.v, refused);
    if (s == NORN_OK)
        s = changed_lines(&x, changed);
    norni_exporter_free(&x);
    return s;
}

norn_status norni_onnx_save(const norn_model *m, const char *path, const norn_save_options *options) {
    norn_status s = export_model(m, options, path, NULL, NULL);
    return s == NORN_IO ? s : norni_prefix(s, "%s", path); /* what fails in writing names the file itself */
}

norn_status norni_onnx_export(const norn_model *m, const norn_save_options *options, char **data,
                              size_t *bytes) {
    *data = NULL;
    *bytes = 0;
    return norni_prefix(export_model(m, options, NULL, data, bytes), "export");
}
