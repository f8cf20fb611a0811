/* SPDX-License-Identifier: Apache-2.0 */
/* LinearAttention (ONNX LinearAttention-27): attention with a state S [d_k, d_v] for each key head, token by token.
 *
 *     S <- e^g S                      gated, gated_delta (g for a head, or for each of its d_k rows)
 *     v <- beta (v - S' k)            delta, gated_delta
 *     S <- S + k v',   o = scale S' q
 *
 * (Katharopoulos et al., 2020; Yang et al., "Gated delta networks", 2024.) query [B, T, H d_k], key [B, T, G d_k], value
 * [B, T, G d_v]; H / G neighbouring heads of query share a state. Computed in float; chunk_size is a hint and changes
 * nothing. */
#include "ops/op.h"
#include <math.h>

typedef struct {
    int64_t chunk_size, kv_num_heads, q_num_heads;
    float scale;
    int update_rule;
} attrs_t;
static const char *const rules[] = {"linear", "gated", "delta", "gated_delta", NULL};
enum { QUERY, KEY, VALUE, PAST, DECAY, BETA };
enum { OUTPUT, PRESENT };

static const norni_attr table[] = {
    NORNI_A_INT(attrs_t, chunk_size, 64),
    NORNI_A_INT(attrs_t, kv_num_heads, 1, .flags = NORNI_ATTR_REQUIRED, .lo = 1, .hi = INT32_MAX),
    NORNI_A_INT(attrs_t, q_num_heads, 1, .flags = NORNI_ATTR_REQUIRED, .lo = 1, .hi = INT32_MAX),
    NORNI_A_FLOAT(attrs_t, scale, 0),
    NORNI_A_ENUM(attrs_t, update_rule, rules, 3),
    NORNI_A_END};

static bool has(const norn_node *node, int i) {
    return i < node->n_in && node->in[i];
}
static bool gated(const norn_node *node) {
    return ((const attrs_t *)node->attrs)->update_rule & 1;
}
static bool delta(const norn_node *node) {
    return ((const attrs_t *)node->attrs)->update_rule & 2;
}

/* ---- Shapes. */
static norn_status divisible(const char *name, norni_dim d, int64_t heads) {
    if (d >= 0 && d % heads)
        return norni_fail(NORN_SHAPE,
                          "'%s' has %lld elements in its last axis (wanted a multiple of %lld heads)", name,
                          (long long)d, (long long)heads);
    return NORN_OK;
}

static norn_status infer(norni_infer *c) {
    const attrs_t *a = c->attrs;
    const norni_type *q = norni_in_type(c, QUERY), *k = norni_in_type(c, KEY), *v = norni_in_type(c, VALUE);
    c->out[PRESENT].dtype = norni_in_has(c, PAST) ? norni_in_type(c, PAST)->dtype : q->dtype;
    if (a->q_num_heads % a->kv_num_heads)
        return norni_fail(NORN_ARG, "q_num_heads is %lld (wanted a multiple of kv_num_heads, %lld)",
                          (long long)a->q_num_heads, (long long)a->kv_num_heads);
    for (int i = DECAY; i <= BETA; i++)
        if (norni_in_has(c, i) != (i == DECAY ? gated(c->node) : delta(c->node)))
            return norni_fail(NORN_ARG, "update_rule %s: '%s' is %s", rules[a->update_rule],
                              i == DECAY ? "decay" : "beta", norni_in_has(c, i) ? "given" : "missing");
    for (int i = 0; i < c->node->n_in; i++)
        if (norni_in_has(c, i) && norni_in_type(c, i)->rank >= 0 &&
            norni_in_type(c, i)->rank != (i == PAST ? 4 : 3))
            return norni_fail(NORN_SHAPE, "'%s' has rank %d (wanted %d)",
                              norni_op_input(c->node->op, i)->name, norni_in_type(c, i)->rank,
                              i == PAST ? 4 : 3);
    if (!norni_in_ranked(c, 3))
        return NORN_OK;
    NORNI_TRY(divisible("query", q->dims[2], a->q_num_heads));
    NORNI_TRY(divisible("key", k->dims[2], a->kv_num_heads));
    NORNI_TRY(divisible("value", v->dims[2], a->kv_num_heads));
    norni_dim dk = norni_dim_div(c->g, q->dims[2], a->q_num_heads),
              dv = norni_dim_div(c->g, v->dims[2], a->kv_num_heads);
    norni_dim key_dk = norni_dim_div(c->g, k->dims[2], a->kv_num_heads);
    if (dk >= 0 && key_dk >= 0 && dk != key_dk)
        return norni_fail(NORN_SHAPE, "key has head size %lld (wanted %lld, as query)", (long long)key_dk,
                          (long long)dk);
    for (int i = 0; i < c->node->n_in; i++)
        for (int n = 0; i != PAST && norni_in_has(c, i) && norni_in_type(c, i)->rank == 3 && n < 2; n++)
            if (norni_in_type(c, i)->dims[n] >= 0 && q->dims[n] >= 0 &&
                norni_in_type(c, i)->dims[n] != q->dims[n])
                return norni_fail(NORN_SHAPE, "'%s' has size %lld in dimension %d (wanted %lld)",
                                  norni_op_input(c->node->op, i)->name,
                                  (long long)norni_in_type(c, i)->dims[n], n, (long long)q->dims[n]);
    for (int i = DECAY; i <= BETA; i++) {
        const norni_type *t = norni_in_has(c, i) ? norni_in_type(c, i) : NULL;
        int64_t other = i == DECAY ? (dk >= 0 ? a->kv_num_heads * dk : -1) : 1;
        if (t && t->rank == 3 && t->dims[2] >= 0 && other >= 0 && t->dims[2] != a->kv_num_heads &&
            t->dims[2] != other)
            return norni_fail(NORN_SHAPE, "'%s' has %lld elements in its last axis (wanted %lld or %lld)",
                              norni_op_input(c->node->op, i)->name, (long long)t->dims[2],
                              (long long)a->kv_num_heads, (long long)other);
    }
    norni_type state = {
        .dtype = c->out[PRESENT].dtype, .rank = 4, .dims = {q->dims[0], a->kv_num_heads, dk, dv}};
    if (norni_in_has(c, PAST) && norni_in_type(c, PAST)->rank == 4)
        for (int n = 0; n < 4; n++)
            if (norni_in_type(c, PAST)->dims[n] >= 0 && state.dims[n] >= 0 &&
                norni_in_type(c, PAST)->dims[n] != state.dims[n])
                return norni_fail(NORN_SHAPE, "past_state has size %lld in dimension %d (wanted %lld)",
                                  (long long)norni_in_type(c, PAST)->dims[n], n, (long long)state.dims[n]);
    norn_dtype t = c->out[OUTPUT].dtype;
    c->out[PRESENT] = state;
    c->out[OUTPUT] = *q;
    c->out[OUTPUT].dtype = t;
    c->out[OUTPUT].dims[2] = norni_dim_mul(c->g, dv, a->q_num_heads);
    return NORN_OK;
}

/* ---- Sizes, when they are known. */
typedef struct {
    int64_t batch, t, heads, groups, dk, dv, decay, beta; /* decay, beta: elements of a token */
    double scale;
} geometry;

static geometry geometry_of(const norn_node *node) {
    const attrs_t *a = node->attrs;
    const norni_dim *q = node->in[QUERY]->type.dims, *v = node->in[VALUE]->type.dims;
    geometry n = {.batch = q[0],
                  .t = q[1],
                  .heads = a->q_num_heads,
                  .groups = a->kv_num_heads,
                  .dk = q[2] / a->q_num_heads,
                  .dv = v[2] / a->kv_num_heads,
                  .decay = has(node, DECAY) ? node->in[DECAY]->type.dims[2] : 0,
                  .beta = has(node, BETA) ? node->in[BETA]->type.dims[2] : 0};
    n.scale = a->scale == 0 ? 1 / sqrt((double)n.dk) : (double)a->scale;
    return n;
}

/* ---- Host reference. */
static double get(const norn_tensor *t, int64_t i) {
    return norni_get_double(t->dtype, norni_tensor_data(t), i);
}
static void put(norn_tensor *t, int64_t i, double v) {
    if (t)
        norni_set_double(t->dtype, norni_tensor_data(t), i, v);
}

static void eval_head(norni_eval *e, const geometry *n, int64_t b, int64_t g, double *s, double *v) {
    int64_t share = n->heads / n->groups, at = (b * n->groups + g) * n->dk * n->dv;
    for (int64_t i = 0; i < n->dk * n->dv; i++)
        s[i] = has(e->node, PAST) ? get(e->in[PAST], at + i) : 0;
    for (int64_t t = 0; t < n->t; t++) {
        int64_t row = b * n->t + t, k0 = (row * n->groups + g) * n->dk, v0 = (row * n->groups + g) * n->dv;
        for (int64_t i = 0; gated(e->node) && i < n->dk * n->dv; i++)
            s[i] *= exp(get(e->in[DECAY], n->decay == n->groups ? row * n->groups + g : k0 + i / n->dv));
        for (int64_t j = 0; j < n->dv; j++) {
            double seen = 0;
            for (int64_t d = 0; d < n->dk; d++)
                seen += s[d * n->dv + j] * get(e->in[KEY], k0 + d);
            v[j] = get(e->in[VALUE], v0 + j);
            if (delta(e->node))
                v[j] = (v[j] - seen) * get(e->in[BETA], row * n->beta + (n->beta == 1 ? 0 : g));
        }
        for (int64_t i = 0; i < n->dk * n->dv; i++)
            s[i] += get(e->in[KEY], k0 + i / n->dv) * v[i % n->dv];
        for (int64_t h = g * share; h < (g + 1) * share; h++)
            for (int64_t j = 0; j < n->dv; j++) {
                double o = 0;
                for (int64_t d = 0; d < n->dk; d++)
                    o += get(e->in[QUERY], (row * n->heads + h) * n->dk + d) * s[d * n->dv + j];
                put(e->out[OUTPUT], (row * n->heads + h) * n->dv + j, o * n->scale);
            }
    }
    for (int64_t i = 0; i < n->dk * n->dv; i++)
        put(e->out[PRESENT], at + i, s[i]);
}

static norn_status eval(norni_eval *e) {
    geometry n = geometry_of(e->node);
    double *s = norni_alloc_array((size_t)(n.dk * n.dv) + 1, sizeof *s),
           *v = norni_alloc_array((size_t)n.dv + 1, sizeof *v);
    for (int64_t i = 0; s && v && i < n.batch * n.groups; i++)
        eval_head(e, &n, i / n.groups, i % n.groups, s, v);
    norn_status st = s && v ? NORN_OK : norni_nomem();
    norni_free(s);
    norni_free(v);
    return st;
}

/* ---- Device: a work-item takes W neighbouring columns of a state. */
enum { MAX_DK = 1024 };
static norn_status emit(norni_emit *e) {
    const norn_node *node = e->node;
    geometry n = geometry_of(node);
    int w = norni_device_is_cpu(e->device) ? 16 : 1;
    int64_t room = 16;
    while (room < n.dk)
        room *= 2;
    if (room > MAX_DK)
        return norni_fail(NORN_UNSUPPORTED, "LinearAttention: head size %lld (wanted at most %d)",
                          (long long)n.dk, MAX_DK);
    while (w > n.dv && w > 1)
        w /= 2;
    w = w == 2 ? 1 : w;
    norn_dtype type = node->in[QUERY]->type.dtype,
               state = has(node, PAST) ? node->in[PAST]->type.dtype : type;
    norni_step *k = norni_emit_kernel(e, "linear_attention.cl", "linear_attention", type);
    norni_step_define(e, k, "W", w);
    norni_step_define(e, k, "DK", room);
    if (state != type)
        norni_step_define(e, k,
                          state == NORN_F32   ? "STATE_F32"
                          : state == NORN_F16 ? "STATE_F16"
                                              : "STATE_BF16",
                          1);
    for (int i = QUERY; i < node->n_in; i++)
        if (has(node, i)) {
            static const char *const names[] = {NULL, NULL, NULL, "PAST", "DECAY", "BETA"};
            if (names[i])
                norni_step_define(e, k, names[i], 1);
            norni_step_buffer(e, k, norni_emit_in(e, i), NORNI_READ);
        }
    for (int i = OUTPUT; i <= PRESENT; i++)
        if (node->out[i]) {
            norni_step_define(e, k, i ? "PRESENT" : "OUTPUT", 1);
            norni_step_buffer(e, k, norni_emit_out(e, i), NORNI_WRITE);
        }
    const int64_t sizes[] = {n.batch, n.t, n.heads, n.groups, n.dk, n.dv, n.decay, n.beta};
    norni_step_i64s(e, k, sizeof sizes / sizeof *sizes, sizes);
    norni_step_f32(e, k, n.scale);
    norni_step_items(e, k, 2, (n.dv + w - 1) / w, n.batch * n.groups, 1);
    return e->status;
}
static const norni_impl impls[] = {{.name = "tokens", .emit = emit}, {0}};

/* ---- By simpler operators: token by token, in float. */
static norn_value *arranged(norn_graph *g, norn_value *x, int64_t groups) { /* [B, T, G D] as [B, G, T, D] */
    norn_value *v = NORNI_OP2(g, norni_cast(g, x, NORN_F32),
                              norni_i64_const(g, 4, (int64_t[]){0, 0, groups, -1}), "Reshape");
    return norni_swap_axes(g, v, 1, 2);
}
static norn_value *token(norn_graph *g, norn_value *x, int64_t t) {
    return norni_part(g, x, 2, t, t + 1);
}

static norn_status expand(norn_graph *g, const norn_node *node, norn_value **out) {
    for (int i = 0; i < node->n_in; i++)
        if (has(node, i) && !norni_type_static(&node->in[i]->type))
            return norni_fail(NORN_UNSUPPORTED, "LinearAttention: the sizes are not known");
    geometry n = geometry_of(node);
    norn_dtype type = node->in[QUERY]->type.dtype;
    norn_value *k = arranged(g, node->in[KEY], n.groups), *v = arranged(g, node->in[VALUE], n.groups);
    norn_value *q = arranged(g, node->in[QUERY], n.groups); /* [B, G, T, share d_k] */
    norn_value *decay = has(node, DECAY) ? arranged(g, node->in[DECAY], n.groups) : NULL,
               *beta = has(node, BETA) ? arranged(g, node->in[BETA], n.beta) : NULL;
    norni_type st = {.dtype = NORN_F32, .rank = 4, .dims = {n.batch, n.groups, n.dk, n.dv}};
    norn_value *s = has(node, PAST) ? norni_cast(g, node->in[PAST], NORN_F32) : norni_fill_const(g, &st, 0);
    norn_value *scale = norni_scalar_const(g, NORN_F32, n.scale), *all = NULL;
    norn_value *queries = norni_i64_const(g, 4, (int64_t[]){0, 0, n.heads / n.groups, n.dk}),
               *line = norni_i64_const(g, 3, (int64_t[]){0, 1, -1});
    for (int64_t t = 0; t < n.t; t++) {
        norn_value *kt = token(g, k, t), *vt = token(g, v, t);
        if (decay)
            s = NORNI_OP2(g, s, norni_swap_last(g, NORNI_OP1(g, token(g, decay, t), "Exp")), "Mul");
        if (beta)
            vt = NORNI_OP2(g, token(g, beta, t), NORNI_OP2(g, vt, NORNI_OP2(g, kt, s, "MatMul"), "Sub"),
                           "Mul");
        s = NORNI_OP2(g, s, NORNI_OP2(g, norni_swap_last(g, kt), vt, "Mul"), "Add");
        norn_value *o = NORNI_OP2(g, NORNI_OP2(g, token(g, q, t), queries, "Reshape"), s, "MatMul");
        o = NORNI_OP2(g, NORNI_OP2(g, o, scale, "Mul"), line, "Reshape");
        all = all ? NORNI_OP2(g, all, o, "Concat<axis=1>") : o;
        NORNI_TRY(norn_graph_status(g));
    }
    if (!all) {
        st = node->out[OUTPUT] ? node->out[OUTPUT]->type : (norni_type){.dtype = type, .rank = 0};
        all = norni_fill_const(g, &st, 0);
    }
    out[OUTPUT] = norni_cast(g, all, type);
    if (node->n_out > PRESENT && node->out[PRESENT]) {
        s = norni_cast(g, s, node->out[PRESENT]->type.dtype);
        out[PRESENT] = has(node, PAST) && s == node->in[PAST] ? NORNI_OP1(g, s, "Identity") : s;
    }
    return norn_graph_status(g);
}

static void cost(const norn_node *node, norni_cost *c) {
    geometry n = geometry_of(node);
    c->flops = (double)(n.batch * n.t * n.dk * n.dv) * (double)(6 * n.groups + 2 * n.heads);
}

#define TYPES (NORNI_T(NORN_F32) | NORNI_T(NORN_F16) | NORNI_T(NORN_BF16))
const norn_op norni_op_LinearAttention = {
    .domain = "",
    .name = "LinearAttention",
    .versions = (const int[]){27, 0},
    .doc = "attention with a state that is updated token by token",
    .inputs = (const norni_param[]){{"query", 0, TYPES, 'T'},
                                    {"key", 0, TYPES, 'T'},
                                    {"value", 0, TYPES, 'T'},
                                    {"past_state", NORNI_OPT, TYPES, 'S'},
                                    {"decay", NORNI_OPT, TYPES, 'T'},
                                    {"beta", NORNI_OPT, TYPES, 'T'},
                                    {0}},
    .outputs = (const norni_param[]){{"output", 0, TYPES, 'T'}, {"present_state", 0, TYPES, 'S'}, {0}},
    .attrs_bytes = sizeof(attrs_t),
    .attrs = table,
    .infer = infer,
    .expand = expand,
    .eval = eval,
    .impls = impls,
    .cost = cost,
    .untested_attrs = "chunk_size",
    .cases = (const char *const[]){"LinearAttention<q_num_heads=2, kv_num_heads=2>(float[2,5,8], "
                                   "float[2,5,8], float[2,5,12], float[2,2,4,6], "
                                   "float[2,5,8], float[2,5,2]) => 2",
                                   "LinearAttention<q_num_heads=4, kv_num_heads=2, update_rule=\"linear\", "
                                   "scale=0.4>(float[1,3,16], float[1,3,8], "
                                   "float[1,3,6]) => 2",
                                   "LinearAttention<q_num_heads=2, kv_num_heads=1, "
                                   "update_rule=\"gated\">(float[2,4,6], float[2,4,3], float[2,4,37], _, "
                                   "float[2,4,1]) => 2",
                                   "LinearAttention<q_num_heads=3, kv_num_heads=3, "
                                   "update_rule=\"delta\">(float[1,4,9], float[1,4,9], float[1,4,60], _, _, "
                                   "float[1,4,1])",
                                   "LinearAttention<q_num_heads=2, kv_num_heads=2>(float16[2,5,8], "
                                   "float16[2,5,8], float16[2,5,12], float[2,2,4,6], "
                                   "float16[2,5,2], float16[2,5,2]) => 2",
                                   NULL},
};
