/* SPDX-License-Identifier: Apache-2.0 */
/* MaxRoiPool: each region of interest [batch, x1, y1, x2, y2], scaled and rounded to whole elements, both ends within, is cut
 * into a grid of pooled_shape bins, from floor(i * size / bins) to before ceil((i + 1) * size / bins); y is the largest
 * element of each, 0 where a bin is empty. Sources: ONNX MaxRoiPool-22; Girshick, "Fast R-CNN", 2015.
 *
 * The stash Places is the place in the plane, -1 for an empty bin, for the gradient. */
#include "ops/op.h"
#include <math.h>
#include <string.h>

typedef struct {
    float spatial_scale;
    norni_ints pooled_shape;
} attrs;
static const norni_attr table[] = {
    NORNI_A_FLOAT(attrs, spatial_scale, 1),
    NORNI_A(attrs, pooled_shape, INTS, .flags = NORNI_ATTR_REQUIRED, .lo = 1, .hi = INT32_MAX), NORNI_A_END};

static norn_status infer(norni_infer *c) {
    const attrs *a = c->attrs;
    const norni_type *x = norni_in_type(c, 0), *rois = norni_in_type(c, 1);
    if (a->pooled_shape.n != 2)
        return norni_fail(NORN_SHAPE, "pooled_shape has %d elements (wanted 2: height, width)",
                          a->pooled_shape.n);
    if (!norni_in_ranked(c, 2))
        return NORN_OK;
    if (x->rank != 4)
        return norni_fail(NORN_SHAPE, "X has rank %d (wanted 4: batch, channels, height, width)", x->rank);
    if (rois->rank != 2 || (rois->dims[1] >= 0 && rois->dims[1] != 5))
        return norni_fail(NORN_SHAPE,
                          "rois have rank %d, %lld numbers each (wanted 2, 5: batch, x1, y1, x2, y2)",
                          rois->rank, rois->rank == 2 ? (long long)rois->dims[1] : 0LL);
    for (int k = 0; k < c->node->n_out; k++) {
        c->out[k].rank = 4;
        c->out[k].dims[0] = rois->dims[0];
        c->out[k].dims[1] = x->dims[1];
        c->out[k].dims[2] = a->pooled_shape.v[0];
        c->out[k].dims[3] = a->pooled_shape.v[1];
    }
    return NORN_OK;
}

static norn_status check(const norn_node *node, int i, const norn_tensor *t) {
    int64_t n = node->in[0]->type.dims[0];
    for (int64_t r = 0; i == 1 && r < t->dims[0]; r++) {
        double b = norni_get_double(t->dtype, norni_tensor_data(t), r * 5);
        if (!(b >= 0 && b < (double)n))
            return norni_fail(NORN_ARG, "region %lld is of image %g (wanted 0 to %lld)", (long long)r, b,
                              (long long)n - 1);
    }
    return NORN_OK;
}

/* First and last + 1 element of bin i along a dimension. */
static void bin(float from, float to, float scale, int64_t i, int64_t bins, int64_t in, int64_t *lo,
                int64_t *hi) {
    float start = roundf(from * scale), end = roundf(to * scale),
          size = fmaxf(end - start + 1, 1) / (float)bins;
    float a = floorf((float)i * size) + start, b = ceilf((float)(i + 1) * size) + start;
    *lo = (int64_t)fminf(fmaxf(a, 0), (float)in);
    *hi = (int64_t)fminf(fmaxf(b, 0), (float)in);
}

static norn_status eval(norni_eval *e) {
    const attrs *a = e->attrs;
    const norn_tensor *x = e->in[0], *rois = e->in[1];
    int64_t h = a->pooled_shape.v[0], w = a->pooled_shape.v[1], at = 0, plane = x->dims[2] * x->dims[3];
    for (int64_t r = 0; r < rois->dims[0]; r++) {
        float v[5];
        for (int i = 0; i < 5; i++)
            v[i] = (float)norni_get_double(rois->dtype, norni_tensor_data(rois), r * 5 + i);
        int64_t image = (int64_t)v[0];
        for (int64_t i = 0; i < x->dims[1] * h * w; i++, at++) {
            int64_t c = i / (h * w), y0, y1, x0, x1, place = -1;
            double best = -INFINITY;
            bin(v[2], v[4], a->spatial_scale, i / w % h, h, x->dims[2], &y0, &y1);
            bin(v[1], v[3], a->spatial_scale, i % w, w, x->dims[3], &x0, &x1);
            for (int64_t yy = y0; yy < y1 && image >= 0 && image < x->dims[0]; yy++)
                for (int64_t xx = x0; xx < x1; xx++) {
                    double u = norni_get_double(x->dtype, norni_tensor_data(x),
                                                (image * x->dims[1] + c) * plane + yy * x->dims[3] + xx);
                    if (place < 0 || u > best) {
                        best = u;
                        place = yy * x->dims[3] + xx;
                    }
                }
            if (e->out[0])
                norni_set_double(x->dtype, norni_tensor_data(e->out[0]), at, place < 0 ? 0 : best);
            if (e->n_out > 1 && e->out[1])
                ((int32_t *)norni_tensor_data(e->out[1]))[at] = (int32_t)place;
        }
    }
    return NORN_OK;
}

static norn_status emit(norni_emit *e) {
    const norn_node *node = e->node;
    const attrs *a = node->attrs;
    const norni_type *x = &node->in[0]->type, *rois = &node->in[1]->type;
    int64_t h = a->pooled_shape.v[0], w = a->pooled_shape.v[1];
    if (!rois->dims[0] || !x->dims[1])
        return e->status;
    norni_step *s = norni_emit_kernel(e, "roi.cl", "max_roi_pool", x->dtype);
    norni_step_buffer(e, s, norni_emit_in(e, 0), NORNI_READ);
    norni_step_buffer(e, s, norni_emit_in(e, 1), NORNI_READ);
    norni_step_buffer(e, s,
                      node->out[0] ? norni_emit_out(e, 0)
                                   : norni_emit_scratch(e, norni_type_bytes(&node->out[1]->type) * 2),
                      NORNI_WRITE);
    if (node->n_out > 1 && node->out[1]) {
        norni_step_define(e, s, "PLACES", 1);
        norni_step_buffer(e, s, norni_emit_out(e, 1), NORNI_WRITE);
    }
    for (int i = 0; i < 4; i++)
        norni_step_i64(e, s, x->dims[i]);
    norni_step_i64(e, s, rois->dims[0]);
    norni_step_i64(e, s, h);
    norni_step_i64(e, s, w);
    norni_step_f32(e, s, (double)a->spatial_scale);
    norni_step_items(e, s, 2, h * w, rois->dims[0] * x->dims[1], 1);
    return e->status;
}

/* What arrives goes to the places of the maxima, by their index in x as a vector; of empty bins nothing does. */
static void grad(norni_grad *c) {
    norn_graph *g = c->g;
    norn_value *x = c->node->in[0], *rois = c->node->in[1], *places = norni_want_output(c->node, 1);
    const int64_t flat[] = {-1}, column[] = {-1, 1, 1, 1}, row[] = {1, -1, 1, 1}, zero = 0;
    if (!c->dy[0] || !places)
        return;
    norn_value *none = norni_scalar_const(g, NORN_I64, 0);
    norn_value *size = norni_shape_value(g, x);
    norn_value *channels = NORNI_OP2(g, size, norni_scalar_const(g, NORN_I64, 1), "Gather");
    norn_value *plane = NORNI_OP2(g, NORNI_OP2(g, size, norni_scalar_const(g, NORN_I64, 2), "Gather"),
                                  NORNI_OP2(g, size, norni_scalar_const(g, NORN_I64, 3), "Gather"), "Mul");
    norn_value *image =
        NORNI_OP1(g, NORNI_OP2(g, rois, norni_i64_const(g, 1, &zero), "Gather<axis=1>"), "Cast<to=7>");
    image = NORNI_OP2(g, image, norni_i64_const(g, 4, column), "Reshape");
    norn_value *channel = NORNI_OP2(g, norni_counted(g, channels), norni_i64_const(g, 4, row), "Reshape");
    norn_value *at = NORNI_OP1(g, places, "Cast<to=7>"), *empty = NORNI_OP2(g, at, none, "Less");
    static const char *const names[] = {"at", "image", "channel", "channels", "plane", "empty", "zero"};
    norn_value *vars[] = {at, image, channel, channels, plane, empty, none};
    norn_value *index =
        norni_formula(g, "where(empty, zero, (image * channels + channel) * plane + at)", 7, names, vars);
    norn_value *dy = NORNI_OP3(g, empty, norni_scalar_const(g, x->type.dtype, 0), c->dy[0], "Where");
    norn_value *count = NORNI_OP1(g, x, "Size");
    norn_value *zeros =
        norni_zeros(g, x->type.dtype, NORNI_OP2(g, count, norni_i64_const(g, 1, flat), "Reshape"));
    norn_value *sum = NORNI_OP3(g, zeros, NORNI_OP2(g, index, norni_i64_const(g, 1, flat), "Reshape"),
                                NORNI_OP2(g, dy, norni_i64_const(g, 1, flat), "Reshape"),
                                "ScatterElements<reduction=\"add\">");
    c->dx[0] = NORNI_OP2(g, sum, size, "Reshape");
}

static const norni_impl impls[] = {{.name = "each", .emit = emit}, {0}};

const norn_op norni_op_MaxRoiPool = {
    .domain = "",
    .name = "MaxRoiPool",
    .versions = (const int[]){1, 22, 0},
    .doc = "the largest element of each bin of regions of interest",
    .inputs =
        (const norni_param[]){{"X", 0, NORNI_FLOATS, 'T'}, {"rois", NORNI_NODIFF, NORNI_FLOATS, 'T'}, {0}},
    .outputs = (const norni_param[]){{"Y", 0, NORNI_FLOATS, 'T'},
                                     {"Places", NORNI_STASH | NORNI_NODIFF, NORNI_T(NORN_I32), 0},
                                     {0}},
    .attrs_bytes = sizeof(attrs),
    .attrs = table,
    .infer = infer,
    .check = check,
    .grad = grad,
    .eval = eval,
    .impls = impls,
    .cases =
        (const char *const[]){
            "MaxRoiPool<pooled_shape=[2,3]>(float[2,3,7,9], float[3,5]{0,1,1,6,5,1,0,0,8,6,1,7,5,20,20})",
            "MaxRoiPool<pooled_shape=[3,2], spatial_scale=0.5>(float[1,2,6,8], "
            "float[2,5]{0,3,1,13,11,0,-4,-3,5,5})",
            "MaxRoiPool<pooled_shape=[1,1]>(float[1,1,1,1], float[1,5]{0,0,0,0,0})",
            "MaxRoiPool<pooled_shape=[2,2]>(float[1,1,3,3], float[1,5]{0,5,5,9,9})",
            "MaxRoiPool<pooled_shape=[2,2]>(float[1,2,3,3], float[0,5])", NULL},
};
