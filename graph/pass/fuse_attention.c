/* SPDX-License-Identifier: Apache-2.0 */
/* Attention written as its parts becomes norn.AttentionCore, which keeps no matrix of scores:
 *
 *     MatMul(Softmax(scale MatMul(q, k') + bias), v),   each of rank 4, or of rank 3 with the heads in the batch
 *
 * Nobody else may read what is between: a gradient that needs the softmax keeps the parts. */
#include "graph/pass/optimize.h"
#include "ops/attention.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_DEPTH = 6, MAX_HEAD = 256, MIN_QUERIES = 8 };

typedef struct {
    const norn_value *q, *keys, *v, *bias; /* of the old graph; keys: as MatMul has them, [..., D, Sk] */
    double scale;
} parts;

static bool one_number(const norn_value *v, double *x) {
    if (v->kind != NORNI_CONST || norni_type_elems(&v->type) != 1)
        return false;
    *x = norni_get_double(v->data->dtype, norni_tensor_data(v->data), 0);
    return isfinite(*x);
}

/* Goes from the softmax's input back to the product of queries and keys. */
static bool find_scores(const norn_value *s, const int *uses, int depth, parts *p) {
    const norn_node *n = s->producer;
    double x;
    if (s->kind != NORNI_RESULT || uses[s->id] != 1 || !depth)
        return false;
    if (norni_node_is(n, "MatMul")) {
        p->q = n->in[0];
        p->keys = n->in[1];
        return p->q->type.rank == s->type.rank && p->keys->type.rank == s->type.rank;
    }
    bool add = norni_node_is(n, "Add"), mul = norni_node_is(n, "Mul"), div = norni_node_is(n, "Div");
    for (int i = 0; i < 2 && (add || mul || div); i++) {
        if (!norni_type_equal(&n->in[i]->type, &s->type))
            continue;
        parts with = *p;
        if (add) {
            if (p->bias || p->scale != 1)
                return false;
            with.bias = n->in[1 - i];
        } else if (div && i == 1)
            return false;
        else if (!one_number(n->in[1 - i], &x))
            continue;
        else
            with.scale = mul ? p->scale * x : p->scale / x;
        if (find_scores(n->in[i], uses, depth - 1, &with)) {
            *p = with;
            return true;
        }
    }
    return false;
}

static bool find_parts(const norn_node *node, const int *uses, parts *p) {
    *p = (parts){.scale = 1};
    if (!norni_node_is(node, "MatMul"))
        return false;
    const norn_node *softmax = norni_made_by(node->in[0], "Softmax");
    int rank = node->out[0]->type.rank;
    if (!softmax || uses[node->in[0]->id] != 1 || (rank != 3 && rank != 4) ||
        node->in[0]->type.rank != rank || node->in[1]->type.rank != rank)
        return false;
    int64_t axis = norni_node_int(softmax, "axis", -1);
    p->v = node->in[1];
    if ((axis != -1 && axis != rank - 1) || !find_scores(softmax->in[0], uses, MAX_DEPTH, p) ||
        !isfinite(p->scale))
        return false;
    const norni_type *q = &p->q->type, *k = &p->keys->type, *v = &p->v->type;
    if (!norni_type_static(q) || !norni_type_static(k) || !norni_type_static(v) ||
        !(NORNI_FLOATS & NORNI_T(q->dtype)) || (p->bias && p->bias->type.dtype != q->dtype))
        return false;
    for (int i = 0; i < rank - 2; i++)
        if (q->dims[i] != k->dims[i] || q->dims[i] != v->dims[i])
            return false;
    /* A work-item takes several queries; with fewer the products are the faster form. Scores of 16 bits are better not
     * rounded in any case. */
    return (q->dims[rank - 2] >= MIN_QUERIES || norni_dtype_bits(q->dtype) == 16) &&
           q->dims[rank - 1] <= MAX_HEAD && v->dims[rank - 1] <= MAX_HEAD;
}

/* Keys as [..., Sk, D]. They are often the result of a transposition, which then is made in another order. */
static norn_value *upright(norni_rebuild *r, const norn_value *keys) {
    const norn_node *t = norni_made_by(keys, "Transpose");
    norni_ints perm;
    int rank = keys->type.rank;
    if (!t || !norni_node_ints(t, "perm", &perm) || perm.n != rank)
        return norni_swap_last(r->to, r->map[keys->id]);
    int64_t order[4];
    bool same = true;
    for (int i = 0; i < rank; i++) {
        order[i] = perm.v[i == rank - 1 ? rank - 2 : i == rank - 2 ? rank - 1 : i];
        same &= order[i] == i;
    }
    norn_value *x = r->map[t->in[0]->id];
    char text[64];
    if (same)
        return x;
    int n = snprintf(text, sizeof text, "Transpose<perm=[");
    for (int i = 0; i < rank; i++)
        n += snprintf(text + n, sizeof text - (size_t)n, "%s%d", i ? "," : "", (int)order[i]);
    snprintf(text + n, sizeof text - (size_t)n, "]>");
    return NORNI_OP1(r->to, x, "%s", text);
}

/* Rank 3 to 4: all of it as heads of one batch. */
static norn_value *lifted(norn_graph *g, norn_value *x) {
    if (!x || x->type.rank != 3)
        return x;
    const norni_dim *d = x->type.dims;
    return NORNI_OP2(g, x, norni_i64_const(g, 4, (int64_t[]){1, d[0], d[1], d[2]}), "Reshape<allowzero=1>");
}

static norn_status fuse(norni_rebuild *r, const norn_node *node, norn_value **in, bool *done) {
    parts p;
    if (!find_parts(node, r->ctx, &p))
        return NORN_OK;
    norn_graph *g = r->to;
    norn_value *q = lifted(g, r->map[p.q->id]), *k = lifted(g, upright(r, p.keys)), *v = lifted(g, in[1]);
    norn_value *args[] = {q, k, v, p.bias ? r->map[p.bias->id] : NULL};
    norni_attention_attrs a = {.scale = (float)p.scale,
                               .lo = NORNI_ATTENTION_LO,
                               .hi = NORNI_ATTENTION_HI,
                               .precision = NORN_UNDEFINED,
                               .blind_nan = 1};
    norn_node *made =
        q && k && v ? norni_apply(g, norni_op_find("norn", "AttentionCore"), &a, p.bias ? 4 : 3, args, 1)
                    : NULL;
    if (!made)
        return norn_graph_status(g);
    made->name = node->name ? norni_arena_strdup(g->arena, node->name) : NULL;
    norn_value *y = made->out[0];
    const norni_type *t = &node->out[0]->type;
    if (t->rank == 3)
        y = NORNI_OP2(g, y, norni_i64_const(g, 3, t->dims), "Reshape<allowzero=1>");
    r->map[node->out[0]->id] = y;
    *done = true;
    return norn_graph_status(g);
}

norn_status norni_graph_fuse_attention(norn_graph **g) {
    int *uses = norni_graph_uses(*g);
    bool any = false;
    parts p;
    if (!uses)
        return norni_nomem();
    for (size_t i = 0; i < (*g)->nodes.n && !any; i++)
        any = find_parts((*g)->nodes.v[i], uses, &p);
    norn_status s = NORN_OK;
    for (int round = 0; round < 2 && any && s == NORN_OK; round++) { /* the second drops what nobody reads */
        norni_rebuild r = {.from = *g, .merge = true, .rewrite = round ? NULL : fuse, .ctx = uses};
        s = norni_rebuild_run(&r);
        if (s == NORN_OK) {
            norn_graph_free(*g);
            *g = r.to;
        }
    }
    norni_free(uses);
    return s;
}
