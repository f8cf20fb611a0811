/* SPDX-License-Identifier: Apache-2.0 */
/* Terms that take elements out of others or put them together, in normal form. */
#include "ops/op.h"
#include "symbolic/term.h"
#include <string.h>

const norni_term *norni_t_part(norni_terms *c, const norni_term *a, const int64_t *ints,
                               const norni_type *type) {
    if (!a)
        return NULL;
    int r = a->type.rank;
    bool all = norni_shape_equal(&a->type, type);
    for (int i = 0; i < r; i++)
        all = all && ints[2 * i] == 0 && ints[2 * i + 1] == 1;
    if (all)
        return a;
    if (norni_t_filled(a))
        return norni_t_spread(c, norni_t_filled(a), type);
    if (a->kind == NORNI_LIST && norni_t_static(type)) {
        int64_t n = norni_type_elems(type), at[NORN_MAX_RANK] = {0};
        const norni_term **e = norni_arena_array(c->arena, (size_t)n + 1, sizeof *e);
        if (!e)
            return norni_t_failed(c, norni_nomem());
        for (int64_t k = 0; k < n; k++) {
            int64_t place = 0;
            for (int i = 0; i < r; i++)
                place = place * a->type.dims[i] + ints[2 * i] + at[i] * ints[2 * i + 1];
            e[k] = a->a[place];
            for (int i = r; i-- > 0 && ++at[i] == type->dims[i];)
                at[i] = 0;
        }
        return norni_t_list(c, (int)n, e, type);
    }
    if (a->kind == NORNI_PART) {
        int64_t both[2 * NORN_MAX_RANK];
        for (int i = 0; i < r; i++) {
            both[2 * i] = a->ints[2 * i] + ints[2 * i] * a->ints[2 * i + 1];
            both[2 * i + 1] = ints[2 * i + 1] * a->ints[2 * i + 1];
        }
        return norni_t_part(c, a->a[0], both, type);
    }
    /* Element by element: the part of the parts, so that only what is needed is left. */
    if (a->kind == NORNI_ADD || a->kind == NORNI_MUL || a->kind == NORNI_POW || a->kind == NORNI_FN ||
        a->kind == NORNI_SPREAD) {
        const norni_term **v = norni_arena_array(c->arena, (size_t)a->n + 1, sizeof *v);
        if (!v)
            return norni_t_failed(c, norni_nomem());
        for (int i = 0; i < a->n; i++) {
            const norni_term *x = a->a[i];
            int lead = r - x->type.rank;
            int64_t in[2 * NORN_MAX_RANK];
            norni_type t = x->type;
            for (int k = 0; k < t.rank; k++) {
                bool one = t.dims[k] == 1 && a->type.dims[lead + k] != 1;
                in[2 * k] = one ? 0 : ints[2 * (lead + k)];
                in[2 * k + 1] = one ? 1 : ints[2 * (lead + k) + 1];
                t.dims[k] = one ? 1 : type->dims[lead + k];
            }
            v[i] = norni_t_part(c, x, in, &t);
        }
        return norni_t_spread(c, a->kind == NORNI_SPREAD ? v[0] : norni_t_again(c, a, v), type);
    }
    norni_term like = {.kind = NORNI_PART, .n = 1, .a = &a, .ints = ints, .n_ints = 2 * r, .type = *type};
    like.type.dtype = a->type.dtype;
    return norni_t_intern(c, &like);
}

const norni_term *norni_t_padded(norni_terms *c, const norni_term *a, const int64_t *pads,
                                 const norni_type *type) {
    enum { LIST_LIMIT = 64 };
    if (!a)
        return NULL;
    if (norni_t_is(a->kind == NORNI_SPREAD ? a->a[0] : a, 0))
        return norni_t_spread(c, c->zero, type);
    if (norni_shape_equal(&a->type, type))
        return a;
    int r = type->rank;
    const norni_term *inner = a;
    while (inner->kind == NORNI_SHAPED)
        inner = inner->a[0];
    bool one = norni_t_static(type) && norni_t_static(&a->type) && norni_type_elems(&a->type) == 1 &&
               norni_type_elems(type) <= LIST_LIMIT;
    if (one && (norni_t_scalar(inner) || inner->kind == NORNI_SPREAD)) {
        int n = (int)norni_type_elems(type), place = 0;
        const norni_term *e[LIST_LIMIT];
        for (int i = 0; i < r; i++)
            place = place * (int)type->dims[i] + (int)pads[i];
        for (int i = 0; i < n; i++)
            e[i] = c->zero;
        e[place] = norni_t_scalar(inner) ? inner : inner->a[0];
        return norni_t_list(c, n, e, type);
    }
    if (a->kind == NORNI_LIST && norni_t_static(type) && norni_type_elems(type) <= LIST_LIMIT) {
        int n = (int)norni_type_elems(type);
        const norni_term *e[LIST_LIMIT];
        for (int k = 0; k < n; k++) {
            int64_t at = k, place = 0, scale = 1;
            bool inside = true;
            for (int i = r; i-- > 0; at /= type->dims[i]) {
                int64_t x = at % type->dims[i] - pads[i];
                inside = inside && x >= 0 && x < a->type.dims[i];
                place += x * scale;
                scale *= a->type.dims[i];
            }
            e[k] = inside ? a->a[place] : c->zero;
        }
        return norni_t_list(c, n, e, type);
    }
    const norni_term *rest;
    norni_num k = norni_t_split(c, a, &rest);
    if (rest && !norni_num_is(k, 1) && norni_shape_equal(&rest->type, &a->type))
        return norni_t_scaled(c, k, norni_t_padded(c, rest, pads, type));
    norni_term like = {.kind = NORNI_PADDED, .n = 1, .a = &a, .ints = pads, .n_ints = 2 * r, .type = *type};
    like.type.dtype = a->type.dtype;
    return norni_t_intern(c, &like);
}

/* The element at a place (in row-major order) of a term with known sizes, as a scalar. */
static const norni_term *element(norni_terms *c, const norni_term *t, int64_t place) {
    int64_t at[NORN_MAX_RANK], ints[2 * NORN_MAX_RANK], rest = place;
    int r = t->type.rank;
    if (!r)
        return t;
    for (int i = r; i-- > 0; rest /= t->type.dims[i])
        at[i] = rest % t->type.dims[i];
    switch (t->kind) {
    case NORNI_LIST:
        return t->a[place];
    case NORNI_SHAPED:
        return element(c, t->a[0], place);
    case NORNI_SPREAD:
    case NORNI_ADD:
    case NORNI_MUL:
    case NORNI_POW:
    case NORNI_FN: {
        const norni_term **v = norni_arena_array(c->arena, (size_t)t->n + 1, sizeof *v);
        if (!v)
            return norni_t_failed(c, norni_nomem());
        for (int i = 0; i < t->n; i++) {
            const norni_term *x = t->a[i];
            int64_t k = 0;
            for (int j = 0, lead = r - x->type.rank; j < x->type.rank; j++)
                k = k * x->type.dims[j] + (x->type.dims[j] == 1 ? 0 : at[lead + j]);
            if (!(v[i] = element(c, x, k)))
                return NULL;
        }
        return t->kind == NORNI_SPREAD ? v[0] : norni_t_again(c, t, v);
    }
    case NORNI_PERM: {
        int64_t k = 0, in[NORN_MAX_RANK];
        for (int i = 0; i < r; i++)
            in[t->ints[i]] = at[i];
        for (int i = 0; i < r; i++)
            k = k * t->a[0]->type.dims[i] + in[i];
        return element(c, t->a[0], k);
    }
    case NORNI_PADDED: {
        int64_t k = 0;
        for (int i = 0; i < r; i++) {
            int64_t x = at[i] - t->ints[i], n = t->a[0]->type.dims[i];
            if (x < 0 || x >= n)
                return c->zero;
            k = k * n + x;
        }
        return element(c, t->a[0], k);
    }
    default:
        break;
    }
    norni_type one = t->type;
    for (int i = 0; i < r; i++) {
        ints[2 * i] = at[i];
        ints[2 * i + 1] = 1;
        one.dims[i] = 1;
    }
    return norni_t_shaped(c, norni_t_part(c, t, ints, &one), &(norni_type){.dtype = t->type.dtype});
}

/* Its elements are written one by one somewhere within: then all of it may be. */
static bool has_list(const norni_term *t) {
    switch (t->kind) {
    case NORNI_LIST:
        return true;
    case NORNI_SHAPED:
    case NORNI_SPREAD:
    case NORNI_ADD:
    case NORNI_MUL:
    case NORNI_POW:
    case NORNI_FN:
    case NORNI_PERM:
    case NORNI_PADDED:
        for (int i = 0; i < t->n; i++)
            if (has_list(t->a[i]))
                return true;
        return false;
    default:
        return false;
    }
}

static bool can_list(const norni_term *t) {
    while (t->kind == NORNI_SHAPED)
        t = t->a[0];
    return norni_t_filled(t) || has_list(t);
}

/* Column k of the unit matrix of n rows, times `*factor`. */
static bool is_unit(const norni_term *t, int64_t n, int64_t k, const norni_term **factor) {
    bool unit = t->kind == NORNI_LIST && t->n == n && !norni_t_is(t->a[k], 0);
    for (int64_t i = 0; i < n && unit; i++)
        unit = i == k || norni_t_is(t->a[i], 0);
    *factor = unit ? t->a[k] : NULL;
    return unit;
}

static const norni_term *unit_matrix(norni_terms *c, int64_t n, norn_dtype dtype) {
    const norni_term **e = norni_arena_array(c->arena, (size_t)(n * n), sizeof *e);
    if (!e)
        return norni_t_failed(c, norni_nomem());
    for (int64_t i = 0; i < n * n; i++)
        e[i] = i / n == i % n ? c->one : c->zero;
    return norni_t_list(c, (int)(n * n), e, &(norni_type){.dtype = dtype, .rank = 2, .dims = {n, n}});
}

static const norni_term *without_unit(norni_terms *c, const norni_term *t, int64_t n, int64_t k);

/* The same of a product element by element: all factors but one are scalars. */
static const norni_term *scaled_without_unit(norni_terms *c, const norni_term *t, int64_t n, int64_t k) {
    int half = t->n / 2, scalars = 0, big = -1;
    for (int i = 0; i < half; i++) {
        bool one = norni_t_scalar(t->a[i]) && norni_t_scalar(t->a[half + i]);
        scalars += one;
        big = one ? big : i;
    }
    if (scalars != half - 1 || !norni_t_is(t->a[half + big], 1))
        return NULL;
    const norni_term **v = norni_arena_dup(c->arena, t->a, (size_t)t->n * sizeof *v);
    if (!v)
        return norni_t_failed(c, norni_nomem());
    return (v[big] = without_unit(c, v[big], n, k)) ? norni_t_mul(c, t->num, half, v, v + half) : NULL;
}

/* M', where t has the elements of M e: e is column k of the unit matrix of n rows, M does not depend on k. NULL: t is none such. */
static const norni_term *without_unit(norni_terms *c, const norni_term *t, int64_t n, int64_t k) {
    enum { LARGEST_UNIT = 256 }; /* as in norni_t_value */
    const norni_term *m, *f;
    if (t->kind == NORNI_SHAPED)
        return without_unit(c, t->a[0], n, k);
    if (t->kind == NORNI_MUL)
        return scaled_without_unit(c, t, n, k);
    if (is_unit(t, n, k, &f))
        return n <= LARGEST_UNIT ? norni_t_times(c, f, unit_matrix(c, n, t->type.dtype)) : NULL;
    if (t->kind == NORNI_ADD && norni_num_is(t->num, 0)) {
        const norni_term **v = norni_arena_array(c->arena, (size_t)t->n, sizeof *v);
        for (int i = 0; v && i < t->n; i++)
            if (!(v[i] = without_unit(c, t->a[i], n, k)) || !norni_shape_equal(&v[i]->type, &v[0]->type))
                return NULL;
        return v ? norni_t_add(c, t->n, t->coef, v) : norni_t_failed(c, norni_nomem());
    }
    if (t->kind != NORNI_PROD2 || t->a[0]->type.rank != 2)
        return NULL;
    const norni_term *x = t->a[0], *y = t->a[1];
    const int64_t swap[] = {1, 0};
    if (x->type.dims[0] == 1 && y->type.rank == 2) { /* e' M' */
        if (is_unit(x, n, k, &f))
            return norni_t_is(f, 1) ? y : NULL;
        if ((m = without_unit(c, x, n, k)) && m->type.rank == 2 && m->type.dims[1] == y->type.dims[0])
            return norni_t_matmul(c, m, y);
    }
    if (y->kind == NORNI_PROD2 || y->kind == NORNI_SHAPED)
        return (m = without_unit(c, y, n, k)) && m->type.dims[1] == x->type.dims[1]
                   ? norni_t_matmul(c, m, norni_t_perm(c, x, swap))
                   : NULL;
    bool column = x->type.dims[1] == n && (y->type.rank == 1 || (y->type.rank == 2 && y->type.dims[1] == 1));
    return column && is_unit(y, n, k, &f) && norni_t_is(f, 1) ? norni_t_perm(c, x, swap) : NULL;
}

/* M' from the rows (M e0)', (M e1)'...: a derivative is made row by row. */
static const norni_term *without_units(norni_terms *c, int n, const norni_term *const *a, int axis,
                                       const norni_type *type) {
    const norni_term *m = NULL;
    if (axis || type->rank != 2 || type->dims[0] != n)
        return NULL;
    for (int i = 0; i < n; i++) {
        const norni_term *one = a[i]->type.dims[0] == 1 ? without_unit(c, a[i], n, i) : NULL;
        if (!one || (m && one != m))
            return NULL;
        m = one;
    }
    return m && norni_shape_equal(&m->type, type) ? m : NULL;
}

const norni_term *norni_t_joined(norni_terms *c, int n, const norni_term *const *a, int axis,
                                 const norni_type *type) {
    enum { LIST_LIMIT = 256 };
    bool list = norni_t_static(type) && norni_type_elems(type) <= LIST_LIMIT && norni_type_elems(type) > 0;
    for (int i = 0; i < n; i++) {
        if (!a[i])
            return NULL;
        list = list && norni_t_static(&a[i]->type) && can_list(a[i]);
    }
    if (n == 1)
        return a[0];
    bool plain = true; /* lists only: they stay one */
    for (int i = 0; i < n; i++) {
        const norni_term *inner = a[i];
        while (inner->kind == NORNI_SHAPED)
            inner = inner->a[0];
        plain = plain && (inner->kind == NORNI_LIST || norni_t_filled(inner));
    }
    const norni_term *whole = list && plain ? NULL : without_units(c, n, a, axis, type);
    if (whole || c->status != NORN_OK)
        return whole;
    if (list) {
        const norni_term *e[LIST_LIMIT];
        int64_t outer = 1, inner = 1, at = 0;
        for (int i = 0; i < type->rank; i++) {
            outer *= i < axis ? type->dims[i] : 1;
            inner *= i > axis ? type->dims[i] : 1;
        }
        for (int64_t o = 0; o < outer; o++)
            for (int i = 0; i < n; i++)
                for (int64_t k = 0, m = a[i]->type.dims[axis] * inner; k < m; k++)
                    if (!(e[at++] = element(c, a[i], o * m + k)))
                        return NULL;
        return norni_t_list(c, (int)at, e, type);
    }
    int64_t ints[] = {axis};
    norni_term like = {
        .kind = NORNI_JOINED, .n = n, .a = (const norni_term **)a, .ints = ints, .n_ints = 1, .type = *type};
    return norni_t_intern(c, &like);
}
