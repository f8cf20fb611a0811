/* SPDX-License-Identifier: Apache-2.0 */
/* Gather: y[a.., i.., b..] = x[a.., index[i..], b..]: whole slices of x along an axis. An index below 0 counts from the
 * end. One that lies outside is refused where it is known before a run; a kernel that meets one gives 0. Source: ONNX
 * Gather-13. */
#include "ops/gather.h"
#include "ops/rows.h"
#include <string.h>

bool norni_index_place(int64_t index, int64_t d, int64_t *place) {
    *place = index < 0 ? index + d : index;
    return *place >= 0 && *place < d;
}

norn_status norni_check_indices(const norn_tensor *t, int axis, int64_t d) {
    int64_t n = norni_tensor_elems(t), place;
    for (int64_t i = 0; i < n; i++) {
        int64_t v = norni_get_int(t->dtype, norni_tensor_data(t), i);
        if (!norni_index_place(v, d, &place))
            return norni_fail(
                NORN_ARG, "indices has %lld at %lld (wanted %lld to %lld: dimension %d has size %lld)",
                (long long)v, (long long)i, (long long)-d, (long long)d - 1, axis, (long long)d);
    }
    return NORN_OK;
}

bool norni_tuple_place(const norn_tensor *t, int64_t k, int width, const int64_t *dims, int64_t *place) {
    *place = 0;
    for (int i = 0; i < width; i++) {
        int64_t at;
        if (!norni_index_place(norni_get_int(t->dtype, norni_tensor_data(t), k * width + i), dims[i], &at))
            return false;
        *place = *place * dims[i] + at;
    }
    return true;
}

norn_status norni_check_tuples(const norn_tensor *t, int from, const int64_t *dims) {
    int64_t n = norni_tensor_elems(t), width = t->dims[t->rank - 1], place;
    for (int64_t i = 0; i < n; i++) {
        int64_t v = norni_get_int(t->dtype, norni_tensor_data(t), i), d = dims[from + i % width];
        if (!norni_index_place(v, d, &place))
            return norni_fail(NORN_ARG,
                              "indices has %lld at %lld (wanted %lld to %lld: dimension %lld has size %lld)",
                              (long long)v, (long long)i, (long long)-d, (long long)d - 1,
                              (long long)(from + i % width), (long long)d);
    }
    return NORN_OK;
}

norn_status norni_element_indices(const norni_type *x, const norni_type *index, int axis) {
    if (index->rank != x->rank)
        return norni_fail(NORN_SHAPE, "indices have rank %d (wanted %d, as data)", index->rank, x->rank);
    for (int i = 0; i < x->rank; i++)
        if (i != axis && index->dims[i] >= 0 && x->dims[i] >= 0 && index->dims[i] > x->dims[i])
            return norni_fail(NORN_SHAPE,
                              "indices have size %lld in dimension %d (wanted at most %lld, as data)",
                              (long long)index->dims[i], i, (long long)x->dims[i]);
    return NORN_OK;
}

void norni_define_index(norni_emit *e, norni_step *s, int i) {
    norni_step_define_text(e, s, "IDX", e->node->in[i]->type.dtype == NORN_I32 ? "int" : "long");
}

typedef struct {
    int64_t axis;
} gather_attrs;
static const norni_attr table[] = {NORNI_A_INT(gather_attrs, axis, 0), NORNI_A_END};

static int axis_of(const norn_node *node) {
    int axis;
    return norni_axis(((const gather_attrs *)node->attrs)->axis, node->in[0]->type.rank, &axis) == NORN_OK
               ? axis
               : 0;
}

static norn_status infer(norni_infer *c) {
    const norni_type *x = norni_in_type(c, 0), *index = norni_in_type(c, 1);
    norni_type *y = &c->out[0];
    int axis, n, n_index;
    int64_t v;
    if (!norni_in_ranked(c, 2))
        return NORN_OK;
    NORNI_TRY(norni_axis(((const gather_attrs *)c->attrs)->axis, x->rank, &axis));
    if (x->rank - 1 + index->rank > NORN_MAX_RANK)
        return norni_fail(NORN_UNSUPPORTED, "the output would have rank %d (norn has at most %d)",
                          x->rank - 1 + index->rank, NORN_MAX_RANK);
    y->rank = 0;
    for (int i = 0; i < axis; i++)
        y->dims[y->rank++] = x->dims[i];
    for (int i = 0; i < index->rank; i++)
        y->dims[y->rank++] = index->dims[i];
    for (int i = axis + 1; i < x->rank; i++)
        y->dims[y->rank++] = x->dims[i];
    const norni_dim *d =
        x->rank == 1 && norni_dtype_is_int(x->dtype) ? norni_value_known(c->node->in[0], &n) : NULL;
    const norni_dim *at = d && index->rank <= 1 ? norni_value_known(c->node->in[1], &n_index) : NULL;
    norni_dim *known = at ? norni_arena_array(c->g->arena, (size_t)n_index, sizeof *known) : NULL;
    for (int i = 0; known && i < n_index; i++) {
        if (!norni_dim_number(c->g, at[i], &v) || !norni_index_place(v, n, &v))
            return NORN_OK;
        known[i] = d[v];
    }
    c->known[0] = known;
    c->n_known[0] = known ? n_index : 0;
    return NORN_OK;
}

static norn_status check(const norn_node *node, int i, const norn_tensor *t) {
    int axis = axis_of(node);
    return i == 1 ? norni_check_indices(t, axis, node->in[0]->type.dims[axis]) : NORN_OK;
}

static norn_status eval(norni_eval *e) {
    const norn_tensor *x = e->in[0], *index = e->in[1];
    int axis;
    int64_t at, count = norni_tensor_elems(index);
    NORNI_TRY(norni_axis(((const gather_attrs *)e->attrs)->axis, x->rank, &axis));
    int64_t d = x->dims[axis], outer = norni_elems(axis, x->dims),
            inner = norni_elems(x->rank - axis - 1, x->dims + axis + 1);
    size_t row = (size_t)inner * (size_t)norni_dtype_bits(x->dtype) / 8;
    const char *from = norni_tensor_data(x);
    char *to = norni_tensor_data(e->out[0]);
    for (int64_t o = 0; o < outer && row; o++)
        for (int64_t k = 0; k < count; k++)
            if (norni_index_place(norni_get_int(index->dtype, norni_tensor_data(index), k), d, &at))
                memcpy(to + (size_t)(o * count + k) * row, from + (size_t)(o * d + at) * row, row);
    return NORN_OK;
}

static norn_status emit(norni_emit *e) {
    const norni_type *x = &e->node->in[0]->type, *index = &e->node->in[1]->type, *y = &e->node->out[0]->type;
    int axis = axis_of(e->node);
    int64_t d = x->dims[axis], inner = norni_elems(x->rank - axis - 1, x->dims + axis + 1),
            count = norni_type_elems(index), rows = norni_elems(axis, x->dims) * count;
    if (norni_type_elems(y) == 0)
        return e->status;
    norni_row_split split = norni_split_rows(e, rows, inner, x->dtype);
    norni_step *s = norni_emit_move(e, "gather.cl", "gather_rows", x->dtype);
    norni_define_index(e, s, 1);
    norni_step_define(e, s, "W", split.width);
    norni_step_buffer(e, s, norni_emit_in(e, 0), NORNI_READ);
    norni_step_buffer(e, s, norni_emit_in(e, 1), NORNI_READ);
    norni_step_buffer(e, s, norni_emit_out(e, 0), NORNI_WRITE);
    norni_step_i64(e, s, count);
    norni_step_i64(e, s, d);
    norni_step_i64(e, s, inner);
    norni_step_i64(e, s, rows);
    norni_step_i64(e, s, split.rows_each);
    norni_step_i64(e, s, split.chunks);
    norni_step_i64(e, s, split.chunk);
    norni_step_items(e, s, 1, split.items, 1, 1);
    return e->status;
}

static void grad(norni_grad *c) {
    norn_value *x = c->node->in[0];
    if (x->type.rank < 0)
        norni_graph_failed(c->g, norni_fail(NORN_SHAPE, "the rank is not known"));
    else
        c->dx[0] = NORNI_OP3(c->g, c->dy[0], c->node->in[1], norni_size_value(c->g, x, axis_of(c->node)),
                             "norn.GatherGrad<axis=%d>", axis_of(c->node));
}

static norn_status lower(norni_adapt *a) {
    norni_lower_axis(a, &((gather_attrs *)a->node->attrs)->axis, a->node->in[0]->type.rank);
    return NORN_OK;
}

static void cost(const norn_node *node, norni_cost *c) {
    *c = (norni_cost){.bytes = 2 * (double)norni_type_bytes(&node->out[0]->type) +
                               (double)norni_type_bytes(&node->in[1]->type)};
}

static const norni_impl impls[] = {{.name = "rows", .emit = emit}, {0}};

const norn_op norni_op_Gather = {
    .domain = "",
    .name = "Gather",
    .versions = (const int[]){1, 11, 13, 0},
    .doc = "slices along an axis, by index",
    .inputs = PARAMS({"data", 0, NORNI_ANY, 'T'}, {"indices", NORNI_NODIFF, NORNI_INDEX, 0}),
    .outputs = PARAMS({"output", 0, NORNI_ANY, 'T'}),
    .attrs_bytes = sizeof(gather_attrs),
    .attrs = table,
    .lower = lower,
    .infer = infer,
    .check = check,
    .grad = grad,
    .eval = eval,
    .impls = impls,
    .cost = cost,
    .cases =
        (const char *const[]){"Gather(float[7,3], int64[2,2])", "Gather<axis=1>(float[3,7,33], int64[5])",
                              "Gather<axis=-1>(float[2,3,9], int32[4])", "Gather(float[6,2], int64[]{-1})",
                              "Gather(float[5], int64[3,2])", "Gather(float[3,2], int64[0]{})",
                              "Gather<axis=1>(float[2,5,0], int64[3])", "Gather(uint8[9,40], int32[70])",
                              "Gather<axis=1>(double[2,6], int64[1,3]{5,-6,0})", "Gather(bool[8], int64[20])",
                              NULL},
};
