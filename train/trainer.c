/* SPDX-License-Identifier: Apache-2.0 */
/* The trainer: executables for training, gradients and evaluation over one state, made for each shape of batches. */
#include "export/npy.h"
#include "graph/session.h"
#include "train/prepare.h"
#include "train/samples.h"
#include <math.h>
#include <string.h>

enum { KEEP = 4 };
typedef enum { STEP, GRADIENTS, EVALUATION, N_PURPOSES } purpose;

typedef struct {
    purpose what;
    int rank;
    int64_t dims[NORN_MAX_RANK];
    norni_type labels; /* that the loss wants */
    int64_t classes;   /* 0: the labels are numbers */
    norn_executable *exe;
    uint64_t used;
} prepared;

struct norn_trainer {
    norn_session *session;
    norn_model *model;
    norn_train_options options;
    char *freeze, *train;
    norni_training info;
    norn_state *state;
    prepared executables[N_PURPOSES * KEEP];
    prepared *last;
    norn_tensor *lr;
    uint64_t clock;
};

void norn_train_options_init(norn_train_options *o) {
    *o = (norn_train_options){.loss = NORN_CROSS_ENTROPY};
    norn_optimizer_init(&o->optimizer, NORN_ADAM);
}

void norn_trainer_free(norn_trainer *t) {
    if (!t)
        return;
    for (int i = 0; i < N_PURPOSES * KEEP; i++)
        norn_executable_free(t->executables[i].exe);
    norn_state_free(t->state);
    norn_tensor_free(t->lr);
    norni_training_free(&t->info);
    norni_free(t->freeze);
    norni_free(t->train);
    norni_free(t);
}

static norn_status check_supported(const norn_graph *g) {
    char *missing;
    NORNI_TRY(norn_graph_unsupported(g, &missing));
    if (!missing)
        return NORN_OK;
    for (char *c = missing; *c; c++)
        if (*c == '\n')
            *c = c[1] ? ',' : 0;
    norn_status s = norni_fail(NORN_UNSUPPORTED, "operators that norn does not have: %s", missing);
    norn_text_free(missing);
    return s;
}

/* Squares of gradients are below what half precision holds. */
static norn_status check_precision(const norn_trainer *t) {
    for (size_t i = 0; i < t->info.parameters.n; i++) {
        const norni_parameter *p = &t->info.parameters.v[i];
        norn_dtype d = norni_graph_find(t->model->graph, p->name)->type.dtype;
        if (p->trained && (d == NORN_F16 || d == NORN_BF16) && t->options.optimizer.kind != NORN_SGD)
            return norni_fail(
                NORN_UNSUPPORTED,
                "parameter '%s' is %s, in which this optimizer's averages cannot be kept (wanted "
                "sgd, momentum or nesterov, or a network in float)",
                p->name, norni_dtype_name(d));
    }
    return NORN_OK;
}

norn_status norn_trainer_new(norn_session *s, norn_model *m, const norn_train_options *options,
                             norn_trainer **out) {
    *out = NULL;
    norn_trainer *t = norni_alloc(sizeof *t);
    if (!t)
        return norni_nomem();
    t->session = s;
    t->model = m;
    norn_train_options_init(&t->options);
    if (options)
        t->options = *options;
    norn_status st = norn_optimizer_check(&t->options.optimizer);
    if (st == NORN_OK)
        st = check_supported(m->graph);
    if (st == NORN_OK && t->options.freeze) {
        t->options.freeze = t->freeze = norni_strdup(t->options.freeze);
        st = t->freeze ? NORN_OK : norni_nomem();
    }
    if (st == NORN_OK && t->options.train) {
        t->options.train = t->train = norni_strdup(t->options.train);
        st = t->train ? NORN_OK : norni_nomem();
    }
    if (st == NORN_OK)
        st = norni_inference_form(m, &t->info);
    if (st == NORN_OK)
        st = norni_find_parameters(m->graph, &t->options, &t->info);
    if (st == NORN_OK)
        st = check_precision(t);
    if (st == NORN_OK)
        st = norn_state_new(s, &t->state);
    if (st == NORN_OK)
        st = norni_tensor_host(NORN_F32, 0, NULL, &t->lr);
    if (st == NORN_OK)
        st = norn_trainer_set_lr(t, t->options.optimizer.lr);
    if (st != NORN_OK) {
        norn_trainer_free(t);
        return st;
    }
    *out = t;
    return NORN_OK;
}

norn_status norn_trainer_set_lr(norn_trainer *t, double lr) {
    if (!(lr >= 0) || isinf(lr))
        return norni_fail(NORN_ARG, "learning rate %g (wanted a number, 0 or more)", lr);
    norni_set_double(NORN_F32, norni_tensor_data(t->lr), 0, lr);
    return NORN_OK;
}

/* ---- What is trained. */
size_t norn_trainer_parameter_count(const norn_trainer *t) {
    return t->info.parameters.n;
}

void norn_trainer_parameter_at(const norn_trainer *t, size_t i, norn_parameter_info *out) {
    static const char *const roles[] = {"", "weight", "bias", "scale", "operand", "statistics"};
    *out = (norn_parameter_info){0};
    if (i >= t->info.parameters.n)
        return;
    const norni_parameter *p = &t->info.parameters.v[i];
    *out = (norn_parameter_info){p->name, p->type, roles[p->role], p->elems, p->trained, p->frozen};
}

size_t norn_trainer_note_count(const norn_trainer *t) {
    return t->info.notes.n;
}
const char *norn_trainer_note_at(const norn_trainer *t, size_t i) {
    return i < t->info.notes.n ? t->info.notes.v[i] : NULL;
}
norn_state *norn_trainer_state(const norn_trainer *t) {
    return t->state;
}
const norn_plan *norn_trainer_plan(const norn_trainer *t) {
    return t->last ? norn_executable_plan(t->last->exe) : NULL;
}

/* ---- Executables. */
static norn_status make_graph(norn_trainer *t, purpose what, const norn_tensor *x, norn_graph **out) {
    const norn_graph *g = t->model->graph;
    return what == EVALUATION ? norni_evaluation_graph(g, &t->options, &t->info, x, out)
                              : norni_training_graph(g, &t->options, &t->info, x, what == STEP, out);
}

static int64_t class_count(const norn_trainer *t, const norn_graph *g) {
    if (t->options.loss != NORN_CROSS_ENTROPY)
        return 0;
    for (size_t i = 0; i < g->nodes.n; i++)
        if (!strcmp(g->nodes.v[i]->op->name, "SoftmaxCrossEntropyLoss") && g->nodes.v[i]->in[1]->name &&
            !strcmp(g->nodes.v[i]->in[1]->name, "norn.labels") && g->nodes.v[i]->in[0]->type.dims[1] > 0)
            return g->nodes.v[i]->in[0]->type.dims[1];
    return 0;
}

static norn_status prepare(norn_trainer *t, purpose what, const norn_tensor *x, prepared **out) {
    prepared *slot = NULL;
    for (int i = 0; i < KEEP; i++) {
        prepared *p = &t->executables[(int)what * KEEP + i];
        if (p->exe && p->rank == x->rank && !memcmp(p->dims, x->dims, (size_t)x->rank * sizeof *x->dims)) {
            p->used = ++t->clock;
            *out = p;
            return NORN_OK;
        }
        if (!slot || p->used < slot->used)
            slot = p;
    }
    norn_graph *g;
    NORNI_TRY(make_graph(t, what, x, &g));
    norn_executable *exe = NULL;
    norni_type labels = norni_graph_find(g, "norn.labels")->type;
    int64_t classes = class_count(t, g);
    norn_status s = norn_executable_new(t->session, g, &t->options.plan, t->state, &exe);
    norn_graph_free(g);
    if (s != NORN_OK)
        return s;
    if (t->last == slot)
        t->last = NULL;
    norn_executable_free(slot->exe);
    *slot = (prepared){
        .what = what, .rank = x->rank, .labels = labels, .classes = classes, .exe = exe, .used = ++t->clock};
    memcpy(slot->dims, x->dims, sizeof slot->dims);
    *out = slot;
    return NORN_OK;
}

/* A host tensor in another type; *made: NULL when it has it already. Floats do not become integers. */
static norn_status in_type(const char *what, const norn_tensor *x, norn_dtype want, int rank,
                           const int64_t *dims, norn_tensor **made) {
    *made = NULL;
    if (x->dtype == want && x->rank == rank)
        return NORN_OK;
    if (!norni_tensor_is_host(x) || (norni_dtype_is_float(x->dtype) && !norni_dtype_is_float(want)))
        return norni_fail(NORN_DTYPE, "%s have type %s (wanted %s)", what, norni_dtype_name(x->dtype),
                          norni_dtype_name(want));
    norn_tensor *from;
    NORNI_TRY(norni_tensor_packed(x, &from));
    norn_status s = norni_tensor_host(want, rank, dims, made);
    for (int64_t i = 0, n = norni_tensor_elems(x); i < n && s == NORN_OK; i++)
        if (norni_dtype_is_float(want))
            norni_set_double(want, norni_tensor_data(*made), i,
                             norni_get_double(x->dtype, norni_tensor_data(from), i));
        else
            norni_set_int(want, norni_tensor_data(*made), i,
                          norni_get_int(x->dtype, norni_tensor_data(from), i));
    norn_tensor_free(from);
    return s;
}

/* Labels as the loss wants them: int64 classes, or numbers of the output's type, where one number a sample may lack the
 * last axis of the output [N,1]. *made: NULL when they are that already. */
static norn_status fit_labels(const norn_trainer *t, const prepared *p, const norn_tensor *y,
                              norn_tensor **made) {
    bool classes = t->options.loss == NORN_CROSS_ENTROPY;
    const norni_type *want = &p->labels;
    int64_t dims[NORN_MAX_RANK];
    int rank = y->rank;
    char got_text[128], want_text[128];
    memcpy(dims, y->dims, sizeof dims);
    if (!classes && want->rank == rank + 1 && want->dims[rank] == 1)
        dims[rank++] = 1;
    bool same = want->rank < 0 || want->rank == rank;
    for (int i = 0; i < want->rank && same; i++)
        same = want->dims[i] < 0 || want->dims[i] == dims[i];
    if (!same)
        return norni_fail(NORN_SHAPE, "labels of shape %s (wanted %s for %s of output '%s')",
                          norni_shape_text(y->rank, y->dims, got_text),
                          norni_shape_text(want->rank, want->dims, want_text),
                          classes ? "the classes" : "the mean squared error", t->info.output);
    NORNI_TRY(in_type(classes ? "labels for the cross entropy" : "labels", y, want->dtype, rank, dims, made));
    const norn_tensor *z = *made ? *made : y;
    for (int64_t i = 0, n = norni_tensor_elems(z); p->classes && norni_tensor_is_host(z) && i < n; i++) {
        int64_t c = norni_get_int(z->dtype, norni_tensor_data(z), i);
        if (c >= 0 && c < p->classes)
            continue;
        norn_tensor_free(*made);
        *made = NULL;
        return norni_fail(NORN_ARG, "label %lld at place %lld of the batch: the network has %lld classes",
                          (long long)c, (long long)i, (long long)p->classes);
    }
    return NORN_OK;
}

/* Samples in the type of the model's input. */
static norn_status fit_samples(const norn_trainer *t, const norn_tensor *x, norn_tensor **made) {
    norn_dtype want = norni_graph_find(t->model->graph, t->info.input)->type.dtype;
    return in_type("samples", x, want, x->rank, x->dims, made);
}

static norn_status run(norn_trainer *t, purpose what, const norn_tensor *x, const norn_tensor *y,
                       size_t n_fetches, norn_fetch *fetches) {
    prepared *p;
    norn_tensor *made_x, *made_y = NULL;
    NORNI_TRY(fit_samples(t, x, &made_x));
    if (made_x)
        x = made_x;
    norn_status s = prepare(t, what, x, &p);
    if (s == NORN_OK)
        s = fit_labels(t, p, y, &made_y);
    norn_feed feeds[3] = {{t->info.input, x}, {"norn.labels", made_y ? made_y : y}, {"lr", t->lr}};
    if (s == NORN_OK)
        s = norn_executable_run(p->exe, what == STEP ? 3 : 2, feeds, n_fetches, fetches);
    if (s == NORN_OK)
        t->last = p;
    norn_tensor_free(made_x);
    norn_tensor_free(made_y);
    return s;
}

/* The first batch, up to the point where it would run, and the numbers of all of them. */
static norn_status check_data(norn_trainer *t, purpose what, const norn_dataset *ds, int64_t batch) {
    int64_t n = norn_dataset_count(ds) < batch ? norn_dataset_count(ds) : batch;
    int64_t *indices = norni_alloc_array((size_t)n + 1, sizeof *indices);
    norn_tensor *x = NULL, *y = NULL, *made_x = NULL, *made_y = NULL;
    prepared *p = NULL;
    norn_status s = indices ? NORN_OK : norni_nomem();
    for (int64_t i = 0; i < n && s == NORN_OK; i++)
        indices[i] = i;
    if (s == NORN_OK)
        s = norn_dataset_batch(ds, indices, n, &x, &y);
    if (s == NORN_OK)
        s = fit_samples(t, x, &made_x);
    if (s == NORN_OK)
        s = prepare(t, what, made_x ? made_x : x, &p);
    if (s == NORN_OK)
        s = norni_dataset_check(ds, p->classes);
    if (s == NORN_OK)
        s = fit_labels(t, p, y, &made_y);
    norn_tensor_free(x);
    norn_tensor_free(y);
    norn_tensor_free(made_x);
    norn_tensor_free(made_y);
    norni_free(indices);
    return s;
}

norn_status norn_trainer_check(norn_trainer *t, const norn_dataset *ds, const norn_fit_options *options) {
    int64_t batch = options && options->batch > 0 ? options->batch : 32;
    NORNI_TRY(check_data(t, STEP, ds, batch));
    if (options && options->validation)
        return norni_prefix(check_data(t, EVALUATION, options->validation, batch), "validation data");
    return NORN_OK;
}

static norn_status run_loss(norn_trainer *t, purpose what, const norn_tensor *x, const norn_tensor *y,
                            norn_train_result *out) {
    bool classes = t->options.loss == NORN_CROSS_ENTROPY;
    norn_fetch f[2] = {{"loss", NULL}, {"correct", NULL}};
    *out = (norn_train_result){.correct = -1};
    NORNI_TRY(run(t, what, x, y, classes ? 2 : 1, f));
    out->loss = norni_get_double(f[0].tensor->dtype, norni_tensor_data(f[0].tensor), 0);
    out->count = norni_tensor_elems(y);
    if (classes)
        out->correct = norni_get_int(NORN_I64, norni_tensor_data(f[1].tensor), 0);
    norn_tensor_free(f[0].tensor);
    norn_tensor_free(f[1].tensor);
    return NORN_OK;
}

norn_status norn_trainer_step(norn_trainer *t, const norn_tensor *x, const norn_tensor *y,
                              norn_train_result *out) {
    norn_train_result r;
    norn_status s = run_loss(t, STEP, x, y, &r);
    if (out)
        *out = r;
    return s;
}

norn_status norn_trainer_evaluate(norn_trainer *t, const norn_dataset *ds, int64_t batch,
                                  norn_train_result *out) {
    int64_t n = norn_dataset_count(ds), *order = norni_alloc_array((size_t)n + 1, sizeof *order);
    *out = (norn_train_result){.correct = t->options.loss == NORN_CROSS_ENTROPY ? 0 : -1};
    norn_status s = order ? NORN_OK : norni_nomem();
    if (batch <= 0)
        batch = 32;
    for (int64_t i = 0; i < n && s == NORN_OK; i++)
        order[i] = i;
    double sum = 0;
    for (int64_t i = 0; i < n && s == NORN_OK; i += batch) {
        norn_tensor *x = NULL, *y = NULL;
        norn_train_result r;
        s = norn_dataset_batch(ds, order + i, batch < n - i ? batch : n - i, &x, &y);
        if (s == NORN_OK)
            s = run_loss(t, EVALUATION, x, y, &r);
        if (s == NORN_OK) {
            sum += r.loss * (double)r.count;
            out->count += r.count;
            out->correct += r.correct > 0 ? r.correct : 0;
        }
        norn_tensor_free(x);
        norn_tensor_free(y);
    }
    out->loss = out->count ? sum / (double)out->count : 0;
    norni_free(order);
    return s;
}

norn_status norn_trainer_gradients(norn_trainer *t, const norn_tensor *x, const norn_tensor *y,
                                   norn_tensor **out) {
    size_t n = t->info.parameters.n, wanted = 0;
    norn_fetch *f = norni_alloc_array(n + 1, sizeof *f);
    norn_status s = f ? NORN_OK : norni_nomem();
    for (size_t i = 0; i < n; i++)
        out[i] = NULL;
    for (size_t i = 0; i < n && s == NORN_OK; i++)
        if (t->info.parameters.v[i].trained) {
            norni_str name = {0};
            norni_str_addf(&name, "grad:%s", t->info.parameters.v[i].name);
            f[wanted].name = norni_str_take(&name);
            s = f[wanted++].name ? NORN_OK : norni_nomem();
        }
    if (s == NORN_OK)
        s = run(t, GRADIENTS, x, y, wanted, f);
    for (size_t i = 0, k = 0; i < n && s == NORN_OK; i++)
        if (t->info.parameters.v[i].trained)
            out[i] = f[k++].tensor;
    for (size_t k = 0; k < wanted; k++)
        norni_free((char *)f[k].name);
    norni_free(f);
    return s;
}

/* Numbers that were finite must be so still. */
static norn_status check_trained(const char *name, const norn_tensor *before, const norn_tensor *now) {
    for (int64_t i = 0, n = norni_tensor_elems(now); norni_dtype_is_float(now->dtype) && i < n; i++) {
        double v = norni_get_double(now->dtype, norni_tensor_data(now), i);
        if (!isfinite(v) && isfinite(norni_get_double(before->dtype, norni_tensor_data(before), i)))
            return norni_fail(
                NORN_ARG, "parameter '%s' became %g in training (a smaller learning rate may help)", name, v);
    }
    return NORN_OK;
}

norn_status norn_trainer_store(norn_trainer *t) {
    size_t n = t->info.parameters.n;
    norn_tensor **now = norni_alloc_array(n + 1, sizeof *now);
    norn_status s = now ? NORN_OK : norni_nomem();
    for (size_t i = 0; i < n && s == NORN_OK; i++) {
        const char *name = t->info.parameters.v[i].name;
        norn_value *v = norni_graph_find(t->model->graph, name);
        bool there = false;
        now[i] = NULL;
        for (size_t k = 0; k < t->state->entries.n; k++)
            there |= !strcmp(t->state->entries.v[k].name, name);
        if (!there || !v)
            continue; /* frozen, or no step yet */
        s = norn_state_get(t->state, name, &now[i]);
        norn_tensor *before = NULL;
        if (s == NORN_OK)
            s = norni_tensor_packed(v->data, &before);
        if (s == NORN_OK)
            s = check_trained(name, before, now[i]);
        norn_tensor_free(before);
    }
    for (size_t i = 0; i < n && now; i++) {
        if (s == NORN_OK && now[i]) {
            norn_value *v = norni_graph_find(t->model->graph, t->info.parameters.v[i].name);
            norn_tensor_free(v->data);
            v->data = now[i];
        } else
            norn_tensor_free(now[i]);
    }
    norni_free(now);
    return s;
}

norn_status norn_trainer_print(norn_trainer *t, int64_t batch, char **out) {
    const norni_type *in = &norni_graph_find(t->model->graph, t->info.input)->type;
    int64_t dims[NORN_MAX_RANK];
    norn_tensor *x;
    norn_graph *g;
    *out = NULL;
    for (int i = 0; i < in->rank; i++) {
        dims[i] = i == 0 ? batch : in->dims[i];
        if (dims[i] < 0)
            return norni_fail(NORN_SHAPE, "input '%s': size %d is not known", t->info.input, i);
    }
    NORNI_TRY(norni_tensor_host(in->dtype, in->rank, dims, &x));
    norn_status s = make_graph(t, STEP, x, &g);
    if (s == NORN_OK)
        s = norn_graph_print(g, 8, out);
    norn_tensor_free(x);
    if (s == NORN_OK)
        norn_graph_free(g);
    return s;
}
