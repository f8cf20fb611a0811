/* SPDX-License-Identifier: Apache-2.0 */
/* GatherElements: y[i..] = x[i..] with the index along an axis replaced by index[i..]. GatherND: slices of x, each named by
 * a tuple of indices, after batch_dims axes that go with the indices' first ones. Sources: ONNX GatherElements-13,
 * GatherND-13. */
#include "ops/gather.h"
#include "ops/rows.h"
#include <string.h>

static void cost(const norn_node *node, norni_cost *c) {
    *c = (norni_cost){.bytes = 2 * (double)norni_type_bytes(&node->out[0]->type) +
                               (double)norni_type_bytes(&node->in[1]->type)};
}

static void row_args(norni_emit *e, norni_step *s, const norni_row_split *split, int64_t rows) {
    norni_define_index(e, s, 1);
    norni_step_buffer(e, s, norni_emit_in(e, 0), NORNI_READ);
    norni_step_buffer(e, s, norni_emit_in(e, 1), NORNI_READ);
    norni_step_buffer(e, s, norni_emit_out(e, 0), NORNI_WRITE);
    norni_step_i64(e, s, rows);
    norni_step_i64(e, s, split->rows_each);
    norni_step_i64(e, s, split->chunks);
    norni_step_i64(e, s, split->chunk);
    norni_step_items(e, s, 1, split->items, 1, 1);
}

/* ---- GatherElements. */
typedef struct {
    int64_t axis;
} elements_attrs;
static const norni_attr elements_table[] = {NORNI_A_INT(elements_attrs, axis, 0), NORNI_A_END};

static int axis_of(const norn_node *node) {
    int axis;
    return norni_axis(((const elements_attrs *)node->attrs)->axis, node->in[0]->type.rank, &axis) == NORN_OK
               ? axis
               : 0;
}

static norn_status infer_elements(norni_infer *c) {
    const norni_type *x = norni_in_type(c, 0), *index = norni_in_type(c, 1);
    int axis;
    norn_dtype t = c->out[0].dtype;
    c->out[0] = *index;
    c->out[0].dtype = t;
    if (!norni_in_ranked(c, 2))
        return NORN_OK;
    NORNI_TRY(norni_axis(((const elements_attrs *)c->attrs)->axis, x->rank, &axis));
    return norni_element_indices(x, index, axis);
}

static norn_status check_elements(const norn_node *node, int i, const norn_tensor *t) {
    int axis = axis_of(node);
    return i == 1 ? norni_check_indices(t, axis, node->in[0]->type.dims[axis]) : NORN_OK;
}

static norn_status eval_elements(norni_eval *e) {
    const norn_tensor *x = e->in[0], *index = e->in[1], *y = e->out[0];
    size_t size = (size_t)norni_dtype_bits(x->dtype) / 8;
    int axis = axis_of(e->node);
    for (int64_t k = 0, n = norni_tensor_elems(y); k < n; k++) {
        int64_t rest = k, at = 0, place;
        if (!norni_index_place(norni_get_int(index->dtype, norni_tensor_data(index), k), x->dims[axis],
                               &place))
            continue;
        for (int i = x->rank - 1; i >= 0; i--) {
            at += (i == axis ? place : rest % y->dims[i]) * x->strides[i];
            rest /= y->dims[i];
        }
        memcpy((char *)norni_tensor_data(y) + (size_t)k * size,
               (char *)norni_tensor_data(x) + (size_t)at * size, size);
    }
    return NORN_OK;
}

static norn_status emit_elements(norni_emit *e) {
    const norni_type *x = &e->node->in[0]->type, *y = &e->node->out[0]->type;
    int axis = axis_of(e->node), r = x->rank;
    int64_t strides[NORN_MAX_RANK], n = r ? y->dims[r - 1] : 1;
    if (norni_type_elems(y) == 0)
        return e->status;
    int64_t rows = norni_type_elems(y) / n, sx, d;
    norni_strides(r, x->dims, strides);
    sx = r ? strides[axis] : 0;
    d = r ? x->dims[axis] : 1;
    if (r)
        strides[axis] = 0;
    norni_row_split split = norni_split_rows(e, rows, n, x->dtype);
    norni_step *s = norni_emit_move(e, "gather.cl", "gather_elements", x->dtype);
    row_args(e, s, &split, rows);
    norni_step_i64(e, s, n);
    norni_step_i64(e, s, d);
    norni_step_i64(e, s, sx);
    norni_step_i64(e, s, r ? strides[r - 1] : 0);
    for (int i = 0; i < 7; i++) {
        int k = i - (7 - (r - 1));
        norni_step_i64(e, s, k >= 0 && r ? y->dims[k] : 1);
        norni_step_i64(e, s, k >= 0 && r ? strides[k] : 0);
    }
    return e->status;
}

static void grad_elements(norni_grad *c) {
    norn_value *x = c->node->in[0];
    c->dx[0] = NORNI_OP3(c->g, norni_zeros(c->g, x->type.dtype, norni_shape_value(c->g, x)), c->node->in[1],
                         c->dy[0], "ScatterElements<axis=%d, reduction=\"add\">",
                         (int)((const elements_attrs *)c->node->attrs)->axis);
}

static const norni_impl elements_impls[] = {{.name = "rows", .emit = emit_elements}, {0}};

const norn_op norni_op_GatherElements = {
    .domain = "",
    .name = "GatherElements",
    .versions = (const int[]){11, 13, 0},
    .doc = "elements by index along an axis",
    .inputs = PARAMS({"data", 0, NORNI_ANY, 'T'}, {"indices", NORNI_NODIFF, NORNI_INDEX, 0}),
    .outputs = PARAMS({"output", 0, NORNI_ANY, 'T'}),
    .attrs_bytes = sizeof(elements_attrs),
    .attrs = elements_table,
    .infer = infer_elements,
    .check = check_elements,
    .grad = grad_elements,
    .eval = eval_elements,
    .impls = elements_impls,
    .cost = cost,
    .cases = (const char *const[]){"GatherElements(float[5,3], int64[2,3])",
                                   "GatherElements<axis=1>(float[3,6,2], int64[2,9,2])",
                                   "GatherElements<axis=-1>(float[4,9], int32[4,3])",
                                   "GatherElements(float[9], int64[2000])",
                                   "GatherElements<axis=2>(uint8[2,3,7,2], int32[2,2,5,1])",
                                   "GatherElements<axis=1>(double[3,5], int64[3,0])", NULL},
};

/* ---- GatherND. */
typedef struct {
    int64_t batch_dims;
} nd_attrs;
static const norni_attr nd_table[] = {
    NORNI_A_INT(nd_attrs, batch_dims, 0, .lo = 0, .hi = NORN_MAX_RANK, .since = 12), NORNI_A_END};

static norn_status infer_nd(norni_infer *c) {
    const norni_type *x = norni_in_type(c, 0), *index = norni_in_type(c, 1);
    norni_type *y = &c->out[0];
    if (!norni_in_ranked(c, 2))
        return NORN_OK;
    int b = (int)((const nd_attrs *)c->attrs)->batch_dims;
    if (index->rank < 1 || x->rank < 1 || b >= index->rank || b >= x->rank)
        return norni_fail(NORN_SHAPE,
                          "data has rank %d, indices have rank %d, with %d batch dimensions (wanted more)",
                          x->rank, index->rank, b);
    for (int i = 0; i < b; i++)
        if (x->dims[i] >= 0 && index->dims[i] >= 0 && x->dims[i] != index->dims[i])
            return norni_fail(NORN_SHAPE,
                              "indices have size %lld in batch dimension %d (wanted %lld, as data)",
                              (long long)index->dims[i], i, (long long)x->dims[i]);
    int64_t w = index->dims[index->rank - 1];
    if (w < 0)
        return NORN_OK;
    if (w < 1 || w > x->rank - b)
        return norni_fail(NORN_SHAPE, "indices come in tuples of %lld (wanted 1 to %d)", (long long)w,
                          x->rank - b);
    int rank = index->rank - 1 + x->rank - b - (int)w;
    if (rank > NORN_MAX_RANK)
        return norni_fail(NORN_UNSUPPORTED, "the output would have rank %d (norn has at most %d)", rank,
                          NORN_MAX_RANK);
    y->rank = 0;
    for (int i = 0; i + 1 < index->rank; i++)
        y->dims[y->rank++] = i < b && x->dims[i] >= 0 ? x->dims[i] : index->dims[i];
    for (int i = b + (int)w; i < x->rank; i++)
        y->dims[y->rank++] = x->dims[i];
    return NORN_OK;
}

typedef struct {
    int b, width;
    int64_t batches, count, range, inner; /* tuples a batch, slices a batch, elements a slice */
} sizes;

static sizes sizes_of(const norn_node *node) {
    const norni_type *x = &node->in[0]->type, *index = &node->in[1]->type;
    int b = (int)((const nd_attrs *)node->attrs)->batch_dims, w = (int)index->dims[index->rank - 1];
    return (sizes){b,
                   w,
                   norni_elems(b, x->dims),
                   norni_elems(index->rank - 1 - b, index->dims + b),
                   norni_elems(w, x->dims + b),
                   norni_elems(x->rank - b - w, x->dims + b + w)};
}

static norn_status check_nd(const norn_node *node, int i, const norn_tensor *t) {
    return i == 1 ? norni_check_tuples(t, (int)((const nd_attrs *)node->attrs)->batch_dims,
                                       node->in[0]->type.dims)
                  : NORN_OK;
}

static norn_status eval_nd(norni_eval *e) {
    const norn_tensor *x = e->in[0], *index = e->in[1];
    sizes s = sizes_of(e->node);
    size_t row = (size_t)s.inner * (size_t)norni_dtype_bits(x->dtype) / 8;
    for (int64_t k = 0; k < s.batches * s.count && row; k++) {
        int64_t r;
        if (norni_tuple_place(index, k, s.width, x->dims + s.b, &r))
            memcpy((char *)norni_tensor_data(e->out[0]) + (size_t)k * row,
                   (char *)norni_tensor_data(x) + (size_t)(k / s.count * s.range + r) * row, row);
    }
    return NORN_OK;
}

static norn_status emit_nd(norni_emit *e) {
    const norni_type *x = &e->node->in[0]->type;
    sizes s = sizes_of(e->node);
    int64_t rows = s.batches * s.count, strides[NORN_MAX_RANK];
    if (rows * s.inner == 0)
        return e->status;
    norni_strides(x->rank, x->dims, strides);
    norni_row_split split = norni_split_rows(e, rows, s.inner, x->dtype);
    norni_step *step = norni_emit_move(e, "gather.cl", "gather_nd", x->dtype);
    norni_step_define(e, step, "W", split.width);
    row_args(e, step, &split, rows);
    norni_step_i64(e, step, s.inner);
    norni_step_i64(e, step, s.count);
    norni_step_i64(e, step, s.range * s.inner);
    norni_step_i32(e, step, s.width);
    for (int i = 0; i < NORN_MAX_RANK; i++) {
        norni_step_i64(e, step, i < s.width ? x->dims[s.b + i] : 1);
        norni_step_i64(e, step, i < s.width ? strides[s.b + i] : 0);
    }
    return e->status;
}

/* ScatterND adds dy up. It has no batches: with those, the batch's number becomes the first index of each tuple. */
static void grad_nd(norni_grad *c) {
    norn_graph *g = c->g;
    norn_value *x = c->node->in[0], *index = c->node->in[1], *dy = c->dy[0];
    if (((const nd_attrs *)c->node->attrs)->batch_dims == 0) {
        c->dx[0] = NORNI_OP3(g, norni_zeros(g, x->type.dtype, norni_shape_value(g, x)), index, dy,
                             "ScatterND<reduction=\"add\">");
        return;
    }
    if (!norni_type_static(&x->type) || !norni_type_static(&index->type)) {
        norni_graph_failed(g, norni_fail(NORN_SHAPE, "the sizes are not known; bind the sizes first"));
        return;
    }
    sizes s = sizes_of(c->node);
    int64_t dims[NORN_MAX_RANK + 1] = {s.batches};
    for (int i = 0; i < s.width; i++)
        dims[1 + i] = x->type.dims[s.b + i];
    dims[1 + s.width] = s.inner;
    const int64_t tuples[] = {s.batches, s.count, s.width}, one[] = {s.batches, 1, 1},
                  spread[] = {s.batches, s.count, 1}, slices[] = {s.batches, s.count, s.inner};
    norn_value *batch = norni_counted(g, norni_i64_const(g, 1, &s.batches));
    batch = NORNI_OP2(g, batch, norni_i64_const(g, 3, one), "Reshape<allowzero=1>");
    batch = NORNI_OP2(g, batch, norni_i64_const(g, 3, spread), "Expand");
    norn_value *at = NORNI_OP2(g, index, norni_i64_const(g, 3, tuples), "Reshape<allowzero=1>");
    at = NORNI_OP2(g, batch, at, "Concat<axis=2>");
    norn_value *dx = NORNI_OP3(g, norni_zeros(g, x->type.dtype, norni_i64_const(g, 2 + s.width, dims)), at,
                               NORNI_OP2(g, dy, norni_i64_const(g, 3, slices), "Reshape<allowzero=1>"),
                               "ScatterND<reduction=\"add\">");
    c->dx[0] = NORNI_OP2(g, dx, norni_i64_const(g, x->type.rank, x->type.dims), "Reshape<allowzero=1>");
}

static const norni_impl nd_impls[] = {{.name = "rows", .emit = emit_nd}, {0}};

const norn_op norni_op_GatherND = {
    .domain = "",
    .name = "GatherND",
    .versions = (const int[]){11, 12, 13, 0},
    .doc = "slices named by tuples of indices",
    .inputs = PARAMS({"data", 0, NORNI_ANY, 'T'}, {"indices", NORNI_NODIFF, NORNI_T(NORN_I64), 0}),
    .outputs = PARAMS({"output", 0, NORNI_ANY, 'T'}),
    .attrs_bytes = sizeof(nd_attrs),
    .attrs = nd_table,
    .infer = infer_nd,
    .check = check_nd,
    .grad = grad_nd,
    .eval = eval_nd,
    .impls = nd_impls,
    .cost = cost,
    .cases =
        (const char *const[]){"GatherND(float[5,6], int64[3,2])", "GatherND(float[5,3,20], int64[2,4,1])",
                              "GatherND<batch_dims=1>(float[3,5,6], int64[3,2,2])",
                              "GatherND<batch_dims=2>(float[2,3,5,4], int64[2,3,1])",
                              "GatherND(int64[6], int64[4,1])", "GatherND(uint8[5,5,5,3], int64[9,3])",
                              "GatherND(float[5,2], int64[0,1]{})", "GatherND(bool[7,2], int64[1]{-7})",
                              NULL},
};
