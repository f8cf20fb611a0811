/* SPDX-License-Identifier: Apache-2.0 */
/* A bump allocator: many small things that live and die together. An arena may have a byte limit, which is
 * how memory stays bounded when a file from outside decides how much is allocated. */
#ifndef NORNI_ARENA_H
#define NORNI_ARENA_H
#include "base/status.h"
#include <stdarg.h>
#include <stddef.h>

typedef struct norni_arena norni_arena;

/* limit_bytes 0: no limit. NULL when memory is out. */
norni_arena *norni_arena_new(size_t limit_bytes);
void norni_arena_free(norni_arena *a);
/* Zeroed, aligned to 16 bytes; NULL when memory is out or the limit is reached. */
void *norni_arena_alloc(norni_arena *a, size_t bytes);
void *norni_arena_array(norni_arena *a, size_t n, size_t size);
void *norni_arena_dup(norni_arena *a, const void *p, size_t bytes);
char *norni_arena_strdup(norni_arena *a, const char *s);
char *norni_arena_strndup(norni_arena *a, const char *s, size_t n);
char *norni_arena_printf(norni_arena *a, const char *fmt, ...) NORNI_PRINTF(2, 3);
size_t norni_arena_bytes(const norni_arena *a);

#endif
