/* SPDX-License-Identifier: Apache-2.0 */
/* norn-worker: compiles programs for another process, which reads them as binaries. PoCL compiles under one lock a
 * process, so that several programs at once take several processes.
 *
 * PoCL (3.1) compiles a kernel at its first launch, for one local size, and when it is asked for the binary once more for any
 * local size, which takes longer and which nothing that norn launches needs. Here nothing is launched. What is wanted
 * compiled is named by POCL_BINARY_SPECIALIZE_WG, and in the place where PoCL looks whether it has the form for any local
 * size already, in the cache folder that is this process's own, lies a library without code that has the right symbol.
 * In the binary that file gets a name that PoCL does not look for, so whoever loads it and wants the form for any local
 * size has it compiled as ever. Where a driver keeps its files in another way, it just compiles more. */
#define _GNU_SOURCE /* memmem */
#include "backend/worker/declarations.h"
#include "backend/worker/protocol.h"
#include "base/fd_io.h"
#include "base/hash.h"
#include <CL/cl.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __linux__
#include <elf.h>
#endif

enum { MAX_KERNELS = 64, MAX_BYTES = 1 << 30 };

typedef struct {
    cl_context context;
    cl_device_id device;
    const char *folder; /* of PoCL's cache; NULL: another driver */
    bool excerpts;      /* of PoCL's header are put before programs */
    norni_declarations header;
} worker;

/* The socket -------------------------------------------------------------------------------------- */
static char *take_text(uint32_t n) {
    char *s = n < MAX_BYTES ? malloc((size_t)n + 1) : NULL;
    if (!s || !norni_read_all(0, s, n)) {
        free(s);
        return NULL;
    }
    s[n] = 0;
    return s;
}

/* The device that the other process has ----------------------------------------------------------- */
static bool platform_is(cl_platform_id p, cl_platform_info what, const char *wanted) {
    char text[1024];
    return clGetPlatformInfo(p, what, sizeof text, text, NULL) == CL_SUCCESS && !strcmp(text, wanted);
}

static bool device_is(cl_device_id d, cl_device_info what, const char *wanted) {
    char text[1024];
    return clGetDeviceInfo(d, what, sizeof text, text, NULL) == CL_SUCCESS && !strcmp(text, wanted);
}

static bool open_device(worker *w, char **names) {
    cl_platform_id platforms[32];
    cl_device_id devices[64];
    cl_uint n_platforms = 0, n_devices = 0;
    if (clGetPlatformIDs(32, platforms, &n_platforms) != CL_SUCCESS)
        return false;
    for (cl_uint i = 0; i < n_platforms && i < 32; i++) {
        if (!platform_is(platforms[i], CL_PLATFORM_NAME, names[0]) ||
            !platform_is(platforms[i], CL_PLATFORM_VERSION, names[1]) ||
            clGetDeviceIDs(platforms[i], CL_DEVICE_TYPE_ALL, 64, devices, &n_devices) != CL_SUCCESS)
            continue;
        for (cl_uint k = 0; k < n_devices && k < 64; k++) {
            if (!device_is(devices[k], CL_DEVICE_NAME, names[2]) ||
                !device_is(devices[k], CL_DRIVER_VERSION, names[3]))
                continue;
            cl_int e;
            w->device = devices[k];
            w->context = clCreateContext(NULL, 1, &w->device, NULL, NULL, &e);
            return e == CL_SUCCESS;
        }
    }
    return false;
}

/* The library without code ------------------------------------------------------------------------ */
#if defined(__linux__) && (defined(__x86_64__) || defined(__aarch64__))
/* The least that a dynamic linker takes: one symbol, at an address that nobody calls. */
static bool write_library(const char *path, const char *symbol) {
    struct {
        Elf64_Ehdr head;
        Elf64_Phdr parts[3];
        Elf64_Dyn dynamic[6];
        Elf64_Sym symbols[2];
        uint32_t hash[5]; /* 1 bucket, 2 symbols; the bucket's first, the chain */
        char strings[300];
    } f;
    memset(&f, 0, sizeof f);
    if (strlen(symbol) + 2 > sizeof f.strings)
        return false;
    memcpy(f.head.e_ident, ELFMAG, SELFMAG);
    f.head.e_ident[EI_CLASS] = ELFCLASS64;
    f.head.e_ident[EI_DATA] = ELFDATA2LSB;
    f.head.e_ident[EI_VERSION] = EV_CURRENT;
    f.head.e_type = ET_DYN;
#ifdef __x86_64__
    f.head.e_machine = EM_X86_64;
#else
    f.head.e_machine = EM_AARCH64;
#endif
    f.head.e_version = EV_CURRENT;
    f.head.e_phoff = offsetof(__typeof__(f), parts);
    f.head.e_ehsize = sizeof f.head;
    f.head.e_phentsize = sizeof f.parts[0];
    f.head.e_phnum = 3;
    f.parts[0] = (Elf64_Phdr){.p_type = PT_LOAD,
                              .p_flags = PF_R | PF_W,
                              .p_filesz = sizeof f,
                              .p_memsz = sizeof f,
                              .p_align = 0x10000};
    f.parts[1] = (Elf64_Phdr){.p_type = PT_DYNAMIC,
                              .p_flags = PF_R | PF_W,
                              .p_offset = offsetof(__typeof__(f), dynamic),
                              .p_vaddr = offsetof(__typeof__(f), dynamic),
                              .p_filesz = sizeof f.dynamic,
                              .p_memsz = sizeof f.dynamic,
                              .p_align = 8};
    f.parts[2] = (Elf64_Phdr){.p_type = PT_GNU_STACK, .p_flags = PF_R | PF_W, .p_align = 16};
    f.dynamic[0] = (Elf64_Dyn){DT_HASH, {offsetof(__typeof__(f), hash)}};
    f.dynamic[1] = (Elf64_Dyn){DT_STRTAB, {offsetof(__typeof__(f), strings)}};
    f.dynamic[2] = (Elf64_Dyn){DT_SYMTAB, {offsetof(__typeof__(f), symbols)}};
    f.dynamic[3] = (Elf64_Dyn){DT_STRSZ, {sizeof f.strings}};
    f.dynamic[4] = (Elf64_Dyn){DT_SYMENT, {sizeof f.symbols[0]}};
    f.symbols[1].st_name = 1;
    f.symbols[1].st_info = ELF64_ST_INFO(STB_GLOBAL, STT_NOTYPE);
    f.symbols[1].st_shndx = SHN_ABS;
    f.symbols[1].st_value = 1;
    f.hash[0] = 1;
    f.hash[1] = 2;
    f.hash[2] = 1;
    memcpy(f.strings + 1, symbol, strlen(symbol));
    FILE *out = fopen(path, "wb");
    if (!out)
        return false;
    bool ok = fwrite(&f, sizeof f, 1, out) == 1;
    ok = fclose(out) == 0 && ok;
    if (!ok)
        unlink(path);
    return ok;
}
#else
static bool write_library(const char *path, const char *symbol) {
    return false;
}
#endif

/* PoCL's folder of the program that was built last: the only one without our mark. */
static bool newest_folder(const char *top, char *out, size_t size) {
    DIR *outer = opendir(top);
    bool found = false;
    for (struct dirent *a; outer && !found && (a = readdir(outer));) {
        char path[2048];
        int n = snprintf(path, sizeof path, "%s/%s", top, a->d_name);
        DIR *inner = a->d_name[0] == '.' || n < 0 || (size_t)n >= sizeof path ? NULL : opendir(path);
        for (struct dirent *b; inner && !found && (b = readdir(inner));) {
            char program[4096];
            snprintf(program, sizeof program, "%s/%s/program.bc", path, b->d_name);
            if (b->d_name[0] == '.' || access(program, F_OK))
                continue;
            snprintf(program, sizeof program, "%s/%s/norn", path, b->d_name);
            int mark = open(program, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
            if (mark < 0)
                continue;
            close(mark);
            found = (size_t)snprintf(out, size, "%s/%s", path, b->d_name) < size;
        }
        if (inner)
            closedir(inner);
    }
    if (outer)
        closedir(outer);
    return found;
}

static bool place_library(const char *folder, const char *kernel) {
    char path[4096], symbol[256];
    int n = snprintf(symbol, sizeof symbol, "_pocl_kernel_%s_workgroup", kernel);
    int m = snprintf(path, sizeof path, "%s/%s/0-0-0/%s.so", folder, kernel, kernel);
    if (n < 0 || (size_t)n >= sizeof symbol || m < 0 || (size_t)m >= sizeof path || strchr(kernel, '/'))
        return false;
    size_t kernel_end = strlen(folder) + 1 + strlen(kernel), form_end = kernel_end + strlen("/0-0-0");
    path[kernel_end] = 0;
    mkdir(path, 0700);
    path[kernel_end] = '/';
    path[form_end] = 0;
    mkdir(path, 0700);
    path[form_end] = '/';
    return write_library(path, symbol);
}

/* The one place in the binary that names a file of a kernel; NULL for none or several. */
static unsigned char *file_name(unsigned char *binary, size_t bytes, const char *kernel, const char *form) {
    char name[1024];
    int n = snprintf(name, sizeof name, "/%s/%s/%s.so", kernel, form, kernel);
    if (n < 0 || (size_t)n >= sizeof name)
        return NULL;
    unsigned char *at = memmem(binary, bytes, name, (size_t)n);
    if (!at)
        return NULL;
    unsigned char *next = at + 1;
    return memmem(next, bytes - (size_t)(next - binary), name, (size_t)n) ? NULL : at;
}

/* Compiling --------------------------------------------------------------------------------------- */
/* Kernel names, separated by zeros in `text`. */
static size_t kernel_names(cl_program p, char *text, size_t size, char **names) {
    size_t n = 0;
    if (clGetProgramInfo(p, CL_PROGRAM_KERNEL_NAMES, size, text, NULL) != CL_SUCCESS)
        return 0;
    for (char *at = strtok(text, ";"); at && n < MAX_KERNELS; at = strtok(NULL, ";"))
        names[n++] = at;
    return n;
}

/* The forms of all variants, each once, separated by commas. */
static void announce(const char *variants) {
    size_t size = strlen(variants) + 1;
    char *forms = calloc(1, size + 1), *copy = malloc(size);
    if (forms && copy) {
        memcpy(copy, variants, size);
        for (char *line = strtok(copy, "\n"); line; line = strtok(NULL, "\n")) {
            const char *form = strchr(line, ' ');
            size_t n = form ? strlen(++form) : 0;
            bool known = !n;
            for (const char *at = forms; !known && (at = strstr(at, form)); at += n)
                known = (at == forms || at[-1] == ',') && (at[n] == ',' || !at[n]);
            if (known)
                continue;
            if (*forms)
                strcat(forms, ",");
            strcat(forms, form);
        }
        setenv("POCL_BINARY_SPECIALIZE_WG", forms, 1);
    }
    free(forms);
    free(copy);
}

static unsigned char *binary_of(cl_program p, size_t *bytes) {
    unsigned char *binary = NULL;
    if (clGetProgramInfo(p, CL_PROGRAM_BINARY_SIZES, sizeof *bytes, bytes, NULL) != CL_SUCCESS || !*bytes ||
        !(binary = malloc(*bytes)))
        return NULL;
    if (clGetProgramInfo(p, CL_PROGRAM_BINARIES, sizeof binary, &binary, NULL) == CL_SUCCESS)
        return binary;
    free(binary);
    return NULL;
}

/* Which variants the binary holds. */
static uint64_t variants_in(unsigned char *binary, size_t bytes, char *variants) {
    uint64_t made = 0;
    int i = 0;
    for (char *line = strtok(variants, "\n"); line && i < NORNI_WORKER_MAX_VARIANTS;
         line = strtok(NULL, "\n"), i++) {
        char *form = strchr(line, ' ');
        if (!form)
            continue;
        *form++ = 0;
        if (file_name(binary, bytes, line, form))
            made |= (uint64_t)1 << i;
    }
    return made;
}

static cl_program build(const worker *w, const char *options, const char *source) {
    cl_int e;
    cl_program p = clCreateProgramWithSource(w->context, 1, &source, NULL, &e);
    if (e != CL_SUCCESS)
        return NULL;
    if (clBuildProgram(p, 1, &w->device, options, NULL, NULL) == CL_SUCCESS)
        return p;
    clReleaseProgram(p);
    return NULL;
}

/* With the declarations that it needs, instead of all that there are. */
static cl_program build_excerpt(const worker *w, const char *options, const char *source) {
    size_t size = strlen(options) + sizeof NORNI_DECLARED;
    char *all = malloc(size), *text = all ? norni_declarations_before(&w->header, source) : NULL;
    cl_program p = NULL;
    if (text) {
        snprintf(all, size, "%s%s", options, NORNI_DECLARED);
        p = build(w, all, text);
    }
    free(all);
    free(text);
    return p;
}

static unsigned char *compile(const worker *w, const char *options, const char *source, char *variants,
                              size_t *bytes, uint64_t *made) {
    unsigned char *binary = NULL;
    cl_program p = w->excerpts ? build_excerpt(w, options, source) : NULL;
    if (!p)
        p = build(w, options, source);
    if (p) {
        char text[8192], folder[4096], *kernels[MAX_KERNELS];
        bool placed[MAX_KERNELS] = {false};
        size_t n = kernel_names(p, text, sizeof text, kernels);
        bool known = w->folder && newest_folder(w->folder, folder, sizeof folder);
        for (size_t i = 0; i < n && known; i++)
            placed[i] = place_library(folder, kernels[i]);
        announce(variants);
        binary = binary_of(p, bytes);
        for (size_t i = 0; i < n && binary; i++) {
            unsigned char *name = placed[i] ? file_name(binary, *bytes, kernels[i], "0-0-0") : NULL;
            if (name)
                memcpy(name + 1 + strlen(kernels[i]) + 1, "x-x-x", 5);
            else if (placed[i]) { /* it may hold our library under a name that PoCL looks for */
                free(binary);
                binary = NULL;
            }
        }
        if (binary)
            *made = variants_in(binary, *bytes, variants);
        clReleaseProgram(p);
    }
    return binary;
}

static bool serve(const worker *w) {
    norni_worker_request r;
    if (!norni_read_all(0, &r, sizeof r) || r.magic != NORNI_WORKER_MAGIC)
        return false;
    char *options = take_text(r.options_bytes), *source = options ? take_text(r.source_bytes) : NULL,
         *variants = source ? take_text(r.variants_bytes) : NULL;
    norni_worker_reply a = {.magic = NORNI_WORKER_MAGIC};
    unsigned char *binary = NULL;
    size_t bytes = 0;
    if (variants)
        binary = compile(w, options, source, variants, &bytes, &a.made);
    a.binary_bytes = binary ? bytes : 0;
    a.checksum = norni_hash_bytes(a.made, binary, (size_t)a.binary_bytes);
    bool ok =
        variants && norni_write_all(0, &a, sizeof a) && norni_write_all(0, binary, (size_t)a.binary_bytes);
    free(binary);
    free(options);
    free(source);
    free(variants);
    return ok;
}

int main(int n, char **names) {
    worker w = {.folder = getenv("POCL_CACHE_DIR")};
    if (n != 5) {
        fprintf(stderr, "norn-worker compiles programs for norn, which starts it by itself\n");
        return 2;
    }
    signal(SIGINT, SIG_IGN); /* the terminal's, which norn gets as well: it ends this process if it ends */
    bool ready = open_device(&w, names + 1);
    w.excerpts = ready && norni_declarations_read(&w.header);
    if (ready)
        while (serve(&w))
            ;
    _exit(0); /* the driver's own leave-taking takes time and has nothing to save */
}
