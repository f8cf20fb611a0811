/* SPDX-License-Identifier: Apache-2.0 */
/* The builders of the public header: operators by name. */
#include "ops/op.h"
#include <ctype.h>
#include <string.h>

/* "float[N,3]" as a type of graph g. */
static norn_status parse_type(norn_graph *g, const char *text, norni_type *t) {
    const char *p = text;
    while (isalnum((unsigned char)*p))
        p++;
    *t = (norni_type){.dtype = norni_dtype_parse(text, (size_t)(p - text))};
    if (t->dtype == NORN_UNDEFINED || (*p && *p != '['))
        return norni_fail(NORN_PARSE, "type '%s': got no element type (wanted one such as float, int64)",
                          text);
    if (!*p)
        return NORN_OK;
    p++;
    while (*p != ']') {
        char name[64];
        size_t n = strcspn(p, ",]");
        while (n && *p == ' ')
            p++, n--;
        while (n && p[n - 1] == ' ')
            n--;
        if (!n || n >= sizeof name || t->rank == NORN_MAX_RANK)
            return norni_fail(NORN_PARSE,
                              "type '%s': got '%.10s' (wanted a size or a name, at most %d of them)", text, p,
                              NORN_MAX_RANK);
        memcpy(name, p, n);
        name[n] = 0;
        bool digits = strspn(name, "0123456789") == n;
        if (!digits && !isalpha((unsigned char)*name) && *name != '_')
            return norni_fail(NORN_PARSE, "type '%s': got size '%s' (wanted a number or a name)", text, name);
        if (digits && n > 18)
            return norni_fail(NORN_SHAPE, "type '%s': size '%s' is too large", text, name);
        int64_t size = 0;
        for (size_t i = 0; digits && i < n; i++)
            size = size * 10 + (name[i] - '0');
        t->dims[t->rank++] = digits ? size : norni_dim_named(g, name);
        p += n;
        p += strspn(p, " ");
        if (*p == ',')
            p++;
        else if (*p != ']')
            return norni_fail(NORN_PARSE, "type '%s': got no ']'", text);
    }
    return p[1] ? norni_fail(NORN_PARSE, "type '%s': got '%s' after ']'", text, p + 1) : NORN_OK;
}

norn_value *norn_graph_input(norn_graph *g, const char *name, const char *type) {
    norni_type t;
    if (g->status != NORN_OK)
        return NULL;
    if (!name || !type)
        return norni_graph_failed(g, norni_fail(NORN_ARG, "input: got no %s", name ? "type" : "name"));
    if (norni_graph_find(g, name))
        return norni_graph_failed(g, norni_fail(NORN_ARG, "input '%s': the name is taken", name));
    norn_status s = parse_type(g, type, &t);
    return s == NORN_OK ? norni_value_input(g, name, &t)
                        : norni_graph_failed(g, norni_prefix(s, "input '%s'", name));
}

norn_status norn_graph_apply(norn_graph *g, const char *op, size_t n_in, norn_value *const *in, size_t n_out,
                             norn_value **out) {
    for (size_t i = 0; i < n_out; i++)
        out[i] = NULL;
    NORNI_TRY(norn_graph_status(g));
    if (!op || n_in > 32 || n_out < 1 || n_out > 32)
        return norni_fail(NORN_ARG, "apply: %zu inputs, %zu outputs (wanted at most 32, and one output)",
                          n_in, n_out);
    norn_node *node = norni_opf_node(g, n_out == 32 ? ~0u : (1u << n_out) - 1, (int)n_in, in, "%s", op);
    for (size_t i = 0; node && i < n_out; i++)
        out[i] = node->out[i];
    return norn_graph_status(g);
}

#define UNARY(name, op)                                                                                      \
    norn_value *norn_##name(norn_graph *g, norn_value *x) {                                                  \
        return NORNI_OP1(g, x, op);                                                                          \
    }
#define BINARY(name, op)                                                                                     \
    norn_value *norn_##name(norn_graph *g, norn_value *a, norn_value *b) {                                   \
        return NORNI_OP2(g, a, b, op);                                                                       \
    }
BINARY(add, "Add")
BINARY(sub, "Sub")
BINARY(mul, "Mul")
BINARY(div, "Div")
BINARY(pow, "Pow")
BINARY(max, "Max")
BINARY(min, "Min")
BINARY(less, "Less")
BINARY(greater, "Greater")
BINARY(equal, "Equal")
BINARY(matmul, "MatMul")
UNARY(neg, "Neg")
UNARY(abs, "Abs")
UNARY(sqrt, "Sqrt")
UNARY(exp, "Exp")
UNARY(log, "Log")
UNARY(sin, "Sin")
UNARY(cos, "Cos")
UNARY(tanh, "Tanh")
UNARY(sigmoid, "Sigmoid")
UNARY(relu, "Relu")
UNARY(global_average_pool, "GlobalAveragePool")
UNARY(flatten, "Flatten")

norn_value *norn_where(norn_graph *g, norn_value *condition, norn_value *a, norn_value *b) {
    return NORNI_OP3(g, condition, a, b, "Where");
}

norn_value *norn_cast(norn_graph *g, norn_value *x, norn_dtype to) {
    return NORNI_OP1(g, x, "Cast<to=%d>", (int)to);
}

norn_value *norn_softmax(norn_graph *g, norn_value *x, int axis) {
    return NORNI_OP1(g, x, "Softmax<axis=%d>", axis);
}

norn_value *norn_linear(norn_graph *g, norn_value *x, norn_value *w, norn_value *b) {
    return b ? NORNI_OP3(g, x, w, b, "Gemm<transB=1>") : NORNI_OP2(g, x, w, "Gemm<transB=1>");
}

static norn_value *with_attributes(norn_graph *g, const char *op, const char *attributes, int n,
                                   norn_value *const *in) {
    return attributes && *attributes ? norni_opf(g, n, in, "%s<%s>", op, attributes)
                                     : norni_opf(g, n, in, "%s", op);
}

norn_value *norn_conv(norn_graph *g, norn_value *x, norn_value *w, norn_value *b, const char *attributes) {
    return with_attributes(g, "Conv", attributes, b ? 3 : 2, (norn_value *[]){x, w, b});
}

norn_value *norn_max_pool(norn_graph *g, norn_value *x, const char *attributes) {
    return with_attributes(g, "MaxPool", attributes, 1, &x);
}

norn_value *norn_average_pool(norn_graph *g, norn_value *x, const char *attributes) {
    return with_attributes(g, "AveragePool", attributes, 1, &x);
}

norn_value *norn_reshape(norn_graph *g, norn_value *x, int rank, const int64_t *dims) {
    return NORNI_OP2(g, x, norni_i64_const(g, rank, dims), "Reshape");
}

norn_value *norn_transpose(norn_graph *g, norn_value *x, int rank, const int *perm) {
    norni_str s = {0};
    for (int i = 0; i < rank; i++)
        norni_str_addf(&s, "%s%d", i ? "," : "", perm[i]);
    norn_value *v = NORNI_OP1(g, x, "Transpose<perm=[%s]>", s.s ? s.s : "");
    norni_str_free(&s);
    return v;
}

static norn_value *reduce(norn_graph *g, const char *op, norn_value *x, int n, const int64_t *axes,
                          bool keepdims) {
    return n ? NORNI_OP2(g, x, norni_i64_const(g, n, axes), "%s<keepdims=%d>", op, keepdims)
             : NORNI_OP1(g, x, "%s<keepdims=%d>", op, keepdims);
}

norn_value *norn_reduce_sum(norn_graph *g, norn_value *x, int n, const int64_t *axes, bool keepdims) {
    return reduce(g, "ReduceSum", x, n, axes, keepdims);
}

norn_value *norn_reduce_mean(norn_graph *g, norn_value *x, int n, const int64_t *axes, bool keepdims) {
    return reduce(g, "ReduceMean", x, n, axes, keepdims);
}

norn_value *norn_cross_entropy(norn_graph *g, norn_value *scores, norn_value *labels) {
    return NORNI_OP2(g, scores, labels, "SoftmaxCrossEntropyLoss");
}
