/* SPDX-License-Identifier: Apache-2.0 */
/* The devices of tests/devices, for plans without a device. Included after cmocka.h. */
#ifndef NORN_TESTS_SNAPSHOT_H
#define NORN_TESTS_SNAPSHOT_H
#include "norn.h"
#include <stdio.h>

static inline norn_device *snapshot(const char *name) {
    char path[512], text[4096];
    norn_device *d;
    snprintf(path, sizeof path, "%s/../devices/%s.txt", TEST_DATA, name);
    FILE *f = fopen(path, "r");
    if (!f)
        fail_msg("cannot open %s", path);
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    if (norn_device_parse(text, &d) != NORN_OK)
        fail_msg("%s: %s", path, norn_error());
    return d;
}

#endif
