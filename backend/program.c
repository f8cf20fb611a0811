/* SPDX-License-Identifier: Apache-2.0 */
/* Programs: looked up in the context's table, loaded from the disk cache, or built, several at once.
 *
 * When a binary is saved depends on the driver. Most compile everything in clBuildProgram; their binaries go
 * to the disk at once. PoCL compiles a kernel at its first launch, for one local size at a time (a
 * "variant"), and what it returns as binary holds the variants there are by then; so its programs are saved
 * when they have been launched: at norn_context_close, or at a norn_context_finish once the time that takes
 * is small beside the time the context has been open (PoCL compiles every kernel once more for any local size
 * before it gives the binary out, 0.1 s and more a kernel, and keeps everybody else waiting). A cached file
 * lists its variants; a program that gets a new one is saved again.
 *
 * PoCL holds one lock a process while it compiles, so threads do not help there. When several programs are missing and there is
 * a cache, worker processes (backend/workers.c) compile them for the launches that are planned, and nothing is left to be done at
 * first launches and at closing. Without a cache, programs are compiled here: then PoCL's own cache may have them. */
#include "backend/internal.h"
#include "base/hash.h"
#include "base/str.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { MIN_ORDERS = 2 }; /* programs for which starting workers pays */
enum { MAX_THREADS = 16, MAX_VARIANTS = 256, LOG_LINES = 12, LOG_BYTES = 2000 };
enum { STACK_BYTES = 8 << 20 };       /* compilers recurse, and some C libraries give a thread little */
enum { SAVING_GUESS_NS = 400000000 }; /* what saving one program is taken to cost beforehand */

/* Options ----------------------------------------------------------------------------------------- */
static norn_status full_options(const norni_program_source *src, char **out) {
    static const char *const refused[] = {"-cl-fast-relaxed-math", "-cl-finite-math-only",
                                          "-cl-unsafe-math-optimizations", "-cl-std="};
    const char *options = src->options ? src->options : "";
    *out = NULL;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (strstr(options, refused[i]))
            return norni_fail(NORN_ARG,
                              "%s: options '%s': %s is refused (results must hold for NaN, infinity and "
                              "every rounding; OpenCL C 1.2 is set for all)",
                              src->name, options, refused[i]);
    norni_str s = {0};
    norni_str_addf(&s, "-cl-std=CL1.2 -cl-kernel-arg-info%s%s", *options ? " " : "", options);
    *out = norni_str_take(&s);
    return *out ? NORN_OK : norni_nomem();
}

/* One program on its way -------------------------------------------------------------------------- */
typedef struct {
    norni_program *p;
    int error;        /* of the call below */
    const char *call; /* that failed; NULL while all is well */
    char *log;
} job;

static char *build_log(norn_context *ctx, cl_program program) {
    size_t n = 0;
    if (NORNI_CL(clGetProgramBuildInfo(program, ctx->id, CL_PROGRAM_BUILD_LOG, 0, NULL, &n)) != CL_SUCCESS)
        return NULL;
    char *log = norni_alloc(n + 1);
    if (log &&
        NORNI_CL(clGetProgramBuildInfo(program, ctx->id, CL_PROGRAM_BUILD_LOG, n, log, NULL)) != CL_SUCCESS)
        *log = 0;
    return log;
}

/* From the disk: leaves p->cl NULL when that is not to be. */
static void load(job *j) {
    norni_program *p = j->p;
    norn_context *ctx = p->ctx;
    char *key = norni_cache_key(&ctx->cache, p->options, p->source);
    norni_cache_entry e;
    if (!norni_cache_load(&ctx->cache, key, &e)) {
        norni_free(key);
        return;
    }
    const unsigned char *binary = e.binary;
    cl_int status = CL_SUCCESS;
    int error = CL_SUCCESS;
    cl_program cl;
    NORNI_CL_NEW(cl, error,
                 clCreateProgramWithBinary(ctx->cl, 1, &ctx->id, &e.binary_bytes, &binary, &status, &error));
    if (error == CL_SUCCESS && status == CL_SUCCESS &&
        NORNI_CL(clBuildProgram(cl, 1, &ctx->id, p->options, NULL, NULL)) == CL_SUCCESS) {
        p->cl = cl;
        p->variants.v = e.variants;
        p->variants.n = p->variants.cap = e.n_variants;
        e.variants = NULL;
    } else {
        if (cl)
            clReleaseProgram(cl);
        norni_cache_remove(&ctx->cache, key);
    }
    norni_cache_entry_free(&e);
    norni_free(key);
}

static void save(norni_program *p) {
    norn_context *ctx = p->ctx;
    p->unsaved = false; /* one attempt is enough */
    char *key = norni_cache_key(&ctx->cache, p->options, p->source);
    norni_cache_entry e = {.variants = p->variants.v, .n_variants = p->variants.n};
    /* Another context or process may have been here. */
    if (key && !norni_cache_covers(&ctx->cache, key, e.variants, e.n_variants) &&
        NORNI_CL(clGetProgramInfo(p->cl, CL_PROGRAM_BINARY_SIZES, sizeof e.binary_bytes, &e.binary_bytes,
                                  NULL)) == CL_SUCCESS &&
        e.binary_bytes) {
        e.binary = norni_alloc(e.binary_bytes);
        if (e.binary && NORNI_CL(clGetProgramInfo(p->cl, CL_PROGRAM_BINARIES, sizeof e.binary, &e.binary,
                                                  NULL)) == CL_SUCCESS)
            norni_cache_store(&ctx->cache, key, &e);
        norni_free(e.binary);
    }
    norni_free(key);
}

static void build(job *j) {
    norni_program *p = j->p;
    norn_context *ctx = p->ctx;
    cl_program cl;
    const char *source = p->source;
    NORNI_CL_NEW(cl, j->error, clCreateProgramWithSource(ctx->cl, 1, &source, NULL, &j->error));
    if (j->error != CL_SUCCESS) {
        j->call = "clCreateProgramWithSource";
        return;
    }
    j->error = NORNI_CL(clBuildProgram(cl, 1, &ctx->id, p->options, NULL, NULL));
    if (j->error != CL_SUCCESS) {
        j->call = "clBuildProgram";
        j->log = build_log(ctx, cl);
        clReleaseProgram(cl);
        return;
    }
    p->cl = cl;
    p->unsaved = true;
    if (!ctx->lazy)
        save(p);
}

/* Several at once --------------------------------------------------------------------------------- */
typedef struct {
    job *jobs;
    size_t n;
    atomic_size_t next;
    void (*work)(job *);
} crew;

static void *worker(void *arg) {
    crew *c = arg;
    for (size_t i; (i = atomic_fetch_add(&c->next, 1)) < c->n;)
        if (!c->jobs[i].p->cl)
            c->work(&c->jobs[i]);
    return NULL;
}

/* The calling thread works too, so that it goes on without threads where none can be had. Milliseconds are
 * returned. */
static double work_on(norn_context *ctx, job *jobs, size_t n, void (*work)(job *)) {
    uint64_t start = norni_now_ns();
    crew c = {.jobs = jobs, .n = n, .work = work};
    atomic_init(&c.next, 0);
    size_t most = ctx->build_threads < MAX_THREADS ? ctx->build_threads : MAX_THREADS, threads = 0, todo = 0;
    for (size_t i = 0; i < n; i++)
        todo += jobs[i].p->cl == NULL;
    pthread_t ids[MAX_THREADS];
    pthread_attr_t attr;
    if (todo > 1 && pthread_attr_init(&attr) == 0) {
        pthread_attr_setstacksize(&attr, STACK_BYTES);
        while (threads + 1 < most && threads + 1 < todo &&
               pthread_create(&ids[threads], &attr, worker, &c) == 0)
            threads++;
        pthread_attr_destroy(&attr);
    }
    worker(&c);
    for (size_t i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
    return (double)(norni_now_ns() - start) * 1e-6;
}

/* The first lines of the log, indented; some drivers write none, some write pages. */
static norn_status build_failed(norn_context *ctx, const job *j) {
    if (j->error == CL_OUT_OF_HOST_MEMORY || j->error == CL_MEM_OBJECT_ALLOCATION_FAILURE)
        return norni_prefix(norni_cl_fail(&ctx->device, j->error, j->call, NULL), "%s", j->p->name);
    norni_str s = {0};
    size_t lines = 0;
    for (const char *at = j->log ? j->log : ""; *at && lines < LOG_LINES && s.n < LOG_BYTES;) {
        size_t n = strcspn(at, "\n");
        if (strspn(at, " \t\r") < n) {
            norni_str_addf(&s, "\n  %.*s", (int)(n < 300 ? n : 300), at);
            lines++;
        }
        at += n + (at[n] == '\n');
    }
    char *log = norni_str_take(&s);
    const char *name = norni_cl_name(j->error);
    norn_status status = norni_fail(NORN_BUILD, "%s: device '%s': options '%s': %s: %s (%d)%s%s", j->p->name,
                                    ctx->device.name, j->p->options, j->call, name ? name : "unknown error",
                                    j->error, log && *log ? "; the driver says:" : "", log ? log : "");
    norni_free(log);
    return status;
}

/* By workers -------------------------------------------------------------------------------------- */
/* The names of variants that PoCL has, as far as the planned launches tell them. */
static void want(norni_program *p, const norni_planned_list *list) {
    for (size_t i = 0; i < list->n; i++) {
        const norni_launch *l = &list->v[i].launch;
        uint64_t variant = norni_variant(list->v[i].kernel, l);
        bool known = !l->local[0], small = true, none = false;
        for (size_t k = 0; k < p->wanted.n && !known; k++)
            known = p->wanted.v[k].variant == variant;
        for (int d = 0; d < l->dims; d++) {
            small = small && l->global[d] < NORNI_SMALL_RANGE;
            none = none || !l->global[d];
        }
        if (known || none)
            continue;
        norni_str s = {0};
        norni_str_addf(&s, "%s %zu-%zu-%zu-goffs0%s\n", list->v[i].kernel, l->local[0],
                       l->dims > 1 ? l->local[1] : 1, l->dims > 2 ? l->local[2] : 1,
                       small ? "-smallgrid" : "");
        norni_wanted w = {variant, norni_str_take(&s)};
        if (w.line && !NORNI_PUSH(&p->wanted, w))
            norni_free(w.line);
    }
}

static void forget_wanted(norni_program *p) {
    for (size_t i = 0; i < p->wanted.n; i++)
        norni_free(p->wanted.v[i].line);
    norni_vec_free(&p->wanted);
}

static bool order(const norni_program *p, norni_order *o) {
    norni_str s = {0};
    norni_str_add(&s, "");
    for (size_t i = 0; i < p->wanted.n; i++)
        norni_str_add(&s, p->wanted.v[i].line);
    *o = (norni_order){.options = p->options, .source = p->source, .variants = norni_str_take(&s)};
    return o->variants != NULL;
}

/* To the disk, from where it is loaded like any other. */
static void deliver(norni_program *p, const norni_order *o) {
    norni_cache_entry e = {.binary = o->binary, .binary_bytes = o->binary_bytes};
    uint64_t variants[64];
    for (size_t i = 0; i < p->wanted.n && i < sizeof variants / sizeof *variants; i++)
        if (o->made >> i & 1)
            variants[e.n_variants++] = p->wanted.v[i].variant;
    e.variants = variants;
    char *key = o->binary ? norni_cache_key(&p->ctx->cache, p->options, p->source) : NULL;
    norni_cache_store(&p->ctx->cache, key, &e);
    norni_free(key);
}

/* Those that are missing, by other processes; whatever they do not deliver is still missing afterwards. */
static void build_elsewhere(norn_context *ctx, job *jobs, size_t n) {
    norni_order *orders = norni_alloc_array(n, sizeof *orders);
    size_t *who = norni_alloc_array(n, sizeof *who), n_orders = 0;
    bool ok = orders && who;
    for (size_t i = 0; i < n && ok; i++)
        if (!jobs[i].p->cl && jobs[i].p->wanted.n && (ok = order(jobs[i].p, &orders[n_orders])))
            who[n_orders++] = i;
    if (ok && n_orders >= MIN_ORDERS) {
        uint64_t start = norni_now_ns();
        norni_workers_run(ctx, orders, n_orders);
        for (size_t k = 0; k < n_orders; k++)
            deliver(jobs[who[k]].p, &orders[k]);
        ctx->builds.build_ms += (double)(norni_now_ns() - start) * 1e-6;
        ctx->builds.cache_ms += work_on(ctx, jobs, n, load);
        for (size_t k = 0; k < n_orders; k++)
            ctx->builds.built += jobs[who[k]].p->cl != NULL;
        norni_cache_trim(&ctx->cache);
    }
    for (size_t k = 0; k < n_orders; k++) {
        norni_free((char *)orders[k].variants);
        norni_free(orders[k].binary);
    }
    norni_free(orders);
    norni_free(who);
}

/* The table --------------------------------------------------------------------------------------- */
static bool same(const norni_program *p, uint64_t hash, const char *source, const char *options) {
    return p->hash == hash && !strcmp(p->source, source) && !strcmp(p->options, options);
}

void norni_program_unref(norni_program *p) {
    if (!p || --p->refs)
        return;
    norn_context *ctx = p->ctx;
    if (p->cl)
        clReleaseProgram(p->cl);
    norni_vec_free(&p->variants);
    forget_wanted(p);
    norni_free(p->name);
    norni_free(p->source);
    norni_free(p->options);
    norni_free(p);
    norni_context_unref(ctx);
}

/* Takes `options`. */
static norni_program *program_new(norn_context *ctx, const norni_program_source *src, char *options,
                                  uint64_t hash) {
    norni_program *p = norni_alloc(sizeof *p);
    if (!p) {
        norni_free(options);
        return NULL;
    }
    *p = (norni_program){.ctx = ctx, .refs = 1, .hash = hash, .options = options};
    norni_context_ref(ctx);
    p->name = norni_strdup(src->name ? src->name : "program");
    p->source = norni_strdup(src->source);
    if (p->name && p->source)
        return p;
    norni_program_unref(p);
    return NULL;
}

/* From the table, from the jobs so far, or as a new job. */
static norn_status find(norn_context *ctx, const norni_program_source *src, const norni_planned_list *planned,
                        job *jobs, size_t *n, norni_program **out) {
    char *options;
    NORNI_TRY(full_options(src, &options));
    uint64_t hash = norni_hash_str(norni_hash_str(0, options), src->source);
    norni_program *p = NULL;
    for (size_t i = 0; i < ctx->programs.n && !p; i++)
        if (same(ctx->programs.v[i], hash, src->source, options))
            p = ctx->programs.v[i];
    for (size_t i = 0; i < *n && !p; i++)
        if (same(jobs[i].p, hash, src->source, options))
            p = jobs[i].p;
    *out = p;
    if (p) {
        norni_free(options);
        return NORN_OK;
    }
    *out = jobs[*n].p = program_new(ctx, src, options, hash);
    if (!*out)
        return norni_nomem();
    if (planned && ctx->lazy)
        want(*out, planned);
    (*n)++;
    return NORN_OK;
}

/* Loads or builds what is missing and moves it to the table; the first failure is the result. */
static norn_status make(norn_context *ctx, job *jobs, size_t n) {
    if (ctx->cache.dir && n) {
        ctx->builds.cache_ms += work_on(ctx, jobs, n, load);
        for (size_t i = 0; i < n; i++)
            ctx->builds.cached += jobs[i].p->cl != NULL;
        if (ctx->lazy)
            build_elsewhere(ctx, jobs, n);
    }
    for (size_t i = 0; i < n; i++)
        forget_wanted(jobs[i].p);
    size_t missing = 0;
    for (size_t i = 0; i < n; i++)
        missing += jobs[i].p->cl == NULL;
    if (missing)
        ctx->builds.build_ms += work_on(ctx, jobs, n, build);
    norn_status s = NORN_OK;
    for (size_t i = 0; i < n; i++) {
        if (jobs[i].call && s == NORN_OK)
            s = build_failed(ctx, &jobs[i]);
        else if (!jobs[i].call && NORNI_PUSH(&ctx->programs, jobs[i].p))
            jobs[i].p = NULL; /* the table's now */
        else if (!jobs[i].call && s == NORN_OK)
            s = norni_nomem();
        norni_free(jobs[i].log);
    }
    size_t failed = 0;
    for (size_t i = 0; i < n; i++)
        failed += jobs[i].call != NULL;
    ctx->builds.built += (unsigned)(missing - failed);
    if (missing && !ctx->lazy)
        norni_cache_trim(&ctx->cache);
    return s;
}

norn_status norni_programs_get_for(norn_context *ctx, const norni_program_source *src,
                                   const norni_planned_list *planned, size_t n, norni_program **out) {
    for (size_t i = 0; i < n; i++)
        out[i] = NULL;
    NORNI_TRY(norni_context_check(ctx, "programs"));
    if (ctx->host)
        return norni_fail(NORN_UNSUPPORTED, "device '%s': runs no kernels (wanted an OpenCL device)",
                          ctx->device.name);
    job *jobs = norni_alloc_array(n, sizeof *jobs);
    if (!jobs)
        return norni_nomem();
    size_t n_jobs = 0;
    norn_status s = NORN_OK;
    for (size_t i = 0; i < n && s == NORN_OK; i++)
        s = find(ctx, &src[i], planned ? &planned[i] : NULL, jobs, &n_jobs, &out[i]);
    if (s == NORN_OK)
        s = make(ctx, jobs, n_jobs);
    for (size_t i = 0; i < n_jobs; i++)
        norni_program_unref(jobs[i].p);
    norni_free(jobs);
    for (size_t i = 0; i < n && s != NORN_OK; i++)
        out[i] = NULL;
    return s;
}

norn_status norni_programs_get(norn_context *ctx, const norni_program_source *src, size_t n,
                               norni_program **out) {
    return norni_programs_get_for(ctx, src, NULL, n, out);
}

/* Saving ------------------------------------------------------------------------------------------ */
bool norni_program_launches(norni_program *p, uint64_t variant) {
    if (!p->ctx->lazy)
        return false;
    for (size_t i = 0; i < p->variants.n; i++)
        if (p->variants.v[i] == variant)
            return false;
    /* A program launched in ever new sizes is not saved for each; past the limit, new ones are left to the
     * driver. */
    if (p->variants.n >= MAX_VARIANTS || !NORNI_PUSH(&p->variants, variant))
        return false;
    p->unsaved = true;
    return true;
}

void norni_programs_save(norn_context *ctx, uint64_t limit_ns) {
    if (!ctx->cache.dir || !ctx->lazy)
        return;
    bool some = false;
    for (size_t i = 0; i < ctx->programs.n; i++) {
        norni_program *p = ctx->programs.v[i];
        if (!p->unsaved || !p->variants.n)
            continue;
        if (limit_ns && ctx->saving_ns + SAVING_GUESS_NS > limit_ns)
            break;
        uint64_t start = norni_now_ns();
        save(p);
        ctx->saving_ns += norni_now_ns() - start;
        some = true;
    }
    if (some)
        norni_cache_trim(&ctx->cache);
}

void norni_programs_drop(norn_context *ctx) {
    for (size_t i = 0; i < ctx->programs.n; i++)
        norni_program_unref(ctx->programs.v[i]);
    ctx->programs.n = 0;
}
