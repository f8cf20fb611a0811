/* SPDX-License-Identifier: Apache-2.0 */
/* What the operators of ai.onnx.ml share. */
#ifndef NORNI_ML_H
#define NORNI_ML_H
#include "ops/op.h"

enum { NORNI_POST_NONE, NORNI_POST_SOFTMAX, NORNI_POST_LOGISTIC, NORNI_POST_SOFTMAX_ZERO, NORNI_POST_PROBIT };
extern const char *const norni_post_words[];

/* Inputs that these operators take. */
#define NORNI_ML_NUMBERS (NORNI_T(NORN_F32) | NORNI_T(NORN_F64) | NORNI_T(NORN_I64) | NORNI_T(NORN_I32))

/* The list as a vector, or as a matrix of `cols` columns (cols > 0), of type t. */
norn_value *norni_ml_floats(norn_graph *g, const norni_floats *v, norn_dtype t, int64_t cols);
norn_value *norni_ml_ints(norn_graph *g, const norni_ints *v);
/* x in floats: double where it is, else float. */
norn_value *norni_ml_real(norn_graph *g, norn_value *x);
norn_value *norni_ml_post(norn_graph *g, norn_value *scores, int post);
/* Attributes that are strings have no place in norn. */
norn_status norni_ml_refuse(const norni_strings *s, const char *name);
/* x is a matrix [N, F], or a vector of F features. */
norn_status norni_ml_rows(const norni_type *x, norni_dim *rows, norni_dim *features);

#endif
