/* SPDX-License-Identifier: Apache-2.0 */
/* The attention operators of ONNX Runtime's domain com.microsoft, by ONNX's Attention (ops/attention.c):
 *
 *     Attention             x W + b is split into q, k and v
 *     QAttention            the same with x and W in bytes, each with a scale and a zero point
 *     MultiHeadAttention    q, k and v as inputs, also packed: [B, S, heads, 3, size] or [B, S, heads, 2, size]
 *
 * A mask of integers is 0 where a key is not to be seen: [B, keys], [B, S, keys]; or numbers of keys: [B] their ends, [2 B]
 * their ends, then their beginnings. Scores of such keys get mask_filter_value added. Source: ONNX Runtime's documentation
 * of contrib operators, and its numbers. */
#include "ops/qlinear.h"
#include <math.h>
#include <stdio.h>

typedef struct {
    int64_t num_heads, unidirectional, do_rotary, past_present_share_buffer, rotary_embedding_dim;
    float scale, mask_filter_value;
    norni_ints qkv_hidden_sizes;
} attrs_t;

static bool wants(const norn_node *node, int k) {
    return k < node->n_out && node->out[k];
}
static norn_value *i64(norn_graph *g, int64_t v) {
    return norni_i64_const(g, 1, &v);
}

static norn_value *plus(norn_graph *g, norn_value *a, norn_value *b) {
    return a && b ? NORNI_OP2(g, a, b, "Add") : a ? a : b;
}

/* ---- The mask, which may be absent, as something to add, [B, 1, 1 or S, keys], and `bias`, which may be, too; keys as
 * int64[1]. */
static norn_value *mask_bias(norn_graph *g, const attrs_t *a, norn_value *m, norni_dim batch,
                             norn_value *keys, norn_value *bias, norn_dtype t) {
    double filter = isnan(a->mask_filter_value) ? -10000.0 : (double)a->mask_filter_value;
    norn_value *keep;
    if (!m)
        return bias;
    const norni_dim *d = m->type.dims;
    if (m->type.rank == 1) {
        norn_value *place = norni_counted(g, keys), *count = norni_cast(g, m, NORN_I64);
        norn_value *column = norni_i64_const(g, 4, (int64_t[]){-1, 1, 1, 1});
        if (d[0] == batch)
            keep = NORNI_OP2(g, place, NORNI_OP2(g, count, column, "Reshape"), "Less");
        else if (d[0] == norni_dim_mul(g, batch, 2)) {
            norn_node *halves = norni_opf_node(g, 3, 1, &count, "Split<axis=0, num_outputs=2>");
            if (!halves)
                return NULL;
            norn_value *end = NORNI_OP2(g, halves->out[0], column, "Reshape"),
                       *start = NORNI_OP2(g, halves->out[1], column, "Reshape");
            keep = NORNI_OP2(g, NORNI_OP2(g, place, end, "Less"),
                             NORNI_OP2(g, place, start, "GreaterOrEqual"), "And");
        } else if (d[0] < 0 || batch < 0)
            return norni_graph_failed(g, norni_fail(NORN_UNSUPPORTED, "the sizes of the mask are not known"));
        else
            return norni_graph_failed(
                g, norni_fail(
                       NORN_UNSUPPORTED,
                       "the mask is a vector of %lld (wanted one or two numbers for each of %lld sequences)",
                       (long long)d[0], (long long)batch));
    } else {
        keep = NORNI_OP2(g, m, norni_scalar_const(g, m->type.dtype, 0), "Greater");
        keep = m->type.rank == 2 ? NORNI_OP2(g, keep, norni_i64_const(g, 2, (int64_t[]){1, 2}), "Unsqueeze")
                                 : NORNI_OP2(g, keep, i64(g, 1), "Unsqueeze");
    }
    return plus(g, NORNI_OP3(g, keep, norni_scalar_const(g, t, 0), norni_scalar_const(g, t, filter), "Where"),
                bias);
}

static norn_status check_mask(const norni_infer *c, int i) {
    const norni_type *m = norni_in_type(c, i);
    if (m && m->rank >= 0 && (m->rank < 1 || m->rank > 3))
        return norni_fail(NORN_UNSUPPORTED, "%s has rank %d (wanted 1 to 3)",
                          norni_op_input(c->node->op, i)->name, m->rank);
    return NORN_OK;
}

/* x, whose last axis has `last` elements, from [B, S, ..] to [B, S, last]. */
static norn_value *flat(norn_graph *g, norn_value *x, norni_dim last) {
    return NORNI_OP2(g, x, norni_i64_const(g, 3, (int64_t[]){0, 0, last >= 0 ? last : -1}), "Reshape");
}

/* ONNX's Attention over q, k, v of rank 3, or of rank 4 with the heads first. out: y and what is wanted of present keys, values
 * and products, all in the form of the inputs. */
static norn_node *attend(norn_graph *g, const attrs_t *a, norn_value *const *qkv, norn_value *bias,
                         norn_value *past_k, norn_value *past_v, unsigned wanted) {
    norn_value *in[] = {
        qkv[0], qkv[1], qkv[2], norni_or_none(bias), norni_or_none(past_k), norni_or_none(past_v)};
    char scale[40] = "";
    if (!isnan(a->scale) && a->scale != 0) /* 0: as if absent */
        snprintf(scale, sizeof scale, ", scale=%.9g", (double)a->scale);
    for (int i = 0; i < 3; i++)
        if (!qkv[i])
            return NULL;
    char heads[80] = "";
    if (qkv[0]->type.rank == 3)
        snprintf(heads, sizeof heads, ", q_num_heads=%lld, kv_num_heads=%lld", (long long)a->num_heads,
                 (long long)a->num_heads);
    return norni_opf_node(g, wanted, 6, in, "Attention<is_causal=%d%s%s>", a->unidirectional ? 1 : 0, heads,
                          scale);
}

/* ---- Attention and QAttention. */
typedef struct {
    int weight, mask, past, added, length; /* inputs; -1: none */
} places;
static places places_of(const norn_op *op) {
    return op->name[0] == 'Q' ? (places){1, 5, 8, -1, -1} : (places){1, 3, 4, 5, 6};
}

/* Sizes of q, k and v in the last axis of W. */
static norn_status hidden(const norn_node *node, const norni_type *w, norni_dim *size) {
    const attrs_t *a = node->attrs;
    norn_graph *g = node->graph;
    if (a->qkv_hidden_sizes.n > 0) {
        if (a->qkv_hidden_sizes.n != 3)
            return norni_fail(NORN_ARG, "attribute 'qkv_hidden_sizes': got %d sizes (wanted 3)",
                              a->qkv_hidden_sizes.n);
        int64_t sum = 0;
        for (int i = 0; i < 3; i++) {
            size[i] = a->qkv_hidden_sizes.v[i];
            if (size[i] % a->num_heads)
                return norni_fail(NORN_ARG,
                                  "attribute 'qkv_hidden_sizes': got %lld (wanted a multiple of %lld heads)",
                                  (long long)size[i], (long long)a->num_heads);
            sum += size[i];
        }
        if (size[0] != size[1])
            return norni_fail(NORN_ARG,
                              "attribute 'qkv_hidden_sizes': got %lld and %lld (wanted q and k equal)",
                              (long long)size[0], (long long)size[1]);
        if (w->dims[1] >= 0 && w->dims[1] != sum)
            return norni_fail(NORN_SHAPE, "the weights have %lld columns (wanted %lld)",
                              (long long)w->dims[1], (long long)sum);
        return NORN_OK;
    }
    if (w->dims[1] >= 0 && w->dims[1] % (3 * a->num_heads))
        return norni_fail(NORN_SHAPE, "the weights have %lld columns (wanted a multiple of 3 x %lld heads)",
                          (long long)w->dims[1], (long long)a->num_heads);
    size[0] = size[1] = size[2] = norni_dim_div(g, w->dims[1], 3);
    return NORN_OK;
}

static norn_status infer_self(norni_infer *c) {
    const attrs_t *a = c->attrs;
    places p = places_of(c->node->op);
    const norni_type *x = norni_in_type(c, 0), *w = norni_in_type(c, p.weight),
                     *past = norni_in_type(c, p.past);
    norni_dim size[3];
    if (a->do_rotary || a->past_present_share_buffer || (p.length >= 0 && norni_in_has(c, p.length)))
        return norni_fail(NORN_UNSUPPORTED, "do_rotary, or past and present in one buffer");
    c->out[0].dtype = p.added < 0 ? NORN_F32 : x->dtype;
    if (c->node->n_out > 1)
        c->out[1].dtype = c->out[0].dtype;
    if (x->rank < 0 || w->rank < 0)
        return NORN_OK;
    if (x->rank != 3 || w->rank != 2)
        return norni_fail(NORN_SHAPE, "input has rank %d, weights rank %d (wanted 3 and 2)", x->rank,
                          w->rank);
    if (x->dims[2] >= 0 && w->dims[0] >= 0 && x->dims[2] != w->dims[0])
        return norni_fail(NORN_SHAPE, "weights have %lld rows (wanted %lld)", (long long)w->dims[0],
                          (long long)x->dims[2]);
    NORNI_TRY(hidden(c->node, w, size));
    NORNI_TRY(check_mask(c, p.mask));
    NORNI_TRY(norni_check_vector(c->node, 2, w->dims[1]));
    c->out[0].rank = 3;
    c->out[0].dims[0] = x->dims[0];
    c->out[0].dims[1] = x->dims[1];
    c->out[0].dims[2] = size[2];
    if (past && past->rank >= 0 && past->rank != 5)
        return norni_fail(NORN_SHAPE, "past has rank %d (wanted 5)", past->rank);
    if (past && past->rank == 5 && past->dims[0] >= 0 && past->dims[0] != 2)
        return norni_fail(NORN_SHAPE, "past has size %lld in dimension 0 (wanted 2)",
                          (long long)past->dims[0]);
    if (c->node->n_out > 1 && (!past || past->rank == 5)) {
        norni_dim total = past ? norni_dim_add(c->g, past->dims[3], x->dims[1]) : x->dims[1];
        norn_dtype t = c->out[0].dtype;
        c->out[1] = (norni_type){
            t, 5, {2, x->dims[0], a->num_heads, total, norni_dim_div(c->g, size[0], a->num_heads)}};
    }
    if (wants(c->node, 1) && size[2] != size[0])
        return norni_fail(NORN_ARG, "present needs q, k and v of one size");
    return NORN_OK;
}

static norn_value *one_of(norn_graph *g, norn_value *x, int axis, int i) {
    return x ? norni_at(g, x, axis, i) : NULL;
}

/* q, k and v side by side, [B, S, size of all], with the mask and past of the node. */
static norn_status self_attention(norn_graph *g, const norn_node *node, norn_value *all, norn_value **out) {
    const attrs_t *a = node->attrs;
    places p = places_of(node->op);
    norn_value *past = norni_optional(node, p.past), *mask = norni_optional(node, p.mask), *qkv[3],
               *bias = p.added < 0 ? NULL : norni_optional(node, p.added);
    norni_dim size[3], at = 0;
    NORNI_TRY(norn_graph_status(g));
    if (node->in[p.weight]->type.rank != 2 || node->in[p.weight]->type.dims[1] < 0)
        return norni_fail(NORN_UNSUPPORTED, "the sizes of the weights are not known");
    NORNI_TRY(hidden(node, &node->in[p.weight]->type, size));
    for (int i = 0; i < 3; i++) {
        qkv[i] = norni_part(g, all, -1, at, at + size[i]);
        at += size[i];
    }
    norn_value *past_k = one_of(g, past, 0, 0), *past_v = one_of(g, past, 0, 1),
               *keys = norni_size_value(g, all, 1);
    if (past)
        keys = NORNI_OP2(g, keys, norni_size_value(g, past, 3), "Add");
    bias = mask_bias(g, a, mask, node->in[0]->type.dims[0], keys, bias, all->type.dtype);
    norn_node *n = attend(g, a, qkv, bias, past_k, past_v, wants(node, 1) ? 7 : 1);
    if (!n)
        return norn_graph_status(g);
    out[0] = n->out[0];
    if (wants(node, 1)) {
        norn_value *both[] = {NORNI_OP2(g, n->out[1], i64(g, 0), "Unsqueeze"),
                              NORNI_OP2(g, n->out[2], i64(g, 0), "Unsqueeze")};
        out[1] = norni_opf(g, 2, both, "Concat<axis=0>");
    }
    return norn_graph_status(g);
}

static norn_status expand_self(norn_graph *g, const norn_node *node, norn_value **out) {
    return self_attention(
        g, node, plus(g, NORNI_OP2(g, node->in[0], node->in[1], "MatMul"), norni_optional(node, 2)), out);
}

static norn_status expand_quantised(norn_graph *g, const norn_node *node, norn_value **out) {
    norn_value *const *in = node->in;
    norn_value *args[] = {in[0],
                          in[1],
                          in[3],
                          in[4],
                          norni_or_none(norni_optional(node, 6)),
                          norni_or_none(norni_optional(node, 7)),
                          in[2]};
    return self_attention(g, node, norni_opf(g, 7, args, "com.microsoft.MatMulIntegerToFloat"), out);
}

/* ---- MultiHeadAttention. */
enum { QUERY, KEY, VALUE, BIAS, PADDING, ADDED, PAST_K, PAST_V, PAST_LENGTH, INDIRECTION };

/* Heads times size of q, keys times ... as far as they are known. */
typedef struct {
    norni_dim batch, queries, keys, q, v; /* q, v: size of all heads together */
    bool packed, packed_kv, ready;        /* ready: keys and values of rank 4, heads first */
} sizes;

static norn_status sizes_of(const norn_node *node, sizes *z) {
    const attrs_t *a = node->attrs;
    norn_graph *g = node->graph;
    norn_value *key = norni_optional(node, KEY), *value = norni_optional(node, VALUE);
    const norni_type *q = &node->in[QUERY]->type, *k = key ? &key->type : NULL,
                     *v = value ? &value->type : NULL;
    z->packed = q->rank == 5;
    z->packed_kv = k && k->rank == 5;
    z->ready = k && k->rank == 4;
    if ((q->rank != 3 && q->rank != 5) || (z->packed && (k || v)) || (!z->packed && !k) ||
        (z->packed_kv && v) || (k && !z->packed_kv && (!v || v->rank != k->rank)) ||
        (k && k->rank != 3 && k->rank != 4 && k->rank != 5))
        return norni_fail(
            NORN_SHAPE,
            "query, key and value have ranks %d, %d, %d (wanted 3, 3, 3; 3, 4, 4; 5 for a packed "
            "query without key and value; 3, 5 for a packed key without value)",
            q->rank, k ? k->rank : 0, v ? v->rank : 0);
    for (int i = 0; i < 2; i++) {
        const norni_type *p = i ? k : q;
        norni_dim parts = i ? 2 : 3;
        if (p && p->rank == 5 &&
            ((p->dims[2] >= 0 && p->dims[2] != a->num_heads) || (p->dims[3] >= 0 && p->dims[3] != parts)))
            return norni_fail(NORN_SHAPE, "a packed %s has %lld heads of %lld parts (wanted %lld of %lld)",
                              i ? "key" : "query", (long long)p->dims[2], (long long)p->dims[3],
                              (long long)a->num_heads, (long long)parts);
    }
    for (int i = 0; z->ready && i < 2; i++) {
        const norni_type *t = i ? v : k;
        if (t->dims[1] >= 0 && t->dims[1] != a->num_heads)
            return norni_fail(NORN_SHAPE, "%s has %lld heads (wanted %lld)", i ? "value" : "key",
                              (long long)t->dims[1], (long long)a->num_heads);
    }
    z->batch = q->dims[0];
    z->queries = q->dims[1];
    z->q = z->packed ? norni_dim_mul(g, a->num_heads, q->dims[4]) : q->dims[2];
    z->keys = z->packed ? z->queries : z->ready ? k->dims[2] : k->dims[1];
    z->v = z->packed || z->packed_kv ? z->q
           : z->ready                ? norni_dim_mul(g, a->num_heads, v->dims[3])
                                     : v->dims[2];
    if (z->q >= 0 && z->q % a->num_heads)
        return norni_fail(NORN_SHAPE, "query has %lld elements (wanted a multiple of %lld heads)",
                          (long long)z->q, (long long)a->num_heads);
    if (z->v >= 0 && z->v % a->num_heads)
        return norni_fail(NORN_SHAPE, "value has %lld elements (wanted a multiple of %lld heads)",
                          (long long)z->v, (long long)a->num_heads);
    return NORN_OK;
}

static norn_status infer_heads(norni_infer *c) {
    const attrs_t *a = c->attrs;
    sizes z;
    norn_dtype t = norni_in_type(c, QUERY)->dtype;
    if (norni_in_has(c, PAST_LENGTH) || norni_in_has(c, INDIRECTION))
        return norni_fail(NORN_UNSUPPORTED,
                          "past_sequence_length and cache_indirection: keys and values in a shared buffer");
    for (int i = QUERY; i <= VALUE; i++)
        if (norni_in_has(c, i) && norni_in_type(c, i)->rank < 0)
            return NORN_OK;
    NORNI_TRY(sizes_of(c->node, &z));
    NORNI_TRY(check_mask(c, PADDING));
    if (norni_in_has(c, PAST_K) != norni_in_has(c, PAST_V))
        return norni_fail(NORN_ARG, "past_key and past_value: got one of them (wanted both or none)");
    const norni_type *past = norni_in_type(c, PAST_K);
    if (past && past->rank >= 0 && past->rank != 4)
        return norni_fail(NORN_SHAPE, "past_key has rank %d (wanted 4)", past->rank);
    NORNI_TRY(norni_check_vector(c->node, BIAS, z.q >= 0 && z.v >= 0 ? 2 * z.q + z.v : -1));
    norni_dim total = !past             ? z.keys
                      : past->rank == 4 ? norni_dim_add(c->g, past->dims[2], z.keys)
                                        : norni_dim_fresh(c->g);
    c->out[0] = (norni_type){t, 3, {z.batch, z.queries, z.v}};
    c->out[1] = (norni_type){t, 4, {z.batch, a->num_heads, total, norni_dim_div(c->g, z.q, a->num_heads)}};
    c->out[2] = (norni_type){t, 4, {z.batch, a->num_heads, total, norni_dim_div(c->g, z.v, a->num_heads)}};
    c->out[3] = (norni_type){t, 4, {z.batch, a->num_heads, z.queries, total}};
    return NORN_OK;
}

static norn_value *heads_first(norn_graph *g, norn_value *x, int64_t heads) {
    norni_dim last = x ? x->type.dims[2] : -1;
    int64_t shape[] = {0, 0, heads, last >= 0 ? last / heads : -1};
    return NORNI_OP1(g, NORNI_OP2(g, x, norni_i64_const(g, 4, shape), "Reshape"),
                     "Transpose<perm=[0,2,1,3]>");
}

static norn_status expand_heads(norn_graph *g, const norn_node *node, norn_value **out) {
    const attrs_t *a = node->attrs;
    norn_value *const *in = node->in;
    norn_value *qkv[3] = {in[QUERY], norni_optional(node, KEY), norni_optional(node, VALUE)},
               *b = norni_optional(node, BIAS), *mask = norni_optional(node, PADDING),
               *past_k = norni_optional(node, PAST_K), *bias = norni_optional(node, ADDED);
    sizes z;
    NORNI_TRY(sizes_of(node, &z));
    if (z.packed)
        for (int i = 0; i < 3; i++)
            qkv[i] = flat(g, one_of(g, in[QUERY], 3, i), z.q);
    if (z.packed_kv)
        for (int i = 0; i < 2; i++)
            qkv[1 + i] = flat(g, one_of(g, in[KEY], 3, i), i ? z.v : z.q);
    if (b && (z.q < 0 || z.v < 0))
        return norni_fail(NORN_UNSUPPORTED, "the sizes of the heads are not known");
    for (int i = 0; b && i < (z.ready ? 1 : 3); i++)
        qkv[i] =
            NORNI_OP2(g, qkv[i], norni_part(g, b, -1, i * z.q, i < 2 ? (i + 1) * z.q : 2 * z.q + z.v), "Add");
    norn_value *keys = norni_size_value(g, qkv[1], z.ready ? 2 : 1);
    if (past_k)
        keys = NORNI_OP2(g, keys, norni_size_value(g, past_k, 2), "Add");
    if (z.ready)
        qkv[0] = heads_first(g, qkv[0], a->num_heads);
    NORNI_TRY(norn_graph_status(g));
    bias = mask_bias(g, a, mask, z.batch, keys, bias, qkv[0]->type.dtype);
    norn_node *n =
        attend(g, a, qkv, bias, past_k, norni_optional(node, PAST_V),
               1u | (wants(node, 1) ? 2u : 0u) | (wants(node, 2) ? 4u : 0u) | (wants(node, 3) ? 8u : 0u));
    if (!n)
        return norn_graph_status(g);
    out[0] = n->out[0];
    if (z.ready)
        out[0] = flat(g, NORNI_OP1(g, n->out[0], "Transpose<perm=[0,2,1,3]>"), z.v);
    for (int k = 1; k < 4; k++)
        if (wants(node, k))
            out[k] = n->out[k];
    return norn_graph_status(g);
}

/* ---- Descriptors. */
#define COMMON                                                                                               \
    NORNI_A(attrs_t, num_heads, INT, .flags = NORNI_ATTR_REQUIRED, .lo = 1, .hi = INT32_MAX),                \
        NORNI_A_INT(attrs_t, unidirectional, 0, .lo = 0, .hi = 1),                                           \
        NORNI_A(attrs_t, scale, FLOAT, .flags = NORNI_ATTR_OPTIONAL, .def_float = NORNI_NO_FLOAT),           \
        NORNI_A(attrs_t, mask_filter_value, FLOAT, .flags = NORNI_ATTR_OPTIONAL,                             \
                .def_float = NORNI_NO_FLOAT)
#define PAST_ATTRS NORNI_A_INT(attrs_t, do_rotary, 0), NORNI_A_INT(attrs_t, past_present_share_buffer, 0)
static const norni_attr self_table[] = {COMMON, PAST_ATTRS, NORNI_A_INT(attrs_t, rotary_embedding_dim, 0),
                                        NORNI_A(attrs_t, qkv_hidden_sizes, INTS, .flags = NORNI_ATTR_OPTIONAL,
                                                .lo = 1, .hi = INT32_MAX),
                                        NORNI_A_END},
                        quantised_table[] = {COMMON, PAST_ATTRS, NORNI_A_END},
                        heads_table[] = {COMMON, NORNI_A_END};

const norn_op norni_op_MsAttention = {
    .domain = MS,
    .name = "Attention",
    .doc = "attention of a sequence to itself, with the product that makes q, k and v",
    .versions = (const int[]){1, 0},
    ATTRS(attrs_t, self_table),
    .infer = infer_self,
    .expand = expand_self,
    .inputs = PARAMS({"input", 0, REALS, 'T'}, {"weights", 0, REALS, 'T'}, {"bias", NORNI_OPT, REALS, 'T'},
                     {"mask_index", O, I32S, 0}, {"past", NORNI_OPT, REALS, 'T'},
                     {"attention_bias", NORNI_OPT, REALS, 'T'}, {"past_sequence_length", O, I32S, 0}),
    .outputs = PARAMS({"output", 0, REALS, 'T'}, {"present", NORNI_OPT, REALS, 'T'}),
    .untested_attrs = "do_rotary past_present_share_buffer rotary_embedding_dim",
    CASES(
        "com.microsoft.Attention<num_heads=2>(float[2,3,5], float[5,12], float[12], int32[2]{3,2})",
        "com.microsoft.Attention<num_heads=2, unidirectional=1, scale=0.3>(float[2,3,5], float[5,24], "
        "float[24], _, float[2,2,2,4,4], float[2,1,3,7]) => 2",
        "com.microsoft.Attention<num_heads=3, qkv_hidden_sizes=[6,6,9], mask_filter_value=-3>(float[2,4,5], "
        "float[5,21], _, int32[2,4]{1,1,0,1,1,0,0,0})",
        "com.microsoft.Attention<num_heads=1>(float[2,3,5], float[5,9], float[9], int32[4]{3,2,1,0})",
        "com.microsoft.Attention<num_heads=1>(float[1,3,5], float[5,9], float[9], int32[1,3,3]) => 2")};

const norn_op norni_op_QAttention = {
    .domain = MS,
    .name = "QAttention",
    .doc = "attention of a quantised sequence to itself",
    .versions = (const int[]){1, 0},
    ATTRS(attrs_t, quantised_table),
    .grad = norni_no_gradient,
    .infer = infer_self,
    .expand = expand_quantised,
    .inputs = PARAMS({"input", N, BYTES, 'X'}, {"weight", N, BYTES, 'W'}, {"bias", N, F32S, 0},
                     {"input_scale", N, F32S, 0}, {"weight_scale", N, F32S, 0}, {"mask_index", O, I32S, 0},
                     {"input_zero_point", O, BYTES, 'X'}, {"weight_zero_point", O, BYTES, 'W'},
                     {"past", O, F32S, 0}),
    .outputs = PARAMS({"output", 0, F32S, 0}, {"present", NORNI_OPT, F32S, 0}),
    .untested_attrs = "do_rotary past_present_share_buffer",
    CASES("com.microsoft.QAttention<num_heads=2>(uint8[2,3,5], int8[5,12], float[12], float[]{0.02}, "
          "float[]{0.03}, int32[2]{3,2}, uint8[]{100}, int8[]{2})",
          "com.microsoft.QAttention<num_heads=1, unidirectional=1, scale=0.4, "
          "mask_filter_value=-2>(uint8[2,3,5], "
          "uint8[5,6], float[6], float[1]{0.02}, float[6]{0.1,0.2,0.1,0.3,0.1,0.1}, int32[2,5], _, uint8[6], "
          "float[2,2,1,2,2]) => 2")};

const norn_op norni_op_MultiHeadAttention = {
    .domain = MS,
    .name = "MultiHeadAttention",
    .doc = "attention over several heads, with the bias of the products before it",
    .versions = (const int[]){1, 0},
    ATTRS(attrs_t, heads_table),
    .infer = infer_heads,
    .expand = expand_heads,
    .inputs = PARAMS({"query", 0, REALS, 'T'}, {"key", NORNI_OPT, REALS, 'T'},
                     {"value", NORNI_OPT, REALS, 'T'}, {"bias", NORNI_OPT, REALS, 'T'},
                     {"key_padding_mask", O, I32S, 0}, {"attention_bias", NORNI_OPT, REALS, 'T'},
                     {"past_key", NORNI_OPT, REALS, 'T'}, {"past_value", NORNI_OPT, REALS, 'T'},
                     {"past_sequence_length", O, I32S, 0}, {"cache_indirection", O, I32S, 0}),
    .outputs = PARAMS({"output", 0, REALS, 'T'}, {"present_key", NORNI_OPT, REALS, 'T'},
                      {"present_value", NORNI_OPT, REALS, 'T'}, {"qk", NORNI_OPT, REALS, 'T'}),
    CASES(
        "com.microsoft.MultiHeadAttention<num_heads=2>(float[2,3,4], float[2,5,4], float[2,5,6], float[14], "
        "int32[2]{5,3})",
        "com.microsoft.MultiHeadAttention<num_heads=3, scale=0.4, mask_filter_value=-2>(float[2,4,3,3,5], _, "
        "_, "
        "float[45], int32[2,4]{1,1,1,0,0,1,1,1}, float[1,3,4,4])",
        "com.microsoft.MultiHeadAttention<num_heads=2, unidirectional=1>(float[1,3,4], float[1,3,2,2,2], _, "
        "_, _, "
        "_, float[1,2,2,2], float[1,2,2,2]) => 3",
        "com.microsoft.MultiHeadAttention<num_heads=2>(float[2,3,4], float[2,2,5,2], float[2,2,5,3], "
        "float[14], "
        "int32[2,3,5])")};
