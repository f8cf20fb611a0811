/* SPDX-License-Identifier: Apache-2.0 */
/* The table of terms: equal ones are made once. */
#include "base/hash.h"
#include "ops/op.h"
#include "symbolic/term.h"
#include <math.h>
#include <string.h>

void *norni_t_failed(norni_terms *c, norn_status s) {
    if (c->status == NORN_OK)
        c->status = s;
    return NULL;
}

static uint64_t hash_num(uint64_t h, norni_num v) {
    uint64_t bits;
    memcpy(&bits, &v.d, sizeof bits);
    return v.exact ? norni_hash_u64(norni_hash_u64(h, (uint64_t)v.p), (uint64_t)v.q)
                   : norni_hash_u64(h, bits);
}

static uint64_t hash_of(const norni_term *t) {
    uint64_t h = norni_hash_u64((uint64_t)t->kind, (uint64_t)t->fn);
    h = hash_num(h, t->num);
    h = norni_hash_u64(h, (uint64_t)(uintptr_t)t->value);
    h = norni_hash_u64(h, (uint64_t)(uintptr_t)t->node);
    for (int i = 0; i < t->n; i++)
        h = norni_hash_u64(h, (uint64_t)t->a[i]->id);
    for (int i = 0; i < t->n && t->coef; i++)
        h = hash_num(h, t->coef[i]);
    for (int i = 0; i < t->n_ints; i++)
        h = norni_hash_u64(h, (uint64_t)t->ints[i]);
    for (int i = 0; i < t->type.rank; i++)
        h = norni_hash_u64(h, (uint64_t)t->type.dims[i]);
    return h;
}

static bool same(const norni_term *x, const norni_term *y) {
    if (x->kind != y->kind || x->fn != y->fn || !norni_num_equal(x->num, y->num) || x->value != y->value ||
        x->node != y->node || x->n != y->n || x->n_ints != y->n_ints || !norni_type_equal(&x->type, &y->type))
        return false;
    for (int i = 0; i < x->n; i++)
        if (x->a[i] != y->a[i] || (x->coef && !norni_num_equal(x->coef[i], y->coef[i])))
            return false;
    return !x->n_ints || !memcmp(x->ints, y->ints, (size_t)x->n_ints * sizeof *x->ints);
}

static bool grow(norni_terms *c) {
    if (c->n * 2 < c->cap)
        return true;
    size_t cap = c->cap ? c->cap * 2 : 256;
    norni_term **slots = norni_alloc_array(cap, sizeof *slots);
    if (!slots)
        return false;
    for (size_t i = 0; i < c->cap; i++)
        if (c->slots[i]) {
            size_t k = (size_t)c->slots[i]->hash;
            while (slots[k & (cap - 1)])
                k++;
            slots[k & (cap - 1)] = c->slots[i];
        }
    norni_free(c->slots);
    c->slots = slots;
    c->cap = cap;
    return true;
}

/* Operators of one term, as a person counts them. */
static double count_of(const norni_term *t) {
    double n = 0;
    for (int i = 0; i < t->n; i++)
        n += t->a[i]->count;
    switch (t->kind) {
    case NORNI_NUM:
        return t->num.exact && t->num.q != 1 && !t->num.decimal;
    case NORNI_PI:
    case NORNI_E:
    case NORNI_VAR:
    case NORNI_DATA:
        return 0;
    case NORNI_ADD: {
        double terms = t->n + !norni_num_is(t->num, 0);
        for (int i = 0; i < t->n; i++) {
            norni_num k = t->coef[i];
            bool one = k.exact && (k.p == 1 || k.p == -1);
            n += !one;
            n += k.exact && k.q != 1 && !k.decimal;
        }
        return n + terms - 1;
    }
    case NORNI_MUL: { /* x**1 and division by x**1 have no power */
        int half = t->n / 2, above = 0;
        bool one = t->num.exact && (t->num.p == 1 || t->num.p == -1);
        for (int i = 0; i < half; i++) {
            const norni_term *p = t->a[half + i], *b = t->a[i];
            double v = p->kind == NORNI_NUM ? fabs(norni_num_value(p->num)) : 0;
            bool down = p->kind == NORNI_NUM && norni_num_sign(p->num) < 0 && b->kind != NORNI_E;
            above += !down;
            if (v == 0.5 && b->kind != NORNI_E)
                n += 1 - p->count;
            else if (v != 1 || b->kind == NORNI_E)
                n += 1;
        }
        n += half - 1 + (!one || !above) + (t->num.exact && t->num.q != 1 && !t->num.decimal && !one);
        return n + (t->num.exact && t->num.p == -1);
    }
    case NORNI_SPREAD:
    case NORNI_SHAPED:
    case NORNI_LIST:
        return n;
    case NORNI_POW:
        return n + 1 -
               (norni_t_scalar(t->a[1]) && t->a[1]->kind == NORNI_NUM &&
                        fabs(norni_num_value(t->a[1]->num)) == 0.5
                    ? t->a[1]->count
                    : 0);
    default:
        return n + 1;
    }
}

const norni_term *norni_t_intern(norni_terms *c, const norni_term *like) {
    if (c->status != NORN_OK)
        return NULL;
    if (!grow(c))
        return norni_t_failed(c, norni_nomem());
    uint64_t h = hash_of(like);
    size_t k = (size_t)h;
    for (; c->slots[k & (c->cap - 1)]; k++)
        if (c->slots[k & (c->cap - 1)]->hash == h && same(c->slots[k & (c->cap - 1)], like))
            return c->slots[k & (c->cap - 1)];
    norni_term *t = norni_arena_dup(c->arena, like, sizeof *t);
    if (!t)
        return norni_t_failed(c, norni_nomem());
    t->hash = h;
    t->id = (int)c->n;
    t->a = norni_arena_dup(c->arena, like->a, (size_t)like->n * sizeof *like->a);
    t->coef = like->coef ? norni_arena_dup(c->arena, like->coef, (size_t)like->n * sizeof *like->coef) : NULL;
    t->ints = norni_arena_dup(c->arena, like->ints, (size_t)like->n_ints * sizeof *like->ints);
    if ((t->n && !t->a) || (like->coef && !t->coef) || (t->n_ints && !t->ints))
        return norni_t_failed(c, norni_nomem());
    t->count = count_of(t);
    c->slots[k & (c->cap - 1)] = t;
    c->n++;
    return t;
}

norn_status norni_terms_start(norni_terms *c, norn_graph *g, norn_dtype dtype) {
    *c = (norni_terms){.g = g, .dtype = dtype, .arena = norni_arena_new(0)};
    if (!c->arena)
        return norni_nomem();
    c->zero = norni_t_int(c, 0);
    c->one = norni_t_int(c, 1);
    c->minus_one = norni_t_int(c, -1);
    return c->status;
}

void norni_terms_end(norni_terms *c) {
    norni_free(c->slots);
    norni_arena_free(c->arena);
    *c = (norni_terms){0};
}

const norni_term *norni_t_num(norni_terms *c, norni_num v) {
    return norni_t_intern(c, &(norni_term){.kind = NORNI_NUM, .num = v, .type = {.dtype = c->dtype}});
}

const norni_term *norni_t_int(norni_terms *c, int64_t v) {
    return norni_t_num(c, norni_num_int(v));
}

const norni_term *norni_t_bool(norni_terms *c, bool v) {
    return norni_t_intern(
        c, &(norni_term){.kind = NORNI_NUM, .num = norni_num_int(v), .type = {.dtype = NORN_BOOL}});
}

bool norni_t_is(const norni_term *t, int64_t v) {
    return t->kind == NORNI_NUM && norni_num_is(t->num, v);
}

bool norni_t_scalar(const norni_term *t) {
    return t->type.rank == 0;
}

const norni_term *norni_t_sum2(norni_terms *c, const norni_term *a, const norni_term *b) {
    return norni_t_add(c, 2, (norni_num[]){norni_num_int(1), norni_num_int(1)}, (const norni_term *[]){a, b});
}

const norni_term *norni_t_times(norni_terms *c, const norni_term *a, const norni_term *b) {
    return norni_t_mul(c, norni_num_int(1), 2, (const norni_term *[]){a, b}, NULL);
}

const norni_term *norni_t_scaled(norni_terms *c, norni_num k, const norni_term *a) {
    return norni_t_mul(c, k, 1, &a, NULL);
}

/* ---- Broadcasting. */
bool norni_t_broadcast(norni_terms *c, int n, const norni_term *const *a, norni_type *out) {
    *out = a[0]->type;
    for (int i = 1; i < n; i++) {
        norn_status s = norni_broadcast(c->g, out, &a[i]->type);
        if (s != NORN_OK)
            return norni_t_failed(c, s), false;
    }
    return true;
}

bool norni_t_strip(norni_terms *c, int n, const norni_term *const *in, const norni_term **out,
                   norni_type *type) {
    for (int i = 0; i < n; i++)
        if (!in[i])
            return false;
    if (!norni_t_broadcast(c, n, in, type))
        return false;
    for (int i = 0; i < n; i++)
        out[i] = in[i]->kind == NORNI_SPREAD ? in[i]->a[0] : in[i];
    return true;
}

/* ---- Constants of the graph. */
static const struct {
    double value;
    int64_t p, q;  /* factor */
    int pi2, two2; /* powers of pi and 2 in halves */
} known[] = {
    {3.141592653589793, 1, 1, 2, 0},   {6.283185307179586, 2, 1, 2, 0},   {1.5707963267948966, 1, 2, 2, 0},
    {0.7853981633974483, 1, 4, 2, 0},  {0.3183098861837907, 1, 1, -2, 0}, {1.772453850905516, 1, 1, 1, 0},
    {1.1283791670955126, 2, 1, -1, 0}, {0.7978845608028654, 1, 1, -1, 1}, {0.7071067811865476, 1, 1, 0, -1},
    {0.7071067811865475, 1, 1, 0, -1}, {1.4142135623730951, 1, 1, 0, 1},  {0.3989422804014327, 1, 1, -1, -1},
    {0.5641895835477563, 1, 1, -1, 0}, {0.15915494309189535, 1, 2, -2, 0}};

static const norni_term *constant(norni_terms *c, double v, norn_dtype t) {
    double a = fabs(v);
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (t == NORN_F64 ? known[i].value == a : t == NORN_F32 && (float)known[i].value == (float)a) {
            const norni_term *pi =
                norni_t_intern(c, &(norni_term){.kind = NORNI_PI, .type = {.dtype = c->dtype}});
            norni_num k = norni_num_ratio(v < 0 ? -known[i].p : known[i].p, known[i].q);
            return norni_t_mul(c, k, 2, (const norni_term *[]){pi, norni_t_int(c, 2)},
                               (const norni_term *[]){norni_t_num(c, norni_num_ratio(known[i].pi2, 2)),
                                                      norni_t_num(c, norni_num_ratio(known[i].two2, 2))});
        }
    return norni_t_num(c, norni_num_double(v, t == NORN_F32));
}

/* A multiple of the unit matrix: it is written in a word, however large it is. */
static bool is_diagonal(const norn_value *v, int64_t n) {
    int64_t rows = v->type.rank == 2 && v->type.dims[0] == v->type.dims[1] ? v->type.dims[0] : 0;
    const void *data = norni_tensor_data(v->data);
    bool diagonal = rows > 0 && rows <= 256;
    for (int64_t i = 1; i < n && diagonal; i++)
        diagonal = norni_get_double(v->type.dtype, data, i) ==
                   (i / rows == i % rows ? norni_get_double(v->type.dtype, data, 0) : 0);
    return diagonal;
}

const norni_term *norni_t_value(norni_terms *c, norn_value *v) {
    enum { LIST_LIMIT = 256 };
    if (v->kind != NORNI_CONST || !v->data || v->name)
        return norni_t_intern(c, &(norni_term){.kind = NORNI_VAR, .value = v, .type = v->type});
    int64_t n = norni_tensor_elems(v->data);
    bool flat = n > 0;
    const void *data = norni_tensor_data(v->data);
    for (int64_t i = 1; i < n && flat; i++)
        flat = norni_get_double(v->type.dtype, data, i) == norni_get_double(v->type.dtype, data, 0);
    if (flat && v->type.dtype == NORN_BOOL)
        return norni_t_spread(c, norni_t_bool(c, norni_get_int(NORN_BOOL, data, 0) != 0), &v->type);
    if (flat)
        return norni_t_spread(c, constant(c, norni_get_double(v->type.dtype, data, 0), v->type.dtype),
                              &v->type);
    if (n && norni_dtype_is_float(v->type.dtype) && (n <= LIST_LIMIT || is_diagonal(v, n))) {
        const norni_term **e = norni_arena_array(c->arena, (size_t)n, sizeof *e);
        if (!e)
            return norni_t_failed(c, norni_nomem());
        for (int64_t i = 0; i < n; i++)
            e[i] = constant(c, norni_get_double(v->type.dtype, data, i), v->type.dtype);
        return norni_t_list(c, (int)n, e, &v->type);
    }
    return norni_t_intern(c, &(norni_term){.kind = NORNI_DATA, .value = v, .type = v->type});
}
