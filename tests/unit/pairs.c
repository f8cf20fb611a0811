/* SPDX-License-Identifier: Apache-2.0 */
/* A convolution 1 x 1 and one with a kernel for each channel become norn.ConvPair (graph/pass/fuse_convs.c) where nobody else
 * reads what is between; the result is that of the two. */
#include "graph/plan.h"
#include "tests/backend.h"
#include "tests/snapshot.h"
#include <math.h>

typedef struct {
    const char *body; /* from e, the result of the first convolution, to f, the second's input */
    const char *outputs;
    bool fused;
} between;

#define ONLY_Y "float[2,20,7,9] y"
static const between cases[] = {
    {"f = Relu(e)", ONLY_Y, true},
    {"f = Clip(e, zero, six)", ONLY_Y, true},
    {"f = Clip(e)", ONLY_Y, true},
    {"f = HardSwish(e)", ONLY_Y, true},
    {"f = LeakyRelu<alpha=0.25>(e)", ONLY_Y, true},
    {"f = Elu<alpha=0.5>(e)", ONLY_Y, true},
    {"s = Softplus(e)\n   t = Tanh(s)\n   f = Mul(e, t)", ONLY_Y, true},
    {"s = Sigmoid(e)\n   f = Mul(e, s)", ONLY_Y, true},
    {"a = Add(e, six)\n   b = Relu(a)\n   c = Div(b, six)\n   f = Mul(c, e)", ONLY_Y, true},
    {"f = Identity(e)", ONLY_Y, true},
    {"f = PRelu(e, slope)", ONLY_Y, false}, /* differs by channel */
    {"f = Mul(e, slope)", ONLY_Y, false},
    {"f = MaxPool<kernel_shape=[1,1]>(e)", ONLY_Y, false}, /* not pointwise */
    {"f = Relu(e)", ONLY_Y ", float[2,20,7,9] f", false},  /* what is between is wanted too */
    {"s = Sigmoid(e)\n   f = Mul(e, s)", ONLY_Y ", float[2,20,7,9] s", false},
    {"f = Relu(e)", ONLY_Y ", float[2,20,7,9] e", false},
    {"d = Conv(x, w0)\n   f = Add(e, d)", ONLY_Y, false}, /* two convolutions */
    {"s = Sin(e)\n   f = Relu(s)", ONLY_Y, false},        /* a function that is not among them */
};

static norn_graph *network(const between *b) {
    char text[2048];
    norn_graph *g;
    snprintf(text, sizeof text,
             "g (float[2,5,7,9] x, float[20,5,1,1] w0, float[20,5,1,1] w1, float[20] b1, float[20,1,3,3] w2, "
             "float[20,1,1] slope) => (%s)\n"
             "<float[] zero = {0}, float[] six = {0.6}>\n{\n   e = Conv(x, w1, b1)\n   %s\n"
             "   z = Conv<pads=[1,1,1,1], group=20>(f, w2)\n   y = Relu(z)\n}\n",
             b->outputs, b->body);
    OK(norn_graph_parse(text, &g));
    return g;
}

static bool mentions(const norn_plan *p, const char *what) {
    char *text;
    OK(norn_plan_print(p, &text));
    bool found = strstr(text, what) != NULL;
    norn_text_free(text);
    return found;
}

static bool fuses(const norn_graph *g, const char *device, bool no_fusion) {
    norn_device *d = snapshot(device);
    norn_plan_options o = {.no_fusion = no_fusion};
    norn_plan *p;
    OK(norn_plan_new(g, d, &o, &p));
    OK(norn_plan_verify(p));
    bool found = mentions(p, "ConvPair");
    norn_plan_free(p);
    norn_device_free(d);
    return found;
}

static void which(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        norn_graph *g = network(&cases[i]);
        if (fuses(g, "pocl-avx512", false) != cases[i].fused)
            fail_msg("case %zu is %sfused: %s", i, cases[i].fused ? "not " : "", cases[i].body);
        assert_false(fuses(g, "pocl-avx512", true));
        assert_false(fuses(g, "nvidia-rtx3060", false));
        norn_graph_free(g);
    }
}

/* Other convolutions: the first or the second is of another kind, or rows are too short or too long. */
static void others(void **state) {
    (void)state;
    static const struct {
        const char *x, *w1, *first, *w2, *second, *y;
        bool fused;
    } kinds[] = {
        {"[1,4,8,8]", "[8,4,1,1]", "Conv", "[8,1,3,3]", "Conv<group=8>", "[1,8,6,6]", true},
        {"[1,4,8,8]", "[8,4,1,1]", "Conv", "[8,1,7,7]", "Conv<group=8, strides=[1,1]>", "[1,8,2,2]", true},
        {"[1,4,8,8]", "[8,4,3,3]", "Conv<pads=[1,1,1,1]>", "[8,1,3,3]", "Conv<group=8>", "[1,8,6,6]", false},
        {"[1,4,8,8]", "[8,4,1,1]", "Conv<pads=[1,1,1,1]>", "[8,1,3,3]", "Conv<group=8>", "[1,8,8,8]", false},
        {"[1,4,8,8]", "[8,4,1,1]", "Conv<strides=[2,2]>", "[8,1,3,3]", "Conv<group=8>", "[1,8,2,2]", false},
        {"[1,4,8,8]", "[8,2,1,1]", "Conv<group=2>", "[8,1,3,3]", "Conv<group=8>", "[1,8,6,6]", false},
        {"[1,4,8,8]", "[8,4,1,1]", "Conv", "[8,2,3,3]", "Conv<group=4>", "[1,8,6,6]", false},
        {"[1,4,8,8]", "[8,4,1,1]", "Conv", "[16,1,3,3]", "Conv<group=8>", "[1,16,6,6]", false},
        {"[1,4,8,8]", "[8,4,1,1]", "Conv", "[6,8,3,3]", "Conv", "[1,6,6,6]", false},
        {"[1,4,8,3]", "[8,4,1,1]", "Conv", "[8,1,3,3]", "Conv<group=8>", "[1,8,6,1]", false},
        {"[1,4,8,900]", "[8,4,1,1]", "Conv", "[8,1,3,3]", "Conv<group=8>", "[1,8,6,898]", false},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        char text[1024];
        norn_graph *g;
        snprintf(text, sizeof text,
                 "g (float%s x, float%s w1, float%s w2) => (float%s y)\n{\n   e = %s(x, w1)\n   f = Relu(e)\n"
                 "   y = %s(f, w2)\n}\n",
                 kinds[i].x, kinds[i].w1, kinds[i].w2, kinds[i].y, kinds[i].first, kinds[i].second);
        OK(norn_graph_parse(text, &g));
        if (fuses(g, "pocl-avx512", false) != kinds[i].fused)
            fail_msg("case %zu is %sfused", i, kinds[i].fused ? "not " : "");
        norn_graph_free(g);
    }
}

static norn_tensor *values(const norni_type *t, int seed) {
    norn_tensor *x;
    OK(norn_tensor_new(NULL, NORN_F32, t->rank, t->dims, NULL, &x));
    for (int64_t i = 0; i < norn_tensor_elems(x); i++)
        norn_tensor_set(x, i, (double)((uint64_t)(i + 77 * seed) * 2654435761u % 1000) / 500 - 1);
    return x;
}

static norn_tensor *run(norn_session *s, const norn_graph *g, bool no_fusion) {
    norn_plan_options o = {.no_fusion = no_fusion};
    norn_executable *e;
    norn_feed feeds[8];
    norn_fetch y = {"y", NULL};
    size_t n = g->inputs.n;
    for (size_t i = 0; i < n; i++)
        feeds[i] = (norn_feed){g->inputs.v[i]->name, values(&g->inputs.v[i]->type, (int)i)};
    OK(norn_executable_new(s, g, &o, NULL, &e));
    OK(norn_executable_run(e, n, feeds, 1, &y));
    for (size_t i = 0; i < n; i++)
        norn_tensor_free((norn_tensor *)feeds[i].tensor);
    norn_executable_free(e);
    return y.tensor;
}

static void same_results(void **state) {
    norn_session *s;
    (void)state;
    if (!have_device())
        skip();
    OK(norn_session_open(NULL, &s));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (!cases[i].fused)
            continue;
        norn_graph *g = network(&cases[i]);
        norn_tensor *one = run(s, g, false), *two = run(s, g, true);
        double most = 0;
        for (int64_t k = 0; k < norn_tensor_elems(two); k++) {
            double a = norn_tensor_get(one, k), b = norn_tensor_get(two, k);
            most = fmax(most, b);
            if (!(fabs(a - b) <= 1e-5 * (1 + fabs(b))))
                fail_msg("case %zu, element %lld: %g (of the two: %g)", i, (long long)k, a, b);
        }
        assert_true(most > 0.1);
        norn_tensor_free(one);
        norn_tensor_free(two);
        norn_graph_free(g);
    }
    norn_session_close(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(which), cmocka_unit_test(others),
                                       cmocka_unit_test(same_results)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
