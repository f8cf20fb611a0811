/* SPDX-License-Identifier: Apache-2.0 */
#include "export/onnx/wire.h"
#include <string.h>

size_t norni_wire_varint(const uint8_t *p, size_t room, uint64_t *v) {
    uint64_t x = 0;
    for (size_t i = 0; i < room && i < 10; i++) {
        x |= (uint64_t)(p[i] & 0x7f) << (7 * i);
        if (!(p[i] & 0x80)) {
            *v = x;
            return i + 1;
        }
    }
    return 0;
}

size_t norni_wire_varint_bytes(uint64_t v) {
    size_t n = 1;
    while (v >>= 7)
        n++;
    return n;
}

bool norni_wire_next(const uint8_t **p, const uint8_t *end, norni_wire_field *f) {
    const uint8_t *at = *p;
    uint64_t tag, bytes = 0;
    size_t n = norni_wire_varint(at, (size_t)(end - at), &tag);
    if (!n || tag > UINT32_MAX || !(tag >> 3))
        return false;
    *f = (norni_wire_field){.number = (uint32_t)(tag >> 3), .type = (int)(tag & 7), .start = at};
    at += n;
    switch (f->type) {
    case NORNI_WIRE_VARINT:
        n = norni_wire_varint(at, (size_t)(end - at), &f->value);
        if (!n)
            return false;
        at += n;
        break;
    case NORNI_WIRE_BYTES:
        n = norni_wire_varint(at, (size_t)(end - at), &bytes);
        if (!n)
            return false;
        at += n;
        break;
    case NORNI_WIRE_I32:
        bytes = 4;
        break;
    case NORNI_WIRE_I64:
        bytes = 8;
        break;
    default:
        return false;
    }
    if (bytes > (uint64_t)(end - at))
        return false;
    f->data = at;
    f->bytes = (size_t)bytes;
    *p = at + bytes;
    return true;
}

void norni_wire_put_varint(norni_str *out, uint64_t v) {
    char b[10];
    size_t n = 0;
    for (; v >= 0x80; v >>= 7)
        b[n++] = (char)(uint8_t)(v | 0x80);
    b[n++] = (char)(uint8_t)v;
    norni_str_addn(out, b, n);
}

void norni_wire_put_tag(norni_str *out, uint32_t number, int type) {
    norni_wire_put_varint(out, (uint64_t)number << 3 | (unsigned)type);
}

void norni_wire_put_int(norni_str *out, uint32_t number, int64_t v) {
    norni_wire_put_tag(out, number, NORNI_WIRE_VARINT);
    norni_wire_put_varint(out, (uint64_t)v);
}

void norni_wire_put_float(norni_str *out, uint32_t number, float v) {
    uint32_t bits;
    char b[4];
    memcpy(&bits, &v, sizeof bits);
    for (int i = 0; i < 4; i++)
        b[i] = (char)(uint8_t)(bits >> (8 * i));
    norni_wire_put_tag(out, number, NORNI_WIRE_I32);
    norni_str_addn(out, b, sizeof b);
}

void norni_wire_put_bytes(norni_str *out, uint32_t number, const void *data, size_t bytes) {
    norni_wire_put_tag(out, number, NORNI_WIRE_BYTES);
    norni_wire_put_varint(out, bytes);
    norni_str_addn(out, data, bytes);
}

void norni_wire_put_string(norni_str *out, uint32_t number, const char *s) {
    if (s)
        norni_wire_put_bytes(out, number, s, strlen(s));
}

void norni_wire_put_message(norni_str *out, uint32_t number, norni_str *message) {
    norni_wire_put_bytes(out, number, message->s, message->n);
    out->failed |= message->failed;
    norni_str_free(message);
}
