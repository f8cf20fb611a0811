/* SPDX-License-Identifier: Apache-2.0 */
/* Linear attention: see ops/linear_attention.c. A work-item keeps W neighbouring columns of the state of one key head, and goes
 * through the tokens.
 *
 *   -DW=1   columns      -DDK  room for d_k rows      -DSTATE_F32, -DSTATE_F16, -DSTATE_BF16  of states where T is another
 *   -DPAST, -DDECAY, -DBETA, -DOUTPUT, -DPRESENT      these are there */
#ifndef W
#define W 1
#endif
#if W > 1
#define VEC CV(W)
#else
#define VEC C
#undef LDV
#undef STV
#define LDV(w, p, i) LD(p, i)
#define STV(w, p, i, v) ST(p, i, v)
#endif
#if defined(STATE_F32)
#define S float
#define LDS1(p, i) (p)[i]
#define STS1(p, i, v) ((p)[i] = (v))
#elif defined(STATE_F16)
#define S ushort
#define LDS1(p, i) vload_half((size_t)(i), (const __global half *)(p))
#define STS1(p, i, v) vstore_half_rte((v), (size_t)(i), (__global half *)(p))
#elif defined(STATE_BF16)
#define S ushort
#define LDS1(p, i) norni_bf16_ld((p)[i])
#define STS1(p, i, v) ((p)[i] = norni_bf16_st(v))
#else
#define S T
#define LDS1(p, i) LD(p, i)
#define STS1(p, i, v) ST(p, i, v)
#endif
/* States are read and written once. */
static inline VEC load_state(__global const S *p) {
    C v[W];
    for (int i = 0; i < W; i++)
        v[i] = LDS1(p, i);
#if W > 1
    return NORNI_CAT(vload, W)(0, v);
#else
    return v[0];
#endif
}
static inline void store_state(__global S *p, VEC s) {
    C v[W];
#if W > 1
    NORNI_CAT(vstore, W)(s, 0, v);
#else
    v[0] = s;
#endif
    for (int i = 0; i < W; i++)
        STS1(p, i, v[i]);
}
#ifdef PAST
#define PAST_ARG , __global const S *past
#else
#define PAST_ARG
#endif
#ifdef DECAY
#define DECAY_ARG , __global const T *decay
#else
#define DECAY_ARG
#endif
#ifdef BETA
#define BETA_ARG , __global const T *beta
#else
#define BETA_ARG
#endif
#ifdef OUTPUT
#define OUTPUT_ARG , __global T *y
#else
#define OUTPUT_ARG
#endif
#ifdef PRESENT
#define PRESENT_ARG , __global S *present
#else
#define PRESENT_ARG
#endif

__kernel void linear_attention(__global const T *query, __global const T *key,
                               __global const T *value PAST_ARG DECAY_ARG BETA_ARG OUTPUT_ARG PRESENT_ARG,
                               const long batch, const long tokens, const long heads, const long groups, const long dk,
                               const long dv, const long decays, const long betas, const float scale) {
    const long bg = get_global_id(1), b = bg / groups, g = bg % groups, share = heads / groups;
    long j = get_global_id(0) * W;
    if (j >= dv || b >= batch)
        return;
#if W > 1
    if (j + W > dv)
        j = dv - W; /* the last ones anew */
#endif
    VEC s[DK];
    for (long d = 0; d < dk; d++)
#ifdef PAST
        s[d] = load_state(past + (bg * dk + d) * dv + j);
#else
        s[d] = (VEC)(0);
#endif
    for (long t = 0; t < tokens; t++) {
        const long row = b * tokens + t;
        __global const T *k = key + (row * groups + g) * dk;
        VEC v = LDV(W, value, (row * groups + g) * dv + j);
#ifdef DECAY
        if (decays == groups) {
            const C e = exp((C)LD(decay, row * groups + g));
            for (long d = 0; d < dk; d++)
                s[d] *= e;
        } else
            for (long d = 0; d < dk; d++)
                s[d] *= exp((C)LD(decay, (row * groups + g) * dk + d));
#endif
#ifdef BETA
        VEC seen = (VEC)(0);
        for (long d = 0; d < dk; d++)
            seen = fma(s[d], (VEC)(LD(k, d)), seen);
        v = (v - seen) * (C)LD(beta, row * betas + (betas == 1 ? 0 : g));
#endif
        for (long d = 0; d < dk; d++)
            s[d] = fma((VEC)(LD(k, d)), v, s[d]);
#ifdef OUTPUT
        for (long h = g * share; h < (g + 1) * share; h++) {
            __global const T *q = query + (row * heads + h) * dk;
            VEC o = (VEC)(0);
            for (long d = 0; d < dk; d++)
                o = fma((VEC)(LD(q, d)), s[d], o);
            STV(W, y, (row * heads + h) * dv + j, o * scale);
        }
#endif
    }
#ifdef PRESENT
    for (long d = 0; d < dk; d++)
        store_state(present + (bg * dk + d) * dv + j, s[d]);
#endif
}
