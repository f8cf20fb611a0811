/* SPDX-License-Identifier: Apache-2.0 */
#include "base/alloc.h"
#include "base/bytes.h"
#include "base/str.h"
#include "train/samples.h"
#include <string.h>
#include <unistd.h>
#include <zlib.h>

/* --- one file
 * ----------------------------------------------------------------------------------------------- */

/* zlib puts the name of the file first, which for us is "<fd:3>". */
static norn_status fail_gz(const char *text) {
    const char *after = strstr(text, ">: ");
    return norni_fail(NORN_PARSE, "cannot be unpacked: %s", after ? after + 3 : text);
}

/* Exactly `bytes` bytes, unpacked where the file is gzipped. */
static norn_status read_exactly(gzFile f, void *data, size_t bytes) {
    char *p = data;
    while (bytes > 0) {
        int n = gzread(f, p, bytes < (1u << 30) ? (unsigned)bytes : 1u << 30);
        if (n <= 0) {
            int code;
            const char *text = gzerror(f, &code);
            if (code != Z_OK && code != Z_BUF_ERROR)
                return fail_gz(text);
            return norni_fail(NORN_PARSE, "ends early: %zu bytes are missing", bytes);
        }
        p += n;
        bytes -= (size_t)n;
    }
    return NORN_OK;
}

/* Reading past the last byte makes zlib compare the checksum. */
static norn_status check_end(gzFile f) {
    char extra;
    int n = gzread(f, &extra, 1), code;
    if (n > 0)
        return norni_fail(NORN_PARSE, "goes on behind the data that its header announces");
    const char *text = gzerror(f, &code);
    return n == 0 && code == Z_OK ? NORN_OK : fail_gz(text);
}

static norn_status read_idx(gzFile f, uint64_t file_bytes, norn_tensor **out) {
    static const struct {
        unsigned char code;
        norn_dtype dtype;
    } types[] = {{0x08, NORN_U8},  {0x09, NORN_I8},  {0x0b, NORN_I16},
                 {0x0c, NORN_I32}, {0x0d, NORN_F32}, {0x0e, NORN_F64}};
    unsigned char magic[4], size[4];
    NORNI_TRY(read_exactly(f, magic, 4));
    if (magic[0] || magic[1])
        return norni_fail(NORN_PARSE, "begins with %02x %02x (wanted 00 00, as an IDX file does)", magic[0],
                          magic[1]);
    norn_dtype dtype = NORN_UNDEFINED;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].code == magic[2])
            dtype = types[i].dtype;
    if (dtype == NORN_UNDEFINED)
        return norni_fail(NORN_PARSE, "element type 0x%02x (wanted 08, 09, 0b, 0c, 0d or 0e)", magic[2]);
    int rank = magic[3];
    if (rank < 1 || rank > NORN_MAX_RANK)
        return norni_fail(NORN_PARSE, "%d axes (wanted 1 to %d)", rank, NORN_MAX_RANK);
    int64_t dims[NORN_MAX_RANK];
    for (int i = 0; i < rank; i++) {
        NORNI_TRY(read_exactly(f, size, 4));
        dims[i] = norni_u32_big_endian(size);
    }
    char shape[128];
    norni_shape_text(rank, dims, shape);
    int64_t elems = norni_elems(rank, dims);
    size_t bytes = elems < 0 ? SIZE_MAX : norni_dtype_bytes(dtype, elems);
    size_t header = 4 + 4 * (size_t)rank;
    bool plain = gzdirect(f);
    uint64_t room = plain ? file_bytes - header : norni_inflated_max(file_bytes);
    if (plain ? bytes != room : bytes > room)
        return norni_fail(NORN_PARSE, "shape %s of %s needs %zu bytes, and %s%llu follow%s", shape,
                          norni_dtype_name(dtype), bytes, plain ? "" : "at most ", (unsigned long long)room,
                          elems < 0 ? " (more than can be counted)" : "");
    norn_tensor *t;
    NORNI_TRY(norni_tensor_host(dtype, rank, dims, &t));
    norn_status s = read_exactly(f, norni_tensor_data(t), bytes);
    if (s == NORN_OK)
        s = check_end(f);
    if (s != NORN_OK) {
        norn_tensor_free(t);
        return s;
    }
    if (bytes > 0 && !norni_host_is_big_endian())
        norni_swap_bytes(norni_tensor_data(t), (size_t)elems, bytes / (size_t)elems);
    *out = t;
    return NORN_OK;
}

norn_status norni_idx_load(const char *path, norn_tensor **out) {
    int fd;
    uint64_t bytes;
    *out = NULL;
    NORNI_TRY(norni_file_open(path, &fd, &bytes));
    gzFile f = gzdopen(fd, "rb"); /* reads what is not gzipped as it is */
    if (!f) {
        close(fd);
        return norni_nomem();
    }
    norn_status s = read_idx(f, bytes, out);
    gzclose(f);
    return norni_prefix(s, "%s", path);
}

/* --- images and the labels beside them
 * ---------------------------------------------------------------------- */

/* The path, or with ".gz" behind it or taken off: the one that is there; NULL in *found when neither is.
 * Takes `path`. */
static norn_status with_or_without_gz(norni_str *path, char **found) {
    *found = NULL;
    bool failed = path->failed, present = !failed && norni_path_exists(path->s);
    if (!failed && !present) {
        if (norni_path_has_ext(path->s, ".gz"))
            path->s[path->n -= 3] = 0;
        else
            norni_str_add(path, ".gz");
        failed = path->failed;
        present = !failed && norni_path_exists(path->s);
    }
    if (present)
        *found = norni_str_take(path);
    norni_str_free(path);
    return failed ? norni_nomem() : NORN_OK;
}

/* DIR/PREFIX-images-idx3-ubyte and its spellings. dir NULL: the prefix is a path. */
static norn_status find_images(const char *dir, const char *prefix, char **found) {
    for (int i = 0; i < 4; i++) {
        norni_str s = {0};
        norni_str_addf(&s, "%s%s%s-images%cidx%c-ubyte", dir ? dir : "", dir ? "/" : "", prefix, "-."[i & 1],
                       "34"[i >> 1]);
        NORNI_TRY(with_or_without_gz(&s, found));
        if (*found)
            return NORN_OK;
    }
    *found = NULL;
    return NORN_OK;
}

static norn_status find_labels(const char *images, char **found) {
    const char *base = norni_path_base(images), *word = NULL;
    for (const char *p = base; (p = strstr(p, "images")); p++)
        word = p;
    *found = NULL;
    if (!word)
        return norni_fail(
            NORN_ARG, "%s: no 'images' in the name of the file, so that the labels cannot be found", images);
    norni_str s = {0};
    norni_str_addn(&s, images, (size_t)(word - images));
    norni_str_add(&s, "labels");
    norni_str_add(&s, word + strlen("images"));
    char *idx = s.failed ? NULL : strstr(s.s + (word - images), "idx");
    if (idx && (idx[3] == '3' || idx[3] == '4'))
        idx[3] = '1';
    char *wanted = s.failed ? NULL : norni_strdup(s.s);
    norn_status st = with_or_without_gz(&s, found);
    if (st == NORN_OK && !wanted)
        st = norni_nomem();
    if (st == NORN_OK && !*found)
        st = norni_fail(NORN_IO, "%s: no labels beside it (wanted %s)", images, norni_path_base(wanted));
    norni_free(wanted);
    return st;
}

/* The images file that `path` and `split` mean; NULL in *found when there is none. */
static norn_status resolve(const char *path, const char *split, char **found) {
    *found = NULL;
    if (!norni_path_is_dir(path)) {
        if (!norni_path_exists(path))
            return split ? NORN_OK : find_images(NULL, path, found);
        return (*found = norni_strdup(path)) ? NORN_OK : norni_nomem();
    }
    NORNI_TRY(find_images(path, split ? split : "train", found));
    if (!*found && split && !strcmp(split, "test"))
        return find_images(path, "t10k", found); /* as MNIST calls it */
    return NORN_OK;
}

bool norni_idx_present(const char *path, const char *split) {
    char *found = NULL;
    bool present = resolve(path, split, &found) == NORN_OK && found;
    norni_free(found);
    return present;
}

norn_status norni_samples_idx(const char *path, const char *split, norni_samples *out) {
    char *images, *labels = NULL;
    if (split && norni_path_exists(path) && !norni_path_is_dir(path))
        return norni_fail(NORN_ARG, "%s: one IDX file has no split '%.100s' (wanted the folder it lies in)",
                          path, split);
    NORNI_TRY(resolve(path, split, &images));
    if (!images)
        return norni_fail(NORN_IO, "%s: no IDX images there", path);
    norn_status s = find_labels(images, &labels);
    if (s == NORN_OK)
        s = norni_idx_load(images, &out->x);
    if (s == NORN_OK)
        s = norni_idx_load(labels, &out->y);
    if (s == NORN_OK && out->y->rank != 1) {
        char shape[128];
        s = norni_fail(NORN_SHAPE, "%s: shape %s (wanted one label an image)", labels,
                       norni_shape_text(out->y->rank, out->y->dims, shape));
    }
    norni_free(images);
    norni_free(labels);
    return s;
}
