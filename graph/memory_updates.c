/* SPDX-License-Identifier: Apache-2.0 */
/* Steps that update states by the same kernel become one, with a part for each (graph/update.c), where that changes no result
 * and does not let the largest sum of live buffers grow by more than 5 %: the earlier ones wait for the last. */
#include "graph/memory.h"
#include <string.h>

static bool touches(const norni_memory *l, const norni_step *s, norni_ref root, unsigned access) {
    for (int k = 0; k < s->n_args; k++)
        if (s->args[k].kind == NORNI_ARG_BUFFER && s->args[k].access & access &&
            l->root[s->args[k].ref] == root)
            return true;
    return false;
}

/* In whichever order they run, even at the same time, a and b do the same. */
static bool independent(const norni_memory *l, const norni_step *a, const norni_step *b) {
    for (int k = 0; k < a->n_args; k++)
        if (a->args[k].kind == NORNI_ARG_BUFFER &&
            touches(l, b, l->root[a->args[k].ref],
                    a->args[k].access & NORNI_WRITE ? NORNI_READ_WRITE : NORNI_WRITE))
            return false;
    return true;
}

static bool same_kernel(const norni_step *a, const norni_step *b) {
    if (!a->parts || !b->parts || a->load || b->load || a->parts->shared != b->parts->shared ||
        a->parts->roles != b->parts->roles || strcmp(a->kernel, b->kernel) != 0 ||
        strcmp(a->source, b->source) != 0 || strcmp(a->options, b->options) != 0)
        return false;
    for (int k = 0; k < a->parts->shared; k++)
        if (a->args[k].ref != b->args[k].ref)
            return false;
    return true;
}

/* Room for n parts. */
static norn_status grow(norn_plan *p, norni_step *s, int n) {
    norni_parts *t = s->parts;
    if (n <= t->room)
        return NORN_OK;
    int room = 2 * n;
    norni_arg *args = norni_arena_array(p->arena, (size_t)(t->shared + room * t->roles), sizeof *args);
    int64_t *elems = norni_arena_array(p->arena, (size_t)room, sizeof *elems);
    if (!args || !elems)
        return norni_nomem();
    memcpy(args, s->args, (size_t)s->n_args * sizeof *args);
    memcpy(elems, t->elems, (size_t)t->n * sizeof *elems);
    s->args = args;
    t->elems = elems;
    t->room = room;
    return NORN_OK;
}

/* Adds the parts of b to a. */
static norn_status join(norn_plan *p, norni_step *a, const norni_step *b) {
    norni_parts *t = a->parts;
    NORNI_TRY(grow(p, a, t->n + b->parts->n));
    for (int k = t->shared; k < b->n_args; k++) {
        a->args[a->n_args] = b->args[k];
        a->args[a->n_args++].part += t->n;
    }
    memcpy(t->elems + t->n, b->parts->elems, (size_t)b->parts->n * sizeof *t->elems);
    t->n += b->parts->n;
    return NORN_OK;
}

/* Puts step i, with what step j does, in j's place; or leaves all as it is. */
static norn_status merge(norni_memory *l, int i, int j, size_t most, size_t *live, bool *done) {
    norni_plan_builder *b = &l->p->builder;
    norni_step *a = b->steps.v[i], *with = b->steps.v[j];
    *done = false;
    if (!same_kernel(a, with))
        return NORN_OK;
    for (int k = i + 1; k <= j; k++)
        if (!independent(l, a, b->steps.v[k]))
            return NORN_OK;
    const norni_step before = *a;
    const norni_parts parts = *a->parts;
    NORNI_TRY(join(l->p, a, with));
    memmove(&b->steps.v[i], &b->steps.v[i + 1], (size_t)(j - i) * sizeof *b->steps.v);
    memmove(&b->steps.v[j], &b->steps.v[j + 1], (b->steps.n - (size_t)j - 1) * sizeof *b->steps.v);
    b->steps.v[j - 1] = a;
    b->steps.n--;
    l->n_steps--;
    if (norni_memory_peak(l, live) <= most) {
        a->flops += with->flops;
        a->bytes += with->bytes;
        *done = true;
        return NORN_OK;
    }
    *a = before;
    *a->parts = parts;
    memmove(&b->steps.v[j + 1], &b->steps.v[j], (b->steps.n - (size_t)j) * sizeof *b->steps.v);
    memmove(&b->steps.v[i + 1], &b->steps.v[i], (size_t)(j - 1 - i) * sizeof *b->steps.v);
    b->steps.v[i] = a;
    b->steps.v[j] = with;
    b->steps.n++;
    l->n_steps++;
    return NORN_OK;
}

norn_status norni_memory_merge_updates(norni_memory *l) {
    norn_plan *p = l->p;
    norni_plan_builder *b = &p->builder;
    size_t *live = norni_arena_array(p->arena, (size_t)l->n_steps + 3, sizeof *live);
    if (!live)
        return norni_nomem();
    size_t most = norni_memory_peak(l, live);
    most += most / 20;
    for (int j = 1; j < l->n_steps; j++) {
        bool done = false;
        for (int i = j; i-- > 0 && !done && b->steps.v[j]->parts;)
            if (b->steps.v[i]->parts)
                NORNI_TRY(merge(l, i, j, most, live, &done));
        j -= done; /* one step less before it */
    }
    for (int i = 0; i < l->n_steps; i++)
        if (b->steps.v[i]->parts)
            norni_update_range(b->steps.v[i], &p->device);
    return NORN_OK;
}
