/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of norn solve. */
#ifndef NORN_TOOLS_SOLVE_PARTS_H
#define NORN_TOOLS_SOLVE_PARTS_H
#include "options.h"
#include <norn.h>

typedef struct {
    bool json, quiet, table;
    text_list start, lower, upper, subject_to;
    int method, dtype;
    int64_t max_iterations;
    double tolerance;
    const char *data, *qp, *plot, *device, *out;
} solve_options;

/* Whether row i of n is printed in a table of iterations: at most 20 are. Prints what stands for those that are not. */
bool table_has(size_t i, size_t n);

/* Draws value and gradient over the iterations; for two unknowns that are numbers also contours of the formula with the path.
 * Returns the exit code. */
int plot_solution(const char *path, norn_session *session, const norn_graph *g, const norn_solution *s,
                  size_t n_start, const norn_feed *start, size_t n_data, const norn_feed *data);
/* The same of a quadratic program: residuals and distance to the objective, and of two variables the constraints too. names: theirs. */
int plot_program(const char *path, const norn_qp *qp, const norn_qp_result *r, const char *const names[2]);

/* The program of --qp: solves and reports it. Returns the exit code. */
int solve_program(const solve_options *o);
/* The same of arrays. start: of what the entries of x are, where they have names; constant: the formula's value at 0. */
int solve_arrays(const solve_options *o, norn_session *session, const norn_qp *qp, size_t n_start,
                 const norn_feed *start, double constant);

/* A formula with constraints. */
typedef struct {
    const char *text; /* whose declarations hold in the constraints too */
    const norn_graph *graph;
    size_t n_start, n_lower, n_upper, n_data;
    const norn_feed *start, *lower, *upper, *data;
    const text_list *constraints;
} constrained;
/* Its P, q, A, l and u, the caller's, and its value at 0. Says what is not quadratic or not linear. Returns the exit code. */
int quadratic_program(norn_session *session, const constrained *c, norn_tensor *out[5], double *constant);

#endif
