/* SPDX-License-Identifier: Apache-2.0 */
/* norn run: a model on arrays, pictures or random numbers. */
#include "contents.h"
#include "feeds.h"
#include "files.h"
#include "output.h"
#include "pick.h"
#include "profile.h"
#include "verbs.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    bool json, resize;
    const char *device, *output_dir, *labels;
    text_list inputs, dims;
    int64_t seed;
    bool profile;
    const char *trace;
    int numerics;
    int64_t max_iterations;
} run_options;

enum { TOP = 5, SHOWN_ROWS = 4, JSON_ROWS = 64, MAX_LABELS_BYTES = 1 << 24 };

/* ---- Class scores. */
typedef struct {
    int64_t rows, classes;
    bool softmax; /* they become probabilities by it */
} scores;

static bool is_float(norn_dtype t) {
    return t == NORN_F32 || t == NORN_F64 || t == NORN_F16 || t == NORN_BF16;
}

static double row_sum(const norn_tensor *t, int64_t row, int64_t n, bool *negative) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        double v = norn_tensor_get(t, row * n + i);
        *negative |= !(v >= 0);
        sum += v;
    }
    return sum;
}

static bool find_scores(const norn_tensor *t, scores *out) {
    int rank = norn_tensor_rank(t);
    const int64_t *d = norn_tensor_dims(t);
    if (!is_float(norn_tensor_dtype(t)) || rank < 1 || rank > 2 || d[rank - 1] < 2 ||
        norn_tensor_elems(t) == 0)
        return false;
    *out = (scores){.rows = rank == 2 ? d[0] : 1, .classes = d[rank - 1]};
    for (int64_t r = 0; r < out->rows && !out->softmax; r++) {
        bool negative = false;
        double sum = row_sum(t, r, out->classes, &negative);
        out->softmax = negative || !(fabs(sum - 1) < 1e-2);
    }
    return true;
}

typedef struct {
    int64_t index;
    double probability;
} ranked;

/* The classes of a row with the highest scores; none where a NaN or an infinite score makes that meaningless. */
static int top_of(const norn_tensor *t, const scores *s, int64_t row, ranked out[TOP]) {
    int n = 0;
    double most = -INFINITY, sum = 0;
    for (int64_t i = 0; i < s->classes; i++) {
        double v = norn_tensor_get(t, row * s->classes + i);
        if (isnan(v))
            return 0;
        most = fmax(most, v);
    }
    if (isinf(most))
        return 0;
    for (int64_t i = 0; i < s->classes; i++) {
        double v = norn_tensor_get(t, row * s->classes + i);
        double p = s->softmax ? exp(v - most) : v;
        sum += p;
        int k = n < TOP ? n++ : TOP;
        for (; k > 0 && p > out[k - 1].probability; k--)
            if (k < TOP)
                out[k] = out[k - 1];
        if (k < TOP)
            out[k] = (ranked){i, p};
    }
    for (int k = 0; k < n && s->softmax; k++)
        out[k].probability /= sum;
    return n;
}

/* ---- Labels: a line each, from a file; else the classes that training stored in the model. */
static int read_labels(const char *path, const norn_model *m, char **text, name_list *out) {
    const char *stored = norn_model_metadata(m, "norn.classes");
    if (!path && !stored)
        return 0;
    *text = path ? file_text(path, MAX_LABELS_BYTES) : text_of("%s", stored);
    if (!*text)
        return path ? fail_text(NORN_IO, "%s: cannot read: %s", path, strerror(errno)) : out_of_memory();
    for (char *line = *text; *line;) {
        size_t n = strcspn(line, "\r\n");
        char end = line[n];
        line[n] = 0;
        if (!names_add(out, clean(line)))
            return out_of_memory();
        line += n;
        if (end == '\r' && line[1] == '\n')
            line++;
        line += end != 0;
    }
    return 0;
}

/* Labels are for the outputs that have as many classes: one at least. */
static int check_labels(const char *path, const name_list *labels, size_t n, const norn_fetch *got) {
    const norn_fetch *other = NULL;
    scores s, seen = {0};
    for (size_t i = 0; i < n && path; i++)
        if (find_scores(got[i].tensor, &s)) {
            if ((uint64_t)s.classes == labels->n)
                return 0;
            other = &got[i];
            seen = s;
        }
    if (!path)
        return 0;
    if (!other)
        return usage_error("--labels %s: no output looks like scores of classes", path);
    return usage_error("--labels %s: got %zu labels (wanted %lld: output '%s' has so many classes)", path,
                       labels->n, (long long)seen.classes, other->name);
}

/* ---- What is said of an output: of its elements that are numbers. */
typedef struct {
    double least, most, mean;
    int64_t nan;
} statistics;

static statistics measure(const norn_tensor *t) {
    statistics s = {.least = INFINITY, .most = -INFINITY};
    int64_t n = norn_tensor_elems(t);
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        double v = norn_tensor_get(t, i);
        if (isnan(v)) {
            s.nan++;
            continue;
        }
        s.least = fmin(s.least, v);
        s.most = fmax(s.most, v);
        sum += v;
    }
    s.mean = sum / (double)(n - s.nan); /* NaN of none */
    return s;
}

/* "float[2,3]" */
static char *type_of(const norn_tensor *t) {
    char *text = NULL, *type = NULL;
    if (norn_tensor_print(t, 0, &text) == NORN_OK)
        type = text_of("%.*s", (int)strcspn(text, " "), text);
    norn_text_free(text);
    return type;
}

static void print_top(const norn_tensor *t, const name_list *labels, const char *name) {
    scores s;
    if (!find_scores(t, &s))
        return;
    bool named = (uint64_t)s.classes == labels->n;
    printf("  '%s' looks like scores of %lld classes%s:\n", name, (long long)s.classes,
           s.softmax ? " (probabilities by softmax)" : "");
    for (int64_t r = 0; r < s.rows && r < SHOWN_ROWS; r++) {
        ranked top[TOP];
        int n = top_of(t, &s, r, top);
        if (s.rows > 1)
            printf("  row %lld\n", (long long)r);
        if (n == 0)
            printf("  no order: a score is NaN or infinite\n");
        for (int k = 0; k < n; k++)
            printf("  %8.3f %%  %lld%s%s\n", top[k].probability * 100, (long long)top[k].index,
                   named ? "  " : "", named ? labels->v[top[k].index] : "");
    }
    if (s.rows > SHOWN_ROWS)
        printf("  and %lld more rows\n", (long long)(s.rows - SHOWN_ROWS));
}

static void print_output(const norn_fetch *f, const char *file, const name_list *labels) {
    statistics s = measure(f->tensor);
    char *type = type_of(f->tensor), *name = text_copy(f->name);
    clean(name);
    printf("%s  %s", name ? name : "", type ? type : "");
    if (norn_tensor_elems(f->tensor) > s.nan)
        printf("  min %.6g  max %.6g  mean %.6g", s.least, s.most, s.mean);
    if (s.nan)
        printf("  %lld NaN", (long long)s.nan);
    printf("%s%s\n", file ? "  -> " : "", file ? file : "");
    print_top(f->tensor, labels, name ? name : "");
    free(type);
    free(name);
}

static void json_output(cJSON *list, const norn_fetch *f, const char *file, const name_list *labels) {
    cJSON *o = json_object(list, NULL);
    statistics s = measure(f->tensor);
    char *type = type_of(f->tensor);
    scores sc;
    json_text(o, "name", f->name);
    json_text(o, "type", type);
    json_text(o, "file", file);
    json_number(o, "min", s.least);
    json_number(o, "max", s.most);
    json_number(o, "mean", s.mean);
    json_number(o, "nan", (double)s.nan);
    free(type);
    if (!find_scores(f->tensor, &sc))
        return;
    bool named = (uint64_t)sc.classes == labels->n;
    json_bool(o, "softmax", sc.softmax);
    cJSON *rows = json_array(o, "top");
    for (int64_t r = 0; r < sc.rows && r < JSON_ROWS; r++) {
        ranked top[TOP];
        int n = top_of(f->tensor, &sc, r, top);
        cJSON *row = cJSON_CreateArray();
        cJSON_AddItemToArray(rows, row);
        for (int k = 0; k < n; k++) {
            cJSON *c = json_object(row, NULL);
            json_number(c, "class", (double)top[k].index);
            json_number(c, "probability", top[k].probability);
            json_text(c, "label", named ? labels->v[top[k].index] : NULL);
        }
    }
}

/* ---- Running. */

/* Saves an output; *file is where (owned). */
static int save(const run_options *o, const norn_fetch *f, name_list *taken, char **file) {
    *file = NULL;
    if (!o->output_dir)
        return 0;
    const char *name = safe_name(f->name, taken);
    char *stem = name ? path_join(o->output_dir, name) : NULL;
    *file = stem ? text_of("%s.npy", stem) : NULL;
    if (!*file) {
        free(stem);
        return out_of_memory();
    }
    norn_status s = norn_tensor_save(f->tensor, *file);
    if (s == NORN_UNSUPPORTED) { /* a type that NumPy lacks */
        char *pb = text_of("%s.pb", stem);
        free(*file);
        *file = pb;
        s = pb ? norn_tensor_save(f->tensor, pb) : NORN_NOMEM;
        note("output '%s': NumPy has no %s, so it is saved as an ONNX tensor", f->name,
             norn_dtype_name(norn_tensor_dtype(f->tensor)));
    }
    free(stem);
    return s == NORN_OK ? 0 : fail(s);
}

static int report(const run_options *o, const char *model, const norn_model *m, const norn_session *s,
                  const feeds *f, size_t n, norn_fetch *got, double seconds) {
    name_list labels = {0}, taken = {0};
    char *label_text = NULL, time[32];
    cJSON *j = o->json ? cJSON_CreateObject() : NULL, *outputs = NULL;
    int code = read_labels(o->labels, m, &label_text, &labels);
    if (!code)
        code = check_labels(o->labels, &labels, n, got);
    if (!code && o->output_dir && !folder_make(o->output_dir))
        code = fail_text(NORN_IO, "%s: cannot make this folder: %s", o->output_dir, strerror(errno));
    if (j) {
        json_text(j, "model", model);
        json_text(j, "device", session_device(s));
        json_number(j, "seconds", seconds);
        cJSON *inputs = json_array(j, "inputs");
        for (size_t i = 0; i < f->n; i++) {
            cJSON *in = json_object(inputs, NULL);
            char *type = type_of(f->v[i].tensor);
            json_text(in, "name", f->v[i].name);
            json_text(in, "type", type);
            json_text(in, "source", f->sources[i] ? f->sources[i] : "random");
            free(type);
        }
        outputs = json_array(j, "outputs");
    } else if (!code)
        printf("%s on %s, %s with plan and kernels\n", model, session_device(s), time_text(seconds, time));
    for (size_t i = 0; i < n && !code; i++) {
        char *file;
        code = save(o, &got[i], &taken, &file);
        if (!code && j)
            json_output(outputs, &got[i], file, &labels);
        else if (!code)
            print_output(&got[i], file, &labels);
        free(file);
    }
    names_free(&labels);
    names_free(&taken);
    free(label_text);
    if (!code && o->profile)
        code = profile_report(norn_session_context(s, 0), o->trace, j);
    if (j && !code)
        return json_print(j, 0);
    cJSON_Delete(j);
    return code;
}

/* The run once more, under the profiler: without what only a first run does. */
static norn_status run_profiled(norn_session *s, norn_executable *e, const feeds *f) {
    norn_context *ctx = norn_session_context(s, 0);
    norn_status st = norn_context_profile(ctx, true);
    if (st == NORN_OK)
        st = norn_executable_run(e, f->n, f->v, 0, NULL);
    norn_status off = norn_context_profile(ctx, false);
    return st == NORN_OK ? off : st;
}

static int run_model(const run_options *o, const char *path, norn_session *s, const norn_model *m,
                     const feeds *f) {
    const norn_graph *g = norn_model_graph(m);
    size_t n = norn_graph_output_count(g);
    norn_fetch *got = calloc(n + 1, sizeof *got);
    norn_executable *e = NULL;
    const norn_plan_options options = {.numerics = (norn_numerics)o->numerics,
                                       .max_iterations = (uint64_t)o->max_iterations};
    if (!got)
        return out_of_memory();
    for (size_t i = 0; i < n; i++)
        got[i].name = norn_graph_output_name(g, i);
    double start = now_seconds();
    progress("%s: plan and kernels", path);
    norn_status st = norn_executable_new(s, g, &options, NULL, &e);
    if (st == NORN_OK)
        st = norn_executable_run(e, f->n, f->v, n, got);
    double seconds = now_seconds() - start;
    if (st == NORN_OK && o->profile)
        st = run_profiled(s, e, f);
    progress_clear();
    int code = st == NORN_OK ? report(o, path, m, s, f, n, got, seconds)
                             : fail_text(st, "%s: %s", path, norn_error());
    for (size_t i = 0; i < n; i++)
        norn_tensor_free(got[i].tensor);
    free(got);
    norn_executable_free(e);
    return code;
}

static int run(const void *options, int n, char *const *args) {
    const run_options *o = options;
    if (o->trace && !o->profile)
        return usage_error("--trace: only with --profile");
    const feed_options fo = {&o->inputs, &o->dims, (uint64_t)o->seed, o->resize};
    norn_model *m = NULL;
    norn_session *s = NULL;
    feeds f = {0};
    picked p;
    (void)n;
    int code = pick_devices(o->device, false, &p);
    norn_status st = code ? NORN_OK : norn_model_load(args[0], NULL, &m);
    for (size_t i = 0; m && i < norn_model_warning_count(m); i++)
        note("%s", norn_model_warning_at(m, i));
    if (st == NORN_OK && !code)
        code = contents_wanted(m) ? feeds_contents(&fo, args[0], &m, &f)
                                  : feeds_make(&fo, norn_model_graph(m), &f);
    if (st == NORN_OK && !code)
        st = open_picked(&p, 0, &s);
    if (st != NORN_OK)
        code = fail(st);
    if (!code)
        code = run_model(o, args[0], s, m, &f);
    feeds_free(&f);
    norn_session_close(s);
    norn_model_free(m);
    return code;
}

static const option options[] = {
    OPT_INPUT(run_options),
    {"output-dir", "DIR", OPT_TEXT, offsetof(run_options, output_dir), "save every output there, as NAME.npy",
     NULL, 0},
    OPT_DEVICE(run_options),
    OPT_DIM(run_options),
    {"seed", "S", OPT_INT, offsetof(run_options, seed), "of the random numbers; else 0", NULL, 0},
    {"resize", NULL, OPT_FLAG, offsetof(run_options, resize),
     "scale pictures to the size that the model wants", NULL, 0},
    {"labels", "FILE", OPT_TEXT, offsetof(run_options, labels),
     "names of the classes, a line each; else those that norn train stored in the model", NULL, 0},
    {"numerics", "MODE", OPT_CHOICE, offsetof(run_options, numerics), "which algorithms may be used",
     numerics_choices, 0},
    OPT_MAX_ITERATIONS(run_options),
    OPT_PROFILE(run_options),
    OPT_JSON(run_options),
    OPT_END,
};

const verb verb_run = {
    .name = "run",
    .args = "MODEL",
    .summary = "Runs a model once and says what comes out.",
    .details =
        "A picture becomes what the input wants: its channels and their order, floats from 0 to 1 or uint8. "
        "Inputs that are not given are filled with random numbers, the same ones for the same seed. A "
        "sequence "
        "takes one --input for each of its tensors, in their order; an optional that is not given holds "
        "nothing. For an "
        "output that looks like class scores the five best classes are printed.",
    .options = options,
    .bytes = sizeof(run_options),
    .least = 1,
    .most = 1,
    .run = run,
};
