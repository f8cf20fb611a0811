/* SPDX-License-Identifier: Apache-2.0 */
/* norn devices: what there is to run on. */
#include "output.h"
#include "pick.h"
#include "verbs.h"
#include <stdio.h>
#include <string.h>

typedef struct {
    bool json;
} devices_options;

static const char *kind(const norn_device *d) {
    switch (norn_device_kind(d)) {
    case NORN_DEVICE_HOST:
        return "host";
    case NORN_DEVICE_CPU:
        return "cpu";
    case NORN_DEVICE_GPU:
        return "gpu";
    case NORN_DEVICE_ACCELERATOR:
        return "accelerator";
    case NORN_DEVICE_OTHER:
        break;
    }
    return "other";
}

static bool only_host(const norn_devices *list) {
    for (size_t i = 0; i < norn_devices_count(list); i++)
        if (norn_device_kind(norn_devices_at(list, i)) != NORN_DEVICE_HOST)
            return false;
    return true;
}

/* What to install, in the words of the library. */
static const char *advice(const norn_devices *list) {
    size_t index, n;
    if (norn_devices_pick(list, "cpu", 1, &index, &n) == NORN_OK)
        return "";
    const char *text = strstr(norn_error(), "no OpenCL device");
    return text ? text : norn_error();
}

static void json_device(cJSON *o, const norn_device *d, size_t index) {
    /* what norn_device_has calls it, and its key */
    static const char *const features[][2] = {{"fp16", "fp16"},
                                              {"fp64", "fp64"},
                                              {"subgroups", "subgroups"},
                                              {"unified-memory", "unified_memory"},
                                              {"images", "images"}};
    json_number(o, "index", (double)index);
    json_text(o, "type", kind(d));
    json_text(o, "name", norn_device_name(d));
    json_text(o, "vendor", norn_device_vendor(d));
    json_text(o, "platform", norn_device_platform(d));
    json_text(o, "driver", norn_device_driver(d));
    json_text(o, "version", norn_device_version(d));
    json_number(o, "units", norn_device_compute_units(d));
    json_number(o, "clock_mhz", norn_device_clock_mhz(d));
    json_number(o, "memory", (double)norn_device_memory_bytes(d));
    json_number(o, "max_alloc", (double)norn_device_max_alloc_bytes(d));
    json_number(o, "local_memory", (double)norn_device_local_bytes(d));
    json_number(o, "max_work_group", (double)norn_device_max_work_group(d));
    for (size_t k = 0; k < sizeof features / sizeof *features; k++)
        json_bool(o, features[k][1], norn_device_has(d, features[k][0]));
}

static int print_json(const norn_devices *list) {
    cJSON *j = cJSON_CreateObject(), *devices = json_array(j, "devices"),
          *platforms = json_array(j, "platforms");
    for (size_t i = 0; i < norn_devices_count(list); i++)
        json_device(json_object(devices, NULL), norn_devices_at(list, i), i);
    for (size_t i = 0; i < norn_devices_platform_count(list); i++) {
        cJSON *o = json_object(platforms, NULL);
        json_text(o, "name", norn_devices_platform_name(list, i));
        json_text(o, "version", norn_devices_platform_version(list, i));
        json_number(o, "devices", (double)norn_devices_platform_devices(list, i));
    }
    if (only_host(list))
        json_text(j, "advice", advice(list));
    return json_print(j, 0);
}

static int print_list(const norn_devices *list) {
    table t = {.columns = 8, .align = "rlllrrll"};
    char memory[32];
    const char *const head[] = {"", "type", "name", "version", "units", "memory", "numbers", "driver"};
    for (int i = 0; i < t.columns; i++)
        table_cell(&t, "%s", head[i]);
    for (size_t i = 0; i < norn_devices_count(list); i++) {
        const norn_device *d = norn_devices_at(list, i);
        bool half = norn_device_has(d, "fp16"), twice = norn_device_has(d, "fp64");
        table_cell(&t, "%zu", i);
        table_cell(&t, "%s", kind(d));
        table_cell(&t, "%s", norn_device_name(d));
        table_cell(&t, "%s", norn_device_version(d));
        table_cell(&t, "%u", norn_device_compute_units(d));
        table_cell(&t, "%s",
                   norn_device_memory_bytes(d) ? bytes_text((double)norn_device_memory_bytes(d), memory)
                                               : "-");
        table_cell(&t, "fp32%s%s", half ? " fp16" : "", twice ? " fp64" : "");
        table_cell(&t, "%s", norn_device_driver(d));
    }
    table_print(&t);
    table_free(&t);
    for (size_t i = 0; i < norn_devices_platform_count(list); i++)
        if (!norn_devices_platform_devices(list, i))
            printf("platform '%s' (%s) offers no device\n", norn_devices_platform_name(list, i),
                   norn_devices_platform_version(list, i));
    if (only_host(list))
        printf("%s\n", advice(list));
    return 0;
}

/* `norn devices D`: everything about it, as norn_device_parse reads it; with --json as in the list, with that text. */
static int print_one(const norn_devices *list, const char *spec, bool json) {
    picked p;
    char *text;
    int code = pick_devices(spec, false, &p);
    if (code)
        return code;
    norn_status s = norn_device_print(norn_devices_at(list, p.index[0]), &text);
    if (s != NORN_OK)
        return fail(s);
    if (json) {
        cJSON *j = cJSON_CreateObject();
        json_device(j, norn_devices_at(list, p.index[0]), p.index[0]);
        json_text(j, "text", text);
        code = json_print(j, 0);
    } else
        fputs(text, stdout);
    norn_text_free(text);
    return code;
}

static int run(const void *options, int n, char *const *args) {
    const devices_options *o = options;
    norn_devices *list;
    norn_status s = norn_devices_list(&list);
    if (s != NORN_OK)
        return fail(s);
    int code = n ? print_one(list, args[0], o->json) : o->json ? print_json(list) : print_list(list);
    norn_devices_free(list);
    return code;
}

static const option options[] = {OPT_JSON(devices_options), OPT_END};

const verb verb_devices = {
    .name = "devices",
    .args = "[DEVICE]",
    .summary = "Lists every device of every OpenCL platform, the best first, and what each can do.",
    .details =
        "The number in front is the device's index for --device and the environment's NORN_DEVICE. "
        "With a DEVICE (an index or a name) everything about it is printed, in a form from which norn can "
        "plan for that device where it is not.",
    .options = options,
    .bytes = sizeof(devices_options),
    .most = 1,
    .run = run,
};
