/* SPDX-License-Identifier: Apache-2.0 */
/* Compiled programs on disk. One file a program, named by the hash of its key:
 *
 *     header | hashes of the variants it holds | the whole key | the driver's binary
 *
 * The key is everything the binary depends on: what the device is, the options, the source. A file counts
 * only when its sizes, its key and its checksum are right; anything else is as good as no file and is
 * replaced by the next store. Files are written under a temporary name and renamed, so readers see old or
 * new, never half; the loser of two processes that store at once has stored the same. Nothing in here is ever
 * an error: without a cache programs build. */
#include "backend/internal.h"
#include "base/fd_io.h"
#include "base/hash.h"
#include "base/str.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { FORMAT = 1, DEFAULT_MB = 512, ABANDONED_S = 3600 };
static const char magic[8] = "NORNPRG";
static const char suffix[] = ".norn", unfinished[] = NORNI_UNFINISHED;

typedef struct {
    char magic[8];
    uint32_t format, n_variants;
    uint64_t key_bytes, binary_bytes;
    uint64_t checksum; /* of the counts above, variants, key and binary */
} header;

/* The environment --------------------------------------------------------------------------------- */
static bool set(const char *s) {
    return s && *s;
}

/* mkdir -p, for the owner only: whoever can write here decides what code runs. */
static bool make_dirs(char *path) {
    for (char *c = path + 1; *c; c++)
        if (*c == '/') {
            *c = 0;
            (void)!mkdir(path, 0700); /* what goes wrong shows in the last one */
            *c = '/';
        }
    return mkdir(path, 0700) == 0 || errno == EEXIST;
}

static char *folder(void) {
    const char *own = getenv("NORN_CACHE_DIR"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    norni_str s = {0};
    if (set(own))
        norni_str_add(&s, own);
    else if (set(xdg) && *xdg == '/')
        norni_str_addf(&s, "%s/norn", xdg);
    else if (set(home) && *home == '/')
        norni_str_addf(&s, "%s/.cache/norn", home);
    else
        return NULL;
    char *path = norni_str_take(&s);
    if (path && make_dirs(path))
        return path;
    norni_free(path);
    return NULL;
}

char *norni_cache_folder(void) {
    const char *off = getenv("NORN_CACHE");
    return set(off) && !strcmp(off, "0") ? NULL : folder();
}

/* CPU drivers compile for the processor at hand, and some call every processor by one name; a home directory
 * may serve several machines. So what the kernel says of the processor belongs to the key (nothing, where
 * there is no such file). */
static uint64_t processor(void) {
    FILE *f = fopen("/proc/cpuinfo", "r");
    if (!f)
        return 0;
    static const char *const keys[] = {"model name", "flags", "Features", "CPU part", "isa"};
    char line[4096];
    uint64_t h = 0;
    /* The first processor's lines: up to the first empty one. */
    while (fgets(line, sizeof line, f) && *line != '\n')
        for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
            if (!strncmp(line, keys[i], strlen(keys[i])))
                h = norni_hash_str(h, line);
    fclose(f);
    return h;
}

static char *device_key(const norn_device *d, cl_device_id id) {
    static const cl_device_info numbers[] = {CL_DEVICE_VENDOR_ID, CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT,
                                             CL_DEVICE_NATIVE_VECTOR_WIDTH_INT};
    char c_version[128], extensions[8192];
    norni_device_text(id, CL_DEVICE_OPENCL_C_VERSION, c_version, sizeof c_version);
    norni_device_text(id, CL_DEVICE_EXTENSIONS, extensions, sizeof extensions);
    norni_str s = {0};
    norni_str_addf(&s, "norn program %d\n%s\n%s\n%s\n%s\n%s\n%s\n%s\n%s\n", FORMAT, d->platform,
                   d->platform_version, d->name, d->vendor, d->driver, d->version, c_version, extensions);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        cl_uint v = 0;
        if (NORNI_CL(clGetDeviceInfo(id, numbers[i], sizeof v, &v, NULL)) == CL_SUCCESS)
            norni_str_addf(&s, "%x ", v);
    }
    norni_str_addf(&s, "%016" PRIx64 "\n", norni_device_is_cpu(d) ? processor() : 0);
    return norni_str_take(&s);
}

void norni_cache_open(norni_cache *c, const norn_device *d, cl_device_id id) {
    const char *on = getenv("NORN_CACHE"), *mb = getenv("NORN_CACHE_MB");
    *c = (norni_cache){0};
    uint64_t cap = DEFAULT_MB;
    if (set(mb)) {
        char *end;
        unsigned long long v = strtoull(mb, &end, 10);
        if (*mb >= '0' && *mb <= '9' && !*end)
            cap = v < (1u << 30) ? v : 1u << 30;
    }
    c->cap_bytes = cap << 20;
    if ((on && !strcmp(on, "0")) || !cap)
        return;
    c->device_key = device_key(d, id);
    c->dir = c->device_key ? folder() : NULL;
}

void norni_cache_close(norni_cache *c) {
    norni_free(c->dir);
    norni_free(c->device_key);
    *c = (norni_cache){0};
}

char *norni_cache_key(const norni_cache *c, const char *options, const char *source) {
    if (!c->dir)
        return NULL;
    norni_str s = {0};
    norni_str_addf(&s, "%s%s\n", c->device_key, options);
    norni_str_add(&s, source);
    return norni_str_take(&s);
}

/* Reading ----------------------------------------------------------------------------------------- */
static char *path_of(const norni_cache *c, const char *key) {
    norni_str s = {0};
    norni_str_addf(&s, "%s/%016" PRIx64 "%s", c->dir, norni_hash_str(FORMAT, key), suffix);
    return norni_str_take(&s);
}

static uint64_t checksum(const header *h, const uint64_t *variants, const char *key, const void *binary) {
    uint64_t sum = norni_hash_u64(h->format, h->n_variants);
    sum = norni_hash_u64(norni_hash_u64(sum, h->key_bytes), h->binary_bytes);
    sum = norni_hash_bytes(sum, variants, h->n_variants * sizeof *variants);
    sum = norni_hash_bytes(sum, key, (size_t)h->key_bytes);
    return norni_hash_bytes(sum, binary, (size_t)h->binary_bytes);
}

/* Opens the file of a key and reads all but the binary. -1 when there is none, or it is not that program's.
 */
static int open_entry(const norni_cache *c, const char *key, header *h, uint64_t **variants) {
    *variants = NULL;
    char *path = path_of(c, key);
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
    norni_free(path);
    if (fd < 0)
        return -1;
    struct stat st;
    size_t key_bytes = strlen(key);
    char *found = NULL;
    /* Binaries of somebody else are not run: ours, or root's, who may ship a folder. */
    bool ok = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_uid == geteuid() || st.st_uid == 0) &&
              (uint64_t)st.st_size >= sizeof *h && norni_read_all(fd, h, sizeof *h) &&
              !memcmp(h->magic, magic, sizeof magic) && h->format == FORMAT && h->key_bytes == key_bytes;
    if (ok) {
        uint64_t left = (uint64_t)st.st_size - sizeof *h, list = (uint64_t)h->n_variants * sizeof **variants;
        ok = list <= left && key_bytes <= left - list && h->binary_bytes == left - list - key_bytes &&
             h->binary_bytes > 0 && h->binary_bytes < SIZE_MAX;
    }
    if (ok) {
        *variants = norni_alloc_array(h->n_variants, sizeof **variants);
        found = norni_alloc(key_bytes);
        ok = *variants && found && norni_read_all(fd, *variants, h->n_variants * sizeof **variants) &&
             norni_read_all(fd, found, key_bytes) && !memcmp(found, key, key_bytes);
    }
    norni_free(found);
    if (ok)
        return fd;
    norni_free(*variants);
    *variants = NULL;
    close(fd);
    return -1;
}

bool norni_cache_load(const norni_cache *c, const char *key, norni_cache_entry *e) {
    *e = (norni_cache_entry){0};
    if (!c->dir || !key)
        return false;
    header h;
    int fd = open_entry(c, key, &h, &e->variants);
    if (fd < 0)
        return false;
    e->n_variants = h.n_variants;
    e->binary_bytes = (size_t)h.binary_bytes;
    e->binary = norni_alloc(e->binary_bytes);
    bool whole = e->binary && norni_read_all(fd, e->binary, e->binary_bytes);
    bool ok = whole && checksum(&h, e->variants, key, e->binary) == h.checksum;
    if (ok)
        (void)!futimens(fd, NULL); /* used now; a folder that cannot be written is fine */
    else
        norni_cache_entry_free(e);
    if (whole && !ok)
        norni_cache_remove(c, key);
    close(fd);
    return ok;
}

void norni_cache_remove(const norni_cache *c, const char *key) {
    char *path = c->dir && key ? path_of(c, key) : NULL;
    if (path)
        unlink(path);
    norni_free(path);
}

bool norni_cache_covers(const norni_cache *c, const char *key, const uint64_t *variants, size_t n) {
    header h;
    uint64_t *have = NULL;
    int fd = c->dir && key ? open_entry(c, key, &h, &have) : -1;
    if (fd < 0)
        return false;
    close(fd);
    bool all = true;
    for (size_t i = 0; i < n && all; i++) {
        all = false;
        for (size_t k = 0; k < h.n_variants && !all; k++)
            all = have[k] == variants[i];
    }
    norni_free(have);
    return all;
}

void norni_cache_entry_free(norni_cache_entry *e) {
    norni_free(e->binary);
    norni_free(e->variants);
    *e = (norni_cache_entry){0};
}

/* Writing ----------------------------------------------------------------------------------------- */
void norni_cache_store(const norni_cache *c, const char *key, const norni_cache_entry *e) {
    if (!c->dir || !key || !e->binary_bytes || e->binary_bytes > c->cap_bytes || e->n_variants > UINT32_MAX)
        return;
    header h = {.format = FORMAT, .n_variants = (uint32_t)e->n_variants, .key_bytes = strlen(key)};
    memcpy(h.magic, magic, sizeof magic);
    h.binary_bytes = e->binary_bytes;
    h.checksum = checksum(&h, e->variants, key, e->binary);
    norni_str s = {0};
    norni_str_addf(&s, "%s/%sXXXXXX", c->dir, unfinished);
    char *temp = norni_str_take(&s), *path = path_of(c, key);
    int fd = temp && path ? mkstemp(temp) : -1;
    if (fd >= 0) {
        bool ok = norni_write_all(fd, &h, sizeof h) &&
                  norni_write_all(fd, e->variants, e->n_variants * sizeof *e->variants) &&
                  norni_write_all(fd, key, (size_t)h.key_bytes) &&
                  norni_write_all(fd, e->binary, e->binary_bytes);
        ok = close(fd) == 0 && ok && rename(temp, path) == 0;
        if (!ok)
            unlink(temp);
    }
    norni_free(temp);
    norni_free(path);
}

typedef struct {
    char name[40];
    struct timespec used;
    uint64_t bytes;
} file;

static int by_age(const void *a, const void *b) {
    const struct timespec *x = &((const file *)a)->used, *y = &((const file *)b)->used;
    if (x->tv_sec != y->tv_sec)
        return x->tv_sec < y->tv_sec ? -1 : 1;
    return (x->tv_nsec > y->tv_nsec) - (x->tv_nsec < y->tv_nsec);
}

void norni_cache_trim(const norni_cache *c) {
    DIR *dir = c->dir ? opendir(c->dir) : NULL;
    if (!dir)
        return;
    NORNI_VEC(file) files = {0};
    uint64_t total = 0;
    struct stat st;
    for (struct dirent *e; (e = readdir(dir));) {
        size_t n = strlen(e->d_name);
        bool ours = n == 16 + sizeof suffix - 1 && !strcmp(e->d_name + 16, suffix);
        bool temp = !strncmp(e->d_name, unfinished, sizeof unfinished - 1);
        if ((!ours && !temp) || fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW))
            continue;
        if (temp) { /* a file, or the folder of workers */
            if (time(NULL) - st.st_mtime > ABANDONED_S && unlinkat(dirfd(dir), e->d_name, 0) &&
                S_ISDIR(st.st_mode))
                norni_remove_folder(dirfd(dir), e->d_name);
            continue;
        }
        if (!S_ISREG(st.st_mode))
            continue;
        file f = {.used = st.st_mtim, .bytes = (uint64_t)st.st_size};
        memcpy(f.name, e->d_name, n + 1);
        if (!NORNI_PUSH(&files, f))
            break;
        total += f.bytes;
    }
    if (total > c->cap_bytes)
        qsort(files.v, files.n, sizeof *files.v, by_age);
    for (size_t i = 0; i < files.n && total > c->cap_bytes; i++) {
        unlinkat(dirfd(dir), files.v[i].name, 0);
        total -= files.v[i].bytes;
    }
    norni_vec_free(&files);
    closedir(dir);
}
