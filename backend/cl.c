/* SPDX-License-Identifier: Apache-2.0 */
/* Error codes by name, error messages, and the faults that tests inject. */
#include "backend/internal.h"
#include <clblast_c.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

#define CODE(c)                                                                                              \
    { c, #c }
/* The cl_ext.h of OpenCL 1.2 targets lacks a few that newer drivers return. */
static const struct {
    int code;
    const char *name;
} codes[] = {
    CODE(CL_SUCCESS),
    CODE(CL_DEVICE_NOT_FOUND),
    CODE(CL_DEVICE_NOT_AVAILABLE),
    CODE(CL_COMPILER_NOT_AVAILABLE),
    CODE(CL_MEM_OBJECT_ALLOCATION_FAILURE),
    CODE(CL_OUT_OF_RESOURCES),
    CODE(CL_OUT_OF_HOST_MEMORY),
    CODE(CL_PROFILING_INFO_NOT_AVAILABLE),
    CODE(CL_MEM_COPY_OVERLAP),
    CODE(CL_IMAGE_FORMAT_MISMATCH),
    CODE(CL_IMAGE_FORMAT_NOT_SUPPORTED),
    CODE(CL_BUILD_PROGRAM_FAILURE),
    CODE(CL_MAP_FAILURE),
    CODE(CL_MISALIGNED_SUB_BUFFER_OFFSET),
    CODE(CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST),
    CODE(CL_COMPILE_PROGRAM_FAILURE),
    CODE(CL_LINKER_NOT_AVAILABLE),
    CODE(CL_LINK_PROGRAM_FAILURE),
    CODE(CL_DEVICE_PARTITION_FAILED),
    CODE(CL_KERNEL_ARG_INFO_NOT_AVAILABLE),
    CODE(CL_INVALID_VALUE),
    CODE(CL_INVALID_DEVICE_TYPE),
    CODE(CL_INVALID_PLATFORM),
    CODE(CL_INVALID_DEVICE),
    CODE(CL_INVALID_CONTEXT),
    CODE(CL_INVALID_QUEUE_PROPERTIES),
    CODE(CL_INVALID_COMMAND_QUEUE),
    CODE(CL_INVALID_HOST_PTR),
    CODE(CL_INVALID_MEM_OBJECT),
    CODE(CL_INVALID_IMAGE_FORMAT_DESCRIPTOR),
    CODE(CL_INVALID_IMAGE_SIZE),
    CODE(CL_INVALID_SAMPLER),
    CODE(CL_INVALID_BINARY),
    CODE(CL_INVALID_BUILD_OPTIONS),
    CODE(CL_INVALID_PROGRAM),
    CODE(CL_INVALID_PROGRAM_EXECUTABLE),
    CODE(CL_INVALID_KERNEL_NAME),
    CODE(CL_INVALID_KERNEL_DEFINITION),
    CODE(CL_INVALID_KERNEL),
    CODE(CL_INVALID_ARG_INDEX),
    CODE(CL_INVALID_ARG_VALUE),
    CODE(CL_INVALID_ARG_SIZE),
    CODE(CL_INVALID_KERNEL_ARGS),
    CODE(CL_INVALID_WORK_DIMENSION),
    CODE(CL_INVALID_WORK_GROUP_SIZE),
    CODE(CL_INVALID_WORK_ITEM_SIZE),
    CODE(CL_INVALID_GLOBAL_OFFSET),
    CODE(CL_INVALID_EVENT_WAIT_LIST),
    CODE(CL_INVALID_EVENT),
    CODE(CL_INVALID_OPERATION),
    CODE(CL_INVALID_GL_OBJECT),
    CODE(CL_INVALID_BUFFER_SIZE),
    CODE(CL_INVALID_MIP_LEVEL),
    CODE(CL_INVALID_GLOBAL_WORK_SIZE),
    CODE(CL_INVALID_PROPERTY),
    CODE(CL_INVALID_IMAGE_DESCRIPTOR),
    CODE(CL_INVALID_COMPILER_OPTIONS),
    CODE(CL_INVALID_LINKER_OPTIONS),
    CODE(CL_INVALID_DEVICE_PARTITION_COUNT),
    CODE(CL_PLATFORM_NOT_FOUND_KHR),
    {-69, "CL_INVALID_PIPE_SIZE"},
    {-70, "CL_INVALID_DEVICE_QUEUE"},
    {-71, "CL_INVALID_SPEC_ID"},
    {-72, "CL_MAX_SIZE_RESTRICTION_EXCEEDED"},
    {-1000, "CL_INVALID_GL_SHAREGROUP_REFERENCE_KHR"},
    {-9999, "NVIDIA: illegal read or write to a buffer"},
    CODE(CLBlastNotImplemented),
    CODE(CLBlastInvalidMatrixA),
    CODE(CLBlastInvalidMatrixB),
    CODE(CLBlastInvalidMatrixC),
    CODE(CLBlastInvalidVectorX),
    CODE(CLBlastInvalidVectorY),
    CODE(CLBlastInvalidDimension),
    CODE(CLBlastInvalidLeadDimA),
    CODE(CLBlastInvalidLeadDimB),
    CODE(CLBlastInvalidLeadDimC),
    CODE(CLBlastInvalidIncrementX),
    CODE(CLBlastInvalidIncrementY),
    CODE(CLBlastInsufficientMemoryA),
    CODE(CLBlastInsufficientMemoryB),
    CODE(CLBlastInsufficientMemoryC),
    CODE(CLBlastInsufficientMemoryX),
    CODE(CLBlastInsufficientMemoryY),
    CODE(CLBlastInsufficientMemoryTemp),
    CODE(CLBlastInvalidBatchCount),
    CODE(CLBlastInvalidOverrideKernel),
    CODE(CLBlastMissingOverrideParameter),
    CODE(CLBlastInvalidLocalMemUsage),
    CODE(CLBlastNoHalfPrecision),
    CODE(CLBlastNoDoublePrecision),
    CODE(CLBlastInvalidVectorScalar),
    CODE(CLBlastInsufficientMemoryScalar),
    CODE(CLBlastDatabaseError),
    CODE(CLBlastUnknownError),
    CODE(CLBlastUnexpectedError),
};

const char *norni_cl_name(int code) {
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (codes[i].code == code)
            return codes[i].name;
    return NULL;
}

norn_status norni_cl_status(int code) {
    return code == CL_MEM_OBJECT_ALLOCATION_FAILURE || code == CL_OUT_OF_HOST_MEMORY ? NORN_NOMEM
                                                                                     : NORN_DEVICE;
}

norn_status norni_cl_fail(const norn_device *d, int code, const char *call, const char *fmt, ...) {
    char detail[512] = "";
    va_list ap;
    va_start(ap, fmt);
    if (fmt)
        vsnprintf(detail, sizeof detail, fmt, ap);
    va_end(ap);
    const char *name = norni_cl_name(code);
    return norni_fail(norni_cl_status(code), "device '%s': %s: %s (%d)%s%s", d->name, call,
                      name ? name : "unknown error", code, *detail ? ": " : "", detail);
}

/* Calls may come from several build threads, so the count is atomic and each thread remembers its own fault.
 */
static atomic_long calls_left = -1;
static atomic_int fault_code;
static _Thread_local int thread_fault;

void norni_cl_fail_after(long n, int code) {
    atomic_store(&fault_code, code);
    atomic_store(&calls_left, n);
}

bool norni_cl_fail_pending(void) {
    return atomic_load(&calls_left) >= 0;
}

bool norni_cl_injected(void) {
    if (atomic_load_explicit(&calls_left, memory_order_relaxed) < 0)
        return false;
    if (atomic_fetch_sub(&calls_left, 1) != 0)
        return false;
    thread_fault = atomic_load(&fault_code);
    return true;
}

int norni_cl_injected_code(void) {
    return thread_fault;
}
