/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NORNI_OLDER_H
#define NORNI_OLDER_H
#include "export/onnx/export.h"
#include "export/onnx/types_since.h"

/* Makes the outputs of a node, which the opset of x cannot say as it is, from nodes that are at the end of the graph
 * afterwards; *done is false where there is no way that gives the same numbers. */
norn_status norni_older(norni_exporter *x, const norn_node *node, norn_value **out, bool *done);
/* Rules of export/onnx/older_math.c; NULL where there is no such way. */
norn_value *norni_older_erf(norni_exporter *x, const norn_node *node);
norn_value *norni_older_round(norni_exporter *x, const norn_node *node);
norn_value *norni_older_sign(norni_exporter *x, const norn_node *node);
norn_value *norni_older_cosh(norni_exporter *x, const norn_node *node);
norn_value *norni_older_quantise(norni_exporter *x, const norn_node *node);
/* Pooling: ceil_mode of a node as low, its form in an older opset, has it. */
norn_status norni_lower_ceil(const norn_node *node, norn_node *low);
/* The same by wider elements only; false where there is no such way. */
bool norni_widen(norni_exporter *x, const norn_node *node, norn_value **out);

#endif
