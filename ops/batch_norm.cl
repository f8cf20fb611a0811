/* SPDX-License-Identifier: Apache-2.0 */
/* Sums over all but the channels of x [N][channels][depth]: mean and deviation of each channel, or the sums that a batch
 * normalisation's gradient needs.
 *
 *     stats  mean, inv = 1 / sqrt(var + epsilon), var = M2 / n, M2 = sum (x - mean)^2
 *            -DRUNNING: new_mean = momentum old_mean + rest mean, new_var the same (-DUNBIASED: of M2 / (n - 1));
 *                       without -DOLD there is nothing old: new_mean = mean, new_var = var
 *     sums   db = sum dy, dscale = inv sum dy (x - mean)
 *
 * The values of a channel are cut into blocks that stay in the nearest cache: mean and M2 of a block in two passes, then
 * joined with those of the others (Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for computing sample
 * variances", 1979), so that nothing cancels and memory is read once. A block is `block` samples of `piece` = depth
 * elements, or one sample's `piece` < depth elements.
 *
 *   -DW=16  vector width, along depth (runs) or channels (cols)       -DWG=1  work-items of a group
 *   -DPARTS the blocks of a channel are dealt out over several items: `part` units (samples, or pieces of them) each; mean,
 *           M2, count, or the sums, are stored as parts [k][part][channel] and joined by stats_join or sums_join
 *   stats_runs, sums_runs    depth > 1: a work-item takes `group` <= GROUP neighbouring channels
 *   stats_cols, sums_cols    depth == 1: a work-item takes W neighbouring channels
 *   stats_blocks, sums_blocks  x (and dy) in blocked form (ops/blocked.h) with W channels a block: an item takes a block
 *   stats_group, sums_group  on GPUs: a work-group takes a channel */
#ifndef W
#define W 16
#endif
#ifndef WG
#define WG 1
#endif
#define GROUP 16
#if W > 1
#define VEC CV(W)
#define SPLAT(v) ((VEC)(v))
#define VSTORE(v, p) NORNI_CAT(vstore, W)(v, 0, p)
#define VLOAD(p) NORNI_CAT(vload, W)(0, p)
#else
#define VEC C
#define SPLAT(v) (v)
#define VSTORE(v, p) (*(p) = (v))
#define VLOAD(p) (*(p))
#undef LDV
#define LDV(w, p, i) LD(p, i)
#endif
NORNI_JOIN_LANES(sum_of, C, NORNI_PLUS)
#define SUM_OF(v) NORNI_CAT(sum_of, W)(v)

#ifdef OLD
#define OLD_ARGS , __global const C *old_mean, __global const C *old_var
#define NEW(old, now) ((old)[c] * momentum + (now) * rest)
#else
#define OLD_ARGS
#define NEW(old, now) (now)
#endif
#ifdef RUNNING
#define RUNNING_ARGS OLD_ARGS, __global C *new_mean, __global C *new_var
#else
#define RUNNING_ARGS
#endif
#ifdef UNBIASED
#define SAMPLE_VAR(m2, n) ((n) > 1 ? (m2) / ((n) - (C)1) : (m2) / (n))
#else
#define SAMPLE_VAR(m2, n) ((m2) / (n))
#endif
/* Everything old is read before anything is stored: new values may lie where the old ones were. */
#ifdef RUNNING
#define MAKE_RUNNING(m, m2, n) const C new_m_ = NEW(old_mean, m), new_v_ = NEW(old_var, SAMPLE_VAR(m2, n))
#define STORE_RUNNING                                                                                        \
    new_mean[c] = new_m_;                                                                                    \
    new_var[c] = new_v_
#else
#define MAKE_RUNNING(m, m2, n)
#define STORE_RUNNING
#endif
#define STATS_RESULTS                                                                                        \
    __global C *mean, __global C *inv RUNNING_ARGS, const C epsilon, const C momentum, const C rest
#define STORE_STATS(m_, m2_, n_)                                                                             \
    do {                                                                                                     \
        const C mean_ = (n_) > 0 ? (m_) : (C)NAN;                                                            \
        MAKE_RUNNING(mean_, m2_, n_);                                                                        \
        mean[c] = mean_;                                                                                     \
        inv[c] = (C)1 / sqrt((m2_) / (n_) + epsilon);                                                        \
        STORE_RUNNING;                                                                                       \
    } while (0)
#define SUMS_RESULTS __global C *db, __global C *dscale
#define STORE_SUMS(s1, s2)                                                                                   \
    do {                                                                                                     \
        db[c] = (s1);                                                                                        \
        dscale[c] = (s2) * inv[c];                                                                           \
    } while (0)
#ifdef PARTS
#define STATS_OUT __global C *parts
#define SUMS_OUT __global C *parts
#define PUT_STATS(p, m, m2, n)                                                                               \
    do {                                                                                                     \
        parts[(p) * channels + c] = (m);                                                                     \
        parts[(n_parts + (p)) * channels + c] = (m2);                                                        \
        parts[(2 * n_parts + (p)) * channels + c] = (n);                                                     \
    } while (0)
#define PUT_SUMS(p, s1, s2)                                                                                  \
    do {                                                                                                     \
        parts[(p) * channels + c] = (s1);                                                                    \
        parts[(n_parts + (p)) * channels + c] = (s2);                                                        \
    } while (0)
#else
#define STATS_OUT STATS_RESULTS
#define SUMS_OUT SUMS_RESULTS
#define PUT_STATS(p, m, m2, n) STORE_STATS(m, m2, n)
#define PUT_SUMS(p, s1, s2) STORE_SUMS(s1, s2)
#endif
#define SIZES                                                                                                \
    const long samples, const long channels, const long depth, const long piece, const long block, const long n_parts, \
        const long part

/* Joins count n2, mean m2, squared deviations q2 into n, m, q. */
#define JOIN(T_, n, m, q, n2, m2, q2)                                                                        \
    {                                                                                                        \
        const C all = (n) + (n2), share = all > 0 ? (n2) / all : (C)0;                                       \
        const T_ d = (m2) - (m);                                                                             \
        m = fma(d, (T_)(share), m);                                                                          \
        q += (q2) + d * d * ((n) * share);                                                                   \
        n = all;                                                                                             \
    }

/* Samples s0 .. s1 - 1 and elements d0 .. d1 - 1 of the block that starts with unit u; u_end: end of the item's units. */
#define BLOCK_AT(u, u_end)                                                                                   \
    const long pieces = (depth + piece - 1) / piece, s0 = (u) / pieces, d0 = (u) % pieces * piece,              \
               s1 = pieces > 1 ? s0 + 1 : min(s0 + block, u_end), d1 = min(d0 + piece, depth);
#define UNITS(p)                                                                                             \
    const long units = samples * ((depth + piece - 1) / piece), u0 = (p) * part, u1 = min(u0 + part, units);
#define NEXT_BLOCK(u) ((u) + (piece < depth ? 1 : block))

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

#if !defined(NORNI_ONLY) || defined(K_stats_runs)
__kernel void stats_runs(__global const T *x, STATS_OUT, SIZES, const long group) {
    const long c0 = get_global_id(0) * group, count = min(group, channels - c0), p = get_global_id(1);
    C m[GROUP], q[GROUP], n = 0;
    for (int k = 0; k < GROUP; k++)
        m[k] = q[k] = 0;
    UNITS(p)
    for (long u = u0; u < u1; u = NEXT_BLOCK(u)) {
        BLOCK_AT(u, u1)
        const C here = (C)((s1 - s0) * (d1 - d0));
        const C before = n;
        for (int k = 0; k < count; k++) {
            __global const T *at = x + (s0 * channels + c0 + k) * depth + d0;
            C bm = 0, bq = 0;
            for (long s = s0; s < s1; s++)
                bm += run_sum(at + (s - s0) * channels * depth, d1 - d0);
            bm /= here;
            for (long s = s0; s < s1; s++)
                bq += run_squares(at + (s - s0) * channels * depth, d1 - d0, bm);
            n = before;
            JOIN(C, n, m[k], q[k], here, bm, bq)
        }
    }
    for (int k = 0; k < count; k++) {
        const long c = c0 + k;
        PUT_STATS(p, m[k], q[k], n);
    }
}
#endif

#if !defined(NORNI_ONLY) || defined(K_stats_cols)
__kernel void stats_cols(__global const T *x, STATS_OUT, SIZES) {
    const long c0 = get_global_id(0) * W, p = get_global_id(1);
    if (c0 >= channels || p >= n_parts)
        return;
    UNITS(p)
#if W > 1
    if (c0 + W <= channels) {
        VEC m = SPLAT((C)0), q = m;
        C n = 0, ms[W], qs[W];
        for (long u = u0; u < u1; u += block) {
            const long end = min(u + block, u1);
            VEC bm = SPLAT((C)0), bq = bm;
            for (long s = u; s < end; s++)
                bm += LDV(W, x, s * channels + c0);
            bm /= SPLAT((C)(end - u));
            for (long s = u; s < end; s++) {
                const VEC v = LDV(W, x, s * channels + c0) - bm;
                bq = fma(v, v, bq);
            }
            const C here = (C)(end - u);
            JOIN(VEC, n, m, q, here, bm, bq)
        }
        VSTORE(m, ms);
        VSTORE(q, qs);
        for (int k = 0; k < W; k++) {
            const long c = c0 + k;
            PUT_STATS(p, ms[k], qs[k], n);
        }
        return;
    }
#endif
    for (long c = c0; c < min(c0 + W, channels); c++) {
        C m = 0, q = 0, n = 0;
        for (long u = u0; u < u1; u += block) {
            const long end = min(u + block, u1);
            C bm = 0, bq = 0;
            for (long s = u; s < end; s++)
                bm += LD(x, s * channels + c);
            bm /= (C)(end - u);
            for (long s = u; s < end; s++) {
                const C v = LD(x, s * channels + c) - bm;
                bq = fma(v, v, bq);
            }
            const C here = (C)(end - u);
            JOIN(C, n, m, q, here, bm, bq)
        }
        PUT_STATS(p, m, q, n);
    }
}
#endif

#ifdef PARTS
#if !defined(NORNI_ONLY) || defined(K_stats_join)
__kernel void stats_join(__global const C *parts, STATS_RESULTS, const long channels, const long n_parts) {
    const long c = get_global_id(0);
    if (c >= channels)
        return;
    C m = 0, q = 0, n = 0;
    for (long p = 0; p < n_parts; p++) {
        const C m2 = parts[p * channels + c], q2 = parts[(n_parts + p) * channels + c],
                n2 = parts[(2 * n_parts + p) * channels + c];
        JOIN(C, n, m, q, n2, m2, q2)
    }
    STORE_STATS(m, q, n);
}
#endif

#if !defined(NORNI_ONLY) || defined(K_sums_join)
__kernel void sums_join(__global const C *parts, __global const C *inv, SUMS_RESULTS, const long channels,
                        const long n_parts) {
    const long c = get_global_id(0);
    if (c >= channels)
        return;
    C s1 = 0, s2 = 0;
    for (long p = 0; p < n_parts; p++) {
        s1 += parts[p * channels + c];
        s2 += parts[(n_parts + p) * channels + c];
    }
    STORE_SUMS(s1, s2);
}
#endif
#endif

#define SUMS_IN __global const T *dy, __global const T *x, __global const C *mean, __global const C *inv

#if !defined(NORNI_ONLY) || defined(K_sums_runs)
__kernel void sums_runs(SUMS_IN, SUMS_OUT, SIZES, const long group) {
    const long c0 = get_global_id(0) * group, count = min(group, channels - c0), p = get_global_id(1);
    C a[GROUP], b[GROUP];
    for (int k = 0; k < GROUP; k++)
        a[k] = b[k] = 0;
    UNITS(p)
    for (long u = u0; u < u1; u = NEXT_BLOCK(u)) {
        BLOCK_AT(u, u1)
        for (long s = s0; s < s1; s++)
            for (int k = 0; k < count; k++) {
                const long from = (s * channels + c0 + k) * depth, end = from + d1;
                const C m = mean[c0 + k];
                VEC v1 = SPLAT((C)0), v2 = v1;
                long i = from + d0;
                for (; i + W <= end; i += W) {
                    const VEC g = LDV(W, dy, i);
                    v1 += g;
                    v2 = fma(g, LDV(W, x, i) - SPLAT(m), v2);
                }
                a[k] += SUM_OF(v1);
                b[k] += SUM_OF(v2);
                for (; i < end; i++) {
                    const C g = LD(dy, i);
                    a[k] += g;
                    b[k] = fma(g, LD(x, i) - m, b[k]);
                }
            }
    }
    for (int k = 0; k < count; k++) {
        const long c = c0 + k;
        PUT_SUMS(p, a[k], b[k]);
    }
}
#endif

#if !defined(NORNI_ONLY) || defined(K_sums_cols)
__kernel void sums_cols(SUMS_IN, SUMS_OUT, SIZES) {
    const long c0 = get_global_id(0) * W, p = get_global_id(1);
    if (c0 >= channels || p >= n_parts)
        return;
    UNITS(p)
#if W > 1
    if (c0 + W <= channels) {
        const VEC m = VLOAD(mean + c0);
        VEC v1 = SPLAT((C)0), v2 = v1;
        C a[W], b[W];
        for (long s = u0; s < u1; s++) {
            const VEC g = LDV(W, dy, s * channels + c0);
            v1 += g;
            v2 = fma(g, LDV(W, x, s * channels + c0) - m, v2);
        }
        VSTORE(v1, a);
        VSTORE(v2, b);
        for (int k = 0; k < W; k++) {
            const long c = c0 + k;
            PUT_SUMS(p, a[k], b[k]);
        }
        return;
    }
#endif
    for (long c = c0; c < min(c0 + W, channels); c++) {
        const C m = mean[c];
        C a = 0, b = 0;
        for (long s = u0; s < u1; s++) {
            const C g = LD(dy, s * channels + c);
            a += g;
            b = fma(g, LD(x, s * channels + c) - m, b);
        }
        PUT_SUMS(p, a, b);
    }
}
#endif

#ifdef BLOCKS
/* Pixels d0 .. d1 - 1 of samples s0 .. s1 - 1, four sums at a time. */
#define OVER_PIXELS(BODY)                                                                                    \
    for (long s = s0; s < s1; s++) {                                                                         \
        const long end = ((s * blocks + block_c) * depth + d1) * W;                                          \
        long i = end - (d1 - d0) * W;                                                                        \
        for (; i + 4 * W <= end; i += 4 * W) {                                                               \
            BODY(0, i)                                                                                       \
            BODY(1, i + W)                                                                                   \
            BODY(2, i + 2 * W)                                                                               \
            BODY(3, i + 3 * W)                                                                               \
        }                                                                                                    \
        for (; i < end; i += W)                                                                              \
            BODY(0, i)                                                                                       \
    }
#define SUM4(v) ((v[0] + v[1]) + (v[2] + v[3]))

#if !defined(NORNI_ONLY) || defined(K_stats_blocks)
__kernel void stats_blocks(__global const T *x, STATS_OUT, SIZES) {
    const long block_c = get_global_id(0), blocks = get_global_size(0), p = get_global_id(1);
    UNITS(p)
    C n = 0, ms[W], qs[W];
    VEC m = SPLAT((C)0), q = m;
    for (long u = u0; u < u1; u = NEXT_BLOCK(u)) {
        BLOCK_AT(u, u1)
        const C here = (C)((s1 - s0) * (d1 - d0));
        VEC a[4], b[4];
        for (int k = 0; k < 4; k++)
            a[k] = b[k] = SPLAT((C)0);
#define ADD_UP(k, at) a[k] += LDV(W, x, at);
        OVER_PIXELS(ADD_UP)
        const VEC bm = SUM4(a) / SPLAT(here);
#define SQUARES(k, at)                                                                                       \
    {                                                                                                        \
        const VEC v = LDV(W, x, at) - bm;                                                                    \
        b[k] = fma(v, v, b[k]);                                                                              \
    }
        OVER_PIXELS(SQUARES)
        const VEC bq = SUM4(b);
        JOIN(VEC, n, m, q, here, bm, bq)
    }
    VSTORE(m, ms);
    VSTORE(q, qs);
    for (long k = 0, c = block_c * W; k < W && c < channels; k++, c++) {
        PUT_STATS(p, ms[k], qs[k], n);
    }
}
#endif

#if !defined(NORNI_ONLY) || defined(K_sums_blocks)
__kernel void sums_blocks(SUMS_IN, SUMS_OUT, SIZES) {
    const long block_c = get_global_id(0), blocks = get_global_size(0), p = get_global_id(1);
    UNITS(p)
    C ms[W], as[W], bs[W];
    for (long k = 0; k < W; k++)
        ms[k] = mean[min(block_c * W + k, channels - 1)];
    const VEC m = NORNI_CAT(vload, W)(0, ms);
    VEC a[4], b[4];
    for (int k = 0; k < 4; k++)
        a[k] = b[k] = SPLAT((C)0);
    for (long u = u0; u < u1; u = NEXT_BLOCK(u)) {
        BLOCK_AT(u, u1)
#define ADD_BOTH(k, at)                                                                                      \
    {                                                                                                        \
        const VEC v = LDV(W, dy, at);                                                                        \
        a[k] += v;                                                                                           \
        b[k] = fma(v, LDV(W, x, at) - m, b[k]);                                                              \
    }
        OVER_PIXELS(ADD_BOTH)
    }
    VSTORE(SUM4(a), as);
    VSTORE(SUM4(b), bs);
    for (long k = 0, c = block_c * W; k < W && c < channels; k++, c++) {
        PUT_SUMS(p, as[k], bs[k]);
    }
}
#endif
#endif

#if WG > 1
NORNI_JOIN_ITEMS(group_sum, C, NORNI_PLUS)

/* Element e of the values of a channel from unit u0 on, when all pieces but the last of a sample are whole. */
#define PLACE(e) ((((e) / depth) * channels + c) * depth + (e) % depth)

#if !defined(NORNI_ONLY) || defined(K_stats_group)
__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void stats_group(__global const T *x, STATS_OUT, SIZES) {
    __local C all[WG];
    const long c = get_group_id(0), p = get_group_id(1), pieces = max((depth + piece - 1) / piece, 1L);
    const int l = get_local_id(0);
    UNITS(p)
    const long e0 = u0 / pieces * depth + u0 % pieces * piece,
               e1 = max(e0, u1 / pieces * depth + u1 % pieces * piece);
    const C n = (C)(e1 - e0);
    C m = 0, q = 0;
    for (long e = e0 + l; e < e1; e += WG)
        m += LD(x, PLACE(e));
    m = group_sum(all, m) / max(n, (C)1);
    for (long e = e0 + l; e < e1; e += WG) {
        const C v = LD(x, PLACE(e)) - m;
        q = fma(v, v, q);
    }
    q = group_sum(all, q);
    if (l == 0)
        PUT_STATS(p, m, q, n);
}
#endif

#if !defined(NORNI_ONLY) || defined(K_sums_group)
__kernel __attribute__((reqd_work_group_size(WG, 1, 1))) void sums_group(SUMS_IN, SUMS_OUT, SIZES) {
    __local C all[WG];
    const long c = get_group_id(0), p = get_group_id(1), pieces = max((depth + piece - 1) / piece, 1L);
    const int l = get_local_id(0);
    UNITS(p)
    const long e0 = u0 / pieces * depth + u0 % pieces * piece,
               e1 = max(e0, u1 / pieces * depth + u1 % pieces * piece);
    const C m = mean[c];
    C a = 0, b = 0;
    for (long e = e0 + l; e < e1; e += WG) {
        const C g = LD(dy, PLACE(e));
        a += g;
        b = fma(g, LD(x, PLACE(e)) - m, b);
    }
    a = group_sum(all, a);
    b = group_sum(all, b);
    if (l == 0) {
        PUT_SUMS(p, a, b);
    }
}
#endif
#endif
