/* SPDX-License-Identifier: Apache-2.0 */
#include "base/vec.h"
#include <stdint.h>

bool norni_vec_room(void **v, size_t n, size_t *cap, size_t elem_bytes) {
    if (n < *cap)
        return true;
    size_t want = *cap ? *cap * 2 : 8;
    if (want > SIZE_MAX / elem_bytes)
        return false;
    void *p = norni_realloc(*v, want * elem_bytes);
    if (!p)
        return false;
    *v = p;
    *cap = want;
    return true;
}
