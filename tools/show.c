/* SPDX-License-Identifier: Apache-2.0 */
/* norn show: what is in a model, and what becomes of it. */
#include "files.h"
#include "output.h"
#include "pick.h"
#include "sizes.h"
#include "verbs.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum { STAGE_SUMMARY, STAGE_GRAPH, STAGE_PASSES, STAGE_PLAN, STAGE_SOURCE } stage;

typedef struct {
    bool json;
    int stage;
    text_list dims;
    const char *device, *snapshot;
    int numerics;
} show_options;

/* ---- Texts of the stages. */

static int plan_text(const show_options *o, const norn_graph *g, char **text) {
    norn_devices *list = NULL;
    norn_device *parsed = NULL;
    norn_plan *plan = NULL;
    const norn_device *d = NULL;
    picked p;
    int code = 0;
    if (o->snapshot) {
        char *snapshot = file_text(o->snapshot, 1 << 16);
        if (!snapshot)
            return fail_text(NORN_IO, "%s: cannot read: %s", o->snapshot, strerror(errno));
        norn_status s = norn_device_parse(snapshot, &parsed);
        free(snapshot);
        if (s != NORN_OK)
            return fail_text(s, "%s: %s", o->snapshot, norn_error());
        d = parsed;
    } else {
        code = pick_devices(o->device, false, &p);
        norn_status s = code ? NORN_OK : norn_devices_list(&list);
        if (s != NORN_OK)
            code = fail(s);
        if (code)
            return code;
        d = norn_devices_at(list, p.index[0]);
    }
    const norn_plan_options options = {.numerics = (norn_numerics)o->numerics};
    norn_status s = norn_plan_new(g, d, &options, &plan);
    if (s == NORN_OK)
        s = o->stage == STAGE_PLAN ? norn_plan_print(plan, text) : norn_plan_source(plan, text);
    if (s != NORN_OK)
        code = fail(s);
    norn_plan_free(plan);
    norn_device_free(parsed);
    norn_devices_free(list);
    return code;
}

static int stage_text(const show_options *o, const norn_graph *g, const sizes *s, char **text) {
    norn_graph *bound = NULL, *simple = NULL;
    norn_status st = NORN_OK;
    bool planned = o->stage >= STAGE_PLAN;
    int code = 0;
    if (planned || s->n)
        st = sizes_bind(s, g, false, &bound);
    const norn_graph *from = bound ? bound : g;
    if (st == NORN_OK && o->stage == STAGE_GRAPH)
        st = norn_graph_print(from, 16, text);
    if (st == NORN_OK && o->stage == STAGE_PASSES) {
        st = norn_graph_simplify(from, &simple);
        if (st == NORN_OK)
            st = norn_graph_print(simple, 16, text);
    }
    if (st != NORN_OK)
        code = fail(st);
    else if (planned)
        code = plan_text(o, from, text);
    norn_graph_free(simple);
    norn_graph_free(bound);
    return code;
}

static int show_stage(const show_options *o, const norn_graph *g, const sizes *s) {
    static const char *const names[] = {"summary", "graph", "passes", "plan", "source"};
    char *text = NULL;
    int code = stage_text(o, g, s, &text);
    if (!code && o->json) {
        cJSON *j = cJSON_CreateObject();
        json_text(j, "stage", names[o->stage]);
        json_text(j, "text", text);
        code = json_print(j, 0);
    } else if (!code)
        fputs(text, stdout);
    norn_text_free(text);
    return code;
}

/* ---- The summary. */
typedef struct {
    char *name, *op, *type, *output;
    double flops;
    int64_t parameters;
    bool supported;
} row;

typedef struct {
    row *v;
    size_t n;
} rows;

static void free_rows(rows *r) {
    for (size_t i = 0; i < r->n; i++) {
        free(r->v[i].name);
        free(r->v[i].op);
        free(r->v[i].type);
        free(r->v[i].output);
    }
    free(r->v);
}

static norn_status read_rows(norn_graph *g, rows *out) {
    size_t n = norn_graph_node_count(g);
    out->v = calloc(n + 1, sizeof *out->v);
    if (!out->v)
        return NORN_NOMEM;
    for (size_t i = 0; i < n; i++) {
        norn_node_info info;
        norn_status s = norn_graph_node_at(g, i, &info);
        if (s != NORN_OK)
            return s;
        bool plain = !info.domain || !*info.domain;
        row *r = &out->v[out->n++];
        *r = (row){.name = text_copy(info.name),
                   .op = text_of("%s%s%s", plain ? "" : info.domain, plain ? "" : ".", info.op),
                   .type = text_copy(info.output_type),
                   .output = text_copy(info.output_name),
                   .flops = info.flops,
                   .parameters = info.parameters,
                   .supported = info.supported};
        if (!r->name || !r->op || !r->type || !r->output)
            return NORN_NOMEM;
    }
    return NORN_OK;
}

/* FLOPs, and with sizes given also types, come from the graph with all sizes bound; its nodes are found again by their
 * output. */
static norn_status add_bound(rows *r, const norn_graph *g, const sizes *s, bool types) {
    norn_graph *bound;
    rows b = {0};
    norn_status st = sizes_bind(s, g, true, &bound);
    if (st != NORN_OK)
        return st;
    st = read_rows(bound, &b);
    for (size_t i = 0, k = 0; i < r->n && st == NORN_OK; i++) {
        size_t at = k; /* the order is the same; some are gone */
        while (at < b.n && strcmp(b.v[at].output, r->v[i].output) != 0)
            at++;
        if (at == b.n)
            continue;
        k = at + 1;
        r->v[i].flops = b.v[at].flops;
        if (types) {
            char *t = r->v[i].type;
            r->v[i].type = b.v[at].type;
            b.v[at].type = t;
        }
    }
    free_rows(&b);
    norn_graph_free(bound);
    return st;
}

static void count_constants(const norn_graph *g, double *elems, double *bytes) {
    *elems = *bytes = 0;
    for (size_t i = 0; i < norn_graph_constant_count(g) + norn_graph_parameter_count(g); i++) {
        size_t n = norn_graph_constant_count(g);
        const norn_value *v = i < n ? norn_graph_constant_at(g, i) : norn_graph_parameter_at(g, i - n);
        const norn_tensor *t = norn_value_data(v);
        *elems += t ? (double)norn_tensor_elems(t) : 0;
        *bytes += t ? (double)norn_tensor_bytes(t) : 0;
    }
}

static void print_values(const char *title, const norn_graph *g, bool outputs) {
    size_t n = outputs ? norn_graph_output_count(g) : norn_graph_input_count(g);
    printf("%s:\n", title);
    for (size_t i = 0; i < n; i++) {
        const norn_value *v = outputs ? norn_graph_output_at(g, i) : norn_graph_input_at(g, i);
        char *type = NULL, *name = text_copy(outputs ? norn_graph_output_name(g, i) : norn_value_name(v));
        norn_value_type_text(v, &type);
        printf("  %s  %s\n", name ? clean(name) : "", type ? clean(type) : "");
        norn_text_free(type);
        free(name);
    }
}

static void print_unsupported(const rows *r) {
    bool any = false;
    for (size_t i = 0; i < r->n; i++) {
        size_t count = 0, first = 0;
        if (r->v[i].supported)
            continue;
        while (strcmp(r->v[first].op, r->v[i].op) != 0)
            first++;
        for (size_t k = first; k < r->n; k++)
            count += !strcmp(r->v[k].op, r->v[i].op);
        if (first == i)
            printf("%s%s (%zu)", any ? ", " : "not supported: ", clean(r->v[i].op), count);
        any |= first == i;
    }
    if (any)
        printf("\n");
}

static void print_summary(const char *path, const norn_model *m, const rows *r, const char *bound) {
    const norn_graph *g = norn_model_graph(m);
    char a[32], b[32];
    double elems, bytes, flops = 0;
    char *by = text_of("%s%s%s", norn_model_producer(m), *norn_model_producer_version(m) ? " " : "",
                       norn_model_producer_version(m));
    printf("%s: ONNX IR version %d, opset %d%s%s\n", path, norn_model_ir_version(m), norn_model_opset(m),
           by && *by ? ", by " : "", by ? clean(by) : "");
    free(by);
    print_values("inputs", g, false);
    print_values("outputs", g, true);
    table t = {.columns = 6, .align = "rlllrr"};
    const char *const head[] = {"", "name", "operator", "output", "parameters", "FLOPs"};
    for (int i = 0; i < t.columns; i++)
        table_cell(&t, "%s", head[i]);
    for (size_t i = 0; i < r->n; i++) {
        const row *x = &r->v[i];
        flops += x->flops;
        table_cell(&t, "%zu", i);
        table_cell(&t, "%s", x->name);
        table_cell(&t, "%s%s", x->op, x->supported ? "" : " (not supported)");
        table_cell(&t, "%s", x->type);
        table_cell(&t, "%s", x->parameters ? count_text((double)x->parameters, a) : "");
        table_cell(&t, "%s", x->flops > 0 ? count_text(x->flops, b) : "");
    }
    printf("\n");
    table_print(&t);
    table_free(&t);
    count_constants(g, &elems, &bytes);
    printf("\n%zu node%s, %.0f parameters (%s), ", r->n, r->n == 1 ? "" : "s", elems, bytes_text(bytes, a));
    if (bound)
        printf("%s FLOPs%s%s%s\n", count_text(flops, b), *bound ? " for " : "", bound, "");
    else
        printf("FLOPs unknown (%s)\n", norn_error());
    print_unsupported(r);
    for (size_t i = 0; i < norn_model_metadata_count(m); i++) {
        char *line = text_of("%s = %s", norn_model_metadata_key(m, i), norn_model_metadata_value(m, i));
        printf("metadata: %s\n", line ? clean(line) : "");
        free(line);
    }
    for (size_t i = 0; i < norn_model_warning_count(m); i++)
        note("%s", norn_model_warning_at(m, i));
}

static void json_values(cJSON *j, const char *key, const norn_graph *g, bool outputs) {
    cJSON *list = json_array(j, key);
    size_t n = outputs ? norn_graph_output_count(g) : norn_graph_input_count(g);
    for (size_t i = 0; i < n; i++) {
        const norn_value *v = outputs ? norn_graph_output_at(g, i) : norn_graph_input_at(g, i);
        char *type = NULL;
        cJSON *o = json_object(list, NULL);
        norn_value_type_text(v, &type);
        json_text(o, "name", outputs ? norn_graph_output_name(g, i) : norn_value_name(v));
        json_text(o, "type", type);
        norn_text_free(type);
    }
}

static int json_summary(const char *path, const norn_model *m, const rows *r, const char *bound) {
    const norn_graph *g = norn_model_graph(m);
    cJSON *j = cJSON_CreateObject();
    double elems, bytes, flops = 0;
    count_constants(g, &elems, &bytes);
    json_text(j, "path", path);
    json_number(j, "ir_version", norn_model_ir_version(m));
    json_number(j, "opset", norn_model_opset(m));
    json_text(j, "producer", norn_model_producer(m));
    json_text(j, "producer_version", norn_model_producer_version(m));
    json_text(j, "doc", norn_model_doc(m));
    json_values(j, "inputs", g, false);
    json_values(j, "outputs", g, true);
    cJSON *nodes = json_array(j, "nodes");
    for (size_t i = 0; i < r->n; i++) {
        const row *x = &r->v[i];
        cJSON *o = json_object(nodes, NULL);
        json_text(o, "name", x->name);
        json_text(o, "op", x->op);
        json_text(o, "output", x->type);
        json_number(o, "parameters", (double)x->parameters);
        json_number(o, "flops", x->flops);
        json_bool(o, "supported", x->supported);
        flops += x->flops;
    }
    json_number(j, "parameters", elems);
    json_number(j, "parameter_bytes", bytes);
    if (bound)
        json_number(j, "flops", flops);
    else
        json_text(j, "flops", NULL);
    json_text(j, "sizes", bound);
    cJSON *metadata = json_object(j, "metadata");
    for (size_t i = 0; i < norn_model_metadata_count(m); i++)
        json_text(metadata, norn_model_metadata_key(m, i), norn_model_metadata_value(m, i));
    cJSON *warnings = json_array(j, "warnings");
    for (size_t i = 0; i < norn_model_warning_count(m); i++)
        json_append(warnings, norn_model_warning_at(m, i));
    return json_print(j, 0);
}

static int show_summary(const show_options *o, const char *path, const norn_model *m, const sizes *s) {
    norn_graph *g = norn_model_graph(m);
    rows r = {0};
    norn_status st = read_rows(g, &r);
    int code = st == NORN_OK ? 0 : fail(st);
    char *bound = NULL;
    if (!code && add_bound(&r, g, s, s->n > 0) == NORN_OK)
        bound = sizes_text(s, g);
    if (!code)
        code = o->json ? json_summary(path, m, &r, bound) : (print_summary(path, m, &r, bound), 0);
    free(bound);
    free_rows(&r);
    return code;
}

static int run(const void *options, int n, char *const *args) {
    const show_options *o = options;
    norn_model *m = NULL;
    sizes s = {0};
    (void)n;
    int code = sizes_parse(&o->dims, &s);
    norn_status st = code ? NORN_OK : norn_model_load(args[0], NULL, &m);
    if (st != NORN_OK)
        code = fail(st);
    if (!code)
        code = sizes_check(&o->dims, norn_model_graph(m));
    if (!code)
        code = o->stage == STAGE_SUMMARY ? show_summary(o, args[0], m, &s)
                                         : show_stage(o, norn_model_graph(m), &s);
    norn_model_free(m);
    sizes_free(&s);
    return code;
}

static const char *const stages[] = {"summary", "graph", "passes", "plan", "source", NULL};

static const option options[] = {
    {"stage", "STAGE", OPT_CHOICE, offsetof(show_options, stage), "what to print instead of the table",
     stages, 0},
    OPT_DIM(show_options),
    {"device", "D", OPT_TEXT, offsetof(show_options, device), "of the plan and its sources: as for norn run",
     NULL, 0},
    {"snapshot", "FILE", OPT_TEXT, offsetof(show_options, snapshot),
     "of the plan: a device that is not here, as 'norn devices D' printed it", NULL, 0},
    {"numerics", "MODE", OPT_CHOICE, offsetof(show_options, numerics), "of the plan", numerics_choices, 0},
    OPT_JSON(show_options),
    OPT_END,
};

const verb verb_show = {
    .name = "show",
    .args = "MODEL",
    .summary = "Shows what is in a model: inputs, outputs, operators, parameters, FLOPs.",
    .details =
        "The stages are the steps from file to device: graph (as read), passes (simplified), plan (kernels "
        "and memory on a device), source (of the kernels). Operators that norn does not have are marked.",
    .options = options,
    .bytes = sizeof(show_options),
    .least = 1,
    .most = 1,
    .run = run,
};
