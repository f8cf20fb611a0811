/* SPDX-License-Identifier: Apache-2.0 */
/* Resize: axis by axis, output place i shows the input around place x(i): with scale s, sizes n and m, m' = s n,
 *
 *     half_pixel (i + 0.5) / s - 0.5             asymmetric i / s           align_corners i (n - 1) / (m' - 1)
 *     half_pixel_symmetric  half_pixel's + (n / 2) (1 - m / m')            tf_half_pixel_for_nn (i + 0.5) / s
 *     pytorch_half_pixel    half_pixel's; 0 for m' = 1
 *     tf_crop_and_resize    a (n - 1) + i (b - a) (n - 1) / (m' - 1); (a + b) / 2 (n - 1) for m' = 1
 *
 * and takes the nearest element, or the sum of the 2 (linear) or 4 (cubic, after Keys 1981) around x with weights that
 * only depend on the distance; antialias widens the weights to the distance of output places where there are fewer of
 * them. What lies outside is the edge element. Upsample is the form before opset 10: asymmetric, nearest by floor.
 * Sources: ONNX Resize-19 and its reference implementation, Upsample-9. */
#include "ops/interpolate.h"
#include <math.h>
#include <string.h>

enum { NEAREST, LINEAR, CUBIC };
static const char *const modes[] = {"nearest", "linear", "cubic", NULL};
enum { HALF_PIXEL, SYMMETRIC, PYTORCH, ALIGN, ASYMMETRIC, TF_CROP, TF_HALF };
static const char *const places[] = {
    "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel",   "align_corners",
    "asymmetric", "tf_crop_and_resize",   "tf_half_pixel_for_nn", NULL};
enum { PREFER_FLOOR, PREFER_CEIL, FLOOR, CEIL };
static const char *const roundings[] = {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil", NULL};
enum { STRETCH, NOT_LARGER, NOT_SMALLER };
static const char *const policies[] = {"stretch", "not_larger", "not_smaller", NULL};

typedef struct {
    int mode, coordinate_transformation_mode, nearest_mode, keep_aspect_ratio_policy;
    float cubic_coeff_a, extrapolation_value;
    int64_t exclude_outside, antialias;
    norni_ints axes;
} attrs;
static const norni_attr table[] = {
    NORNI_A_ENUM(attrs, mode, modes, NEAREST),
    NORNI_A_ENUM(attrs, coordinate_transformation_mode, places, HALF_PIXEL, .since = 11),
    NORNI_A_ENUM(attrs, nearest_mode, roundings, PREFER_FLOOR, .since = 11),
    NORNI_A_FLOAT(attrs, cubic_coeff_a, -0.75f, .since = 11),
    NORNI_A_INT(attrs, exclude_outside, 0, .lo = 0, .hi = 1, .since = 11),
    NORNI_A_FLOAT(attrs, extrapolation_value, 0, .since = 11),
    NORNI_A_INT(attrs, antialias, 0, .lo = 0, .hi = 1, .since = 18),
    NORNI_A_INTS(attrs, axes, .since = 18),
    NORNI_A_ENUM(attrs, keep_aspect_ratio_policy, policies, STRETCH, .since = 18),
    NORNI_A_END};

enum { X, ROI, SCALES, SIZES };

/* An input that is there and not empty; *unknown when its size is not known yet. */
static bool given(const norn_node *node, int i) {
    const norn_value *v = i < node->n_in ? node->in[i] : NULL;
    return v && !(norni_type_static(&v->type) && norni_type_elems(&v->type) == 0);
}

/* ---- What is resized, and how. */
typedef struct {
    bool used;
    norni_dim out;
    double scale; /* NAN: not known */
    double roi[2];
} axis_plan;

static bool floats_of(const norn_value *v, double *out, int n) {
    if (!norni_is_const(v) || norni_tensor_elems(v->data) != n)
        return false;
    for (int i = 0; i < n; i++)
        out[i] = norni_get_double(v->type.dtype, norni_tensor_data(v->data), i);
    return true;
}

/* floor(n * scale), where n has a name: for scales that are a quotient of small numbers. */
static norni_dim scaled(norn_graph *g, norni_dim n, double scale) {
    if (n >= 0)
        return (int64_t)floorf((float)n * (float)scale);
    for (int q = 1; q <= 64; q++) {
        double p = nearbyint(scale * q);
        if (p >= 1 && (float)(p / q) == (float)scale)
            return norni_dim_div(g, norni_dim_mul(g, n, norni_dim_of(g, (int64_t)p)), q);
    }
    return norni_dim_fresh(g);
}

static norn_status check_vector(const norn_value *v, const char *name, int64_t want) {
    if (v->type.rank > 1 || (v->type.rank == 1 && v->type.dims[0] >= 0 && v->type.dims[0] != want) ||
        (v->type.rank == 0 && want != 1))
        return norni_fail(NORN_SHAPE, "%s has rank %d, %lld elements (wanted a vector of %lld)", name,
                          v->type.rank, (long long)(v->type.rank == 1 ? v->type.dims[0] : 1),
                          (long long)want);
    return NORN_OK;
}

static norn_status check_scale(double s) {
    return s > 0 && s < 1e9 ? NORN_OK : norni_fail(NORN_ARG, "scale %g (wanted above 0 and below 1e9)", s);
}

/* Sizes and scales of the axes; sizes that are not known yet become new ones. */
static norn_status plan_axes(const norn_node *node, axis_plan *p, bool *known) {
    const attrs *a = node->attrs;
    const norni_type *x = &node->in[X]->type;
    norn_graph *g = node->graph;
    int rank = x->rank, n = a->axes.n >= 0 ? a->axes.n : rank, axes[NORN_MAX_RANK], n_known;
    double scales[NORN_MAX_RANK], roi[2 * NORN_MAX_RANK];
    bool with_scales = given(node, SCALES), with_sizes = given(node, SIZES),
         crop = a->coordinate_transformation_mode == TF_CROP;
    *known = true;
    for (int i = 0; i < rank; i++)
        p[i] = (axis_plan){.out = x->dims[i], .scale = 1, .roi = {0, 1}};
    if (n > rank)
        return norni_fail(NORN_SHAPE, "%d axes for rank %d", n, rank);
    for (int i = 0; i < n; i++) {
        axes[i] = i;
        if (a->axes.n >= 0)
            NORNI_TRY(norni_axis(a->axes.v[i], rank, &axes[i]));
        if (p[axes[i]].used)
            return norni_fail(NORN_ARG, "axis %d is given twice", axes[i]);
        p[axes[i]].used = true;
    }
    if (with_scales && with_sizes && norni_type_static(&node->in[SCALES]->type) &&
        norni_type_static(&node->in[SIZES]->type))
        return norni_fail(NORN_ARG, "both scales and sizes are given (wanted one of them)");
    if (!with_scales && !with_sizes && n)
        return norni_fail(NORN_ARG, "neither scales nor sizes are given");
    if (crop && given(node, ROI)) {
        NORNI_TRY(check_vector(node->in[ROI], "roi", 2 * n));
        *known &= floats_of(node->in[ROI], roi, 2 * n);
        for (int i = 0; *known && i < n; i++) {
            p[axes[i]].roi[0] = roi[i];
            p[axes[i]].roi[1] = roi[n + i];
        }
    } else if (crop)
        return norni_fail(NORN_ARG, "coordinate_transformation_mode tf_crop_and_resize without roi");
    if (!with_sizes && n) {
        NORNI_TRY(check_vector(node->in[SCALES], "scales", n));
        bool read = floats_of(node->in[SCALES], scales, n);
        *known &= read;
        for (int i = 0; i < n; i++) {
            axis_plan *q = &p[axes[i]];
            if (read)
                NORNI_TRY(check_scale(scales[i]));
            q->scale = read ? scales[i] : (double)NAN;
            q->out = !read ? norni_dim_fresh(g) : q->scale == 1 ? q->out : scaled(g, q->out, scales[i]);
        }
        return NORN_OK;
    }
    if (!n)
        return NORN_OK;
    NORNI_TRY(check_vector(node->in[SIZES], "sizes", n));
    const norni_dim *d = norni_value_known(node->in[SIZES], &n_known);
    double least = INFINITY, most = 0;
    bool stretch = a->keep_aspect_ratio_policy == STRETCH, all = d != NULL;
    for (int i = 0; i < n; i++) {
        axis_plan *q = &p[axes[i]];
        int64_t number;
        norni_dim in = q->out;
        q->out = d ? d[i] : norni_dim_fresh(g);
        q->scale = q->out >= 0 && in > 0 ? (double)q->out / (double)in : q->out == in ? 1 : (double)NAN;
        all &= q->out >= 0 && in > 0;
        if (norni_dim_number(g, q->out, &number) && number < 0)
            return norni_fail(NORN_ARG, "size %lld (wanted at least 0)", (long long)number);
        least = fmin(least, q->scale);
        most = fmax(most, q->scale);
    }
    *known &= d != NULL;
    for (int i = 0; !stretch && i < n; i++) {
        axis_plan *q = &p[axes[i]];
        int64_t in = x->dims[axes[i]];
        q->scale = !all ? (double)NAN : a->keep_aspect_ratio_policy == NOT_LARGER ? least : most;
        q->out = all ? (int64_t)(q->scale * (double)in + 0.5) : norni_dim_fresh(g);
    }
    return NORN_OK;
}

static norn_status infer(norni_infer *c) {
    const attrs *a = c->attrs;
    axis_plan p[NORN_MAX_RANK];
    bool known;
    if (!norni_in_ranked(c, 1))
        return NORN_OK;
    if (a->antialias && a->mode == NEAREST)
        return norni_fail(NORN_ARG, "antialias with mode nearest (wanted linear or cubic)");
    NORNI_TRY(plan_axes(c->node, p, &known));
    c->out[0] = *norni_in_type(c, X);
    for (int i = 0; i < c->out[0].rank; i++)
        c->out[0].dims[i] = p[i].out;
    return NORN_OK;
}

/* ---- The tables of an axis. */
/* x(i). The nearest element hangs on the rounding of the last bit: there, as elsewhere, in single precision. */
#define PLACE(F, name)                                                                                       \
    static double name(const attrs *a, const axis_plan *p, int64_t n, int64_t i) {                           \
        F s = (F)p->scale, x = (F)i, half = (F)0.5, in = (F)n, wide = s * in, r0 = (F)p->roi[0],             \
          r1 = (F)p->roi[1];                                                                                 \
        switch (a->coordinate_transformation_mode) {                                                         \
        case ALIGN:                                                                                          \
            return (double)(wide == 1 ? 0 : x * (in - 1) / (wide - 1));                                      \
        case ASYMMETRIC:                                                                                     \
            return (double)(x / s);                                                                          \
        case TF_HALF:                                                                                        \
            return (double)((x + half) / s);                                                                 \
        case TF_CROP:                                                                                        \
            return (double)(wide == 1 ? half * (r0 + r1) * (in - 1)                                          \
                                      : r0 * (in - 1) + x * (r1 - r0) * (in - 1) / (wide - 1));              \
        case PYTORCH:                                                                                        \
            return (double)(wide == 1 ? 0 : (x + half) / s - half);                                          \
        case SYMMETRIC:                                                                                      \
            return (double)(in / 2 * (1 - (F)p->out / wide) + (x + half) / s - half);                        \
        default:                                                                                             \
            return (double)((x + half) / s - half);                                                          \
        }                                                                                                    \
    }
PLACE(float, place_single)
PLACE(double, place_double)

static int64_t nearest(const attrs *a, double x) {
    return (int64_t)(a->nearest_mode == FLOOR         ? floor(x)
                     : a->nearest_mode == CEIL        ? ceil(x)
                     : a->nearest_mode == PREFER_CEIL ? floor(x + 0.5)
                                                      : ceil(x - 0.5));
}

/* The weight of an element at distance d. */
static double weight_at(const attrs *a, double d) {
    double k = (double)a->cubic_coeff_a;
    d = fabs(d);
    if (a->mode == LINEAR)
        return d < 1 ? 1 - d : 0;
    return d <= 1  ? ((k + 2) * d - (k + 3)) * d * d + 1
           : d < 2 ? ((k * d - 5 * k) * d + 8 * k) * d - 4 * k
                   : 0;
}

static norn_status make_taps(const attrs *a, const axis_plan *p, int64_t n, norni_taps *t) {
    int64_t reach = a->mode == LINEAR ? 1 : 2, m = p->out;
    double shrink = a->antialias && p->scale < 1 ? p->scale : 1;
    if (shrink < 1)
        reach = (int64_t)ceil((double)reach / shrink);
    if (a->mode == NEAREST)
        reach = 0;
    NORNI_TRY(norni_taps_alloc(reach ? 2 * reach : 1, m, reach > 0, t));
    for (int64_t i = 0; i < m; i++) {
        if (a->mode == NEAREST) {
            int64_t at = nearest(a, place_single(a, p, n, i));
            t->index[i] = (int32_t)(at < 0 ? 0 : at >= n ? n - 1 : at);
            continue;
        }
        double x = place_double(a, p, n, i), sum = 0;
        x = x < -1e9 ? -1e9 : x > 1e9 ? 1e9 : x;
        int64_t first = (int64_t)floor(x) - reach + 1;
        for (int64_t k = 0; k < 2 * reach; k++) {
            int64_t at = first + k, to = k * m + i;
            double w = weight_at(a, ((double)at - x) * shrink);
            bool outside = at < 0 || at >= n;
            if (outside && a->exclude_outside)
                w = 0;
            t->index[to] = w == 0 ? -1 : (int32_t)(at < 0 ? 0 : at >= n ? n - 1 : at);
            t->weight[to] = w;
            sum += w;
        }
        for (int64_t k = 0; k < 2 * reach && (a->exclude_outside || shrink < 1); k++)
            t->weight[k * m + i] /= sum != 0 ? sum : 1;
    }
    return NORN_OK;
}

/* Where the axis shows places outside, an extrapolation_value stands. */
static norn_value *extrapolate(norn_graph *g, norn_value *y, const attrs *a, const axis_plan *p, int axis,
                               int64_t n) {
    norn_tensor *mask;
    int rank = y ? y->type.rank : 0;
    int64_t dims[NORN_MAX_RANK];
    bool any = false;
    if (!y)
        return NULL;
    for (int i = axis; i < rank; i++)
        dims[i - axis] = i == axis ? p->out : 1;
    norn_status s = norni_tensor_host(NORN_BOOL, rank - axis, dims, &mask);
    if (s != NORN_OK)
        return norni_graph_failed(g, s);
    for (int64_t i = 0; i < p->out; i++) {
        double x = place_single(a, p, n, i);
        bool outside = x < 0 || x > (double)(n - 1);
        norni_set_int(NORN_BOOL, norni_tensor_data(mask), i, outside);
        any |= outside;
    }
    if (!any) {
        norn_tensor_free(mask);
        return y;
    }
    return NORNI_OP3(g, norni_value_const(g, NULL, mask),
                     norni_scalar_const(g, y->type.dtype, (double)a->extrapolation_value), y, "Where");
}

static bool trivial(const attrs *a, const axis_plan *p, int64_t n) {
    bool crop = a->coordinate_transformation_mode == TF_CROP;
    return !p->used ||
           (p->out == n && fabs(p->scale - 1) < 1e-9 && (!crop || (p->roi[0] == 0 && p->roi[1] == 1)));
}

/* The range and rounding of integers: to the nearest, as the reference implementation does. */
static norn_value *to_integer(norn_graph *g, norn_value *y, norn_dtype t) {
    int bits = norni_dtype_bits(t);
    bool is_signed = norni_dtype_class(t) == NORNI_CLASS_INT;
    double high = ldexp(1, is_signed ? bits - 1 : bits) - 1, low = is_signed ? -high - 1 : 0;
    y = NORNI_OP1(g, y, "Round");
    if (y && bits < 64)
        y = NORNI_OP3(g, y, norni_scalar_const(g, y->type.dtype, low),
                      norni_scalar_const(g, y->type.dtype, high), "Clip");
    return norni_cast(g, y, t);
}

static norn_status expand(norn_graph *g, const norn_node *node, norn_value **out) {
    const attrs *a = node->attrs;
    const norni_type *x = &node->in[X]->type;
    norn_dtype t = x->dtype, compute = norni_compute_dtype(t);
    axis_plan p[NORN_MAX_RANK];
    bool known = false;
    if (x->rank >= 0)
        NORNI_TRY(plan_axes(node, p, &known));
    for (int i = 0; known && i < x->rank; i++)
        known =
            !p[i].used || (p[i].out >= 0 && x->dims[i] >= 0) || (p[i].out == x->dims[i] && p[i].scale == 1);
    if (!known)
        return norni_fail(NORN_UNSUPPORTED, "Resize: the sizes are not known; bind the sizes first");
    if (!norni_dtype_is_float(t))
        compute = norni_dtype_bits(t) > 16 ? NORN_F64 : NORN_F32;
    if (a->mode == NEAREST)
        compute = t;
    norn_value *y = norni_cast(g, node->in[X], compute);
    /* Axes that shrink first, from the outermost; then those that grow, the innermost first, while there is least to
     * do along it. */
    for (int turn = 0; turn < 2 * x->rank; turn++) {
        bool growing = turn >= x->rank;
        int axis = growing ? 2 * x->rank - 1 - turn : turn;
        int64_t n = x->dims[axis];
        norni_taps taps;
        if (n < 0 || growing != (p[axis].out >= n) || trivial(a, &p[axis], n))
            continue;
        if (n == 0 && p[axis].out > 0)
            return norni_fail(NORN_SHAPE, "Resize: axis %d has size 0, which cannot grow", axis);
        NORNI_TRY(make_taps(a, &p[axis], n, &taps));
        y = norni_interpolate(g, y, axis, &taps);
        norni_taps_free(&taps);
    }
    for (int i = 0; i < x->rank && a->coordinate_transformation_mode == TF_CROP; i++)
        if (!trivial(a, &p[i], x->dims[i]))
            y = extrapolate(g, y, a, &p[i], i, x->dims[i]);
    out[0] = compute == t ? y : norni_dtype_is_float(t) ? norni_cast(g, y, t) : to_integer(g, y, t);
    if (out[0] == node->in[X]) /* nothing to do is a node all the same */
        out[0] = NORNI_OP1(g, out[0], "Identity");
    return norn_graph_status(g);
}

/* ---- Old forms. */
static norn_status raise(norni_adapt *a) {
    attrs *at = a->node->attrs;
    if (a->version >= 11)
        return NORN_OK;
    if (at->mode == CUBIC)
        return norni_fail(NORN_ARG, "mode cubic in opset %d (it is new in opset 11)", a->version);
    at->coordinate_transformation_mode = ASYMMETRIC;
    at->nearest_mode = FLOOR;
    if (a->node->n_in == 2) {
        a->node->in[SCALES] = a->node->in[1];
        a->node->in[ROI] = NULL;
        a->node->n_in = 3;
    }
    return NORN_OK;
}

static norn_status lower(norni_adapt *a) {
    norn_node *node = a->node;
    attrs *at = node->attrs;
    axis_plan p[NORN_MAX_RANK];
    bool known, plain = at->keep_aspect_ratio_policy == STRETCH && !at->antialias && at->axes.n < 0;
    if (a->version >= 19 || (a->version >= 18 && at->coordinate_transformation_mode != SYMMETRIC))
        return NORN_OK;
    if (a->version >= 13 && at->coordinate_transformation_mode == TF_HALF)
        return norni_fail(NORN_UNSUPPORTED, "tf_half_pixel_for_nn was taken away in opset 13");
    bool old = a->version < 11 && (at->coordinate_transformation_mode != ASYMMETRIC || at->mode == CUBIC ||
                                   (at->mode == NEAREST && at->nearest_mode != FLOOR));
    if (a->version < 19 && (at->coordinate_transformation_mode == SYMMETRIC || !plain || old ||
                            (a->version < 11 && !given(node, SCALES)))) {
        a->replaced = true;
        return expand(a->g, node, a->out);
    }
    NORNI_TRY(plan_axes(node, p, &known));
    if (a->version < 11) {
        node->in[1] = node->in[SCALES];
        node->n_in = 2;
        return NORN_OK;
    }
    /* roi and scales are not optional before opset 13; empty ones stand for none. */
    norni_type none = {.dtype = NORN_F32, .rank = 1, .dims = {0}};
    for (int i = ROI; i <= SCALES && a->version < 13; i++)
        if (i >= node->n_in || !node->in[i]) {
            node->in[i] = norni_fill_const(a->g, &none, 0);
            node->n_in = node->n_in > i ? node->n_in : i + 1;
        }
    return norn_graph_status(a->g);
}

const norn_op norni_op_Resize = {
    .domain = "",
    .name = "Resize",
    .versions = (const int[]){10, 11, 13, 18, 19, 0},
    .doc = "another size, by the nearest element or by linear or cubic interpolation, axis by axis",
    .inputs = (const norni_param[]){{"X", 0, NORNI_ANY, 'T'},
                                    {"roi", NORNI_OPT | NORNI_NODIFF | NORNI_HOST,
                                     NORNI_FLOATS & ~NORNI_T(NORN_BF16), 0},
                                    {"scales", NORNI_OPT | NORNI_NODIFF | NORNI_HOST, NORNI_T(NORN_F32), 0},
                                    {"sizes", NORNI_OPT | NORNI_NODIFF | NORNI_HOST, NORNI_T(NORN_I64), 0},
                                    {0}},
    .outputs = (const norni_param[]){{"Y", 0, NORNI_ANY, 'T'}, {0}},
    .attrs_bytes = sizeof(attrs),
    .attrs = table,
    .raise = raise,
    .lower = lower,
    .infer = infer,
    .expand = expand,
    .cases =
        (const char *const[]){
            "Resize(float[1,2,3,5], _, float[4]{1.0,1.0,2.0,2.0})",
            "Resize<mode=\"linear\">(float[1,2,3,5], _, float[4]{1.0,1.0,2.0,1.5})",
            "Resize<mode=\"linear\", coordinate_transformation_mode=\"align_corners\">(float[1,2,7,19], _, "
            "_, "
            "int64[4]{1,2,3,40})",
            "Resize<mode=\"cubic\">(float[1,2,4,5], _, float[4]{1.0,1.0,1.7,2.0})",
            "Resize<mode=\"cubic\", cubic_coeff_a=-0.5, exclude_outside=1>(float[1,1,4,5], _, "
            "float[4]{1.0,1.0,0.8,2.0})",
            "Resize<mode=\"linear\", antialias=1>(float[1,2,9,20], _, _, int64[4]{1,2,4,7})",
            "Resize<mode=\"cubic\", antialias=1, axes=[3,2]>(float[1,1,9,20], _, float[2]{0.4,0.7})",
            "Resize<mode=\"linear\", coordinate_transformation_mode=\"tf_crop_and_resize\", "
            "extrapolation_value=10.0>("
            "float[1,1,4,5], float[8]{0.0,0.0,0.4,-0.2,1.0,1.0,1.2,0.7}, _, int64[4]{1,1,3,3})",
            "Resize<coordinate_transformation_mode=\"tf_crop_and_resize\", axes=[-2,-1]>(float[1,1,4,5], "
            "float[4]{0.1,-0.2,1.2,0.7}, _, int64[2]{6,3})",
            "Resize<mode=\"linear\", "
            "coordinate_transformation_mode=\"half_pixel_symmetric\">(float[1,1,4,7], _, "
            "float[4]{1.0,1.0,0.6,2.3})",
            "Resize<mode=\"linear\", coordinate_transformation_mode=\"pytorch_half_pixel\">(float[1,1,4,7], "
            "_, _, "
            "int64[4]{1,1,1,3})",
            "Resize<nearest_mode=\"ceil\", coordinate_transformation_mode=\"asymmetric\">(float[5,7], _, _, "
            "int64[2]{7,3})",
            "Resize<nearest_mode=\"floor\", "
            "coordinate_transformation_mode=\"tf_half_pixel_for_nn\">(float[5,7], _, _, int64[2]{7,3})",
            "Resize<nearest_mode=\"round_prefer_ceil\">(int64[5,7], _, _, int64[2]{8,20})",
            "Resize<keep_aspect_ratio_policy=\"not_larger\", axes=[2,3]>(float[1,1,4,7], _, _, "
            "int64[2]{9,9})",
            "Resize<keep_aspect_ratio_policy=\"not_smaller\", mode=\"linear\">(float[4,7], _, _, "
            "int64[2]{5,5})",
            "Resize<mode=\"linear\">(float[2,3,4,5,6], _, float[5]{1.0,1.0,2.0,0.5,1.5})",
            "Resize<mode=\"linear\">(float[1,5,6,3], _, float[4]{1.0,2.0,2.0,1.0})",
            "Resize<mode=\"linear\">(uint8[1,1,5,6], _, float[4]{1.0,1.0,2.0,2.0})",
            "Resize<mode=\"linear\">(float[0,2,4,4], _, float[4]{1.0,1.0,2.0,2.0})",
            "Resize<mode=\"cubic\">(float[2,3], float[0]{}, float[2]{1.0,1.0})",
            NULL},
};

/* ---- Upsample. */
typedef struct {
    int mode;
    norni_floats scales;
    float width_scale, height_scale;
} old_attrs;
static const norni_attr old_table[] = {
    NORNI_A_ENUM(old_attrs, mode, modes, NEAREST),
    NORNI_A(old_attrs, scales, FLOATS, .flags = NORNI_ATTR_OLD, .since = 9),
    NORNI_A(old_attrs, width_scale, FLOAT, .flags = NORNI_ATTR_OLD, .since = 7),
    NORNI_A(old_attrs, height_scale, FLOAT, .flags = NORNI_ATTR_OLD, .since = 7), NORNI_A_END};
static const norni_moved old_moved[] = {{"scales", 1, 9, NORN_F32}, {0}};

static norn_status expand_old(norn_graph *g, const norn_node *node, norn_value **out) {
    const old_attrs *a = node->attrs;
    norn_value *in[] = {node->in[0], NORNI_NONE, node->in[1]};
    out[0] = norni_opf(
        g, 3, in,
        "Resize<mode=\"%s\", coordinate_transformation_mode=\"asymmetric\", nearest_mode=\"floor\">",
        modes[a->mode]);
    return norn_graph_status(g);
}

/* A file's Upsample is a Resize from the start; opset 1 has the scales of height and width. */
static norn_status raise_old(norni_adapt *a) {
    const old_attrs *at = a->node->attrs;
    if (a->version < 7) {
        norn_tensor *t;
        const float scales[] = {1, 1, at->height_scale, at->width_scale};
        NORNI_TRY(norni_tensor_host(NORN_F32, 1, (int64_t[]){4}, &t));
        memcpy(norni_tensor_data(t), scales, sizeof scales);
        a->node->in[1] = norni_value_const(a->g, NULL, t);
        a->node->n_in = 2;
    }
    if (at->mode == CUBIC)
        return norni_fail(NORN_ARG, "mode cubic (wanted nearest or linear)");
    if (a->node->n_in < 2 || !a->node->in[1])
        return norni_fail(NORN_ARG, "scales are missing");
    a->replaced = true;
    return expand_old(a->g, a->node, a->out);
}

static norn_status infer_old(norni_infer *c) {
    const norni_type *x = norni_in_type(c, 0);
    double scales[NORN_MAX_RANK];
    if (x->rank < 0)
        return NORN_OK;
    NORNI_TRY(check_vector(c->node->in[1], "scales", x->rank));
    c->out[0] = *x;
    bool read = floats_of(c->node->in[1], scales, x->rank);
    for (int i = 0; i < x->rank; i++) {
        if (read)
            NORNI_TRY(check_scale(scales[i]));
        c->out[0].dims[i] = read ? scaled(c->g, x->dims[i], scales[i]) : norni_dim_fresh(c->g);
    }
    return NORN_OK;
}

#define OLD_TYPES (NORNI_ANY & ~NORNI_T(NORN_BF16))
const norn_op norni_op_Upsample = {
    .domain = "",
    .name = "Upsample",
    .versions = (const int[]){1, 7, 9, 10, 0},
    .doc = "what Resize was before opset 10: asymmetric places, the nearest one by floor",
    .inputs = (const norni_param[]){{"X", 0, OLD_TYPES, 'T'},
                                    {"scales", NORNI_NODIFF | NORNI_HOST, NORNI_T(NORN_F32), 0},
                                    {0}},
    .outputs = (const norni_param[]){{"Y", 0, OLD_TYPES, 'T'}, {0}},
    .attrs_bytes = sizeof(old_attrs),
    .attrs = old_table,
    .moved = old_moved,
    .raise = raise_old,
    .infer = infer_old,
    .expand = expand_old,
    .cases =
        (const char *const[]){"Upsample(float[1,2,3,5], float[4]{1.0,1.0,2.0,3.0})",
                              "Upsample<mode=\"linear\">(float[1,2,3,5], float[4]{1.0,1.0,2.0,1.5})", NULL},
};
