/* SPDX-License-Identifier: Apache-2.0 */
/* Formulas: syntax tree, parser, text. */
#include "base/syntax.h"
#include <ctype.h>
#include <math.h>
#include <string.h>

static const struct {
    const char *name;
    int arity;
} ops[NORNI_E_COUNT] = {
#define ROW(id, op_name, op_arity) [NORNI_E_##id] = {op_name, op_arity},
    NORNI_EXPR_OPS(ROW)
#undef ROW
};

/* Formulas over scalars from the tree that the parser gives. */
typedef struct {
    norni_arena *arena;
    const norni_program *program;
    int n;
    const char *const *names;
    const norni_expr **lets; /* values of the statements so far */
    int n_lets;
    norn_status status;
} maker;

int norni_expr_arity(norni_expr_op op) {
    return ops[op].arity;
}

const char *norni_expr_op_name(norni_expr_op op) {
    return ops[op].name;
}

const norni_expr *norni_expr_const(norni_arena *arena, double v) {
    norni_expr *e = norni_arena_alloc(arena, sizeof *e);
    if (e)
        *e = (norni_expr){.op = NORNI_E_CONST, .value = v, .integer = v == floor(v) && fabs(v) < 1e15};
    return e;
}

static const norni_expr *fail_at(maker *m, const char *at, const char *wanted) {
    if (m->status == NORN_OK)
        m->status = norni_syntax_fail(m->program->text, at, "%s", wanted);
    return NULL;
}

static norni_expr *node(maker *m, norni_expr_op op, const norni_expr *const *a) {
    norni_expr *e = m->status == NORN_OK ? norni_arena_alloc(m->arena, sizeof *e) : NULL;
    if (!e) {
        if (m->status == NORN_OK)
            m->status = norni_nomem();
        return NULL;
    }
    *e = (norni_expr){.op = op};
    for (int i = 0; i < ops[op].arity; i++)
        if (!(e->a[i] = a[i]))
            return NULL;
    return e;
}

static const norni_expr *make(maker *m, const norni_syntax *s);

static const norni_expr *make_call(maker *m, const norni_syntax *s) {
    int op = norni_expr_op_named(s->at, s->len);
    const norni_expr *a[3] = {0};
    if (op < 0)
        return fail_at(m, s->at, "a known function");
    for (int i = 0; i < s->n; i++)
        if (i >= ops[op].arity)
            return fail_at(m, s->a[i]->at, "')'");
        else if (s->a[i]->kind == NORNI_S_NAMED)
            return fail_at(m, s->a[i]->at, "a value");
        else if (!(a[i] = make(m, s->a[i])))
            return NULL;
    return s->n < ops[op].arity ? fail_at(m, s->end, "','") : node(m, (norni_expr_op)op, a);
}

static const norni_expr *make_name(maker *m, const norni_syntax *s) {
    static const struct {
        const char *name;
        double value;
    } constants[] = {{"inf", (double)INFINITY}, {"nan", (double)NAN}, {"pi", 3.14159265358979323846}};
    for (int i = m->n_lets; i-- > 0;)
        if (m->program->statements[i].len == s->len && !memcmp(m->program->statements[i].at, s->at, s->len))
            return m->lets[i];
    for (int i = 0; i < m->n; i++)
        if (norni_syntax_is(s, m->names[i])) {
            norni_expr *e = node(m, NORNI_E_VAR, NULL);
            if (e)
                e->var = i;
            return e;
        }
    for (size_t i = 0; i < sizeof constants / sizeof *constants; i++)
        if (norni_syntax_is(s, constants[i].name)) {
            norni_expr *e = node(m, NORNI_E_CONST, NULL);
            if (e)
                e->value = constants[i].value;
            return e;
        }
    return fail_at(m, s->at, "a known variable");
}

static const norni_expr *make(maker *m, const norni_syntax *s) {
    const norni_expr *a[3] = {0};
    norni_expr *e;
    switch (s->kind) {
    case NORNI_S_NUMBER:
        if ((e = node(m, NORNI_E_CONST, NULL))) {
            e->value = s->value;
            e->integer = s->integer;
        }
        return e;
    case NORNI_S_NAME:
        return make_name(m, s);
    case NORNI_S_CALL:
        return make_call(m, s);
    case NORNI_S_OP:
        for (int i = 0; i < s->n; i++)
            if (!(a[i] = make(m, s->a[i])))
                return NULL;
        return node(m, s->op, a);
    default:
        return fail_at(m, s->at, "numbers only: this formula is evaluated element by element");
    }
}

int norni_expr_op_named(const char *name, size_t len) {
    for (int op = 0; op < NORNI_E_COUNT; op++)
        if (ops[op].name && isalpha((unsigned char)ops[op].name[0]) && strlen(ops[op].name) == len &&
            !memcmp(ops[op].name, name, len))
            return op;
    return -1;
}

norn_status norni_expr_parse(norni_arena *arena, const char *text, int n, const char *const *names,
                             const norni_expr **out) {
    norni_program program;
    *out = NULL;
    NORNI_TRY(norni_program_parse(arena, text, &program));
    maker m = {.arena = arena, .program = &program, .n = n, .names = names};
    m.lets = norni_arena_array(arena, (size_t)program.n, sizeof *m.lets);
    if (program.n && !m.lets)
        return norni_nomem();
    for (; m.n_lets < program.n && m.status == NORN_OK; m.n_lets++) {
        const norni_statement *s = &program.statements[m.n_lets];
        if (!s->value)
            fail_at(&m, s->at, "no declaration: the variables have their types already");
        else
            m.lets[m.n_lets] = make(&m, s->value);
    }
    if (m.status == NORN_OK)
        *out = make(&m, program.body);
    if (m.status != NORN_OK)
        *out = NULL;
    return m.status;
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
