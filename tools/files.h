/* SPDX-License-Identifier: Apache-2.0 */
/* Paths and folders. */
#ifndef NORN_TOOLS_FILES_H
#define NORN_TOOLS_FILES_H
#include <norn.h>
#include <stdio.h>

typedef struct {
    size_t n;
    char **v;
} name_list;

void names_free(name_list *l);
bool names_add(name_list *l, const char *name); /* false: out of memory */
bool names_have(const name_list *l, const char *name);

bool is_file(const char *path);
bool is_folder(const char *path);
char *path_join(const char *folder, const char *name); /* NULL: out of memory */
/* The entries of a folder but those that begin with a dot, 2 before 10. Returns false, with errno, when it cannot be
 * read. */
bool folder_list(const char *path, name_list *out);
int natural_order(const char *a, const char *b);
/* Makes a folder and those above it that are missing; false, with errno, when that fails. */
bool folder_make(const char *path);
/* A whole text file of at most `limit` bytes; NULL, with errno, when it cannot be read. */
char *file_text(const char *path, size_t limit);
/* A name from a model as a file name: no slashes, control characters, leading dots; at most 200 bytes; unlike those in
 * `taken`, to which it is added. NULL: out of memory. */
const char *safe_name(const char *name, name_list *taken);

#endif
