/* SPDX-License-Identifier: Apache-2.0 */
/* The grammar of formulas (docs/formula.md), parsed into a tree that knows where in the text everything stands. What the
 * names mean is decided later: base/expr.c makes formulas over scalars of it, symbolic/formula.c graphs.
 *
 *   program   = { statement ";" } or [ ";" ]
 *   statement = "let" name "=" or | name ":" type { "," name [ ":" type ] }
 *   type      = name [ "[" [ size { "," size } ] "]" ] ;  size = number | name
 *   or        = and { "or" and } ;  and = not { "and" not } ;  not = "not" not | compare
 *   compare   = sum [ ("<" | "<=" | ">" | ">=" | "==" | "!=") sum ]
 *   sum       = term { ("+" | "-") term } ;  term = unary { ("*" | "/" | "@") unary }
 *   unary     = "-" unary | power ;  power = postfix [ "**" unary ]
 *   postfix   = atom { "[" index { "," index } "]" | ".T" } ;  index = or | [ or ] ":" [ or ] [ ":" [ or ] ]
 *   atom      = number | name | name "(" [ argument { "," argument } ] ")" | "(" or ")" | "[" [ or { "," or } ] "]"
 *   argument  = or | name "=" or
 */
#ifndef NORNI_SYNTAX_H
#define NORNI_SYNTAX_H
#include "base/expr.h"

typedef enum {
    NORNI_S_NUMBER,
    NORNI_S_NAME,
    NORNI_S_CALL,   /* name(a[0], ...) */
    NORNI_S_NAMED,  /* name=a[0], an argument of a call */
    NORNI_S_OP,     /* an operator of norni_expr_op that is written with a sign or word */
    NORNI_S_MATMUL, /* a[0] @ a[1] */
    NORNI_S_SWAP,   /* a[0].T */
    NORNI_S_LIST,   /* [a[0], ...] */
    NORNI_S_INDEX,  /* a[0][a[1], ...] */
    NORNI_S_RANGE   /* a[0]:a[1]:a[2], entries NULL where nothing stands */
} norni_syntax_kind;

typedef struct norni_syntax {
    norni_syntax_kind kind;
    const char *at, *end; /* where it begins; of calls, lists and indices: the closing bracket */
    size_t len;           /* names: length at `at` */
    norni_expr_op op;     /* NORNI_S_OP */
    double value;         /* NORNI_S_NUMBER */
    bool integer;         /* NORNI_S_NUMBER: written without point or exponent */
    int n;
    const struct norni_syntax **a;
} norni_syntax;

/* "let name = value", or "name: type": then value is NULL. type NULL: a number. */
typedef struct {
    const char *at;
    size_t len;
    const norni_syntax *value;
    const char *type;
    size_t type_len;
} norni_statement;

typedef struct {
    const char *text;
    int n;
    const norni_statement *statements;
    const norni_syntax *body;
} norni_program;

norn_status norni_program_parse(norni_arena *arena, const char *text, norni_program *out);
/* "formula 'TEXT': column 3: got 'x' (wanted ...)"; the column can be asked for afterwards. */
norn_status norni_syntax_fail(const char *text, const char *at, const char *fmt, ...) NORNI_PRINTF(3, 4);
/* The column (from 1) of the last such failure in this thread. */
int norni_syntax_column(void);
bool norni_syntax_is(const norni_syntax *s, const char *name);

#endif
