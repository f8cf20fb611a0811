/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the textual form: tokens, numbers, types, elements. Errors name the column and what stands there.
 */
#ifndef NORNI_READER_H
#define NORNI_READER_H
#include "ops/attr.h"

typedef struct {
    const char *text, *at; /* terminated */
    norni_arena *arena;    /* for strings */
} norni_reader;

norn_status norni_read_expected(const norni_reader *r, const char *wanted);
void norni_read_spaces(norni_reader *r); /* and comments, from '#' to the end of the line */
/* Takes c, after white space, if it comes next. */
bool norni_read_take(norni_reader *r, char c);
/* A word of letters, digits and '_'; returns its length, 0 if there is none. */
size_t norni_read_word(norni_reader *r, const char **start);
norn_status norni_read_quoted(norni_reader *r, const char **out);
/* integer: written without point or exponent; then also exact in *i. */
norn_status norni_read_number(norni_reader *r, bool *integer, int64_t *i, double *d);
/* "float[N,3]"; names of sizes need a graph. */
norn_status norni_read_type(norni_reader *r, norn_graph *g, norni_type *t);
/* The elements of a tensor of type t after '{', up to and with '}'. */
norn_status norni_read_elems(norni_reader *r, const norni_type *t, norn_tensor **out);
/* "<name=value, ...>", if there; then checks that no required attribute is missing. */
norn_status norni_read_attributes(norni_reader *r, const norn_op *op, void *attrs);
void norni_print_elems(norni_str *out, const norn_tensor *t);

#endif
