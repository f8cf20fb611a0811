/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of norn solve. */
#ifndef NORN_TOOLS_SOLVE_PARTS_H
#define NORN_TOOLS_SOLVE_PARTS_H
#include <norn.h>

/* Draws value and gradient over the iterations; for two unknowns that are numbers also contours of the formula with the path.
 * Returns the exit code. */
int plot_solution(const char *path, norn_session *session, const norn_graph *g, const norn_solution *s,
                  size_t n_start, const norn_feed *start, size_t n_data, const norn_feed *data);

#endif
