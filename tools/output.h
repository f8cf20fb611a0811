/* SPDX-License-Identifier: Apache-2.0 */
/* What verbs print: errors, tables, JSON, progress. */
#ifndef NORN_TOOLS_OUTPUT_H
#define NORN_TOOLS_OUTPUT_H
#include <cjson/cJSON.h>
#include <norn.h>

#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))

enum { EXIT_USAGE = 2 };

/* ---- Errors: "norn VERB: message" on stderr. Each returns the exit code. */
void speak_for(const char *verb);
int fail(norn_status s); /* with norn_error() */
int fail_text(norn_status s, const char *fmt, ...) PRINTF_LIKE(2, 3);
int usage_error(const char *fmt, ...) PRINTF_LIKE(1, 2);
int out_of_memory(void);
/* What these said since the last errors_forget, a line for each; "" for nothing. Valid until the next. */
const char *errors_said(void);
void errors_forget(void);
/* "norn VERB: note: message" on stderr: what a person should know and a program need not. */
void note(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* Flushes stdout; when that fails the exit code says so unless it already says something. */
int finish_output(int code);

/* ---- Text. */
/* Names come from files: control characters become '?', so that they cannot write over the terminal. Returns s. */
char *clean(char *s);
/* Newly allocated; NULL when memory is out. */
char *text_of(const char *fmt, ...) PRINTF_LIKE(1, 2);
char *text_copy(const char *s);
/* "1.5 GB", "12 MB", "640 B" into buf, which is returned; "25.6 M" for counts. */
const char *bytes_text(double bytes, char buf[32]);
const char *count_text(double n, char buf[32]);
/* "1.23 ms", "4.5 s", "2 min 5 s". */
const char *time_text(double seconds, char buf[32]);
/* The shortest decimal that reads back as the same float. */
const char *float_text(float v, char buf[32]);

/* ---- Tables: cells row by row, printed in aligned columns. */
typedef struct {
    int columns;
    const char *align; /* a letter for each column: l, r */
    char **cells;
    size_t n, cap;
    bool failed;
} table;
void table_cell(table *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
void table_print(const table *t);
void table_free(table *t);

/* ---- JSON. Texts that are not UTF-8 are made so. A failed allocation shows when printing. */
void json_text(cJSON *o, const char *key, const char *text); /* NULL: null */
void json_number(cJSON *o, const char *key, double v);       /* NaN, infinities: null */
void json_bool(cJSON *o, const char *key, bool v);
cJSON *json_array(cJSON *o, const char *key);
cJSON *json_object(cJSON *o, const char *key); /* key NULL: o is an array */
void json_append(cJSON *array, const char *text);
void json_peaks(cJSON *o, const norn_peaks *p);
/* Prints and frees; returns `code`, or that of an error. */
int json_print(cJSON *o, int code);
/* After an error, where nothing was printed by json_print: {"error": what was said, "exit_code": code}. Returns code. */
int json_print_error(int code);

/* ---- Progress: one line on stderr that is written over, only when that is a terminal. */
bool progress_on(void);
void progress(const char *fmt, ...) PRINTF_LIKE(1, 2);
void progress_clear(void);

double now_seconds(void);

#endif
