/* SPDX-License-Identifier: Apache-2.0 */
/* norn.NormalizeGrad (dx) and norn.NormalizeSums (ds, db): see ops/norm.h. For channels the sums are those of each sample,
 * [N, C]. */
#include "ops/norm.h"
#include "ops/reduce.h"

typedef norni_norm_attrs attrs_t;
enum { DY, X, MEAN, INV, SCALE };
enum { DSCALE, DBIAS };

static bool has(const norn_node *node, int i) {
    return i < node->n_in && node->in[i];
}

static norn_status infer_common(norni_infer *c) {
    const attrs_t *a = c->attrs;
    const norni_type *x = norni_in_type(c, X), *dy = norni_in_type(c, DY);
    NORNI_TRY(norni_norm_check(a, x));
    if (a->centered && !norni_in_has(c, MEAN))
        return norni_fail(NORN_ARG, "'mean' is missing");
    if (dy->rank >= 0 && x->rank >= 0 && dy->rank != x->rank)
        return norni_fail(NORN_SHAPE, "dy has rank %d (wanted %d, as x)", dy->rank, x->rank);
    norni_type want = norni_norm_stats_type(c->g, a, x);
    for (int i = MEAN; i <= INV && x->rank >= 0; i++) {
        const norni_type *v = norni_in_has(c, i) ? norni_in_type(c, i) : NULL;
        if (v && v->rank >= 0 && v->rank != want.rank)
            return norni_fail(NORN_SHAPE, "'%s' has rank %d (wanted %d)",
                              norni_op_input(c->node->op, i)->name, v->rank, want.rank);
    }
    return NORN_OK;
}

static norn_status infer_grad(norni_infer *c) {
    NORNI_TRY(infer_common(c));
    c->out[0] = *norni_in_type(c, X);
    return NORN_OK;
}

static norn_status infer_sums(norni_infer *c) {
    const attrs_t *a = c->attrs;
    const norni_type *x = norni_in_type(c, X);
    NORNI_TRY(infer_common(c));
    norni_type t = {.dtype = norni_norm_kept(x->dtype), .rank = x->rank < 0 ? -1 : 2};
    if (x->rank >= 0) {
        int from = a->groups < 0 ? (int)a->axis : 0;
        t.rank = a->groups < 0 ? x->rank - from : 2;
        for (int i = 0; i < t.rank; i++)
            t.dims[i] = x->dims[from + i];
    }
    c->out[DSCALE] = c->out[DBIAS] = t;
    return NORN_OK;
}

/* ---- Host reference. */
static double get(const norn_tensor *t, int64_t i) {
    return norni_get_double(t->dtype, norni_tensor_data(t), i);
}
typedef struct {
    norni_norm_rows n;
    const norn_tensor *dy, *x, *mean, *inv, *scale;
} reference;

static reference reference_of(norni_eval *e) {
    return (reference){norni_norm_rows_of(e->attrs, e->in[X]->rank, e->in[X]->dims),
                       e->in[DY],
                       e->in[X],
                       has(e->node, MEAN) && ((const attrs_t *)e->attrs)->centered ? e->in[MEAN] : NULL,
                       e->in[INV],
                       has(e->node, SCALE) ? e->in[SCALE] : NULL};
}
static double h_of(const reference *f, int64_t q, int64_t i) {
    return (get(f->x, q * f->n.r + i) - (f->mean ? get(f->mean, q) : 0)) * get(f->inv, q);
}
static double g_of(const reference *f, int64_t q, int64_t i) {
    int64_t k = q % f->n.period * f->n.step + i / f->n.depth;
    return get(f->dy, q * f->n.r + i) * (f->scale ? get(f->scale, k) : 1);
}

static norn_status eval_grad(norni_eval *e) {
    reference f = reference_of(e);
    double r = (double)f.n.r;
    for (int64_t q = 0; q < f.n.rows; q++) {
        double a = 0, b = 0;
        for (int64_t i = 0; i < f.n.r; i++) {
            a += f.mean ? g_of(&f, q, i) / r : 0;
            b += g_of(&f, q, i) * h_of(&f, q, i) / r;
        }
        for (int64_t i = 0; i < f.n.r; i++)
            norni_set_double(e->out[0]->dtype, norni_tensor_data(e->out[0]), q * f.n.r + i,
                             (g_of(&f, q, i) - a - h_of(&f, q, i) * b) * get(f.inv, q));
    }
    return NORN_OK;
}

static norn_status eval_sums(norni_eval *e) {
    reference f = reference_of(e);
    bool channels = ((const attrs_t *)e->attrs)->groups >= 0;
    for (int k = DSCALE; k <= DBIAS; k++) {
        norn_tensor *out = e->out[k];
        for (int64_t q = 0; out && q < f.n.rows; q++)
            for (int64_t i = 0; i < f.n.r; i++) {
                int64_t at = channels ? q * f.n.step + i / f.n.depth : i;
                double v = get(f.dy, q * f.n.r + i) * (k == DSCALE ? h_of(&f, q, i) : 1);
                norni_set_double(out->dtype, norni_tensor_data(out), at, get(out, at) + v);
            }
    }
    return NORN_OK;
}

/* ---- Device. */
static norni_step *kernel(norni_emit *e, const char *name, int w) {
    const norn_node *node = e->node;
    const attrs_t *a = node->attrs;
    norni_step *k = norni_emit_kernel(e, "norm_grad.cl", name, node->in[X]->type.dtype);
    norni_step_define(e, k, "W", w);
    if (a->centered)
        norni_step_define(e, k, "CENTERED", 1);
    if (a->groups >= 0)
        norni_step_define(e, k, "CHANNELS", 1);
    for (int i = DY; i < node->n_in; i++)
        if (has(node, i) && (i != MEAN || a->centered)) {
            if (i == SCALE)
                norni_step_define(e, k, "SCALE", 1);
            norni_step_buffer(e, k, norni_emit_in(e, i), NORNI_READ);
        }
    return k;
}

static int64_t rows_each(const norni_emit *e, int64_t rows, int64_t r) {
    enum { ELEMS = 16384 };
    int64_t each = r >= ELEMS ? 1 : ELEMS / (r + 1), units = e->device->compute_units * 4;
    if (units > 0 && rows / each < units)
        each = rows / units > 0 ? rows / units : 1;
    return each;
}

enum { GROUP = 128 };
static norn_status emit_dx(norni_emit *e, bool groups) {
    const norni_type *x = &e->node->in[X]->type;
    norni_norm_rows n = norni_norm_rows_of(e->node->attrs, x->rank, x->dims);
    norni_step *k = kernel(e, groups ? "norm_dx_group" : "norm_dx_rows",
                           groups                 ? 1
                           : x->dtype == NORN_F64 ? 8
                                                  : 16);
    norni_step_buffer(e, k, norni_emit_out(e, 0), NORNI_WRITE);
    norni_step_i64(e, k, n.rows);
    norni_step_i64(e, k, n.r);
    norni_step_i64(e, k, n.period);
    norni_step_i64(e, k, n.step);
    norni_step_i64(e, k, n.depth);
    if (groups) {
        norni_step_define(e, k, "WG", GROUP);
        norni_step_range(k, 1, (size_t)n.rows * GROUP, 1, 1, GROUP, 0, 0);
    } else {
        int64_t each = rows_each(e, n.rows, n.r);
        norni_step_i64(e, k, each);
        norni_step_items(e, k, 1, norni_ceil_div(n.rows, each), 1, 1);
    }
    return e->status;
}
static norn_status emit_dx_items(norni_emit *e) {
    return emit_dx(e, false);
}
static norn_status emit_dx_groups(norni_emit *e) {
    return emit_dx(e, true);
}

/* Sums over a channel of a sample: a row of depth elements. */
static norn_status emit_channel_sums(norni_emit *e, bool groups) {
    const norn_node *node = e->node;
    const norni_type *x = &node->in[X]->type;
    norni_norm_rows n = norni_norm_rows_of(node->attrs, x->rank, x->dims);
    int64_t rows = n.rows * n.step, depth = n.step ? n.r / n.step : 0;
    norni_step *k = kernel(e, groups ? "norm_channels_group" : "norm_channels",
                           groups                 ? 1
                           : x->dtype == NORN_F64 ? 8
                                                  : 16);
    for (int i = DSCALE; i <= DBIAS; i++)
        if (node->out[i]) {
            norni_step_define(e, k, i == DSCALE ? "DSCALE" : "DBIAS", 1);
            norni_step_buffer(e, k, norni_emit_out(e, i), NORNI_WRITE);
        }
    norni_step_i64(e, k, rows);
    norni_step_i64(e, k, depth);
    norni_step_i64(e, k, n.step);
    if (groups) {
        norni_step_define(e, k, "WG", GROUP);
        norni_step_range(k, 1, (size_t)rows * GROUP, 1, 1, GROUP, 0, 0);
    } else {
        int64_t each = rows_each(e, rows, depth);
        norni_step_i64(e, k, each);
        norni_step_items(e, k, 1, norni_ceil_div(rows, each), 1, 1);
    }
    return e->status;
}

/* Sums down the columns, in parts that are then added up. */
static norn_status emit_column_sums(norni_emit *e, bool groups) {
    const norn_node *node = e->node;
    const norni_type *x = &node->in[X]->type;
    norn_dtype t = norni_norm_kept(x->dtype);
    norni_norm_rows n = norni_norm_rows_of(node->attrs, x->rank, x->dims);
    int w = groups ? 1 : x->dtype == NORN_F64 ? 8 : 16, block = groups ? 1 : 1024; /* TILE */
    int64_t units = e->device->compute_units ? e->device->compute_units : 1,
            blocks = norni_ceil_div(n.r, block);
    int64_t want = groups ? 8192 : units * 4, parts = blocks ? norni_ceil_div(want, blocks) : 1;
    parts = parts > n.rows / 16 ? n.rows / 16 : parts; /* a part is worth its sum */
    parts = parts < 1 ? 1 : parts;
    int64_t part = norni_ceil_div(n.rows, parts);
    parts = part ? norni_ceil_div(n.rows, part) : 1;
    norni_ref to[2] = {-1, -1};
    norni_step *k = kernel(e, "norm_columns", w);
    for (int i = DSCALE; i <= DBIAS; i++)
        if (node->out[i]) {
            norni_step_define(e, k, i == DSCALE ? "DSCALE" : "DBIAS", 1);
            to[i] =
                parts == 1 ? norni_emit_out(e, i) : norni_emit_scratch(e, norni_dtype_bytes(t, parts * n.r));
            norni_step_buffer(e, k, to[i], NORNI_WRITE);
        }
    norni_step_i64(e, k, n.rows);
    norni_step_i64(e, k, n.r);
    norni_step_i64(e, k, part);
    norni_step_items(e, k, 2, blocks, parts, 1);
    for (int i = DSCALE; i <= DBIAS && parts > 1; i++)
        if (node->out[i])
            NORNI_TRY(norni_emit_reduce(e, NORNI_SUM, t, 2, (int64_t[]){parts, n.r}, (bool[]){true, false},
                                        to[i], norni_emit_out(e, i)));
    return e->status;
}

static norn_status emit_sums(norni_emit *e, bool groups) {
    return ((const attrs_t *)e->node->attrs)->groups >= 0 ? emit_channel_sums(e, groups)
                                                          : emit_column_sums(e, groups);
}
static norn_status emit_sums_items(norni_emit *e) {
    return emit_sums(e, false);
}
static norn_status emit_sums_groups(norni_emit *e) {
    return emit_sums(e, true);
}
static const char *on_cpu(const norni_fit *f) {
    return norni_device_is_cpu(f->device) ? NULL : "for CPUs";
}
static const norni_impl dx_impls[] = {{.name = "items", .fits = on_cpu, .emit = emit_dx_items},
                                      {.name = "groups", .emit = emit_dx_groups},
                                      {0}},
                        sums_impls[] = {{.name = "items", .fits = on_cpu, .emit = emit_sums_items},
                                        {.name = "groups", .emit = emit_sums_groups},
                                        {0}};

/* ---- By simpler operators. */
/* h in the view. */
static norn_value *normal(norn_graph *g, const norn_node *node, norn_dtype t) {
    const attrs_t *a = node->attrs;
    norn_value *v = norni_norm_view(g, a, node->in[X], t);
    if (a->centered)
        v = NORNI_OP2(g, v, norni_cast(g, node->in[MEAN], t), "Sub");
    return NORNI_OP2(g, v, norni_cast(g, node->in[INV], t), "Mul");
}

static norn_status expand_grad(norn_graph *g, const norn_node *node, norn_value **out) {
    const attrs_t *a = node->attrs;
    norn_value *x = node->in[X], *dy = node->in[DY];
    norn_dtype t = norni_norm_kept(x->type.dtype);
    if (x->type.rank < 0 || dy->type.rank < 0)
        return norni_fail(NORN_UNSUPPORTED, "%s: the rank is not known", node->op->name);
    if (has(node, SCALE))
        dy = NORNI_OP2(g, norni_cast(g, dy, t), norni_norm_spread(g, a, node->in[SCALE], x, t), "Mul");
    norn_value *d = norni_norm_view(g, a, dy, t), *h = normal(g, node, t), *axes = norni_norm_axes(g, a, x);
    norn_value *b = NORNI_OP2(g, NORNI_OP2(g, d, h, "Mul"), axes, "ReduceMean");
    norn_value *v = NORNI_OP2(g, d, NORNI_OP2(g, h, b, "Mul"), "Sub");
    if (a->centered)
        v = NORNI_OP2(g, v, NORNI_OP2(g, d, axes, "ReduceMean"), "Sub");
    v = NORNI_OP2(g, v, norni_cast(g, node->in[INV], t), "Mul");
    out[0] = norni_cast(g, norni_norm_unview(g, a, v, x), x->type.dtype);
    return norn_graph_status(g);
}

static norn_status expand_sums(norn_graph *g, const norn_node *node, norn_value **out) {
    const attrs_t *a = node->attrs;
    norn_value *x = node->in[X], *dy = norni_cast(g, node->in[DY], norni_norm_kept(x->type.dtype));
    int64_t axes[NORN_MAX_RANK];
    int n = 0;
    if (x->type.rank < 0)
        return norni_fail(NORN_UNSUPPORTED, "%s: the rank is not known", node->op->name);
    for (int i = a->groups < 0 ? 0 : 2; i < (a->groups < 0 ? (int)a->axis : x->type.rank); i++)
        axes[n++] = i;
    for (int k = DSCALE; k <= DBIAS; k++) {
        if (k >= node->n_out || !node->out[k])
            continue;
        norn_value *v = dy;
        if (k == DSCALE)
            v = NORNI_OP2(g, dy, norni_norm_unview(g, a, normal(g, node, dy ? dy->type.dtype : NORN_F32), x),
                          "Mul");
        out[k] = n ? NORNI_OP2(g, v, norni_i64_const(g, n, axes), "ReduceSum<keepdims=0>")
                   : NORNI_OP1(g, v, "Identity");
    }
    return norn_graph_status(g);
}

static void cost_grad(const norn_node *node, norni_cost *c) {
    c->flops = 11.0 * (double)norni_type_elems(&node->in[X]->type);
}
static void cost_sums(const norn_node *node, norni_cost *c) {
    c->flops = 5.0 * (double)norni_type_elems(&node->in[X]->type);
}

#define KEPT (NORNI_T(NORN_F32) | NORNI_T(NORN_F64))
#define INPUTS                                                                                               \
    {"dy", 0, NORNI_FLOATS, 'T'}, {"x", 0, NORNI_FLOATS, 'T'}, {"mean", NORNI_OPT, KEPT, 'K'}, {             \
        "inv", 0, KEPT, 'K'                                                                                  \
    }
const norn_op norni_op_NormalizeGrad = {
    .domain = "norn",
    .name = "NormalizeGrad",
    .versions = (const int[]){1, 0},
    .doc = "gradient of norn.Normalize for x",
    .inputs = (const norni_param[]){INPUTS, {"scale", NORNI_OPT, NORNI_FLOATS, 'T'}, {0}},
    .outputs = (const norni_param[]){{"dx", 0, NORNI_FLOATS, 'T'}, {0}},
    .attrs_bytes = sizeof(attrs_t),
    .attrs = norni_norm_table,
    .untested_attrs = "epsilon",
    .infer = infer_grad,
    .expand = expand_grad,
    .eval = eval_grad,
    .impls = dx_impls,
    .cost = cost_grad,
    .cases =
        (const char *const[]){
            "norn.NormalizeGrad(float[3,17], float[3,17], float[3,1], float[3,1], float[17])",
            "norn.NormalizeGrad<axis=2>(float[2,3,4,5], float[2,3,4,5], float[2,3,1,1], float[2,3,1,1])",
            "norn.NormalizeGrad<centered=0>(float[3,40], float[3,40], _, float[3,1], float[40])",
            "norn.NormalizeGrad<groups=0>(float[2,3,4,5], float[2,3,4,5], float[2,3,1], float[2,3,1], "
            "float[3])",
            "norn.NormalizeGrad<groups=2>(float[2,6,37], float[2,6,37], float[2,2,1], float[2,2,1], "
            "float[6])",
            "norn.NormalizeGrad(float[0,4], float[0,4], float[0,1], float[0,1], float[4])", NULL},
};

const norn_op norni_op_NormalizeSums = {
    .domain = "norn",
    .name = "NormalizeSums",
    .versions = (const int[]){1, 0},
    .doc = "gradients of norn.Normalize for scale and bias",
    .inputs = (const norni_param[]){INPUTS, {0}},
    .outputs = (const norni_param[]){{"dscale", NORNI_OPT, KEPT, 0}, {"dbias", NORNI_OPT, KEPT, 0}, {0}},
    .attrs_bytes = sizeof(attrs_t),
    .attrs = norni_norm_table,
    .untested_attrs = "epsilon",
    .infer = infer_sums,
    .expand = expand_sums,
    .eval = eval_sums,
    .impls = sums_impls,
    .cost = cost_sums,
    .cases =
        (const char *const[]){
            "norn.NormalizeSums(float[3,17], float[3,17], float[3,1], float[3,1]) => 2",
            "norn.NormalizeSums(float[70,137], float[70,137], float[70,1], float[70,1]) => 2",
            "norn.NormalizeSums<axis=2>(float[2,3,4,5], float[2,3,4,5], float[2,3,1,1], float[2,3,1,1])",
            "norn.NormalizeSums<centered=0>(float[3,40], float[3,40], _, float[3,1]) => 2",
            "norn.NormalizeSums<groups=0>(float[2,3,4,5], float[2,3,4,5], float[2,3,1], float[2,3,1]) => 2",
            "norn.NormalizeSums<groups=2>(float[2,6,37], float[2,6,37], float[2,2,1], float[2,2,1]) => 2",
            "norn.NormalizeSums<groups=3>(float[2,6], float[2,6], float[2,3,1], float[2,3,1]) => 2",
            "norn.NormalizeSums(float[0,4], float[0,4], float[0,1], float[0,1]) => 2", NULL},
};
