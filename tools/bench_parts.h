/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of norn bench: named shapes, and what is written of results. */
#ifndef NORN_TOOLS_BENCH_PARTS_H
#define NORN_TOOLS_BENCH_PARTS_H
#include <cjson/cJSON.h>
#include <norn.h>

typedef enum {
    BENCH_MODEL,
    BENCH_TRAIN,
    BENCH_OP,
    BENCH_PEAK,
    BENCH_GEMM,
    BENCH_CONV,
    BENCH_KINDS
} bench_kind;
extern const char *const bench_kinds[];

/* ---- Operators as they stand in well-known networks (bench_shapes.c); ended by a NULL name. */
typedef struct {
    const char *name, *line;
    bool quick;
} bench_shape;
extern const bench_shape gemm_shapes[], conv_shapes[];

/* ---- Reports (bench_report.c). */
cJSON *bench_header(void); /* version, date, host; "results" and "peaks" are empty lists */
/* peaks NULL: not measured. shape NULL: not a named one. */
void bench_json(cJSON *j, const norn_bench_result *r, bench_kind kind, const char *shape,
                const norn_session *s, const norn_peaks *peaks);
void bench_json_peaks(cJSON *j, const norn_peaks *p, const norn_session *s);
void bench_print(const norn_bench_result *r, const char *shape, const norn_peaks *peaks);
void bench_print_peaks(const norn_peaks *p, const norn_session *s);
/* Of several devices: who is first at what. Wrong results are named and have no rank. */
void bench_print_ranks(const cJSON *j);
/* Every result as a row of comma-separated values. Returns the exit code. */
int bench_csv(const cJSON *j, const char *path);
int bench_out(const cJSON *j, const char *path);

#endif
