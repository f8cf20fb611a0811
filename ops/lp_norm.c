/* SPDX-License-Identifier: Apache-2.0 */
/* LpNormalization: y = x / (sum |x|^p)^(1/p) along an axis, p = 1 or 2; 0 where the norm is 0.
 * MeanVarianceNormalization: y = (x - mean) / (sqrt(var) + 1e-9) over axes.
 * Sources: ONNX LpNormalization-22, MeanVarianceNormalization-13. Both are done by reductions. */
#include "ops/op.h"
#include <math.h>

static double get(const norn_tensor *t, int64_t i) {
    return norni_get_double(t->dtype, norni_tensor_data(t), i);
}
static void put(const norn_tensor *t, int64_t i, double v) {
    norni_set_double(t->dtype, norni_tensor_data(t), i, v);
}

/* ---- LpNormalization. */
typedef struct {
    int64_t axis, p;
} lp_attrs;
static const norni_attr lp_table[] = {NORNI_A_INT(lp_attrs, axis, -1),
                                      NORNI_A_INT(lp_attrs, p, 2, .lo = 1, .hi = 2), NORNI_A_END};

static norn_status infer_lp(norni_infer *c) {
    const norni_type *x = norni_in_type(c, 0);
    int at;
    c->out[0] = *x;
    return x->rank < 0 ? NORN_OK : norni_axis(((const lp_attrs *)c->attrs)->axis, x->rank, &at);
}

static norn_status eval_lp(norni_eval *e) {
    const lp_attrs *a = e->attrs;
    const norn_tensor *x = e->in[0];
    int at;
    NORNI_TRY(norni_axis(a->axis, x->rank, &at));
    int64_t r = x->dims[at], inner = norni_elems(x->rank - at - 1, x->dims + at + 1),
            outer = norni_elems(at, x->dims);
    for (int64_t l = 0; l < outer * inner; l++) {
        int64_t base = l / inner * r * inner + l % inner;
        double n = 0;
        for (int64_t i = 0; i < r; i++) {
            double v = get(x, base + i * inner);
            n += a->p == 1 ? fabs(v) : v * v;
        }
        n = a->p == 1 ? n : sqrt(n);
        for (int64_t i = 0; i < r; i++)
            put(e->out[0], base + i * inner, n == 0 ? 0 : get(x, base + i * inner) / n);
    }
    return NORN_OK;
}

static norn_status expand_lp(norn_graph *g, const norn_node *node, norn_value **out) {
    const lp_attrs *a = node->attrs;
    norn_value *x = node->in[0], *axes = norni_i64_const(g, 1, &a->axis);
    norn_value *n = NORNI_OP2(g, x, axes, a->p == 1 ? "ReduceL1" : "ReduceSumSquare");
    norn_value *zero = norni_scalar_const(g, x->type.dtype, 0),
               *one = norni_scalar_const(g, x->type.dtype, 1);
    n = NORNI_OP3(g, NORNI_OP2(g, n, zero, "Equal"), one, n, "Where"); /* x is 0 there, and so is y */
    out[0] = NORNI_OP2(g, x, a->p == 1 ? n : NORNI_OP1(g, n, "Sqrt"), "Div");
    return norn_graph_status(g);
}

/* ---- MeanVarianceNormalization. */
typedef struct {
    norni_ints axes;
} mvn_attrs;
static const norni_attr mvn_table[] = {NORNI_A_INTS(mvn_attrs, axes), NORNI_A_END};

static norn_status infer_mvn(norni_infer *c) {
    const norni_type *x = norni_in_type(c, 0);
    norni_ints axes = ((const mvn_attrs *)c->attrs)->axes;
    int at;
    c->out[0] = *x;
    for (int i = 0; x->rank >= 0 && i < axes.n; i++)
        NORNI_TRY(norni_axis(axes.v[i], x->rank, &at));
    if (x->rank >= 0 && axes.n < 0 && x->rank != 4)
        return norni_fail(NORN_SHAPE, "X has rank %d (wanted 4 for axes 0, 2, 3)", x->rank);
    return NORN_OK;
}

static norn_status eval_mvn(norni_eval *e) {
    const norn_tensor *x = e->in[0];
    static const int64_t usual[] = {0, 2, 3};
    norni_ints axes = ((const mvn_attrs *)e->attrs)->axes;
    bool over[NORN_MAX_RANK] = {0};
    int64_t n = norni_tensor_elems(x), step[NORN_MAX_RANK], groups = 1;
    for (int i = 0; i < (axes.n < 0 ? 3 : axes.n); i++) {
        int at;
        NORNI_TRY(norni_axis(axes.n < 0 ? usual[i] : axes.v[i], x->rank, &at));
        over[at] = true;
    }
    for (int k = 0; k < x->rank; k++)
        if (axes.n == 0) /* none is named: all */
            over[k] = true;
    for (int k = x->rank - 1; k >= 0; k--) {
        step[k] = over[k] ? 0 : groups;
        groups *= over[k] ? 1 : x->dims[k];
    }
    double *m = norni_alloc_array((size_t)groups + 1, sizeof *m),
           *v = norni_alloc_array((size_t)groups + 1, sizeof *v);
    double share = (double)groups / (double)(n ? n : 1);
    for (int round = 0; round < 3 && m && v; round++)
        for (int64_t i = 0; i < n; i++) {
            int64_t q = 0, rest = i;
            for (int k = x->rank - 1; k >= 0; k--) {
                q += rest % x->dims[k] * step[k];
                rest /= x->dims[k];
            }
            if (round == 0)
                m[q] += get(x, i) * share;
            else if (round == 1)
                v[q] += (get(x, i) - m[q]) * (get(x, i) - m[q]) * share;
            else
                put(e->out[0], i, (get(x, i) - m[q]) / (sqrt(v[q]) + 1e-9));
        }
    norn_status s = m && v ? NORN_OK : norni_nomem();
    norni_free(m);
    norni_free(v);
    return s;
}

static norn_status expand_mvn(norn_graph *g, const norn_node *node, norn_value **out) {
    static const int64_t usual[] = {0, 2, 3};
    norni_ints a = ((const mvn_attrs *)node->attrs)->axes;
    norn_dtype t = node->in[0]->type.dtype, wide = t == NORN_F64 ? t : NORN_F32;
    norn_value *x = norni_cast(g, node->in[0], wide),
               *axes = norni_i64_const(g, a.n < 0 ? 3 : a.n, a.n < 0 ? usual : a.v);
    norn_value *d = NORNI_OP2(g, x, NORNI_OP2(g, x, axes, "ReduceMean"), "Sub");
    norn_value *s = NORNI_OP1(g, NORNI_OP2(g, NORNI_OP2(g, d, d, "Mul"), axes, "ReduceMean"), "Sqrt");
    out[0] =
        norni_cast(g, NORNI_OP2(g, d, NORNI_OP2(g, s, norni_scalar_const(g, wide, 1e-9), "Add"), "Div"), t);
    return norn_graph_status(g);
}

#define ROW(id, in_name, out_name, ...)                                                                      \
    const norn_op norni_op_##id = {.domain = "",                                                             \
                                   .name = #id,                                                              \
                                   .inputs = (const norni_param[]){{in_name, 0, NORNI_FLOATS, 'T'}, {0}},    \
                                   .outputs = (const norni_param[]){{out_name, 0, NORNI_FLOATS, 'T'}, {0}},  \
                                   __VA_ARGS__}
ROW(LpNormalization, "input", "output", .versions = (const int[]){1, 22, 0},
    .doc = "x divided by its norm along an axis", .attrs_bytes = sizeof(lp_attrs), .attrs = lp_table,
    .infer = infer_lp, .eval = eval_lp, .expand = expand_lp,
    .cases = (const char *const[]){"LpNormalization(float[3,17])", "LpNormalization<p=1>(float[2,5,3])",
                                   "LpNormalization<axis=0, p=2>(float[4,33])",
                                   "LpNormalization<axis=1>(float[2,0,3])",
                                   "LpNormalization(float[2,3]{0,0,0,1,2,2})", NULL});
ROW(MeanVarianceNormalization, "X", "Y", .versions = (const int[]){9, 13, 0},
    .doc = "x minus its mean over axes, divided by its standard deviation", .attrs_bytes = sizeof(mvn_attrs),
    .attrs = mvn_table, .infer = infer_mvn, .eval = eval_mvn, .expand = expand_mvn,
    .cases = (const char *const[]){"MeanVarianceNormalization(float[2,3,4,5])",
                                   "MeanVarianceNormalization<axes=[1,-1]>(float[2,3,7])",
                                   "MeanVarianceNormalization<axes=[0]>(float[5,3])", NULL});
