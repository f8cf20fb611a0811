/* SPDX-License-Identifier: Apache-2.0 */
/* The declarations of OpenCL C's built-in functions that a program needs, instead of all of them. */
#ifndef NORNI_WORKER_DECLARATIONS_H
#define NORNI_WORKER_DECLARATIONS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct {
    const char *text;
    size_t bytes;
    const char *name; /* of the function that is declared; NULL: something else, which always stays */
    size_t name_bytes,
        stem_bytes; /* the stem of `vstore_half16_rte` is `vstore_half`, what follows its digits `_rte` */
} norni_declaration;

typedef struct {
    char *text; /* of the header */
    char before[1300];
    norni_declaration *v;
    size_t n;
} norni_declarations;

/* Reads the header that PoCL puts before programs; false where there is none to be found. */
bool norni_declarations_read(norni_declarations *d);
/* The source with what it needs of the header before it, to be built with NORNI_DECLARED among the options; NULL when memory
 * is out. To be freed. */
char *norni_declarations_before(const norni_declarations *d, const char *source);
/* Keeps PoCL's own inclusion of the header away: the macro by which the header knows that it was read. */
#define NORNI_DECLARED " -D_OPENCL_H_"

#endif
