/* SPDX-License-Identifier: Apache-2.0 */
/* Which nodes share a kernel. A pointwise node joins the cluster of its readers when all of them are in one
 * cluster and the shapes agree. So only the last node of a cluster, its root, is read from outside, and no
 * cycle can arise. What else a cluster computes may still be stored as an output or a state. */
#include "graph/plan.h"
#include <string.h>

/* Enough for an optimizer step, and few enough for any device's limit on kernel arguments. */
enum { MAX_INPUTS = 20, MAX_NODES = 64 };

int norni_epilogue_axis(const norn_node *node) {
    if (!node->op->impls || !node->out[0])
        return -1;
    bool any = false;
    for (const norni_impl *i = node->op->impls; i->name; i++)
        any |= i->epilogue;
    for (int k = 1; k < node->n_out; k++)
        if (node->out[k])
            return -1;
    int rank = node->out[0]->type.rank;
    if (!any || rank < 1)
        return -1;
    return node->op->epilogue_axis ? node->op->epilogue_axis(node) : rank > 1 ? 1 : -1;
}

/* Scalars and vectors along the channel axis can be read in an epilogue, as can tensors of the same shape. */
static bool epilogue_input(const norni_type *out, int axis, const norn_node *user, int input) {
    const norni_type *t = &user->in[input]->type;
    if (norni_type_elems(t) == 1 || norni_shape_equal(t, out))
        return true;
    if (user->op->channel_from && input >= user->op->channel_from)
        return axis == 1 || out->rank == 1;
    int shift = out->rank - t->rank;
    for (int i = 0; i < t->rank; i++)
        if (t->dims[i] != 1 && (i + shift != axis || t->dims[i] != out->dims[axis]))
            return false;
    return true;
}

typedef struct {
    const norn_graph *g;
    int *cluster;            /* by node: the id of its root */
    int *reader;             /* by value: cluster of all its readers so far; -1 none, -2 several */
    int *n_nodes, *n_inputs; /* by root; inputs: different values from outside */
    int *counted;            /* by value: 1 + the root that counted it last */
    const int *uses;         /* by value */
} fusion;

/* How many values more a cluster reads when n joins it, whose result it then has itself. */
static int more_inputs(const fusion *f, const norn_node *n, int root) {
    int k = n->out[0] && f->counted[n->out[0]->id] == root + 1 ? -1 : 0;
    for (int i = 0; i < n->n_in; i++) {
        const norn_value *v = n->in[i];
        bool twice = false;
        for (int j = 0; j < i; j++)
            twice |= n->in[j] == v;
        k += v && !twice && f->counted[v->id] != root + 1 &&
             !(v->kind == NORNI_CONST && norni_type_elems(&v->type) == 1);
    }
    return k;
}

static bool joins(const fusion *f, const norn_node *n, int root) {
    const norn_node *r = f->g->nodes.v[root];
    return norni_op_pointwise(r->op) && norni_shape_equal(&n->out[0]->type, &r->out[0]->type) &&
           f->n_nodes[root] < MAX_NODES && f->n_inputs[root] + more_inputs(f, n, root) <= MAX_INPUTS;
}

/* An anchor's own result is not stored: nobody but the cluster may want it, nor an output or a state. */
static bool read_only_inside(const fusion *f, const norni_cluster *c, const norn_value *v) {
    int inside = 0;
    for (int i = 0; i < c->n_nodes; i++)
        for (int k = 0; k < c->nodes[i]->n_in; k++)
            inside += c->nodes[i]->in[k] == v;
    return f->uses[v->id] == inside;
}

/* The anchor whose result a pointwise cluster may absorb: the latest fitting one, so that the others are
 * there. */
static norn_node *find_anchor(const fusion *f, const norni_cluster *c, const bool *taken) {
    const norni_type *out = &c->nodes[c->n_nodes - 1]->out[0]->type;
    int root = c->nodes[c->n_nodes - 1]->id;
    norn_node *best = NULL;
    for (int i = 0; i < c->n_nodes; i++)
        for (int k = 0; k < c->nodes[i]->n_in; k++) {
            const norn_value *v = c->nodes[i]->in[k];
            norn_node *a = v ? v->producer : NULL;
            if (!a || v->index || f->reader[v->id] != root || taken[a->id] || f->cluster[a->id] == root ||
                norni_epilogue_axis(a) < 0 || !norni_shape_equal(&v->type, out) ||
                (best && best->id >= a->id) || (v->type.dtype != out->dtype && !a->op->epilogue_retypes) ||
                !read_only_inside(f, c, v))
                continue;
            best = a;
        }
    for (int i = 0; best && i < c->n_nodes; i++)
        for (int k = 0; k < c->nodes[i]->n_in; k++) {
            const norn_value *v = c->nodes[i]->in[k];
            if (v && v->producer != best && !(v->producer && f->cluster[v->producer->id] == root) &&
                !epilogue_input(out, norni_epilogue_axis(best), c->nodes[i], k))
                return NULL;
        }
    return best;
}

norn_status norni_fuse(const norn_graph *g, norni_arena *arena, const int *uses, bool fuse,
                       norni_clusters *out) {
    int n = (int)g->nodes.n;
    fusion f = {.g = g,
                .uses = uses,
                .cluster = norni_arena_array(arena, (size_t)n, sizeof(int)),
                .reader = norni_arena_array(arena, g->values.n, sizeof(int)),
                .n_nodes = norni_arena_array(arena, (size_t)n, sizeof(int)),
                .n_inputs = norni_arena_array(arena, (size_t)n, sizeof(int)),
                .counted = norni_arena_array(arena, g->values.n, sizeof(int))};
    bool *taken = norni_arena_array(arena, (size_t)n, sizeof *taken);
    out->v = norni_arena_array(arena, (size_t)n, sizeof *out->v);
    out->n = 0;
    if (!f.cluster || !f.reader || !f.n_nodes || !f.n_inputs || !f.counted || !taken || !out->v)
        return norni_nomem();
    for (size_t i = 0; i < g->values.n; i++)
        f.reader[i] = -1;
    for (int i = n; i-- > 0;) {
        const norn_node *node = g->nodes.v[i];
        int root = i;
        if (fuse && norni_op_pointwise(node->op)) {
            int r = f.reader[node->out[0]->id];
            if (r >= 0 && joins(&f, node, r))
                root = r;
        }
        f.cluster[i] = root;
        f.n_nodes[root]++;
        f.n_inputs[root] += more_inputs(&f, node, root);
        for (int k = 0; k < node->n_in; k++)
            if (node->in[k]) {
                if (!(node->in[k]->kind == NORNI_CONST && norni_type_elems(&node->in[k]->type) == 1))
                    f.counted[node->in[k]->id] = root + 1;
                int *r = &f.reader[node->in[k]->id];
                *r = *r == -1 || *r == root ? root : -2;
            }
    }
    /* Clusters in the order of their roots, each with its nodes in order. */
    for (int i = 0; i < n; i++) {
        if (f.cluster[i] != i)
            continue;
        norni_cluster *c = &out->v[out->n];
        *c = (norni_cluster){0};
        if (!norni_op_pointwise(g->nodes.v[i]->op)) {
            c->anchor = g->nodes.v[i];
            out->n++;
            continue;
        }
        c->nodes = norni_arena_array(arena, (size_t)f.n_nodes[i], sizeof *c->nodes);
        if (!c->nodes)
            return norni_nomem();
        for (int j = 0; j <= i; j++)
            if (f.cluster[j] == i)
                c->nodes[c->n_nodes++] = g->nodes.v[j];
        norn_node *anchor = fuse ? find_anchor(&f, c, taken) : NULL;
        if (anchor) {
            c->anchor = anchor;
            taken[anchor->id] = true;
        }
        out->n++;
    }
    /* Anchors that were absorbed no longer stand alone. */
    int kept = 0;
    for (int i = 0; i < out->n; i++)
        if (out->v[i].n_nodes || !taken[out->v[i].anchor->id])
            out->v[kept++] = out->v[i];
    out->n = kept;
    return NORN_OK;
}
