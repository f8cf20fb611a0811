/* SPDX-License-Identifier: Apache-2.0 */
/* AveragePool: the mean of each window,
 *
 *     y[n, c, o] = 1 / count(o) * sum over k of x[n, c, o * stride + k * dilation - begin]
 *
 * over the kernel's elements k within x; count(o) is how many these are, with count_include_pad together with those in the
 * padding. Source: ONNX AveragePool-22 (7, 10, 11, 19 with fewer attributes).
 *
 *     norn.AveragePoolGrad  its transpose: dx[n, c, i] = sum of dy[n, c, o] / count(o) over o * stride + k * dilation - begin = i;
 *                           with sum=1 count(o) is 1, and it is the transpose of norn.SumPool
 *
 * In ONNX: a transposed convolution of dy / count with a kernel of ones. */
#include "ops/pool.h"
#include <string.h>

enum { D = NORNI_WINDOW_DIMS };

static const norni_attr table[] = {NORNI_POOL_ROWS, NORNI_POOL_DILATIONS(19), NORNI_POOL_FLAG(ceil_mode, 10),
                                   NORNI_POOL_FLAG(count_include_pad, 7), NORNI_A_END};

static bool include_pad(const norn_node *node) {
    return ((const norni_pool_attrs *)node->attrs)->count_include_pad;
}

static double divisor(const norn_node *node, const norni_window *w, const int64_t o[D]) {
    return ((const norni_pool_attrs *)node->attrs)->sum ? 1
                                                        : (double)norni_pool_count(w, include_pad(node), o);
}

/* Adds over windows: from x to y, or, `back`, the other way round. */
static norn_status walk(const norn_node *node, const norni_pool *p, const norn_tensor *from, norn_tensor *to,
                        bool back) {
    const norni_window *w = &p->w;
    int64_t in = norni_window_in(w), out = norni_window_out(w), n_to = back ? in : out;
    double *sum = norni_alloc_array((size_t)n_to + 1, sizeof *sum);
    for (int64_t plane = 0; sum && plane < p->planes; plane++) {
        int64_t o[D] = {0}, at = 0, i[D];
        memset(sum, 0, (size_t)n_to * sizeof *sum);
        if (out)
            do {
                double count = divisor(node, w, o);
                double dy =
                    back ? norni_get_double(from->dtype, norni_tensor_data(from), plane * out + at) : 0;
                for (int64_t a = 0, taps = norni_window_taps(w); a < taps; a++) {
                    int64_t k[D] = {a / w->kernel[2] / w->kernel[1], a / w->kernel[2] % w->kernel[1],
                                    a % w->kernel[2]};
                    bool inside = true;
                    for (int d = 0; d < D; d++) {
                        i[d] = o[d] * w->stride[d] + k[d] * w->dilation[d] - w->begin[d];
                        inside &= i[d] >= 0 && i[d] < w->in[d];
                    }
                    int64_t x = (i[0] * w->in[1] + i[1]) * w->in[2] + i[2];
                    if (inside && back)
                        sum[x] += dy / count;
                    else if (inside)
                        sum[at] += norni_get_double(from->dtype, norni_tensor_data(from), plane * in + x);
                }
                if (!back)
                    sum[at] /= count;
                at++;
            } while (norni_pool_next(w, o));
        for (int64_t j = 0; j < n_to; j++)
            norni_set_double(to->dtype, norni_tensor_data(to), plane * n_to + j, sum[j]);
    }
    norn_status s = sum ? NORN_OK : norni_nomem();
    norni_free(sum);
    return s;
}

/* ---- AveragePool. */
static norn_status infer(norni_infer *c) {
    return norni_pool_infer(c, &c->out[0]);
}

static norn_status eval(norni_eval *e) {
    norni_pool p;
    norni_pool_of(e->node, &e->node->in[0]->type, &e->node->out[0]->type, &p);
    return walk(e->node, &p, e->in[0], e->out[0], false);
}

static norni_step *begin(norni_emit *e, norni_pool *p, const char *kernel) {
    norni_pool_of(e->node, &e->node->in[0]->type, &e->node->out[0]->type, p);
    if (!p->planes || !norni_window_out(&p->w))
        return NULL;
    norni_step *s = norni_emit_kernel(e, "pool.cl", kernel, p->dtype);
    norni_step_define(e, s, "AVERAGE", 1);
    if (include_pad(e->node))
        norni_step_define(e, s, "INCLUDE_PAD", 1);
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

static norn_status emit_blocked(norni_emit *e) {
    norni_pool p;
    norni_step *s = begin(e, &p, "pool_blocked");
    if (s)
        norni_pool_blocked(e, s, &p);
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

static void grad(norni_grad *c) {
    norn_value *in[] = {c->dy[0], norni_shape_value(c->g, c->node->in[0])};
    norn_node *made = in[1] ? norni_apply(c->g, &norni_op_AveragePoolGrad, c->node->attrs, 2, in, 1) : NULL;
    c->dx[0] = made ? made->out[0] : NULL;
}

static const norni_impl impls[] = {{.name = "blocked",
                                    .fits = norni_pool_blocked_fit,
                                    .emit = emit_blocked,
                                    .epilogue = true,
                                    .form = NORNI_BLOCKED,
                                    .gain = 2},
                                   {.name = "rows", .fits = rows_fit, .emit = emit_rows, .epilogue = true},
                                   {.name = "each", .emit = emit_each, .epilogue = true},
                                   {0}};

const norn_op norni_op_AveragePool = {
    .domain = "",
    .name = "AveragePool",
    .versions = (const int[]){1, 7, 10, 11, 19, 22, 0},
    .doc = "the mean of each window over 1 to 3 spatial dimensions",
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
            "AveragePool<kernel_shape=[3,2], strides=[2,2], pads=[1,0,2,1]>(float[2,3,9,37])",
            "AveragePool<kernel_shape=[3,2], strides=[2,1], pads=[1,0,2,1], "
            "count_include_pad=1>(float[2,3,9,37])",
            "AveragePool<kernel_shape=[2,2], strides=[2,2]>(float[2,3,8,64])",
            "AveragePool<kernel_shape=[3,3], pads=[1,1,1,1]>(float[1,4,13,15])",
            "AveragePool<kernel_shape=[1,1]>(float[1,1,1,1])",
            "AveragePool<kernel_shape=[7,7]>(float[2,5,7,7])",
            "AveragePool<kernel_shape=[3], strides=[3], ceil_mode=1>(float[2,3,40])",
            "AveragePool<kernel_shape=[2,3], strides=[2,3], ceil_mode=1, pads=[0,1,1,0], "
            "count_include_pad=1>(float[1,2,6,8])",
            "AveragePool<kernel_shape=[3,3], strides=[2,2], ceil_mode=1, "
            "count_include_pad=1>(float[1,2,6,8])",
            "AveragePool<kernel_shape=[2,3], dilations=[3,2], strides=[1,4], "
            "pads=[1,2,0,1]>(float[1,2,9,33])",
            "AveragePool<kernel_shape=[3,2,2], strides=[1,2,2], pads=[1,0,1,1,1,0]>(float[1,2,4,5,19])",
            "AveragePool<auto_pad=\"SAME_UPPER\", kernel_shape=[3,3], strides=[2,2]>(float[1,2,7,8])",
            "AveragePool<auto_pad=\"SAME_LOWER\", kernel_shape=[2,2], count_include_pad=1>(float[1,2,7,8])",
            "AveragePool<auto_pad=\"VALID\", kernel_shape=[3,2], strides=[3,2]>(float[1,2,7,8])",
            "AveragePool<kernel_shape=[2,2], strides=[1,2]>(float[1,1,3,2500])",
            "AveragePool<kernel_shape=[1,1100]>(float[1,2,2,1150])",
            "AveragePool<kernel_shape=[3,4], strides=[4,4], count_include_pad=1>(float[1,2,1,7])",
            "AveragePool<kernel_shape=[2,2]>(float[0,3,4,4])", NULL},
};

/* ---- norn.AveragePoolGrad. */
static norn_status infer_back(norni_infer *c) {
    return norni_pool_infer_back(c, 1);
}

static void pool_back(const norn_node *node, norni_pool *p) {
    norni_pool_of(node, &node->out[0]->type, &node->in[0]->type, p);
}

static norn_status eval_back(norni_eval *e) {
    norni_pool p;
    pool_back(e->node, &p);
    return walk(e->node, &p, e->in[0], e->out[0], true);
}

static norni_step *begin_back(norni_emit *e, norni_pool *p, const char *kernel) {
    pool_back(e->node, p);
    if (!p->planes || !norni_window_in(&p->w))
        return NULL;
    norni_step *s = norni_emit_kernel(e, "pool_grad.cl", kernel, p->dtype);
    if (include_pad(e->node))
        norni_step_define(e, s, "INCLUDE_PAD", 1);
    if (((const norni_pool_attrs *)e->node->attrs)->sum)
        norni_step_define(e, s, "PLAIN", 1);
    norni_step_buffer(e, s, norni_emit_in(e, 0), NORNI_READ);
    norni_step_buffer(e, s, norni_emit_out(e, 0), NORNI_WRITE);
    norni_pool_args(e, s, p);
    return s;
}

/* Elements of dx at a time, so that what reaches them fits into the buffer. */
static int64_t chunk_back(const norni_window *w, int width) {
    int64_t n = NORNI_POOL_BUFFER - norni_window_extent(w, 2);
    return n >= w->in[2] ? w->in[2] : n < width ? 0 : n / width * width;
}

static const char *rows_back_fit(const norni_fit *f) {
    norni_pool p;
    pool_back(f->node, &p);
    if (!norni_device_is_cpu(f->device))
        return "for CPUs";
    return chunk_back(&p.w, norni_pool_width(p.dtype, p.w.in[2])) > 0 ? NULL
                                                                      : "a window is wider than the buffer";
}

static norn_status emit_rows_back(norni_emit *e) {
    norni_pool p;
    norni_step *s = begin_back(e, &p, "mean_grad_rows");
    if (!s)
        return e->status;
    int width = norni_pool_width(p.dtype, p.w.in[2]);
    int64_t rows = p.planes * p.w.in[0] * p.w.in[1];
    int64_t each = norni_pool_rows_each(e, rows, p.w.in[2] * p.w.kernel[2]);
    norni_step_define(e, s, "W", width);
    norni_step_i64(e, s, each);
    norni_step_i64(e, s, chunk_back(&p.w, width));
    norni_step_items(e, s, 1, (rows + each - 1) / each, 1, 1);
    return e->status;
}

static norn_status emit_each_back(norni_emit *e) {
    norni_pool p;
    norni_step *s = begin_back(e, &p, "mean_grad_each");
    if (s)
        norni_step_items(e, s, 3, p.w.in[2], p.w.in[0] * p.w.in[1], p.planes);
    return e->status;
}

static void grad_back(norni_grad *c) {
    if (!c->want[0])
        return;
    norn_node *made = norni_apply(
        c->g, ((const norni_pool_attrs *)c->node->attrs)->sum ? &norni_op_SumPool : &norni_op_AveragePool,
        c->node->attrs, 1, &c->dy[0], 1);
    c->dx[0] = made ? made->out[0] : NULL;
}

static norn_status expand_back(norn_graph *g, const norn_node *node, norn_value **out) {
    const norni_type *x = &node->out[0]->type;
    norn_value *dy = node->in[0];
    int64_t planes[NORN_MAX_RANK] = {-1, 1}, ones[NORN_MAX_RANK] = {1, 1}, o[D] = {0}, rest[D], i = 0;
    norni_pool p;
    norn_tensor *inverse;
    for (int k = 2; k < x->rank; k++) {
        if (x->dims[k] <= 0 || dy->type.dims[k] <= 0)
            return norni_fail(NORN_UNSUPPORTED, "the spatial sizes are not known; bind them first");
        planes[k] = dy->type.dims[k];
    }
    pool_back(node, &p);
    ones[0] = ones[1] = 1;
    memcpy(ones + 2, planes + 2, (size_t)(x->rank - 2) * sizeof *ones);
    NORNI_TRY(norni_tensor_host(x->dtype, x->rank, ones, &inverse));
    do
        norni_set_double(x->dtype, norni_tensor_data(inverse), i++, 1 / divisor(node, &p.w, o));
    while (norni_pool_next(&p.w, o));
    norni_type kernel = {.dtype = x->dtype, .rank = x->rank, .dims = {1, 1}};
    for (int k = 0; k < D; k++) { /* the padding that makes the sizes fit */
        int64_t end =
            (p.w.out[k] - 1) * p.w.stride[k] + norni_window_extent(&p.w, k) - p.w.in[k] - p.w.begin[k];
        p.w.end[k] = end < 0 ? 0 : end;
        rest[k] = end < 0 ? -end : 0;
        if (k >= D - p.w.rank)
            kernel.dims[k - (D - p.w.rank) + 2] = p.w.kernel[k];
    }
    const char *text = norni_window_text(g->arena, &p.w), *padding = norni_window_list(g->arena, &p.w, rest);
    norn_value *share = NORNI_OP2(g, dy, norni_value_const(g, NULL, inverse), "Mul");
    if (!text || !padding)
        return norni_nomem();
    share = NORNI_OP2(g, share, norni_i64_const(g, x->rank, planes), "Reshape<allowzero=1>");
    norn_value *sum = NORNI_OP2(g, share, norni_fill_const(g, &kernel, 1),
                                "ConvTranspose<%s, output_padding=%s>", text, padding);
    out[0] = NORNI_OP2(g, sum, node->in[1], "Reshape<allowzero=1>");
    return NORN_OK;
}

static const norni_attr back_table[] = {NORNI_POOL_ROWS,
                                        NORNI_POOL_DILATIONS(0),
                                        NORNI_POOL_FLAG(ceil_mode, 0),
                                        NORNI_POOL_FLAG(count_include_pad, 0),
                                        NORNI_POOL_FLAG(sum, 0),
                                        NORNI_A_END};

static const norni_impl back_impls[] = {{.name = "rows", .fits = rows_back_fit, .emit = emit_rows_back},
                                        {.name = "each", .emit = emit_each_back},
                                        {0}};

const norn_op norni_op_AveragePoolGrad = {
    .domain = "norn",
    .name = "AveragePoolGrad",
    .versions = (const int[]){1, 0},
    .doc = "the gradient of AveragePool: each output's share goes back to its window",
    .inputs = (const norni_param[]){{"dy", 0, NORNI_FLOATS, 'T'},
                                    {"shape", NORNI_NODIFF | NORNI_HOST, NORNI_T(NORN_I64), 0},
                                    {0}},
    .outputs = (const norni_param[]){{"dx", 0, NORNI_FLOATS, 'T'}, {0}},
    .attrs_bytes = sizeof(norni_pool_attrs),
    .attrs = back_table,
    .infer = infer_back,
    .grad = grad_back,
    .expand = expand_back,
    .eval = eval_back,
    .impls = back_impls,
    .cases =
        (const char *const[]){
            "norn.AveragePoolGrad<kernel_shape=[3,2], strides=[2,2], pads=[1,0,2,1]>(float[2,3,5,19], "
            "int64[4]{2,3,9,37})",
            "norn.AveragePoolGrad<kernel_shape=[3,3], pads=[1,1,1,1], count_include_pad=1>(float[1,2,9,37], "
            "int64[4]{1,2,9,37})",
            "norn.AveragePoolGrad<kernel_shape=[2,3], strides=[2,3], ceil_mode=1, "
            "pads=[0,1,1,0]>(float[1,2,3,3], "
            "int64[4]{1,2,6,8})",
            "norn.AveragePoolGrad<kernel_shape=[2,3], dilations=[3,2], auto_pad=\"VALID\">(float[1,2,6,29], "
            "int64[4]{1,2,9,33})",
            "norn.AveragePoolGrad<kernel_shape=[3,2], strides=[2,1], sum=1, pads=[1,0,0,1]>(float[1,2,4,9], "
            "int64[4]{1,2,8,9})",
            "norn.AveragePoolGrad<kernel_shape=[2], strides=[2]>(float[1,2,1300], int64[3]{1,2,2600})",
            "norn.AveragePoolGrad<kernel_shape=[1100]>(float[1,2,51], int64[3]{1,2,1150})",
            "norn.AveragePoolGrad<kernel_shape=[2,2,1], strides=[1,3,2]>(float[1,2,2,2,3], "
            "int64[5]{1,2,3,6,5})",
            "norn.AveragePoolGrad<kernel_shape=[2,2]>(float[0,3,3,3], int64[4]{0,3,4,4})", NULL},
};
