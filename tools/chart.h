/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures of numbers as SVG: frames with two axes, side by side, in which lines, contours and paths are drawn. */
#ifndef NORN_TOOLS_CHART_H
#define NORN_TOOLS_CHART_H
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { CHART_WIDE = 420, CHART_HIGH = 320, CHART_TICKS = 16, CHART_GRID = 48 };

typedef struct {
    double low, high;
    bool decades; /* low and high are logarithms to base 10 */
    bool whole;   /* numbers between whole ones have no meaning */
    int n;        /* the rest is chart_open's: ticks, and what stands there */
    double at[CHART_TICKS];
    char text[CHART_TICKS][32];
} chart_axis;

typedef struct {
    chart_axis x, y;
    double left, top; /* chart_open's: the upper left corner in the picture */
} chart;

/* A point that is not drawn has a NaN. */
typedef double chart_point[2];

/* The file, with the beginning of a picture of n charts; NULL: it cannot be written. chart_close: false where that failed. */
FILE *chart_open(const char *path, int n, chart *charts);
bool chart_close(FILE *o);

/* From numbers to the picture. */
double chart_x(const chart *c, double v);
double chart_y(const chart *c, double v);
/* The logarithm to base 10 for an axis of decades: of less than 1e-16 as of that, and NaN of what is not finite. */
double chart_logarithm(double v);

/* Widens [low, high] so that v is in it; what is not finite changes nothing. */
void chart_reach(chart_axis *a, double v);
/* An axis that reached numbers, or none, with room around them. */
void chart_room(chart_axis *a);

void chart_frame(FILE *o, const chart *c, const char *title);
void chart_line(FILE *o, const chart *c, const char *color, size_t n, const chart_point *points);
/* A line with a dot for each point, the last of another colour. */
void chart_path(FILE *o, const chart *c, size_t n, const chart_point *points);
/* Contours of values at the nodes of a grid over the frame, [CHART_GRID + 1][CHART_GRID + 1], from below. */
void chart_contours(FILE *o, const chart *c, const double *values);
/* The number at node i of an axis. */
double chart_node(const chart_axis *a, int i);

#endif
