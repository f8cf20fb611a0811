/* SPDX-License-Identifier: Apache-2.0 */
/* Sums of squares of m residuals over n unknowns. */
#ifndef NORNI_LEAST_SQUARES_H
#define NORNI_LEAST_SQUARES_H
#include "symbolic/solve.h"

typedef struct norni_squares {
    int64_t m, n;
    double *lower, *upper; /* NULL: none */
    norn_status (*residuals)(struct norni_squares *q, const double *x, double *r);
    norn_status (*column)(struct norni_squares *q, const double *x, int64_t k,
                          double *out); /* of the Jacobian */
    void *ctx;
    int64_t values, products;
    double noise;      /* of columns of the Jacobian of length 1: what is shorter is taken for 0 */
    int64_t freedom;   /* residuals without the rank of the Jacobian, degrees of freedom */
    bool undetermined; /* some unknowns have no effect that others have not */
    double deviation;  /* of the residuals; 0 without degrees of freedom */
} norni_squares;

/* errors: n standard errors, then n half widths of 95 % confidence intervals; NaN of entries that a bound holds, and
 * without degrees of freedom; infinite where the residuals do not determine an entry. The value of the outcome is the sum of squares. */
norn_status norni_least_squares(norni_squares *q, const norni_method *m, double *x, double *errors,
                                norni_outcome *out);

#endif
