/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/copy.h"
#include <string.h>

typedef struct {
    int rank;
    int64_t dims[NORNI_COPY_RANK], x[NORNI_COPY_RANK], y[NORNI_COPY_RANK];
} shape;

/* Sizes 1 dropped, and neighbours joined that both sides walk through evenly. */
static void collapse(shape *s) {
    int r = 0;
    for (int k = 0; k < s->rank; k++) {
        if (s->dims[k] == 1)
            continue;
        if (r && s->x[r - 1] == s->x[k] * s->dims[k] && s->y[r - 1] == s->y[k] * s->dims[k])
            s->dims[r - 1] *= s->dims[k];
        else
            s->dims[r++] = s->dims[k];
        s->x[r - 1] = s->x[k];
        s->y[r - 1] = s->y[k];
    }
    if (!r) {
        s->dims[0] = 1;
        s->x[0] = s->y[0] = 1;
        r = 1;
    }
    s->rank = r;
}

static void move_last(shape *s, int k) {
    int64_t d = s->dims[k], x = s->x[k], y = s->y[k];
    for (int i = k; i + 1 < s->rank; i++) {
        s->dims[i] = s->dims[i + 1];
        s->x[i] = s->x[i + 1];
        s->y[i] = s->y[i + 1];
    }
    s->dims[s->rank - 1] = d;
    s->x[s->rank - 1] = x;
    s->y[s->rank - 1] = y;
}

/* The seven outer sizes and strides, right-aligned. */
static void outer_args(norni_emit *e, norni_step *step, int outer, const int64_t *v, bool sizes) {
    for (int i = sizes ? 1 : 0; i < 7; i++) {
        int k = i - (7 - outer);
        norni_step_i64(e, step, k >= 0 ? v[k] : sizes ? 1 : 0);
    }
}

/* ---- What moving kernels share. */
static int size_class(norn_dtype t) {
    int bits = norni_dtype_bits(t);
    return bits == 8 ? 0 : bits == 16 ? 1 : bits == 32 ? 2 : 3;
}

norni_step *norni_emit_move(norni_emit *e, const char *file, const char *kernel, norn_dtype dtype) {
    static const norn_dtype types[] = {NORN_U8, NORN_U16, NORN_U32, NORN_U64};
    static const char *const names[] = {"uchar", "ushort", "uint", "ulong"};
    norni_step *s = norni_emit_kernel(e, file, kernel, types[size_class(dtype)]);
    norni_step_define_text(e, s, "T_NAME", names[size_class(dtype)]);
    return s;
}

/* CPUs: fat items, so that a launch's cost per item is small, but enough of them for all cores; a cache line at a time.
 * Others: 16 bytes an item, so that neighbours read neighbours. */
norni_row_split norni_split_rows(const norni_emit *e, int64_t rows, int64_t n, norn_dtype dtype) {
    int bytes = norni_dtype_bits(dtype) / 8;
    norni_row_split s = {.rows_each = 1};
    if (!norni_device_is_cpu(e->device)) {
        s.width = 16 / bytes;
        s.chunk = s.width;
    } else {
        int64_t units = e->device->compute_units ? e->device->compute_units : 1,
                each = rows * n / (units * 8);
        s.width = 64 / bytes > 16 ? 16 : 64 / bytes;
        each = each < 1024 ? 1024 : each > 16384 ? 16384 : each;
        s.chunk = n < 2 * each ? n : each;
        s.rows_each = n < each ? each / (n ? n : 1) : 1;
    }
    s.chunks = n ? norni_ceil_div(n, s.chunk) : 1;
    s.items = s.chunks * norni_ceil_div(rows, s.rows_each);
    return s;
}

/* ---- Strided copies. */
enum { TILE = 32 };

static void layout_args(norni_emit *e, norni_step *step, int64_t offset, int64_t inner, int outer,
                        const int64_t *v) {
    norni_step_i64(e, step, offset);
    norni_step_i64(e, step, inner);
    outer_args(e, step, outer, v, false);
}

static norn_status emit_tiles(norni_emit *e, norn_dtype dtype, const shape *s, const norni_layout *from,
                              const norni_layout *to) {
    int outer = s->rank - 2;
    int64_t n = s->dims[s->rank - 1], nb = s->dims[outer], rows = norni_elems(outer, s->dims);
    bool local = !norni_device_is_cpu(e->device) && e->device->max_work_group >= 256;
    norni_step *step = norni_emit_move(e, "copy.cl", local ? "copy_local" : "copy_tiles", dtype);
    norni_step_buffer(e, step, from->ref, NORNI_READ);
    norni_step_buffer(e, step, to->ref, NORNI_WRITE);
    norni_step_i64(e, step, n);
    norni_step_i64(e, step, nb);
    norni_step_i64(e, step, rows);
    outer_args(e, step, outer, s->dims, true);
    layout_args(e, step, from->offset, s->x[s->rank - 1], outer, s->x);
    layout_args(e, step, to->offset, s->y[outer], outer, s->y);
    size_t tn = (size_t)norni_ceil_div(n, TILE), tb = (size_t)norni_ceil_div(nb, TILE);
    if (local)
        norni_step_range(step, 3, tn * 32, tb * 8, (size_t)rows, 32, 8, 1);
    else
        norni_step_items(e, step, 3, (int64_t)tn, (int64_t)tb, rows);
    return e->status;
}

static norn_status emit_rows(norni_emit *e, norn_dtype dtype, const shape *s, const norni_layout *from,
                             const norni_layout *to) {
    int outer = s->rank - 1;
    int64_t n = s->dims[outer], rows = norni_elems(outer, s->dims);
    norni_row_split split = norni_split_rows(e, rows, n, dtype);
    norni_step *step = norni_emit_move(e, "copy.cl", "copy_rows", dtype);
    norni_step_define(e, step, "W", split.width);
    norni_step_buffer(e, step, from->ref, NORNI_READ);
    norni_step_buffer(e, step, to->ref, NORNI_WRITE);
    norni_step_i64(e, step, n);
    norni_step_i64(e, step, rows);
    norni_step_i64(e, step, split.rows_each);
    norni_step_i64(e, step, split.chunks);
    norni_step_i64(e, step, split.chunk);
    outer_args(e, step, outer, s->dims, true);
    layout_args(e, step, from->offset, s->x[outer], outer, s->x);
    layout_args(e, step, to->offset, s->y[outer], outer, s->y);
    norni_step_items(e, step, 1, split.items, 1, 1);
    if (s->rank == 1 && s->x[0] == 1 && s->y[0] == 1) {
        size_t size = (size_t)norni_dtype_bits(dtype) / 8;
        step->move_bytes = (size_t)n * size;
        step->move_from = (size_t)from->offset * size;
        step->move_to = (size_t)to->offset * size;
    }
    return e->status;
}

norn_status norni_emit_strided_copy(norni_emit *e, norn_dtype dtype, int rank, const int64_t *dims,
                                    const norni_layout *from, const norni_layout *to) {
    shape s = {.rank = rank};
    int64_t total = norni_elems(rank, dims);
    if (total == 0)
        return e->status;
    if (norni_dtype_bits(dtype) < 8)
        return norni_fail(NORN_UNSUPPORTED, "elements of type %s cannot be moved one by one",
                          norni_dtype_name(dtype));
    memcpy(s.dims, dims, (size_t)rank * sizeof *dims);
    memcpy(s.x, from->strides, sizeof s.x);
    memcpy(s.y, to->strides, sizeof s.y);
    collapse(&s);
    int last = s.rank - 1, b = -1;
    if (s.rank > NORN_MAX_RANK)
        return norni_fail(NORN_UNSUPPORTED, "a copy over %d dimensions (norn has at most %d)", s.rank,
                          NORN_MAX_RANK);
    for (int k = 0; k <= last; k++) /* the writing side runs fastest along its contiguous dimension */
        if (s.y[k] == 1 && s.dims[k] > 1 && s.y[last] != 1) {
            move_last(&s, k);
            break;
        }
    if (s.y[last] == 1 && s.x[last] != 1 && s.x[last] != 0 && s.dims[last] >= 8)
        for (int k = 0; k < last; k++)
            if (s.x[k] == 1 && s.dims[k] >= 8)
                b = k;
    if (b < 0)
        return emit_rows(e, dtype, &s, from, to);
    move_last(&s, b); /* b becomes the last but one */
    move_last(&s, last - 1);
    return emit_tiles(e, dtype, &s, from, to);
}
