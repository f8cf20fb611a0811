/* SPDX-License-Identifier: Apache-2.0 */
/* Planning: from a graph with known shapes to steps over memory, without touching a device. */
#ifndef NORNI_PLAN_H
#define NORNI_PLAN_H
#include "backend/device.h"
#include "graph/graph.h"
#include "ops/builder.h"
#include "ops/op.h"

/* ---- Clusters (graph/fuse.c): what becomes one kernel. */
typedef struct {
    norn_node *anchor; /* a node that is not pointwise, or NULL */
    norn_node **nodes; /* pointwise nodes in order; the last one is the root, the only one that others read */
    int n_nodes;
} norni_cluster;

typedef struct {
    norni_cluster *v;
    int n;
} norni_clusters;

/* Groups the nodes of a graph with static types; clusters come in an order in which they can run. Every
 * anchored cluster may also be run as the anchor alone followed by the pointwise nodes. fuse false: a node
 * each. */
norn_status norni_fuse(const norn_graph *g, norni_arena *arena, const int *uses, bool fuse,
                       norni_clusters *out);
/* The axis of a node's output along which its epilogue can read vectors ("channels"); -1: takes no epilogue.
 */
int norni_epilogue_axis(const norn_node *node);

/* ---- Forms of values (graph/layout.c, ops/blocked.h). */
/* form[i]: the form that cluster i works in, so that the plan's estimated time is small. */
norn_status norni_layout_choose(norn_plan *p, const norni_clusters *clusters, const int *uses,
                                norni_form *form);
/* The first implementation of that form that fits and is not unwanted; NULL: none. `reasons` (may be NULL) collects why
 * others do not. */
const norni_impl *norni_plan_impl(const norn_plan *p, const norn_node *node, norni_form form,
                                  norni_str *reasons);
/* How a blocked kernel reads an operand of a pointwise node whose result has type out. */
typedef enum {
    NORNI_OPERAND_SCALAR,
    NORNI_OPERAND_VECTOR,  /* an element a channel */
    NORNI_OPERAND_BLOCKED, /* [N or 1, C, spatial sizes or 1]: in blocked form */
    NORNI_OPERAND_PLAIN,   /* the same for all channels: in plain form */
    NORNI_OPERAND_NONE     /* not at all */
} norni_operand;
norni_operand norni_blocked_operand(const norni_type *out, const norn_node *node, int input);

/* ---- Code for clusters (graph/codegen.c). */
/* Emits the step for the pointwise nodes of a cluster. */
norn_status norni_emit_pointwise(norni_emit *e, const norni_cluster *c, const int *uses);
/* The same as a kernel that can do more of its kind in one launch, where all that it makes are next contents of states
 * (graph/update.c); else *done is false. */
norn_status norni_emit_update(norni_emit *e, const norni_cluster *c, const int *uses, bool *done);
/* A state's next content. */
bool norni_is_next(const norn_value *v);
/* Cuts the parts of such a step into work-groups. */
void norni_update_range(norni_step *s, const norn_device *d);
/* Makes the epilogue that computes the cluster's pointwise nodes on the anchor's result. */
norn_status norni_epilogue_new(norni_emit *e, const norni_cluster *c, const int *uses, norni_epilogue **out);

/* ---- The plan. */
typedef enum {
    NORNI_MEM_WORK,  /* reused within a run */
    NORNI_MEM_CONST, /* constants and prepacked weights: written at load, kept */
    NORNI_MEM_LOAD   /* what only the load steps touch: reused among them, dropped after loading */
} norni_mem_kind;

typedef struct {
    norni_mem_kind kind;
    size_t bytes;
} norni_mem;

/* Where a planned buffer lies. */
typedef struct {
    int mem;   /* index into mems; -1: a state's own buffer */
    int state; /* index into the graph's states when mem is -1 */
    size_t offset, bytes;
    int first, last; /* steps between which it holds data; -1 and n_steps: before and after the run */
} norni_place;

/* Consecutive small steps that are one launch (graph/series.c). */
typedef struct {
    int first, n;
} norni_series;

struct norn_plan {
    norni_arena *arena;
    norn_graph *graph; /* owned; types are static */
    struct norn_device device;
    norn_plan_options options;
    norni_plan_builder builder; /* steps and buffers */
    norni_place *places;        /* one a buffer */
    norni_ref *outputs;         /* where each output of the graph is found after a run */
    norni_mem *mems;
    int n_mems;
    /* Steps that need not run, since what they would copy lies where it should (graph/memory_moves.c), and before which
     * of the steps each stood. */
    norni_step **moved;
    int *moved_before, n_moved;
    norni_series *series;
    int n_series;
    uint64_t lower_bound_bytes; /* largest sum of simultaneously live work buffers */
};

/* Takes the graph over, also on failure; its types are static, and it is simplified. */
norn_status norni_plan_make(norn_graph *g, const norn_device *d, const norn_plan_options *options,
                            norn_plan **out);
/* The implementation that a node gets; why the ones before it do not fit is added to `reasons`. */
norn_status norni_plan_choose(const norn_device *d, const norn_plan_options *o, const norn_node *node,
                              const norni_impl **out, norni_str *reasons);
/* Assigns places (graph/memory.c). Memory is needed for the constants and, one after the other, for loading and for runs. */
norn_status norni_plan_memory(norn_plan *p);
uint64_t norni_plan_load_bytes(const norn_plan *p);
/* The constant behind an argument of a step when only load steps read it, and this one (in this argument) first: it is
 * written to the device just before the step. Else -1. */
norni_ref norni_plan_upload(const norn_plan *p, int step, int arg);

#endif
