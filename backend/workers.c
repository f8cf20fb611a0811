/* SPDX-License-Identifier: Apache-2.0 */
/* Programs compiled by other processes (backend/worker/worker.c), several at once. Each worker has one end of a socket as its
 * standard input and compiles one program after the other. Nothing in here is an error: what a worker
 * does not deliver is built as if there were none. Workers are killed and waited for before this returns. */
#define _GNU_SOURCE /* dladdr */
#include "backend/internal.h"
#include "backend/worker/protocol.h"
#include "base/fd_io.h"
#include "base/hash.h"
#include "base/str.h"
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif
enum { MAX_WORKERS = 16, MESSAGE_S = 30, MAX_BINARY = 256 << 20 };
extern char **environ;
int norni_workers_silent_ms = 120000;

typedef struct {
    pid_t pid; /* 0: gone */
    int fd;
    size_t order; /* that it works on */
} worker;

/* The program ------------------------------------------------------------------------------------- */
/* Beside the library, as in a build tree; where it was installed to, seen from the library; there, by its full name. */
static char *find_worker(void) {
    const char *own = getenv("NORN_WORKER");
    if (own)
        return *own && strcmp(own, "0") && access(own, X_OK) == 0 ? norni_strdup(own) : NULL;
    static const char *const places[] = {"norn-worker", NORNI_WORKER_FROM_LIB};
    Dl_info info;
    const char *slash = dladdr((void *)(uintptr_t)&norni_workers_run, &info) && info.dli_fname
                            ? strrchr(info.dli_fname, '/')
                            : NULL;
    for (size_t i = 0; slash && i < sizeof places / sizeof *places; i++) {
        norni_str s = {0};
        norni_str_addf(&s, "%.*s/%s", (int)(slash - info.dli_fname), info.dli_fname, places[i]);
        char *path = norni_str_take(&s);
        if (path && access(path, X_OK) == 0)
            return path;
        norni_free(path);
    }
    return access(NORNI_WORKER_INSTALLED, X_OK) == 0 ? norni_strdup(NORNI_WORKER_INSTALLED) : NULL;
}

/* Folders of workers ------------------------------------------------------------------------------ */
void norni_remove_folder(int in, const char *name) {
    int fd = openat(in, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    for (struct dirent *e; dir && (e = readdir(dir));)
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") && unlinkat(fd, e->d_name, 0))
            norni_remove_folder(fd, e->d_name);
    if (dir)
        closedir(dir);
    else if (fd >= 0)
        close(fd);
    unlinkat(in, name, AT_REMOVEDIR);
}

/* Starting and ending ----------------------------------------------------------------------------- */
/* The environment, without what would change the compilation of this process's device or share its cache. */
static char **worker_environment(const char *folder) {
    static const char *const ours[] = {"POCL_CACHE_DIR=", "POCL_KERNEL_CACHE=", "POCL_BINARY_SPECIALIZE_WG=",
                                       "POCL_WORK_GROUP_SPECIALIZATION="};
    size_t n = 0, k = 0;
    while (environ[n])
        n++;
    char **env = norni_alloc_array(n + 2, sizeof *env);
    norni_str s = {0};
    norni_str_addf(&s, "POCL_CACHE_DIR=%s", folder);
    char *first = norni_str_take(&s);
    if (!env || !first) {
        norni_free(env);
        norni_free(first);
        return NULL;
    }
    env[k++] = first;
    for (size_t i = 0; i < n; i++) {
        bool skip = false;
        for (size_t o = 0; o < sizeof ours / sizeof *ours; o++)
            skip |= !strncmp(environ[i], ours[o], strlen(ours[o]));
        if (!skip)
            env[k++] = environ[i];
    }
    env[k] = NULL;
    return env;
}

static bool spawn(worker *w, const char *program, const char *folder, char *const names[4]) {
    int ends[2];
    *w = (worker){.fd = -1};
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
        return false;
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    /* Half a message must not keep us waiting for ever. */
    struct timeval limit = {.tv_sec = MESSAGE_S};
    setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(ends[0], SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    char **env = worker_environment(folder);
    char *args[] = {(char *)program, names[0], names[1], names[2], names[3], NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    bool ok = env && mkdir(folder, 0700) == 0 && posix_spawn_file_actions_init(&files) == 0;
    if (ok) {
        ok = posix_spawnattr_init(&attr) == 0;
        if (ok) {
            sigset_t none, usual;
            sigemptyset(&none);
            sigemptyset(&usual);
            sigaddset(&usual, SIGPIPE);
            sigaddset(&usual, SIGCHLD); /* compilers wait for linkers */
            ok = !posix_spawnattr_setsigmask(&attr, &none) && !posix_spawnattr_setsigdefault(&attr, &usual) &&
                 !posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF) &&
                 !posix_spawn_file_actions_adddup2(&files, ends[1], 0) &&
                 !posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0) &&
                 !posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0) &&
                 !posix_spawn(&w->pid, program, &files, &attr, args, env);
            posix_spawnattr_destroy(&attr);
        }
        posix_spawn_file_actions_destroy(&files);
    }
    if (env)
        norni_free(env[0]);
    norni_free(env);
    close(ends[1]);
    if (ok) {
        w->fd = ends[0];
        return true;
    }
    w->pid = 0;
    close(ends[0]);
    return false;
}

static void end(worker *w) {
    if (!w->pid)
        return;
    kill(w->pid, SIGKILL);
    while (waitpid(w->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    close(w->fd);
    w->pid = 0;
}

/* Messages ---------------------------------------------------------------------------------------- */
static bool give(const worker *w, const void *data, size_t n) {
    return norni_put_all(w->fd, true, data, n);
}

static bool ask(const worker *w, const norni_order *o) {
    norni_worker_request r = {NORNI_WORKER_MAGIC, (uint32_t)strlen(o->options), (uint32_t)strlen(o->source),
                              (uint32_t)strlen(o->variants)};
    return give(w, &r, sizeof r) && give(w, o->options, r.options_bytes) &&
           give(w, o->source, r.source_bytes) && give(w, o->variants, r.variants_bytes);
}

static bool answer(const worker *w, norni_order *o) {
    norni_worker_reply a;
    if (!norni_read_all(w->fd, &a, sizeof a) || a.magic != NORNI_WORKER_MAGIC || a.binary_bytes > MAX_BINARY)
        return false;
    if (!a.binary_bytes)
        return true; /* it does not build: the log comes from building it here */
    unsigned char *binary = norni_alloc((size_t)a.binary_bytes);
    if (!binary || !norni_read_all(w->fd, binary, (size_t)a.binary_bytes) ||
        norni_hash_bytes(a.made, binary, (size_t)a.binary_bytes) != a.checksum) {
        norni_free(binary);
        return false;
    }
    o->binary = binary;
    o->binary_bytes = (size_t)a.binary_bytes;
    o->made = a.made;
    return true;
}

/* The work ---------------------------------------------------------------------------------------- */
typedef struct {
    worker workers[MAX_WORKERS];
    size_t n, next; /* workers; the first order that nobody has */
    norni_order *orders;
    size_t n_orders;
} office;

/* The next order for a worker; what there is none for ends. */
static void employ(office *f, worker *w) {
    if (f->next < f->n_orders) {
        w->order = f->next++;
        if (ask(w, &f->orders[w->order]))
            return;
    }
    end(w);
}

static void wait_for_all(office *f) {
    for (;;) {
        struct pollfd fds[MAX_WORKERS];
        worker *who[MAX_WORKERS];
        nfds_t n = 0;
        for (size_t i = 0; i < f->n; i++)
            if (f->workers[i].pid) {
                fds[n] = (struct pollfd){.fd = f->workers[i].fd, .events = POLLIN};
                who[n++] = &f->workers[i];
            }
        if (!n)
            return;
        int ready = poll(fds, n, norni_workers_silent_ms);
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0)
            return; /* nobody has said anything for so long: they are ended by the caller */
        for (nfds_t i = 0; i < n; i++) {
            if (!fds[i].revents)
                continue;
            if (answer(who[i], &f->orders[who[i]->order]))
                employ(f, who[i]);
            else
                end(who[i]);
        }
    }
}

static char *platform_text(const norn_context *ctx, cl_platform_info what) {
    char text[1024];
    return NORNI_CL(clGetPlatformInfo(ctx->platform, what, sizeof text, text, NULL)) == CL_SUCCESS
               ? norni_strdup(text)
               : NULL;
}

static char *device_text(const norn_context *ctx, cl_device_info what) {
    char text[1024];
    return NORNI_CL(clGetDeviceInfo(ctx->id, what, sizeof text, text, NULL)) == CL_SUCCESS
               ? norni_strdup(text)
               : NULL;
}

void norni_workers_run(norn_context *ctx, norni_order *orders, size_t n) {
    char *program = find_worker();
    if (!program)
        return;
    norni_str s = {0};
    norni_str_addf(&s, "%s/%sXXXXXX", ctx->cache.dir, NORNI_UNFINISHED);
    char *folder = norni_str_take(&s);
    char *names[4] = {platform_text(ctx, CL_PLATFORM_NAME), platform_text(ctx, CL_PLATFORM_VERSION),
                      device_text(ctx, CL_DEVICE_NAME), device_text(ctx, CL_DRIVER_VERSION)};
    if (folder && names[0] && names[1] && names[2] && names[3] && mkdtemp(folder)) {
        office f = {.orders = orders, .n_orders = n};
        size_t most = ctx->build_threads < MAX_WORKERS ? ctx->build_threads : MAX_WORKERS;
        while (f.n < most && f.n < n) {
            norni_str_addf(&s, "%s/%zu", folder, f.n);
            char *own = norni_str_take(&s);
            bool started = own && spawn(&f.workers[f.n], program, own, names);
            norni_free(own);
            if (!started)
                break;
            employ(&f, &f.workers[f.n++]);
        }
        wait_for_all(&f);
        for (size_t i = 0; i < f.n; i++)
            end(&f.workers[i]);
        norni_remove_folder(AT_FDCWD, folder);
    }
    for (int i = 0; i < 4; i++)
        norni_free(names[i]);
    norni_free(folder);
    norni_free(program);
}
