/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/backend.h"
#include <ctype.h>

/* A list of devices that nobody has, in the order given; ranking is norn's. */
typedef struct {
    const char *name, *vendor;
    norn_device_type type;
    unsigned units, clock;
    bool unified, no_compiler;
    const char *version;
} made_up;

static norn_devices *make_list(const made_up *d, size_t n) {
    norn_devices *list = norni_alloc(sizeof *list);
    list->v = norni_alloc_array(n, sizeof *list->v);
    for (size_t i = 0; i < n; i++) {
        norni_listed e = {0};
        snprintf(e.device.name, sizeof e.device.name, "%s", d[i].name);
        snprintf(e.device.vendor, sizeof e.device.vendor, "%s", d[i].vendor);
        snprintf(e.device.version, sizeof e.device.version, "%s", d[i].version ? d[i].version : "OpenCL 1.2");
        e.device.type = d[i].type;
        e.device.compute_units = d[i].units;
        e.device.clock_mhz = d[i].clock;
        e.device.unified_memory = d[i].unified;
        e.device.no_compiler = d[i].no_compiler;
        norni_devices_insert(list, &e);
    }
    return list;
}

static const made_up machines[] = {
    {"host reference", "norn", NORN_DEVICE_HOST, 1, 0, true, false, "plain C"},
    {"pthread-haswell", "GenuineIntel", NORN_DEVICE_CPU, 16, 3000, true, false, NULL},
    {"GeForce dead driver", "NVIDIA Corporation", NORN_DEVICE_GPU, 100, 2000, false, true, NULL},
    {"Intel(R) Arc Graphics", "Intel(R) Corporation", NORN_DEVICE_GPU, 512, 2000, true, false, NULL},
    {"llvmpipe (LLVM 15.0.6)", "Mesa", NORN_DEVICE_GPU, 64, 9000, false, false, NULL},
    {"gfx1030", "Advanced Micro Devices, Inc.", NORN_DEVICE_GPU, 36, 2000, false, false, NULL},
    {"GeForce RTX", "NVIDIA Corporation", NORN_DEVICE_GPU, 46, 1800, false, false, NULL},
    {"FPGA board", "Altera", NORN_DEVICE_ACCELERATOR, 1, 200, false, false, NULL},
    {"Old Radeon", "AMD", NORN_DEVICE_GPU, 999, 999, false, false, "OpenCL 1.1 x"},
};
enum { N_MACHINES = sizeof machines / sizeof *machines };

static void test_ranking(void **state) {
    norn_devices *list = make_list(machines, N_MACHINES);
    static const char *const wanted[] = {
        "GeForce RTX",     "gfx1030",    "Intel(R) Arc Graphics", "FPGA board",    "llvmpipe (LLVM 15.0.6)",
        "pthread-haswell", "Old Radeon", "GeForce dead driver",   "host reference"};
    for (size_t i = 0; i < N_MACHINES; i++)
        assert_string_equal(norn_device_name(norn_devices_at(list, i)), wanted[i]);
    assert_null(norn_devices_at(list, N_MACHINES));
    assert_true(norni_device_is_cpu(norn_devices_at(list, 4)));
    assert_true(norni_device_is_cpu(norn_devices_at(list, 5)));
    assert_false(norni_device_is_cpu(norn_devices_at(list, 0)));
    assert_false(norni_device_is_cpu(norn_devices_at(list, 8)));
    norn_devices_free(list);
}

/* The indices as text, or the error. */
static const char *picked(const norn_devices *list, const char *spec) {
    static char text[2048];
    size_t v[16], n = 99;
    if (norn_devices_pick(list, spec, 16, v, &n) != NORN_OK) {
        assert_int_equal(n, 0);
        snprintf(text, sizeof text, "%s", norn_error());
        return text;
    }
    *text = 0;
    for (size_t i = 0; i < n; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), i ? " %zu" : "%zu", v[i]);
    return text;
}

static void test_pick(void **state) {
    unsetenv("NORN_DEVICE");
    norn_devices *list = make_list(machines, N_MACHINES);
    static const struct {
        const char *spec, *wanted;
    } cases[] = {
        {NULL, "0"},
        {"", "0"},
        {"3", "3"},
        {"0008", "8"},
        {"gpu", "0"},
        {"GPU", "0"},
        {"cpu", "4"},
        {"host", "8"},
        {"accelerator", "3"},
        {"all", "0 1 2 3 4 5"},
        {"geforce", "0"},
        {"rtx", "0"},
        {"dead", "7"},
        {"gEnUiNe", "5"},
        {"intel", "2"}, /* two have it: the better one */
        {"amd", "1"},
        {"nvidia,amd", "0 1"},
        {" amd , cpu,amd,1 , host", "1 4 8"},
        {"cpu,all", "4 0 1 2 3 5"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(picked(list, cases[i].spec), cases[i].wanted);
    size_t v[2], n;
    OK(norn_devices_pick(list, "all", 2, v, &n)); /* no room for more */
    assert_int_equal(n, 2);
    assert_int_equal(v[1], 1);
    OK(norn_devices_pick(list, "all", 0, NULL, &n));
    assert_int_equal(n, 0);

    FAILS(norn_devices_pick(list, "xyz", 2, v, &n), NORN_DEVICE, "'xyz'", "0 'GeForce RTX'",
          "8 'host reference'", "cpu, gpu, host");
    FAILS(norn_devices_pick(list, "gpu,xyz", 2, v, &n), NORN_DEVICE, "'xyz'");
    FAILS(norn_devices_pick(list, "9", 2, v, &n), NORN_DEVICE, "'9'", "index");
    FAILS(norn_devices_pick(list, "99999999999999999999", 2, v, &n), NORN_DEVICE, "index");
    FAILS(norn_devices_pick(list, "-1", 2, v, &n), NORN_DEVICE, "'-1'");
    FAILS(norn_devices_pick(list, "cpu,,gpu", 2, v, &n), NORN_DEVICE, "empty name");
    FAILS(norn_devices_pick(list, ",", 2, v, &n), NORN_DEVICE, "empty name");
    FAILS(norn_devices_pick(list, "host reference", 2, v, &n), NORN_DEVICE, "host"); /* not by accident */
    char longest[9000];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    FAILS(norn_devices_pick(list, longest, 2, v, &n), NORN_DEVICE, "xxx");

    setenv("NORN_DEVICE", "amd", 1);
    assert_string_equal(picked(list, NULL), "1");
    assert_string_equal(picked(list, "cpu"), "4");
    unsetenv("NORN_DEVICE");
    norn_devices_free(list);

    list = make_list(machines, 2); /* host and CPU */
    FAILS(norn_devices_pick(list, "gpu", 2, v, &n), NORN_DEVICE, "'gpu'", "intel-opencl-icd",
          "nvidia-opencl-icd");
    norn_devices_free(list);
    list = make_list(machines, 1);
    FAILS(norn_devices_pick(list, NULL, 2, v, &n), NORN_DEVICE, "pocl-opencl-icd", "nvidia-opencl-icd");
    FAILS(norn_devices_pick(list, "all", 2, v, &n), NORN_DEVICE, "pocl-opencl-icd");
    assert_string_equal(picked(list, "host"), "0");
    /* Drivers that find nothing are named; to install one of them again is no advice. */
    list->platforms = norni_alloc_array(2, sizeof *list->platforms);
    snprintf(list->platforms[0].name, sizeof list->platforms[0].name, "rusticl");
    list->n_platforms = 1;
    FAILS(norn_devices_pick(list, NULL, 2, v, &n), NORN_DEVICE, "'rusticl'", "install pocl-opencl-icd");
    snprintf(list->platforms[1].name, sizeof list->platforms[1].name, "Portable Computing Language");
    list->n_platforms = 2;
    FAILS(norn_devices_pick(list, NULL, 2, v, &n), NORN_DEVICE, "'rusticl', 'Portable Computing Language'",
          "POCL_CACHE_DIR", "nvidia-opencl-icd");
    assert_null(strstr(norn_error(), "install pocl"));
    norn_devices_free(list);
}

static void test_unusable(void **state) {
    norn_devices *list = make_list(machines, N_MACHINES);
    norn_context *ctx;
    FAILS(norni_context_open_at(list, 9, &ctx), NORN_ARG, "device 9");
    assert_null(ctx);
    for (size_t i = 6; i < 8; i++)
        list->v[i].id = (cl_device_id)list; /* never used */
    FAILS(norni_context_open_at(list, 7, &ctx), NORN_UNSUPPORTED, "GeForce dead driver", "compiler");
    FAILS(norni_context_open_at(list, 6, &ctx), NORN_UNSUPPORTED, "Old Radeon", "OpenCL 1.2");
    assert_null(ctx);
    norn_devices_free(list);
}

static void test_listing(void **state) {
    norn_devices *list;
    OK(norn_devices_list(&list));
    size_t n = norn_devices_count(list), offered = 0;
    for (size_t i = 0; i < norn_devices_platform_count(list); i++) {
        assert_true(*norn_devices_platform_name(list, i));
        assert_true(*norn_devices_platform_version(list, i));
        offered += norn_devices_platform_devices(list, i);
    }
    assert_int_equal(offered + 1, n);
    assert_string_equal(norn_devices_platform_name(list, 999), "");
    assert_int_equal(norn_devices_platform_devices(list, 999), 0);
    const norn_device *host = norn_devices_at(list, n - 1);
    assert_int_equal(norn_device_kind(host), NORN_DEVICE_HOST);
    assert_true(norn_device_has(host, "fp64") && !norn_device_has(host, "images") &&
                !norn_device_has(host, "x"));
    for (size_t i = 0; i + 1 < n; i++) {
        const norn_device *d = norn_devices_at(list, i);
        assert_true(*norn_device_name(d) && *norn_device_driver(d) && *norn_device_vendor(d));
        assert_memory_equal(norn_device_version(d), "OpenCL ", 7);
        assert_true(norn_device_compute_units(d) > 0 && norn_device_max_work_group(d) > 0);
        assert_true(norn_device_memory_bytes(d) >= norn_device_max_alloc_bytes(d));
        assert_true(norn_device_max_alloc_bytes(d) > 0 && norn_device_local_bytes(d) > 0);
        assert_true(d->base_align_bytes >= 1 && d->base_align_bytes <= 65536);
        assert_int_equal(norn_device_has(d, "images"), d->images);
        if (norni_text_has(d->platform, "Portable Computing")) { /* no halves; doubles are real */
            assert_false(norn_device_has(d, "fp16"));
            assert_true(norn_device_has(d, "fp64") && norni_device_is_cpu(d) && !d->local_dedicated);
        }
    }
    norn_devices_free(list);
    norn_devices_free(NULL);
}

static void round_trip(const norn_device *d) {
    char *text, *again;
    OK(norn_device_print(d, &text));
    norn_device *back;
    OK(norn_device_parse(text, &back));
    assert_memory_equal(back, d, sizeof *d);
    OK(norn_device_print(back, &again));
    assert_string_equal(text, again);
    norn_text_free(text);
    norn_text_free(again);
    norn_device_free(back);
}

static const norn_device sample = {
    .name = "GPU: a name, with a colon",
    .vendor = "V",
    .driver = "1.2#3",
    .version = "OpenCL 3.0 CUDA",
    .platform = "P",
    .platform_version = "",
    .type = NORN_DEVICE_GPU,
    .compute_units = 4294967295u,
    .clock_mhz = 0,
    .memory_bytes = UINT64_MAX,
    .max_alloc_bytes = 1,
    .local_bytes = 49152,
    .cache_bytes = 0,
    .max_work_group = 1024,
    .max_work_item = {1024, 1024, 64},
    .base_align_bytes = 512,
    .cacheline_bytes = 128,
    .vector_float = 1,
    .local_dedicated = true,
    .fp64 = true,
    .images = true,
    .no_compiler = true,
};

static void test_text_round_trip(void **state) {
    norn_devices *list;
    OK(norn_devices_list(&list));
    for (size_t i = 0; i < norn_devices_count(list); i++)
        round_trip(norn_devices_at(list, i));
    norn_devices_free(list);
    round_trip(&sample);
}

/* The sample's text with line `key` replaced by `line` (dropped for NULL). */
static char *altered(const char *key, const char *line) {
    char *text;
    OK(norn_device_print(&sample, &text));
    char *out = calloc(1, strlen(text) + (line ? strlen(line) : 0) + 2);
    size_t n = strlen(key);
    for (char *at = text; *at;) {
        size_t len = strcspn(at, "\n") + 1;
        if (strncmp(at, key, n) || at[n] != ':')
            strncat(out, at, len);
        else if (line)
            strcat(strcat(out, line), "\n");
        at += len;
    }
    norn_text_free(text);
    return out;
}

static void parse_fails(const char *key, const char *line, const char *piece) {
    char *text = altered(key, line);
    norn_device *d;
    FAILS(norn_device_parse(text, &d), NORN_PARSE, piece, key);
    if (line)
        assert_non_null(strstr(norn_error(), "line "));
    assert_null(d);
    free(text);
}

static void test_text_errors(void **state) {
    char *text;
    OK(norn_device_print(&sample, &text));
    for (char *at = text; *at; at += strcspn(at, "\n") + 1) { /* every key: missing, and twice */
        char key[64] = "", line[256], twice[600];
        memcpy(key, at, strcspn(at, ":"));
        snprintf(line, sizeof line, "%.*s", (int)strcspn(at, "\n"), at);
        parse_fails(key, NULL, "missing");
        snprintf(twice, sizeof twice, "%s\n%s", line, line);
        parse_fails(key, twice, "twice");
    }
    norn_text_free(text);
    static const char *const numbers[] = {"compute-units",  "clock-mhz",   "memory-bytes",
                                          "local-bytes",    "cache-bytes", "base-align-bytes",
                                          "max-work-group", "vector-float"};
    static const char *const bad[] = {
        "", "x", "-1", "+1", "1.5", "0x10", "1 2", "99999999999999999999999", "1,000"};
    char line[4096];
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
            snprintf(line, sizeof line, "%s: %s", numbers[i], bad[k]);
            parse_fails(numbers[i], line, "wanted a number");
        }
    parse_fails("compute-units", "compute-units: 4294967296", "2^32");
    parse_fails("compute-units", "compute-units: 0", "wanted more");
    parse_fails("base-align-bytes", "base-align-bytes: 0", "wanted more");
    parse_fails("max-work-item", "max-work-item: 1 2", "three numbers");
    parse_fails("max-work-item", "max-work-item: 1 2 3 4", "three numbers");
    parse_fails("max-work-item", "max-work-item: 1,2,3", "three numbers");
    parse_fails("type", "type: toaster", "accelerator");
    parse_fails("fp16", "fp16: maybe", "yes or no");
    parse_fails("compiler", "compiler: 1", "yes or no");
    parse_fails("local-memory", "local-memory: some", "dedicated");
    parse_fails("name", "name: a\tb", "control");
    parse_fails("fp64", "fp64 yes", "key: value");
    memset(line, 'y', sizeof line - 1);
    line[sizeof line - 1] = 0;
    memcpy(line, "name: ", 6);
    parse_fails("name", line, "shorter");
    norn_device *d;
    FAILS(norn_device_parse("", &d), NORN_PARSE, "name", "missing");
}

static void test_text_tolerance(void **state) {
    char *plain = altered("none", NULL), *text = calloc(1, 2 * strlen(plain) + 200);
    strcpy(text, "# a snapshot\n\n   \t\nfuture-key: 7\n");
    for (char *at = plain; *at;) { /* line ends of another system, spaces around */
        size_t n = strcspn(at, "\n");
        sprintf(text + strlen(text), "  %.*s  \r\n", (int)n, at);
        at += n + 1;
    }
    text[strlen(text) - 1] = 0; /* no end of the last line */
    norn_device *d;
    OK(norn_device_parse(text, &d));
    assert_memory_equal(d, &sample, sizeof sample);
    norn_device_free(d);
    norn_device_free(NULL);
    /* Damage: whatever comes, it is a device or an error that says something. */
    unsigned seed = 1;
    for (int i = 0; i < 20000; i++) {
        char *copy = strdup(text);
        for (int k = 0; k < 1 + i % 3; k++) {
            seed = seed * 1664525u + 1013904223u;
            copy[(seed >> 8) % strlen(text)] = (char)(seed >> 24);
        }
        norn_status s = norn_device_parse(copy, &d);
        assert_true(s == NORN_OK ? d != NULL : s == NORN_PARSE && d == NULL && *norn_error());
        norn_device_free(d);
        free(copy);
    }
    free(plain);
    free(text);
}

static norn_status list_body(void *arg) {
    norn_devices *list;
    norn_status s = norn_devices_list(&list);
    if (s == NORN_OK) {
        size_t n = norn_devices_count(list);
        assert_true(n >= 1);
        assert_int_equal(norn_device_kind(norn_devices_at(list, n - 1)), NORN_DEVICE_HOST);
        for (size_t i = 0; i < n; i++)
            assert_true(*norn_device_name(norn_devices_at(list, i)));
    } else {
        assert_null(list);
    }
    norn_devices_free(list);
    return s;
}

static void test_listing_faults(void **state) {
    if (!have_device())
        skip();
    for_each_cl_fault(list_body, NULL, CL_OUT_OF_HOST_MEMORY);
    for_each_cl_fault(list_body, NULL, CL_INVALID_VALUE);
    for_each_alloc_fault(list_body, NULL);
    /* A platform that cannot count its devices hides nothing: the list is there, without them. */
    norn_devices *list;
    norni_cl_fail_after(6, CL_OUT_OF_RESOURCES); /* behind two calls for platforms, four for their texts */
    OK(norn_devices_list(&list));
    assert_false(norni_cl_fail_pending());
    assert_int_equal(norn_devices_platform_devices(list, 0), 0);
    assert_true(*norn_devices_platform_name(list, 0));
    norn_devices_free(list);
    norni_cl_fail_after(0, CL_OUT_OF_RESOURCES);
    FAILS(norn_devices_list(&list), NORN_DEVICE, "clGetPlatformIDs", "CL_OUT_OF_RESOURCES (-5)");
}

static norn_status text_body(void *arg) {
    char *text;
    NORNI_TRY(norn_device_print(&sample, &text));
    norn_device *d;
    norn_status s = norn_device_parse(text, &d);
    norn_text_free(text);
    norn_device_free(d);
    return s;
}

static norn_status pick_body(void *arg) {
    norn_devices *list = arg;
    size_t v[4], n;
    return norn_devices_pick(list, "cpu,gpu", 4, v, &n);
}

static void test_text_faults(void **state) {
    assert_true(for_each_alloc_fault(text_body, NULL) > 2);
    norn_devices *list = make_list(machines, N_MACHINES);
    assert_true(for_each_alloc_fault(pick_body, list) > 1);
    norni_alloc_fail_after(2); /* while the error lists what there is */
    size_t v[4], n;
    FAILS(norn_devices_pick(list, "xyz", 4, v, &n), NORN_NOMEM, "memory");
    norni_alloc_fail_after(-1);
    norn_devices_free(list);
}

/* Runs in a child, with a loader that finds no platform. */
static int child_without_platforms(void) {
    norn_devices *list;
    norn_context *ctx;
    unsetenv("NORN_DEVICE");
    if (norn_devices_list(&list) != NORN_OK)
        return 1;
    if (norn_devices_platform_count(list)) /* a loader (Oclgrind's) that does not mind the variable */
        return 42;
    if (norn_devices_count(list) != 1)
        return 1;
    norn_devices_free(list);
    if (norn_context_open(NULL, &ctx) != NORN_DEVICE || !strstr(norn_error(), "pocl-opencl-icd"))
        return 2;
    if (norn_context_open("cpu", &ctx) != NORN_DEVICE || !strstr(norn_error(), "pocl-opencl-icd"))
        return 3;
    if (norn_context_open("gpu", &ctx) != NORN_DEVICE || !strstr(norn_error(), "intel-opencl-icd"))
        return 4;
    if (norn_context_open("host", &ctx) != NORN_OK || !norni_context_is_host(ctx))
        return 5;
    norn_context_close(ctx);
    return 0;
}

static void test_no_platforms(void **state) {
    const char *empty = new_folder();
    int code = wait_child(start_child("no-platforms", "OCL_ICD_VENDORS", empty));
    remove_folder(empty);
    if (code == 42)
        skip();
    assert_int_equal(code, 0);
    /* a platform whose library does not exist is none */
    const char *folder = new_folder();
    char file[100];
    snprintf(file, sizeof file, "%s/gone.icd", folder);
    FILE *f = fopen(file, "w");
    fputs("/nowhere/libgone.so\n", f);
    fclose(f);
    assert_int_equal(wait_child(start_child("no-platforms", "OCL_ICD_VENDORS", folder)), 0);
    remove_folder(folder);
}

static void test_names(void **state) {
    assert_string_equal(norni_cl_name(-5), "CL_OUT_OF_RESOURCES");
    assert_string_equal(norni_cl_name(-68), "CL_INVALID_DEVICE_PARTITION_COUNT");
    assert_string_equal(norni_cl_name(-1011), "CLBlastInsufficientMemoryA");
    assert_null(norni_cl_name(-12345));
    for (int c = 0; c >= -19; c--)
        assert_non_null(norni_cl_name(c));
    for (int c = -30; c >= -72; c--)
        assert_non_null(norni_cl_name(c));
    assert_int_equal(norni_cl_status(CL_OUT_OF_HOST_MEMORY), NORN_NOMEM);
    assert_int_equal(norni_cl_status(CL_INVALID_KERNEL), NORN_DEVICE);
    FAILS(norni_cl_fail(&sample, -12345, "clFoo", "%d things", 3), NORN_DEVICE, sample.name,
          "clFoo: unknown error (-12345): 3 things");
}

int main(int argc, char **argv) {
    if (argc > 1)
        return !strcmp(argv[1], "no-platforms") ? child_without_platforms() : 99;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranking),         cmocka_unit_test(test_pick),
        cmocka_unit_test(test_unusable),        cmocka_unit_test(test_listing),
        cmocka_unit_test(test_text_round_trip), cmocka_unit_test(test_text_errors),
        cmocka_unit_test(test_text_tolerance),  cmocka_unit_test(test_listing_faults),
        cmocka_unit_test(test_text_faults),     cmocka_unit_test(test_no_platforms),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
