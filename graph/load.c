/* SPDX-License-Identifier: Apache-2.0 */
/* A plan on a device: memory, programs, kernels with their arguments set once, and the enqueueing of a run.
 */
#include "backend/program.h"
#include "base/vec.h"
#include "graph/load_parts.h"
#include "graph/series.h"
#include "graph/session.h"
#include "ops/kernel_source.h"
#include "ops/tuning.h"
#include <stdio.h>
#include <string.h>

struct norni_loaded {
    norn_context *ctx;
    norn_plan *plan;
    norn_state *state;
    norn_buffer **mems;         /* by memory of the plan; MEM_LOAD ones are dropped after loading */
    norn_buffer **bufs;         /* by planned buffer; NULL where no step reads it */
    norni_kernel **kernels;     /* by step */
    norni_loaded_parts **parts; /* by step; NULL where it is not in parts */
    norni_loaded_series **series;
    uint64_t state_version; /* for which prepacked states are valid */
    bool packs_state, updates_state, quick;
    NORNI_VEC(const norn_tensor *) uploads; /* being written */
    size_t uploading_bytes;
};

const norn_plan *norni_loaded_plan(const norni_loaded *l) {
    return l->plan;
}

void norni_loaded_free(norni_loaded *l) {
    if (!l)
        return;
    if (l->plan) {
        for (size_t i = 0; l->kernels && i < l->plan->builder.steps.n; i++)
            norni_kernel_free(l->kernels[i]);
        for (size_t i = 0; l->parts && i < l->plan->builder.steps.n; i++)
            norni_parts_free(l->parts[i]);
        for (int i = 0; l->series && i < l->plan->n_series; i++)
            norni_series_free(l->series[i]);
        for (size_t i = 0; l->bufs && i < l->plan->builder.bufs.n; i++)
            norn_buffer_free(l->bufs[i]);
        for (int i = 0; l->mems && i < l->plan->n_mems; i++)
            norn_buffer_free(l->mems[i]);
    }
    norni_free(l->kernels);
    norni_free(l->parts);
    norni_free(l->series);
    norni_free(l->bufs);
    norni_free(l->mems);
    norni_vec_free(&l->uploads);
    norn_plan_free(l->plan);
    norni_free(l);
}

/* The device buffer of a planned one, made at first use. */
static norn_status buffer(norni_loaded *l, norni_ref r, norn_buffer **out) {
    const norni_place *at = &l->plan->places[r];
    if (!l->bufs[r] && at->mem >= 0)
        NORNI_TRY(norni_buffer_sub(l->mems[at->mem], at->offset, at->bytes, &l->bufs[r]));
    else if (!l->bufs[r]) {
        norn_buffer *b;
        NORNI_TRY(norni_state_find(l->state, l->plan->graph->states.v[at->state].value, &b));
        l->bufs[r] = norni_buffer_ref(b);
    }
    *out = l->bufs[r];
    return NORN_OK;
}

static norn_status set_arg(norni_loaded *l, norni_kernel *k, unsigned i, const norni_arg *a) {
    norn_buffer *b;
    int32_t i32 = (int32_t)a->i;
    float f32 = (float)a->f;
    switch (a->kind) {
    case NORNI_ARG_BUFFER:
        NORNI_TRY(buffer(l, a->ref, &b));
        return norni_kernel_set_buffer(k, i, b);
    case NORNI_ARG_I32:
        return norni_kernel_set_value(k, i, &i32, sizeof i32);
    case NORNI_ARG_I64:
        return norni_kernel_set_value(k, i, &a->i, sizeof a->i);
    case NORNI_ARG_F32:
        return norni_kernel_set_value(k, i, &f32, sizeof f32);
    case NORNI_ARG_F64:
        return norni_kernel_set_value(k, i, &a->f, sizeof a->f);
    case NORNI_ARG_LOCAL:
        return norni_kernel_set_local(k, i, (size_t)a->i);
    case NORNI_ARG_RUN:
        i32 = (int32_t)(uint32_t)l->state->runs;
        return norni_kernel_set_value(k, i, &i32, sizeof i32);
    }
    return NORN_INTERNAL;
}

/* A kernel, and not as a part of a series. */
static bool launched_alone(const norni_loaded *l, size_t i) {
    return l->plan->builder.steps.v[i]->kind == NORNI_STEP_KERNEL && !norni_series_of(l->plan, i);
}

/* The options of a program that `first` is the first step of: only the kernels that its steps launch are compiled. */
static char *program_options(const norni_loaded *l, size_t first) {
    const norni_plan_builder *b = &l->plan->builder;
    const norni_step *st = b->steps.v[first];
    norni_str s = {0};
    norni_str_add(&s, st->options);
    if (st->file) {
        norni_str_add(&s, " -DNORNI_ONLY");
        for (size_t i = first; i < b->steps.n; i++) {
            const norni_step *other = b->steps.v[i];
            char define[80];
            snprintf(define, sizeof define, " -DK_%s ", other->kernel);
            if (launched_alone(l, i) && norni_same_program(st, other) && !(s.s && strstr(s.s, define)))
                norni_str_add(&s, define);
        }
    }
    return norni_str_take(&s);
}

static norn_status own_kernel_failed(const norni_step *st) {
    char *why = norni_strdup(norn_error());
    norn_status s = norni_fail(NORN_ARG,
                               "%s; a kernel takes %d arguments: a pointer for each input and output, then "
                               "a long for each named size",
                               why ? why : "", st->n_args);
    norni_free(why);
    return s;
}

/* The launches of the steps of the program that `first` is the first step of. */
static norn_status launches(const norni_loaded *l, size_t first, norni_planned_list *out) {
    const norni_plan_builder *b = &l->plan->builder;
    NORNI_VEC(norni_planned) list = {0};
    for (size_t i = first; i < b->steps.n; i++) {
        const norni_step *st = b->steps.v[i];
        if (!launched_alone(l, i) || !norni_same_program(b->steps.v[first], st))
            continue;
        norni_planned p = {.kernel = st->kernel, .launch = {.dims = st->dims}};
        memcpy(p.launch.global, st->global, sizeof p.launch.global);
        memcpy(p.launch.local, st->local, sizeof p.launch.local);
        if (!NORNI_PUSH(&list, p)) {
            norni_vec_free(&list);
            return norni_nomem();
        }
    }
    *out = (norni_planned_list){list.v, list.n};
    return NORN_OK;
}

static norn_status series_source(const norni_loaded *l, int k, norni_program_source *src,
                                 norni_planned_list *planned) {
    const norni_series *s = &l->plan->series[k];
    char *text;
    NORNI_TRY(norni_series_text(l->plan, s, &text));
    *src = (norni_program_source){"steps in one launch", text, norni_strdup("")};
    norni_planned *p = norni_alloc(sizeof *p);
    if (!p || !src->options) {
        norni_free(p);
        return norni_nomem();
    }
    *p = (norni_planned){norni_series_kernel, norni_series_range()};
    *planned = (norni_planned_list){p, 1};
    return NORN_OK;
}

/* The programs of all steps: programs[which[i]] is that of step i; those of series come last. */
typedef struct {
    norni_program **programs;
    size_t *which;
    size_t first_series;
} programs;

static norn_status make_programs(norni_loaded *l, programs *out) {
    const norni_plan_builder *b = &l->plan->builder;
    size_t n = b->steps.n, n_src = 0, room = n + (size_t)l->plan->n_series;
    norni_program_source *src = norni_alloc_array(room, sizeof *src);
    norni_planned_list *planned = norni_alloc_array(room, sizeof *planned);
    size_t *first = norni_alloc_array(n, sizeof *first);
    *out = (programs){norni_alloc_array(room, sizeof *out->programs),
                      norni_alloc_array(n, sizeof *out->which), 0};
    norn_status s = src && planned && out->programs && out->which && first ? NORN_OK : norni_nomem();
    for (size_t i = 0; i < n && s == NORN_OK; i++) {
        const norni_step *st = b->steps.v[i];
        if (!launched_alone(l, i))
            continue;
        size_t k = 0;
        while (k < n_src && !norni_same_program(b->steps.v[first[k]], st))
            k++;
        out->which[i] = k;
        if (k < n_src)
            continue;
        char *text, *options;
        if (st->alone)
            s = (text = norni_strdup(st->source)) ? NORN_OK : norni_nomem();
        else
            s = norni_kernel_text(st->source, st->file, &text);
        if (s != NORN_OK)
            break;
        options = program_options(l, i);
        first[n_src] = i;
        src[n_src++] = (norni_program_source){st->alone  ? st->what
                                              : st->file ? st->file
                                                         : st->kernel,
                                              text, options};
        s = options ? launches(l, i, &planned[n_src - 1]) : norni_nomem();
    }
    out->first_series = n_src;
    for (int k = 0; k < l->plan->n_series && s == NORN_OK; k++, n_src++)
        s = series_source(l, k, &src[n_src], &planned[n_src]);
    if (s == NORN_OK && n_src)
        s = norni_programs_get_for(l->ctx, src, planned, n_src, out->programs);
    for (size_t k = 0; k < n_src; k++) {
        norni_free((char *)src[k].source);
        norni_free((char *)src[k].options);
        norni_free((norni_planned *)planned[k].v);
    }
    norni_free(src);
    norni_free(planned);
    norni_free(first);
    return s;
}

static norn_status make_parts(norni_loaded *l, norni_program *program, size_t i) {
    const norni_step *st = l->plan->builder.steps.v[i];
    norn_buffer **bufs = norni_alloc_array((size_t)st->n_args, sizeof *bufs);
    size_t *elem_bytes = norni_alloc_array((size_t)st->n_args, sizeof *elem_bytes);
    norn_status s = bufs && elem_bytes ? NORN_OK : norni_nomem();
    for (int k = 0; k < st->n_args && s == NORN_OK; k++) {
        norni_ref r = st->args[k].ref;
        elem_bytes[k] = norni_dtype_bytes(l->plan->builder.bufs.v[r].value->type.dtype, 1);
        s = buffer(l, r, &bufs[k]);
    }
    if (s == NORN_OK)
        s = norni_parts_load(l->ctx, st, program, bufs, elem_bytes, &l->parts[i]);
    norni_free(bufs);
    norni_free(elem_bytes);
    return s;
}

static norn_status make_series(norni_loaded *l, const programs *p) {
    const norn_plan *plan = l->plan;
    for (int k = 0; k < plan->n_series; k++) {
        const norni_series *s = &plan->series[k];
        norni_ref refs[NORNI_SERIES_BUFFERS];
        norn_buffer *bufs[NORNI_SERIES_BUFFERS];
        int n = norni_series_buffers(plan, s->first, s->first + s->n, NORNI_SERIES_BUFFERS, refs);
        for (int i = 0; i < n; i++)
            NORNI_TRY(buffer(l, refs[i], &bufs[i]));
        NORNI_TRY(norni_prefix(
            norni_series_load(l->ctx, plan, s, p->programs[p->first_series + (size_t)k], bufs, &l->series[k]),
            "%d steps in one launch", s->n));
    }
    return NORN_OK;
}

static norn_status make_kernels(norni_loaded *l, const programs *p, bool load) {
    const norni_plan_builder *b = &l->plan->builder;
    for (size_t i = 0; i < b->steps.n; i++) {
        const norni_step *st = b->steps.v[i];
        if (!launched_alone(l, i) || st->load != load)
            continue;
        if (st->parts) {
            NORNI_TRY(norni_prefix(make_parts(l, p->programs[p->which[i]], i), "%s", st->what));
            continue;
        }
        norn_status s = norni_kernel_new(p->programs[p->which[i]], st->kernel, &l->kernels[i]);
        for (int k = 0; k < st->n_args && s == NORN_OK; k++)
            s = set_arg(l, l->kernels[i], (unsigned)k, &st->args[k]);
        if (s == NORN_OK)
            s = norni_kernel_ready(l->kernels[i]);
        if (st->alone && s == NORN_INTERNAL) /* the program's own kernel: its mistake, not norn's */
            s = own_kernel_failed(st);
        NORNI_TRY(norni_prefix(s, "%s", st->what ? st->what : st->kernel));
    }
    return NORN_OK;
}

/* ---- Constants. */
enum { UPLOAD_AT_ONCE = 8 << 20 }; /* bytes that may be under way */

/* What is written need not stay in the memory of the host. */
static norn_status uploads_done(norni_loaded *l) {
    NORNI_TRY(norn_context_finish(l->ctx));
    for (size_t i = 0; i < l->uploads.n; i++)
        norni_tensor_forget(l->uploads.v[i]);
    l->uploads.n = 0;
    l->uploading_bytes = 0;
    return NORN_OK;
}

static norn_status upload(norni_loaded *l, norni_ref r) {
    const norni_buf *buf = &l->plan->builder.bufs.v[r];
    const norn_tensor *t = buf->value->data;
    norn_buffer *dev;
    if (!buf->bytes)
        return NORN_OK;
    NORNI_TRY(buffer(l, r, &dev));
    NORNI_TRY(norni_buffer_write_async(dev, 0, norni_tensor_bytes_of(t), buf->bytes));
    if (!NORNI_PUSH(&l->uploads, t))
        return norni_nomem();
    l->uploading_bytes += buf->bytes;
    return l->uploading_bytes > UPLOAD_AT_ONCE ? uploads_done(l) : NORN_OK;
}

/* Those that runs need. */
static norn_status upload_kept(norni_loaded *l) {
    const norn_plan *p = l->plan;
    for (size_t r = 0; r < p->builder.bufs.n; r++) {
        const norni_buf *buf = &p->builder.bufs.v[r];
        if (buf->kind == NORNI_BUF_VALUE && buf->value->kind == NORNI_CONST && p->places[r].mem >= 0 &&
            p->mems[p->places[r].mem].kind == NORNI_MEM_CONST)
            NORNI_TRY(upload(l, (norni_ref)r));
    }
    return NORN_OK;
}

/* ---- Steps. */
static norn_status run_host(norni_loaded *l, const norni_step *s) {
    const norn_node *node = s->node;
    norn_tensor **in = norni_alloc_array((size_t)(node->n_in + node->n_out) + 1, sizeof *in);
    norn_tensor **out = in + node->n_in;
    norn_status st = in ? NORN_OK : norni_nomem();
    norn_buffer *b;
    int arg = 0;
    for (int i = 0; i < node->n_in && st == NORN_OK; i++) {
        if (!node->in[i])
            continue;
        const norni_type *t = &node->in[i]->type;
        st = norni_tensor_host(t->dtype, t->rank, t->dims, &in[i]);
        if (st == NORN_OK)
            st = buffer(l, s->args[arg++].ref, &b);
        if (st == NORN_OK && norni_tensor_bytes(in[i]))
            st = norn_buffer_read(b, 0, norni_tensor_data(in[i]), norni_tensor_bytes(in[i]));
    }
    if (st == NORN_OK)
        st = norni_node_eval_draw(node, in, out, (norni_draw){l->plan->options.seed, l->state->runs});
    for (int k = 0; k < node->n_out && st == NORN_OK; k++)
        if (node->out[k]) {
            st = buffer(l, s->args[arg++].ref, &b);
            if (st == NORN_OK && norni_tensor_bytes(out[k]))
                st = norn_buffer_write(b, 0, norni_tensor_data(out[k]), norni_tensor_bytes(out[k]));
        }
    for (int i = 0; in && i < node->n_in + node->n_out; i++)
        norn_tensor_free(in[i]);
    norni_free(in);
    return st;
}

static norn_status run_gemm(norni_loaded *l, const norni_step *s) {
    norni_gemm g = s->gemm;
    norn_buffer *b[3];
    for (int i = 0; i < 3; i++)
        NORNI_TRY(buffer(l, s->args[i].ref, &b[i]));
    g.a = b[0];
    g.b = b[1];
    g.c = b[2];
    g.what = s->what;
    NORNI_TRY(norni_tuning_blas(l->ctx, g.dtype));
    return norni_blas_gemm(l->ctx, &g);
}

static norn_status run_step(norni_loaded *l, size_t i) {
    const norni_step *s = l->plan->builder.steps.v[i];
    norn_buffer *a = NULL, *b = NULL;
    switch (s->kind) {
    case NORNI_STEP_KERNEL: {
        if (s->parts)
            return norni_parts_launch(l->parts[i], s);
        norni_launch launch = {.dims = s->dims, .what = s->what, .flops = s->flops, .bytes = s->bytes};
        memcpy(launch.global, s->global, sizeof launch.global);
        memcpy(launch.local, s->local, sizeof launch.local);
        for (int k = 0; k < s->n_args; k++)
            if (s->args[k].kind == NORNI_ARG_RUN)
                NORNI_TRY(set_arg(l, l->kernels[i], (unsigned)k, &s->args[k]));
        return norni_kernel_launch(l->kernels[i], &launch);
    }
    case NORNI_STEP_GEMM:
        return run_gemm(l, s);
    case NORNI_STEP_COPY:
        NORNI_TRY(buffer(l, s->args[0].ref, &a));
        NORNI_TRY(buffer(l, s->args[1].ref, &b));
        return norni_buffer_copy_async(a, 0, b, 0, l->plan->builder.bufs.v[s->args[0].ref].bytes);
    case NORNI_STEP_FILL:
        NORNI_TRY(buffer(l, s->args[0].ref, &a));
        return norni_buffer_fill_async(a, 0, l->plan->builder.bufs.v[s->args[0].ref].bytes,
                                       (uint8_t)s->args[1].i);
    case NORNI_STEP_HOST:
        return run_host(l, s);
    }
    return NORN_INTERNAL;
}

static norn_status run_steps(norni_loaded *l, bool load) {
    const norni_plan_builder *b = &l->plan->builder;
    for (size_t i = 0; i < b->steps.n; i++) {
        const norni_step *st = b->steps.v[i];
        if (st->load != load)
            continue;
        for (int k = 0; k < st->n_args && load; k++) {
            norni_ref r = norni_plan_upload(l->plan, (int)i, k);
            if (r >= 0)
                NORNI_TRY(upload(l, r));
        }
        const norni_series *series = norni_series_of(l->plan, i);
        if (series) {
            NORNI_TRY(norni_series_launch(l->series[series - l->plan->series], l->state->runs));
            i += (size_t)series->n - 1;
            continue;
        }
        NORNI_TRY(norni_prefix(run_step(l, i), "%s", st->what ? st->what : "step"));
    }
    return load ? uploads_done(l) : NORN_OK;
}

static norn_status make_memory(norni_loaded *l, bool work) {
    const norn_plan *p = l->plan;
    for (int i = 0; i < p->n_mems; i++)
        if ((p->mems[i].kind == NORNI_MEM_WORK) == work)
            NORNI_TRY(norn_buffer_new(l->ctx, p->mems[i].bytes, &l->mems[i]));
    return NORN_OK;
}

/* What only the load steps touch. */
static void drop_loading(norni_loaded *l) {
    const norn_plan *p = l->plan;
    for (size_t i = 0; i < p->builder.steps.n; i++)
        if (p->builder.steps.v[i]->load) {
            norni_kernel_free(l->kernels[i]);
            l->kernels[i] = NULL;
        }
    for (size_t r = 0; r < p->builder.bufs.n; r++)
        if (p->places[r].mem >= 0 && p->mems[p->places[r].mem].kind == NORNI_MEM_LOAD) {
            norn_buffer_free(l->bufs[r]);
            l->bufs[r] = NULL;
        }
    for (int i = 0; i < p->n_mems; i++)
        if (p->mems[i].kind == NORNI_MEM_LOAD) {
            norn_buffer_free(l->mems[i]);
            l->mems[i] = NULL;
        }
    norni_pool_drop(l->ctx);
}

static bool packs_state(const norn_plan *p) {
    for (size_t i = 0; i < p->builder.steps.n; i++) {
        const norni_step *s = p->builder.steps.v[i];
        for (int k = 0; k < s->n_args && s->load; k++)
            if (s->args[k].kind == NORNI_ARG_BUFFER && p->places[s->args[k].ref].state >= 0)
                return true;
    }
    return false;
}

/* Memory of runs is taken after that of loading was given back. */
static norn_status load_with(norni_loaded *l, const programs *made) {
    NORNI_TRY(make_memory(l, false));
    NORNI_TRY(upload_kept(l));
    NORNI_TRY(make_kernels(l, made, true));
    NORNI_TRY(run_steps(l, true));
    l->state_version = l->state->version;
    l->packs_state = packs_state(l->plan);
    if (!l->packs_state) /* else load steps will run again: what they need must stay */
        drop_loading(l);
    NORNI_TRY(make_memory(l, true));
    NORNI_TRY(make_kernels(l, made, false));
    return make_series(l, made);
}

static norn_status load(norni_loaded *l) {
    norn_plan *p = l->plan;
    l->mems = norni_alloc_array((size_t)p->n_mems, sizeof *l->mems);
    l->bufs = norni_alloc_array(p->builder.bufs.n, sizeof *l->bufs);
    l->kernels = norni_alloc_array(p->builder.steps.n, sizeof *l->kernels);
    l->parts = norni_alloc_array(p->builder.steps.n, sizeof *l->parts);
    l->series = norni_alloc_array((size_t)p->n_series, sizeof *l->series);
    if (!l->mems || !l->bufs || !l->kernels || !l->parts || !l->series)
        return norni_nomem();
    NORNI_TRY(norni_state_reserve(l->state, p->graph));
    for (size_t i = 0; i < p->graph->states.n; i++) { /* every state exists, also one that no step touches */
        norn_buffer *b;
        NORNI_TRY(norni_state_find(l->state, p->graph->states.v[i].value, &b));
        l->updates_state |=
            p->graph->states.v[i].next && p->graph->states.v[i].next != p->graph->states.v[i].value;
    }
    l->quick = norni_plan_quick(p);
    programs made;
    norn_status s = make_programs(l, &made);
    if (s == NORN_BUILD && p->n_series) { /* the driver may take the kernels one by one */
        norni_free(made.programs);
        norni_free(made.which);
        p->n_series = 0;
        s = make_programs(l, &made);
    }
    if (s == NORN_OK)
        s = load_with(l, &made);
    norni_free(made.programs);
    norni_free(made.which);
    return s;
}

norn_status norni_load(norn_context *ctx, norn_plan *plan, norn_state *state, norni_loaded **out) {
    *out = NULL;
    norni_loaded *l = norni_alloc(sizeof *l);
    if (!l) {
        norn_plan_free(plan);
        return norni_nomem();
    }
    *l = (norni_loaded){.ctx = ctx, .plan = plan, .state = state};
    norn_status s = load(l);
    if (s != NORN_OK) {
        norni_loaded_free(l);
        return s;
    }
    *out = l;
    return NORN_OK;
}

/* ---- A run. */
norn_status norni_loaded_feed(norni_loaded *l, size_t input, const norn_tensor *t) {
    const norn_value *v = l->plan->graph->inputs.v[input];
    norn_buffer *b;
    size_t bytes = norni_tensor_bytes(t);
    if (!bytes)
        return NORN_OK;
    NORNI_TRY(buffer(l, l->plan->builder.of_value[v->id], &b));
    if (norni_tensor_is_host(t))
        return norni_buffer_write_async(b, 0, norni_tensor_data(t), bytes);
    return norni_buffer_copy_async(norni_tensor_buffer(t), t->offset_bytes, b, 0, bytes);
}

norn_status norni_loaded_enqueue(norni_loaded *l) {
    if (l->packs_state && l->state_version != l->state->version) {
        NORNI_TRY(run_steps(l, true));
        l->state_version = l->state->version;
    }
    if (l->quick)
        norni_context_watch(l->ctx);
    NORNI_TRY(run_steps(l, false));
    if (l->updates_state)
        l->state->version++;
    return NORN_OK;
}

norn_status norni_loaded_fetch(norni_loaded *l, size_t output, norni_recycler *memory, norn_tensor **out) {
    const norn_plan *p = l->plan;
    const norn_value *v = p->graph->outputs.v[output].value;
    *out = NULL;
    if (v->kind == NORNI_CONST)
        return norni_tensor_pack(v->data, out);
    NORNI_TRY(norni_recycler_tensor(memory, v->type.dtype, v->type.rank, v->type.dims, out));
    norn_buffer *b;
    norn_status s = buffer(l, p->outputs[output], &b);
    if (s == NORN_OK && norni_tensor_bytes(*out))
        s = norni_buffer_read_async(b, 0, norni_tensor_data(*out), norni_tensor_bytes(*out));
    if (s != NORN_OK) {
        norn_tensor_free(*out);
        *out = NULL;
    }
    return s;
}
