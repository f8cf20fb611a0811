/* SPDX-License-Identifier: Apache-2.0 */
/* Formulas as graphs. */
#ifndef NORNI_FORMULA_H
#define NORNI_FORMULA_H
#include "base/syntax.h"
#include "ops/ir.h"

/* Where a formula becomes a graph: names, what they stand for, and the type of numbers. */
typedef struct {
    norn_graph *g;
    norni_arena *arena;
    const norni_program *program;
    norn_dtype dtype; /* of variables without a declared type, and of numbers */
    norn_value **lets;
    int n_lets;
    const char *const
        *given; /* names that stand for values of the graph: then there are no others; NULL: none */
    norn_value *const *values;
    size_t n_given;
    norn_status status;
} norni_formula_maker;

/* A formula over n named values of g, as ordinary operators; NULL after a failure, which the graph keeps. dtype: of numbers that
 * meet no value. */
norn_value *norni_formula_of(norn_graph *g, const char *text, norn_dtype dtype, size_t n,
                             const char *const *names, norn_value *const *values);
/* The element type that "f64" or "double" names; NORN_UNDEFINED: none. */
norn_dtype norni_formula_dtype(const char *name, size_t n);
/* True for what a formula may call. */
bool norni_formula_calls(const char *name);

/* One value of the tree; NULL after a failure, with status set. */
norn_value *norni_make_value(norni_formula_maker *m, const norni_syntax *s);
/* A call (symbolic/functions.c). */
norn_value *norni_make_call(norni_formula_maker *m, const norni_syntax *s);
/* Fails at a place of the text; always NULL. */
void *norni_make_fail(norni_formula_maker *m, const char *at, const char *fmt, ...) NORNI_PRINTF(3, 4);
/* v, or a failure at `at` when the graph could not make it: the message of the operator behind the column. */
norn_value *norni_made(norni_formula_maker *m, const char *at, norn_value *v);
/* A number made of numbers in the text: it takes the type of what it meets. */
bool norni_formula_literal(const norn_value *v, double *x);
/* Brought to one element type: n values; false after a failure. */
bool norni_make_alike(norni_formula_maker *m, const char *at, int n, norn_value **v);
/* A condition of any value: itself, or "is not 0". */
norn_value *norni_make_condition(norni_formula_maker *m, norn_value *v);
/* As a floating-point value. */
norn_value *norni_make_real(norni_formula_maker *m, norn_value *v);
/* A whole number, or a list of them; false after a failure. */
bool norni_make_int(norni_formula_maker *m, const norni_syntax *s, int64_t *out);
bool norni_make_ints(norni_formula_maker *m, const norni_syntax *s, int max, int64_t *out, int *n);

#endif
