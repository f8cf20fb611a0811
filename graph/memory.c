/* SPDX-License-Identifier: Apache-2.0 */
/* Where planned buffers lie. A buffer's life spans the steps that touch it or a view of it; buffers that live
 * at the same time do not overlap. Work memory is assigned largest first, each at the lowest offset that is
 * free during its life, which comes within a few percent of the lower bound on networks. */
#include "graph/memory.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef norni_memory layout;

/* The buffer in whose memory r lies, and where in it. */
static norni_ref root_of(const norni_plan_builder *b, norni_ref r, size_t *shift) {
    for (*shift = 0;;)
        if (b->bufs.v[r].alias >= 0)
            r = b->bufs.v[r].alias;
        else if (b->bufs.v[r].within) {
            *shift += b->bufs.v[r].at;
            r = b->bufs.v[r].within - 1;
        } else
            return r;
}

void norni_memory_roots(norni_memory *l) {
    const norni_plan_builder *b = &l->p->builder;
    for (int i = 0; i < l->n; i++) {
        l->root[i] = root_of(b, i, &l->shift[i]);
    }
}

static int state_index(const norn_graph *g, const norn_value *v) {
    for (size_t i = 0; i < g->states.n; i++)
        if (g->states.v[i].value == v)
            return (int)i;
    return -1;
}

void norni_memory_lives(norni_memory *l) {
    norn_plan *p = l->p;
    norni_plan_builder *b = &p->builder;
    for (int r = 0; r < l->n; r++) {
        p->places[r].first = l->n_steps;
        p->places[r].last = -1;
    }
    for (int i = 0; i < l->n_steps; i++)
        for (int k = 0; k < b->steps.v[i]->n_args; k++) {
            const norni_arg *a = &b->steps.v[i]->args[k];
            if (a->kind != NORNI_ARG_BUFFER)
                continue;
            norni_place *at = &p->places[l->root[a->ref]];
            at->first = i < at->first ? i : at->first;
            at->last = i > at->last ? i : at->last;
        }
    for (size_t i = 0; i < p->graph->inputs.n; i++) {
        norni_place *at = &p->places[l->root[b->of_value[p->graph->inputs.v[i]->id]]];
        at->first = -1;
        at->last = p->options.keep_inputs ? l->n_steps : at->last < 0 ? 0 : at->last;
    }
    for (size_t i = 0; i < p->graph->outputs.n; i++) {
        norni_place *at = &p->places[l->root[p->outputs[i]]];
        at->last = l->n_steps;
    }
}

static bool is_constant(const norni_buf *b) {
    return b->kind == NORNI_BUF_PACKED ||
           (b->load && !(b->kind == NORNI_BUF_VALUE && b->value->kind != NORNI_RESULT)) ||
           (b->kind == NORNI_BUF_VALUE && b->value->kind == NORNI_CONST);
}

/* True when `from` may be written into the state's own buffer: written once, and nobody reads the old content
 * after that, nor at that step unless element by element. `copy` is the step that would fall away. */
static bool may_replace(const layout *l, norni_ref from, norni_ref state, const norni_step *copy) {
    const norni_plan_builder *b = &l->p->builder;
    bool written = false;
    for (size_t i = 0; i < l->p->graph->outputs.n; i++)
        if (l->root[l->p->outputs[i]] == state)
            return false;
    for (size_t j = 0; j < b->steps.n; j++) {
        const norni_step *s = b->steps.v[j];
        bool writes = false, reads = false, elementwise = true;
        if (s == copy)
            continue;
        for (int k = 0; k < s->n_args; k++) {
            if (s->args[k].kind != NORNI_ARG_BUFFER)
                continue;
            norni_ref r = l->root[s->args[k].ref];
            writes |= r == from && s->args[k].access & NORNI_WRITE;
            if (r == state) {
                reads = true;
                elementwise &= s->args[k].elementwise && s->args[k].access == NORNI_READ;
            }
        }
        if ((reads && written) || (reads && writes && !elementwise) || (writes && written))
            return false;
        written |= writes;
    }
    return written;
}

/* A state's next content is computed straight into the state's buffer where that is possible: no copy at the
 * end. */
static void merge_states(layout *l) {
    norni_plan_builder *b = &l->p->builder;
    for (size_t i = 0; i < b->steps.n; i++) {
        const norni_step *copy = b->steps.v[i];
        if (copy->kind != NORNI_STEP_COPY || !copy->what || strcmp(copy->what, "state"))
            continue;
        norni_ref from = copy->args[0].ref, state = copy->args[1].ref;
        if (b->bufs.v[from].kind != NORNI_BUF_VALUE || l->root[from] != from ||
            b->bufs.v[from].value->kind != NORNI_RESULT || b->bufs.v[from].load ||
            !may_replace(l, from, state, copy))
            continue;
        b->bufs.v[from].alias = state;
        norni_memory_roots(l);
        memmove(&b->steps.v[i], &b->steps.v[i + 1], (b->steps.n - i - 1) * sizeof *b->steps.v);
        b->steps.n--;
        i--;
    }
    l->n_steps = (int)b->steps.n;
}

/* An output takes the memory of an input that dies at the same step, where the kernel allows it. */
static void merge_in_place(layout *l) {
    norni_plan_builder *b = &l->p->builder;
    norni_place *at = l->p->places;
    for (int i = 0; i < l->n_steps; i++) {
        const norni_step *s = b->steps.v[i];
        for (int o = 0; o < s->n_args; o++) {
            norni_ref out = s->args[o].ref;
            if (s->args[o].kind != NORNI_ARG_BUFFER || s->args[o].access != NORNI_WRITE ||
                l->root[out] != out || b->bufs.v[out].kind != NORNI_BUF_VALUE || at[out].first != i)
                continue;
            for (int k = 0; k < s->n_args; k++) {
                norni_ref in = s->args[k].kind == NORNI_ARG_BUFFER ? l->root[s->args[k].ref] : -1;
                if (in < 0 || !s->args[k].elementwise || s->args[k].part != s->args[o].part ||
                    at[in].last != i || in == out || !l->is_work[in] || !l->is_work[out] ||
                    b->bufs.v[in].bytes != b->bufs.v[out].bytes ||
                    b->bufs.v[s->args[k].ref].bytes != b->bufs.v[in].bytes)
                    continue;
                bool alone = true; /* no other argument of the step lies there */
                for (int j = 0; j < s->n_args; j++)
                    alone &= j == k || s->args[j].kind != NORNI_ARG_BUFFER || l->root[s->args[j].ref] != in;
                if (!alone)
                    continue;
                b->bufs.v[out].alias = in;
                at[in].last = at[out].last;
                norni_memory_roots(l);
                break;
            }
        }
    }
}

static norn_status add_mem(norn_plan *p, norni_mem_kind kind, int *index) {
    norni_mem *m = norni_arena_array(p->arena, (size_t)p->n_mems + 1, sizeof *m);
    if (!m)
        return norni_nomem();
    if (p->n_mems)
        memcpy(m, p->mems, (size_t)p->n_mems * sizeof *m);
    m[p->n_mems].kind = kind;
    p->mems = m;
    *index = p->n_mems++;
    return NORN_OK;
}

static size_t align_up(size_t n, size_t a) {
    return (n + a - 1) / a * a;
}

static norn_status too_large(const norn_plan *p, norni_ref r) {
    const norni_buf *b = &p->builder.bufs.v[r];
    return norni_fail(NORN_NOMEM, "%s%s%s needs %zu bytes in one piece (%s allows %llu)",
                      b->value && b->value->name ? "tensor '" : "a tensor",
                      b->value && b->value->name ? b->value->name : "", b->value && b->value->name ? "'" : "",
                      b->bytes, p->device.name, (unsigned long long)p->device.max_alloc_bytes);
}

static size_t allocation_limit(const norn_plan *p) {
    return p->device.max_alloc_bytes ? p->device.max_alloc_bytes : SIZE_MAX / 4;
}

typedef struct {
    norni_ref r;
    size_t bytes;
} sized;

static int by_size(const void *a, const void *b) {
    const sized *x = a, *y = b;
    return x->bytes != y->bytes ? (x->bytes < y->bytes ? 1 : -1) : x->r - y->r;
}

static int by_offset(const void *a, const void *b) {
    const norni_place *x = *(norni_place *const *)a, *y = *(norni_place *const *)b;
    return x->offset != y->offset ? (x->offset < y->offset ? -1 : 1) : x->first - y->first;
}

/* Places one buffer into the first memory of its kind with room below the allocation limit. */
static norn_status place(layout *l, norni_mem_kind kind, norni_ref r, norni_place **placed, int n_placed,
                         size_t limit) {
    norn_plan *p = l->p;
    norni_place *at = &p->places[r];
    for (int m = 0;; m++) {
        if (m == p->n_mems) {
            int index;
            NORNI_TRY(add_mem(p, kind, &index));
        }
        if (p->mems[m].kind != kind)
            continue;
        size_t offset = 0;
        for (int i = 0; i < n_placed; i++) { /* by offset */
            const norni_place *o = placed[i];
            if (o->mem != m || o->last < at->first || o->first > at->last)
                continue;
            if (offset + at->bytes <= o->offset)
                break;
            size_t end = align_up(o->offset + o->bytes, p->device.base_align_bytes);
            offset = end > offset ? end : offset;
        }
        if (offset + at->bytes > limit && offset)
            continue;
        at->mem = m;
        at->offset = offset;
        if (offset + at->bytes > p->mems[m].bytes)
            p->mems[m].bytes = offset + at->bytes;
        return NORN_OK;
    }
}

/* Lays n buffers into memory that those share which do not live at the same time; order: sorted here. */
static norn_status place_by_life(layout *l, norni_mem_kind kind, sized *order, int n) {
    norn_plan *p = l->p;
    norni_place **placed = norni_arena_array(p->arena, (size_t)n, sizeof *placed);
    size_t limit = allocation_limit(p);
    if (!placed)
        return norni_nomem();
    if (n)
        qsort(order, (size_t)n, sizeof *order, by_size);
    for (int i = 0; i < n; i++) {
        if (order[i].bytes > limit)
            return too_large(p, order[i].r);
        NORNI_TRY(place(l, kind, order[i].r, placed, i, limit));
        placed[i] = &p->places[order[i].r];
        int j = i; /* keep `placed` sorted by offset */
        for (; j > 0 && by_offset(&placed[j - 1], &placed[j]) > 0; j--) {
            norni_place *t = placed[j];
            placed[j] = placed[j - 1];
            placed[j - 1] = t;
        }
    }
    return NORN_OK;
}

static norn_status place_work(layout *l) {
    norn_plan *p = l->p;
    sized *order = norni_arena_array(p->arena, (size_t)l->n, sizeof *order);
    size_t *live = norni_arena_array(p->arena, (size_t)l->n_steps + 3, sizeof *live);
    int n = 0;
    if (!order || !live)
        return norni_nomem();
    for (int r = 0; r < l->n; r++)
        if (l->root[r] == r && l->is_work[r] && p->places[r].last >= p->places[r].first) {
            order[n++] = (sized){r, p->places[r].bytes};
            for (int i = p->places[r].first; i <= p->places[r].last; i++)
                live[i + 1] += p->places[r].bytes;
        }
    for (int i = 0; i < l->n_steps + 2; i++)
        p->lower_bound_bytes = live[i] > p->lower_bound_bytes ? live[i] : p->lower_bound_bytes;
    return place_by_life(l, NORNI_MEM_WORK, order, n);
}

/* Constants are laid one after the other; those that only load steps touch go to memory that they share and that is
 * dropped afterwards. */
static norn_status place_constants(layout *l) {
    norn_plan *p = l->p;
    norni_plan_builder *b = &p->builder;
    size_t limit = allocation_limit(p);
    sized *order = norni_arena_array(p->arena, (size_t)l->n, sizeof *order);
    int n = 0;
    if (!order)
        return norni_nomem();
    for (int r = 0; r < l->n; r++) {
        if (l->root[r] != r || !is_constant(&b->bufs.v[r]))
            continue;
        norni_mem_kind kind = NORNI_MEM_LOAD;
        for (size_t i = 0; i < p->graph->outputs.n; i++)
            if (l->root[p->outputs[i]] == r)
                kind = NORNI_MEM_CONST;
        for (int i = 0; i < l->n_steps && kind == NORNI_MEM_LOAD; i++)
            for (int k = 0; k < b->steps.v[i]->n_args && !b->steps.v[i]->load; k++)
                if (b->steps.v[i]->args[k].kind == NORNI_ARG_BUFFER &&
                    l->root[b->steps.v[i]->args[k].ref] == r)
                    kind = NORNI_MEM_CONST;
        if (p->places[r].last < 0)
            continue; /* nobody reads it */
        if (kind == NORNI_MEM_LOAD) {
            order[n++] = (sized){r, p->places[r].bytes};
            continue;
        }
        if (p->places[r].bytes > limit)
            return too_large(p, r);
        int m = 0;
        while (m < p->n_mems && (p->mems[m].kind != kind ||
                                 p->mems[m].bytes + p->places[r].bytes + p->device.base_align_bytes > limit))
            m++;
        if (m == p->n_mems)
            NORNI_TRY(add_mem(p, kind, &m));
        p->places[r].mem = m;
        p->places[r].offset = align_up(p->mems[m].bytes, p->device.base_align_bytes);
        p->mems[m].bytes = p->places[r].offset + p->places[r].bytes;
    }
    return place_by_life(l, NORNI_MEM_LOAD, order, n);
}

norn_status norni_plan_memory(norn_plan *p) {
    norni_plan_builder *b = &p->builder;
    layout l = {.p = p, .n = (int)b->bufs.n, .n_steps = (int)b->steps.n};
    if (!p->device.base_align_bytes)
        p->device.base_align_bytes = 128;
    /* Load steps come first: they are runs of their own. */
    norni_step **sorted = norni_arena_array(p->arena, b->steps.n, sizeof *sorted);
    p->places = norni_arena_array(p->arena, b->bufs.n, sizeof *p->places);
    l.root = norni_arena_array(p->arena, b->bufs.n, sizeof *l.root);
    l.shift = norni_arena_array(p->arena, b->bufs.n, sizeof *l.shift);
    l.is_work = norni_arena_array(p->arena, b->bufs.n, sizeof *l.is_work);
    if (!sorted || !p->places || !l.root || !l.shift || !l.is_work)
        return norni_nomem();
    size_t n = 0;
    for (int load = 1; load >= 0; load--)
        for (size_t i = 0; i < b->steps.n; i++)
            if (b->steps.v[i]->load == (load == 1))
                sorted[n++] = b->steps.v[i];
    if (n)
        memcpy(b->steps.v, sorted, n * sizeof *sorted);
    norni_memory_roots(&l);
    merge_states(&l);
    for (int r = 0; r < l.n; r++) {
        const norni_buf *buf = &b->bufs.v[r];
        p->places[r] = (norni_place){.mem = -1, .state = -1, .bytes = buf->bytes ? buf->bytes : 1};
        if (buf->kind == NORNI_BUF_VALUE && buf->value->kind == NORNI_STATE)
            p->places[r].state = state_index(p->graph, buf->value);
        l.is_work[r] = !is_constant(buf) && p->places[r].state < 0;
    }
    NORNI_TRY(norni_memory_merge_moves(&l));
    NORNI_TRY(norni_memory_merge_updates(&l));
    norni_memory_lives(&l);
    merge_in_place(&l);
    NORNI_TRY(place_work(&l));
    NORNI_TRY(place_constants(&l));
    for (int r = 0; r < l.n; r++)
        if (l.root[r] != r) {
            size_t bytes = p->places[r].bytes;
            p->places[r] = p->places[l.root[r]];
            p->places[r].bytes = bytes;
            p->places[r].offset += l.shift[r];
        }
    uint64_t work = norn_plan_arena_bytes(p), loading = norni_plan_load_bytes(p);
    uint64_t total = norn_plan_peak_bytes(p);
    uint64_t limit = p->options.memory_limit_bytes ? p->options.memory_limit_bytes : p->device.memory_bytes;
    if (limit && total > limit)
        return norni_fail(
            NORN_NOMEM, "the plan needs %llu bytes: %s %llu, constants and state %llu (%s %llu)",
            (unsigned long long)total, work >= loading ? "work" : "while loading",
            (unsigned long long)(work > loading ? work : loading),
            (unsigned long long)norn_plan_constant_bytes(p),
            p->options.memory_limit_bytes ? "the limit is" : "the device has", (unsigned long long)limit);
    return NORN_OK;
}

/* ---- Verification: an independent check of what the functions above produced. */
static norn_status bad_step(const norn_plan *p, int i, const char *what) {
    return norni_fail(NORN_INTERNAL, "plan: step %d (%s): %s", i, p->builder.steps.v[i]->kernel, what);
}

static bool overlap(const norni_place *a, const norni_place *b) {
    if (a->mem < 0 || b->mem < 0)
        return a->mem < 0 && b->mem < 0 && a->state == b->state;
    return a->mem == b->mem && a->offset < b->offset + b->bytes && b->offset < a->offset + a->bytes;
}

bool norni_plan_valid(const norn_plan *p, norni_ref r, const bool *valid) {
    const norni_plan_builder *b = &p->builder; /* a view is valid when what it views is */
    while (!valid[r] && b->bufs.v[r].alias >= 0 && b->bufs.v[r].kind == NORNI_BUF_VALUE &&
           b->bufs.v[r].value->kind == NORNI_RESULT)
        r = b->bufs.v[r].alias;
    return valid[r];
}

static bool load_constant(const norn_plan *p, norni_ref r) {
    const norni_buf *b = &p->builder.bufs.v[r];
    return b->kind == NORNI_BUF_VALUE && b->value->kind == NORNI_CONST && p->places[r].mem >= 0 &&
           p->mems[p->places[r].mem].kind == NORNI_MEM_LOAD;
}

norni_ref norni_plan_upload(const norn_plan *p, int step, int arg) {
    const norni_plan_builder *b = &p->builder;
    const norni_arg *args = b->steps.v[step]->args;
    if (args[arg].kind != NORNI_ARG_BUFFER)
        return -1;
    size_t shift;
    norni_ref r = root_of(b, args[arg].ref, &shift);
    if (!load_constant(p, r) || p->places[r].first != step)
        return -1;
    for (int k = 0; k < arg; k++)
        if (args[k].kind == NORNI_ARG_BUFFER && root_of(b, args[k].ref, &shift) == r)
            return -1;
    return r;
}

/* r's content is there now, and no other's that lay there. */
static void take_place(const norn_plan *p, norni_ref r, bool load, bool *valid) {
    for (size_t i = 0; i < p->builder.bufs.n; i++)
        if ((norni_ref)i != r && overlap(&p->places[i], &p->places[r]) &&
            !(p->places[i].mem >= 0 && p->mems[p->places[i].mem].kind != NORNI_MEM_WORK && !load))
            valid[i] = false;
    valid[r] = true;
}

norn_status norn_plan_verify(const norn_plan *p) {
    const norni_plan_builder *b = &p->builder;
    int n = (int)b->bufs.n, n_steps = (int)b->steps.n;
    /* holder[r]: the buffer's content is valid. Writing a place makes every other buffer there invalid. */
    bool *valid = norni_alloc_array((size_t)n + 1, sizeof *valid);
    if (!valid)
        return norni_nomem();
    for (int r = 0; r < n; r++) {
        const norni_buf *buf = &b->bufs.v[r];
        valid[r] = buf->kind == NORNI_BUF_VALUE && buf->value->kind != NORNI_RESULT && !load_constant(p, r);
    }
    norn_status s = NORN_OK;
    for (int i = 0; i < n_steps && s == NORN_OK; i++) {
        const norni_step *st = b->steps.v[i];
        s = norni_memory_verify_moves(p, i, valid);
        for (int k = 0; k < st->n_args; k++)
            if (norni_plan_upload(p, i, k) >= 0)
                take_place(p, norni_plan_upload(p, i, k), true, valid);
        for (int k = 0; k < st->n_args && s == NORN_OK; k++) {
            const norni_arg *a = &st->args[k];
            if (a->kind != NORNI_ARG_BUFFER)
                continue;
            const norni_place *at = &p->places[a->ref];
            if (at->mem >= 0 && at->offset + at->bytes > p->mems[at->mem].bytes)
                s = bad_step(p, i, "a buffer ends outside its memory");
            if (b->bufs.v[a->ref].block && !st->blocked)
                s = bad_step(p, i, "reads or writes a blocked value in plain form");
            if (a->access & NORNI_READ && !norni_plan_valid(p, a->ref, valid) && b->bufs.v[a->ref].bytes)
                s = bad_step(p, i, "reads a buffer that was overwritten or never written");
            for (int j = 0; j < st->n_args && a->access & NORNI_WRITE && s == NORN_OK; j++)
                if (j != k && st->args[j].kind == NORNI_ARG_BUFFER && st->args[j].ref != a->ref &&
                    overlap(&p->places[st->args[j].ref], at) &&
                    !(st->args[j].elementwise && st->args[j].part == a->part &&
                      p->places[st->args[j].ref].offset == at->offset))
                    s = bad_step(p, i, "writes over another argument");
        }
        for (int k = 0; k < st->n_args && s == NORN_OK; k++) {
            if (st->args[k].kind != NORNI_ARG_BUFFER || !(st->args[k].access & NORNI_WRITE))
                continue;
            take_place(p, st->args[k].ref, st->load, valid);
        }
    }
    if (s == NORN_OK)
        s = norni_memory_verify_moves(p, n_steps, valid);
    for (size_t i = 0; i < p->graph->outputs.n && s == NORN_OK; i++) {
        norni_ref r = p->outputs[i];
        while (!valid[r] && b->bufs.v[r].alias >= 0)
            r = b->bufs.v[r].alias;
        if (!valid[r] && b->bufs.v[r].bytes) /* what has no elements needs no step */
            s = norni_fail(NORN_INTERNAL, "plan: output '%s' does not survive the run",
                           p->graph->outputs.v[i].name);
    }
    norni_free(valid);
    return s;
}
