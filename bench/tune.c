/* SPDX-License-Identifier: Apache-2.0 */
/* Tuning: the parameters that the implementations of an operator ask for (ops/tuning.h), tried one after the other. A value
 * is kept when its results are right and it is faster by more than the noise. */
#include "bench/bench.h"
#include "ops/tuning.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_INPUTS = 32, MAX_OUTPUTS = 32 };

/* An operator with its inputs on a device. */
typedef struct {
    norn_session *session;
    norn_graph *g;
    norn_executable *exe;
    norn_feed feeds[MAX_INPUTS];
    norn_fetch out[MAX_OUTPUTS];
} trial;

static void end_trial(trial *t) {
    norn_executable_free(t->exe);
    for (size_t i = 0; i < t->g->outputs.n && i < MAX_OUTPUTS; i++) {
        norn_tensor_free(t->out[i].tensor);
        t->out[i].tensor = NULL;
    }
    t->exe = NULL;
}

/* Plans anew, runs once. */
static norn_status start_trial(trial *t) {
    const norn_plan_options o = {.keep_inputs = true};
    for (size_t i = 0; i < t->g->outputs.n; i++)
        t->out[i] = (norn_fetch){t->g->outputs.v[i].name, NULL};
    NORNI_TRY(norn_executable_new(t->session, t->g, &o, NULL, &t->exe));
    return norn_executable_run(t->exe, t->g->inputs.n, t->feeds, t->g->outputs.n, t->out);
}

/* The best time of runs within `seconds`, in ms. */
static norn_status time_trial(trial *t, double seconds, double *ms) {
    double start = norni_bench_now_ms(), before = start;
    *ms = INFINITY;
    for (int i = 0; i < 100000 && (i < 4 || before - start < seconds * 1e3); i++) {
        NORNI_TRY(norni_executable_rerun(t->exe));
        NORNI_TRY(norn_context_finish(t->session->contexts[0]));
        double now = norni_bench_now_ms();
        *ms = i && now - before < *ms ? now - before : *ms;
        before = now;
    }
    return NORN_OK;
}

static norn_status run_trial(trial *t, const trial *reference, double seconds, double *ms, bool *right) {
    norn_bench_result r = {.correct = true};
    *right = true;
    norn_status s = start_trial(t);
    for (size_t i = 0; reference && i < t->g->outputs.n && s == NORN_OK; i++) {
        norni_bench_compare(t->out[i].tensor, reference->out[i].tensor, &r);
        *right = *right && r.correct;
    }
    if (s == NORN_OK && *right)
        s = time_trial(t, seconds, ms);
    return s;
}

/* The old value and the new one turn by turn, so that what the machine does besides cannot decide: the new one must win
 * nearly every round, and its best must be better. */
static norn_status confirm(trial *t, const trial *reference, const norni_tuning_asked *a, int value,
                           double each_s, bool *better) {
    enum { ROUNDS = 5, WINS = 4 };
    trial old = *t;
    double ms, best_old = INFINITY, best_new = INFINITY;
    int wins = 0;
    bool right;
    *better = false;
    norn_status s = run_trial(&old, reference, each_s, &ms, &right);
    norni_tuning_try(a->key, a->values[value]);
    if (s == NORN_OK)
        s = run_trial(t, reference, each_s, &ms, &right);
    norni_tuning_try(NULL, NULL);
    for (int i = 0; i < ROUNDS && s == NORN_OK && right; i++) {
        double before = INFINITY, after = INFINITY;
        s = time_trial(&old, each_s / 2, &before);
        if (s == NORN_OK)
            s = time_trial(t, each_s / 2, &after);
        wins += after < 0.98 * before;
        best_old = fmin(best_old, before);
        best_new = fmin(best_new, after);
    }
    *better = s == NORN_OK && right && wins >= WINS && best_new < 0.97 * best_old;
    end_trial(&old);
    end_trial(t);
    return s;
}

/* One parameter: every value but the present one; the best is recorded. */
static norn_status tune_key(trial *t, const trial *reference, const norni_tuning_asked *a, double until_ms,
                            double each_s, norn_tune_result *out) {
    const norn_device *d = norn_context_device(t->session->contexts[0]);
    double now, best = INFINITY, ms;
    int found = -1;
    bool right, better;
    norn_status s = run_trial(t, reference, each_s, &now, &right);
    end_trial(t);
    NORNI_TRY(s);
    if (!right) { /* no time is worth anything then */
        out->wrong++;
        return NORN_OK;
    }
    for (int i = 0; i < a->n && norni_bench_now_ms() < until_ms; i++) {
        if (i == a->now)
            continue;
        norni_tuning_try(a->key, a->values[i]);
        s = run_trial(t, reference, each_s, &ms, &right);
        norni_tuning_try(NULL, NULL);
        end_trial(t);
        out->tried++;
        out->wrong += s == NORN_OK && !right;
        if (s == NORN_OK && right && ms < best) {
            best = ms;
            found = i;
        }
    }
    if (found < 0 || !(best < 0.97 * now))
        return NORN_OK;
    NORNI_TRY(confirm(t, reference, a, found, each_s, &better));
    if (!better)
        return NORN_OK;
    NORNI_TRY(norni_tuning_put(d, a->key, a->values[found]));
    size_t n = strlen(out->records);
    snprintf(out->records + n, sizeof out->records - n, "%s%s: %s, was %s", n ? "; " : "", a->key,
             a->values[found], a->values[a->now]);
    return NORN_OK;
}

static norn_status make_feeds(trial *t) {
    for (size_t i = 0; i < t->g->inputs.n; i++) {
        const norni_bench_range r = {.lo = -1, .hi = 1, .stream = i};
        norn_tensor *x;
        if (!norni_type_static(&t->g->inputs.v[i]->type))
            return norni_fail(NORN_SHAPE, "input '%s' has sizes without a number", t->g->inputs.v[i]->name);
        NORNI_TRY(norni_bench_random(&t->g->inputs.v[i]->type, &r, &x));
        t->feeds[i] = (norn_feed){t->g->inputs.v[i]->name, x};
    }
    return NORN_OK;
}

/* What results are compared with: the host reference where that takes no more than some seconds, else the kernels that
 * norn would run untuned. */
static norn_status make_reference(const trial *t, norn_session *host, trial *r) {
    enum { PATIENCE_S = 5 };
    double seconds = norni_bench_host_seconds(norn_executable_plan(t->exe));
    *r = *t;
    r->exe = NULL;
    if (seconds <= PATIENCE_S)
        r->session = host;
    return start_trial(r);
}

static norn_status tune(trial *t, norn_session *host, double seconds, norn_tune_result *out) {
    norni_tuning_watch w = {0};
    trial reference = {.g = t->g};
    double each = 0.1;
    bool right;
    norni_tuning_watch_set(&w);
    norn_status s = start_trial(t);
    norni_tuning_watch_set(NULL);
    if (s == NORN_OK)
        s = make_reference(t, host, &reference);
    if (s == NORN_OK)
        s = time_trial(t, each, &out->before_ms);
    end_trial(t);
    double start = norni_bench_now_ms(); /* compiling what is there has not counted */
    for (size_t i = 0; i < w.asked.n && s == NORN_OK; i++)
        s = tune_key(t, &reference, &w.asked.v[i], start + seconds * 1e3, each, out);
    out->after_ms = out->before_ms;
    if (s == NORN_OK && *out->records) {
        double ms = 0;
        s = run_trial(t, &reference, 2 * each, &ms, &right);
        end_trial(t);
        out->after_ms = ms;
    }
    out->parameters = (int)w.asked.n;
    end_trial(&reference);
    norni_tuning_watch_free(&w);
    return s;
}

norn_status norn_tune_op(norn_session *s, const char *line, double seconds, norn_tune_result *out) {
    trial *t = norni_alloc(sizeof *t);
    norn_session *host = NULL;
    *out = (norn_tune_result){0};
    if (!t)
        return norni_nomem();
    snprintf(out->line, sizeof out->line, "%s", line);
    t->session = s;
    norn_status st = norni_node_parse(line, &t->g);
    if (st == NORN_OK && (t->g->inputs.n > MAX_INPUTS || t->g->outputs.n > MAX_OUTPUTS))
        st = norni_fail(NORN_UNSUPPORTED, "more than %d inputs or outputs", MAX_INPUTS);
    if (st == NORN_OK)
        st = make_feeds(t);
    if (st == NORN_OK)
        st = norn_session_open("host", &host);
    if (st == NORN_OK)
        st = tune(t, host, seconds > 0 ? seconds : 10, out);
    for (int i = 0; i < MAX_INPUTS; i++)
        norn_tensor_free((norn_tensor *)t->feeds[i].tensor);
    norn_session_close(host);
    norn_graph_free(t->g);
    norni_free(t);
    return norni_prefix(st, "%s", line);
}

norn_status norn_tune_save(char **path) {
    return norni_tuning_save(path);
}
