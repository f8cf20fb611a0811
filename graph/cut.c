/* SPDX-License-Identifier: Apache-2.0 */
#include "graph/cut.h"
#include "graph/control.h"
#include "ops/control.h"
#include "ops/op.h"
#include <stdio.h>
#include <string.h>

enum { MAX_CUTS = 64, MAX_EXPANDED = 4096, MAX_NEED = 256 };

/* A value whose elements are known now: a constant of the rest where it decides shapes, else an input. */
typedef struct {
    const norn_value *value;
    norn_tensor *tensor;
    const char *name; /* NULL: a constant */
} known_value;

typedef struct {
    NORNI_VEC(known_value) known;
} cut_state;

void norni_cuts_free(norni_cuts *c) {
    for (size_t i = 0; i < c->feeds.n; i++) {
        norni_free((char *)c->feeds.v[i].name);
        norn_tensor_free(c->feeds.v[i].tensor);
    }
    norni_vec_free(&c->feeds);
}

/* Takes the tensor over, also on failure. */
static norn_status add_known(cut_state *s, const norn_value *v, norn_tensor *t) {
    if (NORNI_PUSH(&s->known, ((known_value){v, t, NULL})))
        return NORN_OK;
    norn_tensor_free(t);
    return norni_nomem();
}

/* Feeds a known value to the rest. */
static norn_status make_input(norni_cuts *c, known_value *k) {
    char name[32];
    snprintf(name, sizeof name, "norn.cut%zu", c->feeds.n);
    norni_cut_feed f = {norni_strdup(name), norni_tensor_ref(k->tensor)};
    if (f.name && f.tensor && NORNI_PUSH(&c->feeds, f)) {
        k->name = f.name;
        return NORN_OK;
    }
    norni_free((char *)f.name);
    norn_tensor_free(f.tensor);
    return norni_nomem();
}

/* ---- The rest: known values in the places of what computed them. */
static norn_value *stand_in(norni_rebuild *r, const known_value *k) {
    norni_type t = {.dtype = k->tensor->dtype, .rank = k->tensor->rank};
    memcpy(t.dims, k->tensor->dims, sizeof t.dims);
    return k->name ? norni_value_input(r->to, k->name, &t)
                   : norni_value_const(r->to, k->value->name, norni_tensor_ref(k->tensor));
}

static norn_status put_known(norni_rebuild *r, const norn_node *node, norn_value **in, bool *done) {
    const cut_state *s = r->ctx;
    (void)in;
    *done = true;
    for (int o = 0; o < node->n_out; o++) {
        bool found = !node->out[o];
        for (size_t i = 0; i < s->known.n && !found; i++)
            found = s->known.v[i].value == node->out[o];
        *done &= found;
    }
    for (size_t i = 0; i < s->known.n && *done; i++)
        for (int o = 0; o < node->n_out; o++)
            if (s->known.v[i].value == node->out[o] && !r->map[node->out[o]->id])
                r->map[node->out[o]->id] = stand_in(r, &s->known.v[i]);
    return norn_graph_status(r->to);
}

static norn_value *known_leaf(norni_rebuild *r, const norn_value *old) {
    const cut_state *s = r->ctx;
    for (size_t i = 0; i < s->known.n; i++)
        if (s->known.v[i].value == old && !s->known.v[i].name)
            return stand_in(r, &s->known.v[i]);
    return NULL;
}

/* ---- The part that is run first. */

/* What has to be known before the shapes of node n can be: its shape inputs, or where those are known every input. */
static int blocking(const norn_node *n, norn_value **out, bool *all) {
    int count = 0;
    for (int host = 1; host >= 0 && !count; host--)
        for (int i = 0; i < n->n_in && count < MAX_NEED; i++) {
            const norni_param *p = norni_op_input(n->op, i);
            *all = !host;
            if (n->in[i] && n->in[i]->kind != NORNI_CONST && (!host || (p && p->flags & NORNI_HOST)))
                out[count++] = n->in[i];
        }
    return count;
}

static bool shape_inputs_known(const norn_node *n) {
    for (int i = 0; i < n->n_in; i++) {
        const norni_param *p = norni_op_input(n->op, i);
        if (n->in[i] && n->in[i]->kind != NORNI_CONST && p && p->flags & NORNI_HOST)
            return false;
    }
    return true;
}

/* Values that the nodes before `need` make, and others read too: they are kept, so that nothing is computed twice. */
static norn_status find_frontier(const norn_graph *g, norn_value *const *need, int n, norni_output **out,
                                 size_t *count) {
    bool *part = norni_alloc_array(g->nodes.n + 1, sizeof *part),
         *read = norni_alloc_array(g->values.n + 1, sizeof *read);
    NORNI_VEC(norni_output) list = {0};
    norn_status s = part && read ? NORN_OK : norni_nomem();
    for (int i = 0; i < n && s == NORN_OK; i++)
        if (need[i]->producer)
            part[need[i]->producer->id] = true;
    for (size_t i = s == NORN_OK ? g->nodes.n : 0; i-- > 0;)
        for (int k = 0; k < g->nodes.v[i]->n_in; k++) {
            const norn_value *v = g->nodes.v[i]->in[k];
            if (!v)
                continue;
            if (part[i] && v->producer)
                part[v->producer->id] = true;
            read[v->id] |= !part[i];
        }
    for (size_t i = 0; s == NORN_OK && i < g->outputs.n; i++)
        read[g->outputs.v[i].value->id] = true;
    for (size_t i = 0; s == NORN_OK && i < g->states.n; i++)
        if (g->states.v[i].next)
            read[g->states.v[i].next->id] = true;
    for (size_t i = 0; s == NORN_OK && i < g->nodes.n; i++)
        for (int o = 0; part[i] && o < g->nodes.v[i]->n_out && s == NORN_OK; o++) {
            norn_value *v = g->nodes.v[i]->out[o];
            bool needed = false;
            for (int k = 0; k < n; k++)
                needed |= need[k] == v;
            if (v && read[v->id] && !needed && !NORNI_PUSH(&list, ((norni_output){NULL, v, {0}})))
                s = norni_nomem();
        }
    norni_free(part);
    norni_free(read);
    *out = list.v;
    *count = list.n;
    return s;
}

/* The same nodes with other outputs, and no state updates. */
static norn_status make_part(norn_graph *g, norni_output *outputs, size_t n, norni_fold_log *log,
                             norn_graph **part) {
    size_t old_n = g->outputs.n;
    norni_output *old = g->outputs.v;
    norni_state *states = norni_alloc_array(g->states.n + 1, sizeof *states);
    if (!states)
        return norni_nomem();
    for (size_t i = 0; i < g->states.n; i++) {
        states[i] = g->states.v[i];
        g->states.v[i].next = NULL;
    }
    g->outputs.v = outputs;
    g->outputs.n = n;
    norni_rebuild copy = {.from = g, .fold = true, .merge = true, .fold_limit_elems = 1 << 16, .log = log};
    norn_status s = norni_rebuild_run(&copy);
    *part = copy.to;
    g->outputs.v = old;
    g->outputs.n = old_n;
    for (size_t i = 0; i < g->states.n; i++)
        g->states.v[i] = states[i];
    norni_free(states);
    return s;
}

/* What input `name` is fed with. */
static const norn_tensor *feed_of(const norni_cuts *c, const char *name) {
    for (size_t k = 0; k < c->fed->inputs.n; k++)
        if (!strcmp(c->fed->inputs.v[k]->name, name))
            return c->in[k];
    for (size_t k = 0; k < c->feeds.n; k++)
        if (!strcmp(c->feeds.v[k].name, name))
            return c->feeds.v[k].tensor;
    return NULL;
}

static norn_status log_host_nodes(norni_fold_log *log, const norn_executable *x) {
    for (size_t i = 0; i < norn_executable_host_count(x); i++) {
        char *line = norni_strdup(norn_executable_host_at(x, i));
        if (!line || !NORNI_PUSH(&log->lines, line)) {
            norni_free(line);
            return norni_nomem();
        }
    }
    return NORN_OK;
}

static norn_status run_part(norni_cuts *c, norn_graph *part, norn_fetch *fetches, size_t n) {
    norn_executable *x = NULL;
    norn_feed *feeds = norni_alloc_array(part->inputs.n + 1, sizeof *feeds);
    norn_status s = feeds ? norn_executable_new(c->session, part, c->options, c->state, &x) : norni_nomem();
    for (size_t j = 0; j < part->inputs.n && s == NORN_OK; j++)
        feeds[j] = (norn_feed){part->inputs.v[j]->name, feed_of(c, part->inputs.v[j]->name)};
    if (s == NORN_OK) {
        uint64_t runs = c->state->runs; /* it belongs to this run, whose random numbers it draws */
        s = norn_executable_run(x, part->inputs.n, feeds, n, fetches);
        c->state->runs = runs;
    }
    if (s == NORN_OK)
        s = log_host_nodes(c->log, x);
    norn_executable_free(x);
    norni_free(feeds);
    return s;
}

/* Runs what computes need[0 .. n) and adds it to the known values, then what else it computed that the rest reads. */
static norn_status compute(norni_cuts *c, norn_graph *g, norn_value *const *need, int n, cut_state *known) {
    norni_output *frontier = NULL;
    size_t n_frontier = 0, n_out = 0;
    norn_graph *part = NULL;
    norn_status s = find_frontier(g, need, n, &frontier, &n_frontier);
    norni_output *outputs = norni_alloc_array((size_t)n + n_frontier + 1, sizeof *outputs);
    norn_fetch *fetches = norni_alloc_array((size_t)n + n_frontier + 1, sizeof *fetches);
    char(*names)[32] = norni_alloc_array((size_t)n + n_frontier + 1, sizeof *names);
    if (s == NORN_OK && (!outputs || !fetches || !names))
        s = norni_nomem();
    for (int i = 0; i < n && s == NORN_OK; i++) {
        const norn_tensor *fed = need[i]->kind == NORNI_INPUT ? feed_of(c, need[i]->name) : NULL;
        norn_tensor *copy;
        if (!fed) {
            outputs[n_out++].value = need[i];
            continue;
        }
        s = norn_tensor_copy(fed, NULL, &copy);
        if (s == NORN_OK)
            s = add_known(known, need[i], copy);
    }
    size_t direct = n_out;
    for (size_t i = 0; i < n_frontier && direct && s == NORN_OK; i++)
        outputs[n_out++].value = frontier[i].value;
    for (size_t i = 0; i < n_out; i++) {
        snprintf(names[i], sizeof names[i], "cut%zu", i);
        outputs[i].name = fetches[i].name = names[i];
    }
    if (s == NORN_OK && n_out)
        s = make_part(g, outputs, n_out, c->log, &part);
    if (s == NORN_OK && n_out)
        s = run_part(c, part, fetches, n_out);
    for (size_t i = 0; i < n_out && s == NORN_OK; i++) {
        s = add_known(known, outputs[i].value, fetches[i].tensor);
        fetches[i].tensor = NULL;
        if (s == NORN_OK && i >= direct)
            s = make_input(c, &known->known.v[known->known.n - 1]);
    }
    for (size_t i = 0; fetches && i < n_out; i++)
        norn_tensor_free(fetches[i].tensor);
    norn_graph_free(part);
    norni_free(frontier);
    norni_free(outputs);
    norni_free(fetches);
    norni_free(names);
    return s;
}

/* A node that only its host reference can run, or a loop: its outputs are fed to the rest. */
static norn_status run_on_host(norni_cuts *c, const norn_node *node, cut_state *known) {
    norn_tensor *in[MAX_NEED] = {0}, *out[32] = {0};
    for (int i = 0; i < node->n_in; i++) {
        in[i] = node->in[i] ? node->in[i]->data : NULL;
        for (size_t k = 0; k < known->known.n; k++)
            if (known->known.v[k].value == node->in[i])
                in[i] = known->known.v[k].tensor;
    }
    norni_str line = {0};
    norn_status s = node->op->control ? norni_control_run(c->session, c->options, node, in, c->log, out)
                                      : norni_node_eval(node, in, out);
    for (int o = 0; o < node->n_out && s == NORN_OK; o++)
        if (out[o]) {
            s = add_known(known, node->out[o], out[o]);
            out[o] = NULL;
        }
    for (int o = 0; o < node->n_out; o++)
        norn_tensor_free(out[o]);
    NORNI_TRY(s);
    if (node->op->control) /* has said what ran */
        return NORN_OK;
    norni_node_print(&line, node);
    char *text = norni_str_take(&line);
    if (text && NORNI_PUSH(&c->log->lines, text))
        return NORN_OK;
    norni_free(text);
    return norni_nomem();
}

/* Replaces *g by a graph in which its first node of unknown shape has become known. */
static norn_status cut(norni_cuts *c, const norn_node *node, norn_graph **g) {
    norn_value *need[MAX_NEED];
    bool all = false;
    int n = blocking(node, need, &all);
    cut_state known = {0};
    bool on_host =
        all && (node->op->data_shapes || node->op->control) && node->n_in <= MAX_NEED && node->n_out <= 32;
    norn_status s = n || (on_host && node->op->control)
                        ? NORN_OK
                        : norni_fail(NORN_SHAPE, "the shape of its output cannot be worked out");
    if (s == NORN_OK && n)
        s = compute(c, *g, need, n, &known);
    if (s == NORN_OK && on_host)
        s = run_on_host(c, node, &known);
    for (size_t i = 0; i < known.known.n && s == NORN_OK; i++)
        if (on_host && !known.known.v[i].name && known.known.v[i].value->kind == NORNI_RESULT)
            s = make_input(c, &known.known.v[i]);
        else if (!on_host && !known.known.v[i].name)
            s = norni_fold_log_add(c->log, known.known.v[i].tensor);
    for (size_t i = 0; i < known.known.n && s == NORN_OK && on_host;) /* what is fed already stays an input */
        if (known.known.v[i].value->kind != NORNI_RESULT) {
            norn_tensor_free(known.known.v[i].tensor);
            known.known.v[i] = known.known.v[--known.known.n];
        } else
            i++;
    norni_rebuild r = {.from = *g,
                       .fold = true,
                       .merge = true,
                       .fold_limit_elems = 1 << 16,
                       .rewrite = put_known,
                       .leaf = known_leaf,
                       .ctx = &known,
                       .log = c->log};
    if (s == NORN_OK)
        s = norni_rebuild_run(&r);
    for (size_t i = 0; i < known.known.n; i++)
        norn_tensor_free(known.known.v[i].tensor);
    norni_vec_free(&known.known);
    if (s == NORN_OK) {
        norn_graph_free(*g);
        *g = r.to;
    }
    return s;
}

static bool node_static(const norn_node *n) {
    for (int k = 0; k < n->n_out; k++)
        if (n->out[k] && !norni_type_static(&n->out[k]->type))
            return false;
    return true;
}

/* Puts a node's subgraphs, or what it stands for, in its place. */
static norn_status expand_one(norni_rebuild *r, const norn_node *node, norn_value **in, bool *done) {
    unsigned wanted = 0;
    norn_value *out[32] = {0};
    if (node != r->ctx)
        return NORN_OK;
    for (int k = 0; k < node->n_out; k++)
        wanted |= node->out[k] ? 1u << k : 0;
    norn_node *made = norni_apply(r->to, node->op, node->attrs, node->n_in, in, wanted);
    if (!made)
        return norn_graph_status(r->to);
    NORNI_TRY(node->op->expand(r->to, made, out));
    for (int k = 0; k < node->n_out; k++)
        if (node->out[k])
            r->map[node->out[k]->id] = out[k];
    *done = true;
    return NORN_OK;
}

static norn_status put_expansion(norni_cuts *c, const norn_node *node, norn_graph **g) {
    norni_rebuild r = {.from = *g,
                       .fold = true,
                       .merge = true,
                       .fold_limit_elems = 1 << 16,
                       .rewrite = expand_one,
                       .ctx = (void *)node,
                       .log = c->log};
    NORNI_TRY(norni_rebuild_run(&r));
    /* Again: the node that was replaced stands there unread, and the constants of what came can be folded now. */
    norn_graph *plain;
    norni_rebuild again = {
        .from = r.to, .fold = true, .merge = true, .fold_limit_elems = 1 << 16, .log = c->log};
    norn_status s = norni_rebuild_run(&again);
    plain = again.to;
    norn_graph_free(r.to);
    if (s == NORN_OK) {
        norn_graph_free(*g);
        *g = plain;
    }
    return s;
}

norn_status norni_resolve_shapes(norni_cuts *c, norn_graph **g) {
    bool host = norn_context_device(c->session->contexts[0])->type == NORN_DEVICE_HOST;
    int cuts = 0;
    for (int round = 0;; round++) {
        const norn_node *unknown = NULL;
        for (size_t i = 0; i < (*g)->nodes.n && !unknown; i++)
            if (!node_static((*g)->nodes.v[i]) || (*g)->nodes.v[i]->op->control)
                unknown = (*g)->nodes.v[i];
        if (!unknown)
            return NORN_OK;
        bool in_place = unknown->op->control && norni_control_unrolls(unknown);
        cuts += !in_place;
        if (cuts > MAX_CUTS || round == MAX_EXPANDED)
            return norni_fail(NORN_UNSUPPORTED, "more than %d shapes depend on data", MAX_CUTS);
        norni_str line = {0};
        norni_node_print(&line, unknown);
        norn_status s;
        if (in_place)
            s = norni_prefix(put_expansion(c, unknown, g), "%s", line.s ? line.s : "");
        else if (!unknown->op->control && !unknown->op->impls && unknown->op->expand &&
                 !(host && unknown->op->eval) && shape_inputs_known(unknown)) {
            c->data_dependent = true; /* what its expansion needs is less than all of its data */
            s = norni_prefix(put_expansion(c, unknown, g), "%s", line.s ? line.s : "");
        } else {
            c->data_dependent = true;
            s = norni_prefix(cut(c, unknown, g), "%s", line.s ? line.s : "");
        }
        norni_str_free(&line);
        NORNI_TRY(s);
    }
}
