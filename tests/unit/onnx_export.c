/* SPDX-License-Identifier: Apache-2.0 */
#include "onnx_written.h"

#include "export/onnx/extra.h"

static void test_built(void **state) {
    norn_graph *g;
    norn_tensor *t = floats(3, 1);
    WORKS(norn_graph_new("mine", &g));
    norn_value *x = norn_graph_input(g, "x", "float[N,3]"), *w = norn_graph_constant(g, "w", t);
    norn_value *y = norn_relu(g, norn_add(g, x, w));
    WORKS(norn_graph_output(g, "y", y));
    WORKS(norn_graph_output(g, "again", y)); /* a second name for the same value */
    WORKS(norn_graph_output(g, "x_out", x)); /* and one for an input */
    norn_model *m = built(g);
    written out = export_of(m, NULL);
    assert_int_equal(out.model->ir_version, 8);
    assert_int_equal(out.model->n_opset_import, 1);
    assert_int_equal(out.model->opset_import[0]->version, 17);
    assert_string_equal(out.model->producer_name, "norn");
    assert_string_equal(out.model->producer_version, norn_version());
    assert_string_equal(out.graph->name, "mine");
    assert_nodes(&out, "Add(x,w)->Add_2 Relu(Add_2)->y Identity(y)->again Identity(x)->x_out");
    assert_int_equal(out.graph->n_initializer, 1);
    assert_int_equal(out.graph->initializer[0]->raw_data.len, 12);
    assert_memory_equal(out.graph->initializer[0]->raw_data.data, norni_tensor_data(t), 12);
    assert_int_equal(out.graph->n_output, 3);
    const norni_pb_shape *shape = out.graph->output[0]->type->tensor_type->shape;
    assert_string_equal(shape->dim[0]->dim_param, "N");
    assert_int_equal(shape->dim[1]->dim_value, 3);
    assert_int_equal(out.graph->n_value_info, 0);
    close_written(&out);
    assert_int_equal(g->nodes.n, 2); /* the graph is as it was */
    norn_tensor_free(t);
    norn_model_free(m);
}

static void test_names(void **state) {
    norn_graph *g;
    WORKS(norn_graph_new("g", &g));
    norn_value *x = norn_graph_input(g, "x", "float[3]");
    norn_value *a = norn_neg(g, x), *b = norn_abs(g, a), *c = norn_exp(g, b),
               *one = norn_graph_scalar(g, NORN_F32, 1);
    a->name = "same";
    b->name = "same";  /* two values of one name */
    c->name = "Sub_6"; /* a name that one would be invented for */
    norn_value *d = norn_sub(g, c, one), *e = norn_sqrt(g, d);
    WORKS(norn_graph_output(g, "y", e));
    WORKS(norn_graph_output(g, "c", c)); /* c goes by the output's name then */
    norn_model *m = built(g);
    written out = export_of(m, NULL);
    assert_nodes(&out, "Neg(x)->same Abs(same)->same_2 Exp(same_2)->c Sub(c,const_4)->Sub_5 Sqrt(Sub_5)->y");
    close_written(&out);
    norn_model_free(m);
    WORKS(norn_graph_new("g", &g)); /* an output may not be called like an input that it is not */
    x = norn_graph_input(g, "x", "float[3]");
    WORKS(norn_graph_output(g, "x", norn_neg(g, x)));
    m = built(g);
    FAILS(refuse_opset(m, 0), NORN_ARG, "export: output 'x': an input has this name already");
    norn_model_free(m);
}

static void test_expressions(void **state) {
    norn_graph *g;
    WORKS(norn_graph_new("g", &g));
    norn_value *x = norn_graph_input(g, "x", "float[N,2,T]");
    WORKS(norn_graph_output(g, "y", norn_flatten(g, x)));
    WORKS(norn_graph_output(g, "z", norn_reshape(g, x, 1, (int64_t[]){-1})));
    norn_model *m = built(g), *back;
    written out = export_of(m, NULL);
    assert_string_equal(out.graph->output[0]->type->tensor_type->shape->dim[0]->dim_param, "N");
    assert_string_equal(out.graph->output[0]->type->tensor_type->shape->dim[1]->dim_param, "2*T");
    assert_string_equal(out.graph->output[1]->type->tensor_type->shape->dim[0]->dim_param, "2*N*T");
    close_written(&out);
    WORKS(again(m, NULL, &back));
    assert_type(back, "z", "float[2*N*T]");
    assert_int_equal(norn_model_warning_count(back), 0);
    norn_model_free(back);
    norn_model_free(m);
}

/* ---- Parameters and their updates. */
static void test_parameters(void **state) {
    norn_graph *g;
    norn_tensor *first = floats(3, 1), *later = floats(3, 10), *wrong = floats(4, 0);
    WORKS(norn_graph_new("g", &g));
    norn_value *x = norn_graph_input(g, "x", "float[3]"), *w = norn_graph_parameter(g, "w", first);
    norn_value *y = norn_mul(g, x, w),
               *next = norn_sub(g, w, norn_mul(g, x, norn_graph_constant(g, "rate", first)));
    WORKS(norn_graph_output(g, "y", y));
    WORKS(norn_graph_update(g, w, next));
    norn_model *m = built(g);
    written out = export_of(m, NULL); /* what only the update needs is left out */
    assert_nodes(&out, "Mul(x,w)->y");
    assert_int_equal(out.graph->n_initializer, 1);
    assert_memory_equal(initializer(&out, "w")->raw_data.data, norni_tensor_data(first), 12);
    close_written(&out);
    norn_feed feed = {"w", later};
    norn_save_options o = {.n_updates = 1, .updates = &feed};
    out = export_of(m, &o);
    assert_memory_equal(initializer(&out, "w")->raw_data.data, norni_tensor_data(later), 12);
    close_written(&out);
    char *data;
    size_t bytes;
    feed.tensor = wrong;
    FAILS(norn_model_export(m, &o, &data, &bytes), NORN_SHAPE,
          "export: update 'w': got float[4] (wanted float[3])");
    feed.name = "x";
    FAILS(norn_model_export(m, &o, &data, &bytes), NORN_ARG,
          "update 'x': no parameter or constant has this name");
    norn_tensor_free(first);
    norn_tensor_free(later);
    norn_tensor_free(wrong);
    norn_model_free(m);
}

static void test_unknown(void **state) {
    norn_model *m = load("strings");
    FAILS(
        refuse_opset(m, 13), NORN_UNSUPPORTED,
        "export: Equal: it is kept as the file has it, and does not mean in opset 13 what it means in opset "
        "19");
    WORKS(refuse_opset(m, 21));
    norn_model_free(m);
    m = load("capture"); /* subgraphs stay as they are in their own opset; else they are written anew */
    written out = export_opset(m, 13);
    const norni_pb_node *last = out.graph->node[out.graph->n_node - 1];
    assert_string_equal(last->op_type, "If");
    assert_int_equal(last->n_attribute, 2);
    assert_int_equal(last->attribute[0]->g->n_input, 0);
    assert_int_equal(last->attribute[0]->g->n_output, 1);
    assert_int_equal(out.model->n_opset_import, 1);
    assert_int_equal(out.model->opset_import[0]->version, 13);
    close_written(&out);
    WORKS(refuse_opset(m, 17));
    norn_model_free(m);
    m = load("sizes"); /* one of another domain is not concerned */
    WORKS(refuse_opset(m, 13));
    norn_model_free(m);
}

/* A value that a subgraph reads may have got another name, or another value stand for it. */
static void test_captured_names(void **state) {
    norn_model *m = load("capture");
    value_of(m, "outer")->name = "renamed";
    written out = export_of(m, NULL);
    assert_nodes(&out, "Relu(x)->outer If(go)->y"); /* nobody else asks for the new name */
    close_written(&out);
    WORKS(norn_graph_output(m->graph, "renamed", value_of(m, "renamed")));
    out = export_of(m, NULL);
    assert_nodes(&out, "Relu(x)->renamed Identity(renamed)->outer If(go)->y");
    close_written(&out);
    norn_model_free(m);
    m = load("capture_twice"); /* the second name is there before its first reader */
    value_of(m, "outer")->name = "renamed";
    value_of(m, "p")->name = "first";
    WORKS(norn_graph_output(m->graph, "renamed", value_of(m, "renamed")));
    WORKS(norn_graph_output(m->graph, "first", value_of(m, "first")));
    out = export_of(m, NULL);
    assert_nodes(&out,
                 "Relu(x)->renamed Identity(renamed)->outer If(go)->first Identity(first)->p If(go)->q");
    close_written(&out);
    norn_model_free(m);
    m = load("capture"); /* names within the subgraphs are not taken for something else */
    value_of(m, "outer")->name = NULL;
    norn_value *shift = norn_neg(m->graph, value_of(m, "x"));
    shift->name = NULL;
    WORKS(norn_graph_output(m->graph, "more", shift));
    out = export_of(m, NULL);
    assert_nodes(&out, "Relu(x)->outer If(go)->y Neg(x)->more");
    close_written(&out);
    norn_model_free(m);
}

/* ---- Files. */
static const char *const files[] = {"function_in_subgraph",
                                    "capture_twice",
                                    "capture",
                                    "everything",
                                    "external",
                                    "functions",
                                    "functions_kept",
                                    "lies",
                                    "new_ops",
                                    "old_ir3",
                                    "optional",
                                    "sequences",
                                    "sizes",
                                    "sparse",
                                    "squeeze9",
                                    "strings",
                                    "passthrough",
                                    "tensors",
                                    "unsorted"};
/* Functions that are still called stay, also when only a subgraph calls them. */
static void test_kept_functions(void **state) {
    norn_model *m = load("function_in_subgraph");
    written out = export_of(m, NULL);
    assert_int_equal(out.model->n_functions, 1);
    assert_string_equal(out.model->functions[0]->name, "Twice");
    close_written(&out);
    norn_model_free(m);
    m = load("functions_kept");
    out = export_of(m, NULL);
    assert_int_equal(out.model->n_functions, 1);
    assert_string_equal(out.model->functions[0]->name, "Opaque");
    close_written(&out);
    WORKS(refuse_opset(m, 18)); /* it imports nothing of ONNX's own */
    norn_model_free(m);
    m = load("everything");
    WORKS(refuse_opset(m, 22));
    FAILS(refuse_opset(m, 13), NORN_UNSUPPORTED,
          "export: training_info: Sub: it is kept as the file has it, and does not mean in opset 13 what it "
          "means in opset 23");
    norn_model_free(m);
    builder b = build(17);
    norni_str f = {0}, opset = {0}, node = {0}, call = {0}, mine = {0};
    norni_wire_put_string(&f, 1, "F");
    norni_wire_put_string(&node, 4, "Mystery");
    norni_wire_put_message(&f, 7, &node);
    norni_wire_put_int(&opset, 2, 17);
    norni_wire_put_message(&f, 9, &opset);
    norni_wire_put_string(&f, 10, "d");
    norni_wire_put_message(&b.model, 25, &f);
    norni_wire_put_string(&mine, 1, "d");
    norni_wire_put_int(&mine, 2, 1);
    norni_wire_put_message(&b.model, 8, &mine);
    norni_wire_put_string(&call, 4, "F");
    norni_wire_put_string(&call, 7, "d");
    norni_wire_put_message(&b.graph, 1, &call);
    WORKS(import(&b, &m));
    WORKS(refuse_opset(m, 17));
    FAILS(refuse_opset(m, 18), NORN_UNSUPPORTED,
          "export: function 'F', which norn cannot expand: Mystery: it is kept as the file has it, and does "
          "not "
          "mean in opset 18 what it means in opset 17");
    norn_model_free(m);
}

enum { FILES = sizeof files / sizeof *files };

/* What was exported exports to the same bytes again. */
static void test_fixed_point(void **state) {
    for (size_t i = 0; i < FILES; i++) {
        norn_model *m = load(files[i]), *back;
        char *one, *two;
        size_t n, k;
        WORKS(norn_model_export(m, NULL, &one, &n));
        WORKS(norn_model_import(one, n, files[i], NULL, &back));
        WORKS(norn_model_export(back, NULL, &two, &k));
        assert_int_equal(n, k);
        assert_memory_equal(one, two, n);
        assert_int_equal(m->graph->inputs.n, back->graph->inputs.n);
        assert_int_equal(m->graph->outputs.n, back->graph->outputs.n);
        norn_text_free(one);
        norn_text_free(two);
        norn_model_free(m);
        norn_model_free(back);
    }
}

/* Saving over the file that the model is mapped from. */
static void test_save_in_place(void **state) {
    size_t n;
    unsigned char *data = get_file(data_path("onnx/tensors.onnx"), &n);
    const char *path = temporary_path("t.onnx");
    norn_model *m, *back;
    put_file(path, data, n);
    WORKS(norn_model_load(path, NULL, &m));
    WORKS(norn_model_save(m, path, NULL));
    WORKS(norn_model_save(m, path, &(norn_save_options){.external_data = true}));
    WORKS(norn_model_load(path, NULL, &back));
    for (size_t i = 0; i < norn_graph_constant_count(m->graph); i++) {
        const norn_value *v = norn_graph_constant_at(m->graph, i);
        assert_true(norni_tensor_equal(v->data, value_of(back, v->name)->data));
    }
    norn_model_free(back);
    norn_model_free(m);
    norni_free(data);
    remove(temporary_path("t.onnx"));
    remove(temporary_path("t.onnx.data"));
}

static void test_external(void **state) {
    norn_graph *g;
    norn_tensor *small = floats(10, 0), *middle = floats(300, 0), *large = floats(20000, 5);
    WORKS(norn_graph_new("g", &g));
    norn_value *x = norn_graph_input(g, "x", "float[1,1]");
    WORKS(norn_graph_output(g, "a", norn_add(g, x, norn_graph_constant(g, "small", small))));
    WORKS(norn_graph_output(g, "b", norn_add(g, x, norn_graph_constant(g, "middle", middle))));
    WORKS(norn_graph_output(g, "c", norn_add(g, x, norn_graph_constant(g, "large", large))));
    norn_model *m = built(g), *back;
    const char *path = temporary_path("m.onnx");
    norn_save_options o = {.external_data = true};
    WORKS(norn_model_save(m, path, &o));
    size_t n, k;
    unsigned char *data = get_file(path, &n), *beside = get_file(temporary_path("m.onnx.data"), &k);
    written out = unpack(data, n);
    assert_int_equal(initializer(&out, "small")->data_location, 0);
    assert_int_equal(initializer(&out, "middle")->data_location, 1);
    const norni_pb_tensor *t = initializer(&out, "large");
    assert_int_equal(t->n_external_data, 3);
    assert_string_equal(t->external_data[0]->value, "m.onnx.data");
    assert_string_equal(t->external_data[1]->key, "offset");
    assert_string_equal(t->external_data[1]->value, "4096"); /* a page */
    assert_string_equal(t->external_data[2]->value, "80000");
    assert_int_equal(k, 84096);
    assert_memory_equal(beside + 4096, norni_tensor_data(large), 80000);
    close_written(&out);
    norni_free(data);
    norni_free(beside);
    WORKS(norn_model_load(path, NULL, &back));
    assert_true(norni_tensor_equal(value_of(back, "large")->data, large));
    assert_true(norni_tensor_equal(value_of(back, "middle")->data, middle));
    norn_model_free(back);
    char *memory;
    FAILS(norn_model_export(m, &o, &memory, &n), NORN_ARG,
          "export: external data (a model in memory has no directory)");
    FAILS(norn_model_save(m, temporary_path("none/m.onnx"), NULL), NORN_IO,
          "none/m.onnx: cannot make a temporary file");
    remove(temporary_path("m.onnx"));
    remove(temporary_path("m.onnx.data"));
    norn_tensor_free(small);
    norn_tensor_free(middle);
    norn_tensor_free(large);
    norn_model_free(m);
}

/* ---- Models and graphs. */
static void test_set_graph(void **state) {
    norn_model *m = load("everything");
    norn_graph *g;
    WORKS(norn_graph_bind(m->graph, 1, (const char *[]){"N=4"}, &g));
    norn_model_set_graph(m, g);
    norn_model_set_graph(m, norn_model_graph(m)); /* itself: nothing happens */
    written out = export_of(m, NULL);
    assert_int_equal(out.graph->output[0]->type->tensor_type->shape->dim[0]->dim_value, 4);
    assert_int_equal(out.model->n_metadata_props, 2); /* what surrounds the graph is there */
    assert_int_equal(out.model->n_training_info, 1);
    assert_string_equal(out.graph->doc_string, "a graph");
    assert_string_equal(out.graph->input[0]->type->tensor_type->shape->dim[0]->denotation, "DATA_BATCH");
    close_written(&out);
    norn_model_free(m);
    norn_model_free(NULL);
}

static void test_failed_graph(void **state) {
    norn_graph *g;
    norn_model *m;
    WORKS(norn_graph_new("g", &g));
    norn_graph_input(g, "x", "nothing[3]");
    WORKS(norn_model_new(g, &m));
    FAILS(refuse_opset(m, 0), NORN_PARSE, "export: input 'x': type 'nothing[3]'");
    norn_model_free(m);
}

static norn_model *starving_model;
static int starving_opset;
static norn_status starved(void) {
    char *data;
    size_t n;
    norn_status s =
        norn_model_export(starving_model, &(norn_save_options){.opset = starving_opset}, &data, &n);
    norn_text_free(data);
    return s;
}

static void test_starved(void **state) {
    static const struct {
        const char *name;
        int opset;
    } cases[] = {{"everything", 0}, {"capture", 0}, {"functions_kept", 0}, {"optional", 9}, {"new_ops", 13}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        starving_opset = cases[i].opset;
        starving_model = load(cases[i].name);
        starve(starved);
        WORKS(norn_graph_status(starving_model->graph));
        norn_model_free(starving_model);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_built),        cmocka_unit_test(test_names),
        cmocka_unit_test(test_expressions),  cmocka_unit_test(test_parameters),
        cmocka_unit_test(test_unknown),      cmocka_unit_test(test_captured_names),
        cmocka_unit_test(test_fixed_point),  cmocka_unit_test(test_save_in_place),
        cmocka_unit_test(test_external),     cmocka_unit_test(test_set_graph),
        cmocka_unit_test(test_failed_graph), cmocka_unit_test(test_kept_functions),
        cmocka_unit_test(test_starved),
    };
    return cmocka_run_group_tests(tests, make_temporary, remove_temporary);
}
