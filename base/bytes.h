/* SPDX-License-Identifier: Apache-2.0 */
/* What file readers share: byte order, and how far deflate can expand. */
#ifndef NORNI_BYTES_H
#define NORNI_BYTES_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline bool norni_host_is_big_endian(void) {
    const uint16_t one = 1;
    unsigned char first;
    memcpy(&first, &one, 1);
    return first == 0;
}

/* Reverses the bytes of each of n elements of `size` bytes. */
static inline void norni_swap_bytes(void *data, size_t n, size_t size) {
    unsigned char *p = data;
    for (size_t i = 0; i < n; i++, p += size)
        for (size_t a = 0, b = size - 1; a < b; a++, b--) {
            unsigned char t = p[a];
            p[a] = p[b];
            p[b] = t;
        }
}

static inline uint32_t norni_u32_big_endian(const unsigned char *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Bytes that `packed` bytes of a deflate stream can become at most: two bits at best stand for 258 bytes (RFC
 * 1951), so 1032 for one, and a little for the ends. A file that claims more lies, which is known before
 * memory is taken. */
static inline uint64_t norni_inflated_max(uint64_t packed) {
    return packed > UINT64_MAX / 1040 ? UINT64_MAX : packed * 1032 + 1032;
}

#endif
