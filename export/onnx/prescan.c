/* SPDX-License-Identifier: Apache-2.0 */
#include "export/onnx/prescan.h"
#include "export/onnx/wire.h"
#include "onnx.pb-c.h"
#include <stdlib.h>
#include <string.h>

/* Sizes of protobuf-c's bookkeeping, rounded up: a slot of the table it keeps while it parses a message (the table
 * grows by doubling), an entry for an unknown field, and what an allocation loses to alignment. */
enum { SLOT_BYTES = 64, UNKNOWN_BYTES = 48, ALIGN_BYTES = 16 };

/* A message that is being scanned. */
typedef struct {
    const ProtobufCMessageDescriptor *desc;
    const ProtobufCFieldDescriptor *via; /* the field that holds it; NULL for the outermost */
    size_t index;                        /* which of its like it is */
    size_t start, end;
    size_t length_at;                   /* where its length stands */
    size_t removed;                     /* bytes that the slimmed copy lacks */
    const ProtobufCFieldDescriptor *last; /* the field before, and how many of it came in a row */
    size_t last_count;
} frame;

/* A place where the slimmed copy differs: bytes from `at` to `end` become a length, or a reference to a payload. */
typedef struct {
    size_t at, end;
    uint64_t value;
    bool payload;
} edit;

typedef struct {
    const uint8_t *data;
    size_t pos;
    uint64_t limit;
    norni_prescan *out;
    NORNI_VEC(edit) edits;
    int depth;
    frame stack[NORNI_PRESCAN_DEPTH];
} scanner;

uint64_t norni_prescan_limit(size_t file_bytes, uint64_t most) {
    uint64_t fair = (uint64_t)file_bytes < UINT64_MAX / 128 ? (64u << 20) + (uint64_t)file_bytes * 64 : UINT64_MAX;
    most = most ? most : (uint64_t)4 << 30;
    return fair < most ? fair : most;
}

/* "byte 812: graph.node[3].attribute: " before the message; the middle of a long path is left out. */
static norn_status at_place(const scanner *s, const ProtobufCFieldDescriptor *field, norn_status code) {
    enum { HEAD = 4, TAIL = 4 };
    norni_str path = {0};
    for (int i = 1; i < s->depth; i++) {
        const frame *f = &s->stack[i];
        if (i == HEAD && s->depth > HEAD + TAIL) {
            norni_str_add(&path, ".[...]");
            i = s->depth - TAIL;
            continue;
        }
        norni_str_addf(&path, "%s%s", path.n ? "." : "", f->via->name);
        if (f->via->label == PROTOBUF_C_LABEL_REPEATED)
            norni_str_addf(&path, "[%zu]", f->index);
    }
    if (field)
        norni_str_addf(&path, "%s%s", path.n ? "." : "", field->name);
    code = path.n ? norni_prefix(code, "byte %zu: %s", s->pos, path.s) : norni_prefix(code, "byte %zu", s->pos);
    norni_str_free(&path);
    return code;
}

static norn_status charge(scanner *s, const ProtobufCFieldDescriptor *field, uint64_t bytes) {
    s->out->unpacked_bytes += bytes;
    if (s->out->unpacked_bytes > s->limit)
        return at_place(s, field,
                        norni_fail(NORN_NOMEM, "the file's structures need more than %llu bytes (its limit)",
                                   (unsigned long long)s->limit));
    return NORN_OK;
}

static int wire_type_of(const ProtobufCFieldDescriptor *f) {
    switch (f->type) {
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
        return NORNI_WIRE_I32;
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return NORNI_WIRE_I64;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        return NORNI_WIRE_BYTES;
    default:
        return NORNI_WIRE_VARINT;
    }
}

static const char *wire_name(int type) {
    static const char *const names[] = {"a varint", "8 bytes", "a length and bytes", "a group", "the end of a group",
                                        "4 bytes"};
    return type < 6 ? names[type] : "no such wire type";
}

/* Numbers packed into one field: *n of them. */
static norn_status scan_packed(scanner *s, const ProtobufCFieldDescriptor *f, size_t bytes, size_t *n) {
    int type = wire_type_of(f);
    const uint8_t *p = s->data + s->pos;
    *n = 0;
    if (type != NORNI_WIRE_VARINT) {
        size_t size = type == NORNI_WIRE_I32 ? 4 : 8;
        *n = bytes / size;
        if (bytes % size)
            return at_place(s, f, norni_fail(NORN_PARSE, "%zu bytes (wanted a multiple of %zu)", bytes, size));
        return NORN_OK;
    }
    size_t run = 0; /* bytes of the number so far */
    for (size_t i = 0; i < bytes; i++) {
        if (++run > 10)
            return at_place(s, f, norni_fail(NORN_PARSE, "a number of more than 10 bytes"));
        if (!(p[i] & 0x80)) {
            run = 0;
            ++*n;
        }
    }
    if (run)
        return at_place(s, f, norni_fail(NORN_PARSE, "the last number is cut off"));
    return NORN_OK;
}

static bool is_tensor_data(const frame *f, const ProtobufCFieldDescriptor *field) {
    return f->desc == &norni_onnx__tensor_proto__descriptor &&
           (field->id == 4 || field->id == 5 || field->id == 7 || field->id == 9 || field->id == 10 || field->id == 11);
}

/* Takes the data out of the slimmed copy. tag_at: where the field begins. */
static norn_status cut(scanner *s, const ProtobufCFieldDescriptor *field, size_t tag_at, size_t bytes) {
    norni_prescan *out = s->out;
    edit e = {.at = tag_at, .end = s->pos + bytes, .value = out->payloads.n, .payload = true};
    norni_payload p = {field->id, s->pos, bytes};
    if (out->payloads.n >= UINT32_MAX || !NORNI_PUSH(&out->payloads, p) || !NORNI_PUSH(&s->edits, e))
        return norni_nomem();
    size_t reference = norni_wire_varint_bytes((uint64_t)NORNI_PRESCAN_RESERVED << 3) + norni_wire_varint_bytes(e.value);
    s->stack[s->depth - 1].removed += e.end - e.at - reference;
    return charge(s, field, SLOT_BYTES + sizeof(uint32_t));
}

static norn_status push(scanner *s, const ProtobufCFieldDescriptor *field, size_t length_at, size_t bytes) {
    frame *parent = &s->stack[s->depth - 1];
    if (s->depth == NORNI_PRESCAN_DEPTH)
        return at_place(s, field,
                        norni_fail(NORN_PARSE, "messages nest deeper than %d (norn's limit)", NORNI_PRESCAN_DEPTH));
    const ProtobufCMessageDescriptor *desc = field->descriptor;
    s->stack[s->depth++] = (frame){.desc = desc,
                                   .via = field,
                                   .index = parent->last_count - 1,
                                   .start = s->pos,
                                   .end = s->pos + bytes,
                                   .length_at = length_at};
    s->out->messages++;
    return charge(s, NULL, SLOT_BYTES + desc->sizeof_message + ALIGN_BYTES + sizeof(void *));
}

/* A message ends: when it shrank, its length changes, and so does that of the message around it. */
static norn_status pop(scanner *s) {
    frame *f = &s->stack[--s->depth];
    if (s->depth == 0)
        return NORN_OK;
    size_t header = f->start - f->length_at;
    uint64_t bytes = f->end - f->start - f->removed;
    size_t wanted = norni_wire_varint_bytes(bytes);
    if (!f->removed && wanted == header)
        return NORN_OK;
    edit e = {.at = f->length_at, .end = f->start, .value = bytes};
    s->stack[s->depth - 1].removed += f->removed + header - wanted;
    return NORNI_PUSH(&s->edits, e) ? NORN_OK : norni_nomem();
}

static norn_status scan_bytes(scanner *s, const ProtobufCFieldDescriptor *field, size_t tag_at) {
    frame *f = &s->stack[s->depth - 1];
    uint64_t bytes;
    size_t length_at = s->pos, n = norni_wire_varint(s->data + s->pos, f->end - s->pos, &bytes);
    if (!n)
        return at_place(s, field, norni_fail(NORN_PARSE, "the length is cut off or longer than 10 bytes"));
    s->pos += n;
    if (bytes > f->end - s->pos)
        return at_place(s, field,
                        norni_fail(NORN_PARSE, "length %llu runs past the end of the %s (wanted at most %zu)",
                                   (unsigned long long)bytes, s->depth == 1 ? "file" : "message around it",
                                   f->end - s->pos));
    size_t size = (size_t)bytes, count;
    if (field && field->type == PROTOBUF_C_TYPE_MESSAGE)
        return push(s, field, length_at, size);
    if (!field) {
        NORNI_TRY(charge(s, field, SLOT_BYTES + UNKNOWN_BYTES + ALIGN_BYTES + bytes));
    } else if (field->type == PROTOBUF_C_TYPE_STRING || field->type == PROTOBUF_C_TYPE_BYTES) {
        if (field->type == PROTOBUF_C_TYPE_STRING && memchr(s->data + s->pos, 0, size))
            return at_place(s, field, norni_fail(NORN_PARSE, "text with a zero byte in it"));
        if (is_tensor_data(f, field) && size >= NORNI_PRESCAN_SMALL)
            NORNI_TRY(cut(s, field, tag_at, size));
        else
            NORNI_TRY(charge(s, field, SLOT_BYTES + sizeof(ProtobufCBinaryData) + ALIGN_BYTES + 1 + bytes));
    } else {
        NORNI_TRY(scan_packed(s, field, size, &count));
        if (is_tensor_data(f, field) && size >= NORNI_PRESCAN_SMALL)
            NORNI_TRY(cut(s, field, tag_at, size));
        else
            NORNI_TRY(charge(s, field, SLOT_BYTES + ALIGN_BYTES + (uint64_t)count * sizeof(uint64_t)));
    }
    s->pos += size;
    return NORN_OK;
}

/* One field of the innermost message. */
static norn_status scan_field(scanner *s) {
    frame *f = &s->stack[s->depth - 1];
    size_t tag_at = s->pos;
    uint64_t tag, v;
    size_t n = norni_wire_varint(s->data + s->pos, f->end - s->pos, &tag);
    if (!n || n > 5 || tag > UINT32_MAX)
        return at_place(s, NULL, norni_fail(NORN_PARSE, "the tag of a field is cut off or too long"));
    uint32_t number = (uint32_t)(tag >> 3);
    int type = (int)(tag & 7);
    if (number == 0 || number == NORNI_PRESCAN_RESERVED)
        return at_place(s, NULL, norni_fail(NORN_PARSE, "field number %u (wanted 1 to %d)", number,
                                            NORNI_PRESCAN_RESERVED - 1));
    const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field(f->desc, number);
    int wanted = field ? wire_type_of(field) : type;
    bool packable = field && field->label == PROTOBUF_C_LABEL_REPEATED && wanted != NORNI_WIRE_BYTES;
    if (type == 3 || type == 4 || type > 5 || (type != wanted && !(packable && type == NORNI_WIRE_BYTES)))
        return at_place(s, field, norni_fail(NORN_PARSE, "field %u is %s (wanted %s)", number, wire_name(type),
                                             field ? wire_name(wanted) : "a varint, bytes, or 4 or 8 bytes"));
    s->pos += n;
    s->out->fields++;
    f->last_count = field && field == f->last ? f->last_count + 1 : 1;
    f->last = field;
    if (type == NORNI_WIRE_BYTES)
        return scan_bytes(s, field, tag_at);
    n = type == NORNI_WIRE_I32 ? 4 : 8;
    if (type == NORNI_WIRE_VARINT) {
        n = norni_wire_varint(s->data + s->pos, f->end - s->pos, &v);
        if (!n)
            return at_place(s, field, norni_fail(NORN_PARSE, "a number is cut off or longer than 10 bytes"));
    } else if (n > f->end - s->pos)
        return at_place(s, field, norni_fail(NORN_PARSE, "%zu bytes are left (wanted %zu)", f->end - s->pos, n));
    s->pos += n;
    return charge(s, field, SLOT_BYTES + (field ? sizeof(uint64_t) : UNKNOWN_BYTES + ALIGN_BYTES + n));
}

static int by_place(const void *a, const void *b) {
    const edit *x = a, *y = b;
    return x->at < y->at ? -1 : x->at > y->at;
}

/* The slimmed copy: the file with its edits. */
static norn_status write_slim(scanner *s, size_t bytes) {
    norni_prescan *out = s->out;
    norni_str b = {0};
    size_t from = 0;
    if (s->edits.n)
        qsort(s->edits.v, s->edits.n, sizeof *s->edits.v, by_place);
    for (size_t i = 0; i < s->edits.n; i++) {
        const edit *e = &s->edits.v[i];
        norni_str_addn(&b, (const char *)s->data + from, e->at - from);
        if (e->payload)
            norni_wire_put_tag(&b, NORNI_PRESCAN_RESERVED, NORNI_WIRE_VARINT);
        norni_wire_put_varint(&b, e->value);
        from = e->end;
    }
    norni_str_addn(&b, (const char *)s->data + from, bytes - from);
    out->slim_bytes = b.n;
    out->slim = (uint8_t *)norni_str_take(&b);
    if (!out->slim)
        return norni_nomem();
    if (out->slim_bytes > INT32_MAX)
        return norni_fail(NORN_PARSE, "%zu bytes without the data of tensors (wanted at most %d)", out->slim_bytes,
                          INT32_MAX);
    return NORN_OK;
}

norn_status norni_prescan_run(const uint8_t *data, size_t bytes, const ProtobufCMessageDescriptor *root, uint64_t limit,
                              norni_prescan *out) {
    *out = (norni_prescan){0};
    scanner *s = norni_alloc(sizeof *s);
    if (!s)
        return norni_nomem();
    s->data = data;
    s->limit = limit;
    s->out = out;
    s->stack[s->depth++] = (frame){.desc = root, .end = bytes};
    out->messages = 1;
    norn_status st = charge(s, NULL, root->sizeof_message + ALIGN_BYTES);
    while (st == NORN_OK && s->depth > 0)
        st = s->pos == s->stack[s->depth - 1].end ? pop(s) : scan_field(s);
    if (st == NORN_OK)
        st = write_slim(s, bytes);
    norni_vec_free(&s->edits);
    norni_free(s);
    if (st != NORN_OK)
        norni_prescan_free(out);
    return st;
}

void norni_prescan_free(norni_prescan *s) {
    norni_free(s->slim);
    norni_vec_free(&s->payloads);
    *s = (norni_prescan){0};
}
