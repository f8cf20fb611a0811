/* SPDX-License-Identifier: Apache-2.0 */
/* Matrix products for devices with work-groups and local memory (GPUs): C = A B, A: m x k, B: k x n. A work-group of LM * LN
 * work-items computes a tile of TM = LM * RM rows and TN = LN * RN columns: strips of KT columns of A and rows of B go
 * through local memory, each work-item keeps RM x RN sums in registers (after Volkov and Demmel, "Benchmarking GPUs to tune
 * dense linear algebra", 2008). Nothing is packed, and convolutions write no columns: what an element of A or B is depends
 * on the form,
 *
 *   (none)    stored matrices with any steps; alpha, + beta D with -DHAS_D, in a batch (group id 2)
 *   CONV_Y    A = w [m][c taps],       B = what the outputs read of x [c taps][images outputs],     C = y
 *   CONV_X    A = w' [c][m taps],      B = what the inputs are read by of y [m taps][images inputs], C = x
 *   CONV_W    A = dy [m][images outputs], B = x [images outputs][c taps],                             C = dw
 *
 * with the sizes and names of ops/conv.h; group id 2 is the group (CONV_W: part * groups + group, where part takes k_part
 * elements of k and writes sums of its own).
 *
 *   -DLM=16 -DLN=16 -DRM=4 -DRN=4 -DKT=16   RM and RN multiples of 4; LM * LN one of KT and of TM and TN
 *   -DA_K_FIRST -DB_K_FIRST                 neighbouring work-items read along k, else across
 *   -DA_WIDE -DB_WIDE -DC_WIDE              elements are stored as they are computed with, not as T
 *   -DK1=3 -DK2=3 -DTAPS=9                  kernel sizes of convolutions */
#ifndef LM
#define LM 16
#define LN 16
#define RM 4
#define RN 4
#define KT 16
#endif
#ifndef TAPS
#define K1 1
#define K2 1
#define TAPS 1
#endif
#if defined(CONV_Y) || defined(CONV_X) || defined(CONV_W)
#define CONV
#endif
#define ITEMS (LM * LN)
#define TM (LM * RM)
#define TN (LN * RN)
/* Rows of the strips in local memory are 4 elements apart from a whole number of banks. */
#define SA (TM + 4)
#define SB (TN + 4)
/* Which row and column of the tile a work-item's i and j are: runs of 4, so that neighbours read and write side by side. */
#define ROW(i) ((i) / 4 * (LM * 4) + ly * 4 + (i) % 4)
#define COL(j) ((j) / 4 * (LN * 4) + lx * 4 + (j) % 4)
#ifdef A_WIDE
#define TA C
#define LDA(p, i) ((p)[i])
#else
#define TA T
#define LDA(p, i) LD(p, i)
#endif
#ifdef B_WIDE
#define TB C
#define LDB(p, i) ((p)[i])
#else
#define TB T
#define LDB(p, i) LD(p, i)
#endif
#ifdef C_WIDE
#define TC C
#define LDC1(p, i) ((p)[i])
#define STC(p, i, v) ((p)[i] = (v))
#define STC4(p, i, v) vstore4(v, 0, (p) + (i))
#else
#define TC T
#define LDC1(p, i) LD(p, i)
#define STC(p, i, v) ST(p, i, v)
#define STC4(p, i, v) STV(4, p, i, v)
#endif
#ifdef NORNI_REAL
#define FMA(a, b, c) fma(a, b, c)
#else
#define FMA(a, b, c) ((a) * (b) + (c))
#endif

#ifdef CONV
/* x at the input that kernel element t reads when element 0 reads (i0, i1, i2); 0 in the padding. */
static inline C read_x(__global const T *x, const int t, const int i0, const int i1, const int i2, const int in0,
                       const int in1, const int in2, const int d0, const int d1, const int d2) {
    const int p0 = i0 + t / (K1 * K2) * d0, p1 = i1 + t / K2 % K1 * d1, p2 = i2 + t % K2 * d2;
    if (p0 < 0 || p0 >= in0 || p1 < 0 || p1 >= in1 || p2 < 0 || p2 >= in2)
        return 0;
    return LD(x, ((long)p0 * in1 + p1) * in2 + p2);
}

/* y at the output whose kernel element t reads input (i0, i1, i2) of the padded planes; 0 where there is none. */
static inline C read_y(__global const T *y, const int t, const int i0, const int i1, const int i2, const int out0,
                       const int out1, const int out2, const int d0, const int d1, const int d2, const int s0,
                       const int s1, const int s2) {
    const int p0 = i0 - t / (K1 * K2) * d0, p1 = i1 - t / K2 % K1 * d1, p2 = i2 - t % K2 * d2;
    const int q0 = p0 / s0, q1 = p1 / s1, q2 = p2 / s2;
    if (p0 < 0 || p1 < 0 || p2 < 0 || q0 >= out0 || q1 >= out1 || q2 >= out2 || q0 * s0 != p0 || q1 * s1 != p1 ||
        q2 * s2 != p2)
        return 0;
    return LD(y, ((long)q0 * out1 + q1) * out2 + q2);
}
#endif

__attribute__((reqd_work_group_size(ITEMS, 1, 1)))
__kernel void tiled(__global const TA *a, __global const TB *b, __global TC *c, const int m, const int n, const int k,
#ifdef CONV
                    const int k_part, const int groups, const int in0, const int in1, const int in2, const int out0,
                    const int out1, const int out2, const int s0, const int s1, const int s2, const int d0,
                    const int d1, const int d2, const int b0, const int b1, const int b2
#ifdef HAS_BIAS
                    , __global const T *bias
#endif
#else
                    const long a_sm, const long a_sk, const long a_offset, const long a_stride, const long b_sk,
                    const long b_sn, const long b_offset, const long b_stride, const long ldc, const long c_offset,
                    const long c_stride, const REAL alpha
#ifdef HAS_D
                    , __global const TC *d, const REAL beta, const long d_sm, const long d_sn, const long d_offset,
                    const long d_stride
#endif
#ifdef CHANNEL_ROWS
                    , const long channel, const long channel_step
#endif
#endif
                    NORNI_EPI_ARGS) {
    __local C la[KT * SA], lb[KT * SB];
    const int at = get_local_id(0), lx = at % LN, ly = at / LN;
    const int n0 = get_group_id(0) * TN, m0 = get_group_id(1) * TM, z = get_group_id(2);
    int from = 0, to = k;
#ifdef CONV
    const long ins = (long)in0 * in1 * in2, outs = (long)out0 * out1 * out2;
    const int g = z % groups;
#endif
#if defined(CONV_Y)
#define PLANE outs
    /* The column that this work-item loads: where its window starts. */
    const int image = (n0 + at % TN) / outs, o = (n0 + at % TN) % outs;
    const int i0 = o / out2 / out1 * s0 - b0, i1 = o / out2 % out1 * s1 - b1, i2 = o % out2 * s2 - b2;
    a += (long)g * m * k;
    b += ((long)image * groups + g) * (k / TAPS) * ins;
#define A_AT(i, q) LDA(a, (long)(i) * k + (q))
#define B_AT(j, q) read_x(b + (q) / TAPS * ins, (q) % TAPS, i0, i1, i2, in0, in1, in2, d0, d1, d2)
#elif defined(CONV_X)
#define PLANE ins
    const int image = (n0 + at % TN) / ins, o = (n0 + at % TN) % ins;
    const int i0 = o / in2 / in1 + b0, i1 = o / in2 % in1 + b1, i2 = o % in2 + b2;
    a += (long)g * m * k;
    b += ((long)image * groups + g) * (k / TAPS) * outs;
#define A_AT(i, q) LDA(a, ((long)((q) / TAPS) * m + (i)) * TAPS + (q) % TAPS)
#define B_AT(j, q) \
    read_y(b + (q) / TAPS * outs, (q) % TAPS, i0, i1, i2, out0, out1, out2, d0, d1, d2, s0, s1, s2)
#elif defined(CONV_W)
    from = z / groups * k_part;
    to = min(from + k_part, k);
#define A_AT(i, q) LDA(a, (((long)image * groups + g) * m + (i)) * outs + o)
#define B_AT(j, q) \
    read_x(b + (((long)image * groups + g) * (n / TAPS) + (j) / TAPS) * ins, (j) % TAPS, i0, i1, i2, in0, in1, in2, \
           d0, d1, d2)
#else
    a += a_offset + z * a_stride;
    b += b_offset + z * b_stride;
#define A_AT(i, q) LDA(a, (i) * a_sm + (q) * a_sk)
#define B_AT(j, q) LDB(b, (q) * b_sk + (j) * b_sn)
#endif
    C acc[RM][RN];
#pragma unroll
    for (int i = 0; i < RM; i++)
#pragma unroll
        for (int j = 0; j < RN; j++)
            acc[i][j] = 0;
    for (int k0 = from; k0 < to; k0 += KT) {
#ifdef CONV_W
        /* The output that this work-item reads for: its image and where its window starts. */
        const int p = k0 + at % KT, image = p / outs, o = p % outs;
        const int i0 = o / out2 / out1 * s0 - b0, i1 = o / out2 % out1 * s1 - b1, i2 = o % out2 * s2 - b2;
#endif
#pragma unroll 4
        for (int r = at; r < TM * KT; r += ITEMS) {
#ifdef A_K_FIRST
            const int q = r % KT, i = r / KT;
#else
            const int q = r / TM, i = r % TM;
#endif
            la[q * SA + i] = m0 + i < m && k0 + q < to ? A_AT(m0 + i, k0 + q) : (C)0;
        }
#pragma unroll 4
        for (int r = at; r < TN * KT; r += ITEMS) {
#ifdef B_K_FIRST
            const int q = r % KT, j = r / KT;
#else
            const int q = r / TN, j = r % TN;
#endif
            lb[q * SB + j] = n0 + j < n && k0 + q < to ? B_AT(n0 + j, k0 + q) : (C)0;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
#pragma unroll 4
        for (int q = 0; q < KT; q++) {
            C av[RM], bv[RN];
#pragma unroll
            for (int i = 0; i < RM; i++)
                av[i] = la[q * SA + ROW(i)];
#pragma unroll
            for (int j = 0; j < RN; j++)
                bv[j] = lb[q * SB + COL(j)];
#pragma unroll
            for (int i = 0; i < RM; i++)
#pragma unroll
                for (int j = 0; j < RN; j++)
                    acc[i][j] = FMA(av[i], bv[j], acc[i][j]);
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    /* Runs of 4 columns; those that end early, or go on in the next image, element by element. */
    for (int i = 0; i < RM; i++) {
        const int row = m0 + ROW(i);
        if (row >= m)
            break;
        for (int j = 0; j < RN; j += 4) {
            const int col = n0 + COL(j);
            C x[4];
            for (int l = 0; l < 4; l++)
                x[l] = acc[i][j + l];
#if defined(CONV_Y) || defined(CONV_X)
            const size_t channel = (size_t)g * m + row;
#define OUT(col) ((((size_t)((col) / PLANE) * groups + g) * m + row) * PLANE + (col) % PLANE)
#define RUN (col % PLANE + 4 <= PLANE)
#define CHANNEL(l) channel
#ifdef HAS_BIAS
            for (int l = 0; l < 4; l++)
                x[l] += LD(bias, channel);
#endif
#elif defined(CONV_W)
#define OUT(col) (((size_t)z * m + row) * n + (col))
#define RUN 1
#define CHANNEL(l) 0
#else
#define OUT(col) ((size_t)(c_offset + z * c_stride + row * ldc) + (col))
#define RUN 1
#ifdef CHANNEL_ROWS
#define CHANNEL(l) (size_t)(channel + z * channel_step + row)
#else
#define CHANNEL(l) (size_t)(col + (l))
#endif
#ifdef SCALE
            for (int l = 0; l < 4; l++)
                x[l] *= (C)alpha;
#endif
#ifdef HAS_D
            for (int l = 0; l < 4 && col + l < n; l++)
                x[l] = FMA((C)beta, LDC1(d, d_offset + z * d_stride + row * d_sm + (col + l) * d_sn), x[l]);
#endif
#endif
            if (col + 4 <= n && RUN) {
                const size_t to_at = OUT(col);
                STC4(c, to_at, NORNI_EPI(4, (CV(4))(x[0], x[1], x[2], x[3]), to_at, CHANNEL(0)));
            } else
                for (int l = 0; l < 4 && col + l < n; l++) {
                    const size_t to_at = OUT(col + l);
                    STC(c, to_at, NORNI_EPI(1, x[l], to_at, CHANNEL(l)));
                }
        }
    }
}
