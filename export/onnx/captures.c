/* SPDX-License-Identifier: Apache-2.0 */
/* What the subgraphs of a node (the branches of an If, the body of a Loop) read from the graphs around them. A subgraph
 * knows its own inputs, initialisers and results, and every name of the graphs around it. The recursion goes as deep as
 * messages nest, which the pre-scan bounds. */
#include "export/onnx/import.h"

typedef struct {
    norni_table local, seen; /* local: how many graphs that are being walked define a name */
    norni_table *all;
    NORNI_VEC(const char *) found;
} walk;

static norn_status count(walk *w, const char *name, int step) {
    if (!*norni_pb_text(name))
        return NORN_OK;
    norni_name *n = norni_table_add(&w->local, name, NULL);
    if (!n || (w->all && !norni_table_add(w->all, name, NULL)))
        return norni_nomem();
    n->i += (size_t)step;
    return NORN_OK;
}

static norn_status define(walk *w, const norni_pb_graph *g, int step) {
    for (size_t i = 0; i < g->n_input; i++)
        NORNI_TRY(count(w, g->input[i]->name, step));
    for (size_t i = 0; i < g->n_initializer; i++)
        NORNI_TRY(count(w, g->initializer[i]->name, step));
    for (size_t i = 0; i < g->n_sparse_initializer; i++)
        if (g->sparse_initializer[i]->values)
            NORNI_TRY(count(w, g->sparse_initializer[i]->values->name, step));
    for (size_t i = 0; i < g->n_node; i++)
        for (size_t k = 0; k < g->node[i]->n_output; k++)
            NORNI_TRY(count(w, g->node[i]->output[k], step));
    return NORN_OK;
}

static norn_status use(walk *w, const char *name) {
    bool fresh;
    if (!*norni_pb_text(name))
        return NORN_OK;
    norni_name *local = norni_table_find(&w->local, name);
    if (local && local->i)
        return NORN_OK;
    if (!norni_table_add(&w->seen, name, &fresh) || (w->all && !norni_table_add(w->all, name, NULL)))
        return norni_nomem();
    return !fresh || NORNI_PUSH(&w->found, name) ? NORN_OK : norni_nomem();
}

static norn_status walk_subgraphs(walk *w, const norni_pb_node *n);

static norn_status walk_graph(walk *w, const norni_pb_graph *g) {
    NORNI_TRY(define(w, g, 1));
    for (size_t i = 0; i < g->n_node; i++) {
        for (size_t k = 0; k < g->node[i]->n_input; k++)
            NORNI_TRY(use(w, g->node[i]->input[k]));
        NORNI_TRY(walk_subgraphs(w, g->node[i]));
    }
    for (size_t i = 0; i < g->n_output; i++)
        NORNI_TRY(use(w, g->output[i]->name));
    return define(w, g, -1);
}

static norn_status walk_subgraphs(walk *w, const norni_pb_node *n) {
    for (size_t i = 0; i < n->n_attribute; i++) {
        const norni_pb_attr *a = n->attribute[i];
        if (a->g)
            NORNI_TRY(walk_graph(w, a->g));
        for (size_t k = 0; k < a->n_graphs; k++)
            NORNI_TRY(walk_graph(w, a->graphs[k]));
    }
    return NORN_OK;
}

bool norni_has_subgraph(const norni_pb_node *n) {
    for (size_t i = 0; i < n->n_attribute; i++)
        if (n->attribute[i]->g || n->attribute[i]->n_graphs)
            return true;
    return false;
}

norn_status norni_captures_find(const norni_pb_node *n, norni_arena *arena, norni_captures *out,
                                norni_table *all) {
    walk w = {.all = all};
    *out = (norni_captures){0};
    if (!norni_has_subgraph(n))
        return NORN_OK;
    norn_status s = walk_subgraphs(&w, n);
    if (s == NORN_OK) {
        out->v = norni_arena_dup(arena, w.found.v, w.found.n * sizeof *w.found.v);
        out->n = w.found.n;
        if (!out->v)
            s = norni_nomem();
    }
    norni_table_free(&w.local);
    norni_table_free(&w.seen);
    norni_vec_free(&w.found);
    return s;
}
