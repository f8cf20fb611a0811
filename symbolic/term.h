/* SPDX-License-Identifier: Apache-2.0 */
/* Terms: formulas in normal form, over scalars, vectors and matrices alike. Equal terms are one object, so that == is
 * equality and what is shared is seen. Sums collect like terms with their coefficients, products collect powers of one base;
 * rewriting keeps the value wherever the original has one.
 *
 * Element by element terms broadcast as operators of graphs do. Types (and sizes) are those of the graph that the terms came
 * from, which must outlive them. */
#ifndef NORNI_TERM_H
#define NORNI_TERM_H
#include "base/expr.h"
#include "ops/ir.h"
#include "symbolic/number.h"

typedef enum {
    NORNI_NUM,    /* num */
    NORNI_PI,     /* 3.14159... */
    NORNI_E,      /* 2.71828..., the base of exp */
    NORNI_VAR,    /* an input of the graph, or what it does not look into */
    NORNI_DATA,   /* a constant tensor */
    NORNI_ADD,    /* num + sum of coef[i] a[i] */
    NORNI_MUL,    /* num * product of a[i] ** b[i], where a is a[0 .. n/2 - 1] and b the other half */
    NORNI_POW,    /* a[0] ** a[1] */
    NORNI_FN,     /* fn(a...): functions, comparisons, where */
    NORNI_RED,    /* a[0] reduced over the axes ints, ints[0] is keepdims; fn says by what */
    NORNI_PROD2,  /* a[0] @ a[1] */
    NORNI_PERM,   /* a[0] transposed by ints */
    NORNI_SHAPED, /* a[0] in the shape of the type */
    NORNI_SPREAD, /* a[0] broadcast to the type */
    NORNI_PART,   /* a[0] from ints[0] by step ints[1], ... for each axis */
    NORNI_PADDED, /* a[0] with ints zeros before and after each axis, as in Pad */
    NORNI_JOINED, /* the a put together along axis ints[0] */
    NORNI_LIST,   /* a tensor made of the scalars a, in row-major order */
    NORNI_OTHER   /* output ints[0] of the operator that the node `node` has, of the a */
} norni_term_kind;

/* What norni_expr_op has no name for. */
enum {
    NORNI_F_SOFTPLUS = NORNI_E_COUNT,
    NORNI_F_GUARD, /* a where that only guards a product with 0 from being NaN (norn_node.guard) */
    NORNI_R_SUM,
    NORNI_R_MEAN,
    NORNI_R_PROD,
    NORNI_R_MAX,
    NORNI_R_MIN,
    NORNI_R_LSE,
    NORNI_R_NORM,
    NORNI_R_NORM1
};

typedef struct norni_term {
    norni_term_kind kind;
    int id; /* in order of making: parts are older than what is made of them */
    int fn;
    norni_num num;
    norni_type type;
    norn_value *value; /* NORNI_VAR, NORNI_DATA */
    const norn_node *node;
    int n, n_ints;
    const struct norni_term **a;
    const norni_num *coef; /* NORNI_ADD */
    const int64_t *ints;
    uint64_t hash;
    double count; /* operators, as a tree */
    /* The shortest form of a sum that was found, at that depth of simplification; NULL: not looked for yet. */
    const struct norni_term *brief;
    int brief_depth;
} norni_term;

typedef struct {
    norni_arena *arena;
    norn_graph *g;    /* whose values and sizes the terms speak of */
    norn_dtype dtype; /* of numbers */
    bool guards;      /* keep what only guards a product with 0 from being NaN (norn_node.guard) */
    norni_term **slots;
    size_t n, cap;
    norn_status status;
    const norni_term *zero, *one, *minus_one;
    int depth;     /* of simplification at work */
    int64_t tries; /* sums that it has looked at */
} norni_terms;

norn_status norni_terms_start(norni_terms *c, norn_graph *g, norn_dtype dtype);
void norni_terms_end(norni_terms *c);

/* ---- Making. A NULL argument gives NULL; the context keeps the first failure. */
const norni_term *norni_t_num(norni_terms *c, norni_num v);
const norni_term *norni_t_int(norni_terms *c, int64_t v);
const norni_term *norni_t_bool(norni_terms *c, bool v);
const norni_term *norni_t_value(norni_terms *c,
                                norn_value *v); /* NORNI_VAR; of constants numbers and lists */
const norni_term *norni_t_add(norni_terms *c, int n, const norni_num *coef, const norni_term *const *a);
const norni_term *norni_t_mul(norni_terms *c, norni_num k, int n, const norni_term *const *a,
                              const norni_term *const *power); /* power NULL: all 1 */
const norni_term *norni_t_pow(norni_terms *c, const norni_term *a, const norni_term *b);
const norni_term *norni_t_fn(norni_terms *c, int fn, const norni_term *a, const norni_term *b,
                             const norni_term *d);
const norni_term *norni_t_reduce(norni_terms *c, int fn, const norni_term *a, int n, const int64_t *axes,
                                 bool keep);
const norni_term *norni_t_matmul(norni_terms *c, const norni_term *a, const norni_term *b);
const norni_term *norni_t_perm(norni_terms *c, const norni_term *a, const int64_t *perm);
const norni_term *norni_t_shaped(norni_terms *c, const norni_term *a, const norni_type *type);
const norni_term *norni_t_spread(norni_terms *c, const norni_term *a, const norni_type *type);
/* type: of the result, whose sizes say how far the part goes. */
bool norni_t_static(const norni_type *t);              /* all sizes are numbers */
const norni_term *norni_t_filled(const norni_term *t); /* the scalar that fills a term, or NULL */
const norni_term *norni_t_part(norni_terms *c, const norni_term *a, const int64_t *ints,
                               const norni_type *type);
const norni_term *norni_t_padded(norni_terms *c, const norni_term *a, const int64_t *pads,
                                 const norni_type *type);
const norni_term *norni_t_joined(norni_terms *c, int n, const norni_term *const *a, int axis,
                                 const norni_type *type);
const norni_term *norni_t_list(norni_terms *c, int n, const norni_term *const *a, const norni_type *type);
const norni_term *norni_t_other(norni_terms *c, const norn_node *node, int n, const norni_term *const *a,
                                int output, const norni_type *type);
/* The same operator on other arguments. */
const norni_term *norni_t_again(norni_terms *c, const norni_term *t, const norni_term *const *a);

/* Shorthand. */
const norni_term *norni_t_sum2(norni_terms *c, const norni_term *a, const norni_term *b);
const norni_term *norni_t_times(norni_terms *c, const norni_term *a, const norni_term *b);
const norni_term *norni_t_scaled(norni_terms *c, norni_num k, const norni_term *a);
/* The numeric factor of a term, and the rest. */
norni_num norni_t_split(norni_terms *c, const norni_term *t, const norni_term **rest);
bool norni_t_is(const norni_term *t, int64_t v); /* a number with this value */
bool norni_t_scalar(const norni_term *t);

/* ---- Within symbolic/: the table of terms (table.c). */
const norni_term *norni_t_intern(norni_terms *c, const norni_term *like);
void *norni_t_failed(norni_terms *c, norn_status s);
bool norni_t_broadcast(norni_terms *c, int n, const norni_term *const *a, norni_type *out);
/* Arguments without their broadcasts, and the type that they have together: what is made of them is spread to it. out may
 * be in. */
bool norni_t_strip(norni_terms *c, int n, const norni_term *const *in, const norni_term **out,
                   norni_type *type);

/* ---- Simplification beyond the normal form (simplify.c): common factors, expansion where that is shorter. */
const norni_term *norni_t_simplify(norni_terms *c, const norni_term *t);

/* ---- From and to graphs. */
norn_status norni_terms_from(norni_terms *c, size_t n, norn_value *const *values, const norni_term **out);
/* The terms as outputs of a new graph with the inputs of the old one, in the types that its first n outputs have. */
norn_status norni_terms_to_graph(norni_terms *c, size_t n, const norni_term *const *t,
                                 const char *const *names, norn_graph **out);

#endif
