/* SPDX-License-Identifier: Apache-2.0 */
/* Damaged and hostile files: bad_check NORN FOLDER SOURCE. FOLDER/list.json says what is to be expected of each. norn must say
 * what is wrong or run it: without a crash, within 10 s, in little memory. */
#define _DEFAULT_SOURCE /* wait4 */
#include <cjson/cJSON.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* Sanitizers need more of both. */
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifdef SANITIZED
enum { MOST_SECONDS = 60, MOST_MIB = 4096 };
#else
enum { MOST_SECONDS = 10, MOST_MIB = 1024 };
#endif

typedef struct {
    int code; /* exit code; -1: ended by `signal` */
    int signal;
    long mib;
    char said[600]; /* the beginning of what it wrote to standard error */
} outcome;

static bool run(char *const *args, outcome *out) {
    int ends[2];
    struct rusage used;
    int status;
    *out = (outcome){0};
    fflush(stdout);
    if (pipe(ends))
        return false;
    pid_t child = fork();
    if (!child) {
        if (!freopen("/dev/null", "w", stdout))
            _exit(126);
        dup2(ends[1], 2);
        close(ends[0]);
        alarm(MOST_SECONDS); /* survives exec */
        execv(args[0], args);
        _exit(127);
    }
    close(ends[1]);
    size_t n = 0;
    char rest[4096];
    for (ssize_t got; (got = read(ends[0], n < sizeof out->said - 1 ? out->said + n : rest,
                                  n < sizeof out->said - 1 ? sizeof out->said - 1 - n : sizeof rest)) > 0;)
        n += n < sizeof out->said - 1 ? (size_t)got : 0;
    close(ends[0]);
    if (child < 0 || wait4(child, &status, 0, &used) < 0)
        return false;
    out->code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    out->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    out->mib = used.ru_maxrss / 1024;
    return true;
}

static bool ends_in(const char *s, const char *end) {
    size_t n = strlen(s), m = strlen(end);
    return n >= m && !strcmp(s + n - m, end);
}

/* NULL when it is as expected. */
static const char *judge(const outcome *o, const char *expect) {
    static char text[100];
    bool ran = o->code == 0, refused = o->code > 0 && o->code < 100 && strstr(o->said, "norn ") != NULL;
    if (o->signal == SIGALRM)
        return "takes too long";
    if (o->signal) {
        snprintf(text, sizeof text, "killed by signal %d", o->signal);
        return text;
    }
    if (strstr(o->said, "Sanitizer") || strstr(o->said, "runtime error"))
        return "a sanitizer complains";
    if (!ran && !refused) {
        snprintf(text, sizeof text, "exit code %d without a message", o->code);
        return text;
    }
    if (o->mib > MOST_MIB) {
        snprintf(text, sizeof text, "%ld MiB of memory", o->mib);
        return text;
    }
    if (!strcmp(expect, "accept"))
        return ran ? NULL : "refused";
    if (!strcmp(expect, "reject"))
        return refused ? NULL : "accepted";
    return NULL; /* either will do */
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: bad_check NORN FOLDER SOURCE\n");
        return 2;
    }
    static char text[1 << 20], path[1000], model[1000], input[1100], trained[1000];
    snprintf(path, sizeof path, "%s/list.json", argv[2]);
    FILE *f = fopen(path, "rb");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    cJSON *list = n ? cJSON_Parse(text) : NULL;
    const cJSON *entry;
    int wrong = 0, count = 0;
    if (f)
        fclose(f);
    snprintf(model, sizeof model, "%s/tests/data/verify/node/test_exp/model.onnx", argv[3]);
    snprintf(trained, sizeof trained, "bad_check-%ld.onnx", (long)getpid());
    cJSON_ArrayForEach(entry, list) {
        const char *file = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(entry, "file"));
        const char *expect = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(entry, "expect"));
        outcome o;
        if (!file || !expect)
            continue;
        snprintf(path, sizeof path, "%s/%s", argv[2], file);
        snprintf(input, sizeof input, "x=%s%s", path, ends_in(file, ".npz") ? ":x" : "");
        char *as_model[] = {argv[1], "run", path, NULL};
        char *as_input[] = {argv[1], "run", model, "--input", input, NULL};
        char *as_data[] = {argv[1], "train", "mlp", "--data", path, "--out", trained, "--steps", "1", NULL};
        bool array = ends_in(file, ".npy") || ends_in(file, ".npz"), data = ends_in(file, ".idx");
        if (!run(data ? as_data : array ? as_input : as_model, &o)) {
            perror("bad_check");
            return 1;
        }
        const char *problem = judge(&o, expect);
        o.said[strcspn(o.said, "\n")] = 0;
        printf("%s %s (%s): %s%s%s\n", problem ? "FAIL" : "ok  ", file, expect, problem ? problem : "",
               problem ? ": " : "", o.said);
        wrong += problem != NULL;
        count++;
    }
    cJSON_Delete(list);
    remove(trained);
    printf("%d files, %d wrong\n", count, wrong);
    return wrong > 0 || !count;
}
