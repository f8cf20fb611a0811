/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels of ops/quadratic.cl for the host device: one work-item, which is a group of its own. */
#include "symbolic/qp_parts.h"
#include <math.h>
#include <stdbool.h>

#define QP_HOST
#define global
#define kernel static
#define GROUP
typedef double V __attribute__((vector_size(64), aligned(8))); /* of gcc and clang, for any processor */
#define ZERO               ((V){0})
#define SPREAD(x)          (ZERO + (x))
#define LOAD(p)            (*(const V *)(p))
#define STORE(v, p)        (*(V *)(p) = (v))
#define LANE(v, i)         v[i]
#define FMA(a, b, c)       ((a) * (b) + (c)) /* a call without -mfma */
#define FENCE              ((void)0)
#define get_global_id(d)   0
#define get_global_size(d) 1
#define get_local_id(d)    0
#define get_local_size(d)  1
typedef int64_t I;
#include "ops/quadratic.cl"

#define HOST_KERNEL(name) {#name, name},
const norni_qp_part norni_qp_parts[] = {NORNI_QP_PARTS(HOST_KERNEL)};
