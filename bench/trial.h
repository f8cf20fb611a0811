/* SPDX-License-Identifier: Apache-2.0 */
/* What the tuners share: an operator on random data, run and timed on a device, compared with a reference. */
#ifndef NORNI_BENCH_TRIAL_H
#define NORNI_BENCH_TRIAL_H
#include "bench/bench.h"

enum { NORNI_TRIAL_INPUTS = 32, NORNI_TRIAL_OUTPUTS = 32, NORNI_TRIAL_COPIES = 8 };

typedef struct {
    norn_session *session;
    norn_graph *g;
    const char *implementations; /* that are wanted; NULL: the best */
    norn_executable *exe;
    norn_executable *copies[NORNI_TRIAL_COPIES]; /* of exe, with weights of their own */
    int n_copies;
    norn_feed feeds[NORNI_TRIAL_INPUTS];
    norn_fetch out[NORNI_TRIAL_OUTPUTS];
} norni_trial;

/* The graph of a line and its feeds; norni_trial_free frees both, whatever became of it. weights: inputs of floats from the
 * second on are constants, as in a network that is run. */
norn_status norni_trial_make(norni_trial *t, norn_session *s, const char *line, const char *implementations,
                             bool weights);
void norni_trial_free(norni_trial *t);
/* Plans anew and runs once; norni_trial_end drops plan and results. */
norn_status norni_trial_start(norni_trial *t);
void norni_trial_end(norni_trial *t);
/* Runs what was started again, with new results. */
norn_status norni_trial_again(norni_trial *t);
/* What results of t, which was started, are compared with: the host reference where that takes no more than some seconds,
 * else the kernels that norn would run untuned. It shares graph and feeds, and is ended, not freed. */
norn_status norni_trial_reference(const norni_trial *t, norn_session *host, norni_trial *r);
bool norni_trial_agrees(const norni_trial *t, const norni_trial *reference);
/* The best time of runs within `seconds`, at least 3, in ms. Weights that a large network would find in memory rather than in
 * a cache are taken from there here, too: copies of the operator take turns. */
norn_status norni_trial_time(norni_trial *t, double seconds, double *ms);

#endif
