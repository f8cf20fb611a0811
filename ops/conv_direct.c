/* SPDX-License-Identifier: Apache-2.0 */
/* Convolution as an implicit matrix product over planes (ops/conv_direct.cl), for CPUs. Conv with any stride and
 * dilation; ConvTranspose with stride 1, which is a convolution with the kernel reversed and the channels exchanged. */
#include "ops/conv_direct.h"
#include <math.h>
#include <stdio.h>

enum { D = NORNI_WINDOW_DIMS, MAX_TAPS = 512 };

int64_t norni_conv_room(const norn_device *d) {
    uint64_t most = (uint64_t)64 << 20;
    if (d->memory_bytes && d->memory_bytes / 8 < most)
        most = d->memory_bytes / 8;
    if (d->max_alloc_bytes && d->max_alloc_bytes / 4 < most)
        most = d->max_alloc_bytes / 4;
    return (int64_t)most;
}

/* Elements of a row (k = 2) or rows of a slice (k = 1). Row element j of phase f is input j * s + f - begin. The row
 * may end before the last element that windows reach, out - 1 + reach, where what follows is padding on both
 * sides: this row's from element `right` on, the next row's before element `left`. */
static int64_t pitch(const norni_window *w, int k, int64_t phases, int64_t reach) {
    int64_t s = w->stride[k], right = 0, left = INT64_MAX, all = w->out[k] + reach;
    for (int64_t f = 0; f < phases; f++) {
        int64_t l = w->begin[k] - f, r = w->in[k] + w->begin[k] - f;
        left = norni_min(left, l > 0 ? norni_ceil_div(l, s) : 0);
        right = norni_max(right, r > 0 ? norni_ceil_div(r, s) : 0);
    }
    return norni_max(w->out[k], norni_min(all, norni_max(right, all - left)));
}

bool norni_planes_of(const norni_window *w, norni_planes *p) {
    int64_t reach[D];
    for (int k = 0; k < D; k++) {
        p->phases[k] = 1;
        reach[k] = (w->kernel[k] - 1) * w->dilation[k] / w->stride[k];
        for (int64_t t = 0; t < w->kernel[k] && t < w->stride[k]; t++)
            p->phases[k] = norni_max(p->phases[k], t * w->dilation[k] % w->stride[k] + 1);
    }
    p->q2 = pitch(w, 2, p->phases[2], reach[2]);
    p->q1 = pitch(w, 1, p->phases[1], reach[1]);
    p->pixels = ((w->out[0] - 1) * p->q1 + w->out[1] - 1) * p->q2 + w->out[2];
    p->plane = ((w->out[0] - 1 + reach[0]) * p->q1 + w->out[1] - 1 + reach[1]) * p->q2 + w->out[2] + reach[2];
    p->gaps = p->q2 > w->out[2] || (p->q1 > w->out[1] && w->out[0] > 1);
    double elems = (double)p->plane * (double)p->phases[0] * (double)p->phases[1] * (double)p->phases[2];
    if (elems > 1e9 || (double)w->in[0] * (double)w->in[1] * (double)w->in[2] > 1e9)
        return false;
    p->channel = norni_ceil_div(p->plane * p->phases[0] * p->phases[1] * p->phases[2], 16) * 16;
    if (p->channel % 1024 == 0) /* channels a multiple of 4 KB apart fall into the same cache sets */
        p->channel += 16;
    return true;
}

void norni_emit_planes(norni_emit *e, norn_dtype dtype, const norni_window *w, const norni_planes *p,
                       norni_ref x, norni_ref to, int64_t channels, int64_t image0, int64_t images,
                       int64_t slack) {
    int64_t rows = norni_ceil_div(p->plane, p->q2),
            units = e->device->compute_units ? e->device->compute_units : 1;
    int64_t want = norni_ceil_div(units * 8, channels * images),
            rows_each = norni_ceil_div(rows, norni_min(want, rows));
    norni_step *s = norni_emit_kernel(e, "conv_direct.cl", "pad_planes", dtype);
    norni_step_define(e, s, "W", norni_compute_bytes(dtype) == 8 ? 8 : 16);
    norni_step_buffer(e, s, x, NORNI_READ);
    norni_step_buffer(e, s, to, NORNI_WRITE);
    const int64_t sizes[] = {channels, images, image0};
    const int64_t *const lists[] = {w->in, w->stride, w->begin, p->phases};
    const int64_t rest[] = {p->q1, p->q2, p->plane, p->channel, slack, rows_each};
    norni_step_i64s(e, s, sizeof sizes / sizeof *sizes, sizes);
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        norni_step_i64s(e, s, D, lists[i]);
    norni_step_i64s(e, s, sizeof rest / sizeof *rest, rest);
    norni_step_items(e, s, 3, norni_ceil_div(rows, rows_each), channels, images);
}

/* ---- The convolution that is computed: x and y are those of the step, whatever the node calls them. */
typedef struct {
    norn_dtype dtype;
    int64_t n, group, c, m;
    norni_window w;
    int64_t step_g, step_m, step_c, step_t, first; /* of the weights, see pack_weights */
} problem;

static void problem_of(const norn_node *node, problem *p) {
    norni_conv v;
    norni_conv_of(node, &v);
    int64_t taps = norni_window_taps(&v.w);
    *p = (problem){v.dtype, v.n, v.group, v.c, v.m, v.w, v.m * v.c * taps, v.c * taps, taps, 1, 0};
    if (norni_conv_kind(node) == NORNI_CONV_Y)
        return;
    p->c = v.m;
    p->m = v.c;
    p->step_m = taps;
    p->step_c = v.c * taps;
    p->step_t = -1;
    p->first = taps - 1;
    for (int k = 0; k < D; k++) {
        int64_t extent = norni_window_extent(&v.w, k);
        p->w.in[k] = v.w.out[k];
        p->w.out[k] = v.w.in[k];
        p->w.begin[k] = extent - 1 - v.w.begin[k];
        p->w.end[k] = extent - 1 - v.w.end[k];
    }
}

/* Rows and vectors of the tile: the least work including what is padded. `speed` is what a tile reaches, as a share of
 * the best (measured on AVX-512 and AVX2). */
typedef struct {
    int mr, nv;
    double speed;
} tile;
static const tile tiles[] = {{14, 2, 1}, {12, 2, 1},   {8, 3, 1},   {6, 4, 1},  {4, 4, 0.9},
                             {28, 1, 1}, {16, 1, 0.9}, {2, 4, 0.6}, {1, 4, 0.4}};

static tile choose_tile(int64_t m, int64_t pixels, int width) {
    tile best = tiles[0];
    double least = INFINITY;
    for (size_t i = 0; i < sizeof tiles / sizeof *tiles; i++) {
        const tile *t = &tiles[i];
        int64_t nr = (int64_t)t->nv * width;
        double work =
            (double)(norni_ceil_div(m, t->mr) * t->mr) * (double)(norni_ceil_div(pixels, nr) * nr) / t->speed;
        if (work < least * 0.995) {
            least = work;
            best = *t;
        }
    }
    return best;
}

static norni_ref pack_weights(norni_emit *e, const problem *p, int mr) {
    int64_t taps = norni_window_taps(&p->w), panels = norni_ceil_div(p->m, mr);
    char key[96];
    bool fresh;
    snprintf(key, sizeof key, "direct %d %lld %lld %lld", mr, (long long)p->m, (long long)p->c,
             (long long)p->step_t);
    size_t bytes = (size_t)(p->group * panels * mr * p->c * taps) * norni_compute_bytes(p->dtype);
    norni_ref to = norni_emit_packed(e, 1, bytes, key, &fresh);
    if (fresh) {
        int64_t parts = norni_min(p->c, norni_ceil_div(16, panels * p->group)),
                c_each = norni_ceil_div(p->c, parts);
        norni_step *s = norni_emit_kernel(e, "conv_direct.cl", "pack_weights", p->dtype);
        norni_step_define(e, s, "MR", mr);
        norni_step_buffer(e, s, norni_emit_in(e, 1), NORNI_READ);
        norni_step_buffer(e, s, to, NORNI_WRITE);
        const int64_t sizes[] = {p->m,      p->c,      taps,     p->step_g, p->step_m,
                                 p->step_c, p->step_t, p->first, c_each};
        norni_step_i64s(e, s, sizeof sizes / sizeof *sizes, sizes);
        norni_step_items(e, s, 3, panels, norni_ceil_div(p->c, c_each), p->group);
    }
    norni_emit_packed_end(e);
    return to;
}

norn_status norni_emit_conv_direct(norni_emit *e) {
    problem p;
    norni_planes pl;
    problem_of(e->node, &p);
    if (!norni_type_elems(&e->node->out[0]->type))
        return e->status;
    norni_planes_of(&p.w, &pl);
    size_t bytes = norni_compute_bytes(p.dtype);
    int width = bytes == 8 ? 8 : 16;
    tile t = choose_tile(p.m, pl.pixels, width);
    int64_t nr = (int64_t)t.nv * width, n_tiles = norni_ceil_div(pl.pixels, nr),
            panels = norni_ceil_div(p.m, t.mr);
    int64_t slack = n_tiles * nr - pl.pixels + width, image = p.group * p.c * pl.channel;
    int64_t chunk = norni_max(1, norni_min(p.n, norni_conv_room(e->device) / (image * (int64_t)bytes)));
    bool in_place = norni_window_point(&p.w) && pl.pixels >= width;
    if (in_place) {
        pl.channel = pl.pixels;
        chunk = p.n;
    }
    norni_ref planes =
        in_place ? norni_emit_in(e, 0) : norni_emit_scratch(e, (size_t)(chunk * image + slack) * bytes);
    norni_ref w = pack_weights(e, &p, t.mr);
    int64_t taps = norni_window_taps(&p.w), tiles_each = norni_max(1, 16384 / (p.c * taps * t.mr * t.nv / 2));
    for (int64_t n0 = 0; n0 < p.n; n0 += chunk) {
        int64_t images = norni_min(chunk, p.n - n0);
        if (!in_place)
            norni_emit_planes(e, p.dtype, &p.w, &pl, norni_emit_in(e, 0), planes, p.group * p.c, n0, images,
                              slack);
        norni_step *s = norni_emit_kernel(e, "conv_direct.cl", "conv_direct", p.dtype);
        norni_step_define(e, s, "MR", t.mr);
        norni_step_define(e, s, "W", width);
        norni_step_define(e, s, "NV", t.nv);
        norni_step_define(e, s, "TAPS", taps <= 32 ? 32 : taps <= 128 ? 128 : MAX_TAPS);
        if (in_place)
            norni_step_define(e, s, "IN_PLACE", 1);
        if (pl.gaps)
            norni_step_define(e, s, "GAPS", 1);
        norni_step_buffer(e, s, planes, NORNI_READ);
        norni_step_buffer(e, s, w, NORNI_READ);
        norni_step_buffer(e, s, norni_emit_out(e, 0), NORNI_WRITE);
        const int64_t sizes[] = {n0, p.group, p.c, p.m};
        const int64_t *const lists[] = {p.w.kernel, p.w.stride, p.w.dilation};
        const int64_t rest[] = {
            pl.phases[1], pl.phases[2],           pl.q1,     pl.q2,   pl.plane,  pl.channel, p.w.out[1],
            p.w.out[2],   norni_window_out(&p.w), pl.pixels, n_tiles, tiles_each};
        norni_step_i64s(e, s, sizeof sizes / sizeof *sizes, sizes);
        for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
            norni_step_i64s(e, s, D, lists[i]);
        norni_step_i64s(e, s, sizeof rest / sizeof *rest, rest);
        if (e->node->n_in > 2 && e->node->in[2]) {
            norni_step_define(e, s, "HAS_BIAS", 1);
            norni_step_buffer(e, s, norni_emit_in(e, 2), NORNI_READ);
        }
        norni_emit_epilogue(e, s, NORNI_LANES_PIXELS, 1u | (unsigned)width);
        /* What is read again comes from the inner dimension: tiles of the planes, or panels of the weights where
         * those are the larger. */
        bool tiles_first = p.m * taps > pl.channel;
        size_t parts = (size_t)norni_ceil_div(n_tiles, tiles_each);
        if (tiles_first)
            norni_step_define(e, s, "TILES_FIRST", 1);
        norni_step_range(s, 3, tiles_first ? parts : (size_t)panels, tiles_first ? (size_t)panels : parts,
                         (size_t)(images * p.group), 1, 1, 1);
    }
    return e->status;
}

const char *norni_conv_direct_fits(const norni_fit *f) {
    problem p;
    norni_planes pl;
    if (!norni_device_is_cpu(f->device))
        return "made for CPUs";
    problem_of(f->node, &p);
    for (int k = 0; k < D; k++)
        if (norni_conv_kind(f->node) == NORNI_CONV_X && p.w.stride[k] != 1)
            return "the stride is not 1";
    if (norni_window_taps(&p.w) > MAX_TAPS)
        return "more kernel elements than it has room for";
    if (!p.c)
        return "there are no channels";
    return norni_planes_of(&p.w, &pl) ? NULL : "the sizes are beyond 32 bits";
}
