/* SPDX-License-Identifier: Apache-2.0 */
/* What the walk (graph/grad.c) and the gradient of loops (graph/grad_loop.c) share. */
#ifndef NORNI_GRAPH_GRAD_H
#define NORNI_GRAPH_GRAD_H
#include "ops/op.h"

/* dx[i]: what arrives at x[i] from dy[k] at y[k], through the nodes of g from `first` on; NULL: nothing. */
norn_status norni_grad_between(norn_graph *g, size_t first, int n_y, norn_value *const *y,
                               norn_value *const *dy, int n_x, norn_value *const *x, norn_value **dx);
/* The rule of a Loop that cannot be written out. */
norn_status norni_grad_loop(norni_grad *c);

#endif
