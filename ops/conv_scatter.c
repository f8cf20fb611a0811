/* SPDX-License-Identifier: Apache-2.0 */
/* ConvTranspose of small images by adding up what each pixel contributes (ops/conv_scatter.cl), for CPUs. The other way,
 * a convolution of the padded input, multiplies as many elements of padding as there are where kernels are large and
 * images small: the gradients of convolutions without padding. */
#include "ops/conv_blocked.h"
#include <math.h>

enum { D = NORNI_WINDOW_DIMS };

typedef struct {
    int tw, nv;
    bool half;   /* of the last block's lanes are used */
    double time; /* cycles of an image and a group, roughly */
} tile;

/* v: of the node; y, as large as v's input, is computed from x, as large as v's output. */
static bool choose_tile(const norni_conv *v, tile *best) {
    enum { MOST_BYTES = 40 * 1024 };
    int block = norni_block_of(v->dtype);
    int64_t blocks = norni_ceil_div(v->c, block), outs = norni_window_out(&v->w),
            pixels = norni_elems(D, v->w.in);
    best->time = INFINITY;
    if (outs < 1 || outs > 1024)
        return false;
    for (int nv = 1; nv <= 4 && nv <= blocks; nv++)
        for (int tw = 1; tw * nv <= 26 && tw <= outs; tw++) {
            int64_t last = v->c % block;
            bool half = v->group == 1 && nv == blocks && last > 0 && last <= block / 2;
            double step = fmax(tw * (half ? nv - 0.5 : nv), 5) + 0.25 * nv + 0.4;
            double time =
                (double)(norni_ceil_div(blocks, nv) * norni_window_taps(&v->w) * norni_ceil_div(outs, tw)) *
                (step * (double)v->m + tw * (nv * 3 + 6) + 10);
            if (pixels * nv * 64 <= MOST_BYTES && time < best->time * 0.999)
                *best = (tile){tw, nv, half, time};
        }
    return best->time < INFINITY;
}

norn_status norni_emit_conv_scatter(norni_emit *e) {
    norni_conv v;
    tile t;
    norni_conv_of(e->node, &v);
    if (!choose_tile(&v, &t))
        return norni_fail(NORN_INTERNAL, "conv_scatter: no tile");
    const norni_window *w = &v.w;
    int block = norni_block_of(v.dtype);
    bool padded = false;
    norni_conv forward = v;
    forward.c = v.m;
    forward.m = v.c;
    norni_ref weights = norni_emit_conv_blocks(e, &forward, true, t.nv), bias = norni_emit_conv_bias(e);
    for (int k = 0; k < D; k++)
        padded |= w->begin[k] > 0 ||
                  (w->out[k] - 1) * w->stride[k] - w->begin[k] + norni_window_extent(w, k) > w->in[k];
    norni_step *s = norni_emit_kernel(e, "conv_scatter.cl", "conv_scatter", v.dtype);
    norni_step_define(e, s, "B", block);
    norni_step_define(e, s, "TW", t.tw);
    norni_step_define(e, s, "NV", t.nv);
    norni_step_define(e, s, "PIXELS", norni_elems(D, w->in));
    norni_step_define(e, s, "OUTS", norni_window_out(w));
    if (padded)
        norni_step_define(e, s, "PADDED", 1);
    if (t.half)
        norni_step_define(e, s, "HALF", block / 2);
    norni_step_buffer(e, s, norni_emit_in(e, 0), NORNI_READ);
    norni_step_buffer(e, s, weights, NORNI_READ);
    norni_step_buffer(e, s, norni_emit_out(e, 0), NORNI_WRITE);
    const int64_t sizes[] = {v.group, v.m, v.c};
    norni_step_i64s(e, s, sizeof sizes / sizeof *sizes, sizes);
    norni_step_window(e, s, w, 0);
    if (bias >= 0) {
        norni_step_define(e, s, "HAS_BIAS", 1);
        norni_step_buffer(e, s, bias, NORNI_READ);
    }
    norni_emit_epilogue_once(e, s, NORNI_LANES_CHANNELS, (unsigned)block);
    norni_step_range(s, 2, (size_t)norni_ceil_div(norni_ceil_div(v.c, block), t.nv), (size_t)(v.n * v.group),
                     1, 1, 1, 1);
    return e->status;
}

const char *norni_conv_scatter_fits(const norni_fit *f) {
    norni_conv v;
    norni_conv_tile direct;
    tile t;
    const char *why = norni_conv_blocks_fit(f);
    if (why)
        return why;
    norni_conv_of(f->node, &v);
    int block = norni_block_of(v.dtype);
    if (!choose_tile(&v, &t))
        return "images are too large";
    if (f->wanted)
        return NULL;
    for (int k = 0; k < D; k++)
        if (v.w.stride[k] > 1)
            return "phases are faster";
    int64_t units = f->device->compute_units ? f->device->compute_units : 1;
    if (v.n * v.group * norni_ceil_div(norni_ceil_div(v.c, block), t.nv) < units)
        return "there are fewer images than cores";
    norni_conv_forward(f->node, &v);
    if (!norni_conv_choose_tile(&v, false, &direct))
        return NULL;
    return t.time < 0.85 * direct.time ? NULL : "there is little padding";
}
