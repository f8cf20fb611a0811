/* SPDX-License-Identifier: Apache-2.0 */
/* norn_tensor_load and norn_tensor_save (norn.h): one row of a table for each file format. */
#ifndef NORNI_TENSOR_FILE_H
#define NORNI_TENSOR_FILE_H
#include "base/status.h"
#include <stddef.h>

/* Splits "PATH:NAME" where PATH exists and the whole does not: *path is freed by norni_free, *name points
 * into `spec` (NULL when there is none). NORN_IO when nothing is there under either reading. */
norn_status norni_spec_split(const char *spec, char **path, const char **name);

#endif
