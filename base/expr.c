/* SPDX-License-Identifier: Apache-2.0 */
/* Formulas: syntax tree, parser, text. */
#include "base/expr.h"
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    int arity;
} ops[NORNI_E_COUNT] = {
#define ROW(id, op_name, op_arity) [NORNI_E_##id] = {op_name, op_arity},
    NORNI_EXPR_OPS(ROW)
#undef ROW
};

/* Nesting is bounded so that a hostile formula cannot exhaust the stack of the recursive walks. */
enum { MAX_DEPTH = 200 };

typedef struct {
    norni_arena *arena;
    const char *text, *at;
    int n, depth;
    const char *const *names;
    norn_status status;
} parser;

int norni_expr_arity(norni_expr_op op) {
    return ops[op].arity;
}

static const norni_expr *fail(parser *p, const char *wanted) {
    if (p->status == NORN_OK)
        p->status = norni_fail(NORN_PARSE, "formula '%s': column %d: got '%.12s' (wanted %s)", p->text,
                               (int)(p->at - p->text) + 1, p->at, wanted);
    return NULL;
}

static void spaces(parser *p) {
    while (isspace((unsigned char)*p->at))
        p->at++;
}

static bool take(parser *p, const char *token) {
    spaces(p);
    size_t n = strlen(token);
    if (strncmp(p->at, token, n))
        return false;
    if (isalpha((unsigned char)token[0]) && (isalnum((unsigned char)p->at[n]) || p->at[n] == '_'))
        return false;
    p->at += n;
    return true;
}

static const norni_expr *node(parser *p, norni_expr_op op, const norni_expr *a, const norni_expr *b,
                              const norni_expr *c) {
    if (p->status != NORN_OK)
        return NULL;
    norni_expr *e = norni_arena_alloc(p->arena, sizeof *e);
    if (!e) {
        p->status = norni_nomem();
        return NULL;
    }
    *e = (norni_expr){.op = op, .a = {a, b, c}};
    return e;
}

const norni_expr *norni_expr_const(norni_arena *arena, double v) {
    norni_expr *e = norni_arena_alloc(arena, sizeof *e);
    if (e)
        *e = (norni_expr){.op = NORNI_E_CONST, .value = v, .integer = v == floor(v) && fabs(v) < 1e15};
    return e;
}

static const norni_expr *parse_or(parser *p);
static const norni_expr *parse_unary(parser *p);

static const norni_expr *parse_call(parser *p, const char *name, size_t len) {
    for (int op = 0; op < NORNI_E_COUNT; op++) {
        if (!ops[op].name || !isalpha((unsigned char)ops[op].name[0]) || strlen(ops[op].name) != len ||
            memcmp(ops[op].name, name, len))
            continue;
        const norni_expr *a[3] = {0};
        for (int i = 0; i < ops[op].arity; i++) {
            if (i && !take(p, ","))
                return fail(p, "','");
            a[i] = parse_or(p);
        }
        if (!take(p, ")"))
            return fail(p, "')'");
        return node(p, (norni_expr_op)op, a[0], a[1], a[2]);
    }
    p->at = name;
    return fail(p, "a known function");
}

static const norni_expr *parse_number(parser *p) {
    char *end;
    double v = norni_strtod(p->at, &end);
    bool integer = true;
    for (const char *c = p->at; c < end; c++)
        integer &= isdigit((unsigned char)*c) != 0;
    p->at = end;
    norni_expr *e = (norni_expr *)node(p, NORNI_E_CONST, NULL, NULL, NULL);
    if (e) {
        e->value = v;
        e->integer = integer;
    }
    return e;
}

static const norni_expr *parse_atom(parser *p) {
    spaces(p);
    if (take(p, "(")) {
        const norni_expr *e = parse_or(p);
        return take(p, ")") ? e : fail(p, "')'");
    }
    if (isdigit((unsigned char)*p->at) || *p->at == '.')
        return parse_number(p);
    const char *name = p->at;
    while (isalnum((unsigned char)*p->at) || *p->at == '_')
        p->at++;
    size_t len = (size_t)(p->at - name);
    if (!len)
        return fail(p, "a number, a name or '('");
    if (take(p, "("))
        return parse_call(p, name, len);
    for (int i = 0; i < p->n; i++)
        if (strlen(p->names[i]) == len && !memcmp(p->names[i], name, len)) {
            norni_expr *e = (norni_expr *)node(p, NORNI_E_VAR, NULL, NULL, NULL);
            if (e)
                e->var = i;
            return e;
        }
    if ((len == 3 && !memcmp(name, "inf", 3)) || (len == 3 && !memcmp(name, "nan", 3)) ||
        (len == 2 && !memcmp(name, "pi", 2))) {
        norni_expr *e = (norni_expr *)node(p, NORNI_E_CONST, NULL, NULL, NULL);
        if (e)
            e->value = name[0] == 'i'   ? (double)INFINITY
                       : name[0] == 'n' ? (double)NAN
                                        : 3.14159265358979323846;
        return e;
    }
    p->at = name;
    return fail(p, "a known variable");
}

static const norni_expr *parse_power(parser *p) {
    const norni_expr *a = parse_atom(p);
    return take(p, "**") ? node(p, NORNI_E_POW, a, parse_unary(p), NULL) : a;
}

static const norni_expr *parse_unary(parser *p) {
    if (++p->depth > MAX_DEPTH)
        return fail(p, "less nesting");
    const norni_expr *e = take(p, "-") ? node(p, NORNI_E_NEG, parse_unary(p), NULL, NULL) : parse_power(p);
    p->depth--;
    return e;
}

static const norni_expr *parse_term(parser *p) {
    const norni_expr *a = parse_unary(p);
    for (;;) {
        spaces(p);
        if (p->at[0] == '*' && p->at[1] != '*') {
            p->at++;
            a = node(p, NORNI_E_MUL, a, parse_unary(p), NULL);
        } else if (take(p, "/"))
            a = node(p, NORNI_E_DIV, a, parse_unary(p), NULL);
        else
            return a;
        if (!a)
            return NULL;
    }
}

static const norni_expr *parse_sum(parser *p) {
    const norni_expr *a = parse_term(p);
    while (a) {
        if (take(p, "+"))
            a = node(p, NORNI_E_ADD, a, parse_term(p), NULL);
        else if (take(p, "-"))
            a = node(p, NORNI_E_SUB, a, parse_term(p), NULL);
        else
            return a;
    }
    return NULL;
}

static const norni_expr *parse_compare(parser *p) {
    /* The longer token first. */
    static const norni_expr_op order[] = {NORNI_E_LE, NORNI_E_GE, NORNI_E_EQ,
                                          NORNI_E_NE, NORNI_E_LT, NORNI_E_GT};
    const norni_expr *a = parse_sum(p);
    for (size_t i = 0; a && i < sizeof order / sizeof *order; i++)
        if (take(p, ops[order[i]].name))
            return node(p, order[i], a, parse_sum(p), NULL);
    return a;
}

static const norni_expr *parse_not(parser *p) {
    if (++p->depth > MAX_DEPTH)
        return fail(p, "less nesting");
    const char *start = p->at;
    const norni_expr *e;
    if (take(p, "not") && (spaces(p), *p->at != '('))
        e = node(p, NORNI_E_NOT, parse_not(p), NULL, NULL);
    else {
        p->at = start; /* not(...) is read as a call */
        e = parse_compare(p);
    }
    p->depth--;
    return e;
}

static const norni_expr *parse_and(parser *p) {
    const norni_expr *a = parse_not(p);
    while (a && take(p, "and"))
        a = node(p, NORNI_E_AND, a, parse_not(p), NULL);
    return a;
}

static const norni_expr *parse_or(parser *p) {
    if (++p->depth > MAX_DEPTH)
        return fail(p, "less nesting");
    const norni_expr *a = parse_and(p);
    while (a && take(p, "or"))
        a = node(p, NORNI_E_OR, a, parse_and(p), NULL);
    p->depth--;
    return a;
}

norn_status norni_expr_parse(norni_arena *arena, const char *text, int n, const char *const *names,
                             const norni_expr **out) {
    parser p = {.arena = arena, .text = text, .at = text, .n = n, .names = names};
    *out = parse_or(&p);
    spaces(&p);
    if (*out && *p.at) {
        fail(&p, "an operator or the end");
        *out = NULL;
    }
    return p.status;
}

const norni_expr *norni_expr_replace(norni_arena *arena, const norni_expr *e, const norni_expr *const *with) {
    if (e->op == NORNI_E_VAR)
        return with[e->var] ? with[e->var] : e;
    norni_expr *c = NULL;
    for (int i = 0; i < ops[e->op].arity; i++) {
        const norni_expr *a = norni_expr_replace(arena, e->a[i], with);
        if (!a)
            return NULL;
        if (a != e->a[i] && !c) {
            c = norni_arena_dup(arena, e, sizeof *e);
            if (!c)
                return NULL;
        }
        if (c)
            c->a[i] = a;
    }
    return c ? c : e;
}

int norni_expr_count(const norni_expr *e) {
    int n = e->op != NORNI_E_CONST && e->op != NORNI_E_VAR;
    for (int i = 0; i < ops[e->op].arity; i++)
        n += norni_expr_count(e->a[i]);
    return n;
}

/* Binding strength of an operator in text; functions and atoms bind strongest. */
static int strength(const norni_expr *e) {
    switch (e->op) {
    case NORNI_E_OR:
        return 1;
    case NORNI_E_AND:
        return 2;
    case NORNI_E_NOT:
        return 3;
    case NORNI_E_LT:
    case NORNI_E_LE:
    case NORNI_E_GT:
    case NORNI_E_GE:
    case NORNI_E_EQ:
    case NORNI_E_NE:
        return 4;
    case NORNI_E_ADD:
    case NORNI_E_SUB:
        return 5;
    case NORNI_E_MUL:
    case NORNI_E_DIV:
        return 6;
    case NORNI_E_NEG:
        return 7;
    case NORNI_E_POW:
        return 8;
    case NORNI_E_CONST:
        return e->value < 0 ? 7 : 10;
    default:
        return 10;
    }
}

static void print_at(norni_str *out, const norni_expr *e, const char *const *names, int least) {
    int s = strength(e);
    if (s < least)
        norni_str_add(out, "(");
    if (e->op == NORNI_E_CONST) {
        size_t start = out->n;
        norni_str_add_double(out, e->value);
        if (!e->integer && isfinite(e->value) && out->s && !strpbrk(out->s + start, ".e"))
            norni_str_add(out, ".0");
    } else if (e->op == NORNI_E_VAR)
        norni_str_add(out, names[e->var]);
    else if (e->op == NORNI_E_NEG) {
        norni_str_add(out, "-");
        print_at(out, e->a[0], names, 7);
    } else if (e->op == NORNI_E_NOT) {
        norni_str_add(out, "not ");
        print_at(out, e->a[0], names, 3);
    } else if (e->op == NORNI_E_POW) {
        print_at(out, e->a[0], names, 9);
        norni_str_add(out, "**");
        print_at(out, e->a[1], names, 7);
    } else if (s < 10) {
        bool compare = s == 4;
        print_at(out, e->a[0], names, compare ? s + 1 : s);
        norni_str_addf(out, " %s ", ops[e->op].name);
        print_at(out, e->a[1], names, s + 1);
    } else {
        norni_str_addf(out, "%s(", ops[e->op].name);
        for (int i = 0; i < ops[e->op].arity; i++) {
            if (i)
                norni_str_add(out, ", ");
            print_at(out, e->a[i], names, 0);
        }
        norni_str_add(out, ")");
    }
    if (s < least)
        norni_str_add(out, ")");
}

void norni_expr_print(norni_str *out, const norni_expr *e, const char *const *names) {
    print_at(out, e, names, 0);
}
