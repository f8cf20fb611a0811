/* SPDX-License-Identifier: Apache-2.0 */
/* Which initialisers of a foreign graph are trained. */
#include "export/onnx/extra.h"
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

static bool is_op(const norn_node *n, const char *name) {
    return !*n->op->domain && !strcmp(n->op->name, name);
}

/* Elements are moved, not computed: what went in is still the parameter. */
static bool moves(const norn_node *n) {
    static const char *const ops[] = {"Identity", "Transpose", "Reshape",  "Squeeze", "Unsqueeze",
                                      "Flatten",  "Cast",      "CastLike", "Expand",  "Slice",
                                      "Split",    "Concat",    "Tile",     "Pad"};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (is_op(n, ops[i]))
            return true;
    return false;
}

/* Scales of stored numbers belong to the numbers. */
static bool quantizes(const norn_node *n) {
    return is_op(n, "DequantizeLinear") || is_op(n, "QuantizeLinear");
}

bool norni_is_weight(const norn_value *v, bool nodes) {
    if ((v->kind != NORNI_CONST && v->kind != NORNI_STATE) || !v->name || !v->data ||
        !norni_dtype_is_float(v->type.dtype) || norni_tensor_elems(v->data) == 0)
        return false;
    bool node = norni_extra_find(v, NORNI_EXTRA_CONSTANT, NULL);
    return !node || (nodes && norni_tensor_elems(v->data) > 1);
}

static bool carries(const norn_value *v) {
    return v->type.dtype == NORN_UNDEFINED || norni_dtype_is_float(v->type.dtype);
}

static bool differentiable(const norn_node *n, int k) {
    const norni_param *p = norni_op_input(n->op, k);
    return n->in[k] && p && !(p->flags & NORNI_NODIFF) && carries(n->in[k]);
}

bool *norni_reaching(const norn_graph *g) {
    bool *r = norni_alloc_array(g->values.n + 1, sizeof *r);
    for (size_t i = 0; r && i < g->outputs.n; i++)
        r[g->outputs.v[i].value->id] = true;
    for (size_t i = g->nodes.n; r && i-- > 0;) {
        const norn_node *n = g->nodes.v[i];
        bool out = false;
        for (int k = 0; k < n->n_out; k++)
            out |= n->out[k] && r[n->out[k]->id];
        for (int k = 0; k < n->n_in && out; k++)
            if (differentiable(n, k))
                r[n->in[k]->id] = true;
    }
    return r;
}

/* Values that are the same in every run: initialisers and what is computed of them alone. */
static bool *find_fixed(const norn_graph *g) {
    bool *fixed = norni_alloc_array(g->values.n + 1, sizeof *fixed);
    for (size_t i = 0; fixed && i < g->values.n; i++)
        fixed[i] = g->values.v[i]->kind == NORNI_CONST;
    for (size_t i = 0; fixed && i < g->nodes.n; i++) {
        const norn_node *n = g->nodes.v[i];
        bool all = !norni_node_random(n);
        for (int k = 0; k < n->n_in && all; k++)
            all = !n->in[k] || fixed[n->in[k]->id];
        for (int k = 0; k < n->n_out; k++)
            if (n->out[k])
                fixed[n->out[k]->id] = all;
    }
    return fixed;
}

/* The role of each value: that of the first input that it enters, and of what it is made of: exporters that do not fold
 * constants leave the order of gates or the norm of a weight to nodes, and what is trained is what these begin with. */
static norn_status find_roles(const norn_graph *g, norni_role *role) {
    bool *fixed = find_fixed(g);
    if (!fixed)
        return norni_nomem();
    for (size_t i = 0; i < g->nodes.n; i++) {
        const norn_node *n = g->nodes.v[i];
        for (size_t e = 0; e < sizeof entries / sizeof *entries; e++) {
            const norn_value *v =
                is_op(n, entries[e].op) && entries[e].input < n->n_in ? n->in[entries[e].input] : NULL;
            /* only statistics that the operator holds itself can be updated */
            if (v && role[v->id] == NORNI_ROLE_NONE &&
                (entries[e].role != NORNI_ROLE_STATISTICS || v->kind == NORNI_CONST))
                role[v->id] = entries[e].role;
        }
    }
    for (size_t i = g->nodes.n; i-- > 0;) {
        const norn_node *n = g->nodes.v[i];
        norni_role of = NORNI_ROLE_NONE;
        for (int k = 0; k < n->n_out && of == NORNI_ROLE_NONE; k++)
            if (n->out[k] && carries(n->out[k]) && (moves(n) || (fixed[n->out[k]->id] && !quantizes(n))))
                of = role[n->out[k]->id];
        for (int k = 0; k < n->n_in && of != NORNI_ROLE_NONE; k++)
            if (differentiable(n, k) && role[n->in[k]->id] == NORNI_ROLE_NONE)
                role[n->in[k]->id] = moves(n) ? of : NORNI_ROLE_OPERAND;
    }
    norni_free(fixed);
    return NORN_OK;
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

/* nodes: outputs of Constant nodes, too. */
static norn_status add_parameters(const norn_graph *g, const norni_role *role, bool nodes,
                                  norni_training *t) {
    for (size_t i = 0; i < g->values.n; i++) {
        const norn_value *v = g->values.v[i];
        bool scalar =
            role[i] == NORNI_ROLE_OPERAND && v->kind == NORNI_CONST && norni_tensor_elems(v->data) <= 1;
        bool statistics = role[i] == NORNI_ROLE_STATISTICS && norni_is_weight(v, true);
        if (role[i] != NORNI_ROLE_NONE && v->kind == NORNI_CONST && !scalar &&
            (statistics || norni_is_weight(v, nodes)))
            NORNI_TRY(add(t, v, role[i]));
    }
    return NORN_OK;
}

static bool any_weight(const norni_training *t) {
    for (size_t i = 0; i < t->parameters.n; i++)
        if (t->parameters.v[i].role != NORNI_ROLE_STATISTICS)
            return true;
    return false;
}

/* Says which initialisers with a gradient are no parameters. */
static norn_status note_others(const norn_graph *g, norni_training *t) {
    bool *reaching = norni_reaching(g);
    norni_str names = {0};
    size_t n = 0;
    if (!reaching)
        return norni_nomem();
    for (size_t i = 0; i < t->parameters.n; i++)
        reaching[norni_graph_find(g, t->parameters.v[i].name)->id] = false;
    for (size_t i = 0; i < g->values.n; i++)
        if (reaching[i] && norni_is_weight(g->values.v[i], false)) {
            if (n < 8)
                norni_str_addf(&names, "%s%s", n ? ", " : "", g->values.v[i]->name);
            else if (n == 8)
                norni_str_addf(&names, ", ...");
            n++;
        }
    norn_status s = n ? norni_training_note(t, "%zu floating-point initialiser%s not trained: %s", n,
                                            n == 1 ? " is" : "s are", names.s ? names.s : "")
                      : NORN_OK;
    norni_free(reaching);
    norni_str_free(&names);
    return s;
}

norn_status norni_find_parameters(const norn_graph *g, const norn_train_options *o, norni_training *t) {
    norni_role *role = norni_alloc_array(g->values.n + 1, sizeof *role);
    uint64_t froze = 0, unfroze = 0;
    norn_status s = role ? find_ends(g, o, t) : norni_nomem();
    size_t trained = 0;
    if (s == NORN_OK)
        s = find_roles(g, role);
    if (s == NORN_OK)
        s = add_parameters(g, role, false, t);
    if (s == NORN_OK && !any_weight(t)) { /* a file that has its weights in nodes */
        for (size_t i = 0; i < t->parameters.n; i++)
            norni_free(t->parameters.v[i].type);
        t->parameters.n = 0;
        s = add_parameters(g, role, true, t);
    }
    if (s == NORN_OK)
        s = note_others(g, t);
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
