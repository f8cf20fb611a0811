/* SPDX-License-Identifier: Apache-2.0 */
/* Models that are refused, with what the messages say; limits; damaged files; memory that runs out. */
#include "onnx_models.h"

/* A sparse initialiser of two values at `at` in [dims]. */
static void add_sparse(builder *b, int64_t dims, int64_t at0, int64_t at1) {
    norni_str values = {0}, indices = {0}, s = {0};
    norni_wire_put_int(&values, 1, 2);
    norni_wire_put_int(&values, 2, NORN_F32);
    norni_wire_put_float(&values, 4, 1);
    norni_wire_put_float(&values, 4, 2);
    norni_wire_put_string(&values, 8, "w");
    norni_wire_put_int(&indices, 1, 2);
    norni_wire_put_int(&indices, 2, NORN_I64);
    norni_wire_put_int(&indices, 7, at0);
    norni_wire_put_int(&indices, 7, at1);
    norni_wire_put_message(&s, 1, &values);
    norni_wire_put_message(&s, 2, &indices);
    norni_wire_put_int(&s, 3, dims);
    norni_wire_put_message(&b->graph, 15, &s);
}

static void test_sparse_errors(void **state) {
    norn_model *m;
    builder b = build(13);
    add_sparse(&b, 4, 1, 4);
    FAILS(import(&b, &m), NORN_PARSE, "m: initialiser 'w': index 4 (wanted 0 to 3)");
    b = build(13);
    add_sparse(&b, 4, 2, 2);
    FAILS(import(&b, &m), NORN_PARSE, "its indices do not ascend");
    b = build(13);
    add_sparse(&b, (int64_t)1 << 40, 1, 2); /* would be 4 TiB */
    FAILS(import(&b, &m), NORN_UNSUPPORTED,
          "4398046511104 bytes when filled in (norn's limit for sparse tensors");
}

static void add_external(builder *b, const char *location, const char *offset, const char *length) {
    norni_str t = {0};
    const char *const entries[][2] = {{"location", location}, {"offset", offset}, {"length", length}};
    norni_wire_put_int(&t, 1, 2);
    norni_wire_put_int(&t, 2, NORN_F32);
    norni_wire_put_string(&t, 8, "w");
    for (int i = 0; i < 3; i++) {
        norni_str e = {0};
        norni_wire_put_string(&e, 1, entries[i][0]);
        norni_wire_put_string(&e, 2, entries[i][1]);
        if (entries[i][1])
            norni_wire_put_message(&t, 13, &e);
        norni_str_free(&e);
    }
    norni_wire_put_int(&t, 14, 1);
    norni_wire_put_message(&b->graph, 5, &t);
}

static void test_external_errors(void **state) {
    static const struct {
        const char *location, *offset, *length, *text;
        norn_status status;
    } cases[] = {
        {"/etc/passwd", NULL, NULL, "external data at '/etc/passwd' (wanted a path relative to", NORN_ARG},
        {"a/../../b", NULL, NULL, "external data at 'a/../../b' (wanted a path without '..')", NORN_ARG},
        {"..", NULL, NULL, "(wanted a path without '..')", NORN_ARG},
        {"", NULL, NULL, "external data at '' (wanted a path", NORN_ARG},
        {NULL, NULL, NULL, "external data without a location", NORN_PARSE},
        {"f", "-8", NULL, "external data: offset is '-8' (wanted a number of bytes)", NORN_PARSE},
        {"f", "1e3", NULL, "external data: offset is '1e3'", NORN_PARSE},
        {"f", "9999999999999999999", NULL, "external data: offset is '9999999999999999999'", NORN_PARSE},
        {"f", NULL, "4", "external data: length 4 (wanted 8)", NORN_SHAPE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        norn_model *m;
        builder b = build(13);
        add_external(&b, cases[i].location, cases[i].offset, cases[i].length);
        FAILS(import(&b, &m), cases[i].status, cases[i].text);
    }
}

static void test_raise_errors(void **state) {
    norn_model *m;
    builder b = build(13);
    norni_str a = attr_float("min", 0);
    INPUT(&b, "x", 3);
    add_named_node(&b, "c", "Clip", "x", "y", &a);
    FAILS(import(&b, &m), NORN_ARG,
          "m: node 'c' Clip: attribute 'min' in opset 13 (it is input 1 'min' since opset 11)");
    b = build(10);
    INPUT(&b, "x", 3);
    add_weights(&b, "w", -1);
    add_named_node(&b, "c", "Clip", "x,w", "y", NULL);
    FAILS(import(&b, &m), NORN_ARG,
          "m: node 'c' Clip: input 1 'min' in opset 10 (it is the attribute 'min' before opset 11)");
    b = build(13);
    a = attr_int("axes", 1);
    INPUT(&b, "x", 3);
    add_named_node(&b, NULL, "Shape", "x", "y", &a);
    FAILS(import(&b, &m), NORN_ARG,
          "m: node 0 (of 'y') Shape: got attribute 'axes' (it has no such attribute)");
    b = build(17);
    a = attr_float("alpha", 1);
    norni_str twice = attr_float("alpha", 2);
    norni_str_addn(&a, twice.s, twice.n);
    norni_str_free(&twice);
    INPUT(&b, "x", 3);
    add_named_node(&b, NULL, "Elu", "x", "y", &a);
    FAILS(import(&b, &m), NORN_PARSE, "Elu: attribute 'alpha' is given twice");
    b = build(6); /* an operator that norn has, but not in this form: kept, and said */
    INPUT(&b, "x", 3);
    add_node(&b, "Sin", "x", "y");
    OUTPUT(&b, "y", 3);
    WORKS(import(&b, &m));
    assert_int_equal(norn_model_warning_count(m), 1);
    assert_string_equal(norn_model_warning_at(m, 0),
                        "node 0 (of 'y') Sin: norn does not have it as opset 6 defines it");
    assert_true(m->graph->nodes.v[0]->op == &norni_op_unknown);
    norn_model_free(m);
}

/* f0 calls f1 calls f2 ... each `calls` times; the last one is Neg, or calls f0. */
static void add_functions(builder *b, int n, int calls, bool cycle) {
    for (int i = 0; i < n; i++) {
        norni_str f = {0}, opset = {0}, mine = {0};
        char name[16], callee[16];
        snprintf(name, sizeof name, "f%d", i);
        snprintf(callee, sizeof callee, "f%d", i + 1 < n ? i + 1 : 0);
        norni_wire_put_string(&f, 1, name);
        norni_wire_put_string(&f, 4, "a");
        norni_wire_put_string(&f, 5, "b");
        for (int k = 0; k < calls; k++) {
            norni_str node = {0};
            char out[16];
            bool last = i + 1 == n && !cycle;
            snprintf(out, sizeof out, k ? "c%d" : "b", k);
            norni_wire_put_string(&node, 1, "a");
            norni_wire_put_string(&node, 2, out);
            norni_wire_put_string(&node, 4, last ? "Neg" : callee);
            if (!last)
                norni_wire_put_string(&node, 7, "d");
            norni_wire_put_message(&f, 7, &node);
        }
        norni_wire_put_int(&opset, 2, 17);
        norni_wire_put_message(&f, 9, &opset);
        norni_wire_put_string(&mine, 1, "d");
        norni_wire_put_int(&mine, 2, 1);
        norni_wire_put_message(&f, 9, &mine);
        norni_wire_put_string(&f, 10, "d");
        norni_wire_put_message(&b->model, 25, &f);
    }
    norni_str opset = {0}, call = {0};
    norni_wire_put_string(&opset, 1, "d");
    norni_wire_put_int(&opset, 2, 1);
    norni_wire_put_message(&b->model, 8, &opset);
    INPUT(b, "x", 3);
    norni_wire_put_string(&call, 1, "x");
    norni_wire_put_string(&call, 2, "y");
    norni_wire_put_string(&call, 4, "f0");
    norni_wire_put_string(&call, 7, "d");
    norni_wire_put_message(&b->graph, 1, &call);
    OUTPUT(b, "y", 3);
}

static void test_function_limits(void **state) {
    norn_model *m;
    builder b = build(17);
    add_functions(&b, 5, 3, false);
    WORKS(import(&b, &m));
    assert_int_equal(m->graph->nodes.n, 243);
    norn_model_free(m);
    b = build(17);
    add_functions(&b, 3, 1, true);
    FAILS(import(&b, &m), NORN_PARSE, "m: function 'd.f0' calls itself");
    b = build(17);
    add_functions(&b, 60, 1, false);
    WORKS(import(&b, &m));
    norn_model_free(m);
    b = build(17);
    add_functions(&b, 1000, 1, false);
    FAILS(import(&b, &m), NORN_PARSE, "calls nest deeper than 64 (norn's limit)");
    b = build(17);
    add_functions(&b, 40, 10, false); /* 10^40 nodes */
    FAILS(import(&b, &m), NORN_UNSUPPORTED,
          "functions and subgraphs add more than 100000 nodes (norn's limit)");
}

static void test_structure_errors(void **state) {
    norn_model *m;
    builder b = build(17);
    INPUT(&b, "x", 3);
    add_named_node(&b, "a", "Add", "x,q", "p", NULL);
    add_named_node(&b, "b", "Neg", "p", "q", NULL);
    FAILS(import(&b, &m), NORN_PARSE, "m: a cycle of 2 nodes: node 'a', node 'b'");
    b = build(17);
    INPUT(&b, "x", 3);
    add_named_node(&b, "a", "Add", "x,a", "a", NULL);
    FAILS(import(&b, &m), NORN_PARSE, "m: a cycle of 1 nodes: node 'a'");
    b = build(17);
    add_named_node(&b, "a", "Add", "x,w", "y", NULL);
    FAILS(import(&b, &m), NORN_PARSE,
          "m: node 'a' Add: input 'x': nothing makes it (wanted an input, an initialiser or an output of a "
          "node)");
    b = build(17);
    INPUT(&b, "x", 3);
    add_node(&b, "Neg", "x", "x");
    FAILS(import(&b, &m), NORN_PARSE, "its output 'x' is an input or initialiser already");
    b = build(17);
    INPUT(&b, "x", 3);
    INPUT(&b, "x", 3);
    FAILS(import(&b, &m), NORN_PARSE, "m: input 'x' is there twice");
    b = build(17);
    add_weights(&b, "w", 2);
    add_weights(&b, "w", 2);
    FAILS(import(&b, &m), NORN_PARSE, "m: initialiser 'w' is there twice");
    b = build(17);
    OUTPUT(&b, "y", 3);
    FAILS(import(&b, &m), NORN_PARSE, "m: output 'y': nothing makes it");
    b = build(17);
    INPUT(&b, "x", 3);
    OUTPUT(&b, "x", 3);
    OUTPUT(&b, "x", 3);
    FAILS(import(&b, &m), NORN_PARSE, "m: output 'x' is listed twice");
    b = build(17);
    INPUT(&b, "x", 3);
    add_node(&b, "", "x", "y");
    FAILS(import(&b, &m), NORN_PARSE, "m: node 0 (of 'y'): names no operator");
    b = build(17);
    INPUT(&b, "x", 3);
    add_node(&b, "Add", "x", "y");
    FAILS(import(&b, &m), NORN_ARG, "m: node 0 (of 'y') Add(float[3]): input 1 'b' is missing");
    b = build(17);
    INPUT(&b, "x", 3);
    INPUT(&b, "z", 4);
    add_named_node(&b, "sum", "Add", "x,z", "y", NULL);
    FAILS(import(&b, &m), NORN_SHAPE,
          "m: node 'sum' Add(float[3], float[4]): shapes do not broadcast: 3 against 4 in dimension 0");
    b = build(17);
    INPUT(&b, "x", 3);
    add_node(&b, "Relu", "x", "y,z");
    FAILS(import(&b, &m), NORN_ARG, "Relu(float[3]): 2 outputs (wanted at most 1)");
}

static void test_head_errors(void **state) {
    norn_model *m;
    FAILS(norn_model_import("", 0, "m", NULL, &m), NORN_PARSE, "m: the file is empty (wanted an ONNX model)");
    FAILS(norn_model_import("\x08\x08", 2, "m", NULL, &m), NORN_PARSE,
          "m: no graph in it (is this an ONNX model?)");
    FAILS(norn_model_load(data_path("onnx"), NULL, &m), NORN_IO, "is a directory (wanted a file)");
    builder b = build(0);
    FAILS(import(&b, &m), NORN_PARSE, "m: no opset_import (it says what operators mean)");
    b = build(29);
    FAILS(import(&b, &m), NORN_UNSUPPORTED, "m: opset 29 of domain '' (wanted 1 to 28)");
    b = build(-1);
    FAILS(import(&b, &m), NORN_UNSUPPORTED, "m: opset -1 of domain ''");
    b = build(17);
    b.ir = 2;
    FAILS(import(&b, &m), NORN_UNSUPPORTED, "m: IR version 2 (wanted 3 to 14)");
    b = build(17);
    b.ir = 15;
    FAILS(import(&b, &m), NORN_UNSUPPORTED, "m: IR version 15 (wanted 3 to 14)");
    b = build(17);
    norni_str opset = {0};
    norni_wire_put_string(&opset, 1, "ai.onnx"); /* the default domain by its other name */
    norni_wire_put_int(&opset, 2, 16);
    norni_wire_put_message(&b.model, 8, &opset);
    FAILS(import(&b, &m), NORN_PARSE, "m: opsets 16 and 17 of domain ''");
    b = build(17);
    opset = (norni_str){0};
    norni_wire_put_string(&opset, 1, "ai.onnx");
    norni_wire_put_int(&opset, 2, 17);
    norni_wire_put_message(&b.model, 8, &opset); /* said twice is said once: skl2onnx does so */
    INPUT(&b, "x", 3);
    add_node(&b, "Relu", "x", "y");
    OUTPUT(&b, "y", 3);
    WORKS(import(&b, &m));
    assert_int_equal(norn_model_opset(m), 17);
    norn_model_free(m);
    b = build(17);
    norni_str node = {0};
    norni_wire_put_string(&node, 2, "y");
    norni_wire_put_string(&node, 4, "Op");
    norni_wire_put_string(&node, 7, "com.nowhere");
    norni_wire_put_message(&b.graph, 1, &node);
    FAILS(import(&b, &m), NORN_PARSE,
          "m: node 0 (of 'y') Op: the file imports no opset of domain 'com.nowhere'");
    b = build(17);
    for (int i = 0; i < 3000; i++)
        add_node(&b, "", "", "");
    norni_str file = {0};
    norni_wire_put_int(&file, 1, 8);
    norni_wire_put_message(&file, 7, &b.graph);
    FAILS(norn_model_import(file.s, file.n, "m", &(norn_load_options){.memory_limit_bytes = 100000}, &m),
          NORN_NOMEM, "the file's structures need more than 100000 bytes (its limit)");
    norni_str_free(&file);
}

/* ---- Damage. */
static norn_status read_bytes(const unsigned char *data, size_t n) {
    norn_model *m;
    norn_status s = norn_model_import(data, n, "damaged", NULL, &m);
    assert_true((s == NORN_OK) == (m != NULL));
    norn_model_free(m);
    return s;
}

static void test_damage(void **state) {
    static const char *const names[] = {"everything", "capture",  "functions", "functions_kept",
                                        "sparse",     "strings",  "sequences", "old_ir3",
                                        "squeeze9",   "optional", "sizes"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t n;
        char path[64];
        snprintf(path, sizeof path, "onnx/%s.onnx", names[i]);
        unsigned char *data = get_file(data_path(path), &n);
        damage(data, n, 3000, false, read_bytes);
        norni_free(data);
    }
}

static const char *starving;
static norn_status starved(void) {
    norn_model *m;
    char path[64];
    snprintf(path, sizeof path, "onnx/%s.onnx", starving);
    norn_status s = norn_model_load(data_path(path), NULL, &m);
    norn_model_free(m);
    return s;
}

static void test_starved(void **state) {
    static const char *const names[] = {"everything", "capture", "functions_kept", "sparse",
                                        "external",   "strings", "old_ir3",        "lies"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        starving = names[i];
        starve(starved);
    }
}

/* Every malformed file of the larger test material whose fault shows at import. */
static void test_bad_files(void **state) {
    static const struct {
        const char *name, *text;
    } cases[] = {
        {"trunc_10pct", "byte 22: graph: length 16051 runs past the end of the file (wanted at most 1585)"},
        {"trunc_50pct", "graph: length 16051 runs past the end of the file"},
        {"trunc_90pct", "graph: length 16051 runs past the end of the file"},
        {"empty", "the file is empty (wanted an ONNX model)"},
        {"text", "byte 0: field 10 is"},
        {"png_magic", "field number 0"},
        {"varint_too_long", "ir_version: a number is cut off or longer than 10 bytes"},
        {"len_beyond_end", "graph: length 268435455 runs past the end of the file (wanted at most 190)"},
        {"dims_overflow_product",
         "initialiser 'w': float[4611686018427387904,4] has more elements than can be counted"},
        {"dims_huge_no_data",
         "initialiser 'w': 0 bytes of data (wanted 4398046511104 for float[1099511627776])"},
        {"dims_negative", "initialiser 'w': size -4 in dimension 0 (wanted at least 0)"},
        {"raw_too_short", "initialiser 'w': 12 bytes of data (wanted 16 for float[4])"},
        {"raw_too_long", "initialiser 'w': 20 bytes of data (wanted 16 for float[4])"},
        {"cycle", "a cycle of 2 nodes: node 0 (of 'a'), node 1 (of 'b')"},
        {"missing_initializer", "Add: input 'w': nothing makes it"},
        {"dup_output_name", "its output 'y' is made by node 0 (of 'y') already"},
        {"output_not_produced", "output 'z': nothing makes it"},
        {"dtype_99", "initialiser 'w': element type 99 (wanted 1 to 26)"},
        {"opset_9999", "opset 9999 of domain '' (wanted 1 to 28)"},
        {"cast_no_to", "Cast: attribute 'to' is missing (it has no default)"},
        {"function_recursion", "function 'loc.f' calls itself"},
        {"ext_traversal", "(wanted a path without '..')"},
        {"ext_absolute", "external data at '/etc/passwd' (wanted a path relative to the model's directory)"},
        {"ext_missing", "cannot open external data: No such file"},
        {"nest_if_2000", "messages nest deeper than 100 (norn's limit)"},
    };
    if (!fixture_path("bad"))
        skip();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[64];
        norn_model *m;
        snprintf(name, sizeof name, "bad/%s.onnx", cases[i].name);
        const char *path = fixture_path(name);
        assert_non_null(path);
        norn_status s = norn_model_load(path, NULL, &m);
        if (s == NORN_OK || !strstr(norn_error(), cases[i].text) || strncmp(norn_error(), path, strlen(path)))
            fail_msg("%s: %s (wanted %s)", name, s == NORN_OK ? "accepted" : norn_error(), cases[i].text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sparse_errors),    cmocka_unit_test(test_external_errors),
        cmocka_unit_test(test_raise_errors),     cmocka_unit_test(test_function_limits),
        cmocka_unit_test(test_structure_errors), cmocka_unit_test(test_head_errors),
        cmocka_unit_test(test_damage),           cmocka_unit_test(test_starved),
        cmocka_unit_test(test_bad_files),
    };
    return cmocka_run_group_tests(tests, make_temporary, remove_temporary);
}
