/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE /* strtod_l */
#include "base/str.h"
#include "base/alloc.h"
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool room(norni_str *b, size_t extra) {
    if (b->failed || extra > SIZE_MAX / 4 || b->n > SIZE_MAX / 4)
        b->failed = true;
    if (b->failed)
        return false;
    if (b->n + extra + 1 <= b->cap)
        return true;
    size_t cap = b->cap ? b->cap : 64;
    while (cap < b->n + extra + 1)
        cap *= 2;
    char *s = norni_realloc(b->s, cap);
    if (!s) {
        b->failed = true;
        return false;
    }
    b->s = s;
    b->cap = cap;
    return true;
}

void norni_str_addn(norni_str *b, const char *s, size_t n) {
    if (!room(b, n))
        return;
    if (n)
        memcpy(b->s + b->n, s, n);
    b->n += n;
    b->s[b->n] = 0;
}

void norni_str_add(norni_str *b, const char *s) {
    norni_str_addn(b, s, strlen(s));
}

void norni_str_addf(norni_str *b, const char *fmt, ...) {
    va_list ap, ap2;
    va_start(ap, fmt);
    va_copy(ap2, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n >= 0 && room(b, (size_t)n)) {
        vsnprintf(b->s + b->n, (size_t)n + 1, fmt, ap2);
        b->n += (size_t)n;
    }
    va_end(ap2);
}

/* printf writes the decimal sign of the program's locale; every text of ours has a point. */
static void add_number(norni_str *b, char *t) {
    const char *sign = localeconv()->decimal_point;
    char *at = strcmp(sign, ".") ? strstr(t, sign) : NULL;
    if (at) {
        *at = '.';
        memmove(at + 1, at + strlen(sign), strlen(at + strlen(sign)) + 1);
    }
    norni_str_add(b, t);
}

double norni_strtod(const char *s, char **end) {
    static locale_t c_locale;
    locale_t l = c_locale;
    if (!l)
        c_locale = l = newlocale(LC_ALL_MASK, "C", (locale_t)0); /* a race leaks one locale at most */
    return l ? strtod_l(s, end, l) : strtod(s, end);
}

static bool add_special(norni_str *b, double v) {
    if (isnan(v))
        norni_str_add(b, "nan");
    else if (isinf(v))
        norni_str_add(b, v > 0 ? "inf" : "-inf");
    else
        return false;
    return true;
}

void norni_str_add_float(norni_str *b, float v) {
    if (add_special(b, (double)v))
        return;
    char t[48];
    for (int p = 1; p <= 9; p++) {
        snprintf(t, sizeof t, "%.*g", p, (double)v);
        if (strtof(t, NULL) == v)
            break;
    }
    add_number(b, t);
}

void norni_str_add_double(norni_str *b, double v) {
    if (add_special(b, v))
        return;
    char t[48];
    for (int p = 1; p <= 17; p++) {
        snprintf(t, sizeof t, "%.*g", p, v);
        if (strtod(t, NULL) == v)
            break;
    }
    add_number(b, t);
}

void norni_str_free(norni_str *b) {
    norni_free(b->s);
    *b = (norni_str){0};
}

char *norni_str_take(norni_str *b) {
    norni_str_addn(b, "", 0);
    char *s = b->failed ? NULL : b->s;
    if (b->failed)
        norni_free(b->s);
    *b = (norni_str){0};
    return s;
}
