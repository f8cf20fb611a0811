/* SPDX-License-Identifier: Apache-2.0 */
/* Tensors of ONNX files: TensorProto and SparseTensorProto to tensors, and back. */
#ifndef NORNI_ONNX_TENSOR_H
#define NORNI_ONNX_TENSOR_H
#include "export/onnx/prescan.h"
#include "export/onnx/proto.h"
#include "export/onnx/blob.h"

/* Where the data of a file's tensors are. */
typedef struct {
    norni_blob *source;
    const norni_prescan *scan;
    norni_externals *externals;
    uint64_t dense_left; /* bytes that sparse tensors may still fill */
} norni_tensor_reader;

/* False for what norn has no storage for: strings, complex numbers, element types newer than those of norn.h, more than
 * NORN_MAX_RANK dimensions. A number that is no element type at all is an error of norni_tensor_read. */
bool norni_tensor_modelled(const norni_pb_tensor *t);
/* Every encoding: raw_data, the typed fields (of 32 bits and less in int32_data), external data. Exactly one of them
 * may be there, with exactly the elements that the dimensions ask for. Errors say what was wrong with the data; the
 * caller says with which tensor. */
norn_status norni_tensor_read(norni_tensor_reader *r, const norni_pb_tensor *t, norn_tensor **out);
/* A sparse tensor, filled in; what that takes is bounded by r->dense_left. */
norn_status norni_tensor_read_sparse(norni_tensor_reader *r, const norni_pb_sparse *t, norn_tensor **out);
/* Puts back into every TensorProto of a message what the pre-scan had cut out, and what external files hold, as raw
 * data: the message then stands for itself. */
norn_status norni_tensor_restore(norni_tensor_reader *r, ProtobufCMessage *m, norni_arena *arena);

#endif
