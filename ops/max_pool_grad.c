/* SPDX-License-Identifier: Apache-2.0 */
/* The linear maps behind MaxPool's gradient, given the places of the maxima in their planes:
 *
 *     norn.MaxPoolGrad   dx[p, i] = sum over the outputs o with places[p, o] = i of dy[p, o]
 *     norn.MaxPoolTake   y[p, o] = x[p, places[p, o]]; 0 for places -1
 *
 * Each is the other's transpose, so that gradients of any order need no more. In ONNX: ScatterElements and
 * GatherElements over flat planes. */
#include "ops/pool.h"
#include <string.h>

static const norni_attr table[] = {NORNI_POOL_ROWS, NORNI_POOL_DILATIONS(0), NORNI_POOL_FLAG(ceil_mode, 0),
                                   NORNI_A_INT(norni_pool_attrs, storage_order, 0, .lo = 0, .hi = 1),
                                   NORNI_A_END};

static norn_status check_places(const norni_infer *c) {
    const norni_type *dy = norni_in_type(c, 0), *at = norni_in_type(c, 1);
    if (at->rank >= 0 && dy->rank >= 0 && at->rank != dy->rank)
        return norni_fail(NORN_SHAPE, "places have rank %d (wanted %d)", at->rank, dy->rank);
    return NORN_OK;
}

/* ---- norn.MaxPoolGrad. */
static norn_status infer_grad(norni_infer *c) {
    const norni_type *dy = norni_in_type(c, 0), *at = norni_in_type(c, 1);
    NORNI_TRY(check_places(c));
    for (int k = 0; k < dy->rank && at->rank == dy->rank; k++)
        if (dy->dims[k] >= 0 && at->dims[k] >= 0 && dy->dims[k] != at->dims[k])
            return norni_fail(NORN_SHAPE, "places have size %lld in dimension %d (wanted %lld, as dy)",
                              (long long)at->dims[k], k, (long long)dy->dims[k]);
    return norni_pool_infer_back(c, 2);
}

static norn_status eval_grad(norni_eval *e) {
    const norn_tensor *dy = e->in[0], *at = e->in[1];
    norn_tensor *dx = e->out[0];
    norni_pool p;
    norni_pool_of(e->node, &e->node->out[0]->type, &e->node->in[0]->type, &p);
    int64_t in = norni_window_in(&p.w), out = norni_window_out(&p.w);
    double *sum = norni_alloc_array((size_t)in + 1, sizeof *sum);
    for (int64_t plane = 0; sum && plane < p.planes; plane++) {
        memset(sum, 0, (size_t)in * sizeof *sum);
        for (int64_t o = plane * out; o < (plane + 1) * out; o++) {
            int32_t i = ((const int32_t *)norni_tensor_data(at))[o];
            if (i >= 0 && i < in)
                sum[i] += norni_get_double(dy->dtype, norni_tensor_data(dy), o);
        }
        for (int64_t i = 0; i < in; i++)
            norni_set_double(dx->dtype, norni_tensor_data(dx), plane * in + i, sum[i]);
    }
    norn_status s = sum ? NORN_OK : norni_nomem();
    norni_free(sum);
    return s;
}

static norni_step *begin_grad(norni_emit *e, norni_pool *p, const char *kernel) {
    norni_pool_of(e->node, &e->node->out[0]->type, &e->node->in[0]->type, p);
    if (!norni_type_elems(&e->node->out[0]->type))
        return NULL;
    norni_step *s = norni_emit_kernel(e, "pool_grad.cl", kernel, p->dtype);
    norni_step_buffer(e, s, norni_emit_in(e, 0), NORNI_READ);
    norni_step_buffer(e, s, norni_emit_in(e, 1), NORNI_READ);
    norni_step_buffer(e, s, norni_emit_out(e, 0), NORNI_WRITE);
    norni_pool_args(e, s, p);
    return s;
}

static const char *planes_fit(const norni_fit *f) {
    return norni_device_is_cpu(f->device) ? NULL : "for CPUs";
}

/* A work-item has some planes, or where there are few of them a strip of one. */
static norn_status emit_planes(norni_emit *e) {
    norni_pool p;
    norni_step *s = begin_grad(e, &p, "max_grad_planes");
    if (!s)
        return e->status;
    int64_t units = e->device->compute_units ? e->device->compute_units : 1, lines = p.w.in[0] * p.w.in[1];
    int64_t strips = p.planes >= units * 4 ? 1 : (units * 4 + p.planes - 1) / p.planes;
    strips = strips > lines ? lines : strips;
    int64_t strip = (lines + strips - 1) / strips, each = p.planes / (units * 8);
    strips = (lines + strip - 1) / strip;
    each = strips > 1 || each < 1 ? 1 : each;
    norni_step_i64(e, s, each);
    norni_step_i64(e, s, strip);
    norni_step_items(e, s, 2, (p.planes + each - 1) / each, strips, 1);
    return e->status;
}

static norn_status emit_gather(norni_emit *e) {
    norni_pool p;
    norni_step *s = begin_grad(e, &p, "max_grad_each");
    if (s)
        norni_step_items(e, s, 3, p.w.in[2], p.w.in[0] * p.w.in[1], p.planes);
    return e->status;
}

static void grad_of_grad(norni_grad *c) {
    norn_value *in[] = {c->dy[0], c->node->in[1]};
    if (!c->want[0])
        return;
    norn_node *made = norni_apply(c->g, &norni_op_MaxPoolTake, c->node->attrs, 2, in, 1);
    c->dx[0] = made ? made->out[0] : NULL;
}

/* Planes as lines [N * C, elements]; what has no place (-1) goes to a column of its own, which is cut off. */
static norn_value *as_lines(norn_graph *g, norn_value *v) {
    return v ? NORNI_OP2(g, v,
                         norni_i64_const(
                             g, 2, (const int64_t[]){-1, norni_elems(v->type.rank - 2, v->type.dims + 2)}),
                         "Reshape")
             : NULL;
}

static bool known_planes(const norni_type *t) {
    for (int i = 2; i < t->rank; i++)
        if (t->dims[i] <= 0)
            return false;
    return t->rank > 2;
}

static norn_value *as_indices(norn_graph *g, norn_value *places, int64_t elems) {
    norn_value *at = NORNI_OP1(g, as_lines(g, places), "Cast<to=7>");
    norn_value *none = norni_scalar_const(g, NORN_I64, 0),
               *past = norni_scalar_const(g, NORN_I64, (double)elems);
    return NORNI_OP3(g, NORNI_OP2(g, at, none, "Less"), past, at, "Where");
}

static norn_status expand_grad(norn_graph *g, const norn_node *node, norn_value **out) {
    const norni_type *x = &node->out[0]->type;
    norn_value *dy = node->in[0];
    if (!known_planes(x) || !known_planes(&dy->type))
        return norni_fail(NORN_UNSUPPORTED, "the spatial sizes are not known; bind them first");
    int64_t elems = norni_elems(x->rank - 2, x->dims + 2);
    norn_value *at = as_indices(g, node->in[1], elems), *flat = as_lines(g, dy);
    norn_value *zeros = norni_zeros(g, x->dtype, norni_shape_with(g, flat, 1, elems + 1));
    norn_value *sum = NORNI_OP3(g, zeros, at, flat, "ScatterElements<axis=1, reduction=\"add\">");
    sum = norni_part(g, sum, 1, 0, elems);
    out[0] = NORNI_OP2(g, sum, node->in[2], "Reshape");
    return NORN_OK;
}

static const norni_impl grad_impls[] = {{.name = "planes", .fits = planes_fit, .emit = emit_planes},
                                        {.name = "gather", .emit = emit_gather},
                                        {0}};

const norn_op norni_op_MaxPoolGrad = {
    .domain = "norn",
    .name = "MaxPoolGrad",
    .versions = (const int[]){1, 0},
    .doc = "the gradient of MaxPool: what arrives at the outputs goes to the places of the maxima",
    .inputs = (const norni_param[]){{"dy", 0, NORNI_FLOATS, 'T'},
                                    {"places", NORNI_NODIFF, NORNI_T(NORN_I32), 0},
                                    {"shape", NORNI_NODIFF | NORNI_HOST, NORNI_T(NORN_I64), 0},
                                    {0}},
    .outputs = (const norni_param[]){{"dx", 0, NORNI_FLOATS, 'T'}, {0}},
    .attrs_bytes = sizeof(norni_pool_attrs),
    .attrs = table,
    .infer = infer_grad,
    .grad = grad_of_grad,
    .expand = expand_grad,
    .eval = eval_grad,
    .impls = grad_impls,
    .cases =
        (const char *const[]){
            "norn.MaxPoolGrad<kernel_shape=[2,2]>(float[1,2,2,3], int32[1,2,2,3]{1,1,3,5,5,7,5,5,-1,5,6,6}, "
            "int64[4]{1,2,3,4})",
            "norn.MaxPoolGrad<kernel_shape=[2,2], strides=[2,2], ceil_mode=1, "
            "pads=[0,1,0,0]>(float[1,1,2,3], "
            "int32[1,1,2,3]{0,2,-1,8,9,11}, int64[4]{1,1,3,4})",
            "norn.MaxPoolGrad<kernel_shape=[3], dilations=[2], auto_pad=\"VALID\">(float[2,1,3], "
            "int32[2,1,3]{4,3,4,0,5,2}, "
            "int64[3]{2,1,7})",
            "norn.MaxPoolGrad<kernel_shape=[2,1]>(float[0,1,1,1], int32[0,1,1,1], int64[4]{0,1,2,1})", NULL},
    .untested_attrs = "storage_order"};

/* ---- norn.MaxPoolTake. */
static norn_status infer_take(norni_infer *c) {
    norn_dtype t = c->out[0].dtype;
    NORNI_TRY(check_places(c));
    c->out[0] = *norni_in_type(c, 1);
    c->out[0].dtype = t;
    return NORN_OK;
}

static norn_status eval_take(norni_eval *e) {
    const norn_tensor *x = e->in[0], *at = e->in[1];
    norn_tensor *y = e->out[0];
    norni_pool p;
    norni_pool_of(e->node, &e->node->in[0]->type, &e->node->out[0]->type, &p);
    int64_t in = norni_window_in(&p.w), out = norni_window_out(&p.w);
    for (int64_t o = 0; o < p.planes * out; o++) {
        int32_t i = ((const int32_t *)norni_tensor_data(at))[o];
        norni_set_double(y->dtype, norni_tensor_data(y), o,
                         i >= 0 && i < in ? norni_get_double(x->dtype, norni_tensor_data(x), o / out * in + i)
                                          : 0);
    }
    return NORN_OK;
}

static norn_status emit_take(norni_emit *e) {
    norni_pool p;
    norni_pool_of(e->node, &e->node->in[0]->type, &e->node->out[0]->type, &p);
    int64_t out = norni_window_out(&p.w), each = norni_device_is_cpu(e->device) ? 1024 : 1;
    if (!p.planes || !out)
        return e->status;
    norni_step *s = norni_emit_kernel(e, "pool_grad.cl", "max_take", p.dtype);
    norni_step_buffer(e, s, norni_emit_in(e, 0), NORNI_READ);
    norni_step_buffer(e, s, norni_emit_in(e, 1), NORNI_READ);
    norni_step_buffer(e, s, norni_emit_out(e, 0), NORNI_WRITE);
    norni_step_i64(e, s, p.planes);
    norni_step_i64(e, s, norni_window_in(&p.w));
    norni_step_i64(e, s, out);
    norni_step_i64(e, s, each);
    norni_step_items(e, s, 2, (out + each - 1) / each, p.planes, 1);
    return e->status;
}

static void grad_of_take(norni_grad *c) {
    norn_value *x = c->node->in[0];
    norn_value *in[] = {c->dy[0], c->node->in[1], norni_shape_value(c->g, x)};
    if (!c->want[0] || !in[2])
        return;
    norn_node *made = norni_apply(c->g, &norni_op_MaxPoolGrad, c->node->attrs, 3, in, 1);
    c->dx[0] = made ? made->out[0] : NULL;
}

static norn_status expand_take(norn_graph *g, const norn_node *node, norn_value **out) {
    norn_value *x = node->in[0];
    if (!known_planes(&x->type) || !known_planes(&node->out[0]->type))
        return norni_fail(NORN_UNSUPPORTED, "the spatial sizes are not known; bind them first");
    int64_t elems = norni_elems(x->type.rank - 2, x->type.dims + 2);
    norn_value *flat = as_lines(g, x), *pads = norni_i64_const(g, 4, (const int64_t[]){0, 0, 0, 1});
    norn_value *y = NORNI_OP2(g, NORNI_OP2(g, flat, pads, "Pad"), as_indices(g, node->in[1], elems),
                              "GatherElements<axis=1>");
    out[0] = NORNI_OP2(g, y, norni_shape_value(g, node->in[1]), "Reshape");
    return NORN_OK;
}

static const norni_impl take_impls[] = {{.name = "take", .emit = emit_take}, {0}};

const norn_op norni_op_MaxPoolTake = {
    .domain = "norn",
    .name = "MaxPoolTake",
    .versions = (const int[]){1, 0},
    .doc = "the elements of each plane at given places: the transpose of norn.MaxPoolGrad",
    .inputs = (const norni_param[]){{"x", 0, NORNI_FLOATS, 'T'},
                                    {"places", NORNI_NODIFF, NORNI_T(NORN_I32), 0},
                                    {0}},
    .outputs = (const norni_param[]){{"y", 0, NORNI_FLOATS, 'T'}, {0}},
    .attrs_bytes = sizeof(norni_pool_attrs),
    .attrs = table,
    .infer = infer_take,
    .grad = grad_of_take,
    .expand = expand_take,
    .eval = eval_take,
    .impls = take_impls,
    .cases =
        (const char *const[]){
            "norn.MaxPoolTake<kernel_shape=[2,2]>(float[1,2,3,4], int32[1,2,2,3]{1,1,3,5,5,7,5,5,-1,5,6,6})",
            "norn.MaxPoolTake<kernel_shape=[2,2], strides=[2,2], ceil_mode=1, "
            "pads=[0,1,0,0]>(float[1,1,3,4], "
            "int32[1,1,2,3]{0,2,-1,8,9,11})",
            "norn.MaxPoolTake<kernel_shape=[3], dilations=[2], auto_pad=\"VALID\">(float[2,1,7], "
            "int32[2,1,3]{4,3,4,0,5,2})",
            "norn.MaxPoolTake<kernel_shape=[2,1]>(float[0,1,2,1], int32[0,1,1,1])", NULL},
    .untested_attrs = "storage_order"};
