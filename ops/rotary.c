/* SPDX-License-Identifier: Apache-2.0 */
/* RotaryEmbedding (Su et al., "RoFormer", 2021; ONNX RotaryEmbedding-23): pairs (a, b) of the first rotary_embedding_dim
 * elements of each head are turned by the angle of their position, the others stay.
 *
 *     a' = a cos - b sin,   b' = a sin + b cos
 *
 * A pair is element i of either half, or neighbours (interleaved). cos_cache and sin_cache are [positions, half] with
 * position_ids [B, S], or [B, S, half]. X is [B, H, S, D] or [B, S, H D]. */
#include "ops/op.h"

typedef struct {
    int64_t interleaved, num_heads, rotary_embedding_dim;
} attrs_t;
static const norni_attr table[] = {
    NORNI_A_INT(attrs_t, interleaved, 0, .lo = 0, .hi = 1),
    NORNI_A(attrs_t, num_heads, INT, .flags = NORNI_ATTR_OPTIONAL, .lo = 0, .hi = INT32_MAX),
    NORNI_A_INT(attrs_t, rotary_embedding_dim, 0, .lo = 0, .hi = INT32_MAX), NORNI_A_END};
enum { X, COS, SIN, IDS };

static bool has_ids(const norn_node *node) {
    return node->n_in > IDS && node->in[IDS];
}

static norn_status head_size(const norn_node *node, int64_t last, int rank, int64_t *size) {
    const attrs_t *a = node->attrs;
    *size = last;
    if (rank == 3) {
        if (a->num_heads == NORNI_NO_INT || a->num_heads < 1)
            return norni_fail(NORN_ARG, "an input of rank 3 needs num_heads");
        if (last % a->num_heads)
            return norni_fail(NORN_SHAPE, "the last axis has %lld elements (wanted a multiple of %lld heads)",
                              (long long)last, (long long)a->num_heads);
        *size = last / a->num_heads;
    }
    int64_t turned = a->rotary_embedding_dim ? a->rotary_embedding_dim : *size;
    if (turned % 2 || turned > *size)
        return norni_fail(NORN_SHAPE, "%lld elements of %lld are turned (wanted an even number, at most all)",
                          (long long)turned, (long long)*size);
    return NORN_OK;
}

static norn_status infer(norni_infer *c) {
    const norni_type *x = norni_in_type(c, X);
    const attrs_t *a = c->attrs;
    int64_t size = -1;
    if (!norni_in_ranked(c, 3))
        return NORN_OK;
    if (x->rank != 3 && x->rank != 4)
        return norni_fail(NORN_SHAPE, "X has rank %d (wanted 3 or 4)", x->rank);
    if (x->dims[x->rank - 1] >= 0)
        NORNI_TRY(head_size(c->node, x->dims[x->rank - 1], x->rank, &size));
    int64_t half = size < 0 ? -1 : (a->rotary_embedding_dim ? a->rotary_embedding_dim : size) / 2;
    for (int i = COS; i <= SIN; i++) {
        const norni_type *t = norni_in_type(c, i);
        const char *name = norni_op_input(c->node->op, i)->name;
        if (t->rank != (has_ids(c->node) ? 2 : 3))
            return norni_fail(NORN_SHAPE, "'%s' has rank %d (wanted %s)", name, t->rank,
                              has_ids(c->node) ? "2 with position_ids" : "3 without position_ids");
        if (half >= 0 && t->dims[t->rank - 1] >= 0 && t->dims[t->rank - 1] != half)
            return norni_fail(NORN_SHAPE, "'%s' has %lld elements a position (wanted %lld)", name,
                              (long long)t->dims[t->rank - 1], (long long)half);
    }
    if (has_ids(c->node) && norni_in_type(c, IDS)->rank >= 0 && norni_in_type(c, IDS)->rank != 2)
        return norni_fail(NORN_SHAPE, "position_ids has rank %d (wanted 2)", norni_in_type(c, IDS)->rank);
    c->out[0] = *x;
    return NORN_OK;
}

static norn_status check(const norn_node *node, int i, const norn_tensor *t) {
    int64_t n = node->in[COS]->type.dims[0];
    for (int64_t k = 0; i == IDS && k < norni_tensor_elems(t); k++) {
        int64_t v = norni_get_int(t->dtype, norni_tensor_data(t), k);
        if (v < -n || v >= n)
            return norni_fail(NORN_ARG, "position_ids: element %lld is %lld (wanted %lld to %lld)",
                              (long long)k, (long long)v, (long long)-n, (long long)(n - 1));
    }
    return NORN_OK;
}

static double get(const norn_tensor *t, int64_t i) {
    return norni_get_double(t->dtype, norni_tensor_data(t), i);
}

static norn_status eval(norni_eval *e) {
    const attrs_t *a = e->attrs;
    const norn_tensor *x = e->in[X], *ids = has_ids(e->node) ? e->in[IDS] : NULL;
    int64_t size, n = norni_tensor_elems(x), s_all = x->rank == 3 ? x->dims[1] : x->dims[2];
    NORNI_TRY(head_size(e->node, x->dims[x->rank - 1], x->rank, &size));
    int64_t turned = a->rotary_embedding_dim ? a->rotary_embedding_dim : size, half = turned / 2;
    int64_t heads = x->rank == 3 ? a->num_heads : x->dims[1];
    for (int64_t i = 0; i < n; i++) {
        int64_t d = i % size, row = i / size, s, b;
        s = x->rank == 3 ? row / heads % s_all : row % s_all;
        b = row / heads / (s_all ? s_all : 1);
        double v = get(x, i);
        if (d < turned) {
            int64_t k = a->interleaved ? d / 2 : d % half, at = b * s_all + s;
            bool second = a->interleaved ? d % 2 : d >= half;
            if (ids) {
                at = norni_get_int(ids->dtype, norni_tensor_data(ids), at);
                at += at < 0 ? e->in[COS]->dims[0] : 0;
            }
            int64_t step = a->interleaved ? 1 : half;
            double other = get(x, second ? i - step : i + step), cs = get(e->in[COS], at * half + k),
                   sn = get(e->in[SIN], at * half + k);
            v = second ? sn * other + cs * v : cs * v - sn * other;
        }
        norni_set_double(e->out[0]->dtype, norni_tensor_data(e->out[0]), i, v);
    }
    return NORN_OK;
}

/* ---- By simpler operators. */
static norn_value *slice(norn_graph *g, norn_value *x, int64_t from, int64_t to, int64_t step) {
    norn_value *in[] = {x, norni_i64_const(g, 1, &from), norni_i64_const(g, 1, &to),
                        norni_i64_const(g, 1, (int64_t[]){-1}), norni_i64_const(g, 1, &step)};
    return norni_opf(g, 5, in, "Slice");
}

static norn_status expand(norn_graph *g, const norn_node *node, norn_value **out) {
    const attrs_t *a = node->attrs;
    norn_value *x = node->in[X], *turn[2];
    int rank = x->type.rank;
    int64_t size, last = rank < 0 ? -1 : x->type.dims[rank - 1];
    if (last < 0)
        return norni_fail(NORN_UNSUPPORTED, "RotaryEmbedding: rank or head size are not known");
    NORNI_TRY(head_size(node, last, rank, &size));
    int64_t turned = a->rotary_embedding_dim ? a->rotary_embedding_dim : size, half = turned / 2;
    norn_value *heads_axis = norni_i64_const(g, 1, (int64_t[]){rank == 3 ? 2 : 1});
    if (rank == 3)
        x = NORNI_OP2(g, x, norni_i64_const(g, 4, (int64_t[]){0, 0, a->num_heads, size}), "Reshape");
    for (int i = 0; i < 2; i++) {
        turn[i] = node->in[COS + i];
        if (has_ids(node))
            turn[i] = NORNI_OP2(g, turn[i], node->in[IDS], "Gather<axis=0>");
        turn[i] = NORNI_OP2(g, turn[i], heads_axis, "Unsqueeze");
    }
    norn_value *first = a->interleaved ? slice(g, x, 0, turned, 2) : slice(g, x, 0, half, 1),
               *second = a->interleaved ? slice(g, x, 1, turned, 2) : slice(g, x, half, turned, 1);
    norn_value *re = NORNI_OP2(g, NORNI_OP2(g, turn[0], first, "Mul"), NORNI_OP2(g, turn[1], second, "Mul"),
                               "Sub"),
               *im = NORNI_OP2(g, NORNI_OP2(g, turn[1], first, "Mul"), NORNI_OP2(g, turn[0], second, "Mul"),
                               "Add");
    norn_value *y;
    if (a->interleaved) {
        norn_value *end = norni_i64_const(g, 1, (int64_t[]){-1});
        y = NORNI_OP2(g, NORNI_OP2(g, re, end, "Unsqueeze"), NORNI_OP2(g, im, end, "Unsqueeze"),
                      "Concat<axis=-1>");
        y = NORNI_OP2(g, y, norni_i64_const(g, 4, (int64_t[]){0, 0, 0, turned}), "Reshape");
        if (turned < size)
            y = NORNI_OP2(g, y, slice(g, x, turned, size, 1), "Concat<axis=-1>");
    } else if (turned < size)
        y = NORNI_OP3(g, re, im, slice(g, x, turned, size, 1), "Concat<axis=-1>");
    else
        y = NORNI_OP2(g, re, im, "Concat<axis=-1>");
    if (rank == 3)
        y = NORNI_OP2(g, y, norni_i64_const(g, 3, (int64_t[]){0, 0, last}), "Reshape");
    out[0] = y;
    return norn_graph_status(g);
}

static void cost(const norn_node *node, norni_cost *c) {
    c->flops = 3.0 * (double)norni_type_elems(&node->in[X]->type);
}

#define TYPES (NORNI_T(NORN_F32) | NORNI_T(NORN_F16) | NORNI_T(NORN_BF16))
const norn_op norni_op_RotaryEmbedding = {
    .domain = "",
    .name = "RotaryEmbedding",
    .versions = (const int[]){23, 0},
    .doc = "elements of each head, by pairs turned by the angle of their position",
    .inputs = (const norni_param[]){{"X", 0, TYPES, 'T'},
                                    {"cos_cache", 0, TYPES, 'T'},
                                    {"sin_cache", 0, TYPES, 'T'},
                                    {"position_ids", NORNI_OPT | NORNI_NODIFF, NORNI_T(NORN_I64), 0},
                                    {0}},
    .outputs = (const norni_param[]){{"Y", 0, TYPES, 'T'}, {0}},
    .attrs_bytes = sizeof(attrs_t),
    .attrs = table,
    .infer = infer,
    .check = check,
    .expand = expand,
    .eval = eval,
    .cost = cost,
    .cases =
        (const char *const[]){
            "RotaryEmbedding(float[2,3,5,8], float[9,4], float[9,4], int64[2,5]{0,1,2,3,4,3,4,5,6,8})",
            "RotaryEmbedding<num_heads=3>(float[2,5,24], float[2,5,4], float[2,5,4])",
            "RotaryEmbedding<interleaved=1, rotary_embedding_dim=4>(float[1,2,3,7], float[1,3,2], "
            "float[1,3,2])",
            "RotaryEmbedding<num_heads=2, rotary_embedding_dim=2>(float[2,3,8], float[4,1], float[4,1], "
            "int64[2,3]{0,3,-1,1,2,0})",
            "RotaryEmbedding<interleaved=1>(float[2,3,5,8], float[2,5,4], float[2,5,4])", NULL},
};

/* ---- com.microsoft.RotaryEmbedding: positions before the tables; one position is that of the first element. */
typedef struct {
    attrs_t plain; /* first */
    int64_t is_packed_batching;
    float scale;
} ms_attrs;
enum { MS_X, MS_IDS, MS_COS, MS_SIN };

static norn_status ms_expand(norn_graph *g, const norn_node *node, norn_value **out) {
    const ms_attrs *a = node->attrs;
    norn_value *const *in = node->in, *ids = in[MS_IDS];
    attrs_t plain = a->plain;
    int rank = in[MS_X]->type.rank;
    if (a->is_packed_batching || a->scale != 1)
        return norni_fail(NORN_UNSUPPORTED, "is_packed_batching, or a scale");
    if (rank != 3 && rank != 4)
        return norni_fail(rank < 0 ? NORN_UNSUPPORTED : NORN_SHAPE, "input has rank %d (wanted 3 or 4)",
                          rank);
    norni_dim half = in[MS_COS]->type.rank == 2 ? in[MS_COS]->type.dims[1] : -1,
              last = in[MS_X]->type.dims[2];
    if (rank == 3 && (plain.num_heads == NORNI_NO_INT || plain.num_heads < 1)) {
        if (plain.rotary_embedding_dim)
            return norni_fail(NORN_ARG, "rotary_embedding_dim for an input of rank 3 needs num_heads");
        /* All of a head is turned: the tables say how many heads there are. */
        if (half <= 0 || last < 0 || last % (2 * half))
            return norni_fail(last < 0 || half < 0 ? NORN_UNSUPPORTED : NORN_SHAPE,
                              "the number of heads is neither given nor what the tables say");
        plain.num_heads = last / (2 * half);
    }
    if (ids->type.rank == 1) {
        if (ids->type.dims[0] >= 0 && ids->type.dims[0] != 1)
            return norni_fail(NORN_SHAPE, "position_ids has %lld elements (wanted one, or rank 2)",
                              (long long)ids->type.dims[0]);
        norn_value *s = norni_size_value(g, in[MS_X], rank == 3 ? 1 : 2),
                   *b = norni_size_value(g, in[MS_X], 0);
        ids = NORNI_OP2(g, norni_counted(g, s), ids, "Add");
        norn_value *shape[] = {b, s};
        ids = NORNI_OP2(g, ids, norni_opf(g, 2, shape, "Concat<axis=0>"), "Expand");
    }
    norn_value *args[] = {in[MS_X], in[MS_COS], in[MS_SIN], ids};
    norn_node *n = norni_apply(g, norni_op_find("", "RotaryEmbedding"), &plain, 4, args, 1);
    out[0] = n ? n->out[0] : NULL;
    return norn_graph_status(g);
}

#define MS_INT(f, text, ...)                                                                                 \
    { .name = text, .kind = NORNI_ATTR_INT, .offset = offsetof(ms_attrs, f), __VA_ARGS__ }
static const norni_attr ms_table[] = {
    MS_INT(plain.interleaved, "interleaved", .lo = 0, .hi = 1),
    MS_INT(plain.num_heads, "num_heads", .lo = 0, .hi = INT32_MAX),
    MS_INT(plain.rotary_embedding_dim, "rotary_embedding_dim", .lo = 0, .hi = INT32_MAX),
    NORNI_A_INT(ms_attrs, is_packed_batching, 0),
    NORNI_A_FLOAT(ms_attrs, scale, 1),
    NORNI_A_END};

const norn_op norni_op_MsRotaryEmbedding = {
    .domain = "com.microsoft",
    .name = "RotaryEmbedding",
    .versions = (const int[]){1, 0},
    .doc = "pairs of elements turned by the angle of their position",
    .inputs = (const norni_param[]){{"input", 0, TYPES, 'T'},
                                    {"position_ids", NORNI_NODIFF, NORNI_T(NORN_I64), 0},
                                    {"cos_cache", 0, TYPES, 'T'},
                                    {"sin_cache", 0, TYPES, 'T'},
                                    {0}},
    .outputs = (const norni_param[]){{"output", 0, TYPES, 'T'}, {0}},
    .attrs_bytes = sizeof(ms_attrs),
    .attrs = ms_table,
    .infer = norni_infer_by_expansion,
    .expand = ms_expand,
    .untested_attrs = "is_packed_batching scale",
    .cases =
        (const char *const[]){
            "com.microsoft.RotaryEmbedding(float[2,3,8], int64[2,3]{0,1,2,1,2,4}, float[5,2], float[5,2])",
            "com.microsoft.RotaryEmbedding<interleaved=1>(float[2,2,3,4], int64[1]{2}, float[5,2], "
            "float[5,2])",
            "com.microsoft.RotaryEmbedding<num_heads=2, rotary_embedding_dim=4>(float[1,3,14], "
            "int64[1,3]{4,0,1}, "
            "float[5,2], float[5,2])",
            NULL},
};
