/* SPDX-License-Identifier: Apache-2.0 */
/* Choices that were tuned. An implementation that has a parameter asks here for the value that was measured to be best for
 * its key (what is computed, with sizes) on this device; without a record its own rule stands. Records come with norn
 * (backend/tune) and from `norn tune`, in the folder of the program cache (TUNE_FILE; none with NORN_CACHE=0). A record
 * that names a value that is not offered any more is passed over. */
#ifndef NORNI_TUNING_H
#define NORNI_TUNING_H
#include "backend/device.h"
#include "base/status.h"
#include "base/vec.h"

/* The index of the value to use: of a record, else `rule`. */
int norni_tuned(const norn_device *d, const char *key, int n, const char *const *values, int rule);

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

#endif
