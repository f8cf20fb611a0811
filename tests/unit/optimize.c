/* SPDX-License-Identifier: Apache-2.0 */
/* The optimizer: which nodes are left, and that outputs stay equal. */
#include "graph/graph.h"
#include "graph/plan.h"
#include "ops/op.h"
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
    return norn_session_open("host", &session) != NORN_OK;
}

static int close_session(void **state) {
    (void)state;
    norn_session_close(session);
    return 0;
}

#define OK(call)                                                                                             \
    if ((call) != NORN_OK)                                                                                   \
    fail_msg("%s: %s", #call, norn_error())

static norn_tensor *run(const norn_graph *g, const norn_tensor *x) {
    norn_executable *e;
    norn_feed feed = {g->inputs.v[0]->name, x};
    norn_fetch out = {"y", NULL};
    OK(norn_executable_new(session, g, NULL, NULL, &e));
    OK(norn_executable_run(e, 1, &feed, 1, &out));
    norn_executable_free(e);
    return out.tensor;
}

/* Optimizes a graph with one input of float and the output y, of which these operators must be left. */
static void expect(const char *text, const char *ops, int rank, const int64_t *dims) {
    norn_graph *g, *o;
    norni_str left = {0};
    OK(norn_graph_parse(text, &g));
    OK(norn_graph_optimize(g, &o));
    OK(norn_graph_verify(o));
    for (size_t i = 0; i < o->nodes.n; i++)
        norni_str_addf(&left, "%s%s", i ? " " : "", o->nodes.v[i]->op->name);
    assert_string_equal(left.s ? left.s : "", ops);
    norni_str_free(&left);
    norn_tensor *x;
    OK(norn_tensor_new(NULL, NORN_F32, rank, dims, NULL, &x));
    for (int64_t i = 0; i < norn_tensor_elems(x); i++)
        norn_tensor_set(x, i, sin((double)i * 1.3));
    norn_tensor *a = run(g, x), *b = run(o, x);
    assert_int_equal(norn_tensor_rank(a), norn_tensor_rank(b));
    assert_memory_equal(norn_tensor_dims(a), norn_tensor_dims(b), (size_t)norn_tensor_rank(a) * sizeof *dims);
    for (int64_t i = 0; i < norn_tensor_elems(a); i++)
        if (!(fabs(norn_tensor_get(a, i) - norn_tensor_get(b, i)) <=
              1e-5 * (1 + fabs(norn_tensor_get(a, i)))))
            fail_msg("element %d: %g became %g", (int)i, norn_tensor_get(a, i), norn_tensor_get(b, i));
    norn_tensor_free(a);
    norn_tensor_free(b);
    norn_tensor_free(x);
    norn_graph_free(g);
    norn_graph_free(o);
}
#define EXPECT(text, ops, ...)                                                                               \
    expect(text, ops, sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), (int64_t[]){__VA_ARGS__})

static void affine(void **state) {
    (void)state;
    EXPECT("g (float[N,2,5,5] x) => (float[N,3,5,5] y)\n<float[] z = {0}, float[] n = {54}, float[] o = {1}, "
           "int64[4] t = "
           "{3,2,3,3}, float[3] s = {1,2,3}, float[3] b = {0.5,0,-1}, float[3] m = {0.1,0.2,0.3}, float[3] v "
           "= {1,0.5,2}, "
           "float[3,1,1] k = {2,3,4}, float[] a = {7}>\n{\n r = Range(z, n, o)\n q = Reshape(r, t)\n w = "
           "Sin(q)\n"
           " c = Conv<pads=[1,1,1,1]>(x, w)\n d = BatchNormalization(c, s, b, m, v)\n e = Mul(d, k)\n y = "
           "Add(a, e)\n}\n",
           "Conv", 2, 2, 5, 5);
    /* A bias is there already; the matrix product has its channels in the other axis. */
    EXPECT("g (float[N,4] x) => (float[N,3] y)\n<float[] z = {0}, float[] n = {12}, float[] o = {1}, "
           "int64[2] t = {4,3}, "
           "float[3] b = {1,2,3}, float[1,3] k = {2,3,4}>\n{\n r = Range(z, n, o)\n q = Reshape(r, t)\n w = "
           "Sin(q)\n"
           " c = Gemm(x, w, b)\n y = Mul(c, k)\n}\n",
           "Gemm", 5, 4);
    /* What is read twice stays, and so does what varies within a channel. */
    EXPECT("g (float[N,4] x) => (float[N,4] y)\n<float[4,4] w = {1,0,0,2,0,1,0,0,3,0,1,0,0,4,0,1}, float[4] "
           "k = {2,3,4,5}>\n"
           "{\n c = Gemm(x, w)\n d = Mul(c, k)\n y = Add(c, d)\n}\n",
           "Gemm Mul Add", 2, 4);
    EXPECT("g (float[1,1,2,2] x) => (float[1,1,2,2] y)\n<float[1,1,1,1] w = {3}, float[2,1] k = {2,3}>\n"
           "{\n c = Conv(x, w)\n y = Mul(c, k)\n}\n",
           "Conv Mul", 1, 1, 2, 2);
}

static void transpositions(void **state) {
    (void)state;
    EXPECT("g (float[N,4,6,2] x) => (float[N,5] y)\n<float[] z = {0}, float[] n = {24}, float[] o = {1}, "
           "int64[4] t = "
           "{3,2,2,2}, float[3] b = {1,-2,3}, float[] nm = {225}, int64[2] tm = {45,5}, int64[2] f = "
           "{-1,45}>\n{\n"
           " r = Range(z, n, o)\n q = Reshape(r, t)\n w = Sin(q)\n rm = Range(z, nm, o)\n qm = Reshape(rm, "
           "tm)\n m = Sin(qm)\n"
           " i = Transpose<perm=[0,3,1,2]>(x)\n c = Conv(i, w)\n h = Transpose<perm=[0,2,3,1]>(c)\n a = "
           "Add(h, b)\n"
           " l = Relu(a)\n g2 = Reshape(l, f)\n y = MatMul(g2, m)\n}\n",
           "Transpose Conv Relu Flatten MatMul", 2, 4, 6, 2);
    EXPECT("g (float[2,3,4] x) => (float[2,4] y)\n<int64[1] a = {-1}>\n{\n t = Transpose<perm=[0,2,1]>(x)\n "
           "e = Exp(t)\n"
           " u = Softmax<axis=1>(e)\n y = ReduceMean<keepdims=0>(u, a)\n}\n",
           "Exp Softmax ReduceMean", 2, 3, 4);
    EXPECT("g (float[2,3,4] x) => (float[2,3,8] y)\n<float[4,1] k = {1,2,3,4}>\n{\n t = "
           "Transpose<perm=[0,2,1]>(x)\n"
           " a = Mul(t, k)\n b = Neg(a)\n u = Tanh(x)\n v = Transpose<perm=[0,2,1]>(u)\n c = "
           "Concat<axis=1>(b, v)\n"
           " y = Transpose<perm=[0,2,1]>(c)\n}\n",
           "Mul Neg Tanh Concat", 2, 3, 4);
    /* Three axes in a circle: the order matters. */
    EXPECT("g (float[2,3,4] x) => (float[3,4,2] y)\n<float[4,2,1] k = {1,2,3,4,5,6,7,8}>\n{\n t = "
           "Transpose<perm=[2,0,1]>(x)\n"
           " a = Add(t, k)\n y = Transpose<perm=[2,0,1]>(a)\n}\n",
           "Add Transpose", 2, 3, 4);
    EXPECT("g (float[2,1,4] x) => (float[2,4,1] y)\n{\n y = Transpose<perm=[0,2,1]>(x)\n}\n", "Reshape", 2, 1,
           4);
}

static void shapes(void **state) {
    (void)state;
    EXPECT("g (float[N,3,4] x) => (float[N,12] y)\n<int64[] z = {0}, int64[1] a = {0}, int64[1] m = "
           "{-1}>\n{\n s = Shape(x)\n"
           " n = Gather(s, z)\n u = Unsqueeze(n, a)\n c = Concat<axis=0>(u, m)\n y = Reshape(x, c)\n}\n",
           "Reshape", 5, 3, 4);
    EXPECT("g (float[3,4] x) => (float[3,4] y)\n<float[] r = {0.5}, int64[2] p = {3,4}, int64[4] o = "
           "{0,0,0,0}>\n{\n"
           " d = Dropout(x, r)\n e = Reshape(d, p)\n f = Pad(e, o)\n h = Sum(f)\n i = Cast<to=1>(h)\n y = "
           "Relu(i)\n}\n",
           "Relu", 3, 4);
}

static void quantized(void **state) {
    (void)state;
    EXPECT("g (float[4] x) => (float[4] y)\n<float[] s = {0.1}, uint8[] z = {7}, float[] s2 = {0.2}>\n{\n"
           " a = QuantizeLinear(x, s, z)\n b = DequantizeLinear(a, s, z)\n c = QuantizeLinear(b, s, z)\n"
           " y = DequantizeLinear(c, s, z)\n}\n",
           "QuantizeLinear DequantizeLinear", 4);
    EXPECT("g (float[4] x) => (float[4] y)\n<float[] s = {0.1}, uint8[] z = {7}, float[] s2 = {0.2}>\n{\n"
           " a = QuantizeLinear(x, s, z)\n b = DequantizeLinear(a, s, z)\n c = QuantizeLinear(b, s2, z)\n"
           " y = DequantizeLinear(c, s2, z)\n}\n",
           "QuantizeLinear DequantizeLinear QuantizeLinear DequantizeLinear", 4);
    /* Quantized weights stay small. */
    EXPECT("g (float[2,2] x) => (float[2,2] y)\n<float[] s = {0.1}, int8[2,2] q = {1,2,3,4}>\n{\n w = "
           "DequantizeLinear(q, s)\n"
           " y = MatMul(x, w)\n}\n",
           "DequantizeLinear MatMul", 2, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(affine), cmocka_unit_test(transpositions),
                                       cmocka_unit_test(shapes), cmocka_unit_test(quantized)};
    return cmocka_run_group_tests(tests, open_session, close_session);
}
