/* SPDX-License-Identifier: Apache-2.0 */
/* ai.onnx.ml.SVMRegressor and SVMClassifier: sums of a kernel function between rows of x and support vectors, said by ONNX's
 * operators. A classifier has a sum for each pair of classes, which vote; probabilities of pairs become those of classes
 * by norn.Couple. Strings are refused, and of the classifier what ONNX's reference and ONNX Runtime read in different ways.
 * Sources: ONNX ai.onnx.ml 1 and its reference implementation. */
#include "ops/ml.h"
#include "ops/rows.h"
#include <math.h>
#include <string.h>

enum { MAX_CLASSES = 32 };

/* ---- norn.Couple. */
typedef struct {
    int64_t classes;
} couple_attrs;
static const norni_attr couple_table[] = {NORNI_A_INT(couple_attrs, classes, 2, .lo = 2, .hi = MAX_CLASSES),
                                          NORNI_A_END};

static norn_status infer_couple(norni_infer *c) {
    const norni_type *x = norni_in_type(c, 0);
    int64_t k = ((const couple_attrs *)c->attrs)->classes;
    if (x->rank < 0)
        return NORN_OK;
    if (x->rank != 2 || (x->dims[1] >= 0 && x->dims[1] != k * (k - 1) / 2))
        return norni_fail(NORN_SHAPE, "pair has rank %d (wanted [N, %lld])", x->rank,
                          (long long)(k * (k - 1) / 2));
    c->out[0].rank = 2;
    c->out[0].dims[0] = x->dims[0];
    c->out[0].dims[1] = k;
    return NORN_OK;
}

/* The probabilities p of k classes from those of the pairs, as ops/svm.cl says. */
static void couple(int k, const double *pair, double *p) {
    double r[MAX_CLASSES][MAX_CLASSES] = {{0}}, q[MAX_CLASSES][MAX_CLASSES] = {{0}}, qp[MAX_CLASSES];
    for (int i = 0; i < k; i++)
        for (int j = i + 1; j < k; j++, pair++) {
            r[i][j] = *pair;
            r[j][i] = 1 - *pair;
        }
    for (int t = 0; t < k; t++) {
        p[t] = 1.0 / k;
        for (int j = 0; j < k; j++) {
            q[t][t] += j != t ? r[j][t] * r[j][t] : 0;
            if (j != t)
                q[t][j] = -r[j][t] * r[t][j];
        }
    }
    for (int round = 0; round < 100; round++) {
        double all = 0, worst = 0;
        for (int t = 0; t < k; t++) {
            qp[t] = 0;
            for (int j = 0; j < k; j++)
                qp[t] += q[t][j] * p[j];
            all += p[t] * qp[t];
        }
        for (int t = 0; t < k; t++)
            worst = fmax(worst, fabs(qp[t] - all));
        if (worst < 0.005 / k)
            break;
        for (int t = 0; t < k; t++) {
            double d = (all - qp[t]) / q[t][t];
            p[t] += d;
            all = (all + d * (d * q[t][t] + 2 * qp[t])) / ((1 + d) * (1 + d));
            for (int j = 0; j < k; j++) {
                qp[j] = (qp[j] + d * q[t][j]) / (1 + d);
                p[j] /= 1 + d;
            }
        }
    }
}

static norn_status eval_couple(norni_eval *e) {
    int k = (int)((const couple_attrs *)e->attrs)->classes, pairs = k * (k - 1) / 2;
    const norn_tensor *x = e->in[0];
    norn_tensor *y = e->out[0];
    double pair[MAX_CLASSES * (MAX_CLASSES - 1) / 2], p[MAX_CLASSES];
    for (int64_t row = 0; row < x->dims[0]; row++) {
        for (int i = 0; i < pairs; i++)
            pair[i] = norni_get_double(x->dtype, norni_tensor_data(x), row * pairs + i);
        couple(k, pair, p);
        for (int t = 0; t < k; t++)
            norni_set_double(y->dtype, norni_tensor_data(y), row * k + t, p[t]);
    }
    return NORN_OK;
}

static norn_status emit_couple(norni_emit *e) {
    const norni_type *x = &e->node->in[0]->type;
    int64_t rows = x->dims[0], units = e->device->compute_units ? e->device->compute_units : 1;
    int64_t each = norni_device_is_cpu(e->device) ? (rows + units * 4 - 1) / (units * 4) : 1;
    if (!rows)
        return e->status;
    norni_step *s = norni_emit_kernel(e, "svm.cl", "couple", x->dtype);
    norni_step_define(e, s, "K", ((const couple_attrs *)e->node->attrs)->classes);
    norni_step_buffer(e, s, norni_emit_in(e, 0), NORNI_READ);
    norni_step_buffer(e, s, norni_emit_out(e, 0), NORNI_WRITE);
    norni_step_i64(e, s, rows);
    norni_step_i64(e, s, each);
    norni_step_items(e, s, 1, (rows + each - 1) / each, 1, 1);
    return e->status;
}

static void cost_couple(const norn_node *node, norni_cost *c) {
    double k = (double)((const couple_attrs *)node->attrs)->classes;
    c->flops = (double)node->in[0]->type.dims[0] * k * k * 50;
}

#define FLOATS_X (NORNI_T(NORN_F32) | NORNI_T(NORN_F64))
static const norni_impl couple_impls[] = {{.name = "rows", .emit = emit_couple}, {0}};
const norn_op norni_op_Couple = {
    .domain = "norn",
    .name = "Couple",
    .versions = (const int[]){1, 0},
    .doc = "probabilities of classes from those of pairs",
    .inputs = (const norni_param[]){{"pair", NORNI_NODIFF, FLOATS_X, 'T'}, {0}},
    .outputs = (const norni_param[]){{"y", 0, FLOATS_X, 'T'}, {0}},
    .attrs_bytes = sizeof(couple_attrs),
    .attrs = couple_table,
    .infer = infer_couple,
    .grad = norni_no_gradient,
    .eval = eval_couple,
    .impls = couple_impls,
    .cost = cost_couple,
    .cases = (const char *const[]){"norn.Couple(float[3,1]{0.2,0.9,0.5})",
                                   "norn.Couple<classes=4>(double[2,6]{0.2,0.9,0.5,0.6,0.7,0.1, "
                                   "0.5,0.5,0.5,0.5,0.5,0.5})",
                                   "norn.Couple<classes=3>(float[0,3])", NULL},
    .lo = 0.05,
    .hi = 0.95,
};

/* ---- What both have. */
enum { LINEAR, POLY, RBF, SIGMOID };
static const char *const kernels[] = {"LINEAR", "POLY", "RBF", "SIGMOID", NULL};
typedef struct {
    norni_floats coefficients, kernel_params, rho, support_vectors, prob_a, prob_b;
    norni_ints classlabels_ints, vectors_per_class;
    norni_strings classlabels_strings;
    int kernel_type, post_transform;
    int64_t n_supports, one_class;
} attrs;
#define FLOAT_LIST(f) NORNI_A(attrs, f, FLOATS, .flags = NORNI_ATTR_OPTIONAL)
#define COMMON                                                                                               \
    FLOAT_LIST(coefficients), FLOAT_LIST(kernel_params), FLOAT_LIST(rho), FLOAT_LIST(support_vectors),       \
        NORNI_A_ENUM(attrs, kernel_type, kernels, LINEAR),                                                   \
        NORNI_A_ENUM(attrs, post_transform, norni_post_words, NORNI_POST_NONE)
static const norni_attr regressor_table[] = {COMMON,
                                             NORNI_A_INT(attrs, n_supports, 0, .lo = 0, .hi = INT32_MAX),
                                             NORNI_A_INT(attrs, one_class, 0, .lo = 0, .hi = 1), NORNI_A_END};
static const norni_attr classifier_table[] = {
    COMMON,
    FLOAT_LIST(prob_a),
    FLOAT_LIST(prob_b),
    NORNI_A_INTS(attrs, classlabels_ints),
    NORNI_A_INTS(attrs, vectors_per_class, .lo = 0, .hi = INT32_MAX),
    NORNI_A(attrs, classlabels_strings, STRINGS, .flags = NORNI_ATTR_OPTIONAL),
    NORNI_A_END};

static int length(const norni_floats *f) {
    return f->n > 0 ? f->n : 0;
}

/* The lists fit: `supports` vectors (0: a linear model of `rows` rows of coefficients) of the features of x. */
static norn_status check_lists(const norni_infer *c, int64_t supports, int64_t rows, norni_dim *n) {
    const attrs *a = c->attrs;
    int64_t values = supports ? length(&a->support_vectors) : length(&a->coefficients),
            per = supports ? supports : rows;
    norni_dim features = -1;
    if (values < 1 || values % per)
        return norni_fail(NORN_ARG, "%s has %lld elements (wanted a multiple of %lld)",
                          supports ? "support_vectors" : "coefficients", (long long)values, (long long)per);
    if (supports && length(&a->coefficients) != rows * supports)
        return norni_fail(NORN_ARG, "coefficients has %d elements (wanted %lld)", length(&a->coefficients),
                          (long long)(rows * supports));
    if (supports && a->kernel_type != LINEAR && length(&a->kernel_params) != 3)
        return norni_fail(NORN_ARG, "kernel_params has %d elements (wanted gamma, coef0, degree)",
                          length(&a->kernel_params));
    if (length(&a->rho) < 1)
        return norni_fail(NORN_ARG, "rho is missing or empty");
    if (norni_in_type(c, 0)->rank < 0) {
        *n = norni_dim_fresh(c->g);
        return NORN_OK;
    }
    NORNI_TRY(norni_ml_rows(norni_in_type(c, 0), n, &features));
    if (features >= 0 && features != values / per)
        return norni_fail(NORN_SHAPE, "X has %lld features (wanted %lld)", (long long)features,
                          (long long)(values / per));
    return NORN_OK;
}

static norn_value *matrix(norn_graph *g, norn_dtype t, int64_t rows, int64_t cols, const double *v) {
    norn_tensor *x;
    norn_status s = norni_tensor_host(t, 2, (int64_t[]){rows, cols}, &x);
    if (s != NORN_OK)
        return norni_graph_failed(g, s);
    for (int64_t i = 0; v && i < rows * cols; i++)
        norni_set_double(t, norni_tensor_data(x), i, v[i]);
    return norni_value_const(g, NULL, x);
}

/* x and the support vectors without the latters' mean, so that |x - v|^2 = |x|^2 + |v|^2 - 2 x v loses little. */
static norn_value *distances(norn_graph *g, norn_value *x, const attrs *a, int64_t supports) {
    int64_t features = a->support_vectors.n / supports;
    double *v = norni_alloc_array((size_t)a->support_vectors.n, sizeof *v),
           *mean = norni_alloc_array((size_t)features, sizeof *mean),
           *square = norni_alloc_array((size_t)supports, sizeof *square);
    static const char *const names[] = {"a", "b", "c"};
    norn_value *y = NULL;
    if (v && mean && square) {
        for (int64_t i = 0; i < a->support_vectors.n; i++)
            mean[i % features] += (double)a->support_vectors.v[i] / (double)supports;
        for (int64_t i = 0; i < a->support_vectors.n; i++) {
            v[i] = (double)a->support_vectors.v[i] - mean[i % features];
            square[i / features] += v[i] * v[i];
        }
        norn_dtype t = x->type.dtype;
        norn_value *from = NORNI_OP2(g, x, matrix(g, t, 1, features, mean), "Sub");
        norn_value *vars[] = {
            NORNI_OP2(g, from, norni_i64_const(g, 1, (int64_t[]){1}), "ReduceSumSquare<keepdims=1>"),
            matrix(g, t, 1, supports, square),
            norni_matmul_t(g, from, false, matrix(g, t, supports, features, v), true)};
        y = norni_formula(g, "max(a + b - 2.0 * c, 0.0)", 3, names, vars);
    } else
        norni_graph_failed(g, norni_nomem());
    norni_free(v);
    norni_free(mean);
    norni_free(square);
    return y;
}

/* [N, supports]: the kernel function between each row of x and each support vector. */
static norn_value *kernel_of(norn_graph *g, norn_value *x, const attrs *a, int64_t supports) {
    norn_dtype t = x->type.dtype;
    if (a->kernel_type == RBF) {
        norn_value *gamma = norni_scalar_const(g, t, -(double)a->kernel_params.v[0]);
        return NORNI_OP1(g, NORNI_OP2(g, distances(g, x, a, supports), gamma, "Mul"), "Exp");
    }
    norn_value *v = norni_ml_floats(g, &a->support_vectors, t, a->support_vectors.n / supports);
    norn_value *y = norni_matmul_t(g, x, false, v, true);
    if (a->kernel_type == LINEAR)
        return y;
    y = NORNI_OP2(g, y, norni_scalar_const(g, t, (double)a->kernel_params.v[0]), "Mul");
    y = NORNI_OP2(g, y, norni_scalar_const(g, t, (double)a->kernel_params.v[1]), "Add");
    return a->kernel_type == SIGMOID
               ? NORNI_OP1(g, y, "Tanh")
               : NORNI_OP2(g, y, norni_scalar_const(g, t, floor((double)a->kernel_params.v[2])), "Pow");
}

static norn_value *rows_of(norn_graph *g, norn_value *x) {
    x = norni_ml_real(g, x);
    return x && x->type.rank == 1 ? NORNI_OP2(g, x, norni_i64_const(g, 1, (int64_t[]){0}), "Unsqueeze") : x;
}

/* ---- SVMRegressor. */
static norn_status infer_regressor(norni_infer *c) {
    const attrs *a = c->attrs;
    norni_dim n = -1;
    NORNI_TRY(check_lists(c, a->n_supports, 1, &n));
    c->out[0].rank = 2;
    c->out[0].dims[0] = n;
    c->out[0].dims[1] = 1;
    return NORN_OK;
}

static norn_status expand_regressor(norn_graph *g, const norn_node *node, norn_value **out) {
    const attrs *a = node->attrs;
    norn_value *x = rows_of(g, node->in[0]);
    if (!x)
        return norn_graph_status(g);
    norn_dtype t = x->type.dtype;
    norn_value *k = a->n_supports ? kernel_of(g, x, a, a->n_supports) : x;
    norn_value *y =
        norni_matmul_t(g, k, false, norni_ml_floats(g, &a->coefficients, t, a->coefficients.n), true);
    y = NORNI_OP2(g, y, norni_scalar_const(g, t, (double)a->rho.v[0]), "Add");
    if (a->one_class) {
        norn_value *in[] = {NORNI_OP2(g, y, norni_scalar_const(g, t, 0), "Greater"),
                            norni_scalar_const(g, t, 1), norni_scalar_const(g, t, -1)};
        y = norni_opf(g, 3, in, "Where");
    }
    out[0] = norni_cast(g, norni_ml_post(g, y, a->post_transform), NORN_F32);
    return norn_graph_status(g);
}

/* ---- SVMClassifier. */
static int64_t supports_of(const attrs *a) {
    int64_t n = 0;
    for (int i = 0; i < a->vectors_per_class.n; i++)
        n += a->vectors_per_class.v[i];
    return n;
}
static bool couples(const attrs *a) {
    return length(&a->prob_a) > 0;
}
static int64_t pairs_of(const attrs *a) {
    int64_t k = a->classlabels_ints.n;
    return k * (k - 1) / 2;
}
static bool all_positive(const norni_floats *f) {
    for (int i = 0; i < f->n; i++)
        if (f->v[i] < 0)
            return false;
    return true;
}

/* What has one meaning only. */
static norn_status check_meaning(const attrs *a) {
    bool two = a->classlabels_ints.n == 2 && !couples(a);
    if (supports_of(a) < 1)
        return norni_fail(NORN_UNSUPPORTED, "no support vectors (wanted LinearClassifier for linear models)");
    if (a->classlabels_ints.n < 2)
        return norni_fail(NORN_UNSUPPORTED, "classlabels_ints names fewer than two classes");
    if (two && all_positive(&a->coefficients))
        return norni_fail(NORN_UNSUPPORTED, "two classes, and no coefficient below 0");
    if (two && a->post_transform != NORNI_POST_NONE && a->post_transform != NORNI_POST_LOGISTIC)
        return norni_fail(NORN_UNSUPPORTED, "post_transform %s of the one score of two classes",
                          norni_post_words[a->post_transform]);
    return NORN_OK;
}

static norn_status infer_classifier(norni_infer *c) {
    const attrs *a = c->attrs;
    int64_t k = a->classlabels_ints.n, pairs = pairs_of(a);
    norni_dim n = -1;
    NORNI_TRY(norni_ml_refuse(&a->classlabels_strings, "classlabels_strings"));
    NORNI_TRY(check_meaning(a));
    if (a->vectors_per_class.n != k)
        return norni_fail(NORN_ARG, "vectors_per_class has %d elements (wanted one for each of %lld classes)",
                          a->vectors_per_class.n, (long long)k);
    if (length(&a->rho) != pairs || (couples(a) && (a->prob_a.n != pairs || length(&a->prob_b) != pairs)))
        return norni_fail(NORN_ARG, "rho, prob_a or prob_b do not have an element for each of %lld pairs",
                          (long long)pairs);
    if (couples(a) && k > MAX_CLASSES)
        return norni_fail(NORN_UNSUPPORTED, "probabilities of %lld classes (at most %d)", (long long)k,
                          MAX_CLASSES);
    NORNI_TRY(check_lists(c, supports_of(a), k - 1, &n));
    c->out[0].rank = 1;
    c->out[0].dims[0] = n;
    c->out[1].rank = 2;
    c->out[1].dims[0] = n;
    c->out[1].dims[1] = couples(a) || k == 2 ? k : pairs;
    return NORN_OK;
}

/* The sum for each pair of classes i < j; *votes: how many pairs each class wins. */
static norn_value *pair_scores(norn_graph *g, norn_value *x, const attrs *a, norn_value **votes) {
    int64_t k = a->classlabels_ints.n, supports = supports_of(a), pairs = pairs_of(a), pair = 0, first_i = 0;
    double *w = norni_alloc_array((size_t)(supports * pairs), sizeof *w),
           *win = norni_alloc_array((size_t)(pairs * k), sizeof *win),
           *lose = norni_alloc_array((size_t)k, sizeof *lose);
    norn_value *y = NULL;
    if (w && win && lose) {
        norn_dtype t = x->type.dtype;
        for (int64_t i = 0; i < k; first_i += a->vectors_per_class.v[i++]) {
            int64_t first_j = first_i + a->vectors_per_class.v[i];
            for (int64_t j = i + 1; j < k; first_j += a->vectors_per_class.v[j++], pair++) {
                for (int64_t s = 0; s < a->vectors_per_class.v[i]; s++)
                    w[(first_i + s) * pairs + pair] =
                        (double)a->coefficients.v[(j - 1) * supports + first_i + s];
                for (int64_t s = 0; s < a->vectors_per_class.v[j]; s++)
                    w[(first_j + s) * pairs + pair] = (double)a->coefficients.v[i * supports + first_j + s];
                win[pair * k + i] = 1;
                win[pair * k + j] = -1;
                lose[j]++;
            }
        }
        y = NORNI_OP2(g, kernel_of(g, x, a, supports), matrix(g, t, supports, pairs, w), "MatMul");
        y = NORNI_OP2(g, y, norni_ml_floats(g, &a->rho, t, 0), "Add");
        norn_value *won = norni_cast(g, NORNI_OP2(g, y, norni_scalar_const(g, t, 0), "Greater"), t);
        won = NORNI_OP2(g, won, matrix(g, t, pairs, k, win), "MatMul");
        *votes = NORNI_OP2(g, won, matrix(g, t, 1, k, lose), "Add");
    } else
        norni_graph_failed(g, norni_nomem());
    norni_free(w);
    norni_free(win);
    norni_free(lose);
    return y;
}

static norn_value *probabilities(norn_graph *g, norn_value *s, const attrs *a) {
    static const char *const names[] = {"s", "a", "b"};
    norn_value *v[] = {s, norni_ml_floats(g, &a->prob_a, s->type.dtype, 0),
                       norni_ml_floats(g, &a->prob_b, s->type.dtype, 0)};
    s = NORNI_OP1(g, norni_formula(g, "-(s * a + b)", 3, names, v), "Sigmoid");
    v[0] = s;
    s = norni_formula(g, "min(max(s, 0.0000001), 0.9999999)", 1, names, v);
    return NORNI_OP1(g, s, "norn.Couple<classes=%d>", a->classlabels_ints.n);
}

static norn_status expand_classifier(norn_graph *g, const norn_node *node, norn_value **out) {
    const attrs *a = node->attrs;
    norn_value *x = rows_of(g, node->in[0]), *votes = NULL, *s = x ? pair_scores(g, x, a, &votes) : NULL;
    if (!s || !votes)
        return norn_graph_status(g);
    out[0] = NORNI_OP2(g, norni_ml_ints(g, &a->classlabels_ints),
                       NORNI_OP1(g, votes, "ArgMax<axis=1, keepdims=0>"), "Gather");
    if (couples(a))
        s = probabilities(g, s, a);
    else if (a->classlabels_ints.n == 2)
        s = norni_opf(g, 2, (norn_value *[]){NORNI_OP1(g, s, "Neg"), s}, "Concat<axis=1>");
    out[1] = norni_cast(g, norni_ml_post(g, s, a->post_transform), NORN_F32);
    return norn_graph_status(g);
}

#define P "ai.onnx.ml."
#define SVM_OP(id, text, which, ...)                                                                         \
    const norn_op norni_op_##id = {.domain = "ai.onnx.ml",                                                   \
                                   .name = #id,                                                              \
                                   .versions = (const int[]){1, 0},                                          \
                                   .doc = text,                                                              \
                                   .inputs = (const norni_param[]){{"X", 0, NORNI_ML_NUMBERS, 0}, {0}},      \
                                   .attrs_bytes = sizeof(attrs),                                             \
                                   .attrs = which##_table,                                                   \
                                   .infer = infer_##which,                                                   \
                                   .expand = expand_##which,                                                 \
                                   __VA_ARGS__}
#define SV3                                                                                                  \
    "coefficients=[1.0,-0.5,0.25], rho=[0.1], support_vectors=[1.0,2.0,-1.0,0.5,0.25,-0.5], n_supports=3"
#define SC3                                                                                                  \
    "coefficients=[1.0,-0.5,0.25,0.5, -1.0,0.5,0.75,-0.25], rho=[0.1,-0.2,0.3], "                            \
    "support_vectors=[1.0,2.0,-1.0,0.5,0.25,-0.5,0.75,0.1], vectors_per_class=[1,2,1], "                     \
    "classlabels_ints=[3,7,9]"
SVM_OP(SVMRegressor, "a support vector machine for numbers", regressor,
       .outputs = (const norni_param[]){{"Y", 0, NORNI_T(NORN_F32), 0}, {0}},
       CASES(P "SVMRegressor<coefficients=[1.0,-2.0,0.5], rho=[0.25]>(float[5,3])",
             P "SVMRegressor<" SV3 ", kernel_type=\"RBF\", kernel_params=[0.5,0.0,3.0]>(double[7,2])",
             P "SVMRegressor<" SV3 ", kernel_type=\"POLY\", kernel_params=[0.5,1.0,3.0]>(float[7,2])",
             P "SVMRegressor<" SV3
               ", kernel_type=\"SIGMOID\", kernel_params=[0.5,1.0,3.0], one_class=1>(int64[7,2])",
             P "SVMRegressor<" SV3 ", post_transform=\"LOGISTIC\">(float[0,2])"));
SVM_OP(SVMClassifier, "a support vector machine for classes", classifier,
       .untested_attrs = "classlabels_strings",
       .outputs = (const norni_param[]){{"Y", 0, NORNI_T(NORN_I64), 0}, {"Z", 0, NORNI_T(NORN_F32), 0}, {0}},
       CASES(P "SVMClassifier<" SC3 ", kernel_type=\"RBF\", kernel_params=[0.5,0.0,3.0]>(float[9,2])",
             P "SVMClassifier<" SC3 ", prob_a=[-1.0,-0.5,-2.0], prob_b=[0.1,-0.1,0.2]>(double[9,2])",
             P "SVMClassifier<coefficients=[1.0,-0.5,0.25], rho=[0.1], support_vectors=[1.0,2.0,-1.0], "
               "vectors_per_class=[1,2], classlabels_ints=[0,1], post_transform=\"LOGISTIC\">(float[9,1])",
             P "SVMClassifier<" SC3 ", prob_a=[-1.0,-0.5,-2.0], prob_b=[0.1,-0.1,0.2], "
               "post_transform=\"SOFTMAX\">(int32[9,2])"));
