/* SPDX-License-Identifier: Apache-2.0 */
/* Files, directories and paths. Messages begin with the path and end with the system's reason.
 * Reading wants a regular file: a directory, a pipe or a device is refused, so that nothing waits for ever.
 */
#ifndef NORNI_FILE_H
#define NORNI_FILE_H
#include "base/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* NORN_IO with "path: what: text of errno". */
norn_status norni_fail_errno(const char *path, const char *what);

/* Opens a regular file for reading; *bytes is its size. The descriptor is the caller's. */
norn_status norni_file_open(const char *path, int *fd, uint64_t *bytes);
/* Exactly `bytes` bytes from a descriptor; NORN_IO when the file ends before. Its message does not name the
 * file. */
norn_status norni_fd_read(int fd, void *data, size_t bytes);

/* A file mapped read-only. Should another program shorten the file meanwhile, touching the lost part kills
 * this process (SIGBUS): for files that are written by renaming, as norn's own are. */
typedef struct {
    const unsigned char *data; /* never NULL while open, also when the file is empty */
    size_t bytes;
} norni_map;
norn_status norni_map_open(const char *path, norni_map *m);
void norni_map_close(norni_map *m); /* closing twice is fine */
/* Bytes of a map that are not needed for a while need no memory: they are read again when touched. */
void norni_map_forget(const void *data, size_t bytes);

/* A whole file of at most `max_bytes`, followed by a zero byte that *bytes does not count; freed by
 * norni_free. */
norn_status norni_file_read(const char *path, size_t max_bytes, unsigned char **data, size_t *bytes);

/* Writes the pieces one after the other. The file appears whole or not at all: they go to a new file in the
 * same directory, which is renamed; after a failure that file is gone and an old one untouched. A symbolic
 * link is followed. A device or pipe is written directly. */
typedef struct {
    const void *data;
    size_t bytes;
} norni_piece;
norn_status norni_file_write(const char *path, const norni_piece *pieces, size_t n);
/* For libraries that write and rename themselves: the path with symbolic links followed, freed by norni_free;
 * NORN_IO when something other than a regular file is there. */
norn_status norni_file_target(const char *path, char **target);

bool norni_path_exists(const char *path);
bool norni_path_is_dir(const char *path);

/* The entries of a directory except those that begin with a dot, in natural order. */
typedef struct {
    char **v;
    size_t n, cap;
} norni_names;
norn_status norni_dir_list(const char *path, norni_names *names);
void norni_names_free(norni_names *names);
/* Runs of digits compare as numbers: "2.png" < "10.png"; a total order. */
int norni_natural_compare(const char *a, const char *b);

/* Freed by norni_free; NULL when memory is out. An absolute `name` is not treated specially. */
char *norni_path_join(const char *dir, const char *name);
/* The directory of a path, "." if it names none; freed by norni_free. */
char *norni_path_dir(const char *path);
/* The part behind the last slash, and its extension with the dot, "" if none; both point into `path`. */
const char *norni_path_base(const char *path);
const char *norni_path_ext(const char *path);
/* Whether the path ends in `ext` (".png"), in any case. */
bool norni_path_has_ext(const char *path, const char *ext);

#endif
