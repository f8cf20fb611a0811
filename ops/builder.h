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
    norni_ref alias; /* VALUE: shares the memory of this buffer; -1: has its own */
} norni_buf;

typedef struct norni_plan_builder {
    norni_arena *arena;
    NORNI_VEC(norni_buf) bufs;
    NORNI_VEC(norni_step *) steps;
    norni_ref *of_value; /* by value id; -1: not yet planned */
    int n_values;
    bool loading; /* steps emitted now run at load */
} norni_plan_builder;

/* The buffer of a value; made at first sight. -1 when memory is out. */
norni_ref norni_builder_value(norni_plan_builder *b, const norn_value *v);
/* True when a value never changes between runs: constants, and states without an update. */
bool norni_value_steady(const norn_value *v);

#endif
