/* SPDX-License-Identifier: Apache-2.0 */
/* Pointwise operators: a row each. The formula is used for the OpenCL kernels and for the host reference; the
 * gradient formulas may use the inputs, y (the output), dy and the attributes. Sources: the ONNX operator
 * pages; subgradients at kinks as torch.autograd takes them. */
#include "ops/rows.h"
#include <math.h>
#include <string.h>

static norn_status infer_first(norni_infer *c) {
    if (!norni_in_ranked(c, c->node->n_in))
        return NORN_OK;
    norni_type t = *norni_in_type(c, 0);
    int limit = c->node->op->channel_from ? c->node->op->channel_from : c->node->n_in;
    for (int i = 1; i < limit; i++)
        if (norni_in_has(c, i))
            NORNI_TRY(norni_broadcast(c->g, &t, norni_in_type(c, i)));
    t.dtype = c->out[0].dtype;
    c->out[0] = t;
    return NORN_OK;
}

#define GRAD(...)                                                                                            \
    .grad_formulas = (const char *const[]) {                                                                 \
        __VA_ARGS__                                                                                          \
    }
#define ROW(id, ...)                                                                                         \
    const norn_op norni_op_##id = {.domain = "", .name = #id, .infer = infer_first, __VA_ARGS__}

/* One floating-point input X, one output Y of its type. */
#define UNARY(id, types, ...)                                                                                \
    ROW(id, .inputs = PARAMS({"x", 0, types, 'T'}), .outputs = PARAMS({"Y", 0, types, 'T'}), __VA_ARGS__)
#define BINARY(id, types, ...)                                                                               \
    ROW(id, .inputs = PARAMS({"a", 0, types, 'T'}, {"b", 0, types, 'T'}),                                    \
        .outputs = PARAMS({"C", 0, types, 'T'}), __VA_ARGS__)
#define COMPARE(id, types, ...)                                                                              \
    ROW(id, .inputs = PARAMS({"a", 0, types, 'T'}, {"b", 0, types, 'T'}),                                    \
        .outputs = PARAMS({"C", 0, NORNI_BOOLS, 0}), .grad = norni_no_gradient, __VA_ARGS__)

/* Before opset 7 the second input broadcast on request only, and from any axis of the first. */
typedef struct {
    int64_t axis, broadcast;
    norni_ints consumed_inputs; /* before opset 6: says nothing about the result */
} old_binary_attrs;
static const norni_attr old_binary_table[] = {
    NORNI_A(old_binary_attrs, axis, INT, .flags = NORNI_ATTR_OLD, .since = 7),
    NORNI_A(old_binary_attrs, broadcast, INT, .flags = NORNI_ATTR_OLD, .since = 7),
    NORNI_A(old_binary_attrs, consumed_inputs, INTS, .flags = NORNI_ATTR_OLD, .since = 6), NORNI_A_END};

/* v with n sizes 1 behind its last. */
static norn_value *ones_behind(norn_graph *g, norn_value *v, int n) {
    int64_t axes[NORN_MAX_RANK];
    for (int i = 0; i < n; i++)
        axes[i] = v->type.rank + i;
    return n ? NORNI_OP2(g, v, norni_i64_const(g, n, axes), "Unsqueeze") : v;
}

static norn_status raise_old_binary(norni_adapt *a) {
    norn_node *node = a->node;
    const old_binary_attrs *at = node->attrs;
    if (a->version >= 7 || at->broadcast != 1 || at->axis == NORNI_NO_INT || node->n_in != 2 ||
        !node->in[0] || !node->in[1])
        return NORN_OK;
    int x = node->in[0]->type.rank, b = node->in[1]->type.rank;
    int64_t axis = at->axis < 0 ? at->axis + x : at->axis;
    if (x < 0 || b < 0)
        return norni_fail(NORN_UNSUPPORTED, "broadcast from axis %lld of data whose rank is not known",
                          (long long)at->axis);
    if (axis < 0 || axis > x - b)
        return norni_fail(NORN_SHAPE, "axis %lld (wanted 0 to %d for ranks %d and %d)", (long long)at->axis,
                          x - b, x, b);
    node->in[1] = ones_behind(a->g, node->in[1], x - (int)axis - b);
    return a->g->status;
}

/* The value that ones_behind was made from, else v. */
static norn_value *without_ones_behind(norn_value *v) {
    const norn_node *p = v->producer;
    int64_t axes[NORN_MAX_RANK];
    int n;
    if (!p || strcmp(p->op->name, "Unsqueeze") || p->n_in != 2 || !p->in[0] || !p->in[1] ||
        p->in[0]->type.rank < 0 || !norni_value_ints(p->in[1], axes, NORN_MAX_RANK, &n))
        return v;
    for (int i = 0; i < n; i++)
        if (axes[i] != p->in[0]->type.rank + i)
            return v;
    return p->in[0];
}

static norn_status lower_old_binary(norni_adapt *a) {
    norn_node *node = a->node;
    old_binary_attrs *at = node->attrs;
    if (a->version >= 7 || norni_type_equal(&node->in[0]->type, &node->in[1]->type))
        return NORN_OK;
    const norni_type *x = &node->in[0]->type, *b = &node->in[1]->type;
    norn_value *part = without_ones_behind(node->in[1]);
    int from = x->rank < 0 || b->rank < 0 ? -1 : x->rank - b->rank;
    bool fits = from >= 0;
    for (int i = 0; fits && i < part->type.rank; i++)
        fits = part->type.dims[i] == x->dims[from + i];
    if (!fits && !(norni_type_static(b) && norni_type_elems(b) == 1))
        return norni_fail(NORN_UNSUPPORTED,
                          "the second input is no part of the first one's shape (wanted opset 7)");
    at->broadcast = 1;
    if (part != node->in[1])
        at->axis = from;
    node->in[1] = part;
    return NORN_OK;
}
#define OLD_BINARY                                                                                           \
    .attrs_bytes = sizeof(old_binary_attrs), .attrs = old_binary_table, .raise = raise_old_binary,           \
    .lower = lower_old_binary

/* ---- Arithmetic. */
BINARY(Add, NORNI_NUMBERS, VERSIONS(1, 6, 7, 13, 14), OLD_BINARY, .doc = "a + b", .expr = "a + b",
       GRAD("dy", "dy"));
BINARY(Sub, NORNI_NUMBERS, VERSIONS(1, 6, 7, 13, 14), OLD_BINARY, .doc = "a - b", .expr = "a - b",
       GRAD("dy", "-dy"));
BINARY(Mul, NORNI_NUMBERS, VERSIONS(1, 6, 7, 13, 14), OLD_BINARY, .doc = "a * b", .expr = "a * b",
       GRAD("dy * b", "dy * a"));
BINARY(Div, NORNI_NUMBERS, VERSIONS(1, 6, 7, 13, 14), OLD_BINARY,
       .doc = "a / b; integers truncate, and x / 0 is 0", .expr = "a / b", GRAD("dy / b", "-(dy * y / b)"));
UNARY(Neg, NORNI_FLOATS | NORNI_SIGNED, VERSIONS(6, 13), .doc = "-x", .expr = "-x", GRAD("-dy"));
UNARY(Abs, NORNI_NUMBERS, VERSIONS(6, 13), .doc = "|x|", .expr = "abs(x)", GRAD("dy * sign(x)"));
UNARY(Sign, NORNI_NUMBERS, VERSIONS(9, 13), .doc = "-1, 0 or 1", .expr = "sign(x)",
      .grad = norni_no_gradient);
UNARY(Reciprocal, NORNI_FLOATS, VERSIONS(6, 13), .doc = "1 / x", .expr = "1 / x", GRAD("-(dy * y * y)"),
      .lo = 0.3, .hi = 2);
UNARY(Sqrt, NORNI_FLOATS, VERSIONS(6, 13), .doc = "square root", .expr = "sqrt(x)", GRAD("dy * 0.5 / y"),
      .lo = 0.1, .hi = 4);
UNARY(Exp, NORNI_FLOATS, VERSIONS(6, 13), .doc = "e^x", .expr = "exp(x)", GRAD("dy * y"));
UNARY(Log, NORNI_FLOATS, VERSIONS(6, 13), .doc = "natural logarithm", .expr = "log(x)", GRAD("dy / x"),
      .lo = 0.1, .hi = 4);
UNARY(Floor, NORNI_FLOATS, VERSIONS(6, 13), .doc = "largest integer not above x", .expr = "floor(x)",
      .grad = norni_no_gradient);
UNARY(Ceil, NORNI_FLOATS, VERSIONS(6, 13), .doc = "smallest integer not below x", .expr = "ceil(x)",
      .grad = norni_no_gradient);
UNARY(Round, NORNI_FLOATS, VERSIONS(11, 22), .doc = "nearest integer, halves to even", .expr = "round(x)",
      .grad = norni_no_gradient);

typedef struct {
    int64_t fmod;
} mod_attrs;
static const char *mod_expr(const norn_node *node) {
    return ((const mod_attrs *)node->attrs)->fmod ? "fmod(a, b)" : "mod(a, b)";
}
static const norni_attr mod_table[] = {NORNI_A_INT(mod_attrs, fmod, 0, .lo = 0, .hi = 1), NORNI_A_END};
BINARY(Mod, NORNI_NUMBERS, VERSIONS(10, 13, 28),
       .doc = "remainder, with the sign of b, or of a where fmod = 1", .attrs_bytes = sizeof(mod_attrs),
       .attrs = mod_table, .expr = "mod(a, b)", .expr_of = mod_expr, .lo = 0.5, .hi = 3,
       CASES("Mod<fmod=1>(float[7,3], float[3])", "Mod(int32[2,5], int32[5])",
             "Mod<fmod=1>(int64[9], int64[9])"),
       GRAD("dy", "dy * (y - a) / b")); /* y = a - b n, n an integer */

/* a ** b: the exponent may have another type. d/da = b a^(b-1), 0 where b = 0; d/db = y ln a, 0 where a = 0.
 */
static void grad_pow(norni_grad *c) {
    norn_graph *g = c->g;
    norn_value *a = c->node->in[0], *b = c->node->in[1];
    if (b->type.dtype != a->type.dtype)
        b = NORNI_OP1(g, b, "Cast<to=%d>", (int)a->type.dtype);
    static const char *const names[] = {"a", "b", "y", "dy"};
    norn_value *vars[] = {a, b, c->node->out[0], c->dy[0]};
    bool square = norni_is_const_value(b, 2);
    if (c->want[0])
        c->dx[0] = norni_formula(g, square ? "2 * dy * a" : "where(b == 0, 0, dy * b * a ** (b - 1))", 4,
                                 names, vars);
    if (c->want[1])
        c->dx[1] = norni_formula(g, "where(a == 0, 0, dy * y * log(a))", 4, names, vars);
    for (int i = square; i < 2; i++)
        if (c->dx[i] && c->dx[i]->producer)
            c->dx[i]->producer->guard = true;
}
#define POW_TYPES (NORNI_FLOATS | NORNI_T(NORN_I32) | NORNI_T(NORN_I64))
ROW(Pow, .inputs = PARAMS({"a", 0, POW_TYPES, 'T'}, {"b", 0, NORNI_NUMBERS, 0}),
    .outputs = PARAMS({"C", 0, POW_TYPES, 'T'}), VERSIONS(1, 7, 12, 13, 15), OLD_BINARY,
    .doc = "a to the power b, in the type of a", .expr = "a ** b", .grad = grad_pow, .lo = 0.3, .hi = 2,
    CASES("Pow(float[3,4], float[3,4])", "Pow(float[3,4], float[])", "Pow(float[5], int64[5])",
          "Pow(int32[6], int32[6]{0,1,2,3,4,5})", "Pow(float[37], float[]{2})",
          "Pow(float[37], float[]{0.5})", "Pow(double[2,3], double[3])"));

/* ---- Trigonometric and hyperbolic functions. */
UNARY(Sin, NORNI_FLOATS, VERSIONS(7, 22), .doc = "sine, radians", .expr = "sin(x)", GRAD("dy * cos(x)"));
UNARY(Cos, NORNI_FLOATS, VERSIONS(7, 22), .doc = "cosine, radians", .expr = "cos(x)", GRAD("-(dy * sin(x))"));
UNARY(Tan, NORNI_FLOATS, VERSIONS(7, 22), .doc = "tangent, radians", .expr = "tan(x)",
      GRAD("dy * (1 + y * y)"));
UNARY(Asin, NORNI_FLOATS, VERSIONS(7, 22), .doc = "arc sine", .expr = "asin(x)", GRAD("dy / sqrt(1 - x * x)"),
      .lo = -0.8, .hi = 0.8);
UNARY(Acos, NORNI_FLOATS, VERSIONS(7, 22), .doc = "arc cosine", .expr = "acos(x)",
      GRAD("-(dy / sqrt(1 - x * x))"), .lo = -0.8, .hi = 0.8);
UNARY(Atan, NORNI_FLOATS, VERSIONS(7, 22), .doc = "arc tangent", .expr = "atan(x)", GRAD("dy / (1 + x * x)"));
UNARY(Sinh, NORNI_FLOATS, VERSIONS(9, 22), .doc = "hyperbolic sine", .expr = "sinh(x)", GRAD("dy * cosh(x)"));
UNARY(Cosh, NORNI_FLOATS, VERSIONS(9, 22), .doc = "hyperbolic cosine", .expr = "cosh(x)",
      GRAD("dy * sinh(x)"));
UNARY(Tanh, NORNI_FLOATS, VERSIONS(6, 13), .doc = "hyperbolic tangent", .expr = "tanh(x)",
      GRAD("dy * (1 - y * y)"));
UNARY(Asinh, NORNI_FLOATS, VERSIONS(9, 22), .doc = "area hyperbolic sine", .expr = "asinh(x)",
      GRAD("dy / sqrt(x * x + 1)"));
UNARY(Acosh, NORNI_FLOATS, VERSIONS(9, 22), .doc = "area hyperbolic cosine", .expr = "acosh(x)",
      GRAD("dy / sqrt(x * x - 1)"), .lo = 1.2, .hi = 3);
UNARY(Atanh, NORNI_FLOATS, VERSIONS(9, 22), .doc = "area hyperbolic tangent", .expr = "atanh(x)",
      GRAD("dy / (1 - x * x)"), .lo = -0.8, .hi = 0.8);
UNARY(Erf, NORNI_FLOATS, VERSIONS(9, 13), .doc = "error function", .expr = "erf(x)",
      GRAD("dy * 1.1283791670955126 * exp(-(x * x))"));

/* ---- Activations. */
typedef struct {
    float alpha, beta, gamma, lambd, bias;
} activation_attrs;
#define ALPHA(def) NORNI_A_FLOAT(activation_attrs, alpha, def)
#define BETA(def)  NORNI_A_FLOAT(activation_attrs, beta, def)
#define ATTRS(...)                                                                                           \
    .attrs_bytes = sizeof(activation_attrs), .attrs = (const norni_attr[]) {                                 \
        __VA_ARGS__, NORNI_A_END                                                                             \
    }

UNARY(Relu, NORNI_FLOATS | NORNI_SIGNED, VERSIONS(6, 13, 14), .doc = "max(x, 0)", .expr = "max(x, 0)",
      GRAD("where(y > 0, dy, 0)"));
UNARY(LeakyRelu, NORNI_FLOATS, VERSIONS(6, 16), .doc = "x where x >= 0, else alpha x",
      .expr = "where(x < 0, alpha * x, x)", ATTRS(ALPHA(0.01f)), GRAD("where(x > 0, dy, alpha * dy)"),
      CASES("LeakyRelu<alpha=0.2>(float[3,17])"));
UNARY(ThresholdedRelu, NORNI_FLOATS, VERSIONS(10, 22), .doc = "x where x > alpha, else 0",
      .expr = "where(x > alpha, x, 0)", ATTRS(ALPHA(1)), GRAD("where(x > alpha, dy, 0)"),
      CASES("ThresholdedRelu<alpha=0.3>(float[3,17])"));
UNARY(Elu, NORNI_FLOATS, VERSIONS(6, 22), .doc = "x where x >= 0, else alpha (e^x - 1)",
      .expr = "where(x < 0, alpha * expm1(x), x)", ATTRS(ALPHA(1)),
      GRAD("where(x > 0, dy, dy * (y + alpha))"), CASES("Elu<alpha=0.7>(float[3,17])"));
UNARY(Celu, NORNI_FLOATS, VERSIONS(12, 28), .doc = "max(0, x) + min(0, alpha (e^(x/alpha) - 1))",
      .expr = "where(x < 0, alpha * expm1(x / alpha), x)", ATTRS(ALPHA(1)),
      GRAD("where(x > 0, dy, dy * exp(x / alpha))"), CASES("Celu<alpha=0.7>(float[3,17])"));
UNARY(Selu, NORNI_FLOATS, VERSIONS(6, 22), .doc = "gamma x where x > 0, else gamma alpha (e^x - 1)",
      .expr = "where(x > 0, gamma * x, gamma * alpha * expm1(x))",
      ATTRS(ALPHA(1.67326319217681884765625f),
            NORNI_A_FLOAT(activation_attrs, gamma, 1.05070102214813232421875f)),
      GRAD("where(x > 0, gamma * dy, dy * (y + gamma * alpha))"),
      CASES("Selu<alpha=1.2, gamma=0.9>(float[3,17])"));
UNARY(Sigmoid, NORNI_FLOATS, VERSIONS(6, 13), .doc = "1 / (1 + e^-x)", .expr = "sigmoid(x)",
      GRAD("dy * y * (1 - y)"));
UNARY(HardSigmoid, NORNI_FLOATS, VERSIONS(6, 22), .doc = "max(0, min(1, alpha x + beta))",
      .expr = "max(0, min(1, alpha * x + beta))", ATTRS(ALPHA(0.2f), BETA(0.5f)),
      GRAD("where(y > 0 and y < 1, alpha * dy, 0)"), CASES("HardSigmoid<alpha=0.6, beta=0.4>(float[3,17])"));
UNARY(HardSwish, NORNI_FLOATS, VERSIONS(14, 22), .doc = "x max(0, min(1, x/6 + 1/2))",
      .expr = "x * max(0, min(1, x / 6 + 0.5))",
      GRAD("where(x < -3, 0, where(x < 3, dy * (x / 3 + 0.5), dy))"), .lo = -5, .hi = 5);
UNARY(Softplus, NORNI_FLOATS, VERSIONS(1, 22), .doc = "ln(1 + e^x)",
      .expr = "max(x, 0) + log1p(exp(-abs(x)))", GRAD("dy * sigmoid(x)"));
UNARY(Softsign, NORNI_FLOATS, VERSIONS(1, 22), .doc = "x / (1 + |x|)", .expr = "x / (1 + abs(x))",
      GRAD("dy / ((1 + abs(x)) * (1 + abs(x)))"));
#define TANH_SOFTPLUS "tanh(max(x, 0) + log1p(exp(-abs(x))))"
UNARY(Mish, NORNI_FLOATS, VERSIONS(18, 22), .doc = "x tanh(ln(1 + e^x))", .expr = "x * " TANH_SOFTPLUS,
      GRAD("dy * (" TANH_SOFTPLUS " + x * sigmoid(x) * (1 - " TANH_SOFTPLUS " * " TANH_SOFTPLUS "))"));
UNARY(Swish, NORNI_FLOATS, VERSIONS(24), .doc = "x / (1 + e^(-alpha x))", .expr = "x * sigmoid(alpha * x)",
      ATTRS(ALPHA(1)), GRAD("dy * (sigmoid(alpha * x) + alpha * y * (1 - sigmoid(alpha * x)))"),
      CASES("Swish<alpha=1.7>(float[3,17])"));
UNARY(Shrink, NORNI_NUMBERS & ~NORNI_T(NORN_BF16), VERSIONS(9),
      .doc = "x + bias below -lambd, x - bias above lambd, else 0",
      .expr = "where(x < -lambd, x + bias, where(x > lambd, x - bias, 0))",
      ATTRS(NORNI_A_FLOAT(activation_attrs, bias, 0), NORNI_A_FLOAT(activation_attrs, lambd, 0.5f)),
      GRAD("where(x < -lambd or x > lambd, dy, 0)"), CASES("Shrink<bias=0.2, lambd=0.4>(float[3,17])"));

typedef struct {
    int approximate;
} gelu_attrs;
static const char *const gelu_words[] = {"none", "tanh", NULL};
static const norni_attr gelu_table[] = {NORNI_A_ENUM(gelu_attrs, approximate, gelu_words, 0), NORNI_A_END};
#define GELU_TANH "tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))"
static const char *gelu_expr(const norn_node *node) {
    return ((const gelu_attrs *)node->attrs)->approximate ? "0.5 * x * (1 + " GELU_TANH ")"
                                                          : "0.5 * x * (1 + erf(x * 0.7071067811865476))";
}
static void grad_gelu(norni_grad *c) {
    static const char *const names[] = {"x", "dy"};
    norn_value *vars[] = {c->node->in[0], c->dy[0]};
    c->dx[0] = norni_formula(c->g,
                             ((const gelu_attrs *)c->node->attrs)->approximate
                                 ? "dy * (0.5 * (1 + " GELU_TANH ") + 0.5 * x * (1 - " GELU_TANH
                                   " * " GELU_TANH ") * (0.7978845608028654 + 0.1070322243 * x * x))"
                                 : "dy * (0.5 * (1 + erf(x * 0.7071067811865476)) + x * 0.3989422804014327 * "
                                   "exp(-0.5 * x * x))",
                             2, names, vars);
}
UNARY(Gelu, NORNI_FLOATS, VERSIONS(20), .doc = "x times the normal distribution function of x",
      .attrs_bytes = sizeof(gelu_attrs), .attrs = gelu_table,
      .expr = "0.5 * x * (1 + erf(x * 0.7071067811865476))", .expr_of = gelu_expr, .grad = grad_gelu,
      CASES("Gelu<approximate=\"tanh\">(float[3,17])"));

/* Before opset 7 a slope [C] was one for each channel. */
static norn_status raise_prelu(norni_adapt *a) {
    norn_node *n = a->node;
    if (a->version >= 7 || n->n_in != 2 || !n->in[0] || !n->in[1] || n->in[1]->type.rank != 1 ||
        n->in[1]->type.dims[0] == 1 || n->in[0]->type.rank < 3)
        return NORN_OK;
    n->in[1] = ones_behind(a->g, n->in[1], n->in[0]->type.rank - 2);
    return a->g->status;
}
static norn_status lower_prelu(norni_adapt *a) {
    if (a->version < 7)
        a->node->in[1] = without_ones_behind(a->node->in[1]);
    return NORN_OK;
}
#define PRELU_TYPES                                                                                          \
    (NORNI_FLOATS | NORNI_T(NORN_I32) | NORNI_T(NORN_I64) | NORNI_T(NORN_U32) | NORNI_T(NORN_U64))
ROW(PRelu, .inputs = PARAMS({"x", 0, PRELU_TYPES, 'T'}, {"slope", 0, PRELU_TYPES, 'T'}),
    .outputs = PARAMS({"Y", 0, PRELU_TYPES, 'T'}), VERSIONS(6, 7, 9, 16), .raise = raise_prelu,
    .lower = lower_prelu, .doc = "x where x >= 0, else slope x", .expr = "where(x < 0, slope * x, x)",
    GRAD("where(x > 0, dy, slope * dy)", "where(x > 0, 0, x * dy)"),
    CASES("PRelu(float[2,3,5], float[3,1])", "PRelu(float[4], float[1])"));

/* Clip: absent limits do not limit. The gradient passes where min < x < max, as that of Relu where 0 < x. */
typedef struct {
    float min, max;
} clip_attrs;
static const norni_attr clip_table[] = {NORNI_A(clip_attrs, min, FLOAT, .flags = NORNI_ATTR_OLD),
                                        NORNI_A(clip_attrs, max, FLOAT, .flags = NORNI_ATTR_OLD),
                                        NORNI_A_END};
static const norni_moved clip_moved[] = {{"min", 1, 11, NORN_UNDEFINED}, {"max", 2, 11, NORN_UNDEFINED}, {0}};
static bool has(const norn_node *node, int i) {
    return i < node->n_in && node->in[i];
}
static const char *clip_expr(const norn_node *node) {
    return has(node, 1)   ? (has(node, 2) ? "min(max(x, min), max)" : "max(x, min)")
           : has(node, 2) ? "min(x, max)"
                          : "x";
}
static norn_status infer_clip(norni_infer *c) {
    for (int i = 1; i < c->node->n_in; i++)
        if (norni_in_has(c, i) && norni_in_type(c, i)->rank > 0 &&
            (norni_in_type(c, i)->rank > 1 || norni_in_type(c, i)->dims[0] != 1)) /* files say [1] as well */
            return norni_fail(NORN_SHAPE, "limit %d has rank %d (wanted a scalar)", i,
                              norni_in_type(c, i)->rank);
    norn_dtype t = c->out[0].dtype;
    c->out[0] = *norni_in_type(c, 0);
    c->out[0].dtype = t;
    return NORN_OK;
}
static void grad_clip(norni_grad *c) {
    static const char *const names[] = {"x", "min", "max", "dy"};
    bool lo = has(c->node, 1), hi = has(c->node, 2);
    norn_value *vars[] = {c->node->in[0], lo ? c->node->in[1] : NULL, hi ? c->node->in[2] : NULL, c->dy[0]};
    if (c->want[0])
        c->dx[0] = norni_formula(c->g,
                                 lo && hi ? "where(x > min and x < max, dy, 0)"
                                 : lo     ? "where(x > min, dy, 0)"
                                 : hi     ? "where(x < max, dy, 0)"
                                          : "dy",
                                 4, names, vars);
    if (lo && c->want[1])
        c->dx[1] = norni_formula(c->g, "where(x < min, dy, 0)", 4, names, vars);
    if (hi && c->want[2])
        c->dx[2] = norni_formula(c->g, "where(x > max, dy, 0)", 4, names, vars);
}
const norn_op norni_op_Clip = {
    .domain = "",
    .name = "Clip",
    .doc = "x limited to [min, max]",
    VERSIONS(6, 11, 12, 13),
    .inputs = PARAMS({"x", 0, NORNI_NUMBERS, 'T'}, {"min", NORNI_OPT, NORNI_NUMBERS, 'T'},
                     {"max", NORNI_OPT, NORNI_NUMBERS, 'T'}),
    .outputs = PARAMS({"Y", 0, NORNI_NUMBERS, 'T'}),
    .attrs_bytes = sizeof(clip_attrs),
    .attrs = clip_table,
    .moved = clip_moved,
    .infer = infer_clip,
    .expr = "min(max(x, min), max)",
    .expr_of = clip_expr,
    .grad = grad_clip,
    CASES("Clip(float[3,17], float[]{-0.4}, float[]{0.5})", "Clip(float[3,17], float[]{0.1})",
          "Clip(float[3,17], _, float[]{0.1})", "Clip(float[3,17])", "Clip(int8[9], int8[]{-2}, int8[]{3})",
          "Clip(float[5,4], float[], float[])"),
};

/* ---- Any number of inputs. */
#define FOLD(id, types, ...)                                                                                 \
    ROW(id, .inputs = PARAMS({"data", NORNI_VARIADIC, types, 'T'}), .outputs = PARAMS({"Y", 0, types, 'T'}), \
        .variadic_fold = true, __VA_ARGS__)

static void grad_sum(norni_grad *c) {
    for (int i = 0; i < c->node->n_in; i++)
        if (c->want[i])
            c->dx[i] = c->dy[0];
}
/* Where several inputs are the largest, each takes an equal share. */
static void grad_extremum(norni_grad *c) {
    norn_graph *g = c->g;
    norn_value *y = c->node->out[0], *count = NULL, *hit[32];
    for (int i = 0; i < c->node->n_in && i < 32; i++) {
        hit[i] = NORNI_OP1(g, NORNI_OP2(g, c->node->in[i], y, "Equal"), "Cast<to=%d>", (int)y->type.dtype);
        count = i ? NORNI_OP2(g, count, hit[i], "Add") : hit[i];
    }
    norn_value *share = NORNI_OP2(g, c->dy[0], count, "Div");
    for (int i = 0; i < c->node->n_in && i < 32; i++)
        if (c->want[i])
            c->dx[i] = NORNI_OP2(g, share, hit[i], "Mul");
}
/* Before opset 8 the inputs did not broadcast. */
static norn_status lower_fold(norni_adapt *a) {
    for (int i = 1; i < a->node->n_in && a->version < 8; i++)
        if (!norni_type_equal(&a->node->in[i]->type, &a->node->in[0]->type))
            return norni_fail(NORN_UNSUPPORTED,
                              "input %d has another shape than input 0 (wanted opset 8, which broadcasts)",
                              i);
    return NORN_OK;
}
FOLD(Sum, NORNI_FLOATS, VERSIONS(6, 8, 13), .doc = "sum of the inputs", .expr = "a + b", .grad = grad_sum,
     .lower = lower_fold, CASES("Sum(float[3,5], float[3,5], float[5])", "Sum(float[7])"));
FOLD(Max, NORNI_NUMBERS, VERSIONS(6, 8, 12, 13), .doc = "largest of the inputs; NaN if one is",
     .expr = "max(a, b)", .grad = grad_extremum, .lower = lower_fold,
     CASES("Max(float[3,5], float[3,1], float[5])", "Max(float[7])", "Max(int64[5], int64[5])"));
FOLD(Min, NORNI_NUMBERS, VERSIONS(6, 8, 12, 13), .doc = "smallest of the inputs; NaN if one is",
     .expr = "min(a, b)", .grad = grad_extremum, .lower = lower_fold,
     CASES("Min(float[3,5], float[3,1], float[5])", "Min(float[7])", "Min(uint8[5], uint8[5])"));

/* ---- Comparisons and logic. */
COMPARE(Less, NORNI_NUMBERS, OLD_BINARY, VERSIONS(1, 7, 9, 13), .doc = "a < b", .expr = "a < b");
/* Before opset 12. */
static norn_status expand_or_equal(norn_graph *g, const norn_node *node, norn_value **out) {
    bool less = !strcmp(node->op->name, "LessOrEqual");
    norn_value *equal = NORNI_OP2(g, node->in[0], node->in[1], "Equal");
    out[0] = NORNI_OP2(g, NORNI_OP2(g, node->in[0], node->in[1], less ? "Less" : "Greater"), equal, "Or");
    return g->status;
}
COMPARE(LessOrEqual, NORNI_NUMBERS, VERSIONS(12, 16), .doc = "a <= b", .expr = "a <= b",
        .expand = expand_or_equal);
COMPARE(Greater, NORNI_NUMBERS, OLD_BINARY, VERSIONS(1, 7, 9, 13), .doc = "a > b", .expr = "a > b");
COMPARE(GreaterOrEqual, NORNI_NUMBERS, VERSIONS(12, 16), .doc = "a >= b", .expr = "a >= b",
        .expand = expand_or_equal);
COMPARE(Equal, NORNI_ANY, OLD_BINARY, VERSIONS(1, 7, 11, 13, 19), .doc = "a = b", .expr = "a == b");
COMPARE(And, NORNI_BOOLS, OLD_BINARY, VERSIONS(1, 7), .doc = "a and b", .expr = "a and b");
COMPARE(Or, NORNI_BOOLS, OLD_BINARY, VERSIONS(1, 7), .doc = "a or b", .expr = "a or b");
COMPARE(Xor, NORNI_BOOLS, OLD_BINARY, VERSIONS(1, 7), .doc = "either, not both", .expr = "a != b");
ROW(Not, .inputs = PARAMS({"x", 0, NORNI_BOOLS, 0}), .outputs = PARAMS({"Y", 0, NORNI_BOOLS, 0}), VERSIONS(1),
    .doc = "not x", .expr = "not x", .grad = norni_no_gradient);
#define OR_FLOAT8 (NORNI_FLOATS | NORNI_FLOAT8S)
/* Of float8: in float, which has the same infinities and NaN. */
static norn_status expand_in_float(norn_graph *g, const norn_node *node, norn_value **out) {
    norn_value *x = norni_cast(g, node->in[0], NORN_F32);
    norn_node *n = norni_apply(g, node->op, node->attrs, 1, &x, 1);
    out[0] = n ? n->out[0] : NULL;
    return norn_graph_status(g);
}
ROW(IsNaN, .inputs = PARAMS({"x", 0, OR_FLOAT8, 'T'}), .expand = expand_in_float,
    .outputs = PARAMS({"Y", 0, NORNI_BOOLS, 0}), VERSIONS(9, 13, 20), .doc = "x is not a number",
    .expr = "isnan(x)", .grad = norni_no_gradient);
typedef struct {
    int64_t detect_negative, detect_positive;
} isinf_attrs;
static const norni_attr isinf_table[] = {NORNI_A_INT(isinf_attrs, detect_negative, 1),
                                         NORNI_A_INT(isinf_attrs, detect_positive, 1), NORNI_A_END};
ROW(IsInf, .inputs = PARAMS({"x", 0, OR_FLOAT8, 'T'}), .expand = expand_in_float,
    .outputs = PARAMS({"Y", 0, NORNI_BOOLS, 0}), VERSIONS(10, 20),
    .doc = "x is infinite, of a sign that is looked for", .attrs_bytes = sizeof(isinf_attrs),
    .attrs = isinf_table,
    .expr = "isinf(x) and ((x > 0 and detect_positive != 0) or (x < 0 and detect_negative != 0))",
    CASES("IsInf(float8e5m2[7])", "IsInf<detect_negative=0>(float[7])", "IsInf<detect_positive=0>(float[7])"),
    .grad = norni_no_gradient);
ROW(Where,
    .inputs = PARAMS({"c", NORNI_NODIFF, NORNI_BOOLS, 0}, {"a", 0, NORNI_ANY, 'T'}, {"b", 0, NORNI_ANY, 'T'}),
    .outputs = PARAMS({"Y", 0, NORNI_ANY, 'T'}), VERSIONS(9, 16), .doc = "a where c holds, else b",
    .expr = "where(c, a, b)", GRAD(NULL, "where(c, dy, 0)", "where(c, 0, dy)"),
    CASES("Where(bool[3,1], float[3,4], float[4])", "Where(bool[5], int64[5], int64[1])"));

/* ---- Bits. */
BINARY(BitwiseAnd, NORNI_INTS, VERSIONS(18), .doc = "bits set in both", .expr = "bitand(a, b)",
       .grad = norni_no_gradient);
BINARY(BitwiseOr, NORNI_INTS, VERSIONS(18), .doc = "bits set in one", .expr = "bitor(a, b)",
       .grad = norni_no_gradient);
BINARY(BitwiseXor, NORNI_INTS, VERSIONS(18), .doc = "bits that differ", .expr = "bitxor(a, b)",
       .grad = norni_no_gradient);
UNARY(BitwiseNot, NORNI_INTS, VERSIONS(18), .doc = "all bits inverted", .expr = "bitnot(x)",
      .grad = norni_no_gradient);
typedef struct {
    int direction;
} shift_attrs;
static const char *const shift_words[] = {"RIGHT", "LEFT", NULL};
static const norni_attr shift_table[] = {
    NORNI_A_ENUM(shift_attrs, direction, shift_words, 0, .flags = NORNI_ATTR_REQUIRED), NORNI_A_END};
static const char *shift_expr(const norn_node *node) {
    return ((const shift_attrs *)node->attrs)->direction ? "shl(a, b)" : "shr(a, b)";
}
BINARY(BitShift, NORNI_INTS, VERSIONS(11, 28), .doc = "a shifted by b bits; to the right keeps the sign",
       .attrs_bytes = sizeof(shift_attrs), .attrs = shift_table, .expr = "shr(a, b)", .expr_of = shift_expr,
       .grad = norni_no_gradient,
       CASES("BitShift<direction=\"LEFT\">(uint8[3], uint8[3]{1,2,9})",
             "BitShift<direction=\"RIGHT\">(uint32[3], uint32[3]{1,2,40})",
             "BitShift<direction=\"RIGHT\">(int8[4], int8[4]{0,1,8,-1})",
             "BitShift<direction=\"LEFT\">(int32[4], int32[4]{0,31,32,-1})"));
