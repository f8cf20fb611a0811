/* SPDX-License-Identifier: Apache-2.0 */
/* Convolution through columns (ops/conv_columns.cl): products of matrices, by norn's kernel or by CLBlast. For each
 * image and group, with the columns X (c * taps rows, one column an output):
 *
 *     Conv           Y = W X
 *     ConvTranspose  X = W' Y, then each element of x gathers what stands for it in X
 *     ConvGradW      dW = sum over images of dY X'
 *
 * Any geometry, any device; as many images, outputs or channels at a time as the columns have room for. */
#include "ops/conv_direct.h"

enum { D = NORNI_WINDOW_DIMS };

/* ---- Sizes. */
typedef struct {
    norni_conv v;
    int64_t taps, rows, outs, ins; /* rows: of the columns of one group */
    size_t bytes;                  /* of an element that is computed with */
    int64_t room;                  /* elements that the columns may have */
    int width;
} columns;

static void columns_of(norni_emit *e, columns *k) {
    norni_conv_of(e->node, &k->v);
    k->taps = norni_window_taps(&k->v.w);
    k->rows = k->v.c * k->taps;
    k->outs = norni_window_out(&k->v.w);
    k->ins = norni_window_in(&k->v.w);
    k->bytes = norni_compute_bytes(k->v.dtype);
    k->room = norni_conv_room(e->device) / (int64_t)k->bytes;
    k->width = norni_device_is_cpu(e->device) ? (k->bytes == 8 ? 8 : 16) : 4;
}

/* Columns p0 .. p0 + pixels - 1 of the matrices of `images` images from n0 on, one a group. lanes: in panels of so
 * many columns, the right operand of norn's kernel; 0: plain rows. Returns the elements of a matrix. */
static int64_t emit_columns(norni_emit *e, const columns *k, norni_ref to, int64_t n0, int64_t images,
                            int64_t p0, int64_t pixels, int lanes) {
    bool cpu = norni_device_is_cpu(e->device);
    int64_t block = lanes ? lanes : cpu ? 256 : 4, blocks = norni_ceil_div(pixels, block);
    int64_t matrix = k->rows * (lanes ? blocks * block : pixels),
            rows_each = cpu ? norni_ceil_div(4096, block) : 1;
    norni_step *s = norni_emit_kernel(e, "conv_columns.cl", "columns", k->v.dtype);
    norni_step_define(e, s, "LANES", block);
    norni_step_define(e, s, "W", k->width);
    if (lanes)
        norni_step_define(e, s, "WHOLE_BLOCKS", 1);
    norni_step_buffer(e, s, norni_emit_in(e, 0), NORNI_READ);
    norni_step_buffer(e, s, to, NORNI_WRITE);
    const int64_t sizes[] = {
        n0 * k->v.group * k->v.c * k->ins, k->v.c * k->ins,       k->rows, rows_each, p0, pixels, matrix,
        lanes ? k->rows * block : block,   lanes ? block : pixels};
    norni_step_i64s(e, s, sizeof sizes / sizeof *sizes, sizes);
    norni_step_window(e, s, &k->v.w, 0);
    norni_step_items(e, s, 3, blocks, norni_ceil_div(k->rows, rows_each), images * k->v.group);
    return matrix;
}

static norn_status product(norni_emit *e, const norni_product *g, bool blas) {
    return blas ? norni_emit_product_blas(e, g) : norni_emit_product(e, g);
}

/* Runs a product for the groups of `images` images: of one group, all images at once, else image by image. The steps
 * between images of the operands are those between groups times the groups. */
static norn_status products(norni_emit *e, norni_product g, int64_t images, int64_t group, bool blas) {
    if (group == 1) {
        g.batch = images;
        g.a.stride = 0;
        g.d_stride = g.channel_step = 0;
        return product(e, &g, blas);
    }
    g.batch = group;
    for (int64_t n = 0; n < images; n++) {
        NORNI_TRY(product(e, &g, blas));
        g.b.offset += group * g.b.stride;
        g.c_offset += group * g.stride_c;
    }
    return e->status;
}

static bool has_bias(const norn_node *node) {
    return node->n_in > 2 && node->in[2];
}

/* ---- Y = W X. */
static norn_status forward(norni_emit *e, const columns *k, bool blas) {
    const norni_conv *v = &k->v;
    int mr, nr = 0, width;
    if (!blas)
        norni_gemm_tile(e->device, v->dtype, v->m, k->outs, &mr, &nr, &width);
    int64_t block = nr ? nr : 1, image = v->group * k->rows * norni_ceil_div(k->outs, block) * block;
    int64_t images = norni_min(v->n, k->room / (image ? image : 1)), range = k->outs;
    if (images < 1) { /* part of an image's outputs at a time */
        images = 1;
        range = k->room / (v->group * k->rows) / block * block;
        range = range < block ? block : range;
    }
    size_t elems = (size_t)(images * v->group * k->rows * norni_ceil_div(range, block) * block);
    norni_ref x = norni_emit_scratch(e, elems * k->bytes);
    for (int64_t n0 = 0; n0 < v->n; n0 += images)
        for (int64_t p0 = 0; p0 < k->outs; p0 += range) {
            int64_t count = norni_min(images, v->n - n0), pixels = norni_min(range, k->outs - p0);
            int64_t matrix = emit_columns(e, k, x, n0, count, p0, pixels, nr);
            norni_product g = {
                .dtype = v->dtype,
                .m = v->m,
                .n = pixels,
                .k = k->rows,
                .alpha = 1,
                .a = {norni_emit_in(e, 1), 1, false, k->rows, v->m * k->rows, 0, NORN_UNDEFINED, 0},
                .b = {x, -1, false, pixels, matrix, 0, NORN_UNDEFINED, 0},
                .b_packed = !blas,
                .tile_n = k->outs,
                .c = norni_emit_out(e, 0),
                .ldc = k->outs,
                .stride_c = v->m * k->outs,
                .c_offset = n0 * v->group * v->m * k->outs + p0,
                .d = -1,
                .epilogue = true,
                .channel_rows = true,
                .channel_step = v->m};
            if (has_bias(e->node)) {
                g.beta = 1;
                g.d = norni_emit_in(e, 2);
                g.d_sm = 1;
                g.d_stride = v->m;
            }
            NORNI_TRY(products(e, g, count, v->group, blas));
        }
    return e->status;
}

/* ---- X = W' Y, then x from X. */
static void emit_gather(norni_emit *e, const columns *k, norni_ref from, int64_t n0, int64_t images,
                        int64_t channel0, int64_t channels) {
    const norni_conv *v = &k->v;
    int64_t rows = v->w.in[0] * v->w.in[1];
    int64_t rows_each = norni_device_is_cpu(e->device) ? norni_ceil_div(256, v->w.in[2]) : 1;
    norni_step *s = norni_emit_kernel(e, "conv_columns.cl", "gather_columns", v->dtype);
    norni_step_define(e, s, "W", k->width);
    if (!norni_device_is_cpu(e->device))
        norni_step_define(e, s, "SEGMENT", 16);
    norni_step_buffer(e, s, from, NORNI_READ);
    norni_step_buffer(e, s, norni_emit_out(e, 0), NORNI_WRITE);
    const int64_t sizes[] = {
        n0, images, channels * k->taps * k->outs, channel0, channels, v->group * v->c, rows_each};
    norni_step_i64s(e, s, sizeof sizes / sizeof *sizes, sizes);
    norni_step_window(e, s, &v->w, 0);
    if (has_bias(e->node)) {
        norni_step_define(e, s, "HAS_BIAS", 1);
        norni_step_buffer(e, s, norni_emit_in(e, 2), NORNI_READ);
    }
    norni_emit_epilogue(e, s, NORNI_LANES_PIXELS, 1u | (unsigned)k->width);
    norni_step_items(e, s, 3, norni_ceil_div(rows, rows_each), channels, images);
}

static norn_status transposed(norni_emit *e, const columns *k, bool blas) {
    const norni_conv *v = &k->v;
    int64_t image = v->group * k->rows * k->outs, images = norni_min(v->n, k->room / (image ? image : 1));
    int64_t channels = v->c; /* of a group at a time */
    if (images < 1) {
        images = 1;
        channels = norni_min(v->c, k->room / (k->taps * k->outs));
        channels = channels < 1 ? 1 : channels;
    }
    bool whole = image * images <= k->room || (v->group == 1 && channels == v->c);
    int64_t groups = whole ? v->group : 1;
    norni_ref x = norni_emit_scratch(e, (size_t)(images * groups * channels * k->taps * k->outs) * k->bytes);
    norni_product g = {.dtype = v->dtype,
                       .c_dtype = norni_compute_dtype(v->dtype),
                       .n = k->outs,
                       .k = v->m,
                       .alpha = 1,
                       .a = {norni_emit_in(e, 1), 1, true, k->rows, v->m * k->rows, 0, NORN_UNDEFINED, 0},
                       .b = {norni_emit_in(e, 0), 0, false, k->outs, v->m * k->outs, 0, NORN_UNDEFINED, 0},
                       .c = x,
                       .ldc = k->outs,
                       .d = -1};
    for (int64_t n0 = 0; n0 < v->n; n0 += images)
        for (int64_t g0 = 0; g0 < v->group; g0 += groups)
            for (int64_t c0 = 0; c0 < v->c; c0 += channels) {
                int64_t count = norni_min(images, v->n - n0), cs = norni_min(channels, v->c - c0);
                g.m = cs * k->taps;
                g.stride_c = g.m * k->outs;
                g.a.offset = g0 * v->m * k->rows + c0 * k->taps;
                g.b.offset = (n0 * v->group + g0) * v->m * k->outs;
                NORNI_TRY(products(e, g, count, groups, blas));
                emit_gather(e, k, x, n0, count, g0 * v->c + c0, groups * cs);
            }
    return e->status;
}

/* ---- dW = sum of dY X'. */
static norn_status weights(norni_emit *e, const columns *k, bool blas) {
    const norni_conv *v = &k->v;
    norn_dtype compute = norni_compute_dtype(v->dtype);
    int64_t range = norni_min(k->outs, k->room / (v->group * k->rows));
    range = range < 1 ? 1 : range;
    norni_ref x = norni_emit_scratch(e, (size_t)(v->group * k->rows * range) * k->bytes),
              out = norni_emit_out(e, 0);
    size_t elems = (size_t)(v->group * v->m * k->rows);
    norni_ref sum = compute == v->dtype ? out : norni_emit_scratch(e, elems * k->bytes);
    for (int64_t n = 0; n < v->n; n++)
        for (int64_t p0 = 0; p0 < k->outs; p0 += range) {
            int64_t pixels = norni_min(range, k->outs - p0),
                    matrix = emit_columns(e, k, x, n, 1, p0, pixels, 0);
            norni_product g = {.dtype = v->dtype,
                               .c_dtype = compute,
                               .m = v->m,
                               .n = k->rows,
                               .k = pixels,
                               .batch = v->group,
                               .alpha = 1,
                               .beta = 1,
                               .a = {norni_emit_in(e, 1), -1, false, k->outs, v->m * k->outs,
                                     n * v->group * v->m * k->outs + p0, NORN_UNDEFINED, 0},
                               .b = {x, -1, true, pixels, matrix, 0, compute, 0},
                               .c = sum,
                               .ldc = k->rows,
                               .stride_c = v->m * k->rows,
                               .d = n || p0 ? sum : -1,
                               .d_sm = k->rows,
                               .d_sn = 1,
                               .d_stride = v->m * k->rows};
            NORNI_TRY(product(e, &g, blas));
        }
    if (sum != out)
        norni_emit_sum_parts(e, v->dtype, sum, out, (int64_t)elems, 1);
    return e->status;
}

static norn_status emit_with(norni_emit *e, bool blas) {
    columns k;
    columns_of(e, &k);
    if (!norni_type_elems(&e->node->out[0]->type))
        return e->status;
    switch (norni_conv_kind(e->node)) {
    case NORNI_CONV_Y:
        return forward(e, &k, blas);
    case NORNI_CONV_X:
        return transposed(e, &k, blas);
    default:
        return weights(e, &k, blas);
    }
}

norn_status norni_emit_conv_columns(norni_emit *e) {
    return emit_with(e, false);
}
norn_status norni_emit_conv_columns_blas(norni_emit *e) {
    return emit_with(e, true);
}

/* Sums over nothing are the reference's. */
const char *norni_conv_columns_fits(const norni_fit *f) {
    norni_conv v;
    norni_conv_of(f->node, &v);
    if (!norni_window_out(&v.w) || !v.n || !v.c || !v.m)
        return "there is nothing to sum";
    return NULL;
}

const char *norni_conv_columns_blas_fits(const norni_fit *f) {
    const char *why = norni_blas_fits(f);
    return why ? why : norni_conv_columns_fits(f);
}

const char *norni_conv_columns_blas_best(const norni_fit *f) {
    norni_conv v;
    norni_conv_of(f->node, &v);
    if (norni_device_is_cpu(f->device))
        return "norn's own kernels are better on CPUs";
    if (v.m * v.c < 64)
        return "its groups are too small for a library call each";
    return norni_conv_columns_blas_fits(f);
}
