/* SPDX-License-Identifier: Apache-2.0 */
/* Planes: an input copied so that what a kernel element reads for consecutive outputs lies side by side
 * (ops/conv_direct.cl). Shared by the direct convolution and the direct gradient of its weights. */
#ifndef NORNI_CONV_DIRECT_H
#define NORNI_CONV_DIRECT_H
#include "ops/conv.h"

typedef struct {
    int64_t phases[NORNI_WINDOW_DIMS]; /* of the stride that kernel elements meet, per dimension */
    int64_t q1, q2;                    /* rows of a slice, elements of a row */
    int64_t plane, channel;            /* elements of one phase; from one channel to the next */
    int64_t pixels;                    /* flat outputs, those between rows included */
    bool gaps;
} norni_planes;

/* False when the sizes are beyond 32 bits. */
bool norni_planes_of(const norni_window *w, norni_planes *p);
/* Copies images image0 .. image0 + images - 1 of x; `to` has images * channels * channel + slack elements of
 * the compute type, all of which are written. */
void norni_emit_planes(norni_emit *e, norn_dtype dtype, const norni_window *w, const norni_planes *p,
                       norni_ref x, norni_ref to, int64_t channels, int64_t image0, int64_t images,
                       int64_t slack);
/* Bytes that scratch may take, unless a single image needs more: 64 MB, or less on a device with little memory. */
int64_t norni_conv_room(const norn_device *d);
/* w[i] = the sum of partial[p][i] over `parts`; partial is of the compute type. */
void norni_emit_sum_parts(norni_emit *e, norn_dtype dtype, norni_ref partial, norni_ref w, int64_t elems,
                          int64_t parts);

#endif
