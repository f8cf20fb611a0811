/* SPDX-License-Identifier: Apache-2.0 */
/* Regions of interest of images x [N][channels][h][w]; a work-item an output. Range (ph * pw, rois * channels).
 *
 *   max_roi_pool    ops/max_roi_pool.c; -DPLACES: also where in the plane the maximum stands
 *   roi_align       ops/roi_align.c; -DLARGEST, -DHALF
 *   roi_align_grad  its transpose (-DLARGEST: of the choice that x leads to): a work-item adds up all regions of one plane of dx. Range (N * channels) */
#if !defined(NORNI_ONLY) || defined(K_max_roi_pool)
#ifdef PLACES
#define PLACES_ARG , __global int *places
#else
#define PLACES_ARG
#endif
/* First and last + 1 element of bin i along a dimension. */
static inline void bin(const float from, const float to, const float scale, const long i, const long bins, const long in,
                       long *lo, long *hi) {
    const float start = round(from * scale), end = round(to * scale), size = max(end - start + 1, 1.0f) / bins;
    *lo = (long)clamp(floor(i * size) + start, 0.0f, (float)in);
    *hi = (long)clamp(ceil((i + 1) * size) + start, 0.0f, (float)in);
}

__kernel void max_roi_pool(__global const T *x, __global const T *rois, __global T *y PLACES_ARG, const long images,
                           const long channels, const long h, const long w, const long n, const long ph, const long pw,
                           const float scale) {
    const long o = get_global_id(0), rc = get_global_id(1);
    if (o >= ph * pw || rc >= n * channels)
        return;
    rois += rc / channels * 5;
    const long image = (long)LD(rois, 0);
    long y0, y1, x0, x1;
    int place = -1;
    C best = 0;
    bin(LD(rois, 2), LD(rois, 4), scale, o / pw, ph, h, &y0, &y1);
    bin(LD(rois, 1), LD(rois, 3), scale, o % pw, pw, w, &x0, &x1);
    if (image >= 0 && image < images) {
        __global const T *plane = x + (image * channels + rc % channels) * h * w;
        for (long j = y0; j < y1; j++)
            for (long i = x0; i < x1; i++) {
                const C v = LD(plane, j * w + i);
                if (place < 0 || v > best) {
                    best = v;
                    place = (int)(j * w + i);
                }
            }
    }
    ST(y, rc * ph * pw + o, best);
#ifdef PLACES
    places[rc * ph * pw + o] = place;
#endif
}
#endif

#if !defined(NORNI_ONLY) || defined(K_roi_align) || defined(K_roi_align_grad)
/* A region along one dimension: where it starts, the size of a bin, samples in a bin. */
typedef struct {
    C start, size;
    long samples;
} span;
static inline span span_of(const C from, const C to, const C scale, const long bins, const long ratio) {
    span s;
#ifdef HALF
    s.start = from * scale - (C)0.5f;
    s.size = (to * scale - (C)0.5f - s.start) / bins;
#else
    s.start = from * scale;
    s.size = max(to * scale - s.start, (C)1) / bins;
#endif
    s.samples = ratio > 0 ? ratio : (long)ceil(s.size);
    return s;
}
/* Sample k of bin b: the elements on both sides, and how near it is to the second; false outside. */
static inline bool sample(const span s, const long b, const long k, const long in, long *lo, long *hi, C *near) {
    C at = s.start + b * s.size + (k + (C)0.5f) * s.size / s.samples;
    if (!(at >= -1 && at <= in))
        return false;
    at = max(at, (C)0);
    *lo = min((long)at, in - 1);
    *hi = min(*lo + 1, in - 1);
    *near = *lo == in - 1 ? (C)0 : at - *lo;
    return true;
}
#endif

#if !defined(NORNI_ONLY) || defined(K_roi_align)
__kernel void roi_align(__global const T *x, __global T *y, __global const T *rois, __global const long *images,
                        const long n_images, const long channels, const long h, const long w, const long n, const long ph,
                        const long pw, const C scale, const long ratio) {
    const long o = get_global_id(0), rc = get_global_id(1), r = rc / channels, image = images[min(r, n - 1)];
    if (o >= ph * pw || rc >= n * channels)
        return;
    const span v = span_of(LD(rois, r * 4 + 1), LD(rois, r * 4 + 3), scale, ph, ratio),
               u = span_of(LD(rois, r * 4), LD(rois, r * 4 + 2), scale, pw, ratio);
    C sum = 0;
    bool first = true;
    if (image >= 0 && image < n_images) {
        __global const T *plane = x + (image * channels + rc % channels) * h * w;
        for (long j = 0; j < v.samples; j++)
            for (long i = 0; i < u.samples; i++) {
                long y0, y1, x0, x1;
                C dy, dx, value = 0;
                if (sample(v, o / pw, j, h, &y0, &y1, &dy) && sample(u, o % pw, i, w, &x0, &x1, &dx)) {
                    const C a = (1 - dy) * (1 - dx) * LD(plane, y0 * w + x0), b = (1 - dy) * dx * LD(plane, y0 * w + x1),
                            c = dy * (1 - dx) * LD(plane, y1 * w + x0), d = dy * dx * LD(plane, y1 * w + x1);
#ifdef LARGEST
                    value = max(max(a, b), max(c, d));
#else
                    value = a + b + c + d;
#endif
                }
#ifdef LARGEST
                sum = first ? value : max(sum, value);
#else
                sum += value;
#endif
                first = false;
            }
    }
#ifndef LARGEST
    sum /= max(v.samples * u.samples, (long)1);
#endif
    ST(y, rc * ph * pw + o, sum);
}
#endif

#if !defined(NORNI_ONLY) || defined(K_roi_align_grad)
#ifdef LARGEST
#define X_ARG __global const T *x,
#else
#define X_ARG
#endif
__kernel void roi_align_grad(__global const T *dout, __global T *to, __global const T *rois, __global const long *images, X_ARG
                             const long n_images, const long channels, const long h, const long w, const long n,
                             const long ph, const long pw, const C scale, const long ratio) {
    const long p = get_global_id(0);
    if (p >= n_images * channels)
        return;
    __global T *plane = to + p * h * w;
    for (long i = 0; i < h * w; i++)
        ST(plane, i, (C)0);
    for (long r = 0; r < n; r++) {
        if (images[r] != p / channels)
            continue;
        const span v = span_of(LD(rois, r * 4 + 1), LD(rois, r * 4 + 3), scale, ph, ratio),
                   u = span_of(LD(rois, r * 4), LD(rois, r * 4 + 2), scale, pw, ratio);
        const C count = max(v.samples * u.samples, (long)1);
        for (long o = 0; o < ph * pw; o++) {
            const C g = LD(dout, (r * channels + p % channels) * ph * pw + o);
#ifdef LARGEST
            C best = 0, best_weight = 0;
            long best_at = 0;
            bool first = true;
#endif
            for (long j = 0; j < v.samples; j++)
                for (long i = 0; i < u.samples; i++) {
                    long y0 = 0, y1 = 0, x0 = 0, x1 = 0;
                    C dy = 0, dx = 0;
                    const bool in = sample(v, o / pw, j, h, &y0, &y1, &dy) && sample(u, o % pw, i, w, &x0, &x1, &dx);
                    const long at[4] = {y0 * w + x0, y0 * w + x1, y1 * w + x0, y1 * w + x1};
                    const C weight[4] = {(1 - dy) * (1 - dx), (1 - dy) * dx, dy * (1 - dx), dy * dx};
                    for (int k = 0; k < 4; k++) {
#ifdef LARGEST
                        const C value = in ? weight[k] * LD(x, p * h * w + at[k]) : (C)0;
                        if (first || value > best) {
                            best = value;
                            best_at = in ? at[k] : 0;
                            best_weight = in ? weight[k] : (C)0;
                            first = false;
                        }
#else
                        if (in)
                            ST(plane, at[k], LD(plane, at[k]) + weight[k] * g / count);
#endif
                    }
                }
#ifdef LARGEST
            ST(plane, best_at, LD(plane, best_at) + best_weight * g);
#endif
        }
    }
}
#endif
