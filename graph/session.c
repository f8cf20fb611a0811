/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions, state by name, and single operators applied at once. */
#include "graph/session.h"
#include <stdio.h>
#include <string.h>

/* ---- Sessions. */
norn_status norn_session_open(const char *devices, norn_session **out) {
    *out = NULL;
    norn_session *s = norni_alloc(sizeof *s);
    if (!s)
        return norni_nomem();
    s->contexts = norni_alloc_array(1, sizeof *s->contexts);
    norn_status st = s->contexts ? norn_context_open(devices, &s->contexts[0]) : norni_nomem();
    if (st != NORN_OK) {
        norni_free(s->contexts);
        norni_free(s);
        return st;
    }
    s->n = 1;
    *out = s;
    return NORN_OK;
}

size_t norn_session_count(const norn_session *s) {
    return s->n;
}
norn_context *norn_session_context(const norn_session *s, size_t i) {
    return i < s->n ? s->contexts[i] : NULL;
}

/* ---- State. */
norn_status norn_state_new(norn_session *s, norn_state **out) {
    *out = norni_alloc(sizeof **out);
    if (!*out)
        return norni_nomem();
    (*out)->session = s;
    return NORN_OK;
}

void norn_state_free(norn_state *st) {
    if (!st)
        return;
    for (size_t i = 0; i < st->entries.n; i++) {
        norni_free(st->entries.v[i].name);
        norn_buffer_free(st->entries.v[i].buffer);
    }
    norni_vec_free(&st->entries);
    norni_free(st);
}

size_t norn_state_count(const norn_state *st) {
    return st->entries.n;
}
const char *norn_state_name(const norn_state *st, size_t i) {
    return i < st->entries.n ? st->entries.v[i].name : NULL;
}

static norni_state_entry *find(const norn_state *st, const char *name) {
    for (size_t i = 0; i < st->entries.n; i++)
        if (!strcmp(st->entries.v[i].name, name))
            return &st->entries.v[i];
    return NULL;
}

/* in: the buffer that holds it, taken over also on failure; NULL: one of its own is made. */
static norn_status add(norn_state *st, const char *name, const norni_type *type, const norn_tensor *data,
                       norn_buffer *in, norni_state_entry **out) {
    norni_state_entry e = {norni_strdup(name), *type, in};
    size_t bytes = norni_type_bytes(type);
    norn_status s = e.name ? NORN_OK : norni_nomem();
    if (s == NORN_OK && !in)
        s = norn_buffer_new(st->session->contexts[0], bytes ? bytes : 1, &e.buffer);
    if (s == NORN_OK)
        s = data ? norn_buffer_write(e.buffer, 0, norni_tensor_data(data), bytes)
                 : norn_buffer_fill(e.buffer, 0, bytes, 0);
    if (data)
        norni_tensor_forget(data);
    if (s == NORN_OK && !NORNI_PUSH(&st->entries, e))
        s = norni_nomem();
    if (s != NORN_OK) {
        norni_free(e.name);
        norn_buffer_free(e.buffer);
        return norni_prefix(s, "state '%s'", name);
    }
    if (out)
        *out = &st->entries.v[st->entries.n - 1];
    return NORN_OK;
}

/* The bytes that a value takes of a piece that is shared; 0: it has, or gets, a buffer of its own or in another piece. */
static size_t bytes_to_place(const norn_state *st, const norn_value *v) {
    const norni_state_entry *e = find(st, v->name);
    size_t at;
    if (e && (!norni_type_equal(&e->type, &v->type) || norni_buffer_whole(e->buffer, &at) != e->buffer ||
              !norni_buffer_alone(e->buffer)))
        return 0;
    return norni_type_bytes(&v->type);
}

static norn_status place(norn_state *st, const norn_value *v, norn_buffer *piece, size_t at, size_t bytes) {
    norni_state_entry *e = find(st, v->name);
    norn_buffer *part;
    NORNI_TRY(norni_buffer_sub(piece, at, bytes, &part));
    if (!e)
        return add(st, v->name, &v->type, v->data, part, NULL);
    norn_status s = norni_buffer_copy_async(e->buffer, 0, part, 0, bytes);
    norn_buffer *old = s == NORN_OK ? e->buffer : part;
    e->buffer = s == NORN_OK ? part : e->buffer;
    norn_buffer_free(old);
    return s;
}

/* The states from *i on that fit into one piece. */
static norn_status reserve_piece(norn_state *st, const norn_graph *g, size_t *i) {
    norn_context *ctx = st->session->contexts[0];
    const norn_device *d = norn_context_device(ctx);
    size_t align = d->base_align_bytes ? d->base_align_bytes : 128, total = 0, n = 0, end = *i, at = 0;
    for (; end < g->states.n; end++) {
        size_t bytes = bytes_to_place(st, g->states.v[end].value), from = (total + align - 1) / align * align;
        if (!bytes)
            continue;
        if (n && from + bytes > d->max_alloc_bytes)
            break;
        total = from + bytes;
        n++;
    }
    size_t from = *i;
    norn_buffer *piece;
    *i = end;
    if (n < 2) /* made when it is looked for */
        return NORN_OK;
    NORNI_TRY(norn_buffer_new(ctx, total, &piece));
    norn_status s = NORN_OK;
    for (size_t k = from; k < end && s == NORN_OK; k++) {
        size_t bytes = bytes_to_place(st, g->states.v[k].value);
        if (!bytes)
            continue;
        s = place(st, g->states.v[k].value, piece, at, bytes);
        at = (at + bytes + align - 1) / align * align;
    }
    norn_buffer_free(piece); /* its parts hold it */
    return s;
}

norn_status norni_state_reserve(norn_state *st, const norn_graph *g) {
    for (size_t i = 0; i < g->states.n;)
        NORNI_TRY(reserve_piece(st, g, &i));
    return NORN_OK;
}

norn_status norni_state_find(norn_state *st, const norn_value *v, norn_buffer **out) {
    norni_state_entry *e = find(st, v->name);
    *out = NULL;
    if (!e)
        NORNI_TRY(add(st, v->name, &v->type, v->data, NULL, &e));
    if (!norni_type_equal(&e->type, &v->type)) {
        norni_str a = {0}, b = {0};
        norni_type_print(&a, v->graph, &e->type);
        norni_type_print(&b, v->graph, &v->type);
        norn_status s = norni_fail(NORN_SHAPE, "state '%s' has type %s (the graph wants %s)", v->name,
                                   a.s ? a.s : "", b.s ? b.s : "");
        norni_str_free(&a);
        norni_str_free(&b);
        return s;
    }
    *out = e->buffer;
    return NORN_OK;
}

norn_status norn_state_get(const norn_state *st, const char *name, norn_tensor **out) {
    const norni_state_entry *e = find(st, name);
    *out = NULL;
    if (!e)
        return norni_fail(NORN_ARG, "state '%s': there is none of this name", name);
    NORNI_TRY(norni_tensor_host(e->type.dtype, e->type.rank, e->type.dims, out));
    norn_status s = norn_buffer_read(e->buffer, 0, norni_tensor_data(*out), norni_tensor_bytes(*out));
    if (s != NORN_OK) {
        norn_tensor_free(*out);
        *out = NULL;
    }
    return s;
}

norn_status norn_state_set(norn_state *st, const char *name, const norn_tensor *t) {
    norn_tensor *host;
    NORNI_TRY(norn_tensor_copy(t, NULL, &host));
    norni_type type = {.dtype = host->dtype, .rank = host->rank};
    memcpy(type.dims, host->dims, sizeof type.dims);
    norni_state_entry *e = find(st, name);
    norn_status s = NORN_OK;
    if (!e)
        s = add(st, name, &type, host, NULL, &e);
    else if (!norni_type_equal(&e->type, &type))
        s = norni_fail(NORN_SHAPE, "state '%s': got a tensor of another type or shape", name);
    else
        s = norn_buffer_write(e->buffer, 0, norni_tensor_data(host), norni_tensor_bytes(host));
    st->version++;
    norn_tensor_free(host);
    return s;
}

/* ---- One operator at once. */
struct norni_applied {
    char *key;
    norn_executable *exe;
};

enum { KEEP_APPLIED = 64 };

static void free_applied(norni_applied *a) {
    if (a) {
        norn_executable_free(a->exe);
        norni_free(a->key);
        norni_free(a);
    }
}

void norn_session_close(norn_session *s) {
    if (!s)
        return;
    for (size_t i = 0; i < s->applied.n; i++)
        free_applied(s->applied.v[i]);
    norni_vec_free(&s->applied);
    for (size_t i = 0; i < s->n; i++)
        norn_context_close(s->contexts[i]);
    norni_free(s->contexts);
    norni_free(s);
}

static norn_status make_applied(norn_session *s, const char *key, const char *op, size_t n_in,
                                norn_tensor *const *in, size_t n_out, norni_applied **out) {
    norn_graph *g;
    norn_value *vin[32], *vout[32];
    char name[16];
    NORNI_TRY(norn_graph_new(op, &g));
    for (size_t i = 0; i < n_in; i++) {
        norni_type t = {0};
        vin[i] = NORNI_NONE;
        if (!in[i])
            continue;
        t.dtype = in[i]->dtype;
        t.rank = in[i]->rank;
        memcpy(t.dims, in[i]->dims, sizeof t.dims);
        snprintf(name, sizeof name, "in%zu", i);
        vin[i] = norni_value_input(g, name, &t);
    }
    norn_status st = norn_graph_apply(g, op, n_in, vin, n_out, vout);
    for (size_t i = 0; i < n_out && st == NORN_OK; i++) {
        snprintf(name, sizeof name, "out%zu", i);
        st = norn_graph_output(g, name, vout[i]);
    }
    norni_applied *a = st == NORN_OK ? norni_alloc(sizeof *a) : NULL;
    if (a) {
        a->key = norni_strdup(key);
        st = a->key ? norn_executable_new(s, g, NULL, NULL, &a->exe) : norni_nomem();
    } else if (st == NORN_OK)
        st = norni_nomem();
    if (st == NORN_OK && s->applied.n >= KEEP_APPLIED) {
        free_applied(s->applied.v[0]);
        memmove(s->applied.v, s->applied.v + 1, --s->applied.n * sizeof *s->applied.v);
    }
    if (st == NORN_OK && !NORNI_PUSH(&s->applied, a))
        st = norni_nomem();
    norn_graph_free(g);
    if (st != NORN_OK) {
        free_applied(a);
        a = NULL;
    }
    *out = a;
    return st;
}

norn_status norn_session_apply(norn_session *s, const char *op, size_t n_in, norn_tensor *const *in,
                               size_t n_out, norn_tensor **out) {
    for (size_t i = 0; i < n_out; i++)
        out[i] = NULL;
    if (!op || n_in > 32 || n_out < 1 || n_out > 32)
        return norni_fail(NORN_ARG, "apply: %zu inputs, %zu outputs (wanted at most 32, and one output)",
                          n_in, n_out);
    norni_str key = {0};
    norni_str_addf(&key, "%s => %zu", op, n_out);
    for (size_t i = 0; i < n_in; i++) {
        char shape[128];
        if (in[i])
            norni_str_addf(&key, " %s%s", norni_dtype_name(in[i]->dtype),
                           norni_shape_text(in[i]->rank, in[i]->dims, shape));
        else
            norni_str_add(&key, " _");
    }
    norni_applied *a = NULL;
    for (size_t i = s->applied.n; i-- > 0 && !a && key.s;)
        if (!strcmp(s->applied.v[i]->key, key.s)) {
            a = s->applied.v[i];
            memmove(&s->applied.v[i], &s->applied.v[i + 1], (s->applied.n - i - 1) * sizeof *s->applied.v);
            s->applied.v[s->applied.n - 1] = a;
        }
    norn_status st = key.failed ? norni_nomem() : NORN_OK;
    if (st == NORN_OK && !a)
        st = make_applied(s, key.s, op, n_in, in, n_out, &a);
    norni_str_free(&key);
    norn_feed feeds[32];
    norn_fetch fetches[32];
    char names[64][16];
    size_t n_feeds = 0;
    for (size_t i = 0; i < n_in && st == NORN_OK; i++)
        if (in[i]) {
            snprintf(names[i], sizeof names[i], "in%zu", i);
            feeds[n_feeds++] = (norn_feed){names[i], in[i]};
        }
    for (size_t i = 0; i < n_out; i++) {
        snprintf(names[32 + i], sizeof names[0], "out%zu", i);
        fetches[i] = (norn_fetch){names[32 + i], NULL};
    }
    if (st == NORN_OK)
        st = norn_executable_run(a->exe, n_feeds, feeds, n_out, fetches);
    for (size_t i = 0; i < n_out; i++) {
        if (st == NORN_OK)
            st = norn_tensor_copy(fetches[i].tensor, s->contexts[0], &out[i]);
        norn_tensor_free(fetches[i].tensor);
    }
    for (size_t i = 0; i < n_out && st != NORN_OK; i++) {
        norn_tensor_free(out[i]);
        out[i] = NULL;
    }
    return st;
}
