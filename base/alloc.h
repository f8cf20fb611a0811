/* SPDX-License-Identifier: Apache-2.0 */
/* Heap allocation. Every allocation of the library goes through here, so that tests can make one fail. */
#ifndef NORNI_ALLOC_H
#define NORNI_ALLOC_H
#include <stddef.h>

/* Zeroed memory of `bytes` bytes (at least one), or NULL. */
void *norni_alloc(size_t bytes);
/* Zeroed memory for `n` elements of `size` bytes, or NULL (also when n * size overflows). */
void *norni_alloc_array(size_t n, size_t size);
/* Like realloc; the grown part is not zeroed. */
void *norni_realloc(void *p, size_t bytes);
/* Memory aligned to `align` bytes (a power of two), freed by norni_free; not zeroed. */
void *norni_alloc_aligned(size_t bytes, size_t align);
/* The same, aligned to 64 bytes or more, on large pages where the system has them and the size is worth it. */
void *norni_alloc_large(size_t bytes);
enum { NORNI_LARGE_PAGE = 2 << 20 };
void norni_free(void *p);
char *norni_strdup(const char *s);

/* Tests: the allocation after the next `n` ones fails, and every one after it; n < 0 switches this off. */
void norni_alloc_fail_after(long n);

#endif
