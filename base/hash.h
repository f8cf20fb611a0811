/* SPDX-License-Identifier: Apache-2.0 */
/* A 64-bit hash for look-up tables and cache file names; not cryptographic, so whoever finds something by
 * hash compares the full key. Multiply-and-mix over 8-byte words with the splitmix64 finaliser. */
#ifndef NORNI_HASH_H
#define NORNI_HASH_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t norni_hash_mix(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static inline uint64_t norni_hash_u64(uint64_t h, uint64_t v) {
    return norni_hash_mix(h * 0x9e3779b97f4a7c15u + v + 1);
}

static inline uint64_t norni_hash_bytes(uint64_t h, const void *data, size_t n) {
    const unsigned char *p = data;
    h = norni_hash_u64(h, n);
    for (; n >= 8; p += 8, n -= 8) {
        uint64_t w;
        memcpy(&w, p, 8);
        h = norni_hash_u64(h, w);
    }
    uint64_t w = 0;
    if (n)
        memcpy(&w, p, n);
    return n ? norni_hash_u64(h, w) : h;
}

static inline uint64_t norni_hash_str(uint64_t h, const char *s) {
    return s ? norni_hash_bytes(h, s, strlen(s)) : norni_hash_u64(h, 0x6e756c6c);
}

#endif
