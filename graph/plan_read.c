/* SPDX-License-Identifier: Apache-2.0 */
/* What a plan says of itself: counts, memory, text, kernel sources. */
#include "graph/plan.h"
#include "ops/kernel_source.h"

size_t norn_plan_step_count(const norn_plan *p) {
    return p->builder.steps.n;
}

static uint64_t mem_bytes(const norn_plan *p, norni_mem_kind kind) {
    uint64_t n = 0;
    for (int i = 0; i < p->n_mems; i++)
        n += p->mems[i].kind == kind ? p->mems[i].bytes : 0;
    return n;
}

uint64_t norn_plan_arena_bytes(const norn_plan *p) {
    return mem_bytes(p, NORNI_MEM_WORK);
}

uint64_t norni_plan_load_bytes(const norn_plan *p) {
    return mem_bytes(p, NORNI_MEM_LOAD);
}

uint64_t norn_plan_peak_bytes(const norn_plan *p) {
    uint64_t work = norn_plan_arena_bytes(p), loading = norni_plan_load_bytes(p);
    return (work > loading ? work : loading) + norn_plan_constant_bytes(p);
}

uint64_t norn_plan_constant_bytes(const norn_plan *p) {
    uint64_t n = mem_bytes(p, NORNI_MEM_CONST);
    for (size_t i = 0; i < p->graph->states.n; i++)
        n += norni_type_bytes(&p->graph->states.v[i].value->type);
    return n;
}

static const norni_step *host_step(const norn_plan *p, size_t want, size_t *count) {
    *count = 0;
    for (size_t i = 0; i < p->builder.steps.n; i++)
        if (p->builder.steps.v[i]->kind == NORNI_STEP_HOST && (*count)++ == want)
            return p->builder.steps.v[i];
    return NULL;
}

size_t norn_plan_host_count(const norn_plan *p) {
    size_t n;
    host_step(p, SIZE_MAX, &n);
    return n;
}

const char *norn_plan_host_at(const norn_plan *p, size_t i) {
    size_t n;
    const norni_step *s = host_step(p, i, &n);
    return s ? s->what : NULL;
}

static void print_place(norni_str *s, const norn_plan *p, norni_ref r) {
    static const char *const kinds[] = {"work", "const", "load"};
    const norni_place *at = &p->places[r];
    if (at->mem < 0)
        norni_str_addf(s, "state%d", at->state);
    else
        norni_str_addf(s, "%s%d+%zu", kinds[p->mems[at->mem].kind], at->mem, at->offset);
    norni_str_addf(s, ":%zu", at->bytes);
    if (p->builder.bufs.v[r].block)
        norni_str_addf(s, "/%dc", p->builder.bufs.v[r].block);
}

norn_status norn_plan_print(const norn_plan *p, char **out) {
    norni_str s = {0};
    norni_str_addf(
        &s, "plan for %s: %zu steps, work %llu bytes (lower bound %llu), constants and state %llu bytes\n",
        p->device.name, p->builder.steps.n, (unsigned long long)norn_plan_arena_bytes(p),
        (unsigned long long)p->lower_bound_bytes, (unsigned long long)norn_plan_constant_bytes(p));
    for (size_t i = 0; i < p->builder.steps.n; i++) {
        const norni_step *st = p->builder.steps.v[i];
        norni_str_addf(&s, "%4zu %s%s", i, st->load ? "load " : "", st->kernel);
        if (st->kind == NORNI_STEP_KERNEL) {
            norni_str_addf(&s, " global %zu", st->global[0]);
            for (int k = 1; k < st->dims; k++)
                norni_str_addf(&s, "x%zu", st->global[k]);
            if (st->local[0]) {
                norni_str_addf(&s, " local %zu", st->local[0]);
                for (int k = 1; k < st->dims; k++)
                    norni_str_addf(&s, "x%zu", st->local[k]);
            }
        } else if (st->kind == NORNI_STEP_GEMM)
            norni_str_addf(&s, " m=%lld n=%lld k=%lld batch=%lld", (long long)st->gemm.m,
                           (long long)st->gemm.n, (long long)st->gemm.k, (long long)st->gemm.batch);
        norni_str_addf(&s, "  %s\n", st->what ? st->what : "");
        if (*st->options)
            norni_str_addf(&s, "       options %s\n", st->options);
        norni_str_add(&s, "      ");
        for (int k = 0; k < st->n_args; k++) {
            const norni_arg *a = &st->args[k];
            norni_str_add(&s, " ");
            if (a->kind == NORNI_ARG_BUFFER) {
                norni_str_add(&s, a->access == NORNI_READ ? "<" : a->access == NORNI_WRITE ? ">" : "<>");
                print_place(&s, p, a->ref);
            } else if (a->kind == NORNI_ARG_F32 || a->kind == NORNI_ARG_F64)
                norni_str_add_double(&s, a->f);
            else
                norni_str_addf(&s, "%lld", (long long)a->i);
        }
        norni_str_add(&s, "\n");
    }
    *out = norni_str_take(&s);
    return *out ? NORN_OK : norni_nomem();
}

norn_status norn_plan_source(const norn_plan *p, char **out) {
    norni_str s = {0};
    norn_status st = NORN_OK;
    for (size_t i = 0; i < p->builder.steps.n && st == NORN_OK; i++) {
        const norni_step *a = p->builder.steps.v[i];
        char *text;
        if (a->kind != NORNI_STEP_KERNEL)
            continue;
        norni_str_addf(&s, "/* step %zu: kernel %s, options %s */\n", i, a->kernel, a->options);
        st = a->alone && (text = norni_strdup(a->source)) ? NORN_OK
                                                          : norni_kernel_text(a->source, a->file, &text);
        if (st == NORN_OK)
            norni_str_add(&s, text);
        norni_str_add(&s, "\n");
        if (st == NORN_OK)
            norni_free(text);
    }
    if (st == NORN_OK && s.failed)
        st = norni_nomem();
    *out = st == NORN_OK ? norni_str_take(&s) : NULL;
    norni_str_free(&s);
    return st;
}
