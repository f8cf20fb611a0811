/* SPDX-License-Identifier: Apache-2.0 */
/* MatMulInteger and ConvInteger: products of 8-bit integers less their zero points, exact in 32-bit integers (which wrap).
 * The other quantised products are made of these two. Sources: ONNX MatMulInteger-10, ConvInteger-10. */
#include "ops/builder.h"
#include "ops/conv_direct.h"
#include "ops/qlinear.h"
#include <stdio.h>
#include <string.h>

static int64_t get(const norn_tensor *t, int64_t i) {
    return norni_get_int(t->dtype, norni_tensor_data(t), i);
}

/* ---- The product on the device (ops/qgemm.cl). */
typedef struct {
    int mr, nr, width;
} tile;

static tile tile_of(const norni_emit *e, int64_t m, int64_t n) {
    tile t;
    norni_gemm_tile(e->device, NORN_F32, m, n, &t.mr, &t.nr, &t.width);
    return t;
}

/* One operand as input `in`, with zero point `zero` (-1: none): panels of p of its `rows`, k long. */
typedef struct {
    int in, zero, p;
    int64_t rows, k, s_row, s_col, offset, stride, count, z_offset, z_stride, z_row;
} operand;

static norni_ref pack(norni_emit *e, const operand *o) {
    char key[192];
    bool fresh = true, zero = o->zero >= 0;
    int64_t panels = norni_ceil_div(o->rows, o->p), parts = panels * o->count >= 16 ? 1 : 8,
            k_part = norni_ceil_div(o->k, parts);
    size_t bytes = (size_t)(o->count * panels * o->p * o->k) * sizeof(float);
    const norn_value *z = zero ? e->node->in[o->zero] : NULL;
    bool keeps = !z || norni_value_steady(z);
    snprintf(key, sizeof key, "qgemm %d %d %lld %lld %lld %lld %lld %lld %lld %lld", z ? z->id : -1, o->p,
             (long long)o->rows, (long long)o->k, (long long)o->s_row, (long long)o->s_col,
             (long long)o->offset, (long long)o->count, (long long)o->z_offset, (long long)o->z_row);
    norni_ref to = keeps ? norni_emit_packed(e, o->in, bytes, key, &fresh) : norni_emit_scratch(e, bytes);
    if (fresh && bytes) {
        norni_step *s = norni_emit_kernel(e, "qgemm.cl", "pack_quantised", e->node->in[o->in]->type.dtype);
        norni_step_define(e, s, "P", o->p);
        if (zero)
            norni_step_define(e, s, "ZERO", 1);
        norni_step_buffer(e, s, norni_emit_in(e, o->in), NORNI_READ);
        norni_step_buffer(e, s, norni_emit_in(e, zero ? o->zero : o->in), NORNI_READ);
        norni_step_buffer(e, s, to, NORNI_WRITE);
        const int64_t args[] = {o->rows,   o->k,        o->s_row,    o->s_col, o->offset,
                                o->stride, o->z_offset, o->z_stride, o->z_row, k_part};
        norni_step_i64s(e, s, sizeof args / sizeof *args, args);
        norni_step_range(s, 3, (size_t)panels, (size_t)norni_ceil_div(o->k, k_part), (size_t)o->count, 1, 1,
                         1);
    }
    if (keeps)
        norni_emit_packed_end(e);
    return to;
}

typedef struct {
    int64_t m, n, k, batch, a_stride, a_count, b_stride, ldc, c_stride, c_offset;
    bool channel_rows, epilogue;
} product;

static void emit_product(norni_emit *e, const product *g, const tile *t, norni_ref a, norni_ref b) {
    norni_step *s = norni_emit_kernel(e, "qgemm.cl", "qgemm", NORN_I32);
    norni_step_define(e, s, "MR", t->mr);
    norni_step_define(e, s, "NR", t->nr);
    norni_step_define(e, s, "W", t->width);
    if (g->channel_rows)
        norni_step_define(e, s, "CHANNEL_ROWS", 1);
    norni_step_buffer(e, s, a, NORNI_READ);
    norni_step_buffer(e, s, b, NORNI_READ);
    norni_step_buffer(e, s, norni_emit_out(e, 0), NORNI_WRITE);
    const int64_t args[] = {g->m,        g->n,   g->k,        g->a_stride, g->a_count,
                            g->b_stride, g->ldc, g->c_stride, g->c_offset};
    norni_step_i64s(e, s, sizeof args / sizeof *args, args);
    if (g->epilogue)
        norni_emit_epilogue(e, s, g->channel_rows ? NORNI_LANES_PIXELS : NORNI_LANES_CHANNELS,
                            1u | (unsigned)t->width);
    norni_step_range(s, 3, (size_t)norni_ceil_div(g->m, t->mr), (size_t)norni_ceil_div(g->n, t->nr),
                     (size_t)g->batch, 1, 1, 1);
}

/* ---- MatMulInteger. Batches as in MatMul; offsets of the zero points likewise. */
enum { A, B, A_ZERO, B_ZERO };
typedef struct {
    int rank;
    int64_t batch[NORN_MAX_RANK], m, n, k, batches;
} shape;

static void shape_of(const norn_node *node, shape *s) {
    const norni_type *a = &node->in[A]->type, *b = &node->in[B]->type, *y = &node->out[0]->type;
    *s = (shape){.rank = y->rank - (a->rank > 1) - (b->rank > 1)};
    s->m = a->rank > 1 ? a->dims[a->rank - 2] : 1;
    s->k = a->dims[a->rank - 1];
    s->n = b->rank > 1 ? b->dims[b->rank - 1] : 1;
    memcpy(s->batch, y->dims, (size_t)s->rank * sizeof *s->batch);
    s->batches = norni_elems(s->rank, s->batch);
}

/* Number of the matrix of t, which has `inner` dimensions within a matrix, for batch z. */
static int64_t matrix_of(const shape *s, const norni_type *t, int inner, int64_t z) {
    int64_t at = 0, unit = 1;
    for (int i = s->rank - 1, k = t->rank - inner - 1; i >= 0; i--, k--) {
        int64_t j = z % s->batch[i];
        z /= s->batch[i];
        if (k < 0)
            continue;
        at += t->dims[k] == 1 ? 0 : j * unit;
        unit *= t->dims[k];
    }
    return at;
}

/* Elements of a zero point: a scalar, one a row of A (column of B), or those for each matrix. */
typedef struct {
    int64_t each; /* 1, or how many rows there are */
    bool batched;
} zero_form;

static zero_form zero_of(const norn_node *node, int i, int64_t rows) {
    const norn_value *z = norni_optional(node, i);
    if (!z)
        return (zero_form){1, false};
    int64_t n = norni_type_elems(&z->type);
    int64_t own = z->type.rank > 1 ? z->type.dims[z->type.rank - (i == A_ZERO ? 2 : 1)] : n;
    return (zero_form){n == 1 ? 1 : own == 1 ? 1 : rows, n > rows || (n > 1 && own == 1 && rows > 1)};
}

static norn_status check_zero(const norni_infer *c, int i) {
    const norni_type *z = norni_in_type(c, i), *x = norni_in_type(c, i - A_ZERO);
    bool rows = i == A_ZERO;
    const char *name = norni_op_input(c->node->op, i)->name;
    if (!z || !norni_type_static(z) || norni_type_elems(z) == 1)
        return NORN_OK;
    norni_dim want = x->rank > 1 ? x->dims[x->rank - (rows ? 2 : 1)] : 1;
    if (z->rank == 1 && (want < 0 || z->dims[0] == want))
        return NORN_OK;
    bool ok = z->rank == x->rank && z->rank > 1;
    for (int k = 0; ok && k < z->rank; k++)
        ok = z->dims[k] == x->dims[k] || x->dims[k] < 0 || (z->dims[k] == 1 && k >= z->rank - 2);
    if (ok && z->dims[z->rank - (rows ? 1 : 2)] == 1)
        return NORN_OK;
    return norni_fail(NORN_SHAPE, "%s has another shape than one element, or one a %s", name,
                      rows ? "row" : "column");
}

static norn_status infer_matmul(norni_infer *c) {
    const norni_type *a = norni_in_type(c, A), *b = norni_in_type(c, B);
    norni_type *y = &c->out[0], batch_b;
    if (!norni_in_ranked(c, 2))
        return NORN_OK;
    if (a->rank == 0 || b->rank == 0)
        return norni_fail(NORN_SHAPE, "%s is a scalar (wanted rank 1 or more)", a->rank ? "B" : "A");
    norni_dim ka = a->dims[a->rank - 1], kb = b->dims[b->rank > 1 ? b->rank - 2 : 0];
    if (ka >= 0 && kb >= 0 && ka != kb)
        return norni_fail(NORN_SHAPE, "A has %lld columns, B has %lld rows (wanted equal)", (long long)ka,
                          (long long)kb);
    NORNI_TRY(check_zero(c, A_ZERO));
    NORNI_TRY(check_zero(c, B_ZERO));
    *y = *a;
    y->dtype = NORN_I32;
    y->rank = a->rank > 2 ? a->rank - 2 : 0;
    batch_b = *b;
    batch_b.rank = b->rank > 2 ? b->rank - 2 : 0;
    NORNI_TRY(norni_broadcast(c->g, y, &batch_b));
    if (a->rank > 1)
        y->dims[y->rank++] = a->dims[a->rank - 2];
    if (b->rank > 1)
        y->dims[y->rank++] = b->dims[b->rank - 1];
    return NORN_OK;
}

static int64_t zero_at(const norni_eval *e, int i, const zero_form *f, int64_t matrix, int64_t row) {
    return i < e->n_in && e->in[i]
               ? get(e->in[i], (f->batched ? matrix * f->each : 0) + (f->each > 1 ? row : 0))
               : 0;
}

static norn_status eval_matmul(norni_eval *e) {
    shape s;
    shape_of(e->node, &s);
    zero_form fa = zero_of(e->node, A_ZERO, s.m), fb = zero_of(e->node, B_ZERO, s.n);
    for (int64_t z = 0; z < s.batches; z++) {
        int64_t a = matrix_of(&s, &e->node->in[A]->type, 2, z),
                b = matrix_of(&s, &e->node->in[B]->type, 2, z);
        for (int64_t i = 0; i < s.m; i++)
            for (int64_t j = 0; j < s.n; j++) {
                int64_t sum = 0, za = zero_at(e, A_ZERO, &fa, a, i), zb = zero_at(e, B_ZERO, &fb, b, j);
                for (int64_t p = 0; p < s.k; p++)
                    sum += (get(e->in[A], (a * s.m + i) * s.k + p) - za) *
                           (get(e->in[B], (b * s.k + p) * s.n + j) - zb);
                norni_set_int(NORN_I32, norni_tensor_data(e->out[0]), (z * s.m + i) * s.n + j, sum);
            }
    }
    return NORN_OK;
}

static bool fits_one_call(const norn_node *node, const shape *s) {
    const norni_type *b = &node->in[B]->type;
    int64_t bn = b->rank > 2 ? norni_elems(b->rank - 2, b->dims) : 1, an = 1;
    const norni_type *a = &node->in[A]->type;
    an = a->rank > 2 ? norni_elems(a->rank - 2, a->dims) : 1;
    return s->batches <= 1 || (an == s->batches && (bn == s->batches || bn == 1)) ||
           (an == 1 && bn == s->batches);
}
static const char *even_batch(const norni_fit *f) {
    shape s;
    shape_of(f->node, &s);
    return fits_one_call(f->node, &s) ? NULL : "the batch is broadcast unevenly";
}

static norn_status emit_matmul(norni_emit *e) {
    const norn_node *node = e->node;
    shape s;
    shape_of(node, &s);
    zero_form fa = zero_of(node, A_ZERO, s.m), fb = zero_of(node, B_ZERO, s.n);
    int za = norni_optional(node, A_ZERO) ? A_ZERO : -1, zb = norni_optional(node, B_ZERO) ? B_ZERO : -1;
    bool once = fits_one_call(node, &s);
    int64_t an = matrix_of(&s, &node->in[A]->type, 2, s.batches - 1) + 1,
            bn = matrix_of(&s, &node->in[B]->type, 2, s.batches - 1) + 1;
    if (!s.m || !s.n || !s.batches)
        return e->status;
    /* One matrix B, and zero points that say nothing of A's matrices: a taller A. */
    if (once && s.batches > 1 && bn == 1 && !(fa.batched || fa.each > 1)) {
        s.m *= s.batches;
        an = s.batches = 1;
    }
    tile t = tile_of(e, s.m, s.n);
    for (int64_t z = 0; z < (once ? 1 : s.batches); z++) {
        int64_t a = once ? 0 : matrix_of(&s, &node->in[A]->type, 2, z),
                b = once ? 0 : matrix_of(&s, &node->in[B]->type, 2, z);
        operand oa = {A,
                      za,
                      t.mr,
                      s.m,
                      s.k,
                      s.k,
                      1,
                      a * s.m * s.k,
                      s.m * s.k,
                      once ? an : 1,
                      fa.batched ? a * fa.each : 0,
                      fa.batched ? fa.each : 0,
                      fa.each > 1};
        operand ob = {B,
                      zb,
                      t.nr,
                      s.n,
                      s.k,
                      1,
                      s.n,
                      b * s.k * s.n,
                      s.k * s.n,
                      once ? bn : 1,
                      fb.batched ? b * fb.each : 0,
                      fb.batched ? fb.each : 0,
                      fb.each > 1};
        norni_ref pa = pack(e, &oa), pb = pack(e, &ob);
        product g = {.m = s.m,
                     .n = s.n,
                     .k = s.k,
                     .batch = once ? s.batches : 1,
                     .a_stride = norni_ceil_div(s.m, t.mr) * t.mr * s.k,
                     .a_count = once ? an : 1,
                     .b_stride = once && bn > 1 ? norni_ceil_div(s.n, t.nr) * t.nr * s.k : 0,
                     .ldc = s.n,
                     .c_stride = s.m * s.n,
                     .c_offset = z * s.m * s.n,
                     .epilogue = once};
        emit_product(e, &g, &t, pa, pb);
    }
    return e->status;
}

static void cost_matmul(const norn_node *node, norni_cost *c) {
    const norni_type *a = &node->in[A]->type;
    c->flops = 2.0 * (double)norni_type_elems(&node->out[0]->type) * (double)a->dims[a->rank - 1];
}

static int matmul_epilogue_axis(const norn_node *node) {
    return node->in[B]->type.rank > 1 ? node->out[0]->type.rank - 1 : -1;
}

static const norni_impl matmul_impls[] = {
    {.name = "packed", .fits = even_batch, .emit = emit_matmul, .epilogue = true},
    {.name = "packed_each", .emit = emit_matmul},
    {0}};

const norn_op norni_op_MatMulInteger = {
    .domain = "",
    .name = "MatMulInteger",
    .versions = (const int[]){10, 0},
    .doc = "matrix product of 8-bit integers less their zero points, exact in 32 bits",
    .inputs = (const norni_param[]){{"A", NORNI_NODIFF, BYTES, 'A'},
                                    {"B", NORNI_NODIFF, BYTES, 'B'},
                                    {"a_zero_point", NORNI_OPT | NORNI_NODIFF, BYTES, 'A'},
                                    {"b_zero_point", NORNI_OPT | NORNI_NODIFF, BYTES, 'B'},
                                    {0}},
    .outputs = (const norni_param[]){{"Y", 0, NORNI_T(NORN_I32), 0}, {0}},
    .infer = infer_matmul,
    .grad = norni_no_gradient,
    .eval = eval_matmul,
    .impls = matmul_impls,
    .cost = cost_matmul,
    .epilogue_axis = matmul_epilogue_axis,
    .epilogue_retypes = true,
    .cases =
        (const char *const[]){"MatMulInteger(uint8[3,5], int8[5,4], uint8[]{7}, int8[]{-3})",
                              "MatMulInteger(int8[37,600], uint8[600,70])",
                              "MatMulInteger(uint8[4,5], uint8[5,3], uint8[4], uint8[3])",
                              "MatMulInteger(uint8[2,3,5], int8[5,4], uint8[1]{200})",
                              "MatMulInteger(int8[2,3,5], int8[2,5,4], int8[2,3,1], int8[2,1,4])",
                              "MatMulInteger(uint8[2,1,3,5], uint8[4,5,2])",
                              "MatMulInteger(int8[5], int8[5])", "MatMulInteger(int8[5], int8[5,3])",
                              "MatMulInteger(int8[3,5], int8[5])", "MatMulInteger(int8[1,5], int8[3,5,40])",
                              "MatMulInteger(int8[0,5], int8[5,4])", "MatMulInteger(int8[3,0], uint8[0,4])",
                              NULL},
};

/* ---- ConvInteger. */
enum { X, W, X_ZERO, W_ZERO };
static const norni_attr conv_table[] = {NORNI_CONV_ROWS, NORNI_A_END};

static norn_status infer_conv(norni_infer *c) {
    const norni_conv_attrs *a = c->attrs;
    const norni_type *x = norni_in_type(c, X), *w = norni_in_type(c, W), *xz = norni_in_type(c, X_ZERO),
                     *wz = norni_in_type(c, W_ZERO);
    norni_type y = c->out[0];
    int rank;
    if (!norni_in_ranked(c, 2))
        return NORN_OK;
    NORNI_TRY(norni_window_rank(x, &rank));
    NORNI_TRY(norni_conv_check_weights(c, rank, false));
    if (xz && norni_type_static(xz) && norni_type_elems(xz) != 1)
        return norni_fail(NORN_SHAPE, "x_zero_point has %lld elements (wanted 1)",
                          (long long)norni_type_elems(xz));
    if (wz && norni_type_static(wz) && norni_type_elems(wz) != 1 && w->dims[0] >= 0 &&
        norni_type_elems(wz) != w->dims[0])
        return norni_fail(NORN_SHAPE, "w_zero_point has %lld elements (wanted 1 or %lld)",
                          (long long)norni_type_elems(wz), (long long)w->dims[0]);
    y.rank = x->rank;
    y.dims[0] = x->dims[0];
    y.dims[1] = w->dims[0];
    NORNI_TRY(norni_window_infer(c->g, &a->window, rank, x->dims + 2, w->dims + 2, false, y.dims + 2));
    c->out[0] = y;
    return NORN_OK;
}

/* One output element: what lies outside x counts as its zero point, and so adds nothing. */
static int64_t conv_at(const norni_eval *e, const norni_conv *v, int64_t n, int64_t channel, int64_t o) {
    const norni_window *g = &v->w;
    int64_t sum = 0, taps = norni_window_taps(g), in = norni_window_in(g), at[3];
    int64_t zx = e->n_in > X_ZERO && e->in[X_ZERO] ? get(e->in[X_ZERO], 0) : 0, zw = 0;
    const int64_t out[] = {o / (g->out[1] * g->out[2]), o / g->out[2] % g->out[1], o % g->out[2]};
    if (e->n_in > W_ZERO && e->in[W_ZERO])
        zw = get(e->in[W_ZERO], norni_tensor_elems(e->in[W_ZERO]) > 1 ? channel : 0);
    for (int64_t c = 0; c < v->c; c++)
        for (int64_t k = 0; k < taps; k++) {
            const int64_t tap[] = {k / (g->kernel[1] * g->kernel[2]), k / g->kernel[2] % g->kernel[1],
                                   k % g->kernel[2]};
            bool inside = true;
            for (int d = 0; d < NORNI_WINDOW_DIMS; d++) {
                at[d] = out[d] * g->stride[d] + tap[d] * g->dilation[d] - g->begin[d];
                inside &= at[d] >= 0 && at[d] < g->in[d];
            }
            if (inside)
                sum += (get(e->in[X], ((n * v->group + channel / v->m) * v->c + c) * in +
                                          (at[0] * g->in[1] + at[1]) * g->in[2] + at[2]) -
                        zx) *
                       (get(e->in[W], (channel * v->c + c) * taps + k) - zw);
        }
    return sum;
}

static norn_status eval_conv(norni_eval *e) {
    norni_conv v;
    norni_conv_of(e->node, &v);
    int64_t outs = norni_window_out(&v.w), channels = v.group * v.m;
    for (int64_t i = 0, n = norni_tensor_elems(e->out[0]); i < n; i++)
        norni_set_int(NORN_I32, norni_tensor_data(e->out[0]), i,
                      conv_at(e, &v, i / outs / channels, i / outs % channels, i % outs));
    return NORN_OK;
}

static void emit_columns(norni_emit *e, const norni_conv *v, const tile *t, norni_ref to, int64_t n0,
                         int64_t images, int64_t p0, int64_t pixels) {
    int64_t rows = v->c * norni_window_taps(&v->w), blocks = norni_ceil_div(pixels, t->nr),
            in = norni_window_in(&v->w);
    int64_t rows_each = norni_device_is_cpu(e->device) ? norni_ceil_div(4096, t->nr) : 1;
    bool zero = norni_optional(e->node, X_ZERO) != NULL;
    norni_step *s = norni_emit_kernel(e, "qgemm.cl", "columns_quantised", v->dtype);
    norni_step_define(e, s, "LANES", t->nr);
    norni_step_define(e, s, "W", t->width);
    if (zero)
        norni_step_define(e, s, "ZERO", 1);
    norni_step_buffer(e, s, norni_emit_in(e, X), NORNI_READ);
    norni_step_buffer(e, s, norni_emit_in(e, zero ? X_ZERO : X), NORNI_READ);
    norni_step_buffer(e, s, to, NORNI_WRITE);
    const int64_t sizes[] = {n0 * v->group * v->c * in, v->c * in, rows, rows_each, p0, pixels,
                             rows * blocks * t->nr};
    norni_step_i64s(e, s, sizeof sizes / sizeof *sizes, sizes);
    norni_step_window(e, s, &v->w, 0);
    norni_step_items(e, s, 3, blocks, norni_ceil_div(rows, rows_each), images * v->group);
}

static norn_status emit_conv(norni_emit *e) {
    norni_conv v;
    norni_conv_of(e->node, &v);
    if (norni_window_point(&v.w)) { /* one long row */
        v.w.in[2] = v.w.out[2] = norni_window_in(&v.w);
        v.w.in[0] = v.w.in[1] = v.w.out[0] = v.w.out[1] = 1;
    }
    int64_t rows = v.c * norni_window_taps(&v.w), outs = norni_window_out(&v.w);
    if (norni_type_elems(&e->node->out[0]->type) == 0)
        return e->status;
    tile t = tile_of(e, v.m, outs);
    int64_t room = norni_conv_room(e->device) / (int64_t)sizeof(float), range = outs;
    int64_t image = v.group * rows * norni_ceil_div(outs, t.nr) * t.nr, images = room / (image ? image : 1);
    images = images > v.n ? v.n : images;
    if (images < 1) { /* part of an image's outputs at a time */
        images = 1;
        range = room / (v.group * rows) / t.nr * t.nr;
        range = range < t.nr ? t.nr : range;
    }
    const norn_value *wz = norni_optional(e->node, W_ZERO);
    bool each = wz && norni_type_elems(&wz->type) > 1;
    operand w = {W, wz ? W_ZERO : -1, t.mr,    v.m, rows,           rows, 1,
                 0, v.m * rows,       v.group, 0,   each ? v.m : 0, each};
    norni_ref a = pack(e, &w);
    norni_ref b = norni_emit_scratch(
        e, (size_t)(images * v.group * rows * norni_ceil_div(range, t.nr) * t.nr) * sizeof(float));
    for (int64_t n0 = 0; n0 < v.n; n0 += images)
        for (int64_t p0 = 0; p0 < outs; p0 += range) {
            int64_t count = v.n - n0 < images ? v.n - n0 : images,
                    pixels = outs - p0 < range ? outs - p0 : range;
            if (rows)
                emit_columns(e, &v, &t, b, n0, count, p0, pixels);
            product g = {.m = v.m,
                         .n = pixels,
                         .k = rows,
                         .batch = count * v.group,
                         .a_stride = norni_ceil_div(v.m, t.mr) * t.mr * rows,
                         .a_count = v.group,
                         .b_stride = norni_ceil_div(pixels, t.nr) * t.nr * rows,
                         .ldc = outs,
                         .c_stride = v.m * outs,
                         .c_offset = n0 * v.group * v.m * outs + p0,
                         .channel_rows = true,
                         .epilogue = true};
            emit_product(e, &g, &t, a, b);
        }
    return e->status;
}

static const norni_impl conv_impls[] = {{.name = "columns", .emit = emit_conv, .epilogue = true}, {0}};

const norn_op norni_op_ConvInteger = {
    .domain = "",
    .name = "ConvInteger",
    .versions = (const int[]){10, 0},
    .doc = "convolution of 8-bit integers less their zero points, exact in 32 bits",
    .inputs = (const norni_param[]){{"x", NORNI_NODIFF, BYTES, 'X'},
                                    {"w", NORNI_NODIFF, BYTES, 'W'},
                                    {"x_zero_point", NORNI_OPT | NORNI_NODIFF, BYTES, 'X'},
                                    {"w_zero_point", NORNI_OPT | NORNI_NODIFF, BYTES, 'W'},
                                    {0}},
    .outputs = (const norni_param[]){{"y", 0, NORNI_T(NORN_I32), 0}, {0}},
    .attrs_bytes = sizeof(norni_conv_attrs),
    .attrs = conv_table,
    .infer = infer_conv,
    .grad = norni_no_gradient,
    .eval = eval_conv,
    .impls = conv_impls,
    .cost = norni_conv_cost,
    .epilogue_retypes = true,
    .cases =
        (const char *const[]){
            "ConvInteger(uint8[1,1,3,3], uint8[1,1,2,2], uint8[]{1})",
            "ConvInteger<pads=[1,0,2,1], strides=[1,2]>(uint8[2,3,7,9], int8[5,3,3,2], uint8[]{100}, "
            "int8[5])",
            "ConvInteger<group=2, dilations=[2,1], pads=[1,1,1,1]>(int8[2,6,8,18], int8[4,3,3,3], "
            "int8[1]{-3}, int8[]{2})",
            "ConvInteger<kernel_shape=[3], auto_pad=\"SAME_UPPER\">(uint8[2,3,37], uint8[17,3,3])",
            "ConvInteger(int8[2,40,3,37], int8[17,40,1,1], int8[]{5})",
            "ConvInteger<pads=[1,1,1,1], group=3>(uint8[2,3,7,17], int8[3,1,3,3], uint8[]{128})",
            "ConvInteger<pads=[1,0,1,1,2,0]>(uint8[1,2,4,5,6], uint8[3,2,2,3,2])",
            "ConvInteger<strides=[2,2], pads=[3,3,3,3]>(uint8[1,3,21,37], int8[20,3,7,7], uint8[]{128})",
            "ConvInteger(uint8[0,2,4,4], uint8[3,2,2,2])", "ConvInteger(uint8[1,0,4,4], uint8[3,0,2,2])",
            NULL},
};
