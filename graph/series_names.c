/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel files side by side in one text: what each defines at file level gets a prefix. OpenCL C has no name spaces, and files
 * choose types and tiles by macros, so one file may stand there several times with other options. Names are found by the few
 * forms in which kernel files define them:
 *
 *   #define NAME                             macros, those of the options included
 *   static inline TYPE NAME(                 functions, also as a part of a macro (NAME##n too, or NORNI_CAT(NAME, n))
 *   MACRO(NAME, ...) at file level           functions that a macro makes: its first argument, unless that is a type
 *   typedef ... NAME;                        types
 *   norni_..., NORNI_...                     what the prelude and generated code name, also by pieces
 *   NAME##n in a macro                       NAME1, NAME2 where such are defined
 *
 * Kernels become functions that are given their place in the range; put into the one kernel, they would only take longer to compile. */
#include "graph/series_names.h"
#include "base/hash.h"
#include <ctype.h>
#include <string.h>

enum { SLOTS = 2048, MAX_PARAMETERS = 16 };

typedef struct {
    const char *s;
    size_t n;
} word;

typedef struct {
    word slot[SLOTS];
    int n;
} names;

static bool is_word(int c) {
    return isalnum(c) || c == '_';
}

static bool equals(word w, const char *s) {
    return strlen(s) == w.n && !memcmp(w.s, s, w.n);
}

static word *find(names *all, word w) {
    size_t i = norni_hash_bytes(0, w.s, w.n) % SLOTS;
    while (all->slot[i].s && (all->slot[i].n != w.n || memcmp(all->slot[i].s, w.s, w.n)))
        i = (i + 1) % SLOTS;
    return &all->slot[i];
}

static bool has(names *all, word w) {
    return find(all, w)->s != NULL;
}

static bool is_type(word w) {
    static const char *const types[] = {"char",  "uchar", "short",  "ushort", "int",  "uint",   "long",
                                        "ulong", "float", "double", "half",   "void", "size_t", "bool"};
    size_t n = w.n;
    while (n && isdigit((unsigned char)w.s[n - 1]))
        n--;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strlen(types[i]) == n && !memcmp(types[i], w.s, n))
            return true;
    return false;
}

static void add(names *all, word w) {
    word *at = find(all, w);
    if (!w.n || at->s || is_type(w) || all->n >= SLOTS / 2)
        return;
    *at = w;
    all->n++;
}

/* ---- Tokens: words (numbers too) and single characters. */
static const char *blank(const char *p) {
    while (*p && *p != '\n' && isspace((unsigned char)*p))
        p++;
    return p;
}

static word next(const char **p) {
    const char *from = *p;
    if (*from == '"') {
        const char *q = from + 1;
        while (*q && *q != '"' && *q != '\n')
            q += *q == '\\' && q[1] ? 2 : 1;
        *p = *q == '"' ? q + 1 : q;
        return (word){from, (size_t)(*p - from)};
    }
    size_t n = 0;
    if (isdigit((unsigned char)*from)) /* 1.0f, 0x1p-3f: the sign is of no matter here */
        while (is_word((unsigned char)from[n]) || from[n] == '.')
            n++;
    else
        while (is_word((unsigned char)from[n]))
            n++;
    n = n ? n : *from != 0;
    *p = from + n;
    return (word){from, n};
}

static bool is_name(word w) {
    return w.n && is_word((unsigned char)*w.s) && !isdigit((unsigned char)*w.s);
}

/* Past a bracket that opens at p; *first: the first word in it. */
static const char *past(const char *p, word *first) {
    int depth = 0;
    *first = (word){0};
    do {
        word w = next(&p);
        depth += *w.s == '(' ? 1 : *w.s == ')' ? -1 : 0;
        if (!first->s && is_name(w))
            *first = w;
    } while (*p && depth);
    return p;
}

static bool one_of(const word *v, int n, word w) {
    for (int i = 0; i < n; i++)
        if (v[i].n == w.n && !memcmp(v[i].s, w.s, w.n))
            return true;
    return false;
}

/* The name of the function whose type begins at p. */
static void function_name(names *all, const char *p, const word *parameters, int n) {
    word last = {0}, first;
    for (; *p && *p != '\n' && *p != '{' && *p != ';';) {
        p = blank(p);
        bool joined = p[0] == '#' && p[1] == '#';
        if (*p == '(' && (equals(last, "__attribute__") || has(all, last))) {
            p = blank(past(p, &first));
            last = (word){0};
            if (*p == '(')
                last = first;
        }
        if (*p == '(' || joined)
            break;
        word w = next(&p);
        if (is_name(w))
            last = w;
    }
    if (last.s && !one_of(parameters, n, last))
        add(all, last);
}

/* Of the macro whose name is at p. */
static int parameters_of(const char *p, word *out) {
    int n = 0;
    next(&p);
    for (bool in = *p == '('; in && *p && *p != ')' && *p != '\n';) {
        word w = next(&p);
        if (is_name(w) && n < MAX_PARAMETERS)
            out[n++] = w;
    }
    return n;
}

/* A line that begins with # at p. */
static const char *directive(names *all, const char *p) {
    const char *end = p + strcspn(p, "\n");
    word parameters[MAX_PARAMETERS];
    p = blank(p + 1);
    if (!equals(next(&p), "define"))
        return end;
    p = blank(p);
    int n = parameters_of(p, parameters);
    add(all, next(&p));
    while (p < end) {
        word w = next(&p);
        const char *q = blank(p);
        if (equals(w, "static") && equals(next(&q), "inline"))
            function_name(all, q, parameters, n);
    }
    return end;
}

static void collect(names *all, const char *p) {
    int depth = 0;
    bool line = true, start = true; /* at the start of a line, of a statement */
    while (*p) {
        if (*p == '\n') {
            line = true;
            p++;
            continue;
        }
        if (isspace((unsigned char)*p)) {
            p++;
            continue;
        }
        if (*p == '#' && line) {
            p = directive(all, p);
            continue;
        }
        line = false;
        word w = next(&p), first;
        depth += *w.s == '{' || *w.s == '(' ? 1 : *w.s == '}' || *w.s == ')' ? -1 : 0;
        if (depth)
            start = false;
        else if (!is_name(w))
            start = *w.s == ';' || *w.s == '}' || *w.s == ')';
        else {
            const char *q = blank(p);
            if (equals(w, "static") && equals(next(&q), "inline"))
                function_name(all, q, NULL, 0);
            else if (equals(w, "typedef")) {
                int inner = 0;
                word last = {0};
                for (; *q && (*q != ';' || inner);) {
                    word t = next(&q);
                    inner += *t.s == '{' ? 1 : *t.s == '}' ? -1 : 0;
                    last = is_name(t) ? t : last;
                }
                add(all, last);
                p = q;
            } else if (start && *q == '(' && has(all, w)) {
                past(q, &first);
                add(all, first);
            }
            start = false;
        }
    }
}

/* ---- Without comments and continued lines. */
static norn_status plain(const char *text, char **out) {
    char *to = norni_alloc(strlen(text) + 1);
    *out = to;
    if (!to)
        return norni_nomem();
    for (const char *p = text; *p;) {
        if (p[0] == '/' && p[1] == '*') {
            const char *end = strstr(p + 2, "*/");
            p = end ? end + 2 : p + strlen(p);
            *to++ = ' ';
        } else if (p[0] == '/' && p[1] == '/')
            p += strcspn(p, "\n");
        else if (p[0] == '\\' && p[1] == '\n')
            p += 2;
        else
            *to++ = *p++;
    }
    *to = 0;
    return NORN_OK;
}

static bool renamed(names *all, word w) {
    return is_name(w) &&
           (has(all, w) || (w.n > 6 && (!memcmp(w.s, "norni_", 6) || !memcmp(w.s, "NORNI_", 6))));
}

/* The beginning of names that are defined, before a number. */
static bool begins(const names *all, word w) {
    for (int i = 0; i < SLOTS; i++) {
        word at = all->slot[i];
        size_t n = w.n;
        while (at.n > w.n && n < at.n && isdigit((unsigned char)at.s[n]))
            n++;
        if (at.n > w.n && n == at.n && !memcmp(at.s, w.s, w.n))
            return true;
    }
    return false;
}

static void print(names *all, const char *p, const char *prefix, norni_str *out) {
    word parameters[MAX_PARAMETERS]; /* of the macro that this line defines */
    int n = 0;
    while (*p) {
        const char *from = p, *q;
        word w = next(&p);
        if (*from == '\n')
            n = 0;
        if (equals(w, "define"))
            n = parameters_of(blank(p), parameters);
        q = blank(p);
        if (q[0] == '#' && q[1] == '#' && is_name(w) && !one_of(parameters, n, w) && begins(all, w)) {
            norni_str_addf(out, "%s%.*s", prefix, (int)w.n, w.s);
            continue;
        }
        if (equals(w, "__kernel")) {
            word type, name;
            q = p + strspn(p, " \n");
            type = next(&q);
            q = blank(q);
            name = next(&q);
            if (equals(type, "void") && is_name(name) && *q == '(') {
                norni_str_addf(out,
                               "static void __attribute__((noinline)) %sk_%.*s(" NORNI_PLACE_PARAMETERS ", ",
                               prefix, (int)name.n, name.s);
                p = q + 1;
                continue;
            }
        }
        if (renamed(all, w))
            norni_str_add(out, prefix);
        norni_str_addn(out, from, (size_t)(p - from));
    }
}

/* "-DNAME=VALUE ..." as lines. */
static void defines(const char *options, norni_str *out) {
    for (const char *p = options; *p;) {
        size_t n = strcspn(p, " ");
        if (n > 2 && p[0] == '-' && p[1] == 'D') {
            const char *eq = memchr(p, '=', n);
            size_t name = eq ? (size_t)(eq - p) : n;
            norni_str_addf(out, "#define %.*s ", (int)(name - 2), p + 2);
            if (eq)
                norni_str_addn(out, eq + 1, n - name - 1);
            norni_str_add(out, eq ? "\n" : "1\n");
        }
        p += n;
        p += strspn(p, " ");
    }
}

norn_status norni_series_names(const char *options, const char *text, const char *prefix, norni_str *out) {
    names *all = norni_alloc(sizeof *all);
    norni_str whole = {0};
    char *bare = NULL;
    defines(options, &whole);
    norni_str_add(&whole, text);
    norn_status s = all && !whole.failed ? plain(whole.s, &bare) : norni_nomem();
    if (s == NORN_OK) {
        collect(all, bare);
        print(all, bare, prefix, out);
        norni_str_add(out, "\n");
    }
    norni_free(all);
    norni_free(bare);
    norni_str_free(&whole);
    return s;
}
