/* SPDX-License-Identifier: Apache-2.0 */
/* Plans of the recurrent operators' gradients: a launch a step back through time, or one for all steps, which leaves the gradients of all gates'
 * sums; then the gradients of X, W and R as one product each, over all steps (ops/recurrent.cl). */
#include "ops/gemm.h"
#include "ops/recurrent.h"

typedef struct {
    norni_emit *e;
    norni_recurrent r;
    norn_dtype type, kept;
    bool run;
    norni_ref z, dz, dr, carry, dc, cells, before, rh, db, dp;
} backward;

static norni_ref scratch(norni_emit *e, norn_dtype t, int64_t elems) {
    return norni_emit_scratch(e, norni_dtype_bytes(t, elems > 0 ? elems : 1));
}
static norni_ref in(const backward *b, int i) {
    return norni_recurrent_has(b->e->node, i) ? norni_emit_in(b->e, i) : -1;
}

static norni_step *state_step(backward *b, const char *kernel, norni_ref from, norni_ref to) {
    const norni_recurrent *r = &b->r;
    norni_recurrent_tile plain = {1, 1, 1, 0};
    norni_step *k = norni_emit_kernel(b->e, "recurrent_pack.cl", kernel, b->type);
    norni_recurrent_defines(b->e, k, r, &plain, 0);
    norni_step_buffer(b->e, k, from, NORNI_READ);
    norni_step_buffer(b->e, k, to, NORNI_WRITE);
    norni_step_i64(b->e, k, r->h);
    norni_step_i64(b->e, k, r->state_b);
    norni_step_i64(b->e, k, r->state_d);
    norni_step_range(k, 3, (size_t)r->h, (size_t)r->b, (size_t)r->d, 0, 0, 0);
    return k;
}

/* What a state's gradient begins with. */
static norni_ref begin(backward *b, int input) {
    norni_ref to = scratch(b->e, b->kept, b->r.d * b->r.b * b->r.h), from = in(b, input);
    if (from < 0)
        norni_emit_fill(b->e, to, 0);
    else
        state_step(b, "rec_state_in", from, to);
    return to;
}

static void add_lens(backward *b, norni_step *k) {
    if (in(b, NORNI_REC_LENS) < 0)
        return;
    norni_step_define(b->e, k, "HAS_LENS", 1);
    norni_step_buffer(b->e, k, in(b, NORNI_REC_LENS), NORNI_READ);
}

static void add_initial(backward *b, norni_step *k, int input, const char *name) {
    if (in(b, input) < 0)
        return;
    norni_step_define(b->e, k, name, 1);
    norni_step_buffer(b->e, k, in(b, input), NORNI_READ);
    norni_step_i64(b->e, k, b->r.state_b);
    norni_step_i64(b->e, k, b->r.state_d);
}

/* h before each step. */
static norni_ref emit_before(backward *b) {
    norni_emit *e = b->e;
    const norni_recurrent *r = &b->r;
    norni_ref to = scratch(e, b->kept, r->d * r->rows * r->h);
    norni_recurrent_tile t = norni_recurrent_tile_of(e, r, 1);
    norni_step *k = norni_emit_kernel(e, "recurrent.cl", "rec_before", b->type);
    norni_recurrent_defines(e, k, r, &t, 0);
    norni_step_buffer(e, k, in(b, r->first + NORNI_REC_Y), NORNI_READ);
    norni_step_buffer(e, k, to, NORNI_WRITE);
    const int64_t sizes[] = {r->s, r->b, r->h, r->y_t, r->y_b, r->y_d, r->row_t, r->row_b};
    norni_step_i64s(e, k, sizeof sizes / sizeof *sizes, sizes);
    add_initial(b, k, NORNI_REC_H0, "HAS_H0");
    add_lens(b, k);
    norni_step_items(e, k, 3, (r->h + t.width - 1) / t.width, r->rows, r->d);
    return to;
}

/* Step `step` (as counted forward); last: what reaches the initial state instead. */
static void emit_back(backward *b, int64_t step, bool first, bool last, int part, int64_t depth,
                      norni_ref packed, const norni_recurrent_tile *t, int dir, int directions) {
    norni_emit *e = b->e;
    const norni_recurrent *r = &b->r;
    norni_step *k = norni_emit_kernel(e, "recurrent.cl", "rec_back", b->type);
    norni_recurrent_defines(e, k, r, t, dir);
    norni_step_define(e, k, "NG", 1);
    if (part)
        norni_step_define(e, k, "PART", part);
    if (last)
        norni_step_define(e, k, "LAST", 1);
    bool run = b->run && !last;
    if (run)
        norni_step_define(e, k, "RUN", 1);
    norni_access written = first && part != 2 && dir == 0 ? NORNI_WRITE : NORNI_READ_WRITE;
    norni_step_buffer(e, k, b->z, NORNI_READ);
    norni_step_buffer(e, k, b->dz, written);
    norni_step_buffer(e, k, b->dr, written);
    norni_step_buffer(e, k, packed, NORNI_READ);
    norni_step_buffer(e, k, b->carry, NORNI_READ_WRITE);
    const int64_t sizes[] = {step, depth, r->s, r->b, r->h, r->row_t, r->row_b, dir};
    norni_step_i64s(e, k, sizeof sizes / sizeof *sizes, sizes);
    if (last) {
        norni_step_buffer(e, k, norni_emit_out(e, 4), NORNI_WRITE);
        norni_step_i64(e, k, r->state_b);
        norni_step_i64(e, k, r->state_d);
        norni_recurrent_range(e, k, r, t, directions, false);
        return;
    }
    if (in(b, r->first + NORNI_REC_DY) >= 0) {
        norni_step_define(e, k, "HAS_DY", 1);
        norni_step_buffer(e, k, in(b, r->first + NORNI_REC_DY), NORNI_READ);
        norni_step_i64(e, k, r->y_t);
        norni_step_i64(e, k, r->y_b);
        norni_step_i64(e, k, r->y_d);
    }
    add_lens(b, k);
    if (r->kind == NORNI_LSTM) {
        norni_step_buffer(e, k, b->dc, NORNI_READ_WRITE);
        add_initial(b, k, NORNI_REC_C0, "HAS_C0");
    }
    if (b->cells >= 0) {
        norni_step_define(e, k, "HAS_CELLS", 1);
        norni_step_buffer(e, k, b->cells, NORNI_READ);
    }
    if (r->kind == NORNI_LSTM && in(b, NORNI_REC_P) >= 0) {
        norni_step_define(e, k, "HAS_P", 1);
        norni_step_buffer(e, k, in(b, NORNI_REC_P), NORNI_READ);
    }
    if (b->dp >= 0) {
        norni_step_define(e, k, "HAS_DP", 1);
        norni_step_buffer(e, k, b->dp, NORNI_READ_WRITE);
    }
    if (r->kind == NORNI_GRU)
        norni_step_buffer(e, k, b->before, NORNI_READ);
    if (part == 2)
        norni_step_buffer(e, k, b->rh, first && dir == 0 ? NORNI_WRITE : NORNI_READ_WRITE);
    if (b->db >= 0) {
        norni_step_define(e, k, "HAS_DB", 1);
        norni_step_buffer(e, k, b->db, NORNI_READ_WRITE);
    }
    norni_recurrent_range(e, k, r, t, directions, run);
}

/* Sums over the tiles into an output. */
static void emit_sums(backward *b, const char *kernel, norni_ref sums, int output, int64_t elems,
                      int64_t tiles) {
    const norni_recurrent *r = &b->r;
    norni_recurrent_tile plain = {1, 1, 1, 0};
    norni_step *k = norni_emit_kernel(b->e, "recurrent_pack.cl", kernel, b->type);
    norni_recurrent_defines(b->e, k, r, &plain, 0);
    norni_step_buffer(b->e, k, sums, NORNI_READ);
    norni_step_buffer(b->e, k, norni_emit_out(b->e, output), NORNI_WRITE);
    norni_step_i64(b->e, k, r->h);
    norni_step_i64(b->e, k, tiles);
    norni_step_range(k, 2, (size_t)elems, (size_t)r->d, 1, 0, 0, 0);
}

/* ---- Products over all steps. */
/* The gates' gradients as the panels of rows that products take: made once for two products. */
static norni_ref emit_panels(backward *b, norni_ref left, int mr) {
    enum { PART = 32 }; /* rows that stay in a cache while the panels take their columns */
    const norni_recurrent *r = &b->r;
    int64_t gh = r->gates * r->h, panels = (gh + mr - 1) / mr;
    bool cpu = norni_device_is_cpu(b->e->device);
    norni_ref to = scratch(b->e, b->kept, r->d * panels * mr * r->rows);
    norni_step *k = norni_emit_kernel(b->e, "recurrent_pack.cl", "rec_panels", b->kept);
    norni_step_define(b->e, k, "MR", mr);
    norni_step_define(b->e, k, "ROWS_EACH", PART);
    norni_step_define(b->e, k, "PANELS_EACH", cpu ? panels : 1);
    norni_step_buffer(b->e, k, left, NORNI_READ);
    norni_step_buffer(b->e, k, to, NORNI_WRITE);
    norni_step_i64(b->e, k, r->rows);
    norni_step_i64(b->e, k, gh);
    norni_step_range(k, 3, (size_t)((r->rows + PART - 1) / PART), cpu ? 1 : (size_t)panels, (size_t)r->d, 1,
                     1, 1);
    return to;
}

/* out[d] = gates' [X or h] for `n` gates from gate0 on; `right`: [S B] rows of `cols`, for each direction unless shared.
 * packed: `left` as panels of all gates, else -1. */
static norn_status emit_weights(backward *b, int output, norni_ref left, norni_ref packed, int gate0, int n,
                                norni_ref right, int input, int64_t cols, bool shared) {
    const norni_recurrent *r = &b->r;
    int64_t gh = r->gates * r->h;
    int mr, nr, width;
    norni_gemm_tile(b->e->device, b->kept, n * r->h, cols, &mr, &nr, &width);
    norni_product g = {.dtype = b->kept,
                       .c_dtype = b->type,
                       .m = n * r->h,
                       .n = cols,
                       .k = r->rows,
                       .batch = r->d,
                       .alpha = 1,
                       .a = {.ref = left,
                             .input = -1,
                             .trans = true,
                             .ld = gh,
                             .stride = r->d > 1 ? r->rows * gh : 0,
                             .offset = gate0 * r->h},
                       .b = {.ref = right,
                             .input = input,
                             .ld = cols,
                             .stride = shared || r->d == 1 ? 0 : r->rows * cols,
                             .dtype = input >= 0 ? b->type : NORN_UNDEFINED},
                       .c = norni_emit_out(b->e, output),
                       .ldc = cols,
                       .stride_c = gh * cols,
                       .c_offset = gate0 * r->h * cols,
                       .d = -1};
    if (packed >= 0) {
        g.a = (norni_matrix){.ref = packed, .input = -1, .stride = (gh + mr - 1) / mr * mr * r->rows};
        g.a_packed = true;
    }
    return norni_emit_product(b->e, &g);
}

/* dW and dR. */
static norn_status emit_all_weights(backward *b) {
    norni_emit *e = b->e;
    const norni_recurrent *r = &b->r;
    bool dw = norni_recurrent_wants(e->node, 1), dr = norni_recurrent_wants(e->node, 2);
    norni_ref x = norni_emit_in(e, NORNI_REC_X), packed = -1;
    int mr, other, nr, width;
    norni_gemm_tile(e->device, b->kept, r->gates * r->h, r->i, &mr, &nr, &width);
    norni_gemm_tile(e->device, b->kept, r->gates * r->h, r->h, &other, &nr, &width);
    if (dw && dr && b->dr == b->dz && b->rh < 0 && mr == other && r->rows && r->h && r->i)
        packed = emit_panels(b, b->dz, mr);
    if (dw)
        NORNI_TRY(emit_weights(b, 1, b->dz, packed, 0, r->gates, x, NORNI_REC_X, r->i, true));
    if (dr && b->rh < 0)
        NORNI_TRY(emit_weights(b, 2, b->dr, packed, 0, r->gates, b->before, -1, r->h, false));
    if (dr && b->rh >= 0) {
        NORNI_TRY(emit_weights(b, 2, b->dr, -1, 0, 2, b->before, -1, r->h, false));
        NORNI_TRY(emit_weights(b, 2, b->dr, -1, 2, 1, b->rh, -1, r->h, false));
    }
    return e->status;
}

/* dX = sum over directions of dz W. */
static norn_status emit_dx(backward *b) {
    norni_emit *e = b->e;
    const norni_recurrent *r = &b->r;
    int64_t gh = r->gates * r->h;
    norni_ref to = norni_emit_out(e, 0), half = r->d == 2 ? scratch(e, b->type, r->rows * r->i) : -1;
    for (int64_t d = 0; d < r->d; d++) {
        norni_product g = {
            .dtype = b->kept,
            .c_dtype = b->type,
            .m = r->rows,
            .n = r->i,
            .k = gh,
            .batch = 1,
            .alpha = 1,
            .beta = 1,
            .a = {.ref = b->dz, .input = -1, .ld = gh, .offset = d * r->rows * gh},
            .b = {.ref = norni_emit_in(e, NORNI_REC_W),
                  .input = NORNI_REC_W,
                  .ld = r->i,
                  .offset = d * gh * r->i,
                  .dtype = b->type},
            .c = d + 1 == r->d ? to : half,
            .ldc = r->i,
            .stride_c = r->rows * r->i,
            .d = d ? half : -1,
            .d_sm = r->i,
            .d_sn = 1,
        };
        NORNI_TRY(norni_emit_product(e, &g));
    }
    return e->status;
}

static void emit_steps(backward *b) {
    norni_emit *e = b->e;
    const norni_recurrent *r = &b->r;
    bool two = r->kind == NORNI_GRU && !r->linear;
    norni_recurrent_tile t = norni_recurrent_tile_of(e, r, 1);
    int through = two ? 2 : r->gates; /* gates whose R the next state comes through in one */
    norni_ref packed = norni_recurrent_pack(e, r, &t, 0, through, true);
    norni_ref packed2 = two ? norni_recurrent_pack(e, r, &t, 2, 1, true) : -1;
    int launches = r->same ? 1 : (int)r->d, directions = r->same ? (int)r->d : 1;
    int64_t tiles = (r->b + t.rows - 1) / t.rows;
    if (norni_recurrent_wants(e->node, 3)) {
        b->db = scratch(e, b->kept, r->d * tiles * (r->gates + 1) * r->h);
        norni_emit_fill(e, b->db, 0);
    }
    if (norni_recurrent_wants(e->node, 6)) {
        b->dp = scratch(e, b->kept, r->d * tiles * 3 * r->h);
        norni_emit_fill(e, b->dp, 0);
    }
    for (int64_t s = r->s; s-- > (b->run ? r->s - 1 : 0) && r->b;)
        for (int dir = 0; dir < launches; dir++) {
            bool first = s == r->s - 1;
            emit_back(b, s, first, false, two ? 1 : 0, first && !b->run ? 0 : through * r->h, packed, &t, dir,
                      directions);
            if (two)
                emit_back(b, s, first, false, 2, r->h, packed2, &t, dir, directions);
        }
    if (norni_recurrent_wants(e->node, 4) && r->b)
        for (int dir = 0; dir < launches; dir++)
            emit_back(b, 0, !r->s, true, two ? 1 : 0, r->s ? through * r->h : 0, packed, &t, dir, directions);
    if (b->db >= 0)
        emit_sums(b, "rec_dbias", b->db, 3, r->gates * r->h, tiles);
    if (b->dp >= 0)
        emit_sums(b, "rec_dpeep", b->dp, 6, 3 * r->h, tiles);
}

static norn_status emit_backward(norni_emit *e, bool run) {
    backward b = {.e = e,
                  .type = e->node->in[0]->type.dtype,
                  .run = run,
                  .dc = -1,
                  .before = -1,
                  .rh = -1,
                  .db = -1,
                  .dp = -1};
    norni_recurrent *r = &b.r;
    const norn_node *n = e->node;
    norni_recurrent_of(n, r);
    bool two = r->kind == NORNI_GRU && !r->linear;
    b.kept = norni_recurrent_kept(b.type);
    b.z = norni_emit_in(e, r->first + NORNI_REC_GATES);
    b.cells = in(&b, r->first + NORNI_REC_CELLS);
    b.dz = scratch(e, b.kept, r->d * r->rows * r->gates * r->h);
    b.dr = r->linear ? scratch(e, b.kept, r->d * r->rows * r->gates * r->h) : b.dz;
    b.carry = begin(&b, r->first + NORNI_REC_DYH);
    if (r->kind == NORNI_LSTM)
        b.dc = begin(&b, r->first + NORNI_REC_DYC);
    if (r->kind == NORNI_GRU || norni_recurrent_wants(n, 2))
        b.before = emit_before(&b);
    if (two)
        b.rh = scratch(e, b.kept, r->d * r->rows * r->h);
    emit_steps(&b);
    if (norni_recurrent_wants(n, 5))
        state_step(&b, "rec_state_out", b.dc, norni_emit_out(e, 5));
    if (norni_recurrent_wants(n, 0) && r->rows)
        NORNI_TRY(emit_dx(&b));
    return emit_all_weights(&b);
}

norn_status norni_recurrent_emit_grad(norni_emit *e) {
    return emit_backward(e, false);
}
norn_status norni_recurrent_emit_grad_run(norni_emit *e) {
    return emit_backward(e, true);
}
