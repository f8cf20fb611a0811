/* SPDX-License-Identifier: Apache-2.0 */
/* Names of a graph as names of a program: words of the language, of its mathematics and of what the printers write get a '_' behind
 * them; what is no word at all (names in files) becomes one. */
#include "ops/op.h"
#include "symbolic/code.h"
#include <ctype.h>
#include <string.h>

/* Blank-separated. C: C99 and libm, as far as printed programs may call it; C11 and C++ would read most of it too. */
static const char c_words[] = " auto break case char const continue default do double else enum extern float "
                              "for goto if inline int long register restrict "
                              "return short signed sizeof static struct switch typedef union unsigned void "
                              "volatile while _Bool _Complex _Imaginary main "
                              "fabs floor ceil rint trunc round sqrt cbrt exp exp2 expm1 log log2 log10 "
                              "log1p pow sin cos tan asin acos atan atan2 sinh cosh "
                              "tanh asinh acosh atanh erf erfc fmod fmax fmin hypot copysign isnan isinf "
                              "isfinite signbit INFINITY NAN HUGE_VAL M_PI M_E "
                              "y0 y1 yn j0 j1 jn gamma lgamma tgamma ";
static const char cl_words[] = " kernel global local constant private generic read_only write_only "
                               "read_write half bool uchar ushort uint ulong size_t ptrdiff_t "
                               "intptr_t uintptr_t event_t sampler_t image2d_t image3d_t select sign max min "
                               "clamp abs get_global_id true false pipe ";
static const char python_words[] = " False None True and as assert async await break class continue def del "
                                   "elif else except finally for from global if import in is "
                                   "lambda nonlocal not or pass raise return try while with yield np pi math "
                                   "int sigmoid softplus erf logsumexp norm det cumsum cumprod "
                                   "cofactors ";

static bool has_word(const char *words, const char *name) {
    size_t n = strlen(name);
    for (const char *p = words; (p = strstr(p, name)); p += n)
        if (p[-1] == ' ' && p[n] == ' ')
            return true;
    return false;
}

/* What the printers call their own variables: t1, i0, s2; in kernels also i, n and X_all. Vectors of OpenCL C: float4. */
static bool printers_own(const char *name, bool cl) {
    size_t n = strlen(name), digits = strspn(name + 1, "0123456789");
    if (strchr("itsr", *name) && digits && digits == n - 1)
        return true;
    if (!cl)
        return false;
    if (!strcmp(name, "i") || !strcmp(name, "n") || (n > 4 && !strcmp(name + n - 4, "_all")))
        return true;
    static const char *const types[] = {"char", "short", "int", "long", "float", "double", "half"};
    for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
        const char *at = strstr(name, types[k]);
        if (at && (at == name || (at == name + 1 && *name == 'u')) &&
            strspn(at + strlen(types[k]), "0123456789") == strlen(at + strlen(types[k])))
            return true;
    }
    return false;
}

static bool reserved(norn_print_style style, const char *name, const char *function) {
    size_t n = strlen(function);
    if (!strcmp(name, function) || !strncmp(name, "__", 2))
        return true;
    if (style == NORN_PRINT_PYTHON)
        return has_word(python_words, name) || printers_own(name, false);
    return has_word(c_words, name) || printers_own(name, style == NORN_PRINT_OPENCL) ||
           (style == NORN_PRINT_OPENCL && has_word(cl_words, name)) ||
           (!strncmp(name, function, n) && name[n] == '_');
}

static bool taken(const norn_graph *g, const norn_value *but, const char *name) {
    for (size_t i = 0; i < g->inputs.n; i++)
        if (g->inputs.v[i] != but && g->inputs.v[i]->name && !strcmp(g->inputs.v[i]->name, name))
            return true;
    return false;
}

/* The name for one that a graph has; NULL when memory is out. */
static const char *word(norn_graph *g, norn_print_style style, const char *function, const char *name,
                        const norn_value *of) {
    norni_str s = {0};
    if (isdigit((unsigned char)*name))
        norni_str_add(&s, "_");
    norni_str_add(&s, name);
    for (size_t i = 0; s.s && i < s.n; i++)
        if (!isalnum((unsigned char)s.s[i]) && s.s[i] != '_')
            s.s[i] = '_';
    while (s.s && (reserved(style, s.s, function) || (strcmp(s.s, name) && taken(g, of, s.s)))) {
        if (!strncmp(s.s, function, strlen(function)) &&
            s.s[strlen(function)] == '_') { /* in front: "f_max" */
            char *old = norni_str_take(&s);
            norni_str_addf(&s, "v_%s", old ? old : "");
            norni_free(old);
        } else
            norni_str_add(&s, "_");
    }
    const char *out = s.s && !s.failed ? norni_arena_strdup(g->arena, s.s) : NULL;
    norni_str_free(&s);
    return out;
}

norn_status norni_program_names(norn_graph *g, norn_print_style style, const char *function) {
    const char *language = style == NORN_PRINT_PYTHON ? "Python" : style == NORN_PRINT_C ? "C" : "OpenCL C";
    bool ok = !isdigit((unsigned char)*function) && *function;
    for (const char *p = function; *p; p++)
        ok = ok && (isalnum((unsigned char)*p) || *p == '_');
    if (!ok || reserved(style, function, "\n"))
        return norni_fail(NORN_ARG, "print: '%s' is no name for a function in %s", function, language);
    for (size_t i = 0; i < g->inputs.n; i++)
        if (!(g->inputs.v[i]->name = word(g, style, function, g->inputs.v[i]->name, g->inputs.v[i])))
            return norni_nomem();
    for (size_t i = 0; i < g->outputs.n; i++)
        if (!(g->outputs.v[i].name = word(g, style, function, g->outputs.v[i].name, g->outputs.v[i].value)))
            return norni_nomem();
    return NORN_OK;
}
