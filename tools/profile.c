/* SPDX-License-Identifier: Apache-2.0 */
#include "profile.h"
#include "files.h"
#include "output.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    char op[64];
    const char *kernel;
    size_t count;
    double ms, flops, bytes;
} row;

/* "Conv" of "Conv<pads=[1,1,1,1]>(...)"; transfers and the like have none. */
static void op_of(const char *what, char out[64]) {
    size_t n = strcspn(what, "<(");
    snprintf(out, 64, "%.*s", (int)(n < 63 ? n : 63), what);
}

static int by_time(const void *a, const void *b) {
    const row *x = a, *y = b;
    return x->ms > y->ms ? -1 : x->ms < y->ms ? 1 : strcmp(x->kernel, y->kernel);
}

static row *collect(norn_context *ctx, size_t *found, double *total) {
    size_t n = norn_context_profile_count(ctx), k;
    row *v = calloc(n + 1, sizeof *v);
    *found = 0;
    *total = 0;
    for (size_t i = 0; v && i < n; i++) {
        const norn_profile_entry *e = norn_context_profile_at(ctx, i);
        char op[64];
        op_of(e->what, op);
        for (k = 0; k < *found && (strcmp(v[k].kernel, e->kernel) != 0 || strcmp(v[k].op, op) != 0); k++)
            ;
        if (k == *found) {
            v[k].kernel = e->kernel;
            memcpy(v[k].op, op, sizeof op);
            ++*found;
        }
        double ms = (double)(e->end_ns - e->start_ns) * 1e-6;
        v[k].count++;
        v[k].ms += ms;
        v[k].flops += e->flops;
        v[k].bytes += e->bytes;
        *total += ms;
    }
    if (v)
        qsort(v, *found, sizeof *v, by_time);
    return v;
}

static void print(const row *v, size_t n, double total) {
    char ms[32];
    table t = {.columns = 7, .align = "llrrrrr"};
    const char *const head[] = {"operator", "kernel", "launches", "time", "share", "GFLOP/s", "GB/s"};
    for (int i = 0; i < t.columns; i++)
        table_cell(&t, "%s", head[i]);
    for (size_t k = 0; k < n; k++) {
        table_cell(&t, "%s", v[k].op);
        table_cell(&t, "%s", v[k].kernel);
        table_cell(&t, "%zu", v[k].count);
        table_cell(&t, "%s", time_text(v[k].ms * 1e-3, ms));
        table_cell(&t, "%.1f %%", total > 0 ? 100 * v[k].ms / total : 0);
        table_cell(&t, "%s", "");
        free(t.cells[t.n - 1]);
        t.cells[t.n - 1] =
            v[k].flops > 0 && v[k].ms > 0 ? text_of("%.4g", v[k].flops / v[k].ms * 1e-6) : text_copy("");
        table_cell(&t, "%s", "");
        free(t.cells[t.n - 1]);
        t.cells[t.n - 1] =
            v[k].bytes > 0 && v[k].ms > 0 ? text_of("%.4g", v[k].bytes / v[k].ms * 1e-6) : text_copy("");
    }
    printf("\n");
    table_print(&t);
    printf("in all %s on the device\n", time_text(total * 1e-3, ms));
    table_free(&t);
}

static void add_json(cJSON *j, const row *v, size_t n, double total) {
    cJSON *o = json_object(j, "profile"), *list;
    json_number(o, "ms", total);
    list = json_array(o, "kernels");
    for (size_t k = 0; k < n; k++) {
        cJSON *r = json_object(list, NULL);
        json_text(r, "op", v[k].op);
        json_text(r, "kernel", v[k].kernel);
        json_number(r, "launches", (double)v[k].count);
        json_number(r, "ms", v[k].ms);
        json_number(r, "share", total > 0 ? v[k].ms / total : 0);
        json_number(r, "gflops", v[k].ms > 0 ? v[k].flops / v[k].ms * 1e-6 : 0);
        json_number(r, "gbytes_s", v[k].ms > 0 ? v[k].bytes / v[k].ms * 1e-6 : 0);
    }
}

static int write_trace(norn_context *ctx, const char *path) {
    size_t n = norn_context_profile_count(ctx);
    uint64_t start = n ? norn_context_profile_at(ctx, 0)->start_ns : 0;
    cJSON *j = cJSON_CreateObject(), *list = json_array(j, "traceEvents");
    json_text(j, "displayTimeUnit", "ms");
    for (size_t i = 0; i < n; i++) {
        const norn_profile_entry *e = norn_context_profile_at(ctx, i);
        cJSON *o = json_object(list, NULL);
        json_text(o, "name", e->kernel);
        json_text(o, "ph", "X");
        json_number(o, "ts", (double)((int64_t)e->start_ns - (int64_t)start) * 1e-3);
        json_number(o, "dur", (double)(e->end_ns - e->start_ns) * 1e-3);
        json_number(o, "pid", 1);
        json_number(o, "tid", 1);
        cJSON *args = json_object(o, "args");
        json_text(args, "operator", e->what);
        json_number(args, "flops", e->flops);
        json_number(args, "bytes", e->bytes);
        json_number(args, "queued_us", (double)(e->start_ns - e->queued_ns) * 1e-3);
    }
    char *text = cJSON_PrintUnformatted(j);
    cJSON_Delete(j);
    if (!text)
        return out_of_memory();
    FILE *f = fopen(path, "w");
    bool ok = f && fputs(text, f) >= 0;
    ok = f && fclose(f) == 0 && ok;
    cJSON_free(text);
    return ok ? 0 : fail_text(NORN_IO, "--trace %s: cannot write: %s", path, strerror(errno));
}

int profile_report(norn_context *ctx, const char *trace, cJSON *j) {
    size_t n;
    double total;
    row *v = collect(ctx, &n, &total);
    if (!v)
        return out_of_memory();
    if (j)
        add_json(j, v, n, total);
    else
        print(v, n, total);
    free(v);
    return trace ? write_trace(ctx, trace) : 0;
}
