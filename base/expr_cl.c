/* SPDX-License-Identifier: Apache-2.0 */
/* Formulas printed as OpenCL C. Two kinds of results are kept apart: values of some compute type, and masks,
 * which are what comparisons give (0/1 ints for scalars, 0/-1 integers as wide as the operands for vectors).
 * A stored bool is a uchar 0/1. */
#include "base/expr.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct {
    norni_str *out;
    const norni_expr_var *vars;
    int width;
} printer;

norn_dtype norni_compute_dtype(norn_dtype t) {
    switch (t) {
    case NORN_F64:
        return NORN_F64;
    case NORN_U4:
    case NORN_U2:
        return NORN_U8;
    case NORN_I4:
    case NORN_I2:
        return NORN_I8;
    default:
        return norni_dtype_is_float(t) ? NORN_F32 : t;
    }
}

size_t norni_compute_bytes(norn_dtype t) {
    return (size_t)norni_dtype_bits(norni_compute_dtype(t)) / 8;
}

static const char *scalar_type(norn_dtype t) {
    switch (t) {
    case NORN_F32:
        return "float";
    case NORN_F64:
        return "double";
    case NORN_I8:
        return "char";
    case NORN_U8:
    case NORN_BOOL:
        return "uchar";
    case NORN_I16:
        return "short";
    case NORN_U16:
        return "ushort";
    case NORN_I32:
        return "int";
    case NORN_U32:
        return "uint";
    case NORN_I64:
        return "long";
    case NORN_U64:
        return "ulong";
    default:
        return "void";
    }
}

const char *norni_cl_type(norn_dtype compute, int width, char buf[24]) {
    if (width > 1)
        snprintf(buf, 24, "%s%d", scalar_type(compute), width);
    else
        snprintf(buf, 24, "%s", scalar_type(compute));
    return buf;
}

static const char *mask_type(int bits) {
    return bits == 8 ? "char" : bits == 16 ? "short" : bits == 32 ? "int" : "long";
}

/* Types of sub-formulas. Literals are weak: an integer one takes any type, one with a point any floating
 * type. */
enum { WEAK_INT = -2, WEAK_FLOAT = -1 };

static int promote(int a, int b) {
    if (a == b)
        return a;
    if (a == WEAK_INT)
        return b;
    if (b == WEAK_INT)
        return a;
    if (a == WEAK_FLOAT || b == WEAK_FLOAT) {
        int o = a == WEAK_FLOAT ? b : a;
        return norni_dtype_is_float((norn_dtype)o) ? o : NORN_F32;
    }
    norn_dtype x = (norn_dtype)a, y = (norn_dtype)b;
    if (norni_dtype_is_float(x) || norni_dtype_is_float(y))
        return x == NORN_F64 || y == NORN_F64 ? NORN_F64 : NORN_F32;
    if (x == NORN_BOOL)
        return y;
    if (y == NORN_BOOL)
        return x;
    int bx = norni_dtype_bits(x), by = norni_dtype_bits(y);
    if (norni_dtype_class(x) == norni_dtype_class(y))
        return bx > by ? x : y;
    return NORN_I64;
}

static bool is_bool_op(norni_expr_op op) {
    return (op >= NORNI_E_LT && op <= NORNI_E_OR) || op == NORNI_E_NOT || op == NORNI_E_ISNAN ||
           op == NORNI_E_ISINF;
}

static int type_of(const norni_expr *e, const norni_expr_var *vars) {
    switch (e->op) {
    case NORNI_E_CONST:
        return e->integer ? WEAK_INT : WEAK_FLOAT;
    case NORNI_E_VAR:
        return norni_compute_dtype(vars[e->var].dtype);
    case NORNI_E_WHERE:
        return promote(type_of(e->a[1], vars), type_of(e->a[2], vars));
    case NORNI_E_SHL:
    case NORNI_E_SHR:
        return type_of(e->a[0], vars);
    default:
        break;
    }
    if (is_bool_op(e->op))
        return NORN_BOOL;
    int a = type_of(e->a[0], vars);
    if (norni_expr_arity(e->op) == 2) {
        int t = promote(a, type_of(e->a[1], vars));
        return t == NORN_BOOL ? NORN_I32 : t;
    }
    switch (e->op) {
    case NORNI_E_NEG:
    case NORNI_E_ABS:
    case NORNI_E_SIGN:
    case NORNI_E_BITNOT:
    case NORNI_E_FLOOR:
    case NORNI_E_CEIL:
    case NORNI_E_ROUND:
    case NORNI_E_TRUNC:
        return a;
    default:
        return a == NORN_F64 ? NORN_F64 : a == WEAK_INT || a == WEAK_FLOAT ? WEAK_FLOAT : NORN_F32;
    }
}

bool norni_expr_vectorises(const norni_expr *e, const norni_expr_var *vars) {
    if (e->op == NORNI_E_CONST || e->op == NORNI_E_VAR)
        return true;
    for (int i = 0; i < norni_expr_arity(e->op); i++)
        if (!norni_expr_vectorises(e->a[i], vars))
            return false;
    switch (e->op) {
    case NORNI_E_DIV:
    case NORNI_E_POW:
    case NORNI_E_MOD:
    case NORNI_E_FMOD:
    case NORNI_E_ABS:
    case NORNI_E_SIGN: {
        int t = type_of(e, vars);
        return t < 0 || norni_dtype_is_float((norn_dtype)t);
    }
    case NORNI_E_SHL:
    case NORNI_E_SHR:
        return false;
    default:
        return true;
    }
}

static void value(printer *p, const norni_expr *e, norn_dtype t);
static void mask(printer *p, const norni_expr *e, int bits);

static void literal(printer *p, double v, norn_dtype t) {
    char type[24];
    norni_cl_type(t, p->width, type);
    norni_str_addf(p->out, "((%s)(", type);
    if (t == NORN_F32 || t == NORN_F64) {
        const char *suffix = t == NORN_F32 ? "f" : "";
        if (isnan(v))
            norni_str_add(p->out, "NAN");
        else if (isinf(v))
            norni_str_add(p->out, v > 0 ? "INFINITY" : "-INFINITY");
        else {
            size_t start = p->out->n;
            if (t == NORN_F32)
                norni_str_add_float(p->out, (float)v);
            else
                norni_str_add_double(p->out, v);
            if (p->out->s && !strpbrk(p->out->s + start, ".en"))
                norni_str_add(p->out, ".0");
            norni_str_add(p->out, suffix);
        }
    } else if (t == NORN_I64 && v <= -0x1p63)
        norni_str_add(p->out, "LONG_MIN");
    else if (t == NORN_U64 && v >= 0x1p63)
        norni_str_addf(p->out, "%lluUL", v >= 0x1p64 ? ~0ull : (unsigned long long)v);
    else
        norni_str_addf(p->out, "%lldL", (long long)norni_double_to_int(v));
    norni_str_add(p->out, "))");
}

/* Opens a conversion of what follows to type t; closed by ")". */
static void open_convert(printer *p, norn_dtype t) {
    char type[24];
    norni_cl_type(t, p->width, type);
    if (p->width > 1)
        norni_str_addf(p->out, "convert_%s(", type);
    else
        norni_str_addf(p->out, "(%s)(", type);
}

static void call1(printer *p, const char *f, const norni_expr *a, norn_dtype t) {
    norni_str_addf(p->out, "%s(", f);
    value(p, a, t);
    norni_str_add(p->out, ")");
}

static void call2(printer *p, const char *f, const norni_expr *e, norn_dtype t) {
    norni_str_addf(p->out, "%s(", f);
    value(p, e->a[0], t);
    norni_str_add(p->out, ", ");
    value(p, e->a[1], t);
    norni_str_add(p->out, ")");
}

static void infix(printer *p, const char *op, const norni_expr *e, norn_dtype t) {
    norni_str_add(p->out, "(");
    value(p, e->a[0], t);
    norni_str_addf(p->out, " %s ", op);
    value(p, e->a[1], t);
    norni_str_add(p->out, ")");
}

/* A helper of the prelude, one per type and width: norni_max_float16. */
static void helper(printer *p, const char *f, const norni_expr *e, norn_dtype t, int arity) {
    char type[24], name[64];
    norni_cl_type(t, p->width, type);
    snprintf(name, sizeof name, "norni_%s_%s", f, type);
    if (arity == 1)
        call1(p, name, e->a[0], t);
    else
        call2(p, name, e, t);
}

/* x ** c for the exponents that need no pow. */
static bool simple_power(printer *p, const norni_expr *e, norn_dtype t) {
    const norni_expr *b = e->a[1];
    bool atom = e->a[0]->op == NORNI_E_VAR; /* printed more than once */
    if (b->op != NORNI_E_CONST)
        return false;
    if (b->value == 1)
        value(p, e->a[0], t);
    else if (b->value == 0.5)
        call1(p, "sqrt", e->a[0], t);
    else if (b->value == 2 && atom) {
        norni_str_add(p->out, "(");
        value(p, e->a[0], t);
        norni_str_add(p->out, " * ");
        value(p, e->a[0], t);
        norni_str_add(p->out, ")");
    } else if (b->value == -1) {
        norni_str_add(p->out, "(");
        literal(p, 1, t);
        norni_str_add(p->out, " / ");
        value(p, e->a[0], t);
        norni_str_add(p->out, ")");
    } else
        return false;
    return true;
}

static void binary(printer *p, const norni_expr *e, norn_dtype t, bool f) {
    switch (e->op) {
    case NORNI_E_ADD:
        infix(p, "+", e, t);
        break;
    case NORNI_E_SUB:
        infix(p, "-", e, t);
        break;
    case NORNI_E_MUL:
        infix(p, "*", e, t);
        break;
    case NORNI_E_DIV:
        if (f)
            infix(p, "/", e, t);
        else
            helper(p, "div", e, t, 2);
        break;
    case NORNI_E_POW:
        if (f && simple_power(p, e, t))
            break;
        if (f)
            call2(p, "pow", e, t);
        else
            helper(p, "pow", e, t, 2);
        break;
    case NORNI_E_MAX:
    case NORNI_E_MIN:
        if (f)
            helper(p, e->op == NORNI_E_MAX ? "max" : "min", e, t, 2);
        else
            call2(p, e->op == NORNI_E_MAX ? "max" : "min", e, t);
        break;
    case NORNI_E_MOD:
        helper(p, "mod", e, t, 2);
        break;
    case NORNI_E_FMOD:
        if (f)
            call2(p, "fmod", e, t);
        else
            helper(p, "fmod", e, t, 2);
        break;
    case NORNI_E_ATAN2:
        call2(p, "atan2", e, t);
        break;
    case NORNI_E_BITAND:
        infix(p, "&", e, t);
        break;
    case NORNI_E_BITOR:
        infix(p, "|", e, t);
        break;
    case NORNI_E_BITXOR:
        infix(p, "^", e, t);
        break;
    default: /* shifts */
        helper(p, e->op == NORNI_E_SHL ? "shl" : "shr", e, t, 2);
        break;
    }
}

static void unary(printer *p, const norni_expr *e, norn_dtype t, bool f) {
    static const char *const builtin[NORNI_E_COUNT] = {
        [NORNI_E_FLOOR] = "floor", [NORNI_E_CEIL] = "ceil",   [NORNI_E_ROUND] = "rint",
        [NORNI_E_TRUNC] = "trunc", [NORNI_E_SQRT] = "sqrt",   [NORNI_E_RSQRT] = "rsqrt",
        [NORNI_E_EXPM1] = "expm1", [NORNI_E_LOG] = "log",     [NORNI_E_LOG1P] = "log1p",
        [NORNI_E_SIN] = "sin",     [NORNI_E_COS] = "cos",     [NORNI_E_TAN] = "tan",
        [NORNI_E_ASIN] = "asin",   [NORNI_E_ACOS] = "acos",   [NORNI_E_ATAN] = "atan",
        [NORNI_E_SINH] = "sinh",   [NORNI_E_COSH] = "cosh",   [NORNI_E_TANH] = "tanh",
        [NORNI_E_ASINH] = "asinh", [NORNI_E_ACOSH] = "acosh", [NORNI_E_ATANH] = "atanh",
    };
    switch (e->op) {
    case NORNI_E_NEG:
        norni_str_add(p->out, "(-");
        value(p, e->a[0], t);
        norni_str_add(p->out, ")");
        break;
    case NORNI_E_ABS:
        if (f)
            call1(p, "fabs", e->a[0], t);
        else
            helper(p, "abs", e, t, 1);
        break;
    case NORNI_E_SIGN:
        helper(p, "sign", e, t, 1);
        break;
    case NORNI_E_SIGMOID:
    case NORNI_E_EXP:
    case NORNI_E_ERF:
    case NORNI_E_TANH:
        helper(p,
               e->op == NORNI_E_SIGMOID ? "sigmoid"
               : e->op == NORNI_E_EXP   ? "exp"
               : e->op == NORNI_E_ERF   ? "erf"
                                        : "tanh",
               e, t, 1);
        break;
    case NORNI_E_BITNOT:
        norni_str_add(p->out, "(~");
        value(p, e->a[0], t);
        norni_str_add(p->out, ")");
        break;
    default:
        if (f)
            call1(p, builtin[e->op], e->a[0], t);
        else /* rounding an integer */
            value(p, e->a[0], t);
    }
}

static void where(printer *p, const norni_expr *e, norn_dtype t) {
    norni_str_add(p->out, p->width > 1 ? "select(" : "(");
    if (p->width > 1) {
        value(p, e->a[2], t);
        norni_str_add(p->out, ", ");
        value(p, e->a[1], t);
        norni_str_add(p->out, ", ");
        mask(p, e->a[0], norni_dtype_bits(t));
    } else {
        mask(p, e->a[0], 32);
        norni_str_add(p->out, " ? ");
        value(p, e->a[1], t);
        norni_str_add(p->out, " : ");
        value(p, e->a[2], t);
    }
    norni_str_add(p->out, ")");
}

/* Prints e as a value of compute type t. */
static void value(printer *p, const norni_expr *e, norn_dtype t) {
    if (e->op == NORNI_E_CONST) {
        literal(p, e->value, t);
        return;
    }
    int own = type_of(e, p->vars);
    norn_dtype u = own == WEAK_INT || own == WEAK_FLOAT
                       ? (norni_dtype_is_float(t) || own == WEAK_INT ? t : NORN_F32)
                       : (norn_dtype)own;
    if (t == NORN_BOOL && e->op != NORNI_E_VAR) { /* 0/1 bytes */
        open_convert(p, NORN_U8);
        norni_str_add(p->out, "(");
        mask(p, e, 8);
        norni_str_addf(p->out, p->width > 1 ? ") & (char%d)(1))" : ") != 0)", p->width);
        return;
    }
    if (u == NORN_BOOL && e->op != NORNI_E_VAR && t != NORN_BOOL) {
        static const norni_expr one = {.op = NORNI_E_CONST, .value = 1, .integer = true},
                                zero = {.op = NORNI_E_CONST, .value = 0, .integer = true};
        norni_expr w = {.op = NORNI_E_WHERE, .a = {e, &one, &zero}};
        where(p, &w, t);
        return;
    }
    bool convert = u != t && !(t == NORN_BOOL || (u == NORN_BOOL && t == NORN_U8));
    if (t == NORN_BOOL && u != NORN_BOOL) { /* a variable */
        open_convert(p, NORN_U8);
        norni_str_add(p->out, "(");
        mask(p, e, 8);
        norni_str_addf(p->out, p->width > 1 ? ") & (char%d)(1))" : ") != 0)", p->width);
        return;
    }
    if (convert)
        open_convert(p, t);
    bool f = norni_dtype_is_float(u);
    if (e->op == NORNI_E_VAR)
        norni_str_add(p->out, p->vars[e->var].name);
    else if (e->op == NORNI_E_WHERE)
        where(p, e, u);
    else if (norni_expr_arity(e->op) == 2)
        binary(p, e, u, f);
    else
        unary(p, e, u, f);
    if (convert)
        norni_str_add(p->out, ")");
}

/* Opens a conversion of a mask that is `own` bits wide to `bits`; returns whether it must be closed. */
static bool open_mask(printer *p, int own, int bits) {
    if (p->width == 1 || own == bits)
        return false;
    norni_str_addf(p->out, "convert_%s%d(", mask_type(bits), p->width);
    return true;
}

/* Prints e as a mask with elements of `bits` bits. */
static void mask(printer *p, const norni_expr *e, int bits) {
    bool v = p->width > 1;
    switch (e->op) {
    case NORNI_E_AND:
    case NORNI_E_OR:
        norni_str_add(p->out, "(");
        mask(p, e->a[0], bits);
        norni_str_add(p->out, e->op == NORNI_E_AND ? (v ? " & " : " && ") : (v ? " | " : " || "));
        mask(p, e->a[1], bits);
        norni_str_add(p->out, ")");
        return;
    case NORNI_E_NOT:
        norni_str_add(p->out, v ? "(~" : "(!");
        mask(p, e->a[0], bits);
        norni_str_add(p->out, ")");
        return;
    case NORNI_E_CONST:
        if (v)
            norni_str_addf(p->out, "((%s%d)(%d))", mask_type(bits), p->width, e->value != 0 ? -1 : 0);
        else
            norni_str_add(p->out, e->value != 0 ? "1" : "0");
        return;
    case NORNI_E_LT:
    case NORNI_E_LE:
    case NORNI_E_GT:
    case NORNI_E_GE:
    case NORNI_E_EQ:
    case NORNI_E_NE: {
        static const char *const sign[] = {"<", "<=", ">", ">=", "==", "!="};
        int t = promote(type_of(e->a[0], p->vars), type_of(e->a[1], p->vars));
        norn_dtype u = t < 0 ? NORN_F32 : (norn_dtype)t;
        if (u == NORN_BOOL)
            u = NORN_U8;
        bool close = open_mask(p, norni_dtype_bits(u), bits);
        infix(p, sign[e->op - NORNI_E_LT], e, u);
        norni_str_add(p->out, close ? ")" : "");
        return;
    }
    case NORNI_E_ISNAN:
    case NORNI_E_ISINF: {
        int t = type_of(e->a[0], p->vars);
        norn_dtype u = t == NORN_F64 ? NORN_F64 : NORN_F32;
        bool close = open_mask(p, norni_dtype_bits(u), bits);
        call1(p, e->op == NORNI_E_ISNAN ? "isnan" : "isinf", e->a[0], u);
        norni_str_add(p->out, close ? ")" : "");
        return;
    }
    case NORNI_E_WHERE:
        if (v) {
            norni_str_add(p->out, "((");
            mask(p, e->a[0], bits);
            norni_str_add(p->out, " & ");
            mask(p, e->a[1], bits);
            norni_str_add(p->out, ") | (~");
            mask(p, e->a[0], bits);
            norni_str_add(p->out, " & ");
            mask(p, e->a[2], bits);
            norni_str_add(p->out, "))");
        } else {
            norni_str_add(p->out, "(");
            mask(p, e->a[0], bits);
            norni_str_add(p->out, " ? ");
            mask(p, e->a[1], bits);
            norni_str_add(p->out, " : ");
            mask(p, e->a[2], bits);
            norni_str_add(p->out, ")");
        }
        return;
    default: { /* a number is true when it is not zero */
        int t = type_of(e, p->vars);
        norn_dtype u = t < 0 ? NORN_F32 : t == NORN_BOOL ? NORN_U8 : (norn_dtype)t;
        bool close = open_mask(p, norni_dtype_bits(u), bits);
        norni_str_add(p->out, "(");
        value(p, e, u);
        norni_str_add(p->out, " != ");
        literal(p, 0, u);
        norni_str_add(p->out, close ? "))" : ")");
    }
    }
}

void norni_expr_print_cl(norni_str *out, const norni_expr *e, const norni_expr_var *vars, norn_dtype want,
                         int width) {
    printer p = {out, vars, width};
    value(&p, e, norni_compute_dtype(want));
}
