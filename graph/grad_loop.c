/* SPDX-License-Identifier: Apache-2.0 */
/* The gradient of a Loop that cannot be written out, as two loops. The first is the loop again, which also keeps what each
 * iteration starts from: scanned outputs kept[0 .. n). The second goes through these from the last to the first:
 *
 *     j = 0 .. n - 1, k = n - 1 - j:   v, i = kept[k];   dv, dc += gradient of body(i, v, c) for dv and d scanned[k]
 *
 * where v is carried, and c is what the body reads from outside. Both are ordinary nodes, which can be differentiated
 * again. */
#include "graph/grad.h"
#include "graph/graph.h"
#include "ops/control.h"
#include <stdio.h>

enum { MOST = 24 }; /* values of a kind */

typedef struct {
    norni_grad *c;
    const norn_graph *body;
    int carried, outs, captured, formal; /* outs: scanned ones */
    /* Of the second loop: which are carried (dv of floats, dc of what is wanted), which outputs have a gradient. */
    int dv[MOST], n_dv, dc[MOST], n_dc, ds[MOST], n_ds;
} loop;

static norn_value *copy(norn_graph *g, norn_value *v) {
    return NORNI_OP1(g, v, "Identity");
}

/* v, which has the shape of `like`, with what is known of it: sizes that data decide have the names of those. */
static norn_value *shaped(norn_graph *g, norn_value *v, norn_value *like) {
    return !v || !like || norni_shape_equal(&v->type, &like->type)
               ? v
               : NORNI_OP2(g, v, norni_shape_value(g, like), "Reshape<allowzero=1>");
}

static bool is_float(const norn_value *v) {
    return v && norni_dtype_is_float(v->type.dtype);
}

static norn_value *input(norn_graph *g, const char *kind, int i, const norni_type *like) {
    char name[40];
    norni_type t = *like;
    snprintf(name, sizeof name, "%s_%d", kind, i);
    for (int k = 0; k < t.rank; k++) /* what another graph calls its sizes says nothing here */
        if (t.dims[k] < 0)
            t.dims[k] = norni_dim_fresh(g);
    return norni_value_input(g, name, &t);
}

static void output(norn_graph *g, const char *kind, int i, norn_value *v) {
    char name[40];
    snprintf(name, sizeof name, "%s_%d", kind, i);
    norn_status s = v ? norn_graph_output(g, name, v) : norn_graph_status(g);
    if (s != NORN_OK)
        norni_graph_failed(g, s);
}

/* A Loop over a body that is given away. */
static norn_node *apply_loop(norn_graph *g, norn_graph *body, int n_in, norn_value **in, int captured,
                             unsigned wanted) {
    norni_subgraph *sub;
    if (norn_graph_status(body) != NORN_OK) {
        norni_graph_failed(g, norn_graph_status(body));
        norn_graph_free(body);
        return NULL;
    }
    norn_status s = norni_subgraph_new(body, &sub);
    if (s != NORN_OK)
        return norni_graph_failed(g, s);
    norni_control_attrs at = {.body = sub, .captured = captured};
    norn_node *n = norni_apply(g, &norni_op_Loop, &at, n_in, in, wanted);
    norni_subgraph_free(sub);
    return n;
}

/* ---- The loop again. kept: the number of each iteration, then what is carried into it. */
static norn_status forward(loop *l, norn_value **kept) {
    norn_graph *g = l->c->g, *b;
    const norn_node *node = l->c->node;
    norn_value *in[3 * MOST], *out[3 * MOST], *args[3 * MOST];
    int n = 0;
    NORNI_TRY(norn_graph_new("forward", &b));
    for (size_t i = 0; i < l->body->inputs.n; i++)
        in[i] = input(b, "in", (int)i, &l->body->inputs.v[i]->type);
    norn_status s = norn_graph_status(b);
    if (s == NORN_OK)
        s = norni_inline(b, l->body, in, out);
    if (s != NORN_OK) {
        norn_graph_free(b);
        return s;
    }
    for (size_t k = 0; k < (size_t)l->carried + 1; k++)
        output(b, "out", (int)k, copy(b, out[k]));
    output(b, "kept", 0, copy(b, in[0]));
    for (int k = 0; k < l->carried; k++)
        output(b, "kept", 1 + k, copy(b, in[2 + k]));
    for (; n < node->n_in; n++)
        args[n] = node->in[n] ? node->in[n] : NORNI_NONE;
    norn_node *made = apply_loop(g, b, n, args, l->captured, (1u << (2 * l->carried + 1)) - 1);
    for (int k = 0; made && k < l->carried + 1; k++)
        kept[k] = made->out[l->carried + k];
    return norn_graph_status(g);
}

/* ---- Back. */
static norn_status back_body(loop *l, norn_graph *b, norn_value *const *kept) {
    norn_value *j = input(b, "j", 0, &l->body->inputs.v[0]->type),
               *cond = input(b, "cond", 0, &l->body->inputs.v[1]->type), *dv[MOST], *dc[MOST], *ds[MOST],
               *in[3 * MOST], *out[3 * MOST], *x[3 * MOST], *dx[3 * MOST], *y[3 * MOST], *dy[3 * MOST];
    norni_type last_type = {.dtype = NORN_I64, .rank = 0};
    int n_x = 0, n_y = 0;
    for (int i = 0; i < l->n_dv; i++)
        dv[i] = input(b, "dv", i, &l->body->inputs.v[2 + l->dv[i]]->type);
    for (int i = 0; i < l->n_dc; i++)
        dc[i] = input(b, "dc", i, &l->body->inputs.v[l->formal + l->dc[i]]->type);
    norn_value *last = input(b, "last", 0, &last_type), *k = NORNI_OP2(b, last, j, "Sub");
    for (int i = 0; i < l->carried + 1; i++)
        in[i ? 1 + i : 0] = NORNI_OP2(b, input(b, "kept", i, &kept[i]->type), k, "Gather<axis=0>");
    in[1] = norni_scalar_const(b, NORN_BOOL, 1);
    for (int i = 0; i < l->n_ds; i++)
        ds[i] = NORNI_OP2(b, input(b, "ds", i, &l->c->dy[l->carried + l->ds[i]]->type), k, "Gather<axis=0>");
    for (int i = 0; i < l->captured; i++)
        in[l->formal + i] = input(b, "outer", i, &l->body->inputs.v[l->formal + i]->type);
    NORNI_TRY(norn_graph_status(b));
    /* By values of their own, so that one that is read twice is told apart. */
    for (int i = 0; i < l->n_dv; i++)
        in[2 + l->dv[i]] = x[n_x++] = copy(b, in[2 + l->dv[i]]);
    for (int i = 0; i < l->n_dc; i++)
        in[l->formal + l->dc[i]] = x[n_x++] = copy(b, in[l->formal + l->dc[i]]);
    size_t first = b->nodes.n;
    NORNI_TRY(norni_inline(b, l->body, in, out));
    for (int i = 0; i < l->n_dv; i++, n_y++) {
        y[n_y] = copy(b, out[1 + l->dv[i]]);
        dy[n_y] = shaped(b, dv[i], y[n_y]);
    }
    for (int i = 0; i < l->n_ds; i++, n_y++) {
        y[n_y] = copy(b, out[1 + l->carried + l->ds[i]]);
        dy[n_y] = shaped(b, ds[i], y[n_y]);
    }
    NORNI_TRY(norn_graph_status(b));
    NORNI_TRY(norni_grad_between(b, first, n_y, y, dy, n_x, x, dx));
    output(b, "go", 0, copy(b, cond));
    for (int i = 0; i < n_x; i++) {
        norn_value *d = dx[i];
        if (i < l->n_dv)
            d = d ? d : NORNI_OP2(b, x[i], norni_scalar_const(b, x[i]->type.dtype, 0), "Mul");
        else
            d = d ? NORNI_OP2(b, shaped(b, dc[i - l->n_dv], d), d, "Add") : dc[i - l->n_dv];
        output(b, "next", i, copy(b, d));
    }
    return norn_graph_status(b);
}

static norn_value *zeros(norn_graph *g, norn_value *like) {
    return norni_zeros(g, like->type.dtype, norni_shape_value(g, like));
}

norn_status norni_grad_loop(norni_grad *c) {
    const norn_node *node = c->node;
    norn_graph *g = c->g, *b;
    loop l = {.c = c,
              .body = norni_control_of(node)->body->graph,
              .captured = (int)norni_control_of(node)->captured};
    int own = norni_control_own(node), n = 0;
    l.carried = own > 2 ? own - 2 : 0;
    l.formal = l.carried + 2;
    l.outs = (int)l.body->outputs.n - 1 - l.carried;
    if (2 * l.carried + 1 > MOST || l.captured > MOST || l.outs > MOST)
        return norni_fail(NORN_UNSUPPORTED, "it has more than %d values", MOST);
    for (int i = 0; i < l.carried; i++)
        if (is_float(node->in[2 + i]))
            l.dv[l.n_dv++] = i;
    for (int i = 0; i < l.captured; i++)
        if (c->want[own + i])
            l.dc[l.n_dc++] = i;
    for (int i = 0; i < l.outs; i++)
        if (l.carried + i < node->n_out && c->dy[l.carried + i])
            l.ds[l.n_ds++] = i;
    int moving = l.n_dv + l.n_dc; /* outputs of the second loop, a bit each */
    if (moving > 31)
        return norni_fail(NORN_UNSUPPORTED, "it has gradients of %d values (at most 31)", moving);
    norn_value *kept[MOST], *in[6 * MOST];
    NORNI_TRY(forward(&l, kept));
    norn_value *none = norni_i64_const(g, 0, NULL);
    norn_value *count = NORNI_OP2(g, norni_size_value(g, kept[0], 0), none, "Reshape");
    in[n++] = count;
    in[n++] = NORNI_NONE;
    for (int i = 0; i < l.n_dv; i++) {
        norn_value *d = l.dv[i] < node->n_out ? c->dy[l.dv[i]] : NULL;
        in[n++] = d ? d : zeros(g, node->in[2 + l.dv[i]]);
    }
    for (int i = 0; i < l.n_dc; i++)
        in[n++] = zeros(g, node->in[own + l.dc[i]]);
    in[n++] = NORNI_OP2(g, count, norni_scalar_const(g, NORN_I64, 1), "Sub");
    for (int i = 0; i < l.carried + 1; i++)
        in[n++] = kept[i];
    for (int i = 0; i < l.n_ds; i++)
        in[n++] = c->dy[l.carried + l.ds[i]];
    for (int i = 0; i < l.captured; i++)
        in[n++] = node->in[own + i] ? node->in[own + i] : NORNI_NONE;
    NORNI_TRY(norn_graph_status(g));
    NORNI_TRY(norn_graph_new("back", &b));
    norn_status s = back_body(&l, b, kept);
    if (s != NORN_OK) {
        norn_graph_free(b);
        return norni_prefix(s, "body");
    }
    norn_node *made = apply_loop(g, b, n, in, n - 2 - moving, (1u << moving) - 1);
    for (int i = 0; made && i < l.n_dv; i++)
        if (c->want[2 + l.dv[i]])
            c->dx[2 + l.dv[i]] = shaped(g, made->out[i], node->in[2 + l.dv[i]]);
    for (int i = 0; made && i < l.n_dc; i++)
        c->dx[own + l.dc[i]] = shaped(g, made->out[l.n_dv + i], node->in[own + l.dc[i]]);
    return norn_graph_status(g);
}
