/* SPDX-License-Identifier: Apache-2.0 */
/* Normalisation over the elements of a sample: what LayerNormalization, RMSNormalization, InstanceNormalization and
 * GroupNormalization share. They stand for norn.Normalize, with norn.NormalizeGrad and norn.NormalizeSums as its
 * gradient.
 *
 *     y = (x - m) i s + b,   m = mean x,  i = 1 / sqrt(mean (x - m)^2 + epsilon)       centered = 0: m = 0
 *     dx = (g - mean g - h mean (g h)) i,   g = dy s,  h = (x - m) i                     centered = 0: no mean g
 *     ds = sum dy h,  db = sum dy
 *
 * Rows: the axes from `axis` on are one row; s and b have its shape.
 * Channels (groups >= 0): x is [N, C, ...]; a row is C / groups neighbouring channels of a sample (groups = 0: one
 * channel), s and b are [C]. */
#ifndef NORNI_NORM_H
#define NORNI_NORM_H
#include "ops/op.h"

typedef struct {
    int64_t axis, groups, centered;
    float epsilon;
} norni_norm_attrs;

/* With known sizes: x is [rows][r]; s and b of element i of row q: (q % period) * step + i / depth. */
typedef struct {
    int64_t rows, r, period, step, depth;
} norni_norm_rows;

norni_norm_rows norni_norm_rows_of(const norni_norm_attrs *a, int rank, const int64_t *dims);
/* Axis and groups are legal for x; sizes may be unknown. */
norn_status norni_norm_check(const norni_norm_attrs *a, const norni_type *x);
/* The type of mean and inv: [d0, .., 1, ..] for rows, [N, groups, 1] for channels. */
norni_type norni_norm_stats_type(norn_graph *g, const norni_norm_attrs *a, const norni_type *x);
norn_dtype norni_norm_kept(norn_dtype t);

/* Host reference; s, b, mean and inv may be NULL. */
norn_status norni_norm_eval(const norni_norm_attrs *a, const norn_tensor *x, const norn_tensor *s,
                            const norn_tensor *b, norn_tensor *y, norn_tensor *mean, norn_tensor *inv);

/* Nodes. x in type t, as [N, groups, -1] for channels. */
norn_value *norni_norm_view(norn_graph *g, const norni_norm_attrs *a, norn_value *x, norn_dtype t);
/* Back to the shape of x. */
norn_value *norni_norm_unview(norn_graph *g, const norni_norm_attrs *a, norn_value *v, norn_value *x);
/* The axes of a row in the view. */
norn_value *norni_norm_axes(norn_graph *g, const norni_norm_attrs *a, const norn_value *x);
/* s or b so that it broadcasts to x. */
norn_value *norni_norm_spread(norn_graph *g, const norni_norm_attrs *a, norn_value *v, const norn_value *x,
                              norn_dtype t);
/* A node norn.NAME with the attributes; without epsilon. */
norn_node *norni_norm_node(norn_graph *g, const char *name, const norni_norm_attrs *a, unsigned wanted, int n,
                           norn_value *const *in);

extern const norni_attr norni_norm_table[]; /* axis, groups, centered, epsilon */

#endif
