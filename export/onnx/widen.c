/* SPDX-License-Identifier: Apache-2.0 */
/* What an operator took in fewer forms in an older opset. Element types: it works on wider ones, which hold all values of the
 * narrow ones, between two casts. Pooling with ceil_mode. */
#include "export/onnx/older.h"
#include <string.h>

/* ---- ceil_mode. Since opset 22 a last window that begins in the padding is left out, and the others are those that there are
 * without ceil_mode; before 10 there was none. */
norn_status norni_lower_ceil(const norn_node *node, norn_node *low) {
    static const char *const names[] = {"kernel_shape", "strides", "dilations", "pads"};
    const norni_attr *ceil_mode = norni_attr_find(low->op, "ceil_mode");
    const norni_type *x = low->n_in && low->in[0] ? &low->in[0]->type : NULL,
                     *y = node->n_out && node->out[0] ? &node->out[0]->type : NULL;
    norni_attr_value v, list[4] = {{0}};
    bool plain = true, left_out = false;
    if (!ceil_mode || !norni_attr_get(ceil_mode, low->attrs, &v) || !x || !y || x->rank < 3 ||
        y->rank != x->rank)
        return NORN_OK;
    for (int i = 0; i < 4; i++) {
        const norni_attr *a = norni_attr_find(low->op, names[i]);
        if (!a || !norni_attr_get(a, low->attrs, &list[i]))
            list[i].ints.n = 0;
    }
    int n = x->rank - 2;
    if (list[0].ints.n != n)
        return NORN_OK;
    for (int i = 0; i < n; i++) {
        int64_t k = list[0].ints.v[i], s = list[1].ints.n == n ? list[1].ints.v[i] : 1,
                d = list[2].ints.n == n ? list[2].ints.v[i] : 1, size = x->dims[i + 2], out = y->dims[i + 2];
        int64_t pads = list[3].ints.n == 2 * n ? list[3].ints.v[i] + list[3].ints.v[i + n] : 0;
        if (size < 0 || out < 0)
            return NORN_OK;
        int64_t room = size + pads - ((k - 1) * d + 1);
        plain = plain && out == room / s + 1;
        left_out = left_out || out < (room + s - 1) / s + 1;
    }
    if (plain)
        norni_attr_reset(ceil_mode, low->attrs);
    return plain || !left_out
               ? NORN_OK
               : norni_fail(NORN_UNSUPPORTED,
                            "a last window that begins in the padding is left out since opset 22 only");
}

/* ---- Elements. */

static bool exact_in_float(const char *op) {
    static const char *const ops[] = {
        "Clip",      "Compress",    "EyeLike", "Equal",           "Flatten", "Greater",   "GreaterOrEqual",
        "Less",      "LessOrEqual", "Max",     "MaxPool",         "Min",     "OneHot",    "Pad",
        "ReduceMax", "ReduceMin",   "Relu",    "ReverseSequence", "TopK",    "Transpose", "Unique"};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (!strcmp(ops[i], op))
            return true;
    return false;
}

static norn_dtype wider(norn_dtype t, int step, bool floats) {
    static const norn_dtype none[] = {NORN_UNDEFINED}, half[] = {NORN_F32, NORN_UNDEFINED},
                            small[] = {NORN_I32, NORN_I64, NORN_F32, NORN_UNDEFINED},
                            truth[] = {NORN_U8, NORN_I32, NORN_I64, NORN_F32, NORN_UNDEFINED},
                            word[] = {NORN_I64, NORN_F64, NORN_UNDEFINED};
    const norn_dtype *list = none;
    switch (t) {
    case NORN_F16:
    case NORN_BF16:
        list = half;
        break;
    case NORN_BOOL: /* uint8 first: the extremes of nothing are its 0 and 255 */
        list = truth;
        break;
    case NORN_U8:
    case NORN_I8:
    case NORN_U16:
    case NORN_I16:
        list = small;
        break;
    case NORN_U32:
    case NORN_I32:
        list = word;
        break;
    default:
        break;
    }
    for (int i = 0; i < step && *list; i++)
        list++;
    return !floats && norni_dtype_is_int(t) && norni_dtype_is_float(*list) ? NORN_UNDEFINED : *list;
}

/* All inputs of one type variable in another type. NULL where the operator does not take it either. */
static norn_node *apply_wide(norni_exporter *x, const norn_node *node, char var, norn_dtype t) {
    norn_graph *g = x->g;
    norn_node trial = *node;
    trial.in = norni_arena_array(x->arena, (size_t)node->n_in + 1, sizeof *trial.in);
    norn_value **casts = norni_arena_array(x->arena, (size_t)node->n_in + 1, sizeof *casts);
    norn_value *stand = norni_arena_array(x->arena, (size_t)node->n_in + 1, sizeof *stand);
    unsigned wanted = 0;
    if (!trial.in || !casts || !stand)
        return norni_graph_failed(g, norni_nomem());
    for (int i = 0; i < node->n_in; i++) { /* does the operator take it in that opset? */
        const norni_param *p = norni_op_input(node->op, i);
        if (!(trial.in[i] = node->in[i]) || !p || p->var != var)
            continue;
        if (!(p->types & NORNI_T(t)))
            return NULL;
        stand[i] = *node->in[i];
        stand[i].type.dtype = t;
        trial.in[i] = &stand[i];
    }
    trial.n_out = 0;
    if (norni_types_check(&trial, x->opset) != NORN_OK)
        return NULL;
    for (int i = 0; i < node->n_in; i++)
        casts[i] = !node->in[i]                 ? NORNI_NONE
                   : trial.in[i] != node->in[i] ? norni_cast(g, node->in[i], t)
                                                : node->in[i];
    for (int k = 0; k < node->n_out; k++)
        wanted |= node->out[k] ? 1u << k : 0;
    return norni_apply(g, node->op, node->attrs, node->n_in, casts, wanted);
}

bool norni_widen(norni_exporter *x, const norn_node *node, norn_value **out) {
    const norn_op *op = node->op;
    if (*op->domain || norni_types_check(node, x->opset) == NORN_OK)
        return false;
    for (int i = 0; i < node->n_in; i++) {
        const norni_param *p = norni_op_input(op, i);
        norn_dtype t;
        if (!node->in[i] || !p || !p->var || norni_type_since(node->in[i]->type.dtype) > x->opset)
            continue;
        for (int step = 0; (t = wider(node->in[i]->type.dtype, step, exact_in_float(op->name))); step++) {
            norn_node *made = apply_wide(x, node, p->var, t);
            for (int k = 0; made && k < made->n_out; k++) {
                const norni_param *q = norni_op_output(op, k);
                out[k] = !made->out[k]           ? NULL
                         : q && q->var == p->var ? norni_cast(x->g, made->out[k], node->out[k]->type.dtype)
                                                 : made->out[k];
            }
            if (made)
                return true;
            if (x->g->status != NORN_OK)
                return false;
        }
    }
    return false;
}
