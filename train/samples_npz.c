/* SPDX-License-Identifier: Apache-2.0 */
#include "base/alloc.h"
#include "base/str.h"
#include "train/samples.h"
#include <math.h>
#include <string.h>

static const struct {
    const char *x, *y;
} pairs[] = {{"x", "y"}, {"images", "target"}, {"x_train", "y_train"}};
enum { PAIRS = sizeof pairs / sizeof *pairs, PAIRS_OF_ALL = 2 /* those that hold every split */ };

static norn_status load_pair(norn_archive *a, const char *x, const char *y, norni_samples *out) {
    NORNI_TRY(norn_archive_load(a, x, &out->x));
    return norn_archive_load(a, y, &out->y);
}

static norn_status load_whole(norn_archive *a, const char *path, size_t allowed, norni_samples *out) {
    for (size_t i = 0; i < allowed; i++)
        if (norn_archive_has(a, pairs[i].x) && norn_archive_has(a, pairs[i].y))
            return load_pair(a, pairs[i].x, pairs[i].y, out);
    norni_str have = {0};
    for (size_t i = 0; i < norn_archive_count(a) && i < 8; i++)
        norni_str_addf(&have, i ? ", %.100s" : "%.100s", norn_archive_name(a, i));
    norni_fail(NORN_ARG,
               "%s: no samples and labels among its members (%s%s) (wanted x and y, images and target%s)",
               path, have.s ? have.s : "none", norn_archive_count(a) > 8 ? ", ..." : "",
               allowed == PAIRS ? ", or x_train and y_train" : "");
    norni_str_free(&have);
    return NORN_ARG;
}

static norn_status load_split(norn_archive *a, const char *path, const char *split, norni_samples *out) {
    norni_str x = {0}, y = {0}, rows = {0};
    norni_str_addf(&x, "x_%s", split);
    norni_str_addf(&y, "y_%s", split);
    norni_str_addf(&rows, "%s_idx", split);
    norn_status s;
    if (x.failed || y.failed || rows.failed)
        s = norni_nomem();
    else if (norn_archive_has(a, x.s) && norn_archive_has(a, y.s))
        s = load_pair(a, x.s, y.s, out);
    else if (!norn_archive_has(a, rows.s))
        s = norni_fail(NORN_ARG, "%s: no split '%.100s' (wanted members %.100s and %.100s, or %.100s)", path,
                       split, x.s, y.s, rows.s);
    else if ((s = load_whole(a, path, PAIRS_OF_ALL, out)) == NORN_OK)
        s = norn_archive_load(a, rows.s, &out->rows);
    norni_str_free(&x);
    norni_str_free(&y);
    norni_str_free(&rows);
    return s;
}

static norn_status load_scale(norn_archive *a, const char *path, norni_samples *out) {
    char shape[128];
    norn_tensor *t;
    if (!norn_archive_has(a, "scale"))
        return NORN_OK;
    NORNI_TRY(norn_archive_load(a, "scale", &t));
    norn_status s = NORN_OK;
    if (norni_tensor_elems(t) != 1)
        s = norni_fail(NORN_SHAPE, "%s: member 'scale': shape %s (wanted one number)", path,
                       norni_shape_text(t->rank, t->dims, shape));
    else if (out->scale = norni_get_double(t->dtype, norni_tensor_data(t), 0),
             !isfinite(out->scale) || out->scale == 0)
        s = norni_fail(NORN_ARG, "%s: member 'scale': %g (wanted a finite number other than 0)", path,
                       out->scale);
    norn_tensor_free(t);
    return s;
}

norn_status norni_samples_npz(const char *path, const char *split, norni_samples *out) {
    norn_archive *a;
    NORNI_TRY(norn_archive_open(path, &a));
    norn_status s = split ? load_split(a, path, split, out) : load_whole(a, path, PAIRS, out);
    if (s == NORN_OK)
        s = load_scale(a, path, out);
    norn_archive_close(a);
    return s;
}
