/* SPDX-License-Identifier: Apache-2.0 */
#include "base/philox.h"
#include <string.h>

void norni_philox(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4]) {
    uint32_t k0 = key[0], k1 = key[1], c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c0 = n0;
        c1 = (uint32_t)p1;
        c2 = n2;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u; /* golden ratio */
        k1 += 0xBB67AE85u; /* square root of 3, minus 1 */
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

void norni_philox_begin(norni_philox_stream *s, uint64_t seed, uint32_t word2, uint32_t word3) {
    memset(s, 0, sizeof *s);
    s->key[0] = (uint32_t)seed;
    s->key[1] = (uint32_t)(seed >> 32);
    s->counter[2] = word2;
    s->counter[3] = word3;
    s->used = 4;
}

uint32_t norni_philox_u32(norni_philox_stream *s) {
    if (s->used == 4) {
        norni_philox(s->key, s->counter, s->block);
        if (++s->counter[0] == 0)
            s->counter[1]++;
        s->used = 0;
    }
    return s->block[s->used++];
}

uint64_t norni_philox_below(norni_philox_stream *s, uint64_t n) {
    uint64_t excess = (UINT64_MAX % n + 1) % n; /* 2^64 modulo n */
    for (;;) {
        uint64_t low = norni_philox_u32(s), x = (uint64_t)norni_philox_u32(s) << 32 | low;
        if (excess == 0 || x < UINT64_MAX - excess + 1)
            return x % n;
    }
}
