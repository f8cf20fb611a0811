/* SPDX-License-Identifier: Apache-2.0 */
/* Devices by what people call them. */
#include "backend/internal.h"
#include "base/str.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Packages of Debian and its children. */
#define INSTALL_GPU                                                                                          \
    "for a GPU install intel-opencl-icd (Intel), mesa-opencl-icd (AMD) or nvidia-opencl-icd (NVIDIA, "       \
    "non-free)"
static const char install_gpu[] = INSTALL_GPU;
static const char install_any[] = "install pocl-opencl-icd for the CPU; " INSTALL_GPU;

/* Vendors under their trade names. */
static const struct {
    const char *called, *vendor;
} vendors[] = {
    {"amd", "Advanced Micro Devices"},
    {"pocl", "Portable Computing Language"},
    {"imagination", "PowerVR"},
};

static bool is_gpu(const norn_device *d) {
    return d->type == NORN_DEVICE_GPU && !norni_device_is_cpu(d);
}

static bool matches(const norn_device *d, const char *word) {
    if (d->type == NORN_DEVICE_HOST)
        return !strcasecmp(word, "host");
    if (!strcasecmp(word, "cpu"))
        return norni_device_is_cpu(d);
    if (!strcasecmp(word, "gpu"))
        return is_gpu(d);
    if (!strcasecmp(word, "accelerator"))
        return d->type == NORN_DEVICE_ACCELERATOR;
    if (!strcasecmp(word, "all"))
        return true;
    const char *texts[] = {d->name, d->vendor, d->platform, d->platform_version};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (norni_text_has(texts[i], word))
            return true;
        for (size_t k = 0; k < sizeof vendors / sizeof *vendors; k++)
            if (!strcasecmp(word, vendors[k].called) && norni_text_has(texts[i], vendors[k].vendor))
                return true;
    }
    return false;
}

static bool has_opencl(const norn_devices *list) {
    return list->n && list->v[0].device.type != NORN_DEVICE_HOST; /* the host ranks last */
}

/* A driver is there and finds no device. PoCL does so when it cannot write its cache. */
static norn_status platforms_only(const norn_devices *list) {
    norni_str s = {0};
    bool pocl = false;
    for (size_t i = 0; i < list->n_platforms; i++) {
        norni_str_addf(&s, "%s'%s'", i ? ", " : "", list->platforms[i].name);
        pocl |= norni_text_has(list->platforms[i].name, "Portable Computing Language");
    }
    char *names = norni_str_take(&s);
    norn_status status =
        names ? norni_fail(
                    NORN_DEVICE,
                    "device: no OpenCL device found: the driver%s %s %s installed and offer%s none%s; %s; "
                    "'host' is the slow reference",
                    list->n_platforms > 1 ? "s" : "", names, list->n_platforms > 1 ? "are" : "is",
                    list->n_platforms > 1 ? "" : "s",
                    pocl ? "; PoCL needs a folder that it can write: set HOME or POCL_CACHE_DIR to one" : "",
                    pocl ? install_gpu : install_any)
              : norni_nomem();
    norni_free(names);
    return status;
}

static norn_status nothing_there(const norn_devices *list) {
    if (list->n_platforms)
        return platforms_only(list);
    return norni_fail(NORN_DEVICE,
                      "device: no OpenCL device found (0 platforms); %s; 'host' is the slow reference",
                      install_any);
}

static norn_status no_such(const norn_devices *list, const char *word, const char *why) {
    if (!has_opencl(list))
        return norni_prefix(nothing_there(list), "'%s'", word);
    norni_str s = {0};
    for (size_t i = 0; i < list->n; i++)
        norni_str_addf(&s, "%s%zu '%s'", i ? ", " : "", i, list->v[i].device.name);
    char *text = norni_str_take(&s);
    norn_status status =
        text ? norni_fail(NORN_DEVICE,
                          "device '%s': %s (wanted one of: %s; or cpu, gpu, host, all, a vendor, "
                          "a part of a name)%s%s",
                          word, why, text, strcasecmp(word, "gpu") ? "" : "; ",
                          strcasecmp(word, "gpu") ? "" : install_gpu)
             : norni_nomem();
    norni_free(text);
    return status;
}

typedef struct {
    size_t *picked, max, n;
    bool *taken; /* by index of the list */
} picks;

static void take(picks *p, size_t i) {
    if (p->taken[i])
        return;
    p->taken[i] = true;
    if (p->n < p->max)
        p->picked[p->n++] = i;
}

static norn_status pick_word(const norn_devices *list, const char *word, picks *p) {
    bool all = !strcasecmp(word, "all"), digits = true, found = false;
    for (const char *c = word; *c; c++)
        digits = digits && isdigit((unsigned char)*c);
    if (digits) {
        unsigned long long i = strlen(word) < 10 ? strtoull(word, NULL, 10) : list->n;
        if (i >= list->n)
            return no_such(list, word, "no device has this index");
        take(p, (size_t)i);
        return NORN_OK;
    }
    for (size_t i = 0; i < list->n && (all || !found); i++)
        if (matches(&list->v[i].device, word) && !(all && norni_device_unusable(&list->v[i].device))) {
            take(p, i);
            found = true;
        }
    return found ? NORN_OK : no_such(list, word, "no device is called that");
}

static norn_status pick_words(const norn_devices *list, char *spec, picks *p) {
    for (char *word = spec; word;) {
        char *next = strchr(word, ',');
        if (next)
            *next++ = 0;
        while (isspace((unsigned char)*word))
            word++;
        size_t n = strlen(word);
        while (n && isspace((unsigned char)word[n - 1]))
            word[--n] = 0;
        if (!n)
            return norni_fail(NORN_DEVICE,
                              "device: an empty name in the list (wanted names with commas between)");
        NORNI_TRY(pick_word(list, word, p));
        word = next;
    }
    return NORN_OK;
}

norn_status norn_devices_pick(const norn_devices *list, const char *spec, size_t max, size_t *picked,
                              size_t *n) {
    *n = 0;
    if (!spec || !*spec)
        spec = getenv("NORN_DEVICE");
    if (!spec || !*spec) {
        if (!has_opencl(list))
            return nothing_there(list);
        if (max)
            picked[(*n)++] = 0;
        return NORN_OK;
    }
    char *copy = norni_strdup(spec);
    picks p = {.picked = picked, .max = max, .taken = norni_alloc_array(list->n, sizeof(bool))};
    norn_status s = copy && p.taken ? pick_words(list, copy, &p) : norni_nomem();
    if (s == NORN_OK)
        *n = p.n;
    norni_free(copy);
    norni_free(p.taken);
    return s;
}
