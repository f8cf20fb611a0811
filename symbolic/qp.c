/* SPDX-License-Identifier: Apache-2.0 */
/* Convex quadratic programs by operator splitting: Stellato, Banjac, Goulart, Bemporad, Boyd, OSQP, Mathematical Programming
 * Computation 12 (2020): algorithm 1, scaling (algorithm 2), adaptive rho, certificates of infeasibility, polishing. Each iteration
 * solves with one Cholesky factor of P + sigma I + rho A'A. What touches a matrix runs on the device, many iterations between two
 * looks at the residuals; here is what is decided from vectors. */
#include "symbolic/qp.h"
#include "base/dtype.h"
#include "base/tensor.h"
#include "symbolic/solve.h"
#include <math.h>
#include <string.h>

enum { SCALINGS = 10, CHECK = 25, ADAPT = 100, REFINEMENTS = 30, ROUNDS = 8 };
static const double sigma = 1e-6, equal_weight = 1e3, polish_sigma = 1e-7, worth_polishing = 1e-2;

typedef struct {
    const norni_quadratic *q;
    norni_splitting *on;
    int64_t n, m;
    double cost; /* scaling: x = D x~, y = E y~ / cost */
    double rho;
    double *d, *e;                               /* D, E */
    double *x, *z, *y, *dx, *dy;                 /* iterates and their last steps, scaled */
    double *px, *aty, *ax;                       /* products with either */
    double *best_x, *best_y, *proof_x, *proof_y; /* as given */
    double *before;                              /* the product with A of a point while polishing */
    int64_t first[2];                            /* where the first two variables are */
    NORNI_VEC(norn_qp_step) steps;
} solver;

/* ---- Scaling: rows and columns of [P A'; A 0] of size about 1; by powers of two, which round nothing. */
static double power_of_two(double v) {
    return exp2(round(log2(v)));
}

static norn_status scale(solver *s) {
    double *p_norm = norni_splitting_n(s->on, N_P_NORM), *a_norm = norni_splitting_n(s->on, N_A_NORM),
           *row_norm = norni_splitting_m(s->on, M_ROW_NORM), *q = norni_splitting_n(s->on, N_Q);
    for (int64_t i = 0; i < s->n; i++)
        s->d[i] = 1;
    for (int64_t i = 0; i < s->m; i++)
        s->e[i] = 1;
    s->cost = 1;
    for (int pass = 0; pass <= SCALINGS; pass++) {
        double mean = 0, most = 0;
        NORNI_TRY(norni_splitting_write_n(s->on, N_SCALE));
        NORNI_TRY(norni_splitting_write_m(s->on, M_SCALE));
        NORNI_TRY(norni_splitting_norms(s->on));
        NORNI_TRY(norni_splitting_read_norms(s->on));
        for (int64_t i = 0; i < s->n && pass; i++) {
            mean += s->cost * p_norm[i] / (double)s->n;
            most = fmax(most, s->cost * fabs(s->d[i] * s->q->q[i]));
        }
        if (fmax(mean, most) > 1e-8)
            s->cost /= fmax(mean, most);
        for (int64_t i = 0; i < s->n && pass < SCALINGS; i++) {
            double c = fmax(s->cost * p_norm[i], a_norm[i]);
            s->d[i] *= c > 1e-8 ? 1 / sqrt(c) : 1;
        }
        for (int64_t i = 0; i < s->m && pass < SCALINGS; i++)
            s->e[i] *= row_norm[i] > 1e-8 ? 1 / sqrt(row_norm[i]) : 1;
    }
    double *low = norni_splitting_m(s->on, M_LOW), *high = norni_splitting_m(s->on, M_HIGH);
    s->cost = power_of_two(s->cost);
    for (int64_t i = 0; i < s->n; i++)
        s->d[i] = power_of_two(s->d[i]);
    for (int64_t i = 0; i < s->m; i++)
        s->e[i] = power_of_two(s->e[i]);
    NORNI_TRY(norni_splitting_write_n(s->on, N_SCALE));
    NORNI_TRY(norni_splitting_write_m(s->on, M_SCALE));
    for (int64_t i = 0; i < s->n; i++)
        q[i] = s->cost * s->d[i] * s->q->q[i];
    for (int64_t i = 0; i < s->m; i++) {
        low[i] = s->e[i] * s->q->l[i];
        high[i] = s->e[i] * s->q->u[i];
    }
    NORNI_TRY(norni_splitting_write_n(s->on, N_Q));
    NORNI_TRY(norni_splitting_write_m(s->on, M_LOW));
    NORNI_TRY(norni_splitting_write_m(s->on, M_HIGH));
    return norni_splitting_scale(s->on, s->cost);
}

/* ---- The factor for the present rho, and what depends on rho besides. */
static norn_status factor(solver *s) {
    double *rho = norni_splitting_m(s->on, M_RHO), *w = norni_splitting_m(s->on, M_W);
    bool definite;
    for (int64_t i = 0; i < s->m; i++) {
        rho[i] = s->q->l[i] == s->q->u[i]                 ? s->rho * equal_weight
                 : isinf(s->q->l[i]) && isinf(s->q->u[i]) ? 1e-6
                                                          : s->rho;
        w[i] = rho[i] * s->z[i] - s->y[i];
    }
    NORNI_TRY(norni_splitting_write_m(s->on, M_RHO));
    NORNI_TRY(norni_splitting_write_m(s->on, M_W));
    NORNI_TRY(norni_splitting_factor(s->on, false, true, sigma, &definite));
    return definite ? NORN_OK : norni_fail(NORN_ARG, "qp: P is not positive semidefinite");
}

/* ---- Residuals, of the program as it was given. */
typedef struct {
    double primal, dual, gap, objective, primal_size, dual_size;
} residuals;

static double worst(const residuals *r) {
    return fmax(r->primal, fmax(r->dual, r->gap));
}
static bool within(const residuals *r, double tolerance) {
    return r->primal <= tolerance * (1 + r->primal_size) && r->dual <= tolerance * (1 + r->dual_size);
}

static bool solved(const residuals *r, double tolerance) {
    return within(r, tolerance) && r->gap <= tolerance * (1 + fabs(r->objective));
}

/* Of x~ and y~, whose products were read. */
static void measure(const solver *s, const double *x, const double *y, residuals *r) {
    double support = 0, xpx = 0, qx = 0;
    *r = (residuals){0};
    for (int64_t i = 0; i < s->m; i++) {
        double ax = s->ax[i] / s->e[i], yi = s->e[i] * y[i] / s->cost;
        r->primal = fmax(r->primal, fmax(s->q->l[i] - ax, ax - s->q->u[i]));
        r->primal_size = fmax(r->primal_size, fabs(ax));
        double bound = yi > 0 ? s->q->u[i] : s->q->l[i];
        if (yi != 0)
            support += isinf(bound) ? fabs(yi) * 1e20 : yi * bound;
    }
    for (int64_t i = 0; i < s->n; i++) {
        double f = 1 / (s->d[i] * s->cost), px = f * s->px[i], aty = f * s->aty[i], q = s->q->q[i];
        r->dual = fmax(r->dual, fabs(px + q + aty));
        r->dual_size = fmax(r->dual_size, fmax(fabs(px), fmax(fabs(q), fabs(aty))));
        xpx += s->d[i] * x[i] * px;
        qx += s->d[i] * x[i] * q;
    }
    r->objective = 0.5 * xpx + qx;
    r->gap = fabs(xpx + qx + support);
}

static void keep(solver *s, const double *x, const double *y) {
    for (int64_t i = 0; i < s->n; i++)
        s->best_x[i] = s->d[i] * x[i];
    for (int64_t i = 0; i < s->m; i++)
        s->best_y[i] = s->e[i] * y[i] / s->cost;
}

/* What was just kept, as a step of the trace. */
static norn_status note(solver *s, int64_t iteration, bool polished, const residuals *r) {
    norn_qp_step step = {iteration, polished, r->objective, r->primal, r->dual, r->gap, {0}};
    for (int i = 0; i < 2 && i < s->n; i++)
        step.x[i] = s->best_x[s->first[i]];
    return NORNI_PUSH(&s->steps, step) ? NORN_OK : norni_nomem();
}

/* ---- Certificates: differences of iterates that prove that there is no point, or no end. What needs no product is checked first. */

/* The step of y, as given, of size 1. */
static bool may_prove_infeasible(solver *s, double *support) {
    double size = 0;
    for (int64_t i = 0; i < s->m; i++)
        size = fmax(size, fabs(s->proof_y[i] = s->e[i] * s->dy[i]));
    *support = 0;
    if (size < 1e-12)
        return false;
    for (int64_t i = 0; i < s->m; i++) {
        double v = s->proof_y[i] / size;
        if (fabs(v) < 1e-9)
            v = 0;
        if (v > 0 ? isinf(s->q->u[i]) : v < 0 && isinf(s->q->l[i]))
            return false;
        *support += v > 0 ? s->q->u[i] * v : v < 0 ? s->q->l[i] * v : 0;
        s->proof_y[i] = v;
    }
    return *support < -1e-7;
}

static bool may_prove_unbounded(solver *s, double *down) {
    double size = 0;
    for (int64_t i = 0; i < s->n; i++)
        size = fmax(size, fabs(s->proof_x[i] = s->d[i] * s->dx[i]));
    *down = 0;
    if (size < 1e-12)
        return false;
    for (int64_t i = 0; i < s->n; i++)
        *down += s->q->q[i] * (s->proof_x[i] /= size);
    return *down < -1e-7;
}

/* The products of the steps are there; those of x and y are not any more. */
static norn_status certificates(solver *s, norn_qp_status *found) {
    double support, down, size = 0, off = 0;
    bool infeasible = may_prove_infeasible(s, &support), unbounded = may_prove_unbounded(s, &down);
    if (!infeasible && !unbounded)
        return NORN_OK;
    /* The certificate of y has small entries left out: so its product is worked out from what is kept. */
    double *step = norni_splitting_m(s->on, M_DY);
    for (int64_t i = 0; i < s->m && infeasible; i++)
        step[i] = s->proof_y[i] / s->e[i];
    if (infeasible)
        NORNI_TRY(norni_splitting_write_m(s->on, M_DY));
    NORNI_TRY(norni_splitting_products(s->on, QP_OF_STEPS));
    NORNI_TRY(norni_splitting_read(s->on));
    for (int64_t i = 0; i < s->n; i++)
        off = fmax(off, fabs(s->aty[i] / s->d[i]));
    if (infeasible && off <= 1e-7 * fmin(1, -support)) {
        memcpy(s->best_y, s->proof_y, (size_t)s->m * sizeof *s->best_y);
        *found = NORN_QP_INFEASIBLE;
        return NORN_OK;
    }
    for (int64_t i = 0; i < s->n; i++)
        size = fmax(size, fabs(s->d[i] * s->dx[i]));
    double eps = 1e-7 * fmin(1, -down);
    for (int64_t i = 0; i < s->n && unbounded; i++)
        unbounded = fabs(s->px[i] / (s->d[i] * s->cost * size)) <= eps;
    for (int64_t i = 0; i < s->m && unbounded; i++) {
        double v = s->ax[i] / (s->e[i] * size);
        unbounded = (isinf(s->q->u[i]) || v <= eps) && (isinf(s->q->l[i]) || v >= -eps);
    }
    if (unbounded) {
        memcpy(s->best_x, s->proof_x, (size_t)s->n * sizeof *s->best_x);
        *found = NORN_QP_UNBOUNDED;
    }
    return NORN_OK;
}

/* ---- Polishing: the equations of the constraints that are active, solved with a small regularisation that refinement takes out
 * again. */

/* What is active at the iterate, by the sign of the multiplier against the distance to the bound, as given. */
static void guess_active(solver *s) {
    double *yp = norni_splitting_m(s->on, M_YP), *bound = norni_splitting_m(s->on, M_BOUND),
           *active = norni_splitting_m(s->on, M_ACTIVE), *low = norni_splitting_m(s->on, M_LOW),
           *high = norni_splitting_m(s->on, M_HIGH);
    for (int64_t i = 0; i < s->m; i++) {
        double ax = s->ax[i] / s->e[i], y = s->best_y[i];
        bool is_low = ax - s->q->l[i] < -y, is_high = s->q->u[i] - ax < y, equal = s->q->l[i] == s->q->u[i];
        bool on = is_low || is_high || equal;
        active[i] = on ? 1 / polish_sigma : 0;
        bound[i] = on ? (is_low || equal ? low[i] : high[i]) : 0;
        yp[i] = on ? s->y[i] : 0;
    }
}

/* The equations were solved, which the products are of: one more constraint for the next round, the first that bars the way from the
 * last point that was within all others (s->before, if there was one), or one less, that whose multiplier is most wrong. False:
 * nothing is wrong, or more than `most` constraints are. */
static bool change_active(solver *s, int64_t most, bool *from_point) {
    double *yp = norni_splitting_m(s->on, M_YP), *bound = norni_splitting_m(s->on, M_BOUND),
           *active = norni_splitting_m(s->on, M_ACTIVE), *low = norni_splitting_m(s->on, M_LOW),
           *high = norni_splitting_m(s->on, M_HIGH);
    int64_t wrong = 0, outside = 0, drop = -1, bar = -1;
    double worst_y = 0, nearest = INFINITY;
    for (int64_t i = 0; i < s->m; i++) {
        if (active[i] != 0) {
            double y = bound[i] == high[i] ? -yp[i] * s->e[i] : yp[i] * s->e[i];
            if (s->q->l[i] == s->q->u[i] || y <= 0)
                continue;
            wrong++;
            if (y > worst_y) {
                worst_y = y;
                drop = i;
            }
            continue;
        }
        double over = fmax(low[i] - s->ax[i], s->ax[i] - high[i]), size = fmax(1, fabs(s->ax[i]));
        if (!(over > 1e-12 * size))
            continue;
        outside++;
        double way = *from_point ? fabs(s->ax[i] - s->before[i]) : 1,
               share = *from_point ? (way - over) / way : -over;
        if (share < nearest) {
            nearest = share;
            bar = i;
        }
    }
    if (wrong + outside == 0 || (*from_point ? wrong : wrong + outside) > most)
        return false;
    if (!outside) {
        memcpy(s->before, s->ax, (size_t)s->m * sizeof *s->before);
        *from_point = true;
        active[drop] = bound[drop] = yp[drop] = 0;
    } else {
        active[bar] = 1 / polish_sigma;
        bound[bar] = s->ax[bar] > high[bar] ? high[bar] : low[bar];
    }
    return true;
}

/* Changes what is active in a few rounds until the signs of the multipliers are right. `r`, of what is kept, becomes smaller, or stays. */
static norn_status polish(solver *s, double tolerance, residuals *r, bool *done) {
    double *xp = norni_splitting_n(s->on, N_XP), *yp = norni_splitting_m(s->on, M_YP);
    bool from_point = false;
    *done = false;
    guess_active(s);
    for (int round = 0; round < ROUNDS; round++) {
        bool definite;
        residuals after;
        memcpy(xp, s->x, (size_t)s->n * sizeof *xp);
        NORNI_TRY(norni_splitting_write_m(s->on, M_ACTIVE));
        NORNI_TRY(norni_splitting_write_m(s->on, M_BOUND));
        NORNI_TRY(norni_splitting_write_m(s->on, M_YP));
        NORNI_TRY(norni_splitting_write_n(s->on, N_XP));
        NORNI_TRY(norni_splitting_factor(s->on, true, true, polish_sigma, &definite));
        if (!definite)
            break;
        NORNI_TRY(norni_splitting_refine(s->on, polish_sigma, REFINEMENTS));
        NORNI_TRY(norni_splitting_products(s->on, QP_OF_POLISHED));
        NORNI_TRY(norni_splitting_read(s->on));
        NORNI_TRY(norni_splitting_read_n(s->on, N_XP));
        NORNI_TRY(norni_splitting_read_m(s->on, M_YP));
        measure(s, xp, yp, &after);
        if (!isfinite(worst(&after)))
            break;
        if (worst(&after) < worst(r)) {
            keep(s, xp, yp);
            *r = after;
            *done = true;
        }
        if ((*done && solved(r, tolerance)) || !change_active(s, round ? ROUNDS - round : s->m, &from_point))
            break;
    }
    return NORN_OK;
}

/* ---- Iterations. */

/* rho so that both residuals fall alike, from the products of x and y; true when it was changed. */
static bool adapt(solver *s) {
    const double *q = norni_splitting_n(s->on, N_Q);
    double primal = 0, dual = 0, primal_size = 0, dual_size = 0;
    for (int64_t i = 0; i < s->m; i++) {
        primal = fmax(primal, fabs(s->ax[i] - s->z[i]));
        primal_size = fmax(primal_size, fmax(fabs(s->ax[i]), fabs(s->z[i])));
    }
    for (int64_t i = 0; i < s->n; i++) {
        dual = fmax(dual, fabs(s->px[i] + q[i] + s->aty[i]));
        dual_size = fmax(dual_size, fmax(fabs(s->px[i]), fmax(fabs(q[i]), fabs(s->aty[i]))));
    }
    double f = sqrt((primal / fmax(primal_size, 1e-10)) / fmax(dual / fmax(dual_size, 1e-10), 1e-10));
    double next = fmin(fmax(s->rho * f, 1e-6), 1e6);
    if (!(next > 5 * s->rho || next < s->rho / 5))
        return false;
    s->rho = next;
    return true;
}

static norn_status run(solver *s, double tolerance, int64_t limit, norn_qp_result *out, residuals *r) {
    NORNI_TRY(factor(s));
    out->status = NORN_QP_UNFINISHED;
    measure(s, s->x, s->y, r); /* all of it 0 */
    keep(s, s->x, s->y);
    NORNI_TRY(note(s, 0, false, r));
    while (out->iterations < limit) {
        int64_t times = limit - out->iterations < CHECK ? limit - out->iterations : CHECK;
        NORNI_TRY(norni_splitting_iterate(s->on, sigma, times));
        NORNI_TRY(norni_splitting_products(s->on, QP_OF_X));
        NORNI_TRY(norni_splitting_read(s->on));
        out->iterations += times;
        measure(s, s->x, s->y, r);
        keep(s, s->x, s->y);
        NORNI_TRY(note(s, out->iterations, false, r));
        bool there = within(r, tolerance), near = within(r, worth_polishing), last = out->iterations >= limit;
        bool change = out->iterations % ADAPT == 0 && !there && adapt(s);
        /* Often the active constraints are known early. */
        if (there || last || (near && out->iterations % (4 * CHECK) == 0)) {
            NORNI_TRY(polish(s, tolerance, r, &out->polished));
            if (out->polished)
                NORNI_TRY(note(s, out->iterations, true, r));
            if (there || solved(r, tolerance)) {
                out->status = NORN_QP_SOLVED;
                return NORN_OK;
            }
        }
        if (last)
            break;
        NORNI_TRY(certificates(s, &out->status));
        if (out->status != NORN_QP_UNFINISHED)
            return NORN_OK;
        if (change)
            NORNI_TRY(factor(s));
    }
    if (solved(r, 1e-6))
        out->status = NORN_QP_SOLVED;
    return NORN_OK;
}

/* Whether P has no eigenvalue below 0, but for what its element type rounds. */
static norn_status check_convex(solver *s, norn_dtype dtype) {
    double slack = norni_dtype_is_int(dtype) || dtype == NORN_F64 ? 1e-6 : dtype == NORN_F32 ? 1e-4 : 1e-2;
    bool definite;
    NORNI_TRY(norni_splitting_factor(s->on, true, false, slack, &definite));
    return definite ? NORN_OK : norni_fail(NORN_ARG, "qp: P is not positive semidefinite");
}

static norn_status solve(solver *s, norn_dtype dtype, double tolerance, int64_t limit, norn_qp_result *out) {
    residuals r = {0};
    s->d = norni_splitting_n(s->on, N_SCALE);
    s->e = norni_splitting_m(s->on, M_SCALE);
    s->x = norni_splitting_n(s->on, N_X);
    s->dx = norni_splitting_n(s->on, N_DX);
    s->px = norni_splitting_n(s->on, N_PX);
    s->aty = norni_splitting_n(s->on, N_ATY);
    s->z = norni_splitting_m(s->on, M_Z);
    s->y = norni_splitting_m(s->on, M_Y);
    s->dy = norni_splitting_m(s->on, M_DY);
    s->ax = norni_splitting_m(s->on, M_AX);
    for (int64_t i = 0; i < s->n; i++)
        if (s->q->order[i] < 2)
            s->first[s->q->order[i]] = i;
    NORNI_TRY(scale(s));
    NORNI_TRY(check_convex(s, dtype));
    NORNI_TRY(run(s, tolerance, limit, out, &r));
    out->objective = r.objective;
    out->primal = r.primal;
    out->dual = r.dual;
    out->gap = r.gap;
    double *x = norni_tensor_data(out->x);
    for (int64_t i = 0; i < s->n; i++)
        x[s->q->order[i]] = s->best_x[i];
    memcpy(norni_tensor_data(out->y), s->best_y, (size_t)s->m * sizeof *s->best_y);
    return NORN_OK;
}

void norn_qp_result_free(norn_qp_result *r) {
    if (!r)
        return;
    norn_tensor_free(r->x);
    norn_tensor_free(r->y);
    norni_free(r->steps);
    *r = (norn_qp_result){0};
}

static norn_status solve_program(norn_session *session, const norn_qp *qp, double tolerance,
                                 int64_t max_iterations, norn_qp_result *out) {
    norni_quadratic q;
    norni_splitting *on = NULL;
    *out = (norn_qp_result){0};
    norn_status st = norni_quadratic_read(qp, &q);
    solver s = {.q = &q, .n = q.n, .m = q.m, .rho = 0.1};
    if (st == NORN_OK) {
        s.best_x = norni_alloc_array(2 * (size_t)q.n + 3 * (size_t)q.m + 1, sizeof *s.best_x);
        st = s.best_x ? norni_splitting_new(session, &q, &on) : norni_nomem();
    }
    s.on = on;
    if (st == NORN_OK) {
        s.best_y = s.best_x + q.n;
        s.proof_x = s.best_y + q.m;
        s.proof_y = s.proof_x + q.n;
        s.before = s.proof_y + q.m;
    }
    if (st == NORN_OK)
        st = norni_tensor_host(NORN_F64, 1, &q.n, &out->x);
    if (st == NORN_OK)
        st = norni_tensor_host(NORN_F64, 1, &q.m, &out->y);
    if (st == NORN_OK)
        st = solve(&s, qp->p ? qp->p->dtype : NORN_F64, tolerance > 0 ? tolerance : 1e-9,
                   max_iterations > 0 ? max_iterations : 20000, out);
    out->n_steps = s.steps.n;
    out->steps = s.steps.v;
    if (st != NORN_OK)
        norn_qp_result_free(out);
    norni_splitting_free(on);
    norni_quadratic_free(&q);
    norni_free(s.best_x);
    return st;
}

/* A direction without end says nothing where there is no point to start from: whether there is one the program without q tells, whose
 * objective has an end. */
static norn_status check_point(norn_session *session, const norn_qp *qp, double tolerance,
                               int64_t max_iterations, norn_qp_result *out) {
    norn_qp without = *qp;
    norn_tensor *zeros = NULL;
    norn_qp_result r = {0};
    norn_status s = norni_tensor_host(NORN_F64, 1, qp->q->dims, &zeros);
    without.q = zeros;
    if (s == NORN_OK)
        memset(norni_tensor_data(zeros), 0, (size_t)qp->q->dims[0] * sizeof(double));
    if (s == NORN_OK)
        s = solve_program(session, &without, tolerance, max_iterations, &r);
    if (s == NORN_OK && r.status == NORN_QP_INFEASIBLE) {
        norn_tensor *y = out->y;
        out->y = r.y;
        r.y = y;
        out->status = NORN_QP_INFEASIBLE;
        out->iterations += r.iterations;
    }
    norn_qp_result_free(&r);
    norn_tensor_free(zeros);
    return s;
}

norn_status norn_solve_qp(norn_session *session, const norn_qp *qp, double tolerance, int64_t max_iterations,
                          norn_qp_result *out) {
    norn_status s = solve_program(session, qp, tolerance, max_iterations, out);
    if (s == NORN_OK && out->status == NORN_QP_UNBOUNDED && out->primal > 1e-9) {
        s = check_point(session, qp, tolerance, max_iterations, out);
        if (s != NORN_OK)
            norn_qp_result_free(out);
    }
    return s;
}
