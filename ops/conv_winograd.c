/* SPDX-License-Identifier: Apache-2.0 */
/* Conv with 3 x 3 kernels by minimal filtering (ops/conv_winograd.cl), for CPUs: 4 (F(4x4), 36 products for 16 outputs) or
 * 2.25 times (F(2x2)) fewer multiplications than the direct form. Rounding: with elements and weights of order 1 the error
 * is about 10 times (F(4x4)) or 2 times that of the direct form, 1e-5 of the largest output, so not for NORN_STRICT; and
 * an infinite or NaN element reaches all outputs of its tiles. */
#include "ops/conv_winograd.h"
#include "ops/tuning.h"
#include <math.h>
#include <stdio.h>

enum { D = NORNI_WINDOW_DIMS, WEIGHT_BYTES_A_CYCLE = 10 };

typedef struct {
    int r, domain;          /* outputs of a tile's side; elements of the domain */
    int64_t tiles1, tiles2; /* of an image */
    int64_t rows;           /* of tiles that are in the domain at a time, of n * tiles1 */
    norni_conv product;     /* in the domain, for `rows` rows */
    norni_conv_tile tile;
    double time; /* cycles, roughly */
} scheme;

/* Rows of tiles are taken in even parts whose elements in the domain stay in a shared cache. */
static bool make_scheme(const norni_conv *v, int r, scheme *s) {
    enum { CACHE_BYTES = 3 << 20 };
    const norni_window *w = &v->w;
    int block = norni_block_of(v->dtype);
    int64_t c = norni_ceil_div(v->c, block), m = norni_ceil_div(v->m, block);
    *s = (scheme){.r = r, .domain = (r + 2) * (r + 2)};
    s->tiles1 = norni_ceil_div(w->out[1], r);
    s->tiles2 = norni_ceil_div(w->out[2], r);
    int64_t all = v->n * s->tiles1,
            row = s->tiles2 * s->domain * (c + m) * block * (int64_t)norni_compute_bytes(v->dtype);
    int64_t parts = norni_ceil_div(all, CACHE_BYTES / row > 0 ? CACHE_BYTES / row : 1);
    s->rows = norni_ceil_div(all, parts);
    s->product = (norni_conv){
        .dtype = norni_compute_dtype(v->dtype), .n = 1, .group = s->domain, .c = v->c, .m = m * block};
    norni_window *p = &s->product.w;
    for (int k = 0; k < D; k++)
        p->kernel[k] = p->stride[k] = p->dilation[k] = p->in[k] = p->out[k] = 1;
    p->rank = w->rank;
    p->in[2] = p->out[2] = s->rows * s->tiles2;
    if (!norni_conv_choose_tile(&s->product, false, &s->tile))
        return false;
    /* The transforms, and what the weights of a part take to come from beyond the caches, measured. */
    double tiles = (double)(all * s->tiles2), parts_run = (double)norni_ceil_div(all, s->rows);
    double weight_bytes = (double)(s->domain * v->c * m * block * (int64_t)norni_compute_bytes(v->dtype));
    s->time = s->tile.time * s->domain * parts_run + tiles * (double)(c + m) * (r == 4 ? 330 : 150);
    s->time = fmax(s->time, weight_bytes * parts_run / WEIGHT_BYTES_A_CYCLE) + parts_run * 20000;
    return true;
}

static bool best_scheme(const norni_conv *v, scheme *best) {
    scheme s;
    best->time = INFINITY;
    for (int r = 4; r >= 2; r -= 2)
        if (make_scheme(v, r, &s) && s.time < best->time)
            *best = s;
    return best->time < INFINITY;
}

/* What was measured to be best for this convolution. */
typedef enum { BY_RULE, NOT, TILES_2, TILES_4 } record;
static record tuned(const norn_device *d, const norni_conv *v) {
    static const char *const names[] = {"rule", "direct", "2x2", "4x4"};
    char key[NORNI_CONV_KEY];
    norni_conv_key("conv_winograd", v, key);
    return (record)norni_tuned(d, key, sizeof names / sizeof *names, names, BY_RULE);
}

static bool choose_scheme(const norni_conv *v, record r, scheme *s) {
    if ((r == TILES_2 || r == TILES_4) && make_scheme(v, r == TILES_2 ? 2 : 4, s))
        return true;
    return best_scheme(v, s);
}

static norni_ref pack(norni_emit *e, const norni_conv *v, const scheme *s, bool transposed) {
    int block = norni_block_of(v->dtype);
    int64_t panels = norni_ceil_div(v->m, block * s->tile.nv), blocks = norni_ceil_div(v->c, block);
    char key[64];
    bool fresh;
    snprintf(key, sizeof key, "winograd %d %d %d", s->r, s->tile.nv, transposed);
    norni_ref to = norni_emit_packed(e, 1,
                                     (size_t)(s->domain * panels * blocks * block * block * s->tile.nv *
                                              (int64_t)norni_compute_bytes(v->dtype)),
                                     key, &fresh);
    if (fresh) {
        norni_step *st = norni_winograd_step(e, v, s->r, "weights");
        norni_step_buffer(e, st, norni_emit_in(e, 1), NORNI_READ);
        norni_step_buffer(e, st, to, NORNI_WRITE);
        norni_step_i64(e, st, v->m);
        norni_step_i64(e, st, v->c);
        norni_step_i64(e, st, s->tile.nv);
        norni_step_i32(e, st, transposed);
        norni_step_range(st, 2, (size_t)panels, (size_t)blocks, 1, 1, 1, 1);
    }
    norni_emit_packed_end(e);
    return to;
}

norni_step *norni_winograd_step(norni_emit *e, const norni_conv *v, int r, const char *kernel) {
    norni_step *st = norni_emit_kernel(e, "conv_winograd.cl", kernel, v->dtype);
    norni_step_define(e, st, "B", norni_block_of(v->dtype));
    norni_step_define(e, st, "R", r);
    return st;
}

void norni_emit_winograd_transform(norni_emit *e, const norni_conv *v, int r, int64_t tiles1, int64_t tiles2,
                                   int64_t row0, int64_t rows, int64_t tiles, norni_ref to) {
    const norni_window *w = &v->w;
    norni_step *st = norni_winograd_step(e, v, r, "transform");
    norni_step_buffer(e, st, norni_emit_in(e, 0), NORNI_READ);
    norni_step_buffer(e, st, to, NORNI_WRITE);
    const int64_t sizes[] = {v->c, w->in[1], w->in[2], w->begin[1], w->begin[2], tiles1, tiles2, row0, tiles};
    norni_step_i64s(e, st, sizeof sizes / sizeof *sizes, sizes);
    norni_step_range(st, 2, (size_t)rows, (size_t)norni_ceil_div(v->c, norni_block_of(v->dtype)), 1, 1, 1, 1);
}

norn_status norni_emit_conv_winograd(norni_emit *e) {
    norni_conv v;
    scheme s;
    bool transposed = norni_conv_forward(e->node, &v);
    if (!choose_scheme(&v, tuned(e->device, &v), &s))
        return norni_fail(NORN_INTERNAL, "conv_winograd: no tile");
    const norni_window *w = &v.w;
    int block = norni_block_of(v.dtype);
    int64_t c = norni_ceil_div(v.c, block), m = norni_ceil_div(v.m, block), tiles = s.rows * s.tiles2,
            all = v.n * s.tiles1;
    size_t elem = (size_t)(s.domain * tiles * block * (int64_t)norni_compute_bytes(v.dtype));
    norni_ref weights = pack(e, &v, &s, transposed), bias = norni_emit_conv_bias(e);
    norni_ref in = norni_emit_scratch(e, (size_t)c * elem), out = norni_emit_scratch(e, (size_t)m * elem);
    for (int64_t row0 = 0; row0 < all; row0 += s.rows) {
        int64_t rows = norni_min(s.rows, all - row0);
        norni_emit_winograd_transform(e, &v, s.r, s.tiles1, s.tiles2, row0, rows, tiles, in);
        norni_emit_conv_tiles(e, &s.product, &s.tile, false, in, weights, out, -1, false, NULL);
        norni_step *st = norni_winograd_step(e, &v, s.r, "inverse");
        norni_step_buffer(e, st, out, NORNI_READ);
        norni_step_buffer(e, st, norni_emit_out(e, 0), row0 ? NORNI_READ_WRITE : NORNI_WRITE);
        const int64_t from[] = {w->out[1], w->out[2], s.tiles1, s.tiles2, row0, tiles};
        norni_step_i64s(e, st, sizeof from / sizeof *from, from);
        if (bias >= 0) {
            norni_step_define(e, st, "HAS_BIAS", 1);
            norni_step_buffer(e, st, bias, NORNI_READ);
        }
        norni_emit_epilogue(e, st, NORNI_LANES_CHANNELS, (unsigned)block);
        norni_step_range(st, 2, (size_t)rows, (size_t)m, 1, 1, 1, 1);
    }
    return e->status;
}

const char *norni_winograd_fits(const norni_fit *f, const norni_conv *v) {
    const norni_window *w = &v->w;
    if (f->numerics == NORN_STRICT)
        return "its rounding errors are larger (numerics are strict)";
    if (v->group != 1 || w->in[0] != 1 || w->out[0] != 1 || w->kernel[0] != 1 || w->kernel[1] != 3 ||
        w->kernel[2] != 3)
        return "kernels are not 3 x 3 in one group";
    if (w->stride[1] != 1 || w->stride[2] != 1 || w->dilation[1] != 1 || w->dilation[2] != 1)
        return "strides or dilations are not 1";
    return NULL;
}

const char *norni_conv_winograd_fits(const norni_fit *f) {
    norni_conv v;
    scheme s;
    norni_conv_tile direct;
    const char *why = norni_conv_blocks_fit(f);
    if (why)
        return why;
    norni_conv_forward(f->node, &v);
    if ((why = norni_winograd_fits(f, &v)))
        return why;
    record r = tuned(f->device, &v);
    if (!choose_scheme(&v, r, &s))
        return "there is no tile";
    if (r == NOT && !f->wanted)
        return "the direct form was measured to be faster";
    if (f->wanted || r == TILES_2 || r == TILES_4 || !norni_conv_choose_tile(&v, false, &direct))
        return NULL;
    double weight_bytes = (double)(v.c * v.m * 9 * (int64_t)norni_compute_bytes(v.dtype));
    double time = fmax(direct.time * (double)v.n, weight_bytes / WEIGHT_BYTES_A_CYCLE);
    return s.time < 0.95 * time ? NULL : "the direct form is faster";
}
