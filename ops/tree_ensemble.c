/* SPDX-License-Identifier: Apache-2.0 */
/* ai.onnx.ml.TreeEnsemble: regression by decision trees, as tables of norn.Trees. Nodes and leaves have lists of their own; a
 * test of membership in a set becomes a chain of tests for equality. Source: ONNX TreeEnsemble of ai.onnx.ml 5. Sets are taken
 * in the order of nodes_modes, as the specification says. */
#include "ops/ml.h"
#include <math.h>

enum { MEMBER = 6, EQUAL = 4 }; /* of nodes_modes; norn.Trees counts from 1 */
enum { FEATURE, MODE, YES, NO, FIRST, COUNT, NODE };
static const char *const joins[] = {"AVERAGE", "SUM", "MIN", "MAX"};

typedef struct {
    norni_ints tree_roots, nodes_featureids, nodes_truenodeids, nodes_falsenodeids, nodes_trueleafs,
        nodes_falseleafs, nodes_missing_value_tracks_true, leaf_targetids;
    norn_tensor *nodes_splits, *nodes_modes, *nodes_hitrates, *membership_values, *leaf_weights;
    int64_t aggregate_function, post_transform, n_targets;
} attrs;
#define NEEDED(f, kind) NORNI_A(attrs, f, kind, .flags = NORNI_ATTR_REQUIRED)
static const norni_attr table[] = {
    NEEDED(tree_roots, INTS),
    NEEDED(nodes_featureids, INTS),
    NEEDED(nodes_truenodeids, INTS),
    NEEDED(nodes_falsenodeids, INTS),
    NEEDED(nodes_trueleafs, INTS),
    NEEDED(nodes_falseleafs, INTS),
    NEEDED(leaf_targetids, INTS),
    NEEDED(nodes_splits, TENSOR),
    NEEDED(nodes_modes, TENSOR),
    NEEDED(leaf_weights, TENSOR),
    NORNI_A_INTS(attrs, nodes_missing_value_tracks_true),
    NORNI_A(attrs, nodes_hitrates, TENSOR, .flags = NORNI_ATTR_OPTIONAL),
    NORNI_A(attrs, membership_values, TENSOR, .flags = NORNI_ATTR_OPTIONAL),
    NORNI_A_INT(attrs, aggregate_function, 1, .lo = 0, .hi = 3),
    NORNI_A_INT(attrs, post_transform, 0, .lo = 0, .hi = 4),
    NORNI_A(attrs, n_targets, INT, .flags = NORNI_ATTR_OPTIONAL, .lo = 1, .hi = INT32_MAX),
    NORNI_A_END};

static double element(const norn_tensor *t, int64_t i) {
    return norni_get_double(t->dtype, norni_tensor_data(t), i);
}
static int64_t targets_of(const attrs *a) {
    return a->n_targets == NORNI_NO_INT ? 1 : a->n_targets;
}

/* The set of each node: members (without the NaN behind) are v[first[k]] .. v[first[k] + count[k] - 1]. */
static norn_status find_sets(const attrs *a, int32_t *first, int32_t *count) {
    int64_t at = 0, n = a->membership_values ? norni_tensor_elems(a->membership_values) : 0;
    for (int i = 0; i < a->nodes_featureids.n; i++) {
        first[i] = (int32_t)at;
        if (element(a->nodes_modes, i) != MEMBER)
            continue;
        while (at < n && !isnan(element(a->membership_values, at)))
            at++;
        count[i] = (int32_t)at - first[i];
        if (at++ == n)
            return norni_fail(NORN_ARG, "membership_values has no set for node %d", i);
    }
    return NORN_OK;
}

static norn_status infer(norni_infer *c) {
    const attrs *a = c->attrs;
    const norni_type *x = norni_in_type(c, 0);
    int n = a->nodes_featureids.n;
    int64_t leaves = a->leaf_targetids.n;
    const int64_t lengths[] = {a->nodes_truenodeids.n,
                               a->nodes_falsenodeids.n,
                               a->nodes_trueleafs.n,
                               a->nodes_falseleafs.n,
                               norni_tensor_elems(a->nodes_splits),
                               norni_tensor_elems(a->nodes_modes)};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        if (n < 1 || lengths[i] != n)
            return norni_fail(NORN_ARG, "lists of nodes with %d and %lld elements (wanted equal, and some)",
                              n, (long long)lengths[i]);
    if (a->nodes_missing_value_tracks_true.n > 0 && a->nodes_missing_value_tracks_true.n != n)
        return norni_fail(NORN_ARG, "nodes_missing_value_tracks_true has %d elements (wanted %d)",
                          a->nodes_missing_value_tracks_true.n, n);
    if (leaves < 1 || norni_tensor_elems(a->leaf_weights) != leaves)
        return norni_fail(NORN_ARG, "%lld leaf_weights for %lld leaves", (long long)leaves,
                          (long long)norni_tensor_elems(a->leaf_weights));
    for (int i = 0; i < n; i++) {
        double mode = element(a->nodes_modes, i);
        if (!(mode >= 0 && mode <= MEMBER))
            return norni_fail(NORN_ARG, "nodes_modes has %g (wanted 0 to %d)", mode, MEMBER);
        for (int side = 0; side < 2; side++) {
            int64_t to = (side ? &a->nodes_falsenodeids : &a->nodes_truenodeids)->v[i],
                    most = (side ? &a->nodes_falseleafs : &a->nodes_trueleafs)->v[i] ? leaves : n;
            if (to < 0 || to >= most)
                return norni_fail(NORN_ARG, "node %d leads to %lld (wanted 0 to %lld)", i, (long long)to,
                                  (long long)most - 1);
        }
    }
    for (int i = 0; i < a->leaf_targetids.n; i++)
        if (a->leaf_targetids.v[i] < 0 || a->leaf_targetids.v[i] >= targets_of(a))
            return norni_fail(NORN_ARG, "a leaf of target %lld (there are %lld)",
                              (long long)a->leaf_targetids.v[i], (long long)targets_of(a));
    for (int i = 0; i < a->tree_roots.n; i++)
        if (a->tree_roots.v[i] < 0 || a->tree_roots.v[i] >= n)
            return norni_fail(NORN_ARG, "root %lld (wanted 0 to %d)", (long long)a->tree_roots.v[i], n - 1);
    if (a->tree_roots.n < 1)
        return norni_fail(NORN_ARG, "tree_roots is empty");
    if (x->rank < 0)
        return NORN_OK;
    if (x->rank != 2)
        return norni_fail(NORN_SHAPE, "X has rank %d (wanted 2)", x->rank);
    c->out[0].rank = 2;
    c->out[0].dims[0] = x->dims[0];
    c->out[0].dims[1] = targets_of(a);
    return NORN_OK;
}

/* norn.Trees' tables: the nodes of each tree breadth first, each with its chain of tests, then all leaves. */
typedef struct {
    int32_t *nodes, *place, *queue, *first, *count, *root;
    double *value;
    int64_t n;
} tables;

static norn_status lay_out(const attrs *a, tables *t) {
    int n = a->nodes_featureids.n, head = 0, tail = 0;
    NORNI_TRY(find_sets(a, t->first, t->count));
    for (int i = 0; i < n; i++)
        t->place[i] = -1;
    for (int r = 0; r < a->tree_roots.n; r++) {
        int32_t root = (int32_t)a->tree_roots.v[r];
        if (t->place[root] < 0) {
            t->place[root] = (int32_t)t->n;
            t->queue[tail++] = root;
            t->n += t->count[root] > 1 ? t->count[root] : 1;
        }
        t->root[r] = t->place[root];
        for (; head < tail; head++)
            for (int side = 0; side < 2; side++) {
                int32_t at = t->queue[head], to;
                if ((side ? &a->nodes_falseleafs : &a->nodes_trueleafs)->v[at])
                    continue;
                to = (int32_t)(side ? &a->nodes_falsenodeids : &a->nodes_truenodeids)->v[at];
                if (t->place[to] >= 0)
                    return norni_fail(NORN_ARG, "node %d is reached twice", (int)to);
                t->place[to] = (int32_t)t->n;
                t->queue[tail++] = to;
                t->n += t->count[to] > 1 ? t->count[to] : 1;
            }
    }
    for (int q = 0; q < tail; q++) {
        int32_t at = t->queue[q], *row = t->nodes + NODE * (int64_t)t->place[at], next[2];
        int mode = (int)element(a->nodes_modes, at);
        bool set = mode == MEMBER,
             tracks = a->nodes_missing_value_tracks_true.n > 0 && a->nodes_missing_value_tracks_true.v[at];
        for (int side = 0; side < 2; side++) {
            int64_t to = (side ? &a->nodes_falsenodeids : &a->nodes_truenodeids)->v[at];
            bool leaf = (side ? &a->nodes_falseleafs : &a->nodes_trueleafs)->v[at] != 0;
            next[side] = (int32_t)(leaf ? t->n + to : t->place[to]);
        }
        for (int32_t k = 0, tests = t->count[at] > 1 ? t->count[at] : 1; k < tests; k++, row += NODE) {
            int64_t feature = a->nodes_featureids.v[at];
            row[FEATURE] = (int32_t)(feature < 0 || feature > INT32_MAX ? INT32_MAX : feature);
            row[MODE] = (set ? EQUAL : mode) + 1 + (tracks ? 8 : 0);
            row[YES] = next[0];
            row[NO] = k + 1 < tests ? t->place[at] + k + 1 : next[1];
            t->value[t->place[at] + k] = !set           ? element(a->nodes_splits, at)
                                         : t->count[at] ? element(a->membership_values, t->first[at] + k)
                                                        : (double)NAN; /* an empty set: nothing is equal */
        }
    }
    for (int i = 0; i < a->leaf_targetids.n; i++) {
        int32_t *row = t->nodes + NODE * (t->n + i);
        row[FIRST] = i;
        row[COUNT] = 1;
    }
    return NORN_OK;
}

static norn_value *ints_const(norn_graph *g, int rank, int64_t d0, int64_t d1, const int32_t *v) {
    norn_tensor *t;
    norn_status s = norni_tensor_host(NORN_I32, rank, (int64_t[]){d0, d1}, &t);
    if (s != NORN_OK)
        return norni_graph_failed(g, s);
    for (int64_t i = 0; i < norni_tensor_elems(t); i++)
        ((int32_t *)norni_tensor_data(t))[i] = v[i];
    return norni_value_const(g, NULL, t);
}
static norn_value *reals_const(norn_graph *g, norn_dtype dtype, int64_t n, const double *v,
                               const norn_tensor *from) {
    norn_tensor *t;
    norn_status s = norni_tensor_host(dtype, 1, &n, &t);
    if (s != NORN_OK)
        return norni_graph_failed(g, s);
    for (int64_t i = 0; i < n; i++)
        norni_set_double(dtype, norni_tensor_data(t), i, v ? v[i] : element(from, i));
    return norni_value_const(g, NULL, t);
}

static norn_value *trees(norn_graph *g, const attrs *a, norn_value *x, const tables *t) {
    norn_tensor *target;
    norn_dtype dtype = x->type.dtype;
    int64_t leaves = a->leaf_targetids.n, rows = t->n + leaves;
    norn_status s = norni_tensor_host(NORN_I32, 1, &leaves, &target);
    if (s != NORN_OK)
        return norni_graph_failed(g, s);
    for (int64_t i = 0; i < leaves; i++)
        norni_set_double(NORN_I32, norni_tensor_data(target), i, (double)a->leaf_targetids.v[i]);
    norn_value *in[] = {x,
                        ints_const(g, 2, rows, NODE, t->nodes),
                        reals_const(g, dtype, rows, t->value, NULL),
                        ints_const(g, 1, a->tree_roots.n, 0, t->root),
                        norni_value_const(g, NULL, target),
                        reals_const(g, dtype, leaves, NULL, a->leaf_weights)};
    return norni_opf(g, 6, in, "norn.Trees<join=\"%s\", targets=%d>", joins[a->aggregate_function],
                     (int)targets_of(a));
}

static norn_status expand(norn_graph *g, const norn_node *node, norn_value **out) {
    const attrs *a = node->attrs;
    size_t n = (size_t)a->nodes_featureids.n, leaves = (size_t)a->leaf_targetids.n,
           tests = n + leaves + (a->membership_values ? (size_t)norni_tensor_elems(a->membership_values) : 0);
    tables t = {.nodes = norni_alloc_array(tests * NODE, sizeof(int32_t)),
                .place = norni_alloc_array(n, sizeof(int32_t)),
                .queue = norni_alloc_array(n, sizeof(int32_t)),
                .first = norni_alloc_array(n, sizeof(int32_t)),
                .count = norni_alloc_array(n, sizeof(int32_t)),
                .root = norni_alloc_array((size_t)a->tree_roots.n, sizeof(int32_t)),
                .value = norni_alloc_array(tests, sizeof(double))};
    bool room = t.nodes && t.place && t.queue && t.first && t.count && t.root && t.value;
    norn_dtype type = node->in[0]->type.dtype, real = type == NORN_F64 ? NORN_F64 : NORN_F32;
    norn_status s = room ? lay_out(a, &t) : norni_nomem();
    norn_value *x = s == NORN_OK ? norni_cast(g, node->in[0], real) : NULL;
    if (x)
        out[0] = norni_cast(g, norni_ml_post(g, trees(g, a, x, &t), (int)a->post_transform), type);
    void *const all[] = {t.nodes, t.place, t.queue, t.first, t.count, t.root, t.value};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        norni_free(all[i]);
    return s == NORN_OK ? norn_graph_status(g) : s;
}

#define TYPES (NORNI_T(NORN_F32) | NORNI_T(NORN_F64) | NORNI_T(NORN_F16))
#define TREES                                                                                                \
    "tree_roots=[0,2], nodes_featureids=[0,2,1], nodes_truenodeids=[1,0,2], nodes_falsenodeids=[0,1,3], "    \
    "nodes_trueleafs=[0,1,1], nodes_falseleafs=[1,1,1], leaf_targetids=[0,1,0,1], "                          \
    "nodes_splits=float[3] {0.1, -0.2, 0.3}, leaf_weights=float[4] {1.5, -2.0, 0.25, 3.0}"
const norn_op norni_op_TreeEnsemble = {
    .domain = "ai.onnx.ml",
    .name = "TreeEnsemble",
    .versions = (const int[]){5, 0},
    .doc = "an ensemble of decision trees",
    .inputs = (const norni_param[]){{"X", NORNI_NODIFF, TYPES, 'T'}, {0}},
    .outputs = (const norni_param[]){{"Y", 0, TYPES, 'T'}, {0}},
    .attrs_bytes = sizeof(attrs),
    .attrs = table,
    .infer = infer,
    .grad = norni_no_gradient,
    .expand = expand,
    .untested_attrs = "nodes_hitrates",
    .cases =
        (const char *const[]){"ai.onnx.ml.TreeEnsemble<" TREES
                              ", nodes_modes=uint8[3] {0, 3, 5}, n_targets=2>(float[9,3])",
                              "ai.onnx.ml.TreeEnsemble<" TREES
                              ", nodes_modes=uint8[3] {1, 2, 4}, n_targets=2, aggregate_function=0, "
                              "post_transform=2>(double[9,3])",
                              "ai.onnx.ml.TreeEnsemble<" TREES
                              ", nodes_modes=uint8[3] {6, 2, 6}, n_targets=2, aggregate_function=3, "
                              "nodes_missing_value_tracks_true=[0,1,0], "
                              "membership_values=float[6] {0.5, 1.0, nan, 0.25, -1.0, nan}>(float16[9,3])",
                              NULL},
};
