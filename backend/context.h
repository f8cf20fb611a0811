/* SPDX-License-Identifier: Apache-2.0 */
/* The context: one device, one in-order queue, program cache, buffer pool, profile. What is left of it when
 * it is closed (buffers, kernels) can be freed in any order, and does nothing else any more: NORN_ARG. */
#ifndef NORNI_CONTEXT_H
#define NORNI_CONTEXT_H
#include "backend/device.h"

/* Opens the device with this index of the list. */
norn_status norni_context_open_at(const norn_devices *list, size_t index, norn_context **out);
/* The reference "device": buffers are host memory and nothing can be launched. */
bool norni_context_is_host(const norn_context *ctx);

/* What is enqueued until the next norn_context_finish takes so little time that this looks for its end for a while before it
 * sleeps: being woken takes longer. */
void norni_context_watch(norn_context *ctx);

/* Tests: the OpenCL call after the next `n` ones fails with `code` (a CL_ error number), once; n < 0: off. */
void norni_cl_fail_after(long n, int code);
/* Whether that call is still to come. */
bool norni_cl_fail_pending(void);

/* The folder of the program cache, made if need be, which also holds tuning records; NULL: there is none, or the cache is
 * off. Freed by norni_free. */
char *norni_cache_folder(void);

#endif
