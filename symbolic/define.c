/* SPDX-License-Identifier: Apache-2.0 */
/* Operators that a program defines while it runs: a descriptor whose hooks read the definition that it is the head of. Formulas
 * and graphs are what the operator stands for (`expand`); kernels are in define_kernel.c. */
#include "symbolic/define.h"
#include "graph/graph.h"
#include "ops/control.h"
#include "symbolic/formula.h"
#include <ctype.h>
#include <string.h>

/* ---- The hooks. */
static norn_status expand(norn_graph *g, const norn_node *node, norn_value **out) {
    const norni_definition *d = norni_definition_of(node);
    if (d->graph)
        return norni_prefix(norni_inline(g, d->graph, node->in, out), "%s.%s", d->op.domain, d->op.name);
    const char *names[NORNI_DEFINED_PARAMS];
    norn_dtype dtype = NORN_UNDEFINED;
    for (int i = 0; i < d->n_in; i++) {
        names[i] = d->in[i].name;
        if (dtype == NORN_UNDEFINED && norni_dtype_is_float(node->in[i]->type.dtype))
            dtype = node->in[i]->type.dtype;
    }
    out[0] = norni_formula_of(g, d->formula, dtype == NORN_UNDEFINED ? NORN_F32 : dtype, (size_t)d->n_in,
                              names, node->in);
    return norni_prefix(norn_graph_status(g), "%s.%s", d->op.domain, d->op.name);
}

/* The types are those of the operators that it stands for, worked out in a graph of their own. */
static norn_status infer(norni_infer *c) {
    const norni_definition *d = norni_definition_of(c->node);
    norn_graph *g;
    norni_dim sizes[NORNI_DEFINED_PARAMS * NORN_MAX_RANK];
    norn_value *in[NORNI_DEFINED_PARAMS], *out[NORNI_DEFINED_PARAMS] = {0};
    bool known;
    if (!norni_in_ranked(c, d->n_in))
        return NORN_OK;
    NORNI_TRY(norni_define_bind(d, c->g, c->node, sizes, &known));
    NORNI_TRY(norn_graph_new("types", &g));
    norn_node like = {.graph = g, .op = c->node->op, .n_in = d->n_in, .in = in};
    for (int i = 0; i < d->n_in; i++) {
        norn_value *v = c->node->in[i];
        norni_type t = v->type;
        for (int k = 0; k < t.rank; k++)
            t.dims[k] = norni_dim_import(g, c->g, t.dims[k]);
        in[i] = v->kind == NORNI_CONST ? norni_value_const(g, NULL, norni_tensor_ref(v->data))
                                       : norni_value_input(g, d->in[i].name, &t);
    }
    norn_status s = norn_graph_status(g);
    if (s == NORN_OK)
        s = expand(g, &like, out);
    for (int k = 0; k < d->n_out && k < c->node->n_out && s == NORN_OK; k++) {
        norni_type t = out[k]->type;
        for (int i = 0; i < t.rank; i++)
            t.dims[i] = norni_dim_has_unknown(g, t.dims[i]) ? norni_dim_fresh(c->g)
                                                            : norni_dim_import(c->g, g, t.dims[i]);
        c->out[k] = t;
    }
    norn_graph_free(g);
    return s;
}

/* What the gradient may speak of, by name. */
typedef struct {
    norni_grad *c;
    const norni_definition *d;
    size_t n;
    const char *names[3 * NORNI_DEFINED_PARAMS + 1];
    norn_value *values[3 * NORNI_DEFINED_PARAMS + 1];
} known;

static void know(known *k, const char *name, norn_value *v) {
    k->names[k->n] = name;
    k->values[k->n++] = v;
}

/* An output, and what flows into it: made where the node does without. */
static norn_value *output(const known *k, int i) {
    norn_node *node = k->c->node;
    return node->out[i] ? node->out[i] : norni_want_output(node, i);
}

static norn_value *arriving(const known *k, int i) {
    norn_value *dy = k->c->dy[i], *y = dy ? NULL : output(k, i);
    return dy ? dy : y ? norni_zeros(k->c->g, y->type.dtype, norni_shape_value(k->c->g, y)) : NULL;
}

/* dx as the gradient for input i. */
static norn_value *as_gradient(const known *k, int i, norn_value *dx) {
    norn_graph *g = k->c->g;
    const norn_value *x = k->c->node->in[i];
    if (!dx)
        return NULL;
    norni_type common = dx->type;
    bool fits = norni_broadcast(g, &common, &x->type) == NORN_OK;
    if (fits)
        return norni_cast(g, dx, x->type.dtype);
    norni_str want = {0}, got = {0};
    norni_type_print(&want, g, &x->type);
    norni_type_print(&got, g, &dx->type);
    norn_status s = norni_fail(NORN_SHAPE, "the gradient for '%s' has type %s (wanted %s)", k->d->in[i].name,
                               got.s ? got.s : "", want.s ? want.s : "");
    norni_str_free(&want);
    norni_str_free(&got);
    return norni_graph_failed(g, s);
}

static void grad_graph(known *k) {
    const norn_graph *sub = k->d->gradient;
    norn_value **in = norni_arena_array(k->c->g->arena, sub->inputs.n + 1, sizeof *in);
    norn_value **out = norni_arena_array(k->c->g->arena, sub->outputs.n + 1, sizeof *out);
    if (!in || !out) {
        norni_graph_failed(k->c->g, norni_nomem());
        return;
    }
    for (size_t i = 0; i < sub->inputs.n; i++)
        for (size_t j = 0; j < k->n; j++)
            if (!strcmp(sub->inputs.v[i]->name, k->names[j]))
                in[i] = k->values[j];
    if (norni_inline(k->c->g, sub, in, out) != NORN_OK)
        return;
    for (size_t o = 0; o < sub->outputs.n; o++)
        for (int i = 0; i < k->d->n_in; i++)
            if (k->c->want[i] && !strcmp(sub->outputs.v[o].name + 2, k->d->in[i].name))
                k->c->dx[i] = as_gradient(k, i, out[o]);
}

static void grad(norni_grad *c) {
    const norni_definition *d = norni_definition_of(c->node);
    known k = {.c = c, .d = d};
    for (int i = 0; i < d->n_in; i++)
        know(&k, d->in[i].name, c->node->in[i]);
    for (int i = 0; i < d->n_out; i++) {
        norn_value *dy = arriving(&k, i);
        if (d->n_out == 1)
            know(&k, "dy", dy);
        know(&k, norni_arena_printf(c->g->arena, "d_%s", d->out[i].name), dy);
        know(&k, d->out[i].name, output(&k, i));
    }
    for (size_t i = 0; i < k.n; i++)
        if (!k.names[i] || !k.values[i]) {
            norni_graph_failed(c->g, norni_nomem());
            return;
        }
    if (d->gradient)
        grad_graph(&k);
    for (int i = 0; i < d->n_in && !d->gradient; i++)
        if (c->want[i] && d->gradients[i])
            c->dx[i] = as_gradient(
                &k, i,
                norni_formula_of(c->g, d->gradients[i], c->node->in[i]->type.dtype, k.n, k.names, k.values));
    if (norn_graph_status(c->g) != NORN_OK)
        norni_prefix(norn_graph_status(c->g), "%s.%s: gradient", d->op.domain, d->op.name);
}

/* ---- Reading a definition. */
static bool is_name(const char *s, size_t n) {
    bool ok = n > 0 && !isdigit((unsigned char)*s);
    for (size_t i = 0; i < n; i++)
        ok = ok && (isalnum((unsigned char)s[i]) || s[i] == '_');
    return ok;
}

static norn_status take_name(norni_definition *d, const char *name) {
    const char *dot = name ? strrchr(name, '.') : NULL;
    bool ok = dot && dot > name && is_name(dot + 1, strlen(dot + 1));
    for (const char *p = name; ok && p < dot; p++)
        ok = isalnum((unsigned char)*p) || *p == '_' || *p == '.';
    if (!ok)
        return norni_fail(NORN_ARG, "got the name '%s' (wanted a domain and a name, as in my.Swish)",
                          name ? name : "");
    d->op.domain = norni_arena_strndup(d->arena, name, (size_t)(dot - name));
    d->op.name = norni_arena_strdup(d->arena, dot + 1);
    if (!d->op.domain || !d->op.name)
        return norni_nomem();
    if (!strcmp(d->op.domain, "norn") || !strncmp(d->op.domain, "ai.onnx", 7) ||
        !strncmp(d->op.domain, "com.microsoft", 13))
        return norni_fail(NORN_ARG, "domain '%s' is not yours to define", d->op.domain);
    const norn_op *other;
    for (size_t i = 0; (other = norni_op_defined(i)); i++)
        if (!strcmp(other->name, d->op.name))
            return norni_fail(NORN_ARG, "'%s' is defined already, as %s.%s", d->op.name, other->domain,
                              other->name);
    return norni_formula_calls(d->op.name)
               ? norni_fail(NORN_ARG, "'%s' is a function of formulas", d->op.name)
               : NORN_OK;
}

static const char *trimmed(norni_arena *a, const char *p, size_t n) {
    while (n && isspace((unsigned char)*p))
        p++, n--;
    while (n && isspace((unsigned char)p[n - 1]))
        n--;
    return norni_arena_strndup(a, p, n);
}

/* The next piece before a comma that no bracket encloses; false at the end. */
static bool next_piece(const char **at, const char **piece, size_t *n) {
    int depth = 0;
    const char *p = *at;
    if (!p)
        return false;
    for (; *p && (*p != ',' || depth); p++)
        depth += (*p == '[' || *p == '(') - (*p == ']' || *p == ')');
    *piece = *at;
    *n = (size_t)(p - *at);
    *at = *p ? p + 1 : NULL;
    return true;
}

norn_status norni_define_sizes(norni_definition *d, const char *text, int max, const char **out, int *n) {
    const char *at = text, *piece;
    size_t len;
    *n = 0;
    while (next_piece(&at, &piece, &len)) {
        if (*n == max)
            return norni_fail(NORN_ARG, "'%s': more than %d sizes", text, max);
        if (!(out[*n] = trimmed(d->arena, piece, len)))
            return norni_nomem();
        if (!*out[(*n)++])
            return norni_fail(NORN_PARSE, "'%s': a size is missing", text);
    }
    return NORN_OK;
}

static norn_status take_type(norni_definition *d, const char *text, norni_defined_param *p) {
    size_t n = strcspn(text, "[ \t\n");
    const char *open = text + n + strspn(text + n, " \t\n");
    p->typed = true;
    p->generic = n == 1 && *text == 'T';
    p->dtype = p->generic ? NORN_UNDEFINED : norni_formula_dtype(text, n);
    if (!p->generic && (p->dtype == NORN_UNDEFINED || p->dtype == NORN_STRING))
        return norni_fail(NORN_PARSE, "'%s' has type '%s' (wanted one as f32[N,C], f64, i64 or T[N])",
                          p->name, text);
    if (!*open)
        return NORN_OK;
    size_t len = strlen(open);
    if (*open != '[' || open[len - 1] != ']')
        return norni_fail(NORN_PARSE, "'%s' has type '%s' (wanted sizes between [ and ])", p->name, text);
    const char *inner = trimmed(d->arena, open + 1, len - 2);
    if (!inner)
        return norni_nomem();
    return *inner ? norni_define_sizes(d, inner, NORN_MAX_RANK, p->dims, &p->rank) : NORN_OK;
}

norn_status norni_define_params(norni_definition *d, const char *text, const char *what,
                                norni_defined_param *params, int *n) {
    const char *at = text, *piece;
    size_t len;
    *n = 0;
    while (next_piece(&at, &piece, &len)) {
        norni_defined_param *p = &params[*n];
        const char *whole = trimmed(d->arena, piece, len);
        if (!whole)
            return norni_nomem();
        size_t name = strcspn(whole, ": \t\n");
        const char *type = strchr(whole, ':');
        if (*n == NORNI_DEFINED_PARAMS)
            return norni_fail(NORN_ARG, "more than %d %s", NORNI_DEFINED_PARAMS, what);
        if (!is_name(whole, name) || (!type && whole[name]))
            return norni_fail(NORN_PARSE, "%s '%s': got '%s' (wanted a name, or name: type)", what, text,
                              whole);
        p->name = norni_arena_strndup(d->arena, whole, name);
        const char *t = type ? trimmed(d->arena, type + 1, strlen(type + 1)) : "";
        if (!p->name || !t)
            return norni_nomem();
        for (int i = 0; i < *n; i++)
            if (!strcmp(params[i].name, p->name))
                return norni_fail(NORN_ARG, "%s '%s': '%s' stands twice", what, text, p->name);
        if (type)
            NORNI_TRY(norni_prefix(take_type(d, t, p), "%s", what));
        (*n)++;
    }
    return NORN_OK;
}

/* The parameters of a graph are its inputs and outputs. */
static norn_status params_of_graph(norni_definition *d) {
    const norn_graph *g = d->graph;
    if (g->inputs.n > NORNI_DEFINED_PARAMS || g->outputs.n > NORNI_DEFINED_PARAMS || !g->outputs.n ||
        g->states.n)
        return norni_fail(
            NORN_ARG,
            "the graph has %zu inputs, %zu outputs, %zu parameters (wanted at most %d, 1 to %d, none)",
            g->inputs.n, g->outputs.n, g->states.n, NORNI_DEFINED_PARAMS, NORNI_DEFINED_PARAMS);
    if (d->source) /* the kernel says what they are */
        return (size_t)d->n_in == g->inputs.n && (size_t)d->n_out == g->outputs.n
                   ? NORN_OK
                   : norni_fail(NORN_ARG,
                                "the graph has %zu inputs and %zu outputs (wanted %d and %d, as the kernel)",
                                g->inputs.n, g->outputs.n, d->n_in, d->n_out);
    for (size_t i = 0; i < g->inputs.n; i++)
        d->in[i] = (norni_defined_param){.name = norni_arena_strdup(d->arena, g->inputs.v[i]->name),
                                         .dtype = g->inputs.v[i]->type.dtype};
    for (size_t i = 0; i < g->outputs.n; i++)
        d->out[i].name = norni_arena_strdup(d->arena, g->outputs.v[i].name);
    d->n_in = (int)g->inputs.n;
    d->n_out = (int)g->outputs.n;
    return NORN_OK;
}

static void make_params(const norni_defined_param *p, int n, norni_param *out, bool input) {
    for (int i = 0; i < n; i++) {
        bool fixed = p[i].dtype != NORN_UNDEFINED;
        out[i] = (norni_param){.name = p[i].name,
                               .types = fixed          ? NORNI_T(p[i].dtype)
                                        : p[i].generic ? NORNI_T(NORN_F32) | NORNI_T(NORN_F64)
                                        : input        ? NORNI_FLOATS
                                                       : NORNI_ANY,
                               .var = fixed || (!input && !p[i].generic) ? 0 : 'T'};
    }
}

static norn_status copy_graph(const norn_graph *g, norn_graph **out) {
    norni_rebuild r = {.from = g};
    *out = NULL;
    if (!g)
        return NORN_OK;
    NORNI_TRY(norni_rebuild_run(&r));
    *out = r.to;
    return NORN_OK;
}

/* The gradient graph speaks of known values only. */
static norn_status check_gradient(const norni_definition *d) {
    const norn_graph *g = d->gradient;
    for (size_t i = 0; i < g->inputs.n; i++) {
        const char *name = g->inputs.v[i]->name;
        bool is = d->n_out == 1 && !strcmp(name, "dy");
        for (int k = 0; k < d->n_in; k++)
            is |= !strcmp(name, d->in[k].name);
        for (int k = 0; k < d->n_out; k++)
            is |= !strcmp(name, d->out[k].name) ||
                  (!strncmp(name, "d_", 2) && !strcmp(name + 2, d->out[k].name));
        if (!is)
            return norni_fail(
                NORN_ARG,
                "gradient: input '%s' is no input or output of the operator, nor what flows into one", name);
    }
    for (size_t i = 0; i < g->outputs.n; i++) {
        const char *name = g->outputs.v[i].name;
        bool is = false;
        for (int k = 0; k < d->n_in; k++)
            is |= !strncmp(name, "d_", 2) && !strcmp(name + 2, d->in[k].name);
        if (!is)
            return norni_fail(NORN_ARG, "gradient: output '%s' (wanted d_NAME for an input NAME)", name);
    }
    return g->states.n ? norni_fail(NORN_ARG, "gradient: the graph has parameters") : NORN_OK;
}

/* Formulas with a wrong column are found at once: over numbers where nothing says otherwise. What needs other shapes than those
 * is found where the operator is used. */
static norn_status check_formulas(const norni_definition *d) {
    norni_program program;
    if (d->formula)
        NORNI_TRY(norni_program_parse(d->arena, d->formula, &program));
    for (int i = 0; i < d->n_in; i++)
        if (d->gradients[i])
            NORNI_TRY(norni_prefix(norni_program_parse(d->arena, d->gradients[i], &program),
                                   "gradient for '%s'", d->in[i].name));
    return NORN_OK;
}

static const char *copied(norni_definition *d, const char *s, norn_status *status) {
    char *t = s ? norni_arena_strdup(d->arena, s) : NULL;
    if (s && !t)
        *status = norni_nomem();
    return t;
}

static norn_status define(norni_definition *d, const norn_operator *o) {
    static const int versions[] = {1, 0};
    norn_status s = NORN_OK;
    bool own = o->gradient != NULL;
    if (!o->formula && !o->graph && !o->source)
        return norni_fail(NORN_ARG, "got nothing that it computes (wanted a formula, a graph or a kernel)");
    if (o->formula && o->graph)
        return norni_fail(NORN_ARG, "got a formula and a graph (wanted one of them)");
    if (!o->inputs != (o->graph && !o->source))
        return norni_fail(NORN_ARG,
                          o->inputs ? "got a graph and inputs (wanted one of them)" : "got no inputs");
    d->formula = copied(d, o->formula, &s);
    d->source = copied(d, o->source, &s);
    d->kernel = o->kernel ? copied(d, o->kernel, &s) : d->op.name;
    NORNI_TRY(s);
    NORNI_TRY(copy_graph(o->graph, &d->graph));
    NORNI_TRY(norni_prefix(copy_graph(o->gradient, &d->gradient), "gradient"));
    if (o->inputs) {
        NORNI_TRY(norni_define_params(d, o->inputs, "inputs", d->in, &d->n_in));
        NORNI_TRY(norni_define_names(d));
    }
    if (d->source) {
        if (!o->outputs)
            return norni_fail(NORN_ARG, "got a kernel without outputs");
        NORNI_TRY(norni_define_params(d, o->outputs, "outputs", d->out, &d->n_out));
        if (o->range)
            NORNI_TRY(norni_prefix(norni_define_sizes(d, o->range, 3, d->range, &d->n_range), "range"));
    } else if (o->outputs || o->range || o->kernel)
        return norni_fail(NORN_ARG, "got outputs, a range or a kernel's name without a kernel");
    else if (d->formula) {
        d->n_out = 1;
        d->out[0].name = "y";
    }
    if (d->formula && d->n_out != 1)
        return norni_fail(NORN_ARG, "got a formula for %d outputs (wanted a graph)", d->n_out);
    if (d->graph)
        NORNI_TRY(params_of_graph(d));
    if (o->gradients && (int)o->n_gradients != d->n_in)
        return norni_fail(NORN_ARG, "got %zu gradients (wanted %d, one for each input)", o->n_gradients,
                          d->n_in);
    for (int i = 0; o->gradients && i < d->n_in; i++) {
        d->gradients[i] = copied(d, o->gradients[i], &s);
        own |= o->gradients[i] != NULL;
    }
    NORNI_TRY(s);
    if (o->gradients && o->gradient)
        return norni_fail(NORN_ARG, "got gradients as formulas and as a graph (wanted one of them)");
    for (int i = 0; i < d->n_in; i++)
        for (int k = 0; k < d->n_out; k++)
            if (!strcmp(d->in[i].name, d->out[k].name) ||
                (own && d->n_out == 1 && !strcmp(d->in[i].name, "dy")))
                return norni_fail(NORN_ARG, "an input is called '%s', as is %s", d->in[i].name,
                                  strcmp(d->in[i].name, "dy") ? "an output" : "what flows into the output");
    if (d->gradient)
        NORNI_TRY(check_gradient(d));
    NORNI_TRY(check_formulas(d));
    make_params(d->in, d->n_in, d->in_params, true);
    make_params(d->out, d->n_out, d->out_params, false);
    d->op.versions = versions;
    d->op.doc = "defined by the program";
    d->op.inputs = d->in_params;
    d->op.outputs = d->out_params;
    d->op.defined = true;
    d->op.infer = infer;
    d->op.grad = own ? grad : NULL;
    if (d->formula || d->graph) {
        d->op.expand = expand;
        d->op.eval = norni_eval_expansion;
    }
    return d->source ? norni_define_kernel(d) : NORN_OK;
}

norn_status norn_operator_define(const norn_operator *o) {
    norni_arena *arena = norni_arena_new(0);
    norni_definition *d = arena ? norni_arena_alloc(arena, sizeof *d) : NULL;
    norn_status s = d ? NORN_OK : norni_nomem();
    if (d) {
        d->arena = arena;
        s = take_name(d, o->name);
        if (s == NORN_OK)
            s = define(d, o);
        if (s == NORN_OK && !norni_op_add(&d->op))
            s = norni_nomem();
    }
    if (s != NORN_OK) {
        if (d) {
            norn_graph_free(d->graph);
            norn_graph_free(d->gradient);
        }
        norni_arena_free(arena);
    }
    return norni_prefix(s, "operator '%s'", o->name ? o->name : "");
}
