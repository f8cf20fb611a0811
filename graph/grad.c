/* SPDX-License-Identifier: Apache-2.0 */
/* Reverse mode on the graph: one walk from the outputs back, which asks each operator for its rule and takes
 * care of broadcasting, accumulation and missing paths. Gradients are ordinary nodes, so they can be
 * differentiated again. */
#include "graph/grad.h"
#include "graph/graph.h"
#include "ops/control.h"
#include "ops/op.h"
#include <stdio.h>
#include <string.h>

typedef struct {
    norn_graph *g;
    norn_value **dy; /* gradient that has arrived, by value id */
    bool *depends;   /* on one of the x, by value id */
    size_t n;        /* length of both */
    size_t first;    /* nodes before this one are not differentiated */
} walk;

static norn_status start(walk *w, norn_graph *g, size_t first, size_t n_x, norn_value *const *x) {
    *w = (walk){.g = g, .n = g->values.n, .first = first};
    w->dy = norni_alloc_array(w->n + 1, sizeof *w->dy);
    w->depends = norni_alloc_array(w->n + 1, sizeof *w->depends);
    if (!w->dy || !w->depends)
        return norni_nomem();
    for (size_t i = 0; i < n_x; i++)
        if (x[i])
            w->depends[x[i]->id] = true;
    for (size_t i = first; i < g->nodes.n; i++) {
        const norn_node *node = g->nodes.v[i];
        bool any = false;
        for (int k = 0; k < node->n_in && !any; k++) {
            const norni_param *p = norni_op_input(node->op, k);
            any = node->in[k] && w->depends[node->in[k]->id] && !(p && p->flags & NORNI_NODIFF);
        }
        for (int k = 0; any && k < node->n_out; k++)
            if (node->out[k])
                w->depends[node->out[k]->id] = true;
    }
    return NORN_OK;
}

static void end(walk *w) {
    norni_free(w->dy);
    norni_free(w->depends);
}

/* dx brought to the type of x: summed over what was broadcast, or spread out where the rule left that to us.
 */
static norn_value *fit(norn_graph *g, norn_value *dx, norn_value *x) {
    int64_t axes[NORN_MAX_RANK];
    int n = 0, lead = dx->type.rank - x->type.rank;
    bool spread = lead < 0, keep = false;
    if (dx->type.dtype != x->type.dtype)
        return norni_graph_failed(g, norni_fail(NORN_INTERNAL, "gradient has type %s (wanted %s)",
                                                norni_dtype_name(dx->type.dtype),
                                                norni_dtype_name(x->type.dtype)));
    if (norni_type_equal(&dx->type, &x->type))
        return dx;
    if (dx->type.rank < 0 || x->type.rank < 0)
        return norni_graph_failed(
            g, norni_fail(NORN_SHAPE, "gradient: a rank is not known; bind the sizes first"));
    for (int i = 0; i < dx->type.rank; i++) {
        norni_dim d = dx->type.dims[i], want = i < lead ? 1 : x->type.dims[i - lead];
        if (i < lead)
            axes[n++] = i;
        else if (d == want)
            continue;
        else if (want == 1) {
            axes[n++] = i;
            keep = true;
        } else if (d == 1)
            spread = true;
        else
            return norni_graph_failed(
                g, norni_fail(NORN_SHAPE, "gradient: whether a size was broadcast is not known; bind "
                                          "the sizes first"));
    }
    if (n)
        dx = NORNI_OP2(g, dx, norni_i64_const(g, n, axes), "ReduceSum<keepdims=%d>", keep && lead <= 0);
    if (n && keep && lead > 0)
        dx = NORNI_OP2(g, dx, norni_shape_value(g, x), "Reshape");
    return spread ? NORNI_OP2(g, dx, norni_shape_value(g, x), "Expand") : dx;
}

static void accumulate(walk *w, norn_value *x, norn_value *dx) {
    norn_value **slot = &w->dy[x->id];
    *slot = *slot ? NORNI_OP2(w->g, *slot, dx, "Add") : dx;
}

/* The rule of a pointwise operator: a formula for each input. */
static void formula_rule(norni_grad *c) {
    const norn_op *op = c->node->op;
    const char *names[64];
    norn_value *vars[64];
    int n = 0;
    norn_dtype dtype = c->node->out[0]->type.dtype;
    for (; op->inputs[n].name && n < c->node->n_in; n++) {
        names[n] = op->inputs[n].name;
        vars[n] = c->node->in[n];
    }
    names[n] = "y";
    vars[n++] = c->node->out[0];
    names[n] = "dy";
    vars[n++] = c->dy[0];
    for (const norni_attr *a = op->attrs; a && a->name && n < 64; a++) {
        const char *p = (const char *)c->node->attrs + a->offset;
        if (a->flags & NORNI_ATTR_OLD || (a->kind != NORNI_ATTR_FLOAT && a->kind != NORNI_ATTR_INT))
            continue;
        names[n] = a->name;
        vars[n++] = norni_scalar_const(c->g, dtype,
                                       a->kind == NORNI_ATTR_FLOAT ? (double)*(const float *)p
                                                                   : (double)*(const int64_t *)p);
    }
    for (int i = 0; i < c->node->n_in; i++)
        if (c->want[i] && op->grad_formulas[i])
            c->dx[i] = norni_formula(c->g, op->grad_formulas[i], n, names, vars);
}

static norn_status walk_back(walk *w, size_t last);

norn_status norni_grad_between(norn_graph *g, size_t first, int n_y, norn_value *const *y,
                               norn_value *const *dy, int n_x, norn_value *const *x, norn_value **dx) {
    walk w;
    norn_status s = start(&w, g, first, (size_t)n_x, x);
    for (int k = 0; k < n_y && s == NORN_OK; k++)
        if (y[k] && dy[k] && (size_t)y[k]->id < w.n)
            accumulate(&w, y[k], dy[k]);
    if (s == NORN_OK)
        s = walk_back(&w, g->nodes.n);
    for (int i = 0; i < n_x && s == NORN_OK; i++)
        dx[i] = x[i] ? w.dy[x[i]->id] : NULL;
    end(&w);
    return s;
}

/* An operator without a rule of its own: through the simpler operators it stands for. */
static norn_status through_expansion(norni_grad *c) {
    norn_graph *g = c->g;
    norn_value *out[32] = {0};
    size_t first = g->nodes.n;
    NORNI_TRY(c->node->op->expand(g, c->node, out));
    NORNI_TRY(norn_graph_status(g));
    norn_status s =
        norni_grad_between(g, first, c->node->n_out, out, c->dy, c->node->n_in, c->node->in, c->dx);
    for (int i = 0; i < c->node->n_in; i++)
        if (!c->want[i])
            c->dx[i] = NULL;
    /* An input that stands twice gets its whole gradient once. */
    for (int i = 0; i < c->node->n_in; i++)
        for (int k = 0; k < i; k++)
            if (c->node->in[i] == c->node->in[k] && c->dx[k])
                c->dx[i] = NULL;
    return s;
}

static norn_status apply_rule(norni_grad *c) {
    const norn_op *op = c->node->op;
    if (op->grad)
        op->grad(c);
    else if (op->grad_formulas)
        formula_rule(c);
    else if (op == &norni_op_Loop && !norni_control_unrolls(c->node))
        NORNI_TRY(norni_grad_loop(c));
    else if (op->expand)
        NORNI_TRY(through_expansion(c));
    else
        return norni_fail(NORN_UNSUPPORTED, "%s has no gradient",
                          op == &norni_op_unknown ? c->node->type : op->name);
    for (int i = 0; c->node->guard && i < c->node->n_in; i++)
        if (c->dx[i] && c->dx[i]->producer)
            c->dx[i]->producer->guard = true;
    return norn_graph_status(c->g);
}

static norn_status differentiate(walk *w, norn_node *node) {
    norn_graph *g = w->g;
    norn_value **dy = norni_arena_array(g->arena, (size_t)node->n_out, sizeof *dy);
    norn_value **dx = norni_arena_array(g->arena, (size_t)node->n_in, sizeof *dx);
    bool *want = norni_arena_array(g->arena, (size_t)node->n_in, sizeof *want), any_dy = false,
         any_want = false;
    if (!dy || !dx || !want)
        return norni_nomem();
    for (int k = 0; k < node->n_out; k++) {
        dy[k] = node->out[k] && (size_t)node->out[k]->id < w->n ? w->dy[node->out[k]->id] : NULL;
        any_dy |= dy[k] != NULL;
    }
    for (int i = 0; i < node->n_in; i++) {
        const norni_param *p = norni_op_input(node->op, i);
        want[i] = node->in[i] && w->depends[node->in[i]->id] && !(p && p->flags & NORNI_NODIFF) &&
                  norni_dtype_is_float(node->in[i]->type.dtype);
        any_want |= want[i];
    }
    if (!any_dy || !any_want)
        return NORN_OK;
    norni_grad c = {.g = g, .node = node, .dy = dy, .dx = dx, .want = want};
    NORNI_TRY(apply_rule(&c));
    for (int i = 0; i < node->n_in; i++)
        if (want[i] && dx[i]) {
            norn_value *fitted = fit(g, dx[i], node->in[i]);
            if (!fitted)
                return norn_graph_status(g);
            accumulate(w, node->in[i], fitted);
        }
    return norn_graph_status(g);
}

/* Differentiates the nodes first .. last - 1, the last one first. The graph grows behind them meanwhile. */
static norn_status walk_back(walk *w, size_t last) {
    for (size_t i = last; i-- > w->first;) {
        norn_node *node = w->g->nodes.v[i];
        norn_status s = differentiate(w, node);
        if (s != NORN_OK) {
            norni_str line = {0};
            norni_node_print(&line, node);
            s = node->name ? norni_prefix(s, "gradient of node '%s' %s", node->name, line.s ? line.s : "")
                           : norni_prefix(s, "gradient of %s", line.s ? line.s : "");
            norni_str_free(&line);
            return s;
        }
    }
    return NORN_OK;
}

void norni_no_gradient(norni_grad *c) {
    (void)c;
}

static norn_value *filled(norn_graph *g, norn_value *like, double v) {
    norn_value *scalar = norni_scalar_const(g, like->type.dtype, v);
    return like->type.rank == 0 ? scalar : NORNI_OP2(g, scalar, norni_shape_value(g, like), "Expand");
}

norn_status norn_grad(norn_graph *g, norn_value *y, norn_value *dy, size_t n, norn_value *const *x,
                      norn_value **dx) {
    for (size_t i = 0; i < n; i++)
        dx[i] = NULL;
    NORNI_TRY(norn_graph_status(g));
    if (!y)
        return norni_fail(NORN_ARG, "gradient: got no value to differentiate");
    for (size_t i = 0; i < n; i++)
        if (!x[i] || !norni_dtype_is_float(x[i]->type.dtype))
            return norni_fail(
                NORN_DTYPE, "gradient with respect to '%s': got type %s (wanted a floating-point one)",
                x[i] && x[i]->name ? x[i]->name : "", x[i] ? norni_dtype_name(x[i]->type.dtype) : "nothing");
    if (dy && (dy->type.dtype != y->type.dtype || dy->type.rank != y->type.rank))
        return norni_fail(NORN_SHAPE, "gradient: dy has another type than y");
    if (dy && !norni_type_equal(&dy->type, &y->type) && !norni_type_static(&y->type))
        dy = NORNI_OP2(g, dy, NORNI_OP1(g, y, "Shape"),
                       "Reshape"); /* sizes that data decide have the names of y */
    walk w;
    norn_status s = start(&w, g, 0, n, x);
    if (s == NORN_OK && (size_t)y->id < w.n) {
        size_t last = g->nodes.n;
        w.dy[y->id] = dy ? dy : filled(g, y, 1);
        s = w.depends[y->id] ? walk_back(&w, last) : norn_graph_status(g);
    }
    for (size_t i = 0; i < n && s == NORN_OK; i++) {
        norn_value *d = (size_t)x[i]->id < w.n ? w.dy[x[i]->id] : NULL;
        dx[i] = d ? d : filled(g, x[i], 0);
        s = norn_graph_status(g);
    }
    for (size_t i = 0; i < n && s != NORN_OK; i++)
        dx[i] = NULL;
    end(&w);
    return s;
}
