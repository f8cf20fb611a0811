/* SPDX-License-Identifier: Apache-2.0 */
/* MaxPool: y[n, c, o] = the largest x[n, c, o * stride + k * dilation - begin] over the kernel's elements k within x; the
 * first of equals, NaN before all. Indices names its place in x as a vector; storage_order 1 counts the spatial
 * dimensions from the other end. Source: ONNX MaxPool-22 (1, 8, 10, 11, 12 with fewer attributes and types).
 *
 * The stash Places is the place in the plane, for the gradient (ops/max_pool_grad.c). */
#include "ops/pool.h"
#include <math.h>

static const norni_attr table[] = {NORNI_POOL_ROWS, NORNI_POOL_DILATIONS(10), NORNI_POOL_FLAG(ceil_mode, 10),
                                   NORNI_POOL_FLAG(storage_order, 8), NORNI_A_END};

static norn_status infer(norni_infer *c) {
    norni_type y = c->out[0];
    NORNI_TRY(norni_pool_infer(c, &y));
    for (int k = 0; k < c->node->n_out; k++) {
        norn_dtype t = c->out[k].dtype;
        c->out[k] = y;
        c->out[k].dtype = t;
    }
    return NORN_OK;
}

/* Whichever output is there says the shape. */
static void pool_of(const norn_node *node, norni_pool *p) {
    int k = 0;
    while (k < node->n_out - 1 && !node->out[k])
        k++;
    norni_pool_of(node, &node->in[0]->type, &node->out[k]->type, p);
}

static norn_status eval(norni_eval *e) {
    const norn_tensor *x = e->in[0];
    norni_pool p;
    pool_of(e->node, &p);
    const norni_window *w = &p.w;
    int64_t in = norni_window_in(w), outs = norni_window_out(w), i = 0;
    bool columns = ((const norni_pool_attrs *)e->attrs)->storage_order;
    norn_tensor *y = e->out[0], *indices = e->n_out > 1 ? e->out[1] : NULL,
                *places = e->n_out > 2 ? e->out[2] : NULL;
    for (int64_t plane = 0; plane < p.planes && outs; plane++) {
        int64_t o[3] = {0}, k[3], first[3], n[3];
        do {
            for (int d = 0; d < 3; d++) {
                k[d] = o[d] * w->stride[d] - w->begin[d];
                n[d] = norni_pool_inside(k[d], w->kernel[d], w->dilation[d], 0, w->in[d], &first[d]);
                k[d] += first[d] * w->dilation[d];
            }
            int64_t place = -1, index = -1;
            double best = x->dtype == NORN_I8 ? INT8_MIN : x->dtype == NORN_U8 ? 0 : -INFINITY;
            for (int64_t a = 0; a < n[0] * n[1] * n[2]; a++) {
                int64_t j[3] = {k[0] + a / (n[1] * n[2]) * w->dilation[0],
                                k[1] + a / n[2] % n[1] * w->dilation[1], k[2] + a % n[2] * w->dilation[2]};
                int64_t at = (j[0] * w->in[1] + j[1]) * w->in[2] + j[2];
                double v = norni_get_double(x->dtype, norni_tensor_data(x), plane * in + at);
                if (place >= 0 && !(v > best) && !(isnan(v) && !isnan(best)))
                    continue;
                best = v;
                place = at;
                index = plane * in + (columns ? j[0] + w->in[0] * (j[1] + w->in[1] * j[2]) : at);
            }
            if (y)
                norni_set_double(y->dtype, norni_tensor_data(y), i, best);
            if (indices)
                ((int64_t *)norni_tensor_data(indices))[i] = index;
            if (places)
                ((int32_t *)norni_tensor_data(places))[i] = (int32_t)place;
            i++;
        } while (norni_pool_next(w, o));
    }
    return NORN_OK;
}

static norni_step *begin(norni_emit *e, norni_pool *p, const char *kernel) {
    const norn_node *node = e->node;
    pool_of(node, p);
    int64_t elems = p->planes * norni_window_out(&p->w);
    if (!elems)
        return NULL;
    norni_step *s = norni_emit_kernel(e, "pool.cl", kernel, p->dtype);
    norni_step_buffer(e, s, norni_emit_in(e, 0), NORNI_READ);
    norni_step_buffer(e, s,
                      node->out[0] ? norni_emit_out(e, 0)
                                   : norni_emit_scratch(e, (size_t)(elems * norni_dtype_bits(p->dtype) / 8)),
                      NORNI_WRITE);
    if (node->n_out > 2 && node->out[2]) {
        norni_step_define(e, s, "PLACES", 1);
        norni_step_buffer(e, s, norni_emit_out(e, 2), NORNI_WRITE);
    }
    if (node->n_out > 1 && node->out[1]) {
        norni_step_define(e, s, "INDICES", ((const norni_pool_attrs *)node->attrs)->storage_order ? 2 : 1);
        norni_step_buffer(e, s, norni_emit_out(e, 1), NORNI_WRITE);
    }
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

static void grad(norni_grad *c) {
    norn_graph *g = c->g;
    const norn_node *node = c->node;
    if (!c->dy[0])
        return;
    norn_value *in[] = {c->dy[0], norni_want_output(c->node, 2), norni_shape_value(g, node->in[0])};
    norn_node *made = in[1] && in[2] ? norni_apply(g, &norni_op_MaxPoolGrad, node->attrs, 3, in, 1) : NULL;
    c->dx[0] = made ? made->out[0] : NULL;
}

static const char *rows_fit(const norni_fit *f) {
    norni_pool p;
    pool_of(f->node, &p);
    return norni_pool_rows_fit(f->device, &p);
}

/* Bits that an older form cannot say were refused by their `since`; before opset 8 there was one output. */
static norn_status lower(norni_adapt *a) {
    return a->version < 8 && (a->wanted & 2) ? norni_fail(NORN_UNSUPPORTED, "Indices are new in opset 8")
                                             : NORN_OK;
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

#define TYPES (NORNI_FLOATS | NORNI_T(NORN_I8) | NORNI_T(NORN_U8))

const norn_op norni_op_MaxPool = {
    .domain = "",
    .name = "MaxPool",
    .versions = (const int[]){1, 8, 10, 11, 12, 22, 0},
    .doc = "the largest element of each window over 1 to 3 spatial dimensions",
    .inputs = (const norni_param[]){{"X", 0, TYPES, 'T'}, {0}},
    .outputs = (const norni_param[]){{"Y", 0, TYPES, 'T'},
                                     {"Indices", NORNI_OPT | NORNI_NODIFF, NORNI_T(NORN_I64), 0},
                                     {"Places", NORNI_STASH | NORNI_NODIFF, NORNI_T(NORN_I32), 0},
                                     {0}},
    .attrs_bytes = sizeof(norni_pool_attrs),
    .attrs = table,
    .lower = lower,
    .infer = infer,
    .grad = grad,
    .eval = eval,
    .impls = impls,
    .cost = norni_pool_cost,
    .cases =
        (const char *const[]){
            "MaxPool<kernel_shape=[3,2], strides=[2,2], pads=[1,0,2,1]>(float[2,3,9,37]) => 2",
            "MaxPool<kernel_shape=[2,2], strides=[2,2]>(float[2,3,8,64])",
            "MaxPool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]>(float[1,4,56,55])",
            "MaxPool<kernel_shape=[3,3]>(float[1,2,7,9])",
            "MaxPool<kernel_shape=[1,1]>(float[1,1,1,1]) => 2",
            "MaxPool<kernel_shape=[3], strides=[3], ceil_mode=1>(float[2,3,40]) => 2",
            "MaxPool<kernel_shape=[2,2], strides=[2,3], ceil_mode=1, pads=[0,1,1,0]>(float[1,2,6,8])",
            "MaxPool<kernel_shape=[2,3], dilations=[3,2], strides=[1,4]>(float[1,2,9,33]) => 2",
            "MaxPool<kernel_shape=[2,3], storage_order=1, strides=[2,1]>(float[2,2,5,7]) => 2",
            "MaxPool<kernel_shape=[3,2,2], strides=[1,2,2], pads=[1,0,1,1,1,0], "
            "storage_order=1>(float[1,2,4,5,19]) => 2",
            "MaxPool<auto_pad=\"SAME_UPPER\", kernel_shape=[3,3], strides=[2,2]>(float[1,2,7,8])",
            "MaxPool<auto_pad=\"SAME_LOWER\", kernel_shape=[2,2]>(float[1,2,7,8])",
            "MaxPool<auto_pad=\"VALID\", kernel_shape=[3,2], strides=[3,2]>(float[1,2,7,8])",
            "MaxPool<kernel_shape=[3,3], strides=[2,1], pads=[1,1,1,1]>(int8[1,2,9,21]) => 2",
            "MaxPool<kernel_shape=[3,3], strides=[1,2]>(uint8[1,2,9,21])",
            "MaxPool<kernel_shape=[4,30], strides=[4,30]>(float[1,1,8,2000]) => 2",
            "MaxPool<kernel_shape=[2,2], strides=[1,2]>(float[1,1,3,2500])",
            "MaxPool<kernel_shape=[1,1100]>(float[1,2,2,1150])",
            "MaxPool<kernel_shape=[1,1], pads=[1,2,1,0]>(float[1,1,3,3]) => 2",
            "MaxPool<kernel_shape=[3,4], strides=[4,4]>(float[1,2,1,7]) => 2",
            "MaxPool<kernel_shape=[3,2], strides=[1,2], ceil_mode=1>(float[1,2,2,5])",
            "MaxPool<kernel_shape=[2,2]>(float[0,3,4,4]) => 2",
            NULL},
};
