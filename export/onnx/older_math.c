/* SPDX-License-Identifier: Apache-2.0 */
/* Functions that came to ONNX late, by those of opset 7: comparisons there are less and greater, choices are products with 0
 * and 1, and what is NaN has to stay it. */
#include "export/onnx/older.h"
#include <math.h>
#include <string.h>

static norn_value *number(norn_graph *g, const norn_value *like, double v) {
    return like ? norni_scalar_const(g, like->type.dtype, v) : NULL;
}
/* 1 where a > b (or a < b), else 0. */
static norn_value *where(norn_graph *g, norn_value *a, const char *compare, double b) {
    return a ? norni_cast(g, NORNI_OP2(g, a, number(g, a, b), "%s", compare), a->type.dtype) : NULL;
}
static norn_value *bounded(norn_graph *g, norn_value *x, double lo, double hi) {
    return NORNI_OP3(g, x, number(g, x, lo), number(g, x, hi), "Clip");
}
/* c[0] + c[1] x + ... by Horner. */
static norn_value *polynomial(norn_graph *g, norn_value *x, int n, const double *c) {
    norn_value *y = number(g, x, c[n - 1]);
    for (int i = n - 2; i >= 0; i--)
        y = NORNI_OP2(g, NORNI_OP2(g, y, x, "Mul"), number(g, x, c[i]), "Add");
    return y;
}

/* Two polynomials, those of ops/prelude.cl: x + x p(x^2) up to |x| = 1, and 1 - e^-q(|x|) beyond, with the sign of x. */
norn_value *norni_older_erf(norni_exporter *x, const norn_node *node) {
    static const double p[] = {1.2837917e-1, -3.7612626e-1, 1.1283585e-1, -2.6853816e-2,
                               5.1883345e-3, -8.0102477e-4, 7.8540265e-5},
                        q[] = {3.4151318e-4,  1.1270892,    6.3814476e-1, 1.0310682e-1,
                               -2.1838095e-2, 2.9476663e-3, -1.8638003e-4};
    norn_graph *g = x->g;
    norn_dtype t = node->in[0]->type.dtype;
    if (t != NORN_F32 && t != NORN_F16)
        return NULL;
    norn_value *v = norni_cast(g, node->in[0], NORN_F32), *a = NORNI_OP1(g, v, "Abs");
    norn_value *near = bounded(g, v, -1, 1), *far = bounded(g, a, 0, 4), *is_far = where(g, a, "Greater", 1);
    near = NORNI_OP2(g, NORNI_OP2(g, near, polynomial(g, NORNI_OP2(g, near, near, "Mul"), 7, p), "Mul"), near,
                     "Add");
    far = NORNI_OP1(g, NORNI_OP1(g, polynomial(g, far, 7, q), "Neg"), "Exp");
    far = NORNI_OP2(g, number(g, v, 1), far, "Sub");
    far = NORNI_OP2(g, far, NORNI_OP1(g, NORNI_OP2(g, v, number(g, v, 40), "Mul"), "Tanh"), "Mul");
    norn_value *y = NORNI_OP2(g, NORNI_OP2(g, NORNI_OP2(g, number(g, v, 1), is_far, "Sub"), near, "Mul"),
                              NORNI_OP2(g, is_far, far, "Mul"), "Add");
    return norni_cast(g, y, t);
}

/* floor(x), and 1 more where the rest is above a half, or a half of an odd number. Beyond 2^p there are only whole
 * numbers: what rounding adds to x is 0 there. */
norn_value *norni_older_round(norni_exporter *x, const norn_node *node) {
    norn_graph *g = x->g;
    norn_value *v = node->in[0];
    norn_dtype t = v->type.dtype;
    double most = t == NORN_F32 ? 8388608.0 : t == NORN_F16 ? 1024.0 : t == NORN_F64 ? 4503599627370496.0 : 0;
    if (!most)
        return NULL;
    norn_value *near = bounded(g, v, -most, most), *f = NORNI_OP1(g, near, "Floor");
    norn_value *rest = NORNI_OP2(g, near, f, "Sub"), *half = number(g, v, 0.5), *one = number(g, v, 1);
    norn_value *up = where(g, rest, "Greater", 0.5), *down = where(g, rest, "Less", 0.5);
    norn_value *even = NORNI_OP1(g, NORNI_OP2(g, f, half, "Mul"), "Floor");
    norn_value *odd = NORNI_OP2(g, f, NORNI_OP2(g, even, number(g, v, 2), "Mul"), "Sub");
    norn_value *tie = NORNI_OP2(g, NORNI_OP2(g, one, up, "Sub"), down, "Sub");
    norn_value *y = NORNI_OP2(g, NORNI_OP2(g, f, up, "Add"), NORNI_OP2(g, tie, odd, "Mul"), "Add");
    return NORNI_OP2(g, v, NORNI_OP2(g, y, near, "Sub"), "Add");
}

norn_value *norni_older_sign(norni_exporter *x, const norn_node *node) {
    norn_graph *g = x->g;
    norn_value *v = node->in[0];
    norn_value *y = NORNI_OP2(g, where(g, v, "Greater", 0), where(g, v, "Less", 0), "Sub");
    if (!norni_dtype_is_float(v->type.dtype))
        return y;
    return NORNI_OP2(g, y, NORNI_OP2(g, NORNI_OP1(g, v, "Tanh"), number(g, v, 0), "Mul"), "Add"); /* NaN */
}

/* cosh x = e^(x - log 2) + e^(-x - log 2), sinh x = tanh x cosh x. */
norn_value *norni_older_cosh(norni_exporter *x, const norn_node *node) {
    norn_graph *g = x->g;
    norn_value *v = node->in[0], *log2 = number(g, v, log(2));
    norn_value *a = NORNI_OP1(g, NORNI_OP2(g, v, log2, "Sub"), "Exp"),
               *b = NORNI_OP1(g, NORNI_OP2(g, NORNI_OP1(g, v, "Neg"), log2, "Sub"), "Exp");
    norn_value *y = NORNI_OP2(g, a, b, "Add");
    return strcmp(node->op->name, "Sinh") ? y : NORNI_OP2(g, NORNI_OP1(g, v, "Tanh"), y, "Mul");
}

/* ---- Quantisation with one scale, or with one for each element of an axis. */
static norn_value *along(norn_graph *g, norn_value *v, const norn_node *node) {
    norni_attr_value a;
    const norni_type *x = &node->in[0]->type;
    int64_t axis = 1, dims[NORN_MAX_RANK];
    int at;
    if (!v || v->type.rank == 0)
        return v;
    if (v->type.rank != 1 || x->rank < 1 ||
        (norni_attr_get(norni_attr_find(node->op, "block_size"), node->attrs, &a) && a.i))
        return NULL;
    if (v->type.dims[0] == 1)
        return NORNI_OP2(g, v, norni_i64_const(g, 1, (int64_t[]){0}), "Squeeze");
    if (norni_attr_get(norni_attr_find(node->op, "axis"), node->attrs, &a))
        axis = a.i;
    if (norni_axis(axis, x->rank, &at) != NORN_OK)
        return NULL;
    for (int i = 0; i < x->rank; i++)
        dims[i] = i == at ? -1 : 1;
    return NORNI_OP2(g, v, norni_i64_const(g, x->rank, dims), "Reshape");
}

norn_value *norni_older_quantise(norni_exporter *x, const norn_node *node) {
    norn_graph *g = x->g;
    bool back = node->op->name[0] == 'D';
    norn_dtype t = back ? node->in[0]->type.dtype : node->out[0]->type.dtype;
    norn_value *v = norni_cast(g, node->in[0], NORN_F32), *s = along(g, node->in[1], node), *z = NULL;
    bool bytes = t == NORN_U8 || t == NORN_I8;
    if (!s || s->type.dtype != NORN_F32 || (back ? node->out[0] : node->in[0])->type.dtype != NORN_F32 ||
        !(bytes || (back && t == NORN_I32)))
        return NULL;
    if (node->n_in > 2 && node->in[2] && !(z = norni_cast(g, along(g, node->in[2], node), NORN_F32)))
        return NULL;
    if (back)
        return NORNI_OP2(g, z ? NORNI_OP2(g, v, z, "Sub") : v, s, "Mul");
    v = NORNI_OP1(g, NORNI_OP2(g, v, s, "Div"), "Round");
    v = z ? NORNI_OP2(g, v, z, "Add") : v;
    return norni_cast(g, bounded(g, v, t == NORN_U8 ? 0 : -128, t == NORN_U8 ? 255 : 127), t);
}
