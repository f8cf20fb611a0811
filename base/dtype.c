/* SPDX-License-Identifier: Apache-2.0 */
#include "base/dtype.h"
#include "base/half.h"
#include <math.h>
#include <string.h>

static const struct {
    const char *name;
    int bits;
    norni_class cls;
} info[] = {
    [NORN_UNDEFINED] = {"undefined", 0, NORNI_CLASS_NONE},
    [NORN_F32] = {"float", 32, NORNI_CLASS_FLOAT},
    [NORN_U8] = {"uint8", 8, NORNI_CLASS_UINT},
    [NORN_I8] = {"int8", 8, NORNI_CLASS_INT},
    [NORN_U16] = {"uint16", 16, NORNI_CLASS_UINT},
    [NORN_I16] = {"int16", 16, NORNI_CLASS_INT},
    [NORN_I32] = {"int32", 32, NORNI_CLASS_INT},
    [NORN_I64] = {"int64", 64, NORNI_CLASS_INT},
    [NORN_STRING] = {"string", 0, NORNI_CLASS_NONE},
    [NORN_BOOL] = {"bool", 8, NORNI_CLASS_BOOL},
    [NORN_F16] = {"float16", 16, NORNI_CLASS_FLOAT},
    [NORN_F64] = {"double", 64, NORNI_CLASS_FLOAT},
    [NORN_U32] = {"uint32", 32, NORNI_CLASS_UINT},
    [NORN_U64] = {"uint64", 64, NORNI_CLASS_UINT},
    [NORN_C64] = {"complex64", 64, NORNI_CLASS_NONE},
    [NORN_C128] = {"complex128", 128, NORNI_CLASS_NONE},
    [NORN_BF16] = {"bfloat16", 16, NORNI_CLASS_FLOAT},
    [NORN_F8E4M3FN] = {"float8e4m3fn", 8, NORNI_CLASS_FLOAT},
    [NORN_F8E4M3FNUZ] = {"float8e4m3fnuz", 8, NORNI_CLASS_FLOAT},
    [NORN_F8E5M2] = {"float8e5m2", 8, NORNI_CLASS_FLOAT},
    [NORN_F8E5M2FNUZ] = {"float8e5m2fnuz", 8, NORNI_CLASS_FLOAT},
    [NORN_U4] = {"uint4", 4, NORNI_CLASS_UINT},
    [NORN_I4] = {"int4", 4, NORNI_CLASS_INT},
    [NORN_F4E2M1] = {"float4e2m1", 4, NORNI_CLASS_FLOAT},
    [NORN_F8E8M0] = {"float8e8m0", 8, NORNI_CLASS_FLOAT},
    [NORN_U2] = {"uint2", 2, NORNI_CLASS_UINT},
    [NORN_I2] = {"int2", 2, NORNI_CLASS_INT},
};
enum { N_DTYPES = sizeof info / sizeof *info };

bool norni_dtype_valid(int t) {
    return t > 0 && t < N_DTYPES && info[t].name;
}
norni_class norni_dtype_class(norn_dtype t) {
    return info[t].cls;
}
int norni_dtype_bits(norn_dtype t) {
    return info[t].bits;
}
bool norni_dtype_is_float(norn_dtype t) {
    return info[t].cls == NORNI_CLASS_FLOAT;
}
bool norni_dtype_is_int(norn_dtype t) {
    return info[t].cls == NORNI_CLASS_INT || info[t].cls == NORNI_CLASS_UINT;
}
const char *norni_dtype_name(norn_dtype t) {
    return (int)t >= 0 && (int)t < N_DTYPES && info[t].name ? info[t].name : "undefined";
}
const char *norn_dtype_name(norn_dtype t) {
    return norni_dtype_name(t);
}

size_t norni_dtype_bytes(norn_dtype t, int64_t n) {
    uint64_t bits = (uint64_t)info[t].bits;
    if (n < 0 || (bits && (uint64_t)n > (SIZE_MAX - 7) / bits))
        return SIZE_MAX;
    return (size_t)(((uint64_t)n * bits + 7) / 8);
}

size_t norn_dtype_bytes(norn_dtype t, int64_t elems) {
    return norni_dtype_valid((int)t) ? norni_dtype_bytes(t, elems) : 0;
}

norn_dtype norni_dtype_parse(const char *name, size_t n) {
    for (int t = 1; t < N_DTYPES; t++)
        if (info[t].name && strlen(info[t].name) == n && !memcmp(info[t].name, name, n))
            return (norn_dtype)t;
    return NORN_UNDEFINED;
}

int64_t norni_double_to_int(double v) {
    if (isnan(v))
        return 0;
    if (v >= 0x1p63)
        return INT64_MAX;
    return v <= -0x1p63 ? INT64_MIN : (int64_t)v;
}

static unsigned sub_byte(const void *data, int64_t i, int bits) {
    const unsigned char *p = data;
    int per = 8 / bits;
    return (p[i / per] >> (i % per * bits)) & ((1u << bits) - 1);
}

static void set_sub_byte(void *data, int64_t i, int bits, unsigned v) {
    unsigned char *p = (unsigned char *)data + i / (8 / bits);
    unsigned shift = (unsigned)(i % (8 / bits) * bits), mask = (1u << bits) - 1;
    *p = (unsigned char)((*p & ~(mask << shift)) | (v & mask) << shift);
}

static const norni_minifloat *minifloat(norn_dtype t) {
    switch (t) {
    case NORN_F8E4M3FN:
        return &norni_f8e4m3fn;
    case NORN_F8E4M3FNUZ:
        return &norni_f8e4m3fnuz;
    case NORN_F8E5M2:
        return &norni_f8e5m2;
    case NORN_F8E5M2FNUZ:
        return &norni_f8e5m2fnuz;
    default:
        return &norni_f4e2m1;
    }
}

double norni_get_double(norn_dtype t, const void *data, int64_t i) {
    switch (t) {
    case NORN_F32:
        return (double)((const float *)data)[i];
    case NORN_F64:
        return ((const double *)data)[i];
    case NORN_F16:
        return norni_f16_to(((const uint16_t *)data)[i]);
    case NORN_BF16:
        return norni_bf16_to(((const uint16_t *)data)[i]);
    case NORN_F8E4M3FN:
    case NORN_F8E4M3FNUZ:
    case NORN_F8E5M2:
    case NORN_F8E5M2FNUZ:
        return norni_minifloat_to(minifloat(t), ((const uint8_t *)data)[i]);
    case NORN_F4E2M1:
        return norni_minifloat_to(&norni_f4e2m1, (uint8_t)sub_byte(data, i, 4));
    case NORN_F8E8M0:
        return norni_e8m0_to(((const uint8_t *)data)[i]);
    case NORN_U64:
        return (double)((const uint64_t *)data)[i];
    default:
        return (double)norni_get_int(t, data, i);
    }
}

int64_t norni_get_int(norn_dtype t, const void *data, int64_t i) {
    switch (t) {
    case NORN_U8:
    case NORN_BOOL:
        return ((const uint8_t *)data)[i];
    case NORN_I8:
        return ((const int8_t *)data)[i];
    case NORN_U16:
        return ((const uint16_t *)data)[i];
    case NORN_I16:
        return ((const int16_t *)data)[i];
    case NORN_I32:
        return ((const int32_t *)data)[i];
    case NORN_U32:
        return ((const uint32_t *)data)[i];
    case NORN_I64:
    case NORN_U64:
        return ((const int64_t *)data)[i];
    case NORN_U4:
    case NORN_U2:
        return sub_byte(data, i, norni_dtype_bits(t));
    case NORN_I4:
    case NORN_I2: {
        int bits = norni_dtype_bits(t), v = (int)sub_byte(data, i, bits);
        return v >= 1 << (bits - 1) ? v - (1 << bits) : v;
    }
    case NORN_UNDEFINED:
    case NORN_STRING:
    case NORN_C64:
    case NORN_C128:
        return 0;
    default:
        return norni_double_to_int(norni_get_double(t, data, i));
    }
}

void norni_set_double(norn_dtype t, void *data, int64_t i, double v) {
    switch (t) {
    case NORN_F32:
        ((float *)data)[i] = (float)v;
        break;
    case NORN_F64:
        ((double *)data)[i] = v;
        break;
    case NORN_F16:
        ((uint16_t *)data)[i] = norni_f16_from(v);
        break;
    case NORN_BF16:
        ((uint16_t *)data)[i] = norni_bf16_from(v);
        break;
    case NORN_F8E4M3FN:
    case NORN_F8E4M3FNUZ:
    case NORN_F8E5M2:
    case NORN_F8E5M2FNUZ:
        ((uint8_t *)data)[i] = norni_minifloat_from(minifloat(t), v, 1);
        break;
    case NORN_F4E2M1:
        set_sub_byte(data, i, 4, norni_minifloat_from(&norni_f4e2m1, v, 1));
        break;
    case NORN_F8E8M0:
        ((uint8_t *)data)[i] = norni_e8m0_from(v);
        break;
    case NORN_BOOL:
        ((uint8_t *)data)[i] = v != 0;
        break;
    case NORN_U64:
        ((uint64_t *)data)[i] = v >= 0x1p63 && v < 0x1p64 ? (uint64_t)v : (uint64_t)norni_double_to_int(v);
        break;
    default:
        norni_set_int(t, data, i, norni_double_to_int(v));
    }
}

void norni_set_int(norn_dtype t, void *data, int64_t i, int64_t v) {
    switch (t) {
    case NORN_U8:
    case NORN_I8:
        ((uint8_t *)data)[i] = (uint8_t)v;
        break;
    case NORN_BOOL:
        ((uint8_t *)data)[i] = v != 0;
        break;
    case NORN_U16:
    case NORN_I16:
        ((uint16_t *)data)[i] = (uint16_t)v;
        break;
    case NORN_I32:
    case NORN_U32:
        ((uint32_t *)data)[i] = (uint32_t)v;
        break;
    case NORN_I64:
    case NORN_U64:
        ((int64_t *)data)[i] = v;
        break;
    case NORN_U4:
    case NORN_I4:
    case NORN_U2:
    case NORN_I2:
        set_sub_byte(data, i, norni_dtype_bits(t), (unsigned)v);
        break;
    case NORN_UNDEFINED:
    case NORN_STRING:
    case NORN_C64:
    case NORN_C128:
        break;
    default:
        norni_set_double(t, data, i, (double)v);
    }
}
