/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NORNI_STANDARD_H
#define NORNI_STANDARD_H
#include "ops/op.h"

/* Replaces the nodes that `which` names by what they stand for, again and again until none is left; *g is freed and replaced. Of the
 * rest only integers are folded. Errors: NORN_UNSUPPORTED for a node without an expansion. */
norn_status norni_graph_expand(norn_graph **g, bool (*which)(const norn_node *node));
/* Every operator that is not one of ONNX's own. */
bool norni_not_standard(const norn_node *node);

#endif
