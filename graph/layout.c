/* SPDX-License-Identifier: Apache-2.0 */
/* Which values are in blocked form (ops/blocked.h). Each cluster works in one form: implementations say which they are
 * made for, pointwise nodes work in either. A value that is made in one form and read in the other is copied once. From
 * everything blocked that can be, clusters change their form as long as the estimated time falls; then that is
 * compared with everything plain. */
#include "graph/plan.h"
#include "ops/blocked.h"
#include <math.h>
#include <string.h>

norni_operand norni_blocked_operand(const norni_type *out, const norn_node *node, int input) {
    const norni_type *t = &node->in[input]->type;
    if (norni_type_elems(t) == 1)
        return NORNI_OPERAND_SCALAR;
    if (node->op->channel_from && input >= node->op->channel_from)
        return NORNI_OPERAND_VECTOR;
    int shift = out->rank - t->rank;
    bool others = true, channels = shift <= 1 && t->dims[1 - shift] == out->dims[1];
    for (int k = 0; k < t->rank; k++)
        others &= k + shift == 1 || t->dims[k] == 1;
    if (channels && others && out->dims[1] != 1)
        return NORNI_OPERAND_VECTOR;
    if (channels && shift == 0 && norni_blockable(t) &&
        norni_block_of(t->dtype) == norni_block_of(out->dtype))
        return NORNI_OPERAND_BLOCKED;
    return !channels ? NORNI_OPERAND_PLAIN : NORNI_OPERAND_NONE;
}

typedef struct {
    const norni_cluster *c;
    const norni_impl *impl[NORNI_FORMS]; /* by form; anchors only */
    bool can[NORNI_FORMS];
    double time[NORNI_FORMS];
} choice;

typedef struct {
    norn_plan *p;
    int n;
    choice *v;
    norni_form *form;
    const int *uses;
    int *maker; /* by value: the cluster that makes it; -1: none */
    /* By value, for the sum: who reads it in each form. */
    NORNI_VEC(int) readers; /* cluster, input node and slot, flattened below */
    int *first_reader, *next_reader;
} layout;

/* Bytes a second and a launch, roughly, of the CPUs that this is for: only their ratio counts. */
static const double copy_ns_per_byte = 0.15, launch_ns = 5000, flop_ns = 1 / 100.0;

static const norni_type *out_type(const norni_cluster *c) {
    return c->n_nodes ? &c->nodes[c->n_nodes - 1]->out[0]->type : &c->anchor->out[0]->type;
}

static bool inner(const norni_cluster *c, const norn_value *v) {
    if (v->kind != NORNI_RESULT)
        return false;
    if (v->producer == c->anchor)
        return true;
    for (int i = 0; i < c->n_nodes; i++)
        if (c->nodes[i] == v->producer)
            return true;
    return false;
}

/* The form in which a cluster working in form f reads input k of its node; and whether it can. */
static bool reads_blocked(const choice *c, const norn_node *node, int k, norni_form f) {
    if (node == c->c->anchor) {
        const norni_impl *i = c->impl[f];
        return norni_reads_blocked(f) && (!i->n_blocked || k < i->n_blocked);
    }
    return norni_makes_blocked(f) &&
           norni_blocked_operand(&node->out[0]->type, node, k) == NORNI_OPERAND_BLOCKED;
}

/* Nobody outside the cluster reads node i's result: it has no buffer. */
static bool stays_inside(const norni_cluster *c, int i, const int *uses) {
    int inside = 0;
    for (int j = i + 1; j < c->n_nodes; j++)
        for (int k = 0; k < c->nodes[j]->n_in; k++)
            inside += c->nodes[j]->in[k] == c->nodes[i]->out[0];
    return i < c->n_nodes - 1 && inside == uses[c->nodes[i]->out[0]->id];
}

/* Pointwise nodes in blocked form: all values of the shape of the result are floats with blocks of one size, but for
 * those (masks) that stay inside. States are plain, and their updates one launch (graph/update.c). */
static bool pointwise_fits(const norni_cluster *c, const int *uses) {
    const norni_type *out = out_type(c);
    if (!norni_blockable(out) || (!c->anchor && norni_is_next(c->nodes[c->n_nodes - 1]->out[0])))
        return false;
    for (int i = 0; i < c->n_nodes; i++) {
        const norn_node *n = c->nodes[i];
        if (!stays_inside(c, i, uses) &&
            (!norni_blockable(&n->out[0]->type) ||
             norni_block_of(n->out[0]->type.dtype) != norni_block_of(out->dtype)))
            return false;
        for (int k = 0; k < n->n_in; k++)
            if (n->in[k] && !inner(c, n->in[k]) && norni_blocked_operand(out, n, k) == NORNI_OPERAND_NONE)
                return false;
    }
    return true;
}

/* One value may not be wanted in both forms by one cluster. */
static bool consistent(const choice *c, norni_form f) {
    const norni_cluster *k = c->c;
    for (int i = -1; i < k->n_nodes; i++) {
        const norn_node *a = i < 0 ? k->anchor : k->nodes[i];
        for (int x = 0; a && x < a->n_in; x++)
            for (int j = i; a->in[x] && j < k->n_nodes; j++) {
                const norn_node *b = j < 0 ? k->anchor : k->nodes[j];
                for (int y = 0; b && y < b->n_in; y++)
                    if (b->in[y] == a->in[x] && !inner(k, a->in[x]) &&
                        reads_blocked(c, a, x, f) != reads_blocked(c, b, y, f))
                        return false;
            }
    }
    return true;
}

static void estimate(const norn_plan *p, choice *c) {
    const norni_cluster *k = c->c;
    norni_cost cost = {0};
    double bytes = 0;
    if (k->anchor)
        norni_node_cost(k->anchor, &cost);
    for (int i = 0; i < k->n_nodes; i++)
        for (int x = 0; x < k->nodes[i]->n_in; x++)
            bytes += k->nodes[i]->in[x] && !inner(k, k->nodes[i]->in[x])
                         ? (double)norni_type_bytes(&k->nodes[i]->in[x]->type)
                         : 0;
    (void)p;
    double base = cost.flops * flop_ns + (cost.bytes + bytes) * copy_ns_per_byte;
    /* What is computed in whole blocks of channels is computed for the padding lanes too. */
    const norni_type *out = k->anchor && k->anchor->out[0] ? &k->anchor->out[0]->type : NULL;
    double padded = 1;
    if (out && norni_blockable(out) && out->dims[1] > 0) {
        int64_t block = norni_block_of(out->dtype), blocks = (out->dims[1] + block - 1) / block;
        padded = (double)(blocks * block) / (double)out->dims[1];
    }
    for (int f = 0; f < NORNI_FORMS; f++) {
        double gain = c->impl[f] && c->impl[f]->gain > 0 ? c->impl[f]->gain : 1;
        c->time[f] = base / gain * (norni_makes_blocked(f) ? padded : 1);
    }
}

static bool is_output(const norn_graph *g, const norn_value *v) {
    for (size_t i = 0; i < g->outputs.n; i++)
        if (g->outputs.v[i].value == v)
            return true;
    for (size_t i = 0; i < g->states.n; i++)
        if (g->states.v[i].next == v)
            return true;
    return false;
}

/* Time of all copies of value v between forms. */
static double copies(const layout *l, const norn_value *v, const bool *out) {
    if (!norni_blockable(&v->type))
        return 0;
    int m = l->maker[v->id];
    bool made = m >= 0 && norni_makes_blocked(l->form[m]), other = made && out[v->id];
    for (int r = l->first_reader[v->id]; r >= 0 && !other; r = l->next_reader[r]) {
        int c = l->readers.v[3 * r];
        if (c == m)
            continue;
        const norni_cluster *k = l->v[c].c;
        int node = l->readers.v[3 * r + 1];
        other = reads_blocked(&l->v[c], node < 0 ? k->anchor : k->nodes[node], l->readers.v[3 * r + 2],
                              l->form[c]) != made;
    }
    if (!other || (v->type.dims[1] % norni_block_of(v->type.dtype) == 0 &&
                   norni_elems(v->type.rank - 2, v->type.dims + 2) == 1))
        return 0;
    return launch_ns + 2 * (double)norni_blocked_bytes(&v->type) * copy_ns_per_byte;
}

/* Time of cluster i in its form and of the copies of what it reads and makes. */
static double around(const layout *l, int i, const bool *out) {
    const norni_cluster *k = l->v[i].c;
    double t = l->v[i].time[l->form[i]];
    for (int j = -1; j < k->n_nodes; j++) {
        const norn_node *n = j < 0 ? k->anchor : k->nodes[j];
        for (int x = 0; n && x < n->n_in; x++)
            t += n->in[x] && !inner(k, n->in[x]) ? copies(l, n->in[x], out) : 0;
        for (int x = 0; n && x < n->n_out; x++)
            t += n->out[x] ? copies(l, n->out[x], out) : 0;
    }
    return t;
}

static double total(const layout *l, const bool *out) {
    double t = 0;
    for (int i = 0; i < l->n; i++)
        t += l->v[i].time[l->form[i]];
    for (size_t i = 0; i < l->p->graph->values.n; i++)
        t += copies(l, l->p->graph->values.v[i], out);
    return t;
}

static norn_status prepare(layout *l, const norni_clusters *clusters) {
    norn_graph *g = l->p->graph;
    norni_arena *a = l->p->arena;
    l->v = norni_arena_array(a, (size_t)l->n, sizeof *l->v);
    l->maker = norni_arena_array(a, g->values.n, sizeof *l->maker);
    l->first_reader = norni_arena_array(a, g->values.n, sizeof *l->first_reader);
    if (!l->v || !l->maker || !l->first_reader)
        return norni_nomem();
    for (size_t i = 0; i < g->values.n; i++)
        l->maker[i] = l->first_reader[i] = -1;
    for (int i = 0; i < l->n; i++) {
        choice *c = &l->v[i];
        const norni_cluster *k = c->c = &clusters->v[i];
        c->can[NORNI_PLAIN] = true;
        if (k->anchor) {
            for (int f = 0; f < NORNI_FORMS; f++) {
                c->impl[f] = norni_plan_impl(l->p, k->anchor, (norni_form)f, NULL);
                c->can[f] = c->impl[f] && (!norni_makes_blocked((norni_form)f) || !k->n_nodes ||
                                           pointwise_fits(k, l->uses));
            }
        } else
            c->can[NORNI_BLOCKED] = pointwise_fits(k, l->uses);
        for (int f = 1; f < NORNI_FORMS; f++)
            c->can[f] = c->can[f] && consistent(c, (norni_form)f);
        bool any = false;
        for (int f = 0; f < NORNI_FORMS; f++)
            any |= c->can[f];
        if (!any)
            c->can[NORNI_PLAIN] = true; /* the error is told when it is planned */
        estimate(l->p, c);
        for (int j = -1; j < k->n_nodes; j++) {
            const norn_node *n = j < 0 ? k->anchor : k->nodes[j];
            for (int x = 0; n && x < n->n_out; x++)
                if (n->out[x])
                    l->maker[n->out[x]->id] = i;
            for (int x = 0; n && x < n->n_in; x++)
                if (n->in[x] && (!NORNI_PUSH(&l->readers, i) || !NORNI_PUSH(&l->readers, j) ||
                                 !NORNI_PUSH(&l->readers, x)))
                    return norni_nomem();
        }
    }
    int n = (int)l->readers.n / 3;
    l->next_reader = norni_arena_array(a, (size_t)n, sizeof *l->next_reader);
    if (!l->next_reader)
        return norni_nomem();
    for (int r = 0; r < n; r++) {
        const norni_cluster *k = l->v[l->readers.v[3 * r]].c;
        int node = l->readers.v[3 * r + 1];
        const norn_value *v = (node < 0 ? k->anchor : k->nodes[node])->in[l->readers.v[3 * r + 2]];
        l->next_reader[r] = l->first_reader[v->id];
        l->first_reader[v->id] = r;
    }
    return NORN_OK;
}

norn_status norni_layout_choose(norn_plan *p, const norni_clusters *clusters, const int *uses,
                                norni_form *form) {
    enum { ROUNDS = 8 };
    layout l = {.p = p, .n = clusters->n, .form = form, .uses = uses};
    bool *out = norni_arena_array(p->arena, p->graph->values.n, sizeof *out);
    memset(form, 0, (size_t)l.n * sizeof *form);
    if (!norni_device_is_cpu(&p->device) || p->device.type == NORN_DEVICE_HOST)
        return NORN_OK;
    norn_status s = out ? prepare(&l, clusters) : norni_nomem();
    bool any = false;
    for (size_t i = 0; i < p->graph->values.n && s == NORN_OK; i++)
        out[i] = is_output(p->graph, p->graph->values.v[i]);
    for (int i = 0; i < l.n && s == NORN_OK; i++) {
        const choice *c = &l.v[i];
        form[i] = c->can[NORNI_BLOCKED]        ? NORNI_BLOCKED
                  : c->can[NORNI_TO_BLOCKED]   ? NORNI_TO_BLOCKED
                  : c->can[NORNI_FROM_BLOCKED] ? NORNI_FROM_BLOCKED
                                               : NORNI_PLAIN;
        any |= c->c->anchor && form[i] != NORNI_PLAIN;
    }
    for (int round = 0; round < ROUNDS && s == NORN_OK && any; round++) {
        bool changed = false;
        for (int j = 0; j < l.n; j++) {
            int i = round % 2 ? l.n - 1 - j : j;
            norni_form best = form[i];
            double least = around(&l, i, out);
            for (int f = 0; f < NORNI_FORMS; f++) {
                form[i] = (norni_form)f;
                double t = l.v[i].can[f] ? around(&l, i, out) : INFINITY;
                if (t < least) {
                    least = t;
                    best = (norni_form)f;
                    changed = true;
                }
            }
            form[i] = best;
        }
        if (!changed)
            break;
    }
    if (s == NORN_OK) {
        double t = any ? total(&l, out) : INFINITY;
        norni_form *blocked = norni_arena_array(p->arena, (size_t)l.n, sizeof *blocked);
        if (blocked) {
            memcpy(blocked, form, (size_t)l.n * sizeof *form);
            for (int i = 0; i < l.n; i++)
                form[i] = l.v[i].can[NORNI_PLAIN] ? NORNI_PLAIN : blocked[i];
            if (any && total(&l, out) > t)
                memcpy(form, blocked, (size_t)l.n * sizeof *form);
        } else
            s = norni_nomem();
    }
    norni_vec_free(&l.readers);
    return s;
}
