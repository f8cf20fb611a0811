/* SPDX-License-Identifier: Apache-2.0 */
#include "onnx_models.h"

#include "export/onnx/extra.h"
#include "export/onnx/import.h"

static norn_status load_file(const char *path, norn_model **m) {
    return norn_model_load(path, NULL, m);
}

/* The values that tests/data/onnx/make.py wrote. */
static double sample(norn_dtype t, int64_t i) {
    double v = (double)((i * 7 + 3) % 5 - 2);
    return norni_dtype_class(t) == NORNI_CLASS_UINT   ? (v < 0 ? -v : v)
           : norni_dtype_class(t) == NORNI_CLASS_BOOL ? v != 0
                                                      : v;
}

/* Every element type, as raw data and in its typed field. */
static void test_tensors(void **state) {
    norn_model *m = load("tensors");
    int checked = 0;
    for (size_t i = 0; i < norn_graph_constant_count(m->graph); i++) {
        const norn_value *v = norn_graph_constant_at(m->graph, i);
        const char *bar = strrchr(v->name, '_');
        if (!bar)
            continue;
        char type[64];
        snprintf(type, sizeof type, "%s", v->name);
        type[strcspn(type, "_")] = 0;
        if (strcmp(norn_dtype_name(v->type.dtype), type))
            fail_msg("%s has type %s", v->name, norn_dtype_name(v->type.dtype));
        assert_int_equal(v->type.dims[0], strstr(v->name, "large") ? 1100 : 7);
        for (int64_t k = 0; k < v->type.dims[0] && v->type.dtype != NORN_I2; k++) /* 2 is no int2 */
            if (norni_get_double(v->type.dtype, norni_tensor_data(v->data), k) != sample(v->type.dtype, k))
                fail_msg("%s: element %d is %g", v->name, (int)k,
                         norni_get_double(v->type.dtype, norni_tensor_data(v->data), k));
        checked++;
    }
    assert_int_equal(checked, 56);
    assert_type(m, "empty", "float[0,3]");
    assert_type(m, "scalar", "float[]");
    assert_true(norn_tensor_get(norn_value_data(value_of(m, "scalar")), 0) == 2.5);
    /* Both encodings of every type say the same. */
    for (size_t i = 0; i < norn_graph_constant_count(m->graph); i++) {
        const norn_value *raw = norn_graph_constant_at(m->graph, i);
        char name[64];
        if (!strstr(raw->name, "_raw"))
            continue;
        snprintf(name, sizeof name, "%.*styped", (int)(strlen(raw->name) - 3), raw->name);
        assert_true(norni_tensor_equal(raw->data, value_of(m, name)->data));
    }
    norn_model_free(m);
}

static void test_head(void **state) {
    norn_model *m = load("everything");
    assert_int_equal(norn_model_ir_version(m), 11);
    assert_int_equal(norn_model_opset(m), 23);
    assert_int_equal(norni_model_opset_of(m, "com.example"), 3);
    assert_int_equal(norni_model_opset_of(m, "com.other"), 0);
    assert_string_equal(norn_model_producer(m), "make.py");
    assert_string_equal(norn_model_producer_version(m), "1");
    assert_string_equal(norn_model_doc(m), "says everything");
    assert_int_equal(norn_model_metadata_count(m), 2);
    assert_string_equal(norn_model_metadata_key(m, 0), "author");
    assert_string_equal(norn_model_metadata_value(m, 1), "CC0");
    assert_null(norn_model_metadata_key(m, 2));
    assert_string_equal(norn_model_metadata(m, "licence"), "CC0");
    assert_null(norn_model_metadata(m, "price"));
    WORKS(norn_model_set_metadata(m, "licence", "MIT"));
    WORKS(norn_model_set_metadata(m, "author", NULL));
    WORKS(norn_model_set_metadata(m, "price", "0"));
    WORKS(norn_model_set_metadata(m, "absent", NULL));
    assert_int_equal(norn_model_metadata_count(m), 2);
    assert_string_equal(norn_model_metadata(m, "licence"), "MIT");
    assert_string_equal(norn_model_metadata(m, "price"), "0");
    assert_int_equal(norn_model_warning_count(m), 0);
    assert_string_equal(norn_graph_name(norn_model_graph(m)), "everything");
    assert_int_equal(norn_graph_input_count(m->graph), 1);
    assert_string_equal(norn_graph_output_name(m->graph, 0), "y");
    assert_type(m, "x", "float[N,3]");
    assert_type(m, "y", "float[N,3]");
    assert_ops(m, "Add Mul");
    assert_string_equal(m->graph->nodes.v[0]->name, "sum");
    norn_model_free(m);
}

static void test_sparse(void **state) {
    norn_model *m = load("sparse");
    static const float flat[] = {0, 10, 0, 0, 0, 20}, pairs[] = {0, 0, 30, 40, 0, 0};
    assert_memory_equal(norn_tensor_data(value_of(m, "flat")->data), flat, sizeof flat);
    assert_memory_equal(norn_tensor_data(value_of(m, "pairs")->data), pairs, sizeof pairs);
    norn_model_free(m);
}

static void test_external(void **state) {
    norn_model *m = load("external");
    static const float w[] = {0, 1, 2, 3, 4, 5};
    static const int64_t k[] = {0, 1, 2, 3, 4};
    assert_memory_equal(norn_tensor_data(value_of(m, "w")->data), w, sizeof w);
    assert_memory_equal(norn_tensor_data(value_of(m, "k")->data), k, sizeof k);
    norn_model_free(m);
    size_t n;
    unsigned char *data = get_file(data_path("onnx/external.onnx"), &n);
    FAILS(norn_model_import(data, n, "memory", NULL, &m), NORN_ARG,
          "memory: initialiser 'w': external data at 'external.bin' (a model in memory has no directory)");
    put_file(temporary_path("external.onnx"), data, n);
    FAILS(load_file(temporary_path("external.onnx"), &m), NORN_IO,
          "external.bin: cannot open external data: No such file");
    put_file(temporary_path("external.bin"), "0123456789", 10);
    FAILS(load_file(temporary_path("external.onnx"), &m), NORN_PARSE,
          "external data: bytes 8 to 32 of 'external.bin', which has 10");
    remove(temporary_path("external.bin")); /* a link out of the directory */
    assert_int_equal(symlink(data_path("onnx/external.bin"), temporary_path("external.bin")), 0);
    FAILS(load_file(temporary_path("external.onnx"), &m), NORN_ARG,
          "external data at 'external.bin' is really ");
    remove(temporary_path("external.bin"));
    remove(temporary_path("external.onnx"));
    norni_free(data);
}

/* ---- Old opsets. */
static void test_raise(void **state) {
    norn_model *m = load("old_ir3");
    assert_int_equal(norn_graph_input_count(m->graph), 1); /* the initialiser that is listed is none */
    assert_true(norni_extra_find(value_of(m, "w"), NORNI_EXTRA_LISTED, NULL));
    assert_ops(m, "Add Clip");
    const norn_node *clip = m->graph->nodes.v[1];
    assert_int_equal(clip->n_in, 3);
    assert_true(norn_tensor_get(clip->in[1]->data, 0) == -1 && norn_tensor_get(clip->in[2]->data, 0) == 2.5);
    assert_string_equal(clip->name, "clip");
    norn_model_free(m);
    m = load("squeeze9");
    assert_type(m, "u", "float[1,2,3,1]");
    assert_type(m, "s", "float[1,2,3]");
    assert_type(m, "y", "float[2,3]");
    norn_model_free(m);
}

/* Before opset 7 the second input broadcast from any axis. */
static void test_old_broadcast(void **state) {
    norn_model *m, *back;
    builder b = build(6);
    b.ir = 3;
    norni_str a = attr_int("broadcast", 1), axis = attr_int("axis", 1);
    norni_str_addn(&a, axis.s, axis.n);
    norni_str_free(&axis);
    INPUT(&b, "x", 2, 3, 4);
    INPUT(&b, "v", 3);
    add_named_node(&b, "n", "Add", "x,v", "y", &a);
    OUTPUT(&b, "y", 2, 3, 4);
    WORKS(import(&b, &m));
    assert_ops(m, "Unsqueeze Add");
    assert_type(m, "y", "float[2,3,4]");
    WORKS(again(m, NULL, &back)); /* opset 6 again: without the Unsqueeze, which then comes anew */
    assert_ops(back, "Unsqueeze Add");
    assert_int_equal(norn_model_opset(back), 6);
    norn_model_free(back);
    WORKS(again(m, &(norn_save_options){.opset = 13}, &back));
    assert_ops(back, "Unsqueeze Add");
    norn_model_free(back);
    norn_model_free(m);
    b = build(6);
    a = attr_int("broadcast", 1);
    axis = attr_int("axis", 2);
    norni_str_addn(&a, axis.s, axis.n);
    norni_str_free(&axis);
    INPUT(&b, "x", 2, 3);
    INPUT(&b, "v", 3);
    add_named_node(&b, "n", "Add", "x,v", "y", &a);
    FAILS(import(&b, &m), NORN_SHAPE, "m: node 'n' Add: axis 2 (wanted 0 to 1 for ranks 2 and 1)");
    b = build(7);
    a = attr_int("broadcast", 1);
    INPUT(&b, "x", 3);
    add_named_node(&b, "n", "Add", "x,x", "y", &a);
    FAILS(import(&b, &m), NORN_ARG,
          "m: node 'n' Add: attribute 'broadcast' in opset 7 (opset 7 took it away)");
}

/* ---- Functions. */
static void test_functions(void **state) {
    norn_model *m = load("functions");
    /* Limit -> Min, Leaky -> LeakyRelu, Constant, Mul; Leaky; the other Limit -> Max, Neg; Add, Add */
    assert_ops(m, "Min LeakyRelu Mul LeakyRelu Max Neg Add Add");
    assert_null(m->extra.data && m->extra.bytes ? m : NULL); /* no function is left */
    const norn_node *inner = m->graph->nodes.v[1], *outer = m->graph->nodes.v[3];
    float alpha;
    memcpy(&alpha, inner->attrs, sizeof alpha);
    assert_true(alpha == 0.25f); /* given by the call */
    memcpy(&alpha, outer->attrs, sizeof alpha);
    assert_true(alpha == 0.5f); /* the function's default */
    assert_string_equal(inner->name, "call/out/inner");
    assert_string_equal(outer->name, "leak/inner");
    assert_string_equal(m->graph->nodes.v[0]->out[0]->name, "call/m"); /* not the graph's m */
    assert_string_equal(inner->out[0]->name, "m");
    norn_model_free(m);
    m = load("functions_kept");
    assert_ops(m, "Min LeakyRelu Mul LeakyRelu Max Neg Add Add Opaque");
    assert_true(m->extra.bytes > 0);
    norn_model_free(m);
}

/* ---- What norn lacks. */
static void test_captures(void **state) {
    norn_model *m = load("capture");
    assert_ops(m, "Relu If");
    const norn_node *n = m->graph->nodes.v[1];
    assert_int_equal(n->n_in, 4); /* go; then what the subgraphs read: outer, w, and go again */
    assert_string_equal(n->in[0]->name, "go");
    assert_string_equal(n->in[1]->name, "outer");
    assert_string_equal(n->in[2]->name, "w");
    char *text;
    WORKS(norn_graph_unsupported(m->graph, &text));
    assert_null(text);
    assert_type(m, "y", "float[2,3]"); /* of both branches */
    norn_model_free(m);
}

static void test_strings(void **state) {
    norn_model *m = load("strings");
    assert_ops(m, "Constant Constant Concat Equal"); /* all kept: norn has no strings */
    for (size_t i = 0; i < m->graph->nodes.n; i++)
        assert_true(m->graph->nodes.v[i]->op == &norni_op_unknown);
    assert_type(m, "given", "string[2]");
    assert_type(m, "same", "bool[2]");
    norn_model_free(m);
    m = load("sequences");
    assert_int_equal(value_of(m, "seq")->type.dtype, NORN_UNDEFINED);
    assert_int_equal(value_of(m, "seq")->type.rank, -1);
    assert_type(m, "n", "int64[]");
    norn_model_free(m);
}

/* A rank that is not known behind an operator that norn lacks is no reason to refuse the file. */
static void test_unranked(void **state) {
    norn_model *m, *n;
    builder b = build(9);
    INPUT(&b, "x", 2, 3);
    add_node(&b, "Mystery", "x", "m");
    add_node(&b, "Softmax", "m", "y");
    add_value(&b, 12, "y", NORN_F32, -1, NULL);
    WORKS(import(&b, &m));
    assert_ops(m, "Mystery Flatten Softmax Shape Reshape");
    WORKS(again(m, NULL, &n));
    assert_int_equal(norn_model_opset(n), 9);
    assert_ops(n, "Mystery Flatten Softmax Shape Reshape");
    norn_model_free(m);
    norn_model_free(n);
}

/* A float constant beside smaller floats: read as its exporter meant it. Other mixtures are refused. */
static void test_mixed(void **state) {
    norn_model *m;
    builder b = build(17);
    add_value(&b, 11, "x", NORN_BF16, 2, (int64_t[]){2, 3});
    add_weights(&b, "w", 3);
    add_node(&b, "MatMul", "x,w", "y");
    add_value(&b, 12, "y", NORN_BF16, 1, (int64_t[]){2});
    WORKS(import(&b, &m));
    assert_ops(m, "Cast MatMul");
    assert_type(m, "y", "bfloat16[2]");
    assert_int_equal(norn_model_warning_count(m), 1);
    assert_string_equal(norn_model_warning_at(m, 0),
                        "node 0 (of 'y') MatMul: input 'B' has type float, and is converted "
                        "to bfloat16, as the other inputs");
    norn_model_free(m);
    b = build(17);
    add_value(&b, 11, "x", NORN_F64, 2, (int64_t[]){2, 3});
    add_weights(&b, "w", 3);
    add_node(&b, "MatMul", "x,w", "y");
    FAILS(import(&b, &m), NORN_DTYPE, "input 'B' has type float (wanted double, as the other inputs)");
}

/* A ZipMap at the end is its tensor, and the file keeps what it says; for another reader norn does not have it. */
static void test_maps(void **state) {
    norn_model *m = load("maps"), *back;
    assert_ops(m, "LinearClassifier ZipMap");
    assert_type(m, "probabilities", "float[N,2]");
    assert_int_equal(norn_model_warning_count(m), 1);
    assert_string_equal(norn_model_warning_at(m, 0), "node 'zip' ZipMap: 'probabilities' is a sequence of "
                                                     "maps; norn gives the tensor, a column for each class");
    WORKS(again(m, NULL, &back));
    assert_int_equal(norn_model_warning_count(back), 1);
    norn_model_free(back);
    norn_model_free(m);
    m = load("maps_read");
    assert_true(m->graph->nodes.v[0]->op == &norni_op_unknown);
    assert_int_equal(norn_model_warning_count(m), 0);
    norn_model_free(m);
}

/* ---- Types. */
static void test_types(void **state) {
    norn_model *m = load("sizes");
    assert_type(m, "s", "float[N,C,T]");
    /* What the unknown operator makes is known by its declaration, and goes on from there. */
    char *text;
    WORKS(norn_value_type_text(value_of(m, "y"), &text));
    assert_true(!strncmp(text, "float[N,4,made up,?", 19));
    norn_text_free(text);
    norn_model_free(m);
    m = load("lies");
    assert_type(m, "r", "float[2,3]");
    assert_int_equal(norn_model_warning_count(m), 2);
    assert_string_equal(norn_model_warning_at(m, 0),
                        "node 0 (of 'r'): 'r' is declared as float[7], but is float[2,3]");
    assert_string_equal(norn_model_warning_at(m, 1),
                        "node 1 (of 'y'): 'y' is declared as float[2,4], but is float[2,3]");
    norn_model_free(m);
    builder b = build(17);
    INPUT(&b, "x", 3);
    add_node(&b, "Relu", "x", "y");
    add_value(&b, 12, "y", NORN_I32, 1, (int64_t[]){3});
    FAILS(import(&b, &m), NORN_DTYPE, "m: node 0 (of 'y'): 'y' is declared as int32, but is float");
    b = build(17);
    add_value(&b, 11, "x", 99, 1, (int64_t[]){3});
    FAILS(import(&b, &m), NORN_DTYPE, "m: input 'x': element type 99 (wanted 1 to 26)");
    b = build(17); /* old exporters write -1 for a size that they do not know */
    INPUT(&b, "x", -1, 3);
    add_node(&b, "Relu", "x", "y");
    OUTPUT(&b, "y", 0, 3);
    WORKS(import(&b, &m));
    assert_int_equal(norn_value_dim(value_of(m, "y"), 0), -1);
    norn_model_free(m);
}

static void test_many_warnings(void **state) {
    builder b = build(17);
    norn_model *m;
    INPUT(&b, "v0", 3);
    for (int i = 0; i < 150; i++) {
        char in[16], out[16];
        snprintf(in, sizeof in, "v%d", i);
        snprintf(out, sizeof out, "v%d", i + 1);
        add_node(&b, "Relu", in, out);
        DECLARE(&b, out, 4);
    }
    WORKS(import(&b, &m));
    assert_int_equal(norn_model_warning_count(m), 101);
    assert_string_equal(norn_model_warning_at(m, 100), "and 50 more");
    assert_null(norn_model_warning_at(m, 101));
    norn_model_free(m);
}

/* ---- Order and names. */
static void test_order(void **state) {
    norn_model *m = load("unsorted");
    assert_ops(m, "Neg Add Mul");
    norn_model_free(m);
    /* A long chain backwards: no recursion. */
    builder b = build(17);
    enum { CHAIN = 50000 };
    INPUT(&b, "v0", 1);
    for (int i = CHAIN; i > 0; i--) {
        char in[16], out[16];
        snprintf(in, sizeof in, "v%d", i - 1);
        snprintf(out, sizeof out, "v%d", i);
        add_node(&b, "Neg", in, out);
    }
    WORKS(import(&b, &m));
    assert_string_equal(m->graph->nodes.v[CHAIN - 1]->out[0]->name, "v50000");
    norn_model_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tensors),   cmocka_unit_test(test_head),
        cmocka_unit_test(test_sparse),    cmocka_unit_test(test_external),
        cmocka_unit_test(test_raise),     cmocka_unit_test(test_old_broadcast),
        cmocka_unit_test(test_functions), cmocka_unit_test(test_captures),
        cmocka_unit_test(test_strings),   cmocka_unit_test(test_unranked),
        cmocka_unit_test(test_mixed),     cmocka_unit_test(test_maps),
        cmocka_unit_test(test_types),     cmocka_unit_test(test_many_warnings),
        cmocka_unit_test(test_order),
    };
    return cmocka_run_group_tests(tests, make_temporary, remove_temporary);
}
