/* SPDX-License-Identifier: Apache-2.0 */
#include "formula.h"
#include "output.h"
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int formula_open(const char *text, norn_dtype dtype, norn_graph **out) {
    enum { BEFORE = 60, AFTER = 20 }; /* of long formulas the part around the column */
    int column;
    norn_status s = norn_formula_parse(text, dtype, out, &column);
    if (s == NORN_OK)
        return 0;
    int code = fail(s);
    if (column > 0) {
        size_t at = (size_t)column - 1, from = at > BEFORE ? at - BEFORE : 0;
        fprintf(stderr, "  ");
        for (size_t i = from; text[i] && i < at + AFTER; i++)
            fputc(isspace((unsigned char)text[i]) || iscntrl((unsigned char)text[i]) ? ' ' : text[i], stderr);
        fprintf(stderr, "\n  %*s^\n", (int)(at - from), "");
    }
    return code;
}

/* ---- Points. */
void point_free(point *p) {
    for (size_t i = 0; i < p->n; i++) {
        free(p->names[i]);
        norn_tensor_free(p->values[i]);
    }
    free(p->names);
    free(p->values);
    *p = (point){.option = p->option};
}

const norn_tensor *point_find(const point *p, const char *name) {
    for (size_t i = 0; i < p->n; i++)
        if (!strcmp(p->names[i], name))
            return p->values[i];
    return NULL;
}

/* The value of a formula without variables. */
static int constant_of(const char *option, const char *text, norn_tensor **out) {
    norn_graph *g = NULL, *folded = NULL;
    int code = formula_open(text, NORN_F64, &g);
    *out = NULL;
    if (code)
        return code;
    norn_status s = norn_graph_input_count(g) ? NORN_ARG : norn_graph_simplify(g, &folded);
    if (norn_graph_input_count(g))
        code = usage_error("%s: '%s' has a variable (wanted a number, or a list of numbers)", option, text);
    else if (s != NORN_OK)
        code = fail(s);
    else {
        const norn_tensor *t = norn_value_data(norn_graph_output_at(folded, 0));
        s = t ? norn_tensor_copy(t, NULL, out) : NORN_ARG;
        if (s != NORN_OK)
            code = t ? fail(s) : usage_error("%s: '%s' is no number, and no list of numbers", option, text);
    }
    norn_graph_free(folded);
    norn_graph_free(g);
    return code;
}

static int add(point *p, const char *name, size_t n, const char *text) {
    char **names = realloc(p->names, (p->n + 1) * sizeof *names);
    if (!names)
        return out_of_memory();
    p->names = names;
    norn_tensor **values = realloc(p->values, (p->n + 1) * sizeof *values);
    if (!values)
        return out_of_memory();
    p->values = values;
    char *copy = text_of("%.*s", (int)n, name);
    if (!copy)
        return out_of_memory();
    if (point_find(p, copy)) {
        int code = usage_error("%s: '%s' is given twice", p->option, copy);
        free(copy);
        return code;
    }
    int code = constant_of(p->option, text, &p->values[p->n]);
    if (code) {
        free(copy);
        return code;
    }
    p->names[p->n++] = copy;
    return 0;
}

int point_parse(const char *text, point *out) {
    int code = 0;
    for (const char *p = text; *p && !code;) {
        p += strspn(p, " \t\n");
        const char *name = p, *eq;
        while (isalnum((unsigned char)*p) || *p == '_')
            p++;
        size_t n = (size_t)(p - name);
        p += strspn(p, " \t\n");
        if (!n || *p != '=')
            return usage_error("%s: got '%.20s' (wanted NAME=VALUE, NAME=VALUE...)", out->option, name);
        eq = ++p;
        for (int depth = 0; *p && (depth || *p != ','); p++)
            depth += (*p == '[' || *p == '(') - (*p == ']' || *p == ')');
        char *value = text_of("%.*s", (int)(p - eq), eq);
        code = value ? add(out, name, n, value) : out_of_memory();
        free(value);
        p += *p == ',';
    }
    return code;
}

static bool fits(const norn_value *v, const norn_tensor *t) {
    if (norn_value_rank(v) != norn_tensor_rank(t))
        return false;
    for (int i = 0; i < norn_tensor_rank(t); i++)
        if (norn_value_dim(v, i) >= 0 && norn_value_dim(v, i) != norn_tensor_dims(t)[i])
            return false;
    return true;
}

static int feed(const norn_value *v, const norn_tensor *t, norn_tensor **out) {
    int64_t dims[NORN_MAX_RANK];
    int rank = norn_value_rank(v);
    bool fill = norn_tensor_rank(t) == 0 && rank > 0;
    for (int i = 0; i < rank; i++) {
        dims[i] = fill ? norn_value_dim(v, i) : i < norn_tensor_rank(t) ? norn_tensor_dims(t)[i] : 0;
        if (dims[i] < 0)
            return usage_error("--at: '%s' has sizes that are not known (wanted a list)", norn_value_name(v));
    }
    if (!fill && !fits(v, t)) {
        char *type = NULL, *got = NULL;
        norn_value_type_text(v, &type);
        norn_tensor_print(t, 0, &got);
        int code = usage_error("--at: '%s' has type %s, the value is %.*s", norn_value_name(v),
                               type ? type : "", got ? (int)strcspn(got, " ") : 0, got ? got : "");
        norn_text_free(type);
        norn_text_free(got);
        return code;
    }
    norn_status s = norn_tensor_new(NULL, norn_value_dtype(v), rank, dims, NULL, out);
    if (s != NORN_OK)
        return fail(s);
    for (int64_t i = 0; i < norn_tensor_elems(*out); i++)
        norn_tensor_set(*out, i, norn_tensor_get(t, fill ? 0 : i));
    return 0;
}

int point_feeds(const point *p, const norn_graph *g, norn_feed *feeds, size_t *n) {
    *n = 0;
    for (size_t i = 0; i < norn_graph_input_count(g); i++) {
        const norn_value *v = norn_graph_input_at(g, i);
        const norn_tensor *t = point_find(p, norn_value_name(v));
        norn_tensor *made = NULL;
        int code = t ? feed(v, t, &made)
                     : usage_error("--at: no value for '%s' (wanted %s=NUMBER)", norn_value_name(v),
                                   norn_value_name(v));
        if (code) {
            point_feeds_free(feeds, *n);
            *n = 0;
            return code;
        }
        feeds[(*n)++] = (norn_feed){norn_value_name(v), made};
    }
    return 0;
}

void point_feeds_free(norn_feed *feeds, size_t n) {
    for (size_t i = 0; i < n; i++)
        norn_tensor_free((norn_tensor *)feeds[i].tensor);
}

norn_status formula_run(norn_session *s, const norn_graph *g, size_t n, const norn_feed *feeds,
                        norn_tensor **out) {
    norn_executable *e = NULL;
    size_t count = norn_graph_output_count(g);
    norn_fetch *fetches = calloc(count + 1, sizeof *fetches);
    if (!fetches)
        return NORN_NOMEM;
    norn_status st = norn_executable_new(s, g, NULL, NULL, &e);
    for (size_t i = 0; i < count; i++)
        fetches[i].name = norn_graph_output_name(g, i);
    if (st == NORN_OK)
        st = norn_executable_run(e, n, feeds, count, fetches);
    for (size_t i = 0; i < count; i++)
        out[i] = st == NORN_OK ? fetches[i].tensor : NULL;
    norn_executable_free(e);
    free(fetches);
    return st;
}

norn_status formula_flat(norn_executable *e, const norn_graph *g, size_t n, const norn_feed *known,
                         double **out, size_t *count) {
    size_t inputs = norn_graph_input_count(g), outputs = norn_graph_output_count(g), fed = 0, at = 0;
    norn_feed *feeds = calloc(inputs + 1, sizeof *feeds);
    norn_fetch *f = calloc(outputs + 1, sizeof *f);
    norn_status s = feeds && f ? NORN_OK : NORN_NOMEM;
    *out = NULL;
    *count = 0;
    for (size_t i = 0; i < inputs && s == NORN_OK; i++)
        for (size_t k = 0; k < n; k++)
            if (!strcmp(known[k].name, norn_value_name(norn_graph_input_at(g, i)))) {
                feeds[fed++] = known[k];
                break;
            }
    for (size_t i = 0; i < outputs && s == NORN_OK; i++)
        f[i].name = norn_graph_output_name(g, i);
    if (s == NORN_OK)
        s = norn_executable_run(e, fed, feeds, outputs, f);
    for (size_t i = 0; i < outputs && s == NORN_OK; i++)
        *count += (size_t)norn_tensor_elems(f[i].tensor);
    if (s == NORN_OK && !(*out = calloc(*count + 1, sizeof **out)))
        s = NORN_NOMEM;
    for (size_t i = 0; i < outputs && s == NORN_OK; i++)
        for (int64_t k = 0; k < norn_tensor_elems(f[i].tensor); k++)
            (*out)[at++] = norn_tensor_get(f[i].tensor, k);
    for (size_t i = 0; i < outputs && f; i++)
        norn_tensor_free(f[i].tensor);
    free(feeds);
    free(f);
    return s;
}

/* ---- Values as text. */
static void print_number(norn_dtype t, double v) {
    char buf[64];
    if (isnan(v) || isinf(v)) {
        printf("%s", isnan(v) ? "nan" : v < 0 ? "-inf" : "inf");
        return;
    }
    for (int p = 1; p <= 17; p++) {
        snprintf(buf, sizeof buf, "%.*g", p, v);
        double back = strtod(buf, NULL);
        if (t == NORN_F64 ? back == v : (float)back == (float)v)
            break;
    }
    if (strchr(buf, 'e') && fabs(v) >= 1 && fabs(v) < 1e15) /* 100, not 1e+02 */
        snprintf(buf, sizeof buf, "%.0f", v);
    printf("%s", buf);
}

static void print_axis(const norn_tensor *t, int axis, int64_t *at) {
    if (axis == norn_tensor_rank(t)) {
        print_number(norn_tensor_dtype(t), norn_tensor_get(t, (*at)++));
        return;
    }
    printf("[");
    for (int64_t i = 0; i < norn_tensor_dims(t)[axis]; i++) {
        printf("%s", i ? ", " : "");
        print_axis(t, axis + 1, at);
    }
    printf("]");
}

void print_value(const norn_tensor *t) {
    int64_t at = 0;
    print_axis(t, 0, &at);
    printf("\n");
}
