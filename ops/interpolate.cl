/* SPDX-License-Identifier: Apache-2.0 */
/* One axis resampled: y[o, i, k] = sum over t of weight[t, i] * x[o, index[t, i], k]; index -1 adds nothing. x: [outer][n]
 * [inner], y: [outer][n_out][inner], tables: [taps][n_out].
 *
 *   lines   vectors along `inner`; an item does `each` outputs i of `chunk` elements; range (chunks, n_out / each, outer)
 *   rows    vectors along the outputs, for small `inner`; an item does `chunk` outputs of `each` rows; range (chunks,
 *           outer / each)
 *   -DW=16       vector width            -DTAPS=2   the number of taps, where it is small
 *   -DDOUBLED    rows: index i is i / 2, and inner is 1
 *   -DWEIGHTED   without it the weights are 1 and elements are just moved (T of any type of the right size) */
#ifndef W
#define W 16
#endif
#ifdef WEIGHTED
#define VEC CV(W)
#define ONE C
#else
#ifndef T_NAME
#define T_NAME uint
#endif
#define VEC NORNI_CAT(T_NAME, W)
#define ONE T
#endif
#if W == 16
#define HALF 8
#elif W == 8
#define HALF 4
#else
#define HALF 2
#endif
#ifdef TAPS
#define N_TAPS TAPS
#else
#define N_TAPS taps
#endif
#define TABLES                                                                                               \
    __global const T *x, __global const int *index, __global const WT *weight, __global T *y,               \
        const long n, const long n_out, const long inner, const long outer, const int taps, const long chunk, \
        const long each
/* Weights are of the compute type. */
#ifdef WEIGHTED
#define WT C
#else
#define WT uchar
#endif

static inline ONE one(__global const T *x, __global const int *index, __global const WT *weight, const long i,
                      const long n_out, const long inner, const int taps) {
    ONE sum = 0;
    for (int t = 0; t < N_TAPS; t++) {
        const int at = index[t * n_out + i];
        if (at >= 0)
#ifdef WEIGHTED
            sum = fma(weight[t * n_out + i], LD(x, at * inner), sum);
#else
            sum += x[at * inner];
#endif
    }
    return sum;
}

#if !defined(NORNI_ONLY) || defined(K_lines)
__kernel void lines(TABLES) {
    const long k0 = get_global_id(0) * chunk, k1 = min(k0 + chunk, inner), o = get_global_id(2);
    const long i0 = get_global_id(1) * each, i1 = min(i0 + each, n_out);
    if (k0 >= inner || i0 >= n_out || o >= outer)
        return;
    x += o * n * inner;
    y += o * n_out * inner;
    for (long i = i0; i < i1; i++) {
        long k = k0;
#if W > 1
        for (; k + W <= k1; k += W) {
            VEC sum = (VEC)(0);
            for (int t = 0; t < N_TAPS; t++) {
                const int at = index[t * n_out + i];
                if (at >= 0)
#ifdef WEIGHTED
                    sum = fma((VEC)(weight[t * n_out + i]), LDV(W, x, at * inner + k), sum);
#else
                    sum += NORNI_CAT(vload, W)(0, x + at * inner + k);
#endif
            }
#ifdef WEIGHTED
            STV(W, y, i * inner + k, sum);
#else
            NORNI_CAT(vstore, W)(sum, 0, y + i * inner + k);
#endif
        }
#endif
        for (; k < k1; k++) {
            const ONE v = one(x + k, index, weight, i, n_out, inner, taps);
#ifdef WEIGHTED
            ST(y, i * inner + k, v);
#else
            y[i * inner + k] = v;
#endif
        }
    }
}
#endif

#if !defined(NORNI_ONLY) || defined(K_rows)
__kernel void rows(TABLES) {
    const long i0 = get_global_id(0) * chunk, i1 = min(i0 + chunk, n_out);
    const long o0 = get_global_id(1) * each, o1 = min(o0 + each, outer);
    long i = i0;
#if W > 1
#ifdef DOUBLED /* every element twice */
    const long i2 = i0 + (i1 - i0) / W * W;
    for (long o = o0; o < o1; o++)
        for (i = i0; i < i2; i += W) {
            VEC v;
            v.even = NORNI_CAT(vload, HALF)(0, x + o * n + i / 2);
            v.odd = v.even;
            NORNI_CAT(vstore, W)(v, 0, y + o * n_out + i);
        }
#else
    /* The tables are read once for the rows of an item. */
    if (inner == 1)
        for (; i + W <= i1; i += W)
            for (long o = o0; o < o1; o++) {
                VEC sum = (VEC)(0);
                for (int t = 0; t < N_TAPS; t++) {
                    int at[W];
                    ONE v[W];
                    NORNI_CAT(vstore, W)(NORNI_CAT(vload, W)(0, index + t * n_out + i), 0, at);
#pragma unroll
                    for (int l = 0; l < W; l++)
                        v[l] = at[l] < 0 ? (ONE)0 : (ONE)LD(x, o * n + at[l]);
#ifdef WEIGHTED
                    sum = fma(NORNI_CAT(vload, W)(0, weight + t * n_out + i), NORNI_CAT(vload, W)(0, v), sum);
#else
                    sum += NORNI_CAT(vload, W)(0, v);
#endif
                }
#ifdef WEIGHTED
                STV(W, y, o * n_out + i, sum);
#else
                NORNI_CAT(vstore, W)(sum, 0, y + o * n_out + i);
#endif
            }
#endif
#endif
    for (; i < i1; i++)
        for (long o = o0; o < o1; o++)
            for (long k = 0; k < inner; k++) {
                const ONE v = one(x + o * n * inner + k, index, weight, i, n_out, inner, taps);
#ifdef WEIGHTED
                ST(y, (o * n_out + i) * inner + k, v);
#else
                y[(o * n_out + i) * inner + k] = v;
#endif
            }
}
#endif
