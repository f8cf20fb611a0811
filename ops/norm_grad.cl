/* SPDX-License-Identifier: Apache-2.0 */
/* Gradients of a normalisation: see ops/norm.h. x is [rows][r]; h = (x - mean) inv.
 *
 *   -DW=16        vector width
 *   -DCENTERED, -DSCALE, -DCHANNELS  as in norm.cl        -DDSCALE, -DDBIAS  these sums are wanted
 *   norm_dx_rows, norm_dx_group          dx = (g - mean g - h mean (g h)) inv, g = dy scale; an item takes `each` rows, or a
 *                                        work-group one
 *   norm_columns                         sums down the rows of a part, for TILE columns an item: whole rows are
 *                                        read one after the other, the sums stay in the nearest cache
 *   norm_channels, norm_channels_group   sums over rows of depth elements, of which `step` share mean and inv */
#ifndef W
#define W 16
#endif
#ifndef WG
#define WG 1
#endif
#if W > 1
#define TILE 1024
#define VEC CV(W)
#define SPLAT(v) ((VEC)(v))
#define VSTORE(v, p) NORNI_CAT(vstore, W)(v, 0, p)
#else
#define TILE 1
#define VEC C
#define SPLAT(v) (v)
#define VSTORE(v, p) (*(p) = (v))
#undef LDV
#undef STV
#define LDV(w, p, i) LD(p, i)
#define STV(w, p, i, v) ST(p, i, v)
#endif
NORNI_JOIN_LANES(sum_of, C, NORNI_PLUS)
#define SUM_OF(v) NORNI_CAT(sum_of, W)(v)

#ifdef CENTERED
#define MEAN_ARG , __global const C *mean
#define MEAN(q) mean[q]
#else
#define MEAN_ARG
#define MEAN(q) ((C)0)
#endif
#ifdef SCALE
#define SCALE_ARG , __global const T *scale
#else
#define SCALE_ARG
#endif
#if defined(SCALE) && defined(CHANNELS)
#define SCALED(v, i) ((v) * SPLAT(s))
#define SCALED1(v, i) ((v) * s)
#elif defined(SCALE)
#define SCALED(v, i) ((v) * LDV(W, scale, i))
#define SCALED1(v, i) ((v) * LD(scale, i))
#else
#define SCALED(v, i) (v)
#define SCALED1(v, i) (v)
#endif
/* Runs over a row: with one scale for each of `step` runs of depth elements, or as a whole. */
#ifdef CHANNELS
#define RUNS step
#define RUN_FROM(c) ((c) * depth)
#define RUN_TO(c) (((c) + 1) * depth)
#else
#define RUNS 1
#define RUN_FROM(c) 0
#define RUN_TO(c) r
#endif
#if defined(SCALE) && defined(CHANNELS)
#define RUN_SCALE(c) const C s = LD(scale, (q % period) * step + (c));
#else
#define RUN_SCALE(c)
#endif
#define IN __global const T *dy, __global const T *x MEAN_ARG, __global const C *inv

#if !defined(NORNI_ONLY) || defined(K_norm_dx_rows)
__kernel void norm_dx_rows(IN SCALE_ARG, __global T *dx, const long rows, const long r, const long period,
                           const long step, const long depth, const long each) {
    const long q0 = get_global_id(0) * each, q1 = min(q0 + each, rows);
    for (long q = q0; q < q1; q++) {
        __global const T *gs = dy + q * r, *xs = x + q * r;
        const C m = MEAN(q), v = inv[q];
        VEC a = SPLAT((C)0), b = a;
        C a1 = 0, b1 = 0;
        for (long c = 0; c < RUNS; c++) {
            const long to = RUN_TO(c);
            RUN_SCALE(c)
            long i = RUN_FROM(c);
            for (; i + W <= to; i += W) {
                const VEC g = SCALED(LDV(W, gs, i), i);
                a += g;
                b = fma(g, LDV(W, xs, i) - SPLAT(m), b);
            }
            for (; i < to; i++) {
                const C g = SCALED1(LD(gs, i), i);
                a1 += g;
                b1 = fma(g, LD(xs, i) - m, b1);
            }
        }
#ifdef CENTERED
        const C sa = (SUM_OF(a) + a1) / (C)r;
#else
        const C sa = 0;
#endif
        const C sb = (SUM_OF(b) + b1) / (C)r * v * v;
        for (long c = 0; c < RUNS; c++) {
            const long to = RUN_TO(c);
            RUN_SCALE(c)
            long i = RUN_FROM(c);
            for (; i + W <= to; i += W) {
                const VEC g = SCALED(LDV(W, gs, i), i) - SPLAT(sa);
                STV(W, dx, q * r + i, (g - (LDV(W, xs, i) - SPLAT(m)) * SPLAT(sb)) * SPLAT(v));
            }
            for (; i < to; i++) {
                const C g = SCALED1(LD(gs, i), i) - sa;
                ST(dx, q * r + i, (g - (LD(xs, i) - m) * sb) * v);
            }
        }
    }
}
#endif

#if !defined(NORNI_ONLY) || defined(K_norm_columns)
#ifdef DSCALE
#define DSCALE_ARG , __global C *dscale
#define ADD_H(b, g, w, m, v) b = fma(g, (w - SPLAT(m)) * SPLAT(v), b);
#define STATS(m, v, q) const C m = MEAN(q), v = inv[q];
#else
#define DSCALE_ARG
#define ADD_H(b, g, w, m, v)
#define STATS(m, v, q)
#endif
#ifdef DBIAS
#define DBIAS_ARG , __global C *dbias
#else
#define DBIAS_ARG
#endif
__kernel void norm_columns(IN DSCALE_ARG DBIAS_ARG, const long rows, const long r, const long part) {
    const long p = get_global_id(1), q0 = p * part, q1 = min(q0 + part, rows), c0 = get_global_id(0) * TILE,
               end = min(c0 + TILE, r);
    long c = c0;
    if (c >= r)
        return;
#if W > 1
    const long n = (end - c0) / W;
    VEC a[TILE / W], b[TILE / W];
    for (long k = 0; k < n; k++)
        a[k] = b[k] = SPLAT((C)0);
    long q = q0;
    for (; q + 2 <= q1; q += 2) {
        const long at = q * r + c0, below = at + r;
        STATS(m, v, q)
        STATS(m2, v2, q + 1)
        for (long k = 0; k < n; k++) {
            const VEC g = LDV(W, dy, at + k * W), g2 = LDV(W, dy, below + k * W);
            a[k] += g + g2;
            ADD_H(b[k], g, LDV(W, x, at + k * W), m, v)
            ADD_H(b[k], g2, LDV(W, x, below + k * W), m2, v2)
        }
    }
    if (q < q1) {
        STATS(m, v, q)
        for (long k = 0; k < n; k++) {
            const VEC g = LDV(W, dy, q * r + c0 + k * W);
            a[k] += g;
            ADD_H(b[k], g, LDV(W, x, q * r + c0 + k * W), m, v)
        }
    }
    for (long k = 0; k < n; k++) {
#ifdef DSCALE
        VSTORE(b[k], dscale + p * r + c0 + k * W);
#endif
#ifdef DBIAS
        VSTORE(a[k], dbias + p * r + c0 + k * W);
#endif
    }
    c += n * W;
#endif
    for (; c < end; c++) {
        C s1 = 0, s2 = 0;
        for (long i = q0; i < q1; i++) {
            const C g = LD(dy, i * r + c);
            s1 += g;
#ifdef DSCALE
            s2 = fma(g, (LD(x, i * r + c) - MEAN(i)) * inv[i], s2);
#endif
        }
#ifdef DSCALE
        dscale[p * r + c] = s2;
#endif
#ifdef DBIAS
        dbias[p * r + c] = s1;
#endif
    }
}
#endif

#ifdef DSCALE
#define CHANNEL_DSCALE dscale[p] = sb * inv[q];
#define CHANNEL_DSCALE_ARG , __global C *dscale
#else
#define CHANNEL_DSCALE
#define CHANNEL_DSCALE_ARG
#endif
#ifdef DBIAS
#define CHANNEL_DBIAS dbias[p] = sa;
#define CHANNEL_DBIAS_ARG , __global C *dbias
#else
#define CHANNEL_DBIAS
#define CHANNEL_DBIAS_ARG
#endif
#define CHANNELS_ARGS                                                                                        \
    IN CHANNEL_DSCALE_ARG CHANNEL_DBIAS_ARG, const long rows, const long depth, const long step

#if !defined(NORNI_ONLY) || defined(K_norm_channels)
__kernel void norm_channels(CHANNELS_ARGS, const long each) {
    const long p0 = get_global_id(0) * each, p1 = min(p0 + each, rows);
    for (long p = p0; p < p1; p++) {
        const long q = p / step, end = (p + 1) * depth;
        const C m = MEAN(q);
        VEC a = SPLAT((C)0), b = a;
        long i = p * depth;
        for (; i + W <= end; i += W) {
            const VEC g = LDV(W, dy, i);
            a += g;
            b = fma(g, LDV(W, x, i) - SPLAT(m), b);
        }
        C sa = SUM_OF(a), sb = SUM_OF(b);
        for (; i < end; i++) {
            const C g = LD(dy, i);
            sa += g;
            sb = fma(g, LD(x, i) - m, sb);
        }
        CHANNEL_DSCALE
        CHANNEL_DBIAS
    }
}
#endif

#if WG > 1
NORNI_JOIN_ITEMS(group_sum, C, NORNI_PLUS)

#if !defined(NORNI_ONLY) || defined(K_norm_dx_group)
__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void norm_dx_group(IN SCALE_ARG, __global T *dx,
                                                                           const long rows, const long r,
                                                                           const long period, const long step,
                                                                           const long depth) {
    __local C all[WG];
    const long q = get_group_id(0);
    const int l = get_local_id(0);
    const C m = MEAN(q), v = inv[q];
    C a = 0, b = 0;
    for (long i = l; i < r; i += WG) {
        RUN_SCALE(i / depth)
        const C g = SCALED1(LD(dy, q * r + i), i);
        a += g;
        b = fma(g, LD(x, q * r + i) - m, b);
    }
    a = group_sum(all, a) / (C)r;
    b = group_sum(all, b) / (C)r * v * v;
#ifndef CENTERED
    a = 0;
#endif
    for (long i = l; i < r; i += WG) {
        RUN_SCALE(i / depth)
        const C g = SCALED1(LD(dy, q * r + i), i) - a;
        ST(dx, q * r + i, (g - (LD(x, q * r + i) - m) * b) * v);
    }
}
#endif

#if !defined(NORNI_ONLY) || defined(K_norm_channels_group)
__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void norm_channels_group(CHANNELS_ARGS) {
    __local C all[WG];
    const long p = get_group_id(0), q = p / step;
    const int l = get_local_id(0);
    const C m = MEAN(q);
    C sa = 0, sb = 0;
    for (long i = p * depth + l; i < (p + 1) * depth; i += WG) {
        const C g = LD(dy, i);
        sa += g;
        sb = fma(g, LD(x, i) - m, sb);
    }
    sa = group_sum(all, sa);
    sb = group_sum(all, sb);
    if (l == 0) {
        CHANNEL_DSCALE
        CHANNEL_DBIAS
    }
}
#endif
#endif
