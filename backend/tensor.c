/* SPDX-License-Identifier: Apache-2.0 */
/* Tensors of the public header: in host memory, or on a device over a buffer. */
#include "base/tensor.h"
#include "backend/internal.h"
#include "base/str.h"
#include <math.h>
#include <string.h>

static norn_buffer *buffer_of(const norn_tensor *t) {
    return t->storage->device;
}

static void release_buffer(norni_storage *st) {
    norn_buffer_free(st->device);
}

/* The bytes from element 0 to the last element, gaps included. */
static size_t covered_bytes(const norn_tensor *t) {
    if (norni_tensor_contiguous(t))
        return norni_tensor_bytes(t);
    int64_t last = 0;
    for (int i = 0; i < t->rank; i++)
        last += (t->dims[i] - 1) * t->strides[i];
    return norni_dtype_bytes(t->dtype, last + 1);
}

/* Whether reading or writing its bytes in one piece reads or writes the tensor and nothing else. */
static bool in_one_piece(const norn_tensor *t) {
    return norni_tensor_contiguous(t) && norni_tensor_elems(t) * norni_dtype_bits(t->dtype) % 8 == 0;
}

/* Making ------------------------------------------------------------------------------------------ */
static norn_status new_on_device(norn_context *ctx, norn_dtype dtype, int rank, const int64_t *dims,
                                 norn_tensor **out) {
    NORNI_TRY(norni_tensor_wrap(dtype, rank, dims, NULL, SIZE_MAX, NULL, release_buffer, out));
    norni_storage *st = (*out)->storage;
    st->bytes = norni_tensor_bytes(*out);
    st->ctx = ctx;
    norn_buffer *b = NULL;
    norn_status s = norn_buffer_new(ctx, st->bytes, &b);
    st->device = b;
    if (s != NORN_OK) {
        char text[128];
        norni_prefix(s, "tensor %s%s", norni_dtype_name(dtype), norni_shape_text(rank, dims, text));
        norn_tensor_free(*out);
        *out = NULL;
    }
    return s;
}

norn_status norn_tensor_new(norn_context *ctx, norn_dtype dtype, int rank, const int64_t *dims,
                            const void *data, norn_tensor **out) {
    *out = NULL;
    if (!ctx) {
        NORNI_TRY(norni_tensor_host(dtype, rank, dims, out));
        if (data)
            memcpy(norni_tensor_data(*out), data, norni_tensor_bytes(*out));
        return NORN_OK;
    }
    NORNI_TRY(new_on_device(ctx, dtype, rank, dims, out));
    norn_buffer *b = buffer_of(*out);
    norn_status s = data ? norn_buffer_write(b, 0, data, norn_buffer_bytes(b))
                         : norni_buffer_fill_async(b, 0, norn_buffer_bytes(b), 0);
    if (s != NORN_OK) {
        norn_tensor_free(*out);
        *out = NULL;
    }
    return s;
}

norn_buffer *norni_tensor_buffer(const norn_tensor *t) {
    return buffer_of(t);
}

norn_status norni_tensor_over_buffer(norn_buffer *b, norn_dtype dtype, int rank, const int64_t *dims,
                                     norn_tensor **out) {
    NORNI_TRY(norni_tensor_wrap(dtype, rank, dims, NULL, norn_buffer_bytes(b), NULL, release_buffer, out));
    (*out)->storage->device = norni_buffer_ref(b);
    (*out)->storage->ctx = norni_buffer_context(b);
    return NORN_OK;
}

norn_dtype norn_tensor_dtype(const norn_tensor *t) {
    return t->dtype;
}
int norn_tensor_rank(const norn_tensor *t) {
    return t->rank;
}
const int64_t *norn_tensor_dims(const norn_tensor *t) {
    return t->dims;
}
int64_t norn_tensor_elems(const norn_tensor *t) {
    return norni_tensor_elems(t);
}
size_t norn_tensor_bytes(const norn_tensor *t) {
    return norni_tensor_bytes(t);
}

void *norn_tensor_data(const norn_tensor *t) {
    return norni_tensor_is_host(t) && norni_tensor_contiguous(t) ? norni_tensor_data(t) : NULL;
}

/* Transfers --------------------------------------------------------------------------------------- */

/* A device tensor with gaps: what it covers is fetched, and for writing changed and put back. Nothing else
 * runs on the context between the two, so what lies in the gaps stays as it is. */
static norn_status through_cover(const norn_tensor *t, const void *write, void *read) {
    size_t bytes = covered_bytes(t);
    char *cover = norni_alloc_aligned(bytes, 16);
    if (!cover)
        return norni_nomem();
    norn_buffer *b = buffer_of(t);
    norn_status s = norn_buffer_read(b, t->offset_bytes, cover, bytes);
    if (s == NORN_OK && read)
        norni_tensor_gather(t, cover, read);
    if (s == NORN_OK && write) {
        norni_tensor_scatter(t, write, cover);
        s = norn_buffer_write(b, t->offset_bytes, cover, bytes);
    }
    norni_free(cover);
    return s;
}

norn_status norn_tensor_write(norn_tensor *t, const void *data) {
    if (norni_tensor_is_host(t)) {
        norni_tensor_scatter(t, data, norni_tensor_data(t));
        return NORN_OK;
    }
    if (in_one_piece(t))
        return norn_buffer_write(buffer_of(t), t->offset_bytes, data, norni_tensor_bytes(t));
    return through_cover(t, data, NULL);
}

norn_status norn_tensor_read(const norn_tensor *t, void *data) {
    if (norni_tensor_is_host(t)) {
        norni_tensor_gather(t, norni_tensor_data(t), data);
        return NORN_OK;
    }
    if (in_one_piece(t))
        return norn_buffer_read(buffer_of(t), t->offset_bytes, data, norni_tensor_bytes(t));
    return through_cover(t, NULL, data);
}

norn_status norn_tensor_copy(const norn_tensor *t, norn_context *ctx, norn_tensor **out) {
    *out = NULL;
    if (!ctx) {
        NORNI_TRY(norni_tensor_host(t->dtype, t->rank, t->dims, out));
        norn_status s = norn_tensor_read(t, norni_tensor_data(*out));
        if (s != NORN_OK) {
            norn_tensor_free(*out);
            *out = NULL;
        }
        return s;
    }
    if (norni_tensor_is_host(t) && norni_tensor_contiguous(t))
        return norn_tensor_new(ctx, t->dtype, t->rank, t->dims, norni_tensor_data(t), out);
    if (norni_tensor_is_host(t) || !in_one_piece(t)) {
        norn_tensor *host;
        NORNI_TRY(norn_tensor_copy(t, NULL, &host));
        norn_status s = norn_tensor_new(ctx, t->dtype, t->rank, t->dims, norni_tensor_data(host), out);
        norn_tensor_free(host);
        return s;
    }
    NORNI_TRY(new_on_device(ctx, t->dtype, t->rank, t->dims, out));
    norn_status s =
        norni_buffer_copy_async(buffer_of(t), t->offset_bytes, buffer_of(*out), 0, norni_tensor_bytes(t));
    if (s != NORN_OK) {
        norn_tensor_free(*out);
        *out = NULL;
    }
    return s;
}

/* Views ------------------------------------------------------------------------------------------- */
static norn_status finish_view(norn_tensor *view, const char *verb, norn_tensor **out) {
    if (norni_dtype_bits(view->dtype) < 8 && !norni_tensor_contiguous(view)) {
        norn_status s =
            norni_fail(NORN_UNSUPPORTED, "tensor: %s: %s elements are smaller than a byte and stay packed",
                       verb, norni_dtype_name(view->dtype));
        norn_tensor_free(view);
        return s;
    }
    *out = view;
    return NORN_OK;
}

norn_status norn_tensor_slice(const norn_tensor *t, int axis, int64_t start, int64_t stop,
                              norn_tensor **out) {
    *out = NULL;
    if (axis < 0 || axis >= t->rank)
        return norni_fail(NORN_ARG, "tensor: slice: axis %d (wanted 0 to %d)", axis, t->rank - 1);
    if (start < 0 || start > stop || stop > t->dims[axis])
        return norni_fail(NORN_SHAPE, "tensor: slice: %lld to %lld (wanted within 0 to %lld)",
                          (long long)start, (long long)stop, (long long)t->dims[axis]);
    uint64_t bits = (uint64_t)start * (uint64_t)t->strides[axis] * (uint64_t)norni_dtype_bits(t->dtype);
    if (bits % 8)
        return norni_fail(NORN_UNSUPPORTED, "tensor: slice: %s elements from %lld do not start at a byte",
                          norni_dtype_name(t->dtype), (long long)start);
    norn_tensor *v = norni_tensor_ref(t);
    if (!v)
        return norni_nomem();
    v->dims[axis] = stop - start;
    if (norni_tensor_elems(v)) /* else there is nothing to point at */
        v->offset_bytes += (size_t)(bits / 8);
    return finish_view(v, "slice", out);
}

norn_status norn_tensor_transpose(const norn_tensor *t, const int *perm, norn_tensor **out) {
    *out = NULL;
    bool seen[NORN_MAX_RANK] = {false};
    for (int i = 0; i < t->rank; i++) {
        if (perm[i] < 0 || perm[i] >= t->rank || seen[perm[i]])
            return norni_fail(NORN_ARG, "tensor: transpose: perm[%d] is %d (wanted each of 0 to %d once)", i,
                              perm[i], t->rank - 1);
        seen[perm[i]] = true;
    }
    norn_tensor *v = norni_tensor_ref(t);
    if (!v)
        return norni_nomem();
    for (int i = 0; i < t->rank; i++) {
        v->dims[i] = t->dims[perm[i]];
        v->strides[i] = t->strides[perm[i]];
    }
    return finish_view(v, "transpose", out);
}

norn_status norn_tensor_reshape(const norn_tensor *t, int rank, const int64_t *dims, norn_tensor **out) {
    *out = NULL;
    char a[128], b[128];
    if (rank < 0 || rank > NORN_MAX_RANK)
        return norni_fail(NORN_SHAPE, "tensor: reshape: rank %d (wanted 0 to %d)", rank, NORN_MAX_RANK);
    if (norni_elems(rank, dims) != norni_tensor_elems(t))
        return norni_fail(NORN_SHAPE, "tensor: reshape: %s to %s (wanted as many elements)",
                          norni_shape_text(t->rank, t->dims, a), norni_shape_text(rank, dims, b));
    if (!norni_tensor_contiguous(t))
        return norni_fail(NORN_ARG,
                          "tensor: reshape: a view with gaps %s (wanted a packed tensor; copy it first)",
                          norni_shape_text(t->rank, t->dims, a));
    norn_tensor *v = norni_tensor_ref(t);
    if (!v)
        return norni_nomem();
    v->rank = rank;
    if (rank)
        memcpy(v->dims, dims, (size_t)rank * sizeof *dims);
    norni_strides(rank, dims, v->strides);
    *out = v;
    return NORN_OK;
}

/* Elements and text ------------------------------------------------------------------------------- */

/* Where element i lies, in elements from the first; -1 when there is no such element in host memory. */
static int64_t place(const norn_tensor *t, int64_t i) {
    if (!norni_tensor_is_host(t) || i < 0 || i >= norni_tensor_elems(t))
        return -1;
    int64_t at = 0;
    for (int k = t->rank - 1; k >= 0; k--) {
        at += i % t->dims[k] * t->strides[k];
        i /= t->dims[k];
    }
    return at;
}

double norn_tensor_get(const norn_tensor *t, int64_t i) {
    int64_t at = place(t, i);
    return at < 0 ? (double)NAN : norni_get_double(t->dtype, norni_tensor_data(t), at);
}

void norn_tensor_set(norn_tensor *t, int64_t i, double v) {
    int64_t at = place(t, i);
    if (at >= 0)
        norni_set_double(t->dtype, norni_tensor_data(t), at, v);
}

static void print_element(norni_str *s, norn_dtype t, const void *data, int64_t i) {
    if (t == NORN_F64)
        norni_str_add_double(s, norni_get_double(t, data, i));
    else if (norni_dtype_is_float(t))
        norni_str_add_float(s, (float)norni_get_double(t, data, i));
    else if (t == NORN_U64)
        norni_str_addf(s, "%llu", (unsigned long long)norni_get_int(t, data, i));
    else
        norni_str_addf(s, "%lld", (long long)norni_get_int(t, data, i));
}

norn_status norn_tensor_print(const norn_tensor *t, int64_t limit, char **out) {
    *out = NULL;
    norn_tensor *packed;
    NORNI_TRY(norn_tensor_copy(t, NULL, &packed));
    char shape[128];
    int64_t n = norni_tensor_elems(t), shown = limit < 0 || limit > n ? n : limit;
    norni_str s = {0};
    norni_str_addf(&s, "%s%s {", norni_dtype_name(t->dtype),
                   t->rank ? norni_shape_text(t->rank, t->dims, shape) : "");
    for (int64_t i = 0; i < shown; i++) {
        norni_str_add(&s, i ? ", " : "");
        print_element(&s, t->dtype, norni_tensor_data(packed), i);
    }
    norni_str_add(&s, shown == n ? "}" : shown ? ", ...}" : "...}");
    norn_tensor_free(packed);
    *out = norni_str_take(&s);
    return *out ? NORN_OK : norni_nomem();
}
