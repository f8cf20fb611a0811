/* SPDX-License-Identifier: Apache-2.0 */
/* norn.ConvGradW over planes (ops/conv_direct_w.cl), for CPUs. */
#include "ops/conv_direct.h"
#include <math.h>

enum { D = NORNI_WINDOW_DIMS };

/* Rows of dy and pairs (channel, kernel element) of a register tile. */
typedef struct {
    int mr, nt;
} tile;
static const tile tiles[] = {{4, 6}, {6, 4}, {3, 9}, {3, 8}, {2, 9}, {1, 9}};

/* The least time: a step of a tile multiplies mr * nt vectors, two a cycle, and loads mr aligned ones and nt that lie
 * across cache lines, two or one a cycle. */
static tile choose_tile(int64_t m, int64_t pairs) {
    tile best = tiles[0];
    double least = INFINITY;
    for (size_t i = 0; i < sizeof tiles / sizeof *tiles; i++) {
        const tile *t = &tiles[i];
        double step = fmax(t->mr * t->nt / 2.0, t->mr / 2.0 + t->nt) + 1;
        double time = (double)norni_ceil_div(m, t->mr) * (double)norni_ceil_div(pairs, t->nt) * step;
        if (time < least * 0.999) {
            least = time;
            best = *t;
        }
    }
    return best;
}

void norni_emit_sum_parts(norni_emit *e, norn_dtype dtype, norni_ref partial, norni_ref w, int64_t elems,
                          int64_t parts) {
    norni_step *s = norni_emit_kernel(e, "conv_direct_w.cl", "sum_parts", dtype);
    norni_step_buffer(e, s, partial, NORNI_READ);
    norni_step_buffer(e, s, w, NORNI_WRITE);
    norni_step_i64(e, s, elems);
    norni_step_i64(e, s, parts);
    norni_step_items(e, s, 1, norni_ceil_div(elems, 1024), 1, 1);
}

norn_status norni_emit_conv_direct_w(norni_emit *e) {
    norni_conv v;
    norni_planes pl;
    norni_conv_of(e->node, &v);
    int64_t taps = norni_window_taps(&v.w), pairs = v.c * taps, elems = v.group * v.m * pairs;
    if (!elems)
        return e->status;
    norni_planes_of(&v.w, &pl);
    size_t bytes = norni_compute_bytes(v.dtype);
    int width = bytes == 8 ? 8 : 16;
    int64_t cache_bytes = 3 << 19;
    tile t = choose_tile(v.m, pairs);
    /* dy as gapped as the outputs of the planes, each row ending with a whole vector */
    norni_window dw = {.rank = v.w.rank};
    norni_planes dp = {{1, 1, 1}, pl.q1, pl.q2, pl.pixels, norni_ceil_div(pl.pixels, width) * width,
                       pl.pixels, false};
    for (int k = 0; k < D; k++) {
        dw.in[k] = dw.out[k] = v.w.out[k];
        dw.kernel[k] = dw.stride[k] = dw.dilation[k] = 1;
    }
    int64_t slack = dp.channel - pl.pixels + width, x_image = v.group * v.c * pl.channel,
            y_image = v.group * v.m * dp.channel;
    int64_t units = e->device->compute_units ? e->device->compute_units : 1;
    int64_t pair_tiles = norni_ceil_div(pairs, t.nt), m_tiles = norni_ceil_div(v.m, t.mr);
    /* As much of a group at a time as stays in the cache while all tiles read it: images, or a range of a large one's pixels. */
    int64_t image = (x_image + y_image) * (int64_t)bytes, most = norni_conv_room(e->device) / image,
            chunk = cache_bytes * v.group / image;
    chunk = chunk > most ? most : chunk;
    chunk = chunk < 1 ? 1 : chunk > v.n ? v.n : chunk;
    int64_t range = norni_ceil_div(image / v.group, cache_bytes);
    range = norni_ceil_div(norni_ceil_div(dp.channel, range), width) * width;
    /* Few tiles: the images are shared out too, and the parts summed. */
    int64_t parts = norni_ceil_div(units * 4, pair_tiles * m_tiles * v.group);
    parts = parts > chunk ? chunk : parts;
    int64_t m_parts = norni_ceil_div(units * 8, pair_tiles * v.group * parts);
    int64_t m_each = norni_ceil_div(m_tiles, m_parts > m_tiles ? m_tiles : m_parts) * t.mr;
    bool in_place = dp.channel == pl.pixels && !pl.gaps && norni_compute_dtype(v.dtype) == v.dtype;
    bool once = chunk == v.n && range >= dp.channel;
    bool partial = parts > 1 || (!once && norni_compute_dtype(v.dtype) != v.dtype);
    norni_ref planes = norni_emit_scratch(e, (size_t)(chunk * x_image + slack) * bytes);
    norni_ref dy = in_place ? norni_emit_in(e, 1) : norni_emit_scratch(e, (size_t)(chunk * y_image) * bytes);
    norni_ref w = partial ? norni_emit_scratch(e, (size_t)(parts * elems) * bytes) : norni_emit_out(e, 0);
    for (int64_t n0 = 0; n0 < v.n; n0 += chunk) {
        int64_t images = chunk < v.n - n0 ? chunk : v.n - n0;
        norni_emit_planes(e, v.dtype, &v.w, &pl, norni_emit_in(e, 0), planes, v.group * v.c, n0, images,
                          slack);
        if (!in_place)
            norni_emit_planes(e, v.dtype, &dw, &dp, norni_emit_in(e, 1), dy, v.group * v.m, n0, images, 0);
        for (int64_t p0 = 0; p0 < dp.channel; p0 += range) {
            norni_step *s = norni_emit_kernel(e, "conv_direct_w.cl", "conv_direct_w", v.dtype);
            norni_step_define(e, s, "MR", t.mr);
            norni_step_define(e, s, "NT", t.nt);
            norni_step_define(e, s, "W", width);
            if (n0 || p0)
                norni_step_define(e, s, "ADD", 1);
            if (partial)
                norni_step_define(e, s, "PARTIAL", 1);
            norni_step_buffer(e, s, planes, NORNI_READ);
            norni_step_buffer(e, s, dy, NORNI_READ);
            norni_step_buffer(e, s, w, n0 || p0 ? NORNI_READ_WRITE : NORNI_WRITE);
            const int64_t sizes[] = {in_place ? n0 * y_image : 0,
                                     images,
                                     norni_ceil_div(images, parts),
                                     v.group,
                                     v.c,
                                     v.m,
                                     m_each};
            const int64_t *const lists[] = {v.w.kernel, v.w.stride, v.w.dilation};
            const int64_t rest[] = {
                pl.phases[1], pl.phases[2], pl.q1,
                pl.q2,        pl.plane,     pl.channel,
                dp.channel,   p0,           p0 + range < dp.channel ? p0 + range : dp.channel};
            norni_step_i64s(e, s, sizeof sizes / sizeof *sizes, sizes);
            for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
                norni_step_i64s(e, s, D, lists[i]);
            norni_step_i64s(e, s, sizeof rest / sizeof *rest, rest);
            norni_step_range(s, 3, (size_t)norni_ceil_div(v.m, m_each), (size_t)pair_tiles,
                             (size_t)(v.group * parts), 1, 1, 1);
        }
    }
    if (partial)
        norni_emit_sum_parts(e, v.dtype, w, norni_emit_out(e, 0), elems, parts);
    return e->status;
}

const char *norni_conv_direct_w_fits(const norni_fit *f) {
    norni_conv v;
    norni_planes pl;
    if (!norni_device_is_cpu(f->device))
        return "made for CPUs";
    norni_conv_of(f->node, &v);
    if (!v.n || !norni_window_out(&v.w))
        return "there is nothing to sum";
    return norni_planes_of(&v.w, &pl) ? NULL : "the sizes are beyond 32 bits";
}
