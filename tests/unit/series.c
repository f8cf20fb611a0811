/* SPDX-License-Identifier: Apache-2.0 */
/* Small networks in one launch (graph/series.c): which plans, and that results are those of the host reference and of one launch a
 * step, in every type, when the same executable runs again, and where the driver does not build the joined kernels. */
#include "graph/series.h"
#include "tests/backend.h"
#include "tests/snapshot.h"
#include <math.h>

typedef struct {
    const char *inputs, *outputs, *body;
} network;

/* T stands for the element type. */
static const network networks[] = {
    {"T[1,1,13,11] x, T[5,1,3,3] w0, T[5] w1, T[7,5,2,2] w2, T[9,21] w3, T[9] w4", "T[1,9] y",
     "a = Conv<pads=[1,1,1,1]>(x, w0, w1)\n b = Relu(a)\n c = MaxPool<kernel_shape=[2,2], strides=[2,2]>(b)\n"
     "d = Conv<strides=[2,2]>(c, w2)\n e = AveragePool<kernel_shape=[2,2], strides=[1,1], "
     "pads=[0,0,1,0]>(d)\n"
     "f = Flatten(e)\n g = Gemm<transB=1>(f, w3, w4)\n y = Softmax(g)"},
    {"T[3,17] x, T[17,33] w0, T[33] w1, T[33,5] w2, T[5,3] w3", "T[3,3] y, T[3] z",
     "a = MatMul(x, w0)\n b = Add(a, w1)\n c = Tanh(b)\n d = MatMul(c, w2)\n e = Sigmoid(d)\n y = MatMul(e, "
     "w3)\n"
     "s = Softmax(y)\n z = ReduceMax<axes=[1], keepdims=0>(s)"},
    {"T[2,3,5,7] x, T[3,3,3,3] w0, T[4,3,1,1] w1, T[4] w2", "T[2,4,1,1] y, T[2,4,5,7] z",
     "a = Conv<pads=[1,1,1,1]>(x, w0)\n b = Add(a, x)\n c = Conv(b, w1, w2)\n z = LeakyRelu(c)\n"
     "y = GlobalAveragePool(z)"},
};
enum { NETWORKS = sizeof networks / sizeof *networks };

static norn_graph *parse(const network *n, const char *type) {
    char text[2048], *to = text;
    norn_graph *g;
    snprintf(text, sizeof text, "g (%s) => (%s)\n{\n%s\n}\n", n->inputs, n->outputs, n->body);
    char typed[4096];
    size_t at = 0;
    for (; *to; to++)
        if (*to == 'T' && to[1] == '[')
            at += (size_t)snprintf(typed + at, sizeof typed - at, "%s", type);
        else
            typed[at++] = *to;
    typed[at] = 0;
    OK(norn_graph_parse(typed, &g));
    return g;
}

enum { MOST = 8 };

static void feed(const norn_graph *g, norn_feed *feeds) {
    for (size_t i = 0; i < g->inputs.n; i++) {
        const norni_type *t = &g->inputs.v[i]->type;
        norn_tensor *x;
        OK(norn_tensor_new(NULL, t->dtype, t->rank, t->dims, NULL, &x));
        for (int64_t k = 0; k < norn_tensor_elems(x); k++)
            norn_tensor_set(x, k, (double)((k * 37 + (int64_t)i * 11) % 101) / 100 - 0.45);
        feeds[i] = (norn_feed){g->inputs.v[i]->name, x};
    }
}

static size_t launches_of(norn_context *ctx) {
    size_t n = 0;
    for (size_t i = 0; i < norn_context_profile_count(ctx); i++) {
        const char *k = norn_context_profile_at(ctx, i)->kernel;
        n += strcmp(k, "read") && strcmp(k, "write") && strcmp(k, "copy") && strcmp(k, "fill");
    }
    return n;
}

/* Runs twice; the number of launches of the second time. */
static size_t run(const norn_graph *g, const char *device, bool no_fusion, norn_fetch *out) {
    norn_session *s;
    norn_executable *e;
    norn_feed feeds[MOST];
    norn_plan_options o = {.no_fusion = no_fusion};
    OK(norn_session_open(device, &s));
    norn_context *ctx = norn_session_context(s, 0);
    OK(norn_executable_new(s, g, &o, NULL, &e));
    feed(g, feeds);
    for (int time = 0; time < 2; time++) {
        for (size_t i = 0; i < g->outputs.n; i++) {
            norn_tensor_free(time ? out[i].tensor : NULL);
            out[i] = (norn_fetch){g->outputs.v[i].name, NULL};
        }
        if (time)
            OK(norn_context_profile(ctx, true));
        OK(norn_executable_run(e, g->inputs.n, feeds, g->outputs.n, out));
    }
    size_t launches = launches_of(ctx);
    for (size_t i = 0; i < g->inputs.n; i++)
        norn_tensor_free((norn_tensor *)feeds[i].tensor);
    norn_executable_free(e);
    norn_session_close(s);
    return launches;
}

static void same(const norn_fetch *a, const norn_fetch *b, size_t n, double tolerance) {
    for (size_t i = 0; i < n; i++)
        for (int64_t k = 0; k < norn_tensor_elems(b[i].tensor); k++) {
            double x = norn_tensor_get(a[i].tensor, k), y = norn_tensor_get(b[i].tensor, k);
            if (!(fabs(x - y) <= tolerance * (0.1 + fabs(y))))
                fail_msg("%s[%lld]: got %.9g (wanted %.9g)", a[i].name, (long long)k, x, y);
        }
}

static void release(norn_fetch *v, size_t n) {
    for (size_t i = 0; i < n; i++)
        norn_tensor_free(v[i].tensor);
}

static bool cpu_device(void) {
    norn_context *ctx = open_context();
    bool is = norni_device_is_cpu(&ctx->device);
    norn_context_close(ctx);
    return is;
}

static void results(void **state) {
    static const struct {
        const char *name;
        double tolerance;
    } types[] = {{"float", 1e-5}, {"double", 1e-12}, {"float16", 4e-3}};
    (void)state;
    bool cpu = cpu_device();
    for (int n = 0; n < NETWORKS; n++)
        for (int t = 0; t < 3; t++) {
            norn_graph *g = parse(&networks[n], types[t].name);
            norn_fetch got[MOST], apart[MOST], want[MOST];
            size_t launches = run(g, NULL, false, got), more = run(g, NULL, true, apart);
            run(g, "host", false, want);
            if (cpu && launches != 1)
                fail_msg("network %d in %s: %zu launches (wanted 1)", n, types[t].name, launches);
            assert_true(more >= 3);
            same(got, want, g->outputs.n, types[t].tolerance);
            same(apart, want, g->outputs.n, types[t].tolerance);
            release(got, g->outputs.n);
            release(apart, g->outputs.n);
            release(want, g->outputs.n);
            norn_graph_free(g);
        }
}

/* The series of a plan for a device; *steps: how many steps are in them. */
static int series_on(const norn_graph *g, const char *device, int *steps) {
    norn_device *d = snapshot(device);
    norn_plan *p;
    OK(norn_plan_new(g, d, NULL, &p));
    OK(norn_plan_verify(p));
    int n = p->n_series;
    *steps = 0;
    for (int i = 0; i < n; i++)
        *steps += p->series[i].n;
    norn_plan_free(p);
    norn_device_free(d);
    return n;
}

static void which(void **state) {
    static const network large = {
        "T[64,512] x, T[512,512] w0, T[512,512] w1, T[512,512] w2", "T[64,512] y",
        "a = MatMul(x, w0)\n b = Relu(a)\n c = MatMul(b, w1)\n d = Relu(c)\n y = MatMul(d, w2)"};
    (void)state;
    int steps;
    for (int n = 0; n < NETWORKS; n++) {
        norn_graph *g = parse(&networks[n], "float");
        assert_int_equal(series_on(g, "pocl-avx512", &steps), 1);
        assert_true(steps >= 3);
        assert_int_equal(series_on(g, "nvidia-rtx3060", &steps), 0);
        assert_int_equal(series_on(g, "mali-g78", &steps), 0);
        norn_graph_free(g);
    }
    norn_graph *g = parse(&large, "float"); /* work for more than one core */
    assert_int_equal(series_on(g, "pocl-avx512", &steps), 0);
    norn_graph_free(g);
}

/* Every step of a plan appears in the text, and names that two programs define are two. */
static void text(void **state) {
    (void)state;
    norn_graph *g = parse(&networks[0], "float");
    norn_device *d = snapshot("pocl-avx512");
    norn_plan *p;
    char *source;
    OK(norn_plan_new(g, d, NULL, &p));
    assert_int_equal(p->n_series, 1);
    OK(norni_series_text(p, &p->series[0], &source));
    for (int i = 0; i < p->series[0].n; i++) {
        char call[160];
        const norni_step *st = p->builder.steps.v[p->series[0].first + i];
        snprintf(call, sizeof call, "_k_%s(", st->kernel ? st->kernel : "");
        if (st->kind == NORNI_STEP_KERNEL && !strstr(source, call))
            fail_msg("step %d (%s) is not called", i, st->kernel);
    }
    assert_non_null(strstr(source, "s0_"));
    assert_non_null(strstr(source, "s1_"));
    assert_non_null(strstr(source, norni_series_kernel));
    norni_free(source);
    norn_plan_free(p);
    norn_device_free(d);
    norn_graph_free(g);
}

/* A driver that does not build the joined kernels gets one launch a step. */
static void not_built(void **state) {
    (void)state;
    if (!cpu_device())
        skip();
    setenv("NORN_CACHE", "0", 1);
    norn_graph *g = parse(&networks[1], "float");
    norn_fetch want[MOST], got[MOST];
    bool seen = false;
    run(g, "host", false, want);
    for (long k = 0; k < 200 && !seen; k++) {
        norn_session *s;
        norn_executable *e;
        norn_feed feeds[MOST];
        OK(norn_session_open(NULL, &s));
        norni_cl_fail_after(k, -11 /* CL_BUILD_PROGRAM_FAILURE */);
        OK(norn_executable_new(s, g, NULL, NULL, &e)); /* loads at the first run */
        feed(g, feeds);
        for (size_t i = 0; i < g->outputs.n; i++)
            got[i] = (norn_fetch){g->outputs.v[i].name, NULL};
        norni_cl_fail_after(k, -11 /* CL_BUILD_PROGRAM_FAILURE */);
        norn_status ran = norn_executable_run(e, g->inputs.n, feeds, g->outputs.n, got);
        bool failed = !norni_cl_fail_pending();
        norni_cl_fail_after(-1, 0);
        if (ran == NORN_OK && failed) {
            norn_context *ctx = norn_session_context(s, 0);
            release(got, g->outputs.n);
            OK(norn_context_profile(ctx, true));
            OK(norn_executable_run(e, g->inputs.n, feeds, g->outputs.n, got));
            same(got, want, g->outputs.n, 1e-5);
            seen |= launches_of(ctx) > 1;
        }
        release(got, g->outputs.n);
        for (size_t i = 0; i < g->inputs.n; i++)
            norn_tensor_free((norn_tensor *)feeds[i].tensor);
        norn_executable_free(e);
        norn_session_close(s);
        if (!failed)
            break;
    }
    assert_true(seen);
    release(want, g->outputs.n);
    norn_graph_free(g);
    unsetenv("NORN_CACHE");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(which), cmocka_unit_test(text),
                                       cmocka_unit_test(results), cmocka_unit_test(not_built)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
