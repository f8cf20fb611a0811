/* SPDX-License-Identifier: Apache-2.0 */
/* Attention (ONNX Attention-25): multi-head, grouped and multi-query attention with a mask, a causal or sliding window, and
 * keys and values kept from before. It stands for norn.AttentionCore (ops/attention.h); inputs of rank 3 have the heads within
 * their last axis.
 *
 * Query i is at position i + offset: the number of past keys, or nonpad_kv_seqlen - Sq. A mask shorter than the keys is
 * filled up with "not seen". The softmax is computed in float at least. */
#include "ops/attention.h"
#include <math.h>

typedef struct {
    int64_t is_causal, q_num_heads, kv_num_heads, qk_matmul_output_mode, left_window_size, right_window_size;
    float scale, softcap;
    norn_dtype softmax_precision;
} attrs_t;
enum { Q, K, V, MASK, PAST_K, PAST_V, NONPAD };
enum { Y, PRESENT_K, PRESENT_V, SCORES };

static bool has(const norn_node *node, int i) {
    return i < node->n_in && node->in[i];
}
static bool wants(const norn_node *node, int k) {
    return k < node->n_out && node->out[k];
}

/* ---- Shapes. */
static norn_status bad_size(const char *what, norni_dim got, norni_dim want) {
    return norni_fail(NORN_SHAPE, "%s: got %lld (wanted %lld)", what, (long long)got, (long long)want);
}
static bool differ(norni_dim a, norni_dim b) {
    return a >= 0 && b >= 0 && a != b;
}

/* An input of rank 3 or 4 as [B, heads, S, D]. */
static norn_status split(norni_infer *c, int i, int64_t heads, norni_type *t) {
    const char *name = norni_op_input(c->node->op, i)->name;
    *t = *norni_in_type(c, i);
    if (t->rank == 4)
        return NORN_OK;
    if (heads == NORNI_NO_INT)
        return norni_fail(NORN_ARG, "'%s' has rank 3, which needs q_num_heads and kv_num_heads", name);
    if (t->dims[2] >= 0 && t->dims[2] % heads)
        return norni_fail(NORN_SHAPE,
                          "'%s' has %lld elements in its last axis (wanted a multiple of %lld heads)", name,
                          (long long)t->dims[2], (long long)heads);
    norni_dim s = t->dims[1], d = norni_dim_div(c->g, t->dims[2], heads);
    t->rank = 4;
    t->dims[1] = heads;
    t->dims[2] = s;
    t->dims[3] = d;
    return NORN_OK;
}

static norn_status check_inputs(norni_infer *c) {
    const attrs_t *a = c->attrs;
    int rank = norni_in_type(c, Q)->rank;
    for (int i = Q; i <= V; i++)
        if (norni_in_type(c, i)->rank != rank || (rank != 3 && rank != 4))
            return norni_fail(NORN_SHAPE, "'%s' has rank %d (wanted 3 or 4, the same for Q, K and V)",
                              norni_op_input(c->node->op, i)->name, norni_in_type(c, i)->rank);
    if (has(c->node, PAST_K) != has(c->node, PAST_V))
        return norni_fail(NORN_ARG, "past_key and past_value: got one of them (wanted both or none)");
    if (has(c->node, PAST_K) && has(c->node, NONPAD))
        return norni_fail(NORN_ARG, "nonpad_kv_seqlen goes not together with past_key and past_value");
    if (a->softmax_precision != NORN_UNDEFINED && !norni_dtype_is_float(a->softmax_precision))
        return norni_fail(NORN_ARG, "softmax_precision is %s (wanted a floating-point type)",
                          norni_dtype_name(a->softmax_precision));
    return NORN_OK;
}

static norn_status check_mask(norni_infer *c, const norni_type *full) {
    const norni_type *m = norni_in_type(c, MASK);
    if (m->rank < 0)
        return NORN_OK;
    if (m->rank < 1 || m->rank > 4)
        return norni_fail(NORN_SHAPE, "attn_mask has rank %d (wanted 1 to 4)", m->rank);
    for (int i = 0; i < m->rank; i++) {
        norni_dim got = m->dims[m->rank - 1 - i], want = full->dims[3 - i];
        if (i == 0 ? got >= 0 && want >= 0 && got > want : got != 1 && differ(got, want))
            return norni_fail(NORN_SHAPE, "attn_mask has size %lld in dimension %d (wanted %s%lld)",
                              (long long)got, m->rank - 1 - i, i ? "1 or " : "at most ", (long long)want);
    }
    return NORN_OK;
}

static norn_status infer(norni_infer *c) {
    const attrs_t *a = c->attrs;
    norni_type q, k, v;
    if (!norni_in_ranked(c, 3))
        return NORN_OK;
    NORNI_TRY(check_inputs(c));
    NORNI_TRY(split(c, Q, a->q_num_heads, &q));
    NORNI_TRY(split(c, K, a->kv_num_heads, &k));
    NORNI_TRY(split(c, V, a->kv_num_heads, &v));
    if (differ(q.dims[0], k.dims[0]) || differ(k.dims[0], v.dims[0]))
        return bad_size("K or V has another batch than Q",
                        differ(q.dims[0], k.dims[0]) ? k.dims[0] : v.dims[0], q.dims[0]);
    if (differ(k.dims[1], v.dims[1]))
        return bad_size("V has other heads than K", v.dims[1], k.dims[1]);
    if (differ(k.dims[2], v.dims[2]))
        return bad_size("V has another length than K", v.dims[2], k.dims[2]);
    if (differ(q.dims[3], k.dims[3]))
        return bad_size("K has another head size than Q", k.dims[3], q.dims[3]);
    if (q.dims[1] >= 0 && k.dims[1] > 0 && q.dims[1] % k.dims[1])
        return norni_fail(NORN_SHAPE, "Q has %lld heads (wanted a multiple of the %lld of K)",
                          (long long)q.dims[1], (long long)k.dims[1]);
    norni_dim total = k.dims[2];
    for (int i = PAST_K; i <= PAST_V; i++) {
        const norni_type *past = has(c->node, i) ? norni_in_type(c, i) : NULL;
        const norni_type *now = i == PAST_K ? &k : &v;
        if (!past || past->rank < 0)
            continue;
        if (past->rank != 4)
            return norni_fail(NORN_SHAPE, "'%s' has rank %d (wanted 4)", norni_op_input(c->node->op, i)->name,
                              past->rank);
        for (int n = 0; n < 4; n++)
            if (n != 2 && differ(past->dims[n], now->dims[n]))
                return norni_fail(NORN_SHAPE, "'%s' has size %lld in dimension %d (wanted %lld)",
                                  norni_op_input(c->node->op, i)->name, (long long)past->dims[n], n,
                                  (long long)now->dims[n]);
        if (i == PAST_K)
            total = norni_dim_add(c->g, past->dims[2], k.dims[2]);
    }
    norni_type scores = q;
    scores.dims[3] = total;
    if (has(c->node, MASK))
        NORNI_TRY(check_mask(c, &scores));
    if (has(c->node, NONPAD) && norni_in_type(c, NONPAD)->rank >= 0 && norni_in_type(c, NONPAD)->rank != 1)
        return norni_fail(NORN_SHAPE, "nonpad_kv_seqlen has rank %d (wanted 1)",
                          norni_in_type(c, NONPAD)->rank);
    norn_dtype tv = norni_in_type(c, V)->dtype;
    k.dims[2] = v.dims[2] = total;
    v.dtype = tv;
    c->out[PRESENT_K] = k;
    c->out[PRESENT_V] = v;
    c->out[SCORES] = scores;
    c->out[Y] = q;
    c->out[Y].dims[3] = v.dims[3];
    if (norni_in_type(c, Q)->rank == 3) {
        c->out[Y].rank = 3;
        c->out[Y].dims[1] = q.dims[2];
        c->out[Y].dims[2] = norni_dim_mul(c->g, v.dims[3], q.dims[1]);
    }
    return NORN_OK;
}

/* lo and hi from the attributes, relative to the query's position. */
static void bounds(const attrs_t *a, int64_t *lo, int64_t *hi) {
    *lo = a->left_window_size < 0 ? NORNI_ATTENTION_LO : -a->left_window_size;
    *hi = a->right_window_size < 0 ? NORNI_ATTENTION_HI : a->right_window_size;
    if (a->is_causal && *hi > 0)
        *hi = 0;
}

/* ---- Host reference. */
static norni_attention_view view(const norn_tensor *t, int64_t heads) {
    if (t->rank == 3)
        return (norni_attention_view){t, t->dims[1] * t->dims[2], t->dims[2] / heads, t->dims[2]};
    return (norni_attention_view){t, t->dims[1] * t->dims[2] * t->dims[3], t->dims[2] * t->dims[3],
                                  t->dims[3]};
}

static void copy_present(const norn_tensor *past, const norni_attention_view *now, norn_tensor *out) {
    int64_t n = out->dims[2], d = out->dims[3], before = past ? past->dims[2] : 0;
    for (int64_t i = 0, all = norni_tensor_elems(out); i < all; i++) {
        int64_t e = i % d, s = i / d % n, h = i / d / n % out->dims[1], b = i / d / n / out->dims[1];
        const norn_tensor *from = s < before ? past : now->t;
        int64_t at = s < before ? ((b * out->dims[1] + h) * before + s) * d + e
                                : b * now->b + h * now->h + (s - before) * now->s + e;
        norni_set_double(out->dtype, norni_tensor_data(out), i,
                         norni_get_double(from->dtype, norni_tensor_data(from), at));
    }
}

static norn_status eval(norni_eval *e) {
    const attrs_t *a = e->attrs;
    const norn_node *node = e->node;
    const norn_tensor *q = e->in[Q], *k = e->in[K], *v = e->in[V];
    bool flat = q->rank == 3;
    norni_attention_reference r = {.batch = q->dims[0],
                                   .heads = flat ? a->q_num_heads : q->dims[1],
                                   .groups = flat ? a->kv_num_heads : k->dims[1],
                                   .queries = flat ? q->dims[1] : q->dims[2],
                                   .keys = flat ? k->dims[1] : k->dims[2],
                                   .mode = (int)a->qk_matmul_output_mode,
                                   .softcap = (double)a->softcap,
                                   .mask = has(node, MASK) ? e->in[MASK] : NULL,
                                   .nonpad = has(node, NONPAD) ? e->in[NONPAD] : NULL,
                                   .from_nonpad = has(node, NONPAD),
                                   .scores = wants(node, SCORES) ? e->out[SCORES] : NULL};
    r.d = flat ? q->dims[2] / r.heads : q->dims[3];
    r.e = flat ? v->dims[2] / r.groups : v->dims[3];
    r.q = view(q, r.heads);
    r.k = view(k, r.groups);
    r.v = view(v, r.groups);
    if (wants(node, Y))
        r.y = view(e->out[Y], r.heads);
    if (has(node, PAST_K)) {
        r.past = e->in[PAST_K]->dims[2];
        r.past_k = view(e->in[PAST_K], 0);
        r.past_v = view(e->in[PAST_V], 0);
    }
    r.mask_keys = r.mask ? r.mask->dims[r.mask->rank - 1] : 0;
    r.scale = isnan(a->scale) ? 1 / sqrt((double)r.d) : (double)a->scale;
    bounds(a, &r.lo, &r.hi);
    r.lo += r.lo > NORNI_ATTENTION_LO ? r.past : 0;
    r.hi += r.hi < NORNI_ATTENTION_HI ? r.past : 0;
    if (wants(node, PRESENT_K))
        copy_present(has(node, PAST_K) ? e->in[PAST_K] : NULL, &r.k, e->out[PRESENT_K]);
    if (wants(node, PRESENT_V))
        copy_present(has(node, PAST_V) ? e->in[PAST_V] : NULL, &r.v, e->out[PRESENT_V]);
    return norni_attention_eval(&r);
}

/* ---- By norn.AttentionCore. */
static norn_value *heads_first(norn_graph *g, norn_value *x, int64_t heads) {
    if (!x || x->type.rank == 4)
        return x;
    const norni_dim *d = x->type.dims;
    norn_value *y;
    if (norni_type_static(&x->type))
        y = NORNI_OP2(g, x, norni_i64_const(g, 4, (int64_t[]){d[0], d[1], heads, d[2] / heads}),
                      "Reshape<allowzero=1>");
    else
        y = NORNI_OP2(g, x, norni_i64_const(g, 4, (int64_t[]){0, 0, heads, -1}), "Reshape");
    return norni_swap_axes(g, y, 1, 2);
}

static norn_value *heads_last(norn_graph *g, norn_value *y) {
    y = norni_swap_axes(g, y, 1, 2);
    if (!y)
        return NULL;
    const norni_dim *d = y->type.dims;
    if (norni_type_static(&y->type))
        return NORNI_OP2(g, y, norni_i64_const(g, 3, (int64_t[]){d[0], d[1], d[2] * d[3]}),
                         "Reshape<allowzero=1>");
    return NORNI_OP2(g, y, norni_i64_const(g, 3, (int64_t[]){0, 0, -1}), "Reshape");
}

static norn_value *add(norn_graph *g, norn_value *a, norn_value *b) {
    return a && b ? NORNI_OP2(g, a, b, "Add") : a ? a : b;
}

/* The mask as something to add, as long as the keys. */
static norn_value *mask_bias(norn_graph *g, norn_value *mask, norn_dtype t, const norn_value *k) {
    norn_value *low = norni_scalar_const(g, t, -(double)INFINITY);
    if (mask->type.rank < 1)
        return norni_graph_failed(g, norni_fail(NORN_UNSUPPORTED, "Attention: the mask's rank is not known"));
    norn_value *b = mask->type.dtype == NORN_BOOL
                        ? NORNI_OP3(g, mask, norni_scalar_const(g, t, 0), low, "Where")
                        : norni_cast(g, mask, t);
    norni_dim n = mask->type.dims[mask->type.rank - 1], all = k->type.dims[2];
    if (n < 0 || all < 0 || n == all)
        return b;
    int64_t pads[2 * NORN_MAX_RANK] = {0};
    pads[2 * mask->type.rank - 1] = all - n;
    return NORNI_OP3(g, b, norni_i64_const(g, 2 * mask->type.rank, pads), low, "Pad");
}

static norn_status expand(norn_graph *g, const norn_node *node, norn_value **out) {
    const attrs_t *a = node->attrs;
    norn_value *q = heads_first(g, node->in[Q], a->q_num_heads),
               *k = heads_first(g, node->in[K], a->kv_num_heads),
               *v = heads_first(g, node->in[V], a->kv_num_heads), *bias = NULL, *offset = NULL;
    if (!q || !k || !v)
        return norn_graph_status(g);
    if (q->type.rank != 4 || k->type.rank != 4 || v->type.rank != 4)
        return norni_fail(NORN_UNSUPPORTED, "Attention: a rank is not known");
    norn_dtype t = q->type.dtype;
    norn_value *queries = norni_size_value(g, q, 2);
    int64_t past = 0;
    norni_attention_attrs core = {
        .scale = a->scale, .softcap = a->softcap, .precision = a->softmax_precision};
    bounds(a, &core.lo, &core.hi);
    bool bound = core.lo > NORNI_ATTENTION_LO || core.hi < NORNI_ATTENTION_HI;
    if (has(node, PAST_K)) {
        past = node->in[PAST_K]->type.rank == 4 ? node->in[PAST_K]->type.dims[2] : -1;
        if (past < 0)
            offset = NORNI_OP2(g, norni_size_value(g, node->in[PAST_K], 2),
                               norni_i64_const(g, 4, (int64_t[]){1, 1, 1, 1}), "Reshape");
        k = NORNI_OP2(g, node->in[PAST_K], k, "Concat<axis=2>");
        v = NORNI_OP2(g, node->in[PAST_V], v, "Concat<axis=2>");
    }
    if (!k || !v)
        return norn_graph_status(g);
    for (int i = PRESENT_K; i <= PRESENT_V; i++)
        if (wants(node, i)) {
            norn_value *x = i == PRESENT_K ? k : v;
            out[i] = x == node->in[i == PRESENT_K ? K : V] ? NORNI_OP1(g, x, "Identity") : x;
        }
    if (has(node, MASK))
        bias = mask_bias(g, node->in[MASK], t, k);
    if (has(node, NONPAD)) {
        norn_value *n =
            NORNI_OP2(g, node->in[NONPAD], norni_i64_const(g, 4, (int64_t[]){-1, 1, 1, 1}), "Reshape");
        norn_value *one = norni_i64_const(g, 1, (int64_t[]){1});
        /* j - 0 <= nonpad - 1 */
        bias = add(g, bias,
                   norni_attention_window(g, t, one, norni_size_value(g, k, 2), NORNI_ATTENTION_LO, -1, n));
        offset = NORNI_OP2(g, n, queries, "Sub");
    }
    if (bound && offset) {
        bias =
            add(g, bias,
                norni_attention_window(g, t, queries, norni_size_value(g, k, 2), core.lo, core.hi, offset));
        core.lo = NORNI_ATTENTION_LO;
        core.hi = NORNI_ATTENTION_HI;
    } else if (past > 0) {
        core.lo += core.lo > NORNI_ATTENTION_LO ? past : 0;
        core.hi += core.hi < NORNI_ATTENTION_HI ? past : 0;
    }
    NORNI_TRY(norn_graph_status(g));
    norn_value *y;
    if (wants(node, SCORES))
        y = norni_attention_nodes(g, &core, q, k, v, bias, (int)a->qk_matmul_output_mode, &out[SCORES]);
    else {
        norn_value *in[] = {q, k, norni_cast(g, v, t), bias ? bias : NORNI_NONE};
        norn_node *n = norni_apply(g, norni_op_find("norn", "AttentionCore"), &core, 4, in, 1);
        y = n ? n->out[0] : NULL;
    }
    out[Y] = node->in[Q]->type.rank == 3 ? heads_last(g, y) : y;
    return norn_graph_status(g);
}

static norn_status lower(norni_adapt *a) {
    const attrs_t *at = a->node->attrs;
    if (a->version < 25 && (at->left_window_size >= 0 || at->right_window_size >= 0)) {
        a->replaced = true;
        return expand(a->g, a->node, a->out);
    }
    if (a->version < 24 && has(a->node, NONPAD)) {
        a->replaced = true;
        return expand(a->g, a->node, a->out);
    }
    return NORN_OK;
}

static void cost(const norn_node *node, norni_cost *c) {
    const norni_type *q = &node->in[Q]->type, *k = &node->in[K]->type;
    double d = q->rank == 4 ? (double)q->dims[1] * (double)q->dims[3] : (double)q->dims[2];
    c->flops = 4 * d * (double)q->dims[0] * (double)q->dims[q->rank - 2] * (double)k->dims[k->rank - 2];
}

static const norni_attr table[] = {
    NORNI_A_INT(attrs_t, is_causal, 0, .lo = 0, .hi = 1),
    NORNI_A(attrs_t, q_num_heads, INT, .flags = NORNI_ATTR_OPTIONAL, .lo = 1, .hi = INT32_MAX),
    NORNI_A(attrs_t, kv_num_heads, INT, .flags = NORNI_ATTR_OPTIONAL, .lo = 1, .hi = INT32_MAX),
    NORNI_A(attrs_t, scale, FLOAT, .flags = NORNI_ATTR_OPTIONAL),
    NORNI_A_FLOAT(attrs_t, softcap, 0),
    NORNI_A(attrs_t, softmax_precision, DTYPE, .flags = NORNI_ATTR_OPTIONAL),
    NORNI_A_INT(attrs_t, qk_matmul_output_mode, 0, .lo = 0, .hi = 3),
    NORNI_A_INT(attrs_t, left_window_size, -1, .lo = -1, .hi = INT32_MAX - 1, .since = 25),
    NORNI_A_INT(attrs_t, right_window_size, -1, .lo = -1, .hi = INT32_MAX - 1, .since = 25),
    NORNI_A_END};

const norn_op norni_op_Attention = {
    .domain = "",
    .name = "Attention",
    .versions = (const int[]){23, 24, 25, 0},
    .doc = "scaled dot product attention over several heads",
    .inputs = (const norni_param[]){{"Q", 0, NORNI_FLOATS, 'T'},
                                    {"K", 0, NORNI_FLOATS, 'T'},
                                    {"V", 0, NORNI_FLOATS, 'V'},
                                    {"attn_mask", NORNI_OPT, NORNI_ANY, 0},
                                    {"past_key", NORNI_OPT, NORNI_FLOATS, 'T'},
                                    {"past_value", NORNI_OPT, NORNI_FLOATS, 'V'},
                                    {"nonpad_kv_seqlen", NORNI_OPT | NORNI_NODIFF | NORNI_SINCE(24),
                                     NORNI_T(NORN_I64), 0},
                                    {0}},
    .outputs = (const norni_param[]){{"Y", 0, NORNI_FLOATS, 'T'},
                                     {"present_key", NORNI_OPT, NORNI_FLOATS, 'T'},
                                     {"present_value", NORNI_OPT, NORNI_FLOATS, 'V'},
                                     {"qk_matmul_output", NORNI_OPT, NORNI_FLOATS, 'T'},
                                     {0}},
    .attrs_bytes = sizeof(attrs_t),
    .attrs = table,
    .lower = lower,
    .infer = infer,
    .expand = expand,
    .eval = eval,
    .cost = cost,
    .cases =
        (const char *const[]){
            "Attention(float[2,3,4,8], float[2,3,6,8], float[2,3,6,10])",
            "Attention<q_num_heads=4, kv_num_heads=2, scale=0.4>(float[2,5,16], float[2,7,8], float[2,7,12])",
            "Attention<is_causal=1>(float[1,2,5,4], float[1,2,5,4], float[1,2,5,4], bool[5,5]) => 1",
            "Attention<softcap=0.6, qk_matmul_output_mode=1>(float[1,4,3,4], float[1,2,5,4], float[1,2,5,4], "
            "float[4,3,5], float[1,2,2,4], float[1,2,2,4]) => 4",
            "Attention<is_causal=1, qk_matmul_output_mode=3>(float[1,2,3,4], float[1,2,3,4], float[1,2,3,4], "
            "_, "
            "float[1,2,2,4], float[1,2,2,4]) => 4",
            "Attention<left_window_size=1, right_window_size=2, softmax_precision=11>(float[1,1,6,4], "
            "float[1,1,5,4], "
            "float[1,1,5,4])",
            "Attention<left_window_size=2, is_causal=1, qk_matmul_output_mode=0>(float[2,1,3,4], "
            "float[2,1,6,4], "
            "float[2,1,6,4], float[3,4], _, _, int64[2]{2,4}) => 4",
            "Attention(float[2,2,3,4], float[2,2,6,4], float[2,2,6,4], int32[1,1,3,6])", NULL},
};
