/* SPDX-License-Identifier: Apache-2.0 */
/* Normalisation of the rows of x [rows][r]: see ops/norm.h.
 *
 *   -DW=16       vector width
 *   -DCENTERED   the mean is subtracted
 *   -DSCALE, -DBIAS, -DOUT_Y, -DOUT_MEAN, -DOUT_INV   these are there
 *   -DCHANNELS   scale and bias of element i of row q: (q % period) * step + i / depth; else: i
 *   norm_rows    a work-item takes `each` rows. Mean and squared deviations are found block by block of what stays in the
 *                nearest cache and joined (Chan, Golub, LeVeque, 1979), so that nothing cancels
 *   norm_group   on GPUs: a work-group of WG items takes a row */
#ifndef W
#define W 16
#endif
#ifndef WG
#define WG 1
#endif
#define BLOCK 4096
#if W > 1
#define VEC CV(W)
#define SPLAT(v) ((VEC)(v))
#else
#define VEC C
#define SPLAT(v) (v)
#undef LDV
#undef STV
#define LDV(w, p, i) LD(p, i)
#define STV(w, p, i, v) ST(p, i, v)
#endif
NORNI_JOIN_LANES(sum_of, C, NORNI_PLUS)
#define SUM_OF(v) NORNI_CAT(sum_of, W)(v)

#ifdef SCALE
#define SCALE_ARG , __global const T *scale
#define SCALED(w, v, i) ((v) * LDV(w, scale, i))
#define SCALED1(v, i) ((v) * LD(scale, i))
#else
#define SCALE_ARG
#define SCALED(w, v, i) (v)
#define SCALED1(v, i) (v)
#endif
#ifdef BIAS
#define BIAS_ARG , __global const T *bias
#define BIASED(w, v, i) ((v) + LDV(w, bias, i))
#define BIASED1(v, i) ((v) + LD(bias, i))
#else
#define BIAS_ARG
#define BIASED(w, v, i) (v)
#define BIASED1(v, i) (v)
#endif
#ifdef OUT_Y
#define Y_ARG , __global T *y
#else
#define Y_ARG
#endif
#ifdef OUT_MEAN
#define MEAN_ARG , __global C *mean
#define STORE_MEAN mean[q] = m;
#else
#define MEAN_ARG
#define STORE_MEAN
#endif
#ifdef OUT_INV
#define INV_ARG , __global C *inv
#define STORE_INV inv[q] = s;
#else
#define INV_ARG
#define STORE_INV
#endif
#define ARGS                                                                                                 \
    __global const T *x SCALE_ARG BIAS_ARG Y_ARG MEAN_ARG INV_ARG, const long rows, const long r,            \
        const long period, const long step, const long depth, const C epsilon

static inline C run_sum(__global const T *x, const long n) {
    VEC a = SPLAT((C)0), b = a;
    long i = 0;
    for (; i + 2 * W <= n; i += 2 * W) {
        a += LDV(W, x, i);
        b += LDV(W, x, i + W);
    }
    if (i + W <= n) {
        a += LDV(W, x, i);
        i += W;
    }
    C s = SUM_OF(a + b);
    for (; i < n; i++)
        s += LD(x, i);
    return s;
}

static inline C run_squares(__global const T *x, const long n, const C m) {
    VEC a = SPLAT((C)0), b = a;
    long i = 0;
    for (; i + 2 * W <= n; i += 2 * W) {
        const VEC v = LDV(W, x, i) - SPLAT(m), w = LDV(W, x, i + W) - SPLAT(m);
        a = fma(v, v, a);
        b = fma(w, w, b);
    }
    if (i + W <= n) {
        const VEC v = LDV(W, x, i) - SPLAT(m);
        a = fma(v, v, a);
        i += W;
    }
    C s = SUM_OF(a + b);
    for (; i < n; i++) {
        const C v = LD(x, i) - m;
        s = fma(v, v, s);
    }
    return s;
}

#if !defined(NORNI_ONLY) || defined(K_norm_rows)
__kernel void norm_rows(ARGS, const long each) {
    const long q0 = get_global_id(0) * each, q1 = min(q0 + each, rows);
    for (long q = q0; q < q1; q++) {
        __global const T *in = x + q * r;
        C m = 0, squares = 0;
#ifdef CENTERED
        for (long from = 0; from < r; from += BLOCK) {
            const long n = min((long)BLOCK, r - from);
            const C bm = run_sum(in + from, n) / (C)n, bq = run_squares(in + from, n, bm), d = bm - m,
                    share = (C)n / (C)(from + n);
            m = fma(d, share, m);
            squares += bq + d * d * ((C)from * share);
        }
        if (r == 0)
            m = (C)NAN;
#else
        squares = run_squares(in, r, (C)0);
#endif
        const C s = (C)1 / sqrt(squares / (C)r + epsilon);
        STORE_MEAN
        STORE_INV
#ifdef OUT_Y
        __global T *out = y + q * r;
#ifdef CHANNELS
        for (long c = 0; c < step; c++) {
            const long k = (q % period) * step + c, end = (c + 1) * depth;
            const C a = SCALED1(s, k), b = BIASED1((C)0, k);
            long i = c * depth;
            for (; i + W <= end; i += W)
                STV(W, out, i, fma(LDV(W, in, i) - SPLAT(m), SPLAT(a), SPLAT(b)));
            for (; i < end; i++)
                ST(out, i, fma(LD(in, i) - m, a, b));
        }
#else
        long i = 0;
        for (; i + W <= r; i += W) {
            const VEC v = (LDV(W, in, i) - SPLAT(m)) * SPLAT(s);
            STV(W, out, i, BIASED(W, SCALED(W, v, i), i));
        }
        for (; i < r; i++) {
            const C v = (LD(in, i) - m) * s;
            ST(out, i, BIASED1(SCALED1(v, i), i));
        }
#endif
#endif
    }
}
#endif

#if WG > 1 && (!defined(NORNI_ONLY) || defined(K_norm_group))
NORNI_JOIN_ITEMS(group_sum, C, NORNI_PLUS)

__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void norm_group(ARGS) {
    __local C all[WG];
    const long q = get_group_id(0);
    const int l = get_local_id(0);
    __global const T *in = x + q * r;
    C m = 0, squares = 0;
#ifdef CENTERED
    for (long i = l; i < r; i += WG)
        m += LD(in, i);
    m = group_sum(all, m) / (C)r;
#endif
    for (long i = l; i < r; i += WG) {
        const C v = LD(in, i) - m;
        squares = fma(v, v, squares);
    }
    squares = group_sum(all, squares);
    const C s = (C)1 / sqrt(squares / (C)r + epsilon);
    if (l == 0) {
        STORE_MEAN
        STORE_INV
    }
#ifdef OUT_Y
    __global T *out = y + q * r;
    for (long i = l; i < r; i += WG) {
#ifdef CHANNELS
        const long k = (q % period) * step + i / depth;
#else
        const long k = i;
#endif
        const C v = (LD(in, i) - m) * s;
        ST(out, i, BIASED1(SCALED1(v, k), k));
    }
#endif
}
#endif
