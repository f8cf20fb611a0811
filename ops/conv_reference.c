/* SPDX-License-Identifier: Apache-2.0 */
/* Convolution by its definition, an element of the result a work-item: what fits always. */
#include "ops/conv.h"

void norni_conv_args(norni_emit *e, norni_step *s, const norni_conv *v) {
    const norni_window *w = &v->w;
    norni_step_i64(e, s, v->n);
    norni_step_i64(e, s, v->group);
    norni_step_i64(e, s, v->c);
    norni_step_i64(e, s, v->m);
    norni_step_window(e, s, w, 0);
}

norn_status norni_emit_conv_reference(norni_emit *e) {
    norni_conv v;
    norni_conv_of(e->node, &v);
    norni_conv_result what = norni_conv_kind(e->node);
    if (!norni_type_elems(&e->node->out[0]->type))
        return e->status;
    norni_step *s = norni_emit_kernel(e, "conv_reference.cl",
                                      what == NORNI_CONV_Y   ? "conv_y"
                                      : what == NORNI_CONV_X ? "conv_x"
                                                             : "conv_w",
                                      v.dtype);
    norni_step_buffer(e, s, norni_emit_in(e, 0), NORNI_READ);
    norni_step_buffer(e, s, norni_emit_in(e, 1), NORNI_READ);
    norni_step_buffer(e, s, norni_emit_out(e, 0), NORNI_WRITE);
    norni_conv_args(e, s, &v);
    if (e->node->n_in > 2 && e->node->in[2]) {
        norni_step_define(e, s, "HAS_BIAS", 1);
        norni_step_buffer(e, s, norni_emit_in(e, 2), NORNI_READ);
    }
    if (what == NORNI_CONV_W)
        norni_step_items(e, s, 3, norni_window_taps(&v.w), v.c, v.group * v.m);
    else {
        norni_emit_epilogue(e, s, NORNI_LANES_PIXELS, 1);
        bool y = what == NORNI_CONV_Y;
        norni_step_items(e, s, 3, y ? norni_window_out(&v.w) : norni_window_in(&v.w),
                         v.group * (y ? v.m : v.c), v.n);
    }
    return e->status;
}
