/* SPDX-License-Identifier: Apache-2.0 */
/* A series on a device: its table, its kernel, and the launch. */
#include "graph/series.h"
#include <string.h>

struct norni_loaded_series {
    const norni_series *s;
    norni_kernel *kernel;
    norn_buffer *table;
    char *what;
    double flops, bytes;
    bool reads_run;
};

/* Values in the order in which the text counts them. */
static int64_t *values(const norn_plan *p, const norni_series *s, size_t *n) {
    size_t room = 3 * (size_t)s->n;
    for (int i = 0; i < s->n; i++)
        room += (size_t)p->builder.steps.v[s->first + i]->n_args + 1;
    int64_t *t = norni_alloc_array(room, sizeof *t), *to = t ? t + 3 * s->n : NULL;
    for (int i = 0; i < s->n && t; i++) {
        const norni_step *st = p->builder.steps.v[s->first + i];
        bool kernel = st->kind == NORNI_STEP_KERNEL;
        int64_t bytes = kernel ? 0 : (int64_t)p->builder.bufs.v[st->args[0].ref].bytes;
        for (int d = 0; d < 3; d++)
            t[3 * i + d] = kernel && d < st->dims ? (int64_t)st->global[d] : 1;
        if (st->kind == NORNI_STEP_FILL || st->kind == NORNI_STEP_COPY)
            *to++ = bytes;
        for (int k = 0; k < st->n_args; k++) {
            const norni_arg *a = &st->args[k];
            float f32 = (float)a->f;
            int32_t bits;
            if (a->kind == NORNI_ARG_F32) {
                memcpy(&bits, &f32, sizeof bits);
                *to++ = bits;
            } else if (a->kind == NORNI_ARG_F64)
                memcpy(to++, &a->f, sizeof *to);
            else if (a->kind == NORNI_ARG_I32 || a->kind == NORNI_ARG_I64)
                *to++ = a->i;
        }
    }
    *n = t ? (size_t)(to - t) : 0;
    return t;
}

norni_launch norni_series_range(void) {
    return (norni_launch){.dims = 1, .global = {1, 1, 1}, .local = {1, 1, 1}};
}

static norn_status load(norni_loaded_series *l, norn_context *ctx, const norn_plan *p, norni_program *program,
                        norn_buffer *const *bufs) {
    const norni_series *s = l->s;
    norni_ref refs[NORNI_SERIES_BUFFERS];
    const int32_t run = 0;
    size_t n;
    int n_refs = norni_series_buffers(p, s->first, s->first + s->n, NORNI_SERIES_BUFFERS, refs);
    norni_str what = {0};
    norni_str_addf(&what, "%d steps", s->n);
    for (int i = 0; i < s->n; i++) {
        const norni_step *st = p->builder.steps.v[s->first + i];
        norni_str_addf(&what, "%s %s", i ? "," : ":", st->kernel);
        l->flops += st->flops;
        l->bytes += st->bytes;
        for (int k = 0; k < st->n_args; k++)
            l->reads_run |= st->args[k].kind == NORNI_ARG_RUN;
    }
    int64_t *t = values(p, s, &n);
    l->what = norni_str_take(&what);
    norn_status st = t && l->what ? NORN_OK : norni_nomem();
    if (st == NORN_OK)
        st = norn_buffer_new(ctx, n * sizeof *t, &l->table);
    if (st == NORN_OK)
        st = norn_buffer_write(l->table, 0, t, n * sizeof *t);
    norni_free(t);
    if (st == NORN_OK)
        st = norni_kernel_new(program, norni_series_kernel, &l->kernel);
    if (st == NORN_OK)
        st = norni_kernel_set_buffer(l->kernel, 0, l->table);
    if (st == NORN_OK)
        st = norni_kernel_set_value(l->kernel, 1, &run, sizeof run);
    for (int k = 0; k < n_refs && st == NORN_OK; k++)
        st = norni_kernel_set_buffer(l->kernel, (unsigned)k + 2, bufs[k]);
    return st;
}

norn_status norni_series_load(norn_context *ctx, const norn_plan *p, const norni_series *s,
                              norni_program *program, norn_buffer *const *bufs, norni_loaded_series **out) {
    norni_loaded_series *l = norni_alloc(sizeof *l);
    *out = NULL;
    if (!l)
        return norni_nomem();
    l->s = s;
    norn_status st = load(l, ctx, p, program, bufs);
    if (st != NORN_OK) {
        norni_series_free(l);
        return st;
    }
    *out = l;
    return NORN_OK;
}

norn_status norni_series_launch(const norni_loaded_series *l, uint64_t run) {
    norni_launch launch = norni_series_range();
    const int32_t number = (int32_t)(uint32_t)run;
    launch.what = l->what;
    launch.flops = l->flops;
    launch.bytes = l->bytes;
    if (l->reads_run)
        NORNI_TRY(norni_kernel_set_value(l->kernel, 1, &number, sizeof number));
    return norni_kernel_launch(l->kernel, &launch);
}

void norni_series_free(norni_loaded_series *l) {
    if (!l)
        return;
    norni_kernel_free(l->kernel);
    norn_buffer_free(l->table);
    norni_free(l->what);
    norni_free(l);
}
