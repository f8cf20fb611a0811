/* SPDX-License-Identifier: Apache-2.0 */
/* Tuning: the parameters that the implementations of an operator ask for (ops/tuning.h), tried one after the other. A value
 * is kept when its results are right and it is faster by more than the noise. */
#include "bench/trial.h"
#include "ops/tuning.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static norn_status run_trial(norni_trial *t, const norni_trial *reference, double seconds, double *ms,
                             bool *right) {
    norn_status s = norni_trial_start(t);
    *right = s == NORN_OK && norni_trial_agrees(t, reference);
    if (*right)
        s = norni_trial_time(t, seconds, ms);
    return s;
}

/* The old value and the new one turn by turn, so that what the machine does besides cannot decide: the new one must win
 * nearly every round, and its best must be better. share: new time by old time, 1 when it is not. */
static norn_status confirm(norni_trial *t, const norni_trial *reference, const norni_tuning_asked *a,
                           int value, double each_s, double *share) {
    enum { ROUNDS = 5, WINS = 4 };
    norni_trial old = *t;
    double ms, best_old = INFINITY, best_new = INFINITY;
    int wins = 0;
    bool right;
    *share = 1;
    norn_status s = run_trial(&old, reference, each_s, &ms, &right);
    norni_tuning_try(a->key, a->values[value]);
    if (s == NORN_OK)
        s = run_trial(t, reference, each_s, &ms, &right);
    norni_tuning_try(NULL, NULL);
    for (int i = 0; i < ROUNDS && s == NORN_OK && right; i++) {
        double before = INFINITY, after = INFINITY;
        s = norni_trial_time(&old, each_s / 2, &before);
        if (s == NORN_OK)
            s = norni_trial_time(t, each_s / 2, &after);
        wins += after < 0.98 * before;
        best_old = fmin(best_old, before);
        best_new = fmin(best_new, after);
    }
    if (s == NORN_OK && right && wins >= WINS && best_new < 0.97 * best_old)
        *share = best_new / best_old;
    norni_trial_end(&old);
    norni_trial_end(t);
    return s;
}

static void note_record(norn_tune_result *out, const norni_tuning_asked *a, int value) {
    size_t n = strlen(out->records);
    snprintf(out->records + n, sizeof out->records - n, "%s%s: %s, was %s", n ? "; " : "", a->key,
             a->values[value], a->values[a->now]);
}

/* One parameter: every value but the present one; the best is recorded. */
static norn_status tune_key(norni_trial *t, const norni_trial *reference, const norni_tuning_asked *a,
                            double until_ms, double each_s, norn_tune_result *out) {
    const norn_device *d = norn_context_device(t->session->contexts[0]);
    double now, best = INFINITY, ms, share;
    int found = -1;
    bool right;
    norn_status s = run_trial(t, reference, each_s, &now, &right);
    norni_trial_end(t);
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
        norni_trial_end(t);
        out->tried++;
        out->wrong += s == NORN_OK && !right;
        if (s == NORN_OK && right && ms < best) {
            best = ms;
            found = i;
        }
    }
    if (found < 0 || !(best < 0.97 * now))
        return NORN_OK;
    NORNI_TRY(confirm(t, reference, a, found, each_s, &share));
    if (share >= 1)
        return NORN_OK;
    NORNI_TRY(norni_tuning_put(d, a->key, a->values[found]));
    out->after_ms *= share;
    note_record(out, a, found);
    return NORN_OK;
}

/* What is asked for with the records of now. */
static norn_status start_watched(norni_trial *t, norni_tuning_watch *w) {
    norni_tuning_watch_set(w);
    norn_status s = norni_trial_start(t);
    norni_tuning_watch_set(NULL);
    return s;
}

static bool asked(const norni_tuning_watch *w, size_t n, const char *key) {
    for (size_t i = 0; i < n; i++)
        if (!strcmp(w->asked.v[i].key, key))
            return true;
    return false;
}

static norn_status tune(norni_trial *t, norn_session *host, double seconds, norn_tune_result *out) {
    norni_tuning_watch w = {0};
    norni_trial reference = {.g = t->g};
    double each = 0.1;
    norn_status s = start_watched(t, &w);
    if (s == NORN_OK)
        s = norni_trial_reference(t, host, &reference);
    if (s == NORN_OK)
        s = norni_trial_time(t, each, &out->before_ms);
    norni_trial_end(t);
    out->after_ms = out->before_ms;
    double start = norni_bench_now_ms(); /* compiling what is there has not counted */
    for (size_t i = 0; i < w.asked.n && s == NORN_OK; i++) {
        size_t n = strlen(out->records), before = w.asked.n;
        s = tune_key(t, &reference, &w.asked.v[i], start + seconds * 1e3, each, out);
        if (s != NORN_OK || strlen(out->records) == n)
            continue;
        /* Another choice may ask for other parameters. */
        norni_tuning_watch more = {0};
        s = start_watched(t, &more);
        norni_trial_end(t);
        for (size_t k = 0; k < more.asked.n && s == NORN_OK; k++)
            if (!asked(&w, before, more.asked.v[k].key)) {
                s = NORNI_PUSH(&w.asked, more.asked.v[k]) ? NORN_OK : norni_nomem();
                more.asked.v[k].key = NULL;
            }
        norni_tuning_watch_free(&more);
    }
    out->parameters = (int)w.asked.n;
    norni_trial_end(&reference);
    norni_tuning_watch_free(&w);
    return s;
}

norn_status norn_tune_op(norn_session *s, const char *line, const norn_tune_options *options,
                         norn_tune_result *out) {
    const norn_tune_options none = {0}, *o = options ? options : &none;
    norni_trial *t = norni_alloc(sizeof *t);
    norn_session *host = NULL;
    *out = (norn_tune_result){0};
    if (!t)
        return norni_nomem();
    snprintf(out->line, sizeof out->line, "%s", line);
    norn_status st = norni_trial_make(t, s, line, o->implementations, o->weights);
    if (st == NORN_OK)
        st = norn_session_open("host", &host);
    if (st == NORN_OK)
        st = tune(t, host, o->seconds > 0 ? o->seconds : 10, out);
    norni_trial_free(t);
    norni_free(t);
    norn_session_close(host);
    return norni_prefix(st, "%s", line);
}

norn_status norn_tune_save(char **path) {
    return norni_tuning_save(path);
}
