/* SPDX-License-Identifier: Apache-2.0 */
/* Formulas evaluated on the host: the reference for every pointwise operator. Floats in double, integers in
 * 64 bits. */
#include "base/expr.h"
#include <math.h>

static norni_scalar real(double d) {
    return (norni_scalar){NORNI_CLASS_FLOAT, d, 0};
}
static norni_scalar truth(bool b) {
    return (norni_scalar){NORNI_CLASS_BOOL, 0, b};
}
static norni_scalar integer(norni_class cls, int64_t i) {
    return (norni_scalar){cls, 0, i};
}

static double as_double(norni_scalar s) {
    return s.cls == NORNI_CLASS_FLOAT ? s.d : s.cls == NORNI_CLASS_UINT ? (double)(uint64_t)s.i : (double)s.i;
}
static bool as_bool(norni_scalar s) {
    return s.cls == NORNI_CLASS_FLOAT ? s.d != 0 : s.i != 0;
}

norni_scalar norni_scalar_get(norn_dtype t, const void *data, int64_t i) {
    norni_class c = norni_dtype_class(t);
    return c == NORNI_CLASS_FLOAT ? real(norni_get_double(t, data, i))
                                  : integer(c, norni_get_int(t, data, i));
}

void norni_scalar_set(norn_dtype t, void *data, int64_t i, norni_scalar v) {
    if (t == NORN_BOOL)
        norni_set_int(t, data, i, as_bool(v));
    else if (v.cls == NORNI_CLASS_FLOAT)
        norni_set_double(t, data, i, v.d);
    else if (norni_dtype_is_float(t))
        norni_set_double(t, data, i, as_double(v));
    else
        norni_set_int(t, data, i, v.i);
}

/* The class in which two operands meet. A literal (class NONE here) takes that of the other. */
static norni_class meet(norni_scalar a, norni_scalar b) {
    if (a.cls == NORNI_CLASS_FLOAT || b.cls == NORNI_CLASS_FLOAT)
        return NORNI_CLASS_FLOAT;
    if (a.cls == NORNI_CLASS_UINT || b.cls == NORNI_CLASS_UINT)
        return NORNI_CLASS_UINT;
    return NORNI_CLASS_INT;
}

static int64_t int_pow(int64_t base, int64_t exp) {
    if (exp < 0)
        return base == 1 ? 1 : base == -1 ? (exp % 2 ? -1 : 1) : 0;
    uint64_t r = 1, b = (uint64_t)base;
    for (; exp; exp >>= 1, b *= b)
        if (exp & 1)
            r *= b;
    return (int64_t)r;
}

static norni_scalar int_op(norni_expr_op op, norni_class c, int64_t x, int64_t y) {
    uint64_t ux = (uint64_t)x, uy = (uint64_t)y;
    bool u = c == NORNI_CLASS_UINT;
    switch (op) {
    case NORNI_E_ADD:
        return integer(c, (int64_t)(ux + uy));
    case NORNI_E_SUB:
        return integer(c, (int64_t)(ux - uy));
    case NORNI_E_MUL:
        return integer(c, (int64_t)(ux * uy));
    case NORNI_E_DIV:
        return integer(c, y == 0 ? 0 : u ? (int64_t)(ux / uy) : y == -1 ? (int64_t)(0 - ux) : x / y);
    case NORNI_E_FMOD:
    case NORNI_E_MOD: {
        if (y == 0 || (!u && y == -1))
            return integer(c, 0);
        if (u)
            return integer(c, (int64_t)(ux % uy));
        int64_t r = x % y;
        return integer(c, op == NORNI_E_MOD && r && (r < 0) != (y < 0) ? r + y : r);
    }
    case NORNI_E_POW:
        return integer(c, int_pow(x, y));
    case NORNI_E_MAX:
        return integer(c, u ? (ux > uy ? x : y) : (x > y ? x : y));
    case NORNI_E_MIN:
        return integer(c, u ? (ux < uy ? x : y) : (x < y ? x : y));
    case NORNI_E_LT:
        return truth(u ? ux < uy : x < y);
    case NORNI_E_LE:
        return truth(u ? ux <= uy : x <= y);
    case NORNI_E_GT:
        return truth(u ? ux > uy : x > y);
    case NORNI_E_GE:
        return truth(u ? ux >= uy : x >= y);
    case NORNI_E_EQ:
        return truth(x == y);
    case NORNI_E_NE:
        return truth(x != y);
    case NORNI_E_BITAND:
        return integer(c, x & y);
    case NORNI_E_BITOR:
        return integer(c, x | y);
    case NORNI_E_BITXOR:
        return integer(c, x ^ y);
    case NORNI_E_SHL:
        return integer(c, uy > 63 ? 0 : (int64_t)(ux << uy));
    case NORNI_E_SHR:
        return integer(c, uy > 63 ? (u || x >= 0 ? 0 : -1) : u ? (int64_t)(ux >> uy) : x >> uy);
    default:
        return real((double)NAN);
    }
}

static norni_scalar float_op(norni_expr_op op, double x, double y) {
    switch (op) {
    case NORNI_E_ADD:
        return real(x + y);
    case NORNI_E_SUB:
        return real(x - y);
    case NORNI_E_MUL:
        return real(x * y);
    case NORNI_E_DIV:
        return real(x / y);
    case NORNI_E_POW:
        return real(pow(x, y));
    case NORNI_E_MAX:
        return real(x < y || isnan(y) ? y : x);
    case NORNI_E_MIN:
        return real(x > y || isnan(y) ? y : x);
    case NORNI_E_MOD: {
        double r = fmod(x, y);
        return real(r != 0 && (r < 0) != (y < 0) ? r + y : r);
    }
    case NORNI_E_FMOD:
        return real(fmod(x, y));
    case NORNI_E_ATAN2:
        return real(atan2(x, y));
    case NORNI_E_LT:
        return truth(x < y);
    case NORNI_E_LE:
        return truth(x <= y);
    case NORNI_E_GT:
        return truth(x > y);
    case NORNI_E_GE:
        return truth(x >= y);
    case NORNI_E_EQ:
        return truth(x == y);
    case NORNI_E_NE:
        return truth(x != y);
    default:
        return real((double)NAN);
    }
}

static double function(norni_expr_op op, double x) {
    switch (op) {
    case NORNI_E_FLOOR:
        return floor(x);
    case NORNI_E_CEIL:
        return ceil(x);
    case NORNI_E_ROUND:
        return nearbyint(x);
    case NORNI_E_TRUNC:
        return trunc(x);
    case NORNI_E_SQRT:
        return sqrt(x);
    case NORNI_E_RSQRT:
        return 1 / sqrt(x);
    case NORNI_E_EXP:
        return exp(x);
    case NORNI_E_EXPM1:
        return expm1(x);
    case NORNI_E_LOG:
        return log(x);
    case NORNI_E_LOG1P:
        return log1p(x);
    case NORNI_E_SIN:
        return sin(x);
    case NORNI_E_COS:
        return cos(x);
    case NORNI_E_TAN:
        return tan(x);
    case NORNI_E_ASIN:
        return asin(x);
    case NORNI_E_ACOS:
        return acos(x);
    case NORNI_E_ATAN:
        return atan(x);
    case NORNI_E_SINH:
        return sinh(x);
    case NORNI_E_COSH:
        return cosh(x);
    case NORNI_E_TANH:
        return tanh(x);
    case NORNI_E_ASINH:
        return asinh(x);
    case NORNI_E_ACOSH:
        return acosh(x);
    case NORNI_E_ATANH:
        return atanh(x);
    case NORNI_E_ERF:
        return erf(x);
    case NORNI_E_SIGMOID:
        return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
    default:
        return (double)NAN;
    }
}

static norni_scalar unary(norni_expr_op op, norni_scalar a) {
    bool f = a.cls == NORNI_CLASS_FLOAT;
    switch (op) {
    case NORNI_E_NEG:
        return f ? real(-a.d)
                 : integer(a.cls == NORNI_CLASS_UINT ? a.cls : NORNI_CLASS_INT, (int64_t)(0 - (uint64_t)a.i));
    case NORNI_E_NOT:
        return truth(!as_bool(a));
    case NORNI_E_ABS:
        return f ? real(fabs(a.d))
                 : integer(a.cls, a.cls != NORNI_CLASS_UINT && a.i < 0 ? (int64_t)(0 - (uint64_t)a.i) : a.i);
    case NORNI_E_SIGN:
        if (f)
            return real(isnan(a.d) ? a.d : (a.d > 0) - (a.d < 0));
        return integer(a.cls, a.cls == NORNI_CLASS_UINT ? a.i != 0 : (a.i > 0) - (a.i < 0));
    case NORNI_E_ISNAN:
        return truth(f && isnan(a.d));
    case NORNI_E_ISINF:
        return truth(f && isinf(a.d));
    case NORNI_E_BITNOT:
        return integer(a.cls, ~a.i);
    case NORNI_E_FLOOR:
    case NORNI_E_CEIL:
    case NORNI_E_ROUND:
    case NORNI_E_TRUNC:
        if (!f)
            return a;
        return real(function(op, a.d));
    default:
        return real(function(op, as_double(a)));
    }
}

norni_scalar norni_expr_eval(const norni_expr *e, const norni_scalar *vars) {
    if (e->op == NORNI_E_CONST) /* an integer literal that meets a float is converted in `meet` */
        return e->integer ? integer(NORNI_CLASS_INT, norni_double_to_int(e->value)) : real(e->value);
    if (e->op == NORNI_E_VAR)
        return vars[e->var];
    norni_scalar a = norni_expr_eval(e->a[0], vars);
    if (e->op == NORNI_E_WHERE) {
        norni_scalar x = norni_expr_eval(e->a[1], vars), y = norni_expr_eval(e->a[2], vars);
        norni_class c = x.cls == y.cls ? x.cls : meet(x, y);
        norni_scalar r = as_bool(a) ? x : y;
        return c == NORNI_CLASS_FLOAT ? real(as_double(r)) : integer(c, r.i);
    }
    if (norni_expr_arity(e->op) == 1)
        return unary(e->op, a);
    norni_scalar b = norni_expr_eval(e->a[1], vars);
    if (e->op == NORNI_E_AND || e->op == NORNI_E_OR)
        return truth(e->op == NORNI_E_AND ? as_bool(a) && as_bool(b) : as_bool(a) || as_bool(b));
    norni_class c = meet(a, b);
    return c == NORNI_CLASS_FLOAT ? float_op(e->op, as_double(a), as_double(b)) : int_op(e->op, c, a.i, b.i);
}
