/* SPDX-License-Identifier: Apache-2.0 */
/* The best that was ever measured of a device, in the folder of the program cache: a busy machine measures less than its
 * device can do. A text: "device NAME|PLATFORM|DRIVER|UNITS", then "FIELD VALUE" lines. */
#include "backend/context.h"
#include "base/file.h"
#include "base/str.h"
#include "bench/bench.h"
#include <math.h>
#include <string.h>

static const char HEAD[] = "norn peaks 1\n", FILE_NAME[] = "peaks.txt";
enum { MAX_BYTES = 1 << 20, MAX_DEVICES = 64 };

static const struct {
    const char *name;
    size_t offset;
    bool least; /* times; the others are rates */
} fields[] = {
#define RATE(field)                                                                                          \
    { #field, offsetof(norn_peaks, field), false }
#define TIME(field)                                                                                          \
    { #field, offsetof(norn_peaks, field), true }
    RATE(fp32_gflops),   RATE(fp64_gflops),    RATE(fp16_gflops),    RATE(global_gbytes_s),
    RATE(copy_gbytes_s), RATE(cache_gbytes_s), RATE(local_gbytes_s), RATE(write_gbytes_s),
    RATE(read_gbytes_s), TIME(launch_us),      TIME(wait_us),        TIME(build_ms),
#undef RATE
#undef TIME
};
enum { FIELDS = sizeof fields / sizeof *fields };

static double *at(norn_peaks *p, int k) {
    return (double *)(void *)((char *)p + fields[k].offset);
}

/* 0: not measured, or no number that a device could have. */
static double sane(double v) {
    return v > 1e-6 && v < 1e9 ? v : 0;
}

static void better(norn_peaks *p, int k, double v) {
    double *have = at(p, k);
    if (sane(v) > 0 && (!(sane(*have) > 0) || (fields[k].least ? v < *have : v > *have)))
        *have = v;
}

/* The file's lines but for this device's, to `others`; this device's are merged into *p. What is malformed is dropped. */
static void read_records(const char *text, const char *device, norn_peaks *p, norni_str *others) {
    bool mine = false;
    int devices = 0;
    if (strncmp(text, HEAD, sizeof HEAD - 1) != 0)
        return;
    for (const char *l = text + sizeof HEAD - 1; *l;) {
        size_t n = strcspn(l, "\n");
        if (n > 7 && !strncmp(l, "device ", 7)) {
            mine = strlen(device) == n - 7 && !memcmp(l + 7, device, n - 7);
            devices++;
        } else
            for (int k = 0; k < FIELDS && mine; k++) {
                size_t name = strlen(fields[k].name);
                if (n > name && !strncmp(l, fields[k].name, name) && l[name] == ' ')
                    better(p, k, norni_strtod(l + name + 1, NULL));
            }
        if (!mine && devices && devices <= MAX_DEVICES)
            norni_str_addf(others, "%.*s\n", (int)n, l);
        l += n + (l[n] == '\n');
    }
}

void norn_peaks_keep(const norn_device *d, norn_peaks *p) {
    char *folder = norni_cache_folder(), *path = folder ? norni_path_join(folder, FILE_NAME) : NULL;
    norni_str device = {0}, others = {0}, all = {0};
    unsigned char *text = NULL;
    size_t bytes;
    norni_free(folder);
    norni_str_addf(&device, "%s|%s|%s|%u", d->name, d->platform, d->driver, d->compute_units);
    if (path && !device.failed) {
        if (norni_path_exists(path) && norni_file_read(path, MAX_BYTES, &text, &bytes) == NORN_OK)
            read_records((const char *)text, device.s, p, &others);
        norni_str_addf(&all, "%s%sdevice %s\n", HEAD, others.s ? others.s : "", device.s);
        for (int k = 0; k < FIELDS; k++)
            if (sane(*at(p, k)) > 0) {
                norni_str_addf(&all, "%s ", fields[k].name);
                norni_str_add_double(&all, *at(p, k));
                norni_str_add(&all, "\n");
            }
        bool changed = !text || strcmp((const char *)text, all.s ? all.s : "") != 0;
        if (!all.failed && !others.failed && changed) /* without it the next run measures anew: no error */
            (void)norni_file_write(path, &(norni_piece){all.s, all.n}, 1);
    }
    norni_free(text);
    norni_free(path);
    norni_str_free(&device);
    norni_str_free(&others);
    norni_str_free(&all);
}
