/* SPDX-License-Identifier: Apache-2.0 */
/* The blocked form of a tensor [N, C, ...]: channels in blocks that fill a vector,
 *
 *     [N][C / B, rounded up][spatial sizes][B]
 *
 * so that a kernel loads the channels of a pixel at once. It is a matter of planned buffers alone: operators and
 * graphs know nothing of it. graph/layout.c decides which values have it. The lanes of the last block beyond C are
 * undefined (the copy into the form fills them with NaN): kernels that mix channels must not read them. */
#ifndef NORNI_BLOCKED_H
#define NORNI_BLOCKED_H
#include "ops/op.h"

/* Channels of a block for values of an element type: those of a vector of 64 bytes. */
int norni_block_of(norn_dtype t);
/* True for the types that can have the form: rank 3 to 5, floats. */
bool norni_blockable(const norni_type *t);
size_t norni_blocked_bytes(const norni_type *t);
int64_t norni_channel_blocks(const norni_type *t);

#endif
