/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/copy.h"
#include <string.h>

typedef struct {
    int rank;
    int64_t dims[NORN_MAX_RANK], x[NORN_MAX_RANK], y[NORN_MAX_RANK];
} shape;

static int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

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

static const norn_dtype by_bits[] = {NORN_U8, NORN_U16, NORN_U32, NORN_U64};
static const char *const name_by_bits[] = {"uchar", "ushort", "uint", "ulong"};

static int size_class(norn_dtype t) {
    int bits = norni_dtype_bits(t);
    return bits == 8 ? 0 : bits == 16 ? 1 : bits == 32 ? 2 : 3;
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
    for (int k = 0; k <= last; k++) { /* the writing side runs fastest along its contiguous dimension */
        if (s.y[k] == 1 && s.dims[k] > 1 && s.y[last] != 1) {
            move_last(&s, k);
            break;
        }
    }
    if (s.x[last] != 1 && s.x[last] != 0 && s.dims[last] >= 8)
        for (int k = 0; k < last; k++)
            if (s.x[k] == 1 && s.dims[k] >= 8)
                b = k;
    if (b >= 0) { /* b becomes the last but one */
        move_last(&s, b);
        move_last(&s, last - 1);
    }
    int size = size_class(dtype), outer = b >= 0 ? last - 1 : last;
    int64_t n = s.dims[last], rows = norni_elems(outer, s.dims);
    norni_step *step = norni_emit_kernel(e, "copy.cl", b >= 0 ? "copy_tiles" : "copy_rows", by_bits[size]);
    norni_step_define_text(e, step, "T_NAME", name_by_bits[size]);
    norni_step_buffer(e, step, from->ref, NORNI_READ);
    norni_step_buffer(e, step, to->ref, NORNI_WRITE);
    norni_step_i64(e, step, n);
    if (b >= 0)
        norni_step_i64(e, step, s.dims[last - 1]);
    norni_step_i64(e, step, rows);
    int64_t rows_each = n >= 1024 ? 1 : norni_device_is_cpu(e->device) ? ceil_div(1024, n) : 1;
    if (b < 0)
        norni_step_i64(e, step, rows_each);
    outer_args(e, step, outer, s.dims, true);
    norni_step_i64(e, step, from->offset);
    norni_step_i64(e, step, s.x[last]);
    if (b >= 0)
        norni_step_i64(e, step, s.x[last - 1]);
    outer_args(e, step, outer, s.x, false);
    norni_step_i64(e, step, to->offset);
    norni_step_i64(e, step, s.y[last]);
    if (b >= 0)
        norni_step_i64(e, step, s.y[last - 1]);
    outer_args(e, step, outer, s.y, false);
    if (b >= 0)
        norni_step_items(e, step, 3, ceil_div(n, 16), ceil_div(s.dims[last - 1], 16), rows);
    else
        norni_step_items(e, step, 1, ceil_div(rows, rows_each), 1, 1);
    return e->status;
}
