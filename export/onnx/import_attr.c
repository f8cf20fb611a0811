/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes: AttributeProto to what the attribute engine takes; Constant to a value. */
#include "export/onnx/import.h"
#include <limits.h>
#include <string.h>

typedef NorniOnnx__AttributeProto__AttributeType attr_type;
#define TYPE(x) NORNI_ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__##x

static const char *type_name(attr_type t) {
    static const char *const names[] = {"nothing",        "a number", "an integer", "a string",
                                        "a tensor",       "a graph",  "numbers",    "integers",
                                        "strings",        "tensors",  "graphs",     "a sparse tensor",
                                        "sparse tensors", "a type",   "types"};
    return (unsigned)t < sizeof names / sizeof *names ? names[t] : "an unknown kind";
}

/* Old files do not say of which kind an attribute is. */
static attr_type type_of(const norni_pb_attr *a) {
    if (a->has_type && a->type != TYPE(UNDEFINED))
        return a->type;
    return a->has_f              ? TYPE(FLOAT)
           : a->has_i            ? TYPE(INT)
           : a->has_s            ? TYPE(STRING)
           : a->t                ? TYPE(TENSOR)
           : a->g                ? TYPE(GRAPH)
           : a->n_floats         ? TYPE(FLOATS)
           : a->n_ints           ? TYPE(INTS)
           : a->n_strings        ? TYPE(STRINGS)
           : a->n_tensors        ? TYPE(TENSORS)
           : a->n_graphs         ? TYPE(GRAPHS)
           : a->sparse_tensor    ? TYPE(SPARSE_TENSOR)
           : a->n_sparse_tensors ? TYPE(SPARSE_TENSORS)
           : a->tp               ? TYPE(TYPE_PROTO)
           : a->n_type_protos    ? TYPE(TYPE_PROTOS)
                                 : TYPE(UNDEFINED);
}

static norn_status import_text(norni_importer *imp, const ProtobufCBinaryData *s, const char **out) {
    if (s->len && memchr(s->data, 0, s->len))
        return norni_fail(NORN_PARSE, "text with a zero byte in it");
    *out = norni_arena_strndup(imp->scratch, (const char *)s->data, s->len);
    return *out ? NORN_OK : norni_nomem();
}

norn_status norni_import_attr(norni_importer *imp, const norni_pb_attr *a, norni_attr_value *out,
                              norn_tensor **owned) {
    attr_type t = type_of(a);
    *out = (norni_attr_value){0};
    *owned = NULL;
    size_t n = t == TYPE(INTS)      ? a->n_ints
               : t == TYPE(FLOATS)  ? a->n_floats
               : t == TYPE(STRINGS) ? a->n_strings
                                    : 0;
    if (n > INT_MAX)
        return norni_fail(NORN_PARSE, "a list of %zu elements (wanted at most %d)", n, INT_MAX);
    switch (t) {
    case TYPE(INT):
        *out = (norni_attr_value){.kind = NORNI_ATTR_INT, .i = a->i};
        return NORN_OK;
    case TYPE(FLOAT):
        *out = (norni_attr_value){.kind = NORNI_ATTR_FLOAT, .f = a->f};
        return NORN_OK;
    case TYPE(STRING):
        out->kind = NORNI_ATTR_STRING;
        return import_text(imp, &a->s, &out->s);
    case TYPE(TENSOR):
        if (!a->t)
            return norni_fail(NORN_PARSE, "is said to be a tensor, and has none");
        NORNI_TRY(norni_tensor_read(&imp->tensors, a->t, owned));
        *out = (norni_attr_value){.kind = NORNI_ATTR_TENSOR, .t = *owned};
        return NORN_OK;
    case TYPE(INTS):
        *out = (norni_attr_value){.kind = NORNI_ATTR_INTS, .ints = {(int)n, a->ints}};
        return NORN_OK;
    case TYPE(FLOATS):
        *out = (norni_attr_value){.kind = NORNI_ATTR_FLOATS, .floats = {(int)n, a->floats}};
        return NORN_OK;
    case TYPE(STRINGS): {
        const char **v = norni_arena_array(imp->scratch, n, sizeof *v);
        if (!v)
            return norni_nomem();
        for (size_t i = 0; i < n; i++)
            NORNI_TRY(import_text(imp, &a->strings[i], &v[i]));
        *out = (norni_attr_value){.kind = NORNI_ATTR_STRINGS, .strings = {(int)n, v}};
        return NORN_OK;
    }
    default:
        return norni_fail(NORN_PARSE, "is %s (wanted a number, a string, a tensor, or a list)", type_name(t));
    }
}

/* ---- Constant. */
static norn_status list_tensor(norn_dtype dtype, size_t n, const void *v, bool scalar, norn_tensor **out) {
    NORNI_TRY(norni_tensor_host(dtype, scalar ? 0 : 1, (int64_t[]){(int64_t)n}, out));
    if (n)
        memcpy(norni_tensor_data(*out), v, norni_dtype_bytes(dtype, (int64_t)n));
    return NORN_OK;
}

static norn_status constant_tensor(norni_importer *imp, const norni_pb_attr *a, bool *kept,
                                   norn_tensor **out) {
    attr_type t = type_of(a);
    const char *name = norni_pb_text(a->name);
    *kept = false;
    *out = NULL;
    if (!strcmp(name, "value") && t == TYPE(TENSOR) && a->t) {
        *kept = !norni_tensor_modelled(a->t);
        return *kept ? NORN_OK : norni_tensor_read(&imp->tensors, a->t, out);
    }
    if (!strcmp(name, "sparse_value") && t == TYPE(SPARSE_TENSOR) && a->sparse_tensor)
        return norni_tensor_read_sparse(&imp->tensors, a->sparse_tensor, out);
    if (!strcmp(name, "value_int") && t == TYPE(INT))
        return list_tensor(NORN_I64, 1, &a->i, true, out);
    if (!strcmp(name, "value_float") && t == TYPE(FLOAT))
        return list_tensor(NORN_F32, 1, &a->f, true, out);
    if (!strcmp(name, "value_ints") && t == TYPE(INTS))
        return list_tensor(NORN_I64, a->n_ints, a->ints, false, out);
    if (!strcmp(name, "value_floats") && t == TYPE(FLOATS))
        return list_tensor(NORN_F32, a->n_floats, a->floats, false, out);
    *kept = (!strcmp(name, "value_string") && t == TYPE(STRING)) ||
            (!strcmp(name, "value_strings") && t == TYPE(STRINGS));
    return *kept ? NORN_OK
                 : norni_fail(NORN_PARSE, "is %s (wanted value, value_int or the like)", type_name(t));
}

norn_status norni_import_constant(norni_scope *sc, const norni_pb_node *n, const char *where, bool *kept) {
    norni_importer *imp = sc->imp;
    *kept = false;
    if (n->n_input || n->n_output != 1 || !*n->output[0])
        return norni_fail(NORN_PARSE, "%s Constant: %zu inputs, %zu outputs (wanted 0 and 1)", where,
                          n->n_input, n->n_output);
    const norni_pb_attr *a = n->n_attribute == 1 ? norni_scope_attr(sc, n->attribute[0]) : NULL;
    if (!a)
        return norni_fail(NORN_PARSE, "%s Constant: %zu attributes (wanted one that holds the value)", where,
                          n->n_attribute);
    norn_tensor *t;
    norn_status s = constant_tensor(imp, a, kept, &t);
    if (s != NORN_OK || *kept)
        return norni_prefix(s, "%s Constant: attribute '%s'", where, norni_pb_text(a->name));
    norni_pb_node rest = *n;
    rest.n_output = rest.n_attribute = 0;
    rest.op_type = NULL;
    norn_value *v = norni_value_const(imp->g, NULL, t);
    if (!v)
        return norn_graph_status(imp->g);
    NORNI_TRY(norni_scope_bind(sc, n->output[0], v, where));
    norni_extra packed;
    NORNI_TRY(norni_pb_pack(&rest, imp->scratch, &packed));
    return norni_extra_add(v, NORNI_EXTRA_CONSTANT, &packed);
}
