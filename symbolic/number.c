/* SPDX-License-Identifier: Apache-2.0 */
#include "symbolic/number.h"
#include <math.h>
#include <string.h>

static int64_t gcd(int64_t a, int64_t b) {
    a = a < 0 ? -a : a;
    b = b < 0 ? -b : b;
    while (b) {
        int64_t t = a % b;
        a = b;
        b = t;
    }
    return a;
}

static norni_num inexact(double d) {
    return (norni_num){.d = d};
}

static norni_num ratio(int64_t p, int64_t q, bool decimal) {
    if (p == INT64_MIN || q == INT64_MIN)
        return inexact((double)p / (double)q);
    int64_t g = gcd(p, q);
    if (q < 0)
        g = -g;
    return (norni_num){.exact = true, .decimal = decimal, .p = p / g, .q = q / g};
}

norni_num norni_num_int(int64_t p) {
    return ratio(p, 1, false);
}

norni_num norni_num_ratio(int64_t p, int64_t q) {
    return ratio(p, q, false);
}

norni_num norni_num_double(double v, bool single) {
    double whole, scaled = v;
    int64_t q = 1;
    if (!isfinite(v) || fabs(v) >= 9e15)
        return inexact(v);
    if (v == 0) /* 0 and -0 */
        return norni_num_int(0);
    for (int k = 0; k <= 10; k++, scaled *= 2, q *= 2)
        if (modf(scaled, &whole) == 0 && fabs(scaled) < 9e15)
            return ratio((int64_t)scaled, q, q > 64);
    norni_str s = {0};
    if (single)
        norni_str_add_float(&s, (float)v);
    else
        norni_str_add_double(&s, v);
    const char *t = s.s ? s.s : "x";
    bool neg = *t == '-', ok = true, point = false;
    int64_t p = 0;
    int digits = 0, places = 0;
    for (t += neg; *t && ok; t++)
        if (*t == '.')
            point = true;
        else if (*t >= '0' && *t <= '9') {
            p = p * 10 + (*t - '0');
            digits += p != 0;
            places += point;
            ok = digits <= 15;
        } else if (*t == 'e') {
            places -= (int)norni_strtod(t + 1, NULL);
            break;
        } else
            ok = false;
    norni_str_free(&s);
    if (!ok || places < 0 || places > 15)
        return inexact(v);
    for (q = 1; places > 0; places--)
        q *= 10;
    return ratio(neg ? -p : p, q, true);
}

double norni_num_value(norni_num a) {
    return a.exact ? (double)a.p / (double)a.q : a.d;
}

norni_num norni_num_add(norni_num a, norni_num b) {
    int64_t x, y, p, q;
    if (a.exact && b.exact && !__builtin_mul_overflow(a.p, b.q, &x) &&
        !__builtin_mul_overflow(b.p, a.q, &y) && !__builtin_add_overflow(x, y, &p) &&
        !__builtin_mul_overflow(a.q, b.q, &q))
        return ratio(p, q, a.decimal || b.decimal);
    return inexact(norni_num_value(a) + norni_num_value(b));
}

norni_num norni_num_mul(norni_num a, norni_num b) {
    int64_t p, q;
    if (a.exact && b.exact) {
        int64_t g = a.p ? gcd(a.p, b.q) : 1, h = b.p ? gcd(b.p, a.q) : 1;
        if (!__builtin_mul_overflow(a.p / g, b.p / h, &p) && !__builtin_mul_overflow(a.q / h, b.q / g, &q))
            return ratio(p, q, a.decimal || b.decimal);
    }
    return inexact(norni_num_value(a) * norni_num_value(b));
}

norni_num norni_num_div(norni_num a, norni_num b) {
    if (b.exact && b.p)
        return norni_num_mul(a, ratio(b.q, b.p, b.decimal));
    return inexact(norni_num_value(a) / norni_num_value(b));
}

norni_num norni_num_neg(norni_num a) {
    if (a.exact)
        a.p = -a.p;
    else
        a.d = -a.d;
    return a;
}

bool norni_num_pow(norni_num a, int64_t b, norni_num *out) {
    norni_num r = norni_num_int(1);
    if (!a.exact || b > 64 || b < -64 || (b < 0 && !a.p))
        return false;
    for (int64_t i = b < 0 ? -b : b; i > 0 && r.exact; i--)
        r = norni_num_mul(r, a);
    *out = b < 0 ? norni_num_div(norni_num_int(1), r) : r;
    return r.exact && out->exact;
}

static bool whole_root(int64_t v, int64_t n, int64_t *out) {
    int64_t r = (int64_t)llround(pow((double)v, 1 / (double)n)), p = 1;
    for (int64_t i = 0; i < n; i++)
        if (__builtin_mul_overflow(p, r, &p))
            return false;
    *out = r;
    return p == v;
}

bool norni_num_root(norni_num a, int64_t n, norni_num *out) {
    int64_t p, q;
    if (!a.exact || a.p < 0 || n < 1 || n > 64 || !whole_root(a.p, n, &p) || !whole_root(a.q, n, &q))
        return false;
    *out = ratio(p, q, a.decimal);
    return true;
}

bool norni_num_is(norni_num a, int64_t v) {
    return a.exact ? a.q == 1 && a.p == v : a.d == (double)v;
}

bool norni_num_equal(norni_num a, norni_num b) {
    return a.exact && b.exact ? a.p == b.p && a.q == b.q
                              : a.exact == b.exact && !memcmp(&a.d, &b.d, sizeof a.d);
}

bool norni_num_whole(norni_num a) {
    return a.exact && a.q == 1;
}

int norni_num_sign(norni_num a) {
    double v = norni_num_value(a);
    return v < 0 ? -1 : v == 0 ? 0 : 1;
}
