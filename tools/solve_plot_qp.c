/* SPDX-License-Identifier: Apache-2.0 */
/* norn solve --plot of quadratic programs: how the residuals fell; of two variables also the contours of the objective, the region
 * that the constraints leave, and the path. */
#include "chart.h"
#include "output.h"
#include "solve_parts.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- The program, of two variables. */

/* Row i of a matrix with two columns, dense or by rows. */
static void row_of(const norn_tensor *v, const norn_tensor *column, const norn_tensor *start, int64_t i,
                   double row[2]) {
    row[0] = row[1] = 0;
    if (v && !start)
        for (int k = 0; k < 2; k++)
            row[k] = norn_tensor_get(v, 2 * i + k);
    for (int64_t e = v && start ? (int64_t)norn_tensor_get(start, i) : 0;
         v && start && e < (int64_t)norn_tensor_get(start, i + 1); e++)
        row[norn_tensor_get(column, e) > 0] += norn_tensor_get(v, e);
}

static void objective(const norn_qp *qp, const chart *c, double *out) {
    double p[2][2];
    for (int i = 0; i < 2; i++)
        row_of(qp->p, qp->p_indices, qp->p_indptr, i, p[i]);
    for (int i = 0; i <= CHART_GRID; i++)
        for (int k = 0; k <= CHART_GRID; k++) {
            double x[2] = {chart_node(&c->x, k), chart_node(&c->y, i)}, v = 0;
            for (int r = 0; r < 2; r++)
                v += x[r] * (0.5 * (p[r][0] * x[0] + p[r][1] * x[1]) + norn_tensor_get(qp->q, r));
            out[i * (CHART_GRID + 1) + k] = v;
        }
}

/* ---- The region: the frame, cut by one line after the other (Sutherland and Hodgman, 1974). */

/* What of a polygon fulfils a x <= b, into `out`, which has room for one corner more; their number. */
static size_t cut(size_t n, const chart_point *corners, const double a[2], double b, chart_point *out) {
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        const double *p = corners[i], *q = corners[(i + 1) % n];
        double scale = 1e-9 * (fabs(a[0] * p[0]) + fabs(a[1] * p[1]) + fabs(b));
        double from = a[0] * p[0] + a[1] * p[1] - b, to = a[0] * q[0] + a[1] * q[1] - b;
        if (from <= scale)
            memcpy(out[m++], p, sizeof *out);
        if ((from <= scale) != (to <= scale) && from != to) {
            for (int k = 0; k < 2; k++)
                out[m][k] = p[k] + (q[k] - p[k]) * fmin(fmax(from / (from - to), 0), 1);
            m++;
        }
    }
    return m;
}

/* The part of the line a x = b that is in the frame; false: none. */
static bool line_in_frame(const chart *c, const double a[2], double b, chart_point ends[2]) {
    double size = a[0] * a[0] + a[1] * a[1], low = -(double)INFINITY, high = (double)INFINITY;
    const double at[2] = {a[0] * b / size, a[1] * b / size}, along[2] = {-a[1], a[0]};
    const chart_axis *axes[2] = {&c->x, &c->y};
    for (int k = 0; k < 2; k++) {
        if (along[k] == 0) {
            if (!(at[k] >= axes[k]->low && at[k] <= axes[k]->high))
                return false;
            continue;
        }
        double s = (axes[k]->low - at[k]) / along[k], t = (axes[k]->high - at[k]) / along[k];
        low = fmax(low, fmin(s, t));
        high = fmin(high, fmax(s, t));
    }
    for (int k = 0; k < 2; k++) {
        ends[0][k] = at[k] + low * along[k];
        ends[1][k] = at[k] + high * along[k];
    }
    return low < high;
}

static bool limit(const norn_tensor *t, int64_t i, double *v) {
    *v = norn_tensor_get(t, i);
    return fabs(*v) < 1e20;
}

/* Each constraint's line, and the region that all of them leave. */
static int constraints(FILE *o, const norn_qp *qp, const chart *c) {
    int64_t m = norn_tensor_elems(qp->l);
    size_t n = 4, room = 4 + 2 * (size_t)m;
    chart_point *corners = calloc(2 * (room + 1), sizeof *corners), *next = corners + room + 1;
    if (!corners)
        return out_of_memory();
    for (size_t i = 0; i < 4; i++) {
        corners[i][0] = i == 1 || i == 2 ? c->x.high : c->x.low;
        corners[i][1] = i >= 2 ? c->y.high : c->y.low;
    }
    for (int64_t i = 0; i < m; i++)
        for (int side = 0; side < 2; side++) {
            double row[2], b;
            row_of(qp->a, qp->a_indices, qp->a_indptr, i, row);
            if (!limit(side ? qp->u : qp->l, i, &b))
                continue;
            for (int k = 0; k < 2 && !side; k++)
                row[k] = -row[k];
            n = cut(n, corners, row, side ? b : -b, next);
            memcpy(corners, next, n * sizeof *corners);
        }
    fprintf(o, "<path fill=\"#dcfce7\" stroke=\"#22c55e\" stroke-width=\"3\" d=\"");
    for (size_t i = 0; i < n; i++)
        fprintf(o, "%c%.1f %.1f", i ? 'L' : 'M', chart_x(c, corners[i][0]), chart_y(c, corners[i][1]));
    fprintf(o, "%s\"/>\n", n ? "Z" : "");
    for (int64_t i = 0; i < m; i++)
        for (int side = 0; side < 2; side++) {
            double row[2], b;
            chart_point ends[2];
            row_of(qp->a, qp->a_indices, qp->a_indptr, i, row);
            if (limit(side ? qp->u : qp->l, i, &b) && (row[0] != 0 || row[1] != 0) &&
                line_in_frame(c, row, b, ends))
                chart_line(o, c, "#16a34a", 2, ends);
        }
    free(corners);
    return 0;
}

/* ---- The picture. */
int plot_program(const char *path, const norn_qp *qp, const norn_qp_result *r, const char *const names[2]) {
    enum { NODES = (CHART_GRID + 1) * (CHART_GRID + 1), LINES = 3 };
    static const char *const colors[LINES] = {"#2563eb", "#dc2626", "#64748b"};
    const chart_axis none = {.low = (double)INFINITY, .high = -(double)INFINITY};
    bool two = norn_tensor_elems(qp->q) == 2, solved = r->status == NORN_QP_SOLVED;
    size_t n = r->n_steps;
    double *values = calloc(NODES, sizeof *values);
    chart_point *points = calloc((LINES + 1) * n + 1, sizeof *points), *way = points + LINES * n;
    chart c[2] = {{.x = {.low = 0, .high = 1, .whole = true}, .y = none}, {.x = none, .y = none}};
    char title[200];
    int code = values && points ? 0 : out_of_memory();
    for (size_t i = 0; !code && i < n; i++) {
        const norn_qp_step *s = &r->steps[i];
        const double v[LINES] = {s->primal, s->dual,
                                 solved ? fabs(s->objective - r->objective) : (double)NAN};
        for (int k = 0; k < LINES; k++) {
            points[(size_t)k * n + i][0] = (double)s->iteration;
            points[(size_t)k * n + i][1] = chart_logarithm(v[k]);
            chart_reach(&c[0].y, chart_logarithm(v[k]));
        }
        memcpy(way[i], s->x, sizeof *way);
        chart_reach(&c[0].x, (double)s->iteration);
        chart_reach(&c[1].x, s->x[0]);
        chart_reach(&c[1].y, s->x[1]);
    }
    c[0].y.decades = true;
    chart_room(&c[0].y);
    chart_room(&c[1].x);
    chart_room(&c[1].y);
    FILE *o = code ? NULL : chart_open(path, two ? 2 : 1, c);
    if (o) {
        chart_frame(
            o, &c[0],
            solved ? "residuals, primal (blue) and dual (red), and objective's distance (grey), by iteration"
                   : "residuals, primal (blue) and dual (red), by iteration");
        for (size_t k = 0; k < LINES; k++)
            chart_line(o, &c[0], colors[k], n, points + k * n);
    }
    if (o && two) {
        objective(qp, &c[1], values);
        code = constraints(o, qp, &c[1]);
        chart_contours(o, &c[1], values);
        chart_path(o, &c[1], n, way);
        snprintf(title, sizeof title, "contours, constraints (green) and path (%.40s to the right, %.40s up)",
                 names[0], names[1]);
        chart_frame(o, &c[1], title);
    }
    bool written = o && chart_close(o);
    if (!code && !written)
        code = fail_text(NORN_IO, "%s: cannot be written", path);
    free(values);
    free(points);
    return code;
}
