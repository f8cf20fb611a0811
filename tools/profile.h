/* SPDX-License-Identifier: Apache-2.0 */
/* What the profiler recorded, for norn run and norn train. */
#ifndef NORN_TOOLS_PROFILE_H
#define NORN_TOOLS_PROFILE_H
#include "options.h"
#include <cjson/cJSON.h>
#include <norn.h>

/* A table by operator and kernel, or in j under "profile"; and a Chrome trace (chrome://tracing, Perfetto) into the file
 * `trace` unless that is NULL. Returns the exit code. */
int profile_report(norn_context *ctx, const char *trace, cJSON *j);

#define OPT_PROFILE(type)                                                                                    \
    {"profile", NULL, OPT_FLAG, offsetof(type, profile), "say which operators and kernels take the time",    \
     NULL,      0},                                                                                          \
    {                                                                                                        \
        "trace", "FILE", OPT_TEXT, offsetof(type, trace),                                                    \
            "with --profile: every launch as a Chrome trace (JSON)", NULL, 0                                 \
    }

#endif
