/* SPDX-License-Identifier: Apache-2.0 */
/* Random numbers of operators. The block of four words that elements 4i .. 4i + 3 are made from is a pure function of the
 * user's seed, the run, the node and i: so every device draws the same. */
#ifndef NORNI_RANDOM_H
#define NORNI_RANDOM_H
#include "base/philox.h"

/* What all nodes of a run have in common. */
typedef struct {
    uint64_t seed; /* of the user; a node's own seed goes before it */
    uint64_t run;  /* runs so far over the state: each draws other numbers */
} norni_draw;

/* The key of a node's numbers: that of its attribute `seed`, or of the user's seed where it is NaN (absent). */
void norni_random_key(uint64_t seed, float node_seed, uint32_t key[2]);
/* Block i of a run. */
void norni_random_block(const uint32_t key[2], uint64_t i, uint64_t run, uint64_t stream, uint32_t out[4]);

#endif
