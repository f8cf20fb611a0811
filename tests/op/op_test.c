/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of operators, made from the registry: nobody writes a test for an operator, only cases.
 *
 *     op_test [--device D] [--op NAME] [--case LINE] [--full] [--small] [--part K/N]
 *
 * For each case: the line survives printing and parsing; every implementation that fits agrees with the host
 * reference, alone and with an epilogue; so does the expansion; the gradient agrees with central differences in double, on the host and
 * on the device; where it can be differentiated again, so does the second order. The first case of an
 * operator also runs in the other floating-point types (--full: every case). --small leaves out large cases
 * (slow devices). */
#include "base/philox.h"
#include "graph/plan.h"
#include "ops/op.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static norn_session *device, *host;
static int failures, checks;
static const char *current;

static void fail(const char *what, const char *detail) {
    failures++;
    printf("FAIL %s: %s: %s\n", current, what, detail);
}

static bool ok(norn_status s, const char *what) {
    checks++;
    if (s != NORN_OK)
        fail(what, norn_error());
    return s == NORN_OK;
}

/* ---- Random input: floats in the operator's range, away from 0, where many have a kink. */
static norn_tensor *random_tensor(const norni_type *t, const norn_op *op, uint64_t seed) {
    norn_tensor *x;
    norni_philox_stream r;
    norni_philox_begin(&r, seed, 0, 1000);
    if (norni_tensor_host(t->dtype, t->rank, t->dims, &x) != NORN_OK)
        return NULL;
    double lo = op->lo == op->hi ? -1 : op->lo, hi = op->lo == op->hi ? 1 : op->hi;
    for (int64_t i = 0, n = norni_tensor_elems(x); i < n; i++) {
        uint32_t u = norni_philox_u32(&r) >> 8;
        double v = lo + (hi - lo) * ((double)u + 0.5) / (1 << 24);
        if (fabs(v) < 0.02)
            v = v < 0 ? v - 0.02 : v + 0.02;
        if (t->dtype == NORN_BOOL)
            norni_set_int(t->dtype, norni_tensor_data(x), i, u & 1);
        else if (norni_dtype_is_float(t->dtype))
            norni_set_double(t->dtype, norni_tensor_data(x), i, v);
        else
            norni_set_int(t->dtype, norni_tensor_data(x), i,
                          norni_dtype_class(t->dtype) == NORNI_CLASS_UINT ? (int64_t)(u % 9)
                                                                          : (int64_t)(u % 9) - 4);
    }
    return x;
}

typedef struct {
    norn_feed feed[32];
    size_t n;
} feeds;

static void make_feeds(feeds *f, const norn_graph *g, const norn_op *op, uint64_t seed) {
    f->n = 0;
    for (size_t i = 0; i < g->inputs.n; i++)
        f->feed[f->n++] =
            (norn_feed){g->inputs.v[i]->name, random_tensor(&g->inputs.v[i]->type, op, seed + i)};
}

static void free_feeds(feeds *f) {
    for (size_t i = 0; i < f->n; i++)
        norn_tensor_free((norn_tensor *)f->feed[i].tensor);
}

/* ---- Running a graph. */
static bool run(norn_session *s, const norn_graph *g, const feeds *f, const char *impl, norn_fetch *out,
                const char *what) {
    norn_executable *e;
    norn_plan_options o = {.implementations = impl};
    for (size_t i = 0; i < g->outputs.n; i++)
        out[i] = (norn_fetch){g->outputs.v[i].name, NULL};
    if (!ok(norn_executable_new(s, g, &o, NULL, &e), what))
        return false;
    bool good = ok(norn_executable_run(e, f->n, f->feed, g->outputs.n, out), what);
    if (good)
        ok(norn_plan_verify(norn_executable_plan(e)), what);
    norn_executable_free(e);
    return good;
}

static void free_fetches(norn_fetch *out, size_t n) {
    for (size_t i = 0; i < n; i++)
        norn_tensor_free(out[i].tensor);
}

/* Largest relative difference allowed; integers must be equal. */
static double tolerance(norn_dtype t) {
    return t == NORN_F64 ? 1e-10 : t == NORN_F16 ? 4e-3 : t == NORN_BF16 ? 3e-2 : 2e-5;
}

static void compare(const norn_tensor *got, const norn_tensor *want, double tol, const char *what) {
    char msg[256];
    checks++;
    if (got->dtype != want->dtype || got->rank != want->rank ||
        (got->rank && memcmp(got->dims, want->dims, (size_t)got->rank * sizeof *got->dims))) {
        fail(what, "another type or shape");
        return;
    }
    int64_t n = norni_tensor_elems(want), bad = 0, worst_at = -1;
    double scale = 0, worst = 0;
    bool is_float = norni_dtype_is_float(want->dtype);
    for (int64_t i = 0; i < n; i++) {
        double w = norni_get_double(want->dtype, norni_tensor_data(want), i);
        if (isfinite(w) && fabs(w) > scale)
            scale = fabs(w);
    }
    for (int64_t i = 0; i < n; i++) {
        double w = norni_get_double(want->dtype, norni_tensor_data(want), i);
        double x = norni_get_double(got->dtype, norni_tensor_data(got), i);
        if (!is_float) {
            bad += norni_get_int(want->dtype, norni_tensor_data(want), i) !=
                   norni_get_int(got->dtype, norni_tensor_data(got), i);
            continue;
        }
        if ((isnan(w) && isnan(x)) || w == x)
            continue;
        double d = fabs(w - x) / (fabs(w) + 0.1 * scale + 1e-6);
        if (!(d <= worst)) {
            worst = d;
            worst_at = i;
        }
    }
    if (is_float ? !(worst <= tol) : bad > 0) {
        if (is_float)
            snprintf(msg, sizeof msg,
                     "element %lld: got %.9g (wanted %.9g), relative difference %.2g above %.2g",
                     (long long)worst_at, norni_get_double(got->dtype, norni_tensor_data(got), worst_at),
                     norni_get_double(want->dtype, norni_tensor_data(want), worst_at), worst, tol);
        else
            snprintf(msg, sizeof msg, "%lld of %lld elements differ", (long long)bad, (long long)n);
        fail(what, msg);
    }
}

/* ---- The line. */
static void check_text(const norn_graph *g) {
    norni_str a = {0}, b = {0};
    norn_graph *again;
    norni_node_print(&a, g->nodes.v[0]);
    if (ok(norni_node_parse(a.s, &again), "parsing what was printed")) {
        norni_node_print(&b, again->nodes.v[0]);
        if (strcmp(a.s, b.s))
            fail("printed, parsed, printed", b.s);
        norn_graph_free(again);
    }
    norni_str_free(&a);
    norni_str_free(&b);
}

/* ---- Forward. */
static void check_forward(const norn_graph *g, const norn_op *op) {
    feeds f;
    norn_fetch want[32], got[32];
    make_feeds(&f, g, op, 11);
    size_t n = g->outputs.n;
    if (run(host, g, &f, NULL, want, "host reference")) {
        double tol = 0;
        for (size_t i = 0; i < n; i++)
            tol = fmax(tol, tolerance(want[i].tensor->dtype));
        for (size_t i = 0; i < g->inputs.n; i++) /* a cast's input may be the coarser one */
            if (norni_dtype_is_float(g->inputs.v[i]->type.dtype))
                tol = fmax(tol, tolerance(g->inputs.v[i]->type.dtype));
        bool any = op->impls == NULL; /* pointwise, or made of others */
        for (const norni_impl *i = op->impls; !any || (i && i->name); i++) {
            char name[128];
            norni_fit fit = {.node = g->nodes.v[0],
                             .wanted = true,
                             .device = norn_context_device(norn_session_context(device, 0))};
            if (i && i->fits && i->fits(&fit))
                continue;
            any = true;
            snprintf(name, sizeof name, "%s=%s", op->name, i ? i->name : "");
            if (run(device, g, &f, i ? name : NULL, got, i ? name : "generated kernel")) {
                for (size_t k = 0; k < n; k++)
                    compare(got[k].tensor, want[k].tensor, tol, i ? name : "generated kernel");
                free_fetches(got, n);
            }
            if (!i)
                break;
        }
        free_fetches(want, n);
    }
    free_feeds(&f);
}

static void check_expansion(const char *line, const norn_op *op) {
    norn_graph *g;
    norn_value *out[32] = {0};
    norn_fetch want[32], got[32];
    feeds f;
    if (!op->expand || norni_node_parse(line, &g) != NORN_OK)
        return;
    make_feeds(&f, g, op, 12);
    size_t n = g->outputs.n;
    bool good = run(host, g, &f, NULL, want, "host reference");
    if (good && ok(op->expand(g, g->nodes.v[0], out), "expansion") && ok(norn_graph_status(g), "expansion")) {
        for (size_t k = 0; k < n; k++) {
            int index = g->outputs.v[k].value->index;
            if (out[index])
                g->outputs.v[k].value = out[index];
            else
                fail("expansion", "an output is missing");
        }
        if (run(host, g, &f, NULL, got, "expansion")) {
            for (size_t k = 0; k < n; k++)
                compare(got[k].tensor, want[k].tensor, tolerance(want[k].tensor->dtype), "expansion");
            free_fetches(got, n);
        }
    }
    if (good)
        free_fetches(want, n);
    free_feeds(&f);
    norn_graph_free(g);
}

/* ---- Epilogue: the node, then z = relu(y) * c + r with c along the channels and r of y's shape, s = 1 - relu(y) on
 * the side. Every implementation that takes an epilogue agrees with the host. */
static void check_epilogue(const char *line, const norn_op *op) {
    norn_graph *g;
    norn_fetch want[32], got[32];
    feeds f;
    bool any = false;
    for (const norni_impl *i = op->impls; i && i->name; i++)
        any |= i->epilogue;
    if (!any || norni_node_parse(line, &g) != NORN_OK)
        return;
    norn_node *node = g->nodes.v[0];
    norn_value *y = node->out[0];
    int axis = norni_epilogue_axis(node);
    if (axis >= 0 && norni_dtype_is_float(y->type.dtype) && norni_type_elems(&y->type)) {
        norni_type channels = {.dtype = y->type.dtype, .rank = y->type.rank - axis};
        for (int i = 0; i < channels.rank; i++)
            channels.dims[i] = i ? 1 : y->type.dims[axis];
        norn_value *c = norni_value_input(g, "epilogue_c", &channels),
                   *r = norni_value_input(g, "epilogue_r", &y->type);
        norn_value *relu = NORNI_OP1(g, y, "Relu");
        norn_value *z = NORNI_OP2(g, NORNI_OP2(g, relu, c, "Mul"), r, "Add");
        norn_value *side = NORNI_OP2(g, norni_scalar_const(g, y->type.dtype, 1), relu, "Sub");
        norn_value *both = NORNI_OP2(g, z, side, "Add");
        g->outputs.n = 0;
        ok(norn_graph_output(g, "side", side), "epilogue");
        ok(norn_graph_output(g, "both", both), "epilogue");
        make_feeds(&f, g, op, 17);
        if (run(host, g, &f, NULL, want, "epilogue on the host")) {
            for (const norni_impl *i = op->impls; i->name; i++) {
                char name[128];
                norni_fit fit = {.node = node,
                                 .wanted = true,
                                 .device = norn_context_device(norn_session_context(device, 0))};
                if (!i->epilogue || (i->fits && i->fits(&fit)))
                    continue;
                snprintf(name, sizeof name, "%s=%s with epilogue", op->name, i->name);
                char impl[128];
                snprintf(impl, sizeof impl, "%s=%s", op->name, i->name);
                if (run(device, g, &f, impl, got, name)) {
                    for (size_t k = 0; k < 2; k++)
                        compare(got[k].tensor, want[k].tensor, tolerance(y->type.dtype) * 2, name);
                    free_fetches(got, 2);
                }
            }
            free_fetches(want, 2);
        }
        free_feeds(&f);
    }
    norn_graph_free(g);
}

/* ---- Gradients. L = sum over outputs of sum(y * c), with random constants c; c = y where y's shape depends on data. */
static norn_value *loss_of(norn_graph *g, const norn_op *op) {
    norn_value *loss = NULL;
    size_t n = g->outputs.n;
    for (size_t k = 0; k < n; k++) {
        norn_value *y = g->outputs.v[k].value;
        if (!norni_dtype_is_float(y->type.dtype))
            continue;
        norn_op plain = {.lo = -1, .hi = 1};
        (void)op;
        norn_value *c = norni_type_static(&y->type)
                            ? norni_value_const(g, NULL, random_tensor(&y->type, &plain, 40 + k))
                            : y;
        norn_value *t = NORNI_OP1(g, NORNI_OP2(g, y, c, "Mul"), "ReduceSum<keepdims=0>");
        loss = loss ? NORNI_OP2(g, loss, t, "Add") : t;
    }
    return loss;
}

static bool differentiable(const norn_op *op) {
    return op->grad != norni_no_gradient && (op->grad || op->grad_formulas || op->expand);
}

/* Central difference of the scalar output `name` of g with respect to element e of input x. */
static double slope(const norn_graph *g, const feeds *f, size_t x, int64_t e, const char *what) {
    norn_tensor *t = (norn_tensor *)f->feed[x].tensor;
    double v = norn_tensor_get(t, e), h = 1e-5 * fmax(1, fabs(v)), l[2] = {0};
    for (int side = 0; side < 2; side++) {
        norn_fetch out[1];
        norn_tensor_set(t, e, side ? v + h : v - h);
        if (run(host, g, f, NULL, out, what)) {
            l[side] = norn_tensor_get(out[0].tensor, 0);
            free_fetches(out, 1);
        }
    }
    norn_tensor_set(t, e, v);
    return (l[1] - l[0]) / (2 * h);
}

/* Checks the outputs d<i> of `grads` (gradients of the only output of `scalar`) by differences. */
static void check_slopes(const norn_graph *scalar, const norn_graph *grads, const feeds *f,
                         const char *what) {
    norn_fetch got[32];
    enum { SAMPLES = 6 };
    if (!run(host, grads, f, NULL, got, what))
        return;
    for (size_t k = 0; k < grads->outputs.n; k++) {
        size_t x = (size_t)atoi(grads->outputs.v[k].name + 1);
        int64_t n = norn_tensor_elems(got[k].tensor);
        double scale = 0;
        for (int64_t e = 0; e < n; e++)
            scale = fmax(scale, fabs(norn_tensor_get(got[k].tensor, e)));
        for (int s = 0; s < SAMPLES && s < n; s++) {
            int64_t e = n <= SAMPLES ? s : (int64_t)s * (n - 1) / (SAMPLES - 1);
            double want = slope(scalar, f, x, e, what), have = norn_tensor_get(got[k].tensor, e);
            checks++;
            if (isnan(want)) /* the function is no number here */
                break;
            if (!(fabs(want - have) <= 1e-5 * (fabs(want) + scale) + 1e-7)) {
                char msg[160];
                snprintf(msg, sizeof msg, "input %zu element %lld: got %.9g (central difference %.9g)", x,
                         (long long)e, have, want);
                fail(what, msg);
                break;
            }
        }
    }
    free_fetches(got, grads->outputs.n);
}

/* g with only the named outputs' values. */
static norn_graph *with_outputs(norn_graph *g, size_t n, const char *const *names,
                                norn_value *const *values) {
    norn_graph *copy = NULL;
    g->outputs.n = 0;
    for (size_t i = 0; i < n; i++)
        if (!ok(norn_graph_output(g, names[i], values[i]), "outputs"))
            return NULL;
    ok(norn_graph_simplify(g, &copy), "simplify");
    return copy;
}

/* on_device: the gradient's kernels against the host; else the gradient against differences, in double. */
static void check_gradient(const char *line, const norn_op *op, bool on_device) {
    norn_graph *g, *scalar = NULL, *grads = NULL;
    norn_value *x[32], *dx[32], *ddx[32];
    const char *names[32];
    static const char *const d_names[] = {"d0", "d1", "d2", "d3", "d4", "d5", "d6", "d7", "d8", "d9"};
    size_t n = 0;
    feeds f;
    if (!differentiable(op) || norni_node_parse(line, &g) != NORN_OK)
        return;
    norn_node *node = g->nodes.v[0];
    for (size_t i = 0; i < g->inputs.n && n < 10; i++) {
        bool diff = false;
        for (int k = 0; k < node->n_in; k++)
            diff |= node->in[k] == g->inputs.v[i] && !(norni_op_input(op, k)->flags & NORNI_NODIFF);
        if (diff && norni_dtype_is_float(g->inputs.v[i]->type.dtype)) {
            names[n] = d_names[i];
            x[n++] = g->inputs.v[i];
        }
    }
    norn_value *loss = loss_of(g, op);
    make_feeds(&f, g, op, 13);
    for (int k = 0; k < node->n_out && !on_device; k++) /* a coarser result has no useful differences */
        if (node->out[k] && norni_dtype_is_float(node->out[k]->type.dtype) &&
            node->out[k]->type.dtype != NORN_F64)
            n = 0;
    if (n && loss && ok(norn_grad(g, loss, NULL, n, x, dx), "gradient")) {
        scalar = with_outputs(g, 1, (const char *[]){"L"}, &loss);
        grads = with_outputs(g, n, names, dx);
        if (scalar && grads && !on_device)
            check_slopes(scalar, grads, &f, "gradient");
        if (grads && on_device) { /* the gradient's own kernels */
            norn_fetch want[32], got[32];
            bool w = run(host, grads, &f, NULL, want, "gradient on the host");
            bool d = run(device, grads, &f, NULL, got, "gradient on the device");
            for (size_t k = 0; k < n && w && d; k++)
                compare(got[k].tensor, want[k].tensor, tolerance(want[k].tensor->dtype) * 5,
                        "gradient on the device");
            if (w)
                free_fetches(want, n);
            if (d)
                free_fetches(got, n);
        }
        norn_graph_free(scalar);
        norn_graph_free(grads);
        /* Second order: M = sum(dx * c'). */
        norn_value *m = NULL;
        for (size_t i = 0; i < n && !on_device; i++) {
            norn_op plain = {.lo = -1, .hi = 1};
            norn_value *c = norni_value_const(g, NULL, random_tensor(&dx[i]->type, &plain, 60 + i));
            norn_value *t = NORNI_OP1(g, NORNI_OP2(g, dx[i], c, "Mul"), "ReduceSum<keepdims=0>");
            m = m ? NORNI_OP2(g, m, t, "Add") : t;
        }
        norn_status s = on_device ? NORN_UNSUPPORTED : norn_grad(g, m, NULL, n, x, ddx);
        if (s == NORN_OK) {
            scalar = with_outputs(g, 1, (const char *[]){"M"}, &m);
            grads = with_outputs(g, n, names, ddx);
            if (scalar && grads)
                check_slopes(scalar, grads, &f, "second order");
            norn_graph_free(scalar);
            norn_graph_free(grads);
        } else if (s != NORN_UNSUPPORTED)
            ok(s, "second order");
    }
    free_feeds(&f);
    norn_graph_free(g);
}

/* ---- Variants of a case: the same line with its floats in another type. */
static char *with_float(const char *line, const char *type) {
    norni_str s = {0};
    for (const char *p = line; *p;) {
        bool start = p == line || !strchr("abcdefghijklmnopqrstuvwxyz0123456789_", p[-1]);
        if (start && !strncmp(p, "float[", 6)) {
            norni_str_add(&s, type);
            p += 5;
        } else
            norni_str_addn(&s, p++, 1);
    }
    return norni_str_take(&s);
}

static bool takes(const norn_op *op, norn_dtype t) {
    bool any = false;
    for (const norni_param *p = op->inputs; p->name; p++)
        if (p->types & NORNI_T(NORN_F32)) {
            any = true;
            if (!(p->types & NORNI_T(t)))
                return false;
        }
    return any;
}

static void run_line(const norn_op *op, const char *line, bool gradient) {
    norn_graph *g;
    current = line;
    if (!ok(norni_node_parse(line, &g), "parsing"))
        return;
    check_text(g);
    check_forward(g, op);
    norn_graph_free(g);
    check_epilogue(line, op);
    check_expansion(line, op);
    if (gradient && !op->random) {
        char *f64 = with_float(line, "double");
        if (takes(op, NORN_F64))
            check_gradient(f64, op, false);
        check_gradient(line, op,
                       true); /* its differences are too coarse in float, but the device must agree */
        norn_text_free(f64);
    }
}

static void run_case(const norn_op *op, const char *line, bool first, bool full) {
    static const struct {
        norn_dtype t;
        const char *name;
    } types[] = {{NORN_F64, "double"}, {NORN_F16, "float16"}, {NORN_BF16, "bfloat16"}};
    bool mixed = strstr(line, "float16[") || strstr(line, "double["); /* says its types itself */
    run_line(op, line, true);
    for (size_t i = 0;
         i < sizeof types / sizeof *types && (first || full) && strstr(line, "float[") && !mixed; i++)
        if (takes(op, types[i].t)) {
            char *other = with_float(line, types[i].name);
            if (strcmp(other, line))
                run_line(op, other, false);
            norn_text_free(other);
        }
}

/* Cases of pointwise operators that list none: broadcast in several ways, odd sizes, one element, none. */
static const char *const unary_shapes[] = {"[3,17]", "[]", "[0,3]", "[1]", "[1037]", NULL};
static const char *const binary_shapes[][2] = {
    {"[3,17]", "[3,17]"}, {"[2,3,5]", "[3,1]"}, {"[4,1,3]", "[2,1]"}, {"[7]", "[]"},
    {"[0,3]", "[3]"},     {"[1,33]", "[5,1]"},  {NULL, NULL}};

static void run_made_up(const norn_op *op, bool full) {
    int n = 0;
    char line[256];
    while (op->inputs[n].name)
        n++;
    norni_types types = op->inputs[0].types;
    const char *t = types & NORNI_T(NORN_F32) ? "float" : types & NORNI_T(NORN_BOOL) ? "bool" : "int32";
    for (int i = 0; n == 1 ? unary_shapes[i] != NULL : binary_shapes[i][0] != NULL; i++) {
        if (n == 1)
            snprintf(line, sizeof line, "%s(%s%s)", op->name, t, unary_shapes[i]);
        else
            snprintf(line, sizeof line, "%s(%s%s, %s%s)", op->name, t, binary_shapes[i][0], t,
                     binary_shapes[i][1]);
        run_case(op, line, i == 0, full);
    }
    for (int d = 1; d < 17 && types & NORNI_T(NORN_F32) && types & NORNI_T(NORN_I32); d++)
        if (types & NORNI_T(d) && norni_dtype_is_int((norn_dtype)d) &&
            (full || d == NORN_I64 || d == NORN_U8 || d == NORN_I32)) {
            snprintf(line, sizeof line, n == 1 ? "%s(%s[3,17])" : "%s(%s[3,17], %s[17])", op->name,
                     norni_dtype_name((norn_dtype)d), norni_dtype_name((norn_dtype)d));
            run_case(op, line, false, full);
        }
}

/* What every descriptor must have. */
static void check_descriptor(const norn_op *op) {
    char line[512];
    current = op->name;
    if (!op->doc || !*op->doc || !op->versions || !op->versions[0] || !op->inputs || !op->outputs ||
        !op->infer)
        fail("descriptor", "doc, versions, inputs, outputs or infer is missing");
    if (!op->expr && !op->eval && !op->expand)
        fail("descriptor", "no host reference");
    if (!op->expr && !op->impls && !op->expand && !op->data_shapes && !op->on_host)
        fail("descriptor", "no implementation");
    if (!op->grad && !op->grad_formulas && !op->expand)
        fail("descriptor", "no gradient, and no explicit norni_no_gradient");
    if (!op->cases && !op->expr)
        fail("descriptor", "no cases");
    for (const norni_attr *a = op->attrs; a && a->name; a++) { /* every attribute is tried off its default */
        bool found = a->flags & NORNI_ATTR_OLD;
        snprintf(line, sizeof line, "%s=", a->name);
        for (const char *const *c = op->cases; c && *c && !found; c++)
            found = strstr(*c, line) != NULL;
        if (!found && a->kind != NORNI_ATTR_STRING &&
            !(op->untested_attrs && strstr(op->untested_attrs, a->name))) {
            snprintf(line, sizeof line, "no case sets attribute '%s'", a->name);
            fail("descriptor", line);
        }
    }
}

int main(int argc, char **argv) {
    const char *spec = NULL, *only = NULL, *line = NULL;
    bool full = false, small = false;
    int part = 0, parts = 1;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--full"))
            full = true;
        else if (!strcmp(argv[i], "--small"))
            small = true;
        else if (i + 1 < argc && !strcmp(argv[i], "--device"))
            spec = argv[++i];
        else if (i + 1 < argc && !strcmp(argv[i], "--part") &&
                 sscanf(argv[i + 1], "%d/%d", &part, &parts) == 2 && parts > 0)
            i++;
        else if (i + 1 < argc && !strcmp(argv[i], "--op"))
            only = argv[++i];
        else if (i + 1 < argc && !strcmp(argv[i], "--case"))
            line = argv[++i];
        else {
            fprintf(stderr, "op_test: what is '%s'?\n", argv[i]);
            return 2;
        }
    }
    if (norn_session_open(spec, &device) != NORN_OK || norn_session_open("host", &host) != NORN_OK) {
        fprintf(stderr, "op_test: %s\n", norn_error());
        return 1;
    }
    int ran = 0;
    for (size_t i = 0; i < norni_op_count(); i++) {
        const norn_op *op = norni_op_at(i);
        if (only ? strcmp(op->name, only) != 0 : (int)(i % (size_t)parts) != part)
            continue;
        if (line) {
            norni_arena *arena = norni_arena_new(0);
            const norn_op *parsed = NULL;
            void *attrs;
            const char *end;
            if (norni_op_parse(line, arena, &parsed, &attrs, &end) == NORN_OK)
                norni_attrs_release(parsed, attrs);
            if (parsed == op) {
                ran++;
                run_case(op, line, true, true);
            }
            norni_arena_free(arena);
            continue;
        }
        ran++;
        if (op->control) /* a line of text has no subgraphs: tests/unit has theirs */
            continue;
        check_descriptor(op);
        if (op->cases)
            for (int c = 0; op->cases[c] && !(small && c >= 3); c++)
                run_case(op, op->cases[c], c == 0, full);
        else
            run_made_up(op, full);
    }
    norn_session_close(device);
    norn_session_close(host);
    if (!ran) {
        fprintf(stderr, "op_test: no operator '%s'\n", only ? only : line ? line : "");
        return 1;
    }
    printf("%d operators, %d checks, %d failures\n", ran, checks, failures);
    return failures > 0;
}
