/* SPDX-License-Identifier: Apache-2.0 */
/* A plan while it is being written: buffers and steps. Filled by ops/emit.c, read by graph/plan.c. */
#ifndef NORNI_BUILDER_H
#define NORNI_BUILDER_H
#include "ops/emit.h"

typedef enum {
    NORNI_BUF_VALUE,   /* a value of the graph */
    NORNI_BUF_SCRATCH, /* lives within one node's steps */
    NORNI_BUF_PACKED   /* a transformed constant; filled at load */
} norni_buf_kind;

typedef struct {
    norni_buf_kind kind;
    const norn_value *value; /* VALUE; PACKED: the input it was made from */
    const char *key;         /* PACKED */
    size_t bytes;
    int block;       /* VALUE: channels of a block in the blocked form (ops/blocked.h); 0: plain */
    bool load;       /* written by steps that run at load */
    norni_ref alias; /* VALUE: shares the memory of this buffer; -1: has its own */
    norni_ref
        within; /* 1 + the buffer in which this one lies, from byte `at` on (graph/memory_moves.c); 0: none */
    size_t at;
} norni_buf;

typedef struct norni_plan_builder {
    norni_arena *arena;
    NORNI_VEC(norni_buf) bufs;
    NORNI_VEC(norni_step *) steps;
    norni_ref *of_value;   /* by value id: its plain form; -1: not planned */
    norni_ref *of_blocked; /* the same for its blocked form */
    bool *blocked;         /* by value id: which form the node at hand works on */
    int n_values;
    const bool *steady; /* by value id: never changes between runs */
    bool loading;       /* steps emitted now run at load */
    bool load_node;     /* so does all of the node at hand */
} norni_plan_builder;

/* The buffer of a value, in the form that is set in `blocked`; made at first sight. -1 when memory is out. */
norni_ref norni_builder_value(norni_plan_builder *b, const norn_value *v);
/* Makes sure that a value that is there in one form is there in the other, by a step that copies it. */
norn_status norni_builder_convert(norni_emit *e, const norn_value *v, bool blocked);
/* True when a value never changes between runs: constants, and states without an update. */
bool norni_value_steady(const norn_value *v);

#endif
