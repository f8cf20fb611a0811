/* SPDX-License-Identifier: Apache-2.0 */
/* Programs: building, in memory and on disk cached; kernels with checked arguments; launches. */
#ifndef NORNI_PROGRAM_H
#define NORNI_PROGRAM_H
#include "base/status.h"

typedef struct norni_program norni_program;
typedef struct norni_kernel norni_kernel;

typedef struct {
    int dims;
    size_t global[3], local[3]; /* local[0] 0: the driver chooses; global is rounded up to it by the caller */
    const char *what;    /* operator text for messages and the profile, or NULL; must outlive the context */
    double flops, bytes; /* for the profile */
} norni_launch;

/* A launch that is to come, for drivers that compile a kernel for each local size. */
typedef struct {
    const char *kernel;
    norni_launch launch;
} norni_planned;

typedef struct {
    const norni_planned *v;
    size_t n;
} norni_planned_list;

typedef struct {
    const char *name;    /* for messages: "conv_direct.cl" */
    const char *source;  /* OpenCL C 1.2, terminated */
    const char *options; /* "-DT_F32 -DMR=8"; -cl-std=CL1.2 is added here, fast-math options are refused */
} norni_program_source;

/* Programs for n sources, in the same order: from memory, else from the disk cache, else built (those that
 * miss, side by side: one a core, or NORN_BUILD_THREADS; in threads, or in other processes where the driver compiles under
 * one lock). They belong to the context. NORN_BUILD
 * names program, device and options and holds the first lines of the build log; NORN_ARG: refused options;
 * NORN_UNSUPPORTED: the host reference. */
norn_status norni_programs_get(norn_context *ctx, const norni_program_source *src, size_t n,
                               norni_program **out);
/* The same; planned[i] are the launches of program i, as far as they are known. NULL: nothing is known. */
norn_status norni_programs_get_for(norn_context *ctx, const norni_program_source *src,
                                   const norni_planned_list *planned, size_t n, norni_program **out);

/* A kernel of its own, with arguments of its own. Errors: NORN_INTERNAL when the program has no such kernel.
 */
norn_status norni_kernel_new(norni_program *p, const char *name, norni_kernel **out);
void norni_kernel_free(norni_kernel *k);
/* Arguments are checked against what the driver says of them: index, kind, and for values of built-in types
 * the size. A kernel keeps a reference to its buffers; a NULL buffer is a NULL pointer in the kernel. Errors:
 * NORN_INTERNAL. */
norn_status norni_kernel_set_buffer(norni_kernel *k, unsigned index, norn_buffer *b);
norn_status norni_kernel_set_value(norni_kernel *k, unsigned index, const void *value, size_t bytes);
norn_status norni_kernel_set_local(norni_kernel *k, unsigned index, size_t bytes);
/* NORN_INTERNAL, naming kernel and index, when an argument was never set. */
norn_status norni_kernel_ready(const norni_kernel *k);

/* Enqueues; nothing is waited for (but on PoCL, which compiles then, the first launch with a local size). A
 * global size of 0 in any dimension enqueues nothing. Errors name call, code, kernel, sizes and device. */
norn_status norni_kernel_launch(norni_kernel *k, const norni_launch *l);
/* Largest work-group this kernel can have on its device. */
size_t norni_kernel_max_work_group(const norni_kernel *k);

#endif
