/* SPDX-License-Identifier: Apache-2.0 */
/* Softmax, selection and means of quantised tensors, in floats between a dequantised input and a quantised output. Source:
 * ONNX Runtime's documentation of contrib operators. */
#include "ops/qlinear.h"

/* ---- QLinearSoftmax: `opset` says which definition of Softmax. Before 13 all axes from `axis` on are one. */
typedef struct {
    int64_t axis, opset;
} softmax_attrs;
static const norni_attr softmax_table[] = {
    NORNI_A_INT(softmax_attrs, axis, -1),
    NORNI_A(softmax_attrs, opset, INT, .flags = NORNI_ATTR_REQUIRED, .lo = 1, .hi = 1000), NORNI_A_END};

static norn_status infer_softmax(norni_infer *c) {
    int axis;
    c->out[0] = *norni_in_type(c, 0);
    NORNI_TRY(norni_check_singles(c, (const int[]){1, 2, 3, 4, -1}));
    return c->out[0].rank < 0 ? NORN_OK
                              : norni_axis(((const softmax_attrs *)c->attrs)->axis, c->out[0].rank, &axis);
}

static norn_status expand_softmax(norn_graph *g, const norn_node *node, norn_value **out) {
    const softmax_attrs *a = node->attrs;
    norn_value *const *in = node->in, *x = norni_dequantise(g, in[0], in[1], norni_optional(node, 2));
    int axis;
    if (in[0]->type.rank < 0)
        return norni_fail(NORN_UNSUPPORTED, "the rank is not known");
    NORNI_TRY(norni_axis(a->axis, in[0]->type.rank, &axis));
    if (a->opset >= 13)
        x = NORNI_OP1(g, x, "Softmax<axis=%d>", axis);
    else
        x = NORNI_OP2(g, NORNI_OP1(g, NORNI_OP1(g, x, "Flatten<axis=%d>", axis), "Softmax<axis=1>"),
                      NORNI_OP1(g, in[0], "Shape"), "Reshape");
    /* ONNX Runtime multiplies by the whole part of 1 / y_scale: 254, where the quantiser wrote 1/255. */
    norn_value *one = norni_scalar_const(g, NORN_F32, 1);
    norn_value *steps = NORNI_OP1(g, NORNI_OP2(g, one, in[3], "Div"), "Floor");
    if (steps && steps->type.rank)
        steps = NORNI_OP2(g, steps, norni_i64_const(g, 0, NULL), "Reshape");
    out[0] = norni_quantise(g, NORNI_OP2(g, x, steps, "Mul"), one, in[4], in[4]->type.dtype);
    return norn_graph_status(g);
}

/* ---- QLinearWhere. */
static norn_status infer_where(norni_infer *c) {
    norni_type y = *norni_in_type(c, 1);
    NORNI_TRY(norni_check_singles(c, (const int[]){2, 3, 5, 6, 7, 8, -1}));
    NORNI_TRY(norni_broadcast(c->g, &y, norni_in_type(c, 4)));
    NORNI_TRY(norni_broadcast(c->g, &y, norni_in_type(c, 0)));
    y.dtype = norni_in_type(c, 8)->dtype;
    c->out[0] = y;
    return NORN_OK;
}

static norn_status expand_where(norn_graph *g, const norn_node *node, norn_value **out) {
    norn_value *const *in = node->in;
    norn_dtype t = in[8]->type.dtype;
    norn_value *x = norni_quantise(g, norni_dequantise(g, in[1], in[2], in[3]), in[7], in[8], t),
               *y = norni_quantise(g, norni_dequantise(g, in[4], in[5], in[6]), in[7], in[8], t);
    out[0] = NORNI_OP3(g, in[0], x, y, "Where");
    return norn_graph_status(g);
}

/* ---- QLinearReduceMean. */
typedef struct {
    norni_ints axes;
    int64_t keepdims;
} mean_attrs;
static const norni_attr mean_table[] = {
    NORNI_A(mean_attrs, axes, INTS, .flags = NORNI_ATTR_REQUIRED),
    NORNI_A(mean_attrs, keepdims, INT, .flags = NORNI_ATTR_REQUIRED, .lo = 0, .hi = 1), NORNI_A_END};

static norn_status infer_mean(norni_infer *c) {
    const mean_attrs *a = c->attrs;
    const norni_type *x = norni_in_type(c, 0);
    norni_type y = *x;
    unsigned reduced = 0;
    NORNI_TRY(norni_check_singles(c, (const int[]){1, 2, 3, 4, -1}));
    y.dtype = norni_type_of_zero(c->node, 4, 0);
    for (int i = 0; i < a->axes.n && x->rank >= 0; i++) {
        int axis;
        NORNI_TRY(norni_axis(a->axes.v[i], x->rank, &axis));
        reduced |= 1u << axis;
    }
    y.rank = x->rank < 0 ? -1 : 0;
    for (int i = 0; i < x->rank; i++)
        if (!(reduced >> i & 1 || !a->axes.n) || a->keepdims)
            y.dims[y.rank++] = reduced >> i & 1 || !a->axes.n ? 1 : x->dims[i];
    c->out[0] = y;
    return NORN_OK;
}

static norn_status expand_mean(norn_graph *g, const norn_node *node, norn_value **out) {
    const mean_attrs *a = node->attrs;
    norn_value *const *in = node->in, *x = norni_dequantise(g, in[0], in[1], norni_optional(node, 2));
    x = NORNI_OP2(g, x, norni_i64_const(g, a->axes.n, a->axes.v), "ReduceMean<keepdims=%d>",
                  (int)a->keepdims);
    out[0] = norni_quantise(g, x, in[3], norni_optional(node, 4), norni_type_of_zero(node, 4, 0));
    return norn_graph_status(g);
}

/* ---- Descriptors. */
const norn_op norni_op_QLinearSoftmax = {
    .domain = "com.microsoft",
    .name = "QLinearSoftmax",
    .doc = "softmax of a quantised tensor",
    .versions = (const int[]){1, 0},
    .attrs_bytes = sizeof(softmax_attrs),
    .attrs = softmax_table,
    .infer = infer_softmax,
    .expand = expand_softmax,
    .grad = norni_no_gradient,
    .inputs = (const norni_param[]){{"X", N, BYTES, 'T'},
                                    {"X_scale", N, F32S, 0},
                                    {"x_zero_point", O, BYTES, 'T'},
                                    {"y_scale", N, F32S, 0},
                                    {"y_zero_point", N, BYTES, 'T'},
                                    {0}},
    .outputs = (const norni_param[]){{"Y", 0, BYTES, 'T'}, {0}},
    .cases = (const char *const[]){
        "com.microsoft.QLinearSoftmax<opset=13, axis=1>(uint8[2,7,5], float[]{0.05}, uint8[]{100}, "
        "float[]{0.004}, uint8[]{3})",
        "com.microsoft.QLinearSoftmax<opset=12, axis=-2>(int8[2,7,5], float[]{0.05}, _, float[]{0.001}, "
        "int8[]{-128})",
        "com.microsoft.QLinearSoftmax<opset=13>(uint8[3,37], float[]{0.05}, uint8[]{1}, float[]{0.004}, "
        "uint8[]{0})",
        NULL}};
const norn_op norni_op_QLinearWhere = {
    .domain = "com.microsoft",
    .name = "QLinearWhere",
    .doc = "one of two quantised tensors where a condition says so",
    .versions = (const int[]){1, 0},
    .infer = infer_where,
    .expand = expand_where,
    .grad = norni_no_gradient,
    .inputs = (const norni_param[]){{"condition", N, NORNI_BOOLS, 0},
                                    {"X", N, BYTES, 'T'},
                                    {"x_scale", N, F32S, 0},
                                    {"x_zero_point", N, BYTES, 'T'},
                                    {"Y", N, BYTES, 'T'},
                                    {"y_scale", N, F32S, 0},
                                    {"y_zero_point", N, BYTES, 'T'},
                                    {"z_scale", N, F32S, 0},
                                    {"z_zero_point", N, BYTES, 'T'},
                                    {0}},
    .outputs = (const norni_param[]){{"Z", 0, BYTES, 'T'}, {0}},
    .cases = (const char *const[]){
        "com.microsoft.QLinearWhere(bool[3,1], uint8[2,3,5], float[]{0.02}, uint8[]{100}, uint8[5], "
        "float[]{0.03}, uint8[]{7}, float[]{0.04}, uint8[]{120})",
        "com.microsoft.QLinearWhere(bool[37], int8[37], float[]{0.02}, int8[]{0}, int8[], float[]{0.03}, "
        "int8[]{1}, float[]{0.01}, int8[]{-2})",
        NULL}};
const norn_op norni_op_QLinearReduceMean = {
    .domain = "com.microsoft",
    .name = "QLinearReduceMean",
    .doc = "means of a quantised tensor along axes",
    .versions = (const int[]){1, 0},
    .attrs_bytes = sizeof(mean_attrs),
    .attrs = mean_table,
    .infer = infer_mean,
    .expand = expand_mean,
    .grad = norni_no_gradient,
    .inputs = (const norni_param[]){{"data", N, BYTES, 'T'},
                                    {"data_scale", N, F32S, 0},
                                    {"data_zero_point", O, BYTES, 'T'},
                                    {"reduced_scale", N, F32S, 0},
                                    {"reduced_zero_point", O, BYTES, 'T'},
                                    {0}},
    .outputs = (const norni_param[]){{"reduced", 0, BYTES, 'T'}, {0}},
    .cases = (const char *const[]){
        "com.microsoft.QLinearReduceMean<axes=[1,-1], keepdims=1>(uint8[2,7,5], float[]{0.05}, uint8[]{100}, "
        "float[]{0.03}, uint8[]{3})",
        "com.microsoft.QLinearReduceMean<axes=[0], keepdims=0>(int8[7,37], float[]{0.05}, _, float[]{0.03})",
        NULL}};
