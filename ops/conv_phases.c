/* SPDX-License-Identifier: Apache-2.0 */
/* ConvTranspose with strides in blocked form, for CPUs: the outputs i that share (i + begin) mod stride, a phase, meet the
 * same kernel elements, k = phase, phase + stride, ..., and are a convolution with stride 1 and these elements reversed
 * (ops/conv_blocked.cl). No element is multiplied in vain; a phase without elements is zero or the bias. */
#include "ops/conv_blocked.h"
#include <stdio.h>

enum { D = NORNI_WINDOW_DIMS };

/* One phase: its convolution, from the node's input to the elements of the output that `place` says, and which
 * kernel elements. */
typedef struct {
    norni_conv conv;
    norni_conv_place place;
    int64_t first[D];   /* kernel element */
    bool empty, filled; /* without outputs; without kernel elements */
} phase;

static phase phase_of(const norni_conv *v, int64_t index) {
    phase p = {.conv = *v};
    const norni_window *w = &v->w;
    p.conv.c = v->m;
    p.conv.m = v->c;
    for (int k = D - 1; k >= 0; k--) {
        norni_window *q = &p.conv.w;
        int64_t s = w->stride[k], at = index % s, i0 = ((at - w->begin[k]) % s + s) % s;
        index /= s;
        int64_t q0 = (i0 + w->begin[k] - at) / s, dilation = s > 1 ? 1 : w->dilation[k];
        p.first[k] = at;
        p.place.first[k] = i0;
        p.place.step[k] = s;
        p.place.full[k] = w->in[k];
        q->in[k] = w->out[k];
        q->out[k] = w->in[k] > i0 ? norni_ceil_div(w->in[k] - i0, s) : 0;
        q->kernel[k] = w->kernel[k] > at ? norni_ceil_div(w->kernel[k] - at, s) : 0;
        q->stride[k] = 1;
        q->dilation[k] = dilation;
        q->begin[k] = (q->kernel[k] - 1) * dilation - q0;
        q->end[k] = 0;
        p.empty |= !q->out[k];
        p.filled |= !q->kernel[k];
    }
    return p;
}

static int64_t phases_of(const norni_conv *v) {
    return norni_elems(D, v->w.stride);
}

static norni_ref pack(norni_emit *e, const norni_conv *whole, const phase *p, int64_t index, int nv) {
    const norni_conv *v = &p->conv;
    int block = norni_block_of(v->dtype);
    int64_t taps = norni_window_taps(&v->w), tiles = norni_ceil_div(v->m, block * nv),
            blocks = norni_ceil_div(v->c, block);
    char key[80];
    bool fresh;
    snprintf(key, sizeof key, "phase %d %lld %lld of %lld", nv, (long long)v->group, (long long)index,
             (long long)phases_of(whole));
    size_t bytes = (size_t)(v->group * tiles * blocks * taps * block * block * nv) *
                   (size_t)norni_dtype_bits(norni_compute_dtype(v->dtype)) / 8;
    norni_ref to = norni_emit_packed(e, 1, bytes, key, &fresh);
    if (fresh) {
        norni_step *s = norni_emit_kernel(e, "conv_blocked.cl", "pack_blocks", v->dtype);
        norni_step_define(e, s, "PHASE", 1);
        norni_step_define(e, s, "B", block);
        norni_step_buffer(e, s, norni_emit_in(e, 1), NORNI_READ);
        norni_step_buffer(e, s, to, NORNI_WRITE);
        const int64_t sizes[] = {v->m, v->c, taps, nv, v->w.kernel[1], v->w.kernel[2]};
        const int64_t *const lists[] = {whole->w.kernel, p->first, whole->w.stride};
        norni_step_i64s(e, s, sizeof sizes / sizeof *sizes, sizes);
        for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
            norni_step_i64s(e, s, D, lists[i]);
        norni_step_range(s, 3, (size_t)tiles, (size_t)blocks, (size_t)v->group, 1, 1, 1);
    }
    norni_emit_packed_end(e);
    return to;
}

static void emit_fill(norni_emit *e, const phase *p, norni_ref bias) {
    const norni_conv *v = &p->conv;
    int block = norni_block_of(v->dtype);
    norni_step *s = norni_emit_kernel(e, "conv_blocked.cl", "fill_phase", v->dtype);
    norni_step_define(e, s, "B", block);
    norni_step_buffer(e, s, norni_emit_out(e, 0), p->place.later ? NORNI_READ_WRITE : NORNI_WRITE);
    norni_step_i64(e, s, v->w.out[1]);
    norni_step_i64(e, s, v->w.out[2]);
    norni_conv_place_args(e, s, &p->place);
    if (bias >= 0) {
        norni_step_define(e, s, "HAS_BIAS", 1);
        norni_step_buffer(e, s, bias, NORNI_READ);
    }
    norni_emit_epilogue(e, s, NORNI_LANES_CHANNELS, (unsigned)block);
    norni_step_range(s, 3, (size_t)(v->w.out[0] * v->w.out[1]),
                     (size_t)norni_ceil_div(v->group * v->m, block), (size_t)v->n, 1, 1, 1);
}

norn_status norni_emit_conv_phases(norni_emit *e) {
    norni_conv v;
    norni_ref bias = norni_emit_conv_bias(e);
    bool later = false;
    norni_conv_of(e->node, &v);
    for (int64_t i = 0; i < phases_of(&v); i++) {
        phase p = phase_of(&v, i);
        norni_conv_tile t;
        if (p.empty)
            continue;
        p.place.later = later;
        later = true;
        if (p.filled) {
            emit_fill(e, &p, bias);
            continue;
        }
        if (!norni_conv_choose_tile(&p.conv, false, &t))
            return norni_fail(NORN_INTERNAL, "conv_phases: no tile");
        norni_ref weights = pack(e, &v, &p, i, t.nv);
        norni_emit_conv_tiles(e, &p.conv, &t, false, norni_emit_in(e, 0), weights, norni_emit_out(e, 0), bias,
                              true, &p.place);
    }
    return e->status;
}

const char *norni_conv_phases_fits(const norni_fit *f) {
    enum { MOST_PHASES = 64 };
    norni_conv v;
    norni_conv_tile t;
    const char *why = norni_conv_blocks_fit(f);
    if (why)
        return why;
    norni_conv_of(f->node, &v);
    for (int k = 0; k < D; k++)
        if (v.w.stride[k] > 1 && v.w.dilation[k] > 1)
            return "there are strides and dilations";
    if (phases_of(&v) == 1)
        return "the strides are 1";
    if (phases_of(&v) > MOST_PHASES)
        return "the strides are too large";
    for (int64_t i = 0; i < phases_of(&v); i++) {
        phase p = phase_of(&v, i);
        if (!p.empty && !p.filled && !norni_conv_choose_tile(&p.conv, false, &t))
            return "the kernel is too large";
    }
    return NULL;
}
