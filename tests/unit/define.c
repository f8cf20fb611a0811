/* SPDX-License-Identifier: Apache-2.0 */
/* Operators that a program defines: their values and gradients on the device and by the host reference, files, and what is refused. */
#include <norn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static norn_session *device, *host;

static int open_sessions(void **state) {
    (void)state;
    return norn_session_open("host", &host) != NORN_OK || norn_session_open(NULL, &device) != NORN_OK ? -1
                                                                                                      : 0;
}
static int close_sessions(void **state) {
    (void)state;
    norn_session_close(host);
    norn_session_close(device);
    return 0;
}

#define OK(call)                                                                                             \
    do {                                                                                                     \
        if ((call) != NORN_OK)                                                                               \
            fail_msg("%s: %s", #call, norn_error());                                                         \
    } while (0)

static void fails(norn_status s, norn_status want, const char *message) {
    if (s != want || !strstr(norn_error(), message))
        fail_msg("got status %d, '%s' (wanted %d, '%s')", s, s == NORN_OK ? "" : norn_error(), want, message);
}

static norn_tensor *tensor(norn_dtype t, int rank, const int64_t *dims, const double *v) {
    norn_tensor *out;
    OK(norn_tensor_new(NULL, t, rank, dims, NULL, &out));
    for (int64_t i = 0; i < norn_tensor_elems(out); i++)
        norn_tensor_set(out, i, v[i]);
    return out;
}

/* Output `name` of g for one input x. */
static norn_tensor *run(norn_session *s, const norn_graph *g, const norn_tensor *x, const char *name) {
    norn_executable *e;
    norn_fetch out = {name, NULL};
    OK(norn_executable_new(s, g, NULL, NULL, &e));
    OK(norn_executable_run(e, 1, &(norn_feed){"x", x}, 1, &out));
    norn_executable_free(e);
    return out.tensor;
}

static void equal(const norn_tensor *t, int64_t n, const double *want) {
    assert_int_equal(norn_tensor_elems(t), n);
    for (int64_t i = 0; i < n; i++)
        assert_float_equal(norn_tensor_get(t, i), want[i], 1e-5);
}

/* The graph of a formula over x with the gradient of its sum by x. */
static norn_graph *with_gradient(const char *formula) {
    norn_graph *g;
    norn_value *dx, *x;
    OK(norn_formula_parse(formula, NORN_F32, &g, NULL));
    x = norn_graph_value(g, "x");
    OK(norn_grad(g, norn_graph_output_at(g, 0), NULL, 1, &x, &dx));
    OK(norn_graph_output(g, "dx", dx));
    return g;
}

static const double three[] = {0.5, -2, 3};
static const int64_t shape[] = {3};

static void formulas(void **state) {
    (void)state;
    norn_graph *g, *dg;
    char *text;
    OK(norn_operator_define(
        &(norn_operator){.name = "t.Cubic", .inputs = "x, a", .formula = "let u = x*x; a*u*x + 1"}));
    g = with_gradient("x: f32[3]; Cubic(x, 2)");
    norn_tensor *x = tensor(NORN_F32, 1, shape, three);
    for (int i = 0; i < 2; i++) {
        norn_tensor *y = run(i ? device : host, g, x, "y"), *dx = run(i ? device : host, g, x, "dx");
        equal(y, 3, (double[]){1.25, -15, 55});
        equal(dx, 3, (double[]){1.5, 24, 54});
        norn_tensor_free(y);
        norn_tensor_free(dx);
    }
    norn_graph_free(g);

    /* Pointwise formulas are one kernel, whoever wrote them. */
    norn_executable *e;
    OK(norn_formula_parse("x: f32[3]; exp(Cubic(x, 2))*x", NORN_F32, &g, NULL));
    OK(norn_executable_new(device, g, NULL, NULL, &e));
    norn_fetch out = {"y", NULL};
    OK(norn_executable_run(e, 1, &(norn_feed){"x", x}, 1, &out));
    assert_int_equal(norn_plan_step_count(norn_executable_plan(e)), 1);
    norn_tensor_free(out.tensor);
    norn_executable_free(e);
    norn_graph_free(g);
    norn_tensor_free(x);

    /* In double, printed, and as programs, which stand alone. */
    OK(norn_formula_parse("Cubic(x, 2)", NORN_F64, &g, NULL));
    OK(norn_gradient(g, 0, NULL, 1, &dg));
    OK(norn_formula_print(dg, NORN_PRINT_TEXT, NULL, &text));
    assert_string_equal(text, "6*x**2\n");
    norn_text_free(text);
    OK(norn_formula_print(g, NORN_PRINT_C, NULL, &text));
    assert_null(strstr(text, "Cubic"));
    norn_text_free(text);
    norn_graph_free(dg);
    norn_graph_free(g);
}

static void own_gradients(void **state) {
    (void)state;
    norn_graph *g, *dg, *again;
    char *text;
    OK(norn_operator_define(&(norn_operator){.name = "t.Straight",
                                             .inputs = "x",
                                             .formula = "round(x)",
                                             .n_gradients = 1,
                                             .gradients = (const char *[]){"dy*where(abs(x) < 2.5, 1, 0)"}}));
    g = with_gradient("x: f32[3]; Straight(x)*2");
    norn_tensor *x = tensor(NORN_F32, 1, shape, three), *y = run(device, g, x, "y"),
                *dx = run(device, g, x, "dx");
    equal(y, 3, (double[]){0, -4, 6});
    equal(dx, 3, (double[]){2, 2, 0});
    norn_tensor_free(y);
    norn_tensor_free(dx);
    norn_tensor_free(x);
    norn_graph_free(g);

    /* What is printed still speaks of it, and parses again. */
    OK(norn_formula_parse("Straight(x)**2", NORN_F64, &g, NULL));
    OK(norn_gradient(g, 0, NULL, 1, &dg));
    OK(norn_formula_print(dg, NORN_PRINT_TEXT, NULL, &text));
    assert_string_equal(text, "where(abs(x) < 5/2, 2*Straight(x), 0)\n");
    OK(norn_formula_parse(text, NORN_F64, &again, NULL));
    norn_text_free(text);
    norn_graph_free(again);
    norn_graph_free(dg);
    norn_graph_free(g);

    /* A graph, whose gradient is a graph: of two outputs one is not used. */
    norn_graph *body, *back;
    OK(norn_graph_parse("body (double[N] v) => (double[N] p, double[N] q) { p = Abs(v) q = Neg(v) }", &body));
    OK(norn_graph_parse("back (double[N] d_p, double[N] d_q, double[N] p) => (double[N] d_v) { a = Mul(d_p, "
                        "p) d_v = Add(a, d_q) }",
                        &back));
    OK(norn_operator_define(&(norn_operator){.name = "t.Parts", .graph = body, .gradient = back}));
    norn_graph_free(body);
    norn_graph_free(back);
    OK(norn_formula_parse("x: f64[3]; sum(Parts(x))", NORN_F64, &g, NULL));
    OK(norn_gradient(g, 0, NULL, 1, &dg));
    x = tensor(NORN_F64, 1, shape, three);
    dx = run(device, dg, x, "d_x");
    equal(dx, 3, (double[]){0.5, 2, 3});
    norn_tensor_free(dx);
    norn_tensor_free(x);
    norn_graph_free(dg);
    norn_graph_free(g);
}

static const char *const mean_source = "kernel void Mean2(global const T *x, global const float *w, global T "
                                       "*m, global T *d, long R, long C) {\n"
                                       "    long r = get_global_id(0);\n"
                                       "    T s = 0;\n"
                                       "    for (long c = 0; c < C; c++)\n"
                                       "        s += x[r * C + c] * w[c];\n"
                                       "    m[r] = s / C;\n"
                                       "    d[r] = s;\n"
                                       "}\n";

static void kernels(void **state) {
    (void)state;
    static const double six[] = {1, 2, 3, 4, 5, 6};
    static const int64_t two_three[] = {2, 3};
    norn_graph *g;
    OK(norn_operator_define(&(norn_operator){.name = "t.Mean2",
                                             .inputs = "x: T[R, C], w: f32[C]",
                                             .outputs = "m: T[R], d: T[2*R/2]",
                                             .source = mean_source,
                                             .range = "R",
                                             .n_gradients = 2,
                                             .gradients = (const char *[]){"outer(d_m, w)/3", NULL}}));
    for (int i = 0; i < 2; i++) {
        norn_dtype t = i ? NORN_F64 : NORN_F32;
        char formula[80];
        snprintf(formula, sizeof formula, "x: %s[2,3]; Mean2(x, [1, 0, 2])**2", i ? "f64" : "f32");
        if (i) { /* the list would be of doubles */
            OK(norn_graph_new("g", &g));
            norn_tensor *w = tensor(NORN_F32, 1, shape, (double[]){1, 0, 2});
            norn_value *in[] = {norn_graph_input(g, "x", "double[2,3]"), norn_graph_constant(g, "w", w)}, *m,
                       *y, *dx;
            norn_tensor_free(w);
            OK(norn_graph_apply(g, "t.Mean2", 2, in, 1, &m));
            y = norn_mul(g, m, m);
            OK(norn_grad(g, y, NULL, 1, in, &dx));
            OK(norn_graph_output(g, "y", y));
            OK(norn_graph_output(g, "dx", dx));
        } else
            g = with_gradient(formula);
        norn_tensor *x = tensor(t, 2, two_three, six), *y = run(device, g, x, "y"),
                    *dx = run(device, g, x, "dx");
        equal(y, 2, (double[]){49 / 9.0, 256 / 9.0});
        equal(dx, 6, (double[]){14 / 9.0, 0, 28 / 9.0, 32 / 9.0, 0, 64 / 9.0});
        norn_tensor_free(x);
        norn_tensor_free(y);
        norn_tensor_free(dx);
        norn_graph_free(g);
    }
    /* Without a range there is a work-item for each element of the first output, also where nobody reads that. */
    OK(norn_operator_define(&(norn_operator){
        .name = "t.Both",
        .inputs = "x: f32[N]",
        .outputs = "a: f32[N], b: f32[N]",
        .source = "kernel void Both(global const float *x, global float *a, global float *b, "
                  "long N) {\n"
                  "    long i = get_global_id(0);\n"
                  "    a[i] = x[i];\n"
                  "    b[i] = 2*x[i];\n"
                  "}\n"}));
    OK(norn_graph_parse("g (float[3] x) => (float[3] y) { _, y = t.Both(x) }", &g));
    norn_tensor *a = tensor(NORN_F32, 1, shape, three), *b = run(device, g, a, "y");
    equal(b, 3, (double[]){1, -4, 6});
    norn_tensor_free(a);
    norn_tensor_free(b);
    norn_graph_free(g);
    /* What the input has must agree, and nothing is launched for nothing. */
    norn_graph *bad;
    fails(norn_formula_parse("x: f32[2,4], w: f32[3]; Mean2(x, w)", NORN_F32, &bad, NULL), NORN_SHAPE,
          "input 'w' has size 3 in dimension 0 (wanted C = 4)");
    fails(norn_formula_parse("x: f32[4], w: f32[3]; Mean2(x, w)", NORN_F32, &bad, NULL), NORN_SHAPE,
          "input 'x' has 1 axes (wanted 2)");
    OK(norn_operator_define(
        &(norn_operator){.name = "t.Sums", .inputs = "x: f32[N], w: f32[N]", .formula = "sum(x) + sum(w)"}));
    fails(norn_formula_parse("x: f32[3], w: f32[4]; Sums(x, w)", NORN_F32, &bad, NULL), NORN_SHAPE,
          "input 'w' has size 4 in dimension 0 (wanted N = 3)");
    OK(norn_operator_define(&(norn_operator){.name = "t.Nothing",
                                             .inputs = "x: f32[N]",
                                             .outputs = "y: f32[N/(N - 3)]",
                                             .source = "kernel void Nothing()"}));
    fails(norn_formula_parse("x: f32[3]; Nothing(x)", NORN_F32, &bad, NULL), NORN_SHAPE,
          "output 'y': size 'N/(N - 3)': a division by 0");
    fails(norn_formula_parse("x: i32[4,3], w: f32[3]; Mean2(x, w)", NORN_F32, &bad, NULL), NORN_DTYPE,
          "input 'x' has type int32");
    OK(norn_formula_parse("x: f32[0,3]; Mean2(x, [1, 2, 3])", NORN_F32, &g, NULL));
    norn_tensor *x = tensor(NORN_F32, 2, (int64_t[]){0, 3}, NULL), *y = run(device, g, x, "y");
    assert_int_equal(norn_tensor_elems(y), 0);
    norn_tensor_free(x);
    norn_tensor_free(y);
    /* Nothing but the kernel is known: no file, no host reference. */
    norn_executable *e;
    norn_model *m;
    OK(norn_model_new(g, &m));
    fails(norn_model_save(m, "defined.onnx", NULL), NORN_UNSUPPORTED, "Mean2");
    norn_model_free(m);
    OK(norn_formula_parse("x: f32[1,3]; Mean2(x, [1, 2, 3])", NORN_F32, &g, NULL));
    norn_status s = norn_executable_new(host, g, NULL, NULL, &e);
    if (s == NORN_OK) {
        norn_tensor *one = tensor(NORN_F32, 2, (int64_t[]){1, 3}, six);
        norn_fetch out = {"y", NULL};
        s = norn_executable_run(e, 1, &(norn_feed){"x", one}, 1, &out);
        norn_tensor_free(one);
        norn_executable_free(e);
    }
    fails(s, NORN_UNSUPPORTED, "Mean2");
    norn_graph_free(g);
}

/* The norn_status of loading a formula's graph. */
static norn_status load(const char *formula) {
    norn_graph *g;
    norn_executable *e = NULL;
    OK(norn_formula_parse(formula, NORN_F32, &g, NULL));
    norn_tensor *x = tensor(NORN_F32, 1, shape, three);
    norn_fetch out = {"y", NULL};
    norn_status s = norn_executable_new(device, g, NULL, NULL, &e);
    if (s == NORN_OK)
        s = norn_executable_run(e, 1, &(norn_feed){"x", x}, 1, &out);
    norn_executable_free(e);
    norn_tensor_free(x);
    norn_graph_free(g);
    return s;
}

static void bad_kernels(void **state) {
    (void)state;
    OK(norn_operator_define(
        &(norn_operator){.name = "t.Typo",
                         .inputs = "x: f32[N]",
                         .outputs = "y: f32[N]",
                         .source = "kernel void Typo(global const float *x, global float *y, long N) {\n"
                                   "    y[get_global_id(0)] = xx[get_global_id(0)];\n}\n"}));
    fails(load("x: f32[3]; Typo(x)"), NORN_BUILD, "t.Typo(float[3])");
    fails(load("x: f32[3]; Typo(x)"), NORN_BUILD, "2:27: ");
    OK(norn_operator_define(&(norn_operator){
        .name = "t.Few",
        .inputs = "x: f32[N]",
        .outputs = "y: f32[N]",
        .source = "kernel void Few(global const float *x, global float *y) { y[0] = x[0]; }"}));
    fails(load("x: f32[3]; Few(x)"), NORN_ARG,
          "kernel Few: argument 2 (wanted below 2); a kernel takes 3 arguments");
    OK(norn_operator_define(&(norn_operator){
        .name = "t.Many",
        .inputs = "x: f32[N]",
        .outputs = "y: f32[N]",
        .source =
            "kernel void Many(global const float *x, global float *y, long N, float a) { y[0] = a; }"}));
    fails(load("x: f32[3]; Many(x)"), NORN_ARG,
          "kernel Many: argument 3 was never set; a kernel takes 3 arguments");
    OK(norn_operator_define(&(norn_operator){
        .name = "t.Kind",
        .inputs = "x: f32[N]",
        .outputs = "y: f32[N]",
        .source = "kernel void Kind(global const float *x, global float *y, int N) { y[0] = x[0]; }"}));
    fails(load("x: f32[3]; Kind(x)"), NORN_ARG,
          "kernel Kind: argument 2: 8 bytes (wanted 4); a kernel takes 3");
    OK(norn_operator_define(&(norn_operator){.name = "t.None",
                                             .inputs = "x: f32[N]",
                                             .outputs = "y: f32[N]",
                                             .source = "/* None */ kernel void Other(global const float *x, "
                                                       "global float *y, long N) { y[0] = x[0]; }"}));
    fails(load("x: f32[3]; None(x)"), NORN_ARG, "has no kernel 'None'; a kernel takes");
}

static void refused(void **state) {
    (void)state;
    const struct {
        norn_operator o;
        norn_status status;
        const char *message;
    } cases[] = {
        {{.inputs = "x", .formula = "x"}, NORN_ARG, "a domain and a name"},
        {{.name = "Plain", .inputs = "x", .formula = "x"},
         NORN_ARG,
         "operator 'Plain': got the name 'Plain' (wanted a domain"},
        {{.name = "t.9", .inputs = "x", .formula = "x"}, NORN_ARG, "a domain and a name"},
        {{.name = "norn.X", .inputs = "x", .formula = "x"}, NORN_ARG, "not yours"},
        {{.name = "t.sin", .inputs = "x", .formula = "x"}, NORN_ARG, "'sin' is a function of formulas"},
        {{.name = "t.Cubic", .inputs = "x", .formula = "x"}, NORN_ARG, "defined already, as t.Cubic"},
        {{.name = "t.A", .inputs = "x"}, NORN_ARG, "nothing that it computes"},
        {{.name = "t.A", .formula = "x"}, NORN_ARG, "no inputs"},
        {{.name = "t.A", .inputs = "x y", .formula = "x"}, NORN_PARSE, "got 'x y' (wanted a name"},
        {{.name = "t.A", .inputs = "x, x", .formula = "x"}, NORN_ARG, "'x' stands twice"},
        {{.name = "t.A", .inputs = "x: q[3]", .formula = "x"}, NORN_PARSE, "type 'q[3]'"},
        {{.name = "t.A", .inputs = "x: f32[3", .formula = "x"}, NORN_PARSE, "wanted sizes between [ and ]"},
        {{.name = "t.A", .inputs = "x", .formula = "x +* 2"}, NORN_PARSE, "column 4: got '* 2'"},
        {{.name = "t.A", .inputs = "x", .formula = "x", .outputs = "y"}, NORN_ARG, "without a kernel"},
        {{.name = "t.A", .inputs = "y", .formula = "y"}, NORN_ARG, "an input is called 'y', as is an output"},
        {{.name = "t.A", .inputs = "x", .source = "A", .outputs = "y: f32[N]"},
         NORN_ARG,
         "input 'x' of a kernel has no type"},
        {{.name = "t.A", .inputs = "x: f32[N]", .source = "A"}, NORN_ARG, "a kernel without outputs"},
        {{.name = "t.A", .inputs = "x: f32[N]", .source = "A", .outputs = "y: T[N]"},
         NORN_ARG,
         "'y' is of type T, which no input has"},
        {{.name = "t.A", .inputs = "x: f32[N]", .source = "A", .outputs = "y: f32[M]"},
         NORN_PARSE,
         "got 'M' (wanted a number, or a size"},
        {{.name = "t.A", .inputs = "x: f32[N]", .source = "A", .outputs = "y: f32[N]", .range = "N*"},
         NORN_PARSE,
         "range: size 'N*'"},
        {{.name = "t.A", .inputs = "x: f32[N]", .source = "A", .outputs = "y: f32[N]", .range = "N,N,N,N"},
         NORN_ARG,
         "more than 3 sizes"},
        {{.name = "t.A", .inputs = "x: f32[N+1]", .source = "A", .outputs = "y: f32[N]"},
         NORN_PARSE,
         "size 'N+1' (wanted a number or a name)"},
        {{.name = "t.A", .inputs = "x: f32[N]", .source = "kernel void B()", .outputs = "y: f32[N]"},
         NORN_ARG,
         "the source has no kernel 'A'"},
        {{.name = "t.A",
          .inputs = "x",
          .formula = "x",
          .n_gradients = 2,
          .gradients = (const char *[]){"dy", "dy"}},
         NORN_ARG,
         "2 gradients (wanted 1"},
        {{.name = "t.A",
          .inputs = "x",
          .formula = "x",
          .n_gradients = 1,
          .gradients = (const char *[]){"dy*"}},
         NORN_PARSE,
         "gradient for 'x': formula 'dy*': column 4"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        fails(norn_operator_define(&cases[i].o), cases[i].status, cases[i].message);

    /* What shows only where it is used: names that the formula does not know, a gradient of another shape. */
    norn_graph *g;
    OK(norn_operator_define(&(norn_operator){.name = "t.Unknown", .inputs = "x", .formula = "x + z"}));
    fails(norn_formula_parse("Unknown(x)", NORN_F32, &g, NULL), NORN_PARSE,
          "t.Unknown: formula 'x + z': column 5: got 'z' (wanted a name that is known here)");
    OK(norn_operator_define(&(norn_operator){.name = "t.Wide",
                                             .inputs = "x",
                                             .formula = "2*x",
                                             .n_gradients = 1,
                                             .gradients = (const char *[]){"concat([dy, dy], axis=0)"}}));
    norn_graph *dg;
    OK(norn_formula_parse("x: f32[3]; sum(Wide(x))", NORN_F32, &g, NULL));
    fails(norn_gradient(g, 0, NULL, 1, &dg), NORN_SHAPE,
          "the gradient for 'x' has type float[6] (wanted float[3])");
    norn_graph_free(g);
    fails(norn_formula_parse("Cubic(x)", NORN_F32, &g, NULL), NORN_PARSE, "an argument 'a' more");
    fails(norn_formula_parse("Cubic(x, 1, 2)", NORN_F32, &g, NULL), NORN_PARSE, "no such argument of Cubic");
}

static void files(void **state) {
    (void)state;
    norn_model *m, *again;
    norn_graph *g;
    const char *path =
        TEST_DATA "/onnx/local_function.onnx"; /* (Sign(x) + x)**2, the sum as a function local.Hard */
    norn_tensor *x = tensor(NORN_F32, 1, shape, three);
    for (int own = 0; own < 2; own++) {
        if (own)
            OK(norn_operator_define(&(norn_operator){.name = "local.Hard",
                                                     .inputs = "v",
                                                     .formula = "sign(v) + v",
                                                     .n_gradients = 1,
                                                     .gradients = (const char *[]){"3*dy"}}));
        OK(norn_model_load(path, NULL, &m));
        OK(norn_model_gradient(m, &(norn_model_gradient_options){.wrt = "x"}, &again));
        /* The gradient's file is of standard operators. */
        OK(norn_model_save(again, "local_gradient.onnx", NULL));
        norn_model_free(again);
        OK(norn_model_load("local_gradient.onnx", NULL, &again));
        g = norn_model_graph(again);
        for (size_t i = 0; i < norn_graph_node_count(g); i++) {
            norn_node_info info;
            OK(norn_graph_node_at(g, i, &info));
            assert_string_equal(info.domain, "");
        }
        norn_executable *e;
        norn_tensor *ones = tensor(NORN_F32, 1, shape, (double[]){1, 1, 1});
        norn_fetch out = {"grad:x", NULL};
        OK(norn_executable_new(device, g, NULL, NULL, &e));
        OK(norn_executable_run(e, 2, (norn_feed[]){{"x", x}, {"grad_z", ones}}, 1, &out));
        equal(out.tensor, 3, own ? (double[]){9, -18, 24} : (double[]){3, -6, 8});
        norn_tensor_free(out.tensor);
        norn_tensor_free(ones);
        norn_executable_free(e);
        norn_model_free(again);
        OK(norn_model_save(m, "local_again.onnx", NULL));
        norn_model_free(m);
    }
    norn_tensor_free(x);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(formulas), cmocka_unit_test(own_gradients),
                                       cmocka_unit_test(kernels),  cmocka_unit_test(bad_kernels),
                                       cmocka_unit_test(refused),  cmocka_unit_test(files)};
    return cmocka_run_group_tests(tests, open_sessions, close_sessions);
}
