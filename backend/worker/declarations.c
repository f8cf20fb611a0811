/* SPDX-License-Identifier: Apache-2.0 */
/* PoCL puts clang's header of all built-in functions before every program, 15000 declarations, and reads it twice, once to find
 * the program in its cache and once to compile it. That takes longer than most kernels do. So a program brings its own
 * excerpt: everything but those declarations whose names it cannot form. Names are formed of the source's words, also by
 * pasting: `vload` and a width, `convert_` and a type, `_rte` after that. All forms of a name stay together, so that no call
 * finds a form that is not the best one. If a name is missing after all, or the header is not as expected, the program does not
 * build and is then built as ever. */
#define _GNU_SOURCE /* dl_iterate_phdr */
#include "backend/worker/declarations.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __linux__
#include <link.h>
#endif

enum { MAX_HEADER = 8 << 20 };

static bool is_word(char c) {
    return isalnum((unsigned char)c) || c == '_';
}

/* The header ------------------------------------------------------------------------------------------ */
#ifdef __linux__
static int find_driver(struct dl_phdr_info *info, size_t size, void *out) {
    const char *slash = info->dlpi_name ? strrchr(info->dlpi_name, '/') : NULL;
    if (!slash || strncmp(slash, "/libpocl.so", strlen("/libpocl.so")))
        return 0;
    snprintf(out, 1024, "%.*s", (int)(slash - info->dlpi_name), info->dlpi_name);
    return 1;
}

/* Beside the driver, where PoCL up to its version 3 is installed. */
static FILE *open_header(char *folder, size_t size) {
    static const char *const places[] = {"../share/pocl/include", "../../share/pocl/include"};
    char driver[1024] = "", path[2048];
    if (!dl_iterate_phdr(find_driver, driver))
        return NULL;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        snprintf(folder, size, "%s/%s", driver, places[i]);
        snprintf(path, sizeof path, "%s/opencl-c.h", folder);
        FILE *f = strpbrk(path, "\"\\\n") ? NULL : fopen(path, "r");
        if (f)
            return f;
    }
    return NULL;
}
#else
static FILE *open_header(char *folder, size_t size) {
    return NULL;
}
#endif

static void drop_comments(char *text) {
    char *to = text;
    for (const char *at = text; *at;) {
        if (at[0] == '/' && at[1] == '/')
            at += strcspn(at, "\n");
        else if (at[0] == '/' && at[1] == '*') {
            const char *end = strstr(at + 2, "*/");
            at = end ? end + 2 : at + strlen(at);
        } else
            *to++ = *at++;
    }
    *to = 0;
}

/* The end of a piece: of a line of the preprocessor, with those that go on with it, or of a declaration. */
static const char *end_of(const char *at) {
    if (*at != '#') {
        const char *end = strchr(at, ';');
        return end ? end + 1 : at + strlen(at);
    }
    const char *end = strchr(at, '\n');
    while (end && end[-1] == '\\')
        end = strchr(end + 1, '\n');
    return end ? end : at + strlen(at);
}

static norni_declaration declaration(const char *at, const char *end) {
    norni_declaration d = {.text = at, .bytes = (size_t)(end - at)};
    const char *last = *at == '#' ? NULL : memchr(at, '(', d.bytes);
    while (last && last > at && isspace((unsigned char)last[-1]))
        last--;
    const char *name = last;
    while (name && name > at && is_word(name[-1]))
        name--;
    if (!name || name == last || !strncmp(name, "__", 2))
        return d;
    d.name = name;
    d.name_bytes = (size_t)(last - name);
    while (d.stem_bytes < d.name_bytes && !isdigit((unsigned char)name[d.stem_bytes]))
        d.stem_bytes++;
    return d;
}

/* Where the next piece begins: pieces are lines of the preprocessor and declarations. */
static const char *next_piece(const char *at) {
    return at + strspn(at, " \t\r\n");
}

static char *read_header(char *folder, size_t size) {
    FILE *f = open_header(folder, size);
    char *text = f ? malloc(MAX_HEADER) : NULL;
    size_t n = text ? fread(text, 1, MAX_HEADER - 1, f) : 0;
    bool whole = n && feof(f);
    if (f)
        fclose(f);
    if (!whole) {
        free(text);
        return NULL;
    }
    text[n] = 0;
    drop_comments(text);
    return text;
}

bool norni_declarations_read(norni_declarations *d) {
    char folder[1200];
    *d = (norni_declarations){.text = read_header(folder, sizeof folder)};
    if (!d->text)
        return false;
    snprintf(d->before, sizeof d->before, "#undef _OPENCL_H_\n#include \"%s/opencl-c-base.h\"\n", folder);
    size_t room = 1;
    for (const char *at = next_piece(d->text); *at; at = next_piece(end_of(at)))
        room++;
    d->v = malloc(room * sizeof *d->v);
    for (const char *at = next_piece(d->text), *end; d->v && *at; at = next_piece(end)) {
        end = end_of(at);
        if (strncmp(at, "#include", strlen("#include")))
            d->v[d->n++] = declaration(at, end);
    }
    return d->v != NULL;
}

/* The words of a program ---------------------------------------------------------------------------- */
typedef struct {
    const char *at;
    size_t bytes;
} word;

static int compare_words(const void *a, const void *b) {
    const word *x = a, *y = b;
    int c = memcmp(x->at, y->at, x->bytes < y->bytes ? x->bytes : y->bytes);
    return c ? c : (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

/* Sorted, some of them several times; NULL when memory is out. */
static word *words_of(const char *source, size_t *n) {
    size_t room = 0;
    word *words = NULL;
    *n = 0;
    for (const char *at = source; *at;) {
        if (!is_word(*at)) {
            at++;
            continue;
        }
        if (*n == room) {
            word *more = realloc(words, (room = 2 * room + 1024) * sizeof *words);
            if (!more) {
                free(words);
                return NULL;
            }
            words = more;
        }
        words[*n].at = at;
        while (is_word(*at))
            at++;
        words[*n].bytes = (size_t)(at - words[*n].at);
        ++*n;
    }
    if (words)
        qsort(words, *n, sizeof *words, compare_words);
    return words;
}

static bool has(const word *words, size_t n, const char *text, size_t bytes) {
    return bsearch(&(word){text, bytes}, words, n, sizeof *words, compare_words) != NULL;
}

static bool needed(const norni_declaration *d, const word *words, size_t n) {
    if (!d->name || has(words, n, d->name, d->name_bytes))
        return true;
    /* Pasted: a stem, the number of lanes, an ending. */
    size_t end = d->stem_bytes;
    while (end < d->name_bytes && isdigit((unsigned char)d->name[end]))
        end++;
    if (end < d->name_bytes && !has(words, n, d->name + end, d->name_bytes - end))
        return false;
    if (has(words, n, d->name, d->stem_bytes))
        return true;
    static const char convert[] = "convert_"; /* and a type */
    return !strncmp(d->name, convert, strlen(convert)) && has(words, n, convert, strlen(convert)) &&
           !memchr(d->name + strlen(convert), '_', d->name_bytes - strlen(convert));
}

char *norni_declarations_before(const norni_declarations *d, const char *source) {
    static const char after[] = "#pragma OPENCL EXTENSION all : disable\n";
    size_t n, bytes = strlen(d->before) + strlen(after) + strlen(source) + 1;
    word *words = words_of(source, &n);
    char *text = NULL;
    for (size_t i = 0; i < d->n; i++)
        bytes += d->v[i].bytes + 1;
    if (words && (text = malloc(bytes))) {
        char *to = text + sprintf(text, "%s", d->before);
        for (size_t i = 0; i < d->n; i++)
            if (needed(&d->v[i], words, n)) {
                memcpy(to, d->v[i].text, d->v[i].bytes);
                to += d->v[i].bytes;
                *to++ = '\n';
            }
        sprintf(to, "%s%s", after, source);
    }
    free(words);
    return text;
}
