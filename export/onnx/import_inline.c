/* SPDX-License-Identifier: Apache-2.0 */
/* Subgraphs that become nodes around them (import_unroll.c has more users), and FlexAttention, which has two. Source: ONNX
 * FlexAttention-1 of ai.onnx.preview. */
#include "export/onnx/import.h"
#include <math.h>
#include <string.h>

norni_item norni_scope_item(const norni_scope *sc, const char *name) {
    norni_name *value = *name ? norni_table_find(&sc->values, name) : NULL,
               *list = *name ? norni_table_find(&sc->lists, name) : NULL;
    return (norni_item){value ? value->p : NULL, list ? list->p : NULL};
}

static norn_status bind(norni_scope *sub, const char *name, const norni_item *item) {
    norni_name *value = norni_table_add(&sub->values, name, NULL);
    if (!value)
        return norni_nomem();
    value->p = item->v;
    norni_name *list = item->list ? norni_table_add(&sub->lists, name, NULL) : NULL;
    if (list)
        list->p = item->list;
    return !item->list || list ? NORN_OK : norni_nomem();
}

static norn_status fill(norni_scope *sub, const norni_pb_graph *p, const norni_scope *around, size_t n_in,
                        const norni_item *in, const norni_captures *captures, norni_item *out) {
    NORNI_TRY(norni_scope_declare(sub, p));
    for (size_t i = 0; i < captures->n; i++) {
        norni_item item = norni_scope_item(around, captures->v[i]);
        NORNI_TRY(bind(sub, captures->v[i], &item));
    }
    if (p->n_input != n_in)
        return norni_fail(NORN_PARSE, "%zu inputs (it is given %zu)", p->n_input, n_in);
    for (size_t i = 0; i < n_in; i++)
        NORNI_TRY(bind(sub, norni_pb_text(p->input[i]->name), &in[i]));
    for (size_t i = 0; i < p->n_initializer; i++)
        NORNI_TRY(norni_import_initializer(sub, p->initializer[i], NULL));
    for (size_t i = 0; i < p->n_sparse_initializer; i++)
        NORNI_TRY(norni_import_initializer(sub, p->sparse_initializer[i]->values, p->sparse_initializer[i]));
    NORNI_TRY(norni_scope_nodes(sub, p->n_node, p->node));
    for (size_t i = 0; i < p->n_output; i++) {
        const char *name = norni_pb_text(p->output[i]->name);
        if (!norni_table_find(&sub->values, name))
            return norni_fail(NORN_PARSE, "output '%s': nothing makes it", name);
        out[i] = norni_scope_item(sub, name);
    }
    return norn_graph_status(sub->imp->g);
}

norn_status norni_import_count(norni_importer *imp, size_t nodes) {
    if (nodes > NORNI_FUNCTION_NODES - imp->function_nodes)
        return norni_fail(NORN_UNSUPPORTED, "functions and subgraphs add more than %d nodes (norn's limit)",
                          NORNI_FUNCTION_NODES);
    imp->function_nodes += nodes;
    return NORN_OK;
}

norn_status norni_import_body(norni_scope *sc, const norni_pb_graph *p, const char *prefix, size_t n_in,
                              const norni_item *in, const norni_captures *captures, norni_item *out) {
    norni_scope sub = {.imp = sc->imp,
                       .n_opsets = sc->n_opsets,
                       .opsets = sc->opsets,
                       .prefix = prefix,
                       .function = sc->function,
                       .n_given = sc->n_given,
                       .given = sc->given,
                       .depth = sc->depth + 1};
    if (sub.depth > NORNI_FUNCTION_DEPTH)
        return norni_fail(NORN_UNSUPPORTED, "subgraphs nest deeper than %d (norn's limit)",
                          NORNI_FUNCTION_DEPTH);
    NORNI_TRY(norni_import_count(sc->imp, p->n_node + 1));
    norn_status s = fill(&sub, p, sc, n_in, in, captures, out);
    for (size_t i = 0; i < sub.list_nodes.n && s == NORN_OK; i++) /* what is around may still read them */
        s = NORNI_PUSH(&sc->list_nodes, sub.list_nodes.v[i]) ? NORN_OK : norni_nomem();
    norni_vec_free(&sub.list_nodes);
    norni_table_free(&sub.lists);
    norni_table_free(&sub.values);
    norni_table_free(&sub.declared);
    norni_table_free(&sub.outputs);
    return norni_prefix(s, "subgraph '%s'", norni_pb_text(p->name));
}

static const norni_pb_attr *attr_of(norni_scope *sc, const norni_pb_node *n, const char *name) {
    for (size_t i = 0; i < n->n_attribute; i++) {
        const norni_pb_attr *a = norni_scope_attr(sc, n->attribute[i]);
        if (a && !strcmp(norni_pb_text(a->name), name))
            return a;
    }
    return NULL;
}

/* Of names of what a subgraph makes: from the node's, or its first output's. */
static const char *prefix_of(norni_scope *sc, const norni_pb_node *n, const char *part) {
    const char *call = *norni_pb_text(n->name) ? n->name : n->n_output ? n->output[0] : "";
    return norni_arena_printf(sc->imp->scratch, "%s%s/%s/", sc->prefix, call, part);
}

/* ---- FlexAttention: softmax of the changed scores, changed, times V. */

/* What a subgraph makes of x. */
static norn_value *changed(norni_scope *sc, const norni_pb_node *n, const norni_captures *captures,
                           const char *name, norn_value *x) {
    norn_graph *g = sc->imp->g;
    const norni_pb_attr *a = attr_of(sc, n, name);
    norni_item in = {x, NULL}, out = {0};
    const char *prefix = prefix_of(sc, n, name);
    if (!a || !x)
        return x;
    if (!a->g || a->g->n_output != 1)
        return norni_graph_failed(
            g, norni_fail(NORN_PARSE, "attribute '%s' (wanted a graph with one output)", name));
    norn_status s = prefix ? norni_import_body(sc, a->g, prefix, 1, &in, captures, &out) : norni_nomem();
    if (s == NORN_OK && (!out.v || out.v->type.dtype != x->type.dtype))
        s = norni_fail(NORN_DTYPE, "attribute '%s' makes another type than it gets (%s)", name,
                       norni_dtype_name(x->type.dtype));
    return s == NORN_OK ? out.v : norni_graph_failed(g, s);
}

/* Each head of x as often as it has query heads. */
static norn_value *heads(norn_graph *g, norn_value *q, norn_value *x) {
    norni_dim d[5];
    if (!x || !q || x->type.dims[1] == q->type.dims[1])
        return x;
    int64_t of_q = q->type.dims[1], of_x = x->type.dims[1];
    if (of_q < 0 || of_x < 1 || of_q % of_x)
        return norni_graph_failed(g, norni_fail(NORN_SHAPE, "%lld query heads (wanted a multiple of %lld)",
                                                (long long)of_q, (long long)of_x));
    memcpy(d, x->type.dims, sizeof d);
    norn_value *axis = norni_i64_const(g, 1, (int64_t[]){2});
    norn_value *repeat = norni_i64_const(g, 5, (int64_t[]){1, 1, of_q / of_x, 1, 1});
    norn_value *wide = NORNI_OP2(g, NORNI_OP2(g, x, axis, "Unsqueeze"), repeat, "Expand");
    norn_value *shape = NORNI_OP3(g, norni_size_value(g, x, 0), norni_i64_const(g, 1, &of_q),
                                  norni_i64_const(g, 1, (int64_t[]){-1}), "Concat<axis=0>");
    shape = NORNI_OP2(g, shape, norni_size_value(g, x, 3), "Concat<axis=0>");
    return NORNI_OP2(g, wide, shape, "Reshape");
}

norn_status norni_import_flex_attention(norni_scope *sc, const norni_pb_node *n,
                                        const norni_captures *captures, norn_value **out) {
    norn_graph *g = sc->imp->g;
    const norni_pb_attr *given = attr_of(sc, n, "scale"), *precision = attr_of(sc, n, "softmax_precision");
    norn_value *x[3];
    for (size_t i = 0; i < 3; i++) {
        x[i] = i < n->n_input ? norni_scope_item(sc, n->input[i]).v : NULL;
        if (!x[i] || x[i]->type.dtype == NORN_UNDEFINED)
            return norni_fail(NORN_ARG, "input %zu is no tensor", i);
        if (x[i]->type.rank != 4)
            return norni_fail(NORN_SHAPE, "input %zu has rank %d (wanted 4)", i, x[i]->type.rank);
        if (norni_dtype_class(x[i]->type.dtype) != NORNI_CLASS_FLOAT || x[i]->type.dtype != x[0]->type.dtype)
            return norni_fail(NORN_DTYPE, "input %zu has type %s (wanted one type of floats)", i,
                              norni_dtype_name(x[i]->type.dtype));
    }
    norn_dtype t = x[0]->type.dtype, inner = t == NORN_F64 ? NORN_F64 : NORN_F32;
    if (precision && precision->i != NORN_F32 && precision->i != NORN_F64 && precision->i != NORN_F16 &&
        precision->i != NORN_BF16)
        return norni_fail(NORN_ARG, "softmax_precision is %lld (wanted a type of floats)",
                          (long long)precision->i);
    if (precision)
        inner = (norn_dtype)precision->i;
    if (!given && x[0]->type.dims[3] < 1)
        return norni_fail(NORN_UNSUPPORTED, "head_size is not known, and scale is not given");
    double scale = given ? (double)given->f : 1 / sqrt((double)x[0]->type.dims[3]);
    norn_value *root = norni_scalar_const(g, t, sqrt(scale));
    norn_value *q = NORNI_OP2(g, x[0], root, "Mul"), *k = NORNI_OP2(g, heads(g, x[0], x[1]), root, "Mul");
    norn_value *scores = norni_cast(g, norni_matmul_t(g, q, false, k, true), inner);
    norn_value *p = NORNI_OP1(g, changed(sc, n, captures, "score_mod", scores), "Softmax<axis=3>");
    p = changed(sc, n, captures, "prob_mod", p);
    norn_value *v = norni_cast(g, heads(g, x[0], x[2]), inner);
    *out = norni_cast(g, NORNI_OP2(g, p, v, "MatMul"), t);
    return norn_graph_status(g);
}
