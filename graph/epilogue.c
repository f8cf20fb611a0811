/* SPDX-License-Identifier: Apache-2.0 */
/* Pointwise nodes as the epilogue of another node's kernel: the same statements as in a kernel of their own
 * (graph/codegen.c), over operands that are addressed by the place of the result. */
#include "graph/codegen.h"
#include <stdio.h>
#include <string.h>

typedef norni_operand_code operand;
typedef norni_group group;

typedef struct {
    norni_epilogue base;
    group g;
    int axis;
} epilogue;

static norn_status print_epilogue(epilogue *p, norni_str *s, int w, norni_lanes lanes) {
    group *g = &p->g;
    char type[24];
    const norni_type *out = &g->c->nodes[g->c->n_nodes - 1]->out[0]->type;
    norni_cl_type(norni_compute_dtype(g->anchor->type.dtype), w, type);
    norn_dtype ret = norni_compute_dtype(out->dtype);
    char ret_type[24];
    norni_str_addf(s, "static inline %s norni_epi_%d(const %s acc, const size_t i, const size_t c",
                   norni_cl_type(ret, w, ret_type), w, type);
    for (int k = 0; k < g->n_in; k++)
        norni_str_addf(s, ", __global const %s *e%d", norni_code_storage(g->in[k].value->type.dtype, type),
                       k);
    for (int k = 0; k < g->n_stored - 1; k++)
        norni_str_addf(s, ", __global %s *z%d",
                       norni_code_storage(g->c->nodes[g->stored[k]]->out[0]->type.dtype, type), k);
    norni_str_add(s, ") {\n");
    for (int k = 0; k < g->n_in; k++) {
        const operand *o = &g->in[k];
        norn_dtype t = o->value->type.dtype;
        char ptr[16];
        snprintf(ptr, sizeof ptr, "e%d", k);
        norni_str_addf(s, "    const %s x%d = ", norni_cl_type(norni_compute_dtype(t), w, type), k);
        if (norni_shape_equal(&o->value->type, out) && !o->channel)
            norni_code_load(s, t, w, ptr, "i");
        else if (norni_type_elems(&o->value->type) == 1)
            norni_code_splat(s, t, w, ptr, "0");
        else if (lanes == NORNI_LANES_CHANNELS)
            norni_code_load(s, t, w, ptr, "c");
        else
            norni_code_splat(s, t, w, ptr, "c");
        norni_str_add(s, ";\n");
    }
    NORNI_TRY(norni_code_nodes(g, s, w, "    "));
    for (int k = 0; k < g->n_stored - 1; k++) {
        char ptr[16], v[16];
        snprintf(ptr, sizeof ptr, "z%d", k);
        snprintf(v, sizeof v, "v%d", g->stored[k]);
        norni_str_add(s, "    ");
        norni_code_store(s, g->c->nodes[g->stored[k]]->out[0]->type.dtype, w, ptr, "i", v);
    }
    norni_str_addf(s, "    return v%d;\n}\n", g->c->n_nodes - 1);
    return NORN_OK;
}

/* How a result of another type than the anchor's is stored. */
static void print_stores(norni_str *s, norn_dtype t, unsigned widths) {
    char type[24];
    for (int w = 1; w <= 16; w *= 2) {
        if (!(widths & (unsigned)w))
            continue;
        norni_str_addf(s, "static inline void norni_epi_st%d(__global %s *p, const size_t i, ", w,
                       norni_code_storage(t, type));
        norni_str_addf(s, "const %s v) {\n    ", norni_cl_type(norni_compute_dtype(t), w, type));
        norni_code_store(s, t, w, "p", "i", "v");
        norni_str_add(s, "}\n");
    }
    norni_str_addf(s,
                   "#undef NORNI_EPI_T\n#undef NORNI_EPI_ST\n#define NORNI_EPI_T %s\n"
                   "#define NORNI_EPI_ST(w, p, i, v) NORNI_CAT(norni_epi_st, w)(p, i, v)\n",
                   norni_code_storage(t, type));
}

/* About how many there are in an epilogue: one a node, and more for each call of the prelude's long functions. */
static int operations(const norni_str *text, int nodes) {
    static const char *const names[] = {"norni_exp_", "norni_erf_", "norni_tanh_", "norni_sigmoid_",
                                        "norni_mod_"};
    enum { OF_FUNCTION = 8 };
    int n = nodes;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        for (const char *at = text->s; at && (at = strstr(at, names[i])); at++)
            n += OF_FUNCTION;
    return n;
}

static void attach(norni_emit *e, norni_step *s, norni_lanes lanes, unsigned widths) {
    epilogue *p = (epilogue *)e->epilogue;
    group *g = &p->g;
    norni_str text = {0};
    char type[24];
    norn_status st = NORN_OK;
    for (int w = 1; w <= 16 && st == NORN_OK; w *= 2)
        if (widths & (unsigned)w)
            st = print_epilogue(p, &text, w, lanes);
    const norni_type *out = &g->c->nodes[g->c->n_nodes - 1]->out[0]->type;
    if (g->c->anchor->op->epilogue_retypes)
        print_stores(&text, out->dtype, widths);
    norni_str_addf(
        &text, "#undef NORNI_EPI\n#undef NORNI_EPI_ARGS\n#undef NORNI_EPI_OPS\n#define NORNI_EPI_OPS %d\n",
        operations(&text, g->c->n_nodes - 1));
    norni_str_add(&text, "#define NORNI_EPI_ARGS ");
    for (int k = 0; k < g->n_in; k++)
        norni_str_addf(&text, ", __global const %s *norni_e%d",
                       norni_code_storage(g->in[k].value->type.dtype, type), k);
    for (int k = 0; k < g->n_stored - 1; k++)
        norni_str_addf(&text, ", __global %s *norni_z%d",
                       norni_code_storage(g->c->nodes[g->stored[k]]->out[0]->type.dtype, type), k);
    norni_str_add(&text, "\n#define NORNI_EPI(w, acc, i, c) NORNI_CAT(norni_epi_, w)(acc, i, c");
    for (int k = 0; k < g->n_in; k++)
        norni_str_addf(&text, ", norni_e%d", k);
    for (int k = 0; k < g->n_stored - 1; k++)
        norni_str_addf(&text, ", norni_z%d", k);
    norni_str_add(&text, ")\n");
    if (st == NORN_OK && text.failed)
        st = norni_nomem();
    s->source = st == NORN_OK ? norni_arena_strdup(e->arena, text.s) : NULL;
    norni_str_free(&text);
    if (!s->source) {
        if (e->status == NORN_OK)
            e->status = st == NORN_OK ? norni_nomem() : st;
        return;
    }
    /* Only the widest of the vector forms of the prelude's helpers is needed: kernels use one width and 1. */
    int widest = 1;
    for (int w = 2; w <= 16; w *= 2)
        widest = widths & (unsigned)w ? w : widest;
    norni_code_types(g, s, widest);
    for (int k = 0; k < g->n_in; k++) {
        norni_step_buffer(e, s, g->in[k].ref, NORNI_READ);
        if (s->n_args)
            s->args[s->n_args - 1].elementwise =
                p->base.once && !g->in[k].channel && norni_shape_equal(&g->in[k].value->type, out);
    }
    for (int k = 0; k < g->n_stored - 1; k++)
        norni_step_buffer(e, s, norni_builder_value(e->plan, g->c->nodes[g->stored[k]]->out[0]), NORNI_WRITE);
}

norn_status norni_epilogue_new(norni_emit *e, const norni_cluster *c, const int *uses, norni_epilogue **out) {
    epilogue *p = norni_arena_alloc(e->arena, sizeof *p);
    if (!p)
        return norni_nomem();
    p->g = (group){.e = e, .c = c, .uses = uses, .anchor = c->anchor->out[0]};
    p->base.attach = attach;
    NORNI_TRY(norni_code_collect(&p->g));
    p->base.out = norni_builder_value(e->plan, c->nodes[c->n_nodes - 1]->out[0]);
    *out = &p->base;
    return NORN_OK;
}
