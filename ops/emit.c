/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/emit.h"
#include "ops/blocked.h"
#include "ops/builder.h"
#include "ops/op.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static norni_ref add_buf(norni_plan_builder *b, norni_buf buf) {
    buf.load = b->loading;
    return NORNI_PUSH(&b->bufs, buf) ? (norni_ref)b->bufs.n - 1 : -1;
}

static void *failed(norni_emit *e, norn_status s) {
    if (e->status == NORN_OK)
        e->status = s;
    return NULL;
}

norni_ref norni_builder_value(norni_plan_builder *b, const norn_value *v) {
    bool blocked = b->blocked[v->id];
    norni_ref *r = blocked ? &b->of_blocked[v->id] : &b->of_value[v->id];
    if (*r < 0)
        *r = add_buf(
            b, (norni_buf){.kind = NORNI_BUF_VALUE,
                           .value = v,
                           .bytes = blocked ? norni_blocked_bytes(&v->type) : norni_type_bytes(&v->type),
                           .block = blocked ? norni_block_of(v->type.dtype) : 0,
                           .alias = -1});
    return *r;
}

bool norni_value_steady(const norn_value *v) {
    if (v->kind != NORNI_STATE)
        return v->kind == NORNI_CONST;
    const norn_graph *g = v->graph;
    for (size_t i = 0; i < g->states.n; i++)
        if (g->states.v[i].value == v)
            return !g->states.v[i].next || g->states.v[i].next == v;
    return false;
}

static norni_ref checked(norni_emit *e, norni_ref r) {
    if (r < 0)
        failed(e, norni_nomem());
    return r;
}

norni_ref norni_emit_in(norni_emit *e, int i) {
    const norn_node *n = e->node;
    return i < n->n_in && n->in[i] ? checked(e, norni_builder_value(e->plan, n->in[i])) : -1;
}

norni_ref norni_emit_out(norni_emit *e, int i) {
    const norn_node *n = e->node;
    if (i == 0 && e->epilogue)
        return e->epilogue->out;
    return i < n->n_out && n->out[i] ? checked(e, norni_builder_value(e->plan, n->out[i])) : -1;
}

norni_ref norni_emit_scratch(norni_emit *e, size_t bytes) {
    return checked(e, add_buf(e->plan, (norni_buf){.kind = NORNI_BUF_SCRATCH, .bytes = bytes, .alias = -1}));
}

norni_ref norni_emit_packed(norni_emit *e, int i, size_t bytes, const char *key, bool *fresh) {
    return norni_emit_packed_value(e, e->node->in[i], bytes, key, fresh);
}

norni_ref norni_emit_packed_value(norni_emit *e, const norn_value *v, size_t bytes, const char *key,
                                  bool *fresh) {
    norni_plan_builder *b = e->plan;
    *fresh = true;
    if (!b->steady[v->id])
        return norni_emit_scratch(e, bytes);
    for (size_t k = 0; k < b->bufs.n; k++)
        if (b->bufs.v[k].kind == NORNI_BUF_PACKED && b->bufs.v[k].value == v &&
            !strcmp(b->bufs.v[k].key, key)) {
            *fresh = false;
            return (norni_ref)k;
        }
    norni_buf buf = {.kind = NORNI_BUF_PACKED,
                     .value = v,
                     .key = norni_arena_strdup(e->arena, key),
                     .bytes = bytes,
                     .alias = -1};
    norni_ref r = buf.key ? checked(e, add_buf(b, buf)) : checked(e, -1);
    b->loading = true;
    return r;
}

bool norni_emit_steady(const norni_emit *e, int i) {
    return e->plan->steady[e->node->in[i]->id];
}

void norni_emit_packed_end(norni_emit *e) {
    e->plan->loading = e->plan->load_node;
}

static norni_step *add_step(norni_emit *e, norni_step_kind kind) {
    norni_step *s = norni_arena_alloc(e->arena, sizeof *s);
    if (!s)
        return failed(e, norni_nomem());
    s->kind = kind;
    s->node = e->node;
    s->load = e->plan->loading;
    s->args = norni_arena_array(e->arena, NORNI_MAX_ARGS, sizeof *s->args);
    s->options = "";
    if (!s->args || !NORNI_PUSH(&e->plan->steps, s))
        return failed(e, norni_nomem());
    return s;
}

static const char *dtype_macro(norn_dtype t) {
    switch (t) {
    case NORN_F32:
        return "-DT_F32";
    case NORN_F64:
        return "-DT_F64";
    case NORN_F16:
        return "-DT_F16";
    case NORN_BF16:
        return "-DT_BF16";
    case NORN_I8:
        return "-DT_I8";
    case NORN_U8:
        return "-DT_U8";
    case NORN_BOOL:
        return "-DT_BOOL";
    case NORN_I16:
        return "-DT_I16";
    case NORN_U16:
        return "-DT_U16";
    case NORN_I32:
        return "-DT_I32";
    case NORN_U32:
        return "-DT_U32";
    case NORN_I64:
        return "-DT_I64";
    case NORN_U64:
        return "-DT_U64";
    default:
        return "";
    }
}

norni_step *norni_emit_kernel(norni_emit *e, const char *file, const char *kernel, norn_dtype dtype) {
    norni_step *s = add_step(e, NORNI_STEP_KERNEL);
    if (s) {
        s->file = file;
        s->kernel = kernel;
        s->options = dtype_macro(dtype);
    }
    return s;
}

norni_step *norni_emit_source(norni_emit *e, const char *name, const char *source, const char *kernel) {
    norni_step *s = add_step(e, NORNI_STEP_KERNEL);
    if (s) {
        s->kernel = kernel;
        s->source = norni_arena_strdup(e->arena, source);
        s->file = NULL;
        s->what = name;
        if (!s->source)
            return failed(e, norni_nomem());
    }
    return s;
}

norni_step *norni_emit_gemm(norni_emit *e, const norni_gemm *gemm, norni_ref a, norni_ref b, norni_ref c) {
    norni_step *s = add_step(e, NORNI_STEP_GEMM);
    if (s) {
        s->gemm = *gemm;
        s->kernel = "CLBlast";
        norni_step_buffer(e, s, a, NORNI_READ);
        norni_step_buffer(e, s, b, NORNI_READ);
        norni_step_buffer(e, s, c, gemm->beta != 0 ? NORNI_READ_WRITE : NORNI_WRITE);
    }
    return s;
}

norni_step *norni_emit_copy(norni_emit *e, norni_ref from, norni_ref to) {
    norni_step *s = add_step(e, NORNI_STEP_COPY);
    if (s) {
        s->kernel = "copy";
        norni_step_buffer(e, s, from, NORNI_READ);
        norni_step_buffer(e, s, to, NORNI_WRITE);
    }
    return s;
}

norni_step *norni_emit_fill(norni_emit *e, norni_ref to, uint8_t byte) {
    norni_step *s = add_step(e, NORNI_STEP_FILL);
    if (s) {
        s->kernel = "fill";
        norni_step_buffer(e, s, to, NORNI_WRITE);
        norni_step_i32(e, s, byte);
    }
    return s;
}

void norni_step_define_text(norni_emit *e, norni_step *s, const char *name, const char *value) {
    if (!s)
        return;
    const char *o =
        norni_arena_printf(e->arena, "%s%s-D%s=%s", s->options, *s->options ? " " : "", name, value);
    if (o)
        s->options = o;
    else
        failed(e, norni_nomem());
}

void norni_step_define(norni_emit *e, norni_step *s, const char *name, int64_t value) {
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)value);
    norni_step_define_text(e, s, name, text);
}

static void add_arg(norni_emit *e, norni_step *s, norni_arg a) {
    if (!s)
        return;
    if (s->kind != NORNI_STEP_HOST && s->n_args == NORNI_MAX_ARGS)
        failed(e, norni_fail(NORN_INTERNAL, "kernel %s: more than %d arguments", s->kernel, NORNI_MAX_ARGS));
    else
        s->args[s->n_args++] = a;
}

void norni_step_buffer(norni_emit *e, norni_step *s, norni_ref ref, norni_access access) {
    if (s && ref < 0 && e->status == NORN_OK)
        failed(e,
               norni_fail(NORN_INTERNAL, "kernel %s: argument %d is an absent buffer", s->kernel, s->n_args));
    add_arg(e, s, (norni_arg){.kind = NORNI_ARG_BUFFER, .access = access, .ref = ref});
}

void norni_step_i32(norni_emit *e, norni_step *s, int64_t v) {
    if (v < INT32_MIN || v > INT32_MAX)
        failed(e, norni_fail(NORN_UNSUPPORTED, "kernel %s: the size %lld is beyond 32 bits",
                             s ? s->kernel : "?", (long long)v));
    add_arg(e, s, (norni_arg){.kind = NORNI_ARG_I32, .i = v});
}

void norni_random_key(uint64_t seed, float node_seed, uint32_t key[2]) {
    key[0] = (uint32_t)seed;
    key[1] = (uint32_t)(seed >> 32);
    if (!isnan(node_seed)) {
        memcpy(key, &node_seed, sizeof node_seed);
        key[1] = 1;
    }
}

void norni_random_block(const uint32_t key[2], uint64_t i, uint64_t run, uint64_t stream, uint32_t out[4]) {
    norni_philox(key, (const uint32_t[]){(uint32_t)i, (uint32_t)run, (uint32_t)stream, NORNI_STREAM_NODE},
                 out);
}

void norni_step_random(norni_emit *e, norni_step *s, float node_seed) {
    uint32_t key[2];
    norni_random_key(e->seed, node_seed, key);
    norni_step_define(e, s, "NORNI_PHILOX", NORNI_STREAM_NODE);
    norni_step_i32(e, s, (int32_t)key[0]);
    norni_step_i32(e, s, (int32_t)key[1]);
    add_arg(e, s, (norni_arg){.kind = NORNI_ARG_RUN});
    norni_step_i32(e, s, (int32_t)(uint32_t)e->node->stream);
}

void norni_step_i64(norni_emit *e, norni_step *s, int64_t v) {
    add_arg(e, s, (norni_arg){.kind = NORNI_ARG_I64, .i = v});
}

void norni_step_i64s(norni_emit *e, norni_step *s, size_t n, const int64_t *v) {
    for (size_t i = 0; i < n; i++)
        norni_step_i64(e, s, v[i]);
}

void norni_step_f32(norni_emit *e, norni_step *s, double v) {
    add_arg(e, s, (norni_arg){.kind = NORNI_ARG_F32, .f = v});
}

void norni_step_real(norni_emit *e, norni_step *s, norn_dtype dtype, double v) {
    add_arg(e, s, (norni_arg){.kind = dtype == NORN_F64 ? NORNI_ARG_F64 : NORNI_ARG_F32, .f = v});
}

void norni_step_local(norni_emit *e, norni_step *s, size_t bytes) {
    add_arg(e, s, (norni_arg){.kind = NORNI_ARG_LOCAL, .i = (int64_t)bytes});
}

static size_t round_up(size_t g, size_t l) {
    return l ? (g + l - 1) / l * l : g;
}

void norni_step_range(norni_step *s, int dims, size_t g0, size_t g1, size_t g2, size_t l0, size_t l1,
                      size_t l2) {
    if (!s)
        return;
    s->dims = dims;
    s->global[0] = round_up(g0, l0);
    s->global[1] = round_up(g1, l1);
    s->global[2] = round_up(g2, l2);
    s->local[0] = l0;
    s->local[1] = l1;
    s->local[2] = l2;
}

void norni_step_items(norni_emit *e, norni_step *s, int dims, int64_t g0, int64_t g1, int64_t g2) {
    size_t local = norni_device_is_cpu(e->device) || g0 < 32 ? 1 : 64;
    norni_step_range(s, dims, (size_t)g0, (size_t)g1, (size_t)g2, local, 1, 1);
}

void norni_emit_epilogue(norni_emit *e, norni_step *s, norni_lanes lanes, unsigned widths) {
    if (e->epilogue && s)
        e->epilogue->attach(e, s, lanes, widths);
}

void norni_emit_epilogue_once(norni_emit *e, norni_step *s, norni_lanes lanes, unsigned widths) {
    if (e->epilogue)
        e->epilogue->once = true;
    norni_emit_epilogue(e, s, lanes, widths);
    if (e->epilogue)
        e->epilogue->once = false;
}
