/* SPDX-License-Identifier: Apache-2.0 */
#include "export/onnx/proto.h"
#include <string.h>

static void *from_arena(void *arena, size_t bytes) { return norni_arena_alloc(arena, bytes); }
static void to_arena(void *arena, void *p) {
    (void)arena;
    (void)p;
}

void *norni_pb_unpack(const ProtobufCMessageDescriptor *desc, norni_arena *arena, const void *data, size_t bytes) {
    ProtobufCAllocator a = {from_arena, to_arena, arena};
    return protobuf_c_message_unpack(desc, &a, bytes, data);
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
