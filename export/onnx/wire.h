/* SPDX-License-Identifier: Apache-2.0 */
/* Protobuf's wire format: reading field by field, and writing. Source: the protocol buffers encoding documentation. */
#ifndef NORNI_WIRE_H
#define NORNI_WIRE_H
#include "base/str.h"

enum { NORNI_WIRE_VARINT = 0, NORNI_WIRE_I64 = 1, NORNI_WIRE_BYTES = 2, NORNI_WIRE_I32 = 5 };

/* Bytes that the varint at p takes (1 to 10), 0 when it does not end within `room` bytes. */
size_t norni_wire_varint(const uint8_t *p, size_t room, uint64_t *v);
size_t norni_wire_varint_bytes(uint64_t v);

typedef struct {
    uint32_t number; /* of the field */
    int type;
    uint64_t value;      /* VARINT */
    const uint8_t *data; /* content of BYTES, I32, I64 */
    size_t bytes;
    const uint8_t *start; /* of the field with its tag; it ends where the next one begins */
} norni_wire_field;
/* The field at *p, which moves behind it; false at the end and where the bytes are malformed. */
bool norni_wire_next(const uint8_t **p, const uint8_t *end, norni_wire_field *f);

/* Writing appends to a string builder, whose failure is checked once at the end. */
void norni_wire_put_varint(norni_str *out, uint64_t v);
void norni_wire_put_tag(norni_str *out, uint32_t number, int type);
void norni_wire_put_int(norni_str *out, uint32_t number, int64_t v);
void norni_wire_put_float(norni_str *out, uint32_t number, float v);
void norni_wire_put_bytes(norni_str *out, uint32_t number, const void *data, size_t bytes);
/* Nothing for NULL. */
void norni_wire_put_string(norni_str *out, uint32_t number, const char *s);
/* A message that was built on its own, which is emptied. */
void norni_wire_put_message(norni_str *out, uint32_t number, norni_str *message);

#endif
