/* SPDX-License-Identifier: Apache-2.0 */
/* What a plan is made of: steps over planned buffers, as plain data. Implementations of operators write steps
 * with the functions below; nothing here calls OpenCL. */
#ifndef NORNI_EMIT_H
#define NORNI_EMIT_H
#include "backend/blas.h"
#include "backend/device.h"
#include "base/expr.h"
#include "ops/ir.h"

/* A planned buffer: an index into the plan's table. -1: none. */
typedef int norni_ref;

typedef enum { NORNI_READ = 1, NORNI_WRITE = 2, NORNI_READ_WRITE = 3 } norni_access;
typedef enum {
    NORNI_ARG_BUFFER,
    NORNI_ARG_I32,
    NORNI_ARG_I64,
    NORNI_ARG_F32,
    NORNI_ARG_F64,
    NORNI_ARG_LOCAL,
    NORNI_ARG_RUN /* the number of the run, as an int */
} norni_arg_kind;

typedef struct {
    norni_arg_kind kind;
    norni_access access; /* BUFFER */
    bool elementwise;    /* BUFFER, read: each work-item reads element i before it writes element i of the
                            outputs (of the same part), and no other, so that an output may take this buffer's
                            memory when it is not needed later */
    norni_ref ref;       /* BUFFER */
    int part;            /* BUFFER, of a step in parts: 1 + the part that it belongs to; else 0 */
    int64_t i;           /* I32, I64, LOCAL (bytes) */
    double f;            /* F32, F64 */
} norni_arg;

typedef enum {
    NORNI_STEP_KERNEL,
    NORNI_STEP_GEMM, /* a call of CLBlast */
    NORNI_STEP_COPY, /* args[0] -> args[1], whole */
    NORNI_STEP_FILL, /* args[0] with a byte */
    NORNI_STEP_HOST  /* the node by its host reference: inputs are read back, outputs written */
} norni_step_kind;

enum { NORNI_MAX_ARGS = 64 };

/* What a step does to several sets of buffers in one launch: the updates of states (graph/update.c). Arguments are buffers
 * only: first `shared` ones that all parts read, then `roles` for each part, in the same order and of the same types. */
typedef struct {
    int n, shared, roles;
    int64_t *elems; /* by part */
    int room;       /* parts that fit into `elems` and the step's arguments */
    int64_t chunk;  /* elements that a work-group takes, of one part */
} norni_parts;

typedef struct {
    norni_step_kind kind;
    const char *file;   /* kernel file, or a made-up name for generated source */
    const char *source; /* generated source: alone, or put before the file's */
    bool alone;         /* the source is the whole text: no prelude before it */
    const char *options;
    const char *kernel;
    int n_args, dims;
    norni_arg *args;
    size_t global[3], local[3];
    bool blocked;       /* works on values in blocked form (ops/blocked.h) */
    bool load;          /* runs when the plan is loaded (weights prepacked), not at each run */
    norni_gemm gemm;    /* STEP_GEMM: buffers are args[0..2] = a, b, c */
    norni_parts *parts; /* STEP_KERNEL; NULL: the arguments are those of the kernel */
    /* Not 0: all that the step does is to copy these bytes of args[0] to args[1], from one offset to the other. */
    size_t move_bytes, move_from, move_to;
    const norn_node *node;
    const char *impl; /* the implementation of the node that it is a part of; NULL for none */
    const char *what; /* one-line text of the node */
    double flops, bytes;
} norni_step;

/* How a kernel's result maps to elements: the epilogue sees vectors of results that lie side by side in the
 * output (flat index i .. i + width - 1), either all of one channel (PIXELS) or of consecutive channels c ..
 * (CHANNELS); in blocked form (ops/blocked.h) the index is that of the blocked tensor. */
typedef enum { NORNI_LANES_PIXELS, NORNI_LANES_CHANNELS } norni_lanes;

/* Which form the values have that a node reads and writes (ops/blocked.h): all plain; the data blocked; the
 * output alone; the data but for the output. */
typedef enum { NORNI_PLAIN, NORNI_BLOCKED, NORNI_TO_BLOCKED, NORNI_FROM_BLOCKED, NORNI_FORMS } norni_form;
bool norni_reads_blocked(norni_form f);
bool norni_makes_blocked(norni_form f);

/* The pointwise nodes that follow a node and are computed where its result is stored. Made by graph/codegen.
 */
struct norni_emit;
typedef struct norni_epilogue {
    void (*attach)(struct norni_emit *e, norni_step *s, norni_lanes lanes, unsigned widths);
    norni_ref out; /* where the kernel stores what the epilogue returns */
    bool once;     /* every element passes through the hook once: its operands may lie where it is stored */
} norni_epilogue;

typedef struct norni_emit {
    norn_graph *g;
    const norn_node *node;
    const norn_device *device;
    norn_numerics numerics;
    uint64_t seed;            /* of random operators that have none of their own */
    norni_arena *arena;       /* texts and argument lists */
    norni_epilogue *epilogue; /* NULL: none */
    norni_form form;
    struct norni_plan_builder *plan;
    norn_status status;
} norni_emit;

/* Buffers of the node's inputs and outputs; of an absent one -1. */
norni_ref norni_emit_in(norni_emit *e, int i);
norni_ref norni_emit_out(norni_emit *e, int i);
/* The [C] elements along the channels of a value that stands for a vector of them, followed by zeros up to whole
 * blocks; the value itself where nothing is missing. Made before the step that reads it. */
norni_ref norni_emit_whole_blocks(norni_emit *e, const norn_value *v, int block);
/* Memory that lives only within this node's steps. */
norni_ref norni_emit_scratch(norni_emit *e, size_t bytes);
/* Memory for a transformed form of input i, named by `key`. When *fresh is set the caller emits the steps
 * that fill it, then calls norni_emit_packed_end; else an equal transform was made before. The steps run
 * once, when the plan is loaded, if the input is a constant or a state that the graph does not change. */
norni_ref norni_emit_packed(norni_emit *e, int i, size_t bytes, const char *key, bool *fresh);
norni_ref norni_emit_packed_value(norni_emit *e, const norn_value *v, size_t bytes, const char *key,
                                  bool *fresh);
void norni_emit_packed_end(norni_emit *e);
/* Whether a transformed form of input i is made once, at load. */
bool norni_emit_steady(const norni_emit *e, int i);

/* A step that launches `kernel` of the file ops/FILE. dtype sets -DT_... (see ops/prelude.cl);
 * NORN_UNDEFINED: none. */
norni_step *norni_emit_kernel(norni_emit *e, const char *file, const char *kernel, norn_dtype dtype);
/* A step for generated source (which includes the prelude's text by itself: norni_kernel_text). */
norni_step *norni_emit_source(norni_emit *e, const char *name, const char *source, const char *kernel);
norni_step *norni_emit_gemm(norni_emit *e, const norni_gemm *gemm, norni_ref a, norni_ref b, norni_ref c);
norni_step *norni_emit_copy(norni_emit *e, norni_ref from, norni_ref to);
norni_step *norni_emit_fill(norni_emit *e, norni_ref to, uint8_t byte);
/* -Dname=value */
void norni_step_define(norni_emit *e, norni_step *s, const char *name, int64_t value);
void norni_step_define_text(norni_emit *e, norni_step *s, const char *name, const char *value);
void norni_step_buffer(norni_emit *e, norni_step *s, norni_ref ref, norni_access access);
void norni_step_i32(norni_emit *e, norni_step *s, int64_t v); /* out of range: the emit fails */
void norni_step_i64(norni_emit *e, norni_step *s, int64_t v);
void norni_step_i64s(norni_emit *e, norni_step *s, size_t n, const int64_t *v);
void norni_step_f32(norni_emit *e, norni_step *s, double v);
/* A real argument of the kernel's compute type for `dtype` (double for f64, else float). */
void norni_step_real(norni_emit *e, norni_step *s, norn_dtype dtype, double v);
void norni_step_local(norni_emit *e, norni_step *s, size_t bytes);
/* What random operators draw from: key (two ints), number of the run and of the node (ints), for NORNI_RANDOM_ARGS of
 * ops/prelude.cl; defines NORNI_PHILOX. node_seed: the node's attribute, NaN: none. */
void norni_step_random(norni_emit *e, norni_step *s, float node_seed);
/* Global sizes are rounded up to the local ones; local 0: the driver's choice. */
void norni_step_range(norni_step *s, int dims, size_t g0, size_t g1, size_t g2, size_t l0, size_t l1,
                      size_t l2);

/* Work-items that check their own bounds: one a work-group on CPUs, 64 along dimension 0 elsewhere. */
void norni_step_items(norni_emit *e, norni_step *s, int dims, int64_t g0, int64_t g1, int64_t g2);
/* Adds the epilogue's source and arguments (after those already there) to a step; nothing without an
 * epilogue. The source then has, before the file's text, for each width in `widths` (the sum of 1, 2, 4, 8,
 * 16): NORNI_EPI_ARGS               parameters to append to the kernel's list, with a leading comma
 *     NORNI_EPI(width, acc, i, c)  acc after the epilogue; i: flat output index, c: channel index, both
 * size_t Without an epilogue they are empty and acc (ops/prelude.cl). Operators
 * with epilogue_retypes declare their output as NORNI_EPI_T and store by NORNI_EPI_ST(width, p, i, v): the epilogue's
 * result may have another type than the node's. */
void norni_emit_epilogue(norni_emit *e, norni_step *s, norni_lanes lanes, unsigned widths);
/* The same for a step that calls the hook exactly once for each element of the output and writes the output nowhere
 * else: what the hook reads of the same shape (a weight that the step updates) may then share the output's memory. */
void norni_emit_epilogue_once(norni_emit *e, norni_step *s, norni_lanes lanes, unsigned widths);

#endif
