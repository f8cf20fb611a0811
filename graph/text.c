/* SPDX-License-Identifier: Apache-2.0 */
/* Graphs as text, after ONNX's textual syntax:
 *
 *   digits (float[N,1,8,8] x, int64[N] labels) => (float[N,10] scores)
 *   <float[10,64] w = {0.1, ...} -> w_next, int64[1] axes = {1}>
 *   {
 *      [fc] h = Gemm<transB=1>(flat, w)
 *      y, _, mask = Op(h, _, axes)
 *   }
 *
 * Between < and > stand constants, and states with "-> NEXT" behind them. Unnamed values are %0, %1, ...
 * Names that are not words of letters, digits, '_', '.', '/', ':' and '-' are quoted. Absent inputs and
 * outputs are "_". */
#include "graph/graph.h"
#include "ops/op.h"
#include "ops/reader.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>

static bool plain_char(char c) {
    return isalnum((unsigned char)c) || strchr("_./:-", c);
}

static void print_name(norni_str *s, const char *name) {
    bool plain = *name && !isdigit((unsigned char)*name) && strcmp(name, "_") && *name != '-';
    for (const char *c = name; *c && plain; c++)
        plain = plain_char(*c);
    if (plain) {
        norni_str_add(s, name);
        return;
    }
    norni_str_add(s, "\"");
    for (const char *c = name; *c; c++) {
        if (*c == '"' || *c == '\\')
            norni_str_add(s, "\\");
        norni_str_addn(s, c, 1);
    }
    norni_str_add(s, "\"");
}

static void print_value(norni_str *s, const norn_value *v) {
    if (!v)
        norni_str_add(s, "_");
    else if (v->name)
        print_name(s, v->name);
    else
        norni_str_addf(s, "%%%d", v->id);
}

static void print_typed(norni_str *s, const norn_graph *g, const norn_value *v, const char *name) {
    norni_type_print(s, g, &v->type);
    norni_str_add(s, " ");
    if (name)
        print_name(s, name);
    else
        print_value(s, v);
}

static void print_data(norni_str *s, const norn_value *v, int64_t limit) {
    norni_str_add(s, " = ");
    if (v->data && (limit < 0 || norni_tensor_elems(v->data) <= limit))
        norni_print_elems(s, v->data);
    else
        norni_str_add(s, "{...}");
}

/* The constants that something reads, in order of their ids. */
static bool *read_values(const norn_graph *g) {
    bool *read = norni_alloc_array(g->values.n + 1, sizeof *read);
    for (size_t i = 0; read && i < g->nodes.n; i++)
        for (int k = 0; k < g->nodes.v[i]->n_in; k++)
            if (g->nodes.v[i]->in[k])
                read[g->nodes.v[i]->in[k]->id] = true;
    for (size_t i = 0; read && i < g->outputs.n; i++)
        read[g->outputs.v[i].value->id] = true;
    for (size_t i = 0; read && i < g->states.n; i++)
        if (g->states.v[i].next)
            read[g->states.v[i].next->id] = true;
    return read;
}

norn_status norn_graph_print(const norn_graph *g, int64_t limit, char **out) {
    norni_str s = {0};
    bool *read = read_values(g);
    *out = NULL;
    if (!read)
        return norni_nomem();
    print_name(&s, g->name);
    norni_str_add(&s, " (");
    for (size_t i = 0; i < g->inputs.n; i++) {
        norni_str_add(&s, i ? ", " : "");
        print_typed(&s, g, g->inputs.v[i], NULL);
    }
    norni_str_add(&s, ") => (");
    for (size_t i = 0; i < g->outputs.n; i++) {
        const norn_value *v = g->outputs.v[i].value;
        norni_str_add(&s, i ? ", " : "");
        print_typed(&s, g, v, g->outputs.v[i].name);
        if (!v->name || strcmp(v->name, g->outputs.v[i].name)) {
            norni_str_add(&s, " = ");
            print_value(&s, v);
        }
    }
    norni_str_add(&s, ")\n");
    const char *before = "<";
    for (size_t i = 0; i < g->states.n; i++) {
        norni_str_add(&s, before);
        print_typed(&s, g, g->states.v[i].value, NULL);
        print_data(&s, g->states.v[i].value, limit);
        norni_str_add(&s, " -> ");
        print_value(&s, g->states.v[i].next ? g->states.v[i].next : g->states.v[i].value);
        before = ",\n ";
    }
    for (size_t i = 0; i < g->values.n; i++)
        if (g->values.v[i]->kind == NORNI_CONST && read[i]) {
            norni_str_add(&s, before);
            print_typed(&s, g, g->values.v[i], NULL);
            print_data(&s, g->values.v[i], limit);
            before = ",\n ";
        }
    norni_str_add(&s, *before == '<' ? "{\n" : ">\n{\n");
    for (size_t i = 0; i < g->nodes.n; i++) {
        const norn_node *n = g->nodes.v[i];
        int last = n->n_out;
        norni_str_add(&s, "   ");
        if (n->name) {
            norni_str_add(&s, "[");
            print_name(&s, n->name);
            norni_str_add(&s, "] ");
        }
        while (last > 1 && !n->out[last - 1])
            last--;
        for (int k = 0; k < last; k++) {
            norni_str_add(&s, k ? ", " : "");
            print_value(&s, n->out[k]);
        }
        norni_str_add(&s, " = ");
        if (n->op == &norni_op_unknown)
            norni_str_addf(&s, "%s%s%s", n->domain ? n->domain : "", n->domain && *n->domain ? "." : "",
                           n->type ? n->type : "?");
        else {
            norni_str_addf(&s, "%s%s%s", n->op->domain, *n->op->domain ? "." : "", n->op->name);
            norni_attrs_print(&s, n->op, n->attrs);
        }
        norni_str_add(&s, "(");
        for (int k = 0; k < n->n_in; k++) {
            norni_str_add(&s, k ? ", " : "");
            print_value(&s, n->in[k]);
        }
        norni_str_add(&s, ")\n");
    }
    norni_str_add(&s, "}\n");
    norni_free(read);
    *out = norni_str_take(&s);
    return *out ? NORN_OK : norni_nomem();
}

/* ---- Parsing. */
typedef struct {
    norni_reader r;
    norn_graph *g;
    struct {
        const char *name;
        norn_value *value;
    } * names; /* what has been defined so far */
    size_t n_names, cap;
} parser;

static norn_status define(parser *p, const char *name, norn_value *v) {
    if (!v)
        return norn_graph_status(p->g);
    for (size_t i = 0; i < p->n_names; i++)
        if (!strcmp(p->names[i].name, name))
            return norni_fail(NORN_PARSE, "graph text: '%s' is defined twice", name);
    if (!norni_vec_room((void **)&p->names, p->n_names, &p->cap, sizeof *p->names))
        return norni_nomem();
    p->names[p->n_names].name = name;
    p->names[p->n_names++].value = v;
    return NORN_OK;
}

static norn_status name_of(parser *p, const char **out) {
    norni_reader *r = &p->r;
    norni_read_spaces(r);
    if (*r->at == '"')
        return norni_read_quoted(r, out);
    const char *start = r->at;
    if (*r->at == '%')
        r->at++;
    while (*r->at && plain_char(*r->at) && !(r->at[0] == '-' && r->at[1] == '>'))
        r->at++;
    if (r->at == start)
        return norni_read_expected(r, "a name");
    *out = norni_arena_strndup(r->arena, start, (size_t)(r->at - start));
    return *out ? NORN_OK : norni_nomem();
}

/* A defined value; "_" gives `absent`. */
static norn_status use(parser *p, norn_value **out, norn_value *absent) {
    const char *name;
    NORNI_TRY(name_of(p, &name));
    *out = absent;
    if (absent && !strcmp(name, "_"))
        return NORN_OK;
    for (size_t i = 0; i < p->n_names; i++)
        if (!strcmp(p->names[i].name, name)) {
            *out = p->names[i].value;
            return NORN_OK;
        }
    return norni_fail(NORN_PARSE, "graph text: '%s' is read before it is defined", name);
}

static norn_status expect(parser *p, const char *token) {
    norni_read_spaces(&p->r);
    size_t n = strlen(token);
    char wanted[16];
    snprintf(wanted, sizeof wanted, "'%s'", token);
    if (strncmp(p->r.at, token, n))
        return norni_read_expected(&p->r, wanted);
    p->r.at += n;
    return NORN_OK;
}

typedef struct {
    const char *name, *source; /* source: what it is called inside; NULL: the same */
} named_output;
typedef struct {
    norn_value *state;
    const char *next;
} pending_state;

static norn_status parse_outputs(parser *p, named_output **out, size_t *n) {
    size_t cap = 0;
    norni_type t;
    while (!norni_read_take(&p->r, ')')) {
        if (*n)
            NORNI_TRY(expect(p, ","));
        NORNI_TRY(norni_read_type(&p->r, p->g, &t));
        if (!norni_vec_room((void **)out, *n, &cap, sizeof **out))
            return norni_nomem();
        named_output *o = &(*out)[(*n)++];
        *o = (named_output){0};
        NORNI_TRY(name_of(p, &o->name));
        if (norni_read_take(&p->r, '='))
            NORNI_TRY(name_of(p, &o->source));
    }
    return NORN_OK;
}

static norn_status parse_constants(parser *p, pending_state **states, size_t *n) {
    size_t cap = 0;
    norni_type t;
    do {
        const char *name;
        norn_tensor *data = NULL;
        NORNI_TRY(norni_read_type(&p->r, p->g, &t));
        NORNI_TRY(name_of(p, &name));
        NORNI_TRY(expect(p, "="));
        NORNI_TRY(expect(p, "{"));
        if (*p->r.at == '.')
            return norni_fail(NORN_PARSE,
                              "graph text: the elements of '%s' were left out when it was printed", name);
        norn_status s = norni_read_elems(&p->r, &t, &data);
        if (s != NORN_OK) {
            norn_tensor_free(data);
            return s;
        }
        const char *own = *name == '%' ? NULL : name;
        norni_read_spaces(&p->r);
        if (strncmp(p->r.at, "->", 2)) {
            NORNI_TRY(define(p, name, norni_value_const(p->g, own, data)));
            continue;
        }
        p->r.at += 2;
        norn_value *v = norni_value_state(p->g, own ? own : name, &t, data);
        NORNI_TRY(define(p, name, v));
        if (!norni_vec_room((void **)states, *n, &cap, sizeof **states))
            return norni_nomem();
        (*states)[*n].state = v;
        NORNI_TRY(name_of(p, &(*states)[(*n)++].next));
    } while (norni_read_take(&p->r, ','));
    return expect(p, ">");
}

static norn_status parse_node(parser *p) {
    const char *node_name = NULL, *out[32] = {0}, *end;
    norn_value *in[32];
    int n_out = 0, n_in = 0;
    unsigned wanted = 0;
    if (norni_read_take(&p->r, '[')) {
        NORNI_TRY(name_of(p, &node_name));
        NORNI_TRY(expect(p, "]"));
    }
    do {
        if (n_out == 32)
            return norni_read_expected(&p->r, "at most 32 outputs");
        NORNI_TRY(name_of(p, &out[n_out]));
        wanted |= strcmp(out[n_out], "_") ? 1u << n_out : 0;
        n_out++;
    } while (norni_read_take(&p->r, ','));
    NORNI_TRY(expect(p, "="));
    const norn_op *op;
    void *attrs;
    NORNI_TRY(norni_op_parse(p->r.at, p->r.arena, &op, &attrs, &end));
    p->r.at = end;
    norn_status s = expect(p, "(");
    while (s == NORN_OK && !norni_read_take(&p->r, ')')) {
        if (n_in)
            s = expect(p, ",");
        if (n_in == 32 && s == NORN_OK)
            s = norni_read_expected(&p->r, "at most 32 inputs");
        if (s == NORN_OK)
            s = use(p, &in[n_in], NORNI_NONE);
        n_in++;
    }
    norn_node *node = s == NORN_OK ? norni_apply(p->g, op, attrs, n_in, in, wanted) : NULL;
    norni_attrs_release(op, attrs);
    NORNI_TRY(s);
    if (!node)
        return norn_graph_status(p->g);
    node->name = node_name;
    for (int k = 0; k < n_out; k++)
        if (wanted >> k & 1) {
            node->out[k]->name = *out[k] == '%' ? NULL : out[k];
            NORNI_TRY(define(p, out[k], node->out[k]));
        }
    return NORN_OK;
}

static norn_status find(const parser *p, const char *name, norn_value **out) {
    for (size_t i = 0; i < p->n_names; i++)
        if (!strcmp(p->names[i].name, name)) {
            *out = p->names[i].value;
            return NORN_OK;
        }
    return norni_fail(NORN_PARSE, "graph text: '%s' is never defined", name);
}

static norn_status parse_graph(parser *p, named_output **outputs, pending_state **states) {
    const char *name;
    size_t n_outputs = 0, n_states = 0;
    norni_type t;
    norn_value *v;
    NORNI_TRY(name_of(p, &p->g->name));
    NORNI_TRY(expect(p, "("));
    for (bool first = true; !norni_read_take(&p->r, ')'); first = false) {
        if (!first)
            NORNI_TRY(expect(p, ","));
        NORNI_TRY(norni_read_type(&p->r, p->g, &t));
        NORNI_TRY(name_of(p, &name));
        NORNI_TRY(define(p, name, norni_value_input(p->g, name, &t)));
    }
    NORNI_TRY(expect(p, "=>"));
    NORNI_TRY(expect(p, "("));
    NORNI_TRY(parse_outputs(p, outputs, &n_outputs));
    if (norni_read_take(&p->r, '<'))
        NORNI_TRY(parse_constants(p, states, &n_states));
    NORNI_TRY(expect(p, "{"));
    while (!norni_read_take(&p->r, '}'))
        NORNI_TRY(parse_node(p));
    norni_read_spaces(&p->r);
    if (*p->r.at)
        return norni_read_expected(&p->r, "the end");
    for (size_t i = 0; i < n_outputs; i++) {
        named_output *o = &(*outputs)[i];
        NORNI_TRY(find(p, o->source ? o->source : o->name, &v));
        NORNI_TRY(norn_graph_output(p->g, o->name, v));
    }
    for (size_t i = 0; i < n_states; i++) {
        NORNI_TRY(find(p, (*states)[i].next, &v));
        if (v != (*states)[i].state)
            NORNI_TRY(norn_graph_update(p->g, (*states)[i].state, v));
    }
    return NORN_OK;
}

norn_status norn_graph_parse(const char *text, norn_graph **out) {
    NORNI_TRY(norn_graph_new("graph", out));
    parser p = {.r = {text, text, (*out)->arena}, .g = *out};
    named_output *outputs = NULL;
    pending_state *states = NULL;
    norn_status s = parse_graph(&p, &outputs, &states);
    norni_free(outputs);
    norni_free(states);
    norni_free(p.names);
    if (s != NORN_OK) {
        norn_graph_free(*out);
        *out = NULL;
    }
    return s;
}
