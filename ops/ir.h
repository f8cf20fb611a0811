/* SPDX-License-Identifier: Apache-2.0 */
/* The graph: types, values, nodes, state pairs. SSA: a value has one producer, and nodes are in topological
 * order. Everything a graph points to lives in its arena, but for the elements of constant tensors, which are
 * counted. */
#ifndef NORNI_IR_H
#define NORNI_IR_H
#include "base/arena.h"
#include "base/arith.h"
#include "base/dtype.h"
#include "base/str.h"
#include "base/tensor.h"
#include "base/vec.h"

typedef struct norn_op norn_op;
typedef struct norn_graph norn_graph;
typedef struct norn_value norn_value;
typedef struct norn_node norn_node;

/* ---- Sizes. A norni_dim >= 0 is a size; one below 0 stands for an expression over named sizes, interned in
 * the graph: the same expression is the same number, so == decides what is known to be equal. */
typedef int64_t norni_dim;
typedef struct norni_dim_table norni_dim_table;

norni_dim norni_dim_named(norn_graph *g, const char *name);
/* A number, also a negative one. */
norni_dim norni_dim_of(norn_graph *g, int64_t v);
/* A size about which nothing is known, different from every other. */
norni_dim norni_dim_fresh(norn_graph *g);
norni_dim norni_dim_add(norn_graph *g, norni_dim a, norni_dim b);
norni_dim norni_dim_sub(norn_graph *g, norni_dim a, norni_dim b);
norni_dim norni_dim_mul(norn_graph *g, norni_dim a, norni_dim b);
/* floor(a / b); a fresh one for b = 0. */
norni_dim norni_dim_div(norn_graph *g, norni_dim a, norni_dim b);
norni_dim norni_dim_product(norn_graph *g, int n, const norni_dim *dims);
/* "N", "2*N + 1", "(N + 3)/2", "?3"; numbers as such. */
void norni_dim_print(norni_str *out, const norn_graph *g, norni_dim d);
/* The size under a binding of names: value(ctx, name) gives a name's size, or -1. Result -1: not all bound.
 */
typedef int64_t norni_dim_lookup(const void *ctx, const char *name);
int64_t norni_dim_eval(const norn_graph *g, norni_dim d, norni_dim_lookup *lookup, const void *ctx);
/* True when d is a number, also a negative one (which is no size, but arithmetic may lead there). */
bool norni_dim_number(const norn_graph *g, norni_dim d, int64_t *out);
/* True for a size about which nothing is known; has_unknown: for one in whose expression such a size is. */
bool norni_dim_unknown(const norn_graph *g, norni_dim d);
bool norni_dim_has_unknown(const norn_graph *g, norni_dim d);
/* The name when d is a plain named size, else NULL. */
const char *norni_dim_name(const norn_graph *g, norni_dim d);
/* The expression d of graph `from` as one of graph g. */
norni_dim norni_dim_import(norn_graph *g, const norn_graph *from, norni_dim d);
void norni_dims_free(norni_dim_table *t);

/* ---- Types. */
typedef struct {
    norn_dtype dtype; /* NORN_UNDEFINED: unknown */
    int rank;         /* -1: unknown */
    norni_dim dims[NORN_MAX_RANK];
} norni_type;

bool norni_type_static(const norni_type *t); /* type and all sizes are known numbers */
bool norni_type_equal(const norni_type *a, const norni_type *b);
bool norni_shape_equal(const norni_type *a,
                       const norni_type *b);   /* whatever the element types; false: a rank is not known */
int64_t norni_type_elems(const norni_type *t); /* of a static type */
size_t norni_type_bytes(const norni_type *t);  /* of a static type */
void norni_type_print(norni_str *out, const norn_graph *g, const norni_type *t); /* "float[N,3,224,224]" */

/* ---- Values. */
typedef enum {
    NORNI_INPUT, /* fed at each run */
    NORNI_CONST, /* known elements: initialisers and constants */
    NORNI_STATE, /* the incoming half of a state pair: kept on the device from run to run */
    NORNI_RESULT /* an output of a node */
} norni_kind;

/* Bytes of a file's message that norn does not model (documentation, metadata, unknown fields), kept for
 * export. */
typedef struct {
    const void *data;
    size_t bytes;
} norni_extra;

struct norn_value {
    norn_graph *graph;
    int id; /* index into graph->values */
    norni_kind kind;
    const char *name; /* NULL: unnamed */
    norni_type type;
    norn_node *producer; /* NORNI_RESULT */
    int index;           /* which output of the producer */
    norn_tensor *data;   /* NORNI_CONST: the elements; NORNI_STATE: the initial ones, may be NULL */
    const norni_dim
        *known; /* elements of a small integer tensor as sizes, for shape arithmetic; NULL: unknown */
    int n_known;
    norni_extra extra;
};

struct norn_node {
    norn_graph *graph;
    int id; /* index into graph->nodes; changes when nodes are removed */
    const norn_op *op;
    const char *name;          /* NULL: unnamed */
    const char *domain, *type; /* of an unknown operator, as the file has them */
    int n_in, n_out;           /* n_out counts the operator's hidden outputs too */
    norn_value **in;           /* NULL where an optional input is absent */
    norn_value **out;          /* NULL where an output is not wanted */
    void *attrs;               /* the operator's plain struct */
    bool guard; /* a Where that only keeps a product with 0 from being NaN: not for formulas that are read */
    uint64_t stream; /* names the node's random numbers; stable under passes */
    norni_extra extra;
};

typedef struct {
    const char *name;
    norn_value *value;
    norni_extra extra;
} norni_output;

/* A state pair: what the value holds before a run and after it. next NULL: never changes. */
typedef struct {
    norn_value *value, *next;
} norni_state;

struct norn_graph {
    norni_arena *arena;
    const char *name;
    norn_status status; /* the first failure; sticky */
    char *error;
    NORNI_VEC(norn_node *) nodes;
    NORNI_VEC(norn_value *) values;
    NORNI_VEC(norn_value *) inputs;
    NORNI_VEC(norni_output) outputs;
    NORNI_VEC(norni_state) states;
    norni_dim_table *dims;
    uint64_t next_stream;
};

/* An input that is absent, in argument lists where NULL means that an earlier step failed. */
extern norn_value norni_none_value;
#define NORNI_NONE (&norni_none_value)
static inline norn_value *norni_or_none(norn_value *v) {
    return v ? v : NORNI_NONE;
}

/* ---- Building. Builders are sticky: a NULL input or a failed graph gives NULL and keeps the first error. */
norn_value *norni_value_input(norn_graph *g, const char *name, const norni_type *type);
/* Takes the tensor over, also on failure. */
norn_value *norni_value_const(norn_graph *g, const char *name, norn_tensor *data);
norn_value *norni_value_state(norn_graph *g, const char *name, const norni_type *type, norn_tensor *initial);
norn_value *norni_scalar_const(norn_graph *g, norn_dtype dtype, double v);
norn_value *norni_i64_const(norn_graph *g, int n, const int64_t *v);           /* int64[n] */
norn_value *norni_fill_const(norn_graph *g, const norni_type *type, double v); /* static types */
norn_value *norni_shape_value(norn_graph *g, norn_value *v);          /* int64[rank]: the sizes of v */
norn_value *norni_size_value(norn_graph *g, norn_value *v, int axis); /* int64[1]: one of them */
norn_value *norni_shape_with(norn_graph *g, norn_value *v, int axis,
                             int64_t size); /* the sizes, but for one */
norn_value *norni_zeros(norn_graph *g, norn_dtype dtype, norn_value *shape);

/* Adds a node: attrs is copied (NULL: defaults), types are inferred. `wanted`: a bit for each output. The
 * node's outputs are node->out. NULL on failure. */
norn_node *norni_apply(norn_graph *g, const norn_op *op, const void *attrs, int n_in, norn_value *const *in,
                       unsigned wanted);
/* The first output of an operator written as "Name<attr=value, ...>" with printf-style values. */
norn_value *norni_opf(norn_graph *g, int n_in, norn_value *const *in, const char *fmt, ...)
    NORNI_PRINTF(4, 5);
#define NORNI_OP1(g, a, ...)       norni_opf(g, 1, (norn_value *[]){a}, __VA_ARGS__)
#define NORNI_OP2(g, a, b, ...)    norni_opf(g, 2, (norn_value *[]){a, b}, __VA_ARGS__)
#define NORNI_OP3(g, a, b, c, ...) norni_opf(g, 3, (norn_value *[]){a, b, c}, __VA_ARGS__)
/* The node behind norni_opf, for operators with several outputs. */
norn_node *norni_opf_node(norn_graph *g, unsigned wanted, int n_in, norn_value *const *in, const char *fmt,
                          ...) NORNI_PRINTF(5, 6);
/* A formula over values as ordinary nodes. */
norn_value *norni_formula(norn_graph *g, const char *text, int n, const char *const *names,
                          norn_value *const *vars);
/* op(a) op(b) over the last two axes, where op transposes them on request: one Gemm for matrices without a
 * batch. */
norn_value *norni_matmul_t(norn_graph *g, norn_value *a, bool trans_a, norn_value *b, bool trans_b);
/* The last two axes exchanged. */
norn_value *norni_swap_last(norn_graph *g, norn_value *x);
/* The axes a and b exchanged. */
norn_value *norni_swap_axes(norn_graph *g, norn_value *x, int a, int b);
/* x[from .. to - 1] along an axis, with the places that Slice has. */
norn_value *norni_part(norn_graph *g, norn_value *x, int axis, int64_t from, int64_t to);
/* x at one place of an axis, which goes. */
norn_value *norni_at(norn_graph *g, norn_value *x, int axis, int64_t place);
/* int64[n]: 0, 1 .. n - 1; n has one element. */
norn_value *norni_counted(norn_graph *g, norn_value *n);
/* x in another element type; x itself where it has that already. */
norn_value *norni_cast(norn_graph *g, norn_value *x, norn_dtype t);
/* A vector [C] in a shape that broadcasts along axis 1 of a tensor of that rank: [C,1,...,1]. One element as it is. */
norn_value *norni_along_channels(norn_graph *g, norn_value *v, int rank);
/* How many elements of x there are for each one of y, as a scalar of type t: a constant where the sizes are known. */
norn_value *norni_elems_per(norn_graph *g, norn_value *x, norn_value *y, norn_dtype t);
/* Makes an output that the node was built without (a stash, an optional output) and returns it. */
norn_value *norni_want_output(norn_node *node, int index);

/* Records the current error as the graph's, unless there is one; returns NULL for convenience. */
void *norni_graph_failed(norn_graph *g, norn_status s);

/* Longer integer tensors are data, not shapes. */
enum { NORNI_MAX_KNOWN = 64 };
/* The elements of an integer value as sizes, when they are known (a constant, or shape arithmetic); NULL if
 * not. */
const norni_dim *norni_value_known(norn_value *v, int *n);
/* The same, all of them numbers. */
bool norni_value_ints(norn_value *v, int64_t *out, int max, int *n);
bool norni_is_const(const norn_value *v);
/* True when v is a constant with all elements equal to x. */
bool norni_is_const_value(const norn_value *v, double x);

norn_status norni_graph_new_in(const char *name, norni_arena *arena, norn_graph **out);
norn_value *norni_graph_find(const norn_graph *g, const char *name);

#endif
