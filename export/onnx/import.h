/* SPDX-License-Identifier: Apache-2.0 */
/* The importer's parts: what they share while one file is read. */
#ifndef NORNI_IMPORT_H
#define NORNI_IMPORT_H
#include "export/onnx/extra.h"
#include "export/onnx/names.h"
#include "export/onnx/onnx.h"
#include "export/onnx/proto.h"
#include "export/onnx/tensor.h"
#include "ops/op.h"

/* Limits against files that grow while they are read: functions that call functions, sparse tensors filled in. */
enum {
    NORNI_FUNCTION_DEPTH = 64,
    NORNI_FUNCTION_NODES = 100000, /* nodes that calls of functions, and what else is written out, may add */
};
#define NORNI_DENSE_BYTES ((uint64_t)1 << 30)

/* A function of the file. */
typedef struct {
    const norni_pb_function *proto;
    enum { NORNI_FUNCTION_NEW, NORNI_FUNCTION_ACTIVE, NORNI_FUNCTION_DONE } state;
    int height;   /* of the tree of calls below it */
    bool expands; /* norn has all its operators: calls are replaced by its nodes */
    bool kept;    /* a call is left, in the graph or in what is kept of the file */
} norni_function;

typedef struct {
    norn_model *model;
    norn_graph *g;
    const norni_pb_model *file;
    norni_arena *unpacked, *scratch;
    norni_tensor_reader tensors;
    norni_function *functions;
    norni_table function_names; /* by key: index + 1 */
    size_t function_nodes;
    norni_table taken; /* names of values */
    norni_table sizes; /* named sizes: norni_dim by name */
    const norn_content
        *contents; /* of the inputs: the model is read for these (import_known.c); NULL: it is not */
    size_t n_contents;
    NORNI_VEC(norn_tensor *)
    known; /* by a value's id: its elements, NULL where they have not been asked for */
} norni_importer;

/* A sequence or an optional whose content is known (import_sequence.c). */
typedef struct {
    norn_value **v;
    int n;
    bool optional, holds, sequence; /* an optional; there is something in it, and that is a sequence */
    norn_value *whole;              /* not NULL: its elements along `axis`, however many; v is empty then */
    int axis;
    bool keep; /* the axis stays, with size 1 */
} norni_list;
enum { NORNI_MAX_LIST = 1024 };

/* Where names have a meaning: the graph, or a function that is being expanded. */
typedef struct norni_scope {
    norni_importer *imp;
    norni_table values; /* by name; an entry without a value is an optional input that the call left out */
    norni_table lists;  /* norni_list by name */
    NORNI_VEC(norn_node *) list_nodes; /* what made them, kept for other readers */
    norni_table declared, outputs;     /* ValueInfoProto of value_info and of the graph's outputs, by name */
    const norni_table *read;           /* names that its nodes read, while they are imported */
    size_t n_opsets;
    norni_pb_opset **opsets;
    const char *prefix;                /* of names made by a function; "" in the graph */
    const norni_pb_function *function; /* NULL in the graph */
    size_t n_given;
    norni_pb_attr **given; /* attributes of the function's call */
    int depth;
} norni_scope;

/* Names that a node's subgraphs use from outside, each once, in the order of their first use. */
typedef struct {
    const char **v;
    size_t n;
} norni_captures;
/* `all`, unless NULL, receives every name of a value in the subgraphs. Both lent by the node. */
norn_status norni_captures_find(const norni_pb_node *n, norni_arena *arena, norni_captures *out,
                                norni_table *all);
bool norni_has_subgraph(const norni_pb_node *n);

/* "node 'name'", or by what it makes. */
const char *norni_node_label(norni_arena *arena, const norni_pb_node *n, size_t index);

/* ---- Types. */
/* The type of a declaration; what norn cannot say stays unknown, and *whole is false then, or when it says more than a
 * type does (denotations). Errors: NORN_DTYPE for a number that is no element type. */
norn_status norni_import_type(norni_importer *imp, const norni_pb_type *t, norni_type *out, bool *whole);
/* Fills what is unknown of a value's type from a declaration. Sizes that contradict become a warning; the type of
 * elements is an error. */
norn_status norni_refine(norni_importer *imp, norn_value *v, const norni_pb_value *declared,
                         const char *where);
/* What a declaration says beyond name and type, packed. */
norn_status norni_value_rest(norni_importer *imp, const norni_pb_value *v, norni_extra *out);

/* ---- Nodes. */
norn_status norni_scope_nodes(norni_scope *sc, size_t n, norni_pb_node **nodes);
/* The order in which every node follows what it reads, as close to the file's as can be. captures: of each node. */
norn_status norni_import_order(norni_scope *sc, size_t n, norni_pb_node **nodes,
                               const norni_captures *captures, size_t *order);
int64_t norni_scope_opset(const norni_scope *sc, const char *domain);
/* The operator of a node and the version of its definition; NULL when norn does not have it or cannot work on the
 * values it is given. */
const norn_op *norni_scope_op(const norni_scope *sc, const norni_pb_node *n, int *version);
/* The value of a name: NORNI_NONE for "" and for an input that the call left out; NULL when there is none. */
norn_value *norni_scope_value(const norni_scope *sc, const char *name);
/* Gives a name to a value that was just made, and takes its declaration into account. */
norn_status norni_scope_bind(norni_scope *sc, const char *name, norn_value *v, const char *where);
/* The attribute as it stands, or what the call of the function gives in its place; NULL when it gives nothing. */
const norni_pb_attr *norni_scope_attr(norni_scope *sc, const norni_pb_attr *a);

/* ---- Graphs. Names of its values that the file declares; an initialiser (sparse: NULL, or whose values t are). */
norn_status norni_scope_declare(norni_scope *sc, const norni_pb_graph *p);
norn_status norni_import_initializer(norni_scope *sc, const norni_pb_tensor *t,
                                     const norni_pb_sparse *sparse);
/* A node with subgraphs: *done is false when norn has not all that is in them, and the node is to be kept as it is. The
 * node made, or NULL where others stand for it; out: by output. */
norn_status norni_import_control(norni_scope *sc, const norni_pb_node *n, const norni_captures *captures,
                                 unsigned wanted, const char *where, norn_value **out, norn_node **made,
                                 bool *done);

/* ---- Sequences and optionals. What a node makes when that is known: a value, or a list, whose node is kept. */
norn_status norni_import_sequence(norni_scope *sc, const norni_pb_node *n, const char *where,
                                  norn_value **out, norni_list **list);
norni_list *norni_list_new(norni_scope *sc, int n);
norn_status norni_scope_add_list(norni_scope *sc, const char *name, norni_list *list);
/* The end of a scope: nodes that only made lists go. */
void norni_scope_drop_lists(norni_scope *sc);

/* ---- Subgraphs as nodes around them. A name stands for a value, a list, or neither (an optional input that is absent). */
typedef struct {
    norn_value *v;
    norni_list *list;
} norni_item;
norni_item norni_scope_item(const norni_scope *sc, const char *name);
/* Adds to the nodes that functions, subgraphs and gradients have added; fails when there are too many. */
norn_status norni_import_count(norni_importer *imp, size_t nodes);
/* The nodes of a subgraph for the given inputs; out: for each of its outputs. Names that it makes begin with `prefix`. */
norn_status norni_import_body(norni_scope *sc, const norni_pb_graph *p, const char *prefix, size_t n_in,
                              const norni_item *in, const norni_captures *captures, norni_item *out);
norn_status norni_import_flex_attention(norni_scope *sc, const norni_pb_node *n,
                                        const norni_captures *captures, norn_value **out);
/* Where *op is NULL because the node is as opset 1 had it: the node as a later opset has it, and its operator. */
norn_status norni_import_first(norni_scope *sc, const norni_pb_node **n, const norn_op **op, int *version);
/* Whether other nodes stand for it wherever it is (import_ort.c, FlexAttention). */
bool norni_writes_out(const norni_scope *sc, const norni_pb_node *n);
/* What ONNX Runtime writes into ONNX's domain (import_ort.c); *done is false for everything else. */
norn_status norni_import_ort(norni_scope *sc, const norni_pb_node *n, norn_value **out, bool *done);
/* out: for each name in xs. */
norn_status norni_import_gradient(norni_scope *sc, const norni_pb_node *n, norn_value **out);

/* If, Loop and SequenceMap over lists, where the model is read for contents; *done is false for everything else. */
norn_status norni_import_unrolled(norni_scope *sc, const norni_pb_node *n, const norni_captures *captures,
                                  const char *where, bool *done);

/* ---- What is known because the inputs are (norn_load_options). */
static inline bool norni_reads_contents(const norni_importer *imp) {
    return imp->contents != NULL;
}
norn_form norni_import_form(const norni_pb_type *t);
/* A sequence or optional as inputs of tensors, and a list of them. */
norn_status norni_import_content(norni_scope *sc, const char *name, norn_form form, bool *done);
/* Notes what a tensor holds. */
void norni_known_input(norni_importer *imp, const char *name, const norn_value *v);
/* A list as outputs of tensors. */
norn_status norni_output_list(norni_scope *sc, const char *name, norn_form form, bool *done);
/* The elements of a value where they follow from constants and contents; NULL where not. Lent. */
const norn_tensor *norni_known(norni_importer *imp, const norn_value *v);
/* The same for a few integers (or a bool), which may also be known as sizes. */
bool norni_known_ints(norni_importer *imp, norn_value *v, int64_t *out, int max, int *n);
void norni_known_free(norni_importer *imp);

/* ---- Names in subgraphs of a function's node, as the graph knows them; between begin and end. */
typedef struct {
    char **slot, *name;
} norni_renamed;
typedef struct {
    const norni_scope *scope;
    const norni_captures *captures;
    NORNI_VEC(norni_renamed) old;
} norni_renames;
norn_status norni_rename_begin(norni_renames *r, const norni_pb_node *n);
void norni_rename_end(norni_renames *r);

/* ---- Attributes. An attribute as the table of an operator takes it; *owned is a tensor to be freed. */
norn_status norni_import_attr(norni_importer *imp, const norni_pb_attr *a, norni_attr_value *out,
                              norn_tensor **owned);
/* A Constant as a value. *kept: it holds what norn has no storage for and stays an (unknown) operator. */
norn_status norni_import_constant(norni_scope *sc, const norni_pb_node *n, const char *where, bool *kept);

/* ---- Operators as older opsets have them. The node is not in the graph yet; attributes are in the arena `scratch`, and
 * there is room for NORNI_RAISE_ROOM more inputs. */
enum { NORNI_RAISE_ROOM = 8 };
norn_status norni_raise(norni_adapt *a, int version);

/* ---- Functions. */
norn_status norni_functions_init(norni_importer *imp);
norni_function *norni_function_find(norni_importer *imp, const norni_pb_node *n);
/* Keeps the functions that a node and its subgraphs call, and those that these call: the node stays as it is. */
void norni_function_keep(norni_importer *imp, const norni_pb_node *n);
norn_status norni_function_call(norni_scope *sc, const norni_pb_node *n, norni_function *f,
                                const char *where);

#endif
