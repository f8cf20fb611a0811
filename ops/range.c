/* SPDX-License-Identifier: Apache-2.0 */
/* Range: start, start + delta, ... before limit. Source: ONNX Range-27. */
#include "ops/copy.h"
#include <math.h>
#include <string.h>

typedef struct {
    int64_t stash_type;
} range_attrs;
static const norni_attr table[] = {NORNI_A_INT(range_attrs, stash_type, 1, .since = 27), NORNI_A_END};

/* How many; sizes are exact in 64 bits. */
static norn_status count_ints(int64_t start, int64_t limit, int64_t delta, int64_t *n) {
    *n = 0;
    if (delta == 0)
        return norni_fail(NORN_ARG, "delta is 0 (wanted another number)");
    if (delta > 0 ? limit <= start : limit >= start)
        return NORN_OK;
    uint64_t span = delta > 0 ? (uint64_t)limit - (uint64_t)start : (uint64_t)start - (uint64_t)limit;
    uint64_t step = delta > 0 ? (uint64_t)delta : 0 - (uint64_t)delta, count = (span - 1) / step + 1;
    if (count > INT64_MAX)
        return norni_fail(NORN_SHAPE, "more elements than can be counted");
    *n = (int64_t)count;
    return NORN_OK;
}

static norn_status count_floats(double start, double limit, double delta, int64_t *n) {
    double count = ceil((limit - start) / delta);
    if (!isfinite(count) || count > 9e18)
        return norni_fail(NORN_ARG, "%g elements from %g by %g to before %g (wanted a number of elements)",
                          count, start, delta, limit);
    *n = count > 0 ? (int64_t)count : 0;
    return NORN_OK;
}

static norn_status infer(norni_infer *c) {
    norni_type *y = &c->out[0];
    const norni_dim *d[3];
    double v[3];
    bool all_float = norni_dtype_is_float(y->dtype);
    y->rank = 1;
    y->dims[0] = norni_dim_fresh(c->g);
    for (int i = 0; i < 3; i++) {
        const norni_type *t = norni_in_type(c, i);
        norn_value *in = c->node->in[i];
        int n;
        if (t->rank > 1 || (t->rank == 1 && t->dims[0] >= 0 && t->dims[0] != 1))
            return norni_fail(NORN_SHAPE, "input %d has rank %d (wanted a scalar)", i, t->rank);
        if (all_float && !norni_is_const(in))
            return NORN_OK;
        if (all_float)
            v[i] = norni_get_double(in->data->dtype, norni_tensor_data(in->data), 0);
        else if (!(d[i] = norni_value_known(in, &n)))
            return NORN_OK;
    }
    if (y->dtype == NORN_UNDEFINED)
        return NORN_OK;
    if (all_float)
        return count_floats(v[0], v[1], v[2], &y->dims[0]);
    int64_t start, limit, delta;
    if (!norni_dim_number(c->g, *d[2], &delta))
        return NORN_OK;
    if (norni_dim_number(c->g, *d[0], &start) && norni_dim_number(c->g, *d[1], &limit))
        return count_ints(start, limit, delta, &y->dims[0]);
    if (delta > 0) /* between sizes: taken to be an ascending range */
        y->dims[0] =
            norni_dim_div(c->g, norni_dim_add(c->g, norni_dim_sub(c->g, *d[1], *d[0]), delta - 1), delta);
    return NORN_OK;
}

static norn_status eval(norni_eval *e) {
    norn_tensor *y = e->out[0];
    const norn_tensor *start = e->in[0], *delta = e->in[2];
    int64_t n = norni_tensor_elems(y);
    void *to = norni_tensor_data(y);
    for (int64_t i = 0; i < n; i++)
        if (norni_dtype_is_float(y->dtype))
            norni_set_double(y->dtype, to, i,
                             norni_get_double(start->dtype, norni_tensor_data(start), 0) +
                                 (double)i * norni_get_double(delta->dtype, norni_tensor_data(delta), 0));
        else
            norni_set_int(
                y->dtype, to, i,
                (int64_t)((uint64_t)norni_get_int(start->dtype, norni_tensor_data(start), 0) +
                          (uint64_t)i * (uint64_t)norni_get_int(delta->dtype, norni_tensor_data(delta), 0)));
    return NORN_OK;
}

static norn_status emit(norni_emit *e) {
    const norni_type *y = &e->node->out[0]->type;
    int64_t n = norni_type_elems(y), v;
    int count;
    if (n == 0)
        return e->status;
    norni_row_split split = norni_split_rows(e, 1, n, y->dtype);
    norni_step *s = norni_emit_kernel(e, "range.cl", "range", y->dtype);
    norni_step_buffer(e, s, norni_emit_out(e, 0), NORNI_WRITE);
    norni_step_i64(e, s, n);
    norni_step_i64(e, s, split.chunk);
    for (int i = 0; i < 3; i += 2) {
        norn_value *in = e->node->in[i];
        if (norni_dtype_is_float(y->dtype)) {
            if (!norni_is_const(in))
                return norni_fail(NORN_INTERNAL, "the range is not known");
            norni_step_real(e, s, y->dtype,
                            norni_get_double(in->data->dtype, norni_tensor_data(in->data), 0));
        } else {
            if (!norni_value_ints(in, &v, 1, &count) || count != 1)
                return norni_fail(NORN_INTERNAL, "the range is not known");
            norni_step_i64(e, s, v);
        }
    }
    norni_step_items(e, s, 1, split.items, 1, 1);
    return e->status;
}

static const norni_impl impls[] = {{.name = "range", .emit = emit}, {0}};

#define RANGE_TYPES (NORNI_FLOATS | NORNI_T(NORN_I16) | NORNI_INDEX)
const norn_op norni_op_Range = {
    .domain = "",
    .name = "Range",
    .versions = (const int[]){11, 27, 0},
    .doc = "start, start + delta, ... before limit",
    .inputs = (const norni_param[]){{"start", NORNI_NODIFF | NORNI_HOST, RANGE_TYPES, 'T'},
                                    {"limit", NORNI_NODIFF | NORNI_HOST, RANGE_TYPES, 'T'},
                                    {"delta", NORNI_NODIFF | NORNI_HOST, RANGE_TYPES, 'T'},
                                    {0}},
    .outputs = (const norni_param[]){{"output", 0, RANGE_TYPES, 'T'}, {0}},
    .attrs_bytes = sizeof(range_attrs),
    .attrs = table,
    .infer = infer,
    .grad = norni_no_gradient,
    .eval = eval,
    .impls = impls,
    .untested_attrs = "stash_type", /* of the 16-bit types, which are computed in float anyway */
    .cases = (const char *const[]){"Range(float[]{0.5}, float[]{7}, float[]{0.25})",
                                   "Range(int64[]{10}, int64[]{-7}, int64[]{-3})",
                                   "Range(int32[]{0}, int32[]{3000}, int32[]{1})",
                                   "Range(int16[]{5}, int16[]{5}, int16[]{1})",
                                   "Range(double[]{3}, double[]{-1}, double[]{-0.5})", NULL},
};
