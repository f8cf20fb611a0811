/* SPDX-License-Identifier: Apache-2.0 */
/* Philox4x32-10, a counter-based random generator: 128 random bits are a pure function of a 64-bit key and a
 * 128-bit counter, so that any draw can be made anywhere, in any order, by host and device alike. Source:
 * Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
 *
 * Use in norn: the key is the user's seed (low word first). Words 0 and 1 of the counter number the blocks of
 * one stream; words 2 and 3 say which stream (word 3 is one of the NORNI_STREAM_ constants), so that no two
 * uses of one seed ever draw the same bits. */
#ifndef NORNI_PHILOX_H
#define NORNI_PHILOX_H
#include <stdint.h>

enum {
    NORNI_STREAM_SHUFFLE = 1, /* order of samples; word 2 is the epoch */
    NORNI_STREAM_SPLIT = 2,   /* which sample goes to which part of a split data set */
    NORNI_STREAM_INIT = 3,    /* initial weights of built-in networks */
    NORNI_STREAM_BENCH = 4,   /* data of benchmarks; word 2 is the number of the input */
    NORNI_STREAM_NODE = 5,    /* random operators; word 0 is the block, word 1 the run, word 2 the node */
    /* Masks of Dropout: with this bit, word 3 names the node, word 2 is the step, word 1 the sample, and word 0 numbers the
     * blocks of a sample: how a batch is cut changes no number. */
    NORNI_STREAM_DROPOUT = 0x40000000
};

void norni_philox(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4]);

/* The words of one stream, one after the other. */
typedef struct {
    uint32_t key[2], counter[4], block[4];
    unsigned used; /* words of `block` that were given out */
} norni_philox_stream;

void norni_philox_begin(norni_philox_stream *s, uint64_t seed, uint32_t word2, uint32_t word3);
uint32_t norni_philox_u32(norni_philox_stream *s);
/* Uniform over 0 .. n - 1 without bias, n > 0: 64 bits (low word first), drawn again while they fall into the
 * last, incomplete run of n values, then modulo n. */
uint64_t norni_philox_below(norni_philox_stream *s, uint64_t n);

#endif
