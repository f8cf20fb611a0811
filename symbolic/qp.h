/* SPDX-License-Identifier: Apache-2.0 */
/* Quadratic programs: as they were given (qp_read.c), and on a device (qp_device.c, ops/quadratic.cl). */
#ifndef NORNI_QP_H
#define NORNI_QP_H
#include "graph/session.h"
#define QP_NAMES_ONLY
#include "ops/quadratic.cl"
#undef QP_NAMES_ONLY

/* A matrix by rows: sparse, or dense where start is NULL. */
typedef struct {
    int64_t rows, columns;
    double *v;
    int *column, *start; /* columns ascend in a row */
} norni_rows;

/* As given, the variables in an order of our own: x[order[i]] is the i-th. */
typedef struct {
    int64_t n, m;
    norni_rows p, a, at; /* P, A, and its transpose */
    double *q, *l, *u;
    int64_t *order;
    int64_t band; /* of P + A'A: entries to the left of the diagonal; n - 1: no structure to be used */
} norni_quadratic;

norn_status norni_quadratic_read(const norn_qp *qp, norni_quadratic *out);
void norni_quadratic_free(norni_quadratic *q);

/* The program on a device. Sizes are padded: n of the vectors is that of the device, the program's own entries come first. */
typedef struct norni_splitting norni_splitting;
norn_status norni_splitting_new(norn_session *session, const norni_quadratic *q, norni_splitting **out);
void norni_splitting_free(norni_splitting *s);

/* The host's copy of a vector (N_..., M_...), and its way to the device; enqueued. What is read is valid after norni_splitting_read,
 * which waits: N_X to M_AX. */
double *norni_splitting_n(norni_splitting *s, int slot);
double *norni_splitting_m(norni_splitting *s, int slot);
norn_status norni_splitting_write_n(norni_splitting *s, int slot);
norn_status norni_splitting_write_m(norni_splitting *s, int slot);
norn_status norni_splitting_read(norni_splitting *s);
/* The same of the norms, and of N_XP and M_YP. */
norn_status norni_splitting_read_norms(norni_splitting *s);
norn_status norni_splitting_read_n(norni_splitting *s, int slot);
norn_status norni_splitting_read_m(norni_splitting *s, int slot);

/* Enqueued: the largest entries of rows and columns as scaled by N_SCALE and M_SCALE; the scaling itself, of P also by cost. */
norn_status norni_splitting_norms(norni_splitting *s);
norn_status norni_splitting_scale(norni_splitting *s, double cost);
typedef enum { QP_OF_X, QP_OF_STEPS, QP_OF_POLISHED } norni_qp_point;
norn_status norni_splitting_products(norni_splitting *s, norni_qp_point of);

/* P + sigma I, with A' diag(M_RHO or, polished, M_ACTIVE) A; waits. *definite false: it has no Cholesky factor. */
norn_status norni_splitting_factor(norni_splitting *s, bool polished, bool with_a, double sigma,
                                   bool *definite);
norn_status norni_splitting_iterate(norni_splitting *s, double sigma, int64_t times);
norn_status norni_splitting_refine(norni_splitting *s, double sigma, int64_t times);

#endif
