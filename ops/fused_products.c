/* SPDX-License-Identifier: Apache-2.0 */
/* Products of ONNX Runtime's domain com.microsoft, by MatMul, Gemm, Conv and the activation that follows.
 *
 *     FusedMatMul   alpha a' b', the last two axes exchanged on request (transA, transB); transBatchA, transBatchB: the
 *                   first axis goes before the last one first
 *     FusedGemm     activation(Gemm)
 *     FusedConv     activation(Conv + Z) */
#include "ops/conv.h"
#include "ops/rows.h"
#include <string.h>

static bool has(const norn_node *node, int i) {
    return i < node->n_in && node->in[i];
}

/* ---- The activation, by its name. */
static norn_value *activate(norn_graph *g, norn_value *x, const char *name, int n, const float *p) {
    if (!x || !name || !*name)
        return x;
    norn_dtype t = x->type.dtype;
    if (!strcmp(name, "Clip") && n == 2)
        return NORNI_OP3(g, x, norni_scalar_const(g, t, (double)p[0]), norni_scalar_const(g, t, (double)p[1]),
                         "Clip");
    if (!strcmp(name, "LeakyRelu") && n >= 1)
        return NORNI_OP1(g, x, "LeakyRelu<alpha=%.9g>", (double)p[0]);
    if (!strcmp(name, "HardSigmoid") && n >= 2)
        return NORNI_OP1(g, x, "HardSigmoid<alpha=%.9g, beta=%.9g>", (double)p[0], (double)p[1]);
    static const char *const plain[] = {"Relu",      "Sigmoid",     "Tanh", "Softplus", "Softsign",
                                        "LeakyRelu", "HardSigmoid", "Elu",  "HardSwish"};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (!strcmp(name, plain[i]))
            return NORNI_OP1(g, x, "%s", name);
    return norni_graph_failed(g, norni_fail(NORN_UNSUPPORTED, "activation '%.40s'", name));
}

/* ---- FusedMatMul. */
typedef struct {
    float alpha;
    int64_t transA, transB, transBatchA, transBatchB;
} matmul_attrs;
static const norni_attr matmul_table[] = {
    NORNI_A_FLOAT(matmul_attrs, alpha, 1),     NORNI_A_INT(matmul_attrs, transA, 0),
    NORNI_A_INT(matmul_attrs, transB, 0),      NORNI_A_INT(matmul_attrs, transBatchA, 0),
    NORNI_A_INT(matmul_attrs, transBatchB, 0), NORNI_A_END};

static norn_value *turned(norn_graph *g, norn_value *x, bool batch, bool trans) {
    int r = x ? x->type.rank : 0;
    norni_str perm = {0};
    if (batch && r > 2) {
        for (int i = 1; i < r; i++)
            norni_str_addf(&perm, "%d,%s", i, i == r - 2 ? "0," : "");
        perm.s[perm.n - 1] = 0;
        x = NORNI_OP1(g, x, "Transpose<perm=[%s]>", perm.s);
    }
    norni_str_free(&perm);
    return trans && r > 1 ? norni_swap_last(g, x) : x;
}

static norn_status expand_matmul(norn_graph *g, const norn_node *node, norn_value **out) {
    const matmul_attrs *a = node->attrs;
    if (node->in[0]->type.rank < 0 || node->in[1]->type.rank < 0)
        return norni_fail(NORN_UNSUPPORTED, "FusedMatMul: a rank is not known");
    norn_value *y = NORNI_OP2(g, turned(g, node->in[0], a->transBatchA != 0, a->transA != 0),
                              turned(g, node->in[1], a->transBatchB != 0, a->transB != 0), "MatMul");
    out[0] = a->alpha == 1 || !y
                 ? y
                 : NORNI_OP2(g, y, norni_scalar_const(g, y->type.dtype, (double)a->alpha), "Mul");
    return norn_graph_status(g);
}

/* ---- FusedGemm. */
typedef struct {
    float alpha, beta, activation_alpha, activation_beta, activation_gamma;
    int64_t transA, transB;
    const char *activation;
} gemm_attrs;
static const norni_attr gemm_table[] = {
    NORNI_A_FLOAT(gemm_attrs, alpha, 1),
    NORNI_A_FLOAT(gemm_attrs, beta, 1),
    NORNI_A_INT(gemm_attrs, transA, 0),
    NORNI_A_INT(gemm_attrs, transB, 0),
    NORNI_A(gemm_attrs, activation, STRING, .flags = NORNI_ATTR_OPTIONAL),
    NORNI_A(gemm_attrs, activation_alpha, FLOAT, .flags = NORNI_ATTR_OPTIONAL),
    NORNI_A(gemm_attrs, activation_beta, FLOAT, .flags = NORNI_ATTR_OPTIONAL),
    NORNI_A(gemm_attrs, activation_gamma, FLOAT, .flags = NORNI_ATTR_OPTIONAL),
    NORNI_A_END};

static norn_status expand_gemm(norn_graph *g, const norn_node *node, norn_value **out) {
    const gemm_attrs *a = node->attrs;
    norn_value *in[] = {node->in[0], node->in[1], has(node, 2) ? node->in[2] : NORNI_NONE};
    norn_value *y = norni_opf(g, 3, in, "Gemm<alpha=%.9g, beta=%.9g, transA=%d, transB=%d>", (double)a->alpha,
                              (double)a->beta, a->transA != 0, a->transB != 0);
    float p[] = {a->activation_alpha, a->activation_beta};
    int n = p[0] == p[0] ? p[1] == p[1] ? 2 : 1 : 0; /* absent ones are NaN */
    out[0] = activate(g, y, a->activation, n, p);
    return norn_graph_status(g);
}

/* ---- FusedConv. */
typedef struct {
    norni_conv_attrs conv; /* first: the attributes of Conv */
    const char *activation;
    norni_floats activation_params;
} conv_attrs;
static const norni_attr conv_table[] = {
    NORNI_CONV_ROWS, NORNI_A(conv_attrs, activation, STRING, .flags = NORNI_ATTR_OPTIONAL),
    NORNI_A(conv_attrs, activation_params, FLOATS, .flags = NORNI_ATTR_OPTIONAL), NORNI_A_END};

static norn_status expand_conv(norn_graph *g, const norn_node *node, norn_value **out) {
    const conv_attrs *a = node->attrs;
    norn_value *in[] = {node->in[0], node->in[1], has(node, 2) ? node->in[2] : NORNI_NONE};
    norn_node *conv = norni_apply(g, norni_op_find("", "Conv"), &a->conv, 3, in, 1);
    norn_value *y = conv ? conv->out[0] : NULL;
    if (has(node, 3))
        y = NORNI_OP2(g, y, node->in[3], "Add");
    out[0] = activate(g, y, a->activation, a->activation_params.n, a->activation_params.v);
    return norn_graph_status(g);
}

#define FUSED(id, text, ins, s, table_, rule, ...)                                                           \
    const norn_op norni_op_##id = {.domain = "com.microsoft",                                                \
                                   .name = #id,                                                              \
                                   .versions = (const int[]){1, 0},                                          \
                                   .doc = text,                                                              \
                                   .inputs = ins,                                                            \
                                   .outputs = (const norni_param[]){{"Y", 0, NORNI_FLOATS, 'T'}, {0}},       \
                                   .attrs_bytes = sizeof(s),                                                 \
                                   .attrs = table_,                                                          \
                                   .infer = norni_infer_by_expansion,                                        \
                                   .expand = rule,                                                           \
                                   .eval = norni_eval_expansion,                                             \
                                   .cases = (const char *const[]){__VA_ARGS__, NULL}}
FUSED(FusedMatMul, "scaled matrix product of matrices that are transposed on request",
      PARAMS({"A", 0, NORNI_FLOATS, 'T'}, {"B", 0, NORNI_FLOATS, 'T'}), matmul_attrs, matmul_table,
      expand_matmul, "com.microsoft.FusedMatMul<alpha=0.5, transB=1>(float[2,3,5], float[2,4,5])",
      "com.microsoft.FusedMatMul<transA=1>(float[5,3], float[5,4])",
      "com.microsoft.FusedMatMul<transBatchA=1, transBatchB=1>(float[3,2,5], float[5,2,4])");
FUSED(FusedGemm, "Gemm and an activation",
      PARAMS({"A", 0, NORNI_FLOATS, 'T'}, {"B", 0, NORNI_FLOATS, 'T'}, {"C", NORNI_OPT, NORNI_FLOATS, 'T'}),
      gemm_attrs, gemm_table, expand_gemm,
      "com.microsoft.FusedGemm<activation=\"Relu\">(float[3,5], float[5,4], float[4])",
      "com.microsoft.FusedGemm<alpha=0.5, beta=0.3, transA=1, transB=1, activation=\"LeakyRelu\", "
      "activation_alpha=0.2>(float[5,3], float[4,5], float[4])",
      "com.microsoft.FusedGemm<activation=\"HardSigmoid\", activation_alpha=0.3, activation_beta=0.4, "
      "activation_gamma=1>(float[3,5], float[5,4])");
FUSED(
    FusedConv, "Conv, a sum and an activation",
    PARAMS({"X", 0, NORNI_FLOATS, 'T'}, {"W", 0, NORNI_FLOATS, 'T'}, {"B", NORNI_OPT, NORNI_FLOATS, 'T'},
           {"Z", NORNI_OPT, NORNI_FLOATS, 'T'}),
    conv_attrs, conv_table, expand_conv,
    "com.microsoft.FusedConv<activation=\"Relu\", pads=[1,1,1,1], strides=[2,2]>(float[1,2,5,5], "
    "float[4,2,3,3], "
    "float[4])",
    "com.microsoft.FusedConv<activation=\"LeakyRelu\", activation_params=[0.1], group=2, kernel_shape=[2,2], "
    "dilations=[1,2]>(float[1,2,5,5], float[4,1,2,2], float[4], float[1,4,4,3])",
    "com.microsoft.FusedConv<auto_pad=\"SAME_UPPER\", activation=\"Clip\", activation_params=[-0.2, "
    "0.3]>(float[1,2,5,5], float[3,2,2,2])");
