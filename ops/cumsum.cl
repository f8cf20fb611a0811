/* SPDX-License-Identifier: Apache-2.0 */
/* Running sums (-DPROD: products) along n of x [outer][n][inner], in `parts` parts of `part` elements. A work-item does a part of W
 * neighbouring lines (inner >= W), or of `each` lines one after the other (-DW=1).
 *
 *   cumsum_parts  s [outer][parts][inner]: the sums of the parts
 *   cumsum        y [outer][n][inner]: beginning with the sum of the parts before, from s
 *
 *   -DREVERSE     from the end      -DEXCLUSIVE  without the element itself      -DW=1  vector width */
#ifndef W
#define W 1
#endif
#ifdef PROD
#define NONE 1
#define JOIN(a, v) ((a) * (v))
#else
#define NONE 0
#define JOIN(a, v) ((a) + (v))
#endif
#define ARGS const long outer, const long n, const long inner, const long parts, const long part, const long each

#if !defined(NORNI_ONLY) || defined(K_cumsum_parts)
__kernel void cumsum_parts(__global const T *x, __global T *s, ARGS) {
    const long p = get_global_id(1), from = p * part, to = min(from + part, n), lines = outer * inner;
    const long l0 = get_global_id(0) * each, l1 = min(l0 + each, lines);
    for (long l = l0; l < l1; l++) {
        const long base = l / inner * n * inner + l % inner;
        C a = NONE;
        for (long i = from; i < to; i++)
            a = JOIN(a, LD(x, base + i * inner));
        ST(s, (l / inner * parts + p) * inner + l % inner, a);
    }
}
#endif

#ifdef REVERSE
#define PART(k) (parts - 1 - (k))
#define PLACE(k) (to - 1 - (k))
#else
#define PART(k) (k)
#define PLACE(k) (from + (k))
#endif

#if !defined(NORNI_ONLY) || defined(K_cumsum)
__kernel void cumsum(__global const T *x, __global const T *s, __global T *y, ARGS) {
    const long p = get_global_id(1), from = PART(p) * part, to = min(from + part, n), lines = outer * inner;
#if W > 1
    const long blocks = (inner + W - 1) / W, item = get_global_id(0), o = item / blocks, j = item % blocks * W;
    if (o >= outer)
        return;
    if (j + W <= inner) {
        CV(W) a = (CV(W))(NONE);
        for (long k = 0; k < p; k++)
            a = JOIN(a, LDV(W, s, (o * parts + PART(k)) * inner + j));
        for (long k = 0; k < to - from; k++) {
            const long at = (o * n + PLACE(k)) * inner + j;
            const CV(W) v = LDV(W, x, at);
#ifdef EXCLUSIVE
            STV(W, y, at, a);
            a = JOIN(a, v);
#else
            a = JOIN(a, v);
            STV(W, y, at, a);
#endif
        }
        return;
    }
    const long l0 = o * inner + j, l1 = o * inner + inner;
#else
    const long l0 = get_global_id(0) * each, l1 = min(l0 + each, lines);
#endif
    for (long l = l0; l < l1; l++) {
        const long base = l / inner * n * inner + l % inner;
        C a = NONE;
        for (long k = 0; k < p; k++)
            a = JOIN(a, LD(s, (l / inner * parts + PART(k)) * inner + l % inner));
        for (long k = 0; k < to - from; k++) {
            const long at = base + PLACE(k) * inner;
            const C v = LD(x, at);
#ifdef EXCLUSIVE
            ST(y, at, a);
            a = JOIN(a, v);
#else
            a = JOIN(a, v);
            ST(y, at, a);
#endif
        }
    }
}
#endif
