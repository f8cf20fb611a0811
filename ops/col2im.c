/* SPDX-License-Identifier: Apache-2.0 */
/* Col2Im: adds up blocks into an image; columns [N, C * K, L], K elements of a block, L blocks in lexicographic order:
 *
 *     y[n, c, i] = sum over k, o with o * stride + k * dilation - begin = i of x[n, c * K + k, o]
 *
 * Source: ONNX Col2Im-18. Up to 3 spatial dimensions.
 *
 *     norn.Im2Col  its transpose: y[n, c * K + k, o] = x[n, c, o * stride + k * dilation - begin], 0 outside x */
#include "ops/window.h"
#include <string.h>

enum { D = NORNI_WINDOW_DIMS };

typedef struct {
    norni_window_attrs window;
} attrs;
#define WINDOW_ROWS                                                                                          \
    NORNI_WINDOW_INTS(attrs, strides, 1), NORNI_WINDOW_INTS(attrs, pads, 0),                                 \
        NORNI_WINDOW_INTS(attrs, dilations, 1)
static const norni_attr col_table[] = {WINDOW_ROWS, NORNI_A_END};
static const norni_attr im_table[] = {WINDOW_ROWS,
                                      {.name = "kernel_shape",
                                       .kind = NORNI_ATTR_INTS,
                                       .offset = offsetof(attrs, window.kernel_shape),
                                       .flags = NORNI_ATTR_REQUIRED,
                                       .lo = 1,
                                       .hi = INT32_MAX},
                                      NORNI_A_END};

typedef struct {
    norn_dtype dtype;
    int64_t planes;
    norni_window w; /* from the image to the blocks */
} geometry;

static bool to_image(const norn_node *node) {
    return !*node->op->domain;
}

/* kernel: sizes of a block. */
static void blocks(const norni_window_attrs *a, norn_dtype t, const norni_type *image, const int64_t *kernel,
                   geometry *p) {
    int rank = image->rank - 2;
    int64_t out[D];
    for (int i = 0; i < rank; i++) {
        int64_t pads = a->pads.n < 0 ? 0 : a->pads.v[i] + a->pads.v[rank + i];
        int64_t extent = (kernel[i] - 1) * (a->dilations.n < 0 ? 1 : a->dilations.v[i]) + 1;
        out[i] = (image->dims[i + 2] + pads - extent) / (a->strides.n < 0 ? 1 : a->strides.v[i]) + 1;
    }
    p->dtype = t;
    p->planes = image->dims[0] * image->dims[1];
    norni_window_of(a, rank, image->dims + 2, out, kernel, &p->w);
}

static norn_status geometry_of(const norn_node *node, geometry *p) {
    const attrs *a = node->attrs;
    const norni_type *image = to_image(node) ? &node->out[0]->type : &node->in[0]->type;
    int64_t kernel[D];
    int n;
    if (!to_image(node))
        memcpy(kernel, a->window.kernel_shape.v, (size_t)a->window.kernel_shape.n * sizeof *kernel);
    else if (!norni_value_ints(node->in[2], kernel, D, &n))
        return norni_fail(NORN_UNSUPPORTED, "block_shape is not known");
    blocks(&a->window, image->dtype, image, kernel, p);
    return NORN_OK;
}

static norn_status infer_image(norni_infer *c) {
    norni_window_attrs a = ((const attrs *)c->attrs)->window;
    const norni_type *x = norni_in_type(c, 0), *shape = norni_in_type(c, 1);
    int n = 0, m = 0;
    norn_graph *g = c->g;
    norni_dim out[D], taps;
    const norni_dim *image = norni_value_known(c->node->in[1], &n),
                    *block = norni_value_known(c->node->in[2], &m);
    a.kernel_shape.n = -1;
    if (x->rank >= 0 && x->rank != 3)
        return norni_fail(NORN_SHAPE, "input has rank %d (wanted 3: batch, channels times block, blocks)",
                          x->rank);
    if (image && block && n != m)
        return norni_fail(NORN_SHAPE, "block_shape has %d elements, image_shape %d (wanted as many)", m, n);
    int rank = image ? n : block ? m : shape->rank == 1 && shape->dims[0] >= 0 ? (int)shape->dims[0] : -1;
    if (rank < 0 || x->rank < 0)
        return NORN_OK;
    if (rank < 1 || rank > D)
        return norni_fail(NORN_UNSUPPORTED, "image_shape has %d elements (wanted 1 to %d)", rank, D);
    NORNI_TRY(norni_window_check(&a, rank));
    c->out[0].rank = rank + 2;
    c->out[0].dims[0] = x->dims[0];
    c->out[0].dims[1] = norni_dim_fresh(g);
    for (int i = 0; i < rank; i++)
        c->out[0].dims[i + 2] = image ? image[i] : norni_dim_fresh(g);
    if (!block)
        return NORN_OK;
    taps = norni_dim_product(g, rank, block);
    for (int i = 0; i < rank; i++)
        if (block[i] == 0)
            return norni_fail(NORN_SHAPE, "block_shape has 0 at %d (wanted 1 or more)", i);
    if (x->dims[1] >= 0 && taps > 0 && x->dims[1] % taps)
        return norni_fail(NORN_SHAPE,
                          "dimension 1 of input is %lld (wanted a multiple of the block's %lld elements)",
                          (long long)x->dims[1], (long long)taps);
    c->out[0].dims[1] = norni_dim_div(g, x->dims[1], taps);
    if (!image)
        return NORN_OK;
    NORNI_TRY(norni_window_infer(g, &a, rank, image, block, NORNI_WINDOW_WHOLE, out));
    norni_dim all = norni_dim_product(g, rank, out);
    if (all >= 0 && x->dims[2] >= 0 && all != x->dims[2])
        return norni_fail(NORN_SHAPE, "input has %lld blocks (wanted %lld)", (long long)x->dims[2],
                          (long long)all);
    return NORN_OK;
}

static norn_status infer_columns(norni_infer *c) {
    const norni_window_attrs *a = &((const attrs *)c->attrs)->window;
    const norni_type *x = norni_in_type(c, 0);
    norni_dim out[D];
    int rank;
    if (x->rank < 0)
        return NORN_OK;
    NORNI_TRY(norni_window_rank(x, &rank));
    NORNI_TRY(norni_window_check(a, rank));
    NORNI_TRY(norni_window_infer(c->g, a, rank, x->dims + 2, a->kernel_shape.v, NORNI_WINDOW_WHOLE, out));
    c->out[0].rank = 3;
    c->out[0].dims[0] = x->dims[0];
    c->out[0].dims[1] = norni_dim_mul(c->g, x->dims[1], norni_dim_product(c->g, rank, a->kernel_shape.v));
    c->out[0].dims[2] = norni_dim_product(c->g, rank, out);
    return NORN_OK;
}

static norn_status eval(norni_eval *e) {
    geometry p;
    NORNI_TRY(geometry_of(e->node, &p));
    const norni_window *w = &p.w;
    bool back = to_image(e->node), is_float = norni_dtype_is_float(p.dtype);
    const norn_tensor *x = e->in[0];
    norn_tensor *y = e->out[0];
    int64_t in = norni_window_in(w), out = norni_window_out(w), taps = norni_window_taps(w);
    memset(norni_tensor_data(y), 0, norni_tensor_bytes(y));
    double *sum = norni_alloc_array((size_t)norni_tensor_elems(y) + 1, sizeof *sum);
    for (int64_t j = 0; sum && j < p.planes * taps * out; j++) {
        int64_t o = j % out, k = j / out % taps, plane = j / out / taps, i = 0;
        int64_t os[D] = {o / w->out[2] / w->out[1], o / w->out[2] % w->out[1], o % w->out[2]};
        int64_t ks[D] = {k / w->kernel[2] / w->kernel[1], k / w->kernel[2] % w->kernel[1], k % w->kernel[2]};
        bool inside = true;
        for (int d = 0; d < D; d++) {
            int64_t at = os[d] * w->stride[d] + ks[d] * w->dilation[d] - w->begin[d];
            inside &= at >= 0 && at < w->in[d];
            i = i * w->in[d] + at;
        }
        int64_t from = back ? j : plane * in + i, to = back ? plane * in + i : j;
        if (!inside)
            continue;
        if (is_float)
            sum[to] += norni_get_double(x->dtype, norni_tensor_data(x), from);
        else {
            int64_t v = norni_get_int(x->dtype, norni_tensor_data(x), from),
                    old = norni_get_int(y->dtype, norni_tensor_data(y), to);
            norni_set_int(y->dtype, norni_tensor_data(y), to,
                          y->dtype == NORN_BOOL ? v || old : (int64_t)((uint64_t)v + (uint64_t)old));
        }
    }
    for (int64_t j = 0, n = norni_tensor_elems(y); sum && is_float && j < n; j++)
        norni_set_double(y->dtype, norni_tensor_data(y), j, sum[j]);
    norn_status s = sum ? NORN_OK : norni_nomem();
    norni_free(sum);
    return s;
}

static norn_status emit(norni_emit *e) {
    geometry p;
    NORNI_TRY(geometry_of(e->node, &p));
    const norni_window *w = &p.w;
    bool back = to_image(e->node);
    if (!norni_type_elems(&e->node->out[0]->type))
        return e->status;
    norni_step *s = norni_emit_kernel(e, "col2im.cl", back ? "col2im" : "im2col", p.dtype);
    norni_step_buffer(e, s, norni_emit_in(e, 0), NORNI_READ);
    norni_step_buffer(e, s, norni_emit_out(e, 0), NORNI_WRITE);
    norni_step_i64(e, s, p.planes);
    norni_step_window(e, s, w, 0);
    if (back)
        norni_step_items(e, s, 2, w->in[0] * w->in[1], p.planes, 1);
    else
        norni_step_items(e, s, 3, w->out[0] * w->out[1], norni_window_taps(w), p.planes);
    return e->status;
}

/* The attributes as text, with those of `kernel` when it is not NULL. */
static const char *text_of(norni_arena *arena, const geometry *p, bool kernel) {
    const char *all = norni_window_text(arena, &p->w), *rest = all ? strstr(all, "strides=") : NULL;
    return kernel ? all : rest;
}

static void grad_image(norni_grad *c) {
    geometry p;
    norn_status s = norni_type_static(&c->node->out[0]->type)
                        ? geometry_of(c->node, &p)
                        : norni_fail(NORN_UNSUPPORTED, "the sizes are not known; bind them first");
    const char *text = s == NORN_OK ? text_of(c->g->arena, &p, true) : NULL;
    if (!text)
        norni_graph_failed(c->g, s == NORN_OK ? norni_nomem() : s);
    else
        c->dx[0] = NORNI_OP1(c->g, c->dy[0], "norn.Im2Col<%s>", text);
}

static norn_value *image_of(norn_graph *g, const geometry *p, norn_value *columns) {
    const char *text = text_of(g->arena, p, false);
    norn_value *image = norni_i64_const(g, p->w.rank, p->w.in + D - p->w.rank),
               *block = norni_i64_const(g, p->w.rank, p->w.kernel + D - p->w.rank);
    return text ? NORNI_OP3(g, columns, image, block, "Col2Im<%s>", text)
                : norni_graph_failed(g, norni_nomem());
}

static void grad_columns(norni_grad *c) {
    geometry p;
    norn_status s = norni_type_static(&c->node->in[0]->type)
                        ? geometry_of(c->node, &p)
                        : norni_fail(NORN_UNSUPPORTED, "the sizes are not known; bind them first");
    if (s != NORN_OK)
        norni_graph_failed(c->g, s);
    else
        c->dx[0] = image_of(c->g, &p, c->dy[0]);
}

/* A convolution of each plane with kernels that take one element each. */
static norn_status expand_columns(norn_graph *g, const norn_node *node, norn_value **out) {
    const norni_type *x = &node->in[0]->type;
    int64_t planes[NORN_MAX_RANK] = {-1, 1}, taps;
    geometry p;
    norn_tensor *kernel;
    if (!norni_type_static(x))
        return norni_fail(NORN_UNSUPPORTED, "the sizes are not known; bind them first");
    NORNI_TRY(geometry_of(node, &p));
    taps = norni_window_taps(&p.w);
    norni_type k = {.dtype = x->dtype, .rank = x->rank, .dims = {taps, 1}};
    for (int i = 0; i < p.w.rank; i++) {
        planes[i + 2] = x->dims[i + 2];
        k.dims[i + 2] = p.w.kernel[D - p.w.rank + i];
    }
    NORNI_TRY(norni_tensor_host(k.dtype, k.rank, k.dims, &kernel));
    memset(norni_tensor_data(kernel), 0, norni_tensor_bytes(kernel));
    for (int64_t t = 0; t < taps; t++)
        norni_set_double(k.dtype, norni_tensor_data(kernel), t * taps + t, 1);
    const char *text = text_of(g->arena, &p, true);
    if (!text)
        return norni_nomem();
    norn_value *flat = NORNI_OP2(g, node->in[0], norni_i64_const(g, x->rank, planes), "Reshape<allowzero=1>");
    norn_value *y = NORNI_OP2(g, flat, norni_value_const(g, NULL, kernel), "Conv<%s>", text);
    out[0] = NORNI_OP2(g, y, norni_shape_value(g, node->out[0]), "Reshape<allowzero=1>");
    return NORN_OK;
}

static const norni_impl impls[] = {{.name = "rows", .emit = emit}, {0}};

const norn_op norni_op_Col2Im = {
    .domain = "",
    .name = "Col2Im",
    .versions = (const int[]){18, 0},
    .doc = "blocks added up into an image",
    .inputs = (const norni_param[]){{"input", 0, NORNI_ANY, 'T'},
                                    {"image_shape", NORNI_NODIFF | NORNI_HOST, NORNI_T(NORN_I64), 0},
                                    {"block_shape", NORNI_NODIFF | NORNI_HOST, NORNI_T(NORN_I64), 0},
                                    {0}},
    .outputs = (const norni_param[]){{"output", 0, NORNI_ANY, 'T'}, {0}},
    .attrs_bytes = sizeof(attrs),
    .attrs = col_table,
    .infer = infer_image,
    .grad = grad_image,
    .eval = eval,
    .impls = impls,
    .cases =
        (const char *const[]){
            "Col2Im<strides=[2,1], pads=[1,0,2,1]>(float[2,12,12], int64[2]{4,5}, int64[2]{2,3})",
            "Col2Im(float[1,5,5], int64[2]{5,5}, int64[2]{1,5})",
            "Col2Im<dilations=[2,3]>(float[1,8,6], int64[2]{5,5}, int64[2]{2,2})",
            "Col2Im<strides=[3]>(float[2,8,67], int64[1]{200}, int64[1]{2})",
            "Col2Im<pads=[1,0,0,0,1,0]>(float[1,16,64], int64[3]{4,4,5}, int64[3]{2,2,2})",
            "Col2Im(int32[1,4,4], int64[2]{3,3}, int64[2]{2,2})",
            "Col2Im(bool[1,4,4], int64[2]{3,3}, int64[2]{2,2})",
            "Col2Im(uint8[1,4,4], int64[2]{3,3}, int64[2]{2,2})",
            "Col2Im(float[0,4,4], int64[2]{3,3}, int64[2]{2,2})", NULL},
};

const norn_op norni_op_Im2Col = {
    .domain = "norn",
    .name = "Im2Col",
    .versions = (const int[]){1, 0},
    .doc = "the blocks of an image as columns: the transpose of Col2Im",
    .inputs = (const norni_param[]){{"x", 0, NORNI_FLOATS, 'T'}, {0}},
    .outputs = (const norni_param[]){{"y", 0, NORNI_FLOATS, 'T'}, {0}},
    .attrs_bytes = sizeof(attrs),
    .attrs = im_table,
    .infer = infer_columns,
    .grad = grad_columns,
    .expand = expand_columns,
    .eval = eval,
    .impls = impls,
    .cases =
        (const char *const[]){
            "norn.Im2Col<kernel_shape=[2,3], strides=[2,1], pads=[1,0,2,1]>(float[2,2,4,5])",
            "norn.Im2Col<kernel_shape=[2,2], dilations=[2,3]>(float[1,2,5,5])",
            "norn.Im2Col<kernel_shape=[2], strides=[3]>(float[2,4,200])",
            "norn.Im2Col<kernel_shape=[2,2,2]>(float[1,2,3,4,5])",
            "norn.Im2Col<kernel_shape=[2,2]>(float[0,1,3,3])", NULL},
};
