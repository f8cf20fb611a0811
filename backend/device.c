/* SPDX-License-Identifier: Apache-2.0 */
/* Lists the devices of every platform and ranks them. */
#include "backend/internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

bool norni_text_has(const char *text, const char *part) {
    size_t n = strlen(part);
    for (; *text; text++)
        if (!strncasecmp(text, part, n))
            return true;
    return n == 0;
}

/* Drivers pad names, and nothing keeps them from line breaks; a name is one line here, cut between UTF-8
 * characters. */
static void tidy(char *out, size_t size, const char *text) {
    while (*text && (unsigned char)*text <= ' ')
        text++;
    size_t n = strlen(text);
    if (n >= size) {
        n = size - 1;
        while (n && ((unsigned char)text[n] & 0xC0) == 0x80)
            n--;
    }
    while (n && (unsigned char)text[n - 1] <= ' ')
        n--;
    for (size_t i = 0; i < n; i++)
        out[i] = (unsigned char)text[i] < ' ' || text[i] == 0x7F ? ' ' : text[i];
    memset(out + n, 0, size - n); /* so that equal devices are equal bytes */
}

/* platform non-NULL: asks the platform instead. */
static char *query(cl_platform_id platform, cl_device_id id, cl_uint what) {
    size_t n = 0;
    int e = platform ? NORNI_CL(clGetPlatformInfo(platform, what, 0, NULL, &n))
                     : NORNI_CL(clGetDeviceInfo(id, what, 0, NULL, &n));
    char *text = e == CL_SUCCESS && n < (1u << 20) ? norni_alloc(n + 1) : NULL;
    if (!text)
        return NULL;
    e = platform ? NORNI_CL(clGetPlatformInfo(platform, what, n, text, NULL))
                 : NORNI_CL(clGetDeviceInfo(id, what, n, text, NULL));
    if (e != CL_SUCCESS)
        *text = 0;
    return text;
}

static void platform_text(cl_platform_id p, cl_platform_info what, char *out, size_t size) {
    char *text = query(p, NULL, what);
    tidy(out, size, text ? text : "");
    norni_free(text);
}

void norni_device_text(cl_device_id id, cl_device_info what, char *out, size_t size) {
    char *text = query(NULL, id, what);
    tidy(out, size, text ? text : "");
    norni_free(text);
}

/* A number of `size` bytes; what a driver does not know stays 0. */
static void number(cl_device_id id, cl_device_info what, void *out, size_t size) {
    if (NORNI_CL(clGetDeviceInfo(id, what, size, out, NULL)) != CL_SUCCESS)
        memset(out, 0, size);
}

static uint64_t number64(cl_device_id id, cl_device_info what) {
    cl_ulong v;
    number(id, what, &v, sizeof v);
    return v;
}

static unsigned number32(cl_device_id id, cl_device_info what) {
    cl_uint v;
    number(id, what, &v, sizeof v);
    return v;
}

static bool flag(cl_device_id id, cl_device_info what) {
    return number32(id, what) != CL_FALSE;
}

/* A whole word of a space-separated list. */
static bool has_word(const char *list, const char *word) {
    size_t n = strlen(word);
    for (const char *at = list; (at = strstr(at, word)); at += n)
        if ((at == list || at[-1] == ' ') && (at[n] == ' ' || at[n] == 0))
            return true;
    return false;
}

static norn_device_type type_of(cl_device_type t) {
    /* A simulator (Oclgrind) says it is everything at once; what it runs on is the CPU. */
    if (t & CL_DEVICE_TYPE_CPU)
        return NORN_DEVICE_CPU;
    if (t & CL_DEVICE_TYPE_GPU)
        return NORN_DEVICE_GPU;
    return t & CL_DEVICE_TYPE_ACCELERATOR ? NORN_DEVICE_ACCELERATOR : NORN_DEVICE_OTHER;
}

/* An extension's name is a claim. The vector width, which is 0 without the type, must agree with it here;
 * whether kernels that use the type compile and compute is tried when a context is opened. (The configuration
 * of halves is a later query that drivers with halves may lack.) */
static void probe_floats(norn_device *d, cl_device_id id, const char *extensions) {
    d->fp16 = has_word(extensions, "cl_khr_fp16") && number32(id, CL_DEVICE_NATIVE_VECTOR_WIDTH_HALF);
    d->fp64 = (has_word(extensions, "cl_khr_fp64") || has_word(extensions, "cl_amd_fp64")) &&
              number64(id, CL_DEVICE_DOUBLE_FP_CONFIG) && number32(id, CL_DEVICE_NATIVE_VECTOR_WIDTH_DOUBLE);
}

static void probe(norn_device *d, cl_device_id id, const struct norni_platform *p) {
    norni_device_text(id, CL_DEVICE_NAME, d->name, sizeof d->name);
    if (!*d->name)
        tidy(d->name, sizeof d->name, "nameless device");
    norni_device_text(id, CL_DEVICE_VENDOR, d->vendor, sizeof d->vendor);
    norni_device_text(id, CL_DRIVER_VERSION, d->driver, sizeof d->driver);
    norni_device_text(id, CL_DEVICE_VERSION, d->version, sizeof d->version);
    memcpy(d->platform, p->name, sizeof d->platform);
    memcpy(d->platform_version, p->version, sizeof d->platform_version);
    d->type = type_of(number64(id, CL_DEVICE_TYPE));
    d->compute_units = number32(id, CL_DEVICE_MAX_COMPUTE_UNITS);
    d->clock_mhz = number32(id, CL_DEVICE_MAX_CLOCK_FREQUENCY);
    d->memory_bytes = number64(id, CL_DEVICE_GLOBAL_MEM_SIZE);
    d->max_alloc_bytes = number64(id, CL_DEVICE_MAX_MEM_ALLOC_SIZE);
    d->local_bytes = number64(id, CL_DEVICE_LOCAL_MEM_SIZE);
    d->cache_bytes = number64(id, CL_DEVICE_GLOBAL_MEM_CACHE_SIZE);
    number(id, CL_DEVICE_MAX_WORK_GROUP_SIZE, &d->max_work_group, sizeof d->max_work_group);
    number(id, CL_DEVICE_MAX_WORK_ITEM_SIZES, d->max_work_item, sizeof d->max_work_item);
    unsigned align_bits = number32(id, CL_DEVICE_MEM_BASE_ADDR_ALIGN);
    d->base_align_bytes =
        align_bits >= 8 ? align_bits / 8 : 128; /* 128: sizeof(long16), the largest there is */
    d->cacheline_bytes = number32(id, CL_DEVICE_GLOBAL_MEM_CACHELINE_SIZE);
    unsigned preferred = number32(id, CL_DEVICE_PREFERRED_VECTOR_WIDTH_FLOAT),
             native = number32(id, CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT);
    d->vector_float = native > preferred ? native : preferred;
    d->local_dedicated = number32(id, CL_DEVICE_LOCAL_MEM_TYPE) == CL_LOCAL;
    d->unified_memory = flag(id, CL_DEVICE_HOST_UNIFIED_MEMORY);
    d->images = flag(id, CL_DEVICE_IMAGE_SUPPORT);
    /* A device that is switched off or of the other byte order is as unusable as one without a compiler. */
    d->no_compiler = !flag(id, CL_DEVICE_COMPILER_AVAILABLE) || !flag(id, CL_DEVICE_AVAILABLE) ||
                     !flag(id, CL_DEVICE_ENDIAN_LITTLE);
    char *extensions = query(NULL, id, CL_DEVICE_EXTENSIONS);
    const char *ext = extensions ? extensions : "";
    probe_floats(d, id, ext);
    d->subgroups = has_word(ext, "cl_khr_subgroups") || has_word(ext, "cl_intel_subgroups");
    norni_free(extensions);
}

static void host_device(norn_device *d) {
    tidy(d->name, sizeof d->name, "host reference");
    tidy(d->vendor, sizeof d->vendor, "norn");
    tidy(d->driver, sizeof d->driver, norn_version());
    tidy(d->version, sizeof d->version, "plain C");
    tidy(d->platform, sizeof d->platform, "host");
    tidy(d->platform_version, sizeof d->platform_version, norn_version());
    d->type = NORN_DEVICE_HOST;
    d->compute_units = 1;
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    d->memory_bytes = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : (uint64_t)1 << 32;
    d->max_alloc_bytes = d->memory_bytes;
    d->max_work_group = 1;
    for (int i = 0; i < 3; i++)
        d->max_work_item[i] = 1;
    d->base_align_bytes = 64;
    d->cacheline_bytes = 64;
    d->vector_float = 1;
    d->fp16 = d->fp64 = d->unified_memory = true;
}

bool norni_device_is_cpu(const norn_device *d) {
    if (d->type == NORN_DEVICE_CPU)
        return true;
    /* Software rasterisers and simulators are CPUs, and drivers on top of them (rusticl, clover, clvk) do not
     * always say so; their names are in the device's. */
    static const char *const software[] = {"llvmpipe", "softpipe", "swiftshader", "swrast", "oclgrind"};
    for (size_t i = 0; i < sizeof software / sizeof *software; i++)
        if (d->type != NORN_DEVICE_HOST && norni_text_has(d->name, software[i]))
            return true;
    return false;
}

const char *norni_device_unusable(const norn_device *d) {
    if (d->no_compiler)
        return "it has no compiler for kernels, is switched off or is big-endian";
    unsigned major = 0, minor = 0;
    if (d->type != NORN_DEVICE_HOST && sscanf(d->version, "OpenCL %u.%u", &major, &minor) == 2 &&
        major * 10 + minor < 12)
        return "it offers less than OpenCL 1.2";
    return NULL;
}

/* Smaller is better. */
static int rank(const norn_device *d) {
    if (d->type == NORN_DEVICE_HOST)
        return 6;
    if (norni_device_unusable(d))
        return 5;
    if (norni_device_is_cpu(d))
        return 3;
    switch (d->type) {
    case NORN_DEVICE_GPU:
        return d->unified_memory ? 1 : 0;
    case NORN_DEVICE_ACCELERATOR:
        return 2;
    default:
        return 4;
    }
}

static bool better(const norn_device *a, const norn_device *b) {
    if (rank(a) != rank(b))
        return rank(a) < rank(b);
    uint64_t clock_a = a->clock_mhz ? a->clock_mhz : 1000, clock_b = b->clock_mhz ? b->clock_mhz : 1000;
    return a->compute_units * clock_a > b->compute_units * clock_b; /* some drivers do not tell the clock */
}

void norni_devices_insert(norn_devices *list, const norni_listed *d) {
    size_t at = list->n;
    while (at && better(&d->device, &list->v[at - 1].device))
        at--;
    memmove(list->v + at + 1, list->v + at, (list->n - at) * sizeof *list->v);
    list->v[at] = *d;
    list->n++;
}

/* A platform that fails is listed with no devices, so that it does not hide the others. */
static norn_status list_platform(norn_devices *list, cl_platform_id id) {
    struct norni_platform *p = &list->platforms[list->n_platforms++];
    platform_text(id, CL_PLATFORM_NAME, p->name, sizeof p->name);
    platform_text(id, CL_PLATFORM_VERSION, p->version, sizeof p->version);
    cl_uint n = 0;
    if (NORNI_CL(clGetDeviceIDs(id, CL_DEVICE_TYPE_ALL, 0, NULL, &n)) != CL_SUCCESS || n == 0)
        return NORN_OK;
    cl_device_id *ids = norni_alloc_array(n, sizeof *ids);
    norni_listed *grown = ids ? norni_realloc(list->v, (list->n + n + 1) * sizeof *list->v) : NULL;
    if (grown)
        list->v = grown;
    if (grown && NORNI_CL(clGetDeviceIDs(id, CL_DEVICE_TYPE_ALL, n, ids, NULL)) == CL_SUCCESS) {
        p->devices = n;
        for (cl_uint i = 0; i < n; i++) {
            norni_listed d = {.platform = id, .id = ids[i]};
            probe(&d.device, ids[i], p);
            norni_devices_insert(list, &d);
        }
    }
    norni_free(ids);
    return grown ? NORN_OK : norni_nomem();
}

static norn_status list_platforms(norn_devices *list) {
    cl_uint n = 0;
    int e = NORNI_CL(clGetPlatformIDs(0, NULL, &n));
    if (e == CL_PLATFORM_NOT_FOUND_KHR || (e == CL_SUCCESS && n == 0))
        return NORN_OK;
    cl_platform_id *ids = norni_alloc_array(n, sizeof *ids);
    list->platforms = norni_alloc_array(n, sizeof *list->platforms);
    norn_status s = ids && list->platforms ? NORN_OK : norni_nomem();
    if (s == NORN_OK && e == CL_SUCCESS)
        e = NORNI_CL(clGetPlatformIDs(n, ids, NULL));
    if (s == NORN_OK && e != CL_SUCCESS) {
        const char *name = norni_cl_name(e);
        s = norni_fail(norni_cl_status(e), "devices: clGetPlatformIDs: %s (%d)",
                       name ? name : "unknown error", e);
    }
    for (cl_uint i = 0; i < n && s == NORN_OK; i++)
        s = list_platform(list, ids[i]);
    norni_free(ids);
    return s;
}

norn_status norn_devices_list(norn_devices **out) {
    *out = NULL;
    norn_devices *list = norni_alloc(sizeof *list);
    if (!list)
        return norni_nomem();
    list->v = norni_alloc(sizeof *list->v);
    norn_status s = list->v ? list_platforms(list) : norni_nomem();
    if (s != NORN_OK) {
        norn_devices_free(list);
        return s;
    }
    norni_listed host = {0}; /* there is always one place more than devices */
    host_device(&host.device);
    norni_devices_insert(list, &host);
    *out = list;
    return NORN_OK;
}

void norn_devices_free(norn_devices *list) {
    if (!list)
        return;
    norni_free(list->v);
    norni_free(list->platforms);
    norni_free(list);
}

size_t norn_devices_count(const norn_devices *list) {
    return list->n;
}
const norn_device *norn_devices_at(const norn_devices *list, size_t i) {
    return i < list->n ? &list->v[i].device : NULL;
}
size_t norn_devices_platform_count(const norn_devices *list) {
    return list->n_platforms;
}
const char *norn_devices_platform_name(const norn_devices *list, size_t i) {
    return i < list->n_platforms ? list->platforms[i].name : "";
}
const char *norn_devices_platform_version(const norn_devices *list, size_t i) {
    return i < list->n_platforms ? list->platforms[i].version : "";
}
size_t norn_devices_platform_devices(const norn_devices *list, size_t i) {
    return i < list->n_platforms ? list->platforms[i].devices : 0;
}

const char *norn_device_name(const norn_device *d) {
    return d->name;
}
const char *norn_device_vendor(const norn_device *d) {
    return d->vendor;
}
const char *norn_device_driver(const norn_device *d) {
    return d->driver;
}
const char *norn_device_version(const norn_device *d) {
    return d->version;
}
const char *norn_device_platform(const norn_device *d) {
    return d->platform;
}
norn_device_type norn_device_kind(const norn_device *d) {
    return d->type;
}
unsigned norn_device_compute_units(const norn_device *d) {
    return d->compute_units;
}
unsigned norn_device_clock_mhz(const norn_device *d) {
    return d->clock_mhz;
}
uint64_t norn_device_memory_bytes(const norn_device *d) {
    return d->memory_bytes;
}
uint64_t norn_device_max_alloc_bytes(const norn_device *d) {
    return d->max_alloc_bytes;
}
uint64_t norn_device_local_bytes(const norn_device *d) {
    return d->local_bytes;
}
size_t norn_device_max_work_group(const norn_device *d) {
    return d->max_work_group;
}

bool norn_device_has(const norn_device *d, const char *feature) {
    return (!strcmp(feature, "fp16") && d->fp16) || (!strcmp(feature, "fp64") && d->fp64) ||
           (!strcmp(feature, "subgroups") && d->subgroups) ||
           (!strcmp(feature, "unified-memory") && d->unified_memory) ||
           (!strcmp(feature, "images") && d->images);
}
