/* SPDX-License-Identifier: Apache-2.0 */
/* What RNN, GRU and LSTM need before and after their steps (ops/recurrent.cl). -DG: gates; -DNG of them, in panels of -DP
 * units; -DLINEAR a GRU with linear_before_reset. */
#ifndef G
#define G 4
#endif
#ifndef NG
#define NG G
#endif
#ifndef P
#define P 1
#endif

/* Range: (panels, D, parts of K with 16 rows). */
#if !defined(NORNI_ONLY) || defined(K_rec_pack)
__kernel void rec_pack(__global const T *r, __global C *to, const long H, const long gate0) {
    const long p = get_global_id(0), d = get_global_id(1), k0 = get_global_id(2) * 16, k1 = min(k0 + 16, H);
    r += (d * G + gate0) * H * H;
    to += (d * get_global_size(0) + p) * H * NG * P;
    for (int g = 0; g < NG; g++)
        for (int l = 0; l < P; l++)
            for (long k = k0; k < k1; k++)
                to[(k * NG + g) * P + l] = p * P + l < H ? LD(r, (g * H + p * P + l) * H + k) : (C)0;
}
#endif

/* Range: (panels, D, parts of NG H with 16 rows). */
#if !defined(NORNI_ONLY) || defined(K_rec_pack_t)
__kernel void rec_pack_t(__global const T *r, __global C *to, const long H, const long gate0) {
    const long p = get_global_id(0), d = get_global_id(1), k0 = get_global_id(2) * 16, k1 = min(k0 + 16, NG * H);
    r += (d * G + gate0) * H * H;
    to += (d * get_global_size(0) + p) * H * NG * P;
    for (long k = k0; k < k1; k++)
        for (int l = 0; l < P; l++)
            to[k * P + l] = p * P + l < H ? LD(r, k * H + p * P + l) : (C)0;
}
#endif

/* Bias of the input product, [D][G H]: Wb + Rb, of the candidate with LINEAR Wb alone; its Rb is then [D][H] behind.
 * Range: (G H, D). */
#if !defined(NORNI_ONLY) || defined(K_rec_bias)
__kernel void rec_bias(__global const T *b, __global C *to, const long H) {
    const long i = get_global_id(0), d = get_global_id(1), gh = G * H;
    if (i >= gh)
        return;
    const C wb = LD(b, d * 2 * gh + i), rb = LD(b, d * 2 * gh + gh + i);
#ifdef LINEAR
    to[d * gh + i] = i < 2 * H ? wb + rb : wb;
    if (i >= 2 * H)
        to[get_global_size(1) * gh + d * H + i - 2 * H] = rb;
#else
    to[d * gh + i] = wb + rb;
#endif
}
#endif

/* States from the file's type and layout, and back. Range: (H, B, D). */
#if !defined(NORNI_ONLY) || defined(K_rec_state_in)
__kernel void rec_state_in(__global const T *s, __global C *h, const long H, const long state_b, const long state_d) {
    const long j = get_global_id(0), b = get_global_id(1), d = get_global_id(2);
    if (j < H)
        h[(d * get_global_size(1) + b) * H + j] = LD(s, d * state_d + b * state_b + j);
}
#endif

#if !defined(NORNI_ONLY) || defined(K_rec_state_out)
__kernel void rec_state_out(__global const C *h, __global T *s, const long H, const long state_b, const long state_d) {
    const long j = get_global_id(0), b = get_global_id(1), d = get_global_id(2);
    if (j < H)
        ST(s, d * state_d + b * state_b + j, h[(d * get_global_size(1) + b) * H + j]);
}
#endif

/* dB, dP from the tiles' sums. Range: (G H or 3 H, D). */
#if !defined(NORNI_ONLY) || defined(K_rec_dbias)
__kernel void rec_dbias(__global const C *sums, __global T *db, const long H, const long tiles) {
    const long i = get_global_id(0), d = get_global_id(1), gh = G * H;
    if (i >= gh)
        return;
    C w = 0, r = 0;
    for (long t = 0; t < tiles; t++) {
        __global const C *s = sums + (d * tiles + t) * (G + 1) * H;
        w += s[i];
#ifdef LINEAR
        r += s[i < 2 * H ? i : i + H];
#else
        r += s[i];
#endif
    }
    ST(db, d * 2 * gh + i, w);
    ST(db, d * 2 * gh + gh + i, r);
}
#endif

#if !defined(NORNI_ONLY) || defined(K_rec_dpeep)
__kernel void rec_dpeep(__global const C *sums, __global T *dp, const long H, const long tiles) {
    const long i = get_global_id(0), d = get_global_id(1);
    if (i >= 3 * H)
        return;
    C v = 0;
    for (long t = 0; t < tiles; t++)
        v += sums[(d * tiles + t) * 3 * H + i];
    ST(dp, d * 3 * H + i, v);
}
#endif

/* The columns of src [rows][gh] as panels of MR: dst[panel][row][MR], zeros beyond the last column. An item takes ROWS_EACH
 * rows and PANELS_EACH panels. Range: (parts of the rows, panels / PANELS_EACH, D). */
#if !defined(NORNI_ONLY) || defined(K_rec_panels)
#ifndef MR
#define MR 1
#define ROWS_EACH 1
#define PANELS_EACH 1
#endif
__kernel void rec_panels(__global const C *src, __global C *dst, const long rows, const long gh) {
    const long k0 = get_global_id(0) * ROWS_EACH, k1 = min(k0 + ROWS_EACH, rows), d = get_global_id(2);
    const long panels = (gh + MR - 1) / MR, p0 = get_global_id(1) * PANELS_EACH;
    src += d * rows * gh;
    dst += d * panels * rows * MR;
    for (long p = p0; p < p0 + PANELS_EACH; p++)
        for (long k = k0; k < k1; k++) {
            __global C *to = dst + (p * rows + k) * MR;
            __global const C *from = src + k * gh + p * MR;
            if ((p + 1) * MR <= gh)
                for (int i = 0; i < MR; i++)
                    to[i] = from[i];
            else
                for (int i = 0; i < MR; i++)
                    to[i] = p * MR + i < gh ? from[i] : (C)0;
        }
}
#endif
