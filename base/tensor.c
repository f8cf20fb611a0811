/* SPDX-License-Identifier: Apache-2.0 */
#include "base/tensor.h"
#include "base/alloc.h"
#include "base/file.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>

int64_t norni_elems(int rank, const int64_t *dims) {
    int64_t n = 1;
    bool zero = false;
    for (int i = 0; i < rank; i++) {
        if (dims[i] < 0)
            return -1;
        zero |= dims[i] == 0;
    }
    for (int i = 0; i < rank; i++) { /* a size of 0 hides no overflow: strides are products of the others */
        int64_t d = dims[i] ? dims[i] : 1;
        if (n > (INT64_MAX >> 4) / d)
            return -1;
        n *= d;
    }
    return zero ? 0 : n;
}

void norni_strides(int rank, const int64_t *dims, int64_t *strides) {
    int64_t s = 1;
    for (int i = rank - 1; i >= 0; i--) {
        strides[i] = s;
        s *= dims[i] ? dims[i] : 1;
    }
}

const char *norni_shape_text(int rank, const int64_t *dims, char buf[128]) {
    int n = snprintf(buf, 128, "[");
    for (int i = 0; i < rank && n < 120; i++)
        n += snprintf(buf + n, (size_t)(128 - n), i ? ",%lld" : "%lld", (long long)dims[i]);
    if (n < 127)
        snprintf(buf + n, (size_t)(128 - n), "]");
    return buf;
}

static norn_status check(norn_dtype dtype, int rank, const int64_t *dims, size_t *bytes) {
    char s[128];
    if (rank < 0 || rank > NORN_MAX_RANK)
        return norni_fail(NORN_SHAPE, "tensor: rank %d (wanted 0 to %d)", rank, NORN_MAX_RANK);
    if (!norni_dtype_valid((int)dtype) || norni_dtype_bits(dtype) == 0 ||
        norni_dtype_class(dtype) == NORNI_CLASS_NONE)
        return norni_fail(NORN_UNSUPPORTED, "tensor: element type %s (%d) has no storage here",
                          norni_dtype_name(dtype), (int)dtype);
    int64_t n = norni_elems(rank, dims);
    *bytes = n < 0 ? SIZE_MAX : norni_dtype_bytes(dtype, n);
    if (*bytes > SIZE_MAX / 4)
        return norni_fail(NORN_SHAPE, "tensor: shape %s has a negative size or too many elements",
                          norni_shape_text(rank, dims, s));
    return NORN_OK;
}

static norn_status make(norn_dtype dtype, int rank, const int64_t *dims, norni_storage *st,
                        norn_tensor **out) {
    norn_tensor *t = norni_alloc(sizeof *t);
    if (!t)
        return norni_nomem();
    t->dtype = dtype;
    t->rank = rank;
    if (rank)
        memcpy(t->dims, dims, (size_t)rank * sizeof *dims);
    norni_strides(rank, dims, t->strides);
    t->storage = st;
    *out = t;
    return NORN_OK;
}

static void release_heap(norni_storage *st) {
    norni_free(st->host);
}

norn_status norni_tensor_wrap(norn_dtype dtype, int rank, const int64_t *dims, void *data, size_t bytes,
                              void *keep, void (*release)(norni_storage *), norn_tensor **out) {
    *out = NULL;
    size_t need;
    NORNI_TRY(check(dtype, rank, dims, &need));
    if (need > bytes)
        return norni_fail(NORN_SHAPE, "tensor: %zu bytes of data (wanted %zu)", bytes, need);
    norni_storage *st = norni_alloc(sizeof *st);
    if (!st)
        return norni_nomem();
    atomic_init(&st->refs, 1);
    st->bytes = bytes;
    st->host = data;
    st->keep = keep;
    st->release = release;
    norn_status s = make(dtype, rank, dims, st, out);
    if (s != NORN_OK)
        norni_free(st);
    return s;
}

norn_status norni_tensor_host(norn_dtype dtype, int rank, const int64_t *dims, norn_tensor **out) {
    *out = NULL;
    size_t bytes;
    NORNI_TRY(check(dtype, rank, dims, &bytes));
    void *data = norni_alloc(bytes);
    if (!data) {
        char s[128];
        return norni_fail(NORN_NOMEM, "tensor: out of host memory for %s%s, %zu bytes",
                          norni_dtype_name(dtype), norni_shape_text(rank, dims, s), bytes);
    }
    norn_status s = norni_tensor_wrap(dtype, rank, dims, data, bytes, NULL, release_heap, out);
    if (s != NORN_OK)
        norni_free(data);
    return s;
}

norn_status norni_tensor_late(norn_dtype dtype, int rank, const int64_t *dims, const void *source, void *keep,
                              void (*release)(norni_storage *), norn_tensor **out) {
    NORNI_TRY(norni_tensor_host(dtype, rank, dims, out)); /* pages that nobody touches take no memory */
    norni_storage *st = (*out)->storage;
    st->source = source;
    st->keep = keep;
    st->release = release;
    return NORN_OK;
}

norn_tensor *norni_tensor_ref(const norn_tensor *t) {
    norn_tensor *c = norni_alloc(sizeof *c);
    if (!c)
        return NULL;
    *c = *t;
    atomic_fetch_add(&c->storage->refs, 1);
    return c;
}

void norn_tensor_free(norn_tensor *t) {
    if (!t)
        return;
    if (atomic_fetch_sub(&t->storage->refs, 1) == 1) {
        if (t->storage->release)
            t->storage->release(t->storage);
        if (t->storage->source)
            norni_free(t->storage->host);
        norni_free(t->storage);
    }
    norni_free(t);
}

bool norni_tensor_is_host(const norn_tensor *t) {
    return t->storage->host != NULL;
}

static void fill(norni_storage *st) {
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&lock);
    if (!atomic_load(&st->filled)) {
        memcpy(st->host, st->source, st->bytes);
        if (st->mapped)
            norni_map_forget(st->source, st->bytes);
        atomic_store(&st->filled, true);
    }
    pthread_mutex_unlock(&lock);
}
static bool waits(const norni_storage *st) {
    return st->source && !atomic_load(&st->filled);
}
void *norni_tensor_data(const norn_tensor *t) {
    if (waits(t->storage))
        fill(t->storage);
    return (char *)t->storage->host + t->offset_bytes;
}
const void *norni_tensor_bytes_of(const norn_tensor *t) {
    return (const char *)(waits(t->storage) ? t->storage->source : t->storage->host) + t->offset_bytes;
}
void norni_tensor_forget(const norn_tensor *t) {
    if (t->storage->mapped && (!t->storage->source || waits(t->storage)))
        norni_map_forget(norni_tensor_bytes_of(t), norni_tensor_bytes(t));
}
int64_t norni_tensor_elems(const norn_tensor *t) {
    return norni_elems(t->rank, t->dims);
}
size_t norni_tensor_bytes(const norn_tensor *t) {
    return norni_dtype_bytes(t->dtype, norni_tensor_elems(t));
}

bool norni_tensor_contiguous(const norn_tensor *t) {
    int64_t want[NORN_MAX_RANK];
    norni_strides(t->rank, t->dims, want);
    for (int i = 0; i < t->rank; i++)
        if (t->dims[i] != 1 && t->strides[i] != want[i] && norni_tensor_elems(t) != 0)
            return false;
    return true;
}

bool norni_tensor_equal(const norn_tensor *a, const norn_tensor *b) {
    return a->dtype == b->dtype && a->rank == b->rank &&
           (a->rank == 0 || !memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims)) &&
           !memcmp(norni_tensor_data(a), norni_tensor_data(b), norni_tensor_bytes(a));
}

/* Walks the elements of a layout that is not packed (so its rank is not 0) in row-major order, a run along
 * the last axis at a time. */
static void walk(const norn_tensor *t, char *strided, char *packed, bool gather) {
    size_t size = (size_t)norni_dtype_bits(t->dtype) / 8; /* types below a byte are always packed */
    int64_t n = norni_tensor_elems(t), idx[NORN_MAX_RANK] = {0}, at = 0;
    int last = t->rank - 1;
    int64_t run = t->strides[last] == 1 ? t->dims[last] : 1;
    last -= run == t->dims[last];
    for (int64_t i = 0; i < n; i += run) {
        char *s = strided + at * (int64_t)size, *p = packed + i * (int64_t)size;
        memcpy(gather ? p : s, gather ? s : p, (size_t)run * size);
        for (int k = last; k >= 0; k--) {
            at += t->strides[k];
            if (++idx[k] < t->dims[k])
                break;
            at -= t->strides[k] * t->dims[k];
            idx[k] = 0;
        }
    }
}

void norni_tensor_gather(const norn_tensor *t, const void *strided, void *packed) {
    if (!norni_tensor_contiguous(t)) {
        walk(t, (char *)strided, packed, true);
        return;
    }
    size_t bytes = norni_tensor_bytes(t),
           bits = (size_t)norni_tensor_elems(t) * (size_t)norni_dtype_bits(t->dtype) % 8;
    memcpy(packed, strided, bytes);
    if (bits)
        ((unsigned char *)packed)[bytes - 1] &=
            (unsigned char)((1u << bits) - 1); /* of what follows a view */
}

void norni_tensor_scatter(const norn_tensor *t, const void *packed, void *strided) {
    if (!norni_tensor_contiguous(t)) {
        walk(t, strided, (char *)packed, false);
        return;
    }
    int64_t n = norni_tensor_elems(t);
    size_t bits = (size_t)norni_dtype_bits(t->dtype), whole = (size_t)n * bits / 8;
    memcpy(strided, packed, whole);
    /* A byte that the tensor shares with what follows it keeps the other's bits. */
    for (int64_t i = (int64_t)(whole * 8 / bits); i < n; i++)
        norni_set_double(t->dtype, strided, i, norni_get_double(t->dtype, packed, i));
}

norn_status norni_tensor_pack(const norn_tensor *t, norn_tensor **out) {
    NORNI_TRY(norni_tensor_host(t->dtype, t->rank, t->dims, out));
    norni_tensor_gather(t, norni_tensor_data(t), norni_tensor_data(*out));
    return NORN_OK;
}
