/* SPDX-License-Identifier: Apache-2.0 */
/* GridSample: the input at places that a grid names, from -1 to 1 over each spatial axis (the last axis first), by the nearest
 * element or by linear or cubic (Keys 1981, a = -0.75) interpolation. Said by row-wise Gathers from an input with its channels
 * last, times weights, so that the gradients of input and grid follow. AffineGrid: the grid of an affine map. Sources: ONNX
 * GridSample-22, AffineGrid-20; Jaderberg et al., "Spatial Transformer Networks" (2015). */
#include "ops/op.h"
#include <string.h>

enum { LINEAR, NEAREST, CUBIC, BILINEAR, BICUBIC }; /* the last two: before opset 20 */
enum { ZEROS, BORDER, REFLECTION };
static const char *const modes[] = {"linear", "nearest", "cubic", "bilinear", "bicubic", NULL};
static const char *const paddings[] = {"zeros", "border", "reflection", NULL};
typedef struct {
    int mode, padding_mode;
    int64_t align_corners;
} attrs;
static const norni_attr table[] = {NORNI_A_ENUM(attrs, mode, modes, LINEAR),
                                   NORNI_A_ENUM(attrs, padding_mode, paddings, ZEROS),
                                   NORNI_A_INT(attrs, align_corners, 0, .lo = 0, .hi = 1), NORNI_A_END};
enum { MOST_DIMS = 3, MOST_TAPS = 4 };

static norn_status infer(norni_infer *c) {
    const attrs *a = c->attrs;
    const norni_type *x = norni_in_type(c, 0), *grid = norni_in_type(c, 1);
    norni_type *y = &c->out[0];
    if (a->mode > CUBIC)
        return norni_fail(NORN_ARG, "mode '%s' (since opset 20: linear, nearest, cubic)", modes[a->mode]);
    if (!norni_in_ranked(c, 2))
        return NORN_OK;
    if (x->rank < 3 || x->rank > 2 + MOST_DIMS)
        return norni_fail(NORN_SHAPE, "X has rank %d (wanted 3 to %d)", x->rank, 2 + MOST_DIMS);
    if (grid->rank != x->rank)
        return norni_fail(NORN_SHAPE, "grid has rank %d (wanted %d, as X)", grid->rank, x->rank);
    if (grid->dims[0] >= 0 && x->dims[0] >= 0 && grid->dims[0] != x->dims[0])
        return norni_fail(NORN_SHAPE, "grid is for %lld images, X has %lld", (long long)grid->dims[0],
                          (long long)x->dims[0]);
    if (grid->dims[grid->rank - 1] >= 0 && grid->dims[grid->rank - 1] != x->rank - 2)
        return norni_fail(NORN_SHAPE, "grid has %lld coordinates (wanted %d)",
                          (long long)grid->dims[grid->rank - 1], x->rank - 2);
    *y = *grid;
    y->dtype = x->dtype;
    y->dims[0] = x->dims[0] >= 0 ? x->dims[0] : grid->dims[0];
    y->dims[1] = x->dims[1];
    for (int i = 2; i < y->rank; i++)
        y->dims[i] = grid->dims[i - 1];
    return NORN_OK;
}

/* ---- One axis: the elements around each place, and their weights. */
typedef struct {
    norn_value *index[MOST_TAPS];  /* int64 */
    norn_value *weight[MOST_TAPS]; /* NULL: 1 */
} taps;

/* A formula over v and the numbers low, high, n, all of v's type. */
static norn_value *calc(norn_graph *g, const char *text, norn_value *v, double low, double high, double n) {
    static const char *const names[] = {"v", "low", "high", "n"};
    norn_dtype t = v ? v->type.dtype : NORN_F32;
    norn_value *vars[] = {v, norni_scalar_const(g, t, low), norni_scalar_const(g, t, high),
                          norni_scalar_const(g, t, n)};
    return norni_formula(g, text, 4, names, vars);
}

/* A place, whole or not, beyond low .. high brought back. */
static norn_value *reflect(norn_graph *g, norn_value *v, double low, double high) {
    if (high <= low)
        return calc(g, "v * 0.0", v, low, high, 0);
    norn_value *t =
        calc(g, "(v - low) - 2.0 * (high - low) * floor((v - low) / (2.0 * (high - low)))", v, low, high, 0);
    return calc(g, "low + ((high - low) - abs(v - (high - low)))", t, low, high, 0);
}

static void taps_of(norn_graph *g, const attrs *a, norn_value *place, int64_t size, taps *t) {
    static const char *const linear[] = {"1.0 - v", "v"},
                             *const cubic[] = {
                                 "((-0.75 * (v + 1.0) + 3.75) * (v + 1.0) - 6.0) * (v + 1.0) + 3.0",
                                 "(1.25 * v - 2.25) * v * v + 1.0",
                                 "(1.25 * (1.0 - v) - 2.25) * (1.0 - v) * (1.0 - v) + 1.0",
                                 "((-0.75 * (2.0 - v) + 3.75) * (2.0 - v) - 6.0) * (2.0 - v) + 3.0"};
    double low = a->align_corners ? 0 : -0.5, high = (double)size - (a->align_corners ? 1 : 0.5),
           n = (double)size;
    norn_value *x = calc(g, a->align_corners ? "(v + 1.0) / 2.0 * (n - 1.0)" : "((v + 1.0) * n - 1.0) / 2.0",
                         place, 0, 0, n);
    if (a->mode == NEAREST)
        x = NORNI_OP1(g, x, "Round");
    /* As torch and ONNX Runtime do it: the elements that a cubic takes come from the border, its place stays. */
    if (a->padding_mode == BORDER && a->mode != CUBIC)
        x = calc(g, "where(v < low or v > high, max(min(v, n - 1.0), 0.0), v)", x, low, high, n);
    if (a->padding_mode == REFLECTION)
        x = reflect(g, x, low, high);
    norn_value *base = a->mode == NEAREST ? calc(g, "round(v)", x, 0, 0, 0) : NORNI_OP1(g, x, "Floor");
    norn_value *part = a->mode == NEAREST ? NULL : NORNI_OP2(g, x, base, "Sub");
    int count = a->mode == NEAREST ? 1 : a->mode == LINEAR ? 2 : 4;
    for (int k = 0; k < count; k++) {
        norn_value *at = calc(g, "v + n", base, 0, 0, k - (a->mode == CUBIC));
        t->weight[k] =
            a->mode == NEAREST ? NULL : calc(g, (a->mode == LINEAR ? linear : cubic)[k], part, 0, 0, 0);
        if (a->padding_mode == ZEROS) {
            norn_value *inside = norni_cast(g, calc(g, "v >= 0.0 and v <= n - 1.0", at, 0, 0, n),
                                            base ? base->type.dtype : NORN_F32);
            t->weight[k] = t->weight[k] ? NORNI_OP2(g, t->weight[k], inside, "Mul") : inside;
        } else if (a->padding_mode == REFLECTION)
            at = reflect(g, at, low, high);
        t->index[k] = norni_cast(g, calc(g, "max(min(v, n - 1.0), 0.0)", at, 0, 0, n), NORN_I64);
    }
}

static norn_value *reshape(norn_graph *g, norn_value *x, int n, const int64_t *dims) {
    return NORNI_OP2(g, x, norni_i64_const(g, n, dims), "Reshape<allowzero=1>");
}

static norn_status expand(norn_graph *g, const norn_node *node, norn_value **out) {
    const attrs *a = node->attrs;
    const norni_type *x = &node->in[0]->type, *y = &node->out[0]->type;
    int dims = x->rank - 2, count = a->mode == NEAREST ? 1 : a->mode == LINEAR ? 2 : 4, all = 1;
    if (!norni_type_static(x) || !norni_type_static(&node->in[1]->type))
        return norni_fail(NORN_UNSUPPORTED, "GridSample: the sizes are not known; bind the sizes first");
    int64_t n = x->dims[0], c = x->dims[1], s = norni_elems(dims, x->dims + 2),
            p = norni_elems(dims, y->dims + 2);
    norn_dtype t = x->dtype == NORN_F64 || node->in[1]->type.dtype == NORN_F64 ? NORN_F64 : NORN_F32,
               compute = a->mode == NEAREST && a->padding_mode != ZEROS ? x->dtype : t;
    if (a->mode == NEAREST && norni_dtype_is_int(x->dtype)) /* a choice: exact for all integers */
        compute = x->dtype;
    norn_value *rows =
        NORNI_OP1(g, reshape(g, node->in[0], 3, (int64_t[]){n, c, s}), "Transpose<perm=[0,2,1]>");
    rows = norni_cast(g, reshape(g, rows, 2, (int64_t[]){n * s, c}), compute);
    norn_value *grid = reshape(g, norni_cast(g, node->in[1], t), 3, (int64_t[]){n, p, dims}), *sum = NULL;
    taps axis[MOST_DIMS];
    for (int d = 0; d < dims; d++) {
        int64_t last = dims - 1 - d;
        norn_value *place =
            NORNI_OP2(g, grid, norni_scalar_const(g, NORN_I64, (double)last), "Gather<axis=2>");
        taps_of(g, a, place, x->dims[2 + d], &axis[d]);
        all *= count;
    }
    norn_tensor *first;
    NORNI_TRY(norni_tensor_host(NORN_I64, 2, (int64_t[]){n, 1}, &first));
    for (int64_t i = 0; i < n; i++)
        norni_set_int(NORN_I64, norni_tensor_data(first), i, i * s);
    norn_value *start = norni_value_const(g, NULL, first);
    for (int k = 0; k < all; k++) {
        norn_value *at = NULL, *w = NULL;
        for (int d = 0, r = k; d < dims; d++, r /= count) {
            norn_value *i = axis[d].index[r % count], *weight = axis[d].weight[r % count];
            at = at ? NORNI_OP2(
                          g, NORNI_OP2(g, at, norni_scalar_const(g, NORN_I64, (double)x->dims[2 + d]), "Mul"),
                          i, "Add")
                    : i;
            w = !weight ? w : w ? NORNI_OP2(g, w, weight, "Mul") : weight;
        }
        norn_value *v = NORNI_OP2(g, rows, NORNI_OP2(g, at, start, "Add"), "Gather");
        if (w)
            v = NORNI_OP2(
                g, v,
                norni_cast(g, NORNI_OP2(g, w, norni_i64_const(g, 1, (int64_t[]){2}), "Unsqueeze"), compute),
                "Mul");
        sum = sum ? NORNI_OP2(g, sum, v, "Add") : v;
    }
    sum = NORNI_OP1(g, norni_cast(g, sum, x->dtype), "Transpose<perm=[0,2,1]>");
    out[0] = reshape(g, sum, y->rank, y->dims);
    return norn_graph_status(g);
}

static norn_status raise(norni_adapt *a) {
    attrs *at = a->node->attrs;
    if (a->version < 20)
        at->mode = at->mode == BILINEAR ? LINEAR : at->mode == BICUBIC ? CUBIC : at->mode;
    return NORN_OK;
}
static norn_status lower(norni_adapt *a) {
    attrs *at = a->node->attrs;
    if (a->version >= 20)
        return NORN_OK;
    if (a->node->in[0]->type.rank != 4)
        return norni_fail(NORN_UNSUPPORTED, "X has rank %d (in opset 16: 4)", a->node->in[0]->type.rank);
    at->mode = at->mode == LINEAR ? BILINEAR : at->mode == CUBIC ? BICUBIC : at->mode;
    return NORN_OK;
}

const norn_op norni_op_GridSample = {
    .domain = "",
    .name = "GridSample",
    .versions = (const int[]){16, 20, 22, 0},
    .doc = "the input at the places that a grid names",
    .inputs = (const norni_param[]){{"X", 0, NORNI_NUMBERS, 'T'}, {"grid", 0, NORNI_FLOATS, 0}, {0}},
    .outputs = (const norni_param[]){{"Y", 0, NORNI_NUMBERS, 'T'}, {0}},
    .attrs_bytes = sizeof(attrs),
    .attrs = table,
    .raise = raise,
    .lower = lower,
    .infer = infer,
    .expand = expand,
    .cases =
        (const char *const[]){
            "GridSample(float[2,3,4,5], float[2,3,7,2])",
            "GridSample<mode=\"nearest\">(float[1,2,4,5], float[1,3,3,2])",
            "GridSample<mode=\"cubic\", align_corners=1>(float[1,2,4,5], float[1,3,3,2])",
            "GridSample<padding_mode=\"border\">(float[1,2,4,5], float[1,3,3,2])",
            "GridSample<padding_mode=\"reflection\", mode=\"cubic\">(float[1,2,4,5], float[1,3,3,2])",
            "GridSample<padding_mode=\"reflection\", align_corners=1>(float[1,2,4,1], float[1,3,3,2])",
            "GridSample(float[1,2,3,4,5], float[1,2,3,2,3])",
            "GridSample<align_corners=1>(float[2,3,7], float[2,5,1])",
            "GridSample<mode=\"nearest\", padding_mode=\"border\">(int32[1,2,4,5], float[1,3,3,2])",
            "GridSample(float[0,3,4,5], float[0,3,7,2])", NULL},
    .lo = -1.4,
    .hi = 1.4,
};

/* ---- AffineGrid. */
typedef struct {
    int64_t align_corners;
} affine_attrs;
static const norni_attr affine_table[] = {NORNI_A_INT(affine_attrs, align_corners, 0, .lo = 0, .hi = 1),
                                          NORNI_A_END};

static norn_status infer_affine(norni_infer *c) {
    const norni_type *theta = norni_in_type(c, 0), *size = norni_in_type(c, 1);
    norni_type y = {.dtype = theta->dtype};
    int n = 0;
    const norni_dim *d = norni_value_known(c->node->in[1], &n);
    if (size->rank > 1)
        return norni_fail(NORN_SHAPE, "size has rank %d (wanted 1)", size->rank);
    if (!d && size->rank == 1 && size->dims[0] >= 0)
        n = (int)size->dims[0];
    if (theta->rank >= 0 && theta->rank != 3)
        return norni_fail(NORN_SHAPE, "theta has rank %d (wanted 3)", theta->rank);
    if (n == 0)
        return NORN_OK;
    if (n != 4 && n != 5)
        return norni_fail(NORN_SHAPE, "size has %d elements (wanted 4 or 5)", n);
    if (theta->rank == 3 && ((theta->dims[1] >= 0 && theta->dims[1] != n - 2) ||
                             (theta->dims[2] >= 0 && theta->dims[2] != n - 1)))
        return norni_fail(NORN_SHAPE, "theta has matrices of %lld x %lld (wanted %d x %d)",
                          (long long)theta->dims[1], (long long)theta->dims[2], n - 2, n - 1);
    y.rank = n;
    y.dims[0] = d ? d[0] : theta->rank == 3 ? theta->dims[0] : norni_dim_fresh(c->g);
    for (int i = 2; i < n; i++)
        y.dims[i - 1] = d ? d[i] : norni_dim_fresh(c->g);
    y.dims[n - 1] = n - 2;
    c->out[0] = y;
    return NORN_OK;
}

/* theta times the places of an unmoved grid, whose last coordinate is 1. */
static norn_status expand_affine(norn_graph *g, const norn_node *node, norn_value **out) {
    const norni_type *y = &node->out[0]->type;
    bool corners = ((const affine_attrs *)node->attrs)->align_corners != 0;
    int dims = y->rank - 2;
    if (!norni_type_static(y))
        return norni_fail(NORN_UNSUPPORTED, "AffineGrid: the sizes are not known; bind the sizes first");
    int64_t p = norni_elems(dims, y->dims + 1);
    norn_dtype t = node->in[0]->type.dtype;
    norn_tensor *places;
    NORNI_TRY(norni_tensor_host(t, 2, (int64_t[]){dims + 1, p}, &places));
    for (int64_t i = 0; i < p; i++) {
        int64_t r = i;
        for (int k = 0; k < dims; k++) { /* the last axis is the first coordinate */
            int64_t size = y->dims[dims - k], j = r % size;
            r /= size;
            double v = corners ? (size > 1 ? -1 + 2.0 * (double)j / (double)(size - 1) : -1)
                               : -1 + (2.0 * (double)j + 1) / (double)size;
            norni_set_double(t, norni_tensor_data(places), k * p + i, v);
        }
        norni_set_double(t, norni_tensor_data(places), dims * p + i, 1);
    }
    norn_value *v = NORNI_OP2(g, node->in[0], norni_value_const(g, NULL, places), "MatMul");
    out[0] = reshape(g, NORNI_OP1(g, v, "Transpose<perm=[0,2,1]>"), y->rank, y->dims);
    return norn_graph_status(g);
}

const norn_op norni_op_AffineGrid = {
    .domain = "",
    .name = "AffineGrid",
    .versions = (const int[]){20, 0},
    .doc = "the grid of an affine map, for GridSample",
    .inputs = (const norni_param[]){{"theta", 0, NORNI_FLOATS, 'T'},
                                    {"size", NORNI_NODIFF | NORNI_HOST, NORNI_T(NORN_I64), 0},
                                    {0}},
    .outputs = (const norni_param[]){{"grid", 0, NORNI_FLOATS, 'T'}, {0}},
    .attrs_bytes = sizeof(affine_attrs),
    .attrs = affine_table,
    .infer = infer_affine,
    .expand = expand_affine,
    .cases = (const char *const[]){"AffineGrid(float[2,2,3], int64[4]{2,3,4,5})",
                                   "AffineGrid<align_corners=1>(float[1,2,3], int64[4]{1,3,1,6})",
                                   "AffineGrid(float[2,3,4], int64[5]{2,3,2,3,4})", NULL},
};
