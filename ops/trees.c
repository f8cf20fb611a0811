/* SPDX-License-Identifier: Apache-2.0 */
/* ai.onnx.ml.TreeEnsembleClassifier and TreeEnsembleRegressor: sums (means, extremes) over decision trees of what the leaves
 * say that a row reaches. Their lists become tables of norn.Trees, which has the kernel. Sources: ONNX TreeEnsemble
 * operators of ai.onnx.ml 3 and their reference implementation. */
#include "ops/ml.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { JOIN_SUM, JOIN_AVERAGE, JOIN_MIN, JOIN_MAX };
static const char *const join_words[] = {"SUM", "AVERAGE", "MIN", "MAX", NULL};
enum { FEATURE, MODE, YES, NO, FIRST, COUNT, NODE };

/* ---- norn.Trees. */
typedef struct {
    int join;
    int64_t targets;
} trees_attrs;
static const norni_attr trees_table[] = {NORNI_A_ENUM(trees_attrs, join, join_words, JOIN_SUM),
                                         NORNI_A_INT(trees_attrs, targets, 1, .lo = 1, .hi = INT32_MAX),
                                         NORNI_A_END};
enum { X, NODES, VALUE, ROOT, TARGET, WEIGHT };

static norn_status infer_trees(norni_infer *c) {
    norni_type y = {.dtype = norni_in_type(c, WEIGHT)->dtype, .rank = 2};
    if (!norni_in_ranked(c, 1))
        return NORN_OK;
    if (norni_in_type(c, X)->rank != 2)
        return norni_fail(NORN_SHAPE, "x has rank %d (wanted 2)", norni_in_type(c, X)->rank);
    y.dims[0] = norni_in_type(c, X)->dims[0];
    y.dims[1] = ((const trees_attrs *)c->attrs)->targets;
    c->out[0] = y;
    return NORN_OK;
}

/* Children come after their parents, so that every walk ends; everything is within its table. */
static norn_status check_trees(const norn_node *node, int i, const norn_tensor *t) {
    int64_t n = node->in[NODES]->type.dims[0], features = node->in[X]->type.dims[1],
            weights = norni_type_elems(&node->in[TARGET]->type);
    const int32_t *v = norni_tensor_data(t);
    if (i == NODES)
        for (int64_t k = 0; k < n; k++, v += NODE) {
            bool leaf = v[MODE] == 0;
            if (!leaf && (v[FEATURE] < 0 || v[FEATURE] >= features))
                return norni_fail(NORN_ARG, "node %lld tests feature %d (x has %lld)", (long long)k,
                                  (int)v[FEATURE], (long long)features);
            if (v[MODE] < 0 || v[MODE] > 14 ||
                (!leaf && (v[YES] <= k || v[YES] >= n || v[NO] <= k || v[NO] >= n)))
                return norni_fail(NORN_ARG, "node %lld has mode %d, children %d and %d", (long long)k,
                                  (int)v[MODE], (int)v[YES], (int)v[NO]);
            if (leaf && (v[FIRST] < 0 || v[COUNT] < 0 || (int64_t)v[FIRST] + v[COUNT] > weights))
                return norni_fail(NORN_ARG, "leaf %lld has weights %d to %lld (there are %lld)", (long long)k,
                                  (int)v[FIRST], (long long)v[FIRST] + v[COUNT], (long long)weights);
        }
    int64_t most = i == ROOT ? n : i == TARGET ? ((const trees_attrs *)node->attrs)->targets : -1;
    for (int64_t k = 0; most >= 0 && k < norni_tensor_elems(t); k++)
        if (v[k] < 0 || v[k] >= most)
            return norni_fail(NORN_ARG, "%s %lld is %d (wanted 0 to %lld)", i == ROOT ? "root" : "target",
                              (long long)k, (int)v[k], (long long)most - 1);
    return NORN_OK;
}

static norn_status eval_trees(norni_eval *e) {
    const trees_attrs *a = e->attrs;
    const norn_tensor *x = e->in[X];
    const int32_t *nodes = norni_tensor_data(e->in[NODES]), *root = norni_tensor_data(e->in[ROOT]),
                  *target = norni_tensor_data(e->in[TARGET]);
    const norn_tensor *weight = e->in[WEIGHT];
    norn_tensor *y = e->out[0];
    int64_t n_trees = norni_tensor_elems(e->in[ROOT]), features = x->dims[1];
    double *sum = norni_alloc_array((size_t)a->targets, sizeof *sum);
    if (!sum)
        return norni_nomem();
    for (int64_t r = 0; r < x->dims[0]; r++) {
        for (int64_t t = 0; t < a->targets; t++)
            sum[t] = a->join == JOIN_MIN ? INFINITY : a->join == JOIN_MAX ? -INFINITY : 0;
        for (int64_t k = 0; k < n_trees; k++) {
            int32_t at = root[k];
            const int32_t *node;
            while ((node = nodes + NODE * (int64_t)at)[MODE]) {
                double v = norni_get_double(x->dtype, norni_tensor_data(x), r * features + node[FEATURE]);
                double s = norni_get_double(x->dtype, norni_tensor_data(e->in[VALUE]), at);
                int mode = node[MODE] & 7;
                bool yes = mode == 1   ? v <= s
                           : mode == 2 ? v < s
                           : mode == 3 ? v >= s
                           : mode == 4 ? v > s
                           : mode == 5 ? v == s
                                       : v != s;
                at = node[yes || (isnan(v) && (node[MODE] & 8)) ? YES : NO];
            }
            for (int32_t i = node[FIRST]; i < node[FIRST] + node[COUNT]; i++) {
                double *o = &sum[target[i]],
                       w = norni_get_double(weight->dtype, norni_tensor_data(weight), i);
                *o = a->join == JOIN_MIN ? fmin(*o, w) : a->join == JOIN_MAX ? fmax(*o, w) : *o + w;
            }
        }
        for (int64_t t = 0; t < a->targets; t++)
            norni_set_double(y->dtype, norni_tensor_data(y), r * a->targets + t,
                             a->join == JOIN_AVERAGE                ? sum[t] / (double)n_trees
                             : a->join >= JOIN_MIN && isinf(sum[t]) ? 0
                                                                    : sum[t]);
    }
    norni_free(sum);
    return NORN_OK;
}

static norn_status emit_trees(norni_emit *e) {
    const norn_node *node = e->node;
    const trees_attrs *a = node->attrs;
    const norni_type *x = &node->in[X]->type;
    int64_t rows = x->dims[0], units = e->device->compute_units ? e->device->compute_units : 1;
    int64_t each = norni_device_is_cpu(e->device) ? (rows + units * 4 - 1) / (units * 4) : 1;
    if (!rows)
        return e->status;
    norni_step *s = norni_emit_kernel(e, "trees.cl", "trees", x->dtype);
    norni_step_define(e, s, "JOIN", a->join);
    if (node->in[WEIGHT]->type.dtype == NORN_F64) {
        norni_step_define(e, s, "NORNI_F64", 1);
        norni_step_define_text(e, s, "W", "double");
    }
    for (int i = X; i <= WEIGHT; i++)
        norni_step_buffer(e, s, norni_emit_in(e, i), NORNI_READ);
    norni_step_buffer(e, s, norni_emit_out(e, 0), NORNI_WRITE);
    norni_step_i64(e, s, rows);
    norni_step_i64(e, s, x->dims[1]);
    norni_step_i32(e, s, node->in[ROOT]->type.dims[0]);
    norni_step_i32(e, s, a->targets);
    norni_step_i64(e, s, each);
    norni_step_items(e, s, 1, (rows + each - 1) / each, 1, 1);
    return e->status;
}

static const norni_impl trees_impls[] = {{.name = "rows", .emit = emit_trees}, {0}};
#define FLOATS_X (NORNI_T(NORN_F32) | NORNI_T(NORN_F64))
#define I32S     NORNI_T(NORN_I32)
const norn_op norni_op_Trees = {
    .domain = "norn",
    .name = "Trees",
    .versions = (const int[]){1, 0},
    .doc = "an ensemble of decision trees, by tables",
    .inputs = (const norni_param[]){{"x", NORNI_NODIFF, FLOATS_X, 'T'},
                                    {"nodes", NORNI_NODIFF, I32S, 0},
                                    {"value", NORNI_NODIFF, FLOATS_X, 'T'},
                                    {"root", NORNI_NODIFF, I32S, 0},
                                    {"target", NORNI_NODIFF, I32S, 0},
                                    {"weight", NORNI_NODIFF, FLOATS_X, 'W'},
                                    {0}},
    .outputs = (const norni_param[]){{"y", 0, FLOATS_X, 'W'}, {0}},
    .attrs_bytes = sizeof(trees_attrs),
    .attrs = trees_table,
    .infer = infer_trees,
    .check = check_trees,
    .grad = norni_no_gradient,
    .eval = eval_trees,
    .impls = trees_impls,
    .cases = (const char *const[]){"norn.Trees<targets=2>(float[7,3], int32[3,6]{1,1,1,2,0,0, 0,0,0,0,0,1, "
                                   "0,0,0,0,1,2}, float[3]{0.1,0.0,0.0}, int32[1]{0}, "
                                   "int32[3]{0,0,1}, float[3]{1.5,-2.0,0.25})",
                                   "norn.Trees<join=\"MAX\">(double[5,2], int32[3,6]{1,11,1,2,0,0, "
                                   "0,0,0,0,0,1, 0,0,0,0,1,1}, double[3]{0.1,0.0,0.0}, "
                                   "int32[2]{0,1}, int32[2]{0,0}, float[2]{1.5,-2.0})",
                                   "norn.Trees<join=\"AVERAGE\">(float[5,2], int32[3,6]{1,9,1,2,0,0, "
                                   "0,0,0,0,0,1, 0,0,0,0,1,1}, float[3]{0.1,0.0,0.0}, "
                                   "int32[2]{0,1}, int32[2]{0,0}, double[2]{1.5,-2.0})",
                                   NULL},
};

/* ---- The operators' lists. */
typedef struct {
    norni_ints nodes_treeids, nodes_nodeids, nodes_featureids, nodes_truenodeids, nodes_falsenodeids,
        nodes_missing_value_tracks_true;
    norni_strings nodes_modes, classlabels_strings;
    norni_floats nodes_values, nodes_hitrates, base_values;
    norn_tensor *nodes_values_as_tensor, *nodes_hitrates_as_tensor, *base_values_as_tensor,
        *weights_as_tensor;
    norni_ints treeids, nodeids, ids, classlabels_int64s; /* of the weights: class_ or target_ */
    norni_floats weights;
    int post_transform, aggregate_function;
    int64_t n_targets;
} attrs;
#define LIST(f, kind) NORNI_A(attrs, f, kind, .flags = NORNI_ATTR_OPTIONAL)
#define NAMED(n, f, k)                                                                                       \
    { .name = n, .kind = NORNI_ATTR_##k, .offset = offsetof(attrs, f), .flags = NORNI_ATTR_OPTIONAL }
#define COMMON                                                                                               \
    LIST(nodes_treeids, INTS), LIST(nodes_nodeids, INTS), LIST(nodes_featureids, INTS),                      \
        LIST(nodes_modes, STRINGS), LIST(nodes_values, FLOATS), LIST(nodes_values_as_tensor, TENSOR),        \
        LIST(nodes_hitrates, FLOATS), LIST(nodes_hitrates_as_tensor, TENSOR), LIST(nodes_truenodeids, INTS), \
        LIST(nodes_falsenodeids, INTS), LIST(nodes_missing_value_tracks_true, INTS),                         \
        LIST(base_values, FLOATS), LIST(base_values_as_tensor, TENSOR),                                      \
        NORNI_A_ENUM(attrs, post_transform, norni_post_words, NORNI_POST_NONE)
static const norni_attr classifier_table[] = {COMMON,
                                              NAMED("class_treeids", treeids, INTS),
                                              NAMED("class_nodeids", nodeids, INTS),
                                              NAMED("class_ids", ids, INTS),
                                              NAMED("class_weights", weights, FLOATS),
                                              NAMED("class_weights_as_tensor", weights_as_tensor, TENSOR),
                                              LIST(classlabels_int64s, INTS),
                                              LIST(classlabels_strings, STRINGS),
                                              NORNI_A_END};
static const norni_attr regressor_table[] = {
    COMMON,
    NAMED("target_treeids", treeids, INTS),
    NAMED("target_nodeids", nodeids, INTS),
    NAMED("target_ids", ids, INTS),
    NAMED("target_weights", weights, FLOATS),
    NAMED("target_weights_as_tensor", weights_as_tensor, TENSOR),
    NORNI_A_ENUM(attrs, aggregate_function, join_words, JOIN_SUM),
    NORNI_A(attrs, n_targets, INT, .flags = NORNI_ATTR_OPTIONAL, .lo = 1, .hi = INT32_MAX),
    NORNI_A_END};

static bool regresses(const norn_node *node) {
    return strstr(node->op->name, "Regressor") != NULL;
}
static int64_t targets_of(const attrs *a) {
    return a->n_targets == NORNI_NO_INT ? 1 : a->n_targets;
}
static int64_t count_of(const norni_floats *f, const norn_tensor *t) {
    return t ? norni_tensor_elems(t) : f->n > 0 ? f->n : 0;
}
static double value_at(const norni_floats *f, const norn_tensor *t, int64_t i) {
    return t ? norni_get_double(t->dtype, norni_tensor_data(t), i) : (double)f->v[i];
}
static bool one_class(const attrs *a) {
    for (int i = 1; i < a->ids.n; i++)
        if (a->ids.v[i] != a->ids.v[0])
            return false;
    return true;
}

static norn_status infer(norni_infer *c) {
    const attrs *a = c->attrs;
    norni_type y = {.dtype = NORN_F32, .rank = 2}, label = {.dtype = NORN_I64, .rank = 1};
    norni_dim features = -1;
    int n = a->nodes_nodeids.n, weights = a->ids.n;
    bool regressor = regresses(c->node);
    NORNI_TRY(norni_ml_refuse(&a->classlabels_strings, "classlabels_strings"));
    const int lengths[] = {
        a->nodes_treeids.n,      a->nodes_featureids.n,
        a->nodes_modes.n,        a->nodes_truenodeids.n,
        a->nodes_falsenodeids.n, (int)count_of(&a->nodes_values, a->nodes_values_as_tensor)};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        if (n < 1 || lengths[i] != n)
            return norni_fail(NORN_ARG, "lists of nodes with %d and %d elements (wanted equal, and some)", n,
                              lengths[i]);
    if (weights < 1 || a->treeids.n != weights || a->nodeids.n != weights ||
        count_of(&a->weights, a->weights_as_tensor) != weights)
        return norni_fail(NORN_ARG, "lists of weights of unequal length, or none");
    if (a->nodes_missing_value_tracks_true.n > 0 && a->nodes_missing_value_tracks_true.n != n)
        return norni_fail(NORN_ARG, "nodes_missing_value_tracks_true has %d elements (wanted %d)",
                          a->nodes_missing_value_tracks_true.n, n);
    if (!regressor && a->classlabels_int64s.n < 1)
        return norni_fail(NORN_ARG, "classlabels_int64s is missing or empty");
    int64_t targets = regressor ? targets_of(a) : a->classlabels_int64s.n,
            base = count_of(&a->base_values, a->base_values_as_tensor);
    for (int i = 0; i < weights; i++)
        if (a->ids.v[i] < 0 || a->ids.v[i] >= targets)
            return norni_fail(NORN_ARG, "a weight of target %lld (there are %lld)", (long long)a->ids.v[i],
                              (long long)targets);
    if (base && base != targets && base != 1)
        return norni_fail(NORN_ARG, "%lld base values (wanted %lld)", (long long)base, (long long)targets);
    if (norni_in_type(c, X)->rank < 0)
        return NORN_OK;
    NORNI_TRY(norni_ml_rows(norni_in_type(c, X), &y.dims[0], &features));
    y.dims[1] = !regressor && targets == 1 ? 2 : targets;
    label.dims[0] = y.dims[0];
    c->out[0] = regressor ? y : label;
    if (!regressor)
        c->out[1] = y;
    return NORN_OK;
}

/* Nodes and weights in order of (tree, node), by an index into the lists. */
typedef struct {
    int64_t tree, node;
    int32_t at;
} entry;
static int by_node(const void *p, const void *q) {
    const entry *a = p, *b = q;
    if (a->tree != b->tree)
        return a->tree < b->tree ? -1 : 1;
    if (a->node != b->node)
        return a->node < b->node ? -1 : 1;
    return a->at < b->at ? -1 : a->at > b->at;
}
static entry *sorted(const norni_ints *trees, const norni_ints *nodes) {
    entry *e = norni_alloc_array((size_t)nodes->n + 1, sizeof *e);
    for (int i = 0; e && i < nodes->n; i++)
        e[i] = (entry){trees->v[i], nodes->v[i], i};
    if (e)
        qsort(e, (size_t)nodes->n, sizeof *e, by_node);
    return e;
}
/* The first entry that is not below (tree, node). */
static int lower_bound(const entry *e, int n, int64_t tree, int64_t node) {
    int low = 0, high = n;
    while (low < high) {
        int mid = low + (high - low) / 2;
        if (e[mid].tree < tree || (e[mid].tree == tree && e[mid].node < node))
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static int mode_of(const char *s) {
    static const char *const words[] = {"LEAF",      "BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE",
                                        "BRANCH_GT", "BRANCH_EQ",  "BRANCH_NEQ"};
    for (int i = 0; i < 7; i++)
        if (!strcmp(s, words[i]))
            return i;
    return -1;
}

/* The tables are laid out breadth first, tree by tree: a node's children then come behind it, or there is a cycle. */
typedef struct {
    int32_t *nodes, *order, *place, *root, *target;
    float *weight;
    int64_t n, n_roots;
} tables;

static norn_status lay_out(const attrs *a, const entry *nodes, const entry *weights, tables *t) {
    int n = a->nodes_nodeids.n, n_weights = a->ids.n;
    for (int i = 0; i < n; i++)
        t->place[i] = -1;
    for (int first = 0; first < n; first++) {
        if (first && nodes[first].tree == nodes[first - 1].tree)
            continue;
        int32_t root = nodes[first].at; /* the one that the lists name first */
        for (int i = first; i < n && nodes[i].tree == nodes[first].tree; i++)
            root = nodes[i].at < root ? nodes[i].at : root;
        int64_t head = t->n;
        t->root[t->n_roots++] = (int32_t)t->n;
        t->place[root] = (int32_t)t->n;
        t->order[t->n++] = root;
        for (; head < t->n; head++) {
            int32_t at = t->order[head], *out = t->nodes + NODE * head;
            int mode = mode_of(a->nodes_modes.v[at]);
            if (mode < 0)
                return norni_fail(NORN_ARG, "nodes_modes has '%s'", a->nodes_modes.v[at]);
            out[FEATURE] =
                (int32_t)(a->nodes_featureids.v[at] > INT32_MAX ? INT32_MAX : a->nodes_featureids.v[at]);
            bool tracks =
                a->nodes_missing_value_tracks_true.n > 0 && a->nodes_missing_value_tracks_true.v[at];
            out[MODE] = mode ? mode + (tracks ? 8 : 0) : 0;
            if (!mode) {
                out[FIRST] = lower_bound(weights, n_weights, a->nodes_treeids.v[at], a->nodes_nodeids.v[at]);
                while (out[FIRST] + out[COUNT] < n_weights &&
                       weights[out[FIRST] + out[COUNT]].tree == a->nodes_treeids.v[at] &&
                       weights[out[FIRST] + out[COUNT]].node == a->nodes_nodeids.v[at])
                    out[COUNT]++;
                continue;
            }
            for (int side = 0; side < 2; side++) {
                int64_t child = (side ? &a->nodes_falsenodeids : &a->nodes_truenodeids)->v[at];
                int i = lower_bound(nodes, n, nodes[first].tree, child);
                if (i == n || nodes[i].tree != nodes[first].tree || nodes[i].node != child)
                    return norni_fail(NORN_ARG, "tree %lld has no node %lld", (long long)nodes[first].tree,
                                      (long long)child);
                int32_t to = nodes[i].at;
                if (t->place[to] >= 0)
                    return norni_fail(NORN_ARG, "node %lld of tree %lld is reached twice", (long long)child,
                                      (long long)nodes[first].tree);
                t->place[to] = (int32_t)t->n;
                out[side ? NO : YES] = (int32_t)t->n;
                t->order[t->n++] = to;
            }
        }
    }
    for (int i = 0; i < n_weights; i++) {
        t->target[i] = (int32_t)a->ids.v[weights[i].at];
        t->weight[i] = (float)value_at(&a->weights, a->weights_as_tensor, weights[i].at);
    }
    return NORN_OK;
}

static norn_value *table_of(norn_graph *g, norn_dtype t, int rank, int64_t d0, int64_t d1, const void *data) {
    norn_tensor *x;
    norn_status s = norni_tensor_host(t, rank, (int64_t[]){d0, d1}, &x);
    if (s != NORN_OK)
        return norni_graph_failed(g, s);
    memcpy(norni_tensor_data(x), data, norni_tensor_bytes(x));
    return norni_value_const(g, NULL, x);
}

static norn_status expand_scores(norn_graph *g, const norn_node *node, norn_value **out) {
    const attrs *a = node->attrs;
    int n = a->nodes_nodeids.n, n_weights = a->ids.n;
    int64_t targets = regresses(node) ? targets_of(a) : a->classlabels_int64s.n;
    entry *nodes = sorted(&a->nodes_treeids, &a->nodes_nodeids), *weights = sorted(&a->treeids, &a->nodeids);
    tables t = {.nodes = norni_alloc_array((size_t)n * NODE, sizeof(int32_t)),
                .order = norni_alloc_array((size_t)n + 1, sizeof(int32_t)),
                .place = norni_alloc_array((size_t)n + 1, sizeof(int32_t)),
                .root = norni_alloc_array((size_t)n + 1, sizeof(int32_t)),
                .target = norni_alloc_array((size_t)n_weights + 1, sizeof(int32_t)),
                .weight = norni_alloc_array((size_t)n_weights + 1, sizeof(float))};
    bool room = nodes && weights && t.nodes && t.order && t.place && t.root && t.target && t.weight;
    norn_status s = room ? lay_out(a, nodes, weights, &t) : norni_nomem();
    norn_value *x = norni_ml_real(g, node->in[X]);
    if (x && x->type.rank == 1)
        x = NORNI_OP2(g, x, norni_i64_const(g, 1, (int64_t[]){0}), "Unsqueeze");
    norn_tensor *values = NULL;
    if (s == NORN_OK && x)
        s = norni_tensor_host(x->type.dtype, 1, &t.n, &values);
    for (int64_t i = 0; s == NORN_OK && values && i < t.n; i++)
        norni_set_double(values->dtype, norni_tensor_data(values), i,
                         value_at(&a->nodes_values, a->nodes_values_as_tensor, t.order[i]));
    if (s == NORN_OK && values) {
        norn_value *in[] = {x,
                            table_of(g, NORN_I32, 2, t.n, NODE, t.nodes),
                            norni_value_const(g, NULL, values),
                            table_of(g, NORN_I32, 1, t.n_roots, 0, t.root),
                            table_of(g, NORN_I32, 1, n_weights, 0, t.target),
                            table_of(g, NORN_F32, 1, n_weights, 0, t.weight)};
        *out = norni_opf(g, 6, in, "norn.Trees<join=\"%s\", targets=%d>",
                         join_words[regresses(node) ? a->aggregate_function : JOIN_SUM], (int)targets);
    }
    void *const all[] = {nodes, weights, t.nodes, t.order, t.place, t.root, t.target, t.weight};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        norni_free(all[i]);
    int64_t base = count_of(&a->base_values, a->base_values_as_tensor);
    if (s == NORN_OK && base) {
        norn_tensor *b;
        NORNI_TRY(norni_tensor_host(NORN_F32, 1, &base, &b));
        for (int64_t i = 0; i < base; i++)
            norni_set_double(NORN_F32, norni_tensor_data(b), i,
                             value_at(&a->base_values, a->base_values_as_tensor, i));
        *out = NORNI_OP2(g, *out, norni_value_const(g, NULL, b), "Add");
    }
    return s == NORN_OK ? norn_graph_status(g) : s;
}

static norn_status expand_regressor(norn_graph *g, const norn_node *node, norn_value **out) {
    NORNI_TRY(expand_scores(g, node, out));
    out[0] = norni_ml_post(g, out[0], ((const attrs *)node->attrs)->post_transform);
    return norn_graph_status(g);
}

/* Weights of one class only: the score s of that class stands for both, as (1 - s, s), or (-s, s) before a logistic. */
static norn_status expand_classifier(norn_graph *g, const norn_node *node, norn_value **out) {
    const attrs *a = node->attrs;
    norn_value *s = NULL, *label;
    int classes = a->classlabels_int64s.n;
    NORNI_TRY(expand_scores(g, node, &s));
    if (one_class(a) && classes <= 2) {
        bool difference = a->post_transform == NORNI_POST_NONE || a->post_transform == NORNI_POST_PROBIT;
        if (classes == 2)
            s = NORNI_OP2(g, s, norni_i64_const(g, 1, &a->ids.v[0]), "Gather<axis=1>");
        norn_value *other =
            difference ? NORNI_OP2(g, norni_scalar_const(g, NORN_F32, 1), s, "Sub") : NORNI_OP1(g, s, "Neg");
        s = norni_opf(g, 2, (norn_value *[]){other, s}, "Concat<axis=1>");
    }
    s = norni_ml_post(g, s, a->post_transform);
    label = NORNI_OP1(g, s, "ArgMax<axis=1, keepdims=0>");
    if (classes > 1)
        label = NORNI_OP2(g, norni_ml_ints(g, &a->classlabels_int64s), label, "Gather");
    else
        label = NORNI_OP2(g, label, norni_ml_ints(g, &a->classlabels_int64s), "Mul");
    out[0] = label;
    out[1] = s;
    return norn_graph_status(g);
}

#define TREE                                                                                                 \
    "nodes_treeids=[0,0,0,1,1,1], nodes_nodeids=[0,1,2,0,1,2], nodes_featureids=[0,0,0,2,0,0], "             \
    "nodes_modes=[\"BRANCH_LEQ\",\"LEAF\",\"LEAF\",\"BRANCH_GT\",\"LEAF\",\"LEAF\"], "                       \
    "nodes_values=[0.1,0.0,0.0,-0.2,0.0,0.0], "                                                              \
    "nodes_truenodeids=[1,0,0,1,0,0], nodes_falsenodeids=[2,0,0,2,0,0]"
#define UNTESTED                                                                                             \
    "nodes_hitrates, nodes_hitrates_as_tensor, nodes_values_as_tensor, base_values_as_tensor, " /* no tensors in text */
const norn_op norni_op_TreeEnsembleRegressor = {
    .domain = "ai.onnx.ml",
    .name = "TreeEnsembleRegressor",
    .versions = (const int[]){1, 3, 5, 0},
    .doc = "an ensemble of decision trees",
    .inputs = (const norni_param[]){{"X", NORNI_NODIFF, NORNI_ML_NUMBERS, 0}, {0}},
    .outputs = (const norni_param[]){{"Y", 0, NORNI_T(NORN_F32), 0}, {0}},
    .attrs_bytes = sizeof(attrs),
    .attrs = regressor_table,
    .infer = infer,
    .grad = norni_no_gradient,
    .expand = expand_regressor,
    .untested_attrs = UNTESTED "target_weights_as_tensor",
    .cases =
        (const char *const[]){
            "ai.onnx.ml.TreeEnsembleRegressor<" TREE
            ", target_treeids=[0,0,1,1], target_nodeids=[1,2,1,2], target_ids=[0,1,1,0], "
            "target_weights=[0.5,1.5,-2.0,3.0], n_targets=2, base_values=[0.25,0.5]>(float[9,3])",
            "ai.onnx.ml.TreeEnsembleRegressor<" TREE
            ", target_treeids=[0,0,1,1], target_nodeids=[1,2,1,2], target_ids=[0,0,0,0], "
            "target_weights=[0.5,1.5,-2.0,3.0], aggregate_function=\"AVERAGE\", post_transform=\"LOGISTIC\", "
            "nodes_missing_value_tracks_true=[1,0,0,0,0,0]>(double[9,3])",
            "ai.onnx.ml.TreeEnsembleRegressor<" TREE
            ", target_treeids=[0,0,1,1], target_nodeids=[1,2,1,2], target_ids=[0,0,0,0], "
            "target_weights=[0.5,1.5,-2.0,3.0], aggregate_function=\"MIN\">(int64[9,3])",
            NULL},
};

const norn_op norni_op_TreeEnsembleClassifier = {
    .domain = "ai.onnx.ml",
    .name = "TreeEnsembleClassifier",
    .versions = (const int[]){1, 3, 5, 0},
    .doc = "an ensemble of decision trees for classes",
    .inputs = (const norni_param[]){{"X", NORNI_NODIFF, NORNI_ML_NUMBERS, 0}, {0}},
    .outputs = (const norni_param[]){{"Y", 0, NORNI_T(NORN_I64), 0}, {"Z", 0, NORNI_T(NORN_F32), 0}, {0}},
    .attrs_bytes = sizeof(attrs),
    .attrs = classifier_table,
    .infer = infer,
    .grad = norni_no_gradient,
    .expand = expand_classifier,
    .untested_attrs =
        UNTESTED "class_weights_as_tensor, classlabels_strings, nodes_missing_value_tracks_true",
    .cases = (const char *const[]){"ai.onnx.ml.TreeEnsembleClassifier<" TREE
                                   ", class_treeids=[0,0,1,1], class_nodeids=[1,2,1,2], class_ids=[0,1,2,0], "
                                   "class_weights=[0.5,1.5,0.75,0.25], classlabels_int64s=[4,5,9], "
                                   "base_values=[0.0,0.1,0.2]>(float[9,3])",
                                   "ai.onnx.ml.TreeEnsembleClassifier<" TREE
                                   ", class_treeids=[0,0,1,1], class_nodeids=[1,2,1,2], class_ids=[0,0,0,0], "
                                   "class_weights=[0.5,1.5,-0.75,-2.25], classlabels_int64s=[0,1], "
                                   "post_transform=\"LOGISTIC\">(float[9,3])",
                                   "ai.onnx.ml.TreeEnsembleClassifier<" TREE
                                   ", class_treeids=[0,0,1,1], class_nodeids=[1,2,1,2], class_ids=[0,1,0,1], "
                                   "class_weights=[0.5,1.5,-0.75,-2.25], classlabels_int64s=[0,1], "
                                   "post_transform=\"SOFTMAX\">(int32[9,3])",
                                   NULL},
};
