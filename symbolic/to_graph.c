/* SPDX-License-Identifier: Apache-2.0 */
/* Terms as a graph: each term once, so that what is shared stays shared. */
#include "ops/op.h"
#include "symbolic/term.h"
#include <math.h>
#include <string.h>

typedef struct {
    norni_terms *c;
    norn_graph *g;
    norn_value **made; /* by id */
    size_t n;
    norn_value **input; /* by id of the old graph's value */
} maker;

static norn_value *value_of(maker *m, const norni_term *t);

/* As a number of the formula's type: variables may be whole numbers, or of another precision. */
static norn_value *number_of(maker *m, const norni_term *t) {
    norn_value *v = value_of(m, t);
    return v ? norni_cast(m->g, v, m->c->dtype) : NULL;
}

/* A type of the old graph as one of the new. */
static norni_type moved(maker *m, const norni_type *t) {
    norni_type out = *t;
    for (int i = 0; i < out.rank; i++)
        out.dims[i] = norni_dim_import(m->g, m->c->g, out.dims[i]);
    return out;
}

/* No double is this number: it stays a quotient. */
static bool needs_quotient(norni_num k) {
    return k.exact && !k.decimal && (k.q & (k.q - 1)) != 0;
}

static norn_value *number(maker *m, const norni_term *t) {
    if (t->kind == NORNI_NUM && needs_quotient(t->num))
        return NORNI_OP2(m->g, norni_scalar_const(m->g, m->c->dtype, (double)t->num.p),
                         norni_scalar_const(m->g, m->c->dtype, (double)t->num.q), "Div");
    norn_dtype d = t->type.dtype == NORN_BOOL ? NORN_BOOL : m->c->dtype;
    double v = t->kind == NORNI_PI  ? 3.14159265358979323846
               : t->kind == NORNI_E ? 2.71828182845904523536
                                    : norni_num_value(t->num);
    return norni_scalar_const(m->g, d, v);
}

static norn_value *scalar(maker *m, double v) {
    return norni_scalar_const(m->g, m->c->dtype, v);
}

/* The shape of a type as a value; sizes that are only known by name come from what is computed from an input that has them. */
static norn_value *shape_of(maker *m, const norni_type *type) {
    norni_type t = moved(m, type);
    if (norni_type_static(&t))
        return norni_i64_const(m->g, t.rank, t.dims);
    norn_value *parts[NORN_MAX_RANK];
    for (int i = 0; i < t.rank; i++) {
        parts[i] = t.dims[i] >= 0 ? norni_i64_const(m->g, 1, &t.dims[i]) : NULL;
        for (size_t k = 0; k < m->g->inputs.n && !parts[i]; k++)
            for (int j = 0; j < m->g->inputs.v[k]->type.rank && !parts[i]; j++)
                if (m->g->inputs.v[k]->type.dims[j] == t.dims[i])
                    parts[i] = norni_size_value(m->g, m->g->inputs.v[k], j);
        if (!parts[i])
            return norni_graph_failed(
                m->g, norni_fail(NORN_SHAPE, "formula: a size that is not known; declare the variables with "
                                             "sizes that are numbers"));
    }
    return norni_opf(m->g, t.rank, parts, "Concat<axis=0>");
}

static norn_value *spread_to(maker *m, norn_value *v, const norni_type *type) {
    return NORNI_OP2(m->g, v, shape_of(m, type), "Expand");
}

/* base ** power. */
static norn_value *power(maker *m, const norni_term *base, const norni_term *p) {
    norn_graph *g = m->g;
    if (base->kind == NORNI_E)
        return NORNI_OP1(g, number_of(m, p), "Exp");
    if (p->kind == NORNI_NUM && p->num.exact) {
        norni_num k = p->num;
        if (k.q == 1 && k.p == 1)
            return number_of(m, base);
        if (k.q == 2 && k.p == 1)
            return NORNI_OP1(g, number_of(m, base), "Sqrt");
        if (k.p < 0) {
            const norni_term *up = norni_t_num(m->c, norni_num_neg(k));
            return NORNI_OP1(g, up ? power(m, base, up) : NULL, "Reciprocal");
        }
    }
    return NORNI_OP2(g, number_of(m, base), number_of(m, p), "Pow");
}

static norn_value *times(maker *m, norn_value *a, norn_value *b) {
    return !a ? b : NORNI_OP2(m->g, a, b, "Mul");
}

/* A product as one quotient: what has a negative power goes below. */
static norn_value *product(maker *m, const norni_term *t) {
    int half = t->n / 2;
    norn_value *above = NULL, *below = NULL;
    norni_num k = t->num;
    bool minus = k.exact && k.p < 0;
    if (minus)
        k = norni_num_neg(k);
    for (int i = 0; i < half; i++) {
        const norni_term *b = t->a[i], *p = t->a[half + i];
        bool down = p->kind == NORNI_NUM && norni_num_sign(p->num) < 0 && b->kind != NORNI_E;
        if (down)
            p = norni_t_num(m->c, norni_num_neg(p->num));
        norn_value *f = p ? power(m, b, p) : NULL;
        if (!f)
            return NULL;
        if (down)
            below = times(m, below, f);
        else
            above = times(m, above, f);
    }
    bool fraction = needs_quotient(k); /* 2/3 x as 2 x / 3 */
    if (fraction)
        below = times(m, below, scalar(m, (double)k.q));
    if (!norni_num_is(k, 1) && !(fraction && k.p == 1))
        above = times(m, above, scalar(m, fraction ? (double)k.p : norni_num_value(k)));
    if (!above)
        above = scalar(m, 1);
    norn_value *v = below ? NORNI_OP2(m->g, above, below, "Div") : above;
    return minus ? NORNI_OP1(m->g, v, "Neg") : v;
}

static norn_value *sum(maker *m, const norni_term *t) {
    norn_value *v = NULL;
    for (int pass = 0; pass < 2; pass++) /* what is subtracted after what is added */
        for (int i = 0; i < t->n; i++) {
            norni_num k = t->coef[i];
            bool minus = norni_num_sign(k) < 0 && k.exact;
            if (minus != pass)
                continue;
            const norni_term *part = norni_t_scaled(m->c, minus ? norni_num_neg(k) : k, t->a[i]);
            norn_value *x = part ? number_of(m, part) : NULL;
            if (!x)
                return NULL;
            if (minus && !v && norni_num_sign(t->num) > 0)
                v = number_of(m, norni_t_num(m->c, t->num));
            v = !v ? (minus ? NORNI_OP1(m->g, x, "Neg") : x) : NORNI_OP2(m->g, v, x, minus ? "Sub" : "Add");
        }
    bool all_minus = true;
    for (int i = 0; i < t->n; i++)
        all_minus = all_minus && norni_num_sign(t->coef[i]) < 0 && t->coef[i].exact;
    if (norni_num_is(t->num, 0) || (all_minus && norni_num_sign(t->num) > 0))
        return v;
    return NORNI_OP2(m->g, v, number_of(m, norni_t_num(m->c, t->num)), "Add");
}

static norn_value *function(maker *m, const norni_term *t) {
    static const char *const names[] = {
        [NORNI_E_NOT] = "Not",           [NORNI_E_LT] = "Less",           [NORNI_E_LE] = "LessOrEqual",
        [NORNI_E_GT] = "Greater",        [NORNI_E_GE] = "GreaterOrEqual", [NORNI_E_EQ] = "Equal",
        [NORNI_E_NE] = "Equal",          [NORNI_E_AND] = "And",           [NORNI_E_OR] = "Or",
        [NORNI_E_WHERE] = "Where",       [NORNI_E_MAX] = "Max",           [NORNI_E_MIN] = "Min",
        [NORNI_E_MOD] = "Mod<fmod=0>",   [NORNI_E_FMOD] = "Mod<fmod=1>",  [NORNI_E_ABS] = "Abs",
        [NORNI_E_SIGN] = "Sign",         [NORNI_E_FLOOR] = "Floor",       [NORNI_E_CEIL] = "Ceil",
        [NORNI_E_ROUND] = "Round",       [NORNI_E_LOG] = "Log",           [NORNI_E_SIN] = "Sin",
        [NORNI_E_COS] = "Cos",           [NORNI_E_TAN] = "Tan",           [NORNI_E_ASIN] = "Asin",
        [NORNI_E_ACOS] = "Acos",         [NORNI_E_ATAN] = "Atan",         [NORNI_E_SINH] = "Sinh",
        [NORNI_E_COSH] = "Cosh",         [NORNI_E_TANH] = "Tanh",         [NORNI_E_ASINH] = "Asinh",
        [NORNI_E_ACOSH] = "Acosh",       [NORNI_E_ATANH] = "Atanh",       [NORNI_E_ERF] = "Erf",
        [NORNI_E_SIGMOID] = "Sigmoid",   [NORNI_E_ISNAN] = "IsNaN",       [NORNI_E_ISINF] = "IsInf",
        [NORNI_F_SOFTPLUS] = "Softplus", [NORNI_F_GUARD] = "Where"};
    norn_value *a[3];
    bool logic = t->fn == NORNI_E_NOT || t->fn == NORNI_E_AND || t->fn == NORNI_E_OR, truths = true;
    int choice = t->fn == NORNI_E_WHERE || t->fn == NORNI_F_GUARD; /* its first argument is a condition */
    for (int i = choice; i < t->n; i++)
        truths = truths && t->a[i]->type.dtype == NORN_BOOL;
    for (int i = 0; i < t->n; i++)
        if (!(a[i] = logic || truths || i < choice ? value_of(m, t->a[i]) : number_of(m, t->a[i])))
            return NULL;
    norn_value *v = norni_opf(m->g, t->n, a, "%s", names[t->fn]);
    if (v && v->producer)
        v->producer->guard = t->fn == NORNI_F_GUARD;
    return t->fn == NORNI_E_NE ? NORNI_OP1(m->g, v, "Not") : v;
}

static norn_value *reduction(maker *m, const norni_term *t) {
    static const char *const names[] = {"ReduceSum", "ReduceMean",      "ReduceProd", "ReduceMax",
                                        "ReduceMin", "ReduceLogSumExp", "ReduceL2",   "ReduceL1"};
    norn_value *axes = norni_i64_const(m->g, t->n_ints - 1, t->ints + 1);
    return NORNI_OP2(m->g, number_of(m, t->a[0]), axes, "%s<keepdims=%d>", names[t->fn - NORNI_R_SUM],
                     (int)t->ints[0]);
}

static norn_value *part(maker *m, const norni_term *t) {
    int64_t v[4][NORN_MAX_RANK];
    int n = 0;
    for (int i = 0; i < t->type.rank; i++) {
        int64_t start = t->ints[2 * i], step = t->ints[2 * i + 1], count = t->type.dims[i];
        if (start == 0 && step == 1 && count == t->a[0]->type.dims[i])
            continue;
        int64_t stop = count < 0 ? INT64_MAX : start + count * step;
        v[0][n] = start;
        v[1][n] = stop < 0 ? INT64_MIN : stop;
        v[2][n] = i;
        v[3][n++] = step;
    }
    norn_value *in[5] = {value_of(m, t->a[0])};
    for (int i = 0; i < 4; i++)
        in[i + 1] = norni_i64_const(m->g, n, v[i]);
    return norni_opf(m->g, 5, in, "Slice");
}

static norn_value *list(maker *m, const norni_term *t) {
    norn_value **v = norni_arena_array(m->c->arena, (size_t)t->n + 1, sizeof *v);
    bool numbers = true;
    if (!v)
        return norni_graph_failed(m->g, norni_nomem());
    for (int i = 0; i < t->n; i++)
        numbers = numbers && t->a[i]->kind == NORNI_NUM;
    if (numbers) {
        norni_type type = t->type;
        type.dtype = m->c->dtype;
        norn_value *k = norni_fill_const(m->g, &type, 0);
        for (int i = 0; k && i < t->n; i++)
            norni_set_double(type.dtype, norni_tensor_data(k->data), i, norni_num_value(t->a[i]->num));
        return k;
    }
    norn_value *front = norni_i64_const(m->g, 1, (int64_t[]){0});
    for (int i = 0; i < t->n; i++)
        v[i] = NORNI_OP2(m->g, number_of(m, t->a[i]), front, "Unsqueeze");
    norn_value *flat = norni_opf(m->g, t->n, v, "Concat<axis=0>");
    return t->type.rank == 1
               ? flat
               : NORNI_OP2(m->g, flat, norni_i64_const(m->g, t->type.rank, t->type.dims), "Reshape");
}

/* The type that an operator's input has here: the only one that it takes, that of the formula's numbers, or the one it had. */
static norn_dtype input_type(const maker *m, const norn_node *node, int i) {
    int k = 0;
    while (k < i && node->op->inputs && node->op->inputs[k].name && node->op->inputs[k + 1].name)
        k++;
    norni_types types = node->op->inputs && node->op->inputs[k].name ? node->op->inputs[k].types : 0;
    if (types && !(types & (types - 1)))
        return (norn_dtype)__builtin_ctz(types);
    norn_dtype t = node->in[i]->type.dtype;
    return norni_dtype_is_float(t) ? m->c->dtype : t;
}

static norn_value *other(maker *m, const norni_term *t) {
    const norn_node *node = t->node;
    norn_value **in = norni_arena_array(m->c->arena, (size_t)node->n_in + 1, sizeof *in);
    int n = 0;
    if (!in)
        return norni_graph_failed(m->g, norni_nomem());
    for (int i = 0; i < node->n_in; i++) {
        const norn_value *old = node->in[i];
        if (!old)
            in[i] = NORNI_NONE;
        else if (old->kind == NORNI_CONST && !old->name) {
            in[i] = norni_value_const(m->g, NULL, norni_tensor_ref(old->data));
            n++;
        } else
            in[i] = value_of(m, t->a[n++]);
        if (old && in[i])
            in[i] = norni_cast(m->g, in[i], input_type(m, node, i));
    }
    norn_node *made = norni_apply(m->g, node->op, node->attrs, node->n_in, in, 1u << t->ints[0]);
    norn_value *v = made ? made->out[t->ints[0]] : NULL;
    /* Whole numbers count as numbers in formulas. */
    return v && norni_dtype_is_int(v->type.dtype) && node->out[t->ints[0]]->type.rank == 0
               ? norni_cast(m->g, v, m->c->dtype)
               : v;
}

static norn_value *make(maker *m, const norni_term *t) {
    norn_graph *g = m->g;
    norni_str perm = {0};
    norn_value *v;
    switch (t->kind) {
    case NORNI_NUM:
    case NORNI_PI:
    case NORNI_E:
        return number(m, t);
    case NORNI_VAR:
        if (m->input[t->value->id])
            return m->input[t->value->id];
        if (t->value->kind != NORNI_CONST)
            return norni_graph_failed(g, norni_fail(NORN_INTERNAL, "formula: a variable that is no input"));
        return norni_value_const(g, t->value->name, norni_tensor_ref(t->value->data));
    case NORNI_DATA:
        return norni_value_const(g, NULL, norni_tensor_ref(t->value->data));
    case NORNI_ADD:
        return sum(m, t);
    case NORNI_MUL:
        return product(m, t);
    case NORNI_POW:
        return power(m, t->a[0], t->a[1]);
    case NORNI_FN:
        return function(m, t);
    case NORNI_RED:
        return reduction(m, t);
    case NORNI_PROD2:
        return NORNI_OP2(g, number_of(m, t->a[0]), number_of(m, t->a[1]), "MatMul");
    case NORNI_PERM:
        for (int i = 0; i < t->n_ints; i++)
            norni_str_addf(&perm, "%s%d", i ? "," : "", (int)t->ints[i]);
        v = NORNI_OP1(g, value_of(m, t->a[0]), "Transpose<perm=[%s]>", perm.s ? perm.s : "");
        norni_str_free(&perm);
        return v;
    case NORNI_SHAPED:
        return NORNI_OP2(g, value_of(m, t->a[0]), shape_of(m, &t->type), "Reshape");
    case NORNI_SPREAD:
        return spread_to(m, value_of(m, t->a[0]), &t->type);
    case NORNI_PART:
        return part(m, t);
    case NORNI_PADDED:
        return NORNI_OP2(g, value_of(m, t->a[0]), norni_i64_const(g, t->n_ints, t->ints), "Pad");
    case NORNI_JOINED: {
        norn_value **in = norni_arena_array(m->c->arena, (size_t)t->n + 1, sizeof *in);
        for (int i = 0; in && i < t->n; i++)
            in[i] = t->type.dtype == NORN_BOOL ? value_of(m, t->a[i]) : number_of(m, t->a[i]);
        return in ? norni_opf(g, t->n, in, "Concat<axis=%d>", (int)t->ints[0])
                  : norni_graph_failed(g, norni_nomem());
    }
    case NORNI_LIST:
        return list(m, t);
    case NORNI_OTHER:
        return other(m, t);
    }
    return NULL;
}

static norn_value *value_of(maker *m, const norni_term *t) {
    if (!t)
        return norni_graph_failed(m->g, m->c->status);
    size_t id = (size_t)t->id;
    if (id < m->n && m->made[id])
        return m->made[id];
    norn_value *v = make(m, t);
    if (id < m->n)
        m->made[id] = v;
    return v;
}

norn_status norni_terms_to_graph(norni_terms *c, size_t n, const norni_term *const *t,
                                 const char *const *names, norn_graph **out) {
    maker m = {.c = c, .n = c->n + 1};
    *out = NULL;
    NORNI_TRY(norn_graph_new(c->g->name, out));
    m.g = *out;
    m.made = norni_alloc_array(m.n, sizeof *m.made);
    m.input = norni_alloc_array(c->g->values.n + 1, sizeof *m.input);
    norn_status s = m.made && m.input ? NORN_OK : norni_nomem();
    for (size_t i = 0; i < c->g->inputs.n && s == NORN_OK; i++) {
        const norn_value *v = c->g->inputs.v[i];
        norni_type type = moved(&m, &v->type);
        m.input[v->id] = norni_value_input(m.g, v->name, &type);
    }
    for (size_t i = 0; i < c->g->states.n && s == NORN_OK; i++) {
        const norn_value *v = c->g->states.v[i].value;
        norni_type type = moved(&m, &v->type);
        m.input[v->id] = norni_value_state(m.g, v->name, &type, v->data ? norni_tensor_ref(v->data) : NULL);
    }
    for (size_t i = 0; i < n && s == NORN_OK; i++) {
        norn_value *v = value_of(&m, t[i]);
        if (v)
            v = norni_cast(m.g, v, c->g->outputs.v[i].value->type.dtype);
        if (v && !v->producer) /* an output is neither an input nor a constant with its name */
            v = NORNI_OP1(m.g, v, "Identity");
        s = v ? norn_graph_output(m.g, names[i], v) : norn_graph_status(m.g);
    }
    norni_free(m.made);
    norni_free(m.input);
    if (s == NORN_OK)
        s = c->status;
    if (s != NORN_OK) {
        norn_graph_free(*out);
        *out = NULL;
    }
    return s;
}
