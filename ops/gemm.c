/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/gemm.h"
#include "ops/op.h"
#include "ops/tuning.h"
#include <stdio.h>

void norni_gemm_tile(const norn_device *d, norn_dtype t, int64_t m, int64_t n, int *mr, int *nr, int *width) {
    static const int rows[] = {14, 8, 4, 1};
    size_t bytes = norni_compute_bytes(t);
    bool cpu = norni_device_is_cpu(d);
    *width = (int)((cpu ? 64 : 16) / (bytes < 4 ? 4 : bytes));
    *nr = *width * 2;
    *mr = 8;
    if (cpu) { /* the least padding; among equals the larger tile */
        int64_t best = INT64_MAX;
        for (int i = 0; i < 4; i++) {
            int64_t padded = norni_ceil_div(m, rows[i]) * rows[i] *
                             (rows[i] == 14  ? 16
                              : rows[i] == 8 ? 17
                                             : 20);
            if (padded < best) {
                best = padded;
                *mr = rows[i];
            }
        }
        if (*mr <= 4 && n > *nr * 2)
            *nr = *width * 4; /* few rows: more columns keep the pipes busy */
    }
}

/* Emits the packing of one operand into panels of p rows of the (transposed) stored matrix; returns its
 * buffer. */
static norni_ref pack(norni_emit *e, const norni_product *g, const norni_matrix *x, int64_t rows,
                      bool rows_stored, int p, int width, int64_t *batch_stride) {
    int64_t panels = norni_ceil_div(rows, p), copies = x->stride ? g->batch : 1;
    char key[96];
    bool fresh = true;
    snprintf(key, sizeof key, "gemm %d %d %lld %lld %lld %lld %lld", p, (int)rows_stored, (long long)rows,
             (long long)g->k, (long long)x->ld, (long long)x->offset, (long long)copies);
    size_t bytes = (size_t)(copies * panels * p * g->k) * norni_compute_bytes(g->dtype);
    norni_ref to =
        x->input >= 0 ? norni_emit_packed(e, x->input, bytes, key, &fresh) : norni_emit_scratch(e, bytes);
    *batch_stride = x->stride ? panels * p * g->k : 0;
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
        norni_step_i64(e, s, x->stride);
        norni_step_i64(e, s, k_part);
        norni_step_range(s, 3, (size_t)panels, (size_t)norni_ceil_div(g->k, k_part), (size_t)copies, 1, 1, 1);
    }
    if (x->input >= 0)
        norni_emit_packed_end(e);
    return to;
}

/* Another tile, where one was measured to be better: rows by vectors. */
static void tuned_tile(const norn_device *d, const norni_product *g, int *mr, int *nr, int width) {
    static const char *const names[] = {"14x2", "12x2", "10x2", "8x2", "8x3", "6x4", "6x3",
                                        "6x2",  "4x4",  "4x2",  "2x4", "1x4", "1x2"};
    static const int rows[] = {14, 12, 10, 8, 8, 6, 6, 6, 4, 4, 2, 1, 1},
                     vectors[] = {2, 2, 2, 2, 3, 4, 3, 2, 4, 2, 4, 4, 2};
    enum { TILES = sizeof rows / sizeof *rows };
    char key[96];
    int rule = 0;
    while (rule < TILES && (rows[rule] != *mr || vectors[rule] * width != *nr))
        rule++;
    if (rule == TILES)
        return;
    snprintf(key, sizeof key, "gemm %s %lldx%lldx%lld", norni_dtype_name(g->dtype), (long long)g->m,
             (long long)g->n, (long long)g->k);
    int i = norni_tuned(d, key, TILES, names, rule);
    *mr = rows[i];
    *nr = vectors[i] * width;
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

norn_status norni_emit_product(norni_emit *e, const norni_product *g) {
    int mr, nr, width;
    int64_t a_stride, b_stride;
    if (!g->m || !g->n || !g->batch)
        return e->status;
    if (!norni_device_is_cpu(e->device) && norni_tiled_takes(e->device, g))
        return norni_emit_product_tiled(e, g);
    norni_gemm_tile(e->device, g->dtype, g->m, g->tile_n ? g->tile_n : g->n, &mr, &nr, &width);
    if (!g->a_packed && !g->b_packed)
        tuned_tile(e->device, g, &mr, &nr, width);
    norni_ref a = g->a.ref, b = g->b.ref;
    a_stride = g->a.stride;
    b_stride = g->b.stride;
    bool as_is = g->m == 1 && mr == 1 && !g->a.trans && !g->a.offset &&
                 (g->a.dtype == NORN_UNDEFINED || g->a.dtype == g->dtype) &&
                 norni_compute_dtype(g->dtype) == g->dtype; /* a single row is its own panel */
    if (!g->a_packed && !as_is)
        a = pack(e, g, &g->a, g->m, !g->a.trans, mr, width, &a_stride);
    if (!g->b_packed)
        b = pack(e, g, &g->b, g->n, g->b.trans, nr, width, &b_stride);
    norn_dtype stored = g->c_dtype != NORN_UNDEFINED ? g->c_dtype : g->dtype;
    norni_step *s = norni_emit_kernel(e, "gemm.cl", "gemm", stored);
    norni_step_define(e, s, "MR", mr);
    norni_step_define(e, s, "NR", nr);
    norni_step_define(e, s, "W", width);
    norni_step_buffer(e, s, a, NORNI_READ);
    norni_step_buffer(e, s, b, NORNI_READ);
    norni_step_buffer(e, s, g->c, NORNI_WRITE);
    const int64_t sizes[] = {g->m,     g->n,        g->k,
                             a_stride, b_stride,    g->b_packed ? g->b.offset : 0,
                             g->ldc,   g->stride_c, g->c_offset};
    norni_step_i64s(e, s, sizeof sizes / sizeof *sizes, sizes);
    norni_emit_product_end(e, s, g, 1u | (unsigned)width);
    /* Short sums are bound by what is written: then neighbours write long rows side by side, as long as B stays in a
     * cache. */
    enum { SHORT = 256, LONG_ROW = 256, CACHE_BYTES = 512 * 1024 };
    size_t rows = (size_t)norni_ceil_div(g->m, mr), columns = (size_t)norni_ceil_div(g->n, nr);
    bool rows_last = norni_device_is_cpu(e->device) && g->k <= SHORT && g->n > LONG_ROW &&
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
