/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"
#include "output.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const numerics_choices[] = {"fast", "strict", "deterministic", NULL};

/* ---- Help. */
enum { HELP_WIDTH = 80, HELP_INDENT = 26 };

/* Words of `text` in lines of at most HELP_WIDTH columns, beginning at column `at`. A line that begins with two spaces
 * stands as it is. */
static void wrap(const char *text, int at, int indent) {
    int column = at;
    bool fresh = true; /* no word in this line yet */
    while (*text) {
        size_t n = strcspn(text, " \n");
        if (fresh && column == 0 && text[0] == ' ' && text[1] == ' ') {
            n = strcspn(text, "\n");
            printf("%.*s", (int)n, text);
            text += n;
            continue;
        }
        if (!fresh && n && column + 1 + (int)n > HELP_WIDTH) {
            printf("\n");
            column = 0;
            fresh = true;
        }
        if (n) {
            int space = fresh ? (column < indent ? indent - column : 0) : 1;
            printf("%*s%.*s", space, "", (int)n, text);
            column += space + (int)n;
            fresh = false;
        }
        text += n;
        if (*text == '\n') {
            printf("\n");
            column = 0;
            fresh = true;
        }
        text += *text != 0;
    }
    printf("\n");
}

static void print_entry(const char *name, const char *arg, const char *help, const char *const *choices) {
    char left[64], text[1024];
    int n = snprintf(left, sizeof left, "  --%s%s%s", name, arg ? " " : "", arg ? arg : "");
    printf("%s", left);
    if (n > HELP_INDENT - 2) {
        printf("\n");
        n = 0;
    }
    size_t k = (size_t)snprintf(text, sizeof text, "%s", help);
    for (size_t i = 0; choices && choices[i] && k < sizeof text; i++)
        k += (size_t)snprintf(text + k, sizeof text - k, "%s%s", i ? ", " : ": ", choices[i]);
    wrap(text, n, HELP_INDENT);
}

void print_help(const verb *v) {
    const option *o = v->options;
    printf("Usage: norn %s [OPTION]...%s%s\n\n", v->name, v->args ? " " : "", v->args ? v->args : "");
    wrap(v->summary, 0, 0);
    if (v->details) {
        printf("\n");
        wrap(v->details, 0, 0);
    }
    printf("\nOptions:\n");
    for (; o->name && o->kind != OPT_HEADING; o++)
        print_entry(o->name, o->arg, o->help, o->choices);
    print_entry("help", NULL, "this text", NULL);
    for (; o->name; o++)
        if (o->kind == OPT_HEADING)
            printf("\n%s:\n", o->name);
        else
            print_entry(o->name, o->arg, o->help, o->choices);
}

/* ---- Nearest names. */

/* Edits (insert, delete, replace, swap of neighbours) between two words of fewer than 32 letters. */
static int distance(const char *a, const char *b) {
    enum { MAX = 32 };
    int d[MAX + 1][MAX + 1], n = (int)strlen(a), m = (int)strlen(b);
    if (n > MAX || m > MAX)
        return MAX;
    for (int i = 0; i <= n; i++)
        for (int k = 0; k <= m; k++) {
            if (!i || !k) {
                d[i][k] = i + k;
                continue;
            }
            int best = d[i - 1][k - 1] + (a[i - 1] != b[k - 1]);
            best = d[i - 1][k] + 1 < best ? d[i - 1][k] + 1 : best;
            best = d[i][k - 1] + 1 < best ? d[i][k - 1] + 1 : best;
            if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1] && d[i - 2][k - 2] + 1 < best)
                best = d[i - 2][k - 2] + 1;
            d[i][k] = best;
        }
    return d[n][m];
}

const char *nearest(const char *word, size_t n, const char *(*name)(size_t i)) {
    const char *best = NULL;
    size_t len = strlen(word);
    int least = len < 3 ? 1 : len < 6 ? 2 : 3;
    for (size_t i = 0; i < n; i++) {
        const char *candidate = name(i);
        if (!candidate)
            continue;
        bool begins = len >= 3 && !strncmp(candidate, word, len);
        int d = begins ? 0 : distance(word, candidate);
        if (d < least || (d == least && !best)) {
            least = d;
            best = candidate;
        }
    }
    return best;
}

static const verb *parsing; /* whose options `option_name` lists */

static const char *option_name(size_t i) {
    const option *o = &parsing->options[i];
    return o->kind == OPT_HEADING ? NULL : o->name;
}

static int unknown_option(const char *given, size_t n) {
    char word[64];
    size_t count = 0;
    while (parsing->options[count].name)
        count++;
    snprintf(word, sizeof word, "%.*s", (int)n, given);
    const char *near = nearest(word, count, option_name);
    return usage_error("unknown option '--%s'%s%s%s", word, near ? "; did you mean '--" : "",
                       near ? near : "", near ? "'?" : "");
}

/* ---- Values. */
static int bad_value(const option *o, const char *value, const char *wanted) {
    return usage_error("--%s: got '%s' (wanted %s)", o->name, value, wanted);
}

static int set_int(const option *o, const char *value, void *field) {
    char wanted[64], *end;
    errno = 0;
    long long v = strtoll(value, &end, 10);
    snprintf(wanted, sizeof wanted, "a whole number of at least %.0f", o->least);
    if (end == value || *end || errno || (double)v < o->least)
        return bad_value(o, value, wanted);
    *(int64_t *)field = v;
    return 0;
}

static int set_real(const option *o, const char *value, void *field) {
    char wanted[64], *end;
    double v = strtod(value, &end);
    snprintf(wanted, sizeof wanted, "a number of at least %g", o->least);
    if (end == value || *end || !isfinite(v) || v < o->least)
        return bad_value(o, value, wanted);
    *(double *)field = v;
    return 0;
}

static int set_choice(const option *o, const char *value, void *field) {
    char wanted[256];
    size_t n = 0;
    for (int i = 0; o->choices[i]; i++) {
        if (!strcmp(o->choices[i], value)) {
            *(int *)field = i;
            return 0;
        }
        if (n < sizeof wanted)
            n += (size_t)snprintf(wanted + n, sizeof wanted - n, "%s%s",
                                  !i                  ? ""
                                  : o->choices[i + 1] ? ", "
                                                      : " or ",
                                  o->choices[i]);
    }
    return bad_value(o, value, wanted);
}

static int set_value(const option *o, const char *value, void *options, int argc) {
    void *field = (char *)options + o->offset;
    text_list *list = field;
    switch (o->kind) {
    case OPT_FLAG:
        *(bool *)field = true;
        return 0;
    case OPT_TEXT:
        *(const char **)field = value;
        return 0;
    case OPT_LIST:
        if (!list->v && !(list->v = calloc((size_t)argc + 1, sizeof *list->v)))
            return out_of_memory();
        list->v[list->n++] = value;
        return 0;
    case OPT_INT:
        return set_int(o, value, field);
    case OPT_REAL:
        return set_real(o, value, field);
    case OPT_CHOICE:
        return set_choice(o, value, field);
    case OPT_HEADING:
        break;
    }
    return 0;
}

/* ---- Parsing. */
typedef struct {
    char **v;
    int n;
    bool help;
} parsed;

static int parse_option(int argc, char **argv, int *i, void *options) {
    const char *name = argv[*i] + 2, *value = NULL;
    size_t n = strcspn(name, "=");
    const option *o = parsing->options;
    while (o->name && (o->kind == OPT_HEADING || strlen(o->name) != n || memcmp(o->name, name, n) != 0))
        o++;
    if (!o->name)
        return unknown_option(name, n);
    if (name[n] == '=')
        value = name + n + 1;
    if (o->kind == OPT_FLAG && value)
        return usage_error("--%s: takes no value", o->name);
    if (o->kind != OPT_FLAG && !value) {
        if (*i + 1 >= argc)
            return usage_error("--%s: got no %s", o->name, o->arg);
        value = argv[++*i];
    }
    return set_value(o, value, options, argc);
}

static int parse(int argc, char **argv, void *options, parsed *out) {
    for (int i = 0; i < argc; i++) {
        const char *a = argv[i];
        if (!strcmp(a, "--help") || !strcmp(a, "-h")) {
            out->help = true;
            return 0;
        }
        if (!strcmp(a, "--")) {
            while (++i < argc)
                out->v[out->n++] = argv[i];
            return 0;
        }
        if (a[0] == '-' && a[1] == '-') {
            int code = parse_option(argc, argv, &i, options);
            if (code)
                return code;
        } else if (a[0] == '-' && a[1] && !parsing->minus)
            return usage_error("unknown option '%s' (options begin with two dashes; see norn %s --help)", a,
                               parsing->name);
        else
            out->v[out->n++] = argv[i];
    }
    return 0;
}

static int check_count(const verb *v, int n) {
    if (n < v->least)
        return usage_error("got %s (wanted %s); see norn %s --help", n ? "too few arguments" : "no argument",
                           v->args, v->name);
    if (v->most >= 0 && n > v->most)
        return usage_error("got %d arguments (wanted %s); see norn %s --help", n, v->args ? v->args : "none",
                           v->name);
    return 0;
}

/* Whether --json is asked for, also where the command line is wrong. */
static bool wants_json(const verb *v, int argc, char **argv) {
    const option *o = v->options;
    while (o->name && strcmp(o->name, "json") != 0)
        o++;
    for (int i = 0; i < argc && o->name && strcmp(argv[i], "--") != 0; i++)
        if (!strcmp(argv[i], "--json"))
            return true;
    return false;
}

int run_verb(const verb *v, int argc, char **argv) {
    parsed p = {.v = calloc((size_t)argc + 1, sizeof *p.v)};
    void *options = calloc(1, v->bytes ? v->bytes : 1);
    int code;
    speak_for(v->name);
    parsing = v;
    if (!p.v || !options)
        code = out_of_memory();
    else {
        if (v->defaults)
            memcpy(options, v->defaults, v->bytes);
        code = parse(argc, argv, options, &p);
        if (!code && p.help)
            print_help(v);
        else if (!code && !(code = check_count(v, p.n)))
            code = v->run(options, p.n, p.v);
        for (const option *o = v->options; o->name; o++)
            if (o->kind == OPT_LIST)
                free(((text_list *)(void *)((char *)options + o->offset))->v);
    }
    free(options);
    free(p.v);
    if (wants_json(v, argc, argv))
        code = json_print_error(code);
    code = finish_output(code);
    errors_forget();
    return code;
}
