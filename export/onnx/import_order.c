/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes in the order in which they can run. ONNX asks for that order in the file; not every exporter obeys. */
#include "export/onnx/import.h"
#include <string.h>

typedef struct {
    norni_scope *sc;
    size_t n;
    norni_pb_node **nodes;
    const norni_captures *captures;
    norni_table producers; /* by name of an output: index + 1 of its node */
    enum { WAITING, ACTIVE, PLACED } * state;
    struct {
        size_t node, next; /* next: the dependency to look at */
    } * stack;
    size_t depth, placed;
    size_t *order;
} sorter;

const char *norni_node_label(norni_arena *arena, const norni_pb_node *n, size_t index) {
    const char *s;
    if (*norni_pb_text(n->name))
        s = norni_arena_printf(arena, "node '%s'", n->name);
    else if (n->n_output && *n->output[0])
        s = norni_arena_printf(arena, "node %zu (of '%s')", index, n->output[0]);
    else
        s = norni_arena_printf(arena, "node %zu", index);
    return s ? s : "node";
}

static const char *label(sorter *s, size_t node) {
    return norni_node_label(s->sc->imp->scratch, s->nodes[node], node);
}

static norn_status collect_producers(sorter *s) {
    for (size_t i = 0; i < s->n; i++)
        for (size_t k = 0; k < s->nodes[i]->n_output; k++) {
            const char *name = s->nodes[i]->output[k];
            bool fresh;
            if (!*name)
                continue;
            if (norni_table_find(&s->sc->values, name))
                return norni_fail(NORN_PARSE,
                                  "%s %s: its output '%s' is an input or initialiser already (every name is "
                                  "made once)",
                                  label(s, i), norni_pb_text(s->nodes[i]->op_type), name);
            norni_name *p = norni_table_add(&s->producers, name, &fresh);
            if (!p)
                return norni_nomem();
            if (!fresh)
                return norni_fail(NORN_PARSE,
                                  "%s %s: its output '%s' is made by %s already (every name is made once)",
                                  label(s, i), norni_pb_text(s->nodes[i]->op_type), name, label(s, p->i - 1));
            p->i = i + 1;
        }
    return NORN_OK;
}

static norn_status cycle(sorter *s, size_t node) {
    norni_str names = {0};
    size_t from = s->depth;
    while (from > 0 && s->stack[from - 1].node != node)
        from--;
    for (size_t i = from - 1, k = 0; i < s->depth; i++, k++)
        if (k < 8)
            norni_str_addf(&names, "%s%s", k ? ", " : "", label(s, s->stack[i].node));
    norn_status st = norni_fail(NORN_PARSE, "a cycle of %zu nodes: %s%s", s->depth - from + 1,
                                names.s ? names.s : "", s->depth - from + 1 > 8 ? ", ..." : "");
    norni_str_free(&names);
    return st;
}

/* Name i that a node reads: its inputs, then what its subgraphs use. NULL behind the last. */
static const char *reads(const sorter *s, size_t node, size_t i) {
    const norni_pb_node *n = s->nodes[node];
    if (i < n->n_input)
        return n->input[i];
    return i - n->n_input < s->captures[node].n ? s->captures[node].v[i - n->n_input] : NULL;
}

static norn_status visit(sorter *s, size_t node) {
    s->stack[s->depth].node = node;
    s->stack[s->depth++].next = 0;
    s->state[node] = ACTIVE;
    while (s->depth) {
        size_t top = s->stack[s->depth - 1].node, i = s->stack[s->depth - 1].next++;
        const char *name = reads(s, top, i);
        if (!name) {
            s->state[top] = PLACED;
            s->order[s->placed++] = top;
            s->depth--;
            continue;
        }
        norni_name *p = *name ? norni_table_find(&s->producers, name) : NULL;
        if (!p) {
            if (*name && !norni_table_find(&s->sc->values, name))
                return norni_fail(NORN_PARSE,
                                  "%s %s: %s '%s': nothing makes it (wanted an input, an initialiser or an "
                                  "output of a node)",
                                  label(s, top), norni_pb_text(s->nodes[top]->op_type),
                                  i < s->nodes[top]->n_input ? "input" : "its subgraph reads", name);
            continue;
        }
        size_t from = p->i - 1;
        if (s->state[from] == ACTIVE)
            return cycle(s, from);
        if (s->state[from] == WAITING) {
            s->stack[s->depth].node = from;
            s->stack[s->depth++].next = 0;
            s->state[from] = ACTIVE;
        }
    }
    return NORN_OK;
}

norn_status norni_import_order(norni_scope *sc, size_t n, norni_pb_node **nodes,
                               const norni_captures *captures, size_t *order) {
    sorter s = {.sc = sc, .n = n, .nodes = nodes, .captures = captures, .order = order};
    s.state = norni_alloc_array(n, sizeof *s.state);
    s.stack = norni_alloc_array(n, sizeof *s.stack);
    norn_status st = s.state && s.stack ? collect_producers(&s) : norni_nomem();
    for (size_t i = 0; i < n && st == NORN_OK; i++)
        if (s.state[i] == WAITING)
            st = visit(&s, i);
    norni_table_free(&s.producers);
    norni_free(s.state);
    norni_free(s.stack);
    return st;
}
