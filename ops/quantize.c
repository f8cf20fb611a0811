/* SPDX-License-Identifier: Apache-2.0 */
/* QuantizeLinear: y = saturate(round(x / scale) + zero point), rounded to even; DequantizeLinear: y = (x - zero point) *
 * scale. One scale for all elements, one for each place along an axis, or one for each block of elements along it. The
 * quotient has the precision of the scale's type. The operators of these names in com.microsoft are the same. Sources: ONNX
 * QuantizeLinear-25, DequantizeLinear-25; ONNX Runtime's documentation of contrib operators. */
#include "base/half.h"
#include "ops/interpolate.h"
#include "ops/recode.h"
#include <math.h>
#include <string.h>

typedef struct {
    int64_t axis, block_size, saturate;
    norn_dtype output_dtype, precision;
} attrs;
#define COMMON(since_block)                                                                                  \
    NORNI_A_INT(attrs, axis, 1, .since = 13 * ((since_block) > 1)),                                          \
        NORNI_A_INT(attrs, block_size, 0, .lo = 0, .hi = INT32_MAX, .since = (since_block))
static const norni_attr quantize_table[] = {COMMON(21),
                                            NORNI_A_INT(attrs, saturate, 1, .lo = 0, .hi = 1, .since = 19),
                                            NORNI_A(attrs, output_dtype, DTYPE, .since = 21),
                                            NORNI_A(attrs, precision, DTYPE, .since = 23), NORNI_A_END};
static const norni_attr dequantize_table[] = {COMMON(21), NORNI_A(attrs, output_dtype, DTYPE, .since = 23),
                                              NORNI_A_END};
static const norni_attr ms_quantize_table[] = {COMMON(1), NORNI_A_INT(attrs, saturate, 1, .lo = 0, .hi = 1),
                                               NORNI_A(attrs, output_dtype, DTYPE), NORNI_A_END};
static const norni_attr ms_dequantize_table[] = {COMMON(1), NORNI_A(attrs, output_dtype, DTYPE), NORNI_A_END};

static bool quantizes(const norn_node *node) {
    return node->op->name[0] == 'Q';
}
static bool has_zero(const norn_node *node) {
    return node->n_in > 2 && node->in[2];
}

/* ---- Shapes. */
static norn_status check_scale(const norni_type *x, const norni_type *s, const attrs *a, const char *name) {
    int axis;
    if (s->rank < 0 || x->rank < 0 || s->rank == 0 || (s->rank == 1 && s->dims[0] == 1 && !a->block_size))
        return NORN_OK;
    NORNI_TRY(norni_axis(a->axis, x->rank, &axis));
    if (s->rank == 1 && !a->block_size) {
        if (s->dims[0] >= 0 && x->dims[axis] >= 0 && s->dims[0] != x->dims[axis])
            return norni_fail(NORN_SHAPE, "%s has %lld elements (wanted %lld, as axis %d)", name,
                              (long long)s->dims[0], (long long)x->dims[axis], axis);
        return NORN_OK;
    }
    if (s->rank != x->rank)
        return norni_fail(NORN_SHAPE, "%s has rank %d (wanted 0, 1 or %d)", name, s->rank, x->rank);
    if (!a->block_size)
        return norni_fail(NORN_ARG, "%s has rank %d and block_size is 0 (wanted above 0)", name, s->rank);
    for (int i = 0; i < x->rank; i++) {
        int64_t want =
            i == axis && x->dims[i] >= 0 ? (x->dims[i] + a->block_size - 1) / a->block_size : x->dims[i];
        if (want >= 0 && s->dims[i] >= 0 && s->dims[i] != want)
            return norni_fail(NORN_SHAPE, "%s has size %lld in dimension %d (wanted %lld)", name,
                              (long long)s->dims[i], i, (long long)want);
    }
    return NORN_OK;
}

static norn_status infer(norni_infer *c) {
    const attrs *a = c->attrs;
    const norni_type *x = norni_in_type(c, 0), *s = norni_in_type(c, 1), *z = norni_in_type(c, 2);
    bool quantize = quantizes(c->node);
    norn_dtype t;
    NORNI_TRY(check_scale(x, s, a, norni_op_input(c->node->op, 1)->name));
    if (z)
        NORNI_TRY(check_scale(x, z, a, norni_op_input(c->node->op, 2)->name));
    if (z && norni_type_static(z) && norni_type_static(s) && norni_type_elems(z) != norni_type_elems(s))
        return norni_fail(NORN_SHAPE, "scale has %lld elements, zero point has %lld (wanted equal)",
                          (long long)norni_type_elems(s), (long long)norni_type_elems(z));
    if (quantize) {
        t = z ? z->dtype : a->output_dtype != NORN_UNDEFINED ? a->output_dtype : NORN_U8;
        if (z && a->output_dtype != NORN_UNDEFINED && a->output_dtype != z->dtype)
            return norni_fail(NORN_DTYPE, "output_dtype is %s, the zero point has %s (wanted equal)",
                              norni_dtype_name(a->output_dtype), norni_dtype_name(z->dtype));
        if (a->precision != NORN_UNDEFINED && a->precision != NORN_F32 && a->precision != NORN_F16 &&
            a->precision != NORN_BF16)
            return norni_fail(NORN_DTYPE, "precision %s (wanted float, float16, bfloat16)",
                              norni_dtype_name(a->precision));
    } else {
        t = a->output_dtype != NORN_UNDEFINED ? a->output_dtype : s->dtype;
        if (z && x->dtype != z->dtype)
            return norni_fail(NORN_DTYPE, "x has type %s, the zero point has %s (wanted equal)",
                              norni_dtype_name(x->dtype), norni_dtype_name(z->dtype));
    }
    if (t != NORN_UNDEFINED && !(c->node->op->outputs[0].types & NORNI_T(t)))
        return norni_fail(NORN_DTYPE, "an output of type %s", norni_dtype_name(t));
    c->out[0] = *x;
    c->out[0].dtype = t;
    return NORN_OK;
}

/* Which scale element i of x has; see recode.cl. */
typedef struct {
    int64_t n, axis, inner, block, blocks;
    bool blocked;
} layout;

static layout layout_of(const norn_node *node) {
    const attrs *a = node->attrs;
    const norni_type *x = &node->in[0]->type, *s = &node->in[1]->type;
    int axis = 0;
    layout l = {norni_type_elems(x), 1, 1, 1, 1, false};
    if ((norni_type_elems(s) == 1 && s->rank <= 1 && !(a->block_size && s->rank)) ||
        norni_axis(a->axis, x->rank, &axis) != NORN_OK)
        return l;
    l.axis = x->dims[axis];
    l.inner = norni_elems(x->rank - axis - 1, x->dims + axis + 1);
    l.blocked = a->block_size > 0 && s->rank == x->rank;
    l.block = l.blocked ? a->block_size : 1;
    l.blocks = (l.axis + l.block - 1) / l.block;
    return l;
}

static int64_t scale_at(const layout *l, int64_t i) {
    if (l->blocked)
        return (i / l->inner / l->axis * l->blocks + i / l->inner % l->axis / l->block) * l->inner +
               i % l->inner;
    return l->axis == 1 ? 0 : i / l->inner % l->axis;
}

static norn_dtype precision_of(const norn_node *node) {
    const attrs *a = node->attrs;
    return a->precision != NORN_UNDEFINED ? a->precision : node->in[1]->type.dtype;
}

/* ---- Host reference. */
static double get(const norn_tensor *t, int64_t i) {
    return norni_get_double(t->dtype, norni_tensor_data(t), i);
}

/* A float8e8m0 as the power of two that it is. */
static norn_status eval(norni_eval *e) {
    const attrs *a = e->attrs;
    const norn_tensor *x = e->in[0], *s = e->in[1], *z = has_zero(e->node) ? e->in[2] : NULL, *y = e->out[0];
    layout l = layout_of(e->node);
    norn_dtype p = precision_of(e->node);
    bool integer = norni_dtype_is_int(y->dtype);
    int bits = norni_dtype_bits(y->dtype);
    double low = norni_dtype_class(y->dtype) == NORNI_CLASS_INT ? -ldexp(1, bits - 1) : 0;
    double high = ldexp(1, low < 0 ? bits - 1 : bits) - 1;
    for (int64_t i = 0; i < l.n; i++) {
        int64_t at = scale_at(&l, i);
        if (!quantizes(e->node)) {
            float d = (float)(get(x, i) - (z ? get(z, at) : 0));
            norni_set_double(y->dtype, norni_tensor_data(y), i, (double)(d * (float)get(s, at)));
            continue;
        }
        double q = (double)((float)get(x, i) / (float)get(s, at));
        q = p == NORN_F16    ? norni_f16_to(norni_f16_from(q))
            : p == NORN_BF16 ? norni_bf16_to(norni_bf16_from(q))
                             : q;
        if (!integer) {
            if (y->dtype == NORN_F4E2M1 && z)
                q += get(z, at);
            norni_set_rounded(y->dtype, norni_tensor_data(y), i, q, a->saturate != 0, NORNI_ROUND_UP);
            continue;
        }
        q = isnan(q) ? low : nearbyint(q) + (z ? get(z, at) : 0);
        norni_set_double(y->dtype, norni_tensor_data(y), i, q < low ? low : q > high ? high : q);
    }
    return NORN_OK;
}

/* ---- Device. */
static norn_status emit(norni_emit *e) {
    const norn_node *node = e->node;
    const attrs *a = node->attrs;
    const norni_type *x = &node->in[0]->type, *y = &node->out[0]->type;
    bool quantize = quantizes(node), zero = has_zero(node), cpu = norni_device_is_cpu(e->device);
    layout l = layout_of(node);
    if (!l.n)
        return e->status;
    norn_dtype real = quantize ? x->dtype : y->dtype, whole = quantize ? y->dtype : x->dtype;
    bool vectors =
        norni_dtype_is_int(whole) && norni_dtype_bits(whole) >= 8 && norni_dtype_bits(whole) <= 16 &&
        (quantize ? real == NORN_F32 || real == NORN_F16 || real == NORN_BF16 : real == NORN_F32) &&
        !l.blocked && (l.axis == 1 || l.inner >= 16) && !(quantize && precision_of(node) != NORN_F32);
    norni_step *s = norni_emit_recode(e, quantize ? "quantize" : "dequantize", x->dtype, y->dtype);
    norni_step_define(e, s, "SCALE_T", node->in[1]->type.dtype);
    norni_step_define(e, s, "SATURATE", a->saturate || !quantize);
    if (quantize)
        norni_step_define(e, s, "PRECISION", precision_of(node));
    norni_step_define(e, s, "W", !vectors ? 1 : cpu ? 16 : 4);
    if (zero)
        norni_step_define(e, s, "ZERO", 1);
    if (l.blocked)
        norni_step_define(e, s, "BLOCKED", 1);
    norni_step_buffer(e, s, norni_emit_in(e, 0), NORNI_READ);
    norni_step_buffer(e, s, norni_emit_in(e, 1), NORNI_READ);
    norni_step_buffer(e, s, norni_emit_in(e, zero ? 2 : 1), NORNI_READ);
    norni_step_buffer(e, s, norni_emit_out(e, 0), NORNI_WRITE);
    int64_t each = norni_recode_each(e, l.n);
    const int64_t args[] = {l.n, each, l.axis, l.inner, l.block, l.blocks};
    norni_step_i64s(e, s, sizeof args / sizeof *args, args);
    norni_step_items(e, s, 1, (l.n + each - 1) / each, 1, 1);
    return e->status;
}

static const norni_impl impls[] = {{.name = "recode", .emit = emit}, {0}};

/* ---- Older opsets have fewer ways to choose the scale. */
static norn_status lower(norni_adapt *a) {
    norn_node *node = a->node;
    const attrs *at = node->attrs;
    const norni_type *s = &node->in[1]->type;
    if (a->version < 21 && at->block_size)
        return norni_fail(NORN_UNSUPPORTED, "blocks are new in opset 21");
    if (a->version < 13 && s->rank == 1 && s->dims[0] != 1)
        return norni_fail(NORN_UNSUPPORTED, "scales along an axis are new in opset 13");
    if (quantizes(node) && a->version < 21 && !has_zero(node) && at->output_dtype != NORN_UNDEFINED &&
        at->output_dtype != NORN_U8) {
        node->in[2] =
            norni_fill_const(a->g, &(norni_type){at->output_dtype, s->rank, {s->rank ? s->dims[0] : 1}}, 0);
        node->n_in = 3;
    }
    if (a->version < 21)
        ((attrs *)node->attrs)->output_dtype = NORN_UNDEFINED;
    if (quantizes(node) && a->version < 23 && at->precision != NORN_UNDEFINED && at->precision != s->dtype)
        return norni_fail(NORN_UNSUPPORTED, "precision is new in opset 23");
    if (a->version < 23)
        ((attrs *)node->attrs)->precision = NORN_UNDEFINED;
    return norn_graph_status(a->g);
}

/* ds = sum of dy (x - zero) over the elements that have the scale. */
static norn_value *sum_blocks(norn_graph *g, norn_value *v, int axis, int64_t block) {
    norni_taps t;
    int64_t n = v ? v->type.dims[axis] : 0, blocks = (n + block - 1) / block;
    norn_status s =
        n < 0 ? norni_fail(NORN_SHAPE, "the size of axis %d is not known; bind the sizes first", axis)
              : norni_taps_alloc(block, blocks, true, &t);
    if (s != NORN_OK)
        return norni_graph_failed(g, s);
    for (int64_t k = 0; k < block * blocks; k++) {
        int64_t at = k % blocks * block + k / blocks;
        t.index[k] = at < n ? (int32_t)at : -1;
        t.weight[k] = 1;
    }
    v = norni_interpolate(g, v, axis, &t);
    norni_taps_free(&t);
    return v;
}

static void grad_dequantize(norni_grad *c) {
    const norn_node *node = c->node;
    const attrs *a = node->attrs;
    norn_graph *g = c->g;
    norn_value *dy = c->dy[0], *x = node->in[0], *s = node->in[1];
    int64_t axes[NORN_MAX_RANK];
    int axis = 0, n = 0, rank = x->type.rank;
    if (!c->want[1])
        return;
    if (s->type.rank < 0 || rank < 0) {
        norni_graph_failed(g, norni_fail(NORN_SHAPE, "the rank is not known"));
        return;
    }
    bool blocks = a->block_size && s->type.rank == rank && rank,
         along = !blocks && s->type.rank == 1 && s->type.dims[0] != 1;
    if ((along || blocks) && norni_axis(a->axis, rank, &axis) != NORN_OK)
        return;
    norn_value *one = NORNI_OP2(g, norni_scalar_const(g, NORN_F32, 1), norni_shape_value(g, s), "Expand");
    norn_value *in[] = {x, one, has_zero(node) ? node->in[2] : NORNI_NONE};
    norn_value *v = norni_opf(g, 3, in, "DequantizeLinear<axis=%d, block_size=%d>", axis,
                              blocks ? (int)a->block_size : 0);
    v = NORNI_OP2(g, v, norni_cast(g, dy, NORN_F32), "Mul");
    for (int i = 0; i < rank && !blocks; i++)
        if (!along || i != axis)
            axes[n++] = i;
    if (n)
        v = NORNI_OP2(g, v, norni_i64_const(g, n, axes), "ReduceSum<keepdims=0>");
    v = blocks ? sum_blocks(g, v, axis, a->block_size)
               : NORNI_OP2(g, v, norni_shape_value(g, s), "Reshape<allowzero=1>");
    c->dx[1] = norni_cast(g, v, s->type.dtype);
}

static void cost(const norn_node *node, norni_cost *c) {
    c->flops = 3 * (double)norni_type_elems(&node->in[0]->type);
}

#define F4(a, b, c, d) (NORNI_T(a) | NORNI_T(b) | NORNI_T(c) | NORNI_T(d))
#define REALS          (NORNI_T(NORN_F32) | NORNI_T(NORN_F16) | NORNI_T(NORN_BF16))
#define CODES          (F4(NORN_I8, NORN_U8, NORN_I16, NORN_U16) | (NORNI_SMALL & ~NORNI_T(NORN_F8E8M0)))
#define LINEAR(id, in_domain, in_name, p, x_flags, with_table, in_types, scale_types, zero_var, zero_types,  \
               out_types, ...)                                                                               \
    const norn_op norni_op_##id = {                                                                          \
        .domain = in_domain,                                                                                 \
        .name = in_name,                                                                                     \
        .inputs = (const norni_param[]){{"x", x_flags, in_types, zero_var},                                  \
                                        {p "_scale", 0, scale_types, 0},                                     \
                                        {p "_zero_point", NORNI_OPT | NORNI_NODIFF, zero_types, zero_var},   \
                                        {0}},                                                                \
        .outputs = (const norni_param[]){{"y", 0, out_types, 0}, {0}},                                       \
        .attrs_bytes = sizeof(attrs),                                                                        \
        .attrs = with_table,                                                                                 \
        .infer = infer,                                                                                      \
        .eval = eval,                                                                                        \
        .impls = impls,                                                                                      \
        .cost = cost,                                                                                        \
        __VA_ARGS__}
LINEAR(
    QuantizeLinear, "", "QuantizeLinear", "y", 0, quantize_table, REALS | NORNI_T(NORN_I32),
    REALS | NORNI_T(NORN_I32) | NORNI_T(NORN_F8E8M0), 0, CODES, CODES,
    .versions = (const int[]){10, 13, 19, 21, 23, 24, 25, 28, 0}, .lower = lower, .grad = norni_no_gradient,
    .doc = "x / scale + zero point, rounded to even and saturated",
    .cases = (const char *const[]){
        "QuantizeLinear(float[3,37], float[]{0.017}, uint8[]{100})",
        "QuantizeLinear(float[3,37], float[1]{0.013}, int8[1]{-5})",
        "QuantizeLinear(float[2,3,20], float[3]{0.01,0.02,0.3}, int16[3]{0,10,-10})",
        "QuantizeLinear<axis=-1>(float[2,3], float[3]{0.01,0.02,0.3}, uint16[3])",
        "QuantizeLinear<axis=0>(float16[2,19], float16[2]{0.01,0.25})",
        "QuantizeLinear<output_dtype=3>(bfloat16[40], float[]{0.02})",
        "QuantizeLinear<output_dtype=22>(float[3,5], float[]{0.1})",
        "QuantizeLinear<axis=1, block_size=3>(float[2,8], float[2,3]{0.1,0.2,0.3,0.4,0.5,0.6}, uint4[2,3])",
        "QuantizeLinear<axis=0, block_size=2>(float[4,3], float[2,3]{0.1,0.2,0.3,0.4,0.5,0.6}, int8[2,3])",
        "QuantizeLinear<output_dtype=17, saturate=0>(float[37], float[]{0.001})",
        "QuantizeLinear<output_dtype=20>(float[37], float[]{0.1})",
        "QuantizeLinear<output_dtype=23>(float[9], float[]{0.1})",
        "QuantizeLinear<output_dtype=26>(float[9], float[]{0.5})",
        "QuantizeLinear<precision=10>(float[37], float[]{0.01}, int8[]{3})",
        "QuantizeLinear(int32[7], int32[]{3}, int8[]{1})",
        "QuantizeLinear(float[0,3], float[3]{1.0,1.0,1.0})", "QuantizeLinear(float[], float[]{0.125})",
        NULL});
LINEAR(
    DequantizeLinear, "", "DequantizeLinear", "x", NORNI_NODIFF, dequantize_table, CODES | NORNI_T(NORN_I32),
    REALS | NORNI_T(NORN_F8E8M0), 'T', CODES | NORNI_T(NORN_I32), REALS,
    .versions = (const int[]){10, 13, 19, 21, 23, 24, 25, 28, 0}, .lower = lower, .grad = grad_dequantize,
    .doc = "(x - zero point) * scale",
    .cases = (const char *const[]){
        "DequantizeLinear(uint8[3,37], float[], uint8[]{100})",
        "DequantizeLinear(int8[2,3,20], float[3], int8[3])",
        "DequantizeLinear<axis=-1>(int16[2,3], float[3])", "DequantizeLinear(int32[37], float[1])",
        "DequantizeLinear<axis=0>(uint16[2,19], float16[2], uint16[2])",
        "DequantizeLinear<output_dtype=1>(int8[37], bfloat16[])",
        "DequantizeLinear(int4[3,5], float[], int4[]{3})",
        "DequantizeLinear<axis=1, block_size=3>(uint4[2,8], float[2,3]{0.1,0.2,0.3,0.4,0.5,0.6}, uint4[2,3])",
        "DequantizeLinear<axis=0, block_size=2>(int8[4,3], float[2,3]{0.1,0.2,0.3,0.4,0.5,0.6})",
        "DequantizeLinear(float8e4m3fn[37], float[])", "DequantizeLinear(float4e2m1[9], float[])",
        "DequantizeLinear(int2[9], float[], int2[])", "DequantizeLinear(int8[0,3], float[3])",
        "DequantizeLinear(uint8[], float[])", "DequantizeLinear<output_dtype=1>(float4e2m1[9], float8e8m0[])",
        NULL});
#define MS_CODES (F4(NORN_I8, NORN_U8, NORN_I16, NORN_U16) | NORNI_T(NORN_I4) | NORNI_T(NORN_U4))
LINEAR(MsQuantizeLinear, "com.microsoft", "QuantizeLinear", "y", 0, ms_quantize_table, REALS, REALS, 0,
       MS_CODES, MS_CODES, .versions = (const int[]){1, 0}, .grad = norni_no_gradient,
       .doc = "as ONNX's QuantizeLinear",
       .cases =
           (const char *const[]){
               "com.microsoft.QuantizeLinear(float[3,37], float[]{0.017}, uint16[]{100})",
               "com.microsoft.QuantizeLinear<axis=0>(float16[2,19], float16[2]{0.01,0.25}, int8[2])",
               "com.microsoft.QuantizeLinear<axis=1, block_size=3, output_dtype=3, saturate=1>(float[2,8], "
               "float[2,3]{0.1,0.2,0.3,0.4,0.5,0.6})",
               NULL},
       .untested_attrs = "saturate");
LINEAR(MsDequantizeLinear, "com.microsoft", "DequantizeLinear", "x", NORNI_NODIFF, ms_dequantize_table,
       MS_CODES | NORNI_T(NORN_I32), REALS, 'T', MS_CODES | NORNI_T(NORN_I32), REALS,
       .versions = (const int[]){1, 0}, .grad = grad_dequantize, .doc = "as ONNX's DequantizeLinear",
       .cases = (const char *const[]){
           "com.microsoft.DequantizeLinear(uint16[3,37], float[], uint16[]{100})",
           "com.microsoft.DequantizeLinear<axis=0>(int4[2,19], float[2], int4[2])",
           "com.microsoft.DequantizeLinear<block_size=4, output_dtype=1>(int8[2,8], float16[2,2])", NULL});
