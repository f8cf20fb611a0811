/* SPDX-License-Identifier: Apache-2.0 */
#include "base/alloc.h"
#include "base/vec.h"
#include "export/image.h"
#include "train/samples.h"
#include <string.h>

/* The pictures found so far. The first decides the size of all. */
typedef struct {
    NORNI_VEC(char *) files;
    NORNI_VEC(int64_t) labels;
} listing;

static void free_listing(listing *l) {
    for (size_t i = 0; i < l->files.n; i++)
        norni_free(l->files.v[i]);
    norni_vec_free(&l->files);
    norni_vec_free(&l->labels);
}

/* Adds the .png files of a folder as class `label`. */
static norn_status list_class(const char *dir, int64_t label, listing *l) {
    norni_names names;
    NORNI_TRY(norni_dir_list(dir, &names));
    norn_status s = NORN_OK;
    size_t before = l->files.n;
    for (size_t i = 0; i < names.n && s == NORN_OK; i++) {
        if (!norni_path_has_ext(names.v[i], ".png"))
            continue;
        char *path = norni_path_join(dir, names.v[i]);
        if (!path || !NORNI_PUSH(&l->files, path)) {
            norni_free(path);
            s = norni_nomem();
        } else if (!NORNI_PUSH(&l->labels, label)) {
            s = norni_nomem();
        }
    }
    if (s == NORN_OK && l->files.n == before)
        s = norni_fail(NORN_ARG, "%s: no .png among its %zu entries (wanted the pictures of one class)", dir,
                       names.n);
    norni_names_free(&names);
    return s;
}

static norn_status list_classes(const char *dir, listing *l, norni_names *classes) {
    norni_names names;
    NORNI_TRY(norni_dir_list(dir, &names));
    norn_status s = NORN_OK;
    for (size_t i = 0; i < names.n && s == NORN_OK; i++) {
        char *path = norni_path_join(dir, names.v[i]), *name = NULL;
        if (!path) {
            s = norni_nomem();
        } else if (norni_path_is_dir(path)) {
            s = list_class(path, (int64_t)classes->n, l);
            if (s == NORN_OK && (!(name = norni_strdup(names.v[i])) || !NORNI_PUSH(classes, name))) {
                norni_free(name);
                s = norni_nomem();
            }
        }
        norni_free(path);
    }
    if (s == NORN_OK && classes->n == 0)
        s = norni_fail(NORN_ARG, "%s: neither IDX files nor a folder for each class in it", dir);
    norni_names_free(&names);
    return s;
}

/* [h,w,c] bytes to [c,h,w]. */
static void to_planes(const unsigned char *from, unsigned char *to, size_t pixels, size_t c) {
    for (size_t k = 0; k < c; k++)
        for (size_t i = 0; i < pixels; i++)
            *to++ = from[i * c + k];
}

static norn_status add_picture(const listing *l, size_t i, int channels, norni_samples *out) {
    norn_tensor *p;
    NORNI_TRY(norni_png_load(l->files.v[i], channels, &p));
    norn_status s = NORN_OK;
    if (i == 0) {
        int64_t dims[] = {(int64_t)l->files.n, p->dims[2], p->dims[0], p->dims[1]};
        s = norni_prefix(norni_tensor_host(NORN_U8, 4, dims, &out->x), "%zu pictures as large as %s",
                         l->files.n, l->files.v[0]);
    } else {
        const int64_t *d = out->x->dims;
        if (d[1] != p->dims[2] || d[2] != p->dims[0] || d[3] != p->dims[1])
            s = norni_fail(
                NORN_SHAPE,
                "%s: %lldx%lld pixels, %lld channels (wanted %lldx%lld and %lld, as %s has; widths come "
                "first)",
                l->files.v[i], (long long)p->dims[1], (long long)p->dims[0], (long long)p->dims[2],
                (long long)d[3], (long long)d[2], (long long)d[1], l->files.v[0]);
    }
    if (s == NORN_OK) {
        size_t bytes = norni_tensor_bytes(p);
        to_planes(norni_tensor_data(p), (unsigned char *)norni_tensor_data(out->x) + i * bytes,
                  bytes / (size_t)p->dims[2], (size_t)p->dims[2]);
    }
    norn_tensor_free(p);
    return s;
}

static norn_status read_folder(const char *dir, int channels, norni_samples *out) {
    listing l = {0};
    norn_status s = list_classes(dir, &l, &out->classes);
    for (size_t i = 0; i < l.files.n && s == NORN_OK; i++)
        s = add_picture(&l, i, channels, out);
    if (s == NORN_OK) {
        int64_t n = (int64_t)l.labels.n;
        s = norni_tensor_host(NORN_I64, 1, &n, &out->y);
        if (s == NORN_OK)
            memcpy(norni_tensor_data(out->y), l.labels.v, l.labels.n * sizeof *l.labels.v);
    }
    free_listing(&l);
    return s;
}

norn_status norni_samples_png(const char *dir, const char *split, int channels, norni_samples *out) {
    if (!split)
        return read_folder(dir, channels, out);
    char *inner = norni_path_join(dir, split);
    if (!inner)
        return norni_nomem();
    norn_status s =
        norni_path_is_dir(inner)
            ? read_folder(inner, channels, out)
            : norni_fail(NORN_ARG,
                         "%s: no split '%.100s': neither a folder of that name nor %.100s-images-idx3-ubyte",
                         dir, split, split);
    norni_free(inner);
    return s;
}
