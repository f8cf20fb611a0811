/* SPDX-License-Identifier: Apache-2.0 */
/* What the two convolutions by minimal filtering share: Conv's and ConvTranspose's results, and the gradient of weights. */
#ifndef NORNI_CONV_WINOGRAD_H
#define NORNI_CONV_WINOGRAD_H
#include "ops/conv_blocked.h"

/* Why it cannot be used for this convolution; NULL: it can. */
const char *norni_winograd_fits(const norni_fit *f, const norni_conv *v);
/* A step of ops/conv_winograd.cl with tiles of r x r outputs. */
norni_step *norni_winograd_step(norni_emit *e, const norni_conv *v, int r, const char *kernel);
/* Rows row0 .. row0 + rows - 1 of the tiles of the node's input 0 into the domain. tiles1, tiles2: of an image; tiles: of `to`. */
void norni_emit_winograd_transform(norni_emit *e, const norni_conv *v, int r, int64_t tiles1, int64_t tiles2,
                                   int64_t row0, int64_t rows, int64_t tiles, norni_ref to);

#endif
