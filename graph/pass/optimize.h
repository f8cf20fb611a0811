/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the optimizer share. A rule looks at a node of the old graph whose inputs are made; it may make other
 * nodes in the new graph and let one of their results stand for the node's output. What it leaves constant is folded in
 * the next round. */
#ifndef NORNI_OPTIMIZE_H
#define NORNI_OPTIMIZE_H
#include "graph/graph.h"
#include "ops/op.h"

typedef struct {
    const int *uses; /* of values of the old graph */
    size_t changes;
    bool last;    /* the round for rules that would hide others' chances */
    bool doubles; /* a Transpose that several read may go through each of them */
} norni_optimizer;

typedef struct {
    norni_rebuild *r;
    norn_graph *g; /* new */
    const norn_node *node;
    norn_value **in; /* new; NORNI_NONE where absent */
} norni_rule;

/* The result of a rule: the value that stands for the node's first output, or NULL: it does not apply. */
typedef norn_value *norni_rule_fn(const norni_rule *x);
norni_rule_fn norni_rule_noop, norni_rule_known, norni_rule_affine, norni_rule_requantize,
    norni_rule_transpose;

/* ---- What rules ask. */
bool norni_node_is(const norn_node *n, const char *name); /* of ONNX's own domain */
norn_node *norni_made_by(const norn_value *v, const char *name);
int64_t norni_node_int(const norn_node *n, const char *attr, int64_t absent);
bool norni_node_ints(const norn_node *n, const char *attr, norni_ints *out); /* false: absent */
/* The input of the old node, and whether nobody else reads it. */
bool norni_sole_use(const norni_rule *x, int i);
/* The node's operator and attributes on other inputs. */
norn_value *norni_same_op(const norni_rule *x, int n_in, norn_value *const *in);

#endif
