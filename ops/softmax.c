/* SPDX-License-Identifier: Apache-2.0 */
/* Softmax, LogSoftmax, Hardmax along one axis, and the gradients of the first two.
 *
 *     Softmax     y = e^(x - m) / sum e^(x - m),  m = max x     dx = y (dy - sum y dy)
 *     LogSoftmax  y = x - m - ln sum e^(x - m)                  dx = dy - e^y sum dy
 *     Hardmax     1 at the first of the largest elements, else 0
 *
 * A row that holds NaN or +inf, or nothing but -inf, gives NaN, as in PyTorch. Sources: ONNX Softmax-13,
 * LogSoftmax-13, Hardmax-13. Before opset 13 the input was a matrix, cut at `axis` (default 1). */
#include "ops/op.h"
#include <math.h>
#include <string.h>

/* axis: absent stands for -1 here and for 1 before opset 13. */
typedef struct {
    int64_t axis;
} softmax_attrs;
static const norni_attr table[] = {NORNI_A(softmax_attrs, axis, INT, .flags = NORNI_ATTR_OPTIONAL),
                                   NORNI_A_END};

static int64_t axis_of(const norn_node *node) {
    int64_t axis = ((const softmax_attrs *)node->attrs)->axis;
    return axis == NORNI_NO_INT ? -1 : axis;
}

static bool is_log(const norn_op *op) {
    return !strncmp(op->name, "Log", 3);
}

static norn_status infer(norni_infer *c) {
    int at;
    norn_dtype t = c->out[0].dtype;
    for (int i = 0; i < c->node->n_in; i++) {
        const norni_type *x = norni_in_type(c, i);
        if (x->rank < 0)
            continue;
        NORNI_TRY(norni_axis(axis_of(c->node), x->rank, &at));
        if (i && c->out[0].rank >= 0 && c->out[0].rank != x->rank)
            return norni_fail(NORN_SHAPE, "dy has rank %d (wanted %d, as y)", x->rank, c->out[0].rank);
        for (int k = 0; i && k < x->rank && c->out[0].rank >= 0; k++)
            if (x->dims[k] >= 0 && c->out[0].dims[k] >= 0 && x->dims[k] != c->out[0].dims[k])
                return norni_fail(NORN_SHAPE, "dy has size %lld in dimension %d (wanted %lld, as y)",
                                  (long long)x->dims[k], k, (long long)c->out[0].dims[k]);
        if (c->out[0].rank < 0)
            c->out[0] = *x;
    }
    c->out[0].dtype = t;
    return NORN_OK;
}

/* x as [outer][r][inner] around the axis. */
typedef struct {
    int64_t outer, r, inner;
} split;

static split split_of(const norn_node *node, int rank, const int64_t *dims) {
    int at = 0;
    if (norni_axis(axis_of(node), rank, &at) != NORN_OK)
        return (split){0, 1, 0}; /* refused by infer */
    return (split){norni_elems(at, dims), dims[at], norni_elems(rank - at - 1, dims + at + 1)};
}

/* ---- Host reference. */
static void eval_row(bool log_form, const norn_tensor *x, norn_tensor *y, int64_t at, int64_t r,
                     int64_t step) {
    double m = -(double)INFINITY, s = 0;
    for (int64_t i = 0; i < r; i++)
        m = fmax(m, norni_get_double(x->dtype, norni_tensor_data(x), at + i * step));
    for (int64_t i = 0; i < r; i++)
        s += exp(norni_get_double(x->dtype, norni_tensor_data(x), at + i * step) - m);
    for (int64_t i = 0; i < r; i++) {
        double d = norni_get_double(x->dtype, norni_tensor_data(x), at + i * step) - m;
        norni_set_double(y->dtype, norni_tensor_data(y), at + i * step, log_form ? d - log(s) : exp(d) / s);
    }
}

static norn_status eval(norni_eval *e) {
    split s = split_of(e->node, e->in[0]->rank, e->in[0]->dims);
    for (int64_t o = 0; o < s.outer; o++)
        for (int64_t j = 0; j < s.inner; j++)
            eval_row(is_log(e->node->op), e->in[0], e->out[0], o * s.r * s.inner + j, s.r, s.inner);
    return NORN_OK;
}

static norn_status eval_grad(norni_eval *e) {
    const norn_tensor *y = e->in[0], *dy = e->in[1];
    split s = split_of(e->node, y->rank, y->dims);
    bool log_form = is_log(e->node->op);
    for (int64_t o = 0; o < s.outer; o++)
        for (int64_t j = 0; j < s.inner; j++) {
            double sum = 0;
            for (int round = 0; round < 2; round++)
                for (int64_t i = 0; i < s.r; i++) {
                    int64_t k = (o * s.r + i) * s.inner + j;
                    double a = norni_get_double(y->dtype, norni_tensor_data(y), k);
                    double b = norni_get_double(dy->dtype, norni_tensor_data(dy), k);
                    if (round == 0)
                        sum += log_form ? b : a * b;
                    else
                        norni_set_double(e->out[0]->dtype, norni_tensor_data(e->out[0]), k,
                                         log_form ? b - exp(a) * sum : a * (b - sum));
                }
        }
    return NORN_OK;
}

static norn_status eval_hardmax(norni_eval *e) {
    const norn_tensor *x = e->in[0];
    split s = split_of(e->node, x->rank, x->dims);
    for (int64_t o = 0; o < s.outer; o++)
        for (int64_t j = 0; j < s.inner; j++) {
            double m = 0;
            int64_t at = -1, base = o * s.r * s.inner + j;
            for (int64_t i = 0; i < s.r; i++) {
                double v = norni_get_double(x->dtype, norni_tensor_data(x), base + i * s.inner);
                if (at < 0 || v > m || (isnan(v) && !isnan(m))) {
                    m = v;
                    at = i;
                }
            }
            if (at >= 0)
                norni_set_double(e->out[0]->dtype, norni_tensor_data(e->out[0]), base + at * s.inner, 1);
        }
    return NORN_OK;
}

/* ---- Device. */
/* The widest vector not above w that n elements fill. */
static int fitting_width(int w, int64_t n) {
    while (w > n && w > 1)
        w /= 2;
    return w == 2 ? 1 : w;
}

static norn_status emit_along(norni_emit *e, bool groups, bool grad) {
    enum {
        GROUP = 128,
        SHORT = 64,
        ITEM = 4096,
        KEEP_BYTES = 16384,
        THROUGH_MAX = 262144,
        THROUGH_BEST = 262144
    };
    const norn_node *node = e->node;
    const norni_type *x = &node->in[0]->type;
    split s = split_of(node, x->rank, x->dims);
    bool rows = s.inner == 1, wide = rows && groups && s.r >= SHORT;
    int w = groups ? 1 : x->dtype == NORN_F64 ? 8 : 16;
    int64_t keep = groups || grad ? 0 : KEEP_BYTES / (x->dtype == NORN_F64 ? 8 : 4);
    bool wide_type = x->dtype == NORN_F32 || x->dtype == NORN_F64; /* y can hold exponentials */
    /* Rather whole rows, or much of each, than all of few columns. */
    bool much = !rows && (wide_type || s.inner > 16 * w);
    if (keep < s.r * (rows ? 1 : w) || (keep && much)) { /* not kept: vectors must fit */
        keep = 0;
        w = fitting_width(w, rows ? s.r : s.inner);
    }
    int64_t blocks = 1; /* vectors of columns an item */
    while (keep && !rows && !grad && blocks < 8 && s.r * w * blocks * 2 <= keep && w * blocks * 2 <= s.inner)
        blocks *= 2;
    /* Exponentials go through y where it can hold them and a row (or the columns of an item) stays in cache meanwhile. */
    bool through = !keep && !groups && !grad && w > 1 && wide_type && s.r * (rows ? 1 : w) <= THROUGH_MAX;
    while (through && !rows && blocks < 32 && s.r * w * blocks * 2 <= THROUGH_BEST &&
           w * blocks * 2 <= s.inner)
        blocks *= 2;
    const char *kernel = wide   ? (grad ? "softmax_grad_group" : "softmax_group")
                         : rows ? (grad ? "softmax_grad_rows" : "softmax_rows")
                                : (grad ? "softmax_grad_cols" : "softmax_cols");
    norni_step *k = norni_emit_kernel(e, "softmax.cl", kernel, x->dtype);
    norni_step_define(e, k, "W", w);
    if (keep)
        norni_step_define(e, k, "KEEP", keep);
    if (through)
        norni_step_define(e, k, "THROUGH", 1);
    if (blocks > 1)
        norni_step_define(e, k, "G", blocks);
    if (is_log(node->op))
        norni_step_define(e, k, "LOG", 1);
    for (int i = 0; i < node->n_in; i++)
        norni_step_buffer(e, k, norni_emit_in(e, i), NORNI_READ);
    norni_step_buffer(e, k, norni_emit_out(e, 0), NORNI_WRITE);
    norni_step_i64(e, k, s.outer);
    norni_step_i64(e, k, s.r);
    if (wide) {
        norni_step_define(e, k, "WG", GROUP);
        norni_step_range(k, 1, (size_t)s.outer * GROUP, 1, 1, GROUP, 0, 0);
    } else if (rows) {
        int64_t rows_each = groups || s.r >= 512 ? 1 : norni_ceil_div(512, s.r + 1);
        if (!groups) { /* more, as long as there are some for each core */
            int64_t units = e->device->compute_units ? e->device->compute_units : 1;
            rows_each = norni_max(rows_each, norni_min(ITEM / (s.r + 1), s.outer / (units * 8)));
            if (s.r < w) /* a lane a row */
                rows_each = norni_ceil_div(rows_each, w) * w;
        }
        norni_step_i64(e, k, rows_each);
        norni_step_items(e, k, 1, norni_ceil_div(s.outer, rows_each), 1, 1);
    } else {
        norni_step_i64(e, k, s.inner);
        norni_step_items(e, k, 2, norni_ceil_div(s.inner, w * blocks), s.r ? s.outer : 0, 1);
    }
    return e->status;
}

static const char *on_cpu(const norni_fit *f) {
    return norni_device_is_cpu(f->device) ? NULL : "for CPUs";
}
static norn_status emit_items(norni_emit *e) {
    return emit_along(e, false, false);
}
static norn_status emit_groups(norni_emit *e) {
    return emit_along(e, true, false);
}
static norn_status emit_grad_items(norni_emit *e) {
    return emit_along(e, false, true);
}
static norn_status emit_grad_groups(norni_emit *e) {
    return emit_along(e, true, true);
}
static const norni_impl impls[] = {{.name = "items", .fits = on_cpu, .emit = emit_items},
                                   {.name = "groups", .emit = emit_groups},
                                   {0}},
                        grad_impls[] = {{.name = "items", .fits = on_cpu, .emit = emit_grad_items},
                                        {.name = "groups", .emit = emit_grad_groups},
                                        {0}};

static norn_status emit_hardmax(norni_emit *e) {
    const norni_type *x = &e->node->in[0]->type;
    split s = split_of(e->node, x->rank, x->dims);
    norni_step *k = norni_emit_kernel(e, "softmax.cl", "hardmax", x->dtype);
    norni_step_define(e, k, "W", 1);
    norni_step_buffer(e, k, norni_emit_in(e, 0), NORNI_READ);
    norni_step_buffer(e, k, norni_emit_out(e, 0), NORNI_WRITE);
    norni_step_i64(e, k, s.outer);
    norni_step_i64(e, k, s.r);
    norni_step_i64(e, k, s.inner);
    norni_step_items(e, k, 2, s.inner, s.r ? s.outer : 0, 1);
    return e->status;
}
static const norni_impl hardmax_impls[] = {{.name = "direct", .emit = emit_hardmax}, {0}};

/* ---- Gradients. */
static void grad(norni_grad *c) {
    c->dx[0] = NORNI_OP2(c->g, c->node->out[0], c->dy[0], "norn.%sGrad<axis=%lld>", c->node->op->name,
                         (long long)axis_of(c->node));
}

static norn_status expand_grad(norn_graph *g, const norn_node *node, norn_value **out) {
    norn_value *y = node->in[0], *dy = node->in[1];
    norn_value *axis = norni_i64_const(g, 1, (int64_t[]){axis_of(node)});
    if (is_log(node->op)) {
        norn_value *p = NORNI_OP2(g, NORNI_OP1(g, y, "Exp"), NORNI_OP2(g, dy, axis, "ReduceSum"), "Mul");
        out[0] = NORNI_OP2(g, dy, p, "Sub");
    } else {
        norn_value *s = NORNI_OP2(g, NORNI_OP2(g, y, dy, "Mul"), axis, "ReduceSum");
        out[0] = NORNI_OP2(g, y, NORNI_OP2(g, dy, s, "Sub"), "Mul");
    }
    return norn_graph_status(g);
}

/* ---- Before opset 13: sizes before axis and from it on are multiplied, and the softmax is over all of the latter. */
static bool alone(const norni_type *x, int at) {
    for (int i = at + 1; i < x->rank; i++)
        if (x->dims[i] != 1)
            return false;
    return true;
}

static norn_status raise(norni_adapt *a) {
    softmax_attrs *attrs = a->node->attrs;
    norn_value *x = a->node->in[0];
    int64_t axis = attrs->axis == NORNI_NO_INT ? 1 : attrs->axis;
    if (a->version >= 13 || !x)
        return NORN_OK;
    const norni_type *t = &x->type;
    if (t->rank >= 0 && axis >= -t->rank && axis < t->rank &&
        alone(t, (int)(axis < 0 ? axis + t->rank : axis))) {
        attrs->axis = axis;
        return NORN_OK;
    }
    norn_value *flat = NORNI_OP1(a->g, x, "Flatten<axis=%lld>", (long long)axis);
    norn_value *y = NORNI_OP1(a->g, flat, "%s<axis=-1>", a->node->op->name);
    norn_value *shape =
        norni_type_static(t) ? norni_i64_const(a->g, t->rank, t->dims) : NORNI_OP1(a->g, x, "Shape");
    bool empty = norni_type_static(t) && norni_type_elems(t) == 0;
    a->out[0] = NORNI_OP2(a->g, y, shape, empty ? "Reshape<allowzero=1>" : "Reshape");
    a->replaced = true;
    return norn_graph_status(a->g);
}

static norn_status lower(norni_adapt *a) {
    softmax_attrs *attrs = a->node->attrs;
    norn_value *x = a->node->in[0];
    int at;
    if (a->version >= 13)
        return NORN_OK;
    if (x->type.rank < 0)
        return norni_fail(NORN_UNSUPPORTED, "the rank is not known, and opset %d has another meaning of axis",
                          a->version);
    NORNI_TRY(norni_axis(axis_of(a->node), x->type.rank, &at));
    attrs->axis = at;
    if (alone(&x->type, at))
        return NORN_OK;
    norn_value *y = norni_swap_axes(a->g, x, at, x->type.rank - 1);
    y = NORNI_OP1(a->g, y, "%s<axis=-1>", a->node->op->name);
    a->out[0] = norni_swap_axes(a->g, y, at, x->type.rank - 1);
    a->replaced = true;
    return norn_graph_status(a->g);
}

static void cost(const norn_node *node, norni_cost *c) {
    c->flops = 5.0 * (double)norni_type_elems(&node->in[0]->type);
}

#define FLOATS_IN(...)                                                                                       \
    (const norni_param[]) {                                                                                  \
        __VA_ARGS__, {                                                                                       \
            0                                                                                                \
        }                                                                                                    \
    }
#define SOFTMAX(id, text, ...)                                                                               \
    const norn_op norni_op_##id = {.domain = "",                                                             \
                                   .name = #id,                                                              \
                                   .versions = (const int[]){1, 11, 13, 0},                                  \
                                   .doc = text,                                                              \
                                   .inputs = FLOATS_IN({"input", 0, NORNI_FLOATS, 'T'}),                     \
                                   .outputs = FLOATS_IN({"output", 0, NORNI_FLOATS, 'T'}),                   \
                                   .attrs_bytes = sizeof(softmax_attrs),                                     \
                                   .attrs = table,                                                           \
                                   .raise = raise,                                                           \
                                   .lower = lower,                                                           \
                                   .infer = infer,                                                           \
                                   .cost = cost,                                                             \
                                   __VA_ARGS__}
#define CASES(id)                                                                                            \
    (const char *const[]) {                                                                                  \
#id "(float[3,17])", #id "<axis=1>(float[2,5,7])", #id "<axis=0>(float[4,33])", #id "(float[5,1])",  \
            #id "(float[2,2500])", #id "(float[7])", #id "<axis=-2>(float[2,70,3])",                         \
            #id "<axis=1>(float[2,0,3])", #id "(float[300,10])", #id "<axis=1>(float[2,3,40])",              \
            #id "<axis=1>(float[2,5,300])", #id "(float[2,4500])", #id "<axis=0>(float[300,55])",            \
            #id "(float[70,3])", #id "(double[41,7])", #id "(float[600,16])", #id "(float16[33,45])",        \
            #id "(double[5,16,9])", NULL                                                                     \
    }
SOFTMAX(Softmax, "e^x divided by the sum of e^x over an axis", .eval = eval, .impls = impls, .grad = grad,
        .cases = CASES(Softmax));
SOFTMAX(LogSoftmax, "logarithm of the softmax over an axis", .eval = eval, .impls = impls, .grad = grad,
        .cases = CASES(LogSoftmax));
SOFTMAX(Hardmax, "1 at the first of the largest elements along an axis, else 0", .eval = eval_hardmax,
        .impls = hardmax_impls, .grad = norni_no_gradient, .cases = CASES(Hardmax));

#define GRADIENT(id, text)                                                                                   \
    const norn_op norni_op_##id = {                                                                          \
        .domain = "norn",                                                                                    \
        .name = #id,                                                                                         \
        .versions = (const int[]){1, 0},                                                                     \
        .doc = text,                                                                                         \
        .inputs = FLOATS_IN({"y", 0, NORNI_FLOATS, 'T'}, {"dy", 0, NORNI_FLOATS, 'T'}),                      \
        .outputs = FLOATS_IN({"dx", 0, NORNI_FLOATS, 'T'}),                                                  \
        .attrs_bytes = sizeof(softmax_attrs),                                                                \
        .attrs = table,                                                                                      \
        .infer = infer,                                                                                      \
        .expand = expand_grad,                                                                               \
        .eval = eval_grad,                                                                                   \
        .impls = grad_impls,                                                                                 \
        .cost = cost,                                                                                        \
        .cases = (const char *const[]){"norn." #id "(float[3,17], float[3,17])",                             \
                                       "norn." #id "<axis=1>(float[2,5,7], float[2,5,7])",                   \
                                       "norn." #id "<axis=0>(float[4,33], float[4,33])",                     \
                                       "norn." #id "(float[2,300], float[2,300])",                           \
                                       "norn." #id "<axis=0>(float[0,3], float[0,3])", NULL},                \
    }
GRADIENT(SoftmaxGrad, "gradient of Softmax from its output y: y (dy - sum of y dy over the axis)");
GRADIENT(LogSoftmaxGrad,
         "gradient of LogSoftmax from its output y: dy - e^y times the sum of dy over the axis");
