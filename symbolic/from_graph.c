/* SPDX-License-Identifier: Apache-2.0 */
/* Terms of a graph's values. What has no term of its own stays as the operator that it is (NORNI_OTHER). */
#include "ops/op.h"
#include "symbolic/term.h"
#include <string.h>

static int64_t attr_int(const norn_node *n, const char *name, int64_t preset) {
    const norni_attr *a = norni_attr_find(n->op, name);
    norni_attr_value v;
    return a && norni_attr_get(a, n->attrs, &v) ? v.i : a && a->def_int != NORNI_NO_INT ? a->def_int : preset;
}

static double attr_float(const norn_node *n, const char *name) {
    const norni_attr *a = norni_attr_find(n->op, name);
    norni_attr_value v;
    return a && norni_attr_get(a, n->attrs, &v) ? (double)v.f : a ? (double)a->def_float : 0;
}

static norni_num attr_num(const norn_node *n, const char *name) {
    return norni_num_double(attr_float(n, name), true);
}

typedef struct {
    norni_terms *c;
    const norn_node *node;
    const norni_term **in;
    const norni_type *type;
} maker;

static const norni_term *fn(maker *m, int f, const norni_term *a, const norni_term *b, const norni_term *d) {
    return norni_t_fn(m->c, f, a, b, d);
}

static const norni_term *number(maker *m, norni_num v) {
    return norni_t_num(m->c, v);
}

/* ---- Pointwise operators whose name is that of a function. */
static const struct {
    const char *op;
    int fn;
} functions[] = {
    {"Neg", NORNI_E_NEG},         {"Abs", NORNI_E_ABS},
    {"Sign", NORNI_E_SIGN},       {"Floor", NORNI_E_FLOOR},
    {"Ceil", NORNI_E_CEIL},       {"Round", NORNI_E_ROUND},
    {"Sqrt", NORNI_E_SQRT},       {"Exp", NORNI_E_EXP},
    {"Log", NORNI_E_LOG},         {"Sin", NORNI_E_SIN},
    {"Cos", NORNI_E_COS},         {"Tan", NORNI_E_TAN},
    {"Asin", NORNI_E_ASIN},       {"Acos", NORNI_E_ACOS},
    {"Atan", NORNI_E_ATAN},       {"Sinh", NORNI_E_SINH},
    {"Cosh", NORNI_E_COSH},       {"Tanh", NORNI_E_TANH},
    {"Asinh", NORNI_E_ASINH},     {"Acosh", NORNI_E_ACOSH},
    {"Atanh", NORNI_E_ATANH},     {"Erf", NORNI_E_ERF},
    {"Sigmoid", NORNI_E_SIGMOID}, {"Softplus", NORNI_F_SOFTPLUS},
    {"IsNaN", NORNI_E_ISNAN},     {"Not", NORNI_E_NOT},
    {"Add", NORNI_E_ADD},         {"Sub", NORNI_E_SUB},
    {"Mul", NORNI_E_MUL},         {"Pow", NORNI_E_POW},
    {"Less", NORNI_E_LT},         {"LessOrEqual", NORNI_E_LE},
    {"Greater", NORNI_E_GT},      {"GreaterOrEqual", NORNI_E_GE},
    {"Equal", NORNI_E_EQ},        {"And", NORNI_E_AND},
    {"Or", NORNI_E_OR},           {"Xor", NORNI_E_NE},
};

static const norni_term *reciprocal(maker *m) {
    return norni_t_pow(m->c, m->in[0], m->c->minus_one);
}

static const norni_term *relu(maker *m) {
    return fn(m, NORNI_E_MAX, m->in[0], m->c->zero, NULL);
}

static const norni_term *folded(maker *m) {
    int f = m->node->op->name[0] == 'S'   ? NORNI_E_ADD
            : m->node->op->name[1] == 'a' ? NORNI_E_MAX
                                          : NORNI_E_MIN;
    const norni_term *t = m->in[0];
    for (int i = 1; i < m->node->n_in; i++)
        t = fn(m, f, t, m->in[i], NULL);
    return t;
}

static const norni_term *mod(maker *m) {
    return fn(m, attr_int(m->node, "fmod", 0) ? NORNI_E_FMOD : NORNI_E_MOD, m->in[0], m->in[1], NULL);
}

static const norni_term *where(maker *m) {
    if (m->node->guard && m->in[0]->kind != NORNI_NUM) /* for readers the branch that is no 0 */
        return m->c->guards ? fn(m, NORNI_F_GUARD, m->in[0], m->in[1], m->in[2]) : m->in[2];
    return fn(m, NORNI_E_WHERE, m->in[0], m->in[1], m->in[2]);
}

static const norni_term *clip(maker *m) {
    const norni_term *t = m->in[0];
    if (m->node->n_in > 1 && m->in[1])
        t = fn(m, NORNI_E_MAX, t, m->in[1], NULL);
    if (m->node->n_in > 2 && m->in[2])
        t = fn(m, NORNI_E_MIN, t, m->in[2], NULL);
    return t;
}

static const norni_term *leaky(maker *m) {
    const norni_term *x = m->in[0];
    return fn(m, NORNI_E_WHERE, fn(m, NORNI_E_LT, x, m->c->zero, NULL),
              norni_t_scaled(m->c, attr_num(m->node, "alpha"), x), x);
}

static const norni_term *gelu(maker *m) {
    const norni_term *x = m->in[0], *half = number(m, norni_num_ratio(1, 2));
    if (attr_int(m->node, "approximate", 0))
        return NULL;
    const norni_term *u =
        norni_t_mul(m->c, norni_num_int(1), 2, (const norni_term *[]){x, norni_t_int(m->c, 2)},
                    (const norni_term *[]){m->c->one, number(m, norni_num_ratio(-1, 2))});
    return norni_t_mul(
        m->c, norni_num_int(1), 3,
        (const norni_term *[]){half, x, norni_t_sum2(m->c, m->c->one, fn(m, NORNI_E_ERF, u, NULL, NULL))},
        NULL);
}

/* Whole whenever its variables of integer types are. */
static bool is_whole(const norni_term *t) {
    bool all = true;
    switch (t->kind) {
    case NORNI_NUM:
        return norni_num_whole(t->num);
    case NORNI_VAR:
    case NORNI_DATA:
        return norni_dtype_is_int(t->type.dtype);
    case NORNI_FN:
        if (t->fn == NORNI_E_SIGN || t->fn == NORNI_E_FLOOR || t->fn == NORNI_E_CEIL ||
            t->fn == NORNI_E_ROUND)
            return true;
        if (t->fn != NORNI_E_ABS && t->fn != NORNI_E_MAX && t->fn != NORNI_E_MIN && t->fn != NORNI_E_WHERE)
            return false;
        for (int i = t->fn == NORNI_E_WHERE; i < t->n; i++)
            all = all && is_whole(t->a[i]);
        return all;
    case NORNI_POW:
        return is_whole(t->a[0]) && is_whole(t->a[1]) && t->a[1]->kind == NORNI_NUM &&
               norni_num_sign(t->a[1]->num) >= 0;
    case NORNI_ADD:
    case NORNI_MUL:
        all = norni_num_whole(t->num);
        for (int i = 0; i < t->n; i++)
            all = all && is_whole(t->a[i]) && (t->kind == NORNI_MUL || norni_num_whole(t->coef[i]));
        for (int i = t->n / 2; t->kind == NORNI_MUL && i < t->n; i++) /* powers */
            all = all && t->a[i]->kind == NORNI_NUM && norni_num_sign(t->a[i]->num) >= 0;
        return all;
    case NORNI_LIST:
    case NORNI_SHAPED:
    case NORNI_SPREAD:
    case NORNI_PERM:
    case NORNI_PART:
    case NORNI_JOINED:
        for (int i = 0; i < t->n; i++)
            all = all && is_whole(t->a[i]);
        return all;
    default:
        return false;
    }
}

/* Cut to a whole number, towards 0. */
static const norni_term *cut(maker *m, const norni_term *t) {
    enum { LARGE = 1000 }; /* of what is larger it is not asked */
    if (!t || (t->count < LARGE && is_whole(t)))
        return t;
    const norni_term *size = fn(m, NORNI_E_FLOOR, fn(m, NORNI_E_ABS, t, NULL, NULL), NULL, NULL);
    return norni_t_times(m->c, fn(m, NORNI_E_SIGN, t, NULL, NULL), size);
}

/* Types of numbers do not show in terms: a truth becomes 1 or 0, what becomes an integer is cut, the rest stays. */
static const norni_term *cast(maker *m) {
    norn_dtype to = m->type->dtype;
    if (m->in[0]->type.dtype == NORN_BOOL && to != NORN_BOOL)
        return fn(m, NORNI_E_WHERE, m->in[0], m->c->one, m->c->zero);
    if (to == NORN_BOOL && m->in[0]->type.dtype != NORN_BOOL)
        return fn(m, NORNI_E_NE, m->in[0], m->c->zero, NULL);
    return norni_dtype_is_float(m->node->in[0]->type.dtype) && norni_dtype_is_int(to) ? cut(m, m->in[0])
                                                                                      : m->in[0];
}

static const norni_term *quotient(maker *m) {
    const norni_term *q = fn(m, NORNI_E_DIV, m->in[0], m->in[1], NULL);
    return norni_dtype_is_int(m->type->dtype) ? cut(m, q) : q;
}

static const norni_term *isinf_(maker *m) {
    bool both = attr_int(m->node, "detect_negative", 1) && attr_int(m->node, "detect_positive", 1);
    return both ? fn(m, NORNI_E_ISINF, m->in[0], NULL, NULL) : NULL;
}

static const norni_term *size(maker *m) {
    const norni_type *t = &m->node->in[0]->type;
    const norni_term *x = m->in[0];
    if (norni_type_static(t))
        return norni_t_int(m->c, norni_type_elems(t));
    /* As large as the argument of the same shape that it was made of. */
    for (bool again = true; again && (x->kind == NORNI_POW || x->kind == NORNI_FN);) {
        again = false;
        for (int i = 0; i < x->n && !again; i++)
            if (norni_type_equal(&x->a[i]->type, &x->type)) {
                x = x->a[i];
                again = true;
            }
    }
    return norni_t_other(m->c, m->node, 1, &x, 0, m->type);
}

/* ---- Reductions. */
static const norni_term *reduce(maker *m) {
    static const struct {
        const char *op;
        int fn;
    } kinds[] = {{"ReduceSum", NORNI_R_SUM}, {"ReduceMean", NORNI_R_MEAN}, {"ReduceProd", NORNI_R_PROD},
                 {"ReduceMax", NORNI_R_MAX}, {"ReduceMin", NORNI_R_MIN},   {"ReduceLogSumExp", NORNI_R_LSE},
                 {"ReduceL2", NORNI_R_NORM}, {"ReduceL1", NORNI_R_NORM1}};
    const norn_node *n = m->node;
    int64_t axes[NORN_MAX_RANK];
    int count = 0, rank = n->in[0]->type.rank;
    if (rank < 0)
        return NULL;
    if (n->n_in > 1 && n->in[1] && !norni_value_ints(n->in[1], axes, NORN_MAX_RANK, &count))
        return NULL;
    if (!count) {
        if (attr_int(n, "noop_with_empty_axes", 0))
            return m->in[0];
        for (; count < rank; count++)
            axes[count] = count;
    }
    for (int i = 0; i < count; i++)
        axes[i] += axes[i] < 0 ? rank : 0;
    bool keep = attr_int(n, "keepdims", 1) != 0;
    if (!strcmp(n->op->name, "ReduceSumSquare"))
        return norni_t_reduce(m->c, NORNI_R_SUM, norni_t_pow(m->c, m->in[0], norni_t_int(m->c, 2)), count,
                              axes, keep);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!strcmp(n->op->name, kinds[i].op))
            return norni_t_reduce(m->c, kinds[i].fn, m->in[0], count, axes, keep);
    return NULL;
}

/* ---- Matrices and shapes. */
static const norni_term *matmul(maker *m) {
    return norni_t_matmul(m->c, m->in[0], m->in[1]);
}

static const norni_term *turned(maker *m, int i, const char *attr) {
    return attr_int(m->node, attr, 0) ? norni_t_perm(m->c, m->in[i], (int64_t[]){1, 0}) : m->in[i];
}

static const norni_term *gemm(maker *m) {
    const norni_term *t =
        norni_t_scaled(m->c, attr_num(m->node, "alpha"),
                       norni_t_matmul(m->c, turned(m, 0, "transA"), turned(m, 1, "transB")));
    if (m->node->n_in < 3 || !m->in[2])
        return t;
    return norni_t_spread(
        m->c, norni_t_sum2(m->c, t, norni_t_scaled(m->c, attr_num(m->node, "beta"), m->in[2])), m->type);
}

static const norni_term *transpose(maker *m) {
    int64_t perm[NORN_MAX_RANK];
    int rank = m->node->in[0]->type.rank;
    norni_attr_value v;
    const norni_attr *a = norni_attr_find(m->node->op, "perm");
    bool given = a && norni_attr_get(a, m->node->attrs, &v) && v.ints.n == rank;
    for (int i = 0; i < rank; i++)
        perm[i] = given ? v.ints.v[i] : rank - 1 - i;
    return norni_t_perm(m->c, m->in[0], perm);
}

static const norni_term *shaped(maker *m) {
    return m->type->rank < 0 ? NULL : norni_t_shaped(m->c, m->in[0], m->type);
}

static const norni_term *spread(maker *m) {
    return m->type->rank < 0 ? NULL : norni_t_spread(m->c, m->in[0], m->type);
}

static const norni_term *same(maker *m) {
    return m->in[0];
}

static const norni_term *slice(maker *m) {
    const norn_node *n = m->node;
    int64_t v[4][NORN_MAX_RANK], ints[2 * NORN_MAX_RANK];
    int rank = n->in[0]->type.rank, count[4] = {0};
    for (int k = 0; k < 4; k++)
        if (n->n_in > k + 1 && n->in[k + 1] &&
            !norni_value_ints(n->in[k + 1], v[k], NORN_MAX_RANK, &count[k]))
            return NULL;
    for (int i = 0; i < rank; i++) {
        ints[2 * i] = 0;
        ints[2 * i + 1] = 1;
    }
    for (int i = 0; i < count[0]; i++) {
        int64_t axis = count[2] ? v[2][i] : i, step = count[3] ? v[3][i] : 1, start = v[0][i];
        axis += axis < 0 ? rank : 0;
        int64_t dim = n->in[0]->type.dims[axis];
        if (dim < 0 && (start < 0 || step < 0)) /* counted from an end that is not known */
            return NULL;
        if (dim >= 0) {
            start += start < 0 ? dim : 0;
            start = start < 0 ? (step < 0 ? -1 : 0) : start;
            start = start > dim - (step < 0) ? dim - (step < 0) : start;
        }
        ints[2 * axis] = start;
        ints[2 * axis + 1] = step;
    }
    return norni_t_part(m->c, m->in[0], ints, m->type);
}

static const norni_term *pad(maker *m) {
    const norn_node *n = m->node;
    int64_t pads[2 * NORN_MAX_RANK];
    int count;
    if (attr_int(n, "mode", 0) || (n->n_in > 2 && n->in[2] && !norni_is_const_value(n->in[2], 0)) ||
        (n->n_in > 3 && n->in[3]) || !norni_value_ints(n->in[1], pads, 2 * NORN_MAX_RANK, &count))
        return NULL;
    /* Negative ones cut: first those, then the zeros. */
    const norni_type *x = &n->in[0]->type;
    norni_type cut = *x;
    int64_t ints[2 * NORN_MAX_RANK];
    int rank = count / 2;
    bool cuts = false;
    for (int i = 0; i < rank; i++) {
        int64_t before = pads[i] < 0 ? -pads[i] : 0, after = pads[rank + i] < 0 ? -pads[rank + i] : 0;
        if (before + after && x->dims[i] < 0)
            return NULL;
        cuts |= before + after > 0;
        ints[2 * i] = before;
        ints[2 * i + 1] = 1;
        cut.dims[i] -= before + after;
        pads[i] += before;
        pads[rank + i] += after;
        if (before + after > x->dims[i] && x->dims[i] >= 0)
            return NULL;
    }
    const norni_term *t = cuts ? norni_t_part(m->c, m->in[0], ints, &cut) : m->in[0];
    return norni_t_padded(m->c, t, pads, m->type);
}

static const norni_term *concat(maker *m) {
    int64_t axis = attr_int(m->node, "axis", 0);
    axis += axis < 0 ? m->type->rank : 0;
    return m->type->rank < 1 ? NULL : norni_t_joined(m->c, m->node->n_in, m->in, (int)axis, m->type);
}

static const norni_term *eye(maker *m) {
    const norni_type *t = m->type;
    int64_t n = t->rank == 2 && t->dims[0] == t->dims[1] ? t->dims[0] : 0;
    if (n < 1 || n > 16 || attr_int(m->node, "k", 0))
        return NULL;
    const norni_term *e[256];
    for (int64_t i = 0; i < n * n; i++)
        e[i] = i / n == i % n ? m->c->one : m->c->zero;
    return norni_t_list(m->c, (int)(n * n), e, t);
}

static const struct {
    const char *op;
    const norni_term *(*make)(maker *m);
} makers[] = {
    {"Reciprocal", reciprocal},
    {"Relu", relu},
    {"Max", folded},
    {"Min", folded},
    {"Sum", folded},
    {"Mod", mod},
    {"Where", where},
    {"Clip", clip},
    {"LeakyRelu", leaky},
    {"Gelu", gelu},
    {"Cast", cast},
    {"CastLike", cast},
    {"Div", quotient},
    {"IsInf", isinf_},
    {"Size", size},
    {"MatMul", matmul},
    {"Gemm", gemm},
    {"Transpose", transpose},
    {"Reshape", shaped},
    {"Unsqueeze", shaped},
    {"Squeeze", shaped},
    {"Flatten", shaped},
    {"Expand", spread},
    {"Identity", same},
    {"Slice", slice},
    {"Pad", pad},
    {"Concat", concat},
    {"EyeLike", eye},
};

/* What only changes gradients is its input to readers; values keep it, to be differentiated again. */
static bool passes_on(const norn_op *op) {
    return op == norni_op_find("norn", "StopGradient") || op == norni_op_find("norn", "ScaleGradient") ||
           op == norni_op_find("norn", "ClipGradient");
}

static const norni_term *make(maker *m) {
    const norn_op *op = m->node->op;
    if (!m->c->guards && !strcmp(op->domain, "norn") && passes_on(op))
        return m->in[0];
    if (!*op->domain) {
        for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
            if (!strcmp(op->name, functions[i].op))
                return fn(m, functions[i].fn, m->in[0], m->node->n_in > 1 ? m->in[1] : NULL, NULL);
        for (size_t i = 0; i < sizeof makers / sizeof *makers; i++)
            if (!strcmp(op->name, makers[i].op))
                return makers[i].make(m);
        if (!strncmp(op->name, "Reduce", 6))
            return reduce(m);
    }
    return NULL;
}

/* Parts of a Split. */
static const norni_term *split(norni_terms *c, const norn_node *node, int k, const norni_term *x) {
    int64_t axis = attr_int(node, "axis", 0), ints[2 * NORN_MAX_RANK], start = 0;
    int rank = node->in[0]->type.rank;
    if (rank < 1)
        return NULL;
    axis += axis < 0 ? rank : 0;
    for (int i = 0; i < k; i++) {
        if (!node->out[i] || node->out[i]->type.dims[axis] < 0)
            return NULL;
        start += node->out[i]->type.dims[axis];
    }
    for (int i = 0; i < rank; i++) {
        ints[2 * i] = i == axis ? start : 0;
        ints[2 * i + 1] = 1;
    }
    return norni_t_part(c, x, ints, &node->out[k]->type);
}

/* The term of output k of a node: its own form, or the operator itself. */
static const norni_term *of_node(norni_terms *c, const norn_node *node, int k, const norni_term **in) {
    maker m = {c, node, in, &node->out[k]->type};
    const norni_term *t = node->op == &norni_op_unknown                            ? NULL
                          : !*node->op->domain && !strcmp(node->op->name, "Split") ? split(c, node, k, in[0])
                          : k == 0                                                 ? make(&m)
                                                                                   : NULL;
    if (t || c->status != NORN_OK)
        return t;
    int n = 0;
    const norni_term **a = norni_arena_array(c->arena, (size_t)node->n_in + 1, sizeof *a);
    if (!a)
        return norni_t_failed(c, norni_nomem());
    for (int i = 0; i < node->n_in; i++)
        if (node->in[i])
            a[n++] = in[i];
    return norni_t_other(c, node, n, a, k, &node->out[k]->type);
}

norn_status norni_terms_from(norni_terms *c, size_t n, norn_value *const *values, const norni_term **out) {
    const norn_graph *g = c->g;
    size_t count = g->values.n;
    bool *need = norni_alloc_array(count + 1, sizeof *need);
    const norni_term **map = norni_alloc_array(count + 1, sizeof *map);
    if (!need || !map)
        norni_t_failed(c, norni_nomem());
    for (size_t i = 0; i < n && c->status == NORN_OK; i++)
        need[values[i]->id] = true;
    for (size_t i = g->nodes.n; i-- > 0 && c->status == NORN_OK;) {
        const norn_node *node = g->nodes.v[i];
        bool any = false;
        for (int k = 0; k < node->n_out; k++)
            any |= node->out[k] && need[node->out[k]->id];
        for (int k = 0; any && k < node->n_in; k++)
            if (node->in[k])
                need[node->in[k]->id] = true;
    }
    for (size_t i = 0; i < g->values.n && c->status == NORN_OK; i++)
        if (need[i] && !g->values.v[i]->producer)
            map[i] = norni_t_value(c, g->values.v[i]);
    for (size_t i = 0; i < g->nodes.n && c->status == NORN_OK; i++) {
        const norn_node *node = g->nodes.v[i];
        const norni_term **in = norni_arena_array(c->arena, (size_t)node->n_in + 1, sizeof *in);
        if (!in) {
            norni_t_failed(c, norni_nomem());
            break;
        }
        for (int k = 0; k < node->n_in; k++)
            in[k] = node->in[k] ? map[node->in[k]->id] : NULL;
        for (int k = 0; k < node->n_out && c->status == NORN_OK; k++)
            if (node->out[k] && need[node->out[k]->id])
                map[node->out[k]->id] = of_node(c, node, k, in);
    }
    for (size_t i = 0; i < n && c->status == NORN_OK; i++)
        out[i] = map[values[i]->id];
    norni_free(need);
    norni_free(map);
    return c->status;
}
