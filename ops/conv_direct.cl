/* SPDX-License-Identifier: Apache-2.0 */
/* Convolution as an implicit matrix product over planes: no columns are written.
 *
 * x is first copied into padded planes, split into phases where the stride is above 1, so that the input a kernel
 * element needs for consecutive outputs lies side by side. Outputs p = (o0 * q1 + o1) * q2 + o2 run flat over the rows
 * of a plane; those with o1 >= out1 or o2 >= out2 fall between rows and are dropped. A row's right padding is the next
 * row's left padding where that suffices. One work-item computes MR channels x NR outputs for each of its tiles:
 *
 *     acc[i][p] = bias[i] + sum over c, k of w[panel][c][k][i] * planes[c][offset(k) + p]
 *
 *   pad_planes    x [n][channels][in0][in1][in2] to planes [n][channels][f0][f1][f2][plane]; range (parts of the rows,
 *                 channels, n)
 *   pack_weights  w to [group][m / MR][c][taps][MR], zeros beyond m; range (m / MR, parts of c, group)
 *   conv_direct   range (m / MR, tiles / tiles_each, n * group), or with -DTILES_FIRST=1 the first two exchanged
 *
 *   -DMR=8 -DW=16 -DNV=2   rows, vector width and vectors of a tile (NR = W * NV)
 *   -DTAPS=32              at least the number of kernel elements
 *   -DGAPS=1               some outputs are dropped (q1 > out1 or q2 > out2)
 *   -DIN_PLACE=1           the planes are x itself (1 x 1 kernels); at least W outputs. The last vectors of a plane
 *                          are then moved back to end with it, and only their new lanes are stored
 *   -DHAS_BIAS=1 */
#ifndef MR
#define MR 8
#endif
#ifndef W
#define W 16
#endif
#ifndef NV
#define NV 2
#endif
#ifndef TAPS
#define TAPS 32
#endif
#ifdef IN_PLACE
#define X T
#define LOADX(p) LDV(W, p, 0)
#else
#define X C
#define LOADX(p) LOADC(p)
#endif
#define NR (W * NV)
#define VEC CV(W)
#define LOADC(p) NORNI_CAT(vload, W)(0, (p))
#define STOREC(v, p) NORNI_CAT(vstore, W)((v), 0, (p))

/* Element j of a row stands for input j * s + f - b. The last row written is cut at the end of the plane; behind the
 * last phase come zeros up to the channel's end, `slack` more behind the very last channel. */
__kernel void pad_planes(__global const T *x, __global C *planes, const long channels, const long images,
                         const long image0, const long in0, const long in1, const long in2, const long s0,
                         const long s1, const long s2, const long b0, const long b1, const long b2, const long f0,
                         const long f1, const long f2, const long q1, const long q2, const long plane,
                         const long channel, const long slack, const long rows_each) {
    const long ch = get_global_id(1), b = get_global_id(2), rows = (plane + q2 - 1) / q2;
    const long r0 = get_global_id(0) * rows_each, r1 = min(r0 + rows_each, rows);
    if (ch >= channels || b >= images || r0 >= rows)
        return;
    x += ((image0 + b) * channels + ch) * in0 * in1 * in2;
    planes += (b * channels + ch) * channel;
    for (long f = 0; f < f0 * f1 * f2; f++) {
        const long fd = f / f2 / f1, fh = f / f2 % f1, fw = f % f2;
        long lo = (b2 - fw + s2 - 1) / s2, hi = (in2 + b2 - fw + s2 - 1) / s2;
        lo = b2 - fw <= 0 ? 0 : min(lo, q2);
        hi = in2 + b2 - fw <= 0 ? lo : max(lo, min(hi, q2));
        for (long r = r0; r < r1; r++) {
            const long i0 = r / q1 * s0 + fd - b0, i1 = r % q1 * s1 + fh - b1, n = min(q2, plane - r * q2);
            __global C *to = planes + f * plane + r * q2;
            const bool inside = i0 >= 0 && i0 < in0 && i1 >= 0 && i1 < in1;
            const long l = inside ? min(lo, n) : n, h = inside ? min(hi, n) : n;
            __global const T *from = x + (i0 * in1 + i1) * in2 + fw - b2;
            long j = 0;
            for (; j < l; j++)
                to[j] = 0;
            if (s2 == 1)
                for (; j + W <= h; j += W)
                    STOREC(LDV(W, from, j), to + j);
            for (; j < h; j++)
                to[j] = LD(from, j * s2);
            for (; j < n; j++)
                to[j] = 0;
        }
    }
    if (r1 == rows) {
        const long end = channel + (b + 1 == images && ch + 1 == channels ? slack : 0);
        for (long j = f0 * f1 * f2 * plane; j < end; j++)
            planes[j] = 0;
    }
}

/* step_g, step_m, step_c: elements of w from one to the next; step_t: 1, or -1 for reversed kernels. */
__kernel void pack_weights(__global const T *w, __global C *packed, const long m, const long c, const long taps,
                           const long step_g, const long step_m, const long step_c, const long step_t, const long first,
                           const long c_each) {
    const long panel = get_global_id(0), g = get_global_id(2), m0 = panel * MR, n = min((long)MR, m - m0);
    const long c0 = get_global_id(1) * c_each, c1 = min(c0 + c_each, c);
    if (n <= 0)
        return;
    w += first + g * step_g + m0 * step_m;
    packed += (g * ((m + MR - 1) / MR) + panel) * c * taps * MR;
    for (long j = c0; j < c1; j++)
        for (long t = 0; t < taps; t++)
            for (int i = 0; i < MR; i++)
                packed[(j * taps + t) * MR + i] = i < n ? LD(w, i * step_m + j * step_c + t * step_t) : (C)0;
}

__attribute__((reqd_work_group_size(1, 1, 1)))
__kernel void conv_direct(__global const X *planes, __global const C *w, __global T *y, const long image0,
                          const long group, const long c, const long m, const long k0, const long k1, const long k2,
                          const long s0, const long s1, const long s2, const long d0, const long d1, const long d2,
                          const long f1, const long f2, const long q1, const long q2, const long plane,
                          const long channel, const long out1, const long out2, const long outs, const long pixels,
                          const long tiles, const long tiles_each
#ifdef HAS_BIAS
                          , __global const T *bias
#endif
                          NORNI_EPI_ARGS) {
#ifdef TILES_FIRST
    const long panel = get_global_id(1), part = get_global_id(0);
#else
    const long panel = get_global_id(0), part = get_global_id(1);
#endif
    const long g = get_global_id(2) % group, b = get_global_id(2) / group, m0 = panel * MR, taps = k0 * k1 * k2;
    int offset[TAPS];
    for (int a0 = 0, t = 0; a0 < k0; a0++)
        for (int a1 = 0; a1 < k1; a1++)
            for (int a2 = 0; a2 < k2; a2++, t++) {
                const int t0 = a0 * (int)d0, t1 = a1 * (int)d1, t2 = a2 * (int)d2;
                const int r0 = t0 / (int)s0, r1 = t1 / (int)s1, r2 = t2 / (int)s2;
                const int phase = ((t0 - r0 * (int)s0) * (int)f1 + t1 - r1 * (int)s1) * (int)f2 + t2 - r2 * (int)s2;
                offset[t] = phase * (int)plane + (r0 * (int)q1 + r1) * (int)q2 + r2;
            }
    planes += (b * group + g) * c * channel;
    w += (g * ((m + MR - 1) / MR) + panel) * c * taps * MR;
    const size_t channel0 = (size_t)(g * m + m0), y0 = ((size_t)(image0 + b) * group * m + channel0) * outs;
    const int rows = (int)min((long)MR, m - m0);
    for (long tile = part * tiles_each; tile < tiles && tile < (part + 1) * tiles_each; tile++) {
        const long p0 = tile * NR;
        VEC acc[MR][NV];
#pragma unroll
        for (int i = 0; i < MR; i++) {
#ifdef HAS_BIAS
            const VEC start = (VEC)(LD(bias, channel0 + min(i, rows - 1)));
#else
            const VEC start = (VEC)(0);
#endif
#pragma unroll
            for (int v = 0; v < NV; v++)
                acc[i][v] = start;
        }
        long start_of[NV];
#pragma unroll
        for (int v = 0; v < NV; v++)
#ifdef IN_PLACE
            start_of[v] = min(p0 + v * W, pixels - W);
#else
            start_of[v] = p0 + v * W;
#endif
        __global const X *xc = planes;
        __global const C *wp = w;
        for (long j = 0; j < c; j++, xc += channel)
            for (int t = 0; t < taps; t++, wp += MR) {
                __global const X *xt = xc + offset[t];
                VEC xv[NV];
#pragma unroll
                for (int v = 0; v < NV; v++)
                    xv[v] = LOADX(xt + start_of[v]);
#pragma unroll
                for (int i = 0; i < MR; i++) {
                    const VEC wv = (VEC)(wp[i]);
#pragma unroll
                    for (int v = 0; v < NV; v++)
                        acc[i][v] = fma(wv, xv[v], acc[i][v]);
                }
            }
#ifdef GAPS
        /* The outputs of a tile are one run of the result once the gaps are taken out, which whole vectors do: what
         * they carry beyond a row is overwritten by the next. */
        C wide[MR][NR + W], run[MR][NR + W];
#pragma unroll
        for (int i = 0; i < MR; i++)
#pragma unroll
            for (int v = 0; v < NV; v++)
                STOREC(acc[i][v], wide[i] + v * W);
        const long p1 = min(p0 + NR, pixels);
        long r = p0 / q2, col = p0 - r * q2, first = -1;
        int n = 0;
        for (long p = p0; p < p1; p += q2 - col, r++, col = 0) {
            const long o0 = r / q1, o1 = r - o0 * q1;
            const int len = (int)min(out2 - col, p1 - p), from = (int)(p - p0);
            if (o1 >= out1 || len <= 0)
                continue;
            if (first < 0)
                first = (o0 * out1 + o1) * out2 + col;
            for (int i = 0; i < rows; i++)
                for (int l = 0; l < len; l += W)
                    STOREC(LOADC(wide[i] + from + l), run[i] + n + l);
            n += len;
        }
        for (int i = 0; i < rows; i++) {
            const size_t at = y0 + (size_t)i * outs + (size_t)first;
            int l = 0;
            for (; l + W <= n; l += W)
                STV(W, y, at + l, NORNI_EPI(W, LOADC(run[i] + l), at + l, channel0 + i));
            for (; l < n; l++)
                ST(y, at + l, NORNI_EPI(1, run[i][l], at + l, channel0 + i));
        }
#else
#pragma unroll
        for (int i = 0; i < MR; i++) {
#pragma unroll
            for (int v = 0; v < NV; v++) {
                const long p = p0 + v * W;
                const size_t at = y0 + (size_t)i * outs + (size_t)start_of[v];
                if (i < rows && p + W <= pixels)
                    STV(W, y, at, NORNI_EPI(W, acc[i][v], at, channel0 + i));
                else if (i < rows && p < pixels) {
                    C s[W];
                    STOREC(acc[i][v], s);
                    for (int l = (int)(p - start_of[v]); l < pixels - start_of[v]; l++)
                        ST(y, at + l, NORNI_EPI(1, s[l], at + l, channel0 + i));
                }
            }
        }
#endif
    }
}
