/* SPDX-License-Identifier: Apache-2.0 */
/* Put before every kernel. Element types: T is how an element is stored, C what is computed in.
 *   -DT_F32 (default) T_F64 T_F16 T_BF16 T_I8 T_U8 T_BOOL T_I16 T_U16 T_I32 T_U32 T_I64 T_U64
 *   LD(p, i), ST(p, i, v)        element i of `const __global T *p`
 *   LDV(w, p, i), STV(w, p, i, v) elements i .. i + w - 1 as a vector of w = 2, 4, 8, 16 (no alignment needed)
 *   CV(w)                        the vector type of C
 *   NORNI_V                      width for which the vector forms of the helper functions are made (default 1: none)
 *   NORNI_ONLY, K_name           set by norn: of a file's kernels only those that are launched are compiled; each stands
 *                                between "#if !defined(NORNI_ONLY) || defined(K_name)" and "#endif"
 * 16-bit floats are computed in float. */
#if defined(T_F64) || defined(NORNI_F64)
#pragma OPENCL EXTENSION cl_khr_fp64 : enable
#endif
#define NORNI_CAT2(a, b) a##b
#define NORNI_CAT(a, b) NORNI_CAT2(a, b)

/* bfloat16: the upper half of a float, rounded to nearest even; NaN stays NaN. */
static inline float norni_bf16_ld(ushort h) { return as_float((uint)h << 16); }
static inline ushort norni_bf16_st(float f) {
    uint u = as_uint(f);
    return isnan(f) ? (ushort)0x7fc0 : (ushort)((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}
#define NORNI_BF16_V(w)                                                                                      \
    static inline float##w norni_bf16_ld##w(const __global ushort *p) {                                      \
        return as_float##w(convert_uint##w(vload##w(0, p)) << (uint##w)(16u));                                \
    }                                                                                                        \
    static inline void norni_bf16_st##w(float##w f, __global ushort *p) {                                    \
        uint##w u = as_uint##w(f);                                                                           \
        u = select((u + (uint##w)(0x7fffu) + ((u >> (uint##w)(16u)) & (uint##w)(1u))) >> (uint##w)(16u),      \
                   (uint##w)(0x7fc0u), isnan(f));                                                            \
        vstore##w(convert_ushort##w(u), 0, p);                                                               \
    }
NORNI_BF16_V(2) NORNI_BF16_V(4) NORNI_BF16_V(8) NORNI_BF16_V(16)

#if defined(T_F64)
typedef double T;
#define C double
#define NORNI_REAL 1
#elif defined(T_F16)
typedef ushort T;
#define C float
#define NORNI_REAL 1
#define LD(p, i) vload_half((size_t)(i), (const __global half *)(p))
#define ST(p, i, v) vstore_half_rte((v), (size_t)(i), (__global half *)(p))
#define LDV(w, p, i) NORNI_CAT(vload_half, w)(0, (const __global half *)((p) + (i)))
#define STV(w, p, i, v) NORNI_CAT(NORNI_CAT(vstore_half, w), _rte)((v), 0, (__global half *)((p) + (i)))
#elif defined(T_BF16)
typedef ushort T;
#define C float
#define NORNI_REAL 1
#define LD(p, i) norni_bf16_ld((p)[i])
#define ST(p, i, v) ((p)[i] = norni_bf16_st(v))
#define LDV(w, p, i) NORNI_CAT(norni_bf16_ld, w)((p) + (i))
#define STV(w, p, i, v) NORNI_CAT(norni_bf16_st, w)((v), (p) + (i))
#elif defined(T_I8)
typedef char T;
#define C char
#elif defined(T_U8) || defined(T_BOOL)
typedef uchar T;
#define C uchar
#elif defined(T_I16)
typedef short T;
#define C short
#elif defined(T_U16)
typedef ushort T;
#define C ushort
#elif defined(T_I32)
typedef int T;
#define C int
#elif defined(T_U32)
typedef uint T;
#define C uint
#elif defined(T_I64)
typedef long T;
#define C long
#elif defined(T_U64)
typedef ulong T;
#define C ulong
#else
typedef float T;
#define C float
#define NORNI_REAL 1
#endif
#ifndef LD
#define LD(p, i) ((p)[i])
#define ST(p, i, v) ((p)[i] = (v))
#define LDV(w, p, i) NORNI_CAT(vload, w)(0, (p) + (i))
#define STV(w, p, i, v) NORNI_CAT(vstore, w)((v), 0, (p) + (i))
#endif
#define CV(w) NORNI_CAT(C, w)

/* With -DNORNI_PHILOX=<stream>: block i of the random words of a node in a run (base/philox.h). NORNI_RANDOM_ARGS stands
 * in the kernel's parameters, NORNI_RANDOM(i) gives the block. */
#ifdef NORNI_PHILOX
static inline uint4 norni_philox(const uint i, const uint run, const uint stream, uint k0, uint k1) {
    uint4 c = (uint4)(i, run, stream, NORNI_PHILOX);
    for (int round = 0; round < 10; round++) {
        const uint h0 = mul_hi(0xD2511F53u, c.x), l0 = 0xD2511F53u * c.x, h1 = mul_hi(0xCD9E8D57u, c.z),
                   l1 = 0xCD9E8D57u * c.z;
        c = (uint4)(h1 ^ c.y ^ k0, l1, h0 ^ c.w ^ k1, l0);
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return c;
}
#define NORNI_RANDOM_ARGS const int norni_k0, const int norni_k1, const int norni_run, const int norni_stream
#define NORNI_RANDOM(i)                                                                                      \
    norni_philox((uint)(i), as_uint(norni_run), as_uint(norni_stream), as_uint(norni_k0), as_uint(norni_k1))
#endif

/* NORNI_EPI_OPS: about how many operations the epilogue has. Kernels that would write it out many times put it into a loop
 * instead, which NORNI_NO_UNROLL keeps one: it is the size of the code that decides how long a first start takes. */
#ifndef NORNI_EPI
#define NORNI_EPI_ARGS
#define NORNI_EPI(w, acc, i, c) (acc)
#define NORNI_EPI_OPS 0
#endif
#ifdef __clang__
#define NORNI_NO_UNROLL _Pragma("nounroll")
#else
#define NORNI_NO_UNROLL
#endif
#ifndef NORNI_EPI_T
#define NORNI_EPI_T T
#define NORNI_EPI_ST(w, p, i, v) NORNI_CAT(NORNI_STORE, w)(p, i, v)
#define NORNI_STORE1(p, i, v) ST(p, i, v)
#define NORNI_STORE2(p, i, v) STV(2, p, i, v)
#define NORNI_STORE4(p, i, v) STV(4, p, i, v)
#define NORNI_STORE8(p, i, v) STV(8, p, i, v)
#define NORNI_STORE16(p, i, v) STV(16, p, i, v)
#endif

/* e^x for float types F (of I, integers as wide), by range reduction and a polynomial whose relative error is below 4e-9
 * (fitted by weighted least squares): 1 unit in the last place like exp(), and on PoCL several times as fast. Results
 * below 2^-125 are 0. NORNI_EXP_NEG_FLOAT: for x <= 0 (or NaN) only. */
#define NORNI_EXP_PARTS(F, I)                                                                                \
    const F t = fma(x, (F)(1.44269504f), (F)(12582912.0f)), n = t - (F)(12582912.0f); /* rounded */          \
    const F r = fma(n, (F)(2.12194440e-4f), fma(n, (F)(-0.693359375f), x));                                  \
    F p = fma(r, (F)(1.3814602280e-3f), (F)(8.3687156439e-3f));                                              \
    p = fma(p, r, (F)(4.1668388993e-2f));                                                                    \
    p = fma(p, r, (F)(1.6666521132e-1f));                                                                    \
    p = fma(p, r, (F)(4.9999994040e-1f));                                                                    \
    p = fma(p, r * r, r) + (F)(1.0f);
#define NORNI_EXP_FLOAT(name, F, I)                                                                          \
    static inline F name(F x) {                                                                              \
        NORNI_EXP_PARTS(F, I)                                                                                \
        p = p * NORNI_CAT(as_, F)((NORNI_CAT(as_, I)(t) << 23) + (I)(0x3f000000)) * (F)(2.0f);               \
        p = select(p, (F)(0.0f), x < (F)(-86.6f));                                                           \
        return select(p, (F)(INFINITY), x > (F)(88.72283f));                                                 \
    }
#define NORNI_EXP_NEG_FLOAT(name, F, I)                                                                      \
    static inline F name(F x) {                                                                              \
        NORNI_EXP_PARTS(F, I)                                                                                \
        p = p * NORNI_CAT(as_, F)((NORNI_CAT(as_, I)(t) << 23) + (I)(0x3f800000));                           \
        return select(p, (F)(0.0f), x < (F)(-86.6f));                                                        \
    }

/* erf(x), two polynomials of relative errors below 2e-9 (fitted by weighted least squares): x + x p(x^2) up to |x| = 1, and
 * 1 - e^-q(|x|) beyond; from |x| = 4 on it is 1 in float. Takes the name of such a function as NORNI_EXP_NEG_FLOAT makes. */
#define NORNI_ERF_FLOAT(name, F, EXP_NEG)                                                                    \
    static inline F name(F x) {                                                                              \
        const F b = fabs(x), a = select(b, (F)(4.0f), b > (F)(4.0f)), t = x * x;                             \
        F p = fma(t, (F)(7.8540265e-5f), (F)(-8.0102477e-4f));                                               \
        p = fma(p, t, (F)(5.1883345e-3f));                                                                   \
        p = fma(p, t, (F)(-2.6853816e-2f));                                                                  \
        p = fma(p, t, (F)(1.1283585e-1f));                                                                   \
        p = fma(p, t, (F)(-3.7612626e-1f));                                                                  \
        p = fma(p, t, (F)(1.2837917e-1f));                                                                   \
        F q = fma(a, (F)(-1.8638003e-4f), (F)(2.9476663e-3f));                                               \
        q = fma(q, a, (F)(-2.1838095e-2f));                                                                  \
        q = fma(q, a, (F)(1.0310682e-1f));                                                                   \
        q = fma(q, a, (F)(6.3814476e-1f));                                                                   \
        q = fma(q, a, (F)(1.1270892f));                                                                      \
        q = fma(q, a, (F)(3.4151318e-4f));                                                                   \
        return select(fma(x, p, x), copysign((F)(1.0f) - EXP_NEG(-q), x), a > (F)(1.0f));                    \
    }

/* tanh(x) = x p(x^2) / q(x^2), relative error below 2e-9 (fitted by weighted least squares) before rounding, 5 units in the
 * last place with it; from |x| = 9.02 on it is 1 in float, which no result exceeds. */
#define NORNI_TANH_FLOAT(name, F)                                                                            \
    static inline F name(F x) {                                                                              \
        F a = select(x, (F)(9.02f), x > (F)(9.02f)); /* NaN stays */                                         \
        a = select(a, (F)(-9.02f), a < (F)(-9.02f));                                                         \
        const F t = a * a;                                                                                   \
        F p = fma(t, (F)(-1.2205631e-11f), (F)(3.0588158e-08f));                                             \
        p = fma(p, t, (F)(2.8008826e-05f));                                                                  \
        p = fma(p, t, (F)(3.8683971e-03f));                                                                  \
        p = fma(p, t, (F)(1.3679971e-01f));                                                                  \
        p = fma(p, t, (F)(1.0f));                                                                            \
        F q = fma(t, (F)(1.2874601e-06f), (F)(3.9387523e-04f));                                              \
        q = fma(q, t, (F)(2.7246093e-02f));                                                                  \
        q = fma(q, t, (F)(4.7013304e-01f));                                                                  \
        q = fma(q, t, (F)(1.0f));                                                                            \
        const F y = a * p / q;                                                                               \
        const F low = select(y, (F)(-1.0f), y < (F)(-1.0f));                                                 \
        return select(low, (F)(1.0f), low > (F)(1.0f));                                                      \
    }

/* The lanes of a vector joined by OP: NAME2 .. NAME16, and NAME1, which changes nothing. */
#define NORNI_JOIN_LANES(name, F, OP)                                                                        \
    static inline F name##1(F v) { return v; }                                                               \
    static inline F name##2(NORNI_CAT(F, 2) v) { return OP(v.lo, v.hi); }                                    \
    static inline F name##4(NORNI_CAT(F, 4) v) { return name##2(OP(v.lo, v.hi)); }                           \
    static inline F name##8(NORNI_CAT(F, 8) v) { return name##4(OP(v.lo, v.hi)); }                           \
    static inline F name##16(NORNI_CAT(F, 16) v) { return name##8(OP(v.lo, v.hi)); }
#define NORNI_PLUS(a, b) ((a) + (b))
/* Such a join over the WG items of a work-group, the same way each time; every item gets the result. */
#define NORNI_JOIN_ITEMS(name, F, OP)                                                                        \
    static inline F name(__local F *all, const F v) {                                                        \
        const int l = get_local_id(0);                                                                       \
        all[l] = v;                                                                                          \
        barrier(CLK_LOCAL_MEM_FENCE);                                                                        \
        for (int n = WG / 2; n > 0; n /= 2) {                                                                \
            if (l < n)                                                                                       \
                all[l] = OP(all[l], all[l + n]);                                                             \
            barrier(CLK_LOCAL_MEM_FENCE);                                                                    \
        }                                                                                                    \
        const F r = all[0];                                                                                  \
        barrier(CLK_LOCAL_MEM_FENCE);                                                                        \
        return r;                                                                                            \
    }

/* Helpers of generated code, named norni_<what>_<type>. max and min pass NaN on; mod has the divisor's sign. */
#define NORNI_FLOAT1(F)                                                                                      \
    static inline F norni_max_##F(F a, F b) { return a < b || isnan(b) ? b : a; }                            \
    static inline F norni_min_##F(F a, F b) { return a > b || isnan(b) ? b : a; }                            \
    static inline F norni_sign_##F(F a) { return isnan(a) ? a : sign(a); }                                   \
    static inline F norni_sigmoid_##F(F a) { return (F)1 / ((F)1 + norni_exp_##F(-a)); }                     \
    static inline F norni_mod_##F(F a, F b) {                                                                \
        F r = fmod(a, b);                                                                                    \
        return r != 0 && (r < 0) != (b < 0) ? r + b : r;                                                     \
    }
#define NORNI_FLOATV(F)                                                                                      \
    static inline F norni_max_##F(F a, F b) { return select(a, b, (a < b) | isnan(b)); }                     \
    static inline F norni_min_##F(F a, F b) { return select(a, b, (a > b) | isnan(b)); }                     \
    static inline F norni_sign_##F(F a) { return select(sign(a), a, isnan(a)); }                             \
    static inline F norni_sigmoid_##F(F a) { return (F)(1) / ((F)(1) + norni_exp_##F(-a)); }                 \
    static inline F norni_mod_##F(F a, F b) {                                                                \
        F r = fmod(a, b);                                                                                    \
        return select(r, r + b, (r != (F)(0)) & ((r < (F)(0)) ^ (b < (F)(0))));                              \
    }
#define NORNI_FLOAT_FUNCTIONS2(F, I)                                                                         \
    NORNI_EXP_FLOAT(norni_exp_##F, F, I)                                                                     \
    NORNI_EXP_NEG_FLOAT(norni_exp_neg_##F, F, I)                                                             \
    NORNI_ERF_FLOAT(norni_erf_##F, F, norni_exp_neg_##F)                                                     \
    NORNI_TANH_FLOAT(norni_tanh_##F, F)
#define NORNI_FLOAT_FUNCTIONS(F, I) NORNI_FLOAT_FUNCTIONS2(F, I)
#define NORNI_DOUBLE_FUNCTIONS2(F)                                                                           \
    static inline F norni_exp_##F(F a) { return exp(a); }                                                    \
    static inline F norni_erf_##F(F a) { return erf(a); }                                                    \
    static inline F norni_tanh_##F(F a) { return tanh(a); }
#define NORNI_DOUBLE_FUNCTIONS(F) NORNI_DOUBLE_FUNCTIONS2(F)
NORNI_FLOAT_FUNCTIONS(float, int)
NORNI_FLOAT1(float)
#if defined(NORNI_F64) || defined(T_F64)
NORNI_DOUBLE_FUNCTIONS(double)
NORNI_FLOAT1(double)
#endif
#if defined(NORNI_V) && NORNI_V > 1
#define NORNI_FLOATV2(F) NORNI_FLOATV(F)
NORNI_FLOAT_FUNCTIONS(NORNI_CAT(float, NORNI_V), NORNI_CAT(int, NORNI_V))
NORNI_FLOATV2(NORNI_CAT(float, NORNI_V))
#if defined(NORNI_F64)
NORNI_DOUBLE_FUNCTIONS(NORNI_CAT(double, NORNI_V))
NORNI_FLOATV2(NORNI_CAT(double, NORNI_V))
#endif
#endif

#ifdef NORNI_INTS
#define NORNI_INT_COMMON(I, U, BITS)                                                                         \
    static inline I norni_pow_##I(I a, I b) {                                                                \
        if (b < 0)                                                                                           \
            return a == 1 ? 1 : a == (I)-1 ? (b % 2 ? (I)-1 : 1) : 0;                                        \
        U r = 1, x = (U)a;                                                                                   \
        for (; b; b >>= 1, x *= x)                                                                           \
            if (b & 1)                                                                                       \
                r *= x;                                                                                      \
        return (I)r;                                                                                         \
    }                                                                                                        \
    static inline I norni_shl_##I(I a, I b) { return (U)b >= BITS ? (I)0 : (I)((U)a << b); }
#define NORNI_INT(I, U, BITS)                                                                                \
    static inline I norni_div_##I(I a, I b) { return b == 0 ? (I)0 : b == -1 ? (I)(0 - (U)a) : (I)(a / b); } \
    static inline I norni_fmod_##I(I a, I b) { return b == 0 || b == -1 ? (I)0 : (I)(a % b); }               \
    static inline I norni_mod_##I(I a, I b) {                                                                \
        I r = norni_fmod_##I(a, b);                                                                          \
        return r != 0 && (r < 0) != (b < 0) ? (I)(r + b) : r;                                                \
    }                                                                                                        \
    static inline I norni_abs_##I(I a) { return a < 0 ? (I)(0 - (U)a) : a; }                                 \
    static inline I norni_sign_##I(I a) { return (I)((a > 0) - (a < 0)); }                                   \
    static inline I norni_shr_##I(I a, I b) { return (U)b >= BITS ? (I)(a < 0 ? -1 : 0) : (I)(a >> b); }     \
    NORNI_INT_COMMON(I, U, BITS)
#define NORNI_UINT(U, BITS)                                                                                  \
    static inline U norni_div_##U(U a, U b) { return b == 0 ? (U)0 : (U)(a / b); }                           \
    static inline U norni_fmod_##U(U a, U b) { return b == 0 ? (U)0 : (U)(a % b); }                          \
    static inline U norni_mod_##U(U a, U b) { return b == 0 ? (U)0 : (U)(a % b); }                           \
    static inline U norni_abs_##U(U a) { return a; }                                                         \
    static inline U norni_sign_##U(U a) { return (U)(a > 0); }                                               \
    static inline U norni_shr_##U(U a, U b) { return b >= BITS ? (U)0 : (U)(a >> b); }                       \
    NORNI_INT_COMMON(U, U, BITS)
NORNI_INT(char, uchar, 8) NORNI_INT(short, ushort, 16) NORNI_INT(int, uint, 32) NORNI_INT(long, ulong, 64)
NORNI_UINT(uchar, 8) NORNI_UINT(ushort, 16) NORNI_UINT(uint, 32) NORNI_UINT(ulong, 64)
#endif

