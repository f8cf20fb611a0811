/* SPDX-License-Identifier: Apache-2.0 */
/* C99 functions and OpenCL C kernels. What is pointwise is written out where it is read; reductions, products of matrices and
 * shared parts are computed before: in C into local variables and arrays, in OpenCL C by a function that gives one element, so
 * that a work-item needs no memory of its own. */
#include "ops/op.h"
#include "symbolic/code.h"
#include <ctype.h>
#include <math.h>
#include <string.h>

enum { MAX_LOCAL_BYTES = 1 << 20 };

static void literal_array(norni_coder *k, norni_str *out, const norni_term *t, const char *name) {
    int64_t n = norni_type_elems(&t->type);
    norni_str_addf(out, "%s %s %s[%lld] = {", k->cl ? "__constant" : "static const", k->type, name,
                   (long long)(n ? n : 1));
    for (int64_t i = 0; i < n; i++) {
        norni_str_add(out, i % 8 ? " " : "\n    ");
        double v = norni_get_double(t->type.dtype, norni_tensor_data(t->value->data), i);
        norni_str_add(out, v < 0 ? "-" : "");
        norni_coder_literal(k, out, (norni_num){.d = fabs(v)});
        norni_str_add(out, ",");
    }
    norni_str_add(out, n ? "\n};\n" : "0};\n");
}

/* All elements of t into dest, in C. dest[] for tensors, dest itself (declared here when `declare`) for a number. */
static void assign(norni_coder *k, norni_str *out, const norni_term *t, const char *dest, bool number) {
    const char *at[NORN_MAX_RANK];
    bool all[NORN_MAX_RANK];
    for (int i = 0; i < NORN_MAX_RANK; i++)
        all[i] = true;
    if (t->kind == NORNI_LIST) {
        for (int i = 0; i < t->n; i++) {
            const char *e = norni_coder_element(k, t->a[i], 0, NULL);
            norni_str_addf(out, "    %s[%d] = %s;\n", dest, i, e ? e : "");
        }
        return;
    }
    if (t->kind == NORNI_JOINED) {
        int64_t before = 0;
        int axis = (int)t->ints[0];
        for (int i = 0; i < t->n; i++) {
            int depth = norni_coder_open(k, out, 1, &t->a[i]->type, all, at);
            const char *to[NORN_MAX_RANK], *e = norni_coder_compute(k, out, depth, t->a[i], at);
            memcpy(to, at, sizeof to);
            norni_str shifted = {0};
            norni_str_addf(&shifted, "(%s + %lld)", at[axis], (long long)before);
            to[axis] = norni_coder_keep(k, &shifted);
            before += t->a[i]->type.dims[axis];
            const char *index = norni_coder_index(k, &t->type, to);
            norni_coder_indent(out, depth);
            norni_str_addf(out, "%s[%s] = %s;\n", dest, index ? index : "", e ? e : "");
            norni_coder_close(out, depth, 1);
        }
        return;
    }
    int depth = norni_coder_open(k, out, 1, &t->type, all, at);
    const char *e = norni_coder_compute(k, out, depth, t, at), *index = norni_coder_index(k, &t->type, at);
    norni_coder_indent(out, depth);
    if (number)
        norni_str_addf(out, "%s = %s;\n", dest, e ? e : "");
    else
        norni_str_addf(out, "%s[%s] = %s;\n", dest, index ? index : "", e ? e : "");
    norni_coder_close(out, depth, 1);
}

/* ---- Which terms get a place of their own. */
typedef struct {
    int *uses;
    bool *seen;
    const norni_term **order;
    int n;
} places;

/* The others of an operator (an axis) are in the text. */
static int operands(const norni_term *t) {
    return norni_coder_is_whole(t) ? 1 : t->n;
}

static void count_uses(places *p, const norni_term *t) {
    if (p->uses[t->id]++)
        return;
    for (int i = 0; i < operands(t); i++)
        count_uses(p, t->a[i]);
}

static void order(norni_coder *k, places *p, const norni_term *t) {
    if (p->seen[t->id])
        return;
    p->seen[t->id] = true;
    for (int i = 0; i < operands(t); i++)
        order(k, p, t->a[i]);
    bool shared = p->uses[t->id] > 1 && t->count >= 1 && norni_coder_pointwise(t) && t->kind != NORNI_NUM &&
                  t->type.dtype != NORN_BOOL && (!k->cl || !t->type.rank);
    if (norni_coder_has_own(t) || shared)
        p->order[p->n++] = t;
}

static norn_status find_places(norni_coder *k, places *p) {
    norni_terms *c = &k->o->c;
    *p = (places){.uses = norni_arena_array(c->arena, c->n + 1, sizeof *p->uses),
                  .seen = norni_arena_array(c->arena, c->n + 1, sizeof *p->seen),
                  .order = norni_arena_array(c->arena, c->n + 1, sizeof *p->order)};
    k->n_local = c->n + 1;
    k->local = norni_arena_array(c->arena, k->n_local, sizeof *k->local);
    if (!p->uses || !p->seen || !p->order || !k->local)
        return norni_nomem();
    for (size_t i = 0; i < k->o->n; i++)
        count_uses(p, k->o->t[i]);
    for (size_t i = 0; i < k->o->n; i++)
        order(k, p, k->o->t[i]);
    for (size_t i = 0; i < k->g->inputs.n; i++) {
        const norni_term *t = norni_t_value(c, k->g->inputs.v[i]);
        if (!t)
            return c->status;
        if ((size_t)t->id < k->n_local)
            k->local[t->id] = k->g->inputs.v[i]->name;
    }
    for (int i = 0; i < p->n; i++)
        if (!norni_type_static(&p->order[i]->type))
            return norni_fail(NORN_SHAPE, "C: a size that is not known (wanted numbers)");
    return NORN_OK;
}

static const char *input_type(const norni_coder *k, const norni_type *t) {
    switch (t->dtype) {
    case NORN_F64:
        return "double";
    case NORN_F32:
        return "float";
    case NORN_I64:
        return k->cl ? "long" : "long long";
    case NORN_I32:
        return "int";
    case NORN_BOOL:
        return k->cl ? "uchar" : "unsigned char";
    default:
        return NULL;
    }
}

static norni_coder start(norni_outputs *o, const norn_graph *g, const char *name, bool cl) {
    bool single = o->c.dtype != NORN_F64;
    return (norni_coder){.o = o,
                         .g = g,
                         .name = name,
                         .type = single ? "float" : "double",
                         .suffix = single ? "f" : "",
                         .cl = cl};
}

/* Names of inputs and outputs must be names of C, and no others. */
static norn_status check_names(norni_coder *k) {
    static const char *const taken[] = {
        "auto",    "break",    "case",     "char",   "const",  "continue", "default",  "do",     "double",
        "else",    "enum",     "extern",   "float",  "for",    "goto",     "if",       "inline", "int",
        "long",    "register", "restrict", "short",  "signed", "sizeof",   "static",   "struct", "switch",
        "typedef", "union",    "void",     "return", "while",  "unsigned", "volatile", NULL};
    for (size_t i = 0; i < k->g->inputs.n; i++) {
        const char *name = k->g->inputs.v[i]->name;
        bool ok =
            *name &&
            strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == strlen(name) &&
            !(*name >= '0' && *name <= '9');
        for (int j = 0; taken[j] && ok; j++)
            ok = strcmp(name, taken[j]) != 0;
        if (!ok)
            return norni_fail(NORN_UNSUPPORTED, "%s: '%s' can not be the name of a variable",
                              k->cl ? "OpenCL C" : "C", name);
        if (!input_type(k, &k->g->inputs.v[i]->type))
            return norni_fail(
                NORN_UNSUPPORTED, "%s: variable '%s' has type %s (wanted double, float, int64, int32, bool)",
                k->cl ? "OpenCL C" : "C", name, norni_dtype_name(k->g->inputs.v[i]->type.dtype));
    }
    return NORN_OK;
}

/* A name that neither inputs nor outputs have. */
static const char *fresh(norni_coder *k, const char *stem, int *n) {
    for (;;) {
        norni_str s = {0};
        norni_str_addf(&s, "%s%d", stem, (*n)++);
        const char *name = norni_coder_keep(k, &s);
        bool clash = !name || norni_graph_find(k->g, name);
        for (size_t i = 0; name && i < k->g->outputs.n; i++)
            clash |= !strcmp(k->g->outputs.v[i].name, name);
        if (!name || !clash)
            return name;
    }
}

/* Output i as it is called in the program: its name, or one behind it where an input has that. */
static const char *output_name(norni_coder *k, size_t i) {
    norni_str s = {0};
    i += k->o->first;
    const char *name = k->g->outputs.v[i].name;
    const norn_value *v = norni_graph_find(k->g, name);
    norni_str_addf(&s, v && v->kind == NORNI_INPUT ? "%s_out" : "%s", name);
    return norni_coder_keep(k, &s);
}

static bool mentions(const char *text, const char *name) {
    size_t n = strlen(name);
    for (const char *p = text; p && (p = strstr(p, name)); p += n)
        if ((p == text || (!isalnum((unsigned char)p[-1]) && p[-1] != '_')) &&
            !isalnum((unsigned char)p[n]) && p[n] != '_')
            return true;
    return false;
}

/* Statements that give a local its value, before the text that reads it; a shared part may have been written out where it was
 * read, and then its local is left out. */
typedef struct {
    const char *name;
    norni_str text;
} local_part;

static void put_read_parts(norni_str *body, local_part *parts, int n) {
    for (int i = n; i-- > 0;) {
        norni_str all = {0};
        if (parts[i].name && parts[i].text.s && body->s && mentions(body->s, parts[i].name)) {
            norni_str_add(&all, parts[i].text.s);
            norni_str_add(&all, body->s);
            all.failed |= body->failed || parts[i].text.failed;
            norni_str_free(body);
            *body = all;
        }
        body->failed |= parts[i].text.failed;
        norni_str_free(&parts[i].text);
    }
}

norn_status norni_code_c(norni_str *out, norni_outputs *o, const norn_graph *g, const char *name) {
    norni_coder k = start(o, g, name, false);
    places p;
    norni_str body = {0}, data = {0};
    int count = 1;
    bool single = o->n == 1 && o->t[0]->type.rank == 0;
    NORNI_TRY(check_names(&k));
    NORNI_TRY(find_places(&k, &p));
    for (size_t i = 0; i < o->n; i++)
        if (!norni_type_static(&o->t[i]->type))
            return norni_fail(NORN_SHAPE, "C: a size that is not known (wanted numbers)");
    local_part *parts = norni_arena_array(o->c.arena, (size_t)p.n + 1, sizeof *parts);
    if (!parts)
        return norni_nomem();
    for (int i = 0; i < p.n && o->c.status == NORN_OK; i++) {
        const norni_term *t = p.order[i];
        bool output = false; /* computed straight into an output */
        for (size_t j = 0; j < o->n; j++)
            output |= o->t[j] == t && t->type.rank && p.uses[t->id] == 1;
        if (output && t->kind != NORNI_DATA)
            continue;
        const char *local = parts[i].name = fresh(&k, "t", &count);
        norni_str *part = &parts[i].text;
        if (!local)
            break;
        if (t->kind == NORNI_DATA)
            literal_array(&k, &data, t, local);
        else if (!t->type.rank) {
            const char *e = norni_coder_compute(&k, part, 1, t, NULL);
            norni_str_addf(part, "    const %s %s = %s;\n", k.type, local, e ? e : "");
        } else {
            int64_t n = norni_type_elems(&t->type);
            if (n * 8 > MAX_LOCAL_BYTES) {
                norni_coder_refuse(&k, "an intermediate result above 1 MiB");
                break;
            }
            norni_str_addf(part, "    %s %s[%lld];\n", k.type, local, (long long)(n ? n : 1));
            assign(&k, part, t, local, false);
        }
        k.local[t->id] = local;
    }
    for (size_t i = 0; i < o->n && o->c.status == NORN_OK; i++) {
        const char *dest = output_name(&k, i);
        if (!dest)
            break;
        if (single) {
            const char *e = norni_coder_element(&k, o->t[i], 0, NULL);
            norni_str_addf(&body, "    return %s;\n", e ? e : "");
        } else if (!o->t[i]->type.rank) {
            const char *e = norni_coder_element(&k, o->t[i], 0, NULL);
            norni_str_addf(&body, "    *%s = %s;\n", dest, e ? e : "");
        } else
            assign(&k, &body, o->t[i], dest, false);
    }
    put_read_parts(&body, parts, p.n);
    norni_str_add(out, "#include <math.h>\n\n");
    norni_coder_helpers(&k, out);
    norni_str_add(out, data.s ? data.s : "");
    norni_str_addf(out, "%s %s(", single ? k.type : "void", name);
    for (size_t i = 0; i < g->inputs.n; i++) {
        const norn_value *v = g->inputs.v[i];
        norni_str_addf(out, v->type.rank ? "%sconst %s *%s" : "%s%s %s", i ? ", " : "",
                       input_type(&k, &v->type), v->name);
    }
    for (size_t i = 0; i < o->n && !single; i++)
        norni_str_addf(out, "%s%s *%s", i || g->inputs.n ? ", " : "", k.type, output_name(&k, i));
    norni_str_addf(out, "%s) {\n", g->inputs.n || !single ? "" : "void");
    for (size_t i = 0; i < g->inputs.n && body.s; i++)
        if (!mentions(body.s, g->inputs.v[i]->name))
            norni_str_addf(out, "    (void)%s;\n", g->inputs.v[i]->name);
    norni_str_addf(out, "%s}\n", body.s ? body.s : "");
    out->failed |= body.failed || data.failed;
    norni_str_free(&body);
    norni_str_free(&data);
    return o->c.status;
}

/* ---- OpenCL C. */
static void cl_arguments(norni_coder *k, norni_str *out, bool kernel) {
    for (size_t i = 0; i < k->g->inputs.n; i++) {
        const norn_value *v = k->g->inputs.v[i];
        const char *type = input_type(k, &v->type);
        bool array = v->type.rank || (kernel && !k->by_value);
        norni_str_addf(out, array ? "%s__global const %s *%s%s" : "%s%s %s%s", i ? ", " : "", type, v->name,
                       array && !v->type.rank ? "_all" : "");
    }
}

/* The index along an axis of the element i of a tensor; below: the elements behind each step along it. */
static const char *along(norni_coder *k, const norni_type *t, int axis, int64_t below) {
    norni_str s = {0};
    if (t->dims[axis] == 1)
        return "0";
    if (below == 1 && !axis)
        return "i";
    norni_str_add(&s, "(i");
    if (below > 1)
        norni_str_addf(&s, " / %lld", (long long)below);
    if (axis)
        norni_str_addf(&s, " %% %lld", (long long)t->dims[axis]);
    norni_str_add(&s, ")");
    return norni_coder_keep(k, &s);
}

/* A function that gives one element of t. */
static void element_function(norni_coder *k, norni_str *out, const norni_term *t, const char *name) {
    const char *at[NORN_MAX_RANK];
    norni_str body = {0};
    int64_t below = 1;
    for (int i = t->type.rank; i-- > 0; below *= t->type.dims[i])
        at[i] = along(k, &t->type, i, below);
    if (t->kind == NORNI_LIST) {
        for (int i = 0; i < t->n; i++) {
            const char *e = norni_coder_element(k, t->a[i], 0, NULL);
            norni_str_addf(&body, "    if (i == %d)\n        return %s;\n", i, e ? e : "");
        }
        norni_str_add(&body, "    return 0;\n");
    } else if (t->kind == NORNI_JOINED) {
        int axis = (int)t->ints[0];
        int64_t before = 0;
        for (int i = 0; i < t->n; i++) {
            const char *to[NORN_MAX_RANK];
            memcpy(to, at, sizeof to);
            to[axis] = norni_coder_shift(k, at[axis], "+", -before);
            before += t->a[i]->type.dims[axis];
            norni_str_addf(&body, "    if (%s < %lld) {\n", at[axis], (long long)before);
            const char *e = to[axis] ? norni_coder_compute(k, &body, 2, t->a[i], to) : NULL;
            norni_str_addf(&body, "        return %s;\n    }\n", e ? e : "");
        }
        norni_str_add(&body, "    return 0;\n");
    } else {
        const char *e = norni_coder_compute(k, &body, 1, t, at);
        norni_str_addf(&body, "    return %s;\n", e ? e : "");
    }
    norni_str_addf(out, "static %s %s(", k->type, name);
    cl_arguments(k, out, false);
    norni_str_addf(out, "%sulong i) {\n%s}\n\n", k->g->inputs.n ? ", " : "", body.s ? body.s : "");
    out->failed |= body.failed;
    norni_str_free(&body);
}

static norn_status one_kernel(norni_str *out, norni_outputs *o, const norn_graph *g, const char *name);

/* Outputs of one shape come from one kernel; else each has its own, NAME_OUTPUT. */
norn_status norni_code_opencl(norni_str *out, norni_outputs *o, const norn_graph *g, const char *name) {
    bool same = true;
    for (size_t i = 1; i < o->n; i++) {
        norni_type t = o->t[i]->type;
        t.dtype = o->t[0]->type.dtype;
        same = same && norni_type_equal(&t, &o->t[0]->type);
    }
    if (o->c.dtype == NORN_F64)
        norni_str_add(out, "#pragma OPENCL EXTENSION cl_khr_fp64 : enable\n\n");
    if (same)
        return one_kernel(out, o, g, name);
    for (size_t i = 0; i < o->n; i++) {
        norni_outputs one = {.c = o->c, .n = 1, .t = o->t + i, .first = i};
        norni_str full = {0};
        norni_str_addf(&full, "%s_%s", name, g->outputs.v[i].name);
        norni_str_add(out, i ? "\n" : "");
        norn_status s = full.s ? one_kernel(out, &one, g, full.s) : norni_nomem();
        norni_str_free(&full);
        o->c = one.c; /* the table of terms may have grown */
        NORNI_TRY(s);
    }
    return NORN_OK;
}

static norn_status one_kernel(norni_str *out, norni_outputs *o, const norn_graph *g, const char *name) {
    norni_coder k = start(o, g, name, true);
    places p;
    norni_str functions = {0}, inputs = {0}, body = {0};
    int count = 1;
    const norni_type *all = &o->t[0]->type;
    NORNI_TRY(check_names(&k));
    NORNI_TRY(find_places(&k, &p));
    for (size_t i = 0; i < g->inputs.n; i++)
        k.by_value |= g->inputs.v[i]->type.rank > 0;
    for (size_t i = 0; i < o->n; i++) {
        norni_type t = o->t[i]->type;
        t.dtype = all->dtype;
        if (!norni_type_static(&t))
            return norni_fail(NORN_SHAPE, "OpenCL C: a size that is not known (wanted numbers)");
        k.by_value |= t.rank > 0;
    }
    /* Reductions and products: functions over the arguments. */
    for (int i = 0; i < p.n && o->c.status == NORN_OK; i++) {
        const norni_term *t = p.order[i];
        if (!norni_coder_has_own(t))
            continue;
        norni_str s = {0};
        const char *local = fresh(&k, "t", &count);
        norni_str_addf(&s, t->kind == NORNI_DATA ? "%s_%s" : "\1%s_%s", name, local ? local : "");
        char *full = norni_coder_keep(&k, &s);
        if (!full)
            break;
        if (t->kind == NORNI_DATA)
            return norni_fail(NORN_UNSUPPORTED, "OpenCL C: a constant array");
        element_function(&k, &functions, t, full + 1);
        k.local[t->id] = full;
    }
    local_part *parts = norni_arena_array(o->c.arena, (size_t)p.n + 1, sizeof *parts);
    if (!parts)
        return norni_nomem();
    for (int i = 0; i < p.n && o->c.status == NORN_OK; i++) {
        const norni_term *t = p.order[i];
        if (norni_coder_has_own(t) || t->type.rank)
            continue;
        const char *local = fresh(&k, "t", &count), *e = norni_coder_element(&k, t, 0, NULL);
        parts[i].name = local;
        norni_str_addf(&parts[i].text, "    const %s %s = %s;\n", k.type, local ? local : "", e ? e : "");
        k.local[t->id] = local;
    }
    const char *at[NORN_MAX_RANK];
    int64_t below = 1;
    for (int i = all->rank; i-- > 0; below *= all->dims[i])
        at[i] = along(&k, all, i, below);
    for (size_t i = 0; i < o->n && o->c.status == NORN_OK; i++) {
        const char *e = norni_coder_element(&k, o->t[i], all->rank, at), *dest = output_name(&k, i);
        norni_str_addf(&body, "    %s[i] = %s;\n", dest ? dest : "", e ? e : "");
    }
    put_read_parts(&body, parts, p.n);
    for (size_t i = 0; i < g->inputs.n && !k.by_value && body.s; i++)
        if (mentions(body.s, g->inputs.v[i]->name))
            norni_str_addf(&inputs, "    const %s %s = %s_all[i];\n", input_type(&k, &g->inputs.v[i]->type),
                           g->inputs.v[i]->name, g->inputs.v[i]->name);
    norni_coder_helpers(&k, out);
    norni_str_addf(out, "%s/* One work-item an element of the output; n elements. */\n__kernel void %s(",
                   functions.s ? functions.s : "", name);
    cl_arguments(&k, out, true);
    for (size_t i = 0; i < o->n; i++)
        norni_str_addf(out, "%s__global %s *%s", i || g->inputs.n ? ", " : "", k.type, output_name(&k, i));
    norni_str_addf(
        out, ", ulong n) {\n    const ulong i = get_global_id(0);\n    if (i >= n)\n        return;\n%s%s}\n",
        inputs.s ? inputs.s : "", body.s ? body.s : "");
    out->failed |= body.failed || functions.failed || inputs.failed;
    norni_str_free(&inputs);
    norni_str_free(&body);
    norni_str_free(&functions);
    return o->c.status;
}
