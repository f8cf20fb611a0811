/* SPDX-License-Identifier: Apache-2.0 */
/* Conv: y[n, m, o] = bias[m] + sum over c, k of w[m, c, k] * x[n, c, o * stride + k * dilation - begin], in
 * `group` independent groups of channels. Source: ONNX Conv-22 (1 and 11 say the same). */
#include "ops/conv.h"

static const norni_attr table[] = {NORNI_CONV_ROWS, NORNI_A_END};

static norn_status infer(norni_infer *c) {
    const norni_conv_attrs *a = c->attrs;
    const norni_type *x = norni_in_type(c, 0), *w = norni_in_type(c, 1);
    norni_type y = c->out[0];
    int rank;
    if (!norni_in_ranked(c, 2))
        return NORN_OK;
    NORNI_TRY(norni_window_rank(x, &rank));
    NORNI_TRY(norni_conv_check_weights(c, rank, false));
    NORNI_TRY(norni_conv_check_bias(c, w->dims[0]));
    y.rank = x->rank;
    y.dims[0] = x->dims[0];
    y.dims[1] = w->dims[0];
    NORNI_TRY(
        norni_window_infer(c->g, &a->window, rank, x->dims + 2, w->dims + 2, NORNI_WINDOW_WHOLE, y.dims + 2));
    c->out[0] = y;
    return NORN_OK;
}

/* dx is the transposed convolution, as large as x by its output_padding; dw is norn.ConvGradW. */
static void grad(norni_grad *c) {
    norn_graph *g = c->g;
    norn_value *x = c->node->in[0], *w = c->node->in[1], *dy = c->dy[0];
    norni_conv v;
    norn_status s = norni_conv_known(c->node, &v);
    if (s != NORN_OK) {
        norni_graph_failed(g, s);
        return;
    }
    const char *text = norni_conv_text(g->arena, &v);
    int64_t rest[NORNI_WINDOW_DIMS];
    norni_conv_rest(&v, rest);
    const char *padding = norni_window_list(g->arena, &v.w, rest);
    if (!text || !padding) {
        norni_graph_failed(g, norni_nomem());
        return;
    }
    if (c->want[0])
        c->dx[0] = NORNI_OP2(g, dy, w, "ConvTranspose<%s, output_padding=%s>", text, padding);
    if (c->want[1])
        c->dx[1] = NORNI_OP2(g, x, dy, "norn.ConvGradW<%s>", text);
    if (c->node->n_in > 2 && c->want[2])
        c->dx[2] = norni_conv_bias_gradient(g, dy);
}

static const norni_impl impls[] = {
    {.name = "tiled", .fits = norni_conv_tiled_fits, .emit = norni_emit_conv_tiled, .epilogue = true},
    {.name = "im2col_clblast",
     .fits = norni_conv_columns_blas_best,
     .emit = norni_emit_conv_columns_blas,
     .blas = true},
    {.name = "channels",
     .fits = norni_conv_channels_fits,
     .emit = norni_emit_conv_channels,
     .epilogue = true,
     .form = NORNI_BLOCKED,
     .n_blocked = 1,
     .gain = 3},
    {.name = "groups",
     .fits = norni_conv_groups_fits,
     .emit = norni_emit_conv_groups,
     .epilogue = true,
     .form = NORNI_BLOCKED,
     .n_blocked = 1,
     .gain = 1.5},
    {.name = "winograd",
     .fits = norni_conv_winograd_fits,
     .emit = norni_emit_conv_winograd,
     .epilogue = true,
     .form = NORNI_BLOCKED,
     .n_blocked = 1,
     .gain = 2.5},
    {.name = "blocked",
     .fits = norni_conv_blocked_fits,
     .emit = norni_emit_conv_blocked,
     .epilogue = true,
     .form = NORNI_BLOCKED,
     .n_blocked = 1,
     .gain = 1.5},
    {.name = "to_blocked",
     .fits = norni_conv_to_blocked_fits,
     .emit = norni_emit_conv_blocked,
     .epilogue = true,
     .form = NORNI_TO_BLOCKED,
     .gain = 1.4},
    {.name = "direct", .fits = norni_conv_direct_fits, .emit = norni_emit_conv_direct, .epilogue = true},
    {.name = "im2col", .fits = norni_conv_columns_fits, .emit = norni_emit_conv_columns, .epilogue = true},
    {.name = "im2col_clblast",
     .fits = norni_conv_columns_blas_fits,
     .emit = norni_emit_conv_columns_blas,
     .blas = true},
    {.name = "reference", .emit = norni_emit_conv_reference, .epilogue = true},
    {0},
};

const norn_op norni_op_Conv = {
    .domain = "",
    .name = "Conv",
    .versions = (const int[]){1, 11, 22, 0},
    .doc = "convolution over 1 to 3 spatial dimensions, in groups of channels",
    .inputs = (const norni_param[]){{"X", 0, NORNI_FLOATS, 'T'},
                                    {"W", 0, NORNI_FLOATS, 'T'},
                                    {"B", NORNI_OPT, NORNI_FLOATS, 'T'},
                                    {0}},
    .outputs = (const norni_param[]){{"Y", 0, NORNI_FLOATS, 'T'}, {0}},
    .attrs_bytes = sizeof(norni_conv_attrs),
    .attrs = table,
    .infer = infer,
    .grad = grad,
    .eval = norni_conv_eval,
    .impls = impls,
    .cost = norni_conv_cost,
    .cases =
        (const char *const[]){
            "Conv<pads=[1,0,2,1]>(float[2,3,7,9], float[5,3,3,2], float[5])",
            "Conv(float[1,1,5,5], float[1,1,1,1])",
            "Conv<strides=[2,3], pads=[1,1,1,1]>(float[2,3,9,20], float[4,3,3,3])",
            "Conv<dilations=[2,3], kernel_shape=[2,3]>(float[1,2,9,11], float[3,2,2,3], float[3])",
            "Conv<group=2, pads=[1,1,1,1]>(float[2,6,5,18], float[4,3,3,3])",
            "Conv<group=4, strides=[2,2], dilations=[1,2], pads=[0,2,3,1]>(float[2,4,9,19], float[8,1,3,2], "
            "float[8])",
            "Conv<group=3, pads=[1,1,1,1]>(float[2,3,7,17], float[3,1,3,3])",
            "Conv<auto_pad=\"SAME_UPPER\", strides=[2,2]>(float[1,2,7,8], float[3,2,4,3])",
            "Conv<auto_pad=\"SAME_LOWER\", strides=[3,2]>(float[1,2,7,8], float[3,2,4,3])",
            "Conv<auto_pad=\"VALID\">(float[1,2,7,8], float[3,2,4,3])",
            "Conv<pads=[2,1], strides=[2]>(float[2,3,37], float[5,3,4], float[5])",
            "Conv<pads=[1,0,1,1,2,0], strides=[1,2,1], dilations=[1,1,2]>(float[2,3,4,5,6], "
            "float[5,3,2,3,2])",
            "Conv(float[2,19,3,37], float[17,19,1,1], float[17])",
            "Conv<pads=[1,1,1,1]>(float[2,17,7,7], float[33,17,3,3])",
            "Conv<strides=[2,2], pads=[3,3,3,3]>(float[1,3,21,37], float[20,3,7,7])",
            "Conv<group=2, pads=[2,0,1,1]>(float[1,32,6,7], float[64,16,3,3], float[64])",
            "Conv<group=40, pads=[1,2,0,1], strides=[1,2]>(float[2,40,6,29], float[40,1,3,3], float[40])",
            "Conv<group=18, pads=[2,2,2,2], dilations=[1,2]>(float[1,18,9,26], float[18,1,5,5])",
            "Conv<group=5, pads=[1,1,1,1]>(float[2,40,7,9], float[40,8,3,3], float[40])",
            "Conv<group=6, pads=[2,0,1,3], strides=[2,1], dilations=[1,2]>(float[1,24,9,20], "
            "float[24,4,3,3])",
            "Conv<group=9, strides=[2,3], pads=[0,1,1,0]>(float[2,18,6,31], float[18,2,3,2], float[18])",
            "Conv<strides=[2,1]>(float[2,33,7,5], float[100,33,1,1])",
            "Conv(float[1,4,16,16], float[250,4,1,1])",
            "Conv<pads=[1,2,1,2], dilations=[1,2]>(float[2,5,8,16], float[120,5,3,3])",
            "Conv(float[2,0,4,4], float[3,0,2,2], float[3])",
            "Conv(float[0,2,4,4], float[3,2,2,2])",
            "Conv<pads=[1,1,1,1]>(float[1,2,0,3], float[3,2,2,2], float[3])",
            NULL},
};
