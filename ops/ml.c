/* SPDX-License-Identifier: Apache-2.0 */
/* ai.onnx.ml: what comes before and behind a model of classical machine learning, and linear models, said by ONNX's
 * operators. Strings are refused by name. Sources: ONNX ai.onnx.ml, versions 1 to 5, and its reference implementation. */
#include "ops/ml.h"
#include "ops/rows.h"
#include <math.h>
#include <string.h>

const char *const norni_post_words[] = {"NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT", NULL};

/* ---- Shared. */
norn_value *norni_ml_floats(norn_graph *g, const norni_floats *v, norn_dtype t, int64_t cols) {
    const int64_t n = v->n > 0 ? v->n : 0, dims[] = {cols > 0 ? n / cols : n, cols};
    norn_tensor *x;
    norn_status s = norni_tensor_host(t, cols > 0 ? 2 : 1, dims, &x);
    if (s != NORN_OK)
        return norni_graph_failed(g, s);
    for (int64_t i = 0; i < norni_tensor_elems(x); i++)
        norni_set_double(t, norni_tensor_data(x), i, (double)v->v[i]);
    return norni_value_const(g, NULL, x);
}
norn_value *norni_ml_ints(norn_graph *g, const norni_ints *v) {
    return norni_i64_const(g, v->n > 0 ? v->n : 0, v->v);
}
norn_value *norni_ml_real(norn_graph *g, norn_value *x) {
    return norni_cast(g, x, x && x->type.dtype == NORN_F64 ? NORN_F64 : NORN_F32);
}

norn_value *norni_ml_post(norn_graph *g, norn_value *s, int post) {
    static const char *const names[] = {"x", "m"};
    norn_value *v[] = {s, NULL};
    switch (post) {
    case NORNI_POST_SOFTMAX:
        return NORNI_OP1(g, s, "Softmax<axis=-1>");
    case NORNI_POST_LOGISTIC:
        return NORNI_OP1(g, s, "Sigmoid");
    case NORNI_POST_SOFTMAX_ZERO: /* zeros stay small: they are multiplied by e^-max, the others become e^(x - max) */
        v[1] = NORNI_OP2(g, s, norni_i64_const(g, 1, (int64_t[]){-1}), "ReduceMax<keepdims=1>");
        s = norni_formula(g, "where(abs(x) > 0.0000001, exp(x - m), x * exp(-m))", 2, names, v);
        v[0] = s;
        v[1] = NORNI_OP2(g, s, norni_i64_const(g, 1, (int64_t[]){-1}), "ReduceSum<keepdims=1>");
        return norni_formula(g, "where(m == 0.0, 0.5, x / m)", 2, names, v);
    case NORNI_POST_PROBIT: /* the inverse of the normal distribution, by Winitzki's approximation of erf */
        v[0] = norni_formula(g, "2.0 * x - 1.0", 1, names, v);
        v[1] = norni_formula(g, "log((1.0 - x) * (1.0 + x))", 1, names, v);
        return norni_formula(g,
                             "where(x < 0.0, -1.41421356, 1.41421356) * sqrt(sqrt((4.33074705 + 0.5 * m) * "
                             "(4.33074705 + 0.5 * m) - m / "
                             "0.147) - (4.33074705 + 0.5 * m))",
                             2, names, v);
    default:
        return s;
    }
}

norn_status norni_ml_refuse(const norni_strings *s, const char *name) {
    return s->n > 0 ? norni_fail(NORN_UNSUPPORTED, "attribute '%s': strings (norn has numbers only)", name)
                    : NORN_OK;
}

norn_status norni_ml_rows(const norni_type *x, norni_dim *rows, norni_dim *features) {
    if (x->rank != 1 && x->rank != 2)
        return norni_fail(NORN_SHAPE, "X has rank %d (wanted 1 or 2)", x->rank);
    *rows = x->rank == 2 ? x->dims[0] : 1;
    *features = x->dims[x->rank - 1];
    return NORN_OK;
}
static norn_value *as_matrix(norn_graph *g, norn_value *x) {
    return x && x->type.rank == 1 ? NORNI_OP2(g, x, norni_i64_const(g, 1, (int64_t[]){0}), "Unsqueeze") : x;
}

/* The output is like the input. */
static norn_status infer_same(norni_infer *c) {
    norn_dtype t = c->out[0].dtype;
    c->out[0] = *norni_in_type(c, 0);
    if (t != NORN_UNDEFINED)
        c->out[0].dtype = t;
    return NORN_OK;
}
static norn_status check_length(const norni_type *x, int n, const char *name) {
    if (x->rank > 0 && n > 1 && x->dims[x->rank - 1] >= 0 && x->dims[x->rank - 1] != n)
        return norni_fail(NORN_ARG, "%s has %d elements (wanted 1 or %lld, a feature each)", name, n,
                          (long long)x->dims[x->rank - 1]);
    return NORN_OK;
}

/* ---- Scaler: (x - offset) * scale. */
typedef struct {
    norni_floats offset, scale;
} scaler_attrs;
static const norni_attr scaler_table[] = {NORNI_A(scaler_attrs, offset, FLOATS, .flags = NORNI_ATTR_OPTIONAL),
                                          NORNI_A(scaler_attrs, scale, FLOATS, .flags = NORNI_ATTR_OPTIONAL),
                                          NORNI_A_END};
static norn_status infer_scaler(norni_infer *c) {
    const scaler_attrs *a = c->attrs;
    NORNI_TRY(check_length(norni_in_type(c, 0), a->offset.n, "offset"));
    NORNI_TRY(check_length(norni_in_type(c, 0), a->scale.n, "scale"));
    return infer_same(c);
}
static norn_status expand_scaler(norn_graph *g, const norn_node *node, norn_value **out) {
    const scaler_attrs *a = node->attrs;
    norn_value *x = norni_ml_real(g, node->in[0]);
    norn_dtype t = x ? x->type.dtype : NORN_F32;
    if (a->offset.n > 0)
        x = NORNI_OP2(g, x, norni_ml_floats(g, &a->offset, t, 0), "Sub");
    if (a->scale.n > 0)
        x = NORNI_OP2(g, x, norni_ml_floats(g, &a->scale, t, 0), "Mul");
    out[0] = NORNI_OP1(g, x, "Cast<to=1>");
    return norn_graph_status(g);
}

/* ---- Normalizer: rows over their largest element, sum of magnitudes, or length. */
enum { NORM_MAX, NORM_L1, NORM_L2 };
static const char *const norm_words[] = {"MAX", "L1", "L2", NULL};
typedef struct {
    int norm;
} normalizer_attrs;
static const norni_attr normalizer_table[] = {NORNI_A_ENUM(normalizer_attrs, norm, norm_words, NORM_MAX),
                                              NORNI_A_END};
static norn_status expand_normalizer(norn_graph *g, const norn_node *node, norn_value **out) {
    static const char *const ops[] = {"ReduceMax", "ReduceL1", "ReduceL2"}, *const names[] = {"x", "n"};
    int norm = ((const normalizer_attrs *)node->attrs)->norm;
    norn_value *x = norni_ml_real(g, node->in[0]), *y = norm == NORM_MAX ? NORNI_OP1(g, x, "Abs") : x;
    norn_value *v[] = {x,
                       NORNI_OP2(g, y, norni_i64_const(g, 1, (int64_t[]){-1}), "%s<keepdims=1>", ops[norm])};
    out[0] = NORNI_OP1(g, norni_formula(g, "where(n == 0.0, x, x / n)", 2, names, v), "Cast<to=1>");
    return norn_graph_status(g);
}

/* ---- Binarizer: 1 above a threshold, else 0. */
typedef struct {
    float threshold;
} binarizer_attrs;
static const norni_attr binarizer_table[] = {NORNI_A_FLOAT(binarizer_attrs, threshold, 0), NORNI_A_END};
static norn_status expand_binarizer(norn_graph *g, const norn_node *node, norn_value **out) {
    norn_value *x = norni_ml_real(g, node->in[0]);
    double threshold = (double)((const binarizer_attrs *)node->attrs)->threshold;
    x = NORNI_OP2(g, x, norni_scalar_const(g, x ? x->type.dtype : NORN_F32, threshold), "Greater");
    out[0] = norni_cast(g, x, node->in[0]->type.dtype);
    return norn_graph_status(g);
}

/* ---- Imputer: a value, often NaN, replaced by another, one for all features or one each. */
typedef struct {
    norni_floats imputed_value_floats;
    norni_ints imputed_value_int64s;
    float replaced_value_float;
    int64_t replaced_value_int64;
} imputer_attrs;
static const norni_attr imputer_table[] = {
    NORNI_A(imputer_attrs, imputed_value_floats, FLOATS, .flags = NORNI_ATTR_OPTIONAL),
    NORNI_A_INTS(imputer_attrs, imputed_value_int64s), NORNI_A_FLOAT(imputer_attrs, replaced_value_float, 0),
    NORNI_A_INT(imputer_attrs, replaced_value_int64, 0), NORNI_A_END};
static norn_status infer_imputer(norni_infer *c) {
    const imputer_attrs *a = c->attrs;
    bool real = norni_dtype_is_float(norni_in_type(c, 0)->dtype);
    int n = real ? a->imputed_value_floats.n : a->imputed_value_int64s.n;
    if (n < 1)
        return norni_fail(NORN_ARG, "%s is missing or empty",
                          real ? "imputed_value_floats" : "imputed_value_int64s");
    NORNI_TRY(check_length(norni_in_type(c, 0), n, "the values"));
    return infer_same(c);
}
static norn_status expand_imputer(norn_graph *g, const norn_node *node, norn_value **out) {
    static const char *const names[] = {"x", "v", "r"};
    const imputer_attrs *a = node->attrs;
    norn_value *x = node->in[0];
    norn_dtype t = x->type.dtype;
    bool real = norni_dtype_is_float(t), nan = real && isnan(a->replaced_value_float);
    norn_value *v[] = {x,
                       real ? norni_ml_floats(g, &a->imputed_value_floats, t, 0)
                            : norni_cast(g, norni_ml_ints(g, &a->imputed_value_int64s), t),
                       norni_scalar_const(g, t,
                                          nan    ? 0
                                          : real ? (double)a->replaced_value_float
                                                 : (double)a->replaced_value_int64)};
    out[0] = norni_formula(g, nan ? "where(isnan(x), v, x)" : "where(x == r, v, x)", nan ? 2 : 3, names, v);
    return norn_graph_status(g);
}

/* ---- ArrayFeatureExtractor: columns, by number. */
static norn_status infer_extractor(norni_infer *c) {
    const norni_type *x = norni_in_type(c, 0), *index = norni_in_type(c, 1);
    norni_type *y = &c->out[0];
    if (!norni_in_ranked(c, 2))
        return NORN_OK;
    if (x->rank < 1)
        return norni_fail(NORN_SHAPE, "X is a scalar (wanted rank 1 or more)");
    *y = *x;
    if (x->rank == 1) {
        y->rank = 2;
        y->dims[0] = 1;
    }
    y->dims[y->rank - 1] = norni_dim_product(c->g, index->rank, index->dims);
    return NORN_OK;
}
static norn_status expand_extractor(norn_graph *g, const norn_node *node, norn_value **out) {
    norn_value *index = NORNI_OP2(g, node->in[1], norni_i64_const(g, 1, (int64_t[]){-1}), "Reshape");
    out[0] = NORNI_OP2(g, as_matrix(g, node->in[0]), index, "Gather<axis=-1>");
    return norn_graph_status(g);
}

/* ---- LabelEncoder: numbers looked up in a table. */
typedef struct {
    norni_strings classes_strings, keys_strings, values_strings;
    norni_ints keys_int64s, values_int64s;
    norni_floats keys_floats, values_floats;
    norn_tensor *keys_tensor, *values_tensor, *default_tensor;
    const char *default_string;
    int64_t default_int64;
    float default_float;
} encoder_attrs;
static const norni_attr encoder_table[] = {
    NORNI_A(encoder_attrs, classes_strings, STRINGS, .flags = NORNI_ATTR_OLD, .since = 2),
    NORNI_A(encoder_attrs, keys_strings, STRINGS, .flags = NORNI_ATTR_OPTIONAL),
    NORNI_A(encoder_attrs, values_strings, STRINGS, .flags = NORNI_ATTR_OPTIONAL),
    NORNI_A_INTS(encoder_attrs, keys_int64s),
    NORNI_A_INTS(encoder_attrs, values_int64s),
    NORNI_A(encoder_attrs, keys_floats, FLOATS, .flags = NORNI_ATTR_OPTIONAL),
    NORNI_A(encoder_attrs, values_floats, FLOATS, .flags = NORNI_ATTR_OPTIONAL),
    NORNI_A(encoder_attrs, keys_tensor, TENSOR, .flags = NORNI_ATTR_OPTIONAL),
    NORNI_A(encoder_attrs, values_tensor, TENSOR, .flags = NORNI_ATTR_OPTIONAL),
    NORNI_A(encoder_attrs, default_tensor, TENSOR, .flags = NORNI_ATTR_OPTIONAL),
    NORNI_A(encoder_attrs, default_string, STRING, .words = (const char *const[]){"_Unused", NULL}),
    NORNI_A_INT(encoder_attrs, default_int64, -1),
    NORNI_A_FLOAT(encoder_attrs, default_float, -0.0f),
    NORNI_A_END};
static norn_dtype encoder_type(const encoder_attrs *a) {
    return a->values_tensor ? a->values_tensor->dtype : a->values_floats.n > 0 ? NORN_F32 : NORN_I64;
}
static norn_status infer_encoder(norni_infer *c) {
    const encoder_attrs *a = c->attrs;
    NORNI_TRY(norni_ml_refuse(&a->keys_strings, "keys_strings"));
    NORNI_TRY(norni_ml_refuse(&a->values_strings, "values_strings"));
    int64_t keys = a->keys_tensor         ? norni_tensor_elems(a->keys_tensor)
                   : a->keys_floats.n > 0 ? a->keys_floats.n
                                          : a->keys_int64s.n;
    int64_t values = a->values_tensor         ? norni_tensor_elems(a->values_tensor)
                     : a->values_floats.n > 0 ? a->values_floats.n
                                              : a->values_int64s.n;
    norn_dtype t = a->keys_tensor ? a->keys_tensor->dtype : a->keys_floats.n > 0 ? NORN_F32 : NORN_I64;
    if (keys < 1 || keys != values)
        return norni_fail(NORN_ARG, "%lld keys and %lld values (wanted as many, and some)", (long long)keys,
                          (long long)values);
    if (norni_in_type(c, 0)->dtype != t)
        return norni_fail(NORN_DTYPE, "X has type %s, the keys have %s (wanted equal)",
                          norni_dtype_name(norni_in_type(c, 0)->dtype), norni_dtype_name(t));
    c->out[0] = *norni_in_type(c, 0);
    c->out[0].dtype = encoder_type(a);
    return NORN_OK;
}
/* Version 1 is between strings and numbers. */
static norn_status raise_encoder(norni_adapt *a) {
    return a->version < 2
               ? norni_ml_refuse(&((const encoder_attrs *)a->node->attrs)->classes_strings, "classes_strings")
               : NORN_OK;
}
/* The place of the key that x equals, the last one of several, from 1; 0: none. So the values begin with the default. */
static norn_status expand_encoder(norn_graph *g, const norn_node *node, norn_value **out) {
    static const char *const names[] = {"x", "k"};
    const encoder_attrs *a = node->attrs;
    norn_value *x = node->in[0];
    norn_dtype from = x->type.dtype, to = encoder_type(a);
    norn_value *keys = a->keys_tensor         ? norni_value_const(g, NULL, norni_tensor_ref(a->keys_tensor))
                       : a->keys_floats.n > 0 ? norni_ml_floats(g, &a->keys_floats, from, 0)
                                              : norni_ml_ints(g, &a->keys_int64s);
    if (!keys)
        return norn_graph_status(g);
    int64_t n = norni_type_elems(&keys->type), rest = n + 1;
    norn_tensor *values, *places;
    NORNI_TRY(norni_tensor_host(to, 1, &rest, &values));
    for (int64_t i = 0; i <= n; i++) {
        const norn_tensor *t = i ? a->values_tensor : a->default_tensor;
        if (t)
            norni_scalar_set(to, norni_tensor_data(values), i,
                             norni_scalar_get(t->dtype, norni_tensor_data(t), i ? i - 1 : 0));
        else if (norni_dtype_is_float(to))
            norni_set_double(to, norni_tensor_data(values), i,
                             (double)(i ? a->values_floats.v[i - 1] : a->default_float));
        else
            norni_set_int(to, norni_tensor_data(values), i, i ? a->values_int64s.v[i - 1] : a->default_int64);
    }
    norn_value *table = norni_value_const(g, NULL, values);
    NORNI_TRY(norni_tensor_host(NORN_I64, 1, &n, &places));
    for (int64_t i = 0; i < n; i++)
        norni_set_int(NORN_I64, norni_tensor_data(places), i, i + 1);
    norn_value *v[] = {NORNI_OP2(g, x, norni_i64_const(g, 1, (int64_t[]){-1}), "Unsqueeze"),
                       NORNI_OP2(g, keys, norni_i64_const(g, 1, (int64_t[]){-1}), "Reshape")};
    norn_value *at = norni_formula(
        g, norni_dtype_is_float(from) ? "x == k or (isnan(x) and isnan(k))" : "x == k", 2, names, v);
    at = NORNI_OP2(g, norni_cast(g, at, NORN_I64), norni_value_const(g, NULL, places), "Mul");
    at = NORNI_OP2(g, at, norni_i64_const(g, 1, (int64_t[]){-1}), "ReduceMax<keepdims=0>");
    out[0] = NORNI_OP2(g, table, at, "Gather");
    return norn_graph_status(g);
}

/* ---- Linear models. */
typedef struct {
    norni_floats coefficients, intercepts;
    norni_strings classlabels_strings;
    norni_ints classlabels_ints;
    int64_t targets, multi_class;
    int post_transform;
} linear_attrs;
static const norni_attr regressor_table[] = {
    NORNI_A(linear_attrs, coefficients, FLOATS, .flags = NORNI_ATTR_OPTIONAL),
    NORNI_A(linear_attrs, intercepts, FLOATS, .flags = NORNI_ATTR_OPTIONAL),
    NORNI_A_INT(linear_attrs, targets, 1, .lo = 1, .hi = INT32_MAX),
    NORNI_A_ENUM(linear_attrs, post_transform, norni_post_words, NORNI_POST_NONE), NORNI_A_END};
static const norni_attr classifier_table[] = {
    NORNI_A(linear_attrs, coefficients, FLOATS, .flags = NORNI_ATTR_REQUIRED),
    NORNI_A(linear_attrs, intercepts, FLOATS, .flags = NORNI_ATTR_OPTIONAL),
    NORNI_A(linear_attrs, classlabels_strings, STRINGS, .flags = NORNI_ATTR_OPTIONAL),
    NORNI_A_INTS(linear_attrs, classlabels_ints),
    NORNI_A_INT(linear_attrs, multi_class, 0),
    NORNI_A_ENUM(linear_attrs, post_transform, norni_post_words, NORNI_POST_NONE),
    NORNI_A_END};
/* The number of scores of a row, and the check that the coefficients fit. */
static norn_status linear_rows(const norni_infer *c, norni_dim *rows, int64_t *scores) {
    const linear_attrs *a = c->attrs;
    norni_dim features = -1;
    bool regressor = c->node->op->name[6] == 'R';
    int n = a->coefficients.n;
    NORNI_TRY(norni_ml_rows(norni_in_type(c, 0), rows, &features));
    *scores = regressor ? a->targets : features > 0 ? n / features : a->classlabels_ints.n;
    if (n < 1 || (features >= 0 && (*scores < 1 || *scores * features != n)))
        return norni_fail(NORN_ARG, "%d coefficients for %lld features", n, (long long)features);
    if (a->intercepts.n > 0 && a->intercepts.n != *scores)
        return norni_fail(NORN_ARG, "%d intercepts (wanted %lld)", a->intercepts.n, (long long)*scores);
    return NORN_OK;
}
static norn_status infer_regressor(norni_infer *c) {
    norni_type y = {.dtype = NORN_F32, .rank = 2};
    if (norni_in_type(c, 0)->rank < 0)
        return NORN_OK;
    NORNI_TRY(linear_rows(c, &y.dims[0], &y.dims[1]));
    c->out[0] = y;
    return NORN_OK;
}
static norn_value *linear_scores(norn_graph *g, const linear_attrs *a, norn_value *x, int64_t scores) {
    x = norni_ml_real(g, as_matrix(g, x));
    norn_dtype t = x ? x->type.dtype : NORN_F32;
    norn_value *in[] = {x, norni_ml_floats(g, &a->coefficients, t, a->coefficients.n / scores),
                        a->intercepts.n > 0 ? norni_ml_floats(g, &a->intercepts, t, 0) : NORNI_NONE};
    return NORNI_OP1(g, norni_opf(g, 3, in, "Gemm<transB=1>"), "Cast<to=1>");
}
static norn_status expand_regressor(norn_graph *g, const norn_node *node, norn_value **out) {
    const linear_attrs *a = node->attrs;
    out[0] = norni_ml_post(g, linear_scores(g, a, node->in[0], a->targets), a->post_transform);
    return norn_graph_status(g);
}
static norn_status infer_classifier(norni_infer *c) {
    const linear_attrs *a = c->attrs;
    norni_type y = {.dtype = NORN_F32, .rank = 2}, label = {.dtype = NORN_I64, .rank = 1};
    NORNI_TRY(norni_ml_refuse(&a->classlabels_strings, "classlabels_strings"));
    if (norni_in_type(c, 0)->rank < 0)
        return NORN_OK;
    NORNI_TRY(linear_rows(c, &y.dims[0], &y.dims[1]));
    if (y.dims[1] == 1 && a->classlabels_ints.n == 2) {
        y.dims[1] = 2;
        if (a->post_transform == NORNI_POST_PROBIT)
            return norni_fail(NORN_UNSUPPORTED, "post_transform PROBIT of one score for two labels");
    }
    if (a->classlabels_ints.n > 0 && a->classlabels_ints.n != y.dims[1])
        return norni_fail(NORN_ARG, "%d labels for %lld scores", a->classlabels_ints.n, (long long)y.dims[1]);
    label.dims[0] = y.dims[0];
    c->out[0] = label;
    c->out[1] = y;
    return NORN_OK;
}
static norn_status expand_classifier(norn_graph *g, const norn_node *node, norn_value **out) {
    static const char *const names[] = {"s", "l"};
    const linear_attrs *a = node->attrs;
    int64_t features = node->in[0]->type.dims[node->in[0]->type.rank - 1],
            scores = features > 0 ? a->coefficients.n / features : a->classlabels_ints.n;
    norn_value *s = linear_scores(g, a, node->in[0], scores), *label;
    /* The label is that of the largest score, before what `post_transform` makes of the scores. One row of coefficients is
     * for the second of two classes: a score above 0 means that one, and the other's is 1 - score. */
    if (scores > 1)
        label = NORNI_OP1(g, s, "ArgMax<axis=1, keepdims=0>");
    else {
        norn_value *v[] = {NORNI_OP2(g, s, norni_i64_const(g, 1, (int64_t[]){1}), "Squeeze")};
        label = norni_cast(g, norni_formula(g, "s > 0", 1, names, v), NORN_I64);
    }
    if (a->classlabels_ints.n == 1)
        label = NORNI_OP2(g, label, norni_scalar_const(g, NORN_I64, (double)a->classlabels_ints.v[0]), "Mul");
    else if (a->classlabels_ints.n > 0)
        label = NORNI_OP2(g, norni_ml_ints(g, &a->classlabels_ints), label, "Gather");
    if (scores == 1 && a->classlabels_ints.n == 2) {
        bool logistic = a->post_transform == NORNI_POST_LOGISTIC;
        norn_value *other =
            logistic ? NORNI_OP1(g, s, "Neg") : NORNI_OP2(g, norni_scalar_const(g, NORN_F32, 1), s, "Sub");
        s = norni_opf(g, 2, (norn_value *[]){other, s}, "Concat<axis=1>");
        s = norni_ml_post(g, s, logistic ? NORNI_POST_LOGISTIC : NORNI_POST_NONE);
    } else if (scores > 1 || a->post_transform == NORNI_POST_PROBIT)
        s = norni_ml_post(g, s, a->post_transform);
    out[0] = label;
    out[1] = s;
    return norn_graph_status(g);
}

/* ---- OneHotEncoder. */
typedef struct {
    norni_ints cats_int64s;
    norni_strings cats_strings;
    int64_t zeros;
} onehot_attrs;
static const norni_attr onehot_table[] = {
    NORNI_A_INTS(onehot_attrs, cats_int64s),
    NORNI_A(onehot_attrs, cats_strings, STRINGS, .flags = NORNI_ATTR_OPTIONAL),
    NORNI_A_INT(onehot_attrs, zeros, 1, .lo = 0, .hi = 1), NORNI_A_END};
static norn_status infer_onehot(norni_infer *c) {
    const onehot_attrs *a = c->attrs;
    norni_type y = *norni_in_type(c, 0);
    NORNI_TRY(norni_ml_refuse(&a->cats_strings, "cats_strings"));
    if (a->cats_int64s.n < 1)
        return norni_fail(NORN_ARG, "cats_int64s is missing or empty");
    if (!a->zeros)
        return norni_fail(NORN_UNSUPPORTED, "zeros=0 (an error for what is in no category)");
    if (y.rank < 0)
        return NORN_OK;
    if (y.rank == NORN_MAX_RANK)
        return norni_fail(NORN_SHAPE, "X has rank %d (wanted at most %d)", y.rank, NORN_MAX_RANK - 1);
    y.dtype = NORN_F32;
    y.dims[y.rank++] = a->cats_int64s.n;
    c->out[0] = y;
    return NORN_OK;
}
static norn_status expand_onehot(norn_graph *g, const norn_node *node, norn_value **out) {
    const onehot_attrs *a = node->attrs;
    norn_value *x = NORNI_OP2(g, norni_cast(g, node->in[0], NORN_I64), norni_i64_const(g, 1, (int64_t[]){-1}),
                              "Unsqueeze");
    out[0] = norni_cast(g, NORNI_OP2(g, x, norni_ml_ints(g, &a->cats_int64s), "Equal"), NORN_F32);
    return norn_graph_status(g);
}

/* ---- FeatureVectorizer: columns side by side, cut or filled with zeros to given widths. */
typedef struct {
    norni_ints inputdimensions;
} vectorizer_attrs;
static const norni_attr vectorizer_table[] = {NORNI_A_INTS(vectorizer_attrs, inputdimensions), NORNI_A_END};
static norn_status infer_vectorizer(norni_infer *c) {
    const vectorizer_attrs *a = c->attrs;
    norni_type y = {.dtype = NORN_F32, .rank = 2};
    if (a->inputdimensions.n >= 0 && a->inputdimensions.n != c->node->n_in)
        return norni_fail(NORN_ARG, "%d inputdimensions for %d inputs", a->inputdimensions.n, c->node->n_in);
    if (!norni_in_ranked(c, c->node->n_in))
        return NORN_OK;
    for (int i = 0; i < c->node->n_in; i++) {
        const norni_type *x = norni_in_type(c, i);
        if (!x || x->rank < 1 || x->rank > 2)
            return norni_fail(NORN_SHAPE, "input %d has rank %d (wanted 1 or 2)", i, x ? x->rank : -1);
        y.dims[0] = x->dims[0];
        norni_dim width = a->inputdimensions.n >= 0 ? a->inputdimensions.v[i] : x->rank == 2 ? x->dims[1] : 1;
        y.dims[1] = i ? norni_dim_add(c->g, y.dims[1], width) : width;
    }
    c->out[0] = y;
    return NORN_OK;
}
static norn_status expand_vectorizer(norn_graph *g, const norn_node *node, norn_value **out) {
    const vectorizer_attrs *a = node->attrs;
    norn_value **parts = norni_arena_array(g->arena, (size_t)node->n_in, sizeof *parts);
    if (!parts)
        return norni_nomem();
    for (int i = 0; i < node->n_in; i++) {
        norn_value *x = norni_cast(g, node->in[i], NORN_F32);
        if (x && x->type.rank == 1)
            x = NORNI_OP2(g, x, norni_i64_const(g, 1, (int64_t[]){1}), "Unsqueeze");
        int64_t has = x ? x->type.dims[1] : 0,
                want = a->inputdimensions.n >= 0 ? a->inputdimensions.v[i] : has;
        if (has < 0 && want != has)
            return norni_fail(NORN_UNSUPPORTED,
                              "FeatureVectorizer: the sizes are not known; bind the sizes first");
        parts[i] =
            want == has ? x : NORNI_OP2(g, x, norni_i64_const(g, 4, (int64_t[]){0, 0, 0, want - has}), "Pad");
    }
    out[0] = norni_opf(g, node->n_in, parts, "Concat<axis=1>");
    return norn_graph_status(g);
}

/* ---- Descriptors. */
#define UNPACK(...) __VA_ARGS__
#define ML(id, in_doc, in_versions, what, ...)                                                               \
    const norn_op norni_op_##id = {.domain = "ai.onnx.ml",                                                   \
                                   .name = #id,                                                              \
                                   .doc = in_doc,                                                            \
                                   .versions = (const int[]){UNPACK in_versions, 0},                         \
                                   .infer = infer_##what,                                                    \
                                   .expand = expand_##what,                                                  \
                                   __VA_ARGS__}
#define ATTRS(s)         .attrs_bytes = sizeof(s##_attrs), .attrs = s##_table
#define infer_normalizer infer_same
#define infer_binarizer  infer_same
#define F32S             NORNI_T(NORN_F32)
#define P                "ai.onnx.ml."

ML(Scaler, "(x - offset) * scale, by feature", (1), scaler, ATTRS(scaler),
   .inputs = PARAMS({"X", 0, NORNI_ML_NUMBERS, 0}), .outputs = PARAMS({"Y", 0, F32S, 0}),
   CASES(P "Scaler<offset=[1.0,2.0,3.0], scale=[0.5,0.25,2.0]>(float[5,3])",
         P "Scaler<offset=[0.5], scale=[2.0]>(int64[2,3])", P "Scaler<scale=[2.0]>(double[4])"));
ML(Normalizer, "rows over their norm", (1), normalizer, ATTRS(normalizer),
   .inputs = PARAMS({"X", 0, NORNI_ML_NUMBERS, 0}), .outputs = PARAMS({"Y", 0, F32S, 0}),
   CASES(P "Normalizer<norm=\"L2\">(float[5,3])", P "Normalizer<norm=\"L1\">(double[2,3])",
         P "Normalizer(int32[4,7])"));
ML(Binarizer, "1 above a threshold, else 0", (1), binarizer, ATTRS(binarizer),
   .inputs = PARAMS({"X", NORNI_NODIFF, NORNI_ML_NUMBERS, 'T'}),
   .outputs = PARAMS({"Y", 0, NORNI_ML_NUMBERS, 'T'}), .grad = norni_no_gradient,
   CASES(P "Binarizer<threshold=0.25>(float[5,3])", P "Binarizer(int64[7])"));
ML(Imputer, "a value replaced by another, by feature", (1), imputer, ATTRS(imputer),
   .inputs = PARAMS({"X", 0, NORNI_ML_NUMBERS, 'T'}), .outputs = PARAMS({"Y", 0, NORNI_ML_NUMBERS, 'T'}),
   CASES(P "Imputer<imputed_value_floats=[1.0,2.0,3.0], replaced_value_float=0.5>(float[5,3])",
         P "Imputer<imputed_value_int64s=[7], replaced_value_int64=2>(int64[5,3])",
         P "Imputer<imputed_value_floats=[1.0]>(double[3,2])"));
ML(ArrayFeatureExtractor, "columns, by number", (1), extractor,
   .inputs = PARAMS({"X", 0, NORNI_ML_NUMBERS, 'T'}, {"Y", NORNI_NODIFF, NORNI_T(NORN_I64), 0}),
   .outputs = PARAMS({"Z", 0, NORNI_ML_NUMBERS, 'T'}),
   CASES(P "ArrayFeatureExtractor(float[3,5], int64[1,2]{4,1})",
         P "ArrayFeatureExtractor(int64[7], int64[3]{0,6,2})",
         P "ArrayFeatureExtractor(float[2,3,4], int64[]{2})"));
ML(LabelEncoder, "numbers looked up in a table", (1, 2, 4), encoder, ATTRS(encoder), .raise = raise_encoder,
   .grad = norni_no_gradient,
   .untested_attrs = "keys_strings, values_strings, default_string, keys_tensor, "
                     "values_tensor, default_tensor",
   .inputs = PARAMS({"X", NORNI_NODIFF, NORNI_ML_NUMBERS | NORNI_T(NORN_I16), 0}),
   .outputs = PARAMS({"Y", 0, NORNI_ML_NUMBERS | NORNI_T(NORN_I16), 0}),
   CASES(P "LabelEncoder<keys_int64s=[1,-2,3], values_floats=[0.5,1.5,2.5], default_float=-1.0>(int64[3,7])",
         P "LabelEncoder<keys_int64s=[1,2,1], values_int64s=[10,20,30], default_int64=7>(int64[9])",
         P "LabelEncoder<keys_floats=[1.0,2.0], values_int64s=[10,20]>(float[3]{1.0,2.0,5.0})"));
ML(LinearRegressor, "a linear model", (1), regressor, .attrs_bytes = sizeof(linear_attrs),
   .attrs = regressor_table, .inputs = PARAMS({"X", 0, NORNI_ML_NUMBERS, 0}),
   .outputs = PARAMS({"Y", 0, F32S, 0}),
   CASES(P "LinearRegressor<coefficients=[1.0,2.0,3.0,-1.0,0.5,0.25], intercepts=[0.5,-0.5], "
           "targets=2>(float[5,3])",
         P "LinearRegressor<coefficients=[1.0,2.0,3.0], post_transform=\"LOGISTIC\">(double[2,3])",
         P "LinearRegressor<coefficients=[0.1,0.2,0.3,0.4,0.5,0.6], targets=3, "
           "post_transform=\"SOFTMAX_ZERO\">(float[2,2])"));
ML(LinearClassifier, "a linear model for classes", (1), classifier, .attrs_bytes = sizeof(linear_attrs),
   .attrs = classifier_table, .untested_attrs = "classlabels_strings, multi_class",
   .inputs = PARAMS({"X", 0, NORNI_ML_NUMBERS, 0}),
   .outputs = PARAMS({"Y", 0, NORNI_T(NORN_I64), 0}, {"Z", 0, F32S, 0}),
   CASES(P "LinearClassifier<coefficients=[1.0,2.0,3.0,-1.0,0.5,0.25], intercepts=[0.5,-0.5], "
           "classlabels_ints=[3,7], post_transform=\"SOFTMAX\">(float[5,3])",
         P "LinearClassifier<coefficients=[1.0,2.0,3.0], classlabels_ints=[0,1], "
           "post_transform=\"LOGISTIC\">(float[4,3])",
         P "LinearClassifier<coefficients=[1.0,2.0,3.0], classlabels_ints=[-1,1], "
           "post_transform=\"SOFTMAX\">(float[4,3])",
         P "LinearClassifier<coefficients=[0.1,0.2,0.3,-0.1,0.5,0.25,0.3,0.1,-0.2,0.1,0.4,0.3], "
           "intercepts=[0.5,0.4,0.3,0.5,0.6,0.5], classlabels_ints=[1,2,3,4,5,6], "
           "post_transform=\"SOFTMAX_ZERO\">(float[5,2])",
         P "LinearClassifier<coefficients=[1.0,2.0,3.0]>(int64[4,3])"));
ML(OneHotEncoder, "1 at the place of the category", (1), onehot, ATTRS(onehot), .grad = norni_no_gradient,
   .untested_attrs = "cats_strings, zeros", .inputs = PARAMS({"X", NORNI_NODIFF, NORNI_ML_NUMBERS, 0}),
   .outputs = PARAMS({"Y", 0, F32S, 0}),
   CASES(P "OneHotEncoder<cats_int64s=[1,2,-3]>(int64[7])",
         P "OneHotEncoder<cats_int64s=[1,0]>(float[2,3]{1.0,0.0,2.0,1.0,1.0,0.0})"));
ML(FeatureVectorizer, "columns side by side", (1), vectorizer, ATTRS(vectorizer),
   .inputs = PARAMS({"X", NORNI_VARIADIC, NORNI_ML_NUMBERS, 0}), .outputs = PARAMS({"Y", 0, F32S, 0}),
   CASES(P "FeatureVectorizer<inputdimensions=[2,3,1]>(float[4,2], int64[4,2], double[4])",
         P "FeatureVectorizer(float[3,2], float[3,5])"));
