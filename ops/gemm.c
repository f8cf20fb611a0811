/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/gemm.h"
#include "ops/op.h"
#include "ops/tuning.h"
#include <stdio.h>

void norni_gemm_tile(const norn_device *d, norn_dtype t, int64_t m, int64_t n, int *mr, int *nr, int *width) {
    static const int rows[] = {14, 12, 10, 8, 6, 4, 3, 2, 1};
    size_t bytes = norni_compute_bytes(t);
    bool cpu = norni_device_is_cpu(d);
    *width = (int)((cpu ? 64 : 16) / (bytes < 4 ? 4 : bytes));
    *nr = *width * 2;
    *mr = 8;
    if (!cpu)
        return;
    /* The least time: a row of padding takes as long as another one, a tile as long as a row. */
    int64_t best = INT64_MAX;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t time = norni_ceil_div(m, rows[i]) * (rows[i] + 1);
        if (time < best) {
            best = time;
            *mr = rows[i];
        }
    }
    int64_t vectors = norni_ceil_div(n, *width);
    if (*mr <= 4)
        *nr = *width *
              (vectors > 2 ? 4 : (int)norni_max(vectors, 1)); /* few rows: more columns keep the pipes busy */
    else if (vectors % 2 && vectors < 8)
        *nr = *width; /* else much of a product of few columns would be padding */
}

/* Emits the packing of one operand into panels of p rows of the (transposed) stored matrix; returns its
 * buffer. */
static norni_ref pack(norni_emit *e, const norni_product *g, const norni_matrix *x, int64_t rows,
                      bool rows_stored, int p, int width, int64_t *batch_stride, int64_t *outer) {
    int64_t panels = norni_ceil_div(rows, p), matrix = rows * g->k, copies = 1;
    if (g->inner && (x->stride || x->outer)) /* each once, in order */
        copies = (x->stride ? g->inner : 1) * (x->outer ? g->batch / g->inner : 1);
    else if (x->stride)
        copies = g->batch;
    char key[96];
    bool fresh = true;
    snprintf(key, sizeof key, "gemm %d %d %lld %lld %lld %lld %lld", p, (int)rows_stored, (long long)rows,
             (long long)g->k, (long long)x->ld, (long long)x->offset, (long long)copies);
    size_t bytes = (size_t)(copies * panels * p * g->k) * norni_compute_bytes(g->dtype);
    norni_ref to =
        x->input >= 0 ? norni_emit_packed(e, x->input, bytes, key, &fresh) : norni_emit_scratch(e, bytes);
    *batch_stride = x->stride ? panels * p * g->k : 0;
    *outer = x->outer ? (x->stride ? g->inner : 1) * panels * p * g->k : 0;
    if (fresh && panels && g->k) {
        int64_t parts = panels * copies >= 16 ? 1 : 8, k_part = norni_ceil_div(g->k, parts);
        norni_step *s =
            norni_emit_kernel(e, "gemm.cl", "pack_rows", x->dtype != NORN_UNDEFINED ? x->dtype : g->dtype);
        norni_step_define_text(e, s, "REAL", g->dtype == NORN_F64 ? "double" : "float");
        /* Of a transposition: whole blocks make a panel, or it goes by way of a tile. Larger ones are no faster, and take
         * long to compile. */
        int block = width > 8 ? 8 : width;
        while (block > 4 && p % block)
            block /= 2;
        norni_step_define(e, s, "P", p);
        norni_step_define(e, s, "W", p % block ? width : block);
        norni_step_buffer(e, s, x->ref, NORNI_READ);
        norni_step_buffer(e, s, to, NORNI_WRITE);
        norni_step_i64(e, s, rows);
        norni_step_i64(e, s, g->k);
        norni_step_i64(e, s, rows_stored ? x->ld : 1);
        norni_step_i64(e, s, rows_stored ? 1 : x->ld);
        norni_step_i64(e, s, x->offset);
        norni_step_i64(e, s, g->inner ? matrix : x->stride);
        norni_step_i64(e, s, k_part);
        norni_step_range(s, 3, (size_t)panels, (size_t)norni_ceil_div(g->k, k_part), (size_t)copies, 1, 1, 1);
    }
    if (x->input >= 0)
        norni_emit_packed_end(e);
    return to;
}

/* An A that no cache of a core holds is read anew for every panel of columns: then a tile of few rows and twice the columns
 * halves what comes from memory, unless that pads more columns (measured from 250 to 2048 columns: 0.99 to 1.5 times as fast,
 * while an A of 2 MB gains nothing). */
static void wide_tile(const norn_device *d, const norni_product *g, int *mr, int *nr, int width) {
    enum { ROWS = 4, VECTORS = 4, BEYOND_CACHES = 4 * 1000 * 1000, PADDING = 20 /* one of so many */ };
    int64_t columns = norni_ceil_div(g->n, *nr) * *nr, wide = VECTORS * (int64_t)width,
            wide_columns = norni_ceil_div(g->n, wide) * wide;
    if (!norni_device_is_cpu(d) || *mr <= ROWS || g->n <= wide ||
        wide_columns - columns > columns / PADDING ||
        (double)g->m * (double)g->k * (double)norni_compute_bytes(g->dtype) < BEYOND_CACHES)
        return;
    *mr = ROWS;
    *nr = (int)wide;
}

/* Another tile, where one was measured to be better: rows by vectors. Offered are those that are not mostly padding. */
static void tuned_tile(const norn_device *d, const norni_product *g, int *mr, int *nr, int width) {
    static const struct {
        const char *name;
        int rows, vectors;
    } tiles[] = {{"14x2", 14, 2}, {"12x2", 12, 2}, {"10x2", 10, 2}, {"8x2", 8, 2},   {"8x3", 8, 3},
                 {"6x4", 6, 4},   {"6x3", 6, 3},   {"6x2", 6, 2},   {"4x4", 4, 4},   {"4x2", 4, 2},
                 {"3x4", 3, 4},   {"3x2", 3, 2},   {"2x4", 2, 4},   {"2x2", 2, 2},   {"1x4", 1, 4},
                 {"1x2", 1, 2},   {"14x1", 14, 1}, {"12x1", 12, 1}, {"10x1", 10, 1}, {"8x1", 8, 1},
                 {"6x1", 6, 1},   {"4x1", 4, 1},   {"3x1", 3, 1},   {"2x1", 2, 1},   {"1x1", 1, 1}};
    enum { TILES = sizeof tiles / sizeof *tiles };
    const char *names[TILES];
    int which[TILES], n = 0, rule = -1;
    int64_t vectors = norni_ceil_div(g->n, width);
    for (int i = 0; i < TILES; i++) {
        bool is_rule = tiles[i].rows == *mr && tiles[i].vectors * width == *nr;
        if (!is_rule && (tiles[i].rows >= 2 * g->m || tiles[i].vectors > vectors ||
                         (tiles[i].vectors == 1 && (vectors % 2 == 0 || vectors > 8))))
            continue;
        if (is_rule)
            rule = n;
        which[n] = i;
        names[n++] = tiles[i].name;
    }
    if (rule < 0)
        return;
    char key[96];
    snprintf(key, sizeof key, "gemm %s %lldx%lldx%lld", norni_dtype_name(g->dtype), (long long)g->m,
             (long long)g->n, (long long)g->k);
    int i = which[norni_tuned(d, key, n, names, rule)];
    *mr = tiles[i].rows;
    *nr = tiles[i].vectors * width;
}

void norni_emit_product_end(norni_emit *e, norni_step *s, const norni_product *g, unsigned widths) {
    norni_step_define_text(e, s, "REAL", g->dtype == NORN_F64 ? "double" : "float");
    if (g->alpha != 1)
        norni_step_define(e, s, "SCALE", 1);
    norni_step_real(e, s, g->dtype, g->alpha);
    if (g->d >= 0) {
        const int64_t steps[] = {g->d_sm, g->d_sn, g->d_offset, g->d_stride};
        norni_step_define(e, s, "HAS_D", 1);
        norni_step_buffer(e, s, g->d, NORNI_READ);
        norni_step_real(e, s, g->dtype, g->beta);
        norni_step_i64s(e, s, sizeof steps / sizeof *steps, steps);
    }
    if (g->channel_rows) {
        norni_step_define(e, s, "CHANNEL_ROWS", 1);
        norni_step_i64(e, s, g->channel);
        norni_step_i64(e, s, g->channel_step);
    }
    if (g->epilogue)
        norni_emit_epilogue_once(e, s, g->channel_rows ? NORNI_LANES_PIXELS : NORNI_LANES_CHANNELS, widths);
}

/* ---- Operands as they are, on CPUs: what packing takes is worth it for long sums over many tiles only. */
static bool plain(const norni_product *g, const norni_matrix *x) {
    return (x->dtype == NORN_UNDEFINED || x->dtype == g->dtype) &&
           norni_compute_dtype(g->dtype) == g->dtype &&
           (g->c_dtype == NORN_UNDEFINED || g->c_dtype == g->dtype);
}

static bool packed_at_load(const norni_emit *e, const norni_matrix *x) {
    return x->input >= 0 && norni_emit_steady(e, x->input);
}

/* Rows that lie a page apart evict each other from a cache that is walked column by column. */
enum { PAGE_BYTES = 4096, ROWS_IN_CACHE = 6, FEW_ROWS = 32, FEW_COLUMNS = 512, FEW_ELEMS = 32 * 1024 };

static bool reads_a_rows(const norni_emit *e, const norni_product *g, int mr) {
    size_t row = (size_t)g->a.ld * norni_compute_bytes(g->dtype);
    bool clash = !g->a.trans && mr > ROWS_IN_CACHE && row % PAGE_BYTES == 0 && g->k > FEW_COLUMNS;
    return g->k && !g->a_packed && plain(g, &g->a) && !packed_at_load(e, &g->a) && !clash &&
           (g->n <= FEW_COLUMNS || g->m * g->k <= FEW_ELEMS);
}

static bool reads_b_rows(const norni_emit *e, const norni_product *g, int width) {
    return g->k && !g->b_packed && !g->b.trans && plain(g, &g->b) && !packed_at_load(e, &g->b) &&
           g->n >= width / 4 && (g->m <= FEW_ROWS || g->n * g->k <= FEW_ELEMS);
}

static void groups(norni_emit *e, norni_step *s, const norni_product *g, int64_t a_outer, int64_t b_outer) {
    if (!g->inner)
        return;
    norni_step_define(e, s, "GROUPS", 1);
    norni_step_i64(e, s, g->inner);
    norni_step_i64(e, s, a_outer);
    norni_step_i64(e, s, b_outer);
}

/* ---- Products with very few rows or columns: sums along the rows of both operands, as they lie in memory. */
enum { FEW = 4, SHORT_SUM = 32 };

static bool along_k(const norni_matrix *x, bool rows_stored, int64_t rows) {
    return rows_stored || (rows == 1 && x->ld == 1);
}

static bool fits_dots(const norni_emit *e, const norni_product *g) {
    if (!norni_device_is_cpu(e->device) || g->a_packed || g->b_packed || !plain(g, &g->a) ||
        !plain(g, &g->b) || g->k < SHORT_SUM)
        return false;
    if (g->n <= FEW && along_k(&g->a, !g->a.trans, g->m))
        return true;
    return g->m <= FEW && along_k(&g->b, g->b.trans, g->n) && !packed_at_load(e, &g->b);
}

static norn_status emit_dots(norni_emit *e, const norni_product *g) {
    int mr = g->n <= FEW ? FEW : (int)g->m, nr = g->n <= FEW ? (int)g->n : FEW,
        width = (int)(64 / norni_compute_bytes(g->dtype));
    if (g->n <= FEW && g->m < FEW)
        mr = (int)g->m;
    norni_matrix a = g->a, b = g->b;
    if (!along_k(&a, !a.trans, g->m)) {
        a = (norni_matrix){.ld = g->k};
        a.ref = pack(e, g, &g->a, g->m, !g->a.trans, 1, width, &a.stride, &a.outer);
    } else if (a.trans)
        a.ld = g->k;
    if (!along_k(&b, b.trans, g->n)) {
        b = (norni_matrix){.ld = g->k};
        b.ref = pack(e, g, &g->b, g->n, g->b.trans, 1, width, &b.stride, &b.outer);
    } else if (!b.trans)
        b.ld = g->k;
    norni_step *s = norni_emit_kernel(e, "gemm.cl", "dots", g->dtype);
    norni_step_define(e, s, "MR", mr);
    norni_step_define(e, s, "NR", nr);
    norni_step_define(e, s, "W", width);
    norni_step_buffer(e, s, a.ref, NORNI_READ);
    norni_step_buffer(e, s, b.ref, NORNI_READ);
    norni_step_buffer(e, s, g->c, NORNI_WRITE);
    const int64_t sizes[] = {g->m,   g->n,        g->k,        a.stride, b.stride, b.offset,
                             g->ldc, g->stride_c, g->c_offset, a.offset, a.ld,     b.ld};
    norni_step_i64s(e, s, sizeof sizes / sizeof *sizes, sizes);
    groups(e, s, g, a.outer, b.outer);
    norni_emit_product_end(e, s, g, 1);
    norni_step_range(s, 3, (size_t)norni_ceil_div(g->m, mr), (size_t)norni_ceil_div(g->n, nr),
                     (size_t)g->batch, 1, 1, 1);
    return e->status;
}

/* B as it is: tiles no wider than its rows. */
static void narrow_tile(int64_t n, int *nr, int *width) {
    while (*width > n)
        *width /= 2;
    if (*nr > *width * 2 && n < *nr)
        *nr = *width * 2;
    if (n < *nr)
        *nr = *width;
}

norn_status norni_emit_product(norni_emit *e, const norni_product *g) {
    int mr, nr, width;
    if (!g->m || !g->n || !g->batch)
        return e->status;
    if (!norni_device_is_cpu(e->device) && norni_tiled_takes(e->device, g))
        return norni_emit_product_tiled(e, g);
    if (fits_dots(e, g))
        return emit_dots(e, g);
    bool cpu = norni_device_is_cpu(e->device);
    norni_gemm_tile(e->device, g->dtype, g->m, g->tile_n ? g->tile_n : g->n, &mr, &nr, &width);
    if (!g->a_packed && !g->b_packed) {
        wide_tile(e->device, g, &mr, &nr, width);
        tuned_tile(e->device, g, &mr, &nr, width);
    }
    bool sums = cpu && g->k > 0; /* of an empty sum nothing is read: an operand may never have been written */
    bool a_rows = sums && reads_a_rows(e, g, mr), b_rows = sums && reads_b_rows(e, g, width);
    if (b_rows)
        narrow_tile(g->n, &nr, &width);
    norni_matrix a = g->a, b = g->b;
    if (!g->a_packed && !a_rows)
        a.ref = pack(e, g, &g->a, g->m, !g->a.trans, mr, width, &a.stride, &a.outer);
    if (!g->b_packed && !b_rows)
        b.ref = pack(e, g, &g->b, g->n, g->b.trans, nr, width, &b.stride, &b.outer);
    norn_dtype stored = g->c_dtype != NORN_UNDEFINED ? g->c_dtype : g->dtype;
    norni_step *s = norni_emit_kernel(e, "gemm.cl", "gemm", stored);
    norni_step_define(e, s, "MR", mr);
    norni_step_define(e, s, "NR", nr);
    norni_step_define(e, s, "W", width);
    norni_step_buffer(e, s, a.ref, NORNI_READ);
    norni_step_buffer(e, s, b.ref, NORNI_READ);
    norni_step_buffer(e, s, g->c, NORNI_WRITE);
    const int64_t sizes[] = {g->m,     g->n,        g->k,
                             a.stride, b.stride,    g->b_packed || b_rows ? b.offset : 0,
                             g->ldc,   g->stride_c, g->c_offset};
    norni_step_i64s(e, s, sizeof sizes / sizeof *sizes, sizes);
    if (a_rows) {
        norni_step_define(e, s, "A_ROWS", 1);
        norni_step_i64(e, s, a.offset);
        norni_step_i64(e, s, a.trans ? 1 : a.ld);
        norni_step_i64(e, s, a.trans ? a.ld : 1);
    }
    if (b_rows) {
        norni_step_define(e, s, "B_ROWS", 1);
        norni_step_i64(e, s, b.ld);
    }
    groups(e, s, g, a.outer, b.outer);
    norni_emit_product_end(e, s, g, 1u | (unsigned)width);
    /* Short sums are bound by what is written: then neighbours write long rows side by side, as long as B stays in a
     * cache. */
    enum { SHORT = 256, LONG_ROW = 256, CACHE_BYTES = 512 * 1024 };
    size_t rows = (size_t)norni_ceil_div(g->m, mr), columns = (size_t)norni_ceil_div(g->n, nr);
    bool rows_last = cpu && g->k <= SHORT && g->n > LONG_ROW &&
                     (size_t)(g->k * nr) * columns * norni_compute_bytes(g->dtype) <= CACHE_BYTES;
    if (rows_last)
        norni_step_define(e, s, "ROWS_LAST", 1);
    norni_step_range(s, 3, rows_last ? columns : rows, rows_last ? rows : columns, (size_t)g->batch, 1, 1, 1);
    return e->status;
}

norn_status norni_emit_product_blas(norni_emit *e, const norni_product *g) {
    if (!g->m || !g->n || !g->batch)
        return e->status;
    if (g->d >= 0 && g->d != g->c) {
        norni_step *s = norni_emit_kernel(e, "gemm.cl", "spread", g->dtype);
        norni_step_define_text(e, s, "REAL", g->dtype == NORN_F64 ? "double" : "float");
        norni_step_buffer(e, s, g->d, NORNI_READ);
        norni_step_buffer(e, s, g->c, NORNI_WRITE);
        const int64_t sizes[] = {g->m,        g->n,        g->d_sm,     g->d_sn,    g->ldc,
                                 g->stride_c, g->c_offset, g->d_offset, g->d_stride};
        norni_step_i64s(e, s, sizeof sizes / sizeof *sizes, sizes);
        norni_step_items(e, s, 3, g->n, g->m, g->batch);
    }
    norni_gemm call = {.dtype = g->dtype,
                       .trans_a = g->a.trans,
                       .trans_b = g->b.trans,
                       .m = g->m,
                       .n = g->n,
                       .k = g->k,
                       .batch = g->batch,
                       .alpha = g->alpha,
                       .beta = g->d >= 0 ? g->beta : 0,
                       .a_offset = g->a.offset,
                       .b_offset = g->b.offset,
                       .c_offset = g->c_offset,
                       .lda = g->a.ld,
                       .ldb = g->b.ld,
                       .ldc = g->ldc,
                       .stride_a = g->a.stride,
                       .stride_b = g->b.stride,
                       .stride_c = g->stride_c};
    norni_emit_gemm(e, &call, g->a.ref, g->b.ref, g->c);
    return e->status;
}

const char *norni_blas_fits(const norni_fit *f) {
    norn_dtype t = f->node->in[0]->type.dtype;
    return t == NORN_F32 || t == NORN_F64 ? NULL : "CLBlast is used for float and double only";
}

const char *norni_blas_best(const norni_fit *f, int64_t m, int64_t n, int64_t k) {
    static const char *const names[] = {"tiled", "clblast"};
    const char *why = norni_blas_fits(f);
    char key[96];
    if (norni_device_is_cpu(f->device))
        return "norn's own kernels are better on CPUs";
    if (why)
        return why;
    snprintf(key, sizeof key, "product %s %lldx%lldx%lld", norn_dtype_name(f->node->in[0]->type.dtype),
             (long long)m, (long long)n, (long long)k);
    int rule = (double)m * (double)n * (double)k >= 256.0 * 256 * 256;
    return norni_tuned(f->device, key, 2, names, rule) ? NULL : "norn's tiles are taken for these sizes";
}
