/* SPDX-License-Identifier: Apache-2.0 */
/* RNN, GRU, LSTM and the operators of their gradients: what they are. Equations in ops/recurrent.h. Sources: ONNX RNN-22,
 * GRU-22, LSTM-22; where these leave room, ONNX Runtime: the cell state is not clipped before its activation h. */
#include "ops/recurrent.h"
#include "ops/rows.h"
#include <math.h>
#include <string.h>

typedef norni_recurrent_attrs rec_attrs;

/* ---- Activations. A derivative is that at x for clipped x as well; the callers know about the clipping. */
static const norni_activation activations[] = {
    {"Relu", "relu", 0, 0, 0, "max(x, 0)", "where(x > 0, 1.0, 0.0)"},
    {"Tanh", "th", 0, 0, 0, "tanh(x)", "1 - y * y"},
    {"Sigmoid", "sigmoid", 0, 0, 0, "sigmoid(x)", "y * (1 - y)"},
    {"Affine", "affine", 2, 1, 0, "a * x + b", "a + 0 * x"},
    {"LeakyRelu", "leaky", 1, 0.01, 0, "where(x >= 0, x, a * x)", "where(x >= 0, 1.0, a)"},
    {"ThresholdedRelu", "threshold", 1, 1, 0, "where(x >= a, x, 0.0)", "where(x >= a, 1.0, 0.0)"},
    {"ScaledTanh", "scaled", 2, 1, 1, "a * tanh(b * x)", "a * b * (1 - tanh(b * x) * tanh(b * x))"},
    {"HardSigmoid", "hard", 2, 0.2, 0.5, "min(max(a * x + b, 0), 1)", "where(y > 0 and y < 1, a, 0.0)"},
    {"Elu", "elu", 1, 1, 0, "where(x >= 0, x, a * (exp(min(x, 0)) - 1))",
     "where(x >= 0, 1.0, a * exp(min(x, 0)))"},
    {"Softsign", "softsign", 0, 0, 0, "x / (1 + abs(x))", "1 / ((1 + abs(x)) * (1 + abs(x)))"},
    {"Softplus", "softplus", 0, 0, 0, "max(x, 0) + log(1 + exp(-abs(x)))", "sigmoid(x)"},
};

static bool same_word(const char *a, const char *b) {
    for (; *a && *b; a++, b++)
        if ((*a | 32) != (*b | 32))
            return false;
    return *a == *b;
}

int norni_recurrent_kind(const norn_op *op) {
    return strstr(op->name, "LSTM") ? NORNI_LSTM : op->name[0] == 'G' ? NORNI_GRU : NORNI_RNN;
}

static int acts_of_kind(int kind) {
    return kind == NORNI_LSTM ? 3 : kind == NORNI_GRU ? 2 : 1;
}

/* Parameters are handed out in order, to those activations that have some. */
norn_status norni_recurrent_acts(const norn_node *node, int directions, norni_act act[2][3]) {
    static const char *const defaults[3][3] = {{"Tanh"}, {"Sigmoid", "Tanh"}, {"Sigmoid", "Tanh", "Tanh"}};
    const rec_attrs *at = node->attrs;
    int kind = norni_recurrent_kind(node->op), n = acts_of_kind(kind), alphas = 0, betas = 0;
    /* RNN lists its two defaults whatever the direction. */
    int given = at->activations.n;
    if (given >= 0 && given != n * directions && !(kind == NORNI_RNN && given == 2))
        return norni_fail(NORN_ARG, "attribute 'activations': got %d names (wanted %d)", given,
                          n * directions);
    for (int d = 0; d < directions; d++)
        for (int k = 0; k < n; k++) {
            const char *name = given < 0 ? defaults[kind][k] : at->activations.v[d * n + k];
            norni_act *a = &act[d][k];
            a->f = NULL;
            for (size_t i = 0; i < sizeof activations / sizeof *activations; i++)
                if (same_word(activations[i].name, name))
                    a->f = &activations[i];
            if (!a->f)
                return norni_fail(
                    NORN_ARG,
                    "attribute 'activations': got '%s' (wanted Relu, Tanh, Sigmoid, Affine, LeakyRelu, "
                    "ThresholdedRelu, ScaledTanh, HardSigmoid, Elu, Softsign or Softplus)",
                    name);
            a->alpha = a->f->alpha;
            a->beta = a->f->beta;
            if (a->f->parameters >= 1 && alphas < at->activation_alpha.n)
                a->alpha = (double)at->activation_alpha.v[alphas++];
            if (a->f->parameters >= 2 && betas < at->activation_beta.n)
                a->beta = (double)at->activation_beta.v[betas++];
        }
    return NORN_OK;
}

void norni_recurrent_of(const norn_node *node, norni_recurrent *r) {
    const rec_attrs *at = node->attrs;
    const norni_type *x = &node->in[NORNI_REC_X]->type, *w = &node->in[NORNI_REC_R]->type;
    bool batch_first = at->layout != 0;
    *r = (norni_recurrent){.kind = norni_recurrent_kind(node->op)};
    r->gates = r->kind == NORNI_LSTM ? 4 : r->kind == NORNI_GRU ? 3 : 1;
    r->first = r->kind == NORNI_LSTM ? 8 : 6;
    r->s = x->dims[batch_first ? 1 : 0];
    r->b = x->dims[batch_first ? 0 : 1];
    r->i = x->dims[2];
    r->d = w->dims[0];
    r->h = w->dims[2];
    r->rows = r->s * r->b;
    r->row_t = batch_first ? 1 : r->b;
    r->row_b = batch_first ? r->s : 1;
    r->y_t = batch_first ? r->d * r->h : r->d * r->b * r->h;
    r->y_d = batch_first ? r->h : r->b * r->h;
    r->y_b = batch_first ? r->s * r->d * r->h : r->h;
    r->state_b = batch_first ? r->d * r->h : r->h;
    r->state_d = batch_first ? r->h : r->b * r->h;
    norni_recurrent_acts(node, (int)r->d, r->act);
    r->same = r->d == 1 || !memcmp(r->act[0], r->act[1], sizeof *r->act);
    r->reverse[0] = at->direction == 1;
    r->reverse[1] = true;
    r->clipped = !isnan(at->clip) && at->clip > 0;
    r->clip = r->clipped ? (double)at->clip : 0;
    r->couple = at->input_forget != 0;
    r->linear = r->kind == NORNI_GRU && at->linear_before_reset != 0;
}

/* ---- Shapes. */
norn_status norni_recurrent_want_size(const norni_infer *c, int input, int axis, norni_dim want) {
    const norni_type *t = norni_in_type(c, input);
    if (t && t->rank > axis && want >= 0 && t->dims[axis] >= 0 && t->dims[axis] != want)
        return norni_fail(NORN_SHAPE, "%s has size %lld in dimension %d (wanted %lld)",
                          norni_op_input(c->node->op, input)->name, (long long)t->dims[axis], axis,
                          (long long)want);
    return NORN_OK;
}

static norn_status want_rank(const norni_infer *c, int input, int rank) {
    const norni_type *t = norni_in_type(c, input);
    if (t && t->rank >= 0 && t->rank != rank)
        return norni_fail(NORN_SHAPE, "%s has rank %d (wanted %d)", norni_op_input(c->node->op, input)->name,
                          t->rank, rank);
    return NORN_OK;
}

typedef struct {
    norni_dim s, b, i, h;
    int d, gates;
} dims;

/* turned: as of norni_recurrent_infer. */
static norn_status check(const norni_infer *c, bool turned, dims *z, bool *known) {
    const rec_attrs *at = c->attrs;
    static const int ranks[] = {3, 3, 3, 2, 1, 3, 3, 2};
    int kind = norni_recurrent_kind(c->node->op), n_in = kind == NORNI_LSTM ? 8 : 6, batch = at->layout != 0;
    norni_act act[2][3];
    z->d = at->direction == 2 ? 2 : 1;
    z->gates = kind == NORNI_LSTM ? 4 : kind == NORNI_GRU ? 3 : 1;
    NORNI_TRY(norni_recurrent_acts(c->node, z->d, act));
    if (at->clip < 0)
        return norni_fail(NORN_ARG, "attribute 'clip': got %g (wanted 0 or more)", (double)at->clip);
    for (int i = 0; i < n_in; i++)
        if (norni_in_has(c, i))
            NORNI_TRY(want_rank(c, i, ranks[i]));
    const norni_type *x = norni_in_type(c, NORNI_REC_X), *r = norni_in_type(c, NORNI_REC_R);
    *known = x->rank == 3 && r->rank == 3;
    if (!*known)
        return NORN_OK;
    z->s = x->dims[batch];
    z->b = x->dims[!batch];
    z->i = x->dims[2];
    z->h = r->dims[turned ? 1 : 2];
    if (at->hidden_size != NORNI_NO_INT && z->h >= 0 && at->hidden_size != z->h)
        return norni_fail(NORN_SHAPE, "attribute 'hidden_size': got %lld (wanted %lld, as R has)",
                          (long long)at->hidden_size, (long long)z->h);
    norni_dim gh = z->h >= 0 ? z->h * z->gates : -1, two = z->h >= 0 ? z->h * z->gates * 2 : -1;
    NORNI_TRY(norni_recurrent_want_size(c, NORNI_REC_W, 0, z->d));
    NORNI_TRY(norni_recurrent_want_size(c, NORNI_REC_W, turned ? 2 : 1, gh));
    NORNI_TRY(norni_recurrent_want_size(c, NORNI_REC_W, turned ? 1 : 2, z->i));
    NORNI_TRY(norni_recurrent_want_size(c, NORNI_REC_R, 0, z->d));
    NORNI_TRY(norni_recurrent_want_size(c, NORNI_REC_R, turned ? 2 : 1, gh));
    for (int i = NORNI_REC_B; i < n_in; i++) {
        if (!norni_in_has(c, i))
            continue;
        if (i == NORNI_REC_LENS)
            NORNI_TRY(norni_recurrent_want_size(c, i, 0, z->b));
        else if (i == NORNI_REC_B || i == NORNI_REC_P) {
            NORNI_TRY(norni_recurrent_want_size(c, i, 0, z->d));
            NORNI_TRY(norni_recurrent_want_size(c, i, 1, i == NORNI_REC_B ? two : z->h >= 0 ? 3 * z->h : -1));
        } else {
            NORNI_TRY(norni_recurrent_want_size(c, i, batch ? 1 : 0, z->d));
            NORNI_TRY(norni_recurrent_want_size(c, i, batch ? 0 : 1, z->b));
            NORNI_TRY(norni_recurrent_want_size(c, i, 2, z->h));
        }
    }
    return NORN_OK;
}

norn_status norni_recurrent_infer(norni_infer *c, bool turned) {
    const rec_attrs *at = c->attrs;
    dims z;
    bool known, lstm = norni_recurrent_kind(c->node->op) == NORNI_LSTM;
    norn_dtype t = norni_in_type(c, NORNI_REC_X)->dtype;
    int states = lstm ? 2 : 1;
    NORNI_TRY(check(c, turned, &z, &known));
    if (!known)
        return NORN_OK;
    c->out[0] =
        at->layout ? (norni_type){t, 4, {z.b, z.s, z.d, z.h}} : (norni_type){t, 4, {z.s, z.d, z.b, z.h}};
    for (int k = 1; k <= states; k++)
        c->out[k] = at->layout ? (norni_type){t, 3, {z.b, z.d, z.h}} : (norni_type){t, 3, {z.d, z.b, z.h}};
    norni_dim rows = norni_dim_mul(c->g, z.s, z.b);
    norn_dtype kept = norni_recurrent_kept(t);
    if (c->node->n_out > states + 1)
        c->out[states + 1] = (norni_type){kept, 3, {z.d, rows, norni_dim_mul(c->g, z.h, z.gates)}};
    if (c->node->n_out > states + 2)
        c->out[states + 2] = (norni_type){kept, 3, {z.d, rows, z.h}};
    return NORN_OK;
}

static norn_status infer(norni_infer *c) {
    return norni_recurrent_infer(c, false);
}

static norn_status infer_grad(norni_infer *c) {
    dims z;
    bool known;
    int n = norni_recurrent_kind(c->node->op) == NORNI_LSTM ? 7 : 5;
    static const int like[] = {NORNI_REC_X,  NORNI_REC_W,  NORNI_REC_R, NORNI_REC_B,
                               NORNI_REC_H0, NORNI_REC_C0, NORNI_REC_P};
    NORNI_TRY(check(c, false, &z, &known));
    for (int k = 0; k < n && k < c->node->n_out; k++)
        if (norni_in_has(c, like[k]))
            c->out[k] = *norni_in_type(c, like[k]);
    return NORN_OK;
}

/* sequence_lens in 0 .. S. */
static norn_status check_lens(const norn_node *node, int i, const norn_tensor *t) {
    norni_recurrent r;
    if (i != NORNI_REC_LENS)
        return NORN_OK;
    norni_recurrent_of(node, &r);
    for (int64_t k = 0; k < r.b; k++) {
        int64_t n = norni_get_int(t->dtype, norni_tensor_data(t), k);
        if (n < 0 || n > r.s)
            return norni_fail(NORN_ARG, "sequence_lens[%lld]: got %lld (wanted 0 to %lld)", (long long)k,
                              (long long)n, (long long)r.s);
    }
    return NORN_OK;
}

/* ---- Gradient. */
static void grad(norni_grad *c) {
    norn_node *n = c->node;
    int kind = norni_recurrent_kind(n->op), first = kind == NORNI_LSTM ? 8 : 6,
        states = kind == NORNI_LSTM ? 2 : 1;
    static const int of[] = {NORNI_REC_X,  NORNI_REC_W,  NORNI_REC_R, NORNI_REC_B,
                             NORNI_REC_H0, NORNI_REC_C0, NORNI_REC_P};
    bool linear = kind == NORNI_GRU && ((const rec_attrs *)n->attrs)->linear_before_reset;
    const norn_op *op = norni_op_find("norn", kind == NORNI_LSTM  ? "LSTMGrad"
                                              : kind == NORNI_GRU ? "GRUGrad"
                                                                  : "RNNGrad");
    norn_value *in[14];
    unsigned wanted = 0;
    for (int i = 0; i < first; i++)
        in[i] = i < n->n_in ? norni_or_none(n->in[i]) : NORNI_NONE;
    in[first + NORNI_REC_Y] = norni_want_output(n, 0);
    in[first + NORNI_REC_GATES] = norni_want_output(n, states + 1);
    in[first + NORNI_REC_CELLS] =
        kind == NORNI_LSTM || linear ? norni_want_output(n, states + 2) : NORNI_NONE;
    for (int k = 0; k <= states; k++)
        in[first + NORNI_REC_DY + k] = k < n->n_out ? norni_or_none(c->dy[k]) : NORNI_NONE;
    for (int k = 0; k < (kind == NORNI_LSTM ? 7 : 5); k++)
        if (of[k] < n->n_in && c->want[of[k]])
            wanted |= 1u << k;
    norn_node *made = norni_apply(c->g, op, n->attrs, first + NORNI_REC_DY + states + 1, in, wanted);
    for (int k = 0; made && k < made->n_out; k++)
        if (wanted >> k & 1)
            c->dx[of[k]] = made->out[k];
}

/* ---- Old opsets. */
static norn_status lower(norni_adapt *a) {
    const rec_attrs *at = a->node->attrs;
    if (a->version < 7)
        ((rec_attrs *)a->node->attrs)->output_sequence = a->wanted & 1;
    if (a->version >= 14 || !at->layout)
        return NORN_OK;
    /* Sequences first: transposed before and behind. */
    rec_attrs plain = *at;
    norn_node *n = a->node;
    norn_value *in[8];
    plain.layout = 0;
    for (int i = 0; i < n->n_in; i++) {
        in[i] = norni_or_none(n->in[i]);
        if (n->in[i] && (i == NORNI_REC_X || i == NORNI_REC_H0 || i == NORNI_REC_C0))
            in[i] = NORNI_OP1(a->g, n->in[i], "Transpose<perm=[1,0,2]>");
    }
    norn_node *made = norni_apply(a->g, n->op, &plain, n->n_in, in, a->wanted);
    for (int k = 0; made && k < made->n_out && k < 3; k++)
        if (a->wanted >> k & 1)
            a->out[k] =
                NORNI_OP1(a->g, made->out[k], k ? "Transpose<perm=[1,0,2]>" : "Transpose<perm=[2,0,1,3]>");
    a->replaced = true;
    return norn_graph_status(a->g);
}

static void cost(const norn_node *node, norni_cost *c) {
    norni_recurrent r;
    norni_recurrent_of(node, &r);
    c->flops = 2.0 * (double)r.rows * (double)(r.d * r.gates * r.h) * (double)(r.i + r.h);
}
static void cost_grad(const norn_node *node, norni_cost *c) {
    cost(node, c);
    c->flops *= 2;
}

static const char *run_fits(const norni_fit *f) {
    norni_recurrent r;
    norni_recurrent_of(f->node, &r);
    return norni_recurrent_run_fits(f, r.gates, r.h);
}
static const char *grad_run_fits(const norni_fit *f) {
    norni_recurrent r;
    norni_recurrent_of(f->node, &r);
    return norni_recurrent_run_fits(f, 1, r.gates * r.h);
}
static const norni_impl impls[] = {{.name = "team",
                                    .fits = norni_recurrent_team_fits,
                                    .emit = norni_recurrent_emit_team},
                                   {.name = "run", .fits = run_fits, .emit = norni_recurrent_emit_run},
                                   {.name = "steps", .emit = norni_recurrent_emit},
                                   {0}},
                        grad_impls[] = {
                            {.name = "run", .fits = grad_run_fits, .emit = norni_recurrent_emit_grad_run},
                            {.name = "steps", .emit = norni_recurrent_emit_grad},
                            {0}};

/* ---- Descriptors. */
const char *const norni_directions[] = {"forward", "reverse", "bidirectional", NULL};
#define COMMON_ATTRS                                                                                         \
    NORNI_REC_ROWS, NORNI_A_INT(rec_attrs, layout, 0, .lo = 0, .hi = 1, .since = 14),                        \
        NORNI_A(rec_attrs, output_sequence, INT, .flags = NORNI_ATTR_OLD, .since = 7)
static const norni_attr rnn_table[] = {COMMON_ATTRS, NORNI_A_END},
                        gru_table[] = {COMMON_ATTRS, NORNI_A_INT(rec_attrs, linear_before_reset, 0),
                                       NORNI_A_END},
                        lstm_table[] = {COMMON_ATTRS, NORNI_A_INT(rec_attrs, input_forget, 0), NORNI_A_END};

#define KEPT (NORNI_T(NORN_F32) | NORNI_T(NORN_F64))
#define FIRST_INPUTS                                                                                         \
    {"X", 0, NORNI_FLOATS, 'T'}, {"W", 0, NORNI_FLOATS, 'T'}, {"R", 0, NORNI_FLOATS, 'T'},                   \
        {"B", NORNI_OPT, NORNI_FLOATS, 'T'},                                                                 \
        {"sequence_lens", NORNI_OPT | NORNI_NODIFF, NORNI_T(NORN_I32), 0}, {                                 \
        "initial_h", NORNI_OPT, NORNI_FLOATS, 'T'                                                            \
    }
#define LSTM_INPUTS                                                                                          \
    FIRST_INPUTS, {"initial_c", NORNI_OPT, NORNI_FLOATS, 'T'}, {                                             \
        "P", NORNI_OPT, NORNI_FLOATS, 'T'                                                                    \
    }
#define GRAD_INPUTS                                                                                          \
    {"Y", NORNI_NODIFF, NORNI_FLOATS, 'T'}, {"gates", NORNI_NODIFF, KEPT, 0},                                \
        {"cells", NORNI_OPT | NORNI_NODIFF, KEPT, 0}, {"dY", NORNI_OPT, NORNI_FLOATS, 'T'}, {                \
        "dY_h", NORNI_OPT, NORNI_FLOATS, 'T'                                                                 \
    }
#define OUTPUTS                                                                                              \
    {"Y", NORNI_OPT, NORNI_FLOATS, 'T'}, {                                                                   \
        "Y_h", NORNI_OPT, NORNI_FLOATS, 'T'                                                                  \
    }
#define STASH                                                                                                \
    {"gates", NORNI_STASH, KEPT, 0}, {                                                                       \
        "cells", NORNI_STASH, KEPT, 0                                                                        \
    }
#define GRAD_OUTS                                                                                            \
    {"dX", NORNI_OPT, NORNI_FLOATS, 'T'}, {"dW", NORNI_OPT, NORNI_FLOATS, 'T'},                              \
        {"dR", NORNI_OPT, NORNI_FLOATS, 'T'}, {"dB", NORNI_OPT, NORNI_FLOATS, 'T'}, {                        \
        "dinitial_h", NORNI_OPT, NORNI_FLOATS, 'T'                                                           \
    }
#define RECURRENT(id, vers, attr_table, text, ...)                                                           \
    const norn_op norni_op_##id = {.domain = "",                                                             \
                                   .name = #id,                                                              \
                                   .versions = vers,                                                         \
                                   .doc = text,                                                              \
                                   .attrs_bytes = sizeof(rec_attrs),                                         \
                                   .attrs = attr_table,                                                      \
                                   .lower = lower,                                                           \
                                   .infer = infer,                                                           \
                                   .grad = grad,                                                             \
                                   .eval = norni_recurrent_eval,                                             \
                                   .check = check_lens,                                                      \
                                   .impls = impls,                                                           \
                                   .cost = cost,                                                             \
                                   __VA_ARGS__}
#define GRADIENT(id, attr_table, of, ...)                                                                    \
    const norn_op norni_op_##id = {                                                                          \
        .domain = "norn",                                                                                    \
        .name = #id,                                                                                         \
        .versions = (const int[]){1, 0},                                                                     \
        .doc = "gradient of " of " from its outputs, back through time; gates, cells: its hidden outputs",   \
        .attrs_bytes = sizeof(rec_attrs),                                                                    \
        .attrs = attr_table,                                                                                 \
        .infer = infer_grad,                                                                                 \
        .expand = norni_recurrent_expand_grad,                                                               \
        .eval = norni_recurrent_eval_grad,                                                                   \
        .check = check_lens,                                                                                 \
        .impls = grad_impls,                                                                                 \
        .cost = cost_grad,                                                                                   \
        __VA_ARGS__}

RECURRENT(RNN, ((const int[]){1, 7, 14, 22, 0}), rnn_table, "a layer of simple recurrent units",
          .inputs = PARAMS(FIRST_INPUTS), .outputs = PARAMS(OUTPUTS, STASH),
          .cases = (const char *const[]){
              "RNN(float[4,3,5], float[1,7,5], float[1,7,7], float[1,14]) => 2",
              "RNN<hidden_size=4, direction=\"reverse\", activations=[\"Affine\"], activation_alpha=[0.7], "
              "activation_beta=[0.1]>(float[3,2,5], float[1,4,5], float[1,4,4], _, int32[2]{3,1}, "
              "float[1,2,4]) => 2",
              "RNN<direction=\"bidirectional\", activations=[\"LeakyRelu\",\"ScaledTanh\"], "
              "activation_alpha=[0.1,0.8], activation_beta=[1.5], layout=1>(float[2,3,5], float[2,20,5], "
              "float[2,20,20], float[2,40], int32[2]{2,3}, float[2,2,20]) => 2",
              "RNN<activations=[\"HardSigmoid\"], clip=0.4>(float[3,1,2], float[1,33,2], float[1,33,33])",
              "RNN<activations=[\"Elu\"]>(float[2,7,2], float[1,3,2], float[1,3,3])",
              "RNN<activations=[\"Softsign\"]>(float[2,9,2], float[1,16,2], float[1,16,16])",
              "RNN<activations=[\"Softplus\"]>(float[2,2,2], float[1,17,2], float[1,17,17])",
              "RNN<activations=[\"ThresholdedRelu\"], activation_alpha=[0.3]>(float[2,2,2], float[1,3,2], "
              "float[1,3,3])",
              "RNN<activations=[\"Relu\"]>(float[1,1,1], float[1,1,1], float[1,1,1]) => 2",
              "RNN(float[0,2,3], float[1,4,3], float[1,4,4], _, _, float[1,2,4]) => 2",
              "RNN(float[3,0,3], float[1,4,3], float[1,4,4]) => 2", NULL});
RECURRENT(
    GRU, ((const int[]){1, 3, 7, 14, 22, 0}), gru_table, "a layer of gated recurrent units",
    .inputs = PARAMS(FIRST_INPUTS), .outputs = PARAMS(OUTPUTS, STASH),
    .cases = (const char *const[]){
        "GRU(float[4,3,5], float[1,21,5], float[1,21,7], float[1,42]) => 2",
        "GRU<linear_before_reset=1>(float[4,3,5], float[1,21,5], float[1,21,7], float[1,42]) => 2",
        "GRU<linear_before_reset=1, direction=\"bidirectional\", layout=1, clip=0.6, "
        "hidden_size=20>(float[2,3,5], "
        "float[2,60,5], float[2,60,20], float[2,120], int32[2]{2,3}, float[2,2,20]) => 2",
        "GRU<direction=\"bidirectional\", "
        "activations=[\"HardSigmoid\",\"Softsign\",\"Sigmoid\",\"ScaledTanh\"], "
        "activation_alpha=[0.3,0.9], activation_beta=[0.4,1.2]>(float[3,2,5], float[2,12,5], float[2,12,4], "
        "float[2,24], int32[2]{3,1}, float[2,2,4]) => 2",
        "GRU<direction=\"reverse\">(float[3,9,2], float[1,48,2], float[1,48,16])",
        "GRU<linear_before_reset=1>(float[2,1,2], float[1,99,2], float[1,99,33])",
        "GRU(float[1,1,1], float[1,3,1], float[1,3,1]) => 2",
        "GRU(float[0,2,3], float[1,12,3], float[1,12,4], _, _, float[1,2,4]) => 2", NULL});
RECURRENT(
    LSTM, ((const int[]){1, 7, 14, 22, 0}), lstm_table, "a layer of long short-term memory units",
    .inputs = PARAMS(LSTM_INPUTS), .outputs = PARAMS(OUTPUTS, {"Y_c", NORNI_OPT, NORNI_FLOATS, 'T'}, STASH),
    .cases = (const char *const[]){
        "LSTM(float[4,3,5], float[1,28,5], float[1,28,7], float[1,56]) => 3",
        "LSTM(float[4,3,5], float[1,28,5], float[1,28,7])",
        "LSTM<direction=\"bidirectional\", layout=1, hidden_size=20>(float[2,3,5], float[2,80,5], "
        "float[2,80,20], float[2,160], int32[2]{2,3}, float[2,2,20], float[2,2,20], float[2,60]) => 3",
        "LSTM<direction=\"reverse\", input_forget=1, clip=0.5>(float[3,2,5], float[1,16,5], float[1,16,4], "
        "float[1,32], int32[2]{3,1}, float[1,2,4], float[1,2,4], float[1,12]) => 3",
        "LSTM<activations=[\"HardSigmoid\",\"Softsign\",\"ScaledTanh\"], activation_alpha=[0.3,0.9], "
        "activation_beta=[0.4,1.2]>(float[3,9,2], float[1,64,2], float[1,64,16], _, _, _, float[1,9,16]) => "
        "3",
        "LSTM<direction=\"bidirectional\", "
        "activations=[\"Sigmoid\",\"Tanh\",\"Tanh\",\"Softplus\",\"Elu\",\"LeakyRelu\"]>(float[3,1,2], "
        "float[2,132,2], float[2,132,33], float[2,264], _, _, _, float[2,99]) => 2",
        "LSTM(float[1,1,1], float[1,4,1], float[1,4,1]) => 3",
        "LSTM(float[0,2,3], float[1,16,3], float[1,16,4], _, _, float[1,2,4]) => 3", NULL});
GRADIENT(RNNGrad, rnn_table, "RNN", .inputs = PARAMS(FIRST_INPUTS, GRAD_INPUTS), .outputs = PARAMS(GRAD_OUTS),
         .untested_attrs = "activations activation_alpha activation_beta clip direction hidden_size layout",
         .cases = (const char *const[]){
             "norn.RNNGrad(float[1,1,1]{0}, float[1,1,1]{0}, float[1,1,1]{0}, _, _, float[1,1,1]{0.5}, "
             "float[1,1,1,1]{0}, float[1,1,1]{0}, _, float[1,1,1,1], float[1,1,1]) => 3",
             NULL});
GRADIENT(
    GRUGrad, gru_table, "GRU", .inputs = PARAMS(FIRST_INPUTS, GRAD_INPUTS), .outputs = PARAMS(GRAD_OUTS),
    .untested_attrs =
        "activations activation_alpha activation_beta clip direction hidden_size layout linear_before_reset",
    .cases = (const char *const[]){
        "norn.GRUGrad(float[1,1,1]{0}, float[1,3,1]{0,0,0}, float[1,3,1]{0,0,0}, _, _, float[1,1,1]{0.5}, "
        "float[1,1,1,1]{0.25}, float[1,1,3]{0,0,0}, _, float[1,1,1,1], float[1,1,1]) => 3",
        NULL});
GRADIENT(LSTMGrad, lstm_table, "LSTM",
         .inputs = PARAMS(LSTM_INPUTS, GRAD_INPUTS, {"dY_c", NORNI_OPT, NORNI_FLOATS, 'T'}),
         .outputs = PARAMS(GRAD_OUTS, {"dinitial_c", NORNI_OPT, NORNI_FLOATS, 'T'},
                           {"dP", NORNI_OPT, NORNI_FLOATS, 'T'}),
         .untested_attrs =
             "activations activation_alpha activation_beta clip direction hidden_size layout input_forget",
         .cases = (const char *const[]){
             "norn.LSTMGrad(float[1,1,1]{0}, float[1,4,1]{0,0,0,0}, float[1,4,1]{0,0,0,0}, _, _, "
             "float[1,1,1]{0.5}, "
             "float[1,1,1]{0}, _, float[1,1,1,1]{0}, float[1,1,4]{0,0,0,0}, float[1,1,1]{0}, float[1,1,1,1], "
             "float[1,1,1], float[1,1,1]) => 3",
             NULL});
