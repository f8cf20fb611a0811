/* SPDX-License-Identifier: Apache-2.0 */
/* Runs "norn verify --json" over folders and holds what it says to what is written down:
 *
 *     verify_check NORN ALLOWED PATH...
 *
 * No case may fail. A case may be unsupported only for operators that ALLOWED names, so that the list shrinks as
 * operators come; what runs on the host must be named there too. A line of ALLOWED is "unsupported NAME" or
 * "host NAME"; # begins a comment. */
#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_ALLOWED = 512, MAX_NAME = 100 };
static struct { char kind[16], name[MAX_NAME]; } allowed[MAX_ALLOWED];
static int n_allowed, wrong;

static bool read_allowed(const char *path) {
    char line[256];
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f)) {
        char *comment = strchr(line, '#');
        if (comment)
            *comment = 0;
        if (strspn(line, " \t\r\n") == strlen(line))
            continue;
        if (n_allowed == MAX_ALLOWED ||
            sscanf(line, "%15s %99s", allowed[n_allowed].kind, allowed[n_allowed].name) != 2 ||
            (strcmp(allowed[n_allowed].kind, "unsupported") && strcmp(allowed[n_allowed].kind, "host"))) {
            fprintf(stderr, "%s: what is '%s'?\n", path, line);
            fclose(f);
            return false;
        }
        n_allowed++;
    }
    if (!f || fclose(f)) {
        perror(path);
        return false;
    }
    return true;
}

static bool is_allowed(const char *kind, const char *name, size_t n) {
    for (int i = 0; i < n_allowed; i++)
        if (!strcmp(allowed[i].kind, kind) && !strncmp(allowed[i].name, name, n) && !allowed[i].name[n])
            return true;
    return false;
}

/* The output of norn verify --json; NULL when it could not be run. */
static char *run(const char *norn, int n, char **paths, int *code) {
    int ends[2];
    size_t bytes = 0, room = 1 << 16;
    char *text = malloc(room);
    char **args = calloc((size_t)n + 4, sizeof *args);
    if (!text || !args || pipe(ends))
        return NULL;
    args[0] = (char *)norn;
    args[1] = "verify";
    args[2] = "--json";
    memcpy(args + 3, paths, (size_t)n * sizeof *args);
    pid_t child = fork();
    if (!child) {
        dup2(ends[1], 1);
        close(ends[0]);
        execv(norn, args);
        perror(norn);
        _exit(127);
    }
    free(args);
    close(ends[1]);
    for (ssize_t got; (got = read(ends[0], text + bytes, room - bytes - 1)) > 0;) {
        bytes += (size_t)got;
        if (room - bytes < 4096 && !(text = realloc(text, room *= 2)))
            return NULL;
    }
    text[bytes] = 0;
    close(ends[0]);
    int status;
    if (child < 0 || waitpid(child, &status, 0) < 0)
        return NULL;
    *code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return text;
}

static const char *text_of(const cJSON *j, const char *key) {
    const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(j, key));
    return s ? s : "";
}

/* "operators that norn does not have: A (node 'x'),B (node 'y')": every one is allowed. */
static void check_unsupported(const char *name, const char *reason) {
    static const char begin[] = "operators that norn does not have: ";
    bool good = !strncmp(reason, begin, sizeof begin - 1);
    for (const char *s = reason + sizeof begin - 1; good && *s;) {
        size_t n = strcspn(s, " ,(");
        good = n && is_allowed("unsupported", s, n);
        const char *next = strstr(s, "),");
        s = next ? next + 2 : s + strlen(s);
    }
    if (!good) {
        printf("unsupported %s: %s\n", name, reason);
        wrong++;
    }
}

static void check_case(const cJSON *c) {
    const char *status = text_of(c, "status"), *name = text_of(c, "name");
    const cJSON *node;
    if (!strcmp(status, "unsupported"))
        check_unsupported(name, text_of(c, "reason"));
    else if (strcmp(status, "ok")) {
        printf("%s %s: %s\n", status, name, text_of(c, "reason"));
        wrong++;
    }
    cJSON_ArrayForEach(node, cJSON_GetObjectItemCaseSensitive(c, "host_nodes")) {
        const char *line = cJSON_GetStringValue(node);
        if (line && is_allowed("host", line, strcspn(line, "<(")))
            continue;
        printf("%s: runs on the host: %s\n", name, line ? line : "?");
        wrong++;
    }
}

int main(int argc, char **argv) {
    int code = 0;
    if (argc < 4) {
        fprintf(stderr, "usage: verify_check NORN ALLOWED PATH...\n");
        return 2;
    }
    if (!read_allowed(argv[2]))
        return 2;
    char *text = run(argv[1], argc - 3, argv + 3, &code);
    cJSON *j = text ? cJSON_Parse(text) : NULL;
    free(text);
    if (!j || code > 1) {
        fprintf(stderr, "norn verify: exit code %d, %s\n", code, j ? "JSON" : "no JSON");
        return 1;
    }
    const cJSON *c, *passed = cJSON_GetObjectItemCaseSensitive(j, "passed"),
                    *failed = cJSON_GetObjectItemCaseSensitive(j, "failed"),
                    *unsupported = cJSON_GetObjectItemCaseSensitive(j, "unsupported");
    cJSON_ArrayForEach(c, cJSON_GetObjectItemCaseSensitive(j, "cases")) check_case(c);
    printf("%g passed, %g failed, %g unsupported\n", cJSON_GetNumberValue(passed),
           cJSON_GetNumberValue(failed), cJSON_GetNumberValue(unsupported));
    bool none = !(cJSON_GetNumberValue(passed) > 0);
    if (none)
        printf("no case passed\n");
    cJSON_Delete(j);
    return wrong > 0 || none;
}
