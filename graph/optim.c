/* SPDX-License-Identifier: Apache-2.0 */
/* Optimizers as graph-to-graph functions: each parameter's update is a few pointwise operators, which fuse
 * into one kernel. The rules are those of PyTorch 2 (torch.optim), from its documentation. */
#include "graph/graph.h"
#include "ops/op.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

void norn_optimizer_init(norn_optimizer *o, norn_optimizer_kind kind) {
    *o = (norn_optimizer){.kind = kind, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .alpha = 0.99};
    switch (kind) {
    case NORN_SGD:
        o->lr = 1e-3;
        break;
    case NORN_ADAM:
        o->lr = 1e-3;
        break;
    case NORN_ADAMW:
        o->lr = 1e-3;
        o->weight_decay = 1e-2;
        break;
    case NORN_RMSPROP:
        o->lr = 1e-2;
        break;
    case NORN_ADAGRAD:
        o->lr = 1e-2;
        o->eps = 1e-10;
        break;
    }
}

norn_status norn_optimizer_check(const norn_optimizer *o) {
    const struct {
        const char *name;
        double v, lo, below;
    } range[] = {
        {"lr", o->lr, 0, INFINITY},
        {"momentum", o->momentum, 0, INFINITY},
        {"dampening", o->dampening, -INFINITY, INFINITY},
        {"weight-decay", o->weight_decay, 0, INFINITY},
        {"beta1", o->beta1, 0, 1},
        {"beta2", o->beta2, 0, 1},
        {"eps", o->eps, 0, INFINITY},
        {"alpha", o->alpha, 0, INFINITY},
        {"lr-decay", o->lr_decay, 0, INFINITY},
        {"initial-accumulator", o->initial_accumulator, 0, INFINITY},
    };
    for (size_t i = 0; i < sizeof range / sizeof *range; i++)
        if (!(range[i].v >= range[i].lo && range[i].v < range[i].below))
            return norni_fail(NORN_ARG, "optimizer: %s: got %g (wanted a number from %g up to below %g)",
                              range[i].name, range[i].v, range[i].lo, range[i].below);
    if (o->nesterov && (o->momentum <= 0 || o->dampening != 0))
        return norni_fail(
            NORN_ARG,
            "optimizer: nesterov: got momentum %g, dampening %g (wanted a momentum above 0 and no "
            "dampening)",
            o->momentum, o->dampening);
    return NORN_OK;
}

/* The variables of the update formulas. Hyperparameters are constants, lr may be an input; t is the number of
 * this step, from 1; c1 and c2 are 1 - beta^t. Complements (rest1 = 1 - b1, rest2, rest = 1 - alpha, undamped) are rounded once,
 * from double: 1 - 0.999 in float would be off by 5e-5. */
enum { P, G, M, V, A, LR, MU, UNDAMPED, WD, B1, B2, REST1, REST2, EPS, ALPHA, REST, T, C1, C2, N_VARS };
static const char *const names[N_VARS] = {"p",        "g",    "m",  "v",  "a",     "lr",    "mu",
                                          "undamped", "wd",   "b1", "b2", "rest1", "rest2", "eps",
                                          "alpha",    "rest", "t",  "c1", "c2"};

typedef struct {
    norn_graph *g;
    const norn_optimizer *o;
    norn_value *vars[N_VARS];
    norn_dtype dtype;
} update;

static norn_value *f(update *u, const char *text) {
    return norni_formula(u->g, text, N_VARS, names, u->vars);
}

/* A state beside the parameter: "NAME/m". */
static norn_value *slot(update *u, const char *suffix, double initial) {
    const norn_value *p = u->vars[P];
    char name[512];
    norn_tensor *t;
    snprintf(name, sizeof name, "%s/%s", p->name, suffix);
    norn_status s = norni_type_static(&p->type)
                        ? norni_tensor_host(p->type.dtype, p->type.rank, p->type.dims, &t)
                        : norni_fail(NORN_SHAPE, "parameter '%s': a size is not known", p->name);
    if (s == NORN_OK && norni_graph_find(u->g, name)) {
        norn_tensor_free(t);
        s = norni_fail(NORN_ARG, "optimizer: the name '%s' is taken", name);
    }
    if (s != NORN_OK)
        return norni_graph_failed(u->g, s);
    for (int64_t i = 0, n = norni_tensor_elems(t); initial != 0 && i < n; i++)
        norni_set_double(t->dtype, norni_tensor_data(t), i, initial);
    return norni_value_state(u->g, name, &p->type, t);
}

static norn_status set_next(update *u, norn_value *state, norn_value *next) {
    return next && state ? norn_graph_update(u->g, state, next) : norn_graph_status(u->g);
}

static norn_status sgd(update *u) {
    if (u->o->weight_decay != 0)
        u->vars[G] = f(u, "g + wd * p");
    if (u->o->momentum != 0) {
        norn_value *m = u->vars[M] = slot(u, "momentum", 0), *next;
        /* The first step takes the gradient itself, undampened. */
        next = f(u, u->o->dampening != 0 ? "where(t == 1, g, mu * m + undamped * g)" : "mu * m + g");
        NORNI_TRY(set_next(u, m, next));
        u->vars[M] = next;
        u->vars[G] = u->o->nesterov ? f(u, "g + mu * m") : next;
    }
    return set_next(u, u->vars[P], f(u, "p - lr * g"));
}

static norn_status adam(update *u) {
    /* States first: they are named after the parameter, not after its decayed form. */
    norn_value *p = u->vars[P], *m = slot(u, "exp_avg", 0), *v = slot(u, "exp_avg_sq", 0);
    norn_value *a = u->o->amsgrad ? slot(u, "max_exp_avg_sq", 0) : NULL;
    if (u->o->kind == NORN_ADAMW && u->o->weight_decay != 0)
        u->vars[P] = f(u, "p - lr * wd * p");
    else if (u->o->weight_decay != 0)
        u->vars[G] = f(u, "g + wd * p");
    u->vars[M] = m;
    u->vars[V] = v;
    u->vars[A] = a;
    u->vars[M] = f(u, "m + rest1 * (g - m)");
    u->vars[V] = f(u, "b2 * v + rest2 * g * g");
    NORNI_TRY(set_next(u, m, u->vars[M]));
    NORNI_TRY(set_next(u, v, u->vars[V]));
    if (u->o->amsgrad) {
        u->vars[V] = f(u, "max(a, v)");
        NORNI_TRY(set_next(u, a, u->vars[V]));
    }
    return set_next(u, p, f(u, "p - (lr / c1) * m / (sqrt(v) / sqrt(c2) + eps)"));
}

static norn_status rmsprop(update *u) {
    norn_value *p = u->vars[P], *v, *a, *m;
    if (u->o->weight_decay != 0)
        u->vars[G] = f(u, "g + wd * p");
    v = u->vars[V] = slot(u, "square_avg", 0);
    u->vars[V] = f(u, "alpha * v + rest * g * g");
    NORNI_TRY(set_next(u, v, u->vars[V]));
    if (u->o->centered) {
        a = u->vars[A] = slot(u, "grad_avg", 0);
        u->vars[A] = f(u, "a + rest * (g - a)");
        NORNI_TRY(set_next(u, a, u->vars[A]));
        u->vars[V] = f(u, "v - a * a");
    }
    u->vars[G] = f(u, "g / (sqrt(v) + eps)");
    if (u->o->momentum != 0) {
        m = u->vars[M] = slot(u, "momentum_buffer", 0);
        u->vars[G] = f(u, "mu * m + g");
        NORNI_TRY(set_next(u, m, u->vars[G]));
    }
    return set_next(u, p, f(u, "p - lr * g"));
}

static norn_status adagrad(update *u) {
    if (u->o->weight_decay != 0)
        u->vars[G] = f(u, "g + wd * p");
    norn_value *v = u->vars[V] = slot(u, "sum", u->o->initial_accumulator);
    u->vars[V] = f(u, "v + g * g");
    NORNI_TRY(set_next(u, v, u->vars[V]));
    return set_next(u, u->vars[P], f(u, "p - lr * g / (sqrt(v) + eps)"));
}

/* The number of the step, kept as "optimizer/step", as a scalar of the parameters' type. */
static norn_value *step_number(norn_graph *g, norn_dtype dtype, norn_value **state) {
    norn_tensor *zero;
    norni_type t = {.dtype = NORN_I64};
    norn_status s = norni_tensor_host(NORN_I64, 0, NULL, &zero);
    if (s != NORN_OK)
        return norni_graph_failed(g, s);
    if (!*state) {
        *state = norni_value_state(g, "optimizer/step", &t, zero);
        norn_value *next = NORNI_OP2(g, *state, norni_scalar_const(g, NORN_I64, 1), "Add");
        if (next)
            norn_graph_update(g, *state, next);
    } else
        norn_tensor_free(zero);
    norn_value *next = NULL;
    for (size_t i = 0; *state && i < g->states.n; i++)
        if (g->states.v[i].value == *state)
            next = g->states.v[i].next;
    return NORNI_OP1(g, next, "Cast<to=%d>", (int)dtype);
}

/* 1 - beta^t without cancellation: with h = tanh(t ln(beta) / 2), 1 - beta^t = -2 h / (1 - h). */
static norn_value *bias_correction(update *u, double beta) {
    if (beta == 0)
        return norni_scalar_const(u->g, u->dtype, 1);
    norn_value *h = norni_scalar_const(u->g, u->dtype, log(beta) / 2);
    norn_value *x[] = {u->vars[T], h};
    h = norni_formula(u->g, "tanh(t * k)", 2, (const char *[]){"t", "k"}, x);
    return norni_formula(u->g, "-(2 * h) / (1 - h)", 1, (const char *[]){"h"}, &h);
}

static norn_status prepare(update *u, norn_value *lr, norn_value **step) {
    const norn_optimizer *o = u->o;
    const struct {
        int var;
        double v;
    } consts[] = {{MU, o->momentum},     {UNDAMPED, 1 - o->dampening},
                  {WD, o->weight_decay}, {B1, o->beta1},
                  {B2, o->beta2},        {REST1, 1 - o->beta1},
                  {REST2, 1 - o->beta2}, {REST, 1 - o->alpha},
                  {EPS, o->eps},         {ALPHA, o->alpha}};
    for (size_t i = 0; i < sizeof consts / sizeof *consts; i++)
        u->vars[consts[i].var] = norni_scalar_const(u->g, u->dtype, consts[i].v);
    u->vars[LR] = !lr                    ? norni_scalar_const(u->g, u->dtype, o->lr)
                  : u->dtype == NORN_F32 ? lr
                                         : NORNI_OP1(u->g, lr, "Cast<to=%d>", (int)u->dtype);
    bool is_adam = o->kind == NORN_ADAM || o->kind == NORN_ADAMW;
    if (is_adam || (o->kind == NORN_SGD && o->dampening != 0) ||
        (o->kind == NORN_ADAGRAD && o->lr_decay != 0))
        u->vars[T] = step_number(u->g, u->dtype, step);
    if (is_adam) {
        u->vars[C1] = bias_correction(u, o->beta1);
        u->vars[C2] = bias_correction(u, o->beta2);
    }
    if (o->kind == NORN_ADAGRAD && o->lr_decay != 0) {
        norn_value *x[] = {u->vars[LR], u->vars[T], norni_scalar_const(u->g, u->dtype, o->lr_decay)};
        u->vars[LR] = norni_formula(u->g, "lr / (1 + (t - 1) * d)", 3, (const char *[]){"lr", "t", "d"}, x);
    }
    return norn_graph_status(u->g);
}

norn_status norn_graph_minimize(norn_graph *g, norn_value *loss, const norn_optimizer *o, bool lr_input,
                                size_t n, norn_value *const *parameters) {
    NORNI_TRY(norn_graph_status(g));
    NORNI_TRY(norn_optimizer_check(o));
    if (!loss || loss->type.rank != 0)
        return norni_fail(NORN_SHAPE, "minimize: the loss has rank %d (wanted a scalar)",
                          loss ? loss->type.rank : -1);
    size_t all = n ? n : g->states.n;
    norn_value **p = norni_alloc_array(all + 1, sizeof *p), **dp = norni_alloc_array(all + 1, sizeof *dp);
    norn_status s = p && dp ? NORN_OK : norni_nomem();
    size_t count = 0;
    for (size_t i = 0; i < all && s == NORN_OK; i++) {
        norn_value *v = n ? parameters[i] : g->states.v[i].value;
        bool updated = false;
        for (size_t k = 0; k < g->states.n; k++)
            updated |= g->states.v[k].value == v && g->states.v[k].next;
        if (n || (norni_dtype_is_float(v->type.dtype) && !updated)) /* statistics have an update already */
            p[count++] = v;
    }
    if (s == NORN_OK)
        s = norn_grad(g, loss, NULL, count, p, dp);
    norn_value *lr = NULL, *step = NULL;
    if (s == NORN_OK && lr_input) {
        lr = norn_graph_input(g, "lr", "float[]");
        s = norn_graph_status(g);
    }
    norn_dtype prepared = NORN_UNDEFINED;
    update u = {.g = g, .o = o};
    for (size_t i = 0; i < count && s == NORN_OK; i++) {
        u.dtype = p[i]->type.dtype;
        if (u.dtype != prepared)
            s = prepare(&u, lr, &step);
        prepared = u.dtype;
        u.vars[P] = p[i];
        u.vars[G] = dp[i];
        if (s != NORN_OK)
            break;
        switch (o->kind) {
        case NORN_SGD:
            s = sgd(&u);
            break;
        case NORN_ADAM:
        case NORN_ADAMW:
            s = adam(&u);
            break;
        case NORN_RMSPROP:
            s = rmsprop(&u);
            break;
        case NORN_ADAGRAD:
            s = adagrad(&u);
            break;
        }
        if (s == NORN_OK)
            s = norn_graph_status(g);
    }
    norni_free(p);
    norni_free(dp);
    return s;
}
