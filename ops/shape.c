/* SPDX-License-Identifier: Apache-2.0 */
/* Shapes as values: Shape, Size. They are folded as soon as the sizes are bound. Source: the ONNX operator
 * pages. */
#include "ops/op.h"
#include <string.h>

typedef struct {
    int64_t start, end;
} shape_attrs;
static const norni_attr shape_table[] = {
    NORNI_A_INT(shape_attrs, start, 0, .since = 15),
    NORNI_A(shape_attrs, end, INT, .flags = NORNI_ATTR_OPTIONAL, .since = 15), NORNI_A_END};

/* The sizes i with start <= i < end, both clamped to the rank. */
static void range(const shape_attrs *a, int rank, int *from, int *to) {
    int64_t s = a->start < 0 ? a->start + rank : a->start;
    int64_t e = a->end == NORNI_NO_INT ? rank : a->end < 0 ? a->end + rank : a->end;
    s = s < 0 ? 0 : s > rank ? rank : s;
    e = e < 0 ? 0 : e > rank ? rank : e;
    *from = (int)s;
    *to = (int)(e < s ? s : e);
}

static norn_status infer_shape(norni_infer *c) {
    const norni_type *x = norni_in_type(c, 0);
    int from, to;
    c->out[0].rank = 1;
    if (x->rank < 0) {
        c->out[0].dims[0] = norni_dim_fresh(c->g);
        return NORN_OK;
    }
    range(c->attrs, x->rank, &from, &to);
    c->out[0].dims[0] = to - from;
    c->known[0] = norni_arena_dup(c->g->arena, x->dims + from, (size_t)(to - from) * sizeof *x->dims);
    c->n_known[0] = to - from;
    return c->known[0] ? NORN_OK : norni_nomem();
}

static norn_status eval_shape(norni_eval *e) {
    int from, to;
    range(e->attrs, e->in[0]->rank, &from, &to);
    memcpy(norni_tensor_data(e->out[0]), e->in[0]->dims + from, (size_t)(to - from) * sizeof(int64_t));
    return NORN_OK;
}

static norn_status infer_size(norni_infer *c) {
    const norni_type *x = norni_in_type(c, 0);
    c->out[0].rank = 0;
    if (x->rank < 0)
        return NORN_OK;
    norni_dim n = norni_dim_product(c->g, x->rank, x->dims);
    c->known[0] = norni_arena_dup(c->g->arena, &n, sizeof n);
    c->n_known[0] = 1;
    return c->known[0] ? NORN_OK : norni_nomem();
}

static norn_status eval_size(norni_eval *e) {
    *(int64_t *)norni_tensor_data(e->out[0]) = norni_tensor_elems(e->in[0]);
    return NORN_OK;
}

/* The sizes are arguments of the plan, not data: they are written by a fill of constants when a plan still
 * has one. */
static norn_status emit_sizes(norni_emit *e) {
    const norni_type *x = &e->node->in[0]->type;
    int from = 0, to = 1;
    bool size = !strcmp(e->node->op->name, "Size");
    if (!size)
        range(e->node->attrs, x->rank, &from, &to);
    norni_step *s = norni_emit_kernel(e, "shape.cl", "write_sizes", NORN_UNDEFINED);
    norni_step_buffer(e, s, norni_emit_out(e, 0), NORNI_WRITE);
    norni_step_i32(e, s, to - from);
    for (int i = 0; i < NORN_MAX_RANK; i++)
        norni_step_i64(e, s, from + i >= to ? 0 : size ? norni_type_elems(x) : x->dims[from + i]);
    norni_step_range(s, 1, 1, 1, 1, 1, 1, 1);
    return e->status;
}

static const norni_impl impls[] = {{.name = "write", .emit = emit_sizes}, {0}};

const norn_op norni_op_Shape = {
    .domain = "",
    .name = "Shape",
    .versions = (const int[]){1, 13, 15, 19, 21, 23, 24, 25, 0},
    .doc = "the sizes of the input, from start to before end",
    .inputs = (const norni_param[]){{"data", NORNI_NODIFF, NORNI_ALL, 0}, {0}},
    .outputs = (const norni_param[]){{"shape", 0, NORNI_T(NORN_I64), 0}, {0}},
    .attrs_bytes = sizeof(shape_attrs),
    .attrs = shape_table,
    .infer = infer_shape,
    .grad = norni_no_gradient,
    .eval = eval_shape,
    .impls = impls,
    .cases = (const char *const[]){"Shape(float[2,3,4])", "Shape<start=1>(float[2,3,4])",
                                   "Shape<start=-2, end=-1>(float[2,3,4])",
                                   "Shape<start=2, end=1>(float[2,3,4])", "Shape(float[])", NULL},
};

const norn_op norni_op_Size = {
    .domain = "",
    .name = "Size",
    .versions = (const int[]){1, 13, 19, 21, 23, 24, 25, 0},
    .doc = "the number of elements",
    .inputs = (const norni_param[]){{"data", NORNI_NODIFF, NORNI_ALL, 0}, {0}},
    .outputs = (const norni_param[]){{"size", 0, NORNI_T(NORN_I64), 0}, {0}},
    .infer = infer_size,
    .grad = norni_no_gradient,
    .eval = eval_size,
    .impls = impls,
    .cases = (const char *const[]){"Size(float[2,3,4])", "Size(float[])", "Size(float[0,2])", NULL},
};
