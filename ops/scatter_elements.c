/* SPDX-License-Identifier: Apache-2.0 */
/* ScatterElements: a copy of x in which, along an axis, the element at index[i..] is updates[i..], or is joined with it:
 * add, mul, max, min. Where a place is named several times the updates come in their order. Scatter is its name in opsets
 * 9 and 10. Source: ONNX ScatterElements-18. */
#include "ops/rows.h"
#include "ops/scatter.h"
#include <stdio.h>
#include <string.h>

static const char *const words[] = {"none", "add", "mul", "max", "min", NULL};
typedef struct {
    int64_t axis;
    int reduction; /* a norni_joining */
} attrs;
static const norni_attr table[] = {NORNI_A_INT(attrs, axis, 0),
                                   NORNI_A_ENUM(attrs, reduction, words, NORNI_REPLACE, .since = 16),
                                   NORNI_A_END};

static int axis_of(const norn_node *node) {
    int axis;
    return norni_axis(((const attrs *)node->attrs)->axis, node->in[0]->type.rank, &axis) == NORN_OK ? axis
                                                                                                    : 0;
}

static norn_status infer(norni_infer *c) {
    const norni_type *x = norni_in_type(c, 0), *index = norni_in_type(c, 1), *u = norni_in_type(c, 2);
    int axis;
    c->out[0] = *x;
    if (!norni_in_ranked(c, 3))
        return NORN_OK;
    NORNI_TRY(norni_axis(((const attrs *)c->attrs)->axis, x->rank, &axis));
    NORNI_TRY(norni_element_indices(x, index, axis));
    if (u->rank != index->rank)
        return norni_fail(NORN_SHAPE, "updates have rank %d (wanted %d, as indices)", u->rank, index->rank);
    for (int i = 0; i < u->rank; i++)
        if (u->dims[i] >= 0 && index->dims[i] >= 0 && u->dims[i] != index->dims[i])
            return norni_fail(NORN_SHAPE, "updates have size %lld in dimension %d (wanted %lld, as indices)",
                              (long long)u->dims[i], i, (long long)index->dims[i]);
    return NORN_OK;
}

static norn_status check(const norn_node *node, int i, const norn_tensor *t) {
    int axis = axis_of(node);
    return i == 1 ? norni_check_indices(t, axis, node->in[0]->type.dims[axis]) : NORN_OK;
}

static norn_status eval(norni_eval *e) {
    const norn_tensor *x = e->in[0], *index = e->in[1], *u = e->in[2], *y = e->out[0];
    int axis = axis_of(e->node);
    norni_joining how = (norni_joining)((const attrs *)e->attrs)->reduction;
    memcpy(norni_tensor_data(y), norni_tensor_data(x), norni_tensor_bytes(y));
    for (int64_t k = 0, n = norni_tensor_elems(index); k < n; k++) {
        int64_t rest = k, at = 0, place = 0;
        bool inside = norni_index_place(norni_get_int(index->dtype, norni_tensor_data(index), k),
                                        x->dims[axis], &place);
        for (int i = x->rank - 1; i >= 0; i--) {
            at += (i == axis ? place : rest % index->dims[i]) * x->strides[i];
            rest /= index->dims[i];
        }
        if (inside)
            norni_join_elems(how, y->dtype, norni_tensor_data(y), at, norni_tensor_data(u), k);
    }
    return NORN_OK;
}

/* x is copied, then the lines along the axis are updated: a work-item does several short ones, or, where there are few, a
 * range of places in one. */
static norn_status emit(norni_emit *e) {
    const norn_node *node = e->node;
    const norni_type *x = &node->in[0]->type, *index = &node->in[1]->type;
    int axis = axis_of(node), how = ((const attrs *)node->attrs)->reduction, n = 0;
    int64_t xs[NORN_MAX_RANK], is[NORN_MAX_RANK], side[NORN_MAX_RANK][3], lines = 1, parts = 1, each = 1;
    if (x->dtype == NORN_BOOL && how == NORNI_SCATTER_ADD)
        how = NORNI_SCATTER_MAX;
    if (norni_type_elems(x) == 0)
        return e->status;
    norni_emit_copy(e, norni_emit_in(e, 0), norni_emit_out(e, 0));
    if (norni_type_elems(index) == 0)
        return e->status;
    norni_strides(x->rank, x->dims, xs);
    norni_strides(index->rank, index->dims, is);
    for (int i = 0; i < x->rank; i++)
        if (i != axis && index->dims[i] != 1) {
            side[n][0] = index->dims[i];
            side[n][1] = is[i];
            side[n++][2] = xs[i];
            lines *= index->dims[i];
        }
    int64_t count = x->rank ? index->dims[axis] : 1, d = x->rank ? x->dims[axis] : 1;
    int64_t units = e->device->compute_units ? e->device->compute_units : 1;
    bool cpu = norni_device_is_cpu(e->device);
    int64_t busy = cpu ? units * 2 : 4096, least = cpu ? 1024 : 64;
    if (lines < busy && count >= least) {
        parts = norni_ceil_div(busy, lines);
        parts = parts > norni_ceil_div(d, 16) ? norni_ceil_div(d, 16) : parts;
    } else if (cpu)
        each = count < least ? norni_ceil_div(least, count) : 1;
    norni_step *s = norni_emit_kernel(e, "scatter.cl", "scatter_lines", x->dtype);
    norni_define_index(e, s, 1);
    if (how)
        norni_step_define(e, s, "HOW", how);
    norni_step_buffer(e, s, norni_emit_in(e, 1), NORNI_READ);
    norni_step_buffer(e, s, norni_emit_in(e, 2), NORNI_READ);
    norni_step_buffer(e, s, norni_emit_out(e, 0), NORNI_READ_WRITE);
    norni_step_i64(e, s, count);
    norni_step_i64(e, s, d);
    norni_step_i64(e, s, x->rank ? is[axis] : 0);
    norni_step_i64(e, s, x->rank ? xs[axis] : 0);
    norni_step_i64(e, s, lines);
    norni_step_i64(e, s, each);
    norni_step_i64(e, s, parts);
    norni_step_i64(e, s, norni_ceil_div(d, parts));
    for (int i = 0; i < 7; i++)
        for (int k = 0; k < 3; k++)
            norni_step_i64(e, s, i >= 7 - n ? side[i - (7 - n)][k] : k == 0);
    norni_step_items(e, s, 1, norni_ceil_div(lines, each) * parts, 1, 1);
    return e->status;
}

static void grad(norni_grad *c) {
    char scatter[48], gather[48];
    int axis = (int)((const attrs *)c->node->attrs)->axis;
    snprintf(scatter, sizeof scatter, "ScatterElements<axis=%d>", axis);
    snprintf(gather, sizeof gather, "GatherElements<axis=%d>", axis);
    norni_scatter_gradient(c, (norni_joining)((const attrs *)c->node->attrs)->reduction, scatter, gather);
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

static const norni_impl impls[] = {{.name = "lines", .emit = emit}, {0}};

const norn_op norni_op_ScatterElements = {
    .domain = "",
    .name = "ScatterElements",
    .versions = (const int[]){11, 13, 16, 18, 0},
    .doc = "elements of the input replaced by, or joined with, updates",
    .inputs = PARAMS({"data", 0, NORNI_ANY, 'T'}, {"indices", NORNI_NODIFF, NORNI_INDEX, 0},
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
    .cases =
        (const char *const[]){
            "ScatterElements(float[5,3], int64[2,3]{1,0,4,-5,2,-2}, float[2,3])",
            "ScatterElements<axis=1, reduction=\"add\">(float[3,6,2], int64[2,9,2], float[2,9,2])",
            "ScatterElements<axis=-1, reduction=\"mul\">(float[4,9], int32[4,3], float[4,3])",
            "ScatterElements<reduction=\"max\">(float[9], int64[12], float[12])",
            "ScatterElements<axis=1, reduction=\"min\">(int8[5,5], int64[5,7], int8[5,7])",
            "ScatterElements<reduction=\"add\">(float[70], int64[3000], float[3000])",
            "ScatterElements(int64[5], int64[9], int64[9])",
            "ScatterElements(float[4], int64[0]{}, float[0])",
            "ScatterElements<reduction=\"add\">(bool[6], int32[3], bool[3])", NULL},
};

/* ---- Scatter: the same under its old name, without reductions. */
static const norni_attr old_table[] = {NORNI_A_INT(attrs, axis, 0), NORNI_A_END};

#define OLD_TYPES (NORNI_ANY & ~NORNI_T(NORN_BF16))

static norn_status raise_old(norni_adapt *a) {
    const norn_node *node = a->node;
    a->replaced = true;
    a->out[0] = NORNI_OP3(a->g, node->in[0], node->in[1], node->in[2], "ScatterElements<axis=%d>",
                          (int)((const attrs *)node->attrs)->axis);
    return norn_graph_status(a->g);
}

const norn_op norni_op_Scatter = {
    .domain = "",
    .name = "Scatter",
    .versions = (const int[]){9, 11, 0},
    .doc = "ScatterElements under its name before opset 11",
    .inputs = PARAMS({"data", 0, OLD_TYPES, 'T'}, {"indices", NORNI_NODIFF, NORNI_INDEX, 0},
                     {"updates", 0, OLD_TYPES, 'T'}),
    .outputs = PARAMS({"output", 0, OLD_TYPES, 'T'}),
    .attrs_bytes = sizeof(attrs),
    .attrs = old_table,
    .raise = raise_old,
    .infer = infer,
    .check = check,
    .grad = grad,
    .eval = eval,
    .impls = impls,
    .cost = cost,
    .cases = (const char *const[]){"Scatter<axis=1>(float[3,5], int64[3,2]{1,3,0,4,2,-1}, float[3,2])", NULL},
};
