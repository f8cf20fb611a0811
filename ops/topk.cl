/* SPDX-License-Identifier: Apache-2.0 */
/* The k best of each line of x [outer][n][inner], best first; of equals the first in the line. NaN counts as the largest.
 *
 *   topk_find  the places of the best ones among the places from p * part to before (p + 1) * part, or with -DLIST among
 *              those that list [line][n_list] names (-1: none), into a heap with the worst one at its root that lies
 *              where the result will: at [line][parts][k] with -DFLAT, else at [outer][k][inner]. Then it is sorted. What
 *              a part lacks is -1. A work-item does a part of a line.
 *   topk_take  y = x at those places
 *
 *   -DSMALLEST  small ones are best     -DW=1  vector width in which lines are looked through, for inner = 1 */
#ifndef W
#define W 1
#endif
#ifdef SMALLEST
#define BETTER(a, b) ((a) < (b))
#else
#define BETTER(a, b) ((a) > (b))
#endif

/* Whether place i goes before place j. */
static inline bool before(__global const T *x, const long step, const long i, const long j) {
    const C a = LD(x, i * step), b = LD(x, j * step);
#ifdef NORNI_REAL
    if (isnan(a) || isnan(b)) {
#ifdef SMALLEST
        return isnan(a) && isnan(b) ? i < j : isnan(b);
#else
        return isnan(a) && isnan(b) ? i < j : isnan(a);
#endif
    }
#endif
    return a == b ? i < j : BETTER(a, b);
}

/* Puts place `at` at node i of the heap of `count`, or below. */
static inline void sink(__global const T *x, const long step, __global long *heap, const long hs, long i, const long count,
                        const long at) {
    for (;;) {
        long c = 2 * i + 1;
        if (c >= count)
            break;
        if (c + 1 < count && before(x, step, heap[c * hs], heap[(c + 1) * hs]))
            c++;
        if (!before(x, step, at, heap[c * hs]))
            break;
        heap[i * hs] = heap[c * hs];
        i = c;
    }
    heap[i * hs] = at;
}

#if !defined(NORNI_ONLY) || defined(K_topk_find)
__kernel void topk_find(__global const T *x, __global const long *list, __global long *at, const long lines, const long n,
                        const long inner, const long k, const long parts, const long part, const long n_list) {
    const long line = get_global_id(0), p = get_global_id(1);
    if (line >= lines)
        return;
    x += line / inner * n * inner + line % inner;
#ifdef FLAT
    const long hs = 1;
    __global long *heap = at + (line * parts + p) * k;
#else
    const long hs = inner;
    __global long *heap = at + line / inner * k * inner + line % inner;
#endif
#ifdef LIST
    const long from = 0, to = n_list;
    list += line * n_list;
#else
    const long from = p * part, to = min(from + part, n);
#endif
    long count = 0;
    for (long i = from; i < to; i++) {
#if W > 1 && !defined(LIST)
        if (count == k && i + W <= to) { /* none of these is better than the worst one so far */
            const C worst = LD(x, heap[0]);
            const CV(W) v = LDV(W, x, i);
#ifdef SMALLEST
            if (all(v >= (CV(W))(worst))) {
#else
            if (all(v <= (CV(W))(worst))) {
#endif
                i += W - 1;
                continue;
            }
        }
#endif
#ifdef LIST
        const long c = list[i];
        if (c < 0)
            continue;
#else
        const long c = i;
#endif
        if (count < k) {
            long h = count++;
            while (h && before(x, inner, heap[(h - 1) / 2 * hs], c)) {
                heap[h * hs] = heap[(h - 1) / 2 * hs];
                h = (h - 1) / 2;
            }
            heap[h * hs] = c;
        } else if (before(x, inner, c, heap[0]))
            sink(x, inner, heap, hs, 0, k, c);
    }
    for (long e = count - 1; e > 0; e--) {
        const long last = heap[e * hs];
        heap[e * hs] = heap[0];
        sink(x, inner, heap, hs, 0, e, last);
    }
    for (long e = count; e < k; e++)
        heap[e * hs] = -1;
}
#endif

#if !defined(NORNI_ONLY) || defined(K_topk_take)
__kernel void topk_take(__global const T *x, __global const long *at, __global T *y, const long total, const long each,
                        const long n, const long inner, const long k) {
    const long i0 = get_global_id(0) * each, i1 = min(i0 + each, total);
    for (long i = i0; i < i1; i++)
        y[i] = x[(i / (k * inner) * n + at[i]) * inner + i % inner];
}
#endif
