/* SPDX-License-Identifier: Apache-2.0 */
#define _DEFAULT_SOURCE
#include "base/alloc.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

static atomic_long fail_after = -1;

static bool should_fail(void) {
    if (atomic_load_explicit(&fail_after, memory_order_relaxed) < 0)
        return false;
    return atomic_fetch_sub(&fail_after, 1) <= 0 ? (atomic_store(&fail_after, 0), true) : false;
}

void norni_alloc_fail_after(long n) {
    atomic_store(&fail_after, n);
}

void *norni_alloc(size_t bytes) {
    if (should_fail())
        return NULL;
    return calloc(1, bytes ? bytes : 1);
}

void *norni_alloc_array(size_t n, size_t size) {
    if (size && n > SIZE_MAX / size)
        return NULL;
    return norni_alloc(n * size);
}

void *norni_realloc(void *p, size_t bytes) {
    if (should_fail())
        return NULL;
    return realloc(p, bytes ? bytes : 1);
}

void *norni_alloc_aligned(size_t bytes, size_t align) {
    if (should_fail())
        return NULL;
    void *p = NULL;
    if (align < sizeof(void *))
        align = sizeof(void *);
    return posix_memalign(&p, align, bytes ? bytes : 1) == 0 ? p : NULL;
}

void *norni_alloc_large(size_t bytes) {
    bool large = bytes >= 2 * NORNI_LARGE_PAGE;
    void *p = norni_alloc_aligned(bytes, large ? NORNI_LARGE_PAGE : 64);
#ifdef MADV_HUGEPAGE
    if (p && large)
        madvise(p, bytes, MADV_HUGEPAGE); /* only a wish */
#endif
    return p;
}

void norni_free(void *p) {
    free(p);
}

char *norni_strdup(const char *s) {
    size_t n = strlen(s) + 1;
    char *d = norni_alloc(n);
    if (d)
        memcpy(d, s, n);
    return d;
}
