/* SPDX-License-Identifier: Apache-2.0 */
/* Det (ONNX Det-22): determinants of x [..., M, M], by elimination with the largest pivot of each column.
 *
 *     d det(x) / dx = cofactors of x          norn.Cofactors, each the determinant of a minor: right for singular x too
 *     with A = cofactors / det: the gradient of the cofactors for G is det ((A : G) A - A G' A), where x is regular
 */
#include "ops/op.h"
#include <math.h>

static bool is_det(const norn_op *op) {
    return *op->name == 'D';
}

static norn_status infer(norni_infer *c) {
    const norni_type *x = norni_in_type(c, 0);
    c->out[0] = *x;
    if (x->rank < 0)
        return NORN_OK;
    if (x->rank < 2)
        return norni_fail(NORN_SHAPE, "X has rank %d (wanted at least 2)", x->rank);
    norni_dim rows = x->dims[x->rank - 2], cols = x->dims[x->rank - 1];
    if (rows >= 0 && cols >= 0 && rows != cols)
        return norni_fail(NORN_SHAPE, "the matrices are %lld x %lld (wanted square ones)", (long long)rows,
                          (long long)cols);
    if (is_det(c->node->op))
        c->out[0].rank -= 2;
    return NORN_OK;
}

/* ---- Host reference: the matrix without row and column (-1: with all), in place. */
static double determinant(double *a, int64_t n) {
    double det = 1;
    for (int64_t k = 0; k < n; k++) {
        int64_t p = k;
        for (int64_t i = k + 1; i < n; i++)
            if (fabs(a[i * n + k]) > fabs(a[p * n + k]))
                p = i;
        if (a[p * n + k] == 0)
            return 0;
        for (int64_t j = k; j < n && p != k; j++) {
            double t = a[p * n + j];
            a[p * n + j] = a[k * n + j];
            a[k * n + j] = t;
        }
        det *= p != k ? -a[k * n + k] : a[k * n + k];
        for (int64_t i = k + 1; i < n; i++) {
            double f = a[i * n + k] / a[k * n + k];
            for (int64_t j = k; j < n; j++)
                a[i * n + j] -= f * a[k * n + j];
        }
    }
    return det;
}

static norn_status eval(norni_eval *e) {
    const norn_tensor *x = e->in[0];
    norn_tensor *y = e->out[0];
    bool det = is_det(e->node->op);
    int64_t n = x->dims[x->rank - 1], each = det ? 1 : n * n;
    double *a = norni_alloc_array((size_t)(n * n) + 1, sizeof *a);
    for (int64_t q = 0; q < norni_tensor_elems(y) && a; q++) {
        int64_t m = q / each, skip_i = det ? -1 : q % each / n, skip_j = det ? -1 : q % n, k = 0;
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < n; j++)
                if (i != skip_i && j != skip_j)
                    a[k++] = norni_get_double(x->dtype, norni_tensor_data(x), (m * n + i) * n + j);
        double d = determinant(a, det ? n : n - 1);
        norni_set_double(y->dtype, norni_tensor_data(y), q, det || (skip_i + skip_j) % 2 == 0 ? d : -d);
    }
    norni_free(a);
    return a ? NORN_OK : norni_nomem();
}

/* ---- Device: a work-item a determinant. */
static norn_status emit(norni_emit *e) {
    const norni_type *x = &e->node->in[0]->type;
    bool det = is_det(e->node->op);
    int64_t n = x->dims[x->rank - 1], count = norni_type_elems(&e->node->out[0]->type), m = det ? n : n - 1;
    if (count == 0)
        return e->status;
    size_t bytes = (x->dtype == NORN_F64 ? sizeof(double) : sizeof(float));
    norni_step *k = norni_emit_kernel(e, "det.cl", det ? "det" : "cofactors", x->dtype);
    norni_step_buffer(e, k, norni_emit_in(e, 0), NORNI_READ);
    norni_step_buffer(e, k, norni_emit_out(e, 0), NORNI_WRITE);
    norni_step_buffer(e, k, norni_emit_scratch(e, bytes * (size_t)(count * m * m + 1)), NORNI_WRITE);
    norni_step_i64(e, k, count);
    norni_step_i64(e, k, n);
    norni_step_items(e, k, 1, count, 1, 1);
    return e->status;
}
static const norni_impl impls[] = {{.name = "elimination", .emit = emit}, {0}};

/* ---- Gradients. */
static norn_value *as_matrix(norn_graph *g, norn_value *v) {
    return NORNI_OP2(g, v, norni_i64_const(g, 2, (int64_t[]){-2, -1}), "Unsqueeze");
}

static void grad_det(norni_grad *c) {
    c->dx[0] =
        NORNI_OP2(c->g, as_matrix(c->g, c->dy[0]), NORNI_OP1(c->g, c->node->in[0], "norn.Cofactors"), "Mul");
}

static void grad_cofactors(norni_grad *c) {
    norn_graph *g = c->g;
    norn_value *det = as_matrix(g, NORNI_OP1(g, c->node->in[0], "Det"));
    norn_value *a = NORNI_OP2(g, c->node->out[0], det, "Div");
    norn_value *axes = norni_i64_const(g, 2, (int64_t[]){-2, -1});
    norn_value *s = NORNI_OP2(g, NORNI_OP2(g, a, c->dy[0], "Mul"), axes, "ReduceSum");
    norn_value *turned = NORNI_OP2(g, NORNI_OP2(g, a, norni_swap_last(g, c->dy[0]), "MatMul"), a, "MatMul");
    c->dx[0] = NORNI_OP2(g, det, NORNI_OP2(g, NORNI_OP2(g, s, a, "Mul"), turned, "Sub"), "Mul");
}

static void cost(const norn_node *node, norni_cost *c) {
    double n = (double)node->in[0]->type.dims[node->in[0]->type.rank - 1];
    c->flops = (double)norni_type_elems(&node->out[0]->type) * n * n * n * 2 / 3;
}

#define DET(id, space, text, ...)                                                                            \
    const norn_op norni_op_##id = {.domain = space,                                                          \
                                   .name = #id,                                                              \
                                   .doc = text,                                                              \
                                   .inputs = (const norni_param[]){{"X", 0, NORNI_FLOATS, 'T'}, {0}},        \
                                   .outputs = (const norni_param[]){{"Y", 0, NORNI_FLOATS, 'T'}, {0}},       \
                                   .infer = infer,                                                           \
                                   .eval = eval,                                                             \
                                   .impls = impls,                                                           \
                                   .cost = cost,                                                             \
                                   __VA_ARGS__}
DET(Det, "", "determinants of square matrices", .versions = (const int[]){11, 22, 0}, .grad = grad_det,
    .cases = (const char *const[]){"Det(float[3,3])", "Det(float[2,5,4,4])", "Det(float[1,1])",
                                   "Det(float[7,2,2])", "Det(float[0,3,3])", "Det(float[2,2]{0,1,1,0})",
                                   NULL});
DET(Cofactors, "norn", "cofactors of square matrices: signed determinants of the minors",
    .versions = (const int[]){1, 0}, .grad = grad_cofactors,
    .cases = (const char *const[]){"norn.Cofactors(float[3,3])", "norn.Cofactors(float[2,4,4])",
                                   "norn.Cofactors(float[2,1,1])", "norn.Cofactors(float[2,2]{1,1,1,1})",
                                   NULL});
