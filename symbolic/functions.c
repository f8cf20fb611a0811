/* SPDX-License-Identifier: Apache-2.0 */
/* The functions that a formula may call: of elements, of vectors and matrices. A table says which operator a name stands for;
 * what is no operator of its own is a formula over others. */
#include "ops/op.h"
#include "symbolic/formula.h"
#include <string.h>

/* ---- Arguments. */
enum { MAX_ARGS = 64 };

typedef struct {
    norni_formula_maker *m;
    const norni_syntax *s;
    int n; /* arguments without a name */
    unsigned used;
} call;

/* The argument called `name`, else the one at `place` (-1: only by name); NULL when it is not given. */
static const norni_syntax *argument(call *c, const char *name, int place) {
    int k = 0;
    for (int i = 0; i < c->s->n; i++) {
        const norni_syntax *a = c->s->a[i];
        bool named = a->kind == NORNI_S_NAMED;
        if (named ? norni_syntax_is(a, name) : k++ == place) {
            c->used |= i < 32 ? 1u << i : 0;
            return named ? a->a[0] : a;
        }
    }
    return NULL;
}

static norn_value *value(call *c, const char *name, int place) {
    const norni_syntax *s = argument(c, name, place);
    return s ? norni_make_value(c->m, s) : norni_make_fail(c->m, c->s->end, "an argument '%s' more", name);
}

/* False, with a failure at the first argument that nobody asked for. */
static bool all_used(call *c) {
    for (int i = 0; i < c->s->n && i < 32; i++)
        if (!(c->used >> i & 1) && c->m->status == NORN_OK)
            return norni_make_fail(c->m, c->s->a[i]->at, "no such argument of %.*s", (int)c->s->len,
                                   c->s->at),
                   false;
    return c->m->status == NORN_OK;
}

/* Axes by the name or place, as a constant; *in gets it and the result says how many inputs there are. 0 after a failure. */
static int with_axes(call *c, norn_value *x, int place, norn_value *in[2]) {
    int64_t axes[NORN_MAX_RANK];
    int n;
    const norni_syntax *s = argument(c, "axis", place);
    in[0] = x;
    if (!x)
        return 0;
    if (!s)
        return 1;
    if (!norni_make_ints(c->m, s, NORN_MAX_RANK, axes, &n))
        return 0;
    for (int i = 0; i < n; i++)
        if (axes[i] < -x->type.rank || axes[i] >= x->type.rank)
            return norni_make_fail(c->m, s->at, "axes from %d to %d", -x->type.rank, x->type.rank - 1), 0;
    in[1] = norni_i64_const(c->m->g, n, axes);
    return 2;
}

static bool keeps(call *c, int64_t *keep) {
    const norni_syntax *s = argument(c, "keepdims", -1);
    *keep = 0;
    return !s || norni_make_int(c->m, s, keep);
}

/* ---- Reductions. */
static norn_value *reduction(call *c, const char *op) {
    norn_value *in[2], *x = norni_make_real(c->m, value(c, "x", 0));
    int64_t keep;
    int n = with_axes(c, x, 1, in);
    if (!n || !keeps(c, &keep))
        return NULL;
    if (x->type.rank == 0 && n == 1 && strcmp(op, "ReduceL2") != 0 && strcmp(op, "ReduceL1") != 0)
        return x;
    return norni_opf(c->m->g, n, in, "%s<keepdims=%d>", op, keep != 0);
}

static norn_value *call_norm(call *c) {
    const norni_syntax *ord = argument(c, "ord", -1);
    int64_t p = 2;
    if (ord && ord->kind == NORNI_S_NAME && norni_syntax_is(ord, "inf")) {
        norn_value *in[2], *x = norni_make_real(c->m, value(c, "x", 0));
        int64_t keep;
        int n = with_axes(c, x, 1, in);
        if (!n || !keeps(c, &keep))
            return NULL;
        in[0] = NORNI_OP1(c->m->g, x, "Abs");
        return norni_opf(c->m->g, n, in, "ReduceMax<keepdims=%d>", keep != 0);
    }
    if (ord && !norni_make_int(c->m, ord, &p))
        return NULL;
    if (p != 1 && p != 2)
        return norni_make_fail(c->m, ord->at, "1, 2 or inf");
    return reduction(c, p == 1 ? "ReduceL1" : "ReduceL2");
}

/* max(x) is the largest element, max(a, b, ...) the larger ones element by element. */
static norn_value *extreme(call *c, const char *reduce, const char *each) {
    norn_value *v[MAX_ARGS];
    if (c->n < 2)
        return reduction(c, reduce);
    if (c->n > 30)
        return norni_make_fail(c->m, c->s->a[30]->at, "at most 30 arguments");
    for (int i = 0; i < c->n; i++)
        if (!(v[i] = value(c, "", i)))
            return NULL;
    return norni_make_alike(c->m, c->s->at, c->n, v) ? norni_opf(c->m->g, c->n, v, "%s", each) : NULL;
}
static norn_value *call_max(call *c) {
    return extreme(c, "ReduceMax", "Max");
}
static norn_value *call_min(call *c) {
    return extreme(c, "ReduceMin", "Min");
}

static norn_value *call_softmax(call *c) {
    bool log = c->s->at[0] == 'l';
    norn_value *x = norni_make_real(c->m, value(c, "x", 0));
    const norni_syntax *s = argument(c, "axis", 1);
    int64_t axis = -1;
    if (!x || (s && !norni_make_int(c->m, s, &axis)))
        return NULL;
    if (x->type.rank == 0 || axis < -x->type.rank || axis >= x->type.rank)
        return norni_make_fail(c->m, s ? s->at : c->s->at, "a vector or matrix, and one of its axes");
    norn_value *total =
        NORNI_OP2(c->m->g, x, norni_i64_const(c->m->g, 1, &axis), "ReduceLogSumExp<keepdims=1>");
    norn_value *y = NORNI_OP2(c->m->g, x, total, "Sub");
    return log ? y : NORNI_OP1(c->m->g, y, "Exp");
}

/* ---- Vectors and matrices. */
static bool two(call *c, norn_value *v[2]) {
    v[0] = value(c, "a", 0);
    v[1] = v[0] ? value(c, "b", 1) : NULL;
    return v[1] && norni_make_alike(c->m, c->s->at, 2, v);
}

static norn_value *call_dot(call *c) {
    norn_value *v[2];
    if (!two(c, v))
        return NULL;
    bool numbers = !v[0]->type.rank || !v[1]->type.rank;
    return norni_opf(c->m->g, 2, v, numbers ? "Mul" : "MatMul");
}

static norn_value *call_outer(call *c) {
    norn_value *v[2];
    if (!two(c, v))
        return NULL;
    if (v[0]->type.rank != 1 || v[1]->type.rank != 1)
        return norni_make_fail(c->m, c->s->at, "two vectors");
    return NORNI_OP2(
        c->m->g, NORNI_OP2(c->m->g, v[0], norni_i64_const(c->m->g, 1, (int64_t[]){1}), "Unsqueeze"),
        NORNI_OP2(c->m->g, v[1], norni_i64_const(c->m->g, 1, (int64_t[]){0}), "Unsqueeze"), "Mul");
}

static bool square(const norn_value *x) {
    return x->type.rank == 2 && x->type.dims[0] == x->type.dims[1];
}

static norn_value *call_trace(call *c) {
    norn_value *x = norni_make_real(c->m, value(c, "x", 0));
    if (x && !square(x))
        return norni_make_fail(c->m, c->s->at, "a square matrix");
    norn_value *eye = NORNI_OP1(c->m->g, x, "EyeLike");
    return NORNI_OP1(c->m->g, NORNI_OP2(c->m->g, x, eye, "Mul"), "ReduceSum<keepdims=0>");
}

static norn_value *call_det(call *c) {
    norn_value *x = norni_make_real(c->m, value(c, "x", 0));
    if (x && !square(x))
        return norni_make_fail(c->m, c->s->at, "a square matrix");
    return NORNI_OP1(c->m->g, x, "Det");
}

static norn_value *call_cofactors(call *c) {
    norn_value *x = norni_make_real(c->m, value(c, "x", 0));
    if (x && !square(x))
        return norni_make_fail(c->m, c->s->at, "a square matrix");
    return NORNI_OP1(c->m->g, x, "norn.Cofactors");
}

/* How many elements. */
static norn_value *call_size(call *c) {
    norn_value *x = value(c, "x", 0);
    return norni_cast(c->m->g, NORNI_OP1(c->m->g, x, "Size"), c->m->dtype);
}

static norn_value *call_transpose(call *c) {
    norn_value *x = value(c, "x", 0);
    const norni_syntax *s = argument(c, "perm", 1);
    int64_t perm[NORN_MAX_RANK];
    int n = 0, seen = 0;
    if (!x || (s && !norni_make_ints(c->m, s, NORN_MAX_RANK, perm, &n)))
        return NULL;
    if (!s)
        return x->type.rank < 2 ? x : NORNI_OP1(c->m->g, x, "Transpose");
    norni_str list = {0};
    for (int i = 0; i < n; i++) {
        seen |= perm[i] >= 0 && perm[i] < n ? 1 << perm[i] : 0;
        norni_str_addf(&list, "%s%lld", i ? "," : "", (long long)perm[i]);
    }
    norn_value *v = n == x->type.rank && seen == (1 << n) - 1
                        ? NORNI_OP1(c->m->g, x, "Transpose<perm=[%s]>", list.s ? list.s : "")
                        : norni_make_fail(c->m, s->at, "each of the axes 0 to %d once", x->type.rank - 1);
    norni_str_free(&list);
    return v;
}

static norn_value *shaped(call *c, const char *op) {
    norn_value *x = value(c, "x", 0);
    const norni_syntax *s = argument(c, "shape", 1);
    int64_t dims[NORN_MAX_RANK];
    int n;
    if (!x)
        return NULL;
    if (!s)
        return norni_make_fail(c->m, c->s->end, "an argument 'shape' more");
    return norni_make_ints(c->m, s, NORN_MAX_RANK, dims, &n)
               ? NORNI_OP2(c->m->g, x, norni_i64_const(c->m->g, n, dims), "%s", op)
               : NULL;
}
static norn_value *call_reshape(call *c) {
    return shaped(c, "Reshape");
}
static norn_value *call_expand(call *c) {
    return shaped(c, "Expand");
}

static norn_value *call_filled(call *c) {
    int64_t dims[NORN_MAX_RANK];
    int n;
    const norni_syntax *s = argument(c, "shape", 0);
    norni_type t = {.dtype = c->m->dtype};
    if (!s)
        return norni_make_fail(c->m, c->s->end, "an argument 'shape' more");
    if (!norni_make_ints(c->m, s, NORN_MAX_RANK, dims, &n))
        return NULL;
    t.rank = n;
    memcpy(t.dims, dims, sizeof *dims * (size_t)n);
    for (int i = 0; i < n; i++)
        if (dims[i] < 0)
            return norni_make_fail(c->m, s->at, "sizes of at least 0");
    return norni_fill_const(c->m->g, &t, c->s->at[0] == 'o');
}

static norn_value *call_eye(call *c) {
    int64_t n;
    const norni_syntax *s = argument(c, "n", 0);
    if (!s)
        return norni_make_fail(c->m, c->s->end, "an argument 'n' more");
    if (!norni_make_int(c->m, s, &n) || n < 0 || n > 100000)
        return norni_make_fail(c->m, s->at, "a size");
    norn_value *v =
        norni_fill_const(c->m->g, &(norni_type){.dtype = c->m->dtype, .rank = 2, .dims = {n, n}}, 0);
    for (int64_t i = 0; v && i < n; i++)
        norni_set_double(c->m->dtype, norni_tensor_data(v->data), i * n + i, 1);
    return v;
}

/* pad(x, [1, 0], [2, 0]): zeros before and after each axis. */
static norn_value *call_pad(call *c) {
    int64_t pads[2 * NORN_MAX_RANK];
    int n, k;
    norn_value *x = value(c, "x", 0);
    const norni_syntax *b = argument(c, "before", 1), *a = argument(c, "after", 2);
    if (!x)
        return NULL;
    if (!a || !b)
        return norni_make_fail(c->m, c->s->end, "the arguments 'before' and 'after'");
    if (!norni_make_ints(c->m, b, NORN_MAX_RANK, pads, &n))
        return NULL;
    if (n != x->type.rank)
        return norni_make_fail(c->m, b->at, "%d numbers", x->type.rank);
    if (!norni_make_ints(c->m, a, NORN_MAX_RANK, pads + n, &k))
        return NULL;
    if (k != n)
        return norni_make_fail(c->m, a->at, "%d numbers", n);
    return NORNI_OP2(c->m->g, x, norni_i64_const(c->m->g, 2 * n, pads), "Pad");
}

static norn_value *call_concat(call *c) {
    const norni_syntax *list = argument(c, "list", 0), *s = argument(c, "axis", 1);
    norn_value *v[30];
    int64_t axis = 0;
    if (!list || list->kind != NORNI_S_LIST || !list->n || list->n > 30)
        return norni_make_fail(c->m, list ? list->at : c->s->end, "a list of 1 to 30 values");
    for (int i = 0; i < list->n; i++)
        if (!(v[i] = norni_make_value(c->m, list->a[i])))
            return NULL;
    if ((s && !norni_make_int(c->m, s, &axis)) || !norni_make_alike(c->m, list->at, list->n, v))
        return NULL;
    return norni_opf(c->m->g, list->n, v, "Concat<axis=%d>", (int)axis);
}

static norn_value *call_where(call *c) {
    norn_value *k = norni_make_condition(c->m, value(c, "condition", 0)), *v[2];
    v[0] = k ? value(c, "a", 1) : NULL;
    v[1] = v[0] ? value(c, "b", 2) : NULL;
    if (!v[1] || !norni_make_alike(c->m, c->s->at, 2, v))
        return NULL;
    return NORNI_OP3(c->m->g, k, v[0], v[1], "Where");
}

static norn_value *call_not(call *c) {
    return NORNI_OP1(c->m->g, norni_make_condition(c->m, value(c, "x", 0)), "Not");
}

static norn_value *call_atan2(call *c) {
    static const char *const names[] = {"y", "x"};
    norn_value *v[2];
    norn_value *y = two(c, v) ? norni_formula(c->m->g,
                                              "where(x == 0 and y == 0, 0, where(x > 0, atan(y / x), "
                                              "where(y > 0, pi / 2 - atan(x / y), "
                                              "where(y < 0, -pi / 2 - atan(x / y), pi + atan(y / x)))))",
                                              2, names, v)
                              : NULL;
    if (y && y->producer)
        y->producer->guard = true;
    return y;
}

static norn_value *call_pow(call *c) {
    norn_value *v[2];
    return two(c, v) ? NORNI_OP2(c->m->g, v[0], v[1], "Pow") : NULL;
}

static norn_value *call_mod(call *c) {
    norn_value *v[2];
    static const char *const names[] = {"x", "y"};
    if (!two(c, v))
        return NULL;
    bool f = c->s->at[0] == 'f';
    if (!norni_dtype_is_float(v[0]->type.dtype))
        return norni_opf(c->m->g, 2, v, f ? "Mod<fmod=1>" : "Mod<fmod=0>");
    /* As formulas, for the operator has no gradient. */
    return norni_formula(c->m->g, f ? "x - y * sign(x / y) * floor(abs(x / y))" : "x - y * floor(x / y)", 2,
                         names, v);
}

/* ---- Functions of one element, and of an element and a number. */
static const struct {
    const char *name, *op; /* the operator, */
    const char *formula;   /* or a formula over x and a, */
    const char *second;    /* the name of a, */
    double preset;         /* and what it is when it is not given. */
} pointwise[] = {
    {"abs", "Abs", NULL, NULL, 0},
    {"sign", "Sign", NULL, NULL, 0},
    {"floor", "Floor", NULL, NULL, 0},
    {"ceil", "Ceil", NULL, NULL, 0},
    {"round", "Round", NULL, NULL, 0},
    {"sqrt", "Sqrt", NULL, NULL, 0},
    {"exp", "Exp", NULL, NULL, 0},
    {"log", "Log", NULL, NULL, 0},
    {"ln", "Log", NULL, NULL, 0},
    {"sin", "Sin", NULL, NULL, 0},
    {"cos", "Cos", NULL, NULL, 0},
    {"tan", "Tan", NULL, NULL, 0},
    {"asin", "Asin", NULL, NULL, 0},
    {"acos", "Acos", NULL, NULL, 0},
    {"atan", "Atan", NULL, NULL, 0},
    {"sinh", "Sinh", NULL, NULL, 0},
    {"cosh", "Cosh", NULL, NULL, 0},
    {"tanh", "Tanh", NULL, NULL, 0},
    {"asinh", "Asinh", NULL, NULL, 0},
    {"acosh", "Acosh", NULL, NULL, 0},
    {"atanh", "Atanh", NULL, NULL, 0},
    {"erf", "Erf", NULL, NULL, 0},
    {"sigmoid", "Sigmoid", NULL, NULL, 0},
    {"relu", "Relu", NULL, NULL, 0},
    {"softplus", "Softplus", NULL, NULL, 0},
    {"isnan", "IsNaN", NULL, NULL, 0},
    {"isinf", "IsInf", NULL, NULL, 0},
    {"neg", "Neg", NULL, NULL, 0},
    {"gelu", "Gelu", NULL, NULL, 0},
    {"trunc", NULL, "sign(x) * floor(abs(x))", NULL, 0},
    {"square", NULL, "x ** 2", NULL, 0},
    {"rsqrt", NULL, "x ** -0.5", NULL, 0},
    {"cbrt", NULL, "sign(x) * abs(x) ** (1 / 3)", NULL, 0},
    {"expm1", NULL, "exp(x) - 1", NULL, 0},
    {"log1p", NULL, "log(1 + x)", NULL, 0},
    {"exp2", NULL, "2 ** x", NULL, 0},
    {"log2", NULL, "log(x) / log(2)", NULL, 0},
    {"log10", NULL, "log(x) / log(10)", NULL, 0},
    {"cot", NULL, "cos(x) / sin(x)", NULL, 0},
    {"sec", NULL, "1 / cos(x)", NULL, 0},
    {"csc", NULL, "1 / sin(x)", NULL, 0},
    {"silu", NULL, "x * sigmoid(x)", NULL, 0},
    {"swish", NULL, "x * sigmoid(x)", NULL, 0},
    {"softsign", NULL, "x / (1 + abs(x))", NULL, 0},
    {"elu", NULL, "where(x < 0, a * (exp(x) - 1), x)", "alpha", 1},
    {"leaky_relu", NULL, "where(x < 0, a * x, x)", "alpha", 0.01},
    {"erfc", NULL, "1 - erf(x)", NULL, 0},
};

/* Operators or formulas over their arguments in order. */
static const struct {
    const char *name;
    int n;
    const char *const names[3];
    const char *op, *formula;
} several[] = {
    {"hypot", 2, {"x", "y"}, NULL, "sqrt(x ** 2 + y ** 2)"},
    {"stop_gradient", 1, {"x"}, "norn.StopGradient", NULL},
    {"scale_gradient", 2, {"x", "scale"}, "norn.ScaleGradient", NULL},
    {"clip_gradient", 3, {"x", "lo", "hi"}, "norn.ClipGradient", NULL},
};

static norn_value *call_several(call *c, size_t i) {
    norn_value *v[3];
    for (int k = 0; k < several[i].n; k++)
        if (!(v[k] = value(c, several[i].names[k], k)))
            return NULL;
    if (!(v[0] = norni_make_real(c->m, v[0])) || !norni_make_alike(c->m, c->s->at, several[i].n, v))
        return NULL;
    return several[i].op ? norni_opf(c->m->g, several[i].n, v, "%s", several[i].op)
                         : norni_formula(c->m->g, several[i].formula, several[i].n, several[i].names, v);
}

static norn_value *call_pointwise(call *c, size_t i) {
    static const char *const names[] = {"x", "a"};
    norn_value *x = norni_make_real(c->m, value(c, "x", 0));
    if (!x)
        return NULL;
    if (pointwise[i].op)
        return NORNI_OP1(c->m->g, x, "%s", pointwise[i].op);
    norn_value *v[] = {x, NULL};
    if (pointwise[i].second) {
        v[1] = argument(c, pointwise[i].second, 1)
                   ? value(c, pointwise[i].second, 1)
                   : norni_scalar_const(c->m->g, x->type.dtype, pointwise[i].preset);
        if (!v[1] || !norni_make_alike(c->m, c->s->at, 2, v))
            return NULL;
    }
    return norni_formula(c->m->g, pointwise[i].formula, 2, names, v);
}

static norn_value *call_mish(call *c) {
    norn_value *x = norni_make_real(c->m, value(c, "x", 0));
    return NORNI_OP2(c->m->g, x, NORNI_OP1(c->m->g, NORNI_OP1(c->m->g, x, "Softplus"), "Tanh"), "Mul");
}

static norn_value *call_logaddexp(call *c) {
    norn_value *v[2]; /* y + ln(1 + e^(x - y)) */
    if (!two(c, v))
        return NULL;
    return NORNI_OP2(c->m->g, v[1], NORNI_OP1(c->m->g, NORNI_OP2(c->m->g, v[0], v[1], "Sub"), "Softplus"),
                     "Add");
}

static norn_value *call_clip(call *c) {
    static const char *const names[] = {"x", "lo", "hi"};
    norn_value *v[3];
    for (int i = 0; i < 3; i++)
        if (!(v[i] = value(c, names[i], i)))
            return NULL;
    if (!norni_make_alike(c->m, c->s->at, 3, v))
        return NULL;
    return v[1]->type.rank || v[2]->type.rank ? norni_formula(c->m->g, "min(max(x, lo), hi)", 3, names, v)
                                              : norni_opf(c->m->g, 3, v, "Clip");
}

/* x/6 + 1/2 between 0 and 1; hardswish: x times that. */
static norn_value *call_hard(call *c) {
    static const char *const names[] = {"x"};
    norn_value *x = norni_make_real(c->m, value(c, "x", 0)), *v[3];
    if (!x)
        return NULL;
    v[0] = norni_formula(c->m->g, "x / 6 + 1 / 2", 1, names, &x);
    v[1] = norni_scalar_const(c->m->g, x->type.dtype, 0);
    v[2] = norni_scalar_const(c->m->g, x->type.dtype, 1);
    norn_value *y = norni_opf(c->m->g, 3, v, "Clip");
    return c->s->len == 9 ? NORNI_OP2(c->m->g, x, y, "Mul") : y;
}

/* cumsum and cumprod (x, axis, exclusive=1, reverse=1). */
static norn_value *call_running(call *c) {
    norn_value *x = norni_make_real(c->m, value(c, "x", 0));
    const norni_syntax *s[3] = {argument(c, "axis", 1), argument(c, "exclusive", -1),
                                argument(c, "reverse", -1)};
    int64_t v[3] = {0};
    for (int i = 0; i < 3 && x; i++)
        if (s[i] && !norni_make_int(c->m, s[i], &v[i]))
            return NULL;
    if (x && (v[0] < -x->type.rank || v[0] >= x->type.rank))
        return norni_make_fail(c->m, s[0] ? s[0]->at : c->s->at, "an axis of a vector or matrix");
    return NORNI_OP2(c->m->g, x, norni_scalar_const(c->m->g, NORN_I64, (double)v[0]),
                     "%s<exclusive=%d, reverse=%d>", c->s->at[3] == 's' ? "CumSum" : "CumProd", v[1] != 0,
                     v[2] != 0);
}

static norn_value *call_sum(call *c) {
    return reduction(c, "ReduceSum");
}
static norn_value *call_mean(call *c) {
    return reduction(c, "ReduceMean");
}
static norn_value *call_prod(call *c) {
    return reduction(c, "ReduceProd");
}
static norn_value *call_logsumexp(call *c) {
    return reduction(c, "ReduceLogSumExp");
}

static const struct {
    const char *name;
    norn_value *(*make)(call *c);
} others[] = {
    {"where", call_where},
    {"max", call_max},
    {"min", call_min},
    {"pow", call_pow},
    {"mod", call_mod},
    {"fmod", call_mod},
    {"atan2", call_atan2},
    {"not", call_not},
    {"sum", call_sum},
    {"mean", call_mean},
    {"prod", call_prod},
    {"norm", call_norm},
    {"logsumexp", call_logsumexp},
    {"softmax", call_softmax},
    {"log_softmax", call_softmax},
    {"dot", call_dot},
    {"matmul", call_dot},
    {"outer", call_outer},
    {"trace", call_trace},
    {"size", call_size},
    {"cofactors", call_cofactors},
    {"det", call_det},
    {"transpose", call_transpose},
    {"reshape", call_reshape},
    {"expand", call_expand},
    {"zeros", call_filled},
    {"ones", call_filled},
    {"eye", call_eye},
    {"pad", call_pad},
    {"cumsum", call_running},
    {"cumprod", call_running},
    {"concat", call_concat},
    {"mish", call_mish},
    {"logaddexp", call_logaddexp},
    {"clip", call_clip},
    {"hardsigmoid", call_hard},
    {"hardswish", call_hard},
};

static norn_value *call_other(call *c, size_t i) {
    return others[i].make(c);
}

/* What makes the calls of a function, and its row; NULL: there is none of this name. */
typedef norn_value *maker(call *c, size_t row);
static maker *find(const char *name, size_t n, size_t *row) {
#define FIND(table, make)                                                                                    \
    for (*row = 0; *row < sizeof table / sizeof *table; ++*row)                                              \
        if (strlen(table[*row].name) == n && !memcmp(table[*row].name, name, n))                             \
            return make;
    FIND(pointwise, call_pointwise)
    FIND(several, call_several)
    FIND(others, call_other)
#undef FIND
    return NULL;
}

bool norni_formula_calls(const char *name) {
    size_t row;
    return find(name, strlen(name), &row) != NULL;
}

/* An operator that the program defined: its first output. */
static norn_value *call_defined(call *c, const norn_op *op) {
    norn_value *v[32];
    double x;
    int n = 0;
    for (; op->inputs[n].name; n++)
        if (!(v[n] = value(c, op->inputs[n].name, n)))
            return NULL;
    for (int i = 0; i < n; i++) { /* numbers take the type of what they meet */
        norni_types types = op->inputs[i].types;
        norn_dtype only = types & (types - 1) ? NORN_UNDEFINED : (norn_dtype)__builtin_ctz(types);
        for (int k = 0; k < n && only == NORN_UNDEFINED && op->inputs[i].var; k++)
            if (op->inputs[k].var == op->inputs[i].var && v[k]->kind != NORNI_CONST &&
                !norni_formula_literal(v[k], &x))
                only = v[k]->type.dtype;
        if ((v[i]->kind == NORNI_CONST || norni_formula_literal(v[i], &x)) && only != NORN_UNDEFINED)
            v[i] = norni_cast(c->m->g, v[i], only);
    }
    return norni_opf(c->m->g, n, v, "%s.%s", op->domain, op->name);
}

norn_value *norni_make_call(norni_formula_maker *m, const norni_syntax *s) {
    call c = {.m = m, .s = s};
    norn_value *v = NULL;
    size_t row;
    for (int i = 0; i < s->n; i++)
        c.n += s->a[i]->kind != NORNI_S_NAMED;
    if (s->n > 31)
        return norni_make_fail(m, s->a[31]->at, "fewer arguments");
    maker *make = find(s->at, s->len, &row);
    bool known = make != NULL;
    if (known)
        v = make(&c, row);
    const norn_op *op;
    for (size_t i = 0; !known && (op = norni_op_defined(i)); i++)
        if ((known = norni_syntax_is(s, op->name)))
            v = call_defined(&c, op);
    if (!known)
        return norni_make_fail(m, s->at, "a known function");
    return all_used(&c) ? norni_made(m, s->at, v) : NULL;
}
