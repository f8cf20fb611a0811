/* SPDX-License-Identifier: Apache-2.0 */
/* Files that mean harm, given to the command line one by one: each is accepted or refused as list.json beside it says, with
 * one clear message, without a crash, within bounds of time and memory.
 *
 *     hostile NORN FOLDER SCRATCH
 *
 * list.json: [{"file": "a.onnx", "expect": "reject"}, ...]. expect: accept; reject and reject_at_load_or_run (an error);
 * reject_or_run and resource (either). Models are run, shown and converted; data sets are trained on; arrays and pictures are
 * fed to FOLDER/identity.onnx; anything else is given as a model. "args", a list: what norn run is given besides. */
#define _DEFAULT_SOURCE /* wait4 */
#include <cjson/cJSON.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WALL_SECONDS = 120, RSS_MIB = 1024, MAX_ARGS = 12, MAX_TEXT = 1 << 16 };
#if defined(__SANITIZE_ADDRESS__)
enum { ADDRESS_GIB = 0 }; /* the shadow memory takes more than any limit */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
enum { ADDRESS_GIB = 0 };
#else
enum { ADDRESS_GIB = 8 };
#endif
#else
enum { ADDRESS_GIB = 8 };
#endif

enum { CPU_SECONDS = ADDRESS_GIB ? 10 : 30 }; /* sanitizers slow everything down */

static const char *norn, *folder, *scratch;
static int failures;

static void complain(const char *file, const char *verb, const char *what) {
    printf("FAIL %s: norn %s: %s\n", file, verb, what);
    failures++;
}

static void limit(int what, rlim_t v) {
    struct rlimit r = {v, v};
    setrlimit(what, &r);
}

static void child(char *const *args, const char *messages) {
    int out = open("/dev/null", O_WRONLY), err = open(messages, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (out < 0 || err < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
        _exit(126);
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_CPU, CPU_SECONDS);
    if (ADDRESS_GIB)
        limit(RLIMIT_AS, (rlim_t)ADDRESS_GIB << 30);
    alarm(WALL_SECONDS);
    execv(norn, args);
    _exit(127);
}

/* The last line that is not a note, or a reason why the messages are no good. */
static const char *last_line(const char *path, char *text) {
    FILE *f = fopen(path, "rb");
    size_t n = f ? fread(text, 1, MAX_TEXT - 1, f) : 0;
    char *line = NULL;
    if (f)
        fclose(f);
    text[n] = 0;
    for (char *p = strtok(text, "\n"); p; p = strtok(NULL, "\n")) {
        if (strstr(p, "runtime error:") || strstr(p, "Sanitizer"))
            return NULL;
        if (!strstr(p, ": note: "))
            line = p;
    }
    for (char *p = line; p && *p; p++)
        if (iscntrl((unsigned char)*p))
            return NULL;
    return line ? line : "";
}

/* Runs norn and judges how it ended. True when it worked. */
static bool run(const char *file, char *const *args) {
    char messages[4096], text[MAX_TEXT], what[MAX_TEXT + 256];
    int status;
    struct rusage use;
    snprintf(messages, sizeof messages, "%s/messages", scratch);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        child(args, messages);
    if (pid < 0 || wait4(pid, &status, 0, &use) != pid) {
        complain(file, args[1], strerror(errno));
        return false;
    }
    const char *line = last_line(messages, text);
    if (WIFSIGNALED(status)) {
        int sig = WTERMSIG(status);
        snprintf(what, sizeof what, "%s (signal %d)",
                 sig == SIGXCPU || sig == SIGALRM || sig == SIGKILL ? "takes too long" : "crashed", sig);
        complain(file, args[1], what);
        return false;
    }
    int code = WEXITSTATUS(status);
    if (code != 0 && (code < 2 || code > 11 || !line || strncmp(line, "norn ", 5) || !strchr(line, ':'))) {
        snprintf(what, sizeof what, "exit code %d with the message '%s'", code, line ? line : "(garbage)");
        complain(file, args[1], what);
    }
    if (!ADDRESS_GIB)
        return code == 0;
    if (use.ru_maxrss / 1024 > RSS_MIB) {
        snprintf(what, sizeof what, "took %ld MiB of memory (at most %d)", use.ru_maxrss / 1024, RSS_MIB);
        complain(file, args[1], what);
    }
    return code == 0;
}

static bool ends(const char *s, const char *with) {
    size_t n = strlen(s), k = strlen(with);
    return n > k && !strcmp(s + n - k, with);
}

static void test(const char *file, const char *expect, const cJSON *more) {
    char path[4096], input[4200], identity[4096], out[4096];
    char *args[MAX_ARGS] = {(char *)norn, "run", path, "--output-dir", (char *)scratch};
    bool model = false;
    snprintf(path, sizeof path, "%s/%s", folder, file);
    snprintf(identity, sizeof identity, "%s/identity.onnx", folder);
    snprintf(input, sizeof input, "x=%s", path);
    snprintf(out, sizeof out, "%s/out.onnx", scratch);
    if (access(path, R_OK)) {
        complain(file, "", strerror(errno));
        return;
    }
    if (ends(file, ".npy") || ends(file, ".png")) {
        if (access(identity, R_OK) == 0) {
            args[2] = identity;
            args[5] = "--input";
            args[6] = input;
        }
    } else if (ends(file, ".npz") || ends(file, ".idx") || ends(file, "-ubyte"))
        memcpy(
            args,
            ((char *[]){(char *)norn, "train", "mlp", "--data", path, "--out", out, "--epochs", "1", NULL}),
            10 * sizeof *args);
    else
        model = ends(file, ".onnx");
    int n = 0;
    const cJSON *a;
    while (args[n])
        n++;
    cJSON_ArrayForEach(a, more) if (n + 1 < MAX_ARGS && cJSON_IsString(a)) args[n++] = a->valuestring;
    bool worked = run(file, args);
    if (!strcmp(expect, "accept")
            ? !worked
            : !strncmp(expect, "reject", 6) && strcmp(expect, "reject_or_run") && worked)
        complain(file, args[1], worked ? "accepted it" : "refused it");
    if (model) {
        run(file, (char *[]){(char *)norn, "show", path, NULL});
        run(file, (char *[]){(char *)norn, "convert", path, out, NULL});
    }
}

int main(int argc, char **argv) {
    static char text[1 << 20];
    char path[4096];
    if (argc != 4)
        return 2;
    norn = argv[1];
    folder = argv[2];
    scratch = argv[3];
    snprintf(path, sizeof path, "%s/list.json", folder);
    FILE *f = fopen(path, "rb");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    text[n] = 0;
    if (f)
        fclose(f);
    cJSON *list = cJSON_Parse(text), *entry;
    int count = cJSON_GetArraySize(list);
    cJSON_ArrayForEach(entry, list) {
        const char *file = cJSON_GetStringValue(cJSON_GetObjectItem(entry, "file"));
        const char *expect = cJSON_GetStringValue(cJSON_GetObjectItem(entry, "expect"));
        if (file && expect)
            test(file, expect, cJSON_GetObjectItem(entry, "args"));
        else
            complain(path, "", "an entry without file or expect");
    }
    cJSON_Delete(list);
    printf("%d files, %d failures\n", count, failures);
    return failures || !count;
}
