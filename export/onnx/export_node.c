/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes to NodeProto. */
#include "export/onnx/export.h"
#include <string.h>

#define TYPE(x) NORNI_ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__##x

norn_status norni_export_read(norni_exporter *x, const norn_value *v) {
    while (x->read.n < x->g->values.n)
        if (!NORNI_PUSH(&x->read, false))
            return norni_nomem();
    x->read.v[v->id] = true;
    return NORN_OK;
}

bool norni_export_is_read(const norni_exporter *x, const norn_value *v) {
    return (size_t)v->id < x->read.n && x->read.v[v->id];
}

/* ---- Attributes. */
norn_status norni_export_attr(norni_str *node, const char *name, const norni_attr_value *v) {
    norni_str a = {0};
    int type = TYPE(UNDEFINED);
    norn_status s = NORN_OK;
    norni_wire_put_string(&a, 1, name);
    switch (v->kind) {
    case NORNI_ATTR_FLOAT:
        norni_wire_put_float(&a, 2, v->f);
        type = TYPE(FLOAT);
        break;
    case NORNI_ATTR_STRING:
        norni_wire_put_string(&a, 4, v->s);
        type = TYPE(STRING);
        break;
    case NORNI_ATTR_TENSOR:
        s = norni_export_tensor_text(&a, 5, NULL, v->t);
        type = TYPE(TENSOR);
        break;
    case NORNI_ATTR_FLOATS:
        for (int i = 0; i < v->floats.n; i++)
            norni_wire_put_float(&a, 7, v->floats.v[i]);
        type = TYPE(FLOATS);
        break;
    case NORNI_ATTR_INTS:
        for (int i = 0; i < v->ints.n; i++)
            norni_wire_put_int(&a, 8, v->ints.v[i]);
        type = TYPE(INTS);
        break;
    case NORNI_ATTR_STRINGS:
        for (int i = 0; i < v->strings.n; i++)
            norni_wire_put_string(&a, 9, v->strings.v[i]);
        type = TYPE(STRINGS);
        break;
    default:
        norni_wire_put_int(&a, 3, v->i);
        type = TYPE(INT);
    }
    norni_wire_put_int(&a, 20, type);
    if (s == NORN_OK)
        norni_wire_put_message(node, 5, &a);
    norni_str_free(&a);
    return s;
}

/* ---- Inputs and outputs: names, "" for those that are absent, none behind the last. */
norn_status norni_export_node_names(norni_exporter *x, norni_str *node, uint32_t field, int n,
                                    norn_value *const *v) {
    while (n && !v[n - 1])
        n--;
    for (int i = 0; i < n; i++) {
        norn_value *is = norni_export_value(x, v[i]);
        const char *name = is ? norni_export_name(x, is) : "";
        if (!name)
            return norni_nomem();
        norni_wire_put_string(node, field, name);
        if (is && field == 1)
            NORNI_TRY(norni_export_read(x, is));
    }
    return NORN_OK;
}

static norn_status put_identity(norni_exporter *x, norni_str *out, norn_value *from, const char *to) {
    norni_str node = {0};
    NORNI_TRY(norni_export_node_names(x, &node, 1, 1, &from));
    norni_wire_put_string(&node, 2, to);
    norni_wire_put_string(&node, 4, "Identity");
    norni_wire_put_message(out, 1, &node);
    return NORN_OK;
}

/* ---- Nodes. */
static int file_outputs(const norn_node *node) {
    int n = node->n_out;
    while (n) {
        const norni_param *p = norni_op_output(node->op, n - 1);
        if (p && !(p->flags & NORNI_STASH))
            break;
        n--;
    }
    return n;
}

static norn_status known_text(norni_exporter *x, norni_str *text, const norn_node *node,
                              const norn_node *low) {
    const norn_op *op = low->op;
    NORNI_TRY(norni_export_node_names(x, text, 1, low->n_in, low->in));
    NORNI_TRY(norni_export_node_names(x, text, 2, file_outputs(node), node->out));
    norni_wire_put_string(text, 3, node->name);
    norni_wire_put_string(text, 4, op->name);
    for (const norni_attr *a = op->attrs; a && a->name; a++) {
        norni_attr_value v;
        if (norni_attr_get(a, low->attrs, &v))
            NORNI_TRY(norni_export_attr(text, a->name, &v));
    }
    if (*op->domain)
        norni_wire_put_string(text, 7, op->domain);
    norni_str_addn(text, node->extra.data, node->extra.bytes);
    return NORN_OK;
}

static norn_status put_known(norni_exporter *x, norni_str *out, const norn_node *node) {
    norn_node low;
    norn_value *replacement[32] = {0};
    norni_str text = {0};
    bool replaced;
    NORNI_TRY(norni_lower(x, node, &low, replacement, &replaced));
    norn_status s = replaced ? norni_fail(NORN_INTERNAL, "its form of opset %d changed its mind", x->opset)
                             : known_text(x, &text, node, &low);
    norni_attrs_release(low.op, low.attrs);
    if (s == NORN_OK)
        norni_wire_put_message(out, 1, &text);
    norni_str_free(&text);
    return norni_export_at(s, node);
}

/* Second names: the value behind each (p), and the node in front of which it is made (i). */
typedef struct {
    norni_table table;
    NORNI_VEC(const char *) order;
} alias_list;

/* A second name for a value, made by an Identity in front of node `at`, the first that reads it. Nodes are written
 * from the last to the first: a later call moves the Identity. */
static norn_status add_alias(norni_exporter *x, alias_list *aliases, const char *name, norn_value *v,
                             size_t at) {
    bool fresh;
    norni_name *taken = norni_table_find(&x->taken, name),
               *alias = norni_table_add(&aliases->table, name, &fresh);
    if (!alias || (fresh && !NORNI_PUSH(&aliases->order, name)))
        return norni_nomem();
    if ((taken && taken->p && taken->p != v) || (!fresh && alias->p != v))
        return norni_fail(NORN_UNSUPPORTED, "'%s', which a subgraph reads, is another value now", name);
    alias->p = v;
    alias->i = at;
    return NORN_OK;
}

/* Values that subgraphs read keep the names that the subgraphs know. */
static norn_status put_captured(norni_exporter *x, size_t at, const norni_captures *c, size_t own,
                                alias_list *aliases) {
    const norn_node *node = x->nodes.v[at];
    for (size_t k = 0; k < c->n; k++) {
        norn_value *v = norni_export_value(x, node->in[own + k]);
        const char *name = v ? norni_export_name(x, v) : NULL;
        if (!name)
            return v ? norni_nomem() : norni_fail(NORN_INTERNAL, "'%s' is gone", c->v[k]);
        NORNI_TRY(norni_export_read(x, v));
        if (strcmp(name, c->v[k]))
            NORNI_TRY(add_alias(x, aliases, c->v[k], v, at));
    }
    return NORN_OK;
}

static norn_status unknown_text(norni_exporter *x, norni_str *text, size_t at, alias_list *aliases) {
    const norn_node *node = x->nodes.v[at];
    norni_captures c;
    size_t own;
    bool standard = !node->domain || !*node->domain;
    NORNI_TRY(norni_export_captures(x, node, &c, &own));
    NORNI_TRY(put_captured(x, at, &c, own, aliases));
    NORNI_TRY(norni_export_node_names(x, text, 1, (int)own, node->in));
    NORNI_TRY(norni_export_node_names(x, text, 2, node->n_out, node->out));
    if (!node->extra.bytes) {
        norni_wire_put_string(text, 3, node->name);
        norni_wire_put_string(text, 4, node->type);
        norni_wire_put_string(text, 7, standard ? NULL : node->domain);
        return NORN_OK;
    }
    const uint8_t *p = node->extra.data, *end = p + node->extra.bytes;
    norni_wire_field f;
    while (norni_wire_next(&p, end, &f))
        if (f.number > 2)
            norni_str_addn(text, (const char *)f.start, (size_t)(p - f.start));
    return NORN_OK;
}

static norn_status put_control(norni_exporter *x, norni_str *out, const norn_node *node) {
    norni_str text = {0};
    norn_status s = norni_export_at(norni_export_control(x, &text, node), node);
    if (s == NORN_OK)
        norni_wire_put_message(out, 1, &text);
    norni_str_free(&text);
    return s;
}

static norn_status put_unknown(norni_exporter *x, norni_str *out, size_t at, alias_list *aliases) {
    norni_str text = {0};
    norn_status s = norni_export_at(unknown_text(x, &text, at, aliases), x->nodes.v[at]);
    if (s == NORN_OK)
        norni_wire_put_message(out, 1, &text);
    norni_str_free(&text);
    return s;
}

/* Names of outputs that are not the name of the value behind them. */
static norn_status put_outputs(norni_exporter *x, alias_list *aliases) {
    for (size_t i = 0; i < x->g->outputs.n; i++) {
        const norni_output *o = &x->g->outputs.v[i];
        norn_value *v = norni_export_value(x, o->value);
        const char *name = norni_export_name(x, v);
        if (!name)
            return norni_nomem();
        NORNI_TRY(norni_export_read(x, v));
        if (strcmp(name, o->name))
            NORNI_TRY(norni_prefix(add_alias(x, aliases, o->name, v, x->nodes.n), "output '%s'", o->name));
    }
    return NORN_OK;
}

/* True for a node that somebody read before others took their older forms, and nobody reads now. */
static bool is_idle(const norni_exporter *x, const norn_node *node) {
    bool needed = false;
    for (int k = 0; k < node->n_out; k++) {
        const norn_value *v = node->out[k];
        if (v && (size_t)v->id < x->read.n && x->read.v[v->id])
            return false;
        needed |= v && (size_t)v->id < x->needed.n && x->needed.v[v->id];
    }
    return needed;
}

/* The texts in order, each behind the Identities that belong in front of it. */
static norn_status join(norni_exporter *x, norni_str *out, norni_str *texts, const alias_list *aliases) {
    norn_status s = NORN_OK;
    norni_str *before = norni_arena_array(x->arena, x->nodes.n + 1, sizeof *before);
    for (size_t i = 0; before && i < aliases->order.n && s == NORN_OK; i++) {
        const norni_name *n = norni_table_find(&aliases->table, aliases->order.v[i]);
        s = put_identity(x, &before[n->i], n->p, n->name);
    }
    for (size_t i = 0; i <= x->nodes.n; i++) {
        norni_str *parts[] = {before ? &before[i] : NULL, i < x->nodes.n ? &texts[i] : NULL};
        for (int k = 0; k < 2; k++)
            if (parts[k]) {
                norni_str_addn(out, parts[k]->s, parts[k]->n);
                out->failed |= parts[k]->failed;
                norni_str_free(parts[k]);
            }
    }
    return before ? s : norni_nomem();
}

/* From the last node to the first, so that it is known who is read. */
norn_status norni_export_nodes(norni_exporter *x, norni_str *out) {
    alias_list aliases = {0};
    norni_str *texts = norni_arena_array(x->arena, x->nodes.n, sizeof *texts);
    if (!texts)
        return norni_nomem();
    norn_status s = put_outputs(x, &aliases);
    for (size_t i = x->nodes.n; i-- > 0 && s == NORN_OK;) {
        const norn_node *node = x->nodes.v[i];
        if (norni_export_as_it_was(x, node))
            s = put_unknown(x, &texts[i], i, &aliases);
        else if (node->op->control)
            s = put_control(x, &texts[i], node);
        else if (!is_idle(x, node))
            s = put_known(x, &texts[i], node);
    }
    norn_status joined = join(x, out, texts, &aliases);
    norni_table_free(&aliases.table);
    norni_vec_free(&aliases.order);
    s = s == NORN_OK ? joined : s;
    return s == NORN_OK && out->failed ? norni_nomem() : s;
}

norn_status norni_export_constant(norni_exporter *x, norni_str *out, const char *name, const norn_tensor *t,
                                  const norni_extra *kept) {
    norni_str node = {0};
    norni_wire_put_string(&node, 2, name);
    norni_wire_put_string(&node, 4, "Constant");
    norn_status s = norni_export_attr(&node, "value",
                                      &(norni_attr_value){.kind = NORNI_ATTR_TENSOR, .t = (norn_tensor *)t});
    norni_str_addn(&node, kept->data, kept->bytes);
    if (s == NORN_OK)
        norni_wire_put_message(out, 1, &node);
    norni_str_free(&node);
    return s;
}
