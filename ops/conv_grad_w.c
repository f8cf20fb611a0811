/* SPDX-License-Identifier: Apache-2.0 */
/* norn.ConvGradW: the gradient of a convolution with respect to its weights,
 *
 *     dw[m, c, k] = sum over n, o of dy[n, m, o] * x[n, c, o * stride + k * dilation - begin]
 *
 * In ONNX: a convolution of x with dy, channels exchanged with the batch, strides with dilations. */
#include "ops/conv.h"
#include <string.h>

static const norni_attr table[] = {NORNI_WINDOW_ROWS(norni_conv_attrs),
                                   {.name = "kernel_shape",
                                    .kind = NORNI_ATTR_INTS,
                                    .offset = offsetof(norni_conv_attrs, window.kernel_shape),
                                    .flags = NORNI_ATTR_REQUIRED,
                                    .lo = 1,
                                    .hi = INT32_MAX},
                                   NORNI_WINDOW_INTS(norni_conv_attrs, dilations, 1),
                                   NORNI_A_INT(norni_conv_attrs, group, 1, .lo = 1, .hi = INT32_MAX),
                                   NORNI_A_END};

static norn_status infer(norni_infer *c) {
    const norni_conv_attrs *a = c->attrs;
    const norni_type *x = norni_in_type(c, 0), *dy = norni_in_type(c, 1);
    norni_type w = c->out[0];
    norni_dim out[NORNI_WINDOW_DIMS];
    int rank;
    if (!norni_in_ranked(c, 2))
        return NORN_OK;
    NORNI_TRY(norni_window_rank(x, &rank));
    NORNI_TRY(norni_window_check(&a->window, rank));
    if (dy->rank != x->rank)
        return norni_fail(NORN_SHAPE, "dy has rank %d (wanted %d, that of X)", dy->rank, x->rank);
    for (int i = 0; i < 2; i++) {
        norni_dim have = i ? dy->dims[1] : x->dims[1];
        if (have >= 0 && have % a->group)
            return norni_fail(NORN_SHAPE, "group=%lld does not divide the %lld channels of %s",
                              (long long)a->group, (long long)have, i ? "dy" : "X");
    }
    if (x->dims[0] >= 0 && dy->dims[0] >= 0 && x->dims[0] != dy->dims[0])
        return norni_fail(NORN_SHAPE, "dy has a batch of %lld (wanted %lld, that of X)",
                          (long long)dy->dims[0], (long long)x->dims[0]);
    NORNI_TRY(norni_window_infer(c->g, &a->window, rank, x->dims + 2, a->window.kernel_shape.v,
                                 NORNI_WINDOW_WHOLE, out));
    w.rank = x->rank;
    w.dims[0] = dy->dims[1];
    w.dims[1] = norni_dim_div(c->g, x->dims[1], a->group);
    for (int i = 0; i < rank; i++) {
        if (out[i] >= 0 && dy->dims[i + 2] >= 0 && out[i] != dy->dims[i + 2])
            return norni_fail(NORN_SHAPE, "dy has size %lld in dimension %d (wanted %lld)",
                              (long long)dy->dims[i + 2], i + 2, (long long)out[i]);
        w.dims[i + 2] = a->window.kernel_shape.v[i];
    }
    c->out[0] = w;
    return NORN_OK;
}

/* It is linear in both: towards x like a transposed convolution of dy, towards dy like a convolution of x. */
static void grad(norni_grad *c) {
    norn_graph *g = c->g;
    norn_value *x = c->node->in[0], *dy = c->node->in[1], *ddw = c->dy[0];
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
        c->dx[0] = NORNI_OP2(g, dy, ddw, "ConvTranspose<%s, output_padding=%s>", text, padding);
    if (c->want[1])
        c->dx[1] = NORNI_OP2(g, x, ddw, "Conv<%s>", text);
}

/* v as a shape: sizes that are not known become -1, of which a Reshape takes one. */
static norn_value *reshaped(norn_graph *g, norn_value *v, int n, const norni_dim *dims) {
    int64_t known[NORN_MAX_RANK];
    for (int i = 0; i < n; i++)
        known[i] = dims[i] < 0 ? -1 : dims[i];
    return NORNI_OP2(g, v, norni_i64_const(g, n, known), "Reshape");
}

/* The axes of v in another order: those of `first`, then the rest of `rank` from `from` on as they are. */
static norn_value *permuted(norn_graph *g, norn_value *v, int n, const int *first, int rank) {
    norni_str s = {0};
    for (int i = 0; i < rank; i++)
        norni_str_addf(&s, "%s%d", i ? "," : "", i < n ? first[i] : i);
    norn_value *r = NORNI_OP1(g, v, "Transpose<perm=[%s]>", s.s ? s.s : "");
    norni_str_free(&s);
    return r;
}

/* x [N, g c, ..] becomes [c, g N, ..], dy [N, g m, ..] becomes [g m, N, ..]: then a convolution in g groups. */
static norn_status expand(norn_graph *g, const norn_node *node, norn_value **out) {
    norn_value *x = node->in[0], *dy = node->in[1], *r;
    norni_conv v;
    NORNI_TRY(norni_conv_known(node, &v));
    int rank = v.w.rank, all = rank + 2;
    norni_window *w = &v.w;
    int64_t rest[NORNI_WINDOW_DIMS], starts[NORNI_WINDOW_DIMS], ends[NORNI_WINDOW_DIMS],
        axes[NORNI_WINDOW_DIMS];
    int cut = 0;
    norni_conv_rest(&v, rest);
    for (int k = 0; k < NORNI_WINDOW_DIMS;
         k++) { /* what no window reads: from the padding, else from the result */
        w->end[k] -= rest[k];
        bool more = -w->end[k] >= w->dilation[k];
        if (w->end[k] < 0)
            w->end[k] = 0;
        if (more) {
            starts[cut] = 0;
            ends[cut] = w->kernel[k];
            axes[cut++] = k - NORNI_WINDOW_DIMS;
        }
    }
    if (v.group > 1) {
        norni_dim split[NORN_MAX_RANK], join[NORN_MAX_RANK];
        split[0] = x->type.dims[0];
        split[1] = v.group;
        split[2] = v.c;
        join[0] = v.c;
        join[1] = norni_dim_mul(g, x->type.dims[0], v.group);
        for (int i = 0; i < rank; i++)
            split[i + 3] = join[i + 2] = x->type.dims[i + 2];
        if (all + 1 > NORN_MAX_RANK)
            return norni_fail(NORN_UNSUPPORTED, "rank %d in groups", all);
        x = permuted(g, reshaped(g, x, all + 1, split), 3, (const int[]){2, 1, 0}, all + 1);
        x = reshaped(g, x, all, join);
    } else
        x = permuted(g, x, 2, (const int[]){1, 0}, all);
    dy = permuted(g, dy, 2, (const int[]){1, 0}, all);
    norni_arena *arena = g->arena;
    const char *strides = norni_window_list(arena, w, w->dilation),
               *dilations = norni_window_list(arena, w, w->stride);
    const char *begin = norni_window_list(arena, w, w->begin), *end = norni_window_list(arena, w, w->end);
    if (!strides || !dilations || !begin || !end)
        return norni_nomem();
    r = NORNI_OP2(g, x, dy, "Conv<strides=%s, dilations=%s, pads=%.*s,%s, group=%lld>", strides, dilations,
                  (int)strlen(begin) - 1, begin, end + 1, (long long)v.group);
    if (cut)
        r = norni_opf(g, 4,
                      (norn_value *[]){r, norni_i64_const(g, cut, starts), norni_i64_const(g, cut, ends),
                                       norni_i64_const(g, cut, axes)},
                      "Slice");
    out[0] = permuted(g, r, 2, (const int[]){1, 0}, all);
    return NORN_OK;
}

static const norni_impl impls[] = {
    {.name = "tiled", .fits = norni_conv_tiled_fits, .emit = norni_emit_conv_tiled},
    {.name = "im2col_clblast",
     .fits = norni_conv_columns_blas_best,
     .emit = norni_emit_conv_columns_blas,
     .blas = true},
    {.name = "winograd",
     .fits = norni_conv_winograd_w_fits,
     .emit = norni_emit_conv_winograd_w,
     .form = NORNI_FROM_BLOCKED,
     .n_blocked = 2,
     .gain = 3},
    {.name = "blocked",
     .fits = norni_conv_blocked_w_fits,
     .emit = norni_emit_conv_blocked_w,
     .form = NORNI_FROM_BLOCKED,
     .n_blocked = 2,
     .gain = 1.8},
    {.name = "panels", .fits = norni_conv_panels_fits, .emit = norni_emit_conv_panels},
    {.name = "direct", .fits = norni_conv_direct_w_fits, .emit = norni_emit_conv_direct_w},
    {.name = "im2col", .fits = norni_conv_columns_fits, .emit = norni_emit_conv_columns},
    {.name = "im2col_clblast",
     .fits = norni_conv_columns_blas_fits,
     .emit = norni_emit_conv_columns_blas,
     .blas = true},
    {.name = "reference", .emit = norni_emit_conv_reference},
    {0},
};

const norn_op norni_op_ConvGradW = {
    .domain = "norn",
    .name = "ConvGradW",
    .versions = (const int[]){1, 0},
    .doc = "the gradient of Conv with respect to its weights, from its input and the gradient of its output",
    .inputs = (const norni_param[]){{"X", 0, NORNI_FLOATS, 'T'}, {"dy", 0, NORNI_FLOATS, 'T'}, {0}},
    .outputs = (const norni_param[]){{"dw", 0, NORNI_FLOATS, 'T'}, {0}},
    .attrs_bytes = sizeof(norni_conv_attrs),
    .attrs = table,
    .infer = infer,
    .grad = grad,
    .expand = expand,
    .eval = norni_conv_eval,
    .impls = impls,
    .cost = norni_conv_cost,
    .cases =
        (const char *const[]){
            "norn.ConvGradW<kernel_shape=[3,2], pads=[1,0,2,1]>(float[2,3,7,9], float[2,5,8,9])",
            "norn.ConvGradW<kernel_shape=[1,1]>(float[1,1,5,5], float[1,1,5,5])",
            "norn.ConvGradW<kernel_shape=[3,3], strides=[2,3], pads=[1,1,1,1]>(float[2,3,9,20], "
            "float[2,4,5,7])",
            "norn.ConvGradW<kernel_shape=[2,3], dilations=[2,3]>(float[3,2,9,11], float[3,3,7,5])",
            "norn.ConvGradW<kernel_shape=[3,3], group=2, pads=[1,1,1,1]>(float[2,6,5,18], float[2,4,5,18])",
            "norn.ConvGradW<kernel_shape=[3,3], group=3, pads=[1,1,1,1]>(float[2,3,7,17], float[2,3,7,17])",
            "norn.ConvGradW<kernel_shape=[3,2], group=3, strides=[2,2], pads=[1,1,1,1]>(float[2,3,7,18], "
            "float[2,6,4,10])",
            "norn.ConvGradW<kernel_shape=[4,3], auto_pad=\"SAME_UPPER\", strides=[2,2]>(float[1,2,7,8], "
            "float[1,3,4,4])",
            "norn.ConvGradW<kernel_shape=[4], pads=[2,1], strides=[2]>(float[2,3,37], float[2,5,19])",
            "norn.ConvGradW<kernel_shape=[2,3,2], pads=[1,0,1,1,2,0], strides=[1,2,1], "
            "dilations=[1,1,2]>(float[2,3,4,5,6], "
            "float[2,5,5,3,5])",
            "norn.ConvGradW<kernel_shape=[3,3], pads=[1,1,1,1]>(float[3,17,7,7], float[3,33,7,7])",
            "norn.ConvGradW<kernel_shape=[7,7], strides=[2,2], pads=[3,3,3,3]>(float[1,3,21,37], "
            "float[1,20,11,19])",
            "norn.ConvGradW<kernel_shape=[1,1]>(float[2,19,3,37], float[2,17,3,37])",
            "norn.ConvGradW<kernel_shape=[5,5]>(float[9,2,14,14], float[9,5,10,10])",
            "norn.ConvGradW<kernel_shape=[2,2]>(float[0,2,4,4], float[0,3,3,3])", NULL},
};
