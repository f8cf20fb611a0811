/* SPDX-License-Identifier: Apache-2.0 */
/* Scales and shifts of channels behind a convolution or a matrix product go into its weights and bias: BatchNormalization
 * in inference mode, Mul and Add with constants.
 *
 *     s (conv(x, w) + b) + t  =  conv(x, s w) + (s b + t) */
#include "graph/pass/optimize.h"
#include <string.h>

typedef struct {
    norn_value *scale, *shift; /* [M]; NULL: none */
} affine;

/* The product in front: its operator, axis of its output channels in the weights, and their number. */
typedef struct {
    norn_node *node;
    int axis;
    int64_t channels, groups;
} product;

static bool find_product(const norni_rule *x, int operand, product *p) {
    norn_value *v = x->in[operand];
    *p = (product){.groups = 1};
    if ((p->node = norni_made_by(v, "Conv")))
        p->axis = 0;
    else if ((p->node = norni_made_by(v, "ConvTranspose"))) {
        p->axis = 1;
        p->groups = norni_node_int(p->node, "group", 1);
    } else if ((p->node = norni_made_by(v, "Gemm"))) {
        const norni_attr *a = norni_attr_find(p->node->op, "alpha"),
                         *b = norni_attr_find(p->node->op, "beta");
        norni_attr_value value; /* found when not 1 */
        if ((a && norni_attr_get(a, p->node->attrs, &value)) ||
            (b && norni_attr_get(b, p->node->attrs, &value)))
            return false;
        p->axis = norni_node_int(p->node, "transB", 0) ? 0 : 1;
    }
    if (!p->node || !norni_sole_use(x, operand) || !norni_is_const(p->node->in[1]) ||
        (p->node->n_in > 2 && p->node->in[2] && !norni_is_const(p->node->in[2])) ||
        !norni_type_static(&p->node->in[1]->type))
        return false;
    p->channels = p->node->in[1]->type.dims[p->axis] * p->groups;
    /* The bias of a Gemm may be a scalar or a matrix. */
    norn_value *b = p->node->n_in > 2 ? p->node->in[2] : NULL;
    return (p->groups == 1) && (!b || (b->type.rank == 1 && b->type.dims[0] == p->channels));
}

/* v as [M], where it holds a number for each channel (axis 1 of the output) or one for all; else NULL. */
static norn_value *per_channel(const norni_rule *x, const product *p, norn_value *v) {
    int rank = x->node->out[0]->type.rank, at = v->type.rank - (rank - 1);
    if (!norni_is_const(v) || rank < 2 || v->type.rank > rank || v->type.dtype != p->node->in[1]->type.dtype)
        return NULL;
    int64_t n = norni_type_elems(&v->type);
    if (n != 1 && (n != p->channels || at < 0 || v->type.dims[at] != n))
        return NULL;
    norn_value *flat = NORNI_OP2(x->g, v, norni_i64_const(x->g, 1, (int64_t[]){-1}), "Reshape");
    return n == p->channels
               ? flat
               : NORNI_OP2(x->g, flat, norni_i64_const(x->g, 1, (int64_t[]){p->channels}), "Expand");
}

static norn_value *apply(const norni_rule *x, const product *p, const affine *a) {
    norn_graph *g = x->g;
    norn_node *n = p->node;
    norn_value *w = n->in[1], *b = n->n_in > 2 ? n->in[2] : NULL;
    int64_t shape[NORN_MAX_RANK];
    for (int i = 0; i < w->type.rank; i++)
        shape[i] = i == p->axis ? p->channels : 1;
    if (a->scale) {
        w = NORNI_OP2(g, w, NORNI_OP2(g, a->scale, norni_i64_const(g, w->type.rank, shape), "Reshape"),
                      "Mul");
        b = b ? NORNI_OP2(g, b, a->scale, "Mul") : NULL;
    }
    if (a->shift)
        b = b ? NORNI_OP2(g, b, a->shift, "Add") : a->shift;
    norn_value *in[3] = {n->in[0], w, b};
    norn_node *made = norni_apply(g, n->op, n->attrs, b ? 3 : 2, in, 1);
    if (!made)
        return NULL;
    made->name = n->name;
    return made->out[0];
}

static bool inference(const norn_node *n) {
    for (int k = 1; k < n->n_out; k++)
        if (n->out[k])
            return false;
    return norni_node_int(n, "training_mode", 0) == 0;
}

static norn_value *batch_norm(const norni_rule *x) {
    enum { X, SCALE, B, MEAN, VAR };
    product p;
    if (!inference(x->node) || !find_product(x, X, &p))
        return NULL;
    for (int i = SCALE; i <= VAR; i++)
        if (!norni_is_const(x->in[i]) || x->in[i]->type.dtype != p.node->in[1]->type.dtype)
            return NULL;
    const norni_attr *e = norni_attr_find(x->node->op, "epsilon");
    double eps = (double)*(const float *)((const char *)x->node->attrs + e->offset);
    const char *names[] = {"s", "b", "m", "v", "e", "k"};
    norn_value *vars[6] = {x->in[SCALE], x->in[B], x->in[MEAN], x->in[VAR],
                           norni_scalar_const(x->g, x->in[SCALE]->type.dtype, eps)};
    affine a = {.scale = vars[5] = norni_formula(x->g, "s / sqrt(v + e)", 5, names, vars)};
    a.shift = norni_formula(x->g, "b - m * k", 6, names, vars);
    return apply(x, &p, &a);
}

norn_value *norni_rule_affine(const norni_rule *x) {
    const norn_node *n = x->node;
    bool mul = norni_node_is(n, "Mul"), add = norni_node_is(n, "Add");
    if (norni_node_is(n, "BatchNormalization"))
        return batch_norm(x);
    for (int i = 0; (mul || add) && i < 2; i++) {
        product p;
        if (!norni_is_const(x->in[1 - i]) || !find_product(x, i, &p) ||
            n->in[i]->type.rank != n->out[0]->type.rank)
            continue;
        norn_value *c = per_channel(x, &p, x->in[1 - i]);
        if (c)
            return apply(x, &p, &(affine){.scale = mul ? c : NULL, .shift = add ? c : NULL});
    }
    return NULL;
}
