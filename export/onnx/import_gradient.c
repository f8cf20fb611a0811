/* SPDX-License-Identifier: Apache-2.0 */
/* ai.onnx.preview.training.Gradient becomes norn's own gradient: dy/dx of the values that the node names, as nodes of the
 * graph. Where the node is given other values than the named ones, the nodes between are written once more with them.
 * Source: ONNX Gradient-1. */
#include "export/onnx/import.h"
#include <string.h>

enum { MAX_NAMES = 32 };

typedef struct {
    norn_value *named[MAX_NAMES],
        *at[MAX_NAMES]; /* xs, then zs: the value of the name, and what is given for it */
    size_t n_xs, n;
    norn_value *y;
} gradient;

static norn_status add_names(norni_scope *sc, const norni_pb_node *n, const norni_pb_attr *a, gradient *d) {
    for (size_t i = 0; a && i < a->n_strings; i++, d->n++) {
        const char *name = norni_arena_printf(sc->imp->scratch, "%.*s", (int)a->strings[i].len,
                                              (const char *)a->strings[i].data);
        if (d->n == MAX_NAMES || d->n >= n->n_input)
            return norni_fail(NORN_ARG, "%zu inputs (wanted one for each name in xs and zs, at most %d)",
                              n->n_input, MAX_NAMES);
        d->named[d->n] = name ? norni_scope_value(sc, name) : NULL;
        d->at[d->n] = norni_scope_value(sc, n->input[d->n]);
        if (!d->named[d->n] || d->named[d->n] == NORNI_NONE || d->at[d->n] == NORNI_NONE)
            return norni_fail(NORN_ARG, "'%s' is no value of the graph", name ? name : "");
    }
    return NORN_OK;
}

static norn_status read_attrs(norni_scope *sc, const norni_pb_node *n, gradient *d) {
    const norni_pb_attr *xs = NULL, *zs = NULL, *y = NULL;
    for (size_t i = 0; i < n->n_attribute; i++) {
        const norni_pb_attr *a = norni_scope_attr(sc, n->attribute[i]);
        const char *name = a ? norni_pb_text(a->name) : "";
        xs = !strcmp(name, "xs") ? a : xs;
        zs = !strcmp(name, "zs") ? a : zs;
        y = !strcmp(name, "y") ? a : y;
    }
    if (!xs || !xs->n_strings || !y)
        return norni_fail(NORN_ARG, "xs or y is missing");
    NORNI_TRY(add_names(sc, n, xs, d));
    d->n_xs = d->n;
    NORNI_TRY(add_names(sc, n, zs, d));
    if (d->n != n->n_input || n->n_output > d->n_xs)
        return norni_fail(NORN_ARG, "%zu inputs, %zu outputs (wanted %zu, at most %zu)", n->n_input,
                          n->n_output, d->n, d->n_xs);
    const char *name = norni_arena_printf(sc->imp->scratch, "%.*s", (int)y->s.len, (const char *)y->s.data);
    d->y = name ? norni_scope_value(sc, name) : NULL;
    return d->y && d->y != NORNI_NONE
               ? NORN_OK
               : norni_fail(NORN_ARG, "y '%s' is no value of the graph before it", name ? name : "");
}

static bool as_named(const gradient *d) {
    for (size_t i = 0; i < d->n; i++)
        if (d->named[i] != d->at[i])
            return false;
    return true;
}

/* y as a function of what is given: every node that depends on a named value, up to y, again. */
static norn_status write_again(norni_scope *sc, const gradient *d, norn_value **y) {
    norn_graph *g = sc->imp->g;
    size_t n_values = g->values.n, n_nodes = g->nodes.n;
    norn_value **now = norni_arena_array(sc->imp->scratch, n_values + 1, sizeof *now);
    if (!now)
        return norni_nomem();
    for (size_t i = 0; i < d->n; i++)
        now[d->named[i]->id] = d->at[i];
    for (size_t i = 0; i < n_nodes; i++) {
        norn_node *old = g->nodes.v[i];
        bool touched = false, given = false;
        unsigned wanted = 0;
        for (int k = 0; k < old->n_in; k++)
            touched |= old->in[k] && old->in[k]->graph == g && now[old->in[k]->id];
        for (int k = 0; k < old->n_out && k < 32; k++) {
            wanted |= old->out[k] ? 1u << k : 0;
            given |= old->out[k] && now[old->out[k]->id];
        }
        if (!touched || given)
            continue;
        if (old->op == &norni_op_unknown)
            return norni_fail(NORN_UNSUPPORTED, "through %s, which norn does not have", old->type);
        norn_value **in = norni_arena_array(sc->imp->scratch, (size_t)old->n_in + 1, sizeof *in);
        if (!in)
            return norni_nomem();
        for (int k = 0; k < old->n_in; k++)
            in[k] = !old->in[k] ? NORNI_NONE : now[old->in[k]->id] ? now[old->in[k]->id] : old->in[k];
        norn_node *made = norni_apply(g, old->op, old->attrs, old->n_in, in, wanted);
        NORNI_TRY(norn_graph_status(g));
        for (int k = 0; k < old->n_out && k < 32; k++)
            if (old->out[k])
                now[old->out[k]->id] = made->out[k];
    }
    *y = now[d->y->id] ? now[d->y->id] : d->y;
    return NORN_OK;
}

norn_status norni_import_gradient(norni_scope *sc, const norni_pb_node *n, norn_value **out) {
    gradient d = {.n = 0};
    NORNI_TRY(read_attrs(sc, n, &d));
    size_t before = sc->imp->g->nodes.n;
    if (!as_named(&d))
        NORNI_TRY(write_again(sc, &d, &d.y));
    NORNI_TRY(norn_grad(sc->imp->g, d.y, NULL, d.n_xs, d.at, out));
    return norni_import_count(sc->imp, sc->imp->g->nodes.n - before);
}
