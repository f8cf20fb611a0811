/* SPDX-License-Identifier: Apache-2.0 */
/* Columns: what the windows of a convolution see, as a matrix with a row for each pair (channel, kernel element) and a
 * column for each output, so that the convolution is a product of matrices; and the way back.
 *
 *     column[c * taps + k][o] = x[n, c, o * s + k * d - b], 0 outside x
 *
 *   columns         the columns p0 .. p0 + pixels - 1 of each matrix z (a group of an image), in blocks of LANES:
 *                   element (row, p) at z * matrix_step + p / LANES * block_step + row * row_step + p % LANES. Columns
 *                   beyond the last are zeros with -DWHOLE_BLOCKS=1, else they are not written.
 *                   Range (blocks, rows / rows_each, matrices)
 *   gather_columns  x[n, c, i] = bias[c] + sum over k and the o with o * s + k * d - b = i of column[c * taps + k][o],
 *                   for `channels` of all channels, from channel0 on. Range (in0 * in1 / rows_each, channels, images)
 *
 *   -DLANES=64      columns of a block      -DW=16  vector width of stores
 *   -DSEGMENT=128   gather_columns: elements of x at a time
 *   -DHAS_BIAS=1 */
#ifndef LANES
#define LANES 64
#endif
#ifndef W
#define W 16
#endif
#ifndef SEGMENT
#define SEGMENT 128
#endif
#define CONV_WINDOW                                                                                          \
    const long in0, const long in1, const long in2, const long out0, const long out1, const long out2, const long k0, \
        const long k1, const long k2, const long s0, const long s1, const long s2, const long d0, const long d1, \
        const long d2, const long b0, const long b1, const long b2

#if !defined(NORNI_ONLY) || defined(K_columns)
__kernel void columns(__global const T *x, __global C *to, const long x_offset, const long x_step, const long rows,
                      const long rows_each, const long p0, const long pixels, const long matrix_step,
                      const long block_step, const long row_step, CONV_WINDOW) {
    const long block = get_global_id(0) * LANES, taps = k0 * k1 * k2;
    const long r0 = get_global_id(1) * rows_each, r1 = min(r0 + rows_each, rows), z = get_global_id(2);
    if (block >= pixels)
        return;
    const long end = p0 + min(block + LANES, pixels);
    x += x_offset + z * x_step;
    to += z * matrix_step + get_global_id(0) * block_step;
    for (long r = r0; r < r1; r++) {
        const long t = r % taps, a2 = t % k2 * d2 - b2;
        const long a1 = t / k2 % k1 * d1 - b1, a0 = t / k2 / k1 * d0 - b0;
        __global const T *plane = x + r / taps * in0 * in1 * in2;
        __global C *at = to + r * row_step;
        /* Runs of columns along one row of outputs: of these the part inside x is copied. */
        for (long p = p0 + block, n; p < end; p += n, at += n) {
            const long o2 = p % out2, i1 = p / out2 % out1 * s1 + a1, i0 = p / out2 / out1 * s0 + a0;
            n = min(out2 - o2, end - p);
            const bool inside = i0 >= 0 && i0 < in0 && i1 >= 0 && i1 < in1;
            const long first = o2 * s2 + a2; /* of x, for the first column */
            long lo = first >= 0 ? 0 : (-first + s2 - 1) / s2, hi = in2 > first ? (in2 - first + s2 - 1) / s2 : 0;
            lo = inside ? min(lo, n) : n;
            hi = inside ? min(hi, n) : n;
            __global const T *from = plane + (i0 * in1 + i1) * in2 + first;
            long j = 0;
            for (; j < lo; j++)
                at[j] = 0;
            if (s2 == 1)
                for (; j + W <= hi; j += W)
                    NORNI_CAT(vstore, W)(LDV(W, from, j), 0, at + j);
            for (; j < hi; j++)
                at[j] = LD(from, j * s2);
            for (; j < n; j++)
                at[j] = 0;
        }
#ifdef WHOLE_BLOCKS
        for (long p = end; p < p0 + block + LANES; p++, at++)
            *at = 0;
#endif
    }
}
#endif

#if !defined(NORNI_ONLY) || defined(K_gather_columns)
__kernel void gather_columns(__global const C *from, __global T *x, const long image0, const long images,
                             const long image_step, const long channel0, const long channels, const long all,
                             const long rows_each, CONV_WINDOW
#ifdef HAS_BIAS
                             , __global const T *bias
#endif
                             NORNI_EPI_ARGS) {
    const long ch = get_global_id(1), image = get_global_id(2), outs = out0 * out1 * out2;
    const long r0 = get_global_id(0) * rows_each, r1 = min(r0 + rows_each, in0 * in1);
    if (ch >= channels || image >= images)
        return;
    from += image * image_step + ch * k0 * k1 * k2 * outs;
    const size_t c = (size_t)(channel0 + ch), x0 = ((size_t)(image0 + image) * all + c) * in0 * in1 * in2;
    for (long r = r0; r < r1; r++)
        for (long e0 = 0; e0 < in2; e0 += SEGMENT) {
            C acc[SEGMENT + W];
            const long i0 = r / in1 + b0, i1 = r % in1 + b1, n = min((long)SEGMENT, in2 - e0);
#ifdef HAS_BIAS
            const C start = LD(bias, c);
#else
            const C start = 0;
#endif
            for (long j = 0; j < n; j++)
                acc[j] = start;
            for (long a0 = 0; a0 < k0; a0++) {
                const long t0 = i0 - a0 * d0;
                if (t0 < 0 || t0 % s0 || t0 / s0 >= out0)
                    continue;
                for (long a1 = 0; a1 < k1; a1++) {
                    const long t1 = i1 - a1 * d1;
                    if (t1 < 0 || t1 % s1 || t1 / s1 >= out1)
                        continue;
                    for (long a2 = 0; a2 < k2; a2++) {
                        /* outputs o with 0 <= o * s2 + shift < n */
                        const long shift = a2 * d2 - b2 - e0;
                        const long lo = shift >= 0 ? 0 : (-shift + s2 - 1) / s2;
                        const long hi = min(out2, n > shift ? (n - shift + s2 - 1) / s2 : 0);
                        __global const C *row =
                            from + ((a0 * k1 + a1) * k2 + a2) * outs + (t0 / s0 * out1 + t1 / s1) * out2;
                        for (long o = lo; o < hi; o++)
                            acc[o * s2 + shift] += row[o];
                    }
                }
            }
            const size_t at = x0 + (size_t)(r * in2 + e0);
            long j = 0;
            for (; j + W <= n; j += W)
                STV(W, x, at + j, NORNI_EPI(W, NORNI_CAT(vload, W)(0, acc + j), at + j, c));
            for (; j < n; j++)
                ST(x, at + j, NORNI_EPI(1, acc[j], at + j, c));
        }
}
#endif
