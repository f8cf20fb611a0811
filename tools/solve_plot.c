/* SPDX-License-Identifier: Apache-2.0 */
/* norn solve --plot: the way to the minimum as SVG. */
#include "chart.h"
#include "output.h"
#include "solve_parts.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Value above the least, or gradient, after each iteration. */
static void lines(const norn_solution *s, bool gradients, double least, chart_point *out) {
    double value, gradient, x[2];
    for (size_t i = 0; i < norn_solution_trace_count(s); i++) {
        norn_solution_trace(s, i, &value, &gradient, x);
        out[i][0] = (double)i;
        out[i][1] = chart_logarithm(gradients ? gradient : value - least);
    }
}

static norn_status grid_values(norn_session *session, const norn_graph *g, size_t n_start,
                               const norn_feed *start, size_t n_data, const norn_feed *data, const chart *c,
                               double *out) {
    norn_executable *e = NULL;
    norn_tensor *t[2] = {0};
    norn_feed *feeds = calloc(n_data + 2, sizeof *feeds);
    norn_status s = feeds && n_start ? norn_executable_new(session, g, NULL, NULL, &e) : NORN_NOMEM;
    for (int i = 0; i < 2 && s == NORN_OK; i++) {
        s = norn_tensor_new(NULL, norn_value_dtype(norn_graph_value(g, start[i].name)), 0, NULL, NULL, &t[i]);
        feeds[i] = (norn_feed){start[i].name, t[i]};
    }
    if (s == NORN_OK && n_data)
        memcpy(feeds + 2, data, n_data * sizeof *feeds);
    for (int i = 0; i <= CHART_GRID && s == NORN_OK; i++)
        for (int k = 0; k <= CHART_GRID && s == NORN_OK; k++) {
            norn_fetch y = {norn_graph_output_name(g, 0), NULL};
            norn_tensor_set(t[0], 0, chart_node(&c->x, k));
            norn_tensor_set(t[1], 0, chart_node(&c->y, i));
            s = norn_executable_run(e, n_data + 2, feeds, 1, &y);
            double sum = 0;
            for (int64_t j = 0; s == NORN_OK && j < norn_tensor_elems(y.tensor); j++) {
                double v = norn_tensor_get(y.tensor, j);
                sum += norn_tensor_rank(y.tensor) ? v * v : v; /* residuals count by their squares */
            }
            out[i * (CHART_GRID + 1) + k] = sum;
            norn_tensor_free(y.tensor);
        }
    norn_tensor_free(t[0]);
    norn_tensor_free(t[1]);
    norn_executable_free(e);
    free(feeds);
    return s;
}

int plot_solution(const char *path, norn_session *session, const norn_graph *g, const norn_solution *s,
                  size_t n_start, const norn_feed *start, size_t n_data, const norn_feed *data) {
    enum { NODES = (CHART_GRID + 1) * (CHART_GRID + 1) };
    const chart_axis none = {.low = (double)INFINITY, .high = -(double)INFINITY};
    bool two =
        n_start == 2 && norn_tensor_rank(start[0].tensor) == 0 && norn_tensor_rank(start[1].tensor) == 0;
    size_t n = norn_solution_trace_count(s);
    double least = INFINITY, value, gradient, *values = calloc(NODES, sizeof *values);
    chart_point *points = calloc(3 * n + 1, sizeof *points), *of_value = points, *of_gradient = points + n,
                *way = of_gradient + n;
    chart c[2] = {{.x = {.low = 0, .high = n > 1 ? (double)(n - 1) : 1, .whole = true}, .y = none},
                  {.x = none, .y = none}};
    char title[160];
    norn_status st = NORN_OK;
    int code = values && points ? 0 : out_of_memory();
    for (size_t i = 0; !code && i < n; i++) {
        norn_solution_trace(s, i, &value, &gradient, way[i]);
        least = fmin(least, value);
        chart_reach(&c[1].x, way[i][0]);
        chart_reach(&c[1].y, way[i][1]);
    }
    if (!code) {
        lines(s, false, least, of_value);
        lines(s, true, 0, of_gradient);
        for (size_t i = 0; i < 2 * n; i++)
            chart_reach(&c[0].y, points[i][1]);
        c[0].y.decades = true;
        chart_room(&c[0].y);
        chart_room(&c[1].x);
        chart_room(&c[1].y);
        if (two)
            st = grid_values(session, g, n_start, start, n_data, data, &c[1], values);
        code = st == NORN_OK ? 0 : fail(st);
    }
    FILE *o = code ? NULL : chart_open(path, two ? 2 : 1, c);
    if (o) {
        chart_frame(o, &c[0], "value above the least (blue) and gradient (red), by iteration");
        chart_line(o, &c[0], "#2563eb", n, of_value);
        chart_line(o, &c[0], "#dc2626", n, of_gradient);
    }
    if (o && two) {
        snprintf(title, sizeof title, "contours and path (%.40s to the right, %.40s up)", start[0].name,
                 start[1].name);
        chart_contours(o, &c[1], values);
        chart_path(o, &c[1], n, way);
        chart_frame(o, &c[1], title);
    }
    if (!code && !(o && chart_close(o)))
        code = fail_text(NORN_IO, "%s: cannot be written", path);
    free(values);
    free(points);
    return code;
}
