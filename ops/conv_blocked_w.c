/* SPDX-License-Identifier: Apache-2.0 */
/* norn.ConvGradW from x and dy in blocked form (ops/conv_blocked_w.cl), for CPUs; the result is in plain form. */
#include "ops/conv_blocked.h"
#include "ops/conv_direct.h"
#include <math.h>

enum { D = NORNI_WINDOW_DIMS, MOST_KEPT = 1024 /* vectors of a work-item */ };

static int64_t limit(int64_t v, int64_t lo, int64_t hi) {
    return v > hi ? hi : v < lo ? lo : v;
}

/* A step loads nv vectors and splats cc scalars for cc * nv products, one a cycle. */
bool norni_conv_w_choose_tile(const norni_conv *v, norni_conv_w_tile *best) {
    int block = norni_block_of(v->dtype);
    int64_t blocks_m = norni_ceil_div(v->m, block);
    best->time = INFINITY;
    for (int cc = 1; cc <= block; cc++)
        for (int nv = 1; nv <= 4 && cc * nv <= 24; nv++) {
            if ((block % cc && cc != v->c) || (nv > 1 && nv > blocks_m) || cc > v->c)
                continue;
            norni_conv_w_tile t = {.cc = cc, .nv = nv};
            t.panels_c = norni_ceil_div(v->c, cc);
            t.panels_m = norni_ceil_div(blocks_m, nv);
            double step = fmax(cc * nv, 6) + 0.5 * nv + 1.5;
            t.time = (double)(t.panels_c * t.panels_m) * step * (double)norni_window_out(&v->w) *
                     (double)norni_window_taps(&v->w);
            if (t.time < best->time * 0.999)
                *best = t;
        }
    return best->time < INFINITY;
}

norni_step *norni_emit_conv_w_tiles(norni_emit *e, const norni_conv *v, const norni_conv_w_tile *t,
                                    norni_ref x, norni_ref dy, norni_ref dw, bool add, int64_t parts) {
    enum { CACHE_BYTES = 24 * 1024 };
    const norni_window *w = &v->w;
    int block = norni_block_of(v->dtype);
    int64_t taps = norni_window_taps(w), taps_each = limit(MOST_KEPT / (t->cc * t->nv), 1, taps);
    int64_t pixel = block * norni_dtype_bits(v->dtype) / 8;
    int64_t image = (norni_elems(D, w->in) + t->nv * norni_window_out(w)) * pixel;
    int64_t each = norni_ceil_div(v->n, parts), chunk = limit(CACHE_BYTES / image, 1, each);
    norni_step *s = norni_emit_kernel(e, "conv_blocked_w.cl", "conv_blocked_w", v->dtype);
    norni_step_define(e, s, "B", block);
    norni_step_define(e, s, "CC", t->cc);
    norni_step_define(e, s, "NV", t->nv);
    norni_step_define(e, s, "TAPS", taps_each);
    norni_step_buffer(e, s, x, NORNI_READ);
    norni_step_buffer(e, s, dy, NORNI_READ);
    norni_step_buffer(e, s, dw, add ? NORNI_READ_WRITE : NORNI_WRITE);
    if (add)
        norni_step_define(e, s, "ADD", 1);
    const int64_t sizes[] = {v->n, each, chunk, v->group, v->c, v->m, t->panels_c};
    norni_step_i64s(e, s, sizeof sizes / sizeof *sizes, sizes);
    norni_step_window(e, s, w, 0);
    norni_step_range(s, 3, (size_t)t->panels_m, (size_t)(t->panels_c * norni_ceil_div(taps, taps_each)),
                     (size_t)(v->group * parts), 1, 1, 1);
    return s;
}

norn_status norni_emit_conv_blocked_w(norni_emit *e) {
    norni_conv v;
    norni_conv_w_tile t;
    norni_conv_of(e->node, &v);
    norni_conv_flatten(&v);
    if (!norni_conv_w_choose_tile(&v, &t))
        return norni_fail(NORN_INTERNAL, "conv_blocked_w: no tile");
    int64_t taps = norni_window_taps(&v.w), elems = v.group * v.m * v.c * taps;
    int64_t units = e->device->compute_units ? e->device->compute_units : 1;
    /* Few panels: the images are shared out too, and the parts summed. */
    int64_t parts = limit(norni_ceil_div(units * 6, t.panels_m * t.panels_c * v.group), 1, v.n);
    parts = norni_ceil_div(v.n, norni_ceil_div(v.n, parts));
    norni_ref dw = parts == 1 ? norni_emit_out(e, 0)
                              : norni_emit_scratch(e, (size_t)(parts * elems) * norni_compute_bytes(v.dtype));
    norni_step *s =
        norni_emit_conv_w_tiles(e, &v, &t, norni_emit_in(e, 0), norni_emit_in(e, 1), dw, false, parts);
    if (parts > 1) {
        norni_step_define(e, s, "PARTIAL", 1);
        norni_emit_sum_parts(e, v.dtype, dw, norni_emit_out(e, 0), elems, parts);
    }
    return e->status;
}

const char *norni_conv_blocked_w_fits(const norni_fit *f) {
    norni_conv v;
    norni_conv_w_tile t;
    const char *why = norni_conv_blocks_fit(f);
    if (why)
        return why;
    norni_conv_of(f->node, &v);
    norni_conv_flatten(&v);
    return norni_conv_w_choose_tile(&v, &t) ? NULL : "there is no tile";
}
