/* SPDX-License-Identifier: Apache-2.0 */
/* One operator instance as one line, in a subset of ONNX's textual syntax:
 *   Conv<strides=[2,2]>(float[1,3,8,8], float[4,3,3,3])
 *   Reshape(float[2,6], int64[2]{3,4})
 *   MaxPool<kernel_shape=[2,2]>(float[1,3,8,8]) => 2
 * An absent optional input is "_". Elements follow a type where they matter. "=> n" asks for the first n
 * outputs. */
#include "ops/op.h"
#include "ops/reader.h"
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The outputs that a line asks for when it says nothing: those that are not optional. */
static unsigned default_outputs(const norn_op *op) {
    unsigned wanted = 1;
    for (int k = 1; k < norni_op_n_outputs(op, false); k++)
        if (!(op->outputs[k].flags & (NORNI_OPT | NORNI_VARIADIC)))
            wanted |= 1u << k;
    return wanted;
}

void norni_node_print(norni_str *out, const norn_node *node) {
    enum { SMALL = 16 };
    if (node->op == &norni_op_unknown)
        norni_str_addf(out, "%s%s%s", node->domain ? node->domain : "",
                       node->domain && *node->domain ? "." : "", node->type ? node->type : "?");
    else {
        if (*node->op->domain)
            norni_str_addf(out, "%s.", node->op->domain);
        norni_str_add(out, node->op->name);
        norni_attrs_print(out, node->op, node->attrs);
    }
    norni_str_add(out, "(");
    for (int i = 0; i < node->n_in; i++) {
        const norn_value *v = node->in[i];
        if (i)
            norni_str_add(out, ", ");
        if (!v) {
            norni_str_add(out, "_");
            continue;
        }
        norni_type_print(out, node->graph, &v->type);
        const norni_param *p = norni_op_input(node->op, i);
        if (p && p->flags & NORNI_HOST && v->kind == NORNI_CONST && norni_tensor_elems(v->data) <= SMALL)
            norni_print_elems(out, v->data);
    }
    norni_str_add(out, ")");
    int last = 0;
    unsigned wanted = 0;
    for (int k = 0; k < node->n_out && node->op != &norni_op_unknown; k++) {
        const norni_param *p = norni_op_output(node->op, k); /* NULL while too many outputs are being refused */
        if (node->out[k] && p && !(p->flags & NORNI_STASH)) {
            wanted |= 1u << k;
            last = k + 1;
        }
    }
    if (last && wanted != default_outputs(node->op))
        norni_str_addf(out, " => %d", last);
}

norn_status norni_op_parse(const char *text, norni_arena *arena, const norn_op **op, void **attrs,
                           const char **end) {
    norni_reader r = {text, text, arena};
    const char *name;
    char key[128], *dot;
    norni_read_spaces(&r);
    name = r.at;
    while (isalnum((unsigned char)*r.at) || *r.at == '_' || *r.at == '.')
        r.at++;
    size_t n = (size_t)(r.at - name);
    if (!n || n >= sizeof key)
        return norni_read_expected(&r, "the name of an operator");
    memcpy(key, name, n);
    key[n] = 0;
    dot = strrchr(key, '.');
    if (dot)
        *dot = 0;
    *op = norni_op_find(dot ? key : "", dot ? dot + 1 : key);
    if (!*op)
        return norni_fail(NORN_UNSUPPORTED, "'%s': no operator '%.*s' (see docs/ops.md for those there are)",
                          text, (int)n, name);
    *attrs = norni_arena_alloc(arena, (*op)->attrs_bytes);
    if (!*attrs)
        return norni_nomem();
    norni_attrs_default(*op, *attrs);
    norn_status s = norni_read_attributes(&r, *op, *attrs);
    *end = r.at;
    if (s != NORN_OK)
        norni_attrs_release(*op, *attrs);
    return s;
}

static norn_status inputs(norni_reader *r, norn_graph *g, const norn_op *op, norn_value **in, int *n_in) {
    if (!norni_read_take(r, '('))
        return norni_read_expected(r, "'('");
    while (!norni_read_take(r, ')')) {
        if (*n_in && !norni_read_take(r, ','))
            return norni_read_expected(r, "',' or ')'");
        const norni_param *p = norni_op_input(op, *n_in);
        if (*n_in == 32 || !p)
            return norni_read_expected(r, "fewer inputs");
        if (norni_read_take(r, '_')) {
            in[(*n_in)++] = NORNI_NONE;
            continue;
        }
        norni_type t;
        NORNI_TRY(norni_read_type(r, g, &t));
        norn_tensor *data = NULL;
        norn_status s = norni_read_take(r, '{') ? norni_read_elems(r, &t, &data) : NORN_OK;
        if (s != NORN_OK) {
            norn_tensor_free(data);
            return s;
        }
        const char *name =
            p->flags & NORNI_VARIADIC ? norni_arena_printf(r->arena, "%s%d", p->name, *n_in) : p->name;
        in[*n_in] = data ? norni_value_const(g, name, data) : norni_value_input(g, name, &t);
        if (!in[(*n_in)++])
            return g->status;
    }
    return NORN_OK;
}

/* "=> 2": the first two outputs are wanted. */
static norn_status outputs(norni_reader *r, const norn_op *op, unsigned *wanted) {
    *wanted = default_outputs(op);
    norni_read_spaces(r);
    if (!strncmp(r->at, "=>", 2)) {
        bool integer;
        int64_t n;
        double d;
        r->at += 2;
        NORNI_TRY(norni_read_number(r, &integer, &n, &d));
        if (n < 1 || n > 32 || !norni_op_output(op, (int)n - 1))
            return norni_fail(NORN_ARG, "'%s': %lld outputs wanted (%s has fewer)", r->text, (long long)n,
                              op->name);
        *wanted = n == 32 ? ~0u : (1u << n) - 1;
        norni_read_spaces(r);
    }
    return *r->at ? norni_read_expected(r, "the end") : NORN_OK;
}

norn_status norni_node_parse(const char *text, norn_graph **out) {
    NORNI_TRY(norn_graph_new("op", out));
    norn_graph *g = *out;
    const norn_op *op;
    void *attrs = NULL;
    norni_reader r = {text, text, g->arena};
    norn_value *in[32];
    int n_in = 0;
    norn_status s = norni_op_parse(text, g->arena, &op, &attrs, &r.at);
    if (s == NORN_OK) {
        s = inputs(&r, g, op, in, &n_in);
        if (s == NORN_OK) {
            unsigned wanted;
            s = outputs(&r, op, &wanted);
            norn_node *node = s == NORN_OK ? norni_apply(g, op, attrs, n_in, in, wanted) : NULL;
            s = s == NORN_OK ? g->status : s;
            for (int k = 0; node && k < node->n_out && s == NORN_OK; k++) {
                const norni_param *p = norni_op_output(op, k);
                norni_output o = {p->flags & NORNI_VARIADIC ? norni_arena_printf(g->arena, "%s%d", p->name, k)
                                                            : p->name,
                                  node->out[k],
                                  {0}};
                if (node->out[k] && (!o.name || !NORNI_PUSH(&g->outputs, o)))
                    s = norni_nomem();
            }
        }
        norni_attrs_release(op, attrs);
    }
    if (s != NORN_OK) {
        norn_graph_free(g);
        *out = NULL;
    }
    return s;
}
