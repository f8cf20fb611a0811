/* SPDX-License-Identifier: Apache-2.0 */
/* norn: train, differentiate and convert neural networks on any OpenCL device.
 *
 * The order of this file is the order of the pipeline:
 *
 *     file --import--> graph --passes--> graph --plan--> plan --load--> executable --run--> device
 *          <--export--       grad, fold, fuse                pure data      OpenCL objects     queue
 *
 *  1. status and errors          5. graph: values and operators    9. model files (ONNX)
 *  2. element types, tensors     6. gradient and optimizers       10. data sets and training
 *  3. devices and contexts       7. plan                          11. benchmarks
 *  4. buffers, tensors on them   8. session, state, executable
 *
 * Conventions. A function that can fail returns norn_status; norn_error() then holds one line
 * "where: what: got (wanted)". Results come through the last arguments and are NULL after a failure. What
 * new, open, load, parse and copy return is the caller's, to be given to free or close, which accept NULL. Accessors
 * are bare nouns and lend. Handles are opaque. A context, and all that was made from it, is used by one thread at
 * a time; several contexts at once are fine. Strings are UTF-8. Sizes are in bytes where the name says bytes, and
 * else in elements. */
#ifndef NORN_H
#define NORN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define NORN_API __attribute__((visibility("default")))
#else
#define NORN_API
#endif

#define NORN_VERSION_MAJOR 0
#define NORN_VERSION_MINOR 1
#define NORN_VERSION_PATCH 0

/* The version of the library that runs, "0.1.0". */
NORN_API const char *norn_version(void);

/* ------------------------------------------------------------------------------------------------------------
 * 1. Status and errors */

typedef enum norn_status {
    NORN_OK = 0,
    NORN_NOMEM,       /* host or device memory is out */
    NORN_ARG,         /* an argument is wrong: a name, a number, an option */
    NORN_SHAPE,       /* shapes do not fit together */
    NORN_DTYPE,       /* element types do not fit together */
    NORN_UNSUPPORTED, /* an operator, type or feature that norn or this device lacks */
    NORN_PARSE,       /* a file or text is malformed */
    NORN_IO,          /* reading or writing failed */
    NORN_DEVICE,      /* an OpenCL call failed, or there is no such device */
    NORN_BUILD,       /* a kernel does not compile on this device */
    NORN_INTERNAL     /* a bug in norn */
} norn_status;

/* The message of the last failure in this thread; "" if none. Valid until the next failure. */
NORN_API const char *norn_error(void);
/* "shape mismatch" for NORN_SHAPE. */
NORN_API const char *norn_status_name(norn_status s);
/* The exit code of the command line for a status: 0 for NORN_OK, else 2 to 11. */
NORN_API int norn_status_exit_code(norn_status s);
/* Frees text that a function of this header returned. */
NORN_API void norn_text_free(char *text);

/* ------------------------------------------------------------------------------------------------------------
 * 2. Element types and tensors */

/* The numbers are those of ONNX's TensorProto.DataType. */
typedef enum norn_dtype {
    NORN_UNDEFINED = 0,
    NORN_F32 = 1,
    NORN_U8 = 2,
    NORN_I8 = 3,
    NORN_U16 = 4,
    NORN_I16 = 5,
    NORN_I32 = 6,
    NORN_I64 = 7,
    NORN_STRING = 8, /* known by name only */
    NORN_BOOL = 9,
    NORN_F16 = 10,
    NORN_F64 = 11,
    NORN_U32 = 12,
    NORN_U64 = 13,
    NORN_C64 = 14,  /* known by name only */
    NORN_C128 = 15, /* known by name only */
    NORN_BF16 = 16,
    NORN_F8E4M3FN = 17,
    NORN_F8E4M3FNUZ = 18,
    NORN_F8E5M2 = 19,
    NORN_F8E5M2FNUZ = 20,
    NORN_U4 = 21, /* two elements a byte, the first in the low bits */
    NORN_I4 = 22,
    NORN_F4E2M1 = 23,
    NORN_F8E8M0 = 24,
    NORN_U2 = 25, /* four elements a byte */
    NORN_I2 = 26
} norn_dtype;

enum { NORN_MAX_RANK = 8 };

/* The name in ONNX's textual syntax: "float", "int64", "bfloat16". */
NORN_API const char *norn_dtype_name(norn_dtype t);
/* Bytes that `elems` packed elements take. */
NORN_API size_t norn_dtype_bytes(norn_dtype t, int64_t elems);

typedef struct norn_context norn_context;

/* A tensor holds elements of one type in row-major order (last size fastest), in host memory or in a device's.
 * A view shares the memory of another tensor and keeps it alive. */
typedef struct norn_tensor norn_tensor;

/* A new tensor, in host memory when ctx is NULL; filled from `data` (packed, in host memory), with zeros when
 * data is NULL. Errors: NORN_SHAPE (rank above NORN_MAX_RANK, a negative size, too many elements),
 * NORN_UNSUPPORTED (strings, complex numbers), NORN_NOMEM, NORN_DEVICE. */
NORN_API norn_status norn_tensor_new(norn_context *ctx, norn_dtype dtype, int rank, const int64_t *dims,
                                     const void *data, norn_tensor **out);
NORN_API void norn_tensor_free(norn_tensor *t);
NORN_API norn_dtype norn_tensor_dtype(const norn_tensor *t);
NORN_API int norn_tensor_rank(const norn_tensor *t);
NORN_API const int64_t *norn_tensor_dims(const norn_tensor *t);
NORN_API int64_t norn_tensor_elems(const norn_tensor *t);
NORN_API size_t norn_tensor_bytes(const norn_tensor *t);
/* The elements of a packed tensor in host memory; NULL for a tensor on a device and for a strided view. */
NORN_API void *norn_tensor_data(const norn_tensor *t);
/* Packed elements from host memory into the tensor, and back; both wait until they are done. */
NORN_API norn_status norn_tensor_write(norn_tensor *t, const void *data);
NORN_API norn_status norn_tensor_read(const norn_tensor *t, void *data);
/* A packed copy in host memory (ctx NULL) or on a device. */
NORN_API norn_status norn_tensor_copy(const norn_tensor *t, norn_context *ctx, norn_tensor **out);
/* Views. slice: start <= i < stop along one axis. transpose: size i of the result is size perm[i] of t.
 * reshape: the same elements; needs a packed tensor. Errors: NORN_ARG, NORN_SHAPE. */
NORN_API norn_status norn_tensor_slice(const norn_tensor *t, int axis, int64_t start, int64_t stop,
                                       norn_tensor **out);
NORN_API norn_status norn_tensor_transpose(const norn_tensor *t, const int *perm, norn_tensor **out);
NORN_API norn_status norn_tensor_reshape(const norn_tensor *t, int rank, const int64_t *dims, norn_tensor **out);
/* Element i (in row-major order) of a host tensor, converted. */
NORN_API double norn_tensor_get(const norn_tensor *t, int64_t i);
NORN_API void norn_tensor_set(norn_tensor *t, int64_t i, double v);
/* "float[2,3] {1, 2, ...}", at most `limit` elements written out (-1: all). Freed by norn_text_free. */
NORN_API norn_status norn_tensor_print(const norn_tensor *t, int64_t limit, char **out);

/* ------------------------------------------------------------------------------------------------------------
 * 3. Devices and contexts */

typedef enum norn_device_type {
    NORN_DEVICE_HOST, /* the reference implementation, in plain C: for checking */
    NORN_DEVICE_CPU,
    NORN_DEVICE_GPU,
    NORN_DEVICE_ACCELERATOR,
    NORN_DEVICE_OTHER
} norn_device_type;

typedef struct norn_device norn_device;
typedef struct norn_devices norn_devices; /* all platforms and devices, as found at one moment */

/* Lists every device of every platform, best first, the host reference last. Never fails for want of devices. */
NORN_API norn_status norn_devices_list(norn_devices **out);
NORN_API void norn_devices_free(norn_devices *list);
NORN_API size_t norn_devices_count(const norn_devices *list);
NORN_API const norn_device *norn_devices_at(const norn_devices *list, size_t i);
NORN_API size_t norn_devices_platform_count(const norn_devices *list);
NORN_API const char *norn_devices_platform_name(const norn_devices *list, size_t i);
NORN_API const char *norn_devices_platform_version(const norn_devices *list, size_t i);
/* How many devices a platform offers; 0 is possible. */
NORN_API size_t norn_devices_platform_devices(const norn_devices *list, size_t i);
/* Picks by an index of the list, "cpu", "gpu", "host", a vendor or a part of a name (any case), "all", or a
 * comma-separated list of these. spec NULL or "": the environment's NORN_DEVICE, else the first device. Writes up to
 * `max` indices to `picked` and the number to *n. Errors: NORN_DEVICE, with what there is, or which package to
 * install when there is nothing. */
NORN_API norn_status norn_devices_pick(const norn_devices *list, const char *spec, size_t max, size_t *picked,
                                       size_t *n);

NORN_API const char *norn_device_name(const norn_device *d);
NORN_API const char *norn_device_vendor(const norn_device *d);
NORN_API const char *norn_device_driver(const norn_device *d);
NORN_API const char *norn_device_version(const norn_device *d);
NORN_API const char *norn_device_platform(const norn_device *d);
NORN_API norn_device_type norn_device_kind(const norn_device *d);
NORN_API unsigned norn_device_compute_units(const norn_device *d);
NORN_API unsigned norn_device_clock_mhz(const norn_device *d);
NORN_API uint64_t norn_device_memory_bytes(const norn_device *d);
NORN_API uint64_t norn_device_max_alloc_bytes(const norn_device *d);
NORN_API uint64_t norn_device_local_bytes(const norn_device *d);
NORN_API size_t norn_device_max_work_group(const norn_device *d);
/* feature: "fp16", "fp64", "subgroups", "unified-memory", "images". */
NORN_API bool norn_device_has(const norn_device *d, const char *feature);
/* All of it as "key: value" lines, and back: a plan for a device can be made where that device is not. */
NORN_API norn_status norn_device_print(const norn_device *d, char **out);
NORN_API norn_status norn_device_parse(const char *text, norn_device **out);
NORN_API void norn_device_free(norn_device *d); /* of a parsed device */

/* Opens the first device that `spec` names (see norn_devices_pick). */
NORN_API norn_status norn_context_open(const char *spec, norn_context **out);
NORN_API void norn_context_close(norn_context *ctx);
NORN_API const norn_device *norn_context_device(const norn_context *ctx);
/* Waits until everything that was enqueued is done. */
NORN_API norn_status norn_context_finish(norn_context *ctx);

typedef struct norn_memory_stats {
    uint64_t live_bytes;   /* device memory handed out now */
    uint64_t pooled_bytes; /* kept for reuse */
    uint64_t peak_bytes;   /* largest sum of both so far */
} norn_memory_stats;
NORN_API void norn_context_memory(const norn_context *ctx, norn_memory_stats *out);

typedef struct norn_build_stats {
    unsigned built;      /* programs compiled from source */
    unsigned cached;     /* programs loaded from the cache on disk */
    double build_ms;     /* time spent compiling */
    double cache_ms;     /* time spent loading */
} norn_build_stats;
NORN_API void norn_context_builds(const norn_context *ctx, norn_build_stats *out);

/* Profiling: every launch, transfer and library call between on and off is recorded. */
typedef struct norn_profile_entry {
    const char *kernel; /* kernel name, or the kind of transfer */
    const char *what;   /* the operator it ran for; "" if none */
    uint64_t queued_ns, start_ns, end_ns; /* device clock */
    double flops, bytes; /* as the operator's cost model says; 0 if unknown */
} norn_profile_entry;
NORN_API norn_status norn_context_profile(norn_context *ctx, bool on);
NORN_API size_t norn_context_profile_count(norn_context *ctx);
NORN_API const norn_profile_entry *norn_context_profile_at(norn_context *ctx, size_t i);

/* ------------------------------------------------------------------------------------------------------------
 * 4. Buffers (layer 2; tensors above lie on them) */

typedef struct norn_buffer norn_buffer;
NORN_API norn_status norn_buffer_new(norn_context *ctx, size_t bytes, norn_buffer **out);
NORN_API void norn_buffer_free(norn_buffer *b);
NORN_API size_t norn_buffer_bytes(const norn_buffer *b);
/* Transfers wait until they are done. Errors: NORN_ARG when offset + bytes is outside the buffer, NORN_DEVICE. */
NORN_API norn_status norn_buffer_write(norn_buffer *b, size_t offset_bytes, const void *data, size_t bytes);
NORN_API norn_status norn_buffer_read(const norn_buffer *b, size_t offset_bytes, void *data, size_t bytes);
NORN_API norn_status norn_buffer_copy(const norn_buffer *from, size_t from_bytes, norn_buffer *to, size_t to_bytes,
                                      size_t bytes);
NORN_API norn_status norn_buffer_fill(norn_buffer *b, size_t offset_bytes, size_t bytes, uint8_t value);

#ifdef __cplusplus
}
#endif
#endif /* NORN_H */
