/* SPDX-License-Identifier: Apache-2.0 */
/* norn solve --plot: the way to the minimum as SVG. */
#include "output.h"
#include "solve_parts.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDE = 420, HIGH = 320, MARGIN = 56, GRID = 48, LEVELS = 14 };

typedef struct {
    double left, right, low, high; /* in numbers */
    int x, y;                      /* the upper left corner in the picture */
} frame;

static double at_x(const frame *f, double v) {
    return f->x + (v - f->left) / (f->right - f->left) * WIDE;
}
static double at_y(const frame *f, double v) {
    return f->y + HIGH - (v - f->low) / (f->high - f->low) * HIGH;
}

static void draw_frame(FILE *o, const frame *f, const char *title, bool log_scale) {
    fprintf(o, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"#ffffff\" stroke=\"#334155\"/>\n",
            f->x, f->y, WIDE, HIGH);
    fprintf(o, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">%s</text>\n", f->x + WIDE / 2, f->y - 10,
            title);
    for (int i = 0; i <= 4; i++) {
        double x = f->left + (f->right - f->left) * i / 4, y = f->low + (f->high - f->low) * i / 4;
        fprintf(o, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.3g</text>\n", at_x(f, x),
                f->y + HIGH + 18, x);
        fprintf(o,
                log_scale ? "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">1e%.3g</text>\n"
                          : "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.3g</text>\n",
                f->x - 6, at_y(f, y) + 4, y);
    }
}

/* ---- Convergence. */
static double logarithm(double v) {
    return v > 1e-16 ? log10(v) : -16;
}

static void convergence(FILE *o, const norn_solution *s, frame f) {
    size_t n = norn_solution_trace_count(s);
    double best = INFINITY, v, g, x[2];
    f.low = 0;
    f.high = -16;
    for (size_t i = 0; i < n; i++) {
        norn_solution_trace(s, i, &v, &g, x);
        best = fmin(best, v);
    }
    for (size_t i = 0; i < n; i++) {
        norn_solution_trace(s, i, &v, &g, x);
        f.low = fmin(f.low, fmin(logarithm(g), logarithm(v - best)));
        f.high = fmax(f.high, fmax(logarithm(g), logarithm(v - best)));
    }
    f.low = floor(f.low);
    f.high = fmax(ceil(f.high), f.low + 1);
    f.left = 0;
    f.right = n > 1 ? (double)(n - 1) : 1;
    draw_frame(o, &f, "value above the least (blue) and gradient (red), by iteration", true);
    for (int which = 0; which < 2; which++) {
        fprintf(o, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"1.5\" points=\"",
                which ? "#dc2626" : "#2563eb");
        for (size_t i = 0; i < n; i++) {
            norn_solution_trace(s, i, &v, &g, x);
            fprintf(o, "%.1f,%.1f ", at_x(&f, (double)i), at_y(&f, logarithm(which ? g : v - best)));
        }
        fprintf(o, "\"/>\n");
    }
}

/* ---- Contours. */
static norn_status grid_values(norn_session *session, const norn_graph *g, size_t n_start,
                               const norn_feed *start, size_t n_data, const norn_feed *data, const frame *f,
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
    for (int i = 0; i <= GRID && s == NORN_OK; i++)
        for (int k = 0; k <= GRID && s == NORN_OK; k++) {
            norn_fetch y = {norn_graph_output_name(g, 0), NULL};
            norn_tensor_set(t[0], 0, f->left + (f->right - f->left) * k / GRID);
            norn_tensor_set(t[1], 0, f->low + (f->high - f->low) * i / GRID);
            s = norn_executable_run(e, n_data + 2, feeds, 1, &y);
            double sum = 0;
            for (int64_t j = 0; s == NORN_OK && j < norn_tensor_elems(y.tensor); j++) {
                double v = norn_tensor_get(y.tensor, j);
                sum += norn_tensor_rank(y.tensor) ? v * v : v; /* residuals count by their squares */
            }
            out[i * (GRID + 1) + k] = sum;
            norn_tensor_free(y.tensor);
        }
    norn_tensor_free(t[0]);
    norn_tensor_free(t[1]);
    norn_executable_free(e);
    free(feeds);
    return s;
}

/* Marching squares: where the level crosses the edges of a cell. */
static void contour(FILE *o, const frame *f, const double *v, double level) {
    fprintf(o, "<path fill=\"none\" stroke=\"#94a3b8\" d=\"");
    for (int i = 0; i < GRID; i++)
        for (int k = 0; k < GRID; k++) {
            const int corner[5][2] = {{0, 0}, {0, 1}, {1, 1}, {1, 0}, {0, 0}};
            double p[4][2];
            int n = 0;
            for (int c = 0; c < 4; c++) {
                double a = v[(i + corner[c][0]) * (GRID + 1) + k + corner[c][1]],
                       b = v[(i + corner[c + 1][0]) * (GRID + 1) + k + corner[c + 1][1]];
                if (!isfinite(a) || !isfinite(b) || (a < level) == (b < level))
                    continue;
                double t = (level - a) / (b - a);
                p[n][0] = k + corner[c][1] + t * (corner[c + 1][1] - corner[c][1]);
                p[n++][1] = i + corner[c][0] + t * (corner[c + 1][0] - corner[c][0]);
            }
            for (int c = 0; c + 1 < n; c += 2)
                fprintf(o, "M%.1f %.1fL%.1f %.1f", f->x + p[c][0] * WIDE / GRID,
                        f->y + HIGH - p[c][1] * HIGH / GRID, f->x + p[c + 1][0] * WIDE / GRID,
                        f->y + HIGH - p[c + 1][1] * HIGH / GRID);
        }
    fprintf(o, "\"/>\n");
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static norn_status path_picture(FILE *o, norn_session *session, const norn_graph *g, const norn_solution *s,
                                size_t n_start, const norn_feed *start, size_t n_data, const norn_feed *data,
                                frame f) {
    size_t n = norn_solution_trace_count(s);
    double value, gradient, x[2], *v = calloc(2 * (GRID + 1) * (GRID + 1), sizeof *v), title_room = 0;
    char title[160];
    f.left = f.low = INFINITY;
    f.right = f.high = -INFINITY;
    if (!v)
        return NORN_NOMEM;
    for (size_t i = 0; i < n; i++) {
        norn_solution_trace(s, i, &value, &gradient, x);
        f.left = fmin(f.left, x[0]);
        f.right = fmax(f.right, x[0]);
        f.low = fmin(f.low, x[1]);
        f.high = fmax(f.high, x[1]);
    }
    double dx = fmax(f.right - f.left, 1e-3 * fmax(1, fabs(f.left))) * 0.25,
           dy = fmax(f.high - f.low, 1e-3 * fmax(1, fabs(f.low))) * 0.25;
    f.left -= dx, f.right += dx, f.low -= dy + title_room, f.high += dy;
    norn_status st = grid_values(session, g, n_start, start, n_data, data, &f, v);
    snprintf(title, sizeof title, "contours and path (%.40s to the right, %.40s up)", start[0].name,
             start[1].name);
    draw_frame(o, &f, title, false);
    if (st == NORN_OK) { /* levels at quantiles, closer together below */
        double *sorted = v + (GRID + 1) * (GRID + 1);
        int count = 0;
        for (int i = 0; i < (GRID + 1) * (GRID + 1); i++)
            if (isfinite(v[i]))
                sorted[count++] = v[i];
        qsort(sorted, (size_t)count, sizeof *sorted, compare);
        for (int i = 1; i <= LEVELS && count; i++) {
            double q = (double)i / (LEVELS + 1);
            contour(o, &f, v, sorted[(int)(q * q * (count - 1))]);
        }
    }
    fprintf(o, "<polyline fill=\"none\" stroke=\"#2563eb\" stroke-width=\"1.5\" points=\"");
    for (size_t i = 0; i < n; i++) {
        norn_solution_trace(s, i, &value, &gradient, x);
        fprintf(o, "%.1f,%.1f ", at_x(&f, x[0]), at_y(&f, x[1]));
    }
    fprintf(o, "\"/>\n");
    for (size_t i = 0; i < n; i++) {
        norn_solution_trace(s, i, &value, &gradient, x);
        fprintf(o, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%s\" fill=\"%s\"/>\n", at_x(&f, x[0]), at_y(&f, x[1]),
                i + 1 == n ? "5" : "2.5", i + 1 == n ? "#dc2626" : "#2563eb");
    }
    free(v);
    return st;
}

int plot_solution(const char *path, norn_session *session, const norn_graph *g, const norn_solution *s,
                  size_t n_start, const norn_feed *start, size_t n_data, const norn_feed *data) {
    bool two =
        n_start == 2 && norn_tensor_rank(start[0].tensor) == 0 && norn_tensor_rank(start[1].tensor) == 0;
    int width = (two ? 2 : 1) * (WIDE + 2 * MARGIN), height = HIGH + 2 * MARGIN;
    FILE *o = fopen(path, "w");
    if (!o)
        return fail_text(NORN_IO, "%s: cannot be written", path);
    fprintf(
        o,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" "
        "font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"%d\" height=\"%d\" fill=\"#f8fafc\"/>\n",
        width, height, width, height, width, height);
    convergence(o, s, (frame){.x = MARGIN, .y = MARGIN});
    norn_status st = NORN_OK;
    if (two)
        st = path_picture(o, session, g, s, n_start, start, n_data, data,
                          (frame){.x = WIDE + 3 * MARGIN, .y = MARGIN});
    fprintf(o, "</svg>\n");
    bool written = !ferror(o);
    written = fclose(o) == 0 && written;
    if (st != NORN_OK)
        return fail(st);
    return written ? 0 : fail_text(NORN_IO, "%s: cannot be written", path);
}
