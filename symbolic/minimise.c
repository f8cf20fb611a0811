/* SPDX-License-Identifier: Apache-2.0 */
/* Gradient descent, nonlinear conjugate gradients, BFGS, L-BFGS and truncated Newton. Sources: Nocedal and Wright, Numerical
 * Optimization (2nd ed.), algorithms 3.5 and 3.6 (strong Wolfe line search), 5.4 (Polak-Ribiere+), 6.1 (BFGS), 7.4 and 7.5
 * (L-BFGS), 7.1 (line search Newton-CG). Gradient descent: Raydan, The Barzilai and Borwein gradient method for the large scale
 * unconstrained minimization problem, 1997, whose steps need only be below the largest of the last ten values. Bounds: Bertsekas, Projected Newton methods, 1982: entries that a bound holds leave
 * the subspace in which directions are made, and steps follow the projected path. */
#include "symbolic/solve.h"
#include <math.h>
#include <string.h>

enum { MEMORY = 20, MAX_SEARCH = 40, PROBE = 200, RECENT = 10 };

double norni_dot(int64_t n, const double *a, const double *b) {
    double s[4] = {0}; /* four sums at once */
    int64_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (int k = 0; k < 4; k++)
            s[k] += a[i + k] * b[i + k];
    for (; i < n; i++)
        s[0] += a[i] * b[i];
    return (s[0] + s[1]) + (s[2] + s[3]);
}

double norni_largest(int64_t n, const double *v) {
    double most = 0;
    for (int64_t i = 0; i < n; i++)
        most = fmax(most, fabs(v[i]));
    return most;
}

bool norni_held(const norni_problem *p, const double *x, const double *g, int64_t i) {
    return (p->lower && x[i] <= p->lower[i] && g[i] > 0) || (p->upper && x[i] >= p->upper[i] && g[i] < 0);
}

double norni_projected_norm(const norni_problem *p, const double *x, const double *g) {
    double most = 0;
    for (int64_t i = 0; i < p->n; i++) {
        double step = -g[i];
        if (p->lower && x[i] + step < p->lower[i])
            step = p->lower[i] - x[i];
        if (p->upper && x[i] + step > p->upper[i])
            step = p->upper[i] - x[i];
        most = fmax(most, isnan(step) ? (double)INFINITY : fabs(step));
    }
    return most;
}

/* ---- Line search. */
typedef struct {
    norni_problem *p;
    const double *x, *d;
    double *at, *g; /* the point tried last, and its gradient */
    double f, slope;
} line;

static norn_status try_step(line *l, double t) {
    for (int64_t i = 0; i < l->p->n; i++) {
        double v = l->x[i] + t * l->d[i];
        if (l->p->lower)
            v = fmax(v, l->p->lower[i]);
        if (l->p->upper)
            v = fmin(v, l->p->upper[i]);
        l->at[i] = v;
    }
    NORNI_TRY(l->p->value(l->p, l->at, &l->f, l->g));
    l->slope = norni_dot(l->p->n, l->g, l->d);
    return NORN_OK;
}

/* The minimum of the cubic through two values and slopes; the middle where there is none between them. */
static double cubic(double a, double fa, double ga, double b, double fb, double gb) {
    double d1 = ga + gb - 3 * (fa - fb) / (a - b), q = d1 * d1 - ga * gb;
    double lo = fmin(a, b), hi = fmax(a, b), t = (a + b) / 2;
    if (q >= 0) {
        double d2 = copysign(sqrt(q), b - a), v = b - (b - a) * (gb + d2 - d1) / (gb - ga + 2 * d2);
        if (isfinite(v) && v > lo + 0.1 * (hi - lo) && v < hi - 0.1 * (hi - lo))
            t = v;
    }
    return t;
}

/* Where the value is -inf, at `hi`: whether it is a pole, to which the value falls from f, at `lo`, ever more steeply. Else numbers
 * end there (log(sigmoid(x)) far below 0), and nothing is known of what the function does. */
static norn_status is_pole(line *l, double lo, double f, double slope, double hi, bool *pole) {
    const double steeper = 1e3;
    *pole = true;
    for (int k = 0; k < MAX_SEARCH && *pole; k++) {
        double t = (lo + hi) / 2;
        NORNI_TRY(try_step(l, t));
        if (l->f == -(double)INFINITY)
            hi = t;
        else if ((*pole = l->f <= f))
            lo = t, f = l->f;
    }
    if (*pole) {
        NORNI_TRY(try_step(l, lo));
        *pole = fabs(l->slope) >= steeper * fabs(slope);
    }
    return NORN_OK;
}

static norn_status wolfe(line *l, double f0, double slope0, double first, double c2, bool *found) {
    double c1 = 1e-4, a = 0, fa = f0, ga = slope0, t = first, lo = 0, flo = f0, glo = slope0, hi = 0, fhi = 0,
           ghi = 0;
    /* Where a value that falls all the way is taken to fall without bound. */
    double far = 1e24 * (1 + norni_largest(l->p->n, l->x)) / norni_largest(l->p->n, l->d);
    bool bracket = false, pole = true;
    *found = false;
    for (int k = 0; k < MAX_SEARCH; k++) {
        NORNI_TRY(try_step(l, t));
        bool high = !(l->f <= f0 + c1 * t * slope0) || (bracket ? l->f >= flo : a > 0 && l->f >= fa);
        /* Near the minimum values no longer tell points apart: slopes do (Hager and Zhang). */
        if (high && fabs(l->f - f0) <= 1e-13 * fabs(f0) && fabs(l->slope) <= c2 * fabs(slope0)) {
            *found = true;
            return NORN_OK;
        }
        if (l->f == -(double)INFINITY && pole) {
            NORNI_TRY(is_pole(l, bracket ? lo : a, bracket ? flo : fa, slope0, t, &pole));
            if ((l->p->endless = pole))
                return NORN_OK;
            l->f = -(double)INFINITY;
        }
        if (!isfinite(l->f) || isnan(l->slope)) { /* outside the domain */
            if (bracket || a > 0) {
                hi = t;
                t = ((bracket ? lo : a) + t) / 2;
                if (!bracket) {
                    lo = a, flo = fa, glo = ga;
                    fhi = (double)INFINITY, ghi = 0;
                    bracket = true;
                }
            } else
                t *= 0.1;
            if (!bracket)
                k--, first *= 0.1;
            if (first < 1e-30)
                return NORN_OK;
            continue;
        }
        if (!high && fabs(l->slope) <= -c2 * slope0) {
            *found = true;
            return NORN_OK;
        }
        if (!bracket) {
            if (high || l->slope >= 0) {
                lo = high ? a : t, flo = high ? fa : l->f, glo = high ? ga : l->slope;
                hi = high ? t : a, fhi = high ? l->f : fa, ghi = high ? l->slope : ga;
                bracket = true;
            } else if (t >= far) {
                l->p->endless = true;
                return NORN_OK;
            } else {
                a = t, fa = l->f, ga = l->slope;
                t *= 4;
                k--; /* far ends it */
                continue;
            }
        } else if (high)
            hi = t, fhi = l->f, ghi = l->slope;
        else {
            if (l->slope * (hi - lo) >= 0)
                hi = lo, fhi = flo, ghi = glo;
            lo = t, flo = l->f, glo = l->slope;
        }
        if (fabs(hi - lo) <= 1e-16 * fmax(fabs(hi), fabs(lo)))
            break;
        t = isfinite(fhi) ? cubic(lo, flo, glo, hi, fhi, ghi) : (lo + hi) / 2;
    }
    if (lo > 0 && flo < f0) { /* less than was asked for, but down */
        NORNI_TRY(try_step(l, lo));
        *found = l->f < f0;
    }
    return NORN_OK;
}

static norn_status armijo(line *l, double f0, const double *g0, double slope0, double first, bool *found) {
    double t = first;
    bool pole = true;
    *found = false;
    for (int k = 0; k < 2 * MAX_SEARCH && !*found; k++, t *= 0.5) {
        double down = 0;
        NORNI_TRY(try_step(l, t));
        for (int64_t i = 0; i < l->p->n; i++)
            down += g0[i] * (l->at[i] - l->x[i]);
        if (l->f == -(double)INFINITY) {
            if (pole)
                NORNI_TRY(is_pole(l, 0, f0, slope0, t, &pole));
            if ((l->p->endless = pole))
                return NORN_OK;
            continue;
        }
        *found = l->f <= f0 + l->p->slack + 1e-4 * down && down < 0;
        if (!*found && down < 0 && fabs(l->f - f0) <= 1e-14 * fabs(f0))
            *found = norni_projected_norm(l->p, l->at, l->g) < norni_projected_norm(l->p, l->x, g0);
    }
    return NORN_OK;
}

norn_status norni_line_search(norni_problem *p, const double *d, double first, double c2, double *x,
                              double *f, double *g, bool *moved) {
    line l = {.p = p, .x = x, .d = d};
    size_t bytes = (size_t)p->n * sizeof(double);
    double slope = norni_dot(p->n, g, d);
    *moved = false;
    l.at = norni_alloc(2 * bytes);
    if (!l.at)
        return norni_nomem();
    l.g = l.at + p->n;
    norn_status s = NORN_OK;
    if (slope < 0)
        s = p->lower || p->upper || p->slack > 0 ? armijo(&l, *f, g, slope, first, moved)
                                                 : wolfe(&l, *f, slope, first, c2, moved);
    if (s == NORN_OK && *moved) {
        memcpy(x, l.at, bytes);
        memcpy(g, l.g, bytes);
        *f = l.f;
    }
    norni_free(l.at);
    return s;
}

/* ---- Directions. */
typedef struct {
    norni_problem *p;
    norn_solver method;
    int64_t n, k;             /* k: pairs in memory */
    double *d, *x0, *g0;      /* direction; point and gradient before the step */
    double *s, *y, *rho;      /* L-BFGS */
    double *h;                /* BFGS: the inverse Hessian */
    double *r, *z, *q, *work; /* Newton-CG */
    double *far;              /* the point some iterations ago */
    bool *held;
    bool restart;
    bool fresh; /* nothing is known of the curvature */
} state;

static void masked(const state *st, double *v) {
    for (int64_t i = 0; i < st->n; i++)
        if (st->held[i])
            v[i] = 0;
}

static void steepest(state *st, const double *g) {
    for (int64_t i = 0; i < st->n; i++)
        st->d[i] = st->held[i] ? 0 : -g[i];
}

static void lbfgs(state *st, const double *g) {
    int64_t n = st->n, m = st->k < MEMORY ? st->k : MEMORY;
    double a[MEMORY];
    steepest(st, g);
    for (int64_t j = 0; j < m; j++) {
        int64_t i = (st->k - 1 - j) % MEMORY;
        a[j] = st->rho[i] * norni_dot(n, st->s + i * n, st->d);
        for (int64_t c = 0; c < n; c++)
            st->d[c] -= a[j] * st->y[i * n + c];
    }
    if (m) {
        int64_t i = (st->k - 1) % MEMORY;
        double scale = 1 / (st->rho[i] * norni_dot(n, st->y + i * n, st->y + i * n));
        for (int64_t c = 0; c < n; c++)
            st->d[c] *= scale;
    }
    for (int64_t j = m; j-- > 0;) {
        int64_t i = (st->k - 1 - j) % MEMORY;
        double b = st->rho[i] * norni_dot(n, st->y + i * n, st->d);
        for (int64_t c = 0; c < n; c++)
            st->d[c] += (a[j] - b) * st->s[i * n + c];
    }
    masked(st, st->d);
}

static void bfgs(state *st, const double *g) {
    for (int64_t i = 0; i < st->n; i++)
        st->d[i] = st->held[i] ? 0 : -norni_dot(st->n, st->h + i * st->n, g);
    if (st->p->lower || st->p->upper) /* within the free subspace */
        for (int64_t i = 0; i < st->n; i++) {
            double v = 0;
            for (int64_t k = 0; k < st->n; k++)
                v -= st->held[k] ? 0 : st->h[i * st->n + k] * g[k];
            st->d[i] = st->held[i] ? 0 : v;
        }
}

static void learn(state *st, const double *x, const double *g) {
    int64_t n = st->n, i = st->k % MEMORY;
    double *s = st->s + i * n, *y = st->y + i * n;
    for (int64_t c = 0; c < n; c++) {
        s[c] = x[c] - st->x0[c];
        y[c] = st->held[c] ? 0 : g[c] - st->g0[c]; /* of the subspace that the step was made in */
    }
    double sy = norni_dot(n, s, y), yy = norni_dot(n, y, y);
    if (!(sy > 1e-14 * sqrt(norni_dot(n, s, s) * yy)))
        return;
    st->rho[i] = 1 / sy;
    if (st->method != NORN_SOLVE_BFGS) {
        st->k++;
        return;
    }
    if (st->fresh)
        for (int64_t c = 0; c < n * n; c++)
            st->h[c] = c % (n + 1) ? 0 : sy / yy;
    for (int64_t c = 0; c < n; c++)
        st->work[c] = norni_dot(n, st->h + c * n, y);
    double scale = (1 + norni_dot(n, y, st->work) / sy) / sy;
    for (int64_t a = 0; a < n; a++)
        for (int64_t b = 0; b < n; b++)
            st->h[a * n + b] += scale * s[a] * s[b] - (st->work[a] * s[b] + s[a] * st->work[b]) / sy;
}

/* Conjugate gradients on the Newton system, ended early, or where the curvature is not positive. */
static norn_status newton(state *st, const double *x, const double *g) {
    int64_t n = st->n;
    double norm = 0, rr;
    for (int64_t i = 0; i < n; i++) {
        st->z[i] = 0;
        st->r[i] = st->held[i] ? 0 : g[i];
        st->d[i] = -st->r[i];
    }
    rr = norni_dot(n, st->r, st->r);
    norm = sqrt(rr);
    double stop = fmin(0.5, sqrt(norm)) * norm;
    for (int64_t k = 0; k < 20 * n + 20; k++) {
        NORNI_TRY(st->p->hessian(st->p, x, st->d, st->q));
        masked(st, st->q);
        double curvature = norni_dot(n, st->d, st->q);
        if (!(curvature > 1e-14 * sqrt(norni_dot(n, st->d, st->d) * norni_dot(n, st->q, st->q)))) {
            if (k == 0)
                memcpy(st->z, st->d, (size_t)n * sizeof *st->z);
            break;
        }
        double a = rr / curvature;
        for (int64_t i = 0; i < n; i++) {
            st->z[i] += a * st->d[i];
            st->r[i] += a * st->q[i];
        }
        double next = norni_dot(n, st->r, st->r);
        if (sqrt(next) <= stop)
            break;
        for (int64_t i = 0; i < n; i++)
            st->d[i] = -st->r[i] + next / rr * st->d[i];
        rr = next;
    }
    memcpy(st->d, st->z, (size_t)n * sizeof *st->d);
    return NORN_OK;
}

static void conjugate(state *st, const double *g) {
    double up = 0, below = 0;
    for (int64_t i = 0; i < st->n; i++) {
        up += st->held[i] ? 0 : g[i] * (g[i] - st->g0[i]);
        below += st->g0[i] * st->g0[i];
    }
    double b = st->fresh || st->restart || below <= 0 ? 0 : fmax(0, up / below);
    for (int64_t i = 0; i < st->n; i++)
        st->d[i] = st->held[i] ? 0 : -g[i] + b * st->d[i];
    st->restart = false;
}

static norn_status direction(state *st, const double *x, const double *g) {
    switch (st->method) {
    case NORN_SOLVE_CG:
        conjugate(st, g);
        break;
    case NORN_SOLVE_BFGS:
        if (st->fresh)
            steepest(st, g);
        else
            bfgs(st, g);
        break;
    case NORN_SOLVE_LBFGS:
        lbfgs(st, g);
        break;
    case NORN_SOLVE_NEWTON_CG:
        NORNI_TRY(newton(st, x, g));
        break;
    default:
        steepest(st, g);
    }
    if (!(norni_dot(st->n, st->d, g) < 0)) { /* no way down: begin anew */
        steepest(st, g);
        st->k = 0;
        st->fresh = true;
    }
    return NORN_OK;
}

/* The first step to try: 1 for methods that know the curvature, else one that moves by about 1, or as far as gradients say
 * (Barzilai and Borwein). */
static double first_step(const state *st, const double *x, const double *g, double f) {
    bool scaled = st->method == NORN_SOLVE_NEWTON_CG || (st->method == NORN_SOLVE_BFGS && !st->fresh) ||
                  (st->method == NORN_SOLVE_LBFGS && st->k);
    double length = sqrt(norni_dot(st->n, st->d, st->d)), ss = 0, sy = 0, free = 0;
    if (scaled)
        return 1;
    for (int64_t i = 0; i < st->n && !st->fresh; i++) {
        double s = x[i] - st->x0[i];
        ss += s * s;
        sy += s * (g[i] - st->g0[i]);
        free += st->held[i] ? 0 : g[i] * g[i];
    }
    free = sqrt(free);
    if (!st->fresh && sy > 0)
        return ss / sy * (st->method == NORN_SOLVE_GD ? 1 : free / fmax(length, 1e-300));
    double t = length > 0 ? fmin(1, fmax(1, fabs(f)) / (length * length) + 1 / length) : 1;
    double least = 1e-12 * norni_largest(st->n, x); /* what is shorter is lost where numbers are rounded */
    return length > 0 && t * length < least ? least / length : t;
}

static norn_status start(state *st, norni_problem *p, const norni_method *m) {
    int64_t n = p->n;
    *st = (state){.p = p, .method = m->method, .n = n, .fresh = true};
    size_t vectors = 9 + 2 * MEMORY, square = m->method == NORN_SOLVE_BFGS ? (size_t)n : 0;
    double *all = norni_alloc_array((vectors + square) * (size_t)n + MEMORY + 1, sizeof *all);
    st->held = norni_alloc_array((size_t)n + 1, sizeof *st->held);
    st->d = all;
    if (!all || !st->held)
        return norni_nomem();
    double **parts[] = {&st->x0, &st->g0, &st->r, &st->z, &st->q, &st->work, &st->far};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        *parts[i] = all += n;
    st->s = all += n;
    st->y = all += n * MEMORY;
    st->rho = all += n * MEMORY;
    st->h = all + MEMORY;
    return NORN_OK;
}

static norn_status note(norni_problem *p, const norni_method *m, const double *x, norni_outcome *out,
                        bool *go) {
    norni_trace t = {out->f, out->gradient, {x[0], p->n > 1 ? x[1] : 0}};
    *go = !m->progress || m->progress(m->user, out->iterations, out->f, out->gradient);
    return NORNI_PUSH(&out->trace, t) ? NORN_OK : norni_nomem();
}

/* Whether the value goes on falling as it did along the last PROBE iterations, 1e10 times as far; steps that hardly move say
 * nothing of what is far away. */
static norn_status probe(state *st, const double *x, double f, double before) {
    const double much = 1e10;
    norni_problem *p = st->p;
    double at_f, *at = st->work, *g = st->q;
    for (int64_t i = 0; i < st->n; i++)
        at[i] = x[i] - st->far[i];
    if (norni_largest(st->n, at) < 1e-3 * (1 + norni_largest(st->n, x)))
        return NORN_OK;
    for (int64_t i = 0; i < st->n; i++) {
        at[i] = x[i] + much * (x[i] - st->far[i]);
        if ((p->lower && at[i] < p->lower[i]) || (p->upper && at[i] > p->upper[i]))
            return NORN_OK;
    }
    NORNI_TRY(p->value(p, at, &at_f, g));
    p->endless = before > f && isfinite(at_f) && at_f <= f - 0.5 * much * (before - f);
    return NORN_OK;
}

static norn_status iterate(state *st, const norni_method *m, double *x, double *g, norni_outcome *out) {
    norni_problem *p = st->p;
    size_t bytes = (size_t)p->n * sizeof *x;
    bool go = true, moved;
    int stuck = 0;
    double tolerance = m->tolerance, recent[RECENT],
           before = 0; /* before: the value PROBE iterations ago, at st->far */
    NORNI_TRY(p->value(p, x, &out->f, g));
    if (!isfinite(out->f))
        return norni_fail(NORN_ARG, "solve: the value at the start is %g (wanted a finite number)", out->f);
    for (;; out->iterations++) {
        out->gradient = norni_projected_norm(p, x, g);
        NORNI_TRY(note(p, m, x, out, &go));
        if (!out->iterations) /* a function may be small everywhere */
            tolerance = m->tolerance * fmin(1, out->gradient);
        out->converged = out->gradient <= tolerance;
        out->reason = out->converged                         ? "the gradient is below the tolerance"
                      : !isfinite(out->gradient)             ? "the gradient is not finite there"
                      : !go                                  ? "ended by the caller"
                      : out->iterations >= m->max_iterations ? "the largest number of iterations is reached"
                      : out->f < -1e100                      ? "the value falls without bound"
                                                             : NULL;
        if (out->reason)
            return NORN_OK;
        if (out->iterations % PROBE == 0) {
            if (out->iterations)
                NORNI_TRY(probe(st, x, out->f, before));
            if (p->endless) {
                out->reason = "the value falls without bound";
                return NORN_OK;
            }
            before = out->f;
            memcpy(st->far, x, bytes);
        }
        for (int64_t i = 0; i < p->n; i++) {
            bool held = norni_held(p, x, g, i);
            if (held != st->held[i] && m->method == NORN_SOLVE_CG)
                st->restart = true; /* directions are conjugate within one subspace */
            st->held[i] = held;
        }
        NORNI_TRY(direction(st, x, g));
        if (m->method == NORN_SOLVE_GD) {
            recent[out->iterations % RECENT] = out->f;
            double highest = out->f;
            for (int64_t i = 0; i < RECENT && i <= out->iterations; i++)
                highest = fmax(highest, recent[i]);
            p->slack = out->iterations ? highest - out->f : 0;
        }
        double first = first_step(st, x, g, out->f);
        memcpy(st->x0, x, bytes);
        memcpy(st->g0, g, bytes);
        bool was_fresh = st->fresh;
        NORNI_TRY(norni_line_search(p, st->d, first, m->method == NORN_SOLVE_CG ? 0.1 : 0.9, x, &out->f, g,
                                    &moved));
        if (p->endless) {
            out->reason = "the value falls without bound";
            return NORN_OK;
        }
        if (!moved) {
            if (was_fresh || stuck++) {
                out->reason = "no step goes down any further";
                out->converged = out->gradient <= m->tolerance;
                return NORN_OK;
            }
            st->fresh = true;
            st->k = 0;
            continue;
        }
        stuck = 0;
        if (m->method == NORN_SOLVE_BFGS || m->method == NORN_SOLVE_LBFGS)
            learn(st, x, g);
        st->fresh = false;
    }
}

norn_status norni_minimise(norni_problem *p, const norni_method *m, double *x, norni_outcome *out) {
    state st;
    double *g = norni_alloc_array((size_t)p->n + 1, sizeof *g);
    norn_status s = start(&st, p, m);
    *out = (norni_outcome){0};
    for (int64_t i = 0; i < p->n; i++) { /* a start within the bounds */
        if (p->lower)
            x[i] = fmax(x[i], p->lower[i]);
        if (p->upper)
            x[i] = fmin(x[i], p->upper[i]);
    }
    if (s == NORN_OK)
        s = g ? iterate(&st, m, x, g, out) : norni_nomem();
    norni_free(st.d);
    norni_free(st.held);
    norni_free(g);
    return s;
}

/* ---- Cholesky. */

/* The factor has no entries before the first of a row of the matrix: of a band, only the band is worked on. */
static int64_t first_entry(int64_t i, const double *row) {
    int64_t k = 0;
    while (k < i && row[k] == 0)
        k++;
    return k;
}

bool norni_cholesky(int64_t n, double *a) {
    int64_t *first = norni_alloc_array((size_t)n + 1, sizeof *first); /* NULL: every row from 0 on */
    bool definite = true;
    for (int64_t i = 0; i < n && definite; i++) {
        int64_t from = first_entry(i, a + i * n);
        if (first)
            first[i] = from;
        for (int64_t k = from; k <= i && definite; k++) {
            int64_t s = first && first[k] > from ? first[k] : from;
            double v = a[i * n + k] - norni_dot(k - s, a + i * n + s, a + k * n + s);
            if (i == k) {
                definite = v > 0;
                a[i * n + i] = sqrt(v);
            } else
                a[i * n + k] = v / a[k * n + k];
        }
    }
    norni_free(first);
    return definite;
}

void norni_cholesky_solve(int64_t n, const double *l, double *x) {
    for (int64_t i = 0; i < n; i++)
        x[i] = (x[i] - norni_dot(i, l + i * n, x)) / l[i * n + i];
    for (int64_t i = n; i-- > 0;) {
        x[i] /= l[i * n + i];
        for (int64_t k = 0; k < i; k++)
            x[k] -= l[i * n + k] * x[i];
    }
}
