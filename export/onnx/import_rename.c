/* SPDX-License-Identifier: Apache-2.0 */
/* A node of a function that keeps its subgraphs' text: names in them are those of the function, which mean nothing in the
 * graph that its nodes are put into. They are exchanged while the text is made. */
#include "export/onnx/import.h"
#include <string.h>

static norn_status exchange(norni_renames *r, char **slot) {
    const norni_scope *sc = r->scope;
    const char *name = norni_pb_text(*slot), *to = NULL;
    if (!*name)
        return NORN_OK;
    for (size_t i = 0; i < r->captures->n && !to; i++)
        if (!strcmp(r->captures->v[i], name)) {
            norn_value *v = norni_scope_value(sc, name);
            to = v && v != NORNI_NONE && v->name ? v->name : name;
        }
    if (!to)
        to = norni_arena_printf(sc->imp->scratch, "%s%s", sc->prefix, name);
    if (!to || !NORNI_PUSH(&r->old, ((norni_renamed){slot, *slot})))
        return norni_nomem();
    *slot = (char *)to;
    return NORN_OK;
}

static norn_status rename_subgraphs(norni_renames *r, const norni_pb_node *n);

static norn_status rename_graph(norni_renames *r, const norni_pb_graph *g) {
    for (size_t i = 0; i < g->n_input; i++)
        NORNI_TRY(exchange(r, &g->input[i]->name));
    for (size_t i = 0; i < g->n_output; i++)
        NORNI_TRY(exchange(r, &g->output[i]->name));
    for (size_t i = 0; i < g->n_value_info; i++)
        NORNI_TRY(exchange(r, &g->value_info[i]->name));
    for (size_t i = 0; i < g->n_initializer; i++)
        NORNI_TRY(exchange(r, &g->initializer[i]->name));
    for (size_t i = 0; i < g->n_sparse_initializer; i++)
        if (g->sparse_initializer[i]->values)
            NORNI_TRY(exchange(r, &g->sparse_initializer[i]->values->name));
    for (size_t i = 0; i < g->n_node; i++) {
        for (size_t k = 0; k < g->node[i]->n_input; k++)
            NORNI_TRY(exchange(r, &g->node[i]->input[k]));
        for (size_t k = 0; k < g->node[i]->n_output; k++)
            NORNI_TRY(exchange(r, &g->node[i]->output[k]));
        NORNI_TRY(rename_subgraphs(r, g->node[i]));
    }
    return NORN_OK;
}

/* As deep as messages nest, which the pre-scan bounds. */
static norn_status rename_subgraphs(norni_renames *r, const norni_pb_node *n) {
    for (size_t i = 0; i < n->n_attribute; i++) {
        if (n->attribute[i]->g)
            NORNI_TRY(rename_graph(r, n->attribute[i]->g));
        for (size_t k = 0; k < n->attribute[i]->n_graphs; k++)
            NORNI_TRY(rename_graph(r, n->attribute[i]->graphs[k]));
    }
    return NORN_OK;
}

norn_status norni_rename_begin(norni_renames *r, const norni_pb_node *n) {
    return *r->scope->prefix ? rename_subgraphs(r, n) : NORN_OK;
}

void norni_rename_end(norni_renames *r) {
    for (size_t i = r->old.n; i-- > 0;)
        *r->old.v[i].slot = r->old.v[i].name;
    norni_vec_free(&r->old);
}
