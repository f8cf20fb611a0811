/* SPDX-License-Identifier: Apache-2.0 */
/* Initialisers that were sparse in the file: the elements that are not 0 (all bits), and their places in the flat tensor. */
#include "export/onnx/export.h"
#include <string.h>

bool norni_export_is_sparse(const norni_exporter *x, const norn_value *v) {
    return x->ir >= NORNI_IR_SPARSE && norni_extra_find(v, NORNI_EXTRA_SPARSE, NULL) &&
           !norni_extra_find(v, NORNI_EXTRA_LISTED, NULL) && norni_dtype_bits(v->type.dtype) % 8 == 0;
}

static bool is_zero(const unsigned char *p, size_t n) {
    while (n && !*p) {
        p++;
        n--;
    }
    return !n;
}

static norn_status put_parts(norni_str *out, const char *name, const norn_tensor *t, const norni_extra *kept,
                             norn_tensor *values, norn_tensor *places) {
    size_t size = (size_t)norni_dtype_bits(t->dtype) / 8;
    const unsigned char *from = norni_tensor_data(t);
    int64_t n = 0;
    norni_str part = {0};
    for (int64_t i = 0; i < norni_tensor_elems(t); i++)
        if (!is_zero(from + (size_t)i * size, size)) {
            memcpy((unsigned char *)norni_tensor_data(values) + (size_t)n * size, from + (size_t)i * size,
                   size);
            norni_set_int(NORN_I64, norni_tensor_data(places), n++, i);
        }
    norn_status s = norni_export_tensor_text(&part, 0, name, values);
    if (s == NORN_OK && kept)
        norni_str_addn(&part, kept->data, kept->bytes);
    norni_wire_put_message(out, 1, &part);
    if (s == NORN_OK)
        s = norni_export_tensor_text(out, 2, NULL, places);
    for (int i = 0; i < t->rank; i++)
        norni_wire_put_int(out, 3, t->dims[i]);
    return s == NORN_OK && out->failed ? norni_nomem() : s;
}

norn_status norni_export_sparse(norni_str *out, const char *name, const norn_tensor *t,
                                const norni_extra *kept) {
    size_t size = (size_t)norni_dtype_bits(t->dtype) / 8;
    int64_t n = 0;
    norn_tensor *dense, *values = NULL, *places = NULL;
    NORNI_TRY(norni_tensor_pack(t, &dense));
    for (int64_t i = 0; i < norni_tensor_elems(dense); i++)
        n += !is_zero((const unsigned char *)norni_tensor_data(dense) + (size_t)i * size, size);
    norn_status s = norni_tensor_host(t->dtype, 1, &n, &values);
    if (s == NORN_OK)
        s = norni_tensor_host(NORN_I64, 1, &n, &places);
    if (s == NORN_OK) {
        norni_str body = {0};
        s = put_parts(&body, name, dense, kept, values, places);
        norni_wire_put_message(out, 15, &body);
        norni_str_free(&body);
    }
    norn_tensor_free(values);
    norn_tensor_free(places);
    norn_tensor_free(dense);
    return s;
}
