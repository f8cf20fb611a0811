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
 *  4. buffers, tensors on them   8. session, state, executable  12. certificates
 * 13. formulas and their derivatives (norn/symbolic.h)
 *
 * Conventions. A function that can fail returns norn_status; norn_error() then holds one line
 * "where: what: got (wanted)". Results come through the last arguments and are NULL after a failure. What
 * new, open, load, parse and copy return is the caller's, to be given to free or close, which accept NULL.
 * Accessors are bare nouns and lend. Handles are opaque. A context, and all that was made from it, is used by
 * one thread at a time; several contexts at once are fine. Strings are UTF-8. Sizes are in bytes where the
 * name says bytes, and else in elements. */
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

/* A tensor holds elements of one type in row-major order (last size fastest), in host memory or in a
 * device's. A view shares the memory of another tensor and keeps it alive. */
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
NORN_API norn_status norn_tensor_reshape(const norn_tensor *t, int rank, const int64_t *dims,
                                         norn_tensor **out);
/* Element i (in row-major order) of a host tensor, converted. */
NORN_API double norn_tensor_get(const norn_tensor *t, int64_t i);
NORN_API void norn_tensor_set(norn_tensor *t, int64_t i, double v);
/* "float[2,3] {1, 2, ...}", at most `limit` elements written out (-1: all). Freed by norn_text_free. */
NORN_API norn_status norn_tensor_print(const norn_tensor *t, int64_t limit, char **out);

/* ------------------------------------------------------------------------------------------------------------
 * Tensor files: NumPy's .npy and .npz, .png, ONNX's .pb */

/* Loads a tensor into host memory. What a file holds shows in its extension, else in its first bytes.
 *     a.npy         one array: bool, integers, float16, float, double; any byte order, row- or column-major
 *     a.npz         the only array in it         a.npz:NAME   the one of that name
 *     a.png         a picture: uint8 [H,W,C], C as stored (1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha)
 *     a.pb          an ONNX TensorProto (told by its extension only), of any element type that norn stores
 * Errors: NORN_IO, NORN_PARSE (damaged, or the data do not fit the shape), NORN_UNSUPPORTED (a format, an
 * element type), NORN_ARG (no such name, or none given where there are several), NORN_NOMEM. */
NORN_API norn_status norn_tensor_load(const char *path, norn_tensor **out);
/* Saves a tensor in host memory as .npy or .pb. The file appears whole or, after a failure, not at all. Errors:
 * NORN_IO, NORN_UNSUPPORTED (another extension; in .npy bfloat16 and other types that NumPy lacks: use
 * .pb or convert them first), NORN_ARG (the tensor is on a device). */
NORN_API norn_status norn_tensor_save(const norn_tensor *t, const char *path);

/* A .png as uint8 [H,W,C]; channels: 1, 3 or 4 converts to grey (BT.601), RGB, RGB and alpha; 0: as stored. Errors as
 * norn_tensor_load. */
NORN_API norn_status norn_picture_load(const char *path, int channels, norn_tensor **out);

/* A .npz file: named arrays. What is in it that is not .npy is passed over. An open archive is used by one
 * thread at a time. */
typedef struct norn_archive norn_archive;
NORN_API norn_status norn_archive_open(const char *path, norn_archive **out);
NORN_API void norn_archive_close(norn_archive *a);
NORN_API size_t norn_archive_count(const norn_archive *a);
/* The name of array i, in the file's order; NULL when there is none. */
NORN_API const char *norn_archive_name(const norn_archive *a, size_t i);
NORN_API bool norn_archive_has(const norn_archive *a, const char *name);
/* Loads an array into host memory. Errors: NORN_ARG (no such array; the message lists what there is), else as
 * norn_tensor_load. */
NORN_API norn_status norn_archive_load(norn_archive *a, const char *name, norn_tensor **out);
NORN_API norn_status norn_archive_load_at(norn_archive *a, size_t i, norn_tensor **out);
/* Saves n tensors in host memory under their names, uncompressed. Equal tensors give equal bytes; the file
 * appears whole or not at all. Errors as norn_tensor_save; NORN_ARG also for an empty or repeated name. */
NORN_API norn_status norn_archive_save(const char *path, size_t n, const char *const *names,
                                       norn_tensor *const *tensors);

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

/* Lists every device of every platform, best first, the host reference last. Never fails for want of devices.
 */
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
 * comma-separated list of these. spec NULL or "": the environment's NORN_DEVICE, else the first device.
 * Writes up to `max` indices to `picked` and the number to *n. Errors: NORN_DEVICE, with what there is, or
 * which package to install when there is nothing. */
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
/* feature: "fp16", "fp64", "subgroups", "unified-memory", "images". Of a listed device, what its driver says;
 * of a context's device, fp16 and fp64 were tried out. */
NORN_API bool norn_device_has(const norn_device *d, const char *feature);
/* All of it as "key: value" lines, and back: a plan for a device can be made where that device is not. */
NORN_API norn_status norn_device_print(const norn_device *d, char **out);
NORN_API norn_status norn_device_parse(const char *text, norn_device **out);
NORN_API void norn_device_free(norn_device *d); /* of a parsed device */

/* Opens the first device that `spec` names (see norn_devices_pick). Compiled kernels are kept in the folder
 * NORN_CACHE_DIR, else XDG_CACHE_HOME/norn, else ~/.cache/norn, up to NORN_CACHE_MB (512) megabytes;
 * NORN_CACHE=0 switches that off. With it, programs for PoCL are compiled by processes of their own, which are
 * started when needed and have ended when the call returns; NORN_WORKER=0 switches that off. Errors: NORN_DEVICE, NORN_UNSUPPORTED (a device that cannot compile),
 * NORN_NOMEM. */
NORN_API norn_status norn_context_open(const char *spec, norn_context **out);
/* Tensors and buffers that are left can only be freed afterwards. Closing may take a while after a first run:
 * some drivers compile once more for what is kept. */
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
    unsigned built;  /* programs compiled from source */
    unsigned cached; /* programs loaded from the cache on disk */
    double build_ms; /* time spent compiling, with what a driver leaves to first launches if that shows */
    double cache_ms; /* time spent loading */
} norn_build_stats;
NORN_API void norn_context_builds(const norn_context *ctx, norn_build_stats *out);

/* Profiling: every launch, transfer and library call between on and off is recorded; on starts anew. Asking
 * for entries waits for what is queued; they stay until the next on. */
typedef struct norn_profile_entry {
    const char *kernel;                   /* kernel name, or the kind of transfer */
    const char *what;                     /* the operator it ran for; "" if none */
    uint64_t queued_ns, start_ns, end_ns; /* device clock */
    double flops, bytes;                  /* as the operator's cost model says; 0 if unknown */
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
/* Transfers wait until they are done. Errors: NORN_ARG when offset + bytes is outside the buffer,
 * NORN_DEVICE. */
NORN_API norn_status norn_buffer_write(norn_buffer *b, size_t offset_bytes, const void *data, size_t bytes);
NORN_API norn_status norn_buffer_read(const norn_buffer *b, size_t offset_bytes, void *data, size_t bytes);
NORN_API norn_status norn_buffer_copy(const norn_buffer *from, size_t from_bytes, norn_buffer *to,
                                      size_t to_bytes, size_t bytes);
NORN_API norn_status norn_buffer_fill(norn_buffer *b, size_t offset_bytes, size_t bytes, uint8_t value);

/* ------------------------------------------------------------------------------------------------------------
 * 5. Graph: values and operators
 *
 * Operators are those of ONNX (newest definition, same names, attributes and input order). Builders are
 * sticky: a NULL input, or a graph that has failed, gives NULL and keeps the first error; norn_graph_status
 * tells at the end. Types are written as text: "float[N,3,32,32]", where a name stands for a size that is
 * bound later. */

typedef struct norn_graph norn_graph;
typedef struct norn_value norn_value; /* belongs to its graph */

NORN_API norn_status norn_graph_new(const char *name, norn_graph **out);
NORN_API void norn_graph_free(norn_graph *g);
/* NORN_OK, or the first failure of a builder, with its message in norn_error(). */
NORN_API norn_status norn_graph_status(const norn_graph *g);
NORN_API const char *norn_graph_name(const norn_graph *g);

NORN_API norn_value *norn_graph_input(norn_graph *g, const char *name, const char *type);
/* A copy of a host tensor. */
NORN_API norn_value *norn_graph_constant(norn_graph *g, const char *name, const norn_tensor *data);
NORN_API norn_value *norn_graph_scalar(norn_graph *g, norn_dtype dtype, double value);
/* A value that is kept on the device from run to run, with its first content. norn_graph_update says what it
 * is after a run; without an update it stays. Weights, moments and statistics are such state. */
NORN_API norn_value *norn_graph_parameter(norn_graph *g, const char *name, const norn_tensor *initial);
NORN_API norn_status norn_graph_update(norn_graph *g, norn_value *parameter, norn_value *next);
NORN_API norn_status norn_graph_output(norn_graph *g, const char *name, norn_value *v);

/* Adds an operator written as "Conv<pads=[1,1,1,1]>"; in[i] may be norn_none() where an optional input is
 * absent. Writes n_out outputs. Errors: NORN_UNSUPPORTED (no such operator), NORN_ARG, NORN_SHAPE,
 * NORN_DTYPE. */
NORN_API norn_status norn_graph_apply(norn_graph *g, const char *op, size_t n_in, norn_value *const *in,
                                      size_t n_out, norn_value **out);
NORN_API norn_value *norn_none(void);

/* Single operators by name. Arithmetic, comparison and where broadcast as in Numpy. */
NORN_API norn_value *norn_add(norn_graph *g, norn_value *a, norn_value *b);
NORN_API norn_value *norn_sub(norn_graph *g, norn_value *a, norn_value *b);
NORN_API norn_value *norn_mul(norn_graph *g, norn_value *a, norn_value *b);
NORN_API norn_value *norn_div(norn_graph *g, norn_value *a, norn_value *b);
NORN_API norn_value *norn_pow(norn_graph *g, norn_value *a, norn_value *b);
NORN_API norn_value *norn_max(norn_graph *g, norn_value *a, norn_value *b);
NORN_API norn_value *norn_min(norn_graph *g, norn_value *a, norn_value *b);
NORN_API norn_value *norn_less(norn_graph *g, norn_value *a, norn_value *b);
NORN_API norn_value *norn_greater(norn_graph *g, norn_value *a, norn_value *b);
NORN_API norn_value *norn_equal(norn_graph *g, norn_value *a, norn_value *b);
NORN_API norn_value *norn_where(norn_graph *g, norn_value *condition, norn_value *a, norn_value *b);
NORN_API norn_value *norn_neg(norn_graph *g, norn_value *x);
NORN_API norn_value *norn_abs(norn_graph *g, norn_value *x);
NORN_API norn_value *norn_sqrt(norn_graph *g, norn_value *x);
NORN_API norn_value *norn_exp(norn_graph *g, norn_value *x);
NORN_API norn_value *norn_log(norn_graph *g, norn_value *x);
NORN_API norn_value *norn_sin(norn_graph *g, norn_value *x);
NORN_API norn_value *norn_cos(norn_graph *g, norn_value *x);
NORN_API norn_value *norn_tanh(norn_graph *g, norn_value *x);
NORN_API norn_value *norn_sigmoid(norn_graph *g, norn_value *x);
NORN_API norn_value *norn_relu(norn_graph *g, norn_value *x);
NORN_API norn_value *norn_cast(norn_graph *g, norn_value *x, norn_dtype to);
NORN_API norn_value *norn_softmax(norn_graph *g, norn_value *x, int axis);
NORN_API norn_value *norn_matmul(norn_graph *g, norn_value *a, norn_value *b);
/* x w' + b: x [N,I], w [O,I], b [O] or NULL. */
NORN_API norn_value *norn_linear(norn_graph *g, norn_value *x, norn_value *w, norn_value *b);
/* attributes: "pads=[1,1,1,1], strides=[2,2]", "" or NULL for none; b may be NULL. */
NORN_API norn_value *norn_conv(norn_graph *g, norn_value *x, norn_value *w, norn_value *b,
                               const char *attributes);
NORN_API norn_value *norn_max_pool(norn_graph *g, norn_value *x, const char *attributes);
NORN_API norn_value *norn_average_pool(norn_graph *g, norn_value *x, const char *attributes);
NORN_API norn_value *norn_global_average_pool(norn_graph *g, norn_value *x);
NORN_API norn_value *norn_flatten(norn_graph *g, norn_value *x);
NORN_API norn_value *norn_reshape(norn_graph *g, norn_value *x, int rank, const int64_t *dims);
NORN_API norn_value *norn_transpose(norn_graph *g, norn_value *x, int rank, const int *perm);
/* Sum and mean over the axes (n 0: all); keepdims keeps them as size 1. */
NORN_API norn_value *norn_reduce_sum(norn_graph *g, norn_value *x, int n, const int64_t *axes, bool keepdims);
NORN_API norn_value *norn_reduce_mean(norn_graph *g, norn_value *x, int n, const int64_t *axes,
                                      bool keepdims);
/* Mean over the batch of -log softmax(scores)[label]: scores [N,C,...], labels int64 [N,...]. */
NORN_API norn_value *norn_cross_entropy(norn_graph *g, norn_value *scores, norn_value *labels);

/* What a graph holds. Names are NULL for unnamed values. */
NORN_API size_t norn_graph_input_count(const norn_graph *g);
NORN_API norn_value *norn_graph_input_at(const norn_graph *g, size_t i);
NORN_API size_t norn_graph_output_count(const norn_graph *g);
NORN_API norn_value *norn_graph_output_at(const norn_graph *g, size_t i);
NORN_API const char *norn_graph_output_name(const norn_graph *g, size_t i);
NORN_API size_t norn_graph_parameter_count(const norn_graph *g);
NORN_API norn_value *norn_graph_parameter_at(const norn_graph *g, size_t i);
NORN_API size_t norn_graph_constant_count(const norn_graph *g); /* named constants: initialisers */
NORN_API norn_value *norn_graph_constant_at(const norn_graph *g, size_t i);
NORN_API norn_value *norn_graph_value(const norn_graph *g, const char *name); /* NULL if there is none */
NORN_API const char *norn_value_name(const norn_value *v);
NORN_API norn_dtype norn_value_dtype(const norn_value *v);
NORN_API int norn_value_rank(const norn_value *v);           /* -1: unknown */
NORN_API int64_t norn_value_dim(const norn_value *v, int i); /* -1: named or unknown */
/* "float[N,3,32,32]"; freed by norn_text_free. */
NORN_API norn_status norn_value_type_text(const norn_value *v, char **out);
NORN_API const norn_tensor *
norn_value_data(const norn_value *v); /* of constants and parameters; NULL if none */
/* Nodes in order of execution. */
NORN_API size_t norn_graph_node_count(const norn_graph *g);
typedef struct norn_node_info {
    const char *name, *op, *domain; /* name NULL: unnamed */
    const char *line;               /* one-line text */
    const char *output_name;        /* of the first output; NULL: unnamed */
    const char *output_type;        /* of the first output */
    double flops;                   /* 0 when shapes are not known */
    int64_t parameters;             /* elements of its constant and parameter inputs */
    bool supported;
    bool random; /* it draws random numbers */
} norn_node_info;
/* Valid until the next call on this graph. */
NORN_API norn_status norn_graph_node_at(norn_graph *g, size_t i, norn_node_info *out);

/* ONNX's textual syntax for graphs, and back. Constants of more than `limit` elements are left out by print
 * (-1: no limit), and then the text cannot be parsed again. */
NORN_API norn_status norn_graph_print(const norn_graph *g, int64_t limit, char **out);
NORN_API norn_status norn_graph_parse(const char *text, norn_graph **out);
/* Checks the invariants: order, one producer, types, names. */
NORN_API norn_status norn_graph_verify(const norn_graph *g);

/* A copy with names of sizes bound and shapes worked out anew. binds: "N=8" each. */
NORN_API norn_status norn_graph_bind(const norn_graph *g, size_t n, const char *const *binds,
                                     norn_graph **out);
/* The same, and what depends on one of the named constants is not folded, so that they can be differentiated. */
NORN_API norn_status norn_graph_bind_keep(const norn_graph *g, size_t n, const char *const *binds,
                                          size_t n_keep, const char *const *keep, norn_graph **out);
/* A simplified copy: constants folded, common subexpressions merged, dead and identity nodes removed. */
NORN_API norn_status norn_graph_simplify(const norn_graph *g, norn_graph **out);
/* The same and more, for files that only run: scales and shifts behind convolutions and products go into their weights,
 * transpositions are pushed towards the outputs until they meet, shape arithmetic becomes constants, Dropout and the like are
 * dropped. Parameters stay what they are; results may differ by rounding. */
NORN_API norn_status norn_graph_optimize(const norn_graph *g, norn_graph **out);

/* ------------------------------------------------------------------------------------------------------------
 * 6. Gradient and optimizers */

/* dx[i] = d(sum(y * dy)) / dx[i] as new values of the same graph. dy NULL: ones. A value that y does not
 * depend on gets zeros. Gradients are ordinary values: differentiate them again for higher orders. Errors:
 * NORN_UNSUPPORTED, naming the operator, when one on the path has no gradient. */
NORN_API norn_status norn_grad(norn_graph *g, norn_value *y, norn_value *dy, size_t n, norn_value *const *x,
                               norn_value **dx);

typedef enum norn_optimizer_kind {
    NORN_SGD, /* with momentum, dampening, nesterov */
    NORN_ADAM,
    NORN_ADAMW,
    NORN_RMSPROP,
    NORN_ADAGRAD
} norn_optimizer_kind;

/* The update rules and defaults are PyTorch's. */
typedef struct norn_optimizer {
    norn_optimizer_kind kind;
    double lr, momentum, dampening, weight_decay, beta1, beta2, eps, alpha, lr_decay, initial_accumulator;
    bool nesterov, amsgrad, centered;
} norn_optimizer;
/* The defaults of a kind. */
NORN_API void norn_optimizer_init(norn_optimizer *o, norn_optimizer_kind kind);
/* NORN_ARG when a number is outside its range, or Nesterov has no momentum. */
NORN_API norn_status norn_optimizer_check(const norn_optimizer *o);
/* Adds to the graph one step that lowers the scalar `loss`: gradients and updates for the n parameters (n 0:
 * all). The learning rate becomes an input "lr" (float scalar) when lr_input is set, else it is o->lr. */
NORN_API norn_status norn_graph_minimize(norn_graph *g, norn_value *loss, const norn_optimizer *o,
                                         bool lr_input, size_t n, norn_value *const *parameters);

/* ------------------------------------------------------------------------------------------------------------
 * 7. Plan: what will run, as plain data */

typedef enum norn_numerics {
    NORN_FAST,         /* any algorithm and order */
    NORN_STRICT,       /* no algorithm that trades accuracy for speed */
    NORN_DETERMINISTIC /* the same bits from run to run on one device */
} norn_numerics;

typedef struct norn_plan_options {
    norn_numerics numerics;
    uint64_t memory_limit_bytes; /* 0: the device's memory */
    /* Implementations that are wanted: "clblast", "Conv=im2col,Gemm=clblast"; NULL: the best that fits. One
     * that does not fit is an error. */
    const char *implementations;
    bool no_fusion;
    bool keep_inputs;        /* the memory of inputs is not reused within a run */
    uint64_t max_iterations; /* of a Loop or Scan that is not written out; 0: 100000. More are an error */
    uint64_t
        seed; /* of random operators without a seed of their own; each run over a state draws other numbers */
} norn_plan_options;

typedef struct norn_plan norn_plan;
/* A plan for a graph with known shapes on a device, which need not be in this machine. options NULL:
 * defaults. */
NORN_API norn_status norn_plan_new(const norn_graph *g, const norn_device *d,
                                   const norn_plan_options *options, norn_plan **out);
NORN_API void norn_plan_free(norn_plan *p);
NORN_API norn_status norn_plan_print(const norn_plan *p, char **out);
/* No two live buffers overlap, all are written before they are read, and all lie within their arena. */
NORN_API norn_status norn_plan_verify(const norn_plan *p);
NORN_API size_t norn_plan_step_count(const norn_plan *p);
NORN_API uint64_t norn_plan_arena_bytes(const norn_plan *p); /* reused memory */
NORN_API uint64_t
norn_plan_constant_bytes(const norn_plan *p); /* weights, as stored and as prepacked, and state */
/* What loading and runs need at most: constants, and whatever of the arena and the memory for loading (which is given back
 * before the arena is taken) is larger. */
NORN_API uint64_t norn_plan_peak_bytes(const norn_plan *p);
/* Nodes that run on the host: shape arithmetic that could not be folded, and what the device lacks. */
NORN_API size_t norn_plan_host_count(const norn_plan *p);
NORN_API const char *norn_plan_host_at(const norn_plan *p, size_t i); /* one-line text */
/* The kernel sources of all steps, one after the other, each under a comment that names it. */
NORN_API norn_status norn_plan_source(const norn_plan *p, char **out);

/* ------------------------------------------------------------------------------------------------------------
 * 8. Session, state, executable */

/* A list of devices that work together; one device today. */
typedef struct norn_session norn_session;
NORN_API norn_status norn_session_open(const char *devices, norn_session **out);
NORN_API void norn_session_close(norn_session *s);
NORN_API size_t norn_session_count(const norn_session *s);
NORN_API norn_context *norn_session_context(const norn_session *s, size_t i);

/* One operator at once: "Conv<pads=[1,1,1,1]>" on n_in tensors (NULL where an optional one is absent), which
 * may be in host or device memory; results are new tensors on the device. What it compiles is kept for the
 * next call. */
NORN_API norn_status norn_session_apply(norn_session *s, const char *op, size_t n_in, norn_tensor *const *in,
                                        size_t n_out, norn_tensor **out);

/* The content of parameters on a session's device, by name. Several executables can share one. */
typedef struct norn_state norn_state;
NORN_API norn_status norn_state_new(norn_session *s, norn_state **out);
NORN_API void norn_state_free(norn_state *st);
NORN_API size_t norn_state_count(const norn_state *st);
NORN_API const char *norn_state_name(const norn_state *st, size_t i);
/* A copy in host memory; and the other way round (a new name is added). */
NORN_API norn_status norn_state_get(const norn_state *st, const char *name, norn_tensor **out);
NORN_API norn_status norn_state_set(norn_state *st, const char *name, const norn_tensor *t);

/* A graph ready to run. Named sizes are bound by the inputs of each run; a plan is made for every new set of
 * shapes and kept (the last few). The graph is copied. state NULL: the executable has its own. */
typedef struct norn_executable norn_executable;
NORN_API norn_status norn_executable_new(norn_session *s, const norn_graph *g,
                                         const norn_plan_options *options, norn_state *state,
                                         norn_executable **out);
NORN_API void norn_executable_free(norn_executable *e);
typedef struct norn_feed {
    const char *name; /* of an input */
    const norn_tensor *tensor;
} norn_feed;
typedef struct norn_fetch {
    const char *name;    /* of an output */
    norn_tensor *tensor; /* set to a new host tensor */
} norn_fetch;
/* Runs once and waits once. Every input must be fed. Errors name the input or output. */
NORN_API norn_status norn_executable_run(norn_executable *e, size_t n_feeds, const norn_feed *feeds,
                                         size_t n_fetches, norn_fetch *fetches);
/* The plan of the last run; NULL before the first. */
NORN_API const norn_plan *norn_executable_plan(const norn_executable *e);
/* Nodes of the last run that ran anywhere but as an OpenCL kernel, one-line text each: those of its plan
 * (norn_plan_host_at), and those that were computed on the host from the elements of inputs or of results, to know
 * shapes. What constants and shapes alone decide is computed before and not listed. */
NORN_API size_t norn_executable_host_count(const norn_executable *e);
NORN_API const char *norn_executable_host_at(const norn_executable *e, size_t i);
/* Operators of the graph that cannot run, all at once: one line each, NULL when there are none. */
NORN_API norn_status norn_graph_unsupported(const norn_graph *g, char **out);

/* ------------------------------------------------------------------------------------------------------------
 * 9. Model files
 *
 * A model is a graph with what surrounds it in a file: who made it, opsets, documentation, metadata. ONNX files of opset
 * 7 to 28 (IR version 3 to 14) are read and written, of opset 1 to 6 as far as their operators did not change later. A
 * graph always has operators in their newest form: older ones are raised on the way in and lowered on the way out.
 * What norn does not model (operators it lacks, their subgraphs, functions, documentation and metadata of nodes and
 * values, fields it has never heard of) is kept and written back. docs/onnx.md says what happens to what. */

typedef struct norn_model norn_model;

/* What an input or output of a model is. */
typedef enum norn_form {
    NORN_FORM_TENSOR,
    NORN_FORM_SEQUENCE, /* of tensors */
    NORN_FORM_OPTIONAL, /* a tensor, or nothing */
    NORN_FORM_OPTIONAL_SEQUENCE,
    NORN_FORM_OTHER /* norn has no such values */
} norn_form;

/* What an input holds: the tensors of a sequence in their order, the one of an optional or a tensor. `present` is false for an
 * optional that holds nothing. */
typedef struct norn_content {
    const char *name;
    norn_form form;
    bool present;
    size_t n;
    norn_tensor **tensors;
} norn_content;

typedef struct norn_load_options {
    uint64_t memory_limit_bytes; /* for the structures of a file, without the data of its tensors; 0: 4 GiB */
    /* With contents (also with none of them, for a model without inputs) the model is one of tensors alone, for inputs that hold just this many, of these types and sizes: a
     * sequence x becomes inputs x[0], x[1] ..., an optional tensor an input of its name or none, outputs likewise.
     * Sequences and optionals within are resolved, loops over them written out; integers that decide on positions and
     * numbers are taken from the contents, whatever is fed later. Saved, it is that model. */
    size_t n_contents;
    const norn_content *contents;
} norn_load_options;

/* Loads an ONNX file. The file is mapped: weights are read from it when they are used, so it may be replaced (renamed
 * over) but not shortened while the model lives. External data must lie in the file's directory or below it. options
 * NULL: defaults. Errors begin with the path and say where in the file: NORN_IO, NORN_PARSE (damaged, or not what ONNX
 * allows), NORN_UNSUPPORTED, NORN_ARG, NORN_SHAPE, NORN_DTYPE, NORN_NOMEM. */
NORN_API norn_status norn_model_load(const char *path, const norn_load_options *options, norn_model **out);
/* The same from bytes in memory, which are copied; external data are refused. `name` stands in messages for the path. */
NORN_API norn_status norn_model_import(const void *data, size_t bytes, const char *name,
                                       const norn_load_options *options, norn_model **out);
/* What input or output i of the file's graph is (as norn_graph_input_at counts, without contents). */
NORN_API norn_form norn_model_input_form(const norn_model *m, size_t i);
NORN_API norn_form norn_model_output_form(const norn_model *m, size_t i);
/* A file with what an input or output of that form holds: TensorProto, SequenceProto or OptionalProto. The tensors are the
 * caller's, and freed by norn_content_free; out->name is NULL. Errors as norn_tensor_load. */
NORN_API norn_status norn_content_load(const char *path, norn_form form, norn_content *out);
NORN_API void norn_content_free(norn_content *c);
/* A model of a graph that was built here, which it takes over. */
NORN_API norn_status norn_model_new(norn_graph *g, norn_model **out);
NORN_API void norn_model_free(norn_model *m);

typedef struct norn_save_options {
    int opset; /* of the operators, 7 to 28; 0: the model's own, 17 for a graph that was built here */
    bool external_data; /* large tensors into FILE.data; they always are when the file would exceed 2 GiB */
    /* Content of parameters and named constants, in host memory, instead of that in the graph: after training. */
    size_t n_updates;
    const norn_feed *updates;
} norn_save_options;

/* Saves as ONNX; the file appears whole or, after a failure, not at all. Parameters become initialisers. options NULL:
 * all 0. Errors: NORN_UNSUPPORTED when an operator cannot be said in that opset, naming it; NORN_IO, NORN_ARG,
 * NORN_NOMEM. */
NORN_API norn_status norn_model_save(const norn_model *m, const char *path, const norn_save_options *options);
/* The same to memory, at most 2 GiB; freed by norn_text_free. */
NORN_API norn_status norn_model_export(const norn_model *m, const norn_save_options *options, char **data,
                                       size_t *bytes);
/* What saving with these options would not keep, one line each, NULL where there is nothing; freed by norn_text_free.
 * refused: why it would fail with NORN_UNSUPPORTED, all reasons. changed: operators that would be written as others, functions that became nodes. */
NORN_API norn_status norn_model_save_preview(const norn_model *m, const norn_save_options *options,
                                             char **refused, char **changed);

/* The graph, lent; it may be changed. Inputs and outputs are listed there. */
NORN_API norn_graph *norn_model_graph(const norn_model *m);
/* Puts another graph in its place, taking it over and freeing the old one. */
NORN_API void norn_model_set_graph(norn_model *m, norn_graph *g);
NORN_API int
norn_model_opset(const norn_model *m); /* of the file; 0: built here, or it has no standard operator */
NORN_API int norn_model_ir_version(const norn_model *m);       /* 0: built here */
NORN_API const char *norn_model_producer(const norn_model *m); /* "pytorch"; "" if unknown, as the next two */
NORN_API const char *norn_model_producer_version(const norn_model *m);
NORN_API const char *norn_model_doc(const norn_model *m);
/* Metadata: keys with values, in the file's order. */
NORN_API size_t norn_model_metadata_count(const norn_model *m);
NORN_API const char *norn_model_metadata_key(const norn_model *m, size_t i);
NORN_API const char *norn_model_metadata_value(const norn_model *m, size_t i);
NORN_API const char *norn_model_metadata(const norn_model *m, const char *key); /* NULL if there is none */
/* value NULL removes the key. */
NORN_API norn_status norn_model_set_metadata(norn_model *m, const char *key, const char *value);
/* What the file says that norn did not follow, one line each: a declared shape, say, that the operators contradict. */
NORN_API size_t norn_model_warning_count(const norn_model *m);
NORN_API const char *norn_model_warning_at(const norn_model *m, size_t i);

/* ------------------------------------------------------------------------------------------------------------
 * 10. Data sets and training */

/* Samples x and their labels y, in host memory, kept in the element type of their files. Where they come from:
 *
 *   FILE.npz          members x and y, or images and target, or x_train and y_train
 *   FILE.npz:SPLIT    members x_SPLIT and y_SPLIT; or x and y (images and target) and a member SPLIT_idx that lists
 *                     the numbers of the samples
 *   FILE              IDX, as MNIST is published: the images; the labels lie beside it under the same name with
 *                     "labels" for "images" and "idx1" for "idx3" (.gz or not)
 *   PREFIX            the same by the part before "-images-idx3-ubyte"
 *   DIR, DIR:SPLIT    a folder with SPLIT-images-idx3-ubyte (SPLIT is train unless given; test also finds t10k); or a
 *                     folder CLASS/NAME.png for each class, then SPLIT is a folder in between. The classes are
 *                     numbered in natural order of their names (2 before 10), and so are the files in them
 *
 * What a batch holds. x by its type in the file, which also is the rule for scaling:
 *
 *   uint8                  float, v / 255; with a scale v * scale
 *   float16, float, double float as it is; with a scale v * scale
 *   bool                   float, 0 or 1
 *   other integers         int64 as it is (they are indices, of words say); with a scale float, v * scale
 *
 * The scale is that of the options, else a scalar member `scale` of the .npz. Pictures are [C,H,W] when they
 * come from PNG and as in the file otherwise. y: integers and bool become int64, floats float; [count,1]
 * integers are [count]. */
typedef struct norn_dataset norn_dataset;

typedef struct norn_dataset_options {
    double scale; /* 0: the rule above */
    int channels; /* of PNG pictures: 1, 3 or 4 converts to grey, RGB, RGB and alpha; 0: as stored */
} norn_dataset_options;

/* options NULL: all 0. Errors: NORN_IO, NORN_PARSE, NORN_UNSUPPORTED as for tensor files; NORN_SHAPE (x and y
 * differ in count, pictures in size; no samples), NORN_ARG (no such split or member, a bad option). */
NORN_API norn_status norn_dataset_open(const char *spec, const norn_dataset_options *options,
                                       norn_dataset **out);
/* The same over tensors [count,...] in host memory; the data set keeps them alive. */
NORN_API norn_status norn_dataset_open_tensors(const norn_tensor *x, const norn_tensor *y,
                                               const norn_dataset_options *options, norn_dataset **out);
NORN_API void norn_dataset_close(norn_dataset *ds);

NORN_API int64_t norn_dataset_count(const norn_dataset *ds);
/* Of one sample of x, as batches hold it, without the batch axis. */
NORN_API norn_dtype norn_dataset_dtype(const norn_dataset *ds);
NORN_API int norn_dataset_rank(const norn_dataset *ds);
NORN_API const int64_t *norn_dataset_dims(const norn_dataset *ds);
/* Of one label. */
NORN_API norn_dtype norn_dataset_label_dtype(const norn_dataset *ds);
NORN_API int norn_dataset_label_rank(const norn_dataset *ds);
NORN_API const int64_t *norn_dataset_label_dims(const norn_dataset *ds);
/* Largest label + 1, counted over the whole of y also where a split was picked; 0 when y is no class number
 * (float, negative, or above 2^31). */
NORN_API int64_t norn_dataset_classes(const norn_dataset *ds);
/* The folder that a class came from; NULL for data without class names. */
NORN_API const char *norn_dataset_class_name(const norn_dataset *ds, int64_t c);
/* "digits.npz:train: 1437 samples, x float[8,8] (uint8 / 255), y int64[], 10 classes". Freed by
 * norn_text_free. */
NORN_API norn_status norn_dataset_print(const norn_dataset *ds, char **out);

/* From now on every sample has this shape (rank 0: a scalar), as a model's input wants it: [8,8] as [1,8,8]
 * or [64]. Errors: NORN_SHAPE when the number of elements differs, or when the sizes are the same in another
 * order, as [H,W,C] and [C,H,W] are: that would need a transposition. */
NORN_API norn_status norn_dataset_shape(norn_dataset *ds, int rank, const int64_t *dims);

/* Copies n samples and their labels into new host tensors [n,...]. x or y may be NULL when it is not wanted.
 * Errors: NORN_ARG (an index outside 0 .. count - 1), NORN_NOMEM. */
NORN_API norn_status norn_dataset_batch(const norn_dataset *ds, const int64_t *indices, int64_t n,
                                        norn_tensor **x, norn_tensor **y);
/* Fills order[count] with 0 .. count - 1, shuffled: the same for the same (count, seed, epoch) on every
 * machine. Fisher-Yates, drawing from Philox4x32-10. */
NORN_API void norn_dataset_shuffle(const norn_dataset *ds, uint64_t seed, uint32_t epoch, int64_t *order);
/* A data set of some of the samples, in this order; it shares the memory and outlives the first. */
NORN_API norn_status norn_dataset_subset(const norn_dataset *ds, const int64_t *indices, int64_t n,
                                         norn_dataset **out);
/* Two parts drawn at random, `first` with n samples and `rest` with the others; neither may be empty
 * (NORN_ARG). */
NORN_API norn_status norn_dataset_split(const norn_dataset *ds, int64_t n, uint64_t seed,
                                        norn_dataset **first, norn_dataset **rest);

/* Training. A trainer makes a training graph of a model: float initialisers that reach the weight or bias inputs of
 * Conv, ConvTranspose, Gemm, MatMul, normalisations, PRelu and recurrent operators, embedding tables, or an operand of
 * Add or Mul that is not a scalar, directly or behind nodes that move them or compute of initialisers alone, become
 * parameters (outputs of Constant nodes only where there are no others); BatchNormalization and Dropout work as in training (with PyTorch's
 * momentum and unbiased running variance); a final Softmax or LogSoftmax is absorbed into the cross entropy. */

typedef enum norn_loss {
    NORN_CROSS_ENTROPY, /* of scores [N,C,...] and labels int64 [N,...]: mean over the labels */
    NORN_MSE            /* mean of the squared differences between output and y */
} norn_loss;

typedef struct norn_train_options {
    norn_loss loss;
    norn_optimizer optimizer;
    uint64_t seed; /* of the dropout masks */
    const char *freeze,
        *train; /* comma-separated patterns (* and ?) of names that are not trained, that are trained after
                                   all; NULL: the rule above. Matching running statistics are frozen too. */
    norn_plan_options plan;
} norn_train_options;
/* Cross entropy, Adam with its defaults, seed 0. */
NORN_API void norn_train_options_init(norn_train_options *o);

typedef struct norn_trainer norn_trainer;
/* The model is brought into inference form first (a loss at its end removed, BatchNormalization and Dropout in inference
 * mode, initialisers that exporters merged because they were equal separated again) and stays the caller's; it must live
 * as long as the trainer. options NULL: defaults. Errors: NORN_UNSUPPORTED, with all operators that norn lacks or that
 * have no gradient, and for parameters in float16 or bfloat16, which only NORN_SGD trains; NORN_SHAPE when the output does
 * not suit the loss; NORN_ARG when nothing would be trained, a pattern matches nothing, or norn_optimizer_check says so. */
NORN_API norn_status norn_trainer_new(norn_session *s, norn_model *m, const norn_train_options *options,
                                      norn_trainer **out);
NORN_API void norn_trainer_free(norn_trainer *t);

/* What is trained, and what is not. */
typedef struct norn_parameter_info {
    const char *name, *type; /* type: "float[6,1,5,5]" */
    const char *role;        /* "weight", "bias", "scale", "statistics", "operand" */
    int64_t elems;
    bool trained; /* changes by the optimizer; statistics change by themselves unless frozen */
    bool frozen;  /* by a pattern */
} norn_parameter_info;
NORN_API size_t norn_trainer_parameter_count(const norn_trainer *t);
NORN_API void norn_trainer_parameter_at(const norn_trainer *t, size_t i, norn_parameter_info *out);
/* What was done to the model, one line each: "the final Softmax is part of the cross entropy". */
NORN_API size_t norn_trainer_note_count(const norn_trainer *t);
NORN_API const char *norn_trainer_note_at(const norn_trainer *t, size_t i);

typedef struct norn_train_result {
    double loss;     /* mean over the samples; of a step: before its update */
    int64_t correct; /* labels that had the highest score; -1 without class labels */
    int64_t count;   /* labels */
} norn_train_result;
/* One step on a batch x [n,...], y [n,...]. Host tensors are converted to the types that the network has. */
NORN_API norn_status norn_trainer_step(norn_trainer *t, const norn_tensor *x, const norn_tensor *y,
                                       norn_train_result *out);
/* The loss over a data set in inference mode; nothing changes. */
NORN_API norn_status norn_trainer_evaluate(norn_trainer *t, const norn_dataset *ds, int64_t batch,
                                           norn_train_result *out);
NORN_API norn_status norn_trainer_set_lr(norn_trainer *t, double lr);
/* Gradients of the loss of a batch with respect to the trained parameters, as host tensors by name; nothing changes.
 * Both arrays have norn_trainer_parameter_count places; entries of what is not trained are NULL. */
NORN_API norn_status norn_trainer_gradients(norn_trainer *t, const norn_tensor *x, const norn_tensor *y,
                                            norn_tensor **out);
/* Copies the present parameters and statistics into the model, which can then be saved or run. NORN_ARG, and the model is as
 * before, when numbers in them became NaN or infinite. */
NORN_API norn_status norn_trainer_store(norn_trainer *t);
/* The parameters on the device, by name; with those of the optimizer ("w/exp_avg"). */
NORN_API norn_state *norn_trainer_state(const norn_trainer *t);
/* The text of the training graph for a batch size. Freed by norn_text_free. */
NORN_API norn_status norn_trainer_print(norn_trainer *t, int64_t batch, char **out);
/* The plan of the last step; NULL before the first. */
NORN_API const norn_plan *norn_trainer_plan(const norn_trainer *t);

typedef struct norn_progress {
    int64_t step, steps;   /* done, and in all */
    int64_t epoch, epochs; /* from 1 */
    int64_t samples;       /* seen in this epoch */
    double loss;           /* of the last step */
    double epoch_loss;     /* mean over the epoch so far */
    double accuracy;       /* over the epoch so far; NaN without class labels */
    double seconds;        /* since the start */
    double step_seconds;   /* of the last step; the first of a size also makes its kernels */
    bool epoch_end;
    bool validated; /* at an epoch's end, when there is validation data: */
    double val_loss, val_accuracy;
} norn_progress;

typedef struct norn_fit_options {
    int64_t batch;                  /* 0: 32 */
    int64_t epochs;                 /* 0: 10, unless steps are given */
    int64_t steps;                  /* 0: as many as the epochs have; else training ends after so many */
    uint64_t seed;                  /* of the order of samples */
    bool no_shuffle;                /* file order; the last batch of an epoch may be smaller either way */
    const norn_dataset *validation; /* NULL: none */
    /* Called after every step; returning false ends training, which is no error. NULL: none. */
    bool (*progress)(void *user, const norn_progress *p);
    void *user;
} norn_fit_options;
/* Begins with norn_trainer_check. Ends with NORN_ARG at a loss that is NaN or infinite, after `progress` has seen it. */
NORN_API norn_status norn_trainer_fit(norn_trainer *t, norn_dataset *ds, const norn_fit_options *options);
/* What can be known before the first step: shapes and types of samples and labels suit the network and the loss, labels are
 * classes that it has, all numbers are finite. Errors: NORN_SHAPE, NORN_DTYPE, NORN_ARG, which name the sample. */
NORN_API norn_status norn_trainer_check(norn_trainer *t, const norn_dataset *ds,
                                        const norn_fit_options *options);

/* A network of a known kind with fresh weights (PyTorch's initialisation, drawn from the seed): "mlp", "lenet",
 * "resnet18". dims: of one sample, [C,H,W] for the latter two ([H,W] counts as [1,H,W]); classes: outputs. The input is
 * called "x", the output "scores". Errors: NORN_ARG for an unknown name, with those there are; NORN_SHAPE. */
NORN_API norn_status norn_model_builtin(const char *name, int rank, const int64_t *dims, int64_t classes,
                                        uint64_t seed, norn_model **out);
NORN_API size_t norn_builtin_count(void);
NORN_API const char *norn_builtin_name(size_t i);
NORN_API const char *norn_builtin_doc(size_t i);

/* ------------------------------------------------------------------------------------------------------------
 * 11. Benchmarks. Every result is checked against the host reference (unless told otherwise): `correct`. */

typedef struct norn_bench_options {
    int64_t repeat;       /* timed runs; 0: as many as fit into `seconds` */
    double seconds;       /* 0: 1 s */
    int64_t warmup;       /* 0: 2 runs */
    bool no_check;        /* the host reference takes long on large networks */
    double check_seconds; /* what would take it longer is not checked; 0: 20 s */
    norn_plan_options plan;
} norn_bench_options;

typedef struct norn_bench_result {
    char name[512], device[128],
        implementation[256]; /* implementation: kernels that ran, the slowest first */
    char chosen[64],
        others[512]; /* of an operator: its implementation, and why the others are not; "" for none */
    double median_ms, best_ms, spread_ms; /* spread: between the quartiles */
    double first_ms;                      /* plan, build and first run */
    int64_t runs, launches;               /* launches: of kernels in a run; 0: on the host */
    double gflops, gbytes_s;              /* by the cost model, at the median; 0 if unknown */
    uint64_t memory_bytes;                /* on the device */
    bool checked, correct;
    double
        max_error;  /* largest difference from it, relative to the largest element (of gradients: of norms) */
    char note[512]; /* why it was not checked, what ran on the host; "" for nothing */
} norn_bench_result;

/* What a device can do at best. 0: it lacks the type. */
typedef struct norn_peaks {
    double fp32_gflops, fp64_gflops, fp16_gflops; /* of fused multiply-adds, which count as two */
    double global_gbytes_s;                       /* reading memory that no cache holds */
    double copy_gbytes_s;                         /* a copy there, both sides counted */
    double cache_gbytes_s;                        /* reading again what caches hold */
    double local_gbytes_s;                        /* reading local memory */
    double write_gbytes_s, read_gbytes_s;         /* between host and device */
    double launch_us, wait_us;                    /* a launch among many; one that is waited for */
    double build_ms; /* a small program, from source to the end of its first launch */
    bool estimated;  /* from what the device says of itself, not measured */
} norn_peaks;
/* Measures them, in some seconds; quick: in about one. NORN_UNSUPPORTED on the host reference. */
NORN_API norn_status norn_bench_peaks(norn_session *s, bool quick, norn_peaks *out);
/* Raises measured peaks to the best that were ever kept of this device, and keeps what is better now, in the folder of the
 * program cache: a busy machine measures less than its device can do. Without such a folder it does nothing. */
NORN_API void norn_peaks_keep(const norn_device *d, norn_peaks *p);
/* A guess by compute units, clock and kind, for a device that is not here. */
NORN_API norn_status norn_device_peaks(const norn_device *d, norn_peaks *out);

/* What a model will do on a device, before anything runs. */
typedef enum norn_runs {
    NORN_RUNS_NATIVE,     /* as a kernel */
    NORN_RUNS_DECOMPOSED, /* as the operators that `why` lists */
    NORN_RUNS_HOST,       /* by the host reference, for the reason `why` */
    NORN_RUNS_NOT
} norn_runs;
typedef struct norn_forecast_node {
    const char *name, *op, *line; /* line: "Conv<pads=[1,1,1,1]>(float[1,3,32,32], ...)"; name may be "" */
    norn_runs runs;
    const char *why, *implementation; /* "" where there is nothing to say */
    double flops, bytes;
    double ms;    /* 0 for what is computed within the kernel of another operator, or decomposed */
    bool weights; /* its second input is a constant or a parameter */
} norn_forecast_node;
typedef struct norn_forecast_info {
    size_t unsupported; /* operators that cannot run */
    bool planned;       /* false: memory and time are not known, and `note` says why */
    bool fits;
    const char *note;
    uint64_t work_bytes, constant_bytes, memory_bytes; /* reused memory; weights and state; what there is */
    uint64_t peak_bytes;                               /* norn_plan_peak_bytes */
    double flops, bytes, ms;                           /* of a run, or a training step */
    size_t launches;
    const char *limit;       /* what most of the time goes to: "arithmetic", "memory", "launches", "host" */
    const char *batch_name;  /* the named size that is the batch; NULL: the model fixes it */
    const char *other_names; /* named sizes beside the batch that were not given: "H, W"; "" for none */
    int64_t other_size; /* what they were taken to be: 1, or the first of 8, 32, 64 that the model takes */
    int64_t batch;
    int64_t
        largest_batch; /* that fits into memory, to within 3 %; twice as many do not. 0: unknown, or none fits */
} norn_forecast_info;
typedef struct norn_forecast_options {
    size_t n_dims;
    const char *const *dims;         /* "N=8"; named sizes that are not given are 1 */
    const norn_train_options *train; /* a training step rather than a run; NULL: a run */
    int64_t batch;                   /* of a training step; 0: the model's, or 1 */
    bool no_batch_search;
    norn_plan_options plan;
} norn_forecast_options;
typedef struct norn_forecast norn_forecast;
/* peaks NULL: norn_device_peaks. For training the model is brought into inference form, as by norn_trainer_new. What
 * cannot run is no error but in the result, all of it at once. */
NORN_API norn_status norn_forecast_new(norn_model *m, const norn_device *d, const norn_peaks *peaks,
                                       const norn_forecast_options *options, norn_forecast **out);
NORN_API void norn_forecast_free(norn_forecast *f);
NORN_API const norn_forecast_info *norn_forecast_total(const norn_forecast *f);
NORN_API size_t
norn_forecast_count(const norn_forecast *f); /* operators that are left after simplification */
NORN_API const norn_forecast_node *norn_forecast_at(const norn_forecast *f, size_t i);

/* One operator, written as "Conv<pads=[1,1,1,1]>(float[1,64,56,56], float[64,64,3,3])", on random data. */
NORN_API norn_status norn_bench_op(norn_session *s, const char *line, const norn_bench_options *options,
                                   norn_bench_result *out);
/* Whether a line is such an operator, with a number for every size; measures nothing. */
NORN_API norn_status norn_bench_op_check(const char *line);
/* Tries the values that the implementations of an operator offer for their parameters on this device. The fastest is used
 * from then on, in this process; norn_tune_save keeps it for others, in the folder of the program cache, and says where (freed
 * by norn_text_free). */
typedef struct norn_tune_options {
    double seconds;              /* about how long; 0: 10 */
    const char *implementations; /* that are wanted, as of norn_plan_options; NULL: the best */
    bool weights;                /* inputs from the second on are constants, as in a network that is run */
} norn_tune_options;
typedef struct norn_tune_result {
    char line[512];
    double before_ms, after_ms;
    int parameters;     /* that there are; 0: nothing to tune */
    int tried, wrong;   /* wrong: gave a wrong result, and was not kept */
    char records[2048]; /* "gemm float 64x64x64: 8x3, was 14x2"; "" when nothing is faster */
} norn_tune_result;
NORN_API norn_status norn_tune_op(norn_session *s, const char *line, const norn_tune_options *options,
                                  norn_tune_result *out);
/* Tries sets of the parameters that CLBlast's kernels for products take, by its override call: those of the lines that it
 * can run, of this element type (float or double), the ones that matter most first. It takes one set of parameters for all
 * products of a type, so `before_ms` and `after_ms` are sums. What it used before cannot be read back: until the process
 * ends its products run with what was tried last. */
NORN_API norn_status norn_tune_blas(norn_session *s, size_t n, const char *const *lines, norn_dtype t,
                                    const norn_tune_options *options, norn_tune_result *out);
NORN_API norn_status norn_tune_save(char **path);

/* A model; inputs that are not fed are filled with random numbers, named sizes are 1. */
NORN_API norn_status norn_bench_model(norn_session *s, const norn_model *m, size_t n_feeds,
                                      const norn_feed *feeds, const norn_bench_options *options,
                                      norn_bench_result *out);
/* Training steps on random data of the model's input shape; `correct`: the gradients of the first step agree. */
NORN_API norn_status norn_bench_train(norn_session *s, norn_model *m, const norn_train_options *train,
                                      int64_t batch, const norn_bench_options *options,
                                      norn_bench_result *out);

/* ------------------------------------------------------------------------------------------------------------
 * 12. Certificates: a converted model computes what the original does, on the numbers that a seed gives, and the file is the
 * one that was compared. */

typedef struct norn_certificate {
    uint64_t seed; /* of the inputs */
    int64_t size;  /* of named sizes: 1, or the first of 8, 32, 64 that the model takes */
    bool checked;  /* the outputs were compared; else `note` says why not */
    double max_error,
        stated_error; /* largest difference of an output from the host reference, relative to its largest
                                       element: now, and as the certificate has it (norn_certificate_check) */
    char device[128], note[512];
} norn_certificate;

/* Runs `m`, as norn_model_save would write it with these options, on the session's device and `source` by the host reference,
 * and puts a certificate into the metadata of m, for the next norn_model_save. Where it cannot be compared (random operators, operators that norn lacks, a host reference
 * that would take long, a device that fails) there is no certificate, and out->note. Errors: NORN_INTERNAL when outputs differ. */
NORN_API norn_status norn_model_certify(norn_session *s, const norn_model *source, norn_model *m,
                                        const norn_save_options *save, uint64_t seed, norn_certificate *out);
/* Puts the hash into the certificate of a file that was just saved. */
NORN_API norn_status norn_certificate_seal(const char *path);
NORN_API bool norn_model_has_certificate(const norn_model *m);
/* Compares the hash, then the file's model on the device with the host reference. Errors: NORN_ARG (no certificate),
 * NORN_PARSE (a byte of the file or of its external data has changed), NORN_INTERNAL (outputs differ). */
NORN_API norn_status norn_certificate_check(norn_session *s, const char *path, norn_certificate *out);

#ifdef __cplusplus
}
#endif

#include <norn/symbolic.h> /* 13. formulas and their derivatives */
#endif
