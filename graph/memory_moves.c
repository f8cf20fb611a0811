/* SPDX-License-Identifier: Apache-2.0 */
/* Steps that only copy one range of bytes to another (Concat's inputs, Split's outputs, Slice: where what they move lies
 * in one piece) fall away where the buffers can be laid so that it is there already:
 *
 *   parts   what is moved whole lies within the buffer that it is moved to: whoever makes it writes there. Buffers that hold
 *           several parts move with them, so that of Concat(a, b), Concat(a, b, c), ... only the longest has memory.
 *   views   a buffer that is a range of another lies there.
 *
 * Not done where it would let the largest sum of live buffers grow by more than 5 %: a part keeps the memory of the whole
 * from its making on. */
#include "graph/memory.h"
#include <string.h>

typedef struct {
    norni_memory *l;
    bool *gone;   /* by step */
    size_t *live; /* by step, for the sum */
} moves;

static const norni_step *step_at(const moves *m, int i) {
    return m->l->p->builder.steps.v[i];
}

static bool is_result(const norni_plan_builder *b, norni_ref r) {
    return b->bufs.v[r].kind == NORNI_BUF_VALUE && b->bufs.v[r].value->kind == NORNI_RESULT &&
           !b->bufs.v[r].load;
}

size_t norni_memory_peak(norni_memory *l, size_t *live) {
    const norni_place *at = l->p->places;
    size_t sum = 0, most = 0;
    norni_memory_lives(l);
    memset(live, 0, ((size_t)l->n_steps + 3) * sizeof *live);
    for (int r = 0; r < l->n; r++)
        if (l->root[r] == r && l->is_work[r] && at[r].last >= at[r].first) {
            live[at[r].first + 1] += l->p->builder.bufs.v[r].bytes;
            live[at[r].last + 2] -= l->p->builder.bufs.v[r].bytes; /* sums wrap and come out right */
        }
    for (int i = 0; i < l->n_steps + 2; i++) {
        sum += live[i];
        most = sum > most ? sum : most;
    }
    return most;
}

/* Laying buffer r, all of it, into `whole` from `at` on leaves every other step that writes there right: it moves there
 * what r has in that place. */
static bool fits_there(const moves *m, norni_ref r, norni_ref whole, size_t at) {
    const norni_memory *l = m->l;
    const norni_plan_builder *b = &l->p->builder;
    size_t end = at + b->bufs.v[r].bytes;
    for (int j = 0; j < l->n_steps; j++) {
        const norni_step *s = step_at(m, j);
        for (int k = 0; k < s->n_args; k++) {
            const norni_arg *a = &s->args[k];
            if (a->kind != NORNI_ARG_BUFFER || !(a->access & NORNI_WRITE) || l->root[a->ref] != whole)
                continue;
            size_t to = l->shift[a->ref], bytes = b->bufs.v[a->ref].bytes;
            bool moves_it = false;
            if (s->move_bytes && k == 1) {
                to += s->move_to;
                bytes = s->move_bytes;
                moves_it = l->root[s->args[0].ref] == r && at + l->shift[s->args[0].ref] + s->move_from == to;
            }
            if (!moves_it && to < end && at < to + bytes)
                return false;
        }
    }
    return true;
}

static bool written_once(const moves *m, norni_ref r) {
    int n = 0;
    for (int j = 0; j < m->l->n_steps; j++)
        for (int k = 0; k < step_at(m, j)->n_args; k++) {
            const norni_arg *a = &step_at(m, j)->args[k];
            n += a->kind == NORNI_ARG_BUFFER && a->access & NORNI_WRITE && m->l->root[a->ref] == r;
        }
    return n == 1;
}

/* Lays buffer r into `whole` unless then more than `most` bytes are live. */
static bool lay(moves *m, norni_ref r, norni_ref whole, size_t at, size_t most) {
    norni_buf *b = &m->l->p->builder.bufs.v[r];
    b->within = whole + 1;
    b->at = at;
    norni_memory_roots(m->l);
    if (norni_memory_peak(m->l, m->live) <= most)
        return true;
    b->within = 0;
    norni_memory_roots(m->l);
    return false;
}

/* True when step i has become superfluous. */
static bool merge(moves *m, int i, size_t most) {
    norni_memory *l = m->l;
    const norni_plan_builder *b = &l->p->builder;
    const norni_step *s = step_at(m, i);
    size_t align = l->p->device.base_align_bytes;
    if (!s->move_bytes || s->load)
        return false;
    norni_ref src = s->args[0].ref, dst = s->args[1].ref, from = l->root[src], to = l->root[dst];
    size_t x = l->shift[src] + s->move_from, y = l->shift[dst] + s->move_to;
    if (from == to)
        return x == y;
    if (!l->is_work[from] || !l->is_work[to] || !is_result(b, dst))
        return false;
    if (!s->move_from && s->move_bytes == b->bufs.v[src].bytes && is_result(b, from) && is_result(b, to) &&
        y >= x && (y - x) % align == 0 && y - x + b->bufs.v[from].bytes <= b->bufs.v[to].bytes &&
        fits_there(m, from, to, y - x) && lay(m, from, to, y - x, most))
        return true;
    return !s->move_to && s->move_bytes == b->bufs.v[dst].bytes && to == dst && x % align == 0 &&
           b->bufs.v[from].kind == NORNI_BUF_VALUE && written_once(m, to) && lay(m, to, from, x, most);
}

norn_status norni_memory_merge_moves(norni_memory *l) {
    norn_plan *p = l->p;
    norni_plan_builder *b = &p->builder;
    moves m = {.l = l,
               .gone = norni_arena_array(p->arena, (size_t)l->n_steps + 1, sizeof *m.gone),
               .live = norni_arena_array(p->arena, (size_t)l->n_steps + 3, sizeof *m.live)};
    p->moved = norni_arena_array(p->arena, (size_t)l->n_steps + 1, sizeof *p->moved);
    p->moved_before = norni_arena_array(p->arena, (size_t)l->n_steps + 1, sizeof *p->moved_before);
    if (!m.gone || !m.live || !p->moved || !p->moved_before)
        return norni_nomem();
    size_t most = norni_memory_peak(l, m.live), n = 0;
    most += most / 20;
    for (int i = 0; i < l->n_steps; i++)
        m.gone[i] = merge(&m, i, most);
    for (int i = 0; i < l->n_steps; i++) {
        if (!m.gone[i]) {
            b->steps.v[n++] = b->steps.v[i];
            continue;
        }
        p->moved_before[p->n_moved] = (int)n;
        p->moved[p->n_moved++] = b->steps.v[i];
    }
    b->steps.n = n;
    l->n_steps = (int)n;
    return NORN_OK;
}

norn_status norni_memory_verify_moves(const norn_plan *p, int step, bool *valid) {
    for (int i = 0; i < p->n_moved; i++) {
        const norni_step *s = p->moved[i];
        const norni_place *from = &p->places[s->args[0].ref], *to = &p->places[s->args[1].ref];
        if (p->moved_before[i] != step)
            continue;
        if (!norni_plan_valid(p, s->args[0].ref, valid))
            return norni_fail(NORN_INTERNAL,
                              "plan: before step %d: what is moved was overwritten or never written", step);
        if (from->mem != to->mem || from->offset + s->move_from != to->offset + s->move_to)
            return norni_fail(NORN_INTERNAL, "plan: before step %d: what is moved is not in its place", step);
        valid[s->args[1].ref] = true;
    }
    return NORN_OK;
}
