/* SPDX-License-Identifier: Apache-2.0 */
/* The gradients of the recurrent operators by ONNX operators: all steps written out, forward and back. The forward steps are
 * made anew from the inputs, so that the expansion can be differentiated again. Equations: ops/recurrent.h. */
#include "ops/recurrent.h"
#include <math.h>

/* What a step leaves for its way back. */
typedef struct {
    norn_value *h, *c;               /* before it */
    norn_value *sum[4], *gate[4];    /* before and after the activations; sums are clipped */
    norn_value *inside[4];           /* 1 where the clipping passes on, or NULL */
    norn_value *cell, *out_cell, *q; /* after it, its activation; q of a GRU with linear_before_reset */
    norn_value *valid;               /* the sequences that reach it, or NULL: all */
} saved;

typedef struct {
    norn_graph *g;
    const norn_node *node;
    norn_dtype t;
    int kind, gates, d;
    int64_t s, h;
    bool couple, linear;
    float clip;
    norni_act (*act)[3];
    norn_value *x, *w, *r, *wb, *rb, *p[3], *lens; /* of the direction; absent: NULL */
    bool reverse;
    saved *steps;
    norn_value **dz, **dr, **xs, **hs, **rhs; /* by step */
} ctx;

static norn_value *input(const ctx *c, int i) {
    return norni_recurrent_has(c->node, i) ? c->node->in[i] : NULL;
}
static norn_value *add(const ctx *c, norn_value *a, norn_value *b) {
    return !a ? b : !b ? a : NORNI_OP2(c->g, a, b, "Add");
}
static norn_value *mul(const ctx *c, norn_value *a, norn_value *b) {
    return NORNI_OP2(c->g, a, b, "Mul");
}
static norn_value *one_minus(const ctx *c, norn_value *a) {
    return NORNI_OP2(c->g, norni_scalar_const(c->g, c->t, 1), a, "Sub");
}
/* Row i along axis 0, without the axis. */
static norn_value *row(const ctx *c, norn_value *v, int64_t i) {
    return v ? norni_at(c->g, v, 0, i) : NULL;
}
static norn_value *part(const ctx *c, norn_value *v, int axis, int64_t from, int64_t to) {
    return v ? norni_part(c->g, v, axis, from, to) : NULL;
}
/* a b' */
static norn_value *times_t(const ctx *c, norn_value *a, norn_value *b) {
    return NORNI_OP2(c->g, a, b, "Gemm<transB=1>");
}
static norn_value *times(const ctx *c, norn_value *a, norn_value *b) {
    return NORNI_OP2(c->g, a, b, "Gemm");
}
static norn_value *unit_part(const ctx *c, norn_value *v, int g) {
    return part(c, v, 1, g * c->h, (g + 1) * c->h);
}
static norn_value *gate_rows(const ctx *c, norn_value *v, int from, int to) {
    return part(c, v, 0, from * c->h, to * c->h);
}
static norn_value *join(const ctx *c, int axis, int n, norn_value *const *v) {
    return n == 1 ? v[0] : norni_opf(c->g, n, v, "Concat<axis=%d>", axis);
}

static norn_value *apply(const ctx *c, const norni_act *a, norn_value *x) {
    norn_value *vars[] = {x, norni_scalar_const(c->g, c->t, a->alpha),
                          norni_scalar_const(c->g, c->t, a->beta)};
    return norni_formula(c->g, a->f->formula, 3, (const char *const[]){"x", "a", "b"}, vars);
}
static norn_value *slope(const ctx *c, const norni_act *a, norn_value *x, norn_value *y) {
    norn_value *vars[] = {x, y, norni_scalar_const(c->g, c->t, a->alpha),
                          norni_scalar_const(c->g, c->t, a->beta)};
    return norni_formula(c->g, a->f->derivative, 4, (const char *const[]){"x", "y", "a", "b"}, vars);
}

/* ---- Forward. */
static void activate(const ctx *c, saved *s, int g, const norni_act *a, norn_value *sum) {
    s->sum[g] = sum;
    if (!isnan(c->clip) && c->clip > 0) {
        norn_value *vars[] = {sum, norni_scalar_const(c->g, c->t, (double)c->clip)};
        const char *const names[] = {"x", "k"};
        s->sum[g] = norni_formula(c->g, "min(max(x, -k), k)", 2, names, vars);
        s->inside[g] = norni_formula(c->g, "where(abs(x) <= k, 1.0, 0.0)", 2, names, vars);
    }
    s->gate[g] = apply(c, a, s->sum[g]);
}
static norn_value *back(const ctx *c, const saved *s, int g, const norni_act *a, norn_value *dy) {
    norn_value *d = mul(c, dy, slope(c, a, s->sum[g], s->gate[g]));
    return s->inside[g] ? mul(c, d, s->inside[g]) : d;
}

static void forward(ctx *c, int64_t k, norn_value **h, norn_value **cell) {
    const norni_act *f = c->act[c->d];
    int64_t t = c->reverse ? c->s - 1 - k : k;
    saved *s = &c->steps[k];
    s->h = *h;
    s->c = *cell;
    c->xs[k] = row(c, c->x, t);
    if (c->lens)
        s->valid = NORNI_OP2(c->g, norni_scalar_const(c->g, NORN_I32, (double)t), c->lens, "Less");
    norn_value *wx = add(c, times_t(c, c->xs[k], c->w), c->wb);
    if (c->kind == NORNI_RNN) {
        activate(c, s, 0, &f[0], add(c, wx, add(c, times_t(c, *h, c->r), c->rb)));
        *h = s->gate[0];
    } else if (c->kind == NORNI_GRU) {
        norn_value *rzr = gate_rows(c, c->r, 0, 2), *rh = gate_rows(c, c->r, 2, 3);
        norn_value *zr = add(c, times_t(c, *h, rzr), c->rb ? part(c, c->rb, 0, 0, 2 * c->h) : NULL);
        norn_value *bias = c->rb ? part(c, c->rb, 0, 2 * c->h, 3 * c->h) : NULL;
        for (int g = 0; g < 2; g++)
            activate(c, s, g, &f[0], add(c, unit_part(c, wx, g), unit_part(c, zr, g)));
        if (c->linear) {
            s->q = add(c, times_t(c, *h, rh), bias);
            activate(c, s, 2, &f[1], add(c, unit_part(c, wx, 2), mul(c, s->gate[1], s->q)));
        } else {
            c->rhs[k] = mul(c, s->gate[1], *h);
            activate(c, s, 2, &f[1], add(c, unit_part(c, wx, 2), add(c, times_t(c, c->rhs[k], rh), bias)));
        }
        *h = add(c, mul(c, one_minus(c, s->gate[0]), s->gate[2]), mul(c, s->gate[0], *h));
    } else {
        norn_value *a = add(c, wx, add(c, times_t(c, *h, c->r), c->rb)), *sum[4];
        for (int g = 0; g < 4; g++)
            sum[g] = unit_part(c, a, g);
        if (c->p[0]) {
            sum[0] = add(c, sum[0], mul(c, c->p[0], *cell));
            sum[2] = add(c, sum[2], mul(c, c->p[2], *cell));
        }
        activate(c, s, 0, &f[0], sum[0]);
        activate(c, s, 2, &f[0], sum[2]);
        activate(c, s, 3, &f[1], sum[3]);
        if (c->couple)
            s->gate[2] = one_minus(c, s->gate[0]);
        s->cell = add(c, mul(c, s->gate[2], *cell), mul(c, s->gate[0], s->gate[3]));
        activate(c, s, 1, &f[0], c->p[0] ? add(c, sum[1], mul(c, c->p[1], s->cell)) : sum[1]);
        s->out_cell = apply(c, &f[2], s->cell);
        *h = mul(c, s->gate[1], s->out_cell);
        *cell = s->cell;
        if (s->valid)
            *cell = NORNI_OP3(c->g, s->valid, *cell, s->c, "Where");
    }
    if (s->valid)
        *h = NORNI_OP3(c->g, s->valid, *h, s->h, "Where");
    c->hs[k] = s->h;
}

/* ---- Back. */
static void backward(ctx *c, int64_t k, norn_value *dy, norn_value **dh, norn_value **dc) {
    const norni_act *f = c->act[c->d];
    saved *s = &c->steps[k];
    norn_value *zero = norni_scalar_const(c->g, c->t, 0), *all = add(c, *dh, dy), *total = all, *dcell = *dc;
    norn_value *dz[4], *dr[4], *rest = NULL, *dc0 = NULL, *passed = *dh;
    if (s->valid) { /* nothing from sequences that have ended */
        total = NORNI_OP3(c->g, s->valid, all, zero, "Where");
        dcell = dcell ? NORNI_OP3(c->g, s->valid, dcell, zero, "Where") : NULL;
    }
    if (c->kind == NORNI_RNN)
        dz[0] = back(c, s, 0, &f[0], total);
    else if (c->kind == NORNI_GRU) {
        dz[0] = back(c, s, 0, &f[0], mul(c, total, NORNI_OP2(c->g, s->h, s->gate[2], "Sub")));
        dz[2] = back(c, s, 2, &f[1], mul(c, total, one_minus(c, s->gate[0])));
        rest = mul(c, total, s->gate[0]);
        if (c->linear)
            dz[1] = back(c, s, 1, &f[0], mul(c, dz[2], s->q));
        else {
            norn_value *drh = times(c, dz[2], gate_rows(c, c->r, 2, 3));
            dz[1] = back(c, s, 1, &f[0], mul(c, drh, s->h));
            rest = add(c, rest, mul(c, drh, s->gate[1]));
        }
    } else {
        dz[1] = back(c, s, 1, &f[0], mul(c, total, s->out_cell));
        dcell = add(c, dcell, mul(c, mul(c, total, s->gate[1]), slope(c, &f[2], s->cell, s->out_cell)));
        if (c->p[0])
            dcell = add(c, dcell, mul(c, dz[1], c->p[1]));
        norn_value *di = mul(c, dcell, c->couple ? NORNI_OP2(c->g, s->gate[3], s->c, "Sub") : s->gate[3]);
        dz[0] = back(c, s, 0, &f[0], di);
        dz[2] = c->couple ? mul(c, dz[0], zero) : back(c, s, 2, &f[0], mul(c, dcell, s->c));
        dz[3] = back(c, s, 3, &f[1], mul(c, dcell, s->gate[0]));
        dc0 = mul(c, dcell, s->gate[2]);
        if (c->p[0])
            dc0 = add(c, dc0, add(c, mul(c, dz[0], c->p[0]), mul(c, dz[2], c->p[2])));
        *dc = s->valid && *dc ? NORNI_OP3(c->g, s->valid, dc0, *dc, "Where") : dc0;
    }
    for (int g = 0; g < c->gates; g++)
        dr[g] = c->linear && g == 2 ? mul(c, dz[2], s->gate[1]) : dz[g];
    c->dz[k] = join(c, 1, c->gates, dz);
    c->dr[k] = c->linear ? join(c, 1, c->gates, dr) : c->dz[k];
    bool two = c->kind == NORNI_GRU && !c->linear;
    norn_value *through =
        two ? times(c, join(c, 1, 2, dr), gate_rows(c, c->r, 0, 2)) : times(c, c->dr[k], c->r);
    *dh = add(c, rest, through);
    if (s->valid && passed)
        *dh = NORNI_OP3(c->g, s->valid, *dh, passed, "Where");
}

/* ---- One direction: its parts of dX .. dP. */
static norn_value *state(const ctx *c, int i, bool batch_first) {
    norn_value *v = input(c, i);
    return v ? row(c, batch_first ? NORNI_OP1(c->g, v, "Transpose<perm=[1,0,2]>") : v, c->d) : NULL;
}

static norn_value *columns(const ctx *c, norn_value *v) {
    return NORNI_OP2(c->g, v, norni_i64_const(c->g, 1, (int64_t[]){0}), "ReduceSum<keepdims=0>");
}

static void direction(ctx *c, bool batch_first, norn_value **part_of) {
    norn_graph *g = c->g;
    int first = c->kind == NORNI_LSTM ? 8 : 6;
    int64_t gh = c->gates * c->h;
    norn_value *dys = input(c, first + NORNI_REC_DY), *bias = row(c, input(c, NORNI_REC_B), c->d),
               *peep = NULL;
    c->w = row(c, c->node->in[NORNI_REC_W], c->d);
    c->r = row(c, c->node->in[NORNI_REC_R], c->d);
    c->wb = bias ? part(c, bias, 0, 0, gh) : NULL;
    c->rb = bias ? part(c, bias, 0, gh, 2 * gh) : NULL;
    c->lens = input(c, NORNI_REC_LENS);
    if (c->lens)
        c->lens = NORNI_OP2(g, c->lens, norni_i64_const(g, 1, (int64_t[]){1}), "Unsqueeze");
    if (c->kind == NORNI_LSTM)
        peep = row(c, input(c, NORNI_REC_P), c->d);
    for (int k = 0; k < 3; k++)
        c->p[k] = peep ? part(c, peep, 0, k * c->h, (k + 1) * c->h) : NULL;
    norn_value *batch = norni_size_value(g, c->x, 1);
    norn_value *shape =
        norni_opf(g, 2, (norn_value *[]){batch, norni_i64_const(g, 1, &c->h)}, "Concat<axis=0>");
    norn_value *zeros = norni_zeros(g, c->t, shape);
    norn_value *h = state(c, NORNI_REC_H0, batch_first), *cell = NULL, *dh, *dc = NULL;
    h = h ? h : zeros;
    if (c->kind == NORNI_LSTM && !(cell = state(c, NORNI_REC_C0, batch_first)))
        cell = zeros;
    for (int64_t k = 0; k < c->s; k++)
        forward(c, k, &h, &cell);
    dh = state(c, first + NORNI_REC_DYH, batch_first);
    dh = dh ? dh : zeros;
    if (c->kind == NORNI_LSTM && !(dc = state(c, first + NORNI_REC_DYC, batch_first)))
        dc = zeros;
    if (dys) /* [S, D, B, H] to [S, B, H] */
        dys = NORNI_OP2(g, batch_first ? NORNI_OP1(g, dys, "Transpose<perm=[1,2,0,3]>") : dys,
                        norni_scalar_const(g, NORN_I64, c->d), "Gather<axis=1>");
    for (int64_t k = c->s; k-- > 0;)
        backward(c, k, row(c, dys, c->reverse ? c->s - 1 - k : k), &dh, &dc);
    part_of[4] = dh;
    part_of[5] = dc;
    if (!c->s)
        return;
    int n = (int)c->s;
    norn_value *dz = join(c, 0, n, c->dz), *dr = c->linear ? join(c, 0, n, c->dr) : dz,
               *hs = join(c, 0, n, c->hs);
    part_of[1] = NORNI_OP2(g, dz, join(c, 0, n, c->xs), "Gemm<transA=1>");
    if (c->kind == NORNI_GRU && !c->linear) {
        norn_value *two[] = {NORNI_OP2(g, part(c, dz, 1, 0, 2 * c->h), hs, "Gemm<transA=1>"),
                             NORNI_OP2(g, unit_part(c, dz, 2), join(c, 0, n, c->rhs), "Gemm<transA=1>")};
        part_of[2] = join(c, 0, 2, two);
    } else
        part_of[2] = NORNI_OP2(g, dr, hs, "Gemm<transA=1>");
    part_of[3] = norni_opf(g, 2, (norn_value *[]){columns(c, dz), columns(c, dr)}, "Concat<axis=0>");
    if (peep) {
        norn_value *sums[3] = {NULL};
        for (int64_t k = 0; k < c->s; k++) {
            saved *s = &c->steps[k];
            norn_value *of[] = {s->c, s->cell, s->c};
            for (int i = 0; i < 3; i++)
                sums[i] = add(c, sums[i], columns(c, mul(c, unit_part(c, c->dz[k], i), of[i])));
        }
        part_of[6] = join(c, 0, 3, sums);
    }
    /* dX in the order of the file's steps. */
    norn_value **rows = norni_arena_array(g->arena, (size_t)n, sizeof *rows);
    for (int k = 0; rows && k < n; k++)
        rows[c->reverse ? n - 1 - k : k] =
            NORNI_OP2(g, times(c, c->dz[k], c->w), norni_i64_const(g, 1, (int64_t[]){0}), "Unsqueeze");
    part_of[0] = rows ? join(c, 0, n, rows) : norni_graph_failed(g, norni_nomem());
}

norn_status norni_recurrent_expand_grad(norn_graph *g, const norn_node *node, norn_value **out) {
    const norni_recurrent_attrs *at = node->attrs;
    const norni_type *x = &node->in[NORNI_REC_X]->type, *r = &node->in[NORNI_REC_R]->type;
    norni_act act[2][3];
    bool batch_first = at->layout != 0;
    ctx c = {.g = g, .node = node, .t = x->dtype, .kind = norni_recurrent_kind(node->op), .act = act};
    static const int like[] = {NORNI_REC_X,  NORNI_REC_W,  NORNI_REC_R, NORNI_REC_B,
                               NORNI_REC_H0, NORNI_REC_C0, NORNI_REC_P};
    norn_value *parts[2][7] = {{NULL}};
    int directions = at->direction == 2 ? 2 : 1;
    if (x->rank != 3 || r->rank != 3 || x->dims[batch_first] < 0 || r->dims[2] < 0)
        return norni_fail(NORN_UNSUPPORTED,
                          "the steps are written out, and their number is not known (bind the sizes "
                          "first)");
    NORNI_TRY(norni_recurrent_acts(node, directions, act));
    c.gates = c.kind == NORNI_LSTM ? 4 : c.kind == NORNI_GRU ? 3 : 1;
    c.s = x->dims[batch_first];
    c.h = r->dims[2];
    c.couple = at->input_forget != 0;
    c.linear = c.kind == NORNI_GRU && at->linear_before_reset != 0;
    c.clip = at->clip;
    c.x = batch_first ? NORNI_OP1(g, node->in[0], "Transpose<perm=[1,0,2]>") : node->in[0];
    for (c.d = 0; c.d < directions; c.d++) {
        size_t n = (size_t)c.s + 1;
        c.reverse = at->direction == 1 || c.d == 1;
        c.steps = norni_arena_array(g->arena, n, sizeof *c.steps);
        norn_value ***lists[] = {&c.dz, &c.dr, &c.xs, &c.hs, &c.rhs};
        for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
            if (!(*lists[i] = norni_arena_array(g->arena, n, sizeof **lists[i])) || !c.steps)
                return norni_nomem();
        direction(&c, batch_first, parts[c.d]);
    }
    for (int k = 0; k < node->n_out; k++) {
        if (!node->out[k])
            continue;
        norn_value *each[2] = {parts[0][k], parts[1][k]};
        if (!each[0]) { /* no steps */
            out[k] = norni_zeros(g, c.t, norni_shape_value(g, node->in[like[k]]));
            continue;
        }
        if (k == 0)
            out[k] = add(&c, each[0], each[1]);
        else {
            for (int d = 0; d < directions; d++)
                each[d] = NORNI_OP2(g, each[d], norni_i64_const(g, 1, (int64_t[]){0}), "Unsqueeze");
            out[k] = join(&c, 0, directions, each);
        }
        if (batch_first && (k == 0 || k == 4 || k == 5))
            out[k] = NORNI_OP1(g, out[k], "Transpose<perm=[1,0,2]>");
    }
    return norn_graph_status(g);
}
