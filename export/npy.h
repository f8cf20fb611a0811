/* SPDX-License-Identifier: Apache-2.0 */
/* NumPy's .npy: one array. Source: NEP 1 and numpy.lib.format (versions 1.0, 2.0, 3.0).
 *
 * Read: bool, signed and unsigned integers of 1 to 8 bytes, floats of 2, 4 and 8 bytes, either byte order,
 * row-major or Fortran order (converted to row-major). The header must account for every byte that follows
 * it. Strings, objects, records, dates, complex and raw types are refused by name. Written: version 1.0,
 * row-major, in the byte order of this machine; bfloat16 and the types below 16 bits have no NumPy name and
 * are refused. */
#ifndef NORNI_NPY_H
#define NORNI_NPY_H
#include "base/str.h"
#include "base/tensor.h"

/* Where bytes come from. `read` gives exactly so many or fails; `bytes` is how many there are in all, as the
 * container says: it bounds what is allocated. */
typedef struct norni_source {
    norn_status (*read)(void *ctx, void *data, size_t bytes);
    void *ctx;
    uint64_t bytes;
} norni_source;

/* Errors do not name the file; callers prefix them. NORN_PARSE (malformed, or data that do not fit the
 * shape), NORN_UNSUPPORTED (an element type), NORN_SHAPE (too many axes), NORN_NOMEM, and what `read`
 * returns. */
norn_status norni_npy_read(const norni_source *src, norn_tensor **out);
/* The bytes that go before the elements of a tensor of this type and shape. NORN_UNSUPPORTED: NumPy has no
 * such type. */
norn_status norni_npy_header(norn_dtype dtype, int rank, const int64_t *dims, norni_str *out);

norn_status norni_npy_load(const char *path, norn_tensor **out);
norn_status norni_npy_save(const norn_tensor *t, const char *path);

/* The tensor itself (another reference) when it is packed and in host memory, else a packed copy; NORN_ARG
 * for a tensor on a device. Writers start with it. */
norn_status norni_tensor_packed(const norn_tensor *t, norn_tensor **out);

#endif
