/* SPDX-License-Identifier: Apache-2.0 */
/* A string builder. Out of memory is sticky: check `failed` once, at the end. */
#ifndef NORNI_STR_H
#define NORNI_STR_H
#include "base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    char *s; /* always terminated once something was added; NULL before */
    size_t n, cap;
    bool failed;
} norni_str;

void norni_str_add(norni_str *b, const char *s);
void norni_str_addn(norni_str *b, const char *s, size_t n);
void norni_str_addf(norni_str *b, const char *fmt, ...) NORNI_PRINTF(2, 3);
/* The shortest decimal that reads back as the same float or double; inf, -inf and nan by name. */
void norni_str_add_float(norni_str *b, float v);
void norni_str_add_double(norni_str *b, double v);
/* strtod that always reads a decimal point, whatever the locale. */
double norni_strtod(const char *s, char **end);
void norni_str_free(norni_str *b);
/* Hands the text over (never NULL unless out of memory); the builder is empty afterwards. */
char *norni_str_take(norni_str *b);

#endif
