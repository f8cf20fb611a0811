/* SPDX-License-Identifier: Apache-2.0 */
/* ReverseSequence: of each sequence in a batch the first lens[s] elements in reverse order, the rest as it is. Source:
 * ONNX ReverseSequence-28. */
#include "ops/copy.h"
#include <string.h>

typedef struct {
    int64_t batch_axis, time_axis;
} attrs;
static const norni_attr table[] = {NORNI_A_INT(attrs, batch_axis, 1, .lo = 0, .hi = 1),
                                   NORNI_A_INT(attrs, time_axis, 0, .lo = 0, .hi = 1), NORNI_A_END};

static norn_status infer(norni_infer *c) {
    const norni_type *x = norni_in_type(c, 0), *lens = norni_in_type(c, 1);
    const attrs *a = c->attrs;
    c->out[0] = *x;
    if (a->batch_axis == a->time_axis)
        return norni_fail(NORN_ARG, "batch_axis and time_axis are both %lld (wanted 0 and 1)",
                          (long long)a->time_axis);
    if (x->rank >= 0 && x->rank < 2)
        return norni_fail(NORN_SHAPE, "input has rank %d (wanted at least 2)", x->rank);
    if (lens->rank >= 0 && lens->rank != 1)
        return norni_fail(NORN_SHAPE, "sequence_lens has rank %d (wanted 1)", lens->rank);
    if (x->rank >= 0 && lens->rank == 1 && lens->dims[0] >= 0 && x->dims[a->batch_axis] >= 0 &&
        lens->dims[0] != x->dims[a->batch_axis])
        return norni_fail(NORN_SHAPE, "sequence_lens has %lld elements (wanted %lld, one a sequence)",
                          (long long)lens->dims[0], (long long)x->dims[a->batch_axis]);
    return NORN_OK;
}

static norn_status check(const norn_node *node, int i, const norn_tensor *t) {
    int64_t longest = node->in[0]->type.dims[((const attrs *)node->attrs)->time_axis];
    for (int64_t k = 0; i == 1 && k < norni_tensor_elems(t); k++) {
        int64_t v = norni_get_int(t->dtype, norni_tensor_data(t), k);
        if (v < 0 || v > longest)
            return norni_fail(NORN_ARG, "sequence_lens has %lld at %lld (wanted 0 to %lld)", (long long)v,
                              (long long)k, (long long)longest);
    }
    return NORN_OK;
}

static norn_status eval(norni_eval *e) {
    const norn_tensor *x = e->in[0];
    bool time_first = ((const attrs *)e->attrs)->time_axis == 0;
    const int64_t *lens = norni_tensor_data(e->in[1]), d0 = x->dims[0], d1 = x->dims[1];
    size_t row = (size_t)norni_elems(x->rank - 2, x->dims + 2) * (size_t)norni_dtype_bits(x->dtype) / 8;
    for (int64_t a = 0; a < d0 && row; a++)
        for (int64_t b = 0; b < d1; b++) {
            int64_t n = lens[time_first ? b : a], t = time_first ? a : b, from = t < n ? n - 1 - t : t;
            memcpy((char *)norni_tensor_data(e->out[0]) + (size_t)(a * d1 + b) * row,
                   (char *)norni_tensor_data(x) + (size_t)(time_first ? from * d1 + b : a * d1 + from) * row,
                   row);
        }
    return NORN_OK;
}

static norn_status emit(norni_emit *e) {
    const norni_type *x = &e->node->in[0]->type;
    int64_t inner = norni_elems(x->rank - 2, x->dims + 2), rows = x->dims[0] * x->dims[1];
    if (rows * inner == 0)
        return e->status;
    norni_row_split split = norni_split_rows(e, rows, inner, x->dtype);
    norni_step *s = norni_emit_move(e, "reverse.cl", "reverse_rows", x->dtype);
    norni_step_define(e, s, "TIME", ((const attrs *)e->node->attrs)->time_axis);
    norni_step_define(e, s, "W", split.width);
    norni_step_buffer(e, s, norni_emit_in(e, 0), NORNI_READ);
    norni_step_buffer(e, s, norni_emit_in(e, 1), NORNI_READ);
    norni_step_buffer(e, s, norni_emit_out(e, 0), NORNI_WRITE);
    norni_step_i64(e, s, x->dims[0]);
    norni_step_i64(e, s, x->dims[1]);
    norni_step_i64(e, s, inner);
    norni_step_i64(e, s, split.rows_each);
    norni_step_i64(e, s, split.chunks);
    norni_step_i64(e, s, split.chunk);
    norni_step_items(e, s, 1, split.items, 1, 1);
    return e->status;
}

static void grad(norni_grad *c) {
    const attrs *a = c->node->attrs;
    c->dx[0] = NORNI_OP2(c->g, c->dy[0], c->node->in[1], "ReverseSequence<batch_axis=%d, time_axis=%d>",
                         (int)a->batch_axis, (int)a->time_axis);
}

static void cost(const norn_node *node, norni_cost *c) {
    c->flops = 0;
}

static const norni_impl impls[] = {{.name = "rows", .emit = emit}, {0}};

const norn_op norni_op_ReverseSequence = {
    .domain = "",
    .name = "ReverseSequence",
    .versions = (const int[]){10, 28, 0},
    .doc = "the beginning of each sequence in reverse order",
    .inputs = (const norni_param[]){{"input", 0, NORNI_ANY, 'T'},
                                    {"sequence_lens", NORNI_NODIFF, NORNI_T(NORN_I64), 0},
                                    {0}},
    .outputs = (const norni_param[]){{"Y", 0, NORNI_ANY, 'T'}, {0}},
    .attrs_bytes = sizeof(attrs),
    .attrs = table,
    .infer = infer,
    .check = check,
    .grad = grad,
    .eval = eval,
    .impls = impls,
    .cost = cost,
    .cases =
        (const char *const[]){"ReverseSequence(float[5,3,4], int64[3]{5,0,2})",
                              "ReverseSequence<batch_axis=0, time_axis=1>(float[3,5,40], int64[3]{1,5,3})",
                              "ReverseSequence(int8[4,2], int64[2]{4,3})",
                              "ReverseSequence(float[3,2,0], int64[2]{1,3})", NULL},
};
