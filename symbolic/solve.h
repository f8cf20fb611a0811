/* SPDX-License-Identifier: Apache-2.0 */
/* Minimisation: functions of a vector of doubles, with bounds, and the methods on them. */
#ifndef NORNI_SOLVE_H
#define NORNI_SOLVE_H
#include "base/vec.h"
#include "graph/graph.h"

/* What is minimised. The calls fail with a status; values may be NaN or infinite outside the domain. */
typedef struct norni_problem {
    int64_t n;
    double *lower, *upper; /* NULL: none */
    /* f(x), and the gradient where g is not NULL. */
    norn_status (*value)(struct norni_problem *p, const double *x, double *f, double *g);
    /* h = Hessian(x) v. */
    norn_status (*hessian)(struct norni_problem *p, const double *x, const double *v, double *h);
    void *ctx;
    int64_t values, gradients, products; /* calls so far */
    double
        slack; /* what a step may rise by: gradient descent is not monotone. 0: steps go down, by strong Wolfe */
    bool endless; /* a line was found along which the value falls without end */
} norni_problem;

typedef struct {
    double f, gradient; /* gradient: largest entry of the projected one */
    double x[2];        /* of problems with two unknowns */
} norni_trace;

typedef struct {
    norn_solver method;
    int64_t max_iterations;
    double tolerance;
    bool (*progress)(void *user, int64_t iteration, double f, double gradient);
    void *user;
} norni_method;

typedef struct {
    int64_t iterations;
    double f, gradient;
    bool converged;
    const char *reason;
    NORNI_VEC(norni_trace) trace;
} norni_outcome;

/* Minimises from x, which becomes the minimum. */
norn_status norni_minimise(norni_problem *p, const norni_method *m, double *x, norni_outcome *out);
/* The step along d from x (value f, gradient g) that fulfils the strong Wolfe conditions; with bounds, that is sufficient
 * descent along the projected path. x, f and g become those of the new point; *moved false: there is none. */
norn_status norni_line_search(norni_problem *p, const double *d, double first, double c2, double *x,
                              double *f, double *g, bool *moved);
/* Entries that a bound and the gradient hold where they are. */
bool norni_held(const norni_problem *p, const double *x, const double *g, int64_t i);
double norni_projected_norm(const norni_problem *p, const double *x, const double *g);

double norni_dot(int64_t n, const double *a, const double *b);
double norni_largest(int64_t n, const double *v); /* of the magnitudes */
/* Symmetric positive definite systems, row-major n x n: a becomes its Cholesky factor; false: it is not definite. */
bool norni_cholesky(int64_t n, double *a);
void norni_cholesky_solve(int64_t n, const double *l, double *x);

#endif
