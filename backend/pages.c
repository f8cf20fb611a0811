/* SPDX-License-Identifier: Apache-2.0 */
/* Memory on large pages for buffers of devices that compute in host memory. Where the system offers large pages on request,
 * a driver's own allocation has small ones, and walking through many of them costs as much as the memory itself. */
#include "backend/internal.h"

enum { SMALLEST = 2 * NORNI_LARGE_PAGE };

static void CL_CALLBACK release(cl_mem mem, void *host) {
    (void)mem;
    norni_free(host);
}

cl_mem norni_large_pages_buffer(norn_context *ctx, size_t bytes) {
#ifdef __linux__
    if (!ctx->large_pages || bytes < SMALLEST)
        return NULL;
    void *host = norni_alloc_large(bytes);
    if (!host)
        return NULL;
    int e = CL_SUCCESS;
    cl_mem mem;
    NORNI_CL_NEW(mem, e, clCreateBuffer(ctx->cl, CL_MEM_READ_WRITE | CL_MEM_USE_HOST_PTR, bytes, host, &e));
    if (e == CL_SUCCESS && NORNI_CL(clSetMemObjectDestructorCallback(mem, release, host)) == CL_SUCCESS)
        return mem;
    if (e == CL_SUCCESS)
        clReleaseMemObject(mem);
    norni_free(host);
#else
    (void)ctx;
    (void)bytes;
    (void)release;
#endif
    return NULL;
}
