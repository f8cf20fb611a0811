/* SPDX-License-Identifier: Apache-2.0 */
#include "export/onnx/proto.h"
#include <string.h>

typedef struct {
    norni_arena *arena;
    bool failed;
} source;

static void *take(void *ctx, size_t bytes) {
    source *s = ctx;
    void *p = norni_arena_alloc(s->arena, bytes);
    s->failed |= !p;
    return p;
}

static void leave(void *ctx, void *p) {
    (void)ctx;
    (void)p;
}

norn_status norni_pb_unpack(const ProtobufCMessageDescriptor *desc, norni_arena *arena, const void *data, size_t bytes,
                            void *out) {
    source s = {arena, false};
    ProtobufCAllocator a = {take, leave, &s};
    void *m = protobuf_c_message_unpack(desc, &a, bytes, data);
    memcpy(out, &m, sizeof m);
    if (s.failed)
        return norni_nomem();
    return m ? NORN_OK : norni_fail(NORN_PARSE, "not a %s that protobuf can read", desc->short_name);
}

norn_status norni_pb_pack(const void *message, norni_arena *arena, norni_extra *out) {
    size_t n = protobuf_c_message_get_packed_size(message);
    uint8_t *p = norni_arena_alloc(arena, n);
    *out = (norni_extra){0};
    if (!p)
        return norni_nomem();
    *out = (norni_extra){p, protobuf_c_message_pack(message, p)};
    return NORN_OK;
}

const char *norni_pb_domain(const char *s) { return s && strcmp(s, "ai.onnx") ? s : ""; }
