/* SPDX-License-Identifier: Apache-2.0 */
/* norn.ConvGradW of 3 x 3 kernels by minimal filtering (ops/conv_winograd.cl), for CPUs: the transpose of
 * ops/conv_winograd.c, with 4 (F(4x4)) or 2.25 times (F(2x2)) fewer multiplications than the direct form and rounding
 * errors as there, so not for NORN_STRICT. */
#include "ops/conv_winograd.h"
#include <math.h>

enum { D = NORNI_WINDOW_DIMS };

typedef struct {
    int r, domain;          /* outputs of a tile's side; elements of the domain */
    int64_t tiles1, tiles2; /* of an image */
    int64_t rows;           /* of tiles that are in the domain at a time, of n * tiles1 */
    norni_conv product;     /* in the domain, for `rows` rows */
    norni_conv_w_tile tile;
    int64_t sum_bytes; /* of the gradient in the domain */
    double time;       /* cycles, roughly */
} scheme;

/* Rows of tiles are taken in even parts whose elements in the domain stay in a shared cache; large sums, which every part
 * reads and writes, want larger parts. */
static bool make_scheme(const norni_conv *v, int r, scheme *s) {
    enum { CACHE_BYTES = 3 << 20 };
    const norni_window *w = &v->w;
    int block = norni_block_of(v->dtype);
    int64_t bytes = (int64_t)norni_compute_bytes(v->dtype);
    int64_t c = norni_ceil_div(v->c, block), m = norni_ceil_div(v->m, block);
    *s = (scheme){.r = r, .domain = (r + 2) * (r + 2)};
    s->tiles1 = norni_ceil_div(w->out[1], r);
    s->tiles2 = norni_ceil_div(w->out[2], r);
    s->product = (norni_conv){
        .dtype = norni_compute_dtype(v->dtype), .n = 1, .group = s->domain, .c = v->c, .m = v->m};
    norni_window *p = &s->product.w;
    for (int k = 0; k < D; k++)
        p->kernel[k] = p->stride[k] = p->dilation[k] = p->in[k] = p->out[k] = 1;
    p->rank = w->rank;
    if (!norni_conv_w_choose_tile(&s->product, &s->tile))
        return false;
    s->sum_bytes = s->domain * s->tile.panels_c * s->tile.cc * s->tile.panels_m * s->tile.nv * block * bytes;
    int64_t all = v->n * s->tiles1, row = s->tiles2 * s->domain * (c + m) * block * bytes,
            room = s->sum_bytes > CACHE_BYTES ? s->sum_bytes : CACHE_BYTES;
    int64_t parts = norni_ceil_div(all, room / row > 0 ? room / row : 1);
    s->rows = norni_ceil_div(all, parts);
    parts = norni_ceil_div(all, s->rows);
    p->in[2] = p->out[2] = s->rows * s->tiles2;
    norni_conv_w_choose_tile(&s->product, &s->tile);
    /* The transforms, the sums' way to memory and back, measured. */
    double tiles = (double)(all * s->tiles2), pairs = (double)(s->tile.panels_c * s->tile.cc * m);
    s->time = s->tile.time * s->domain * (double)parts + tiles * (double)(c + m) * (r == 4 ? 330 : 150) +
              pairs * (r == 4 ? 400 : 300) + (double)(s->sum_bytes * parts) / 6 + (double)parts * 20000;
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

norn_status norni_emit_conv_winograd_w(norni_emit *e) {
    norni_conv v;
    scheme s;
    norni_conv_of(e->node, &v);
    if (!best_scheme(&v, &s))
        return norni_fail(NORN_INTERNAL, "conv_winograd_w: no tile");
    const norni_window *w = &v.w;
    int block = norni_block_of(v.dtype);
    int64_t c = norni_ceil_div(v.c, block), m = norni_ceil_div(v.m, block), all = v.n * s.tiles1;
    size_t elem = (size_t)(s.domain * s.rows * s.tiles2 * block) * norni_compute_bytes(v.dtype);
    norni_ref x = norni_emit_scratch(e, (size_t)c * elem), dy = norni_emit_scratch(e, (size_t)m * elem),
              sums = norni_emit_scratch(e, (size_t)s.sum_bytes);
    for (int64_t row0 = 0; row0 < all; row0 += s.rows) {
        int64_t rows = norni_min(s.rows, all - row0), tiles = rows * s.tiles2;
        norni_emit_winograd_transform(e, &v, s.r, s.tiles1, s.tiles2, row0, rows, tiles, x);
        norni_step *st = norni_winograd_step(e, &v, s.r, "transform_dy");
        norni_step_buffer(e, st, norni_emit_in(e, 1), NORNI_READ);
        norni_step_buffer(e, st, dy, NORNI_WRITE);
        const int64_t from[] = {w->out[1], w->out[2], s.tiles1, s.tiles2, row0, tiles};
        norni_step_i64s(e, st, sizeof from / sizeof *from, from);
        norni_step_range(st, 2, (size_t)rows, (size_t)m, 1, 1, 1, 1);
        s.product.w.in[2] = s.product.w.out[2] = tiles;
        st = norni_emit_conv_w_tiles(e, &s.product, &s.tile, x, dy, sums, row0 > 0, 1);
        norni_step_define(e, st, "RAW", 1);
    }
    norni_step *st = norni_winograd_step(e, &v, s.r, "weights_back");
    norni_step_define(e, st, "CC", s.tile.cc);
    norni_step_define(e, st, "NV", s.tile.nv);
    norni_step_buffer(e, st, sums, NORNI_READ);
    norni_step_buffer(e, st, norni_emit_out(e, 0), NORNI_WRITE);
    norni_step_i64(e, st, v.m);
    norni_step_i64(e, st, v.c);
    norni_step_range(st, 2, (size_t)s.tile.panels_m, (size_t)s.tile.panels_c, 1, 1, 1, 1);
    return e->status;
}

const char *norni_conv_winograd_w_fits(const norni_fit *f) {
    enum { MOST_SUMS = 16 << 20 };
    norni_conv v;
    scheme s;
    norni_conv_w_tile direct;
    const char *why = norni_conv_blocks_fit(f);
    if (why)
        return why;
    norni_conv_of(f->node, &v);
    if ((why = norni_winograd_fits(f, &v)))
        return why;
    if (!best_scheme(&v, &s))
        return "there is no tile";
    if (f->wanted || !norni_conv_w_choose_tile(&v, &direct))
        return NULL;
    if (s.sum_bytes > MOST_SUMS) /* several cores share the way to memory */
        return "the sums in the domain do not stay in a cache";
    return s.time < 0.95 * direct.time * (double)v.n ? NULL : "the direct form is faster";
}
