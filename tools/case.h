/* SPDX-License-Identifier: Apache-2.0 */
/* One test case of norn verify: a folder with model.onnx and test_data_set_K folders. */
#ifndef NORN_TOOLS_CASE_H
#define NORN_TOOLS_CASE_H
#include "files.h"
#include <norn.h>

typedef struct {
    double rtol, atol; /* negative: what meta.json says, else the defaults */
    norn_plan_options plan;
} case_options;

typedef enum { CASE_OK, CASE_FAIL, CASE_UNSUPPORTED } case_status;

typedef struct {
    case_status status;
    char *reason; /* NULL for CASE_OK; one line */
    /* Nodes that ran anywhere but as an OpenCL kernel: one-line text each. `folded`: computed before the run, on the
     * host, from constants and shapes alone. */
    name_list host_nodes;
    double max_error; /* largest absolute difference that was seen */
} case_result;

void case_run(norn_session *s, const char *folder, const case_options *o, case_result *out);
/* A model with a certificate. */
void certificate_run(norn_session *s, const char *path, case_result *out);
void case_result_free(case_result *r);

#endif
