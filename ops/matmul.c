/* SPDX-License-Identifier: Apache-2.0 */
/* Products of matrices: MatMul (numpy.matmul), Gemm (alpha A' B' + beta C). Sources: ONNX MatMul-13, Gemm-13.
 */
#include "ops/gemm.h"
#include "ops/op.h"
#include <string.h>

#define TYPES (NORNI_FLOATS | NORNI_T(NORN_I32) | NORNI_T(NORN_I64) | NORNI_T(NORN_U32) | NORNI_T(NORN_U64))

/* ---- MatMul. The shapes with ranks of 1 filled up: batch dimensions, then M x K and K x N. */
typedef struct {
    int rank;                                                                         /* of the batch */
    int64_t batch[NORN_MAX_RANK], a_strides[NORN_MAX_RANK], b_strides[NORN_MAX_RANK]; /* in matrices */
    int64_t m, n, k;
} matmul_shape;

static norn_status infer_matmul(norni_infer *c) {
    const norni_type *a = norni_in_type(c, 0), *b = norni_in_type(c, 1);
    norni_type *y = &c->out[0], batch_b;
    if (!norni_in_ranked(c, 2))
        return NORN_OK;
    if (a->rank == 0 || b->rank == 0)
        return norni_fail(NORN_SHAPE, "%s is a scalar (wanted rank 1 or more)", a->rank ? "B" : "A");
    norni_dim ka = a->dims[a->rank - 1], kb = b->dims[b->rank > 1 ? b->rank - 2 : 0];
    if (ka >= 0 && kb >= 0 && ka != kb)
        return norni_fail(NORN_SHAPE, "A has %lld columns, B has %lld rows (wanted equal)", (long long)ka,
                          (long long)kb);
    *y = *a;
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

static void shape_of(const norn_node *node, matmul_shape *s) {
    const norni_type *a = &node->in[0]->type, *b = &node->in[1]->type;
    int ra = a->rank > 2 ? a->rank - 2 : 0, rb = b->rank > 2 ? b->rank - 2 : 0;
    int64_t sa = 1, sb = 1;
    *s = (matmul_shape){.rank = ra > rb ? ra : rb};
    s->m = a->rank > 1 ? a->dims[a->rank - 2] : 1;
    s->k = a->dims[a->rank - 1];
    s->n = b->rank > 1 ? b->dims[b->rank - 1] : 1;
    for (int i = s->rank - 1; i >= 0; i--) {
        int ia = i - (s->rank - ra), ib = i - (s->rank - rb);
        int64_t da = ia < 0 ? 1 : a->dims[ia], db = ib < 0 ? 1 : b->dims[ib];
        s->batch[i] = da == 1 ? db : da;
        s->a_strides[i] = da == 1 ? 0 : sa;
        s->b_strides[i] = db == 1 ? 0 : sb;
        sa *= da;
        sb *= db;
    }
}

/* One side of a product for the host reference: element (row, p) lies at `at` + row * row_step + p * p_step. */
typedef struct {
    const void *data;
    int64_t at, row_step, p_step;
} side;

/* sums[i * n + j] = sum over p of a(i, p) b(j, p), one p after the other, in double. False: there is no memory. */
static bool sum_products(norn_dtype t, int64_t m, int64_t n, int64_t k, const side *a, const side *b,
                         double *sums) {
    enum { ROWS = 4 }; /* at once, for what is loaded of b */
    double *columns = norni_alloc_array((size_t)(n * k) + 1, sizeof *columns); /* [p][j] */
    for (int64_t p = 0; p < k && columns; p++)
        for (int64_t j = 0; j < n; j++)
            columns[p * n + j] = norni_get_double(t, b->data, b->at + j * b->row_step + p * b->p_step);
    for (int64_t i = 0; i < m && columns; i += ROWS) {
        int64_t rows = m - i < ROWS ? m - i : ROWS;
        double *restrict s = sums + i * n;
        memset(s, 0, (size_t)(rows * n) * sizeof *s);
        for (int64_t p = 0; p < k; p++) {
            const double *restrict c = columns + p * n;
            double v[ROWS];
            for (int64_t r = 0; r < rows; r++)
                v[r] = norni_get_double(t, a->data, a->at + (i + r) * a->row_step + p * a->p_step);
            if (rows == ROWS)
                for (int64_t j = 0; j < n; j++) {
                    s[j] += v[0] * c[j];
                    s[n + j] += v[1] * c[j];
                    s[2 * n + j] += v[2] * c[j];
                    s[3 * n + j] += v[3] * c[j];
                }
            else
                for (int64_t r = 0; r < rows; r++)
                    for (int64_t j = 0; j < n; j++)
                        s[r * n + j] += v[r] * c[j];
        }
    }
    norni_free(columns);
    return columns != NULL;
}

static norn_status eval_matmul(norni_eval *e) {
    matmul_shape s;
    shape_of(e->node, &s);
    norn_dtype t = e->out[0]->dtype;
    const void *a = norni_tensor_data(e->in[0]), *b = norni_tensor_data(e->in[1]);
    int64_t batches = norni_elems(s.rank, s.batch), idx[NORN_MAX_RANK] = {0};
    bool real = norni_dtype_is_float(t);
    double *sums = norni_alloc_array(real ? (size_t)(s.m * s.n) + 1 : 1, sizeof *sums);
    if (!sums)
        return norni_nomem();
    for (int64_t z = 0; z < batches; z++) {
        int64_t za = 0, zb = 0;
        for (int i = 0; i < s.rank; i++) {
            za += idx[i] * s.a_strides[i];
            zb += idx[i] * s.b_strides[i];
        }
        const side rows = {a, za * s.m * s.k, s.k, 1}, columns = {b, zb * s.k * s.n, 1, s.n};
        if (real && !sum_products(t, s.m, s.n, s.k, &rows, &columns, sums)) {
            norni_free(sums);
            return norni_nomem();
        }
        for (int64_t i = 0; i < s.m; i++)
            for (int64_t j = 0; j < s.n; j++) {
                int64_t ia = (za * s.m + i) * s.k, ib = zb * s.k * s.n + j, o = (z * s.m + i) * s.n + j;
                if (real) {
                    norni_set_double(t, norni_tensor_data(e->out[0]), o, sums[i * s.n + j]);
                } else {
                    uint64_t sum = 0;
                    for (int64_t p = 0; p < s.k; p++)
                        sum += (uint64_t)norni_get_int(t, a, ia + p) *
                               (uint64_t)norni_get_int(t, b, ib + p * s.n);
                    norni_set_int(t, norni_tensor_data(e->out[0]), o, (int64_t)sum);
                }
            }
        for (int i = s.rank - 1; i >= 0 && ++idx[i] == s.batch[i]; i--)
            idx[i] = 0;
    }
    norni_free(sums);
    return NORN_OK;
}

/* The batch as groups within groups, innermost first, in each of which the offsets of both operands grow evenly. */
typedef struct {
    int n;
    int64_t count[NORN_MAX_RANK], a[NORN_MAX_RANK], b[NORN_MAX_RANK]; /* steps in matrices */
} levels;

static void levels_of(const matmul_shape *s, levels *l) {
    l->n = 0;
    for (int i = s->rank - 1; i >= 0; i--) {
        int k = l->n - 1;
        if (s->batch[i] == 1)
            continue;
        if (k >= 0 && s->a_strides[i] == l->a[k] * l->count[k] && s->b_strides[i] == l->b[k] * l->count[k]) {
            l->count[k] *= s->batch[i];
            continue;
        }
        l->count[l->n] = s->batch[i];
        l->a[l->n] = s->a_strides[i];
        l->b[l->n++] = s->b_strides[i];
    }
}

typedef norn_status product_fn(norni_emit *e, const norni_product *g);

/* `most`: groups within groups that the function takes, 1 or 2; for more it is called several times. */
static norn_status emit_matmul_with(norni_emit *e, product_fn *product, int most) {
    matmul_shape s;
    levels l;
    shape_of(e->node, &s);
    levels_of(&s, &l);
    norni_product g = {.dtype = e->node->in[0]->type.dtype,
                       .m = s.m,
                       .n = s.n,
                       .k = s.k,
                       .batch = norni_elems(s.rank, s.batch),
                       .alpha = 1,
                       .a = {norni_emit_in(e, 0), 0, false, s.k, 0, 0, NORN_UNDEFINED, 0},
                       .b = {norni_emit_in(e, 1), 1, false, s.n, 0, 0, NORN_UNDEFINED, 0},
                       .c = norni_emit_out(e, 0),
                       .ldc = s.n,
                       .stride_c = s.m * s.n,
                       .d = -1,
                       .epilogue = true};
    if (!g.batch)
        return e->status;
    g.a.stride = l.n ? l.a[0] * s.m * s.k : 0;
    g.b.stride = l.n ? l.b[0] * s.k * s.n : 0;
    if (l.n == 1 && !g.b.stride && g.a.stride == s.m * s.k) { /* one matrix B: a taller A */
        g.m *= g.batch;
        g.batch = 1;
        g.a.stride = 0;
    }
    if (l.n == 2 && most == 2) {
        g.inner = l.count[0];
        g.a.outer = l.a[1] * s.m * s.k;
        g.b.outer = l.b[1] * s.k * s.n;
    }
    if (l.n <= most)
        return product(e, &g);
    /* The outer groups one by one. No epilogue then: it needs the whole output. */
    int64_t idx[NORN_MAX_RANK] = {0}, calls = g.batch / l.count[0];
    g.batch = l.count[0];
    g.epilogue = false;
    for (int64_t z = 0; z < calls; z++) {
        int64_t za = 0, zb = 0;
        for (int i = 1; i < l.n; i++) {
            za += idx[i] * l.a[i];
            zb += idx[i] * l.b[i];
        }
        g.a.offset = za * s.m * s.k;
        g.b.offset = zb * s.k * s.n;
        g.c_offset = z * g.batch * s.m * s.n;
        NORNI_TRY(product(e, &g));
        for (int i = 1; i < l.n && ++idx[i] == l.count[i]; i++)
            idx[i] = 0;
    }
    return e->status;
}

static norn_status emit_matmul(norni_emit *e) {
    return emit_matmul_with(e, norni_emit_product, norni_device_is_cpu(e->device) ? 2 : 1);
}
static norn_status emit_matmul_tiled(norni_emit *e) {
    return emit_matmul_with(e, norni_emit_product_tiled, 1);
}
static norn_status emit_matmul_blas(norni_emit *e) {
    return emit_matmul_with(e, norni_emit_product_blas, 1);
}

static int levels_in(const norni_fit *f) {
    matmul_shape s;
    levels l;
    shape_of(f->node, &s);
    levels_of(&s, &l);
    return l.n;
}

static const char *matmul_even(const norni_fit *f) {
    return levels_in(f) <= (norni_device_is_cpu(f->device) ? 2 : 1) ? NULL
                                                                    : "the batch is broadcast unevenly";
}

static const char *matmul_tiled(const norni_fit *f) {
    const char *why = norni_tiled_fits(f);
    return why ? why : levels_in(f) <= 1 ? NULL : "the batch is broadcast unevenly";
}

static const char *matmul_blas_best(const norni_fit *f) {
    matmul_shape s;
    shape_of(f->node, &s);
    return norni_blas_best(f, s.m, s.n, s.k);
}

/* da = dy b', db = a' dy; a rank of 1 counts as a row (a) or a column (b). */
static void grad_matmul(norni_grad *c) {
    norn_graph *g = c->g;
    norn_value *a = c->node->in[0], *b = c->node->in[1], *dy = c->dy[0];
    bool va = a->type.rank == 1, vb = b->type.rank == 1;
    norn_value *first = norni_i64_const(g, 1, (int64_t[]){va && vb ? 0 : -2}),
               *last = norni_i64_const(g, 1, (int64_t[]){-1});
    if (va && vb) { /* a dot product */
        if (c->want[0])
            c->dx[0] = NORNI_OP2(g, dy, b, "Mul");
        if (c->want[1])
            c->dx[1] = NORNI_OP2(g, dy, a, "Mul");
        return;
    }
    norn_value *am = va ? NORNI_OP2(g, a, norni_i64_const(g, 1, (int64_t[]){0}), "Unsqueeze") : a;
    norn_value *bm = vb ? NORNI_OP2(g, b, last, "Unsqueeze") : b;
    norn_value *dm = va   ? NORNI_OP2(g, dy, first, "Unsqueeze")
                     : vb ? NORNI_OP2(g, dy, last, "Unsqueeze")
                          : dy;
    if (c->want[0]) {
        c->dx[0] = norni_matmul_t(g, dm, false, bm, true);
        if (va)
            c->dx[0] = NORNI_OP2(g, c->dx[0], first, "Squeeze");
    }
    if (c->want[1]) {
        norn_value *rest = NULL;
        /* With one matrix B the batch of A is part of the sum: rows of a taller matrix. */
        if (b->type.rank == 2 && a->type.rank > 2) {
            norn_value *k = norni_i64_const(g, 2, (int64_t[]){-1, a->type.dims[a->type.rank - 1]}),
                       *n = norni_i64_const(g, 2, (int64_t[]){-1, b->type.dims[1]});
            if (norni_type_static(&a->type) && norni_type_static(&b->type))
                rest = norni_matmul_t(g, NORNI_OP2(g, am, k, "Reshape"), true, NORNI_OP2(g, dm, n, "Reshape"),
                                      false);
        }
        c->dx[1] = rest ? rest : norni_matmul_t(g, am, true, dm, false);
        if (vb)
            c->dx[1] = NORNI_OP2(g, c->dx[1], last, "Squeeze");
    }
}

static void cost_matmul(const norn_node *node, norni_cost *c) {
    const norni_type *a = &node->in[0]->type;
    c->flops = 2.0 * (double)norni_type_elems(&node->out[0]->type) * (double)a->dims[a->rank - 1];
}

/* The kernel's columns are the last axis, unless B is a vector and has none. */
static int matmul_epilogue_axis(const norn_node *node) {
    return node->in[1]->type.rank > 1 ? node->out[0]->type.rank - 1 : -1;
}

static const norni_impl matmul_impls[] = {
    {.name = "clblast", .fits = matmul_blas_best, .emit = emit_matmul_blas, .blas = true},
    {.name = "tiled", .fits = matmul_tiled, .emit = emit_matmul_tiled, .epilogue = true},
    {.name = "packed", .fits = matmul_even, .emit = emit_matmul, .epilogue = true},
    {.name = "packed_each", .emit = emit_matmul},
    {.name = "clblast", .fits = norni_blas_fits, .emit = emit_matmul_blas, .blas = true},
    {0},
};

const norn_op norni_op_MatMul = {
    .domain = "",
    .name = "MatMul",
    .versions = (const int[]){1, 9, 13, 0},
    .doc = "matrix product of the last two axes, broadcast over the others; a rank of 1 is a row (A) or "
           "column (B)",
    .inputs = (const norni_param[]){{"A", 0, TYPES, 'T'}, {"B", 0, TYPES, 'T'}, {0}},
    .outputs = (const norni_param[]){{"Y", 0, TYPES, 'T'}, {0}},
    .infer = infer_matmul,
    .grad = grad_matmul,
    .eval = eval_matmul,
    .impls = matmul_impls,
    .cost = cost_matmul,
    .epilogue_axis = matmul_epilogue_axis,
    .cases = (const char *const[]){"MatMul(float[3,5], float[5,4])",
                                   "MatMul(float[37,19], float[19,70])",
                                   "MatMul(float[250,9], float[9,256])",
                                   "MatMul(float[125,19], float[19,120])",
                                   "MatMul(float[2,3,5], float[5,4])",
                                   "MatMul(float[2,1,3,5], float[4,5,2])",
                                   "MatMul(float[5], float[5])",
                                   "MatMul(float[5], float[2,5,3])",
                                   "MatMul(float[2,3,5], float[5])",
                                   "MatMul(float[0,5], float[5,4])",
                                   "MatMul(float[3,1,2,7,9], float[4,1,9,21])",
                                   "MatMul(float[2,1,5,9], float[3,9,2])",
                                   "MatMul(float[1,70], float[70,3])",
                                   "MatMul(float[9,70], float[70,1])",
                                   "MatMul(float[3,33], float[33,77])",
                                   "MatMul(float[6,40], float[40,5])",
                                   "MatMul(float[3,0], float[0,4])",
                                   "MatMul(float[3,2,1], float[3,1,2])",
                                   "MatMul(int32[3,5], int32[5,4])",
                                   "MatMul(uint64[3,5], uint64[5,4])",
                                   NULL},
};

/* ---- Gemm. */
typedef struct {
    float alpha, beta;
    int64_t transA, transB;
    int64_t broadcast; /* before opset 7: C broadcast on request only */
} gemm_attrs;
static const norni_attr gemm_table[] = {
    NORNI_A_FLOAT(gemm_attrs, alpha, 1),
    NORNI_A_FLOAT(gemm_attrs, beta, 1),
    NORNI_A_INT(gemm_attrs, transA, 0),
    NORNI_A_INT(gemm_attrs, transB, 0),
    NORNI_A(gemm_attrs, broadcast, INT, .flags = NORNI_ATTR_OLD, .since = 7),
    NORNI_A_END};

static norn_status infer_gemm(norni_infer *c) {
    const gemm_attrs *at = c->attrs;
    const norni_type *a = norni_in_type(c, 0), *b = norni_in_type(c, 1);
    if (!norni_in_ranked(c, 2))
        return NORN_OK;
    if (a->rank != 2 || b->rank != 2)
        return norni_fail(NORN_SHAPE, "A has rank %d, B has rank %d (wanted 2)", a->rank, b->rank);
    norni_dim ka = a->dims[at->transA ? 0 : 1], kb = b->dims[at->transB ? 1 : 0];
    if (ka >= 0 && kb >= 0 && ka != kb)
        return norni_fail(NORN_SHAPE,
                          "A has %lld columns, B has %lld rows after transposition (wanted equal)",
                          (long long)ka, (long long)kb);
    norni_type y = c->out[0];
    y.rank = 2;
    y.dims[0] = a->dims[at->transA ? 1 : 0];
    y.dims[1] = b->dims[at->transB ? 0 : 1];
    c->out[0] = y;
    if (norni_in_has(c, 2)) {
        const norni_type *d = norni_in_type(c, 2);
        norn_status s = norni_broadcast(c->g, &y, d);
        if (s != NORN_OK || y.rank != 2)
            return norni_fail(NORN_SHAPE, "C does not broadcast to the product's shape");
        for (int i = 0; i < 2; i++)
            if (y.dims[i] >= 0 && c->out[0].dims[i] >= 0 && y.dims[i] != c->out[0].dims[i])
                return norni_fail(NORN_SHAPE, "C has size %lld in dimension %d (wanted %lld or 1)",
                                  (long long)y.dims[i], i, (long long)c->out[0].dims[i]);
    }
    return NORN_OK;
}

/* Strides with which the optional C is read. */
static void addend(const norn_node *node, int64_t *sm, int64_t *sn) {
    const norni_type *d = &node->in[2]->type, *y = &node->out[0]->type;
    *sn = d->rank > 0 && d->dims[d->rank - 1] != 1 ? 1 : 0;
    *sm = d->rank > 1 && d->dims[0] != 1 ? d->dims[1] : 0;
    if (y->dims[1] == 1 && *sn == 1)
        *sn = 0;
}

static bool has_addend(const norn_node *node) {
    return node->n_in > 2 && node->in[2];
}

static norn_status eval_gemm(norni_eval *e) {
    const gemm_attrs *at = e->attrs;
    norn_dtype t = e->out[0]->dtype;
    int64_t m = e->out[0]->dims[0], n = e->out[0]->dims[1], k = e->in[0]->dims[at->transA ? 0 : 1], sm = 0,
            sn = 0;
    int64_t a_i = at->transA ? 1 : k, a_p = at->transA ? m : 1, b_j = at->transB ? k : 1,
            b_p = at->transB ? 1 : n;
    const void *a = norni_tensor_data(e->in[0]), *b = norni_tensor_data(e->in[1]);
    bool d = has_addend(e->node);
    bool real = norni_dtype_is_float(t);
    double *sums = norni_alloc_array(real ? (size_t)(m * n) + 1 : 1, sizeof *sums);
    if (d)
        addend(e->node, &sm, &sn);
    const side rows = {a, 0, a_i, a_p}, columns = {b, 0, b_j, b_p};
    if (!sums || (real && !sum_products(t, m, n, k, &rows, &columns, sums))) {
        norni_free(sums);
        return norni_nomem();
    }
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            if (real) {
                double sum = sums[i * n + j] * (double)at->alpha;
                if (d)
                    sum +=
                        (double)at->beta * norni_get_double(t, norni_tensor_data(e->in[2]), i * sm + j * sn);
                norni_set_double(t, norni_tensor_data(e->out[0]), i * n + j, sum);
            } else {
                uint64_t sum = 0;
                for (int64_t p = 0; p < k; p++)
                    sum += (uint64_t)norni_get_int(t, a, i * a_i + p * a_p) *
                           (uint64_t)norni_get_int(t, b, j * b_j + p * b_p);
                sum *= (uint64_t)(int64_t)at->alpha;
                if (d)
                    sum += (uint64_t)(int64_t)at->beta *
                           (uint64_t)norni_get_int(t, norni_tensor_data(e->in[2]), i * sm + j * sn);
                norni_set_int(t, norni_tensor_data(e->out[0]), i * n + j, (int64_t)sum);
            }
        }
    norni_free(sums);
    return NORN_OK;
}

static norn_status emit_gemm_with(norni_emit *e, product_fn *product) {
    const gemm_attrs *at = e->node->attrs;
    const norni_type *a = &e->node->in[0]->type, *b = &e->node->in[1]->type, *y = &e->node->out[0]->type;
    norni_product g = {.dtype = a->dtype,
                       .m = y->dims[0],
                       .n = y->dims[1],
                       .k = a->dims[at->transA ? 0 : 1],
                       .batch = 1,
                       .alpha = (double)at->alpha,
                       .beta = (double)at->beta,
                       .a = {norni_emit_in(e, 0), 0, at->transA != 0, a->dims[1], 0, 0, NORN_UNDEFINED, 0},
                       .b = {norni_emit_in(e, 1), 1, at->transB != 0, b->dims[1], 0, 0, NORN_UNDEFINED, 0},
                       .c = norni_emit_out(e, 0),
                       .ldc = y->dims[1],
                       .stride_c = y->dims[0] * y->dims[1],
                       .d = -1,
                       .epilogue = true};
    if (has_addend(e->node) && at->beta != 0) {
        g.d = norni_emit_in(e, 2);
        addend(e->node, &g.d_sm, &g.d_sn);
    }
    return product(e, &g);
}

static norn_status emit_gemm(norni_emit *e) {
    return emit_gemm_with(e, norni_emit_product);
}
static norn_status emit_gemm_tiled(norni_emit *e) {
    return emit_gemm_with(e, norni_emit_product_tiled);
}
static norn_status emit_gemm_blas(norni_emit *e) {
    return emit_gemm_with(e, norni_emit_product_blas);
}

static const char *gemm_blas_best(const norni_fit *f) {
    const gemm_attrs *at = f->node->attrs;
    const norni_type *y = &f->node->out[0]->type;
    return norni_blas_best(f, y->dims[0], y->dims[1], f->node->in[0]->type.dims[at->transA ? 0 : 1]);
}

static void grad_gemm(norni_grad *c) {
    const gemm_attrs *at = c->node->attrs;
    norn_graph *g = c->g;
    norn_value *a = c->node->in[0], *b = c->node->in[1], *dy = c->dy[0];
    double alpha = (double)at->alpha;
    int ta = at->transA != 0, tb = at->transB != 0;
    if (c->want[0]) /* dA = alpha dy B', or its transpose */
        c->dx[0] = ta ? NORNI_OP2(g, b, dy, "Gemm<alpha=%.9g, transA=%d, transB=1>", alpha, tb)
                      : NORNI_OP2(g, dy, b, "Gemm<alpha=%.9g, transB=%d>", alpha, !tb);
    if (c->want[1])
        c->dx[1] = tb ? NORNI_OP2(g, dy, a, "Gemm<alpha=%.9g, transA=1, transB=%d>", alpha, ta)
                      : NORNI_OP2(g, a, dy, "Gemm<alpha=%.9g, transA=%d>", alpha, !ta);
    if (c->node->n_in > 2 && c->want[2])
        c->dx[2] = at->beta == 1
                       ? dy
                       : NORNI_OP2(g, dy, norni_scalar_const(g, dy->type.dtype, (double)at->beta), "Mul");
}

static void cost_gemm(const norn_node *node, norni_cost *c) {
    const gemm_attrs *at = node->attrs;
    c->flops = 2.0 * (double)norni_type_elems(&node->out[0]->type) *
               (double)node->in[0]->type.dims[at->transA ? 0 : 1];
}

static const norni_impl gemm_impls[] = {
    {.name = "clblast", .fits = gemm_blas_best, .emit = emit_gemm_blas, .blas = true},
    {.name = "tiled", .fits = norni_tiled_fits, .emit = emit_gemm_tiled, .epilogue = true},
    {.name = "packed", .emit = emit_gemm, .epilogue = true},
    {.name = "clblast", .fits = norni_blas_fits, .emit = emit_gemm_blas, .blas = true},
    {0},
};

/* Before opset 11 there always is a C. */
static norn_status lower_gemm(norni_adapt *a) {
    norn_node *n = a->node;
    if (a->version < 7)
        ((gemm_attrs *)n->attrs)->broadcast = 1;
    if (a->version >= 11 || (n->n_in > 2 && n->in[2]))
        return NORN_OK;
    n->in[2] =
        norni_fill_const(a->g, &(norni_type){.dtype = n->in[0]->type.dtype, .rank = 1, .dims = {1}}, 0);
    n->n_in = 3;
    return a->g->status;
}

const norn_op norni_op_Gemm = {
    .domain = "",
    .name = "Gemm",
    .versions = (const int[]){1, 6, 7, 9, 11, 13, 0},
    .doc = "alpha A' B' + beta C, with A and B transposed on request and C broadcast",
    .inputs =
        (const norni_param[]){{"A", 0, TYPES, 'T'}, {"B", 0, TYPES, 'T'}, {"C", NORNI_OPT, TYPES, 'T'}, {0}},
    .outputs = (const norni_param[]){{"Y", 0, TYPES, 'T'}, {0}},
    .attrs_bytes = sizeof(gemm_attrs),
    .attrs = gemm_table,
    .lower = lower_gemm,
    .infer = infer_gemm,
    .grad = grad_gemm,
    .eval = eval_gemm,
    .impls = gemm_impls,
    .cost = cost_gemm,
    .cases = (const char *const[]){"Gemm(float[3,5], float[5,4])",
                                   "Gemm<transA=1>(float[5,3], float[5,4], float[4])",
                                   "Gemm<transB=1, beta=0.5>(float[3,5], float[4,5], float[3,1])",
                                   "Gemm<alpha=0.25, transA=1, transB=1>(float[5,3], float[4,5], float[3,4])",
                                   "Gemm<beta=0.0>(float[3,5], float[5,4], float[])",
                                   "Gemm(float[33,65], float[65,47], float[1,47])",
                                   "Gemm<transB=1>(float[2,37], float[50,37], float[50])",
                                   "Gemm<transA=1>(float[70,11], float[70,50], float[11,1])",
                                   "Gemm<transA=1, transB=1>(float[70,3], float[9,70])",
                                   "Gemm(float[3,0], float[0,4], float[4])",
                                   "Gemm(int32[3,5], int32[5,4], int32[4])", NULL},
};
