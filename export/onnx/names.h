/* SPDX-License-Identifier: Apache-2.0 */
/* A table from names to pointers or numbers. Names are lent. Its hash is seeded by an address, so that a file cannot be
 * made whose names all collide. */
#ifndef NORNI_NAMES_H
#define NORNI_NAMES_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    const char *name; /* NULL: free */
    void *p;
    size_t i;
} norni_name;

typedef struct {
    norni_name *slots;
    size_t n, cap;
} norni_table;

/* The entry of a name, NULL if there is none. Valid until the next add. */
norni_name *norni_table_find(const norni_table *t, const char *name);
/* The entry of a name, made when it is new (*fresh, which may be NULL); NULL when memory is out. */
norni_name *norni_table_add(norni_table *t, const char *name, bool *fresh);
void norni_table_free(norni_table *t);

#endif
