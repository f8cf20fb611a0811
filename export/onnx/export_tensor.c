/* SPDX-License-Identifier: Apache-2.0 */
/* Tensors and types to TensorProto and TypeProto. */
#include "base/bytes.h"
#include "export/onnx/export.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

norn_status norni_pieces_add(norni_pieces *p, const void *data, size_t bytes) {
    p->bytes += bytes;
    return !bytes || NORNI_PUSH(&p->v, ((norni_piece){data, bytes})) ? NORN_OK : norni_nomem();
}

norn_status norni_pieces_text(norni_exporter *x, norni_pieces *p, norni_str *text) {
    const void *copy = text->failed ? NULL : norni_arena_dup(x->arena, text->s, text->n);
    norn_status s = copy ? norni_pieces_add(p, copy, text->n) : norni_nomem();
    norni_str_free(text);
    return s;
}

norn_status norni_export_packed(const norn_tensor *t, norn_tensor **out) {
    size_t size = (size_t)norni_dtype_bits(t->dtype) / 8;
    bool swap = norni_host_is_big_endian() && size > 1;
    *out = NULL;
    if (!norni_tensor_is_host(t))
        return norni_fail(NORN_ARG, "the tensor is on a device (wanted one in host memory)");
    if (norni_tensor_contiguous(t) && !swap)
        return (*out = norni_tensor_ref(t)) ? NORN_OK : norni_nomem();
    NORNI_TRY(norni_tensor_pack(t, out));
    if (swap)
        norni_swap_bytes(norni_tensor_data(*out), norni_tensor_bytes(*out) / size, size);
    return NORN_OK;
}

/* The fields before the data, and for external data in their place. */
static void tensor_head(norni_str *out, const char *name, const norn_tensor *t) {
    for (int i = 0; i < t->rank; i++)
        norni_wire_put_int(out, 1, t->dims[i]);
    norni_wire_put_int(out, 2, (int64_t)t->dtype);
    norni_wire_put_string(out, 8, name);
}

static void put_entry(norni_str *out, uint32_t field, const char *key, const char *value) {
    norni_str entry = {0};
    norni_wire_put_string(&entry, 1, key);
    norni_wire_put_string(&entry, 2, value);
    norni_wire_put_message(out, field, &entry);
}

static void external_fields(norni_str *out, const norni_external_place *e, size_t bytes) {
    char number[24];
    put_entry(out, 13, "location", e->location);
    snprintf(number, sizeof number, "%" PRIu64, e->offset);
    put_entry(out, 13, "offset", number);
    snprintf(number, sizeof number, "%zu", bytes);
    put_entry(out, 13, "length", number);
    norni_wire_put_int(out, 14, NORNI_ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL);
}

norn_status norni_export_tensor(norni_exporter *x, norni_pieces *out, uint32_t field, const char *name,
                                const norn_tensor *t, const norni_external_place *external,
                                const norni_extra *kept) {
    size_t bytes = norni_tensor_bytes(t), rest = kept ? kept->bytes : 0;
    norni_str body = {0}, head = {0};
    tensor_head(&body, name, t);
    if (external)
        external_fields(&body, external, bytes);
    else {
        norni_wire_put_tag(&body, 9, NORNI_WIRE_BYTES);
        norni_wire_put_varint(&body, bytes);
    }
    size_t inside = external ? 0 : bytes;
    if (field) {
        norni_wire_put_tag(&head, field, NORNI_WIRE_BYTES);
        norni_wire_put_varint(&head, body.n + inside + rest);
    }
    norni_str_addn(&head, body.s, body.n);
    head.failed |= body.failed;
    norni_str_free(&body);
    NORNI_TRY(norni_pieces_text(x, out, &head));
    if (inside)
        NORNI_TRY(norni_pieces_add(out, norni_tensor_data(t), bytes));
    return rest ? norni_pieces_add(out, kept->data, rest) : NORN_OK;
}

norn_status norni_export_tensor_text(norni_str *out, uint32_t field, const char *name, const norn_tensor *t) {
    norn_tensor *packed;
    NORNI_TRY(norni_export_packed(t, &packed));
    norni_str body = {0};
    tensor_head(&body, name, packed);
    norni_wire_put_bytes(&body, 9, norni_tensor_data(packed), norni_tensor_bytes(packed));
    norn_tensor_free(packed);
    if (field)
        norni_wire_put_message(out, field, &body);
    else {
        norni_str_addn(out, body.s, body.n);
        out->failed |= body.failed;
        norni_str_free(&body);
    }
    return out->failed ? norni_nomem() : NORN_OK;
}

/* ---- Types. */
/* Dimension i of a type that the file had; NULL when there is none. */
static const norni_pb_dim *old_dim(const norni_pb_type *old, int rank, int i) {
    if (!old || old->value_case != NORNI_ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE || !old->tensor_type->shape ||
        old->tensor_type->shape->n_dim != (size_t)rank)
        return NULL;
    return old->tensor_type->shape->dim[i];
}

static void put_dim(norni_exporter *x, norni_str *shape, norni_dim d, const norni_pb_dim *old) {
    norni_str dim = {0}, text = {0};
    if (d >= 0)
        norni_wire_put_int(&dim, 1, d);
    else if (!norni_dim_has_unknown(x->g, d)) {
        norni_dim_print(&text, x->g, d);
        norni_wire_put_string(&dim, 2, text.s ? text.s : "");
        norni_str_free(&text);
    }
    if (old)
        norni_wire_put_string(&dim, 3, old->denotation);
    norni_wire_put_message(shape, 1, &dim);
}

static void put_type(norni_exporter *x, norni_str *out, const norni_type *t, const norni_pb_type *old) {
    norni_str tensor = {0}, shape = {0}, type = {0};
    norni_wire_put_int(&tensor, 1, (int64_t)t->dtype);
    if (t->rank >= 0) {
        for (int i = 0; i < t->rank; i++)
            put_dim(x, &shape, t->dims[i], old_dim(old, t->rank, i));
        norni_wire_put_message(&tensor, 2, &shape);
    }
    norni_wire_put_message(&type, 1, &tensor);
    if (old)
        norni_wire_put_string(&type, 6, old->denotation);
    norni_wire_put_message(out, 2, &type);
}

norn_status norni_export_value_info(norni_exporter *x, norni_str *out, uint32_t field, const char *name,
                                    const norni_type *type, const norni_extra *kept) {
    norni_pb_value *old = NULL;
    norni_str v = {0};
    if (kept && kept->bytes)
        NORNI_TRY(norni_pb_unpack(&norni_onnx__value_info_proto__descriptor, x->arena, kept->data,
                                  kept->bytes, &old));
    norni_wire_put_string(&v, 1, name);
    bool maps = old && old->type && old->type->value_case == NORNI_ONNX__TYPE_PROTO__VALUE_SEQUENCE_TYPE;
    if (type->dtype != NORN_UNDEFINED && !maps) { /* that of a ZipMap stays */
        put_type(x, &v, type, old ? old->type : NULL);
        if (old)
            old->type = NULL;
    }
    if (old) { /* the rest, and a type that is none of norn's */
        norni_extra rest;
        NORNI_TRY(norni_pb_pack(old, x->arena, &rest));
        norni_str_addn(&v, rest.data, rest.bytes);
    }
    norni_wire_put_message(out, field, &v);
    return out->failed ? norni_nomem() : NORN_OK;
}
