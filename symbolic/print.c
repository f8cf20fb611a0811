/* SPDX-License-Identifier: Apache-2.0 */
/* Formulas as plain text that parses again, as LaTeX, and as Python over NumPy. */
#include "ops/op.h"
#include "symbolic/show.h"
#include <ctype.h>
#include <math.h>
#include <string.h>

void norni_show_number(norni_str *out, norni_num v) {
    if (norni_num_whole(v))
        norni_str_addf(out, "%lld", (long long)v.p);
    else
        norni_str_add_double(out, norni_num_value(v));
}

static void at(norni_str *out, const norni_show *w, norni_style style, int least);

static void open(norni_str *out, norni_style style) {
    norni_str_add(out, style == NORNI_LATEX ? "\\left(" : "(");
}
static void close(norni_str *out, norni_style style) {
    norni_str_add(out, style == NORNI_LATEX ? "\\right)" : ")");
}

static void list(norni_str *out, const norni_show *w, norni_style style, const char *between) {
    for (int i = 0; i < w->n; i++) {
        norni_str_add(out, i ? between : "");
        at(out, w->a[i], style, 0);
    }
}

/* ---- LaTeX. */
static void latex_name(norni_str *out, const char *name) {
    static const char *const greek[] = {
        "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "kappa", "lambda", "mu",
        "nu",    "xi",   "pi",    "rho",   "sigma",   "tau",  "phi", "chi",   "psi",   "omega",  NULL};
    size_t n = strcspn(name, "_0123456789"), rest = n + (name[n] == '_');
    bool known = false;
    if (!n) {
        n = rest = strlen(name);
    }
    for (int i = 0; greek[i]; i++)
        known |= strlen(greek[i]) == n && !memcmp(greek[i], name, n);
    norni_str_add(out, known ? "\\" : n > 1 ? "\\mathrm{" : "");
    for (size_t i = 0; i < n; i++) {
        if (name[i] == '_')
            norni_str_add(out, "\\");
        norni_str_addn(out, name + i, 1);
    }
    norni_str_add(out, !known && n > 1 ? "}" : "");
    if (name[rest]) {
        norni_str_add(out, "_{");
        for (const char *c = name + rest; *c; c++) {
            if (*c == '_')
                norni_str_add(out, "\\");
            norni_str_addn(out, c, 1);
        }
        norni_str_add(out, "}");
    }
}

static void latex_number(norni_str *out, norni_num v) {
    norni_str s = {0};
    norni_show_number(&s, v);
    const char *text = s.s ? s.s : "", *e = strchr(text, 'e');
    if (!strcmp(text, "inf"))
        norni_str_add(out, "\\infty");
    else if (e && isdigit((unsigned char)text[0]))
        norni_str_addf(out, "%.*s \\cdot 10^{%d}", (int)(e - text), text, (int)norni_strtod(e + 1, NULL));
    else
        norni_str_add(out, text);
    norni_str_free(&s);
}

static void latex_in(norni_str *out, const norni_show *w, const char *before, const char *after) {
    norni_str_add(out, before);
    at(out, w, NORNI_LATEX, 0);
    norni_str_add(out, after);
}

static void latex_call(norni_str *out, const norni_show *w) {
    static const char *const own[] = {"sin", "cos", "tan", "sinh", "cosh", "tanh", "max", "min", "det", NULL};
    static const char *const named[][2] = {{"log", "\\ln"},      {"asin", "\\arcsin"},   {"acos", "\\arccos"},
                                           {"atan", "\\arctan"}, {"sigmoid", "\\sigma"}, {"sum", "\\sum"}};
    if (!strcmp(w->text, "exp"))
        latex_in(out, w->a[0], "e^{", "}");
    else if (!strcmp(w->text, "sqrt"))
        latex_in(out, w->a[0], "\\sqrt{", "}");
    else if (!strcmp(w->text, "abs"))
        latex_in(out, w->a[0], "\\left|", "\\right|");
    else if (!strcmp(w->text, "norm") && w->n == 1)
        latex_in(out, w->a[0], "\\left\\lVert ", "\\right\\rVert");
    else if (!strcmp(w->text, "floor"))
        latex_in(out, w->a[0], "\\left\\lfloor ", "\\right\\rfloor");
    else if (!strcmp(w->text, "ceil"))
        latex_in(out, w->a[0], "\\left\\lceil ", "\\right\\rceil");
    else if (!strcmp(w->text, "outer")) {
        at(out, w->a[0], NORNI_LATEX, 9);
        norni_str_add(out, " ");
        at(out, w->a[1], NORNI_LATEX, 9);
        norni_str_add(out, "^{\\top}");
    } else if (!strcmp(w->text, "eye"))
        latex_in(out, w->a[0], "I_{", "}");
    else {
        const char *name = NULL;
        for (int i = 0; own[i]; i++)
            if (!strcmp(w->text, own[i]))
                norni_str_addf(out, "\\%s", name = own[i]);
        for (size_t i = 0; i < sizeof named / sizeof *named; i++)
            if (!strcmp(w->text, named[i][0]))
                norni_str_add(out, name = named[i][1]);
        if (!name) {
            norni_str_add(out, "\\operatorname{");
            for (const char *c = w->text; *c; c++)
                norni_str_addf(out, *c == '_' ? "\\%c" : "%c", *c);
            norni_str_add(out, "}");
        }
        open(out, NORNI_LATEX);
        list(out, w, NORNI_LATEX, ", ");
        close(out, NORNI_LATEX);
    }
}

static bool begins_with_number(const norni_show *w) {
    while (w->kind == NORNI_W_MUL || w->kind == NORNI_W_POW)
        w = w->a[0];
    return w->kind == NORNI_W_NUMBER;
}

static void latex_list(norni_str *out, const norni_show *w) {
    norni_str_add(out, "\\begin{bmatrix} ");
    for (int i = 0; i < w->n; i++) {
        norni_str_add(out, i ? " \\\\ " : "");
        if (w->a[i]->kind == NORNI_W_LIST)
            list(out, w->a[i], NORNI_LATEX, " & ");
        else
            at(out, w->a[i], NORNI_LATEX, 0);
    }
    norni_str_add(out, " \\end{bmatrix}");
}

static void latex(norni_str *out, const norni_show *w) {
    static const char *const signs[] = {"<", "\\le", ">", "\\ge", "=", "\\ne"};
    switch (w->kind) {
    case NORNI_W_NUMBER:
        latex_number(out, w->num);
        break;
    case NORNI_W_NAME:
        latex_name(out, w->text);
        break;
    case NORNI_W_NEG:
        norni_str_add(out, "-");
        at(out, w->a[0], NORNI_LATEX, 6);
        break;
    case NORNI_W_MUL:
        at(out, w->a[0], NORNI_LATEX, 6);
        norni_str_add(out, begins_with_number(w->a[1]) ? " \\cdot " : " ");
        at(out, w->a[1], NORNI_LATEX, 7);
        break;
    case NORNI_W_MATMUL:
        at(out, w->a[0], NORNI_LATEX, 6);
        norni_str_add(out, " ");
        at(out, w->a[1], NORNI_LATEX, 7);
        break;
    case NORNI_W_DIV:
        latex_in(out, w->a[0], "\\frac{", "}");
        latex_in(out, w->a[1], "{", "}");
        break;
    case NORNI_W_POW:
        at(out, w->a[0], NORNI_LATEX, 9);
        latex_in(out, w->a[1], "^{", "}");
        break;
    case NORNI_W_CALL:
        latex_call(out, w);
        break;
    case NORNI_W_COMPARE:
        at(out, w->a[0], NORNI_LATEX, 5);
        norni_str_addf(out, " %s ", signs[w->fn ? w->fn - NORNI_E_LT : 4]);
        at(out, w->a[1], NORNI_LATEX, 5);
        break;
    case NORNI_W_WHERE:
        latex_in(out, w->a[1], "\\begin{cases} ", " & \\text{if } ");
        latex_in(out, w->a[0], "", " \\\\ ");
        latex_in(out, w->a[2], "", " & \\text{otherwise} \\end{cases}");
        break;
    case NORNI_W_SWAP:
        at(out, w->a[0], NORNI_LATEX, 9);
        norni_str_add(out, "^{\\top}");
        break;
    case NORNI_W_LIST:
        latex_list(out, w);
        break;
    case NORNI_W_INDEX:
        at(out, w->a[0], NORNI_LATEX, 10);
        norni_str_addf(out, "_{%s}", w->text);
        break;
    case NORNI_W_NAMED:
        norni_str_addf(out, "\\mathrm{%s}=", w->text);
        at(out, w->a[0], NORNI_LATEX, 0);
        break;
    case NORNI_W_TEXT:
        norni_str_add(out, w->text);
        break;
    case NORNI_W_AND:
    case NORNI_W_OR:
        at(out, w->a[0], NORNI_LATEX, norni_show_strength(w));
        norni_str_add(out, w->kind == NORNI_W_AND ? " \\wedge " : " \\vee ");
        at(out, w->a[1], NORNI_LATEX, norni_show_strength(w) + 1);
        break;
    case NORNI_W_NOT:
        norni_str_add(out, "\\neg ");
        at(out, w->a[0], NORNI_LATEX, 9);
        break;
    default:
        at(out, w->a[0], NORNI_LATEX, 5);
        norni_str_add(out, w->kind == NORNI_W_ADD ? " + " : " - ");
        at(out, w->a[1], NORNI_LATEX, 6);
    }
}

/* ---- Python. */
static void python_shape(norni_str *out, const norni_show *w) {
    norni_str_add(out, "(");
    for (int i = 0; i < w->n; i++) {
        at(out, w->a[i], NORNI_PYTHON, 0);
        norni_str_add(out, i + 1 < w->n ? ", " : w->n == 1 ? "," : "");
    }
    norni_str_add(out, ")");
}

static void python_call(norni_str *out, const norni_show *w) {
    static const char *const named[][2] = {
        {"asin", "arcsin"},   {"acos", "arccos"},   {"atan", "arctan"},        {"asinh", "arcsinh"},
        {"acosh", "arccosh"}, {"atanh", "arctanh"}, {"expand", "broadcast_to"}};
    /* What NumPy has no function for (the head of the program defines it). */
    static const char *const own[] = {"sigmoid",   "softplus", "erf",     "logsumexp", "norm",
                                      "cofactors", "cumsum",   "cumprod", "det",       NULL};
    bool reduce = w->fn >= NORNI_R_SUM, shape = !strcmp(w->text, "zeros") || !strcmp(w->text, "ones");
    bool two_shapes = !strcmp(w->text, "expand") || !strcmp(w->text, "reshape");
    const char *name = w->text;
    for (size_t i = 0; i < sizeof named / sizeof *named; i++)
        if (!strcmp(w->text, named[i][0]))
            name = named[i][1];
    if (!reduce && (!strcmp(name, "max") || !strcmp(name, "min")))
        name = !strcmp(name, "max") ? "maximum" : "minimum";
    if (!strcmp(name, "concat"))
        name = "concatenate";
    bool mine = false;
    for (int i = 0; own[i]; i++)
        mine |= !strcmp(name, own[i]);
    norni_str_addf(out, mine ? "%s(" : "np.%s(", name);
    if (!strcmp(w->text, "pad")) {
        at(out, w->a[0], NORNI_PYTHON, 0);
        norni_str_add(out, ", [");
        for (int i = 0; i < w->a[1]->n; i++) {
            norni_str_add(out, i ? ", (" : "(");
            at(out, w->a[1]->a[i], NORNI_PYTHON, 0);
            norni_str_add(out, ", ");
            at(out, w->a[2]->a[i], NORNI_PYTHON, 0);
            norni_str_add(out, ")");
        }
        norni_str_add(out, "]");
    } else
        for (int i = 0; i < w->n; i++) {
            const norni_show *x = w->a[i];
            norni_str_add(out, i ? ", " : "");
            if (x->kind == NORNI_W_LIST && (shape || (two_shapes && i == 1)))
                python_shape(out, x);
            else if (x->kind == NORNI_W_NAMED && x->a[0]->kind == NORNI_W_LIST) {
                norni_str_addf(out, "%s=", x->text);
                python_shape(out, x->a[0]);
            } else if (x->kind == NORNI_W_LIST && !strcmp(w->text, "concat")) {
                norni_str_add(out, "[");
                list(out, x, NORNI_PYTHON, ", ");
                norni_str_add(out, "]");
            } else
                at(out, x, NORNI_PYTHON, 0);
        }
    norni_str_add(out, ")");
}

static void python_list(norni_str *out, const norni_show *w) {
    norni_str_add(out, "[");
    for (int i = 0; i < w->n; i++) {
        norni_str_add(out, i ? ", " : "");
        if (w->a[i]->kind == NORNI_W_LIST)
            python_list(out, w->a[i]);
        else
            at(out, w->a[i], NORNI_PYTHON, 0);
    }
    norni_str_add(out, "]");
}

/* ---- Text, and Python where it is the same. */
static void number_text(norni_str *out, norni_num v, norni_style style) {
    double d = norni_num_value(v);
    if (style == NORNI_PYTHON && !isfinite(d))
        norni_str_add(out, isnan(d) ? "np.nan" : "np.inf");
    else if (style == NORNI_PYTHON && norni_num_whole(v))
        norni_str_addf(out, "%lld.0", (long long)v.p);
    else
        norni_show_number(out, v);
}

static void text(norni_str *out, const norni_show *w, norni_style style) {
    int s = norni_show_strength(w);
    bool python = style == NORNI_PYTHON;
    switch (w->kind) {
    case NORNI_W_NUMBER:
        number_text(out, w->num, style);
        break;
    case NORNI_W_NAME:
        norni_str_add(out, python && !strcmp(w->text, "pi") ? "np.pi" : w->text);
        break;
    case NORNI_W_TEXT:
        norni_str_add(out, w->text);
        break;
    case NORNI_W_NEG:
        norni_str_add(out, "-");
        at(out, w->a[0], style, 6);
        break;
    case NORNI_W_ADD:
    case NORNI_W_SUB:
        at(out, w->a[0], style, 5);
        norni_str_add(out, w->kind == NORNI_W_ADD ? " + " : " - ");
        at(out, w->a[1], style, 6);
        break;
    case NORNI_W_MUL:
    case NORNI_W_DIV:
    case NORNI_W_MATMUL:
        at(out, w->a[0], style, 6);
        norni_str_add(out, w->kind == NORNI_W_MUL ? "*" : w->kind == NORNI_W_DIV ? "/" : " @ ");
        at(out, w->a[1], style, 7);
        break;
    case NORNI_W_POW:
        at(out, w->a[0], style, 9);
        norni_str_add(out, "**");
        if (python && w->a[1]->kind == NORNI_W_NUMBER && norni_num_whole(w->a[1]->num))
            norni_show_number(out, w->a[1]->num);
        else
            at(out, w->a[1], style, 8);
        break;
    case NORNI_W_CALL:
        if (python)
            python_call(out, w);
        else {
            norni_str_addf(out, "%s(", w->text);
            list(out, w, style, ", ");
            norni_str_add(out, ")");
        }
        break;
    case NORNI_W_COMPARE:
        at(out, w->a[0], style, 5);
        norni_str_addf(out, " %s ", w->text ? w->text : "==");
        at(out, w->a[1], style, 5);
        break;
    case NORNI_W_AND:
    case NORNI_W_OR:
        if (python) {
            norni_str_addf(out, "np.logical_%s(", w->kind == NORNI_W_AND ? "and" : "or");
            list(out, w, style, ", ");
            norni_str_add(out, ")");
        } else {
            at(out, w->a[0], style, s);
            norni_str_add(out, w->kind == NORNI_W_AND ? " and " : " or ");
            at(out, w->a[1], style, s + 1);
        }
        break;
    case NORNI_W_NOT:
        norni_str_add(out, python ? "np.logical_not(" : "not(");
        at(out, w->a[0], style, 0);
        norni_str_add(out, ")");
        break;
    case NORNI_W_WHERE:
        norni_str_add(out, python ? "np.where(" : "where(");
        list(out, w, style, ", ");
        norni_str_add(out, ")");
        break;
    case NORNI_W_SWAP:
        at(out, w->a[0], style, 10);
        norni_str_add(out, ".T");
        break;
    case NORNI_W_LIST:
        if (python) {
            norni_str_add(out, "np.array(");
            python_list(out, w);
            norni_str_add(out, ")");
        } else {
            norni_str_add(out, "[");
            list(out, w, style, ", ");
            norni_str_add(out, "]");
        }
        break;
    case NORNI_W_INDEX:
        at(out, w->a[0], style, 10);
        norni_str_addf(out, "[%s]", w->text);
        break;
    case NORNI_W_NAMED:
        norni_str_addf(out, "%s=", w->text);
        if (python && !strcmp(w->text, "keepdims"))
            norni_str_add(out, "True");
        else if (python && w->a[0]->kind == NORNI_W_NUMBER)
            norni_show_number(out, w->a[0]->num);
        else
            at(out, w->a[0], style, 0);
        break;
    }
}

static void at(norni_str *out, const norni_show *w, norni_style style, int least) {
    int s = norni_show_strength(w);
    if (style == NORNI_LATEX && w->kind == NORNI_W_DIV)
        s = 8; /* a fraction bar groups by itself */
    if (style == NORNI_LATEX && w->kind == NORNI_W_CALL && !strcmp(w->text, "exp"))
        s = 8;
    bool in = s < least;
    if (in)
        open(out, style);
    if (style == NORNI_LATEX)
        latex(out, w);
    else
        text(out, w, style);
    if (in)
        close(out, style);
}

void norni_show_print(norni_str *out, const norni_show *w, norni_style style) {
    at(out, w, style, 0);
}
