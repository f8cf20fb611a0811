/* SPDX-License-Identifier: Apache-2.0 */
/* Conv in blocked form with groups that are smaller than a block of channels (ops/conv_groups.cl), for CPUs. */
#include "ops/conv_blocked.h"

/* Outputs of a row at once: the least time, of which what a tile's weights take is one output's. */
static int tile_width(int64_t out) {
    static const int widths[] = {12, 10, 8, 7, 6, 5, 4};
    int64_t best = INT64_MAX;
    int width = 4;
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        int64_t time = norni_ceil_div(out, widths[i]) * (widths[i] + 1);
        if (time < best) {
            best = time;
            width = widths[i];
        }
    }
    return width;
}

static norni_ref emit_weights(norni_emit *e, const norni_conv *v, int block, int64_t blocks) {
    int64_t taps = norni_window_taps(&v->w);
    bool fresh;
    norni_ref to = norni_emit_packed(
        e, 1, (size_t)(blocks * taps * v->c * block * (int64_t)norni_compute_bytes(v->dtype)), "groups",
        &fresh);
    if (fresh) {
        norni_step *s = norni_emit_kernel(e, "conv_groups.cl", "pack_groups", v->dtype);
        norni_step_define(e, s, "B", block);
        norni_step_define(e, s, "G", v->c);
        norni_step_buffer(e, s, norni_emit_in(e, 1), NORNI_READ);
        norni_step_buffer(e, s, to, NORNI_WRITE);
        norni_step_i64(e, s, v->group * v->m);
        norni_step_i64(e, s, taps);
        norni_step_range(s, 1, (size_t)blocks, 1, 1, 1, 1, 1);
    }
    norni_emit_packed_end(e);
    return to;
}

norn_status norni_emit_conv_groups(norni_emit *e) {
    norni_conv v;
    norni_conv_of(e->node, &v);
    int block = norni_block_of(v.dtype);
    norni_ref weights = emit_weights(e, &v, block, norni_ceil_div(v.group * v.m, block)),
              bias = norni_emit_conv_bias(e);
    norni_step *s = norni_emit_kernel(e, "conv_groups.cl", "conv_groups", v.dtype);
    norni_step_define(e, s, "G", v.c);
    norni_step_define(e, s, "TW", tile_width(v.w.out[2]));
    norni_emit_conv_rows(e, s, &v, weights, bias);
    return e->status;
}

const char *norni_conv_groups_fits(const norni_fit *f) {
    norni_conv v;
    const char *why = norni_conv_rows_fit(f, &v);
    if (!why && (v.group == 1 || v.c != v.m || v.c < 2 || v.c >= norni_block_of(v.dtype) || v.c & (v.c - 1)))
        why = "groups are not of 2, 4 or 8 channels that share a block";
    return why;
}
