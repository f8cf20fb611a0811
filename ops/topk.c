/* SPDX-License-Identifier: Apache-2.0 */
/* TopK: the k largest or smallest elements along an axis, best first, and their places; of equals the first comes first.
 * NaN counts as the largest (as in torch and numpy). The result is always sorted. Source: ONNX TopK-24. */
#include "ops/op.h"
#include <math.h>
#include <string.h>

typedef struct {
    int64_t axis, largest, sorted;
    int64_t k; /* before opset 10 */
} attrs;
static const norni_attr table[] = {NORNI_A_INT(attrs, axis, -1),
                                   NORNI_A_INT(attrs, largest, 1, .lo = 0, .hi = 1, .since = 11),
                                   NORNI_A_INT(attrs, sorted, 1, .lo = 0, .hi = 1, .since = 11),
                                   NORNI_A(attrs, k, INT, .flags = NORNI_ATTR_OLD), NORNI_A_END};
static const norni_moved moved[] = {{"k", 1, 10, NORN_I64}, {0}};

static norn_status infer(norni_infer *c) {
    const norni_type *x = norni_in_type(c, 0), *k = norni_in_type(c, 1);
    int axis, n;
    int64_t v;
    if (k->rank > 1 || (k->rank == 1 && k->dims[0] >= 0 && k->dims[0] != 1))
        return norni_fail(NORN_SHAPE, "K has rank %d (wanted one element)", k->rank);
    if (x->rank < 0)
        return NORN_OK;
    NORNI_TRY(norni_axis(((const attrs *)c->attrs)->axis, x->rank, &axis));
    const norni_dim *d = norni_value_known(c->node->in[1], &n);
    if (d && norni_dim_number(c->g, *d, &v) && (v < 0 || (x->dims[axis] >= 0 && v > x->dims[axis])))
        return norni_fail(NORN_SHAPE, "K is %lld (wanted 0 to %lld, the size of dimension %d)", (long long)v,
                          x->dims[axis] >= 0 ? (long long)x->dims[axis] : INT64_MAX, axis);
    for (int i = 0; i < c->node->n_out; i++) {
        norn_dtype t = c->out[i].dtype;
        c->out[i] = *x;
        c->out[i].dtype = t;
        c->out[i].dims[axis] = d ? *d : norni_dim_fresh(c->g);
    }
    return NORN_OK;
}

typedef struct {
    int64_t outer, n, inner, k;
} lines;

static norn_status lines_of(const norn_node *node, lines *l) {
    const norni_type *x = &node->in[0]->type, *y = &(node->out[0] ? node->out[0] : node->out[1])->type;
    int axis;
    NORNI_TRY(norni_axis(((const attrs *)node->attrs)->axis, x->rank, &axis));
    *l = (lines){norni_elems(axis, x->dims), x->dims[axis],
                 norni_elems(x->rank - axis - 1, x->dims + axis + 1), y->dims[axis]};
    return NORN_OK;
}

/* ---- Host reference. */
static bool before(const norn_tensor *x, int64_t i, int64_t j, bool largest) {
    const void *d = norni_tensor_data(x);
    if (norni_dtype_is_float(x->dtype)) {
        double a = norni_get_double(x->dtype, d, i), b = norni_get_double(x->dtype, d, j);
        if (isnan(a) || isnan(b))
            return isnan(a) == isnan(b) ? i < j : isnan(a) == largest;
        return a == b ? i < j : (a > b) == largest;
    }
    int64_t a = norni_get_int(x->dtype, d, i), b = norni_get_int(x->dtype, d, j);
    bool less = norni_dtype_class(x->dtype) == NORNI_CLASS_INT ? a < b : (uint64_t)a < (uint64_t)b;
    return a == b ? i < j : less != largest;
}

/* Merge sort of places, by runs of doubling length; the result is in `a`. */
static void sort(const norn_tensor *x, int64_t *a, int64_t *b, int64_t n, bool largest) {
    for (int64_t run = 1; run < n; run *= 2) {
        for (int64_t i = 0; i < n; i += 2 * run) {
            int64_t l = i, m = i + run < n ? i + run : n, r = m, end = i + 2 * run < n ? i + 2 * run : n;
            for (int64_t o = i; o < end; o++)
                b[o] = r == end || (l < m && before(x, a[l], a[r], largest)) ? a[l++] : a[r++];
        }
        memcpy(a, b, (size_t)n * sizeof *a);
    }
}

static norn_status eval(norni_eval *e) {
    const norn_tensor *x = e->in[0];
    lines l = {0};
    NORNI_TRY(lines_of(e->node, &l));
    int64_t *a = norni_alloc_array((size_t)l.n + 1, sizeof *a),
            *b = norni_alloc_array((size_t)l.n + 1, sizeof *b);
    size_t size = (size_t)norni_dtype_bits(x->dtype) / 8;
    for (int64_t line = 0; a && b && line < l.outer * l.inner; line++) {
        int64_t base = line / l.inner * l.n * l.inner + line % l.inner;
        for (int64_t i = 0; i < l.n; i++)
            a[i] = base + i * l.inner;
        sort(x, a, b, l.n, ((const attrs *)e->attrs)->largest);
        for (int64_t i = 0; i < l.k; i++) {
            int64_t to = (line / l.inner * l.k + i) * l.inner + line % l.inner;
            if (e->out[0])
                memcpy((char *)norni_tensor_data(e->out[0]) + (size_t)to * size,
                       (char *)norni_tensor_data(x) + (size_t)a[i] * size, size);
            if (e->n_out > 1 && e->out[1])
                ((int64_t *)norni_tensor_data(e->out[1]))[to] = (a[i] - base) / l.inner;
        }
    }
    norn_status s = a && b ? NORN_OK : norni_nomem();
    norni_free(a);
    norni_free(b);
    return s;
}

/* ---- Device. */
static norni_step *find(norni_emit *e, const lines *l, int64_t parts, int64_t n_list, norni_ref list,
                        norni_ref at) {
    norn_dtype t = e->node->in[0]->type.dtype;
    bool wide = norni_dtype_bits(t) == 32 || (norni_dtype_is_float(t) && norni_dtype_bits(t) == 16);
    norni_step *s = norni_emit_kernel(e, "topk.cl", "topk_find", t);
    if (!((const attrs *)e->node->attrs)->largest)
        norni_step_define(e, s, "SMALLEST", 1);
    norni_step_define(e, s, "W", l->inner == 1 && wide ? (norni_device_is_cpu(e->device) ? 16 : 4) : 1);
    norni_step_buffer(e, s, norni_emit_in(e, 0), NORNI_READ);
    norni_step_buffer(e, s, list >= 0 ? list : norni_emit_in(e, 0), NORNI_READ);
    norni_step_buffer(e, s, at, NORNI_WRITE); /* read only where it was written by the same item */
    norni_step_i64(e, s, l->outer * l->inner);
    norni_step_i64(e, s, l->n);
    norni_step_i64(e, s, l->inner);
    norni_step_i64(e, s, l->k);
    norni_step_i64(e, s, parts);
    norni_step_i64(e, s, norni_ceil_div(l->n, parts));
    norni_step_i64(e, s, n_list);
    norni_step_items(e, s, 2, l->outer * l->inner, parts, 1);
    return s;
}

static norn_status emit(norni_emit *e) {
    const norn_node *node = e->node;
    norn_dtype t = node->in[0]->type.dtype;
    lines l = {0};
    NORNI_TRY(lines_of(node, &l));
    int64_t count = l.outer * l.inner, total = count * l.k,
            units = e->device->compute_units ? e->device->compute_units : 1;
    bool cpu = norni_device_is_cpu(e->device);
    if (total == 0)
        return e->status;
    /* Few long lines: the best of each part first, then the best of those. */
    int64_t busy = cpu ? units * 2 : 2048,
            least = 4 * l.k > (cpu ? 4096 : 128) ? 4 * l.k
                    : cpu                        ? 4096
                                                 : 128,
            parts = 1;
    if (count < busy && l.n >= 2 * least) {
        parts = norni_ceil_div(busy, count);
        parts = parts > l.n / least ? l.n / least : parts;
        parts = norni_ceil_div(l.n, norni_ceil_div(l.n, parts)); /* none is empty */
    }
    norni_ref at = node->n_out > 1 && node->out[1] ? norni_emit_out(e, 1)
                                                   : norni_emit_scratch(e, (size_t)total * sizeof(int64_t));
    if (parts > 1) {
        norni_ref list = norni_emit_scratch(e, (size_t)(total * parts) * sizeof(int64_t));
        norni_step_define(e, find(e, &l, parts, 0, -1, list), "FLAT", 1);
        norni_step_define(e, find(e, &l, 1, parts * l.k, list, at), "LIST", 1);
    } else
        find(e, &l, 1, 0, -1, at);
    if (!node->out[0])
        return e->status;
    norni_step *s = norni_emit_kernel(e, "topk.cl", "topk_take", t);
    int64_t each = cpu ? 1024 : 1;
    norni_step_buffer(e, s, norni_emit_in(e, 0), NORNI_READ);
    norni_step_buffer(e, s, at, NORNI_READ);
    norni_step_buffer(e, s, norni_emit_out(e, 0), NORNI_WRITE);
    norni_step_i64(e, s, total);
    norni_step_i64(e, s, each);
    norni_step_i64(e, s, l.n);
    norni_step_i64(e, s, l.inner);
    norni_step_i64(e, s, l.k);
    norni_step_items(e, s, 1, norni_ceil_div(total, each), 1, 1);
    return e->status;
}

static void grad(norni_grad *c) {
    norn_value *x = c->node->in[0];
    if (c->dy[0])
        c->dx[0] = NORNI_OP3(c->g, norni_zeros(c->g, x->type.dtype, norni_shape_value(c->g, x)),
                             norni_want_output(c->node, 1), c->dy[0], "ScatterElements<axis=%d>",
                             (int)((const attrs *)c->node->attrs)->axis);
}

/* K was an attribute, and is a vector of one now. */
static norn_status raise(norni_adapt *a) {
    int64_t k;
    int n;
    norn_value *v = a->node->n_in > 1 ? a->node->in[1] : NULL;
    if (v && norni_is_const(v) && v->type.rank == 0 && norni_value_ints(v, &k, 1, &n))
        a->node->in[1] = norni_i64_const(a->g, 1, &k);
    return norn_graph_status(a->g);
}

static norn_status lower(norni_adapt *a) {
    attrs *at = a->node->attrs;
    if (a->version < 11)
        at->sorted = 1; /* as it is in any case */
    norni_lower_axis(a, &at->axis, a->node->in[0]->type.rank);
    return NORN_OK;
}

static void cost(const norn_node *node, norni_cost *c) {
    c->flops = (double)norni_type_elems(&node->in[0]->type);
}

static const norni_impl impls[] = {{.name = "heap", .emit = emit}, {0}};

const norn_op norni_op_TopK = {
    .domain = "",
    .name = "TopK",
    .versions = (const int[]){1, 10, 11, 24, 0},
    .doc = "the largest or smallest elements along an axis, and their places",
    .inputs = (const norni_param[]){{"x", 0, NORNI_NUMBERS, 'T'},
                                    {"K", NORNI_NODIFF | NORNI_HOST, NORNI_T(NORN_I64), 0},
                                    {0}},
    .outputs =
        (const norni_param[]){{"Values", 0, NORNI_NUMBERS, 'T'}, {"Indices", 0, NORNI_T(NORN_I64), 0}, {0}},
    .attrs_bytes = sizeof(attrs),
    .attrs = table,
    .moved = moved,
    .raise = raise,
    .lower = lower,
    .infer = infer,
    .grad = grad,
    .eval = eval,
    .impls = impls,
    .cost = cost,
    .cases = (const char *const[]){"TopK(float[3,20], int64[1]{4})",
                                   "TopK<axis=1, largest=0>(float[2,9,3], int64[1]{9})",
                                   "TopK<axis=0, sorted=0>(int32[50,2], int64[1]{5})",
                                   "TopK(int8[70], int64[1]{1}) => 1", "TopK(float[20000], int64[1]{7})",
                                   "TopK<largest=0>(uint8[9000], int64[1]{30})",
                                   "TopK<axis=0>(float[9000,2], int64[1]{3})",
                                   "TopK(float[3,4], int64[1]{0})", "TopK(float[2,37], int64[1]{37})", NULL},
};
