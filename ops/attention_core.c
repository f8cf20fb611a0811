/* SPDX-License-Identifier: Apache-2.0 */
/* norn.AttentionCore: see ops/attention.h. */
#include "ops/attention.h"
#include <math.h>

typedef norni_attention_attrs attrs_t;
enum { Q, K, V, BIAS };

static bool has(const norn_node *node, int i) {
    return i < node->n_in && node->in[i];
}

static norn_status infer(norni_infer *c) {
    const norni_type *q = norni_in_type(c, Q), *k = norni_in_type(c, K), *v = norni_in_type(c, V);
    if (!norni_in_ranked(c, 3))
        return NORN_OK;
    if (q->rank != 4 || k->rank != 4 || v->rank != 4)
        return norni_fail(NORN_SHAPE, "q, k, v have ranks %d, %d, %d (wanted 4)", q->rank, k->rank, v->rank);
    const struct {
        const char *what;
        norni_dim a, b;
    } same[] = {{"k has another batch than q", q->dims[0], k->dims[0]},
                {"v has another batch than q", q->dims[0], v->dims[0]},
                {"v has other heads than k", k->dims[1], v->dims[1]},
                {"v has another length than k", k->dims[2], v->dims[2]},
                {"k has another depth than q", q->dims[3], k->dims[3]}};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        if (same[i].a >= 0 && same[i].b >= 0 && same[i].a != same[i].b)
            return norni_fail(NORN_SHAPE, "%s: %lld (wanted %lld)", same[i].what, (long long)same[i].b,
                              (long long)same[i].a);
    if (q->dims[1] >= 0 && k->dims[1] >= 0 && (k->dims[1] ? q->dims[1] % k->dims[1] : q->dims[1]))
        return norni_fail(NORN_SHAPE, "q has %lld heads (wanted a multiple of the %lld of k)",
                          (long long)q->dims[1], (long long)k->dims[1]);
    c->out[0] = *q;
    c->out[0].dims[3] = v->dims[3];
    if (norni_in_has(c, BIAS)) {
        norni_type s = *q;
        s.dims[3] = k->dims[2];
        norni_type full = s;
        NORNI_TRY(norni_broadcast(c->g, &s, norni_in_type(c, BIAS)));
        bool wider = s.rank > 4;
        for (int i = 0; i < 4 && !wider; i++)
            wider = full.dims[i] == 1 && s.dims[i] > 1;
        if (wider)
            return norni_fail(NORN_SHAPE, "bias does not broadcast to the scores");
    }
    return NORN_OK;
}

/* 1 / sqrt(D) where it is absent. */
static double scale_of(const attrs_t *a, int64_t depth) {
    return isnan(a->scale) ? 1 / sqrt((double)depth) : (double)a->scale;
}

/* ---- Host reference. */
static double view_get(const norni_attention_view *v, int64_t b, int64_t h, int64_t s, int64_t e) {
    return norni_get_double(v->t->dtype, norni_tensor_data(v->t), b * v->b + h * v->h + s * v->s + e);
}

/* The bias of a mask for one score; -inf beyond its last key. */
static double mask_get(const norni_attention_reference *r, const int64_t at[4]) {
    const norn_tensor *m = r->mask;
    int64_t i = 0, step = 1;
    if (!m)
        return 0;
    if (at[3] >= r->mask_keys)
        return -(double)INFINITY;
    for (int k = 0; k < m->rank; k++) {
        int64_t size = m->dims[m->rank - 1 - k];
        i += size == 1 ? 0 : at[3 - k] * step;
        step *= size;
    }
    if (m->dtype == NORN_BOOL)
        return norni_get_int(m->dtype, norni_tensor_data(m), i) ? 0 : -(double)INFINITY;
    return norni_get_double(m->dtype, norni_tensor_data(m), i);
}

norn_status norni_attention_eval(const norni_attention_reference *r) {
    int64_t total = r->past + r->keys, share = r->groups ? r->heads / r->groups : 1;
    double *p = norni_alloc_array((size_t)total + 1, sizeof *p);
    if (!p)
        return norni_nomem();
    for (int64_t n = 0; n < r->batch * r->heads * r->queries; n++) {
        int64_t i = n % r->queries, h = n / r->queries % r->heads, b = n / r->queries / r->heads,
                g = h / share;
        int64_t valid = r->nonpad ? norni_get_int(r->nonpad->dtype, norni_tensor_data(r->nonpad), b) : total;
        int64_t offset = r->from_nonpad ? valid - r->queries : 0;
        double top = -(double)INFINITY, sum = 0;
        bool any = false;
        for (int64_t j = 0; j < total; j++) {
            double s = 0;
            for (int64_t d = 0; d < r->d; d++)
                s += view_get(&r->q, b, h, i, d) *
                     (j < r->past ? view_get(&r->past_k, b, g, j, d) : view_get(&r->k, b, g, j - r->past, d));
            s *= r->scale;
            double capped = r->softcap > 0 ? r->softcap * tanh(s / r->softcap) : s;
            double bias = mask_get(r, (int64_t[]){b, h, i, j});
            bool seen = (r->lo <= NORNI_ATTENTION_LO || j - i >= r->lo + offset) &&
                        (r->hi >= NORNI_ATTENTION_HI || j - i <= r->hi + offset) && j < valid;
            bias = seen ? bias : -(double)INFINITY;
            any |= bias != -(double)INFINITY;
            p[j] = bias == -(double)INFINITY ? bias : capped + bias;
            top = fmax(top, p[j]);
            if (r->scores && r->mode < 3)
                norni_set_double(r->scores->dtype, norni_tensor_data(r->scores), n * total + j,
                                 r->mode == 0   ? s
                                 : r->mode == 1 ? capped
                                                : p[j]);
        }
        for (int64_t j = 0; j < total; j++)
            sum += p[j] = any ? exp(p[j] - top) : 0;
        for (int64_t j = 0; j < total; j++) {
            p[j] = any ? p[j] / sum : r->blind_nan ? (double)NAN : 0;
            if (r->scores && r->mode == 3)
                norni_set_double(r->scores->dtype, norni_tensor_data(r->scores), n * total + j, p[j]);
        }
        for (int64_t e = 0; e < r->e && r->y.t; e++) {
            double y = 0;
            for (int64_t j = 0; j < total; j++)
                if (p[j] != 0)
                    y += p[j] * (j < r->past ? view_get(&r->past_v, b, g, j, e)
                                             : view_get(&r->v, b, g, j - r->past, e));
            norni_set_double(r->y.t->dtype, norni_tensor_data(r->y.t),
                             b * r->y.b + h * r->y.h + i * r->y.s + e, y);
        }
    }
    norni_free(p);
    return NORN_OK;
}

static norni_attention_view packed(const norn_tensor *t) {
    return (norni_attention_view){t, t->dims[1] * t->dims[2] * t->dims[3], t->dims[2] * t->dims[3],
                                  t->dims[3]};
}

static norn_status eval(norni_eval *e) {
    const attrs_t *a = e->attrs;
    const norn_tensor *q = e->in[Q], *k = e->in[K], *v = e->in[V];
    return norni_attention_eval(&(norni_attention_reference){.batch = q->dims[0],
                                                             .heads = q->dims[1],
                                                             .groups = k->dims[1],
                                                             .queries = q->dims[2],
                                                             .keys = k->dims[2],
                                                             .d = q->dims[3],
                                                             .e = v->dims[3],
                                                             .q = packed(q),
                                                             .k = packed(k),
                                                             .v = packed(v),
                                                             .y = packed(e->out[0]),
                                                             .mask = has(e->node, BIAS) ? e->in[BIAS] : NULL,
                                                             .mask_keys = k->dims[2],
                                                             .scale = scale_of(a, q->dims[3]),
                                                             .softcap = (double)a->softcap,
                                                             .lo = a->lo,
                                                             .hi = a->hi,
                                                             .blind_nan = a->blind_nan != 0});
}

/* ---- By simpler operators. */
norn_value *norni_attention_window(norn_graph *g, norn_dtype t, norn_value *queries, norn_value *keys,
                                   int64_t lo, int64_t hi, norn_value *offset) {
    norn_value *i = norni_counted(g, queries), *j = norni_counted(g, keys), *in = NULL;
    i = NORNI_OP2(g, i, norni_i64_const(g, 3, (int64_t[]){0, 1, 3}), "Unsqueeze");
    j = NORNI_OP2(g, j, norni_i64_const(g, 3, (int64_t[]){0, 1, 2}), "Unsqueeze");
    norn_value *d = NORNI_OP2(g, j, i, "Sub");
    if (offset)
        d = NORNI_OP2(g, d, offset, "Sub");
    if (hi < NORNI_ATTENTION_HI)
        in = NORNI_OP2(g, d, norni_scalar_const(g, NORN_I64, (double)hi), "LessOrEqual");
    if (lo > NORNI_ATTENTION_LO) {
        norn_value *low = NORNI_OP2(g, d, norni_scalar_const(g, NORN_I64, (double)lo), "GreaterOrEqual");
        in = in ? NORNI_OP2(g, in, low, "And") : low;
    }
    return NORNI_OP3(g, in, norni_scalar_const(g, t, 0), norni_scalar_const(g, t, -(double)INFINITY),
                     "Where");
}

/* x [B, H, S, N] as [B, G, H / G * S, N]: the heads that share one of k and v stand below each other. */
static norn_value *stack(norn_graph *g, norn_value *x, const norn_value *k) {
    norni_dim heads = x->type.dims[1], groups = k->type.dims[1];
    if (heads == groups)
        return x;
    const norni_dim *d = x->type.dims;
    if (heads < 0 || groups < 1)
        return norni_graph_failed(
            g, norni_fail(NORN_UNSUPPORTED, "attention: the numbers of heads are not known"));
    if (norni_type_static(&x->type))
        return NORNI_OP2(g, x, norni_i64_const(g, 4, (int64_t[]){d[0], groups, heads / groups * d[2], d[3]}),
                         "Reshape<allowzero=1>");
    norn_value *last = norni_size_value(g, x, 3);
    norn_value *shape[] = {norni_size_value(g, x, 0), norni_i64_const(g, 2, (int64_t[]){groups, -1}), last};
    return NORNI_OP2(g, x, norni_opf(g, 3, shape, "Concat<axis=0>"), "Reshape");
}

/* Back: [B, G, H / G * S, N] as [B, H, S, N] where q is [B, H, S, D]. */
static norn_value *unstack(norn_graph *g, norn_value *x, norn_value *q, const norn_value *k) {
    if (!x || q->type.dims[1] == k->type.dims[1])
        return x;
    const norni_dim *d = q->type.dims;
    if (norni_type_static(&x->type) && norni_type_static(&q->type))
        return NORNI_OP2(g, x, norni_i64_const(g, 4, (int64_t[]){d[0], d[1], d[2], x->type.dims[3]}),
                         "Reshape<allowzero=1>");
    norn_value *shape[] = {norni_size_value(g, q, 0), norni_size_value(g, q, 1), norni_size_value(g, q, 2),
                           norni_size_value(g, x, 3)};
    return NORNI_OP2(g, x, norni_opf(g, 4, shape, "Concat<axis=0>"), "Reshape");
}

norn_value *norni_attention_nodes(norn_graph *g, const attrs_t *a, norn_value *q, norn_value *k,
                                  norn_value *v, norn_value *bias, int mode, norn_value **scores) {
    if (!q || !k || !v)
        return NULL;
    if (isnan(a->scale) && q->type.dims[3] < 0)
        return norni_graph_failed(g, norni_fail(NORN_UNSUPPORTED, "attention: the head size is not known"));
    double scale = scale_of(a, q->type.dims[3]);
    norn_dtype t = q->type.dtype, p_type = a->precision == NORN_UNDEFINED ? t : a->precision;
    norn_value *taken[4] = {0}, *root = norni_scalar_const(g, t, sqrt(fabs(scale)));
    norn_value *left = NORNI_OP2(g, q, scale < 0 ? NORNI_OP1(g, root, "Neg") : root, "Mul");
    norn_value *s =
        NORNI_OP2(g, stack(g, left, k), norni_swap_last(g, NORNI_OP2(g, k, root, "Mul")), "MatMul");
    taken[0] = s = unstack(g, s, q, k);
    if (a->softcap > 0) {
        norn_value *cap = norni_scalar_const(g, t, (double)a->softcap);
        s = NORNI_OP2(g, NORNI_OP1(g, NORNI_OP2(g, s, cap, "Div"), "Tanh"), cap, "Mul");
    }
    taken[1] = s;
    bool bound = a->lo > NORNI_ATTENTION_LO || a->hi < NORNI_ATTENTION_HI;
    /* There may be queries that see nothing. */
    bool blind = (bias || a->lo > NORNI_ATTENTION_LO || a->hi < 0) && !a->blind_nan;
    if (bound) {
        norn_value *w = norni_attention_window(g, t, norni_size_value(g, q, 2), norni_size_value(g, k, 2),
                                               a->lo, a->hi, NULL);
        bias = bias ? NORNI_OP2(g, bias, w, "Add") : w;
    }
    if (bias) /* -inf whatever the score is, also NaN or +inf */
        s = NORNI_OP3(g, NORNI_OP2(g, bias, norni_scalar_const(g, t, -(double)INFINITY), "Equal"), bias,
                      NORNI_OP2(g, s, bias, "Add"), "Where");
    taken[2] = s;
    norn_value *none = NULL;
    if (blind) { /* their scores are made finite before the softmax: no NaN comes back into the gradient */
        none = NORNI_OP2(g, bias, norni_i64_const(g, 1, (int64_t[]){-1}), "ReduceMax");
        none = NORNI_OP2(g, none, norni_scalar_const(g, t, -(double)INFINITY), "Equal");
        s = NORNI_OP3(g, none, norni_scalar_const(g, t, 0), s, "Where");
    }
    norn_value *p = norni_cast(g, NORNI_OP1(g, norni_cast(g, s, p_type), "Softmax"), t);
    if (blind)
        p = NORNI_OP3(g, none, norni_scalar_const(g, t, 0), p, "Where");
    taken[3] = p;
    if (scores)
        *scores = taken[mode];
    norn_value *y = p ? NORNI_OP2(g, stack(g, p, k), norni_cast(g, v, t), "MatMul") : NULL;
    return unstack(g, y, q, k);
}

static norn_status expand(norn_graph *g, const norn_node *node, norn_value **out) {
    for (int i = 0; i < 3; i++)
        if (node->in[i]->type.rank != 4)
            return norni_fail(NORN_UNSUPPORTED, "%s: a rank is not known", node->op->name);
    out[0] = norni_attention_nodes(g, node->attrs, node->in[Q], node->in[K], node->in[V],
                                   has(node, BIAS) ? node->in[BIAS] : NULL, 0, NULL);
    return norn_graph_status(g);
}

static void cost(const norn_node *node, norni_cost *c) {
    const norni_type *q = &node->in[Q]->type, *v = &node->in[V]->type;
    c->flops = (2.0 * (double)(q->dims[3] + v->dims[3]) + 8) * (double)q->dims[0] * (double)q->dims[1] *
               (double)q->dims[2] * (double)v->dims[2];
}

/* ---- Device. */
static int64_t at_least(int64_t n) {
    return n > 0 ? (n + 7) / 8 * 8 : 8;
}

static norn_status emit(norni_emit *e) {
    const norn_node *node = e->node;
    const attrs_t *a = node->attrs;
    const norni_type *q = &node->in[Q]->type, *k = &node->in[K]->type, *v = &node->in[V]->type;
    int64_t all = q->dims[0] * q->dims[1], queries = q->dims[2];
    int w = norni_device_is_cpu(e->device) ? (q->dtype == NORN_F64 ? 8 : 16) : 1,
        vectors = w > 1 && queries > w ? 2 : 1;
    norni_step *s = norni_emit_kernel(e, "attention.cl", "attention", q->dtype);
    norni_step_define(e, s, "W", w);
    norni_step_define(e, s, "QV", vectors);
    norni_step_define(e, s, "D", at_least(q->dims[3]));
    norni_step_define(e, s, "E", at_least(v->dims[3]));
    if (a->softcap > 0)
        norni_step_define(e, s, "CAP", 1);
    if (a->blind_nan)
        norni_step_define(e, s, "BLIND_NAN", 1);
    for (int i = Q; i <= V; i++)
        norni_step_buffer(e, s, norni_emit_in(e, i), NORNI_READ);
    if (has(node, BIAS)) {
        const norni_type *b = &node->in[BIAS]->type;
        int64_t step = 1, strides[4] = {0};
        for (int i = 0; i < b->rank; i++) {
            strides[3 - i] = b->dims[b->rank - 1 - i] == 1 ? 0 : step;
            step *= b->dims[b->rank - 1 - i];
        }
        norni_step_define(e, s, "BIAS", 1);
        norni_step_buffer(e, s, norni_emit_in(e, BIAS), NORNI_READ);
        for (int i = 0; i < 4; i++)
            norni_step_i64(e, s, strides[i]);
    }
    norni_step_buffer(e, s, norni_emit_out(e, 0), NORNI_WRITE);
    const int64_t sizes[] = {q->dims[1], k->dims[1] ? q->dims[1] / k->dims[1] : 1,
                             queries,    k->dims[2],
                             q->dims[3], v->dims[3],
                             all,        a->lo,
                             a->hi};
    norni_step_i64s(e, s, sizeof sizes / sizeof *sizes, sizes);
    norni_step_real(e, s, q->dtype, scale_of(a, q->dims[3]));
    norni_step_real(e, s, q->dtype, (double)a->softcap);
    norni_step_items(e, s, 2, v->dims[3] ? (queries + w * vectors - 1) / (w * vectors) : 0, all, 1);
    return e->status;
}
static const norni_impl impls[] = {{.name = "blocks", .emit = emit}, {0}};

static const norni_attr table[] = {NORNI_A(attrs_t, scale, FLOAT, .flags = NORNI_ATTR_OPTIONAL),
                                   NORNI_A_FLOAT(attrs_t, softcap, 0),
                                   NORNI_A_INT(attrs_t, lo, NORNI_ATTENTION_LO),
                                   NORNI_A_INT(attrs_t, hi, NORNI_ATTENTION_HI),
                                   NORNI_A(attrs_t, precision, DTYPE, .flags = NORNI_ATTR_OPTIONAL),
                                   NORNI_A_INT(attrs_t, blind_nan, 0),
                                   NORNI_A_END};

const norn_op norni_op_AttentionCore = {
    .domain = "norn",
    .name = "AttentionCore",
    .versions = (const int[]){1, 0},
    .doc = "softmax(scale q k' + bias) v for each head",
    .inputs = (const norni_param[]){{"q", 0, NORNI_FLOATS, 'T'},
                                    {"k", 0, NORNI_FLOATS, 'T'},
                                    {"v", 0, NORNI_FLOATS, 'T'},
                                    {"bias", NORNI_OPT, NORNI_FLOATS, 'T'},
                                    {0}},
    .outputs = (const norni_param[]){{"y", 0, NORNI_FLOATS, 'T'}, {0}},
    .attrs_bytes = sizeof(attrs_t),
    .attrs = table,
    .infer = infer,
    .expand = expand,
    .eval = eval,
    .impls = impls,
    .cost = cost,
    .cases =
        (const char *const[]){
            "norn.AttentionCore<scale=0.5>(float[2,3,5,8], float[2,3,7,8], float[2,3,7,6])",
            "norn.AttentionCore<scale=0.3, softcap=0.7>(float[1,4,5,8], float[1,2,7,8], float[1,2,7,8], "
            "float[5,7])",
            "norn.AttentionCore<hi=0>(float[1,2,6,4], float[1,1,6,4], float[1,1,6,4])",
            "norn.AttentionCore<lo=-1, hi=2, precision=11>(float[1,2,9,4], float[1,2,5,4], float[1,2,5,4], "
            "float[1,2,1,5])",
            "norn.AttentionCore<scale=0.125>(float[1,2,70,64], float[1,2,150,64], float[1,2,150,64])",
            "norn.AttentionCore(float[1,2,37,9], float[1,1,45,9], float[1,1,45,5], float[1,2,37,45])",
            "norn.AttentionCore<lo=-3, hi=1, softcap=2>(float[1,1,100,8], float[1,1,90,8], float[1,1,90,8])",
            "norn.AttentionCore<hi=-50>(float[1,1,70,8], float[1,1,40,8], float[1,1,40,8])",
            "norn.AttentionCore<hi=-2, blind_nan=1>(float[1,1,20,8], float[1,1,20,8], float[1,1,20,8])",
            "norn.AttentionCore(float[0,2,3,4], float[0,2,3,4], float[0,2,3,4])", NULL},
};
