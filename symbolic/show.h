/* SPDX-License-Identifier: Apache-2.0 */
/* A term as a person would write it: sums with minus signs, quotients, roots, indices. What the printers of text, LaTeX,
 * Python and C have in common. */
#ifndef NORNI_SHOW_H
#define NORNI_SHOW_H
#include "symbolic/term.h"

typedef enum {
    NORNI_W_NUMBER, /* num, never negative; whole, decimal, or inexact */
    NORNI_W_NAME,   /* text: variables, shared parts, pi */
    NORNI_W_NEG,
    NORNI_W_ADD,
    NORNI_W_SUB,
    NORNI_W_MUL,
    NORNI_W_DIV,
    NORNI_W_POW,
    NORNI_W_CALL, /* text(a...) */
    NORNI_W_COMPARE,
    NORNI_W_AND,
    NORNI_W_OR,
    NORNI_W_NOT,
    NORNI_W_WHERE,
    NORNI_W_MATMUL,
    NORNI_W_SWAP,  /* a[0] transposed */
    NORNI_W_LIST,  /* [a...] */
    NORNI_W_INDEX, /* a[0][text] */
    NORNI_W_NAMED, /* text=a[0] */
    NORNI_W_TEXT   /* text as it stands: true, false */
} norni_show_kind;

typedef struct norni_show {
    norni_show_kind kind;
    const char *text;
    norni_num num;
    int fn; /* NORNI_W_COMPARE: NORNI_E_LT ...; NORNI_W_CALL: that of the term, or 0 */
    int n;
    const struct norni_show **a;
    const norni_term *term; /* NORNI_W_CALL of a reduction: the term */
} norni_show;

typedef struct {
    norni_terms *c;
    const char **names; /* by id: parts that have a name of their own; NULL: none */
    size_t n_names;
    /* For programs: the text of what is no plain formula of its parts (an element of an array, say); NULL: go on. */
    const char *(*leaf)(void *ctx, const norni_term *t);
    void *ctx;
} norni_shower;

/* NULL after a failure; the status is that of the terms. */
const norni_show *norni_show_term(norni_shower *s, const norni_term *t);
/* How strongly the outermost operator binds, from 1 (or) to 10 (atoms and calls). */
int norni_show_strength(const norni_show *w);

/* Parts to be named, in an order in which they can be computed: those that occur more than once and have at least `least`
 * operators. names[id] is set to "t1", ...; how many is the result, -1 after a failure. */
int norni_show_shared(norni_terms *c, size_t n, const norni_term *const *t, double least,
                      const norni_term ***order, const char **names);

typedef enum { NORNI_TEXT, NORNI_LATEX, NORNI_PYTHON } norni_style;
void norni_show_print(norni_str *out, const norni_show *w, norni_style style);
void norni_show_number(norni_str *out, norni_num v);

#endif
