/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures of numbers as SVG. */
#include "chart.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ABOVE = 40, BELOW = 40, RIGHT = 24, LETTER = 7, LEVELS = 14 };

/* ---- Ticks: multiples of 1, 2 or 5 times a power of ten, as many as there is room for. */
typedef struct {
    int digit, power; /* digit * 10^power */
} step;

static double size_of(step s) {
    return s.digit * pow(10, s.power);
}
static step next_step(step s) {
    return s.digit == 1 ? (step){2, s.power} : s.digit == 2 ? (step){5, s.power} : (step){1, s.power + 1};
}

/* n * 10^power without zeros that say nothing. */
static void plain_text(long long n, int power, char *out, size_t room) {
    for (; power < 0 && n % 10 == 0; n /= 10)
        power++;
    if (power < 0)
        snprintf(out, room, "%.*f", -power, (double)n * pow(10, power));
    else
        snprintf(out, room, "%.0f", (double)n * pow(10, power));
}

static void short_text(long long n, int power, char *out, size_t room) {
    int digits = 0;
    for (; n && n % 10 == 0; n /= 10)
        power++;
    for (long long rest = llabs(n); rest >= 10; rest /= 10)
        digits++;
    if (n)
        snprintf(out, room, "%.*fe%d", digits, (double)n * pow(10, -digits), power + digits);
    else
        snprintf(out, room, "0");
}

static size_t longest(const chart_axis *a) {
    size_t most = 0;
    for (int i = 0; i < a->n; i++)
        most = strlen(a->text[i]) > most ? strlen(a->text[i]) : most;
    return most;
}

/* False: more ticks than there is room for. */
static bool place(chart_axis *a, step s) {
    double first = ceil(a->low / size_of(s) - 1e-9), last = floor(a->high / size_of(s) + 1e-9);
    if (last - first >= CHART_TICKS)
        return false;
    a->n = last >= first ? (int)(last - first) + 1 : 0;
    for (int style = 0; style < 2; style++) {
        char other[CHART_TICKS][32];
        size_t before = longest(a);
        memcpy(other, a->text, sizeof other);
        for (int i = 0; i < a->n; i++) {
            long long n = ((long long)first + i) * s.digit;
            a->at[i] = (double)n * pow(10, s.power);
            if (a->decades && fabs(a->at[i]) < 2)
                snprintf(a->text[i], sizeof a->text[i], a->at[i] < 0 ? "0.1" : a->at[i] > 0 ? "10" : "1");
            else if (a->decades)
                snprintf(a->text[i], sizeof a->text[i], "1e%.0f", a->at[i]);
            else
                (style ? short_text : plain_text)(n, s.power, a->text[i], sizeof a->text[i]);
        }
        if (style && longest(a) + 2 >= before) /* powers of ten are for what is long without */
            memcpy(a->text, other, sizeof other);
    }
    return true;
}

static void find_ticks(chart_axis *a, bool across) {
    step s = {1, (int)floor(log10((a->high - a->low) / 20))};
    if ((a->decades || a->whole) && s.power < 0)
        s = (step){1, 0};
    for (int tries = 0; tries < 64; tries++, s = next_step(s)) {
        if (!place(a, s))
            continue;
        double apart = size_of(s) / (a->high - a->low) * (across ? CHART_WIDE : CHART_HIGH),
               text = across ? LETTER * (double)(longest(a) + 2) : 36;
        if (apart >= text || a->n < 2)
            return;
    }
}

/* ---- Layout. */
FILE *chart_open(const char *path, int n, chart *charts) {
    FILE *o = fopen(path, "w");
    double width = 0;
    int height = ABOVE + CHART_HIGH + BELOW;
    for (int i = 0; i < n; i++) {
        find_ticks(&charts[i].x, true);
        find_ticks(&charts[i].y, false);
        charts[i].left = width + LETTER * (double)(longest(&charts[i].y) + 3);
        charts[i].top = ABOVE;
        width = charts[i].left + CHART_WIDE + RIGHT;
    }
    if (o)
        fprintf(
            o,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%d\" viewBox=\"0 0 %.0f %d\" "
            "font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"%.0f\" height=\"%d\" "
            "fill=\"#f8fafc\"/>\n",
            width, height, width, height, width, height);
    return o;
}

bool chart_close(FILE *o) {
    fprintf(o, "</svg>\n");
    bool written = !ferror(o);
    return fclose(o) == 0 && written;
}

double chart_x(const chart *c, double v) {
    return c->left + (v - c->x.low) / (c->x.high - c->x.low) * CHART_WIDE;
}
double chart_y(const chart *c, double v) {
    return c->top + CHART_HIGH - (v - c->y.low) / (c->y.high - c->y.low) * CHART_HIGH;
}
double chart_logarithm(double v) {
    return !isfinite(v) ? (double)NAN : v > 1e-16 ? log10(v) : -16;
}
double chart_node(const chart_axis *a, int i) {
    return a->low + (a->high - a->low) * i / CHART_GRID;
}

void chart_reach(chart_axis *a, double v) {
    if (isfinite(v)) {
        a->low = fmin(a->low, v);
        a->high = fmax(a->high, v);
    }
}

void chart_room(chart_axis *a) {
    if (!(a->low <= a->high))
        a->low = a->high = 0;
    if (a->decades) {
        a->low = floor(a->low);
        a->high = fmax(ceil(a->high), a->low + 1);
    } else {
        double d = fmax(a->high - a->low, 1e-3 * fmax(1, fabs(a->low))) * 0.25;
        a->low -= d;
        a->high += d;
    }
}

/* ---- Drawing. */
void chart_frame(FILE *o, const chart *c, const char *title) {
    double bottom = c->top + CHART_HIGH;
    fprintf(o,
            "<rect x=\"%.1f\" y=\"%.1f\" width=\"%d\" height=\"%d\" fill=\"none\" stroke=\"#334155\"/>\n"
            "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%s</text>\n",
            c->left, c->top, CHART_WIDE, CHART_HIGH, c->left + CHART_WIDE / 2.0, c->top - 12, title);
    for (int i = 0; i < c->x.n; i++) {
        double x = chart_x(c, c->x.at[i]);
        fprintf(o,
                "<path stroke=\"#334155\" d=\"M%.1f %.1fv4\"/><text x=\"%.1f\" y=\"%.1f\" "
                "text-anchor=\"middle\">%s</text>\n",
                x, bottom, x, bottom + 18, c->x.text[i]);
    }
    for (int i = 0; i < c->y.n; i++) {
        double y = chart_y(c, c->y.at[i]);
        fprintf(o,
                "<path stroke=\"#334155\" d=\"M%.1f %.1fh-4\"/><text x=\"%.1f\" y=\"%.1f\" "
                "text-anchor=\"end\">%s</text>\n",
                c->left, y, c->left - 7, y + 4, c->y.text[i]);
    }
}

static bool drawn(const chart_point p) {
    return isfinite(p[0]) && isfinite(p[1]);
}

void chart_line(FILE *o, const chart *c, const char *color, size_t n, const chart_point *points) {
    bool open = false;
    fprintf(o, "<path fill=\"none\" stroke=\"%s\" stroke-width=\"1.5\" d=\"", color);
    for (size_t i = 0; i < n; i++) {
        if (drawn(points[i]))
            fprintf(o, "%c%.1f %.1f", open ? 'L' : 'M', chart_x(c, points[i][0]), chart_y(c, points[i][1]));
        open = drawn(points[i]);
    }
    fprintf(o, "\"/>\n");
}

void chart_path(FILE *o, const chart *c, size_t n, const chart_point *points) {
    chart_line(o, c, "#2563eb", n, points);
    for (size_t i = 0; i < n; i++)
        if (drawn(points[i]))
            fprintf(o, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%s\" fill=\"%s\"/>\n", chart_x(c, points[i][0]),
                    chart_y(c, points[i][1]), i + 1 == n ? "5" : "2.5", i + 1 == n ? "#dc2626" : "#2563eb");
}

/* Marching squares: where the level crosses the edges of a cell. */
static void contour(FILE *o, const chart *c, const double *v, double level) {
    enum { GRID = CHART_GRID };
    fprintf(o, "<path fill=\"none\" stroke=\"#94a3b8\" d=\"");
    for (int i = 0; i < GRID; i++)
        for (int k = 0; k < GRID; k++) {
            const int corner[5][2] = {{0, 0}, {0, 1}, {1, 1}, {1, 0}, {0, 0}};
            double p[4][2];
            int n = 0;
            for (int e = 0; e < 4; e++) {
                double a = v[(i + corner[e][0]) * (GRID + 1) + k + corner[e][1]],
                       b = v[(i + corner[e + 1][0]) * (GRID + 1) + k + corner[e + 1][1]];
                if (!isfinite(a) || !isfinite(b) || (a < level) == (b < level))
                    continue;
                double t = (level - a) / (b - a);
                p[n][0] = k + corner[e][1] + t * (corner[e + 1][1] - corner[e][1]);
                p[n++][1] = i + corner[e][0] + t * (corner[e + 1][0] - corner[e][0]);
            }
            for (int e = 0; e + 1 < n; e += 2)
                fprintf(o, "M%.1f %.1fL%.1f %.1f", c->left + p[e][0] * CHART_WIDE / GRID,
                        c->top + CHART_HIGH - p[e][1] * CHART_HIGH / GRID,
                        c->left + p[e + 1][0] * CHART_WIDE / GRID,
                        c->top + CHART_HIGH - p[e + 1][1] * CHART_HIGH / GRID);
        }
    fprintf(o, "\"/>\n");
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

void chart_contours(FILE *o, const chart *c, const double *values) {
    enum { NODES = (CHART_GRID + 1) * (CHART_GRID + 1) };
    double sorted[NODES];
    int count = 0;
    for (int i = 0; i < NODES; i++)
        if (isfinite(values[i]))
            sorted[count++] = values[i];
    qsort(sorted, (size_t)count, sizeof *sorted, ascending);
    for (int i = 1; i <= LEVELS && count; i++) { /* at quantiles, closer together below */
        double q = (double)i / (LEVELS + 1);
        contour(o, c, values, sorted[(int)(q * q * (count - 1))]);
    }
}
