/* SPDX-License-Identifier: Apache-2.0 */
/* What a process that uses norn and its workers say to each other, over a socket that is the worker's standard input.
 * Both are built from one source and run on one machine, so structures go as they lie in memory.
 *
 * A worker is started as `norn-worker PLATFORM PLATFORM_VERSION DEVICE DRIVER`, with POCL_CACHE_DIR naming a folder that is
 * its own. For each request it sends one reply; it ends when the socket does. */
#ifndef NORNI_WORKER_PROTOCOL_H
#define NORNI_WORKER_PROTOCOL_H
#include <stdint.h>

enum { NORNI_WORKER_MAGIC = 0x6e770001, NORNI_WORKER_MAX_VARIANTS = 64 };

/* Followed by options, source and variants, all without a terminator. Variants are lines "KERNEL FORM", where the form is
 * named as PoCL names it: "1-1-1-goffs0-smallgrid". */
typedef struct {
    uint32_t magic, options_bytes, source_bytes, variants_bytes;
} norni_worker_request;

/* Followed by the binary: empty where the program does not build. */
typedef struct {
    uint32_t magic, unused;
    uint64_t binary_bytes;
    uint64_t made;     /* bit i: the binary has machine code for variant i */
    uint64_t checksum; /* norni_hash_bytes of the binary, from `made` on */
} norni_worker_reply;

#endif
