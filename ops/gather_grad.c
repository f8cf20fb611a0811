/* SPDX-License-Identifier: Apache-2.0 */
/* GatherGrad: the gradient of Gather: dx[a.., r, b..] = sum of dy[a.., k.., b..] over the places k.. whose index is r. As
 * what embedding tables learn by, it has kernels of its own. */
#include "ops/scatter.h"
#include <string.h>

typedef struct {
    int64_t axis;
} attrs;
static const norni_attr table[] = {NORNI_A_INT(attrs, axis, 0, .lo = 0, .hi = NORN_MAX_RANK - 1),
                                   NORNI_A_END};

static int axis_of(const norn_node *node) {
    return (int)((const attrs *)node->attrs)->axis;
}

static norn_status infer(norni_infer *c) {
    const norni_type *dy = norni_in_type(c, 0), *index = norni_in_type(c, 1);
    norni_type *y = &c->out[0];
    int axis = axis_of(c->node), n;
    if (!norni_in_ranked(c, 2))
        return NORN_OK;
    if (axis + index->rank > dy->rank || dy->rank - index->rank + 1 > NORN_MAX_RANK)
        return norni_fail(NORN_SHAPE, "dy has rank %d, indices have rank %d, and the axis is %d", dy->rank,
                          index->rank, axis);
    for (int i = 0; i < index->rank; i++)
        if (dy->dims[axis + i] >= 0 && index->dims[i] >= 0 && dy->dims[axis + i] != index->dims[i])
            return norni_fail(NORN_SHAPE, "dy has size %lld in dimension %d (wanted %lld, as the indices)",
                              (long long)dy->dims[axis + i], axis + i, (long long)index->dims[i]);
    const norni_dim *size = norni_value_known(c->node->in[2], &n);
    if (size && n != 1)
        return norni_fail(NORN_SHAPE, "size has %d elements (wanted 1)", n);
    y->rank = dy->rank - index->rank + 1;
    memcpy(y->dims, dy->dims, (size_t)axis * sizeof *y->dims);
    y->dims[axis] = size ? size[0] : norni_dim_fresh(c->g);
    memcpy(y->dims + axis + 1, dy->dims + axis + index->rank, (size_t)(y->rank - axis - 1) * sizeof *y->dims);
    return NORN_OK;
}

static norn_status check(const norn_node *node, int i, const norn_tensor *t) {
    int64_t size;
    int n;
    if (i != 1 || !norni_value_ints(node->in[2], &size, 1, &n))
        return NORN_OK;
    return norni_check_indices(t, axis_of(node), size);
}

static norn_status eval(norni_eval *e) {
    const norn_tensor *dy = e->in[0], *index = e->in[1], *y = e->out[0];
    int axis = axis_of(e->node);
    int64_t range = y->dims[axis], outer = norni_elems(axis, y->dims), count = norni_tensor_elems(index), at,
            inner = norni_elems(y->rank - axis - 1, y->dims + axis + 1), n = norni_tensor_elems(y);
    double *sum = norni_alloc_array((size_t)n + 1, sizeof *sum);
    if (!sum)
        return norni_nomem();
    for (int64_t o = 0; o < outer; o++)
        for (int64_t k = 0; k < count; k++)
            if (norni_index_place(norni_get_int(index->dtype, norni_tensor_data(index), k), range, &at))
                for (int64_t i = 0; i < inner; i++)
                    sum[(o * range + at) * inner + i] +=
                        norni_get_double(dy->dtype, norni_tensor_data(dy), (o * count + k) * inner + i);
    for (int64_t i = 0; i < n; i++)
        norni_set_double(y->dtype, norni_tensor_data(y), i, sum[i]);
    norni_free(sum);
    return NORN_OK;
}

static norn_status emit(norni_emit *e) {
    const norni_type *y = &e->node->out[0]->type;
    int axis = axis_of(e->node);
    norni_scatter s = {.how = NORNI_SCATTER_ADD,
                       .dtype = y->dtype,
                       .index_input = 1,
                       .width = 1,
                       .dims = &y->dims[axis],
                       .outer = norni_elems(axis, y->dims),
                       .range = y->dims[axis],
                       .count = norni_type_elems(&e->node->in[1]->type),
                       .inner = norni_elems(y->rank - axis - 1, y->dims + axis + 1),
                       .x = -1,
                       .u = norni_emit_in(e, 0),
                       .y = norni_emit_out(e, 0)};
    return norni_emit_scatter(e, &s);
}

static void grad(norni_grad *c) {
    c->dx[0] = NORNI_OP2(c->g, c->dy[0], c->node->in[1], "Gather<axis=%d>", axis_of(c->node));
}

/* ScatterND adds slices along the first axis: with dy as [outer, count, inner], brought there and back. */
static norn_status expand(norn_graph *g, const norn_node *node, norn_value **out) {
    const norni_type *y = &node->out[0]->type, *index = &node->in[1]->type;
    int axis = axis_of(node);
    bool known = norni_type_static(y) && norni_type_static(index);
    if (!known && axis == 0 && index->rank >= 0) { /* the slices stand as they are */
        norn_value *at = NORNI_OP2(g, norni_cast(g, node->in[1], NORN_I64),
                                   norni_i64_const(g, 1, (int64_t[]){-1}), "Unsqueeze");
        norn_value *shape[] = {node->in[2], NORNI_OP1(g, node->in[0], "Shape<start=%d>", index->rank)};
        norn_value *all = norni_opf(g, 2, shape, "Concat<axis=0>");
        out[0] = NORNI_OP3(g, norni_zeros(g, y->dtype, all), at, node->in[0], "ScatterND<reduction=\"add\">");
        return norn_graph_status(g);
    }
    if (!known)
        return norni_fail(NORN_UNSUPPORTED,
                          "the gradient of a Gather whose sizes are not known; bind the sizes first");
    int64_t outer = norni_elems(axis, y->dims), range = y->dims[axis], count = norni_type_elems(index),
            inner = norni_elems(y->rank - axis - 1, y->dims + axis + 1);
    norn_value *at =
        NORNI_OP2(g, node->in[1], norni_i64_const(g, 2, (int64_t[]){count, 1}), "Reshape<allowzero=1>");
    if (index->dtype != NORN_I64)
        at = NORNI_OP1(g, at, "Cast<to=%d>", NORN_I64);
    norn_value *v = NORNI_OP2(g, node->in[0], norni_i64_const(g, 3, (int64_t[]){outer, count, inner}),
                              "Reshape<allowzero=1>");
    v = NORNI_OP1(g, v, "Transpose<perm=[1,0,2]>");
    v = NORNI_OP3(g, norni_zeros(g, y->dtype, norni_i64_const(g, 3, (int64_t[]){range, outer, inner})), at, v,
                  "ScatterND<reduction=\"add\">");
    v = NORNI_OP1(g, v, "Transpose<perm=[1,0,2]>");
    out[0] = NORNI_OP2(g, v, norni_i64_const(g, y->rank, y->dims), "Reshape<allowzero=1>");
    return norn_graph_status(g);
}

static void cost(const norn_node *node, norni_cost *c) {
    c->flops = (double)norni_type_elems(&node->in[0]->type);
}

static const norni_impl impls[] = {{.name = "lists", .emit = emit}, {0}};

const norn_op norni_op_GatherGrad = {
    .domain = "norn",
    .name = "GatherGrad",
    .versions = (const int[]){1, 0},
    .doc = "the gradient of Gather: slices added up by index",
    .inputs = (const norni_param[]){{"dy", 0, NORNI_FLOATS, 'T'},
                                    {"indices", NORNI_NODIFF, NORNI_INDEX, 0},
                                    {"size", NORNI_NODIFF | NORNI_HOST, NORNI_T(NORN_I64), 0},
                                    {0}},
    .outputs = (const norni_param[]){{"dx", 0, NORNI_FLOATS, 'T'}, {0}},
    .attrs_bytes = sizeof(attrs),
    .attrs = table,
    .infer = infer,
    .check = check,
    .grad = grad,
    .expand = expand,
    .eval = eval,
    .impls = impls,
    .cost = cost,
    .cases = (const char *const[]){"norn.GatherGrad(float[4,5,7], int64[4,5], int64[1]{6})",
                                   "norn.GatherGrad<axis=1>(float[2,9,33], int32[9], int64[1]{5})",
                                   "norn.GatherGrad<axis=2>(float[2,3,8], int64[8], int64[1]{6})",
                                   "norn.GatherGrad(float[3], int64[], int64[1]{5})",
                                   "norn.GatherGrad(float[0,3], int64[0], int64[1]{4})", NULL},
};
