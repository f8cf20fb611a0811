/* SPDX-License-Identifier: Apache-2.0 */
/* norn convert: from one model file to another, or from several into a folder. */
#include "files.h"
#include "output.h"
#include "pick.h"
#include "verbs.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

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

/* Says what is not kept: notes where other operators mean the same, an error for each reason why there can be no file. */
static int preview(const norn_model *m, const norn_save_options *save, const char *out, bool *refused) {
    char *why, *changed;
    *refused = false;
    norn_status s = norn_model_save_preview(m, save, &why, &changed);
    if (s != NORN_OK)
        return fail_text(s, "%s: %s", out, norn_error());
    for (char *line = why, *next; line; line = next) {
        if ((next = strchr(line, '\n')))
            *next++ = 0;
        fail_text(NORN_UNSUPPORTED, "%s: %s", out, line);
        *refused = true;
    }
    for (char *line = *refused ? NULL : changed, *next; line; line = next) {
        if ((next = strchr(line, '\n')))
            *next++ = 0;
        note("%s", line);
    }
    norn_text_free(why);
    norn_text_free(changed);
    return *refused ? norn_status_exit_code(NORN_UNSUPPORTED) : 0;
}

static norn_status write_model(const convert_options *o, norn_model *m, const char *in, const char *out,
                               const norn_save_options *save, certified *c) {
    norn_model *source = NULL;
    norn_session *session = open_device(o);
    norn_status s = NORN_OK;
    if (session) {
        c->tried = true;
        s = norn_model_load(in, NULL, &source);
        if (s == NORN_OK)
            s = norn_model_certify(session, source, m, save, (uint64_t)o->seed, &c->made);
        norn_model_free(source);
    }
    if (s == NORN_OK)
        s = norn_model_save(m, out, save);
    if (s == NORN_OK && c->made.checked)
        s = norn_certificate_seal(out);
    norn_session_close(session);
    return s;
}

static int convert(const convert_options *o, norn_model *m, const char *in, const char *out, certified *c) {
    norn_save_options save = {.opset = (int)o->opset, .external_data = o->external};
    norn_graph *simple = NULL;
    bool refused;
    if (o->optimize && norn_graph_optimize(norn_model_graph(m), &simple) != NORN_OK)
        return fail_text(NORN_INTERNAL, "%s: %s", in, norn_error());
    if (simple)
        norn_model_set_graph(m, simple);
    int code = preview(m, &save, out, &refused);
    if (code)
        return code;
    norn_status s = write_model(o, m, in, out, &save, c);
    return s == NORN_OK ? 0 : fail(s);
}

static void json_certificate(cJSON *j, const certified *c) {
    cJSON *x = json_object(j, "certificate");
    json_bool(x, "made", c->made.checked);
    json_number(x, "seed", (double)c->made.seed);
    json_number(x, "max_error", c->made.max_error);
    json_text(x, "device", c->made.device);
    json_text(x, "note", c->made.note);
}

/* list: where the object belongs when there are several models, else NULL. */
static int report(const convert_options *o, const norn_model *m, const char *in, const char *out,
                  size_t nodes, const certified *c, cJSON *list) {
    size_t after = norn_graph_node_count(norn_model_graph(m));
    int from = norn_model_opset(m), to = o->opset ? (int)o->opset : from;
    size_t warnings = norn_model_warning_count(m);
    if (o->json) {
        cJSON *j = list ? json_object(list, NULL) : cJSON_CreateObject();
        json_text(j, "in", in);
        json_text(j, "out", out);
        json_number(j, "opset_in", from);
        json_number(j, "opset_out", to);
        json_number(j, "nodes_in", (double)nodes);
        json_number(j, "nodes_out", (double)after);
        json_bool(j, "optimized", o->optimize);
        if (c->tried)
            json_certificate(j, c);
        cJSON *said = json_array(j, "warnings");
        for (size_t i = 0; i < warnings; i++)
            json_append(said, norn_model_warning_at(m, i));
        return list ? 0 : json_print(j, 0);
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

static int convert_file(const convert_options *o, const char *in, const char *out, cJSON *list) {
    norn_model *m = NULL;
    certified c = {0};
    norn_status s = norn_model_load(in, NULL, &m);
    if (s != NORN_OK)
        return fail(s);
    size_t nodes = norn_graph_node_count(norn_model_graph(m));
    int code = convert(o, m, in, out, &c);
    if (!code)
        code = report(o, m, in, out, nodes, &c, list);
    norn_model_free(m);
    return code;
}

/* ---- Several models, into a folder. */
typedef struct {
    name_list in, out; /* files, and where below OUT each goes */
} file_pairs;

static int add_pair(file_pairs *p, const char *in, const char *out) {
    return names_add(&p->in, in) && names_add(&p->out, out) ? 0 : out_of_memory();
}

/* All models below a folder, which keep their places below it. */
static int add_folder(file_pairs *p, const char *folder, const char *below, int depth) {
    enum { MOST_FOLDERS = 32 };
    name_list entries = {0};
    int code = 0;
    if (!folder_list(folder, &entries))
        return fail_text(NORN_IO, "%s: cannot read: %s", folder, strerror(errno));
    for (size_t i = 0; i < entries.n && !code; i++) {
        char *path = path_join(folder, entries.v[i]);
        char *to = *below ? path_join(below, entries.v[i]) : text_copy(entries.v[i]);
        if (!path || !to)
            code = out_of_memory();
        else if (is_folder(path))
            code = depth < MOST_FOLDERS ? add_folder(p, path, to, depth + 1) : 0;
        else if (has_ext(path, ".onnx"))
            code = add_pair(p, path, to);
        free(path);
        free(to);
    }
    names_free(&entries);
    return code;
}

static const char *base_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* NAME.onnx, or FOLDER_NAME.onnx where another of the files has that name too. */
static char *place_of(int n, char *const *files, int at) {
    const char *name = base_of(files[at]);
    bool shared = false;
    for (int i = 0; i < n; i++)
        shared |= i != at && !strcmp(base_of(files[i]), name);
    size_t before = (size_t)(name - files[at]);
    if (!shared || before < 2)
        return text_copy(name);
    char *folder = text_of("%.*s", (int)before - 1, files[at]);
    char *place = folder ? text_of("%s_%s", base_of(folder), name) : NULL;
    free(folder);
    return place;
}

/* "b" of "a/b/"; "" where the path says no name. */
static char *folder_name(const char *path) {
    size_t n = strlen(path);
    while (n && path[n - 1] == '/')
        n--;
    char *whole = text_of("%.*s", (int)n, path), *name = whole ? text_copy(base_of(whole)) : NULL;
    if (name && name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2])))
        *name = 0;
    free(whole);
    return name;
}

static int collect(int n, char *const *args, file_pairs *p) {
    int code = 0;
    for (int i = 0; i < n && !code; i++) {
        size_t before = p->in.n;
        if (is_folder(args[i])) {
            char *below = n > 1 ? folder_name(args[i]) : text_copy("");
            code = below ? add_folder(p, args[i], below, 0) : out_of_memory();
            free(below);
            if (!code && p->in.n == before)
                code = fail_text(NORN_ARG, "%s: no model in it (wanted files that end in .onnx)", args[i]);
            continue;
        }
        char *place = place_of(n, args, i);
        code = place ? add_pair(p, args[i], place) : out_of_memory();
        free(place);
    }
    for (size_t i = 0; i < p->out.n && !code; i++)
        for (size_t k = 0; k < i && !code; k++)
            if (!strcmp(p->out.v[i], p->out.v[k]))
                code = fail_text(NORN_ARG, "%s and %s would both become %s (convert one of them on its own)",
                                 p->in.v[k], p->in.v[i], p->out.v[i]);
    return code;
}

/* Into a folder that is made for it, unless there is nothing to put into it. */
static int convert_into(const convert_options *o, const char *in, const char *out, cJSON *list) {
    const char *slash = strrchr(out, '/');
    char *folder = text_of("%.*s", slash && slash > out ? (int)(slash - out) : 1, slash ? out : ".");
    if (!folder)
        return out_of_memory();
    bool there = is_folder(folder);
    int code = folder_make(folder)
                   ? convert_file(o, in, out, list)
                   : fail_text(NORN_IO, "%s: cannot make this folder: %s", folder, strerror(errno));
    if (code && !there)
        rmdir(folder); /* stays when others went there */
    free(folder);
    return code;
}

/* A model that cannot be converted does not keep the others from it. */
static int convert_all(const convert_options *o, const file_pairs *p, const char *folder) {
    cJSON *j = o->json ? cJSON_CreateObject() : NULL, *list = j ? json_array(j, "models") : NULL;
    int code = 0;
    size_t failed = 0;
    for (size_t i = 0; i < p->in.n; i++) {
        char *out = path_join(folder, p->out.v[i]);
        errors_forget();
        int one = out ? convert_into(o, p->in.v[i], out, list) : out_of_memory();
        if (one && list) {
            cJSON *x = json_object(list, NULL);
            json_text(x, "in", p->in.v[i]);
            json_text(x, "out", NULL);
            json_text(x, "error", errors_said());
        }
        code = code ? code : one;
        failed += one != 0;
        free(out);
    }
    if (j) {
        json_number(j, "converted", (double)(p->in.n - failed));
        json_number(j, "failed", (double)failed);
        return json_print(j, code);
    }
    printf("%zu converted, %zu failed\n", p->in.n - failed, failed);
    return code;
}

static int run(const void *options, int n, char *const *args) {
    const convert_options *o = options;
    const char *out = args[n - 1];
    bool slash = *out && out[strlen(out) - 1] == '/', several = n > 2 || is_folder(args[0]);
    bool folder = is_folder(out) || slash || (several && !has_ext(out, ".onnx"));
    if (several && !folder)
        return usage_error("got %s, and OUT is '%s' (wanted a folder for them)",
                           n > 2 ? "several models" : "a folder of models", out);
    if (!folder && !has_ext(out, ".onnx"))
        return fail_text(NORN_UNSUPPORTED, "%s: no model format by its name (wanted .onnx)", out);
    if (!folder)
        return convert_file(o, args[0], out, NULL);
    file_pairs pairs = {{0}, {0}};
    int code = collect(n - 1, args, &pairs);
    if (!code)
        code = convert_all(o, &pairs, out);
    names_free(&pairs.in);
    names_free(&pairs.out);
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
    .summary = "Converts models to another ONNX version, or writes them simplified.",
    .details = "What norn does not know in a file is kept. The file OUT appears whole, or not at all. Where "
               "OUT is a "
               "folder (it exists, or ends in /, or there are several models), every IN goes into it: a file "
               "under its "
               "name, a folder's models under their places in it (below its name, where there are several "
               "IN); one that fails does not keep the others "
               "from it.\n\n"
               "In another opset operators may become others that mean the same: there is a note for each "
               "kind. What "
               "cannot be said there, all of it, is an error for each node, and nothing is written.\n\n"
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
