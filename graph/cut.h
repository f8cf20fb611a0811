/* SPDX-License-Identifier: Apache-2.0 */
/* Shapes that depend on data. The run is cut there: what decides the shape is computed by a graph of its own and read; what
 * that graph computed besides, and the rest needs, is fed to the rest as further inputs. */
#ifndef NORNI_CUT_H
#define NORNI_CUT_H
#include "graph/graph.h"
#include "graph/session.h"

/* An input that a cut added. */
typedef struct {
    const char *name; /* "norn.cut3" */
    norn_tensor *tensor;
} norni_cut_feed;

typedef struct {
    norn_session *session;
    const norn_plan_options *options;
    norn_state *state;
    const norn_graph *fed;        /* whose inputs are fed ... */
    const norn_tensor *const *in; /* ... with these, by index */
    norni_fold_log *log;          /* what ran on the host */
    NORNI_VEC(norni_cut_feed) feeds;
    bool data_dependent; /* the plan serves this run only */
} norni_cuts;

/* Replaces *g, whose sizes are bound, by a graph of static shapes. */
norn_status norni_resolve_shapes(norni_cuts *c, norn_graph **g);
void norni_cuts_free(norni_cuts *c);

#endif
