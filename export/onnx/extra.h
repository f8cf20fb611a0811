/* SPDX-License-Identifier: Apache-2.0 */
/* What the importer leaves in norni_extra, for the exporter to write back.
 *
 * A node with an operator: its NodeProto without inputs, outputs, name, operator and attributes. A node with an unknown
 * operator: the whole NodeProto; inputs of the node beyond those of the NodeProto are the values that its subgraphs use
 * from outside, in the order of norni_captures_find. An output of the graph: its ValueInfoProto without name, and with a
 * type only where norni_type cannot say it. A value: the fields below, each once at most, in protobuf's wire format. */
#ifndef NORNI_EXTRA_H
#define NORNI_EXTRA_H
#include "export/onnx/wire.h"
#include "ops/ir.h"

typedef enum {
    NORNI_EXTRA_VALUE = 1,    /* bytes: its ValueInfoProto, as for an output; the file declares the value */
    NORNI_EXTRA_TENSOR = 2,   /* bytes: its TensorProto without name and data */
    NORNI_EXTRA_CONSTANT = 3, /* bytes: it was a Constant: that NodeProto without outputs and attributes */
    NORNI_EXTRA_LISTED =
        4, /* an initialiser that is also listed as an input: a default that may be overridden */
    NORNI_EXTRA_SPARSE = 5 /* an initialiser that was sparse */
} norni_extra_field;

/* Adds a field to a value's. */
norn_status norni_extra_add(norn_value *v, norni_extra_field field, const norni_extra *bytes);
/* Finds it; false when it is not there. bytes may be NULL. */
bool norni_extra_find(const norn_value *v, norni_extra_field field, norni_extra *bytes);

#endif
