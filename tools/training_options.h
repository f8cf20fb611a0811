/* SPDX-License-Identifier: Apache-2.0 */
/* The options of a training step, which norn train and norn bench train share. */
#ifndef NORN_TOOLS_TRAINING_OPTIONS_H
#define NORN_TOOLS_TRAINING_OPTIONS_H
#include "options.h"
#include <math.h>
#include <norn.h>

typedef struct {
    int loss, optimizer, numerics;
    /* NaN: not given. */
    double lr, momentum, dampening, weight_decay, beta1, beta2, eps, alpha;
    bool amsgrad, centered;
    const char *freeze, *train;
} training_options;

extern const char *const loss_choices[], *const optimizer_choices[];

/* Cross entropy, Adam. */
#define TRAINING_DEFAULTS                                                                                    \
    {                                                                                                        \
        .optimizer = 3, .lr = NAN, .momentum = NAN, .dampening = NAN, .weight_decay = NAN, .beta1 = NAN,     \
        .beta2 = NAN, .eps = NAN, .alpha = NAN                                                               \
    }

/* For a struct whose field `at` is a training_options. */
#define OPT_TRAINING(type, at)                                                                                \
    {"loss", "L", OPT_CHOICE, offsetof(type, at.loss), "what is minimised", loss_choices, 0},                 \
        {"optimizer", "O", OPT_CHOICE, offsetof(type, at.optimizer), "how", optimizer_choices, 0},            \
        {"lr",                                                                                                \
         "X",                                                                                                 \
         OPT_REAL,                                                                                            \
         offsetof(type, at.lr),                                                                               \
         "learning rate; else the optimizer's own (sgd and its kin 0.01)",                                    \
         NULL,                                                                                                \
         0},                                                                                                  \
        {"momentum",                                                                                          \
         "X",                                                                                                 \
         OPT_REAL,                                                                                            \
         offsetof(type, at.momentum),                                                                         \
         "momentum 0.9, nesterov 0.9, others 0 unless given",                                                 \
         NULL,                                                                                                \
         0},                                                                                                  \
        {"dampening", "X", OPT_REAL, offsetof(type, at.dampening), "of the momentum", NULL, 0},               \
        {"weight-decay", "X", OPT_REAL, offsetof(type, at.weight_decay), "adamw 0.01, others 0 unless given", \
         NULL,           0},                                                                                  \
        {"beta1", "X", OPT_REAL, offsetof(type, at.beta1), "of adam and adamw; else 0.9", NULL, 0},           \
        {"beta2", "X", OPT_REAL, offsetof(type, at.beta2), "of adam and adamw; else 0.999", NULL, 0},         \
        {"eps", "X", OPT_REAL, offsetof(type, at.eps), "added to a divisor; else 1e-8 (adagrad 1e-10)",       \
         NULL,  0},                                                                                           \
        {"alpha", "X", OPT_REAL, offsetof(type, at.alpha), "of rmsprop; else 0.99", NULL, 0},                 \
        {"amsgrad", NULL, OPT_FLAG, offsetof(type, at.amsgrad), "of adam and adamw", NULL, 0},                \
        {"centered", NULL, OPT_FLAG, offsetof(type, at.centered), "of rmsprop", NULL, 0},                     \
        {"freeze",                                                                                            \
         "PATTERNS",                                                                                          \
         OPT_TEXT,                                                                                            \
         offsetof(type, at.freeze),                                                                           \
         "what is not trained: names with * and ?, commas between",                                           \
         NULL,                                                                                                \
         0},                                                                                                  \
        {"train", "PATTERNS", OPT_TEXT, offsetof(type, at.train), "what is trained after all", NULL, 0}, {    \
        "numerics", "MODE", OPT_CHOICE, offsetof(type, at.numerics), "which algorithms may be used",          \
            numerics_choices, 0                                                                               \
    }

/* Returns the exit code: an option that the optimizer does not have is an error, which has been printed. */
int training_set(const training_options *o, norn_train_options *out);

#endif
