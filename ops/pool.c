/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/pool.h"
#include "ops/blocked.h"

enum { D = NORNI_WINDOW_DIMS };

norn_status norni_pool_infer(norni_infer *c, norni_type *y) {
    const norni_pool_attrs *a = c->attrs;
    const norni_type *x = norni_in_type(c, 0);
    norni_dim out[D];
    int rank;
    if (x->rank < 0)
        return NORN_OK;
    NORNI_TRY(norni_window_rank(x, &rank));
    NORNI_TRY(norni_window_check(&a->window, rank));
    NORNI_TRY(norni_window_infer(c->g, &a->window, rank, x->dims + 2, a->window.kernel_shape.v,
                                 a->ceil_mode ? NORNI_WINDOW_CEIL : NORNI_WINDOW_FLOOR, out));
    y->rank = x->rank;
    y->dims[0] = x->dims[0];
    y->dims[1] = x->dims[1];
    for (int i = 0; i < rank; i++)
        y->dims[i + 2] = out[i];
    return NORN_OK;
}

norn_status norni_pool_infer_back(norni_infer *c, int i) {
    const norni_pool_attrs *a = c->attrs;
    const norni_type *dy = norni_in_type(c, 0);
    int n;
    const norni_dim *dims = norni_value_known(c->node->in[i], &n);
    if (dy->rank < 0)
        return NORN_OK;
    c->out[0].rank = dy->rank;
    if (dims && n != dy->rank)
        return norni_fail(NORN_SHAPE, "the shape has %d elements (wanted %d, the rank of dy)", n, dy->rank);
    for (int k = 0; k < dy->rank; k++)
        c->out[0].dims[k] = dims ? dims[k] : norni_dim_fresh(c->g);
    if (!dims)
        return NORN_OK;
    int rank;
    norni_dim out[D];
    NORNI_TRY(norni_window_rank(dy, &rank));
    NORNI_TRY(norni_window_check(&a->window, rank));
    NORNI_TRY(norni_window_infer(c->g, &a->window, rank, dims + 2, a->window.kernel_shape.v,
                                 a->ceil_mode ? NORNI_WINDOW_CEIL : NORNI_WINDOW_FLOOR, out));
    for (int k = 0; k < rank + 2; k++) {
        norni_dim want = k < 2 ? dims[k] : out[k - 2];
        if (want >= 0 && dy->dims[k] >= 0 && want != dy->dims[k])
            return norni_fail(NORN_SHAPE, "dy has size %lld in dimension %d (wanted %lld)",
                              (long long)dy->dims[k], k, (long long)want);
    }
    return NORN_OK;
}

void norni_pool_of(const norn_node *node, const norni_type *x, const norni_type *y, norni_pool *p) {
    const norni_pool_attrs *a = node->attrs;
    p->dtype = x->dtype;
    p->channels = x->dims[1];
    p->planes = x->dims[0] * x->dims[1];
    norni_window_of(&a->window, x->rank - 2, x->dims + 2, y->dims + 2, a->window.kernel_shape.v, &p->w);
}

int64_t norni_pool_inside(int64_t at, int64_t n, int64_t step, int64_t lo, int64_t hi, int64_t *first) {
    int64_t a = at < lo ? (lo - at + step - 1) / step : 0, z = at < hi ? (hi - at + step - 1) / step : 0;
    *first = a;
    z = z < n ? z : n;
    return z > a ? z - a : 0;
}

int64_t norni_pool_count(const norni_window *w, bool include_pad, const int64_t o[D]) {
    int64_t n = 1, first;
    for (int k = 0; k < D; k++) {
        int64_t hi = w->in[k] + (include_pad && w->end[k] > 0 ? w->end[k] : 0);
        n *= norni_pool_inside(o[k] * w->stride[k] - w->begin[k], w->kernel[k], w->dilation[k],
                               include_pad ? -w->begin[k] : 0, hi, &first);
    }
    return n;
}

bool norni_pool_next(const norni_window *w, int64_t o[D]) {
    for (int k = D - 1; k >= 0; k--) {
        if (++o[k] < w->out[k])
            return true;
        o[k] = 0;
    }
    return false;
}

void norni_pool_args(norni_emit *e, norni_step *s, const norni_pool *p) {
    const norni_window *w = &p->w;
    const int64_t *const lists[] = {w->in, w->out, w->kernel, w->stride, w->dilation, w->begin, w->end};
    norni_step_i64(e, s, p->planes);
    norni_step_i64(e, s, p->channels);
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        for (int k = 0; k < D; k++)
            norni_step_i64(e, s, lists[i][k] < 0 && lists[i] == w->end ? 0 : lists[i][k]);
}

int norni_pool_width(norn_dtype t, int64_t n) {
    int w = t == NORN_F64 ? 8 : 16;
    while (w > 4 && w > n)
        w /= 2;
    return w;
}

/* Of an output row what does not fill a vector is stored element by element: short rows take the width with the least of
 * both. */
static int rows_width(const norni_pool *p) {
    int widest = norni_pool_width(p->dtype, p->w.in[2]), best = widest;
    int64_t n = p->w.out[2], least = INT64_MAX;
    for (int w = widest; w >= 4; w /= 2) {
        int64_t cost = (n + w - 1) / w * 8 + n % w * 5;
        if (cost < least) {
            least = cost;
            best = w;
        }
    }
    return best;
}

int64_t norni_pool_rows_each(const norni_emit *e, int64_t rows, int64_t elems_per_row) {
    int64_t units = e->device->compute_units ? e->device->compute_units : 1;
    int64_t each = (rows + units * 8 - 1) / (units * 8), least = 4096 / (elems_per_row + 1) + 1;
    each = each < least ? least : each;
    return each > rows ? rows : each;
}

int64_t norni_pool_chunk(const norni_window *w, int width) {
    int64_t room = NORNI_POOL_BUFFER - norni_window_extent(w, 2), n = room < 0 ? 0 : room / w->stride[2] + 1;
    return n >= w->out[2] ? w->out[2] : n / width * width;
}

void norni_pool_rows(norni_emit *e, norni_step *s, const norni_pool *p) {
    const norni_window *w = &p->w;
    int width = rows_width(p);
    int64_t rows = p->planes * w->out[0] * w->out[1];
    int64_t each = norni_pool_rows_each(e, rows, w->out[2] * norni_window_taps(w));
    norni_step_define(e, s, "W", width);
    if (w->stride[2] <= 2)
        norni_step_define(e, s, "S2", w->stride[2]);
    norni_step_i64(e, s, each);
    norni_step_i64(e, s, norni_pool_chunk(w, width));
    norni_emit_epilogue(e, s, NORNI_LANES_PIXELS, 1u | (unsigned)width);
    norni_step_items(e, s, 1, (rows + each - 1) / each, 1, 1);
}

void norni_pool_each(norni_emit *e, norni_step *s, const norni_pool *p) {
    const norni_window *w = &p->w;
    norni_emit_epilogue(e, s, NORNI_LANES_PIXELS, 1);
    norni_step_items(e, s, 3, w->out[2], w->out[0] * w->out[1], p->planes);
}

void norni_pool_blocked(norni_emit *e, norni_step *s, const norni_pool *p) {
    const norni_window *w = &p->w;
    const norni_type *y = &e->node->out[0]->type;
    int block = norni_block_of(p->dtype);
    int64_t units = e->device->compute_units ? e->device->compute_units : 1, rows = w->out[0] * w->out[1];
    int64_t images = y->dims[0] * norni_channel_blocks(y), parts = 1 + units * 8 / images;
    int64_t each = (rows + parts - 1) / parts;
    norni_step_define(e, s, "W", block);
    norni_step_i64(e, s, each);
    norni_emit_epilogue_once(e, s, NORNI_LANES_CHANNELS, (unsigned)block);
    norni_step_range(s, 3, (size_t)((rows + each - 1) / each), (size_t)norni_channel_blocks(y),
                     (size_t)y->dims[0], 1, 1, 1);
}

const char *norni_pool_blocked_fit(const norni_fit *f) {
    const norn_node *n = f->node;
    if (!norni_device_is_cpu(f->device))
        return "for CPUs";
    for (int k = 1; k < n->n_out; k++)
        if (n->out[k])
            return "only the first output has a blocked form";
    return n->out[0] && norni_blockable(&n->in[0]->type) && norni_blockable(&n->out[0]->type)
               ? NULL
               : "the type has no blocked form";
}

const char *norni_pool_rows_fit(const norn_device *d, const norni_pool *p) {
    if (!norni_device_is_cpu(d))
        return "for CPUs";
    if (norni_window_in(&p->w) > INT32_MAX)
        return "the planes have more than 2^31 elements";
    return norni_pool_chunk(&p->w, rows_width(p)) > 0 ? NULL : "a window is wider than the buffer";
}

void norni_pool_cost(const norn_node *node, norni_cost *c) {
    norni_pool p;
    const norni_type *x = &node->in[0]->type, *y = &node->out[0]->type;
    norni_pool_of(node, x, y, &p);
    c->flops = (double)p.planes * (double)norni_window_out(&p.w) * (double)norni_window_taps(&p.w);
}
