/* SPDX-License-Identifier: Apache-2.0 */
/* Executables: from feeds to a bound graph, a plan, a run. Plans are kept by the shapes they were made for.
 */
#include "base/hash.h"
#include "graph/cut.h"
#include "graph/session.h"
#include <string.h>

enum { KEEP_PLANS = 8 };

/* An input whose elements an operator checks before a run. */
typedef struct {
    size_t input; /* of the graph */
    const norn_node *node;
    int slot;
} content_check;

typedef struct {
    uint64_t key;
    uint64_t used; /* when last: the oldest goes first */
    norni_loaded *loaded;
    int *input_of; /* by input of the graph: input of the bound graph, or -1 where it became a constant */
    NORNI_VEC(content_check) checks;
    norni_fold_log log; /* what was computed while shapes were worked out */
    norni_cuts cuts;    /* where shapes depend on results */
} cached;

struct norn_executable {
    norn_session *session;
    norn_graph *graph;
    norn_plan_options options;
    char *implementations;
    norn_state *state, *own_state;
    bool *host_input;        /* by input: its elements decide shapes */
    norni_recycler *results; /* host memory of what was fetched */
    cached plans[KEEP_PLANS];
    cached *last;
    uint64_t clock;
};

static void drop(cached *c) {
    norni_loaded_free(c->loaded);
    norni_free(c->input_of);
    norni_vec_free(&c->checks);
    norni_fold_log_free(&c->log);
    norni_cuts_free(&c->cuts);
    *c = (cached){0};
}

void norn_executable_free(norn_executable *e) {
    if (!e)
        return;
    for (int i = 0; i < KEEP_PLANS; i++)
        drop(&e->plans[i]);
    norn_state_free(e->own_state);
    norn_graph_free(e->graph);
    norni_recycler_free(e->results);
    norni_free(e->host_input);
    norni_free(e->implementations);
    norni_free(e);
}

norn_status norn_executable_new(norn_session *s, const norn_graph *g, const norn_plan_options *options,
                                norn_state *state, norn_executable **out) {
    *out = NULL;
    char *missing;
    NORNI_TRY(norn_graph_status(g));
    NORNI_TRY(norn_graph_unsupported(g, &missing));
    if (missing) {
        for (char *c = missing; *c; c++)
            if (*c == '\n')
                *c = c[1] ? ',' : 0;
        norn_status st = norni_fail(NORN_UNSUPPORTED, "operators that norn does not have: %s", missing);
        norn_text_free(missing);
        return st;
    }
    norn_executable *e = norni_alloc(sizeof *e);
    if (!e)
        return norni_nomem();
    e->session = s;
    e->state = state;
    if (options)
        e->options = *options;
    norn_status st = norn_graph_simplify(g, &e->graph);
    if (st == NORN_OK && e->options.implementations) {
        e->options.implementations = e->implementations = norni_strdup(e->options.implementations);
        st = e->implementations ? NORN_OK : norni_nomem();
    }
    if (st == NORN_OK && !(e->host_input = norni_graph_host_inputs(e->graph)))
        st = norni_nomem();
    if (st == NORN_OK && !(e->results = norni_recycler_new(e->graph->outputs.n)))
        st = norni_nomem();
    if (st == NORN_OK && !state) {
        st = norn_state_new(s, &e->own_state);
        e->state = e->own_state;
    }
    if (st != NORN_OK) {
        norn_executable_free(e);
        return st;
    }
    *out = e;
    return NORN_OK;
}

const norn_plan *norn_executable_plan(const norn_executable *e) {
    return e->last ? norni_loaded_plan(e->last->loaded) : NULL;
}

size_t norn_executable_host_count(const norn_executable *e) {
    return e->last ? norn_plan_host_count(norni_loaded_plan(e->last->loaded)) + e->last->log.lines.n : 0;
}

const char *norn_executable_host_at(const norn_executable *e, size_t i) {
    if (!e->last)
        return NULL;
    size_t n = e->last->log.lines.n;
    return i < n ? e->last->log.lines.v[i] : norn_plan_host_at(norni_loaded_plan(e->last->loaded), i - n);
}

norn_status norni_executable_rerun(norn_executable *e) {
    if (!e->last || e->last->cuts.data_dependent || !e->options.keep_inputs)
        return norni_fail(NORN_UNSUPPORTED, "the last run cannot be repeated");
    e->state->runs++;
    return norni_loaded_enqueue(e->last->loaded);
}

/* ---- Feeds. */
static norn_status match_feeds(const norn_executable *e, size_t n, const norn_feed *feeds,
                               const norn_tensor **in) {
    const norn_graph *g = e->graph;
    for (size_t i = 0; i < n; i++) {
        size_t k = 0;
        while (k < g->inputs.n && strcmp(g->inputs.v[k]->name, feeds[i].name))
            k++;
        if (k == g->inputs.n) {
            norni_str names = {0};
            for (size_t j = 0; j < g->inputs.n; j++)
                norni_str_addf(&names, "%s'%s'", j ? ", " : "", g->inputs.v[j]->name);
            norn_status s = norni_fail(NORN_ARG, "feed '%s': there is no input of this name (there are: %s)",
                                       feeds[i].name, names.s ? names.s : "none");
            norni_str_free(&names);
            return s;
        }
        if (!feeds[i].tensor)
            return norni_fail(NORN_ARG, "feed '%s': got no tensor", feeds[i].name);
        in[k] = feeds[i].tensor;
    }
    for (size_t k = 0; k < g->inputs.n; k++) {
        const norn_value *v = g->inputs.v[k];
        const norn_tensor *t = in[k];
        char shape[128];
        if (!t)
            return norni_fail(NORN_ARG, "input '%s' was not fed", v->name);
        bool fits = t->dtype == v->type.dtype && (v->type.rank < 0 || t->rank == v->type.rank);
        for (int d = 0; fits && d < v->type.rank; d++)
            fits = v->type.dims[d] < 0 || v->type.dims[d] == t->dims[d];
        if (fits)
            continue;
        norni_str want = {0};
        norni_type_print(&want, g, &v->type);
        norn_status s = norni_fail(t->dtype == v->type.dtype ? NORN_SHAPE : NORN_DTYPE,
                                   "input '%s': got %s%s (wanted %s)", v->name, norni_dtype_name(t->dtype),
                                   norni_shape_text(t->rank, t->dims, shape), want.s ? want.s : "");
        norni_str_free(&want);
        return s;
    }
    return NORN_OK;
}

/* One size for each name, the same wherever the name stands. */
typedef struct {
    const norn_graph *g;
    const norn_tensor *const *in;
} sizes;

static int64_t size_of_name(const void *ctx, const char *name) {
    const sizes *s = ctx;
    for (size_t k = 0; k < s->g->inputs.n; k++)
        for (int d = 0; d < s->g->inputs.v[k]->type.rank; d++) {
            const char *n = norni_dim_name(s->g, s->g->inputs.v[k]->type.dims[d]);
            if (n && !strcmp(n, name))
                return s->in[k]->dims[d];
        }
    return -1;
}

static norn_status check_names(const sizes *s) {
    for (size_t k = 0; k < s->g->inputs.n; k++)
        for (int d = 0; d < s->g->inputs.v[k]->type.rank; d++) {
            const char *n = norni_dim_name(s->g, s->g->inputs.v[k]->type.dims[d]);
            if (n && size_of_name(s, n) != s->in[k]->dims[d])
                return norni_fail(
                    NORN_SHAPE, "input '%s': size %lld in dimension %d (wanted %lld: '%s' is that elsewhere)",
                    s->g->inputs.v[k]->name, (long long)s->in[k]->dims[d], d, (long long)size_of_name(s, n),
                    n);
        }
    return NORN_OK;
}

static uint64_t feeds_key(const norn_executable *e, const norn_tensor *const *in) {
    uint64_t h = 7;
    for (size_t k = 0; k < e->graph->inputs.n; k++) {
        h = norni_hash_bytes(h, in[k]->dims, (size_t)in[k]->rank * sizeof *in[k]->dims);
        if (e->host_input[k])
            h = norni_hash_bytes(h, norni_tensor_data(in[k]), norni_tensor_bytes(in[k]));
    }
    return h;
}

/* ---- Preparing and running. */
static norn_status find_checks(cached *c, size_t n_inputs) {
    const norn_graph *g = norni_loaded_plan(c->loaded)->graph;
    for (size_t k = 0; k < n_inputs; k++)
        for (size_t i = 0; i < g->nodes.n && c->input_of[k] >= 0; i++) {
            const norn_node *node = g->nodes.v[i];
            for (int s = 0; s < node->n_in && node->op->check; s++)
                if (node->in[s] == g->inputs.v[c->input_of[k]] &&
                    !NORNI_PUSH(&c->checks, ((content_check){k, node, s})))
                    return norni_nomem();
        }
    return NORN_OK;
}

static norn_status check_contents(const norn_executable *e, const cached *c, const norn_tensor *const *in) {
    for (size_t i = 0; i < c->checks.n; i++) {
        const content_check *k = &c->checks.v[i];
        if (norni_tensor_is_host(in[k->input]))
            NORNI_TRY(norni_prefix(norni_node_check(k->node, k->slot, in[k->input]), "input '%s'",
                                   e->graph->inputs.v[k->input]->name));
    }
    return NORN_OK;
}

static norn_status prepare(norn_executable *e, const norn_tensor *const *in, uint64_t key, cached **out) {
    const norn_graph *g = e->graph;
    size_t n = g->inputs.n;
    norni_type *types = norni_alloc_array(n + 1, sizeof *types);
    const norni_type **type_of = norni_alloc_array(n + 1, sizeof *type_of);
    norn_tensor **known = norni_alloc_array(n + 1, sizeof *known);
    norn_graph *bound = NULL;
    norn_plan *plan = NULL;
    cached c = {.key = key, .input_of = norni_alloc_array(n + 1, sizeof *c.input_of)};
    norn_status s = types && type_of && known && c.input_of ? NORN_OK : norni_nomem();
    for (size_t k = 0; k < n && s == NORN_OK; k++) {
        types[k] = (norni_type){.dtype = in[k]->dtype, .rank = in[k]->rank};
        memcpy(types[k].dims, in[k]->dims, sizeof types[k].dims);
        type_of[k] = &types[k];
        if (e->host_input[k])
            s = norn_tensor_copy(in[k], NULL, &known[k]);
        if (s == NORN_OK && known[k])
            s = norni_fold_log_add(&c.log, known[k]);
    }
    sizes names = {g, in};
    if (s == NORN_OK)
        s = norni_graph_bind(g, size_of_name, &names, type_of, known, &c.log, &bound);
    c.cuts = (norni_cuts){
        .session = e->session, .options = &e->options, .state = e->state, .fed = g, .in = in, .log = &c.log};
    if (s == NORN_OK)
        s = norni_resolve_shapes(&c.cuts, &bound);
    for (size_t k = 0; k < n && s == NORN_OK; k++) {
        c.input_of[k] = -1;
        for (size_t j = 0; j < bound->inputs.n; j++)
            if (!strcmp(bound->inputs.v[j]->name, g->inputs.v[k]->name))
                c.input_of[k] = (int)j;
    }
    if (s == NORN_OK) {
        s = norni_plan_make(bound, norn_context_device(e->session->contexts[0]), &e->options, &plan);
        bound = NULL;
    }
    if (s == NORN_OK)
        s = norni_load(e->session->contexts[0], plan, e->state, &c.loaded);
    if (s == NORN_OK)
        s = find_checks(&c, n);
    norn_graph_free(bound);
    for (size_t k = 0; known && k < n; k++)
        norn_tensor_free(known[k]);
    norni_free(types);
    norni_free(type_of);
    norni_free(known);
    if (s != NORN_OK) {
        drop(&c);
        return s;
    }
    if (c.cuts.data_dependent) /* other data of the same shape needs another plan */
        c.key = ~key;
    cached *slot = &e->plans[0];
    for (int i = 1; i < KEEP_PLANS; i++)
        if (e->plans[i].used < slot->used)
            slot = &e->plans[i];
    if (e->last == slot)
        e->last = NULL;
    drop(slot);
    *slot = c;
    *out = slot;
    return NORN_OK;
}

static norn_status find_output(const norn_executable *e, const char *name, size_t *out) {
    const norn_graph *g = e->graph;
    for (*out = 0; *out < g->outputs.n; (*out)++)
        if (!strcmp(g->outputs.v[*out].name, name))
            return NORN_OK;
    norni_str names = {0};
    for (size_t j = 0; j < g->outputs.n; j++)
        norni_str_addf(&names, "%s'%s'", j ? ", " : "", g->outputs.v[j].name);
    norn_status s = norni_fail(NORN_ARG, "fetch '%s': there is no output of this name (there are: %s)", name,
                               names.s ? names.s : "none");
    norni_str_free(&names);
    return s;
}

static norn_status run(norn_executable *e, const norn_tensor *const *in, size_t n_fetches,
                       norn_fetch *fetches) {
    uint64_t key = feeds_key(e, in);
    cached *c = NULL;
    sizes names = {e->graph, in};
    NORNI_TRY(check_names(&names));
    for (int i = 0; i < KEEP_PLANS; i++)
        if (e->plans[i].loaded && e->plans[i].key == key)
            c = &e->plans[i];
    if (!c)
        NORNI_TRY(prepare(e, in, key, &c));
    c->used = ++e->clock;
    e->last = c;
    NORNI_TRY(check_contents(e, c, in));
    for (size_t k = 0; k < e->graph->inputs.n; k++)
        if (c->input_of[k] >= 0)
            NORNI_TRY(norni_prefix(norni_loaded_feed(c->loaded, (size_t)c->input_of[k], in[k]), "input '%s'",
                                   e->graph->inputs.v[k]->name));
    const norn_graph *bound = norni_loaded_plan(c->loaded)->graph;
    for (size_t i = 0; i < c->cuts.feeds.n; i++)
        for (size_t j = 0; j < bound->inputs.n; j++)
            if (!strcmp(bound->inputs.v[j]->name, c->cuts.feeds.v[i].name))
                NORNI_TRY(norni_loaded_feed(c->loaded, j, c->cuts.feeds.v[i].tensor));
    NORNI_TRY(norni_loaded_enqueue(c->loaded));
    for (size_t i = 0; i < n_fetches; i++) {
        size_t o;
        NORNI_TRY(find_output(e, fetches[i].name, &o));
        NORNI_TRY(norni_prefix(norni_loaded_fetch(c->loaded, o, e->results, &fetches[i].tensor),
                               "output '%s'", fetches[i].name));
    }
    return NORN_OK;
}

norn_status norn_executable_run(norn_executable *e, size_t n_feeds, const norn_feed *feeds, size_t n_fetches,
                                norn_fetch *fetches) {
    size_t n = e->graph->inputs.n, o;
    norn_context *ctx = e->session->contexts[0];
    const norn_tensor **in = norni_alloc_array(n + 1, sizeof *in);
    norn_tensor **packed = norni_alloc_array(n + 1, sizeof *packed);
    norn_status s = in && packed ? NORN_OK : norni_nomem();
    for (size_t i = 0; i < n_fetches; i++)
        fetches[i].tensor = NULL;
    for (size_t i = 0; i < n_fetches && s == NORN_OK; i++)
        s = find_output(e, fetches[i].name, &o);
    if (s == NORN_OK)
        s = match_feeds(e, n_feeds, feeds, in);
    /* Strided views, tensors of another device, and what must be read here are made plain first. */
    for (size_t k = 0; k < n && s == NORN_OK; k++)
        if (!norni_tensor_contiguous(in[k]) ||
            (!norni_tensor_is_host(in[k]) && (e->host_input[k] || in[k]->storage->ctx != ctx))) {
            s = norn_tensor_copy(in[k], NULL, &packed[k]);
            in[k] = packed[k];
        }
    if (s == NORN_OK)
        s = run(e, in, n_fetches, fetches);
    if (s == NORN_OK) {
        e->state->runs++;
        s = norn_context_finish(ctx);
    } else if (in && packed) { /* transfers may be under way into memory that is freed below; the first error
                                stands */
        char *message = norni_strdup(norn_error());
        if (norn_context_finish(ctx) != NORN_OK && message)
            norni_fail(s, "%s", message);
        norni_free(message);
    }
    for (size_t i = 0; i < n_fetches && s != NORN_OK; i++) {
        norn_tensor_free(fetches[i].tensor);
        fetches[i].tensor = NULL;
    }
    for (size_t k = 0; packed && k < n; k++)
        norn_tensor_free(packed[k]);
    norni_free(in);
    norni_free(packed);
    return s;
}
