/* SPDX-License-Identifier: Apache-2.0 */
/* Tensors in files of their own: a TensorProto each, as ONNX's test data are. */
#ifndef NORNI_TENSOR_PB_H
#define NORNI_TENSOR_PB_H
#include "base/status.h"

/* External data are refused. Errors: NORN_IO, NORN_PARSE, NORN_UNSUPPORTED (strings, complex numbers, more than 8
 * dimensions), NORN_SHAPE, NORN_DTYPE; messages begin with the path. */
norn_status norni_tensor_from_pb(const char *path, norn_tensor **out);
/* The same from bytes, which are copied. */
norn_status norni_tensor_from_bytes(const void *data, size_t bytes, norn_tensor **out);
/* name may be NULL. The tensor is in host memory. The file appears whole or not at all. */
norn_status norni_tensor_to_pb(const norn_tensor *t, const char *name, const char *path);

#endif
