/* SPDX-License-Identifier: Apache-2.0 */
/* Conv into the blocked form of its output (ops/conv_blocked.cl), for CPUs: from the blocked form of its input, or from
 * the plain one where that has few channels. Groups are whole blocks of channels, or single channels. */
#include "ops/conv_blocked.h"
#include "ops/tuning.h"
#include <math.h>
#include <stdio.h>

enum { D = NORNI_WINDOW_DIMS, MAX_PATCH = 16384 };

/* No window reads padding. */
static bool inside(const norni_window *w) {
    for (int k = 0; k < D; k++)
        if (w->begin[k] > 0 ||
            (w->out[k] - 1) * w->stride[k] - w->begin[k] + norni_window_extent(w, k) > w->in[k])
            return false;
    return true;
}

static void shape_patch(const norni_conv *v, int block, bool plain, norni_conv_tile *t) {
    const norni_window *w = &v->w;
    t->row_step = t->th == 1 ? w->dilation[1] : 1;
    t->rows = t->th == 1 ? w->kernel[1] : (t->th - 1) * w->stride[1] + norni_window_extent(w, 1);
    t->column_step = w->kernel[2] == 1 ? w->stride[2] : 1;
    t->pw = w->kernel[2] == 1 ? t->tw : (t->tw - 1) * w->stride[2] + norni_window_extent(w, 2);
    t->elems = w->kernel[0] * t->rows * t->pw * (plain ? norni_min(block, v->c) : block);
}

/* A tile of that size; false: it does not fit. */
static bool make_tile(const norni_conv *v, bool plain, int th, int tw, int nv, norni_conv_tile *t) {
    const norni_window *w = &v->w;
    int block = norni_block_of(v->dtype);
    *t = (norni_conv_tile){.th = th, .tw = tw, .nv = nv};
    if ((th > 1 && (w->kernel[0] > 1 || w->dilation[1] > 1 || th > w->out[1])) || tw > w->out[2] ||
        (nv > 1 && nv > norni_ceil_div(v->m, block)))
        return false;
    t->in_place = inside(w) && w->out[1] % th == 0;
    shape_patch(v, block, plain, t);
    return t->elems <= MAX_PATCH;
}

/* A step loads nv vectors and splats th * tw scalars for th * tw * nv products, one a cycle. */
bool norni_conv_choose_tile(const norni_conv *v, bool plain, norni_conv_tile *best) {
    const norni_window *w = &v->w;
    int block = norni_block_of(v->dtype);
    int64_t blocks = norni_ceil_div(v->m, block), steps = v->c * norni_window_taps(w);
    best->time = INFINITY;
    for (int nv = 1; nv <= 4; nv *= 2)
        for (int th = 1; th <= 4; th++)
            for (int tw = 28 / nv / th; tw >= 1; tw--) {
                norni_conv_tile t;
                if (!make_tile(v, plain, th, tw, nv, &t))
                    continue;
                double n = th * tw,
                       work = (double)(w->out[0] * norni_ceil_div(w->out[1], th) *
                                       norni_ceil_div(w->out[2], tw) * norni_ceil_div(blocks, nv));
                double step = fmax(n * nv, 5) + 0.25 * nv + 0.4;
                double copies =
                    t.in_place ? 0 : (double)(t.elems * norni_ceil_div(v->c, block)) * 1.5 / block;
                t.time = work * (step * (double)steps + copies + n * nv * 2);
                /* Few shapes, since each is a program of its own: others must gain more than a little. */
                if (th * tw * nv != 28 || tw % 7)
                    t.time *= 1.03;
                if (t.time < best->time * 0.999)
                    *best = t;
            }
    return best->time < INFINITY;
}

void norni_conv_key(const char *what, const norni_conv *v, char key[NORNI_CONV_KEY]) {
    const norni_window *w = &v->w;
    int n = snprintf(key, NORNI_CONV_KEY, "%s %s n%lld g%lld c%lld m%lld", what, norni_dtype_name(v->dtype),
                     (long long)v->n, (long long)v->group, (long long)v->c, (long long)v->m);
    for (int k = 0; k < D; k++)
        n += snprintf(key + n, NORNI_CONV_KEY - (size_t)n, " %lld/%lld/%lld/%lld/%lld", (long long)w->in[k],
                      (long long)w->kernel[k], (long long)w->stride[k], (long long)w->dilation[k],
                      (long long)w->begin[k]);
}

/* Another tile, where one was measured to be better: rows x pixels x vectors. */
static void tuned_tile(const norn_device *d, const norni_conv *v, bool plain, norni_conv_tile *t) {
    static const char *const names[] = {"rule",   "1x28x1", "1x14x2", "1x7x4",  "2x14x1", "2x7x2",
                                        "4x7x1",  "1x24x1", "1x12x2", "1x6x4",  "1x16x1", "1x8x2",
                                        "2x12x1", "2x6x2",  "4x6x1",  "1x10x2", "1x5x4"};
    static const int tiles[][3] = {{0},        {1, 28, 1}, {1, 14, 2}, {1, 7, 4},  {2, 14, 1}, {2, 7, 2},
                                   {4, 7, 1},  {1, 24, 1}, {1, 12, 2}, {1, 6, 4},  {1, 16, 1}, {1, 8, 2},
                                   {2, 12, 1}, {2, 6, 2},  {4, 6, 1},  {1, 10, 2}, {1, 5, 4}};
    char key[NORNI_CONV_KEY];
    norni_conv_tile other;
    norni_conv_key(plain ? "conv_blocked plain" : "conv_blocked", v, key);
    int i = norni_tuned(d, key, sizeof tiles / sizeof *tiles, names, 0);
    if (i && make_tile(v, plain, tiles[i][0], tiles[i][1], tiles[i][2], &other))
        *t = other;
}

bool norni_conv_forward(const norn_node *node, norni_conv *v) {
    norni_conv_of(node, v);
    if (norni_conv_kind(node) == NORNI_CONV_Y)
        return false;
    norni_window *w = &v->w;
    int64_t c = v->c;
    v->c = v->m;
    v->m = c;
    for (int k = 0; k < D; k++) {
        int64_t in = w->in[k], extent = norni_window_extent(w, k);
        w->in[k] = w->out[k];
        w->out[k] = in;
        w->begin[k] = extent - 1 - w->begin[k];
        w->end[k] = extent - 1 - w->end[k];
    }
    return true;
}

void norni_conv_flatten(norni_conv *v) {
    norni_window *w = &v->w;
    if (!norni_window_point(w))
        return;
    for (int k = 0; k < 2; k++) {
        w->in[2] *= w->in[k];
        w->in[k] = 1;
    }
    for (int k = 0; k < 2; k++) {
        w->out[2] *= w->out[k];
        w->out[k] = 1;
    }
}

norni_ref norni_emit_conv_blocks(norni_emit *e, const norni_conv *v, bool transposed, int nv) {
    int block = norni_block_of(v->dtype);
    int64_t taps = norni_window_taps(&v->w), tiles = norni_ceil_div(v->m, block * nv),
            blocks = norni_ceil_div(v->c, block);
    char key[64];
    bool fresh;
    snprintf(key, sizeof key, "blocked %d %lld %d", nv, (long long)v->group, transposed);
    size_t bytes = (size_t)(v->group * tiles * blocks * taps * block * block * nv *
                            (int64_t)norni_compute_bytes(v->dtype));
    norni_ref to = norni_emit_packed(e, 1, bytes, key, &fresh);
    if (fresh) {
        norni_step *s = norni_emit_kernel(e, "conv_blocked.cl", "pack_blocks", v->dtype);
        norni_step_define(e, s, "B", block);
        norni_step_buffer(e, s, norni_emit_in(e, 1), NORNI_READ);
        norni_step_buffer(e, s, to, NORNI_WRITE);
        norni_step_i64(e, s, v->m);
        norni_step_i64(e, s, v->c);
        norni_step_i64(e, s, taps);
        norni_step_i64(e, s, nv);
        norni_step_i32(e, s, transposed);
        norni_step_range(s, 3, (size_t)tiles, (size_t)blocks, (size_t)v->group, 1, 1, 1);
    }
    norni_emit_packed_end(e);
    return to;
}

void norni_conv_place_args(norni_emit *e, norni_step *s, const norni_conv_place *place) {
    const int64_t *const lists[] = {place->first, place->step, place->full};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        norni_step_i64s(e, s, D, lists[i]);
}

void norni_emit_conv_tiles(norni_emit *e, const norni_conv *v, const norni_conv_tile *t, bool plain,
                           norni_ref x, norni_ref weights, norni_ref y, norni_ref bias, bool epilogue,
                           const norni_conv_place *place) {
    const norni_window *w = &v->w;
    int block = norni_block_of(v->dtype);
    norni_step *s = norni_emit_kernel(e, "conv_blocked.cl", "conv_blocked", v->dtype);
    int64_t tiles1 = norni_ceil_div(w->out[1], t->th), tiles2 = norni_ceil_div(w->out[2], t->tw);
    int64_t tiles = w->out[0] * tiles1 * tiles2, panels = norni_ceil_div(v->m, block * t->nv);
    norni_step_define(e, s, "B", block);
    norni_step_define(e, s, "TH", t->th);
    norni_step_define(e, s, "TW", t->tw);
    norni_step_define(e, s, "NV", t->nv);
    norni_step_define(e, s, "XS", t->in_place || w->kernel[2] > 1 ? w->stride[2] : 1);
    norni_step_define(e, s, "PATCH", t->in_place ? 0 : norni_ceil_div(t->elems, 1024) * 1024);
    if (plain)
        norni_step_define(e, s, "PLAIN_IN", 1);
    if (bias >= 0)
        norni_step_define(e, s, "HAS_BIAS", 1);
    norni_step_buffer(e, s, x, NORNI_READ);
    norni_step_buffer(e, s, weights, NORNI_READ);
    norni_step_buffer(e, s, y, place && place->later ? NORNI_READ_WRITE : NORNI_WRITE);
    const int64_t sizes[] = {v->group, v->c, v->m};
    const int64_t rest[] = {tiles1, tiles2, t->rows, t->row_step, t->pw, t->column_step};
    norni_step_i64s(e, s, sizeof sizes / sizeof *sizes, sizes);
    norni_step_window(e, s, w, 0);
    norni_step_i64s(e, s, sizeof rest / sizeof *rest, rest);
    /* What is read again comes from the outer dimension's index and stays in cache: a panel of the weights, or the
     * input of a tile where all weights together are small. */
    int64_t weight_bytes = v->m * v->c * norni_window_taps(w) * (int64_t)norni_compute_bytes(v->dtype);
    bool tiles_first = weight_bytes > 256 * 1024;
    norni_step_i32(e, s, tiles_first);
    if (place) {
        norni_step_define(e, s, "PLACED", 1);
        norni_conv_place_args(e, s, place);
    }
    if (bias >= 0)
        norni_step_buffer(e, s, bias, NORNI_READ);
    if (epilogue && place)
        norni_emit_epilogue(e, s, NORNI_LANES_CHANNELS, (unsigned)block);
    else if (epilogue)
        norni_emit_epilogue_once(e, s, NORNI_LANES_CHANNELS, (unsigned)block);
    norni_step_range(s, 3, (size_t)(tiles_first ? tiles : panels), (size_t)(tiles_first ? panels : tiles),
                     (size_t)(v->n * v->group), 1, 1, 1);
}

norn_status norni_emit_conv_blocked(norni_emit *e) {
    norni_conv v;
    norni_conv_tile t;
    bool transposed = norni_conv_forward(e->node, &v);
    norni_conv_flatten(&v);
    bool plain = e->form == NORNI_TO_BLOCKED;
    if (!norni_conv_choose_tile(&v, plain, &t))
        return norni_fail(NORN_INTERNAL, "conv_blocked: no tile");
    tuned_tile(e->device, &v, plain, &t);
    norni_ref weights = norni_emit_conv_blocks(e, &v, transposed, t.nv), bias = norni_emit_conv_bias(e);
    norni_emit_conv_tiles(e, &v, &t, plain, norni_emit_in(e, 0), weights, norni_emit_out(e, 0), bias, true,
                          NULL);
    return e->status;
}

norni_ref norni_emit_conv_bias(norni_emit *e) {
    const norn_node *n = e->node;
    return n->n_in > 2 && n->in[2]
               ? norni_emit_whole_blocks(e, n->in[2], norni_block_of(n->in[0]->type.dtype))
               : -1;
}

const char *norni_conv_blocks_fit(const norni_fit *f) {
    const norn_node *n = f->node;
    norni_conv v;
    if (!norni_device_is_cpu(f->device))
        return "made for CPUs";
    if (!norni_blockable(&n->in[0]->type) ||
        !norni_blockable(norni_conv_kind(n) == NORNI_CONV_W ? &n->in[1]->type : &n->out[0]->type))
        return "there are no elements";
    norni_conv_of(n, &v);
    int block = norni_block_of(v.dtype);
    return v.group > 1 && (v.c % block || v.m % block) ? "groups are no whole blocks of channels" : NULL;
}

static const char *blocked_fits(const norni_fit *f, bool plain) {
    norni_conv v;
    norni_conv_tile t;
    const char *why = norni_conv_blocks_fit(f);
    if (why)
        return why;
    bool strides = norni_conv_forward(f->node, &v);
    for (int k = 0; k < D; k++)
        if (strides && v.w.stride[k] != 1)
            return "the stride is not 1";
    norni_conv_flatten(&v);
    return norni_conv_choose_tile(&v, plain, &t) ? NULL : "the kernel is too large";
}

const char *norni_conv_blocked_fits(const norni_fit *f) {
    return blocked_fits(f, false);
}

const char *norni_conv_to_blocked_fits(const norni_fit *f) {
    return blocked_fits(f, true);
}

/* ---- One channel a group. */
enum { PIXELS = 6 };

norni_ref norni_emit_channel_weights(norni_emit *e, int input, const norni_conv *v) {
    int block = norni_block_of(v->dtype);
    int64_t taps = norni_window_taps(&v->w), blocks = norni_ceil_div(v->group, block);
    bool fresh;
    norni_ref weights =
        norni_emit_packed(e, input, (size_t)(blocks * taps * block * (int64_t)norni_compute_bytes(v->dtype)),
                          "channels", &fresh);
    if (fresh) {
        norni_step *s = norni_emit_kernel(e, "conv_blocked.cl", "pack_channels", v->dtype);
        norni_step_define(e, s, "B", block);
        norni_step_buffer(e, s, norni_emit_in(e, input), NORNI_READ);
        norni_step_buffer(e, s, weights, NORNI_WRITE);
        norni_step_i64(e, s, v->group);
        norni_step_i64(e, s, taps);
        norni_step_range(s, 1, (size_t)blocks, 1, 1, 1, 1, 1);
    }
    norni_emit_packed_end(e);
    return weights;
}

void norni_emit_conv_rows(norni_emit *e, norni_step *s, const norni_conv *v, norni_ref weights,
                          norni_ref bias) {
    int block = norni_block_of(v->dtype);
    int64_t blocks = norni_ceil_div(v->group * v->m, block), rows = v->w.out[1],
            units = e->device->compute_units ? e->device->compute_units : 1;
    int64_t each = norni_ceil_div(rows, norni_min(rows, norni_ceil_div(units * 8, blocks * v->n)));
    norni_step_define(e, s, "B", block);
    norni_step_buffer(e, s, norni_emit_in(e, 0), NORNI_READ);
    norni_step_buffer(e, s, weights, NORNI_READ);
    norni_step_buffer(e, s, norni_emit_out(e, 0), NORNI_WRITE);
    norni_step_window(e, s, &v->w, 1);
    norni_step_i64(e, s, each);
    if (bias >= 0) {
        norni_step_define(e, s, "HAS_BIAS", 1);
        norni_step_buffer(e, s, bias, NORNI_READ);
    }
    norni_emit_epilogue_once(e, s, NORNI_LANES_CHANNELS, (unsigned)block);
    norni_step_range(s, 3, (size_t)norni_ceil_div(rows, each), (size_t)blocks, (size_t)v->n, 1, 1, 1);
}

const char *norni_conv_rows_fit(const norni_fit *f, norni_conv *v) {
    if (!norni_device_is_cpu(f->device))
        return "made for CPUs";
    if (!norni_blockable(&f->node->in[0]->type) || !norni_blockable(&f->node->out[0]->type))
        return "there are no elements";
    norni_conv_of(f->node, v);
    return v->w.in[0] == 1 && v->w.out[0] == 1 && v->w.kernel[0] == 1 ? NULL : "there are three dimensions";
}

norn_status norni_emit_conv_channels(norni_emit *e) {
    norni_conv v;
    norni_conv_of(e->node, &v);
    const norni_window *w = &v.w;
    norni_ref weights = norni_emit_channel_weights(e, 1, &v), bias = norni_emit_conv_bias(e);
    norni_step *s = norni_emit_kernel(e, "conv_blocked.cl", "conv_channels", v.dtype);
    norni_step_define(e, s, "TW", w->out[2] >= 2 * PIXELS ? PIXELS : 4);
    if (norni_window_taps(w) <= 9) {
        norni_step_define(e, s, "K1", w->kernel[1]);
        norni_step_define(e, s, "K2", w->kernel[2]);
    } else
        norni_step_define(e, s, "ANY", 1);
    norni_emit_conv_rows(e, s, &v, weights, bias);
    return e->status;
}

const char *norni_conv_channels_fits(const norni_fit *f) {
    norni_conv v;
    const char *why = norni_conv_rows_fit(f, &v);
    return why ? why : v.group == 1 || v.c != 1 || v.m != 1 ? "groups have several channels" : NULL;
}
