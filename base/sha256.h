/* SPDX-License-Identifier: Apache-2.0 */
/* SHA-256, as FIPS 180-4 defines it. */
#ifndef NORNI_SHA256_H
#define NORNI_SHA256_H
#include <stddef.h>
#include <stdint.h>

enum { NORNI_SHA256_HEX = 64 }; /* digits of a hash in text */

typedef struct {
    uint32_t h[8];
    uint64_t bytes;
    uint8_t block[64];
} norni_sha256;

void norni_sha256_begin(norni_sha256 *s);
void norni_sha256_add(norni_sha256 *s, const void *data, size_t n);
void norni_sha256_end(norni_sha256 *s, char hex[NORNI_SHA256_HEX + 1]);

#endif
