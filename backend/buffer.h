/* SPDX-License-Identifier: Apache-2.0 */
/* Device memory: pooled buffers, sub-buffers, and transfers that do not wait. */
#ifndef NORNI_BUFFER_H
#define NORNI_BUFFER_H
#include "base/status.h"
#include "base/tensor.h"

/* The contents of a new buffer are undefined (with NORN_POISON=1 in the environment, all bits are set).
 * Commands run in order, so a buffer may be freed while commands on it are queued.
 *
 * A part of `parent` as a buffer of its own; offset must be a multiple of the device's base_align_bytes. The
 * parent outlives it (a reference is held). A part of 0 bytes is fine: every tensor has a buffer. Errors:
 * NORN_ARG. */
norn_status norni_buffer_sub(norn_buffer *parent, size_t offset_bytes, size_t bytes, norn_buffer **out);
/* The buffer that b is a part of, itself where it is none (borrowed), and where b starts in it. */
norn_buffer *norni_buffer_whole(norn_buffer *b, size_t *offset_bytes);
/* Nobody but the caller refers to b: neither a part of it, nor a kernel, nor a tensor. */
bool norni_buffer_alone(const norn_buffer *b);
norn_context *norni_buffer_context(const norn_buffer *b);
/* Enqueued, not waited for: `data` must stay valid until norn_context_finish. A copy between contexts does
 * wait. */
norn_status norni_buffer_write_async(norn_buffer *b, size_t offset_bytes, const void *data, size_t bytes);
norn_status norni_buffer_read_async(const norn_buffer *b, size_t offset_bytes, void *data, size_t bytes);
norn_status norni_buffer_copy_async(const norn_buffer *from, size_t from_bytes, norn_buffer *to,
                                    size_t to_bytes, size_t bytes);
norn_status norni_buffer_fill_async(norn_buffer *b, size_t offset_bytes, size_t bytes, uint8_t value);
/* The buffer under a device tensor (borrowed; element 0 lies at t->offset_bytes; NULL for host memory), and a
 * tensor over a buffer (which it takes a reference to). */
norn_buffer *norni_tensor_buffer(const norn_tensor *t);
norn_status norni_tensor_over_buffer(norn_buffer *b, norn_dtype dtype, int rank, const int64_t *dims,
                                     norn_tensor **out);
norn_buffer *norni_buffer_ref(norn_buffer *b);
/* What is kept for reuse goes back to the device. */
void norni_pool_drop(norn_context *ctx);

#endif
