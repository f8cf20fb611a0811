/* SPDX-License-Identifier: Apache-2.0 */
#include "onnx_models.h"

#include "export/onnx/extra.h"
#include "export/onnx/proto.h"

/* ---- Looking into what was written. */
typedef struct {
    norni_arena *arena;
    norni_pb_model *model;
    norni_pb_graph *graph;
} written;

static written unpack(const void *data, size_t bytes) {
    written w = {.arena = norni_arena_new(0)};
    WORKS(norni_pb_unpack(&norni_onnx__model_proto__descriptor, w.arena, data, bytes, &w.model));
    w.graph = w.model->graph;
    return w;
}

static written export_of(const norn_model *m, const norn_save_options *o) {
    char *data;
    size_t bytes;
    WORKS(norn_model_export(m, o, &data, &bytes));
    written w = unpack(data, bytes);
    norn_text_free(data);
    return w;
}

static written export_opset(const norn_model *m, int opset) {
    return export_of(m, &(norn_save_options){.opset = opset});
}

static norn_status refuse_opset(const norn_model *m, int opset) {
    char *data;
    size_t bytes;
    norn_status s = norn_model_export(m, &(norn_save_options){.opset = opset}, &data, &bytes);
    assert_true((s == NORN_OK) == (data != NULL));
    norn_text_free(data);
    return s;
}

static void close_written(written *w) {
    norni_arena_free(w->arena);
}

/* "Op(in,in)->out Op..." */
static void assert_nodes(const written *w, const char *want) {
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

static const norni_pb_attr *attr_of(const norni_pb_node *n, const char *name) {
    for (size_t i = 0; i < n->n_attribute; i++)
        if (!strcmp(n->attribute[i]->name, name))
            return n->attribute[i];
    return NULL;
}

static const norni_pb_tensor *initializer(const written *w, const char *name) {
    for (size_t i = 0; i < w->graph->n_initializer; i++)
        if (!strcmp(w->graph->initializer[i]->name, name))
            return w->graph->initializer[i];
    return NULL;
}

/* ---- Graphs that are built here. */
static norn_model *built(norn_graph *g) {
    norn_model *m;
    WORKS(norn_graph_status(g));
    WORKS(norn_model_new(g, &m));
    return m;
}

static norn_tensor *floats(int64_t n, float first) {
    norn_tensor *t;
    WORKS(norni_tensor_host(NORN_F32, 1, &n, &t));
    for (int64_t i = 0; i < n; i++)
        norn_tensor_set(t, i, (double)first + (double)i);
    return t;
}

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

/* ---- Opsets. */
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
        cmocka_unit_test(test_built),          cmocka_unit_test(test_names),
        cmocka_unit_test(test_expressions),    cmocka_unit_test(test_parameters),
        cmocka_unit_test(test_lower),          cmocka_unit_test(test_versions),
        cmocka_unit_test(test_expand),         cmocka_unit_test(test_types),
        cmocka_unit_test(test_masks),          cmocka_unit_test(test_axes),
        cmocka_unit_test(test_gradient),       cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_captured_names), cmocka_unit_test(test_fixed_point),
        cmocka_unit_test(test_save_in_place),  cmocka_unit_test(test_external),
        cmocka_unit_test(test_set_graph),      cmocka_unit_test(test_failed_graph),
        cmocka_unit_test(test_kept_functions), cmocka_unit_test(test_starved),
    };
    return cmocka_run_group_tests(tests, make_temporary, remove_temporary);
}
