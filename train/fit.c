/* SPDX-License-Identifier: Apache-2.0 */
/* The training loop. */
#include "base/alloc.h"
#include "base/status.h"
#include <math.h>
#include <stdint.h>
#include <time.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

typedef struct {
    norn_trainer *t;
    const norn_dataset *ds;
    norn_fit_options o;
    norn_progress p;
    double loss_sum, start;
    int64_t correct, labels;
    bool stopped;
} loop;

static norn_status step(loop *l, const int64_t *indices, int64_t n) {
    norn_tensor *x = NULL, *y = NULL;
    norn_train_result r = {0};
    double start = now();
    norn_status s = norn_dataset_batch(l->ds, indices, n, &x, &y);
    if (s == NORN_OK)
        s = norn_trainer_step(l->t, x, y, &r);
    norn_tensor_free(x);
    norn_tensor_free(y);
    if (s != NORN_OK)
        return norni_prefix(s, "step %lld", (long long)l->p.step + 1);
    l->loss_sum += r.loss * (double)r.count;
    l->labels += r.count;
    l->correct += r.correct > 0 ? r.correct : 0;
    l->p.step++;
    l->p.samples += n;
    l->p.loss = r.loss;
    l->p.epoch_loss = l->loss_sum / (double)(l->labels ? l->labels : 1);
    l->p.accuracy = r.correct >= 0 && l->labels ? (double)l->correct / (double)l->labels : (double)NAN;
    l->p.seconds = now() - l->start;
    l->p.step_seconds = now() - start;
    return NORN_OK;
}

/* Going on would only spread it: every parameter is NaN after such a step. */
static norn_status check_loss(const loop *l) {
    if (!isfinite(l->p.loss))
        return norni_fail(NORN_ARG, "step %lld: the loss is %g, so training ends here (%s)",
                          (long long)l->p.step, l->p.loss,
                          l->p.step == 1
                              ? "before any update: the numbers of the network or of the data are too large"
                              : "a smaller learning rate may help");
    if (l->p.validated && !isfinite(l->p.val_loss))
        return norni_fail(NORN_ARG, "epoch %lld: the loss of the validation data is %g",
                          (long long)l->p.epoch, l->p.val_loss);
    return NORN_OK;
}

static void report(loop *l) {
    if (l->o.progress && !l->o.progress(l->o.user, &l->p))
        l->stopped = true;
}

static norn_status epoch(loop *l, int64_t *order, int64_t count) {
    l->loss_sum = 0;
    l->correct = l->labels = 0;
    l->p.samples = 0;
    if (!l->o.no_shuffle)
        norn_dataset_shuffle(l->ds, l->o.seed, (uint32_t)l->p.epoch, order);
    for (int64_t i = 0; i < count && l->p.step < l->p.steps && !l->stopped; i += l->o.batch) {
        int64_t n = l->o.batch < count - i ? l->o.batch : count - i;
        NORNI_TRY(step(l, order + i, n));
        l->p.epoch_end = i + n >= count || l->p.step == l->p.steps;
        l->p.validated = false;
        if (l->p.epoch_end && l->o.validation && isfinite(l->p.loss)) {
            norn_train_result v;
            NORNI_TRY(norn_trainer_evaluate(l->t, l->o.validation, l->o.batch, &v));
            l->p.validated = true;
            l->p.val_loss = v.loss;
            l->p.val_accuracy = v.correct >= 0 && v.count ? (double)v.correct / (double)v.count : (double)NAN;
            l->p.seconds = now() - l->start;
        }
        report(l);
        if (!l->stopped)
            NORNI_TRY(check_loss(l));
    }
    return NORN_OK;
}

norn_status norn_trainer_fit(norn_trainer *t, norn_dataset *ds, const norn_fit_options *options) {
    loop l = {.t = t, .ds = ds, .start = now()};
    if (options)
        l.o = *options;
    int64_t count = norn_dataset_count(ds);
    if (l.o.batch < 0 || l.o.epochs < 0 || l.o.steps < 0)
        return norni_fail(NORN_ARG, "fit: batch %lld, epochs %lld, steps %lld (wanted no negative numbers)",
                          (long long)l.o.batch, (long long)l.o.epochs, (long long)l.o.steps);
    if (!l.o.batch)
        l.o.batch = 32;
    int64_t per_epoch = (count + l.o.batch - 1) / l.o.batch;
    if (!l.o.epochs)
        l.o.epochs = l.o.steps ? (l.o.steps + per_epoch - 1) / per_epoch : 10;
    if (l.o.epochs > INT64_MAX / (per_epoch ? per_epoch : 1) || l.o.epochs > UINT32_MAX)
        return norni_fail(NORN_ARG, "fit: %lld epochs are more than can be counted", (long long)l.o.epochs);
    l.p.epochs = l.o.epochs;
    l.p.steps = l.o.epochs * per_epoch;
    if (l.o.steps && l.o.steps < l.p.steps)
        l.p.steps = l.o.steps;
    NORNI_TRY(norn_trainer_check(t, ds, &l.o));
    int64_t *order = norni_alloc_array((size_t)count + 1, sizeof *order);
    if (!order)
        return norni_nomem();
    for (int64_t i = 0; i < count; i++)
        order[i] = i;
    norn_status s = NORN_OK;
    for (l.p.epoch = 1; l.p.epoch <= l.p.epochs && l.p.step < l.p.steps && !l.stopped && s == NORN_OK;
         l.p.epoch++)
        s = epoch(&l, order, count);
    norni_free(order);
    return s;
}
