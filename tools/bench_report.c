/* SPDX-License-Identifier: Apache-2.0 */
#include "bench_parts.h"
#include "files.h"
#include "output.h"
#include "pick.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

const char *const bench_kinds[] = {"model", "train", "op", "peak", "gemm", "conv"};

static void host_cpu(char *out, size_t bytes) {
    FILE *f = fopen("/proc/cpuinfo", "r");
    char line[512];
    snprintf(out, bytes, "unknown");
    while (f && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (!colon || (strncmp(line, "model name", 10) != 0 && strncmp(line, "Model", 5) != 0))
            continue;
        line[strcspn(line, "\n")] = 0;
        snprintf(out, bytes, "%s", colon[1] == ' ' ? colon + 2 : colon + 1);
        break;
    }
    if (f)
        fclose(f);
}

cJSON *bench_header(void) {
    cJSON *j = cJSON_CreateObject();
    char cpu[256], date[32];
    time_t now = time(NULL);
    struct tm utc;
    struct utsname host;
    host_cpu(cpu, sizeof cpu);
    json_text(j, "version", norn_version());
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    json_text(j, "date", date);
    json_text(j, "host_cpu", cpu);
    if (uname(&host) == 0) {
        json_text(j, "host", host.nodename);
        json_text(j, "host_system", host.sysname);
        json_text(j, "host_release", host.release);
        json_text(j, "host_machine", host.machine);
    }
    json_array(j, "results");
    return j;
}

static void add_device(cJSON *o, const norn_session *s) {
    const norn_device *d = norn_context_device(norn_session_context(s, 0));
    json_text(o, "device", norn_device_name(d));
    json_text(o, "driver", norn_device_driver(d));
    json_text(o, "device_version", norn_device_version(d));
    json_text(o, "platform", norn_device_platform(d));
}

/* The least time by the roofline: what must be computed and moved at the measured peaks; 0: unknown. */
static double share_of_roofline(const norn_bench_result *r, const norn_peaks *p) {
    double flops = r->gflops * r->median_ms, bytes = r->gbytes_s * r->median_ms; /* in 1e6 */
    double ms = fmax(p->fp32_gflops > 0 ? flops / p->fp32_gflops : 0,
                     p->global_gbytes_s > 0 ? bytes / p->global_gbytes_s : 0);
    return r->median_ms > 0 ? ms / r->median_ms : 0;
}

void bench_json(cJSON *j, const norn_bench_result *r, bench_kind kind, const char *shape,
                const norn_session *s, const norn_peaks *peaks) {
    cJSON *o = json_object(cJSON_GetObjectItemCaseSensitive(j, "results"), NULL);
    json_text(o, "name", r->name);
    json_text(o, "kind", bench_kinds[kind]);
    if (shape)
        json_text(o, "shape", shape);
    add_device(o, s);
    json_text(o, "implementation", r->implementation);
    json_text(o, "chosen", *r->chosen ? r->chosen : NULL);
    json_text(o, "others", *r->others ? r->others : NULL);
    json_number(o, "median_ms", r->median_ms);
    json_number(o, "best_ms", r->best_ms);
    json_number(o, "spread_ms", r->spread_ms);
    json_number(o, "first_ms", r->first_ms);
    json_number(o, "runs", (double)r->runs);
    json_number(o, "launches", (double)r->launches);
    json_number(o, "gflops", r->gflops);
    json_number(o, "gbytes_s", r->gbytes_s);
    if (peaks) {
        json_number(o, "share_of_peak", peaks->fp32_gflops > 0 ? r->gflops / peaks->fp32_gflops : 0);
        json_number(o, "share_of_roofline", share_of_roofline(r, peaks));
    }
    json_number(o, "memory_bytes", (double)r->memory_bytes);
    if (r->checked) {
        json_bool(o, "correct", r->correct);
        json_number(o, "max_error", r->max_error);
    } else {
        json_text(o, "correct", NULL);
        json_text(o, "max_error", NULL);
    }
    json_text(o, "note", *r->note ? r->note : NULL);
}

void bench_json_peaks(cJSON *j, const norn_peaks *p, const norn_session *s) {
    cJSON *list = cJSON_GetObjectItemCaseSensitive(j, "peaks");
    cJSON *o = json_object(list ? list : json_array(j, "peaks"), NULL);
    add_device(o, s);
    json_peaks(o, p);
}

void bench_print(const norn_bench_result *r, const char *shape, const norn_peaks *peaks) {
    char median[32], best[32], spread[32], first[32], memory[32];
    if (shape)
        printf("%s: ", shape);
    printf("%s\n  %s: median %s, best %s, spread %s, %lld runs, first %s\n", r->name, r->device,
           time_text(r->median_ms * 1e-3, median), time_text(r->best_ms * 1e-3, best),
           time_text(r->spread_ms * 1e-3, spread), (long long)r->runs, time_text(r->first_ms * 1e-3, first));
    printf("  %.4g GFLOP/s, %.4g GB/s, %s on the device\n", r->gflops, r->gbytes_s,
           bytes_text((double)r->memory_bytes, memory));
    if (peaks && peaks->fp32_gflops > 0)
        printf("  %.0f %% of the arithmetic peak, %.0f %% of the roofline\n",
               100 * r->gflops / peaks->fp32_gflops, 100 * share_of_roofline(r, peaks));
    printf("  kernels: %s\n", r->implementation);
    if (*r->chosen)
        printf("  implementation: %s%s%s%s\n", r->chosen, *r->others ? " (" : "", r->others,
               *r->others ? ")" : "");
    if (r->checked)
        printf("  %s: largest relative difference from the host reference %.2g\n",
               r->correct ? "correct" : "WRONG", r->max_error);
    if (*r->note)
        printf("  %s\n", r->note);
}

void bench_print_peaks(const norn_peaks *p, const norn_session *s) {
    const norn_device *d = norn_context_device(norn_session_context(s, 0));
    char a[32], b[32], c[32];
    printf("%s (%s, driver %s)\n", norn_device_name(d), norn_device_version(d), norn_device_driver(d));
    printf("  multiply-adds: %.4g GFLOP/s in float", p->fp32_gflops);
    if (p->fp64_gflops > 0)
        printf(", %.4g in double", p->fp64_gflops);
    if (p->fp16_gflops > 0)
        printf(", %.4g in half", p->fp16_gflops);
    printf("\n  memory: reads %.4g GB/s, copies %.4g GB/s, from caches %.4g GB/s, local memory %.4g GB/s\n",
           p->global_gbytes_s, p->copy_gbytes_s, p->cache_gbytes_s, p->local_gbytes_s);
    printf("  transfers: to the device %.4g GB/s, back %.4g GB/s\n", p->write_gbytes_s, p->read_gbytes_s);
    printf("  launches: %s each, %s with a wait; building a small program %s\n",
           time_text(p->launch_us * 1e-6, a), time_text(p->wait_us * 1e-6, b),
           time_text(p->build_ms * 1e-3, c));
}

/* ---- Ranks. */
static const char *text_in(const cJSON *o, const char *key) {
    const cJSON *x = cJSON_GetObjectItemCaseSensitive(o, key);
    return cJSON_IsString(x) ? x->valuestring : "";
}
static double number_in(const cJSON *o, const char *key) {
    const cJSON *x = cJSON_GetObjectItemCaseSensitive(o, key);
    return cJSON_IsNumber(x) ? x->valuedouble : NAN;
}
static bool wrong(const cJSON *o) {
    return cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(o, "correct"));
}

void bench_print_ranks(const cJSON *j) {
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(j, "results"), *a, *b;
    table t = {.columns = 5, .align = "lrlrr"};
    const char *const head[] = {"what", "rank", "device", "median", "GFLOP/s"};
    for (int i = 0; i < t.columns; i++)
        table_cell(&t, "%s", head[i]);
    cJSON_ArrayForEach(a, list) {
        int rank = 1;
        char median[32];
        const char *shape = text_in(a, "shape");
        cJSON_ArrayForEach(b, list) if (b != a && !strcmp(text_in(a, "name"), text_in(b, "name")) &&
                                        !strcmp(text_in(a, "kind"), text_in(b, "kind")) && !wrong(b) &&
                                        number_in(b, "median_ms") < number_in(a, "median_ms")) rank++;
        table_cell(&t, "%s", *shape ? shape : text_in(a, "name"));
        if (wrong(a))
            table_cell(&t, "WRONG");
        else
            table_cell(&t, "%d", rank);
        table_cell(&t, "%s", text_in(a, "device"));
        table_cell(&t, "%s", time_text(number_in(a, "median_ms") * 1e-3, median));
        table_cell(&t, "%.4g", number_in(a, "gflops"));
    }
    printf("\n");
    table_print(&t);
    table_free(&t);
}

/* ---- Files. */
static const char *const columns[] = {"name",
                                      "kind",
                                      "shape",
                                      "device",
                                      "driver",
                                      "device_version",
                                      "platform",
                                      "chosen",
                                      "median_ms",
                                      "best_ms",
                                      "spread_ms",
                                      "first_ms",
                                      "runs",
                                      "gflops",
                                      "gbytes_s",
                                      "share_of_peak",
                                      "share_of_roofline",
                                      "memory_bytes",
                                      "correct",
                                      "max_error",
                                      "implementation",
                                      "others",
                                      "note"};

static void put_text(FILE *f, const char *s) {
    bool quote = strpbrk(s, ",\"\n\r") != NULL;
    if (quote)
        fputc('"', f);
    for (; *s; s++) {
        if (*s == '"')
            fputc('"', f);
        fputc(*s, f);
    }
    if (quote)
        fputc('"', f);
}

static void put_value(FILE *f, const cJSON *x) {
    if (cJSON_IsString(x))
        put_text(f, x->valuestring);
    else if (cJSON_IsNumber(x))
        fprintf(f, "%.9g", x->valuedouble);
    else if (cJSON_IsBool(x))
        fputs(cJSON_IsTrue(x) ? "true" : "false", f);
}

static void put_host(FILE *f, const cJSON *j) {
    fputc(',', f);
    put_text(f, text_in(j, "host_cpu"));
    fputc(',', f);
    put_text(f, text_in(j, "date"));
    fputc('\n', f);
}

/* Peaks have columns of their own, the same for every device. */
static void put_peaks(FILE *f, const cJSON *j, const cJSON *peaks) {
    const cJSON *r, *x;
    cJSON_ArrayForEach(x, peaks->child) {
        fprintf(f, "%s,", x->string);
    }
    fputs("host_cpu,date\n", f);
    cJSON_ArrayForEach(r, peaks) {
        cJSON_ArrayForEach(x, r) {
            if (x != r->child)
                fputc(',', f);
            put_value(f, x);
        }
        put_host(f, j);
    }
}

static void put_results(FILE *f, const cJSON *j, const cJSON *results) {
    enum { N = sizeof columns / sizeof *columns };
    const cJSON *r;
    for (int i = 0; i < N; i++)
        fprintf(f, "%s,", columns[i]);
    fputs("host_cpu,date\n", f);
    cJSON_ArrayForEach(r, results) {
        for (int i = 0; i < N; i++) {
            if (i)
                fputc(',', f);
            put_value(f, cJSON_GetObjectItemCaseSensitive(r, columns[i]));
        }
        put_host(f, j);
    }
}

int bench_csv(const cJSON *j, const char *path) {
    const cJSON *results = cJSON_GetObjectItemCaseSensitive(j, "results"),
                *peaks = cJSON_GetObjectItemCaseSensitive(j, "peaks");
    FILE *f = fopen(path, "w");
    if (!f)
        return fail_text(NORN_IO, "--csv %s: cannot write: %s", path, strerror(errno));
    if (!cJSON_GetArraySize(results) && cJSON_GetArraySize(peaks))
        put_peaks(f, j, peaks);
    else
        put_results(f, j, results);
    bool ok = !ferror(f);
    ok = fclose(f) == 0 && ok;
    return ok ? 0 : fail_text(NORN_IO, "--csv %s: cannot write: %s", path, strerror(errno));
}

int bench_out(const cJSON *j, const char *path) {
    char *text = cJSON_Print(j);
    if (!text)
        return out_of_memory();
    FILE *f = fopen(path, "w");
    bool ok = f && fprintf(f, "%s\n", text) >= 0;
    ok = f && fclose(f) == 0 && ok;
    cJSON_free(text);
    return ok ? 0 : fail_text(NORN_IO, "--out %s: cannot write: %s", path, strerror(errno));
}
