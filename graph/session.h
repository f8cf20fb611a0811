/* SPDX-License-Identifier: Apache-2.0 */
/* What lives on devices: sessions, state, loaded plans. */
#ifndef NORNI_SESSION_H
#define NORNI_SESSION_H
#include "backend/buffer.h"
#include "backend/context.h"
#include "base/recycle.h"
#include "graph/plan.h"

typedef struct norni_applied norni_applied;

struct norn_session {
    norn_context **contexts;
    size_t n;
    NORNI_VEC(norni_applied *) applied; /* single operators compiled by norn_session_apply, latest last */
};

typedef struct {
    char *name;
    norni_type type;
    norn_buffer *buffer;
} norni_state_entry;

struct norn_state {
    norn_session *session;
    NORNI_VEC(norni_state_entry) entries;
    uint64_t version; /* changes whenever a content may have changed */
    uint64_t runs;    /* of executables over it, which draw other random numbers each */
};

/* The entry for a graph's state value; made, with the value's initial content, when there is none yet. */
norn_status norni_state_find(norn_state *st, const norn_value *v, norn_buffer **out);

/* Makes the entries for all of a graph's states that there are not yet, side by side in as few pieces of memory as the device
 * allows, so that one launch can update them (graph/update.c); entries that nobody uses yet move there. */
norn_status norni_state_reserve(norn_state *st, const norn_graph *g);

/* Enqueues the last run of an executable again, with the same inputs, which its plan has kept (plan option keep_inputs).
 * NORN_UNSUPPORTED when shapes depend on results. */
norn_status norni_executable_rerun(norn_executable *e);

/* A plan with its buffers and kernels on a device (graph/load.c). */
typedef struct norni_loaded norni_loaded;
/* Takes the plan over, also on failure. */
norn_status norni_load(norn_context *ctx, norn_plan *plan, norn_state *state, norni_loaded **out);
void norni_loaded_free(norni_loaded *l);
const norn_plan *norni_loaded_plan(const norni_loaded *l);
/* The content of an input for the next run; the tensor must stay valid until the run has waited. */
norn_status norni_loaded_feed(norni_loaded *l, size_t input, const norn_tensor *t);
/* Enqueues all steps. */
norn_status norni_loaded_enqueue(norni_loaded *l);
/* Enqueues the reading of an output into a new host tensor, which is valid after the context has finished. */
norn_status norni_loaded_fetch(norni_loaded *l, size_t output, norni_recycler *memory, norn_tensor **out);

#endif
