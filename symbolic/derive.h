/* SPDX-License-Identifier: Apache-2.0 */
#ifndef NORNI_DERIVE_H
#define NORNI_DERIVE_H
#include "graph/graph.h"

/* The first output, a scalar, as "value" and its gradient "d_NAME" by each x in one graph. */
norn_status norni_value_gradient(const norn_graph *g, size_t n, const char *const *x, norn_graph **out);

#endif
