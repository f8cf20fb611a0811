/* SPDX-License-Identifier: Apache-2.0 */
/* Graphs as formulas in every style. */
#include "graph/graph.h"
#include "ops/op.h"
#include "symbolic/code.h"
#include "symbolic/show.h"
#include <string.h>

norn_status norni_outputs_start(norni_outputs *o, const norn_graph *g) {
    *o = (norni_outputs){.n = g->outputs.n};
    if (!g->outputs.n)
        return norni_fail(NORN_ARG, "print: the graph has no output");
    norn_value **v = norni_alloc_array(o->n, sizeof *v);
    norn_dtype t = g->outputs.v[0].value->type.dtype;
    o->t = norni_alloc_array(o->n, sizeof *o->t);
    if (!v || !o->t) {
        norni_free(v);
        return norni_nomem();
    }
    for (size_t i = 0; i < o->n; i++)
        v[i] = g->outputs.v[i].value;
    norn_status s = norni_terms_start(&o->c, (norn_graph *)g, norni_dtype_is_float(t) ? t : NORN_F64);
    if (s == NORN_OK)
        s = norni_terms_from(&o->c, o->n, v, o->t);
    for (size_t i = 0; i < o->n && s == NORN_OK; i++) {
        o->t[i] = norni_t_simplify(&o->c, o->t[i]);
        s = o->c.status;
    }
    norni_free(v);
    return s;
}

void norni_outputs_end(norni_outputs *o) {
    norni_terms_end(&o->c);
    norni_free(o->t);
}

/* Short formulas stand as they are; in long ones shared parts get names. */
static norn_status formula(norni_str *out, norni_outputs *o, const norni_term *t, norni_style style) {
    enum { LONG = 30 };
    const norni_term **order = NULL;
    norni_shower s = {.c = &o->c, .n_names = o->c.n};
    int shared = 0;
    s.names = norni_arena_array(o->c.arena, o->c.n + 1, sizeof *s.names);
    if (!s.names)
        return norni_nomem();
    if (t->count > LONG)
        shared = norni_show_shared(&o->c, 1, &t, 2, &order, s.names);
    for (int i = 0; i < shared; i++) {
        const char *name = s.names[order[i]->id];
        s.names[order[i]->id] = NULL;
        const norni_show *w = norni_show_term(&s, order[i]);
        s.names[order[i]->id] = name;
        if (!w)
            return o->c.status;
        const norni_show named = {.kind = NORNI_W_NAME, .text = name};
        norni_str_add(out, style == NORNI_TEXT ? "let " : "");
        norni_show_print(out, &named, style);
        norni_str_add(out, " = ");
        norni_show_print(out, w, style);
        norni_str_add(out, style == NORNI_TEXT ? "; " : ", \\quad ");
    }
    const norni_show *w = shared < 0 ? NULL : norni_show_term(&s, t);
    if (!w)
        return o->c.status;
    norni_show_print(out, w, style);
    return NORN_OK;
}

static norn_status python(norni_str *out, norni_outputs *o, const norn_graph *g, const char *name) {
    static const struct {
        const char *call, *text;
    } helpers[] = {
        {"sigmoid(", "def sigmoid(x):\n    return np.exp(-np.logaddexp(0.0, -x))\n"},
        {"softplus(", "def softplus(x):\n    return np.logaddexp(0.0, x)\n"},
        {"erf(", "import math\n\nerf = np.vectorize(math.erf)\n"},
        {"logsumexp(", "def logsumexp(x, axis=None, keepdims=False):\n"
                       "    m = np.max(x, axis=axis, keepdims=True)\n"
                       "    s = m + np.log(np.sum(np.exp(x - m), axis=axis, keepdims=True))\n"
                       "    return s if keepdims else np.squeeze(s, axis=axis)\n"},
        {"norm(", "def norm(x, axis=None, keepdims=False, ord=2):\n"
                  "    p = np.sum(np.abs(x)**ord, axis=axis, keepdims=keepdims)\n"
                  "    return p if ord == 1 else np.sqrt(p)\n"},
        {"det(", "def det(x):\n    return np.linalg.det(x)\n"},
        {"cumsum(", "def cumsum(x, axis=0, exclusive=0, reverse=0):\n"
                    "    x = np.flip(x, axis) if reverse else x\n"
                    "    y = np.cumsum(x, axis) - (x if exclusive else 0.0)\n"
                    "    return np.flip(y, axis) if reverse else y\n"},
        {"cumprod(", "def cumprod(x, axis=0, exclusive=0, reverse=0):\n"
                     "    x = np.flip(x, axis) if reverse else x\n"
                     "    if exclusive:\n"
                     "        first = np.ones_like(np.take(x, [0], axis))\n"
                     "        x = np.concatenate([first, np.delete(x, -1, axis)], axis)\n"
                     "    y = np.cumprod(x, axis)\n"
                     "    return np.flip(y, axis) if reverse else y\n"},
        {"cofactors(", "def cofactors(x):\n    return np.linalg.det(x)*np.linalg.inv(x).T\n"},
    };
    const norni_term **order = NULL;
    norni_str body = {0};
    norni_shower s = {.c = &o->c, .n_names = o->c.n};
    s.names = norni_arena_array(o->c.arena, o->c.n + 1, sizeof *s.names);
    if (!s.names)
        return norni_nomem();
    int shared = norni_show_shared(&o->c, o->n, o->t, 1, &order, s.names);
    norni_str_addf(&body, "def %s(", name);
    for (size_t i = 0; i < g->inputs.n; i++)
        norni_str_addf(&body, "%s%s", i ? ", " : "", g->inputs.v[i]->name);
    norni_str_add(&body, "):\n");
    for (int i = 0; i < shared; i++) {
        const char *own = s.names[order[i]->id];
        s.names[order[i]->id] = NULL;
        const norni_show *w = norni_show_term(&s, order[i]);
        s.names[order[i]->id] = own;
        if (!w)
            break;
        norni_str_addf(&body, "    %s = ", own);
        norni_show_print(&body, w, NORNI_PYTHON);
        norni_str_add(&body, "\n");
    }
    norni_str_add(&body, "    return ");
    for (size_t i = 0; i < o->n && o->c.status == NORN_OK; i++) {
        const norni_show *w = norni_show_term(&s, o->t[i]);
        norni_str_add(&body, i ? ", " : "");
        if (w)
            norni_show_print(&body, w, NORNI_PYTHON);
    }
    norni_str_add(&body, "\n");
    norni_str_add(out, "import numpy as np\n");
    for (size_t i = 0; i < sizeof helpers / sizeof *helpers && body.s; i++) {
        const char *p = body.s;
        size_t n = strlen(helpers[i].call);
        while ((p = strstr(p, helpers[i].call)) && p > body.s &&
               (p[-1] == '_' || p[-1] == '.' || (p[-1] >= 'a' && p[-1] <= 'z')))
            p += n;
        if (p)
            norni_str_addf(out, "\n\n%s", helpers[i].text);
    }
    norni_str_addf(out, "\n\n%s", body.s ? body.s : "");
    out->failed |= body.failed;
    norni_str_free(&body);
    return o->c.status;
}

static bool is_defined(const norn_node *node) {
    return node->op->defined && node->op->expand;
}

/* Programs stand alone: what the operators of the calling program stand for is in them. *own: what was made for that. */
static norn_status as_program(const norn_graph *g, norn_print_style style, const char *name,
                              norn_graph **own) {
    norni_rebuild r = {.from = g};
    NORNI_TRY(norni_rebuild_run(&r));
    *own = r.to;
    NORNI_TRY(norni_graph_expand(own, is_defined));
    return norni_program_names(*own, style, name);
}

norn_status norn_formula_print(const norn_graph *g, norn_print_style style, const char *name, char **out) {
    norn_graph *own = NULL;
    norni_outputs o;
    norni_str text = {0};
    *out = NULL;
    if (!name)
        name = "f";
    if (style == NORN_PRINT_GRAPH)
        return norn_graph_print(g, 64, out);
    if (style == NORN_PRINT_SVG)
        return norni_drawing_print(g, out);
    norn_status s =
        style == NORN_PRINT_TEXT || style == NORN_PRINT_LATEX ? NORN_OK : as_program(g, style, name, &own);
    if (s != NORN_OK) {
        norn_graph_free(own);
        return s;
    }
    g = own ? own : g;
    s = norni_outputs_start(&o, g);
    if (s == NORN_OK)
        switch (style) {
        case NORN_PRINT_PYTHON:
            s = python(&text, &o, g, name);
            break;
        case NORN_PRINT_C:
            s = norni_code_c(&text, &o, g, name);
            break;
        case NORN_PRINT_OPENCL:
            s = norni_code_opencl(&text, &o, g, name);
            break;
        default:
            for (size_t i = 0; i < o.n && s == NORN_OK; i++) {
                if (o.n > 1)
                    norni_str_addf(&text, "%s = ", g->outputs.v[i].name);
                s = formula(&text, &o, o.t[i], style == NORN_PRINT_LATEX ? NORNI_LATEX : NORNI_TEXT);
                norni_str_add(&text, "\n");
            }
        }
    norni_outputs_end(&o);
    norn_graph_free(own);
    if (s == NORN_OK)
        s = (*out = norni_str_take(&text)) ? NORN_OK : norni_nomem();
    norni_str_free(&text);
    return s;
}

norn_status norn_compile_c(const norn_graph *g, const char *name, char **out) {
    return norn_formula_print(g, NORN_PRINT_C, name, out);
}
