/* SPDX-License-Identifier: Apache-2.0 */
/* The parser of formulas: recursive descent, of bounded depth. */
#include "base/syntax.h"
#include "base/vec.h"
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Nesting is bounded so that a hostile formula cannot exhaust the stack of the recursive walks. A chain of operators is as
 * deep as it is long. */
enum { MAX_DEPTH = 200, MAX_CHAIN = 4000, MAX_ITEMS = 4096 };

typedef struct {
    norni_arena *arena;
    const char *text, *at;
    int depth, chain;
    norn_status status;
} parser;

static _Thread_local int failed_column;

int norni_syntax_column(void) {
    return failed_column;
}

norn_status norni_syntax_fail(const char *text, const char *at, const char *fmt, ...) {
    char wanted[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(wanted, sizeof wanted, fmt, ap);
    va_end(ap);
    failed_column = (int)(at - text) + 1;
    return norni_fail(NORN_PARSE, "formula '%.2000s': column %d: got '%.12s' (wanted %s)", text,
                      failed_column, at, wanted);
}

bool norni_syntax_is(const norni_syntax *s, const char *name) {
    return s->len == strlen(name) && !memcmp(s->at, name, s->len);
}

static norni_syntax *fail(parser *p, const char *wanted) {
    if (p->status == NORN_OK)
        p->status = norni_syntax_fail(p->text, p->at, "%s", wanted);
    return NULL;
}

static void spaces(parser *p) {
    while (isspace((unsigned char)*p->at))
        p->at++;
}

static bool word_char(char c) {
    return isalnum((unsigned char)c) || c == '_';
}

static bool take(parser *p, const char *token) {
    spaces(p);
    size_t n = strlen(token);
    if (strncmp(p->at, token, n) || (isalpha((unsigned char)token[0]) && word_char(p->at[n])))
        return false;
    p->at += n;
    return true;
}

static size_t take_name(parser *p) {
    spaces(p);
    const char *start = p->at;
    if (isdigit((unsigned char)*start))
        return 0;
    while (word_char(*p->at))
        p->at++;
    return (size_t)(p->at - start);
}

static norni_syntax *node(parser *p, norni_syntax_kind kind, const char *at, int n,
                          const norni_syntax *const *a) {
    if (p->status != NORN_OK)
        return NULL;
    for (int i = 0; i < n; i++)
        if (!a[i] && kind != NORNI_S_RANGE)
            return NULL;
    norni_syntax *s = norni_arena_alloc(p->arena, sizeof *s);
    if (s)
        *s = (norni_syntax){.kind = kind,
                            .at = at,
                            .n = n,
                            .a = norni_arena_dup(p->arena, a, (size_t)n * sizeof(norni_syntax *))};
    if (!s || (n && !s->a)) {
        p->status = norni_nomem();
        return NULL;
    }
    return s;
}

static norni_syntax *operation(parser *p, const char *at, norni_expr_op op, norni_syntax *a,
                               norni_syntax *b) {
    norni_syntax *s = node(p, NORNI_S_OP, at, norni_expr_arity(op), (const norni_syntax *const[]){a, b});
    if (s)
        s->op = op;
    return s;
}

static norni_syntax *parse_or(parser *p);
static norni_syntax *parse_unary(parser *p);

typedef NORNI_VEC(const norni_syntax *) items;

static bool add(parser *p, items *v, const norni_syntax *s) {
    if (!s && p->status != NORN_OK)
        return false;
    if (v->n >= MAX_ITEMS)
        return fail(p, "fewer entries"), false;
    if (!NORNI_PUSH(v, s)) {
        p->status = norni_nomem();
        return false;
    }
    return true;
}

/* name=value, else a value. */
static norni_syntax *parse_argument(parser *p) {
    const char *start = (spaces(p), p->at);
    size_t len = take_name(p);
    spaces(p);
    if (len && p->at[0] == '=' && p->at[1] != '=') {
        p->at++;
        norni_syntax *s = node(p, NORNI_S_NAMED, start, 1, (const norni_syntax *const[]){parse_or(p)});
        if (s)
            s->len = len;
        return s;
    }
    p->at = start;
    return parse_or(p);
}

/* or, or a range. */
static norni_syntax *parse_index(parser *p) {
    const norni_syntax *part[3] = {0};
    int n = 0;
    const char *start = (spaces(p), p->at);
    for (;; n++) {
        spaces(p);
        if (*p->at != ':' && *p->at != ',' && *p->at != ']')
            part[n] = parse_or(p);
        if (p->status != NORN_OK || n == 2 || !take(p, ":"))
            break;
    }
    if (!n && !part[0])
        return fail(p, "an index");
    return n ? node(p, NORNI_S_RANGE, start, 3, part) : (norni_syntax *)part[0];
}

/* What stands between an opening bracket, which was taken, and the closing one. */
static norni_syntax *parse_items(parser *p, norni_syntax_kind kind, const char *at, size_t len,
                                 norni_syntax *first, const char *close) {
    items v = {0};
    norni_syntax *s = NULL;
    bool ok = !first || add(p, &v, first);
    if (ok && !(kind != NORNI_S_INDEX && take(p, close)))
        while (ok) {
            ok = add(p, &v,
                     kind == NORNI_S_CALL    ? parse_argument(p)
                     : kind == NORNI_S_INDEX ? parse_index(p)
                                             : parse_or(p));
            if (!ok || take(p, close))
                break;
            if (!take(p, ",")) {
                fail(p, kind == NORNI_S_CALL ? "')'" : "',' or ']'");
                ok = false;
            }
        }
    if (ok && (s = node(p, kind, at, (int)v.n, v.v))) {
        s->len = len;
        s->end = p->at - 1;
    }
    norni_vec_free(&v);
    return s;
}

static norni_syntax *parse_number(parser *p) {
    char *end;
    const char *start = p->at;
    double v = norni_strtod(start, &end);
    bool integer = true;
    for (const char *c = start; c < end; c++)
        integer &= isdigit((unsigned char)*c) != 0;
    if (end == start)
        return fail(p, "a number, a name or '('");
    p->at = end;
    norni_syntax *s = node(p, NORNI_S_NUMBER, start, 0, NULL);
    if (s) {
        s->value = v;
        s->integer = integer;
    }
    return s;
}

static norni_syntax *parse_atom(parser *p) {
    const char *start = (spaces(p), p->at);
    if (take(p, "(")) {
        norni_syntax *s = parse_or(p);
        return take(p, ")") ? s : fail(p, "')'");
    }
    if (take(p, "["))
        return parse_items(p, NORNI_S_LIST, start, 0, NULL, "]");
    if (isdigit((unsigned char)*p->at) || *p->at == '.')
        return parse_number(p);
    size_t len = take_name(p);
    if (!len)
        return fail(p, "a number, a name or '('");
    if (take(p, "("))
        return parse_items(p, NORNI_S_CALL, start, len, NULL, ")");
    norni_syntax *s = node(p, NORNI_S_NAME, start, 0, NULL);
    if (s)
        s->len = len;
    return s;
}

static norni_syntax *parse_postfix(parser *p) {
    norni_syntax *s = parse_atom(p);
    while (s) {
        spaces(p);
        if (take(p, "["))
            s = parse_items(p, NORNI_S_INDEX, s->at, 0, s, "]");
        else if (p->at[0] == '.' && p->at[1] == 'T' && !word_char(p->at[2])) {
            p->at += 2;
            s = node(p, NORNI_S_SWAP, s->at, 1, (const norni_syntax *const[]){s});
        } else
            break;
    }
    return s;
}

static norni_syntax *parse_power(parser *p) {
    norni_syntax *a = parse_postfix(p);
    spaces(p);
    if (a && *p->at == '^')
        return fail(p, "an operator or the end; powers are written with **");
    return a && take(p, "**") ? operation(p, a->at, NORNI_E_POW, a, parse_unary(p)) : a;
}

static norni_syntax *parse_unary(parser *p) {
    if (++p->depth > MAX_DEPTH)
        return fail(p, "less nesting");
    const char *start = (spaces(p), p->at);
    norni_syntax *s = take(p, "-") ? operation(p, start, NORNI_E_NEG, parse_unary(p), NULL) : parse_power(p);
    p->depth--;
    return s;
}

static norni_syntax *link(parser *p, norni_syntax *a, norni_expr_op op, norni_syntax *b) {
    if (++p->chain > MAX_CHAIN)
        return fail(p, "fewer operators");
    return a ? operation(p, a->at, op, a, b) : NULL;
}

static norni_syntax *parse_term(parser *p) {
    norni_syntax *a = parse_unary(p);
    while (a) {
        spaces(p);
        if (p->at[0] == '*' && p->at[1] != '*') {
            p->at++;
            a = link(p, a, NORNI_E_MUL, parse_unary(p));
        } else if (take(p, "/"))
            a = link(p, a, NORNI_E_DIV, parse_unary(p));
        else if (take(p, "@"))
            a = node(p, NORNI_S_MATMUL, a->at, 2, (const norni_syntax *const[]){a, parse_unary(p)});
        else
            return a;
    }
    return NULL;
}

static norni_syntax *parse_sum(parser *p) {
    norni_syntax *a = parse_term(p);
    while (a) {
        if (take(p, "+"))
            a = link(p, a, NORNI_E_ADD, parse_term(p));
        else if (take(p, "-"))
            a = link(p, a, NORNI_E_SUB, parse_term(p));
        else
            return a;
    }
    return NULL;
}

static norni_syntax *parse_compare(parser *p) {
    static const struct {
        const char *sign; /* the longer token first */
        norni_expr_op op;
    } signs[] = {{"<=", NORNI_E_LE}, {">=", NORNI_E_GE}, {"==", NORNI_E_EQ},
                 {"!=", NORNI_E_NE}, {"<", NORNI_E_LT},  {">", NORNI_E_GT}};
    norni_syntax *a = parse_sum(p);
    for (size_t i = 0; a && i < sizeof signs / sizeof *signs; i++)
        if (take(p, signs[i].sign))
            return operation(p, a->at, signs[i].op, a, parse_sum(p));
    return a;
}

static norni_syntax *parse_not(parser *p) {
    if (++p->depth > MAX_DEPTH)
        return fail(p, "less nesting");
    const char *start = (spaces(p), p->at);
    norni_syntax *s;
    if (take(p, "not") && (spaces(p), *p->at != '('))
        s = operation(p, start, NORNI_E_NOT, parse_not(p), NULL);
    else {
        p->at = start; /* not(...) is read as a call */
        s = parse_compare(p);
    }
    p->depth--;
    return s;
}

static norni_syntax *parse_and(parser *p) {
    norni_syntax *a = parse_not(p);
    while (a && take(p, "and"))
        a = link(p, a, NORNI_E_AND, parse_not(p));
    return a;
}

static norni_syntax *parse_or(parser *p) {
    if (++p->depth > MAX_DEPTH)
        return fail(p, "less nesting");
    norni_syntax *a = parse_and(p);
    while (a && take(p, "or"))
        a = link(p, a, NORNI_E_OR, parse_and(p));
    p->depth--;
    return a;
}

/* ---- Statements. */
static bool parse_type(parser *p, norni_statement *s) {
    s->type = (spaces(p), p->at);
    if (!take_name(p))
        return fail(p, "a type such as f64 or f64[3,N]"), false;
    s->type_len = (size_t)(p->at - s->type);
    if (take(p, "[")) {
        size_t n = strcspn(p->at, "];");
        p->at += n;
        if (!take(p, "]"))
            return fail(p, "']'"), false;
        s->type_len = (size_t)(p->at - s->type);
    }
    return true;
}

/* A statement before ";" when there is one; nothing is taken otherwise. */
static bool parse_statement(parser *p, norni_statement *s, bool *more) {
    const char *start = (spaces(p), p->at);
    bool listed = *more, let = !listed && take(p, "let");
    *s = (norni_statement){.at = (spaces(p), p->at)};
    s->len = take_name(p);
    *more = false;
    if (let) {
        if (!s->len)
            return fail(p, "a name"), false;
        if (!take(p, "="))
            return fail(p, "'='"), false;
        if (!(s->value = parse_or(p)))
            return false;
    } else if (s->len && (take(p, ":") ? parse_type(p, s) : listed)) {
        if (p->status != NORN_OK)
            return false;
        if (take(p, ",")) {
            *more = true;
            return true;
        }
    } else if (p->status != NORN_OK || listed)
        return fail(p, "a name"), false;
    else {
        p->at = start;
        s->len = 0;
        return true;
    }
    return take(p, ";") || (fail(p, "';'"), false);
}

norn_status norni_program_parse(norni_arena *arena, const char *text, norni_program *out) {
    parser p = {.arena = arena, .text = text, .at = text};
    NORNI_VEC(norni_statement) v = {0};
    *out = (norni_program){.text = text};
    for (bool more = false;;) {
        norni_statement s;
        if (!parse_statement(&p, &s, &more) || (!s.len && !more))
            break;
        if (v.n >= MAX_ITEMS || !NORNI_PUSH(&v, s)) {
            p.status = v.n >= MAX_ITEMS ? norni_syntax_fail(text, p.at, "fewer statements") : norni_nomem();
            break;
        }
    }
    if (p.status == NORN_OK)
        out->body = parse_or(&p);
    if (p.status == NORN_OK)
        take(&p, ";");
    spaces(&p);
    if (out->body && *p.at)
        fail(&p, "an operator or the end");
    out->n = (int)v.n;
    out->statements = norni_arena_dup(arena, v.v, v.n * sizeof *v.v);
    if (p.status == NORN_OK && v.n && !out->statements)
        p.status = norni_nomem();
    norni_vec_free(&v);
    return p.status;
}
