/* SPDX-License-Identifier: Apache-2.0 */
/* Operators that a program defines. */
#ifndef NORNI_DEFINE_H
#define NORNI_DEFINE_H
#include "ops/op.h"

enum { NORNI_DEFINED_PARAMS = 16 };

/* A parameter as it was written. */
typedef struct {
    const char *name;
    bool typed, generic; /* generic: of type T */
    norn_dtype dtype;    /* typed, and not generic */
    int rank;            /* typed */
    const char
        *dims[NORN_MAX_RANK]; /* numbers, names; of outputs also sums, products and quotients of them */
} norni_defined_param;

typedef struct {
    norn_op op; /* first: nodes point to it */
    norni_arena *arena;
    int n_in, n_out;
    norni_defined_param in[NORNI_DEFINED_PARAMS], out[NORNI_DEFINED_PARAMS];
    norni_param in_params[NORNI_DEFINED_PARAMS + 1], out_params[NORNI_DEFINED_PARAMS + 1];
    const char *formula;
    norn_graph *graph;
    const char *source, *kernel;
    int n_range; /* 0: elements of the first output */
    const char *range[3];
    int n_sizes; /* named ones, in order */
    const char *sizes[NORNI_DEFINED_PARAMS * NORN_MAX_RANK];
    const char *gradients[NORNI_DEFINED_PARAMS];
    norn_graph *gradient;
} norni_definition;

static inline const norni_definition *norni_definition_of(const norn_node *node) {
    return (const norni_definition *)node->op;
}

/* "x: f32[N,C], w" into params; *n of them. what: for messages. */
norn_status norni_define_params(norni_definition *d, const char *text, const char *what,
                                norni_defined_param *params, int *n);
/* "N, 2*C" into at most `max` sizes. */
norn_status norni_define_sizes(norni_definition *d, const char *text, int max, const char **out, int *n);
/* The names that sizes of inputs have. */
norn_status norni_define_names(norni_definition *d);
/* Checks what kernels need, and makes `impls` and `infer`. */
norn_status norni_define_kernel(norni_definition *d);
/* The sizes that the types of a node's inputs give to names; false: some are not known. A contradiction is a failure. */
norn_status norni_define_bind(const norni_definition *d, norn_graph *g, const norn_node *node,
                              norni_dim *sizes, bool *known);

#endif
