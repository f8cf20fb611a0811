/* SPDX-License-Identifier: Apache-2.0 */
#include "compare.h"
#include "output.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static char *type_text(const norn_tensor *t, char buf[256]) {
    size_t n = (size_t)snprintf(buf, 256, "%s[", norn_dtype_name(norn_tensor_dtype(t)));
    for (int i = 0; i < norn_tensor_rank(t); i++)
        n += (size_t)snprintf(buf + n, 256 - n, "%s%lld", i ? "," : "", (long long)norn_tensor_dims(t)[i]);
    snprintf(buf + n, 256 - n, "]");
    return buf;
}

static bool wide_integer(norn_dtype t) {
    return t == NORN_I64 || t == NORN_U64;
}

/* 64-bit integers beyond 2^53 are not doubles: equal bits count first. */
static bool same_bits(const norn_tensor *a, const norn_tensor *b) {
    const void *x = norn_tensor_data(a), *y = norn_tensor_data(b);
    return x && y && norn_tensor_dtype(a) == norn_tensor_dtype(b) &&
           (norn_tensor_bytes(a) == 0 || !memcmp(x, y, norn_tensor_bytes(a)));
}

char *compare_tensors(const norn_tensor *got, const norn_tensor *want, const tolerance *t,
                      double *max_error) {
    char a[256], b[256];
    int rank = norn_tensor_rank(want);
    norn_dtype type = norn_tensor_dtype(want);
    if ((!t->any_type && norn_tensor_dtype(got) != type) || norn_tensor_rank(got) != rank ||
        (rank && memcmp(norn_tensor_dims(got), norn_tensor_dims(want), (size_t)rank * sizeof(int64_t)) != 0))
        return text_of("got %s (wanted %s)", type_text(got, a), type_text(want, b));
    if (same_bits(got, want))
        return NULL;
    int64_t n = norn_tensor_elems(want), bad = 0, worst_at = -1;
    double worst = -1;
    bool exact = wide_integer(type);
    double rtol = t->rtol;
    if (t->by_default && type == NORN_BF16 && rtol < 0x1p-6)
        rtol = 0x1p-6;
    for (int64_t i = 0; i < n; i++) {
        double g = norn_tensor_get(got, i), w = norn_tensor_get(want, i);
        if (exact && wide_integer(norn_tensor_dtype(got)) &&
            ((const int64_t *)norn_tensor_data(got))[i] == ((const int64_t *)norn_tensor_data(want))[i])
            continue;
        if (g == w || (isnan(g) && isnan(w)))
            continue;
        double d = fabs(g - w);
        if (d > *max_error || isnan(d) || isnan(*max_error))
            *max_error = isnan(d) ? INFINITY : d;
        if (!isinf(g) && !isinf(w) && d <= t->atol + rtol * fabs(w))
            continue;
        bad++;
        if (worst_at < 0 || d > worst || (isnan(d) && !isnan(worst))) {
            worst = d;
            worst_at = i;
        }
    }
    if (!bad)
        return NULL;
    return text_of("%lld of %lld elements are wrong, worst element %lld: got %.9g (wanted %.9g)",
                   (long long)bad, (long long)n, (long long)worst_at, norn_tensor_get(got, worst_at),
                   norn_tensor_get(want, worst_at));
}

char *tolerance_read(const cJSON *meta, const char *key, tolerance *out) {
    const cJSON *given = cJSON_GetObjectItemCaseSensitive(meta, key);
    const struct {
        const char *name;
        double *to;
    } parts[] = {{"rtol", &out->rtol}, {"atol", &out->atol}};
    if (given && !cJSON_IsObject(given))
        return text_of("'%s' is no object (wanted rtol and atol)", key);
    for (int i = 0; i < 2; i++) {
        const cJSON *v = cJSON_GetObjectItemCaseSensitive(given, parts[i].name);
        if (v && !(cJSON_IsNumber(v) && v->valuedouble >= 0))
            return text_of("'%s' of '%s' is no number from 0 up", parts[i].name, key);
        if (v)
            *parts[i].to = v->valuedouble;
        if (v && parts[i].to == &out->rtol)
            out->by_default = false;
    }
    return NULL;
}
