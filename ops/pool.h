/* SPDX-License-Identifier: Apache-2.0 */
/* What the pooling operators share: attributes, shapes, the geometry over planes [N * C][spatial], emission. */
#ifndef NORNI_POOL_H
#define NORNI_POOL_H
#include "ops/window.h"

/* Of all of them; each operator's table has those that it knows. */
typedef struct {
    norni_window_attrs window;
    int64_t ceil_mode, storage_order, count_include_pad, p, sum;
} norni_pool_attrs;

#define NORNI_POOL_ROWS                                                                                      \
    NORNI_WINDOW_ROWS(norni_pool_attrs), {                                                                   \
        .name = "kernel_shape", .kind = NORNI_ATTR_INTS,                                                     \
        .offset = offsetof(norni_pool_attrs, window.kernel_shape), .flags = NORNI_ATTR_REQUIRED, .lo = 1,    \
        .hi = INT32_MAX                                                                                      \
    }
#define NORNI_POOL_DILATIONS(opset)                                                                          \
    {                                                                                                        \
        .name = "dilations", .kind = NORNI_ATTR_INTS,                                                        \
        .offset = offsetof(norni_pool_attrs, window.dilations), .flags = NORNI_ATTR_OPTIONAL, .lo = 1,       \
        .hi = INT32_MAX, .since = (opset)                                                                    \
    }
#define NORNI_POOL_FLAG(f, opset) NORNI_A_INT(norni_pool_attrs, f, 0, .lo = 0, .hi = 1, .since = (opset))

typedef struct {
    norn_dtype dtype;
    int64_t planes, channels;
    norni_window w; /* `end` is the padding that the attributes say */
} norni_pool;

/* The type of the output, from input 0 and the attributes; *y keeps its element type. */
norn_status norni_pool_infer(norni_infer *c, norni_type *y);
/* For gradients: the type with the sizes that HOST input `i` says. */
norn_status norni_pool_infer_back(norni_infer *c, int i);
/* The pooling from x to y, both of static type, behind a node with norni_pool_attrs. */
void norni_pool_of(const norn_node *node, const norni_type *x, const norni_type *y, norni_pool *p);
/* Of the places at + j * step, j = 0 .. n - 1, those within lo .. hi - 1: the first j; returns how many. */
int64_t norni_pool_inside(int64_t at, int64_t n, int64_t step, int64_t lo, int64_t hi, int64_t *first);
/* What the sum over the window of output o (in three dimensions) is divided by: its elements, those in the padding
 * included on demand. */
int64_t norni_pool_count(const norni_window *w, bool include_pad, const int64_t o[NORNI_WINDOW_DIMS]);
/* Visits each output of a plane in order; o is moved on. False at the end. */
bool norni_pool_next(const norni_window *w, int64_t o[NORNI_WINDOW_DIMS]);

/* Kernels of ops/pool*.cl that take the geometry as arguments. */
void norni_pool_args(norni_emit *e, norni_step *s, const norni_pool *p);
/* The rest of the steps pool_rows, pool_each and pool_blocked: arguments, epilogue, range. */
void norni_pool_rows(norni_emit *e, norni_step *s, const norni_pool *p);
void norni_pool_each(norni_emit *e, norni_step *s, const norni_pool *p);
void norni_pool_blocked(norni_emit *e, norni_step *s, const norni_pool *p);
const char *norni_pool_blocked_fit(const norni_fit *f);
const char *norni_pool_rows_fit(const norn_device *d, const norni_pool *p);
/* How rows are dealt to work-items on CPUs: the vector width; elements of a row buffer (a whole row, or as much of it as
 * fits into NORNI_POOL_BUFFER elements). */
enum { NORNI_POOL_BUFFER = 1024 };
int norni_pool_width(norn_dtype t, int64_t n);
int64_t norni_pool_rows_each(const norni_emit *e, int64_t rows, int64_t elems_per_row);
/* Outputs of a row whose inputs fit into the buffer; 0: not even one. */
int64_t norni_pool_chunk(const norni_window *w, int width);
/* What the gradients of Max- and AveragePool are made of. */
extern const norn_op norni_op_MaxPool, norni_op_MaxPoolGrad, norni_op_MaxPoolTake, norni_op_AveragePool,
    norni_op_AveragePoolGrad, norni_op_SumPool;
void norni_pool_cost(const norn_node *node, norni_cost *c);

#endif
