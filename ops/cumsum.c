/* SPDX-License-Identifier: Apache-2.0 */
/* CumSum, CumProd: running sums and products along an axis, from its beginning or its end, with or without the element
 * itself. Sources: ONNX CumSum-14, CumProd-26.
 *
 * The gradient of a product: what comes before element i times r_i, where r_i = dy_i + x_(i+1) r_(i+1) (without the element
 * itself: dy_(i+1) + x_(i+1) r_(i+1)); right where elements are 0 too. The recurrence is solved in steps that double: r_i of
 * s elements is r_i + m_i r_(i+s), m_i the product of the s elements behind i. */
#include "ops/op.h"
#include <string.h>

static bool is_product(const norn_op *op) {
    return !strcmp(op->name, "CumProd");
}

typedef struct {
    int64_t exclusive, reverse;
} attrs;
static const norni_attr table[] = {NORNI_A_INT(attrs, exclusive, 0, .lo = 0, .hi = 1),
                                   NORNI_A_INT(attrs, reverse, 0, .lo = 0, .hi = 1), NORNI_A_END};

typedef struct {
    int64_t outer, n, inner;
} lines;

/* The axis when it is known. */
static norn_status axis_of(const norn_node *node, int rank, int *axis, bool *known) {
    int64_t v;
    int n;
    *known = norni_value_ints(node->in[1], &v, 1, &n) && n == 1;
    return *known ? norni_axis(v, rank, axis) : NORN_OK;
}

static norn_status lines_of(const norn_node *node, lines *l) {
    const norni_type *x = &node->in[0]->type;
    int axis;
    bool known;
    NORNI_TRY(axis_of(node, x->rank, &axis, &known));
    if (!known)
        return norni_fail(NORN_SHAPE, "the axis is not known");
    *l = (lines){norni_elems(axis, x->dims), x->dims[axis],
                 norni_elems(x->rank - axis - 1, x->dims + axis + 1)};
    return NORN_OK;
}

static norn_status infer(norni_infer *c) {
    const norni_type *x = norni_in_type(c, 0), *a = norni_in_type(c, 1);
    int axis;
    bool known;
    if (a->rank > 1 || (a->rank == 1 && a->dims[0] >= 0 && a->dims[0] != 1))
        return norni_fail(NORN_SHAPE, "axis has rank %d (wanted a scalar)", a->rank);
    c->out[0] = *x;
    return x->rank < 0 ? NORN_OK : axis_of(c->node, x->rank, &axis, &known);
}

static norn_status eval(norni_eval *e) {
    const norn_tensor *x = e->in[0], *y = e->out[0];
    const attrs *a = e->attrs;
    bool is_float = norni_dtype_is_float(x->dtype), product = is_product(e->node->op);
    int64_t axis = norni_get_int(e->in[1]->dtype, norni_tensor_data(e->in[1]), 0);
    int at;
    NORNI_TRY(norni_axis(axis, x->rank, &at));
    int64_t n = x->dims[at], inner = norni_elems(x->rank - at - 1, x->dims + at + 1),
            outer = norni_elems(at, x->dims);
    for (int64_t l = 0; l < outer * inner; l++) {
        double sum = product ? 1 : 0;
        uint64_t total = product ? 1 : 0;
        for (int64_t k = 0; k < n; k++) {
            int64_t i = (l / inner * n + (a->reverse ? n - 1 - k : k)) * inner + l % inner;
            double v = is_float ? norni_get_double(x->dtype, norni_tensor_data(x), i) : 0;
            uint64_t u = is_float ? 0 : (uint64_t)norni_get_int(x->dtype, norni_tensor_data(x), i);
            if (is_float)
                norni_set_double(y->dtype, norni_tensor_data(y), i,
                                 a->exclusive ? sum
                                 : product    ? sum * v
                                              : sum + v);
            else
                norni_set_int(y->dtype, norni_tensor_data(y), i,
                              (int64_t)(a->exclusive ? total
                                        : product    ? total * u
                                                     : total + u));
            sum = product ? sum * v : sum + v;
            total = product ? total * u : total + u;
        }
    }
    return NORN_OK;
}

static void line_args(norni_emit *e, norni_step *s, const lines *l, int64_t parts, int64_t each) {
    norni_step_i64(e, s, l->outer);
    norni_step_i64(e, s, l->n);
    norni_step_i64(e, s, l->inner);
    norni_step_i64(e, s, parts);
    norni_step_i64(e, s, norni_ceil_div(l->n, parts));
    norni_step_i64(e, s, each);
}

static norn_status emit(norni_emit *e) {
    norn_dtype t = e->node->in[0]->type.dtype;
    const attrs *a = e->node->attrs;
    lines l = {0};
    NORNI_TRY(lines_of(e->node, &l));
    int64_t count = l.outer * l.inner, units = e->device->compute_units ? e->device->compute_units : 1;
    bool cpu = norni_device_is_cpu(e->device);
    int64_t w = cpu ? (norni_dtype_bits(t) == 64 ? 8 : 16) : 4;
    if (l.inner < w)
        w = 1;
    if (count * l.n == 0)
        return e->status;
    /* Few long lines are done in parts, whose sums come first. */
    int64_t blocks = w > 1 ? l.outer * norni_ceil_div(l.inner, w) : count, busy = cpu ? units * 2 : 4096,
            parts = 1;
    int64_t least = cpu ? 4096 : 64;
    if (blocks < busy && l.n >= 2 * least) {
        parts = norni_ceil_div(busy, blocks);
        parts = parts > l.n / least ? l.n / least : parts;
        parts = norni_ceil_div(l.n, norni_ceil_div(l.n, parts)); /* none is empty */
    }
    int64_t part = norni_ceil_div(l.n, parts), each = cpu && part < 1024 ? norni_ceil_div(1024, part) : 1;
    norni_ref x = norni_emit_in(e, 0), sums = x;
    norni_step *s;
    bool product = is_product(e->node->op);
    if (parts > 1) {
        sums = norni_emit_scratch(e, norni_dtype_bytes(t, count * parts));
        s = norni_emit_kernel(e, "cumsum.cl", "cumsum_parts", t);
        if (product)
            norni_step_define(e, s, "PROD", 1);
        norni_step_buffer(e, s, x, NORNI_READ);
        norni_step_buffer(e, s, sums, NORNI_WRITE);
        line_args(e, s, &l, parts, each);
        norni_step_items(e, s, 2, norni_ceil_div(count, each), parts, 1);
    }
    s = norni_emit_kernel(e, "cumsum.cl", "cumsum", t);
    if (product)
        norni_step_define(e, s, "PROD", 1);
    if (a->reverse)
        norni_step_define(e, s, "REVERSE", 1);
    if (a->exclusive)
        norni_step_define(e, s, "EXCLUSIVE", 1);
    norni_step_define(e, s, "W", w);
    norni_step_buffer(e, s, x, NORNI_READ);
    norni_step_buffer(e, s, sums, NORNI_READ);
    norni_step_buffer(e, s, norni_emit_out(e, 0), NORNI_WRITE);
    line_args(e, s, &l, parts, each);
    norni_step_items(e, s, 2, w > 1 ? blocks : norni_ceil_div(count, each), parts, 1);
    return e->status;
}

static void grad(norni_grad *c) {
    const attrs *a = c->node->attrs;
    c->dx[0] = NORNI_OP2(c->g, c->dy[0], c->node->in[1], "CumSum<exclusive=%d, reverse=%d>",
                         (int)a->exclusive, (int)!a->reverse);
}

/* v moved n elements along the axis, with zeros for those that come in: element i gets i + n (behind) or i - n. */
static norn_value *moved(norn_graph *g, norn_value *v, int axis, int64_t n, bool behind) {
    int64_t pads[2 * NORN_MAX_RANK] = {0}, from = behind ? n : 0, to = behind ? INT64_MAX : -n, at = axis;
    if (!v)
        return NULL;
    pads[behind ? v->type.rank + axis : axis] = n;
    norn_value *in[] = {v, norni_i64_const(g, 1, &from), norni_i64_const(g, 1, &to),
                        norni_i64_const(g, 1, &at)};
    return NORNI_OP2(g, norni_opf(g, 4, in, "Slice"), norni_i64_const(g, 2 * v->type.rank, pads), "Pad");
}

static void grad_product(norni_grad *c) {
    const attrs *a = c->node->attrs;
    norn_graph *g = c->g;
    norn_value *x = c->node->in[0];
    int axis = 0;
    bool known = false, behind = !a->reverse;
    norn_status s = x->type.rank < 0 ? NORN_OK : axis_of(c->node, x->type.rank, &axis, &known);
    if (s != NORN_OK || !known || x->type.dims[axis] < 0) {
        norni_graph_failed(g, s != NORN_OK ? s
                                           : norni_fail(NORN_UNSUPPORTED,
                                                        "CumProd: gradient without a known axis and size"));
        return;
    }
    int64_t n = x->type.dims[axis];
    norn_value *before = NORNI_OP2(g, x, c->node->in[1], "CumProd<exclusive=1, reverse=%d>", (int)a->reverse);
    norn_value *r = a->exclusive && n ? moved(g, c->dy[0], axis, 1, behind) : c->dy[0];
    norn_value *m = n ? moved(g, x, axis, 1, behind) : x;
    for (int64_t step = 1; step < n; step *= 2) {
        r = NORNI_OP2(g, r, NORNI_OP2(g, m, moved(g, r, axis, step, behind), "Mul"), "Add");
        m = NORNI_OP2(g, m, moved(g, m, axis, step, behind), "Mul");
    }
    c->dx[0] = NORNI_OP2(g, before, r, "Mul");
}

static void cost(const norn_node *node, norni_cost *c) {
    c->flops = (double)norni_type_elems(&node->in[0]->type);
}

static const norni_impl impls[] = {{.name = "lines", .emit = emit}, {0}};

#define SUM_TYPES (NORNI_FLOATS | NORNI_INDEX | NORNI_T(NORN_U32) | NORNI_T(NORN_U64))
const norn_op norni_op_CumSum = {
    .domain = "",
    .name = "CumSum",
    .versions = (const int[]){11, 14, 0},
    .doc = "running sums along an axis",
    .inputs = (const norni_param[]){{"x", 0, SUM_TYPES, 'T'},
                                    {"axis", NORNI_NODIFF | NORNI_HOST, NORNI_INDEX, 0},
                                    {0}},
    .outputs = (const norni_param[]){{"y", 0, SUM_TYPES, 'T'}, {0}},
    .attrs_bytes = sizeof(attrs),
    .attrs = table,
    .infer = infer,
    .grad = grad,
    .eval = eval,
    .impls = impls,
    .cost = cost,
    .cases =
        (const char *const[]){
            "CumSum(float[3,7], int64[]{1})", "CumSum<exclusive=1>(float[2,5,37], int32[]{1})",
            "CumSum<reverse=1>(float[4,9], int64[1]{-2})",
            "CumSum<exclusive=1, reverse=1>(float[20000], int64[]{0})", "CumSum(int32[3,4], int64[]{0})",
            "CumSum<reverse=1>(float[2,17000,2], int64[]{1})", "CumSum<exclusive=1>(uint64[1,6], int64[]{1})",
            "CumSum(float[0,3], int64[]{1})", NULL},
};

const norn_op norni_op_CumProd = {
    .domain = "",
    .name = "CumProd",
    .versions = (const int[]){26, 0},
    .doc = "running products along an axis",
    .inputs = (const norni_param[]){{"x", 0, SUM_TYPES, 'T'},
                                    {"axis", NORNI_NODIFF | NORNI_HOST, NORNI_INDEX, 0},
                                    {0}},
    .outputs = (const norni_param[]){{"y", 0, SUM_TYPES, 'T'}, {0}},
    .attrs_bytes = sizeof(attrs),
    .attrs = table,
    .infer = infer,
    .grad = grad_product,
    .eval = eval,
    .impls = impls,
    .cost = cost,
    .cases =
        (const char *const[]){
            "CumProd(float[3,7], int64[]{1})", "CumProd<exclusive=1>(float[2,5,37], int32[]{1})",
            "CumProd<reverse=1>(float[4,9], int64[1]{-2})",
            "CumProd<exclusive=1, reverse=1>(float[3,4], int64[]{0})",
            "CumProd(float[6]{1,0,2,0,3,1}, int64[]{0})", "CumProd(int32[3,4], int64[]{0})",
            "CumProd<reverse=1>(float[2,17000,2], int64[]{1})",
            "CumProd<exclusive=1>(uint64[1,6], int64[]{1})", "CumProd(float[0,3], int64[]{1})", NULL},
};
