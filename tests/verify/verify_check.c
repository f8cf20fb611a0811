/* SPDX-License-Identifier: Apache-2.0 */
/* Runs "norn verify --json" over cases and holds what it says to what is written down:
 *
 *     verify_check NORN EXPECTED [--json OUT] PATH|@LIST...
 *
 * No case may fail. What is unsupported, and what runs on the host, must be in EXPECTED (whose head explains its lines), and
 * what is there must be true: a case that is listed and passes is an error, as is an operator that is listed and that
 * norn has. LIST is a file with a path on each line; OUT takes norn's JSON. */
#include "ops/op.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_EXPECTED = 512, MAX_NAME = 120 };
typedef enum { OPERATOR, CASE, HOST, SHAPES } kind;
static const char *const kinds[] = {"operator", "case", "host", "shapes"};
static struct {
    kind kind;
    char name[MAX_NAME];
} expected[MAX_EXPECTED];
static int n_expected, wrong;

/* ---- What is written down. */
static bool add_expected(const char *line) {
    char word[16];
    if (n_expected == MAX_EXPECTED || sscanf(line, "%15s %119s", word, expected[n_expected].name) != 2)
        return false;
    for (int k = OPERATOR; k <= SHAPES; k++)
        if (!strcmp(word, kinds[k])) {
            expected[n_expected++].kind = (kind)k;
            return true;
        }
    return false;
}

static bool read_expected(const char *path) {
    char line[256];
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f)) {
        if (*line == '#' || strspn(line, " \t\r\n") == strlen(line))
            continue;
        if (!add_expected(line)) {
            fprintf(stderr, "%s: what is '%s'?\n", path, line);
            fclose(f);
            return false;
        }
    }
    if (!f || fclose(f)) {
        perror(path);
        return false;
    }
    return true;
}

static bool is_expected(kind k, const char *name, size_t n) {
    for (int i = 0; i < n_expected; i++)
        if (expected[i].kind == k && !strncmp(expected[i].name, name, n) && !expected[i].name[n])
            return true;
    return false;
}

/* Operators that have come. */
static void check_operators(void) {
    for (int i = 0; i < n_expected; i++) {
        char name[MAX_NAME];
        if (expected[i].kind != OPERATOR)
            continue;
        memcpy(name, expected[i].name, sizeof name);
        char *dot = strrchr(name, '.');
        if (dot)
            *dot = 0;
        if (!norni_op_find(dot ? name : "", dot ? dot + 1 : name))
            continue;
        printf("listed as missing, but norn has it: %s\n", expected[i].name);
        wrong++;
    }
}

/* ---- Running. */
typedef struct {
    char **v;
    size_t n;
} words;

static bool add_word(words *w, const char *text) {
    char **more = realloc(w->v, (w->n + 2) * sizeof *more), *copy = strdup(text);
    if (!more || !copy)
        return false;
    w->v = more;
    w->v[w->n++] = copy;
    w->v[w->n] = NULL;
    return true;
}

static bool add_path(words *w, const char *path) {
    char line[4096];
    if (*path != '@')
        return add_word(w, path);
    FILE *f = fopen(path + 1, "r");
    bool ok = f != NULL;
    while (ok && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\r\n")] = 0;
        ok = !*line || add_word(w, line);
    }
    if (!ok)
        fprintf(stderr, "%s: %s\n", path + 1, strerror(errno));
    if (f)
        fclose(f);
    return ok;
}

/* What a program prints; NULL when it could not be run. */
static char *output_of(const words *command, int *code) {
    int ends[2];
    size_t bytes = 0, room = 1 << 16;
    char *text = malloc(room);
    if (!text || pipe(ends))
        return NULL;
    pid_t child = fork();
    if (!child) {
        dup2(ends[1], 1);
        close(ends[0]);
        execv(command->v[0], command->v);
        perror(command->v[0]);
        _exit(127);
    }
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

/* ---- Checking. */
static const char *text_of(const cJSON *j, const char *key) {
    const char *s = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(j, key));
    return s ? s : "";
}

/* "operators that norn does not have: A (node 'x'),B (node 'y')": every one is expected. */
static bool operators_expected(const char *reason) {
    static const char begin[] = "operators that norn does not have: ";
    bool good = !strncmp(reason, begin, sizeof begin - 1);
    for (const char *s = reason + sizeof begin - 1; good && *s;) {
        size_t n = strcspn(s, " ,(");
        good = n && is_expected(OPERATOR, s, n);
        const char *next = strstr(s, "),");
        s = next ? next + 2 : s + strlen(s);
    }
    return good;
}

static void check_host(const cJSON *c, const char *name) {
    bool shapes = is_expected(SHAPES, name, strlen(name)), used = false;
    const cJSON *node;
    cJSON_ArrayForEach(node, cJSON_GetObjectItemCaseSensitive(c, "host_nodes")) {
        const char *line = cJSON_GetStringValue(node);
        if (line && is_expected(HOST, line, strcspn(line, "<(")))
            continue;
        used = true;
        if (shapes)
            continue;
        printf("%s: runs on the host: %s\n", name, line ? line : "?");
        wrong++;
    }
    if (shapes && !used) {
        printf("listed as shape arithmetic on the host, but there is none: %s\n", name);
        wrong++;
    }
}

static void check_case(const cJSON *c) {
    const char *status = text_of(c, "status"), *name = text_of(c, "name"), *reason = text_of(c, "reason");
    bool listed = is_expected(CASE, name, strlen(name)), ok = !strcmp(status, "ok");
    if (ok && listed) {
        printf("listed as unsupported, but it passes: %s\n", name);
        wrong++;
    } else if (!ok && (strcmp(status, "unsupported") || (!listed && !operators_expected(reason)))) {
        printf("%s %s: %s\n", status, name, reason);
        wrong++;
    }
    check_host(c, name);
}

static bool save(const char *path, const char *text) {
    FILE *f = path ? fopen(path, "w") : NULL;
    bool ok = !path || (f && fputs(text, f) >= 0);
    if (f && fclose(f))
        ok = false;
    if (!ok)
        perror(path);
    return ok;
}

static int check(const char *text, int code) {
    cJSON *j = text ? cJSON_Parse(text) : NULL;
    if (!j || code > 1) {
        fprintf(stderr, "norn verify: exit code %d, %s\n", code, j ? "JSON" : "no JSON");
        cJSON_Delete(j);
        return 1;
    }
    const cJSON *c;
    double passed = cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(j, "passed")),
           failed = cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(j, "failed")),
           unsupported = cJSON_GetNumberValue(cJSON_GetObjectItemCaseSensitive(j, "unsupported"));
    check_operators();
    cJSON_ArrayForEach(c, cJSON_GetObjectItemCaseSensitive(j, "cases")) check_case(c);
    cJSON_Delete(j);
    printf("%g passed, %g failed, %g unsupported\n", passed, failed, unsupported);
    if (!(passed > 0))
        printf("no case passed\n");
    return wrong || !(passed > 0);
}

int main(int argc, char **argv) {
    int at = 3, code = 0;
    const char *out = NULL;
    words command = {0};
    if (argc > 4 && !strcmp(argv[3], "--json")) {
        out = argv[4];
        at = 5;
    }
    if (argc <= at) {
        fprintf(stderr, "usage: verify_check NORN EXPECTED [--json OUT] PATH|@LIST...\n");
        return 2;
    }
    bool ok = read_expected(argv[2]) && add_word(&command, argv[1]) && add_word(&command, "verify") &&
              add_word(&command, "--json");
    for (int i = at; ok && i < argc; i++)
        ok = add_path(&command, argv[i]);
    char *text = ok ? output_of(&command, &code) : NULL;
    ok = text && save(out, text);
    int result = ok ? check(text, code) : 2;
    for (size_t i = 0; i < command.n; i++)
        free(command.v[i]);
    free(command.v);
    free(text);
    return result;
}
