/* SPDX-License-Identifier: Apache-2.0 */
/* The reductions of batch normalisation, over all but axis 1 of x [N,C,...]:
 *
 *     BatchNormStats  mean; inv = 1 / sqrt(var + epsilon), var the population variance; new_mean, new_var: the old ones
 *                     times momentum plus the batch's times 1 - momentum (unbiased: the batch's variance times n / (n - 1))
 *     BatchNormSums   db = sum dy, dscale = inv sum dy (x - mean)
 *
 * All but dy and x are vectors [C], of doubles for double x, else of floats. Without old values new ones are the
 * batch's. */
#include "ops/blocked.h"
#include <math.h>

typedef struct {
    float epsilon, momentum;
    int64_t unbiased;
} stats_attrs;
static const norni_attr table[] = {NORNI_A_FLOAT(stats_attrs, epsilon, 1e-5f),
                                   NORNI_A_FLOAT(stats_attrs, momentum, 0.9f),
                                   NORNI_A_INT(stats_attrs, unbiased, 0, .lo = 0, .hi = 1), NORNI_A_END};
enum { MEAN, INV, NEW_MEAN, NEW_VAR };

static norn_dtype kept_dtype(norn_dtype t) {
    return t == NORN_F64 ? NORN_F64 : t == NORN_UNDEFINED ? t : NORN_F32;
}
static bool has(const norn_node *node, int i) {
    return i < node->n_in && node->in[i];
}
static bool wants(const norn_node *node, int k) {
    return k < node->n_out && node->out[k];
}

/* x of the two operators; vectors from input `vectors` on. */
static norn_status infer_over(norni_infer *c, int x_at, int vectors) {
    const norni_type *x = norni_in_type(c, x_at);
    norni_dim channels = x->rank < 0 ? norni_dim_fresh(c->g) : x->rank < 2 ? 1 : x->dims[1];
    norn_dtype t = kept_dtype(x->dtype);
    for (int i = vectors; i < c->node->n_in; i++) {
        const norni_type *v = norni_in_type(c, i);
        if (!v)
            continue;
        if (v->dtype != t && v->dtype != NORN_UNDEFINED && t != NORN_UNDEFINED)
            return norni_fail(NORN_DTYPE, "input %d has type %s (wanted %s)", i, norni_dtype_name(v->dtype),
                              norni_dtype_name(t));
        if (v->rank >= 0 && (v->rank != 1 || (v->dims[0] >= 0 && channels >= 0 && v->dims[0] != channels)))
            return norni_fail(NORN_SHAPE, "input %d has rank %d and %lld elements (wanted a vector of %lld)",
                              i, v->rank, v->rank == 1 ? (long long)v->dims[0] : 1LL, (long long)channels);
    }
    for (int k = 0; k < c->node->n_out; k++)
        c->out[k] = (norni_type){.dtype = t, .rank = 1, .dims = {channels}};
    return NORN_OK;
}
static norn_status infer_stats(norni_infer *c) {
    if (norni_in_has(c, 1) != norni_in_has(c, 2))
        return norni_fail(NORN_ARG, "one of old_mean and old_var is missing");
    return infer_over(c, 0, 1);
}
static norn_status infer_sums(norni_infer *c) {
    return infer_over(c, 1, 2);
}

typedef struct {
    int64_t samples, channels, depth;
} sizes;

static sizes sizes_of(int rank, const int64_t *dims) {
    if (rank < 2)
        return (sizes){rank ? dims[0] : 1, 1, 1};
    return (sizes){dims[0], dims[1], norni_elems(rank - 2, dims + 2)};
}

/* ---- Host reference. */
static double get(const norn_tensor *t, int64_t i) {
    return norni_get_double(t->dtype, norni_tensor_data(t), i);
}
static void put(const norni_eval *e, int k, int64_t i, double v) {
    if (k < e->n_out && e->out[k])
        norni_set_double(e->out[k]->dtype, norni_tensor_data(e->out[k]), i, v);
}

static norn_status eval_stats(norni_eval *e) {
    const stats_attrs *a = e->attrs;
    const norn_tensor *x = e->in[0];
    sizes z = sizes_of(x->rank, x->dims);
    double n = (double)(z.samples * z.depth), rest = 1 - (double)a->momentum;
    for (int64_t c = 0; c < z.channels; c++) {
        double m = 0, q = 0;
        for (int round = 0; round < 2; round++) {
            for (int64_t s = 0; s < z.samples; s++)
                for (int64_t d = 0; d < z.depth; d++) {
                    double v = get(x, (s * z.channels + c) * z.depth + d);
                    if (round == 0)
                        m += v;
                    else
                        q += (v - m) * (v - m);
                }
            if (round == 0)
                m /= n;
        }
        double var = q / (a->unbiased && n > 1 ? n - 1 : n);
        put(e, MEAN, c, m);
        put(e, INV, c, 1 / sqrt(q / n + (double)a->epsilon));
        put(e, NEW_MEAN, c, has(e->node, 1) ? get(e->in[1], c) * (double)a->momentum + m * rest : m);
        put(e, NEW_VAR, c, has(e->node, 2) ? get(e->in[2], c) * (double)a->momentum + var * rest : var);
    }
    return NORN_OK;
}

static norn_status eval_sums(norni_eval *e) {
    const norn_tensor *dy = e->in[0], *x = e->in[1];
    sizes z = sizes_of(x->rank, x->dims);
    for (int64_t c = 0; c < z.channels; c++) {
        double s1 = 0, s2 = 0;
        for (int64_t s = 0; s < z.samples; s++)
            for (int64_t d = 0; d < z.depth; d++) {
                int64_t at = (s * z.channels + c) * z.depth + d;
                s1 += get(dy, at);
                s2 += get(dy, at) * (get(x, at) - get(e->in[2], c));
            }
        put(e, 0, c, s1);
        put(e, 1, c, s2 * get(e->in[3], c));
    }
    return NORN_OK;
}

/* ---- Device. How the work is cut; see batch_norm.cl. */
typedef struct {
    int w;
    bool groups, cols, blocks;
    int64_t piece, block, group, n_parts, part, items;
} cut;

static int64_t limit(int64_t v, int64_t lo, int64_t hi) {
    return v > hi ? hi : v < lo ? lo : v;
}

static cut cut_of(const norni_emit *e, const sizes *z, norn_dtype t, bool groups) {
    enum { BLOCK = 4096, ROWS = 64, GROUP = 16, RUN = 256, LEAST = 8192 };
    int64_t units = e->device->compute_units ? e->device->compute_units : 1;
    cut c = {.w = groups          ? 1
                  : t == NORN_F64 ? 8
                                  : 16,
             .groups = groups,
             .cols = !groups && z->depth == 1 && !norni_reads_blocked(e->form),
             .blocks = norni_reads_blocked(e->form),
             .group = 1};
    int64_t most = c.blocks ? BLOCK / c.w : BLOCK;
    c.piece = limit(z->depth, 1, most);
    int64_t pieces = norni_ceil_div(z->depth, c.piece), all = z->samples * pieces,
            elems = z->samples * z->depth;
    if (c.cols || c.blocks)
        c.items = norni_ceil_div(z->channels, c.w);
    else {
        if (!groups && z->depth < RUN) /* neighbours together, so that memory is read in long runs */
            c.group = limit(z->channels / (2 * units), 1, limit(RUN / (z->depth ? z->depth : 1), 1, GROUP));
        c.items = norni_ceil_div(z->channels, c.group);
    }
    c.block = c.cols ? ROWS : pieces > 1 ? 1 : limit(most / (c.piece * c.group), 1, most);
    c.n_parts = 1;
    if (c.items && c.items < 4 * units && elems * z->channels / c.items > 2 * LEAST)
        c.n_parts = limit(norni_ceil_div(4 * units, c.items), 1,
                          limit(elems * z->channels / c.items / LEAST, 1, all));
    c.part = norni_ceil_div(all, c.n_parts);
    return c;
}

static const char *kernel_of(const cut *c, const char *group, const char *cols, const char *blocks,
                             const char *runs) {
    return c->groups ? group : c->cols ? cols : c->blocks ? blocks : runs;
}

static norni_step *begin(norni_emit *e, const char *kernel, norn_dtype t, const cut *c) {
    norni_step *k = norni_emit_kernel(e, "batch_norm.cl", kernel, t);
    norni_step_define(e, k, "W", c->w);
    if (c->n_parts > 1)
        norni_step_define(e, k, "PARTS", 1);
    if (c->blocks)
        norni_step_define(e, k, "BLOCKS", 1);
    return k;
}

static void finish(norni_emit *e, norni_step *k, const cut *c, const sizes *z) {
    enum { WG = 256 };
    norni_step_i64(e, k, z->samples);
    norni_step_i64(e, k, z->channels);
    norni_step_i64(e, k, z->depth);
    norni_step_i64(e, k, c->piece);
    norni_step_i64(e, k, c->block);
    norni_step_i64(e, k, c->n_parts);
    norni_step_i64(e, k, c->part);
    if (c->groups) {
        norni_step_define(e, k, "WG", WG);
        norni_step_range(k, 2, (size_t)z->channels * WG, (size_t)c->n_parts, 1, WG, 1, 0);
    } else {
        if (!c->cols && !c->blocks)
            norni_step_i64(e, k, c->group);
        norni_step_items(e, k, 2, c->items, c->n_parts, 1);
    }
}

/* The arguments that the results of the statistics need. */
static void stats_results(norni_emit *e, norni_step *k, norn_dtype t, int64_t channels) {
    const norn_node *n = e->node;
    const stats_attrs *a = n->attrs;
    bool running = wants(n, NEW_MEAN) || wants(n, NEW_VAR);
    size_t bytes = norni_dtype_bytes(kept_dtype(t), channels);
    for (int i = MEAN; i <= INV; i++)
        norni_step_buffer(e, k, wants(n, i) ? norni_emit_out(e, i) : norni_emit_scratch(e, bytes),
                          NORNI_WRITE);
    if (running) {
        norni_step_define(e, k, "RUNNING", 1);
        if (a->unbiased)
            norni_step_define(e, k, "UNBIASED", 1);
        if (has(n, 1)) {
            norni_step_define(e, k, "OLD", 1);
            for (int i = 1; i <= 2; i++) {
                norni_step_buffer(e, k, norni_emit_in(e, i), NORNI_READ);
                if (k && k->n_args)
                    k->args[k->n_args - 1].elementwise = n->in[1] != n->in[2];
            }
        }
        for (int i = NEW_MEAN; i <= NEW_VAR; i++)
            norni_step_buffer(e, k, wants(n, i) ? norni_emit_out(e, i) : norni_emit_scratch(e, bytes),
                              NORNI_WRITE);
    }
    norni_step_real(e, k, t, (double)a->epsilon);
    norni_step_real(e, k, t, (double)a->momentum);
    norni_step_real(e, k, t, 1 - (double)a->momentum);
}

static norn_status emit_stats(norni_emit *e, bool groups) {
    const norni_type *x = &e->node->in[0]->type;
    sizes z = sizes_of(x->rank, x->dims);
    cut c = cut_of(e, &z, x->dtype, groups);
    norni_ref parts = -1;
    norni_step *k =
        begin(e, kernel_of(&c, "stats_group", "stats_cols", "stats_blocks", "stats_runs"), x->dtype, &c);
    norni_step_buffer(e, k, norni_emit_in(e, 0), NORNI_READ);
    if (c.n_parts > 1) {
        parts = norni_emit_scratch(e, norni_dtype_bytes(kept_dtype(x->dtype), 3 * c.n_parts * z.channels));
        norni_step_buffer(e, k, parts, NORNI_WRITE);
    } else
        stats_results(e, k, x->dtype, z.channels);
    finish(e, k, &c, &z);
    if (c.n_parts > 1) {
        k = begin(e, "stats_join", x->dtype, &c);
        norni_step_buffer(e, k, parts, NORNI_READ);
        stats_results(e, k, x->dtype, z.channels);
        norni_step_i64(e, k, z.channels);
        norni_step_i64(e, k, c.n_parts);
        norni_step_items(e, k, 1, z.channels, 1, 1);
    }
    return e->status;
}

static void sums_results(norni_emit *e, norni_step *k, norn_dtype t, int64_t channels) {
    size_t bytes = norni_dtype_bytes(kept_dtype(t), channels);
    for (int i = 0; i < 2; i++)
        norni_step_buffer(e, k, wants(e->node, i) ? norni_emit_out(e, i) : norni_emit_scratch(e, bytes),
                          NORNI_WRITE);
}

static norn_status emit_sums(norni_emit *e, bool groups) {
    const norni_type *x = &e->node->in[1]->type;
    sizes z = sizes_of(x->rank, x->dims);
    cut c = cut_of(e, &z, x->dtype, groups);
    norni_ref parts = -1;
    norni_step *k =
        begin(e, kernel_of(&c, "sums_group", "sums_cols", "sums_blocks", "sums_runs"), x->dtype, &c);
    for (int i = 0; i < 4; i++)
        norni_step_buffer(e, k, norni_emit_in(e, i), NORNI_READ);
    if (c.n_parts > 1) {
        parts = norni_emit_scratch(e, norni_dtype_bytes(kept_dtype(x->dtype), 2 * c.n_parts * z.channels));
        norni_step_buffer(e, k, parts, NORNI_WRITE);
    } else
        sums_results(e, k, x->dtype, z.channels);
    finish(e, k, &c, &z);
    if (c.n_parts > 1) {
        k = begin(e, "sums_join", x->dtype, &c);
        norni_step_buffer(e, k, parts, NORNI_READ);
        norni_step_buffer(e, k, norni_emit_in(e, 3), NORNI_READ);
        sums_results(e, k, x->dtype, z.channels);
        norni_step_i64(e, k, z.channels);
        norni_step_i64(e, k, c.n_parts);
        norni_step_items(e, k, 1, z.channels, 1, 1);
    }
    return e->status;
}

static const char *on_cpu(const norni_fit *f) {
    return norni_device_is_cpu(f->device) ? NULL : "for CPUs";
}
static norn_status stats_items(norni_emit *e) {
    return emit_stats(e, false);
}
static norn_status stats_groups(norni_emit *e) {
    return emit_stats(e, true);
}
static norn_status sums_items(norni_emit *e) {
    return emit_sums(e, false);
}
static norn_status sums_groups(norni_emit *e) {
    return emit_sums(e, true);
}
static const char *in_blocks(const norni_fit *f) {
    const norn_node *n = f->node;
    if (!norni_device_is_cpu(f->device))
        return "for CPUs";
    for (int i = 0; i < n->n_in && n->in[i]->type.rank > 1; i++)
        if (!norni_blockable(&n->in[i]->type))
            return "there is no blocked form";
    return norni_blockable(&n->in[0]->type) ? NULL : "there is no blocked form";
}
static const norni_impl stats_impls[] = {{.name = "blocks",
                                          .fits = in_blocks,
                                          .emit = stats_items,
                                          .form = NORNI_FROM_BLOCKED,
                                          .n_blocked = 1,
                                          .gain = 1.1},
                                         {.name = "items", .fits = on_cpu, .emit = stats_items},
                                         {.name = "groups", .emit = stats_groups},
                                         {0}},
                        sums_impls[] = {{.name = "blocks",
                                         .fits = in_blocks,
                                         .emit = sums_items,
                                         .form = NORNI_FROM_BLOCKED,
                                         .n_blocked = 2,
                                         .gain = 1.1},
                                        {.name = "items", .fits = on_cpu, .emit = sums_items},
                                        {.name = "groups", .emit = sums_groups},
                                        {0}};

/* ---- By ONNX's operators, in the type of the vectors. */
typedef struct {
    norn_graph *g;
    norn_value *x, *axes; /* x cast; all axes but 1 */
    norn_dtype dtype;
} plain;

static norn_value *sum(plain *p, const char *op, norn_value *v) {
    return NORNI_OP2(p->g, v, p->axes, "%s<keepdims=%d>", op, p->x->type.rank == 1);
}
static norn_value *spread(plain *p, norn_value *v) {
    return norni_along_channels(p->g, v, p->x->type.rank);
}

static norn_status plain_begin(plain *p, norn_graph *g, const norn_node *node, norn_value *x) {
    int64_t axes[NORN_MAX_RANK];
    int n = 0, rank = x->type.rank;
    if (rank < 1)
        return norni_fail(NORN_UNSUPPORTED, "%s: the rank is not known", node->op->name);
    for (int i = 0; i < rank; i++)
        if (i != 1)
            axes[n++] = i;
    *p = (plain){.g = g, .dtype = kept_dtype(x->type.dtype)};
    p->x = norni_cast(g, x, p->dtype);
    p->axes = norni_i64_const(g, n, axes);
    return norn_graph_status(g);
}

static norn_status expand_stats(norn_graph *g, const norn_node *node, norn_value **out) {
    static const char *const names[] = {"v", "n", "old", "epsilon", "momentum"};
    const stats_attrs *a = node->attrs;
    plain p;
    NORNI_TRY(plain_begin(&p, g, node, node->in[0]));
    norn_value *m = sum(&p, "ReduceMean", p.x), *d = NORNI_OP2(g, p.x, spread(&p, m), "Sub");
    norn_value *v = sum(&p, "ReduceMean", NORNI_OP2(g, d, d, "Mul"));
    norn_value *vars[] = {v, NULL, NULL, norni_scalar_const(g, p.dtype, (double)a->epsilon),
                          norni_scalar_const(g, p.dtype, (double)a->momentum)};
    out[MEAN] = m;
    out[INV] = norni_formula(g, "1 / sqrt(v + epsilon)", 5, names, vars);
    if (a->unbiased) {
        vars[1] = norni_elems_per(g, p.x, m, p.dtype);
        vars[0] = norni_formula(g, "v * (n / max(n - 1, 1))", 5, names, vars);
    }
    out[NEW_MEAN] = m;
    out[NEW_VAR] = vars[0];
    if (has(node, 1)) {
        vars[2] = node->in[2];
        out[NEW_VAR] = norni_formula(g, "old * momentum + v * (1 - momentum)", 5, names, vars);
        vars[2] = node->in[1];
        vars[0] = m;
        out[NEW_MEAN] = norni_formula(g, "old * momentum + v * (1 - momentum)", 5, names, vars);
    }
    return norn_graph_status(g);
}

static norn_status expand_sums(norn_graph *g, const norn_node *node, norn_value **out) {
    plain p;
    NORNI_TRY(plain_begin(&p, g, node, node->in[1]));
    norn_value *dy = norni_cast(g, node->in[0], p.dtype),
               *d = NORNI_OP2(g, p.x, spread(&p, node->in[2]), "Sub");
    out[0] = sum(&p, "ReduceSum", dy);
    out[1] = NORNI_OP2(g, sum(&p, "ReduceSum", NORNI_OP2(g, dy, d, "Mul")), node->in[3], "Mul");
    return norn_graph_status(g);
}

static void cost(const norn_node *node, norni_cost *c) {
    c->flops = 4.0 * (double)norni_type_elems(&node->in[0]->type);
}

#define KEPT (NORNI_T(NORN_F32) | NORNI_T(NORN_F64))
const norn_op norni_op_BatchNormStats = {
    .domain = "norn",
    .name = "BatchNormStats",
    .versions = (const int[]){1, 0},
    .doc = "mean and inverse deviation of each channel, and running ones brought up to date",
    .inputs = (const norni_param[]){{"x", 0, NORNI_FLOATS, 'T'},
                                    {"old_mean", NORNI_OPT, KEPT, 'U'},
                                    {"old_var", NORNI_OPT, KEPT, 'U'},
                                    {0}},
    .outputs = (const norni_param[]){{"mean", 0, KEPT, 0},
                                     {"inv", 0, KEPT, 0},
                                     {"new_mean", NORNI_OPT, KEPT, 0},
                                     {"new_var", NORNI_OPT, KEPT, 0},
                                     {0}},
    .attrs_bytes = sizeof(stats_attrs),
    .attrs = table,
    .infer = infer_stats,
    .expand = expand_stats,
    .eval = eval_stats,
    .impls = stats_impls,
    .cost = cost,
    .cases =
        (const char *const[]){"norn.BatchNormStats(float[2,3,4,5])", "norn.BatchNormStats(float[7,19])",
                              "norn.BatchNormStats<epsilon=0.1, momentum=0.7, unbiased=1>(float[3,2,17], "
                              "float[2], float[2]) => 4",
                              "norn.BatchNormStats<unbiased=1>(float[2,18,3]) => 4",
                              "norn.BatchNormStats(float[2,2,10000])", "norn.BatchNormStats(float[3,40,2,2])",
                              "norn.BatchNormStats(float[3000,16])",
                              "norn.BatchNormStats(float[3000,3]) => 4", "norn.BatchNormStats(float[0,3,2])",
                              "norn.BatchNormStats(float[1,3])",
                              "norn.BatchNormStats(float16[2,3,20], float[3], float[3]) => 4", NULL},
};

const norn_op norni_op_BatchNormSums = {
    .domain = "norn",
    .name = "BatchNormSums",
    .versions = (const int[]){1, 0},
    .doc =
        "gradients of a batch normalisation for bias and scale: sums of dy and of dy times the normalised x",
    .inputs = (const norni_param[]){{"dy", 0, NORNI_FLOATS, 'T'},
                                    {"x", 0, NORNI_FLOATS, 'T'},
                                    {"mean", 0, KEPT, 'U'},
                                    {"inv", 0, KEPT, 'U'},
                                    {0}},
    .outputs = (const norni_param[]){{"db", 0, KEPT, 0}, {"dscale", 0, KEPT, 0}, {0}},
    .infer = infer_sums,
    .expand = expand_sums,
    .eval = eval_sums,
    .impls = sums_impls,
    .cost = cost,
    .cases =
        (const char *const[]){"norn.BatchNormSums(float[2,3,4,5], float[2,3,4,5], float[3], float[3])",
                              "norn.BatchNormSums(float[7,19], float[7,19], float[19], float[19])",
                              "norn.BatchNormSums(float[2,18,3], float[2,18,3], float[18], float[18])",
                              "norn.BatchNormSums(float[2,2,10000], float[2,2,10000], float[2], float[2])",
                              "norn.BatchNormSums(float[3000,3], float[3000,3], float[3], float[3])",
                              "norn.BatchNormSums(bfloat16[2,3,20], bfloat16[2,3,20], float[3], float[3])",
                              "norn.BatchNormSums(float[0,3], float[0,3], float[3], float[3])", NULL},
};
