/* SPDX-License-Identifier: Apache-2.0 */
/* Looking into the ONNX files that norn wrote: what the tests of export share. */
#ifndef TEST_ONNX_WRITTEN_H
#define TEST_ONNX_WRITTEN_H
#include "onnx_models.h"

#include "export/onnx/proto.h"

typedef struct {
    norni_arena *arena;
    norni_pb_model *model;
    norni_pb_graph *graph;
} written;

static UNUSED written unpack(const void *data, size_t bytes) {
    written w = {.arena = norni_arena_new(0)};
    WORKS(norni_pb_unpack(&norni_onnx__model_proto__descriptor, w.arena, data, bytes, &w.model));
    w.graph = w.model->graph;
    return w;
}

static UNUSED written export_of(const norn_model *m, const norn_save_options *o) {
    char *data;
    size_t bytes;
    WORKS(norn_model_export(m, o, &data, &bytes));
    written w = unpack(data, bytes);
    norn_text_free(data);
    return w;
}

static UNUSED written export_opset(const norn_model *m, int opset) {
    return export_of(m, &(norn_save_options){.opset = opset});
}

static UNUSED norn_status refuse_opset(const norn_model *m, int opset) {
    char *data;
    size_t bytes;
    norn_status s = norn_model_export(m, &(norn_save_options){.opset = opset}, &data, &bytes);
    assert_true((s == NORN_OK) == (data != NULL));
    norn_text_free(data);
    return s;
}

static UNUSED void close_written(written *w) {
    norni_arena_free(w->arena);
}

/* "Op(in,in)->out Op..." */
static UNUSED void assert_nodes(const written *w, const char *want) {
    norni_str s = {0};
    for (size_t i = 0; i < w->graph->n_node; i++) {
        const norni_pb_node *n = w->graph->node[i];
        norni_str_addf(&s, "%s%s(", i ? " " : "", n->op_type);
        for (size_t k = 0; k < n->n_input; k++)
            norni_str_addf(&s, "%s%s", k ? "," : "", n->input[k]);
        norni_str_add(&s, ")->");
        for (size_t k = 0; k < n->n_output; k++)
            norni_str_addf(&s, "%s%s", k ? "," : "", n->output[k]);
    }
    assert_string_equal(s.s ? s.s : "", want);
    norni_str_free(&s);
}

static UNUSED const norni_pb_attr *attr_of(const norni_pb_node *n, const char *name) {
    for (size_t i = 0; i < n->n_attribute; i++)
        if (!strcmp(n->attribute[i]->name, name))
            return n->attribute[i];
    return NULL;
}

static UNUSED const norni_pb_tensor *initializer(const written *w, const char *name) {
    for (size_t i = 0; i < w->graph->n_initializer; i++)
        if (!strcmp(w->graph->initializer[i]->name, name))
            return w->graph->initializer[i];
    return NULL;
}

/* ---- Graphs that are built here. */
static UNUSED norn_model *built(norn_graph *g) {
    norn_model *m;
    WORKS(norn_graph_status(g));
    WORKS(norn_model_new(g, &m));
    return m;
}

static UNUSED norn_tensor *floats(int64_t n, float first) {
    norn_tensor *t;
    WORKS(norni_tensor_host(NORN_F32, 1, &n, &t));
    for (int64_t i = 0; i < n; i++)
        norn_tensor_set(t, i, (double)first + (double)i);
    return t;
}

#endif
