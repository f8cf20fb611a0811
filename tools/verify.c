/* SPDX-License-Identifier: Apache-2.0 */
/* norn verify: runs ONNX's test cases, finds them in folders, counts. */
#include "case.h"
#include "output.h"
#include "pick.h"
#include "verbs.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_DEPTH = 32 };

typedef struct {
    bool json;
    const char *device;
    double rtol, atol;
    int numerics;
    int64_t max_iterations;
} verify_options;

/* ---- Finding cases. */
static bool has_sets(const name_list *entries) {
    for (size_t i = 0; i < entries->n; i++)
        if (!strncmp(entries->v[i], "test_data_set_", 14))
            return true;
    return false;
}

/* Adds every folder below `path` that is a case, in natural order. */
static bool find_cases(const char *path, int depth, name_list *out) {
    name_list entries = {0};
    bool ok = folder_list(path, &entries);
    if (ok && names_have(&entries, "model.onnx") && has_sets(&entries))
        ok = names_add(out, path);
    else
        for (size_t i = 0; ok && depth < MAX_DEPTH && i < entries.n; i++) {
            char *below = path_join(path, entries.v[i]);
            ok = below != NULL;
            if (ok && is_folder(below))
                ok = find_cases(below, depth + 1, out);
            free(below);
        }
    int error = errno;
    names_free(&entries);
    errno = error;
    return ok;
}

/* A file that is no part of a case: its certificate is checked. */
static bool is_lone_model(const char *path) {
    size_t n = strlen(path);
    if (n < 5 || strcmp(path + n - 5, ".onnx") || !is_file(path))
        return false;
    const char *slash = strrchr(path, '/');
    char *folder = text_of("%.*s", slash ? (int)(slash - path + 1) : 1, slash ? path : ".");
    name_list entries = {0};
    bool lone = folder && folder_list(folder, &entries) &&
                !(has_sets(&entries) && !strcmp(slash ? slash + 1 : path, "model.onnx"));
    names_free(&entries);
    free(folder);
    return lone;
}

/* A path on the command line: a folder, a case's model.onnx, or a model with a certificate. */
static int add_path(const char *given, name_list *out) {
    size_t before = out->n, n = strlen(given);
    if (is_lone_model(given))
        return names_add(out, given) ? 0 : out_of_memory();
    char *path = text_copy(given);
    if (!path)
        return out_of_memory();
    if (n >= 10 && !strcmp(path + n - 10, "model.onnx") && is_file(path)) {
        if (n == 10)
            memcpy(path, ".", 2);
        else
            path[n - 11] = 0;
    }
    while (strlen(path) > 1 && path[strlen(path) - 1] == '/')
        path[strlen(path) - 1] = 0;
    int code = find_cases(*path ? path : "/", 0, out)
                   ? 0
                   : fail_text(NORN_IO, "%s: cannot read: %s", given, strerror(errno));
    if (!code && out->n == before)
        code = fail_text(
            NORN_ARG, "%s: no test case in it (wanted a folder with model.onnx and test_data_set_0)", given);
    free(path);
    return code;
}

/* ---- Running them. */
typedef struct {
    size_t passed, failed, unsupported;
} counts;

static char *case_name(const char *path) {
    char here[4096];
    const char *from = !strcmp(path, ".") && getcwd(here, sizeof here) ? here : path,
               *slash = strrchr(from, '/');
    char *name = text_copy(slash && slash[1] ? slash + 1 : from);
    return name ? clean(name) : NULL;
}

static const char *const words[] = {"ok", "FAIL", "unsupported"};

static void json_case(cJSON *cases, const char *name, const char *path, const char *device,
                      const case_result *r) {
    cJSON *c = json_object(cases, NULL);
    json_text(c, "name", name);
    json_text(c, "path", path);
    json_text(c, "device", device);
    json_text(c, "status", words[r->status]);
    json_text(c, "reason", r->reason);
    cJSON *host = json_array(c, "host_nodes");
    for (size_t i = 0; i < r->host_nodes.n; i++)
        json_append(host, r->host_nodes.v[i]);
    json_number(c, "max_error", r->max_error);
}

static int run_cases(const verify_options *o, norn_session *s, const name_list *paths, cJSON *cases,
                     counts *sum) {
    const case_options co = {
        o->rtol,
        o->atol,
        {.numerics = (norn_numerics)o->numerics, .max_iterations = (uint64_t)o->max_iterations}};
    for (size_t i = 0; i < paths->n; i++) {
        case_result r;
        char *name = case_name(paths->v[i]);
        if (!name)
            return out_of_memory();
        progress("[%zu/%zu] %s", i + 1, paths->n, name);
        if (is_file(paths->v[i]))
            certificate_run(s, paths->v[i], &r);
        else
            case_run(s, paths->v[i], &co, &r);
        sum->passed += r.status == CASE_OK;
        sum->failed += r.status == CASE_FAIL;
        sum->unsupported += r.status == CASE_UNSUPPORTED;
        progress_clear();
        if (cases)
            json_case(cases, name, paths->v[i], session_device(s), &r);
        else {
            printf("%s %s%s%s\n", words[r.status], name, r.reason ? ": " : "", r.reason ? r.reason : "");
            fflush(stdout);
        }
        case_result_free(&r);
        free(name);
    }
    return 0;
}

static int on_devices(const verify_options *o, const picked *p, const name_list *paths, cJSON *cases,
                      counts *sum) {
    int code = 0;
    for (size_t i = 0; i < p->n && !code; i++) {
        norn_session *s;
        norn_status st = open_picked(p, i, &s);
        if (st != NORN_OK)
            return fail(st);
        if (p->n > 1 && !cases)
            printf("device %zu: %s\n", p->index[i], session_device(s));
        code = run_cases(o, s, paths, cases, sum);
        norn_session_close(s);
    }
    return code;
}

static int run(const void *options, int n, char *const *args) {
    const verify_options *o = options;
    name_list paths = {0};
    counts sum = {0};
    picked p;
    int code = pick_devices(o->device, true, &p);
    for (int i = 0; i < n && !code; i++)
        code = add_path(args[i], &paths);
    cJSON *j = !code && o->json ? cJSON_CreateObject() : NULL, *cases = j ? json_array(j, "cases") : NULL;
    if (!code)
        code = on_devices(o, &p, &paths, cases, &sum);
    names_free(&paths);
    if (code) {
        cJSON_Delete(j);
        return code;
    }
    code = sum.failed || sum.unsupported ? 1 : 0;
    if (!o->json) {
        printf("%zu passed, %zu failed, %zu unsupported\n", sum.passed, sum.failed, sum.unsupported);
        return code;
    }
    json_number(j, "passed", (double)sum.passed);
    json_number(j, "failed", (double)sum.failed);
    json_number(j, "unsupported", (double)sum.unsupported);
    return json_print(j, code);
}

static const option options[] = {
    OPT_DEVICES(verify_options),
    {"rtol", "R", OPT_REAL, offsetof(verify_options, rtol),
     "relative tolerance; else that of meta.json, else 1e-3 (bfloat16: 2^-6, its last two bits)", NULL, 0},
    {"atol", "A", OPT_REAL, offsetof(verify_options, atol),
     "absolute tolerance; else that of meta.json, else 1e-5", NULL, 0},
    {"numerics", "MODE", OPT_CHOICE, offsetof(verify_options, numerics), "which algorithms may be used",
     numerics_choices, 0},
    OPT_MAX_ITERATIONS(verify_options),
    OPT_JSON(verify_options),
    OPT_END,
};

static const verify_options defaults = {.rtol = -1, .atol = -1};

const verb verb_verify = {
    .name = "verify",
    .args = "PATH...",
    .summary = "Runs ONNX test cases and says which pass.",
    .details =
        "A case is a folder with model.onnx and folders test_data_set_K with input_I.pb and output_I.pb; "
        "folders "
        "are searched for cases. It passes when |got - wanted| <= A + R * |wanted| for every element (NaN "
        "equals NaN) "
        "and types and shapes are the same. Where there is grad_output_0.pb, the gradients of sum(output_0 * "
        "grad_output_0) are compared with grad_input_J.pb and with grads.npz, which has them by initialiser; "
        "where "
        "there is second.npz, second derivatives.\n\n"
        "Of a model file that is no case, the certificate is checked that norn convert made: that no byte "
        "has changed, and "
        "that it still computes on the device what the host reference does.\n\n"
        "A line for each case: ok, FAIL or unsupported; what fails or is not supported makes the exit code "
        "1.",
    .options = options,
    .bytes = sizeof(verify_options),
    .defaults = &defaults,
    .least = 1,
    .most = -1,
    .run = run,
};
