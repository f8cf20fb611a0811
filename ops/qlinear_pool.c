/* SPDX-License-Identifier: Apache-2.0 */
/* Pooling of quantised tensors, in floats between a dequantised input and a quantised output. Source: ONNX Runtime's documentation
 * of contrib operators. */
#include "ops/qlinear.h"
#include "ops/window.h"

/* ---- com.microsoft.QLinearGlobalAveragePool. */
typedef struct {
    int64_t channels_last;
} global_attrs;
static const norni_attr global_table[] = {
    NORNI_A(global_attrs, channels_last, INT, .flags = NORNI_ATTR_REQUIRED, .lo = 0, .hi = 1), NORNI_A_END};

static norn_status infer_global(norni_infer *c) {
    norni_type y = *norni_in_type(c, 0);
    int first = ((const global_attrs *)c->attrs)->channels_last ? 1 : 2;
    NORNI_TRY(norni_check_singles(c, (const int[]){1, 2, 3, 4, -1}));
    if (y.rank >= 0 && y.rank < 3)
        return norni_fail(NORN_SHAPE, "X has rank %d (wanted 3 or more)", y.rank);
    for (int i = 0; i < y.rank - 2; i++)
        y.dims[first + i] = 1;
    c->out[0] = y;
    return NORN_OK;
}
static norn_status expand_global(norn_graph *g, const norn_node *node, norn_value **out) {
    norn_value *const *in = node->in;
    int64_t axes[NORN_MAX_RANK];
    int n = in[0]->type.rank - 2, first = ((const global_attrs *)node->attrs)->channels_last ? 1 : 2;
    if (n < 1)
        return norni_fail(NORN_UNSUPPORTED, "the rank is not known");
    for (int i = 0; i < n; i++)
        axes[i] = first + i;
    norn_value *x = norni_dequantise(g, in[0], in[1], norni_optional(node, 2));
    x = NORNI_OP2(g, x, norni_i64_const(g, n, axes), "ReduceMean<keepdims=1>");
    out[0] = norni_quantise(g, x, in[3], norni_optional(node, 4), norni_type_of_zero(node, 4, 0));
    return norn_graph_status(g);
}

/* ---- com.microsoft.QLinearAveragePool: in floats. */
typedef struct {
    norni_window_attrs window;
    int64_t ceil_mode, count_include_pad, channels_last;
} pool_attrs;
static const norni_attr pool_table[] = {NORNI_WINDOW_ROWS(pool_attrs),
                                        {.name = "kernel_shape",
                                         .kind = NORNI_ATTR_INTS,
                                         .offset = offsetof(pool_attrs, window.kernel_shape),
                                         .flags = NORNI_ATTR_REQUIRED,
                                         .lo = 1,
                                         .hi = INT32_MAX},
                                        NORNI_A_INT(pool_attrs, ceil_mode, 0, .lo = 0, .hi = 1),
                                        NORNI_A_INT(pool_attrs, count_include_pad, 0, .lo = 0, .hi = 1),
                                        NORNI_A_INT(pool_attrs, channels_last, 0, .lo = 0, .hi = 1),
                                        NORNI_A_END};

norn_value *norni_move_channels(norn_graph *g, norn_value *x, bool first) {
    norni_str perm = {0};
    int rank = x ? x->type.rank : 0;
    for (int i = 0; i < rank; i++) {
        int from = i == 0 ? 0 : first ? (i == 1 ? rank - 1 : i - 1) : (i == rank - 1 ? 1 : i + 1);
        norni_str_addf(&perm, "%s%d", i ? "," : "", from);
    }
    x = perm.s ? NORNI_OP1(g, x, "Transpose<perm=[%s]>", perm.s) : x;
    norni_str_free(&perm);
    return x;
}

static norn_status infer_pool(norni_infer *c) {
    const pool_attrs *a = c->attrs;
    norni_type x = *norni_in_type(c, 0), y = x;
    norni_dim kernel[NORNI_WINDOW_DIMS];
    norni_window_attrs window = a->window;
    int rank, first = a->channels_last ? 1 : 2;
    window.dilations.n = -1; /* there are none */
    NORNI_TRY(norni_check_singles(c, (const int[]){1, 2, 3, 4, -1}));
    if (x.rank < 0)
        return NORN_OK;
    NORNI_TRY(norni_window_rank(&x, &rank));
    NORNI_TRY(norni_window_check(&window, rank));
    for (int i = 0; i < rank; i++)
        kernel[i] = a->window.kernel_shape.v[i];
    NORNI_TRY(
        norni_window_infer(c->g, &window, rank, x.dims + first, kernel, a->ceil_mode != 0, y.dims + first));
    c->out[0] = y;
    return NORN_OK;
}

static void add_list(norni_str *s, const char *name, const norni_ints *v) {
    for (int i = 0; i < v->n; i++)
        norni_str_addf(s, "%s%s%lld%s", i ? "" : name, i ? "," : "=[", (long long)v->v[i],
                       i + 1 < v->n ? "" : "], ");
}

static norn_status expand_pool(norn_graph *g, const norn_node *node, norn_value **out) {
    const pool_attrs *a = node->attrs;
    norn_value *const *in = node->in, *x = norni_dequantise(g, in[0], in[1], norni_optional(node, 2));
    norni_str text = {0};
    if (a->channels_last)
        x = norni_move_channels(g, x, true);
    add_list(&text, "kernel_shape", &a->window.kernel_shape);
    add_list(&text, "strides", &a->window.strides);
    add_list(&text, "pads", &a->window.pads);
    norni_str_addf(&text, "auto_pad=\"%s\", ceil_mode=%d, count_include_pad=%d",
                   norni_auto_pads[a->window.auto_pad], (int)a->ceil_mode, (int)a->count_include_pad);
    x = text.failed ? norni_graph_failed(g, norni_nomem()) : NORNI_OP1(g, x, "AveragePool<%s>", text.s);
    norni_str_free(&text);
    if (a->channels_last)
        x = norni_move_channels(g, x, false);
    out[0] = norni_quantise(g, x, in[3], norni_optional(node, 4), norni_type_of_zero(node, 4, 0));
    return norn_graph_status(g);
}

OP(QLinearGlobalAveragePool, MS, "mean of each channel of a quantised tensor", (1),
   ATTRS(global_attrs, global_table), .infer = infer_global, .expand = expand_global,
   .inputs = PARAMS({"X", N, BYTES, 'T'}, {"x_scale", N, F32S, 0}, {"x_zero_point", O, BYTES, 'T'},
                    {"y_scale", N, F32S, 0}, {"y_zero_point", O, BYTES, 'T'}),
   .outputs = PARAMS({"Y", 0, BYTES, 'T'}),
   CASES("com.microsoft.QLinearGlobalAveragePool<channels_last=0>(uint8[2,3,5,7], float[]{0.02}, uint8[]{3}, "
         "float[]{0.01}, uint8[]{9})",
         "com.microsoft.QLinearGlobalAveragePool<channels_last=1>(int8[2,5,7,3], float[]{0.02}, _, "
         "float[]{0.01})"));
OP(QLinearAveragePool, MS, "means over windows of a quantised tensor", (1), ATTRS(pool_attrs, pool_table),
   .infer = infer_pool, .expand = expand_pool,
   .inputs = PARAMS({"X", N, BYTES, 'T'}, {"x_scale", N, F32S, 0}, {"x_zero_point", O, BYTES, 'T'},
                    {"y_scale", N, F32S, 0}, {"y_zero_point", O, BYTES, 'T'}),
   .outputs = PARAMS({"Y", 0, BYTES, 'T'}),
   CASES("com.microsoft.QLinearAveragePool<kernel_shape=[3,2], strides=[2,1], pads=[1,0,1,1], "
         "count_include_pad=1>(uint8[2,3,5,7], "
         "float[]{0.02}, uint8[]{3}, float[]{0.01}, uint8[]{9})",
         "com.microsoft.QLinearAveragePool<kernel_shape=[2,2], strides=[2,2], ceil_mode=1, "
         "channels_last=1>(int8[2,5,7,3], float[]{0.02}, _, "
         "float[]{0.01})",
         "com.microsoft.QLinearAveragePool<kernel_shape=[3], auto_pad=\"SAME_UPPER\">(uint8[2,3,9], "
         "float[]{0.02}, uint8[]{3}, float[]{0.02}, uint8[]{3})"));
