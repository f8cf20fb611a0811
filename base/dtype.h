/* SPDX-License-Identifier: Apache-2.0 */
/* Element types: storage, names, and reading and writing one element as double or 64-bit integer. */
#ifndef NORNI_DTYPE_H
#define NORNI_DTYPE_H
#include "base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
    NORNI_CLASS_NONE,
    NORNI_CLASS_FLOAT,
    NORNI_CLASS_INT,
    NORNI_CLASS_UINT,
    NORNI_CLASS_BOOL
} norni_class;

/* False for numbers outside the enumeration, and for NORN_UNDEFINED. */
bool norni_dtype_valid(int dtype);
norni_class norni_dtype_class(norn_dtype t);
/* Storage bits of one element; 0 for strings. */
int norni_dtype_bits(norn_dtype t);
bool norni_dtype_is_float(norn_dtype t);
/* Integers, signed or not, and bool excluded. */
bool norni_dtype_is_int(norn_dtype t);
/* Bytes that n packed elements take; SIZE_MAX on overflow. */
size_t norni_dtype_bytes(norn_dtype t, int64_t n);
/* The name in ONNX's textual syntax ("float", "int64", "bfloat16"); "undefined" for no type. */
const char *norni_dtype_name(norn_dtype t);
norn_dtype norni_dtype_parse(const char *name, size_t n);

/* One bit for a type, so that a set of types is a word. */
typedef uint32_t norni_types;
#define NORNI_T(t) ((norni_types)1 << (t))

/* Element i of packed storage. get_int truncates floats; set rounds to nearest even for floats and wraps
 * integers. */
double norni_get_double(norn_dtype t, const void *data, int64_t i);
int64_t norni_get_int(norn_dtype t, const void *data, int64_t i);
void norni_set_double(norn_dtype t, void *data, int64_t i, double v);
void norni_set_int(norn_dtype t, void *data, int64_t i, int64_t v);
/* A double to a 64-bit integer, truncating; NaN is 0 and what is out of range becomes the nearest end. */
int64_t norni_double_to_int(double v);

#endif
