/* SPDX-License-Identifier: Apache-2.0 */
/* Transpositions move towards the outputs: through pointwise operators, Concat, Split, Pad, Slice, Resize, quantisation,
 * reductions and softmax, until two meet that cancel, or a flattening in front of a matrix product, whose weights then take the
 * other order. */
#include "graph/pass/optimize.h"
#include <string.h>

typedef struct {
    int n, v[NORN_MAX_RANK];
} order;

/* The order of a Transpose of either graph; false when its rank is not known. */
static bool order_of(const norn_node *t, order *p) {
    norni_ints perm;
    p->n = t->in[0]->type.rank;
    bool given = norni_node_ints(t, "perm", &perm);
    for (int i = 0; i < p->n; i++)
        p->v[i] = given ? (int)perm.v[i] : p->n - 1 - i;
    return p->n >= 0;
}

static bool is_identity(const order *p) {
    for (int i = 0; i < p->n; i++)
        if (p->v[i] != i)
            return false;
    return true;
}

static bool same(const order *a, const order *b) {
    return a->n == b->n && !memcmp(a->v, b->v, (size_t)a->n * sizeof *a->v);
}

static norn_value *transpose(norn_graph *g, norn_value *x, const order *p) {
    norni_str text = {0};
    if (is_identity(p))
        return x;
    norni_str_add(&text, "Transpose<perm=[");
    for (int i = 0; i < p->n; i++)
        norni_str_addf(&text, "%s%d", i ? ", " : "", p->v[i]);
    norni_str_add(&text, "]>");
    norn_value *y = text.failed ? norni_graph_failed(g, norni_nomem()) : NORNI_OP1(g, x, "%s", text.s);
    norni_str_free(&text);
    return y;
}

static order inverse(const order *p) {
    order q = {.n = p->n};
    for (int i = 0; i < p->n; i++)
        q.v[p->v[i]] = i;
    return q;
}

/* The input of a Transpose in front of operand i; NULL: there is none, or others read it too and it is not to be doubled. */
static norn_value *behind(const norni_rule *x, int i, order *p) {
    norn_node *t = i < x->node->n_in ? norni_made_by(x->in[i], "Transpose") : NULL;
    bool may = t && (((const norni_optimizer *)x->r->ctx)->doubles || norni_sole_use(x, i));
    return may && order_of(t, p) ? t->in[0] : NULL;
}

/* A constant operand of lower or equal rank in the order before the transposition. */
static norn_value *constant_before(const norni_rule *x, norn_value *c, const order *p) {
    int64_t shape[NORN_MAX_RANK];
    int missing = p->n - c->type.rank;
    if (!norni_is_const(c) || missing < 0)
        return NULL;
    if (norni_type_elems(&c->type) == 1 && c->type.rank <= 1)
        return c;
    for (int i = 0; i < p->n; i++)
        shape[i] = i < missing ? 1 : c->type.dims[i - missing];
    norn_value *full = missing ? NORNI_OP2(x->g, c, norni_i64_const(x->g, p->n, shape), "Reshape") : c;
    order q = inverse(p);
    return full ? transpose(x->g, full, &q) : NULL;
}

/* v in order p, by a Reshape, which it takes only axes of size 1 to move. NULL: it takes more, or sizes are not known. */
static norn_value *moved_ones(norn_graph *g, norn_value *v, const order *p) {
    int64_t shape[NORN_MAX_RANK];
    int last = -1;
    for (int i = 0; i < p->n; i++) {
        norni_dim d = v->type.dims[p->v[i]];
        if (d == 0 || (d < 0 && p->v[i] != i))
            return NULL;
        shape[i] = d < 0 ? 0 : d; /* 0: as it was */
        if (d != 1 && p->v[i] < last)
            return NULL;
        last = d == 1 ? last : p->v[i];
    }
    return NORNI_OP2(g, v, norni_i64_const(g, p->n, shape), "Reshape");
}

/* ---- Operators that work on each element alone, and Concat. */
static bool each_alone(const norn_node *n) {
    return (norni_op_pointwise(n->op) || norni_node_is(n, "Mean")) && !n->op->channel_from && n->n_out == 1;
}

/* The operands as they are before the transpositions, which all are p; false: not all can be. */
static bool operands_before(const norni_rule *x, norn_value **in, order *p) {
    int n = x->node->n_in, at = -1;
    for (int i = 0; i < n && at < 0; i++)
        if (x->in[i] != NORNI_NONE && behind(x, i, p))
            at = i;
    if (at < 0 || x->node->out[0]->type.rank != p->n)
        return false;
    for (int i = 0; i < n; i++) {
        order q;
        in[i] = x->in[i];
        if (x->in[i] == NORNI_NONE)
            continue;
        norn_value *v = behind(x, i, &q);
        if (v && same(&q, p)) {
            in[i] = v;
            continue;
        }
        q = inverse(p);
        if (v || (!(in[i] = constant_before(x, x->in[i], p)) &&
                  (x->in[i]->type.rank != p->n || norni_is_const(x->in[i]) ||
                   !(in[i] = moved_ones(x->g, x->in[i], &q)))))
            return false;
    }
    return true;
}

static norn_value *through_pointwise(const norni_rule *x) {
    norn_value *in[32];
    order p;
    if (x->node->n_in > 32 || !operands_before(x, in, &p))
        return NULL;
    norn_value *y = norni_same_op(x, x->node->n_in, in);
    return y ? transpose(x->g, y, &p) : NULL;
}

static norn_value *through_concat(const norni_rule *x) {
    norn_value *in[32];
    order p;
    if (x->node->n_in > 32 || !operands_before(x, in, &p))
        return NULL;
    for (int i = 0; i < x->node->n_in; i++) /* no broadcasting here */
        if (in[i]->type.rank != p.n)
            return NULL;
    int64_t axis = norni_node_int(x->node, "axis", 0);
    axis += axis < 0 ? p.n : 0;
    norn_value *y = norni_opf(x->g, x->node->n_in, in, "Concat<axis=%d>", p.v[axis]);
    return y ? transpose(x->g, y, &p) : NULL;
}

static norn_value *through_softmax(const norni_rule *x) {
    order p;
    norn_value *v = behind(x, 0, &p);
    if (!v)
        return NULL;
    int64_t axis = norni_node_int(x->node, "axis", -1);
    axis += axis < 0 ? p.n : 0;
    norn_value *y = NORNI_OP1(x->g, v, "%s<axis=%d>", x->node->op->name, p.v[axis]);
    return y ? transpose(x->g, y, &p) : NULL;
}

/* ---- Reductions over given axes. */
/* The order of what is left without some axes (of the tensor before the transposition), numbered anew. */
static order without(const order *p, const bool *gone) {
    order rest = {0};
    for (int i = 0; i < p->n; i++)
        if (!gone[p->v[i]]) {
            int before = 0;
            for (int k = 0; k < p->v[i]; k++)
                before += !gone[k];
            rest.v[rest.n++] = before;
        }
    return rest;
}

static norn_value *through_reduction(const norni_rule *x) {
    const norn_node *n = x->node;
    order p, rest;
    int count;
    int64_t axes[NORN_MAX_RANK];
    bool gone[NORN_MAX_RANK] = {0}, keep = norni_node_int(n, "keepdims", 1) != 0;
    norn_value *v = behind(x, 0, &p);
    if (!v)
        return NULL;
    if (n->n_in < 2 || x->in[1] == NORNI_NONE) /* all axes, or none */
        return keep ? NULL : norni_same_op(x, 1, &v);
    if (!norni_value_ints(x->in[1], axes, NORN_MAX_RANK, &count) || !count)
        return NULL;
    for (int i = 0; i < count; i++) {
        axes[i] = p.v[axes[i] < 0 ? axes[i] + p.n : axes[i]];
        gone[axes[i]] = true;
    }
    norn_value *y =
        NORNI_OP2(x->g, v, norni_i64_const(x->g, count, axes), "%s<keepdims=%d>", n->op->name, keep);
    if (keep)
        return y ? transpose(x->g, y, &p) : NULL;
    rest = without(&p, gone);
    return y ? transpose(x->g, y, &rest) : NULL;
}

/* ---- Operators with an axis, with axes, and with a number for each axis. */

static bool axis_before(const order *p, int64_t axis, int *out) {
    axis += axis < 0 ? p->n : 0;
    if (axis < 0 || axis >= p->n)
        return false;
    *out = p->v[axis];
    return true;
}

/* A constant list of axes. */
static norn_value *axes_before(const norni_rule *x, int input, const order *p, bool *gone) {
    int64_t axes[NORN_MAX_RANK];
    int n, at;
    if (!norni_value_ints(x->in[input], axes, NORN_MAX_RANK, &n))
        return NULL;
    for (int i = 0; i < n; i++) {
        if (!axis_before(p, axes[i], &at))
            return NULL;
        axes[i] = at;
        if (gone)
            gone[at] = true;
    }
    return norni_i64_const(x->g, n, axes);
}

/* A constant with `parts` numbers for each axis, all first ones before all second ones. */
static norn_value *numbers_before(const norni_rule *x, int input, const order *p, int parts) {
    norn_value *c = x->in[input];
    if (!norni_is_const(c) || c->type.rank != 1 || c->type.dims[0] != parts * p->n)
        return NULL;
    norn_value *moved = norni_fill_const(x->g, &c->type, 0);
    size_t one = norni_dtype_bytes(c->type.dtype, 1);
    for (int k = 0; moved && k < parts; k++)
        for (int i = 0; i < p->n; i++)
            memcpy((char *)norni_tensor_data(moved->data) + one * (size_t)(k * p->n + p->v[i]),
                   (const char *)norni_tensor_data(c->data) + one * (size_t)(k * p->n + i), one);
    return moved;
}

static bool has_input(const norni_rule *x, int i) {
    return i < x->node->n_in && x->in[i] != NORNI_NONE;
}

/* The node on other inputs with another axis. */
static norn_value *with_axis(const norni_rule *x, int n_in, norn_value *const *in, int axis) {
    const norn_op *op = x->node->op;
    norni_attr_value v = {.kind = NORNI_ATTR_INT, .i = axis};
    void *attrs = norni_arena_alloc(x->g->arena, op->attrs_bytes);
    norn_status s = attrs ? norni_attrs_copy(op, attrs, x->node->attrs, x->g->arena) : norni_nomem();
    if (s == NORN_OK)
        s = norni_attrs_set(op, attrs, x->g->arena, "axis", &v);
    if (s != NORN_OK)
        return norni_graph_failed(x->g, s);
    norn_node *made = norni_apply(x->g, op, attrs, n_in, in, 1);
    norni_attrs_release(op, attrs);
    return made ? made->out[0] : NULL;
}

static norn_value *through_arg(const norni_rule *x) {
    order p, rest;
    bool gone[NORN_MAX_RANK] = {0}, keep = norni_node_int(x->node, "keepdims", 1) != 0;
    int at;
    norn_value *v = behind(x, 0, &p);
    if (!v || !axis_before(&p, norni_node_int(x->node, "axis", 0), &at))
        return NULL;
    gone[at] = true;
    rest = without(&p, gone);
    norn_value *y = NORNI_OP1(x->g, v, "%s<axis=%d, keepdims=%d, select_last_index=%d>", x->node->op->name,
                              at, keep, (int)norni_node_int(x->node, "select_last_index", 0));
    return y ? transpose(x->g, y, keep ? &p : &rest) : NULL;
}

static norn_value *through_pad(const norni_rule *x) {
    order p;
    norn_value *in[4] = {behind(x, 0, &p), NULL, has_input(x, 2) ? x->in[2] : NORNI_NONE, NORNI_NONE};
    if (!in[0])
        return NULL;
    bool axes = has_input(x, 3);
    in[1] = axes ? x->in[1] : numbers_before(x, 1, &p, 2);
    if (axes)
        in[3] = axes_before(x, 3, &p, NULL);
    norn_value *y = in[1] && in[3] ? norni_same_op(x, x->node->n_in, in) : NULL;
    return y ? transpose(x->g, y, &p) : NULL;
}

static norn_value *through_slice(const norni_rule *x) {
    order p;
    int64_t all[NORN_MAX_RANK];
    norn_value *in[5] = {behind(x, 0, &p), x->node->n_in > 1 ? x->in[1] : NULL,
                         x->node->n_in > 2 ? x->in[2] : NULL, NULL, has_input(x, 4) ? x->in[4] : NORNI_NONE};
    if (!in[0] || !in[1] || !in[2] || in[1]->type.rank != 1 || in[1]->type.dims[0] < 0 ||
        in[1]->type.dims[0] > p.n)
        return NULL;
    for (int i = 0; i < p.n; i++)
        all[i] = p.v[i];
    in[3] =
        has_input(x, 3) ? axes_before(x, 3, &p, NULL) : norni_i64_const(x->g, (int)in[1]->type.dims[0], all);
    norn_value *y = in[3] ? norni_same_op(x, 5, in) : NULL;
    return y ? transpose(x->g, y, &p) : NULL;
}

static norn_value *through_squeeze(const norni_rule *x) {
    order p, rest;
    bool gone[NORN_MAX_RANK] = {0};
    norn_value *in[2] = {behind(x, 0, &p), NULL};
    if (!in[0] || !has_input(x, 1) || !(in[1] = axes_before(x, 1, &p, gone)))
        return NULL;
    rest = without(&p, gone);
    norn_value *y = norni_same_op(x, 2, in);
    return y ? transpose(x->g, y, &rest) : NULL;
}

/* Not with a region, nor with a list of axes. */
static norn_value *through_resize(const norni_rule *x) {
    order p;
    norni_ints axes;
    norn_value *in[4] = {behind(x, 0, &p), NORNI_NONE, NORNI_NONE, NORNI_NONE};
    if (!in[0] || (has_input(x, 1) && norni_type_elems(&x->in[1]->type) != 0) ||
        (norni_node_ints(x->node, "axes", &axes) && axes.n))
        return NULL;
    for (int i = 2; i < 4; i++)
        if (has_input(x, i) && norni_type_static(&x->in[i]->type) && norni_type_elems(&x->in[i]->type) > 0 &&
            !(in[i] = numbers_before(x, i, &p, 1)))
            return NULL;
    if (in[2] == NORNI_NONE && in[3] == NORNI_NONE)
        return NULL;
    norn_value *y = norni_same_op(x, in[3] == NORNI_NONE ? 3 : 4, in);
    return y ? transpose(x->g, y, &p) : NULL;
}

/* QuantizeLinear and DequantizeLinear with one scale, or one for each place along an axis. */
static norn_value *through_scale(const norni_rule *x) {
    order p;
    int at = 0;
    norn_value *in[3] = {behind(x, 0, &p), x->in[1], has_input(x, 2) ? x->in[2] : NORNI_NONE};
    if (!in[0] || norni_node_int(x->node, "block_size", 0) || x->in[1]->type.rank > 1 ||
        x->in[1]->type.rank < 0)
        return NULL;
    norn_value *y = NULL;
    if (x->in[1]->type.rank == 0)
        y = norni_same_op(x, x->node->n_in, in);
    else if (axis_before(&p, norni_node_int(x->node, "axis", 1), &at))
        y = with_axis(x, x->node->n_in, in, at);
    return y ? transpose(x->g, y, &p) : NULL;
}

static norn_value *through_split(const norni_rule *x) {
    order p;
    int at;
    unsigned wanted = 0;
    const norn_node *n = x->node;
    norn_value *in[2] = {behind(x, 0, &p), has_input(x, 1) ? x->in[1] : NORNI_NONE};
    if (!in[0] || !axis_before(&p, norni_node_int(n, "axis", 0), &at))
        return NULL;
    for (int k = 0; k < n->n_out && k < 32; k++)
        wanted |= n->out[k] ? 1u << k : 0;
    int parts = (int)norni_node_int(n, "num_outputs", 0);
    norn_node *made = parts ? norni_opf_node(x->g, wanted, 1, in, "Split<axis=%d, num_outputs=%d>", at, parts)
                            : norni_opf_node(x->g, wanted, 2, in, "Split<axis=%d>", at);
    norn_value *first = NULL;
    for (int k = 0; made && k < n->n_out && k < 32; k++) {
        norn_value *y = made->out[k] ? transpose(x->g, made->out[k], &p) : NULL;
        if (!y)
            continue;
        if (k == 0)
            first = y;
        else
            x->r->map[n->out[k]->id] = y;
    }
    return first;
}

/* ---- Flattening in front of a matrix product: x [N,a,b,c] in order p, as [N,abc], times w [abc,M]. */
static norn_value *through_product(const norni_rule *x) {
    const norn_node *n = x->node;
    bool gemm = norni_node_is(n, "Gemm"), rows = !(gemm && norni_node_int(n, "transB", 0));
    norn_node *flat = norni_made_by(x->in[0], "Reshape");
    norn_node *t;
    order p;
    if (!flat)
        flat = norni_made_by(x->in[0], "Flatten");
    if (!flat || !norni_sole_use(x, 0) || !norni_is_const(x->in[1]) || x->in[1]->type.rank != 2 ||
        (gemm && norni_node_int(n, "transA", 0)) || !(t = norni_made_by(flat->in[0], "Transpose")) ||
        !order_of(t, &p))
        return NULL;
    const norni_type *from = &t->out[0]->type, *to = &flat->out[0]->type;
    int64_t inner = 1, w_shape[NORN_MAX_RANK + 1];
    if (p.n < 3 || p.v[0] != 0 || to->rank != 2 || to->dims[0] != from->dims[0])
        return NULL;
    for (int i = 1; i < p.n; i++) {
        if (from->dims[i] < 0)
            return NULL;
        inner *= from->dims[i];
        w_shape[i - 1] = from->dims[i];
    }
    norn_value *w = x->in[1];
    if (inner != to->dims[1] || w->type.dims[rows ? 0 : 1] != inner || inner == 0 || p.n > NORN_MAX_RANK - 1)
        return NULL;
    /* w as [from ..., M] (rows) or [M, from ...], its axes brought into the order before the transposition. */
    order q = {.n = p.n}, inv = inverse(&p);
    int64_t shape[NORN_MAX_RANK];
    for (int i = 1; i < p.n; i++) {
        shape[rows ? i - 1 : i] = w_shape[i - 1];
        q.v[rows ? i - 1 : i] = rows ? inv.v[i] - 1 : inv.v[i];
    }
    shape[rows ? p.n - 1 : 0] = w->type.dims[rows ? 1 : 0];
    q.v[rows ? p.n - 1 : 0] = rows ? p.n - 1 : 0;
    norn_value *moved = NORNI_OP2(x->g, w, norni_i64_const(x->g, p.n, shape), "Reshape");
    if (!moved || !(moved = transpose(x->g, moved, &q)))
        return NULL;
    moved = NORNI_OP2(x->g, moved, norni_i64_const(x->g, 2, w->type.dims), "Reshape");
    norn_value *in[3] = {NORNI_OP1(x->g, t->in[0], "Flatten<axis=1>"), moved,
                         n->n_in > 2 && x->in[2] != NORNI_NONE ? x->in[2] : NULL};
    return in[0] && moved ? norni_same_op(x, in[2] ? 3 : 2, in) : NULL;
}

/* ---- Transpositions themselves. */

/* One that moves only axes of size 1 is a Reshape: for the last round, since nothing goes through a Reshape. */
static norn_value *as_reshape(const norni_rule *x, const order *p) {
    return ((const norni_optimizer *)x->r->ctx)->last ? moved_ones(x->g, x->in[0], p) : NULL;
}

static norn_value *two_in_a_row(const norni_rule *x) {
    order p, q, both;
    norn_node *t = norni_made_by(x->in[0], "Transpose");
    if (!order_of(x->node, &p))
        return NULL;
    if (is_identity(&p))
        return x->in[0];
    if (!t || !order_of(t, &q))
        return as_reshape(x, &p);
    both.n = p.n;
    for (int i = 0; i < p.n; i++)
        both.v[i] = q.v[p.v[i]];
    return transpose(x->g, t->in[0], &both);
}

norn_value *norni_rule_transpose(const norni_rule *x) {
    static const struct {
        const char *op;
        norni_rule_fn *rule;
    } others[] = {{"ArgMax", through_arg},      {"ArgMin", through_arg},
                  {"Pad", through_pad},         {"QuantizeLinear", through_scale},
                  {"Resize", through_resize},   {"DequantizeLinear", through_scale},
                  {"Slice", through_slice},     {"Split", through_split},
                  {"Squeeze", through_squeeze}, {NULL, NULL}};
    const norn_node *n = x->node;
    if (norni_node_is(n, "Transpose"))
        return two_in_a_row(x);
    if (*n->op->domain || !n->n_in || x->in[0] == NORNI_NONE)
        return NULL;
    for (int i = 0; others[i].op; i++)
        if (norni_node_is(n, others[i].op))
            return others[i].rule(x);
    if (norni_node_is(n, "Concat"))
        return through_concat(x);
    if (norni_node_is(n, "Softmax") || norni_node_is(n, "LogSoftmax"))
        return through_softmax(x);
    if (norni_node_is(n, "MatMul") || norni_node_is(n, "Gemm"))
        return through_product(x);
    if (!strncmp(n->op->name, "Reduce", 6))
        return through_reduction(x);
    return each_alone(n) ? through_pointwise(x) : NULL;
}
