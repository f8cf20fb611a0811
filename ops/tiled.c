/* SPDX-License-Identifier: Apache-2.0 */
/* Products and convolutions in tiles that a work-group shares (ops/tiled.cl), for GPUs. */
#include "ops/conv.h"
#include "ops/conv_direct.h"
#include "ops/tuning.h"
#include <stdio.h>

enum { D = NORNI_WINDOW_DIMS, KEEP_APART = 4 };

/* ---- Tiles. */
typedef struct {
    int lm, ln, rm, rn, kt; /* as in the kernel file */
} tile;
/* The first BY_RULE ones are chosen among; others by records only. */
static const tile tiles[] = {{16, 16, 8, 8, 8}, {16, 16, 4, 4, 16}, {8, 8, 4, 4, 16},  {16, 16, 8, 8, 16},
                             {16, 16, 8, 4, 8}, {16, 16, 4, 8, 8},  {16, 16, 4, 4, 8}, {16, 8, 8, 8, 8},
                             {8, 8, 8, 8, 8},   {8, 8, 8, 8, 16},   {8, 8, 8, 4, 16},  {8, 8, 4, 8, 16}};
static const char *const tile_names[] = {"16x16x8x8x8", "16x16x4x4x16", "8x8x4x4x16",  "16x16x8x8x16",
                                         "16x16x8x4x8", "16x16x4x8x8",  "16x16x4x4x8", "16x8x8x8x8",
                                         "8x8x8x8x8",   "8x8x8x8x16",   "8x8x8x4x16",  "8x8x4x8x16"};
enum { N_TILES = sizeof tiles / sizeof *tiles, BY_RULE = 3 };

static int64_t rows_of(const tile *t) {
    return (int64_t)t->lm * t->rm;
}
static int64_t columns_of(const tile *t) {
    return (int64_t)t->ln * t->rn;
}

static bool has_room(const norn_device *d, size_t bytes, const tile *t) {
    size_t items = (size_t)t->lm * (size_t)t->ln,
           local = (size_t)t->kt * (size_t)(rows_of(t) + columns_of(t) + 2 * KEEP_APART) * bytes;
    return items <= d->max_work_group && items <= d->max_work_item[0] && local <= d->local_bytes &&
           (bytes <= 4 || t->rm <= 4); /* doubles take two registers */
}

/* The largest one that leaves every compute unit two tiles and computes little that is thrown away; else the smallest. */
static const tile *choose_tile(const norn_device *d, size_t bytes, int64_t m, int64_t n, int64_t copies) {
    const tile *last = NULL;
    for (int i = 0; i < BY_RULE; i++) {
        const tile *t = &tiles[i];
        int64_t down = norni_ceil_div(m, rows_of(t)), across = norni_ceil_div(n, columns_of(t));
        if (!has_room(d, bytes, t))
            continue;
        last = t;
        if (down * across * copies >= 2 * (int64_t)d->compute_units &&
            (double)(down * rows_of(t)) * (double)(across * columns_of(t)) <= 1.3 * (double)m * (double)n)
            return t;
    }
    return last;
}

/* Another one, where it was measured to be better. */
static const tile *tuned_tile(const norn_device *d, const char *what, norn_dtype dtype, int64_t m, int64_t n,
                              int64_t k, int64_t copies) {
    size_t bytes = norni_compute_bytes(dtype);
    const tile *rule = choose_tile(d, bytes, m, n, copies);
    char key[128];
    snprintf(key, sizeof key, "%s %s %lldx%lldx%lld of %lld", what, norni_dtype_name(dtype), (long long)m,
             (long long)n, (long long)k, (long long)copies);
    const tile *t = &tiles[norni_tuned(d, key, N_TILES, tile_names, (int)(rule - tiles))];
    return has_room(d, bytes, t) ? t : rule;
}

static norni_step *start(norni_emit *e, norn_dtype dtype, const tile *t, bool a_k_first, bool b_k_first) {
    norni_step *s = norni_emit_kernel(e, "tiled.cl", "tiled", dtype);
    norni_step_define(e, s, "LM", t->lm);
    norni_step_define(e, s, "LN", t->ln);
    norni_step_define(e, s, "RM", t->rm);
    norni_step_define(e, s, "RN", t->rn);
    norni_step_define(e, s, "KT", t->kt);
    if (a_k_first)
        norni_step_define(e, s, "A_K_FIRST", 1);
    if (b_k_first)
        norni_step_define(e, s, "B_K_FIRST", 1);
    return s;
}

static void sizes(norni_emit *e, norni_step *s, int64_t m, int64_t n, int64_t k) {
    norni_step_i32(e, s, m);
    norni_step_i32(e, s, n);
    norni_step_i32(e, s, k);
}

static void range(norni_step *s, const tile *t, int64_t m, int64_t n, int64_t copies) {
    size_t items = (size_t)t->lm * (size_t)t->ln;
    norni_step_range(s, 3, (size_t)norni_ceil_div(n, columns_of(t)) * items,
                     (size_t)norni_ceil_div(m, rows_of(t)), (size_t)copies, items, 1, 1);
}

static const char *device_fits(const norni_fit *f, norn_dtype dtype) {
    if (norni_device_is_cpu(f->device) && !f->wanted)
        return "made for GPUs";
    return choose_tile(f->device, norni_compute_bytes(dtype), 1, 1, 1)
               ? NULL
               : "the device's work-groups or local memory are too small";
}

/* ---- Products of stored matrices. */
static bool stored(norn_dtype operand, norn_dtype product) {
    return operand == NORN_UNDEFINED || operand == product || operand == norni_compute_dtype(product);
}

static bool wide(norn_dtype operand, norn_dtype product) {
    return operand != NORN_UNDEFINED && operand != product;
}

bool norni_tiled_takes(const norn_device *d, const norni_product *g) {
    return !g->a_packed && !g->b_packed && !g->inner && stored(g->a.dtype, g->dtype) &&
           stored(g->b.dtype, g->dtype) && stored(g->c_dtype, g->dtype) &&
           choose_tile(d, norni_compute_bytes(g->dtype), g->m, g->n, g->batch);
}

norn_status norni_emit_product_tiled(norni_emit *e, const norni_product *g) {
    if (!g->m || !g->n || !g->batch)
        return e->status;
    if (!norni_tiled_takes(e->device, g))
        return norni_emit_product(e, g);
    const tile *t = tuned_tile(e->device, "tiled", g->dtype, g->m, g->n, g->k, g->batch);
    norni_step *s = start(e, g->dtype, t, !g->a.trans, g->b.trans);
    if (wide(g->a.dtype, g->dtype))
        norni_step_define(e, s, "A_WIDE", 1);
    if (wide(g->b.dtype, g->dtype))
        norni_step_define(e, s, "B_WIDE", 1);
    if (wide(g->c_dtype, g->dtype))
        norni_step_define(e, s, "C_WIDE", 1);
    norni_step_buffer(e, s, g->a.ref, NORNI_READ);
    norni_step_buffer(e, s, g->b.ref, NORNI_READ);
    norni_step_buffer(e, s, g->c, NORNI_WRITE);
    sizes(e, s, g->m, g->n, g->k);
    const int64_t steps[] = {g->a.trans ? 1 : g->a.ld,
                             g->a.trans ? g->a.ld : 1,
                             g->a.offset,
                             g->a.stride,
                             g->b.trans ? 1 : g->b.ld,
                             g->b.trans ? g->b.ld : 1,
                             g->b.offset,
                             g->b.stride,
                             g->ldc,
                             g->c_offset,
                             g->stride_c};
    norni_step_i64s(e, s, sizeof steps / sizeof *steps, steps);
    norni_emit_product_end(e, s, g, 1 | 4);
    range(s, t, g->m, g->n, g->batch);
    return e->status;
}

const char *norni_tiled_fits(const norni_fit *f) {
    return device_fits(f, f->node->in[0]->type.dtype);
}

/* ---- Convolutions. */
static bool has_bias(const norn_node *node) {
    return node->n_in > 2 && node->in[2];
}

static void conv_args(norni_emit *e, norni_step *s, const norni_conv *v, const char *form, int64_t k_part) {
    const int64_t *const lists[] = {v->w.in, v->w.out, v->w.stride, v->w.dilation, v->w.begin};
    norni_step_define(e, s, form, 1);
    norni_step_define(e, s, "K1", v->w.kernel[1]);
    norni_step_define(e, s, "K2", v->w.kernel[2]);
    norni_step_define(e, s, "TAPS", norni_window_taps(&v->w));
    norni_step_i32(e, s, k_part);
    norni_step_i32(e, s, v->group);
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        for (int k = 0; k < D; k++)
            norni_step_i32(e, s, lists[i][k]);
}

/* y from x, or x from y. */
static norn_status emit_values(norni_emit *e, const norni_conv *v, bool transposed) {
    int64_t taps = norni_window_taps(&v->w), m = transposed ? v->c : v->m,
            k = (transposed ? v->m : v->c) * taps,
            n = v->n * (transposed ? norni_window_in(&v->w) : norni_window_out(&v->w));
    const tile *t =
        tuned_tile(e->device, transposed ? "tiled conv_x" : "tiled conv_y", v->dtype, m, n, k, v->group);
    norni_step *s = start(e, v->dtype, t, true, false);
    norni_step_buffer(e, s, norni_emit_in(e, 1), NORNI_READ);
    norni_step_buffer(e, s, norni_emit_in(e, 0), NORNI_READ);
    norni_step_buffer(e, s, norni_emit_out(e, 0), NORNI_WRITE);
    sizes(e, s, m, n, k);
    conv_args(e, s, v, transposed ? "CONV_X" : "CONV_Y", k);
    if (has_bias(e->node)) {
        norni_step_define(e, s, "HAS_BIAS", 1);
        norni_step_buffer(e, s, norni_emit_in(e, 2), NORNI_READ);
    }
    norni_emit_epilogue_once(e, s, NORNI_LANES_PIXELS, 1 | 4);
    range(s, t, m, n, v->group);
    return e->status;
}

/* dw: few elements, long sums. Parts of the sums are computed side by side, then added in order. */
static norn_status emit_weights(norni_emit *e, const norni_conv *v) {
    enum { TILES_A_UNIT = 4, LEAST_PART = 256 };
    int64_t n = v->c * norni_window_taps(&v->w), k = v->n * norni_window_out(&v->w),
            elems = v->group * v->m * n;
    size_t bytes = norni_compute_bytes(v->dtype);
    const tile *t = tuned_tile(e->device, "tiled conv_w", v->dtype, v->m, n, k, v->group);
    int64_t work = norni_ceil_div(v->m, rows_of(t)) * norni_ceil_div(n, columns_of(t)) * v->group,
            parts = norni_ceil_div(TILES_A_UNIT * (int64_t)e->device->compute_units, work),
            most = norni_ceil_div(k, LEAST_PART),
            room = norni_conv_room(e->device) / (elems * (int64_t)bytes);
    parts = parts > most ? most : parts;
    parts = parts > room ? room : parts;
    parts = parts < 1 ? 1 : parts;
    int64_t part = norni_ceil_div(norni_ceil_div(k, parts), t->kt) * t->kt;
    parts = norni_ceil_div(k, part);
    norni_ref out = norni_emit_out(e, 0),
              to = parts > 1 ? norni_emit_scratch(e, (size_t)(parts * elems) * bytes) : out;
    norni_step *s = start(e, v->dtype, t, true, true);
    if (parts > 1)
        norni_step_define(e, s, "C_WIDE", 1);
    norni_step_buffer(e, s, norni_emit_in(e, 1), NORNI_READ);
    norni_step_buffer(e, s, norni_emit_in(e, 0), NORNI_READ);
    norni_step_buffer(e, s, to, NORNI_WRITE);
    sizes(e, s, v->m, n, k);
    conv_args(e, s, v, "CONV_W", part);
    range(s, t, v->m, n, v->group * parts);
    if (parts > 1)
        norni_emit_sum_parts(e, v->dtype, to, out, elems, parts);
    return e->status;
}

norn_status norni_emit_conv_tiled(norni_emit *e) {
    norni_conv v;
    norni_conv_of(e->node, &v);
    if (!norni_type_elems(&e->node->out[0]->type))
        return e->status;
    norni_conv_result what = norni_conv_kind(e->node);
    return what == NORNI_CONV_W ? emit_weights(e, &v) : emit_values(e, &v, what == NORNI_CONV_X);
}

const char *norni_conv_tiled_fits(const norni_fit *f) {
    norni_conv v;
    norni_conv_of(f->node, &v);
    norni_conv_result what = norni_conv_kind(f->node);
    const char *why = device_fits(f, v.dtype);
    if (why)
        return why;
    if (!f->wanted && what != NORNI_CONV_W && (what == NORNI_CONV_X ? v.c : v.m) < 8)
        return "too few channels to fill a tile";
    const double limit = INT32_MAX / 2, taps = (double)norni_window_taps(&v.w);
    if ((double)v.n * (double)norni_window_in(&v.w) > limit ||
        (double)v.n * (double)norni_window_out(&v.w) > limit || (double)v.c * taps > limit ||
        (double)v.m * taps > limit)
        return "the sizes are beyond 32 bits";
    return norni_conv_columns_fits(f);
}
