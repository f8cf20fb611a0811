/* SPDX-License-Identifier: Apache-2.0 */
/* What the readers of data sets deliver. Each reader is one file, train/samples_FORMAT.c. */
#ifndef NORNI_SAMPLES_H
#define NORNI_SAMPLES_H
#include "base/file.h"
#include "base/tensor.h"

typedef struct norni_samples {
    norn_tensor *x,
        *y; /* packed host tensors [count,...] in the file's element types; readers need not compare counts */
    norn_tensor *rows;   /* NULL, or an integer tensor [n]: the samples to use, unchecked */
    double scale;        /* 0, or what the file itself wants x multiplied by */
    norni_names classes; /* empty, or names of the classes 0, 1, ... */
} norni_samples;
/* Frees what `s` holds; an empty one is fine. */
void norni_samples_free(norni_samples *s);

/* Each fills an empty *out; what it holds after a failure is freed by the caller, too. split may be NULL. */
norn_status norni_samples_npz(const char *path, const char *split, norni_samples *out);
/* path: an images file, a folder or a prefix. */
norn_status norni_samples_idx(const char *path, const char *split, norni_samples *out);
norn_status norni_samples_png(const char *dir, const char *split, int channels, norni_samples *out);

/* Every element of x is finite, and every label is a class below `classes`, or finite when that is 0. NORN_ARG names the
 * first sample that is not so. */
norn_status norni_dataset_check(const norn_dataset *ds, int64_t classes);

/* Whether there are IDX files under the path: a folder of them for this split, or a prefix. */
bool norni_idx_present(const char *path, const char *split);
/* One IDX file, gzipped or not, of any of its element types, as a packed host tensor. Sources: the format's
 * description by LeCun, Cortes and Burges with the MNIST database; RFC 1952 (gzip). */
norn_status norni_idx_load(const char *path, norn_tensor **out);

#endif
