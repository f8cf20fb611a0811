/* SPDX-License-Identifier: Apache-2.0 */
/* From clusters to steps: an implementation is chosen for each, and writes its steps. */
#include "graph/series.h"
#include <stdio.h>
#include <string.h>

void norn_plan_free(norn_plan *p) {
    if (!p)
        return;
    norni_vec_free(&p->builder.bufs);
    norni_vec_free(&p->builder.steps);
    norn_graph_free(p->graph);
    norni_arena_free(p->arena);
    norni_free(p);
}

/* ---- Choice. */

/* The wish for a node's operator among "Conv=im2col,clblast": a name for all operators stands alone. NULL:
 * none. */
static const char *wish(const char *list, const char *op, char buf[64]) {
    const char *found = NULL;
    while (list && *list) {
        size_t n = strcspn(list, ",");
        const char *eq = memchr(list, '=', n);
        bool mine = eq && strlen(op) == (size_t)(eq - list) && !memcmp(list, op, strlen(op));
        const char *name = eq ? eq + 1 : list;
        size_t len = n - (size_t)(name - list);
        if ((mine || !eq) && len < 64) {
            memcpy(buf, name, len);
            buf[len] = 0;
            found = buf;
            if (mine)
                return found;
        }
        list += n + (list[n] == ',');
    }
    return found;
}

static bool matches(const norni_impl *i, const char *want) {
    return !strcmp(i->name, want) || (i->blas && !strcmp(want, "clblast"));
}

/* True when some implementation of the operator answers to the name: only then does a wish for all operators
 * bind it. */
static bool knows(const norn_op *op, const char *want) {
    for (const norni_impl *i = op->impls; i && i->name; i++)
        if (matches(i, want))
            return true;
    return false;
}

const norni_impl *norni_plan_impl(const norn_plan *p, const norn_node *node, norni_form form,
                                  norni_str *reasons) {
    char buf[64];
    const char *want = wish(p->options.implementations, node->op->name, buf);
    bool for_all = want && !strstr(p->options.implementations, "=");
    norni_fit f = {.node = node, .device = &p->device, .numerics = p->options.numerics};
    if (want && for_all && !knows(node->op, want))
        want = NULL;
    f.wanted = want != NULL;
    for (const norni_impl *i = node->op->impls; i && i->name; i++) {
        if (i->form != form)
            continue;
        const char *why = want && !matches(i, want) ? "not the one wanted" : i->fits ? i->fits(&f) : NULL;
        if (!why)
            return i;
        if (reasons)
            norni_str_addf(reasons, "%s%s: %s", reasons->n ? "; " : "", i->name, why);
    }
    return NULL;
}

static norn_status choose(const norn_plan *p, const norn_node *node, norni_form form,
                          const norni_impl **out) {
    char buf[64];
    *out = norni_plan_impl(p, node, form, NULL);
    if (*out)
        return NORN_OK;
    const char *want = wish(p->options.implementations, node->op->name, buf);
    norni_str reasons = {0};
    for (int k = 0; k < NORNI_FORMS; k++)
        norni_plan_impl(p, node, (norni_form)k, &reasons);
    norn_status s = norni_fail(want ? NORN_ARG : NORN_UNSUPPORTED, "no implementation%s%s%s (%s)",
                               want ? " '" : "", want ? want : "", want ? "' that fits" : " fits this device",
                               reasons.s ? reasons.s : "there is none");
    norni_str_free(&reasons);
    return s;
}

norn_status norni_plan_choose(const norn_device *d, const norn_plan_options *o, const norn_node *node,
                              const norni_impl **out, norni_str *reasons) {
    norn_plan *p = norni_alloc(sizeof *p); /* as much of one as the choice looks at */
    *out = NULL;
    if (!p)
        return norni_nomem();
    p->device = *d;
    p->options = *o;
    norn_status s = choose(p, node, NORNI_PLAIN, out);
    for (int k = 0; k < 3 && reasons; k++)
        norni_plan_impl(p, node, (norni_form)k, reasons);
    norni_free(p);
    return s;
}

/* Every wish names an implementation that there is: a wrong word would else be a wish without effect. */
static norn_status check_wishes(const char *list) {
    for (; list && *list; list += strcspn(list, ","), list += *list == ',') {
        int n = (int)strcspn(list, ",");
        const char *eq = memchr(list, '=', (size_t)n);
        char name[64], op[64] = "";
        if (snprintf(name, sizeof name, "%.*s", eq ? n - (int)(eq + 1 - list) : n, eq ? eq + 1 : list) >=
                64 ||
            (eq && snprintf(op, sizeof op, "%.*s", (int)(eq - list), list) >= 64))
            return norni_fail(NORN_ARG, "implementations: '%.*s' is too long", n, list);
        bool there = false, known = false;
        norni_str names = {0};
        for (size_t i = 0; i < norni_op_count(); i++) {
            const norn_op *o = norni_op_at(i);
            if (eq && strcmp(o->name, op) != 0)
                continue;
            there = true;
            known |= knows(o, name);
            for (const norni_impl *k = o->impls; eq && k && k->name; k++)
                norni_str_addf(&names, "%s%s", names.n ? ", " : "", k->name);
        }
        norn_status s = NORN_OK;
        if (!there)
            s = norni_fail(NORN_ARG, "implementations: '%.*s': there is no operator '%s'", n, list, op);
        else if (!known && eq)
            s = norni_fail(NORN_ARG, "implementations: %s has no '%s' (wanted one of: %s)", op, name,
                           names.s ? names.s : "none, it has only one form");
        else if (!known)
            s = norni_fail(NORN_ARG, "implementations: no operator has a '%s'", name);
        norni_str_free(&names);
        if (s != NORN_OK)
            return s;
    }
    return NORN_OK;
}

static const char *line_of(norn_plan *p, const norn_node *node) {
    norni_str s = {0};
    norni_node_print(&s, node);
    const char *line = norni_arena_strdup(p->arena, s.s ? s.s : "");
    norni_str_free(&s);
    return line;
}

static norn_status at_node(norn_status s, norn_plan *p, const norn_node *node) {
    if (s == NORN_OK)
        return s;
    return node->name ? norni_prefix(s, "node '%s' %s", node->name, line_of(p, node))
                      : norni_prefix(s, "%s", line_of(p, node));
}

static bool needs_fp64(const norn_node *n) {
    for (int k = 0; k < n->n_in + n->n_out; k++) {
        const norn_value *v = k < n->n_in ? n->in[k] : n->out[k - n->n_in];
        if (v && v->type.dtype == NORN_F64)
            return true;
    }
    return false;
}

/* The node by its host reference: what no device kernel can do. */
static norn_status emit_host(norni_emit *e) {
    norni_plan_builder *b = e->plan;
    norni_step *s = norni_arena_alloc(e->arena, sizeof *s);
    int room = e->node->n_in + e->node->n_out; /* a Concat may have any number */
    if (!s || !(s->args = norni_arena_array(e->arena, (size_t)room, sizeof *s->args)) ||
        !NORNI_PUSH(&b->steps, s))
        return norni_nomem();
    s->kind = NORNI_STEP_HOST;
    s->node = e->node;
    s->kernel = "host";
    s->options = "";
    for (int i = 0; i < e->node->n_in; i++)
        if (e->node->in[i])
            norni_step_buffer(e, s, norni_emit_in(e, i), NORNI_READ);
    for (int k = 0; k < e->node->n_out; k++)
        if (e->node->out[k])
            norni_step_buffer(e, s, norni_emit_out(e, k), NORNI_WRITE);
    return e->status;
}

/* ---- Steps. */

/* Fills in what every new step of a node shares. */
static void finish_steps(norn_plan *p, size_t from, const norn_node *node, const norni_cluster *c,
                         norni_form form) {
    norni_plan_builder *b = &p->builder;
    const char *line = line_of(p, node);
    norni_cost cost;
    norni_node_cost(node, &cost);
    size_t last = b->steps.n;
    for (size_t i = from; i < b->steps.n; i++) {
        norni_step *s = b->steps.v[i];
        s->what = line;
        s->blocked |= form != NORNI_PLAIN;
        if (!s->load)
            last = i;
    }
    if (last < b->steps.n && c->anchor) { /* the last step stands for the work of all */
        b->steps.v[last]->flops += cost.flops;
        b->steps.v[last]->bytes += cost.bytes;
    } else if (last < b->steps.n)
        for (int k = 0; k < b->steps.v[last]->n_args; k++)
            if (b->steps.v[last]->args[k].kind == NORNI_ARG_BUFFER)
                b->steps.v[last]->bytes += (double)b->bufs.v[b->steps.v[last]->args[k].ref].bytes;
}

static norn_status plan_anchor(norn_plan *p, norni_emit *e, const norni_cluster *c, const int *uses) {
    const norni_impl *impl;
    norn_node *node = c->anchor;
    e->node = node;
    if (p->device.type == NORN_DEVICE_HOST || node->op->on_host || (!p->device.fp64 && needs_fp64(node)))
        return emit_host(e);
    NORNI_TRY(choose(p, node, e->form, &impl));
    if (impl->alias) {
        norni_ref in = norni_emit_in(e, impl->alias - 1), out = norni_emit_out(e, 0);
        if (e->status == NORN_OK)
            p->builder.bufs.v[out].alias = in;
        return e->status;
    }
    if (c->n_nodes && impl->epilogue)
        NORNI_TRY(norni_epilogue_new(e, c, uses, &e->epilogue));
    size_t from = p->builder.steps.n;
    norn_status s = impl->emit(e);
    for (size_t i = from; i < p->builder.steps.n; i++)
        p->builder.steps.v[i]->impl = impl->name;
    return s == NORN_OK ? e->status : s;
}

/* Sets the form of a value that a node reads, which is made if it is not there yet. */
static norn_status set_read(norni_emit *e, const norn_value *v, bool blocked) {
    NORNI_TRY(norni_builder_convert(e, v, blocked));
    e->plan->blocked[v->id] = blocked;
    return NORN_OK;
}

/* Sets the forms of all values that a cluster reads and makes. */
static norn_status set_forms(norn_plan *p, norni_emit *e, const norni_cluster *c) {
    bool made = norni_makes_blocked(e->form);
    if (c->anchor) {
        const norni_impl *impl =
            norni_reads_blocked(e->form) ? norni_plan_impl(p, c->anchor, e->form, NULL) : NULL;
        int n = !impl ? 0 : impl->n_blocked ? impl->n_blocked : c->anchor->n_in;
        for (int k = 0; k < c->anchor->n_in; k++)
            if (c->anchor->in[k])
                NORNI_TRY(set_read(e, c->anchor->in[k], k < n));
        for (int k = 0; k < c->anchor->n_out; k++)
            if (c->anchor->out[k])
                p->builder.blocked[c->anchor->out[k]->id] = made && !k;
    }
    for (int i = 0; i < c->n_nodes; i++)
        p->builder.blocked[c->nodes[i]->out[0]->id] = made;
    for (int i = 0; i < c->n_nodes; i++)
        for (int k = 0; k < c->nodes[i]->n_in; k++) {
            const norn_node *n = c->nodes[i];
            const norn_value *v = n->in[k];
            bool inner = v && v->producer && v->producer == c->anchor;
            for (int j = 0; v && j < i; j++)
                inner |= v->producer == c->nodes[j];
            if (v && !inner)
                NORNI_TRY(set_read(
                    e, v, made && norni_blocked_operand(&n->out[0]->type, n, k) == NORNI_OPERAND_BLOCKED));
        }
    return NORN_OK;
}

/* Nothing that a cluster reads ever changes: it is computed once, at load. */
static bool steady_cluster(const norn_plan *p, const norni_cluster *c) {
    bool steady = !c->anchor || p->builder.steady[c->anchor->out[0] ? c->anchor->out[0]->id : 0];
    for (int k = 0; c->anchor && k < c->anchor->n_out; k++)
        steady &= !c->anchor->out[k] || p->builder.steady[c->anchor->out[k]->id];
    for (int i = 0; i < c->n_nodes; i++)
        steady &= p->builder.steady[c->nodes[i]->out[0]->id];
    return steady;
}

static bool *steady_values(const norn_graph *g, norni_arena *arena) {
    bool *steady = norni_arena_array(arena, g->values.n, sizeof *steady);
    if (!steady)
        return NULL;
    for (size_t i = 0; i < g->values.n; i++)
        steady[i] = norni_value_steady(g->values.v[i]);
    for (size_t i = 0; i < g->nodes.n; i++) {
        const norn_node *n = g->nodes.v[i];
        bool all = !n->op->random && n->n_in > 0;
        for (int k = 0; k < n->n_in; k++)
            all &= !n->in[k] || steady[n->in[k]->id];
        for (int k = 0; k < n->n_out; k++)
            if (n->out[k])
                steady[n->out[k]->id] = all;
    }
    return steady;
}

static norn_status plan_cluster_in(norn_plan *p, const norni_cluster *c, const int *uses, norni_form form) {
    norni_emit e = {.g = p->graph,
                    .device = &p->device,
                    .numerics = p->options.numerics,
                    .seed = p->options.seed,
                    .arena = p->arena,
                    .form = form,
                    .plan = &p->builder};
    bool merged = false;
    e.node = c->anchor ? c->anchor : c->nodes[c->n_nodes - 1];
    size_t from = p->builder.steps.n;
    NORNI_TRY(at_node(set_forms(p, &e, c), p, e.node));
    finish_steps(p, from, e.node, &(norni_cluster){0}, form);
    if (c->anchor) {
        from = p->builder.steps.n;
        NORNI_TRY(at_node(plan_anchor(p, &e, c, uses), p, c->anchor));
        finish_steps(p, from, c->anchor, c, form);
        merged = e.epilogue != NULL;
        e.epilogue = NULL;
    }
    if (!c->n_nodes || merged)
        return NORN_OK;
    const norn_node *root = c->nodes[c->n_nodes - 1];
    from = p->builder.steps.n;
    bool host = p->device.type == NORN_DEVICE_HOST;
    for (int i = 0; i < c->n_nodes; i++)
        host |= !p->device.fp64 && needs_fp64(c->nodes[i]);
    if (!host) {
        e.node = root;
        const norni_cluster own = {NULL, c->nodes, c->n_nodes};
        bool update;
        NORNI_TRY(at_node(norni_emit_update(&e, &own, uses, &update), p, root));
        if (!update)
            NORNI_TRY(at_node(norni_emit_pointwise(&e, &own, uses), p, root));
        finish_steps(p, from, root, &own, form);
        return NORN_OK;
    }
    for (int i = 0; i < c->n_nodes; i++) {
        e.node = c->nodes[i];
        from = p->builder.steps.n;
        NORNI_TRY(emit_host(&e));
        finish_steps(p, from, e.node, &(norni_cluster){0}, form);
    }
    return NORN_OK;
}

static norn_status plan_cluster(norn_plan *p, const norni_cluster *c, const int *uses, norni_form form) {
    p->builder.load_node = p->builder.loading = steady_cluster(p, c);
    norn_status s = plan_cluster_in(p, c, uses, form);
    p->builder.load_node = p->builder.loading = false;
    return s;
}

/* The value in whose buffer a planned buffer lies; NULL for scratch. */
static const norn_value *root_value(const norni_plan_builder *b, norni_ref r) {
    while (b->bufs.v[r].alias >= 0)
        r = b->bufs.v[r].alias;
    return b->bufs.v[r].value;
}

/* Where the outputs are found after a run: in their values' buffers, but for what a state held before the run,
 * which is saved before the state changes. */
static norn_status plan_outputs(norn_plan *p) {
    norn_graph *g = p->graph;
    norni_plan_builder *b = &p->builder;
    norni_emit e = {.g = g, .device = &p->device, .arena = p->arena, .plan = b};
    p->outputs = norni_arena_array(p->arena, g->outputs.n, sizeof *p->outputs);
    if (!p->outputs)
        return norni_nomem();
    for (size_t i = 0; i < g->outputs.n && e.status == NORN_OK; i++) {
        NORNI_TRY(set_read(&e, g->outputs.v[i].value, false));
        norni_ref from = norni_builder_value(b, g->outputs.v[i].value);
        const norn_value *v = from < 0 ? NULL : root_value(b, from);
        p->outputs[i] = from;
        if (from < 0)
            return norni_nomem();
        if (v && v->kind == NORNI_STATE && !norni_value_steady(v)) {
            p->outputs[i] = norni_emit_scratch(&e, b->bufs.v[from].bytes);
            norni_step *s = norni_emit_copy(&e, from, p->outputs[i]);
            if (s)
                s->what = g->outputs.v[i].name;
        }
    }
    return e.status;
}

/* What a state holds after the run, when that is not computed in its place: copied at the end. A value that
 * another state's buffer holds is saved first, so that states may be exchanged. */
static norn_status plan_state_copies(norn_plan *p) {
    norn_graph *g = p->graph;
    norni_emit e = {.g = g, .device = &p->device, .arena = p->arena, .plan = &p->builder};
    norni_ref *from = norni_arena_array(p->arena, g->states.n, sizeof *from);
    if (!from)
        return norni_nomem();
    for (size_t i = 0; i < g->states.n; i++) {
        const norni_state *s = &g->states.v[i];
        from[i] = -1;
        if (!s->next || s->next == s->value)
            continue;
        NORNI_TRY(set_read(&e, s->next, false));
        from[i] = norni_builder_value(&p->builder, s->next);
        const norn_value *held = from[i] < 0 ? NULL : root_value(&p->builder, from[i]);
        if (held == s->value)
            from[i] = -1; /* the same elements in another view */
        else if (held && held->kind == NORNI_STATE) {
            norni_ref copy = norni_emit_scratch(&e, norni_type_bytes(&s->next->type));
            norni_emit_copy(&e, from[i], copy);
            from[i] = copy;
        }
    }
    for (size_t i = 0; i < g->states.n && e.status == NORN_OK; i++)
        if (from[i] >= 0) {
            norni_step *s =
                norni_emit_copy(&e, from[i], norni_builder_value(&p->builder, g->states.v[i].value));
            if (s)
                s->what = "state";
        }
    return e.status;
}

static norn_status plan_steps(norn_plan *p) {
    norn_graph *g = p->graph;
    norni_clusters clusters;
    for (size_t i = 0; i < g->nodes.n; i++) {
        const norn_node *n = g->nodes.v[i];
        if (n->op == &norni_op_unknown) {
            char *list = NULL;
            NORNI_TRY(norn_graph_unsupported(g, &list));
            for (char *c = list; c && *c; c++)
                if (*c == '\n')
                    *c = c[1] ? ',' : 0;
            norn_status s =
                norni_fail(NORN_UNSUPPORTED, "operators that norn does not have: %s", list ? list : "");
            norn_text_free(list);
            return s;
        }
        if (n->op->control)
            return at_node(norni_fail(NORN_UNSUPPORTED, "what it does is only known in a run"), p, n);
        for (int k = 0; k < n->n_out; k++)
            if (n->out[k] && !norni_type_static(&n->out[k]->type))
                return at_node(
                    norni_fail(NORN_SHAPE, "the shape of output %d is not known (wanted all sizes bound)", k),
                    p, n);
    }
    for (size_t i = 0; i < g->inputs.n; i++)
        if (!norni_type_static(&g->inputs.v[i]->type))
            return norni_fail(NORN_SHAPE, "input '%s' has sizes that are not bound", g->inputs.v[i]->name);
    int *uses = norni_graph_uses(g);
    if (!uses)
        return norni_nomem();
    norni_plan_builder *b = &p->builder;
    b->arena = p->arena;
    b->n_values = (int)g->values.n;
    b->of_value = norni_arena_array(p->arena, g->values.n, sizeof *b->of_value);
    b->of_blocked = norni_arena_array(p->arena, g->values.n, sizeof *b->of_blocked);
    b->blocked = norni_arena_array(p->arena, g->values.n, sizeof *b->blocked);
    b->steady = steady_values(g, p->arena);
    norni_form *form = NULL;
    norn_status s = b->of_value && b->of_blocked && b->blocked && b->steady ? NORN_OK : norni_nomem();
    for (size_t i = 0; i < g->values.n && s == NORN_OK; i++)
        b->of_value[i] = b->of_blocked[i] = -1;
    if (s == NORN_OK)
        s = norni_fuse(g, p->arena, uses, !p->options.no_fusion, &clusters);
    if (s == NORN_OK && !(form = norni_arena_array(p->arena, (size_t)clusters.n, sizeof *form)))
        s = norni_nomem();
    if (s == NORN_OK)
        s = norni_layout_choose(p, &clusters, uses, form);
    for (int i = 0; s == NORN_OK && i < clusters.n; i++)
        s = plan_cluster(p, &clusters.v[i], uses, form[i]);
    if (s == NORN_OK)
        s = plan_outputs(p);
    if (s == NORN_OK)
        s = plan_state_copies(p);
    norni_free(uses);
    for (size_t i = 0; i < g->inputs.n && s == NORN_OK; i++) {
        b->blocked[g->inputs.v[i]->id] = false; /* inputs are fed in plain form */
        if (norni_builder_value(b, g->inputs.v[i]) < 0)
            s = norni_nomem();
    }
    return s;
}

norn_status norni_plan_make(norn_graph *g, const norn_device *d, const norn_plan_options *options,
                            norn_plan **out) {
    norn_plan *p = norni_alloc(sizeof *p);
    *out = NULL;
    if (!p) {
        norn_graph_free(g);
        return norni_nomem();
    }
    p->graph = g;
    p->device = *d;
    if (options)
        p->options = *options;
    p->arena = norni_arena_new(0);
    norn_status s = p->arena ? NORN_OK : norni_nomem();
    if (s == NORN_OK && p->options.implementations) {
        p->options.implementations = norni_arena_strdup(p->arena, p->options.implementations);
        s = p->options.implementations ? check_wishes(p->options.implementations) : norni_nomem();
    }
    if (s == NORN_OK)
        s = norni_graph_decompose(&p->graph, d->type == NORN_DEVICE_HOST);
    if (s == NORN_OK && d->type != NORN_DEVICE_HOST && p->options.numerics != NORN_STRICT)
        s = norni_graph_fold_norms(&p->graph);
    if (s == NORN_OK && norni_device_is_cpu(d) && p->options.numerics != NORN_STRICT)
        s = norni_graph_fuse_attention(&p->graph);
    if (s == NORN_OK && norni_device_is_cpu(d) && d->type != NORN_DEVICE_HOST && !p->options.no_fusion)
        s = norni_graph_fuse_convs(&p->graph);
    if (s == NORN_OK && norni_device_is_cpu(d) && d->type != NORN_DEVICE_HOST)
        s = norni_graph_slice_batch(&p->graph, d);
    if (s == NORN_OK)
        s = plan_steps(p);
    if (s == NORN_OK)
        s = norni_plan_memory(p);
    if (s == NORN_OK)
        s = norni_series_find(p);
    if (s != NORN_OK) {
        norn_plan_free(p);
        return s;
    }
    *out = p;
    return NORN_OK;
}

norn_status norn_plan_new(const norn_graph *g, const norn_device *d, const norn_plan_options *options,
                          norn_plan **out) {
    norn_graph *copy;
    *out = NULL;
    NORNI_TRY(norn_graph_simplify(g, &copy));
    return norni_plan_make(copy, d, options, out);
}
