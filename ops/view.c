/* SPDX-License-Identifier: Apache-2.0 */
/* Operators that only look at their input in another shape: the output shares its memory.
 * Identity, Reshape, Flatten, Squeeze, Unsqueeze. Source: the ONNX operator pages. */
#include "ops/rows.h"
#include <string.h>

#define SAME_TYPE(types) PARAMS({"data", 0, types, 'T'})

static const norni_impl alias_first[] = {{.name = "view", .alias = 1}, {0}};

static norn_status eval_copy(norni_eval *e) {
    memcpy(norni_tensor_data(e->out[0]), norni_tensor_data(e->in[0]), norni_tensor_bytes(e->out[0]));
    return NORN_OK;
}

static void no_cost(const norn_node *node, norni_cost *c) {
    *c = (norni_cost){0};
}

/* dx: dy in the shape of x. */
static void grad_view(norni_grad *c) {
    c->dx[0] = NORNI_OP2(c->g, c->dy[0], norni_shape_value(c->g, c->node->in[0]), "Reshape<allowzero=1>");
}

#define VIEW(id, ...)                                                                                        \
    const norn_op norni_op_##id = {.domain = "",                                                             \
                                   .name = #id,                                                              \
                                   .outputs = PARAMS({"Y", 0, NORNI_ALL, 'T'}),                              \
                                   .eval = eval_copy,                                                        \
                                   .impls = alias_first,                                                     \
                                   .cost = no_cost,                                                          \
                                   __VA_ARGS__}

/* Keeps what is known of a small integer tensor's elements. */
static void keep_known(norni_infer *c) {
    int n;
    const norni_dim *d = norni_value_known(c->node->in[0], &n);
    if (d && c->out[0].rank <= 1) {
        c->known[0] = d;
        c->n_known[0] = n;
    }
}

/* ---- Identity: y = x. */
static norn_status infer_identity(norni_infer *c) {
    c->out[0] = *norni_in_type(c, 0);
    keep_known(c);
    return NORN_OK;
}
static void grad_identity(norni_grad *c) {
    c->dx[0] = c->dy[0];
}
VIEW(Identity, .inputs = SAME_TYPE(NORNI_ALL), VERSIONS(1, 13, 14, 16, 19, 21, 23, 24, 25), .doc = "y = x",
     .infer = infer_identity, .grad = grad_identity, CASES("Identity(float[2,3])", "Identity(float[])"));

/* ---- Reshape: the elements in order, in another shape. 0 keeps a size (unless allowzero), one -1 is worked
 * out. */
typedef struct {
    int64_t allowzero;
} reshape_attrs;
static const norni_attr reshape_table[] = {
    NORNI_A_INT(reshape_attrs, allowzero, 0, .lo = 0, .hi = 1, .since = 14), NORNI_A_END};

static norn_status infer_reshape(norni_infer *c) {
    const reshape_attrs *a = c->attrs;
    const norni_type *x = norni_in_type(c, 0), *s = norni_in_type(c, 1);
    norni_type *y = &c->out[0];
    int n = 0, hole = -1;
    const norni_dim *want = norni_value_known(c->node->in[1], &n);
    if (s->rank > 1 || (s->rank == 1 && s->dims[0] > NORN_MAX_RANK))
        return norni_fail(NORN_SHAPE, "shape has rank %d and %lld elements (wanted rank 1, at most %d)",
                          s->rank, s->rank == 1 ? (long long)s->dims[0] : 0LL, NORN_MAX_RANK);
    if (!want) {
        if (s->rank == 1 && s->dims[0] >= 0) { /* the rank at least is known */
            y->rank = (int)s->dims[0];
            for (int i = 0; i < y->rank; i++)
                y->dims[i] = norni_dim_fresh(c->g);
        }
        return NORN_OK;
    }
    if (n > NORN_MAX_RANK)
        return norni_fail(NORN_SHAPE, "shape has %d sizes (wanted at most %d)", n, NORN_MAX_RANK);
    y->rank = n;
    for (int i = 0; i < n; i++) {
        int64_t v;
        bool number = norni_dim_number(c->g, want[i], &v);
        y->dims[i] = want[i];
        if (number && v == -1) {
            if (hole >= 0)
                return norni_fail(NORN_SHAPE, "shape has -1 at %d and at %d (wanted at most one)", hole, i);
            hole = i;
        } else if (number && v < 0)
            return norni_fail(NORN_SHAPE, "shape has %lld at %d (wanted -1, 0 or a size)", (long long)v, i);
        else if (number && v == 0 && !a->allowzero) {
            if (x->rank >= 0 && i >= x->rank)
                return norni_fail(NORN_SHAPE, "shape has 0 at %d, but data has rank %d", i, x->rank);
            y->dims[i] = x->rank >= 0 ? x->dims[i] : norni_dim_fresh(c->g);
        }
    }
    if (x->rank < 0) {
        if (hole >= 0)
            y->dims[hole] = norni_dim_fresh(c->g);
        return NORN_OK;
    }
    norni_dim all = norni_dim_product(c->g, x->rank, x->dims), rest = 1;
    for (int i = 0; i < n; i++)
        if (i != hole)
            rest = norni_dim_mul(c->g, rest, y->dims[i]);
    char from[128], to[128];
    bool numbers = all >= 0 && rest >= 0;
    if (numbers && (hole >= 0 ? (rest == 0 ? all != 0 : all % rest != 0) : all != rest)) {
        if (hole >= 0)
            y->dims[hole] = 0;
        return norni_fail(NORN_SHAPE, "%lld elements of %s do not fill %s%s", (long long)all,
                          norni_shape_text(x->rank, x->dims, from), norni_shape_text(n, y->dims, to),
                          hole >= 0 ? " (0 marks the size to be worked out)" : "");
    }
    if (hole >= 0)
        y->dims[hole] = numbers && rest == 0 ? 0 : norni_dim_div(c->g, all, rest);
    keep_known(c);
    return NORN_OK;
}
/* Before opset 14 a 0 always stands for the input's size there: no matter where that is what the shape says. */
static norn_status lower_reshape(norni_adapt *a) {
    reshape_attrs *at = a->node->attrs;
    const norni_type *x = &a->node->in[0]->type;
    int n;
    int64_t v;
    if (a->version >= 14 || !at->allowzero)
        return NORN_OK;
    const norni_dim *want = norni_value_known(a->node->in[1], &n);
    for (int i = 0; want && i < n; i++)
        if (!(norni_dim_number(a->g, want[i], &v) && v != 0) && !(i < x->rank && x->dims[i] == want[i]))
            return norni_fail(NORN_UNSUPPORTED,
                              "allowzero is new in opset 14, and size %d may be 0 (wanted opset 14)", i);
    if (want)
        at->allowzero = 0;
    return NORN_OK;
}
VIEW(Reshape, .lower = lower_reshape,
     .inputs = PARAMS({"data", 0, NORNI_ALL, 'T'},
                      {"shape", NORNI_NODIFF | NORNI_HOST, NORNI_T(NORN_I64), 0}),
     VERSIONS(5, 13, 14, 19, 21, 23, 24, 25), .doc = "the elements in order, in another shape",
     .attrs_bytes = sizeof(reshape_attrs), .attrs = reshape_table, .infer = infer_reshape, .grad = grad_view,
     CASES("Reshape(float[2,6], int64[2]{3,4})", "Reshape(float[2,3,4], int64[3]{0,-1,2})",
           "Reshape(float[1], int64[0]{})", "Reshape(float[2,0], int64[2]{7,0})",
           "Reshape<allowzero=1>(float[0,3], int64[2]{3,0})", "Reshape(float[4,3], int64[1]{-1})"));

/* ---- Flatten: [d0 ... d(axis-1), daxis ...] to [d0*...*d(axis-1), daxis*...]. */
typedef struct {
    int64_t axis;
} flatten_attrs;
static const norni_attr flatten_table[] = {NORNI_A_INT(flatten_attrs, axis, 1), NORNI_A_END};
static norn_status infer_flatten(norni_infer *c) {
    const norni_type *x = norni_in_type(c, 0);
    int64_t axis = ((const flatten_attrs *)c->attrs)->axis;
    c->out[0].rank = 2;
    if (x->rank < 0) {
        c->out[0].dims[0] = axis == 0 ? 1 : norni_dim_fresh(c->g);
        c->out[0].dims[1] = norni_dim_fresh(c->g);
        return NORN_OK;
    }
    if (axis < -x->rank || axis > x->rank)
        return norni_fail(NORN_SHAPE, "axis %lld (wanted %d to %d)", (long long)axis, -x->rank, x->rank);
    int k = (int)(axis < 0 ? axis + x->rank : axis);
    c->out[0].dims[0] = norni_dim_product(c->g, k, x->dims);
    c->out[0].dims[1] = norni_dim_product(c->g, x->rank - k, x->dims + k);
    return NORN_OK;
}
/* Before opset 11 the axis counts from the front. */
static norn_status lower_flatten(norni_adapt *a) {
    flatten_attrs *at = a->node->attrs;
    int rank = a->node->in[0]->type.rank;
    if (a->version >= 11 || at->axis >= 0)
        return NORN_OK;
    if (rank < 0)
        return norni_fail(NORN_UNSUPPORTED, "axis %lld of data whose rank is not known (wanted opset 11)",
                          (long long)at->axis);
    at->axis += rank;
    return NORN_OK;
}
VIEW(Flatten, .inputs = SAME_TYPE(NORNI_ALL), VERSIONS(1, 9, 11, 13, 21, 23, 24, 25),
     .doc = "a matrix: the sizes before axis, and those from it, multiplied",
     .attrs_bytes = sizeof(flatten_attrs), .attrs = flatten_table, .infer = infer_flatten, .grad = grad_view,
     .lower = lower_flatten,
     CASES("Flatten(float[2,3,4])", "Flatten<axis=0>(float[2,3])", "Flatten<axis=3>(float[2,3,4])",
           "Flatten<axis=-1>(float[2,3,4])"));

/* ---- Squeeze, Unsqueeze: sizes 1 removed and inserted. */
typedef struct {
    norni_ints axes;
} axes_attrs;
static const norni_attr axes_table[] = {NORNI_A(axes_attrs, axes, INTS, .flags = NORNI_ATTR_OLD),
                                        NORNI_A_END};
static const norni_moved axes_moved[] = {{"axes", 1, 13, NORN_I64}, {0}};

/* The axes input as a set of positions below rank. 1: known, 0: not yet. */
static norn_status axes_set(norni_infer *c, int rank, bool set[NORN_MAX_RANK], int *known, int *count) {
    int64_t v[NORN_MAX_RANK];
    int n, at;
    memset(set, 0, NORN_MAX_RANK * sizeof *set);
    *known = norni_in_ints(c, 1, v, NORN_MAX_RANK, &n);
    *count = *known == 1 ? n : 0;
    if (*known < 0)
        return norni_fail(NORN_SHAPE, "more than %d axes", NORN_MAX_RANK);
    for (int i = 0; *known && i < n; i++) {
        NORNI_TRY(norni_axis(v[i], rank, &at));
        if (set[at])
            return norni_fail(NORN_SHAPE, "axis %lld stands twice", (long long)v[i]);
        set[at] = true;
    }
    return NORN_OK;
}

static norn_status infer_squeeze(norni_infer *c) {
    const norni_type *x = norni_in_type(c, 0);
    bool set[NORN_MAX_RANK] = {0};
    int known = 1, count;
    if (x->rank < 0)
        return NORN_OK;
    if (norni_in_has(c, 1))
        NORNI_TRY(axes_set(c, x->rank, set, &known, &count));
    else
        for (int i = 0; i < x->rank; i++) {
            if (x->dims[i] < 0)
                return NORN_OK; /* whether a named size is 1 is not known */
            set[i] = x->dims[i] == 1;
        }
    if (!known)
        return NORN_OK;
    c->out[0].rank = 0;
    for (int i = 0; i < x->rank; i++) {
        if (!set[i])
            c->out[0].dims[c->out[0].rank++] = x->dims[i];
        else if (x->dims[i] >= 0 && x->dims[i] != 1)
            return norni_fail(NORN_SHAPE, "axis %d has size %lld (wanted 1)", i, (long long)x->dims[i]);
    }
    keep_known(c);
    return NORN_OK;
}
VIEW(Squeeze,
     .inputs = PARAMS({"data", 0, NORNI_ALL, 'T'},
                      {"axes", NORNI_OPT | NORNI_NODIFF | NORNI_HOST, NORNI_T(NORN_I64), 0}),
     VERSIONS(1, 11, 13, 21, 23, 24, 25), .doc = "sizes 1 removed: the given axes, or all",
     .attrs_bytes = sizeof(axes_attrs), .attrs = axes_table, .moved = axes_moved, .infer = infer_squeeze,
     .grad = grad_view,
     CASES("Squeeze(float[1,3,1])", "Squeeze(float[1,3,1], int64[1]{-1})",
           "Squeeze(float[1,1], int64[2]{0,1})"));

static norn_status infer_unsqueeze(norni_infer *c) {
    const norni_type *x = norni_in_type(c, 0), *axes = norni_in_type(c, 1);
    bool set[NORN_MAX_RANK];
    int known, count;
    if (x->rank < 0 || axes->rank < 0 || axes->rank > 1 || (axes->rank && axes->dims[0] < 0))
        return axes->rank > 1 ? norni_fail(NORN_SHAPE, "axes has rank %d (wanted 1)", axes->rank) : NORN_OK;
    int64_t rank = x->rank + (axes->rank ? axes->dims[0] : 1); /* a scalar is one axis */
    if (rank > NORN_MAX_RANK)
        return norni_fail(NORN_UNSUPPORTED, "the output would have rank %lld (norn has at most %d)",
                          (long long)rank, NORN_MAX_RANK);
    NORNI_TRY(axes_set(c, (int)rank, set, &known, &count));
    c->out[0].rank = (int)rank;
    for (int i = 0, k = 0; i < rank; i++)
        c->out[0].dims[i] = !known ? norni_dim_fresh(c->g) : set[i] ? 1 : x->dims[k++];
    keep_known(c);
    return NORN_OK;
}
VIEW(Unsqueeze,
     .inputs = PARAMS({"data", 0, NORNI_ALL, 'T'}, {"axes", NORNI_NODIFF | NORNI_HOST, NORNI_T(NORN_I64), 0}),
     VERSIONS(1, 11, 13, 21, 23, 24, 25), .doc = "sizes 1 inserted at the given axes of the output",
     .attrs_bytes = sizeof(axes_attrs), .attrs = axes_table, .moved = axes_moved, .infer = infer_unsqueeze,
     .grad = grad_view,
     CASES("Unsqueeze(float[3,4], int64[2]{0,3})", "Unsqueeze(float[3], int64[1]{-1})",
           "Unsqueeze(float[], int64[1]{0})"));
