/* SPDX-License-Identifier: Apache-2.0 */
/* ConvTranspose: the transpose of a convolution as a linear map, so also its gradient with respect to x,
 *
 *     y[n, c, i] = bias[c] + sum over m and all o, k with o * stride + k * dilation - begin = i
 *                            of w[m, c, k] * x[n, m, o]
 *
 * Sizes: i < (o - 1) * stride + output_padding + (kernel - 1) * dilation + 1 - begin - end, or output_shape, from
 * which the padding then follows, or with auto_pad SAME_* at most size * stride. Source: ONNX ConvTranspose-22 (1 and 11
 * say the same). */
#include "ops/conv.h"

static const norni_attr table[] = {
    NORNI_CONV_ROWS, NORNI_A_INTS(norni_conv_attrs, output_padding, .lo = 0, .hi = INT32_MAX),
    NORNI_A_INTS(norni_conv_attrs, output_shape, .lo = 1, .hi = INT32_MAX), NORNI_A_END};

static int64_t at(const norni_ints *v, int i, int64_t absent) {
    return v->n < 0 ? absent : v->v[i];
}

static norn_status check(const norni_conv_attrs *a, int rank) {
    if (a->output_shape.n >= 0 && a->output_shape.n != rank)
        return norni_fail(NORN_SHAPE,
                          "attribute 'output_shape' has %d elements (wanted %d, the spatial sizes)",
                          a->output_shape.n, rank);
    if (a->output_padding.n >= 0 && a->output_padding.n != rank)
        return norni_fail(NORN_SHAPE, "attribute 'output_padding' has %d elements (wanted %d)",
                          a->output_padding.n, rank);
    for (int i = 0; i < rank; i++) {
        int64_t s = at(&a->window.strides, i, 1), d = at(&a->window.dilations, i, 1),
                p = at(&a->output_padding, i, 0);
        if (p >= (s > d ? s : d))
            return norni_fail(NORN_SHAPE,
                              "output_padding has %lld at %d (wanted less than stride or dilation, %lld)",
                              (long long)p, i, (long long)(s > d ? s : d));
    }
    return NORN_OK;
}

static norn_status infer(norni_infer *c) {
    const norni_conv_attrs *a = c->attrs;
    const norni_type *x = norni_in_type(c, 0), *w = norni_in_type(c, 1);
    norn_graph *g = c->g;
    norni_type y = c->out[0];
    int rank;
    if (!norni_in_ranked(c, 2))
        return NORN_OK;
    NORNI_TRY(norni_window_rank(x, &rank));
    NORNI_TRY(norni_conv_check_weights(c, rank, true));
    NORNI_TRY(check(a, rank));
    y.rank = x->rank;
    y.dims[0] = x->dims[0];
    y.dims[1] = norni_dim_mul(g, w->dims[1], a->group);
    NORNI_TRY(norni_conv_check_bias(c, y.dims[1]));
    for (int i = 0; i < rank; i++) {
        int64_t s = at(&a->window.strides, i, 1), d = at(&a->window.dilations, i, 1);
        norni_dim o = x->dims[i + 2], k = w->dims[i + 2];
        if (a->output_shape.n >= 0) {
            y.dims[i + 2] = a->output_shape.v[i];
            continue;
        }
        norni_dim span =
            norni_dim_mul(g, norni_dim_sub(g, o, 1), s); /* (o - 1) s + (k - 1) d + 1 + padding */
        span = norni_dim_add(g, span, norni_dim_mul(g, norni_dim_sub(g, k, 1), d));
        span = norni_dim_add(g, span, 1 + at(&a->output_padding, i, 0));
        if (a->window.auto_pad == NORNI_PAD_SAME_UPPER || a->window.auto_pad == NORNI_PAD_SAME_LOWER) {
            int64_t more; /* nothing is added where the windows do not reach that far */
            norni_dim same = norni_dim_mul(g, o, s);
            bool less = norni_dim_number(g, norni_dim_sub(g, span, same), &more) && more < 0;
            span = less ? span : same;
        } else if (a->window.auto_pad == NORNI_PAD_EXPLICIT)
            span = norni_dim_sub(g, span, at(&a->window.pads, i, 0) + at(&a->window.pads, rank + i, 0));
        y.dims[i + 2] = span;
    }
    c->out[0] = y;
    return NORN_OK;
}

/* dx is the convolution of dy, dw norn.ConvGradW with x and y exchanged. */
static void grad(norni_grad *c) {
    norn_graph *g = c->g;
    norn_value *x = c->node->in[0], *w = c->node->in[1], *dy = c->dy[0];
    norni_conv v;
    norn_status s = norni_conv_known(c->node, &v);
    if (s != NORN_OK) {
        norni_graph_failed(g, s);
        return;
    }
    /* Elements at the end that no window reads have no part in it. Fewer than a stride change nothing; more are
     * cut off. */
    norn_value *read = dy;
    int64_t starts[NORNI_WINDOW_DIMS], ends[NORNI_WINDOW_DIMS], axes[NORNI_WINDOW_DIMS];
    int n = 0;
    for (int k = 0; k < NORNI_WINDOW_DIMS; k++)
        if (v.w.end[k] < 0) {
            if (-v.w.end[k] >= v.w.stride[k]) {
                starts[n] = 0;
                ends[n] = v.w.in[k] += v.w.end[k];
                axes[n++] = k - NORNI_WINDOW_DIMS;
            }
            v.w.end[k] = 0;
        }
    if (n)
        read = norni_opf(g, 4,
                         (norn_value *[]){dy, norni_i64_const(g, n, starts), norni_i64_const(g, n, ends),
                                          norni_i64_const(g, n, axes)},
                         "Slice");
    const char *text = norni_conv_text(g->arena, &v);
    if (!text) {
        norni_graph_failed(g, norni_nomem());
        return;
    }
    if (c->want[0])
        c->dx[0] = NORNI_OP2(g, read, w, "Conv<%s>", text);
    if (c->want[1])
        c->dx[1] = NORNI_OP2(g, read, x, "norn.ConvGradW<%s>", text);
    if (c->node->n_in > 2 && c->want[2])
        c->dx[2] = norni_conv_bias_gradient(g, dy);
}

static const norni_impl impls[] = {
    {.name = "tiled", .fits = norni_conv_tiled_fits, .emit = norni_emit_conv_tiled, .epilogue = true},
    {.name = "im2col_clblast",
     .fits = norni_conv_columns_blas_best,
     .emit = norni_emit_conv_columns_blas,
     .epilogue = true,
     .blas = true},
    {.name = "winograd",
     .fits = norni_conv_winograd_fits,
     .emit = norni_emit_conv_winograd,
     .epilogue = true,
     .form = NORNI_BLOCKED,
     .n_blocked = 1,
     .gain = 2.5},
    {.name = "scatter",
     .fits = norni_conv_scatter_fits,
     .emit = norni_emit_conv_scatter,
     .epilogue = true,
     .form = NORNI_BLOCKED,
     .n_blocked = 1,
     .gain = 1.5},
    {.name = "blocked",
     .fits = norni_conv_blocked_fits,
     .emit = norni_emit_conv_blocked,
     .epilogue = true,
     .form = NORNI_BLOCKED,
     .n_blocked = 1,
     .gain = 1.5},
    {.name = "phases",
     .fits = norni_conv_phases_fits,
     .emit = norni_emit_conv_phases,
     .epilogue = true,
     .form = NORNI_BLOCKED,
     .n_blocked = 1,
     .gain = 1.5},
    {.name = "direct",
     .fits = norni_conv_direct_fits,
     .emit = norni_emit_conv_direct,
     .epilogue = true,
     .gain = 0.6},
    {.name = "im2col", .fits = norni_conv_columns_fits, .emit = norni_emit_conv_columns, .epilogue = true},
    {.name = "im2col_clblast",
     .fits = norni_conv_columns_blas_fits,
     .emit = norni_emit_conv_columns_blas,
     .epilogue = true,
     .blas = true},
    {.name = "reference", .emit = norni_emit_conv_reference, .epilogue = true},
    {0},
};

const norn_op norni_op_ConvTranspose = {
    .domain = "",
    .name = "ConvTranspose",
    .versions = (const int[]){1, 11, 22, 0},
    .doc = "transposed convolution: the gradient of a convolution with respect to its input",
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
            "ConvTranspose<pads=[1,0,2,1]>(float[2,3,7,9], float[3,5,3,2], float[5])",
            "ConvTranspose(float[1,1,5,5], float[1,1,1,1])",
            "ConvTranspose<strides=[2,3], pads=[1,1,1,1], kernel_shape=[3,3]>(float[2,3,5,7], "
            "float[3,4,3,3])",
            "ConvTranspose<strides=[2,3], output_padding=[1,2]>(float[2,3,5,7], float[3,4,3,2], float[4])",
            "ConvTranspose<strides=[2,2], pads=[1,1,1,1], output_padding=[1,1]>(float[1,20,5,7], "
            "float[20,17,3,3])",
            "ConvTranspose<dilations=[2,3]>(float[1,2,5,6], float[2,3,2,3], float[3])",
            "ConvTranspose<group=2, pads=[1,1,1,1]>(float[2,6,5,18], float[6,2,3,3])",
            "ConvTranspose<group=4, strides=[2,2], pads=[0,1,1,0]>(float[2,4,5,9], float[4,2,3,2], float[8])",
            "ConvTranspose<group=3, pads=[1,1,1,1]>(float[2,3,7,17], float[3,1,3,3])",
            "ConvTranspose<group=3, strides=[2,2], pads=[1,1,1,1]>(float[2,3,7,17], float[3,1,3,3])",
            "ConvTranspose<strides=[2,3], output_shape=[11,9]>(float[1,2,5,3], float[2,3,3,4])",
            "ConvTranspose<strides=[2,3], output_shape=[8,8], auto_pad=\"SAME_UPPER\">(float[1,2,5,3], "
            "float[2,3,3,4])",
            "ConvTranspose<strides=[2,3], auto_pad=\"SAME_UPPER\">(float[1,2,5,3], float[2,3,4,3])",
            "ConvTranspose<strides=[2,3], auto_pad=\"SAME_LOWER\">(float[1,2,5,3], float[2,3,3,6])",
            "ConvTranspose<auto_pad=\"VALID\">(float[1,2,5,3], float[2,3,3,4])",
            "ConvTranspose<pads=[2,1], strides=[2]>(float[2,3,17], float[3,5,4], float[5])",
            "ConvTranspose<pads=[1,0,1,1,1,0], strides=[1,2,1], dilations=[1,1,2]>(float[2,3,4,3,5], "
            "float[3,4,2,3,2])",
            "ConvTranspose<pads=[3,3,3,3]>(float[1,2,7,8], float[2,3,3,3])",
            "ConvTranspose(float[2,19,3,37], float[19,17,1,1], float[17])",
            "ConvTranspose<pads=[1,1,1,1]>(float[2,33,7,7], float[33,17,3,3])",
            "ConvTranspose(float[2,0,4,4], float[0,3,2,2], float[3])",
            "ConvTranspose(float[0,2,4,4], float[2,3,2,2])",
            NULL},
};
