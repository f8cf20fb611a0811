/* SPDX-License-Identifier: Apache-2.0 */
/* Transpositions move towards the outputs: through pointwise operators, Concat, reductions and softmax, until two meet that
 * cancel, or a flattening in front of a matrix product, whose weights then take the other order. */
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

/* The input of a Transpose in front of operand i that only this node reads; NULL: there is none. */
static norn_value *behind(const norni_rule *x, int i, order *p) {
    norn_node *t = norni_made_by(x->in[i], "Transpose");
    return t && norni_sole_use(x, i) && order_of(t, p) ? t->in[0] : NULL;
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

/* ---- Operators that work on each element alone, and Concat. */
static bool each_alone(const norn_node *n) {
    return norni_op_pointwise(n->op) && !n->op->channel_from && n->n_out == 1;
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
        if (v && same(&q, p))
            in[i] = v;
        else if (v || !(in[i] = constant_before(x, x->in[i], p)))
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
static norn_value *through_reduction(const norni_rule *x) {
    const norn_node *n = x->node;
    order p, rest = {0};
    int count;
    int64_t axes[NORN_MAX_RANK];
    bool gone[NORN_MAX_RANK] = {0}, keep = norni_node_int(n, "keepdims", 1) != 0;
    norn_value *v = behind(x, 0, &p);
    if (!v || n->n_in < 2 || x->in[1] == NORNI_NONE ||
        !norni_value_ints(x->in[1], axes, NORN_MAX_RANK, &count) || !count)
        return NULL;
    for (int i = 0; i < count; i++) {
        axes[i] = p.v[axes[i] < 0 ? axes[i] + p.n : axes[i]];
        gone[axes[i]] = true;
    }
    norn_value *y =
        NORNI_OP2(x->g, v, norni_i64_const(x->g, count, axes), "%s<keepdims=%d>", n->op->name, keep);
    if (keep)
        return y ? transpose(x->g, y, &p) : NULL;
    for (int i = 0; i < p.n; i++) /* the axes that are left, numbered anew */
        if (!gone[p.v[i]]) {
            int before = 0;
            for (int k = 0; k < p.v[i]; k++)
                before += !gone[k];
            rest.v[rest.n++] = before;
        }
    return y ? transpose(x->g, y, &rest) : NULL;
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
    const norni_type *from = &x->node->in[0]->type, *to = &x->node->out[0]->type;
    int last = -1;
    if (!((const norni_optimizer *)x->r->ctx)->last || !norni_type_static(from))
        return NULL;
    for (int i = 0; i < p->n; i++) {
        if (from->dims[p->v[i]] == 1)
            continue;
        if (p->v[i] < last)
            return NULL;
        last = p->v[i];
    }
    return NORNI_OP2(x->g, x->in[0], norni_i64_const(x->g, to->rank, to->dims), "Reshape");
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
    const norn_node *n = x->node;
    if (norni_node_is(n, "Transpose"))
        return two_in_a_row(x);
    if (*n->op->domain || !n->n_in)
        return NULL;
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
