/* SPDX-License-Identifier: Apache-2.0 */
/* Steps of RNN, GRU and LSTM (equations: ops/recurrent.h), forward and back. A work-item has MB sequences and W units:
 * it multiplies the state with R and goes on with the gates, so that a step is one launch (two for a GRU without
 * linear_before_reset, whose candidate needs the reset state of all units).
 *
 *   z      [D][S B][G H]  sums of the gates, at first W x + b           r   R packed as [D][panels][K][NG][P]
 *   hp, hn [D][B][H]      state before and after the step               c   [D][B][H] cells
 *
 *   -DKIND=2 (0 RNN, 1 GRU, 2 LSTM)  -DG=4 gates  -DNG=4 of them multiplied here  -DMB -DW -DP=W units of a panel
 *   -DREVERSE=2 a bit for each direction that runs back  -DBDIM=0 range dimension of the sequences; 1 - BDIM: units
 *   -DF0 -DA0 -DB0 .. activations and their parameters  -DCLIP  -DCOUPLE  -DLINEAR  -DPART=1, 2 of a GRU in two parts
 *   -DRUN all steps in one launch: a work-item has MB sequences and all their units, and waits for nobody
 *   -DTEAM all steps in one launch: the work-items share the tiles of each step, and none depends on another (below);
 *          -DPARTS=2 chunks for each of them, -DAPART=16 ints from flag to flag, -DFENCES where the driver runs those
 *   -DKEEP z keeps the sums, cells too  -DHAS_Y -DHAS_LENS -DHAS_P -DHAS_RB -DHAS_... buffers that are there */
#ifndef KIND
#define KIND 2
#define G 4
#define NG 4
#define F0 sigmoid
#define F1 th
#define F2 th
#define A0 0
#define A1 0
#define A2 0
#define B0 0
#define B1 0
#define B2 0
#endif
#ifndef W
#define W 4
#endif
#ifndef P
#define P W
#endif
#ifndef MB
#define MB 1
#endif
#ifndef REVERSE
#define REVERSE 0
#endif
#ifndef BDIM
#define BDIM 0
#endif
#ifndef PART
#define PART 0
#endif
#if W == 1
#define VEC C
#define IVEC int
#define LOADV(p) (*(p))
#define STOREV(v, p) (*(p) = (v))
#define LOADT(p) LD(p, 0)
#define STORET(v, p) ST(p, 0, v)
#define LANES(v, a) (a)[0] = (v)
#else
#define VEC CV(W)
#define IVEC NORNI_CAT(int, W)
#define LOADV(p) NORNI_CAT(vload, W)(0, p)
#define STOREV(v, p) NORNI_CAT(vstore, W)(v, 0, p)
#define LOADT(p) LDV(W, p, 0)
#define STORET(v, p) STV(W, p, 0, v)
#endif

/* The first n lanes in memory; the others are 0. */
static inline VEC get(__global const C *p, const long n) {
    if (n >= W)
        return LOADV(p);
#if W > 1
    C a[W];
    for (int l = 0; l < W; l++)
        a[l] = l < n ? p[l] : (C)0;
    return NORNI_CAT(vload, W)(0, a);
#else
    return (C)0;
#endif
}
static inline VEC get_t(__global const T *p, const long n) {
    if (n >= W)
        return LOADT(p);
#if W > 1
    C a[W];
    for (int l = 0; l < W; l++)
        a[l] = l < n ? LD(p, l) : (C)0;
    return NORNI_CAT(vload, W)(0, a);
#else
    return (C)0;
#endif
}
static inline void put(const VEC v, __global C *p, const long n) {
    if (n >= W)
        STOREV(v, p);
#if W > 1
    else {
        C a[W];
        NORNI_CAT(vstore, W)(v, 0, a);
        for (int l = 0; l < n; l++)
            p[l] = a[l];
    }
#endif
}
static inline void put_t(const VEC v, __global T *p, const long n) {
    if (n >= W)
        STORET(v, p);
#if W > 1
    else {
        C a[W];
        NORNI_CAT(vstore, W)(v, 0, a);
        for (int l = 0; l < n; l++)
            ST(p, l, a[l]);
    }
#endif
}

/* ---- Activations act_NAME(x, a, b), and their derivatives d_NAME(x, y, a, b). */
#ifdef T_F64
#define EXP(x) exp(x)
#else
NORNI_EXP_FLOAT(exp_fast, VEC, IVEC)
#define EXP(x) exp_fast(x)
#endif
#define K(v) ((VEC)((C)(v)))
#define ACT(name) static inline VEC act_##name(const VEC x, const C a, const C b)
#define D_ACT(name) static inline VEC d_##name(const VEC x, const VEC y, const C a, const C b)
static inline VEC sigmoid_of(const VEC x) { return K(1) / (K(1) + EXP(-x)); }
#ifdef T_F64
static inline VEC tanh_of(const VEC x) { return tanh(x); }
#else
NORNI_TANH_FLOAT(tanh_of, VEC)
#endif
ACT(relu) { return x > K(0) ? x : K(0); }
ACT(th) { return tanh_of(x); }
ACT(sigmoid) { return sigmoid_of(x); }
ACT(affine) { return fma(K(a), x, K(b)); }
ACT(leaky) { return x >= K(0) ? x : K(a) * x; }
ACT(threshold) { return x >= K(a) ? x : K(0); }
ACT(scaled) { return K(a) * tanh_of(K(b) * x); }
ACT(hard) { return fmin(fmax(fma(K(a), x, K(b)), K(0)), K(1)); }
ACT(elu) { return x >= K(0) ? x : K(a) * (EXP(x) - K(1)); }
ACT(softsign) { return x / (K(1) + fabs(x)); }
ACT(softplus) { return fmax(x, K(0)) + log1p(EXP(-fabs(x))); }
D_ACT(relu) { return x > K(0) ? K(1) : K(0); }
D_ACT(th) { return fma(-y, y, K(1)); }
D_ACT(sigmoid) { return fma(-y, y, y); }
D_ACT(affine) { return K(a); }
D_ACT(leaky) { return x >= K(0) ? K(1) : K(a); }
D_ACT(threshold) { return x >= K(a) ? K(1) : K(0); }
D_ACT(scaled) {
    const VEC t = tanh_of(K(b) * x);
    return K(a) * K(b) * fma(-t, t, K(1));
}
D_ACT(hard) { return y > K(0) && y < K(1) ? K(a) : K(0); }
D_ACT(elu) { return x >= K(0) ? K(1) : K(a) * EXP(x); }
D_ACT(softsign) { return K(1) / ((K(1) + fabs(x)) * (K(1) + fabs(x))); }
D_ACT(softplus) { return sigmoid_of(x); }
#define CALL(f, x, n) NORNI_CAT(act_, f)(x, (C)A##n, (C)B##n)
#define SLOPE(f, x, y, n) NORNI_CAT(d_, f)(x, y, (C)A##n, (C)B##n)
#ifdef CLIP
#define BOUND(x) ((x) > K(CLIP) ? K(CLIP) : (x) < K(-(CLIP)) ? K(-(CLIP)) : (x))
#define INSIDE(x, v) (fabs(x) <= K(CLIP) ? (v) : K(0))
#else
#define BOUND(x) (x)
#define INSIDE(x, v) (v)
#endif
#define GATE0(x) CALL(F0, BOUND(x), 0) /* of a sum */
#define GATE1(x) CALL(F1, BOUND(x), 1)
#define SLOPE0(x, y) INSIDE(x, SLOPE(F0, BOUND(x), y, 0))
#define SLOPE1(x, y) INSIDE(x, SLOPE(F1, BOUND(x), y, 1))

/* Where the item works. */
#if defined(RUN) || defined(TEAM)
#define UNIT unit
#else
#define UNIT get_global_id(1 - BDIM)
#endif
#ifdef TEAM
#define TILE tile
#else
#define TILE get_global_id(BDIM)
#endif
#define PLACE                                                                                                \
    const long j = UNIT * W, b0 = TILE * MB, d = dir + get_global_id(2);   \
    if (j >= H || b0 >= B)                                                                                   \
        return;                                                                                              \
    const long n = H - j;                                                                                    \
    const long t = REVERSE >> d & 1 ? S - 1 - step : step;

/* acc[m][g] = sum over k < K of h[m][k] R[k][g]; h[m]: rows of the MB sequences. */
#define PRODUCT(acc, ng, h, r, depth)                                                                        \
    VEC acc[MB][ng];                                                                                         \
    _Pragma("unroll") for (int m = 0; m < MB; m++)                                                           \
        _Pragma("unroll") for (int g = 0; g < ng; g++)                                                       \
            acc[m][g] = K(0);                                                                                \
    {                                                                                                        \
        __global const C *rp = r + (d * ((H + P - 1) / P) + j / P) * (depth) * ng * P + j % P;               \
        for (long k = 0; k < (depth); k++) {                                                                 \
            VEC rv[ng];                                                                                      \
            _Pragma("unroll") for (int g = 0; g < ng; g++)                                                   \
                rv[g] = LOADV(rp + (k * ng + g) * P);                                                        \
            _Pragma("unroll") for (int m = 0; m < MB; m++) {                                                 \
                const VEC hv = K(h[m][k]);                                                                   \
                _Pragma("unroll") for (int g = 0; g < ng; g++)                                               \
                    acc[m][g] = fma(hv, rv[g], acc[m][g]);                                                   \
            }                                                                                                \
        }                                                                                                    \
    }
#define ROWS(h, base, stride)                                                                                \
    __global const C *h[MB];                                                                                 \
    _Pragma("unroll") for (int m = 0; m < MB; m++)                                                           \
        h[m] = (base) + min(b0 + m, B - 1) * (stride);

/* A team shares the tiles of each step (PARTS chunks for each member), its own chunks first. Whoever finds the chunk of
 * another not done after a while computes it, too: both store the same numbers, since each step has states of its own
 * (hs, cs; that of the last step is row 0), and nothing that is read is overwritten. So no work-item depends on another's
 * getting on, whether they run at once or one after the other.
 * A flag is believed only where the stores of its chunk are sure to come before it, and what the next step reads after it.
 * OpenCL 1.2 has nothing for that: its mem_fence orders what one work-item does as its own work-group sees it (PoCL's is
 * empty). Clang has C11's fence, a barrier to the compiler alone on x86, an instruction on other processors. Without it
 * each member computes all chunks. */
#define PATIENCE 20000 /* looks at a flag */
#if defined(FENCES) && defined(__has_builtin)
#if __has_builtin(__atomic_thread_fence)
#define FENCE __atomic_thread_fence(__ATOMIC_ACQ_REL)
#endif
#endif

#if !defined(NORNI_ONLY) || defined(K_rec_step)
__kernel void rec_step(__global C *z, __global const C *r,
#if defined(TEAM)
                       __global const C *h0, __global C *hs, const long from,
#elif defined(RUN)
                       __global C *h_even, __global C *h_odd, const long from,
#else
                       __global const C *hp, __global C *hn, const long step,
#endif
                       const long S, const long B, const long H, const long row_t, const long row_b, const long dir
#ifdef HAS_Y
                       , __global T *y, const long y_t, const long y_b, const long y_d
#endif
#ifdef HAS_LENS
                       , __global const int *lens
#endif
#if KIND == 2
                       , __global C *c
#endif
#ifdef HAS_CELLS
                       , __global C *cells
#endif
#ifdef HAS_P
                       , __global const T *p
#endif
#ifdef HAS_RB
                       , __global const C *rb, const long rb_offset
#endif
#if PART > 0
                       , __global C *rh
#endif
#ifdef TEAM
                       , __global int *done
#if KIND == 2
                       , __global C *cs
#endif
#endif
) {
#if defined(TEAM)
    const long tiles = (B + MB - 1) / MB, all = (H + W - 1) / W * tiles, state = get_global_size(2) * B * H;
    const long member = get_global_id(1), chunks = get_global_size(1) * PARTS;
#ifdef FENCE
    int patience = PATIENCE;
#endif
    for (long step = from; step < S; step++) {
    __global const C *hp = step ? hs + (S - step) * state : h0;
    __global C *hn = hs + (S - 1 - step) * state;
#if KIND == 2
    __global const C *cp = step ? cs + (S - step) * state : c;
    __global C *cn_at = cs + (S - 1 - step) * state;
#endif
    for (long n_chunk = 0; n_chunk < chunks; n_chunk++) {
    const long chunk = (member * PARTS + n_chunk) % chunks;
#ifdef FENCE
    volatile __global int *flag = done + ((get_global_id(2) * S + step) * chunks + chunk) * APART;
    if (n_chunk >= PARTS && !*flag) {
        int left = patience;
        while (left > 0 && !*flag)
            left--;
        patience = left > 0 ? PATIENCE : patience / 4;
    }
    if (*flag) {
        FENCE;
        continue;
    }
#endif
    for (long q = all * chunk / chunks; q < all * (chunk + 1) / chunks; q++) {
    const long unit = q / tiles, tile = q % tiles;
#elif defined(RUN)
    for (long step = from; step < S; step++)
    for (long at_unit = 0; at_unit * W < H; at_unit++) {
    const long unit = step & 1 ? (H - 1) / W - at_unit : at_unit; /* what was read last is still in the cache */
    __global C *hp = step & 1 ? h_odd : h_even, *hn = step & 1 ? h_even : h_odd;
#endif
#if KIND == 2 && !defined(TEAM)
    __global C *cp = c, *cn_at = c;
#endif
    PLACE
#if PART == 2
    ROWS(rows, rh + d * B * H, H)
#else
    ROWS(rows, hp + d * B * H, H)
#endif
    PRODUCT(acc, NG, rows, r, H)
#pragma unroll
    for (int m = 0; m < MB; m++) {
        const long b = b0 + m;
        if (b >= B)
            break;
        const long at = (d * B + b) * H + j, row = d * S * B + t * row_t + b * row_b;
        __global C *zr = z + row * G * H + j;
#ifdef HAS_LENS
        const int valid = t < lens[b];
#else
        const int valid = 1;
#endif
#if KIND == 0
        const VEC a = acc[m][0] + get(zr, n);
        VEC h = GATE0(a);
#ifdef KEEP
        put(a, zr, n);
#endif
#elif KIND == 1
        const VEC old = get(hp + at, n);
#if PART == 1
        const VEC az = acc[m][0] + get(zr, n), ar = acc[m][1] + get(zr + H, n);
        put(az, zr, n);
        put(ar, zr + H, n);
        put(GATE0(ar) * old, rh + at, n);
        continue;
#else
#if PART == 2
        const VEC az = get(zr, n), ah = acc[m][0] + get(zr + 2 * H, n);
#else
        const VEC az = acc[m][0] + get(zr, n), ar = acc[m][1] + get(zr + H, n);
        VEC q = acc[m][2];
#ifdef HAS_RB
        q += get(rb + rb_offset + d * H + j, n);
#endif
        const VEC ah = fma(GATE0(ar), q, get(zr + 2 * H, n));
#ifdef KEEP
        put(az, zr, n);
        put(ar, zr + H, n);
        put(q, cells + row * H + j, n);
#endif
#endif
#ifdef KEEP
        put(ah, zr + 2 * H, n);
#endif
        const VEC u = GATE0(az), x = GATE1(ah);
        VEC h = fma(u, old - x, x);
#endif
#else
        const VEC c0 = get(cp + at, n);
        VEC ai = acc[m][0] + get(zr, n), ao = acc[m][1] + get(zr + H, n), af = acc[m][2] + get(zr + 2 * H, n);
        const VEC ac = acc[m][3] + get(zr + 3 * H, n);
#ifdef HAS_P
        ai = fma(get_t(p + d * 3 * H + j, n), c0, ai);
        af = fma(get_t(p + d * 3 * H + 2 * H + j, n), c0, af);
#endif
        const VEC i = GATE0(ai);
#ifdef COUPLE
        const VEC f = K(1) - i;
#else
        const VEC f = GATE0(af);
#endif
        VEC cn = fma(f, c0, i * GATE1(ac));
#ifdef HAS_P
        ao = fma(get_t(p + d * 3 * H + H + j, n), cn, ao);
#endif
        VEC h = GATE0(ao) * CALL(F2, cn, 2);
#ifdef KEEP
        put(ai, zr, n);
        put(ao, zr + H, n);
        put(af, zr + 2 * H, n);
        put(ac, zr + 3 * H, n);
        put(cn, cells + row * H + j, n);
#endif
        put(valid ? cn : c0, cn_at + at, n);
#endif
#if PART != 1
#ifdef HAS_Y
        put_t(valid ? h : K(0), y + t * y_t + b * y_b + d * y_d + j, n);
#endif
        if (!valid)
            h = get(hp + at, n);
        put(h, hn + at, n);
#endif
    }
#if defined(TEAM)
    }
#ifdef FENCE
    FENCE;
    atomic_add(flag, 1);
#endif
    }
    }
#elif defined(RUN)
    }
#endif
}
#endif

/* One step back. dr: gradients of the sums as R sees them, of which those of the step after are multiplied with R (depth:
 * how many gates' units, 0 at the last step); e: what else of the gradient comes from there. dz: as W sees them. */
#if !defined(NORNI_ONLY) || defined(K_rec_back)
__kernel void rec_back(__global const C *z, __global C *dz, __global C *dr, __global const C *r, __global C *e,
#ifdef RUN
                       const long last, const long through,
#else
                       const long step, const long depth,
#endif
                       const long S, const long B, const long H, const long row_t,
                       const long row_b, const long dir
#ifdef LAST
                       , __global T *dh0, const long state_b, const long state_d
#else
#ifdef HAS_DY
                       , __global const T *dy, const long y_t, const long y_b, const long y_d
#endif
#ifdef HAS_LENS
                       , __global const int *lens
#endif
#if KIND == 2
                       , __global C *dc
#ifdef HAS_C0
                       , __global const T *c0p, const long state_b, const long state_d
#endif
#endif
#ifdef HAS_CELLS
                       , __global const C *cells
#endif
#ifdef HAS_P
                       , __global const T *p
#endif
#ifdef HAS_DP
                       , __global C *dp
#endif
#if KIND == 1
                       , __global const C *before
#endif
#if PART == 2
                       , __global C *rh
#endif
#ifdef HAS_DB
                       , __global C *db
#endif
#endif
) {
#ifdef RUN
    for (long step = last; step >= 0; step--)
    for (long unit = 0; unit * W < H; unit++) {
    const long depth = step < last ? through : 0;
#endif
    PLACE
#ifdef LAST
    const long later = t;
#else
    const long later = REVERSE >> d & 1 ? t - 1 : t + 1;
#endif
#if PART == 2 /* of a GRU: through the candidate's R to the reset gate */
    ROWS(rows, dz + (d * S * B + t * row_t) * G * H + 2 * H, row_b * G * H)
#else
    ROWS(rows, dr + (d * S * B + later * row_t) * G * H, row_b * G * H)
#endif
    PRODUCT(acc, 1, rows, r, depth)
#ifdef HAS_DB
    VEC sums[G + 1];
    for (int g = 0; g <= G; g++)
        sums[g] = K(0);
#define SUM(g, v) sums[g] += v
#else
#define SUM(g, v)
#endif
#ifdef HAS_DP
    VEC sums_p[3] = {K(0), K(0), K(0)};
#endif
#pragma unroll
    for (int m = 0; m < MB; m++) {
        const long b = b0 + m;
        if (b >= B)
            break;
        const long at = (d * B + b) * H + j;
#ifdef LAST
        put_t(acc[m][0] + get(e + at, n), dh0 + d * state_d + b * state_b + j, n);
#else
        const long row = d * S * B + t * row_t + b * row_b;
        __global const C *zr = z + row * G * H + j;
        __global C *to = dz + row * G * H + j;
#ifdef HAS_LENS
        const int valid = t < lens[b];
#else
        const int valid = 1;
#endif
#if PART == 2
        const VEC ar = get(zr + H, n), u = GATE0(ar), h = get(before + row * H + j, n);
        const VEC da = valid ? acc[m][0] * h * SLOPE0(ar, u) : K(0);
        put(da, to + H, n);
        SUM(1, da);
        put(u * h, rh + row * H + j, n);
        put(get(e + at, n) + (valid ? acc[m][0] * u : K(0)), e + at, n);
#else
        VEC dh = acc[m][0] + get(e + at, n);
        if (!valid) {
            put(dh, e + at, n);
            for (int g = 0; g < G; g++)
                put(K(0), to + g * H, n);
#ifdef LINEAR
            for (int g = 0; g < G; g++)
                put(K(0), dr + row * G * H + g * H + j, n);
#endif
            continue;
        }
#ifdef HAS_DY
        dh += get_t(dy + t * y_t + b * y_b + d * y_d + j, n);
#endif
#if KIND == 0
        const VEC a = get(zr, n), v = GATE0(a), da = dh * SLOPE0(a, v);
        put(da, to, n);
        SUM(0, da);
        put(K(0), e + at, n);
#elif KIND == 1
        const VEC az = get(zr, n), ah = get(zr + 2 * H, n), u = GATE0(az), x = GATE1(ah);
        const VEC h = get(before + row * H + j, n);
        const VEC daz = dh * (h - x) * SLOPE0(az, u), dah = dh * (K(1) - u) * SLOPE1(ah, x);
        put(daz, to, n);
        put(dah, to + 2 * H, n);
        SUM(0, daz);
        SUM(2, dah);
        put(dh * u, e + at, n);
#ifdef LINEAR
        __global C *tr = dr + row * G * H + j;
        const VEC ar = get(zr + H, n), v = GATE0(ar), dar = dah * get(cells + row * H + j, n) * SLOPE0(ar, v);
        put(dar, to + H, n);
        put(daz, tr, n);
        put(dar, tr + H, n);
        put(dah * v, tr + 2 * H, n);
        SUM(1, dar);
        SUM(3, dah * v);
#endif
#else
        const long prev = REVERSE >> d & 1 ? t + 1 : t - 1;
        VEC c0 = K(0);
#ifdef HAS_LENS
        const int inside = prev >= 0 && prev < lens[b];
#else
        const int inside = prev >= 0 && prev < S;
#endif
        if (inside)
            c0 = get(cells + (d * S * B + prev * row_t + b * row_b) * H + j, n);
#ifdef HAS_C0
        else
            c0 = get_t(c0p + d * state_d + b * state_b + j, n);
#endif
        const VEC ai = get(zr, n), ao = get(zr + H, n), ac = get(zr + 3 * H, n), cn = get(cells + row * H + j, n);
        const VEC i = GATE0(ai), o = GATE0(ao), v = GATE1(ac), hc = CALL(F2, cn, 2);
        const VEC dao = dh * hc * SLOPE0(ao, o);
        VEC dcn = fma(dh * o, SLOPE(F2, cn, hc, 2), get(dc + at, n));
#ifdef HAS_P
        __global const T *pd = p + d * 3 * H + j;
        dcn = fma(dao, get_t(pd + H, n), dcn);
#endif
#ifdef COUPLE
        const VEC f = K(1) - i, dai = dcn * (v - c0) * SLOPE0(ai, i), daf = K(0);
#else
        const VEC af = get(zr + 2 * H, n), f = GATE0(af), dai = dcn * v * SLOPE0(ai, i), daf = dcn * c0 * SLOPE0(af, f);
#endif
        const VEC dac = dcn * i * SLOPE1(ac, v);
        VEC back = dcn * f;
#ifdef HAS_P
        back = fma(dai, get_t(pd, n), fma(daf, get_t(pd + 2 * H, n), back));
#endif
#ifdef HAS_DP
        sums_p[0] += dai * c0;
        sums_p[1] += dao * cn;
        sums_p[2] += daf * c0;
#endif
        put(back, dc + at, n);
        put(dai, to, n);
        put(dao, to + H, n);
        put(daf, to + 2 * H, n);
        put(dac, to + 3 * H, n);
        SUM(0, dai);
        SUM(1, dao);
        SUM(2, daf);
        SUM(3, dac);
        put(K(0), e + at, n);
#endif
#endif
#endif
    }
    /* Sums over sequences and steps: each tile of sequences has its own. */
    const long tile = d * ((B + MB - 1) / MB) + b0 / MB;
#ifdef HAS_DB
    for (int g = 0; g <= G; g++) {
        __global C *s = db + (tile * (G + 1) + g) * H + j;
        put(get(s, n) + sums[g], s, n);
    }
#endif
#ifdef HAS_DP
    for (int g = 0; g < 3; g++) {
        __global C *s = dp + (tile * 3 + g) * H + j;
        put(get(s, n) + sums_p[g], s, n);
    }
#endif
#ifdef RUN
    }
#endif
}
#endif

/* The states before each step, [D][S B][H]. Range: (H / W, S B, D). */
#if !defined(NORNI_ONLY) || defined(K_rec_before)
__kernel void rec_before(__global const T *y, __global C *to, const long S, const long B, const long H,
                         const long y_t, const long y_b, const long y_d, const long row_t, const long row_b
#ifdef HAS_H0
                         , __global const T *h0, const long state_b, const long state_d
#endif
#ifdef HAS_LENS
                         , __global const int *lens
#endif
) {
    const long j = get_global_id(0) * W, t = get_global_id(1) / B, b = get_global_id(1) % B, d = get_global_id(2);
    if (j >= H)
        return;
    const long n = H - j, prev = REVERSE >> d & 1 ? t + 1 : t - 1;
    VEC v = K(0);
#ifdef HAS_LENS
    const int inside = prev >= 0 && prev < lens[b];
#else
    const int inside = prev >= 0 && prev < S;
#endif
    if (inside)
        v = get_t(y + prev * y_t + b * y_b + d * y_d + j, n);
#ifdef HAS_H0
    else
        v = get_t(h0 + d * state_d + b * state_b + j, n);
#endif
    put(v, to + (d * S * B + t * row_t + b * row_b) * H + j, n);
}
#endif
