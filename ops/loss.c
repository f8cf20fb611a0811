/* SPDX-License-Identifier: Apache-2.0 */
/* Classification losses: SoftmaxCrossEntropyLoss on scores, NegativeLogLikelihoodLoss on log probabilities, and their
 * gradients. Scores x [N,C,d1,...,dk], labels l [N,d1,...,dk], weights w [C].
 *
 *     loss_i = -w[l_i] ln softmax(x_i)[l_i]                (NegativeLogLikelihoodLoss: x is ln softmax already)
 *     reduction: none; sum; mean = sum loss_i / sum w[l_i]
 *     dx = c_i (softmax(x_i) - [class is l_i]),  c_i = w[l_i] dy_i, for the mean divided by sum w[l_i]
 *
 * A label equal to ignore_index has weight 0. Any other label out of 0 .. C - 1 has the weight NaN, so that it cannot
 * pass unnoticed: its loss is NaN, as are sum and mean, and the gradient of its scores. Weights have no gradient, as in
 * PyTorch. Sources: ONNX SoftmaxCrossEntropyLoss-13, NegativeLogLikelihoodLoss-22. */
#include "ops/loss.h"
#include "ops/rows.h"
#include <math.h>
#include <stdio.h>

typedef norni_loss_attrs loss_attrs;
typedef norni_loss_form form;
static const char *const words[] = {"mean", "sum", "none", NULL};
static const norni_attr table[] = {NORNI_A(loss_attrs, ignore_index, INT, .flags = NORNI_ATTR_OPTIONAL),
                                   NORNI_A_ENUM(loss_attrs, reduction, words, NORNI_LOSS_MEAN), NORNI_A_END};
const form norni_loss_forward = {-1, 0, 1, 2, -1, -1, -1, true},
           norni_nll_forward = {-1, 0, 1, 2, -1, -1, -1, false},
           norni_loss_backward = {0, 1, 2, 3, 4, 5, 6, true},
           norni_nll_backward = {0, 1, 2, 3, -1, -1, 4, false};

/* The weights of the samples are not all 1. */
static bool weighted(const norn_node *node, const form *f) {
    return norni_loss_has(node, f->weights) || norni_loss_ignores(node);
}

/* ---- Shapes. */
static norn_status check(const norni_infer *c, const form *f) {
    const norni_type *x = norni_in_type(c, f->x), *l = norni_in_type(c, f->labels);
    if (x->rank >= 0 && x->rank < 2)
        return norni_fail(NORN_SHAPE, "scores have rank %d (wanted 2 or more: [N,C,...])", x->rank);
    if (x->rank >= 0 && l->rank >= 0) {
        if (l->rank != x->rank - 1)
            return norni_fail(NORN_SHAPE, "labels have rank %d (wanted %d, one less than the scores)",
                              l->rank, x->rank - 1);
        for (int i = 0; i < l->rank; i++) {
            norni_dim want = x->dims[i ? i + 1 : 0];
            if (want >= 0 && l->dims[i] >= 0 && want != l->dims[i])
                return norni_fail(NORN_SHAPE,
                                  "labels have size %lld in dimension %d (wanted %lld, as the scores)",
                                  (long long)l->dims[i], i, (long long)want);
        }
    }
    if (norni_in_has(c, f->weights)) {
        const norni_type *w = norni_in_type(c, f->weights);
        if (w->rank >= 0 && w->rank != 1)
            return norni_fail(NORN_SHAPE, "weights have rank %d (wanted 1)", w->rank);
        if (w->rank == 1 && x->rank >= 0 && w->dims[0] >= 0 && x->dims[1] >= 0 && w->dims[0] != x->dims[1])
            return norni_fail(NORN_SHAPE, "%lld weights (wanted %lld, one a class)", (long long)w->dims[0],
                              (long long)x->dims[1]);
    }
    return NORN_OK;
}

static void like_labels(norni_infer *c, int out, int labels, norn_dtype dtype) {
    if (out < c->node->n_out) {
        c->out[out] = *norni_in_type(c, labels);
        c->out[out].dtype = dtype;
    }
}

static norn_status infer_loss(norni_infer *c, const form *f) {
    const norni_type *x = norni_in_type(c, f->x);
    norn_dtype t = x->dtype;
    NORNI_TRY(check(c, f));
    if (norni_loss_attrs_of(c->node)->reduction == NORNI_LOSS_NONE)
        like_labels(c, NORNI_LOSS_OUT, f->labels, t);
    else
        c->out[NORNI_LOSS_OUT] = (norni_type){.dtype = t};
    if (f->logits && c->node->n_out > NORNI_LOSS_TOTAL) {
        c->out[NORNI_LOSS_LOG_PROB] = *x;
        like_labels(c, NORNI_LOSS_PEAK, f->labels, norni_loss_kept(t));
        like_labels(c, NORNI_LOSS_LOG_SUM, f->labels, norni_loss_kept(t));
    }
    int total = f->logits ? NORNI_LOSS_TOTAL : NORNI_NLL_TOTAL;
    if (total < c->node->n_out)
        c->out[total] = (norni_type){.dtype = norni_loss_kept(t)};
    return NORN_OK;
}
static norn_status infer_cross_entropy(norni_infer *c) {
    return infer_loss(c, &norni_loss_forward);
}
static norn_status infer_nll(norni_infer *c) {
    return infer_loss(c, &norni_nll_forward);
}
static norn_status infer_grad_of(norni_infer *c, const form *f) {
    NORNI_TRY(check(c, f));
    c->out[0] = *norni_in_type(c, f->x);
    if (norni_loss_attrs_of(c->node)->reduction == NORNI_LOSS_MEAN && weighted(c->node, f) &&
        !norni_loss_has(c->node, f->total))
        return norni_fail(NORN_ARG, "input %d 'total' is missing (wanted for a weighted mean)", f->total);
    return NORN_OK;
}
static norn_status infer_grad(norni_infer *c) {
    return infer_grad_of(c, &norni_loss_backward);
}
static norn_status infer_nll_grad(norni_infer *c) {
    return infer_grad_of(c, &norni_nll_backward);
}

/* Scores as [n][classes][depth]. */
typedef struct {
    int64_t n, classes, depth;
} sizes;

static sizes sizes_of(int rank, const int64_t *dims) {
    return (sizes){dims[0], dims[1], norni_elems(rank - 2, dims + 2)};
}

/* ---- Host reference. */
static double get(const norn_tensor *t, int64_t i) {
    return norni_get_double(t->dtype, norni_tensor_data(t), i);
}
static void put(norn_tensor *t, int64_t i, double v) {
    if (t)
        norni_set_double(t->dtype, norni_tensor_data(t), i, v);
}

/* Weight of a label; *ignored: it is ignore_index. */
static double weight_of(const norni_eval *e, const form *f, int64_t label, int64_t classes, bool *ignored) {
    *ignored = norni_loss_ignores(e->node) && label == norni_loss_attrs_of(e->node)->ignore_index;
    if (*ignored)
        return 0;
    if (label < 0 || label >= classes)
        return (double)NAN;
    return norni_loss_has(e->node, f->weights) ? get(e->in[f->weights], label) : 1;
}

static norn_tensor *output(const norni_eval *e, int k) {
    return k < e->n_out ? e->out[k] : NULL;
}

static norn_status eval_loss(norni_eval *e, const form *f) {
    const norn_tensor *x = e->in[f->x], *labels = e->in[f->labels];
    sizes z = sizes_of(x->rank, x->dims);
    double loss = 0, total = 0;
    int reduction = norni_loss_attrs_of(e->node)->reduction;
    for (int64_t s = 0; s < z.n * z.depth; s++) {
        int64_t at = s / z.depth * z.classes * z.depth + s % z.depth;
        int64_t label = norni_get_int(labels->dtype, norni_tensor_data(labels), s);
        double m = -(double)INFINITY, sum = 0;
        bool ignored, valid = label >= 0 && label < z.classes;
        double w = weight_of(e, f, label, z.classes, &ignored);
        for (int64_t c = 0; c < z.classes && f->logits; c++)
            m = fmax(m, get(x, at + c * z.depth));
        for (int64_t c = 0; c < z.classes && f->logits; c++)
            sum += exp(get(x, at + c * z.depth) - m);
        double ln = f->logits ? log(sum) : 0, shift = f->logits ? m : 0;
        double nll = valid ? ln - (get(x, at + label * z.depth) - shift) : 0, v = ignored ? 0 : w * nll;
        loss += v;
        total += w;
        if (reduction == NORNI_LOSS_NONE)
            put(output(e, NORNI_LOSS_OUT), s, v);
        if (f->logits) {
            put(output(e, NORNI_LOSS_PEAK), s, m);
            put(output(e, NORNI_LOSS_LOG_SUM), s, ln);
            for (int64_t c = 0; c < z.classes; c++)
                put(output(e, NORNI_LOSS_LOG_PROB), at + c * z.depth, get(x, at + c * z.depth) - m - ln);
        }
    }
    if (reduction != NORNI_LOSS_NONE)
        put(e->out[NORNI_LOSS_OUT], 0, reduction == NORNI_LOSS_MEAN ? loss / total : loss);
    put(output(e, f->logits ? NORNI_LOSS_TOTAL : NORNI_NLL_TOTAL), 0, total);
    return NORN_OK;
}
static norn_status eval_cross_entropy(norni_eval *e) {
    return eval_loss(e, &norni_loss_forward);
}
static norn_status eval_nll(norni_eval *e) {
    return eval_loss(e, &norni_nll_forward);
}

static norn_status eval_grad_of(norni_eval *e, const form *f) {
    const norn_tensor *x = e->in[f->x], *labels = e->in[f->labels], *dy = e->in[f->dy];
    sizes z = sizes_of(x->rank, x->dims);
    int reduction = norni_loss_attrs_of(e->node)->reduction;
    for (int64_t s = 0; s < z.n * z.depth; s++) {
        int64_t at = s / z.depth * z.classes * z.depth + s % z.depth;
        int64_t label = norni_get_int(labels->dtype, norni_tensor_data(labels), s);
        bool ignored;
        double factor =
            weight_of(e, f, label, z.classes, &ignored) * get(dy, reduction == NORNI_LOSS_NONE ? s : 0);
        if (reduction == NORNI_LOSS_MEAN)
            factor /= weighted(e->node, f) ? get(e->in[f->total], 0) : (double)(z.n * z.depth);
        for (int64_t c = 0; c < z.classes; c++) {
            double p =
                f->logits ? exp(get(x, at + c * z.depth) - get(e->in[f->peak], s) - get(e->in[f->log_sum], s))
                          : 0;
            double d = factor * (p - (c == label));
            if (!f->logits && c != label)
                d = isnan(factor) ? factor : 0;
            put(e->out[0], at + c * z.depth, ignored ? 0 : d);
        }
    }
    return NORN_OK;
}
static norn_status eval_grad(norni_eval *e) {
    return eval_grad_of(e, &norni_loss_backward);
}
static norn_status eval_nll_grad(norni_eval *e) {
    return eval_grad_of(e, &norni_nll_backward);
}

/* ---- Device. */
static void common_defines(norni_emit *e, norni_step *k, const form *f, int w) {
    const norn_node *n = e->node;
    norni_step_define(e, k, "W", w);
    norni_step_define_text(e, k, "LABEL", n->in[f->labels]->type.dtype == NORN_I32 ? "int" : "long");
    if (f->logits)
        norni_step_define(e, k, "LOGITS", 1);
    if (norni_loss_has(n, f->weights))
        norni_step_define(e, k, "WEIGHTS", 1);
    if (norni_loss_ignores(n))
        norni_step_define(e, k, "IGNORE", 1);
    if (weighted(n, f) && (f->total < 0 || norni_loss_has(n, f->total)))
        norni_step_define(e, k, "COUNTED", 1);
    if (norni_loss_attrs_of(n)->reduction == NORNI_LOSS_NONE)
        norni_step_define(e, k, "PER_SAMPLE", 1);
    if (norni_loss_attrs_of(n)->reduction == NORNI_LOSS_MEAN)
        norni_step_define(e, k, "MEAN", 1);
}

/* Joins the sums of `items` items. */
static void emit_sum(norni_emit *e, const form *f, norni_ref sums, norni_ref total, int64_t items,
                     int64_t samples) {
    int wg = norni_device_is_cpu(e->device) ? 1 : 128;
    norni_step *k = norni_emit_kernel(e, "loss.cl", "loss_sum", e->node->in[f->x]->type.dtype);
    common_defines(e, k, f, 1);
    norni_step_define(e, k, "WG", wg);
    norni_step_buffer(e, k, sums, NORNI_READ);
    if (norni_loss_attrs_of(e->node)->reduction != NORNI_LOSS_NONE)
        norni_step_buffer(e, k, norni_emit_out(e, NORNI_LOSS_OUT), NORNI_WRITE);
    if (total >= 0) {
        norni_step_define(e, k, "TOTAL", 1);
        norni_step_buffer(e, k, total, NORNI_WRITE);
    }
    norni_step_i64(e, k, items);
    norni_step_i64(e, k, samples);
    norni_step_range(k, 1, (size_t)wg, 1, 1, (size_t)wg, 0, 0);
}

static norn_status emit_loss(norni_emit *e, const form *f, bool groups) {
    enum { GROUP = 128, SHORT = 64 };
    const norn_node *n = e->node;
    const norni_type *x = &n->in[f->x]->type;
    sizes z = sizes_of(x->rank, x->dims);
    int64_t samples = z.n * z.depth, units = e->device->compute_units ? e->device->compute_units : 1, items,
            rows = 1;
    int w = groups ? 1 : x->dtype == NORN_F64 ? 8 : 16;
    bool cols = z.depth > 1 && samples > 0,
         wide = groups && f->logits && !cols && z.classes >= SHORT && samples > 0;
    bool per_sample = norni_loss_attrs_of(n)->reduction == NORNI_LOSS_NONE;
    norni_ref total = norni_emit_out(e, f->logits ? NORNI_LOSS_TOTAL : NORNI_NLL_TOTAL);
    bool sums = !per_sample || total >= 0;
    if (cols)
        items = norni_ceil_div(z.depth, w) * z.n;
    else {
        if (!groups) { /* a few items a core, none too small */
            int64_t least = 4096 / (f->logits ? z.classes + 1 : 1);
            rows = norni_ceil_div(samples, 8 * units);
            rows = rows > least ? rows : least;
            rows = rows < 1 ? 1 : rows;
        }
        items = samples > rows ? norni_ceil_div(samples, rows) : 1;
    }
    bool final = sums && items == 1;
    norni_step *k = norni_emit_kernel(e, "loss.cl",
                                      wide   ? "loss_group"
                                      : cols ? "loss_cols"
                                             : "loss_rows",
                                      x->dtype);
    common_defines(e, k, f, w);
    norni_step_buffer(e, k, norni_emit_in(e, f->x), NORNI_READ);
    norni_step_buffer(e, k, norni_emit_in(e, f->labels), NORNI_READ);
    if (norni_loss_has(n, f->weights))
        norni_step_buffer(e, k, norni_emit_in(e, f->weights), NORNI_READ);
    if (per_sample || final)
        norni_step_buffer(e, k, norni_emit_out(e, NORNI_LOSS_OUT), NORNI_WRITE);
    norni_ref partial = -1;
    if (final) {
        norni_step_define(e, k, "FINAL", 1);
        if (total >= 0) {
            norni_step_define(e, k, "TOTAL", 1);
            norni_step_buffer(e, k, total, NORNI_WRITE);
        }
    } else if (sums) {
        partial = norni_emit_scratch(e, norni_dtype_bytes(norni_loss_kept(x->dtype), 2 * items));
        norni_step_define(e, k, "SUMS", 1);
        norni_step_buffer(e, k, partial, NORNI_WRITE);
    }
    if (f->logits && n->n_out > NORNI_LOSS_LOG_SUM &&
        (n->out[NORNI_LOSS_PEAK] || n->out[NORNI_LOSS_LOG_SUM])) {
        size_t bytes = norni_dtype_bytes(norni_loss_kept(x->dtype), samples);
        for (int i = NORNI_LOSS_PEAK; i <= NORNI_LOSS_LOG_SUM; i++)
            norni_step_buffer(e, k, n->out[i] ? norni_emit_out(e, i) : norni_emit_scratch(e, bytes),
                              NORNI_WRITE);
        norni_step_define(e, k, "STATS", 1);
    }
    if (f->logits && n->n_out > NORNI_LOSS_LOG_PROB && n->out[NORNI_LOSS_LOG_PROB]) {
        norni_step_define(e, k, "LOG_PROB", 1);
        norni_step_buffer(e, k, norni_emit_out(e, NORNI_LOSS_LOG_PROB), NORNI_WRITE);
    }
    norni_step_i64(e, k, samples);
    norni_step_i64(e, k, z.classes);
    norni_step_i64(e, k, norni_loss_ignores(n) ? norni_loss_attrs_of(n)->ignore_index : 0);
    if (wide) {
        norni_step_define(e, k, "WG", GROUP);
        norni_step_range(k, 1, (size_t)samples * GROUP, 1, 1, GROUP, 0, 0);
    } else if (cols) {
        norni_step_i64(e, k, z.depth);
        norni_step_items(e, k, 2, norni_ceil_div(z.depth, w), z.n, 1);
    } else {
        norni_step_i64(e, k, rows);
        norni_step_items(e, k, 1, items, 1, 1);
    }
    if (partial >= 0)
        emit_sum(e, f, partial, total, items, samples);
    return e->status;
}

static norn_status emit_grad_of(norni_emit *e, const form *f, bool groups) {
    const norn_node *n = e->node;
    const norni_type *x = &n->in[f->x]->type;
    sizes z = sizes_of(x->rank, x->dims);
    int w = groups ? 1 : x->dtype == NORN_F64 ? 8 : 16;
    bool cols = z.depth > 1;
    norni_step *k = norni_emit_kernel(e, "loss.cl", cols ? "grad_cols" : "grad_rows", x->dtype);
    common_defines(e, k, f, w);
    norni_step_buffer(e, k, norni_emit_in(e, f->dy), NORNI_READ);
    if (f->logits) {
        norni_step_buffer(e, k, norni_emit_in(e, f->x), NORNI_READ);
        norni_step_buffer(e, k, norni_emit_in(e, f->peak), NORNI_READ);
        norni_step_buffer(e, k, norni_emit_in(e, f->log_sum), NORNI_READ);
    }
    norni_step_buffer(e, k, norni_emit_in(e, f->labels), NORNI_READ);
    if (norni_loss_has(n, f->weights))
        norni_step_buffer(e, k, norni_emit_in(e, f->weights), NORNI_READ);
    if (weighted(n, f) && norni_loss_has(n, f->total))
        norni_step_buffer(e, k, norni_emit_in(e, f->total), NORNI_READ);
    norni_step_buffer(e, k, norni_emit_out(e, 0), NORNI_WRITE);
    norni_step_i64(e, k, z.n * z.depth);
    norni_step_i64(e, k, z.classes);
    norni_step_i64(e, k, norni_loss_ignores(n) ? norni_loss_attrs_of(n)->ignore_index : 0);
    if (cols) {
        int64_t each = groups ? 16 : z.classes;
        norni_step_i64(e, k, each);
        norni_step_i64(e, k, z.depth);
        norni_step_items(e, k, 3, norni_ceil_div(z.depth, w), z.n,
                         each ? norni_ceil_div(z.classes, each) : 0);
    } else {
        int64_t each = groups ? 1 : 8192, rows = groups ? 1 : 512 / (z.classes + 1);
        rows = rows < 1 ? 1 : rows;
        norni_step_i64(e, k, each);
        norni_step_i64(e, k, rows);
        norni_step_items(e, k, 2, norni_ceil_div(z.classes, each), norni_ceil_div(z.n, rows), 1);
    }
    return e->status;
}

static const char *on_cpu(const norni_fit *f) {
    return norni_device_is_cpu(f->device) ? NULL : "for CPUs";
}
#define EMITS(NAME, fn, f)                                                                                   \
    static norn_status NAME##_items(norni_emit *e) {                                                         \
        return fn(e, f, false);                                                                              \
    }                                                                                                        \
    static norn_status NAME##_groups(norni_emit *e) {                                                        \
        return fn(e, f, true);                                                                               \
    }                                                                                                        \
    static const norni_impl NAME##_impls[] = {{.name = "items", .fits = on_cpu, .emit = NAME##_items},       \
                                              {.name = "groups", .emit = NAME##_groups},                     \
                                              {0}}
EMITS(cross_entropy, emit_loss, &norni_loss_forward);
EMITS(nll, emit_loss, &norni_nll_forward);
EMITS(cross_entropy_grad, emit_grad_of, &norni_loss_backward);
EMITS(nll_grad, emit_grad_of, &norni_nll_backward);

static void cost(const norn_node *node, norni_cost *c) {
    double elems = 0;
    for (int i = 0; i < node->n_in; i++)
        if (node->in[i] && node->in[i]->type.rank > 1 && norni_dtype_is_float(node->in[i]->type.dtype) &&
            (double)norni_type_elems(&node->in[i]->type) > elems)
            elems = (double)norni_type_elems(&node->in[i]->type);
    c->flops = 5 * elems;
}

/* ---- Gradients. */
static norn_value *optional(const norn_node *node, int i) {
    return norni_loss_has(node, i) ? node->in[i] : NORNI_NONE;
}

/* "<reduction=..., ignore_index=...>" */
static const char *attrs_text(const norn_node *node, char buf[80]) {
    int n = snprintf(buf, 80, "<reduction=\"%s\"", words[norni_loss_attrs_of(node)->reduction]);
    if (norni_loss_ignores(node))
        n += snprintf(buf + n, 80 - (size_t)n, ", ignore_index=%lld",
                      (long long)norni_loss_attrs_of(node)->ignore_index);
    snprintf(buf + n, 80 - (size_t)n, ">");
    return buf;
}

static norn_value *kept_total(norn_node *n, const form *f, int out) {
    return norni_loss_attrs_of(n)->reduction == NORNI_LOSS_MEAN && weighted(n, f) ? norni_want_output(n, out)
                                                                                  : NORNI_NONE;
}

static void grad_cross_entropy(norni_grad *c) {
    norn_node *n = c->node;
    char attrs[80];
    if (c->dy[NORNI_LOSS_OUT])
        c->dx[0] = norni_opf(c->g, 7,
                             (norn_value *[]){c->dy[NORNI_LOSS_OUT], n->in[0], n->in[1], optional(n, 2),
                                              norni_want_output(n, NORNI_LOSS_PEAK),
                                              norni_want_output(n, NORNI_LOSS_LOG_SUM),
                                              kept_total(n, &norni_loss_forward, NORNI_LOSS_TOTAL)},
                             "norn.SoftmaxCrossEntropyLossGrad%s", attrs_text(n, attrs));
    if (c->dy[NORNI_LOSS_LOG_PROB]) {
        norn_value *d = NORNI_OP2(c->g, n->out[NORNI_LOSS_LOG_PROB], c->dy[NORNI_LOSS_LOG_PROB],
                                  "norn.LogSoftmaxGrad<axis=1>");
        c->dx[0] = c->dy[NORNI_LOSS_OUT] ? NORNI_OP2(c->g, c->dx[0], d, "Add") : d;
    }
}

static void grad_nll(norni_grad *c) {
    norn_node *n = c->node;
    char attrs[80];
    c->dx[0] = norni_opf(c->g, 5,
                         (norn_value *[]){c->dy[0], n->in[0], n->in[1], optional(n, 2),
                                          kept_total(n, &norni_nll_forward, NORNI_NLL_TOTAL)},
                         "norn.NegativeLogLikelihoodLossGrad%s", attrs_text(n, attrs));
}

/* ---- Descriptors. */
#define KEPT (NORNI_T(NORN_F32) | NORNI_T(NORN_F64))
#define LOSS(id, domain_name, ...)                                                                           \
    const norn_op norni_op_##id = {.domain = domain_name,                                                    \
                                   .name = #id,                                                              \
                                   .attrs_bytes = sizeof(loss_attrs),                                        \
                                   .attrs = table,                                                           \
                                   .cost = cost,                                                             \
                                   __VA_ARGS__}
#define LOSS_CASES(id)                                                                                         \
#id "(float[3,5], int64[3]{1,0,4})", #id "<reduction=\"none\">(float[5,3], int32[5]{0,2,1,1,0})",          \
        #id "<reduction=\"sum\">(float[2,3,7], int64[2,7]{0,1,2,2,1,0,0,1,1,2,0,2,2,1}, float[3])",            \
        #id "<ignore_index=-1>(float[4,5], int64[4]{3,-1,0,2})",                                               \
        #id "<ignore_index=2>(float[2,4,3,2], int32[2,3,2]{0,1,2,3,1,2,3,3,0,2,1,0}, float[4])",               \
        #id                                                                                                    \
        "<reduction=\"none\", ignore_index=7>(float[1,3,17], int64[1,17]{0,1,2,7,0,1,2,7,0,1,2,7,0,1,2,7,0})", \
        #id "(float[300,10], int64[300])", #id "(float[3,2,20], int32[3,20])",                                 \
        #id "(float[1,3], int64[1]{1})", #id "<reduction=\"sum\">(float[0,3], int64[0])",                      \
        #id "(float[2,300], int64[2]{17,299})"

#define ZERO20      "0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0"
#define ZEROS(a, b) a "," b
#define LN2_5       "0.6931471805599453,0.6931471805599453,0.6931471805599453,0.6931471805599453,0.6931471805599453"
#define LN2_20      LN2_5 "," LN2_5 "," LN2_5 "," LN2_5

LOSS(SoftmaxCrossEntropyLoss, "", .versions = (const int[]){12, 13, 0},
     .doc = "negative logarithm of the softmax of scores at the labels, weighted, and its sum or mean",
     .inputs = PARAMS({"scores", 0, NORNI_FLOATS, 'T'}, {"labels", NORNI_NODIFF, NORNI_INDEX, 0},
                      {"weights", NORNI_OPT | NORNI_NODIFF, NORNI_FLOATS, 'T'}),
     .outputs = PARAMS({"output", 0, NORNI_FLOATS, 'T'}, {"log_prob", NORNI_OPT, NORNI_FLOATS, 'T'},
                       {"peak", NORNI_STASH, KEPT, 0}, {"log_sum", NORNI_STASH, KEPT, 0},
                       {"total", NORNI_STASH, KEPT, 0}),
     .infer = infer_cross_entropy, .grad = grad_cross_entropy, .expand = norni_loss_expand,
     .eval = eval_cross_entropy, .impls = cross_entropy_impls,
     .cases = (const char *const[]){
         LOSS_CASES(SoftmaxCrossEntropyLoss), "SoftmaxCrossEntropyLoss(float[3,5], int64[3]{1,0,4}) => 2",
         "SoftmaxCrossEntropyLoss<reduction=\"none\">(float[2,3,19], int32[2,19]) => 2",
         "SoftmaxCrossEntropyLoss(float[2,70], int64[2]{3,69}) => 2", NULL});

LOSS(NegativeLogLikelihoodLoss, "", .versions = (const int[]){12, 13, 22, 0},
     .doc = "negative log probabilities at the labels, weighted, and their sum or mean",
     .inputs = PARAMS({"input", 0, NORNI_FLOATS, 'T'}, {"target", NORNI_NODIFF, NORNI_INDEX, 0},
                      {"weight", NORNI_OPT | NORNI_NODIFF, NORNI_FLOATS, 'T'}),
     .outputs = PARAMS({"loss", 0, NORNI_FLOATS, 'T'}, {"total", NORNI_STASH, KEPT, 0}), .infer = infer_nll,
     .grad = grad_nll, .expand = norni_nll_expand, .eval = eval_nll, .impls = nll_impls,
     .cases = (const char *const[]){LOSS_CASES(NegativeLogLikelihoodLoss), NULL});

LOSS(
    SoftmaxCrossEntropyLossGrad, "norn", .versions = (const int[]){1, 0},
    .doc = "gradient of SoftmaxCrossEntropyLoss for the scores; peak, log_sum, total: its hidden outputs",
    .inputs = PARAMS({"dy", 0, NORNI_FLOATS, 'T'}, {"scores", 0, NORNI_FLOATS, 'T'},
                     {"labels", NORNI_NODIFF, NORNI_INDEX, 0},
                     {"weights", NORNI_OPT | NORNI_NODIFF, NORNI_FLOATS, 'T'},
                     {"peak", NORNI_NODIFF, KEPT, 0}, {"log_sum", NORNI_NODIFF, KEPT, 0},
                     {"total", NORNI_OPT | NORNI_NODIFF, KEPT, 0}),
    .outputs = PARAMS({"dscores", 0, NORNI_FLOATS, 'T'}), .infer = infer_grad,
    .expand = norni_loss_grad_expand, .eval = eval_grad, .impls = cross_entropy_grad_impls,
    .cases = (const char *const[]){
        "norn.SoftmaxCrossEntropyLossGrad(float[], float[2,3]{0,0,0,1,1,1}, int64[2]{0,2}, _, float[2]{0,1}, "
        "float[2]{1.0986122886681098,1.0986122886681098})",
        "norn.SoftmaxCrossEntropyLossGrad<reduction=\"none\">(float[2], float[2,20]{" ZEROS(
            ZERO20, ZERO20) "}, "
                            "int64[2]{17,3}, float[20], float[2]{0,0}, "
                            "float[2]{2.995732273553991,2.995732273553991})",
        "norn.SoftmaxCrossEntropyLossGrad<ignore_index=1>(float[], float[1,2,20]{" ZEROS(
            ZERO20, ZERO20) "}, "
                            "int32[1,20]{0,1,0,1,1,0,0,0,0,1,0,0,0,1,0,0,0,0,0,1}, _, float[1,20]{" ZERO20
                            "}, "
                            "float[1,20]{" LN2_20 "}, float[]{14})",
        NULL});

LOSS(NegativeLogLikelihoodLossGrad, "norn", .versions = (const int[]){1, 0},
     .doc = "gradient of NegativeLogLikelihoodLoss for the log probabilities; total: its hidden output",
     .inputs = PARAMS({"dy", 0, NORNI_FLOATS, 'T'}, {"input", NORNI_NODIFF, NORNI_FLOATS, 'T'},
                      {"target", NORNI_NODIFF, NORNI_INDEX, 0},
                      {"weight", NORNI_OPT | NORNI_NODIFF, NORNI_FLOATS, 'T'},
                      {"total", NORNI_OPT | NORNI_NODIFF, KEPT, 0}),
     .outputs = PARAMS({"dinput", 0, NORNI_FLOATS, 'T'}), .infer = infer_nll_grad,
     .expand = norni_nll_grad_expand, .eval = eval_nll_grad, .impls = nll_grad_impls,
     .cases = (const char *const[]){
         "norn.NegativeLogLikelihoodLossGrad(float[], float[3,4], int64[3]{0,2,3})",
         "norn.NegativeLogLikelihoodLossGrad<reduction=\"none\">(float[2,20], float[2,3,20], int64[2,20])",
         "norn.NegativeLogLikelihoodLossGrad<ignore_index=1>(float[], float[3,4], int32[3]{1,0,3}, _, "
         "float[]{2})",
         NULL});
