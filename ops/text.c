/* SPDX-License-Identifier: Apache-2.0 */
/* One operator instance as one line, in a subset of ONNX's textual syntax:
 *   Conv<strides=[2,2]>(float[1,3,8,8], float[4,3,3,3])
 *   Reshape(float[2,6], int64[2]{3,4})
 *   MaxPool<kernel_shape=[2,2]>(float[1,3,8,8]) => 2
 * An absent optional input is "_". Elements follow a type where they matter. "=> n" asks for the first n
 * outputs. */
#include "ops/op.h"
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void print_elems(norni_str *out, const norn_tensor *t) {
    norni_str_add(out, "{");
    int64_t n = norni_tensor_elems(t);
    for (int64_t i = 0; i < n; i++) {
        if (i)
            norni_str_add(out, ",");
        if (!norni_dtype_is_float(t->dtype))
            norni_str_addf(out, "%lld", (long long)norni_get_int(t->dtype, norni_tensor_data(t), i));
        else if (t->dtype == NORN_F64)
            norni_str_add_double(out, norni_get_double(t->dtype, norni_tensor_data(t), i));
        else
            norni_str_add_float(out, (float)norni_get_double(t->dtype, norni_tensor_data(t), i));
    }
    norni_str_add(out, "}");
}

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
            print_elems(out, v->data);
    }
    norni_str_add(out, ")");
    int last = 0;
    unsigned wanted = 0;
    for (int k = 0; k < node->n_out && node->op != &norni_op_unknown; k++)
        if (node->out[k] && !(norni_op_output(node->op, k)->flags & NORNI_STASH)) {
            wanted |= 1u << k;
            last = k + 1;
        }
    if (last && wanted != default_outputs(node->op))
        norni_str_addf(out, " => %d", last);
}

/* ---- Parsing. */
typedef struct {
    const char *text, *at;
    norni_arena *arena;
} reader;

static norn_status expected(const reader *r, const char *wanted) {
    return norni_fail(NORN_PARSE, "'%s': column %d: got '%.16s' (wanted %s)", r->text,
                      (int)(r->at - r->text) + 1, r->at, wanted);
}

static void spaces(reader *r) {
    while (isspace((unsigned char)*r->at))
        r->at++;
}

static bool take(reader *r, char c) {
    spaces(r);
    if (*r->at != c)
        return false;
    r->at++;
    return true;
}

static size_t word(reader *r, const char **start) {
    spaces(r);
    *start = r->at;
    while (isalnum((unsigned char)*r->at) || *r->at == '_')
        r->at++;
    return (size_t)(r->at - *start);
}

static norn_status quoted(reader *r, const char **out) {
    if (!take(r, '"'))
        return expected(r, "'\"'");
    norni_str s = {0};
    norni_str_addn(&s, "", 0);
    while (*r->at && *r->at != '"') {
        if (*r->at == '\\' && r->at[1])
            r->at++;
        norni_str_addn(&s, r->at++, 1);
    }
    char *copy = s.failed ? NULL : norni_arena_strdup(r->arena, s.s);
    norni_str_free(&s);
    if (!copy)
        return norni_nomem();
    *out = copy;
    return take(r, '"') ? NORN_OK : expected(r, "'\"'");
}

static norn_status number(reader *r, bool *integer, int64_t *i, double *d) {
    spaces(r);
    char *end;
    const char *start = r->at;
    *d = norni_strtod(start, &end);
    if (end == start)
        return expected(r, "a number");
    *integer = true;
    for (const char *c = start; c < end; c++)
        *integer &= isdigit((unsigned char)*c) || *c == '-' || *c == '+';
    errno = 0;
    *i = *integer ? strtoll(start, NULL, 10) : norni_double_to_int(*d);
    if (*integer && errno == ERANGE)
        return expected(r, "a 64-bit integer");
    r->at = end;
    return NORN_OK;
}

enum { MAX_LIST = 4096 };

static norn_status list(reader *r, norni_attr_value *v) {
    int n = 0;
    bool all_int = true;
    int64_t *ints = norni_arena_array(r->arena, MAX_LIST, sizeof *ints);
    float *floats = norni_arena_array(r->arena, MAX_LIST, sizeof *floats);
    const char **strings = norni_arena_array(r->arena, MAX_LIST, sizeof *strings);
    if (!ints || !floats || !strings)
        return norni_nomem();
    spaces(r);
    bool text = *r->at == '"';
    while (!take(r, ']')) {
        if (n && !take(r, ','))
            return expected(r, "',' or ']'");
        if (n == MAX_LIST)
            return expected(r, "a shorter list");
        if (text)
            NORNI_TRY(quoted(r, &strings[n]));
        else {
            bool integer;
            double d;
            NORNI_TRY(number(r, &integer, &ints[n], &d));
            floats[n] = (float)d;
            all_int &= integer;
        }
        n++;
    }
    if (text)
        *v = (norni_attr_value){.kind = NORNI_ATTR_STRINGS, .strings = {n, strings}};
    else if (all_int)
        *v = (norni_attr_value){.kind = NORNI_ATTR_INTS, .ints = {n, ints}};
    else
        *v = (norni_attr_value){.kind = NORNI_ATTR_FLOATS, .floats = {n, floats}};
    return NORN_OK;
}

static norn_status type(reader *r, norn_graph *g, norni_type *t) {
    const char *name;
    size_t n = word(r, &name);
    *t = (norni_type){.dtype = norni_dtype_parse(name, n)};
    if (t->dtype == NORN_UNDEFINED) {
        r->at = name;
        return expected(r, "an element type");
    }
    if (!take(r, '['))
        return NORN_OK;
    while (!take(r, ']')) {
        if (t->rank && !take(r, ','))
            return expected(r, "',' or ']'");
        if (t->rank == NORN_MAX_RANK)
            return expected(r, "at most 8 dimensions");
        spaces(r);
        if (isdigit((unsigned char)*r->at)) {
            bool integer;
            double d;
            int64_t i;
            NORNI_TRY(number(r, &integer, &i, &d));
            t->dims[t->rank++] = i;
            continue;
        }
        char dim[64];
        n = word(r, &name);
        if (!n || n >= sizeof dim || !g)
            return expected(r, g ? "a size or its name" : "a size");
        memcpy(dim, name, n);
        dim[n] = 0;
        t->dims[t->rank++] = norni_dim_named(g, dim);
    }
    return NORN_OK;
}

static norn_status elems(reader *r, const norni_type *t, norn_tensor **out) {
    if (!norni_type_static(t))
        return expected(r, "no elements: the type has named sizes");
    NORNI_TRY(norni_tensor_host(t->dtype, t->rank, t->dims, out));
    int64_t n = norni_tensor_elems(*out);
    for (int64_t i = 0; i < n; i++) {
        bool integer;
        int64_t v;
        double d;
        if (i && !take(r, ','))
            return expected(r, "','");
        NORNI_TRY(number(r, &integer, &v, &d));
        if (integer && !norni_dtype_is_float(t->dtype))
            norni_set_int(t->dtype, norni_tensor_data(*out), i, v);
        else
            norni_set_double(t->dtype, norni_tensor_data(*out), i, d);
    }
    return take(r, '}') ? NORN_OK : expected(r, "'}'");
}

static norn_status attr_value(reader *r, norni_attr_value *v, norn_tensor **owned) {
    spaces(r);
    if (*r->at == '"') {
        v->kind = NORNI_ATTR_STRING;
        return quoted(r, &v->s);
    }
    if (take(r, '['))
        return list(r, v);
    if (isalpha((unsigned char)*r->at) && strncmp(r->at, "inf", 3) && strncmp(r->at, "nan", 3)) {
        norni_type t;
        NORNI_TRY(type(r, NULL, &t));
        if (!take(r, '{'))
            return expected(r, "'{'");
        NORNI_TRY(elems(r, &t, owned));
        *v = (norni_attr_value){.kind = NORNI_ATTR_TENSOR, .t = *owned};
        return NORN_OK;
    }
    bool integer;
    double d;
    int64_t i;
    NORNI_TRY(number(r, &integer, &i, &d));
    *v = (norni_attr_value){.kind = integer ? NORNI_ATTR_INT : NORNI_ATTR_FLOAT, .i = i, .f = (float)d};
    return NORN_OK;
}

static norn_status attributes(reader *r, const norn_op *op, void *attrs) {
    uint64_t seen = 0;
    if (!take(r, '<'))
        return norni_attrs_complete(op, 0);
    do {
        char key[64];
        const char *name;
        size_t n = word(r, &name);
        if (!n || n >= sizeof key)
            return expected(r, "the name of an attribute");
        memcpy(key, name, n);
        key[n] = 0;
        if (!take(r, '='))
            return expected(r, "'='");
        norni_attr_value v = {0};
        norn_tensor *owned = NULL;
        norn_status s = attr_value(r, &v, &owned);
        if (s == NORN_OK)
            s = norni_attrs_set(op, attrs, r->arena, key, &v);
        norn_tensor_free(owned);
        NORNI_TRY(s);
        seen |= (uint64_t)1 << (norni_attr_find(op, key) - op->attrs);
    } while (take(r, ','));
    return take(r, '>') ? norni_attrs_complete(op, seen) : expected(r, "',' or '>'");
}

norn_status norni_op_parse(const char *text, norni_arena *arena, const norn_op **op, void **attrs,
                           const char **end) {
    reader r = {text, text, arena};
    const char *name;
    char key[128], *dot;
    spaces(&r);
    name = r.at;
    while (isalnum((unsigned char)*r.at) || *r.at == '_' || *r.at == '.')
        r.at++;
    size_t n = (size_t)(r.at - name);
    if (!n || n >= sizeof key)
        return expected(&r, "the name of an operator");
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
    norn_status s = attributes(&r, *op, *attrs);
    *end = r.at;
    if (s != NORN_OK)
        norni_attrs_release(*op, *attrs);
    return s;
}

static norn_status inputs(reader *r, norn_graph *g, const norn_op *op, norn_value **in, int *n_in) {
    if (!take(r, '('))
        return expected(r, "'('");
    while (!take(r, ')')) {
        if (*n_in && !take(r, ','))
            return expected(r, "',' or ')'");
        const norni_param *p = norni_op_input(op, *n_in);
        if (*n_in == 32 || !p)
            return expected(r, "fewer inputs");
        if (take(r, '_')) {
            in[(*n_in)++] = NORNI_NONE;
            continue;
        }
        norni_type t;
        NORNI_TRY(type(r, g, &t));
        norn_tensor *data = NULL;
        norn_status s = take(r, '{') ? elems(r, &t, &data) : NORN_OK;
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
static norn_status outputs(reader *r, const norn_op *op, unsigned *wanted) {
    *wanted = default_outputs(op);
    spaces(r);
    if (!strncmp(r->at, "=>", 2)) {
        bool integer;
        int64_t n;
        double d;
        r->at += 2;
        NORNI_TRY(number(r, &integer, &n, &d));
        if (n < 1 || n > 32 || !norni_op_output(op, (int)n - 1))
            return norni_fail(NORN_ARG, "'%s': %lld outputs wanted (%s has fewer)", r->text, (long long)n,
                              op->name);
        *wanted = n == 32 ? ~0u : (1u << n) - 1;
        spaces(r);
    }
    return *r->at ? expected(r, "the end") : NORN_OK;
}

norn_status norni_node_parse(const char *text, norn_graph **out) {
    NORNI_TRY(norn_graph_new("op", out));
    norn_graph *g = *out;
    const norn_op *op;
    void *attrs = NULL;
    reader r = {text, text, g->arena};
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
