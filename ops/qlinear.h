/* SPDX-License-Identifier: Apache-2.0 */
/* What the operators on quantised tensors share. */
#ifndef NORNI_QLINEAR_H
#define NORNI_QLINEAR_H
#include "ops/rows.h"

/* s (q - z) in floats; s and z have one element, z may be NULL for 0. */
norn_value *norni_dequantise(norn_graph *g, norn_value *q, norn_value *s, norn_value *z);
/* saturate(round(x / s) + z) in type t, which is int8 or uint8; z may be NULL. */
norn_value *norni_quantise(norn_graph *g, norn_value *x, norn_value *s, norn_value *z, norn_dtype t);
/* The type of an optional zero point, else of input x. */
norn_dtype norni_type_of_zero(const norn_node *node, int zero, int x);
/* These inputs (the list ends with -1) have one element each. */
norn_status norni_check_singles(const norni_infer *c, const int *list);
/* Input i, where it is there, is a vector of n elements; n may be unknown. */
norn_status norni_check_vector(const norn_node *node, int i, norni_dim n);

/* Channels moved behind the batch (`first`), or back to the end. */
norn_value *norni_move_channels(norn_graph *g, norn_value *x, bool first);

/* Input i, or NULL. */
static inline norn_value *norni_optional(const norn_node *node, int i) {
    return i < node->n_in ? node->in[i] : NULL;
}

/* ---- For descriptors; only the files of these operators include this. */
#define BYTES       (NORNI_T(NORN_I8) | NORNI_T(NORN_U8))
#define F32S        NORNI_T(NORN_F32)
#define I32S        NORNI_T(NORN_I32)
#define REALS       (F32S | NORNI_T(NORN_F16) | NORNI_T(NORN_BF16))
#define UNPACK(...) __VA_ARGS__
#define OP(id, in_domain, in_doc, version, ...)                                                              \
    const norn_op norni_op_##id = {.domain = in_domain,                                                      \
                                   .name = #id,                                                              \
                                   .doc = in_doc,                                                            \
                                   .versions = (const int[]){UNPACK version, 0},                             \
                                   .grad = norni_no_gradient,                                                \
                                   __VA_ARGS__}
#define MS          "com.microsoft"
#define N           NORNI_NODIFF
#define O           (NORNI_OPT | NORNI_NODIFF)
#define ATTRS(s, t) .attrs_bytes = sizeof(s), .attrs = t

#endif
