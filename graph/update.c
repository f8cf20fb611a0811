/* SPDX-License-Identifier: Apache-2.0 */
/* Updates of states: pointwise nodes whose results are all next contents. What an optimizer does to a parameter is such a
 * cluster, and it does the same to every parameter; so these kernels work on any number of sets of buffers ("parts") in one
 * launch. OpenCL 1.2 knows no arrays of buffers, and 1024 bytes of arguments are all that a device need take: the kernel is
 * given the memory in which the buffers lie, which parts share, and a table:
 *
 *   a row a work-group: the number of elements, then the place of the first in each role's memory (parameter, gradient, ...)
 *
 * graph/load.c makes the table, which depends on where states lie; graph/memory_updates.c joins the steps. */
#include "graph/codegen.h"
#include <string.h>

typedef norni_group group;

bool norni_is_next(const norn_value *v) {
    const norn_graph *g = v->graph;
    for (size_t i = 0; i < g->states.n; i++)
        if (g->states.v[i].next == v)
            return true;
    return false;
}

/* Operands have the result's shape, or are scalars that all parts share (the learning rate). */
static bool is_update(const group *g) {
    const norni_type *out = &g->c->nodes[g->c->n_nodes - 1]->out[0]->type;
    if (norni_makes_blocked(g->e->form) || !norni_type_elems(out) || g->e->plan->load_node ||
        g->n_in + g->n_stored + 2 > NORNI_MAX_ARGS)
        return false;
    for (int i = 0; i < g->n_stored; i++)
        if (!norni_is_next(g->c->nodes[g->stored[i]]->out[0]))
            return false;
    for (int i = 0; i < g->n_in; i++) {
        const norni_type *t = &g->in[i].value->type;
        if (g->in[i].channel || (t->rank && !norni_shape_equal(t, out)))
            return false;
    }
    return true;
}

static bool is_shared(const group *g, int i) {
    return !g->in[i].value->type.rank && g->c->nodes[g->c->n_nodes - 1]->out[0]->type.rank;
}

static norn_status print_kernel(group *g, norni_str *s, const char *name, int w) {
    char type[24];
    int role = 0;
    norni_str body = {0};
    norni_str_addf(s, "__kernel void %s(", name);
    for (int i = 0; i < g->n_in; i++)
        if (is_shared(g, i))
            norni_str_addf(s, "__global const %s *p%d, ",
                           norni_code_storage(g->in[i].value->type.dtype, type), i);
    for (int i = 0; i < g->n_in; i++)
        if (!is_shared(g, i)) {
            const char *of = norni_code_storage(g->in[i].value->type.dtype, type);
            norni_str_addf(s, "__global const %s *m%d, ", of, role);
            norni_str_addf(&body, "    __global const %s *p%d = m%d + t[%d];\n", of, i, role, role + 1);
            role++;
        }
    for (int i = 0; i < g->n_stored; i++) {
        const char *of = norni_code_storage(g->c->nodes[g->stored[i]]->out[0]->type.dtype, type);
        norni_str_addf(s, "__global %s *m%d, ", of, role);
        norni_str_addf(&body, "    __global %s *y%d = m%d + t[%d];\n", of, i, role, role + 1);
        role++;
    }
    norni_str_addf(s,
                   "__global const ulong *table, const ulong first) {\n"
                   "    __global const ulong *t = table + (first + get_group_id(0)) * %d;\n"
                   "    const size_t n = t[0], f = 0;\n%s",
                   role + 1, body.s ? body.s : "");
    norni_str_free(&body);
    for (int i = 0; i < g->n_in; i++) {
        g->in[i].access = is_shared(g, i) ? AT_SPLAT : AT_FLAT;
        if (is_shared(g, i))
            norni_str_addf(s, "    const size_t o%d = 0;\n", i);
    }
    norni_str_addf(s, "    size_t j = get_local_id(0) * %d;\n", w);
    if (w > 1) {
        norni_str_addf(s, "    for (; j + %d <= n; j += get_local_size(0) * %d) {\n", w, w);
        NORNI_TRY(norni_code_body(g, s, w));
        /* The last elements are those of the one work-item that has got so far. */
        norni_str_add(s, "    }\n    for (; j < n; j++) {\n");
    } else
        norni_str_add(s, "    for (; j < n; j += get_local_size(0)) {\n");
    NORNI_TRY(norni_code_body(g, s, 1));
    norni_str_add(s, "    }\n}\n");
    return NORN_OK;
}

void norni_update_range(norni_step *s, const norn_device *d) {
    norni_parts *p = s->parts;
    size_t groups = 0, local = 1;
    int64_t total = 0;
    for (int i = 0; i < p->n; i++)
        total += p->elems[i];
    if (norni_device_is_cpu(d)) { /* some slack to balance, launches stay cheap */
        int64_t want = norni_ceil_div(total, (d->compute_units ? d->compute_units : 1) * 4);
        want = want < 2048 ? 2048 : want > 65536 ? 65536 : want;
        p->chunk = norni_ceil_div(want, 64) * 64;
    } else {
        p->chunk = 4096;
        local = 64;
    }
    for (int i = 0; i < p->n; i++)
        groups += (size_t)norni_ceil_div(p->elems[i], p->chunk);
    norni_step_range(s, 1, groups * local, 1, 1, local, 0, 0);
}

static void add_part(norni_emit *e, norni_step *s, norni_ref r, norni_access access) {
    norni_step_buffer(e, s, r, access);
    if (s->n_args) {
        s->args[s->n_args - 1].part = 1;
        s->args[s->n_args - 1].elementwise = access == NORNI_READ;
    }
}

norn_status norni_emit_update(norni_emit *e, const norni_cluster *c, const int *uses, bool *done) {
    group g = {.e = e, .c = c, .uses = uses};
    *done = false;
    if (c->anchor || !c->n_nodes || !norni_is_next(c->nodes[c->n_nodes - 1]->out[0]))
        return NORN_OK;
    NORNI_TRY(norni_code_collect(&g));
    if (!is_update(&g))
        return NORN_OK;
    int w = norni_code_width(&g);
    char name[80];
    norni_str s = {0};
    norni_code_name(&g, "update", name);
    norn_status st = print_kernel(&g, &s, name, w);
    if (st == NORN_OK && s.failed)
        st = norni_nomem();
    norni_step *step =
        st == NORN_OK ? norni_emit_source(e, "update", s.s, norni_arena_strdup(e->arena, name)) : NULL;
    norni_str_free(&s);
    if (!step)
        return st == NORN_OK ? e->status : st;
    norni_code_types(&g, step, w);
    norni_parts *p = step->parts = norni_arena_alloc(e->arena, sizeof *p);
    if (!p || !(p->elems = norni_arena_array(e->arena, 1, sizeof *p->elems)))
        return norni_nomem();
    *p = (norni_parts){.n = 1, .room = 1, .elems = p->elems};
    p->elems[0] = norni_type_elems(&c->nodes[c->n_nodes - 1]->out[0]->type);
    for (int i = 0; i < g.n_in; i++)
        if (is_shared(&g, i)) {
            norni_step_buffer(e, step, g.in[i].ref, NORNI_READ);
            p->shared++;
        }
    for (int i = 0; i < g.n_in; i++)
        if (!is_shared(&g, i))
            add_part(e, step, g.in[i].ref, NORNI_READ);
    for (int i = 0; i < g.n_stored; i++)
        add_part(e, step, norni_builder_value(e->plan, c->nodes[g.stored[i]]->out[0]), NORNI_WRITE);
    p->roles = step->n_args - p->shared;
    norni_update_range(step, e->device);
    for (int i = 0; i < c->n_nodes; i++)
        step->flops += (double)norni_type_elems(&c->nodes[i]->out[0]->type) * norni_expr_count(g.formulas[i]);
    *done = true;
    return e->status;
}
