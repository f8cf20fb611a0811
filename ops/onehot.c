/* SPDX-License-Identifier: Apache-2.0 */
/* OneHot: a new axis of a given depth, on which each index is marked: values = [off, on]. Indices from -depth to -1 count
 * from the end; those outside mark nothing. Source: ONNX OneHot-28. */
#include "ops/copy.h"
#include <string.h>

typedef struct {
    int64_t axis;
} attrs;
static const norni_attr table[] = {NORNI_A_INT(attrs, axis, -1), NORNI_A_END};

/* The depth when it is known, as a size. */
static norn_status depth_of(norn_graph *g, norn_value *v, norni_dim *d, bool *known) {
    int n = 0;
    int64_t number;
    *known = false;
    if (v->type.rank > 1 || (v->type.rank == 1 && v->type.dims[0] >= 0 && v->type.dims[0] != 1))
        return norni_fail(NORN_SHAPE, "depth has rank %d (wanted a scalar)", v->type.rank);
    const norni_dim *k = norni_value_known(v, &n);
    if (k)
        *d = k[0];
    else if (norni_is_const(v))
        *d = norni_dim_of(
            g, norni_double_to_int(norni_get_double(v->data->dtype, norni_tensor_data(v->data), 0)));
    else
        return NORN_OK;
    *known = true;
    if (norni_dim_number(g, *d, &number) && number < 0)
        return norni_fail(NORN_SHAPE, "depth is %lld (wanted 0 or more)", (long long)number);
    return NORN_OK;
}

static norn_status infer(norni_infer *c) {
    const norni_type *index = norni_in_type(c, 0), *values = norni_in_type(c, 2);
    norni_type *y = &c->out[0];
    norni_dim depth = 0;
    bool known;
    int axis;
    NORNI_TRY(depth_of(c->g, c->node->in[1], &depth, &known));
    if (values->rank > 1 || values->rank == 0 ||
        (values->rank == 1 && values->dims[0] >= 0 && values->dims[0] != 2))
        return norni_fail(NORN_SHAPE, "values has rank %d (wanted a vector of two: off, on)", values->rank);
    if (index->rank < 0)
        return NORN_OK;
    if (index->rank == NORN_MAX_RANK)
        return norni_fail(NORN_UNSUPPORTED, "the output would have rank %d (norn has at most %d)",
                          index->rank + 1, NORN_MAX_RANK);
    NORNI_TRY(norni_axis(((const attrs *)c->attrs)->axis, index->rank + 1, &axis));
    y->rank = index->rank + 1;
    for (int i = 0, k = 0; i < y->rank; i++)
        y->dims[i] = i != axis ? index->dims[k++] : known ? depth : norni_dim_fresh(c->g);
    return NORN_OK;
}

typedef struct {
    int64_t outer, depth, inner;
} sizes;

static norn_status sizes_of(const norn_node *node, sizes *s) {
    const norni_type *y = &node->out[0]->type;
    int axis;
    NORNI_TRY(norni_axis(((const attrs *)node->attrs)->axis, y->rank, &axis));
    *s = (sizes){norni_elems(axis, y->dims), y->dims[axis],
                 norni_elems(y->rank - axis - 1, y->dims + axis + 1)};
    return NORN_OK;
}

static norn_status eval(norni_eval *e) {
    const norn_tensor *index = e->in[0], *values = e->in[2], *y = e->out[0];
    size_t size = (size_t)norni_dtype_bits(y->dtype) / 8;
    sizes s;
    NORNI_TRY(sizes_of(e->node, &s));
    for (int64_t k = 0, n = norni_tensor_elems(y); k < n; k++) {
        int64_t d = k / s.inner % s.depth, at = k / (s.inner * s.depth) * s.inner + k % s.inner;
        int64_t v = norni_get_int(index->dtype, norni_tensor_data(index), at);
        bool hot = v == d || v == d - s.depth;
        memcpy((char *)norni_tensor_data(y) + (size_t)k * size,
               (char *)norni_tensor_data(values) + (hot ? size : 0), size);
    }
    return NORN_OK;
}

static const char *c_name(norn_dtype t) {
    switch (t) {
    case NORN_I8:
        return "char";
    case NORN_U8:
        return "uchar";
    case NORN_I16:
        return "short";
    case NORN_U16:
        return "ushort";
    case NORN_I32:
        return "int";
    case NORN_U32:
        return "uint";
    case NORN_U64:
        return "ulong";
    case NORN_F32:
        return "float";
    case NORN_F64:
        return "double";
    case NORN_F16:
        return "half";
    default:
        return "long";
    }
}

static norn_status emit(norni_emit *e) {
    norn_dtype t = e->node->out[0]->type.dtype, index = e->node->in[0]->type.dtype;
    sizes s;
    NORNI_TRY(sizes_of(e->node, &s));
    bool planes = s.inner != 1;
    int64_t rows = planes ? s.outer * s.depth : s.outer, n = planes ? s.inner : s.depth;
    if (rows * n == 0)
        return e->status;
    norni_row_split split = norni_split_rows(e, rows, n, t);
    norni_step *step = norni_emit_move(e, "onehot.cl", planes ? "onehot_planes" : "onehot_rows", t);
    norni_step_define_text(e, step, "IDX", c_name(index));
    if (index == NORN_F16)
        norni_step_define(e, step, "IDX_HALF", 1);
    if (index == NORN_F64)
        norni_step_define(e, step, "NORNI_F64", 1);
    norni_step_define(e, step, "W", split.width);
    norni_step_buffer(e, step, norni_emit_in(e, 0), NORNI_READ);
    norni_step_buffer(e, step, norni_emit_in(e, 2), NORNI_READ);
    norni_step_buffer(e, step, norni_emit_out(e, 0), NORNI_WRITE);
    norni_step_i64(e, step, s.depth);
    if (planes)
        norni_step_i64(e, step, s.inner);
    norni_step_i64(e, step, rows);
    norni_step_i64(e, step, split.rows_each);
    norni_step_i64(e, step, split.chunks);
    norni_step_i64(e, step, split.chunk);
    norni_step_items(e, step, 1, split.items, 1, 1);
    return e->status;
}

/* The sum of dy where it is on, and where it is off. */
static void grad(norni_grad *c) {
    norn_graph *g = c->g;
    norn_value *dy = c->dy[0], *marks;
    norn_tensor *t;
    norn_status s = norni_tensor_host(dy->type.dtype, 1, (int64_t[]){2}, &t);
    if (s != NORN_OK) {
        norni_graph_failed(g, s);
        return;
    }
    norni_set_double(t->dtype, norni_tensor_data(t), 1, 1);
    marks = NORNI_OP3(g, c->node->in[0], c->node->in[1], norni_value_const(g, NULL, t), "OneHot<axis=%d>",
                      (int)((const attrs *)c->node->attrs)->axis);
    norn_value *one = norni_i64_const(g, 1, (int64_t[]){1});
    norn_value *all = NORNI_OP2(g, NORNI_OP1(g, dy, "ReduceSum<keepdims=0>"), one, "Reshape");
    norn_value *on =
        NORNI_OP2(g, NORNI_OP1(g, NORNI_OP2(g, dy, marks, "Mul"), "ReduceSum<keepdims=0>"), one, "Reshape");
    c->dx[2] = NORNI_OP2(g, NORNI_OP2(g, all, on, "Sub"), on, "Concat<axis=0>");
}

static void cost(const norn_node *node, norni_cost *c) {
    c->flops = 0;
}

static const norni_impl impls[] = {{.name = "rows", .emit = emit}, {0}};

#define INDEX_TYPES (NORNI_NUMBERS & ~NORNI_T(NORN_BF16))
const norn_op norni_op_OneHot = {
    .domain = "",
    .name = "OneHot",
    .versions = (const int[]){9, 11, 28, 0},
    .doc = "a new axis on which indices are marked",
    .inputs = (const norni_param[]){{"indices", NORNI_NODIFF, INDEX_TYPES, 0},
                                    {"depth", NORNI_NODIFF | NORNI_HOST, INDEX_TYPES, 0},
                                    {"values", 0, NORNI_ANY, 'T'},
                                    {0}},
    .outputs = (const norni_param[]){{"output", 0, NORNI_ANY, 'T'}, {0}},
    .attrs_bytes = sizeof(attrs),
    .attrs = table,
    .infer = infer,
    .grad = grad,
    .eval = eval,
    .impls = impls,
    .cost = cost,
    .cases =
        (const char *const[]){
            "OneHot(int64[2,3], int64[]{5}, float[2])", "OneHot<axis=1>(int32[4,9], int64[1]{3}, float[2])",
            "OneHot<axis=0>(uint8[7], float[]{6}, int64[2])", "OneHot(float[5], int32[]{40}, uint8[2])",
            "OneHot(float16[5], int64[]{3}, bool[2])", "OneHot<axis=1>(double[2,3], double[]{4}, float16[2])",
            "OneHot(int64[], int64[]{3}, float[2])", "OneHot(int8[0], int64[]{3}, float[2])", NULL},
};
