/* SPDX-License-Identifier: Apache-2.0 */
/* What convolutions in blocked form share. */
#ifndef NORNI_CONV_BLOCKED_H
#define NORNI_CONV_BLOCKED_H
#include "ops/blocked.h"
#include "ops/conv.h"

/* What a work-item of conv_blocked (ops/conv_blocked.cl) computes: th x tw pixels of nv blocks of channels. */
typedef struct {
    int th, tw, nv;
    bool in_place;          /* no patch */
    int64_t rows, row_step; /* of a patch, for each kernel element in depth */
    int64_t pw, column_step;
    int64_t elems; /* of a patch */
    double time;   /* cycles of all tiles of an image and a group, roughly, but for weights from memory */
} norni_conv_tile;

/* The convolution that is computed for a Conv or a ConvTranspose, which is one with kernels reversed and the channels of w
 * exchanged: x is the node's input, y its output. True for ConvTranspose; its stride must be 1. */
bool norni_conv_forward(const norn_node *node, norni_conv *v);
/* What a tuning record of this convolution is called (ops/tuning.h). */
enum { NORNI_CONV_KEY = 320 };
void norni_conv_key(const char *what, const norni_conv *v, char key[NORNI_CONV_KEY]);
/* The tile with the least time; false: the kernel is too large for any. */
bool norni_conv_choose_tile(const norni_conv *v, bool plain_in, norni_conv_tile *t);
/* Where outputs lie when they are only some of y's elements: output o is element first + o * step of `full`. */
typedef struct {
    int64_t first[NORNI_WINDOW_DIMS], step[NORNI_WINDOW_DIMS], full[NORNI_WINDOW_DIMS];
    bool later; /* y has others from an earlier step */
} norni_conv_place;

/* The step: x and w (packed) to y; bias -1: none; epilogue: the node's applies; place NULL: all of y. */
void norni_emit_conv_tiles(norni_emit *e, const norni_conv *v, const norni_conv_tile *t, bool plain_in,
                           norni_ref x, norni_ref w, norni_ref y, norni_ref bias, bool epilogue,
                           const norni_conv_place *place);
/* The node's weights as conv_blocked reads them. transposed: w of a ConvTranspose, v->c its input's channels. */
norni_ref norni_emit_conv_blocks(norni_emit *e, const norni_conv *v, bool transposed, int nv);
/* Input `input` of the node, a kernel for each of v->group channels, as conv_channels reads it. */
norni_ref norni_emit_channel_weights(norni_emit *e, int input, const norni_conv *v);
/* Kernels in two dimensions whose work-items take rows of a block of channels: arguments x, weights, y, the window, rows each, the
 * bias (-1: none); and what they all need, with *v. */
void norni_emit_conv_rows(norni_emit *e, norni_step *s, const norni_conv *v, norni_ref weights,
                          norni_ref bias);
const char *norni_conv_rows_fit(const norni_fit *f, norni_conv *v);
void norni_conv_place_args(norni_emit *e, norni_step *s, const norni_conv_place *place);
/* The bias in whole blocks; -1: the node has none. */
norni_ref norni_emit_conv_bias(norni_emit *e);
/* Why a convolution (of any of the three operators) cannot be computed in blocked form; NULL: nothing against it. */
const char *norni_conv_blocks_fit(const norni_fit *f);
/* A 1 x 1 convolution does not know rows. */
void norni_conv_flatten(norni_conv *v);

/* What a work-item of conv_blocked_w (ops/conv_blocked_w.cl) computes: cc channels of x by nv blocks of dy. */
typedef struct {
    int cc, nv;
    int64_t panels_c, panels_m;
    double time; /* cycles of all panels of an image and a group, roughly */
} norni_conv_w_tile;

bool norni_conv_w_choose_tile(const norni_conv *v, norni_conv_w_tile *t);
/* The step: x and dy to dw (add: which grows); what else it needs is defined by the caller. */
norni_step *norni_emit_conv_w_tiles(norni_emit *e, const norni_conv *v, const norni_conv_w_tile *t,
                                    norni_ref x, norni_ref dy, norni_ref dw, bool add, int64_t parts);

#endif
