/* SPDX-License-Identifier: Apache-2.0 */
/* LpPool: the p-norm of each window, y[n, c, o] = (sum over k of |x[n, c, o * stride + k * dilation - begin]|^p)^(1/p). Source:
 * ONNX LpPool-22 (2 and 11 without dilations and ceil_mode). GlobalLpPool: the same of a whole plane.
 *
 *     norn.SumPool  the plain sum of each window; linear, its transpose is norn.AveragePoolGrad<sum=1> */
#include "ops/pool.h"
#include <math.h>

enum { D = NORNI_WINDOW_DIMS };

static norn_status infer(norni_infer *c) {
    return norni_pool_infer(c, &c->out[0]);
}

static bool plain(const norn_node *node) {
    return ((const norni_pool_attrs *)node->attrs)->sum;
}

static norn_status eval(norni_eval *e) {
    const norn_tensor *x = e->in[0];
    norn_tensor *y = e->out[0];
    norni_pool p;
    norni_pool_of(e->node, &e->node->in[0]->type, &e->node->out[0]->type, &p);
    const norni_window *w = &p.w;
    double power = (double)((const norni_pool_attrs *)e->attrs)->p;
    int64_t in = norni_window_in(w), at = 0;
    for (int64_t plane = 0; plane < p.planes && norni_window_out(w); plane++) {
        int64_t o[D] = {0};
        do {
            double sum = 0;
            for (int64_t a = 0, taps = norni_window_taps(w); a < taps; a++) {
                int64_t k[D] = {a / w->kernel[2] / w->kernel[1], a / w->kernel[2] % w->kernel[1],
                                a % w->kernel[2]},
                        i = 0;
                bool inside = true;
                for (int d = 0; d < D; d++) {
                    k[d] = o[d] * w->stride[d] + k[d] * w->dilation[d] - w->begin[d];
                    inside &= k[d] >= 0 && k[d] < w->in[d];
                    i = i * w->in[d] + k[d];
                }
                double v = inside ? norni_get_double(x->dtype, norni_tensor_data(x), plane * in + i) : 0;
                sum += plain(e->node) ? v : pow(fabs(v), power);
            }
            norni_set_double(y->dtype, norni_tensor_data(y), at++,
                             plain(e->node) ? sum : pow(sum, 1 / power));
        } while (norni_pool_next(w, o));
    }
    return NORN_OK;
}

static norni_step *begin(norni_emit *e, norni_pool *p, const char *kernel) {
    norni_pool_of(e->node, &e->node->in[0]->type, &e->node->out[0]->type, p);
    if (!p->planes || !norni_window_out(&p->w))
        return NULL;
    norni_step *s = norni_emit_kernel(e, "pool.cl", kernel, p->dtype);
    norni_step_define(e, s, "LP", plain(e->node) ? 0 : ((const norni_pool_attrs *)e->node->attrs)->p);
    norni_step_buffer(e, s, norni_emit_in(e, 0), NORNI_READ);
    norni_step_buffer(e, s, norni_emit_out(e, 0), NORNI_WRITE);
    norni_pool_args(e, s, p);
    return s;
}

static norn_status emit_rows(norni_emit *e) {
    norni_pool p;
    norni_step *s = begin(e, &p, "pool_rows");
    if (s)
        norni_pool_rows(e, s, &p);
    return e->status;
}

static norn_status emit_each(norni_emit *e) {
    norni_pool p;
    norni_step *s = begin(e, &p, "pool_each");
    if (s)
        norni_pool_each(e, s, &p);
    return e->status;
}

static const char *rows_fit(const norni_fit *f) {
    norni_pool p;
    norni_pool_of(f->node, &f->node->in[0]->type, &f->node->out[0]->type, &p);
    return norni_pool_rows_fit(f->device, &p);
}

static const norni_impl impls[] = {{.name = "rows", .fits = rows_fit, .emit = emit_rows, .epilogue = true},
                                   {.name = "each", .emit = emit_each, .epilogue = true},
                                   {0}};

/* What a plain sum of windows gives back to x. */
static norn_value *spread(norni_grad *c, norn_value *share) {
    norni_pool_attrs a = *(const norni_pool_attrs *)c->node->attrs;
    norn_value *in[] = {share, norni_shape_value(c->g, c->node->in[0])};
    a.sum = 1;
    a.count_include_pad = 0;
    norn_node *made = in[0] && in[1] ? norni_apply(c->g, &norni_op_AveragePoolGrad, &a, 2, in, 1) : NULL;
    return made ? made->out[0] : NULL;
}

/* dx = |x|^(p-1) sign(x) * sum over the windows of dy / y^(p-1); nothing where y is 0. */
static void grad(norni_grad *c) {
    static const char *const names[] = {"dy", "y", "x", "share", "q"};
    norn_graph *g = c->g;
    norn_value *x = c->node->in[0];
    int64_t p = ((const norni_pool_attrs *)c->node->attrs)->p;
    norn_value *q = norni_scalar_const(g, x->type.dtype, (double)(p - 1));
    norn_value *vars[] = {c->dy[0], c->node->out[0], x, NULL, q};
    vars[3] = spread(c, p == 1 ? c->dy[0]
                               : norni_formula(g, "where(y == 0, 0, dy / pow(where(y == 0, 1, y), q))", 5,
                                               names, (norn_value *[]){vars[0], vars[1], x, vars[0], q}));
    c->dx[0] = !vars[3] ? NULL
               : p == 1 ? norni_formula(g, "share * sign(x)", 5, names, vars)
               : p == 2 ? norni_formula(g, "share * x", 5, names, vars)
                        : norni_formula(g, "share * sign(x) * pow(abs(x), q)", 5, names, vars);
}

static const norni_attr table[] = {NORNI_POOL_ROWS, NORNI_POOL_DILATIONS(18), NORNI_POOL_FLAG(ceil_mode, 18),
                                   NORNI_A_INT(norni_pool_attrs, p, 2, .lo = 1, .hi = 1 << 20), NORNI_A_END};

const norn_op norni_op_LpPool = {
    .domain = "",
    .name = "LpPool",
    .versions = (const int[]){2, 11, 18, 22, 0},
    .doc = "the p-norm of each window over 1 to 3 spatial dimensions",
    .inputs = (const norni_param[]){{"X", 0, NORNI_FLOATS, 'T'}, {0}},
    .outputs = (const norni_param[]){{"Y", 0, NORNI_FLOATS, 'T'}, {0}},
    .attrs_bytes = sizeof(norni_pool_attrs),
    .attrs = table,
    .infer = infer,
    .grad = grad,
    .eval = eval,
    .impls = impls,
    .cost = norni_pool_cost,
    .cases =
        (const char *const[]){
            "LpPool<kernel_shape=[3,2], strides=[2,2], pads=[1,0,2,1]>(float[2,3,9,37])",
            "LpPool<kernel_shape=[2,3], strides=[2,1], p=1>(float[1,3,8,19])",
            "LpPool<kernel_shape=[3,3], p=3, pads=[1,1,1,1]>(float[1,2,7,9])",
            "LpPool<kernel_shape=[3], strides=[3], ceil_mode=1, p=4>(float[2,3,40])",
            "LpPool<kernel_shape=[2,3], dilations=[3,2], strides=[1,4]>(float[1,2,9,33])",
            "LpPool<kernel_shape=[3,2,2], strides=[1,2,2], pads=[1,0,1,1,1,0]>(float[1,2,4,5,19])",
            "LpPool<auto_pad=\"SAME_UPPER\", kernel_shape=[3,3], strides=[2,2]>(float[1,2,7,8])",
            "LpPool<auto_pad=\"SAME_LOWER\", kernel_shape=[2,2]>(float[1,2,7,8])",
            "LpPool<kernel_shape=[1,1100]>(float[1,1,2,1150])", "LpPool<kernel_shape=[1,1]>(float[1,1,1,1])",
            "LpPool<kernel_shape=[2,2]>(float[0,3,4,4])", NULL},
};

/* ---- norn.SumPool. */
static void grad_sum(norni_grad *c) {
    c->dx[0] = spread(c, c->dy[0]);
}

/* A convolution of each plane with ones. */
static norn_status expand_sum(norn_graph *g, const norn_node *node, norn_value **out) {
    const norni_type *x = &node->in[0]->type;
    int64_t planes[NORN_MAX_RANK] = {-1, 1};
    norni_type kernel = {.dtype = x->dtype, .rank = x->rank, .dims = {1, 1}};
    norni_pool p;
    for (int k = 2; k < x->rank; k++) {
        if (x->dims[k] <= 0 || node->out[0]->type.dims[k] <= 0)
            return norni_fail(NORN_UNSUPPORTED, "the spatial sizes are not known; bind them first");
        planes[k] = x->dims[k];
    }
    norni_pool_of(node, x, &node->out[0]->type, &p);
    for (int k = 0; k < D; k++) { /* the padding that makes the sizes fit */
        int64_t end =
            (p.w.out[k] - 1) * p.w.stride[k] + norni_window_extent(&p.w, k) - p.w.in[k] - p.w.begin[k];
        p.w.end[k] = end < 0 ? 0 : end;
        if (k >= D - p.w.rank)
            kernel.dims[k - (D - p.w.rank) + 2] = p.w.kernel[k];
    }
    const char *text = norni_window_text(g->arena, &p.w);
    if (!text)
        return norni_nomem();
    norn_value *flat = NORNI_OP2(g, node->in[0], norni_i64_const(g, x->rank, planes), "Reshape<allowzero=1>");
    norn_value *sum = NORNI_OP2(g, flat, norni_fill_const(g, &kernel, 1), "Conv<%s>", text);
    out[0] = NORNI_OP2(g, sum, norni_shape_value(g, node->out[0]), "Reshape<allowzero=1>");
    return NORN_OK;
}

static const norni_attr sum_table[] = {NORNI_POOL_ROWS, NORNI_POOL_DILATIONS(0),
                                       NORNI_POOL_FLAG(ceil_mode, 0),
                                       NORNI_A_INT(norni_pool_attrs, sum, 1, .lo = 0, .hi = 1), NORNI_A_END};

const norn_op norni_op_SumPool = {
    .domain = "norn",
    .name = "SumPool",
    .versions = (const int[]){1, 0},
    .doc = "the sum of each window over 1 to 3 spatial dimensions",
    .inputs = (const norni_param[]){{"X", 0, NORNI_FLOATS, 'T'}, {0}},
    .outputs = (const norni_param[]){{"Y", 0, NORNI_FLOATS, 'T'}, {0}},
    .attrs_bytes = sizeof(norni_pool_attrs),
    .attrs = sum_table,
    .infer = infer,
    .grad = grad_sum,
    .expand = expand_sum,
    .eval = eval,
    .impls = impls,
    .cost = norni_pool_cost,
    .cases =
        (const char *const[]){
            "norn.SumPool<kernel_shape=[3,2], strides=[2,2], pads=[1,0,2,1]>(float[2,3,9,37])",
            "norn.SumPool<kernel_shape=[3], strides=[3], ceil_mode=1>(float[2,3,40])",
            "norn.SumPool<kernel_shape=[2,3], dilations=[3,2], strides=[1,4]>(float[1,2,9,33])",
            "norn.SumPool<auto_pad=\"SAME_LOWER\", kernel_shape=[2,2]>(float[1,2,7,8])",
            "norn.SumPool<kernel_shape=[2,2]>(float[0,3,4,4])", NULL},
    .untested_attrs = "sum", /* what it is; 0 stands for LpPool */
};

/* ---- GlobalLpPool. */
typedef struct {
    int64_t p;
} global_attrs;
static const norni_attr global_table[] = {NORNI_A_INT(global_attrs, p, 2, .lo = 1, .hi = 1 << 20),
                                          NORNI_A_END};

static norn_status infer_global(norni_infer *c) {
    const norni_type *x = norni_in_type(c, 0);
    if (x->rank < 0)
        return NORN_OK;
    if (x->rank < 2)
        return norni_fail(NORN_SHAPE, "X has rank %d (wanted 2 or more: batch, channels, spatial sizes)",
                          x->rank);
    c->out[0] = *x;
    for (int i = 2; i < x->rank; i++)
        c->out[0].dims[i] = 1;
    return NORN_OK;
}

static norn_status eval_global(norni_eval *e) {
    const norn_tensor *x = e->in[0];
    double p = (double)((const global_attrs *)e->attrs)->p;
    int64_t planes = norni_tensor_elems(e->out[0]), n = norni_elems(x->rank - 2, x->dims + 2);
    for (int64_t k = 0; k < planes; k++) {
        double sum = 0;
        for (int64_t i = 0; i < n; i++)
            sum += pow(fabs(norni_get_double(x->dtype, norni_tensor_data(x), k * n + i)), p);
        norni_set_double(x->dtype, norni_tensor_data(e->out[0]), k, pow(sum, 1 / p));
    }
    return NORN_OK;
}

static norn_status expand_global(norn_graph *g, const norn_node *node, norn_value **out) {
    norn_value *x = node->in[0];
    int64_t axes[NORN_MAX_RANK], p = ((const global_attrs *)node->attrs)->p;
    int n = x->type.rank - 2;
    if (n < 0)
        return norni_fail(NORN_UNSUPPORTED, "the rank is not known");
    for (int i = 0; i < n; i++)
        axes[i] = i + 2;
    if (!n)
        out[0] = NORNI_OP1(g, x, "Abs");
    else if (p <= 2)
        out[0] = NORNI_OP2(g, x, norni_i64_const(g, n, axes), p == 1 ? "ReduceL1" : "ReduceL2");
    else {
        norn_value *power = norni_scalar_const(g, x->type.dtype, (double)p);
        norn_value *sum = NORNI_OP2(g, NORNI_OP2(g, NORNI_OP1(g, x, "Abs"), power, "Pow"),
                                    norni_i64_const(g, n, axes), "ReduceSum");
        norn_value *root = norni_scalar_const(g, x->type.dtype, 1 / (double)p);
        static const char *const names[] = {"s", "r"}; /* the root has no slope at 0 */
        out[0] = norni_formula(g, "where(s == 0, s, pow(where(s == 0, 1, s), r))", 2, names,
                               (norn_value *[]){sum, root});
    }
    return NORN_OK;
}

const norn_op norni_op_GlobalLpPool = {
    .domain = "",
    .name = "GlobalLpPool",
    .versions = (const int[]){2, 22, 0},
    .doc = "the p-norm of each plane",
    .inputs = (const norni_param[]){{"X", 0, NORNI_FLOATS, 'T'}, {0}},
    .outputs = (const norni_param[]){{"Y", 0, NORNI_FLOATS, 'T'}, {0}},
    .attrs_bytes = sizeof(global_attrs),
    .attrs = global_table,
    .infer = infer_global,
    .expand = expand_global,
    .eval = eval_global,
    .cases = (const char *const[]){"GlobalLpPool(float[2,3,5,7])", "GlobalLpPool<p=1>(float[1,2,9])",
                                   "GlobalLpPool<p=3>(float[2,3,4,5,2])", "GlobalLpPool(float[3,4])",
                                   "GlobalLpPool<p=4>(float[1,1,1,1])", "GlobalLpPool(float[0,3,4,4])", NULL},
};
