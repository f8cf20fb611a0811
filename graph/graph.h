/* SPDX-License-Identifier: Apache-2.0 */
/* Algorithms over whole graphs. */
#ifndef NORNI_GRAPH_H
#define NORNI_GRAPH_H
#include "ops/ir.h"

/* ---- Rebuilding. Every pass makes a new graph by visiting the nodes of the old one in order; what is not
 * reached from the outputs and states is left out. */

/* Nodes that folding computes on the host from elements that no file had: those of tensors that are fed, and what was
 * read of results. */
typedef struct {
    NORNI_VEC(norn_tensor *) known; /* references: such tensors, and what was computed from them */
    NORNI_VEC(char *) lines;        /* one-line text of the nodes */
} norni_fold_log;
norn_status norni_fold_log_add(norni_fold_log *l, const norn_tensor *known);
void norni_fold_log_free(norni_fold_log *l);

typedef struct norni_rebuild {
    const norn_graph *from;
    norn_graph *to;
    norn_value **map;        /* by id of the old value; NULL: not made yet */
    bool fold;               /* evaluate nodes whose inputs are all constants */
    bool integers_only;      /* fold only what gives integers or truths: shape arithmetic */
    bool merge;              /* common subexpressions, identities */
    size_t fold_limit_elems; /* larger constants are not made by folding */
    bool keep_quantized;     /* constants are not dequantized: they would grow */
    size_t n_keep;           /* names of constants: what depends on them is not folded */
    const char *const *keep;
    /* Replaces a node: sets the map entries of its outputs and *done, or leaves it alone. NULL: none. */
    norn_status (*rewrite)(struct norni_rebuild *r, const norn_node *node, norn_value **in, bool *done);
    /* What stands for an input, constant or state in the new graph, of any kind; NULL: a copy. */
    norn_value *(*leaf)(struct norni_rebuild *r, const norn_value *old);
    void *ctx;
    norni_fold_log *log; /* NULL: none */
    struct norni_cse *cse;
} norni_rebuild;
norn_status norni_rebuild_run(norni_rebuild *r);

/* Shapes worked out anew with sizes bound by `lookup`, and with the elements of inputs that are known:
 * tensors[i] for input i, or NULL. Folds shape arithmetic. */
norn_status norni_graph_bind(const norn_graph *g, norni_dim_lookup *lookup, const void *ctx,
                             const norni_type *const *types, norn_tensor *const *tensors, norni_fold_log *log,
                             norn_graph **out);

/* True for inputs whose elements decide shapes somewhere (directly or through shape arithmetic): a plan can
 * only be made when they are known. Array by input index; freed by norni_free. */
bool *norni_graph_host_inputs(const norn_graph *g);

/* Replaces operators that have no kernels (host: no host reference) by those they stand for; *g is freed and
 * replaced. */
norn_status norni_graph_decompose(norn_graph **g, bool host);
/* The same for the nodes that `which` names, again and again until none is left. Of the rest only integers are folded. Errors:
 * NORN_UNSUPPORTED for a node without an expansion. */
norn_status norni_graph_expand(norn_graph **g, bool (*which)(const norn_node *node));
bool norni_not_standard(const norn_node *node); /* every operator that is not one of ONNX's own */

/* Puts what normalises the result of a convolution in inference into its weights and bias. */
norn_status norni_graph_fold_norms(norn_graph **g);
/* Attention that is written as products and a softmax becomes one operator. */
norn_status norni_graph_fuse_attention(norn_graph **g);
/* A convolution 1 x 1 and one with a kernel for each channel that follows become one operator. */
norn_status norni_graph_fuse_convs(norn_graph **g);
/* Large batches are run some images at a time where what lies between would not stay in the caches. */
norn_status norni_graph_slice_batch(norn_graph **g, const norn_device *d);

/* ---- Use counts. uses[id]: how many node inputs, outputs and state updates read the value. */
int *norni_graph_uses(const norn_graph *g);

#endif
