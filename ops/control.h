/* SPDX-License-Identifier: Apache-2.0 */
/* If, Loop and Scan. A subgraph is a graph of its own: its inputs are the operator's (the iteration's number, the condition,
 * what is carried) and, behind them, the values that it reads from the graphs around it. These are inputs of the node too,
 * behind its own, in the same order for every subgraph of the node; so passes see all that a node reads.
 *
 * Where what decides is known, the node is replaced by its subgraphs' nodes (its expansion). Else graph/control.c runs
 * the body again and again. A file gets such nodes as it had them: their NodeProto is in node->extra. */
#ifndef NORNI_CONTROL_H
#define NORNI_CONTROL_H
#include "ops/op.h"

/* Counted, and never changed. */
struct norni_subgraph {
    norn_graph *graph;
    int refs;
};
/* Takes the graph over, also on failure. */
norn_status norni_subgraph_new(norn_graph *g, norni_subgraph **out);

typedef struct {
    norni_subgraph *then_branch, *else_branch; /* If */
    norni_subgraph *body;                      /* Loop, Scan */
    int64_t num_scan_inputs;
    norni_ints scan_input_axes, scan_input_directions, scan_output_axes, scan_output_directions;
    norni_ints directions; /* of Scan 8 */
    int64_t captured;      /* inputs of the node that only subgraphs read */
} norni_control_attrs;

/* Their descriptors (norn_op.control). */
extern const norn_op norni_op_If, norni_op_Loop, norni_op_Scan;
static inline const norni_control_attrs *norni_control_of(const norn_node *node) {
    return node->attrs;
}
/* Inputs that are not captured. */
static inline int norni_control_own(const norn_node *node) {
    return node->n_in - (int)norni_control_of(node)->captured;
}
/* The nodes of a subgraph at the end of g, with `in` for its inputs; out: for its outputs. */
norn_status norni_inline(norn_graph *g, const norn_graph *sub, norn_value *const *in, norn_value **out);
/* True when output 0 of a loop's body is true whatever its inputs are, or its condition again. */
bool norni_loop_goes_on(const norn_graph *body);

/* True when all that decides is known, and the iterations are not too many to be written out. */
bool norni_control_unrolls(const norn_node *node);

/* A loop that is replaced by its iterations has at most so many nodes. */
enum { NORNI_UNROLL_NODES = 4000 };

#endif
