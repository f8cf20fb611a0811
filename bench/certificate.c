/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates of converted models: what was compared, with which numbers, and a hash of the file. In the metadata, under
 * "norn.certificate", one line each:
 *
 *     version 1
 *     seed 1                          of the inputs: norni_bench_random, stream 256 seed + input
 *     size 8                          of named sizes, where it is not 1
 *     device NAME
 *     error 1.2e-07 NAME              for each output: largest difference of the converted model on the device from the
 *                                     original by the host reference, relative to the largest element
 *     sha256 HEX                      of the file with 64 zeros in place of HEX, then of the bytes of all initialisers */
#include "base/file.h"
#include "base/sha256.h"
#include "bench/bench.h"
#include "export/model.h"
#include "graph/graph.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_INPUTS = 256, VERSION = 1 };
#define MAX_INPUT_BYTES ((double)(1 << 30))
static const char zeros[] = "0000000000000000000000000000000000000000000000000000000000000000";
static const char hash_line[] = "sha256 ";

/* ---- Running a model on random numbers. */
typedef struct {
    norn_feed feeds[MAX_INPUTS];
    size_t n;
} inputs;

static void free_inputs(inputs *in) {
    for (size_t i = 0; i < in->n; i++)
        norn_tensor_free((norn_tensor *)in->feeds[i].tensor);
}

/* What named sizes are, until the model takes one: some have no result at 1 (those that halve pictures and double them). */
static const int64_t trial_sizes[] = {1, 8, 32, 64};
enum { TRIALS = sizeof trial_sizes / sizeof *trial_sizes };

static bool has_named_sizes(const norn_graph *g) {
    for (size_t i = 0; i < g->inputs.n; i++)
        for (int k = 0; k < g->inputs.v[i]->type.rank; k++)
            if (g->inputs.v[i]->type.dims[k] < 0)
                return true;
    return false;
}

static norn_status make_inputs(const norn_graph *g, uint64_t seed, int64_t size, inputs *in) {
    *in = (inputs){.n = 0};
    double bytes = 0;
    if (g->inputs.n > MAX_INPUTS)
        return norni_fail(NORN_UNSUPPORTED, "%zu inputs (wanted at most %d)", g->inputs.n, MAX_INPUTS);
    for (size_t i = 0; i < g->inputs.n; i++) {
        norni_type t = g->inputs.v[i]->type;
        const norni_bench_range r = {.hi = 1, .below = 2, .stream = seed * MAX_INPUTS + i};
        norn_tensor *x;
        t.rank = t.rank < 0 ? 0 : t.rank;
        for (int k = 0; k < t.rank; k++)
            t.dims[k] = t.dims[k] < 0 ? size : t.dims[k];
        double elems = (double)norni_dtype_bits(t.dtype) / 8;
        for (int k = 0; k < t.rank; k++)
            elems *= (double)t.dims[k];
        if ((bytes += elems) > MAX_INPUT_BYTES)
            return norni_fail(NORN_UNSUPPORTED, "not compared: its inputs would take %.3g bytes", bytes);
        NORNI_TRY(norni_prefix(norni_bench_random(&t, &r, &x), "input '%s'", g->inputs.v[i]->name));
        in->feeds[in->n++] = (norn_feed){g->inputs.v[i]->name, x};
    }
    return NORN_OK;
}

static void free_fetches(norn_fetch *f, size_t n) {
    for (size_t i = 0; f && i < n; i++)
        norn_tensor_free(f[i].tensor);
    norni_free(f);
}

/* slow: set where the host reference would take too long; nothing is compared then. NULL: no question of that. */
static norn_status run_model(norn_session *s, const norn_graph *g, const inputs *in, double *slow,
                             norn_fetch **out) {
    norn_executable *e;
    norn_fetch *f = norni_alloc_array(g->outputs.n + 1, sizeof *f);
    *out = NULL;
    if (!f)
        return norni_nomem();
    for (size_t i = 0; i < g->outputs.n; i++)
        f[i].name = g->outputs.v[i].name;
    norn_status st = norn_executable_new(s, g, NULL, NULL, &e);
    if (st == NORN_OK)
        st = norn_executable_run(e, in->n, in->feeds, g->outputs.n, f);
    if (st == NORN_OK && slow)
        *slow = norni_bench_host_seconds(norn_executable_plan(e));
    norn_executable_free(e);
    if (st == NORN_OK)
        *out = f;
    else
        free_fetches(f, g->outputs.n);
    return st;
}

static const char *random_node(const norn_graph *g) {
    for (size_t i = 0; i < g->nodes.n; i++)
        if (norni_node_random(g->nodes.v[i]))
            return g->nodes.v[i]->op->name;
    return NULL;
}

static void note(norn_certificate *out, const char *fmt, const char *what) {
    snprintf(out->note, sizeof out->note, fmt, what);
}

static bool same_shape(const norn_tensor *a, const norn_tensor *b) {
    return a->rank == b->rank && (!a->rank || !memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims));
}

/* A declared shape may hold for the numbers that the model is meant to get, and not for others. */
static bool decided_by_inputs(const norn_graph *g) {
    bool *host = norni_graph_host_inputs(g), any = false;
    for (size_t i = 0; host && i < g->inputs.n; i++)
        any |= host[i];
    norni_free(host);
    return any;
}

/* Runs g at the size that out->size says, or the first one that it takes. */
static norn_status run_at_some_size(norn_session *s, const norn_graph *g, uint64_t seed, inputs *in,
                                    double *seconds, norn_fetch **got, norn_certificate *out) {
    norn_status st = NORN_OK;
    char *why = NULL;
    int trials = out->size || !has_named_sizes(g) ? 1 : TRIALS;
    for (int k = 0; k < trials; k++) {
        int64_t size = out->size ? out->size : trial_sizes[k];
        st = make_inputs(g, seed, size, in);
        if (st == NORN_OK)
            st = run_model(s, g, in, seconds, got);
        if (st == NORN_OK) {
            out->size = size;
            break;
        }
        free_inputs(in);
        in->n = 0;
        if (!why) /* the reason at size 1 is the one to be told */
            why = norni_strdup(norn_error());
        if (st != NORN_SHAPE && st != NORN_ARG)
            break;
    }
    if (st != NORN_OK && why)
        norni_fail(st, "%s", why);
    norni_free(why);
    return st;
}

/* Compares g on the device with `wanted` by the host reference; a line for each output. */
static norn_status compare(norn_session *s, const norn_graph *wanted, const norn_graph *g, uint64_t seed,
                           norn_certificate *out, norni_str *lines) {
    inputs in;
    norn_session *host = NULL;
    norn_fetch *got = NULL, *want = NULL;
    double seconds = 0;
    const char *random = random_node(g);
    char *missing = NULL;
    out->checked = false;
    NORNI_TRY(norn_graph_unsupported(g, &missing));
    if (missing || random) {
        note(out, random ? "not compared: %s draws random numbers" : "not compared: norn does not have %s",
             random ? random : missing);
        norn_text_free(missing);
        return NORN_OK;
    }
    norn_status st = run_at_some_size(s, g, seed, &in, &seconds, &got, out);
    if (st == NORN_OK && seconds > NORNI_BENCH_CHECK_S) {
        snprintf(out->note, sizeof out->note, "not compared: the host reference would take about %.0f s",
                 seconds);
        free_fetches(got, g->outputs.n);
        free_inputs(&in);
        return NORN_OK;
    }
    if (st == NORN_OK)
        st = norn_session_open("host", &host);
    if (st == NORN_OK)
        st = norni_prefix(run_model(host, wanted, &in, NULL, &want), "host reference");
    if (st == NORN_OK && g->outputs.n != wanted->outputs.n)
        st = norni_fail(NORN_INTERNAL, "%zu outputs (wanted %zu)", g->outputs.n, wanted->outputs.n);
    for (size_t i = 0; st == NORN_OK && i < g->outputs.n; i++) {
        norn_bench_result r = {.correct = true};
        norni_bench_compare(got[i].tensor, want[i].tensor, &r);
        if (!r.correct && !same_shape(got[i].tensor, want[i].tensor) && decided_by_inputs(wanted))
            st = norni_fail(NORN_SHAPE,
                            "not compared: inputs decide shapes, and random numbers in them mean nothing");
        else if (!r.correct)
            st = norni_fail(NORN_INTERNAL,
                            "output '%s' differs from the host reference by %.3g of its largest element%s%s",
                            got[i].name, r.max_error, *r.note ? ": " : "", r.note);
        norni_str_addf(lines, "error %.3g %s\n", r.max_error, got[i].name);
        out->max_error = r.max_error > out->max_error ? r.max_error : out->max_error;
    }
    if (out->size > 1)
        norni_str_addf(lines, "size %lld\n", (long long)out->size);
    out->checked = st == NORN_OK;
    free_fetches(got, g->outputs.n);
    free_fetches(want, wanted->outputs.n);
    norn_session_close(host);
    free_inputs(&in);
    return st;
}

/* What is written, read again. */
static norn_status written(const norn_model *m, const norn_save_options *save, norn_model **out) {
    norn_save_options o = save ? *save : (norn_save_options){0};
    char *data;
    size_t bytes;
    *out = NULL;
    o.external_data = false;
    NORNI_TRY(norn_model_export(m, &o, &data, &bytes));
    norn_status s = norn_model_import(data, bytes, "the converted model", NULL, out);
    norn_text_free(data);
    return s;
}

norn_status norn_model_certify(norn_session *s, const norn_model *source, norn_model *m,
                               const norn_save_options *save, uint64_t seed, norn_certificate *out) {
    norni_str text = {0};
    norn_model *w = NULL;
    *out = (norn_certificate){.seed = seed};
    m->certified = false;
    snprintf(out->device, sizeof out->device, "%s", norn_device_name(norn_context_device(s->contexts[0])));
    norni_str_addf(&text, "version %d\nseed %llu\ndevice %s\n", VERSION, (unsigned long long)seed,
                   out->device);
    norn_status st = written(m, save, &w);
    if (st != NORN_OK) { /* too large for memory, or what saving will say */
        snprintf(out->note, sizeof out->note, "%s", norn_error());
        norni_str_free(&text);
        return NORN_OK;
    }
    st = compare(s, source->graph, w->graph, seed, out, &text);
    if (st == NORN_INTERNAL)
        st = norni_prefix(st, "certificate");
    else if (st != NORN_OK) { /* it does not run here, or not on such numbers */
        out->checked = false;
        snprintf(out->note, sizeof out->note, "%s", norn_error());
        st = NORN_OK;
    }
    if (st == NORN_OK && out->checked) {
        norni_str_addf(&text, "%s%s\n", hash_line, zeros);
        st = text.failed ? norni_nomem() : norn_model_set_metadata(m, NORNI_CERTIFICATE, text.s);
        m->certified = st == NORN_OK;
    }
    norni_str_free(&text);
    norn_model_free(w);
    return st;
}

/* ---- The hash. */
/* The only place of the text in the file; NULL when there is none or another. */
static const unsigned char *only(const norni_map *f, const char *text, size_t n) {
    const unsigned char *found = NULL, *p = f->data, *end = f->data + f->bytes;
    while ((size_t)(end - p) >= n && (p = memchr(p, text[0], (size_t)(end - p) - n + 1))) {
        if (!memcmp(p, text, n)) {
            if (found)
                return NULL;
            found = p;
        }
        p++;
    }
    return found;
}

static norn_status hash_file(const norni_map *f, const norn_model *m, const unsigned char *digits,
                             char hex[NORNI_SHA256_HEX + 1]) {
    norni_sha256 h;
    norni_sha256_begin(&h);
    norni_sha256_add(&h, f->data, (size_t)(digits - f->data));
    norni_sha256_add(&h, zeros, NORNI_SHA256_HEX);
    digits += NORNI_SHA256_HEX;
    norni_sha256_add(&h, digits, (size_t)(f->data + f->bytes - digits));
    for (size_t i = 0; i < m->graph->values.n; i++) { /* external data lie elsewhere */
        const norn_value *v = m->graph->values.v[i];
        if (v->kind == NORNI_CONST && v->name && norn_tensor_bytes(v->data))
            norni_sha256_add(&h, norni_tensor_data(v->data), norn_tensor_bytes(v->data));
    }
    norni_sha256_end(&h, hex);
    return NORN_OK;
}

/* The digits that the certificate states, within its text. */
static const char *stated_hash(const norn_model *m) {
    const char *text = norn_model_metadata(m, NORNI_CERTIFICATE);
    const char *line = text ? strstr(text, hash_line) : NULL;
    return line && strlen(line) >= strlen(hash_line) + NORNI_SHA256_HEX ? line : NULL;
}

static norn_status find_hash(const norni_map *f, const norn_model *m, const unsigned char **digits) {
    const char *line = stated_hash(m);
    size_t n = strlen(hash_line);
    if (!line)
        return norni_fail(NORN_ARG, "the file has no certificate (norn convert makes one)");
    const unsigned char *at = only(f, line, n + NORNI_SHA256_HEX);
    *digits = at ? at + n : NULL;
    return at ? NORN_OK : norni_fail(NORN_PARSE, "the hash of the certificate is not there once");
}

norn_status norn_certificate_seal(const char *path) {
    norn_model *m;
    norni_map f = {0};
    const unsigned char *digits;
    char hex[NORNI_SHA256_HEX + 1];
    NORNI_TRY(norn_model_load(path, NULL, &m));
    norn_status s = norni_map_open(path, &f);
    if (s == NORN_OK) {
        s = norni_prefix(find_hash(&f, m, &digits), "%s", path);
        if (s == NORN_OK)
            s = hash_file(&f, m, digits, hex);
        off_t at = s == NORN_OK ? (off_t)(digits - f.data) : 0;
        int fd = s == NORN_OK ? open(path, O_WRONLY | O_CLOEXEC) : -1;
        if (s == NORN_OK && (fd < 0 || pwrite(fd, hex, NORNI_SHA256_HEX, at) != NORNI_SHA256_HEX))
            s = norni_fail_errno(path, "cannot write the certificate");
        if (fd >= 0 && close(fd) != 0 && s == NORN_OK)
            s = norni_fail_errno(path, "cannot write the certificate");
        norni_map_close(&f);
    }
    norn_model_free(m);
    return s;
}

/* ---- Checking. */
static void read_stated(const char *text, norn_certificate *out) {
    for (const char *p = text; p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL)
        if (!strncmp(p, "seed ", 5))
            out->seed = strtoull(p + 5, NULL, 10);
        else if (!strncmp(p, "size ", 5))
            out->size = strtoll(p + 5, NULL, 10);
        else if (!strncmp(p, "error ", 6)) {
            double e = strtod(p + 6, NULL);
            out->stated_error = e > out->stated_error ? e : out->stated_error;
        }
}

norn_status norn_certificate_check(norn_session *s, const char *path, norn_certificate *out) {
    norn_model *m;
    norni_map f = {0};
    const unsigned char *digits;
    char hex[NORNI_SHA256_HEX + 1];
    norni_str lines = {0};
    *out = (norn_certificate){.seed = 0};
    snprintf(out->device, sizeof out->device, "%s", norn_device_name(norn_context_device(s->contexts[0])));
    NORNI_TRY(norn_model_load(path, NULL, &m));
    norn_status st = norni_map_open(path, &f);
    if (st == NORN_OK) {
        st = find_hash(&f, m, &digits);
        if (st == NORN_OK)
            st = hash_file(&f, m, digits, hex);
        if (st == NORN_OK && memcmp(hex, digits, NORNI_SHA256_HEX) != 0)
            st =
                norni_fail(NORN_PARSE, "the file is not what was certified: its SHA-256 is %s (wanted %.64s)",
                           hex, (const char *)digits);
        norni_map_close(&f);
    }
    if (st == NORN_OK) {
        out->size = 1;
        read_stated(norn_model_metadata(m, NORNI_CERTIFICATE), out);
        if (out->size < 1 || out->size > trial_sizes[TRIALS - 1])
            st = norni_fail(NORN_PARSE, "the certificate says size %lld (wanted 1 to %lld)",
                            (long long)out->size, (long long)trial_sizes[TRIALS - 1]);
    }
    if (st == NORN_OK) {
        st = compare(s, m->graph, m->graph, out->seed, out, &lines);
    }
    norni_str_free(&lines);
    norn_model_free(m);
    return norni_prefix(st, "%s", path);
}

bool norn_model_has_certificate(const norn_model *m) {
    return stated_hash(m) != NULL;
}
