/* SPDX-License-Identifier: Apache-2.0 */
/* com.microsoft.DynamicQuantizeLSTM: an LSTM (equations: ops/recurrent.h) whose weights are bytes, and whose products take
 * what they multiply with as bytes too: the inputs of all steps with the scale of their range, and at each step the outputs
 * of the one before with the scale of theirs. Weights lie as the right-hand side of a product: W [D, I, 4 H], R [D, H, 4 H].
 * The steps are written out. Source: ONNX Runtime's documentation of contrib operators, and its numbers. */
#include "ops/qlinear.h"
#include "ops/recurrent.h"
#include <math.h>

enum { W_SCALE = 8, W_ZERO, R_SCALE, R_ZERO };
enum { MOST_STEPS = 4096 };

static norn_status infer(norni_infer *c) {
    const norni_type *r = norni_in_type(c, NORNI_REC_R);
    int d = ((const norni_recurrent_attrs *)c->attrs)->direction == 2 ? 2 : 1;
    NORNI_TRY(norni_recurrent_infer(c, true));
    for (int i = W_SCALE; i <= R_ZERO; i++) {
        const norni_type *t = norni_in_type(c, i);
        if (t->rank >= 0 && t->rank != 1 && t->rank != 2)
            return norni_fail(NORN_SHAPE, "%s has rank %d (wanted 1 or 2)",
                              norni_op_input(c->node->op, i)->name, t->rank);
        NORNI_TRY(norni_recurrent_want_size(c, i, 0, d));
        NORNI_TRY(norni_recurrent_want_size(c, i, 1, r->rank == 3 ? r->dims[2] : -1));
    }
    return NORN_OK;
}

/* ---- The steps. */
typedef struct {
    norn_graph *g;
    const norni_recurrent_attrs *at;
    const norni_act *act;
    norn_value *r, *r_scale, *r_zero, *peep[3], *lens; /* absent: NULL */
    int64_t s, h;
} ctx;

static norn_value *row(norn_graph *g, norn_value *v, int64_t i) {
    return v ? norni_at(g, v, 0, i) : NULL;
}
static norn_value *product(norn_graph *g, norn_value *x, norn_value *w, norn_value *scale, norn_value *zero,
                           norn_value *bias) {
    norn_value *in[] = {x, w, scale, zero, norni_or_none(bias)};
    return norni_opf(g, 5, in, "com.microsoft.DynamicQuantizeMatMul");
}
static norn_value *activated(const ctx *c, const norni_act *a, norn_value *x, bool clipped) {
    static const char *const names[] = {"x", "a", "b"};
    if (clipped && !isnan(c->at->clip) && c->at->clip > 0) {
        norn_value *k[] = {x, norni_scalar_const(c->g, NORN_F32, (double)c->at->clip)};
        x = norni_formula(c->g, "min(max(x, -a), a)", 2, names, k);
    }
    norn_value *v[] = {x, norni_scalar_const(c->g, NORN_F32, a->alpha),
                       norni_scalar_const(c->g, NORN_F32, a->beta)};
    return norni_formula(c->g, a->f->formula, 3, names, v);
}

/* One step: from its sums of inputs [B, 4 H] and the state before it. */
static void step(const ctx *c, norn_value *wx, int64_t t, norn_value **h, norn_value **cell, norn_value **y) {
    norn_graph *g = c->g;
    norn_value *zero = norni_scalar_const(g, NORN_F32, 0), *a[4];
    norn_value *sums = NORNI_OP2(g, wx, product(g, *h, c->r, c->r_scale, c->r_zero, NULL), "Add");
    for (int k = 0; k < 4; k++) { /* i o f c */
        a[k] = norni_part(g, sums, 1, k * c->h, (k + 1) * c->h);
        if ((k == 0 || k == 2) && c->peep[k])
            a[k] = NORNI_OP2(g, a[k], NORNI_OP2(g, c->peep[k], *cell, "Mul"), "Add");
    }
    norn_value *i = activated(c, &c->act[0], a[0], true), *new = activated(c, &c->act[1], a[3], true);
    norn_value *f = c->at->input_forget ? NORNI_OP2(g, norni_scalar_const(g, NORN_F32, 1), i, "Sub")
                                        : activated(c, &c->act[0], a[2], true);
    norn_value *next = NORNI_OP2(g, NORNI_OP2(g, f, *cell, "Mul"), NORNI_OP2(g, i, new, "Mul"), "Add");
    if (c->peep[1])
        a[1] = NORNI_OP2(g, a[1], NORNI_OP2(g, c->peep[1], next, "Mul"), "Add");
    norn_value *o = activated(c, &c->act[0], a[1], true);
    norn_value *hidden = NORNI_OP2(g, o, activated(c, &c->act[2], next, false), "Mul");
    *y = hidden;
    if (c->lens) { /* a sequence that has ended keeps its state, and adds zeros to Y */
        norn_value *in = NORNI_OP2(g, norni_scalar_const(g, NORN_I32, (double)t), c->lens, "Less");
        *y = NORNI_OP3(g, in, hidden, zero, "Where");
        hidden = NORNI_OP3(g, in, hidden, *h, "Where");
        next = NORNI_OP3(g, in, next, *cell, "Where");
    }
    *h = hidden;
    *cell = next;
}

/* X as [S B, I]; rows beyond the longest sequence do not count for the range. */
static norn_value *rows_of(norn_graph *g, norn_value *x, norn_value *lens) {
    const norni_dim *d = x->type.dims;
    if (lens) {
        norn_value *t = NORNI_OP2(g, norni_counted(g, norni_size_value(g, x, 0)),
                                  norni_i64_const(g, 2, (int64_t[]){1, 2}), "Unsqueeze");
        norn_value *longest = norni_cast(g, NORNI_OP1(g, lens, "ReduceMax<keepdims=0>"), NORN_I64);
        norn_value *in = NORNI_OP2(g, t, longest, "Less");
        x = NORNI_OP3(g, in, x, norni_scalar_const(g, NORN_F32, 0), "Where");
    }
    return NORNI_OP2(g, x, norni_i64_const(g, 2, (int64_t[]){d[0] * d[1], d[2]}), "Reshape<allowzero=1>");
}

/* [S, B, ..]: each sequence turned round. */
static norn_value *turn(norn_graph *g, norn_value *x, norn_value *lens) {
    return NORNI_OP2(g, x, norni_cast(g, lens, NORN_I64), "ReverseSequence<batch_axis=1, time_axis=0>");
}

static norn_status expand(norn_graph *g, const norn_node *node, norn_value **out) {
    const norni_recurrent_attrs *at = node->attrs;
    norn_value *const *in = node->in, *x = in[NORNI_REC_X], *lens = norni_optional(node, NORNI_REC_LENS),
                      *bias = norni_optional(node, NORNI_REC_B), *peep = norni_optional(node, NORNI_REC_P),
                      *h0 = norni_optional(node, NORNI_REC_H0), *c0 = norni_optional(node, NORNI_REC_C0),
                      *last[2][2], *along[2], *axis0 = norni_i64_const(g, 1, (int64_t[]){0}),
                      *axis1 = norni_i64_const(g, 1, (int64_t[]){1});
    norni_act act[2][3];
    int directions = at->direction == 2 ? 2 : 1;
    if (!norni_type_static(&x->type) || !norni_type_static(&in[NORNI_REC_R]->type))
        return norni_fail(NORN_UNSUPPORTED,
                          "the steps are written out, and their number is not known (bind the sizes first)");
    if (x->type.dims[0] > MOST_STEPS)
        return norni_fail(NORN_UNSUPPORTED, "%lld steps (written out at most %d)", (long long)x->type.dims[0],
                          MOST_STEPS);
    NORNI_TRY(norni_recurrent_acts(node, directions, act));
    ctx c = {.g = g, .at = at, .s = x->type.dims[0], .h = in[NORNI_REC_R]->type.dims[1]};
    int64_t b = x->type.dims[1], h4 = 4 * c.h;
    norn_value **ys = norni_arena_array(g->arena, (size_t)c.s + 1, sizeof *ys), *rows = rows_of(g, x, lens);
    if (!ys)
        return norni_nomem();
    if (lens)
        c.lens = NORNI_OP2(g, lens, axis1, "Unsqueeze");
    for (int d = 0; d < directions; d++) {
        norni_type none = {NORN_F32, 2, {b, c.h}};
        bool reverse = at->direction == 1 || d == 1;
        norn_value *h = h0 ? row(g, h0, d) : norni_fill_const(g, &none, 0),
                   *cell = c0 ? row(g, c0, d) : norni_fill_const(g, &none, 0), *both = NULL;
        c.act = act[d];
        c.r = row(g, in[NORNI_REC_R], d);
        c.r_scale = row(g, in[R_SCALE], d);
        c.r_zero = row(g, in[R_ZERO], d);
        for (int k = 0; peep && k < 3; k++)
            c.peep[k] = norni_part(g, row(g, peep, d), 0, k * c.h, (k + 1) * c.h);
        if (bias) {
            norn_value *all = row(g, bias, d);
            both = NORNI_OP2(g, norni_part(g, all, 0, 0, h4), norni_part(g, all, 0, h4, 2 * h4), "Add");
        }
        norn_value *wx =
            product(g, rows, row(g, in[NORNI_REC_W], d), row(g, in[W_SCALE], d), row(g, in[W_ZERO], d), both);
        wx = NORNI_OP2(g, wx, norni_i64_const(g, 3, (int64_t[]){c.s, b, h4}), "Reshape<allowzero=1>");
        /* Backwards each sequence starts at its own end. */
        bool turned = reverse && lens;
        if (turned)
            wx = turn(g, wx, lens);
        for (int64_t k = 0; k < c.s; k++) {
            int64_t t = reverse && !turned ? c.s - 1 - k : k;
            norn_value *y = NULL;
            step(&c, row(g, wx, t), t, &h, &cell, &y);
            ys[t] = NORNI_OP2(g, y, axis0, "Unsqueeze");
        }
        if (c.s)
            along[d] = norni_opf(g, (int)c.s, ys, "Concat<axis=0>");
        if (c.s && turned)
            along[d] = turn(g, along[d], lens);
        if (c.s)
            along[d] = NORNI_OP2(g, along[d], axis1, "Unsqueeze");
        last[0][d] = NORNI_OP2(g, h, axis0, "Unsqueeze");
        last[1][d] = NORNI_OP2(g, cell, axis0, "Unsqueeze");
    }
    for (int k = 0; k < 2; k++)
        out[1 + k] = norni_opf(g, directions, last[k], "Concat<axis=0>");
    if (!c.s) {
        norni_type none = {NORN_F32, 4, {0, directions, b, c.h}};
        out[0] = norni_fill_const(g, &none, 0);
        return norn_graph_status(g);
    }
    out[0] = norni_opf(g, directions, along, "Concat<axis=1>");
    return norn_graph_status(g);
}

static const norni_attr table[] = {
    NORNI_REC_ROWS, NORNI_A_INT(norni_recurrent_attrs, input_forget, 0, .lo = 0, .hi = 1), NORNI_A_END};

OP(DynamicQuantizeLSTM, MS, "a layer of LSTM units with weights of bytes", (1),
   ATTRS(norni_recurrent_attrs, table), .infer = infer, .expand = expand,
   .inputs = PARAMS({"X", N, F32S, 0}, {"W", N, BYTES, 'W'}, {"R", N, BYTES, 'W'}, {"B", O, F32S, 0},
                    {"sequence_lens", O, I32S, 0}, {"initial_h", O, F32S, 0}, {"initial_c", O, F32S, 0},
                    {"P", O, F32S, 0}, {"W_scale", N, F32S, 0}, {"W_zero_point", N, BYTES, 'W'},
                    {"R_scale", N, F32S, 0}, {"R_zero_point", N, BYTES, 'W'}),
   .outputs = PARAMS({"Y", NORNI_OPT, F32S, 0}, {"Y_h", NORNI_OPT, F32S, 0}, {"Y_c", NORNI_OPT, F32S, 0}),
   CASES("com.microsoft.DynamicQuantizeLSTM<hidden_size=7>(float[4,3,5], int8[1,5,28], int8[1,7,28], "
         "float[1,56], _, _, _, _, float[1]{0.1}, int8[1]{0}, float[1]{0.1}, int8[1]{0}) => 3",
         "com.microsoft.DynamicQuantizeLSTM<direction=\"bidirectional\", "
         "activations=[\"HardSigmoid\",\"Tanh\",\"LeakyRelu\",\"Sigmoid\",\"Softsign\",\"Tanh\"], "
         "activation_alpha=[0.3,0.1], activation_beta=[0.4], clip=0.9>(float[3,2,5], uint8[2,5,12], "
         "uint8[2,3,12], float[2,24], int32[2]{3,1}, float[2,2,3], float[2,2,3], float[2,9], "
         "float[2]{0.02,0.03}, uint8[2]{3,2}, float[2]{0.04,0.02}, uint8[2]{1,4}) => 3",
         "com.microsoft.DynamicQuantizeLSTM<direction=\"reverse\", input_forget=1>(float[2,1,2], "
         "int8[1,2,4], int8[1,1,4], _, _, _, _, _, float[1,4]{0.1,0.2,0.3,0.1}, int8[1,4], "
         "float[1,4]{0.1,0.1,0.2,0.3}, int8[1,4])",
         "com.microsoft.DynamicQuantizeLSTM(float[0,2,3], int8[1,3,8], int8[1,2,8], _, _, float[1,2,2], _, "
         "_, float[1]{0.1}, int8[1]{0}, float[1]{0.1}, int8[1]{0}) => 3"));
