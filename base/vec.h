/* SPDX-License-Identifier: Apache-2.0 */
/* A growable array: `NORNI_VEC(int) v = {0};  NORNI_PUSH(&v, 3);  v.v[i], v.n;  norni_vec_free(&v)`. */
#ifndef NORNI_VEC_H
#define NORNI_VEC_H
#include "base/alloc.h"
#include <stdbool.h>
#include <stddef.h>

#define NORNI_VEC(T)                                                                                         \
    struct {                                                                                                 \
        T *v;                                                                                                \
        size_t n, cap;                                                                                       \
    }

/* Appends x; false when memory is out (the array is unchanged then). */
#define NORNI_PUSH(vec, x)                                                                                   \
    (norni_vec_room((void **)&(vec)->v, (vec)->n, &(vec)->cap, sizeof *(vec)->v)                             \
         ? ((vec)->v[(vec)->n++] = (x), true)                                                                \
         : false)

/* Frees the array itself and leaves it empty. */
#define norni_vec_free(vec) (norni_free((vec)->v), (vec)->v = NULL, (vec)->n = (vec)->cap = 0)

bool norni_vec_room(void **v, size_t n, size_t *cap, size_t elem_bytes);

#endif
