/* SPDX-License-Identifier: Apache-2.0 */
/* Graphs: text, simplification, binding, gradients, states, executables. */
#include "graph/plan.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static norn_session *session;

static int open_session(void **state) {
    (void)state;
    return norn_session_open(NULL, &session) != NORN_OK;
}

static int close_session(void **state) {
    (void)state;
    norn_session_close(session);
    return 0;
}

#define OK(call)                                                                                             \
    if ((call) != NORN_OK)                                                                                   \
    fail_msg("%s: %s", #call, norn_error())
#define FAILS(call, code, text)                                                                              \
    do {                                                                                                     \
        assert_int_equal(call, code);                                                                        \
        if (!strstr(norn_error(), text))                                                                     \
            fail_msg("message '%s' lacks '%s'", norn_error(), text);                                         \
    } while (0)

static norn_graph *parse(const char *text) {
    norn_graph *g;
    OK(norn_graph_parse(text, &g));
    OK(norn_graph_verify(g));
    return g;
}

static norn_tensor *floats(int rank, const int64_t *dims, const float *v) {
    norn_tensor *t;
    OK(norn_tensor_new(NULL, NORN_F32, rank, dims, v, &t));
    return t;
}

/* ---- Text. */
static void text_round_trip(void **state) {
    static const char *const texts[] = {
        "g (float[N,3] x, float[3] b) => (float[N,3] y)\n{\n   y = Add(x, b)\n}\n",
        "two (float[2] x) => (float[2] a, float[2] b = %2)\n{\n   a = Relu(x)\n   %2 = Neg(a)\n}\n",
        "\"odd name\" (float[2,2] \"in put\") => (float[2,2] out)\n<float[2] w = {1,2.5} -> w2,\n float[] c "
        "= {0.1}>\n{\n"
        "   [first] %3 = Mul(\"in put\", w)\n   w2 = Add(w, c)\n   out = LeakyRelu<alpha=0.2>(%3)\n}\n",
        "clip (float[4] x) => (float[4] y)\n<float[] hi = {1}>\n{\n   y = Clip(x, _, hi)\n}\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        norn_graph *g = parse(texts[i]), *again;
        char *once, *twice;
        OK(norn_graph_print(g, -1, &once));
        again = parse(once);
        OK(norn_graph_print(again, -1, &twice));
        assert_string_equal(once, twice);
        assert_int_equal(g->nodes.n, again->nodes.n);
        norn_text_free(once);
        norn_text_free(twice);
        norn_graph_free(g);
        norn_graph_free(again);
    }
}

static void text_errors(void **state) {
    norn_graph *g;
    (void)state;
    FAILS(norn_graph_parse("g (float[2] x) => (float[2] y) { y = Relu(z) }", &g), NORN_PARSE,
          "'z' is read before it is defined");
    FAILS(norn_graph_parse("g (float[2] x) => (float[2] y) { z = Relu(x) }", &g), NORN_PARSE,
          "'y' is never defined");
    FAILS(norn_graph_parse("g (float[2] x) => (float[2] y) { y = Foo(x) }", &g), NORN_UNSUPPORTED,
          "no operator 'Foo'");
    FAILS(norn_graph_parse("g (float[2] x, float[2] x) => () {}", &g), NORN_PARSE, "'x' is defined twice");
    FAILS(norn_graph_parse("g (float[2] x, float[3] z) => (float[2] y) { y = Add(x, z) }", &g), NORN_SHAPE,
          "Add(float[2], float[3]): shapes do not broadcast: 2 against 3");
    FAILS(norn_graph_parse("g (float[2] x) => (float[2] y)\n<float[2] w = {...}>\n{ y = Add(x, w) }", &g),
          NORN_PARSE, "were left out");
    FAILS(norn_graph_parse("g (float[2] x) => (float[2] y) { y = Relu(x) } z", &g), NORN_PARSE, "the end");
    FAILS(norn_graph_parse("g (float[9999999999] x) => () <float[1000000000000] w = {1}> {}", &g), NORN_PARSE,
          "the text ends");
    assert_null(g);
}

/* Every cut and many changed bytes of a valid text: an error or a graph, never a crash. */
static void text_damaged(void **state) {
    const char *text =
        "g (float[N,3] x, int64[1] s) => (float[N,3] y)\n<float[3] w = {1,2,3} -> w2, int64[1] a = {0}>\n{\n"
        "   w2 = Mul(w, w)\n   [n] t = LeakyRelu<alpha=0.5>(x)\n   r = ReduceSum<keepdims=1>(t, a)\n"
        "   y = Add(t, w)\n}\n";
    char buf[512];
    size_t n = strlen(text);
    norn_graph *g;
    (void)state;
    for (size_t i = 0; i < n; i++) {
        memcpy(buf, text, i);
        buf[i] = 0;
        if (norn_graph_parse(buf, &g) == NORN_OK)
            norn_graph_free(g);
        for (int c = 1; c < 127; c += 7) {
            memcpy(buf, text, n + 1);
            buf[i] = (char)c;
            if (norn_graph_parse(buf, &g) == NORN_OK) {
                OK(norn_graph_verify(g));
                norn_graph_free(g);
            }
        }
    }
}

/* ---- Simplification and binding. */
static void simplify(void **state) {
    norn_graph
        *g = parse(
            "g (float[2] x) => (float[2] y, float[2] z)\n<float[2] a = {1,2}, float[2] b = {3,4}>\n{\n"
            "   c = Add(a, b)\n   p = Mul(x, c)\n   q = Mul(x, c)\n   i = Identity(q)\n   dead = Exp(x)\n"
            "   y = Relu(p)\n   z = Relu(i)\n}\n"),
        *s;
    (void)state;
    OK(norn_graph_simplify(g, &s));
    OK(norn_graph_verify(s));
    assert_int_equal(s->nodes.n, 2); /* Mul by {4, 6}, Relu */
    assert_ptr_equal(s->outputs.v[0].value, s->outputs.v[1].value);
    assert_string_equal(s->outputs.v[1].name, "z");
    norn_graph_free(g);
    norn_graph_free(s);
}

static void binding(void **state) {
    norn_graph *g = parse("g (float[N,3] x) => (float[N,3] y) { y = Relu(x) }"), *b;
    (void)state;
    OK(norn_graph_bind(g, 1, (const char *[]){"N=5"}, &b));
    assert_int_equal(b->outputs.v[0].value->type.dims[0], 5);
    norn_graph_free(b);
    FAILS(norn_graph_bind(g, 1, (const char *[]){"M=5"}, &b), NORN_ARG,
          "no input has a size of this name (there are: N)");
    FAILS(norn_graph_bind(g, 1, (const char *[]){"N=-5"}, &b), NORN_ARG, "wanted NAME=NUMBER");
    FAILS(norn_graph_bind(g, 1, (const char *[]){"N"}, &b), NORN_ARG, "wanted NAME=NUMBER");
    assert_null(b);
    norn_graph_free(g);
}

/* ---- Builders. */
static void sticky(void **state) {
    norn_graph *g;
    (void)state;
    OK(norn_graph_new("g", &g));
    norn_value *x = norn_graph_input(g, "x", "float[2,3]"), *w = norn_graph_input(g, "w", "float[4,5]");
    norn_value *bad = norn_matmul(g, x, w);
    assert_null(bad);
    assert_null(norn_relu(g, norn_add(g, bad, x)));
    FAILS(norn_graph_status(g), NORN_SHAPE, "MatMul(float[2,3], float[4,5]): A has 3 columns, B has 4 rows");
    FAILS(norn_graph_output(g, "y", x), NORN_SHAPE, "MatMul");
    norn_graph_free(g);
    OK(norn_graph_new("g", &g));
    assert_null(norn_graph_input(g, "x", "flood[2]"));
    FAILS(norn_graph_status(g), NORN_PARSE, "type 'flood[2]'");
    norn_graph_free(g);
}

/* ---- Executables. */
static void named_sizes(void **state) {
    norn_graph *g = parse("g (float[N,2] x, float[N,1] s) => (float[N,2] y, int64[2] shape) { y = Mul(x, "
                          "s)\n shape = Shape(x) }");
    norn_executable *e;
    (void)state;
    OK(norn_executable_new(session, g, NULL, NULL, &e));
    for (int64_t n = 1; n < 12; n++) { /* more shapes than plans are kept */
        norn_tensor *x = floats(2, (int64_t[]){n, 2}, NULL), *s = floats(2, (int64_t[]){n, 1}, NULL);
        for (int64_t i = 0; i < 2 * n; i++)
            norn_tensor_set(x, i, (double)i);
        for (int64_t i = 0; i < n; i++)
            norn_tensor_set(s, i, 10);
        norn_fetch out[] = {{"y", NULL}, {"shape", NULL}};
        OK(norn_executable_run(e, 2, (norn_feed[]){{"s", s}, {"x", x}}, 2, out));
        assert_true(norn_tensor_get(out[0].tensor, 2 * n - 1) == 10.0 * (double)(2 * n - 1));
        assert_true(norn_tensor_get(out[1].tensor, 0) == (double)n);
        norn_tensor_free(out[0].tensor);
        norn_tensor_free(out[1].tensor);
        norn_tensor_free(x);
        norn_tensor_free(s);
    }
    norn_tensor *x = floats(2, (int64_t[]){3, 2}, NULL), *s = floats(2, (int64_t[]){2, 1}, NULL);
    norn_fetch out[] = {{"y", NULL}};
    FAILS(norn_executable_run(e, 2, (norn_feed[]){{"s", s}, {"x", x}}, 1, out), NORN_SHAPE,
          "'N' is that elsewhere");
    FAILS(norn_executable_run(e, 1, (norn_feed[]){{"x", x}}, 1, out), NORN_ARG, "input 's' was not fed");
    FAILS(norn_executable_run(e, 2, (norn_feed[]){{"q", s}, {"x", x}}, 1, out), NORN_ARG,
          "there is no input of this name (there are: 'x', 's')");
    FAILS(norn_executable_run(e, 2, (norn_feed[]){{"s", x}, {"x", x}}, 1, out), NORN_SHAPE,
          "input 's': got float[3,2] (wanted float[N,1])");
    out[0].name = "nothing";
    FAILS(norn_executable_run(e, 2, (norn_feed[]){{"s", s}, {"x", x}}, 1, out), NORN_ARG,
          "there is no output of this name");
    norn_tensor_free(x);
    norn_tensor_free(s);
    norn_executable_free(e);
    norn_graph_free(g);
}

static double first(norn_state *st, const char *name) {
    norn_tensor *t;
    OK(norn_state_get(st, name, &t));
    double v = norn_tensor_get(t, 0);
    norn_tensor_free(t);
    return v;
}

/* States that are counted up, exchanged, shifted along, and read before and after their update. */
static void states(void **state) {
    norn_graph *g = parse("g (float[2] x) => (float[2] old = a, float[2] sum)\n"
                          "<float[2] a = {1,1} -> b, float[2] b = {2,2} -> a, float[2] n = {0,0} -> n2,\n"
                          " float[2] p = {5,5} -> q, float[2] q = {6,6} -> n, float[2] k = {9,9} -> k>\n{\n"
                          "   n2 = Add(n, x)\n   sum = Add(n2, k)\n}\n");
    norn_state *st;
    norn_executable *e;
    (void)state;
    OK(norn_state_new(session, &st));
    OK(norn_executable_new(session, g, NULL, st, &e));
    double a = 1, b = 2, n = 0, p = 5, q = 6;
    norn_tensor *x = floats(1, (int64_t[]){2}, (float[]){1, 1});
    for (int i = 0; i < 5; i++) {
        norn_fetch out[] = {{"sum", NULL}};
        OK(norn_executable_run(e, 1, (norn_feed[]){{"x", x}}, 1, out));
        OK(norn_plan_verify(norn_executable_plan(e)));
        double t = a;
        a = b;
        b = t;
        p = q;
        q = n;
        n += 1;
        assert_true(norn_tensor_get(out[0].tensor, 1) == n + 9);
        norn_tensor_free(out[0].tensor);
        assert_true(first(st, "a") == a && first(st, "b") == b && first(st, "n") == n &&
                    first(st, "p") == p && first(st, "q") == q && first(st, "k") == 9);
    }
    norn_tensor_free(x);
    norn_executable_free(e);
    norn_state_free(st);
    norn_graph_free(g);
}

/* An output that is a state shows what the state was before the run, or after: as it was read. */
static void state_outputs(void **state) {
    norn_graph *g = parse("g (float[1] x) => (float[1] before = w, float[1] after = w2)\n<float[1] w = {3} "
                          "-> w2>\n{ w2 = Add(w, x) }");
    norn_executable *e;
    (void)state;
    OK(norn_executable_new(session, g, NULL, NULL, &e));
    norn_tensor *x = floats(1, (int64_t[]){1}, (float[]){1});
    for (int i = 0; i < 3; i++) {
        norn_fetch out[] = {{"before", NULL}, {"after", NULL}};
        OK(norn_executable_run(e, 1, (norn_feed[]){{"x", x}}, 2, out));
        assert_true(norn_tensor_get(out[1].tensor, 0) == 4 + i);
        assert_true(norn_tensor_get(out[0].tensor, 0) == 3 + i);
        norn_tensor_free(out[0].tensor);
        norn_tensor_free(out[1].tensor);
    }
    norn_tensor_free(x);
    norn_executable_free(e);
    norn_graph_free(g);
}

/* ---- Gradients. */
static void gradient(void **state) {
    norn_graph *g;
    (void)state;
    OK(norn_graph_new("g", &g));
    norn_value *x = norn_graph_input(g, "x", "float[]"), *other = norn_graph_input(g, "z", "float[2]"),
               *dx[2], *ddx;
    norn_value *y = norn_mul(g, norn_mul(g, x, x), x);
    OK(norn_grad(g, y, NULL, 2, (norn_value *[]){x, other}, dx));
    OK(norn_grad(g, dx[0], NULL, 1, &x, &ddx));
    OK(norn_graph_output(g, "y", y));
    OK(norn_graph_output(g, "dx", dx[0]));
    OK(norn_graph_output(g, "dz", dx[1]));
    OK(norn_graph_output(g, "ddx", ddx));
    OK(norn_graph_verify(g));
    norn_executable *e;
    OK(norn_executable_new(session, g, NULL, NULL, &e));
    norn_tensor *tx = floats(0, NULL, (float[]){2}), *tz = floats(1, (int64_t[]){2}, NULL);
    norn_fetch out[] = {{"y", NULL}, {"dx", NULL}, {"dz", NULL}, {"ddx", NULL}};
    OK(norn_executable_run(e, 2, (norn_feed[]){{"x", tx}, {"z", tz}}, 4, out));
    const double want[] = {8, 12, 0, 12};
    for (int i = 0; i < 4; i++) {
        assert_true(norn_tensor_get(out[i].tensor, 0) == want[i]);
        norn_tensor_free(out[i].tensor);
    }
    assert_int_equal(norn_value_dim(dx[1], 0), 2); /* no path: zeros of its shape */
    norn_value *n = norn_graph_input(g, "n", "int64[]");
    FAILS(norn_grad(g, y, NULL, 1, &n, dx), NORN_DTYPE, "with respect to 'n': got type int64");
    norn_tensor_free(tx);
    norn_tensor_free(tz);
    norn_executable_free(e);
    norn_graph_free(g);
}

/* ---- Optimizers against their definitions in plain C: loss = sum(c * w * w) / 2, so the gradient is c * w. */
typedef struct {
    double p, m, v, a;
} slots;

static void reference(const norn_optimizer *o, slots *s, double c, int t) {
    double g = c * s->p;
    if (o->kind == NORN_ADAMW)
        s->p *= 1 - o->lr * o->weight_decay;
    else
        g += o->weight_decay * s->p;
    switch (o->kind) {
    case NORN_SGD:
        if (o->momentum != 0) {
            s->m = t == 1 ? g : o->momentum * s->m + (1 - o->dampening) * g;
            g = o->nesterov ? g + o->momentum * s->m : s->m;
        }
        s->p -= o->lr * g;
        break;
    case NORN_ADAM:
    case NORN_ADAMW: {
        s->m = o->beta1 * s->m + (1 - o->beta1) * g;
        s->v = o->beta2 * s->v + (1 - o->beta2) * g * g;
        s->a = s->v > s->a ? s->v : s->a;
        double v = o->amsgrad ? s->a : s->v;
        s->p -= o->lr / (1 - pow(o->beta1, t)) * s->m / (sqrt(v) / sqrt(1 - pow(o->beta2, t)) + o->eps);
        break;
    }
    case NORN_RMSPROP: {
        s->v = o->alpha * s->v + (1 - o->alpha) * g * g;
        double v = s->v;
        if (o->centered) {
            s->a = o->alpha * s->a + (1 - o->alpha) * g;
            v -= s->a * s->a;
        }
        g /= sqrt(v) + o->eps;
        if (o->momentum != 0)
            g = s->m = o->momentum * s->m + g;
        s->p -= o->lr * g;
        break;
    }
    case NORN_ADAGRAD:
        s->v = t == 1 ? o->initial_accumulator : s->v;
        s->v += g * g;
        s->p -= o->lr / (1 + (t - 1) * o->lr_decay) * g / (sqrt(s->v) + o->eps);
        break;
    }
}

static void try_optimizer(const norn_optimizer *o) {
    enum { N = 3, STEPS = 7 };
    const float start[N] = {1, -2, 0.5f};
    const float curve[N] = {1, 0.3f, 4};
    slots want[N];
    norn_graph *g;
    norn_state *st;
    norn_executable *e;
    norn_tensor *t = floats(1, (int64_t[]){N}, start), *c = floats(1, (int64_t[]){N}, curve);
    OK(norn_graph_new("g", &g));
    norn_value *w = norn_graph_parameter(g, "w", t);
    norn_value *loss = norn_mul(
        g, norn_graph_scalar(g, NORN_F32, 0.5),
        norn_reduce_sum(g, norn_mul(g, norn_graph_constant(g, "c", c), norn_mul(g, w, w)), 0, NULL, false));
    OK(norn_graph_minimize(g, loss, o, false, 0, NULL));
    OK(norn_graph_output(g, "loss", loss));
    OK(norn_graph_verify(g));
    OK(norn_state_new(session, &st));
    OK(norn_executable_new(session, g, NULL, st, &e));
    for (int i = 0; i < N; i++)
        want[i] = (slots){.p = (double)start[i]};
    for (int step = 1; step <= STEPS; step++) {
        norn_tensor *now;
        norn_fetch out[] = {{"loss", NULL}};
        OK(norn_executable_run(e, 0, NULL, 1, out));
        norn_tensor_free(out[0].tensor);
        OK(norn_state_get(st, "w", &now));
        for (int i = 0; i < N; i++) {
            reference(o, &want[i], (double)curve[i], step);
            if (fabs(norn_tensor_get(now, i) - want[i].p) > 1e-6 + 4e-6 * fabs(want[i].p))
                fail_msg("kind %d step %d element %d: got %.9g (wanted %.9g)", (int)o->kind, step, i,
                         norn_tensor_get(now, i), want[i].p);
        }
        norn_tensor_free(now);
    }
    norn_tensor_free(t);
    norn_tensor_free(c);
    norn_executable_free(e);
    norn_state_free(st);
    norn_graph_free(g);
}

static void optimizers(void **state) {
    norn_optimizer o;
    (void)state;
    norn_optimizer_init(&o, NORN_SGD);
    o.lr = 0.1;
    try_optimizer(&o);
    o.momentum = 0.9;
    try_optimizer(&o);
    o.nesterov = true;
    try_optimizer(&o);
    o.nesterov = false;
    o.dampening = 0.3;
    o.weight_decay = 0.05;
    try_optimizer(&o);
    norn_optimizer_init(&o, NORN_ADAM);
    o.lr = 0.05;
    try_optimizer(&o);
    o.amsgrad = true;
    o.weight_decay = 0.1;
    try_optimizer(&o);
    norn_optimizer_init(&o, NORN_ADAMW);
    o.lr = 0.05;
    try_optimizer(&o);
    norn_optimizer_init(&o, NORN_RMSPROP);
    try_optimizer(&o);
    o.centered = true;
    o.momentum = 0.5;
    try_optimizer(&o);
    norn_optimizer_init(&o, NORN_ADAGRAD);
    o.lr = 0.3;
    o.lr_decay = 0.1;
    o.initial_accumulator = 0.2;
    try_optimizer(&o);
    norn_graph *g;
    OK(norn_graph_new("g", &g));
    norn_value *x = norn_graph_input(g, "x", "float[2]");
    FAILS(norn_graph_minimize(g, x, &o, false, 0, NULL), NORN_SHAPE, "the loss has rank 1");
    o.lr = -1;
    FAILS(norn_graph_minimize(g, x, &o, false, 0, NULL), NORN_ARG, "lr: got -1");
    norn_graph_free(g);
}

/* ---- One operator at once. */
static void apply(void **state) {
    norn_tensor *a = floats(2, (int64_t[]){2, 2}, (float[]){1, 2, 3, 4}), *view, *y, *in[2];
    (void)state;
    OK(norn_tensor_transpose(a, (int[]){1, 0}, &view));
    for (int i = 0; i < 2; i++) {
        in[0] = a;
        in[1] = view;
        OK(norn_session_apply(session, "MatMul", 2, in, 1, &y));
        float v[4];
        OK(norn_tensor_read(y, v));
        assert_true(v[0] == 5 && v[1] == 11 && v[2] == 11 && v[3] == 25);
        norn_tensor_free(y);
    }
    FAILS(norn_session_apply(session, "MatMuul", 2, in, 1, &y), NORN_UNSUPPORTED, "no operator 'MatMuul'");
    assert_null(y);
    norn_tensor_free(a);
    norn_tensor_free(view);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_round_trip), cmocka_unit_test(text_errors), cmocka_unit_test(text_damaged),
        cmocka_unit_test(simplify),        cmocka_unit_test(binding),     cmocka_unit_test(sticky),
        cmocka_unit_test(named_sizes),     cmocka_unit_test(states),      cmocka_unit_test(state_outputs),
        cmocka_unit_test(gradient),        cmocka_unit_test(optimizers),  cmocka_unit_test(apply),
    };
    return cmocka_run_group_tests(tests, open_session, close_session);
}
