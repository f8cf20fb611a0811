/* SPDX-License-Identifier: Apache-2.0 */
/* LRN (Krizhevsky et al., 2012; ONNX LRN-13): y = x / (bias + alpha / size * sum x^2)^beta, the sum over `size` neighbouring
 * channels, from floor((size - 1) / 2) before to ceil((size - 1) / 2) behind. It is done by norn.ChannelSum, the sum over
 * `before` channels before to `behind` behind, whose gradient is itself with the two exchanged. */
#include "ops/op.h"
#include <math.h>

static double get(const norn_tensor *t, int64_t i) {
    return norni_get_double(t->dtype, norni_tensor_data(t), i);
}

/* x [N, C, ...] as [outer][channels][inner]. */
typedef struct {
    int64_t outer, channels, inner;
} geometry;
static geometry geometry_of(int rank, const int64_t *dims) {
    return (geometry){dims[0], dims[1], norni_elems(rank - 2, dims + 2)};
}
static norn_status infer(norni_infer *c) {
    const norni_type *x = norni_in_type(c, 0);
    if (x->rank >= 0 && x->rank < 2)
        return norni_fail(NORN_SHAPE, "X has rank %d (wanted at least 2: samples, channels)", x->rank);
    c->out[0] = *x;
    return NORN_OK;
}

/* ---- norn.ChannelSum. */
typedef struct {
    int64_t before, behind;
} sum_attrs;
static const norni_attr sum_table[] = {NORNI_A_INT(sum_attrs, before, 0, .lo = 0, .hi = INT32_MAX),
                                       NORNI_A_INT(sum_attrs, behind, 0, .lo = 0, .hi = INT32_MAX),
                                       NORNI_A_END};

static norn_status eval_sum(norni_eval *e) {
    const sum_attrs *a = e->attrs;
    geometry n = geometry_of(e->in[0]->rank, e->in[0]->dims);
    for (int64_t i = 0, all = norni_tensor_elems(e->in[0]); i < all; i++) {
        int64_t c = i / n.inner % n.channels;
        double s = 0;
        for (int64_t k = -a->before; k <= a->behind; k++)
            if (c + k >= 0 && c + k < n.channels)
                s += get(e->in[0], i + k * n.inner);
        norni_set_double(e->out[0]->dtype, norni_tensor_data(e->out[0]), i, s);
    }
    return NORN_OK;
}

static norn_status emit_sum(norni_emit *e) {
    const sum_attrs *a = e->node->attrs;
    const norni_type *x = &e->node->in[0]->type;
    geometry n = geometry_of(x->rank, x->dims);
    int w = norni_device_is_cpu(e->device) ? (x->dtype == NORN_F64 ? 8 : 16) : 1;
    while (w > n.inner && w > 1)
        w /= 2;
    w = w == 2 ? 1 : w;
    int64_t blocks = (n.inner + w - 1) / w, group = w > 1 ? 16 : 1; /* channels an item */
    norni_step *k = norni_emit_kernel(e, "lrn.cl", "channel_sum", x->dtype);
    norni_step_define(e, k, "W", w);
    norni_step_buffer(e, k, norni_emit_in(e, 0), NORNI_READ);
    norni_step_buffer(e, k, norni_emit_out(e, 0), NORNI_WRITE);
    norni_step_i64(e, k, n.outer);
    norni_step_i64(e, k, n.channels);
    norni_step_i64(e, k, n.inner);
    norni_step_i64(e, k, a->before);
    norni_step_i64(e, k, a->behind);
    norni_step_i64(e, k, group);
    norni_step_items(e, k, 3, blocks, (n.channels + group - 1) / group, n.outer);
    return e->status;
}

static void grad_sum(norni_grad *c) {
    const sum_attrs *a = c->node->attrs;
    c->dx[0] = NORNI_OP1(c->g, c->dy[0], "norn.ChannelSum<before=%lld, behind=%lld>", (long long)a->behind,
                         (long long)a->before);
}

static norn_status expand_sum(norn_graph *g, const norn_node *node, norn_value **out) {
    const sum_attrs *a = node->attrs;
    norn_value *x = node->in[0], *sum = NULL;
    int64_t pads[2 * NORN_MAX_RANK] = {0}, size = a->before + a->behind + 1;
    if (x->type.rank < 2)
        return norni_fail(NORN_UNSUPPORTED, "norn.ChannelSum: the rank is not known");
    pads[1] = a->before;
    pads[x->type.rank + 1] = a->behind;
    norn_value *p = NORNI_OP2(g, x, norni_i64_const(g, 2 * x->type.rank, pads), "Pad");
    for (int64_t k = 0; k < size; k++) {
        int64_t to = k + 1 == size ? INT64_MAX : k + 1 - size;
        norn_value *s = norni_part(g, p, 1, k, to);
        sum = sum ? NORNI_OP2(g, sum, s, "Add") : s;
    }
    out[0] = sum;
    return norn_graph_status(g);
}

static void cost_sum(const norn_node *node, norni_cost *c) {
    const sum_attrs *a = node->attrs;
    c->flops = (double)(a->before + a->behind + 1) * (double)norni_type_elems(&node->in[0]->type);
}
static const norni_impl sum_impls[] = {{.name = "direct", .emit = emit_sum}, {0}};

const norn_op norni_op_ChannelSum = {
    .domain = "norn",
    .name = "ChannelSum",
    .versions = (const int[]){1, 0},
    .doc = "sums over neighbouring channels",
    .inputs = (const norni_param[]){{"x", 0, NORNI_FLOATS, 'T'}, {0}},
    .outputs = (const norni_param[]){{"y", 0, NORNI_FLOATS, 'T'}, {0}},
    .attrs_bytes = sizeof(sum_attrs),
    .attrs = sum_table,
    .infer = infer,
    .grad = grad_sum,
    .expand = expand_sum,
    .eval = eval_sum,
    .impls = sum_impls,
    .cost = cost_sum,
    .cases = (const char *const[]){"norn.ChannelSum<before=1, behind=2>(float[2,7,5,8])",
                                   "norn.ChannelSum<before=9, behind=3>(float[3,5])",
                                   "norn.ChannelSum<behind=4>(float[1,37,1])", NULL},
};

/* ---- LRN. */
typedef struct {
    float alpha, beta, bias;
    int64_t size;
} lrn_attrs;
static const norni_attr lrn_table[] = {
    NORNI_A_FLOAT(lrn_attrs, alpha, 0.0001f), NORNI_A_FLOAT(lrn_attrs, beta, 0.75f),
    NORNI_A_FLOAT(lrn_attrs, bias, 1),
    NORNI_A_INT(lrn_attrs, size, 1, .flags = NORNI_ATTR_REQUIRED, .lo = 1, .hi = INT32_MAX), NORNI_A_END};

static norn_status eval_lrn(norni_eval *e) {
    const lrn_attrs *a = e->attrs;
    geometry n = geometry_of(e->in[0]->rank, e->in[0]->dims);
    for (int64_t i = 0, all = norni_tensor_elems(e->in[0]); i < all; i++) {
        int64_t c = i / n.inner % n.channels, from = c - (a->size - 1) / 2, to = c + a->size / 2;
        double s = 0;
        for (int64_t k = from < 0 ? 0 : from; k <= to && k < n.channels; k++)
            s += get(e->in[0], i + (k - c) * n.inner) * get(e->in[0], i + (k - c) * n.inner);
        s = pow((double)a->bias + (double)a->alpha / (double)a->size * s, (double)a->beta);
        norni_set_double(e->out[0]->dtype, norni_tensor_data(e->out[0]), i, get(e->in[0], i) / s);
    }
    return NORN_OK;
}

static norn_status expand_lrn(norn_graph *g, const norn_node *node, norn_value **out) {
    static const char *const names[] = {"x", "s", "k", "bias", "beta"};
    const lrn_attrs *a = node->attrs;
    norn_dtype t = node->in[0]->type.dtype, wide = t == NORN_F64 ? t : NORN_F32;
    norn_value *x = norni_cast(g, node->in[0], wide);
    norn_value *s = NORNI_OP1(g, NORNI_OP2(g, x, x, "Mul"), "norn.ChannelSum<before=%lld, behind=%lld>",
                              (long long)((a->size - 1) / 2), (long long)(a->size / 2));
    norn_value *vars[] = {x, s, norni_scalar_const(g, wide, (double)a->alpha / (double)a->size),
                          norni_scalar_const(g, wide, (double)a->bias),
                          norni_scalar_const(g, wide, (double)a->beta)};
    out[0] = norni_cast(g, norni_formula(g, "x / (s * k + bias) ** beta", 5, names, vars), t);
    return norn_graph_status(g);
}

static void cost_lrn(const norn_node *node, norni_cost *c) {
    c->flops =
        ((double)((const lrn_attrs *)node->attrs)->size + 20) * (double)norni_type_elems(&node->in[0]->type);
}

const norn_op norni_op_LRN = {
    .domain = "",
    .name = "LRN",
    .versions = (const int[]){1, 13, 0},
    .doc = "x divided by a power of the sum of squares over neighbouring channels",
    .inputs = (const norni_param[]){{"X", 0, NORNI_FLOATS, 'T'}, {0}},
    .outputs = (const norni_param[]){{"Y", 0, NORNI_FLOATS, 'T'}, {0}},
    .attrs_bytes = sizeof(lrn_attrs),
    .attrs = lrn_table,
    .infer = infer,
    .expand = expand_lrn,
    .eval = eval_lrn,
    .cost = cost_lrn,
    .cases = (const char *const[]){"LRN<size=3>(float[2,7,5,8])",
                                   "LRN<size=4, alpha=0.7, beta=0.6, bias=1.5>(float[2,5,3,4])",
                                   "LRN<size=9, alpha=2>(float[2,5,17])", "LRN<size=1>(float[3,4])", NULL},
};
