/* SPDX-License-Identifier: Apache-2.0 */
#include "sizes.h"
#include "output.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sizes_free(sizes *s) {
    for (size_t i = 0; i < s->n; i++)
        free(s->names[i]);
    free(s->names);
    free(s->values);
    *s = (sizes){0};
}

bool sizes_add(sizes *s, const char *name, int64_t value) {
    char **names = realloc(s->names, (s->n + 1) * sizeof *names);
    if (names)
        s->names = names;
    int64_t *values = realloc(s->values, (s->n + 1) * sizeof *values);
    if (values)
        s->values = values;
    char *copy = text_copy(name);
    if (!names || !values || !copy) {
        free(copy);
        return false;
    }
    s->names[s->n] = copy;
    s->values[s->n++] = value;
    return true;
}

int64_t sizes_find(const sizes *s, const char *name) {
    for (size_t i = 0; i < s->n; i++)
        if (!strcmp(s->names[i], name))
            return s->values[i];
    return -1;
}

int sizes_parse(const text_list *list, sizes *out) {
    for (size_t i = 0; i < list->n; i++) {
        const char *eq = strrchr(list->v[i], '=');
        char *end = NULL;
        long long v = eq ? strtoll(eq + 1, &end, 10) : -1;
        if (!eq || eq == list->v[i] || end == eq + 1 || *end || v < 0 || v > INT64_MAX / 2)
            return usage_error("--dim: got '%s' (wanted NAME=SIZE, as N=8)", list->v[i]);
        char *name = text_of("%.*s", (int)(eq - list->v[i]), list->v[i]);
        bool added = name && sizes_add(out, name, v);
        free(name);
        if (!added)
            return out_of_memory();
    }
    return 0;
}

void value_size_text(const norn_value *v, int i, char *buf, size_t bytes) {
    char *text = NULL, *p;
    snprintf(buf, bytes, "?");
    if (norn_value_type_text(v, &text) != NORN_OK)
        return;
    p = strchr(text, '[');
    for (int k = 0; p && k < i; k++)
        p = strchr(p + 1, ',');
    if (p)
        snprintf(buf, bytes, "%.*s", (int)strcspn(p + 1, ",]"), p + 1);
    norn_text_free(text);
}

/* Calls `see` for each size of an input that is a name. */
static bool each_name(const norn_graph *g, bool (*see)(void *ctx, const char *name), void *ctx) {
    char name[256];
    for (size_t i = 0; i < norn_graph_input_count(g); i++) {
        const norn_value *v = norn_graph_input_at(g, i);
        for (int k = 0; k < norn_value_rank(v); k++)
            if (norn_value_dim(v, k) < 0) {
                value_size_text(v, k, name, sizeof name);
                if (!see(ctx, name))
                    return false;
            }
    }
    return true;
}

typedef struct {
    const char *want;
    size_t len;
    char list[512];
    bool found;
} name_search;

static bool search(void *ctx, const char *name) {
    name_search *s = ctx;
    s->found |= strlen(name) == s->len && !memcmp(name, s->want, s->len);
    size_t n = strlen(s->list);
    if (*name != '?')
        snprintf(s->list + n, sizeof s->list - n, "%s%s", n ? ", " : "", name);
    return true;
}

int sizes_check(const text_list *list, const norn_graph *g) {
    for (size_t i = 0; i < list->n; i++) {
        name_search s = {.want = list->v[i], .len = (size_t)(strrchr(list->v[i], '=') - list->v[i])};
        each_name(g, search, &s);
        if (!s.found)
            return usage_error("--dim: no input has a size called '%.*s' (there are: %s)", (int)s.len, s.want,
                               *s.list ? s.list : "none");
    }
    return 0;
}

bool sizes_learn(sizes *s, const norn_value *input, const norn_tensor *t) {
    char name[256];
    for (int k = 0; k < norn_value_rank(input) && k < norn_tensor_rank(t); k++)
        if (norn_value_dim(input, k) < 0) {
            value_size_text(input, k, name, sizeof name);
            if (sizes_find(s, name) < 0 && !sizes_add(s, name, norn_tensor_dims(t)[k]))
                return false;
        }
    return true;
}

/* ---- Binding. */
typedef struct {
    const sizes *s;
    bool quiet;
    text_list binds; /* owned texts */
} binder;

static bool bind_name(void *ctx, const char *name) {
    binder *b = ctx;
    int64_t v = sizes_find(b->s, name);
    for (size_t i = 0; i < b->binds.n; i++)
        if (!strncmp(b->binds.v[i], name, strlen(name)) && b->binds.v[i][strlen(name)] == '=')
            return true;
    if (v < 0 && *name != '?' && !b->quiet)
        note("size '%s' is not given: 1 (say --dim %s=SIZE)", name, name);
    const char **more = realloc(b->binds.v, (b->binds.n + 1) * sizeof *more);
    char *text = text_of("%s=%lld", name, v < 0 ? 1LL : (long long)v);
    if (more)
        b->binds.v = more;
    if (!more || !text) {
        free(text);
        return false;
    }
    b->binds.v[b->binds.n++] = text;
    return true;
}

static void free_binds(binder *b) {
    for (size_t i = 0; i < b->binds.n; i++)
        free((char *)b->binds.v[i]);
    free(b->binds.v);
}

/* named: a graph all of whose sizes have names. */
static norn_status bind_named(const sizes *s, const norn_graph *named, bool quiet, size_t n_keep,
                              const char *const *keep, norn_graph **out) {
    binder b = {.s = s, .quiet = quiet};
    norn_status st = each_name(named, bind_name, &b)
                         ? norn_graph_bind_keep(named, b.binds.n, b.binds.v, n_keep, keep, out)
                         : NORN_NOMEM;
    free_binds(&b);
    return st;
}

norn_status sizes_bind(const sizes *s, const norn_graph *g, bool quiet, norn_graph **out) {
    norn_graph *named;
    *out = NULL;
    norn_status st = norn_graph_bind(g, 0, NULL, &named); /* unnamed sizes get names here: "?3" */
    if (st == NORN_OK)
        st = bind_named(s, named, quiet, 0, NULL, out);
    norn_graph_free(named);
    return st;
}

norn_status sizes_bind_fed(const norn_graph *g, norn_tensor *const *fed, size_t n_keep,
                           const char *const *keep, norn_graph **out) {
    norn_graph *named;
    sizes s = {0};
    *out = NULL;
    norn_status st = norn_graph_bind_keep(g, 0, NULL, n_keep, keep, &named);
    for (size_t i = 0; st == NORN_OK && i < norn_graph_input_count(named); i++)
        if (!sizes_learn(&s, norn_graph_input_at(named, i), fed[i]))
            st = NORN_NOMEM;
    if (st == NORN_OK)
        st = bind_named(&s, named, true, n_keep, keep, out);
    sizes_free(&s);
    norn_graph_free(named);
    return st;
}

char *sizes_text(const sizes *s, const norn_graph *g) {
    binder b = {.s = s, .quiet = true};
    char text[1024] = "";
    size_t n = 0;
    bool complete = each_name(g, bind_name, &b);
    for (size_t i = 0; i < b.binds.n && n < sizeof text; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s", n ? ", " : "", b.binds.v[i]);
    free_binds(&b);
    return complete ? text_copy(text) : NULL;
}

/* ---- Random numbers: splitmix64 (Steele, Lea, Flood, OOPSLA 2014) over a counter. */
static uint64_t mix(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

void random_fill(norn_tensor *t, uint64_t seed, uint64_t stream) {
    uint64_t base = mix(mix(seed + 1) + stream);
    norn_dtype type = norn_tensor_dtype(t);
    for (int64_t i = 0, n = norn_tensor_elems(t); i < n; i++) {
        uint64_t r = mix(base + (uint64_t)i * 0x9e3779b97f4a7c15u) >> 40; /* 24 bits */
        double v;
        switch (type) {
        case NORN_BOOL:
            v = (double)(r & 1);
            break;
        case NORN_U8:
            v = (double)(r & 255);
            break;
        case NORN_I8:
        case NORN_I16:
        case NORN_I32:
        case NORN_I64:
        case NORN_U16:
        case NORN_U32:
        case NORN_U64:
        case NORN_U4:
        case NORN_I4:
            v = (double)(r & 3);
            break;
        case NORN_U2:
        case NORN_I2:
            v = (double)(r & 1);
            break;
        default:
            v = (double)r / (1 << 24);
        }
        norn_tensor_set(t, i, v);
    }
}

norn_status random_input(const norn_value *input, sizes *s, uint64_t seed, uint64_t stream,
                         norn_tensor **out) {
    int rank = norn_value_rank(input);
    int64_t dims[NORN_MAX_RANK];
    char name[256];
    *out = NULL;
    if (rank < 0)
        note("the rank of input '%s' is not known: a scalar", norn_value_name(input));
    for (int i = 0; i < rank; i++) {
        dims[i] = norn_value_dim(input, i);
        if (dims[i] >= 0)
            continue;
        value_size_text(input, i, name, sizeof name);
        dims[i] = sizes_find(s, name);
        if (dims[i] >= 0)
            continue;
        if (*name == '?')
            note("size %d of input '%s' is not known: 1", i, norn_value_name(input));
        else
            note("size '%s' is not given: 1 (say --dim %s=SIZE)", name, name);
        dims[i] = 1;
        if (!sizes_add(s, name, 1))
            return NORN_NOMEM;
    }
    norn_status st = norn_tensor_new(NULL, norn_value_dtype(input), rank < 0 ? 0 : rank, dims, NULL, out);
    if (st == NORN_OK)
        random_fill(*out, seed, stream);
    return st;
}
