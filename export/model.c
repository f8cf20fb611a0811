/* SPDX-License-Identifier: Apache-2.0 */
#include "export/model.h"
#include "export/onnx/onnx.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MAX_WARNINGS = 100 };

norn_status norni_model_make(norn_model **out) {
    norn_model *m = norni_alloc(sizeof *m);
    *out = NULL;
    if (m)
        m->arena = norni_arena_new(0);
    if (!m || !m->arena) {
        norni_free(m);
        return norni_nomem();
    }
    *out = m;
    return NORN_OK;
}

norn_status norn_model_new(norn_graph *g, norn_model **out) {
    norn_status s = norni_model_make(out);
    if (s == NORN_OK)
        (*out)->graph = g;
    else
        norn_graph_free(g);
    return s;
}

void norn_model_free(norn_model *m) {
    if (!m)
        return;
    norn_graph_free(m->graph);
    norni_vec_free(&m->opsets);
    norni_vec_free(&m->inlined);
    norni_vec_free(&m->metadata);
    norni_vec_free(&m->warnings);
    norni_vec_free(&m->input_forms);
    norni_vec_free(&m->output_forms);
    norni_arena_free(m->arena);
    norni_free(m);
}

norn_status norn_model_load(const char *path, const norn_load_options *options, norn_model **out) {
    return norni_onnx_load(path, options, out);
}

norn_status norn_model_import(const void *data, size_t bytes, const char *name,
                              const norn_load_options *options, norn_model **out) {
    return norni_onnx_import(data, bytes, name, options, out);
}

norn_status norn_model_save(const norn_model *m, const char *path, const norn_save_options *options) {
    return norni_onnx_save(m, path, options);
}

norn_status norn_model_export(const norn_model *m, const norn_save_options *options, char **data,
                              size_t *bytes) {
    return norni_onnx_export(m, options, data, bytes);
}

norn_form norn_model_input_form(const norn_model *m, size_t i) {
    return i < m->input_forms.n ? m->input_forms.v[i] : NORN_FORM_TENSOR;
}
norn_form norn_model_output_form(const norn_model *m, size_t i) {
    return i < m->output_forms.n ? m->output_forms.v[i] : NORN_FORM_TENSOR;
}
norn_status norn_content_load(const char *path, norn_form form, norn_content *out) {
    return norni_onnx_content(path, form, out);
}
void norn_content_free(norn_content *c) {
    for (size_t i = 0; i < c->n; i++)
        norn_tensor_free(c->tensors[i]);
    norni_free(c->tensors);
    *c = (norn_content){0};
}

norn_status norn_model_save_preview(const norn_model *m, const norn_save_options *options, char **refused,
                                    char **changed) {
    return norni_onnx_preview(m, options, refused, changed);
}

norn_graph *norn_model_graph(const norn_model *m) {
    return m->graph;
}

void norn_model_set_graph(norn_model *m, norn_graph *g) {
    if (g != m->graph)
        norn_graph_free(m->graph);
    m->graph = g;
}

int64_t norni_model_opset_of(const norn_model *m, const char *domain) {
    for (size_t i = 0; i < m->opsets.n; i++)
        if (!strcmp(m->opsets.v[i].domain, domain))
            return m->opsets.v[i].version;
    return 0;
}

int norn_model_opset(const norn_model *m) {
    return (int)norni_model_opset_of(m, "");
}
int norn_model_ir_version(const norn_model *m) {
    return m->ir_version;
}
const char *norn_model_producer(const norn_model *m) {
    return m->producer ? m->producer : "";
}
const char *norn_model_producer_version(const norn_model *m) {
    return m->producer_version ? m->producer_version : "";
}
const char *norn_model_doc(const norn_model *m) {
    return m->doc ? m->doc : "";
}

/* ---- Metadata. */
size_t norn_model_metadata_count(const norn_model *m) {
    return m->metadata.n;
}
const char *norn_model_metadata_key(const norn_model *m, size_t i) {
    return i < m->metadata.n ? m->metadata.v[i].key : NULL;
}
const char *norn_model_metadata_value(const norn_model *m, size_t i) {
    return i < m->metadata.n ? m->metadata.v[i].value : NULL;
}

static norni_entry *entry_of(const norn_model *m, const char *key) {
    for (size_t i = 0; i < m->metadata.n; i++)
        if (!strcmp(m->metadata.v[i].key, key))
            return &m->metadata.v[i];
    return NULL;
}

const char *norn_model_metadata(const norn_model *m, const char *key) {
    const norni_entry *e = entry_of(m, key);
    return e ? e->value : NULL;
}

norn_status norni_model_add_metadata(norn_model *m, const char *key, const char *value) {
    norni_entry e = {norni_arena_strdup(m->arena, key), norni_arena_strdup(m->arena, value)};
    return e.key && e.value && NORNI_PUSH(&m->metadata, e) ? NORN_OK : norni_nomem();
}

norn_status norn_model_set_metadata(norn_model *m, const char *key, const char *value) {
    norni_entry *e = entry_of(m, key);
    if (!e)
        return value ? norni_model_add_metadata(m, key, value) : NORN_OK;
    if (value) {
        const char *copy = norni_arena_strdup(m->arena, value);
        if (!copy)
            return norni_nomem();
        e->value = copy;
        return NORN_OK;
    }
    size_t i = (size_t)(e - m->metadata.v);
    memmove(e, e + 1, (m->metadata.n - i - 1) * sizeof *e);
    m->metadata.n--;
    return NORN_OK;
}

/* ---- Warnings. */
size_t norn_model_warning_count(const norn_model *m) {
    return m->warnings.n;
}
const char *norn_model_warning_at(const norn_model *m, size_t i) {
    return i < m->warnings.n ? m->warnings.v[i] : NULL;
}

void norni_model_warn(norn_model *m, const char *fmt, ...) {
    enum { REST_BYTES = 40 };
    if (m->warnings.n >= MAX_WARNINGS) {
        if (!m->warnings_rest) {
            m->warnings_rest = norni_arena_alloc(m->arena, REST_BYTES);
            if (!m->warnings_rest || !NORNI_PUSH(&m->warnings, m->warnings_rest))
                return;
        }
        snprintf(m->warnings_rest, REST_BYTES, "and %zu more", ++m->warnings_dropped);
        return;
    }
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    const char *copy = norni_arena_strdup(m->arena, text);
    if (copy)
        (void)!NORNI_PUSH(&m->warnings, copy);
}
