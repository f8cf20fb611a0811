/* SPDX-License-Identifier: Apache-2.0 */
#include "contents.h"
#include "output.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const contents_test *t;
    const char *folder;
    case_result *r;
    norn_content *in;
    size_t n_in;
    norn_model *model; /* for these contents */
    norn_executable *exe;
    norn_feed *feeds;
    norn_fetch *got;
    size_t n_feeds, n_got;
    name_list names; /* of the feeds */
    char *reason;
} state;

char *missing_operators(const norn_graph *g) {
    char *list = NULL;
    if (norn_graph_unsupported(g, &list) != NORN_OK || !list)
        return NULL;
    char *out = text_copy(list);
    norn_text_free(list);
    for (char *c = out; c && *c; c++)
        if (*c == '\n')
            *c = c[1] ? ',' : 0;
    return out;
}

bool contents_wanted(const norn_model *m) {
    const norn_graph *g = norn_model_graph(m);
    for (size_t i = 0; i < norn_graph_input_count(g); i++)
        if (norn_model_input_form(m, i) != NORN_FORM_TENSOR)
            return true;
    for (size_t i = 0; i < norn_graph_output_count(g); i++)
        if (norn_model_output_form(m, i) != NORN_FORM_TENSOR)
            return true;
    char *missing = missing_operators(g);
    free(missing);
    return missing != NULL;
}

static case_status failed(state *s, norn_status status) {
    s->reason = text_copy(norn_error());
    return status == NORN_UNSUPPORTED ? CASE_UNSUPPORTED : CASE_FAIL;
}

/* FOLDER/PREFIX_I.pb, newly allocated. */
static char *file_of(const state *s, const char *prefix, size_t i) {
    return text_of("%s/%s_%zu.pb", s->folder, prefix, i);
}

/* The name of element i (below 0: of the whole). */
static char *name_of(const char *name, long i) {
    return i < 0 ? text_copy(name) : text_of("%s[%ld]", name, i);
}

static bool is_list(norn_form f) {
    return f == NORN_FORM_SEQUENCE || f == NORN_FORM_OPTIONAL_SEQUENCE;
}

static case_status read_inputs(state *s) {
    const norn_graph *g = norn_model_graph(s->t->model);
    size_t n = norn_graph_input_count(g);
    s->in = calloc(n + 1, sizeof *s->in);
    for (size_t i = 0; s->in && i < n; i++) {
        norn_form form = norn_model_input_form(s->t->model, i);
        char *path = file_of(s, "input", i);
        if (!path)
            return CASE_FAIL;
        bool empty = !is_file(path) && form != NORN_FORM_TENSOR && form != NORN_FORM_SEQUENCE;
        norn_status st = NORN_OK;
        if (empty)
            s->in[i] = (norn_content){.form = form};
        else
            st = norn_content_load(path, form, &s->in[i]);
        free(path);
        if (st != NORN_OK)
            return failed(s, st);
        s->in[i].name = norn_value_name(norn_graph_input_at(g, i));
        s->n_in = i + 1;
        s->n_feeds += s->in[i].n;
    }
    return s->in ? CASE_OK : CASE_FAIL;
}

static case_status load(state *s) {
    const norn_load_options o = {.contents = s->in, .n_contents = s->n_in};
    norn_status st = norn_model_load(s->t->path, &o, &s->model);
    if (st != NORN_OK)
        return failed(s, st);
    char *missing = missing_operators(norn_model_graph(s->model));
    if (missing) {
        char *before = missing_operators(norn_model_graph(s->t->model));
        if (!before || strcmp(before, missing) != 0) /* else the caller says it */
            s->reason = text_of("for these inputs: %s", missing);
        free(before);
        free(missing);
        return CASE_UNSUPPORTED;
    }
    norn_graph *g = norn_model_graph(s->model);
    for (size_t i = 0; i < norn_graph_node_count(g); i++) {
        norn_node_info info;
        if (norn_graph_node_at(g, i, &info) == NORN_OK && info.random) {
            s->reason = text_of("random numbers, which no reference can foresee: %s", info.line);
            return CASE_UNSUPPORTED;
        }
    }
    st = norn_executable_new(s->t->session, norn_model_graph(s->model), s->t->plan, NULL, &s->exe);
    return st == NORN_OK ? CASE_OK : failed(s, st);
}

static case_status run(state *s) {
    const norn_graph *g = norn_model_graph(s->model);
    size_t at = 0;
    s->n_got = norn_graph_output_count(g);
    s->feeds = calloc(s->n_feeds + 1, sizeof *s->feeds);
    s->got = calloc(s->n_got + 1, sizeof *s->got);
    if (!s->feeds || !s->got)
        return CASE_FAIL;
    for (size_t i = 0; i < s->n_in; i++)
        for (size_t k = 0; k < s->in[i].n; k++, at++) {
            char *name = name_of(s->in[i].name, is_list(s->in[i].form) ? (long)k : -1);
            bool ok = name && names_add(&s->names, name);
            free(name);
            if (!ok)
                return CASE_FAIL;
            s->feeds[at].tensor = s->in[i].tensors[k];
        }
    for (size_t i = 0; i < at; i++)
        s->feeds[i].name = s->names.v[i];
    for (size_t i = 0; i < s->n_got; i++)
        s->got[i].name = norn_graph_output_name(g, i);
    norn_status st = norn_executable_run(s->exe, at, s->feeds, s->n_got, s->got);
    if (st != NORN_OK)
        return failed(s, st);
    for (size_t i = 0; i < norn_executable_host_count(s->exe); i++) {
        const char *line = norn_executable_host_at(s->exe, i);
        if (!names_have(&s->r->host_nodes, line) && !names_add(&s->r->host_nodes, line))
            return CASE_FAIL;
    }
    return CASE_OK;
}

static const norn_fetch *find(const state *s, const char *name) {
    for (size_t i = 0; name && i < s->n_got; i++)
        if (!strcmp(s->got[i].name, name))
            return &s->got[i];
    return NULL;
}

/* Output i against its file. */
static case_status compare(state *s, size_t i, const norn_content *want) {
    const char *whole = norn_graph_output_name(norn_model_graph(s->t->model), i);
    for (size_t k = 0; k <= want->n; k++) { /* the last is one too many */
        if (k && !is_list(want->form))
            break;
        char *name = name_of(whole, is_list(want->form) ? (long)k : -1);
        const norn_fetch *got = find(s, name);
        free(name);
        if (k == want->n && !got)
            break;
        if (k == want->n || !got) {
            s->reason = k < want->n
                            ? text_of("output %zu '%s': got %zu elements (wanted %zu)", i, whole, k, want->n)
                            : text_of("output %zu '%s': got more than %zu elements", i, whole, want->n);
            return CASE_FAIL;
        }
        char *wrong = compare_tensors(got->tensor, want->tensors[k], s->t->tolerance, &s->r->max_error);
        if (wrong)
            s->reason = text_of("output %zu '%s', element %zu: %s", i, whole, k, wrong);
        free(wrong);
        if (s->reason)
            return CASE_FAIL;
    }
    return CASE_OK;
}

static case_status compare_all(state *s) {
    const norn_graph *g = norn_model_graph(s->t->model);
    case_status c = CASE_OK;
    bool any = false;
    for (size_t i = 0; i < norn_graph_output_count(g) && c == CASE_OK; i++) {
        norn_content want = {0};
        char *path = file_of(s, "output", i);
        if (!path)
            return CASE_FAIL;
        if (is_file(path)) {
            norn_status st = norn_content_load(path, norn_model_output_form(s->t->model, i), &want);
            c = st == NORN_OK ? compare(s, i, &want) : failed(s, st);
            any = true;
        }
        norn_content_free(&want);
        free(path);
    }
    if (!any && c == CASE_OK) {
        s->reason = text_copy("no output_I.pb to compare with");
        return CASE_FAIL;
    }
    return c;
}

case_status contents_run(const contents_test *t, const char *folder, case_result *r, char **reason) {
    state s = {.t = t, .folder = folder, .r = r};
    case_status c = read_inputs(&s);
    if (c == CASE_OK)
        c = load(&s);
    if (c == CASE_OK)
        c = run(&s);
    if (c == CASE_OK)
        c = compare_all(&s);
    for (size_t i = 0; i < s.n_got && s.got; i++)
        norn_tensor_free(s.got[i].tensor);
    for (size_t i = 0; i < s.n_in; i++)
        norn_content_free(&s.in[i]);
    norn_executable_free(s.exe);
    norn_model_free(s.model);
    names_free(&s.names);
    free(s.in);
    free(s.feeds);
    free(s.got);
    *reason = s.reason;
    return c;
}
