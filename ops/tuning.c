/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/tuning.h"
#include "backend/context.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/str.h"
#include "ops/kernel_source.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* The text: "device " and a pattern of devices, then "KEY = VALUE" lines for them; # starts a remark. */
static const char HEAD[] = "norn tune 1\n", TUNE_FILE[] = "tune.txt";
enum { MAX_BYTES = 16 << 20 };

typedef struct {
    char *device, *key, *value;
    bool own; /* of this user: from the file, or put */
} record;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static NORNI_VEC(record) records; /* later ones win; never freed */
static bool loaded;
static _Thread_local norni_tuning_watch *watch;
static _Thread_local const char *try_key, *try_value;

static char *device_text(const norn_device *d) {
    norni_str s = {0};
    norni_str_addf(&s, "%s|%s|%s|%u|%u", d->name, d->platform, d->driver, d->compute_units, d->vector_float);
    return norni_str_take(&s);
}

/* * stands for any characters. */
static bool matches(const char *pattern, const char *text) {
    for (; *pattern; pattern++, text++) {
        if (*pattern == '*') {
            for (const char *t = text;; t++) {
                if (matches(pattern + 1, t))
                    return true;
                if (!*t)
                    return false;
            }
        }
        if (*pattern != *text)
            return false;
    }
    return !*text;
}

static char *piece(const char *from, size_t n) {
    char *s = norni_alloc(n + 1);
    if (s)
        memcpy(s, from, n);
    return s;
}

static bool add(const char *device, size_t dn, const char *key, size_t kn, const char *value, size_t vn,
                bool own) {
    record r = {piece(device, dn), piece(key, kn), piece(value, vn), own};
    if (r.device && r.key && r.value && NORNI_PUSH(&records, r))
        return true;
    norni_free(r.device);
    norni_free(r.key);
    norni_free(r.value);
    return false;
}

/* What is malformed is passed over: records only make things faster. */
static void parse(const char *text, bool own) {
    const char *device = NULL;
    size_t dn = 0;
    if (strncmp(text, HEAD, sizeof HEAD - 1) != 0)
        return;
    for (const char *l = text + sizeof HEAD - 1; *l;) {
        size_t n = strcspn(l, "\n");
        const char *eq = memchr(l, '=', n);
        if (n > 7 && !strncmp(l, "device ", 7)) {
            device = l + 7;
            dn = n - 7;
        } else if (device && *l != '#' && eq && eq - l > 1 && eq[-1] == ' ' && (size_t)(eq - l) + 2 < n)
            add(device, dn, l, (size_t)(eq - l) - 1, eq + 2, n - (size_t)(eq - l) - 2, own);
        l += n + (l[n] == '\n');
    }
}

static char *own_path(void) {
    char *dir = norni_cache_folder(), *path = dir ? norni_path_join(dir, TUNE_FILE) : NULL;
    norni_free(dir);
    return path;
}

static void load(void) {
    unsigned char *data;
    size_t bytes;
    if (loaded)
        return;
    loaded = true;
    const char *off = getenv("NORN_TUNE");
    if (off && !strcmp(off, "0")) /* the rules alone, to compare with */
        return;
    for (const norni_kernel_file *f = norni_kernel_files; f->name; f++)
        if (strstr(f->name, ".tune"))
            parse(f->text, false);
    char *path = own_path();
    if (path && norni_path_exists(path) && norni_file_read(path, MAX_BYTES, &data, &bytes) == NORN_OK) {
        parse((const char *)data, true);
        norni_free(data);
    }
    norni_free(path);
}

static int index_of(int n, const char *const *values, const char *value) {
    for (int i = 0; i < n; i++)
        if (!strcmp(values[i], value))
            return i;
    return -1;
}

/* The last record for which `take` returns 0 or more, and that; -1: none. */
static int find(const norn_device *d, const char *key, int (*take)(const record *, void *), void *ctx) {
    int found = -1;
    char *device = NULL;
    pthread_mutex_lock(&lock);
    load();
    for (size_t i = records.n; i-- > 0 && found < 0;) {
        if (strcmp(records.v[i].key, key) != 0)
            continue;
        if (!device && !(device = device_text(d)))
            break;
        if (matches(records.v[i].device, device))
            found = take(&records.v[i], ctx);
    }
    pthread_mutex_unlock(&lock);
    norni_free(device);
    return found;
}

typedef struct {
    int n;
    const char *const *values;
} offer;

static int among(const record *r, void *ctx) {
    const offer *o = ctx;
    return index_of(o->n, o->values, r->value);
}

static int copied(const record *r, void *ctx) {
    char **text = ctx;
    norni_free(*text); /* an earlier record's */
    *text = norni_strdup(r->value);
    return 0;
}

char *norni_tuned_text(const norn_device *d, const char *key) {
    char *text = NULL;
    find(d, key, copied, &text);
    return text;
}

static void note(const char *key, int n, const char *const *values, int now) {
    for (size_t i = 0; i < watch->asked.n; i++)
        if (!strcmp(watch->asked.v[i].key, key))
            return;
    const char **own = norni_alloc_array((size_t)n, sizeof *own);
    norni_tuning_asked a = {norni_strdup(key), n, now, own};
    if (own)
        memcpy(own, values, (size_t)n * sizeof *own);
    if (!a.key || !own || !NORNI_PUSH(&watch->asked, a)) { /* then it is not tuned */
        norni_free(a.key);
        norni_free(own);
    }
}

int norni_tuned(const norn_device *d, const char *key, int n, const char *const *values, int rule) {
    offer o = {n, values};
    int i = try_key && !strcmp(try_key, key) ? index_of(n, values, try_value) : find(d, key, among, &o);
    i = i < 0 ? rule : i;
    if (watch && n > 1)
        note(key, n, values, i);
    return i;
}

void norni_tuning_watch_set(norni_tuning_watch *w) {
    watch = w;
}

void norni_tuning_watch_free(norni_tuning_watch *w) {
    for (size_t i = 0; i < w->asked.n; i++) {
        norni_free(w->asked.v[i].key);
        norni_free(w->asked.v[i].values);
    }
    norni_vec_free(&w->asked);
}

void norni_tuning_try(const char *key, const char *value) {
    try_key = key;
    try_value = value;
}

norn_status norni_tuning_put(const norn_device *d, const char *key, const char *value) {
    char *device = device_text(d);
    bool ok = false;
    pthread_mutex_lock(&lock);
    load();
    if (device)
        ok = add(device, strlen(device), key, strlen(key), value, strlen(value), true);
    pthread_mutex_unlock(&lock);
    norni_free(device);
    return ok ? NORN_OK : norni_nomem();
}

/* A later record of the same device and key makes this one void. */
static bool replaced(size_t i) {
    for (size_t k = i + 1; k < records.n; k++)
        if (records.v[k].own && !strcmp(records.v[i].key, records.v[k].key) &&
            !strcmp(records.v[i].device, records.v[k].device))
            return true;
    return false;
}

norn_status norni_tuning_save(char **path) {
    norni_str s = {0};
    *path = own_path();
    if (!*path)
        return norni_fail(NORN_IO, "there is no folder for the records (NORN_CACHE=0, or no home directory)");
    norni_str_add(&s, HEAD);
    pthread_mutex_lock(&lock);
    load();
    for (size_t i = 0; i < records.n; i++)
        if (records.v[i].own && !replaced(i))
            norni_str_addf(&s, "device %s\n%s = %s\n", records.v[i].device, records.v[i].key,
                           records.v[i].value);
    pthread_mutex_unlock(&lock);
    norn_status st = s.failed ? norni_nomem() : norni_file_write(*path, &(norni_piece){s.s, s.n}, 1);
    norni_str_free(&s);
    if (st != NORN_OK) {
        norni_free(*path);
        *path = NULL;
    }
    return st;
}
