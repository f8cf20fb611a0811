/* SPDX-License-Identifier: Apache-2.0 */
/* norn convert: from one model file to another. */
#include "output.h"
#include "pick.h"
#include "verbs.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>

typedef struct {
    bool json, optimize, external, uncertified;
    int64_t opset, seed;
    const char *device;
} convert_options;

typedef struct {
    bool tried; /* there is a device to compare on */
    norn_certificate made;
} certified;

static bool has_ext(const char *path, const char *ext) {
    size_t n = strlen(path), k = strlen(ext);
    return n > k && !strcasecmp(path + n - k, ext);
}

/* A device to compare on; NULL, with a note, where there is none. */
static norn_session *open_device(const convert_options *o) {
    norn_session *s = NULL;
    if (!o->uncertified && norn_session_open(o->device, &s) != NORN_OK)
        note("no certificate: %s", norn_error());
    return s;
}

static norn_status convert(const convert_options *o, norn_model *m, const char *in, const char *out,
                           certified *c) {
    norn_save_options save = {.opset = (int)o->opset, .external_data = o->external};
    norn_model *source = NULL;
    norn_session *session = open_device(o);
    norn_status s = NORN_OK;
    norn_graph *simple = NULL;
    if (o->optimize)
        s = norn_graph_optimize(norn_model_graph(m), &simple);
    if (simple)
        norn_model_set_graph(m, simple);
    if (s == NORN_OK && session) {
        c->tried = true;
        s = norn_model_load(in, NULL, &source);
        if (s == NORN_OK)
            s = norn_model_certify(session, source, m, &save, (uint64_t)o->seed, &c->made);
        norn_model_free(source);
    }
    if (s == NORN_OK)
        s = norn_model_save(m, out, &save);
    if (s == NORN_OK && c->made.checked)
        s = norn_certificate_seal(out);
    norn_session_close(session);
    return s;
}

static void json_certificate(cJSON *j, const certified *c) {
    cJSON *x = json_object(j, "certificate");
    json_bool(x, "made", c->made.checked);
    json_number(x, "seed", (double)c->made.seed);
    json_number(x, "max_error", c->made.max_error);
    json_text(x, "device", c->made.device);
    json_text(x, "note", c->made.note);
}

static int report(const convert_options *o, const norn_model *m, const char *in, const char *out,
                  size_t nodes, const certified *c) {
    size_t after = norn_graph_node_count(norn_model_graph(m));
    int from = norn_model_opset(m), to = o->opset ? (int)o->opset : from;
    size_t warnings = norn_model_warning_count(m);
    if (o->json) {
        cJSON *j = cJSON_CreateObject();
        json_text(j, "in", in);
        json_text(j, "out", out);
        json_number(j, "opset_in", from);
        json_number(j, "opset_out", to);
        json_number(j, "nodes_in", (double)nodes);
        json_number(j, "nodes_out", (double)after);
        json_bool(j, "optimized", o->optimize);
        if (c->tried)
            json_certificate(j, c);
        cJSON *list = json_array(j, "warnings");
        for (size_t i = 0; i < warnings; i++)
            json_append(list, norn_model_warning_at(m, i));
        return json_print(j, 0);
    }
    for (size_t i = 0; i < warnings; i++)
        note("%s", norn_model_warning_at(m, i));
    printf("%s (opset %d, %zu node%s) -> %s (opset %d, %zu node%s%s)\n", in, from, nodes,
           nodes == 1 ? "" : "s", out, to, after, after == 1 ? "" : "s", o->optimize ? ", optimized" : "");
    if (c->made.checked)
        printf("certificate: outputs within %.2g of the original (seed %llu, %s)\n", c->made.max_error,
               (unsigned long long)c->made.seed, c->made.device);
    else if (c->tried)
        note("no certificate: %s", c->made.note);
    return 0;
}

static int run(const void *options, int n, char *const *args) {
    const convert_options *o = options;
    const char *out = args[n - 1];
    norn_model *m = NULL;
    if (n > 2)
        return usage_error("got %d input files (one model at a time is converted; OUT comes last)", n - 1);
    if (!has_ext(out, ".onnx"))
        return fail_text(NORN_UNSUPPORTED, "%s: no model format by its name (wanted .onnx)", out);
    norn_status s = norn_model_load(args[0], NULL, &m);
    size_t nodes = s == NORN_OK ? norn_graph_node_count(norn_model_graph(m)) : 0;
    certified c = {0};
    if (s == NORN_OK)
        s = convert(o, m, args[0], out, &c);
    int code = s == NORN_OK ? report(o, m, args[0], out, nodes, &c) : fail(s);
    norn_model_free(m);
    return code;
}

static const option options[] = {
    {"opset", "N", OPT_INT, offsetof(convert_options, opset),
     "operators of this ONNX version, 7 to 28; else the model's own", NULL, 7},
    {"optimize", NULL, OPT_FLAG, offsetof(convert_options, optimize),
     "fold constants and scales of channels, push transpositions out, drop what has no effect", NULL, 0},
    {"external-data", NULL, OPT_FLAG, offsetof(convert_options, external), "put large tensors into OUT.data",
     NULL, 0},
    {"no-certificate", NULL, OPT_FLAG, offsetof(convert_options, uncertified),
     "do not compare the result with the original", NULL, 0},
    {"seed", "S", OPT_INT, offsetof(convert_options, seed),
     "of the numbers on which they are compared; else 1", NULL, 0},
    OPT_DEVICE(convert_options),
    OPT_JSON(convert_options),
    OPT_END,
};

static const convert_options defaults = {.seed = 1};

const verb verb_convert = {
    .name = "convert",
    .args = "IN... OUT",
    .summary = "Converts a model to another ONNX version, or writes it simplified.",
    .details = "What norn does not know in a file is kept. The file OUT appears whole, or not at all.\n\n"
               "The result runs on the device and the original by the host reference, both on random "
               "numbers. If they agree, "
               "the seed, the largest difference of each output and a hash of the file become its "
               "certificate, in its "
               "metadata: 'norn verify OUT' checks it again. If not, nothing is written.",
    .options = options,
    .bytes = sizeof(convert_options),
    .defaults = &defaults,
    .least = 2,
    .most = -1,
    .run = run,
};
