/* SPDX-License-Identifier: Apache-2.0 */
/* Files with what an input or output holds: TensorProto, SequenceProto, OptionalProto. Source: ONNX's onnx-data.proto. */
#include "export/onnx/blob.h"
#include "export/onnx/onnx.h"
#include "export/onnx/tensor_pb.h"
#include "export/onnx/wire.h"
#include <string.h>

enum { TENSOR_VALUES = 3, TENSOR_VALUE = 3, SEQUENCE_VALUE = 5, ELEM_TYPE = 2 };
enum { ELEM_NONE, ELEM_TENSOR, ELEM_SPARSE, ELEM_SEQUENCE };

static norn_status add(norn_content *c, const norni_wire_field *f) {
    norn_tensor **more = norni_realloc(c->tensors, (c->n + 1) * sizeof *more);
    if (!more)
        return norni_nomem();
    c->tensors = more;
    NORNI_TRY(
        norni_prefix(norni_tensor_from_bytes(f->data, f->bytes, &c->tensors[c->n]), "element %zu", c->n));
    c->n++;
    return NORN_OK;
}

static norn_status read_sequence(const uint8_t *p, size_t bytes, norn_content *c) {
    const uint8_t *end = p + bytes;
    norni_wire_field f;
    int64_t type = 0;
    while (norni_wire_next(&p, end, &f)) {
        if (f.number == ELEM_TYPE && f.type == NORNI_WIRE_VARINT)
            type = (int64_t)f.value;
        if (f.number == TENSOR_VALUES && f.type == NORNI_WIRE_BYTES)
            NORNI_TRY(add(c, &f));
    }
    if (p != end)
        return norni_fail(NORN_PARSE, "damaged (wanted a SequenceProto)");
    return type == ELEM_TENSOR || (type == ELEM_NONE && !c->n)
               ? NORN_OK
               : norni_fail(NORN_UNSUPPORTED, "a sequence of type %lld (norn has tensors)", (long long)type);
}

static norn_status read_optional(const uint8_t *p, size_t bytes, norn_form form, norn_content *c) {
    const uint8_t *end = p + bytes;
    norni_wire_field f;
    int64_t type = 0;
    c->present = false;
    while (norni_wire_next(&p, end, &f)) {
        if (f.number == ELEM_TYPE && f.type == NORNI_WIRE_VARINT)
            type = (int64_t)f.value;
        if (f.type != NORNI_WIRE_BYTES || (f.number != TENSOR_VALUE && f.number != SEQUENCE_VALUE))
            continue;
        if ((f.number == TENSOR_VALUE) != (form == NORN_FORM_OPTIONAL) || c->present)
            return norni_fail(NORN_PARSE, "it holds something else than its type says");
        c->present = true;
        NORNI_TRY(form == NORN_FORM_OPTIONAL ? add(c, &f) : read_sequence(f.data, f.bytes, c));
    }
    if (p != end)
        return norni_fail(NORN_PARSE, "damaged (wanted an OptionalProto)");
    if (!c->present && type == ELEM_SEQUENCE && form == NORN_FORM_OPTIONAL_SEQUENCE)
        c->present = true; /* of length 0 */
    return NORN_OK;
}

norn_status norni_onnx_content(const char *path, norn_form form, norn_content *out) {
    norni_blob *source;
    norn_status s;
    *out = (norn_content){.form = form, .present = true};
    NORNI_TRY(norni_blob_open(path, &source));
    if (form == NORN_FORM_TENSOR) {
        norni_wire_field whole = {.data = source->data, .bytes = source->bytes};
        s = add(out, &whole);
    } else if (form == NORN_FORM_SEQUENCE)
        s = read_sequence(source->data, source->bytes, out);
    else if (form != NORN_FORM_OTHER)
        s = read_optional(source->data, source->bytes, form, out);
    else
        s = norni_fail(NORN_UNSUPPORTED, "norn has no such values");
    norni_blob_free(source);
    if (s != NORN_OK)
        norn_content_free(out);
    return norni_prefix(s, "%s", path);
}
