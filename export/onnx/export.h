/* SPDX-License-Identifier: Apache-2.0 */
/* The exporter's parts: what they share while one file is written. */
#ifndef NORNI_EXPORT_H
#define NORNI_EXPORT_H
#include "base/file.h"
#include "export/onnx/extra.h"
#include "export/onnx/import.h"
#include "export/onnx/names.h"
#include "export/onnx/onnx.h"
#include "ops/op.h"

typedef struct norni_exporter norni_exporter;

/* A subgraph of a node that is written anew (export_control.c): a copy of its graph, and what writes that. */
typedef struct {
    const norn_node *node;
    const char *attr;
    norni_exporter *x;
} norni_export_sub;

struct norni_exporter {
    const norn_model *model;
    norn_graph *g;
    const norn_save_options *options; /* never NULL */
    int opset, ir;
    norni_arena *arena;
    norni_exporter *outer; /* of a subgraph: what writes the graph around it */
    size_t formal; /* of a subgraph: how many inputs are its own; the others it reads from around it */
    NORNI_VEC(norni_export_sub) subs;
    NORNI_VEC(const char *) refused; /* why the file cannot be written, all reasons; in the arena */
    NORNI_VEC(const char *) changed; /* operators that are written as others, once for each node */
    /* The nodes to be written, in order: those of the graph, with what replaces some of them. Replacements are built at the
     * end of the graph and taken away again when the file is written. */
    NORNI_VEC(norn_node *) nodes;
    NORNI_VEC(norn_value *) replaced; /* by id: what stands for the value; NULL: itself */
    NORNI_VEC(bool) needed;           /* by id: a node or an output reads it */
    size_t old_nodes, old_values;
    uint64_t old_stream;
    bool drops;                    /* nodes that only make the next content of parameters are left out */
    NORNI_VEC(const char *) names; /* by id */
    norni_table taken, inner;      /* names of values; names within subgraphs */
    NORNI_VEC(bool) read;          /* by id: a node or an output reads it, as they are written */
};

/* What begins with the fields that stay; its vectors and tables, and its subgraphs. */
void norni_exporter_free(norni_exporter *x);

/* Which nodes are written, and by what those are replaced that the opset does not have. begin remembers how the graph
 * is, undo takes the replacements out of it again. */
void norni_export_begin(norni_exporter *x);
norn_status norni_export_choose(norni_exporter *x);
void norni_export_undo(norni_exporter *x);
/* Notes a failure that says why a node cannot be written, so that the next ones can be found too; other failures come
 * back. */
norn_status norni_export_refuse(norni_exporter *x, norn_status s);
/* "node 'name' Op<...>(...)" before the message of a failure. */
norn_status norni_export_at(norn_status s, const norn_node *node);
norn_value *norni_export_value(const norni_exporter *x, norn_value *v);
/* A constant with what is known of the elements of v (sizes, say, which the file has computed); NULL: they are not. */
norn_value *norni_export_known(norni_exporter *x, norn_value *v);
/* A copy of a node in the form of the opset; its attributes are released by the caller. *replaced: its hook wants other
 * nodes in its place, whose results are in out (32). */
norn_status norni_lower(norni_exporter *x, const norn_node *node, norn_node *low, norn_value **out,
                        bool *replaced);

/* ---- Nodes with subgraphs. True where the node is written as the file had it. */
bool norni_export_as_it_was(const norni_exporter *x, const norn_node *node);
/* Chooses what the node's subgraphs are written as. */
norn_status norni_export_subgraphs(norni_exporter *x, const norn_node *node);
/* The fields of the NodeProto. */
norn_status norni_export_control(norni_exporter *x, norni_str *text, const norn_node *node);

/* ---- What stays as it was. The operators of a NodeProto, of functions and of training information must mean in the
 * opset what they meant in that of the file: refuses, with a reason for each that does not. */
norn_status norni_export_check_proto(norni_exporter *x, const norn_node *node);
norn_status norni_export_check_extra(norni_exporter *x);
/* The fields of the ModelProto that norn does not model; functions import the opset that is written. */
norn_status norni_export_extra(norni_exporter *x, norni_str *out);

/* Names for all values that need one. */
norn_status norni_export_names(norni_exporter *x);
/* The same for a subgraph of a node of the graph around it, whose names are settled. */
norn_status norni_export_inner_names(norni_exporter *x, const norn_node *node);
const char *norni_export_name(norni_exporter *x, norn_value *v);
/* The names that the subgraphs of an unknown node read, and how many inputs it has of its own. */
norn_status norni_export_captures(norni_exporter *x, const norn_node *node, norni_captures *out, size_t *own);

/* NodeProtos, each as field 1 of a graph. Marks what they read. */
norn_status norni_export_nodes(norni_exporter *x, norni_str *out);
norn_status norni_export_read(norni_exporter *x, const norn_value *v);
bool norni_export_is_read(const norni_exporter *x, const norn_value *v);
/* Parts of a NodeProto: names of values as a field of it, without those that are absent at the end; attributes. */
norn_status norni_export_node_names(norni_exporter *x, norni_str *node, uint32_t field, int n,
                                    norn_value *const *v);
norn_status norni_export_attr(norni_str *node, const char *name, const norni_attr_value *v);
/* A Constant, as field 1 of a graph. */
norn_status norni_export_constant(norni_exporter *x, norni_str *out, const char *name, const norn_tensor *t,
                                  const norni_extra *kept);
/* True for a value that is written as a Constant; kept: what the file said of that node. */
bool norni_export_was_constant(const norni_exporter *x, const norn_value *v, norni_extra *kept);
/* Declarations of outputs and of values between, as fields of a graph. */
norn_status norni_export_declarations(norni_exporter *x, norni_str *out);
/* A ValueInfoProto as field `field` of the message around it; kept: what extra.h says of it. */
norn_status norni_export_value_info(norni_exporter *x, norni_str *out, uint32_t field, const char *name,
                                    const norni_type *type, const norni_extra *kept);

/* A file as pieces, in order. Texts belong to the arena, data to the tensors. */
typedef struct {
    NORNI_VEC(norni_piece) v;
    size_t bytes;
} norni_pieces;
norn_status norni_pieces_add(norni_pieces *p, const void *data, size_t bytes);
/* The text that was built so far, as a piece; the builder is emptied. */
norn_status norni_pieces_text(norni_exporter *x, norni_pieces *p, norni_str *text);

/* Where the data of a tensor are when they are not in the message. */
typedef struct {
    const char *location;
    uint64_t offset;
} norni_external_place;
/* A TensorProto as field `field` of the message around it (0: alone). The data stay where they are. The tensor is
 * packed, in host memory; external, kept, name: NULL for none. */
norn_status norni_export_tensor(norni_exporter *x, norni_pieces *out, uint32_t field, const char *name,
                                const norn_tensor *t, const norni_external_place *external,
                                const norni_extra *kept);
/* The same without a place for pieces. */
norn_status norni_export_tensor_text(norni_str *out, uint32_t field, const char *name, const norn_tensor *t);
/* Whether an initialiser is written as it was: sparse. As field 15 of a graph; kept: NULL for none. */
enum { NORNI_IR_SPARSE = 5 };
bool norni_export_is_sparse(const norni_exporter *x, const norn_value *v);
norn_status norni_export_sparse(norni_str *out, const char *name, const norn_tensor *t,
                                const norni_extra *kept);
/* t as a file has it: packed, little-endian; a counted reference or a copy. Errors: NORN_ARG on a device. */
norn_status norni_export_packed(const norn_tensor *t, norn_tensor **out);

#endif
