/* SPDX-License-Identifier: Apache-2.0 */
/* norn: the command line. One verb, one file. */
#include "output.h"
#include "verbs.h"
#include <stdio.h>
#include <string.h>

static const verb *const verbs[] = {&verb_devices, &verb_run,     &verb_train, &verb_verify,
                                    &verb_show,    &verb_convert, &verb_plan,  &verb_grad,
                                    &verb_solve,   &verb_bench,   &verb_tune,  &verb_version};
enum { VERBS = sizeof verbs / sizeof *verbs };

static const char *verb_name(size_t i) {
    return verbs[i]->name;
}

static const verb *find(const char *name) {
    for (size_t i = 0; i < VERBS; i++)
        if (!strcmp(verbs[i]->name, name))
            return verbs[i];
    return NULL;
}

static void overview(FILE *f) {
    fprintf(f, "norn %s: trains, runs, checks and converts neural networks on OpenCL devices\n\n",
            norn_version());
    fprintf(f, "Usage: norn VERB [OPTION]... [ARGUMENT]...\n\nVerbs:\n");
    for (size_t i = 0; i < VERBS; i++)
        fprintf(f, "  %-9s %s\n", verbs[i]->name, verbs[i]->summary);
    fprintf(f, "\nnorn VERB --help says more about a verb.\n\nExit codes:\n  0   done\n"
               "  1   a result is wrong or missing (verify, bench)\n");
    for (int s = NORN_NOMEM; s <= NORN_INTERNAL; s++) {
        int code = norn_status_exit_code((norn_status)s);
        fprintf(f, "  %-2d  %s%s\n", code, code == EXIT_USAGE ? "a wrong command line; " : "",
                norn_status_name((norn_status)s));
    }
    fprintf(f, "\nEnvironment:\n"
               "  NORN_DEVICE     the device where --device does not say\n"
               "  NORN_CACHE=0    compiled kernels are not kept\n"
               "  NORN_CACHE_DIR  where they are kept; else norn in XDG_CACHE_HOME or ~/.cache\n"
               "  NORN_CACHE_MB   at most so many MiB of them; else 512\n");
}

static int unknown(const char *name) {
    const char *near = nearest(name, VERBS, verb_name);
    speak_for("");
    return usage_error("unknown verb '%s'%s%s%s", name,
                       near ? "; did you mean '" : " (norn --help lists them)", near ? near : "",
                       near ? "'?" : "");
}

int main(int argc, char **argv) {
    if (argc < 2) {
        overview(stderr);
        return EXIT_USAGE;
    }
    const char *name = argv[1];
    if (!strcmp(name, "--help") || !strcmp(name, "-h") || (!strcmp(name, "help") && argc == 2)) {
        overview(stdout);
        return finish_output(0);
    }
    if (!strcmp(name, "--version"))
        return run_verb(&verb_version, 0, argv);
    if (!strcmp(name, "help")) {
        const verb *v = find(argv[2]);
        if (!v)
            return unknown(argv[2]);
        print_help(v);
        return finish_output(0);
    }
    if (name[0] == '-') {
        speak_for("");
        return usage_error("unknown option '%s' (wanted a verb first; norn --help lists them)", name);
    }
    const verb *v = find(name);
    return v ? run_verb(v, argc - 2, argv + 2) : unknown(name);
}
