/* SPDX-License-Identifier: Apache-2.0 */
#include "export/onnx/extra.h"

norn_status norni_extra_add(norn_value *v, norni_extra_field field, const norni_extra *bytes) {
    norni_str s = {0};
    norni_str_addn(&s, v->extra.data, v->extra.bytes);
    norni_wire_put_bytes(&s, field, bytes ? bytes->data : NULL, bytes ? bytes->bytes : 0);
    void *copy = s.failed ? NULL : norni_arena_dup(v->graph->arena, s.s, s.n);
    if (copy)
        v->extra = (norni_extra){copy, s.n};
    norni_str_free(&s);
    return copy ? NORN_OK : norni_nomem();
}

bool norni_extra_find(const norn_value *v, norni_extra_field field, norni_extra *bytes) {
    const uint8_t *p = v->extra.data;
    norni_wire_field f;
    if (bytes)
        *bytes = (norni_extra){0};
    while (p && norni_wire_next(&p, (const uint8_t *)v->extra.data + v->extra.bytes, &f))
        if (f.number == (uint32_t)field) {
            if (bytes)
                *bytes = (norni_extra){f.data, f.bytes};
            return true;
        }
    return false;
}
