/* SPDX-License-Identifier: Apache-2.0 */
#define _DEFAULT_SOURCE       /* madvise */
#define _XOPEN_SOURCE     700 /* realpath */
#define _FILE_OFFSET_BITS 64
#include "base/file.h"
#include "base/alloc.h"
#include "base/vec.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* read and write take at most 2 GiB at once on Linux, and less elsewhere. */
enum { IO_STEP = 1 << 30 };

static norn_status fail_system(const char *what) {
    char text[256];
    if (strerror_r(errno, text, sizeof text))
        snprintf(text, sizeof text, "error %d", errno);
    return norni_fail(NORN_IO, "%s: %s", what, text);
}

norn_status norni_fail_errno(const char *path, const char *what) {
    return norni_prefix(fail_system(what), "%s", path);
}

static norn_status not_regular(const char *path, mode_t mode) {
    const char *kind = S_ISDIR(mode)    ? "a directory"
                       : S_ISFIFO(mode) ? "a pipe"
                       : S_ISCHR(mode)  ? "a character device"
                       : S_ISBLK(mode)  ? "a block device"
                                        : "a special file";
    return norni_fail(NORN_IO, "%s: is %s (wanted a file)", path, kind);
}

norn_status norni_file_open(const char *path, int *fd, uint64_t *bytes) {
    *fd = -1;
    int f = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* opening a pipe would wait for its writer */
    if (f < 0)
        return norni_fail_errno(path, "cannot open");
    struct stat st;
    norn_status s = NORN_OK;
    if (fstat(f, &st))
        s = norni_fail_errno(path, "cannot read its size");
    else if (!S_ISREG(st.st_mode))
        s = not_regular(path, st.st_mode);
    if (s != NORN_OK) {
        close(f);
        return s;
    }
    *fd = f;
    *bytes = (uint64_t)st.st_size;
    return NORN_OK;
}

norn_status norni_fd_read(int fd, void *data, size_t bytes) {
    char *p = data;
    while (bytes > 0) {
        ssize_t n = read(fd, p, bytes < IO_STEP ? bytes : IO_STEP);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_system("cannot read");
        if (n == 0)
            return norni_fail(NORN_IO, "the file became shorter while it was read: %zu bytes are missing",
                              bytes);
        p += n;
        bytes -= (size_t)n;
    }
    return NORN_OK;
}

norn_status norni_map_open(const char *path, norni_map *m) {
    *m = (norni_map){0};
    int fd;
    uint64_t bytes;
    NORNI_TRY(norni_file_open(path, &fd, &bytes));
    norn_status s = NORN_OK;
    if (bytes > SIZE_MAX / 2) {
        s = norni_fail(NORN_IO, "%s: %llu bytes (more than this machine can address)", path,
                       (unsigned long long)bytes);
    } else if (bytes == 0) {
        m->data = (const unsigned char *)""; /* mmap refuses a length of 0 */
    } else {
        void *p = mmap(NULL, (size_t)bytes, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED)
            s = norni_fail_errno(path, "cannot map");
        else
            *m = (norni_map){p, (size_t)bytes};
    }
    close(fd);
    return s;
}

void norni_map_close(norni_map *m) {
    if (m->bytes)
        munmap((void *)m->data, m->bytes);
    *m = (norni_map){0};
}

void norni_map_forget(const void *data, size_t bytes) {
#ifdef MADV_DONTNEED
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = ((uintptr_t)data + page - 1) / page * page,
              to = ((uintptr_t)data + bytes) / page * page;
    if (to > from)
        madvise((void *)from, to - from, MADV_DONTNEED);
#else
    (void)data;
    (void)bytes;
#endif
}

norn_status norni_file_read(const char *path, size_t max_bytes, unsigned char **data, size_t *bytes) {
    *data = NULL;
    *bytes = 0;
    int fd;
    uint64_t size;
    NORNI_TRY(norni_file_open(path, &fd, &size));
    norn_status s = NORN_OK;
    unsigned char *p = NULL;
    if (size > max_bytes || size > SIZE_MAX / 2)
        s = norni_fail(NORN_IO, "%s: %llu bytes (wanted at most %zu)", path, (unsigned long long)size,
                       max_bytes);
    else if (!(p = norni_alloc((size_t)size + 1)))
        s = norni_prefix(norni_nomem(), "%s: %llu bytes", path, (unsigned long long)size);
    else
        s = norni_prefix(norni_fd_read(fd, p, (size_t)size), "%s", path);
    close(fd);
    if (s != NORN_OK) {
        norni_free(p);
        return s;
    }
    *data = p;
    *bytes = (size_t)size;
    return NORN_OK;
}

static norn_status write_all(int fd, const char *path, const norni_piece *pieces, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const char *p = pieces[i].data;
        for (size_t left = pieces[i].bytes; left > 0;) {
            ssize_t k = write(fd, p, left < IO_STEP ? left : IO_STEP);
            if (k < 0 && errno == EINTR)
                continue;
            if (k < 0)
                return norni_fail_errno(path, "cannot write");
            p += k;
            left -= (size_t)k;
        }
    }
    return NORN_OK;
}

/* Makes a new, empty file in the directory of `path`; its name goes to *name. */
static norn_status make_temporary(const char *path, int *fd, char **name) {
    static atomic_uint serial;
    char *dir = norni_path_dir(path);
    if (!dir)
        return norni_nomem();
    norn_status s = NORN_OK;
    *name = NULL;
    for (int attempt = 0; attempt < 100; attempt++) {
        char base[64];
        snprintf(base, sizeof base, ".norn-%ld-%u.tmp", (long)getpid(), atomic_fetch_add(&serial, 1u));
        char *t = norni_path_join(dir, base);
        if (!t) {
            s = norni_nomem();
            break;
        }
        *fd = open(t, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (*fd >= 0) {
            *name = t;
            s = NORN_OK;
            break;
        }
        bool taken = errno == EEXIST; /* left behind by a process with our number that was killed */
        s = norni_fail_errno(path, "cannot make a temporary file beside it");
        norni_free(t);
        if (!taken)
            break;
    }
    norni_free(dir);
    return s;
}

static norn_status write_directly(const char *path, const norni_piece *pieces, size_t n) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return norni_fail_errno(path, "cannot open for writing");
    norn_status s = write_all(fd, path, pieces, n);
    if (close(fd) && s == NORN_OK)
        s = norni_fail_errno(path, "cannot write");
    return s;
}

/* Follows symbolic links. *mode is 0 when nothing is there yet. */
static norn_status resolve(const char *path, char **target, mode_t *mode) {
    struct stat st;
    *target = NULL;
    *mode = 0;
    if (!*path)
        return norni_fail(NORN_IO, "an empty path names no file");
    if (stat(path, &st) == 0)
        *mode = st.st_mode;
    else if (errno != ENOENT)
        return norni_fail_errno(path, "cannot write");
    else if (lstat(path, &st) == 0)
        return norni_fail(NORN_IO, "%s: is a symbolic link to a file that does not exist", path);
    if (*mode && lstat(path, &st) == 0 && S_ISLNK(st.st_mode)) {
        char *real = realpath(path, NULL);
        if (!real)
            return norni_fail_errno(path, "cannot follow the symbolic link");
        *target = norni_strdup(real);
        free(real);
    } else {
        *target = norni_strdup(path);
    }
    return *target ? NORN_OK : norni_nomem();
}

norn_status norni_file_target(const char *path, char **target) {
    mode_t mode;
    NORNI_TRY(resolve(path, target, &mode));
    if (mode && !S_ISREG(mode)) {
        norni_free(*target);
        *target = NULL;
        return not_regular(path, mode);
    }
    return NORN_OK;
}

norn_status norni_file_write(const char *path, const norni_piece *pieces, size_t n) {
    char *target, *name = NULL;
    mode_t mode;
    int fd = -1;
    NORNI_TRY(resolve(path, &target, &mode));
    if (mode && !S_ISREG(mode)) {
        norn_status s = S_ISDIR(mode) ? not_regular(path, mode) : write_directly(target, pieces, n);
        norni_free(target);
        return s;
    }
    norn_status s = make_temporary(target, &fd, &name);
    if (s != NORN_OK) {
        norni_free(target);
        return s;
    }
    s = write_all(fd, path, pieces, n);
    if (s == NORN_OK && mode && fchmod(fd, mode & 07777))
        s = norni_fail_errno(path, "cannot keep the permissions of the old file");
    if (close(fd) && s == NORN_OK)
        s = norni_fail_errno(path, "cannot write");
    if (s == NORN_OK && rename(name, target))
        s = norni_fail_errno(path, "cannot put the new file in place");
    if (s != NORN_OK)
        unlink(name);
    norni_free(name);
    norni_free(target);
    return s;
}

bool norni_path_exists(const char *path) {
    struct stat st;
    return stat(path, &st) == 0;
}

bool norni_path_is_dir(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

int norni_natural_compare(const char *a, const char *b) {
    const char *p = a, *q = b;
    while (*p && *q) {
        if (is_digit(*p) && is_digit(*q)) {
            while (*p == '0')
                p++;
            while (*q == '0')
                q++;
            size_t n = strspn(p, "0123456789"), m = strspn(q, "0123456789");
            if (n != m)
                return n < m ? -1 : 1;
            int c = strncmp(p, q, n);
            if (c)
                return c;
            p += n;
            q += n;
        } else {
            if (*p != *q)
                return (unsigned char)*p < (unsigned char)*q ? -1 : 1;
            p++;
            q++;
        }
    }
    if (*p || *q)
        return *p ? 1 : -1;
    return strcmp(a, b); /* "01" and "1": some fixed order */
}

static int compare_names(const void *a, const void *b) {
    return norni_natural_compare(*(char *const *)a, *(char *const *)b);
}

norn_status norni_dir_list(const char *path, norni_names *names) {
    *names = (norni_names){0};
    DIR *d = opendir(path);
    if (!d)
        return norni_fail_errno(path, "cannot list");
    norn_status s = NORN_OK;
    for (;;) {
        errno = 0;
        struct dirent *e = readdir(d);
        if (!e) {
            if (errno)
                s = norni_fail_errno(path, "cannot list");
            break;
        }
        if (e->d_name[0] == '.')
            continue;
        char *name = norni_strdup(e->d_name);
        if (!name || !NORNI_PUSH(names, name)) {
            norni_free(name);
            s = norni_nomem();
            break;
        }
    }
    closedir(d);
    if (s != NORN_OK)
        norni_names_free(names);
    else if (names->n)
        qsort(names->v, names->n, sizeof *names->v, compare_names);
    return s;
}

void norni_names_free(norni_names *names) {
    for (size_t i = 0; i < names->n; i++)
        norni_free(names->v[i]);
    norni_vec_free(names);
}

char *norni_path_join(const char *dir, const char *name) {
    size_t n = strlen(dir), m = strlen(name);
    bool slash = n > 0 && dir[n - 1] != '/';
    char *p = norni_alloc(n + slash + m + 1);
    if (!p)
        return NULL;
    memcpy(p, dir, n);
    if (slash)
        p[n] = '/';
    memcpy(p + n + slash, name, m + 1);
    return p;
}

char *norni_path_dir(const char *path) {
    const char *slash = strrchr(path, '/');
    if (!slash)
        return norni_strdup(".");
    size_t n = slash == path ? 1 : (size_t)(slash - path);
    char *d = norni_alloc(n + 1);
    if (d)
        memcpy(d, path, n);
    return d;
}

const char *norni_path_base(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

const char *norni_path_ext(const char *path) {
    const char *base = norni_path_base(path), *dot = strrchr(base, '.');
    return dot && dot != base ? dot : base + strlen(base);
}

bool norni_path_has_ext(const char *path, const char *ext) {
    const char *base = norni_path_base(path);
    size_t n = strlen(base), m = strlen(ext);
    if (n <= m)
        return false;
    for (size_t i = 0; i < m; i++) {
        char a = base[n - m + i], b = ext[i];
        if (a >= 'A' && a <= 'Z')
            a = (char)(a - 'A' + 'a');
        if (b >= 'A' && b <= 'Z')
            b = (char)(b - 'A' + 'a');
        if (a != b)
            return false;
    }
    return true;
}
