/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/blocked.h"
#include "ops/builder.h"

bool norni_reads_blocked(norni_form f) {
    return f == NORNI_BLOCKED || f == NORNI_FROM_BLOCKED;
}

bool norni_makes_blocked(norni_form f) {
    return f == NORNI_BLOCKED || f == NORNI_TO_BLOCKED;
}

int norni_block_of(norn_dtype t) {
    return norni_compute_dtype(t) == NORN_F64 ? 8 : 16;
}

bool norni_blockable(const norni_type *t) {
    return t->rank >= 3 && t->rank <= 5 && norni_dtype_is_float(t->dtype) &&
           norni_dtype_bits(t->dtype) >= 16 && norni_type_elems(t) > 0;
}

int64_t norni_channel_blocks(const norni_type *t) {
    int b = norni_block_of(t->dtype);
    return (t->dims[1] + b - 1) / b;
}

static int64_t pixels_of(const norni_type *t) {
    return norni_elems(t->rank - 2, t->dims + 2);
}

size_t norni_blocked_bytes(const norni_type *t) {
    return (size_t)(t->dims[0] * norni_channel_blocks(t) * norni_block_of(t->dtype) * pixels_of(t)) *
           (size_t)norni_dtype_bits(t->dtype) / 8;
}

norn_status norni_builder_convert(norni_emit *e, const norn_value *v, bool blocked) {
    norni_plan_builder *b = e->plan;
    norni_ref from = blocked ? b->of_value[v->id] : b->of_blocked[v->id];
    if ((blocked ? b->of_blocked : b->of_value)[v->id] >= 0 ||
        (from < 0 && (!blocked || v->kind == NORNI_RESULT)))
        return NORN_OK; /* there already, or of a kind that is plain; or made by no step: its bytes are none */
    bool before = b->blocked[v->id];
    b->blocked[v->id] = !blocked;
    from = norni_builder_value(b, v);
    b->blocked[v->id] = blocked;
    norni_ref to = norni_builder_value(b, v);
    b->blocked[v->id] = before;
    if (from < 0 || to < 0)
        return norni_nomem();
    const norni_type *t = &v->type;
    int64_t pixels = pixels_of(t), blocks = norni_channel_blocks(t);
    int block = norni_block_of(t->dtype);
    if (pixels == 1 && t->dims[1] % block == 0) { /* the same bytes */
        b->bufs.v[to].alias = from;
        return NORN_OK;
    }
    norni_step *s = norni_emit_kernel(e, "blocked.cl", blocked ? "to_blocks" : "from_blocks", t->dtype);
    if (!s)
        return e->status;
    norni_step_define(e, s, "B", block);
    norni_step_buffer(e, s, from, NORNI_READ);
    norni_step_buffer(e, s, to, NORNI_WRITE);
    int64_t units = e->device->compute_units ? e->device->compute_units : 1;
    int64_t parts = 1 + units * 8 / (blocks * t->dims[0]), each = (pixels + parts - 1) / parts;
    each = (each + block - 1) / block * block;
    norni_step_i64(e, s, t->dims[1]);
    norni_step_i64(e, s, pixels);
    norni_step_i64(e, s, each);
    norni_step_range(s, 3, (size_t)((pixels + each - 1) / each), (size_t)blocks, (size_t)t->dims[0], 1, 1, 1);
    s->blocked = true;
    return e->status;
}

norni_ref norni_emit_whole_blocks(norni_emit *e, const norn_value *v, int block) {
    int64_t c = norni_type_elems(&v->type), whole = (c + block - 1) / block * block;
    if (c == whole)
        return norni_builder_value(e->plan, v);
    bool fresh;
    norni_ref to = norni_emit_packed_value(e, v, (size_t)whole * (size_t)norni_dtype_bits(v->type.dtype) / 8,
                                           "whole blocks", &fresh);
    if (fresh) {
        norni_step *s = norni_emit_kernel(e, "blocked.cl", "whole_blocks", v->type.dtype);
        norni_step_define(e, s, "B", block);
        norni_step_buffer(e, s, norni_builder_value(e->plan, v), NORNI_READ);
        norni_step_buffer(e, s, to, NORNI_WRITE);
        norni_step_i64(e, s, c);
        norni_step_range(s, 1, (size_t)(whole / block), 1, 1, 1, 1, 1);
    }
    norni_emit_packed_end(e);
    return to;
}
