/* SPDX-License-Identifier: Apache-2.0 */
/* Formulas over scalars: one grammar for the pointwise operators' definitions, for formulas a user writes and
 * for user-defined operators; one parser, one evaluator, one printer with several back ends.
 *
 * The grammar is that of base/syntax.h and docs/formula.md. A formula over scalars has "let" statements and pointwise functions,
 * no declarations, products of matrices, reductions, lists or indices.
 *
 * Numbers without point or exponent are integers and take the type of what they meet. Meaning: division of
 * integers truncates (x / 0 is 0), max and min pass NaN on, round goes to even, mod has the sign of the
 * divisor and fmod that of the dividend, where(c, a, b) is a where c holds, comparisons with NaN are false
 * but for !=. */
#ifndef NORNI_EXPR_H
#define NORNI_EXPR_H
#include "base/arena.h"
#include "base/dtype.h"
#include "base/str.h"

/* OP(identifier, name in formulas, arity). The order is that of the table in expr.c. (clang-format would step the
 * list to the right.) */
/* clang-format off */
#define NORNI_EXPR_OPS(OP) \
    OP(NEG, "neg", 1) OP(NOT, "not", 1) OP(ADD, "+", 2) OP(SUB, "-", 2) OP(MUL, "*", 2) OP(DIV, "/", 2) \
    OP(POW, "pow", 2) OP(LT, "<", 2) OP(LE, "<=", 2) OP(GT, ">", 2) OP(GE, ">=", 2) OP(EQ, "==", 2) \
    OP(NE, "!=", 2) OP(AND, "and", 2) OP(OR, "or", 2) OP(WHERE, "where", 3) OP(MAX, "max", 2) \
    OP(MIN, "min", 2) OP(MOD, "mod", 2) OP(FMOD, "fmod", 2) OP(ATAN2, "atan2", 2) OP(ABS, "abs", 1) \
    OP(SIGN, "sign", 1) OP(FLOOR, "floor", 1) OP(CEIL, "ceil", 1) OP(ROUND, "round", 1) \
    OP(TRUNC, "trunc", 1) OP(SQRT, "sqrt", 1) OP(RSQRT, "rsqrt", 1) OP(EXP, "exp", 1) \
    OP(EXPM1, "expm1", 1) OP(LOG, "log", 1) OP(LOG1P, "log1p", 1) OP(SIN, "sin", 1) OP(COS, "cos", 1) \
    OP(TAN, "tan", 1) OP(ASIN, "asin", 1) OP(ACOS, "acos", 1) OP(ATAN, "atan", 1) OP(SINH, "sinh", 1) \
    OP(COSH, "cosh", 1) OP(TANH, "tanh", 1) OP(ASINH, "asinh", 1) OP(ACOSH, "acosh", 1) \
    OP(ATANH, "atanh", 1) OP(ERF, "erf", 1) OP(SIGMOID, "sigmoid", 1) OP(ISNAN, "isnan", 1) \
    OP(ISINF, "isinf", 1) OP(BITAND, "bitand", 2) OP(BITOR, "bitor", 2) OP(BITXOR, "bitxor", 2) \
    OP(BITNOT, "bitnot", 1) OP(SHL, "shl", 2) OP(SHR, "shr", 2)
/* clang-format on */

typedef enum {
    NORNI_E_CONST,
    NORNI_E_VAR,
#define NORNI_EXPR_ENUM(id, name, arity) NORNI_E_##id,
    NORNI_EXPR_OPS(NORNI_EXPR_ENUM)
#undef NORNI_EXPR_ENUM
        NORNI_E_COUNT
} norni_expr_op;

typedef struct norni_expr {
    norni_expr_op op;
    int var;      /* NORNI_E_VAR: index into the list of names */
    double value; /* NORNI_E_CONST */
    bool integer; /* NORNI_E_CONST: was written without point or exponent */
    const struct norni_expr *a[3];
} norni_expr;

/* Parses a formula over the n named variables. An error names the column and the text there. */
norn_status norni_expr_parse(norni_arena *arena, const char *text, int n, const char *const *names,
                             const norni_expr **out);
const norni_expr *norni_expr_const(norni_arena *arena, double v);
/* The formula with variable i replaced by with[i] where that is not NULL. */
const norni_expr *norni_expr_replace(norni_arena *arena, const norni_expr *e, const norni_expr *const *with);
int norni_expr_arity(norni_expr_op op);
/* "+", "sqrt". */
const char *norni_expr_op_name(norni_expr_op op);
/* The operator that is called by this name; -1: none. */
int norni_expr_op_named(const char *name, size_t len);
/* As text that parses back to the same formula. */
void norni_expr_print(norni_str *out, const norni_expr *e, const char *const *names);
/* Number of operators: the cost of one evaluation. */
int norni_expr_count(const norni_expr *e);

/* A value while a formula is evaluated on the host: doubles, or 64-bit integers. */
typedef struct {
    norni_class cls;
    double d;  /* NORNI_CLASS_FLOAT */
    int64_t i; /* the others; the bits of a uint64_t for NORNI_CLASS_UINT */
} norni_scalar;
norni_scalar norni_expr_eval(const norni_expr *e, const norni_scalar *vars);
norni_scalar norni_scalar_get(norn_dtype t, const void *data, int64_t i);
void norni_scalar_set(norn_dtype t, void *data, int64_t i, norni_scalar v);

/* OpenCL C for vectors of `width` elements (1, 2, 4, 8, 16) of compute types: the type a formula is evaluated
 * in is float for 16-bit floats, itself for the others. */
typedef struct {
    const char *name; /* an expression in OpenCL C, of the compute type */
    norn_dtype dtype;
} norni_expr_var;
/* Prints `e` converted to the compute type of `want`. The helper functions it may call are those of
 * ops/prelude.cl. */
void norni_expr_print_cl(norni_str *out, const norni_expr *e, const norni_expr_var *vars, norn_dtype want,
                         int width);
/* False when a formula on these types must be evaluated one element at a time (division of integers, for
 * example). */
bool norni_expr_vectorises(const norni_expr *e, const norni_expr_var *vars);
/* The type a device computes in for elements stored as t. */
norn_dtype norni_compute_dtype(norn_dtype t);
size_t norni_compute_bytes(norn_dtype t); /* of an element of it */
/* "float16": the OpenCL C name of a compute type at a width. */
const char *norni_cl_type(norn_dtype compute, int width, char buf[24]);

#endif
