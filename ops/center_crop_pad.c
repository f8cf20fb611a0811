/* SPDX-License-Identifier: Apache-2.0 */
/* CenterCropPad: axes brought to given sizes around their middle, by taking elements away or adding zeros: floor(|d| / 2) of
 * them before, the rest after. So it is a Pad, whose pads may be negative. Source: ONNX CenterCropPad-18. */
#include "ops/op.h"

typedef struct {
    norni_ints axes;
} attrs;
static const norni_attr table[] = {NORNI_A_INTS(attrs, axes), NORNI_A_END};

static norn_status axis_at(const attrs *a, int rank, int i, int *axis) {
    *axis = i;
    return a->axes.n >= 0 ? norni_axis(a->axes.v[i], rank, axis) : NORN_OK;
}

static norn_status infer(norni_infer *c) {
    const attrs *a = c->attrs;
    const norni_type *x = norni_in_type(c, 0), *shape = norni_in_type(c, 1);
    int n, axis, count = a->axes.n >= 0 ? a->axes.n : x->rank;
    bool seen[NORN_MAX_RANK] = {0};
    if (x->rank < 0)
        return NORN_OK;
    if (shape->rank > 1 || (shape->rank == 1 && shape->dims[0] >= 0 && shape->dims[0] != count))
        return norni_fail(NORN_SHAPE, "shape has rank %d, %lld elements (wanted a vector of %d)", shape->rank,
                          (long long)(shape->rank == 1 ? shape->dims[0] : 1), count);
    const norni_dim *d = norni_value_known(c->node->in[1], &n);
    c->out[0] = *x;
    for (int i = 0; i < count; i++) {
        int64_t number;
        NORNI_TRY(axis_at(a, x->rank, i, &axis));
        if (seen[axis])
            return norni_fail(NORN_ARG, "axis %d is given twice", axis);
        seen[axis] = true;
        c->out[0].dims[axis] = d ? d[i] : norni_dim_fresh(c->g);
        if (d && norni_dim_number(c->g, d[i], &number) && number < 0)
            return norni_fail(NORN_ARG, "shape has %lld at %d (wanted at least 0)", (long long)number, i);
    }
    return NORN_OK;
}

static norn_status expand(norn_graph *g, const norn_node *node, norn_value **out) {
    const attrs *a = node->attrs;
    const norni_type *x = &node->in[0]->type, *y = &node->out[0]->type;
    int64_t pads[2 * NORN_MAX_RANK] = {0};
    int count = a->axes.n >= 0 ? a->axes.n : x->rank, axis;
    for (int i = 0; i < count; i++) {
        NORNI_TRY(axis_at(a, x->rank, i, &axis));
        int64_t from = x->dims[axis], to = y->dims[axis];
        if (from == to)
            continue;
        if (from < 0 || to < 0)
            return norni_fail(NORN_UNSUPPORTED,
                              "CenterCropPad: the sizes are not known; bind the sizes first");
        int64_t d = to > from ? to - from : from - to, before = d / 2, after = d - before;
        pads[axis] = to > from ? before : -before;
        pads[x->rank + axis] = to > from ? after : -after;
    }
    out[0] = NORNI_OP2(g, node->in[0], norni_i64_const(g, 2 * x->rank, pads), "Pad");
    return norn_graph_status(g);
}

const norn_op norni_op_CenterCropPad = {
    .domain = "",
    .name = "CenterCropPad",
    .versions = (const int[]){18, 0},
    .doc = "axes cropped or padded with zeros around their middle",
    .inputs = (const norni_param[]){{"input_data", 0, NORNI_ANY, 'T'},
                                    {"shape", NORNI_NODIFF | NORNI_HOST, NORNI_INDEX, 0},
                                    {0}},
    .outputs = (const norni_param[]){{"output_data", 0, NORNI_ANY, 'T'}, {0}},
    .attrs_bytes = sizeof(attrs),
    .attrs = table,
    .infer = infer,
    .expand = expand,
    .cases = (const char *const[]){"CenterCropPad(float[20,7,3], int64[3]{10,10,3})",
                                   "CenterCropPad<axes=[1,-1]>(float[4,7,3], int32[2]{4,8})",
                                   "CenterCropPad(int64[5], int64[1]{2})",
                                   "CenterCropPad(uint8[2,3], int64[2]{0,3})", NULL},
};
