/* SPDX-License-Identifier: Apache-2.0 */
/* Updates brought to places given by index, without atomics: each place has one work-item that writes it, and takes its
 * updates in their order, so that results are the same from run to run. Indices outside are passed over.
 *
 *   scatter_chain  for each of `range` places a list of the updates that go there, in order: head[r] is the first one,
 *                  next[k] the one after k, -1 ends it. Update k goes to the place sum_j index[k][j] * t_j, index j
 *                  below d_j. -DLAST: only the last update of each place, in head; next is not used. A work-item makes
 *                  the lists of `per` places and looks at all updates.
 *   scatter_rows   y[o][r][i] = x[o][r][i] joined with u[o][k][i] for the updates k of place r, for `rows` = outer *
 *                  range rows of `inner` elements; without -DX there is no x, and the start is 0
 *   scatter_lines  y[.. index[..] ..] joined with u[..]: lines along an axis of `count` updates and d places. A work-item
 *                  does `lines_each` lines, and of those the places from p * per to before (p + 1) * per
 *
 *   -DHOW=0  0: the update replaces; 1: sum; 2: product; 3: largest; 4: smallest   -DIDX=long  type of the indices
 *   -DW=16   vector width of scatter_rows */
#ifndef IDX
#define IDX long
#endif
#ifndef W
#define W 16
#endif
#ifndef HOW
#define HOW 0
#endif

#if HOW == 0
#define JOIN(a, b) (b)
#elif HOW == 1
#define JOIN(a, b) ((a) + (b))
#elif HOW == 2
#define JOIN(a, b) ((a) * (b))
#elif defined(NORNI_REAL)
#if HOW == 3
#define JOIN(a, b) ((a) < (b) || isnan(b) ? (b) : (a))
#define JOINV(a, b) select(a, b, ((a) < (b)) | isnan(b))
#else
#define JOIN(a, b) ((a) > (b) || isnan(b) ? (b) : (a))
#define JOINV(a, b) select(a, b, ((a) > (b)) | isnan(b))
#endif
#elif HOW == 3
#define JOIN(a, b) max(a, b)
#else
#define JOIN(a, b) min(a, b)
#endif
#ifndef JOINV
#define JOINV(a, b) JOIN(a, b)
#endif

#define PLACE(j)                                                                                             \
    if (j < width) {                                                                                         \
        long at = index[k * width + j];                                                                      \
        at += at < 0 ? d##j : 0;                                                                             \
        outside |= at < 0 || at >= d##j;                                                                     \
        r += at * t##j;                                                                                      \
    }
#define AXIS(j) const long d##j, const long t##j

#if !defined(NORNI_ONLY) || defined(K_scatter_chain)
__kernel void scatter_chain(__global const IDX *index, __global int *head, __global int *next, const long count,
                            const long range, const long per, const int width, AXIS(0), AXIS(1), AXIS(2), AXIS(3),
                            AXIS(4), AXIS(5), AXIS(6), AXIS(7)) {
    const long r0 = get_global_id(0) * per, r1 = min(r0 + per, range);
    for (long r = r0; r < r1; r++)
        head[r] = -1;
    if (r0 >= range)
        return;
    for (long i = 0; i < count; i++) {
#ifdef LAST
        const long k = i;
#else
        const long k = count - 1 - i;
#endif
        long r = 0;
        bool outside = false;
        PLACE(0) PLACE(1) PLACE(2) PLACE(3) PLACE(4) PLACE(5) PLACE(6) PLACE(7)
        if (outside || r < r0 || r >= r1)
            continue;
#ifndef LAST
        next[k] = head[r];
#endif
        head[r] = (int)k;
    }
}
#endif

#ifdef LAST
#define NEXT(k) -1
#else
#define NEXT(k) next[k]
#endif
#if !defined(NORNI_ONLY) || defined(K_scatter_rows)
__kernel void scatter_rows(__global const T *x, __global const int *head, __global const int *next,
                           __global const T *u, __global T *y, const long count, const long range, const long inner,
                           const long rows, const long rows_each, const long chunks, const long chunk) {
    const long item = get_global_id(0), c = item % chunks, q0 = item / chunks * rows_each, q1 = min(q0 + rows_each, rows);
    const long j0 = c * chunk, j1 = min(j0 + chunk, inner);
    if (q0 >= rows)
        return;
    long o = q0 / range, r = q0 % range;
    for (long q = q0; q < q1; q++) {
        const int first = head[r];
        __global const T *from = u + o * count * inner;
        long j = j0;
#if W > 1
        for (; j + W <= j1; j += W) {
#ifdef X
            CV(W) a = LDV(W, x, q * inner + j);
#else
            CV(W) a = (CV(W))(0);
#endif
            for (int k = first; k >= 0; k = NEXT(k)) {
                const CV(W) b = LDV(W, from, k * inner + j);
                a = JOINV(a, b);
            }
            STV(W, y, q * inner + j, a);
        }
#endif
        for (; j < j1; j++) {
#ifdef X
            C a = LD(x, q * inner + j);
#else
            C a = 0;
#endif
            for (int k = first; k >= 0; k = NEXT(k)) {
                const C b = LD(from, k * inner + j);
                a = JOIN(a, b);
            }
            ST(y, q * inner + j, a);
        }
        if (++r == range) {
            r = 0;
            o++;
        }
    }
}
#endif

/* Line l: its indices and updates begin at iu, its places in y at iy. */
#define LINE(k)                                                                                              \
    if (n##k > 1) {                                                                                          \
        const long i = l_ % n##k;                                                                            \
        l_ /= n##k;                                                                                          \
        iu += i * u##k;                                                                                      \
        iy += i * y##k;                                                                                      \
    }
#define SIDE(k) const long n##k, const long u##k, const long y##k
#if !defined(NORNI_ONLY) || defined(K_scatter_lines)
__kernel void scatter_lines(__global const IDX *index, __global const T *u, __global T *y, const long count,
                            const long d, const long us, const long ys, const long lines, const long lines_each,
                            const long parts, const long per, SIDE(0), SIDE(1), SIDE(2), SIDE(3), SIDE(4), SIDE(5),
                            SIDE(6)) {
    const long item = get_global_id(0), p = item % parts, l0 = item / parts * lines_each, l1 = min(l0 + lines_each, lines);
    const long from = p * per, to = min(from + per, d);
    for (long l = l0; l < l1; l++) {
        long l_ = l, iu = 0, iy = 0;
        LINE(6) LINE(5) LINE(4) LINE(3) LINE(2) LINE(1) LINE(0)
        for (long j = 0; j < count; j++) {
            long at = index[iu + j * us];
            at += at < 0 ? d : 0;
            if (at < from || at >= to)
                continue;
            const C b = LD(u, iu + j * us);
#if HOW == 0
            ST(y, iy + at * ys, b);
#else
            const C a = LD(y, iy + at * ys);
            ST(y, iy + at * ys, JOIN(a, b));
#endif
        }
    }
}
#endif
