/* SPDX-License-Identifier: Apache-2.0 */
/* What a file that is no ONNX model seems to be. */
#ifndef NORNI_FILE_KIND_H
#define NORNI_FILE_KIND_H
#include <stddef.h>

/* "an HDF5 file", by its first bytes, else by its extension; NULL when it may well be a damaged model. */
const char *norni_file_kind(const char *path, const void *data, size_t bytes);

#endif
