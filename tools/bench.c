/* SPDX-License-Identifier: Apache-2.0 */
/* norn bench: how fast, and whether right. */
#include "bench_parts.h"
#include "feeds.h"
#include "output.h"
#include "pick.h"
#include "training_options.h"
#include "verbs.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    bool json, no_check, quick;
    const char *device, *implementations, *out, *csv;
    text_list inputs, dims;
    int64_t repeat, warmup, batch;
    double seconds;
    training_options training;
} bench_options;

static const char *kind_name(size_t i) {
    return bench_kinds[i];
}

/* ---- What is measured. */
typedef struct {
    const bench_options *o;
    bench_kind kind;
    const char *what;  /* file or line */
    const char *shape; /* its name, of a named one; NULL */
    cJSON *json;
    const norn_peaks *peaks; /* of the device; NULL: not measured */
    int wrong;               /* results that disagree with the reference */
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
    for (size_t i = 0; st == NORN_IO && i < norn_builtin_count(); i++)
        if (!strcmp(b->what, norn_builtin_name(i)))
            return fail_text(
                st,
                "%s; a built-in network is saved as one by norn train %s --steps 1 --data DATA --out FILE",
                norn_error(), b->what);
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

static int measure(job *b, norn_session *s) {
    norn_bench_result r;
    int code = 0;
    progress("%s on %s", b->shape ? b->shape : b->what, session_device(s));
    if (b->kind == BENCH_MODEL || b->kind == BENCH_TRAIN)
        code = measure_file(b, s, &r);
    else {
        norn_status st = norn_bench_op(s, b->what, &b->options, &r);
        code = st == NORN_OK ? 0 : fail(st);
    }
    progress_clear();
    if (code)
        return code;
    bench_json(b->json, &r, b->kind, b->shape, s, b->peaks);
    if (!b->o->json)
        bench_print(&r, b->shape, b->peaks);
    fflush(stdout);
    b->wrong += r.checked && !r.correct;
    return 0;
}

static int measure_peaks(job *b, norn_session *s, norn_peaks *p) {
    bool host = norn_device_kind(norn_context_device(norn_session_context(s, 0))) == NORN_DEVICE_HOST;
    if (host && b->kind != BENCH_PEAK)
        return 0;
    progress("peaks of %s", session_device(s));
    norn_status st = norn_bench_peaks(s, b->o->quick || b->kind != BENCH_PEAK, p);
    progress_clear();
    if (st != NORN_OK)
        return fail(st);
    norn_peaks best = *p; /* shares are of the best; `bench peak` says what it measured now */
    norn_peaks_keep(norn_context_device(norn_session_context(s, 0)), &best);
    if (b->kind != BENCH_PEAK)
        *p = best;
    b->peaks = p;
    bench_json_peaks(b->json, p, s);
    if (!b->o->json)
        bench_print_peaks(p, s);
    fflush(stdout);
    return 0;
}

static int on_device(job *b, norn_session *s, int n, char *const *args) {
    const bench_shape *list = b->kind == BENCH_GEMM   ? gemm_shapes
                              : b->kind == BENCH_CONV ? conv_shapes
                                                      : NULL;
    norn_peaks peaks;
    int code = b->kind >= BENCH_PEAK ? measure_peaks(b, s, &peaks) : 0;
    for (; list && list->name && !code; list++) {
        bool named = n == 0 && (list->quick || !b->o->quick);
        for (int k = 0; k < n; k++)
            named |= !strcmp(args[k], list->name);
        b->shape = list->name;
        b->what = list->line;
        code = named ? measure(b, s) : 0;
    }
    for (int k = 0; k < n && !code && b->kind < BENCH_PEAK; k++) {
        b->what = args[k];
        code = measure(b, s);
    }
    b->peaks = NULL;
    return code;
}

/* Names of shapes that are not there are an error. */
static int check_shapes(bench_kind kind, int n, char *const *args) {
    for (int k = 0; k < n; k++) {
        const bench_shape *s = kind == BENCH_GEMM ? gemm_shapes : conv_shapes;
        while (s->name && strcmp(s->name, args[k]) != 0)
            s++;
        if (!s->name) {
            fprintf(stderr, "shapes:");
            for (s = kind == BENCH_GEMM ? gemm_shapes : conv_shapes; s->name; s++)
                fprintf(stderr, " %s", s->name);
            fprintf(stderr, "\n");
            return usage_error("%s: there is no shape '%s'", bench_kinds[kind], args[k]);
        }
    }
    return 0;
}

/* Lines that are no operators are an error before the first is measured. */
static int check_lines(int n, char *const *args) {
    for (int k = 0; k < n; k++) {
        norn_status st = norn_bench_op_check(args[k]);
        if (st != NORN_OK)
            return fail(st);
    }
    return 0;
}

static int finish(job *b, const picked *p, int code) {
    const bench_options *o = b->o;
    if (!code && !o->json && p->n > 1 && b->kind != BENCH_PEAK)
        bench_print_ranks(b->json);
    if (!code && o->csv)
        code = bench_csv(b->json, o->csv);
    if (!code && o->out)
        code = bench_out(b->json, o->out);
    if (!code && b->wrong)
        code = 1;
    if (o->json && (!code || code == 1))
        return json_print(b->json, code);
    cJSON_Delete(b->json);
    return code;
}

static int run(const void *options, int n, char *const *args) {
    const bench_options *o = options;
    job b = {.o = o};
    picked p = {0};
    while (b.kind < BENCH_KINDS && strcmp(bench_kinds[b.kind], args[0]) != 0)
        b.kind++;
    if (b.kind == BENCH_KINDS) {
        const char *near = nearest(args[0], BENCH_KINDS, kind_name);
        return usage_error("got '%s' (wanted peak, gemm, conv, model, train or op first)%s%s%s", args[0],
                           near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    }
    if (n < 2 && b.kind < BENCH_PEAK)
        return usage_error("%s: got no %s", args[0],
                           b.kind == BENCH_OP ? "operator (wanted one as 'Relu(float[4,8])')" : "FILE");
    if (n > 1 && b.kind == BENCH_PEAK)
        return usage_error("peak: got '%s' (wanted nothing more)", args[1]);
    if ((o->inputs.n || o->dims.n) && b.kind != BENCH_MODEL)
        return usage_error("--%s: only for bench model", o->inputs.n ? "input" : "dim");
    if (o->repeat && o->seconds > 0)
        return usage_error("--repeat and --seconds: only one of them");
    int code = b.kind == BENCH_GEMM || b.kind == BENCH_CONV ? check_shapes(b.kind, n - 1, args + 1)
               : b.kind == BENCH_OP                         ? check_lines(n - 1, args + 1)
                                                            : 0;
    if (!code)
        code = training_set(&o->training, &b.training);
    b.options = (norn_bench_options){.repeat = o->repeat,
                                     .seconds = o->seconds > 0 ? o->seconds
                                                : o->quick     ? 0.2
                                                               : 0,
                                     .warmup = o->warmup,
                                     .no_check = o->no_check,
                                     .check_seconds = o->quick ? 2 : 0};
    b.options.plan.numerics = (norn_numerics)o->training.numerics;
    b.options.plan.implementations = o->implementations;
    if (!code)
        code = pick_devices(o->device, true, &p);
    if (code)
        return code;
    b.json = bench_header();
    for (size_t i = 0; i < p.n && !code; i++) {
        norn_session *s;
        norn_status st = open_picked(&p, i, &s);
        code = st == NORN_OK ? on_device(&b, s, n - 1, args + 1) : fail(st);
        norn_session_close(s);
    }
    return finish(&b, &p, code);
}

static const option options[] = {
    OPT_DEVICES(bench_options),
    {"repeat", "K", OPT_INT, offsetof(bench_options, repeat), "timed runs", NULL, 1},
    {"seconds", "S", OPT_REAL, offsetof(bench_options, seconds),
     "instead: as many runs as fit, at least 3 where they take no more than 10 s; else 1 s", NULL, 0},
    {"warmup", "K", OPT_INT, offsetof(bench_options, warmup), "runs before the timed ones; else 2", NULL, 1},
    {"no-check", NULL, OPT_FLAG, offsetof(bench_options, no_check), "do not compare with the host reference",
     NULL, 0},
    {"implementations", "LIST", OPT_TEXT, offsetof(bench_options, implementations),
     "which kernels: a name, or OPERATOR=NAME with commas between", NULL, 0},
    {"quick", NULL, OPT_FLAG, offsetof(bench_options, quick),
     "short runs, and of named shapes the first of each kind", NULL, 0},
    OPT_JSON(bench_options),
    {"out", "FILE", OPT_TEXT, offsetof(bench_options, out), "write the JSON object there", NULL, 0},
    {"csv", "FILE", OPT_TEXT, offsetof(bench_options, csv),
     "write the results there as comma-separated values", NULL, 0},
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
    .args = "peak|gemm|conv|model|train|op [WHAT]...",
    .summary = "Measures devices, models, training steps and single operators, and checks their results.",
    .details = "  norn bench peak                 what the device can do at best\n"
               "  norn bench gemm|conv [SHAPE]... products and convolutions of well-known networks\n"
               "  norn bench model FILE...        runs of a model\n"
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
