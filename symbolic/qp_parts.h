/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels of ops/quadratic.cl, by name and as functions of the host. */
#ifndef NORNI_QP_PARTS_H
#define NORNI_QP_PARTS_H
#include <stdint.h>

#define NORNI_QP_PARTS(F)                                                                                    \
    F(qp_norms)                                                                                              \
    F(qp_scale)                                                                                              \
    F(qp_products)                                                                                           \
    F(qp_gram)                                                                                               \
    F(qp_diagonal)                                                                                           \
    F(qp_panel)                                                                                              \
    F(qp_update)                                                                                             \
    F(qp_forward)                                                                                            \
    F(qp_backward)                                                                                           \
    F(qp_right_side)                                                                                         \
    F(qp_project)                                                                                            \
    F(qp_refine_residuals)                                                                                   \
    F(qp_refine_right_side)                                                                                  \
    F(qp_refine)                                                                                             \
    F(qp_factor_alone)                                                                                       \
    F(qp_iterate_alone)
#define NORNI_QP_ENUM(name) NORNI_##name,
typedef enum { NORNI_QP_PARTS(NORNI_QP_ENUM) NORNI_N_QP_PARTS } norni_qp_kernel;

typedef struct {
    const char *name;
    void (*host)(int64_t n, int64_t m, int64_t t, int64_t below, double *p, const int *p_column,
                 const int *p_start, double *a, const int *a_column, const int *a_start, double *at,
                 const int *at_column, const int *at_start, double *k, double *inv, double *v, double sigma,
                 int64_t which, int64_t j, int64_t count);
} norni_qp_part;
extern const norni_qp_part norni_qp_parts[NORNI_N_QP_PARTS];

#endif
