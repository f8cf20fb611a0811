/* SPDX-License-Identifier: Apache-2.0 */
/* Which element types the operators took in older opsets. */
#ifndef NORNI_TYPES_SINCE_H
#define NORNI_TYPES_SINCE_H
#include "ops/op.h"

/* Element types that an operator's inputs take from an opset on. */
typedef struct {
    const char *op; /* of the default domain */
    int since;
    unsigned inputs; /* a bit for each; variadic ones all go by the last */
    norni_types types;
} norni_types_row;
const norni_types_row *norni_types_rows(size_t *n);
/* The opset that brought an element type: no operator of an older one takes it. */
int norni_type_since(norn_dtype t);
/* NORN_UNSUPPORTED when the node has elements of a type that its operator does not take in this opset. */
norn_status norni_types_check(const norn_node *node, int opset);

#endif
