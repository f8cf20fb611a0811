/* SPDX-License-Identifier: Apache-2.0 */
/* What a device is and can do, as plain data: no OpenCL handle in here, so that a plan can be made from a
 * text snapshot of a device that this machine does not have. All bytes after the end of a text are 0: equal
 * devices compare equal as memory. fp16 and fp64 of a listed device are claims; in a context they were tried
 * out (the doubles of CPUs are believed). */
#ifndef NORNI_DEVICE_H
#define NORNI_DEVICE_H
#include "base/status.h"

struct norn_device {
    char name[128], vendor[64], driver[64], version[96], platform[96], platform_version[96];
    norn_device_type type;
    unsigned compute_units, clock_mhz;
    uint64_t memory_bytes, max_alloc_bytes, local_bytes, cache_bytes;
    size_t max_work_group, max_work_item[3];
    size_t base_align_bytes; /* sub-buffer offsets are multiples of this */
    unsigned cacheline_bytes;
    unsigned vector_float; /* vector width for float: the native or the preferred one, whichever is larger */
    bool local_dedicated;  /* local memory is real on-chip memory, not a piece of global memory */
    bool fp16, fp64, subgroups, unified_memory, images;
    bool no_compiler; /* no compiler, or switched off, or big-endian: unusable */
};

/* True for devices that run work-items on CPU cores (whatever the driver calls itself): these want one
 * work-item a work-group, wide vectors and no local memory. */
bool norni_device_is_cpu(const norn_device *d);

#endif
