/* SPDX-License-Identifier: Apache-2.0 */
/* Passes of a Fourier transform (ops/dft.c). A line has `full` elements of which x has n_in and y n_out, each `inner`
 * times side by side; lines lie one after the other. A pass of radix R takes n = R m; s = inner full / n; for p < m, q < s:
 *
 *   b[q + s (R p + k)] = w_n^(p k) sum over j < R of w_R^(j k) a[q + s (p + m j)],   w_n = exp(-2 pi i / n)
 *
 *   dft_roots  w[r] = w_full^r, from which all other roots are taken
 *   dft_pass   a work-item does `chunk` of the `items` = m s pairs (p, q) of a line
 *   dft_prime  the same for large R: of the `items` = m s R results, so that none needs R registers
 *
 *   -DINVERSE  conjugated roots    -DFIRST  a is x, with IN_PARTS 1 (real) or 2 (complex); -DMIRRORED: its second half is
 *   the first one's, conjugated    -DLAST  b is y times scale, of OUT_PARTS */
#define C2 CV(2)

static inline C2 mul(const C2 a, const C2 b) {
    return (C2)(fma(a.x, b.x, -a.y * b.y), fma(a.x, b.y, a.y * b.x));
}

#if !defined(NORNI_ONLY) || defined(K_dft_roots)
__kernel void dft_roots(__global C2 *w, const long n, const long chunk) {
    const long r0 = get_global_id(0) * chunk, r1 = min(r0 + chunk, n);
    for (long r = r0; r < r1; r++) { /* by an angle of at most pi / 4, so that it is exact to a rounding */
        const long quarter = 4 * r / n, rest = 4 * r - quarter * n;
        const C a = (C)min(rest, n - rest) / (C)n * (C)0.5;
        const C2 u = (C2)(cospi(a), sinpi(a)), v = 2 * rest > n ? u.yx : u;
        const C2 z = quarter == 0 ? v : quarter == 1 ? (C2)(-v.y, v.x) : quarter == 2 ? -v : (C2)(v.y, -v.x);
#ifdef INVERSE
        w[r] = z;
#else
        w[r] = (C2)(z.x, -z.y);
#endif
    }
}
#endif

#ifdef FIRST
#define SOURCE const T
static inline C2 take(__global const T *x, const long line, const long at, const long full, const long inner, const long n_in) {
    long k = at / inner;
#ifdef MIRRORED
    const bool upper = k > full / 2;
    k = upper ? full - k : k;
#endif
    if (k >= n_in)
        return (C2)(0);
    const long i = ((line * n_in + k) * inner + at % inner) * IN_PARTS;
#if IN_PARTS == 1
    return (C2)(LD(x, i), 0);
#elif defined(MIRRORED)
    return (C2)(LD(x, i), upper ? -LD(x, i + 1) : LD(x, i + 1));
#else
    return (C2)(LD(x, i), LD(x, i + 1));
#endif
}
#else
#define SOURCE const C2
static inline C2 take(__global const C2 *a, const long line, const long at, const long full, const long inner, const long n_in) {
    return a[line * full * inner + at];
}
#endif

#ifdef LAST
#define TARGET T
static inline void put(__global T *y, const long line, const long at, const long full, const long inner, const long n_out,
                       const C scale, const C2 v) {
    const long k = at / inner, i = ((line * n_out + k) * inner + at % inner) * OUT_PARTS;
    if (k >= n_out)
        return;
    ST(y, i, v.x * scale);
#if OUT_PARTS == 2
    ST(y, i + 1, v.y * scale);
#endif
}
#else
#define TARGET C2
static inline void put(__global C2 *b, const long line, const long at, const long full, const long inner, const long n_out,
                       const C scale, const C2 v) {
    b[line * full * inner + at] = v;
}
#endif

#define ARGS                                                                                                 \
    __global SOURCE *a, __global TARGET *b, __global const C2 *w, const long full, const long n,             \
        const long radix, const long s, const long inner, const long n_in, const long n_out, const long items, \
        const long chunk, const C scale

#ifdef K_dft_pass
#if !defined(NORNI_ONLY) || defined(K_dft_pass)
__kernel void dft_pass(ARGS) {
    const long line = get_global_id(1), t0 = get_global_id(0) * chunk, t1 = min(t0 + chunk, items);
    const long m = n / R, unit = full / n;
    C2 root[R];
    for (int k = 0; k < R; k++)
        root[k] = w[k * (full / R)];
    for (long t = t0; t < t1; t++) {
        const long p = t / s, q = t % s;
        C2 v[R];
        for (int j = 0; j < R; j++)
            v[j] = take(a, line, q + s * (p + m * j), full, inner, n_in);
        for (int k = 0; k < R; k++) {
            C2 sum = v[0];
            for (int j = 1; j < R; j++)
                sum += k == 0 ? v[j] : mul(v[j], root[j * k % R]);
            put(b, line, q + s * (R * p + k), full, inner, n_out, scale, k && p ? mul(sum, w[p * k * unit]) : sum);
        }
    }
}
#endif
#endif

#ifdef K_dft_prime
#if !defined(NORNI_ONLY) || defined(K_dft_prime)
__kernel void dft_prime(ARGS) {
    const long line = get_global_id(1), t0 = get_global_id(0) * chunk, t1 = min(t0 + chunk, items);
    const long m = n / radix, unit = full / n, step = full / radix;
    for (long t = t0; t < t1; t++) {
        const long q = t % s, k = t / s % radix, p = t / (s * radix);
        C2 sum = (C2)(0), lost = (C2)(0); /* with what rounding lost: there may be thousands of terms */
        for (long j = 0, r = 0; j < radix; j++) {
            const C2 x = mul(take(a, line, q + s * (p + m * j), full, inner, n_in), w[r * step]) - lost, next = sum + x;
            lost = (next - sum) - x;
            sum = next;
            r += k;
            r = r >= radix ? r - radix : r;
        }
        put(b, line, q + s * (radix * p + k), full, inner, n_out, scale, mul(sum, w[p * k * unit]));
    }
}
#endif
#endif
