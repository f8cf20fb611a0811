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

typedef struct {
    const norn_model *model;
    norn_graph *g;
    const norn_save_options *options; /* never NULL */
    int opset, ir;
    norni_arena *arena;
    /* The nodes to be written, in order: those of the graph, with what replaces some of them. Replacements are built at the
     * end of the graph and taken away again when the file is written. */
    NORNI_VEC(norn_node *) nodes;
    NORNI_VEC(norn_value *) replaced; /* by id: what stands for the value; NULL: itself */
    NORNI_VEC(bool) needed;           /* by id: a node or an output reads it */
    size_t old_nodes, old_values;
    uint64_t old_stream;
    bool drops; /* nodes that only make the next content of parameters are left out */
    NORNI_VEC(const char *) names; /* by id */
    norni_table taken, inner;      /* names of values; names within subgraphs */
    NORNI_VEC(bool) read;          /* by id: a node or an output reads it, as they are written */
} norni_exporter;

/* Which nodes are written, and by what those are replaced that the opset does not have. begin remembers how the graph
 * is, undo takes the replacements out of it again. */
void norni_export_begin(norni_exporter *x);
norn_status norni_export_choose(norni_exporter *x);
void norni_export_undo(norni_exporter *x);
/* "node 'name' Op<...>(...)" before the message of a failure. */
norn_status norni_export_at(norn_status s, const norn_node *node);
norn_value *norni_export_value(const norni_exporter *x, norn_value *v);
/* A copy of a node in the form of the opset; its attributes are released by the caller. *replaced: its hook wants other
 * nodes in its place, whose results are in out (32). */
norn_status norni_lower(norni_exporter *x, const norn_node *node, norn_node *low, norn_value **out, bool *replaced);

/* Names for all values that need one. */
norn_status norni_export_names(norni_exporter *x);
const char *norni_export_name(norni_exporter *x, norn_value *v);
/* The names that the subgraphs of an unknown node read, and how many inputs it has of its own. */
norn_status norni_export_captures(norni_exporter *x, const norn_node *node, norni_captures *out, size_t *own,
                                  bool *subgraph);

/* NodeProtos, each as field 1 of a graph. Marks what they read. */
norn_status norni_export_nodes(norni_exporter *x, norni_str *out);
norn_status norni_export_read(norni_exporter *x, const norn_value *v);
/* A Constant, as field 1 of a graph. */
norn_status norni_export_constant(norni_exporter *x, norni_str *out, const char *name, const norn_tensor *t,
                                  const norni_extra *kept);
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
                                const norn_tensor *t, const norni_external_place *external, const norni_extra *kept);
/* The same without a place for pieces. */
norn_status norni_export_tensor_text(norni_str *out, uint32_t field, const char *name, const norn_tensor *t);
/* t as a file has it: packed, little-endian; a counted reference or a copy. Errors: NORN_ARG on a device. */
norn_status norni_export_packed(const norn_tensor *t, norn_tensor **out);

#endif
