/* SPDX-License-Identifier: Apache-2.0 */
/* norn.ConvGradW as one product a group, dW = dY X', for CPUs: sums over the outputs of all images at once, with vectors
 * along kernel elements. The better way where outputs are few and weights many: the sums along outputs of
 * ops/conv_direct_w.c then are too short for their vectors. */
#include "ops/conv_direct.h"
#include <math.h>

enum { D = NORNI_WINDOW_DIMS };

norn_status norni_emit_conv_panels(norni_emit *e) {
    norni_conv v;
    norni_planes pl;
    int mr, nr, width;
    norni_conv_of(e->node, &v);
    int64_t taps = norni_window_taps(&v.w), pairs = v.c * taps, elems = v.group * v.m * pairs;
    int64_t outs = norni_window_out(&v.w);
    if (!elems)
        return e->status;
    norni_planes_of(&v.w, &pl);
    norni_gemm_tile(e->device, v.dtype, v.m, pairs, &mr, &nr, &width);
    norn_dtype compute = norni_compute_dtype(v.dtype);
    int64_t bytes = (int64_t)norni_compute_bytes(v.dtype);
    int64_t x_panels = norni_ceil_div(pairs, nr) * nr, y_panels = norni_ceil_div(v.m, mr) * mr,
            image = v.group * v.c * pl.channel;
    int64_t slack = norni_ceil_div(pl.pixels, width) * width - pl.pixels;
    int64_t chunk = norni_conv_room(e->device) / bytes / (v.group * (x_panels + y_panels) * outs + image);
    chunk = chunk < 1 ? 1 : chunk > v.n ? v.n : chunk;
    norni_ref planes = norni_emit_scratch(e, (size_t)((chunk * image + slack) * bytes));
    norni_ref x = norni_emit_scratch(e, (size_t)(chunk * v.group * x_panels * outs * bytes));
    norni_ref y = norni_emit_scratch(e, (size_t)(chunk * v.group * y_panels * outs * bytes));
    norni_ref out = norni_emit_out(e, 0);
    norni_ref sum = chunk == v.n || compute == v.dtype ? out : norni_emit_scratch(e, (size_t)(elems * bytes));
    for (int64_t n0 = 0; n0 < v.n; n0 += chunk) {
        int64_t images = chunk < v.n - n0 ? chunk : v.n - n0;
        norni_emit_planes(e, v.dtype, &v.w, &pl, norni_emit_in(e, 0), planes, v.group * v.c, n0, images,
                          slack);
        norni_step *s = norni_emit_kernel(e, "conv_panels.cl", "panels_x", v.dtype);
        norni_step_define(e, s, "W", width);
        norni_step_define(e, s, "NR", nr);
        norni_step_buffer(e, s, planes, NORNI_READ);
        norni_step_buffer(e, s, x, NORNI_WRITE);
        const int64_t sizes[] = {images, v.group, v.c};
        const int64_t *const lists[] = {v.w.kernel, v.w.stride, v.w.dilation};
        const int64_t rest[] = {pl.phases[1], pl.phases[2], pl.q1,      pl.q2, pl.plane,
                                pl.channel,   v.w.out[1],   v.w.out[2], outs,  pl.pixels};
        norni_step_i64s(e, s, sizeof sizes / sizeof *sizes, sizes);
        for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
            norni_step_i64s(e, s, D, lists[i]);
        norni_step_i64s(e, s, sizeof rest / sizeof *rest, rest);
        norni_step_range(s, 3, (size_t)(x_panels / width), (size_t)images, (size_t)v.group, 1, 1, 1);
        s = norni_emit_kernel(e, "conv_panels.cl", "panels_dy", v.dtype);
        norni_step_define(e, s, "P", mr);
        norni_step_buffer(e, s, norni_emit_in(e, 1), NORNI_READ);
        norni_step_buffer(e, s, y, NORNI_WRITE);
        const int64_t dy[] = {n0, images, v.group, v.m, outs};
        norni_step_i64s(e, s, sizeof dy / sizeof *dy, dy);
        norni_step_range(s, 3, (size_t)(y_panels / mr), (size_t)images, (size_t)v.group, 1, 1, 1);
        norni_product g = {.dtype = v.dtype,
                           .c_dtype = sum == out ? v.dtype : compute,
                           .m = v.m,
                           .n = pairs,
                           .k = images * outs,
                           .batch = v.group,
                           .alpha = 1,
                           .beta = 1,
                           .a = {.ref = y, .stride = y_panels * images * outs},
                           .b = {.ref = x, .stride = x_panels * images * outs},
                           .a_packed = true,
                           .b_packed = true,
                           .c = sum,
                           .ldc = pairs,
                           .stride_c = v.m * pairs,
                           .d = n0 ? sum : -1,
                           .d_sm = pairs,
                           .d_sn = 1,
                           .d_stride = v.m * pairs};
        NORNI_TRY(norni_emit_product(e, &g));
    }
    if (sum != out)
        norni_emit_sum_parts(e, v.dtype, sum, out, elems, 1);
    return e->status;
}

const char *norni_conv_panels_fits(const norni_fit *f) {
    norni_conv v;
    norni_planes pl;
    if (!norni_device_is_cpu(f->device))
        return "made for CPUs";
    norni_conv_of(f->node, &v);
    if (!v.n || !norni_window_out(&v.w))
        return "there is nothing to sum";
    if (!norni_planes_of(&v.w, &pl) || (double)v.c * (double)pl.channel > 1e9)
        return "the sizes are beyond 32 bits";
    /* Cycles, roughly, of a core with two multipliers of 16 lanes; measured constants. */
    double m = (double)v.m, pairs = (double)(v.c * norni_window_taps(&v.w)), n = (double)v.n,
           outs = (double)norni_window_out(&v.w), row = ceil((double)pl.pixels / 16);
    double product = m * pairs * outs * n / 32 / 0.9 + (pairs * 0.6 + m * 1.5) * outs * n;
    double direct = m * pairs / 24 * (n * row * 12.5 + 150);
    return product < direct ? NULL : "sums along the outputs are faster";
}
