/* SPDX-License-Identifier: Apache-2.0 */
/* The host reference: every operator in plain C, for checking, constant folding and shape arithmetic. */
#include "ops/op.h"
#include <stdio.h>
#include <string.h>

norn_status norni_node_formula(const norn_node *node, norni_arena *arena, const norni_expr **out) {
    const norn_op *op = node->op;
    const char *names[32];
    const norni_expr *with[32] = {0};
    int n = 0;
    if (op->variadic_fold) { /* f(f(a, b), c) */
        const norni_expr *two, *acc, *vars[32];
        NORNI_TRY(norni_expr_parse(arena, op->expr, 2, (const char *[]){"a", "b"}, &two));
        for (int i = 0; i < node->n_in && i < 32; i++) {
            char name[8];
            snprintf(name, sizeof name, "v%d", i);
            names[i] = norni_arena_strdup(arena, name);
            if (!names[i])
                return norni_nomem();
            NORNI_TRY(norni_expr_parse(arena, name, i + 1, names, &vars[i]));
        }
        acc = vars[0];
        for (int i = 1; i < node->n_in && i < 32; i++)
            if (!(acc = norni_expr_replace(arena, two, (const norni_expr *[]){acc, vars[i]})))
                return norni_nomem();
        *out = acc;
        return NORN_OK;
    }
    for (; op->inputs[n].name; n++)
        names[n] = op->inputs[n].name;
    int vars = n;
    for (const norni_attr *a = op->attrs; a && a->name; a++) {
        if (a->flags & NORNI_ATTR_OLD || (a->kind != NORNI_ATTR_FLOAT && a->kind != NORNI_ATTR_INT))
            continue;
        const char *p = (const char *)node->attrs + a->offset;
        names[vars] = a->name;
        with[vars] = norni_expr_const(arena, a->kind == NORNI_ATTR_FLOAT ? (double)*(const float *)p
                                                                         : (double)*(const int64_t *)p);
        if (!with[vars++])
            return norni_nomem();
    }
    const norni_expr *e;
    NORNI_TRY(norni_expr_parse(arena, op->expr_of ? op->expr_of(node) : op->expr, vars, names, &e));
    *out = norni_expr_replace(arena, e, with);
    return *out ? NORN_OK : norni_nomem();
}

static norn_status eval_pointwise(const norni_eval *e) {
    const norn_node *node = e->node;
    norn_tensor *y = e->out[0];
    norni_arena *arena = norni_arena_new(0);
    const norni_expr *f = NULL;
    norn_status s = arena ? norni_node_formula(node, arena, &f) : norni_nomem();
    int64_t strides[32][NORN_MAX_RANK] = {{0}}, idx[NORN_MAX_RANK] = {0}, at[32] = {0};
    for (int i = 0; i < e->n_in && s == NORN_OK; i++) {
        const norn_tensor *x = e->in[i];
        if (!x)
            continue;
        if (node->op->channel_from && i >= node->op->channel_from) { /* [C] along axis 1 */
            if (norni_tensor_elems(x) != 1)
                strides[i][y->rank > 1 ? 1 : 0] = 1;
            continue;
        }
        for (int k = 0; k < x->rank; k++)
            if (x->dims[k] != 1)
                strides[i][y->rank - x->rank + k] = x->strides[k];
    }
    int64_t n = s == NORN_OK ? norni_tensor_elems(y) : 0;
    for (int64_t j = 0; j < n; j++) {
        norni_scalar v[32];
        for (int i = 0; i < e->n_in; i++)
            if (e->in[i])
                v[i] = norni_scalar_get(e->in[i]->dtype, norni_tensor_data(e->in[i]), at[i]);
        norni_scalar_set(y->dtype, norni_tensor_data(y), j, norni_expr_eval(f, v));
        for (int k = y->rank - 1; k >= 0; k--) {
            for (int i = 0; i < e->n_in; i++)
                at[i] += strides[i][k];
            if (++idx[k] < y->dims[k])
                break;
            for (int i = 0; i < e->n_in; i++)
                at[i] -= strides[i][k] * y->dims[k];
            idx[k] = 0;
        }
    }
    norni_arena_free(arena);
    return s;
}

norn_status norni_eval_output(norni_eval *e, int k, int rank, const int64_t *dims) {
    return e->node->out[k] ? norni_tensor_host(e->node->out[k]->type.dtype, rank, dims, &e->out[k]) : NORN_OK;
}

norn_status norni_node_eval(const norn_node *node, norn_tensor *const *in, norn_tensor **out) {
    return norni_node_eval_draw(node, in, out, (norni_draw){0});
}

norn_status norni_node_eval_draw(const norn_node *node, norn_tensor *const *in, norn_tensor **out,
                                 norni_draw draw) {
    const norn_op *op = node->op;
    norni_eval e = {node, node->attrs, node->n_in, node->n_out, in, out, draw};
    norn_status s = NORN_OK;
    for (int k = 0; k < node->n_out; k++)
        out[k] = NULL;
    if (!op->eval && !op->expr)
        return norni_fail(NORN_UNSUPPORTED, "%s has no host reference",
                          op == &norni_op_unknown ? node->type : op->name);
    for (int i = 0; i < node->n_in && s == NORN_OK; i++)
        if (in[i])
            s = norni_node_check(node, i, in[i]);
    for (int k = 0; k < node->n_out && s == NORN_OK; k++) {
        const norn_value *v = node->out[k];
        if (!v || op->data_shapes)
            continue;
        if (!norni_type_static(&v->type))
            s = norni_fail(NORN_UNSUPPORTED, "%s: the shape of output %d depends on data", op->name, k);
        else
            s = norni_tensor_host(v->type.dtype, v->type.rank, v->type.dims, &out[k]);
    }
    if (s == NORN_OK)
        s = norni_moves_small(node) ? norni_eval_small(&e) : op->eval ? op->eval(&e) : eval_pointwise(&e);
    for (int k = 0; k < node->n_out && s != NORN_OK; k++) {
        norn_tensor_free(out[k]);
        out[k] = NULL;
    }
    return s;
}

/* Of an operator that runs as others: theirs, where the sizes are known. */
static void expansion_flops(const norn_node *node, norni_cost *c) {
    norn_graph *g;
    norn_value *out[32] = {0};
    double flops = 0;
    for (int i = 0; i < node->n_in; i++)
        if (node->in[i] && !norni_type_static(&node->in[i]->type))
            return;
    if (norni_expand_apart(node, out, &g) != NORN_OK)
        return;
    for (size_t i = 0; i < g->nodes.n; i++) {
        norni_cost each;
        norni_node_cost(g->nodes.v[i], &each);
        flops += each.flops;
    }
    norn_graph_free(g);
    c->flops = flops;
}

void norni_node_cost(const norn_node *node, norni_cost *c) {
    *c = (norni_cost){0};
    double elems = 0;
    for (int i = 0; i < node->n_in + node->n_out; i++) {
        const norn_value *v = i < node->n_in ? node->in[i] : node->out[i - node->n_in];
        if (!v || !norni_type_static(&v->type))
            continue;
        c->bytes += (double)norni_type_bytes(&v->type);
        if (i >= node->n_in)
            elems += (double)norni_type_elems(&v->type);
    }
    c->flops = elems;
    if (node->op->cost)
        node->op->cost(node, c);
    else if (node->op->expand && !node->op->impls && !norni_op_pointwise(node->op) && !node->op->control)
        expansion_flops(node, c);
}
