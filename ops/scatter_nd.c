/* SPDX-License-Identifier: Apache-2.0 */
/* ScatterND: a copy of x in which y[index[k..]] is updates[k..] (slices of x, named by tuples of indices), or is joined
 * with it: add, mul, max, min. Where a place is named several times the updates come in their order. Source: ONNX
 * ScatterND-18. */
#include "ops/rows.h"
#include "ops/scatter.h"
#include <string.h>

static const char *const words[] = {"none", "add", "mul", "max", "min", NULL};
typedef struct {
    int reduction; /* a norni_joining */
} attrs;
static const norni_attr table[] = {NORNI_A_ENUM(attrs, reduction, words, NORNI_REPLACE, .since = 16),
                                   NORNI_A_END};

/* index [k.., w]: x [a0 .. a(w-1), inner..], updates [k.., inner..]. */
static norn_status infer(norni_infer *c) {
    const norni_type *x = norni_in_type(c, 0), *index = norni_in_type(c, 1), *u = norni_in_type(c, 2);
    c->out[0] = *x;
    if (!norni_in_ranked(c, 3))
        return NORN_OK;
    if (index->rank < 1)
        return norni_fail(NORN_SHAPE, "indices have rank 0 (wanted at least 1)");
    int64_t w = index->dims[index->rank - 1];
    if (w < 0)
        return NORN_OK;
    if (w < 1 || w > x->rank)
        return norni_fail(NORN_SHAPE, "indices come in tuples of %lld (wanted 1 to %d, the rank of data)",
                          (long long)w, x->rank);
    norni_type want = {.rank = index->rank - 1 + x->rank - (int)w};
    if (want.rank != u->rank)
        return norni_fail(NORN_SHAPE, "updates have rank %d (wanted %d)", u->rank, want.rank);
    memcpy(want.dims, index->dims, (size_t)(index->rank - 1) * sizeof *want.dims);
    memcpy(want.dims + index->rank - 1, x->dims + w, (size_t)(x->rank - w) * sizeof *want.dims);
    for (int i = 0; i < want.rank; i++)
        if (want.dims[i] >= 0 && u->dims[i] >= 0 && want.dims[i] != u->dims[i])
            return norni_fail(NORN_SHAPE, "updates have size %lld in dimension %d (wanted %lld, as %s)",
                              (long long)u->dims[i], i, (long long)want.dims[i],
                              i < index->rank - 1 ? "the indices" : "data");
    return NORN_OK;
}

typedef struct {
    int width;
    int64_t count, range, inner;
} sizes;

static sizes sizes_of(const norn_node *node) {
    const norni_type *x = &node->in[0]->type, *index = &node->in[1]->type;
    int w = (int)index->dims[index->rank - 1];
    return (sizes){w, norni_elems(index->rank - 1, index->dims), norni_elems(w, x->dims),
                   norni_elems(x->rank - w, x->dims + w)};
}

static norn_status check(const norn_node *node, int i, const norn_tensor *t) {
    return i == 1 ? norni_check_tuples(t, 0, node->in[0]->type.dims) : NORN_OK;
}

static norn_status eval(norni_eval *e) {
    const norn_tensor *x = e->in[0], *index = e->in[1], *u = e->in[2], *y = e->out[0];
    sizes s = sizes_of(e->node);
    norni_joining how = (norni_joining)((const attrs *)e->attrs)->reduction;
    memcpy(norni_tensor_data(y), norni_tensor_data(x), norni_tensor_bytes(y));
    for (int64_t k = 0; k < s.count; k++) {
        int64_t r;
        if (!norni_tuple_place(index, k, s.width, x->dims, &r))
            continue;
        for (int64_t i = 0; i < s.inner; i++)
            norni_join_elems(how, y->dtype, norni_tensor_data(y), r * s.inner + i, norni_tensor_data(u),
                             k * s.inner + i);
    }
    return NORN_OK;
}

static norn_status emit(norni_emit *e) {
    const norni_type *x = &e->node->in[0]->type;
    sizes s = sizes_of(e->node);
    if (s.count == 0) {
        if (norni_type_elems(x))
            norni_emit_copy(e, norni_emit_in(e, 0), norni_emit_out(e, 0));
        return e->status;
    }
    norni_scatter a = {.how = (norni_joining)((const attrs *)e->node->attrs)->reduction,
                       .dtype = x->dtype,
                       .index_input = 1,
                       .width = s.width,
                       .dims = x->dims,
                       .outer = 1,
                       .range = s.range,
                       .count = s.count,
                       .inner = s.inner,
                       .x = norni_emit_in(e, 0),
                       .u = norni_emit_in(e, 2),
                       .y = norni_emit_out(e, 0)};
    return norni_emit_scatter(e, &a);
}

static void grad(norni_grad *c) {
    norni_scatter_gradient(c, (norni_joining)((const attrs *)c->node->attrs)->reduction, "ScatterND",
                           "GatherND");
}

static norn_status lower(norni_adapt *a) {
    int reduction = ((const attrs *)a->node->attrs)->reduction;
    return a->version < 18 && reduction >= NORNI_SCATTER_MAX
               ? norni_fail(NORN_UNSUPPORTED, "reduction %s is new in opset 18", words[reduction])
               : NORN_OK;
}

static void cost(const norn_node *node, norni_cost *c) {
    c->flops = (double)norni_type_elems(&node->in[2]->type);
}

static const norni_impl impls[] = {{.name = "lists", .emit = emit}, {0}};

const norn_op norni_op_ScatterND = {
    .domain = "",
    .name = "ScatterND",
    .versions = (const int[]){11, 13, 16, 18, 0},
    .doc = "slices of the input replaced by, or joined with, updates",
    .inputs = PARAMS({"data", 0, NORNI_ANY, 'T'}, {"indices", NORNI_NODIFF, NORNI_T(NORN_I64), 0},
                     {"updates", 0, NORNI_ANY, 'T'}),
    .outputs = PARAMS({"output", 0, NORNI_ANY, 'T'}),
    .attrs_bytes = sizeof(attrs),
    .attrs = table,
    .lower = lower,
    .infer = infer,
    .check = check,
    .grad = grad,
    .eval = eval,
    .impls = impls,
    .cost = cost,
    .cases = (const char *const[]){"ScatterND(float[5,3], int64[2,1]{3,-5}, float[2,3])",
                                   "ScatterND<reduction=\"add\">(float[6,5,2], int64[7,2], float[7,2])",
                                   "ScatterND<reduction=\"mul\">(float[5,20], int64[2,2,1], float[2,2,20])",
                                   "ScatterND<reduction=\"max\">(float[9], int64[12,1], float[12])",
                                   "ScatterND<reduction=\"min\">(int32[5,5,5], int64[20,3], int32[20])",
                                   "ScatterND(float[7,6], int64[3,2]{0,1,6,5,-1,2}, float[3])",
                                   "ScatterND(uint8[5,2], int64[9,1], uint8[9,2])",
                                   "ScatterND<reduction=\"add\">(bool[6], int64[4,1], bool[4])",
                                   "ScatterND(float[4,2], int64[0,1]{}, float[0,2])",
                                   "ScatterND<reduction=\"max\">(int64[5,3], int64[6,1], int64[6,3])", NULL},
};
