/* SPDX-License-Identifier: Apache-2.0 */
/* json_has PATH...: standard input is one JSON value and has something at each path, as "results.0.median_ms". */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 16 << 20 };

static const cJSON *at(const cJSON *j, char *path) {
    for (char *part = strtok(path, "."); part && j; part = strtok(NULL, "."))
        j = cJSON_IsArray(j) ? cJSON_GetArrayItem(j, atoi(part)) : cJSON_GetObjectItemCaseSensitive(j, part);
    return j;
}

int main(int argc, char **argv) {
    char *text = calloc(1, MOST);
    const char *end = NULL;
    size_t n = text ? fread(text, 1, MOST - 1, stdin) : 0;
    cJSON *j = n ? cJSON_ParseWithOpts(text, &end, 0) : NULL;
    if (!j || strspn(end, " \n") != strlen(end)) {
        fprintf(stderr, "not one JSON value: %.500s\n", text ? text : "");
        return 1;
    }
    int missing = 0;
    for (int i = 1; i < argc; i++) {
        char path[200];
        snprintf(path, sizeof path, "%s", argv[i]);
        if (!at(j, path)) {
            fprintf(stderr, "%s is missing in: %.500s\n", argv[i], text);
            missing++;
        }
    }
    cJSON_Delete(j);
    free(text);
    return missing > 0;
}
