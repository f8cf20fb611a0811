/* SPDX-License-Identifier: Apache-2.0 */
#include "base/recycle.h"
#include "base/alloc.h"
#include "base/status.h"
#include "base/str.h"
#include <pthread.h>
#include <string.h>

/* Below, malloc keeps its pages itself: sharing them gained nothing, and lost where the memory was last in another core's
 * cache. */
enum { SMALLEST = 32 << 20, MOST = 16 };

typedef struct {
    void *data;
    size_t bytes;
} block;

struct norni_recycler {
    pthread_mutex_t lock;
    size_t refs; /* the owner's, and one a tensor */
    bool owned;
    size_t n, keep;
    block spare[MOST]; /* longest unused first */
};

norni_recycler *norni_recycler_new(size_t keep) {
    norni_recycler *r = norni_alloc(sizeof *r);
    if (r && pthread_mutex_init(&r->lock, NULL)) {
        norni_free(r);
        r = NULL;
    }
    if (r) {
        r->refs = 1;
        r->owned = true;
        r->keep = keep < MOST ? keep : MOST;
    }
    return r;
}

/* Unlocks; frees with the last reference. */
static void leave(norni_recycler *r) {
    bool last = --r->refs == 0;
    pthread_mutex_unlock(&r->lock);
    if (last) {
        pthread_mutex_destroy(&r->lock);
        norni_free(r);
    }
}

static void *remove_at(norni_recycler *r, size_t i) {
    void *data = r->spare[i].data;
    memmove(r->spare + i, r->spare + i + 1, (--r->n - i) * sizeof *r->spare);
    return data;
}

void norni_recycler_free(norni_recycler *r) {
    if (!r)
        return;
    pthread_mutex_lock(&r->lock);
    r->owned = false;
    while (r->n)
        norni_free(remove_at(r, r->n - 1));
    leave(r);
}

/* A tensor's last reference has gone; its block is as large as the storage says. */
static void give_back(norni_storage *st) {
    norni_recycler *r = st->keep;
    void *unused = st->host;
    pthread_mutex_lock(&r->lock);
    if (r->owned && r->keep) {
        unused = r->n == r->keep ? remove_at(r, 0) : NULL;
        r->spare[r->n++] = (block){st->host, st->bytes};
    }
    leave(r);
    norni_free(unused);
}

static void give_to_heap(norni_storage *st) {
    norni_free(st->host);
}

/* A block that fits and is not much too large, or a new one. */
static void *take(norni_recycler *r, size_t bytes, size_t *room) {
    void *data = NULL;
    *room = bytes;
    pthread_mutex_lock(&r->lock);
    for (size_t i = r->n; i-- > 0 && !data;)
        if (r->spare[i].bytes >= bytes && r->spare[i].bytes / 2 <= bytes) {
            *room = r->spare[i].bytes;
            data = remove_at(r, i);
        }
    pthread_mutex_unlock(&r->lock);
    return data ? data : norni_alloc_large(bytes);
}

norn_status norni_recycler_tensor(norni_recycler *r, norn_dtype dtype, int rank, const int64_t *dims,
                                  norn_tensor **out) {
    *out = NULL;
    int64_t n = norni_elems(rank, dims);
    size_t bytes = n < 0 ? SIZE_MAX : norni_dtype_bytes(dtype, n), room;
    if (bytes > SIZE_MAX / 4) /* refused there */
        return norni_tensor_host(dtype, rank, dims, out);
    bool spare = bytes >= SMALLEST;
    void *data = spare ? take(r, bytes, &room) : norni_alloc_large(room = bytes);
    if (!data) {
        char s[128];
        return norni_fail(NORN_NOMEM, "tensor: out of host memory for %s%s, %zu bytes",
                          norni_dtype_name(dtype), norni_shape_text(rank, dims, s), bytes);
    }
    norn_status s =
        norni_tensor_wrap(dtype, rank, dims, data, room, r, spare ? give_back : give_to_heap, out);
    if (s != NORN_OK) {
        norni_free(data);
    } else if (spare) {
        pthread_mutex_lock(&r->lock);
        r->refs++;
        pthread_mutex_unlock(&r->lock);
    }
    return s;
}
