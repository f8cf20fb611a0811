/* SPDX-License-Identifier: Apache-2.0 */
/* C99 functions and OpenCL C kernels. What is pointwise is written out where it is read; reductions, products of matrices and
 * shared parts are computed before: in C into local variables and arrays, in OpenCL C by a function that gives one element, so
 * that a work-item needs no memory of its own. */
#include "symbolic/code.h"
#include "ops/op.h"
#include "symbolic/show.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_LOCAL_BYTES = 1 << 20 };

typedef struct {
    norni_outputs *o;
    const norn_graph *g;
    const char *name, *type, *suffix; /* "f", "double", "" */
    bool cl;
    const char **local; /* by id: the variable, array or function that has a term */
    size_t n_local;
    bool by_value; /* OpenCL: scalars are arguments, not elements of arrays */
    unsigned helpers;
    int loops;
} coder;

static norn_status refuse(coder *k, const char *what) {
    norni_t_failed(&k->o->c, norni_fail(NORN_UNSUPPORTED, "%s: %s", k->cl ? "OpenCL C" : "C", what));
    return k->o->c.status;
}

static char *keep(coder *k, norni_str *s) {
    char *text = s->failed ? NULL : norni_arena_strdup(k->o->c.arena, s->s ? s->s : "");
    norni_str_free(s);
    return text ? text : norni_t_failed(&k->o->c, norni_nomem());
}

static bool pointwise(const norni_term *t) {
    return t->kind == NORNI_NUM || t->kind == NORNI_PI || t->kind == NORNI_E || t->kind == NORNI_ADD ||
           t->kind == NORNI_MUL || t->kind == NORNI_POW || t->kind == NORNI_FN;
}

/* ---- Expressions. */
enum { SIGMOID = 1, SOFTPLUS = 2, SIGN = 4, MAX = 8, MIN = 16, MOD = 32 };
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

static void write(coder *k, norni_str *out, const norni_show *w, int least);

/* The name of a function of the C library for this type: expf in C for float. */
static void library(coder *k, norni_str *out, const char *name) {
    norni_str_addf(out, "%s%s", name, k->cl ? "" : k->suffix);
}

static void helper(coder *k, norni_str *out, int i) {
    k->helpers |= 1u << i;
    norni_str_addf(out, "%s_%s", k->name, helper_text[i].name);
}

static void arguments(coder *k, norni_str *out, const norni_show *w) {
    norni_str_add(out, "(");
    for (int i = 0; i < w->n; i++) {
        norni_str_add(out, i ? ", " : "");
        write(k, out, w->a[i], 0);
    }
    norni_str_add(out, ")");
}

static void literal(coder *k, norni_str *out, norni_num v) {
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
    norni_str_addf(out, "%s%s%s", s.s ? s.s : "0", s.s && strpbrk(s.s, ".e") ? "" : ".0", k->suffix);
    norni_str_free(&s);
}

static void function(coder *k, norni_str *out, const norni_show *w) {
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
    refuse(k, what);
}

static void infix(coder *k, norni_str *out, const norni_show *w, const char *sign, int left, int right) {
    write(k, out, w->a[0], left);
    norni_str_addf(out, " %s ", sign);
    write(k, out, w->a[1], right);
}

static void write(coder *k, norni_str *out, const norni_show *w, int least) {
    int s = norni_show_strength(w);
    const norni_show *b;
    bool in = s < least || (w->kind == NORNI_W_WHERE && least > 0);
    if (w->kind == NORNI_W_POW)
        in = false; /* a call, or a product that brackets itself */
    norni_str_add(out, in ? "(" : "");
    switch (w->kind) {
    case NORNI_W_NUMBER:
        literal(k, out, w->num);
        break;
    case NORNI_W_NAME:
        if (!strcmp(w->text, "pi") && !norni_graph_find(k->g, "pi"))
            literal(k, out, (norni_num){.d = 3.14159265358979323846});
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
        if (b->kind == NORNI_W_NAME && w->a[1]->kind == NORNI_W_NUMBER && norni_num_is(w->a[1]->num, 2))
            norni_str_addf(out, "(%s * %s)", b->text, b->text);
        else {
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
        refuse(k, "an operator on vectors or matrices that is not known here");
    }
    norni_str_add(out, in ? ")" : "");
}

/* ---- One element of a term. */
typedef struct {
    coder *k;
    int rank;
    const char *at[NORN_MAX_RANK]; /* the index along each axis, as an expression */
} place;

static const char *element(coder *k, const norni_term *t, int rank, const char *const *at);

/* The indices of x within a broadcast of it. */
static void aligned(const place *p, const norni_term *x, const char **at) {
    int lead = p->rank - x->type.rank;
    for (int i = 0; i < x->type.rank; i++)
        at[i] = x->type.dims[i] == 1 ? "0" : p->at[lead + i];
}

static const char *flat_index(coder *k, const norni_type *t, const char *const *at) {
    norni_str s = {0};
    for (int i = 0; i < t->rank; i++) {
        if (i && s.n)
            norni_str_addf(&s, i + 1 <= t->rank && t->dims[i] != 1 ? " * %lld" : "", (long long)t->dims[i]);
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
    return keep(k, &s);
}

/* What an input, or a term with a place of its own, is called at an element. */
static const char *read_local(coder *k, const norni_term *t, const char *const *at) {
    norni_str s = {0};
    const char *name = k->local[t->id];
    bool input = t->kind == NORNI_VAR;
    if (!t->type.rank && (input || !k->cl || name[0] != '\1')) {
        if (input && t->type.dtype != NORN_F64 && t->type.dtype != NORN_F32) {
            norni_str_addf(&s, t->type.dtype == NORN_BOOL ? "%s" : "(double)%s", name);
            return keep(k, &s);
        }
        return name;
    }
    const char *index = flat_index(k, &t->type, at);
    if (!index)
        return NULL;
    if (k->cl && !input) { /* a function: all arguments, then the element */
        norni_str_addf(&s, "%s(", name + (name[0] == '\1'));
        for (size_t i = 0; i < k->g->inputs.n; i++)
            norni_str_addf(&s, "%s, ", k->g->inputs.v[i]->name);
        norni_str_addf(&s, "%s)", index);
    } else
        norni_str_addf(&s, "%s[%s]", name, index);
    return keep(k, &s);
}

static const char *sum_of(coder *k, const char *a, const char *op, int64_t b) {
    norni_str s = {0};
    if (b == (*op == '*'))
        return a;
    norni_str_addf(&s, "(%s %s %lld)", a, b < 0 && *op == '+' ? "-" : op,
                   (long long)(b < 0 && *op == '+' ? -b : b));
    return keep(k, &s);
}

/* Through changes of shape: the flat index taken apart again. */
static const char *reshaped(coder *k, const norni_term *t, const char *const *at) {
    const norni_term *x = t->a[0];
    const char *in[NORN_MAX_RANK], *flat = flat_index(k, &t->type, at);
    int64_t below = 1;
    for (int i = x->type.rank; i-- > 0 && flat; below *= x->type.dims[i]) {
        norni_str s = {0};
        if (below == 1)
            norni_str_addf(&s, i ? "(%s) %% %lld" : "(%s)", flat, (long long)x->type.dims[i]);
        else
            norni_str_addf(&s, i ? "(%s) / %lld %% %lld" : "(%s) / %lld", flat, (long long)below,
                           (long long)x->type.dims[i]);
        in[i] = x->type.dims[i] == 1 ? "0" : keep(k, &s);
        norni_str_free(&s);
    }
    return flat ? element(k, x, x->type.rank, in) : NULL;
}

static const char *padded(coder *k, const norni_term *t, const char *const *at) {
    const norni_term *x = t->a[0];
    const char *in[NORN_MAX_RANK];
    norni_str s = {0}, inside = {0};
    for (int i = 0; i < t->type.rank; i++) {
        int64_t from = t->ints[i], to = from + x->type.dims[i];
        in[i] = sum_of(k, at[i], "+", -from);
        if (!in[i])
            return NULL;
        if (from)
            norni_str_addf(&inside, "%s%s >= %lld", inside.n ? " && " : "", at[i], (long long)from);
        if (to < t->type.dims[i])
            norni_str_addf(&inside, "%s%s < %lld", inside.n ? " && " : "", at[i], (long long)to);
    }
    const char *e = element(k, x, x->type.rank, in);
    norni_str_addf(&s, inside.n ? "(%s ? %s : 0)" : "%s%s", inside.s ? inside.s : "", e ? e : "");
    norni_str_free(&inside);
    return keep(k, &s);
}

/* The text for what norni_show_term cannot go into; NULL: it can. */
static const char *leaf(void *ctx, const norni_term *t) {
    place *p = ctx;
    coder *k = p->k;
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
            in[i] = sum_of(k, at[i], "*", t->ints[2 * i + 1]);
            if (in[i] && !strcmp(in[i], "0") && t->ints[2 * i]) {
                norni_str_addf(&s, "%lld", (long long)t->ints[2 * i]);
                in[i] = keep(k, &s);
            } else if (in[i])
                in[i] = sum_of(k, in[i], "+", t->ints[2 * i]);
            if (!in[i])
                return NULL;
        }
        break;
    case NORNI_SHAPED: {
        const char *e = reshaped(k, t, at);
        norni_str_addf(&s, "(%s)", e ? e : "");
        return keep(k, &s);
    }
    case NORNI_PADDED:
        return padded(k, t, at);
    default:
        return NULL;
    }
    const char *e = element(k, t->a[0], t->a[0]->type.rank, in);
    norni_str_addf(&s, "(%s)", e ? e : "");
    return keep(k, &s);
}

static const char *element(coder *k, const norni_term *t, int rank, const char *const *at) {
    place p = {.k = k, .rank = rank};
    norni_str s = {0};
    memcpy(p.at, at, (size_t)rank * sizeof *at);
    norni_shower shower = {.c = &k->o->c, .leaf = leaf, .ctx = &p};
    const norni_show *w = norni_show_term(&shower, t);
    if (!w || k->o->c.status != NORN_OK)
        return NULL;
    write(k, &s, w, 0);
    return keep(k, &s);
}

/* ---- Statements. */
static void indent(norni_str *out, int depth) {
    norni_str_addf(out, "%*s", 4 * depth, "");
}

/* Opens a loop over each axis from `from` on that `which` wants; the names of the indices go to at. */
static int open_loops(coder *k, norni_str *out, int depth, const norni_type *t, const bool *which,
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
        at[i] = keep(k, &name);
        indent(out, depth++);
        norni_str_addf(out, "for (%s %s = 0; %s < %lld; %s++) {\n", k->cl ? "ulong" : "int", at[i], at[i],
                       (long long)t->dims[i], at[i]);
    }
    return depth;
}

static void close_loops(norni_str *out, int depth, int to) {
    while (depth > to) {
        indent(out, --depth);
        norni_str_add(out, "}\n");
    }
}

/* Statements that put the element `at` of a reduction into the variable `acc`. */
static void reduce_into(coder *k, norni_str *out, int depth, const norni_term *t, const char *const *at,
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
        indent(out, depth);
        if (pass)
            norni_str_addf(out, "%s %s_sum = 0;\n", k->type, acc);
        else
            norni_str_addf(out, "%s %s = %s;\n", k->type, acc, start);
        int inner = open_loops(k, out, depth, &x->type, over, in);
        const char *e = element(k, x, x->type.rank, in);
        if (!e)
            return;
        indent(out, inner);
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
        close_loops(out, inner, depth);
    }
    if (t->fn == NORNI_R_MEAN || t->fn == NORNI_R_NORM || t->fn == NORNI_R_LSE) {
        indent(out, depth);
        norni_str_addf(out, t->fn == NORNI_R_LSE ? "%s += " : "%s = ", acc);
        if (t->fn != NORNI_R_MEAN)
            library(k, out, t->fn == NORNI_R_LSE ? "log" : "sqrt");
        if (t->fn == NORNI_R_MEAN)
            norni_str_addf(out, "%s / %lld;\n", acc, (long long)count);
        else
            norni_str_addf(out, "(%s%s);\n", acc, t->fn == NORNI_R_LSE ? "_sum" : "");
    }
}

static void product_into(coder *k, norni_str *out, int depth, const norni_term *t, const char *const *at,
                         const char *acc) {
    const norni_term *a = t->a[0], *b = t->a[1];
    int ra = a->type.rank, rb = b->type.rank;
    const char *ia[NORN_MAX_RANK], *ib[NORN_MAX_RANK], *inner[1];
    int batch = t->type.rank - (ra > 1) - (rb > 1);
    norni_type over = {.rank = 1, .dims = {a->type.dims[ra - 1]}};
    indent(out, depth);
    norni_str_addf(out, "%s %s = 0;\n", k->type, acc);
    int deep = open_loops(k, out, depth, &over, (bool[]){true}, inner);
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
    const char *x = element(k, a, ra, ia), *y = element(k, b, rb, ib);
    if (!x || !y)
        return;
    indent(out, deep);
    norni_str_addf(out, "%s += (%s) * (%s);\n", acc, x, y);
    close_loops(out, deep, depth);
}

static bool has_own(const norni_term *t) {
    return t->kind == NORNI_RED || t->kind == NORNI_PROD2 || t->kind == NORNI_JOINED ||
           t->kind == NORNI_LIST || t->kind == NORNI_DATA;
}

/* Statements that compute the element `at` of t; the result is the expression that has it. */
static const char *compute(coder *k, norni_str *out, int depth, const norni_term *t, const char *const *at) {
    norni_str acc = {0};
    if (t->kind != NORNI_RED && t->kind != NORNI_PROD2)
        return element(k, t, t->type.rank, at);
    norni_str_addf(&acc, "s%d", k->loops++);
    const char *name = keep(k, &acc);
    if (!name)
        return NULL;
    if (t->kind == NORNI_RED)
        reduce_into(k, out, depth, t, at, name);
    else
        product_into(k, out, depth, t, at, name);
    return name;
}

static void literal_array(coder *k, norni_str *out, const norni_term *t, const char *name) {
    int64_t n = norni_type_elems(&t->type);
    norni_str_addf(out, "%s %s %s[%lld] = {", k->cl ? "__constant" : "static const", k->type, name,
                   (long long)(n ? n : 1));
    for (int64_t i = 0; i < n; i++) {
        norni_str_add(out, i % 8 ? " " : "\n    ");
        double v = norni_get_double(t->type.dtype, norni_tensor_data(t->value->data), i);
        norni_str_add(out, v < 0 ? "-" : "");
        literal(k, out, (norni_num){.d = fabs(v)});
        norni_str_add(out, ",");
    }
    norni_str_add(out, n ? "\n};\n" : "0};\n");
}

/* All elements of t into dest, in C. dest[] for tensors, dest itself (declared here when `declare`) for a number. */
static void assign(coder *k, norni_str *out, const norni_term *t, const char *dest, bool number) {
    const char *at[NORN_MAX_RANK];
    bool all[NORN_MAX_RANK];
    for (int i = 0; i < NORN_MAX_RANK; i++)
        all[i] = true;
    if (t->kind == NORNI_LIST) {
        for (int i = 0; i < t->n; i++) {
            const char *e = element(k, t->a[i], 0, NULL);
            norni_str_addf(out, "    %s[%d] = %s;\n", dest, i, e ? e : "");
        }
        return;
    }
    if (t->kind == NORNI_JOINED) {
        int64_t before = 0;
        int axis = (int)t->ints[0];
        for (int i = 0; i < t->n; i++) {
            int depth = open_loops(k, out, 1, &t->a[i]->type, all, at);
            const char *to[NORN_MAX_RANK], *e = compute(k, out, depth, t->a[i], at);
            memcpy(to, at, sizeof to);
            norni_str shifted = {0};
            norni_str_addf(&shifted, "(%s + %lld)", at[axis], (long long)before);
            to[axis] = keep(k, &shifted);
            before += t->a[i]->type.dims[axis];
            const char *index = flat_index(k, &t->type, to);
            indent(out, depth);
            norni_str_addf(out, "%s[%s] = %s;\n", dest, index ? index : "", e ? e : "");
            close_loops(out, depth, 1);
        }
        return;
    }
    int depth = open_loops(k, out, 1, &t->type, all, at);
    const char *e = compute(k, out, depth, t, at), *index = flat_index(k, &t->type, at);
    indent(out, depth);
    if (number)
        norni_str_addf(out, "%s = %s;\n", dest, e ? e : "");
    else
        norni_str_addf(out, "%s[%s] = %s;\n", dest, index ? index : "", e ? e : "");
    close_loops(out, depth, 1);
}

/* ---- Which terms get a place of their own. */
typedef struct {
    int *uses;
    bool *seen;
    const norni_term **order;
    int n;
} places;

static void count_uses(places *p, const norni_term *t) {
    if (p->uses[t->id]++)
        return;
    for (int i = 0; i < t->n; i++)
        count_uses(p, t->a[i]);
}

static void order(coder *k, places *p, const norni_term *t) {
    if (p->seen[t->id])
        return;
    p->seen[t->id] = true;
    for (int i = 0; i < t->n; i++)
        order(k, p, t->a[i]);
    bool shared = p->uses[t->id] > 1 && t->count >= 1 && pointwise(t) && t->kind != NORNI_NUM &&
                  t->type.dtype != NORN_BOOL && (!k->cl || !t->type.rank);
    if (has_own(t) || shared)
        p->order[p->n++] = t;
}

static norn_status find_places(coder *k, places *p) {
    norni_terms *c = &k->o->c;
    *p = (places){.uses = norni_arena_array(c->arena, c->n + 1, sizeof *p->uses),
                  .seen = norni_arena_array(c->arena, c->n + 1, sizeof *p->seen),
                  .order = norni_arena_array(c->arena, c->n + 1, sizeof *p->order)};
    k->n_local = c->n + 1;
    k->local = norni_arena_array(c->arena, k->n_local, sizeof *k->local);
    if (!p->uses || !p->seen || !p->order || !k->local)
        return norni_nomem();
    for (size_t i = 0; i < k->o->n; i++)
        count_uses(p, k->o->t[i]);
    for (size_t i = 0; i < k->o->n; i++)
        order(k, p, k->o->t[i]);
    for (size_t i = 0; i < k->g->inputs.n; i++) {
        const norni_term *t = norni_t_value(c, k->g->inputs.v[i]);
        if (!t)
            return c->status;
        if ((size_t)t->id < k->n_local)
            k->local[t->id] = k->g->inputs.v[i]->name;
    }
    for (int i = 0; i < p->n; i++)
        if (!norni_type_static(&p->order[i]->type))
            return norni_fail(NORN_SHAPE, "C: a size that is not known (wanted numbers)");
    return NORN_OK;
}

static const char *input_type(const coder *k, const norni_type *t) {
    switch (t->dtype) {
    case NORN_F64:
        return "double";
    case NORN_F32:
        return "float";
    case NORN_I64:
        return k->cl ? "long" : "long long";
    case NORN_I32:
        return "int";
    case NORN_BOOL:
        return k->cl ? "uchar" : "unsigned char";
    default:
        return NULL;
    }
}

static void write_helpers(coder *k, norni_str *out) {
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

static coder start(norni_outputs *o, const norn_graph *g, const char *name, bool cl) {
    bool single = o->c.dtype != NORN_F64;
    return (coder){.o = o,
                   .g = g,
                   .name = name,
                   .type = single ? "float" : "double",
                   .suffix = single ? "f" : "",
                   .cl = cl};
}

/* Names of inputs and outputs must be names of C, and no others. */
static norn_status check_names(coder *k) {
    static const char *const taken[] = {
        "auto",    "break",    "case",     "char",   "const",  "continue", "default",  "do",     "double",
        "else",    "enum",     "extern",   "float",  "for",    "goto",     "if",       "inline", "int",
        "long",    "register", "restrict", "short",  "signed", "sizeof",   "static",   "struct", "switch",
        "typedef", "union",    "void",     "return", "while",  "unsigned", "volatile", NULL};
    for (size_t i = 0; i < k->g->inputs.n; i++) {
        const char *name = k->g->inputs.v[i]->name;
        bool ok =
            *name &&
            strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == strlen(name) &&
            !(*name >= '0' && *name <= '9');
        for (int j = 0; taken[j] && ok; j++)
            ok = strcmp(name, taken[j]) != 0;
        if (!ok)
            return norni_fail(NORN_UNSUPPORTED, "%s: '%s' can not be the name of a variable",
                              k->cl ? "OpenCL C" : "C", name);
        if (!input_type(k, &k->g->inputs.v[i]->type))
            return norni_fail(
                NORN_UNSUPPORTED, "%s: variable '%s' has type %s (wanted double, float, int64, int32, bool)",
                k->cl ? "OpenCL C" : "C", name, norni_dtype_name(k->g->inputs.v[i]->type.dtype));
    }
    return NORN_OK;
}

/* A name that neither inputs nor outputs have. */
static const char *fresh(coder *k, const char *stem, int *n) {
    for (;;) {
        norni_str s = {0};
        norni_str_addf(&s, "%s%d", stem, (*n)++);
        const char *name = keep(k, &s);
        bool clash = !name || norni_graph_find(k->g, name);
        for (size_t i = 0; name && i < k->g->outputs.n; i++)
            clash |= !strcmp(k->g->outputs.v[i].name, name);
        if (!name || !clash)
            return name;
    }
}

/* Output i as it is called in the program: its name, or one behind it where an input has that. */
static const char *output_name(coder *k, size_t i) {
    norni_str s = {0};
    i += k->o->first;
    const char *name = k->g->outputs.v[i].name;
    const norn_value *v = norni_graph_find(k->g, name);
    norni_str_addf(&s, v && v->kind == NORNI_INPUT ? "%s_out" : "%s", name);
    return keep(k, &s);
}

norn_status norni_code_c(norni_str *out, norni_outputs *o, const norn_graph *g, const char *name) {
    coder k = start(o, g, name, false);
    places p;
    norni_str body = {0}, data = {0};
    int count = 1;
    bool single = o->n == 1 && o->t[0]->type.rank == 0;
    NORNI_TRY(check_names(&k));
    NORNI_TRY(find_places(&k, &p));
    for (size_t i = 0; i < o->n; i++)
        if (!norni_type_static(&o->t[i]->type))
            return norni_fail(NORN_SHAPE, "C: a size that is not known (wanted numbers)");
    for (int i = 0; i < p.n && o->c.status == NORN_OK; i++) {
        const norni_term *t = p.order[i];
        bool output = false; /* computed straight into an output */
        for (size_t j = 0; j < o->n; j++)
            output |= o->t[j] == t && t->type.rank && p.uses[t->id] == 1;
        if (output && t->kind != NORNI_DATA)
            continue;
        const char *local = fresh(&k, "t", &count);
        if (!local)
            break;
        if (t->kind == NORNI_DATA)
            literal_array(&k, &data, t, local);
        else if (!t->type.rank) {
            const char *e = compute(&k, &body, 1, t, NULL);
            norni_str_addf(&body, "    const %s %s = %s;\n", k.type, local, e ? e : "");
        } else {
            int64_t n = norni_type_elems(&t->type);
            if (n * 8 > MAX_LOCAL_BYTES) {
                refuse(&k, "an intermediate result above 1 MiB");
                break;
            }
            norni_str_addf(&body, "    %s %s[%lld];\n", k.type, local, (long long)(n ? n : 1));
            assign(&k, &body, t, local, false);
        }
        k.local[t->id] = local;
    }
    for (size_t i = 0; i < o->n && o->c.status == NORN_OK; i++) {
        const char *dest = output_name(&k, i);
        if (!dest)
            break;
        if (single) {
            const char *e = element(&k, o->t[i], 0, NULL);
            norni_str_addf(&body, "    return %s;\n", e ? e : "");
        } else if (!o->t[i]->type.rank) {
            const char *e = element(&k, o->t[i], 0, NULL);
            norni_str_addf(&body, "    *%s = %s;\n", dest, e ? e : "");
        } else
            assign(&k, &body, o->t[i], dest, false);
    }
    norni_str_add(out, "#include <math.h>\n\n");
    write_helpers(&k, out);
    norni_str_add(out, data.s ? data.s : "");
    norni_str_addf(out, "%s %s(", single ? k.type : "void", name);
    for (size_t i = 0; i < g->inputs.n; i++) {
        const norn_value *v = g->inputs.v[i];
        norni_str_addf(out, v->type.rank ? "%sconst %s *%s" : "%s%s %s", i ? ", " : "",
                       input_type(&k, &v->type), v->name);
    }
    for (size_t i = 0; i < o->n && !single; i++)
        norni_str_addf(out, "%s%s *%s", i || g->inputs.n ? ", " : "", k.type, output_name(&k, i));
    norni_str_addf(out, "%s) {\n%s}\n", g->inputs.n || !single ? "" : "void", body.s ? body.s : "");
    out->failed |= body.failed || data.failed;
    norni_str_free(&body);
    norni_str_free(&data);
    return o->c.status;
}

/* ---- OpenCL C. */
static void cl_arguments(coder *k, norni_str *out, bool kernel) {
    for (size_t i = 0; i < k->g->inputs.n; i++) {
        const norn_value *v = k->g->inputs.v[i];
        const char *type = input_type(k, &v->type);
        bool array = v->type.rank || (kernel && !k->by_value);
        norni_str_addf(out, array ? "%s__global const %s *%s%s" : "%s%s %s%s", i ? ", " : "", type, v->name,
                       array && !v->type.rank ? "_all" : "");
    }
}

/* A function that gives one element of t. */
static void element_function(coder *k, norni_str *out, const norni_term *t, const char *name) {
    const char *at[NORN_MAX_RANK];
    norni_str body = {0};
    int64_t below = 1;
    for (int i = t->type.rank; i-- > 0; below *= t->type.dims[i]) {
        norni_str s = {0};
        norni_str_addf(&s, i ? "(i / %lld %% %lld)" : "(i / %lld)", (long long)below,
                       (long long)t->type.dims[i]);
        at[i] = t->type.dims[i] == 1 ? "0" : keep(k, &s);
        norni_str_free(&s);
    }
    if (t->kind == NORNI_LIST) {
        for (int i = 0; i < t->n; i++) {
            const char *e = element(k, t->a[i], 0, NULL);
            norni_str_addf(&body, "    if (i == %d)\n        return %s;\n", i, e ? e : "");
        }
        norni_str_add(&body, "    return 0;\n");
    } else if (t->kind == NORNI_JOINED) {
        int axis = (int)t->ints[0];
        int64_t before = 0;
        for (int i = 0; i < t->n; i++) {
            const char *to[NORN_MAX_RANK];
            memcpy(to, at, sizeof to);
            to[axis] = sum_of(k, at[axis], "+", -before);
            before += t->a[i]->type.dims[axis];
            norni_str_addf(&body, "    if (%s < %lld) {\n", at[axis], (long long)before);
            const char *e = to[axis] ? compute(k, &body, 2, t->a[i], to) : NULL;
            norni_str_addf(&body, "        return %s;\n    }\n", e ? e : "");
        }
        norni_str_add(&body, "    return 0;\n");
    } else {
        const char *e = compute(k, &body, 1, t, at);
        norni_str_addf(&body, "    return %s;\n", e ? e : "");
    }
    norni_str_addf(out, "static %s %s(", k->type, name);
    cl_arguments(k, out, false);
    norni_str_addf(out, "%sulong i) {\n%s}\n\n", k->g->inputs.n ? ", " : "", body.s ? body.s : "");
    out->failed |= body.failed;
    norni_str_free(&body);
}

static norn_status one_kernel(norni_str *out, norni_outputs *o, const norn_graph *g, const char *name);

/* Outputs of one shape come from one kernel; else each has its own, NAME_OUTPUT. */
norn_status norni_code_opencl(norni_str *out, norni_outputs *o, const norn_graph *g, const char *name) {
    bool same = true;
    for (size_t i = 1; i < o->n; i++) {
        norni_type t = o->t[i]->type;
        t.dtype = o->t[0]->type.dtype;
        same = same && norni_type_equal(&t, &o->t[0]->type);
    }
    if (o->c.dtype == NORN_F64)
        norni_str_add(out, "#pragma OPENCL EXTENSION cl_khr_fp64 : enable\n\n");
    if (same)
        return one_kernel(out, o, g, name);
    for (size_t i = 0; i < o->n; i++) {
        norni_outputs one = {.c = o->c, .n = 1, .t = o->t + i, .first = i};
        norni_str full = {0};
        norni_str_addf(&full, "%s_%s", name, g->outputs.v[i].name);
        norni_str_add(out, i ? "\n" : "");
        norn_status s = full.s ? one_kernel(out, &one, g, full.s) : norni_nomem();
        norni_str_free(&full);
        o->c = one.c; /* the table of terms may have grown */
        NORNI_TRY(s);
    }
    return NORN_OK;
}

static norn_status one_kernel(norni_str *out, norni_outputs *o, const norn_graph *g, const char *name) {
    coder k = start(o, g, name, true);
    places p;
    norni_str functions = {0}, body = {0};
    int count = 1;
    const norni_type *all = &o->t[0]->type;
    NORNI_TRY(check_names(&k));
    NORNI_TRY(find_places(&k, &p));
    for (size_t i = 0; i < g->inputs.n; i++)
        k.by_value |= g->inputs.v[i]->type.rank > 0;
    for (size_t i = 0; i < o->n; i++) {
        norni_type t = o->t[i]->type;
        t.dtype = all->dtype;
        if (!norni_type_static(&t))
            return norni_fail(NORN_SHAPE, "OpenCL C: a size that is not known (wanted numbers)");
        k.by_value |= t.rank > 0;
    }
    /* Reductions and products: functions over the arguments. */
    for (int i = 0; i < p.n && o->c.status == NORN_OK; i++) {
        const norni_term *t = p.order[i];
        if (!has_own(t))
            continue;
        norni_str s = {0};
        const char *local = fresh(&k, "t", &count);
        norni_str_addf(&s, t->kind == NORNI_DATA ? "%s_%s" : "\1%s_%s", name, local ? local : "");
        char *full = keep(&k, &s);
        if (!full)
            break;
        if (t->kind == NORNI_DATA)
            return norni_fail(NORN_UNSUPPORTED, "OpenCL C: a constant array");
        element_function(&k, &functions, t, full + 1);
        k.local[t->id] = full;
    }
    for (size_t i = 0; i < g->inputs.n && !k.by_value; i++)
        norni_str_addf(&body, "    const %s %s = %s_all[i];\n", input_type(&k, &g->inputs.v[i]->type),
                       g->inputs.v[i]->name, g->inputs.v[i]->name);
    for (int i = 0; i < p.n && o->c.status == NORN_OK; i++) {
        const norni_term *t = p.order[i];
        if (has_own(t) || t->type.rank)
            continue;
        const char *local = fresh(&k, "t", &count), *e = element(&k, t, 0, NULL);
        norni_str_addf(&body, "    const %s %s = %s;\n", k.type, local ? local : "", e ? e : "");
        k.local[t->id] = local;
    }
    const char *at[NORN_MAX_RANK];
    int64_t below = 1;
    for (int i = all->rank; i-- > 0; below *= all->dims[i]) {
        norni_str s = {0};
        norni_str_addf(&s, i ? "(i / %lld %% %lld)" : "(i / %lld)", (long long)below,
                       (long long)all->dims[i]);
        at[i] = all->dims[i] == 1 ? "0" : keep(&k, &s);
        norni_str_free(&s);
    }
    for (size_t i = 0; i < o->n && o->c.status == NORN_OK; i++) {
        const char *e = element(&k, o->t[i], all->rank, at), *dest = output_name(&k, i);
        norni_str_addf(&body, "    %s[i] = %s;\n", dest ? dest : "", e ? e : "");
    }
    write_helpers(&k, out);
    norni_str_addf(out, "%s/* One work-item an element of the output; n elements. */\n__kernel void %s(",
                   functions.s ? functions.s : "", name);
    cl_arguments(&k, out, true);
    for (size_t i = 0; i < o->n; i++)
        norni_str_addf(out, "%s__global %s *%s", i || g->inputs.n ? ", " : "", k.type, output_name(&k, i));
    norni_str_addf(
        out, ", ulong n) {\n    const ulong i = get_global_id(0);\n    if (i >= n)\n        return;\n%s}\n",
        body.s ? body.s : "");
    out->failed |= body.failed || functions.failed;
    norni_str_free(&body);
    norni_str_free(&functions);
    return o->c.status;
}
