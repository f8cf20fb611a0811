/* SPDX-License-Identifier: Apache-2.0 */
/* Constant: elements that stand in the node; it becomes a constant value whenever a graph is rebuilt. ConstantOfShape: a
 * tensor of one number. Sources: ONNX Constant-25, ConstantOfShape-25. */
#include "ops/copy.h"
#include <math.h>
#include <string.h>

/* ---- Constant. */
typedef struct {
    norn_tensor *value;
    int64_t value_int;
    norni_ints value_ints;
    float value_float;
    norni_floats value_floats;
    const char *value_string;
    norni_strings value_strings;
} constant_attrs;
#define FORM(field, kind) NORNI_A(constant_attrs, field, kind, .flags = NORNI_ATTR_OPTIONAL, .since = 12)
static const norni_attr constant_table[] = {
    NORNI_A(constant_attrs, value, TENSOR, .flags = NORNI_ATTR_OPTIONAL),
    FORM(value_int, INT),
    FORM(value_ints, INTS),
    FORM(value_float, FLOAT),
    FORM(value_floats, FLOATS),
    FORM(value_string, STRING),
    FORM(value_strings, STRINGS),
    NORNI_A_END};

static norn_status list_tensor(norn_dtype t, int64_t n, bool scalar, const void *from, norn_tensor **out) {
    NORNI_TRY(norni_tensor_host(t, scalar ? 0 : 1, &n, out));
    if (n)
        memcpy(norni_tensor_data(*out), from, norni_dtype_bytes(t, n));
    return NORN_OK;
}

/* The one attribute that is given, as a tensor of its own. */
static norn_status constant_tensor(const constant_attrs *a, norn_tensor **out) {
    int given = (a->value != NULL) + (a->value_int != NORNI_NO_INT) + (a->value_ints.n >= 0) +
                !isnan(a->value_float) + (a->value_floats.n >= 0) + (a->value_string != NULL) +
                (a->value_strings.n >= 0);
    *out = NULL;
    if (given != 1)
        return norni_fail(NORN_ARG, "%d attributes hold a value (wanted one)", given);
    if (a->value_string || a->value_strings.n >= 0)
        return norni_fail(NORN_UNSUPPORTED, "attribute '%s': text (norn has numbers only)",
                          a->value_string ? "value_string" : "value_strings");
    if (a->value) {
        if (!(NORNI_ALL & NORNI_T(a->value->dtype)))
            return norni_fail(NORN_UNSUPPORTED, "elements of type %s", norni_dtype_name(a->value->dtype));
        *out = norni_tensor_ref(a->value);
        return *out ? NORN_OK : norni_nomem();
    }
    if (a->value_int != NORNI_NO_INT)
        return list_tensor(NORN_I64, 1, true, &a->value_int, out);
    if (a->value_ints.n >= 0)
        return list_tensor(NORN_I64, a->value_ints.n, false, a->value_ints.v, out);
    if (a->value_floats.n >= 0)
        return list_tensor(NORN_F32, a->value_floats.n, false, a->value_floats.v, out);
    return list_tensor(NORN_F32, 1, true, &a->value_float, out);
}

static norn_status infer_constant(norni_infer *c) {
    norn_tensor *t;
    norni_type *y = &c->out[0];
    NORNI_TRY(constant_tensor(c->attrs, &t));
    *y = (norni_type){.dtype = t->dtype, .rank = t->rank};
    memcpy(y->dims, t->dims, sizeof y->dims);
    int64_t n = norni_tensor_elems(t);
    if (norni_dtype_is_int(t->dtype) && t->rank <= 1 && n <= NORNI_MAX_KNOWN) {
        norni_dim *d = norni_set_known(c, 0, (int)n);
        for (int64_t i = 0; d && i < n; i++)
            d[i] = norni_dim_of(c->g, norni_get_int(t->dtype, norni_tensor_data(t), i));
    }
    norn_tensor_free(t);
    return NORN_OK;
}

static norn_status eval_constant(norni_eval *e) {
    norn_tensor *t;
    NORNI_TRY(constant_tensor(e->attrs, &t));
    norn_tensor_free(e->out[0]);
    e->out[0] = t;
    return NORN_OK;
}

static norn_status expand_constant(norn_graph *g, const norn_node *node, norn_value **out) {
    norn_tensor *t;
    NORNI_TRY(constant_tensor(node->attrs, &t));
    out[0] = norni_value_const(g, NULL, t);
    return norn_graph_status(g);
}

/* Opsets before 12 have tensors only. */
static norn_status lower_constant(norni_adapt *a) {
    constant_attrs *at = a->node->attrs;
    norn_tensor *t;
    if (a->version >= 12 || at->value)
        return NORN_OK;
    NORNI_TRY(constant_tensor(at, &t));
    for (const norni_attr *k = constant_table; k->name; k++)
        norni_attr_reset(k, at);
    at->value = t;
    return NORN_OK;
}

const norn_op norni_op_Constant = {
    .domain = "",
    .name = "Constant",
    .versions = (const int[]){1, 9, 11, 12, 13, 19, 21, 23, 24, 25, 0},
    .doc = "elements that stand in the node",
    .inputs = (const norni_param[]){{0}},
    .outputs = (const norni_param[]){{"output", 0, NORNI_ALL, 0}, {0}},
    .attrs_bytes = sizeof(constant_attrs),
    .attrs = constant_table,
    .lower = lower_constant,
    .infer = infer_constant,
    .grad = norni_no_gradient,
    .expand = expand_constant,
    .eval = eval_constant,
    .untested_attrs = "value_string, value_strings", /* refused */
    .cases = (const char *const[]){"Constant<value=float[2,2]{1,2,3,4}>()", "Constant<value_int=-3>()",
                                   "Constant<value_ints=[1,2,3]>()", "Constant<value_float=0.5>()",
                                   "Constant<value_floats=[0.5,1.5]>()", "Constant<value=bool[0]{}>()", NULL},
};

/* ---- ConstantOfShape. */
typedef struct {
    norn_tensor *value;
} fill_attrs;
static const norni_attr fill_table[] = {NORNI_A(fill_attrs, value, TENSOR, .flags = NORNI_ATTR_OPTIONAL),
                                        NORNI_A_END};

static norn_status infer_fill(norni_infer *c) {
    const norni_type *s = norni_in_type(c, 0);
    const norn_tensor *value = ((const fill_attrs *)c->attrs)->value;
    norni_type *y = &c->out[0];
    int n;
    int64_t v;
    if (value && norni_tensor_elems(value) != 1)
        return norni_fail(NORN_SHAPE, "attribute 'value' has %lld elements (wanted one)",
                          (long long)norni_tensor_elems(value));
    if (value && !(NORNI_ALL & NORNI_T(value->dtype)))
        return norni_fail(NORN_UNSUPPORTED, "attribute 'value' has elements of type %s",
                          norni_dtype_name(value->dtype));
    y->dtype = value ? value->dtype : NORN_F32;
    if (s->rank > 1 || (s->rank == 1 && s->dims[0] > NORN_MAX_RANK))
        return norni_fail(NORN_SHAPE, "input has rank %d and %lld elements (wanted rank 1, at most %d)",
                          s->rank, s->rank == 1 ? (long long)s->dims[0] : 0LL, NORN_MAX_RANK);
    const norni_dim *d = norni_value_known(c->node->in[0], &n);
    if (!d) {
        if (s->rank == 1 && s->dims[0] >= 0) {
            y->rank = (int)s->dims[0];
            for (int i = 0; i < y->rank; i++)
                y->dims[i] = norni_dim_fresh(c->g);
        }
        return NORN_OK;
    }
    y->rank = n;
    for (int i = 0; i < n; i++) {
        if (norni_dim_number(c->g, d[i], &v) && v < 0)
            return norni_fail(NORN_SHAPE, "input has %lld at %d (wanted 0 or more)", (long long)v, i);
        y->dims[i] = d[i];
    }
    if (n == 1 && d[0] >= 0 && d[0] <= NORNI_MAX_KNOWN && norni_dtype_is_int(y->dtype)) {
        norni_dim *all = norni_set_known(c, 0, (int)d[0]);
        for (int i = 0; all && i < d[0]; i++)
            all[i] = norni_dim_of(c->g, norni_get_int(value->dtype, norni_tensor_data(value), 0));
    }
    return NORN_OK;
}

static norn_status eval_fill(norni_eval *e) {
    const norn_tensor *value = ((const fill_attrs *)e->attrs)->value, *y = e->out[0];
    size_t size = (size_t)norni_dtype_bits(y->dtype) / 8;
    for (int64_t i = 0, n = value ? norni_tensor_elems(y) : 0; i < n; i++) /* without: zeros, which it has */
        if (!size)
            norni_set_double(y->dtype, norni_tensor_data(y), i,
                             norni_get_double(value->dtype, norni_tensor_data(value), 0));
        else
            memcpy((char *)norni_tensor_data(y) + (size_t)i * size, norni_tensor_data(value), size);
    return NORN_OK;
}

static norn_status emit_fill(norni_emit *e) {
    const norn_tensor *value = ((const fill_attrs *)e->node->attrs)->value;
    const norni_type *y = &e->node->out[0]->type;
    uint8_t bytes[8] = {0};
    int part = norni_dtype_bits(y->dtype), size = part / 8;
    bool uniform = true;
    int64_t bits = 0, n = norni_type_elems(y);
    if (n == 0)
        return e->status;
    if (value)
        memcpy(bytes, norni_tensor_data(value), (size_t)(size ? size : 1));
    for (int i = part; i < 8; i += part) /* below a byte: the same in all of it */
        bytes[0] = (uint8_t)(bytes[0] << part | (bytes[0] & ((1 << part) - 1)));
    for (int i = size - 1; i >= 0; i--) {
        uniform &= bytes[i] == bytes[0];
        bits = (int64_t)((uint64_t)bits << 8 | bytes[i]);
    }
    if (uniform) {
        norni_emit_fill(e, norni_emit_out(e, 0), bytes[0]);
        return e->status;
    }
    norni_row_split split = norni_split_rows(e, 1, n, y->dtype);
    norni_step *s = norni_emit_move(e, "fill.cl", "fill", y->dtype);
    norni_step_define(e, s, "W", split.width);
    norni_step_buffer(e, s, norni_emit_out(e, 0), NORNI_WRITE);
    norni_step_i64(e, s, n);
    norni_step_i64(e, s, split.chunk);
    norni_step_i64(e, s, 0);
    norni_step_i64(e, s, 1);
    norni_step_i64(e, s, bits);
    norni_step_items(e, s, 1, split.items, 1, 1);
    return e->status;
}

static void fill_cost(const norn_node *node, norni_cost *c) {
    c->flops = 0;
}

static const norni_impl fill_impls[] = {{.name = "fill", .emit = emit_fill}, {0}};

const norn_op norni_op_ConstantOfShape = {
    .domain = "",
    .name = "ConstantOfShape",
    .versions = (const int[]){9, 20, 21, 23, 24, 25, 0},
    .doc = "a tensor of a given shape, every element the same",
    .inputs = (const norni_param[]){{"input", NORNI_NODIFF | NORNI_HOST, NORNI_T(NORN_I64), 0}, {0}},
    .outputs = (const norni_param[]){{"output", 0, NORNI_ALL, 0}, {0}},
    .attrs_bytes = sizeof(fill_attrs),
    .attrs = fill_table,
    .infer = infer_fill,
    .grad = norni_no_gradient,
    .eval = eval_fill,
    .impls = fill_impls,
    .cost = fill_cost,
    .cases = (const char *const[]){"ConstantOfShape(int64[2]{3,5})",
                                   "ConstantOfShape<value=float[1]{1.5}>(int64[2]{50,33})",
                                   "ConstantOfShape<value=int64[1]{-2}>(int64[1]{7})",
                                   "ConstantOfShape<value=bool[1]{1}>(int64[3]{2,1,4})",
                                   "ConstantOfShape<value=int4[1]{-3}>(int64[2]{3,5})",
                                   "ConstantOfShape<value=float8e5m2[1]{1.5}>(int64[1]{7})",
                                   "ConstantOfShape(int64[0]{})",
                                   "ConstantOfShape<value=float16[1]{0.5}>(int64[2]{0,3})", NULL},
};
