/* SPDX-License-Identifier: Apache-2.0 */
#include "output.h"
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- Errors. */
static const char *speaker = "";
static bool progress_shown;

void speak_for(const char *verb) {
    speaker = verb;
}

/* What was said of errors since the last errors_forget, a line each. */
static char *errors;

const char *errors_said(void) {
    return errors ? errors : "";
}

void errors_forget(void) {
    free(errors);
    errors = NULL;
}

static void remember(const char *text) {
    char *both = errors ? text_of("%s\n%s", errors, text) : text_copy(text);
    if (!both)
        return;
    free(errors);
    errors = both;
}

static void say(const char *kind, const char *fmt, va_list ap) {
    char text[8192];
    vsnprintf(text, sizeof text, fmt, ap);
    if (!*kind)
        remember(text);
    progress_clear();
    fflush(stdout); /* in the order in which things happened */
    fprintf(stderr, "norn%s%s: %s%s\n", *speaker ? " " : "", speaker, kind, clean(text));
}

int fail_text(norn_status s, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    say("", fmt, ap);
    va_end(ap);
    return norn_status_exit_code(s);
}

int fail(norn_status s) {
    return fail_text(s, "%s", *norn_error() ? norn_error() : norn_status_name(s));
}

int usage_error(const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    say("", fmt, ap);
    va_end(ap);
    return EXIT_USAGE;
}

int out_of_memory(void) {
    return fail_text(NORN_NOMEM, "out of host memory");
}

void note(const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    say("note: ", fmt, ap);
    va_end(ap);
}

int finish_output(int code) {
    progress_clear();
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    int failed = fail_text(NORN_IO, "standard output: cannot write: %s", strerror(errno));
    return code ? code : failed;
}

/* ---- Text. */
char *clean(char *s) {
    for (unsigned char *c = (unsigned char *)s; c && *c; c++)
        if (*c == '\n' || *c == '\t')
            *c = ' ';
        else if (*c < 32 || *c == 127)
            *c = '?';
    return s;
}

static char *format(const char *fmt, va_list ap) {
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    char *s = n < 0 ? NULL : malloc((size_t)n + 1);
    if (s)
        vsnprintf(s, (size_t)n + 1, fmt, ap);
    return s;
}

char *text_of(const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    char *s = format(fmt, ap);
    va_end(ap);
    return s;
}

char *text_copy(const char *s) {
    return text_of("%s", s ? s : "");
}

static const char *scaled(double v, const char *const *units, double base, char buf[32]) {
    int i = 0;
    while (v >= base && units[i + 1]) {
        v /= base;
        i++;
    }
    snprintf(buf, 32, "%.*f%s%s", i && v < 100 ? 1 : 0, v, *units[i] ? " " : "", units[i]);
    return buf;
}

const char *bytes_text(double bytes, char buf[32]) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", NULL};
    return scaled(bytes, units, 1024, buf);
}

const char *count_text(double n, char buf[32]) {
    static const char *const units[] = {"", "k", "M", "G", "T", NULL};
    return scaled(n, units, 1000, buf);
}

const char *time_text(double seconds, char buf[32]) {
    if (!(seconds >= 0) || seconds > 1e9)
        snprintf(buf, 32, "?");
    else if (seconds < 1e-3)
        snprintf(buf, 32, "%.1f us", seconds * 1e6);
    else if (seconds < 1)
        snprintf(buf, 32, "%.3g ms", seconds * 1e3);
    else if (seconds < 60)
        snprintf(buf, 32, "%.1f s", seconds);
    else if (seconds < 3600)
        snprintf(buf, 32, "%d min %d s", (int)(seconds / 60), (int)seconds % 60);
    else
        snprintf(buf, 32, "%d h %d min", (int)(seconds / 3600), (int)(seconds / 60) % 60);
    return buf;
}

const char *float_text(float v, char buf[32]) {
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(buf, 32, "%.*g", digits, (double)v);
        if (strtof(buf, NULL) == v)
            break;
    }
    for (int digits = 5; digits >= 1; digits--) { /* fewer digits may do */
        char shorter[32];
        snprintf(shorter, sizeof shorter, "%.*g", digits, (double)v);
        if (strtof(shorter, NULL) != v)
            break;
        memcpy(buf, shorter, sizeof shorter);
    }
    return buf;
}

/* ---- Tables. */
void table_cell(table *t, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    char *s = format(fmt, ap);
    va_end(ap);
    if (s && t->n == t->cap) {
        size_t cap = t->cap ? t->cap * 2 : 64;
        char **cells = realloc(t->cells, cap * sizeof *cells);
        if (cells) {
            t->cells = cells;
            t->cap = cap;
        }
    }
    if (!s || t->n == t->cap) {
        free(s);
        t->failed = true;
        return;
    }
    t->cells[t->n++] = clean(s);
}

/* Columns that a text takes: its UTF-8 characters. */
static int width(const char *s) {
    int n = 0;
    for (; *s; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

void table_print(const table *t) {
    int widest[16] = {0};
    if (t->failed)
        out_of_memory();
    for (size_t i = 0; i < t->n; i++) {
        int w = width(t->cells[i]), c = (int)(i % (size_t)t->columns);
        widest[c] = w > widest[c] ? w : widest[c];
    }
    for (size_t i = 0; i < t->n; i++) {
        int c = (int)(i % (size_t)t->columns), pad = widest[c] - width(t->cells[i]);
        bool right = t->align[c] == 'r', last = c == t->columns - 1;
        printf("%s%*s%s%*s", c ? "  " : "", right ? pad : 0, "", t->cells[i], right || last ? 0 : pad, "");
        if (last)
            printf("\n");
    }
}

void table_free(table *t) {
    for (size_t i = 0; i < t->n; i++)
        free(t->cells[i]);
    free(t->cells);
    t->cells = NULL;
    t->n = t->cap = 0;
}

/* ---- JSON. */

/* Length of the UTF-8 character at s; 0 when it is none. */
static int utf8_char(const unsigned char *s) {
    int n = *s < 0x80                 ? 1
            : *s >= 0xc2 && *s < 0xe0 ? 2
            : *s >= 0xe0 && *s < 0xf0 ? 3
            : *s >= 0xf0 && *s < 0xf5 ? 4
                                      : 0;
    for (int i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((*s == 0xe0 && s[1] < 0xa0) || (*s == 0xed && s[1] >= 0xa0) || (*s == 0xf0 && s[1] < 0x90) ||
        (*s == 0xf4 && s[1] >= 0x90)) /* overlong, surrogates, beyond U+10FFFF */
        return 0;
    return n;
}

static cJSON *string(const char *text) {
    if (!text)
        return cJSON_CreateNull();
    char *out = malloc(strlen(text) * 3 + 1), *to = out;
    if (!out)
        return NULL;
    for (const unsigned char *s = (const unsigned char *)text; *s;) {
        int n = utf8_char(s);
        memcpy(to, n ? (const char *)s : "\xef\xbf\xbd", n ? (size_t)n : 3);
        to += n ? n : 3;
        s += n ? n : 1;
    }
    *to = 0;
    cJSON *j = cJSON_CreateString(out);
    free(out);
    return j;
}

void json_text(cJSON *o, const char *key, const char *text) {
    cJSON_AddItemToObject(o, key, string(text));
}
void json_number(cJSON *o, const char *key, double v) {
    cJSON_AddItemToObject(o, key, isfinite(v) ? cJSON_CreateNumber(v) : cJSON_CreateNull());
}
void json_bool(cJSON *o, const char *key, bool v) {
    cJSON_AddBoolToObject(o, key, v);
}
cJSON *json_array(cJSON *o, const char *key) {
    return cJSON_AddArrayToObject(o, key);
}
cJSON *json_object(cJSON *o, const char *key) {
    if (key)
        return cJSON_AddObjectToObject(o, key);
    cJSON *item = cJSON_CreateObject();
    cJSON_AddItemToArray(o, item);
    return item;
}
void json_append(cJSON *array, const char *text) {
    cJSON_AddItemToArray(array, string(text));
}

static bool json_printed;

int json_print(cJSON *o, int code) {
    char *text = o ? cJSON_Print(o) : NULL;
    cJSON_Delete(o);
    if (!text)
        return out_of_memory();
    printf("%s\n", text);
    json_printed = true;
    cJSON_free(text);
    return code;
}

int json_print_error(int code) {
    if (!code || json_printed)
        return code;
    cJSON *o = cJSON_CreateObject();
    json_text(o, "error", errors_said());
    json_number(o, "exit_code", code);
    return json_print(o, code);
}

/* ---- Progress. */
bool progress_on(void) {
    static int on = -1;
    if (on < 0)
        on = isatty(STDERR_FILENO) == 1;
    return on == 1;
}

void progress(const char *fmt, ...) {
    char text[512];
    if (!progress_on())
        return;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\r\033[K%s", clean(text));
    fflush(stderr);
    progress_shown = true;
}

void progress_clear(void) {
    if (!progress_shown)
        return;
    fprintf(stderr, "\r\033[K");
    progress_shown = false;
}

double now_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}
