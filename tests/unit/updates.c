/* SPDX-License-Identifier: Apache-2.0 */
/* Updates of states in one launch: all parameters of an optimizer get in, what depends on another state's old content does not,
 * and results are those of the host reference wherever the states lie. */
#include "base/alloc.h"
#include "graph/plan.h"
#include "tests/backend.h"
#include "tests/snapshot.h"
#include <math.h>

enum { N = 5 };
static const int64_t rows[N] = {1, 7, 33, 4096, 90001};
static const char *const names[N] = {"a", "b", "c", "d", "e"};

static norn_tensor *numbers(norn_dtype t, int64_t n, int seed) {
    norn_tensor *x;
    OK(norn_tensor_new(NULL, t, 1, &n, NULL, &x));
    for (int64_t i = 0; i < n; i++)
        norn_tensor_set(x, i, (double)((i * 37 + seed * 11) % 101) / 50 - 1);
    return x;
}

static norn_value *parameter(norn_graph *g, norn_dtype t, int i) {
    norn_tensor *x = numbers(t, rows[i], i);
    norn_value *v = norn_graph_parameter(g, names[i], x);
    norn_tensor_free(x);
    return v;
}

static norn_value *samples(norn_graph *g, norn_dtype t, int i) {
    norn_tensor *x = numbers(t, 3 * rows[i], 40 + i), *y;
    OK(norn_tensor_reshape(x, 2, (int64_t[]){3, rows[i]}, &y));
    norn_value *v = norn_graph_constant(g, NULL, y);
    norn_tensor_free(x);
    norn_tensor_free(y);
    return v;
}

/* A sum of squares of samples to which the parameters are added, minimised. */
static norn_graph *minimised(const norn_optimizer *o, norn_dtype t) {
    norn_graph *g;
    norn_value *loss = NULL;
    OK(norn_graph_new("g", &g));
    for (int i = 0; i < N; i++) {
        norn_value *w = parameter(g, t, i);
        norn_value *y = norn_add(g, samples(g, t, i), w);
        norn_value *sum = norn_reduce_sum(g, norn_mul(g, y, y), 0, NULL, false);
        loss = loss ? norn_add(g, loss, sum) : sum;
    }
    OK(norn_graph_minimize(g, loss, o, true, 0, NULL));
    OK(norn_graph_output(g, "loss", loss));
    return g;
}

static int steps_in_parts(const norn_plan *p, int *parts) {
    int n = 0;
    *parts = 0;
    for (size_t i = 0; i < p->builder.steps.n; i++)
        if (p->builder.steps.v[i]->parts) {
            n++;
            *parts += p->builder.steps.v[i]->parts->n;
        }
    return n;
}

static const norn_optimizer *settings(int i) {
    static norn_optimizer o;
    static const norn_optimizer_kind kinds[] = {NORN_SGD,   NORN_SGD,     NORN_SGD,    NORN_ADAM,
                                                NORN_ADAMW, NORN_RMSPROP, NORN_ADAGRAD};
    if (i == sizeof kinds / sizeof *kinds)
        return NULL;
    norn_optimizer_init(&o, kinds[i]);
    if (o.kind == NORN_SGD) {
        o.momentum = i ? 0.9 : 0;
        o.nesterov = i == 2;
        o.weight_decay = 0.01;
    }
    o.amsgrad = o.kind == NORN_ADAM;
    o.centered = o.kind == NORN_RMSPROP;
    return &o;
}

static void one_launch(void **state) {
    static const char *const snapshots[] = {"pocl-avx512", "amd-rdna2", "mali-g78"};
    (void)state;
    for (int k = 0; k < 3; k++) {
        norn_device *d = snapshot(snapshots[k]);
        for (int i = 0; settings(i); i++) {
            norn_graph *g = minimised(settings(i), NORN_F32);
            norn_plan *p;
            int parts;
            OK(norn_plan_new(g, d, NULL, &p));
            OK(norn_plan_verify(p));
            assert_int_equal(steps_in_parts(p, &parts), 1);
            assert_int_equal(parts, N);
            for (size_t s = 0; s < p->builder.steps.n; s++)
                assert_int_not_equal(p->builder.steps.v[s]->kind, NORNI_STEP_COPY);
            norn_plan_free(p);
            norn_graph_free(g);
        }
        norn_device_free(d);
    }
}

static void same_states(const norn_state *a, const norn_state *b, double tolerance) {
    assert_int_equal(norn_state_count(a), norn_state_count(b));
    for (size_t i = 0; i < norn_state_count(a); i++) {
        norn_tensor *x, *y;
        OK(norn_state_get(a, norn_state_name(a, i), &x));
        OK(norn_state_get(b, norn_state_name(a, i), &y));
        for (int64_t k = 0; k < norn_tensor_elems(x); k++) {
            double p = norn_tensor_get(x, k), q = norn_tensor_get(y, k);
            if (!(fabs(p - q) <= tolerance * (0.1 + fabs(q))))
                fail_msg("%s[%lld]: got %.9g (wanted %.9g)", norn_state_name(a, i), (long long)k, p, q);
        }
        norn_tensor_free(x);
        norn_tensor_free(y);
    }
}

/* Another executable that has got some of the states already; others were set one by one. */
static void scatter(norn_session *s, norn_state *st, norn_dtype t, norn_executable **e) {
    norn_graph *g;
    norn_tensor *x = numbers(t, rows[3], 99);
    norn_fetch out = {"y", NULL};
    OK(norn_graph_new("other", &g));
    norn_value *v = norn_mul(g, parameter(g, t, 1), norn_graph_scalar(g, t, 2));
    OK(norn_graph_output(g, "y", v));
    OK(norn_executable_new(s, g, NULL, st, e));
    OK(norn_executable_run(*e, 0, NULL, 1, &out));
    norn_tensor_free(out.tensor);
    OK(norn_state_set(st, names[3], x));
    norn_tensor_free(x);
    norn_graph_free(g);
}

static void run_steps(const char *device, const norn_graph *g, norn_dtype t, bool scattered, norn_session **s,
                      norn_state **st) {
    norn_executable *e, *other = NULL;
    norn_tensor *lr;
    norn_fetch out = {"loss", NULL};
    OK(norn_session_open(device, s));
    OK(norn_state_new(*s, st));
    if (scattered)
        scatter(*s, *st, t, &other);
    OK(norn_executable_new(*s, g, NULL, *st, &e));
    OK(norn_tensor_new(NULL, NORN_F32, 0, NULL, NULL, &lr));
    for (int i = 0; i < 3; i++) {
        norn_tensor_set(lr, 0, 0.01 / (i + 1));
        norn_feed feed = {"lr", lr};
        OK(norn_executable_run(e, 1, &feed, 1, &out));
        norn_tensor_free(out.tensor);
    }
    if (other) { /* sees what was updated */
        norn_tensor *now;
        norn_fetch y = {"y", NULL};
        OK(norn_executable_run(other, 0, NULL, 1, &y));
        OK(norn_state_get(*st, names[1], &now));
        for (int64_t k = 0; k < norn_tensor_elems(now); k++)
            assert_true(norn_tensor_get(y.tensor, k) == 2 * norn_tensor_get(now, k));
        norn_tensor_free(now);
        norn_tensor_free(y.tensor);
    }
    norn_tensor_free(lr);
    norn_executable_free(e);
    norn_executable_free(other);
}

static void results(void **state) {
    (void)state;
    if (!have_device())
        skip();
    for (int i = 0; settings(i); i++)
        for (int scattered = 0; scattered < 2; scattered++) {
            norn_dtype t = i == 4 ? NORN_F64 : i == 1 && !scattered ? NORN_F16 : NORN_F32;
            norn_graph *g = minimised(settings(i), t);
            norn_session *a, *b;
            norn_state *x, *y;
            run_steps(NULL, g, t, scattered, &a, &x);
            run_steps("host", g, t, scattered, &b, &y);
            same_states(x, y, t == NORN_F16 ? 4e-3 : 2e-5);
            norn_state_free(x);
            norn_state_free(y);
            norn_session_close(a);
            norn_session_close(b);
            norn_graph_free(g);
        }
}

/* d' = d + x d and e' = e + x e are one launch; a running mean of one that reads what it held before is not part of it, nor are
 * two that are exchanged. */
static norn_graph *entangled(int way) {
    norn_graph *g;
    enum { M = 5000 };
    OK(norn_graph_new("g", &g));
    norn_tensor *x = numbers(NORN_F32, M, 1), *z = numbers(NORN_F32, M, 2);
    norn_value *a = norn_graph_parameter(g, "a", x), *b = norn_graph_parameter(g, "b", z);
    norn_value *lr = norn_graph_input(g, "lr", "float[]");
    if (way == 0) { /* the same formula, the second of the first one's old content */
        OK(norn_graph_update(g, a, norn_add(g, b, norn_mul(g, a, lr))));
        OK(norn_graph_update(g, b, norn_add(g, a, norn_mul(g, b, lr))));
    } else if (way == 1) { /* of its new content */
        norn_value *next = norn_add(g, a, norn_mul(g, a, lr));
        OK(norn_graph_update(g, a, next));
        OK(norn_graph_update(g, b, norn_add(g, next, norn_mul(g, next, lr))));
    } else { /* of the old content, one way */
        OK(norn_graph_update(g, a, norn_add(g, a, norn_mul(g, a, lr))));
        OK(norn_graph_update(g, b, norn_add(g, a, norn_mul(g, b, lr))));
    }
    OK(norn_graph_output(g, "loss", norn_reduce_sum(g, a, 0, NULL, false)));
    norn_tensor_free(x);
    norn_tensor_free(z);
    return g;
}

static void dependent(void **state) {
    (void)state;
    if (!have_device())
        skip();
    for (int way = 0; way < 3; way++) {
        norn_graph *g = entangled(way);
        norn_session *a, *b;
        norn_state *x, *y;
        run_steps(NULL, g, NORN_F32, false, &a, &x);
        run_steps("host", g, NORN_F32, false, &b, &y);
        same_states(x, y, 2e-5);
        norn_state_free(x);
        norn_state_free(y);
        norn_session_close(a);
        norn_session_close(b);
        norn_graph_free(g);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_launch), cmocka_unit_test(results),
                                       cmocka_unit_test(dependent)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
