/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/trial.h"
#include <math.h>

void norni_trial_end(norni_trial *t) {
    norn_executable_free(t->exe);
    while (t->n_copies > 0)
        norn_executable_free(t->copies[--t->n_copies]);
    for (size_t i = 0; i < NORNI_TRIAL_OUTPUTS; i++) {
        norn_tensor_free(t->out[i].tensor);
        t->out[i].tensor = NULL;
    }
    t->exe = NULL;
}

static norn_status make_feeds(norni_trial *t, bool weights) {
    size_t n = t->g->inputs.n, left = 0;
    for (size_t i = 0; i < n; i++) {
        const norni_bench_range r = {.lo = -1, .hi = 1, .stream = i};
        norn_value *v = t->g->inputs.v[i];
        norn_tensor *x;
        if (!norni_type_static(&v->type))
            return norni_fail(NORN_SHAPE, "input '%s' has sizes without a number", v->name);
        NORNI_TRY(norni_bench_random(&v->type, &r, &x));
        if (weights && i && norni_dtype_is_float(v->type.dtype)) {
            v->kind = NORNI_CONST;
            v->data = x;
        } else {
            t->feeds[left] = (norn_feed){v->name, x};
            t->g->inputs.v[left++] = v;
        }
    }
    t->g->inputs.n = left;
    return NORN_OK;
}

norn_status norni_trial_make(norni_trial *t, norn_session *s, const char *line, const char *implementations,
                             bool weights) {
    *t = (norni_trial){.session = s, .implementations = implementations};
    NORNI_TRY(norni_node_parse(line, &t->g));
    if (t->g->inputs.n > NORNI_TRIAL_INPUTS || t->g->outputs.n > NORNI_TRIAL_OUTPUTS)
        return norni_fail(NORN_UNSUPPORTED, "more than %d inputs or outputs", NORNI_TRIAL_INPUTS);
    return make_feeds(t, weights);
}

void norni_trial_free(norni_trial *t) {
    norni_trial_end(t);
    for (int i = 0; i < NORNI_TRIAL_INPUTS; i++)
        norn_tensor_free((norn_tensor *)t->feeds[i].tensor);
    norn_graph_free(t->g);
    *t = (norni_trial){0};
}

norn_status norni_trial_again(norni_trial *t) {
    for (size_t i = 0; i < t->g->outputs.n; i++) {
        norn_tensor_free(t->out[i].tensor);
        t->out[i] = (norn_fetch){t->g->outputs.v[i].name, NULL};
    }
    return norn_executable_run(t->exe, t->g->inputs.n, t->feeds, t->g->outputs.n, t->out);
}

norn_status norni_trial_start(norni_trial *t) {
    const norn_plan_options o = {.keep_inputs = true, .implementations = t->implementations};
    NORNI_TRY(norn_executable_new(t->session, t->g, &o, NULL, &t->exe));
    return norni_trial_again(t);
}

norn_status norni_trial_reference(const norni_trial *t, norn_session *host, norni_trial *r) {
    enum { PATIENCE_S = 5 };
    double seconds = norni_bench_host_seconds(norn_executable_plan(t->exe));
    *r = (norni_trial){.session = seconds <= PATIENCE_S ? host : t->session, .g = t->g};
    for (size_t i = 0; i < t->g->inputs.n; i++)
        r->feeds[i] = t->feeds[i];
    return norni_trial_start(r);
}

bool norni_trial_agrees(const norni_trial *t, const norni_trial *reference) {
    norn_bench_result r = {.correct = true};
    for (size_t i = 0; i < t->g->outputs.n; i++)
        norni_bench_compare(t->out[i].tensor, reference->out[i].tensor, &r);
    return r.correct;
}

/* Copies until their weights, together, are more than caches hold. */
static norn_status make_copies(norni_trial *t) {
    const uint64_t large = 4u << 20, caches = 128u << 20;
    const norn_plan_options o = {.keep_inputs = true, .implementations = t->implementations};
    uint64_t bytes = norn_plan_constant_bytes(norn_executable_plan(t->exe));
    if (bytes < large)
        return NORN_OK;
    while (t->n_copies < NORNI_TRIAL_COPIES && (uint64_t)(t->n_copies + 1) * bytes < caches) {
        norn_executable **e = &t->copies[t->n_copies];
        NORNI_TRY(norn_executable_new(t->session, t->g, &o, NULL, e));
        t->n_copies++;
        NORNI_TRY(norn_executable_run(*e, t->g->inputs.n, t->feeds, 0, NULL));
    }
    return NORN_OK;
}

norn_status norni_trial_time(norni_trial *t, double seconds, double *ms) {
    if (!t->n_copies)
        NORNI_TRY(make_copies(t));
    double start = norni_bench_now_ms(), before = start;
    *ms = INFINITY;
    for (int i = 0; i < 100000 && (i < 4 || before - start < seconds * 1e3); i++) {
        int turn = i % (t->n_copies + 1);
        NORNI_TRY(norni_executable_rerun(turn ? t->copies[turn - 1] : t->exe));
        NORNI_TRY(norn_context_finish(t->session->contexts[0]));
        double now = norni_bench_now_ms();
        *ms = i && now - before < *ms ? now - before : *ms;
        before = now;
    }
    return NORN_OK;
}
