/* SPDX-License-Identifier: Apache-2.0 */
#define _XOPEN_SOURCE 700 /* realpath */
#include "export/onnx/blob.h"
#include "base/alloc.h"
#include "base/bytes.h"
#include <stdlib.h>
#include <string.h>

enum { LATE = 1 << 16 }; /* bytes from which on a tensor that is not aligned is copied when it is needed */

static norn_status make(norni_blob **out) {
    norni_blob *s = norni_alloc(sizeof *s);
    *out = s;
    if (!s)
        return norni_nomem();
    atomic_init(&s->refs, 1);
    return NORN_OK;
}

norn_status norni_blob_open(const char *path, norni_blob **out) {
    NORNI_TRY(make(out));
    norni_blob *s = *out;
    norn_status st = norni_map_open(path, &s->map);
    if (st != NORN_OK) {
        norni_free(s);
        *out = NULL;
        return st;
    }
    s->data = s->map.data;
    s->bytes = s->map.bytes;
    s->lasting = true;
    return NORN_OK;
}

norn_status norni_blob_memory(const void *data, size_t bytes, norni_blob **out) {
    NORNI_TRY(make(out));
    (*out)->data = data;
    (*out)->bytes = bytes;
    return NORN_OK;
}

void norni_blob_free(norni_blob *s) {
    if (!s || atomic_fetch_sub(&s->refs, 1) != 1)
        return;
    norni_map_close(&s->map);
    norni_free(s);
}

static void release(norni_storage *st) {
    norni_blob_free(st->keep);
}

norn_status norni_blob_tensor(norni_blob *s, size_t offset, norn_dtype dtype, int rank, const int64_t *dims,
                              norn_tensor **out) {
    const uint8_t *p = s->data + offset;
    size_t bits = (size_t)norni_dtype_bits(dtype), size = bits < 8 ? 1 : bits / 8;
    size_t bytes = norni_dtype_bytes(dtype, norni_elems(rank, dims));
    bool swap = norni_host_is_big_endian() && size > 1;
    /* Booleans are copied too, to hold 0 and 1 and nothing else. */
    bool aligned = (uintptr_t)p % size == 0;
    if (s->lasting && bytes && !swap && dtype != NORN_BOOL && (aligned || bytes >= LATE)) {
        atomic_fetch_add(&s->refs, 1);
        norn_status st = aligned ? norni_tensor_wrap(dtype, rank, dims, (void *)p, bytes, s, release, out)
                                 : norni_tensor_late(dtype, rank, dims, p, s, release, out);
        if (st == NORN_OK)
            (*out)->storage->mapped = true;
        else
            norni_blob_free(s);
        return st;
    }
    NORNI_TRY(norni_tensor_host(dtype, rank, dims, out));
    uint8_t *to = norni_tensor_data(*out);
    if (bytes)
        memcpy(to, p, bytes);
    if (swap)
        norni_swap_bytes(to, bytes / size, size);
    for (size_t i = 0; dtype == NORN_BOOL && i < bytes; i++)
        to[i] = to[i] != 0;
    return NORN_OK;
}

/* ---- External data. */
norn_status norni_externals_init(norni_externals *e, const char *model_path) {
    *e = (norni_externals){0};
    e->dir = norni_path_dir(model_path);
    char *real = e->dir ? realpath(e->dir, NULL) : NULL;
    e->real = real ? norni_strdup(real) : NULL;
    norn_status s = e->real           ? NORN_OK
                    : real || !e->dir ? norni_nomem()
                                      : norni_fail_errno(e->dir, "cannot resolve");
    free(real);
    if (s != NORN_OK)
        norni_externals_free(e);
    return s;
}

void norni_externals_free(norni_externals *e) {
    for (size_t i = 0; i < e->files.cap; i++)
        if (e->files.slots[i].name) {
            norni_blob_free(e->files.slots[i].p);
            norni_free((char *)e->files.slots[i].name);
        }
    norni_table_free(&e->files);
    norni_free(e->dir);
    norni_free(e->real);
    *e = (norni_externals){0};
}

static norn_status check_location(const char *location) {
    if (!*location || *location == '/')
        return norni_fail(NORN_ARG, "external data at '%s' (wanted a path relative to the model's directory)",
                          location);
    for (const char *p = location; *p; p += strcspn(p, "/"), p += strspn(p, "/"))
        if (strcspn(p, "/") == 2 && p[0] == '.' && p[1] == '.')
            return norni_fail(NORN_ARG, "external data at '%s' (wanted a path without '..')", location);
    return NORN_OK;
}

static norn_status open_within(const norni_externals *e, const char *location, norni_blob **out) {
    char *path = norni_path_join(e->dir, location), *real = path ? realpath(path, NULL) : NULL;
    size_t n = strlen(e->real);
    norn_status s;
    if (n && e->real[n - 1] == '/')
        n--; /* the root */
    if (!path)
        s = norni_nomem();
    else if (!real)
        s = norni_fail_errno(path, "cannot open external data");
    else if (strncmp(real, e->real, n) || real[n] != '/')
        s = norni_fail(NORN_ARG, "external data at '%s' is really %s (wanted a file within %s)", location,
                       real, e->real);
    else
        s = norni_blob_open(real, out);
    free(real);
    norni_free(path);
    return s;
}

norn_status norni_externals_find(norni_externals *e, const char *location, norni_blob **out) {
    *out = NULL;
    norni_name *known = norni_table_find(&e->files, location);
    if (known) {
        *out = known->p;
        return NORN_OK;
    }
    NORNI_TRY(check_location(location));
    if (!e->dir)
        return norni_fail(NORN_ARG, "external data at '%s' (a model in memory has no directory)", location);
    NORNI_TRY(open_within(e, location, out));
    char *name = norni_strdup(location);
    norni_name *entry = name ? norni_table_add(&e->files, name, NULL) : NULL;
    if (!entry) {
        norni_free(name);
        norni_blob_free(*out);
        *out = NULL;
        return norni_nomem();
    }
    entry->p = *out;
    return NORN_OK;
}
