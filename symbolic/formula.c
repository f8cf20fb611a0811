/* SPDX-License-Identifier: Apache-2.0 */
/* A formula as a graph: names become inputs, operators become nodes, and everything that does not fit points at its
 * column. */
#include "symbolic/formula.h"
#include "ops/op.h"
#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void *norni_make_fail(norni_formula_maker *m, const char *at, const char *fmt, ...) {
    char wanted[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(wanted, sizeof wanted, fmt, ap);
    va_end(ap);
    if (m->status == NORN_OK)
        m->status = norni_syntax_fail(m->program->text, at, "%s", wanted);
    return NULL;
}

norn_value *norni_made(norni_formula_maker *m, const char *at, norn_value *v) {
    if (v && m->g->status == NORN_OK)
        return v;
    if (m->status == NORN_OK) {
        char *why = NULL;
        norn_status s = norn_graph_status(m->g);
        why = norni_strdup(s == NORN_OK ? "failed" : norn_error());
        norni_syntax_fail(m->program->text, at, "something else"); /* for its column */
        m->status = norni_fail(s == NORN_OK ? NORN_INTERNAL : s, "formula '%.2000s': column %d: %s",
                               m->program->text, norni_syntax_column(), why ? why : "");
        norni_free(why);
    }
    return NULL;
}

norn_value *norni_make_real(norni_formula_maker *m, norn_value *v) {
    return v && norni_dtype_is_float(v->type.dtype) ? v : norni_cast(m->g, v, m->dtype);
}

norn_value *norni_make_condition(norni_formula_maker *m, norn_value *v) {
    if (!v || v->type.dtype == NORN_BOOL)
        return v;
    norn_value *zero = norni_scalar_const(m->g, v->type.dtype, 0);
    return NORNI_OP1(m->g, NORNI_OP2(m->g, v, zero, "Equal"), "Not");
}

bool norni_formula_literal(const norn_value *v, double *x) {
    static const char *const ops[] = {"Neg", "Add", "Sub", "Mul", "Div", "Pow"};
    double a[2] = {0};
    if (v->type.rank)
        return false;
    if (v->kind == NORNI_CONST) {
        *x = norni_get_double(v->type.dtype, norni_tensor_data(v->data), 0);
        return true;
    }
    const norn_node *node = v->producer;
    size_t k = 0;
    while (node && k < sizeof ops / sizeof *ops && strcmp(node->op->name, ops[k]) != 0)
        k++;
    if (!node || *node->op->domain || k == sizeof ops / sizeof *ops || !norni_dtype_is_float(v->type.dtype))
        return false;
    for (int i = 0; i < node->n_in; i++)
        if (!norni_formula_literal(node->in[i], &a[i]))
            return false;
    *x = k == 0   ? -a[0]
         : k == 1 ? a[0] + a[1]
         : k == 2 ? a[0] - a[1]
         : k == 3 ? a[0] * a[1]
         : k == 4 ? a[0] / a[1]
                  : pow(a[0], a[1]);
    return true;
}

static int rank_of_type(norn_dtype t) {
    return t == NORN_BOOL                    ? 0
           : norni_dtype_is_int(t)           ? 1
           : t == NORN_F16 || t == NORN_BF16 ? 2
           : t == NORN_F32                   ? 3
                                             : 4;
}

bool norni_make_alike(norni_formula_maker *m, const char *at, int n, norn_value **v) {
    norn_dtype t = NORN_UNDEFINED;
    bool all = true;
    double x;
    for (int i = 0; i < n; i++)
        if (!v[i])
            return norni_made(m, at, NULL) != NULL;
    for (int pass = 0; pass < 2 && t == NORN_UNDEFINED; pass++)
        for (int i = 0; i < n; i++)
            if (pass || !norni_formula_literal(v[i], &x))
                if (t == NORN_UNDEFINED || rank_of_type(v[i]->type.dtype) > rank_of_type(t))
                    t = v[i]->type.dtype;
    if (t == NORN_BOOL)
        t = m->dtype;
    for (int i = 0; i < n; i++) /* 0.5 makes a formula over integers one over real numbers */
        if (!norni_dtype_is_float(t) && norni_formula_literal(v[i], &x) && x != floor(x))
            t = m->dtype;
    for (int i = 0; i < n; i++) {
        bool plain =
            v[i]->kind == NORNI_CONST || !norni_dtype_is_float(t); /* others are exact as operators */
        v[i] = v[i]->type.dtype != t && plain && norni_formula_literal(v[i], &x)
                   ? norni_scalar_const(m->g, t, x)
                   : norni_cast(m->g, v[i], t);
        all &= norni_made(m, at, v[i]) != NULL;
    }
    return all;
}

/* ---- Whole numbers in the text. */
bool norni_make_int(norni_formula_maker *m, const norni_syntax *s, int64_t *out) {
    bool neg = s->kind == NORNI_S_OP && s->op == NORNI_E_NEG;
    const norni_syntax *n = neg ? s->a[0] : s;
    if (n->kind != NORNI_S_NUMBER || !n->integer || n->value > 1e15)
        return norni_make_fail(m, s->at, "a whole number"), false;
    *out = neg ? -(int64_t)n->value : (int64_t)n->value;
    return true;
}

bool norni_make_ints(norni_formula_maker *m, const norni_syntax *s, int max, int64_t *out, int *n) {
    if (s->kind != NORNI_S_LIST) {
        *n = 1;
        return norni_make_int(m, s, out);
    }
    if (s->n > max)
        return norni_make_fail(m, s->a[max]->at, "at most %d numbers", max), false;
    for (int i = 0; i < s->n; i++)
        if (!norni_make_int(m, s->a[i], &out[i]))
            return false;
    *n = s->n;
    return true;
}

/* ---- Names. */
norn_dtype norni_formula_dtype(const char *name, size_t n) {
    static const struct {
        const char *name;
        norn_dtype type;
    } types[] = {{"f64", NORN_F64}, {"f32", NORN_F32}, {"f16", NORN_F16},  {"bf16", NORN_BF16},
                 {"i64", NORN_I64}, {"i32", NORN_I32}, {"i16", NORN_I16},  {"i8", NORN_I8},
                 {"u8", NORN_U8},   {"int", NORN_I64}, {"bool", NORN_BOOL}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strlen(types[i].name) == n && !memcmp(types[i].name, name, n))
            return types[i].type;
    return norni_dtype_parse(name, n);
}

static norn_value *declare(norni_formula_maker *m, const norni_statement *s) {
    norni_type t = {.dtype = m->dtype};
    if (!s->type) {
        char *plain = norni_arena_strndup(m->arena, s->at, s->len);
        if (plain && norni_graph_find(m->g, plain))
            return norni_make_fail(m, s->at, "a name that is not declared yet");
        return norni_made(m, s->at, norni_value_input(m->g, plain, &t));
    }
    size_t n = strcspn(s->type, "[;,:= \t\n");
    char *name = norni_arena_strndup(m->arena, s->at, s->len);
    if (n > s->type_len)
        n = s->type_len;
    t.dtype = norni_formula_dtype(s->type, n);
    if (t.dtype == NORN_UNDEFINED || t.dtype == NORN_STRING)
        return norni_make_fail(m, s->type, "a type: f64, f32, f16, bf16, i64, i32, i16, i8, u8 or bool");
    if (name && norni_graph_find(m->g, name))
        return norni_make_fail(m, s->at, "a name that is not declared yet");
    const char *p = strchr(s->type + n, '['), *end = s->type + s->type_len;
    for (p = p && p < end ? p + 1 : NULL; p;) {
        char size[64];
        p += strspn(p, " \t\n");
        if (*p == ']')
            break;
        size_t k = strcspn(p, ",] \t\n");
        bool digits = k && strspn(p, "0123456789") >= k;
        bool name_like = k && (isalpha((unsigned char)*p) || *p == '_');
        for (size_t i = 0; i < k; i++)
            name_like = name_like && (isalnum((unsigned char)p[i]) || p[i] == '_');
        if (!(digits || name_like) || k >= sizeof size || t.rank == NORN_MAX_RANK || (digits && k > 15))
            return norni_make_fail(m, p, "a size: a number or a name, at most %d of them", NORN_MAX_RANK);
        memcpy(size, p, k);
        size[k] = 0;
        int64_t v = 0;
        for (size_t i = 0; digits && i < k; i++)
            v = v * 10 + (size[i] - '0');
        t.dims[t.rank++] = digits ? v : norni_dim_named(m->g, size);
        p += k;
        p += strspn(p, " \t\n");
        if (*p == ',')
            p++;
        else if (*p != ']')
            return norni_make_fail(m, p, "',' or ']'");
    }
    return norni_made(m, s->at, norni_value_input(m->g, name, &t));
}

static norn_value *make_name(norni_formula_maker *m, const norni_syntax *s) {
    for (int i = m->n_lets; i-- > 0;) {
        const norni_statement *l = &m->program->statements[i];
        if (l->value && l->len == s->len && !memcmp(l->at, s->at, s->len))
            return m->lets[i];
    }
    for (size_t i = 0; i < m->n_given; i++)
        if (norni_syntax_is(s, m->given[i]))
            return m->values[i];
    char *name = norni_arena_strndup(m->arena, s->at, s->len);
    norn_value *v = name && !m->given ? norni_graph_find(m->g, name) : NULL;
    if (v)
        return v;
    if (norni_syntax_is(s, "pi"))
        return norni_scalar_const(m->g, m->dtype, 3.14159265358979323846);
    if (norni_syntax_is(s, "inf"))
        return norni_scalar_const(m->g, m->dtype, (double)INFINITY);
    if (norni_syntax_is(s, "nan"))
        return norni_scalar_const(m->g, m->dtype, (double)NAN);
    if (m->given)
        return norni_make_fail(m, s->at, "a name that is known here");
    return norni_made(m, s->at, norni_value_input(m->g, name, &(norni_type){.dtype = m->dtype}));
}

/* ---- Operators. */
static norn_value *make_op(norni_formula_maker *m, const norni_syntax *s) {
    static const char *const names[NORNI_E_COUNT] = {
        [NORNI_E_ADD] = "Add",  [NORNI_E_SUB] = "Sub",        [NORNI_E_MUL] = "Mul",
        [NORNI_E_DIV] = "Div",  [NORNI_E_POW] = "Pow",        [NORNI_E_NEG] = "Neg",
        [NORNI_E_LT] = "Less",  [NORNI_E_LE] = "LessOrEqual", [NORNI_E_EQ] = "Equal",
        [NORNI_E_NE] = "Equal", [NORNI_E_GT] = "Greater",     [NORNI_E_GE] = "GreaterOrEqual",
        [NORNI_E_AND] = "And",  [NORNI_E_OR] = "Or",          [NORNI_E_NOT] = "Not",
    };
    norn_value *a[2] = {0};
    for (int i = 0; i < s->n; i++)
        if (!(a[i] = norni_make_value(m, s->a[i])))
            return NULL;
    if (s->op == NORNI_E_AND || s->op == NORNI_E_OR || s->op == NORNI_E_NOT)
        for (int i = 0; i < s->n; i++)
            a[i] = norni_make_condition(m, a[i]);
    else if (!(s->n == 2 && s->op >= NORNI_E_LT && s->op <= NORNI_E_NE && a[0]->type.dtype == NORN_BOOL &&
               a[1]->type.dtype == NORN_BOOL && (s->op == NORNI_E_EQ || s->op == NORNI_E_NE)) &&
             !norni_make_alike(m, s->at, s->n, a))
        return NULL;
    norn_value *v = norni_opf(m->g, s->n, a, "%s", names[s->op]);
    if (s->op == NORNI_E_NE)
        v = NORNI_OP1(m->g, v, "Not");
    return norni_made(m, s->at, v);
}

static bool all_numbers(int n, norn_value *const *v) {
    for (int i = 0; i < n; i++)
        if (v[i]->kind != NORNI_CONST)
            return false;
    return n > 0;
}

/* Values stacked along a new first axis. */
static norn_value *stack(norni_formula_maker *m, const norni_syntax *s, int n, norn_value **v) {
    norn_value *front = norni_i64_const(m->g, 1, (int64_t[]){0});
    for (int i = 1; i < n; i++)
        if (!norni_type_equal(&v[i]->type, &v[0]->type))
            return norni_make_fail(m, s->a[i]->at, "entries of one shape");
    if (v[0]->type.rank == NORN_MAX_RANK)
        return norni_make_fail(m, s->at, "at most %d axes", NORN_MAX_RANK);
    if (all_numbers(n, v)) {
        norni_type t = v[0]->type;
        memmove(t.dims + 1, t.dims, sizeof t.dims - sizeof *t.dims);
        t.dims[0] = n;
        t.rank++;
        norn_value *c = norni_fill_const(m->g, &t, 0);
        size_t bytes = norni_type_bytes(&v[0]->type);
        for (int i = 0; c && i < n && bytes; i++)
            memcpy((char *)norni_tensor_data(c->data) + (size_t)i * bytes, norni_tensor_data(v[i]->data),
                   bytes);
        return norni_made(m, s->at, c);
    }
    for (int i = 0; i < n; i++)
        v[i] = NORNI_OP2(m->g, v[i], front, "Unsqueeze");
    return norni_made(m, s->at, norni_opf(m->g, n, v, "Concat<axis=0>"));
}

static norn_value *make_list(norni_formula_maker *m, const norni_syntax *s) {
    if (!s->n)
        return norni_make_fail(m, s->at, "a list with entries");
    norn_value **v = norni_arena_array(m->arena, (size_t)s->n, sizeof *v);
    if (!v)
        return norni_made(m, s->at, norni_graph_failed(m->g, norni_nomem()));
    for (int i = 0; i < s->n; i++)
        if (!(v[i] = norni_make_value(m, s->a[i])))
            return NULL;
    return norni_make_alike(m, s->at, s->n, v) ? stack(m, s, s->n, v) : NULL;
}

/* x[1, :, 2:5]: a Slice, then the axes with a single index go. */
static norn_value *make_index(norni_formula_maker *m, const norni_syntax *s) {
    int64_t start[NORN_MAX_RANK], stop[NORN_MAX_RANK], step[NORN_MAX_RANK], axes[NORN_MAX_RANK],
        single[NORN_MAX_RANK];
    int n = s->n - 1, n_single = 0, n_axes = 0;
    norn_value *x = norni_make_value(m, s->a[0]);
    if (!x)
        return NULL;
    if (n > x->type.rank)
        return norni_make_fail(m, s->a[x->type.rank + 1]->at,
                               "at most %d %s: that is how many axes there are", x->type.rank,
                               x->type.rank == 1 ? "index" : "indices");
    for (int i = 0; i < n; i++) {
        const norni_syntax *e = s->a[i + 1];
        int64_t size = x->type.dims[i], v;
        if (e->kind != NORNI_S_RANGE) {
            if (!norni_make_int(m, e, &v))
                return NULL;
            if (size >= 0 && (v < -size || v >= size))
                return norni_make_fail(m, e->at, "an index from %lld to %lld", (long long)-size,
                                       (long long)size - 1);
            start[n_axes] = v;
            stop[n_axes] = v == -1 ? INT64_MAX : v + 1;
            step[n_axes] = 1;
            single[n_single++] = i;
        } else {
            if (!e->a[0] && !e->a[1] && !e->a[2])
                continue;
            step[n_axes] = 1;
            if (e->a[2] && !norni_make_int(m, e->a[2], &step[n_axes]))
                return NULL;
            if (!step[n_axes])
                return norni_make_fail(m, e->a[2]->at, "a step that is not 0");
            start[n_axes] = step[n_axes] > 0 ? 0 : INT64_MAX;
            stop[n_axes] = step[n_axes] > 0 ? INT64_MAX : INT64_MIN;
            if ((e->a[0] && !norni_make_int(m, e->a[0], &start[n_axes])) ||
                (e->a[1] && !norni_make_int(m, e->a[1], &stop[n_axes])))
                return NULL;
        }
        axes[n_axes++] = i;
    }
    norn_graph *g = m->g;
    norn_value *in[] = {x, norni_i64_const(g, n_axes, start), norni_i64_const(g, n_axes, stop),
                        norni_i64_const(g, n_axes, axes), norni_i64_const(g, n_axes, step)};
    norn_value *v = n_axes ? norni_opf(g, 5, in, "Slice") : x;
    if (n_single)
        v = NORNI_OP2(g, v, norni_i64_const(g, n_single, single), "Squeeze");
    return norni_made(m, s->at, v);
}

norn_value *norni_make_value(norni_formula_maker *m, const norni_syntax *s) {
    norn_value *a[2];
    if (m->status != NORN_OK)
        return NULL;
    switch (s->kind) {
    case NORNI_S_NUMBER:
        return norni_made(m, s->at, norni_scalar_const(m->g, m->dtype, s->value));
    case NORNI_S_NAME:
        return make_name(m, s);
    case NORNI_S_CALL:
        return norni_make_call(m, s);
    case NORNI_S_OP:
        return make_op(m, s);
    case NORNI_S_MATMUL:
        if (!(a[0] = norni_make_value(m, s->a[0])) || !(a[1] = norni_make_value(m, s->a[1])))
            return NULL;
        for (int i = 0; i < 2; i++)
            if (a[i]->type.rank == 0)
                return norni_make_fail(m, s->a[i]->at,
                                       "a vector or matrix; products of numbers are written *");
        return norni_make_alike(m, s->at, 2, a) ? norni_made(m, s->at, NORNI_OP2(m->g, a[0], a[1], "MatMul"))
                                                : NULL;
    case NORNI_S_SWAP:
        if (!(a[0] = norni_make_value(m, s->a[0])))
            return NULL;
        return a[0]->type.rank < 2 ? a[0] : norni_made(m, s->at, NORNI_OP1(m->g, a[0], "Transpose"));
    case NORNI_S_LIST:
        return make_list(m, s);
    case NORNI_S_INDEX:
        return make_index(m, s);
    default:
        return norni_make_fail(m, s->at, "a value");
    }
}

/* Statement i declares what a let before it names, or the other way round. */
static bool named_twice(const norni_program *p, int i) {
    const norni_statement *s = p->statements;
    for (int k = 0; k < i; k++)
        if (!s[k].value != !s[i].value && s[k].len == s[i].len && !memcmp(s[k].at, s[i].at, s[i].len))
            return true;
    return false;
}

norn_status norn_formula_parse(const char *text, norn_dtype dtype, norn_graph **out, int *column) {
    norni_program program;
    norni_arena *arena = norni_arena_new(0);
    *out = NULL;
    if (column)
        *column = 0;
    if (dtype == NORN_UNDEFINED)
        dtype = NORN_F64;
    if (!arena)
        return norni_nomem();
    norn_status s =
        norni_dtype_is_float(dtype)
            ? norn_graph_new("formula", out)
            : norni_fail(NORN_DTYPE, "formula: got numbers of type %s (wanted a floating-point one)",
                         norni_dtype_name(dtype));
    if (s == NORN_OK)
        s = norni_program_parse(arena, text, &program);
    bool parsed = s == NORN_OK;
    if (!parsed && s == NORN_PARSE && column)
        *column = norni_syntax_column();
    if (parsed) {
        norni_formula_maker m = {.g = *out, .arena = arena, .program = &program, .dtype = dtype};
        m.lets = norni_arena_array(arena, (size_t)program.n + 1, sizeof *m.lets);
        if (!m.lets)
            m.status = norni_nomem();
        for (int i = 0; i < program.n && m.status == NORN_OK; i++)
            if (named_twice(&program, i))
                norni_make_fail(&m, program.statements[i].at, "a name that has no other value or type");
            else if (!program.statements[i].value)
                declare(&m, &program.statements[i]);
        for (; m.n_lets < program.n && m.status == NORN_OK; m.n_lets++)
            if (program.statements[m.n_lets].value)
                m.lets[m.n_lets] = norni_make_value(&m, program.statements[m.n_lets].value);
        norn_value *y = m.status == NORN_OK ? norni_make_value(&m, program.body) : NULL;
        s = m.status;
        if (s != NORN_OK && column)
            *column = norni_syntax_column();
        if (s == NORN_OK)
            s = norn_graph_output(*out, norni_graph_find(*out, "y") ? "value" : "y", y);
    }
    if (s != NORN_OK) {
        norn_graph_free(*out);
        *out = NULL;
    }
    norni_arena_free(arena);
    return s;
}

norn_value *norni_formula_of(norn_graph *g, const char *text, norn_dtype dtype, size_t n,
                             const char *const *names, norn_value *const *values) {
    norni_program program;
    norni_formula_maker m = {
        .g = g, .arena = g->arena, .program = &program, .dtype = dtype, .values = values, .n_given = n};
    if (g->status != NORN_OK)
        return NULL;
    m.given = n ? names : (const char *const[]){NULL};
    norn_status s = norni_program_parse(g->arena, text, &program);
    if (s == NORN_OK && !(m.lets = norni_arena_array(g->arena, (size_t)program.n + 1, sizeof *m.lets)))
        s = norni_nomem();
    if (s != NORN_OK)
        return norni_graph_failed(g, s);
    for (; m.n_lets < program.n && m.status == NORN_OK; m.n_lets++) {
        const norni_statement *l = &program.statements[m.n_lets];
        if (l->value)
            m.lets[m.n_lets] = norni_make_value(&m, l->value);
        else
            norni_make_fail(&m, l->at, "no declaration: the names have their types already");
    }
    norn_value *y = m.status == NORN_OK ? norni_make_value(&m, program.body) : NULL;
    return m.status == NORN_OK ? y : norni_graph_failed(g, m.status);
}

norn_value *norn_graph_formula(norn_graph *g, const char *text, size_t n, const char *const *names,
                               norn_value *const *values) {
    norn_dtype dtype = NORN_UNDEFINED;
    if (g->status != NORN_OK)
        return NULL;
    if (!text)
        return norni_graph_failed(g, norni_fail(NORN_ARG, "formula: got no text"));
    for (size_t i = 0; i < n; i++) {
        if (!values[i] || !names[i])
            return norni_graph_failed(g, norni_fail(NORN_ARG, "formula '%.200s': %s %zu is NULL", text,
                                                    names[i] ? "value" : "name", i));
        if (values[i]->graph != g)
            return norni_graph_failed(
                g,
                norni_fail(NORN_ARG, "formula '%.200s': '%s' is a value of another graph", text, names[i]));
        if (dtype == NORN_UNDEFINED && norni_dtype_is_float(values[i]->type.dtype))
            dtype = values[i]->type.dtype;
    }
    return norni_formula_of(g, text, dtype == NORN_UNDEFINED ? NORN_F32 : dtype, n, names, values);
}
