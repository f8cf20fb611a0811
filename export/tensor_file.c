/* SPDX-License-Identifier: Apache-2.0 */
#include "export/tensor_file.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/str.h"
#include "export/image.h"
#include "export/npy.h"
#include "export/npz.h"
#include "export/onnx/tensor_pb.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    const char *ext;
    const char *magic; /* the first bytes; NULL: told by the extension only */
    size_t magic_bytes;
    bool members; /* holds several tensors: PATH:NAME picks one */
    norn_status (*load)(const char *path, const char *name, norn_tensor **out);
    norn_status (*save)(const norn_tensor *t, const char *path); /* NULL: read only */
} tensor_format;

static norn_status load_npy(const char *path, const char *name, norn_tensor **out) {
    (void)name;
    return norni_npy_load(path, out);
}

static norn_status load_png(const char *path, const char *name, norn_tensor **out) {
    (void)name;
    return norni_png_load(path, 0, out);
}

norn_status norn_picture_load(const char *path, int channels, norn_tensor **out) {
    return norni_png_load(path, channels, out);
}

static norn_status load_pb(const char *path, const char *name, norn_tensor **out) {
    (void)name;
    return norni_tensor_from_pb(path, out);
}

static norn_status save_pb(const norn_tensor *t, const char *path) {
    return norni_tensor_to_pb(t, NULL, path);
}

static const tensor_format formats[] = {
    {".npy", "\x93NUMPY", 6, false, load_npy, norni_npy_save},
    {".npz", "PK\3\4", 4, true, norni_npz_load, NULL},
    {".png", "\x89PNG", 4, false, load_png, NULL},
    {".pb", NULL, 0, false, load_pb, save_pb},
};
enum { FORMATS = sizeof formats / sizeof *formats };

norn_status norni_spec_split(const char *spec, char **path, const char **name) {
    *path = NULL;
    *name = NULL;
    if (norni_path_exists(spec))
        return (*path = norni_strdup(spec)) ? NORN_OK : norni_nomem();
    int why = errno; /* of the whole spec, which is what most people wrote */
    const char *colon = strrchr(spec, ':');
    if (colon && colon != spec && colon[1]) {
        char *head = norni_strdup(spec);
        if (!head)
            return norni_nomem();
        head[colon - spec] = 0;
        if (norni_path_exists(head)) {
            *path = head;
            *name = colon + 1;
            return NORN_OK;
        }
        norni_free(head);
    }
    errno = why;
    return norni_fail_errno(spec, "cannot open");
}

static norn_status unknown_format(const char *path, bool saving) {
    norni_str list = {0};
    for (size_t i = 0; i < FORMATS; i++)
        if (!saving || formats[i].save)
            norni_str_addf(&list, list.n ? ", %s" : "%s", formats[i].ext);
    norni_fail(NORN_UNSUPPORTED, "%s: no tensor format by its name%s (wanted %s)", path,
               saving ? "" : " or first bytes", list.s ? list.s : "");
    norni_str_free(&list);
    return NORN_UNSUPPORTED;
}

static const tensor_format *by_extension(const char *path) {
    for (size_t i = 0; i < FORMATS; i++)
        if (norni_path_has_ext(path, formats[i].ext))
            return &formats[i];
    return NULL;
}

static norn_status by_magic(const char *path, const tensor_format **format) {
    unsigned char first[16];
    int fd;
    uint64_t bytes;
    NORNI_TRY(norni_file_open(path, &fd, &bytes));
    size_t n = bytes < sizeof first ? (size_t)bytes : sizeof first;
    norn_status s = norni_prefix(norni_fd_read(fd, first, n), "%s", path);
    close(fd);
    *format = NULL;
    for (size_t i = 0; i < FORMATS && s == NORN_OK; i++)
        if (formats[i].magic && n >= formats[i].magic_bytes &&
            !memcmp(first, formats[i].magic, formats[i].magic_bytes))
            *format = &formats[i];
    return s;
}

norn_status norn_tensor_load(const char *spec, norn_tensor **out) {
    char *path;
    const char *name;
    const tensor_format *format;
    *out = NULL;
    NORNI_TRY(norni_spec_split(spec, &path, &name));
    norn_status s = NORN_OK;
    format = by_extension(path);
    if (!format)
        s = by_magic(path, &format);
    if (s == NORN_OK && !format)
        s = unknown_format(path, false);
    else if (s == NORN_OK && name && !format->members)
        s = norni_fail(NORN_ARG, "%s: a %s file holds one tensor, so '%s' names nothing in it", path,
                       format->ext + 1, name);
    else if (s == NORN_OK)
        s = format->load(path, name, out);
    norni_free(path);
    return s;
}

norn_status norn_tensor_save(const norn_tensor *t, const char *path) {
    const tensor_format *format = by_extension(path);
    return format && format->save ? format->save(t, path) : unknown_format(path, true);
}
