/* SPDX-License-Identifier: Apache-2.0 */
/* Functions, comparisons and choices in normal form: identities that hold wherever the original has a value. */
#include "ops/op.h"
#include "symbolic/term.h"
#include <math.h>
#include <string.h>

/* The sign that can be taken out of an argument: -1 for -u, and for a sum whose first term is negative. */
static int leading_sign(const norni_term *t) {
    if (t->kind == NORNI_NUM)
        return norni_num_sign(t->num) < 0 ? -1 : 1;
    if (t->kind == NORNI_MUL)
        return norni_num_sign(t->num) < 0 ? -1 : 1;
    if (t->kind == NORNI_ADD) {
        int minus = norni_num_sign(t->num)<0, plus = norni_num_sign(t->num)> 0;
        for (int i = 0; i < t->n; i++) {
            minus += norni_num_sign(t->coef[i]) < 0;
            plus += norni_num_sign(t->coef[i]) > 0;
        }
        return minus > plus || (minus == plus && norni_num_sign(t->coef[0]) < 0) ? -1 : 1;
    }
    return 1;
}

static bool odd(int fn) {
    return fn == NORNI_E_SIN || fn == NORNI_E_TAN || fn == NORNI_E_ASIN || fn == NORNI_E_ATAN ||
           fn == NORNI_E_SINH || fn == NORNI_E_TANH || fn == NORNI_E_ASINH || fn == NORNI_E_ATANH ||
           fn == NORNI_E_ERF || fn == NORNI_E_SIGN;
}
static bool even(int fn) {
    return fn == NORNI_E_COS || fn == NORNI_E_COSH || fn == NORNI_E_ABS;
}

/* Never below 0 where it has a value. */
static bool not_negative(const norni_term *t) {
    if (t->kind == NORNI_NUM)
        return norni_num_sign(t->num) >= 0;
    if (t->kind == NORNI_E || t->kind == NORNI_PI)
        return true;
    if (t->kind == NORNI_POW)
        return not_negative(t->a[0]) || (t->a[1]->kind == NORNI_NUM && t->a[1]->num.exact &&
                                         (t->a[1]->num.p % 2 == 0 || t->a[1]->num.q % 2 == 0));
    if (t->kind == NORNI_FN)
        return t->fn == NORNI_E_ABS || t->fn == NORNI_E_SIGMOID || t->fn == NORNI_E_COSH ||
               t->fn == NORNI_F_SOFTPLUS;
    if (t->kind == NORNI_ADD) {
        bool all = norni_num_sign(t->num) >= 0;
        for (int i = 0; i < t->n; i++)
            all = all && norni_num_sign(t->coef[i]) > 0 && not_negative(t->a[i]);
        return all;
    }
    if (t->kind == NORNI_MUL) {
        bool all = norni_num_sign(t->num) >= 0;
        for (int i = 0; i < t->n / 2; i++) {
            const norni_term *p = t->a[t->n / 2 + i];
            all = all && (not_negative(t->a[i]) ||
                          (p->kind == NORNI_NUM && norni_num_whole(p->num) && p->num.p % 2 == 0));
        }
        return all;
    }
    return t->kind == NORNI_RED && (t->fn == NORNI_R_NORM || t->fn == NORNI_R_NORM1);
}

static const norni_term *raw(norni_terms *c, int fn, int n, const norni_term *const *a) {
    norni_term like = {.kind = NORNI_FN, .fn = fn, .n = n, .a = (const norni_term **)a};
    if (!norni_t_broadcast(c, n, a, &like.type))
        return NULL;
    bool truth = (fn >= NORNI_E_LT && fn <= NORNI_E_OR) || fn == NORNI_E_NOT || fn == NORNI_E_ISNAN ||
                 fn == NORNI_E_ISINF;
    like.type.dtype = truth                                        ? NORN_BOOL
                      : fn == NORNI_E_WHERE || fn == NORNI_F_GUARD ? a[1]->type.dtype
                                                                   : a[0]->type.dtype;
    return norni_t_intern(c, &like);
}

/* ---- Functions of one argument. */
static const norni_term *known_value(norni_terms *c, int fn, const norni_term *a) {
    bool zero = norni_t_is(a, 0), one = norni_t_is(a, 1);
    if (a->kind == NORNI_NUM && a->num.exact) {
        norni_num v = a->num;
        int64_t down = v.p >= 0 ? v.p / v.q : -((-v.p + v.q - 1) / v.q);
        switch (fn) {
        case NORNI_E_ABS:
            return norni_t_num(c, v.p < 0 ? norni_num_neg(v) : v);
        case NORNI_E_SIGN:
            return norni_t_int(c, norni_num_sign(v));
        case NORNI_E_FLOOR:
            return norni_t_int(c, down);
        case NORNI_E_CEIL:
            return norni_t_int(c, down + (v.q != 1));
        case NORNI_E_ROUND:
            return norni_t_int(c, (int64_t)nearbyint(norni_num_value(v)));
        default:
            break;
        }
    }
    if (a->kind == NORNI_NUM && isnan(norni_num_value(a->num)))
        return a;
    if (zero)
        switch (fn) {
        case NORNI_E_LOG:
            return norni_t_num(c, (norni_num){.d = -(double)INFINITY});
        case NORNI_E_SIN:
        case NORNI_E_TAN:
        case NORNI_E_ASIN:
        case NORNI_E_ATAN:
        case NORNI_E_SINH:
        case NORNI_E_TANH:
        case NORNI_E_ASINH:
        case NORNI_E_ATANH:
        case NORNI_E_ERF:
            return c->zero;
        case NORNI_E_COS:
        case NORNI_E_COSH:
            return c->one;
        case NORNI_E_SIGMOID:
            return norni_t_num(c, norni_num_ratio(1, 2));
        default:
            break;
        }
    if (one && (fn == NORNI_E_LOG || fn == NORNI_E_ACOS || fn == NORNI_E_ACOSH))
        return c->zero;
    if (fn == NORNI_E_LOG && a->kind == NORNI_E)
        return c->one;
    if ((fn == NORNI_E_SIN || fn == NORNI_E_COS || fn == NORNI_E_TAN) &&
        (a->kind == NORNI_PI || (a->kind == NORNI_MUL && a->n == 2 && a->a[0]->kind == NORNI_PI &&
                                 norni_t_is(a->a[1], 1) && norni_num_whole(a->num)))) {
        int64_t k = a->kind == NORNI_PI ? 1 : a->num.p; /* a multiple of pi */
        return fn == NORNI_E_COS ? norni_t_int(c, k % 2 ? -1 : 1) : c->zero;
    }
    return NULL;
}

static const norni_term *log_of(norni_terms *c, const norni_term *a) {
    if (a->kind != NORNI_POW)
        return raw(c, NORNI_E_LOG, 1, &a);
    const norni_term *e = a->a[1];
    bool even_power = e->kind == NORNI_NUM && norni_num_whole(e->num) && e->num.p % 2 == 0;
    if (a->a[0]->kind == NORNI_E)
        return e;
    if (e->kind == NORNI_NUM && !even_power) /* defined for a base above 0 only */
        return norni_t_scaled(c, e->num, norni_t_fn(c, NORNI_E_LOG, a->a[0], NULL, NULL));
    if (not_negative(a->a[0]))
        return norni_t_times(c, e, norni_t_fn(c, NORNI_E_LOG, a->a[0], NULL, NULL));
    if (even_power)
        return norni_t_scaled(
            c, e->num,
            norni_t_fn(c, NORNI_E_LOG, norni_t_fn(c, NORNI_E_ABS, a->a[0], NULL, NULL), NULL, NULL));
    return raw(c, NORNI_E_LOG, 1, &a);
}

static const norni_term *function(norni_terms *c, int fn, const norni_term *a) {
    const norni_term *k, *rest;
    if (fn == NORNI_E_NEG)
        return norni_t_scaled(c, norni_num_int(-1), a);
    if (fn == NORNI_E_SQRT || fn == NORNI_E_RSQRT)
        return norni_t_pow(c, a, norni_t_num(c, norni_num_ratio(fn == NORNI_E_SQRT ? 1 : -1, 2)));
    if (fn == NORNI_E_EXP)
        return norni_t_pow(c, norni_t_intern(c, &(norni_term){.kind = NORNI_E, .type = {.dtype = c->dtype}}),
                           a);
    if (fn == NORNI_E_EXPM1)
        return norni_t_sum2(c, function(c, NORNI_E_EXP, a), c->minus_one);
    if (fn == NORNI_E_LOG1P)
        return norni_t_fn(c, NORNI_E_LOG, norni_t_sum2(c, a, c->one), NULL, NULL);
    if (fn == NORNI_E_NOT) {
        static const int opposite[] = {[NORNI_E_EQ] = NORNI_E_NE, [NORNI_E_NE] = NORNI_E_EQ};
        if (a->kind == NORNI_NUM)
            return norni_t_bool(c, norni_t_is(a, 0));
        if (a->kind == NORNI_FN && a->fn == NORNI_E_NOT)
            return a->a[0];
        if (a->kind == NORNI_FN && (a->fn == NORNI_E_EQ || a->fn == NORNI_E_NE))
            return norni_t_fn(c, opposite[a->fn], a->a[0], a->a[1], NULL);
        return raw(c, fn, 1, &a);
    }
    if ((fn == NORNI_E_ISNAN || fn == NORNI_E_ISINF) && a->kind == NORNI_NUM)
        return norni_t_bool(c, fn == NORNI_E_ISNAN ? isnan(norni_num_value(a->num))
                                                   : isinf(norni_num_value(a->num)));
    if (fn == NORNI_E_ISNAN || fn == NORNI_E_ISINF)
        return raw(c, fn, 1, &a);
    if ((k = known_value(c, fn, a)) || c->status != NORN_OK)
        return k;
    if ((odd(fn) || even(fn)) && leading_sign(a) < 0) {
        norni_num minus = norni_num_int(-1); /* within sums */
        k = norni_t_fn(c, fn, norni_t_add(c, 1, &minus, &a), NULL, NULL);
        return odd(fn) ? norni_t_scaled(c, norni_num_int(-1), k) : k;
    }
    if (fn == NORNI_E_LOG)
        return log_of(c, a);
    if ((fn == NORNI_E_ABS && not_negative(a)) ||
        (a->kind == NORNI_FN && a->fn == fn &&
         (fn == NORNI_E_SIGN || fn == NORNI_E_FLOOR || fn == NORNI_E_CEIL || fn == NORNI_E_ROUND)))
        return a;
    if (fn == NORNI_E_ABS) { /* |k u| = |k| |u|; |e ** u| and the like are above */
        norni_num f = norni_t_split(c, a, &rest);
        if (rest && !norni_num_is(f, 1))
            return norni_t_scaled(c, norni_num_sign(f) < 0 ? norni_num_neg(f) : f,
                                  norni_t_fn(c, fn, rest, NULL, NULL));
    }
    if (fn == NORNI_E_SIGN) {
        norni_num f = norni_t_split(c, a, &rest); /* above 0: the sign was taken out before */
        if (rest && !norni_num_is(f, 1) && norni_num_sign(f) > 0)
            return norni_t_fn(c, fn, rest, NULL, NULL);
    }
    if (a->kind == NORNI_FN) { /* inverses */
        static const int of[][2] = {{NORNI_E_SIN, NORNI_E_ASIN},   {NORNI_E_COS, NORNI_E_ACOS},
                                    {NORNI_E_TAN, NORNI_E_ATAN},   {NORNI_E_SINH, NORNI_E_ASINH},
                                    {NORNI_E_COSH, NORNI_E_ACOSH}, {NORNI_E_TANH, NORNI_E_ATANH},
                                    {NORNI_E_ASINH, NORNI_E_SINH}, {NORNI_E_ATANH, NORNI_E_TANH}};
        for (size_t i = 0; i < sizeof of / sizeof *of; i++)
            if (of[i][0] == fn && of[i][1] == a->fn)
                return a->a[0];
        static const int roots[][3] = {/* f(g(u)) = sqrt(1 +- u^2) */
                                       {NORNI_E_COS, NORNI_E_ASIN, -1},
                                       {NORNI_E_SIN, NORNI_E_ACOS, -1},
                                       {NORNI_E_COSH, NORNI_E_ASINH, 1}};
        for (size_t i = 0; i < sizeof roots / sizeof *roots; i++)
            if (roots[i][0] == fn && roots[i][1] == a->fn)
                return norni_t_pow(
                    c,
                    norni_t_add(c, 2, (norni_num[]){norni_num_int(1), norni_num_int(roots[i][2])},
                                (const norni_term *[]){c->one, norni_t_pow(c, a->a[0], norni_t_int(c, 2))}),
                    norni_t_num(c, norni_num_ratio(1, 2)));
    }
    return raw(c, fn, 1, &a);
}

/* ---- Comparisons. */
static const norni_term *compare(norni_terms *c, int fn, const norni_term *a, const norni_term *b) {
    if (a->kind == NORNI_NUM && b->kind == NORNI_NUM) {
        double x = norni_num_value(a->num), y = norni_num_value(b->num);
        return norni_t_bool(c, fn == NORNI_E_LT   ? x < y
                               : fn == NORNI_E_LE ? x <= y
                               : fn == NORNI_E_GT ? x > y
                               : fn == NORNI_E_GE ? x >= y
                               : fn == NORNI_E_EQ ? x == y
                                                  : x != y);
    }
    bool max_a = a->kind == NORNI_FN && (a->fn == NORNI_E_MAX || a->fn == NORNI_E_MIN);
    bool max_b = b->kind == NORNI_FN && (b->fn == NORNI_E_MAX || b->fn == NORNI_E_MIN);
    if (fn == NORNI_E_EQ && max_a != max_b) { /* u = max(u, v) where u >= v */
        const norni_term *m = max_a ? a : b, *u = max_a ? b : a;
        for (int i = 0; i < 2; i++)
            if (m->a[i] == u)
                return norni_t_fn(c, m->fn == NORNI_E_MAX ? NORNI_E_GE : NORNI_E_LE, u, m->a[!i], NULL);
    }
    if (fn == NORNI_E_GT && max_a && a->fn == NORNI_E_MAX) /* max(u, v) > v where u > v */
        for (int i = 0; i < 2; i++)
            if (a->a[i] == b)
                return norni_t_fn(c, fn, a->a[!i], b, NULL);
    if (norni_t_is(b, 0) && a->kind == NORNI_MUL && !norni_num_is(a->num, 1)) { /* k u > 0 */
        const norni_term *rest;
        norni_num k = norni_t_split(c, a, &rest);
        static const int turned[] = {
            [NORNI_E_LT] = NORNI_E_GT, [NORNI_E_LE] = NORNI_E_GE, [NORNI_E_GT] = NORNI_E_LT,
            [NORNI_E_GE] = NORNI_E_LE, [NORNI_E_EQ] = NORNI_E_EQ, [NORNI_E_NE] = NORNI_E_NE};
        if (rest && k.exact)
            return norni_t_fn(c, k.p < 0 ? turned[fn] : fn, rest, b, NULL);
    }
    return raw(c, fn, 2, (const norni_term *[]){a, b});
}

static const norni_term *logic(norni_terms *c, int fn, const norni_term *a, const norni_term *b) {
    bool both = fn == NORNI_E_AND;
    for (int i = 0; i < 2; i++) {
        const norni_term *x = i ? b : a, *y = i ? a : b;
        if (x->kind == NORNI_NUM)
            return norni_t_is(x, 1) == both ? y : x;
    }
    return a == b ? a : raw(c, fn, 2, (const norni_term *[]){a, b});
}

/* t where the condition k is known to hold, or not to: choices by it are made. */
static const norni_term *given(norni_terms *c, const norni_term *t, const norni_term *k, bool holds,
                               int depth) {
    enum { DEPTH = 6 };
    if (!t || depth > DEPTH || t->id < k->id || !t->n)
        return t;
    if (t->kind == NORNI_FN && (t->fn == NORNI_E_WHERE || t->fn == NORNI_F_GUARD) && t->a[0] == k)
        return given(c, t->a[holds ? 1 : 2], k, holds, depth + 1);
    const norni_term **a = norni_arena_array(c->arena, (size_t)t->n, sizeof *a);
    bool changed = false;
    if (!a)
        return norni_t_failed(c, norni_nomem());
    for (int i = 0; i < t->n; i++) {
        if (!(a[i] = given(c, t->a[i], k, holds, depth + 1)))
            return NULL;
        changed |= a[i] != t->a[i];
    }
    return changed ? norni_t_again(c, t, a) : t;
}

static bool is_zero(const norni_term *t) {
    return norni_t_is(t->kind == NORNI_SPREAD ? t->a[0] : t, 0);
}

static const norni_term *choose(norni_terms *c, const norni_term *k, const norni_term *a,
                                const norni_term *b) {
    if (k->kind == NORNI_NUM)
        return norni_t_is(k, 0) ? b : a;
    if (norni_t_scalar(k)) {
        a = given(c, a, k, true, 0);
        b = given(c, b, k, false, 0);
        if (!a || !b)
            return NULL;
    }
    if (a == b)
        return a;
    if (k->kind == NORNI_FN && k->fn == NORNI_E_NOT)
        return norni_t_fn(c, NORNI_E_WHERE, k->a[0], b, a);
    if (k->kind == NORNI_FN && k->fn == NORNI_E_NE)
        return norni_t_fn(c, NORNI_E_WHERE, norni_t_fn(c, NORNI_E_EQ, k->a[0], k->a[1], NULL), b, a);
    if (a->kind == NORNI_FN && a->fn == NORNI_E_WHERE) {
        if (is_zero(b) && is_zero(a->a[1]))
            return norni_t_fn(c, NORNI_E_WHERE, a->a[0], b, norni_t_fn(c, NORNI_E_WHERE, k, a->a[2], b));
        if (a->a[0] == k)
            return norni_t_fn(c, NORNI_E_WHERE, k, a->a[1], b);
        if (a->a[2] == b)
            return norni_t_fn(c, NORNI_E_WHERE, norni_t_fn(c, NORNI_E_AND, k, a->a[0], NULL), a->a[1], b);
    }
    if (b->kind == NORNI_FN && b->fn == NORNI_E_WHERE) {
        if (b->a[0] == k)
            return norni_t_fn(c, NORNI_E_WHERE, k, a, b->a[2]);
        /* Nested choices that leave 0 have one order, so that the branches of a sum meet again. */
        if (b->a[1] == a && is_zero(a) && b->a[0]->id < k->id)
            return norni_t_fn(c, NORNI_E_WHERE, b->a[0], a, norni_t_fn(c, NORNI_E_WHERE, k, a, b->a[2]));
        if (b->a[1] == a && !is_zero(a) && !is_zero(b->a[2]))
            return norni_t_fn(c, NORNI_E_WHERE, norni_t_fn(c, NORNI_E_OR, k, b->a[0], NULL), a, b->a[2]);
    }
    return raw(c, NORNI_E_WHERE, 3, (const norni_term *[]){k, a, b});
}

const norni_term *norni_t_fn(norni_terms *c, int fn, const norni_term *a, const norni_term *b,
                             const norni_term *d) {
    const norni_term *in[] = {a, b, d}, *out;
    int n = fn == NORNI_F_SOFTPLUS ? 1 : fn == NORNI_F_GUARD ? 3 : norni_expr_arity((norni_expr_op)fn);
    norni_type want;
    if (c->status != NORN_OK || !norni_t_strip(c, n, in, in, &want))
        return NULL;
    if (n == 1)
        out = function(c, fn, in[0]);
    else if (fn == NORNI_F_GUARD && in[0]->kind != NORNI_NUM && in[1] != in[2])
        out = raw(c, fn, 3, in);
    else if (n == 3)
        out = choose(c, in[0], in[1], in[2]);
    else if (fn == NORNI_E_ADD || fn == NORNI_E_SUB)
        out =
            norni_t_add(c, 2, (norni_num[]){norni_num_int(1), norni_num_int(fn == NORNI_E_ADD ? 1 : -1)}, in);
    else if (fn == NORNI_E_MUL || fn == NORNI_E_DIV)
        out = norni_t_mul(c, norni_num_int(1), 2, in,
                          (const norni_term *[]){c->one, fn == NORNI_E_MUL ? c->one : c->minus_one});
    else if (fn == NORNI_E_POW)
        out = norni_t_pow(c, in[0], in[1]);
    else if (fn >= NORNI_E_LT && fn <= NORNI_E_NE)
        out = compare(c, fn, in[0], in[1]);
    else if (fn == NORNI_E_AND || fn == NORNI_E_OR)
        out = logic(c, fn, in[0], in[1]);
    else if ((fn == NORNI_E_MAX || fn == NORNI_E_MIN) && in[0] == in[1])
        out = in[0];
    else if ((fn == NORNI_E_MAX || fn == NORNI_E_MIN) && in[0]->kind == NORNI_NUM && in[1]->kind == NORNI_NUM)
        out = isnan(norni_num_value(in[0]->num))                                                   ? in[0]
              : isnan(norni_num_value(in[1]->num))                                                 ? in[1]
              : (norni_num_value(in[0]->num) > norni_num_value(in[1]->num)) == (fn == NORNI_E_MAX) ? in[0]
                                                                                                   : in[1];
    else
        out = raw(c, fn, 2, in);
    if (!out)
        return NULL;
    want.dtype = out->type.dtype;
    return norni_t_spread(c, out, &want);
}
