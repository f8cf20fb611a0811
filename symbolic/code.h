/* SPDX-License-Identifier: Apache-2.0 */
/* Programs from terms. */
#ifndef NORNI_CODE_H
#define NORNI_CODE_H
#include "symbolic/show.h"

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
/* Inputs and outputs of g get names that a program in this style can have; fails where the function's is none. */
norn_status norni_program_names(norn_graph *g, norn_print_style style, const char *function);
/* As an SVG drawing. */
norn_status norni_drawing_print(const norn_graph *g, char **out);

/* ---- Between code.c (expressions and loops) and programs.c (functions and kernels). */
typedef struct {
    norni_outputs *o;
    const norn_graph *g;
    const char *name, *type, *suffix; /* "f", "double", "" */
    bool cl;
    const char **local; /* by id: the variable, array or function that has a term */
    size_t n_local;
    bool by_value; /* OpenCL: scalars are arguments, not elements of arrays */
    unsigned helpers;
    int loops;
} norni_coder;

norn_status norni_coder_refuse(norni_coder *k, const char *what);
/* The text, kept with the terms; frees s. */
char *norni_coder_keep(norni_coder *k, norni_str *s);
bool norni_coder_pointwise(const norni_term *t);
void norni_coder_literal(norni_coder *k, norni_str *out, norni_num v);
/* One element of a term as an expression. at: an index for each of `rank` axes, of which t's are the last. */
const char *norni_coder_element(norni_coder *k, const norni_term *t, int rank, const char *const *at);
const char *norni_coder_index(norni_coder *k, const norni_type *t, const char *const *at);
/* "(a + 3)", "(a * 3)". */
const char *norni_coder_shift(norni_coder *k, const char *a, const char *op, int64_t b);
void norni_coder_indent(norni_str *out, int depth);
/* Loops over the axes that `which` wants; the names of the indices go to at. The result is the depth within. */
int norni_coder_open(norni_coder *k, norni_str *out, int depth, const norni_type *t, const bool *which,
                     const char **at);
void norni_coder_close(norni_str *out, int depth, int to);
/* Terms that are computed before what reads them. */
bool norni_coder_has_own(const norni_term *t);
/* Statements that compute an element, and the expression that has it then. */
const char *norni_coder_compute(norni_coder *k, norni_str *out, int depth, const norni_term *t,
                                const char *const *at);
/* Terms that read a whole row or matrix for each element: running sums and products, determinants, cofactors (code_whole.c). */
bool norni_coder_is_whole(const norni_term *t);
void norni_coder_whole(norni_coder *k, norni_str *out, int depth, const norni_term *t, const char *const *at,
                       const char *acc);
enum { NORNI_HELPER_DET = 31 }; /* bit of norni_coder.helpers */
void norni_coder_det(norni_coder *k, norni_str *out);
/* The functions that were used, as static functions of the program. */
void norni_coder_helpers(norni_coder *k, norni_str *out);

#endif
