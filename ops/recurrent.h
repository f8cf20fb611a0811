/* SPDX-License-Identifier: Apache-2.0 */
/* What RNN, GRU, LSTM, their gradients and their expansions share. Sizes: S steps, B sequences, I inputs, H units, D
 * directions, G gates (RNN 1, GRU 3: z r h, LSTM 4: i o f c).
 *
 *     a_t = W x_t + R h_(t-1) + b                       sums of the gates, each clipped to +-clip before its activation
 *     RNN   h_t = f(a)
 *     GRU   z, r = f(a_z), f(a_r);  h_t = (1 - z) g(a_h) + z h_(t-1)
 *           a_h = W x + R (r h_(t-1)) + Rb + Wb, or linear_before_reset: W x + Wb + r q, q = R h_(t-1) + Rb
 *     LSTM  c_t = f c_(t-1) + i g(a_c), h_t = o h(c_t); peepholes: a_i, a_f += P c_(t-1), a_o += P c_t;
 *           input_forget: f = 1 - i
 *
 * A sequence shorter than S keeps its state beyond its end, and Y is 0 there. The hidden outputs for the gradient are
 * `gates` [D, S B, G H]: the sums a before clipping, rows in the order of X's; and `cells` [D, S B, H]: c_t of an LSTM, q
 * of a GRU with linear_before_reset. */
#ifndef NORNI_RECURRENT_H
#define NORNI_RECURRENT_H
#include "ops/op.h"

typedef struct {
    norni_strings activations;
    norni_floats activation_alpha, activation_beta;
    float clip;
    int direction;
    int64_t hidden_size, input_forget, layout, linear_before_reset;
    int64_t output_sequence; /* before opset 7 */
} norni_recurrent_attrs;
extern const char *const norni_directions[];
/* Rows of an attribute table that all recurrent operators have. */
#define NORNI_REC_ROWS                                                                                       \
    NORNI_A(norni_recurrent_attrs, activations, STRINGS, .flags = NORNI_ATTR_OPTIONAL),                      \
        NORNI_A(norni_recurrent_attrs, activation_alpha, FLOATS, .flags = NORNI_ATTR_OPTIONAL),              \
        NORNI_A(norni_recurrent_attrs, activation_beta, FLOATS, .flags = NORNI_ATTR_OPTIONAL),               \
        NORNI_A(norni_recurrent_attrs, clip, FLOAT, .flags = NORNI_ATTR_OPTIONAL,                            \
                .def_float = NORNI_NO_FLOAT),                                                                \
        NORNI_A_ENUM(norni_recurrent_attrs, direction, norni_directions, 0),                                 \
        NORNI_A(norni_recurrent_attrs, hidden_size, INT, .flags = NORNI_ATTR_OPTIONAL,                       \
                .def_int = NORNI_NO_INT)

/* Activation functions: how formulas and kernels name them, and their default parameters. */
typedef struct {
    const char *name, *kernel;
    int parameters; /* 1: alpha, 2: alpha and beta */
    double alpha, beta;
    /* Over x, a, b; the derivative may use the value y too. */
    const char *formula, *derivative;
} norni_activation;

typedef struct {
    const norni_activation *f;
    double alpha, beta;
} norni_act;

enum { NORNI_RNN, NORNI_GRU, NORNI_LSTM };

/* Inputs of all operators; those of a gradient go on behind the operator's: first + ... */
enum {
    NORNI_REC_X,
    NORNI_REC_W,
    NORNI_REC_R,
    NORNI_REC_B,
    NORNI_REC_LENS,
    NORNI_REC_H0,
    NORNI_REC_C0,
    NORNI_REC_P
};
enum { NORNI_REC_Y, NORNI_REC_GATES, NORNI_REC_CELLS, NORNI_REC_DY, NORNI_REC_DYH, NORNI_REC_DYC };

/* A node's sizes and meaning; its types are static. Strides are in elements. */
typedef struct {
    int kind, gates, first; /* first: inputs of the operator itself */
    int64_t s, b, i, h, d;
    int64_t rows, row_t, row_b; /* row t * row_t + b * row_b of X */
    int64_t y_t, y_b, y_d;      /* of Y */
    int64_t state_b, state_d;   /* of initial and final states */
    norni_act act[2][3];
    bool reverse[2], same; /* same: the directions have the same activations */
    bool clipped, couple, linear;
    double clip;
} norni_recurrent;

int norni_recurrent_kind(const norn_op *op);
/* What attributes alone say. */
norn_status norni_recurrent_acts(const norn_node *node, int directions, norni_act act[2][3]);
/* Types of the outputs, from inputs that are checked. turned: W is [D, I, G H] and R [D, H, G H]. */
norn_status norni_recurrent_infer(norni_infer *c, bool turned);
norn_status norni_recurrent_want_size(const norni_infer *c, int input, int axis, norni_dim want);
void norni_recurrent_of(const norn_node *node, norni_recurrent *r);
static inline bool norni_recurrent_has(const norn_node *node, int i) {
    return i >= 0 && i < node->n_in && node->in[i];
}
static inline bool norni_recurrent_wants(const norn_node *node, int k) {
    return k < node->n_out && node->out[k];
}
static inline norn_dtype norni_recurrent_kept(norn_dtype t) {
    return t == NORN_F64 ? NORN_F64 : t == NORN_UNDEFINED ? t : NORN_F32;
}

norn_status norni_recurrent_eval(norni_eval *e);
norn_status norni_recurrent_eval_grad(norni_eval *e);
norn_status norni_recurrent_emit(norni_emit *e);
norn_status norni_recurrent_emit_grad(norni_emit *e);
norn_status norni_recurrent_emit_run(norni_emit *e);  /* all steps in one launch */
norn_status norni_recurrent_emit_team(norni_emit *e); /* the same, and all cores share each step */
norn_status norni_recurrent_emit_grad_run(norni_emit *e);
norn_status norni_recurrent_expand_grad(norn_graph *g, const norn_node *node, norn_value **out);

/* ---- Between the two emitters. Tiles of the step kernels: `rows` sequences by `width` units; the units of `panel`
 * stand together in a packed R. */
typedef struct {
    int rows, width, panel;
    int64_t panels;
} norni_recurrent_tile;
norni_recurrent_tile norni_recurrent_tile_of(const norni_emit *e, const norni_recurrent *r, int accumulators);
/* Gates gate0 .. gate0 + n - 1 of R as [D][panels][K][n][panel]. transposed: as [D][panels][n H][1][panel], for products
 * with the gradients of the gates. */
norni_ref norni_recurrent_pack(norni_emit *e, const norni_recurrent *r, const norni_recurrent_tile *t,
                               int gate0, int n, bool transposed);
/* Defines that the step kernels share; `dir`: the first direction of the launch. */
void norni_recurrent_defines(norni_emit *e, norni_step *k, const norni_recurrent *r,
                             const norni_recurrent_tile *t, int dir);
void norni_recurrent_range(norni_emit *e, norni_step *k, const norni_recurrent *r,
                           const norni_recurrent_tile *t, int directions, bool run);
const char *norni_recurrent_run_fits(const norni_fit *f, int accumulators, int64_t depth);
const char *norni_recurrent_team_fits(const norni_fit *f);

#endif
