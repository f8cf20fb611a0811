/* SPDX-License-Identifier: Apache-2.0 */
/* norn plan: what a model will do on a device, before anything runs. */
#include "files.h"
#include "output.h"
#include "pick.h"
#include "sizes.h"
#include "training_options.h"
#include "verbs.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    bool json, train, guess;
    text_list dims;
    const char *device, *snapshot;
    int64_t batch;
    training_options training;
} plan_options;

static const char *const runs[] = {"native", "decomposed", "host", "unsupported"};

/* ---- The device and its peaks. */
typedef struct {
    norn_devices *list;
    norn_device *parsed;
    norn_session *session;
    const norn_device *d;
    norn_peaks peaks;
} target;

static int open_snapshot(const char *path, target *t) {
    char *text = file_text(path, 1 << 16);
    if (!text)
        return fail_text(NORN_IO, "%s: cannot read: %s", path, strerror(errno));
    norn_status s = norn_device_parse(text, &t->parsed);
    free(text);
    if (s != NORN_OK)
        return fail_text(s, "%s: %s", path, norn_error());
    t->d = t->parsed;
    s = norn_device_peaks(t->d, &t->peaks);
    return s == NORN_OK ? 0 : fail(s);
}

static int open_target(const plan_options *o, target *t) {
    picked p;
    norn_status s;
    if (o->snapshot)
        return open_snapshot(o->snapshot, t);
    int code = pick_devices(o->device, false, &p);
    if (code)
        return code;
    s = open_picked(&p, 0, &t->session);
    if (s != NORN_OK)
        return fail(s);
    t->d = norn_context_device(norn_session_context(t->session, 0));
    bool measure = !o->guess && norn_device_kind(t->d) != NORN_DEVICE_HOST;
    if (measure)
        progress("measuring %s", norn_device_name(t->d));
    s = measure ? norn_bench_peaks(t->session, true, &t->peaks) : norn_device_peaks(t->d, &t->peaks);
    progress_clear();
    if (s == NORN_OK && measure)
        norn_peaks_keep(t->d, &t->peaks);
    return s == NORN_OK ? 0 : fail(s);
}

static void close_target(target *t) {
    norn_session_close(t->session);
    norn_device_free(t->parsed);
    norn_devices_free(t->list);
}

/* ---- Text. */
typedef struct {
    const norn_forecast_node *node;
    size_t count;
    double flops, ms;
} group;

static bool same_group(const norn_forecast_node *a, const norn_forecast_node *b) {
    return !strcmp(a->op, b->op) && a->runs == b->runs && !strcmp(a->implementation, b->implementation) &&
           !strcmp(a->why, b->why);
}

static int by_time(const void *a, const void *b) {
    const group *x = a, *y = b;
    if (x->node->runs != y->node->runs)
        return x->node->runs > y->node->runs ? -1 : 1;
    if (x->ms != y->ms)
        return x->ms > y->ms ? -1 : 1;
    return strcmp(x->node->op, y->node->op);
}

static void print_groups(const norn_forecast *f) {
    size_t n = norn_forecast_count(f), found = 0, k;
    group *v = calloc(n + 1, sizeof *v);
    char flops[32], ms[32];
    if (!v)
        return;
    for (size_t i = 0; i < n; i++) {
        const norn_forecast_node *x = norn_forecast_at(f, i);
        for (k = 0; k < found && !same_group(v[k].node, x); k++)
            ;
        if (k == found)
            v[found++].node = x;
        v[k].count++;
        v[k].flops += x->flops;
        v[k].ms += x->ms;
    }
    qsort(v, found, sizeof *v, by_time);
    table t = {.columns = 6, .align = "lrllrr"};
    const char *const head[] = {"operator", "nodes", "runs", "as, or why", "FLOPs", "time"};
    for (int i = 0; i < t.columns; i++)
        table_cell(&t, "%s", head[i]);
    for (k = 0; k < found; k++) {
        table_cell(&t, "%s", v[k].node->op);
        table_cell(&t, "%zu", v[k].count);
        table_cell(&t, "%s", runs[v[k].node->runs]);
        table_cell(&t, "%s", *v[k].node->why ? v[k].node->why : v[k].node->implementation);
        table_cell(&t, "%s", v[k].flops > 0 ? count_text(v[k].flops, flops) : "");
        table_cell(&t, "%s", v[k].ms > 0 ? time_text(v[k].ms * 1e-3, ms) : "");
    }
    table_print(&t);
    table_free(&t);
    free(v);
}

static void print_forecast(const char *path, const plan_options *o, const target *t, const norn_forecast *f) {
    const norn_forecast_info *x = norn_forecast_total(f);
    char a[32], b[32], c[32], d[32];
    printf("%s, %s of %lld on %s\n\n", path, o->train ? "a training step" : "a batch", (long long)x->batch,
           norn_device_name(t->d));
    print_groups(f);
    printf("\n");
    if (*x->other_names)
        printf("sizes that are not given are %lld: %s (--dim says other ones)\n", (long long)x->other_size,
               x->other_names);
    if (x->unsupported) {
        printf("%zu operators cannot run: nothing else is worked out\n", x->unsupported);
        return;
    }
    if (!x->planned) {
        printf("%s: %s\n", x->fits ? "memory and time are not known before the run" : "does not fit",
               x->note);
        if (!x->fits && x->largest_batch)
            printf("largest batch that fits: %lld\n", (long long)x->largest_batch);
        return;
    }
    uint64_t loading = x->peak_bytes - x->constant_bytes; /* before the memory for work is taken */
    printf("memory: %s: work %s, weights and state %s", bytes_text((double)x->peak_bytes, a),
           bytes_text((double)x->work_bytes, b), bytes_text((double)x->constant_bytes, c));
    printf("%s%s; the device has %s\n", loading > x->work_bytes ? ", while loading " : "",
           loading > x->work_bytes ? bytes_text((double)loading, b) : "",
           bytes_text((double)x->memory_bytes, d));
    if (x->largest_batch)
        printf("largest batch that fits: %lld (a guide: the device may be in use by others too)\n",
               (long long)x->largest_batch);
    else
        printf("largest batch that fits: the model fixes it at %lld\n", (long long)x->batch);
    printf("work: %s FLOPs, %s moved, %zu launches\n", count_text(x->flops, a), bytes_text(x->bytes, b),
           x->launches);
    printf("time: about %s, most of it bound by %s (%s peaks: %.4g GFLOP/s, %.4g GB/s, %.3g us a launch)\n",
           time_text(x->ms * 1e-3, a), x->limit, t->peaks.estimated ? "guessed" : "measured",
           t->peaks.fp32_gflops, t->peaks.copy_gbytes_s, t->peaks.launch_us);
}

/* ---- JSON. */
void json_peaks(cJSON *o, const norn_peaks *p) {
    json_number(o, "fp32_gflops", p->fp32_gflops);
    json_number(o, "fp64_gflops", p->fp64_gflops);
    json_number(o, "fp16_gflops", p->fp16_gflops);
    json_number(o, "global_gbytes_s", p->global_gbytes_s);
    json_number(o, "copy_gbytes_s", p->copy_gbytes_s);
    json_number(o, "cache_gbytes_s", p->cache_gbytes_s);
    json_number(o, "local_gbytes_s", p->local_gbytes_s);
    json_number(o, "write_gbytes_s", p->write_gbytes_s);
    json_number(o, "read_gbytes_s", p->read_gbytes_s);
    json_number(o, "launch_us", p->launch_us);
    json_number(o, "wait_us", p->wait_us);
    json_number(o, "build_ms", p->build_ms);
    json_bool(o, "estimated", p->estimated);
}

static cJSON *forecast_json(const char *path, const plan_options *o, const target *t,
                            const norn_forecast *f) {
    const norn_forecast_info *x = norn_forecast_total(f);
    cJSON *j = cJSON_CreateObject();
    json_text(j, "model", path);
    json_text(j, "device", norn_device_name(t->d));
    json_bool(j, "training", o->train);
    json_number(j, "unsupported", (double)x->unsupported);
    json_bool(j, "planned", x->planned);
    json_bool(j, "fits", x->fits);
    json_text(j, "note", *x->note ? x->note : NULL);
    json_text(j, "batch_name", x->batch_name);
    json_number(j, "batch", (double)x->batch);
    json_text(j, "other_names", x->other_names);
    json_number(j, "other_size", (double)x->other_size);
    if (!x->planned && x->largest_batch)
        json_number(j, "largest_batch", (double)x->largest_batch);
    if (x->planned) {
        json_number(j, "peak_bytes", (double)x->peak_bytes);
        json_number(j, "work_bytes", (double)x->work_bytes);
        json_number(j, "constant_bytes", (double)x->constant_bytes);
        json_number(j, "memory_bytes", (double)x->memory_bytes);
        if (x->largest_batch)
            json_number(j, "largest_batch", (double)x->largest_batch);
        else
            json_text(j, "largest_batch", NULL);
        json_number(j, "flops", x->flops);
        json_number(j, "bytes", x->bytes);
        json_number(j, "launches", (double)x->launches);
        json_number(j, "ms", x->ms);
        json_text(j, "limit", x->limit);
    }
    json_peaks(json_object(j, "peaks"), &t->peaks);
    cJSON *nodes = json_array(j, "operators");
    for (size_t i = 0; i < norn_forecast_count(f); i++) {
        const norn_forecast_node *n = norn_forecast_at(f, i);
        cJSON *e = json_object(nodes, NULL);
        json_text(e, "name", n->name);
        json_text(e, "op", n->op);
        json_text(e, "line", n->line);
        json_text(e, "runs", runs[n->runs]);
        json_text(e, "why", *n->why ? n->why : NULL);
        json_text(e, "implementation", *n->implementation ? n->implementation : NULL);
        json_number(e, "flops", n->flops);
        json_number(e, "bytes", n->bytes);
        json_number(e, "ms", n->ms);
    }
    return j;
}

static int run(const void *options, int n, char *const *args) {
    const plan_options *o = options;
    norn_model *m = NULL;
    norn_forecast *f = NULL;
    norn_train_options training;
    target t = {0};
    (void)n;
    int code = training_set(&o->training, &training);
    norn_status s = code ? NORN_OK : norn_model_load(args[0], NULL, &m);
    if (s != NORN_OK)
        code = fail(s);
    if (!code && o->batch && !o->train)
        code = usage_error("--batch: only with --train (wanted --dim N=%lld)", (long long)o->batch);
    if (!code)
        code = sizes_check(&o->dims, norn_model_graph(m));
    if (!code)
        code = open_target(o, &t);
    const norn_forecast_options fo = {.n_dims = o->dims.n,
                                      .dims = o->dims.v,
                                      .train = o->train ? &training : NULL,
                                      .batch = o->batch,
                                      .plan = {.numerics = (norn_numerics)o->training.numerics}};
    if (!code) {
        progress("planning");
        s = norn_forecast_new(m, t.d, &t.peaks, &fo, &f);
        progress_clear();
        code = s == NORN_OK ? 0 : fail_text(s, "%s: %s", args[0], norn_error());
    }
    if (!code) {
        const norn_forecast_info *x = norn_forecast_total(f);
        code = x->unsupported || !x->fits
                   ? norn_status_exit_code(x->unsupported ? NORN_UNSUPPORTED : NORN_NOMEM)
                   : 0;
        if (o->json)
            code = json_print(forecast_json(args[0], o, &t, f), code);
        else
            print_forecast(args[0], o, &t, f);
    }
    norn_forecast_free(f);
    norn_model_free(m);
    close_target(&t);
    return code;
}

static const option options[] = {
    OPT_DEVICE(plan_options),
    {"snapshot", "FILE", OPT_TEXT, offsetof(plan_options, snapshot),
     "a device that is not here, as 'norn devices D' printed it", NULL, 0},
    {"guess", NULL, OPT_FLAG, offsetof(plan_options, guess),
     "do not measure the device: go by what it says of itself", NULL, 0},
    OPT_DIM(plan_options),
    {"train", NULL, OPT_FLAG, offsetof(plan_options, train), "a training step rather than a run", NULL, 0},
    {"batch", "B", OPT_INT, offsetof(plan_options, batch), "of the training step", NULL, 1},
    {"loss", "L", OPT_CHOICE, offsetof(plan_options, training.loss), "of the training step", loss_choices, 0},
    {"optimizer", "O", OPT_CHOICE, offsetof(plan_options, training.optimizer), "of the training step",
     optimizer_choices, 0},
    {"numerics", "MODE", OPT_CHOICE, offsetof(plan_options, training.numerics),
     "which algorithms may be used", numerics_choices, 0},
    OPT_JSON(plan_options),
    OPT_END,
};

static const plan_options defaults = {.training = TRAINING_DEFAULTS};

const verb verb_plan = {
    .name = "plan",
    .args = "MODEL",
    .summary = "Says what a model will do on a device before it runs: where, memory, time.",
    .details = "Every operator is native (a kernel), decomposed (into others), host (and why) or "
               "unsupported; those that cannot run "
               "are all listed at once, and make the exit code that of an unsupported operator. The time "
               "comes from the device's "
               "measured peaks and what each kernel computes and moves.",
    .options = options,
    .bytes = sizeof(plan_options),
    .defaults = &defaults,
    .least = 1,
    .most = 1,
    .run = run,
};
