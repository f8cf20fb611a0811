/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of norn solve. */
#ifndef NORN_TOOLS_SOLVE_PARTS_H
#define NORN_TOOLS_SOLVE_PARTS_H
#include "options.h"
#include <norn.h>

/* Draws value and gradient over the iterations; for two unknowns that are numbers also contours of the formula with the path.
 * Returns the exit code. */
int plot_solution(const char *path, norn_session *session, const norn_graph *g, const norn_solution *s,
                  size_t n_start, const norn_feed *start, size_t n_data, const norn_feed *data);

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
