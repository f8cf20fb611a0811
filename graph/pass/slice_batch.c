/* SPDX-License-Identifier: Apache-2.0 */
/* A large batch in slices: a stretch of nodes that treat each image (element of axis 0) for itself is run for some images at
 * a time, from its first node to its last, so that what is between stays in the caches.
 *
 *     y = f(x)  becomes  y = Concat(f(x[0:k]), f(x[k:2k]), ...)
 *
 * Slices and Concat along axis 0 cost nothing: memory is laid so that everything is in its place (graph/memory_moves.c).
 * What a slice costs is a launch for each step, and weights that are read again. */
#include "graph/pass/optimize.h"
#include "ops/conv.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

extern const norn_op norni_op_ConvPair;

enum { MAX_SLICES = 16, MAX_NODES = 4096 };

/* Nanoseconds, roughly, of the CPUs that this is for: a launch with the waking of threads, and what a byte costs to write,
 * to read, and as a weight, when it does not come from the cores' caches. */
static const double launch_ns = 15000, write_ns = 0.03, read_ns = 0.015, weight_ns = 0.02, flop_ns = 0.005;

typedef struct {
    const norn_graph *g;
    int64_t n;     /* images */
    bool *batched; /* by value: axis 0 is that of the images */
    bool *depends; /* by value: not the same for all images */
    bool *sliced;  /* by node */
} batch;

typedef struct {
    const batch *b;
    int first, last; /* nodes */
    int64_t images;  /* of a slice */
    const int *uses;
} stretch;

/* Input i is there, and only it depends on the images. */
static bool only_input(const batch *b, const norn_node *n, int i) {
    for (int k = 0; k < n->n_in; k++)
        if (n->in[k] && b->depends[n->in[k]->id] != (k == i))
            return false;
    return n->n_in > i && n->in[i] && b->batched[n->in[i]->id];
}

static bool one_output(const norn_node *n) {
    for (int k = 1; k < n->n_out; k++)
        if (n->out[k])
            return false;
    return n->out[0];
}

static bool named(const norn_node *n, const char *const *names) {
    for (; *names; names++)
        if (!strcmp(n->op->name, *names))
            return true;
    return false;
}

/* Elements of different images do not meet: what has no axis 0 of its own is the same for all. */
static bool pointwise_by_image(const batch *b, const norn_node *n) {
    int rank = n->out[0]->type.rank;
    for (int k = 0; k < n->n_in; k++) {
        const norn_value *v = n->in[k];
        if (!v)
            continue;
        if (b->depends[v->id] ? !b->batched[v->id] || v->type.rank != rank
                              : v->type.rank == rank && v->type.dims[0] != 1 && rank > 1)
            return false;
    }
    return rank > 1;
}

/* The axes of a reduction without axis 0. */
static bool reduces_within(const norn_node *n) {
    int64_t axes[NORN_MAX_RANK];
    int count = 0;
    if (n->n_in < 2 || !n->in[1] || !norni_value_ints(n->in[1], axes, NORN_MAX_RANK, &count) || !count)
        return false;
    for (int i = 0; i < count; i++)
        if (axes[i] == 0 || axes[i] == -n->in[0]->type.rank)
            return false;
    return true;
}

/* The node does the same for each image, and its output's axis 0 counts them. */
static bool by_image(const batch *b, const norn_node *n) {
    static const char *const windows[] = {
        "Conv", "ConvTranspose",     "MaxPool",       "AveragePool",    "LpPool",
        "LRN",  "GlobalAveragePool", "GlobalMaxPool", "BatchNormApply", "GlobalLpPool",
        NULL};
    static const char *const sums[] = {"ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", NULL};
    norni_ints perm;
    if (n->op->random || n->op->control || !one_output(n) || n->out[0]->type.rank < 2 ||
        n->out[0]->type.dims[0] != b->n)
        return false;
    if (norni_op_pointwise(n->op))
        return pointwise_by_image(b, n);
    if (named(n, windows))
        return only_input(b, n, 0);
    if (named(n, sums))
        return only_input(b, n, 0) && reduces_within(n);
    if (norni_node_is(n, "Gemm"))
        return only_input(b, n, 0) && !norni_node_int(n, "transA", 0) &&
               (n->n_in < 3 || !n->in[2] || n->in[2]->type.rank < 2 || n->in[2]->type.dims[0] == 1);
    if (norni_node_is(n, "Concat")) {
        int64_t axis = norni_node_int(n, "axis", 0);
        for (int k = 0; k < n->n_in; k++)
            if (!b->batched[n->in[k]->id])
                return false;
        return axis != 0 && axis != -n->out[0]->type.rank;
    }
    if (norni_node_is(n, "Transpose"))
        return only_input(b, n, 0) && norni_node_ints(n, "perm", &perm) && perm.n && perm.v[0] == 0;
    if (norni_node_is(n, "Flatten"))
        return only_input(b, n, 0) && norni_node_int(n, "axis", 1) == 1;
    return norni_node_is(n, "Reshape") && only_input(b, n, 0);
}

static bool touches_batch(const batch *b, const norn_node *n) {
    for (int k = 0; k < n->n_in; k++)
        if (n->in[k] && b->depends[n->in[k]->id])
            return true;
    return false;
}

/* Which values have an axis of images, from the inputs on. */
static bool find_batch(batch *b) {
    const norn_graph *g = b->g;
    bool any = false;
    for (size_t i = 0; i < g->states.n; i++)
        if (g->states.v[i].next && g->states.v[i].next != g->states.v[i].value)
            return false; /* training: gradients of weights join the images */
    for (size_t i = 0; i < g->inputs.n; i++) {
        const norni_type *t = &g->inputs.v[i]->type;
        int id = g->inputs.v[i]->id;
        b->depends[id] = true;
        if (t->rank < 3 || (b->n && t->dims[0] != b->n))
            continue;
        b->n = t->dims[0];
        b->batched[id] = true;
    }
    for (size_t i = 0; i < g->nodes.n; i++) {
        const norn_node *n = g->nodes.v[i];
        bool touches = touches_batch(b, n) || n->op->random;
        /* Where the wide values of inverted residuals are in no memory, what is left does not gain: measured with five such
         * networks, slices were never faster, and up to 12 % slower where the cores exchange data slowly. */
        if (n->op == &norni_op_ConvPair)
            return false;
        b->sliced[i] = touches && b->n > 1 && by_image(b, n);
        any |= b->sliced[i] && norni_node_is(n, "Conv");
        for (int k = 0; k < n->n_out; k++)
            if (n->out[k]) {
                b->depends[n->out[k]->id] = touches;
                b->batched[n->out[k]->id] = b->sliced[i];
            }
    }
    return any;
}

/* Nanoseconds saved when a tensor is made or read in slices: all where a slice stays in the cores' own caches, less where
 * in those that all share. */
static double saved(const batch *b, const norn_value *v, int64_t images, double near, double ns) {
    double bytes = (double)norni_type_bytes(&v->type), part = bytes / (double)b->n * (double)images;
    double share = part <= near ? 1 : part <= 8 * near ? 0.7 : part <= 12 * near ? 0.4 : 0;
    return bytes > near ? ns * bytes * share : 0;
}

typedef struct {
    double launches, makes, reads; /* which share of the memory's time is not hidden behind sums */
} work;

static work work_of(const norn_node *n) {
    enum { ENOUGH = 128 }; /* products an element, beyond which memory no longer decides */
    norni_conv v;
    work w = {1, 1, 1};
    if (!norni_node_is(n, "Conv"))
        return w;
    norni_conv_of(n, &v);
    double taps = (double)norni_window_taps(&v.w);
    w.makes = fmin(1, ENOUGH / ((double)v.c * taps));
    w.reads = fmin(1, ENOUGH / ((double)v.m * taps));
    bool filtering = v.c > 1; /* minimal filtering has several launches, and shares the caches already */
    for (int k = 0; k < NORNI_WINDOW_DIMS; k++)
        filtering &= v.w.stride[k] == 1 && v.w.kernel[k] == (k ? 3 : 1);
    w.launches = filtering ? 6 : 1;
    return w;
}

/* Nanoseconds that node i gains by slices of so many images, apart from what it reads of others. */
static double gain(const batch *b, int i, int64_t images, double near) {
    const norn_node *n = b->g->nodes.v[i];
    double slices = (double)norni_ceil_div(b->n, images) - 1;
    if (norni_op_pointwise(n->op))
        return 0; /* computed where its operand is */
    const work w = work_of(n);
    double t = w.makes * saved(b, n->out[0], images, near, write_ns) - slices * w.launches * launch_ns;
    for (int k = 0; k < n->n_in; k++)
        if (n->in[k] && b->depends[n->in[k]->id])
            t += n->in[k]->producer ? w.reads * saved(b, n->in[k], images, near, read_ns) : 0;
        else if (n->in[k])
            t -= slices * weight_ns * (double)norni_type_bytes(&n->in[k]->type);
    return t;
}

/* The stretch and the size of slices that gain most; false: none gains enough to be sure of it. */
static bool choose(const batch *b, double near, stretch *out) {
    double best = 0, time = 0;
    for (int64_t images = 1; images < b->n; images *= 2) {
        double sum = 0, sums = 0;
        int first = -1;
        if (norni_ceil_div(b->n, images) > MAX_SLICES)
            continue;
        for (int i = 0; i < (int)b->g->nodes.n; i++) {
            if (!b->sliced[i]) {
                if (touches_batch(b, b->g->nodes.v[i]))
                    first = -1;
                continue;
            }
            if (first < 0 || sum < 0) {
                first = i;
                sum = sums = 0;
            }
            norni_cost cost;
            norni_node_cost(b->g->nodes.v[i], &cost);
            sums += cost.flops * flop_ns;
            sum += gain(b, i, images, near);
            if (sum >= best && sum > 0) { /* pointwise nodes at the end are taken along */
                best = sum;
                time = sums;
                out->first = first;
                out->last = i;
                out->images = images;
            }
        }
    }
    return best > 0.15 * time;
}

/* ---- Rewriting. */
static bool inside(const stretch *s, const norn_node *n) {
    return n && n->id >= s->first && n->id <= s->last && s->b->sliced[n->id];
}

/* Node n of slice i; `of`: by value, what stands for it in this slice. */
static norn_status copy_node(norni_rebuild *r, const norn_node *n, int64_t images, norn_value **of) {
    norn_graph *g = r->to;
    norn_value **in = norni_arena_array(g->arena, (size_t)n->n_in + 1, sizeof *in);
    if (!in)
        return norni_nomem();
    for (int k = 0; k < n->n_in; k++)
        in[k] = n->in[k] ? of[n->in[k]->id] : NULL;
    norn_value *y;
    if (norni_node_is(n, "Reshape")) {
        int64_t dims[NORN_MAX_RANK];
        memcpy(dims, n->out[0]->type.dims, sizeof dims);
        dims[0] = images;
        y = NORNI_OP2(g, in[0], norni_i64_const(g, n->out[0]->type.rank, dims), "Reshape<allowzero=1>");
    } else {
        norn_node *made = norni_apply(g, n->op, n->attrs, n->n_in, in, 1);
        if (made) {
            made->name = n->name ? norni_arena_strdup(g->arena, n->name) : NULL;
            made->guard = n->guard;
        }
        y = made ? made->out[0] : NULL;
    }
    of[n->out[0]->id] = y;
    return y ? NORN_OK : norn_graph_status(g);
}

/* Somebody outside the stretch reads the value. */
static bool leaves(const stretch *s, const norn_value *v) {
    int within = 0;
    for (int i = s->first; i <= s->last; i++)
        for (int k = 0; s->b->sliced[i] && k < s->b->g->nodes.v[i]->n_in; k++)
            within += s->b->g->nodes.v[i]->in[k] == v;
    return s->uses[v->id] > within;
}

static norn_status slice(norni_rebuild *r, const norn_node *node, norn_value **in, bool *done) {
    const stretch *s = r->ctx;
    const norn_graph *from = s->b->g;
    norn_graph *g = r->to;
    (void)in;
    if (node->id != s->last)
        return NORN_OK;
    int64_t slices = norni_ceil_div(s->b->n, s->images);
    norn_value **of = norni_arena_array(g->arena, from->values.n, sizeof *of);
    norn_value **parts = norni_arena_array(g->arena, from->values.n * (size_t)slices, sizeof *parts);
    if (!of || !parts)
        return norni_nomem();
    for (int64_t k = 0; k < slices; k++) {
        int64_t begin = k * s->images, end = norni_min(begin + s->images, s->b->n);
        memcpy(of, r->map, from->values.n * sizeof *of);
        for (int i = s->first; i <= s->last; i++)
            for (int x = 0; s->b->sliced[i] && x < from->nodes.v[i]->n_in; x++) {
                const norn_value *v = from->nodes.v[i]->in[x];
                if (v && s->b->batched[v->id] && !inside(s, v->producer) && of[v->id] == r->map[v->id] &&
                    !(of[v->id] = norni_part(g, r->map[v->id], 0, begin, end)))
                    return norn_graph_status(g);
            }
        for (int i = s->first; i <= s->last; i++)
            if (s->b->sliced[i]) {
                NORNI_TRY(copy_node(r, from->nodes.v[i], end - begin, of));
                int id = from->nodes.v[i]->out[0]->id;
                parts[(size_t)id * (size_t)slices + (size_t)k] = of[id];
            }
    }
    for (int i = s->first; i <= s->last; i++) {
        const norn_value *v = s->b->sliced[i] ? from->nodes.v[i]->out[0] : NULL;
        if (v && leaves(s, v) &&
            !(r->map[v->id] =
                  norni_opf(g, (int)slices, parts + (size_t)v->id * (size_t)slices, "Concat<axis=0>")))
            return norn_graph_status(g);
    }
    *done = true;
    return norn_graph_status(g);
}

norn_status norni_graph_slice_batch(norn_graph **g, const norn_device *d) {
    const norn_graph *from = *g;
    double near = 1024.0 * 1024 * (d->compute_units ? d->compute_units : 1); /* the cores' own caches */
    batch b = {.g = from,
               .batched = norni_alloc_array(from->values.n + 1, sizeof(bool)),
               .depends = norni_alloc_array(from->values.n + 1, sizeof(bool)),
               .sliced = norni_alloc_array(from->nodes.n + 1, sizeof(bool))};
    int *uses = norni_graph_uses(from);
    stretch s = {.b = &b, .uses = uses};
    norn_status st = b.batched && b.depends && b.sliced && uses ? NORN_OK : norni_nomem();
    bool any = st == NORN_OK && from->nodes.n < MAX_NODES && find_batch(&b) && choose(&b, near, &s);
    for (int round = 0; round < 2 && any && st == NORN_OK; round++) { /* the second drops what nobody reads */
        norni_rebuild r = {.from = *g, .merge = true, .rewrite = round ? NULL : slice, .ctx = &s};
        st = norni_rebuild_run(&r);
        if (st == NORN_OK) {
            norn_graph_free(*g);
            *g = r.to;
        }
    }
    norni_free(b.batched);
    norni_free(b.depends);
    norni_free(b.sliced);
    norni_free(uses);
    return st;
}
