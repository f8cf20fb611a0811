/* SPDX-License-Identifier: Apache-2.0 */
#include "ops/kernel_source.h"
#include "base/str.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static norn_status add_from_disk(norni_str *out, const char *dir, const char *name) {
    char path[4096], buf[8192];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "r");
    if (!f)
        return norni_fail(NORN_IO, "NORN_KERNEL_DIR: %s: %s", path, strerror(errno));
    for (size_t n; (n = fread(buf, 1, sizeof buf, f)) > 0;)
        norni_str_addn(out, buf, n);
    bool bad = ferror(f);
    fclose(f);
    return bad ? norni_fail(NORN_IO, "NORN_KERNEL_DIR: %s: cannot be read", path) : NORN_OK;
}

static norn_status add_file(norni_str *out, const char *name) {
    const char *dir = getenv("NORN_KERNEL_DIR");
    if (dir && *dir)
        return add_from_disk(out, dir, name);
    for (const norni_kernel_file *f = norni_kernel_files; f->name; f++)
        if (!strcmp(f->name, name)) {
            norni_str_add(out, f->text);
            return NORN_OK;
        }
    return norni_fail(NORN_INTERNAL, "kernel file '%s' is not in the library", name);
}

norn_status norni_kernel_text(const char *before, const char *file, char **out) {
    norni_str s = {0};
    norn_status st = add_file(&s, "prelude.cl");
    if (st == NORN_OK && before)
        norni_str_add(&s, before);
    if (st == NORN_OK && file)
        st = add_file(&s, file);
    if (st == NORN_OK && s.failed)
        st = norni_nomem();
    *out = st == NORN_OK ? norni_str_take(&s) : NULL;
    norni_str_free(&s);
    return st;
}
