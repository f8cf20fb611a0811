/* SPDX-License-Identifier: Apache-2.0 */
/* norn.Normalize: see ops/norm.h. */
#include "ops/norm.h"
#include <math.h>

typedef norni_norm_attrs attrs_t;
enum { X, SCALE, BIAS };
enum { Y, MEAN, INV };

static bool has(const norn_node *node, int i) {
    return i < node->n_in && node->in[i];
}
norn_dtype norni_norm_kept(norn_dtype t) {
    return t == NORN_F64 || t == NORN_UNDEFINED ? t : NORN_F32;
}

/* ---- Shapes. */
norni_norm_rows norni_norm_rows_of(const attrs_t *a, int rank, const int64_t *dims) {
    if (a->groups < 0) {
        int64_t r = norni_elems(rank - (int)a->axis, dims + a->axis);
        return (norni_norm_rows){norni_elems((int)a->axis, dims), r, 1, r, 1};
    }
    int64_t groups = a->groups ? a->groups : dims[1], step = groups ? dims[1] / groups : 1;
    int64_t depth = norni_elems(rank - 2, dims + 2);
    return (norni_norm_rows){dims[0] * groups, step * depth, groups ? groups : 1, step, depth ? depth : 1};
}

norn_status norni_norm_check(const attrs_t *a, const norni_type *x) {
    if (x->rank < 0)
        return NORN_OK;
    if (a->groups < 0) {
        if (a->axis < 0 || a->axis >= x->rank)
            return norni_fail(NORN_SHAPE, "axis %lld (wanted 0 to %d for rank %d)", (long long)a->axis,
                              x->rank - 1, x->rank);
        return NORN_OK;
    }
    if (x->rank < 2)
        return norni_fail(NORN_SHAPE, "the input has rank %d (wanted at least 2: samples, channels)",
                          x->rank);
    if (a->groups > 0 && x->dims[1] >= 0 && x->dims[1] % a->groups)
        return norni_fail(NORN_SHAPE, "%lld channels are not divisible into %lld groups",
                          (long long)x->dims[1], (long long)a->groups);
    return NORN_OK;
}

norni_type norni_norm_stats_type(norn_graph *g, const attrs_t *a, const norni_type *x) {
    norni_type t = *x;
    (void)g;
    t.dtype = norni_norm_kept(x->dtype);
    if (x->rank < 0)
        return t;
    if (a->groups >= 0) {
        t.rank = 3;
        t.dims[1] = a->groups ? a->groups : x->dims[1];
        t.dims[2] = 1;
    } else
        for (int i = (int)a->axis; i < t.rank; i++)
            t.dims[i] = 1;
    return t;
}

static norn_status infer(norni_infer *c) {
    const attrs_t *a = c->attrs;
    const norni_type *x = norni_in_type(c, X);
    NORNI_TRY(norni_norm_check(a, x));
    for (int i = SCALE; i <= BIAS; i++) {
        if (!norni_in_has(c, i))
            continue;
        const norni_type *v = norni_in_type(c, i);
        if (v->rank < 0 || x->rank < 0)
            continue;
        int want = a->groups >= 0 ? 1 : x->rank - (int)a->axis;
        if (v->rank != want)
            return norni_fail(NORN_SHAPE, "'%s' has rank %d (wanted %d)",
                              norni_op_input(c->node->op, i)->name, v->rank, want);
        for (int k = 0; k < want; k++) {
            norni_dim d = x->dims[a->groups >= 0 ? 1 : (int)a->axis + k];
            if (v->dims[k] >= 0 && d >= 0 && v->dims[k] != d)
                return norni_fail(NORN_SHAPE, "'%s' has size %lld in dimension %d (wanted %lld)",
                                  norni_op_input(c->node->op, i)->name, (long long)v->dims[k], k,
                                  (long long)d);
        }
    }
    c->out[Y] = *x;
    c->out[MEAN] = c->out[INV] = norni_norm_stats_type(c->g, a, x);
    return NORN_OK;
}

/* ---- Host reference. */
static double get(const norn_tensor *t, int64_t i) {
    return norni_get_double(t->dtype, norni_tensor_data(t), i);
}
static void put(norn_tensor *t, int64_t i, double v) {
    if (t)
        norni_set_double(t->dtype, norni_tensor_data(t), i, v);
}

norn_status norni_norm_eval(const attrs_t *a, const norn_tensor *x, const norn_tensor *s,
                            const norn_tensor *b, norn_tensor *y, norn_tensor *mean, norn_tensor *inv) {
    norni_norm_rows n = norni_norm_rows_of(a, x->rank, x->dims);
    for (int64_t q = 0; q < n.rows; q++) {
        double m = 0, v = 0;
        for (int64_t i = 0; a->centered && i < n.r; i++)
            m += get(x, q * n.r + i);
        m = n.r || !a->centered ? m / (double)(n.r ? n.r : 1) : (double)NAN;
        for (int64_t i = 0; i < n.r; i++)
            v += (get(x, q * n.r + i) - m) * (get(x, q * n.r + i) - m);
        double r = 1 / sqrt(v / (double)n.r + (double)a->epsilon);
        put(mean, q, m);
        put(inv, q, r);
        for (int64_t i = 0; i < n.r; i++) {
            int64_t k = q % n.period * n.step + i / n.depth;
            put(y, q * n.r + i, (get(x, q * n.r + i) - m) * r * (s ? get(s, k) : 1) + (b ? get(b, k) : 0));
        }
    }
    return NORN_OK;
}

static norn_status eval(norni_eval *e) {
    return norni_norm_eval(e->attrs, e->in[X], has(e->node, SCALE) ? e->in[SCALE] : NULL,
                           has(e->node, BIAS) ? e->in[BIAS] : NULL, e->out[Y], e->out[MEAN], e->out[INV]);
}

/* ---- Device. */
static norn_status emit_rows(norni_emit *e, bool groups) {
    enum { GROUP = 128, ELEMS = 16384 };
    const norn_node *node = e->node;
    const attrs_t *a = node->attrs;
    const norni_type *x = &node->in[X]->type;
    norni_norm_rows n = norni_norm_rows_of(a, x->rank, x->dims);
    norni_step *k = norni_emit_kernel(e, "norm.cl", groups ? "norm_group" : "norm_rows", x->dtype);
    norni_step_define(e, k, "W", groups ? 1 : x->dtype == NORN_F64 ? 8 : 16);
    if (a->centered)
        norni_step_define(e, k, "CENTERED", 1);
    if (a->groups >= 0)
        norni_step_define(e, k, "CHANNELS", 1);
    norni_step_buffer(e, k, norni_emit_in(e, X), NORNI_READ);
    for (int i = SCALE; i <= BIAS; i++)
        if (has(node, i)) {
            norni_step_define(e, k, i == SCALE ? "SCALE" : "BIAS", 1);
            norni_step_buffer(e, k, norni_emit_in(e, i), NORNI_READ);
        }
    for (int i = Y; i < node->n_out; i++)
        if (node->out[i]) {
            static const char *const names[] = {"OUT_Y", "OUT_MEAN", "OUT_INV"};
            norni_step_define(e, k, names[i], 1);
            norni_step_buffer(e, k, norni_emit_out(e, i), NORNI_WRITE);
        }
    norni_step_i64(e, k, n.rows);
    norni_step_i64(e, k, n.r);
    norni_step_i64(e, k, n.period);
    norni_step_i64(e, k, n.step);
    norni_step_i64(e, k, n.depth);
    norni_step_real(e, k, x->dtype, (double)a->epsilon);
    if (groups) {
        norni_step_define(e, k, "WG", GROUP);
        norni_step_range(k, 1, (size_t)n.rows * GROUP, 1, 1, GROUP, 0, 0);
    } else {
        int64_t each = n.r >= ELEMS ? 1 : ELEMS / (n.r + 1), units = e->device->compute_units * 4;
        if (units > 0 && n.rows / each < units)
            each = n.rows / units > 0 ? n.rows / units : 1;
        norni_step_i64(e, k, each);
        norni_step_items(e, k, 1, (n.rows + each - 1) / each, 1, 1);
    }
    return e->status;
}
static norn_status emit_items(norni_emit *e) {
    return emit_rows(e, false);
}
static norn_status emit_groups(norni_emit *e) {
    return emit_rows(e, true);
}
static const char *on_cpu(const norni_fit *f) {
    return norni_device_is_cpu(f->device) ? NULL : "for CPUs";
}
static const norni_impl impls[] = {
    {.name = "items", .fits = on_cpu, .emit = emit_items}, {.name = "groups", .emit = emit_groups}, {0}};

/* ---- Nodes. */
norn_value *norni_norm_view(norn_graph *g, const attrs_t *a, norn_value *x, norn_dtype t) {
    if (!x)
        return NULL;
    norn_value *v = norni_cast(g, x, t);
    if (a->groups < 0)
        return v;
    int64_t shape[3] = {0, a->groups, -1};
    if (norni_type_static(&x->type)) {
        int64_t groups = a->groups ? a->groups : x->type.dims[1];
        shape[0] = x->type.dims[0];
        shape[1] = groups;
        shape[2] = (groups ? x->type.dims[1] / groups : 1) * norni_elems(x->type.rank - 2, x->type.dims + 2);
        return NORNI_OP2(g, v, norni_i64_const(g, 3, shape), "Reshape<allowzero=1>");
    }
    return NORNI_OP2(g, v, norni_i64_const(g, 3, shape), "Reshape");
}

norn_value *norni_norm_unview(norn_graph *g, const attrs_t *a, norn_value *v, norn_value *x) {
    if (a->groups < 0 || !v || !x)
        return v;
    if (norni_type_static(&x->type))
        return NORNI_OP2(g, v, norni_i64_const(g, x->type.rank, x->type.dims), "Reshape<allowzero=1>");
    return NORNI_OP2(g, v, norni_shape_value(g, x), "Reshape");
}

norn_value *norni_norm_axes(norn_graph *g, const attrs_t *a, const norn_value *x) {
    int64_t axes[NORN_MAX_RANK];
    int n = 0;
    if (a->groups >= 0)
        axes[n++] = 2;
    else
        for (int i = (int)a->axis; i < x->type.rank; i++)
            axes[n++] = i;
    return norni_i64_const(g, n, axes);
}

norn_value *norni_norm_spread(norn_graph *g, const attrs_t *a, norn_value *v, const norn_value *x,
                              norn_dtype t) {
    v = norni_cast(g, v, t);
    return a->groups < 0 ? v : norni_along_channels(g, v, x->type.rank);
}

norn_node *norni_norm_node(norn_graph *g, const char *name, const attrs_t *a, unsigned wanted, int n,
                           norn_value *const *in) {
    return norni_opf_node(g, wanted, n, in, "norn.%s<axis=%lld, groups=%lld, centered=%d>", name,
                          (long long)a->axis, (long long)a->groups, (int)a->centered);
}

static norn_status expand(norn_graph *g, const norn_node *node, norn_value **out) {
    const attrs_t *a = node->attrs;
    norn_value *x = node->in[X];
    norn_dtype t = norni_norm_kept(x->type.dtype);
    if (x->type.rank < 0)
        return norni_fail(NORN_UNSUPPORTED, "%s: the rank is not known", node->op->name);
    norn_value *v = norni_norm_view(g, a, x, t), *axes = norni_norm_axes(g, a, x), *d = v;
    if (a->centered) {
        out[MEAN] = NORNI_OP2(g, v, axes, "ReduceMean");
        d = NORNI_OP2(g, v, out[MEAN], "Sub");
    } else if (node->n_out > MEAN && node->out[MEAN]) {
        norn_value *zero = NORNI_OP2(g, v, norni_scalar_const(g, t, 0), "Mul");
        out[MEAN] = NORNI_OP2(g, zero, axes, "ReduceSum");
    }
    norn_value *var = NORNI_OP2(g, NORNI_OP2(g, d, d, "Mul"), axes, "ReduceMean");
    var = NORNI_OP2(g, var, norni_scalar_const(g, t, (double)a->epsilon), "Add");
    out[INV] = NORNI_OP1(g, NORNI_OP1(g, var, "Sqrt"), "Reciprocal");
    norn_value *y = norni_norm_unview(g, a, NORNI_OP2(g, d, out[INV], "Mul"), x);
    if (has(node, SCALE))
        y = NORNI_OP2(g, y, norni_norm_spread(g, a, node->in[SCALE], x, t), "Mul");
    if (has(node, BIAS))
        y = NORNI_OP2(g, y, norni_norm_spread(g, a, node->in[BIAS], x, t), "Add");
    out[Y] = norni_cast(g, y, x->type.dtype);
    return norn_graph_status(g);
}

/* ---- Gradient. */
/* What arrives at mean and inv: (dm - di i^3 (x - m)) / r. */
static norn_value *through_stats(norni_grad *c, norn_value *mean, norn_value *inv) {
    static const char *const names[] = {"dm", "di", "i", "x", "m", "r"};
    norn_graph *g = c->g;
    const attrs_t *a = c->node->attrs;
    norn_value *x = c->node->in[X], *dm = a->centered ? c->dy[MEAN] : NULL, *di = c->dy[INV];
    norn_dtype t = norni_norm_kept(x->type.dtype);
    norn_value *v = norni_norm_view(g, a, x, t);
    norn_value *r = norni_elems_per(g, v, inv, t);
    norn_value *vars[] = {dm, di, inv, v, mean, r}, *sum = NULL;
    if (!dm && !di)
        return NULL;
    if (di)
        sum = norni_formula(g,
                            a->centered ? "-(di * (i * i * i / r)) * (x - m)" : "-(di * (i * i * i / r)) * x",
                            6, names, vars);
    if (dm) {
        norn_value *part = norni_formula(g, "dm / r", 6, names, vars);
        sum = sum ? NORNI_OP2(g, sum, part, "Add")
                  : NORNI_OP2(g, part, NORNI_OP2(g, v, norni_scalar_const(g, t, 0), "Mul"), "Add");
    }
    return norni_cast(g, norni_norm_unview(g, a, sum, x), x->type.dtype);
}

static void grad(norni_grad *c) {
    norn_graph *g = c->g;
    const attrs_t *a = c->node->attrs;
    norn_node *node = c->node;
    norn_value *x = node->in[X], *dx = NULL, *inv = norni_want_output(node, INV),
               *mean = a->centered ? norni_want_output(node, MEAN) : NORNI_NONE;
    bool scaled = has(node, SCALE), wants[2] = {scaled && c->want[SCALE], has(node, BIAS) && c->want[BIAS]};
    if (c->want[X] && c->dy[Y]) {
        norn_node *n =
            norni_norm_node(g, "NormalizeGrad", a, 1, 5,
                            (norn_value *[]){c->dy[Y], x, mean, inv, scaled ? node->in[SCALE] : NORNI_NONE});
        dx = n ? n->out[0] : NULL;
    }
    if (c->want[X]) {
        norn_value *more = through_stats(c, mean, inv);
        c->dx[X] = dx && more ? NORNI_OP2(g, dx, more, "Add") : dx ? dx : more;
    }
    if (!c->dy[Y] || !(wants[0] || wants[1]))
        return;
    norn_node *n = norni_norm_node(g, "NormalizeSums", a, (unsigned)wants[0] | (unsigned)wants[1] << 1, 4,
                                   (norn_value *[]){c->dy[Y], x, mean, inv});
    for (int k = 0; n && k < 2; k++)
        if (wants[k]) {
            norn_value *v = n->out[k]; /* [N, C] for channels */
            if (a->groups >= 0)
                v = NORNI_OP2(g, v, norni_i64_const(g, 1, (int64_t[]){0}), "ReduceSum<keepdims=0>");
            c->dx[SCALE + k] = norni_cast(g, v, node->in[SCALE + k]->type.dtype);
        }
}

static void cost(const norn_node *node, norni_cost *c) {
    c->flops = 7.0 * (double)norni_type_elems(&node->in[X]->type);
}

#define KEPT (NORNI_T(NORN_F32) | NORNI_T(NORN_F64))
const norni_attr norni_norm_table[] = {
    NORNI_A_INT(attrs_t, axis, 1), NORNI_A_INT(attrs_t, groups, -1, .lo = -1, .hi = INT32_MAX),
    NORNI_A_INT(attrs_t, centered, 1, .lo = 0, .hi = 1), NORNI_A_FLOAT(attrs_t, epsilon, 1e-5f), NORNI_A_END};

const norn_op norni_op_Normalize = {
    .domain = "norn",
    .name = "Normalize",
    .versions = (const int[]){1, 0},
    .doc = "(x - mean) / sqrt(variance + epsilon) * scale + bias over rows or groups of channels",
    .inputs = (const norni_param[]){{"x", 0, NORNI_FLOATS, 'T'},
                                    {"scale", NORNI_OPT, NORNI_FLOATS, 'T'},
                                    {"bias", NORNI_OPT, NORNI_FLOATS, 'T'},
                                    {0}},
    .outputs =
        (const norni_param[]){
            {"y", 0, NORNI_FLOATS, 'T'}, {"mean", NORNI_STASH, KEPT, 0}, {"inv", NORNI_STASH, KEPT, 0}, {0}},
    .attrs_bytes = sizeof(attrs_t),
    .attrs = norni_norm_table,
    .infer = infer,
    .grad = grad,
    .expand = expand,
    .eval = eval,
    .impls = impls,
    .cost = cost,
    .cases = (const char *const[]){"norn.Normalize(float[3,17], float[17], float[17])",
                                   "norn.Normalize<axis=2, epsilon=0.1>(float[2,3,4,5], float[4,5])",
                                   "norn.Normalize<axis=0>(float[37], _, float[37])",
                                   "norn.Normalize<centered=0>(float[3,40], float[40])",
                                   "norn.Normalize<centered=0>(float[2,3])",
                                   "norn.Normalize<groups=0>(float[2,3,4,5], float[3], float[3])",
                                   "norn.Normalize<groups=2>(float[2,6,37], float[6], float[6])",
                                   "norn.Normalize<groups=3>(float[2,12], float[12], float[12])",
                                   "norn.Normalize<groups=1, centered=0>(float[1,3,7], float[3])",
                                   "norn.Normalize<axis=1>(float[2,20000], float[20000], float[20000])",
                                   "norn.Normalize(float[0,4], float[4], float[4])",
                                   "norn.Normalize(float[50,768], float[768], float[768])", NULL},
};
