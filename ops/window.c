/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/window.h"
#include <string.h>

const char *const norni_auto_pads[] = {"NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID", NULL};

norn_status norni_window_rank(const norni_type *x, int *rank) {
    *rank = x->rank - 2;
    return *rank >= 1 && *rank <= NORNI_WINDOW_DIMS
               ? NORN_OK
               : norni_fail(NORN_SHAPE,
                            "X has rank %d (wanted 3 to %d: batch, channels, 1 to %d spatial sizes)", x->rank,
                            NORNI_WINDOW_DIMS + 2, NORNI_WINDOW_DIMS);
}

static norn_status check_length(const char *name, const norni_ints *v, int n, int rank) {
    return v->n < 0 || v->n == n
               ? NORN_OK
               : norni_fail(NORN_SHAPE, "attribute '%s' has %d elements (wanted %d for %d spatial %s)", name,
                            v->n, n, rank, rank == 1 ? "dimension" : "dimensions");
}

norn_status norni_window_check(const norni_window_attrs *a, int rank) {
    NORNI_TRY(check_length("kernel_shape", &a->kernel_shape, rank, rank));
    NORNI_TRY(check_length("strides", &a->strides, rank, rank));
    NORNI_TRY(check_length("dilations", &a->dilations, rank, rank));
    return check_length("pads", &a->pads, 2 * rank, rank);
}

static int64_t at(const norni_ints *v, int i, int64_t absent) {
    return v->n < 0 ? absent : v->v[i];
}

static norni_dim ceil_dim(norn_graph *g, norni_dim a, int64_t b) {
    return norni_dim_div(g, norni_dim_add(g, a, b - 1), b);
}

norn_status norni_window_infer(norn_graph *g, const norni_window_attrs *a, int rank, const norni_dim *in,
                               const norni_dim *kernel, norni_window_fit fit, norni_dim *out) {
    for (int i = 0; i < rank; i++) {
        int64_t s = at(&a->strides, i, 1), d = at(&a->dilations, i, 1), begin = 0, end = 0, room, steps;
        if (a->auto_pad == NORNI_PAD_SAME_UPPER || a->auto_pad == NORNI_PAD_SAME_LOWER) {
            out[i] = ceil_dim(g, in[i], s);
            continue;
        }
        if (a->auto_pad == NORNI_PAD_EXPLICIT) {
            begin = at(&a->pads, i, 0);
            end = at(&a->pads, rank + i, 0);
        }
        norni_dim extent = norni_dim_add(g, norni_dim_mul(g, norni_dim_sub(g, kernel[i], 1), d), 1);
        norni_dim padded = norni_dim_add(g, in[i], begin + end), rest = norni_dim_sub(g, padded, extent);
        bool cut =
            norni_dim_number(g, rest, &room) && room < 0; /* a window is larger than the padded input */
        if (fit == NORNI_WINDOW_WHOLE && cut)
            return norni_fail(
                NORN_SHAPE,
                "the kernel spans %lld elements of dimension %d, which has %lld with its padding "
                "(wanted at least as many)",
                (long long)extent, i + 2, (long long)padded);
        out[i] =
            norni_dim_add(g, fit == NORNI_WINDOW_CEIL ? ceil_dim(g, rest, s) : norni_dim_div(g, rest, s), 1);
        if (fit == NORNI_WINDOW_FLOOR && cut) /* ONNX's shape inference rounds towards 0 */
            out[i] = norni_dim_of(g, room / s + 1);
        if (fit != NORNI_WINDOW_CEIL)
            continue;
        /* The last window starts at (out - 1) * s <= padded - extent + s - 1: below in + begin for sure when
         * end + s <= extent, else only a number can tell. */
        bool safe = extent >= 0 && end + s <= extent;
        if (norni_dim_number(g, out[i], &steps) && in[i] >= 0)
            out[i] -= (steps - 1) * s >= in[i] + begin;
        else if (!safe)
            out[i] = norni_dim_fresh(g);
    }
    return NORN_OK;
}

void norni_window_of(const norni_window_attrs *a, int rank, const int64_t *in, const int64_t *out,
                     const int64_t *kernel, norni_window *w) {
    int lead = NORNI_WINDOW_DIMS - rank;
    w->rank = rank;
    for (int k = 0; k < NORNI_WINDOW_DIMS; k++) {
        int i = k - lead;
        w->kernel[k] = i < 0 ? 1 : kernel[i];
        w->in[k] = i < 0 ? 1 : in[i];
        w->out[k] = i < 0 ? 1 : out[i];
        w->stride[k] = i < 0 ? 1 : at(&a->strides, i, 1);
        w->dilation[k] = i < 0 ? 1 : at(&a->dilations, i, 1);
        w->begin[k] = w->end[k] = 0;
        if (i < 0)
            continue;
        int64_t all = (w->out[k] - 1) * w->stride[k] + norni_window_extent(w, k) - w->in[k];
        if (a->auto_pad == NORNI_PAD_EXPLICIT) {
            w->begin[k] = at(&a->pads, i, 0);
            w->end[k] = at(&a->pads, rank + i, 0);
        } else if (a->auto_pad != NORNI_PAD_VALID && all > 0) {
            w->begin[k] = a->auto_pad == NORNI_PAD_SAME_UPPER ? all / 2 : all - all / 2;
            w->end[k] = all - w->begin[k];
        }
    }
}

int64_t norni_window_extent(const norni_window *w, int k) {
    return (w->kernel[k] - 1) * w->dilation[k] + 1;
}

int64_t norni_window_taps(const norni_window *w) {
    return norni_elems(NORNI_WINDOW_DIMS, w->kernel);
}
int64_t norni_window_in(const norni_window *w) {
    return norni_elems(NORNI_WINDOW_DIMS, w->in);
}
int64_t norni_window_out(const norni_window *w) {
    return norni_elems(NORNI_WINDOW_DIMS, w->out);
}

void norni_step_window(norni_emit *e, norni_step *s, const norni_window *w, int first) {
    const int64_t *const lists[] = {w->in, w->out, w->kernel, w->stride, w->dilation, w->begin};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        norni_step_i64s(e, s, (size_t)(NORNI_WINDOW_DIMS - first), lists[i] + first);
}

bool norni_window_point(const norni_window *w) {
    for (int k = 0; k < NORNI_WINDOW_DIMS; k++)
        if (w->kernel[k] != 1 || w->stride[k] != 1 || w->begin[k] || w->end[k])
            return false;
    return true;
}

const char *norni_window_list(norni_arena *arena, const norni_window *w, const int64_t *v) {
    const int64_t *p = v + NORNI_WINDOW_DIMS - w->rank;
    return w->rank == 1   ? norni_arena_printf(arena, "[%lld]", (long long)p[0])
           : w->rank == 2 ? norni_arena_printf(arena, "[%lld,%lld]", (long long)p[0], (long long)p[1])
                          : norni_arena_printf(arena, "[%lld,%lld,%lld]", (long long)p[0], (long long)p[1],
                                               (long long)p[2]);
}

const char *norni_window_text(norni_arena *arena, const norni_window *w) {
    const char *k = norni_window_list(arena, w, w->kernel), *s = norni_window_list(arena, w, w->stride),
               *d = norni_window_list(arena, w, w->dilation), *b = norni_window_list(arena, w, w->begin),
               *e = norni_window_list(arena, w, w->end);
    if (!k || !s || !d || !b || !e)
        return NULL;
    /* pads: all begins, then all ends */
    return norni_arena_printf(arena, "kernel_shape=%s, strides=%s, pads=%.*s,%s, dilations=%s", k, s,
                              (int)strlen(b) - 1, b, e + 1, d);
}
