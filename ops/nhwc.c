/* SPDX-License-Identifier: Apache-2.0 */
/* What ONNX Runtime's optimiser writes with the channels in the last place: the operator of the usual layout between two
 * transpositions, of which those between neighbours cancel (graph/pass). Weights lie as usual. Source: ONNX Runtime's
 * documentation of contrib operators. */
#include "ops/conv.h"
#include "ops/pool.h"
#include "ops/qlinear.h"

/* `moved`: a bit for each input with channels. */
static norn_status between(norn_graph *g, const norn_node *node, const char *domain, const char *name,
                           unsigned moved, norn_value **out) {
    norn_value *in[16];
    int n = node->n_in < 16 ? node->n_in : 16;
    for (int i = 0; i < n; i++) {
        in[i] = node->in[i] ? node->in[i] : NORNI_NONE;
        if (node->in[i] && moved >> i & 1) {
            if (node->in[i]->type.rank < 0)
                return norni_fail(NORN_UNSUPPORTED, "a rank is not known");
            if (node->in[i]->type.rank < 3)
                return norni_fail(NORN_SHAPE, "'%s' has rank %d (wanted 3 or more)",
                                  norni_op_input(node->op, i)->name, node->in[i]->type.rank);
            in[i] = norni_move_channels(g, node->in[i], true);
        }
    }
    norn_node *plain = norni_apply(g, norni_op_find(domain, name), node->attrs, n, in, 1);
    if (!plain)
        return norn_graph_status(g);
    out[0] = moved ? norni_move_channels(g, plain->out[0], false) : plain->out[0];
    return norn_graph_status(g);
}

static norn_status expand_pool(norn_graph *g, const norn_node *node, norn_value **out) {
    return between(g, node, "", "MaxPool", 1, out);
}

/* The attributes of the operator in the usual layout are the first ones. */
typedef struct {
    norni_conv_attrs conv;
    int64_t channels_last;
} conv_attrs;
static norn_status expand_conv(norn_graph *g, const norn_node *node, norn_value **out) {
    return between(g, node, "", "QLinearConv", ((const conv_attrs *)node->attrs)->channels_last ? 1 : 0, out);
}

static const norni_attr pool_table[] = {NORNI_POOL_ROWS, NORNI_POOL_DILATIONS(1),
                                        NORNI_POOL_FLAG(ceil_mode, 1), NORNI_A_END},
                        conv_table[] = {NORNI_CONV_ROWS,
                                        NORNI_A_INT(conv_attrs, channels_last, 0, .lo = 0, .hi = 1),
                                        NORNI_A_END};

OP(NhwcMaxPool, MS, "MaxPool with the channels in the last place", (1), ATTRS(norni_pool_attrs, pool_table),
   .infer = norni_infer_by_expansion, .expand = expand_pool, .inputs = PARAMS({"x", N, BYTES, 'T'}),
   .outputs = PARAMS({"y", 0, BYTES, 'T'}),
   CASES("com.microsoft.NhwcMaxPool<kernel_shape=[3,2], strides=[2,2], pads=[1,0,2,1]>(uint8[2,9,37,3])",
         "com.microsoft.NhwcMaxPool<kernel_shape=[2], dilations=[2], ceil_mode=1>(int8[2,9,3])",
         "com.microsoft.NhwcMaxPool<kernel_shape=[2,2], auto_pad=\"SAME_UPPER\">(int8[1,5,4,17])"));
const norn_op norni_op_MsQLinearConv = {
    .domain = MS,
    .name = "QLinearConv",
    .doc = "convolution of quantised tensors, also with the channels in the last place",
    .versions = (const int[]){1, 0},
    ATTRS(conv_attrs, conv_table),
    .grad = norni_no_gradient,
    .infer = norni_infer_by_expansion,
    .expand = expand_conv,
    .inputs =
        PARAMS({"x", N, BYTES, 'X'}, {"x_scale", N, F32S, 0}, {"x_zero_point", N, BYTES, 'X'},
               {"w", N, BYTES, 'W'}, {"w_scale", N, F32S, 0}, {"w_zero_point", N, BYTES, 'W'},
               {"y_scale", N, F32S, 0}, {"y_zero_point", N, BYTES, 'Y'}, {"B", O, NORNI_T(NORN_I32), 0}),
    .outputs = PARAMS({"y", 0, BYTES, 'Y'}),
    CASES("com.microsoft.QLinearConv<channels_last=1, pads=[1,0,2,1], strides=[1,2], kernel_shape=[3,2]>"
          "(uint8[2,7,39,3], float[]{0.02}, uint8[]{128}, int8[5,3,3,2], float[5]{0.01,0.02,0.03,0.04,0.05}, "
          "int8[5], float[]{0.03}, uint8[]{100}, int32[5])",
          "com.microsoft.QLinearConv<group=2, dilations=[2,1], auto_pad=\"VALID\">(int8[2,6,8,9], "
          "float[]{0.02}, "
          "int8[]{-3}, int8[4,3,3,3], float[]{0.02}, int8[]{0}, float[]{0.01}, int8[]{5}, int32[4])")};
