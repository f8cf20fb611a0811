/* SPDX-License-Identifier: Apache-2.0 */
#include "export/npz.h"
#include "base/alloc.h"
#include "base/bytes.h"
#include "base/file.h"
#include "base/vec.h"
#include "export/npy.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zip.h>

typedef struct {
    char *name; /* without ".npy" */
    zip_uint64_t index;
} member;

struct norn_archive {
    char *where; /* the path, for messages */
    zip_t *zip;
    uint64_t bytes;            /* of the whole archive */
    NORNI_VEC(member) members; /* in the archive's order */
    size_t *sorted;            /* their numbers by name */
};

static norn_status fail_zip(const char *where, zip_error_t *e, const char *what) {
    norn_status code = zip_error_code_zip(e) == ZIP_ER_MEMORY ? NORN_NOMEM : NORN_PARSE;
    norni_fail(code, "%s: %s: %s", where, what, zip_error_strerror(e));
    zip_error_fini(e);
    return code;
}

/* --- opening and looking up
 * --------------------------------------------------------------------------------- */

static bool printable(const char *s) {
    for (; *s; s++)
        if ((unsigned char)*s < 32 || *s == 127)
            return false;
    return true;
}

typedef struct {
    const char *name;
    size_t at;
} sort_key;

static int compare_keys(const void *a, const void *b) {
    return strcmp(((const sort_key *)a)->name, ((const sort_key *)b)->name);
}

/* Sorts n names into `order`; *twice is a name that appears twice, NULL if none does. */
static norn_status sort_names(size_t n, const sort_key *keys, size_t *order, const char **twice) {
    sort_key *k = norni_alloc_array(n, sizeof *k);
    *twice = NULL;
    if (!k)
        return norni_nomem();
    if (n) {
        memcpy(k, keys, n * sizeof *k);
        qsort(k, n, sizeof *k, compare_keys);
    }
    for (size_t i = 0; i < n; i++) {
        order[i] = k[i].at;
        if (i && !strcmp(k[i - 1].name, k[i].name))
            *twice = k[i].name;
    }
    norni_free(k);
    return NORN_OK;
}

static norn_status list_members(norn_archive *a) {
    zip_int64_t n = zip_get_num_entries(a->zip, 0);
    for (zip_int64_t i = 0; i < n; i++) {
        const char *name = zip_get_name(a->zip, (zip_uint64_t)i, 0);
        size_t len = name ? strlen(name) : 0;
        if (len <= 4 || strcmp(name + len - 4, ".npy") != 0)
            continue; /* numpy passes over what is not .npy, too */
        if (!printable(name))
            return norni_fail(NORN_PARSE, "%s: member %lld: its name has control characters", a->where,
                              (long long)i);
        member m = {norni_strdup(name), (zip_uint64_t)i};
        if (m.name)
            m.name[len - 4] = 0;
        if (!m.name || !NORNI_PUSH(&a->members, m)) {
            norni_free(m.name);
            return norni_nomem();
        }
    }
    a->sorted = norni_alloc_array(a->members.n, sizeof *a->sorted);
    sort_key *keys = norni_alloc_array(a->members.n, sizeof *keys);
    norn_status s = a->sorted && keys ? NORN_OK : norni_nomem();
    const char *twice = NULL;
    if (s == NORN_OK) {
        for (size_t i = 0; i < a->members.n; i++)
            keys[i] = (sort_key){a->members.v[i].name, i};
        s = sort_names(a->members.n, keys, a->sorted, &twice);
    }
    norni_free(keys);
    if (s == NORN_OK && twice)
        return norni_fail(NORN_PARSE, "%s: member '%.200s' is there twice", a->where, twice);
    return s;
}

/* Takes the source over. */
static norn_status open_source(zip_source_t *src, uint64_t bytes, const char *where, norn_archive **out) {
    zip_error_t e;
    norn_archive *a = norni_alloc(sizeof *a);
    if (!a || !(a->where = norni_strdup(where))) {
        norni_free(a);
        zip_source_free(src);
        return norni_nomem();
    }
    a->bytes = bytes;
    zip_error_init(&e);
    a->zip = zip_open_from_source(src, ZIP_RDONLY, &e);
    norn_status s;
    if (!a->zip) {
        zip_source_free(src);
        s = fail_zip(where, &e, "not a readable zip archive");
    } else {
        s = list_members(a);
    }
    if (s != NORN_OK) {
        norn_archive_close(a);
        return s;
    }
    *out = a;
    return NORN_OK;
}

/* libzip takes an empty file for an empty archive. */
static norn_status check_size(uint64_t bytes, const char *where) {
    enum { END_RECORD_BYTES = 22 };
    if (bytes >= END_RECORD_BYTES)
        return NORN_OK;
    return norni_fail(NORN_PARSE, "%s: %llu bytes: too short for a zip archive", where,
                      (unsigned long long)bytes);
}

norn_status norni_archive_open_memory(const void *data, size_t bytes, const char *where, norn_archive **out) {
    zip_error_t e;
    zip_error_init(&e);
    *out = NULL;
    NORNI_TRY(check_size(bytes, where));
    zip_source_t *src = zip_source_buffer_create(data, bytes, 0, &e);
    return src ? open_source(src, bytes, where, out) : fail_zip(where, &e, "cannot open");
}

norn_status norn_archive_open(const char *path, norn_archive **out) {
    int fd;
    uint64_t bytes;
    *out = NULL;
    NORNI_TRY(norni_file_open(path, &fd, &bytes));
    norn_status s = check_size(bytes, path);
    FILE *f = s == NORN_OK ? fdopen(fd, "rb") : NULL;
    if (!f) {
        if (s == NORN_OK)
            s = norni_fail_errno(path, "cannot open");
        close(fd);
        return s;
    }
    zip_error_t e;
    zip_error_init(&e);
    zip_source_t *src = zip_source_filep_create(f, 0, -1, &e); /* closes f when it goes */
    if (!src) {
        fclose(f);
        return fail_zip(path, &e, "cannot open");
    }
    return open_source(src, bytes, path, out);
}

void norn_archive_close(norn_archive *a) {
    if (!a)
        return;
    if (a->zip)
        zip_discard(a->zip);
    for (size_t i = 0; i < a->members.n; i++)
        norni_free(a->members.v[i].name);
    norni_vec_free(&a->members);
    norni_free(a->sorted);
    norni_free(a->where);
    norni_free(a);
}

size_t norn_archive_count(const norn_archive *a) {
    return a->members.n;
}

const char *norn_archive_name(const norn_archive *a, size_t i) {
    return i < a->members.n ? a->members.v[i].name : NULL;
}

/* The number of a member, or members.n. */
static size_t find(const norn_archive *a, const char *name) {
    size_t lo = 0, hi = a->members.n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = strcmp(name, a->members.v[a->sorted[mid]].name);
        if (c == 0)
            return a->sorted[mid];
        if (c < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return a->members.n;
}

bool norn_archive_has(const norn_archive *a, const char *name) {
    return find(a, name) < a->members.n;
}

/* --- loading
 * ------------------------------------------------------------------------------------------------ */

static norn_status read_member(void *ctx, void *data, size_t bytes) {
    zip_file_t *f = ctx;
    char *p = data;
    while (bytes > 0) {
        zip_int64_t n = zip_fread(f, p, bytes);
        if (n < 0)
            return norni_fail(NORN_PARSE, "cannot be unpacked: %s", zip_file_strerror(f));
        if (n == 0)
            return norni_fail(NORN_PARSE, "ends %zu bytes before the size that the archive gives", bytes);
        p += n;
        bytes -= (size_t)n;
    }
    return NORN_OK;
}

/* Reading past the last byte makes libzip compare the checksum. */
static norn_status check_end(zip_file_t *f) {
    char extra;
    zip_int64_t n = zip_fread(f, &extra, 1);
    if (n < 0)
        return norni_fail(NORN_PARSE, "cannot be unpacked: %s", zip_file_strerror(f));
    return n == 0 ? NORN_OK : norni_fail(NORN_PARSE, "is longer than the size that the archive gives");
}

static norn_status load_entry(const norn_archive *a, zip_uint64_t index, norn_tensor **out) {
    const zip_uint64_t need =
        ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD;
    zip_stat_t st;
    if (zip_stat_index(a->zip, index, 0, &st))
        return norni_fail(NORN_PARSE, "cannot be looked up: %s", zip_strerror(a->zip));
    if ((st.valid & need) != need)
        return norni_fail(NORN_PARSE, "the archive does not say how large it is");
    if (st.encryption_method != ZIP_EM_NONE)
        return norni_fail(NORN_UNSUPPORTED, "is encrypted");
    if (st.comp_method != ZIP_CM_STORE && st.comp_method != ZIP_CM_DEFLATE)
        return norni_fail(NORN_UNSUPPORTED, "compression method %u (wanted stored or deflated)",
                          (unsigned)st.comp_method);
    if (st.comp_size > a->bytes)
        return norni_fail(NORN_PARSE, "%llu bytes packed, in an archive of %llu",
                          (unsigned long long)st.comp_size, (unsigned long long)a->bytes);
    if (st.comp_method == ZIP_CM_STORE ? st.size != st.comp_size : st.size > norni_inflated_max(st.comp_size))
        return norni_fail(NORN_PARSE, "%llu bytes packed cannot hold the %llu that the archive gives",
                          (unsigned long long)st.comp_size, (unsigned long long)st.size);
    zip_file_t *f = zip_fopen_index(a->zip, index, 0);
    if (!f)
        return norni_fail(NORN_PARSE, "cannot be unpacked: %s", zip_strerror(a->zip));
    norni_source src = {read_member, f, st.size};
    norn_tensor *t;
    norn_status s = norni_npy_read(&src, &t);
    if (s == NORN_OK && (s = check_end(f)) != NORN_OK)
        norn_tensor_free(t);
    zip_fclose(f);
    if (s == NORN_OK)
        *out = t;
    return s;
}

norn_status norn_archive_load_at(norn_archive *a, size_t i, norn_tensor **out) {
    *out = NULL;
    if (i >= a->members.n)
        return norni_fail(NORN_ARG, "%s: member %zu (wanted less than %zu)", a->where, i, a->members.n);
    norn_status s = load_entry(a, a->members.v[i].index, out);
    return norni_prefix(s, "%s: member '%.200s'", a->where, a->members.v[i].name);
}

norn_status norn_archive_load(norn_archive *a, const char *name, norn_tensor **out) {
    *out = NULL;
    size_t i = find(a, name);
    if (i < a->members.n)
        return norn_archive_load_at(a, i, out);
    norni_str names = {0};
    size_t shown = a->members.n < 8 ? a->members.n : 8;
    for (size_t k = 0; k < shown; k++)
        norni_str_addf(&names, k ? ", '%.100s'" : "'%.100s'", a->members.v[k].name);
    if (shown < a->members.n)
        norni_str_addf(&names, " and %zu more", a->members.n - shown);
    norni_fail(NORN_ARG, "%s: no member '%.200s' (it has %s)", a->where, name, names.n ? names.s : "none");
    norni_str_free(&names);
    return NORN_ARG;
}

norn_status norni_npz_load(const char *path, const char *name, norn_tensor **out) {
    norn_archive *a;
    *out = NULL;
    NORNI_TRY(norn_archive_open(path, &a));
    norn_status s;
    if (name)
        s = norn_archive_load(a, name, out);
    else if (a->members.n == 1)
        s = norn_archive_load_at(a, 0, out);
    else if (a->members.n == 0)
        s = norni_fail(NORN_ARG, "%s: no arrays in it (wanted one)", path);
    else
        s = norni_fail(NORN_ARG, "%s: %zu arrays (wanted one; write %s:NAME, for example %s:%.200s)", path,
                       a->members.n, path, path, a->members.v[0].name);
    norn_archive_close(a);
    return s;
}

/* --- saving
 * ------------------------------------------------------------------------------------------------- */

static norn_status check_names(size_t n, const char *const *names) {
    size_t *order = norni_alloc_array(n, sizeof *order);
    sort_key *keys = norni_alloc_array(n, sizeof *keys);
    norn_status s = order && keys ? NORN_OK : norni_nomem();
    const char *twice = NULL;
    for (size_t i = 0; i < n && s == NORN_OK; i++) {
        keys[i] = (sort_key){names[i], i};
        if (!names[i] || !*names[i] || strlen(names[i]) > 65000 || !printable(names[i]))
            s = norni_fail(NORN_ARG, "name %zu is empty, too long or has control characters", i);
    }
    if (s == NORN_OK)
        s = sort_names(n, keys, order, &twice);
    if (twice)
        s = norni_fail(NORN_ARG, "name '%.200s' is given twice", twice);
    norni_free(keys);
    norni_free(order);
    return s;
}

/* `t` and `head` must live until the archive is closed. */
static norn_status add_member(zip_t *zip, const char *name, const norn_tensor *t, const norni_str *head) {
    /* libzip copies the list of fragments, not what they point to. */
    zip_buffer_fragment_t parts[] = {{(zip_uint8_t *)head->s, head->n},
                                     {norni_tensor_data(t), norni_tensor_bytes(t)}};
    norni_str file = {0};
    norni_str_addf(&file, "%s.npy", name);
    if (file.failed) {
        norni_str_free(&file);
        return norni_nomem();
    }
    zip_source_t *src = zip_source_buffer_fragment(zip, parts, parts[1].length ? 2 : 1, 0);
    zip_int64_t at = src ? zip_file_add(zip, file.s, src, ZIP_FL_ENC_UTF_8) : -1;
    norni_str_free(&file);
    /* A fixed date (1980-01-01, the first a zip can say), so that equal tensors give equal files. */
    if (at >= 0 && !zip_set_file_compression(zip, (zip_uint64_t)at, ZIP_CM_STORE, 0) &&
        !zip_file_set_dostime(zip, (zip_uint64_t)at, 0, 1 << 5 | 1, 0))
        return NORN_OK;
    if (at < 0)
        zip_source_free(src);
    return norni_fail(NORN_IO, "cannot be added: %s", zip_strerror(zip));
}

norn_status norn_archive_save(const char *path, size_t n, const char *const *names,
                              norn_tensor *const *tensors) {
    if (n == 0)
        return norni_fail(NORN_ARG, "%s: no tensors to save", path);
    NORNI_TRY(norni_prefix(check_names(n, names), "%s", path));
    char *target;
    NORNI_TRY(norni_file_target(path, &target));
    norni_str *heads = norni_alloc_array(n, sizeof *heads);
    norn_tensor **packed = norni_alloc_array(n, sizeof *packed);
    zip_t *zip = NULL;
    norn_status s = heads && packed ? NORN_OK : norni_nomem();
    for (size_t i = 0; i < n && s == NORN_OK; i++) {
        s = norni_tensor_packed(tensors[i], &packed[i]);
        if (s == NORN_OK)
            s = norni_npy_header(packed[i]->dtype, packed[i]->rank, packed[i]->dims, &heads[i]);
        norni_prefix(s, "%s: '%.200s'", path, names[i]);
    }
    if (s == NORN_OK) {
        int code;
        zip = zip_open(target, ZIP_CREATE | ZIP_TRUNCATE, &code);
        if (!zip) {
            zip_error_t e;
            zip_error_init_with_code(&e, code);
            fail_zip(path, &e, "cannot write");
            s = NORN_IO;
        }
    }
    for (size_t i = 0; i < n && s == NORN_OK; i++)
        s = norni_prefix(add_member(zip, names[i], packed[i], &heads[i]), "%s: '%.200s'", path, names[i]);
    /* Closing writes a new file beside the old one and renames it. */
    if (s == NORN_OK && zip_close(zip))
        s = norni_fail(NORN_IO, "%s: cannot write: %s", path, zip_strerror(zip));
    else if (s == NORN_OK)
        zip = NULL;
    if (zip)
        zip_discard(zip);
    for (size_t i = 0; i < n && packed; i++)
        norn_tensor_free(packed[i]);
    for (size_t i = 0; i < n && heads; i++)
        norni_str_free(&heads[i]);
    norni_free(packed);
    norni_free(heads);
    norni_free(target);
    return s;
}
