/* SPDX-License-Identifier: Apache-2.0 */
/* What prints OpenCL C for groups of pointwise nodes: as a kernel of their own (graph/codegen.c), as the epilogue of another
 * (graph/epilogue.c), and for the updates of several states at once (graph/update.c). They differ in how operands are
 * addressed. */
#ifndef NORNI_CODEGEN_H
#define NORNI_CODEGEN_H
#include "graph/plan.h"

enum { NORNI_MAX_OPERANDS = 32, NORNI_MAX_LOOPS = NORN_MAX_RANK };

/* How a kernel reads an operand along the innermost (collapsed) dimension. */
typedef enum { AT_FLAT, AT_UNIT, AT_SPLAT, AT_STRIDED } norni_code_access;

typedef struct {
    const norn_value *value;
    bool channel;                     /* a [C] vector along axis 1 */
    norni_operand how;                /* in blocked form */
    norni_ref ref;                    /* its buffer */
    int64_t strides[NORNI_MAX_LOOPS]; /* over the iteration space; after collapsing over that */
    norni_code_access access;
} norni_operand_code;

typedef struct {
    norni_emit *e;
    const norni_cluster *c;
    const int *uses;
    const norni_expr **formulas; /* by node, over its inputs */
    norni_operand_code in[NORNI_MAX_OPERANDS];
    int n_in;
    int stored[64], n_stored; /* nodes whose results are needed outside */
    int rank;
    int64_t dims[NORNI_MAX_LOOPS];
    const norn_value *anchor; /* epilogues: the value that arrives in `acc` */
} norni_group;

/* Finds the operands, formulas and stored results of the group's cluster. */
norn_status norni_code_collect(norni_group *g);
/* Vector width of the group on the device. */
int norni_code_width(const norni_group *g);
/* Defines the switches of the prelude that the group's types need. */
void norni_code_types(norni_group *g, norni_step *s, int width);
/* "PREFIX_Mul_Add". */
void norni_code_name(const norni_group *g, const char *prefix, char buf[80]);

/* Text. The type of elements in memory; w elements of type t loaded from p[i], stored there; one in all lanes. */
const char *norni_code_storage(norn_dtype t, char buf[24]);
void norni_code_load(norni_str *s, norn_dtype t, int w, const char *p, const char *i);
void norni_code_store(norni_str *s, norn_dtype t, int w, const char *p, const char *i, const char *v);
void norni_code_splat(norni_str *s, norn_dtype t, int w, const char *p, const char *i);
/* One statement a node: the value v<i> of its compute type. Operand k is x<k>; the anchor's result is acc. */
norn_status norni_code_nodes(norni_group *g, norni_str *s, int w, const char *indent);
/* Loads of all operands p<k>, the nodes, stores to y<k>, for w elements from f + j on. */
norn_status norni_code_body(norni_group *g, norni_str *s, int w);

#endif
