/* SPDX-License-Identifier: Apache-2.0 */
/* The host reference of the recurrent operators and of their gradients, in double (ops/recurrent.h has the equations). */
#include "ops/recurrent.h"
#include <math.h>
#include <string.h>

static double get(const norn_tensor *t, int64_t i) {
    return t ? norni_get_double(t->dtype, norni_tensor_data(t), i) : 0;
}
static void put(norn_tensor *t, int64_t i, double v) {
    if (t)
        norni_set_double(t->dtype, norni_tensor_data(t), i, v);
}

static double sigmoid(double x) {
    return 1 / (1 + exp(-x));
}

/* Value of an activation and its derivative. */
static double apply(const norni_act *f, double x, double *slope) {
    const char *k = f->f->kernel;
    double a = f->alpha, b = f->beta, y, d;
    if (!strcmp(k, "relu"))
        y = x > 0 ? x : 0, d = x > 0;
    else if (!strcmp(k, "th"))
        y = tanh(x), d = 1 - y * y;
    else if (!strcmp(k, "sigmoid"))
        y = sigmoid(x), d = y * (1 - y);
    else if (!strcmp(k, "affine"))
        y = a * x + b, d = a;
    else if (!strcmp(k, "leaky"))
        y = x >= 0 ? x : a * x, d = x >= 0 ? 1 : a;
    else if (!strcmp(k, "threshold"))
        y = x >= a ? x : 0, d = x >= a;
    else if (!strcmp(k, "scaled"))
        y = a * tanh(b * x), d = a * b * (1 - tanh(b * x) * tanh(b * x));
    else if (!strcmp(k, "hard"))
        y = fmin(fmax(a * x + b, 0), 1), d = y > 0 && y < 1 ? a : 0;
    else if (!strcmp(k, "elu"))
        y = x >= 0 ? x : a * (exp(x) - 1), d = x >= 0 ? 1 : a * exp(x);
    else if (!strcmp(k, "softsign"))
        y = x / (1 + fabs(x)), d = 1 / ((1 + fabs(x)) * (1 + fabs(x)));
    else
        y = fmax(x, 0) + log1p(exp(-fabs(x))), d = sigmoid(x);
    if (slope)
        *slope = d;
    return y;
}

/* The same of a gate's sum, which is clipped before. */
static double gate(const norni_recurrent *r, const norni_act *f, double x, double *slope) {
    double c = r->clipped ? fmin(fmax(x, -r->clip), r->clip) : x, y = apply(f, c, slope);
    if (slope && c != x)
        *slope = 0;
    return y;
}

typedef struct {
    norni_eval *e;
    norni_recurrent r;
} ctx;

static const norn_tensor *in(const ctx *c, int i) {
    return norni_recurrent_has(c->e->node, i) ? c->e->in[i] : NULL;
}
static norn_tensor *out(const ctx *c, int k) {
    return norni_recurrent_wants(c->e->node, k) ? c->e->out[k] : NULL;
}
static int64_t length(const ctx *c, int64_t b) {
    const norn_tensor *t = in(c, NORNI_REC_LENS);
    return t ? norni_get_int(t->dtype, norni_tensor_data(t), b) : c->r.s;
}
static int64_t state_at(const ctx *c, int64_t d, int64_t b, int64_t j) {
    return d * c->r.state_d + b * c->r.state_b + j;
}
static int64_t y_at(const ctx *c, int64_t t, int64_t d, int64_t b, int64_t j) {
    return t * c->r.y_t + d * c->r.y_d + b * c->r.y_b + j;
}
static int64_t row_at(const ctx *c, int64_t d, int64_t t, int64_t b) {
    return d * c->r.rows + t * c->r.row_t + b * c->r.row_b;
}
/* Bias of a gate's row: 0: Wb, 1: Rb. */
static double bias(const ctx *c, int64_t d, int which, int64_t row) {
    int64_t gh = c->r.gates * c->r.h;
    return get(in(c, NORNI_REC_B), d * 2 * gh + which * gh + row);
}
static double recurrent(const ctx *c, int64_t d, int64_t row, const double *h) {
    double sum = 0;
    for (int64_t k = 0; k < c->r.h; k++)
        sum += h[k] * get(in(c, NORNI_REC_R), (d * c->r.gates * c->r.h + row) * c->r.h + k);
    return sum;
}

/* One step of one sequence: h (and c) before it become those after it; a: [G H], cells: [H]. */
static void step(const ctx *c, int64_t d, int64_t t, int64_t b, double *h, double *cell, double *a,
                 double *cells) {
    const norni_recurrent *r = &c->r;
    const norni_act *f = r->act[d];
    int64_t n = r->h, gh = r->gates * n;
    const norn_tensor *x = in(c, NORNI_REC_X), *w = in(c, NORNI_REC_W), *p = in(c, NORNI_REC_P);
    for (int64_t row = 0; row < gh; row++) {
        bool candidate = r->kind == NORNI_GRU && row >= 2 * n;
        a[row] = bias(c, d, 0, row);
        for (int64_t k = 0; k < r->i; k++)
            a[row] += get(x, (t * r->row_t + b * r->row_b) * r->i + k) * get(w, (d * gh + row) * r->i + k);
        if (!candidate)
            a[row] += bias(c, d, 1, row) + recurrent(c, d, row, h);
    }
    if (r->kind == NORNI_RNN)
        for (int64_t j = 0; j < n; j++)
            h[j] = gate(r, &f[0], a[j], NULL);
    else if (r->kind == NORNI_GRU) {
        for (int64_t j = 0; j < n; j++) /* r h_(t-1), or q */
            cells[j] = r->linear ? recurrent(c, d, 2 * n + j, h) + bias(c, d, 1, 2 * n + j)
                                 : gate(r, &f[0], a[n + j], NULL) * h[j];
        for (int64_t j = 0; j < n; j++)
            a[2 * n + j] += r->linear ? gate(r, &f[0], a[n + j], NULL) * cells[j]
                                      : recurrent(c, d, 2 * n + j, cells) + bias(c, d, 1, 2 * n + j);
        for (int64_t j = 0; j < n; j++) {
            double z = gate(r, &f[0], a[j], NULL);
            h[j] = (1 - z) * gate(r, &f[1], a[2 * n + j], NULL) + z * h[j];
        }
    } else
        for (int64_t j = 0; j < n; j++) {
            int64_t at = d * 3 * n + j;
            a[j] += get(p, at) * cell[j];
            a[2 * n + j] += get(p, at + 2 * n) * cell[j];
            double i = gate(r, &f[0], a[j], NULL),
                   forget = r->couple ? 1 - i : gate(r, &f[0], a[2 * n + j], NULL);
            cells[j] = cell[j] = forget * cell[j] + i * gate(r, &f[1], a[3 * n + j], NULL);
            a[n + j] += get(p, at + n) * cell[j];
            h[j] = gate(r, &f[0], a[n + j], NULL) * apply(&f[2], cell[j], NULL);
        }
}

norn_status norni_recurrent_eval(norni_eval *e) {
    ctx c = {.e = e};
    norni_recurrent_of(e->node, &c.r);
    const norni_recurrent *r = &c.r;
    int states = r->kind == NORNI_LSTM ? 2 : 1;
    double *h = norni_alloc_array((size_t)(r->h * (3 + r->gates)) + 1, sizeof *h);
    if (!h)
        return norni_nomem();
    double *cell = h + r->h, *cells = cell + r->h, *a = cells + r->h;
    for (int64_t d = 0; d < r->d; d++)
        for (int64_t b = 0; b < r->b; b++) {
            int64_t len = length(&c, b);
            for (int64_t j = 0; j < r->h; j++) {
                h[j] = get(in(&c, NORNI_REC_H0), state_at(&c, d, b, j));
                cell[j] = get(r->kind == NORNI_LSTM ? in(&c, NORNI_REC_C0) : NULL, state_at(&c, d, b, j));
            }
            for (int64_t k = 0; k < r->s; k++) {
                int64_t t = r->reverse[d] ? r->s - 1 - k : k, row = row_at(&c, d, t, b);
                memset(a, 0, (size_t)(r->gates * r->h) * sizeof *a);
                memset(cells, 0, (size_t)r->h * sizeof *cells);
                if (t < len)
                    step(&c, d, t, b, h, cell, a, cells);
                for (int64_t j = 0; j < r->h; j++)
                    put(out(&c, 0), y_at(&c, t, d, b, j), t < len ? h[j] : 0);
                for (int64_t j = 0; j < r->gates * r->h; j++)
                    put(out(&c, states + 1), row * r->gates * r->h + j, a[j]);
                for (int64_t j = 0; j < r->h; j++)
                    put(out(&c, states + 2), row * r->h + j, cells[j]);
            }
            for (int64_t j = 0; j < r->h; j++) {
                put(out(&c, 1), state_at(&c, d, b, j), h[j]);
                if (states == 2)
                    put(out(&c, 2), state_at(&c, d, b, j), cell[j]);
            }
        }
    norni_free(h);
    return NORN_OK;
}

/* ---- The gradient. State before step k of a sequence, from Y or the initial one; for cells alike. */
static double before(const ctx *c, int64_t d, int64_t t, int64_t b, int64_t j, bool cell) {
    const norni_recurrent *r = &c->r;
    int64_t prev = r->reverse[d] ? t + 1 : t - 1;
    if (prev < 0 || prev >= length(c, b))
        return get(in(c, cell ? NORNI_REC_C0 : NORNI_REC_H0), state_at(c, d, b, j));
    return cell ? get(in(c, r->first + NORNI_REC_CELLS), row_at(c, d, prev, b) * r->h + j)
                : get(in(c, r->first + NORNI_REC_Y), y_at(c, prev, d, b, j));
}

/* Sums in double, one place for each element of dX .. dP. */
typedef struct {
    double *v[7];
} sums;

/* The gradients of one step: dh, dc are those of its results and become those of what it began with. dz: of the sums as W
 * sees them, dr: as R sees them. */
static void step_back(const ctx *c, int64_t d, int64_t t, int64_t b, double *dh, double *dc, double *dz,
                      double *dr, sums *s) {
    const norni_recurrent *r = &c->r;
    const norni_act *f = r->act[d];
    int64_t n = r->h, row = row_at(c, d, t, b);
    const norn_tensor *gates = in(c, r->first + NORNI_REC_GATES), *cells = in(c, r->first + NORNI_REC_CELLS),
                      *p = in(c, NORNI_REC_P), *w = in(c, NORNI_REC_R);
    double slope[4];
#define SUM(g, j)     get(gates, (row * r->gates + (g)) * n + (j))
#define R_AT(g, i, k) get(w, ((d * r->gates + (g)) * n + (i)) * n + (k))
    if (r->kind == NORNI_RNN)
        for (int64_t j = 0; j < n; j++) {
            gate(r, &f[0], SUM(0, j), slope);
            dz[j] = dr[j] = dh[j] * slope[0];
            dh[j] = 0;
        }
    else if (r->kind == NORNI_GRU) {
        for (int64_t j = 0; j < n; j++) {
            double z = gate(r, &f[0], SUM(0, j), &slope[0]), m = gate(r, &f[0], SUM(1, j), &slope[1]);
            double candidate = gate(r, &f[1], SUM(2, j), &slope[2]), h = before(c, d, t, b, j, false);
            dz[j] = dr[j] = dh[j] * (h - candidate) * slope[0];
            dz[2 * n + j] = dr[2 * n + j] = dh[j] * (1 - z) * slope[2];
            if (r->linear) {
                dz[n + j] = dr[n + j] = dz[2 * n + j] * get(cells, row * n + j) * slope[1];
                dr[2 * n + j] *= m;
            }
            dh[j] *= z;
        }
        for (int64_t j = 0; j < n && !r->linear; j++) {
            double drh = 0, m = gate(r, &f[0], SUM(1, j), &slope[1]), h = before(c, d, t, b, j, false);
            for (int64_t i = 0; i < n; i++)
                drh += dz[2 * n + i] * R_AT(2, i, j);
            dz[n + j] = dr[n + j] = drh * h * slope[1];
            dh[j] += drh * m;
        }
    } else
        for (int64_t j = 0; j < n; j++) {
            int64_t at = d * 3 * n + j;
            double i = gate(r, &f[0], SUM(0, j), &slope[0]), o = gate(r, &f[0], SUM(1, j), &slope[1]);
            double forget = gate(r, &f[0], SUM(2, j), &slope[2]), g = gate(r, &f[1], SUM(3, j), &slope[3]);
            double cell = get(cells, row * n + j), c0 = before(c, d, t, b, j, true), dcell;
            double y = apply(&f[2], cell, &dcell);
            dz[n + j] = dh[j] * y * slope[1];
            double total = dc[j] + dh[j] * o * dcell + dz[n + j] * get(p, at + n);
            dz[j] = total * (r->couple ? g - c0 : g) * slope[0];
            dz[2 * n + j] = r->couple ? 0 : total * c0 * slope[2];
            dz[3 * n + j] = total * i * slope[3];
            dc[j] = total * (r->couple ? 1 - i : forget) + dz[j] * get(p, at) +
                    dz[2 * n + j] * get(p, at + 2 * n);
            dh[j] = 0;
            s->v[6][at] += dz[j] * c0;
            s->v[6][at + n] += dz[n + j] * cell;
            s->v[6][at + 2 * n] += dz[2 * n + j] * c0;
            for (int k = 0; k < 4; k++)
                dr[k * n + j] = dz[k * n + j];
        }
    for (int64_t j = 0; j < n; j++) /* through R, but for the candidate of a GRU that has been through it */
        for (int g = 0; g < r->gates; g++)
            for (int64_t i = 0; i < n && !(r->kind == NORNI_GRU && !r->linear && g == 2); i++)
                dh[j] += dr[g * n + i] * R_AT(g, i, j);
}

static void step_sums(const ctx *c, int64_t d, int64_t t, int64_t b, const double *dz, const double *dr,
                      sums *s) {
    const norni_recurrent *r = &c->r;
    int64_t n = r->h, gh = r->gates * n, x = (t * r->row_t + b * r->row_b) * r->i;
    const norn_tensor *gates = in(c, r->first + NORNI_REC_GATES);
    for (int64_t row = 0; row < gh; row++) {
        bool reset = r->kind == NORNI_GRU && !r->linear && row >= 2 * n;
        for (int64_t k = 0; k < r->i; k++) {
            s->v[0][x + k] += dz[row] * get(in(c, NORNI_REC_W), (d * gh + row) * r->i + k);
            s->v[1][(d * gh + row) * r->i + k] += dz[row] * get(in(c, NORNI_REC_X), x + k);
        }
        for (int64_t k = 0; k < n; k++) {
            double h = before(c, d, t, b, k, false);
            if (reset)
                h *= gate(r, &r->act[d][0], get(gates, row_at(c, d, t, b) * gh + n + k), NULL);
            s->v[2][(d * gh + row) * n + k] += dr[row] * h;
        }
        s->v[3][d * 2 * gh + row] += dz[row];
        s->v[3][d * 2 * gh + gh + row] += dr[row];
    }
}

norn_status norni_recurrent_eval_grad(norni_eval *e) {
    ctx c = {.e = e};
    norni_recurrent_of(e->node, &c.r);
    const norni_recurrent *r = &c.r;
    int64_t n = r->h, gh = r->gates * n;
    const int64_t sizes[7] = {r->rows * r->i,  r->d * gh * r->i, r->d * gh * n, r->d * 2 * gh,
                              r->d * r->b * n, r->d * r->b * n,  r->d * 3 * n};
    int64_t total = 2 * n + 2 * gh;
    for (int k = 0; k < 7; k++)
        total += sizes[k];
    double *all = norni_alloc_array((size_t)total + 1, sizeof *all), *at = all;
    sums s;
    if (!all)
        return norni_nomem();
    for (int k = 0; k < 7; at += sizes[k++])
        s.v[k] = at;
    double *dh = at, *dc = dh + n, *dz = dc + n, *dr = dz + gh;
    for (int64_t d = 0; d < r->d; d++)
        for (int64_t b = 0; b < r->b; b++) {
            for (int64_t j = 0; j < n; j++) {
                dh[j] = get(in(&c, r->first + NORNI_REC_DYH), state_at(&c, d, b, j));
                dc[j] =
                    r->kind == NORNI_LSTM ? get(in(&c, r->first + NORNI_REC_DYC), state_at(&c, d, b, j)) : 0;
            }
            for (int64_t k = r->s; k-- > 0;) {
                int64_t t = r->reverse[d] ? r->s - 1 - k : k;
                if (t >= length(&c, b))
                    continue;
                for (int64_t j = 0; j < n; j++)
                    dh[j] += get(in(&c, r->first + NORNI_REC_DY), y_at(&c, t, d, b, j));
                step_back(&c, d, t, b, dh, dc, dz, dr, &s);
                step_sums(&c, d, t, b, dz, dr, &s);
            }
            for (int64_t j = 0; j < n; j++) {
                s.v[4][state_at(&c, d, b, j)] = dh[j];
                s.v[5][state_at(&c, d, b, j)] = dc[j];
            }
        }
    for (int k = 0; k < 7; k++)
        for (int64_t i = 0; i < sizes[k] && out(&c, k); i++)
            put(out(&c, k), i, s.v[k][i]);
    norni_free(all);
    return NORN_OK;
}
