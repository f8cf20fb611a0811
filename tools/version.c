/* SPDX-License-Identifier: Apache-2.0 */
#include "output.h"
#include "pick.h"
#include "verbs.h"
#include <stdio.h>

typedef struct {
    bool json;
} version_options;

static int run(const void *options, int n, char *const *args) {
    const version_options *o = options;
    (void)n;
    (void)args;
    if (!o->json) {
        printf("norn %s\n", norn_version());
        return 0;
    }
    cJSON *j = cJSON_CreateObject();
    json_text(j, "version", norn_version());
    return json_print(j, 0);
}

static const option options[] = {OPT_JSON(version_options), OPT_END};

const verb verb_version = {
    .name = "version",
    .summary = "Says which version of the library runs.",
    .options = options,
    .bytes = sizeof(version_options),
    .run = run,
};
