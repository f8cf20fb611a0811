/* SPDX-License-Identifier: Apache-2.0 */
/* Small ONNX models, written field by field: what the tests of import and export share. */
#ifndef TEST_ONNX_MODELS_H
#define TEST_ONNX_MODELS_H
#include "files.h"

#include "export/model.h"
#include "export/onnx/wire.h"
#include "ops/op.h"

typedef struct {
    norni_str model, graph; /* what comes before and within the graph */
    int64_t ir, opset;      /* 0: left out */
} builder;

static UNUSED builder build(int64_t opset) { return (builder){.ir = 8, .opset = opset}; }

/* Names in a list "a,b,,c" as a repeated field. */
static UNUSED void put_list(norni_str *out, uint32_t field, const char *list) {
    for (const char *p = list; *list;) {
        size_t n = strcspn(p, ",");
        norni_wire_put_bytes(out, field, p, n);
        if (!p[n])
            break;
        p += n + 1;
    }
}

/* attrs: AttributeProtos as fields of the node, made by put_attr_*; emptied. */
static UNUSED void add_named_node(builder *b, const char *name, const char *op, const char *in, const char *out,
                                  norni_str *attrs) {
    norni_str n = {0};
    put_list(&n, 1, in);
    put_list(&n, 2, out);
    norni_wire_put_string(&n, 3, name);
    norni_wire_put_string(&n, 4, op);
    if (attrs) {
        norni_str_addn(&n, attrs->s, attrs->n);
        norni_str_free(attrs);
    }
    norni_wire_put_message(&b->graph, 1, &n);
}

static UNUSED void add_node(builder *b, const char *op, const char *in, const char *out) {
    add_named_node(b, NULL, op, in, out, NULL);
}

static UNUSED norni_str attr_int(const char *name, int64_t v) {
    norni_str a = {0}, field = {0};
    norni_wire_put_string(&a, 1, name);
    norni_wire_put_int(&a, 3, v);
    norni_wire_put_int(&a, 20, 2);
    norni_wire_put_message(&field, 5, &a);
    return field;
}

static UNUSED norni_str attr_float(const char *name, float v) {
    norni_str a = {0}, field = {0};
    norni_wire_put_string(&a, 1, name);
    norni_wire_put_float(&a, 2, v);
    norni_wire_put_int(&a, 20, 1);
    norni_wire_put_message(&field, 5, &a);
    return field;
}

/* A float value of rank 1 or more; size 0: named "N"; n 0: no shape. */
static UNUSED void add_value(builder *b, uint32_t field, const char *name, int dtype, int rank, const int64_t *dims) {
    norni_str shape = {0}, tensor = {0}, type = {0}, v = {0};
    for (int i = 0; i < rank; i++) {
        norni_str dim = {0};
        if (dims[i])
            norni_wire_put_int(&dim, 1, dims[i]);
        else
            norni_wire_put_string(&dim, 2, "N");
        norni_wire_put_message(&shape, 1, &dim);
    }
    norni_wire_put_int(&tensor, 1, dtype);
    if (rank >= 0)
        norni_wire_put_message(&tensor, 2, &shape);
    norni_wire_put_message(&type, 1, &tensor);
    norni_wire_put_string(&v, 1, name);
    norni_wire_put_message(&v, 2, &type);
    norni_wire_put_message(&b->graph, field, &v);
}
#define INPUT(b, name, ...)                                                                                  \
    add_value(b, 11, name, NORN_F32, sizeof((int64_t[]){__VA_ARGS__}) / 8, (int64_t[]){__VA_ARGS__})
#define OUTPUT(b, name, ...)                                                                                 \
    add_value(b, 12, name, NORN_F32, sizeof((int64_t[]){__VA_ARGS__}) / 8, (int64_t[]){__VA_ARGS__})
#define DECLARE(b, name, ...)                                                                                \
    add_value(b, 13, name, NORN_F32, sizeof((int64_t[]){__VA_ARGS__}) / 8, (int64_t[]){__VA_ARGS__})

/* A float initialiser [n] of 0, 1, 2, ...; n < 0: a scalar 1. */
static UNUSED void add_weights(builder *b, const char *name, int64_t n) {
    norni_str t = {0};
    if (n >= 0)
        norni_wire_put_int(&t, 1, n);
    norni_wire_put_int(&t, 2, NORN_F32);
    for (int64_t i = 0; i < (n < 0 ? 1 : n); i++)
        norni_wire_put_float(&t, 4, n < 0 ? 1 : (float)i);
    norni_wire_put_string(&t, 8, name);
    norni_wire_put_message(&b->graph, 5, &t);
}

/* Imports what was built, which is freed. */
static UNUSED norn_status import(builder *b, norn_model **m) {
    norni_str file = {0}, opset = {0};
    if (b->ir)
        norni_wire_put_int(&file, 1, b->ir);
    norni_str_addn(&file, b->model.s, b->model.n);
    norni_wire_put_message(&file, 7, &b->graph);
    if (b->opset) {
        norni_wire_put_int(&opset, 2, b->opset);
        norni_wire_put_message(&file, 8, &opset);
    }
    norni_str_free(&b->model);
    norn_status s = norn_model_import(file.s, file.n, "m", NULL, m);
    norni_str_free(&file);
    return s;
}

static UNUSED norn_model *load(const char *name) {
    norn_model *m;
    char path[128];
    snprintf(path, sizeof path, "onnx/%s.onnx", name);
    WORKS(norn_model_load(data_path(path), NULL, &m));
    return m;
}

/* Exports and imports again. */
static UNUSED norn_status again(const norn_model *m, const norn_save_options *o, norn_model **out) {
    char *data;
    size_t bytes;
    *out = NULL;
    NORNI_TRY(norn_model_export(m, o, &data, &bytes));
    norn_status s = norn_model_import(data, bytes, "again", NULL, out);
    norn_text_free(data);
    return s;
}

static UNUSED norn_value *value_of(const norn_model *m, const char *name) {
    norn_value *v = norn_graph_value(m->graph, name);
    if (!v)
        fail_msg("no value '%s'", name);
    return v;
}

static UNUSED void assert_type(const norn_model *m, const char *name, const char *type) {
    char *text;
    WORKS(norn_value_type_text(value_of(m, name), &text));
    assert_string_equal(text, type);
    norn_text_free(text);
}

/* The operators in order, as "Add Relu". */
static UNUSED void assert_ops(const norn_model *m, const char *ops) {
    norni_str s = {0};
    for (size_t i = 0; i < m->graph->nodes.n; i++) {
        const norn_node *n = m->graph->nodes.v[i];
        norni_str_addf(&s, "%s%s", i ? " " : "", n->op == &norni_op_unknown ? n->type : n->op->name);
    }
    assert_string_equal(s.s ? s.s : "", ops);
    norni_str_free(&s);
}

#endif
