/* SPDX-License-Identifier: Apache-2.0 */
/* The table of a step in parts, and its launches: one for all parts whose buffers lie in the same memory, role by role. States
 * that are made together do (graph/session.c), and so does what lies in the arena, unless that is too large for one piece. */
#include "graph/load_parts.h"
#include <string.h>

typedef struct {
    norni_kernel *kernel;
    size_t groups;
    double share; /* of the elements */
} launch;

struct norni_loaded_parts {
    norn_buffer *table;
    size_t n;
    launch *v;
};

typedef struct {
    const norni_step *s;
    norn_buffer *const *bufs;
    const size_t *elem_bytes;
    uint64_t *rows;
    size_t n_rows;
} making;

static norn_buffer *memory_of(const making *m, int part, int role, size_t *offset) {
    return norni_buffer_whole(m->bufs[m->s->parts->shared + part * m->s->parts->roles + role], offset);
}

static bool same_memory(const making *m, int a, int b) {
    size_t at;
    for (int r = 0; r < m->s->parts->roles; r++)
        if (memory_of(m, a, r, &at) != memory_of(m, b, r, &at))
            return false;
    return true;
}

static void add_rows(making *m, int part) {
    const norni_parts *p = m->s->parts;
    for (int64_t done = 0; done < p->elems[part]; done += p->chunk) {
        uint64_t *row = m->rows + m->n_rows++ * (size_t)(p->roles + 1);
        row[0] = (uint64_t)(p->elems[part] - done < p->chunk ? p->elems[part] - done : p->chunk);
        for (int r = 0; r < p->roles; r++) {
            size_t at;
            memory_of(m, part, r, &at);
            row[r + 1] = at / m->elem_bytes[p->shared + part * p->roles + r] + (uint64_t)done;
        }
    }
}

static norn_status make_kernel(const making *m, norni_program *program, int part, size_t first,
                               norn_buffer *table, norni_kernel **out) {
    const norni_parts *p = m->s->parts;
    const uint64_t from = first;
    norni_kernel *k;
    size_t at;
    NORNI_TRY(norni_kernel_new(program, m->s->kernel, out));
    k = *out;
    for (int i = 0; i < p->shared; i++)
        NORNI_TRY(norni_kernel_set_buffer(k, (unsigned)i, m->bufs[i]));
    for (int r = 0; r < p->roles; r++)
        NORNI_TRY(norni_kernel_set_buffer(k, (unsigned)(p->shared + r), memory_of(m, part, r, &at)));
    NORNI_TRY(norni_kernel_set_buffer(k, (unsigned)(p->shared + p->roles), table));
    NORNI_TRY(norni_kernel_set_value(k, (unsigned)(p->shared + p->roles + 1), &from, sizeof from));
    return norni_kernel_ready(k);
}

/* The rows of parts in the same memory one after the other, and a launch for each such run. */
static norn_status make(making *m, norni_program *program, bool *taken, norni_loaded_parts *out) {
    const norni_parts *p = m->s->parts;
    for (int i = 0; i < p->n; i++) {
        size_t first = m->n_rows;
        int64_t elems = 0, all = 0;
        if (taken[i])
            continue;
        for (int j = i; j < p->n; j++)
            if (!taken[j] && same_memory(m, i, j)) {
                taken[j] = true;
                elems += p->elems[j];
                add_rows(m, j);
            }
        for (int j = 0; j < p->n; j++)
            all += p->elems[j];
        launch *l = &out->v[out->n++];
        *l = (launch){.groups = m->n_rows - first, .share = (double)elems / (double)all};
        NORNI_TRY(make_kernel(m, program, i, first, out->table, &l->kernel));
    }
    return norn_buffer_write(out->table, 0, m->rows, m->n_rows * (size_t)(p->roles + 1) * sizeof *m->rows);
}

norn_status norni_parts_load(norn_context *ctx, const norni_step *s, norni_program *program,
                             norn_buffer *const *bufs, const size_t *elem_bytes, norni_loaded_parts **out) {
    const norni_parts *p = s->parts;
    making m = {.s = s, .bufs = bufs, .elem_bytes = elem_bytes};
    size_t rows = 0, row_bytes = (size_t)(p->roles + 1) * sizeof *m.rows;
    for (int i = 0; i < p->n; i++)
        rows += (size_t)((p->elems[i] + p->chunk - 1) / p->chunk);
    m.rows = norni_alloc_array(rows, row_bytes);
    bool *taken = norni_alloc_array((size_t)p->n, sizeof *taken);
    norni_loaded_parts *l = norni_alloc(sizeof *l);
    *out = NULL;
    if (l)
        l->v = norni_alloc_array((size_t)p->n, sizeof *l->v);
    norn_status st = m.rows && taken && l && l->v ? NORN_OK : norni_nomem();
    if (st == NORN_OK)
        st = norn_buffer_new(ctx, rows * row_bytes, &l->table);
    if (st == NORN_OK)
        st = make(&m, program, taken, l);
    norni_free(m.rows);
    norni_free(taken);
    if (st != NORN_OK) {
        norni_parts_free(l);
        return st;
    }
    *out = l;
    return NORN_OK;
}

norn_status norni_parts_launch(const norni_loaded_parts *p, const norni_step *s) {
    for (size_t i = 0; i < p->n; i++) {
        const launch *v = &p->v[i];
        norni_launch l = {
            .dims = 1, .what = s->what, .flops = s->flops * v->share, .bytes = s->bytes * v->share};
        l.local[0] = s->local[0];
        l.global[0] = v->groups * s->local[0];
        NORNI_TRY(norni_kernel_launch(v->kernel, &l));
    }
    return NORN_OK;
}

void norni_parts_free(norni_loaded_parts *p) {
    if (!p)
        return;
    for (size_t i = 0; p->v && i < p->n; i++)
        norni_kernel_free(p->v[i].kernel);
    norn_buffer_free(p->table);
    norni_free(p->v);
    norni_free(p);
}
