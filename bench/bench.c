/* SPDX-License-Identifier: Apache-2.0 */
/* Benchmarks of operators and models: first run, check against the host reference, timed runs. */
#include "bench/bench.h"
#include "export/model.h"
#include <stdio.h>
#include <string.h>

enum { MAX_FEEDS = 256 };

/* A graph on a device with its inputs there. */
typedef struct {
    norn_session *session;
    norn_executable *exe;
    norn_plan_options plan;
    size_t n_feeds, n_fetches;
    norn_feed host[MAX_FEEDS], device[MAX_FEEDS]; /* both own their tensors */
    norn_fetch *fetches;
    bool repeatable; /* false: shapes depend on data, so that each run starts from the feeds */
} subject;

static void clear(subject *b) {
    norn_executable_free(b->exe);
    for (size_t i = 0; i < b->n_feeds; i++) {
        norn_tensor_free((norn_tensor *)b->host[i].tensor);
        norn_tensor_free((norn_tensor *)b->device[i].tensor);
    }
    for (size_t i = 0; i < b->n_fetches; i++)
        norn_tensor_free(b->fetches[i].tensor);
    norni_free(b->fetches);
}

static norn_status run_once(void *ctx) {
    subject *b = ctx;
    if (!b->repeatable)
        return norn_executable_run(b->exe, b->n_feeds, b->device, 0, NULL);
    NORNI_TRY(norni_executable_rerun(b->exe));
    return norn_context_finish(b->session->contexts[0]);
}

/* Plan, build, first run; the outputs are kept for the check. */
static norn_status first_run(subject *b, const norn_graph *g, norn_bench_result *out) {
    norn_context *ctx = b->session->contexts[0];
    norn_memory_stats before, after;
    b->fetches = norni_alloc_array(g->outputs.n + 1, sizeof *b->fetches);
    if (!b->fetches)
        return norni_nomem();
    b->n_fetches = g->outputs.n;
    for (size_t i = 0; i < b->n_fetches; i++)
        b->fetches[i].name = g->outputs.v[i].name;
    norn_context_memory(ctx, &before);
    double start = norni_bench_now_ms();
    NORNI_TRY(norn_executable_new(b->session, g, &b->plan, NULL, &b->exe));
    NORNI_TRY(norn_executable_run(b->exe, b->n_feeds, b->host, b->n_fetches, b->fetches));
    out->first_ms = norni_bench_now_ms() - start;
    norn_context_memory(ctx, &after);
    out->memory_bytes = after.live_bytes > before.live_bytes ? after.live_bytes - before.live_bytes : 0;
    norn_status s = norni_executable_rerun(b->exe);
    b->repeatable = s == NORN_OK;
    if (!b->repeatable) {
        if (s != NORN_UNSUPPORTED)
            return s;
        norni_bench_note(out, "shapes depend on data: each run plans anew");
        for (size_t i = 0; i < b->n_feeds; i++)
            NORNI_TRY(norn_tensor_copy(b->host[i].tensor, ctx, (norn_tensor **)&b->device[i].tensor));
    }
    return norn_context_finish(ctx);
}

static norn_status check(subject *b, const norn_graph *g, const norn_bench_options *o,
                         norn_bench_result *out) {
    double seconds = norni_bench_host_seconds(norn_executable_plan(b->exe));
    if (o->no_check)
        return NORN_OK;
    if (seconds > (o->check_seconds > 0 ? o->check_seconds : NORNI_BENCH_CHECK_S)) {
        norni_bench_note(out, "not checked: the host reference would take about %.0f s", seconds);
        return NORN_OK;
    }
    subject h = {.plan = b->plan, .n_feeds = b->n_feeds};
    norn_session *host;
    NORNI_TRY(norn_session_open("host", &host));
    norn_fetch *want = norni_alloc_array(b->n_fetches + 1, sizeof *want);
    norn_status s = want ? NORN_OK : norni_nomem();
    for (size_t i = 0; i < b->n_fetches && s == NORN_OK; i++)
        want[i].name = b->fetches[i].name;
    h.plan.implementations = NULL; /* those of the device */
    if (s == NORN_OK)
        s = norni_prefix(norn_executable_new(host, g, &h.plan, NULL, &h.exe), "host reference");
    if (s == NORN_OK)
        s = norni_prefix(norn_executable_run(h.exe, b->n_feeds, b->host, b->n_fetches, want),
                         "host reference");
    if (s == NORN_OK)
        out->checked = out->correct = true;
    for (size_t i = 0; i < b->n_fetches && s == NORN_OK; i++)
        norni_bench_compare(b->fetches[i].tensor, want[i].tensor, out);
    for (size_t i = 0; want && i < b->n_fetches; i++)
        norn_tensor_free(want[i].tensor);
    norni_free(want);
    norn_executable_free(h.exe);
    norn_session_close(host);
    return s;
}

static norn_status bench(subject *b, const norn_graph *g, const norn_bench_options *o,
                         norn_bench_result *out) {
    const norni_bench_run r = {run_once, b};
    norn_context *ctx = b->session->contexts[0];
    b->plan = o->plan;
    b->plan.keep_inputs = true;
    snprintf(out->device, sizeof out->device, "%s", norn_device_name(norn_context_device(ctx)));
    NORNI_TRY(first_run(b, g, out));
    NORNI_TRY(norni_bench_measure(&r, o, out));
    norni_bench_rates(norn_executable_plan(b->exe), out);
    NORNI_TRY(norni_bench_profile(ctx, &r, out));
    for (size_t i = 0; i < norn_executable_host_count(b->exe) && !norni_context_is_host(ctx); i++)
        norni_bench_note(out, "on the host: %s", norn_executable_host_at(b->exe, i));
    return check(b, g, o, out);
}

static norn_status add_feed(subject *b, const char *name, norn_tensor *t) {
    b->host[b->n_feeds] = (norn_feed){name, t};
    b->device[b->n_feeds++].name = name;
    return NORN_OK;
}

/* ---- One operator. */

/* The values that an operator takes as its float inputs, and for indices the numbers that are legal everywhere: below
 * the smallest size of the other inputs. */
static norni_bench_range range_of(const norn_graph *g, size_t input) {
    const norn_node *n = g->nodes.v[0];
    norni_bench_range r = {.lo = -1, .hi = 1, .stream = input};
    if (n->op->lo != n->op->hi) {
        r.lo = n->op->lo;
        r.hi = n->op->hi;
    }
    for (int k = 0; k < n->n_in; k++) {
        const norni_param *p = norni_op_input(n->op, k);
        if (n->in[k] != g->inputs.v[input] || !p || !(p->flags & NORNI_NODIFF))
            continue;
        for (int i = 0; i < n->n_in; i++)
            for (int d = 0; i != k && n->in[i] && d < n->in[i]->type.rank; d++)
                if (n->in[i]->type.dims[d] > 0 && (!r.below || n->in[i]->type.dims[d] < r.below))
                    r.below = n->in[i]->type.dims[d];
    }
    return r;
}

static norn_status op_feeds(subject *b, const norn_graph *g) {
    for (size_t i = 0; i < g->inputs.n; i++) {
        const norni_bench_range r = range_of(g, i);
        norn_tensor *t;
        if (i == MAX_FEEDS)
            return norni_fail(NORN_UNSUPPORTED, "more than %d inputs", MAX_FEEDS);
        NORNI_TRY(norni_bench_random(&g->inputs.v[i]->type, &r, &t));
        NORNI_TRY(add_feed(b, g->inputs.v[i]->name, t));
    }
    return NORN_OK;
}

/* What can be fed: every size has a number. */
static norn_status check_sizes(const norn_graph *g) {
    for (size_t i = 0; i < g->inputs.n; i++)
        if (!norni_type_static(&g->inputs.v[i]->type))
            return norni_fail(NORN_SHAPE, "input '%s' has sizes without a number (wanted all sizes)",
                              g->inputs.v[i]->name);
    return NORN_OK;
}

norn_status norn_bench_op_check(const char *line) {
    norn_graph *g = NULL;
    NORNI_TRY(norni_node_parse(line, &g));
    norn_status s = norni_prefix(check_sizes(g), "%s", line);
    norn_graph_free(g);
    return s;
}

/* The implementation of the operator that ran; NULL: it became others. */
static const char *ran(const norn_plan *p, const norn_op *op) {
    for (size_t i = 0; i < p->builder.steps.n; i++) {
        const norni_step *s = p->builder.steps.v[i];
        if (s->impl && s->node && s->node->op == op)
            return s->impl;
    }
    return NULL;
}

/* Whether one before it has its name: the same kernels, tried a second time. */
static bool named_before(const norni_impl *all, const norni_impl *i) {
    for (; all < i; all++)
        if (!strcmp(all->name, i->name))
            return true;
    return false;
}

/* The implementation of the operator, and what keeps the others from it. */
static void note_choice(const norn_plan *p, const norn_node *n, norn_bench_result *out) {
    const norni_fit f = {.node = n, .device = &p->device, .numerics = p->options.numerics};
    const char *chosen = n->op->impls ? ran(p, n->op) : NULL;
    norni_str others = {0};
    if (!chosen)
        return;
    bool before = true;
    for (const norni_impl *i = n->op->impls; i->name; i++) {
        if (!strcmp(i->name, chosen)) {
            before = false;
            continue;
        }
        if (named_before(n->op->impls, i))
            continue;
        const char *why = i->fits ? i->fits(&f) : NULL;
        norni_str_addf(&others, "%s%s: %s", others.n ? "; " : "", i->name,
                       why       ? why
                       : i->form ? "for values in blocked layout"
                       : before  ? "passed over: not the one wanted, or slower by the estimate"
                                 : "fits, but is tried later");
    }
    snprintf(out->chosen, sizeof out->chosen, "%s", chosen);
    snprintf(out->others, sizeof out->others, "%s", others.s ? others.s : "");
    norni_str_free(&others);
}

norn_status norn_bench_op(norn_session *s, const char *line, const norn_bench_options *options,
                          norn_bench_result *out) {
    const norn_bench_options none = {0};
    subject *b = norni_alloc(sizeof *b);
    norn_graph *g = NULL;
    *out = (norn_bench_result){0};
    if (!b)
        return norni_nomem();
    b->session = s;
    norn_status st = norni_node_parse(line, &g);
    if (st == NORN_OK) {
        norni_str text = {0};
        norni_node_print(&text, g->nodes.v[0]);
        snprintf(out->name, sizeof out->name, "%s", text.s ? text.s : line);
        norni_str_free(&text);
        st = check_sizes(g);
    }
    if (st == NORN_OK)
        st = op_feeds(b, g);
    if (st == NORN_OK)
        st = bench(b, g, options ? options : &none, out);
    if (st == NORN_OK && !norni_context_is_host(s->contexts[0]))
        note_choice(norn_executable_plan(b->exe), g->nodes.v[0], out);
    clear(b);
    norni_free(b);
    bool parsed = g != NULL;
    norn_graph_free(g);
    return st == NORN_OK || !parsed
               ? st
               : norni_prefix(st, "%s", line); /* what cannot be parsed is named already */
}

/* ---- A model. */
static const norn_tensor *fed(size_t n, const norn_feed *feeds, const char *name) {
    for (size_t i = 0; i < n; i++)
        if (!strcmp(feeds[i].name, name))
            return feeds[i].tensor;
    return NULL;
}

/* The size that a name has in what is fed; 1 where nobody says. */
static int64_t size_of(const norn_graph *g, size_t n, const norn_feed *feeds, norni_dim d) {
    const char *name = norni_dim_name(g, d);
    for (size_t i = 0; name && i < g->inputs.n; i++) {
        const norni_type *t = &g->inputs.v[i]->type;
        const norn_tensor *x = fed(n, feeds, g->inputs.v[i]->name);
        for (int k = 0; x && k < t->rank && k < x->rank; k++)
            if (t->dims[k] == d)
                return x->dims[k];
    }
    return 1;
}

static norn_status model_feeds(subject *b, const norn_graph *g, size_t n, const norn_feed *feeds) {
    for (size_t i = 0; i < g->inputs.n; i++) {
        const norn_value *v = g->inputs.v[i];
        const norn_tensor *given = fed(n, feeds, v->name);
        norn_tensor *t = NULL;
        if (i == MAX_FEEDS)
            return norni_fail(NORN_UNSUPPORTED, "more than %d inputs", MAX_FEEDS);
        if (given) {
            NORNI_TRY(norni_prefix(norn_tensor_copy(given, NULL, &t), "input '%s'", v->name));
        } else {
            norni_type type = v->type;
            const norni_bench_range r = {.hi = 1, .below = 4, .stream = i};
            type.rank = type.rank < 0 ? 0 : type.rank;
            for (int k = 0; k < type.rank; k++)
                if (type.dims[k] < 0)
                    type.dims[k] = size_of(g, n, feeds, type.dims[k]);
            NORNI_TRY(norni_prefix(norni_bench_random(&type, &r, &t), "input '%s'", v->name));
        }
        NORNI_TRY(add_feed(b, v->name, t));
    }
    for (size_t i = 0; i < n; i++) {
        bool known = false;
        for (size_t k = 0; k < g->inputs.n; k++)
            known |= !strcmp(feeds[i].name, g->inputs.v[k]->name);
        if (!known)
            return norni_fail(NORN_ARG, "feed '%s': there is no input of this name", feeds[i].name);
    }
    return NORN_OK;
}

norn_status norn_bench_model(norn_session *s, const norn_model *m, size_t n_feeds, const norn_feed *feeds,
                             const norn_bench_options *options, norn_bench_result *out) {
    const norn_bench_options none = {0};
    subject *b = norni_alloc(sizeof *b);
    *out = (norn_bench_result){0};
    if (!b)
        return norni_nomem();
    b->session = s;
    snprintf(out->name, sizeof out->name, "%s", m->graph->name ? m->graph->name : "");
    norn_status st = model_feeds(b, m->graph, n_feeds, feeds);
    if (st == NORN_OK)
        st = bench(b, m->graph, options ? options : &none, out);
    clear(b);
    norni_free(b);
    return st;
}
