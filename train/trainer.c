/* SPDX-License-Identifier: Apache-2.0 */
/* The trainer: executables for training, gradients and evaluation over one state, made for each shape of batches. */
#include "graph/session.h"
#include "train/prepare.h"
#include <math.h>
#include <string.h>

enum { KEEP = 4 };
typedef enum { STEP, GRADIENTS, EVALUATION, N_PURPOSES } purpose;

typedef struct {
    purpose what;
    int rank;
    int64_t dims[NORN_MAX_RANK];
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
    norn_status st = check_supported(m->graph);
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
    norn_status s = norn_executable_new(t->session, g, &t->options.plan, t->state, &exe);
    norn_graph_free(g);
    if (s != NORN_OK)
        return s;
    if (t->last == slot)
        t->last = NULL;
    norn_executable_free(slot->exe);
    *slot = (prepared){.what = what, .rank = x->rank, .exe = exe, .used = ++t->clock};
    memcpy(slot->dims, x->dims, sizeof slot->dims);
    *out = slot;
    return NORN_OK;
}

/* Labels as the loss wants them: int64 classes, or numbers of the output's type, where one number a sample may lack the
 * last axis of the output [N,1]. *made: NULL when they are that already. */
static norn_status fit_labels(const norn_trainer *t, const norn_tensor *y, norn_tensor **made) {
    norni_type want = {.dtype = NORN_I64, .rank = y->rank};
    memcpy(want.dims, y->dims, sizeof want.dims);
    *made = NULL;
    if (t->options.loss == NORN_CROSS_ENTROPY) {
        if (!norni_dtype_is_int(y->dtype))
            return norni_fail(NORN_DTYPE, "labels have type %s (cross entropy wants classes, int64)",
                              norni_dtype_name(y->dtype));
    } else {
        const norn_graph *g = t->model->graph;
        size_t k = 0;
        while (k + 1 < g->outputs.n && strcmp(g->outputs.v[k].name, t->info.output) != 0)
            k++;
        const norni_type *out = &g->outputs.v[k].value->type;
        want.dtype = out->dtype;
        if (out->rank == y->rank + 1 && out->dims[y->rank] == 1 && out->rank <= NORN_MAX_RANK)
            want.dims[want.rank++] = 1;
    }
    if (want.dtype == y->dtype && want.rank == y->rank)
        return NORN_OK;
    if (!norni_tensor_is_host(y))
        return norni_fail(NORN_DTYPE, "labels on the device have type %s (wanted %s, of the output's rank)",
                          norni_dtype_name(y->dtype), norni_dtype_name(want.dtype));
    NORNI_TRY(norni_tensor_host(want.dtype, want.rank, want.dims, made));
    for (int64_t i = 0, n = norni_tensor_elems(y); i < n; i++)
        if (want.dtype == NORN_I64)
            norni_set_int(NORN_I64, norni_tensor_data(*made), i,
                          norni_get_int(y->dtype, norni_tensor_data(y), i));
        else
            norni_set_double(want.dtype, norni_tensor_data(*made), i,
                             norni_get_double(y->dtype, norni_tensor_data(y), i));
    return NORN_OK;
}

static norn_status run(norn_trainer *t, purpose what, const norn_tensor *x, const norn_tensor *y,
                       size_t n_fetches, norn_fetch *fetches) {
    prepared *p;
    norn_tensor *made;
    NORNI_TRY(fit_labels(t, y, &made));
    norn_status s = prepare(t, what, x, &p);
    norn_feed feeds[3] = {{t->info.input, x}, {"norn.labels", made ? made : y}, {"lr", t->lr}};
    if (s == NORN_OK)
        s = norn_executable_run(p->exe, what == STEP ? 3 : 2, feeds, n_fetches, fetches);
    if (s == NORN_OK)
        t->last = p;
    norn_tensor_free(made);
    return s;
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

norn_status norn_trainer_store(norn_trainer *t) {
    for (size_t i = 0; i < t->info.parameters.n; i++) {
        const char *name = t->info.parameters.v[i].name;
        norn_value *v = norni_graph_find(t->model->graph, name);
        norn_tensor *now;
        bool there = false;
        for (size_t k = 0; k < t->state->entries.n; k++)
            there |= !strcmp(t->state->entries.v[k].name, name);
        if (!there || !v)
            continue; /* frozen, or no step yet */
        NORNI_TRY(norn_state_get(t->state, name, &now));
        norn_tensor_free(v->data);
        v->data = now;
    }
    return NORN_OK;
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
