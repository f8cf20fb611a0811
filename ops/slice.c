/* SPDX-License-Identifier: Apache-2.0 */
/* Slice: along each of some axes the elements start, start + step, ... before end, as Python's x[start:end:step]:
 * negative places count from the end, and places outside are clamped. SliceGrad: its gradient, dy at those places and 0
 * elsewhere. Source: ONNX Slice-13. */
#include "ops/blocked.h"
#include "ops/copy.h"
#include "ops/rows.h"
#include <string.h>

typedef struct {
    norni_ints starts, ends, axes; /* before opset 10 */
} slice_attrs;
static const norni_attr table[] = {NORNI_A(slice_attrs, starts, INTS, .flags = NORNI_ATTR_OLD),
                                   NORNI_A(slice_attrs, ends, INTS, .flags = NORNI_ATTR_OLD),
                                   NORNI_A(slice_attrs, axes, INTS, .flags = NORNI_ATTR_OLD), NORNI_A_END};
static const norni_moved moved[] = {
    {"starts", 1, 10, NORN_I64}, {"ends", 2, 10, NORN_I64}, {"axes", 3, 10, NORN_I64}, {0}};

/* What is taken along each axis: count elements from start on, step apart. Places may be symbolic. */
typedef struct {
    norni_dim start[NORN_MAX_RANK], count[NORN_MAX_RANK];
    int64_t step[NORN_MAX_RANK];
    bool known; /* false: an input is not known yet, and every axis may be cut */
} slice;

/* One axis of size d, in numbers. count <= d. */
static void place_numbers(int64_t d, int64_t start, int64_t end, int64_t step, int64_t *first,
                          int64_t *count) {
    int64_t lo = step > 0 ? 0 : -1, hi = step > 0 ? d : d - 1, span;
    start += start < 0 ? d : 0;
    end += end < 0 ? d : 0;
    start = start < lo + (step < 0) ? lo + (step < 0) : start > hi ? hi : start;
    end = end < lo ? lo : end > hi ? hi : end;
    span = step > 0 ? end - start : start - end;
    /* -step is not taken of the smallest integer: no slice has more than one element then anyway */
    int64_t stride = step > 0 ? step : step == INT64_MIN ? INT64_MAX : -step;
    *first = start;
    *count = span > 0 && d > 0 ? (span - 1) / stride + 1 : 0;
}

/* A place along an axis of size d, counted from the front. What is symbolic is taken to lie within the axis; false
 * where nothing can be said: a number that may or may not lie beyond the end of a symbolic axis. */
enum { FAR = 1 << 30 }; /* exporters say "to the end" by INT32_MAX or INT64_MAX, give or take some */
static bool place_dim(norn_graph *g, norni_dim d, norni_dim at, bool is_end, bool backwards, norni_dim *out) {
    int64_t v, count;
    *out = at;
    if (!norni_dim_number(g, at, &v))
        return true;
    if (d >= 0) {
        place_numbers(d, is_end ? (backwards ? d - 1 : 0) : v, is_end ? v : (backwards ? INT64_MIN : d),
                      backwards ? -1 : 1, out, &count);
        if (is_end)
            *out = backwards ? d - 1 - count : count;
        return true;
    }
    if (v >= FAR)
        *out = backwards ? norni_dim_sub(g, d, 1) : d;
    else if (v <= -FAR)
        *out = backwards && is_end ? norni_dim_sub(g, 0, 1) : 0;
    else if (v < 0)
        *out = norni_dim_sub(g, d, -v);
    else
        return is_end == backwards || (v == 0 && !backwards);
    return true;
}

static void place_dims(norn_graph *g, norni_dim d, norni_dim start, norni_dim end, int64_t step,
                       norni_dim *first, norni_dim *count) {
    norni_dim s, e;
    int64_t sv, ev;
    bool numbers = norni_dim_number(g, start, &sv) && norni_dim_number(g, end, &ev);
    if (d >= 0 && numbers) {
        place_numbers(d, sv, ev, step, first, count);
        return;
    }
    bool back = step < 0, fine = place_dim(g, d, start, false, back, &s);
    fine &= place_dim(g, d, end, true, back, &e);
    norni_dim span = back ? norni_dim_sub(g, s, e) : norni_dim_sub(g, e, s);
    int64_t stride = step > 0 ? step : step == INT64_MIN ? INT64_MAX : -step;
    *first = s;
    *count = stride == 1 ? span : norni_dim_div(g, norni_dim_add(g, span, stride - 1), stride);
    if (!fine || (norni_dim_number(g, *count, &sv) && sv < 0))
        *first = *count = norni_dim_fresh(g);
}

/* from: index of the input `starts`. */
static norn_status read_slice(norn_graph *g, norn_node *node, int from, const norni_type *x, slice *out) {
    const norni_dim *v[2];
    int64_t axes[NORN_MAX_RANK], steps[NORN_MAX_RANK];
    int n[2], n_axes = 0, n_steps = 0, at;
    bool seen[NORN_MAX_RANK] = {0}, has_axes = node->n_in > from + 2 && node->in[from + 2],
         has_steps = node->n_in > from + 3 && node->in[from + 3];
    static const char *const names[] = {"starts", "ends", "axes", "steps"};
    *out = (slice){0};
    for (int i = 0; i < 4; i++) {
        const norn_value *in = node->n_in > from + i ? node->in[from + i] : NULL;
        if (in && in->type.rank > 1)
            return norni_fail(NORN_SHAPE, "%s has rank %d (wanted 1)", names[i], in->type.rank);
        if (in && in->type.rank == 1 && in->type.dims[0] > NORN_MAX_RANK)
            return norni_fail(NORN_SHAPE, "%s has %lld elements (wanted at most %d)", names[i],
                              (long long)in->type.dims[0], NORN_MAX_RANK);
    }
    for (int i = 0; i < x->rank; i++) {
        out->start[i] = 0;
        out->count[i] = x->dims[i];
        out->step[i] = 1;
    }
    for (int i = 0; i < 2; i++)
        if (!(v[i] = norni_value_known(node->in[from + i], &n[i])))
            return NORN_OK;
    if (has_axes && !norni_value_ints(node->in[from + 2], axes, NORN_MAX_RANK, &n_axes))
        return NORN_OK;
    if (has_steps && !norni_value_ints(node->in[from + 3], steps, NORN_MAX_RANK, &n_steps))
        return NORN_OK;
    const int counts[] = {n[0], n[1], has_axes ? n_axes : n[0], has_steps ? n_steps : n[0]};
    for (int i = 1; i < 4; i++)
        if (counts[i] != n[0])
            return norni_fail(NORN_SHAPE, "%s has %d elements (wanted %d, as starts)", names[i], counts[i],
                              n[0]);
    for (int i = 0; i < n[0]; i++) {
        NORNI_TRY(norni_prefix(norni_axis(has_axes ? axes[i] : i, x->rank, &at), "axes"));
        int64_t step = has_steps ? steps[i] : 1;
        if (seen[at])
            return norni_fail(NORN_SHAPE, "axis %d stands twice", at);
        if (step == 0)
            return norni_fail(NORN_SHAPE, "the step of axis %d is 0 (wanted another number)", at);
        seen[at] = true;
        out->step[at] = step;
        place_dims(g, x->dims[at], v[0][i], v[1][i], step, &out->start[at], &out->count[at]);
    }
    out->known = true;
    return NORN_OK;
}

static norn_status infer_slice(norni_infer *c) {
    const norni_type *x = norni_in_type(c, 0);
    slice s;
    int n;
    if (x->rank < 0)
        return NORN_OK;
    NORNI_TRY(read_slice(c->g, c->node, 1, x, &s));
    c->out[0].rank = x->rank;
    for (int i = 0; i < x->rank; i++)
        c->out[0].dims[i] = s.known ? s.count[i] : norni_dim_fresh(c->g);
    const norni_dim *d =
        x->rank == 1 && norni_dtype_is_int(x->dtype) ? norni_value_known(c->node->in[0], &n) : NULL;
    if (d && s.known && s.start[0] >= 0 && s.count[0] >= 0) {
        norni_dim *k = norni_set_known(c, 0, (int)s.count[0]);
        for (int64_t i = 0; k && i < s.count[0]; i++)
            k[i] = d[s.start[0] + i * s.step[0]];
    }
    return NORN_OK;
}

/* The layout of the slice within the packed whole. */
static void layout_of(const slice *s, int rank, const int64_t *dims, norni_layout *l) {
    int64_t strides[NORN_MAX_RANK];
    norni_strides(rank, dims, strides);
    for (int i = 0; i < rank; i++) {
        l->offset += s->start[i] * strides[i];
        l->strides[i] = s->count[i] > 1 ? s->step[i] * strides[i] : 0;
    }
}

static norn_status eval_slice(norni_eval *e) {
    slice s;
    norni_layout l = {0};
    norn_node *node = (norn_node *)e->node;
    const norn_tensor *x = e->in[0];
    if (norni_tensor_elems(e->out[0]) == 0)
        return NORN_OK;
    NORNI_TRY(read_slice(node->graph, node, 1, &node->in[0]->type, &s));
    norn_tensor view = *e->out[0];
    layout_of(&s, x->rank, x->dims, &l);
    memcpy(view.strides, l.strides, sizeof view.strides);
    norni_tensor_gather(&view, (char *)norni_tensor_data(x) + l.offset * norni_dtype_bits(x->dtype) / 8,
                        norni_tensor_data(e->out[0]));
    return NORN_OK;
}

static norn_status emit_slice(norni_emit *e) {
    norn_node *node = (norn_node *)e->node;
    const norni_type *x = &node->in[0]->type, *y = &node->out[0]->type;
    norni_layout from = {.ref = norni_emit_in(e, 0)}, to = {.ref = norni_emit_out(e, 0)};
    slice s;
    if (norni_type_elems(y) == 0)
        return e->status;
    NORNI_TRY(read_slice(node->graph, node, 1, x, &s));
    layout_of(&s, x->rank, x->dims, &from);
    norni_strides(y->rank, y->dims, to.strides);
    return norni_emit_strided_copy(e, x->dtype, y->rank, y->dims, &from, &to);
}

/* Of the blocked form some whole images. */
static norn_status emit_images(norni_emit *e) {
    norn_node *node = (norn_node *)e->node;
    const norni_type *x = &node->in[0]->type, *y = &node->out[0]->type;
    slice s;
    NORNI_TRY(read_slice(node->graph, node, 1, x, &s));
    int64_t image =
        norni_channel_blocks(x) * norni_block_of(x->dtype) * norni_elems(x->rank - 2, x->dims + 2);
    int64_t elems = y->dims[0] * image;
    norni_layout from = {.ref = norni_emit_in(e, 0), .offset = s.start[0] * image, .strides = {1}};
    norni_layout to = {.ref = norni_emit_out(e, 0), .strides = {1}};
    return norni_emit_strided_copy(e, x->dtype, 1, &elems, &from, &to);
}

static const char *takes_images(const norni_fit *f) {
    slice s;
    norn_node *node = (norn_node *)f->node;
    const norni_type *x = &node->in[0]->type;
    if (!norni_device_is_cpu(f->device))
        return "for CPUs";
    if (!norni_blockable(x) || !norni_blockable(&node->out[0]->type) ||
        read_slice(node->graph, node, 1, x, &s) != NORN_OK || !s.known)
        return "the places are not known";
    if (x->dims[1] < norni_block_of(x->dtype))
        return "there are few channels"; /* what reads them in plain form is the better one */
    for (int i = 0; i < x->rank; i++)
        if ((s.step[i] != 1 && s.count[i] > 1) || (i && s.count[i] != x->dims[i]))
            return "it takes more than a range of axis 0";
    return NULL;
}

static const char *takes_all(const norni_fit *f) {
    slice s;
    norn_node *node = (norn_node *)f->node;
    if (read_slice(node->graph, node, 1, &node->in[0]->type, &s) != NORN_OK || !s.known)
        return "the places are not known";
    for (int i = 0; i < node->in[0]->type.rank; i++)
        if (s.count[i] != node->in[0]->type.dims[i] || (s.step[i] != 1 && s.count[i] > 1))
            return "not the whole input";
    return NULL;
}

/* dy padded with zeros where the steps are 1, which further passes and exporters know best; else by SliceGrad. */
static void grad_slice(norni_grad *c) {
    norn_graph *g = c->g;
    norn_node *node = c->node;
    norn_value *x = node->in[0];
    slice s;
    norn_status st = x->type.rank < 0 ? norni_fail(NORN_SHAPE, "the rank is not known")
                                      : read_slice(g, node, 1, &x->type, &s);
    if (st != NORN_OK) {
        norni_graph_failed(g, st);
        return;
    }
    bool plain = s.known && norni_type_static(&x->type);
    for (int i = 0; i < x->type.rank; i++)
        plain &= s.step[i] == 1 && s.start[i] >= 0 && s.count[i] >= 0;
    if (plain) {
        int64_t pads[2 * NORN_MAX_RANK];
        int r = x->type.rank;
        for (int i = 0; i < r; i++) {
            pads[i] = s.count[i] ? s.start[i] : 0;
            pads[r + i] = x->type.dims[i] - pads[i] - s.count[i];
        }
        c->dx[0] = NORNI_OP2(g, c->dy[0], norni_i64_const(g, 2 * r, pads), "Pad");
        return;
    }
    norn_value *in[6] = {c->dy[0], norni_shape_value(g, x)};
    for (int i = 1; i < 5; i++)
        in[i + 1] = i < node->n_in && node->in[i] ? node->in[i] : NORNI_NONE;
    c->dx[0] = norni_opf(g, 6, in, "norn.SliceGrad");
}

/* Opsets before 10 have no steps. */
static norn_status lower_slice(norni_adapt *a) {
    norn_node *node = a->node;
    int64_t axes[NORN_MAX_RANK];
    int n;
    if (a->version >= 11)
        return NORN_OK;
    if (a->version < 10 && node->n_in > 4 && node->in[4]) {
        if (!norni_is_const_value(node->in[4], 1))
            return norni_fail(NORN_UNSUPPORTED, "steps other than 1 are new in opset 10");
        node->in[4] = NULL;
    }
    if (node->n_in > 3 && node->in[3] && node->in[0]->type.rank >= 0 &&
        norni_value_ints(node->in[3], axes, NORN_MAX_RANK, &n)) {
        for (int i = 0; i < n; i++)
            norni_lower_axis(a, &axes[i], node->in[0]->type.rank);
        node->in[3] = norni_i64_const(a->g, n, axes);
    }
    return norn_graph_status(a->g);
}

static void no_flops(const norn_node *node, norni_cost *c) {
    *c = (norni_cost){.bytes = 2 * (double)norni_type_bytes(&node->out[0]->type)};
}

#define PLACES                                                                                               \
    {"starts", NORNI_NODIFF | NORNI_HOST, NORNI_INDEX, 'I'},                                                 \
        {"ends", NORNI_NODIFF | NORNI_HOST, NORNI_INDEX, 'I'},                                               \
        {"axes", NORNI_OPT | NORNI_NODIFF | NORNI_HOST, NORNI_INDEX, 'I'}, {                                 \
        "steps", NORNI_OPT | NORNI_NODIFF | NORNI_HOST | NORNI_SINCE(10), NORNI_INDEX, 'I'                   \
    }

static const norni_impl slice_impls[] = {{.name = "view", .fits = takes_all, .alias = 1},
                                         {.name = "images",
                                          .fits = takes_images,
                                          .emit = emit_images,
                                          .form = NORNI_BLOCKED,
                                          .n_blocked = 1,
                                          .gain = 1},
                                         {.name = "copy", .emit = emit_slice},
                                         {0}};

const norn_op norni_op_Slice = {
    .domain = "",
    .name = "Slice",
    .versions = (const int[]){1, 10, 11, 13, 0},
    .doc = "every step-th element from start to before end, along some axes",
    .inputs = PARAMS({"data", 0, NORNI_ANY, 'T'}, PLACES),
    .outputs = PARAMS({"output", 0, NORNI_ANY, 'T'}),
    .attrs_bytes = sizeof(slice_attrs),
    .attrs = table,
    .moved = moved,
    .lower = lower_slice,
    .infer = infer_slice,
    .grad = grad_slice,
    .eval = eval_slice,
    .impls = slice_impls,
    .cost = no_flops,
    .cases =
        (const char *const[]){
            "Slice(float[5,7], int64[2]{1,2}, int64[2]{4,7})",
            "Slice(float[5,7], int64[1]{-3}, int64[1]{-1}, int64[1]{-1})",
            "Slice(float[3,20], int64[1]{1}, int64[1]{19}, int64[1]{1}, int64[1]{3})",
            "Slice(float[4,7,3], int64[2]{-1,0}, int64[2]{-9223372036854775808,9}, int64[2]{1,2}, "
            "int64[2]{-2,2})",
            "Slice(float[3,40], int64[1]{100}, int64[1]{-100}, int64[1]{1}, int64[1]{-1})",
            "Slice(float[4,5], int32[2]{0,1}, int32[2]{2147483647,3}, int32[2]{0,1}, int32[2]{1,1})",
            "Slice(float[3,4], int64[1]{2}, int64[1]{2}, int64[1]{1})",
            "Slice(float[3,4], int64[1]{0}, int64[1]{9223372036854775807})",
            "Slice(float[2,3], int64[0]{}, int64[0]{})",
            "Slice(uint8[2,9,40], int64[1]{3}, int64[1]{8}, int64[1]{1})",
            "Slice(bool[6], int64[1]{1}, int64[1]{5})",
            "Slice(float[5,19,3,4], int64[1]{1}, int64[1]{4}, int64[1]{0})",
            "Slice(float[0,3], int64[1]{0}, int64[1]{1})", NULL},
};

/* ---- SliceGrad: zeros of the given shape with dy at the places of the slice. */
static norn_status infer_grad(norni_infer *c) {
    int n;
    const norni_dim *d = norni_value_known(c->node->in[1], &n);
    const norni_type *shape = norni_in_type(c, 1);
    norni_type *y = &c->out[0];
    if (shape->rank > 1 || n > NORN_MAX_RANK)
        return norni_fail(NORN_SHAPE, "shape has rank %d and %d elements (wanted rank 1, at most %d)",
                          shape->rank, n, NORN_MAX_RANK);
    if (!d)
        return NORN_OK;
    y->rank = n;
    memcpy(y->dims, d, (size_t)n * sizeof *d);
    const norni_type *dy = norni_in_type(c, 0);
    slice s;
    NORNI_TRY(read_slice(c->g, c->node, 2, y, &s));
    for (int i = 0; s.known && dy->rank >= 0 && i < n; i++)
        if (dy->rank != n || (dy->dims[i] >= 0 && s.count[i] >= 0 && dy->dims[i] != s.count[i]))
            return norni_fail(NORN_SHAPE, "dy does not have the shape of the slice in dimension %d", i);
    return NORN_OK;
}

static norn_status eval_grad(norni_eval *e) {
    slice s;
    norni_layout l = {0};
    norn_node *node = (norn_node *)e->node;
    const norn_tensor *y = e->out[0];
    if (norni_tensor_elems(e->in[0]) == 0)
        return NORN_OK;
    NORNI_TRY(read_slice(node->graph, node, 2, &node->out[0]->type, &s));
    norn_tensor view = *e->in[0];
    layout_of(&s, y->rank, y->dims, &l);
    memcpy(view.strides, l.strides, sizeof view.strides);
    norni_tensor_scatter(&view, norni_tensor_data(e->in[0]),
                         (char *)norni_tensor_data(y) + l.offset * norni_dtype_bits(y->dtype) / 8);
    return NORN_OK;
}

static norn_status emit_grad(norni_emit *e) {
    norn_node *node = (norn_node *)e->node;
    const norni_type *dy = &node->in[0]->type, *y = &node->out[0]->type;
    norni_layout from = {.ref = norni_emit_in(e, 0)}, to = {.ref = norni_emit_out(e, 0)};
    slice s;
    if (norni_type_elems(y) == 0)
        return e->status;
    norni_emit_fill(e, to.ref, 0);
    if (norni_type_elems(dy) == 0)
        return e->status;
    NORNI_TRY(read_slice(node->graph, node, 2, y, &s));
    layout_of(&s, y->rank, y->dims, &to);
    norni_strides(dy->rank, dy->dims, from.strides);
    return norni_emit_strided_copy(e, y->dtype, dy->rank, dy->dims, &from, &to);
}

static void grad_grad(norni_grad *c) {
    norn_value *in[5] = {c->dy[0]};
    for (int i = 2; i < 6; i++)
        in[i - 1] = i < c->node->n_in && c->node->in[i] ? c->node->in[i] : NORNI_NONE;
    c->dx[0] = norni_opf(c->g, 5, in, "Slice");
}

/* Along an axis of step s: reversed if s < 0, each element followed by |s| - 1 zeros, then zeros at both ends (fewer
 * than none where the last element's zeros lie beyond). */
static norn_status expand_grad(norn_graph *g, const norn_node *node, norn_value **out) {
    const norni_type *y = &node->out[0]->type;
    norn_value *v = node->in[0];
    slice s;
    int64_t pads[2 * NORN_MAX_RANK], dims[NORN_MAX_RANK];
    int r = y->rank;
    if (!norni_type_static(y) || !norni_type_static(&v->type))
        return norni_fail(NORN_UNSUPPORTED,
                          "the gradient of a slice whose sizes are not known; bind the sizes first");
    NORNI_TRY(read_slice(g, (norn_node *)node, 2, y, &s));
    memcpy(dims, v->type.dims, sizeof dims);
    for (int i = 0; i < r; i++) {
        int64_t n = s.count[i], step = s.step[i], gap;
        pads[i] = n ? s.start[i] : 0;
        if (step < 0 && n > 1) {
            const int64_t at[] = {i}, first[] = {-1}, last[] = {INT64_MIN}, back[] = {-1};
            v = norni_opf(g, 5,
                          (norn_value *[]){v, norni_i64_const(g, 1, first), norni_i64_const(g, 1, last),
                                           norni_i64_const(g, 1, at), norni_i64_const(g, 1, back)},
                          "Slice");
            pads[i] += (n - 1) * step;
            step = -step;
        }
        gap = n > 1 ? step : 1;
        if (gap > 1) { /* [outer, n, inner] to [outer, n, gap * inner] */
            int64_t inner = norni_elems(r - i - 1, dims + i + 1), outer = norni_elems(i, dims);
            const int64_t three[] = {outer, n, inner}, zeros[] = {0, 0, 0, 0, 0, (gap - 1) * inner};
            v = NORNI_OP2(g, v, norni_i64_const(g, 3, three), "Reshape<allowzero=1>");
            v = NORNI_OP2(g, v, norni_i64_const(g, 6, zeros), "Pad");
            dims[i] = n * gap;
            v = NORNI_OP2(g, v, norni_i64_const(g, r, dims), "Reshape<allowzero=1>");
        }
        pads[r + i] = y->dims[i] - pads[i] - n * gap;
    }
    out[0] = NORNI_OP2(g, v, norni_i64_const(g, 2 * r, pads), "Pad");
    return norn_graph_status(g);
}

static const norni_impl grad_impls[] = {{.name = "copy", .emit = emit_grad}, {0}};

const norn_op norni_op_SliceGrad = {
    .domain = "norn",
    .name = "SliceGrad",
    .versions = (const int[]){1, 0},
    .doc = "the gradient of Slice: zeros with dy at the places of the slice",
    .inputs =
        PARAMS({"dy", 0, NORNI_ANY, 'T'}, {"shape", NORNI_NODIFF | NORNI_HOST, NORNI_T(NORN_I64), 0}, PLACES),
    .outputs = PARAMS({"dx", 0, NORNI_ANY, 'T'}),
    .infer = infer_grad,
    .grad = grad_grad,
    .expand = expand_grad,
    .eval = eval_grad,
    .impls = grad_impls,
    .cost = no_flops,
    .cases =
        (const char *const[]){
            "norn.SliceGrad(float[3,6], int64[2]{3,20}, int64[1]{1}, int64[1]{19}, int64[1]{1}, int64[1]{3})",
            "norn.SliceGrad(float[4,4,2], int64[3]{4,7,3}, int64[2]{-1,0}, int64[2]{-9223372036854775808,9}, "
            "int64[2]{1,2}, int64[2]{-2,2})",
            "norn.SliceGrad(float[3,2], int64[2]{5,7}, int64[2]{1,5}, int64[2]{4,7})",
            "norn.SliceGrad(float[3,0], int64[2]{3,4}, int64[1]{2}, int64[1]{2}, int64[1]{1})", NULL},
};
