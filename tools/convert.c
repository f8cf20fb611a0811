/* SPDX-License-Identifier: Apache-2.0 */
/* norn convert: from one model file to another. */
#include "output.h"
#include "pick.h"
#include "verbs.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>

typedef struct {
    bool json, optimize, external;
    int64_t opset;
} convert_options;

static bool has_ext(const char *path, const char *ext) {
    size_t n = strlen(path), k = strlen(ext);
    return n > k && !strcasecmp(path + n - k, ext);
}

static norn_status convert(const convert_options *o, norn_model *m, const char *out) {
    norn_save_options save = {.opset = (int)o->opset, .external_data = o->external};
    if (o->optimize) {
        norn_graph *simple;
        norn_status s = norn_graph_simplify(norn_model_graph(m), &simple);
        if (s != NORN_OK)
            return s;
        norn_model_set_graph(m, simple);
    }
    return norn_model_save(m, out, &save);
}

static int report(const convert_options *o, const norn_model *m, const char *in, const char *out,
                  size_t nodes) {
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
        cJSON *list = json_array(j, "warnings");
        for (size_t i = 0; i < warnings; i++)
            json_append(list, norn_model_warning_at(m, i));
        return json_print(j, 0);
    }
    for (size_t i = 0; i < warnings; i++)
        note("%s", norn_model_warning_at(m, i));
    printf("%s (opset %d, %zu node%s) -> %s (opset %d, %zu node%s%s)\n", in, from, nodes,
           nodes == 1 ? "" : "s", out, to, after, after == 1 ? "" : "s", o->optimize ? ", optimized" : "");
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
    if (s == NORN_OK)
        s = convert(o, m, out);
    int code = s == NORN_OK ? report(o, m, args[0], out, nodes) : fail(s);
    norn_model_free(m);
    return code;
}

static const option options[] = {
    {"opset", "N", OPT_INT, offsetof(convert_options, opset),
     "operators of this ONNX version, 7 to 28; else the model's own", NULL, 7},
    {"optimize", NULL, OPT_FLAG, offsetof(convert_options, optimize),
     "fold constants, merge common subexpressions, drop what has no effect", NULL, 0},
    {"external-data", NULL, OPT_FLAG, offsetof(convert_options, external), "put large tensors into OUT.data",
     NULL, 0},
    OPT_JSON(convert_options),
    OPT_END,
};

const verb verb_convert = {
    .name = "convert",
    .args = "IN... OUT",
    .summary = "Converts a model to another ONNX version, or writes it simplified.",
    .details = "What norn does not know in a file is kept. The file OUT appears whole, or not at all.",
    .options = options,
    .bytes = sizeof(convert_options),
    .least = 2,
    .most = -1,
    .run = run,
};
