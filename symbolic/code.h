/* SPDX-License-Identifier: Apache-2.0 */
/* Programs from terms. */
#ifndef NORNI_CODE_H
#define NORNI_CODE_H
#include "symbolic/term.h"

/* The outputs of a graph as simplified terms. */
typedef struct {
    norni_terms c;
    size_t n;
    const norni_term **t;
    size_t first; /* which output of the graph t[0] is */
} norni_outputs;
norn_status norni_outputs_start(norni_outputs *o, const norn_graph *g);
void norni_outputs_end(norni_outputs *o);

norn_status norni_code_c(norni_str *out, norni_outputs *o, const norn_graph *g, const char *name);
norn_status norni_code_opencl(norni_str *out, norni_outputs *o, const norn_graph *g, const char *name);
/* As an SVG drawing. */
norn_status norni_drawing_print(const norn_graph *g, char **out);

#endif
