/* SPDX-License-Identifier: Apache-2.0 */
/* DeformConv: a convolution whose windows are bent: kernel element k of output o reads x at
 *
 *     q = o * stride + k * dilation - begin + offset[n, g, k, :, o]
 *
 * by linear interpolation between the elements around it (those outside x are 0), times mask[n, g, k, o], for each of the
 * offset_group groups g of channels. It is made of gathered elements, a column for each output, and a product with the
 * weights; so is its gradient. Sources: ONNX DeformConv-22; Dai et al., 2017; Zhu et al., 2019. */
#include "ops/window.h"
#include <math.h>
#include <string.h>

enum { D = NORNI_WINDOW_DIMS };

typedef struct {
    norni_window_attrs window;
    int64_t group, offset_group;
} attrs;
static const norni_attr table[] = {NORNI_WINDOW_INTS(attrs, strides, 1),
                                   NORNI_WINDOW_INTS(attrs, pads, 0),
                                   NORNI_WINDOW_INTS(attrs, kernel_shape, 1),
                                   NORNI_WINDOW_INTS(attrs, dilations, 1),
                                   NORNI_A_INT(attrs, group, 1, .lo = 1, .hi = INT32_MAX),
                                   NORNI_A_INT(attrs, offset_group, 1, .lo = 1, .hi = INT32_MAX),
                                   NORNI_A_END};

static norn_status size_is(const char *name, const norni_type *t, int i, norni_dim want) {
    return t->dims[i] < 0 || want < 0 || t->dims[i] == want
               ? NORN_OK
               : norni_fail(NORN_SHAPE, "%s has size %lld in dimension %d (wanted %lld)", name,
                            (long long)t->dims[i], i, (long long)want);
}

static norn_status infer(norni_infer *c) {
    const attrs *a = c->attrs;
    const norni_type *x = norni_in_type(c, 0), *w = norni_in_type(c, 1), *offset = norni_in_type(c, 2),
                     *b = norni_in_type(c, 3), *mask = norni_in_type(c, 4);
    norni_type y = c->out[0];
    int rank;
    if (!norni_in_ranked(c, 3))
        return NORN_OK;
    NORNI_TRY(norni_window_rank(x, &rank));
    NORNI_TRY(norni_window_check(&a->window, rank));
    if (w->rank != x->rank || offset->rank != x->rank || (mask && mask->rank >= 0 && mask->rank != x->rank))
        return norni_fail(NORN_SHAPE, "W, offset or mask have another rank (wanted %d, that of X)", x->rank);
    for (int i = 0; i < rank && a->window.kernel_shape.n >= 0; i++)
        NORNI_TRY(size_is("W", w, i + 2, a->window.kernel_shape.v[i]));
    for (int i = 0; i < rank; i++)
        if (w->dims[i + 2] == 0)
            return norni_fail(NORN_SHAPE, "W has size 0 in dimension %d (wanted 1 or more)", i + 2);
    if (x->dims[1] >= 0) {
        if (x->dims[1] % a->group || x->dims[1] % a->offset_group)
            return norni_fail(NORN_SHAPE,
                              "group=%lld or offset_group=%lld do not divide the %lld channels of X",
                              (long long)a->group, (long long)a->offset_group, (long long)x->dims[1]);
        NORNI_TRY(size_is("W", w, 1, x->dims[1] / a->group));
    }
    if (w->dims[0] >= 0 && w->dims[0] % a->group)
        return norni_fail(NORN_SHAPE,
                          "group=%lld does not divide the %lld channels that W has in dimension 0",
                          (long long)a->group, (long long)w->dims[0]);
    y.rank = x->rank;
    y.dims[0] = x->dims[0];
    y.dims[1] = w->dims[0];
    NORNI_TRY(
        norni_window_infer(c->g, &a->window, rank, x->dims + 2, w->dims + 2, NORNI_WINDOW_WHOLE, y.dims + 2));
    norni_dim points = norni_dim_mul(c->g, norni_dim_product(c->g, rank, w->dims + 2), a->offset_group);
    NORNI_TRY(size_is("offset", offset, 0, x->dims[0]));
    NORNI_TRY(size_is("offset", offset, 1, norni_dim_mul(c->g, points, rank)));
    for (int i = 2; i < x->rank; i++)
        NORNI_TRY(size_is("offset", offset, i, y.dims[i]));
    if (mask && mask->rank >= 0) {
        NORNI_TRY(size_is("mask", mask, 0, x->dims[0]));
        NORNI_TRY(size_is("mask", mask, 1, points));
        for (int i = 2; i < x->rank; i++)
            NORNI_TRY(size_is("mask", mask, i, y.dims[i]));
    }
    if (b && b->rank >= 0) {
        if (b->rank != 1)
            return norni_fail(NORN_SHAPE, "B has rank %d (wanted 1)", b->rank);
        NORNI_TRY(size_is("B", b, 0, w->dims[0]));
    }
    c->out[0] = y;
    return NORN_OK;
}

static void window_of(const norn_node *node, norni_window *w) {
    const norni_type *x = &node->in[0]->type;
    norni_window_of(&((const attrs *)node->attrs)->window, x->rank - 2, x->dims + 2,
                    node->out[0]->type.dims + 2, node->in[1]->type.dims + 2, w);
}

/* Output o of window w in each dimension, and kernel element k: the place without the offset. */
static void places(const norni_window *w, int64_t k, int64_t o, int64_t at[D]) {
    for (int d = D - 1; d >= 0; d--) {
        at[d] = o % w->out[d] * w->stride[d] + k % w->kernel[d] * w->dilation[d] - w->begin[d];
        o /= w->out[d];
        k /= w->kernel[d];
    }
}

static norn_status eval(norni_eval *e) {
    const attrs *a = e->attrs;
    const norn_tensor *x = e->in[0], *wt = e->in[1], *offset = e->in[2], *b = e->n_in > 3 ? e->in[3] : NULL,
                      *mask = e->n_in > 4 ? e->in[4] : NULL;
    norn_tensor *y = e->out[0];
    norni_window w;
    window_of(e->node, &w);
    int rank = w.rank, lead = D - rank;
    int64_t outs = norni_window_out(&w), taps = norni_window_taps(&w), m = y->dims[1], per = wt->dims[1],
            channels = x->dims[1];
    for (int64_t i = 0, all = norni_tensor_elems(y); i < all; i++) {
        int64_t o = i % outs, oc = i / outs % m, n = i / outs / m;
        double sum = b ? norni_get_double(b->dtype, norni_tensor_data(b), oc) : 0;
        for (int64_t ck = 0; ck < per * taps; ck++) {
            int64_t c = oc / (m / a->group) * per + ck / taps, k = ck % taps,
                    g = c / (channels / a->offset_group), at[D];
            double part[D] = {0}, value = 0;
            places(&w, k, o, at);
            for (int d = lead; d < D; d++) {
                int64_t row = ((n * a->offset_group + g) * taps + k) * rank + d - lead;
                double q = (double)at[d] +
                           norni_get_double(offset->dtype, norni_tensor_data(offset), row * outs + o);
                at[d] = (int64_t)floor(q);
                part[d] = q - floor(q);
            }
            for (int corner = 0; corner < 1 << rank; corner++) {
                double weight = 1;
                int64_t from = n * channels + c;
                bool inside = true;
                for (int d = 0; d < D; d++) {
                    int up = d >= lead && corner >> (d - lead) & 1;
                    weight *= d < lead ? 1 : up ? part[d] : 1 - part[d];
                    inside &= at[d] + up >= 0 && at[d] + up < w.in[d];
                    from = from * w.in[d] + at[d] + up;
                }
                value += inside ? weight * norni_get_double(x->dtype, norni_tensor_data(x), from) : 0;
            }
            if (mask)
                value *= norni_get_double(mask->dtype, norni_tensor_data(mask),
                                          ((n * a->offset_group + g) * taps + k) * outs + o);
            sum += value * norni_get_double(wt->dtype, norni_tensor_data(wt), oc * per * taps + ck);
        }
        norni_set_double(y->dtype, norni_tensor_data(y), i, sum);
    }
    return NORN_OK;
}

static norn_value *shaped(norn_graph *g, norn_value *v, int n, const int64_t *dims) {
    return NORNI_OP2(g, v, norni_i64_const(g, n, dims), "Reshape<allowzero=1>");
}

/* The places along dimension d without offsets, as a constant [1, 1, taps, outs]. */
static norn_value *base_places(norn_graph *g, const norni_window *w, int d, norn_dtype t) {
    int64_t taps = norni_window_taps(w), outs = norni_window_out(w), at[D];
    norn_tensor *v;
    norn_status s = norni_tensor_host(t, 4, (const int64_t[]){1, 1, taps, outs}, &v);
    if (s != NORN_OK)
        return norni_graph_failed(g, s);
    for (int64_t i = 0; i < taps * outs; i++) {
        places(w, i / outs, i % outs, at);
        norni_set_double(t, norni_tensor_data(v), i, (double)at[d]);
    }
    return norni_value_const(g, NULL, v);
}

static norn_status expand(norn_graph *g, const norn_node *node, norn_value **out) {
    static const char *const names[] = {"f", "p", "b", "z", "e"};
    const attrs *a = node->attrs;
    const norni_type *x = &node->in[0]->type, *wt = &node->in[1]->type, *y = &node->out[0]->type;
    norn_value *bias = node->n_in > 3 ? node->in[3] : NULL, *mask = node->n_in > 4 ? node->in[4] : NULL;
    norn_dtype t = norni_compute_dtype(x->dtype);
    norn_value *weight[D][2], *index[D][2], *cols = NULL;
    norni_window w;
    for (int i = 0; i < 3; i++)
        if (!norni_type_static(&node->in[i]->type))
            return norni_fail(NORN_UNSUPPORTED, "the sizes are not known; bind them first");
    if (!norni_type_elems(y) || !norni_type_elems(x) || !norni_type_elems(wt)) {
        out[0] =
            NORNI_OP2(g, bias ? norni_along_channels(g, bias, x->rank) : norni_scalar_const(g, x->dtype, 0),
                      norni_shape_value(g, node->out[0]), "Expand");
        return NORN_OK;
    }
    window_of(node, &w);
    int rank = w.rank, lead = D - rank;
    int64_t in = norni_window_in(&w), outs = norni_window_out(&w), taps = norni_window_taps(&w),
            n = x->dims[0], og = a->offset_group, c = x->dims[1], per = c / og;
    norn_value *offset =
        shaped(g, norni_cast(g, node->in[2], t), 5, (const int64_t[]){n, og, taps, rank, outs});
    for (int d = 0; d < rank;
         d++) { /* along each dimension: both neighbours, and their weights, 0 outside x */
        norn_value *o = NORNI_OP2(g, offset, norni_scalar_const(g, NORN_I64, d), "Gather<axis=3>");
        norn_value *q = NORNI_OP2(g, o, base_places(g, &w, d + lead, t), "Add"),
                   *low = NORNI_OP1(g, q, "Floor");
        for (int up = 0; up < 2; up++) {
            norn_value *vars[] = {low, q, norni_scalar_const(g, t, up), norni_scalar_const(g, t, 0),
                                  norni_scalar_const(g, t, (double)(w.in[d + lead] - 1))};
            weight[d][up] = norni_formula(g,
                                          up ? "where(f + b >= z and f + b <= e, p - f, z)"
                                             : "where(f + b >= z and f + b <= e, 1 - (p - f), z)",
                                          5, names, vars);
            index[d][up] =
                NORNI_OP1(g, norni_formula(g, "min(max(f + b, z), e)", 5, names, vars), "Cast<to=7>");
        }
    }
    /* planes [n og, in, per]: a row for each place */
    norn_value *rows = NORNI_OP1(g, shaped(g, node->in[0], 3, (const int64_t[]){n * og, per, in}),
                                 "Transpose<perm=[0,2,1]>");
    for (int corner = 0; corner < 1 << rank; corner++) {
        norn_value *at = NULL, *by = NULL;
        for (int d = 0; d < rank; d++) {
            int up = corner >> d & 1;
            norn_value *size = norni_scalar_const(g, NORN_I64, (double)w.in[d + lead]);
            at = d ? NORNI_OP2(g, NORNI_OP2(g, at, size, "Mul"), index[d][up], "Add") : index[d][up];
            by = d ? NORNI_OP2(g, by, weight[d][up], "Mul") : weight[d][up];
        }
        norn_value *part = NORNI_OP2(g, rows, shaped(g, at, 3, (const int64_t[]){n * og, taps * outs, 1}),
                                     "GatherND<batch_dims=1>");
        by = shaped(g, by, 3, (const int64_t[]){n * og, taps * outs, 1});
        part = NORNI_OP2(g, norni_cast(g, part, t), by, "Mul");
        cols = corner ? NORNI_OP2(g, cols, part, "Add") : part;
    }
    if (mask)
        cols = NORNI_OP2(
            g, cols, shaped(g, norni_cast(g, mask, t), 3, (const int64_t[]){n * og, taps * outs, 1}), "Mul");
    cols =
        NORNI_OP1(g, cols, "Transpose<perm=[0,2,1]>"); /* [n og, per, taps outs]: channels, taps, outputs */
    cols =
        shaped(g, norni_cast(g, cols, x->dtype), 4, (const int64_t[]){n, a->group, wt->dims[1] * taps, outs});
    norn_value *matrix =
        shaped(g, node->in[1], 4, (const int64_t[]){1, a->group, wt->dims[0] / a->group, wt->dims[1] * taps});
    norn_value *r = NORNI_OP2(g, NORNI_OP2(g, matrix, cols, "MatMul"), norni_shape_value(g, node->out[0]),
                              "Reshape<allowzero=1>");
    out[0] = bias ? NORNI_OP2(g, r, norni_along_channels(g, bias, x->rank), "Add") : r;
    return NORN_OK;
}

const norn_op norni_op_DeformConv = {
    .domain = "",
    .name = "DeformConv",
    .versions = (const int[]){19, 22, 0},
    .doc = "convolution with an offset for each element that a window reads",
    .inputs = (const norni_param[]){{"X", 0, NORNI_FLOATS, 'T'},
                                    {"W", 0, NORNI_FLOATS, 'T'},
                                    {"offset", 0, NORNI_FLOATS, 'T'},
                                    {"B", NORNI_OPT, NORNI_FLOATS, 'T'},
                                    {"mask", NORNI_OPT, NORNI_FLOATS, 'T'},
                                    {0}},
    .outputs = (const norni_param[]){{"Y", 0, NORNI_FLOATS, 'T'}, {0}},
    .attrs_bytes = sizeof(attrs),
    .attrs = table,
    .infer = infer,
    .expand = expand,
    .eval = eval,
    .cases =
        (const char *const[]){
            "DeformConv<pads=[1,0,2,1]>(float[2,3,4,5], float[4,3,2,2], float[2,8,6,5], float[4], "
            "float[2,4,6,5])",
            "DeformConv<group=2, offset_group=2, kernel_shape=[2,2], strides=[2,1]>(float[1,4,5,4], "
            "float[2,2,2,2], float[1,16,2,3])",
            "DeformConv<dilations=[2], pads=[1,1]>(float[1,2,7], float[3,2,3], float[1,3,5], float[3])",
            "DeformConv(float[1,1,3,3,2], float[1,1,2,1,2], float[1,12,2,3,1])",
            "DeformConv(float[1,1,1,1], float[1,1,1,1], float[1,2,1,1])",
            "DeformConv(float[0,1,3,3], float[2,1,2,2], float[0,8,2,2], float[2])", NULL},
};
