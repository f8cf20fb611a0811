/* SPDX-License-Identifier: Apache-2.0 */
#include "training_options.h"
#include "output.h"

const char *const loss_choices[] = {"cross-entropy", "mse", NULL};
const char *const optimizer_choices[] = {"sgd",   "momentum", "nesterov", "adam",
                                         "adamw", "rmsprop",  "adagrad",  NULL};

enum { SGD, MOMENTUM, NESTEROV, ADAM, ADAMW, RMSPROP, ADAGRAD };

/* A number that was given goes to the optimizer, if it has such a thing. */
static int set(const training_options *o, const char *name, double given, bool has, double *to) {
    if (isnan(given))
        return 0;
    if (!has)
        return usage_error("--%s: %s has none", name, optimizer_choices[o->optimizer]);
    *to = given;
    return 0;
}

int training_set(const training_options *o, norn_train_options *out) {
    static const norn_optimizer_kind kinds[] = {NORN_SGD,   NORN_SGD,     NORN_SGD,    NORN_ADAM,
                                                NORN_ADAMW, NORN_RMSPROP, NORN_ADAGRAD};
    norn_optimizer *p = &out->optimizer;
    bool sgd = o->optimizer <= NESTEROV, adam = o->optimizer == ADAM || o->optimizer == ADAMW;
    bool rmsprop = o->optimizer == RMSPROP;
    norn_train_options_init(out);
    norn_optimizer_init(p, kinds[o->optimizer]);
    if (o->optimizer == MOMENTUM || o->optimizer == NESTEROV)
        p->momentum = 0.9;
    p->nesterov = o->optimizer == NESTEROV;
    out->loss = (norn_loss)o->loss;
    out->freeze = o->freeze;
    out->train = o->train;
    out->plan.numerics = (norn_numerics)o->numerics;
    const struct {
        const char *name;
        double given;
        bool has;
        double *to;
    } numbers[] = {
        {"lr", o->lr, true, &p->lr},
        {"momentum", o->momentum, sgd || rmsprop, &p->momentum},
        {"dampening", o->dampening, sgd, &p->dampening},
        {"weight-decay", o->weight_decay, true, &p->weight_decay},
        {"beta1", o->beta1, adam, &p->beta1},
        {"beta2", o->beta2, adam, &p->beta2},
        {"eps", o->eps, !sgd, &p->eps},
        {"alpha", o->alpha, rmsprop, &p->alpha},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        int code = set(o, numbers[i].name, numbers[i].given, numbers[i].has, numbers[i].to);
        if (code)
            return code;
    }
    if (o->amsgrad && !adam)
        return usage_error("--amsgrad: %s has none", optimizer_choices[o->optimizer]);
    if (o->centered && !rmsprop)
        return usage_error("--centered: %s has none", optimizer_choices[o->optimizer]);
    p->amsgrad = o->amsgrad;
    p->centered = o->centered;
    return norn_optimizer_check(p) == NORN_OK ? 0 : usage_error("%s", norn_error());
}
