/* SPDX-License-Identifier: Apache-2.0 */
/* Operators on quantised tensors, said by simpler ones: products in integers, the rest in floats between a dequantised input
 * and a quantised output; the pointwise parts are computed where the product's result is stored. With q a quantised
 * tensor, s its scale and z its zero point, x = s (q - z); a product's sum of (a - za)(b - zb) has scale sa sb. Sources: ONNX
 * QLinearConv-10, QLinearMatMul-21, DynamicQuantizeLinear-11; ONNX Runtime's documentation of contrib operators. */
#include "ops/qlinear.h"
#include "ops/conv.h"
#include <string.h>

#define OR_F8 (BYTES | NORNI_FLOAT8S)

static norn_value *real(norn_graph *g, norn_value *v) {
    return norni_cast(g, v, NORN_F32);
}

/* saturate(round(x s) + z) in type t; x is float or int32, s the factor, z NULL for 0. */
static norn_value *requantise(norn_graph *g, norn_value *x, norn_value *s, norn_value *z, norn_dtype t) {
    static const char *const names[] = {"x", "s", "z"};
    norn_value *v[] = {real(g, x), s, z ? real(g, z) : norni_scalar_const(g, NORN_F32, 0)};
    return norni_cast(g,
                      norni_formula(g,
                                    t == NORN_I8 ? "max(min(round(x * s) + z, 127.0), -128.0)"
                                                 : "max(min(round(x * s) + z, 255.0), 0.0)",
                                    3, names, v),
                      t);
}

/* A scalar, from a tensor with one element. */
static norn_value *scalar(norn_graph *g, norn_value *v) {
    return v && v->type.rank != 0 && norni_type_static(&v->type) && norni_type_elems(&v->type) == 1
               ? NORNI_OP2(g, v, norni_i64_const(g, 0, NULL), "Reshape")
               : v;
}

/* (a b) / c in floats, the latter NULL for 1. */
static norn_value *factor(norn_graph *g, norn_value *a, norn_value *b, norn_value *c) {
    norn_value *v = NORNI_OP2(g, real(g, scalar(g, a)), real(g, scalar(g, b)), "Mul");
    return c ? NORNI_OP2(g, v, real(g, scalar(g, c)), "Div") : v;
}

norn_value *norni_dequantise(norn_graph *g, norn_value *q, norn_value *s, norn_value *z) {
    static const char *const names[] = {"q", "s", "z"};
    norn_value *v[] = {real(g, q), real(g, scalar(g, s)), z ? real(g, scalar(g, z)) : NULL};
    return norni_formula(g, z ? "(q - z) * s" : "q * s", z ? 3 : 2, names, v);
}
norn_value *norni_quantise(norn_graph *g, norn_value *x, norn_value *s, norn_value *z, norn_dtype t) {
    static const char *const names[] = {"x", "s", "z"};
    norn_value *v[] = {x, real(g, scalar(g, s)),
                       z ? real(g, scalar(g, z)) : norni_scalar_const(g, NORN_F32, 0)};
    return norni_cast(g,
                      norni_formula(g,
                                    t == NORN_I8 ? "max(min(round(x / s) + z, 127.0), -128.0)"
                                                 : "max(min(round(x / s) + z, 255.0), 0.0)",
                                    3, names, v),
                      t);
}

/* ---- Checks that all share: scales and zero points have one element, but for those that go along a channel. */
static norn_status check_single(const norni_infer *c, int i) {
    const norni_type *t = norni_in_type(c, i);
    if (t && norni_type_static(t) && (norni_type_elems(t) != 1 || t->rank > 1))
        return norni_fail(NORN_SHAPE, "input '%s' has rank %d, %lld elements (wanted one element)",
                          norni_op_input(c->node->op, i)->name, t->rank, (long long)norni_type_elems(t));
    return NORN_OK;
}
norn_status norni_check_singles(const norni_infer *c, const int *list) {
    for (; *list >= 0; list++)
        NORNI_TRY(check_single(c, *list));
    return NORN_OK;
}
norn_status norni_check_vector(const norn_node *node, int i, norni_dim n) {
    const norn_value *v = norni_optional(node, i);
    const norni_type *t = v ? &v->type : NULL;
    if (t && t->rank >= 0 && t->rank != 1)
        return norni_fail(NORN_SHAPE, "input '%s' has rank %d (wanted 1)", norni_op_input(node->op, i)->name,
                          t->rank);
    if (t && t->rank == 1 && t->dims[0] >= 0 && n >= 0 && t->dims[0] != n)
        return norni_fail(NORN_SHAPE, "input '%s' has %lld elements (wanted %lld)",
                          norni_op_input(node->op, i)->name, (long long)t->dims[0], (long long)n);
    return NORN_OK;
}
static norn_status check_along(const norni_infer *c, int i, norni_dim channels) {
    const norni_type *t = norni_in_type(c, i);
    if (t && norni_type_static(t) && norni_type_elems(t) != 1 && channels >= 0 &&
        (t->rank != 1 || t->dims[0] != channels))
        return norni_fail(NORN_SHAPE,
                          "input '%s' has rank %d, %lld elements (wanted one, or a vector of %lld)",
                          norni_op_input(c->node->op, i)->name, t->rank, (long long)norni_type_elems(t),
                          (long long)channels);
    return NORN_OK;
}

/* ---- QLinearConv. */
enum { X, X_SCALE, X_ZERO, W, W_SCALE, W_ZERO, Y_SCALE, Y_ZERO, BIAS };
static const norni_attr conv_table[] = {NORNI_CONV_ROWS, NORNI_A_END};

static norn_status infer_conv(norni_infer *c) {
    const norni_conv_attrs *a = c->attrs;
    norn_value *in[] = {c->node->in[X], c->node->in[W]};
    norn_node plain = *c->node;
    norni_infer as = *c;
    const norni_type *x = &in[0]->type, *w = &in[1]->type;
    norni_type y = c->out[0];
    int rank;
    if (x->rank < 0 || w->rank < 0)
        return NORN_OK;
    plain.in = in;
    plain.n_in = 2;
    as.node = &plain;
    NORNI_TRY(norni_window_rank(x, &rank));
    NORNI_TRY(norni_conv_check_weights(&as, rank, false));
    NORNI_TRY(norni_check_singles(c, (const int[]){X_SCALE, X_ZERO, Y_SCALE, Y_ZERO, -1}));
    NORNI_TRY(check_along(c, W_SCALE, w->dims[0]));
    NORNI_TRY(check_along(c, W_ZERO, w->dims[0]));
    NORNI_TRY(norni_check_vector(c->node, BIAS, w->dims[0]));
    y.rank = x->rank;
    y.dims[0] = x->dims[0];
    y.dims[1] = w->dims[0];
    NORNI_TRY(norni_window_infer(c->g, &a->window, rank, x->dims + 2, w->dims + 2, false, y.dims + 2));
    c->out[0] = y;
    return NORN_OK;
}

static norn_status expand_conv(norn_graph *g, const norn_node *node, norn_value **out) {
    norn_value *const *in = node->in, *args[] = {in[X], in[W], scalar(g, in[X_ZERO]), in[W_ZERO]};
    int rank = in[X]->type.rank;
    norn_node *product = norni_apply(g, norni_op_find("", "ConvInteger"), node->attrs, 4, args, 1);
    if (!product)
        return norn_graph_status(g);
    norn_value *y = product->out[0], *s = factor(g, in[X_SCALE], in[W_SCALE], in[Y_SCALE]);
    if (norni_optional(node, BIAS))
        y = NORNI_OP2(g, y, norni_along_channels(g, in[BIAS], rank), "Add");
    if (s && s->type.rank == 1)
        s = norni_along_channels(g, s, rank);
    out[0] = requantise(g, y, s, scalar(g, in[Y_ZERO]), in[Y_ZERO]->type.dtype);
    return norn_graph_status(g);
}

/* ---- QLinearMatMul and kin. A row's scale and zero point stand in a column. */
static norn_status infer_product(norni_infer *c, int ia, int ib, bool ta, bool tb) {
    const norni_type *a = norni_in_type(c, ia), *b = norni_in_type(c, ib);
    norni_type *y = &c->out[0], batch_b;
    if (a->rank < 0 || b->rank < 0)
        return NORN_OK;
    if (a->rank == 0 || b->rank == 0)
        return norni_fail(NORN_SHAPE, "%s is a scalar (wanted rank 1 or more)", a->rank ? "B" : "A");
    if ((ta || tb) && (a->rank != 2 || b->rank != 2))
        return norni_fail(NORN_SHAPE, "A has rank %d, B has rank %d (wanted 2)", a->rank, b->rank);
    norni_dim ka = a->dims[ta ? 0 : a->rank - 1], kb = b->dims[tb ? 1 : b->rank > 1 ? b->rank - 2 : 0];
    if (ka >= 0 && kb >= 0 && ka != kb)
        return norni_fail(NORN_SHAPE, "A has %lld columns, B has %lld rows (wanted equal)", (long long)ka,
                          (long long)kb);
    norn_dtype t = y->dtype;
    *y = *a;
    y->dtype = t;
    y->rank = a->rank > 2 ? a->rank - 2 : 0;
    batch_b = *b;
    batch_b.rank = b->rank > 2 ? b->rank - 2 : 0;
    NORNI_TRY(norni_broadcast(c->g, y, &batch_b));
    if (a->rank > 1)
        y->dims[y->rank++] = a->dims[ta ? 1 : a->rank - 2];
    if (b->rank > 1)
        y->dims[y->rank++] = b->dims[tb ? 0 : b->rank - 1];
    return NORN_OK;
}

static norn_status infer_matmul(norni_infer *c) {
    return infer_product(c, 0, 3, false, false);
}

static norn_value *column(norn_graph *g, norn_value *v) {
    return v && v->type.rank == 1 && v->type.dims[0] != 1
               ? NORNI_OP2(g, v, norni_i64_const(g, 1, (int64_t[]){1}), "Unsqueeze")
               : v;
}

static norn_value *product_of(norn_graph *g, norn_value *a, norn_value *za, norn_value *b, norn_value *zb) {
    norn_value *in[] = {a, b, norni_or_none(za), norni_or_none(zb)};
    return norni_opf(g, 4, in, "MatMulInteger");
}

/* With float8 among the types the product is one of floats. */
static norn_value *centred(norn_graph *g, norn_value *q, norn_value *z, bool rows) {
    z = scalar(g, real(g, z));
    return NORNI_OP2(g, real(g, q), rows ? column(g, z) : z, "Sub");
}

static norn_status expand_matmul(norn_graph *g, const norn_node *node, norn_value **out) {
    norn_value *const *in = node->in;
    norn_value *s = factor(g, column(g, in[1]), in[4], in[6]);
    if (!norni_dtype_is_int(in[0]->type.dtype) || !norni_dtype_is_int(in[3]->type.dtype) ||
        !norni_dtype_is_int(in[7]->type.dtype)) {
        norn_value *y =
            NORNI_OP2(g, centred(g, in[0], in[2], true), centred(g, in[3], in[5], false), "MatMul");
        y = NORNI_OP2(g, y, s, "Mul");
        if (norni_dtype_is_int(in[7]->type.dtype)) {
            out[0] =
                requantise(g, y, norni_scalar_const(g, NORN_F32, 1), scalar(g, in[7]), in[7]->type.dtype);
            return norn_graph_status(g);
        }
        y = NORNI_OP2(g, y, scalar(g, real(g, in[7])), "Add");
        out[0] = norni_cast(g, y, in[7]->type.dtype);
        return norn_graph_status(g);
    }
    out[0] = requantise(g, product_of(g, in[0], in[2], in[3], in[5]), s, scalar(g, in[7]), in[7]->type.dtype);
    return norn_graph_status(g);
}

/* com.microsoft.QGemm: C is int32 and has the product's scale; without y_scale the result is float. */
typedef struct {
    float alpha;
    int64_t transA, transB;
} gemm_attrs;
static const norni_attr gemm_table[] = {NORNI_A_FLOAT(gemm_attrs, alpha, 1),
                                        NORNI_A_INT(gemm_attrs, transA, 0, .lo = 0, .hi = 1),
                                        NORNI_A_INT(gemm_attrs, transB, 0, .lo = 0, .hi = 1), NORNI_A_END};

static norn_status infer_gemm(norni_infer *c) {
    const gemm_attrs *a = c->attrs;
    const norni_type *z = norni_in_type(c, 8), *y = norni_in_type(c, 7);
    c->out[0].dtype = z ? z->dtype : y ? norni_in_type(c, 0)->dtype : NORN_F32;
    NORNI_TRY(infer_product(c, 0, 3, a->transA != 0, a->transB != 0));
    NORNI_TRY(norni_check_singles(c, (const int[]){1, 2, 7, 8, -1}));
    if (c->out[0].rank != 2 && c->out[0].rank >= 0)
        return norni_fail(NORN_SHAPE, "A or B has another rank than 2");
    return NORN_OK;
}

static norn_status expand_gemm(norn_graph *g, const norn_node *node, norn_value **out) {
    const gemm_attrs *at = node->attrs;
    norn_value *const *in = node->in, *a = in[0], *b = in[3];
    if (at->transA)
        a = NORNI_OP1(g, a, "Transpose<perm=[1,0]>");
    if (at->transB)
        b = NORNI_OP1(g, b, "Transpose<perm=[1,0]>");
    norn_value *y = product_of(g, a, scalar(g, in[2]), b, in[5]), *s = factor(g, in[1], in[4], NULL);
    if (norni_optional(node, 6))
        y = NORNI_OP2(g, y, in[6], "Add");
    if (at->alpha != 1)
        s = NORNI_OP2(g, s, norni_scalar_const(g, NORN_F32, (double)at->alpha), "Mul");
    if (!norni_optional(node, 7))
        out[0] = NORNI_OP2(g, real(g, y), s, "Mul");
    else
        out[0] =
            requantise(g, y, NORNI_OP2(g, s, scalar(g, in[7]), "Div"), scalar(g, norni_optional(node, 8)),
                       node->out[0] ? node->out[0]->type.dtype : in[0]->type.dtype);
    return norn_graph_status(g);
}

/* com.microsoft.MatMulIntegerToFloat, and the types of DynamicQuantizeMatMul: (a - za)(b - zb) sa sb + bias. */
static norn_status infer_to_float(norni_infer *c) {
    const norni_type *b = norni_in_type(c, 1);
    int bias = c->node->op->name[0] == 'D' ? 4 : 6;
    NORNI_TRY(norni_check_vector(c->node, bias, b->rank > 1 ? b->dims[b->rank - 1] : -1));
    return infer_product(c, 0, 1, false, false);
}
static norn_status expand_to_float(norn_graph *g, const norn_node *node, norn_value **out) {
    norn_value *const *in = node->in;
    norn_value *y = product_of(g, in[0], norni_optional(node, 4), in[1], norni_optional(node, 5));
    y = NORNI_OP2(g, real(g, y), factor(g, column(g, in[2]), in[3], NULL), "Mul");
    out[0] = norni_optional(node, 6) ? NORNI_OP2(g, y, real(g, in[6]), "Add") : y;
    out[0] = norni_cast(g, out[0], in[2]->type.dtype);
    return norn_graph_status(g);
}

/* com.microsoft.DynamicQuantizeMatMul: A is quantised on the way. */
static norn_status expand_dynamic(norn_graph *g, const norn_node *node, norn_value **out) {
    norn_value *const *in = node->in;
    norn_node *q = norni_opf_node(g, 7, 1, in, "DynamicQuantizeLinear");
    if (!q)
        return norn_graph_status(g);
    norn_value *args[] = {q->out[0],
                          in[1],
                          q->out[1],
                          in[2],
                          q->out[2],
                          norni_or_none(norni_optional(node, 3)),
                          norni_or_none(norni_optional(node, 4))};
    out[0] = norni_opf(g, 7, args, "com.microsoft.MatMulIntegerToFloat");
    return norn_graph_status(g);
}

/* ---- DynamicQuantizeLinear: the range of x and 0 on 0 .. 255. */
static norn_status infer_dynamic(norni_infer *c) {
    norni_type single = {.rank = 0};
    c->out[0] = *norni_in_type(c, 0);
    c->out[0].dtype = NORN_U8;
    single.dtype = NORN_F32;
    c->out[1] = single;
    single.dtype = NORN_U8;
    c->out[2] = single;
    return NORN_OK;
}
static norn_status expand_dynamic_quantize(norn_graph *g, const norn_node *node, norn_value **out) {
    static const char *const names[] = {"h", "l"}, *const more[] = {"l", "s"};
    norn_value *x = node->in[0],
               *v[] = {NORNI_OP1(g, x, "ReduceMax<keepdims=0>"), NORNI_OP1(g, x, "ReduceMin<keepdims=0>")};
    norn_value *s = norni_formula(g, "(max(h, 0.0) - min(l, 0.0)) / 255.0", 2, names, v), *w[] = {v[1], s};
    /* Nothing but zeros: any scale will do. */
    s = w[1] = norni_formula(g, "where(s == 0.0, 1.0, s)", 2, more, w);
    norn_value *z = norni_cast(
        g, norni_formula(g, "round(max(min(-(min(l, 0.0)) / s, 255.0), 0.0))", 2, more, w), NORN_U8);
    out[0] = NORNI_OP3(g, x, s, z, "QuantizeLinear");
    out[1] = s;
    out[2] = z;
    return norn_graph_status(g);
}

/* ---- com.microsoft's pointwise operators. */
norn_dtype norni_type_of_zero(const norn_node *node, int zero, int x) {
    return norni_optional(node, zero) ? node->in[zero]->type.dtype : node->in[x]->type.dtype;
}
static norn_status infer_binary(norni_infer *c) {
    norni_type y = *norni_in_type(c, 0);
    NORNI_TRY(norni_broadcast(c->g, &y, norni_in_type(c, 3)));
    NORNI_TRY(norni_check_singles(c, (const int[]){1, 2, 4, 5, 6, 7, -1}));
    c->out[0] = y;
    return NORN_OK;
}
static norn_status expand_binary(norn_graph *g, const norn_node *node, norn_value **out) {
    norn_value *const *in = node->in;
    norn_value *a = norni_dequantise(g, in[0], in[1], norni_optional(node, 2)),
               *b = norni_dequantise(g, in[3], in[4], norni_optional(node, 5));
    a = NORNI_OP2(g, a, b, "%s", !strcmp(node->op->name, "QLinearAdd") ? "Add" : "Mul");
    out[0] = norni_quantise(g, a, in[6], norni_optional(node, 7), norni_type_of_zero(node, 7, 0));
    return norn_graph_status(g);
}

typedef struct {
    float alpha;
} leaky_attrs;
static const norni_attr leaky_table[] = {NORNI_A_FLOAT(leaky_attrs, alpha, 0.01f), NORNI_A_END};
static norn_status infer_unary(norni_infer *c) {
    NORNI_TRY(norni_check_singles(c, (const int[]){1, 2, 3, 4, -1}));
    c->out[0] = *norni_in_type(c, 0);
    return NORN_OK;
}
static norn_status expand_unary(norn_graph *g, const norn_node *node, norn_value **out) {
    norn_value *const *in = node->in, *x = norni_dequantise(g, in[0], in[1], norni_optional(node, 2));
    if (!strcmp(node->op->name, "QLinearSigmoid"))
        x = NORNI_OP1(g, x, "Sigmoid");
    else
        x = NORNI_OP1(g, x, "LeakyRelu<alpha=%.9g>", (double)((const leaky_attrs *)node->attrs)->alpha);
    out[0] = norni_quantise(g, x, in[3], norni_optional(node, 4), norni_type_of_zero(node, 4, 0));
    return norn_graph_status(g);
}

/* ---- com.microsoft.QLinearConcat: a scale and a zero point for the result, then each input with its own. */
typedef struct {
    int64_t axis;
} concat_attrs;
static const norni_attr concat_table[] = {NORNI_A(concat_attrs, axis, INT, .flags = NORNI_ATTR_REQUIRED),
                                          NORNI_A_END};
static norn_status infer_concat(norni_infer *c) {
    norni_type y = {.dtype = norni_in_type(c, 1)->dtype, .rank = -1};
    int axis, n = c->node->n_in;
    if (n < 5 || (n - 2) % 3)
        return norni_fail(NORN_ARG, "%d inputs (wanted 2 and three for each tensor)", n);
    for (int i = 2; i < n; i += 3) {
        const norni_type *x = norni_in_type(c, i), *s = norni_in_type(c, i + 1), *z = norni_in_type(c, i + 2);
        if (!x || !s || !z)
            return norni_fail(NORN_ARG, "input %d is missing", !x ? i : !s ? i + 1 : i + 2);
        if (!(BYTES & NORNI_T(x->dtype)) || s->dtype != NORN_F32 || z->dtype != x->dtype)
            return norni_fail(NORN_DTYPE, "tensor, scale and zero point %d have types %s, %s, %s",
                              (i - 2) / 3, norni_dtype_name(x->dtype), norni_dtype_name(s->dtype),
                              norni_dtype_name(z->dtype));
        if (x->rank < 0)
            return NORN_OK;
        NORNI_TRY(norni_axis(((const concat_attrs *)c->attrs)->axis, x->rank, &axis));
        if (i == 2) {
            y = *x;
            y.dtype = norni_in_type(c, 1)->dtype;
            continue;
        }
        if (x->rank != y.rank)
            return norni_fail(NORN_SHAPE, "tensor %d has rank %d (wanted %d)", (i - 2) / 3, x->rank, y.rank);
        y.dims[axis] = norni_dim_add(c->g, y.dims[axis], x->dims[axis]);
    }
    c->out[0] = y;
    return NORN_OK;
}
static norn_status expand_concat(norn_graph *g, const norn_node *node, norn_value **out) {
    int n = (node->n_in - 2) / 3;
    norn_value **parts = norni_arena_array(g->arena, (size_t)n, sizeof *parts), *const *in = node->in;
    if (!parts)
        return norni_nomem();
    for (int i = 0; i < n; i++)
        parts[i] = norni_quantise(g, norni_dequantise(g, in[2 + 3 * i], in[3 + 3 * i], in[4 + 3 * i]), in[0],
                                  in[1], in[1]->type.dtype);
    out[0] = norni_opf(g, n, parts, "Concat<axis=%d>", (int)((const concat_attrs *)node->attrs)->axis);
    return norn_graph_status(g);
}

/* ---- Descriptors. */
OP(QLinearConv, "", "convolution of quantised tensors", (10), ATTRS(norni_conv_attrs, conv_table),
   .infer = infer_conv, .expand = expand_conv,
   .inputs = PARAMS({"x", N, BYTES, 'X'}, {"x_scale", N, F32S, 0}, {"x_zero_point", N, BYTES, 'X'},
                    {"w", N, BYTES, 'W'}, {"w_scale", N, F32S, 0}, {"w_zero_point", N, BYTES, 'W'},
                    {"y_scale", N, F32S, 0}, {"y_zero_point", N, BYTES, 'Y'}, {"B", O, NORNI_T(NORN_I32), 0}),
   .outputs = PARAMS({"y", 0, BYTES, 'Y'}),
   CASES("QLinearConv(uint8[1,1,7,7], float[]{0.004}, uint8[]{132}, uint8[1,1,1,1], float[1]{0.0017}, "
         "uint8[1]{255}, "
         "float[]{0.0016}, uint8[]{123})",
         "QLinearConv<pads=[1,0,2,1], strides=[1,2], kernel_shape=[3,2]>(uint8[2,3,7,39], float[]{0.02}, "
         "uint8[]{128}, int8[5,3,3,2], "
         "float[5]{0.01,0.02,0.03,0.04,0.05}, int8[5], float[]{0.03}, uint8[]{100}, int32[5])",
         "QLinearConv<group=2, dilations=[2,1], auto_pad=\"VALID\">(int8[2,6,8,9], float[]{0.02}, "
         "int8[]{-3}, int8[4,3,3,3], "
         "float[]{0.02}, int8[]{0}, float[]{0.01}, int8[]{5}, int32[4])"));
OP(QLinearMatMul, "", "matrix product of quantised tensors", (10, 21), .infer = infer_matmul,
   .expand = expand_matmul,
   .inputs = PARAMS({"a", N, OR_F8, 'A'}, {"a_scale", N, REALS, 'S'}, {"a_zero_point", N, OR_F8, 'A'},
                    {"b", N, OR_F8, 'B'}, {"b_scale", N, REALS, 'S'}, {"b_zero_point", N, OR_F8, 'B'},
                    {"y_scale", N, REALS, 'S'}, {"y_zero_point", N, OR_F8, 'Y'}),
   .outputs = PARAMS({"y", 0, OR_F8, 'Y'}),
   CASES("QLinearMatMul(float8e4m3fn[3,5], float[]{0.5}, float8e4m3fn[]{0}, float8e5m2[5,7], float[]{2.0}, "
         "float8e5m2[]{0}, float[]{0.25}, float8e4m3fn[]{0})",
         "QLinearMatMul(float8e4m3fnuz[3,5], float16[3]{0.5,1.0,2.0}, float8e4m3fnuz[3], int8[5,4], "
         "float16[]{0.5}, int8[]{3}, float16[]{0.25}, uint8[]{100})",
         "QLinearMatMul(uint8[3,5], float[]{0.02}, uint8[]{100}, int8[5,40], float[]{0.02}, int8[]{-3}, "
         "float[]{0.01}, uint8[]{120})",
         "QLinearMatMul(int8[2,3,5], float16[1]{0.02}, int8[1]{1}, uint8[5,4], "
         "float16[4]{0.02,0.01,0.03,0.04}, uint8[4]{1,2,3,4}, "
         "float16[1]{0.01}, int8[1]{-20})",
         "QLinearMatMul(int8[3,5], float[3]{0.02,0.01,0.03}, int8[3], uint8[5,4], float[]{0.02}, uint8[]{8}, "
         "float[]{0.01}, uint8[]{20})"));
OP(DynamicQuantizeLinear, "", "quantised to 8 bits with the scale that its range asks for", (11),
   .infer = infer_dynamic, .expand = expand_dynamic_quantize, .inputs = PARAMS({"x", 0, F32S, 0}),
   .outputs = PARAMS({"y", 0, NORNI_T(NORN_U8), 0}, {"y_scale", 0, F32S, 0},
                     {"y_zero_point", 0, NORNI_T(NORN_U8), 0}),
   CASES("DynamicQuantizeLinear(float[3,37])", "DynamicQuantizeLinear(float[1]{0.0})",
         "DynamicQuantizeLinear(float[2]{-3.0,-1.0})"));
OP(QGemm, MS, "alpha A' B' + C of quantised matrices, quantised again or float", (1),
   ATTRS(gemm_attrs, gemm_table), .infer = infer_gemm, .expand = expand_gemm,
   .inputs = PARAMS({"A", N, BYTES, 'A'}, {"a_scale", N, F32S, 0}, {"a_zero_point", N, BYTES, 'A'},
                    {"B", N, BYTES, 'B'}, {"b_scale", N, F32S, 0}, {"b_zero_point", N, BYTES, 'B'},
                    {"C", O, NORNI_T(NORN_I32), 0}, {"y_scale", O, F32S, 0}, {"y_zero_point", O, BYTES, 'Y'}),
   .outputs = PARAMS({"Y", 0, BYTES | F32S, 0}),
   CASES("com.microsoft.QGemm<transB=1>(uint8[3,5], float[]{0.02}, uint8[]{100}, int8[40,5], float[]{0.02}, "
         "int8[]{-3}, int32[40], "
         "float[]{0.01}, uint8[]{120})",
         "com.microsoft.QGemm<transA=1, alpha=0.5>(int8[5,3], float[]{0.02}, int8[]{3}, int8[5,4], "
         "float[4]{0.01,0.02,0.03,0.04}, "
         "int8[4]{0,1,2,3})"));
OP(MatMulIntegerToFloat, MS, "matrix product of quantised tensors, as floats", (1), .infer = infer_to_float,
   .expand = expand_to_float,
   .inputs = PARAMS({"A", N, BYTES, 'A'}, {"B", N, BYTES, 'B'}, {"a_scale", N, F32S | NORNI_T(NORN_F16), 'S'},
                    {"b_scale", N, F32S | NORNI_T(NORN_F16), 'S'}, {"a_zero_point", O, BYTES, 'A'},
                    {"b_zero_point", O, BYTES, 'B'}, {"bias", O, F32S | NORNI_T(NORN_F16), 'S'}),
   .outputs = PARAMS({"Y", 0, F32S | NORNI_T(NORN_F16), 'S'}),
   CASES("com.microsoft.MatMulIntegerToFloat(uint8[2,3,5], int8[5,4], float[]{0.02}, "
         "float[4]{0.01,0.02,0.03,0.04}, uint8[]{9}, int8[4], float[4])",
         "com.microsoft.MatMulIntegerToFloat(int8[3,5], int8[5,40], float[1]{0.02}, float[1]{0.01})"));
OP(DynamicQuantizeMatMul, MS, "A quantised with the scale of its range, times a quantised B", (1),
   .infer = infer_to_float, .expand = expand_dynamic,
   .inputs = PARAMS({"A", 0, F32S, 0}, {"B", N, BYTES, 'B'}, {"b_scale", N, F32S, 0},
                    {"b_zero_point", O, BYTES, 'B'}, {"bias", O, F32S, 0}),
   .outputs = PARAMS({"Y", 0, F32S, 0}),
   CASES("com.microsoft.DynamicQuantizeMatMul(float[3,5], int8[5,4], float[4]{0.01,0.02,0.03,0.04}, int8[4], "
         "float[4])",
         "com.microsoft.DynamicQuantizeMatMul(float[2,3,5], uint8[5,4], float[]{0.01})"));
#define BINARY(id, what)                                                                                     \
    OP(id, MS, what, (1), .infer = infer_binary, .expand = expand_binary,                                    \
       .inputs = PARAMS({"A", N, BYTES, 'T'}, {"A_scale", N, F32S, 0}, {"A_zero_point", O, BYTES, 'T'},      \
                        {"B", N, BYTES, 'T'}, {"B_scale", N, F32S, 0}, {"B_zero_point", O, BYTES, 'T'},      \
                        {"C_scale", N, F32S, 0}, {"C_zero_point", O, BYTES, 'T'}),                           \
       .outputs = PARAMS({"C", 0, BYTES, 'T'}),                                                              \
       CASES(MS "." #id                                                                                      \
                "(uint8[2,3,5], float[]{0.02}, uint8[]{100}, uint8[3,1], float[]{0.03}, uint8[]{7}, "        \
                "float[]{0.04}, uint8[]{120})",                                                              \
             MS "." #id "(int8[37], float[]{0.02}, _, int8[37], float[]{0.03}, _, float[]{0.01})"))
BINARY(QLinearAdd, "sum of quantised tensors");
BINARY(QLinearMul, "product of quantised tensors");
#define UNARY(id, what, ...)                                                                                 \
    OP(id, MS, what, (1), .infer = infer_unary, .expand = expand_unary,                                      \
       .inputs = PARAMS({"X", N, BYTES, 'T'}, {"X_scale", N, F32S, 0}, {"X_zero_point", O, BYTES, 'T'},      \
                        {"Y_scale", N, F32S, 0}, {"Y_zero_point", O, BYTES, 'T'}),                           \
       .outputs = PARAMS({"Y", 0, BYTES, 'T'}), __VA_ARGS__)
UNARY(QLinearSigmoid, "sigmoid of a quantised tensor",
      CASES("com.microsoft.QLinearSigmoid(uint8[2,37], float[]{0.5}, uint8[]{4}, float[]{0.004}, uint8[]{0})",
            "com.microsoft.QLinearSigmoid(int8[9], float[]{0.5}, _, float[]{0.004}, int8[]{-128})"));
UNARY(QLinearLeakyRelu, "leaky ReLU of a quantised tensor", ATTRS(leaky_attrs, leaky_table),
      CASES("com.microsoft.QLinearLeakyRelu<alpha=0.2>(uint8[2,37], float[]{0.5}, uint8[]{4}, float[]{0.04}, "
            "uint8[]{10})",
            "com.microsoft.QLinearLeakyRelu(int8[9], float[]{0.5}, _, float[]{0.04})"));
OP(QLinearConcat, MS, "quantised tensors joined along an axis, in one scale", (1),
   ATTRS(concat_attrs, concat_table), .infer = infer_concat, .expand = expand_concat,
   .inputs = PARAMS({"Y_scale", N, F32S, 0}, {"Y_zero_point", N, BYTES, 0},
                    {"inputs", N | NORNI_VARIADIC, BYTES | F32S, 0}),
   .outputs = PARAMS({"Y", 0, BYTES, 0}),
   CASES("com.microsoft.QLinearConcat<axis=1>(float[]{0.02}, uint8[]{3}, uint8[2,3], float[]{0.03}, "
         "uint8[]{1}, uint8[2,40], "
         "float[]{0.04}, uint8[]{7})",
         "com.microsoft.QLinearConcat<axis=-1>(float[]{0.02}, int8[]{3}, int8[2,3], float[]{0.02}, "
         "int8[]{3})"));
