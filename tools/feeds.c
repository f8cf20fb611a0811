/* SPDX-License-Identifier: Apache-2.0 */
#include "feeds.h"
#include "output.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_RANDOM 268435456.0 /* elements of an input that is made up */

void feeds_free(feeds *f) {
    for (size_t i = 0; i < f->n; i++)
        norn_tensor_free((norn_tensor *)f->v[i].tensor);
    free(f->v);
    free(f->sources);
    *f = (feeds){0};
}

/* ---- Which input a --input is for: "NAME=FILE", or the file alone when there is one input. Names may hold '='. */
const norn_value *feeds_input_of(const norn_graph *g, const char *spec, const char **file) {
    for (const char *eq = strchr(spec, '='); eq; eq = strchr(eq + 1, '='))
        for (size_t i = 0; i < norn_graph_input_count(g); i++) {
            const char *name = norn_value_name(norn_graph_input_at(g, i));
            if (strlen(name) == (size_t)(eq - spec) && !memcmp(name, spec, (size_t)(eq - spec))) {
                *file = eq + 1;
                return norn_graph_input_at(g, i);
            }
        }
    *file = spec;
    return !strchr(spec, '=') && norn_graph_input_count(g) == 1 ? norn_graph_input_at(g, 0) : NULL;
}

int feeds_no_such_input(const norn_graph *g, const char *spec) {
    char list[1024] = "";
    size_t n = 0;
    for (size_t i = 0; i < norn_graph_input_count(g) && n < sizeof list; i++)
        n += (size_t)snprintf(list + n, sizeof list - n, "%s'%s'", i ? ", " : "",
                              norn_value_name(norn_graph_input_at(g, i)));
    return usage_error("--input %s: names no input (wanted NAME=FILE; the model's inputs: %s)", spec,
                       *list ? list : "none");
}

/* ---- Element types. */
typedef enum { CLASS_OTHER, CLASS_FLOAT, CLASS_INTEGER } type_class;

static type_class class_of(norn_dtype t) {
    switch (t) {
    case NORN_F32:
    case NORN_F64:
    case NORN_F16:
    case NORN_BF16:
        return CLASS_FLOAT;
    case NORN_U8:
    case NORN_I8:
    case NORN_U16:
    case NORN_I16:
    case NORN_U32:
    case NORN_I32:
    case NORN_U64:
    case NORN_I64:
        return CLASS_INTEGER;
    default:
        return CLASS_OTHER;
    }
}

/* NumPy makes doubles and int64 where nobody asks: they become what the model takes, integers only if they fit. Whatever
 * else differs is left for the library to refuse. */
norn_status feeds_convert(const norn_value *input, norn_tensor **t) {
    norn_dtype want = norn_value_dtype(input), have = norn_tensor_dtype(*t);
    norn_tensor *made;
    if (want == have || class_of(want) != class_of(have) || class_of(want) == CLASS_OTHER)
        return NORN_OK;
    norn_status s = norn_tensor_new(NULL, want, norn_tensor_rank(*t), norn_tensor_dims(*t), NULL, &made);
    if (s != NORN_OK)
        return s;
    for (int64_t i = 0; i < norn_tensor_elems(*t); i++) {
        double v = norn_tensor_get(*t, i);
        norn_tensor_set(made, i, v);
        if (class_of(want) == CLASS_INTEGER && norn_tensor_get(made, i) != v) {
            norn_tensor_free(made);
            return NORN_OK;
        }
    }
    note("input '%s': %s made %s", norn_value_name(input), norn_dtype_name(have), norn_dtype_name(want));
    norn_tensor_free(*t);
    *t = made;
    return NORN_OK;
}

/* ---- All inputs. */

/* A --dim says how large a named size is: a file that has another is refused. */
static int check_sizes(const sizes *s, const norn_value *input, const norn_tensor *t, const char *file) {
    char name[256];
    for (int k = 0; k < norn_value_rank(input) && k < norn_tensor_rank(t); k++) {
        if (norn_value_dim(input, k) >= 0)
            continue;
        value_size_text(input, k, name, sizeof name);
        int64_t want = sizes_find(s, name), got = norn_tensor_dims(t)[k];
        if (want >= 0 && want != got)
            return usage_error("--input %s: size %d of '%s' is %lld (wanted %s=%lld, as --dim says)", file, k,
                               norn_value_name(input), (long long)got, name, (long long)want);
    }
    return 0;
}

/* given: what --dim says; s: that, and what the inputs so far have shown. */
static int from_file(const char *spec, const feed_options *o, const norn_graph *g, const sizes *given,
                     sizes *s, feeds *out) {
    const char *file;
    const norn_value *input = feeds_input_of(g, spec, &file);
    norn_tensor *t = NULL;
    int code = 0;
    if (!input)
        return feeds_no_such_input(g, spec);
    for (size_t k = 0; k < out->n; k++)
        if (!strcmp(out->v[k].name, norn_value_name(input)))
            return usage_error("--input %s: '%s' is given twice", spec, out->v[k].name);
    if (is_picture(file))
        code = picture_feed(file, input, s, o->resize, &t);
    else {
        norn_status st = norn_tensor_load(file, &t);
        if (st == NORN_OK)
            st = feeds_convert(input, &t);
        code = st == NORN_OK ? 0 : fail(st);
    }
    if (!code)
        code = check_sizes(given, input, t, spec);
    if (code) {
        norn_tensor_free(t);
        return code;
    }
    out->sources[out->n] = file;
    out->v[out->n++] = (norn_feed){norn_value_name(input), t};
    return sizes_learn(s, input, t) ? 0 : out_of_memory();
}

static int from_files(const feed_options *o, const norn_graph *g, sizes *s, feeds *out) {
    sizes given = {0};
    int code = sizes_parse(o->dims, &given);
    for (size_t i = 0; i < o->inputs->n && !code; i++)
        code = from_file(o->inputs->v[i], o, g, &given, s, out);
    sizes_free(&given);
    return code;
}

/* Elements of an input; sizes that are not known count as 1. */
static double elements(const norn_value *input, const sizes *s) {
    char name[256];
    double n = 1;
    for (int k = 0; k < norn_value_rank(input); k++) {
        int64_t size = norn_value_dim(input, k);
        if (size < 0) {
            value_size_text(input, k, name, sizeof name);
            size = sizes_find(s, name);
        }
        n *= size < 0 ? 1 : (double)size;
    }
    return n;
}

static int from_chance(const feed_options *o, const norn_graph *g, sizes *s, feeds *out) {
    for (size_t i = 0; i < norn_graph_input_count(g); i++) {
        const norn_value *input = norn_graph_input_at(g, i);
        norn_tensor *t;
        bool given = false;
        for (size_t k = 0; k < out->n; k++)
            given |= !strcmp(out->v[k].name, norn_value_name(input));
        if (given)
            continue;
        if (elements(input, s) > MOST_RANDOM)
            return fail_text(NORN_ARG, "input '%s': %.3g elements (give so many by --input)",
                             norn_value_name(input), elements(input, s));
        norn_status st = random_input(input, s, o->seed, i, &t);
        if (st != NORN_OK)
            return fail_text(st, "input '%s': %s", norn_value_name(input), norn_error());
        out->v[out->n++] = (norn_feed){norn_value_name(input), t};
        char *text = NULL;
        norn_status printed = norn_tensor_print(t, 0, &text);
        note("input '%s' is not given: random %.*s", norn_value_name(input),
             printed == NORN_OK ? (int)strcspn(text, " ") : 0, text ? text : "");
        norn_text_free(text);
    }
    return 0;
}

int feeds_make(const feed_options *o, const norn_graph *g, feeds *out) {
    sizes s = {0};
    size_t n = norn_graph_input_count(g) + 1;
    *out = (feeds){.v = calloc(n, sizeof *out->v), .sources = calloc(n, sizeof *out->sources)};
    int code = out->v && out->sources ? 0 : out_of_memory();
    if (!code)
        code = sizes_parse(o->dims, &s);
    if (!code)
        code = sizes_check(o->dims, g);
    if (!code)
        code = from_files(o, g, &s, out);
    if (!code)
        code = from_chance(o, g, &s, out);
    sizes_free(&s);
    if (code)
        feeds_free(out);
    return code;
}
