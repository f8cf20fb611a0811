/* SPDX-License-Identifier: Apache-2.0 */
/* What laying out memory works on (graph/memory.c, graph/memory_moves.c). */
#ifndef NORNI_MEMORY_H
#define NORNI_MEMORY_H
#include "graph/plan.h"

typedef struct {
    norn_plan *p;
    norni_ref *root; /* by buffer: the one in whose memory it lies, and where in it */
    size_t *shift;
    int n, n_steps;
    bool *is_work; /* by buffer: in memory that is reused within a run */
} norni_memory;

/* Works out root and shift anew. */
void norni_memory_roots(norni_memory *l);
/* The life of every root, into the plan's places, from the steps; inputs live from before the first (and stay where they
 * are to be kept), outputs to after the last. */
void norni_memory_lives(norni_memory *l);
/* Lays buffers into others where a step would only copy them there. */
norn_status norni_memory_merge_moves(norni_memory *l);
/* The largest sum of live work buffers, after working out lives anew; live: room for n_steps + 3. */
size_t norni_memory_peak(norni_memory *l, size_t *live);
/* Joins the steps that do the same to states (graph/update.c). */
norn_status norni_memory_merge_updates(norni_memory *l);
/* The content of a buffer, or of what it views, is there. */
bool norni_plan_valid(const norn_plan *p, norni_ref r, const bool *valid);
/* What is written by the steps before `step` and moved there is where the plan says that it is; an error otherwise. */
norn_status norni_memory_verify_moves(const norn_plan *p, int step, bool *valid);

#endif
