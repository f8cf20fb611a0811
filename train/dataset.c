/* SPDX-License-Identifier: Apache-2.0 */
#include "base/alloc.h"
#include "base/philox.h"
#include "base/str.h"
#include "export/npy.h"
#include "export/tensor_file.h"
#include "train/samples.h"
#include <math.h>
#include <string.h>
#include <unistd.h>

struct norn_dataset {
    char *where;        /* for messages */
    norn_tensor *x, *y; /* packed, in host memory, in the element types of the file: all samples */
    int64_t *rows;      /* sample i is row rows[i] of x and y; NULL: row i */
    int64_t count;
    double scale;                  /* 0: by the type's own rule */
    norn_dtype dtype, label_dtype; /* in batches */
    int rank;                      /* of a sample as batches show it */
    int64_t dims[NORN_MAX_RANK];
    int label_rank;
    const int64_t *label_dims; /* into y */
    int64_t sample_elems, label_elems;
    int64_t classes;
    norni_names class_names;
};

void norni_samples_free(norni_samples *s) {
    norn_tensor_free(s->x);
    norn_tensor_free(s->y);
    norn_tensor_free(s->rows);
    norni_names_free(&s->classes);
    *s = (norni_samples){0};
}

void norn_dataset_close(norn_dataset *ds) {
    if (!ds)
        return;
    norn_tensor_free(ds->x);
    norn_tensor_free(ds->y);
    norni_free(ds->rows);
    norni_names_free(&ds->class_names);
    norni_free(ds->where);
    norni_free(ds);
}

/* --- opening
 * ------------------------------------------------------------------------------------------------ */

static bool is_whole(norn_dtype t) {
    return norni_dtype_is_int(t) || t == NORN_BOOL;
}

/* 1 + the largest label, 0 when some label is no class number. */
static int64_t count_classes(const norn_tensor *y) {
    int64_t n = norni_tensor_elems(y), most = -1;
    const void *data = norni_tensor_data(y);
    if (!is_whole(y->dtype))
        return 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t v = norni_get_int(y->dtype, data, i);
        if (v < 0 || v > INT32_MAX)
            return 0;
        if (v > most)
            most = v;
    }
    return most + 1;
}

static norn_status take_rows(norn_dataset *ds, const norn_tensor *rows, int64_t count) {
    char shape[128];
    if (rows->rank != 1 || !norni_dtype_is_int(rows->dtype))
        return norni_fail(NORN_SHAPE, "the list of samples is %s%s (wanted integers in one row)",
                          norni_dtype_name(rows->dtype), norni_shape_text(rows->rank, rows->dims, shape));
    ds->count = rows->dims[0];
    ds->rows = norni_alloc_array((size_t)ds->count, sizeof *ds->rows);
    if (!ds->rows)
        return norni_nomem();
    for (int64_t i = 0; i < ds->count; i++) {
        int64_t r = norni_get_int(rows->dtype, norni_tensor_data(rows), i);
        if (r < 0 || r >= count)
            return norni_fail(NORN_ARG, "the list of samples: entry %lld is %lld (wanted 0 to %lld)",
                              (long long)i, (long long)r, (long long)count - 1);
        ds->rows[i] = r;
    }
    return NORN_OK;
}

/* uint64 is shown as int64: what does not fit is an error rather than a negative number. */
static norn_status check_range(const norn_tensor *t, const char *what) {
    const uint64_t *v = norni_tensor_data(t);
    int64_t n = t->dtype == NORN_U64 ? norni_tensor_elems(t) : 0;
    for (int64_t i = 0; i < n; i++)
        if (v[i] > INT64_MAX)
            return norni_fail(NORN_ARG, "%s: %llu (wanted below 2^63)", what, (unsigned long long)v[i]);
    return NORN_OK;
}

/* The rule of norn.h: which type x has in batches. */
static norn_status choose_types(norn_dataset *ds) {
    norn_dtype x = ds->x->dtype, y = ds->y->dtype;
    if ((!norni_dtype_is_float(x) && !is_whole(x)) || norni_dtype_bits(x) < 8)
        return norni_fail(NORN_UNSUPPORTED, "samples of type %s", norni_dtype_name(x));
    if ((!norni_dtype_is_float(y) && !is_whole(y)) || norni_dtype_bits(y) < 8)
        return norni_fail(NORN_UNSUPPORTED, "labels of type %s", norni_dtype_name(y));
    bool indices = norni_dtype_is_int(x) && x != NORN_U8 && ds->scale == 0;
    ds->dtype = indices ? NORN_I64 : NORN_F32;
    ds->label_dtype = is_whole(y) ? NORN_I64 : NORN_F32;
    NORNI_TRY(check_range(ds->y, "a label"));
    return indices ? check_range(ds->x, "an element of a sample") : NORN_OK;
}

/* Integer labels [count,1], as some archives hold them, become [count]. */
static norn_status squeeze_labels(norn_dataset *ds) {
    norn_tensor *y = ds->y;
    if (!is_whole(y->dtype) || y->rank != 2 || y->dims[1] != 1)
        return NORN_OK;
    norn_tensor *flat = norni_tensor_ref(y);
    if (!flat)
        return norni_nomem();
    flat->rank = 1;
    flat->strides[0] = 1;
    norn_tensor_free(y);
    ds->y = flat;
    return NORN_OK;
}

static norn_status fill(norn_dataset *ds, norni_samples *s) {
    char a[128], b[128];
    ds->x = s->x;
    ds->y = s->y;
    ds->class_names = s->classes;
    s->x = s->y = NULL;
    s->classes = (norni_names){0};
    NORNI_TRY(choose_types(ds));
    NORNI_TRY(squeeze_labels(ds));
    const norn_tensor *x = ds->x, *y = ds->y;
    if (x->rank < 1 || y->rank < 1 || x->dims[0] != y->dims[0])
        return norni_fail(NORN_SHAPE,
                          "samples of shape %s, labels of shape %s (wanted the same number first)",
                          norni_shape_text(x->rank, x->dims, a), norni_shape_text(y->rank, y->dims, b));
    ds->count = x->dims[0];
    if (s->rows)
        NORNI_TRY(take_rows(ds, s->rows, x->dims[0]));
    if (ds->count == 0)
        return norni_fail(NORN_SHAPE, "no samples in it");
    ds->rank = x->rank - 1;
    memcpy(ds->dims, x->dims + 1, (size_t)ds->rank * sizeof *ds->dims);
    ds->label_rank = y->rank - 1;
    ds->label_dims = y->dims + 1;
    ds->sample_elems = norni_elems(ds->rank, ds->dims);
    ds->label_elems = norni_elems(ds->label_rank, ds->label_dims);
    ds->classes = ds->class_names.n ? (int64_t)ds->class_names.n : count_classes(y);
    return NORN_OK;
}

/* Takes what `s` holds. */
static norn_status make(const char *where, norni_samples *s, const norn_dataset_options *o,
                        norn_dataset **out) {
    norn_dataset *ds = norni_alloc(sizeof *ds);
    if (!ds || !(ds->where = norni_strdup(where))) {
        norni_free(ds);
        return norni_nomem();
    }
    ds->scale = o->scale != 0 ? o->scale : s->scale;
    norn_status st = norni_prefix(fill(ds, s), "%s", where);
    if (st == NORN_OK)
        *out = ds;
    else
        norn_dataset_close(ds);
    return st;
}

static norn_status check_options(const norn_dataset_options *given, norn_dataset_options *o) {
    *o = given ? *given : (norn_dataset_options){0};
    if (!isfinite(o->scale))
        return norni_fail(NORN_ARG, "data set: scale %g (wanted a finite number)", o->scale);
    if (o->channels != 0 && o->channels != 1 && o->channels != 3 && o->channels != 4)
        return norni_fail(NORN_ARG, "data set: %d channels (wanted 0, 1, 3 or 4)", o->channels);
    return NORN_OK;
}

static norn_status read_file(const char *path, const char *split, norni_samples *s) {
    unsigned char first[8] = {0};
    int fd;
    uint64_t bytes;
    NORNI_TRY(norni_file_open(path, &fd, &bytes));
    norn_status st = norni_prefix(norni_fd_read(fd, first, bytes < 8 ? (size_t)bytes : 8), "%s", path);
    close(fd);
    NORNI_TRY(st);
    if (first[0] == 'P' && first[1] == 'K')
        return norni_samples_npz(path, split, s);
    if (bytes >= 4 && ((first[0] == 0 && first[1] == 0) || (first[0] == 0x1f && first[1] == 0x8b)))
        return norni_samples_idx(path, split, s);
    if (!memcmp(first, "\x93NUMPY", 6))
        return norni_fail(NORN_UNSUPPORTED,
                          "%s: a .npy file holds one array (wanted samples and labels: an .npz)", path);
    return norni_fail(NORN_UNSUPPORTED, "%s: no data set by its first bytes (wanted .npz, IDX, or a folder)",
                      path);
}

norn_status norn_dataset_open(const char *spec, const norn_dataset_options *options, norn_dataset **out) {
    norn_dataset_options o;
    norni_samples s = {0};
    char *path;
    const char *split;
    *out = NULL;
    NORNI_TRY(check_options(options, &o));
    norn_status st;
    if (!norni_path_exists(spec) && norni_idx_present(spec, NULL)) {
        st = norni_samples_idx(spec, NULL, &s);
    } else {
        NORNI_TRY(norni_spec_split(spec, &path, &split));
        if (!norni_path_is_dir(path))
            st = read_file(path, split, &s);
        else if (norni_idx_present(path, split))
            st = norni_samples_idx(path, split, &s);
        else
            st = norni_samples_png(path, split, o.channels, &s);
        norni_free(path);
    }
    if (st == NORN_OK)
        st = make(spec, &s, &o, out);
    norni_samples_free(&s);
    return st;
}

norn_status norn_dataset_open_tensors(const norn_tensor *x, const norn_tensor *y,
                                      const norn_dataset_options *options, norn_dataset **out) {
    norn_dataset_options o;
    norni_samples s = {0};
    *out = NULL;
    NORNI_TRY(check_options(options, &o));
    norn_status st = norni_prefix(norni_tensor_packed(x, &s.x), "data set: x");
    if (st == NORN_OK)
        st = norni_prefix(norni_tensor_packed(y, &s.y), "data set: y");
    if (st == NORN_OK)
        st = make("data set", &s, &o, out);
    norni_samples_free(&s);
    return st;
}

/* --- what it is
 * --------------------------------------------------------------------------------------------- */

int64_t norn_dataset_count(const norn_dataset *ds) {
    return ds->count;
}
norn_dtype norn_dataset_dtype(const norn_dataset *ds) {
    return ds->dtype;
}
int norn_dataset_rank(const norn_dataset *ds) {
    return ds->rank;
}
const int64_t *norn_dataset_dims(const norn_dataset *ds) {
    return ds->dims;
}
norn_dtype norn_dataset_label_dtype(const norn_dataset *ds) {
    return ds->label_dtype;
}
int norn_dataset_label_rank(const norn_dataset *ds) {
    return ds->label_rank;
}
const int64_t *norn_dataset_label_dims(const norn_dataset *ds) {
    return ds->label_dims;
}
int64_t norn_dataset_classes(const norn_dataset *ds) {
    return ds->classes;
}

const char *norn_dataset_class_name(const norn_dataset *ds, int64_t c) {
    return c >= 0 && (uint64_t)c < ds->class_names.n ? ds->class_names.v[c] : NULL;
}

norn_status norn_dataset_print(const norn_dataset *ds, char **out) {
    char shape[128];
    norni_str s = {0};
    norni_str_addf(&s, "%s: %lld sample%s, x %s%s", ds->where, (long long)ds->count,
                   ds->count == 1 ? "" : "s", norni_dtype_name(ds->dtype),
                   norni_shape_text(ds->rank, ds->dims, shape));
    norn_dtype stored = ds->x->dtype;
    if (ds->scale != 0) {
        norni_str_addf(&s, " (%s * ", norni_dtype_name(stored));
        norni_str_add_double(&s, ds->scale);
        norni_str_add(&s, ")");
    } else if (stored == NORN_U8) {
        norni_str_add(&s, " (uint8 / 255)");
    } else if (stored != ds->dtype) {
        norni_str_addf(&s, " (%s)", norni_dtype_name(stored));
    }
    norni_str_addf(&s, ", y %s%s", norni_dtype_name(ds->label_dtype),
                   norni_shape_text(ds->label_rank, ds->label_dims, shape));
    if (ds->classes)
        norni_str_addf(&s, ", %lld class%s", (long long)ds->classes, ds->classes == 1 ? "" : "es");
    *out = norni_str_take(&s);
    return *out ? NORN_OK : norni_nomem();
}

static bool finite(const norn_tensor *t, int64_t from, int64_t n) {
    bool all = true;
    if (!norni_dtype_is_float(t->dtype))
        return true;
    if (t->dtype == NORN_F32) { /* a loop that vectorises */
        const float *v = (const float *)norni_tensor_data(t) + from;
        int bad = 0;
        for (int64_t i = 0; i < n; i++)
            bad |= !(v[i] - v[i] == 0);
        return !bad;
    }
    for (int64_t i = 0; i < n && all; i++)
        all = isfinite(norni_get_double(t->dtype, norni_tensor_data(t), from + i));
    return all;
}

norn_status norni_dataset_check(const norn_dataset *ds, int64_t classes) {
    int64_t bad = 0, first = -1, elems = ds->label_elems;
    for (int64_t i = 0; i < ds->count; i++) {
        int64_t row = ds->rows ? ds->rows[i] : i;
        bool good =
            finite(ds->x, row * ds->sample_elems, ds->sample_elems) && finite(ds->y, row * elems, elems);
        for (int64_t k = 0; k < elems && classes > 0 && is_whole(ds->y->dtype); k++) {
            int64_t c = norni_get_int(ds->y->dtype, norni_tensor_data(ds->y), row * elems + k);
            if (c < 0 || c >= classes)
                return norni_fail(NORN_ARG, "%s: label %lld at sample %lld: the network has %lld classes",
                                  ds->where, (long long)c, (long long)i, (long long)classes);
        }
        if (!good && bad++ == 0)
            first = i;
    }
    if (bad)
        return norni_fail(
            NORN_ARG, "%s: sample %lld%s: NaN or infinity (%lld of %lld samples; wanted finite numbers)",
            ds->where, (long long)first, bad > 1 ? " and others" : "", (long long)bad, (long long)ds->count);
    return NORN_OK;
}

/* Sizes other than 1, in order, and sorted. */
static int significant(int rank, const int64_t *dims, int64_t *plain, int64_t *sorted) {
    int n = 0;
    for (int i = 0; i < rank; i++)
        if (dims[i] != 1)
            plain[n++] = dims[i];
    for (int i = 0; i < n; i++) {
        int k = i;
        for (; k > 0 && sorted[k - 1] > plain[i]; k--)
            sorted[k] = sorted[k - 1];
        sorted[k] = plain[i];
    }
    return n;
}

norn_status norn_dataset_shape(norn_dataset *ds, int rank, const int64_t *dims) {
    char a[128], b[128];
    int64_t plain[2][NORN_MAX_RANK], sorted[2][NORN_MAX_RANK];
    if (rank < 0 || rank > NORN_MAX_RANK - 1)
        return norni_fail(NORN_SHAPE, "%s: a sample of %d axes (wanted at most %d)", ds->where, rank,
                          NORN_MAX_RANK - 1);
    int64_t elems = norni_elems(rank, dims);
    norni_shape_text(ds->rank, ds->dims, a);
    norni_shape_text(rank, dims, b);
    if (elems != ds->sample_elems)
        return norni_fail(NORN_SHAPE, "%s: a sample is %s, %lld elements (wanted %s, %lld)", ds->where, a,
                          (long long)ds->sample_elems, b, (long long)elems);
    int n = significant(ds->x->rank - 1, ds->x->dims + 1, plain[0], sorted[0]);
    int m = significant(rank, dims, plain[1], sorted[1]);
    size_t bytes = (size_t)n * sizeof **plain;
    if (n == m && memcmp(plain[0], plain[1], bytes) != 0 && !memcmp(sorted[0], sorted[1], bytes))
        return norni_fail(NORN_SHAPE,
                          "%s: a sample is %s (wanted %s): the axes are in another order; transpose the data",
                          ds->where, norni_shape_text(ds->x->rank - 1, ds->x->dims + 1, a), b);
    ds->rank = rank;
    if (rank)
        memcpy(ds->dims, dims, (size_t)rank * sizeof *dims);
    return NORN_OK;
}

/* --- batches
 * ------------------------------------------------------------------------------------------------ */

/* Elements from .. from + n - 1 of `t`, converted; `table` holds what each uint8 becomes. */
static void convert(const norn_tensor *t, int64_t from, int64_t n, norn_dtype to, double scale,
                    const float *table, void *out) {
    const void *data = norni_tensor_data(t);
    if (t->dtype == to && (scale == 0 || to == NORN_I64)) {
        size_t size = norni_dtype_bytes(to, 1);
        memcpy(out, (const char *)data + (size_t)from * size, (size_t)n * size);
    } else if (to == NORN_I64) {
        for (int64_t i = 0; i < n; i++)
            ((int64_t *)out)[i] = norni_get_int(t->dtype, data, from + i);
    } else if (t->dtype == NORN_U8) {
        for (int64_t i = 0; i < n; i++)
            ((float *)out)[i] = table[((const unsigned char *)data)[from + i]];
    } else {
        double k = scale == 0 ? 1 : scale;
        for (int64_t i = 0; i < n; i++)
            ((float *)out)[i] = (float)(norni_get_double(t->dtype, data, from + i) * k);
    }
}

static norn_status gather(const norn_dataset *ds, const int64_t *indices, int64_t n, const norn_tensor *t,
                          norn_dtype to, double scale, int rank, const int64_t *dims, int64_t elems,
                          norn_tensor **out) {
    int64_t shape[NORN_MAX_RANK];
    float table[256];
    shape[0] = n;
    if (rank)
        memcpy(shape + 1, dims, (size_t)rank * sizeof *dims);
    NORNI_TRY(norni_prefix(norni_tensor_host(to, rank + 1, shape, out), "%s: batch of %lld", ds->where,
                           (long long)n));
    for (int i = 0; i < 256; i++)
        table[i] = scale == 0 ? (float)i / 255.0f : (float)(i * scale);
    size_t step = norni_dtype_bytes(to, elems);
    char *p = norni_tensor_data(*out);
    for (int64_t i = 0; i < n; i++, p += step) {
        int64_t row = ds->rows ? ds->rows[indices[i]] : indices[i];
        convert(t, row * elems, elems, to, scale, table, p);
    }
    return NORN_OK;
}

static norn_status check_indices(const norn_dataset *ds, const int64_t *indices, int64_t n) {
    if (n < 0)
        return norni_fail(NORN_ARG, "%s: %lld samples asked for", ds->where, (long long)n);
    for (int64_t i = 0; i < n; i++)
        if (indices[i] < 0 || indices[i] >= ds->count)
            return norni_fail(NORN_ARG, "%s: sample %lld (wanted 0 to %lld)", ds->where,
                              (long long)indices[i], (long long)ds->count - 1);
    return NORN_OK;
}

norn_status norn_dataset_batch(const norn_dataset *ds, const int64_t *indices, int64_t n, norn_tensor **x,
                               norn_tensor **y) {
    if (x)
        *x = NULL;
    if (y)
        *y = NULL;
    NORNI_TRY(check_indices(ds, indices, n));
    if (x)
        NORNI_TRY(
            gather(ds, indices, n, ds->x, ds->dtype, ds->scale, ds->rank, ds->dims, ds->sample_elems, x));
    norn_status s = NORN_OK;
    if (y) /* labels are never scaled: a scale of 1 also turns off the rule for uint8 */
        s = gather(ds, indices, n, ds->y, ds->label_dtype, 1, ds->label_rank, ds->label_dims, ds->label_elems,
                   y);
    if (s != NORN_OK && x) {
        norn_tensor_free(*x);
        *x = NULL;
    }
    return s;
}

/* --- order and parts
 * ---------------------------------------------------------------------------------------- */

static void permute(int64_t n, uint64_t seed, uint32_t word2, uint32_t stream, int64_t *order) {
    norni_philox_stream p;
    norni_philox_begin(&p, seed, word2, stream);
    for (int64_t i = 0; i < n; i++)
        order[i] = i;
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t k = (int64_t)norni_philox_below(&p, (uint64_t)i + 1), t = order[i];
        order[i] = order[k];
        order[k] = t;
    }
}

void norn_dataset_shuffle(const norn_dataset *ds, uint64_t seed, uint32_t epoch, int64_t *order) {
    permute(ds->count, seed, epoch, NORNI_STREAM_SHUFFLE, order);
}

static norn_status copy_names(const norni_names *from, norni_names *to) {
    if (from->n == 0)
        return NORN_OK;
    to->v = norni_alloc_array(from->n, sizeof *to->v);
    if (!to->v)
        return norni_nomem();
    to->cap = from->n;
    for (; to->n < from->n; to->n++)
        if (!(to->v[to->n] = norni_strdup(from->v[to->n])))
            return norni_nomem();
    return NORN_OK;
}

norn_status norn_dataset_subset(const norn_dataset *ds, const int64_t *indices, int64_t n,
                                norn_dataset **out) {
    *out = NULL;
    NORNI_TRY(check_indices(ds, indices, n));
    if (n == 0)
        return norni_fail(NORN_ARG, "%s: a part without samples", ds->where);
    norn_dataset *p = norni_alloc(sizeof *p);
    if (!p)
        return norni_nomem();
    *p = *ds;
    p->class_names = (norni_names){0};
    p->count = n;
    p->where = norni_strdup(ds->where);
    p->rows = norni_alloc_array((size_t)n, sizeof *p->rows);
    p->x = norni_tensor_ref(ds->x);
    p->y = norni_tensor_ref(ds->y);
    norn_status s = copy_names(&ds->class_names, &p->class_names);
    if (!p->where || !p->rows || !p->x || !p->y || s != NORN_OK) {
        norn_dataset_close(p);
        return norni_nomem();
    }
    p->label_dims = p->y->dims + 1;
    for (int64_t i = 0; i < n; i++)
        p->rows[i] = ds->rows ? ds->rows[indices[i]] : indices[i];
    *out = p;
    return NORN_OK;
}

norn_status norn_dataset_split(const norn_dataset *ds, int64_t n, uint64_t seed, norn_dataset **first,
                               norn_dataset **rest) {
    *first = *rest = NULL;
    if (n < 1 || n >= ds->count)
        return norni_fail(NORN_ARG,
                          "%s: a first part of %lld samples (wanted 1 to %lld, so that both parts have some)",
                          ds->where, (long long)n, (long long)ds->count - 1);
    int64_t *order = norni_alloc_array((size_t)ds->count, sizeof *order);
    if (!order)
        return norni_nomem();
    permute(ds->count, seed, 0, NORNI_STREAM_SPLIT, order);
    norn_status s = norn_dataset_subset(ds, order, n, first);
    if (s == NORN_OK)
        s = norn_dataset_subset(ds, order + n, ds->count - n, rest);
    norni_free(order);
    if (s != NORN_OK) {
        norn_dataset_close(*first);
        *first = NULL;
    }
    return s;
}
