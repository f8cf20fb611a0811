/* SPDX-License-Identifier: Apache-2.0 */
/* A tensor: type, shape and strides over reference-counted storage, in host memory or in a device buffer.
 * A view shares the storage. What is done to device storage lives in backend/. */
#ifndef NORNI_TENSOR_H
#define NORNI_TENSOR_H
#include "base/dtype.h"
#include <stdatomic.h>

typedef struct norni_storage {
    atomic_int refs;
    size_t bytes;
    void *host;        /* NULL for device storage */
    void *device;      /* backend/'s buffer object, NULL for host storage */
    norn_context *ctx; /* of device storage */
    void *keep;        /* what the memory belongs to, for `release` (a mapped file, say) */
    void (*release)(struct norni_storage *);
    const void *source; /* of norni_tensor_late: what `host` is filled with when somebody asks; else NULL */
    atomic_bool filled;
    bool mapped; /* host, or source, lies in a mapped file */
} norni_storage;

struct norn_tensor {
    norn_dtype dtype;
    int rank;
    int64_t dims[NORN_MAX_RANK], strides[NORN_MAX_RANK]; /* strides in elements */
    size_t offset_bytes;
    norni_storage *storage;
};

/* Product of the sizes; -1 when it does not fit or a size is negative. */
int64_t norni_elems(int rank, const int64_t *dims);
/* Row-major strides in elements. */
void norni_strides(int rank, const int64_t *dims, int64_t *strides);
/* "[2,3]" */
const char *norni_shape_text(int rank, const int64_t *dims, char buf[128]);

/* Zero-filled host tensor. Errors: NORN_SHAPE (rank, negative or overflowing size), NORN_DTYPE (string,
 * complex), NORN_NOMEM. */
norn_status norni_tensor_host(norn_dtype dtype, int rank, const int64_t *dims, norn_tensor **out);
/* A tensor over memory that somebody else owns; release(storage) is called with `keep` when the last
 * reference goes. */
norn_status norni_tensor_wrap(norn_dtype dtype, int rank, const int64_t *dims, void *data, size_t bytes,
                              void *keep, void (*release)(norni_storage *), norn_tensor **out);
/* A host tensor over bytes that somebody else owns and that need not be aligned (release as above): they are copied when
 * norni_tensor_data asks for them, and only then take memory. */
norn_status norni_tensor_late(norn_dtype dtype, int rank, const int64_t *dims, const void *source, void *keep,
                              void (*release)(norni_storage *), norn_tensor **out);
/* Same storage, same layout. */
norn_tensor *norni_tensor_ref(const norn_tensor *t);
/* The elements of a contiguous host tensor. */
void *norni_tensor_data(const norn_tensor *t);
/* The same bytes to copy from, not always aligned: for a late tensor without filling it. */
const void *norni_tensor_bytes_of(const norn_tensor *t);
/* The bytes are not needed for a while: what a mapped file holds is read again when they are. */
void norni_tensor_forget(const norn_tensor *t);
bool norni_tensor_is_host(const norn_tensor *t);
bool norni_tensor_contiguous(const norn_tensor *t);
int64_t norni_tensor_elems(const norn_tensor *t);
size_t norni_tensor_bytes(const norn_tensor *t);
bool norni_tensor_equal(const norn_tensor *a, const norn_tensor *b); /* host tensors: type, shape and bits */
/* Elements between packed memory and memory laid out as t's type, sizes and strides say; `strided` is where
 * element 0 lies. scatter leaves everything between t's elements alone. */
void norni_tensor_gather(const norn_tensor *t, const void *strided, void *packed);
void norni_tensor_scatter(const norn_tensor *t, const void *packed, void *strided);
/* A contiguous host copy of a host tensor in another layout. */
norn_status norni_tensor_pack(const norn_tensor *t, norn_tensor **out);

#endif
