/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of backend/ share, OpenCL types included; nothing outside backend/ includes this. */
#ifndef NORNI_INTERNAL_H
#define NORNI_INTERNAL_H
#include "backend/buffer.h"
#include "backend/context.h"
#include "backend/program.h"
#include "base/alloc.h"
#include "base/vec.h"
#include <CL/cl.h>
#include <CL/cl_ext.h>

/* Calls -------------------------------------------------------------------------------------------
 * Every OpenCL (and CLBlast) call that can fail goes through one of these, which is where norni_cl_fail_after
 * bites. NORNI_CL is the code of a call that returns one; NORNI_CL_NEW is for calls that return an object. */
#define NORNI_CL(call) (norni_cl_injected() ? norni_cl_injected_code() : (call))
#define NORNI_CL_NEW(object, code, call)                                                                     \
    do {                                                                                                     \
        if (norni_cl_injected()) {                                                                           \
            (object) = NULL;                                                                                 \
            (code) = norni_cl_injected_code();                                                               \
        } else {                                                                                             \
            (object) = (call);                                                                               \
        }                                                                                                    \
    } while (0)
bool norni_cl_injected(void);
int norni_cl_injected_code(void);

/* "CL_OUT_OF_RESOURCES" for -5; CLBlast's codes too; NULL for a number nobody has named. */
const char *norni_cl_name(int code);
/* NORN_NOMEM for codes that say so, else NORN_DEVICE. */
norn_status norni_cl_status(int code);
/* "device 'NAME': CALL: CL_NAME (-5): DETAIL"; fmt may be NULL for no detail. */
norn_status norni_cl_fail(const norn_device *d, int code, const char *call, const char *fmt, ...)
    NORNI_PRINTF(4, 5);

/* Devices ----------------------------------------------------------------------------------------- */
typedef struct {
    norn_device device;
    cl_platform_id platform;
    cl_device_id id; /* NULL: the host reference */
} norni_listed;

struct norn_devices {
    size_t n, n_platforms;
    norni_listed *v;
    struct norni_platform {
        char name[96], version[96];
        size_t devices;
    } * platforms;
};

/* Puts a device in its place by rank, after its equals; list->v must have room. */
void norni_devices_insert(norn_devices *list, const norni_listed *d);
/* NULL when norn can run on the device, else the reason. */
const char *norni_device_unusable(const norn_device *d);
/* Whether `part` occurs in `text`, any case. */
bool norni_text_has(const char *text, const char *part);
/* "cpu", "gpu", ... */
const char *norni_device_type_name(norn_device_type t);
/* Text of a device or platform query in one line, cut to fit; "" when the query fails. */
void norni_device_text(cl_device_id id, cl_device_info what, char *out, size_t size);

/* Programs on disk -------------------------------------------------------------------------------- */
typedef struct {
    char *dir;          /* NULL: no cache */
    char *device_key;   /* everything about the device that a binary depends on */
    uint64_t cap_bytes; /* of the whole folder */
} norni_cache;

/* What one file holds. Variants are hashes of (kernel, local size, ...) that the binary has machine code for.
 */
typedef struct {
    unsigned char *binary;
    size_t binary_bytes;
    uint64_t *variants;
    size_t n_variants;
} norni_cache_entry;

/* Reads the environment; never fails, but may leave the cache off. */
void norni_cache_open(norni_cache *c, const norn_device *d, cl_device_id id);
void norni_cache_close(norni_cache *c);
/* The full key of a program, NULL when memory is out. */
char *norni_cache_key(const norni_cache *c, const char *options, const char *source);
/* False when there is no valid file with this very key. Touches the file, so that it counts as used; removes
 * a damaged one. */
bool norni_cache_load(const norni_cache *c, const char *key, norni_cache_entry *e);
/* Whether there is such a file and it holds all these variants; reads neither binary nor checksum. */
bool norni_cache_covers(const norni_cache *c, const char *key, const uint64_t *variants, size_t n);
/* For a file whose binary the driver refuses. */
void norni_cache_remove(const norni_cache *c, const char *key);
/* Failures leave the cache as it was. */
void norni_cache_store(const norni_cache *c, const char *key, const norni_cache_entry *e);
/* Removes the least recently used files until the folder is within its limit, and temporary files left by a
 * crash. */
void norni_cache_trim(const norni_cache *c);
void norni_cache_entry_free(norni_cache_entry *e);

/* Of temporary files and folders. */
#define NORNI_UNFINISHED "unfinished-"

/* Programs from other processes ------------------------------------------------------------------- */
typedef struct {
    const char *options, *source;
    const char *variants;  /* lines "KERNEL FORM", as in backend/worker/protocol.h */
    unsigned char *binary; /* NULL: not delivered; to be freed */
    size_t binary_bytes;
    uint64_t made; /* bit i: the binary has machine code for line i */
} norni_order;

/* Has workers compile the orders, first ones first, and waits for them. Without a worker program nothing is delivered. */
void norni_workers_run(norn_context *ctx, norni_order *orders, size_t n);
/* When no worker has answered for so long, they are given up; tests make it short. */
extern int norni_workers_silent_ms;
/* rm -r of a folder; links in it are not followed. */
void norni_remove_folder(int in, const char *name);

/* Profile ----------------------------------------------------------------------------------------- */
typedef struct {
    norn_profile_entry entry;
    cl_event before, event; /* an entry spans from the end of `before` when that is there */
} norni_profile_pending;

typedef struct {
    bool on;
    NORNI_VEC(norn_profile_entry) done;
    NORNI_VEC(norni_profile_pending) pending;
} norni_profile;

/* &event while profiling, else NULL: the last argument of an enqueue. */
cl_event *norni_profile_event(norn_context *ctx, cl_event *event);
/* Takes the event (NULL is fine when the profile is off). `kernel` and `what` must outlive the context. */
norn_status norni_profile_add(norn_context *ctx, cl_event before, cl_event event, const char *kernel,
                              const char *what, double flops, double bytes);
/* An entry of the host reference, timed by the caller. */
norn_status norni_profile_add_host(norn_context *ctx, const char *kernel, uint64_t start_ns, double bytes);
void norni_profile_clear(norn_context *ctx);
uint64_t norni_now_ns(void);

/* Context ----------------------------------------------------------------------------------------- */
typedef struct {
    cl_mem mem;
    size_t bytes;
} norni_pooled;

struct norn_context {
    norn_device device;
    bool host;
    bool closed; /* norn_context_close was called; buffers and kernels that are left hold it up */
    bool lazy;   /* the driver compiles a kernel at its first launch, per local size, so binaries grow until
                    then */
    unsigned build_threads;
    bool poison;      /* NORN_POISON: fresh and recycled memory is filled with 0xFF */
    bool large_pages; /* buffers are host memory that the driver uses as it is */
    bool timed_queue;
    int refs; /* the caller's until close, one a buffer, program and kernel */
    cl_platform_id platform;
    cl_device_id id;
    cl_context cl;
    cl_command_queue queue;

    NORNI_VEC(norni_pooled) pool; /* least recently returned first */
    size_t pool_cap_bytes;
    norn_memory_stats memory;

    NORNI_VEC(norni_program *) programs;
    NORNI_VEC(char *) names; /* kernel names, kept for the profile */
    norni_cache cache;
    norn_build_stats builds;
    uint64_t opened_ns, saving_ns; /* since when, and how long it has spent on saving binaries */
    double saving_share;           /* of the time since opening that norn_context_finish may spend on it */

    norni_profile profile;
    bool watch;    /* norni_context_watch was called */
    cl_event last; /* then: of the last command; else NULL */
    bool used_blas;
    unsigned blas_types; /* norni_blas_first was called for: a bit for an element type */
};

/* Takes the event of a command: kept while the context watches, else released. */
void norni_context_watched(norn_context *ctx, cl_event event);
void norni_context_ref(norn_context *ctx);
void norni_context_unref(norn_context *ctx);
/* NORN_ARG when the context was closed. */
norn_status norni_context_check(const norn_context *ctx, const char *where);
/* After an enqueue or allocation that failed with `code`: true when that may be for want of memory and there
 * was pooled memory, which is now given back, so that the caller tries again, once. */
bool norni_context_reclaim(norn_context *ctx, int code);
/* A queue with or without time stamps instead of the present one, which is finished first. */
norn_status norni_context_set_queue(norn_context *ctx, bool timed);
/* A copy of the name that lives as long as the context; NULL when memory is out. */
const char *norni_context_name(norn_context *ctx, const char *name);

/* A buffer on large pages; NULL where that has no use or does not work. */
cl_mem norni_large_pages_buffer(norn_context *ctx, size_t bytes);
/* Buffers ----------------------------------------------------------------------------------------- */
struct norn_buffer {
    norn_context *ctx;
    norn_buffer *parent; /* of a sub-buffer: the whole one */
    cl_mem mem;          /* on a device */
    char *host;          /* on the host reference */
    size_t bytes;        /* as asked for */
    size_t room;         /* as allocated */
    size_t offset;       /* in the parent */
    int refs;
};

/* Programs ---------------------------------------------------------------------------------------- */
/* A launch that is to come. */
typedef struct {
    uint64_t variant;
    char *line; /* "KERNEL FORM" */
} norni_wanted;

struct norni_program {
    norn_context *ctx;
    int refs; /* the context's table, kernels */
    char *name, *source, *options;
    uint64_t hash; /* of source and options */
    cl_program cl;
    NORNI_VEC(uint64_t) variants;
    NORNI_VEC(norni_wanted) wanted; /* until it is there */
    bool unsaved;                   /* the file in the cache, if any, lacks something */
};

void norni_program_unref(norni_program *p);
/* What PoCL compiles a kernel anew for: the local size, whether the range is small, and where we leave the
 * local size to the driver, whatever it makes of the global one. */
enum { NORNI_SMALL_RANGE = 65535 }; /* work-items in each dimension, below */
uint64_t norni_variant(const char *kernel, const norni_launch *l);
/* A launch of this variant comes next; true when it was not seen before in this program, here or in its
 * cached file. */
bool norni_program_launches(norni_program *p, uint64_t variant);
/* Saves binaries that grew by launches; limit_ns 0: all of them, else those for which the time spent on
 * saving stays below it. */
void norni_programs_save(norn_context *ctx, uint64_t limit_ns);
/* Drops the context's table. */
void norni_programs_drop(norn_context *ctx);

/* BLAS -------------------------------------------------------------------------------------------- */
/* The context will not call CLBlast any more; with the last one CLBlast's own program cache is emptied. */
void norni_blas_leave(norn_context *ctx);

#endif
