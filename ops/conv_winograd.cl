/* SPDX-License-Identifier: Apache-2.0 */
/* Convolution with 3 x 3 kernels by Winograd's minimal filtering (Lavin and Gray, "Fast Algorithms for Convolutional Neural
 * Networks", 2016), in blocked form of B channels a block. R x R outputs of a tile come from A x A inputs, A = R + 2:
 *
 *     y = P^T [ sum over c of (G w G^T) * (D^T x D) ] P,       * element by element
 *
 *   weights    w [m][c][3][3] to G w G^T as operands of conv_blocked (ops/conv_blocked.cl): [A A][m / (B NV)][c / B][B][B NV];
 *              range (m / (B NV), c / B); nv stands for NV; transposed: w is [c][m][3][3] and reversed (ConvTranspose)
 *   transform  tiles of x to v [A A][c / B][tiles][B], zeros in the lanes beyond c; range (rows of tiles, c / B)
 *   (the products: conv_blocked as 1 x 1 convolution in A A groups, from v to z [A A][m / B][tiles][B])
 *   inverse    z to y; range (rows of tiles, m / B)
 *
 * Both take `rows` rows of tiles from row0 on, counted over all images: n * tiles1 rows of tiles2 tiles.
 *   -DR=4 or 2; -DHAS_BIAS=1 */
#ifndef B
#define B 16
#endif
#ifndef R
#define R 4
#endif
#ifndef NV
#define NV 2
#endif
#define A (R + 2)
#define VEC CV(B)
#define LOADC(p) NORNI_CAT(vload, B)(0, (p))
#define STOREC(v, p) NORNI_CAT(vstore, B)((v), 0, (p))
#define K(x) ((VEC)(x))

/* to = D^T from, both A vectors, `step` apart. */
#if R == 4
#define TO_DOMAIN(to, tstep, from, fstep)                                                                    \
    do {                                                                                                     \
        const VEC f0 = from[0], f1 = from[fstep], f2 = from[2 * (fstep)], f3 = from[3 * (fstep)],            \
                  f4 = from[4 * (fstep)], f5 = from[5 * (fstep)];                                            \
        const VEC e0 = fma(K(-4), f2, f4), e1 = fma(K(-4), f1, f3), e2 = f4 - f2, e3 = K(2) * (f3 - f1);        \
        to[0] = fma(K(4), f0, fma(K(-5), f2, f4));                                                           \
        to[tstep] = e0 + e1;                                                                                 \
        to[2 * (tstep)] = e0 - e1;                                                                           \
        to[3 * (tstep)] = e2 + e3;                                                                           \
        to[4 * (tstep)] = e2 - e3;                                                                           \
        to[5 * (tstep)] = fma(K(4), f1, fma(K(-5), f3, f5));                                                 \
    } while (0)
#define FROM_DOMAIN(to, tstep, from, fstep)                                                                  \
    do {                                                                                                     \
        const VEC f0 = from[0], f1 = from[fstep], f2 = from[2 * (fstep)], f3 = from[3 * (fstep)],            \
                  f4 = from[4 * (fstep)], f5 = from[5 * (fstep)];                                            \
        const VEC e0 = f1 + f2, e1 = f1 - f2, e2 = f3 + f4, e3 = f3 - f4;                                       \
        to[0] = f0 + e0 + e2;                                                                                 \
        to[tstep] = fma(K(2), e3, e1);                                                                         \
        to[2 * (tstep)] = fma(K(4), e2, e0);                                                                   \
        to[3 * (tstep)] = fma(K(8), e3, e1) + f5;                                                              \
    } while (0)
#else
#define TO_DOMAIN(to, tstep, from, fstep)                                                                    \
    do {                                                                                                     \
        const VEC f0 = from[0], f1 = from[fstep], f2 = from[2 * (fstep)], f3 = from[3 * (fstep)];            \
        to[0] = f0 - f2;                                                                                     \
        to[tstep] = f1 + f2;                                                                                 \
        to[2 * (tstep)] = f2 - f1;                                                                           \
        to[3 * (tstep)] = f1 - f3;                                                                           \
    } while (0)
#define FROM_DOMAIN(to, tstep, from, fstep)                                                                  \
    do {                                                                                                     \
        const VEC f0 = from[0], f1 = from[fstep], f2 = from[2 * (fstep)], f3 = from[3 * (fstep)];            \
        to[0] = f0 + f1 + f2;                                                                                \
        to[tstep] = f1 - f2 - f3;                                                                            \
    } while (0)
#endif

#if !defined(NORNI_ONLY) || defined(K_weights)
/* to = G from: 3 vectors to A. */
#if R == 4
#define KERNEL_TO_DOMAIN(to, tstep, from, fstep)                                                             \
    do {                                                                                                     \
        const VEC f0 = from[0], f1 = from[fstep], f2 = from[2 * (fstep)];                                    \
        const VEC e0 = f0 + f2, e1 = fma(K(4), f2, f0);                                                      \
        to[0] = f0 / K(4);                                                                                   \
        to[tstep] = (e0 + f1) / K(-6);                                                                       \
        to[2 * (tstep)] = (e0 - f1) / K(-6);                                                                 \
        to[3 * (tstep)] = fma(K(2), f1, e1) / K(24);                                                         \
        to[4 * (tstep)] = fma(K(-2), f1, e1) / K(24);                                                        \
        to[5 * (tstep)] = f2;                                                                                \
    } while (0)
#else
#define KERNEL_TO_DOMAIN(to, tstep, from, fstep)                                                             \
    do {                                                                                                     \
        const VEC f0 = from[0], f1 = from[fstep], f2 = from[2 * (fstep)];                                    \
        to[0] = f0;                                                                                          \
        to[tstep] = (f0 + f2 + f1) / K(2);                                                                   \
        to[2 * (tstep)] = (f0 + f2 - f1) / K(2);                                                             \
        to[3 * (tstep)] = f2;                                                                                \
    } while (0)
#endif

/* Lanes are output channels. Elements of the domain lie far apart in memory: B channels of c are done before they are
 * written, so that writes go in long runs. */
__kernel void weights(__global const T *w, __global C *packed, const long m, const long c, const long nv,
                      const int transposed) {
    const long tile = get_global_id(0), block = get_global_id(1), blocks = get_global_size(1);
    const long step = get_global_size(0) * blocks * B * B * nv; /* from one element of the domain to the next */
    const long step_m = transposed ? 9 : c * 9, step_c = transposed ? m * 9 : 9;
    VEC all[A * A][B];
    packed += (tile * blocks + block) * B * B * nv;
    for (long v = 0; v < nv; v++, packed += B) {
        for (int i = 0; i < B; i++) {
            const long ci = block * B + i, j = (tile * nv + v) * B;
            VEC k[9], h[A * 3], u[A * A];
            C lanes[9][B];
            for (int l = 0; l < B; l++) {
                const bool real = ci < c && j + l < m;
                for (int t = 0; t < 9; t++)
                    lanes[t][l] = real ? LD(w, (j + l) * step_m + ci * step_c + (transposed ? 8 - t : t)) : (C)0;
            }
            for (int t = 0; t < 9; t++)
                k[t] = LOADC(lanes[t]);
#pragma unroll
            for (int t = 0; t < 3; t++)
                KERNEL_TO_DOMAIN((h + t), 3, (k + t), 3);
#pragma unroll
            for (int t = 0; t < A; t++)
                KERNEL_TO_DOMAIN((u + t * A), 1, (h + t * 3), 1);
#pragma unroll
            for (int t = 0; t < A * A; t++)
                all[t][i] = u[t];
        }
        for (int t = 0; t < A * A; t++)
            for (int i = 0; i < B; i++)
                STOREC(all[t][i], packed + t * step + i * nv * B);
    }
}
#endif

#if !defined(NORNI_ONLY) || defined(K_transform)
__attribute__((reqd_work_group_size(1, 1, 1)))
__kernel void transform(__global const T *x, __global C *v, const long c, const long in1, const long in2,
                        const long b1, const long b2, const long tiles1, const long tiles2, const long row0,
                        const long tiles) {
    const long block = get_global_id(1), blocks = get_global_size(1), row = row0 + get_global_id(0);
    const long image = row / tiles1, i1 = row % tiles1 * R - b1;
    const long step = blocks * tiles * B;
    const bool partial = c - block * B < B, rows_inside = i1 >= 0 && i1 + A <= in1;
    C lanes[B];
    for (int l = 0; l < B; l++)
        lanes[l] = block * B + l < c;
    const VEC real = LOADC(lanes);
    x += (image * blocks + block) * in1 * in2 * B;
    v += (block * tiles + get_global_id(0) * tiles2) * B;
    for (long t = 0; t < tiles2; t++, v += B) {
        const long i2 = t * R - b2;
        VEC d[A * A], h[A * A];
        if (rows_inside && i2 >= 0 && i2 + A <= in2) {
#pragma unroll
            for (int i = 0; i < A; i++)
#pragma unroll
                for (int j = 0; j < A; j++)
                    d[i * A + j] = LDV(B, x, ((i1 + i) * in2 + i2 + j) * B);
        } else { /* by way of memory, so that only little code is compiled for it */
            C edge[A * A * B];
            for (long i = 0; i < A * A; i++) {
                const long r = i1 + i / A, q = i2 + i % A;
                const bool inside = r >= 0 && r < in1 && q >= 0 && q < in2;
                STOREC(inside ? LDV(B, x, (r * in2 + q) * B) : K(0), edge + i * B);
            }
#pragma unroll
            for (int i = 0; i < A * A; i++)
                d[i] = LOADC(edge + i * B);
        }
        if (partial)
            for (int i = 0; i < A * A; i++)
                d[i] = select(K(0), d[i], real > K(0));
#pragma unroll
        for (int j = 0; j < A; j++)
            TO_DOMAIN((h + j), A, (d + j), A);
#pragma unroll
        for (int i = 0; i < A; i++)
            TO_DOMAIN((d + i * A), 1, (h + i * A), 1);
#pragma unroll
        for (int i = 0; i < A * A; i++)
            STOREC(d[i], v + i * step);
    }
}
#endif

#if !defined(NORNI_ONLY) || defined(K_inverse)
__attribute__((reqd_work_group_size(1, 1, 1)))
__kernel void inverse(__global const C *z, __global T *y, const long out1, const long out2, const long tiles1,
                      const long tiles2, const long row0, const long tiles
#ifdef HAS_BIAS
                      , __global const T *bias
#endif
                      NORNI_EPI_ARGS) {
    const long block = get_global_id(1), blocks = get_global_size(1), row = row0 + get_global_id(0);
    const long image = row / tiles1, o1 = row % tiles1 * R, rows = min((long)R, out1 - o1);
    const long step = blocks * tiles * B;
    const size_t base = (size_t)(image * blocks + block) * out1 * out2 * B;
    z += (block * tiles + get_global_id(0) * tiles2) * B;
#ifdef HAS_BIAS
    const VEC start = LDV(B, bias, block * B);
#endif
    for (long t = 0; t < tiles2; t++, z += B) {
        const long o2 = t * R, columns = min((long)R, out2 - o2);
        VEC d[A * A], h[R * A];
#pragma unroll
        for (int i = 0; i < A * A; i++)
            d[i] = LOADC(z + i * step);
#pragma unroll
        for (int j = 0; j < A; j++)
            FROM_DOMAIN((h + j), A, (d + j), A);
#pragma unroll
        for (int i = 0; i < R; i++)
            FROM_DOMAIN((d + i * R), 1, (h + i * A), 1);
#ifdef HAS_BIAS
#pragma unroll
        for (int i = 0; i < R * R; i++)
            d[i] += start;
#endif
        if (rows == R && columns == R) {
#pragma unroll
            for (int i = 0; i < R; i++)
#pragma unroll
                for (int j = 0; j < R; j++) {
                    const size_t at = base + (size_t)((o1 + i) * out2 + o2 + j) * B;
                    STV(B, y, at, NORNI_EPI(B, d[i * R + j], at, (size_t)block * B));
                }
        } else
            for (long i = 0; i < rows; i++)
                for (long j = 0; j < columns; j++) {
                    const size_t at = base + (size_t)((o1 + i) * out2 + o2 + j) * B;
                    STV(B, y, at, NORNI_EPI(B, d[i * R + j], at, (size_t)block * B));
                }
    }
}
#endif

/* ---- The gradient of the weights is the transpose of all this: what the forward form multiplies is multiplied with the
 * gradient of the product, tile by tile,
 *
 *     dw = G^T [ sum over tiles of (P dy P^T) * (D^T x D) ] G
 *
 *   transform_dy   tiles of dy to [A A][m / B][tiles][B], zeros beyond the edges; range (rows of tiles, m / B)
 *   (the sums: ops/conv_blocked_w.cl as 1 x 1 convolution in A A groups, -DRAW, from `transform` and transform_dy)
 *   weights_back   du [A A][panels of c][panels of m][CC][NV][B] to dw; range (panels of m, panels of c) */
#if !defined(NORNI_ONLY) || defined(K_transform_dy)
/* to = P from: R vectors to A. */
#if R == 4
#define GRADIENT_TO_DOMAIN(to, tstep, from, fstep)                                                           \
    do {                                                                                                     \
        const VEC f0 = from[0], f1 = from[fstep], f2 = from[2 * (fstep)], f3 = from[3 * (fstep)];            \
        const VEC e0 = f0 + f2, e1 = f1 + f3, e2 = fma(K(4), f2, f0), e3 = fma(K(4), f3, f1);                \
        to[0] = f0;                                                                                          \
        to[tstep] = e0 + e1;                                                                                 \
        to[2 * (tstep)] = e0 - e1;                                                                           \
        to[3 * (tstep)] = fma(K(2), e3, e2);                                                                 \
        to[4 * (tstep)] = fma(K(-2), e3, e2);                                                                \
        to[5 * (tstep)] = f3;                                                                                \
    } while (0)
#else
#define GRADIENT_TO_DOMAIN(to, tstep, from, fstep)                                                           \
    do {                                                                                                     \
        const VEC f0 = from[0], f1 = from[fstep];                                                            \
        to[0] = f0;                                                                                          \
        to[tstep] = f0 + f1;                                                                                 \
        to[2 * (tstep)] = f0 - f1;                                                                           \
        to[3 * (tstep)] = -f1;                                                                               \
    } while (0)
#endif
__attribute__((reqd_work_group_size(1, 1, 1)))
__kernel void transform_dy(__global const T *dy, __global C *v, const long out1, const long out2, const long tiles1,
                           const long tiles2, const long row0, const long tiles) {
    const long block = get_global_id(1), blocks = get_global_size(1), row = row0 + get_global_id(0);
    const long image = row / tiles1, o1 = row % tiles1 * R, rows = min((long)R, out1 - o1);
    const long step = blocks * tiles * B;
    dy += (image * blocks + block) * out1 * out2 * B;
    v += (block * tiles + get_global_id(0) * tiles2) * B;
    for (long t = 0; t < tiles2; t++, v += B) {
        const long o2 = t * R, columns = min((long)R, out2 - o2);
        VEC d[A * A], h[A * R];
        if (rows == R && columns == R) {
#pragma unroll
            for (int i = 0; i < R; i++)
#pragma unroll
                for (int j = 0; j < R; j++)
                    d[i * R + j] = LDV(B, dy, ((o1 + i) * out2 + o2 + j) * B);
        } else
            for (int i = 0; i < R; i++)
                for (int j = 0; j < R; j++)
                    d[i * R + j] = i < rows && j < columns ? LDV(B, dy, ((o1 + i) * out2 + o2 + j) * B) : K(0);
#pragma unroll
        for (int j = 0; j < R; j++)
            GRADIENT_TO_DOMAIN((h + j), R, (d + j), R);
#pragma unroll
        for (int i = 0; i < A; i++)
            GRADIENT_TO_DOMAIN((d + i * A), 1, (h + i * R), 1);
#pragma unroll
        for (int i = 0; i < A * A; i++)
            STOREC(d[i], v + i * step);
    }
}
#endif

#if !defined(NORNI_ONLY) || defined(K_weights_back)
#ifndef CC
#define CC B
#endif
/* to = G^T from: A vectors to 3. */
#if R == 4
#define KERNEL_FROM_DOMAIN(to, tstep, from, fstep)                                                           \
    do {                                                                                                     \
        const VEC f0 = from[0], f1 = from[fstep], f2 = from[2 * (fstep)], f3 = from[3 * (fstep)],            \
                  f4 = from[4 * (fstep)], f5 = from[5 * (fstep)];                                            \
        const VEC e0 = (f1 + f2) / K(-6), e1 = (f1 - f2) / K(-6), e2 = (f3 + f4) / K(24),                    \
                  e3 = (f3 - f4) / K(12);                                                                    \
        to[0] = fma(f0, K(0.25f), e0 + e2);                                                                  \
        to[tstep] = e1 + e3;                                                                                 \
        to[2 * (tstep)] = fma(K(4), e2, e0) + f5;                                                            \
    } while (0)
#else
#define KERNEL_FROM_DOMAIN(to, tstep, from, fstep)                                                           \
    do {                                                                                                     \
        const VEC f0 = from[0], f1 = from[fstep], f2 = from[2 * (fstep)], f3 = from[3 * (fstep)];            \
        const VEC e0 = (f1 + f2) / K(2);                                                                     \
        to[0] = f0 + e0;                                                                                     \
        to[tstep] = (f1 - f2) / K(2);                                                                        \
        to[2 * (tstep)] = e0 + f3;                                                                           \
    } while (0)
#endif
__kernel void weights_back(__global const C *du, __global T *dw, const long m, const long c) {
    const long panel_m = get_global_id(0), panel_c = get_global_id(1);
    const long step = get_global_size(0) * get_global_size(1) * CC * NV * B; /* between elements of the domain */
    const int channels = (int)min((long)CC, c - panel_c * CC);
    du += (panel_c * get_global_size(0) + panel_m) * CC * NV * B;
    for (int v = 0; v < NV && (panel_m * NV + v) * B < m; v++) {
        C rows[B][CC * 9]; /* of channels of m: what lies side by side in dw */
        for (int i = 0; i < channels; i++) {
            VEC u[A * A], h[3 * A], k[9];
            C lanes[9][B];
#pragma unroll
            for (int t = 0; t < A * A; t++)
                u[t] = LOADC(du + t * step + (i * NV + v) * B);
#pragma unroll
            for (int t = 0; t < A; t++)
                KERNEL_FROM_DOMAIN((h + t), A, (u + t), A);
#pragma unroll
            for (int t = 0; t < 3; t++)
                KERNEL_FROM_DOMAIN((k + t * 3), 1, (h + t * A), 1);
#pragma unroll
            for (int t = 0; t < 9; t++)
                STOREC(k[t], lanes[t]);
            for (int l = 0; l < B; l++)
#pragma unroll
                for (int t = 0; t < 9; t++)
                    rows[l][i * 9 + t] = lanes[t][l];
        }
        for (int l = 0; l < B && (panel_m * NV + v) * B + l < m; l++) {
            __global T *to = dw + (((panel_m * NV + v) * B + l) * c + panel_c * CC) * 9;
            for (int i = 0; i < channels * 9; i++)
                ST(to, i, rows[l][i]);
        }
    }
}
#endif
