/* SPDX-License-Identifier: Apache-2.0 */
/* The graph object: making, freeing, reading. */
#include "graph/graph.h"
#include "ops/op.h"
#include <string.h>

norn_status norn_graph_new(const char *name, norn_graph **out) {
    norni_arena *arena = norni_arena_new(0);
    norn_status s = norni_graph_new_in(name, arena, out);
    if (s != NORN_OK) {
        if (*out)
            norn_graph_free(*out);
        else
            norni_arena_free(arena);
        *out = NULL;
    }
    return s;
}

norn_status norn_graph_status(const norn_graph *g) {
    return g->status == NORN_OK ? NORN_OK
                                : norni_fail(g->status, "%s", g->error ? g->error : "out of host memory");
}

const char *norn_graph_name(const norn_graph *g) {
    return g->name;
}

norn_value *norn_graph_constant(norn_graph *g, const char *name, const norn_tensor *data) {
    norn_tensor *copy;
    if (g->status != NORN_OK)
        return NULL;
    norn_status s = norn_tensor_copy(data, NULL, &copy);
    return s == NORN_OK ? norni_value_const(g, name, copy) : norni_graph_failed(g, s);
}

norn_value *norn_graph_scalar(norn_graph *g, norn_dtype dtype, double value) {
    return norni_scalar_const(g, dtype, value);
}

norn_value *norn_graph_parameter(norn_graph *g, const char *name, const norn_tensor *initial) {
    norn_tensor *copy;
    if (g->status != NORN_OK)
        return NULL;
    if (!name || norni_graph_find(g, name))
        return norni_graph_failed(g, norni_fail(NORN_ARG, "parameter '%s': got a name that is %s",
                                                name ? name : "", name ? "taken" : "missing"));
    norn_status s = norn_tensor_copy(initial, NULL, &copy);
    if (s != NORN_OK)
        return norni_graph_failed(g, s);
    norni_type t = {.dtype = copy->dtype, .rank = copy->rank};
    memcpy(t.dims, copy->dims, sizeof t.dims);
    return norni_value_state(g, name, &t, copy);
}

norn_status norn_graph_update(norn_graph *g, norn_value *parameter, norn_value *next) {
    NORNI_TRY(norn_graph_status(g));
    if (!parameter || !next)
        return norni_fail(NORN_ARG, "update: got no value");
    if (!norni_type_equal(&parameter->type, &next->type)) {
        norni_str a = {0}, b = {0};
        norni_type_print(&a, g, &next->type);
        norni_type_print(&b, g, &parameter->type);
        norn_status s = norni_fail(NORN_SHAPE, "parameter '%s': its update has type %s (wanted %s)",
                                   parameter->name, a.s ? a.s : "", b.s ? b.s : "");
        norni_str_free(&a);
        norni_str_free(&b);
        return s;
    }
    for (size_t i = 0; i < g->states.n; i++)
        if (g->states.v[i].value == parameter) {
            g->states.v[i].next = next;
            return NORN_OK;
        }
    return norni_fail(NORN_ARG, "update: '%s' is not a parameter", parameter->name ? parameter->name : "");
}

norn_status norn_graph_output(norn_graph *g, const char *name, norn_value *v) {
    NORNI_TRY(norn_graph_status(g));
    if (!v || !name)
        return norni_fail(NORN_ARG, "output '%s': got no value", name ? name : "");
    for (size_t i = 0; i < g->outputs.n; i++)
        if (!strcmp(g->outputs.v[i].name, name))
            return norni_fail(NORN_ARG, "output '%s': the name is taken", name);
    norni_output o = {norni_arena_strdup(g->arena, name), v, {0}};
    if (!o.name || !NORNI_PUSH(&g->outputs, o))
        return norni_nomem();
    if (!v->name && !norni_graph_find(g, name))
        v->name = o.name;
    return NORN_OK;
}

norn_value *norn_none(void) {
    return NORNI_NONE;
}

size_t norn_graph_input_count(const norn_graph *g) {
    return g->inputs.n;
}
norn_value *norn_graph_input_at(const norn_graph *g, size_t i) {
    return i < g->inputs.n ? g->inputs.v[i] : NULL;
}
size_t norn_graph_output_count(const norn_graph *g) {
    return g->outputs.n;
}
norn_value *norn_graph_output_at(const norn_graph *g, size_t i) {
    return i < g->outputs.n ? g->outputs.v[i].value : NULL;
}
const char *norn_graph_output_name(const norn_graph *g, size_t i) {
    return i < g->outputs.n ? g->outputs.v[i].name : NULL;
}
size_t norn_graph_parameter_count(const norn_graph *g) {
    return g->states.n;
}
norn_value *norn_graph_parameter_at(const norn_graph *g, size_t i) {
    return i < g->states.n ? g->states.v[i].value : NULL;
}

static norn_value *named_constant(const norn_graph *g, size_t want, size_t *count) {
    *count = 0;
    for (size_t i = 0; i < g->values.n; i++) {
        norn_value *v = g->values.v[i];
        if (v->kind == NORNI_CONST && v->name && (*count)++ == want)
            return v;
    }
    return NULL;
}

size_t norn_graph_constant_count(const norn_graph *g) {
    size_t n;
    named_constant(g, SIZE_MAX, &n);
    return n;
}

norn_value *norn_graph_constant_at(const norn_graph *g, size_t i) {
    size_t n;
    return named_constant(g, i, &n);
}

norn_value *norn_graph_value(const norn_graph *g, const char *name) {
    for (size_t i = 0; i < g->outputs.n; i++)
        if (!strcmp(g->outputs.v[i].name, name))
            return g->outputs.v[i].value;
    return norni_graph_find(g, name);
}

const char *norn_value_name(const norn_value *v) {
    return v->name;
}
norn_dtype norn_value_dtype(const norn_value *v) {
    return v->type.dtype;
}
int norn_value_rank(const norn_value *v) {
    return v->type.rank;
}
int64_t norn_value_dim(const norn_value *v, int i) {
    return i >= 0 && i < v->type.rank && v->type.dims[i] >= 0 ? v->type.dims[i] : -1;
}
const norn_tensor *norn_value_data(const norn_value *v) {
    return v->data;
}

norn_status norn_value_type_text(const norn_value *v, char **out) {
    norni_str s = {0};
    norni_type_print(&s, v->graph, &v->type);
    *out = norni_str_take(&s);
    return *out ? NORN_OK : norni_nomem();
}

size_t norn_graph_node_count(const norn_graph *g) {
    return g->nodes.n;
}

norn_status norn_graph_node_at(norn_graph *g, size_t i, norn_node_info *out) {
    *out = (norn_node_info){0};
    if (i >= g->nodes.n)
        return norni_fail(NORN_ARG, "node %zu (wanted below %zu)", i, g->nodes.n);
    const norn_node *n = g->nodes.v[i];
    norni_str line = {0}, type = {0};
    norni_node_print(&line, n);
    bool is_static = n->n_out > 0;
    for (int k = 0; k < n->n_out; k++)
        if (n->out[k]) {
            if (!type.n)
                out->output_name = n->out[k]->name;
            if (!type.n)
                norni_type_print(&type, g, &n->out[k]->type);
            is_static = is_static && norni_type_static(&n->out[k]->type);
        }
    for (int k = 0; k < n->n_in; k++)
        if (n->in[k] && (n->in[k]->kind == NORNI_CONST || n->in[k]->kind == NORNI_STATE))
            out->parameters += norni_type_static(&n->in[k]->type) ? norni_type_elems(&n->in[k]->type) : 0;
        else
            is_static = is_static && (!n->in[k] || norni_type_static(&n->in[k]->type));
    out->name = n->name;
    out->supported = n->op != &norni_op_unknown;
    out->random = norni_node_random(n);
    out->op = out->supported ? n->op->name : n->type;
    out->domain = out->supported ? n->op->domain : n->domain;
    if (is_static && out->supported) {
        norni_cost c;
        norni_node_cost(n, &c);
        out->flops = c.flops;
    }
    out->line = norni_arena_strdup(g->arena, line.s ? line.s : "");
    out->output_type = norni_arena_strdup(g->arena, type.s ? type.s : "");
    norni_str_free(&line);
    norni_str_free(&type);
    return out->line && out->output_type ? NORN_OK : norni_nomem();
}

int *norni_graph_uses(const norn_graph *g) {
    int *uses = norni_alloc_array(g->values.n, sizeof *uses);
    if (!uses)
        return NULL;
    for (size_t i = 0; i < g->nodes.n; i++)
        for (int k = 0; k < g->nodes.v[i]->n_in; k++)
            if (g->nodes.v[i]->in[k])
                uses[g->nodes.v[i]->in[k]->id]++;
    for (size_t i = 0; i < g->outputs.n; i++)
        uses[g->outputs.v[i].value->id]++;
    for (size_t i = 0; i < g->states.n; i++)
        if (g->states.v[i].next)
            uses[g->states.v[i].next->id]++;
    return uses;
}

norn_status norn_graph_unsupported(const norn_graph *g, char **out) {
    norni_str s = {0};
    for (size_t i = 0; i < g->nodes.n; i++) {
        const norn_node *n = g->nodes.v[i];
        if (n->op != &norni_op_unknown)
            continue;
        norni_str_addf(&s, "%s%s%s", n->domain ? n->domain : "", n->domain && *n->domain ? "." : "", n->type);
        if (n->name)
            norni_str_addf(&s, " (node '%s')", n->name);
        norni_str_add(&s, "\n");
    }
    *out = s.n ? norni_str_take(&s) : NULL;
    bool failed = s.failed;
    norni_str_free(&s);
    return failed ? norni_nomem() : NORN_OK;
}
