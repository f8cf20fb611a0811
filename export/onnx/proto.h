/* SPDX-License-Identifier: Apache-2.0 */
/* Short names for the generated structures of onnx.proto, and what protobuf-c leaves to its caller. */
#ifndef NORNI_PROTO_H
#define NORNI_PROTO_H
#include "base/arena.h"
#include "onnx.pb-c.h"
#include "ops/ir.h"

typedef NorniOnnx__ModelProto norni_pb_model;
typedef NorniOnnx__GraphProto norni_pb_graph;
typedef NorniOnnx__NodeProto norni_pb_node;
typedef NorniOnnx__AttributeProto norni_pb_attr;
typedef NorniOnnx__TensorProto norni_pb_tensor;
typedef NorniOnnx__SparseTensorProto norni_pb_sparse;
typedef NorniOnnx__ValueInfoProto norni_pb_value;
typedef NorniOnnx__TypeProto norni_pb_type;
typedef NorniOnnx__TensorShapeProto norni_pb_shape;
typedef NorniOnnx__TensorShapeProto__Dimension norni_pb_dim;
typedef NorniOnnx__FunctionProto norni_pb_function;
typedef NorniOnnx__OperatorSetIdProto norni_pb_opset;
typedef NorniOnnx__StringStringEntryProto norni_pb_entry;

/* A message unpacked into an arena: nothing to free. The bytes have passed the pre-scan: protobuf-c recurses with the
 * depth of the messages. */
norn_status norni_pb_unpack(const ProtobufCMessageDescriptor *desc, norni_arena *arena, const void *data, size_t bytes,
                            void *out);
/* A message as bytes in an arena. */
norn_status norni_pb_pack(const void *message, norni_arena *arena, norni_extra *out);
/* "" for an absent string. */
static inline const char *norni_pb_text(const char *s) { return s ? s : ""; }
/* "" is the default domain, which may also be spelled "ai.onnx". */
const char *norni_pb_domain(const char *s);

#endif
