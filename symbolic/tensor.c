/* SPDX-License-Identifier: Apache-2.0 */
/* Terms over vectors and matrices in normal form. */
#include "ops/op.h"
#include "symbolic/term.h"
#include <string.h>

bool norni_t_static(const norni_type *t) {
    for (int i = 0; i < t->rank; i++)
        if (t->dims[i] < 0)
            return false;
    return t->rank >= 0;
}

const norni_term *norni_t_filled(const norni_term *t) {
    return t->kind == NORNI_SPREAD && norni_t_scalar(t->a[0]) ? t->a[0] : norni_t_scalar(t) ? t : NULL;
}

const norni_term *norni_t_spread(norni_terms *c, const norni_term *a, const norni_type *type) {
    if (!a)
        return NULL;
    if (norni_shape_equal(&a->type, type))
        return a;
    if (a->kind == NORNI_SPREAD)
        return norni_t_spread(c, a->a[0], type);
    norni_term like = {.kind = NORNI_SPREAD, .n = 1, .a = &a, .type = *type};
    like.type.dtype = a->type.dtype;
    return norni_t_intern(c, &like);
}

const norni_term *norni_t_list(norni_terms *c, int n, const norni_term *const *a, const norni_type *type) {
    bool flat = n > 0;
    for (int i = 0; i < n; i++) {
        if (!a[i])
            return NULL;
        flat = flat && a[i] == a[0];
    }
    if (n == 1 && type->rank == 0)
        return a[0];
    if (flat && n > 1)
        return norni_t_spread(c, a[0], type);
    norni_term like = {.kind = NORNI_LIST, .n = n, .a = (const norni_term **)a, .type = *type};
    return norni_t_intern(c, &like);
}

/* ---- Reductions. */
static norni_type reduced_type(const norni_type *t, int n, const int64_t *axes, bool keep) {
    norni_type out = {.dtype = t->dtype};
    for (int i = 0; i < t->rank; i++) {
        bool gone = false;
        for (int k = 0; k < n; k++)
            gone |= axes[k] == i;
        if (!gone || keep)
            out.dims[out.rank++] = gone ? 1 : t->dims[i];
    }
    return out;
}

/* How many elements one result is made of; -1: not known. */
static int64_t reduced_count(const norni_type *t, int n, const int64_t *axes) {
    int64_t count = 1;
    for (int k = 0; k < n; k++) {
        if (t->dims[axes[k]] < 0)
            return -1;
        count *= t->dims[axes[k]];
    }
    return count;
}

/* The factors of a product that are the same along all of the axes come out of a sum over them. */
static const norni_term *take_out(norni_terms *c, int fn, const norni_term *a, int n, const int64_t *axes,
                                  bool keep, const norni_type *type) {
    if (a->kind != NORNI_MUL)
        return NULL;
    int half = a->n / 2, in = 0, out = 0;
    const norni_term **v = norni_arena_array(c->arena, 4 * (size_t)half + 2, sizeof *v);
    if (!v)
        return norni_t_failed(c, norni_nomem());
    const norni_term **ib = v, **ip = v + half, **ob = v + 2 * half, **op = v + 3 * half + 1;
    for (int i = 0; i < half; i++) {
        bool scalar = norni_t_scalar(a->a[i]) && norni_t_scalar(a->a[half + i]);
        if (scalar) {
            ob[out] = a->a[i];
            op[out++] = a->a[half + i];
        } else {
            ib[in] = a->a[i];
            ip[in++] = a->a[half + i];
        }
    }
    if (!out && norni_num_is(a->num, 1))
        return NULL;
    const norni_term *inner = norni_t_spread(c, norni_t_mul(c, norni_num_int(1), in, ib, ip), &a->type);
    ob[out] = norni_t_reduce(c, fn, inner, n, axes, keep);
    op[out] = c->one;
    return norni_t_spread(c, norni_t_mul(c, a->num, out + 1, ob, op), type);
}

const norni_term *norni_t_reduce(norni_terms *c, int fn, const norni_term *a, int n, const int64_t *axes,
                                 bool keep) {
    const norni_term *out, *s;
    if (!a)
        return NULL;
    norni_type type = reduced_type(&a->type, n, axes, keep);
    int64_t count = reduced_count(&a->type, n, axes);
    bool linear = fn == NORNI_R_SUM || fn == NORNI_R_MEAN;
    if (count == 1 && fn != NORNI_R_NORM && fn != NORNI_R_NORM1)
        return norni_t_shaped(c, a, &type);
    if (linear && (out = take_out(c, fn, a, n, axes, keep, &type)))
        return out;
    if (linear && (s = norni_t_filled(a)) && (count >= 0 || fn == NORNI_R_MEAN))
        return norni_t_spread(c, fn == NORNI_R_SUM ? norni_t_scaled(c, norni_num_int(count), s) : s, &type);
    if (fn == NORNI_R_SUM && a->kind == NORNI_LIST && type.rank == 0) {
        norni_num *k = norni_arena_array(c->arena, (size_t)a->n, sizeof *k);
        for (int i = 0; k && i < a->n; i++)
            k[i] = norni_num_int(1);
        return k ? norni_t_add(c, a->n, k, a->a) : norni_t_failed(c, norni_nomem());
    }
    if (c->status != NORN_OK)
        return NULL;
    if (keep && n == a->type.rank) /* one number, spread out */
        return norni_t_spread(c, norni_t_reduce(c, fn, a, n, axes, false), &type);
    int64_t ints[NORN_MAX_RANK + 1] = {keep};
    int sorted = 1;
    for (int i = 0; i < a->type.rank; i++)
        for (int k = 0; k < n; k++)
            if (axes[k] == i) {
                ints[sorted++] = i;
                break;
            }
    norni_term like = {
        .kind = NORNI_RED, .fn = fn, .n = 1, .a = &a, .ints = ints, .n_ints = sorted, .type = type};
    return norni_t_intern(c, &like);
}

/* ---- Shapes. */
/* Equal but for sizes of 1. */
static bool same_but_ones(const norni_type *a, const norni_type *b) {
    int i = 0, k = 0;
    for (;;) {
        while (i < a->rank && a->dims[i] == 1)
            i++;
        while (k < b->rank && b->dims[k] == 1)
            k++;
        if (i == a->rank || k == b->rank)
            return i == a->rank && k == b->rank;
        if (a->dims[i++] != b->dims[k++])
            return false;
    }
}

static const norni_term *swapped(norni_terms *c, const norni_term *t);

const norni_term *norni_t_shaped(norni_terms *c, const norni_term *a, const norni_type *type) {
    const norni_term *s;
    if (!a)
        return NULL;
    if (norni_shape_equal(&a->type, type))
        return a;
    if (a->kind == NORNI_SHAPED)
        return norni_t_shaped(c, a->a[0], type);
    if (norni_t_scalar(a))
        return norni_t_spread(c, a, type);
    if ((s = norni_t_filled(a)) && a->kind == NORNI_SPREAD)
        return norni_t_spread(c, s, type);
    if (a->kind == NORNI_LIST && norni_t_static(type))
        return norni_t_list(c, a->n, a->a, type);
    if (a->kind == NORNI_RED) { /* sizes of 1 left or dropped */
        norni_type other = reduced_type(&a->a[0]->type, a->n_ints - 1, a->ints + 1, !a->ints[0]);
        if (norni_shape_equal(&other, type))
            return norni_t_reduce(c, a->fn, a->a[0], a->n_ints - 1, a->ints + 1, !a->ints[0]);
    }
    if (a->kind == NORNI_MUL && same_but_ones(&a->type, type)) { /* factors that are numbers stay outside */
        int scalars = 0, half = a->n / 2, big = -1;
        for (int i = 0; i < half; i++) {
            bool one = norni_t_scalar(a->a[i]) && norni_t_scalar(a->a[half + i]);
            scalars += one;
            big = one ? big : i;
        }
        if (scalars == half - 1) {
            const norni_term **v = norni_arena_dup(c->arena, a->a, (size_t)a->n * sizeof *v);
            if (!v)
                return norni_t_failed(c, norni_nomem());
            v[big] = norni_t_shaped(c, norni_t_pow(c, a->a[big], a->a[half + big]), type);
            v[half + big] = c->one;
            return norni_t_mul(c, a->num, half, v, v + half);
        }
    }
    if (a->kind == NORNI_PROD2 && type->rank == 1) { /* a vector made a matrix for a product, and back */
        const norni_term *x = a->a[0], *y = a->a[1];
        if (x->kind == NORNI_SHAPED && x->a[0]->type.rank == 1 && x->type.rank == 2 && x->type.dims[0] == 1)
            return norni_t_matmul(c, x->a[0], y);
        if (y->kind == NORNI_SHAPED && y->a[0]->type.rank == 1 && y->type.rank == 2 && y->type.dims[1] == 1)
            return norni_t_matmul(c, x, y->a[0]);
    }
    norni_term like = {.kind = NORNI_SHAPED, .n = 1, .a = &a, .type = *type};
    like.type.dtype = a->type.dtype;
    return norni_t_intern(c, &like);
}

const norni_term *norni_t_perm(norni_terms *c, const norni_term *a, const int64_t *perm) {
    if (!a)
        return NULL;
    int r = a->type.rank;
    bool plain = true;
    norni_type type = a->type;
    for (int i = 0; i < r; i++) {
        plain = plain && perm[i] == i;
        type.dims[i] = a->type.dims[perm[i]];
    }
    if (plain)
        return a;
    if (a->kind == NORNI_PERM) {
        int64_t both[NORN_MAX_RANK];
        for (int i = 0; i < r; i++)
            both[i] = a->ints[perm[i]];
        return norni_t_perm(c, a->a[0], both);
    }
    if (norni_t_filled(a))
        return norni_t_spread(c, norni_t_filled(a), &type);
    if (r == 2 && a->kind == NORNI_PROD2 && a->a[0]->type.rank == 2 && a->a[1]->type.rank == 2)
        return norni_t_matmul(c, swapped(c, a->a[1]), swapped(c, a->a[0]));
    if (r == 2 && (type.dims[0] == 1 || type.dims[1] == 1))
        return norni_t_shaped(c, a, &type);
    if (r == 2 && a->kind == NORNI_LIST) {
        const norni_term **e = norni_arena_array(c->arena, (size_t)a->n, sizeof *e);
        int64_t rows = type.dims[0], columns = type.dims[1];
        if (!e)
            return norni_t_failed(c, norni_nomem());
        for (int64_t i = 0; i < rows; i++)
            for (int64_t k = 0; k < columns; k++)
                e[i * columns + k] = a->a[k * rows + i];
        return norni_t_list(c, a->n, e, &type);
    }
    const norni_term *rest;
    norni_num k = norni_t_split(c, a, &rest);
    if (rest && !norni_num_is(k, 1))
        return norni_t_scaled(c, k, norni_t_perm(c, rest, perm));
    if (a->kind == NORNI_DATA && r == 2 && a->type.dims[0] == a->type.dims[1]) { /* symmetric matrices */
        bool symmetric = norni_t_static(&a->type);
        int64_t n = a->type.dims[0];
        const void *d = norni_tensor_data(a->value->data);
        for (int64_t i = 0; i < n && symmetric; i++)
            for (int64_t j = 0; j < i && symmetric; j++)
                symmetric = norni_get_double(a->type.dtype, d, i * n + j) ==
                            norni_get_double(a->type.dtype, d, j * n + i);
        if (symmetric)
            return a;
    }
    norni_term like = {.kind = NORNI_PERM, .n = 1, .a = &a, .ints = perm, .n_ints = r, .type = type};
    return norni_t_intern(c, &like);
}

static const norni_term *swapped(norni_terms *c, const norni_term *t) {
    return norni_t_perm(c, t, (int64_t[]){1, 0});
}

static bool is_eye(const norni_term *t) {
    bool eye = t->type.rank == 2 && t->type.dims[0] == t->type.dims[1] && t->kind == NORNI_LIST;
    for (int i = 0; i < t->n && eye; i++)
        eye = norni_t_is(t->a[i], i % (int)t->type.dims[0] == i / (int)t->type.dims[0]);
    return eye;
}

/* A vector or matrix that is written entry by entry; *numbers: all of them are. */
static bool is_written(const norni_term *t, bool *numbers) {
    *numbers = t->kind == NORNI_LIST;
    for (int i = 0; i < t->n && *numbers; i++)
        *numbers = t->a[i]->kind == NORNI_NUM;
    return t->kind == NORNI_LIST && (t->type.rank == 1 || t->type.rank == 2);
}

/* The product of small matrices written entry by entry, one of them of numbers: its entries; NULL: they are not such. */
static const norni_term *multiplied_out(norni_terms *c, const norni_term *a, const norni_term *b) {
    enum { LARGEST = 256 }; /* products of entries */
    bool first, second;
    if (!is_written(a, &first) || !is_written(b, &second) || (!first && !second))
        return NULL;
    int ra = a->type.rank, rb = b->type.rank;
    int64_t inner = a->type.dims[ra - 1], rows = ra == 2 ? a->type.dims[0] : 1,
            columns = rb == 2 ? b->type.dims[1] : 1;
    if (b->type.dims[0] != inner || rows * columns > LARGEST || rows * columns * inner > LARGEST)
        return NULL;
    norni_type type = {.dtype = c->dtype};
    if (ra == 2)
        type.dims[type.rank++] = rows;
    if (rb == 2)
        type.dims[type.rank++] = columns;
    const norni_term *e[LARGEST], *v[LARGEST];
    norni_num k[LARGEST];
    for (int64_t i = 0; i < rows * columns; i++) {
        for (int64_t j = 0; j < inner; j++) {
            v[j] = norni_t_times(c, a->a[i / columns * inner + j], b->a[j * columns + i % columns]);
            k[j] = norni_num_int(1);
        }
        if (!(e[i] = norni_t_add(c, (int)inner, k, v)))
            return NULL;
    }
    return norni_t_list(c, (int)(rows * columns), e, &type);
}

const norni_term *norni_t_matmul(norni_terms *c, const norni_term *a, const norni_term *b) {
    const norni_term *x, *y;
    if (!a || !b)
        return NULL;
    norni_num k = norni_num_mul(norni_t_split(c, a, &x), norni_t_split(c, b, &y));
    if (!x || !y)
        return NULL;
    for (int i = 0; i < 2; i++) { /* factors that are numbers come out */
        const norni_term *m = i ? y : x;
        if (m->kind != NORNI_MUL)
            continue;
        int half = m->n / 2, in = 0, out = 0;
        const norni_term **v = norni_arena_array(c->arena, 4 * (size_t)half + 2, sizeof *v);
        if (!v)
            return norni_t_failed(c, norni_nomem());
        for (int j = 0; j < half; j++) {
            bool number = norni_t_scalar(m->a[j]) && norni_t_scalar(m->a[half + j]);
            int to = number ? 2 * half + out++ : in++;
            v[to] = m->a[j];
            v[to + (number ? half + 1 : half)] = m->a[half + j];
        }
        if (!out || !in)
            continue;
        const norni_term *rest = norni_t_mul(c, norni_num_int(1), in, v, v + half);
        if (!rest || !norni_shape_equal(&rest->type, &m->type))
            continue;
        v[2 * half + out] = norni_t_matmul(c, i ? x : rest, i ? rest : y);
        v[3 * half + 1 + out] = c->one;
        return norni_t_mul(c, k, out + 1, v + 2 * half, v + 3 * half + 1);
    }
    int ra = a->type.rank, rb = b->type.rank;
    norni_type type = {.dtype = c->dtype};
    const norni_term *out = multiplied_out(c, a, b);
    if (out || c->status != NORN_OK)
        return out;
    if (ra == 2 && rb == 2 && a->type.dims[1] == 1 && b->type.dims[0] == 1) /* an outer product */
        return norni_t_times(c, a, b);
    if (!norni_num_is(k, 1) && x->type.rank == ra && y->type.rank == rb)
        return norni_t_scaled(c, k, norni_t_matmul(c, x, y));
    if (ra == 2 && rb <= 2 && is_eye(a))
        return b;
    if (rb == 2 && ra <= 2 && is_eye(b))
        return a;
    if (ra == 1 && rb == 2) /* v M = M' v */
        return norni_t_matmul(c, swapped(c, b), a);
    if (ra == 1 && rb == 1) {
        if (a->id > b->id) {
            x = a;
            a = b;
            b = x;
        }
    } else {
        norni_type lead = {.dtype = c->dtype, .rank = ra > 2 ? ra - 2 : 0},
                   other = {.dtype = c->dtype, .rank = rb > 2 ? rb - 2 : 0};
        memcpy(lead.dims, a->type.dims, sizeof *lead.dims * (size_t)lead.rank);
        memcpy(other.dims, b->type.dims, sizeof *lead.dims * (size_t)other.rank);
        norn_status s = norni_broadcast(c->g, &lead, &other);
        if (s != NORN_OK)
            return norni_t_failed(c, s);
        type = lead;
        if (ra > 1)
            type.dims[type.rank++] = a->type.dims[ra - 2];
        if (rb > 1)
            type.dims[type.rank++] = b->type.dims[rb - 1];
    }
    norni_term like = {.kind = NORNI_PROD2, .n = 2, .a = (const norni_term *[]){a, b}, .type = type};
    return norni_t_intern(c, &like);
}

const norni_term *norni_t_other(norni_terms *c, const norn_node *node, int n, const norni_term *const *a,
                                int output, const norni_type *type) {
    int64_t ints[] = {output};
    for (int i = 0; i < n; i++)
        if (!a[i])
            return NULL;
    norni_term like = {.kind = NORNI_OTHER,
                       .node = node,
                       .n = n,
                       .a = (const norni_term **)a,
                       .ints = ints,
                       .n_ints = 1,
                       .type = *type};
    return norni_t_intern(c, &like);
}

const norni_term *norni_t_again(norni_terms *c, const norni_term *t, const norni_term *const *a) {
    for (int i = 0; i < t->n; i++)
        if (!a[i])
            return NULL;
    switch (t->kind) {
    case NORNI_ADD: {
        norni_num *k = norni_arena_array(c->arena, (size_t)t->n + 1, sizeof *k);
        const norni_term **v = norni_arena_array(c->arena, (size_t)t->n + 1, sizeof *v);
        if (!k || !v)
            return norni_t_failed(c, norni_nomem());
        memcpy(k, t->coef, (size_t)t->n * sizeof *k);
        memcpy(v, a, (size_t)t->n * sizeof *v);
        k[t->n] = t->num;
        v[t->n] = c->one;
        return norni_t_add(c, t->n + 1, k, v);
    }
    case NORNI_MUL:
        return norni_t_mul(c, t->num, t->n / 2, a, a + t->n / 2);
    case NORNI_POW:
        return norni_t_pow(c, a[0], a[1]);
    case NORNI_FN:
        return norni_t_fn(c, t->fn, a[0], t->n > 1 ? a[1] : NULL, t->n > 2 ? a[2] : NULL);
    case NORNI_RED:
        return norni_t_reduce(c, t->fn, a[0], t->n_ints - 1, t->ints + 1, t->ints[0] != 0);
    case NORNI_PROD2:
        return norni_t_matmul(c, a[0], a[1]);
    case NORNI_PERM:
        return norni_t_perm(c, a[0], t->ints);
    case NORNI_SHAPED:
        return norni_t_shaped(c, a[0], &t->type);
    case NORNI_SPREAD:
        return norni_t_spread(c, a[0], &t->type);
    case NORNI_PART:
        return norni_t_part(c, a[0], t->ints, &t->type);
    case NORNI_PADDED:
        return norni_t_padded(c, a[0], t->ints, &t->type);
    case NORNI_JOINED:
        return norni_t_joined(c, t->n, a, (int)t->ints[0], &t->type);
    case NORNI_LIST:
        return norni_t_list(c, t->n, a, &t->type);
    case NORNI_OTHER:
        return norni_t_other(c, t->node, t->n, a, (int)t->ints[0], &t->type);
    default:
        return t;
    }
}
