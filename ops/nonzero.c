/* SPDX-License-Identifier: Apache-2.0 */
/* NonZero, Compress: what is chosen by data. On a device by running sums: with m = (x != 0) and s = the running sums of m,
 * element i is the (s_i)th that is not 0 where s_i differs from the one before. Only the count, s at the end, is read
 * back, to know the shape. Source: ONNX NonZero-13, Compress-28. */
#include "ops/op.h"
#include <string.h>

/* ---- norn.Places: where running sums of zeros and ones go up, as coordinates. */
static norn_status infer_places(norni_infer *c) {
    const norni_type *s = norni_in_type(c, 0), *count = norni_in_type(c, 1);
    int n;
    if (count->rank > 0)
        return norni_fail(NORN_SHAPE, "count has rank %d (wanted a scalar)", count->rank);
    if (s->rank < 0)
        return NORN_OK;
    const norni_dim *d = norni_value_known(c->node->in[1], &n);
    c->out[0].rank = 2;
    c->out[0].dims[0] = s->rank;
    c->out[0].dims[1] = d ? *d : norni_dim_fresh(c->g);
    return NORN_OK;
}

/* Writes the coordinates of element i as column `at` of y [rank][count]. */
static void put_place(norn_tensor *y, const norn_tensor *x, int64_t i, int64_t at) {
    for (int k = x->rank - 1; k >= 0; k--) {
        ((int64_t *)norni_tensor_data(y))[k * y->dims[1] + at] = i % x->dims[k];
        i /= x->dims[k];
    }
}

static norn_status eval_places(norni_eval *e) {
    const int64_t *s = norni_tensor_data(e->in[0]);
    norn_tensor *y = e->out[0];
    for (int64_t i = 0, n = norni_tensor_elems(e->in[0]); i < n; i++)
        if (s[i] != (i ? s[i - 1] : 0) && s[i] >= 1 && s[i] <= y->dims[1])
            put_place(y, e->in[0], i, s[i] - 1);
    return NORN_OK;
}

static norn_status emit_places(norni_emit *e) {
    const norni_type *s = &e->node->in[0]->type, *y = &e->node->out[0]->type;
    int64_t n = norni_type_elems(s);
    if (n == 0 || norni_type_elems(y) == 0)
        return e->status;
    int64_t chunk = norni_device_is_cpu(e->device) ? 4096 : 1;
    norni_step *step = norni_emit_kernel(e, "nonzero.cl", "places", NORN_UNDEFINED);
    norni_step_define(e, step, "RANK", s->rank);
    norni_step_buffer(e, step, norni_emit_in(e, 0), NORNI_READ);
    norni_step_buffer(e, step, norni_emit_out(e, 0), NORNI_WRITE);
    norni_step_i64(e, step, n);
    norni_step_i64(e, step, chunk);
    norni_step_i64(e, step, y->dims[1]);
    for (int k = 0; k < NORN_MAX_RANK; k++)
        norni_step_i64(e, step, k < s->rank ? s->dims[k] : 1);
    norni_step_items(e, step, 1, (n + chunk - 1) / chunk, 1, 1);
    return e->status;
}

static void cost_places(const norn_node *node, norni_cost *c) {
    c->flops = (double)norni_type_elems(&node->in[0]->type);
}

static const norni_impl impls_places[] = {{.name = "places", .emit = emit_places}, {0}};

const norn_op norni_op_Places = {
    .domain = "norn",
    .name = "Places",
    .versions = (const int[]){1, 0},
    .doc = "coordinates of the elements at which running sums go up",
    .inputs = (const norni_param[]){{"sums", NORNI_NODIFF, NORNI_T(NORN_I64), 0},
                                    {"count", NORNI_NODIFF | NORNI_HOST, NORNI_T(NORN_I64), 0},
                                    {0}},
    .outputs = (const norni_param[]){{"places", 0, NORNI_T(NORN_I64), 0}, {0}},
    .infer = infer_places,
    .grad = norni_no_gradient,
    .eval = eval_places,
    .impls = impls_places,
    .cost = cost_places,
    .cases = (const char *const[]){"norn.Places(int64[2,3]{0,1,1,2,3,3}, int64[]{3})",
                                   "norn.Places(int64[4]{0,0,0,0}, int64[]{0})",
                                   "norn.Places(int64[]{1}, int64[]{1})",
                                   "norn.Places(int64[0,2], int64[]{0})", NULL},
};

/* ---- NonZero. */
static norn_status infer_nonzero(norni_infer *c) {
    const norni_type *x = norni_in_type(c, 0);
    c->out[0].rank = 2;
    c->out[0].dims[0] = x->rank < 0 ? norni_dim_fresh(c->g) : x->rank;
    c->out[0].dims[1] = norni_dim_fresh(c->g);
    return NORN_OK;
}

static bool nonzero(const norn_tensor *x, int64_t i) {
    const void *d = norni_tensor_data(x);
    return norni_dtype_is_float(x->dtype) ? norni_get_double(x->dtype, d, i) != 0
                                          : norni_get_int(x->dtype, d, i) != 0;
}

static norn_status eval_nonzero(norni_eval *e) {
    const norn_tensor *x = e->in[0];
    int64_t count = 0, n = norni_tensor_elems(x);
    for (int64_t i = 0; i < n; i++)
        count += nonzero(x, i);
    NORNI_TRY(norni_eval_output(e, 0, 2, (int64_t[]){x->rank, count}));
    for (int64_t i = 0, at = 0; i < n; i++)
        if (nonzero(x, i))
            put_place(e->out[0], x, i, at++);
    return NORN_OK;
}

static norn_status expand_nonzero(norn_graph *g, const norn_node *node, norn_value **out) {
    norn_value *x = node->in[0], *flat = norni_i64_const(g, 1, (int64_t[]){-1});
    norn_value *is = x->type.dtype == NORN_BOOL ? x : NORNI_OP1(g, x, "Cast<to=9>");
    norn_value *ones = NORNI_OP2(g, NORNI_OP1(g, is, "Cast<to=7>"), flat, "Reshape");
    norn_value *sums = NORNI_OP2(g, ones, norni_scalar_const(g, NORN_I64, 0), "CumSum");
    norn_value *count = NORNI_OP1(g, ones, "ReduceSum<keepdims=0>");
    out[0] = NORNI_OP2(g, NORNI_OP2(g, sums, norni_shape_value(g, x), "Reshape<allowzero=1>"), count,
                       "norn.Places");
    return norn_graph_status(g);
}

const norn_op norni_op_NonZero = {
    .domain = "",
    .name = "NonZero",
    .versions = (const int[]){9, 13, 0},
    .doc = "coordinates of the elements that are not 0, in row-major order",
    .inputs = (const norni_param[]){{"X", NORNI_NODIFF, NORNI_ANY, 0}, {0}},
    .outputs = (const norni_param[]){{"Y", 0, NORNI_T(NORN_I64), 0}, {0}},
    .infer = infer_nonzero,
    .grad = norni_no_gradient,
    .expand = expand_nonzero,
    .eval = eval_nonzero,
    .data_shapes = true,
    .cases = (const char *const[]){"NonZero(bool[7,9,3])", "NonZero(float[5])", "NonZero(int32[2,50])",
                                   "NonZero(uint8[20000])", "NonZero(bool[])", "NonZero(int64[3,0])",
                                   "NonZero(bool[1])", "NonZero(float16[6])", "NonZero(double[3,3])", NULL},
};

/* ---- Compress. */
typedef struct {
    int64_t axis;
} attrs;
static const norni_attr table[] = {NORNI_A(attrs, axis, INT, .flags = NORNI_ATTR_OPTIONAL), NORNI_A_END};

static bool has_axis(const void *a) {
    return ((const attrs *)a)->axis != NORNI_NO_INT;
}

static norn_status infer_compress(norni_infer *c) {
    const norni_type *x = norni_in_type(c, 0), *k = norni_in_type(c, 1);
    int axis = 0;
    if (k->rank >= 0 && k->rank != 1)
        return norni_fail(NORN_SHAPE, "condition has rank %d (wanted 1)", k->rank);
    if (!has_axis(c->attrs)) {
        c->out[0].rank = 1;
        c->out[0].dims[0] = norni_dim_fresh(c->g);
        return NORN_OK;
    }
    c->out[0] = *x;
    if (x->rank < 0)
        return NORN_OK;
    NORNI_TRY(norni_axis(((const attrs *)c->attrs)->axis, x->rank, &axis));
    c->out[0].dims[axis] = norni_dim_fresh(c->g);
    return NORN_OK;
}

/* The rows that a condition may choose: along the axis, or elements. */
static norn_status rows_of(const norn_node *node, int rank, const int64_t *dims, int *axis, int64_t *rows) {
    *axis = 0;
    *rows = norni_elems(rank, dims);
    if (!has_axis(node->attrs))
        return NORN_OK;
    NORNI_TRY(norni_axis(((const attrs *)node->attrs)->axis, rank, axis));
    *rows = dims[*axis];
    return NORN_OK;
}

static norn_status check_compress(const norn_node *node, int i, const norn_tensor *t) {
    const norni_type *x = &node->in[0]->type;
    int axis;
    int64_t rows;
    if (i != 1)
        return NORN_OK;
    NORNI_TRY(rows_of(node, x->rank, x->dims, &axis, &rows));
    for (int64_t k = rows, n = norni_tensor_elems(t); k < n; k++)
        if (nonzero(t, k))
            return norni_fail(NORN_ARG,
                              "condition[%lld] is true (wanted false beyond the %lld that there are)",
                              (long long)k, (long long)rows);
    return NORN_OK;
}

static norn_status eval_compress(norni_eval *e) {
    const norn_tensor *x = e->in[0], *k = e->in[1];
    size_t size = (size_t)norni_dtype_bits(x->dtype) / 8;
    int64_t rows, dims[NORN_MAX_RANK] = {0}, count = 0;
    int axis, rank = has_axis(e->attrs) ? x->rank : 1;
    NORNI_TRY(rows_of(e->node, x->rank, x->dims, &axis, &rows));
    int64_t inner = has_axis(e->attrs) ? norni_elems(x->rank - axis - 1, x->dims + axis + 1) : 1,
            outer = has_axis(e->attrs) ? norni_elems(axis, x->dims) : 1, n = norni_tensor_elems(k);
    n = n < rows ? n : rows;
    for (int64_t i = 0; i < n; i++)
        count += nonzero(k, i);
    for (int d = 0; d < rank; d++)
        dims[d] = x->dims[d];
    dims[axis] = count;
    NORNI_TRY(norni_eval_output(e, 0, rank, dims));
    char *to = norni_tensor_data(e->out[0]);
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < n; i++)
            if (nonzero(k, i)) {
                memcpy(to, (const char *)norni_tensor_data(x) + (size_t)((o * rows + i) * inner) * size,
                       (size_t)inner * size);
                to += (size_t)inner * size;
            }
    return NORN_OK;
}

static norn_status expand_compress(norn_graph *g, const norn_node *node, norn_value **out) {
    norn_value *x = node->in[0], *flat = norni_i64_const(g, 1, (int64_t[]){-1});
    norn_value *index = NORNI_OP2(g, NORNI_OP1(g, node->in[1], "NonZero"), flat, "Reshape");
    if (!has_axis(node->attrs))
        x = NORNI_OP2(g, x, flat, "Reshape");
    out[0] = NORNI_OP2(g, x, index, "Gather<axis=%d>",
                       has_axis(node->attrs) ? (int)((const attrs *)node->attrs)->axis : 0);
    return norn_graph_status(g);
}

/* That of Gather; dy is told that it has as many slices as there are indices, which its shape alone does not say. */
static void grad_compress(norni_grad *c) {
    norn_graph *g = c->g;
    norn_value *x = c->node->in[0], *flat = norni_i64_const(g, 1, (int64_t[]){-1}), *parts[3], *from = x;
    norn_value *index = NORNI_OP2(g, NORNI_OP1(g, c->node->in[1], "NonZero"), flat, "Reshape");
    int axis = 0, n = 0;
    if (!has_axis(c->node->attrs))
        from = NORNI_OP2(g, x, flat, "Reshape");
    else if (norni_axis(((const attrs *)c->node->attrs)->axis, x->type.rank, &axis) != NORN_OK) {
        norni_graph_failed(g, NORN_SHAPE);
        return;
    }
    if (axis)
        parts[n++] = NORNI_OP1(g, from, "Shape<end=%d>", axis);
    parts[n++] = NORNI_OP1(g, index, "Shape");
    if (from && axis + 1 < from->type.rank)
        parts[n++] = NORNI_OP1(g, from, "Shape<start=%d>", axis + 1);
    norn_value *dy = NORNI_OP2(g, c->dy[0], norni_opf(g, n, parts, "Concat<axis=0>"), "Reshape<allowzero=1>");
    norn_value *dx =
        NORNI_OP3(g, dy, index, norni_size_value(g, from, axis), "norn.GatherGrad<axis=%d>", axis);
    c->dx[0] = from == x ? dx : NORNI_OP2(g, dx, norni_shape_value(g, x), "Reshape<allowzero=1>");
}

static norn_status lower_compress(norni_adapt *a) {
    if (has_axis(a->node->attrs))
        norni_lower_axis(a, &((attrs *)a->node->attrs)->axis, a->node->in[0]->type.rank);
    return NORN_OK;
}

const norn_op norni_op_Compress = {
    .domain = "",
    .name = "Compress",
    .versions = (const int[]){9, 11, 28, 0},
    .doc = "the slices along an axis, or the elements, for which a condition is true",
    .inputs =
        (const norni_param[]){{"input", 0, NORNI_ANY, 'T'}, {"condition", NORNI_NODIFF, NORNI_BOOLS, 0}, {0}},
    .outputs = (const norni_param[]){{"output", 0, NORNI_ANY, 'T'}, {0}},
    .attrs_bytes = sizeof(attrs),
    .attrs = table,
    .lower = lower_compress,
    .infer = infer_compress,
    .grad = grad_compress,
    .expand = expand_compress,
    .eval = eval_compress,
    .check = check_compress,
    .data_shapes = true,
    .cases = (const char *const[]){"Compress<axis=1>(float[3,17,2], bool[17])",
                                   "Compress(float[4,5], bool[13])", "Compress<axis=0>(int64[5,3], bool[4])",
                                   "Compress<axis=-1>(bool[2,70], bool[70])",
                                   "Compress(float[2,2], bool[6]{1,0,0,1,0,0})",
                                   "Compress<axis=0>(float[3,0], bool[3])", "Compress(float[5], bool[0])",
                                   "Compress(uint8[1], bool[1])", NULL},
};
