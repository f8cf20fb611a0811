/* SPDX-License-Identifier: Apache-2.0 */
/* OpenCL C for groups of pointwise nodes, as a kernel of their own. Each node's formula is printed once for vectors and
 * once for single elements. */
#include "graph/codegen.h"
#include "ops/blocked.h"
#include <stdio.h>
#include <string.h>

typedef norni_operand_code operand;
typedef norni_group group;

static bool is_literal(const norn_value *v) {
    if (v->kind != NORNI_CONST || norni_type_elems(&v->type) != 1 || v->data->dtype == NORN_BOOL)
        return false;
    double x = norni_get_double(v->data->dtype, norni_tensor_data(v->data), 0);
    return norni_dtype_is_float(v->data->dtype) || (x > -0x1p53 && x < 0x1p53);
}

/* Index of the node of the group that makes v; -1: made elsewhere. */
static int inner_node(const group *g, const norn_value *v) {
    for (int i = 0; i < g->c->n_nodes; i++)
        if (v->producer == g->c->nodes[i])
            return i;
    return -1;
}

static bool is_channel(const norn_node *n, int input) {
    return n->op->channel_from && input >= n->op->channel_from;
}

/* The operand that input k of node n is; made at first sight. -1: there are too many. */
static int find_operand(group *g, const norn_node *n, int k) {
    const norn_value *v = n->in[k];
    bool channel = is_channel(n, k);
    for (int i = 0; i < g->n_in; i++)
        if (g->in[i].value == v && g->in[i].channel == channel)
            return i;
    if (g->n_in == NORNI_MAX_OPERANDS)
        return -1;
    operand *o = &g->in[g->n_in];
    *o = (operand){.value = v, .channel = channel};
    if (norni_makes_blocked(g->e->form))
        o->how = norni_blocked_operand(&n->out[0]->type, n, k);
    o->ref = o->how == NORNI_OPERAND_VECTOR
                 ? norni_emit_whole_blocks(g->e, v, norni_block_of(n->out[0]->type.dtype))
                 : norni_builder_value(g->e->plan, v);
    return g->n_in++;
}

norn_status norni_code_collect(group *g) {
    const norni_cluster *c = g->c;
    const norni_type *out = &c->nodes[c->n_nodes - 1]->out[0]->type;
    g->rank = out->rank;
    memcpy(g->dims, out->dims, sizeof g->dims);
    if (norni_makes_blocked(g->e->form)) {
        g->dims[1] = norni_channel_blocks(out);
        g->dims[g->rank++] = norni_block_of(out->dtype);
    }
    for (int i = 0; i < c->n_nodes; i++) {
        const norn_node *n = c->nodes[i];
        int inside = 0;
        for (int k = 0; k < n->n_in; k++) {
            const norn_value *v = n->in[k];
            if (v && inner_node(g, v) < 0 && !is_literal(v) && v != g->anchor && find_operand(g, n, k) < 0)
                return norni_fail(NORN_INTERNAL, "pointwise group: more than %d operands",
                                  NORNI_MAX_OPERANDS);
        }
        for (int j = i + 1; j < c->n_nodes; j++)
            for (int k = 0; k < c->nodes[j]->n_in; k++)
                inside += c->nodes[j]->in[k] == n->out[0];
        if (i == c->n_nodes - 1 || g->uses[n->out[0]->id] > inside)
            g->stored[g->n_stored++] = i;
    }
    g->formulas = norni_arena_array(g->e->arena, (size_t)c->n_nodes, sizeof *g->formulas);
    if (!g->formulas)
        return norni_nomem();
    for (int i = 0; i < c->n_nodes; i++)
        NORNI_TRY(norni_node_formula(c->nodes[i], g->e->arena, &g->formulas[i]));
    return NORN_OK;
}

/* In blocked form the iteration space is [N][C / block][spatial sizes][block]. */
static void blocked_strides(const group *g, operand *o) {
    const norni_type *t = &o->value->type, *out = &g->c->nodes[g->c->n_nodes - 1]->out[0]->type;
    int64_t own[NORNI_MAX_LOOPS];
    int shift = out->rank - t->rank, last = g->rank - 1, block = norni_block_of(out->dtype);
    if (o->how == NORNI_OPERAND_VECTOR) {
        o->strides[1] = block;
        o->strides[last] = 1;
    } else if (o->how == NORNI_OPERAND_PLAIN) {
        norni_strides(t->rank, t->dims, own);
        for (int k = 0; k < t->rank; k++)
            if (t->dims[k] != 1)
                o->strides[k + shift] = own[k];
    } else if (o->how == NORNI_OPERAND_BLOCKED) {
        int64_t step = block;
        o->strides[last] = 1;
        for (int k = t->rank - 1; k >= 0; k--) {
            int64_t size = k == 1 ? norni_channel_blocks(t) : t->dims[k];
            if (size != 1 || k == 1)
                o->strides[k] = step;
            step *= size;
        }
    }
}

static void operand_strides(const group *g, operand *o) {
    const norni_type *t = &o->value->type;
    int64_t own[NORNI_MAX_LOOPS];
    memset(o->strides, 0, sizeof o->strides);
    if (norni_makes_blocked(g->e->form)) {
        blocked_strides(g, o);
        return;
    }
    if (o->channel) {
        if (norni_type_elems(t) != 1)
            o->strides[g->rank > 1 ? 1 : 0] = 1;
        return;
    }
    norni_strides(t->rank, t->dims, own);
    for (int k = 0; k < t->rank; k++)
        if (t->dims[k] != 1)
            o->strides[g->rank - t->rank + k] = own[k];
}

/* Drops dimensions of size 1 and joins neighbours that every operand walks through without a jump. */
static void collapse(group *g) {
    int r = 0;
    for (int k = 0; k < g->rank; k++) {
        if (g->dims[k] == 1)
            continue;
        bool join = r > 0;
        for (int i = 0; join && i < g->n_in; i++)
            join = g->in[i].strides[r - 1] == g->in[i].strides[k] * g->dims[k];
        if (join)
            r--;
        g->dims[r] = join ? g->dims[r] * g->dims[k] : g->dims[k];
        for (int i = 0; i < g->n_in; i++)
            g->in[i].strides[r] = g->in[i].strides[k];
        r++;
    }
    if (r == 0)
        g->dims[r++] = 1; /* strides beyond rank are zero */
    g->rank = r;
    int64_t flat[NORNI_MAX_LOOPS];
    norni_strides(r, g->dims, flat);
    for (int i = 0; i < g->n_in; i++) {
        operand *o = &g->in[i];
        int64_t inner = o->strides[r - 1];
        bool same = true;
        for (int k = 0; k < r; k++)
            same &= o->strides[k] == flat[k] || g->dims[k] == 1;
        o->access = same ? AT_FLAT : inner == 1 ? AT_UNIT : inner == 0 ? AT_SPLAT : AT_STRIDED;
    }
}

/* ---- Text. */
const char *norni_code_storage(norn_dtype t, char buf[24]) {
    if (t == NORN_F16)
        return "half";
    if (t == NORN_BF16)
        return "ushort";
    return norni_cl_type(t, 1, buf);
}

/* Loads `w` elements of type t at p[i]. */
void norni_code_load(norni_str *s, norn_dtype t, int w, const char *p, const char *i) {
    const char *f = t == NORN_F16 ? "vload_half" : t == NORN_BF16 ? "norni_bf16_ld" : "vload";
    if (w > 1)
        norni_str_addf(s, "%s%d(%s%s + %s)", f, w, t == NORN_BF16 ? "" : "0, ", p, i);
    else if (t == NORN_F16)
        norni_str_addf(s, "vload_half(%s, %s)", i, p);
    else
        norni_str_addf(s, t == NORN_BF16 ? "norni_bf16_ld(%s[%s])" : "%s[%s]", p, i);
}

void norni_code_store(norni_str *s, norn_dtype t, int w, const char *p, const char *i, const char *v) {
    const char *f = t == NORN_F16    ? "vstore_half"
                    : t == NORN_BF16 ? "norni_bf16_st"
                                     : "vstore",
               *rte = t == NORN_F16 ? "_rte" : "";
    if (w > 1)
        norni_str_addf(s, "%s%d%s(%s, %s%s + %s);\n", f, w, rte, v, t == NORN_BF16 ? "" : "0, ", p, i);
    else if (t == NORN_F16)
        norni_str_addf(s, "vstore_half_rte(%s, %s, %s);\n", v, i, p);
    else
        norni_str_addf(s, t == NORN_BF16 ? "%s[%s] = norni_bf16_st(%s);\n" : "%s[%s] = %s;\n", p, i, v);
}

void norni_code_splat(norni_str *s, norn_dtype t, int w, const char *p, const char *i) {
    char type[24];
    if (w > 1)
        norni_str_addf(s, "(%s)(", norni_cl_type(norni_compute_dtype(t), w, type));
    norni_code_load(s, t, 1, p, i);
    if (w > 1)
        norni_str_add(s, ")");
}

/* One statement a node: the value v<i> of its compute type. Operand k is x<k>; the anchor's result is acc. */
norn_status norni_code_nodes(group *g, norni_str *s, int w, const char *indent) {
    for (int i = 0; i < g->c->n_nodes; i++) {
        const norn_node *n = g->c->nodes[i];
        norni_expr_var vars[32];
        const norni_expr *with[32] = {0};
        bool any = false;
        for (int k = 0; k < n->n_in; k++) {
            const norn_value *v = n->in[k];
            char name[16];
            if (!v)
                continue;
            if (v == g->anchor)
                snprintf(name, sizeof name, "acc");
            else if (inner_node(g, v) >= 0)
                snprintf(name, sizeof name, "v%d", inner_node(g, v));
            else if (is_literal(v)) {
                norni_expr *c = (norni_expr *)norni_expr_const(
                    g->e->arena, norni_get_double(v->data->dtype, norni_tensor_data(v->data), 0));
                if (!c)
                    return norni_nomem();
                c->integer = !norni_dtype_is_float(v->data->dtype);
                with[k] = c;
                any = true;
                continue;
            } else
                snprintf(name, sizeof name, "x%d", find_operand(g, n, k));
            vars[k] = (norni_expr_var){norni_arena_strdup(g->e->arena, name), v->type.dtype};
            if (!vars[k].name)
                return norni_nomem();
        }
        const norni_expr *f = g->formulas[i];
        if (any && !(f = norni_expr_replace(g->e->arena, f, with)))
            return norni_nomem();
        char type[24];
        norni_str_addf(s, "%sconst %s v%d = ", indent,
                       norni_cl_type(norni_compute_dtype(n->out[0]->type.dtype), w, type), i);
        norni_expr_print_cl(s, f, vars, n->out[0]->type.dtype, w);
        norni_str_add(s, ";\n");
    }
    return NORN_OK;
}

/* Vector width of the group on the device. */
int norni_code_width(const group *g) {
    int bits = 32;
    for (int i = 0; i < g->c->n_nodes; i++) {
        const norn_node *n = g->c->nodes[i];
        norni_expr_var vars[32] = {{0}};
        for (int k = 0; k < n->n_in; k++)
            if (n->in[k]) {
                vars[k].dtype = n->in[k]->type.dtype;
                if (norni_dtype_bits(vars[k].dtype) > bits)
                    bits = norni_dtype_bits(vars[k].dtype);
            }
        if (norni_dtype_bits(n->out[0]->type.dtype) > bits)
            bits = norni_dtype_bits(n->out[0]->type.dtype);
        if (!norni_expr_vectorises(g->formulas[i], vars))
            return 1;
    }
    return (norni_device_is_cpu(g->e->device) ? 512 : 128) / bits;
}

/* Switches of the prelude that the group's types need. */
void norni_code_types(group *g, norni_step *s, int width) {
    bool f64 = false, ints = false;
    for (int i = 0; i < g->c->n_nodes; i++) {
        const norn_node *n = g->c->nodes[i];
        for (int k = -1; k < n->n_in; k++) {
            const norn_value *v = k < 0 ? n->out[0] : n->in[k];
            f64 |= v && v->type.dtype == NORN_F64;
            ints |= v && norni_dtype_is_int(v->type.dtype);
        }
    }
    if (width > 1)
        norni_step_define(g->e, s, "NORNI_V", width);
    if (f64)
        norni_step_define(g->e, s, "NORNI_F64", 1);
    if (ints)
        norni_step_define(g->e, s, "NORNI_INTS", 1);
}

void norni_code_name(const group *g, const char *prefix, char buf[80]) {
    size_t n = (size_t)snprintf(buf, 80, "%s", prefix);
    for (int i = 0; i < g->c->n_nodes && n < 60; i++)
        n += (size_t)snprintf(buf + n, 80 - n, "_%.18s", g->c->nodes[i]->op->name);
}

/* ---- A kernel of its own.
 * Rows are the index tuples of all dimensions but the innermost; a work-item takes `rows_per_item` rows and,
 * of each, `chunk` elements. */
static void print_row_offsets(const group *g, norni_str *s) {
    int outer = g->rank - 1;
    norni_str_add(s, "        size_t q = r;\n");
    for (int k = outer - 1; k >= 0; k--) {
        if (k)
            norni_str_addf(s, "        const size_t i%d = q %% d%d;\n        q /= d%d;\n", k, k, k);
        else
            norni_str_add(s, "        const size_t i0 = q;\n");
    }
    for (int i = 0; i < g->n_in; i++) {
        if (g->in[i].access == AT_FLAT)
            continue;
        norni_str_addf(s, "        const size_t o%d = 0", i);
        for (int k = 0; k < outer; k++)
            if (g->in[i].strides[k])
                norni_str_addf(s, " + i%d * s%d_%d", k, i, k);
        norni_str_add(s, ";\n");
    }
}

norn_status norni_code_body(group *g, norni_str *s, int w) {
    const char *indent = "            ";
    for (int i = 0; i < g->n_in; i++) {
        const operand *o = &g->in[i];
        norn_dtype t = o->value->type.dtype;
        char type[24], p[16], at[80];
        snprintf(p, sizeof p, "p%d", i);
        norni_str_addf(s, "%sconst %s x%d = ", indent, norni_cl_type(norni_compute_dtype(t), w, type), i);
        if (o->access == AT_FLAT)
            norni_code_load(s, t, w, p, "(f + j)");
        else if (o->access == AT_UNIT) {
            snprintf(at, sizeof at, "(o%d + j)", i);
            norni_code_load(s, t, w, p, at);
        } else if (o->access == AT_SPLAT) {
            snprintf(at, sizeof at, "o%d", i);
            norni_code_splat(s, t, w, p, at);
        } else if (w == 1) {
            snprintf(at, sizeof at, "(o%d + j * s%d_%d)", i, i, g->rank - 1);
            norni_code_load(s, t, 1, p, at);
        } else {
            norni_str_addf(s, "(%s)(", type);
            for (int l = 0; l < w; l++) {
                snprintf(at, sizeof at, "(o%d + (j + %d) * s%d_%d)", i, l, i, g->rank - 1);
                norni_str_add(s, l ? ", " : "");
                norni_code_load(s, t, 1, p, at);
            }
            norni_str_add(s, ")");
        }
        norni_str_add(s, ";\n");
    }
    NORNI_TRY(norni_code_nodes(g, s, w, indent));
    for (int i = 0; i < g->n_stored; i++) {
        char p[16], v[16];
        snprintf(p, sizeof p, "y%d", i);
        snprintf(v, sizeof v, "v%d", g->stored[i]);
        norni_str_add(s, indent);
        norni_code_store(s, g->c->nodes[g->stored[i]]->out[0]->type.dtype, w, p, "(f + j)", v);
    }
    return NORN_OK;
}

static norn_status print_kernel(group *g, norni_str *s, const char *name, int w, bool literal) {
    char type[24];
    int outer = g->rank - 1;
    norni_str_addf(s, "__kernel void %s(", name);
    for (int i = 0; i < g->n_in; i++)
        norni_str_addf(s, "__global const %s *p%d, ", norni_code_storage(g->in[i].value->type.dtype, type),
                       i);
    for (int i = 0; i < g->n_stored; i++)
        norni_str_addf(s, "__global %s *y%d, ",
                       norni_code_storage(g->c->nodes[g->stored[i]]->out[0]->type.dtype, type), i);
    norni_str_add(s, "const ulong n, const ulong chunk, const ulong rows, const ulong rows_per_item");
    norni_str body = {0};
    for (int k = 1; k < outer; k++) {
        if (literal)
            norni_str_addf(&body, "    const ulong d%d = %lldUL;\n", k, (long long)g->dims[k]);
        else
            norni_str_addf(s, ", const ulong d%d", k);
    }
    for (int i = 0; i < g->n_in; i++)
        for (int k = 0; k < g->rank; k++)
            if (g->in[i].access != AT_FLAT && g->in[i].strides[k] &&
                (k < outer || g->in[i].access == AT_STRIDED)) {
                if (literal)
                    norni_str_addf(&body, "    const ulong s%d_%d = %lldUL;\n", i, k,
                                   (long long)g->in[i].strides[k]);
                else
                    norni_str_addf(s, ", const ulong s%d_%d", i, k);
            }
    norni_str_addf(s, ") {\n%s", body.s ? body.s : "");
    norni_str_free(&body);
    norni_str_add(
        s, "    const size_t j0 = get_global_id(0) * chunk, j1 = min((size_t)(j0 + chunk), (size_t)n);\n"
           "    const size_t r0 = get_global_id(1) * rows_per_item;\n"
           "    const size_t r1 = min((size_t)(r0 + rows_per_item), (size_t)rows);\n"
           "    for (size_t r = r0; r < r1; r++) {\n"
           "        const size_t f = r * n;\n");
    if (outer)
        print_row_offsets(g, s);
    else
        for (int i = 0; i < g->n_in; i++)
            if (g->in[i].access != AT_FLAT)
                norni_str_addf(s, "        const size_t o%d = 0;\n", i);
    norni_str_add(s, "        size_t j = j0;\n");
    if (w > 1) {
        norni_str_addf(s, "        for (; j + %d <= j1; j += %d) {\n", w, w);
        NORNI_TRY(norni_code_body(g, s, w));
        norni_str_add(s, "        }\n");
    }
    norni_str_add(s, "        for (; j < j1; j++) {\n");
    NORNI_TRY(norni_code_body(g, s, 1));
    norni_str_add(s, "        }\n    }\n}\n");
    return NORN_OK;
}

/* How the iteration space is cut into work-items. */
static void set_range(const group *g, norni_step *s, int w, int64_t *chunk, int64_t *rows_per_item) {
    int64_t n = g->dims[g->rank - 1], rows = 1;
    for (int k = 0; k < g->rank - 1; k++)
        rows *= g->dims[k];
    if (norni_device_is_cpu(g->e->device)) {
        int64_t units = g->e->device->compute_units ? g->e->device->compute_units : 1, total = n * rows;
        int64_t want = norni_ceil_div(
            total, units * 4); /* elements an item: some slack to balance, launches stay cheap */
        want = want < 2048 ? 2048 : want > 65536 ? 65536 : want;
        *chunk = n <= want ? n : norni_ceil_div(want, w) * w;
        *rows_per_item = n <= want ? (want / (n ? n : 1) ? want / (n ? n : 1) : 1) : 1;
        norni_step_range(s, 2, (size_t)norni_ceil_div(n, *chunk ? *chunk : 1),
                         (size_t)norni_ceil_div(rows, *rows_per_item), 1, 1, 1, 0);
    } else {
        *chunk = w;
        *rows_per_item = 1;
        size_t items = (size_t)norni_ceil_div(n, w), local = items >= 64 ? 64 : 1;
        norni_step_range(s, 2, items, (size_t)rows, 1, local, local == 1 ? 64 : 1, 0);
    }
}

norn_status norni_emit_pointwise(norni_emit *e, const norni_cluster *c, const int *uses) {
    group g = {.e = e, .c = c, .uses = uses};
    NORNI_TRY(norni_code_collect(&g));
    for (int i = 0; i < g.n_in; i++)
        operand_strides(&g, &g.in[i]);
    collapse(&g);
    int w = norni_code_width(&g), n_strides = 0;
    for (int i = 0; i < g.n_in; i++)
        if (g.in[i].access != AT_FLAT)
            n_strides += g.rank;
    bool literal = g.n_in + g.n_stored + n_strides + g.rank + 4 > 44;
    char name[80];
    norni_str s = {0};
    norni_code_name(&g, "pointwise", name);
    norn_status st = print_kernel(&g, &s, name, w, literal);
    if (st == NORN_OK && s.failed)
        st = norni_nomem();
    norni_step *step =
        st == NORN_OK ? norni_emit_source(e, "pointwise", s.s, norni_arena_strdup(e->arena, name)) : NULL;
    norni_str_free(&s);
    if (!step)
        return st == NORN_OK ? e->status : st;
    norni_code_types(&g, step, w);
    int64_t n = g.dims[g.rank - 1], rows = 1, chunk, rows_per_item;
    for (int k = 0; k < g.rank - 1; k++)
        rows *= g.dims[k];
    set_range(&g, step, w, &chunk, &rows_per_item);
    for (int i = 0; i < g.n_in; i++) {
        norni_step_buffer(e, step, g.in[i].ref, NORNI_READ);
        bool alone = true; /* the same memory read in another way as well must stay as it is */
        for (int k = 0; k < g.n_in; k++)
            alone &= k == i || g.in[k].value != g.in[i].value;
        step->args[step->n_args - 1].elementwise = g.in[i].access == AT_FLAT && alone;
    }
    for (int i = 0; i < g.n_stored; i++)
        norni_step_buffer(e, step, norni_builder_value(e->plan, c->nodes[g.stored[i]]->out[0]), NORNI_WRITE);
    norni_step_i64(e, step, n);
    norni_step_i64(e, step, chunk);
    norni_step_i64(e, step, rows);
    norni_step_i64(e, step, rows_per_item);
    for (int k = 1; k < g.rank - 1 && !literal; k++)
        norni_step_i64(e, step, g.dims[k]);
    for (int i = 0; i < g.n_in && !literal; i++)
        for (int k = 0; k < g.rank; k++)
            if (g.in[i].access != AT_FLAT && g.in[i].strides[k] &&
                (k < g.rank - 1 || g.in[i].access == AT_STRIDED))
                norni_step_i64(e, step, g.in[i].strides[k]);
    for (int i = 0; i < c->n_nodes; i++)
        step->flops += (double)norni_type_elems(&c->nodes[i]->out[0]->type) * norni_expr_count(g.formulas[i]);
    return e->status;
}
