/* SPDX-License-Identifier: Apache-2.0 */
/* Export to other opsets: what has another form there, and what becomes other operators. */
#include "onnx_written.h"

#include <math.h>

static void test_lower(void **state) {
    norn_model *m = load("optional"); /* opset 17: limits are inputs */
    written out = export_of(m, NULL);
    assert_nodes(&out, "Clip(x,,hi)->y Clip(x)->z");
    close_written(&out);
    out = export_opset(m, 9); /* attributes */
    assert_int_equal(out.model->ir_version, 4);
    assert_int_equal(out.model->opset_import[0]->version, 9);
    assert_nodes(&out, "Clip(x)->y Clip(x)->z");
    assert_null(attr_of(out.graph->node[0], "min"));
    assert_true(attr_of(out.graph->node[0], "max")->f == 1);
    assert_int_equal(out.graph->node[1]->n_attribute, 0);
    close_written(&out);
    norn_model_free(m);
    m = load("old_ir3"); /* and back: opset 8 to the newest */
    out = export_opset(m, 28);
    assert_int_equal(out.model->ir_version, 14);
    assert_int_equal(out.graph->node[1]->n_input, 3);
    assert_int_equal(out.graph->node[1]->n_attribute, 0);
    assert_string_equal(out.graph->node[1]->name, "clip");
    close_written(&out);
    out = export_of(m, NULL); /* its own opset and IR version: attributes, initialisers listed as inputs */
    assert_int_equal(out.model->ir_version, 3);
    assert_int_equal(out.graph->n_input, 2);
    assert_string_equal(out.graph->input[1]->name, "w");
    assert_int_equal(out.graph->n_initializer, 1);
    assert_true(attr_of(out.graph->node[1], "min")->f == -1);
    close_written(&out);
    norn_model_free(m);
    builder b = build(17); /* a limit that is computed */
    INPUT(&b, "x", 3);
    add_value(&b, 11, "lo", NORN_F32, 0, NULL);
    add_named_node(&b, "c", "Clip", "x,lo", "y", NULL);
    OUTPUT(&b, "y", 3);
    WORKS(import(&b, &m));
    out = export_opset(m, 10);
    assert_string_equal(out.graph->node[0]->op_type, "Max");
    close_written(&out);
    FAILS(refuse_opset(m, 6), NORN_ARG, "export: opset 6 (wanted 7 to 28)");
    FAILS(refuse_opset(m, 29), NORN_ARG, "export: opset 29 (wanted 7 to 28)");
    norn_model_free(m);
}

static void test_versions(void **state) {
    static const int ir[] = {3, 3, 4, 5, 6, 7, 7, 7, 8, 8, 8, 8, 9, 9, 10, 10, 11, 12, 13, 13, 13, 14};
    norn_graph *g;
    WORKS(norn_graph_new("g", &g));
    norn_value *x = norn_graph_input(g, "x", "float[3]");
    norn_tensor *t = floats(3, 0);
    WORKS(norn_graph_output(g, "y", norn_add(g, x, norn_graph_constant(g, "w", t))));
    norn_model *m = built(g);
    for (int opset = 7; opset <= 28; opset++) {
        written out = export_opset(m, opset);
        assert_int_equal(out.model->ir_version, ir[opset - 7]);
        assert_int_equal(out.model->opset_import[0]->version, opset);
        assert_int_equal(out.graph->n_input, opset < 9 ? 2 : 1); /* IR version 3 lists initialisers */
        close_written(&out);
    }
    norn_tensor_free(t);
    norn_model_free(m);
}

/* Axes from the end, of the data and of the output: before opset 11 they count from the front. */
static void test_axes(void **state) {
    norn_graph *g;
    WORKS(norn_graph_new("g", &g));
    norn_value *x = norn_graph_input(g, "x", "float[4,1,3]"),
               *axes = norni_i64_const(g, 2, (int64_t[]){-1, 1});
    norn_value *u = NORNI_OP2(g, x, axes, "Unsqueeze");
    WORKS(norn_graph_output(g, "y", NORNI_OP2(g, u, norni_i64_const(g, 1, (int64_t[]){-3}), "Squeeze")));
    norn_model *m = built(g);
    written out = export_opset(m, 9);
    const norni_pb_attr *of_u = attr_of(out.graph->node[0], "axes"),
                        *of_y = attr_of(out.graph->node[1], "axes");
    assert_int_equal(of_u->n_ints, 2);
    assert_int_equal(of_u->ints[0], 4);
    assert_int_equal(of_u->ints[1], 1);
    assert_int_equal(of_y->n_ints, 1);
    assert_int_equal(of_y->ints[0], 2);
    assert_int_equal(out.graph->n_initializer, 0);
    close_written(&out);
    out = export_opset(m, 11);
    assert_int_equal(attr_of(out.graph->node[0], "axes")->ints[0], -1);
    close_written(&out);
    norn_model_free(m);
}

/* Before opset 10 the mask of a Dropout had the type of the data; that of d nobody reads. */
static void test_masks(void **state) {
    static const int opsets[] = {7, 9};
    for (int i = 0; i < 2; i++) {
        builder b = build(opsets[i]);
        norn_model *m;
        INPUT(&b, "x", 2, 3);
        add_named_node(&b, "d", "Dropout", "x", "h,unread", NULL);
        add_named_node(&b, "e", "Dropout", "h", "y,mask", NULL);
        DECLARE(&b, "unread", 2, 3);
        OUTPUT(&b, "y", 2, 3);
        OUTPUT(&b, "mask", 2, 3);
        WORKS(import(&b, &m));
        written out = export_of(m, NULL);
        assert_nodes(&out,
                     "Dropout(x)->h Dropout(h)->y Cast(h)->Cast_6 Not(Cast_6)->Not_7 Or(Cast_6,Not_7)->Or_8 "
                     "Cast(Or_8)->mask");
        assert_string_equal(out.graph->node[0]->name, "d");
        assert_string_equal(out.graph->node[1]->name, "e");
        close_written(&out);
        out = export_opset(m, 13);
        assert_nodes(&out, "Dropout(x)->h Dropout(h)->y,Dropout_3 Cast(Dropout_3)->mask");
        close_written(&out);
        norn_model_free(m);
    }
}

/* Operators that are newer than the opset become others, again and again if need be. */
static void test_expand(void **state) {
    norn_model *m = load("new_ops"); /* Gelu (20), HardSwish (14), Mish (18) */
    size_t nodes = m->graph->nodes.n, values = m->graph->values.n;
    written out = export_of(m, NULL);
    assert_nodes(&out, "Gelu(x)->g HardSwish(g)->s Mish(s)->y");
    close_written(&out);
    out = export_opset(m, 17);
    bool erf = false, hard = false;
    for (size_t i = 0; i < out.graph->n_node; i++) {
        const char *op = out.graph->node[i]->op_type;
        erf |= !strcmp(op, "Erf");
        hard |= !strcmp(op, "HardSwish");
        assert_true(strcmp(op, "Gelu") && strcmp(op, "Mish"));
    }
    assert_true(erf && hard);
    assert_string_equal(out.graph->node[out.graph->n_node - 1]->output[0], "y");
    close_written(&out);
    assert_int_equal(m->graph->nodes.n, nodes); /* the graph is as it was */
    assert_int_equal(m->graph->values.n, values);
    WORKS(norn_graph_status(m->graph));
    out = export_opset(m, 8); /* Erf by polynomials */
    for (size_t i = 0; i < out.graph->n_node; i++)
        assert_true(strcmp(out.graph->node[i]->op_type, "Erf"));
    close_written(&out);
    assert_int_equal(m->graph->nodes.n, nodes);
    assert_int_equal(m->graph->values.n, values);
    WORKS(norn_graph_status(m->graph));
    norn_model_free(m);
}

/* What cannot be said in an opset is refused by the node that the file has, whatever stood for it, and leaves the graph alone. */
static void test_refused_within(void **state) {
    builder b = build(20);
    norn_model *m;
    add_value(&b, 11, "x", NORN_F64, 2, (int64_t[]){2, 3});
    add_named_node(&b, "gelu", "Gelu", "x", "y", NULL); /* by Erf, which float alone has other forms of */
    add_value(&b, 12, "y", NORN_F64, 2, (int64_t[]){2, 3});
    WORKS(import(&b, &m));
    size_t nodes = m->graph->nodes.n, values = m->graph->values.n;
    WORKS(refuse_opset(m, 9));
    FAILS(refuse_opset(m, 8), NORN_UNSUPPORTED, "the operator is new in opset 9 (wanted opset 8)");
    assert_non_null(strstr(norn_error(), "node 'gelu' Gelu(double[2,3])"));
    assert_int_equal(m->graph->nodes.n, nodes);
    assert_int_equal(m->graph->values.n, values);
    WORKS(norn_graph_status(m->graph));
    norn_model_free(m);
}

/* Round by what opset 8 has: halves to even, and large numbers as they are. */
static void test_round(void **state) {
    static const double cases[][2] = {{0.5, 0},
                                      {1.5, 2},
                                      {2.5, 2},
                                      {-0.5, 0},
                                      {-1.5, -2},
                                      {0.49999997, 0},
                                      {8388609, 8388609},
                                      {0x1p47 + 0x1p24, 0x1p47 + 0x1p24}, /* the last bit is odd */
                                      {-0x1p100 - 0x1p77, -0x1p100 - 0x1p77},
                                      {(double)INFINITY, (double)INFINITY},
                                      {-(double)INFINITY, -(double)INFINITY}};
    enum { N = sizeof cases / sizeof *cases };
    norn_graph *g;
    norn_session *host;
    norn_executable *e;
    norn_fetch y = {.name = "y"};
    norn_tensor *t = floats(N, 0);
    for (int i = 0; i < N; i++)
        norn_tensor_set(t, i, cases[i][0]);
    WORKS(norn_graph_new("g", &g));
    WORKS(norn_graph_output(g, "y", NORNI_OP1(g, norn_graph_input(g, "x", "float[N]"), "Round")));
    norn_model *m = built(g), *back;
    WORKS(again(m, &(norn_save_options){.opset = 8}, &back));
    for (size_t i = 0; i < back->graph->nodes.n; i++)
        assert_string_not_equal(back->graph->nodes.v[i]->op->name, "Round");
    WORKS(norn_session_open("host", &host));
    WORKS(norn_executable_new(host, back->graph, NULL, NULL, &e));
    WORKS(norn_executable_run(e, 1, &(norn_feed){"x", t}, 1, &y));
    for (int i = 0; i < N; i++)
        assert_true(norn_tensor_get(y.tensor, i) == cases[i][1]);
    norn_tensor_free(y.tensor);
    norn_executable_free(e);
    norn_session_close(host);
    norn_tensor_free(t);
    norn_model_free(back);
    norn_model_free(m);
}

/* A gradient is exported as plain ONNX: operators of norn's own become others. */
static void test_gradient(void **state) {
    norn_graph *g;
    WORKS(norn_graph_new("g", &g));
    norn_value *x = norn_graph_input(g, "x", "float[2,5]"), *w = norn_graph_input(g, "w", "float[5,3]"), *dw;
    norn_value *y = norn_softmax(g, norn_matmul(g, x, w), -1);
    WORKS(norn_grad(g, norn_reduce_sum(g, norn_mul(g, y, y), 0, NULL, false), NULL, 1, &w, &dw));
    WORKS(norn_graph_output(g, "dw", dw));
    norn_model *m = built(g), *back;
    bool own = false;
    for (size_t i = 0; i < g->nodes.n; i++)
        own |= !strcmp(g->nodes.v[i]->op->domain, "norn");
    assert_true(own);
    size_t nodes = g->nodes.n, values = g->values.n;
    for (int opset = 13; opset <= 28; opset += 3) {
        written out = export_opset(m, opset);
        for (size_t i = 0; i < out.graph->n_node; i++)
            assert_null(out.graph->node[i]->domain);
        assert_int_equal(out.model->n_opset_import, 1);
        close_written(&out);
    }
    assert_int_equal(g->nodes.n, nodes);
    assert_int_equal(g->values.n, values);
    WORKS(again(m, NULL, &back));
    assert_type(back, "dw", "float[5,3]");
    norn_model_free(back);
    norn_model_free(m);
}

static void test_types(void **state) {
    norn_graph *g;
    WORKS(norn_graph_new("g", &g));
    norn_value *x = norn_graph_input(g, "x", "bfloat16[3]");
    WORKS(norn_graph_output(g, "y", norn_neg(g, x)));
    norn_model *m = built(g);
    WORKS(refuse_opset(m, 13));
    FAILS(refuse_opset(m, 12), NORN_UNSUPPORTED,
          "Neg(bfloat16[3]): elements of type bfloat16 are new in opset 13 (wanted opset 12)");
    norn_model_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lower),          cmocka_unit_test(test_versions), cmocka_unit_test(test_axes),
        cmocka_unit_test(test_masks),          cmocka_unit_test(test_expand),   cmocka_unit_test(test_round),
        cmocka_unit_test(test_refused_within), cmocka_unit_test(test_gradient), cmocka_unit_test(test_types),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
