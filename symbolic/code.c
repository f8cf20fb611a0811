/* SPDX-License-Identifier: Apache-2.0 */
/* Expressions and loops of C and OpenCL C that compute elements of terms. */
#include "symbolic/code.h"
#include "ops/op.h"
#include "symbolic/show.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

norn_status norni_coder_refuse(norni_coder *k, const char *what) {
    norni_t_failed(&k->o->c, norni_fail(NORN_UNSUPPORTED, "%s: %s", k->cl ? "OpenCL C" : "C", what));
    return k->o->c.status;
}

char *norni_coder_keep(norni_coder *k, norni_str *s) {
    char *text = s->failed ? NULL : norni_arena_strdup(k->o->c.arena, s->s ? s->s : "");
    norni_str_free(s);
    return text ? text : norni_t_failed(&k->o->c, norni_nomem());
}

bool norni_coder_pointwise(const norni_term *t) {
    return t->kind == NORNI_NUM || t->kind == NORNI_PI || t->kind == NORNI_E || t->kind == NORNI_ADD ||
           t->kind == NORNI_MUL || t->kind == NORNI_POW || t->kind == NORNI_FN;
}

/* ---- Expressions. */
static const struct {
    const char *name, *args, *body;
} helper_text[] = {
    {"sigmoid", "T x", "x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x))"},
    {"softplus", "T x", "(x > 0 ? x : 0) + log1p(exp(-fabs(x)))"},
    {"sign", "T x", "isnan(x) ? x : (T)((x > 0) - (x < 0))"},
    {"max", "T x, T y", "x < y || isnan(y) ? y : x"},
    {"min", "T x, T y", "x > y || isnan(y) ? y : x"},
    {"mod", "T x, T y", "x - y * floor(x / y)"},
};

static void write(norni_coder *k, norni_str *out, const norni_show *w, int least);

/* The name of a function of the C library for this type: expf in C for float. */
static void library(norni_coder *k, norni_str *out, const char *name) {
    norni_str_addf(out, "%s%s", name, k->cl ? "" : k->suffix);
}

static void helper(norni_coder *k, norni_str *out, int i) {
    k->helpers |= 1u << i;
    norni_str_addf(out, "%s_%s", k->name, helper_text[i].name);
}

static void arguments(norni_coder *k, norni_str *out, const norni_show *w) {
    norni_str_add(out, "(");
    for (int i = 0; i < w->n; i++) {
        norni_str_add(out, i ? ", " : "");
        write(k, out, w->a[i], 0);
    }
    norni_str_add(out, ")");
}

void norni_coder_literal(norni_coder *k, norni_str *out, norni_num v) {
    double d = norni_num_value(v);
    norni_str s = {0};
    if (isnan(d) || isinf(d)) {
        norni_str_add(out, isnan(d) ? "NAN" : "INFINITY");
        return;
    }
    if (*k->suffix)
        norni_str_add_float(&s, (float)d);
    else
        norni_str_add_double(&s, d);
    if (s.s && strchr(s.s, 'e') && fabs(d) >= 1 && fabs(d) < 1e15) { /* 50.0, not 5e+01 */
        norni_str_free(&s);
        norni_str_addf(&s, "%.0f", d);
    }
    norni_str_addf(out, "%s%s%s", s.s ? s.s : "0", s.s && strpbrk(s.s, ".e") ? "" : ".0", k->suffix);
    norni_str_free(&s);
}

static void function(norni_coder *k, norni_str *out, const norni_show *w) {
    static const struct {
        const char *name, *c;
    } named[] = {{"abs", "fabs"},    {"round", "rint"}, {"exp", "exp"},     {"log", "log"},
                 {"sqrt", "sqrt"},   {"sin", "sin"},    {"cos", "cos"},     {"tan", "tan"},
                 {"asin", "asin"},   {"acos", "acos"},  {"atan", "atan"},   {"sinh", "sinh"},
                 {"cosh", "cosh"},   {"tanh", "tanh"},  {"asinh", "asinh"}, {"acosh", "acosh"},
                 {"atanh", "atanh"}, {"erf", "erf"},    {"floor", "floor"}, {"ceil", "ceil"},
                 {"fmod", "fmod"}};
    for (size_t i = 0; i < sizeof named / sizeof *named; i++)
        if (!strcmp(w->text, named[i].name)) {
            library(k, out, named[i].c);
            arguments(k, out, w);
            return;
        }
    for (size_t i = 0; i < sizeof helper_text / sizeof *helper_text; i++)
        if (!strcmp(w->text, helper_text[i].name)) {
            helper(k, out, (int)i);
            arguments(k, out, w);
            return;
        }
    if (!strcmp(w->text, "isnan") || !strcmp(w->text, "isinf")) {
        norni_str_add(out, w->text);
        arguments(k, out, w);
        return;
    }
    char what[80];
    snprintf(what, sizeof what, "no function for %.40s", w->text);
    norni_coder_refuse(k, what);
}

static void infix(norni_coder *k, norni_str *out, const norni_show *w, const char *sign, int left,
                  int right) {
    write(k, out, w->a[0], left);
    norni_str_addf(out, " %s ", sign);
    write(k, out, w->a[1], right);
}

static void write(norni_coder *k, norni_str *out, const norni_show *w, int least) {
    int s = norni_show_strength(w);
    const norni_show *b;
    bool in = s < least || (w->kind == NORNI_W_WHERE && least > 0);
    if (w->kind == NORNI_W_POW)
        in = false; /* a call, or a product that brackets itself */
    norni_str_add(out, in ? "(" : "");
    switch (w->kind) {
    case NORNI_W_NUMBER:
        norni_coder_literal(k, out, w->num);
        break;
    case NORNI_W_NAME:
        if (!strcmp(w->text, "pi") && !norni_graph_find(k->g, "pi"))
            norni_coder_literal(k, out, (norni_num){.d = 3.14159265358979323846});
        else
            norni_str_add(out, w->text);
        break;
    case NORNI_W_TEXT:
        norni_str_add(out, w->text);
        break;
    case NORNI_W_NEG:
        norni_str_add(out, "-");
        write(k, out, w->a[0], w->a[0]->kind == NORNI_W_NEG ? 8 : 6);
        break;
    case NORNI_W_ADD:
        infix(k, out, w, "+", 5, 6);
        break;
    case NORNI_W_SUB:
        infix(k, out, w, "-", 5, 6);
        break;
    case NORNI_W_MUL:
        infix(k, out, w, "*", 6, 7);
        break;
    case NORNI_W_DIV:
        infix(k, out, w, "/", 6, 7);
        break;
    case NORNI_W_POW:
        b = w->a[0];
        if (b->kind == NORNI_W_NAME && w->a[1]->kind == NORNI_W_NUMBER && norni_num_is(w->a[1]->num, 2)) {
            norni_str_add(out, "(");
            write(k, out, b, 7);
            norni_str_add(out, " * ");
            write(k, out, b, 7);
            norni_str_add(out, ")");
        } else {
            library(k, out, "pow");
            arguments(k, out, w);
        }
        break;
    case NORNI_W_CALL:
        function(k, out, w);
        break;
    case NORNI_W_COMPARE:
        infix(k, out, w, w->text ? w->text : "==", 5, 5);
        break;
    case NORNI_W_AND:
    case NORNI_W_OR: /* in brackets, as compilers ask for */
        norni_str_add(out, "(");
        write(k, out, w->a[0], 3);
        norni_str_add(out, w->kind == NORNI_W_AND ? " && " : " || ");
        write(k, out, w->a[1], 3);
        norni_str_add(out, ")");
        break;
    case NORNI_W_NOT:
        norni_str_add(out, "!(");
        write(k, out, w->a[0], 0);
        norni_str_add(out, ")");
        break;
    case NORNI_W_WHERE:
        write(k, out, w->a[0], 3);
        norni_str_add(out, " ? ");
        write(k, out, w->a[1], 5);
        norni_str_add(out, " : ");
        write(k, out, w->a[2], 5);
        break;
    default:
        norni_coder_refuse(k, "an operator on vectors or matrices that is not known here");
    }
    norni_str_add(out, in ? ")" : "");
}

/* ---- One element of a term. */
typedef struct {
    norni_coder *k;
    int rank;
    const char *at[NORN_MAX_RANK]; /* the index along each axis, as an expression */
} place;

const char *norni_coder_element(norni_coder *k, const norni_term *t, int rank, const char *const *at);

/* The indices of x within a broadcast of it. */
static void aligned(const place *p, const norni_term *x, const char **at) {
    int lead = p->rank - x->type.rank;
    for (int i = 0; i < x->type.rank; i++)
        at[i] = x->type.dims[i] == 1 ? "0" : p->at[lead + i];
}

const char *norni_coder_index(norni_coder *k, const norni_type *t, const char *const *at) {
    norni_str s = {0};
    for (int i = 0; i < t->rank; i++) {
        if (s.n && t->dims[i] != 1)
            norni_str_addf(&s, " * %lld", (long long)t->dims[i]);
        if (t->dims[i] == 1 || !strcmp(at[i], "0"))
            continue;
        if (s.n) { /* (a * n) + i, the next round multiplies the whole */
            norni_str whole = {0};
            norni_str_addf(&whole, i + 1 < t->rank ? "(%s + %s)" : "%s + %s", s.s, at[i]);
            norni_str_free(&s);
            s = whole;
        } else
            norni_str_add(&s, at[i]);
    }
    if (!s.n)
        norni_str_add(&s, "0");
    return norni_coder_keep(k, &s);
}

/* What an input, or a term with a place of its own, is called at an element. */
static const char *read_local(norni_coder *k, const norni_term *t, const char *const *at) {
    norni_str s = {0};
    const char *name = k->local[t->id];
    bool input = t->kind == NORNI_VAR;
    if (!t->type.rank && (input || !k->cl || name[0] != '\1')) {
        if (input && t->type.dtype != NORN_F64 && t->type.dtype != NORN_F32) {
            norni_str_addf(&s, t->type.dtype == NORN_BOOL ? "%s" : "(double)%s", name);
            return norni_coder_keep(k, &s);
        }
        return name;
    }
    const char *index = norni_coder_index(k, &t->type, at);
    if (!index)
        return NULL;
    if (k->cl && !input) { /* a function: all arguments, then the element */
        norni_str_addf(&s, "%s(", name + (name[0] == '\1'));
        for (size_t i = 0; i < k->g->inputs.n; i++)
            norni_str_addf(&s, "%s, ", k->g->inputs.v[i]->name);
        norni_str_addf(&s, "%s)", index);
    } else
        norni_str_addf(&s, "%s[%s]", name, index);
    return norni_coder_keep(k, &s);
}

const char *norni_coder_shift(norni_coder *k, const char *a, const char *op, int64_t b) {
    norni_str s = {0};
    if (b == (*op == '*'))
        return a;
    norni_str_addf(&s, "(%s %s %lld)", a, b < 0 && *op == '+' ? "-" : op,
                   (long long)(b < 0 && *op == '+' ? -b : b));
    return norni_coder_keep(k, &s);
}

/* Through changes of shape: the flat index taken apart again. */
static const char *reshaped(norni_coder *k, const norni_term *t, const char *const *at) {
    const norni_term *x = t->a[0];
    const char *in[NORN_MAX_RANK], *flat = norni_coder_index(k, &t->type, at);
    int64_t below = 1;
    for (int i = x->type.rank; i-- > 0 && flat; below *= x->type.dims[i]) {
        norni_str s = {0};
        if (below == 1)
            norni_str_addf(&s, i ? "(%s) %% %lld" : "(%s)", flat, (long long)x->type.dims[i]);
        else
            norni_str_addf(&s, i ? "(%s) / %lld %% %lld" : "(%s) / %lld", flat, (long long)below,
                           (long long)x->type.dims[i]);
        in[i] = x->type.dims[i] == 1 ? "0" : norni_coder_keep(k, &s);
        norni_str_free(&s);
    }
    return flat ? norni_coder_element(k, x, x->type.rank, in) : NULL;
}

static const char *padded(norni_coder *k, const norni_term *t, const char *const *at) {
    const norni_term *x = t->a[0];
    const char *in[NORN_MAX_RANK];
    norni_str s = {0}, inside = {0};
    for (int i = 0; i < t->type.rank; i++) {
        int64_t from = t->ints[i], to = from + x->type.dims[i];
        in[i] = norni_coder_shift(k, at[i], "+", -from);
        if (!in[i])
            return NULL;
        if (from)
            norni_str_addf(&inside, "%s%s >= %lld", inside.n ? " && " : "", at[i], (long long)from);
        if (to < t->type.dims[i])
            norni_str_addf(&inside, "%s%s < %lld", inside.n ? " && " : "", at[i], (long long)to);
    }
    const char *e = norni_coder_element(k, x, x->type.rank, in);
    norni_str_addf(&s, inside.n ? "(%s ? %s : 0)" : "%s%s", inside.s ? inside.s : "", e ? e : "");
    norni_str_free(&inside);
    return norni_coder_keep(k, &s);
}

/* The text for what norni_show_term cannot go into; NULL: it can. */
static const char *leaf(void *ctx, const norni_term *t) {
    place *p = ctx;
    norni_coder *k = p->k;
    const char *at[NORN_MAX_RANK], *in[NORN_MAX_RANK];
    norni_str s = {0};
    aligned(p, t, at);
    if ((size_t)t->id < k->n_local && k->local[t->id])
        return read_local(k, t, at);
    switch (t->kind) {
    case NORNI_SPREAD: {
        place inner = {.k = k, .rank = t->type.rank};
        memcpy(inner.at, at, sizeof inner.at);
        aligned(&inner, t->a[0], in);
        break;
    }
    case NORNI_PERM:
        for (int i = 0; i < t->type.rank; i++)
            in[t->ints[i]] = at[i];
        break;
    case NORNI_PART:
        for (int i = 0; i < t->type.rank; i++) {
            in[i] = norni_coder_shift(k, at[i], "*", t->ints[2 * i + 1]);
            if (in[i] && !strcmp(in[i], "0") && t->ints[2 * i]) {
                norni_str_addf(&s, "%lld", (long long)t->ints[2 * i]);
                in[i] = norni_coder_keep(k, &s);
            } else if (in[i])
                in[i] = norni_coder_shift(k, in[i], "+", t->ints[2 * i]);
            if (!in[i])
                return NULL;
        }
        break;
    case NORNI_SHAPED: {
        const char *e = reshaped(k, t, at);
        norni_str_addf(&s, "(%s)", e ? e : "");
        return norni_coder_keep(k, &s);
    }
    case NORNI_PADDED:
        return padded(k, t, at);
    default:
        return NULL;
    }
    const char *e = norni_coder_element(k, t->a[0], t->a[0]->type.rank, in);
    norni_str_addf(&s, "(%s)", e ? e : "");
    return norni_coder_keep(k, &s);
}

const char *norni_coder_element(norni_coder *k, const norni_term *t, int rank, const char *const *at) {
    place p = {.k = k, .rank = rank};
    norni_str s = {0};
    if (rank)
        memcpy(p.at, at, (size_t)rank * sizeof *at);
    norni_shower shower = {.c = &k->o->c, .leaf = leaf, .ctx = &p};
    const norni_show *w = norni_show_term(&shower, t);
    if (!w || k->o->c.status != NORN_OK)
        return NULL;
    write(k, &s, w, 0);
    return norni_coder_keep(k, &s);
}

/* ---- Statements. */
void norni_coder_indent(norni_str *out, int depth) {
    norni_str_addf(out, "%*s", 4 * depth, "");
}

/* Opens a loop over each axis from `from` on that `which` wants; the names of the indices go to at. */
int norni_coder_open(norni_coder *k, norni_str *out, int depth, const norni_type *t, const bool *which,
                     const char **at) {
    for (int i = 0; i < t->rank; i++) {
        if (!which[i])
            continue;
        if (t->dims[i] == 1) {
            at[i] = "0";
            continue;
        }
        norni_str name = {0};
        norni_str_addf(&name, "i%d", k->loops++);
        at[i] = norni_coder_keep(k, &name);
        norni_coder_indent(out, depth++);
        norni_str_addf(out, "for (%s %s = 0; %s < %lld; %s++) {\n", k->cl ? "ulong" : "int", at[i], at[i],
                       (long long)t->dims[i], at[i]);
    }
    return depth;
}

void norni_coder_close(norni_str *out, int depth, int to) {
    while (depth > to) {
        norni_coder_indent(out, --depth);
        norni_str_add(out, "}\n");
    }
}

/* Statements that put the element `at` of a reduction into the variable `acc`. */
static void reduce_into(norni_coder *k, norni_str *out, int depth, const norni_term *t, const char *const *at,
                        const char *acc) {
    const norni_term *x = t->a[0];
    const char *in[NORN_MAX_RANK] = {0};
    bool over[NORN_MAX_RANK] = {0}, keep_dims = t->ints[0] != 0;
    int64_t count = 1;
    for (int i = 1; i < t->n_ints; i++) {
        over[t->ints[i]] = true;
        count *= x->type.dims[t->ints[i]];
    }
    for (int i = 0, j = 0; i < x->type.rank; i++)
        if (!over[i])
            in[i] = at[j++];
        else
            j += keep_dims;
    const char *start = t->fn == NORNI_R_PROD                          ? "1"
                        : t->fn == NORNI_R_MAX || t->fn == NORNI_R_LSE ? "-INFINITY"
                        : t->fn == NORNI_R_MIN                         ? "INFINITY"
                                                                       : "0";
    for (int pass = 0; pass < 1 + (t->fn == NORNI_R_LSE); pass++) {
        norni_coder_indent(out, depth);
        if (pass)
            norni_str_addf(out, "%s %s_sum = 0;\n", k->type, acc);
        else
            norni_str_addf(out, "%s %s = %s;\n", k->type, acc, start);
        int inner = norni_coder_open(k, out, depth, &x->type, over, in);
        const char *e = norni_coder_element(k, x, x->type.rank, in);
        if (!e)
            return;
        norni_coder_indent(out, inner);
        switch (t->fn) {
        case NORNI_R_PROD:
            norni_str_addf(out, "%s *= %s;\n", acc, e);
            break;
        case NORNI_R_MAX:
        case NORNI_R_MIN:
        case NORNI_R_LSE:
            if (pass) {
                norni_str_addf(out, "%s_sum += ", acc);
                library(k, out, "exp");
                norni_str_addf(out, "(%s - %s);\n", e, acc);
            } else {
                norni_str_addf(out, "%s = ", acc);
                helper(k, out, t->fn == NORNI_R_MIN ? 4 : 3);
                norni_str_addf(out, "(%s, %s);\n", acc, e);
            }
            break;
        case NORNI_R_NORM:
            norni_str_addf(out, "%s += (%s) * (%s);\n", acc, e, e);
            break;
        case NORNI_R_NORM1:
            norni_str_addf(out, "%s += ", acc);
            library(k, out, "fabs");
            norni_str_addf(out, "(%s);\n", e);
            break;
        default:
            norni_str_addf(out, "%s += %s;\n", acc, e);
        }
        norni_coder_close(out, inner, depth);
    }
    if (t->fn == NORNI_R_MEAN || t->fn == NORNI_R_NORM || t->fn == NORNI_R_LSE) {
        norni_coder_indent(out, depth);
        norni_str_addf(out, t->fn == NORNI_R_LSE ? "%s += " : "%s = ", acc);
        if (t->fn != NORNI_R_MEAN)
            library(k, out, t->fn == NORNI_R_LSE ? "log" : "sqrt");
        if (t->fn == NORNI_R_MEAN)
            norni_str_addf(out, "%s / %lld;\n", acc, (long long)count);
        else
            norni_str_addf(out, "(%s%s);\n", acc, t->fn == NORNI_R_LSE ? "_sum" : "");
    }
}

static void product_into(norni_coder *k, norni_str *out, int depth, const norni_term *t,
                         const char *const *at, const char *acc) {
    const norni_term *a = t->a[0], *b = t->a[1];
    int ra = a->type.rank, rb = b->type.rank;
    const char *ia[NORN_MAX_RANK], *ib[NORN_MAX_RANK], *inner[1];
    int batch = t->type.rank - (ra > 1) - (rb > 1);
    norni_type over = {.rank = 1, .dims = {a->type.dims[ra - 1]}};
    norni_coder_indent(out, depth);
    norni_str_addf(out, "%s %s = 0;\n", k->type, acc);
    int deep = norni_coder_open(k, out, depth, &over, (bool[]){true}, inner);
    for (int i = 0; i < ra - 2; i++)
        ia[i] = a->type.dims[i] == 1 ? "0" : at[batch - (ra - 2) + i];
    for (int i = 0; i < rb - 2; i++)
        ib[i] = b->type.dims[i] == 1 ? "0" : at[batch - (rb - 2) + i];
    if (ra > 1)
        ia[ra - 2] = at[batch];
    ia[ra - 1] = inner[0];
    ib[rb > 1 ? rb - 2 : 0] = inner[0];
    if (rb > 1)
        ib[rb - 1] = at[t->type.rank - 1];
    const char *x = norni_coder_element(k, a, ra, ia), *y = norni_coder_element(k, b, rb, ib);
    if (!x || !y)
        return;
    norni_coder_indent(out, deep);
    norni_str_addf(out, "%s += (%s) * (%s);\n", acc, x, y);
    norni_coder_close(out, deep, depth);
}

bool norni_coder_has_own(const norni_term *t) {
    return t->kind == NORNI_RED || t->kind == NORNI_PROD2 || t->kind == NORNI_JOINED ||
           t->kind == NORNI_LIST || t->kind == NORNI_DATA || norni_coder_is_whole(t);
}

/* Statements that compute the element `at` of t; the result is the expression that has it. */
const char *norni_coder_compute(norni_coder *k, norni_str *out, int depth, const norni_term *t,
                                const char *const *at) {
    norni_str acc = {0};
    bool whole = norni_coder_is_whole(t);
    if (t->kind != NORNI_RED && t->kind != NORNI_PROD2 && !whole)
        return norni_coder_element(k, t, t->type.rank, at);
    norni_str_addf(&acc, "s%d", k->loops++);
    const char *name = norni_coder_keep(k, &acc);
    if (!name)
        return NULL;
    if (whole)
        norni_coder_whole(k, out, depth, t, at, name);
    else if (t->kind == NORNI_RED)
        reduce_into(k, out, depth, t, at, name);
    else
        product_into(k, out, depth, t, at, name);
    return name;
}

void norni_coder_helpers(norni_coder *k, norni_str *out) {
    if (k->helpers >> NORNI_HELPER_DET & 1)
        norni_coder_det(k, out);
    for (size_t i = 0; i < sizeof helper_text / sizeof *helper_text; i++) {
        if (!(k->helpers >> i & 1))
            continue;
        norni_str_addf(out, "static %s %s_%s(", k->type, k->name, helper_text[i].name);
        for (int part = 0; part < 2; part++) {
            for (const char *c = part ? helper_text[i].body : helper_text[i].args; *c; c++) {
                static const char *const calls[] = {"exp(", "log1p(", "fabs(", "floor("};
                size_t n = 0;
                for (int j = 0; j < 4 && !k->cl && *k->suffix; j++)
                    if (!strncmp(c, calls[j], strlen(calls[j])))
                        n = strlen(calls[j]) - 1;
                if (*c == 'T')
                    norni_str_add(out, k->type);
                else if (n) {
                    norni_str_addn(out, c, n);
                    norni_str_add(out, k->suffix);
                    c += n - 1;
                } else
                    norni_str_addn(out, c, 1);
            }
            norni_str_add(out, part ? ";\n}\n\n" : ") {\n    return ");
        }
    }
}
