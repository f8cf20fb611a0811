/* SPDX-License-Identifier: Apache-2.0 */
/* Operators as older opsets have them, to the newest form: attributes that became inputs by the operator's table, the
 * rest by its hook. */
#include "export/onnx/import.h"
#include <string.h>

/* The constant that stands for an attribute. */
static norn_value *as_constant(norn_graph *g, const norni_attr_value *v, norn_dtype dtype) {
    norn_tensor *t;
    bool list = v->kind == NORNI_ATTR_INTS || v->kind == NORNI_ATTR_FLOATS;
    int64_t n = v->kind == NORNI_ATTR_INTS ? v->ints.n : v->kind == NORNI_ATTR_FLOATS ? v->floats.n : 1;
    norn_status s = norni_tensor_host(dtype, list, &n, &t);
    if (s != NORN_OK)
        return norni_graph_failed(g, s);
    void *to = norni_tensor_data(t);
    for (int64_t i = 0; i < n; i++) {
        if (v->kind == NORNI_ATTR_INT || v->kind == NORNI_ATTR_INTS)
            norni_set_int(dtype, to, i, list ? v->ints.v[i] : v->i);
        else
            norni_set_double(dtype, to, i, (double)(list ? v->floats.v[i] : v->f));
    }
    return norni_value_const(g, NULL, t);
}

static norn_status to_input(norni_adapt *a, const norni_moved *m) {
    norn_node *node = a->node;
    const norni_attr *attr = norni_attr_find(node->op, m->attr);
    const norni_param *p = norni_op_input(node->op, m->input);
    norni_attr_value v;
    if (!attr || !p || m->input >= node->n_in + NORNI_RAISE_ROOM)
        return norni_fail(NORN_INTERNAL, "%s: its table moves '%s' to input %d", node->op->name, m->attr,
                          m->input);
    bool has = norni_attr_get(attr, node->attrs, &v);
    bool input = m->input < node->n_in && node->in[m->input];
    if (has && a->version >= m->since)
        return norni_fail(NORN_ARG, "%s: attribute '%s' in opset %d (it is input %d '%s' since opset %d)",
                          node->op->name, m->attr, a->version, m->input, p->name, m->since);
    if (input && a->version < m->since)
        return norni_fail(NORN_ARG,
                          "%s: input %d '%s' in opset %d (it is the attribute '%s' before opset %d)",
                          node->op->name, m->input, p->name, a->version, m->attr, m->since);
    if (!has)
        return NORN_OK;
    norn_dtype dtype = m->dtype;
    if (dtype == NORN_UNDEFINED && node->n_in && node->in[0])
        dtype = node->in[0]->type.dtype;
    if (dtype == NORN_UNDEFINED)
        dtype = v.kind == NORNI_ATTR_INT || v.kind == NORNI_ATTR_INTS ? NORN_I64 : NORN_F32;
    if (v.kind != NORNI_ATTR_INT && v.kind != NORNI_ATTR_INTS && v.kind != NORNI_ATTR_FLOAT &&
        v.kind != NORNI_ATTR_FLOATS)
        return norni_fail(NORN_INTERNAL, "%s: its table moves '%s', which is no number", node->op->name,
                          m->attr);
    norn_value *c = as_constant(a->g, &v, dtype);
    if (!c)
        return norn_graph_status(a->g);
    while (node->n_in <= m->input)
        node->in[node->n_in++] = NULL;
    node->in[m->input] = c;
    norni_attr_reset(attr, node->attrs);
    return NORN_OK;
}

norn_status norni_raise(norni_adapt *a, int version) {
    const norn_op *op = a->node->op;
    for (const norni_moved *m = op->moved; m && m->attr; m++)
        NORNI_TRY(to_input(a, m));
    if (op->raise && version < norni_op_since(op))
        NORNI_TRY(norni_prefix(op->raise(a), "%s", op->name));
    for (const norni_attr *t = op->attrs; t && t->name; t++)
        if (t->flags & NORNI_ATTR_OLD)
            norni_attr_reset(t, a->node->attrs);
    return NORN_OK;
}
