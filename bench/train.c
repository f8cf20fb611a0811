/* SPDX-License-Identifier: Apache-2.0 */
/* Benchmarks of training steps. */
#include "bench/bench.h"
#include "train/prepare.h"
#include <stdio.h>
#include <string.h>

typedef struct {
    norn_session *session;
    norn_trainer *trainer;
    norn_tensor *x, *y; /* on the device */
} stepping;

static norn_status step(void *ctx) {
    stepping *t = ctx;
    return norn_trainer_step(t->trainer, t->x, t->y, NULL);
}

static int64_t one(const void *ctx, const char *name) {
    (void)name;
    return *(const int64_t *)ctx;
}

/* The type of a model's input for a batch, and of its output under it. Named sizes other than the first are 1. */
static norn_status types_of(const norn_graph *g, const norni_training *t, int64_t batch, norni_type *x,
                            norni_type *y) {
    norn_graph *bound;
    int64_t named = 1;
    size_t at = 0;
    while (at < g->inputs.n && strcmp(g->inputs.v[at]->name, t->input) != 0)
        at++;
    *x = g->inputs.v[at]->type;
    if (x->rank < 1)
        return norni_fail(NORN_SHAPE, "input '%s' has no batch axis", t->input);
    x->dims[0] = batch;
    for (int k = 1; k < x->rank; k++)
        x->dims[k] = x->dims[k] < 0 ? 1 : x->dims[k];
    const norni_type **types = norni_alloc_array(g->inputs.n + 1, sizeof *types);
    if (!types)
        return norni_nomem();
    types[at] = x;
    norn_status s = norni_graph_bind(g, one, &named, types, NULL, NULL, &bound);
    norni_free(types);
    NORNI_TRY(s);
    for (size_t i = 0; i < bound->outputs.n; i++)
        if (!strcmp(bound->outputs.v[i].name, t->output))
            *y = bound->outputs.v[i].value->type;
    norn_graph_free(bound);
    return norni_type_static(y) ? NORN_OK
                                : norni_fail(NORN_SHAPE, "the shape of output '%s' is not known", t->output);
}

/* A batch of random samples and labels, in host memory. */
static norn_status make_batch(norn_model *m, const norn_train_options *o, int64_t batch, norn_tensor **x,
                              norn_tensor **y) {
    norni_training t = {0};
    norni_type in, scores = {.rank = -1};
    *x = *y = NULL;
    norn_status s = norni_inference_form(m, &t);
    if (s == NORN_OK)
        s = norni_find_parameters(m->graph, o, &t);
    if (s == NORN_OK)
        s = types_of(m->graph, &t, batch, &in, &scores);
    if (s == NORN_OK && o->loss == NORN_CROSS_ENTROPY && scores.rank < 2)
        s = norni_fail(NORN_SHAPE, "output '%s' has rank %d (cross entropy wants scores [N,C] or [N,C,...])",
                       t.output, scores.rank);
    norni_training_free(&t);
    NORNI_TRY(s);
    norni_bench_range range = {.hi = 1, .below = 4};
    NORNI_TRY(norni_bench_random(&in, &range, x));
    range.stream = 1;
    if (o->loss == NORN_CROSS_ENTROPY) {
        range.below = scores.dims[1];
        memmove(&scores.dims[1], &scores.dims[2], sizeof *scores.dims * (NORN_MAX_RANK - 2));
        scores.rank--;
        scores.dtype = NORN_I64;
    }
    return norni_bench_random(&scores, &range, y);
}

static void free_gradients(norn_tensor **g, size_t n) {
    for (size_t i = 0; g && i < n; i++)
        norn_tensor_free(g[i]);
    norni_free(g);
}

static norn_status gradients(norn_session *s, norn_model *m, const norn_train_options *o,
                             const norn_tensor *x, const norn_tensor *y, norn_tensor ***out, size_t *n) {
    norn_trainer *t;
    *out = NULL;
    *n = 0;
    NORNI_TRY(norn_trainer_new(s, m, o, &t));
    *n = norn_trainer_parameter_count(t);
    *out = norni_alloc_array(*n + 1, sizeof **out);
    norn_status st = *out ? norn_trainer_gradients(t, x, y, *out) : norni_nomem();
    norn_trainer_free(t);
    return st;
}

/* Compares gradients; where they differ, with what those of the host reference change by when the samples do by a
 * hundredth of what rounding may: a batch of some ten samples has ReLUs whose input is zero but for rounding, and each
 * that turns changes the gradients of all layers before it. */
static norn_status compare(norn_session *host, norn_model *m, const norn_train_options *o,
                           const norn_tensor *x, const norn_tensor *y, norn_tensor *const *got,
                           norn_tensor *const *want, size_t n, norn_bench_result *out) {
    norn_bench_result plain = *out;
    double turned = 0;
    for (size_t i = 0; i < n; i++)
        if (got[i] && want[i])
            norni_bench_compare_gradient(got[i], want[i], 0, &plain);
    if (plain.correct) {
        *out = plain;
        return NORN_OK;
    }
    norn_tensor *near, **shaken = NULL;
    size_t count = 0;
    NORNI_TRY(norn_tensor_copy(x, NULL, &near));
    double by = norni_bench_shake(near);
    norn_status s = norni_prefix(gradients(host, m, o, near, y, &shaken, &count), "host reference");
    if (s == NORN_OK)
        turned = norni_bench_turned(shaken, want, n);
    free_gradients(shaken, count);
    norn_tensor_free(near);
    NORNI_TRY(s);
    for (size_t i = 0; i < n; i++)
        if (got[i] && want[i])
            norni_bench_compare_gradient(got[i], want[i], turned, out);
    norni_bench_note(out, "gradients change by %.2g when samples change by %.2g", turned, by);
    return NORN_OK;
}

/* The gradients of the first step, here and by the host reference, on as many of the samples as that can do in time. */
static norn_status check(const stepping *t, norn_model *m, const norn_train_options *o, const norn_tensor *x,
                         const norn_tensor *y, norn_bench_result *out) {
    double seconds = norni_bench_host_seconds(norn_trainer_plan(t->trainer));
    int64_t batch = x->dims[0], part = batch;
    norn_session *host = NULL;
    norn_tensor *px = NULL, *py = NULL, **got = NULL, **want = NULL;
    size_t n_got = 0, n_want = 0;
    if (seconds > NORNI_BENCH_CHECK_S) {
        part = (int64_t)((double)batch * NORNI_BENCH_CHECK_S / seconds);
        if (part < 2) {
            norni_bench_note(out, "not checked: the host reference would take about %.0f s", seconds);
            return NORN_OK;
        }
        norni_bench_note(out, "checked on %lld samples", (long long)part);
    }
    norn_status s = norn_session_open("host", &host);
    norn_train_options on_host = *o;
    on_host.plan.implementations = NULL;
    if (s == NORN_OK)
        s = norn_tensor_slice(x, 0, 0, part, &px);
    if (s == NORN_OK)
        s = norn_tensor_slice(y, 0, 0, part, &py);
    if (s == NORN_OK)
        s = gradients(t->session, m, o, px, py, &got, &n_got);
    if (s == NORN_OK)
        s = norni_prefix(gradients(host, m, &on_host, px, py, &want, &n_want), "host reference");
    if (s == NORN_OK)
        out->checked = out->correct = true;
    if (s == NORN_OK)
        s = compare(host, m, &on_host, px, py, got, want, n_got, out);
    free_gradients(got, n_got);
    free_gradients(want, n_want);
    norn_tensor_free(px);
    norn_tensor_free(py);
    norn_session_close(host);
    return s;
}

static norn_status bench(stepping *t, norn_model *m, const norn_train_options *o,
                         const norn_bench_options *bo, const norn_tensor *x, const norn_tensor *y,
                         norn_bench_result *out) {
    norn_context *ctx = t->session->contexts[0];
    const norni_bench_run r = {step, t};
    norn_memory_stats before, after;
    norn_context_memory(ctx, &before);
    double start = norni_bench_now_ms();
    NORNI_TRY(norn_trainer_new(t->session, m, o, &t->trainer));
    NORNI_TRY(norn_tensor_copy(x, ctx, &t->x));
    NORNI_TRY(norn_tensor_copy(y, ctx, &t->y));
    NORNI_TRY(step(t));
    out->first_ms = norni_bench_now_ms() - start;
    norn_context_memory(ctx, &after);
    out->memory_bytes = after.live_bytes > before.live_bytes ? after.live_bytes - before.live_bytes : 0;
    NORNI_TRY(norni_bench_measure(&r, bo, out));
    norni_bench_rates(norn_trainer_plan(t->trainer), out);
    NORNI_TRY(norni_bench_profile(ctx, &r, out));
    return bo->no_check ? NORN_OK : check(t, m, o, x, y, out);
}

norn_status norn_bench_train(norn_session *s, norn_model *m, const norn_train_options *train, int64_t batch,
                             const norn_bench_options *options, norn_bench_result *out) {
    norn_train_options o;
    norn_bench_options bo = {0};
    stepping t = {.session = s};
    norn_tensor *x = NULL, *y = NULL;
    *out = (norn_bench_result){0};
    norn_train_options_init(&o);
    if (train)
        o = *train;
    if (options) {
        bo = *options;
        o.plan = options->plan;
    }
    if (batch < 1)
        return norni_fail(NORN_ARG, "bench: a batch of %lld (wanted 1 or more)", (long long)batch);
    snprintf(out->name, sizeof out->name, "%s", m->graph->name ? m->graph->name : "");
    snprintf(out->device, sizeof out->device, "%s", norn_device_name(norn_context_device(s->contexts[0])));
    norn_status st = make_batch(m, &o, batch, &x, &y);
    if (st == NORN_OK)
        st = bench(&t, m, &o, &bo, x, y, out);
    norn_trainer_free(t.trainer);
    norn_tensor_free(t.x);
    norn_tensor_free(t.y);
    norn_tensor_free(x);
    norn_tensor_free(y);
    return st;
}
