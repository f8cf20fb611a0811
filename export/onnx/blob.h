/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes a model comes from: its file, mapped, and the files with external data beside it. A mapped file stays open
 * as long as a tensor lies in it. */
#ifndef NORNI_BLOB_H
#define NORNI_BLOB_H
#include "base/file.h"
#include "base/tensor.h"
#include "export/onnx/names.h"

typedef struct {
    atomic_int refs;
    norni_map map;   /* closed for memory of the caller */
    const uint8_t *data;
    size_t bytes;
    bool lasting;    /* stays valid with the reference: tensors may lie in it */
} norni_blob;

norn_status norni_blob_open(const char *path, norni_blob **out);
/* Memory of the caller, valid during the import only. */
norn_status norni_blob_memory(const void *data, size_t bytes, norni_blob **out);
void norni_blob_free(norni_blob *s); /* gives one reference back */

/* A tensor of the little-endian bytes at `offset`: in place when they are aligned to an element, else copied. The range
 * was checked. */
norn_status norni_blob_tensor(norni_blob *s, size_t offset, norn_dtype dtype, int rank, const int64_t *dims,
                                norn_tensor **out);

/* The files with external data of one model. */
typedef struct {
    char *dir; /* the model's directory; NULL: the model has none */
    char *real;
    norni_table files; /* by location; the names are the table's own */
} norni_externals;
norn_status norni_externals_init(norni_externals *e, const char *model_path);
void norni_externals_free(norni_externals *e);
/* The file at a location, lent. The location is relative, without "..", and no symbolic link leads out of the model's
 * directory. Errors: NORN_ARG when it breaks these rules (and then nothing is opened), NORN_IO. */
norn_status norni_externals_find(norni_externals *e, const char *location, norni_blob **out);

#endif
