/* SPDX-License-Identifier: Apache-2.0 */
/* Activations of two inputs, and those of ONNX Runtime's domain com.microsoft.
 *
 *     SwiGLU      a / (1 + e^(-alpha a)) b                       (Shazeer, "GLU variants", 2020; ONNX SwiGLU-28)
 *     BiasGelu    gelu(a + b)              Gelu      gelu(x)
 *     FastGelu    gelu_tanh(x + bias)      QuickGelu x / (1 + e^(-alpha x)) */
#include "ops/rows.h"
#include <string.h>

typedef struct {
    float alpha;
} alpha_attrs;
static const norni_attr swiglu_table[] = {NORNI_A_FLOAT(alpha_attrs, alpha, 1), NORNI_A_END},
                        quick_table[] = {NORNI_A_FLOAT(alpha_attrs, alpha, 1.702f), NORNI_A_END};

static norn_status infer(norni_infer *c) {
    norni_type t = *norni_in_type(c, 0);
    bool same = !strcmp(c->node->op->name, "SwiGLU");
    if (t.rank < 0 || !norni_in_has(c, 1) || norni_in_type(c, 1)->rank < 0) {
        c->out[0] = t;
        return NORN_OK;
    }
    const norni_type *b = norni_in_type(c, 1);
    for (int i = 0; same && (i < t.rank || t.rank != b->rank); i++)
        if (t.rank != b->rank || (t.dims[i] >= 0 && b->dims[i] >= 0 && t.dims[i] != b->dims[i]))
            return norni_fail(NORN_SHAPE, "A and B have different shapes (wanted the same)");
    NORNI_TRY(norni_broadcast(c->g, &t, b));
    if (norni_type_static(&t) && norni_type_static(norni_in_type(c, 0)) &&
        norni_type_elems(&t) != norni_type_elems(norni_in_type(c, 0)))
        return norni_fail(NORN_SHAPE, "the second input does not broadcast to the first");
    c->out[0] = t;
    return NORN_OK;
}

static bool has(const norn_node *node, int i) {
    return i < node->n_in && node->in[i];
}

static norn_status expand(norn_graph *g, const norn_node *node, norn_value **out) {
    const char *name = node->op->name;
    double alpha = node->op->attrs ? (double)((const alpha_attrs *)node->attrs)->alpha : 1;
    norn_value *x = node->in[0];
    if (!strcmp(name, "SwiGLU") || !strcmp(name, "QuickGelu")) {
        norn_value *gate =
            alpha == 1 ? x : NORNI_OP2(g, x, norni_scalar_const(g, x->type.dtype, alpha), "Mul");
        out[0] = NORNI_OP2(g, x, NORNI_OP1(g, gate, "Sigmoid"), "Mul");
        if (has(node, 1))
            out[0] = NORNI_OP2(g, out[0], node->in[1], "Mul");
        return norn_graph_status(g);
    }
    if (has(node, 1))
        x = NORNI_OP2(g, x, node->in[1], "Add");
    out[0] = NORNI_OP1(g, x, strcmp(name, "FastGelu") ? "Gelu" : "Gelu<approximate=\"tanh\">");
    return norn_graph_status(g);
}

#define ROW(id, key, space, since, text, ins, out_name, ...)                                                 \
    const norn_op norni_op_##id = {.domain = space,                                                          \
                                   .name = key,                                                              \
                                   .versions = (const int[]){since, 0},                                      \
                                   .doc = text,                                                              \
                                   .inputs = ins,                                                            \
                                   .outputs = PARAMS({out_name, 0, NORNI_FLOATS, 'T'}),                      \
                                   .infer = infer,                                                           \
                                   .expand = expand,                                                         \
                                   .eval = norni_eval_expansion,                                             \
                                   __VA_ARGS__}
ROW(SwiGLU, "SwiGLU", "", 28, "a sigmoid(alpha a) b",
    PARAMS({"A", 0, NORNI_FLOATS, 'T'}, {"B", 0, NORNI_FLOATS, 'T'}), "Y", .attrs_bytes = sizeof(alpha_attrs),
    .attrs = swiglu_table,
    CASES("SwiGLU(float[3,17], float[3,17])", "SwiGLU<alpha=0.7>(float[2,3,5], float[2,3,5])"));
ROW(BiasGelu, "BiasGelu", "com.microsoft", 1, "Gelu of a + b",
    PARAMS({"A", 0, NORNI_FLOATS, 'T'}, {"B", 0, NORNI_FLOATS, 'T'}), "C",
    CASES("com.microsoft.BiasGelu(float[3,17], float[17])"));
ROW(MsGelu, "Gelu", "com.microsoft", 1, "Gelu", PARAMS({"X", 0, NORNI_FLOATS, 'T'}), "Y",
    CASES("com.microsoft.Gelu(float[3,17])"));
ROW(FastGelu, "FastGelu", "com.microsoft", 1, "Gelu of x + bias, by tanh",
    PARAMS({"X", 0, NORNI_FLOATS, 'T'}, {"bias", NORNI_OPT, NORNI_FLOATS, 'T'}), "Y",
    CASES("com.microsoft.FastGelu(float[3,17], float[17])", "com.microsoft.FastGelu(float[3,17])"));
ROW(QuickGelu, "QuickGelu", "com.microsoft", 1, "x sigmoid(alpha x)", PARAMS({"X", 0, NORNI_FLOATS, 'T'}),
    "Y", .attrs_bytes = sizeof(alpha_attrs), .attrs = quick_table,
    CASES("com.microsoft.QuickGelu(float[3,17])", "com.microsoft.QuickGelu<alpha=1>(float[3,17])"));
