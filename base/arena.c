/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"
#include "base/alloc.h"
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { ALIGN = 16, FIRST_BLOCK = 4096, LAST_BLOCK = 1 << 20 };

typedef struct block {
    struct block *next;
    size_t used, size;
} block; /* the payload follows, aligned */

struct norni_arena {
    block *head;
    size_t total, limit, next_size;
};

static size_t align_up(size_t n) {
    return (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

norni_arena *norni_arena_new(size_t limit_bytes) {
    norni_arena *a = norni_alloc(sizeof *a);
    if (a) {
        a->limit = limit_bytes ? limit_bytes : SIZE_MAX;
        a->next_size = FIRST_BLOCK;
    }
    return a;
}

void norni_arena_free(norni_arena *a) {
    if (!a)
        return;
    for (block *b = a->head, *next; b; b = next) {
        next = b->next;
        norni_free(b);
    }
    norni_free(a);
}

void *norni_arena_alloc(norni_arena *a, size_t bytes) {
    if (bytes > SIZE_MAX / 2)
        return NULL;
    size_t need = align_up(bytes ? bytes : 1), head = align_up(sizeof(block));
    if (need > a->limit || a->total > a->limit - need)
        return NULL;
    if (!a->head || a->head->size - a->head->used < need) {
        size_t size = need > a->next_size ? need : a->next_size;
        block *b = norni_alloc(head + size);
        if (!b)
            return NULL;
        b->size = size;
        /* A block made for one large piece goes behind the current one, which still has room. */
        if (a->head && size == need && a->head->size - a->head->used > need / 8) {
            b->used = size;
            b->next = a->head->next;
            a->head->next = b;
            a->total += need;
            return (char *)b + head;
        }
        b->next = a->head;
        a->head = b;
        if (a->next_size < LAST_BLOCK)
            a->next_size *= 2;
    }
    void *p = (char *)a->head + head + a->head->used;
    a->head->used += need;
    a->total += need;
    return p;
}

void *norni_arena_array(norni_arena *a, size_t n, size_t size) {
    if (size && n > SIZE_MAX / size)
        return NULL;
    return norni_arena_alloc(a, n * size);
}

void *norni_arena_dup(norni_arena *a, const void *p, size_t bytes) {
    void *d = norni_arena_alloc(a, bytes);
    if (d && bytes)
        memcpy(d, p, bytes);
    return d;
}

char *norni_arena_strndup(norni_arena *a, const char *s, size_t n) {
    char *d = norni_arena_alloc(a, n + 1);
    if (d && n)
        memcpy(d, s, n);
    return d;
}

char *norni_arena_strdup(norni_arena *a, const char *s) {
    return norni_arena_strndup(a, s, strlen(s));
}

char *norni_arena_printf(norni_arena *a, const char *fmt, ...) {
    va_list ap, ap2;
    va_start(ap, fmt);
    va_copy(ap2, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *d = n < 0 ? NULL : norni_arena_alloc(a, (size_t)n + 1);
    if (d)
        vsnprintf(d, (size_t)n + 1, fmt, ap2);
    va_end(ap2);
    return d;
}

size_t norni_arena_bytes(const norni_arena *a) {
    return a->total;
}
