/* SPDX-License-Identifier: Apache-2.0 */
/* Operators by those of an older opset, where the operator itself says nothing of it (`lower` and `expand` of ops/op.h): because
 * it was not there yet, took fewer element types, or had as an attribute what is computed now. All give the same numbers. */
#include "export/onnx/older.h"
#include <float.h>
#include <math.h>
#include <string.h>

#define RULE(name) static norn_value *name(norni_exporter *x, const norn_node *node)

/* ---- Small helpers. */
static norn_value *in_of(const norn_node *node, int i) {
    return i < node->n_in ? node->in[i] : NULL;
}

static norn_value *shape_as(norn_graph *g, norn_value *v, int n, const int64_t *dims) {
    return NORNI_OP2(g, v, norni_i64_const(g, n, dims), "Reshape");
}

static bool static_shape(const norn_value *v) {
    return v && norni_type_static(&v->type);
}

/* 0 in the shape of v and of the type t, whatever its elements are. */
static norn_value *zeros_like(norn_graph *g, norn_value *v, norn_dtype t) {
    norn_value *finite = norni_cast(g, v->type.dtype == NORN_BOOL ? v : norni_cast(g, v, NORN_BOOL), t);
    return NORNI_OP2(g, finite, norni_scalar_const(g, t, 0), "Mul");
}

static norn_value *to_shape(norn_graph *g, norn_value *v, const norni_type *t) {
    return norni_type_equal(&v->type, t) ? v
                                         : NORNI_OP2(g, v, norni_i64_const(g, t->rank, t->dims), "Expand");
}

/* All in one shape. Where that is not known zeros are added, which keeps everything but the sign of a zero. */
static void to_one_shape(norn_graph *g, int n, norn_value **v, const norn_value *out) {
    norn_value *zero = NULL;
    bool known = static_shape(out), same = true;
    for (int k = 1; k < n; k++)
        same &= norni_shape_equal(&v[0]->type, &v[k]->type);
    for (int k = 0; k < n && !known && !same; k++) {
        norn_value *z = zeros_like(g, v[k], v[0]->type.dtype);
        zero = zero ? NORNI_OP2(g, zero, z, "Add") : z;
    }
    for (int k = 0; k < n && !same; k++) {
        norni_type t = out->type;
        t.dtype = v[k] ? v[k]->type.dtype : t.dtype;
        v[k] = known ? to_shape(g, v[k], &t) : NORNI_OP2(g, v[k], zero, "Add");
    }
}

/* Max and Min of opset 7 do not broadcast. */
RULE(same_shapes) {
    norn_value *v[32];
    if (x->opset >= 8 || node->n_in > 32)
        return NULL;
    for (int i = 0; i < node->n_in; i++)
        v[i] = node->in[i];
    to_one_shape(x->g, node->n_in, v, node->out[0]);
    return norni_opf(x->g, node->n_in, v, "%s", node->op->name);
}

/* ---- Where of known sizes: element i + N c of what is not taken and what is, behind each other. */
static norn_value *where_by_place(norn_graph *g, const norn_node *node) {
    enum { MOST = 1 << 16 };
    norni_type t = node->out[0]->type;
    int64_t n = norni_type_elems(&t);
    norni_type flat = {.dtype = NORN_I64, .rank = 1, .dims = {n}};
    norn_value *part[3] = {norni_cast(g, node->in[0], NORN_I64), node->in[1], node->in[2]};
    if (n < 1 || n > MOST)
        return NULL;
    for (int k = 0; k < 3; k++) {
        t.dtype = part[k] ? part[k]->type.dtype : t.dtype;
        part[k] = part[k] ? shape_as(g, to_shape(g, part[k], &t), 1, (int64_t[]){-1}) : NULL;
    }
    norn_value *place = norni_fill_const(g, &flat, 0),
               *both = NORNI_OP2(g, part[2], part[1], "Concat<axis=0>");
    for (int64_t i = 0; place && i < n; i++)
        norni_set_int(NORN_I64, norni_tensor_data(place->data), i, i);
    norn_value *jump = NORNI_OP2(g, part[0], norni_i64_const(g, 1, &n), "Mul");
    norn_value *y = NORNI_OP2(g, both, NORNI_OP2(g, place, jump, "Add"), "Gather<axis=0>");
    return shape_as(g, y, t.rank, t.dims);
}

/* ---- Where: in integers c x + (1 - c) y. In floats max(min(x, u), min(y, -u)) with u = inf where c is true, else -inf,
 * which leaves what is taken as it is. (NaN in what is not taken would stay.) */
RULE(where) {
    norn_graph *g = x->g;
    norn_value *c = node->in[0], *v[2] = {node->in[1], node->in[2]};
    norn_dtype t = v[0]->type.dtype;
    if (norni_dtype_is_int(t)) {
        norn_dtype wide = norni_dtype_bytes(t, 1) < 4 ? NORN_I32 : t;
        norn_value *m = norni_cast(g, c, wide), *one = norni_scalar_const(g, wide, 1);
        norn_value *a = NORNI_OP2(g, norni_cast(g, v[0], wide), m, "Mul");
        norn_value *b = NORNI_OP2(g, norni_cast(g, v[1], wide), NORNI_OP2(g, one, m, "Sub"), "Mul");
        return norni_cast(g, NORNI_OP2(g, a, b, "Add"), t);
    }
    if (static_shape(node->out[0]) && node->out[0]->type.rank >= 0) {
        norn_value *y = where_by_place(g, node);
        if (y)
            return y;
    }
    if (!norni_dtype_is_float(t) ||
        !NORNI_PUSH(&x->changed, "Where of unknown sizes (which lets NaN pass that it does not take)"))
        return NULL;
    norn_value *half = NORNI_OP2(g, norni_cast(g, c, t), norni_scalar_const(g, t, 0.5), "Sub");
    norn_value *u = NORNI_OP2(g, half, norni_scalar_const(g, t, (double)INFINITY), "Mul");
    norn_value *bound[2] = {u, NORNI_OP2(g, half, norni_scalar_const(g, t, -(double)INFINITY), "Mul")};
    return NORNI_OP2(g, NORNI_OP2(g, v[0], bound[0], "Min"), NORNI_OP2(g, v[1], bound[1], "Min"), "Max");
}

/* ---- Expand, ConstantOfShape: Tile. */
RULE(expand) {
    norn_graph *g = x->g;
    norn_value *v = node->in[0], *shape = node->in[1];
    int64_t dims[NORN_MAX_RANK];
    int rank = node->out[0]->type.rank, n = shape->type.rank == 1 ? (int)shape->type.dims[0] : -1;
    if (v->type.rank < 0 || rank < 1 || n < 0)
        return NULL;
    if (v->type.rank < rank) {
        for (int i = 0; i < rank - v->type.rank; i++)
            dims[i] = i;
        v = NORNI_OP2(g, v, norni_i64_const(g, rank - v->type.rank, dims), "Unsqueeze");
    }
    if (n < rank) {
        for (int i = 0; i < rank - n; i++)
            dims[i] = 1;
        shape = NORNI_OP2(g, norni_i64_const(g, rank - n, dims), shape, "Concat<axis=0>");
    }
    /* Sizes 1 of v are repeated, others stay: e s + 1 - e with e = 1 where the size is 1. */
    norn_value *one = norni_i64_const(g, 1, (int64_t[]){1});
    norn_value *e = norni_cast(g, NORNI_OP2(g, norni_shape_value(g, v), one, "Equal"), NORN_I64);
    norn_value *repeats = NORNI_OP2(g, NORNI_OP2(g, e, shape, "Mul"), NORNI_OP2(g, one, e, "Sub"), "Add");
    bool known = true;
    for (int i = 0; i < rank; i++) {
        known &= v && v->type.dims[i] >= 0 && node->out[0]->type.dims[i] >= 0;
        dims[i] = known ? (v->type.dims[i] == 1 ? node->out[0]->type.dims[i] : 1) : 0;
    }
    return NORNI_OP2(g, v, known ? norni_i64_const(g, rank, dims) : repeats, "Tile");
}

RULE(constant_of_shape) {
    norn_graph *g = x->g;
    norn_value *shape = node->in[0];
    norni_attr_value value = {0};
    const norni_attr *a = norni_attr_find(node->op, "value");
    int64_t ones[NORN_MAX_RANK];
    int rank = node->out[0]->type.rank;
    if (rank < 1 || !a)
        return NULL;
    for (int i = 0; i < rank; i++)
        ones[i] = 1;
    norn_dtype t = node->out[0]->type.dtype;
    bool given = norni_attr_get(a, node->attrs, &value) && value.t;
    double v = given && norni_dtype_is_float(t) ? norni_get_double(t, norni_tensor_data(value.t), 0) : 0;
    norni_type type = {.dtype = t, .rank = rank};
    memcpy(type.dims, ones, sizeof ones);
    norn_value *c = norni_fill_const(g, &type, v);
    if (c && given && !norni_dtype_is_float(t)) /* all 64 bits of it */
        norni_set_int(t, norni_tensor_data(c->data), 0, norni_get_int(t, norni_tensor_data(value.t), 0));
    return NORNI_OP2(g, c, shape, "Tile");
}

/* ---- What numbers are: comparisons with NaN are false. */
RULE(is_nan) {
    norn_graph *g = x->g;
    norn_value *v = node->in[0];
    norn_dtype t = v->type.dtype;
    norn_value *above = NORNI_OP2(g, v, norni_scalar_const(g, t, 0), "Greater");
    norn_value *below = NORNI_OP2(g, v, norni_scalar_const(g, t, 1), "Less");
    return NORNI_OP1(g, NORNI_OP2(g, above, below, "Or"), "Not");
}

RULE(is_inf) {
    norn_graph *g = x->g;
    norn_value *v = node->in[0];
    norn_dtype t = v->type.dtype;
    norni_attr_value a;
    double top = t == NORN_F64 ? DBL_MAX : t == NORN_F16 ? 65504 : (double)FLT_MAX;
    const norni_attr *pos = norni_attr_find(node->op, "detect_positive"),
                     *neg = norni_attr_find(node->op, "detect_negative");
    bool up = !norni_attr_get(pos, node->attrs, &a) || a.i,
         down = !norni_attr_get(neg, node->attrs, &a) || a.i;
    norn_value *above = NORNI_OP2(g, v, norni_scalar_const(g, t, top), "Greater");
    norn_value *below = NORNI_OP2(g, v, norni_scalar_const(g, t, -top), "Less");
    if (t == NORN_BF16)
        return NULL;
    return up && down ? NORNI_OP2(g, above, below, "Or")
           : up       ? above
           : down     ? below
                      : NORNI_OP2(g, above, below, "And");
}

/* Before opset 11 Equal took no real numbers: neither less nor greater, and neither of them NaN. */
RULE(equal) {
    norn_graph *g = x->g;
    norn_value *a = node->in[0], *b = node->in[1];
    if (!norni_dtype_is_float(a->type.dtype))
        return NULL;
    norn_value *other = NORNI_OP2(g, NORNI_OP2(g, a, b, "Less"), NORNI_OP2(g, a, b, "Greater"), "Or");
    norn_value *nan = NORNI_OP2(g, NORNI_OP1(g, a, "IsNaN"), NORNI_OP1(g, b, "IsNaN"), "Or");
    return NORNI_OP1(g, NORNI_OP2(g, other, nan, "Or"), "Not");
}

/* An exponent of another type than its base, before opset 12. */
RULE(power) {
    norn_graph *g = x->g;
    norn_dtype t = node->in[0]->type.dtype;
    return t == node->in[1]->type.dtype || !norni_dtype_is_float(t)
               ? NULL
               : NORNI_OP2(g, node->in[0], norni_cast(g, node->in[1], t), "Pow");
}

/* ---- The last of equal elements: the first from the back. */
RULE(arg_last) {
    norn_graph *g = x->g;
    norn_value *v = node->in[0];
    norni_attr_value a;
    int64_t axis = 0, back[1024], last;
    int at;
    bool keep = !norni_attr_get(norni_attr_find(node->op, "keepdims"), node->attrs, &a) || a.i;
    if (norni_attr_get(norni_attr_find(node->op, "axis"), node->attrs, &a))
        axis = a.i;
    if (v->type.rank < 1 || norni_axis(axis, v->type.rank, &at) != NORN_OK || v->type.dims[at] < 1 ||
        v->type.dims[at] > 1024)
        return NULL;
    last = v->type.dims[at] - 1;
    for (int64_t i = 0; i <= last; i++)
        back[i] = last - i;
    norn_value *turned = NORNI_OP2(g, v, norni_i64_const(g, (int)last + 1, back), "Gather<axis=%d>", at);
    norn_value *y = NORNI_OP1(g, turned, "%s<axis=%d, keepdims=%d>", node->op->name, at, keep);
    return NORNI_OP2(g, norni_scalar_const(g, NORN_I64, (double)last), y, "Sub");
}

/* ---- Slices with steps, before opset 10: the places that are taken, axis by axis. */
RULE(slice) {
    enum { MOST = 4096 };
    norn_graph *g = x->g;
    norn_value *v = node->in[0];
    const norni_type *t = &v->type;
    int64_t from[NORN_MAX_RANK], to[NORN_MAX_RANK], axes[NORN_MAX_RANK], steps[NORN_MAX_RANK], place[MOST];
    int n, m;
    if (t->rank < 1 || !norni_value_ints(in_of(node, 1), from, NORN_MAX_RANK, &n) ||
        !norni_value_ints(in_of(node, 2), to, NORN_MAX_RANK, &m) || m != n)
        return NULL;
    for (int i = 0; i < n; i++) {
        axes[i] = i;
        steps[i] = 1;
    }
    if ((in_of(node, 3) && (!norni_value_ints(node->in[3], axes, NORN_MAX_RANK, &m) || m != n)) ||
        (in_of(node, 4) && (!norni_value_ints(node->in[4], steps, NORN_MAX_RANK, &m) || m != n)))
        return NULL;
    for (int i = 0; i < n; i++) {
        int at, count = 0;
        if (norni_axis(axes[i], t->rank, &at) != NORN_OK || t->dims[at] < 0 || steps[i] == 0)
            return NULL;
        int64_t d = t->dims[at], lo = from[i] < 0 ? from[i] + d : from[i],
                hi = to[i] < -d  ? -1
                     : to[i] < 0 ? to[i] + d
                                 : to[i];
        lo = steps[i] > 0 ? (lo < 0 ? 0 : lo > d ? d : lo) : (lo < 0 ? 0 : lo > d - 1 ? d - 1 : lo);
        hi = steps[i] > 0 ? (hi < 0 ? 0 : hi > d ? d : hi) : (hi > d ? d : hi);
        for (int64_t k = lo; (steps[i] > 0 ? k < hi : k > hi) && k >= 0; k += steps[i]) {
            if (count == MOST)
                return NULL;
            place[count++] = k;
        }
        if (!count) /* Gather of nothing */
            return NULL;
        v = NORNI_OP2(g, v, norni_i64_const(g, count, place), "Gather<axis=%d>", at);
    }
    return v;
}

/* ---- Shape with a start and an end: part of all sizes. */
RULE(shape) {
    norn_graph *g = x->g;
    norni_attr_value a;
    int64_t start = 0, end = INT32_MAX;
    if (norni_attr_get(norni_attr_find(node->op, "start"), node->attrs, &a))
        start = a.i;
    if (norni_attr_get(norni_attr_find(node->op, "end"), node->attrs, &a))
        end = a.i;
    return NORNI_OP3(g, NORNI_OP1(g, node->in[0], "Shape"), norni_i64_const(g, 1, &start),
                     norni_i64_const(g, 1, &end), "Slice");
}

/* ---- CumProd along an axis of known size: product by product. */
RULE(cum_prod) {
    enum { MOST = 64 };
    norn_graph *g = x->g;
    norn_value *v = node->in[0], *parts[MOST], *run = NULL;
    norni_attr_value a;
    int64_t axis;
    int n, at;
    bool reverse = norni_attr_get(norni_attr_find(node->op, "reverse"), node->attrs, &a) && a.i;
    bool exclusive = norni_attr_get(norni_attr_find(node->op, "exclusive"), node->attrs, &a) && a.i;
    if (!norni_value_ints(node->in[1], &axis, 1, &n) || n != 1 || v->type.rank < 1 ||
        norni_axis(axis, v->type.rank, &at) != NORN_OK || v->type.dims[at] < 1 || v->type.dims[at] > MOST)
        return NULL;
    int size = (int)v->type.dims[at];
    for (int i = 0; i < size; i++) {
        int k = reverse ? size - 1 - i : i;
        norn_value *item = norni_part(g, v, at, k, k + 1), *before = run;
        run = run ? NORNI_OP2(g, run, item, "Mul") : item;
        if (exclusive && !before) /* 1: nothing is multiplied yet */
            before = NORNI_OP2(g, zeros_like(g, item, v->type.dtype), norni_scalar_const(g, v->type.dtype, 1),
                               "Add");
        parts[k] = exclusive ? before : run;
    }
    return norni_opf(g, size, parts, "Concat<axis=%d>", at);
}

/* ---- OneHot of a known depth: on where the index is the number. */
RULE(one_hot) {
    norn_graph *g = x->g;
    norn_value *indices = node->in[0];
    norni_attr_value a;
    int64_t depth, axis = -1, numbers[256], dims[NORN_MAX_RANK];
    int n, at, rank = indices->type.rank + 1;
    if (norni_attr_get(norni_attr_find(node->op, "axis"), node->attrs, &a))
        axis = a.i;
    if (!norni_value_ints(node->in[1], &depth, 1, &n) || n != 1 || depth < 1 || depth > 256 || rank < 1 ||
        rank > NORN_MAX_RANK || norni_axis(axis, rank, &at) != NORN_OK)
        return NULL;
    for (int i = 0; i < rank; i++)
        dims[i] = i == at ? depth : 1;
    norn_value *hit = NULL, *wide = norni_cast(g, indices, NORN_I64), *unsqueezed;
    unsqueezed = NORNI_OP2(g, wide, norni_i64_const(g, 1, (int64_t[]){at}), "Unsqueeze");
    for (int back = 0; back < 2; back++) { /* indices may count from the back */
        for (int64_t i = 0; i < depth; i++)
            numbers[i] = i - back * depth;
        norn_value *same = NORNI_OP2(
            g, unsqueezed, shape_as(g, norni_i64_const(g, (int)depth, numbers), rank, dims), "Equal");
        hit = hit ? NORNI_OP2(g, hit, same, "Or") : same;
    }
    norn_value *off = NORNI_OP2(g, node->in[2], norni_i64_const(g, 1, (int64_t[]){0}), "Gather"),
               *on = NORNI_OP2(g, node->in[2], norni_i64_const(g, 1, (int64_t[]){1}), "Gather");
    return NORNI_OP3(g, hit, on, off, "Where");
}

/* ---- Reductions along axes that are computed. x in the shape [k0, r0, k1, r1, ...], where an axis that is reduced has the
 * sizes 1, d and one that is not d, 1, is reduced along the odd axes; what is left has the shape with keepdims. */
RULE(reduce) {
    norn_graph *g = x->g;
    norn_value *v = node->in[0], *axes = in_of(node, 1);
    int r = v->type.rank;
    int64_t numbers[NORN_MAX_RANK], odd[NORN_MAX_RANK];
    norni_attr_value a;
    bool keep = !norni_attr_get(norni_attr_find(node->op, "keepdims"), node->attrs, &a) || a.i;
    bool noop = norni_attr_get(norni_attr_find(node->op, "noop_with_empty_axes"), node->attrs, &a) && a.i;
    if (!axes || r < 1 || 2 * r > NORN_MAX_RANK || x->opset < 9)
        return NULL;
    for (int i = 0; i < r; i++) { /* a size 0 would be taken for "as it was" */
        if (v->type.dims[i] == 0)
            return NULL;
        odd[i] = 2 * i + 1;
    }
    /* m: 1 for the axes that are reduced. */
    norn_value *column = shape_as(g, axes, 2, (int64_t[]){-1, 1}), *m = NULL;
    for (int back = 0; back < 2; back++) {
        for (int i = 0; i < r; i++)
            numbers[i] = i - back * r;
        norn_value *same = NORNI_OP2(g, column, norni_i64_const(g, r, numbers), "Equal");
        m = m ? NORNI_OP2(g, m, same, "Or") : same;
    }
    norn_value *zero = norni_i64_const(g, 1, (int64_t[]){0}), *one = norni_i64_const(g, 1, (int64_t[]){1});
    m = NORNI_OP2(g, norni_cast(g, m, NORN_F32), zero, "ReduceSum<keepdims=0>");
    if (!noop) { /* no axes: all */
        norn_value *sum = NORNI_OP2(g, m, zero, "ReduceSum<keepdims=1>");
        m = NORNI_OP2(
            g, m, norni_cast(g, NORNI_OP2(g, sum, norni_scalar_const(g, NORN_F32, 0.5), "Less"), NORN_F32),
            "Add");
    }
    norn_value *is = NORNI_OP2(g, m, norni_scalar_const(g, NORN_F32, 0.5), "Greater");
    norn_value *sizes = norni_shape_value(g, v);
    norn_value *k = NORNI_OP3(g, is, one, sizes, "Where"), *d = NORNI_OP3(g, is, sizes, one, "Where");
    k = NORNI_OP2(g, k, one, "Unsqueeze");
    d = NORNI_OP2(g, d, one, "Unsqueeze");
    norn_value *split = NORNI_OP2(g, k, d, "Concat<axis=1>");
    split = shape_as(g, split, 1, (int64_t[]){2 * r});
    norn_value *wide = NORNI_OP2(g, v, split, "Reshape");
    norn_value *y = NORNI_OP2(g, wide, norni_i64_const(g, r, odd), "%s<keepdims=0>", node->op->name);
    if (keep)
        return y;
    norn_value *rest = NORNI_OP2(g, sizes, NORNI_OP1(g, is, "Not"), "Compress<axis=0>");
    return NORNI_OP2(g, y, rest, "Reshape");
}

/* ---- Squeeze and Unsqueeze along axes that are computed, to a shape that is known. */
RULE(reshape) {
    norn_graph *g = x->g;
    const norni_type *t = &node->out[0]->type;
    int64_t dims[NORN_MAX_RANK];
    int open = 0;
    for (int i = 0; i < t->rank; i++) {
        open += t->dims[i] < 0;
        if (t->dims[i] == 0)
            return NULL;
        dims[i] = t->dims[i] < 0 ? -1 : t->dims[i];
    }
    return t->rank < 0 || open > 1 ? NULL : shape_as(g, node->in[0], t->rank, dims);
}

/* ---- Signed shifts: to the left the bits of the unsigned number; to the right floor(x / 2^n), on x or -1 - x. */
RULE(bit_shift) {
    norn_graph *g = x->g;
    norn_value *v = node->in[0], *n = node->in[1];
    norni_attr_value a;
    norn_dtype t = v->type.dtype, u = t == NORN_I8    ? NORN_U8
                                      : t == NORN_I16 ? NORN_U16
                                      : t == NORN_I32 ? NORN_U32
                                      : t == NORN_I64 ? NORN_U64
                                                      : NORN_UNDEFINED;
    if (u == NORN_UNDEFINED || !norni_attr_get(norni_attr_find(node->op, "direction"), node->attrs, &a))
        return NULL;
    if (!strcmp(a.s, "LEFT"))
        return norni_cast(
            g, NORNI_OP2(g, norni_cast(g, v, u), norni_cast(g, n, u), "BitShift<direction=\"LEFT\">"), t);
    norn_value *minus = norni_scalar_const(g, t, -1);
    norn_value *negative = NORNI_OP2(g, v, norni_scalar_const(g, t, 0), "Less");
    norn_value *positive = NORNI_OP3(g, negative, NORNI_OP2(g, minus, v, "Sub"), v, "Where");
    norn_value *y =
        NORNI_OP2(g, norni_cast(g, positive, u), norni_cast(g, n, u), "BitShift<direction=\"RIGHT\">");
    y = norni_cast(g, y, t);
    return NORNI_OP3(g, negative, NORNI_OP2(g, minus, y, "Sub"), y, "Where");
}

static const struct {
    const char *op;
    norn_value *(*rule)(norni_exporter *x, const norn_node *node);
} rules[] = {
    {"ArgMax", arg_last},
    {"ArgMin", arg_last},
    {"Equal", equal},
    {"Max", same_shapes},
    {"Min", same_shapes},
    {"Pow", power},
    {"Slice", slice},
    {"BitShift", bit_shift},
    {"ConstantOfShape", constant_of_shape},
    {"CumProd", cum_prod},
    {"Expand", expand},
    {"IsInf", is_inf},
    {"IsNaN", is_nan},
    {"OneHot", one_hot},
    {"ReduceL1", reduce},
    {"ReduceL2", reduce},
    {"ReduceLogSum", reduce},
    {"ReduceLogSumExp", reduce},
    {"ReduceMax", reduce},
    {"ReduceMean", reduce},
    {"ReduceMin", reduce},
    {"ReduceProd", reduce},
    {"ReduceSum", reduce},
    {"ReduceSumSquare", reduce},
    {"Shape", shape},
    {"Sign", norni_older_sign},
    {"Erf", norni_older_erf},
    {"Round", norni_older_round},
    {"Sinh", norni_older_cosh},
    {"Cosh", norni_older_cosh},
    {"QuantizeLinear", norni_older_quantise},
    {"DequantizeLinear", norni_older_quantise},
    {"Squeeze", reshape},
    {"Unsqueeze", reshape},
    {"Where", where},
};

/* ---- A node of constants: what it makes. */
static norn_status fold(norni_exporter *x, const norn_node *node, norn_value **out, bool *done) {
    enum { MOST_ELEMS = 1 << 16 };
    norn_tensor *in[32], *made[32] = {0};
    bool known = true;
    for (int k = 0; k < node->n_out && known; k++)
        known = !node->out[k] || (k < 32 && (out[k] = norni_export_known(x, node->out[k])));
    if ((*done = known))
        return norn_graph_status(x->g);
    memset(out, 0, 32 * sizeof *out);
    if (norni_node_random(node) || node->op->control || node->n_in > 32 || node->n_out > 32 ||
        (!node->op->eval && !norni_op_pointwise(node->op)))
        return NORN_OK;
    for (int i = 0; i < node->n_in; i++) {
        norn_value *v = node->in[i] ? norni_export_known(x, node->in[i]) : NULL;
        if (node->in[i] && !v)
            return NORN_OK;
        in[i] = v ? v->data : NULL;
    }
    for (int k = 0; k < node->n_out; k++)
        if (node->out[k] &&
            (!static_shape(node->out[k]) || norni_type_elems(&node->out[k]->type) > MOST_ELEMS))
            return NORN_OK;
    norn_status s = norni_node_eval(node, in, made);
    for (int k = 0; k < node->n_out; k++)
        if (made[k] && s == NORN_OK)
            out[k] = norni_value_const(x->g, NULL, made[k]);
        else
            norn_tensor_free(made[k]);
    *done = s == NORN_OK;
    return s == NORN_UNSUPPORTED ? NORN_OK : s;
}

norn_status norni_older(norni_exporter *x, const norn_node *node, norn_value **out, bool *done) {
    bool missing = !norni_op_version(node->op, x->opset);
    *done = false;
    for (int i = 0; i < node->n_in; i++)
        if (node->in[i] && node->in[i]->type.dtype == NORN_UNDEFINED)
            return NORN_OK;
    NORNI_TRY(fold(x, node, out, done));
    if (!*done && !missing)
        *done = norni_widen(x, node, out);
    NORNI_TRY(norn_graph_status(x->g));
    for (size_t i = 0; i < sizeof rules / sizeof *rules && !*done && !*node->op->domain; i++)
        if (!strcmp(rules[i].op, node->op->name)) {
            out[0] = rules[i].rule(x, node);
            *done = out[0] != NULL;
        }
    return norn_graph_status(x->g);
}
