/* SPDX-License-Identifier: Apache-2.0 */
/* Which initialisers of a foreign graph are trained. */
#include "ops/op.h"
#include "train/prepare.h"
#include <fnmatch.h>
#include <string.h>

/* Inputs through which parameters enter an operator. */
static const struct {
    const char *op;
    int input;
    norni_role role;
} entries[] = {
    {"Conv", 1, NORNI_ROLE_WEIGHT},
    {"Conv", 2, NORNI_ROLE_BIAS},
    {"ConvTranspose", 1, NORNI_ROLE_WEIGHT},
    {"ConvTranspose", 2, NORNI_ROLE_BIAS},
    {"Gemm", 0, NORNI_ROLE_WEIGHT},
    {"Gemm", 1, NORNI_ROLE_WEIGHT},
    {"Gemm", 2, NORNI_ROLE_BIAS},
    {"MatMul", 0, NORNI_ROLE_WEIGHT},
    {"MatMul", 1, NORNI_ROLE_WEIGHT},
    {"BatchNormalization", 1, NORNI_ROLE_SCALE},
    {"BatchNormalization", 2, NORNI_ROLE_BIAS},
    {"BatchNormalization", 3, NORNI_ROLE_STATISTICS},
    {"BatchNormalization", 4, NORNI_ROLE_STATISTICS},
    {"LayerNormalization", 1, NORNI_ROLE_SCALE},
    {"LayerNormalization", 2, NORNI_ROLE_BIAS},
    {"InstanceNormalization", 1, NORNI_ROLE_SCALE},
    {"InstanceNormalization", 2, NORNI_ROLE_BIAS},
    {"GroupNormalization", 1, NORNI_ROLE_SCALE},
    {"GroupNormalization", 2, NORNI_ROLE_BIAS},
    {"RMSNormalization", 1, NORNI_ROLE_SCALE},
    {"PRelu", 1, NORNI_ROLE_SCALE},
    {"LSTM", 1, NORNI_ROLE_WEIGHT},
    {"LSTM", 2, NORNI_ROLE_WEIGHT},
    {"LSTM", 3, NORNI_ROLE_BIAS},
    {"LSTM", 7, NORNI_ROLE_WEIGHT},
    {"GRU", 1, NORNI_ROLE_WEIGHT},
    {"GRU", 2, NORNI_ROLE_WEIGHT},
    {"GRU", 3, NORNI_ROLE_BIAS},
    {"RNN", 1, NORNI_ROLE_WEIGHT},
    {"RNN", 2, NORNI_ROLE_WEIGHT},
    {"RNN", 3, NORNI_ROLE_BIAS},
    {"Gather", 0, NORNI_ROLE_WEIGHT}, /* an embedding table */
    {"Add", 0, NORNI_ROLE_OPERAND},
    {"Add", 1, NORNI_ROLE_OPERAND},
    {"Mul", 0, NORNI_ROLE_OPERAND},
    {"Mul", 1, NORNI_ROLE_OPERAND},
};

/* What an initialiser may pass on its way to such an input without ceasing to be the parameter. */
static bool passes(const norn_node *n) {
    static const char *const ops[] = {"Identity",  "Transpose", "Reshape", "Squeeze",
                                      "Unsqueeze", "Flatten",   "Cast",    "Expand"};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (!*n->op->domain && !strcmp(n->op->name, ops[i]))
            return true;
    return false;
}

static norn_value *source(norn_value *v) {
    while (v && v->producer && passes(v->producer))
        v = v->producer->in[0];
    return v && v->kind == NORNI_CONST && v->name && norni_dtype_is_float(v->type.dtype) ? v : NULL;
}

/* Matches a name against comma-separated patterns; `hit`: a flag for each pattern that matched something. */
static bool matches(const char *patterns, const char *name, uint64_t *hit) {
    char one[256];
    bool any = false;
    int i = 0;
    for (const char *p = patterns; p && *p; i++) {
        size_t n = strcspn(p, ",");
        if (n < sizeof one) {
            memcpy(one, p, n);
            one[n] = 0;
            if (!fnmatch(one, name, 0)) {
                any = true;
                *hit |= (uint64_t)1 << (i & 63);
            }
        }
        p += n + (p[n] == ',');
    }
    return any;
}

static norn_status all_hit(const char *patterns, uint64_t hit, const char *option) {
    int i = 0;
    for (const char *p = patterns; p && *p; i++) {
        size_t n = strcspn(p, ",");
        if (!(hit >> (i & 63) & 1))
            return norni_fail(NORN_ARG, "%s '%.*s': no parameter has a name like this", option, (int)n, p);
        p += n + (p[n] == ',');
    }
    return NORN_OK;
}

static norn_status add(norni_training *t, const norn_value *v, norni_role role) {
    norni_str type = {0};
    norni_type_print(&type, v->graph, &v->type);
    norni_parameter p = {
        .name = v->name, .type = norni_str_take(&type), .role = role, .elems = norni_type_elems(&v->type)};
    p.trained = role != NORNI_ROLE_STATISTICS;
    if (!p.type || !NORNI_PUSH(&t->parameters, p)) {
        norni_free(p.type);
        return norni_nomem();
    }
    return NORN_OK;
}

static norn_status find_ends(const norn_graph *g, const norn_train_options *o, norni_training *t) {
    if (g->inputs.n != 1) {
        norni_str names = {0};
        for (size_t i = 0; i < g->inputs.n; i++)
            norni_str_addf(&names, "%s'%s'", i ? ", " : "", g->inputs.v[i]->name);
        norn_status s = norni_fail(NORN_UNSUPPORTED, "the model has %zu inputs: %s (training feeds one)",
                                   g->inputs.n, names.s ? names.s : "none");
        norni_str_free(&names);
        return s;
    }
    norn_value *scores = NULL;
    t->input = g->inputs.v[0]->name;
    for (size_t i = 0; i < g->outputs.n && !t->output; i++) {
        const norni_type *y = &g->outputs.v[i].value->type;
        if ((norni_dtype_is_float(y->dtype) || y->dtype == NORN_UNDEFINED) &&
            (o->loss != NORN_CROSS_ENTROPY || y->rank != 1)) {
            t->output = g->outputs.v[i].name;
            scores = g->outputs.v[i].value;
        }
    }
    if (!t->output)
        return norni_fail(NORN_SHAPE, "no output of the model suits the loss (wanted a floating-point one%s)",
                          o->loss == NORN_CROSS_ENTROPY ? " of rank 2 or more, scores for each class" : "");
    if (g->outputs.n > 1)
        NORNI_TRY(
            norni_training_note(t, "the loss is taken of output '%s', the first that suits it", t->output));
    if (o->loss == NORN_CROSS_ENTROPY)
        norni_logits(t, scores); /* said before training starts */
    return NORN_OK;
}

norn_status norni_find_parameters(const norn_graph *g, const norn_train_options *o, norni_training *t) {
    norni_role *role = norni_alloc_array(g->values.n + 1, sizeof *role);
    uint64_t froze = 0, unfroze = 0;
    norn_status s = role ? find_ends(g, o, t) : norni_nomem();
    for (size_t i = 0; i < g->nodes.n && s == NORN_OK; i++) {
        const norn_node *n = g->nodes.v[i];
        for (size_t e = 0; e < sizeof entries / sizeof *entries && !*n->op->domain; e++) {
            if (strcmp(entries[e].op, n->op->name) || entries[e].input >= n->n_in)
                continue;
            norn_value *v = source(n->in[entries[e].input]);
            if (!v || (entries[e].role == NORNI_ROLE_OPERAND && norni_type_elems(&v->type) <= 1))
                continue;
            if (entries[e].role == NORNI_ROLE_STATISTICS && v != n->in[entries[e].input])
                continue; /* only statistics that the operator holds itself can be updated */
            if (role[v->id] == NORNI_ROLE_NONE)
                role[v->id] = entries[e].role;
        }
    }
    size_t trained = 0;
    for (size_t i = 0; i < g->values.n && s == NORN_OK; i++)
        if (role[i] != NORNI_ROLE_NONE)
            s = add(t, g->values.v[i], role[i]);
    for (size_t i = 0; i < t->parameters.n && s == NORN_OK; i++) {
        norni_parameter *p = &t->parameters.v[i];
        if (matches(o->freeze, p->name, &froze)) {
            p->frozen = true;
            p->trained = false;
        }
        if (matches(o->train, p->name, &unfroze)) {
            p->frozen = false;
            p->trained = p->role != NORNI_ROLE_STATISTICS;
        }
        trained += p->trained;
    }
    if (s == NORN_OK)
        s = all_hit(o->freeze, froze, "freeze");
    if (s == NORN_OK)
        s = all_hit(o->train, unfroze, "train");
    if (s == NORN_OK && !trained)
        s = norni_fail(NORN_ARG, "nothing is left to train: %zu parameters, all frozen", t->parameters.n);
    norni_free(role);
    return s;
}
