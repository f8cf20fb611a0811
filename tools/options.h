/* SPDX-License-Identifier: Apache-2.0 */
/* Verbs and their options. One table a verb drives parsing and help. */
#ifndef NORN_TOOLS_OPTIONS_H
#define NORN_TOOLS_OPTIONS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
    OPT_FLAG,   /* bool */
    OPT_TEXT,   /* const char *: the last one counts */
    OPT_LIST,   /* text_list: may be repeated */
    OPT_INT,    /* int64_t */
    OPT_REAL,   /* double */
    OPT_CHOICE, /* int: index into `choices` */
    OPT_HEADING /* no option: a line of help above the next ones */
} option_kind;

typedef struct {
    size_t n;
    const char **v;
} text_list;

typedef struct {
    const char *name, *arg; /* arg: what its value is called in help; NULL for flags */
    option_kind kind;
    size_t offset; /* of its field in the verb's struct of options */
    const char *help;
    const char *const *choices; /* NULL-terminated */
    double least;               /* OPT_INT, OPT_REAL: the smallest legal number */
} option;

typedef struct {
    const char *name, *args;                                   /* args: "PATH...", for help */
    const char *summary;                                       /* one line */
    const char *details;                                       /* paragraphs for help; NULL: none */
    const option *options;                                     /* ended by a NULL name */
    size_t bytes;                                              /* of the struct of options */
    const void *defaults;                                      /* NULL: all zero */
    bool minus;                                                /* arguments may begin with a minus sign */
    int least, most;                                           /* number of arguments; most -1: any */
    int (*run)(const void *options, int n, char *const *args); /* returns the exit code */
} verb;

void print_help(const verb *v);
/* Parses and runs a verb; returns the exit code. */
int run_verb(const verb *v, int argc, char **argv);
/* The name in the list that is nearest to a misspelt word, or NULL when none is near. */
const char *nearest(const char *word, size_t n, const char *(*name)(size_t i));

extern const char *const numerics_choices[]; /* by norn_numerics */

#define OPT_MAX_ITERATIONS(type)                                                                             \
    {                                                                                                        \
        "max-iterations", "N", OPT_INT, offsetof(type, max_iterations),                                      \
            "iterations of a Loop or Scan that is not unrolled; more are an error; else 100000", NULL, 1     \
    }
#define OPT_END                                                                                              \
    { NULL, NULL, OPT_FLAG, 0, NULL, NULL, 0 }

#endif
