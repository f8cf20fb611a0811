/* SPDX-License-Identifier: Apache-2.0 */
/* Gradients of reductions. dy and y are first brought to the shape with the reduced axes as sizes 1; the walk spreads
 * them. */
#include "ops/reduce.h"

typedef struct {
    norn_graph *g;
    norn_value *x, *y, *dy;
} kept;

static bool keep(norni_grad *c, kept *k) {
    norn_node *n = c->node;
    bool set[NORN_MAX_RANK];
    int known;
    *k = (kept){c->g, n->in[0], n->out[0], c->dy[0]};
    if (((const norni_reduce_attrs *)n->attrs)->keepdims)
        return true;
    norn_status s = k->x->type.rank < 0 ? norni_fail(NORN_SHAPE, "the rank is not known")
                                        : norni_reduced_axes(n, k->x->type.rank, set, &known);
    if (s != NORN_OK || !known) {
        norni_graph_failed(c->g, s != NORN_OK ? s : norni_fail(NORN_SHAPE, "the axes are not known"));
        return false;
    }
    int64_t axes[NORN_MAX_RANK];
    int count = 0;
    for (int i = 0; i < k->x->type.rank; i++)
        if (set[i])
            axes[count++] = i;
    if (!count)
        return true;
    norn_value *a = norni_i64_const(c->g, count, axes);
    k->y = NORNI_OP2(c->g, k->y, a, "Unsqueeze");
    k->dy = NORNI_OP2(c->g, k->dy, a, "Unsqueeze");
    return k->dy != NULL;
}

static norn_value *rule(kept *k, const char *formula) {
    static const char *const names[] = {"x", "y", "dy"};
    norn_value *vars[] = {k->x, k->y, k->dy};
    return norni_formula(k->g, formula, 3, names, vars);
}

void norni_reduce_grad_sum(norni_grad *c) {
    kept k;
    if (keep(c, &k)) /* spread to the shape of x by the walk */
        c->dx[0] = k.dy;
}

void norni_reduce_grad_mean(norni_grad *c) {
    kept k;
    if (!keep(c, &k))
        return;
    c->dx[0] = NORNI_OP2(c->g, k.dy, norni_elems_per(c->g, k.x, c->node->out[0], k.x->type.dtype), "Div");
}

/* Where several elements are the extreme one, they share the gradient evenly (torch.amax). */
void norni_reduce_grad_extreme(norni_grad *c) {
    kept k;
    if (!keep(c, &k))
        return;
    norn_value *hit =
                   NORNI_OP1(c->g, NORNI_OP2(c->g, k.x, k.y, "Equal"), "Cast<to=%d>", (int)k.x->type.dtype),
               *count;
    norn_node *n = c->node;
    if (n->n_in > 1 && n->in[1])
        count = NORNI_OP2(c->g, hit, n->in[1], "ReduceSum<noop_with_empty_axes=%d>",
                          (int)((const norni_reduce_attrs *)n->attrs)->noop_with_empty_axes);
    else
        count = NORNI_OP1(c->g, hit, "ReduceSum<noop_with_empty_axes=%d>",
                          (int)((const norni_reduce_attrs *)n->attrs)->noop_with_empty_axes);
    c->dx[0] = NORNI_OP2(c->g, hit, NORNI_OP2(c->g, k.dy, count, "Div"), "Mul");
}

/* The product of the others, those before and those behind, axis by axis: right where elements are 0 too. */
void norni_reduce_grad_prod(norni_grad *c) {
    kept k;
    bool set[NORN_MAX_RANK];
    int known = 0, axes[NORN_MAX_RANK], n = 0;
    norn_value *v[NORN_MAX_RANK + 1];
    if (!keep(c, &k))
        return;
    norn_status s = k.x->type.rank < 0 ? NORN_OK : norni_reduced_axes(c->node, k.x->type.rank, set, &known);
    if (s != NORN_OK || !known) {
        norni_graph_failed(c->g, s != NORN_OK ? s : norni_fail(NORN_SHAPE, "the axes are not known"));
        return;
    }
    v[0] = k.x;
    for (int i = 0; i < k.x->type.rank; i++)
        if (set[i]) {
            axes[n] = i;
            v[n + 1] = NORNI_OP2(c->g, v[n], norni_i64_const(c->g, 1, (int64_t[]){i}), "ReduceProd");
            n++;
        }
    c->dx[0] = k.dy;
    while (n-- > 0) {
        norn_value *axis = norni_scalar_const(c->g, NORN_I64, axes[n]);
        norn_value *others = NORNI_OP2(c->g, NORNI_OP2(c->g, v[n], axis, "CumProd<exclusive=1>"),
                                       NORNI_OP2(c->g, v[n], axis, "CumProd<exclusive=1, reverse=1>"), "Mul");
        c->dx[0] = NORNI_OP2(c->g, c->dx[0], others, "Mul");
    }
}

#define FORMULA_RULE(name, text)                                                                             \
    void name(norni_grad *c) {                                                                               \
        kept k;                                                                                              \
        if (keep(c, &k))                                                                                     \
            c->dx[0] = rule(&k, text);                                                                       \
    }
FORMULA_RULE(norni_reduce_grad_l1, "dy * sign(x)")
void norni_reduce_grad_l2(norni_grad *c) {
    kept k;
    if (!keep(c, &k))
        return;
    static const char *const names[] = {"x", "y", "dy"};
    norn_value *safe = norni_formula(c->g, "where(y == 0, 1, y)", 2, names, (norn_value *[]){k.x, k.y});
    if (safe && safe->producer)
        safe->producer->guard = true;
    k.y = safe ? k.y : NULL;
    static const char *const all[] = {"x", "y", "dy", "safe"};
    c->dx[0] = norni_formula(c->g, "where(y == 0, 0, dy * x / safe)", 4, all,
                             (norn_value *[]){k.x, k.y, k.dy, safe});
    if (c->dx[0] && c->dx[0]->producer)
        c->dx[0]->producer->guard = true;
}
FORMULA_RULE(norni_reduce_grad_sum_square, "2 * dy * x")
FORMULA_RULE(norni_reduce_grad_log_sum, "dy / exp(y)")
FORMULA_RULE(norni_reduce_grad_log_sum_exp, "dy * exp(x - y)")
