/* SPDX-License-Identifier: Apache-2.0 */
/* The first half of an inverted residual becomes norn.ConvPair, which does not keep what lies between, several times as
 * large as the input:
 *
 *     Conv(f(Conv(x, w1, b1)), w2, b2),   w1 1 x 1, w2 a kernel for each channel, f pointwise
 *
 * Nobody else may read what is between. */
#include "graph/pass/optimize.h"
#include "ops/conv_pair.h"
#include <math.h>
#include <string.h>

enum { MAX_BETWEEN = 12, MAX_TERMS = 24 };

typedef struct {
    const norn_node *first;
    const norn_node *between[MAX_BETWEEN];
    int n;
    const char *f; /* NULL: nothing is between */
} pair;

static bool one_number(const norn_value *v, double *x) {
    if (v->kind != NORNI_CONST || norni_type_elems(&v->type) != 1)
        return false;
    *x = norni_get_double(v->data->dtype, norni_tensor_data(v->data), 0);
    return true;
}

static bool is_point(const norn_node *n, norni_conv *v) {
    if (!norni_node_is(n, "Conv") || n->in[0]->type.rank != 4)
        return false;
    norni_conv_of(n, v);
    return v->group == 1 && norni_window_point(&v->w);
}

/* The formula of v over the result of p->first, which it finds; NULL: there is none. */
static const norni_expr *formula_of(norni_arena *arena, const norn_value *v, pair *p) {
    norni_conv conv;
    double number;
    if (one_number(v, &number))
        return norni_expr_const(arena, number);
    const norn_node *n = v->kind == NORNI_RESULT ? v->producer : NULL;
    if (!n)
        return NULL;
    if (is_point(n, &conv)) {
        const norni_expr *x;
        if (p->first && p->first != n)
            return NULL;
        p->first = n;
        return norni_expr_parse(arena, "x", 1, (const char *[]){"x"}, &x) == NORN_OK ? x : NULL;
    }
    if (!norni_op_pointwise(n->op) || n->op->channel_from || n->n_in > 8)
        return NULL;
    int i = 0;
    while (i < p->n && p->between[i] != n)
        i++;
    if (i == MAX_BETWEEN)
        return NULL;
    p->between[i] = n;
    p->n = i == p->n ? i + 1 : p->n;
    const norni_expr *with[8] = {0}, *f;
    for (int k = 0; k < n->n_in; k++)
        if (n->in[k] && !(with[k] = formula_of(arena, n->in[k], p)))
            return NULL;
    if (norni_node_formula(n, arena, &f) != NORN_OK)
        return NULL;
    f = norni_expr_replace(arena, f, with);
    return f && norni_expr_count(f) <= MAX_TERMS ? f : NULL;
}

/* All who read v are among the nodes between, or the second convolution. */
static bool stays_between(const pair *p, const norn_node *second, const norn_value *v, const int *uses) {
    int reads = 0;
    for (int i = 0; i <= p->n; i++) {
        const norn_node *n = i < p->n ? p->between[i] : second;
        for (int k = 0; k < n->n_in; k++)
            reads += n->in[k] == v;
    }
    return reads == uses[v->id];
}

static bool find_pair(norni_arena *arena, const norn_node *node, const int *uses, pair *p) {
    norni_conv a, b;
    const norni_expr *f, *again;
    *p = (pair){0};
    if (!norni_node_is(node, "Conv") || node->in[0]->type.rank != 4)
        return false;
    for (int i = 0; i < node->n_in; i++)
        if (node->in[i] && !norni_type_static(&node->in[i]->type))
            return false;
    norni_conv_of(node, &b);
    if (b.group < 2 || b.c != 1 || b.m != 1 || !(f = formula_of(arena, node->in[0], p)) || !p->first)
        return false;
    const norni_type *e = &node->in[0]->type;
    for (int i = -1; i < p->n; i++) {
        const norn_value *v = i < 0 ? p->first->out[0] : p->between[i]->out[0];
        if (!norni_type_equal(&v->type, e) || !stays_between(p, node, v, uses))
            return false;
    }
    norni_conv_of(p->first, &a);
    if (!norni_type_static(&p->first->in[0]->type) || !norni_blockable(&p->first->in[0]->type) ||
        !norni_blockable(&node->out[0]->type) || norni_conv_pair_formula(f) || !norni_conv_pair_pays(&a, &b))
        return false;
    if (f->op == NORNI_E_VAR)
        return true;
    norni_str text = {0};
    norni_expr_print(&text, f, (const char *[]){"x"});
    p->f = text.failed ? NULL : norni_arena_strdup(arena, text.s);
    norni_str_free(&text);
    return p->f && norni_expr_parse(arena, p->f, 1, (const char *[]){"x"}, &again) == NORN_OK;
}

typedef struct {
    norni_arena *arena;
    int *uses;
} fusing;

static norn_status fuse(norni_rebuild *r, const norn_node *node, norn_value **in, bool *done) {
    const fusing *x = r->ctx;
    pair p;
    if (!find_pair(x->arena, node, x->uses, &p))
        return NORN_OK;
    norn_graph *g = r->to;
    const norn_node *first = p.first;
    norni_conv_pair_attrs a = {.window = ((const norni_conv_attrs *)node->attrs)->window, .f = p.f};
    bool b1 = first->n_in > 2 && first->in[2], b2 = node->n_in > 2 && node->in[2];
    norn_value *args[] = {[NORNI_PAIR_X] = r->map[first->in[0]->id],
                          [NORNI_PAIR_W1] = r->map[first->in[1]->id],
                          [NORNI_PAIR_W2] = in[1],
                          [NORNI_PAIR_B1] = b1 ? r->map[first->in[2]->id] : NORNI_NONE,
                          [NORNI_PAIR_B2] = b2 ? in[2] : NORNI_NONE};
    norn_node *made = norni_apply(g, norni_op_find("norn", "ConvPair"), &a, b2 ? 5 : b1 ? 4 : 3, args, 1);
    if (!made)
        return norn_graph_status(g);
    made->name = node->name ? norni_arena_strdup(g->arena, node->name) : NULL;
    r->map[node->out[0]->id] = made->out[0];
    *done = true;
    return norn_graph_status(g);
}

norn_status norni_graph_fuse_convs(norn_graph **g) {
    fusing x = {norni_arena_new(0), norni_graph_uses(*g)};
    norn_status s = x.arena && x.uses ? NORN_OK : norni_nomem();
    bool any = false;
    pair p;
    for (size_t i = 0; s == NORN_OK && i < (*g)->nodes.n && !any; i++)
        any = find_pair(x.arena, (*g)->nodes.v[i], x.uses, &p);
    for (int round = 0; round < 2 && any && s == NORN_OK; round++) { /* the second drops what nobody reads */
        norni_rebuild r = {.from = *g, .merge = true, .rewrite = round ? NULL : fuse, .ctx = &x};
        s = norni_rebuild_run(&r);
        if (s == NORN_OK) {
            norn_graph_free(*g);
            *g = r.to;
        }
    }
    norni_arena_free(x.arena);
    norni_free(x.uses);
    return s;
}
