/* SPDX-License-Identifier: Apache-2.0 */
/* What the scattering operators share: the kernels that bring slices to their places, and joining on the host. */
#include "ops/scatter.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

void norni_join_elems(norni_joining how, norn_dtype t, void *y, int64_t i, const void *u, int64_t k) {
    if (how == NORNI_REPLACE) {
        size_t size = (size_t)norni_dtype_bits(t) / 8;
        memcpy((char *)y + (size_t)i * size, (const char *)u + (size_t)k * size, size);
    } else if (norni_dtype_is_float(t)) {
        double a = norni_get_double(t, y, i), b = norni_get_double(t, u, k);
        a = how == NORNI_SCATTER_ADD   ? a + b
            : how == NORNI_SCATTER_MUL ? a * b
            : how == NORNI_SCATTER_MAX ? (a < b || isnan(b) ? b : a)
                                       : (a > b || isnan(b) ? b : a);
        norni_set_double(t, y, i, a);
    } else {
        int64_t a = norni_get_int(t, y, i), b = norni_get_int(t, u, k);
        bool less = norni_dtype_class(t) == NORNI_CLASS_INT ? a < b : (uint64_t)a < (uint64_t)b;
        if (t == NORN_BOOL && how == NORNI_SCATTER_ADD)
            how = NORNI_SCATTER_MAX;
        a = how == NORNI_SCATTER_ADD   ? (int64_t)((uint64_t)a + (uint64_t)b)
            : how == NORNI_SCATTER_MUL ? (int64_t)((uint64_t)a * (uint64_t)b)
            : how == NORNI_SCATTER_MAX ? (less ? b : a)
                                       : (less ? a : b);
        norni_set_int(t, y, i, a);
    }
}

/* Each work-item looks at all updates for its share of the places: as many items as keep the device busy, but not so
 * many that the looking is what takes the time. */
static int64_t places_each(const norni_emit *e, int64_t range, int64_t count) {
    int64_t units = e->device->compute_units ? e->device->compute_units : 1, items;
    if (norni_device_is_cpu(e->device))
        items = units;
    else {
        items = ((int64_t)1 << 26) / (count + 1);
        items = items < 64 ? 64 : items > 4096 ? 4096 : items;
    }
    return norni_ceil_div(range, items < range ? items : range);
}

norn_status norni_emit_scatter(norni_emit *e, const norni_scatter *a) {
    norni_joining how = a->dtype == NORN_BOOL && a->how == NORNI_SCATTER_ADD ? NORNI_SCATTER_MAX : a->how;
    int64_t rows = a->outer * a->range, strides[NORN_MAX_RANK], per;
    if (rows * a->inner == 0)
        return e->status;
    if (a->count > INT32_MAX)
        return norni_fail(NORN_UNSUPPORTED, "%lld updates (norn has at most %d)", (long long)a->count,
                          INT32_MAX);
    norni_strides(a->width, a->dims, strides);
    per = places_each(e, a->range, a->count);
    norni_ref head = norni_emit_scratch(e, (size_t)a->range * sizeof(int32_t)), next = head;
    if (how != NORNI_REPLACE)
        next = norni_emit_scratch(e, (size_t)(a->count + 1) * sizeof(int32_t));
    norni_step *s = norni_emit_kernel(e, "scatter.cl", "scatter_chain", NORN_UNDEFINED);
    norni_define_index(e, s, a->index_input);
    if (how == NORNI_REPLACE)
        norni_step_define(e, s, "LAST", 1);
    norni_step_buffer(e, s, norni_emit_in(e, a->index_input), NORNI_READ);
    norni_step_buffer(e, s, head, NORNI_WRITE);
    norni_step_buffer(e, s, next, NORNI_WRITE);
    norni_step_i64(e, s, a->count);
    norni_step_i64(e, s, a->range);
    norni_step_i64(e, s, per);
    norni_step_i32(e, s, a->width);
    for (int i = 0; i < NORN_MAX_RANK; i++) {
        norni_step_i64(e, s, i < a->width ? a->dims[i] : 1);
        norni_step_i64(e, s, i < a->width ? strides[i] : 0);
    }
    norni_step_items(e, s, 1, norni_ceil_div(a->range, per), 1, 1);

    norni_row_split split = norni_split_rows(e, rows, a->inner, a->dtype);
    s = norni_emit_kernel(e, "scatter.cl", "scatter_rows", a->dtype);
    if (how != NORNI_REPLACE)
        norni_step_define(e, s, "HOW", how);
    else
        norni_step_define(e, s, "LAST", 1);
    if (a->x >= 0)
        norni_step_define(e, s, "X", 1);
    norni_step_define(e, s, "W", split.width);
    norni_step_buffer(e, s, a->x >= 0 ? a->x : a->u, NORNI_READ);
    norni_step_buffer(e, s, head, NORNI_READ);
    norni_step_buffer(e, s, next, NORNI_READ);
    norni_step_buffer(e, s, a->u, NORNI_READ);
    norni_step_buffer(e, s, a->y, NORNI_WRITE);
    norni_step_i64(e, s, a->count);
    norni_step_i64(e, s, a->range);
    norni_step_i64(e, s, a->inner);
    norni_step_i64(e, s, rows);
    norni_step_i64(e, s, split.rows_each);
    norni_step_i64(e, s, split.chunks);
    norni_step_i64(e, s, split.chunk);
    norni_step_items(e, s, 1, split.items, 1, 1);
    return e->status;
}

/* "Name<axis=1>" with a reduction. */
static norn_value *scattered(norn_graph *g, norn_value *x, norn_value *index, norn_value *u, const char *op,
                             const char *reduction) {
    char text[96];
    size_t n = strlen(op);
    if (op[n - 1] == '>')
        snprintf(text, sizeof text, "%.*s, reduction=\"%s\">", (int)n - 1, op, reduction);
    else
        snprintf(text, sizeof text, "%s<reduction=\"%s\">", op, reduction);
    return NORNI_OP3(g, x, index, u, "%s", text);
}

/* Product: du = gather(dy y) / u, as in torch where no factor is 0. Largest, smallest: those that are the extreme one share
 * dy evenly (torch.scatter_reduce). */
void norni_scatter_gradient(norni_grad *c, norni_joining how, const char *scatter, const char *gather) {
    norn_graph *g = c->g;
    norn_value *x = c->node->in[0], *index = c->node->in[1], *u = c->node->in[2], *y = c->node->out[0],
               *dy = c->dy[0];
    switch (how) {
    case NORNI_REPLACE:
        if (c->want[0])
            c->dx[0] = NORNI_OP3(g, dy, index, norni_zeros(g, u->type.dtype, norni_shape_value(g, u)), "%s",
                                 scatter);
        if (c->want[2])
            c->dx[2] = NORNI_OP2(g, dy, index, "%s", gather);
        return;
    case NORNI_SCATTER_ADD:
        c->dx[0] = dy;
        if (c->want[2])
            c->dx[2] = NORNI_OP2(g, dy, index, "%s", gather);
        return;
    case NORNI_SCATTER_MUL:
        if (c->want[0])
            c->dx[0] = scattered(g, dy, index, u, scatter, "mul");
        if (c->want[2])
            c->dx[2] = NORNI_OP2(g, NORNI_OP2(g, NORNI_OP2(g, dy, y, "Mul"), index, "%s", gather), u, "Div");
        return;
    default:
        break;
    }
    int t = (int)y->type.dtype;
    norn_value *hit_x = NORNI_OP1(g, NORNI_OP2(g, x, y, "Equal"), "Cast<to=%d>", t);
    norn_value *hit_u =
        NORNI_OP1(g, NORNI_OP2(g, u, NORNI_OP2(g, y, index, "%s", gather), "Equal"), "Cast<to=%d>", t);
    norn_value *share = NORNI_OP2(g, dy, scattered(g, hit_x, index, hit_u, scatter, "add"), "Div");
    c->dx[0] = NORNI_OP2(g, hit_x, share, "Mul");
    c->dx[2] = NORNI_OP2(g, hit_u, NORNI_OP2(g, share, index, "%s", gather), "Mul");
}
