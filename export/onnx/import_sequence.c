/* SPDX-License-Identifier: Apache-2.0 */
/* Sequences and optionals whose content is known when the file is read: lists of values, which exist in the importer alone.
 * What makes one is kept as an unknown operator too, for readers that need more; without such a reader it is taken out
 * again at the end. Sources: ONNX SequenceAt-11 and its kin, SplitToSequence-24, Optional-28, OptionalGetElement-28. */
#include "export/onnx/import.h"
#include <string.h>

static const norni_list *any_list_of(const norni_scope *sc, const norni_pb_node *n, size_t i) {
    norni_name *e = i < n->n_input && *n->input[i] ? norni_table_find(&sc->lists, n->input[i]) : NULL;
    return e ? e->p : NULL;
}

static const norni_list *list_of(const norni_scope *sc, const norni_pb_node *n, size_t i) {
    const norni_list *l = any_list_of(sc, n, i);
    return l && !l->whole ? l : NULL;
}

static norn_value *value_of(const norni_scope *sc, const norni_pb_node *n, size_t i) {
    norn_value *v = i < n->n_input ? norni_scope_value(sc, n->input[i]) : NULL;
    return v == NORNI_NONE ? NULL : v;
}

static int64_t attr_of(norni_scope *sc, const norni_pb_node *n, const char *name, int64_t otherwise) {
    for (size_t i = 0; i < n->n_attribute; i++) {
        const norni_pb_attr *a = norni_scope_attr(sc, n->attribute[i]);
        if (a && !strcmp(norni_pb_text(a->name), name))
            return a->i;
    }
    return otherwise;
}

norni_list *norni_list_new(norni_scope *sc, int n) {
    norni_list *l = norni_arena_alloc(sc->imp->scratch, sizeof *l);
    if (!l || !(l->v = norni_arena_array(sc->imp->scratch, (size_t)n + 1, sizeof *l->v)))
        return NULL;
    l->n = n;
    return l;
}

/* A position in 0 .. most; *known is false when it is computed. */
static norn_status position(const norni_scope *sc, const norni_pb_node *n, size_t i, int count, int most,
                            int otherwise, int *at, bool *known) {
    norn_value *v = value_of(sc, n, i);
    int64_t p;
    int one;
    *known = true;
    *at = otherwise;
    if (!v)
        return NORN_OK;
    *known = norni_known_ints(sc->imp, v, &p, 1, &one) && one == 1;
    if (!*known)
        return NORN_OK;
    if (p < -count || p > most)
        return norni_fail(NORN_ARG, "position %lld (wanted %d to %d)", (long long)p, -count, most);
    *at = (int)(p < 0 ? p + count : p);
    return NORN_OK;
}

/* ---- What makes a list. */
static norn_status construct(norni_scope *sc, const norni_pb_node *n, norni_list **out) {
    norni_list *l = norni_list_new(sc, (int)n->n_input);
    if (!l)
        return norni_nomem();
    for (size_t i = 0; i < n->n_input; i++)
        if (!(l->v[i] = value_of(sc, n, i)))
            return NORN_OK;
    *out = l;
    return NORN_OK;
}

static norn_status change(norni_scope *sc, const norni_pb_node *n, bool insert, norni_list **out) {
    const norni_list *from = list_of(sc, n, 0);
    norn_value *v = insert ? value_of(sc, n, 1) : NULL;
    int at;
    bool known;
    if (!from || (insert && !v))
        return NORN_OK;
    NORNI_TRY(position(sc, n, insert ? 2 : 1, from->n, insert ? from->n : from->n - 1,
                       insert ? from->n : from->n - 1, &at, &known));
    if (!known)
        return NORN_OK;
    if (!insert && !from->n)
        return norni_fail(NORN_ARG, "the sequence is empty");
    norni_list *l = norni_list_new(sc, from->n + (insert ? 1 : -1));
    if (!l)
        return norni_nomem();
    for (int i = 0, k = 0; i < l->n; i++) {
        k += !insert && k == at;
        l->v[i] = insert && i == at ? v : from->v[k++];
    }
    *out = l;
    return NORN_OK;
}

/* One by one along an axis whose size is not known yet (torch's unbind): elements are cut out where they are read. */
static norn_status open_split(norni_scope *sc, norn_value *x, int axis, bool keep, norni_list **out) {
    norni_list *l = norni_list_new(sc, 0);
    if (!l)
        return norni_nomem();
    l->whole = x;
    l->axis = axis;
    l->keep = keep;
    *out = l;
    return NORN_OK;
}

static norn_value *open_element(norn_graph *g, const norni_list *l, norn_value *position) {
    norn_value *axes = norni_i64_const(g, 1, (int64_t[]){l->axis});
    norn_value *v = NORNI_OP2(g, l->whole, NORNI_OP1(g, position, "Cast<to=7>"), "Gather<axis=%d>", l->axis);
    return l->keep ? NORNI_OP2(g, v, axes, "Unsqueeze") : v;
}

static norn_value *open_length(norn_graph *g, const norni_list *l) {
    norn_value *d = NORNI_OP1(g, l->whole, "Shape<start=%d, end=%d>", l->axis, l->axis + 1);
    return NORNI_OP2(g, d, norni_i64_const(g, 1, (int64_t[]){0}), "Squeeze");
}

static norn_status split(norni_scope *sc, const norni_pb_node *n, norni_list **out) {
    norn_graph *g = sc->imp->g;
    norn_value *x = value_of(sc, n, 0), *sizes = value_of(sc, n, 1);
    int64_t size, each[NORNI_MAX_LIST], step = 1;
    int axis, count = 0;
    bool keep = sizes || attr_of(sc, n, "keepdims", 1);
    if (!x || x->type.rank < 0)
        return NORN_OK;
    NORNI_TRY(norni_axis(attr_of(sc, n, "axis", 0), x->type.rank, &axis));
    if (sizes && sizes->type.rank != 0) {
        if (sizes->type.rank < 0 || !norni_known_ints(sc->imp, sizes, each, NORNI_MAX_LIST, &count))
            return NORN_OK;
    } else {
        size = x->type.dims[axis];
        if (size < 0 &&
            (!sizes || (norni_known_ints(sc->imp, sizes, &step, 1, &count) && count == 1 && step == 1)))
            return open_split(sc, x, axis, keep, out);
        if (size < 0 || (sizes && (!norni_known_ints(sc->imp, sizes, &step, 1, &count) || count != 1)))
            return NORN_OK;
        if (step < 1)
            return norni_fail(NORN_ARG, "split %lld (wanted 1 or more)", (long long)step);
        if (size > NORNI_MAX_LIST * step)
            return NORN_OK;
        for (count = 0; size > 0; size -= step)
            each[count++] = size < step ? size : step;
    }
    norni_list *l = norni_list_new(sc, count);
    if (!l)
        return norni_nomem();
    norn_value *axes = norni_i64_const(g, 1, (int64_t[]){axis});
    int64_t from = 0;
    for (int i = 0; i < count; from += each[i++]) {
        int64_t to = from + each[i];
        l->v[i] = norni_part(g, x, axis, from, to);
        if (!keep)
            l->v[i] = NORNI_OP2(g, l->v[i], axes, "Squeeze");
    }
    *out = l;
    return norn_graph_status(g);
}

static norn_status optional(norni_scope *sc, const norni_pb_node *n, norni_list **out) {
    const norni_list *inner = list_of(sc, n, 0);
    norn_value *v = value_of(sc, n, 0);
    norni_list *l = norni_list_new(sc, inner ? inner->n : v ? 1 : 0);
    if (!l)
        return norni_nomem();
    if (inner && inner->optional)
        return NORN_OK;
    for (int i = 0; i < l->n; i++)
        l->v[i] = inner ? inner->v[i] : v;
    l->optional = true;
    l->holds = inner || v;
    l->sequence = inner != NULL;
    *out = l;
    return NORN_OK;
}

/* ---- What reads one. */
static norn_status at(norni_scope *sc, const norni_pb_node *n, norn_value **out) {
    const norni_list *l = any_list_of(sc, n, 0);
    norn_value *where = value_of(sc, n, 1);
    int i;
    bool known;
    if (!l || !where)
        return NORN_OK;
    if (l->whole) {
        *out = where->type.rank == 0 ? open_element(sc->imp->g, l, where) : NULL;
        return norn_graph_status(sc->imp->g);
    }
    NORNI_TRY(position(sc, n, 1, l->n, l->n - 1, 0, &i, &known));
    if (known && l->n)
        *out = l->v[i];
    return NORN_OK;
}

static norn_status concat(norni_scope *sc, const norni_pb_node *n, norn_value **out) {
    norn_graph *g = sc->imp->g;
    const norni_list *l = list_of(sc, n, 0);
    int64_t axis = attr_of(sc, n, "axis", 0);
    if (!l || !l->n)
        return NORN_OK;
    norn_value **v = norni_arena_dup(sc->imp->scratch, l->v, (size_t)l->n * sizeof *v);
    if (!v)
        return norni_nomem();
    for (int i = 0; i < l->n && attr_of(sc, n, "new_axis", 0); i++)
        v[i] = NORNI_OP2(g, v[i], norni_i64_const(g, 1, &axis), "Unsqueeze");
    *out = norni_opf(g, l->n, v, "Concat<axis=%lld>", (long long)axis);
    return norn_graph_status(g);
}

static norn_status has_element(norni_scope *sc, const norni_pb_node *n, norn_value **out) {
    const norni_list *l = list_of(sc, n, 0);
    norn_value *v = value_of(sc, n, 0);
    if (l || !v || v->type.dtype != NORN_UNDEFINED)
        *out = norni_scalar_const(sc->imp->g, NORN_BOOL, l ? !l->optional || l->holds : v != NULL);
    return norn_graph_status(sc->imp->g);
}

static norn_status get_element(norni_scope *sc, const norni_pb_node *n, norn_value **out, norni_list **list) {
    const norni_list *l = list_of(sc, n, 0);
    norn_value *v = value_of(sc, n, 0);
    if (l && l->optional && !l->holds)
        return norni_fail(NORN_ARG, "the optional is empty");
    if (l && (l->sequence || !l->optional)) {
        *list = norni_list_new(sc, l->n);
        if (!*list)
            return norni_nomem();
        memcpy((*list)->v, l->v, (size_t)l->n * sizeof *l->v);
    } else if (l)
        *out = l->v[0];
    else if (v && v->type.dtype != NORN_UNDEFINED)
        *out = v;
    return NORN_OK;
}

static norn_status resolve(norni_scope *sc, const norni_pb_node *n, norn_value **out, norni_list **list) {
    const char *type = norni_pb_text(n->op_type);
    const norni_list *from = any_list_of(sc, n, 0);
    if (!strcmp(type, "SequenceConstruct"))
        return construct(sc, n, list);
    if (!strcmp(type, "SequenceEmpty"))
        return (*list = norni_list_new(sc, 0)) ? NORN_OK : norni_nomem();
    if (!strcmp(type, "SequenceInsert") || !strcmp(type, "SequenceErase"))
        return change(sc, n, type[8] == 'I', list);
    if (!strcmp(type, "SplitToSequence"))
        return split(sc, n, list);
    if (!strcmp(type, "Optional"))
        return optional(sc, n, list);
    if (!strcmp(type, "SequenceAt"))
        return at(sc, n, out);
    if (!strcmp(type, "ConcatFromSequence"))
        return concat(sc, n, out);
    if (!strcmp(type, "OptionalHasElement"))
        return has_element(sc, n, out);
    if (!strcmp(type, "OptionalGetElement"))
        return get_element(sc, n, out, list);
    if (from && !strcmp(type, "SequenceLength"))
        *out =
            from->whole ? open_length(sc->imp->g, from) : norni_scalar_const(sc->imp->g, NORN_I64, from->n);
    if (from && !strcmp(type, "Identity"))
        *list = (norni_list *)from;
    return norn_graph_status(sc->imp->g);
}

norn_status norni_import_sequence(norni_scope *sc, const norni_pb_node *n, const char *where,
                                  norn_value **out, norni_list **list) {
    *out = NULL;
    *list = NULL;
    if (*norni_pb_domain(n->domain) || n->n_output != 1 || !*n->output[0] || norni_scope_opset(sc, "") < 11)
        return NORN_OK;
    return norni_prefix(resolve(sc, n, out, list), "%s %s", where, norni_pb_text(n->op_type));
}

norn_status norni_scope_add_list(norni_scope *sc, const char *name, norni_list *list) {
    norni_name *e = norni_table_add(&sc->lists, name, NULL);
    norn_value *v = norni_scope_value(sc, name);
    if (!e)
        return norni_nomem();
    e->p = list;
    return !v || !v->producer || NORNI_PUSH(&sc->list_nodes, v->producer) ? NORN_OK : norni_nomem();
}

/* From the last to the first: one may have read the other. */
void norni_scope_drop_lists(norni_scope *sc) {
    norn_graph *g = sc->imp->g;
    for (size_t i = sc->list_nodes.n; i-- > 0;) {
        norn_node *made = sc->list_nodes.v[i];
        bool read = false;
        for (size_t k = (size_t)made->id + 1; k < g->nodes.n && !read; k++)
            for (int j = 0; j < g->nodes.v[k]->n_in; j++)
                read |= g->nodes.v[k]->in[j] && g->nodes.v[k]->in[j]->producer == made;
        for (size_t k = 0; k < g->outputs.n; k++)
            read |= g->outputs.v[k].value->producer == made;
        if (read)
            continue;
        norni_attrs_release(made->op, made->attrs);
        for (int k = 0; k < made->n_out; k++)
            if (made->out[k]) { /* stays behind without a name */
                made->out[k]->name = NULL;
                made->out[k]->extra = (norni_extra){0};
            }
        for (size_t k = (size_t)made->id; k + 1 < g->nodes.n; k++) {
            g->nodes.v[k] = g->nodes.v[k + 1];
            g->nodes.v[k]->id = (int)k;
        }
        g->nodes.n--;
    }
    norni_vec_free(&sc->list_nodes);
    norni_table_free(&sc->lists);
}
