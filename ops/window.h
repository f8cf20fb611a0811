/* SPDX-License-Identifier: Apache-2.0 */
/* Sliding windows: the geometry that convolution and pooling share, over 1 to 3 spatial dimensions.
 *
 * Output o of a dimension reads the inputs o * stride + k * dilation - begin for k = 0 .. kernel - 1; those
 * outside 0 .. in - 1 are padding. With extent = (kernel - 1) * dilation + 1:
 *
 *     explicit pads    out = floor((in + begin + end - extent) / stride) + 1
 *     ceil_mode        ceil instead; a last window that would start beyond in + begin is dropped
 *     SAME_UPPER/LOWER out = ceil(in / stride); what is padded is split evenly, an odd one at the end / begin
 *     VALID            no padding
 *
 * Sources: ONNX Conv-22, ConvTranspose-22, MaxPool-22, AveragePool-22. */
#ifndef NORNI_WINDOW_H
#define NORNI_WINDOW_H
#include "ops/op.h"

enum { NORNI_WINDOW_DIMS = 3 };

typedef enum {
    NORNI_PAD_EXPLICIT,
    NORNI_PAD_SAME_UPPER,
    NORNI_PAD_SAME_LOWER,
    NORNI_PAD_VALID
} norni_auto_pad;

/* The attributes: a member `window` of an operator's struct, and rows of its table. */
typedef struct {
    int auto_pad;
    norni_ints kernel_shape, strides, pads, dilations;
} norni_window_attrs;

extern const char *const norni_auto_pads[];

#define NORNI_WINDOW_INTS(s, f, low)                                                                         \
    {                                                                                                        \
        .name = #f, .kind = NORNI_ATTR_INTS, .offset = offsetof(s, window.f), .flags = NORNI_ATTR_OPTIONAL,  \
        .lo = (low), .hi = INT32_MAX                                                                         \
    }
#define NORNI_WINDOW_ROWS(s)                                                                                 \
    {.name = "auto_pad",                                                                                     \
     .kind = NORNI_ATTR_ENUM,                                                                                \
     .offset = offsetof(s, window.auto_pad),                                                                 \
     .words = norni_auto_pads},                                                                              \
        NORNI_WINDOW_INTS(s, strides, 1), NORNI_WINDOW_INTS(s, pads, 0)

/* With known sizes. Right-aligned in three dimensions (depth, height, width); the leading ones that are not
 * there have size 1. `end` is what makes the sizes fit and may be negative (inputs that no window reads). */
typedef struct {
    int rank; /* spatial dimensions */
    int64_t kernel[NORNI_WINDOW_DIMS], stride[NORNI_WINDOW_DIMS], dilation[NORNI_WINDOW_DIMS];
    int64_t begin[NORNI_WINDOW_DIMS], end[NORNI_WINDOW_DIMS];
    int64_t in[NORNI_WINDOW_DIMS], out[NORNI_WINDOW_DIMS];
} norni_window;

/* The number of spatial dimensions of x [N, C, ...]: 1 to 3. */
norn_status norni_window_rank(const norni_type *x, int *rank);
/* Every attribute has as many elements as there are spatial dimensions (pads twice as many). */
norn_status norni_window_check(const norni_window_attrs *a, int rank);
/* How many windows there are: those that the padded input holds, and it must hold one; of pooling, whose windows may be
 * larger than it, rounded towards 0; with ceil_mode, one more that it holds in part. */
typedef enum { NORNI_WINDOW_WHOLE, NORNI_WINDOW_FLOOR, NORNI_WINDOW_CEIL } norni_window_fit;
/* Spatial sizes of the output from those of the input, both symbolic perhaps; kernel: its sizes. */
norn_status norni_window_infer(norn_graph *g, const norni_window_attrs *a, int rank, const norni_dim *in,
                               const norni_dim *kernel, norni_window_fit fit, norni_dim *out);
/* The geometry of a checked node with known sizes. */
void norni_window_of(const norni_window_attrs *a, int rank, const int64_t *in, const int64_t *out,
                     const int64_t *kernel, norni_window *w);
int64_t norni_window_extent(const norni_window *w, int dim); /* (kernel - 1) * dilation + 1 */
int64_t norni_window_taps(const norni_window *w);            /* elements of the kernel */
int64_t norni_window_in(const norni_window *w);              /* elements of the input, per channel */
int64_t norni_window_out(const norni_window *w);
/* Six lists as arguments: in, out, kernel, stride, dilation, begin; dimensions from `first` on. */
void norni_step_window(norni_emit *e, norni_step *s, const norni_window *w, int first);
/* Kernel 1, stride 1, no padding: every output reads the input in its place. */
bool norni_window_point(const norni_window *w);
/* "kernel_shape=[3,3], strides=[1,1], pads=[1,1,1,1], dilations=[1,1]" with explicit pads, in the arena. */
const char *norni_window_text(norni_arena *arena, const norni_window *w);
/* "[1,2]" for the rank last of v. */
const char *norni_window_list(norni_arena *arena, const norni_window *w, const int64_t *v);

#endif
