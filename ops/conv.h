/* SPDX-License-Identifier: Apache-2.0 */
/* What Conv, ConvTranspose and norn.ConvGradW share. All three are about one convolution,
 *
 *     y[n, m, o] = sum over c, k of w[m, c, k] * x[n, c, o * stride + k * dilation - begin],
 *
 * with `group` independent groups of c channels in x and m channels in y. Conv computes y from x and w;
 * ConvTranspose x from y and w; ConvGradW w from x and y. So ConvTranspose's input is called y here. */
#ifndef NORNI_CONV_H
#define NORNI_CONV_H
#include "ops/gemm.h"
#include "ops/window.h"

/* Attributes of all three; the last two are ConvTranspose's. */
typedef struct {
    norni_window_attrs window;
    int64_t group;
    norni_ints output_padding, output_shape;
} norni_conv_attrs;
/* The rows of an attribute table whose structure begins with norni_conv_attrs; without ConvTranspose's. */
#define NORNI_CONV_ROWS                                                                                      \
    NORNI_WINDOW_ROWS(norni_conv_attrs), NORNI_WINDOW_INTS(norni_conv_attrs, kernel_shape, 1),               \
        NORNI_WINDOW_INTS(norni_conv_attrs, dilations, 1),                                                   \
        NORNI_A_INT(norni_conv_attrs, group, 1, .lo = 1, .hi = INT32_MAX)

typedef struct {
    norn_dtype dtype;
    int64_t n, group, c, m; /* batch; channels of x and y in each group */
    norni_window w;         /* from x to y */
} norni_conv;

/* The convolution behind a node of any of the three operators, with known sizes. */
void norni_conv_of(const norn_node *node, norni_conv *v);
/* For gradients: spatial sizes may be unknown where the padding does not depend on them. */
norn_status norni_conv_known(const norn_node *node, norni_conv *v);
/* W is an input 1 that fits: rank, sizes, kernel_shape; `channels` of input 0 are `per_group` in each group. */
norn_status norni_conv_check_weights(const norni_infer *c, int rank, bool transposed);
norn_status norni_conv_check_bias(const norni_infer *c, norni_dim channels);
/* Attributes for the text of another of the three operators over the same convolution. */
const char *norni_conv_text(norni_arena *arena, const norni_conv *v);
/* How many elements of x at each end no window reads: the output_padding that gives x its size. */
void norni_conv_rest(const norni_conv *v, int64_t rest[NORNI_WINDOW_DIMS]);
/* d bias: dy summed over all but the channels. */
norn_value *norni_conv_bias_gradient(norn_graph *g, norn_value *dy);
void norni_conv_cost(const norn_node *node, norni_cost *c);

/* Host reference of all three: in double, one multiplication after the other. */
typedef enum { NORNI_CONV_Y, NORNI_CONV_X, NORNI_CONV_W } norni_conv_result;
norni_conv_result norni_conv_kind(const norn_node *node);
norn_status norni_conv_eval(norni_eval *e);

/* ---- Implementations; each says in its file what it does. The result is output 0 of the node. */
/* Adds the sizes as 22 arguments, in the order of CONV_SIZES in the kernel files. */
void norni_conv_args(norni_emit *e, norni_step *s, const norni_conv *v);
norn_status norni_emit_conv_reference(norni_emit *e);
norn_status norni_emit_conv_direct(norni_emit *e); /* Conv; ConvTranspose with stride 1 */
const char *norni_conv_direct_fits(const norni_fit *f);
norn_status norni_emit_conv_blocked(norni_emit *e); /* Conv, ConvTranspose with stride 1 into blocked form */
const char *norni_conv_blocked_fits(const norni_fit *f);
const char *norni_conv_to_blocked_fits(const norni_fit *f);
norn_status norni_emit_conv_scatter(norni_emit *e); /* ConvTranspose of small images into blocked form */
const char *norni_conv_scatter_fits(const norni_fit *f);
norn_status norni_emit_conv_phases(norni_emit *e); /* ConvTranspose with strides into blocked form */
const char *norni_conv_phases_fits(const norni_fit *f);
norn_status norni_emit_conv_winograd(norni_emit *e); /* the same with kernels 3 x 3 */
const char *norni_conv_winograd_fits(const norni_fit *f);
norn_status norni_emit_conv_channels(norni_emit *e); /* Conv in blocked form with one channel a group */
const char *norni_conv_channels_fits(const norni_fit *f);
norn_status norni_emit_conv_groups(norni_emit *e); /* the same with groups of some channels of a block */
const char *norni_conv_groups_fits(const norni_fit *f);
norn_status norni_emit_conv_direct_w(norni_emit *e); /* norn.ConvGradW */
const char *norni_conv_direct_w_fits(const norni_fit *f);
norn_status norni_emit_conv_blocked_w(norni_emit *e); /* norn.ConvGradW from blocked forms */
const char *norni_conv_blocked_w_fits(const norni_fit *f);
norn_status norni_emit_conv_winograd_w(norni_emit *e); /* the same with kernels 3 x 3 */
const char *norni_conv_winograd_w_fits(const norni_fit *f);
norn_status norni_emit_conv_panels(norni_emit *e); /* norn.ConvGradW, where it is faster than direct */
const char *norni_conv_panels_fits(const norni_fit *f);
norn_status norni_emit_conv_tiled(norni_emit *e); /* all three, for GPUs */
const char *norni_conv_tiled_fits(const norni_fit *f);
norn_status norni_emit_conv_columns(norni_emit *e); /* all three */
norn_status norni_emit_conv_columns_blas(norni_emit *e);
const char *norni_conv_columns_fits(const norni_fit *f);
const char *norni_conv_columns_blas_fits(const norni_fit *f);
const char *norni_conv_columns_blas_best(const norni_fit *f); /* fits, and is the best there is: on GPUs */

#endif
