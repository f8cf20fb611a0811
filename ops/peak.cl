/* SPDX-License-Identifier: Apache-2.0 */
/* What a device can do at best. F: element type, W: its vector width, N: accumulators (8 or 12), which do not wait for
 * one another.
 *
 *   peak_fma    n times N fused multiply-adds of W lanes; the sum of all is stored
 *   peak_read   sums `n` vectors: of a piece of its own (PIECES), or side by side with the other work-items; `again` times
 *   peak_copy   the same with every vector stored
 *   peak_local  n reads of a vector in local memory of LEN vectors
 *   peak_empty  nothing: what a launch costs */
#ifdef HALF
#pragma OPENCL EXTENSION cl_khr_fp16 : enable
#endif
#ifndef F
#define F float
#define W 1
#endif
#if W == 1
#define V F
#define LOAD(i, p) ((p)[i])
#define STORE(v, i, p) ((p)[i] = (v))
#else
#define V NORNI_CAT(F, W)
#define LOAD NORNI_CAT(vload, W)
#define STORE NORNI_CAT(vstore, W)
#endif

static inline F total(const V v) {
#if W == 1
    return v;
#else
    F lanes[W], s = 0;
    NORNI_CAT(vstore, W)(v, 0, lanes);
    for (int i = 0; i < W; i++)
        s += lanes[i];
    return s;
#endif
}

#ifdef K_peak_fma
__kernel void peak_fma(__global F *out, const float fa, const float fb, const int n) {
    const V a = (V)((F)fa), b = (V)((F)fb);
    V x0 = (V)((F)0), x1 = x0 + (F)1, x2 = x0 + (F)2, x3 = x0 + (F)3, x4 = x0 + (F)4, x5 = x0 + (F)5, x6 = x0 + (F)6,
      x7 = x0 + (F)7;
#if N > 8
    V x8 = x0 + (F)8, x9 = x0 + (F)9, x10 = x0 + (F)10, x11 = x0 + (F)11;
#endif
    for (int i = 0; i < n; i++) {
        x0 = fma(x0, a, b), x1 = fma(x1, a, b), x2 = fma(x2, a, b), x3 = fma(x3, a, b);
        x4 = fma(x4, a, b), x5 = fma(x5, a, b), x6 = fma(x6, a, b), x7 = fma(x7, a, b);
#if N > 8
        x8 = fma(x8, a, b), x9 = fma(x9, a, b), x10 = fma(x10, a, b), x11 = fma(x11, a, b);
#endif
    }
    x0 += x1 + x2 + x3 + x4 + x5 + x6 + x7;
#if N > 8
    x0 += x8 + x9 + x10 + x11;
#endif
    out[get_global_id(0)] = total(x0);
}
#endif

#ifdef PIECES
#define FROM get_global_id(0) * n
#define STEP 1
#else
#define FROM get_global_id(0)
#define STEP get_global_size(0)
#endif

#ifdef K_peak_read
__kernel void peak_read(__global const F *x, __global F *out, const long n, const int again) {
    const long from = FROM, step = STEP;
    V a = (V)((F)0), b = a, c = a, d = a;
    for (int r = 0; r < again; r++)
        for (long i = 0; i < n; i += 4) {
            a += LOAD(from + i * step, x);
            b += LOAD(from + (i + 1) * step, x);
            c += LOAD(from + (i + 2) * step, x);
            d += LOAD(from + (i + 3) * step, x);
        }
    out[get_global_id(0)] = total(a + b + c + d);
}
#endif

#ifdef K_peak_copy
__kernel void peak_copy(__global const F *x, __global F *y, const long n) {
    const long from = FROM, step = STEP;
    for (long i = 0; i < n; i++)
        STORE(LOAD(from + i * step, x), from + i * step, y);
}
#endif

#ifdef K_peak_local
__kernel void peak_local(__global F *out, const int n) {
    __local V all[LEN];
    const int l = get_local_id(0);
    for (int i = l; i < LEN; i += get_local_size(0))
        all[i] = (V)((F)1);
    barrier(CLK_LOCAL_MEM_FENCE);
    V a = (V)((F)0), b = a, c = a, d = a;
    for (int i = 0; i < n; i += 4) {
        a += all[(l + i) & (LEN - 1)];
        b += all[(l + i + 1) & (LEN - 1)];
        c += all[(l + i + 2) & (LEN - 1)];
        d += all[(l + i + 3) & (LEN - 1)];
    }
    out[get_global_id(0)] = total(a + b + c + d);
}
#endif

#ifdef K_peak_empty
__kernel void peak_empty(__global F *out) {
    if (get_global_id(0) == 0 && out == 0)
        out[1] = 0;
}
#endif
