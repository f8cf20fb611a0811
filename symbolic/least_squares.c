/* SPDX-License-Identifier: Apache-2.0 */
/* Levenberg-Marquardt with Marquardt's scaling and Nielsen's damping (Madsen, Nielsen, Tingleff, Methods for non-linear least squares
 * problems, 2004). It ends where the residuals are orthogonal to the columns of the Jacobian, whatever the scale of either (the gtol of
 * More, Garbow, Hillstrom, MINPACK, 1980). With bounds, steps are made in the subspace of the entries that no bound holds, and projected (Bertsekas, Projected
 * Newton methods, 1982; Kanzow, Yamashita, Fukushima, 2004). Errors of the estimates: the covariance s^2 (J'J)^-1, s^2 = sum of squares / (m - rank of J), as of a linear model at
 * the minimum, where J'J is the Hessian of half the sum of squares but for terms in the residuals; what a bound holds counts as known:
 * it is no estimate, and the others' errors are those of a model without it. */
#include "symbolic/least_squares.h"
#include <math.h>
#include <string.h>

/* ---- Student's t. */

/* The regularised incomplete beta function by its continued fraction (Lentz). */
static double beta_fraction(double a, double b, double x) {
    double c = 1, d = 1 - (a + b) * x / (a + 1), h;
    d = 1 / (fabs(d) < 1e-300 ? 1e-300 : d);
    h = d;
    for (int m = 1; m < 500; m++) {
        for (int odd = 0; odd < 2; odd++) {
            double n = odd ? -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
                           : m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
            d = 1 + n * d;
            c = 1 + n / c;
            d = 1 / (fabs(d) < 1e-300 ? 1e-300 : d);
            c = fabs(c) < 1e-300 ? 1e-300 : c;
            h *= d * c;
        }
        if (fabs(d * c - 1) < 1e-15)
            break;
    }
    return h;
}

static double incomplete_beta(double a, double b, double x) {
    if (x <= 0 || x >= 1)
        return x <= 0 ? 0 : 1;
    double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
    return x < (a + 1) / (a + b + 2) ? front * beta_fraction(a, b, x) / a
                                     : 1 - front * beta_fraction(b, a, 1 - x) / b;
}

/* t with P(|T| <= t) = 0.95 for `freedom` degrees. */
static double student(double freedom) {
    double lo = 0, hi = 1e4;
    for (int i = 0; i < 200; i++) {
        double t = (lo + hi) / 2, outside = incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t));
        if (outside > 0.05)
            lo = t;
        else
            hi = t;
    }
    return (lo + hi) / 2;
}

/* ---- The method. */
typedef struct {
    norni_squares *q;
    int64_t m, n;
    double *r, *r_new, *j, *jtj, *a, *g, *step, *x_new; /* j: column by column */
    bool *held;                                         /* at a bound, to which the gradient pushes */
} work;

static double within(const norni_squares *q, int64_t i, double x) {
    if (q->lower)
        x = fmax(x, q->lower[i]);
    return q->upper ? fmin(x, q->upper[i]) : x;
}

/* What a bound holds, and the largest entry of the projected gradient. */
static double find_held(work *w, const double *x) {
    double most = 0;
    for (int64_t i = 0; i < w->n; i++) {
        double step = within(w->q, i, x[i] - 2 * w->g[i]) - x[i];
        w->held[i] = (w->q->lower && x[i] <= w->q->lower[i] && w->g[i] > 0) ||
                     (w->q->upper && x[i] >= w->q->upper[i] && w->g[i] < 0);
        most = fmax(most, isnan(step) ? (double)INFINITY : fabs(step));
    }
    return most;
}

/* The system without what is held: those rows and columns become the identity's, the step there 0. */
static void leave_out_held(work *w) {
    for (int64_t i = 0; i < w->n; i++)
        for (int64_t k = 0; k < w->n; k++)
            if (w->held[i] || w->held[k])
                w->a[i * w->n + k] = i == k;
}

static double squares(int64_t n, const double *r) {
    double s = 0;
    for (int64_t i = 0; i < n; i++)
        s += r[i] * r[i];
    return s;
}

/* J'J and J'r at x. */
static norn_status linearise(work *w, const double *x) {
    for (int64_t k = 0; k < w->n; k++)
        NORNI_TRY(w->q->column(w->q, x, k, w->j + k * w->m));
    for (int64_t i = 0; i < w->n; i++) {
        w->g[i] = 0;
        for (int64_t e = 0; e < w->m; e++)
            w->g[i] += w->j[i * w->m + e] * w->r[e];
        for (int64_t k = 0; k <= i; k++) {
            double s = 0;
            for (int64_t e = 0; e < w->m; e++)
                s += w->j[i * w->m + e] * w->j[k * w->m + e];
            w->jtj[i * w->n + k] = w->jtj[k * w->n + i] = s;
        }
    }
    return NORN_OK;
}

/* (J'J + damping diag(J'J)) step = -g; false: singular. */
static bool damped_step(work *w, double damping) {
    memcpy(w->a, w->jtj, (size_t)(w->n * w->n) * sizeof *w->a);
    for (int64_t i = 0; i < w->n; i++) {
        double d = w->jtj[i * w->n + i];
        w->a[i * w->n + i] += damping * (d > 0 ? d : 1);
        w->step[i] = w->held[i] ? 0 : -w->g[i];
    }
    leave_out_held(w);
    if (!norni_cholesky(w->n, w->a))
        return false;
    norni_cholesky_solve(w->n, w->a, w->step);
    return true;
}

/* R of J = QR with its columns scaled to 1 and the longest first (modified Gram-Schmidt), by the column of J in w->a, without what
 * is held; the columns that are used, in `used`, and their number. What is left of the others is below the noise. */
static int64_t factor(work *w, const double *scale, int64_t *used, bool *in) {
    int64_t n = w->n, rank = 0;
    memset(w->a, 0, (size_t)(n * n) * sizeof *w->a);
    for (int64_t i = 0; i < n; i++)
        for (int64_t e = 0; e < w->m && scale[i] > 0; e++)
            w->j[i * w->m + e] /= scale[i];
    for (; rank < n; rank++) {
        double most = w->q->noise;
        int64_t next = -1;
        for (int64_t i = 0; i < n; i++) {
            double length = in[i] || !(scale[i] > 0) ? 0 : sqrt(squares(w->m, w->j + i * w->m));
            if (length > most)
                most = length, next = i;
        }
        if (next < 0)
            break;
        double *q = w->j + next * w->m, *row = w->a + rank * n;
        used[rank] = next;
        in[next] = true;
        row[next] = most;
        for (int64_t e = 0; e < w->m; e++)
            q[e] /= most;
        for (int64_t i = 0; i < n; i++) {
            if (in[i] || !(scale[i] > 0))
                continue;
            row[i] = norni_dot(w->m, q, w->j + i * w->m);
            for (int64_t e = 0; e < w->m; e++)
                w->j[i * w->m + e] -= row[i] * q[e];
        }
    }
    return rank;
}

/* z = R^-1 z. */
static void back(const work *w, int64_t rank, const int64_t *used, double *z) {
    for (int64_t i = rank; i-- > 0;) {
        for (int64_t k = i + 1; k < rank; k++)
            z[i] -= w->a[i * w->n + used[k]] * z[k];
        z[i] /= w->a[i * w->n + used[i]];
    }
}

static norn_status statistics(work *w, double f, double *errors) {
    const double part =
        1e-5; /* of a direction without effect, in columns of length 1: what is more belongs to it */
    int64_t n = w->n;
    int64_t *used = norni_alloc_array((size_t)n + 1, sizeof *used);
    bool *in = norni_alloc_array((size_t)n + 1, sizeof *in);
    double *scale = w->g, *z = w->step, *variance = w->x_new, t = 0;
    if (!used || !in) {
        norni_free(used);
        norni_free(in);
        return norni_nomem();
    }
    for (int64_t i = 0; i < n; i++) {
        scale[i] = w->held[i] ? 0 : sqrt(squares(w->m, w->j + i * w->m));
        variance[i] = 0;
    }
    int64_t rank = factor(w, scale, used, in);
    w->q->freedom = w->m - rank;
    if (w->q->freedom > 0) {
        w->q->deviation = sqrt(f / (double)w->q->freedom);
        t = student((double)w->q->freedom);
    }
    for (int64_t c = 0; c < rank; c++) {
        for (int64_t i = 0; i < rank; i++)
            z[i] = i == c;
        back(w, rank, used, z);
        for (int64_t i = 0; i < rank; i++)
            variance[used[i]] += z[i] * z[i];
    }
    for (int64_t i = 0; i < n; i++)
        errors[i] =
            w->held[i] || !w->q->freedom ? (double)NAN : w->q->deviation * sqrt(variance[i]) / scale[i];
    for (int64_t c = 0; c < n; c++) { /* a column that others make up */
        if (in[c] || w->held[c])
            continue;
        for (int64_t i = 0; i < rank; i++)
            z[i] = w->a[i * n + c];
        back(w, rank, used, z);
        errors[c] = (double)INFINITY;
        w->q->undetermined = true;
        for (int64_t i = 0; i < rank; i++)
            if (fabs(z[i]) > part)
                errors[used[i]] = (double)INFINITY;
    }
    for (int64_t i = 0; i < n; i++)
        errors[n + i] = isfinite(errors[i]) ? t * errors[i] : errors[i];
    norni_free(used);
    norni_free(in);
    return NORN_OK;
}

/* What the linear model of the residuals says that a step takes off the sum of squares. */
static double expected(const work *w, const double *x) {
    double down = 0;
    for (int64_t i = 0; i < w->n; i++) {
        double h = 0;
        for (int64_t k = 0; k < w->n; k++)
            h += w->jtj[i * w->n + k] * (w->x_new[k] - x[k]);
        down -= (w->x_new[i] - x[i]) * (2 * w->g[i] + h);
    }
    return down;
}

/* The largest cosine between the residuals and a column of the Jacobian that no bound holds. */
static double cosine(const work *w, double f) {
    double most = 0;
    for (int64_t i = 0; i < w->n; i++) {
        double column = sqrt(w->jtj[i * w->n + i]);
        if (!w->held[i] && column > 0)
            most = fmax(most, fabs(w->g[i]) / column / sqrt(f));
    }
    return most;
}

/* x_new, within the bounds, and what it is expected to take off; false: the system is singular. */
static bool propose(work *w, const double *x, double damping, double *want) {
    if (!damped_step(w, damping))
        return false;
    for (int64_t i = 0; i < w->n; i++)
        w->x_new[i] = within(w->q, i, x[i] + w->step[i]);
    *want = expected(w, x);
    return true;
}

/* Where no step goes down: whether that is rounding's doing, as the residuals are nearly orthogonal, or the rounding of x alone
 * changes them by as much as a step does. */
static bool at_rounding(work *w, const norni_method *m, const double *x, const norni_outcome *out) {
    double want, size = 0;
    for (int64_t i = 0; i < w->n; i++)
        size = fmax(size, fabs(x[i]) * sqrt(w->jtj[i * w->n + i]));
    return out->gradient <= m->tolerance || cosine(w, out->f) <= 1e-6 ||
           (propose(w, x, 1e-9, &want) && sqrt(fmax(want, 0)) <= 1e-12 * size);
}

static void accept(work *w, double *x, double f, norni_outcome *out) {
    memcpy(x, w->x_new, (size_t)w->n * sizeof *x);
    memcpy(w->r, w->r_new, (size_t)w->m * sizeof *w->r);
    out->f = f;
}

static norn_status iterate(work *w, const norni_method *m, double *x, norni_outcome *out) {
    const double level = 1e-13; /* what sums of squares do not tell apart */
    double damping = 1e-3, grow = 2;
    int on_level = 0;
    for (int64_t i = 0; i < w->n; i++) /* a start within the bounds */
        x[i] = within(w->q, i, x[i]);
    NORNI_TRY(w->q->residuals(w->q, x, w->r));
    out->f = squares(w->m, w->r);
    if (!isfinite(out->f))
        return norni_fail(NORN_ARG, "solve: the value at the start is %g (wanted a finite number)", out->f);
    NORNI_TRY(linearise(w, x));
    for (;;) {
        out->gradient = find_held(w, x);
        norni_trace t = {out->f, out->gradient, {x[0], w->n > 1 ? x[1] : 0}};
        if (!NORNI_PUSH(&out->trace, t))
            return norni_nomem();
        bool go = !m->progress || m->progress(m->user, out->iterations, out->f, out->gradient);
        out->reason = !isfinite(out->gradient) ? "the gradient is not finite there"
                      : out->f == 0            ? "the residuals are zero"
                      : cosine(w, out->f) <= m->tolerance
                          ? "the residuals are orthogonal to the Jacobian within the tolerance"
                      : on_level > 8 ? "steps take no more off the sum of squares than rounding does"
                                     : NULL;
        out->converged = out->reason && isfinite(out->gradient);
        if (!out->reason)
            out->reason = !go ? "ended by the caller"
                          : out->iterations >= m->max_iterations
                              ? "the largest number of iterations is reached"
                              : NULL;
        if (out->reason)
            return NORN_OK;
        for (;;) { /* until a step goes down */
            double f = (double)INFINITY, moved = 0, size = 0, want = 0;
            if (propose(w, x, damping, &want)) {
                for (int64_t i = 0; i < w->n; i++) {
                    moved = fmax(moved, fabs(w->x_new[i] - x[i]));
                    size = fmax(size, fabs(x[i]));
                }
                NORNI_TRY(w->q->residuals(w->q, w->x_new, w->r_new));
                f = squares(w->m, w->r_new);
            }
            /* Near the minimum sums no longer tell points apart: a step that is hardly damped is right all the same. */
            bool near = damping <= 1 && want <= level * out->f;
            if (f < out->f) {
                double gain = (out->f - f) / fmax(want, 1e-300);
                damping *= fmax(1.0 / 3, 1 - pow(2 * gain - 1, 3));
                damping = fmax(damping, 1e-15);
                grow = 2;
            }
            if (f < out->f || (near && moved > 0 && f <= (1 + level) * out->f)) {
                on_level += near;
                accept(w, x, f, out);
                break;
            }
            if (moved > 0 && moved <= 1e-15 * (size + 1e-15)) {
                out->reason = "steps are as small as the numbers allow";
                out->converged = at_rounding(w, m, x, out);
                return NORN_OK;
            }
            damping *= grow;
            grow *= 2;
            if (damping > 1e60) {
                out->reason = "no step goes down any further";
                out->converged = at_rounding(w, m, x, out);
                return NORN_OK;
            }
        }
        NORNI_TRY(linearise(w, x));
        out->iterations++;
    }
}

norn_status norni_least_squares(norni_squares *q, const norni_method *m, double *x, double *errors,
                                norni_outcome *out) {
    size_t rows = (size_t)q->m, n = (size_t)q->n;
    double *all = norni_alloc_array(rows * (n + 2) + n * (2 * n + 3) + 1, sizeof *all);
    bool *held = norni_alloc_array(n + 1, sizeof *held);
    *out = (norni_outcome){0};
    if (!all || !held) {
        norni_free(all);
        norni_free(held);
        return norni_nomem();
    }
    work w = {.q = q, .m = q->m, .n = q->n, .r = all, .held = held};
    w.r_new = w.r + rows;
    w.j = w.r_new + rows;
    w.jtj = w.j + rows * n;
    w.a = w.jtj + n * n;
    w.g = w.a + n * n;
    w.step = w.g + n;
    w.x_new = w.step + n;
    norn_status s = iterate(&w, m, x, out);
    if (s == NORN_OK)
        s = statistics(&w, out->f, errors);
    norni_free(all);
    norni_free(held);
    return s;
}
