/* SPDX-License-Identifier: Apache-2.0 */
/* Choices that were tuned. An implementation that has a parameter asks here for the value that was measured to be best for
 * its key (what is computed, with sizes) on this device; without a record its own rule stands. Records come with norn
 * (backend/tune, in the library itself) and from `norn tune`, in the folder of the program cache (TUNE_FILE; none with
 * NORN_CACHE=0); the user's own win. With NORN_TUNE=0 there are none but those that were put since. A record that names a value that is not offered any more is passed over.
 *
 * A record is for devices whose text "NAME|PLATFORM|DRIVER|UNITS|WIDTH" it matches, where * stands for any characters and
 * WIDTH is that of the vectors of float: it tells CPUs with AVX-512 from those with AVX2 where the name does not. */
#ifndef NORNI_TUNING_H
#define NORNI_TUNING_H
#include "backend/device.h"
#include "base/status.h"
#include "base/vec.h"

/* The index of the value to use: of a record, else `rule`. */
int norni_tuned(const norn_device *d, const char *key, int n, const char *const *values, int rule);
/* The value of the record itself, for keys with values without number; NULL: none. Freed by norni_free. */
char *norni_tuned_text(const norn_device *d, const char *key);

/* ---- For the tuner, in its own thread. */
typedef struct {
    char *key;
    int n, now; /* now: what was used */
    const char **values;
} norni_tuning_asked;
typedef struct {
    NORNI_VEC(norni_tuning_asked) asked; /* each key once */
} norni_tuning_watch;
/* Notes what is asked until it is called with NULL. */
void norni_tuning_watch_set(norni_tuning_watch *w);
void norni_tuning_watch_free(norni_tuning_watch *w);
/* Makes one key have a value, before any record; key NULL: none. Both must live on. */
void norni_tuning_try(const char *key, const char *value);
/* A record from now on; `save` also writes all that were put for this device, and those that the file had before. */
norn_status norni_tuning_put(const norn_device *d, const char *key, const char *value);
norn_status norni_tuning_save(char **path);

/* ---- CLBlast's own parameters (backend/blas.h), with a key of a kernel and an element type. */
void norni_tuning_blas_key(norn_dtype t, int kernel, char *out, size_t bytes);
/* Sets those that there are records for, the first time in a context; to be called before each product. Records with values
 * that do not fit are passed over. */
norn_status norni_tuning_blas(norn_context *ctx, norn_dtype t);

#endif
