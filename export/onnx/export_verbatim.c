/* SPDX-License-Identifier: Apache-2.0 */
/* What is written back as the file had it (operators that norn lacks, functions, training information) into another opset:
 * every operator in it must mean there what it meant. */
#include "export/onnx/export.h"
#include <string.h>

enum { MAX_BREAKS = 2 };

/* Operators that norn lacks, and others that work on strings, sequences and optionals as well: the first opset in which
 * they do, and those in which the same node means, or wants, something else. Source: ONNX's changelog, opset 7 to 28. */
static const struct {
    const char *op;
    int since, breaks[MAX_BREAKS];
} rows[] = {
    {"Cast", 9, {0}},
    {"Concat", 7, {0}},
    {"ConcatFromSequence", 11, {0}},
    {"Constant", 7, {0}},
    {"Equal", 19, {0}},
    {"Expand", 8, {0}},
    {"Flatten", 9, {0}},
    {"Gather", 7, {0}},
    {"GatherElements", 11, {0}},
    {"GatherND", 12, {0}},
    {"Identity", 7, {0}},
    {"If", 7, {0}},
    {"ImageDecoder", 20, {0}},
    {"Loop", 7, {0}},
    {"Optional", 15, {0}},
    {"OptionalGetElement", 15, {18}},
    {"OptionalHasElement", 15, {18}},
    {"RegexFullMatch", 20, {0}},
    {"Reshape", 7, {14}},
    {"Scan", 8, {9}},
    {"SequenceAt", 11, {0}},
    {"SequenceConstruct", 11, {0}},
    {"SequenceEmpty", 11, {0}},
    {"SequenceErase", 11, {0}},
    {"SequenceInsert", 11, {0}},
    {"SequenceLength", 11, {0}},
    {"SequenceMap", 17, {0}},
    {"Shape", 7, {15}},
    {"Size", 7, {0}},
    {"Slice", 7, {10}},
    {"Split", 7, {13, 18}},
    {"SplitToSequence", 11, {0}},
    {"Squeeze", 7, {13}},
    {"StringConcat", 20, {0}},
    {"StringNormalizer", 10, {0}},
    {"StringSplit", 20, {0}},
    {"TfIdfVectorizer", 9, {0}},
    {"Tile", 7, {0}},
    {"Transpose", 7, {0}},
    {"Unsqueeze", 7, {13}},
    {"Where", 9, {0}},
};

/* A break of which older nodes see nothing: an attribute or an input that came, with a default. */
static bool only_adds(const char *op, int at) {
    return !strncmp(op, "Optional", 8) || (!strcmp(op, "Reshape") && at == 14) || !strcmp(op, "Shape");
}

static bool means_the_same(const char *type, int from, int to) {
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        if (strcmp(rows[r].op, type) != 0)
            continue;
        for (int k = 0; k < MAX_BREAKS; k++) {
            int b = rows[r].breaks[k];
            if (b && ((from < b && to >= b && !only_adds(type, b)) || (to < b && from >= b)))
                return false;
        }
        return to >= rows[r].since;
    }
    const norn_op *op = norni_op_find("", type);
    if (!op || !norni_op_version(op, from))
        return false;
    if (norni_op_version(op, from) == norni_op_version(op, to))
        return true;
    for (const norni_moved *m = op->moved; m && m->attr; m++)
        if (m->since > from && m->since <= to)
            return false;
    return from < to && !op->raise; /* the importer would take it as it is, too */
}

/* What is looked at, and what is wrong with it so far. */
typedef struct {
    norni_exporter *x;
    int from;
    const char *where; /* "" for a node of the graph */
} walk;

static norn_status check_graph(const walk *w, const norni_pb_graph *g);

static norn_status check_node(const walk *w, const norni_pb_node *n) {
    const char *type = norni_pb_text(n->op_type);
    if (!*norni_pb_domain(n->domain) && !means_the_same(type, w->from, w->x->opset))
        NORNI_TRY(norni_export_refuse(
            w->x,
            norni_fail(NORN_UNSUPPORTED,
                       "%s%s%s%s%s: it is kept as the file has it, and does not mean in opset %d what it "
                       "means in opset %d",
                       w->where, *norni_pb_text(n->name) ? "node '" : "", norni_pb_text(n->name),
                       *norni_pb_text(n->name) ? "' " : "", type, w->x->opset, w->from)));
    for (size_t i = 0; i < n->n_attribute; i++) {
        const norni_pb_attr *a = n->attribute[i];
        if (a->g)
            NORNI_TRY(check_graph(w, a->g));
        for (size_t k = 0; k < a->n_graphs; k++)
            NORNI_TRY(check_graph(w, a->graphs[k]));
    }
    return NORN_OK;
}

static norn_status check_graph(const walk *w, const norni_pb_graph *g) {
    for (size_t i = 0; i < g->n_node; i++)
        NORNI_TRY(check_node(w, g->node[i]));
    return NORN_OK;
}

norn_status norni_export_check_proto(norni_exporter *x, const norn_node *node) {
    const norni_pb_node *p;
    walk w = {x, norn_model_opset(x->model), ""};
    if (!node->extra.bytes || !w.from || w.from == x->opset)
        return NORN_OK;
    NORNI_TRY(norni_pb_unpack(&norni_onnx__node_proto__descriptor, x->arena, node->extra.data,
                              node->extra.bytes, &p));
    return check_node(&w, p);
}

/* ---- Functions have opsets of their own, which must agree with that of the model in the operators that they use. */
static norn_status check_function(norni_exporter *x, const norni_pb_function *f) {
    walk w = {
        x, norn_model_opset(x->model),
        norni_arena_printf(x->arena, "function '%s', which norn cannot expand: ", norni_pb_text(f->name))};
    if (!w.where)
        return norni_nomem();
    for (size_t i = 0; i < f->n_opset_import; i++)
        if (!*norni_pb_domain(f->opset_import[i]->domain))
            w.from = (int)f->opset_import[i]->version;
    for (size_t i = 0; i < f->n_node && w.from != x->opset; i++)
        NORNI_TRY(check_node(&w, f->node[i]));
    return NORN_OK;
}

static norn_status check_training(norni_exporter *x, const norni_wire_field *info) {
    walk w = {x, norn_model_opset(x->model), "training_info: "};
    const uint8_t *p = info->data;
    norni_wire_field f;
    while (norni_wire_next(&p, info->data + info->bytes, &f)) {
        const norni_pb_graph *g;
        if ((f.number != 1 && f.number != 2) || f.type != NORNI_WIRE_BYTES)
            continue;
        NORNI_TRY(norni_pb_unpack(&norni_onnx__graph_proto__descriptor, x->arena, f.data, f.bytes, &g));
        NORNI_TRY(check_graph(&w, g));
    }
    return NORN_OK;
}

norn_status norni_export_check_extra(norni_exporter *x) {
    const uint8_t *p = x->model->extra.data, *end = p ? p + x->model->extra.bytes : NULL;
    int own = norn_model_opset(x->model);
    norni_wire_field f;
    while (own && x->opset != own && norni_wire_next(&p, end, &f)) {
        const norni_pb_function *function;
        if (f.number == 20 && f.type == NORNI_WIRE_BYTES)
            NORNI_TRY(check_training(x, &f));
        if (f.number != 25 || f.type != NORNI_WIRE_BYTES)
            continue;
        NORNI_TRY(
            norni_pb_unpack(&norni_onnx__function_proto__descriptor, x->arena, f.data, f.bytes, &function));
        NORNI_TRY(check_function(x, function));
    }
    return NORN_OK;
}

norn_status norni_export_extra(norni_exporter *x, norni_str *out) {
    const norni_extra *e = &x->model->extra;
    const uint8_t *p = e->data, *end = p ? p + e->bytes : NULL;
    int own = norn_model_opset(x->model);
    norni_wire_field f;
    if (!own || x->opset == own) {
        norni_str_addn(out, e->data, e->bytes);
        return NORN_OK;
    }
    while (norni_wire_next(&p, end, &f)) {
        norni_pb_function *function;
        norni_extra bytes;
        if (f.number != 25 || f.type != NORNI_WIRE_BYTES) {
            norni_str_addn(out, (const char *)f.start, (size_t)(p - f.start));
            continue;
        }
        NORNI_TRY(
            norni_pb_unpack(&norni_onnx__function_proto__descriptor, x->arena, f.data, f.bytes, &function));
        for (size_t i = 0; i < function->n_opset_import; i++)
            if (!*norni_pb_domain(function->opset_import[i]->domain))
                function->opset_import[i]->version = x->opset;
        NORNI_TRY(norni_pb_pack(function, x->arena, &bytes));
        norni_wire_put_bytes(out, 25, bytes.data, bytes.bytes);
    }
    return NORN_OK;
}
