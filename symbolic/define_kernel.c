/* SPDX-License-Identifier: Apache-2.0 */
/* Operators that a program defines by an OpenCL C kernel: sizes that its inputs name, types of its outputs, and the launch. */
#include "symbolic/define.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* ---- Sizes: sums, products and quotients of numbers and names.
 *   sum = product { ("+" | "-") product } ;  product = atom { ("*" | "/") atom } ;  atom = number | name | "(" sum ")" */
typedef struct {
    const norni_definition *d;
    norn_graph *g;
    const norni_dim *sizes; /* NULL: only looks whether the text is right */
    const char *text, *at;
    int depth;
    norn_status status;
} reader;

static norni_dim sum(reader *r);

static norni_dim wrong(reader *r, const char *wanted) {
    if (r->status == NORN_OK)
        r->status = norni_fail(NORN_PARSE, "size '%s': got '%s' (wanted %s)", r->text, r->at, wanted);
    return 0;
}

static bool take(reader *r, char c) {
    while (isspace((unsigned char)*r->at))
        r->at++;
    if (*r->at != c)
        return false;
    r->at++;
    return true;
}

static norni_dim atom(reader *r) {
    if (r->depth > 32)
        return wrong(r, "fewer brackets");
    if (take(r, '(')) {
        r->depth++;
        norni_dim v = sum(r);
        r->depth--;
        return take(r, ')') ? v : wrong(r, "')'");
    }
    size_t n = strspn(r->at, "0123456789");
    if (n) {
        int64_t v = n > 15 ? -1 : strtoll(r->at, NULL, 10);
        if (v < 0)
            return wrong(r, "a smaller number");
        r->at += n;
        return r->g ? norni_dim_of(r->g, v) : 0;
    }
    while (isalnum((unsigned char)r->at[n]) || r->at[n] == '_')
        n++;
    for (int i = 0; n && i < r->d->n_sizes; i++)
        if (strlen(r->d->sizes[i]) == n && !memcmp(r->d->sizes[i], r->at, n)) {
            r->at += n;
            return r->sizes ? r->sizes[i] : 0;
        }
    return wrong(r, "a number, or a size that an input has");
}

static norni_dim combined(reader *r, char op, norni_dim a, norni_dim b) {
    if (!r->g || r->status != NORN_OK)
        return 0;
    if (op == '/' && b == 0) {
        r->status = norni_fail(NORN_SHAPE, "size '%s': a division by 0", r->text);
        return 0;
    }
    return op == '+'   ? norni_dim_add(r->g, a, b)
           : op == '-' ? norni_dim_sub(r->g, a, b)
           : op == '*' ? norni_dim_mul(r->g, a, b)
                       : norni_dim_div(r->g, a, b);
}

/* Parts with one of the signs between them, from the left. */
static norni_dim chain(reader *r, const char *signs, norni_dim (*part)(reader *)) {
    norni_dim v = part(r);
    for (const char *sign = signs; r->status == NORN_OK && *sign;)
        if (take(r, *sign)) {
            v = combined(r, *sign, v, part(r));
            sign = signs;
        } else
            sign++;
    return v;
}

static norni_dim product(reader *r) {
    return chain(r, "*/", atom);
}

static norni_dim sum(reader *r) {
    return chain(r, "+-", product);
}

static norn_status size_of(const norni_definition *d, norn_graph *g, const norni_dim *sizes, const char *text,
                           norni_dim *out) {
    reader r = {.d = d, .g = g, .sizes = sizes, .text = text, .at = text};
    *out = sum(&r);
    if (r.status == NORN_OK && !take(&r, '\0'))
        wrong(&r, "the end");
    return r.status;
}

/* ---- Types. */
norn_status norni_define_names(norni_definition *d) {
    for (int i = 0; i < d->n_in; i++)
        for (int k = 0; k < d->in[i].rank; k++) {
            const char *s = d->in[i].dims[k];
            bool number = isdigit((unsigned char)*s), there = number;
            for (const char *p = s; *p; p++)
                if (number ? !isdigit((unsigned char)*p) : !isalnum((unsigned char)*p) && *p != '_')
                    return norni_fail(NORN_PARSE, "input '%s' has size '%s' (wanted a number or a name)",
                                      d->in[i].name, s);
            if (number && strlen(s) > 15)
                return norni_fail(NORN_PARSE, "input '%s' has size '%s' (wanted a smaller one)",
                                  d->in[i].name, s);
            for (int j = 0; j < d->n_sizes && !there; j++)
                there = !strcmp(d->sizes[j], s);
            if (!there)
                d->sizes[d->n_sizes++] = s;
        }
    return NORN_OK;
}

norn_status norni_define_bind(const norni_definition *d, norn_graph *g, const norn_node *node,
                              norni_dim *sizes, bool *known) {
    bool bound[NORNI_DEFINED_PARAMS * NORN_MAX_RANK] = {0};
    *known = true;
    for (int i = 0; i < d->n_in; i++) {
        const norni_defined_param *p = &d->in[i];
        const norni_type *t = &node->in[i]->type;
        if (!p->typed)
            continue;
        if (t->rank < 0) {
            *known = false;
            continue;
        }
        if (t->rank != p->rank)
            return norni_fail(NORN_SHAPE, "input '%s' has %d axes (wanted %d)", p->name, t->rank, p->rank);
        for (int k = 0; k < p->rank; k++) {
            int64_t number = isdigit((unsigned char)*p->dims[k]) ? strtoll(p->dims[k], NULL, 10) : -1;
            norni_dim want = number;
            int which = -1;
            for (int j = 0; number < 0 && j < d->n_sizes; j++)
                if (!strcmp(d->sizes[j], p->dims[k]))
                    which = j;
            if (which >= 0 && !bound[which]) {
                sizes[which] = t->dims[k];
                bound[which] = true;
                continue;
            }
            if (which >= 0)
                want = sizes[which];
            if (want >= 0 && t->dims[k] >= 0 && want != t->dims[k])
                return norni_fail(NORN_SHAPE, "input '%s' has size %lld in dimension %d (wanted %s%s%lld)",
                                  p->name, (long long)t->dims[k], k, which >= 0 ? p->dims[k] : "",
                                  which >= 0 ? " = " : "", (long long)want);
        }
    }
    for (int j = 0; j < d->n_sizes; j++)
        if (!bound[j]) {
            sizes[j] = norni_dim_fresh(g);
            *known = false;
        }
    return NORN_OK;
}

/* Rank and sizes of output i, which the node may do without. */
static norn_status output_shape(const norni_definition *d, norn_graph *g, const norni_dim *sizes, int i,
                                norni_type *t) {
    const norni_defined_param *p = &d->out[i];
    t->rank = p->rank;
    for (int k = 0; k < p->rank; k++)
        NORNI_TRY(norni_prefix(size_of(d, g, sizes, p->dims[k], &t->dims[k]), "output '%s'", p->name));
    return NORN_OK;
}

static norn_status infer(norni_infer *c) {
    const norni_definition *d = norni_definition_of(c->node);
    norni_dim sizes[NORNI_DEFINED_PARAMS * NORN_MAX_RANK];
    bool known;
    NORNI_TRY(norni_define_bind(d, c->g, c->node, sizes, &known));
    for (int k = 0; k < d->n_out && k < c->node->n_out; k++)
        NORNI_TRY(output_shape(d, c->g, sizes, k, &c->out[k]));
    return NORN_OK;
}

/* ---- The launch. */
static norn_dtype generic_type(const norn_node *node) {
    const norni_definition *d = norni_definition_of(node);
    for (int i = 0; i < d->n_in; i++)
        if (d->in[i].generic)
            return node->in[i]->type.dtype;
    return NORN_UNDEFINED;
}

static bool uses(const norn_node *node, norn_dtype t) {
    for (int i = 0; i < node->n_in; i++)
        if (node->in[i] && node->in[i]->type.dtype == t)
            return true;
    for (int k = 0; k < node->n_out; k++)
        if (node->out[k] && node->out[k]->type.dtype == t)
            return true;
    return false;
}

static const char *fits(const norni_fit *f) {
    return uses(f->node, NORN_F64) && !f->device->fp64 ? "the device has no double" : NULL;
}

/* A place for an output that nobody reads. */
static norni_ref unwanted(norni_emit *e, int i, const norni_dim *sizes) {
    const norni_definition *d = norni_definition_of(e->node);
    norni_type t = {.dtype = d->out[i].generic ? generic_type(e->node) : d->out[i].dtype};
    if (output_shape(d, e->g, sizes, i, &t) != NORN_OK)
        return -1;
    return norni_emit_scratch(e, norni_type_static(&t) ? norni_type_bytes(&t) : 1);
}

static norn_status emit(norni_emit *e) {
    const norni_definition *d = norni_definition_of(e->node);
    norni_dim sizes[NORNI_DEFINED_PARAMS * NORN_MAX_RANK];
    bool known, empty = false;
    size_t range[3] = {1, 1, 1};
    int dims = d->n_range ? d->n_range : 1;
    norni_type first = {0};
    NORNI_TRY(norni_define_bind(d, e->g, e->node, sizes, &known));
    NORNI_TRY(output_shape(d, e->g, sizes, 0, &first));
    for (int i = 0; i < dims; i++) {
        norni_dim v = d->n_range ? 0 : norni_type_elems(&first);
        if (d->n_range)
            NORNI_TRY(norni_prefix(size_of(d, e->g, sizes, d->range[i], &v), "range"));
        int64_t n;
        if (!norni_dim_number(e->g, v, &n) || n < 0)
            return norni_fail(NORN_SHAPE, "range '%s' is no number of work-items",
                              d->n_range ? d->range[i] : d->out[0].name);
        range[i] = (size_t)n;
        empty |= !n;
    }
    if (empty)
        return e->status;
    norni_str text = {0};
    if (uses(e->node, NORN_F64))
        norni_str_add(&text, "#pragma OPENCL EXTENSION cl_khr_fp64 : enable\n");
    norni_str_add(&text, "#line 1\n");
    norni_str_add(&text, d->source);
    char *source = norni_str_take(&text);
    norni_step *k = source ? norni_emit_source(e, d->op.name, source, d->kernel) : NULL;
    norni_free(source);
    if (!k)
        return e->status == NORN_OK ? norni_nomem() : e->status;
    k->alone = true;
    norn_dtype t = generic_type(e->node);
    if (t != NORN_UNDEFINED)
        norni_step_define_text(e, k, "T", t == NORN_F64 ? "double" : "float");
    for (int i = 0; i < d->n_in; i++)
        norni_step_buffer(e, k, norni_emit_in(e, i), NORNI_READ);
    for (int i = 0; i < d->n_out; i++)
        norni_step_buffer(e, k, e->node->out[i] ? norni_emit_out(e, i) : unwanted(e, i, sizes), NORNI_WRITE);
    for (int i = 0; i < d->n_sizes; i++)
        norni_step_i64(e, k, sizes[i]);
    norni_step_range(k, dims, range[0], range[1], range[2], 0, 0, 0);
    return e->status;
}

static const norni_impl impls[] = {{.name = "kernel", .fits = fits, .emit = emit}, {0}};

norn_status norni_define_kernel(norni_definition *d) {
    bool generic = false;
    norni_dim v;
    for (int i = 0; i < d->n_in; i++) {
        if (!d->in[i].typed)
            return norni_fail(NORN_ARG, "input '%s' of a kernel has no type", d->in[i].name);
        generic |= d->in[i].generic;
    }
    for (int k = 0; k < d->n_out; k++) {
        if (!d->out[k].typed)
            return norni_fail(NORN_ARG, "output '%s' of a kernel has no type", d->out[k].name);
        if (d->out[k].generic && !generic)
            return norni_fail(NORN_ARG, "output '%s' is of type T, which no input has", d->out[k].name);
        for (int i = 0; i < d->out[k].rank; i++)
            NORNI_TRY(
                norni_prefix(size_of(d, NULL, NULL, d->out[k].dims[i], &v), "output '%s'", d->out[k].name));
    }
    if (d->n_in + d->n_out + d->n_sizes > NORNI_MAX_ARGS)
        return norni_fail(NORN_ARG, "a kernel of %d arguments (wanted at most %d)",
                          d->n_in + d->n_out + d->n_sizes, NORNI_MAX_ARGS);
    for (int i = 0; i < d->n_range; i++)
        NORNI_TRY(norni_prefix(size_of(d, NULL, NULL, d->range[i], &v), "range"));
    if (!strstr(d->source, d->kernel))
        return norni_fail(NORN_ARG, "the source has no kernel '%s'", d->kernel);
    d->op.infer = infer;
    d->op.impls = impls;
    return NORN_OK;
}
