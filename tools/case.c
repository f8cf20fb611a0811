/* SPDX-License-Identifier: Apache-2.0 */
#include "case.h"
#include "compare.h"
#include "contents.h"
#include "output.h"
#include "sizes.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_INPUTS = 256, MAX_META = 1 << 20 };

/* A graph with gradients beside its outputs, ready to run. */
typedef struct {
    norn_executable *exe;
    norn_fetch *fetches; /* names owned */
    size_t n;
    int *of; /* by fetch: which input it is the gradient of, or -1 - index of `weights` */
    name_list weights;
} gradients;

typedef struct {
    norn_session *session;
    const char *folder;
    char *model_path;
    case_result *r;
    norn_model *model;
    norn_executable *exe;
    tolerance forward, gradient;
    norn_plan_options plan;
    gradients first, second;
    norn_tensor *in[MAX_INPUTS]; /* of the present data set */
} test;

/* ---- Outcome. Each returns false. */
static bool conclude(test *t, case_status status, const char *fmt, ...) PRINTF_LIKE(3, 4);
static bool conclude(test *t, case_status status, const char *fmt, ...) {
    char text[4096];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (t->r->status == CASE_OK) {
        t->r->status = status;
        t->r->reason = text_copy(clean(text));
    }
    return false;
}

/* A failure of the library, at a place: "" for none. */
static bool failed(test *t, norn_status s, const char *where) {
    return conclude(t, s == NORN_UNSUPPORTED ? CASE_UNSUPPORTED : CASE_FAIL, "%s%s%s", where,
                    *where ? ": " : "", norn_error());
}

static bool no_memory(test *t) {
    return conclude(t, CASE_FAIL, "out of host memory");
}

void case_result_free(case_result *r) {
    free(r->reason);
    names_free(&r->host_nodes);
    *r = (case_result){0};
}

static bool note_host_nodes(test *t, const norn_executable *e) {
    for (size_t i = 0; i < norn_executable_host_count(e); i++) {
        const char *line = norn_executable_host_at(e, i);
        if (!names_have(&t->r->host_nodes, line) && !names_add(&t->r->host_nodes, line))
            return no_memory(t);
    }
    return true;
}

/* ---- meta.json. */
static bool set_tolerances(test *t, const case_options *o) {
    t->forward = (tolerance){.rtol = 1e-3, .atol = 1e-5, .by_default = o->rtol < 0};
    char *path = path_join(t->folder, "meta.json"), *text = path ? file_text(path, MAX_META) : NULL;
    cJSON *meta = text ? cJSON_Parse(text) : NULL;
    char *why = path && is_file(path) && !meta ? text_of("cannot be read as JSON")
                                               : tolerance_read(meta, "tolerance", &t->forward);
    t->gradient = t->forward;
    if (!why)
        why = tolerance_read(meta, "tolerance_grad", &t->gradient);
    bool ok = why ? conclude(t, CASE_FAIL, "meta.json: %s", why) : true;
    free(why);
    t->gradient.any_type = true; /* references are in double, some of them stored so */
    cJSON_Delete(meta);
    free(text);
    free(path);
    if (o->rtol >= 0)
        t->forward.rtol = t->gradient.rtol = o->rtol;
    if (o->atol >= 0)
        t->forward.atol = t->gradient.atol = o->atol;
    return ok;
}

/* ---- The model. */
static bool check_operators(test *t) {
    norn_graph *g = norn_model_graph(t->model);
    norn_status s;
    for (size_t i = 0; i < norn_graph_node_count(g); i++) {
        norn_node_info info;
        s = norn_graph_node_at(g, i, &info);
        if (s != NORN_OK)
            return failed(t, s, "");
        if (info.random)
            return conclude(t, CASE_UNSUPPORTED, "random numbers, which no reference can foresee: %s",
                            info.line);
    }
    if (norn_graph_input_count(g) > MAX_INPUTS)
        return conclude(t, CASE_UNSUPPORTED, "%zu inputs (at most %d)", norn_graph_input_count(g),
                        MAX_INPUTS);
    return true;
}

static bool load_model(test *t) {
    norn_status s = norn_model_load(t->model_path, NULL, &t->model);
    if (s != NORN_OK)
        return failed(t, s, "");
    if (contents_wanted(t->model))
        return true;
    if (!check_operators(t))
        return false;
    s = norn_executable_new(t->session, norn_model_graph(t->model), &t->plan, NULL, &t->exe);
    return s == NORN_OK || failed(t, s, "");
}

/* ---- Files of a data set. */

/* FOLDER/SET/PREFIX_I.pb, newly allocated; NULL when there is no such file. */
static char *set_file(const test *t, const char *set, const char *prefix, size_t i) {
    char *path = text_of("%s/%s/%s_%zu.pb", t->folder, set, prefix, i);
    if (path && !is_file(path)) {
        free(path);
        path = NULL;
    }
    return path;
}

static bool read_inputs(test *t, const char *set) {
    const norn_graph *g = norn_model_graph(t->model);
    for (size_t i = 0; i < norn_graph_input_count(g); i++) {
        norn_tensor_free(t->in[i]);
        t->in[i] = NULL;
    }
    for (size_t i = 0; i < norn_graph_input_count(g); i++) {
        char *path = set_file(t, set, "input", i);
        if (!path)
            return conclude(t, CASE_FAIL, "%s: no input_%zu.pb for input '%s'", set, i,
                            norn_value_name(norn_graph_input_at(g, i)));
        norn_status s = norn_tensor_load(path, &t->in[i]);
        free(path);
        if (s != NORN_OK)
            return failed(t, s, set);
    }
    char *more = set_file(t, set, "input", norn_graph_input_count(g));
    free(more);
    return more
               ? conclude(
                     t, CASE_UNSUPPORTED,
                     "%s: input_%zu.pb is one more than the model's inputs (another value for an initialiser "
                     "cannot be given)",
                     set, norn_graph_input_count(g))
               : true;
}

/* ---- Forward. */
static bool compare_outputs(test *t, const char *set, const norn_fetch *got) {
    const norn_graph *g = norn_model_graph(t->model);
    bool any = false;
    for (size_t i = 0; i < norn_graph_output_count(g); i++) {
        norn_tensor *want;
        char *path = set_file(t, set, "output", i);
        if (!path)
            continue;
        norn_status s = norn_tensor_load(path, &want);
        free(path);
        if (s != NORN_OK)
            return failed(t, s, set);
        char *wrong = compare_tensors(got[i].tensor, want, &t->forward, &t->r->max_error);
        norn_tensor_free(want);
        any = true;
        if (wrong)
            conclude(t, CASE_FAIL, "%s: output %zu '%s': %s", set, i, got[i].name, wrong);
        free(wrong);
        if (t->r->status != CASE_OK)
            return false;
    }
    return any || conclude(t, CASE_FAIL, "%s: no output_I.pb to compare with", set);
}

static size_t feed_inputs(const test *t, norn_feed *feeds) {
    const norn_graph *g = norn_model_graph(t->model);
    size_t n = norn_graph_input_count(g);
    for (size_t i = 0; i < n; i++)
        feeds[i] = (norn_feed){norn_value_name(norn_graph_input_at(g, i)), t->in[i]};
    return n;
}

static bool run_forward(test *t, const char *set) {
    const norn_graph *g = norn_model_graph(t->model);
    size_t n = norn_graph_output_count(g);
    norn_feed feeds[MAX_INPUTS];
    norn_fetch *got = calloc(n + 1, sizeof *got);
    if (!got)
        return no_memory(t);
    for (size_t i = 0; i < n; i++)
        got[i].name = norn_graph_output_name(g, i);
    norn_status s = norn_executable_run(t->exe, feed_inputs(t, feeds), feeds, n, got);
    bool ok = s == NORN_OK ? note_host_nodes(t, t->exe) : failed(t, s, set);
    ok = ok && compare_outputs(t, set, got);
    for (size_t i = 0; i < n; i++)
        norn_tensor_free(got[i].tensor);
    free(got);
    return ok;
}

/* ---- Gradients. */
static void free_gradients(gradients *x) {
    for (size_t i = 0; i < x->n; i++) {
        free((char *)x->fetches[i].name);
        norn_tensor_free(x->fetches[i].tensor);
    }
    free(x->fetches);
    free(x->of);
    names_free(&x->weights);
    norn_executable_free(x->exe);
    *x = (gradients){0};
}

static bool add_fetch(test *t, gradients *x, norn_graph *g, const char *name, norn_value *v, int of) {
    norn_status s = norn_graph_output(g, name, v);
    if (s != NORN_OK)
        return failed(t, s, name);
    norn_fetch *f = realloc(x->fetches, (x->n + 1) * sizeof *f);
    if (f)
        x->fetches = f;
    int *o = realloc(x->of, (x->n + 1) * sizeof *o);
    if (o)
        x->of = o;
    char *copy = text_copy(name);
    if (!f || !o || !copy) {
        free(copy);
        return no_memory(t);
    }
    x->fetches[x->n] = (norn_fetch){copy, NULL};
    x->of[x->n++] = of;
    return true;
}

/* Which values gradients are wanted of: inputs with a file, and the arrays of grads.npz. */
typedef struct {
    norn_value *x[MAX_INPUTS];
    norn_value **all, **dx;
    int *of;
    size_t n;
} wanted;

static bool want(test *t, wanted *w, norn_value *v, int of, size_t cap) {
    if (!v)
        return conclude(t, CASE_FAIL, "there is nothing to take a gradient of");
    if (w->n == cap)
        return no_memory(t);
    w->all[w->n] = v;
    w->of[w->n++] = of;
    return true;
}

static bool want_weights(test *t, gradients *x, wanted *w, const norn_graph *g, norn_archive *npz,
                         size_t cap) {
    for (size_t i = 0; npz && i < norn_archive_count(npz); i++) {
        const char *name = norn_archive_name(npz, i);
        norn_value *v = norn_graph_value(g, name);
        if (!v)
            return conclude(t, CASE_FAIL, "grads.npz: the model has no initialiser '%s'", name);
        if (!names_add(&x->weights, name))
            return no_memory(t);
        if (!want(t, w, v, -1 - (int)i, cap))
            return false;
    }
    return true;
}

static bool alloc_wanted(wanted *w, size_t cap) {
    w->all = calloc(cap + 1, sizeof *w->all);
    w->dx = calloc(cap + 1, sizeof *w->dx);
    w->of = calloc(cap + 1, sizeof *w->of);
    return w->all && w->dx && w->of;
}

static void free_wanted(wanted *w) {
    free(w->all);
    free(w->dx);
    free(w->of);
}

/* The graph with the sizes of the present inputs: rules need to know what was broadcast. */
static norn_graph *bound_graph(test *t, norn_archive *weights) {
    size_t n = weights ? norn_archive_count(weights) : 0;
    const char **keep = calloc(n + 1, sizeof *keep);
    norn_graph *g = NULL;
    for (size_t i = 0; keep && i < n; i++)
        keep[i] = norn_archive_name(weights, i);
    norn_status s = keep ? sizes_bind_fed(norn_model_graph(t->model), t->in, n, keep, &g) : NORN_NOMEM;
    if (s != NORN_OK)
        failed(t, s, "gradient");
    free(keep);
    return g;
}

/* An input of the type of output 0; of the shape that is fed, which the output has where it depends on data. */
static norn_value *output_gradient(norn_graph *g, const norn_tensor *fed) {
    char type[512];
    size_t n = (size_t)snprintf(type, sizeof type, "%s[", norn_dtype_name(norn_tensor_dtype(fed)));
    for (int i = 0; i < norn_tensor_rank(fed) && n < sizeof type; i++)
        n += (size_t)snprintf(type + n, sizeof type - n, "%s%lld", i ? "," : "",
                              (long long)norn_tensor_dims(fed)[i]);
    if (n + 2 > sizeof type)
        return NULL;
    memcpy(type + n, "]", 2);
    return norn_graph_input(g, "norn.grad_output_0", type);
}

/* The gradients of sum(output_0 * dy). */
static bool build_first(test *t, const char *set, const norn_tensor *fed, norn_archive *npz) {
    gradients *x = &t->first;
    wanted w = {0};
    norn_status s;
    norn_graph *g = bound_graph(t, npz);
    if (!g)
        return false;
    size_t cap = norn_graph_input_count(g) + (npz ? norn_archive_count(npz) : 0);
    bool ok = alloc_wanted(&w, cap) || no_memory(t);
    for (size_t i = 0; ok && i < norn_graph_input_count(g); i++) {
        char *path = set_file(t, set, "grad_input", i);
        if (path)
            ok = want(t, &w, norn_graph_input_at(g, i), (int)i, cap);
        free(path);
    }
    ok = ok && want_weights(t, x, &w, g, npz, cap);
    norn_value *dy = ok ? output_gradient(g, fed) : NULL;
    if (ok && (s = norn_graph_status(g)) != NORN_OK)
        ok = failed(t, s, "gradient");
    if (ok && (s = norn_grad(g, norn_graph_output_at(g, 0), dy, w.n, w.all, w.dx)) != NORN_OK)
        ok = failed(t, s, "gradient");
    for (size_t i = 0; ok && i < w.n; i++) {
        char name[32];
        snprintf(name, sizeof name, "norn.grad_%zu", i);
        ok = add_fetch(t, x, g, name, w.dx[i], w.of[i]);
    }
    if (ok && (s = norn_executable_new(t->session, g, &t->plan, NULL, &x->exe)) != NORN_OK)
        ok = failed(t, s, "gradient");
    free_wanted(&w);
    norn_graph_free(g);
    return ok;
}

static bool run_gradients(test *t, gradients *x, const norn_feed *more, size_t n_more, const char *where) {
    norn_feed feeds[MAX_INPUTS * 2 + 1];
    size_t n = feed_inputs(t, feeds);
    for (size_t i = 0; i < n_more; i++)
        feeds[n++] = more[i];
    for (size_t i = 0; i < x->n; i++) {
        norn_tensor_free(x->fetches[i].tensor);
        x->fetches[i].tensor = NULL;
    }
    norn_status s = norn_executable_run(x->exe, n, feeds, x->n, x->fetches);
    return s == NORN_OK ? note_host_nodes(t, x->exe) : failed(t, s, where);
}

static bool compare_gradient(test *t, const char *where, const char *what, const norn_tensor *got,
                             const norn_tensor *want_t) {
    char *wrong = compare_tensors(got, want_t, &t->gradient, &t->r->max_error);
    if (!wrong)
        return true;
    conclude(t, CASE_FAIL, "%s: %s: %s", where, what, wrong);
    free(wrong);
    return false;
}

static bool compare_first(test *t, const char *set, norn_archive *npz) {
    bool ok = true;
    for (size_t i = 0; ok && i < t->first.n; i++) {
        int of = t->first.of[i];
        norn_tensor *want_t = NULL;
        char *path = of >= 0 ? set_file(t, set, "grad_input", (size_t)of) : NULL;
        if (of >= 0 && !path)
            continue;
        char *what = of >= 0 ? text_of("gradient of input %d", of)
                             : text_of("gradient of '%s'", norn_archive_name(npz, (size_t)(-1 - of)));
        norn_status s =
            path ? norn_tensor_load(path, &want_t) : norn_archive_load_at(npz, (size_t)(-1 - of), &want_t);
        ok = s != NORN_OK
                 ? failed(t, s, set)
                 : compare_gradient(t, set, what ? what : "gradient", t->first.fetches[i].tensor, want_t);
        norn_tensor_free(want_t);
        free(what);
        free(path);
    }
    return ok;
}

static bool check_first(test *t, const char *set) {
    char *dy_path = set_file(t, set, "grad_output", 0), *npz_path = path_join(t->folder, "grads.npz");
    norn_archive *npz = NULL;
    norn_tensor *dy = NULL;
    if (!dy_path) {
        free(npz_path);
        return true;
    }
    norn_status s = norn_tensor_load(dy_path, &dy);
    if (s == NORN_OK && npz_path && is_file(npz_path))
        s = norn_archive_open(npz_path, &npz);
    bool ok = s == NORN_OK || failed(t, s, set);
    free_gradients(&t->first); /* a set may have other sizes than the last */
    ok = ok && build_first(t, set, dy, npz);
    const norn_feed more = {"norn.grad_output_0", dy};
    ok = ok && run_gradients(t, &t->first, &more, 1, set) && compare_first(t, set, npz);
    norn_archive_close(npz);
    norn_tensor_free(dy);
    free(dy_path);
    free(npz_path);
    return ok;
}

/* ---- Second derivatives: second.npz holds, for the inputs J of a scalar function, v_J, grad_J, hvp_J =
 * d(sum_K grad_K . v_K) / dx_J and gradpen_grad_J = d(sum_K |grad_K|^2) / dx_J. */
static norn_value *sum_of_products(norn_graph *g, size_t n, norn_value *const *a, norn_value *const *b) {
    norn_value *sum = NULL;
    for (size_t i = 0; i < n; i++) {
        norn_value *t = norn_reduce_sum(g, norn_mul(g, a[i], b[i]), 0, NULL, false);
        sum = i ? norn_add(g, sum, t) : t;
    }
    return sum;
}

static bool add_second(test *t, norn_graph *g, const wanted *w, norn_archive *npz, const char *kind,
                       norn_value *const *values) {
    for (size_t i = 0; i < w->n; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s_%d", kind, w->of[i]);
        if (norn_archive_has(npz, name) && !add_fetch(t, &t->second, g, name, values[i], w->of[i]))
            return false;
    }
    return true;
}

static bool build_second(test *t, norn_archive *npz) {
    wanted w = {0};
    norn_status s = NORN_OK;
    norn_graph *g = bound_graph(t, NULL);
    if (!g)
        return false;
    size_t cap = norn_graph_input_count(g);
    norn_value **v = calloc(cap + 1, sizeof *v), **dd = calloc(cap + 1, sizeof *dd);
    bool ok = (v && dd && alloc_wanted(&w, cap)) || no_memory(t);
    for (size_t i = 0; ok && i < cap; i++) {
        char name[32], *type = NULL;
        snprintf(name, sizeof name, "v_%zu", i);
        if (!norn_archive_has(npz, name))
            continue;
        if (norn_value_type_text(norn_graph_input_at(g, i), &type) == NORN_OK)
            v[w.n] = norn_graph_input(g, name, type);
        norn_text_free(type);
        ok = want(t, &w, norn_graph_input_at(g, i), (int)i, cap);
    }
    if (ok)
        s = norn_grad(g, norn_graph_output_at(g, 0), NULL, w.n, w.all, w.dx);
    ok = ok && (s == NORN_OK || failed(t, s, "second.npz: gradient"));
    ok = ok && add_second(t, g, &w, npz, "grad", w.dx);
    if (ok)
        s = norn_grad(g, sum_of_products(g, w.n, w.dx, v), NULL, w.n, w.all, dd);
    ok = ok && (s == NORN_OK || failed(t, s, "second.npz: second derivative"));
    ok = ok && add_second(t, g, &w, npz, "hvp", dd);
    if (ok)
        s = norn_grad(g, sum_of_products(g, w.n, w.dx, w.dx), NULL, w.n, w.all, dd);
    ok = ok && (s == NORN_OK || failed(t, s, "second.npz: gradient penalty"));
    ok = ok && add_second(t, g, &w, npz, "gradpen_grad", dd);
    if (ok && (s = norn_executable_new(t->session, g, &t->plan, NULL, &t->second.exe)) != NORN_OK)
        ok = failed(t, s, "second.npz");
    free(v);
    free(dd);
    free_wanted(&w);
    norn_graph_free(g);
    return ok;
}

/* v_J in the type of input J. */
static norn_status load_direction(norn_archive *npz, const char *name, norn_dtype type, norn_tensor **out) {
    norn_tensor *stored;
    norn_status s = norn_archive_load(npz, name, &stored);
    if (s != NORN_OK)
        return s;
    s = norn_tensor_new(NULL, type, norn_tensor_rank(stored), norn_tensor_dims(stored), NULL, out);
    for (int64_t i = 0; s == NORN_OK && i < norn_tensor_elems(stored); i++)
        norn_tensor_set(*out, i, norn_tensor_get(stored, i));
    norn_tensor_free(stored);
    return s;
}

static bool check_second(test *t) {
    char *path = path_join(t->folder, "second.npz");
    norn_archive *npz = NULL;
    norn_tensor *v[MAX_INPUTS] = {0};
    norn_feed more[MAX_INPUTS];
    char names[MAX_INPUTS][24];
    size_t n = 0;
    if (!path || !is_file(path)) {
        free(path);
        return true;
    }
    norn_status s = norn_archive_open(path, &npz);
    bool ok = (s == NORN_OK || failed(t, s, "")) && build_second(t, npz);
    const norn_graph *g = norn_model_graph(t->model);
    for (size_t i = 0; ok && i < norn_graph_input_count(g); i++) {
        snprintf(names[i], sizeof names[i], "v_%zu", i);
        if (!norn_archive_has(npz, names[i]))
            continue;
        s = load_direction(npz, names[i], norn_value_dtype(norn_graph_input_at(g, i)), &v[i]);
        ok = s == NORN_OK || failed(t, s, "second.npz");
        more[n++] = (norn_feed){names[i], v[i]};
    }
    ok = ok && run_gradients(t, &t->second, more, n, "second.npz");
    for (size_t i = 0; ok && i < t->second.n; i++) {
        norn_tensor *want_t;
        s = norn_archive_load(npz, t->second.fetches[i].name, &want_t);
        ok = s == NORN_OK ? compare_gradient(t, "second.npz", t->second.fetches[i].name,
                                             t->second.fetches[i].tensor, want_t)
                          : failed(t, s, "");
        norn_tensor_free(want_t);
    }
    for (size_t i = 0; i < MAX_INPUTS; i++)
        norn_tensor_free(v[i]);
    norn_archive_close(npz);
    free(path);
    return ok;
}

/* ---- Sequences and optionals. */
static bool run_contents(test *t, const char *set) {
    const contents_test c = {t->session, t->model, t->model_path, &t->plan, &t->forward};
    char *folder = path_join(t->folder, set), *reason = NULL;
    case_status s = folder ? contents_run(&c, folder, t->r, &reason) : CASE_FAIL;
    free(folder);
    char *missing = s == CASE_UNSUPPORTED ? missing_operators(norn_model_graph(t->model)) : NULL;
    if (missing)
        conclude(t, s, "operators that norn does not have: %s%s%s", missing, reason ? "; " : "",
                 reason ? reason : "");
    else if (s != CASE_OK)
        conclude(t, s, "%s: %s", set, reason ? reason : "out of host memory");
    free(missing);
    free(reason);
    return s == CASE_OK;
}

/* ---- The case. */
static bool check_sets(test *t) {
    name_list entries = {0};
    bool ok = folder_list(t->folder, &entries) || no_memory(t), inputs = false;
    for (size_t i = 0; ok && i < entries.n; i++) {
        const char *set = entries.v[i];
        if (strncmp(set, "test_data_set_", 14) != 0)
            continue;
        if (!t->exe) {
            ok = run_contents(t, set);
            continue;
        }
        ok = read_inputs(t, set) && run_forward(t, set) && check_first(t, set);
        inputs = ok;
    }
    ok = ok && (!inputs || check_second(t)); /* at the inputs of the last data set */
    names_free(&entries);
    return ok;
}

void case_run(norn_session *s, const char *folder, const case_options *o, case_result *out) {
    test t = {.session = s, .folder = folder, .r = out, .plan = o->plan};
    *out = (case_result){.status = CASE_OK};
    t.model_path = path_join(folder, "model.onnx");
    if (set_tolerances(&t, o) && (t.model_path || no_memory(&t)) && load_model(&t))
        check_sets(&t);
    free_gradients(&t.first);
    free_gradients(&t.second);
    for (size_t i = 0; i < MAX_INPUTS; i++)
        norn_tensor_free(t.in[i]);
    norn_executable_free(t.exe);
    norn_model_free(t.model);
    free(t.model_path);
}
