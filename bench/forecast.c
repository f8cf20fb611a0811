/* SPDX-License-Identifier: Apache-2.0 */
/* What a model will do on a device, said before anything runs: where each operator runs, memory, work, time, the largest
 * batch. Nothing here touches a device. */
#include "bench/bench.h"
#include "export/model.h"
#include "ops/control.h"
#include "train/prepare.h"
#include <math.h>
#include <string.h>

typedef struct {
    norn_forecast_node node;
    const norn_op *op;
} row;

struct norn_forecast {
    norni_arena *arena;
    norn_forecast_info info;
    NORNI_VEC(row) rows;
};

typedef struct {
    norn_forecast *f;
    norn_model *model;
    const norn_device *device;
    const norn_peaks *peaks;
    const norn_forecast_options *o;
    norni_training training;
    int64_t other; /* named sizes that are neither given nor the batch */
} work;

void norn_forecast_free(norn_forecast *f) {
    if (!f)
        return;
    norni_vec_free(&f->rows);
    norni_arena_free(f->arena);
    norni_free(f);
}

size_t norn_forecast_count(const norn_forecast *f) {
    return f->rows.n;
}
const norn_forecast_node *norn_forecast_at(const norn_forecast *f, size_t i) {
    return i < f->rows.n ? &f->rows.v[i].node : NULL;
}
const norn_forecast_info *norn_forecast_total(const norn_forecast *f) {
    return &f->info;
}

static const char *keep(norn_forecast *f, const char *s) {
    const char *copy = norni_arena_strdup(f->arena, s ? s : "");
    return copy ? copy : "";
}

/* ---- Time. */
double norni_forecast_ms(const norn_device *d, const norn_peaks *p, const norni_step *s, const char **limit) {
    /* Shares of the peaks that norn's kernels reach on the whole, measured on its corpus of models: products and
     * convolutions of the arithmetic, the rest of the memory's rate. */
    enum { NEAR = 4 << 20 };
    bool cpu = norni_device_is_cpu(d), wide = s->options && strstr(s->options, "-DT_F64");
    const char *op = s->node ? s->node->op->name : "";
    static const struct {
        const char *op;
        double share;
    } products[] = {{"Gemm", 0.6},      {"MatMul", 0.6},   {"AttentionCore", 0.6},
                    {"LSTM", 0.45},     {"GRU", 0.45},     {"RNN", 0.45},
                    {"LSTMGrad", 0.45}, {"GRUGrad", 0.45}, {"RNNGrad", 0.45}};
    double share = s->kind == NORNI_STEP_GEMM || !strncmp(op, "Conv", 4) ? 0.6 : 0.1;
    for (size_t i = 0; i < sizeof products / sizeof *products; i++)
        if (!strcmp(op, products[i].op))
            share = products[i].share;
    if (s->file && !strncmp(s->file, "conv_winograd", 13)) /* fewer multiplications than are counted */
        share *= 1.8;
    double rate = (wide ? p->fp64_gflops : p->fp32_gflops) * share;
    double bandwidth = s->bytes < NEAR && cpu ? p->cache_gbytes_s * 0.3 : p->copy_gbytes_s * 0.8;
    double compute = rate > 0 ? s->flops / rate * 1e-6 : 0,
           move = bandwidth > 0 ? s->bytes / bandwidth * 1e-6 : 0,
           launch = 2 * p->launch_us * 1e-3; /* one that has arguments and work */
    if (s->kind == NORNI_STEP_HOST) {        /* by the reference, with transfers and a wait on either side */
        *limit = "host";
        return s->flops / 4e5 + s->bytes / 2e5 + 2 * p->wait_us * 1e-3;
    }
    *limit = compute > move  ? (compute > launch ? "arithmetic" : "launches")
             : move > launch ? "memory"
                             : "launches";
    return fmax(compute, move) + launch;
}

static void add_times(work *w, const norn_plan *p) {
    norn_forecast_info *t = &w->f->info;
    static const char *const names[] = {"arithmetic", "memory", "launches", "host"};
    double by[4] = {0};
    t->ms = w->peaks->wait_us * 1e-3;
    for (size_t i = 0; i < p->builder.steps.n; i++) {
        const norni_step *s = p->builder.steps.v[i];
        const char *limit;
        if (s->load)
            continue;
        double ms = norni_forecast_ms(w->device, w->peaks, s, &limit);
        size_t same = 0;
        for (size_t k = 0; k < w->f->rows.n && s->what; k++)
            same += !strcmp(w->f->rows.v[k].node.line, s->what);
        for (size_t k = 0; k < w->f->rows.n && same; k++)
            if (!strcmp(w->f->rows.v[k].node.line, s->what))
                w->f->rows.v[k].node.ms += ms / (double)same;
        for (int k = 0; k < 4; k++)
            by[k] += !strcmp(limit, names[k]) ? ms : 0;
        t->ms += ms;
        t->flops += s->flops;
        t->bytes += s->bytes;
        t->launches++;
    }
    int most = 0;
    for (int k = 1; k < 4; k++)
        most = by[k] > by[most] ? k : most;
    t->limit = names[most];
}

/* ---- Graphs for a batch. */
static int64_t find_dim(const norn_forecast_options *o, const char *name, size_t length) {
    for (size_t i = 0; i < o->n_dims; i++)
        if (!strncmp(o->dims[i], name, length) && o->dims[i][length] == '=') {
            int64_t v = 0;
            for (const char *c = o->dims[i] + length + 1; *c >= '0' && *c <= '9'; c++)
                v = v > (INT64_MAX - (*c - '0')) / 10 ? INT64_MAX : v * 10 + (*c - '0');
            return v;
        }
    return -1;
}

typedef struct {
    const work *w;
    int64_t batch;
} binding;

static int64_t size_of_name(const void *ctx, const char *name) {
    const binding *b = ctx;
    if (b->w->f->info.batch_name && !strcmp(name, b->w->f->info.batch_name))
        return b->batch;
    int64_t v = find_dim(b->w->o, name, strlen(name));
    return v >= 0 ? v : b->w->other;
}

static norn_status bound_graph(work *w, int64_t batch, norn_graph **out) {
    const norn_graph *g = w->model->graph;
    binding b = {w, batch};
    if (!w->o->train)
        return norni_graph_bind(g, size_of_name, &b, NULL, NULL, NULL, out);
    norni_type x = {.rank = -1};
    norn_tensor t = {0}; /* only its type is looked at */
    for (size_t i = 0; i < g->inputs.n; i++)
        if (!strcmp(g->inputs.v[i]->name, w->training.input))
            x = g->inputs.v[i]->type;
    if (x.rank < 1)
        return norni_fail(NORN_SHAPE, "input '%s' has no batch axis", w->training.input);
    x.dims[0] = batch;
    for (int k = 1; k < x.rank; k++)
        x.dims[k] = x.dims[k] < 0 ? norni_dim_eval(g, x.dims[k], size_of_name, &b) : x.dims[k];
    if (norni_elems(x.rank, x.dims) < 0)
        return norni_fail(NORN_NOMEM, "input '%s': a batch of %lld has too many elements to count",
                          w->training.input, (long long)batch);
    t.dtype = x.dtype;
    t.rank = x.rank;
    memcpy(t.dims, x.dims, sizeof t.dims);
    return norni_training_graph(g, w->o->train, &w->training, &t, true, out);
}

static norn_status plan_batch(work *w, int64_t batch, norn_plan **out) {
    norn_graph *g, *simple;
    *out = NULL;
    NORNI_TRY(bound_graph(w, batch, &g));
    norn_status s = norn_graph_simplify(g, &simple);
    norn_graph_free(g);
    return s == NORN_OK ? norni_plan_make(simple, w->device, &w->o->plan, out) : s;
}

/* Whether a batch can be planned, and the memory that it takes: that is what ends it, or else numbers that grow out of
 * their range. */
static bool fits(work *w, int64_t batch, double *bytes) {
    norn_plan *p;
    bool yes = plan_batch(w, batch, &p) == NORN_OK;
    if (yes)
        *bytes = (double)norn_plan_peak_bytes(p);
    norn_plan_free(p);
    return yes;
}

/* By doubling and halving. Plans of some networks get long with the batch (a step for each part of it): when that takes
 * more than a few seconds, memory is taken to grow on evenly. */
static void largest_batch(work *w) {
    enum { PATIENCE_MS = 3000 };
    norn_forecast_info *t = &w->f->info;
    double end = norni_bench_now_ms() + PATIENCE_MS, bytes = (double)t->peak_bytes, more = 0;
    int64_t low = t->batch, high = 2 * low;
    while (high <= (int64_t)1 << 30 && fits(w, high, &more)) {
        double each = (more - bytes) / (double)(high - low);
        low = high;
        high *= 2;
        bytes = more;
        if (norni_bench_now_ms() > end) {
            double room = (double)t->memory_bytes - bytes;
            t->largest_batch = each > 0 && room > 0 ? low + (int64_t)(0.97 * room / each) : low;
            return;
        }
    }
    while (high - low > 1 && high - low > low / 32) {
        int64_t middle = low + (high - low) / 2;
        *(fits(w, middle, &more) ? &low : &high) = middle;
    }
    t->largest_batch = low;
}

/* The largest below one that does not fit; 0 when not even 1 does. */
static void smaller_batch(work *w) {
    double bytes;
    int64_t low = w->f->info.batch, high = low;
    do {
        high = low;
        low /= 2;
    } while (low > 0 && !fits(w, low, &bytes));
    while (low > 0 && high - low > 1 && high - low > low / 32) {
        int64_t middle = low + (high - low) / 2;
        *(fits(w, middle, &bytes) ? &low : &high) = middle;
    }
    w->f->info.largest_batch = low;
}

/* ---- Operators. */
static bool has_fp64(const norn_node *n) {
    for (int k = 0; k < n->n_in + n->n_out; k++) {
        const norn_value *v = k < n->n_in ? n->in[k] : n->out[k - n->n_in];
        if (v && v->type.dtype == NORN_F64)
            return true;
    }
    return false;
}

/* The operators that a node stands for, in order, each once. */
static const char *expansion(work *w, const norn_node *node) {
    norn_graph *g = node->graph;
    size_t from = g->nodes.n;
    norn_value *out[32] = {0};
    norni_str s = {0};
    if (node->op->expand(g, node, out) == NORN_OK)
        for (size_t i = from; i < g->nodes.n; i++) {
            const char *name = g->nodes.v[i]->op->name;
            bool seen = false;
            for (size_t k = from; k < i; k++)
                seen |= !strcmp(g->nodes.v[k]->op->name, name);
            if (!seen)
                norni_str_addf(&s, "%s%s", s.n ? ", " : "", name);
        }
    const char *text = keep(w->f, s.s);
    norni_str_free(&s);
    return text;
}

static void classify(work *w, const norn_node *n, row *r) {
    const norn_op *op = n->op;
    bool pointwise = op != &norni_op_unknown && norni_op_pointwise(op);
    norn_forecast_node *f = &r->node;
    f->runs = NORN_RUNS_NATIVE;
    f->why = f->implementation = "";
    if (op == &norni_op_unknown) {
        f->runs = NORN_RUNS_NOT;
        f->why = "norn does not have this operator";
    } else if (w->device->type == NORN_DEVICE_HOST) {
        f->runs = NORN_RUNS_HOST;
        f->why = "the device is the host reference";
    } else if (!w->device->fp64 && has_fp64(n)) {
        f->runs = NORN_RUNS_HOST;
        f->why = "the device has no double precision";
    } else if (pointwise) {
        f->implementation = "generated";
    } else if (op->control && !norni_control_unrolls(n)) {
        f->runs = NORN_RUNS_HOST;
        f->why = "it decides what runs; the operators in it are listed too";
    } else if (!op->impls && op->expand) {
        f->runs = NORN_RUNS_DECOMPOSED;
        f->why = expansion(w, n);
    } else if (op->data_shapes || op->on_host) {
        f->runs = NORN_RUNS_HOST;
        f->why = op->data_shapes ? "the shape of its result depends on data" : "a table made of scalars";
    } else {
        const norni_impl *impl;
        norni_str reasons = {0};
        bool known = true;
        for (int k = 0; k < n->n_in + n->n_out && known; k++) {
            const norn_value *v = k < n->n_in ? n->in[k] : n->out[k - n->n_in];
            known = !v || norni_type_static(&v->type);
        }
        if (known && norni_plan_choose(w->device, &w->o->plan, n, &impl, &reasons) == NORN_OK)
            f->implementation = keep(w->f, impl->name);
        else if (known) {
            f->runs = NORN_RUNS_NOT;
            f->why = keep(w->f, norn_error());
        }
        norni_str_free(&reasons);
    }
}

/* True for an If, Loop or Scan whose course only a run tells: then memory and time are not known before it. */
static bool decides_in_a_run(const norn_graph *g, const norn_node **node) {
    for (size_t i = 0; i < g->nodes.n; i++)
        if (g->nodes.v[i]->op->control && !norni_control_unrolls(g->nodes.v[i])) {
            *node = g->nodes.v[i];
            return true;
        }
    return false;
}

static norn_status add_rows(work *w, const norn_graph *g) {
    size_t n = g->nodes.n; /* expansions are added behind these */
    for (size_t i = 0; i < n; i++) {
        const norn_node *node = g->nodes.v[i];
        row r = {.op = node->op};
        norni_str line = {0};
        norni_cost cost = {0};
        norni_node_print(&line, node);
        r.node.name = keep(w->f, node->name);
        r.node.op = keep(w->f, node->op == &norni_op_unknown ? node->type : node->op->name);
        r.node.line = keep(w->f, line.s);
        r.node.weights = node->n_in > 1 && node->in[1] &&
                         (node->in[1]->kind == NORNI_CONST || node->in[1]->kind == NORNI_STATE);
        norni_str_free(&line);
        if (node->op != &norni_op_unknown)
            norni_node_cost(node, &cost);
        r.node.flops = cost.flops;
        r.node.bytes = cost.bytes;
        classify(w, node, &r);
        w->f->info.unsupported += r.node.runs == NORN_RUNS_NOT;
        if (!NORNI_PUSH(&w->f->rows, r))
            return norni_nomem();
        if (node->op->control) { /* what it holds runs, if it does, as often as the run decides */
            const norni_control_attrs *a = norni_control_of(node);
            const norni_subgraph *subs[] = {a->then_branch, a->else_branch, a->body};
            for (size_t k = 0; k < sizeof subs / sizeof *subs; k++)
                if (subs[k])
                    NORNI_TRY(add_rows(w, subs[k]->graph));
        }
    }
    return NORN_OK;
}

/* The name of the first size of the first input that has one. */
static void find_batch(work *w) {
    const norn_graph *g = w->model->graph;
    norn_forecast_info *t = &w->f->info;
    for (size_t i = 0; i < g->inputs.n && !t->batch_name; i++)
        if (g->inputs.v[i]->type.rank > 0) {
            norni_dim d = g->inputs.v[i]->type.dims[0];
            const char *name = d < 0 ? norni_dim_name(g, d) : NULL;
            if (name)
                t->batch_name = keep(w->f, name);
            else if (d > 0 && !t->batch)
                t->batch = d;
        }
    if (t->batch_name) {
        int64_t v = find_dim(w->o, t->batch_name, strlen(t->batch_name));
        t->batch = v > 0 ? v : 1;
    }
    if (w->o->train && w->o->batch > 0)
        t->batch = w->o->batch;
    if (t->batch < 1)
        t->batch = 1;
}

/* The names of sizes that are neither given nor the batch: "H, W". */
static const char *other_names(work *w) {
    const norn_graph *g = w->model->graph;
    norni_str s = {0};
    for (size_t i = 0; i < g->inputs.n; i++)
        for (int k = 0; k < g->inputs.v[i]->type.rank; k++) {
            norni_dim d = g->inputs.v[i]->type.dims[k];
            const char *name = d < 0 ? norni_dim_name(g, d) : NULL;
            if (!name || find_dim(w->o, name, strlen(name)) >= 0 ||
                (w->f->info.batch_name && !strcmp(name, w->f->info.batch_name)) ||
                (s.s && strstr(s.s, name))) /* said already, as far as it matters */
                continue;
            norni_str_addf(&s, "%s%s", s.n ? ", " : "", name);
        }
    const char *text = keep(w->f, s.s);
    norni_str_free(&s);
    return text;
}

/* Some models have no result where a named size is 1 (those that halve pictures and double them): then what they take. */
static norn_status bound_at_some_size(work *w, norn_graph **g) {
    static const int64_t sizes[] = {8, 32, 64};
    norn_status s = bound_graph(w, w->f->info.batch, g);
    if (s == NORN_OK || !*w->f->info.other_names)
        return s;
    const char *why = keep(w->f, norn_error());
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        w->other = sizes[i];
        if (bound_graph(w, w->f->info.batch, g) == NORN_OK)
            return NORN_OK;
    }
    w->other = 1;
    return norni_fail(s, "%s (named sizes that are not given are 1: %s)", why, w->f->info.other_names);
}

static norn_status forecast(work *w) {
    norn_forecast_info *t = &w->f->info;
    norn_graph *g = NULL, *simple = NULL;
    norn_plan *p = NULL;
    t->limit = t->note = t->other_names = "";
    w->other = 1;
    find_batch(w);
    t->other_names = other_names(w);
    if (t->batch_name && find_dim(w->o, t->batch_name, strlen(t->batch_name)) == 0)
        return norni_fail(NORN_ARG, "size '%s': got 0 (wanted at least 1, to plan for)", t->batch_name);
    t->memory_bytes = w->o->plan.memory_limit_bytes ? w->o->plan.memory_limit_bytes : w->device->memory_bytes;
    bool missing = false;
    for (size_t i = 0; i < w->model->graph->nodes.n; i++)
        missing |= w->model->graph->nodes.v[i]->op == &norni_op_unknown;
    if (w->o->train && missing) { /* a gradient cannot be built then; what is missing can be said */
        NORNI_TRY(norn_graph_simplify(w->model->graph, &simple));
        norn_status s = add_rows(w, simple);
        norn_graph_free(simple);
        return s;
    }
    if (w->o->train) {
        NORNI_TRY(norni_inference_form(w->model, &w->training));
        NORNI_TRY(norni_find_parameters(w->model->graph, w->o->train, &w->training));
    }
    norn_status s = bound_at_some_size(w, &g), too_large = NORN_OK;
    t->other_size = w->other;
    if (s != NORN_OK &&
        t->batch > 1) { /* sizes that grow out of their range: what can be said is said of one sample */
        t->note = keep(w->f, norn_error());
        too_large = NORN_NOMEM;
        if (bound_graph(w, 1, &g) != NORN_OK)
            return norni_fail(s, "%s", t->note);
        s = NORN_OK;
    }
    NORNI_TRY(s);
    s = norn_graph_simplify(g, &simple);
    norn_graph_free(g);
    const norn_node *decides;
    if (s == NORN_OK)
        s = add_rows(w, simple);
    if (s == NORN_OK && !t->unsupported && decides_in_a_run(simple, &decides)) {
        norni_str line = {0};
        norni_node_print(&line, decides);
        const char *text = norni_arena_printf(w->f->arena, "what %s does is only known in a run",
                                              line.s ? line.s : "a node");
        norni_str_free(&line);
        t->note = text ? text : "";
        t->fits = true;
        norn_graph_free(simple);
        return text ? NORN_OK : norni_nomem();
    }
    norn_graph_free(simple);
    if (s != NORN_OK || t->unsupported)
        return s;
    s = too_large ? norni_fail(too_large, "%s", t->note) : plan_batch(w, t->batch, &p);
    if (s == NORN_SHAPE ||
        s == NORN_NOMEM) { /* shapes that only data tell, or too large: that is an answer */
        t->note = keep(w->f, norn_error());
        t->fits = s == NORN_SHAPE;
        if (!t->fits && (t->batch_name || w->o->train) && !w->o->no_batch_search)
            smaller_batch(w);
        return NORN_OK;
    }
    NORNI_TRY(s);
    t->planned = t->fits = true;
    t->work_bytes = norn_plan_arena_bytes(p);
    t->constant_bytes = norn_plan_constant_bytes(p);
    t->peak_bytes = norn_plan_peak_bytes(p);
    add_times(w, p);
    norn_plan_free(p);
    if ((t->batch_name || w->o->train) && !w->o->no_batch_search)
        largest_batch(w);
    return NORN_OK;
}

norn_status norn_forecast_new(norn_model *m, const norn_device *d, const norn_peaks *peaks,
                              const norn_forecast_options *options, norn_forecast **out) {
    norn_forecast_options none = {0};
    norn_peaks guess;
    work w = {.model = m, .device = d, .peaks = peaks, .o = options ? options : &none};
    *out = NULL;
    if (!peaks) {
        NORNI_TRY(norn_device_peaks(d, &guess));
        w.peaks = &guess;
    }
    w.f = norni_alloc(sizeof *w.f);
    if (!w.f)
        return norni_nomem();
    w.f->arena = norni_arena_new(0);
    norn_status s = w.f->arena ? forecast(&w) : norni_nomem();
    norni_training_free(&w.training);
    if (s != NORN_OK) {
        norn_forecast_free(w.f);
        return s;
    }
    *out = w.f;
    return NORN_OK;
}
