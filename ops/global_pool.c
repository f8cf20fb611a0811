/* SPDX-License-Identifier: Apache-2.0 */
/* GlobalAveragePool, GlobalMaxPool: the mean, or the largest, of each plane [n, c, ...], as one element. They are
 * reductions over the spatial axes; the maximum's gradient goes to the first of equals. Source: ONNX GlobalAveragePool-22,
 * GlobalMaxPool-22. */
#include "ops/op.h"
#include <math.h>

static norn_status infer(norni_infer *c) {
    const norni_type *x = norni_in_type(c, 0);
    if (x->rank < 0)
        return NORN_OK;
    if (x->rank < 2)
        return norni_fail(NORN_SHAPE, "X has rank %d (wanted 2 or more: batch, channels, spatial sizes)",
                          x->rank);
    c->out[0] = *x;
    for (int i = 2; i < x->rank; i++)
        c->out[0].dims[i] = 1;
    return NORN_OK;
}

static norn_status eval_with(norni_eval *e, bool largest) {
    const norn_tensor *x = e->in[0];
    norn_tensor *y = e->out[0];
    int64_t planes = norni_tensor_elems(y), n = norni_elems(x->rank - 2, x->dims + 2);
    for (int64_t p = 0; p < planes; p++) {
        double r = largest ? -INFINITY : 0;
        for (int64_t i = 0; i < n; i++) {
            double v = norni_get_double(x->dtype, norni_tensor_data(x), p * n + i);
            r = !largest ? r + v : v > r || isnan(v) ? v : r;
        }
        norni_set_double(y->dtype, norni_tensor_data(y), p, largest ? r : r / (double)n);
    }
    return NORN_OK;
}

static norn_value *spatial_axes(norn_graph *g, int rank) {
    int64_t axes[NORN_MAX_RANK];
    for (int i = 2; i < rank; i++)
        axes[i - 2] = i;
    return norni_i64_const(g, rank - 2, axes);
}

static norn_status expand_with(norn_graph *g, const norn_node *node, norn_value **out,
                               const char *reduction) {
    norn_value *x = node->in[0];
    if (x->type.rank < 2)
        return norni_fail(NORN_UNSUPPORTED, "the rank is not known");
    out[0] = x->type.rank == 2 ? NORNI_OP1(g, x, "Identity")
                               : NORNI_OP2(g, x, spatial_axes(g, x->type.rank), "%s", reduction);
    return NORN_OK;
}

#define GLOBAL(op_name, ...)                                                                                 \
    const norn_op norni_op_##op_name = {                                                                     \
        .domain = "",                                                                                        \
        .name = #op_name,                                                                                    \
        .versions = (const int[]){1, 22, 0},                                                                 \
        .inputs = (const norni_param[]){{"X", 0, NORNI_FLOATS, 'T'}, {0}},                                   \
        .outputs = (const norni_param[]){{"Y", 0, NORNI_FLOATS, 'T'}, {0}},                                  \
        .infer = infer,                                                                                      \
        .cases = (const char *const[]){#op_name "(float[2,3,5,7])", #op_name "(float[1,2,9])",               \
                                       #op_name "(float[2,3,4,5,6])", #op_name "(float[1,1,1,1])",           \
                                       #op_name "(float[3,4])", #op_name "(float[0,3,4,4])", NULL},          \
        __VA_ARGS__}

/* ---- GlobalAveragePool. */
static norn_status eval_average(norni_eval *e) {
    return eval_with(e, false);
}
static norn_status expand_average(norn_graph *g, const norn_node *node, norn_value **out) {
    return expand_with(g, node, out, "ReduceMean");
}
GLOBAL(GlobalAveragePool, .doc = "the mean of each plane", .eval = eval_average, .expand = expand_average);

/* ---- GlobalMaxPool. */
static norn_status eval_max(norni_eval *e) {
    return eval_with(e, true);
}
static norn_status expand_max(norn_graph *g, const norn_node *node, norn_value **out) {
    return expand_with(g, node, out, "ReduceMax");
}
static void grad_max(norni_grad *c) {
    norn_graph *g = c->g;
    norn_value *x = c->node->in[0], *planes = norni_i64_const(g, 3, (const int64_t[]){0, 0, -1});
    if (x->type.rank == 2) {
        c->dx[0] = c->dy[0];
        return;
    }
    for (int i = 0; i < x->type.rank; i++)
        if (x->type.dims[i] == 0) { /* there is no largest */
            c->dx[0] = norni_zeros(g, x->type.dtype, norni_shape_value(g, x));
            return;
        }
    norn_value *flat = NORNI_OP2(g, x, planes, "Reshape"), *dy = NORNI_OP2(g, c->dy[0], planes, "Reshape");
    norn_value *at = NORNI_OP1(g, flat, "ArgMax<axis=2>");
    norn_value *dx = NORNI_OP3(g, flat ? norni_zeros(g, x->type.dtype, norni_shape_value(g, flat)) : NULL, at,
                               dy, "ScatterElements<axis=2>");
    c->dx[0] = NORNI_OP2(g, dx, norni_shape_value(g, x), "Reshape");
}
GLOBAL(GlobalMaxPool, .doc = "the largest element of each plane", .eval = eval_max, .expand = expand_max,
       .grad = grad_max);
