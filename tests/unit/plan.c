/* SPDX-License-Identifier: Apache-2.0 */
/* Plans for devices that need not be here, from the snapshots in tests/devices: they verify, are the same every time,
 * waste little memory, and respect what a device lacks. */
#include "graph/plan.h"
#include "base/philox.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/snapshot.h"

static const char *const snapshots[] = {"pocl-avx512", "amd-rdna2", "intel-arc-a770", "nvidia-rtx3060",
                                        "mali-g78"};
enum { N_DEVICES = sizeof snapshots / sizeof *snapshots };
static norn_device *devices[N_DEVICES];

#define OK(call)                                                                                             \
    if ((call) != NORN_OK)                                                                                   \
    fail_msg("%s: %s", #call, norn_error())

static int load_devices(void **state) {
    (void)state;
    for (int i = 0; i < N_DEVICES; i++)
        devices[i] = snapshot(snapshots[i]);
    return 0;
}

static int free_devices(void **state) {
    (void)state;
    for (int i = 0; i < N_DEVICES; i++)
        norn_device_free(devices[i]);
    return 0;
}

static norn_plan *plan(const norn_graph *g, const norn_device *d) {
    norn_plan *p;
    OK(norn_plan_new(g, d, NULL, &p));
    norn_status s = norn_plan_verify(p);
    if (s != NORN_OK) {
        char *text, *steps;
        norn_graph_print(p->graph, 0, &text);
        norn_plan_print(p, &steps);
        fail_msg("%s\n%s%s", norn_error(), text, steps);
    }
    return p;
}

static norn_graph *parse(const char *text) {
    norn_graph *g;
    OK(norn_graph_parse(text, &g));
    return g;
}

static const char *const mlp = "mlp (float[32,64] x) => (float[32,10] y)\n"
                               "<float[10] b2 = {0,0,0,0,0,0,0,0,0,0}, int64[1] a = {1}>\n"
                               "{\n"
                               "   s = ReduceSum(x, a)\n   n = Div(x, s)\n   h = MatMul(n, w)\n   r = "
                               "Relu(h)\n   y0 = MatMul(r, v)\n   y = Add(y0, b2)\n}\n";

static norn_graph *make_mlp(void) {
    char text[2048];
    const char *close = strstr(mlp, ") =>");
    snprintf(text, sizeof text, "%.*s, float[64,128] w, float[128,10] v%s", (int)(close - mlp), mlp, close);
    return parse(text);
}

/* The same graph and device give the same text; another device other choices. */
static void pure(void **state) {
    norn_graph *g = make_mlp();
    (void)state;
    for (int i = 0; i < N_DEVICES; i++) {
        char *a, *b;
        norn_plan *p = plan(g, devices[i]), *q = plan(g, devices[i]);
        OK(norn_plan_print(p, &a));
        OK(norn_plan_print(q, &b));
        assert_string_equal(a, b);
        assert_non_null(strstr(a, "MatMul(float[32,64], float[64,128])"));
        norn_text_free(a);
        norn_text_free(b);
        norn_plan_free(p);
        norn_plan_free(q);
    }
    norn_graph_free(g);
}

/* Relu belongs to the first product, the bias to the second: two packings each, and no pointwise kernel after them. */
static void epilogues(void **state) {
    norn_graph *g = make_mlp();
    norn_plan *p = plan(g, devices[0]);
    (void)state;
    for (size_t i = 0; i < p->builder.steps.n; i++) {
        const norni_step *s = p->builder.steps.v[i];
        if (!strncmp(s->kernel, "pointwise", 9))
            assert_string_equal(s->kernel, "pointwise_Div");
        if (!strcmp(s->kernel, "gemm"))
            assert_non_null(s->source);
    }
    norn_plan_free(p);
    norn_plan_options o = {.no_fusion = true};
    OK(norn_plan_new(g, devices[0], &o, &p));
    OK(norn_plan_verify(p));
    size_t pointwise = 0;
    for (size_t i = 0; i < p->builder.steps.n; i++)
        pointwise += !strncmp(p->builder.steps.v[i]->kernel, "pointwise", 9);
    assert_int_equal(pointwise, 3);
    norn_plan_free(p);
    norn_graph_free(g);
}

/* No double on the device: the nodes are planned for the host, and listed. */
static void without_fp64(void **state) {
    norn_graph *g = parse("g (double[8] x) => (double[8] y) { t = Exp(x)\n y = Neg(t) }");
    (void)state;
    norn_plan *p = plan(g, devices[4]);
    assert_int_equal(norn_plan_host_count(p), 2);
    assert_string_equal(norn_plan_host_at(p, 0), "Exp(double[8])");
    assert_null(norn_plan_host_at(p, 2));
    norn_plan_free(p);
    p = plan(g, devices[0]);
    assert_int_equal(norn_plan_host_count(p), 0);
    norn_plan_free(p);
    norn_graph_free(g);
}

static void limits(void **state) {
    norn_graph *g = parse("g (float[1000,1000] x) => (float[1000,1000] y) { t = Exp(x)\n u = MatMul(t, x)\n "
                          "y = MatMul(u, t) }");
    norn_plan *p;
    norn_plan_options o = {.memory_limit_bytes = 1 << 20};
    (void)state;
    assert_int_equal(norn_plan_new(g, devices[0], &o, &p), NORN_NOMEM);
    assert_non_null(strstr(norn_error(), "the limit is 1048576"));
    assert_null(p);
    norn_graph_free(g);
    /* Larger than a device hands out in one piece. */
    g = parse("g (float[1024,1024,1024] x) => (float[1024,1024,1024] y) { y = Exp(x) }");
    assert_int_equal(norn_plan_new(g, devices[4], NULL, &p), NORN_OK);
    norn_plan_free(p);
    norn_device small = *devices[4];
    small.max_alloc_bytes = 1u << 30;
    assert_int_equal(norn_plan_new(g, &small, NULL, &p), NORN_NOMEM);
    assert_non_null(
        strstr(norn_error(), "needs 4294967296 bytes in one piece (Mali-G78 r0p1 allows 1073741824)"));
    norn_graph_free(g);
    /* More than one piece is needed, and allowed. */
    g = parse("g (float[64,1024,1024] x) => (float[64,1024,1024] y, float[64,1024,1024] z) { t = Exp(x)\n u "
              "= Neg(x)\n y = Mul(t, u)\n"
              " z = Sub(t, u) }");
    small.max_alloc_bytes = 300u << 20;
    p = plan(g, &small);
    assert_true(p->n_mems >= 2);
    for (int i = 0; i < p->n_mems; i++)
        assert_true(p->mems[i].bytes <= small.max_alloc_bytes);
    norn_plan_free(p);
    norn_graph_free(g);
}

static void wishes(void **state) {
    norn_graph *g = make_mlp();
    norn_plan *p;
    norn_plan_options o = {.implementations = "clblast"};
    (void)state;
    OK(norn_plan_new(g, devices[0], &o, &p));
    size_t gemms = 0;
    for (size_t i = 0; i < p->builder.steps.n; i++)
        gemms += p->builder.steps.v[i]->kind == NORNI_STEP_GEMM;
    assert_int_equal(gemms, 2);
    norn_plan_free(p);
    o.implementations = "MatMul=nonsense";
    assert_int_equal(norn_plan_new(g, devices[0], &o, &p), NORN_ARG);
    assert_non_null(strstr(norn_error(), "MatMul has no 'nonsense' (wanted one of: "));
    static const struct {
        const char *wish, *word;
    } wrong[] = {{"nonsense", "no operator has a 'nonsense'"},
                 {"clblast,nonsense", "no operator has a 'nonsense'"},
                 {"Nothing=clblast", "there is no operator 'Nothing'"},
                 {"Conv=clblast,MatMul=im2col", "MatMul has no 'im2col'"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        o.implementations = wrong[i].wish;
        assert_int_equal(norn_plan_new(g, devices[0], &o, &p), NORN_ARG);
        assert_non_null(strstr(norn_error(), wrong[i].word));
    }
    norn_graph_free(g);
}

/* Random graphs of pointwise nodes, reductions, products, views: every plan verifies, and its memory is close to the
 * largest sum of what is alive at once. */
static void random_graphs(void **state) {
    norni_philox_stream r;
    norni_philox_begin(&r, 5, 0, 1000);
    double worst = 1, sum = 0;
    enum { ROUNDS = 150 };
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        norn_graph *g;
        norn_value *v[64], *w;
        norn_tensor *t;
        int n = 0;
        OK(norn_graph_new("random", &g));
        v[n++] = norn_graph_input(g, "x", "float[16,16]");
        OK(norn_tensor_new(NULL, NORN_F32, 2, (int64_t[]){16, 16}, NULL, &t));
        w = v[n++] = norn_graph_parameter(g, "w", t);
        norn_tensor_free(t);
        int nodes = 3 + (int)norni_philox_below(&r, 40);
        for (int i = 0; i < nodes; i++) {
            norn_value *a = v[norni_philox_below(&r, (uint64_t)n)],
                       *b = v[norni_philox_below(&r, (uint64_t)n)];
            switch (norni_philox_below(&r, 7)) {
            case 0:
                v[n++] = norn_matmul(g, a, b);
                break;
            case 1:
                v[n++] = norn_relu(g, a);
                break;
            case 2:
                v[n++] = norn_transpose(g, a, 2, (int[]){1, 0});
                break;
            case 3:
                v[n++] = norn_add(g, a, norn_reduce_sum(g, b, 1, (int64_t[]){1}, true));
                break;
            case 4:
                v[n++] = norn_reshape(g, norn_reshape(g, a, 1, (int64_t[]){256}), 2, (int64_t[]){16, 16});
                break;
            default:
                v[n++] = norn_sub(g, a, b);
            }
        }
        OK(norn_graph_output(g, "y", v[n - 1]));
        OK(norn_graph_output(g, "z", v[norni_philox_below(&r, (uint64_t)n)]));
        if (round & 1)
            OK(norn_graph_update(g, w, v[norni_philox_below(&r, (uint64_t)n)]));
        norn_plan *p = plan(g, devices[round % N_DEVICES]);
        if (p->lower_bound_bytes) {
            double waste = (double)norn_plan_arena_bytes(p) / (double)p->lower_bound_bytes;
            worst = waste > worst ? waste : worst;
            sum += waste;
        } else
            sum += 1;
        norn_plan_free(p);
        norn_graph_free(g);
    }
    print_message("memory over lower bound: mean %.3f, worst %.3f\n", sum / ROUNDS, worst);
    assert_true(sum / ROUNDS < 1.05 && worst < 1.4);
}

static bool mentions(norn_plan *p, const char *what) {
    char *text;
    OK(norn_plan_print(p, &text));
    bool found = strstr(text, what) != NULL;
    norn_text_free(text);
    return found;
}

/* What is written as products and a softmax is one operator where nobody reads what is between. */
static void attention(void **state) {
    (void)state;
#define HEADS3 "g (float[6,16,8] q, float[6,8,20] k, float[6,20,5] v) => (float[6,16,5] y"
    const struct {
        const char *text;
        bool fused;
    } cases[] = {
        {"g (float[2,16,3,8] q, float[2,20,3,8] k, float[2,3,20,8] v, float[2,1,1,20] m) => (float[2,3,16,8] "
         "y)\n"
         "<float[] c = {8}>\n{\n"
         "   a = Transpose<perm=[0,2,1,3]>(q)\n   b = Transpose<perm=[0,2,3,1]>(k)\n   s = MatMul(a, b)\n"
         "   t = Div(s, c)\n   u = Add(m, t)\n   p = Softmax<axis=-1>(u)\n   y = MatMul(p, v)\n}\n",
         true},
        {HEADS3 ")\n{\n   s = MatMul(q, k)\n   p = Softmax<axis=2>(s)\n   y = MatMul(p, v)\n}\n", true},
        {HEADS3
         ", float[6,16,20] p)\n{\n   s = MatMul(q, k)\n   p = Softmax<axis=2>(s)\n   y = MatMul(p, v)\n}\n",
         false},
        {HEADS3 ")\n{\n   s = MatMul(q, k)\n   p = Softmax<axis=1>(s)\n   y = MatMul(p, v)\n}\n", false},
        {HEADS3
         ")\n<float[] c = {8}, float[] d = {1}>\n{\n   s = MatMul(q, k)\n   u = Add(s, d)\n   t = Mul(u, c)\n"
         "   p = Softmax<axis=2>(t)\n   y = MatMul(p, v)\n}\n",
         false},
        {"g (float[6,16,8] q, float[1,8,20] k, float[6,20,5] v) => (float[6,16,5] y)\n"
         "{\n   s = MatMul(q, k)\n   p = Softmax<axis=2>(s)\n   y = MatMul(p, v)\n}\n",
         false},
        {"g (float[6,1,8] q, float[6,8,20] k, float[6,20,5] v) => (float[6,1,5] y)\n"
         "{\n   s = MatMul(q, k)\n   p = Softmax<axis=2>(s)\n   y = MatMul(p, v)\n}\n",
         false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        norn_graph *g = parse(cases[i].text);
        norn_plan *p = plan(g, devices[0]);
        if (mentions(p, "AttentionCore") != cases[i].fused)
            fail_msg("case %zu is %sfused", i, cases[i].fused ? "not " : "");
        norn_plan_free(p);
        norn_graph_free(g);
    }
}

/* What is computed from sizes alone is no step; Where with one answer and Cast to the same type neither. */
static void sizes(void **state) {
    (void)state;
    norn_graph *g = parse("g (float[2,3,4] x) => (float[8,3] y)\n<int64[1] i = {2}, int64[1] two = {2}>\n{\n"
                          "   s = Shape(x)\n   d = Gather(s, i)\n   e = Mul(d, two)\n   r = Sub(two, e)\n"
                          "   m = Less(r, two)\n   c = Cast<to=1>(x)\n   a = Abs(c)\n   w = Where(m, a, x)\n"
                          "   three = Shape<start=1, end=2>(w)\n   t = Concat<axis=0>(e, three)\n"
                          "   y = Reshape(w, t)\n}\n");
    norn_plan *p = plan(g, devices[0]);
    assert_int_equal(norn_plan_step_count(p), 1);
    assert_true(mentions(p, "Abs"));
    norn_plan_free(p);
    norn_graph_free(g);
}

/* GPUs compute products in tiles of work-groups, with what follows in the same launch; CPUs do not. */
static void tiles(void **state) {
    (void)state;
    norn_graph *g = parse(
        "g (float[4,16,32,32] x, float[32,16,3,3] w, float[32] b, float[32768,100] u) => (float[4,100] y)\n"
        "{\n   c = Conv<pads=[1,1,1,1]>(x, w, b)\n   r = Relu(c)\n   f = Flatten(r)\n"
        "   h = MatMul(f, u)\n   y = Tanh(h)\n}\n");
    for (int i = 0; i < N_DEVICES; i++) {
        norn_plan *p = plan(g, devices[i]);
        bool cpu = norni_device_is_cpu(devices[i]);
        if (mentions(p, "tiled") == cpu)
            fail_msg("%s: %s", snapshots[i], cpu ? "tiles of work-groups" : "no tiles of work-groups");
        if (!cpu)
            assert_int_equal(norn_plan_step_count(p), 2);
        norn_plan_free(p);
    }
    norn_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pure),      cmocka_unit_test(epilogues), cmocka_unit_test(without_fp64),
        cmocka_unit_test(limits),    cmocka_unit_test(wishes),    cmocka_unit_test(random_graphs),
        cmocka_unit_test(attention), cmocka_unit_test(sizes),     cmocka_unit_test(tiles)};
    return cmocka_run_group_tests(tests, load_devices, free_devices);
}
