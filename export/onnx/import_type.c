/* SPDX-License-Identifier: Apache-2.0 */
/* Types: TypeProto to norni_type, and declarations against what the operators say. */
#include "export/onnx/import.h"
#include <inttypes.h>
#include <string.h>

enum { F6E2M3 = 27, F6E3M2 = 28 };

static norn_status import_size(norni_importer *imp, const norni_pb_dim *d, norni_dim *out) {
    if (d->value_case == NORNI_ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE && d->dim_value >= 0) {
        *out = d->dim_value;
        return NORN_OK;
    }
    if (d->value_case == NORNI_ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM && *norni_pb_text(d->dim_param)) {
        bool fresh;
        norni_name *n = norni_table_add(&imp->sizes, d->dim_param, &fresh);
        if (!n)
            return norni_nomem();
        if (fresh) /* a norni_dim of a name is below 0: kept as its distance */
            n->i = (size_t)-norni_dim_named(imp->g, d->dim_param);
        *out = -(norni_dim)n->i;
        return norn_graph_status(imp->g);
    }
    *out = norni_dim_fresh(imp->g); /* nothing said; old exporters write -1 */
    return norn_graph_status(imp->g);
}

norn_status norni_import_type(norni_importer *imp, const norni_pb_type *t, norni_type *out, bool *whole) {
    *out = (norni_type){.rank = -1};
    *whole = !t || t->value_case == NORNI_ONNX__TYPE_PROTO__VALUE__NOT_SET;
    if (*whole)
        return NORN_OK;
    *whole = t->value_case == NORNI_ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE && !t->denotation && !t->base.n_unknown_fields;
    if (t->value_case != NORNI_ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE)
        return NORN_OK;
    const NorniOnnx__TypeProto__Tensor *x = t->tensor_type;
    *whole = *whole && !x->base.n_unknown_fields;
    if (x->elem_type == F6E2M3 || x->elem_type == F6E3M2)
        *whole = false;
    else if (x->elem_type && !norni_dtype_valid(x->elem_type))
        return norni_fail(NORN_DTYPE, "element type %d (wanted 1 to %d)", x->elem_type, NORN_I2);
    else
        out->dtype = (norn_dtype)x->elem_type;
    if (!x->shape)
        return NORN_OK;
    *whole = *whole && !x->shape->base.n_unknown_fields && x->shape->n_dim <= NORN_MAX_RANK;
    if (x->shape->n_dim > NORN_MAX_RANK)
        return NORN_OK;
    out->rank = (int)x->shape->n_dim;
    for (int i = 0; i < out->rank; i++) {
        const norni_pb_dim *d = x->shape->dim[i];
        *whole = *whole && !d->denotation && !d->base.n_unknown_fields;
        NORNI_TRY(import_size(imp, d, &out->dims[i]));
    }
    return NORN_OK;
}

static void warn_types(norni_importer *imp, const norni_type *is, const norni_type *declared, const char *name,
                       const char *where) {
    norni_str a = {0}, b = {0};
    norni_type_print(&a, imp->g, declared);
    norni_type_print(&b, imp->g, is);
    norni_model_warn(imp->model, "%s: '%s' is declared as %s, but is %s", where, name, a.s ? a.s : "", b.s ? b.s : "");
    norni_str_free(&a);
    norni_str_free(&b);
}

norn_status norni_refine(norni_importer *imp, norn_value *v, const norni_pb_value *declared, const char *where) {
    norni_type d, *t = &v->type;
    bool whole, contradicts = false;
    NORNI_TRY(norni_prefix(norni_import_type(imp, declared->type, &d, &whole), "%s: '%s'", where,
                           norni_pb_text(declared->name)));
    if (t->dtype == NORN_UNDEFINED)
        t->dtype = d.dtype;
    else if (d.dtype != NORN_UNDEFINED && d.dtype != t->dtype)
        return norni_fail(NORN_DTYPE, "%s: '%s' is declared as %s, but is %s", where,
                          norni_pb_text(declared->name), norni_dtype_name(d.dtype), norni_dtype_name(t->dtype));
    if (d.rank < 0)
        return NORN_OK;
    if (t->rank < 0) {
        t->rank = d.rank;
        memcpy(t->dims, d.dims, sizeof t->dims);
        return NORN_OK;
    }
    for (int i = 0; i < t->rank && t->rank == d.rank; i++)
        if (norni_dim_unknown(imp->g, t->dims[i]))
            t->dims[i] = d.dims[i];
        else
            contradicts |= t->dims[i] >= 0 && d.dims[i] >= 0 && t->dims[i] != d.dims[i];
    if (contradicts || t->rank != d.rank)
        warn_types(imp, t, &d, norni_pb_text(declared->name), where);
    return NORN_OK;
}

norn_status norni_value_rest(norni_importer *imp, const norni_pb_value *v, norni_extra *out) {
    norni_pb_value rest = *v;
    norni_type t;
    bool whole;
    NORNI_TRY(norni_import_type(imp, v->type, &t, &whole));
    rest.name = NULL;
    if (whole)
        rest.type = NULL;
    return norni_pb_pack(&rest, imp->g->arena, out);
}
