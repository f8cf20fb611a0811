/* SPDX-License-Identifier: Apache-2.0 */
/* Convex quadratic programs by operator splitting: Stellato, Banjac, Goulart, Bemporad, Boyd, OSQP, Mathematical Programming
 * Computation 12 (2020): algorithm 1, scaling (algorithm 2), adaptive rho, certificates of infeasibility, polishing. Each iteration
 * solves with one Cholesky factor of P + sigma I + rho A'A. */
#include "base/dtype.h"
#include "base/tensor.h"
#include "symbolic/solve.h"
#include <math.h>
#include <string.h>

enum { SCALINGS = 10, CHECK = 25, ADAPT = 100, REFINEMENTS = 30 };
static const double sigma = 1e-6, relaxation = 1.6, equal_weight = 1e3;

typedef struct {
    int64_t n, m;
    double *p, *q, *a, *l, *u;      /* scaled */
    double *p0, *q0, *a0, *l0, *u0; /* as given */
    double *d, *e, cost;            /* scaling: x = D x~, y = E y~ / cost */
    double rho, *rho_of, *k;        /* k: the factor */
    double *x, *y, *z, *xt, *zt, *x_old, *y_old, *work, *px, *aty, *ax;
} program;

static void times(int64_t rows, int64_t columns, const double *a, const double *x, double *out) {
    for (int64_t i = 0; i < rows; i++)
        out[i] = norni_dot(columns, a + i * columns, x);
}

static void transposed_times(int64_t rows, int64_t columns, const double *a, const double *y, double *out) {
    memset(out, 0, (size_t)columns * sizeof *out);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t k = 0; k < columns && y[i] != 0; k++)
            out[k] += a[i * columns + k] * y[i];
}

/* ---- Reading. */
static norn_status read_part(const char *name, const norn_tensor *t, int rank, int64_t rows, int64_t columns,
                             double *out) {
    bool ok = t && t->rank == rank && t->dims[0] == rows && (rank < 2 || t->dims[1] == columns);
    if (!t)
        return norni_fail(NORN_ARG, "qp: there is no %s", name);
    if (!norni_dtype_is_float(t->dtype) && !norni_dtype_is_int(t->dtype))
        return norni_fail(NORN_DTYPE, "qp: %s is %s (wanted numbers)", name, norni_dtype_name(t->dtype));
    if (!ok) {
        char text[128];
        return norni_fail(
            NORN_SHAPE, rank < 2 ? "qp: %s is %s (wanted [%lld])" : "qp: %s is %s (wanted [%lld,%lld])", name,
            norni_shape_text(t->rank, t->dims, text), (long long)rows, (long long)columns);
    }
    for (int64_t i = 0; i < norni_tensor_elems(t); i++) {
        out[i] = norn_tensor_get(t, i);
        if (isnan(out[i]) || (isinf(out[i]) && *name != 'l' && *name != 'u'))
            return norni_fail(NORN_ARG, "qp: %s has an entry %g", name, out[i]);
        if (fabs(out[i]) >= 1e20 && (*name == 'l' || *name == 'u'))
            out[i] = copysign((double)INFINITY, out[i]);
    }
    return NORN_OK;
}

/* ---- Scaling: rows and columns of [P A'; A 0] of size about 1. */
static void scale(program *s) {
    for (int64_t i = 0; i < s->n; i++)
        s->d[i] = 1;
    for (int64_t i = 0; i < s->m; i++)
        s->e[i] = 1;
    s->cost = 1;
    for (int pass = 0; pass < SCALINGS; pass++) {
        double *c = s->work, *r = s->zt;
        for (int64_t k = 0; k < s->n; k++)
            c[k] = norni_largest(s->n, s->p + k * s->n);
        for (int64_t i = 0; i < s->m; i++) {
            r[i] = norni_largest(s->n, s->a + i * s->n);
            for (int64_t k = 0; k < s->n; k++)
                c[k] = fmax(c[k], fabs(s->a[i * s->n + k]));
        }
        for (int64_t k = 0; k < s->n; k++)
            c[k] = c[k] > 1e-8 ? 1 / sqrt(c[k]) : 1;
        for (int64_t i = 0; i < s->m; i++)
            r[i] = r[i] > 1e-8 ? 1 / sqrt(r[i]) : 1;
        for (int64_t i = 0; i < s->n; i++)
            for (int64_t k = 0; k < s->n; k++)
                s->p[i * s->n + k] *= c[i] * c[k];
        for (int64_t i = 0; i < s->m; i++)
            for (int64_t k = 0; k < s->n; k++)
                s->a[i * s->n + k] *= r[i] * c[k];
        for (int64_t k = 0; k < s->n; k++) {
            s->d[k] *= c[k];
            s->q[k] *= c[k];
        }
        for (int64_t i = 0; i < s->m; i++)
            s->e[i] *= r[i];
        double mean = 0;
        for (int64_t k = 0; k < s->n; k++)
            mean += norni_largest(s->n, s->p + k * s->n) / (double)s->n;
        double size = fmax(mean, norni_largest(s->n, s->q)), f = size > 1e-8 ? 1 / size : 1;
        for (int64_t i = 0; i < s->n * s->n; i++)
            s->p[i] *= f;
        for (int64_t i = 0; i < s->n; i++)
            s->q[i] *= f;
        s->cost *= f;
    }
    for (int64_t i = 0; i < s->m; i++) {
        s->l[i] = s->l0[i] * s->e[i];
        s->u[i] = s->u0[i] * s->e[i];
    }
}

/* ---- The factor of P + sigma I + A' diag(rho) A. */
static norn_status factor(program *s) {
    memcpy(s->k, s->p, (size_t)(s->n * s->n) * sizeof *s->k);
    for (int64_t i = 0; i < s->n; i++)
        s->k[i * s->n + i] += sigma;
    for (int64_t r = 0; r < s->m; r++) {
        const double *row = s->a + r * s->n;
        s->rho_of[r] = s->l[r] == s->u[r]                 ? s->rho * equal_weight
                       : isinf(s->l[r]) && isinf(s->u[r]) ? 1e-6
                                                          : s->rho;
        for (int64_t i = 0; i < s->n; i++) {
            double f = s->rho_of[r] * row[i];
            if (f == 0)
                continue;
            for (int64_t k = 0; k <= i; k++)
                s->k[i * s->n + k] += f * row[k];
        }
    }
    return norni_cholesky(s->n, s->k) ? NORN_OK : norni_fail(NORN_ARG, "qp: P is not positive semidefinite");
}

/* ---- Residuals, of the program as it was given, at x = D x~, y = E y~ / cost. */
typedef struct {
    double primal, dual, gap, objective, primal_size, dual_size;
} residuals;

static void measure(const program *s, const double *x, const double *y, residuals *r, double *work) {
    double *ax = work, *px = ax + s->m, *aty = px + s->n;
    *r = (residuals){0};
    times(s->m, s->n, s->a0, x, ax);
    times(s->n, s->n, s->p0, x, px);
    transposed_times(s->m, s->n, s->a0, y, aty);
    double support = 0;
    for (int64_t i = 0; i < s->m; i++) {
        r->primal = fmax(r->primal, fmax(s->l0[i] - ax[i], ax[i] - s->u0[i]));
        r->primal_size = fmax(r->primal_size, fabs(ax[i]));
        double bound = y[i] > 0 ? s->u0[i] : s->l0[i];
        if (y[i] != 0)
            support += isinf(bound) ? fabs(y[i]) * 1e20 : y[i] * bound;
    }
    for (int64_t i = 0; i < s->n; i++) {
        r->dual = fmax(r->dual, fabs(px[i] + s->q0[i] + aty[i]));
        r->dual_size = fmax(r->dual_size, fmax(fabs(px[i]), fmax(fabs(s->q0[i]), fabs(aty[i]))));
    }
    double xpx = norni_dot(s->n, x, px), qx = norni_dot(s->n, s->q0, x);
    r->objective = 0.5 * xpx + qx;
    r->gap = fabs(xpx + qx + support);
}

static void unscaled(const program *s, double *x, double *y) {
    for (int64_t i = 0; i < s->n; i++)
        x[i] = s->d[i] * s->x[i];
    for (int64_t i = 0; i < s->m; i++)
        y[i] = s->e[i] * s->y[i] / s->cost;
}

/* ---- Certificates: differences of iterates that prove that there is no point, or no end. */
static bool infeasible(const program *s, double *dy, double *work) {
    double size, support = 0;
    for (int64_t i = 0; i < s->m; i++)
        dy[i] = s->e[i] * (s->y[i] - s->y_old[i]);
    size = norni_largest(s->m, dy);
    if (size < 1e-12)
        return false;
    for (int64_t i = 0; i < s->m; i++) {
        double v = dy[i] / size;
        if (fabs(v) < 1e-9)
            v = 0;
        if (v > 0 ? isinf(s->u0[i]) : v < 0 && isinf(s->l0[i]))
            return false;
        support += v > 0 ? s->u0[i] * v : v < 0 ? s->l0[i] * v : 0;
        dy[i] = v;
    }
    transposed_times(s->m, s->n, s->a0, dy, work);
    return support < -1e-7 && norni_largest(s->n, work) <= 1e-7 * fmin(1, -support);
}

static bool unbounded(const program *s, double *dx, double *work) {
    double size;
    for (int64_t i = 0; i < s->n; i++)
        dx[i] = s->d[i] * (s->x[i] - s->x_old[i]);
    size = norni_largest(s->n, dx);
    if (size < 1e-12)
        return false;
    for (int64_t i = 0; i < s->n; i++)
        dx[i] /= size;
    double down = norni_dot(s->n, s->q0, dx), eps = 1e-7 * fmin(1, -down);
    times(s->n, s->n, s->p0, dx, work);
    if (!(down < -1e-7) || norni_largest(s->n, work) > eps)
        return false;
    times(s->m, s->n, s->a0, dx, work);
    for (int64_t i = 0; i < s->m; i++)
        if ((!isinf(s->u0[i]) && work[i] > eps) || (!isinf(s->l0[i]) && work[i] < -eps))
            return false;
    return true;
}

/* ---- Polishing: the equations of the constraints that are active, solved with a small regularisation that refinement takes out
 * again. x and y (as given) become better, or stay. */
static norn_status polish(program *s, double *x, double *y, bool *done) {
    const double delta = 1e-7;
    int64_t n = s->n, m = s->m, active = 0;
    double *all = norni_alloc_array((size_t)(n * n + 6 * n + 8 * m + 1), sizeof *all);
    int64_t *rows = norni_alloc_array((size_t)m + 1, sizeof *rows);
    residuals before, after;
    *done = false;
    if (!all || !rows) {
        norni_free(all);
        norni_free(rows);
        return norni_nomem();
    }
    double *k = all, *px = k + n * n, *dx = px + n, *rx = dx + n, *ax = rx + n, *b = ax + m, *py = b + m,
           *ry = py + m, *dy = ry + m, *full = dy + m, *work = full + m; /* work: m + 2 n */
    measure(s, x, y, &before, work);
    times(m, n, s->a0, x, ax);
    for (int64_t i = 0; i < m; i++) { /* the sign of the multiplier against the distance to the bound */
        bool low = ax[i] - s->l0[i] < -y[i], high = s->u0[i] - ax[i] < y[i];
        if (s->l0[i] == s->u0[i] || low || high) {
            b[active] = low || s->l0[i] == s->u0[i] ? s->l0[i] : s->u0[i];
            py[active] = y[i];
            rows[active++] = i;
        }
    }
    memcpy(px, x, (size_t)n * sizeof *px);
    /* [P + delta I, B'; B, -delta I]: the second row eliminated. */
    memcpy(k, s->p0, (size_t)(n * n) * sizeof *k);
    for (int64_t i = 0; i < n; i++)
        k[i * n + i] += delta;
    for (int64_t r = 0; r < active; r++) {
        const double *row = s->a0 + rows[r] * n;
        for (int64_t i = 0; i < n; i++) {
            double f = row[i] / delta;
            for (int64_t c = 0; c <= i && f != 0; c++)
                k[i * n + c] += f * row[c];
        }
    }
    bool ok = norni_cholesky(n, k);
    for (int step = 0; step < REFINEMENTS && ok; step++) {
        memset(full, 0, (size_t)m * sizeof *full);
        for (int64_t r = 0; r < active; r++)
            full[rows[r]] = py[r];
        times(n, n, s->p0, px, rx);
        transposed_times(m, n, s->a0, full, dx);
        for (int64_t i = 0; i < n; i++)
            rx[i] = -(rx[i] + s->q0[i] + dx[i]);
        for (int64_t r = 0; r < active; r++)
            ry[r] = b[r] - norni_dot(n, s->a0 + rows[r] * n, px);
        memcpy(dx, rx, (size_t)n * sizeof *dx);
        for (int64_t r = 0; r < active; r++) {
            double f = ry[r] / delta;
            for (int64_t i = 0; i < n; i++)
                dx[i] += s->a0[rows[r] * n + i] * f;
        }
        norni_cholesky_solve(n, k, dx);
        for (int64_t r = 0; r < active; r++)
            dy[r] = (norni_dot(n, s->a0 + rows[r] * n, dx) - ry[r]) / delta;
        for (int64_t i = 0; i < n; i++)
            px[i] += dx[i];
        for (int64_t r = 0; r < active; r++)
            py[r] += dy[r];
    }
    if (ok) {
        memset(full, 0, (size_t)m * sizeof *full);
        for (int64_t r = 0; r < active; r++)
            full[rows[r]] = py[r];
        measure(s, px, full, &after, work);
        double was = fmax(before.primal, fmax(before.dual, before.gap)),
               now = fmax(after.primal, fmax(after.dual, after.gap));
        if (isfinite(now) && now < was) {
            memcpy(x, px, (size_t)n * sizeof *x);
            memcpy(y, full, (size_t)m * sizeof *y);
            *done = true;
        }
    }
    norni_free(all);
    norni_free(rows);
    return NORN_OK;
}

/* ---- Iterations. */
static void iterate(program *s) {
    memcpy(s->x_old, s->x, (size_t)s->n * sizeof *s->x);
    memcpy(s->y_old, s->y, (size_t)s->m * sizeof *s->y);
    for (int64_t i = 0; i < s->m; i++)
        s->zt[i] = s->rho_of[i] * s->z[i] - s->y[i];
    transposed_times(s->m, s->n, s->a, s->zt, s->xt);
    for (int64_t i = 0; i < s->n; i++)
        s->xt[i] += sigma * s->x[i] - s->q[i];
    norni_cholesky_solve(s->n, s->k, s->xt);
    times(s->m, s->n, s->a, s->xt, s->zt);
    for (int64_t i = 0; i < s->n; i++)
        s->x[i] = relaxation * s->xt[i] + (1 - relaxation) * s->x[i];
    for (int64_t i = 0; i < s->m; i++) {
        double v = relaxation * s->zt[i] + (1 - relaxation) * s->z[i], z = v + s->y[i] / s->rho_of[i];
        z = fmin(fmax(z, s->l[i]), s->u[i]);
        s->y[i] += s->rho_of[i] * (v - z);
        s->z[i] = z;
    }
}

/* rho so that both residuals fall alike; true when it was changed. */
static bool adapt(program *s) {
    times(s->m, s->n, s->a, s->x, s->ax);
    times(s->n, s->n, s->p, s->x, s->px);
    transposed_times(s->m, s->n, s->a, s->y, s->aty);
    double primal = 0, dual = 0;
    for (int64_t i = 0; i < s->m; i++)
        primal = fmax(primal, fabs(s->ax[i] - s->z[i]));
    for (int64_t i = 0; i < s->n; i++)
        dual = fmax(dual, fabs(s->px[i] + s->q[i] + s->aty[i]));
    double ps = fmax(norni_largest(s->m, s->ax), norni_largest(s->m, s->z)),
           ds =
               fmax(norni_largest(s->n, s->px), fmax(norni_largest(s->n, s->q), norni_largest(s->n, s->aty)));
    double f = sqrt((primal / fmax(ps, 1e-10)) / fmax(dual / fmax(ds, 1e-10), 1e-10));
    double next = fmin(fmax(s->rho * f, 1e-6), 1e6);
    if (!(next > 5 * s->rho || next < s->rho / 5))
        return false;
    s->rho = next;
    return true;
}

static norn_status run(program *s, double tolerance, int64_t limit, double *x, double *y, double *work,
                       norn_qp_result *out) {
    NORNI_TRY(factor(s));
    out->status = NORN_QP_UNFINISHED;
    for (out->iterations = 1; out->iterations <= limit; out->iterations++) {
        iterate(s);
        if (out->iterations % CHECK)
            continue;
        residuals r;
        unscaled(s, x, y);
        measure(s, x, y, &r, work);
        bool near = r.primal <= 1e-4 * (1 + r.primal_size) && r.dual <= 1e-4 * (1 + r.dual_size);
        bool there = r.primal <= tolerance * (1 + r.primal_size) && r.dual <= tolerance * (1 + r.dual_size);
        if (!there && near &&
            out->iterations % (4 * CHECK) == 0) { /* often the active constraints are known early */
            NORNI_TRY(polish(s, x, y, &out->polished));
            measure(s, x, y, &r, work);
            there = r.primal <= tolerance * (1 + r.primal_size) && r.dual <= tolerance * (1 + r.dual_size) &&
                    r.gap <= tolerance * (1 + fabs(r.objective));
            if (there) {
                out->status = NORN_QP_SOLVED;
                return NORN_OK;
            }
        }
        if (there) {
            out->status = NORN_QP_SOLVED;
            return polish(s, x, y, &out->polished);
        }
        if (infeasible(s, y, work)) {
            out->status = NORN_QP_INFEASIBLE;
            return NORN_OK;
        }
        if (unbounded(s, x, work)) {
            out->status = NORN_QP_UNBOUNDED;
            return NORN_OK;
        }
        if (out->iterations % ADAPT == 0 && adapt(s))
            NORNI_TRY(factor(s));
    }
    out->iterations = limit;
    unscaled(s, x, y);
    return polish(s, x, y, &out->polished);
}

norn_status norn_solve_qp(const norn_tensor *p, const norn_tensor *q, const norn_tensor *a,
                          const norn_tensor *l, const norn_tensor *u, double tolerance,
                          int64_t max_iterations, norn_qp_result *out) {
    program s = {.rho = 0.1};
    *out = (norn_qp_result){0};
    if (!q || q->rank != 1 || !a || a->rank != 2)
        return norni_fail(NORN_SHAPE, "qp: q must be a vector and A a matrix");
    int64_t n = s.n = q->dims[0], m = s.m = a->dims[0], square = n * n, wide = n * m;
    if (n < 1)
        return norni_fail(NORN_SHAPE, "qp: there are no variables");
    double *all = norni_alloc_array((size_t)(3 * square + 2 * wide + 12 * n + 16 * m), sizeof *all),
           *at = all;
    if (!all)
        return norni_nomem();
    const struct {
        double **to;
        int64_t count;
    } parts[] = {{&s.p, square}, {&s.p0, square}, {&s.k, square}, {&s.a, wide},  {&s.a0, wide},
                 {&s.q, n},      {&s.q0, n},      {&s.d, n},      {&s.x, n},     {&s.xt, n},
                 {&s.x_old, n},  {&s.px, n},      {&s.aty, n},    {&s.work, n},  {&s.l, m},
                 {&s.l0, m},     {&s.u, m},       {&s.u0, m},     {&s.e, m},     {&s.rho_of, m},
                 {&s.y, m},      {&s.z, m},       {&s.zt, m},     {&s.y_old, m}, {&s.ax, m}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++, at += parts[i - 1].count)
        *parts[i].to = at;
    double *scratch = norni_alloc_array((size_t)(3 * n + 2 * m + 1), sizeof *scratch); /* measure: m + 2 n */
    norn_status st = scratch ? read_part("P", p, 2, n, n, s.p0) : norni_nomem();
    if (st == NORN_OK)
        st = read_part("q", q, 1, n, 0, s.q0);
    if (st == NORN_OK)
        st = read_part("A", a, 2, m, n, s.a0);
    if (st == NORN_OK)
        st = read_part("l", l, 1, m, 0, s.l0);
    if (st == NORN_OK)
        st = read_part("u", u, 1, m, 0, s.u0);
    for (int64_t i = 0; i < n && st == NORN_OK; i++)
        for (int64_t k = 0; k < i && st == NORN_OK; k++) {
            double x = s.p0[i * n + k], y = s.p0[k * n + i];
            if (fabs(x - y) > 1e-6 * fmax(1, fmax(fabs(x), fabs(y))))
                st = norni_fail(NORN_ARG, "qp: P is not symmetric: [%lld,%lld] is %g, [%lld,%lld] is %g",
                                (long long)i, (long long)k, x, (long long)k, (long long)i, y);
            s.p0[i * n + k] = s.p0[k * n + i] = (x + y) / 2;
        }
    for (int64_t i = 0; i < m && st == NORN_OK; i++)
        if (s.l0[i] > s.u0[i])
            st = norni_fail(NORN_ARG, "qp: row %lld: l is %g, u is %g", (long long)i, s.l0[i], s.u0[i]);
    if (st == NORN_OK)
        st = norni_tensor_host(NORN_F64, 1, &n, &out->x);
    if (st == NORN_OK)
        st = norni_tensor_host(NORN_F64, 1, &m, &out->y);
    if (st == NORN_OK) {
        double *x = norni_tensor_data(out->x), *y = norni_tensor_data(out->y);
        residuals r;
        memcpy(s.p, s.p0, (size_t)square * sizeof *s.p);
        memcpy(s.a, s.a0, (size_t)wide * sizeof *s.a);
        memcpy(s.q, s.q0, (size_t)n * sizeof *s.q);
        scale(&s);
        st = run(&s, tolerance > 0 ? tolerance : 1e-9, max_iterations > 0 ? max_iterations : 20000, x, y,
                 scratch, out);
        measure(&s, x, y, &r, scratch);
        out->objective = r.objective;
        out->primal = r.primal;
        out->dual = r.dual;
        out->gap = r.gap;
        if (st == NORN_OK && out->status == NORN_QP_UNFINISHED &&
            fmax(r.primal / (1 + r.primal_size), r.dual / (1 + r.dual_size)) <= 1e-6)
            out->status = NORN_QP_SOLVED;
    }
    if (st != NORN_OK) {
        norn_tensor_free(out->x);
        norn_tensor_free(out->y);
        *out = (norn_qp_result){0};
    }
    norni_free(scratch);
    norni_free(all);
    return st;
}
