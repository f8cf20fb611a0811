/* SPDX-License-Identifier: Apache-2.0 */
/* norn bench: how fast, and whether right. */
#include "feeds.h"
#include "output.h"
#include "pick.h"
#include "training_options.h"
#include "verbs.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct {
    bool json, no_check;
    const char *device, *implementations;
    text_list inputs, dims;
    int64_t repeat, warmup, batch;
    double seconds;
    training_options training;
} bench_options;

typedef enum { BENCH_MODEL, BENCH_TRAIN, BENCH_OP, BENCH_KINDS } bench_kind;
static const char *const kinds[] = {"model", "train", "op"};

static const char *kind_name(size_t i) {
    return kinds[i];
}

/* ---- Results. */
static void host_cpu(char *out, size_t bytes) {
    FILE *f = fopen("/proc/cpuinfo", "r");
    char line[512];
    snprintf(out, bytes, "unknown");
    while (f && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (!colon || (strncmp(line, "model name", 10) != 0 && strncmp(line, "Model", 5) != 0))
            continue;
        line[strcspn(line, "\n")] = 0;
        snprintf(out, bytes, "%s", colon[1] == ' ' ? colon + 2 : colon + 1);
        break;
    }
    if (f)
        fclose(f);
}

static cJSON *json_header(void) {
    cJSON *j = cJSON_CreateObject();
    char cpu[256], date[32];
    time_t now = time(NULL);
    struct tm utc;
    host_cpu(cpu, sizeof cpu);
    json_text(j, "version", norn_version());
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    json_text(j, "date", date);
    json_text(j, "host_cpu", cpu);
    json_array(j, "results");
    return j;
}

static void json_result(cJSON *j, const norn_bench_result *r, bench_kind kind, const norn_session *s) {
    const norn_device *d = norn_context_device(norn_session_context(s, 0));
    cJSON *o = json_object(cJSON_GetObjectItemCaseSensitive(j, "results"), NULL);
    json_text(o, "name", r->name);
    json_text(o, "kind", kinds[kind]);
    json_text(o, "device", r->device);
    json_text(o, "driver", norn_device_driver(d));
    json_text(o, "device_version", norn_device_version(d));
    json_text(o, "implementation", r->implementation);
    json_number(o, "median_ms", r->median_ms);
    json_number(o, "best_ms", r->best_ms);
    json_number(o, "spread_ms", r->spread_ms);
    json_number(o, "first_ms", r->first_ms);
    json_number(o, "runs", (double)r->runs);
    json_number(o, "gflops", r->gflops);
    json_number(o, "gbytes_s", r->gbytes_s);
    json_number(o, "memory_bytes", (double)r->memory_bytes);
    if (r->checked) {
        json_bool(o, "correct", r->correct);
        json_number(o, "max_error", r->max_error);
    } else {
        json_text(o, "correct", NULL);
        json_text(o, "max_error", NULL);
    }
    json_text(o, "note", *r->note ? r->note : NULL);
}

static void print_result(const norn_bench_result *r) {
    char median[32], best[32], spread[32], first[32], memory[32];
    printf("%s\n  %s: median %s, best %s, spread %s, %lld runs, first %s\n", r->name, r->device,
           time_text(r->median_ms * 1e-3, median), time_text(r->best_ms * 1e-3, best),
           time_text(r->spread_ms * 1e-3, spread), (long long)r->runs, time_text(r->first_ms * 1e-3, first));
    printf("  %.4g GFLOP/s, %.4g GB/s, %s on the device\n", r->gflops, r->gbytes_s,
           bytes_text((double)r->memory_bytes, memory));
    printf("  kernels: %s\n", r->implementation);
    if (r->checked)
        printf("  %s: largest difference from the host reference %.2g of the largest element\n",
               r->correct ? "correct" : "WRONG", r->max_error);
    if (*r->note)
        printf("  %s\n", r->note);
}

/* ---- What is measured. */
typedef struct {
    const bench_options *o;
    bench_kind kind;
    const char *what; /* file or line */
    norn_bench_options options;
    norn_train_options training;
} job;

/* The name in the results: of a file, its own name rather than the graph's; of a model.onnx, that of its folder. */
static void name_by_file(norn_bench_result *r, const char *path) {
    static const char plain[] = "/model.onnx";
    size_t n = strlen(path), from;
    if (n > sizeof plain - 1 && !strcmp(path + n - (sizeof plain - 1), plain))
        n -= sizeof plain - 1;
    else if (n > 5 && !strcmp(path + n - 5, ".onnx"))
        n -= 5;
    for (from = n; from && path[from - 1] != '/';)
        from--;
    snprintf(r->name, sizeof r->name, "%.*s", (int)(n - from), path + from);
}

static int measure_file(const job *b, norn_session *s, norn_bench_result *r) {
    norn_model *m;
    feeds f = {0};
    norn_status st = norn_model_load(b->what, NULL, &m);
    if (st != NORN_OK)
        return fail(st);
    int code = 0;
    if (b->kind == BENCH_TRAIN)
        st = norn_bench_train(s, m, &b->training, b->o->batch, &b->options, r);
    else {
        const feed_options fo = {.inputs = &b->o->inputs, .dims = &b->o->dims};
        code = feeds_make(&fo, norn_model_graph(m), &f);
        if (!code)
            st = norn_bench_model(s, m, f.n, f.v, &b->options, r);
    }
    if (st != NORN_OK)
        code = fail_text(st, "%s: %s", b->what, norn_error());
    name_by_file(r, b->what);
    feeds_free(&f);
    norn_model_free(m);
    return code;
}

/* *wrong counts the results that disagree with the reference. */
static int measure(const job *b, norn_session *s, cJSON *j, int *wrong) {
    norn_bench_result r;
    int code = 0;
    progress("%s on %s", b->what, session_device(s));
    if (b->kind == BENCH_OP) {
        norn_status st = norn_bench_op(s, b->what, &b->options, &r);
        code = st == NORN_OK ? 0 : fail(st);
    } else
        code = measure_file(b, s, &r);
    progress_clear();
    if (code)
        return code;
    if (j)
        json_result(j, &r, b->kind, s);
    else
        print_result(&r);
    fflush(stdout);
    *wrong += r.checked && !r.correct;
    return 0;
}

static int on_devices(job *b, const picked *p, int n, char *const *args, cJSON *j, int *wrong) {
    for (size_t i = 0; i < p->n; i++) {
        norn_session *s;
        norn_status st = open_picked(p, i, &s);
        int code = st == NORN_OK ? 0 : fail(st);
        for (int k = 0; k < n && !code; k++) {
            b->what = args[k];
            code = measure(b, s, j, wrong);
        }
        norn_session_close(s);
        if (code)
            return code;
    }
    return 0;
}

static int run(const void *options, int n, char *const *args) {
    const bench_options *o = options;
    job b = {.o = o};
    picked p;
    int wrong = 0;
    while (b.kind < BENCH_KINDS && strcmp(kinds[b.kind], args[0]) != 0)
        b.kind++;
    if (b.kind == BENCH_KINDS) {
        const char *near = nearest(args[0], BENCH_KINDS, kind_name);
        return usage_error("got '%s' (wanted model, train or op first)%s%s%s", args[0],
                           near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    }
    if (n < 2)
        return usage_error("%s: got no %s", args[0],
                           b.kind == BENCH_OP ? "operator (wanted one as 'Relu(float[4,8])')" : "FILE");
    if ((o->inputs.n || o->dims.n) && b.kind != BENCH_MODEL)
        return usage_error("--%s: only for bench model", o->inputs.n ? "input" : "dim");
    if (o->repeat && o->seconds > 0)
        return usage_error("--repeat and --seconds: only one of them");
    int code = training_set(&o->training, &b.training);
    b.options = (norn_bench_options){
        .repeat = o->repeat, .seconds = o->seconds, .warmup = o->warmup, .no_check = o->no_check};
    b.options.plan.numerics = (norn_numerics)o->training.numerics;
    b.options.plan.implementations = o->implementations;
    if (!code)
        code = pick_devices(o->device, true, &p);
    if (code)
        return code;
    cJSON *j = o->json ? json_header() : NULL;
    code = on_devices(&b, &p, n - 1, args + 1, j, &wrong);
    if (code) {
        cJSON_Delete(j);
        return code;
    }
    code = wrong ? 1 : 0;
    return j ? json_print(j, code) : code;
}

static const option options[] = {
    OPT_DEVICE(bench_options),
    {"repeat", "K", OPT_INT, offsetof(bench_options, repeat), "timed runs", NULL, 1},
    {"seconds", "S", OPT_REAL, offsetof(bench_options, seconds),
     "instead: as many runs as fit, at least 3; else 1 s", NULL, 0},
    {"warmup", "K", OPT_INT, offsetof(bench_options, warmup), "runs before the timed ones; else 2", NULL, 1},
    {"no-check", NULL, OPT_FLAG, offsetof(bench_options, no_check), "do not compare with the host reference",
     NULL, 0},
    {"implementations", "LIST", OPT_TEXT, offsetof(bench_options, implementations),
     "which kernels: a name, or OPERATOR=NAME with commas between", NULL, 0},
    OPT_JSON(bench_options),
    {"Of bench model", NULL, OPT_HEADING, 0, NULL, NULL, 0},
    OPT_INPUT(bench_options),
    OPT_DIM(bench_options),
    {"Of bench train", NULL, OPT_HEADING, 0, NULL, NULL, 0},
    {"batch", "B", OPT_INT, offsetof(bench_options, batch), "samples in a batch; else 32", NULL, 1},
    OPT_TRAINING(bench_options, training),
    OPT_END,
};

static const bench_options defaults = {.batch = 32, .training = TRAINING_DEFAULTS};

const verb verb_bench = {
    .name = "bench",
    .args = "model|train|op WHAT...",
    .summary = "Measures models, training steps and single operators, and checks their results.",
    .details = "  norn bench model FILE...        runs of a model\n"
               "  norn bench train FILE...        training steps on random data\n"
               "  norn bench op 'LINE'...         an operator, as 'Relu(float[4,8])'\n\n"
               "Inputs stay on the device; a run is enqueued and waited for once. Results are compared with "
               "the host "
               "reference, unless that would take longer than some 20 s; a wrong one makes the exit code 1.",
    .options = options,
    .bytes = sizeof(bench_options),
    .defaults = &defaults,
    .least = 1,
    .most = -1,
    .run = run,
};
