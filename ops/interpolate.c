/* SPDX-License-Identifier: Apache-2.0 */
/* norn.Interpolate: y[o, i, k] = sum over t of weight[t, i] * x[o, index[t, i], k] along one axis, index -1 adding nothing;
 * without weights, elements are moved. What Resize does along each axis: a product with a sparse matrix, whose
 * transpose, made when the gradient is built, is the gradient. */
#include "ops/interpolate.h"
#include "ops/blocked.h"
#include "ops/copy.h"
#include <string.h>

typedef struct {
    int64_t axis;
} attrs;
static const norni_attr table[] = {NORNI_A_INT(attrs, axis, 0, .lo = 0, .hi = NORN_MAX_RANK - 1),
                                   NORNI_A_END};

/* ---- Tables. */
norn_status norni_taps_alloc(int64_t taps, int64_t n_out, bool weighted, norni_taps *t) {
    *t = (norni_taps){.taps = taps, .n_out = n_out};
    if (taps > INT32_MAX || n_out > INT32_MAX || taps * n_out > INT32_MAX)
        return norni_fail(NORN_UNSUPPORTED, "%lld places with %lld taps each are too many", (long long)n_out,
                          (long long)taps);
    t->index = norni_alloc_array((size_t)(taps * n_out) + 1, sizeof *t->index);
    t->weight = weighted ? norni_alloc_array((size_t)(taps * n_out) + 1, sizeof *t->weight) : NULL;
    if (t->index && (t->weight || !weighted))
        return NORN_OK;
    norni_taps_free(t);
    return norni_nomem();
}

void norni_taps_free(norni_taps *t) {
    norni_free(t->index);
    norni_free(t->weight);
    *t = (norni_taps){0};
}

norn_status norni_taps_transpose(const norni_taps *t, int64_t n, norni_taps *out) {
    int32_t *used = norni_alloc_array((size_t)n + 1, sizeof *used);
    int64_t most = 1;
    norn_status s = used ? NORN_OK : norni_nomem();
    for (int64_t i = 0; s == NORN_OK && i < t->taps * t->n_out; i++)
        if (t->index[i] >= 0 && ++used[t->index[i]] > most)
            most = used[t->index[i]];
    if (s == NORN_OK)
        s = norni_taps_alloc(most, n, true, out);
    if (s == NORN_OK) {
        memset(used, 0, (size_t)n * sizeof *used);
        for (int64_t i = 0; i < most * n; i++)
            out->index[i] = -1;
        for (int64_t i = 0; i < t->n_out; i++)
            for (int64_t k = 0; k < t->taps; k++) {
                int32_t at = t->index[k * t->n_out + i];
                if (at < 0)
                    continue;
                int64_t to = used[at]++ * n + at;
                out->index[to] = (int32_t)i;
                out->weight[to] = t->weight ? t->weight[k * t->n_out + i] : 1;
            }
    }
    norni_free(used);
    return s;
}

norn_value *norni_interpolate(norn_graph *g, norn_value *x, int axis, const norni_taps *t) {
    const int64_t dims[] = {t->taps, t->n_out};
    norn_tensor *index, *weight = NULL;
    if (!x)
        return NULL;
    norn_dtype wt = x->type.dtype == NORN_F64 ? NORN_F64 : NORN_F32;
    norn_status s = norni_tensor_host(NORN_I32, 2, dims, &index);
    if (s == NORN_OK && t->weight && (s = norni_tensor_host(wt, 2, dims, &weight)) != NORN_OK)
        norn_tensor_free(index);
    if (s != NORN_OK)
        return norni_graph_failed(g, s);
    memcpy(norni_tensor_data(index), t->index, norni_tensor_bytes(index));
    for (int64_t i = 0; weight && i < t->taps * t->n_out; i++)
        norni_set_double(wt, norni_tensor_data(weight), i, t->weight[i]);
    norn_value *in[] = {x, norni_value_const(g, NULL, index),
                        weight ? norni_value_const(g, NULL, weight) : NORNI_NONE};
    return norni_opf(g, 3, in, "norn.Interpolate<axis=%d>", axis);
}

/* ---- The operator. */
static int axis_of(const norn_node *node) {
    return (int)((const attrs *)node->attrs)->axis;
}
static bool weighted(const norn_node *node) {
    return node->n_in > 2 && node->in[2];
}

static norn_status infer(norni_infer *c) {
    const norni_type *x = norni_in_type(c, 0), *index = norni_in_type(c, 1), *w = norni_in_type(c, 2);
    int axis;
    if (!norni_in_ranked(c, 2))
        return NORN_OK;
    NORNI_TRY(norni_axis(axis_of(c->node), x->rank, &axis));
    if (index->rank != 2 || (w && w->rank != 2))
        return norni_fail(NORN_SHAPE, "a table has rank %d (wanted 2)",
                          index->rank != 2 ? index->rank : w->rank);
    for (int i = 0; w && i < 2; i++)
        if (w->dims[i] != index->dims[i])
            return norni_fail(NORN_SHAPE, "the tables have different shapes");
    if (!w && index->dims[0] != 1)
        return norni_fail(NORN_SHAPE, "%lld taps without weights (wanted 1)", (long long)index->dims[0]);
    if (w && !norni_dtype_is_float(x->dtype))
        return norni_fail(NORN_DTYPE, "x has type %s (with weights: wanted floating point)",
                          norni_dtype_name(x->dtype));
    if (w && (w->dtype == NORN_F64) != (x->dtype == NORN_F64))
        return norni_fail(NORN_DTYPE, "weight has type %s, x has %s (wanted both double, or neither)",
                          norni_dtype_name(w->dtype), norni_dtype_name(x->dtype));
    c->out[0] = *x;
    c->out[0].dims[axis] = index->dims[1];
    return NORN_OK;
}

static norn_status check(const norn_node *node, int i, const norn_tensor *t) {
    if (i != 1)
        return NORN_OK;
    int64_t n = node->in[0]->type.dims[axis_of(node)];
    for (int64_t k = 0; k < norni_tensor_elems(t); k++) {
        int64_t at = norni_get_int(NORN_I32, norni_tensor_data(t), k);
        if (at < -1 || at >= n)
            return norni_fail(NORN_ARG, "index %lld (wanted -1 to %lld)", (long long)at, (long long)n - 1);
    }
    return NORN_OK;
}

typedef struct {
    int64_t outer, n, inner, n_out, taps;
} sizes;

static sizes sizes_of(const norn_node *node) {
    const norni_type *x = &node->in[0]->type, *t = &node->in[1]->type;
    int axis = axis_of(node);
    return (sizes){norni_elems(axis, x->dims), x->dims[axis],
                   norni_elems(x->rank - axis - 1, x->dims + axis + 1), t->dims[1], t->dims[0]};
}

static norn_status eval(norni_eval *e) {
    const norn_tensor *x = e->in[0], *y = e->out[0];
    const int32_t *index = norni_tensor_data(e->in[1]);
    const norn_tensor *w = weighted(e->node) ? e->in[2] : NULL;
    size_t bytes = (size_t)norni_dtype_bits(x->dtype) / 8;
    sizes s = sizes_of(e->node);
    for (int64_t o = 0; o < s.outer; o++)
        for (int64_t i = 0; i < s.n_out; i++)
            for (int64_t k = 0; k < s.inner; k++) {
                int64_t to = (o * s.n_out + i) * s.inner + k;
                double sum = 0;
                for (int64_t t = 0; t < s.taps; t++) {
                    int64_t tap = t * s.n_out + i, from = (o * s.n + index[tap]) * s.inner + k;
                    if (index[tap] < 0)
                        continue;
                    if (w)
                        sum += norni_get_double(w->dtype, norni_tensor_data(w), tap) *
                               norni_get_double(x->dtype, norni_tensor_data(x), from);
                    else
                        memcpy((char *)norni_tensor_data(y) + (size_t)to * bytes,
                               (const char *)norni_tensor_data(x) + (size_t)from * bytes, bytes);
                }
                if (w)
                    norni_set_double(y->dtype, norni_tensor_data(y), to, sum);
            }
    return NORN_OK;
}

/* ---- Device. */
/* Every element twice: a network's upsampling by 2. */
static bool doubles(const norn_value *index, const sizes *z) {
    if (!norni_is_const(index) || z->taps != 1 || z->n_out != 2 * z->n)
        return false;
    for (int64_t i = 0; i < z->n_out; i++)
        if (norni_get_int(NORN_I32, norni_tensor_data(index->data), i) != i / 2)
            return false;
    return true;
}

static norn_status emit_sizes(norni_emit *e, sizes z) {
    const norn_node *node = e->node;
    norn_dtype t = node->in[0]->type.dtype;
    bool cpu = norni_device_is_cpu(e->device), w = weighted(node);
    if (norni_type_elems(&node->out[0]->type) == 0)
        return e->status;
    int bytes = norni_dtype_bits(w ? norni_compute_dtype(t) : t) / 8;
    int64_t width = norni_min(cpu ? 64 / bytes : 16 / bytes, 16), least = cpu ? 4096 : 1, chunk, each;
    bool lines = z.inner >= width;
    if (!lines && (z.inner > 1 || !cpu))
        width = 1;
    norni_step *s = w ? norni_emit_kernel(e, "interpolate.cl", lines ? "lines" : "rows", t)
                      : norni_emit_move(e, "interpolate.cl", lines ? "lines" : "rows", t);
    norni_step_define(e, s, "W", width);
    if (w)
        norni_step_define(e, s, "WEIGHTED", 1);
    if (z.taps <= 4)
        norni_step_define(e, s, "TAPS", z.taps);
    if (!lines && !w && width >= 4 && z.inner == 1 && doubles(node->in[1], &z))
        norni_step_define(e, s, "DOUBLED", 1);
    norni_step_buffer(e, s, norni_emit_in(e, 0), NORNI_READ);
    norni_step_buffer(e, s, norni_emit_in(e, 1), NORNI_READ);
    norni_step_buffer(e, s, norni_emit_in(e, w ? 2 : 1), NORNI_READ);
    norni_step_buffer(e, s, norni_emit_out(e, 0), NORNI_WRITE);
    if (lines) {
        chunk = cpu ? norni_min(z.inner, least) : width;
        each = norni_min(norni_ceil_div(least, chunk), z.n_out);
    } else {
        chunk = cpu ? norni_min(z.n_out, least) : 1;
        each = norni_min(norni_ceil_div(least, chunk * z.inner), z.outer);
    }
    const int64_t args[] = {z.n, z.n_out, z.inner, z.outer};
    norni_step_i64s(e, s, sizeof args / sizeof *args, args);
    norni_step_i32(e, s, z.taps);
    norni_step_i64(e, s, chunk);
    norni_step_i64(e, s, each);
    if (lines)
        norni_step_items(e, s, 3, norni_ceil_div(z.inner, chunk), norni_ceil_div(z.n_out, each), z.outer);
    else
        norni_step_items(e, s, 2, norni_ceil_div(z.n_out, chunk), norni_ceil_div(z.outer, each), 1);
    return e->status;
}

static norn_status emit(norni_emit *e) {
    return emit_sizes(e, sizes_of(e->node));
}

/* In blocked form the channels of a block lie innermost, so that every spatial axis has vectors along it. */
static norn_status emit_blocked(norni_emit *e) {
    const norni_type *x = &e->node->in[0]->type;
    sizes z = sizes_of(e->node);
    z.outer = x->dims[0] * norni_channel_blocks(x) * norni_elems(axis_of(e->node) - 2, x->dims + 2);
    z.inner *= norni_block_of(x->dtype);
    return emit_sizes(e, z);
}

static const char *fits_blocked(const norni_fit *f) {
    const norn_node *n = f->node;
    if (!norni_device_is_cpu(f->device))
        return "for CPUs";
    if (!norni_blockable(&n->in[0]->type) || !norni_blockable(&n->out[0]->type))
        return "the type has no blocked form";
    return axis_of(n) >= 2 ? NULL : "the axis is not a spatial one";
}

/* ---- The transposed table, and the operator by ONNX's. */
static norn_status read_tables(const norn_node *node, norni_taps *t) {
    const norn_value *index = node->in[1], *w = weighted(node) ? node->in[2] : NULL;
    if (!norni_is_const(index) || (w && !norni_is_const(w)))
        return norni_fail(NORN_UNSUPPORTED, "the tables are computed (wanted constants)");
    NORNI_TRY(norni_taps_alloc(index->type.dims[0], index->type.dims[1], w != NULL, t));
    for (int64_t i = 0; i < t->taps * t->n_out; i++) {
        t->index[i] = (int32_t)norni_get_int(NORN_I32, norni_tensor_data(index->data), i);
        if (w)
            t->weight[i] = norni_get_double(w->type.dtype, norni_tensor_data(w->data), i);
    }
    return NORN_OK;
}

static void grad(norni_grad *c) {
    const norni_type *x = &c->node->in[0]->type;
    norni_taps t, back;
    int axis = axis_of(c->node);
    if (x->dims[axis] < 0) {
        norni_graph_failed(
            c->g, norni_fail(NORN_SHAPE, "the size of axis %d is not known; bind the sizes first", axis));
        return;
    }
    norn_status s = read_tables(c->node, &t);
    if (s == NORN_OK) {
        s = norni_taps_transpose(&t, x->dims[axis], &back);
        norni_taps_free(&t);
    }
    if (s != NORN_OK) {
        norni_graph_failed(c->g, s);
        return;
    }
    c->dx[0] = norni_interpolate(c->g, c->dy[0], axis, &back);
    norni_taps_free(&back);
}

/* A Gather for each tap, times its weights; places without anything take element 0 times 0. */
static norn_status expand(norn_graph *g, const norn_node *node, norn_value **out) {
    enum { MOST = 256 };
    norni_taps t;
    int axis = axis_of(node), rank = node->in[0]->type.rank;
    norn_value *sum = NULL;
    NORNI_TRY(read_tables(node, &t));
    int64_t *at = norni_alloc_array((size_t)t.n_out + 1, sizeof *at), shape[NORN_MAX_RANK];
    norn_dtype dtype = node->in[0]->type.dtype;
    norn_status s = !at             ? norni_nomem()
                    : rank < 0      ? norni_fail(NORN_UNSUPPORTED, "the rank is not known")
                    : t.taps > MOST ? norni_fail(NORN_UNSUPPORTED, "%lld taps (wanted at most %d)",
                                                 (long long)t.taps, MOST)
                                    : NORN_OK;
    for (int i = 0; i < rank - axis; i++)
        shape[i] = i ? 1 : t.n_out;
    for (int64_t k = 0; s == NORN_OK && k < t.taps; k++) {
        norn_tensor *w = NULL;
        bool nothing = false;
        for (int64_t i = 0; i < t.n_out; i++) {
            int32_t from = t.index[k * t.n_out + i];
            at[i] = from < 0 ? 0 : from;
            nothing |= from < 0;
        }
        norn_value *part =
            NORNI_OP2(g, node->in[0], norni_i64_const(g, (int)t.n_out, at), "Gather<axis=%d>", axis);
        if (t.weight || nothing) {
            if ((s = norni_tensor_host(dtype, rank - axis, shape, &w)) != NORN_OK)
                break;
            for (int64_t i = 0; i < t.n_out; i++)
                norni_set_double(dtype, norni_tensor_data(w), i,
                                 t.index[k * t.n_out + i] < 0 ? 0
                                 : t.weight                   ? t.weight[k * t.n_out + i]
                                                              : 1);
            part = NORNI_OP2(g, part, norni_value_const(g, NULL, w), "Mul");
        }
        sum = sum ? NORNI_OP2(g, sum, part, "Add") : part;
    }
    norni_free(at);
    norni_taps_free(&t);
    out[0] = sum;
    return s == NORN_OK ? norn_graph_status(g) : s;
}

static void cost(const norn_node *node, norni_cost *c) {
    c->flops = weighted(node)
                   ? 2.0 * (double)norni_type_elems(&node->out[0]->type) * (double)sizes_of(node).taps
                   : 0;
}

static const norni_impl impls[] = {{.name = "blocks",
                                    .fits = fits_blocked,
                                    .emit = emit_blocked,
                                    .form = NORNI_BLOCKED,
                                    .n_blocked = 1,
                                    .gain = 2},
                                   {.name = "tables", .emit = emit},
                                   {0}};

const norn_op norni_op_Interpolate = {
    .domain = "norn",
    .name = "Interpolate",
    .versions = (const int[]){1, 0},
    .doc = "an axis resampled by tables of places and weights",
    .inputs =
        (const norni_param[]){{"x", 0, NORNI_ANY, 'T'},
                              {"index", NORNI_NODIFF, NORNI_T(NORN_I32), 0},
                              {"weight", NORNI_OPT | NORNI_NODIFF, NORNI_T(NORN_F32) | NORNI_T(NORN_F64), 0},
                              {0}},
    .outputs = (const norni_param[]){{"y", 0, NORNI_ANY, 'T'}, {0}},
    .attrs_bytes = sizeof(attrs),
    .attrs = table,
    .infer = infer,
    .check = check,
    .grad = grad,
    .expand = expand,
    .eval = eval,
    .impls = impls,
    .cost = cost,
    .cases =
        (const char *const[]){
            "norn.Interpolate<axis=2>(float[2,3,5], int32[2,7]{0,0,1,2,3,4,1,-1,1,2,3,4,0,2}, "
            "float[2,7]{0.5,1.0,0.25,0.5,0.75,0.5,1.0,0.0,0.75,0.5,0.25,0.5,0.5,2.0})",
            "norn.Interpolate<axis=1>(float[2,3,37], int32[3,2]{0,-1,1,2,2,0}, "
            "float[3,2]{0.5,1.0,0.25,0.5,-1.0,0.5})",
            "norn.Interpolate<axis=2>(float[2,19,3,5], int32[1,5]{2,0,-1,2,1})",
            "norn.Interpolate<axis=3>(float[2,35,3,4], int32[2,3]{0,1,3,1,-1,0}, "
            "float[2,3]{0.5,1.0,0.25,0.5,0.75,0.5})",
            "norn.Interpolate<axis=1>(float[5,9], int32[1,18]{0,0,1,1,2,2,3,3,4,4,5,5,6,6,7,7,8,8})",
            "norn.Interpolate<axis=1>(float[2,4,3], int32[1,5]{3,0,-1,2,1})",
            "norn.Interpolate<axis=0>(uint8[3,70], int32[1,4]{2,2,0,1})",
            "norn.Interpolate<axis=1>(int64[3,2], int32[1,20]{1,0,0,0,0,0,0,0,1,1,1,1,1,1,1,0,1,0,1,0})",
            "norn.Interpolate<axis=1>(float[0,2], int32[1,1]{1})",
            "norn.Interpolate<axis=1>(float[2,2], int32[1,0]{})",
            "norn.Interpolate<axis=0>(float[3], int32[5,2]{0,1,2,-1,1,0,2,2,0,0}, "
            "float[5,2]{1.0,0.5,-1.0,2.0,0.25,0.5,1.0,1.0,2.0,-0.5})",
            NULL},
};
