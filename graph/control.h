/* SPDX-License-Identifier: Apache-2.0 */
/* Loops that cannot be written out: the body as an executable of its own, run again and again. */
#ifndef NORNI_GRAPH_CONTROL_H
#define NORNI_GRAPH_CONTROL_H
#include "graph/session.h"

/* Runs a Loop or Scan. in: its inputs, in host memory; out: by output of the node, a host tensor for each wanted one. */
norn_status norni_control_run(norn_session *s, const norn_plan_options *options, const norn_node *node,
                              norn_tensor *const *in, norni_fold_log *log, norn_tensor **out);

#endif
