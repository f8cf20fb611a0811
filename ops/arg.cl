/* SPDX-License-Identifier: Apache-2.0 */
/* Where the largest (-DMIN: smallest) element lies along r of x [outer][r][inner]: the first such place, or with -DLAST
 * the last. A NaN is larger and smaller than all.
 *
 *   arg_find  over the places from p * part to before (p + 1) * part: y [outer][parts][inner]. A work-item does `each`
 *             lines (-DW=1), or W neighbouring ones (inner > 1)
 *   arg_join  the best of those places: y [outer][inner] from at [outer][parts][inner]
 *
 *   -DSHORT=1 inner is 1, and few elements a line, whose branches nobody could foretell: no divisions, no branches
 *   -DW=1     vector width; above 1 only for types that are computed in 32 bits, and r below 2^31 */
#ifndef W
#define W 1
#endif
#ifdef MIN
#define BETTER(v, best) ((v) < (best))
#else
#define BETTER(v, best) ((v) > (best))
#endif
#ifdef NORNI_REAL
#ifdef LAST
#define TAKES(v, best) (isnan(v) || (!BETTER(best, v) && !isnan(best)))
#define TAKES_V(v, best) (isnan(v) | (~BETTER(best, v) & ~isnan(best)))
#else
#define TAKES(v, best) (BETTER(v, best) || (isnan(v) && !isnan(best)))
#define TAKES_V(v, best) (BETTER(v, best) | (isnan(v) & ~isnan(best)))
#endif
#else
#ifdef LAST
#define TAKES(v, best) (!BETTER(best, v))
#define TAKES_V(v, best) (~BETTER(best, v))
#else
#define TAKES(v, best) BETTER(v, best)
#define TAKES_V(v, best) BETTER(v, best)
#endif
#endif

#if !defined(NORNI_ONLY) || defined(K_arg_find)
__kernel void arg_find(__global const T *x, __global long *y, const long outer, const long r, const long inner,
                       const long parts, const long part, const long each) {
    const long p = get_global_id(1), from = p * part, to = min(from + part, r), lines = outer * inner;
#if W > 1
    const long blocks = (inner + W - 1) / W, item = get_global_id(0), o = item / blocks, j = item % blocks * W;
    if (o >= outer)
        return;
    if (j + W <= inner) {
        x += o * r * inner + j;
        CV(W) best = LDV(W, x, from * inner);
        NORNI_CAT(int, W) at = (NORNI_CAT(int, W))((int)from);
        for (long i = from + 1; i < to; i++) {
            const CV(W) v = LDV(W, x, i * inner);
            const NORNI_CAT(int, W) takes = TAKES_V(v, best);
            best = select(best, v, takes);
            at = select(at, (NORNI_CAT(int, W))((int)i), takes);
        }
        NORNI_CAT(vstore, W)(NORNI_CAT(convert_long, W)(at), 0, y + (o * parts + p) * inner + j);
        return;
    }
    const long l0 = o * inner + j, l1 = o * inner + inner;
#else
    const long l0 = get_global_id(0) * each, l1 = min(l0 + each, lines);
#endif
    for (long l = l0; l < l1; l++) {
#ifdef SHORT
        const long o = l, j = 0, step = 1;
#else
        const long o = l / inner, j = l % inner, step = inner;
#endif
        const long base = o * r * step + j;
        C best = LD(x, base + from * step);
        long at = from;
        for (long i = from + 1; i < to; i++) {
            const C v = LD(x, base + i * step);
#ifdef SHORT
            const bool takes = TAKES(v, best);
            best = takes ? v : best;
            at = takes ? i : at;
#else
            if (TAKES(v, best)) {
                best = v;
                at = i;
            }
#endif
        }
        y[(o * parts + p) * step + j] = at;
    }
}
#endif

#if !defined(NORNI_ONLY) || defined(K_arg_join)
__kernel void arg_join(__global const T *x, __global const long *at, __global long *y, const long lines, const long r,
                       const long inner, const long parts) {
    const long l = get_global_id(0);
    if (l >= lines)
        return;
    const long o = l / inner, j = l % inner, base = o * r * inner + j;
    long where = at[o * parts * inner + j];
    C best = LD(x, base + where * inner);
    for (long p = 1; p < parts; p++) {
        const long i = at[(o * parts + p) * inner + j];
        const C v = LD(x, base + i * inner);
        if (TAKES(v, best)) {
            best = v;
            where = i;
        }
    }
    y[l] = where;
}
#endif
