/* SPDX-License-Identifier: Apache-2.0 */
/* Sums, products and powers in normal form. */
#include "ops/op.h"
#include "symbolic/term.h"
#include <math.h>
#include <string.h>

/* ---- Sums: num + sum of coef a. */
typedef struct {
    norni_num k;
    const norni_term *t;
} part;
typedef NORNI_VEC(part) parts;

static bool put(norni_terms *c, parts *v, norni_num k, const norni_term *t) {
    for (size_t i = 0; i < v->n; i++)
        if (v->v[i].t == t) {
            v->v[i].k = norni_num_add(v->v[i].k, k);
            return true;
        }
    if (NORNI_PUSH(v, ((part){k, t})))
        return true;
    norni_t_failed(c, norni_nomem());
    return false;
}

/* k t, taken apart: numbers, sums and numeric factors of sums. */
static bool gather(norni_terms *c, parts *v, norni_num *constant, norni_num k, const norni_term *t) {
    const norni_term *rest;
    k = norni_num_mul(k, norni_t_split(c, t, &rest));
    if (!rest)
        return false;
    if (rest->kind == NORNI_NUM) { /* the factor was all of it */
        *constant = norni_num_add(*constant, norni_num_mul(k, rest->num));
        return true;
    }
    if (rest->kind != NORNI_ADD)
        return put(c, v, k, rest);
    *constant = norni_num_add(*constant, norni_num_mul(k, rest->num));
    for (int i = 0; i < rest->n; i++)
        if (!put(c, v, norni_num_mul(k, rest->coef[i]), rest->a[i]))
            return false;
    return true;
}

static bool is_square_of(const norni_term *t, int fn, const norni_term **of) {
    if (t->kind != NORNI_POW || !norni_t_is(t->a[1], 2) || t->a[0]->kind != NORNI_FN || t->a[0]->fn != fn)
        return false;
    *of = t->a[0]->a[0];
    return true;
}

/* t = square(fn(u)) rest: both, if there is such a factor. */
static bool has_square(norni_terms *c, const norni_term *t, int fn, const norni_term **of,
                       const norni_term **rest) {
    if (is_square_of(t, fn, of)) {
        *rest = c->one;
        return true;
    }
    if (t->kind != NORNI_MUL)
        return false;
    int half = t->n / 2;
    for (int i = 0; i < half; i++)
        if (t->a[i]->kind == NORNI_FN && t->a[i]->fn == fn && norni_t_is(t->a[half + i], 2)) {
            const norni_term *two = norni_t_int(c, -2);
            *of = t->a[i]->a[0];
            *rest = norni_t_mul(c, norni_num_int(1), 2, (const norni_term *[]){t, t->a[i]},
                                (const norni_term *[]){c->one, two});
            return *rest != NULL;
        }
    return false;
}

/* r sin(u)^2 + r cos(u)^2 = r, and cosh(u)^2 - sinh(u)^2 = 1. True when something was replaced. */
static bool pythagoras(norni_terms *c, parts *v, norni_num *constant) {
    static const struct {
        int f, g, sign;
    } rules[] = {{NORNI_E_SIN, NORNI_E_COS, 1}, {NORNI_E_COSH, NORNI_E_SINH, -1}};
    const norni_term *u, *w, *rest, *other;
    for (size_t r = 0; r < sizeof rules / sizeof *rules; r++)
        for (size_t i = 0; i < v->n; i++) {
            if (!has_square(c, v->v[i].t, rules[r].f, &u, &rest))
                continue;
            for (size_t k = 0; k < v->n; k++) {
                norni_num want = rules[r].sign > 0 ? v->v[k].k : norni_num_neg(v->v[k].k);
                if (k == i || !norni_num_equal(v->v[i].k, want) ||
                    !has_square(c, v->v[k].t, rules[r].g, &w, &other) || w != u || other != rest)
                    continue;
                norni_num f = v->v[i].k;
                size_t hi = i > k ? i : k, lo = i > k ? k : i;
                v->v[hi] = v->v[--v->n];
                v->v[lo] = v->v[--v->n];
                return gather(c, v, constant, f, rest);
            }
            /* k - k sin(u)^2 = k cos(u)^2, and the other way round; cosh(u)^2 - 1 = sinh(u)^2. */
            if (rest == c->one && norni_num_equal(*constant, norni_num_neg(v->v[i].k)) &&
                !norni_num_is(*constant, 0)) {
                norni_num k = rules[r].sign > 0 ? *constant : v->v[i].k;
                int g = rules[r].g;
                v->v[i] = v->v[--v->n];
                *constant = norni_num_int(0);
                return gather(c, v, constant, k,
                              norni_t_pow(c, norni_t_fn(c, g, u, NULL, NULL), norni_t_int(c, 2)));
            }
        }
    for (size_t i = 0; i < v->n; i++)
        if (has_square(c, v->v[i].t, NORNI_E_COS, &u, &rest) && rest == c->one &&
            norni_num_equal(*constant, norni_num_neg(v->v[i].k)) && !norni_num_is(*constant, 0)) {
            norni_num k = *constant;
            v->v[i] = v->v[--v->n];
            *constant = norni_num_int(0);
            return gather(c, v, constant, k,
                          norni_t_pow(c, norni_t_fn(c, NORNI_E_SIN, u, NULL, NULL), norni_t_int(c, 2)));
        }
    return false;
}

/* t = where(k, x, y), or a product with such a factor: the condition and both branches; NULL: it has none. */
static const norni_term *branches(norni_terms *c, const norni_term *t, const norni_term **x,
                                  const norni_term **y) {
    if (t->kind == NORNI_FN && t->fn == NORNI_E_WHERE) {
        *x = t->a[1];
        *y = t->a[2];
        return t->a[0];
    }
    int half = t->n / 2;
    for (int i = 0; t->kind == NORNI_MUL && i < half; i++) {
        const norni_term *w = t->a[i];
        if (w->kind != NORNI_FN || w->fn != NORNI_E_WHERE || !norni_t_is(t->a[half + i], 1))
            continue;
        const norni_term *const power[] = {c->one, c->minus_one, c->one};
        *x = norni_t_mul(c, norni_num_int(1), 3, (const norni_term *[]){t, w, w->a[1]}, power);
        *y = norni_t_mul(c, norni_num_int(1), 3, (const norni_term *[]){t, w, w->a[2]}, power);
        return *x && *y ? w->a[0] : NULL;
    }
    return NULL;
}

/* Lists of one shape add up entry by entry, and so do wheres of one condition. */
static bool merge(norni_terms *c, parts *v) {
    for (size_t i = 0; i < v->n; i++)
        for (size_t k = 0; k < i; k++) {
            const norni_term *a = v->v[k].t, *b = v->v[i].t, *made;
            norni_num pair[] = {v->v[k].k, v->v[i].k};
            if (a->kind == NORNI_LIST && b->kind == NORNI_LIST && norni_type_equal(&a->type, &b->type)) {
                const norni_term **e = norni_arena_array(c->arena, (size_t)a->n, sizeof *e);
                for (int j = 0; e && j < a->n; j++)
                    e[j] = norni_t_add(c, 2, pair, (const norni_term *[]){a->a[j], b->a[j]});
                made = e ? norni_t_list(c, a->n, e, &a->type) : norni_t_failed(c, norni_nomem());
            } else {
                const norni_term *ax, *ay, *bx, *by, *cond = branches(c, a, &ax, &ay);
                if (!cond || branches(c, b, &bx, &by) != cond)
                    continue;
                made = norni_t_fn(c, NORNI_E_WHERE, cond,
                                  norni_t_add(c, 2, pair, (const norni_term *[]){ax, bx}),
                                  norni_t_add(c, 2, pair, (const norni_term *[]){ay, by}));
            }
            if (!made)
                return false;
            v->v[i] = v->v[--v->n];
            v->v[k] = (part){norni_num_int(1), made};
            return true;
        }
    return false;
}

static int by_id(const part *a, const part *b) {
    return a->t->id < b->t->id ? -1 : a->t->id > b->t->id;
}

static void sort(parts *v) {
    for (size_t i = 1; i < v->n; i++) {
        part p = v->v[i];
        size_t k = i;
        for (; k && by_id(&p, &v->v[k - 1]) < 0; k--)
            v->v[k] = v->v[k - 1];
        v->v[k] = p;
    }
}

const norni_term *norni_t_add(norni_terms *c, int n, const norni_num *coef, const norni_term *const *a) {
    parts v = {0};
    norni_num constant = norni_num_int(0);
    norni_type want;
    const norni_term **in = norni_arena_array(c->arena, (size_t)n + 1, sizeof *in), *out = NULL;
    if (!in)
        return norni_t_failed(c, norni_nomem());
    if (n == 0)
        return c->zero;
    bool ok = norni_t_strip(c, n, a, in, &want);
    for (int i = 0; i < n && ok; i++)
        ok = gather(c, &v, &constant, coef[i], in[i]);
    for (bool again = true; again && ok;) {
        for (size_t i = v.n; i-- > 0;)
            if (norni_num_is(v.v[i].k, 0))
                v.v[i] = v.v[--v.n];
        again = v.n > 0 && v.n < 500 && (pythagoras(c, &v, &constant) || merge(c, &v));
        ok = c->status == NORN_OK;
    }
    if (ok && !v.n)
        out = norni_t_num(c, constant);
    else if (ok && v.n == 1 && norni_num_is(constant, 0))
        out = norni_t_scaled(c, v.v[0].k, v.v[0].t);
    else if (ok) {
        sort(&v);
        norni_term like = {.kind = NORNI_ADD, .num = constant, .n = (int)v.n};
        const norni_term **t = norni_arena_array(c->arena, v.n, sizeof *t);
        norni_num *k = norni_arena_array(c->arena, v.n, sizeof *k);
        if (!t || !k)
            norni_t_failed(c, norni_nomem());
        for (size_t i = 0; i < v.n && t && k; i++) {
            t[i] = v.v[i].t;
            k[i] = v.v[i].k;
        }
        like.a = t;
        like.coef = k;
        if (c->status == NORN_OK && norni_t_broadcast(c, like.n, t, &like.type))
            out = norni_t_intern(c, &like);
    }
    norni_vec_free(&v);
    return out ? norni_t_spread(c, out, &want) : NULL;
}

norni_num norni_t_split(norni_terms *c, const norni_term *t, const norni_term **rest) {
    *rest = t;
    if (!t)
        return norni_num_int(1);
    if (t->kind == NORNI_NUM && t->type.dtype != NORN_BOOL) {
        *rest = c->one;
        return t->num;
    }
    if (t->kind != NORNI_MUL || norni_num_is(t->num, 1))
        return norni_num_int(1);
    int half = t->n / 2;
    *rest = norni_t_mul(c, norni_num_int(1), half, t->a, t->a + half);
    return t->num;
}

/* ---- Products: num * product of base ** power. */
typedef struct {
    const norni_term *base, *power;
} factor;
typedef NORNI_VEC(factor) factors;

static bool multiply(norni_terms *c, factors *v, norni_num *k, const norni_term *base,
                     const norni_term *power);

static bool put_factor(norni_terms *c, factors *v, const norni_term *base, const norni_term *power) {
    for (size_t i = 0; i < v->n; i++)
        if (v->v[i].base == base) {
            v->v[i].power = norni_t_sum2(c, v->v[i].power, power);
            return v->v[i].power != NULL;
        }
    if (NORNI_PUSH(v, ((factor){base, power})))
        return true;
    norni_t_failed(c, norni_nomem());
    return false;
}

/* base ** power as factors; base is no power itself. */
static bool multiply(norni_terms *c, factors *v, norni_num *k, const norni_term *base,
                     const norni_term *power) {
    if (!base || !power)
        return false;
    const norni_term *t = norni_t_is(power, 1) ? base : norni_t_pow(c, base, power);
    if (!t)
        return false;
    if (t->kind == NORNI_NUM) {
        *k = norni_num_mul(*k, t->num);
        return true;
    }
    if (t->kind == NORNI_POW)
        return put_factor(c, v, t->a[0], t->a[1]);
    if (t->kind != NORNI_MUL)
        return put_factor(c, v, t, c->one);
    *k = norni_num_mul(*k, t->num);
    for (int i = 0; i < t->n / 2; i++)
        if (!put_factor(c, v, t->a[i], t->a[t->n / 2 + i]))
            return false;
    return true;
}

static bool whole_positive(const norni_term *t) {
    return t->kind == NORNI_NUM && norni_num_whole(t->num) && t->num.p > 0;
}

/* Pairs of factors that are one: sin / cos = tan, x sign(x) = |x|. True when something was replaced. */
static bool pair(norni_terms *c, factors *v) {
    static const struct {
        int f, g, made; /* f(u) / g(u) = made(u) */
    } rules[] = {{NORNI_E_SIN, NORNI_E_COS, NORNI_E_TAN},
                 {NORNI_E_SINH, NORNI_E_COSH, NORNI_E_TANH},
                 {NORNI_E_TAN, NORNI_E_SIN, -NORNI_E_COS},
                 {NORNI_E_TANH, NORNI_E_SINH, -NORNI_E_COSH}};
    for (size_t i = 0; i < v->n; i++) {
        const norni_term *b = v->v[i].base;
        if (b->kind != NORNI_FN)
            continue;
        for (size_t k = 0; k < v->n; k++) {
            const norni_term *o = v->v[k].base;
            if (b->fn == NORNI_E_SIGN && b->a[0] == o && norni_t_is(v->v[i].power, 1) &&
                whole_positive(v->v[k].power)) {
                v->v[k].power = norni_t_sum2(c, v->v[k].power, c->minus_one);
                v->v[i].base = norni_t_fn(c, NORNI_E_ABS, o, NULL, NULL);
                return v->v[k].power && v->v[i].base;
            }
            if (b->fn == NORNI_E_SIGN && o->kind == NORNI_FN && o->fn == NORNI_E_ABS && o->a[0] == b->a[0] &&
                norni_t_is(v->v[i].power, 1) && norni_t_is(v->v[k].power, 1)) {
                v->v[i].base = b->a[0];
                v->v[k].power = c->zero;
                return true;
            }
            if (b->fn == NORNI_E_SIGN && norni_t_is(v->v[i].power, 2) && k != i &&
                (o == b->a[0] || (o->kind == NORNI_FN && o->fn == NORNI_E_ABS && o->a[0] == b->a[0]))) {
                v->v[i].power = c->zero; /* sign(u)^2 = 1 but at 0, where the other factor is 0 or infinite */
                return true;
            }
            for (size_t r = 0; r < sizeof rules / sizeof *rules; r++)
                if (b->fn == rules[r].f && o->kind == NORNI_FN && o->fn == rules[r].g && o->a[0] == b->a[0] &&
                    norni_t_is(v->v[i].power, 1) && norni_t_is(v->v[k].power, -1)) {
                    int made = rules[r].made;
                    v->v[i].base = norni_t_fn(c, made < 0 ? -made : made, b->a[0], NULL, NULL);
                    v->v[i].power = made < 0 ? c->minus_one : c->one;
                    v->v[k].power = c->zero;
                    return v->v[i].base != NULL;
                }
        }
    }
    return false;
}

/* where(c, a, 0) r = where(c, a r, 0): what is not taken is not computed either. */
static const norni_term *into_where(norni_terms *c, norni_num k, factors *v) {
    for (size_t i = 0; i < v->n; i++) {
        const norni_term *w = v->v[i].base;
        if (w->kind != NORNI_FN || w->fn != NORNI_E_WHERE || !norni_t_is(v->v[i].power, 1))
            continue;
        const norni_term *b = w->a[2], *a = w->a[1];
        bool none = norni_t_is(b, 0) || (b->kind == NORNI_SPREAD && norni_t_is(b->a[0], 0));
        bool first = norni_t_is(a, 0) || (a->kind == NORNI_SPREAD && norni_t_is(a->a[0], 0));
        bool numbers = v->n == 1 && a->kind == NORNI_NUM && b->kind == NORNI_NUM;
        if (!none && !first && !numbers)
            continue;
        if (v->n == 1 && norni_num_is(k, 1))
            return NULL;
        const norni_term **base = norni_arena_array(c->arena, v->n, sizeof *base),
                         **power = norni_arena_array(c->arena, v->n, sizeof *power);
        if (!base || !power)
            return norni_t_failed(c, norni_nomem());
        for (size_t j = 0; j < v->n; j++) {
            base[j] = v->v[j].base;
            power[j] = v->v[j].power;
        }
        base[i] = a;
        const norni_term *x = first ? a : norni_t_mul(c, k, (int)v->n, base, power);
        base[i] = b;
        const norni_term *y = none ? b : norni_t_mul(c, k, (int)v->n, base, power);
        return norni_t_fn(c, NORNI_E_WHERE, w->a[0], x, y);
    }
    return NULL;
}

/* 1/(f(x >= y) + f(y >= x)) f(x >= y), f 1 or 0: the share of the larger of two, (1 + sign(x - y)) / 2. */
static const norni_term *share_of(norni_terms *c, const norni_term *hit, const norni_term *sum) {
    const norni_term *other, *p = hit->a[0];
    if (sum->kind != NORNI_ADD || sum->n != 2 || !norni_num_is(sum->num, 0) ||
        !norni_num_is(sum->coef[0], 1) || !norni_num_is(sum->coef[1], 1) ||
        (sum->a[0] != hit && sum->a[1] != hit))
        return NULL;
    other = sum->a[sum->a[0] == hit];
    if (other->kind != NORNI_FN || other->fn != NORNI_E_WHERE || other->a[0]->kind != NORNI_FN ||
        !norni_t_is(other->a[1], 1) || !norni_t_is(other->a[2], 0))
        return NULL;
    const norni_term *q = other->a[0];
    bool ge = p->fn == NORNI_E_GE && q->fn == NORNI_E_GE && p->a[0] == q->a[1] && p->a[1] == q->a[0];
    bool le = p->fn == NORNI_E_LE && q->fn == NORNI_E_LE && p->a[0] == q->a[1] && p->a[1] == q->a[0];
    bool mixed =
        ((p->fn == NORNI_E_GE && q->fn == NORNI_E_LE) || (p->fn == NORNI_E_LE && q->fn == NORNI_E_GE)) &&
        p->a[0] == q->a[0] && p->a[1] == q->a[1];
    if (!ge && !le && !mixed)
        return NULL;
    norni_num d[] = {norni_num_int(p->fn == NORNI_E_GE ? 1 : -1),
                     norni_num_int(p->fn == NORNI_E_GE ? -1 : 1)};
    const norni_term *s = norni_t_fn(c, NORNI_E_SIGN, norni_t_add(c, 2, d, p->a), NULL, NULL);
    norni_num half[] = {norni_num_ratio(1, 2), norni_num_ratio(1, 2)};
    return norni_t_add(c, 2, half, (const norni_term *[]){s, c->one});
}

static bool share(norni_terms *c, factors *v) {
    for (size_t i = 0; i < v->n; i++) {
        const norni_term *w = v->v[i].base;
        if (w->kind != NORNI_FN || w->fn != NORNI_E_WHERE || w->a[0]->kind != NORNI_FN ||
            !norni_t_is(w->a[1], 1) || !norni_t_is(w->a[2], 0) || !norni_t_is(v->v[i].power, 1))
            continue;
        for (size_t k = 0; k < v->n; k++)
            if (k != i && norni_t_is(v->v[k].power, -1)) {
                const norni_term *s = share_of(c, w, v->v[k].base);
                if (!s)
                    continue;
                v->v[i] = (factor){s, c->one};
                v->v[k].power = c->zero;
                return true;
            }
    }
    return false;
}

static void sort_factors(factors *v) {
    for (size_t i = 1; i < v->n; i++) {
        factor p = v->v[i];
        size_t k = i;
        for (; k && p.base->id < v->v[k - 1].base->id; k--)
            v->v[k] = v->v[k - 1];
        v->v[k] = p;
    }
}

static const norni_term *product(norni_terms *c, norni_num k, factors *v) {
    const norni_term *w;
    if (norni_num_is(k, 0))
        return c->zero;
    if (!v->n)
        return norni_t_num(c, k);
    if ((w = into_where(c, k, v)) || c->status != NORN_OK)
        return w;
    bool plain = norni_t_is(v->v[0].power, 1);
    if (v->n == 1 && norni_num_is(k, 1)) {
        if (plain)
            return v->v[0].base;
        norni_term like = {
            .kind = NORNI_POW, .n = 2, .a = (const norni_term *[]){v->v[0].base, v->v[0].power}};
        return norni_t_broadcast(c, 2, like.a, &like.type) ? norni_t_intern(c, &like) : NULL;
    }
    sort_factors(v);
    norni_term like = {.kind = NORNI_MUL, .num = k, .n = 2 * (int)v->n};
    const norni_term **a = norni_arena_array(c->arena, 2 * v->n, sizeof *a);
    if (!a)
        return norni_t_failed(c, norni_nomem());
    for (size_t i = 0; i < v->n; i++) {
        a[i] = v->v[i].base;
        a[v->n + i] = v->v[i].power;
    }
    like.a = a;
    return norni_t_broadcast(c, like.n, a, &like.type) ? norni_t_intern(c, &like) : NULL;
}

const norni_term *norni_t_mul(norni_terms *c, norni_num k, int n, const norni_term *const *a,
                              const norni_term *const *power) {
    factors v = {0};
    norni_type want;
    const norni_term **in = norni_arena_array(c->arena, 2 * (size_t)n + 1, sizeof *in), *out = NULL;
    if (!in)
        return norni_t_failed(c, norni_nomem());
    if (n == 0)
        return norni_t_num(c, k);
    for (int i = 0; i < n; i++) {
        in[i] = a[i];
        in[n + i] = power ? power[i] : c->one;
    }
    bool ok = norni_t_strip(c, 2 * n, in, in, &want);
    if (ok && n == 1 && !power && in[0]->kind == NORNI_SPREAD)
        return norni_t_spread(c, norni_t_scaled(c, k, in[0]->a[0]), &want);
    for (int i = 0; i < n && ok; i++)
        ok = multiply(c, &v, &k, in[i], in[n + i]);
    /* Collecting may have made factors that are numbers, or products. */
    for (bool again = true; again && ok;) {
        again = false;
        for (size_t i = v.n; i-- > 0 && ok;) {
            factor f = v.v[i];
            if (f.power && f.power->kind == NORNI_SPREAD) /* the type is brought back at the end */
                v.v[i].power = f.power = f.power->a[0];
            if (!f.power)
                ok = false;
            else if (norni_t_is(f.power, 0))
                v.v[i] = v.v[--v.n];
            else {
                const norni_term *t = norni_t_is(f.power, 1) ? f.base : norni_t_pow(c, f.base, f.power);
                if (!t)
                    ok = false;
                else if (t->kind == NORNI_NUM || t->kind == NORNI_MUL ||
                         (t->kind == NORNI_POW ? t->a[0] != f.base || t->a[1] != f.power : t != f.base)) {
                    v.v[i] = v.v[--v.n];
                    again = true;
                    ok = multiply(c, &v, &k, t, c->one);
                }
            }
        }
        if (ok && !again)
            again = v.n < 500 && (pair(c, &v) || share(c, &v));
        ok = ok && c->status == NORN_OK;
    }
    if (ok)
        out = product(c, k, &v);
    norni_vec_free(&v);
    return out ? norni_t_spread(c, out, &want) : NULL;
}

/* ---- Powers. */
static bool positive(const norni_term *t) {
    return t->kind == NORNI_E || t->kind == NORNI_PI ||
           (t->kind == NORNI_NUM && norni_num_sign(t->num) > 0) ||
           (t->kind == NORNI_POW && positive(t->a[0])) ||
           (t->kind == NORNI_FN && (t->fn == NORNI_E_COSH || t->fn == NORNI_E_SIGMOID));
}

static const norni_term *raw_power(norni_terms *c, const norni_term *a, const norni_term *b) {
    norni_term like = {.kind = NORNI_POW, .n = 2, .a = (const norni_term *[]){a, b}};
    return norni_t_broadcast(c, 2, like.a, &like.type) ? norni_t_intern(c, &like) : NULL;
}

static const norni_term *number_power(norni_terms *c, const norni_term *a, const norni_term *b) {
    norni_num r, k;
    if (norni_num_is(a->num, 0) &&
        norni_num_sign(b->num) < 0) /* 1/0: what 0 is multiplied by it is NaN, not 0 */
        return norni_t_num(c, (norni_num){.d = (double)INFINITY});
    if (norni_num_whole(b->num) && norni_num_pow(a->num, b->num.p, &r))
        return norni_t_num(c, r);
    if (!a->num.exact || !b->num.exact) {
        double v = pow(norni_num_value(a->num), norni_num_value(b->num));
        return norni_t_num(c, (norni_num){.d = v});
    }
    if (norni_num_root(a->num, b->num.q, &r) && norni_num_pow(r, b->num.p, &k))
        return norni_t_num(c, k);
    return raw_power(c, a, b);
}

const norni_term *norni_t_pow(norni_terms *c, const norni_term *a, const norni_term *b) {
    const norni_term *rest;
    if (!a || !b)
        return NULL;
    bool number = b->kind == NORNI_NUM, whole = number && norni_num_whole(b->num);
    if (norni_t_is(b, 1))
        return a;
    if (norni_t_is(b, 0))
        return norni_t_spread(c, c->one, &a->type);
    if (norni_t_is(a, 1))
        return norni_t_spread(c, a, &b->type);
    if (a->kind == NORNI_SPREAD && norni_t_scalar(b))
        return norni_t_spread(c, norni_t_pow(c, a->a[0], b), &a->type);
    if (b->kind == NORNI_SPREAD && norni_type_equal(&a->type, &b->type))
        return norni_t_pow(c, a, b->a[0]);
    if (a->kind == NORNI_NUM && number)
        return number_power(c, a, b);
    if (a->kind == NORNI_E) { /* e ** (k ln u) = u ** k */
        norni_num k = norni_t_split(c, b, &rest);
        if (rest && rest->kind == NORNI_FN && rest->fn == NORNI_E_LOG)
            return norni_t_pow(c, rest->a[0], norni_t_num(c, k));
        return raw_power(c, a, b);
    }
    if (a->kind == NORNI_POW) {
        bool even = norni_num_whole(a->a[1]->num) && a->a[1]->num.p % 2 == 0 && a->a[1]->kind == NORNI_NUM;
        bool fraction = a->a[1]->kind == NORNI_NUM && !norni_num_whole(a->a[1]->num);
        if (whole || positive(a->a[0]) || (fraction && number))
            return norni_t_pow(c, a->a[0], norni_t_times(c, a->a[1], b));
        if (even && number)
            return norni_t_pow(c, norni_t_fn(c, NORNI_E_ABS, a->a[0], NULL, NULL),
                               norni_t_times(c, a->a[1], b));
    }
    if (a->kind == NORNI_MUL && number) {
        int half = a->n / 2;
        if (whole) {
            const norni_term **p = norni_arena_array(c->arena, (size_t)half, sizeof *p);
            norni_num k;
            if (!p)
                return norni_t_failed(c, norni_nomem());
            for (int i = 0; i < half; i++)
                p[i] = norni_t_times(c, a->a[half + i], b);
            if (norni_num_pow(a->num, b->num.p, &k))
                return norni_t_mul(c, k, half, a->a, p);
        } else if (norni_num_sign(a->num) > 0 && !norni_num_is(a->num, 1)) {
            norni_t_split(c, a, &rest);
            return norni_t_mul(c, norni_num_int(1), 2, (const norni_term *[]){norni_t_num(c, a->num), rest},
                               (const norni_term *[]){b, b});
        }
    }
    if (a->kind == NORNI_FN && whole && a->fn == NORNI_E_ABS && b->num.p % 2 == 0)
        return norni_t_pow(c, a->a[0], b);
    return raw_power(c, a, b);
}
