/* SPDX-License-Identifier: Apache-2.0 */
/* Inputs that are sequences or optionals: one --input for each element, in their order. The model is loaded anew for what they
 * hold. */
#include "contents.h"
#include "feeds.h"
#include "output.h"
#include <stdlib.h>
#include <string.h>

typedef struct {
    size_t n;
    norn_content *in;     /* by input of the file's graph */
    const char ***source; /* of each element */
} held;

static bool is_list(norn_form f) {
    return f == NORN_FORM_SEQUENCE || f == NORN_FORM_OPTIONAL_SEQUENCE;
}

/* Takes the tensor over, also on failure. */
static bool append(held *h, size_t i, norn_tensor *t, const char *file) {
    norn_content *c = &h->in[i];
    norn_tensor **tensors = realloc(c->tensors, (c->n + 1) * sizeof *tensors);
    c->tensors = tensors ? tensors : c->tensors;
    const char **sources = realloc(h->source[i], (c->n + 1) * sizeof *sources);
    h->source[i] = sources ? sources : h->source[i];
    if (!tensors || !sources) {
        norn_tensor_free(t);
        return false;
    }
    tensors[c->n] = t;
    sources[c->n++] = file;
    return c->present = true;
}

/* All elements from a file of ONNX's, or one tensor from any file. */
static int from_file(held *h, const norn_graph *g, const char *spec, const feed_options *o) {
    const char *file;
    const norn_value *input = feeds_input_of(g, spec, &file);
    const sizes none = {0};
    size_t i = 0, length = strlen(file);
    norn_tensor *t = NULL;
    if (!input)
        return feeds_no_such_input(g, spec);
    while (norn_graph_input_at(g, i) != input)
        i++;
    norn_content *c = &h->in[i], whole = {0};
    if (c->present && !is_list(c->form))
        return usage_error("--input %s: '%s' is given twice", spec, c->name);
    if (c->form != NORN_FORM_TENSOR && length > 3 && !strcmp(file + length - 3, ".pb") &&
        norn_content_load(file, c->form, &whole) == NORN_OK) {
        bool ok = true;
        for (size_t k = 0; k < whole.n; k++, whole.tensors[k - 1] = NULL)
            ok = append(h, i, whole.tensors[k], file) && ok;
        c->present = whole.present || whole.n || is_list(c->form);
        norn_content_free(&whole);
        return ok ? 0 : out_of_memory();
    }
    if (is_picture(file) && c->form == NORN_FORM_TENSOR) {
        int code = picture_feed(file, input, &none, o->resize, &t);
        if (code)
            return code;
    } else {
        norn_status st = norn_tensor_load(file, &t);
        if (st == NORN_OK)
            st = feeds_convert(input, &t);
        if (st != NORN_OK) {
            norn_tensor_free(t);
            return fail(st);
        }
    }
    return append(h, i, t, file) ? 0 : out_of_memory();
}

/* What no --input says. */
static int from_chance(held *h, size_t i, const norn_graph *g, const feed_options *o, sizes *s) {
    norn_content *c = &h->in[i];
    norn_tensor *t;
    if (c->form == NORN_FORM_SEQUENCE)
        return usage_error(
            "input '%s' is a sequence: give each of its tensors by --input %s=FILE, in their order", c->name,
            c->name);
    if (c->form != NORN_FORM_TENSOR) {
        note("input '%s' is not given: it holds nothing", c->name);
        return 0;
    }
    norn_status st = random_input(norn_graph_input_at(g, i), s, o->seed, i, &t);
    if (st != NORN_OK)
        return fail_text(st, "input '%s': %s", c->name, norn_error());
    char *text = NULL;
    st = norn_tensor_print(t, 0, &text);
    note("input '%s' is not given: random %.*s", c->name, st == NORN_OK ? (int)strcspn(text, " ") : 0,
         st == NORN_OK ? text : "");
    norn_text_free(text);
    return append(h, i, t, NULL) ? 0 : out_of_memory();
}

/* Feeds by the names that the inputs have in a model of tensors alone. */
static int make_feeds(held *h, const norn_graph *g, feeds *out) {
    size_t all = 0;
    for (size_t i = 0; i < h->n; i++)
        all += h->in[i].n;
    *out = (feeds){.v = calloc(all + 1, sizeof *out->v), .sources = calloc(all + 1, sizeof *out->sources)};
    if (!out->v || !out->sources)
        return out_of_memory();
    for (size_t i = 0; i < h->n; i++)
        for (size_t k = 0; k < h->in[i].n; k++) {
            char *name =
                is_list(h->in[i].form) ? text_of("%s[%zu]", h->in[i].name, k) : text_copy(h->in[i].name);
            for (size_t j = 0; name && j < norn_graph_input_count(g); j++)
                if (!strcmp(norn_value_name(norn_graph_input_at(g, j)), name)) {
                    out->sources[out->n] = h->source[i][k];
                    out->v[out->n++] =
                        (norn_feed){norn_value_name(norn_graph_input_at(g, j)), h->in[i].tensors[k]};
                    h->in[i].tensors[k] = NULL;
                    break;
                }
            if (!name)
                return out_of_memory();
            free(name);
        }
    return 0;
}

int feeds_contents(const feed_options *o, const char *path, norn_model **m, feeds *out) {
    const norn_graph *g = norn_model_graph(*m);
    held h = {.n = norn_graph_input_count(g)};
    sizes s = {0};
    norn_model *made = NULL;
    h.in = calloc(h.n + 1, sizeof *h.in);
    h.source = calloc(h.n + 1, sizeof *h.source);
    int code = h.in && h.source ? sizes_parse(o->dims, &s) : out_of_memory();
    for (size_t i = 0; i < h.n && !code; i++) {
        h.in[i] = (norn_content){.name = norn_value_name(norn_graph_input_at(g, i)),
                                 .form = norn_model_input_form(*m, i)};
        if (h.in[i].form == NORN_FORM_OTHER)
            code = fail_text(NORN_UNSUPPORTED, "input '%s' is no tensor, sequence or optional", h.in[i].name);
    }
    for (size_t i = 0; i < o->inputs->n && !code; i++)
        code = from_file(&h, g, o->inputs->v[i], o);
    for (size_t i = 0; i < h.n && !code; i++)
        if (!h.in[i].present)
            code = from_chance(&h, i, g, o, &s);
    if (!code) {
        const norn_load_options options = {.contents = h.in, .n_contents = h.n};
        norn_status st = norn_model_load(path, &options, &made);
        code = st == NORN_OK ? make_feeds(&h, norn_model_graph(made), out) : fail(st);
    }
    for (size_t i = 0; h.in && h.source && i < h.n; i++) {
        norn_content_free(&h.in[i]);
        free(h.source[i]);
    }
    free(h.in);
    free(h.source);
    sizes_free(&s);
    if (made) {
        norn_model_free(*m);
        *m = made;
    }
    return code;
}
