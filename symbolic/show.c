/* SPDX-License-Identifier: Apache-2.0 */
#include "symbolic/show.h"
#include "ops/op.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static const norni_show *make(norni_shower *s, norni_show_kind kind, const char *text, int n,
                              const norni_show *const *a) {
    for (int i = 0; i < n; i++)
        if (!a[i])
            return NULL;
    norni_show *w = norni_arena_alloc(s->c->arena, sizeof *w);
    if (w)
        *w = (norni_show){.kind = kind,
                          .text = text ? norni_arena_strdup(s->c->arena, text) : NULL,
                          .n = n,
                          .a = norni_arena_dup(s->c->arena, a, (size_t)n * sizeof(norni_show *))};
    if (!w || (text && !w->text) || (n && !w->a))
        return norni_t_failed(s->c, norni_nomem());
    return w;
}

static const norni_show *one(norni_shower *s, norni_show_kind kind, const norni_show *a) {
    return make(s, kind, NULL, 1, &a);
}
static const norni_show *two(norni_shower *s, norni_show_kind kind, const norni_show *a,
                             const norni_show *b) {
    return make(s, kind, NULL, 2, (const norni_show *[]){a, b});
}
static const norni_show *call(norni_shower *s, const char *name, const norni_show *a) {
    return make(s, NORNI_W_CALL, name, 1, &a);
}

static const norni_show *number(norni_shower *s, norni_num v) {
    norni_show w = {.kind = NORNI_W_NUMBER};
    if (norni_num_sign(v) < 0)
        return one(s, NORNI_W_NEG, number(s, norni_num_neg(v)));
    if (v.exact && v.q != 1 && !v.decimal)
        return two(s, NORNI_W_DIV, number(s, norni_num_int(v.p)), number(s, norni_num_int(v.q)));
    w.num = v;
    norni_show *made = norni_arena_dup(s->c->arena, &w, sizeof w);
    return made ? made : norni_t_failed(s->c, norni_nomem());
}

static const norni_show *whole(norni_shower *s, int64_t v) {
    return number(s, norni_num_int(v));
}

static const norni_show *list_of_ints(norni_shower *s, int n, const int64_t *v) {
    const norni_show *e[2 * NORN_MAX_RANK];
    for (int i = 0; i < n; i++) {
        norni_str name = {0};
        if (v[i] < 0)
            norni_dim_print(&name, s->c->g, v[i]);
        else
            norni_str_addf(&name, "%lld", (long long)v[i]);
        e[i] = make(s, NORNI_W_TEXT, name.s ? name.s : "?", 0, NULL);
        norni_str_free(&name);
    }
    return make(s, NORNI_W_LIST, NULL, n, e);
}

/* ---- Powers. */
static const norni_show *power(norni_shower *s, const norni_term *base, const norni_term *p) {
    if (base->kind == NORNI_E)
        return norni_t_is(p, 1) ? call(s, "exp", whole(s, 1)) : call(s, "exp", norni_show_term(s, p));
    if (norni_t_is(p, 1))
        return norni_show_term(s, base);
    if (p->kind == NORNI_NUM && p->num.exact && p->num.p == 1 && p->num.q == 2)
        return call(s, "sqrt", norni_show_term(s, base));
    return two(s, NORNI_W_POW, norni_show_term(s, base), norni_show_term(s, p));
}

static bool is_down(const norni_term *base, const norni_term *p) {
    return p->kind == NORNI_NUM && norni_num_sign(p->num) < 0 && base->kind != NORNI_E;
}

/* ---- Products. */

/* Where a factor stands: numbers, variables, functions, sums. */
static int factor_rank(const norni_term *t, const norni_term *power) {
    switch (t->kind) {
    case NORNI_NUM:
    case NORNI_PI:
        return 0;
    case NORNI_VAR:
    case NORNI_PART:
    case NORNI_SHAPED:
        return power->kind == NORNI_NUM ? 1 : 2;
    case NORNI_ADD:
        return 4;
    case NORNI_PROD2:
        return 3;
    default:
        return 2;
    }
}

/* v as a column, w as a row: outer(v, w). */
static bool is_outer(const norni_term *v, const norni_term *w) {
    return v->kind == NORNI_SHAPED && w->kind == NORNI_SHAPED && v->type.rank == 2 && w->type.rank == 2 &&
           v->a[0]->type.rank == 1 && w->a[0]->type.rank == 1 && v->type.dims[1] == 1 && w->type.dims[0] == 1;
}

typedef struct {
    const norni_term *base, *power;
} factor;

/* Variables by name, everything else as it was made. */
static bool before(const norni_term *a, const norni_term *b) {
    if (a->kind == NORNI_VAR && b->kind == NORNI_VAR && a->value->name && b->value->name)
        return strcmp(a->value->name, b->value->name) < 0;
    if (a->kind == NORNI_SHAPED && b->kind == NORNI_SHAPED && a->a[0]->kind == NORNI_PART &&
        b->a[0]->kind == NORNI_PART && a->a[0]->a[0] == b->a[0]->a[0]) /* x[0] x[1] */
        for (int i = 0; i < a->a[0]->n_ints; i += 2)
            if (a->a[0]->ints[i] != b->a[0]->ints[i])
                return a->a[0]->ints[i] < b->a[0]->ints[i];
    return a->id < b->id;
}

static void sort_factors(int n, factor *f) {
    for (int i = 1; i < n; i++) {
        factor x = f[i];
        int k = i;
        for (; k > 0; k--) {
            int a = factor_rank(x.base, x.power), b = factor_rank(f[k - 1].base, f[k - 1].power);
            if (a > b || (a == b && !before(x.base, f[k - 1].base)))
                break;
            f[k] = f[k - 1];
        }
        f[k] = x;
    }
}

/* The product of `k` and the factors that are above the line, or below it; NULL with *none when there are none. */
static const norni_show *line(norni_shower *s, norni_num k, int n, const factor *f, bool below, bool *none) {
    const norni_show *w = norni_num_is(k, 1) ? NULL : number(s, k);
    *none = !w;
    for (int i = 0; i < n; i++) {
        const norni_term *p = f[i].power;
        if (is_down(f[i].base, p) != below)
            continue;
        if (below)
            p = norni_t_num(s->c, norni_num_neg(p->num));
        const norni_show *x = p ? power(s, f[i].base, p) : NULL;
        if (i + 1 < n && !below && !s->leaf && is_outer(f[i].base, f[i + 1].base) && norni_t_is(p, 1)) {
            x = make(s, NORNI_W_CALL, "outer", 2,
                     (const norni_show *[]){norni_show_term(s, f[i].base->a[0]),
                                            norni_show_term(s, f[i + 1].base->a[0])});
            i++;
        }
        w = *none ? x : two(s, NORNI_W_MUL, w, x);
        *none = false;
        if (!w)
            return NULL;
    }
    return w;
}

static const norni_show *product(norni_shower *s, const norni_term *t) {
    int n = t->n / 2;
    bool no_above, no_below, minus = norni_num_sign(t->num) < 0;
    norni_num k = minus ? norni_num_neg(t->num) : t->num;
    bool fraction = k.exact && k.q != 1 && !k.decimal;
    factor *f = norni_arena_array(s->c->arena, (size_t)n + 1, sizeof *f);
    if (!f)
        return norni_t_failed(s->c, norni_nomem());
    for (int i = 0; i < n; i++)
        f[i] = (factor){t->a[i], t->a[n + i]};
    sort_factors(n, f);
    for (int i = 0; i + 1 < n; i++) /* a row before its column */
        if (is_outer(f[i + 1].base, f[i].base) && !is_outer(f[i].base, f[i + 1].base)) {
            factor x = f[i];
            f[i] = f[i + 1];
            f[i + 1] = x;
        }
    const norni_show *above = line(s, fraction ? norni_num_int(k.p) : k, n, f, false, &no_above);
    const norni_show *below =
        line(s, fraction ? norni_num_int(k.q) : norni_num_int(1), n, f, true, &no_below);
    if (s->c->status != NORN_OK)
        return NULL;
    const norni_show *w = no_above ? whole(s, 1) : above;
    if (!no_below)
        w = two(s, NORNI_W_DIV, w, below);
    return minus ? one(s, NORNI_W_NEG, w) : w;
}

/* ---- Sums: higher powers of variables first, numbers last; one that is added leads. */
static double degree(const norni_term *t) {
    double d = 0;
    switch (t->kind) {
    case NORNI_VAR:
    case NORNI_PART:
        return 1;
    case NORNI_SHAPED:
    case NORNI_SPREAD:
        return degree(t->a[0]);
    case NORNI_POW:
        return t->a[1]->kind == NORNI_NUM && degree(t->a[0]) > 0
                   ? degree(t->a[0]) * norni_num_value(t->a[1]->num)
                   : 0;
    case NORNI_MUL:
        for (int i = 0; i < t->n / 2; i++) {
            const norni_term *p = t->a[t->n / 2 + i];
            if (p->kind == NORNI_NUM && degree(t->a[i]) > 0)
                d += degree(t->a[i]) * norni_num_value(p->num);
        }
        return d;
    default:
        return 0;
    }
}

typedef struct {
    norni_num k;
    const norni_term *t; /* NULL: the constant */
} part;

static const norni_show *sum(norni_shower *s, const norni_term *t) {
    int n = t->n;
    part *p = norni_arena_array(s->c->arena, (size_t)n + 1, sizeof *p);
    if (!p)
        return norni_t_failed(s->c, norni_nomem());
    for (int i = 0; i < n; i++) {
        part x = {t->coef[i], t->a[i]};
        int k = i;
        for (; k > 0; k--) {
            double a = degree(x.t), b = degree(p[k - 1].t);
            if (a < b || (a == b && x.t->id > p[k - 1].t->id))
                break;
            p[k] = p[k - 1];
        }
        p[k] = x;
    }
    if (!norni_num_is(t->num, 0))
        p[n++] = (part){t->num, NULL};
    for (int i = 0; i < n; i++)
        if (norni_num_sign(p[i].k) >= 0) {
            part x = p[i];
            memmove(p + 1, p, (size_t)i * sizeof *p);
            p[0] = x;
            break;
        }
    const norni_show *w = NULL;
    for (int i = 0; i < n; i++) {
        bool minus = norni_num_sign(p[i].k) < 0;
        norni_num k = i && minus ? norni_num_neg(p[i].k) : p[i].k;
        const norni_show *x = p[i].t ? norni_show_term(s, norni_t_scaled(s->c, k, p[i].t)) : number(s, k);
        w = !i ? x : two(s, minus ? NORNI_W_SUB : NORNI_W_ADD, w, x);
        if (!w)
            return NULL;
    }
    return w;
}

/* ---- Functions. */
static const norni_show *function(norni_shower *s, const norni_term *t) {
    const norni_show *a[3];
    for (int i = 0; i < t->n; i++)
        if (!(a[i] = norni_show_term(s, t->a[i])))
            return NULL;
    norni_show_kind kind = t->fn >= NORNI_E_LT && t->fn <= NORNI_E_NE ? NORNI_W_COMPARE
                           : t->fn == NORNI_E_AND                     ? NORNI_W_AND
                           : t->fn == NORNI_E_OR                      ? NORNI_W_OR
                           : t->fn == NORNI_E_NOT                     ? NORNI_W_NOT
                           : t->fn == NORNI_E_WHERE                   ? NORNI_W_WHERE
                                                                      : NORNI_W_CALL;
    const char *name = t->fn == NORNI_F_SOFTPLUS ? "softplus" : norni_expr_op_name((norni_expr_op)t->fn);
    norni_show *w = (norni_show *)make(s, kind, name, t->n, a);
    if (w)
        w->fn = t->fn;
    return w;
}

static const norni_show *reduction(norni_shower *s, const norni_term *t) {
    static const char *const names[] = {"sum", "mean", "prod", "max", "min", "logsumexp", "norm", "norm"};
    const norni_show *a[4] = {norni_show_term(s, t->a[0])}, *v;
    int n = 1, axes = t->n_ints - 1;
    if (axes != t->a[0]->type.rank || t->ints[0]) {
        v = axes == 1 ? whole(s, t->ints[1]) : list_of_ints(s, axes, t->ints + 1);
        a[n++] = make(s, NORNI_W_NAMED, "axis", 1, &v);
    }
    if (t->ints[0]) {
        v = whole(s, 1);
        a[n++] = make(s, NORNI_W_NAMED, "keepdims", 1, &v);
    }
    if (t->fn == NORNI_R_NORM1) {
        v = whole(s, 1);
        a[n++] = make(s, NORNI_W_NAMED, "ord", 1, &v);
    }
    norni_show *w = (norni_show *)make(s, NORNI_W_CALL, names[t->fn - NORNI_R_SUM], n, a);
    if (w) {
        w->fn = t->fn;
        w->term = t;
    }
    return w;
}

/* ---- Tensors. */
static const norni_show *nested(norni_shower *s, const norni_term *t, int axis, int *at) {
    int64_t n = t->type.dims[axis];
    const norni_show **e = norni_arena_array(s->c->arena, (size_t)n + 1, sizeof *e);
    if (!e)
        return norni_t_failed(s->c, norni_nomem());
    for (int64_t i = 0; i < n; i++)
        e[i] = axis + 1 == t->type.rank ? norni_show_term(s, t->a[(*at)++]) : nested(s, t, axis + 1, at);
    return make(s, NORNI_W_LIST, NULL, (int)n, e);
}

/* x[1, 2:5]; `type` is x[...]'s, which may lack sizes of 1 that the part has. */
static const norni_show *indexed(norni_shower *s, const norni_term *t, const norni_type *type) {
    norni_str text = {0};
    int j = 0, r = t->type.rank, last = 0;
    bool single[NORN_MAX_RANK], all[NORN_MAX_RANK];
    for (int i = 0; i < r; i++) {
        int64_t n = t->type.dims[i], left = type->rank - j;
        single[i] = n == 1 && (left == 0 || r - i > left);
        j += !single[i];
        all[i] = !single[i] && t->ints[2 * i] == 0 && t->ints[2 * i + 1] == 1 && n == t->a[0]->type.dims[i];
        last = all[i] ? last : i + 1;
    }
    for (int i = 0; i < last; i++) {
        int64_t start = t->ints[2 * i], step = t->ints[2 * i + 1], n = t->type.dims[i];
        norni_str_add(&text, i ? ", " : "");
        if (single[i])
            norni_str_addf(&text, "%lld", (long long)start);
        else if (all[i])
            norni_str_add(&text, ":");
        else {
            int64_t stop = start + n * step;
            if (start)
                norni_str_addf(&text, "%lld", (long long)start);
            norni_str_add(&text, ":");
            if (n >= 0 && stop >= 0 && (stop < t->a[0]->type.dims[i] || t->a[0]->type.dims[i] < 0))
                norni_str_addf(&text, "%lld", (long long)stop);
            if (step != 1)
                norni_str_addf(&text, ":%lld", (long long)step);
        }
    }
    const norni_show *x = norni_show_term(s, t->a[0]);
    const norni_show *w = last ? make(s, NORNI_W_INDEX, text.s, 1, &x) : x;
    norni_str_free(&text);
    return w;
}

static bool drops_ones(const norni_type *from, const norni_type *to) {
    int j = 0;
    for (int i = 0; i < from->rank; i++)
        if (j < to->rank && from->dims[i] == to->dims[j])
            j++;
        else if (from->dims[i] != 1)
            return false;
    return j == to->rank && to->rank < from->rank;
}

static const norni_show *shaped(norni_shower *s, const norni_term *t) {
    if (t->a[0]->kind == NORNI_PART && drops_ones(&t->a[0]->type, &t->type))
        return indexed(s, t->a[0], &t->type);
    return make(
        s, NORNI_W_CALL, "reshape", 2,
        (const norni_show *[]){norni_show_term(s, t->a[0]), list_of_ints(s, t->type.rank, t->type.dims)});
}

static const norni_show *spread(norni_shower *s, const norni_term *t) {
    const norni_show *shape = list_of_ints(s, t->type.rank, t->type.dims);
    if (norni_t_is(t->a[0], 0) || norni_t_is(t->a[0], 1))
        return call(s, norni_t_is(t->a[0], 0) ? "zeros" : "ones", shape);
    return make(s, NORNI_W_CALL, "expand", 2, (const norni_show *[]){norni_show_term(s, t->a[0]), shape});
}

/* cumprod(x, axis=0, exclusive=1, reverse=1) */
static const norni_show *running(norni_shower *s, const norni_term *t) {
    static const char *const flags[] = {"exclusive", "reverse"};
    const norni_show *a[4] = {norni_show_term(s, t->a[0])}, *v;
    int64_t axis;
    int n = 1, count;
    if (!norni_value_ints(t->node->in[1], &axis, 1, &count))
        return NULL;
    v = whole(s, axis < 0 ? axis + t->type.rank : axis);
    a[n++] = make(s, NORNI_W_NAMED, "axis", 1, &v);
    for (int i = 0; i < 2; i++) {
        norni_attr_value set;
        if (!norni_attr_get(norni_attr_find(t->node->op, flags[i]), t->node->attrs, &set) || !set.i)
            continue;
        v = whole(s, 1);
        a[n++] = make(s, NORNI_W_NAMED, flags[i], 1, &v);
    }
    return make(s, NORNI_W_CALL, t->node->op->name[3] == 'S' ? "cumsum" : "cumprod", n, a);
}

static const norni_show *other(norni_shower *s, const norni_term *t) {
    static const struct {
        const char *op, *name;
    } known[] = {{"Size", "size"}, {"Det", "det"}, {"Cofactors", "cofactors"}};
    const norni_show *w =
        !strcmp(t->node->op->name, "CumProd") || !strcmp(t->node->op->name, "CumSum") ? running(s, t) : NULL;
    if (w || s->c->status != NORN_OK)
        return w;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strcmp(t->node->op->name, known[i].op))
            return call(s, known[i].name, norni_show_term(s, t->a[0]));
    if (t->node->op->defined && !t->ints[0] && t->n == t->node->n_in) { /* a function of the program's own */
        const norni_show *a[32];
        for (int i = 0; i < t->n && i < 32; i++)
            a[i] = norni_show_term(s, t->a[i]);
        return make(s, NORNI_W_CALL, t->node->op->name, t->n, a);
    }
    return norni_t_failed(s->c,
                          norni_fail(NORN_UNSUPPORTED, "%s has no form as a formula (graph and ONNX have it)",
                                     t->node->op == &norni_op_unknown ? t->node->type : t->node->op->name));
}

/* One scalar along the diagonal, 0 beside it, and large enough that a list is long. */
static bool is_scaled_unit(const norni_term *t) {
    int64_t n = t->type.rank == 2 && t->type.dims[0] == t->type.dims[1] ? t->type.dims[0] : 0;
    bool unit = n >= 3 && !norni_t_is(t->a[0], 0);
    for (int64_t i = 0; i < n * n && unit; i++)
        unit = i / n == i % n ? t->a[i] == t->a[0] : norni_t_is(t->a[i], 0);
    return unit;
}

static const norni_show *scaled_unit(norni_shower *s, const norni_term *t) {
    const norni_show *size = list_of_ints(s, 1, t->type.dims),
                     *eye = size ? call(s, "eye", size->a[0]) : NULL;
    if (!eye)
        return NULL;
    return norni_t_is(t->a[0], 1) ? eye : two(s, NORNI_W_MUL, norni_show_term(s, t->a[0]), eye);
}

static const norni_show *variable(norni_shower *s, const norni_term *t) {
    if (t->value->name)
        return make(s, NORNI_W_NAME, t->value->name, 0, NULL);
    return norni_t_failed(s->c,
                          norni_fail(NORN_UNSUPPORTED, "a constant of %lld elements has no form as a formula",
                                     (long long)(t->value->data ? norni_tensor_elems(t->value->data) : 0)));
}

const norni_show *norni_show_term(norni_shower *s, const norni_term *t) {
    int at = 0;
    if (!t)
        return NULL;
    if (s->names && (size_t)t->id < s->n_names && s->names[t->id])
        return make(s, NORNI_W_NAME, s->names[t->id], 0, NULL);
    if (s->leaf) {
        const char *text = s->leaf(s->ctx, t);
        if (text || s->c->status != NORN_OK)
            return make(s, NORNI_W_NAME, text, 0, NULL);
    }
    switch (t->kind) {
    case NORNI_NUM:
        return t->type.dtype == NORN_BOOL ? two(s, NORNI_W_COMPARE, whole(s, 1), whole(s, t->num.p))
                                          : number(s, t->num);
    case NORNI_PI:
        return make(s, NORNI_W_NAME, "pi", 0, NULL);
    case NORNI_E:
        return call(s, "exp", whole(s, 1));
    case NORNI_VAR:
    case NORNI_DATA:
        return variable(s, t);
    case NORNI_ADD:
        return sum(s, t);
    case NORNI_MUL:
        return product(s, t);
    case NORNI_POW:
        if (is_down(t->a[0], t->a[1])) {
            const norni_term *up = norni_t_num(s->c, norni_num_neg(t->a[1]->num));
            return up ? two(s, NORNI_W_DIV, whole(s, 1), power(s, t->a[0], up)) : NULL;
        }
        return power(s, t->a[0], t->a[1]);
    case NORNI_FN:
        return function(s, t);
    case NORNI_RED:
        return reduction(s, t);
    case NORNI_PROD2:
        return two(s, NORNI_W_MATMUL, norni_show_term(s, t->a[0]), norni_show_term(s, t->a[1]));
    case NORNI_PERM:
        return t->type.rank == 2 ? one(s, NORNI_W_SWAP, norni_show_term(s, t->a[0]))
                                 : make(s, NORNI_W_CALL, "transpose", 2,
                                        (const norni_show *[]){norni_show_term(s, t->a[0]),
                                                               list_of_ints(s, t->n_ints, t->ints)});
    case NORNI_SHAPED:
        return shaped(s, t);
    case NORNI_SPREAD:
        return spread(s, t);
    case NORNI_PART:
        return indexed(s, t, &t->type);
    case NORNI_PADDED:
        return make(s, NORNI_W_CALL, "pad", 3,
                    (const norni_show *[]){norni_show_term(s, t->a[0]),
                                           list_of_ints(s, t->type.rank, t->ints),
                                           list_of_ints(s, t->type.rank, t->ints + t->type.rank)});
    case NORNI_JOINED: {
        const norni_show **e = norni_arena_array(s->c->arena, (size_t)t->n + 1, sizeof *e), *v;
        if (!e)
            return norni_t_failed(s->c, norni_nomem());
        for (int i = 0; i < t->n; i++)
            e[i] = norni_show_term(s, t->a[i]);
        v = whole(s, t->ints[0]);
        return make(s, NORNI_W_CALL, "concat", 2,
                    (const norni_show *[]){make(s, NORNI_W_LIST, NULL, t->n, e),
                                           make(s, NORNI_W_NAMED, "axis", 1, &v)});
    }
    case NORNI_LIST:
        return is_scaled_unit(t) ? scaled_unit(s, t) : nested(s, t, 0, &at);
    case NORNI_OTHER:
        return other(s, t);
    }
    return NULL;
}

int norni_show_strength(const norni_show *w) {
    switch (w->kind) {
    case NORNI_W_OR:
        return 1;
    case NORNI_W_AND:
        return 2;
    case NORNI_W_NOT:
        return 3;
    case NORNI_W_COMPARE:
        return 4;
    case NORNI_W_ADD:
    case NORNI_W_SUB:
        return 5;
    case NORNI_W_MUL:
    case NORNI_W_DIV:
    case NORNI_W_MATMUL:
        return 6;
    case NORNI_W_NEG:
        return 7;
    case NORNI_W_POW:
        return 8;
    default:
        return 10;
    }
}

/* ---- Shared parts. */
typedef struct {
    norni_terms *c;
    int *uses;
    bool *seen;
    size_t n;
    double least;
    const norni_term **order;
    int count;
} sharing;

static void count_uses(sharing *s, const norni_term *t) {
    if (s->uses[t->id]++)
        return;
    for (int i = 0; i < t->n; i++)
        count_uses(s, t->a[i]);
}

static bool worth_a_name(const norni_term *t) {
    return t->kind != NORNI_NUM && t->kind != NORNI_SPREAD && t->kind != NORNI_LIST &&
           t->kind != NORNI_PART && !(t->kind == NORNI_SHAPED && t->a[0]->kind == NORNI_PART) &&
           t->type.dtype != NORN_BOOL;
}

static void in_order(sharing *s, const norni_term *t, bool root) {
    if (s->seen[t->id])
        return;
    s->seen[t->id] = true;
    for (int i = 0; i < t->n; i++)
        in_order(s, t->a[i], false);
    if (!root && s->uses[t->id] > 1 && t->count >= s->least && worth_a_name(t))
        s->order[s->count++] = t;
}

int norni_show_shared(norni_terms *c, size_t n, const norni_term *const *t, double least,
                      const norni_term ***order, const char **names) {
    sharing s = {.c = c, .n = c->n, .least = least};
    s.uses = norni_arena_array(c->arena, c->n + 1, sizeof *s.uses);
    s.seen = norni_arena_array(c->arena, c->n + 1, sizeof *s.seen);
    s.order = norni_arena_array(c->arena, c->n + 1, sizeof *s.order);
    if (!s.uses || !s.seen || !s.order)
        return norni_t_failed(c, norni_nomem()), -1;
    for (size_t i = 0; i < n; i++)
        count_uses(&s, t[i]);
    for (size_t i = 0; i < n; i++)
        in_order(&s, t[i], true);
    for (int i = 0, k = 1; i < s.count; i++) {
        char name[24];
        do /* a name that no variable has */
            snprintf(name, sizeof name, "t%d", k++);
        while (norni_graph_find(c->g, name));
        if (!(names[s.order[i]->id] = norni_arena_strdup(c->arena, name)))
            return norni_t_failed(c, norni_nomem()), -1;
    }
    *order = s.order;
    return s.count;
}
