/* SPDX-License-Identifier: Apache-2.0 */
/* ArgMax, ArgMin: where along an axis the largest or smallest element lies; the first of equals, or the last. NaN counts
 * as the largest and as the smallest, as in numpy and torch. Source: ONNX ArgMax-13. */
#include "ops/op.h"
#include <math.h>
#include <string.h>

typedef struct {
    int64_t axis, keepdims, select_last_index;
} arg_attrs;
static const norni_attr table[] = {
    NORNI_A_INT(arg_attrs, axis, 0), NORNI_A_INT(arg_attrs, keepdims, 1, .lo = 0, .hi = 1),
    NORNI_A_INT(arg_attrs, select_last_index, 0, .lo = 0, .hi = 1, .since = 12), NORNI_A_END};

static bool is_min(const norn_node *node) {
    return !strcmp(node->op->name, "ArgMin");
}

static norn_status infer(norni_infer *c) {
    const norni_type *x = norni_in_type(c, 0);
    const arg_attrs *a = c->attrs;
    int axis;
    if (x->rank < 0)
        return NORN_OK;
    NORNI_TRY(norni_axis(a->axis, x->rank, &axis));
    if (x->dims[axis] == 0)
        return norni_fail(NORN_SHAPE, "dimension %d has no elements (wanted at least one)", axis);
    c->out[0].rank = 0;
    for (int i = 0; i < x->rank; i++)
        if (i != axis || a->keepdims)
            c->out[0].dims[c->out[0].rank++] = i == axis ? 1 : x->dims[i];
    return NORN_OK;
}

typedef struct {
    int64_t outer, r, inner;
} lines;

static norn_status lines_of(const norn_node *node, lines *l) {
    const norni_type *x = &node->in[0]->type;
    int axis;
    NORNI_TRY(norni_axis(((const arg_attrs *)node->attrs)->axis, x->rank, &axis));
    *l = (lines){norni_elems(axis, x->dims), x->dims[axis],
                 norni_elems(x->rank - axis - 1, x->dims + axis + 1)};
    return NORN_OK;
}

/* Whether element i goes before element j, as NaN, size and place say; on the host. */
static bool before(const norn_tensor *x, int64_t i, int64_t j, bool min, bool last) {
    const void *d = norni_tensor_data(x);
    if (norni_dtype_is_float(x->dtype)) {
        double a = norni_get_double(x->dtype, d, i), b = norni_get_double(x->dtype, d, j);
        if (isnan(a) || isnan(b))
            return isnan(a) && (last || !isnan(b));
        return min ? (a < b || (last && a == b)) : (a > b || (last && a == b));
    }
    int64_t a = norni_get_int(x->dtype, d, i), b = norni_get_int(x->dtype, d, j);
    bool less = norni_dtype_class(x->dtype) == NORNI_CLASS_INT ? a < b : (uint64_t)a < (uint64_t)b;
    return a == b ? last : min ? less : !less;
}

static norn_status eval(norni_eval *e) {
    const arg_attrs *a = e->attrs;
    lines l = {0};
    int64_t *y = norni_tensor_data(e->out[0]);
    NORNI_TRY(lines_of(e->node, &l));
    for (int64_t o = 0; o < l.outer; o++)
        for (int64_t j = 0; j < l.inner; j++) {
            int64_t base = o * l.r * l.inner + j, best = 0;
            for (int64_t i = 1; i < l.r; i++)
                if (before(e->in[0], base + i * l.inner, base + best * l.inner, is_min(e->node),
                           a->select_last_index))
                    best = i;
            y[o * l.inner + j] = best;
        }
    return NORN_OK;
}

static norni_step *new_step(norni_emit *e, const char *kernel) {
    norni_step *s = norni_emit_kernel(e, "arg.cl", kernel, e->node->in[0]->type.dtype);
    if (is_min(e->node))
        norni_step_define(e, s, "MIN", 1);
    if (((const arg_attrs *)e->node->attrs)->select_last_index)
        norni_step_define(e, s, "LAST", 1);
    return s;
}

static norn_status emit(norni_emit *e) {
    enum { SHORT = 16 };
    norn_dtype t = e->node->in[0]->type.dtype;
    lines l = {0};
    NORNI_TRY(lines_of(e->node, &l));
    int64_t n = l.outer * l.inner, units = e->device->compute_units ? e->device->compute_units : 1;
    bool cpu = norni_device_is_cpu(e->device);
    bool wide = norni_dtype_bits(t) == 32 || (norni_dtype_is_float(t) && norni_dtype_bits(t) == 16);
    int w = !wide || l.r > INT32_MAX ? 1 : cpu ? 16 : 4;
    if (l.inner < w)
        w = 1;
    if (n == 0)
        return e->status;
    /* Long lines, but too few of them to keep the device busy, are searched in parts. */
    int64_t blocks = w > 1 ? l.outer * norni_ceil_div(l.inner, w) : n, busy = cpu ? units * 2 : 16384,
            parts = 1;
    int64_t least = cpu ? 2048 : 32;
    if (blocks < busy && l.r >= 2 * least) {
        parts = norni_ceil_div(busy, blocks);
        parts = parts > l.r / least ? l.r / least : parts;
        parts = norni_ceil_div(l.r, norni_ceil_div(l.r, parts)); /* none is empty */
    }
    int64_t part = norni_ceil_div(l.r, parts), each = cpu && part < 1024 ? norni_ceil_div(1024, part) : 1;
    norni_ref y = norni_emit_out(e, 0),
              found = parts == 1 ? y : norni_emit_scratch(e, (size_t)(n * parts) * sizeof(int64_t));
    norni_step *s = new_step(e, "arg_find");
    norni_step_define(e, s, "W", w);
    if (cpu && l.inner == 1 && part <= SHORT)
        norni_step_define(e, s, "SHORT", 1);
    norni_step_buffer(e, s, norni_emit_in(e, 0), NORNI_READ);
    norni_step_buffer(e, s, found, NORNI_WRITE);
    norni_step_i64(e, s, l.outer);
    norni_step_i64(e, s, l.r);
    norni_step_i64(e, s, l.inner);
    norni_step_i64(e, s, parts);
    norni_step_i64(e, s, part);
    norni_step_i64(e, s, each);
    norni_step_items(e, s, 2, w > 1 ? blocks : norni_ceil_div(n, each), parts, 1);
    if (parts == 1)
        return e->status;
    s = new_step(e, "arg_join");
    norni_step_buffer(e, s, norni_emit_in(e, 0), NORNI_READ);
    norni_step_buffer(e, s, found, NORNI_READ);
    norni_step_buffer(e, s, y, NORNI_WRITE);
    norni_step_i64(e, s, n);
    norni_step_i64(e, s, l.r);
    norni_step_i64(e, s, l.inner);
    norni_step_i64(e, s, parts);
    norni_step_items(e, s, 1, n, 1, 1);
    return e->status;
}

static norn_status lower(norni_adapt *a) {
    norni_lower_axis(a, &((arg_attrs *)a->node->attrs)->axis, a->node->in[0]->type.rank);
    return NORN_OK;
}

static void cost(const norn_node *node, norni_cost *c) {
    c->flops = (double)norni_type_elems(&node->in[0]->type);
}

static const norni_impl impls[] = {{.name = "find", .emit = emit}, {0}};

#define ARG(id, what)                                                                                        \
    const norn_op norni_op_##id = {                                                                          \
        .domain = "",                                                                                        \
        .name = #id,                                                                                         \
        .versions = (const int[]){1, 11, 12, 13, 0},                                                         \
        .doc = "where the " what " element lies along an axis",                                              \
        .inputs = (const norni_param[]){{"data", NORNI_NODIFF, NORNI_NUMBERS, 0}, {0}},                      \
        .outputs = (const norni_param[]){{"reduced", 0, NORNI_T(NORN_I64), 0}, {0}},                         \
        .attrs_bytes = sizeof(arg_attrs),                                                                    \
        .attrs = table,                                                                                      \
        .lower = lower,                                                                                      \
        .infer = infer,                                                                                      \
        .grad = norni_no_gradient,                                                                           \
        .eval = eval,                                                                                        \
        .impls = impls,                                                                                      \
        .cost = cost,                                                                                        \
        .cases =                                                                                             \
            (const char *const[]){#id "(float[3,7])", #id "<axis=1, keepdims=0>(float[2,5,37])",             \
                                  #id "<axis=-1, select_last_index=1>(int32[9,20])",                         \
                                  #id "<axis=1, select_last_index=1>(int8[3,30,5])",                         \
                                  #id "<axis=0>(float[9000])", #id "<axis=1, keepdims=0>(uint8[2,9000,3])",  \
                                  #id "<axis=1, select_last_index=1>(float[1,6,16])",                        \
                                  #id "<axis=0>(double[4,3])", #id "<axis=1>(int64[0,3])",                   \
                                  #id "<axis=1>(float16[37,3])",                                             \
                                  #id "<axis=1, select_last_index=1>(uint64[5,40])", NULL},                  \
    }
ARG(ArgMax, "largest");
ARG(ArgMin, "smallest");
