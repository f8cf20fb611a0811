/* SPDX-License-Identifier: Apache-2.0 */
/* Plans of the recurrent operators: the input products of all steps as one, then a launch a step, or one launch in which
 * each work-item takes some sequences through all steps (ops/recurrent.cl). */
#include "ops/gemm.h"
#include "ops/recurrent.h"
#include <stdio.h>
#include <string.h>

/* As many sequences as registers allow, with the least padding. */
norni_recurrent_tile norni_recurrent_tile_of(const norni_emit *e, const norni_recurrent *r,
                                             int accumulators) {
    norni_recurrent_tile t = {.rows = 1, .width = 1, .panel = 32};
    bool cpu = norni_device_is_cpu(e->device);
    int most = cpu ? 24 / accumulators : 4;
    int64_t best = INT64_MAX;
    most = most > 8 ? 8 : most;
    if (cpu) {
        int widest = e->node->in[NORNI_REC_X]->type.dtype == NORN_F64 ? 8 : 16;
        for (t.width = 4; t.width < widest && t.width < r->h;)
            t.width *= 2;
        t.panel = t.width;
    }
    for (int m = most; m >= 1; m--) { /* a tile costs its rows, and the reading of R */
        int64_t cost = norni_ceil_div(r->b, m) * (2 * m + 1);
        if (cost < best) {
            best = cost;
            t.rows = m;
        }
    }
    t.panels = norni_ceil_div(r->h, t.panel);
    return t;
}

static void define_act(norni_emit *e, norni_step *k, int i, const norni_act *a) {
    char name[8], value[40];
    snprintf(name, sizeof name, "F%d", i);
    norni_step_define_text(e, k, name, a->f ? a->f->kernel : "th");
    snprintf(name, sizeof name, "A%d", i);
    snprintf(value, sizeof value, "%.17g", a->alpha);
    norni_step_define_text(e, k, name, value);
    snprintf(name, sizeof name, "B%d", i);
    snprintf(value, sizeof value, "%.17g", a->beta);
    norni_step_define_text(e, k, name, value);
}

void norni_recurrent_defines(norni_emit *e, norni_step *k, const norni_recurrent *r,
                             const norni_recurrent_tile *t, int dir) {
    char clip[40];
    norni_step_define(e, k, "KIND", r->kind);
    norni_step_define(e, k, "G", r->gates);
    norni_step_define(e, k, "W", t->width);
    norni_step_define(e, k, "P", t->panel);
    norni_step_define(e, k, "MB", t->rows);
    norni_step_define(e, k, "BDIM", norni_device_is_cpu(e->device) ? 0 : 1);
    norni_step_define(e, k, "REVERSE", (r->reverse[0] ? 1 : 0) | (r->d == 2 ? 2 : 0));
    for (int i = 0; i < 3; i++)
        define_act(e, k, i, &r->act[dir][i]);
    if (r->clipped) {
        snprintf(clip, sizeof clip, "%.17g", r->clip);
        norni_step_define_text(e, k, "CLIP", clip);
    }
    if (r->couple)
        norni_step_define(e, k, "COUPLE", 1);
    if (r->linear)
        norni_step_define(e, k, "LINEAR", 1);
}

/* How the steps are launched. */
typedef enum { STEPS, RUN, TEAM } way;
enum { TEAM_PARTS = 2, TEAM_APART = 16 }; /* chunks of a member; ints from flag to flag: a cache line */

void norni_recurrent_range(norni_emit *e, norni_step *k, const norni_recurrent *r,
                           const norni_recurrent_tile *t, int directions, bool run) {
    int64_t tiles = norni_ceil_div(r->b, t->rows), units = run ? 1 : norni_ceil_div(r->h, t->width);
    bool cpu = norni_device_is_cpu(e->device);
    norni_step_items(e, k, 3, cpu ? tiles : units, cpu ? units : tiles, directions);
}

/* Nanoseconds of a step in each way, roughly, measured; `accumulators`: gates of a tile of the step kernel. */
typedef struct {
    double run, steps, team;
} step_times;

static step_times estimate(const norni_fit *f, const norni_recurrent *r, int accumulators, int64_t depth) {
    norni_emit e = {.node = f->node, .device = f->device};
    norni_recurrent_tile t = norni_recurrent_tile_of(&e, r, accumulators);
    int64_t units = f->device->compute_units ? f->device->compute_units : 1,
            tiles = norni_ceil_div(r->b, t.rows) * (r->same ? r->d : 1);
    double tile = (double)depth * (t.rows + 1.5) * accumulators / 3,
           bytes = (double)(depth * accumulators) * 4;
    double panel_bytes = bytes * t.panel, all = panel_bytes * (double)t.panels;
    double near = 32, far = 12; /* bytes a nanosecond from the core's second cache, and from beyond */
    /* R stays in a core's cache, or it does not. */
    double whole = panel_bytes / (all > 1.5e6 ? far : near),
           part = panel_bytes / (all > 1.5e6 * (double)units ? far : near);
    step_times s;
    s.run = (double)(norni_ceil_div(tiles, units) * t.panels) * (tile > whole ? tile : whole);
    s.steps = (double)norni_ceil_div(tiles * t.panels, units) * (tile > part ? tile : part) +
              (units > 1 ? 6000 : 2000);
    s.team = (double)norni_ceil_div(tiles * t.panels, units) * tile;
    if (s.team < (double)norni_ceil_div(t.panels, units) * part)
        s.team =
            (double)norni_ceil_div(t.panels, units) * part; /* tiles of sequences share what is read of R */
    s.team += 800;
    return s;
}

/* Why all steps cannot be one launch; NULL: they can. */
static const char *one_launch_fits(const norni_fit *f, norni_recurrent *r) {
    if (!norni_device_is_cpu(f->device))
        return "for CPUs";
    norni_recurrent_of(f->node, r);
    return r->kind == NORNI_GRU && !r->linear ? "a step has two launches" : NULL;
}

const char *norni_recurrent_run_fits(const norni_fit *f, int accumulators, int64_t depth) {
    norni_recurrent r;
    const char *why = one_launch_fits(f, &r);
    if (why || f->wanted)
        return why;
    step_times t = estimate(f, &r, accumulators, depth);
    return t.run < 1.2 * t.steps ? NULL : "launches of single steps use more cores";
}

const char *norni_recurrent_team_fits(const norni_fit *f) {
    enum { MOST = 1 << 22 }; /* elements of all states */
    norni_recurrent r;
    const char *why = one_launch_fits(f, &r);
    if (why)
        return why;
    int states = r.kind == NORNI_LSTM ? 2 : 1;
    if (norni_recurrent_wants(f->node, states + 1) || norni_recurrent_wants(f->node, states + 2))
        return "the gradient wants what each step had";
    if (!r.same)
        return "the directions differ";
    if (!r.s || !r.b || !r.h || r.s > MOST / (r.b * r.h * r.d))
        return "there are too many states to keep, or none";
    if (f->wanted)
        return NULL;
    step_times t = estimate(f, &r, r.gates, r.h);
    return f->device->compute_units > 1 && t.team < 0.7 * t.run && t.team < t.steps
               ? NULL
               : "sharing a step gains nothing";
}

norni_ref norni_recurrent_pack(norni_emit *e, const norni_recurrent *r, const norni_recurrent_tile *t,
                               int gate0, int n, bool transposed) {
    norn_dtype type = e->node->in[NORNI_REC_R]->type.dtype;
    int64_t elems = r->d * t->panels * r->h * n * t->panel;
    char key[64];
    bool fresh;
    snprintf(key, sizeof key, "recurrent %d %d %d %d %d", t->panel, r->gates, gate0, n, transposed);
    norni_ref to =
        norni_emit_packed(e, NORNI_REC_R, norni_dtype_bytes(norni_recurrent_kept(type), elems), key, &fresh);
    if (fresh && elems) {
        norni_step *k =
            norni_emit_kernel(e, "recurrent_pack.cl", transposed ? "rec_pack_t" : "rec_pack", type);
        norni_recurrent_tile plain = {1, 1, t->panel, 0};
        norni_recurrent_defines(e, k, r, &plain, 0);
        norni_step_define(e, k, "NG", n);
        norni_step_buffer(e, k, norni_emit_in(e, NORNI_REC_R), NORNI_READ);
        norni_step_buffer(e, k, to, NORNI_WRITE);
        norni_step_i64(e, k, r->h);
        norni_step_i64(e, k, gate0);
        norni_step_range(k, 3, (size_t)t->panels, (size_t)r->d,
                         (size_t)norni_ceil_div(transposed ? n * r->h : r->h, 16), 1, 1, 1);
    }
    norni_emit_packed_end(e);
    return to;
}

/* ---- Forward. */
typedef struct {
    norni_emit *e;
    norni_recurrent r;
    norn_dtype type, kept;
    bool keep;
    way how;
    norni_ref z, h[2], c, cs, rh, bias, y, cells, done;
} forward;

static norni_ref scratch(norni_emit *e, norn_dtype t, int64_t elems) {
    return norni_emit_scratch(e, norni_dtype_bytes(t, elems > 0 ? elems : 1));
}

static norni_ref emit_bias(norni_emit *e, const norni_recurrent *r, norn_dtype type) {
    int64_t gh = r->gates * r->h, elems = r->d * (gh + (r->linear ? r->h : 0));
    bool fresh;
    if (!norni_recurrent_has(e->node, NORNI_REC_B))
        return -1;
    norni_ref to = norni_emit_packed(e, NORNI_REC_B, norni_dtype_bytes(norni_recurrent_kept(type), elems),
                                     r->linear ? "recurrent bias apart" : "recurrent bias", &fresh);
    if (fresh && elems) {
        norni_step *k = norni_emit_kernel(e, "recurrent_pack.cl", "rec_bias", type);
        norni_recurrent_tile plain = {1, 1, 1, 0};
        norni_recurrent_defines(e, k, r, &plain, 0);
        norni_step_buffer(e, k, norni_emit_in(e, NORNI_REC_B), NORNI_READ);
        norni_step_buffer(e, k, to, NORNI_WRITE);
        norni_step_i64(e, k, r->h);
        norni_step_range(k, 2, (size_t)gh, (size_t)r->d, 1, 0, 0, 0);
    }
    norni_emit_packed_end(e);
    return to;
}

/* z = x W' + b for all steps and directions. */
static norn_status emit_inputs(forward *f) {
    norni_emit *e = f->e;
    const norni_recurrent *r = &f->r;
    int64_t gh = r->gates * r->h;
    norni_product g = {
        .dtype = f->kept,
        .m = r->rows,
        .n = gh,
        .k = r->i,
        .batch = r->d,
        .alpha = 1,
        .beta = 1,
        .a = {.ref = norni_emit_in(e, NORNI_REC_X), .input = NORNI_REC_X, .ld = r->i, .dtype = f->type},
        .b = {.ref = norni_emit_in(e, NORNI_REC_W),
              .input = NORNI_REC_W,
              .trans = true,
              .ld = r->i,
              .stride = r->d > 1 ? gh * r->i : 0,
              .dtype = f->type},
        .c = f->z,
        .ldc = gh,
        .stride_c = r->rows * gh,
        .d = f->bias,
        .d_sn = 1,
        .d_stride = gh};
    return norni_emit_product(e, &g);
}

static void emit_state(norni_emit *e, const norni_recurrent *r, int input, norni_ref to, norn_dtype type) {
    if (!norni_recurrent_has(e->node, input)) {
        norni_emit_fill(e, to, 0);
        return;
    }
    norni_step *k = norni_emit_kernel(e, "recurrent_pack.cl", "rec_state_in", type);
    norni_recurrent_tile plain = {1, 1, 1, 0};
    norni_recurrent_defines(e, k, r, &plain, 0);
    norni_step_buffer(e, k, norni_emit_in(e, input), NORNI_READ);
    norni_step_buffer(e, k, to, NORNI_WRITE);
    norni_step_i64(e, k, r->h);
    norni_step_i64(e, k, r->state_b);
    norni_step_i64(e, k, r->state_d);
    norni_step_range(k, 3, (size_t)r->h, (size_t)r->b, (size_t)r->d, 0, 0, 0);
}

static void emit_result(norni_emit *e, const norni_recurrent *r, int output, norni_ref from,
                        norn_dtype type) {
    if (!norni_recurrent_wants(e->node, output))
        return;
    norni_step *k = norni_emit_kernel(e, "recurrent_pack.cl", "rec_state_out", type);
    norni_recurrent_tile plain = {1, 1, 1, 0};
    norni_recurrent_defines(e, k, r, &plain, 0);
    norni_step_buffer(e, k, from, NORNI_READ);
    norni_step_buffer(e, k, norni_emit_out(e, output), NORNI_WRITE);
    norni_step_i64(e, k, r->h);
    norni_step_i64(e, k, r->state_b);
    norni_step_i64(e, k, r->state_d);
    norni_step_range(k, 3, (size_t)r->h, (size_t)r->b, (size_t)r->d, 0, 0, 0);
}

static int64_t members(const norni_emit *e) {
    return e->device->compute_units ? e->device->compute_units : 1;
}

static void emit_step(forward *f, int64_t step, int part, int ng, norni_ref packed,
                      const norni_recurrent_tile *t, int dir, int directions) {
    norni_emit *e = f->e;
    const norni_recurrent *r = &f->r;
    norni_step *k = norni_emit_kernel(e, "recurrent.cl", "rec_step", f->type);
    norni_recurrent_defines(e, k, r, t, dir);
    norni_step_define(e, k, "NG", ng);
    if (part)
        norni_step_define(e, k, "PART", part);
    if (f->keep)
        norni_step_define(e, k, "KEEP", 1);
    norni_step_buffer(e, k, f->z, f->keep || part == 1 ? NORNI_READ_WRITE : NORNI_READ);
    norni_step_buffer(e, k, packed, NORNI_READ);
    if (f->how != STEPS)
        norni_step_define(e, k, f->how == RUN ? "RUN" : "TEAM", 1);
    norni_step_buffer(e, k, f->h[step & 1], f->how == RUN ? NORNI_READ_WRITE : NORNI_READ);
    norni_step_buffer(e, k, f->h[~step & 1], dir == 0 ? NORNI_WRITE : NORNI_READ_WRITE);
    const int64_t sizes[] = {step, r->s, r->b, r->h, r->row_t, r->row_b, dir};
    norni_step_i64s(e, k, sizeof sizes / sizeof *sizes, sizes);
    if (f->y >= 0 && part != 1) {
        norni_step_define(e, k, "HAS_Y", 1);
        norni_step_buffer(e, k, f->y, NORNI_WRITE);
        norni_step_i64(e, k, r->y_t);
        norni_step_i64(e, k, r->y_b);
        norni_step_i64(e, k, r->y_d);
    }
    if (norni_recurrent_has(e->node, NORNI_REC_LENS)) {
        norni_step_define(e, k, "HAS_LENS", 1);
        norni_step_buffer(e, k, norni_emit_in(e, NORNI_REC_LENS), NORNI_READ);
    }
    if (r->kind == NORNI_LSTM)
        norni_step_buffer(e, k, f->c, f->how == TEAM ? NORNI_READ : NORNI_READ_WRITE);
    if (f->cells >= 0) {
        norni_step_define(e, k, "HAS_CELLS", 1);
        norni_step_buffer(e, k, f->cells, NORNI_WRITE);
    }
    if (r->kind == NORNI_LSTM && norni_recurrent_has(e->node, NORNI_REC_P)) {
        norni_step_define(e, k, "HAS_P", 1);
        norni_step_buffer(e, k, norni_emit_in(e, NORNI_REC_P), NORNI_READ);
    }
    if (r->linear && f->bias >= 0) {
        norni_step_define(e, k, "HAS_RB", 1);
        norni_step_buffer(e, k, f->bias, NORNI_READ);
        norni_step_i64(e, k, r->d * r->gates * r->h);
    }
    if (part)
        norni_step_buffer(e, k, f->rh, part == 1 ? NORNI_WRITE : NORNI_READ);
    if (f->how != TEAM) {
        norni_recurrent_range(e, k, r, t, directions, f->how == RUN);
        return;
    }
    norni_step_define(e, k, "PARTS", TEAM_PARTS);
    norni_step_define(e, k, "APART", TEAM_APART);
    if (!strstr(e->device->name, "Oclgrind")) /* 21.10: "Unsupported instruction: fence" */
        norni_step_define(e, k, "FENCES", 1);
    norni_step_buffer(e, k, f->done, NORNI_READ_WRITE);
    if (r->kind == NORNI_LSTM)
        norni_step_buffer(e, k, f->cs, NORNI_WRITE);
    norni_step_items(e, k, 3, 1, members(e), directions);
}

static norn_status emit_forward(norni_emit *e, way how) {
    forward f = {.e = e, .type = e->node->in[0]->type.dtype, .how = how, .rh = -1, .c = -1, .cells = -1};
    norni_recurrent *r = &f.r;
    norni_recurrent_of(e->node, r);
    int states = r->kind == NORNI_LSTM ? 2 : 1;
    int64_t state = r->d * r->b * r->h;
    bool two = r->kind == NORNI_GRU && !r->linear;
    f.kept = norni_recurrent_kept(f.type);
    f.keep = norni_recurrent_wants(e->node, states + 1) || norni_recurrent_wants(e->node, states + 2);
    f.z = norni_recurrent_wants(e->node, states + 1) ? norni_emit_out(e, states + 1)
                                                     : scratch(e, f.kept, r->d * r->rows * r->gates * r->h);
    if (f.keep && (r->kind == NORNI_LSTM || r->linear))
        f.cells = norni_recurrent_wants(e->node, states + 2) ? norni_emit_out(e, states + 2)
                                                             : scratch(e, f.kept, r->d * r->rows * r->h);
    f.y = norni_recurrent_wants(e->node, 0) ? norni_emit_out(e, 0) : -1;
    f.bias = emit_bias(e, r, f.type);
    for (int i = 0; i < 2; i++)
        f.h[i] = scratch(e, f.kept, how == TEAM && i ? state * r->s : state);
    if (r->kind == NORNI_LSTM)
        f.c = scratch(e, f.kept, state);
    if (how == TEAM) {
        int64_t flags = r->d * r->s * members(e) * TEAM_PARTS * TEAM_APART;
        f.done = norni_emit_scratch(e, (size_t)flags * sizeof(int32_t));
        norni_emit_fill(e, f.done, 0);
        f.cs = r->kind == NORNI_LSTM ? scratch(e, f.kept, state * r->s) : -1;
    }
    if (two)
        f.rh = scratch(e, f.kept, state);
    int first = two ? 2 : r->gates;
    norni_recurrent_tile t = norni_recurrent_tile_of(e, r, first), t2 = norni_recurrent_tile_of(e, r, 1);
    norni_ref packed = norni_recurrent_pack(e, r, &t, 0, first, false);
    norni_ref packed2 = two ? norni_recurrent_pack(e, r, &t2, 2, 1, false) : -1;
    NORNI_TRY(emit_inputs(&f));
    emit_state(e, r, NORNI_REC_H0, f.h[0], f.type);
    if (r->kind == NORNI_LSTM)
        emit_state(e, r, NORNI_REC_C0, f.c, f.type);
    for (int64_t s = 0; s < (how != STEPS && r->s ? 1 : r->s) && state; s++)
        for (int dir = 0; dir < (r->same ? 1 : r->d); dir++) {
            int directions = r->same ? (int)r->d : 1;
            emit_step(&f, s, two ? 1 : 0, first, packed, &t, dir, directions);
            if (two)
                emit_step(&f, s, 2, 1, packed2, &t2, dir, directions);
        }
    emit_result(e, r, 1, f.h[how == TEAM ? 1 : state ? r->s & 1 : 0], f.type);
    if (states == 2)
        emit_result(e, r, 2, how == TEAM ? f.cs : f.c, f.type);
    return e->status;
}

norn_status norni_recurrent_emit(norni_emit *e) {
    return emit_forward(e, STEPS);
}
norn_status norni_recurrent_emit_run(norni_emit *e) {
    return emit_forward(e, RUN);
}
norn_status norni_recurrent_emit_team(norni_emit *e) {
    return emit_forward(e, TEAM);
}
