/* SPDX-License-Identifier: Apache-2.0 */
/* Formulas on the command line: parsing with a caret, points, values as text. */
#ifndef NORN_TOOLS_FORMULA_H
#define NORN_TOOLS_FORMULA_H
#include <norn.h>

/* Parses; what does not fit is shown with a caret below it. Returns the exit code. */
int formula_open(const char *text, norn_dtype dtype, norn_graph **out);

/* Values of variables: "x=4,y=[1, pi/2]". */
typedef struct {
    const char *option; /* that they come from, as "--at" */
    size_t n;
    char **names;
    norn_tensor **values; /* double */
} point;
/* Adds what the text says; a name that was given before is an error. */
int point_parse(const char *text, point *out);
void point_free(point *p);
const norn_tensor *point_find(const point *p, const char *name);
/* Feeds for the inputs of a graph, in its types; a number fills a vector whose size is known. All inputs must be given. feeds has
 * room for all of them; the tensors are the caller's (point_feeds_free). */
int point_feeds(const point *p, const norn_graph *g, norn_feed *feeds, size_t *n);
void point_feeds_free(norn_feed *feeds, size_t n);

/* Runs a graph and gives all its outputs, in host memory. */
norn_status formula_run(norn_session *s, const norn_graph *g, size_t n, const norn_feed *feeds,
                        norn_tensor **out);
/* Runs an executable of g, whose inputs are those of `known` with their names; the outputs one after the other as doubles, newly
 * allocated, *count of them. */
norn_status formula_flat(norn_executable *e, const norn_graph *g, size_t n, const norn_feed *known,
                         double **out, size_t *count);
/* "8", "[1, 2.5]": the shortest text that reads back as the same numbers. */
void print_value(const norn_tensor *t);

#endif
