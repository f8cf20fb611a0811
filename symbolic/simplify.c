/* SPDX-License-Identifier: Apache-2.0 */
/* Shorter forms of sums: common factors taken out, or products multiplied out, whichever has fewer operators. The normal form
 * does neither by itself. */
#include "symbolic/term.h"
#include <math.h>
#include <string.h>

enum { MAX_TERMS = 40, MAX_EXPANDED = 60, MAX_ROUNDS = 4, MAX_TRIES = 20000 };

/* ---- Factors of a term: base and power; what is no product is one factor. */
typedef struct {
    int n;
    const norni_term *const *base, *const *power;
    const norni_term *own[2];
} factors;

static void factors_of(norni_terms *c, const norni_term *t, factors *f) {
    if (t->kind == NORNI_MUL)
        *f = (factors){t->n / 2, t->a, t->a + t->n / 2, {0}};
    else {
        bool power = t->kind == NORNI_POW;
        f->n = 1;
        f->own[0] = power ? t->a[0] : t;
        f->own[1] = power ? t->a[1] : c->one;
        f->base = &f->own[0];
        f->power = &f->own[1];
    }
}

/* The power of a base in a term; NULL: it is none of its factors. */
static const norni_term *power_in(norni_terms *c, const norni_term *t, const norni_term *base) {
    factors f;
    factors_of(c, t, &f);
    for (int i = 0; i < f.n; i++)
        if (f.base[i] == base)
            return f.power[i];
    return NULL;
}

/* The power of `base` that the terms at[0 .. n-1] have in common: the smallest number, or a power that all have. with_none: a
 * term without the base counts as power 0. */
static const norni_term *common_power(norni_terms *c, int n, const norni_term *const *at,
                                      const norni_term *base, bool with_none) {
    const norni_term *least = NULL;
    bool all_numbers = true;
    for (int i = 0; i < n; i++) {
        const norni_term *p = power_in(c, at[i], base);
        if (!p && !with_none)
            return NULL;
        p = p ? p : c->zero;
        all_numbers = all_numbers && p->kind == NORNI_NUM;
        if (!least)
            least = p;
        else if (least->kind == NORNI_NUM && p->kind == NORNI_NUM) {
            if (norni_num_value(p->num) < norni_num_value(least->num))
                least = p;
        } else if (least != p)
            return NULL;
    }
    return least && !norni_t_is(least, 0) ? least : NULL;
}

static int64_t gcd(int64_t a, int64_t b) {
    while (b) {
        int64_t t = a % b;
        a = b;
        b = t;
    }
    return a < 0 ? -a : a;
}

/* The largest number that divides all coefficients, or 1. */
static norni_num content(int n, const norni_num *k) {
    int64_t p = 0, q = 1;
    for (int i = 0; i < n; i++) {
        if (!k[i].exact || k[i].p == INT64_MIN)
            return norni_num_int(1);
        p = gcd(p, k[i].p);
        int64_t d = k[i].q / gcd(q, k[i].q);
        if (q > INT64_MAX / 1000000 / (d ? d : 1))
            return norni_num_int(1);
        q *= d;
    }
    return p ? norni_num_ratio(p, q) : norni_num_int(1);
}

/* The parts of a sum: coefficients and terms, the constant as the last one. */
static int parts_of(norni_terms *c, const norni_term *t, norni_num *k, const norni_term **a) {
    int n = t->n;
    for (int i = 0; i < n; i++) {
        k[i] = t->coef[i];
        a[i] = t->a[i];
    }
    if (!norni_num_is(t->num, 0)) {
        k[n] = t->num;
        a[n++] = c->one;
    }
    return n;
}

static const norni_term *shorter(const norni_term *a, const norni_term *b) {
    return b && b->count < a->count ? b : a;
}

static const norni_term *expanded(norni_terms *c, const norni_term *t);
static const norni_term *shorten(norni_terms *c, const norni_term *t);

/* base ** power taken out of n parts: base ** power (sum of what is left). */
static const norni_term *take(norni_terms *c, int n, const norni_num *k, const norni_term *const *a,
                              const norni_term *base, const norni_term *power, norni_num number) {
    const norni_term *rest[MAX_TERMS + 1];
    norni_num left[MAX_TERMS + 1];
    const norni_term *minus = power ? norni_t_scaled(c, norni_num_int(-1), power) : NULL;
    for (int i = 0; i < n; i++) {
        left[i] = norni_num_div(k[i], number);
        rest[i] = power ? norni_t_mul(c, norni_num_int(1), 2, (const norni_term *[]){a[i], base},
                                      (const norni_term *[]){c->one, minus})
                        : a[i];
    }
    const norni_term *inner = norni_t_add(c, n, left, rest);
    if (!inner)
        return NULL;
    inner = shorten(c, inner);
    return power ? norni_t_mul(c, number, 2, (const norni_term *[]){inner, base},
                               (const norni_term *[]){c->one, power})
                 : norni_t_scaled(c, number, inner);
}

/* The sum with common factors taken out of all parts. */
static const norni_term *factored(norni_terms *c, const norni_term *t) {
    norni_num k[MAX_TERMS + 1];
    const norni_term *a[MAX_TERMS + 1];
    int n = parts_of(c, t, k, a);
    factors f;
    const norni_term *best = NULL;
    for (int i = 0; i < n; i++) {
        factors_of(c, a[i], &f);
        for (int j = 0; j < f.n; j++) {
            const norni_term *base = f.base[j], *p = common_power(c, n, a, base, true);
            if (base->kind == NORNI_NUM || !p)
                continue;
            const norni_term *made = take(c, n, k, a, base, p, norni_num_int(1));
            if (made && (!best || made->count < best->count))
                best = made;
        }
    }
    norni_num number = content(n, k);
    if (!norni_num_is(number, 1) && n > 1) {
        const norni_term *made = take(c, n, k, a, NULL, NULL, number);
        if (made && (!best || made->count < best->count))
            best = made;
    }
    return best;
}

/* A factor taken out of those parts that have it, where that is shorter. */
static const norni_term *grouped(norni_terms *c, const norni_term *t) {
    norni_num k[MAX_TERMS + 1], gk[MAX_TERMS + 1], ok[MAX_TERMS + 2];
    const norni_term *a[MAX_TERMS + 1], *ga[MAX_TERMS + 1], *oa[MAX_TERMS + 2], *best = NULL;
    int n = parts_of(c, t, k, a);
    factors f;
    for (int i = 0; i < n; i++) {
        factors_of(c, a[i], &f);
        for (int j = 0; j < f.n; j++) {
            int in = 0, out = 0;
            const norni_term *base = f.base[j];
            if (base->kind == NORNI_NUM)
                continue;
            for (int s = 0; s < n; s++)
                if (power_in(c, a[s], base)) {
                    gk[in] = k[s];
                    ga[in++] = a[s];
                } else {
                    ok[out] = k[s];
                    oa[out++] = a[s];
                }
            const norni_term *p = common_power(c, in, ga, base, false);
            if (in < 2 || !out || !p)
                continue;
            oa[out] = take(c, in, gk, ga, base, p, norni_num_int(1));
            ok[out] = norni_num_int(1);
            const norni_term *made = norni_t_add(c, out + 1, ok, oa);
            if (made && (!best || made->count < best->count))
                best = made;
        }
    }
    return best;
}

/* ---- Products multiplied out: sums to powers of 1 to 3. */
static const norni_term *expand_product(norni_terms *c, const norni_term *t) {
    factors f;
    factors_of(c, t, &f);
    for (int i = 0; i < f.n; i++) {
        const norni_term *s = f.base[i], *p = f.power[i];
        if (s->kind != NORNI_ADD || p->kind != NORNI_NUM || !norni_num_whole(p->num) || p->num.p < 1 ||
            p->num.p > 3 || s->n > 6)
            continue;
        norni_num k[8];
        const norni_term *a[8];
        int n = parts_of(c, s, k, a);
        const norni_term *rest = norni_t_mul(c, norni_num_int(1), 2, (const norni_term *[]){t, s},
                                             (const norni_term *[]){c->one, c->minus_one});
        for (int j = 0; j < n; j++) {
            a[j] = norni_t_times(c, rest, a[j]);
            if (!a[j])
                return NULL;
            a[j] = expand_product(c, a[j]);
        }
        return norni_t_add(c, n, k, a);
    }
    return t;
}

static const norni_term *expanded(norni_terms *c, const norni_term *t) {
    if (t->kind != NORNI_ADD)
        return expand_product(c, t);
    norni_num k[MAX_TERMS + 1];
    const norni_term *a[MAX_TERMS + 1];
    int n = parts_of(c, t, k, a);
    for (int i = 0; i < n; i++) {
        a[i] = a[i]->count > MAX_EXPANDED ? a[i] : expand_product(c, a[i]);
        if (!a[i])
            return NULL;
    }
    return norni_t_add(c, n, k, a);
}

/* The shortest form of a sum that the rules here lead to. */
static const norni_term *shorten(norni_terms *c, const norni_term *t) {
    enum { MAX_NESTED = 4 };
    if (!t || t->kind != NORNI_ADD || t->n >= MAX_TERMS || c->depth >= MAX_NESTED)
        return t;
    if (t->brief && t->brief_depth <= c->depth)
        return t->brief;
    if (c->tries > MAX_TRIES)
        return t;
    c->tries++;
    c->depth++;
    const norni_term *best = t;
    for (int round = 0; round < MAX_ROUNDS && best->kind == NORNI_ADD && best->n < MAX_TERMS; round++) {
        const norni_term *before = best;
        best = shorter(best, factored(c, before));
        if (best == before)
            best = shorter(best, grouped(c, before));
        if (before->count < MAX_EXPANDED) {
            const norni_term *flat = expanded(c, before);
            if (flat && flat != before) {
                best = shorter(best, flat);
                if (flat->kind == NORNI_ADD && flat->n < MAX_TERMS)
                    best = shorter(best, factored(c, flat));
            }
        }
        if (best == before)
            break;
    }
    c->depth--;
    if (c->status == NORN_OK) {
        norni_term *known = (norni_term *)t; /* terms are of the context, which remembers */
        known->brief = best;
        known->brief_depth = c->depth;
    }
    return best;
}

/* A product whose sums have their denominators cleared: 1 / (x / y + 1) = y / (x + y). */
static const norni_term *cleared(norni_terms *c, const norni_term *t) {
    factors f;
    factors_of(c, t, &f);
    const norni_term *best = t;
    for (int i = 0; i < f.n; i++) {
        const norni_term *s = f.base[i];
        if (s->kind != NORNI_ADD || s->n >= MAX_TERMS || !norni_t_scalar(s) ||
            f.power[i]->kind != NORNI_NUM || !norni_num_whole(f.power[i]->num))
            continue;
        norni_num k[MAX_TERMS + 1];
        const norni_term *a[MAX_TERMS + 1];
        int n = parts_of(c, s, k, a);
        for (int j = 0; j < n; j++) {
            factors g;
            factors_of(c, a[j], &g);
            for (int q = 0; q < g.n; q++) {
                const norni_term *p = common_power(c, n, a, g.base[q], true);
                if (!p || g.base[q]->kind == NORNI_NUM || p->kind != NORNI_NUM || norni_num_sign(p->num) >= 0)
                    continue;
                const norni_term *whole = take(c, n, k, a, g.base[q], p, norni_num_int(1));
                const norni_term *made =
                    whole
                        ? norni_t_mul(c, norni_num_int(1), 3, (const norni_term *[]){t, s, whole},
                                      (const norni_term *[]){
                                          c->one, norni_t_num(c, norni_num_neg(f.power[i]->num)), f.power[i]})
                        : NULL;
                best = shorter(best, made);
            }
        }
    }
    return best;
}

/* ---- Whole terms, from the inside out; each shared part once. */
typedef struct {
    norni_terms *c;
    const norni_term **done; /* by id */
    size_t n;
} walk;

static const norni_term *simple(walk *w, const norni_term *t) {
    norni_terms *c = w->c;
    size_t id = (size_t)t->id;
    if (c->status != NORN_OK)
        return NULL;
    if (id < w->n && w->done[id])
        return w->done[id];
    const norni_term *r = t;
    if (t->n) {
        const norni_term **a = norni_arena_array(c->arena, (size_t)t->n, sizeof *a);
        bool changed = false;
        if (!a)
            return norni_t_failed(c, norni_nomem());
        for (int i = 0; i < t->n; i++) {
            if (!(a[i] = simple(w, t->a[i])))
                return NULL;
            changed |= a[i] != t->a[i];
        }
        if (changed)
            r = norni_t_again(c, t, a);
    }
    r = shorten(c, r);
    if (r && (r->kind == NORNI_MUL || r->kind == NORNI_POW) && r->count < MAX_EXPANDED)
        r = cleared(c, r);
    if (r && r->kind == NORNI_MUL && r->count < MAX_EXPANDED) {
        const norni_term *flat = expanded(c, r);
        if (flat && flat != r)
            r = shorter(r, shorten(c, flat));
    }
    if (r && r != t)
        r = shorter(t, r)->count < r->count ? t : r;
    if (id < w->n)
        w->done[id] = r;
    return r;
}

const norni_term *norni_t_simplify(norni_terms *c, const norni_term *t) {
    for (int round = 0; t && round < MAX_ROUNDS; round++) {
        walk w = {c, norni_alloc_array(c->n + 1, sizeof *w.done), c->n};
        if (!w.done)
            return norni_t_failed(c, norni_nomem());
        const norni_term *s = simple(&w, t);
        norni_free(w.done);
        if (!s || s == t)
            return s;
        t = s;
    }
    return t;
}
