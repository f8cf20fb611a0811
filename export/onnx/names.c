/* SPDX-License-Identifier: Apache-2.0 */
#include "export/onnx/names.h"
#include "base/alloc.h"
#include "base/hash.h"

static norni_name *slot(const norni_name *slots, size_t cap, const char *name) {
    static const char seed;
    uint64_t h = norni_hash_str((uint64_t)(uintptr_t)&seed, name);
    for (size_t i = (size_t)h;; i++) {
        const norni_name *s = &slots[i & (cap - 1)];
        if (!s->name || !strcmp(s->name, name))
            return (norni_name *)s;
    }
}

norni_name *norni_table_find(const norni_table *t, const char *name) {
    norni_name *s = t->cap ? slot(t->slots, t->cap, name) : NULL;
    return s && s->name ? s : NULL;
}

norni_name *norni_table_add(norni_table *t, const char *name, bool *fresh) {
    if (t->n * 2 >= t->cap) {
        size_t cap = t->cap ? t->cap * 2 : 32;
        norni_name *slots = norni_alloc_array(cap, sizeof *slots);
        if (!slots)
            return NULL;
        for (size_t i = 0; i < t->cap; i++)
            if (t->slots[i].name)
                *slot(slots, cap, t->slots[i].name) = t->slots[i];
        norni_free(t->slots);
        t->slots = slots;
        t->cap = cap;
    }
    norni_name *s = slot(t->slots, t->cap, name);
    if (fresh)
        *fresh = !s->name;
    if (!s->name) {
        s->name = name;
        t->n++;
    }
    return s;
}

void norni_table_free(norni_table *t) {
    norni_free(t->slots);
    *t = (norni_table){0};
}
