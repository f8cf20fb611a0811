/* SPDX-License-Identifier: Apache-2.0 */
/* Sizes as expressions over named sizes. An expression is a polynomial with integer coefficients over atoms;
 * an atom is a name, an unknown, or the floor of a quotient of two expressions. Polynomials are kept in one
 * normal form and interned, so that two sizes are known to be equal exactly when their numbers are. What
 * grows past the limits below becomes an unknown: less precise, never wrong. */
#include "base/alloc.h"
#include "base/hash.h"
#include "ops/ir.h"
#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { MAX_TERMS = 24, MAX_ATOMS = 6, MAX_DEPTH = 64 };

typedef struct {
    int64_t coef;
    int n, atoms[MAX_ATOMS]; /* ascending */
} term;

typedef struct {
    int n;
    term t[MAX_TERMS]; /* by atoms, the constant last; no zero coefficients */
} poly;

typedef struct {
    enum { ATOM_NAME, ATOM_UNKNOWN, ATOM_QUOTIENT } kind;
    const char *name;   /* ATOM_NAME */
    norni_dim num, den; /* ATOM_QUOTIENT */
    int depth;
} atom;

/* Finds by hash: slots hold an index + 1 into a list, 0 where free. */
typedef struct {
    uint32_t *slots;
    size_t n, cap; /* cap: a power of two */
} lookup_table;

struct norni_dim_table {
    NORNI_VEC(atom) atoms;
    NORNI_VEC(poly *) polys; /* each as long as its terms need */
    lookup_table by_atom, by_poly;
};

void norni_dims_free(norni_dim_table *t) {
    if (!t)
        return;
    for (size_t i = 0; i < t->polys.n; i++)
        norni_free(t->polys.v[i]);
    norni_vec_free(&t->polys);
    norni_vec_free(&t->atoms);
    norni_free(t->by_atom.slots);
    norni_free(t->by_poly.slots);
    norni_free(t);
}

static norni_dim_table *table(norn_graph *g) {
    if (!g->dims)
        g->dims = norni_alloc(sizeof *g->dims);
    return g->dims;
}

static const poly *poly_of(const norn_graph *g, norni_dim d) {
    return g->dims->polys.v[-d - 1];
}

static void load(const norn_graph *g, norni_dim d, poly *p) {
    if (d >= 0) {
        p->n = d != 0;
        p->t[0] = (term){.coef = d};
    } else {
        const poly *from = poly_of(g, d);
        p->n = from->n;
        memcpy(p->t, from->t, (size_t)from->n * sizeof *p->t);
    }
}

static int compare_terms(const term *a, const term *b) {
    if (a->n != b->n)
        return b->n - a->n;
    for (int i = 0; i < a->n; i++)
        if (a->atoms[i] != b->atoms[i])
            return a->atoms[i] - b->atoms[i];
    return 0;
}

/* Adds a term; false when the polynomial is full or a coefficient overflows. */
static bool add_term(poly *p, term t) {
    for (int i = 0; i < p->n; i++) {
        int c = compare_terms(&p->t[i], &t);
        if (c == 0) {
            if (__builtin_add_overflow(p->t[i].coef, t.coef, &p->t[i].coef))
                return false;
            if (p->t[i].coef == 0) {
                memmove(&p->t[i], &p->t[i + 1], (size_t)(p->n - i - 1) * sizeof *p->t);
                p->n--;
            }
            return true;
        }
        if (c > 0) {
            if (p->n == MAX_TERMS)
                return false;
            memmove(&p->t[i + 1], &p->t[i], (size_t)(p->n - i) * sizeof *p->t);
            p->t[i] = t;
            p->n++;
            return true;
        }
    }
    if (p->n == MAX_TERMS)
        return false;
    p->t[p->n++] = t;
    return true;
}

static uint64_t poly_hash(const poly *p) {
    uint64_t h = norni_hash_u64(1, (uint64_t)p->n);
    for (int i = 0; i < p->n; i++) {
        h = norni_hash_u64(h, (uint64_t)p->t[i].coef);
        for (int k = 0; k < p->t[i].n; k++)
            h = norni_hash_u64(h, (uint64_t)p->t[i].atoms[k]);
        h = norni_hash_u64(h, (uint64_t)p->t[i].n);
    }
    return h;
}

static uint64_t atom_hash(const atom *a) {
    if (a->kind == ATOM_NAME)
        return norni_hash_str(2, a->name);
    return norni_hash_u64(norni_hash_u64(3, (uint64_t)a->num), (uint64_t)a->den);
}

/* Room for one more; `hash` gives the hash of entry i. */
static bool lookup_room(lookup_table *l, const norni_dim_table *t,
                        uint64_t (*hash)(const norni_dim_table *, size_t)) {
    if (l->n * 2 < l->cap)
        return true;
    size_t cap = l->cap ? l->cap * 2 : 64;
    uint32_t *slots = norni_alloc_array(cap, sizeof *slots);
    if (!slots)
        return false;
    for (size_t i = 0; i < l->cap; i++)
        if (l->slots[i]) {
            size_t at = (size_t)hash(t, l->slots[i] - 1) & (cap - 1);
            while (slots[at])
                at = (at + 1) & (cap - 1);
            slots[at] = l->slots[i];
        }
    norni_free(l->slots);
    l->slots = slots;
    l->cap = cap;
    return true;
}

static uint64_t hash_of_poly(const norni_dim_table *t, size_t i) {
    return poly_hash(t->polys.v[i]);
}
static uint64_t hash_of_atom(const norni_dim_table *t, size_t i) {
    return atom_hash(&t->atoms.v[i]);
}

static bool poly_equal(const poly *a, const poly *b) {
    if (a->n != b->n)
        return false;
    for (int i = 0; i < a->n; i++)
        if (a->t[i].coef != b->t[i].coef || compare_terms(&a->t[i], &b->t[i]))
            return false;
    return true;
}

static norni_dim intern(norn_graph *g, const poly *p) {
    if (p->n == 0)
        return 0;
    if (p->n == 1 && p->t[0].n == 0 && p->t[0].coef >= 0)
        return p->t[0].coef;
    norni_dim_table *t = table(g);
    if (!t || !lookup_room(&t->by_poly, t, hash_of_poly))
        goto nomem;
    lookup_table *l = &t->by_poly;
    size_t at = (size_t)poly_hash(p) & (l->cap - 1), bytes = offsetof(poly, t) + (size_t)p->n * sizeof *p->t;
    for (; l->slots[at]; at = (at + 1) & (l->cap - 1))
        if (poly_equal(t->polys.v[l->slots[at] - 1], p))
            return -(norni_dim)l->slots[at];
    poly *copy = t->polys.n < UINT32_MAX ? norni_alloc(bytes) : NULL;
    if (!copy || !NORNI_PUSH(&t->polys, copy)) {
        norni_free(copy);
        goto nomem;
    }
    memcpy(copy, p, bytes);
    l->slots[at] = (uint32_t)t->polys.n;
    l->n++;
    return -(norni_dim)t->polys.n;
nomem:
    norni_graph_failed(g, norni_nomem());
    return 1; /* the graph has failed: any size will do */
}

static bool atom_equal(const atom *a, const atom *b) {
    return a->kind == b->kind &&
           (a->kind == ATOM_NAME ? !strcmp(a->name, b->name) : a->num == b->num && a->den == b->den);
}

static norni_dim intern_atom(norn_graph *g, atom a) {
    norni_dim_table *t = table(g);
    if (!t || t->atoms.n >= INT32_MAX || !lookup_room(&t->by_atom, t, hash_of_atom))
        goto nomem;
    lookup_table *l = &t->by_atom;
    size_t i = t->atoms.n, at = (size_t)atom_hash(&a) & (l->cap - 1);
    if (a.kind != ATOM_UNKNOWN) { /* an unknown one equals no other */
        for (; l->slots[at]; at = (at + 1) & (l->cap - 1))
            if (atom_equal(&t->atoms.v[l->slots[at] - 1], &a))
                break;
        if (l->slots[at])
            i = l->slots[at] - 1;
    }
    if (i == t->atoms.n) {
        if (!NORNI_PUSH(&t->atoms, a))
            goto nomem;
        if (a.kind != ATOM_UNKNOWN) {
            l->slots[at] = (uint32_t)t->atoms.n;
            l->n++;
        }
    }
    poly p = {.n = 1, .t = {{.coef = 1, .n = 1, .atoms = {(int)i}}}};
    return intern(g, &p);
nomem:
    norni_graph_failed(g, norni_nomem());
    return 1;
}

norni_dim norni_dim_named(norn_graph *g, const char *name) {
    char *copy = norni_arena_strdup(g->arena, name);
    return copy ? intern_atom(g, (atom){.kind = ATOM_NAME, .name = copy}) : norni_dim_fresh(g);
}

norni_dim norni_dim_of(norn_graph *g, int64_t v) { /* what slices take for "from the very end" stays that */
    return v >= 0 ? v : norni_dim_sub(g, 0, v == INT64_MIN ? INT64_MAX : -v);
}

norni_dim norni_dim_fresh(norn_graph *g) {
    return intern_atom(g, (atom){.kind = ATOM_UNKNOWN});
}

static norni_dim add_scaled(norn_graph *g, norni_dim a, norni_dim b, int64_t scale) {
    poly p, q;
    load(g, a, &p);
    load(g, b, &q);
    for (int i = 0; i < q.n; i++)
        if (__builtin_mul_overflow(q.t[i].coef, scale, &q.t[i].coef) || !add_term(&p, q.t[i]))
            return norni_dim_fresh(g);
    /* A negative number is no size: the caller finds out what was wrong by other means. */
    return intern(g, &p);
}

norni_dim norni_dim_add(norn_graph *g, norni_dim a, norni_dim b) {
    return add_scaled(g, a, b, 1);
}
norni_dim norni_dim_sub(norn_graph *g, norni_dim a, norni_dim b) {
    return add_scaled(g, a, b, -1);
}

static bool mul_terms(const term *a, const term *b, term *out) {
    *out = (term){0};
    if (a->n + b->n > MAX_ATOMS || __builtin_mul_overflow(a->coef, b->coef, &out->coef))
        return false;
    int i = 0, j = 0;
    while (i < a->n || j < b->n)
        out->atoms[out->n++] =
            j == b->n || (i < a->n && a->atoms[i] <= b->atoms[j]) ? a->atoms[i++] : b->atoms[j++];
    return true;
}

norni_dim norni_dim_mul(norn_graph *g, norni_dim a, norni_dim b) {
    poly p, q, r = {0};
    load(g, a, &p);
    load(g, b, &q);
    for (int i = 0; i < p.n; i++)
        for (int j = 0; j < q.n; j++) {
            term t;
            if (!mul_terms(&p.t[i], &q.t[j], &t) || !add_term(&r, t))
                return norni_dim_fresh(g);
        }
    return intern(g, &r);
}

norni_dim norni_dim_product(norn_graph *g, int n, const norni_dim *dims) {
    norni_dim p = 1;
    for (int i = 0; i < n; i++)
        p = norni_dim_mul(g, p, dims[i]);
    return p;
}

/* a / b when b divides a exactly. */
static bool div_terms(const term *a, const term *b, term *out) {
    if (b->coef == 0 || a->coef % b->coef)
        return false;
    *out = (term){.coef = a->coef / b->coef};
    int j = 0;
    for (int i = 0; i < a->n; i++) {
        if (j < b->n && a->atoms[i] == b->atoms[j])
            j++;
        else
            out->atoms[out->n++] = a->atoms[i];
    }
    return j == b->n;
}

static int depth_of(const norn_graph *g, norni_dim d) {
    int depth = 0;
    if (d < 0)
        for (int i = 0; i < poly_of(g, d)->n; i++) {
            const term *t = &poly_of(g, d)->t[i];
            for (int k = 0; k < t->n; k++)
                if (g->dims->atoms.v[t->atoms[k]].depth > depth)
                    depth = g->dims->atoms.v[t->atoms[k]].depth;
        }
    return depth;
}

norni_dim norni_dim_div(norn_graph *g, norni_dim a, norni_dim b) {
    if (b == 0)
        return norni_dim_fresh(g);
    if (a >= 0 && b > 0)
        return a / b;
    if (a == b)
        return 1;
    poly p, q, whole = {0}, rest = {0};
    load(g, a, &p);
    load(g, b, &q);
    if (q.n == 1) /* floor((c*A + r)/c) = A + floor(r/c) for the terms that b divides */
        for (int i = 0; i < p.n; i++) {
            term t;
            bool exact = div_terms(&p.t[i], &q.t[0], &t);
            if (!add_term(exact ? &whole : &rest, exact ? t : p.t[i]))
                return norni_dim_fresh(g);
        }
    else
        rest = p;
    if (rest.n == 0)
        return intern(g, &whole);
    if (rest.n == 1 && rest.t[0].n == 0 && b > 0) { /* a number is left: move whole multiples over */
        int64_t r = rest.t[0].coef, f = r / b - (r % b < 0);
        return add_term(&whole, (term){.coef = f}) ? intern(g, &whole) : norni_dim_fresh(g);
    }
    norni_dim num = intern(g, &rest);
    int depth = depth_of(g, num) > depth_of(g, b) ? depth_of(g, num) : depth_of(g, b);
    if (depth >= MAX_DEPTH)
        return norni_dim_fresh(g);
    norni_dim quotient =
        intern_atom(g, (atom){.kind = ATOM_QUOTIENT, .num = num, .den = b, .depth = depth + 1});
    return norni_dim_add(g, intern(g, &whole), quotient);
}

bool norni_dim_number(const norn_graph *g, norni_dim d, int64_t *out) {
    *out = d;
    if (d >= 0)
        return true;
    const poly *p = poly_of(g, d);
    *out = p->n ? p->t[0].coef : 0;
    return p->n == 0 || (p->n == 1 && p->t[0].n == 0);
}

const char *norni_dim_name(const norn_graph *g, norni_dim d) {
    if (d >= 0)
        return NULL;
    const poly *p = poly_of(g, d);
    if (p->n != 1 || p->t[0].n != 1 || p->t[0].coef != 1)
        return NULL;
    return g->dims->atoms.v[p->t[0].atoms[0]].name;
}

bool norni_dim_unknown(const norn_graph *g, norni_dim d) {
    const poly *p = d < 0 ? poly_of(g, d) : NULL;
    return p && p->n == 1 && p->t[0].n == 1 && p->t[0].coef == 1 &&
           g->dims->atoms.v[p->t[0].atoms[0]].kind == ATOM_UNKNOWN;
}

bool norni_dim_has_unknown(const norn_graph *g, norni_dim d) {
    const poly *p = d < 0 ? poly_of(g, d) : NULL;
    for (int i = 0; p && i < p->n; i++)
        for (int k = 0; k < p->t[i].n; k++) {
            const atom *a = &g->dims->atoms.v[p->t[i].atoms[k]];
            if (a->kind == ATOM_UNKNOWN || (a->kind == ATOM_QUOTIENT && (norni_dim_has_unknown(g, a->num) ||
                                                                         norni_dim_has_unknown(g, a->den))))
                return true;
        }
    return false;
}

static void print_atom(norni_str *out, const norn_graph *g, int i) {
    const atom *a = &g->dims->atoms.v[i];
    if (a->kind == ATOM_NAME)
        norni_str_add(out, a->name);
    else if (a->kind == ATOM_UNKNOWN)
        norni_str_addf(out, "?%d", i);
    else {
        norni_str_add(out, "((");
        norni_dim_print(out, g, a->num);
        norni_str_add(out, ")/");
        if (a->den < 0)
            norni_str_add(out, "(");
        norni_dim_print(out, g, a->den);
        norni_str_add(out, a->den < 0 ? "))" : ")");
    }
}

void norni_dim_print(norni_str *out, const norn_graph *g, norni_dim d) {
    if (d >= 0) {
        norni_str_addf(out, "%lld", (long long)d);
        return;
    }
    const poly *p = poly_of(g, d);
    for (int i = 0; i < p->n; i++) {
        const term *t = &p->t[i];
        int64_t c = t->coef;
        if (i)
            norni_str_add(out, c < 0 ? " - " : " + ");
        else if (c < 0)
            norni_str_add(out, "-");
        uint64_t a = c < 0 ? 0 - (uint64_t)c : (uint64_t)c;
        if (a != 1 || t->n == 0)
            norni_str_addf(out, t->n ? "%llu*" : "%llu", (unsigned long long)a);
        for (int k = 0; k < t->n; k++) {
            if (k)
                norni_str_add(out, "*");
            print_atom(out, g, t->atoms[k]);
        }
    }
}

static bool eval(const norn_graph *g, norni_dim d, norni_dim_lookup *lookup, const void *ctx, int64_t *out) {
    if (d >= 0) {
        *out = d;
        return true;
    }
    const poly *p = poly_of(g, d);
    int64_t sum = 0;
    for (int i = 0; i < p->n; i++) {
        int64_t v = p->t[i].coef;
        for (int k = 0; k < p->t[i].n; k++) {
            const atom *a = &g->dims->atoms.v[p->t[i].atoms[k]];
            int64_t x, num, den;
            if (a->kind == ATOM_NAME) {
                if ((x = lookup(ctx, a->name)) < 0)
                    return false;
            } else if (a->kind == ATOM_QUOTIENT) {
                if (!eval(g, a->num, lookup, ctx, &num) || !eval(g, a->den, lookup, ctx, &den) || den <= 0)
                    return false;
                x = num / den - (num % den < 0);
            } else
                return false;
            if (__builtin_mul_overflow(v, x, &v))
                return false;
        }
        if (__builtin_add_overflow(sum, v, &sum))
            return false;
    }
    *out = sum;
    return true;
}

int64_t norni_dim_eval(const norn_graph *g, norni_dim d, norni_dim_lookup *lookup, const void *ctx) {
    int64_t v;
    return eval(g, d, lookup, ctx, &v) && v >= 0 ? v : -1;
}

norni_dim norni_dim_import(norn_graph *g, const norn_graph *from, norni_dim d) {
    if (d >= 0)
        return d;
    const poly *p = poly_of(from, d);
    norni_dim sum = 0;
    for (int i = 0; i < p->n; i++) {
        const term *t = &p->t[i];
        norni_dim v = 1;
        for (int k = 0; k < t->n; k++) {
            const atom *a = &from->dims->atoms.v[t->atoms[k]];
            norni_dim x;
            if (a->kind == ATOM_NAME)
                x = norni_dim_named(g, a->name);
            else if (a->kind == ATOM_QUOTIENT)
                x = norni_dim_div(g, norni_dim_import(g, from, a->num), norni_dim_import(g, from, a->den));
            else /* unknowns keep their number as a name, so that equal ones stay equal */
            {
                char name[32];
                snprintf(name, sizeof name, "?%d", t->atoms[k]);
                x = norni_dim_named(g, name);
            }
            v = norni_dim_mul(g, v, x);
        }
        poly c = {.n = 1, .t = {{.coef = t->coef}}};
        sum = norni_dim_add(g, sum, norni_dim_mul(g, intern(g, &c), v));
    }
    return sum;
}
