/* SPDX-License-Identifier: Apache-2.0 */
/* RoiAlign: each region of interest [x1, y1, x2, y2] is cut into output_height x output_width bins; each bin is sampled at
 * sampling_ratio^2 points (0: as many as it has elements, rounded up) by linear interpolation between four elements, and y is
 * their mean; with mode "max" the largest of their four weighted elements. Samples more than one element outside count
 * as 0. half_pixel shifts the regions by -1/2. Sources: ONNX RoiAlign-22 (10 has no half_pixel); He et al., "Mask R-CNN", 2017.
 *
 *     norn.RoiAlignGrad  the transpose of the mean, as a linear map of x; with mode "max" of the choice that x leads to */
#include "ops/op.h"
#include <math.h>
#include <string.h>

enum { HALF_PIXEL, OUTPUT_HALF_PIXEL };
enum { AVG, MAX };
static const char *const coordinates[] = {"half_pixel", "output_half_pixel", NULL};
static const char *const modes[] = {"avg", "max", NULL};
typedef struct {
    int coordinate_transformation_mode, mode;
    int64_t output_height, output_width, sampling_ratio;
    float spatial_scale;
} attrs;
static const norni_attr table[] = {
    NORNI_A_ENUM(attrs, coordinate_transformation_mode, coordinates, HALF_PIXEL, .since = 16),
    NORNI_A_ENUM(attrs, mode, modes, AVG),
    NORNI_A_INT(attrs, output_height, 1, .lo = 1, .hi = INT32_MAX),
    NORNI_A_INT(attrs, output_width, 1, .lo = 1, .hi = INT32_MAX),
    NORNI_A_INT(attrs, sampling_ratio, 0, .lo = 0, .hi = INT32_MAX),
    NORNI_A_FLOAT(attrs, spatial_scale, 1),
    NORNI_A_END};

static bool transposed(const norn_node *node) {
    return *node->op->domain;
}

static norn_status infer(norni_infer *c) {
    const attrs *a = c->attrs;
    const norni_type *x = norni_in_type(c, 0), *rois = norni_in_type(c, 1), *images = norni_in_type(c, 2);
    if (x->rank >= 0 && x->rank != 4)
        return norni_fail(NORN_SHAPE, "%s has rank %d (wanted 4: batch, channels, height, width)",
                          norni_op_input(c->node->op, 0)->name, x->rank);
    if (rois->rank >= 0 && (rois->rank != 2 || (rois->dims[1] >= 0 && rois->dims[1] != 4)))
        return norni_fail(NORN_SHAPE, "rois have rank %d, %lld numbers each (wanted 2, 4: x1, y1, x2, y2)",
                          rois->rank, rois->rank == 2 ? (long long)rois->dims[1] : 0LL);
    if (images->rank >= 0 && images->rank != 1)
        return norni_fail(NORN_SHAPE, "batch_indices have rank %d (wanted 1)", images->rank);
    if (!norni_in_ranked(c, 3))
        return NORN_OK;
    if (rois->dims[0] >= 0 && images->dims[0] >= 0 && rois->dims[0] != images->dims[0])
        return norni_fail(NORN_SHAPE, "there are %lld batch_indices (wanted %lld, one a region)",
                          (long long)images->dims[0], (long long)rois->dims[0]);
    c->out[0].rank = 4;
    if (transposed(c->node)) {
        int n;
        if ((a->mode == MAX) != norni_in_has(c, 4))
            return norni_fail(NORN_ARG, "input x is %s (wanted with mode \"max\", and only then)",
                              a->mode == MAX ? "absent" : "there");
        const norni_dim *d = norni_value_known(c->node->in[3], &n);
        if (d && n != 4)
            return norni_fail(NORN_SHAPE, "the shape has %d elements (wanted 4)", n);
        for (int i = 0; i < 4; i++)
            c->out[0].dims[i] = d ? d[i] : norni_dim_fresh(c->g);
        return NORN_OK;
    }
    c->out[0].dims[0] = rois->dims[0];
    c->out[0].dims[1] = x->dims[1];
    c->out[0].dims[2] = a->output_height;
    c->out[0].dims[3] = a->output_width;
    return NORN_OK;
}

static norn_status check(const norn_node *node, int i, const norn_tensor *t) {
    int64_t n = transposed(node) ? INT64_MAX : node->in[0]->type.dims[0];
    for (int64_t r = 0; i == 2 && r < t->dims[0]; r++) {
        int64_t b = norni_get_int(t->dtype, norni_tensor_data(t), r);
        if (b < 0 || b >= n)
            return norni_fail(NORN_ARG, "batch_indices has %lld at %lld (wanted 0 to %lld)", (long long)b,
                              (long long)r, (long long)n - 1);
    }
    return NORN_OK;
}

typedef struct {
    double start, size;
    int64_t samples;
} span;

static span span_of(const attrs *a, double from, double to, int64_t bins) {
    double shift = a->coordinate_transformation_mode == HALF_PIXEL ? 0.5 : 0,
           scale = (double)a->spatial_scale;
    span s = {.start = from * scale - shift};
    s.size = to * scale - shift - s.start;
    if (!(shift > 0) && s.size < 1)
        s.size = 1;
    s.size /= (double)bins;
    s.samples = a->sampling_ratio > 0 ? a->sampling_ratio : (int64_t)ceil(s.size);
    return s;
}

static bool sample(span s, int64_t bin, int64_t k, int64_t in, int64_t at[2], double weight[2]) {
    double x = s.start + (double)bin * s.size + ((double)k + 0.5) * s.size / (double)s.samples;
    if (!(x >= -1 && x <= (double)in))
        return false;
    x = x > 0 ? x : 0;
    at[0] = (int64_t)x < in - 1 ? (int64_t)x : in - 1;
    at[1] = at[0] + 1 < in ? at[0] + 1 : in - 1;
    weight[1] = at[0] == in - 1 ? 0 : x - (double)at[0];
    weight[0] = 1 - weight[1];
    return true;
}

/* Bin b of a region: its mean or maximum over `plane`, or, back, share times the weights is added to `sum`. */
static double bin_of(const attrs *a, const double roi[4], int64_t b, int64_t h, int64_t w,
                     const double *plane, double share, double *sum) {
    span sy = span_of(a, roi[1], roi[3], a->output_height), sx = span_of(a, roi[0], roi[2], a->output_width);
    double count = sy.samples > 0 && sx.samples > 0 ? (double)(sy.samples * sx.samples) : 1, r = 0,
           best_weight = 0;
    bool largest = a->mode == MAX, first = true;
    int64_t best = 0;
    for (int64_t j = 0; j < sy.samples; j++)
        for (int64_t i = 0; i < sx.samples; i++) {
            int64_t y[2], x[2];
            double wy[2], wx[2];
            bool inside =
                sample(sy, b / a->output_width, j, h, y, wy) && sample(sx, b % a->output_width, i, w, x, wx);
            for (int k = 0; k < 4; k++) {
                int64_t at = inside ? y[k / 2] * w + x[k % 2] : 0;
                double weight = inside ? wy[k / 2] * wx[k % 2] : 0, v = plane ? weight * plane[at] : 0;
                if (largest && (first || v > r)) {
                    r = v;
                    best = at;
                    best_weight = weight;
                    first = false;
                } else if (!largest) {
                    r += v / count;
                    if (sum)
                        sum[at] += weight * share / count;
                }
            }
        }
    if (largest && sum)
        sum[best] += best_weight * share;
    return r;
}

static norn_status eval(norni_eval *e) {
    const attrs *a = e->attrs;
    bool back = transposed(e->node);
    const norn_tensor *rois = e->in[1], *images = e->in[2], *image = back ? e->out[0] : e->in[0],
                      *pooled = back ? e->in[0] : e->out[0],
                      *x = !back         ? e->in[0]
                           : e->n_in > 4 ? e->in[4]
                                         : NULL;
    int64_t h = image->dims[2], w = image->dims[3], channels = image->dims[1],
            bins = a->output_height * a->output_width;
    double *sum = norni_alloc_array((size_t)norni_tensor_elems(e->out[0]) + 1, sizeof *sum);
    double *plane = norni_alloc_array((size_t)(h * w) + 1, sizeof *plane);
    for (int64_t rc = 0; sum && plane && rc < rois->dims[0] * channels; rc++) {
        int64_t r = rc / channels, n = norni_get_int(images->dtype, norni_tensor_data(images), r);
        double v[4];
        if (n < 0 || n >= image->dims[0])
            continue;
        int64_t from = (n * channels + rc % channels) * h * w;
        for (int i = 0; i < 4; i++)
            v[i] = norni_get_double(rois->dtype, norni_tensor_data(rois), r * 4 + i);
        for (int64_t i = 0; x && i < h * w; i++)
            plane[i] = norni_get_double(x->dtype, norni_tensor_data(x), from + i);
        for (int64_t b = 0; b < bins; b++) {
            double share =
                back ? norni_get_double(pooled->dtype, norni_tensor_data(pooled), rc * bins + b) : 0;
            double y = bin_of(a, v, b, h, w, x ? plane : NULL, share, back ? sum + from : NULL);
            if (!back)
                sum[rc * bins + b] = y;
        }
    }
    for (int64_t o = 0, n = norni_tensor_elems(e->out[0]); sum && plane && o < n; o++)
        norni_set_double(e->out[0]->dtype, norni_tensor_data(e->out[0]), o, sum[o]);
    norn_status s = sum && plane ? NORN_OK : norni_nomem();
    norni_free(sum);
    norni_free(plane);
    return s;
}

static norn_status emit(norni_emit *e) {
    const norn_node *node = e->node;
    const attrs *a = node->attrs;
    bool back = transposed(node);
    const norni_type *image = back ? &node->out[0]->type : &node->in[0]->type, *rois = &node->in[1]->type;
    if (!norni_type_elems(&node->out[0]->type))
        return e->status;
    norni_step *s = norni_emit_kernel(e, "roi.cl", back ? "roi_align_grad" : "roi_align", image->dtype);
    if (a->mode == MAX)
        norni_step_define(e, s, "LARGEST", 1);
    if (a->coordinate_transformation_mode == HALF_PIXEL)
        norni_step_define(e, s, "HALF", 1);
    norni_step_buffer(e, s, norni_emit_in(e, 0), NORNI_READ);
    norni_step_buffer(e, s, norni_emit_out(e, 0), NORNI_WRITE);
    norni_step_buffer(e, s, norni_emit_in(e, 1), NORNI_READ);
    norni_step_buffer(e, s, norni_emit_in(e, 2), NORNI_READ);
    if (back && a->mode == MAX)
        norni_step_buffer(e, s, norni_emit_in(e, 4), NORNI_READ);
    for (int i = 0; i < 4; i++)
        norni_step_i64(e, s, image->dims[i]);
    norni_step_i64(e, s, rois->dims[0]);
    norni_step_i64(e, s, a->output_height);
    norni_step_i64(e, s, a->output_width);
    norni_step_real(e, s, image->dtype, (double)a->spatial_scale);
    norni_step_i64(e, s, a->sampling_ratio);
    if (back)
        norni_step_items(e, s, 1, image->dims[0] * image->dims[1], 1, 1);
    else
        norni_step_items(e, s, 2, a->output_height * a->output_width, rois->dims[0] * image->dims[1], 1);
    return e->status;
}

extern const norn_op norni_op_RoiAlign, norni_op_RoiAlignGrad;

static void grad(norni_grad *c) {
    const norn_node *node = c->node;
    bool largest = ((const attrs *)node->attrs)->mode == MAX;
    norn_value *in[] = {c->dy[0], node->in[1], node->in[2], norni_shape_value(c->g, node->in[0]),
                        node->in[0]};
    norn_node *made =
        in[3] ? norni_apply(c->g, &norni_op_RoiAlignGrad, node->attrs, largest ? 5 : 4, in, 1) : NULL;
    c->dx[0] = made ? made->out[0] : NULL;
}

static void grad_back(norni_grad *c) {
    if (((const attrs *)c->node->attrs)->mode == MAX) {
        norni_graph_failed(
            c->g, norni_fail(NORN_UNSUPPORTED, "RoiAlign with mode \"max\" has no second derivative"));
        return;
    }
    norn_value *in[] = {c->dy[0], c->node->in[1], c->node->in[2]};
    norn_node *made = norni_apply(c->g, &norni_op_RoiAlign, c->node->attrs, 3, in, 1);
    c->dx[0] = made ? made->out[0] : NULL;
}

/* Before opset 16 there was no shift. */
static norn_status raise(norni_adapt *a) {
    if (a->version < 16)
        ((attrs *)a->node->attrs)->coordinate_transformation_mode = OUTPUT_HALF_PIXEL;
    return NORN_OK;
}
static norn_status lower(norni_adapt *a) {
    attrs *at = a->node->attrs;
    if (a->version >= 16)
        return NORN_OK;
    if (at->coordinate_transformation_mode != OUTPUT_HALF_PIXEL)
        return norni_fail(NORN_UNSUPPORTED, "half_pixel is new in opset 16");
    at->coordinate_transformation_mode = HALF_PIXEL; /* the default: not written */
    return NORN_OK;
}

static const norni_impl impls[] = {{.name = "each", .emit = emit}, {0}};

const norn_op norni_op_RoiAlign = {
    .domain = "",
    .name = "RoiAlign",
    .versions = (const int[]){10, 16, 22, 0},
    .doc = "regions of interest, sampled into bins",
    .inputs = (const norni_param[]){{"X", 0, NORNI_FLOATS, 'T'},
                                    {"rois", NORNI_NODIFF, NORNI_FLOATS, 'T'},
                                    {"batch_indices", NORNI_NODIFF, NORNI_T(NORN_I64), 0},
                                    {0}},
    .outputs = (const norni_param[]){{"Y", 0, NORNI_FLOATS, 'T'}, {0}},
    .attrs_bytes = sizeof(attrs),
    .attrs = table,
    .raise = raise,
    .lower = lower,
    .infer = infer,
    .check = check,
    .grad = grad,
    .eval = eval,
    .impls = impls,
    .cases =
        (const char *const[]){"RoiAlign<output_height=2, output_width=3, sampling_ratio=2>(float[2,3,7,9], "
                              "float[3,4]{0.25,1.5,6,5.5,0,0,8,6,1.25,-3,12,5}, int64[3]{0,1,0})",
                              "RoiAlign<output_height=3, output_width=2, spatial_scale=0.5, "
                              "coordinate_transformation_mode=\"output_half_pixel\">(float[1,2,6,8], "
                              "float[2,4]{3.5,1,13,11,-4.5,-3,5,5}, "
                              "int64[2]{0,0})",
                              "RoiAlign<mode=\"max\", output_height=2, output_width=2>(float[1,2,6,8], "
                              "float[2,4]{1.25,1,6.75,5,0,0,3,3}, "
                              "int64[2]{0,0})",
                              "RoiAlign(float[1,1,1,1], float[1,4]{0,0,1,1}, int64[1]{0})",
                              "RoiAlign(float[1,2,4,4], float[1,4]{3,3,1,1}, int64[1]{0})",
                              "RoiAlign<output_width=2>(float[1,2,3,3], float[0,4], int64[0])", NULL},
};

const norn_op norni_op_RoiAlignGrad = {
    .domain = "norn",
    .name = "RoiAlignGrad",
    .versions = (const int[]){1, 0},
    .doc = "the gradient of RoiAlign: each bin's share goes back to the elements it was sampled from",
    .inputs = (const norni_param[]){{"dy", 0, NORNI_FLOATS, 'T'},
                                    {"rois", NORNI_NODIFF, NORNI_FLOATS, 'T'},
                                    {"batch_indices", NORNI_NODIFF, NORNI_T(NORN_I64), 0},
                                    {"shape", NORNI_NODIFF | NORNI_HOST, NORNI_T(NORN_I64), 0},
                                    {"x", NORNI_NODIFF | NORNI_OPT, NORNI_FLOATS, 'T'},
                                    {0}},
    .outputs = (const norni_param[]){{"dx", 0, NORNI_FLOATS, 'T'}, {0}},
    .attrs_bytes = sizeof(attrs),
    .attrs = table,
    .infer = infer,
    .check = check,
    .grad = grad_back,
    .eval = eval,
    .impls = impls,
    .cases =
        (const char *const[]){
            "norn.RoiAlignGrad<output_height=2, output_width=3, sampling_ratio=2>(float[3,3,2,3], "
            "float[3,4]{0.25,1.5,6,5.5,0,0,8,6,1.25,-3,12,5}, int64[3]{0,1,0}, int64[4]{2,3,7,9})",
            "norn.RoiAlignGrad<spatial_scale=0.5, coordinate_transformation_mode=\"output_half_pixel\">("
            "float[2,2,1,1], float[2,4]{3.5,1,13,11,-4.5,-3,5,5}, int64[2]{0,0}, int64[4]{1,2,6,8})",
            NULL},
    .untested_attrs = "mode", /* RoiAlign's own cases try its gradient; a second one there is not */
};
