/* SPDX-License-Identifier: Apache-2.0 */
/* A device as "key: value" lines and back. One table drives both, so that they cannot disagree. */
#include "backend/internal.h"
#include "base/str.h"
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { KIND_TEXT, KIND_TYPE, KIND_UINT, KIND_U64, KIND_SIZE, KIND_SIZE3, KIND_YES, KIND_NO, KIND_LOCAL };

typedef struct {
    const char *key;
    int kind;
    size_t offset, size;
} field;
#define FIELD(key, kind, member)                                                                             \
    { key, kind, offsetof(norn_device, member), sizeof(((norn_device *)0)->member) }

static const field fields[] = {
    FIELD("name", KIND_TEXT, name),
    FIELD("vendor", KIND_TEXT, vendor),
    FIELD("driver", KIND_TEXT, driver),
    FIELD("version", KIND_TEXT, version),
    FIELD("platform", KIND_TEXT, platform),
    FIELD("platform-version", KIND_TEXT, platform_version),
    FIELD("type", KIND_TYPE, type),
    FIELD("compute-units", KIND_UINT, compute_units),
    FIELD("clock-mhz", KIND_UINT, clock_mhz),
    FIELD("memory-bytes", KIND_U64, memory_bytes),
    FIELD("max-alloc-bytes", KIND_U64, max_alloc_bytes),
    FIELD("local-bytes", KIND_U64, local_bytes),
    FIELD("local-memory", KIND_LOCAL, local_dedicated),
    FIELD("cache-bytes", KIND_U64, cache_bytes),
    FIELD("cacheline-bytes", KIND_UINT, cacheline_bytes),
    FIELD("base-align-bytes", KIND_SIZE, base_align_bytes),
    FIELD("max-work-group", KIND_SIZE, max_work_group),
    FIELD("max-work-item", KIND_SIZE3, max_work_item),
    FIELD("vector-float", KIND_UINT, vector_float),
    FIELD("fp16", KIND_YES, fp16),
    FIELD("fp64", KIND_YES, fp64),
    FIELD("subgroups", KIND_YES, subgroups),
    FIELD("unified-memory", KIND_YES, unified_memory),
    FIELD("images", KIND_YES, images),
    FIELD("compiler", KIND_NO, no_compiler), /* stored the other way round */
};
enum { N_FIELDS = sizeof fields / sizeof *fields };

static const char *const types[] = {"host", "cpu", "gpu", "accelerator", "other"};

const char *norni_device_type_name(norn_device_type t) {
    return (unsigned)t < sizeof types / sizeof *types ? types[t] : "other";
}

norn_status norn_device_print(const norn_device *d, char **out) {
    *out = NULL;
    norni_str s = {0};
    for (size_t i = 0; i < N_FIELDS; i++) {
        const field *f = &fields[i];
        const void *at = (const char *)d + f->offset;
        norni_str_addf(&s, "%s: ", f->key);
        switch (f->kind) {
        case KIND_TEXT:
            norni_str_add(&s, at);
            break;
        case KIND_TYPE:
            norni_str_add(&s, norni_device_type_name(d->type));
            break;
        case KIND_UINT:
            norni_str_addf(&s, "%u", *(const unsigned *)at);
            break;
        case KIND_U64:
            norni_str_addf(&s, "%llu", (unsigned long long)*(const uint64_t *)at);
            break;
        case KIND_SIZE:
            norni_str_addf(&s, "%zu", *(const size_t *)at);
            break;
        case KIND_SIZE3: {
            const size_t *v = at;
            norni_str_addf(&s, "%zu %zu %zu", v[0], v[1], v[2]);
            break;
        }
        case KIND_LOCAL:
            norni_str_add(&s, *(const bool *)at ? "dedicated" : "global");
            break;
        default:
            norni_str_add(&s, *(const bool *)at == (f->kind == KIND_YES) ? "yes" : "no");
        }
        norni_str_add(&s, "\n");
    }
    *out = norni_str_take(&s);
    return *out ? NORN_OK : norni_nomem();
}

/* Decimal digits only: no sign, no space, no overflow. */
static bool parse_number(const char **at, uint64_t max, uint64_t *v) {
    if (!isdigit((unsigned char)**at))
        return false;
    char *end;
    errno = 0;
    unsigned long long x = strtoull(*at, &end, 10);
    if (errno || x > max)
        return false;
    *at = end;
    *v = x;
    return true;
}

/* What was wanted instead, or NULL when the value is right. */
static const char *parse_value(const field *f, norn_device *d, const char *value) {
    void *at = (char *)d + f->offset;
    uint64_t v = 0;
    switch (f->kind) {
    case KIND_TEXT:
        if (strlen(value) >= f->size)
            return "a shorter text";
        for (const char *c = value; *c; c++)
            if ((unsigned char)*c < ' ')
                return "no control characters";
        memcpy(at, value, strlen(value));
        return NULL;
    case KIND_TYPE:
        for (int i = 0; i < (int)(sizeof types / sizeof *types); i++)
            if (!strcmp(value, types[i])) {
                d->type = (norn_device_type)i;
                return NULL;
            }
        return "host, cpu, gpu, accelerator or other";
    case KIND_UINT:
        if (!parse_number(&value, UINT32_MAX, &v) || *value)
            return "a number below 2^32";
        *(unsigned *)at = (unsigned)v;
        return NULL;
    case KIND_U64:
        if (!parse_number(&value, UINT64_MAX, &v) || *value)
            return "a number below 2^64";
        *(uint64_t *)at = v;
        return NULL;
    case KIND_SIZE:
        if (!parse_number(&value, SIZE_MAX, &v) || *value)
            return "a number";
        *(size_t *)at = (size_t)v;
        return NULL;
    case KIND_SIZE3:
        for (int i = 0; i < 3; i++) {
            if (!parse_number(&value, SIZE_MAX, &v) || *value != (i < 2 ? ' ' : 0))
                return "three numbers";
            ((size_t *)at)[i] = (size_t)v;
            value += i < 2;
        }
        return NULL;
    case KIND_LOCAL:
        *(bool *)at = !strcmp(value, "dedicated");
        return *(bool *)at || !strcmp(value, "global") ? NULL : "dedicated or global";
    default:
        if (strcmp(value, "yes") && strcmp(value, "no"))
            return "yes or no";
        *(bool *)at = !strcmp(value, f->kind == KIND_YES ? "yes" : "no");
        return NULL;
    }
}

/* One line, without its end, cut into key and value in place. */
static norn_status parse_line(norn_device *d, char *line, int number, int *seen) {
    size_t n = strlen(line);
    while (n && isspace((unsigned char)line[n - 1]))
        line[--n] = 0;
    while (isspace((unsigned char)*line))
        line++;
    if (!*line || *line == '#')
        return NORN_OK;
    char *value = strchr(line, ':');
    if (!value)
        return norni_fail(NORN_PARSE, "device text: line %d: '%.60s' (wanted key: value)", number, line);
    *value++ = 0;
    while (isspace((unsigned char)*value))
        value++;
    for (size_t i = 0; i < N_FIELDS; i++) {
        if (strcmp(line, fields[i].key))
            continue;
        if (seen[i])
            return norni_fail(NORN_PARSE, "device text: line %d: %s: given twice (first in line %d)", number,
                              line, seen[i]);
        seen[i] = number;
        const char *wanted = parse_value(&fields[i], d, value);
        if (wanted)
            return norni_fail(NORN_PARSE, "device text: line %d: %s: '%.60s' (wanted %s)", number, line,
                              value, wanted);
        break;
    }
    return NORN_OK;
}

/* Values that the planner divides by or bases its choice on. */
static norn_status check(const norn_device *d, const int *seen) {
    static const char *const positive[] = {"compute-units",    "memory-bytes",   "max-alloc-bytes",
                                           "base-align-bytes", "max-work-group", "max-work-item"};
    for (size_t i = 0; i < N_FIELDS; i++)
        for (size_t k = 0; k < sizeof positive / sizeof *positive; k++) {
            const unsigned char *at = (const unsigned char *)d + fields[i].offset;
            bool zero = true;
            for (size_t b = 0; b < fields[i].size; b++)
                zero &= at[b] == 0;
            if (zero && !strcmp(fields[i].key, positive[k]))
                return norni_fail(NORN_PARSE, "device text: line %d: %s: 0 (wanted more)", seen[i],
                                  fields[i].key);
        }
    return NORN_OK;
}

norn_status norn_device_parse(const char *text, norn_device **out) {
    *out = NULL;
    char *copy = norni_strdup(text);
    norn_device *d = norni_alloc(sizeof *d);
    int seen[N_FIELDS] = {0}, number = 0;
    norn_status s = copy && d ? NORN_OK : norni_nomem();
    for (char *line = copy; s == NORN_OK && line;) {
        char *end = strchr(line, '\n');
        if (end)
            *end++ = 0;
        s = parse_line(d, line, ++number, seen);
        line = end;
    }
    for (size_t i = 0; i < N_FIELDS && s == NORN_OK; i++)
        if (!seen[i])
            s = norni_fail(NORN_PARSE, "device text: %s: missing in %d lines", fields[i].key, number);
    if (s == NORN_OK)
        s = check(d, seen);
    norni_free(copy);
    if (s == NORN_OK)
        *out = d;
    else
        norni_free(d);
    return s;
}

void norn_device_free(norn_device *d) {
    norni_free(d);
}
