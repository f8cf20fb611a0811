/* SPDX-License-Identifier: Apache-2.0 */
/* What the operators on quantised tensors share. */
#ifndef NORNI_QLINEAR_H
#define NORNI_QLINEAR_H
#include "ops/op.h"

/* s (q - z) in floats; s and z have one element, z may be NULL for 0. */
norn_value *norni_dequantise(norn_graph *g, norn_value *q, norn_value *s, norn_value *z);
/* saturate(round(x / s) + z) in type t, which is int8 or uint8; z may be NULL. */
norn_value *norni_quantise(norn_graph *g, norn_value *x, norn_value *s, norn_value *z, norn_dtype t);
/* The type of an optional zero point, else of input x. */
norn_dtype norni_type_of_zero(const norn_node *node, int zero, int x);
/* These inputs (the list ends with -1) have one element each. */
norn_status norni_check_singles(const norni_infer *c, const int *list);

#endif
