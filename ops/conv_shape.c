/* SPDX-License-Identifier: Apache-2.0 */
/* What the convolution operators share on the host: shapes, helpers of gradients, the host reference. */
#include "ops/conv.h"
#include <string.h>

enum { D = NORNI_WINDOW_DIMS };

norni_conv_result norni_conv_kind(const norn_node *node) {
    const char *name = node->op->name;
    return !strcmp(name, "ConvGradW")       ? NORNI_CONV_W
           : !strcmp(name, "ConvTranspose") ? NORNI_CONV_X
                                            : NORNI_CONV_Y;
}

/* Types of x, y and w of the convolution behind a node. */
static void parts(const norn_node *node, const norni_type **x, const norni_type **y, const norni_type **w) {
    norni_conv_result k = norni_conv_kind(node);
    const norni_type *in0 = &node->in[0]->type, *in1 = &node->in[1]->type, *out = &node->out[0]->type;
    *x = k == NORNI_CONV_X ? out : in0;
    *y = k == NORNI_CONV_Y ? out : k == NORNI_CONV_X ? in0 : in1;
    *w = k == NORNI_CONV_W ? out : in1;
}

/* ConvTranspose says how large x is, by output_padding, output_shape or auto_pad, and the padding follows:
 * total = (out - 1) * stride + output_padding + extent - in. What x has beyond every window is at its end. */
static void transposed_pads(const norni_conv_attrs *a, norni_window *w) {
    for (int k = D - w->rank; k < D; k++) {
        int i = k - (D - w->rank);
        int64_t all = (w->out[k] - 1) * w->stride[k] + norni_window_extent(w, k) - w->in[k];
        int64_t total = all + (a->output_padding.n < 0 ? 0 : a->output_padding.v[i]);
        int how = a->window.auto_pad;
        if (a->output_shape.n >= 0 || how == NORNI_PAD_SAME_UPPER || how == NORNI_PAD_SAME_LOWER)
            w->begin[k] = total <= 0 ? 0 : how == NORNI_PAD_SAME_UPPER ? total / 2 : total - total / 2;
        w->end[k] = all - w->begin[k];
    }
}

static void fill(const norn_node *node, const int64_t *in, const int64_t *out, norni_conv *v) {
    const norni_conv_attrs *a = node->attrs;
    const norni_type *x, *y, *w;
    parts(node, &x, &y, &w);
    *v = (norni_conv){
        .dtype = x->dtype, .n = x->dims[0], .group = a->group, .c = w->dims[1], .m = w->dims[0] / a->group};
    norni_window_of(&a->window, x->rank - 2, in, out, w->dims + 2, &v->w);
    if (norni_conv_kind(node) == NORNI_CONV_X)
        transposed_pads(a, &v->w);
}

void norni_conv_of(const norn_node *node, norni_conv *v) {
    const norni_type *x, *y, *w;
    parts(node, &x, &y, &w);
    fill(node, x->dims + 2, y->dims + 2, v);
}

norn_status norni_conv_known(const norn_node *node, norni_conv *v) {
    const norni_window_attrs *a = &((const norni_conv_attrs *)node->attrs)->window;
    const norni_type *x, *y, *w;
    int64_t in[D], out[D];
    parts(node, &x, &y, &w);
    if (x->rank < 3 || y->rank < 3 || w->rank < 3)
        return norni_fail(NORN_SHAPE, "a rank is not known");
    int rank = x->rank - 2;
    for (int i = 0; i < w->rank; i++)
        if (w->dims[i] < 0)
            return norni_fail(NORN_SHAPE, "size %d of the weights is not known; bind the sizes first", i);
    for (int i = 0; i < rank; i++) {
        in[i] = x->dims[i + 2];
        out[i] = y->dims[i + 2];
        if (in[i] >= 0 && out[i] >= 0)
            continue;
        bool fixed = a->auto_pad == NORNI_PAD_EXPLICIT || a->auto_pad == NORNI_PAD_VALID;
        if (!fixed || (a->strides.n >= 0 && a->strides.v[i] != 1) || norni_conv_kind(node) == NORNI_CONV_X)
            return norni_fail(NORN_SHAPE, "size %d of the input is not known; bind the sizes first", i + 2);
        /* With stride 1 the padding says everything: any sizes that fit will do. */
        out[i] = 1;
        in[i] = (w->dims[i + 2] - 1) * (a->dilations.n < 0 ? 1 : a->dilations.v[i]) + 1;
        if (a->auto_pad == NORNI_PAD_EXPLICIT && a->pads.n >= 0)
            in[i] -= a->pads.v[i] + a->pads.v[rank + i];
    }
    fill(node, in, out, v);
    return NORN_OK;
}

norn_status norni_conv_check_weights(const norni_infer *c, int rank, bool transposed) {
    const norni_conv_attrs *a = c->attrs;
    const norni_type *x = norni_in_type(c, 0), *w = norni_in_type(c, 1);
    const norni_ints *k = &a->window.kernel_shape;
    if (w->rank != x->rank)
        return norni_fail(NORN_SHAPE, "W has rank %d (wanted %d, that of X)", w->rank, x->rank);
    NORNI_TRY(norni_window_check(&a->window, rank));
    for (int i = 0; i < rank; i++) {
        if (k->n >= 0 && w->dims[i + 2] >= 0 && w->dims[i + 2] != k->v[i])
            return norni_fail(NORN_SHAPE, "kernel_shape has %lld at %d (wanted %lld, the size of W)",
                              (long long)k->v[i], i, (long long)w->dims[i + 2]);
        if (w->dims[i + 2] == 0)
            return norni_fail(NORN_SHAPE, "W has size 0 in dimension %d (wanted 1 or more)", i + 2);
    }
    norni_dim channels = x->dims[1], w0 = w->dims[0], g = a->group;
    if (channels >= 0 && channels % g)
        return norni_fail(NORN_SHAPE, "group=%lld does not divide the %lld channels of X", (long long)g,
                          (long long)channels);
    if (w0 >= 0 && w0 % g)
        return norni_fail(NORN_SHAPE,
                          "group=%lld does not divide the %lld channels that W has in dimension 0",
                          (long long)g, (long long)w0);
    norni_dim in_w = transposed ? w0 : w->dims[1],
              in_x = transposed || channels < 0 ? channels : channels / g;
    if (in_w >= 0 && in_x >= 0 && in_w != in_x)
        return norni_fail(NORN_SHAPE, "W has %lld input channels, X has %lld%s", (long long)in_w,
                          (long long)in_x, !transposed && g > 1 ? " in each group" : "");
    return NORN_OK;
}

norn_status norni_conv_check_bias(const norni_infer *c, norni_dim channels) {
    const norni_type *b = norni_in_type(c, 2);
    if (!b || b->rank < 0)
        return NORN_OK;
    if (b->rank != 1)
        return norni_fail(NORN_SHAPE, "B has rank %d (wanted 1)", b->rank);
    if (b->dims[0] >= 0 && channels >= 0 && b->dims[0] != channels)
        return norni_fail(NORN_SHAPE, "B has %lld elements (wanted %lld, one an output channel)",
                          (long long)b->dims[0], (long long)channels);
    return NORN_OK;
}

/* ---- Gradients. */
const char *norni_conv_text(norni_arena *arena, const norni_conv *v) {
    const char *w = norni_window_text(arena, &v->w);
    return w ? norni_arena_printf(arena, "%s, group=%lld", w, (long long)v->group) : NULL;
}

void norni_conv_rest(const norni_conv *v, int64_t rest[D]) {
    const norni_window *w = &v->w;
    for (int k = 0; k < D; k++)
        rest[k] =
            w->in[k] + w->begin[k] + w->end[k] - (w->out[k] - 1) * w->stride[k] - norni_window_extent(w, k);
}

norn_value *norni_conv_bias_gradient(norn_graph *g, norn_value *dy) {
    int64_t axes[NORN_MAX_RANK] = {0};
    int n = 1;
    for (int i = 2; i < dy->type.rank; i++)
        axes[n++] = i;
    return NORNI_OP2(g, dy, norni_i64_const(g, n, axes), "ReduceSum<keepdims=0>");
}

void norni_conv_cost(const norn_node *node, norni_cost *c) {
    norni_conv v;
    norni_conv_of(node, &v);
    c->flops = 2.0 * (double)v.n * (double)v.group * (double)v.m * (double)v.c *
               (double)norni_window_taps(&v.w) * (double)norni_window_out(&v.w);
}

/* ---- Host reference. */
static double *to_doubles(const norn_tensor *t) {
    int64_t n = norni_tensor_elems(t);
    double *d = norni_alloc_array((size_t)n + 1, sizeof *d);
    for (int64_t i = 0; d && i < n; i++)
        d[i] = norni_get_double(t->dtype, norni_tensor_data(t), i);
    return d;
}

/* n neighbouring elements of y, the element of x for each, one of the kernel. */
static void line(norni_conv_result what, double *restrict x, int64_t step, double *restrict y,
                 double *restrict w, int64_t n) {
    double k = *w;
    if (what == NORNI_CONV_Y)
        for (int64_t i = 0; i < n; i++)
            y[i] += x[i * step] * k;
    else if (what == NORNI_CONV_X)
        for (int64_t i = 0; i < n; i++)
            x[i * step] += y[i] * k;
    else {
        for (int64_t i = 0; i < n; i++)
            k += x[i * step] * y[i];
        *w = k;
    }
}

/* One plane of x, one of y and the kernel between them: what is wanted grows by the product of the others. */
static void plane(const norni_window *g, norni_conv_result what, double *x, double *y, double *w) {
    int64_t k[D], o[2], i[2];
    for (k[0] = 0; k[0] < g->kernel[0]; k[0]++)
        for (k[1] = 0; k[1] < g->kernel[1]; k[1]++)
            for (k[2] = 0; k[2] < g->kernel[2]; k[2]++, w++) {
                const int64_t step = g->stride[2], shift = k[2] * g->dilation[2] - g->begin[2];
                int64_t lo = shift < 0 ? (-shift + step - 1) / step : 0; /* outputs lo .. hi - 1 are inside */
                int64_t hi = g->in[2] > shift ? (g->in[2] - shift + step - 1) / step : 0;
                hi = hi < g->out[2] ? hi : g->out[2];
                for (o[0] = 0; o[0] < g->out[0]; o[0]++)
                    for (o[1] = 0; o[1] < g->out[1]; o[1]++) {
                        bool inside = lo < hi;
                        for (int d = 0; d < 2; d++) {
                            i[d] = o[d] * g->stride[d] + k[d] * g->dilation[d] - g->begin[d];
                            inside &= i[d] >= 0 && i[d] < g->in[d];
                        }
                        if (inside)
                            line(what, x + (i[0] * g->in[1] + i[1]) * g->in[2] + lo * step + shift, step,
                                 y + (o[0] * g->out[1] + o[1]) * g->out[2] + lo, w, hi - lo);
                    }
            }
}

norn_status norni_conv_eval(norni_eval *e) {
    norni_conv v;
    norni_conv_of(e->node, &v);
    norni_conv_result what = norni_conv_kind(e->node);
    norn_tensor *out = e->out[0];
    const norn_tensor *bias = e->n_in > 2 ? e->in[2] : NULL;
    double *a = to_doubles(e->in[0]), *b = to_doubles(e->in[1]), *r = to_doubles(out); /* r: zeros */
    double *x = what == NORNI_CONV_X ? r : a, *w = what == NORNI_CONV_W ? r : b,
           *y = what == NORNI_CONV_Y   ? r
                : what == NORNI_CONV_X ? a
                                       : b;
    int64_t in = norni_window_in(&v.w), taps = norni_window_taps(&v.w), o = norni_window_out(&v.w);
    if (a && b && r)
        for (int64_t n = 0; n < v.n; n++)
            for (int64_t m = 0; m < v.group * v.m; m++)
                for (int64_t c = 0; c < v.c; c++)
                    plane(&v.w, what, x + ((n * v.group + m / v.m) * v.c + c) * in,
                          y + (n * v.group * v.m + m) * o, w + (m * v.c + c) * taps);
    int64_t n = norni_tensor_elems(out), channels = out->dims[1], per = what == NORNI_CONV_X ? in : o;
    for (int64_t i = 0; a && b && r && i < n; i++) {
        double add = bias ? norni_get_double(bias->dtype, norni_tensor_data(bias), i / per % channels) : 0;
        norni_set_double(out->dtype, norni_tensor_data(out), i, r[i] + add);
    }
    bool ok = a && b && r;
    norni_free(a);
    norni_free(b);
    norni_free(r);
    return ok ? NORN_OK : norni_nomem();
}
