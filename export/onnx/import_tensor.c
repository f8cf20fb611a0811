/* SPDX-License-Identifier: Apache-2.0 */
#include "export/onnx/tensor.h"
#include "export/onnx/wire.h"
#include <inttypes.h>
#include <string.h>

enum { FIELD_FLOAT = 4, FIELD_INT32 = 5, FIELD_STRING = 6, FIELD_INT64 = 7, FIELD_RAW = 9, FIELD_DOUBLE = 10, FIELD_UINT64 = 11 };
enum { F6E2M3 = 27, F6E3M2 = 28 }; /* element types that ONNX has and norn.h does not */

/* Where the data of one tensor are: little-endian bytes, or numbers. */
typedef struct {
    uint32_t field; /* 0: nowhere; FIELD_RAW also for external data */
    int found;      /* encodings that are there */
    norni_blob *source; /* bytes at `offset` of a file; NULL: at `bytes` */
    size_t offset;
    const uint8_t *bytes;
    size_t n;             /* bytes; of unpacked numbers their count */
    const void *unpacked; /* numbers that protobuf-c has unpacked */
} data_place;

static const char *field_name(uint32_t field) {
    switch (field) {
    case FIELD_FLOAT:
        return "float_data";
    case FIELD_INT32:
        return "int32_data";
    case FIELD_STRING:
        return "string_data";
    case FIELD_INT64:
        return "int64_data";
    case FIELD_DOUBLE:
        return "double_data";
    case FIELD_UINT64:
        return "uint64_data";
    default:
        return "raw_data";
    }
}

/* The typed field that elements of a type are kept in. */
static uint32_t typed_field(int dtype) {
    switch (dtype) {
    case NORN_F32:
    case NORN_C64:
        return FIELD_FLOAT;
    case NORN_F64:
    case NORN_C128:
        return FIELD_DOUBLE;
    case NORN_I64:
        return FIELD_INT64;
    case NORN_U32:
    case NORN_U64:
        return FIELD_UINT64;
    case NORN_STRING:
        return FIELD_STRING;
    default:
        return FIELD_INT32;
    }
}

bool norni_tensor_modelled(const norni_pb_tensor *t) {
    if (t->data_type == F6E2M3 || t->data_type == F6E3M2 || t->n_dims > NORN_MAX_RANK)
        return false;
    return !norni_dtype_valid(t->data_type) || norni_dtype_class((norn_dtype)t->data_type) != NORNI_CLASS_NONE;
}

/* ---- External data. */
static const char *external_key(const norni_pb_tensor *t, const char *key) {
    for (size_t i = 0; i < t->n_external_data; i++)
        if (!strcmp(norni_pb_text(t->external_data[i]->key), key))
            return norni_pb_text(t->external_data[i]->value);
    return NULL;
}

static norn_status external_number(const norni_pb_tensor *t, const char *key, uint64_t *out, bool *given) {
    const char *s = external_key(t, key);
    *given = s != NULL;
    *out = 0;
    if (!s)
        return NORN_OK;
    size_t n = strlen(s);
    if (!n || n > 18 || strspn(s, "0123456789") != n)
        return norni_fail(NORN_PARSE, "external data: %s is '%s' (wanted a number of bytes)", key, s);
    for (; *s; s++)
        *out = *out * 10 + (uint64_t)(*s - '0');
    return NORN_OK;
}

/* wanted: the bytes that the tensor has, SIZE_MAX when that is not known. */
static norn_status place_external(norni_tensor_reader *r, const norni_pb_tensor *t, size_t wanted, data_place *d) {
    const char *location = external_key(t, "location");
    uint64_t offset, length;
    bool has_offset, has_length;
    if (!location)
        return norni_fail(NORN_PARSE, "external data without a location");
    NORNI_TRY(external_number(t, "offset", &offset, &has_offset));
    NORNI_TRY(external_number(t, "length", &length, &has_length));
    if (wanted == SIZE_MAX && !has_length)
        return norni_fail(NORN_UNSUPPORTED, "external data of element type %d without a length", t->data_type);
    if (!has_length)
        length = wanted;
    if (wanted != SIZE_MAX && length != wanted)
        return norni_fail(NORN_SHAPE, "external data: length %" PRIu64 " (wanted %zu)", length, wanted);
    if (!r->externals)
        return norni_fail(NORN_ARG, "external data at '%s' (not allowed here)", location);
    norni_blob *s;
    NORNI_TRY(norni_externals_find(r->externals, location, &s));
    if (offset > s->bytes || length > s->bytes - offset)
        return norni_fail(NORN_PARSE, "external data: bytes %" PRIu64 " to %" PRIu64 " of '%s', which has %zu", offset,
                          offset + length, location, s->bytes);
    *d = (data_place){.field = FIELD_RAW, .found = 1, .source = s, .offset = (size_t)offset, .n = (size_t)length};
    return NORN_OK;
}

static void place(data_place *d, uint32_t field, size_t n, const void *unpacked) {
    if (!n)
        return;
    d->found++;
    d->field = field;
    d->n = n;
    d->source = NULL;
    d->unpacked = unpacked;
    d->bytes = NULL;
}

static norn_status find_data(norni_tensor_reader *r, const norni_pb_tensor *t, size_t wanted, data_place *d) {
    *d = (data_place){0};
    place(d, FIELD_FLOAT, t->n_float_data, t->float_data);
    place(d, FIELD_INT32, t->n_int32_data, t->int32_data);
    place(d, FIELD_STRING, t->n_string_data, t->string_data);
    place(d, FIELD_INT64, t->n_int64_data, t->int64_data);
    place(d, FIELD_DOUBLE, t->n_double_data, t->double_data);
    place(d, FIELD_UINT64, t->n_uint64_data, t->uint64_data);
    if (t->has_raw_data && t->raw_data.len) {
        place(d, FIELD_RAW, t->raw_data.len, NULL);
        d->bytes = t->raw_data.data;
    }
    for (size_t i = 0; i < t->n_payload; i++) {
        if (t->payload[i] >= r->scan->payloads.n)
            return norni_fail(NORN_INTERNAL, "payload %u of %zu", t->payload[i], r->scan->payloads.n);
        const norni_payload *p = &r->scan->payloads.v[t->payload[i]];
        place(d, p->number, p->bytes, NULL);
        d->source = r->source;
        d->offset = p->offset;
    }
    if (t->has_data_location && t->data_location == NORNI_ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL) {
        if (d->found)
            return norni_fail(NORN_PARSE, "external data and %s (wanted one of them)", field_name(d->field));
        NORNI_TRY(place_external(r, t, wanted, d));
    }
    if (d->found > 1)
        return norni_fail(NORN_PARSE, "data in %d pieces (wanted one field with all of them)", d->found);
    if (d->source)
        d->bytes = d->source->data + d->offset;
    /* Packed floating-point numbers are the bytes of raw data. */
    if (!d->unpacked && (d->field == FIELD_FLOAT || d->field == FIELD_DOUBLE) && d->field == typed_field(t->data_type))
        d->field = FIELD_RAW;
    return NORN_OK;
}

/* ---- Numbers. */
static size_t count_varints(const uint8_t *p, size_t bytes) {
    size_t n = 0;
    for (size_t i = 0; i < bytes; i++)
        n += !(p[i] & 0x80);
    return n;
}

/* Number i; those in the file are read one after the other through *at. */
static int64_t number_at(const data_place *d, size_t i, const uint8_t **at) {
    if (d->unpacked)
        return d->field == FIELD_INT32   ? ((const int32_t *)d->unpacked)[i]
               : d->field == FIELD_INT64 ? ((const int64_t *)d->unpacked)[i]
                                         : (int64_t)((const uint64_t *)d->unpacked)[i];
    uint64_t v = 0;
    *at += norni_wire_varint(*at, (size_t)(d->bytes + d->n - *at), &v);
    return d->field == FIELD_INT32 ? (int64_t)(int32_t)(uint32_t)v : (int64_t)v;
}

/* What int32_data may hold for an element (below one byte: for a byte of elements). Bit patterns of small floats are
 * written as unsigned numbers, by some exporters sign-extended. */
static void range_of(norn_dtype t, int64_t *lo, int64_t *hi) {
    int bits = norni_dtype_bits(t) < 8 ? 8 : norni_dtype_bits(t);
    norni_class c = norni_dtype_bits(t) < 8 ? NORNI_CLASS_FLOAT : norni_dtype_class(t);
    *lo = c == NORNI_CLASS_INT || c == NORNI_CLASS_FLOAT ? -((int64_t)1 << (bits - 1)) : 0;
    *hi = c == NORNI_CLASS_BOOL ? 1 : ((int64_t)1 << (c == NORNI_CLASS_INT ? bits - 1 : bits)) - 1;
}

static norn_status store_numbers(const data_place *d, norn_tensor *t, size_t count) {
    void *to = norni_tensor_data(t);
    const uint8_t *at = d->bytes;
    bool wide = d->field == FIELD_INT64 || t->dtype == NORN_U64;
    size_t size = norni_dtype_bits(t->dtype) < 8 ? 1 : (size_t)norni_dtype_bits(t->dtype) / 8;
    int64_t lo = 0, hi = 0;
    if (!wide)
        range_of(t->dtype, &lo, &hi);
    for (size_t i = 0; i < count; i++) {
        int64_t v = number_at(d, i, &at);
        if (!wide && (v < lo || v > hi))
            return norni_fail(NORN_PARSE, "%s[%zu] is %" PRId64 " (wanted %" PRId64 " to %" PRId64 " for %s)",
                              field_name(d->field), i, v, lo, hi, norni_dtype_name(t->dtype));
        if (size == 1)
            ((uint8_t *)to)[i] = (uint8_t)v;
        else if (size == 2)
            ((uint16_t *)to)[i] = (uint16_t)v;
        else if (size == 4)
            ((uint32_t *)to)[i] = (uint32_t)v;
        else
            ((uint64_t *)to)[i] = (uint64_t)v;
    }
    return NORN_OK;
}

/* ---- Tensors. */
static norn_status check_shape(norn_dtype dtype, size_t rank, const int64_t *dims, size_t *bytes) {
    if (rank > NORN_MAX_RANK)
        return norni_fail(NORN_UNSUPPORTED, "%zu dimensions (wanted at most %d)", rank, NORN_MAX_RANK);
    for (size_t i = 0; i < rank; i++)
        if (dims[i] < 0)
            return norni_fail(NORN_SHAPE, "size %" PRId64 " in dimension %zu (wanted at least 0)", dims[i], i);
    int64_t n = norni_elems((int)rank, dims);
    char text[128];
    *bytes = n < 0 ? SIZE_MAX : norni_dtype_bytes(dtype, n);
    if (*bytes > SIZE_MAX / 4)
        return norni_fail(NORN_SHAPE, "%s%s has more elements than can be counted", norni_dtype_name(dtype),
                          norni_shape_text((int)rank, dims, text));
    return NORN_OK;
}

static norn_status wrong_count(const norni_pb_tensor *t, const char *what, size_t got, size_t wanted) {
    char text[128];
    return norni_fail(NORN_SHAPE, "%zu %s (wanted %zu for %s%s)", got, what, wanted,
                      norni_dtype_name((norn_dtype)t->data_type), norni_shape_text((int)t->n_dims, t->dims, text));
}

norn_status norni_tensor_read(norni_tensor_reader *r, const norni_pb_tensor *t, norn_tensor **out) {
    *out = NULL;
    if (!norni_dtype_valid(t->data_type))
        return norni_fail(NORN_DTYPE, "element type %d (wanted 1 to %d)", t->data_type, NORN_I2);
    norn_dtype dtype = (norn_dtype)t->data_type;
    if (norni_dtype_class(dtype) == NORNI_CLASS_NONE)
        return norni_fail(NORN_UNSUPPORTED, "element type %s: norn has no storage for it", norni_dtype_name(dtype));
    if (t->segment)
        return norni_fail(NORN_UNSUPPORTED, "one segment of a tensor (wanted the whole)");
    size_t bytes;
    NORNI_TRY(check_shape(dtype, t->n_dims, t->dims, &bytes));
    int rank = (int)t->n_dims;
    data_place d;
    NORNI_TRY(find_data(r, t, bytes, &d));
    if (!d.found) {
        if (bytes)
            return wrong_count(t, "bytes of data", 0, bytes);
        return norni_tensor_host(dtype, rank, t->dims, out);
    }
    if (d.field != FIELD_RAW && d.field != typed_field(t->data_type))
        return norni_fail(NORN_PARSE, "elements of type %s in %s (wanted raw_data or %s)", norni_dtype_name(dtype),
                          field_name(d.field), field_name(typed_field(t->data_type)));
    if (d.field == FIELD_RAW) {
        if (d.n != bytes)
            return wrong_count(t, "bytes of data", d.n, bytes);
        norni_blob here = {.data = d.bytes, .bytes = d.n};
        atomic_init(&here.refs, 1);
        return d.source ? norni_blob_tensor(d.source, d.offset, dtype, rank, t->dims, out)
                        : norni_blob_tensor(&here, 0, dtype, rank, t->dims, out);
    }
    /* Numbers: elements, or below one byte bytes of elements. */
    size_t elems = (size_t)norni_elems(rank, t->dims), wanted = norni_dtype_bits(dtype) < 8 ? bytes : elems;
    size_t count = d.unpacked ? d.n : count_varints(d.bytes, d.n);
    if (count != wanted)
        return wrong_count(t, "elements", count, wanted);
    NORNI_TRY(norni_tensor_host(dtype, rank, t->dims, out));
    norn_status s = NORN_OK;
    if (d.field == FIELD_FLOAT || d.field == FIELD_DOUBLE)
        memcpy(norni_tensor_data(*out), d.unpacked, bytes);
    else
        s = store_numbers(&d, *out, count);
    if (s != NORN_OK) {
        norn_tensor_free(*out);
        *out = NULL;
    }
    return s;
}

/* ---- Sparse tensors. */
/* The flat index of the element that entry i of `indices` names. */
static norn_status sparse_at(const norn_tensor *indices, int64_t i, int rank, const int64_t *dims, int64_t *flat) {
    const int64_t *v = norni_tensor_data(indices);
    int64_t elems = norni_elems(rank, dims);
    if (indices->rank == 1) {
        *flat = v[i];
        if (*flat < 0 || *flat >= elems)
            return norni_fail(NORN_PARSE, "index %" PRId64 " (wanted 0 to %" PRId64 ")", *flat, elems - 1);
        return NORN_OK;
    }
    *flat = 0;
    for (int k = 0; k < rank; k++) {
        int64_t x = v[i * rank + k];
        if (x < 0 || x >= dims[k])
            return norni_fail(NORN_PARSE, "index %" PRId64 " in dimension %d (wanted 0 to %" PRId64 ")", x, k, dims[k] - 1);
        *flat = *flat * dims[k] + x;
    }
    return NORN_OK;
}

static norn_status fill_sparse(const norn_tensor *values, const norn_tensor *indices, norn_tensor *out) {
    int64_t n = norni_tensor_elems(values), last = -1;
    size_t size = (size_t)norni_dtype_bits(values->dtype) / 8;
    for (int64_t i = 0; i < n; i++) {
        int64_t flat;
        NORNI_TRY(sparse_at(indices, i, out->rank, out->dims, &flat));
        if (flat <= last)
            return norni_fail(NORN_PARSE, "its indices do not ascend");
        last = flat;
        if (size)
            memcpy((char *)norni_tensor_data(out) + (size_t)flat * size,
                   (const char *)norni_tensor_data(values) + (size_t)i * size, size);
        else
            norni_set_int(out->dtype, norni_tensor_data(out), flat,
                          norni_get_int(values->dtype, norni_tensor_data(values), i));
    }
    return NORN_OK;
}

norn_status norni_tensor_read_sparse(norni_tensor_reader *r, const norni_pb_sparse *t, norn_tensor **out) {
    *out = NULL;
    if (!t->values || !t->indices)
        return norni_fail(NORN_PARSE, "a sparse tensor without %s", t->values ? "indices" : "values");
    norn_tensor *values, *indices = NULL;
    NORNI_TRY(norni_prefix(norni_tensor_read(r, t->values, &values), "values"));
    norn_status s = norni_prefix(norni_tensor_read(r, t->indices, &indices), "indices");
    size_t bytes = 0;
    if (s == NORN_OK)
        s = check_shape(values->dtype, t->n_dims, t->dims, &bytes);
    int64_t n = norni_tensor_elems(values);
    if (s != NORN_OK)
        ;
    else if (values->rank != 1 || indices->dtype != NORN_I64 || indices->rank < 1 || indices->rank > 2 ||
             indices->dims[0] != n || (indices->rank == 2 && indices->dims[1] != (int64_t)t->n_dims)) {
        char a[128], b[128];
        s = norni_fail(NORN_SHAPE, "values %s%s, indices %s%s (wanted [n] and int64[n] or int64[n,%zu])",
                       norni_dtype_name(values->dtype), norni_shape_text(values->rank, values->dims, a),
                       norni_dtype_name(indices->dtype), norni_shape_text(indices->rank, indices->dims, b), t->n_dims);
    } else if (norni_dtype_class(values->dtype) == NORNI_CLASS_FLOAT && norni_dtype_bits(values->dtype) < 8)
        s = norni_fail(NORN_UNSUPPORTED, "a sparse tensor of %s", norni_dtype_name(values->dtype));
    else if (bytes > r->dense_left)
        s = norni_fail(NORN_UNSUPPORTED, "%zu bytes when filled in (norn's limit for sparse tensors: %" PRIu64 ")", bytes,
                       r->dense_left);
    else
        s = norni_tensor_host(values->dtype, (int)t->n_dims, t->dims, out);
    if (s == NORN_OK) {
        r->dense_left -= bytes;
        s = fill_sparse(values, indices, *out);
    }
    norn_tensor_free(values);
    norn_tensor_free(indices);
    if (s != NORN_OK) {
        norn_tensor_free(*out);
        *out = NULL;
    }
    return s;
}

/* ---- Restoring. */
static norn_status restore_tensor(norni_tensor_reader *r, norni_pb_tensor *t, norni_arena *arena) {
    bool external = t->has_data_location && t->data_location == NORNI_ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
    if (!t->n_payload && !external)
        return NORN_OK;
    data_place d;
    size_t bytes = SIZE_MAX;
    norni_extra raw;
    bool sized = norni_dtype_valid(t->data_type) && norni_dtype_bits((norn_dtype)t->data_type);
    if (sized && t->n_dims <= NORN_MAX_RANK)
        NORNI_TRY(check_shape((norn_dtype)t->data_type, t->n_dims, t->dims, &bytes));
    NORNI_TRY(find_data(r, t, bytes, &d));
    if (d.field == FIELD_RAW) {
        raw = (norni_extra){d.bytes, d.n};
    } else {
        norn_tensor *read;
        NORNI_TRY(norni_tensor_read(r, t, &read));
        raw = (norni_extra){norni_arena_dup(arena, norni_tensor_data(read), bytes), bytes};
        norn_tensor_free(read);
        if (!raw.data)
            return norni_nomem();
    }
    t->n_float_data = t->n_int32_data = t->n_int64_data = t->n_double_data = t->n_uint64_data = 0;
    t->n_payload = t->n_external_data = 0;
    t->has_data_location = 0;
    t->has_raw_data = 1;
    t->raw_data = (ProtobufCBinaryData){raw.bytes, (uint8_t *)raw.data};
    return NORN_OK;
}

norn_status norni_tensor_restore(norni_tensor_reader *r, ProtobufCMessage *m, norni_arena *arena) {
    if (m->descriptor == &norni_onnx__tensor_proto__descriptor)
        return norni_prefix(restore_tensor(r, (norni_pb_tensor *)m, arena), "tensor '%s'",
                            norni_pb_text(((norni_pb_tensor *)m)->name));
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        if (f->type != PROTOBUF_C_TYPE_MESSAGE)
            continue;
        char *at = (char *)m + f->offset;
        if (f->label == PROTOBUF_C_LABEL_REPEATED) {
            size_t n = *(size_t *)((char *)m + f->quantifier_offset);
            ProtobufCMessage **v = *(ProtobufCMessage ***)at;
            for (size_t k = 0; k < n; k++)
                NORNI_TRY(norni_tensor_restore(r, v[k], arena));
            continue;
        }
        if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF && *(uint32_t *)((char *)m + f->quantifier_offset) != f->id)
            continue;
        ProtobufCMessage *sub = *(ProtobufCMessage **)at;
        if (sub)
            NORNI_TRY(norni_tensor_restore(r, sub, arena));
    }
    return NORN_OK;
}
