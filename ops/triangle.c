/* SPDX-License-Identifier: Apache-2.0 */
/* Trilu: the upper or lower triangle of the last two axes, zeros elsewhere. EyeLike: a matrix with ones on a diagonal.
 * Sources: ONNX Trilu-14, EyeLike-22. */
#include "ops/copy.h"
#include "ops/rows.h"
#include <string.h>

static void no_flops(const norn_node *node, norni_cost *c) {
    c->flops = 0;
}

/* ---- Trilu. */
typedef struct {
    int64_t upper;
} trilu_attrs;
static const norni_attr trilu_table[] = {NORNI_A_INT(trilu_attrs, upper, 1, .lo = 0, .hi = 1), NORNI_A_END};

static norn_status infer_trilu(norni_infer *c) {
    const norni_type *x = norni_in_type(c, 0), *k = norni_in_type(c, 1);
    if (x->rank >= 0 && x->rank < 2)
        return norni_fail(NORN_SHAPE, "input has rank %d (wanted at least 2)", x->rank);
    if (k && k->rank >= 0 && norni_type_static(k) && norni_type_elems(k) != 1)
        return norni_fail(NORN_SHAPE, "k has %lld elements (wanted one)", (long long)norni_type_elems(k));
    c->out[0] = *x;
    return NORN_OK;
}

/* k within [-m - n, m + n], beyond which nothing changes. */
static int64_t bounded(int64_t k, int64_t m, int64_t n) {
    int64_t most = m + n;
    return k < -most ? -most : k > most ? most : k;
}

static norn_status eval_trilu(norni_eval *e) {
    const norn_tensor *x = e->in[0], *y = e->out[0];
    size_t size = (size_t)norni_dtype_bits(x->dtype) / 8;
    int64_t m = x->dims[x->rank - 2], n = x->dims[x->rank - 1], k = 0;
    if (e->n_in > 1 && e->in[1])
        k = bounded(norni_get_int(NORN_I64, norni_tensor_data(e->in[1]), 0), m, n);
    for (int64_t i = 0, count = norni_tensor_elems(x); i < count; i++) {
        int64_t past = i % n - (i / n % m + k);
        if (((const trilu_attrs *)e->attrs)->upper ? past >= 0 : past <= 0)
            memcpy((char *)norni_tensor_data(y) + (size_t)i * size,
                   (char *)norni_tensor_data(x) + (size_t)i * size, size);
    }
    return NORN_OK;
}

static norn_status emit_trilu(norni_emit *e) {
    const norn_node *node = e->node;
    const norni_type *x = &node->in[0]->type;
    int64_t m = x->dims[x->rank - 2], n = x->dims[x->rank - 1], k = 0, elems = norni_type_elems(x);
    int count;
    if (elems == 0)
        return e->status;
    if (node->n_in > 1 && node->in[1] && !norni_value_ints(node->in[1], &k, 1, &count))
        return norni_fail(NORN_INTERNAL, "k is not known");
    norni_row_split split = norni_split_rows(e, elems / n, n, x->dtype);
    norni_step *s = norni_emit_move(e, "triangle.cl", "triangle", x->dtype);
    norni_step_define(e, s, "W", split.width);
    if (!((const trilu_attrs *)node->attrs)->upper)
        norni_step_define(e, s, "LOWER", 1);
    norni_step_buffer(e, s, norni_emit_in(e, 0), NORNI_READ);
    norni_step_buffer(e, s, norni_emit_out(e, 0), NORNI_WRITE);
    norni_step_i64(e, s, m);
    norni_step_i64(e, s, n);
    norni_step_i64(e, s, bounded(k, m, n));
    norni_step_i64(e, s, elems / n);
    norni_step_i64(e, s, split.rows_each);
    norni_step_i64(e, s, split.chunks);
    norni_step_i64(e, s, split.chunk);
    norni_step_items(e, s, 1, split.items, 1, 1);
    return e->status;
}

static void grad_trilu(norni_grad *c) {
    norn_value *k = c->node->n_in > 1 && c->node->in[1] ? c->node->in[1] : NORNI_NONE;
    c->dx[0] =
        NORNI_OP2(c->g, c->dy[0], k, "Trilu<upper=%d>", (int)((const trilu_attrs *)c->node->attrs)->upper);
}

/* Where the column is far enough from the row. */
static norn_status expand_trilu(norn_graph *g, const norn_node *node, norn_value **out) {
    norn_value *x = node->in[0], *k = node->n_in > 1 ? node->in[1] : NULL;
    int rank = x->type.rank;
    if (rank < 2)
        return norni_fail(NORN_UNSUPPORTED, "the rank is not known");
    if (!k)
        k = norni_scalar_const(g, NORN_I64, 0);
    norn_value *last = norni_i64_const(g, 1, (int64_t[]){1});
    norn_value *row = NORNI_OP2(g, norni_counted(g, norni_size_value(g, x, rank - 2)), last, "Unsqueeze");
    norn_value *past = NORNI_OP2(g, norni_counted(g, norni_size_value(g, x, rank - 1)), row, "Sub");
    norn_value *in = NORNI_OP2(g, past, k, "%s",
                               ((const trilu_attrs *)node->attrs)->upper ? "GreaterOrEqual" : "LessOrEqual");
    out[0] = NORNI_OP3(g, in, x, norni_scalar_const(g, x->type.dtype, 0), "Where");
    return norn_graph_status(g);
}

static const norni_impl trilu_impls[] = {{.name = "rows", .emit = emit_trilu}, {0}};

const norn_op norni_op_Trilu = {
    .domain = "",
    .name = "Trilu",
    .versions = (const int[]){14, 0},
    .doc = "the upper or lower triangle of matrices",
    .inputs = PARAMS({"input", 0, NORNI_ANY, 'T'},
                     {"k", NORNI_OPT | NORNI_NODIFF | NORNI_HOST, NORNI_T(NORN_I64), 0}),
    .outputs = PARAMS({"output", 0, NORNI_ANY, 'T'}),
    .attrs_bytes = sizeof(trilu_attrs),
    .attrs = trilu_table,
    .infer = infer_trilu,
    .grad = grad_trilu,
    .expand = expand_trilu,
    .eval = eval_trilu,
    .impls = trilu_impls,
    .cost = no_flops,
    .cases =
        (const char *const[]){"Trilu(float[4,5])", "Trilu<upper=0>(float[2,5,37], int64[]{3})",
                              "Trilu(float[3,4,40], int64[]{-2})", "Trilu<upper=0>(int64[4,3], int64[]{-1})",
                              "Trilu(bool[3,3], int64[]{9223372036854775807})",
                              "Trilu<upper=0>(uint8[3,70], int64[]{-100})", "Trilu(float[2,0,3])", NULL},
};

/* ---- EyeLike. */
typedef struct {
    norn_dtype dtype;
    int64_t k;
} eye_attrs;
static const norni_attr eye_table[] = {NORNI_A(eye_attrs, dtype, DTYPE, .flags = NORNI_ATTR_OPTIONAL),
                                       NORNI_A_INT(eye_attrs, k, 0), NORNI_A_END};

static norn_status infer_eye(norni_infer *c) {
    const norni_type *x = norni_in_type(c, 0);
    norn_dtype t = ((const eye_attrs *)c->attrs)->dtype;
    if (t != NORN_UNDEFINED && !(NORNI_ANY & NORNI_T(t)))
        return norni_fail(NORN_UNSUPPORTED, "attribute 'dtype' is %s", norni_dtype_name(t));
    if (x->rank >= 0 && x->rank != 2)
        return norni_fail(NORN_SHAPE, "input has rank %d (wanted 2)", x->rank);
    c->out[0] = *x;
    if (t != NORN_UNDEFINED)
        c->out[0].dtype = t;
    return NORN_OK;
}

/* Where the diagonal begins, and how long it is. */
static int64_t diagonal(const norn_node *node, int64_t *length) {
    const norni_type *y = &node->out[0]->type;
    int64_t m = y->dims[0], n = y->dims[1], k = bounded(((const eye_attrs *)node->attrs)->k, m, n);
    int64_t row = k < 0 ? -k : 0, column = k > 0 ? k : 0;
    *length = m - row < n - column ? m - row : n - column;
    if (*length < 0)
        *length = 0;
    return row * n + column;
}

static norn_status eval_eye(norni_eval *e) {
    norn_tensor *y = e->out[0];
    int64_t length, at = diagonal(e->node, &length);
    for (int64_t i = 0; i < length; i++)
        norni_set_double(y->dtype, norni_tensor_data(y), at + i * (y->dims[1] + 1), 1);
    return NORN_OK;
}

static norn_status emit_eye(norni_emit *e) {
    const norni_type *y = &e->node->out[0]->type;
    int64_t length, at = diagonal(e->node, &length), one = 0;
    if (norni_type_elems(y) == 0)
        return e->status;
    norni_emit_fill(e, norni_emit_out(e, 0), 0);
    if (length == 0)
        return e->status;
    norni_set_double(y->dtype, &one, 0, 1);
    norni_row_split split = norni_split_rows(e, 1, length, y->dtype);
    norni_step *s = norni_emit_move(e, "fill.cl", "fill", y->dtype);
    norni_step_define(e, s, "W", split.width);
    norni_step_buffer(e, s, norni_emit_out(e, 0), NORNI_READ_WRITE);
    norni_step_i64(e, s, length);
    norni_step_i64(e, s, split.chunk);
    norni_step_i64(e, s, at);
    norni_step_i64(e, s, y->dims[1] + 1);
    norni_step_i64(e, s, one);
    norni_step_items(e, s, 1, split.items, 1, 1);
    return e->status;
}

static const norni_impl eye_impls[] = {{.name = "diagonal", .emit = emit_eye}, {0}};

const norn_op norni_op_EyeLike = {
    .domain = "",
    .name = "EyeLike",
    .versions = (const int[]){9, 22, 0},
    .doc = "a matrix of the input's shape with ones on a diagonal, and zeros elsewhere",
    .inputs = PARAMS({"input", NORNI_NODIFF, NORNI_ANY, 0}),
    .outputs = PARAMS({"output", 0, NORNI_ANY, 0}),
    .attrs_bytes = sizeof(eye_attrs),
    .attrs = eye_table,
    .infer = infer_eye,
    .grad = norni_no_gradient,
    .eval = eval_eye,
    .impls = eye_impls,
    .cost = no_flops,
    .cases = (const char *const[]){"EyeLike(float[4,5])", "EyeLike<k=2>(float[3,9])",
                                   "EyeLike<k=-1, dtype=7>(float[40,33])", "EyeLike<dtype=10>(int32[3,3])",
                                   "EyeLike<k=7>(bool[3,3])", "EyeLike(float[0,3])", NULL},
};
