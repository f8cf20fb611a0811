/* SPDX-License-Identifier: Apache-2.0 */
/* Types, values, nodes and how they are made. */
#include "ops/op.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

norn_value norni_none_value = {.id = -1};

/* ---- Types. */
bool norni_type_static(const norni_type *t) {
    if (t->dtype == NORN_UNDEFINED || t->rank < 0)
        return false;
    for (int i = 0; i < t->rank; i++)
        if (t->dims[i] < 0)
            return false;
    return true;
}

bool norni_type_equal(const norni_type *a, const norni_type *b) {
    return a->dtype == b->dtype && a->rank == b->rank &&
           (a->rank <= 0 || !memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims));
}

bool norni_shape_equal(const norni_type *a, const norni_type *b) {
    norni_type t = *b;
    t.dtype = a->dtype;
    return a->rank >= 0 && norni_type_equal(a, &t);
}

int64_t norni_type_elems(const norni_type *t) {
    return norni_elems(t->rank, t->dims);
}

size_t norni_type_bytes(const norni_type *t) {
    return norni_dtype_bytes(t->dtype, norni_type_elems(t));
}

void norni_type_print(norni_str *out, const norn_graph *g, const norni_type *t) {
    norni_str_add(out, norni_dtype_name(t->dtype));
    if (t->rank < 0) {
        norni_str_add(out, "[...]");
        return;
    }
    norni_str_add(out, "[");
    for (int i = 0; i < t->rank; i++) {
        if (i)
            norni_str_add(out, ",");
        norni_dim_print(out, g, t->dims[i]);
    }
    norni_str_add(out, "]");
}

/* ---- Graphs. */
norn_status norni_graph_new_in(const char *name, norni_arena *arena, norn_graph **out) {
    norn_graph *g = arena ? norni_alloc(sizeof *g) : NULL;
    *out = g;
    if (!g)
        return norni_nomem();
    g->arena = arena;
    g->name = norni_arena_strdup(arena, name ? name : "graph");
    g->next_stream = 1;
    return g->name ? NORN_OK : norni_nomem();
}

void norn_graph_free(norn_graph *g) {
    if (!g)
        return;
    for (size_t i = 0; i < g->values.n; i++)
        norn_tensor_free(g->values.v[i]->data);
    for (size_t i = 0; i < g->nodes.n; i++)
        norni_attrs_release(g->nodes.v[i]->op, g->nodes.v[i]->attrs);
    norni_vec_free(&g->nodes);
    norni_vec_free(&g->values);
    norni_vec_free(&g->inputs);
    norni_vec_free(&g->outputs);
    norni_vec_free(&g->states);
    norni_dims_free(g->dims);
    norni_arena_free(g->arena);
    norni_free(g->error);
    norni_free(g);
}

void *norni_graph_failed(norn_graph *g, norn_status s) {
    if (g->status == NORN_OK) {
        g->status = s;
        g->error = norni_strdup(norn_error());
    }
    return NULL;
}

norn_value *norni_graph_find(const norn_graph *g, const char *name) {
    for (size_t i = 0; i < g->values.n; i++)
        if (g->values.v[i]->name && !strcmp(g->values.v[i]->name, name))
            return g->values.v[i];
    return NULL;
}

/* ---- Values. */
static norn_value *new_value(norn_graph *g, norni_kind kind, const char *name, const norni_type *type) {
    if (g->status != NORN_OK)
        return NULL;
    norn_value *v = norni_arena_alloc(g->arena, sizeof *v);
    if (v) {
        v->graph = g;
        v->id = (int)g->values.n;
        v->kind = kind;
        v->type = type ? *type : (norni_type){.rank = -1};
        v->name = name ? norni_arena_strdup(g->arena, name) : NULL;
    }
    if (!v || (name && !v->name) || !NORNI_PUSH(&g->values, v))
        return norni_graph_failed(g, norni_nomem());
    return v;
}

norn_value *norni_value_input(norn_graph *g, const char *name, const norni_type *type) {
    norn_value *v = new_value(g, NORNI_INPUT, name, type);
    if (v && !NORNI_PUSH(&g->inputs, v))
        return norni_graph_failed(g, norni_nomem());
    return v;
}

static norn_value *with_data(norn_graph *g, norni_kind kind, const char *name, const norni_type *type,
                             norn_tensor *data) {
    norn_value *v = new_value(g, kind, name, type);
    if (v)
        v->data = data;
    else
        norn_tensor_free(data);
    return v;
}

static norni_type type_of_tensor(const norn_tensor *t) {
    norni_type type = {.dtype = t->dtype, .rank = t->rank};
    memcpy(type.dims, t->dims, sizeof type.dims);
    return type;
}

norn_value *norni_value_const(norn_graph *g, const char *name, norn_tensor *data) {
    if (!data)
        return norni_graph_failed(g, norni_nomem());
    norni_type type = type_of_tensor(data);
    return with_data(g, NORNI_CONST, name, &type, data);
}

norn_value *norni_value_state(norn_graph *g, const char *name, const norni_type *type, norn_tensor *initial) {
    norn_value *v = with_data(g, NORNI_STATE, name, type, initial);
    if (v && !NORNI_PUSH(&g->states, ((norni_state){v, NULL})))
        return norni_graph_failed(g, norni_nomem());
    return v;
}

norn_value *norni_fill_const(norn_graph *g, const norni_type *type, double x) {
    norn_tensor *t;
    norn_status s = norni_tensor_host(type->dtype, type->rank, type->dims, &t);
    if (s != NORN_OK)
        return norni_graph_failed(g, s);
    int64_t n = norni_tensor_elems(t);
    for (int64_t i = 0; i < n && x != 0; i++)
        norni_set_double(t->dtype, norni_tensor_data(t), i, x);
    return norni_value_const(g, NULL, t);
}

norn_value *norni_scalar_const(norn_graph *g, norn_dtype dtype, double v) {
    return norni_fill_const(g, &(norni_type){.dtype = dtype}, v);
}

norn_value *norni_i64_const(norn_graph *g, int n, const int64_t *v) {
    norn_tensor *t;
    norn_status s = norni_tensor_host(NORN_I64, 1, (int64_t[]){n}, &t);
    if (s != NORN_OK)
        return norni_graph_failed(g, s);
    if (n)
        memcpy(norni_tensor_data(t), v, (size_t)n * sizeof *v);
    return norni_value_const(g, NULL, t);
}

norn_value *norni_shape_value(norn_graph *g, norn_value *v) {
    if (v && norni_type_static(&v->type))
        return norni_i64_const(g, v->type.rank, v->type.dims);
    return NORNI_OP1(g, v, "Shape");
}

norn_value *norni_part(norn_graph *g, norn_value *x, int axis, int64_t from, int64_t to) {
    norn_value *in[] = {x, norni_i64_const(g, 1, &from), norni_i64_const(g, 1, &to),
                        norni_i64_const(g, 1, (int64_t[]){axis})};
    return norni_opf(g, 4, in, "Slice");
}

norn_value *norni_at(norn_graph *g, norn_value *x, int axis, int64_t place) {
    return NORNI_OP2(g, x, norni_scalar_const(g, NORN_I64, (double)place), "Gather<axis=%d>", axis);
}

norn_value *norni_counted(norn_graph *g, norn_value *n) {
    n = NORNI_OP2(g, norni_cast(g, n, NORN_I64), norni_i64_const(g, 0, NULL), "Reshape");
    return NORNI_OP3(g, norni_scalar_const(g, NORN_I64, 0), n, norni_scalar_const(g, NORN_I64, 1), "Range");
}

norn_value *norni_size_value(norn_graph *g, norn_value *v, int axis) {
    if (v && axis < v->type.rank && v->type.dims[axis] >= 0)
        return norni_i64_const(g, 1, &v->type.dims[axis]);
    return NORNI_OP1(g, v, "Shape<start=%d, end=%d>", axis, axis + 1);
}

norn_value *norni_shape_with(norn_graph *g, norn_value *v, int axis, int64_t size) {
    if (!v)
        return NULL;
    norni_type t = v->type;
    norn_value *parts[3], *one = norni_i64_const(g, 1, &size);
    int n = 0;
    t.dims[axis] = size;
    if (norni_type_static(&t))
        return norni_i64_const(g, t.rank, t.dims);
    if (axis)
        parts[n++] = NORNI_OP1(g, v, "Shape<end=%d>", axis);
    parts[n++] = one;
    if (axis + 1 < t.rank)
        parts[n++] = NORNI_OP1(g, v, "Shape<start=%d>", axis + 1);
    return norni_opf(g, n, parts, "Concat<axis=0>");
}

norn_value *norni_zeros(norn_graph *g, norn_dtype dtype, norn_value *shape) {
    return dtype == NORN_F32
               ? NORNI_OP1(g, shape, "ConstantOfShape")
               : NORNI_OP1(g, shape, "ConstantOfShape<value=%s[1]{0}>", norni_dtype_name(dtype));
}

bool norni_is_const(const norn_value *v) {
    return v && v->kind == NORNI_CONST;
}

bool norni_is_const_value(const norn_value *v, double x) {
    if (!norni_is_const(v))
        return false;
    int64_t n = norni_tensor_elems(v->data);
    for (int64_t i = 0; i < n; i++)
        if (norni_get_double(v->data->dtype, norni_tensor_data(v->data), i) != x)
            return false;
    return n > 0;
}

const norni_dim *norni_value_known(norn_value *v, int *n) {
    if (!v->known && v->kind == NORNI_CONST && norni_dtype_is_int(v->type.dtype) && v->type.rank <= 1 &&
        norni_tensor_elems(v->data) <= NORNI_MAX_KNOWN) {
        int64_t count = norni_tensor_elems(v->data);
        norni_dim *d = norni_arena_array(v->graph->arena, (size_t)count, sizeof *d);
        for (int64_t i = 0; d && i < count; i++) {
            int64_t x = norni_get_int(v->type.dtype, norni_tensor_data(v->data), i);
            d[i] = norni_dim_of(v->graph, x);
        }
        v->known = d;
        v->n_known = (int)count;
    }
    *n = v->n_known;
    return v->known;
}

bool norni_value_ints(norn_value *v, int64_t *out, int max, int *n) {
    if (v->kind == NORNI_CONST && norni_dtype_is_int(v->type.dtype)) {
        int64_t count = norni_tensor_elems(v->data);
        if (count > max)
            return false;
        *n = (int)count;
        for (int64_t i = 0; i < count; i++)
            out[i] = norni_get_int(v->type.dtype, norni_tensor_data(v->data), i);
        return true;
    }
    const norni_dim *d = norni_value_known(v, n);
    if (!d || *n > max)
        return false;
    for (int i = 0; i < *n; i++)
        if (!norni_dim_number(v->graph, d[i], &out[i]))
            return false;
    return true;
}

/* ---- Nodes. */
static norn_status describe(norn_status s, const norn_node *node) {
    norni_str text = {0};
    norni_node_print(&text, node);
    s = node->name ? norni_prefix(s, "node '%s' %s", node->name, text.s ? text.s : "")
                   : norni_prefix(s, "%s", text.s ? text.s : "");
    norni_str_free(&text);
    return s;
}

static norn_value *add_output(norn_node *node, int i) {
    norn_value *v = new_value(node->graph, NORNI_RESULT, NULL, NULL);
    if (v) {
        v->producer = node;
        v->index = i;
        node->out[i] = v;
    }
    return v;
}

norn_node *norni_apply(norn_graph *g, const norn_op *op, const void *attrs, int n_in, norn_value *const *in,
                       unsigned wanted) {
    if (g->status != NORN_OK)
        return NULL;
    for (int i = 0; i < n_in; i++)
        if (!in[i])
            return norni_graph_failed(g, g->status == NORN_OK && *norn_error() == 0
                                             ? norni_fail(NORN_ARG, "%s: input %d is NULL", op->name, i)
                                             : NORN_INTERNAL);
    while (n_in && in[n_in - 1] == NORNI_NONE)
        n_in--;
    int n_out = norni_op_n_outputs(op, true);
    for (int i = n_out; i < 32; i++)
        if (wanted >> i)
            n_out = i + 1; /* variadic outputs */
    norn_node *node = norni_arena_alloc(g->arena, sizeof *node);
    if (!node)
        return norni_graph_failed(g, norni_nomem());
    *node = (norn_node){.graph = g, .op = op, .n_in = n_in, .n_out = n_out, .stream = g->next_stream++};
    node->in = norni_arena_array(g->arena, (size_t)n_in, sizeof *node->in);
    node->out = norni_arena_array(g->arena, (size_t)n_out, sizeof *node->out);
    node->attrs = norni_arena_alloc(g->arena, op->attrs_bytes);
    if (!node->in || !node->out || !node->attrs)
        return norni_graph_failed(g, norni_nomem());
    for (int i = 0; i < n_in; i++)
        node->in[i] = in[i] == NORNI_NONE ? NULL : in[i];
    norn_status s = NORN_OK;
    if (attrs)
        s = norni_attrs_copy(op, node->attrs, attrs, g->arena);
    else
        norni_attrs_default(op, node->attrs);
    if (s != NORN_OK)
        return norni_graph_failed(g, describe(s, node));
    for (int i = 0; i < n_out && s == NORN_OK; i++)
        if (wanted >> i & 1 && !add_output(node, i))
            s = g->status; /* and the graph has the message */
    bool described = s != NORN_OK;
    if (s == NORN_OK)
        s = norni_infer_node(node);
    node->id = (int)g->nodes.n;
    if (s == NORN_OK && NORNI_PUSH(&g->nodes, node))
        return node;
    if (!described)
        norni_graph_failed(g, s == NORN_OK ? norni_nomem() : describe(s, node));
    norni_attrs_release(op, node->attrs); /* no node of the graph holds them */
    return NULL;
}

norn_value *norni_want_output(norn_node *node, int i) {
    if (node->out[i])
        return node->out[i];
    if (!add_output(node, i))
        return NULL;
    norn_status s = norni_infer_node(node);
    return s == NORN_OK ? node->out[i] : norni_graph_failed(node->graph, describe(s, node));
}

static norn_node *apply_text(norn_graph *g, unsigned wanted, int n_in, norn_value *const *in, const char *fmt,
                             va_list ap) {
    if (g->status != NORN_OK)
        return NULL;
    char text[512];
    const norn_op *op;
    void *attrs;
    const char *end;
    int n = vsnprintf(text, sizeof text, fmt, ap);
    if (n < 0 || n >= (int)sizeof text)
        return norni_graph_failed(g,
                                  norni_fail(NORN_ARG, "operator text '%.40s...': longer than %d characters",
                                             text, (int)sizeof text - 1));
    norn_status s = norni_op_parse(text, g->arena, &op, &attrs, &end);
    if (s != NORN_OK)
        return norni_graph_failed(g, s);
    norn_node *node =
        *end ? norni_graph_failed(
                   g, norni_fail(NORN_PARSE, "operator text '%s': got '%s' (wanted the end)", text, end))
             : norni_apply(g, op, attrs, n_in, in, wanted);
    norni_attrs_release(op, attrs); /* the node has its own */
    return node;
}

norn_node *norni_opf_node(norn_graph *g, unsigned wanted, int n_in, norn_value *const *in, const char *fmt,
                          ...) {
    va_list ap;
    va_start(ap, fmt);
    norn_node *node = apply_text(g, wanted, n_in, in, fmt, ap);
    va_end(ap);
    return node;
}

norn_value *norni_opf(norn_graph *g, int n_in, norn_value *const *in, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    norn_node *node = apply_text(g, 1, n_in, in, fmt, ap);
    va_end(ap);
    return node ? node->out[0] : NULL;
}

norn_value *norni_swap_axes(norn_graph *g, norn_value *x, int a, int b) {
    if (!x)
        return NULL;
    norni_str perm = {0};
    for (int i = 0; i < x->type.rank; i++)
        norni_str_addf(&perm, "%s%d", i ? "," : "", i == a ? b : i == b ? a : i);
    norn_value *v = NORNI_OP1(g, x, "Transpose<perm=[%s]>", perm.s ? perm.s : "");
    norni_str_free(&perm);
    return v;
}

norn_value *norni_swap_last(norn_graph *g, norn_value *x) {
    return x ? norni_swap_axes(g, x, x->type.rank - 2, x->type.rank - 1) : NULL;
}

norn_value *norni_cast(norn_graph *g, norn_value *x, norn_dtype t) {
    return !x || x->type.dtype == t ? x : NORNI_OP1(g, x, "Cast<to=%d>", (int)t);
}

norn_value *norni_along_channels(norn_graph *g, norn_value *v, int rank) {
    int64_t shape[NORN_MAX_RANK];
    if (!v || v->type.rank == 0 || rank < 3)
        return v;
    for (int i = 1; i < rank; i++)
        shape[i - 1] = i == 1 ? -1 : 1;
    return NORNI_OP2(g, v, norni_i64_const(g, rank - 1, shape), "Reshape");
}

norn_value *norni_elems_per(norn_graph *g, norn_value *x, norn_value *y, norn_dtype t) {
    if (!x || !y)
        return NULL;
    if (norni_type_static(&x->type) && norni_type_static(&y->type) && norni_type_elems(&y->type) > 0)
        return norni_scalar_const(g, t,
                                  (double)norni_type_elems(&x->type) / (double)norni_type_elems(&y->type));
    return norni_cast(g, NORNI_OP2(g, NORNI_OP1(g, x, "Size"), NORNI_OP1(g, y, "Size"), "Div"), t);
}

norn_value *norni_matmul_t(norn_graph *g, norn_value *a, bool trans_a, norn_value *b, bool trans_b) {
    if (!a || !b)
        return NULL;
    if (a->type.rank == 2 && b->type.rank == 2)
        return NORNI_OP2(g, a, b, "Gemm<transA=%d, transB=%d>", trans_a, trans_b);
    return NORNI_OP2(g, trans_a ? norni_swap_last(g, a) : a, trans_b ? norni_swap_last(g, b) : b, "MatMul");
}

/* ---- Formulas as nodes. */
typedef struct {
    norn_graph *g;
    norn_value *const *vars;
    norn_dtype dtype; /* of literals: the first floating-point variable's, else the first one's */
} formula;

static norn_value *build(const formula *f, const norni_expr *e) {
    static const char *const names[NORNI_E_COUNT] = {
        [NORNI_E_NEG] = "Neg",           [NORNI_E_NOT] = "Not",
        [NORNI_E_ADD] = "Add",           [NORNI_E_SUB] = "Sub",
        [NORNI_E_MUL] = "Mul",           [NORNI_E_DIV] = "Div",
        [NORNI_E_POW] = "Pow",           [NORNI_E_LT] = "Less",
        [NORNI_E_LE] = "LessOrEqual",    [NORNI_E_GT] = "Greater",
        [NORNI_E_GE] = "GreaterOrEqual", [NORNI_E_EQ] = "Equal",
        [NORNI_E_AND] = "And",           [NORNI_E_OR] = "Or",
        [NORNI_E_WHERE] = "Where",       [NORNI_E_MAX] = "Max",
        [NORNI_E_MIN] = "Min",           [NORNI_E_MOD] = "Mod<fmod=0>",
        [NORNI_E_FMOD] = "Mod<fmod=1>",  [NORNI_E_ABS] = "Abs",
        [NORNI_E_SIGN] = "Sign",         [NORNI_E_FLOOR] = "Floor",
        [NORNI_E_CEIL] = "Ceil",         [NORNI_E_ROUND] = "Round",
        [NORNI_E_SQRT] = "Sqrt",         [NORNI_E_EXP] = "Exp",
        [NORNI_E_LOG] = "Log",           [NORNI_E_SIN] = "Sin",
        [NORNI_E_COS] = "Cos",           [NORNI_E_TAN] = "Tan",
        [NORNI_E_ASIN] = "Asin",         [NORNI_E_ACOS] = "Acos",
        [NORNI_E_ATAN] = "Atan",         [NORNI_E_SINH] = "Sinh",
        [NORNI_E_COSH] = "Cosh",         [NORNI_E_TANH] = "Tanh",
        [NORNI_E_ASINH] = "Asinh",       [NORNI_E_ACOSH] = "Acosh",
        [NORNI_E_ATANH] = "Atanh",       [NORNI_E_ERF] = "Erf",
        [NORNI_E_SIGMOID] = "Sigmoid",   [NORNI_E_ISNAN] = "IsNaN",
        [NORNI_E_ISINF] = "IsInf",
    };
    norn_graph *g = f->g;
    switch (e->op) {
    case NORNI_E_CONST:
        return norni_scalar_const(g, f->dtype, e->value);
    case NORNI_E_VAR:
        return f->vars[e->var];
    case NORNI_E_RSQRT:
        return NORNI_OP1(g, NORNI_OP1(g, build(f, e->a[0]), "Sqrt"), "Reciprocal");
    case NORNI_E_EXPM1:
        return NORNI_OP2(g, NORNI_OP1(g, build(f, e->a[0]), "Exp"), norni_scalar_const(g, f->dtype, 1),
                         "Sub");
    case NORNI_E_LOG1P:
        return NORNI_OP1(g, NORNI_OP2(g, build(f, e->a[0]), norni_scalar_const(g, f->dtype, 1), "Add"),
                         "Log");
    case NORNI_E_NE:
        return NORNI_OP1(g, NORNI_OP2(g, build(f, e->a[0]), build(f, e->a[1]), "Equal"), "Not");
    default:
        break;
    }
    if (!names[e->op])
        return norni_graph_failed(g, norni_fail(NORN_UNSUPPORTED, "formula: no operator for this function"));
    norn_value *a[3];
    for (int i = 0; i < norni_expr_arity(e->op); i++)
        if (!(a[i] = build(f, e->a[i])))
            return NULL;
    return norni_opf(g, norni_expr_arity(e->op), a, "%s", names[e->op]);
}

norn_value *norni_formula(norn_graph *g, const char *text, int n, const char *const *names,
                          norn_value *const *vars) {
    if (g->status != NORN_OK)
        return NULL;
    const norni_expr *e;
    norn_status s = norni_expr_parse(g->arena, text, n, names, &e);
    if (s != NORN_OK)
        return norni_graph_failed(g, s);
    formula f = {g, vars, NORN_UNDEFINED};
    for (int i = 0; i < n; i++)
        if (vars[i] && (f.dtype == NORN_UNDEFINED ||
                        (norni_dtype_is_float(vars[i]->type.dtype) && !norni_dtype_is_float(f.dtype))))
            f.dtype = vars[i]->type.dtype;
    return build(&f, e);
}
