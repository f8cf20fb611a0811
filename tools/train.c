/* SPDX-License-Identifier: Apache-2.0 */
/* norn train: trains a network, or goes on training one. */
#include "files.h"
#include "output.h"
#include "pick.h"
#include "profile.h"
#include "training_options.h"
#include "verbs.h"
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    bool json, no_shuffle;
    const char *data, *val, *out, *log, *device;
    int64_t batch, epochs, steps, seed;
    bool profile;
    const char *trace;
    double scale;
    training_options training;
} train_options;

/* ---- Ctrl-C, SIGTERM: once ends training after the step, twice ends the program. */
static volatile sig_atomic_t interrupted; /* the signal */

static void on_interrupt(int signal) {
    static const char text[] = "\nfinishing this step, then saving; once more stops at once\n";
    interrupted = signal;
    (void)!write(STDERR_FILENO, text, sizeof text - 1);
}

static void watch_interrupt(void) {
    struct sigaction a = {.sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND};
    sigemptyset(&a.sa_mask);
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
}

/* As shells say it of a program that a signal ends. */
static int interrupted_code(int code) {
    return code || !interrupted ? code : 128 + (int)interrupted;
}

/* ---- The run. */
enum { RECENT = 64 };
typedef struct {
    const train_options *o;
    const char *net;
    norn_session *session;
    norn_model *model;
    norn_dataset *data, *val;
    norn_trainer *trainer;
    FILE *log;
    bool log_failed;
    cJSON *json, *epochs;
    /* of the progress so far */
    norn_progress last;
    int64_t epoch, epoch_samples;
    double shown; /* when the live line was last written */
    /* Of the last steps, without the first, which makes the kernels: the rate is theirs. */
    struct {
        int64_t samples;
        double seconds;
    } recent[RECENT];
    int64_t timed;
    norn_train_options training;
} job;

/* Samples and seconds of a step, over the recent ones. */
static void rate(const job *j, double *per_second, double *step_seconds) {
    int64_t n = j->timed < RECENT ? j->timed : RECENT;
    double seconds = 0, samples = 0;
    for (int64_t i = 0; i < n; i++) {
        samples += (double)j->recent[i].samples;
        seconds += j->recent[i].seconds;
    }
    *per_second = seconds > 0 ? samples / seconds : 0;
    *step_seconds = n ? seconds / (double)n : 0;
}

static double samples_per_second(const job *j) {
    double r, s;
    rate(j, &r, &s);
    return r;
}

static bool is_builtin(const char *name) {
    for (size_t i = 0; i < norn_builtin_count(); i++)
        if (!strcmp(norn_builtin_name(i), name))
            return true;
    return false;
}

static int no_such_net(const char *name) {
    char list[512] = "";
    size_t n = 0;
    for (size_t i = 0; i < norn_builtin_count() && n < sizeof list; i++)
        n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", i ? ", " : "", norn_builtin_name(i));
    const char *near = nearest(name, norn_builtin_count(), norn_builtin_name);
    return fail_text(NORN_ARG, "%s: neither a file nor a built-in network (there are: %s)%s%s%s", name, list,
                     near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

/* Where a model's pictures have their channels: what PNG files are converted to; 0: as stored. */
static int wanted_channels(const norn_model *m) {
    const norn_graph *g = m ? norn_model_graph(m) : NULL;
    const norn_value *x = g && norn_graph_input_count(g) == 1 ? norn_graph_input_at(g, 0) : NULL;
    if (!x || norn_value_rank(x) != 4)
        return 0;
    int64_t c = norn_value_dim(x, 1);
    return c == 1 || c == 3 || c == 4 ? (int)c : 0;
}

static norn_status open_data(job *j) {
    const norn_dataset_options o = {.scale = isnan(j->o->scale) ? 0 : j->o->scale,
                                    .channels = wanted_channels(j->model)};
    norn_status s = norn_dataset_open(j->o->data, &o, &j->data);
    if (s == NORN_OK && j->o->val)
        s = norn_dataset_open(j->o->val, &o, &j->val);
    return s;
}

/* The first label that is no class number. */
static int no_classes(const job *j) {
    norn_dtype type = norn_dataset_label_dtype(j->data);
    bool whole = type != NORN_F16 && type != NORN_BF16 && type != NORN_F32 && type != NORN_F64;
    for (int64_t i = 0; whole && i < norn_dataset_count(j->data); i++) {
        norn_tensor *y;
        norn_status s = norn_dataset_batch(j->data, &i, 1, NULL, &y);
        if (s != NORN_OK)
            return fail(s);
        for (int64_t k = 0; k < norn_tensor_elems(y); k++) {
            double v = norn_tensor_get(y, k);
            if (v >= 0 && v < 2147483648.0)
                continue;
            norn_tensor_free(y);
            return fail_text(NORN_ARG,
                             "%s: label %.0f at sample %lld: no class number (wanted 0 or more); "
                             "--loss mse fits numbers",
                             j->o->data, v, (long long)i);
        }
        norn_tensor_free(y);
    }
    return fail_text(NORN_DTYPE,
                     "%s: the labels are no class numbers, which cross entropy wants; --loss mse fits "
                     "numbers",
                     j->o->data);
}

static int make_builtin(job *j) {
    int64_t outputs = norn_dataset_classes(j->data);
    if (j->o->training.loss == NORN_CROSS_ENTROPY && outputs < 1)
        return no_classes(j);
    if (j->o->training.loss == NORN_MSE) {
        outputs = 1;
        for (int i = 0; i < norn_dataset_label_rank(j->data); i++)
            outputs *= norn_dataset_label_dims(j->data)[i];
    }
    norn_status s = norn_model_builtin(j->net, norn_dataset_rank(j->data), norn_dataset_dims(j->data),
                                       outputs, (uint64_t)j->o->seed, &j->model);
    return s == NORN_OK ? 0 : fail(s);
}

/* Folders are numbered in the order of their names: one that only one of the two has would shift the others. */
static int same_classes(const job *j) {
    int64_t n = norn_dataset_classes(j->data);
    if (!j->val || !norn_dataset_class_name(j->data, 0) || !norn_dataset_class_name(j->val, 0))
        return 0;
    if (norn_dataset_classes(j->val) > n)
        n = norn_dataset_classes(j->val);
    for (int64_t c = 0; c < n; c++) {
        const char *a = norn_dataset_class_name(j->data, c), *b = norn_dataset_class_name(j->val, c);
        if (!a || !b || strcmp(a, b) != 0)
            return fail_text(NORN_ARG, "class %lld is '%s' in %s and '%s' in %s (wanted the same folders)",
                             (long long)c, a ? a : "missing", j->o->data, b ? b : "missing", j->o->val);
    }
    return 0;
}

/* Samples get the shape of the model's input, as far as that is fixed. */
static norn_status shape_data(job *j) {
    const norn_graph *g = norn_model_graph(j->model);
    const norn_value *x = norn_graph_input_count(g) == 1 ? norn_graph_input_at(g, 0) : NULL;
    int64_t dims[NORN_MAX_RANK];
    int rank = x ? norn_value_rank(x) : -1;
    for (int i = 1; i < rank; i++)
        if ((dims[i - 1] = norn_value_dim(x, i)) < 0)
            return NORN_OK;
    if (rank < 1)
        return NORN_OK;
    norn_status s = norn_dataset_shape(j->data, rank - 1, dims);
    return s == NORN_OK && j->val ? norn_dataset_shape(j->val, rank - 1, dims) : s;
}

static int check_out(const char *out) {
    size_t n = strlen(out);
    if (n < 6 || strcasecmp(out + n - 5, ".onnx") != 0)
        return fail_text(NORN_UNSUPPORTED, "--out %s: no model format by its name (wanted .onnx)", out);
    char *folder = text_copy(out), *slash = folder ? strrchr(folder, '/') : NULL;
    if (!folder)
        return out_of_memory();
    if (slash)
        slash[slash == folder] = 0; /* of "/a.onnx" the "/" stays */
    struct stat st;
    char *trial = path_join(slash ? folder : ".", ".norn-XXXXXX");
    int code = trial ? 0 : out_of_memory(), file = -1;
    if (!code && stat(out, &st) == 0 && S_ISDIR(st.st_mode))
        code = fail_text(NORN_IO, "--out %s: is a folder (wanted a file)", out);
    if (!code && (file = mkstemp(trial)) < 0) /* better now than after hours */
        code = fail_text(NORN_IO, "--out %s: cannot write there: %s", out, strerror(errno));
    if (file >= 0) {
        close(file);
        unlink(trial);
    }
    free(trial);
    free(folder);
    return code;
}

static norn_fit_options fit_options(job *j);

static int prepare(job *j) {
    bool file = is_file(j->net);
    picked p;
    int code = training_set(&j->o->training, &j->training);
    j->training.seed = (uint64_t)j->o->seed;
    if (!code && !file && !is_builtin(j->net))
        code = no_such_net(j->net);
    if (!code)
        code = check_out(j->o->out);
    if (!code)
        code = pick_devices(j->o->device, false, &p);
    if (code)
        return code;
    norn_status s = file ? norn_model_load(j->net, NULL, &j->model) : NORN_OK;
    if (s == NORN_OK)
        s = open_data(j);
    if (s == NORN_OK && (code = same_classes(j)))
        return code;
    if (s == NORN_OK && !file && (code = make_builtin(j)))
        return code;
    if (s == NORN_OK)
        s = shape_data(j);
    if (s == NORN_OK)
        s = open_picked(&p, 0, &j->session);
    if (s == NORN_OK && (s = norn_trainer_new(j->session, j->model, &j->training, &j->trainer)) != NORN_OK)
        return fail_text(s, "%s: %s", j->net, norn_error());
    const norn_fit_options fit = fit_options(j);
    if (s == NORN_OK)
        s = norn_trainer_check(j->trainer, j->data, &fit);
    return s == NORN_OK ? 0 : fail(s);
}

/* ---- What is trained. */
static const char *fate(const norn_parameter_info *p) {
    return p->frozen                        ? "frozen"
           : p->trained                     ? "trained"
           : !strcmp(p->role, "statistics") ? "updated"
                                            : "fixed";
}

static void print_start(const job *j) {
    table t = {.columns = 5, .align = "lllrl"};
    int64_t trained = 0;
    size_t arrays = 0;
    for (size_t i = 0; i < norn_trainer_parameter_count(j->trainer); i++) {
        norn_parameter_info p;
        norn_trainer_parameter_at(j->trainer, i, &p);
        table_cell(&t, "  %s", p.name);
        table_cell(&t, "%s", p.type);
        table_cell(&t, "%s", p.role);
        table_cell(&t, "%lld", (long long)p.elems);
        table_cell(&t, "%s", fate(&p));
        trained += p.trained ? p.elems : 0;
        arrays += p.trained;
    }
    char *text = NULL;
    if (norn_dataset_print(j->data, &text) == NORN_OK)
        printf("%s\n", clean(text));
    norn_text_free(text);
    if (norn_dataset_class_name(j->data, 0)) {
        printf("classes:");
        for (int64_t c = 0; c < norn_dataset_classes(j->data); c++)
            printf("%s %lld %s", c ? "," : "", (long long)c, norn_dataset_class_name(j->data, c));
        printf("\n");
    }
    printf("%s on %s: %lld parameters in %zu tensors are trained\n", j->net, session_device(j->session),
           (long long)trained, arrays);
    table_print(&t);
    table_free(&t);
    for (size_t i = 0; i < norn_trainer_note_count(j->trainer); i++)
        printf("note: %s\n", norn_trainer_note_at(j->trainer, i));
    fflush(stdout);
}

static void json_start(job *j) {
    cJSON *o = j->json;
    char *text = NULL;
    json_text(o, "net", j->net);
    if (norn_dataset_print(j->data, &text) == NORN_OK)
        json_text(o, "data", text);
    norn_text_free(text);
    json_text(o, "device", session_device(j->session));
    cJSON *list = json_array(o, "parameters");
    for (size_t i = 0; i < norn_trainer_parameter_count(j->trainer); i++) {
        norn_parameter_info p;
        cJSON *x = json_object(list, NULL);
        norn_trainer_parameter_at(j->trainer, i, &p);
        json_text(x, "name", p.name);
        json_text(x, "type", p.type);
        json_text(x, "role", p.role);
        json_number(x, "elems", (double)p.elems);
        json_bool(x, "trained", p.trained);
        json_bool(x, "frozen", p.frozen);
    }
    const train_options *given = j->o;
    const norn_optimizer *p = &j->training.optimizer;
    cJSON *how = json_object(o, "training");
    json_text(how, "loss", loss_choices[given->training.loss]);
    json_text(how, "optimizer", optimizer_choices[given->training.optimizer]);
    json_number(how, "lr", p->lr);
    json_number(how, "weight_decay", p->weight_decay);
    json_number(how, "batch", (double)(given->batch ? given->batch : 32));
    json_number(how, "seed", (double)given->seed);
    json_bool(how, "shuffle", !given->no_shuffle);
    if (norn_dataset_class_name(j->data, 0)) {
        cJSON *names = json_array(o, "classes");
        for (int64_t c = 0; c < norn_dataset_classes(j->data); c++)
            json_append(names, norn_dataset_class_name(j->data, c));
    }
    cJSON *notes = json_array(o, "notes");
    for (size_t i = 0; i < norn_trainer_note_count(j->trainer); i++)
        json_append(notes, norn_trainer_note_at(j->trainer, i));
    j->epochs = json_array(o, "epochs");
}

/* ---- Progress. */
static void write_log(job *j, const norn_progress *p) {
    char loss[32];
    if (j->log && fprintf(j->log, "%lld,%s\n", (long long)p->step, float_text((float)p->loss, loss)) < 0)
        j->log_failed = true;
}

static void live_line(job *j, const norn_progress *p) {
    char left[32], accuracy[32] = "";
    double per_second, step_seconds;
    if (p->seconds - j->shown < 0.1 && !p->epoch_end)
        return;
    j->shown = p->seconds;
    if (!isnan(p->accuracy))
        snprintf(accuracy, sizeof accuracy, "  accuracy %.2f %%", p->accuracy * 100);
    rate(j, &per_second, &step_seconds);
    if (per_second <= 0) /* the first step */
        progress("epoch %lld/%lld  step %lld/%lld  loss %.4f%s", (long long)p->epoch, (long long)p->epochs,
                 (long long)p->step, (long long)p->steps, p->epoch_loss, accuracy);
    else
        progress("epoch %lld/%lld  step %lld/%lld  loss %.4f%s  %.0f samples/s  %s left", (long long)p->epoch,
                 (long long)p->epochs, (long long)p->step, (long long)p->steps, p->epoch_loss, accuracy,
                 per_second, time_text(step_seconds * (double)(p->steps - p->step), left));
}

static void epoch_line(const job *j, const norn_progress *p) {
    printf("epoch %lld/%lld  loss %.6g", (long long)p->epoch, (long long)p->epochs, p->epoch_loss);
    if (!isnan(p->accuracy))
        printf("  accuracy %.2f %%", p->accuracy * 100);
    if (p->validated) {
        printf("  val loss %.6g", p->val_loss);
        if (!isnan(p->val_accuracy))
            printf("  val accuracy %.2f %%", p->val_accuracy * 100);
    }
    if (j->timed)
        printf("  %.0f samples/s", samples_per_second(j));
    printf("\n");
    fflush(stdout);
}

static void json_epoch(const job *j, const norn_progress *p) {
    cJSON *e = json_object(j->epochs, NULL);
    json_number(e, "epoch", (double)p->epoch);
    json_number(e, "step", (double)p->step);
    json_number(e, "loss", p->epoch_loss);
    json_number(e, "accuracy", p->accuracy);
    if (p->validated) {
        json_number(e, "val_loss", p->val_loss);
        json_number(e, "val_accuracy", p->val_accuracy);
    }
    json_number(e, "seconds", p->seconds);
}

/* The steps that --profile looks at: a few, after those that build kernels. */
enum { PROFILE_AFTER = 2, PROFILE_STEPS = 10 };

static void profile_steps(const job *j, const norn_progress *p) {
    norn_context *ctx = norn_session_context(j->session, 0);
    int64_t after = p->steps > PROFILE_AFTER ? PROFILE_AFTER : p->steps - 1;
    if (p->step == after && norn_context_profile(ctx, true) != NORN_OK)
        note("%s", norn_error());
    if (p->step == after + PROFILE_STEPS || p->step == p->steps)
        norn_context_profile(ctx, false);
}

static bool on_progress(void *user, const norn_progress *p) {
    job *j = user;
    if (p->step > 1) {
        int64_t at = j->timed++ % RECENT;
        j->recent[at].samples = p->epoch == j->epoch ? p->samples - j->epoch_samples : p->samples;
        j->recent[at].seconds = p->step_seconds;
    }
    j->epoch = p->epoch;
    j->epoch_samples = p->samples;
    j->last = *p;
    write_log(j, p);
    if (j->o->profile)
        profile_steps(j, p);
    if (!isfinite(p->loss))
        return true; /* norn_trainer_fit ends with an error */
    if (p->epoch_end) {
        progress_clear();
        if (j->json)
            json_epoch(j, p);
        else
            epoch_line(j, p);
        if (j->log && fflush(j->log) != 0)
            j->log_failed = true;
    } else
        live_line(j, p);
    return !interrupted;
}

/* ---- The end. */

/* Names of the classes, where the data have them, a line each in the file's metadata. */
static norn_status store_classes(job *j) {
    int64_t n = norn_dataset_class_name(j->data, 0) ? norn_dataset_classes(j->data) : 0;
    size_t bytes = 1;
    for (int64_t c = 0; c < n; c++)
        bytes += strlen(norn_dataset_class_name(j->data, c)) + 1;
    char *text = n ? malloc(bytes) : NULL, *at = text;
    if (!n)
        return NORN_OK;
    if (!text)
        return NORN_NOMEM;
    for (int64_t c = 0; c < n; c++)
        at += sprintf(at, "%s%s", c ? "\n" : "", norn_dataset_class_name(j->data, c));
    norn_status s = norn_model_set_metadata(j->model, "norn.classes", text);
    free(text);
    return s;
}

static int finish(job *j) {
    const norn_progress *p = &j->last;
    char seconds[32];
    norn_status s = norn_trainer_store(j->trainer);
    if (s == NORN_OK)
        s = store_classes(j);
    if (s == NORN_OK)
        s = norn_model_save(j->model, j->o->out, NULL);
    if (s != NORN_OK)
        return fail(s);
    if (interrupted)
        note("interrupted after step %lld of %lld; %s has what was reached", (long long)p->step,
             (long long)p->steps, j->o->out);
    if (!j->json) {
        printf("%lld step%s in %s; saved %s\n", (long long)p->step, p->step == 1 ? "" : "s",
               time_text(p->seconds, seconds), j->o->out);
        if (p->validated && !isnan(p->val_accuracy))
            printf("accuracy on %s: %.2f %%\n", j->o->val, p->val_accuracy * 100);
        else if (p->validated)
            printf("loss on %s: %.6g\n", j->o->val, p->val_loss);
        return j->o->profile ? profile_report(norn_session_context(j->session, 0), j->o->trace, NULL) : 0;
    }
    json_number(j->json, "steps", (double)p->step);
    json_number(j->json, "loss", p->loss);
    json_number(j->json, "accuracy", p->accuracy);
    if (p->validated) {
        json_number(j->json, "val_loss", p->val_loss);
        json_number(j->json, "val_accuracy", p->val_accuracy);
    }
    json_number(j->json, "seconds", p->seconds);
    json_number(j->json, "samples_per_second", samples_per_second(j));
    json_bool(j->json, "interrupted", interrupted != 0);
    json_text(j->json, "out", j->o->out);
    int code = j->o->profile ? profile_report(norn_session_context(j->session, 0), j->o->trace, j->json) : 0;
    cJSON *o = j->json;
    j->json = NULL;
    return json_print(o, code);
}

static norn_fit_options fit_options(job *j) {
    const train_options *o = j->o;
    return (norn_fit_options){.batch = o->batch ? o->batch : 32,
                              .epochs = o->epochs,
                              .steps = o->steps,
                              .seed = (uint64_t)o->seed,
                              .no_shuffle = o->no_shuffle,
                              .validation = j->val,
                              .progress = on_progress,
                              .user = j};
}

static int train(job *j) {
    const train_options *o = j->o;
    const norn_fit_options fit = fit_options(j);
    if (o->log && !(j->log = fopen(o->log, "w")))
        return fail_text(NORN_IO, "--log %s: cannot write: %s", o->log, strerror(errno));
    if (j->log && fprintf(j->log, "step,loss\n") < 0)
        j->log_failed = true;
    if (o->json) {
        j->json = cJSON_CreateObject();
        json_start(j);
    } else
        print_start(j);
    watch_interrupt();
    progress("plan and kernels");
    norn_status s = norn_trainer_fit(j->trainer, j->data, &fit);
    progress_clear();
    if (s != NORN_OK)
        return fail(s);
    int code = finish(j);
    if (j->log && (fclose(j->log) != 0 || j->log_failed))
        code = fail_text(NORN_IO, "--log %s: cannot write: %s", o->log, strerror(errno));
    j->log = NULL;
    return interrupted_code(code);
}

static int run(const void *options, int n, char *const *args) {
    const train_options *o = options;
    job j = {.o = o, .net = args[0]};
    (void)n;
    if (!o->data || !o->out)
        return usage_error("got no --%s (wanted --data DATA and --out OUT.onnx)", o->data ? "out" : "data");
    if (o->scale == 0)
        return usage_error("--scale 0: every sample would be 0 (wanted another number)");
    if (o->trace && !o->profile)
        return usage_error("--trace: only with --profile");
    int code = prepare(&j);
    if (!code)
        code = train(&j);
    if (j.log)
        fclose(j.log);
    cJSON_Delete(j.json);
    norn_trainer_free(j.trainer);
    norn_session_close(j.session);
    norn_dataset_close(j.data);
    norn_dataset_close(j.val);
    norn_model_free(j.model);
    return code;
}

static const option options[] = {
    {"data", "DATA", OPT_TEXT, offsetof(train_options, data), "samples and labels", NULL, 0},
    {"out", "OUT.onnx", OPT_TEXT, offsetof(train_options, out), "where the trained network goes", NULL, 0},
    {"val", "DATA", OPT_TEXT, offsetof(train_options, val), "samples to be judged by after every epoch", NULL,
     0},
    {"scale", "S", OPT_REAL, offsetof(train_options, scale),
     "every x is multiplied by it; else uint8 by 1/255", NULL, 0},
    {"batch", "B", OPT_INT, offsetof(train_options, batch), "samples in a step; else 32", NULL, 1},
    {"epochs", "E", OPT_INT, offsetof(train_options, epochs), "passes over the data; else 10", NULL, 1},
    {"steps", "K", OPT_INT, offsetof(train_options, steps), "instead, or earlier: so many steps", NULL, 1},
    {"seed", "S", OPT_INT, offsetof(train_options, seed), "of fresh weights, order and dropout; else 0", NULL,
     0},
    {"no-shuffle", NULL, OPT_FLAG, offsetof(train_options, no_shuffle), "samples in the order of the file",
     NULL, 0},
    {"log", "FILE.csv", OPT_TEXT, offsetof(train_options, log), "write the loss of every step", NULL, 0},
    OPT_DEVICE(train_options),
    OPT_PROFILE(train_options),
    OPT_JSON(train_options),
    {"Optimizer", NULL, OPT_HEADING, 0, NULL, NULL, 0},
    OPT_TRAINING(train_options, training),
    OPT_END,
};

static const train_options defaults = {.scale = NAN, .training = TRAINING_DEFAULTS};

const verb verb_train = {
    .name = "train",
    .args = "NET",
    .summary = "Trains a network on labelled data and saves it as ONNX.",
    .details =
        "NET is an ONNX file, which is trained further, or a built-in network with fresh weights: mlp, "
        "lenet, "
        "resnet18. DATA is an .npz file with x and y (FILE.npz:SPLIT for x_SPLIT and y_SPLIT), IDX files as "
        "those of MNIST (the images' file, whose labels lie beside it: train-images-idx3-ubyte and "
        "train-labels-idx1-ubyte, .gz or not; or what the two names have before \"-images\"), or a folder "
        "with a folder of PNG pictures for each class. Samples are given the "
        "shape "
        "of the network's input.\n\n"
        "Ctrl-C or SIGTERM ends training after the step and saves what was reached; the exit code is then "
        "128 "
        "and the signal's number (130, 143). A second one stops at once.",
    .options = options,
    .bytes = sizeof(train_options),
    .defaults = &defaults,
    .least = 1,
    .most = 1,
    .run = run,
};
