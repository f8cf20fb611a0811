/* SPDX-License-Identifier: Apache-2.0 */
/* Large batches in slices (graph/pass/slice_batch.c): what is between takes the memory of a slice, and every image gets what
 * it gets alone, also in the last slice, which is smaller. */
#include "graph/plan.h"
#include "tests/backend.h"
#include "tests/snapshot.h"
#include <math.h>

enum { IMAGES = 7, C = 32, WIDE = 192, SIZE = 48 };

static norn_value *weights(norn_graph *g, const char *name, int rank, const int64_t *dims) {
    norn_tensor *t;
    OK(norn_tensor_new(NULL, NORN_F32, rank, dims, NULL, &t));
    for (int64_t i = 0; i < norn_tensor_elems(t); i++)
        norn_tensor_set(t, i, (double)((i * 7919 + rank) % 31 - 15) / 60);
    norn_value *v = norn_graph_constant(g, name, t);
    norn_tensor_free(t);
    return v;
}

static norn_value *op(norn_graph *g, const char *text, int n, norn_value *a, norn_value *b) {
    norn_value *in[] = {a, b}, *out;
    OK(norn_graph_apply(g, text, (size_t)n, in, 1, &out));
    return out;
}

/* Two inverted residual blocks with a shuffle of channels between them; a value in the middle is an output too. */
static norn_graph *network(int images) {
    norn_graph *g;
    char type[64];
    OK(norn_graph_new("net", &g));
    snprintf(type, sizeof type, "float[%d,%d,%d,%d]", images, C, SIZE, SIZE);
    norn_value *x = norn_graph_input(g, "x", type), *y = x, *middle = NULL;
    for (int i = 0; i < 2; i++) {
        norn_value *first = y;
        y = op(g, "Conv", 2, y, weights(g, i ? "a1" : "a0", 4, (int64_t[]){WIDE, C, 1, 1}));
        y = op(g, "Sin", 1, y, NULL); /* nothing that one operator has (graph/pass/fuse_convs.c) */
        y = op(g, "Conv<group=192, pads=[1,1,1,1]>", 2, y,
               weights(g, i ? "b1" : "b0", 4, (int64_t[]){WIDE, 1, 3, 3}));
        y = op(g, "Relu", 1, y, NULL);
        y = op(g, "Conv", 2, y, weights(g, i ? "c1" : "c0", 4, (int64_t[]){C, WIDE, 1, 1}));
        y = op(g, "Add", 2, y, first);
        if (i)
            break;
        norn_tensor *shape;
        OK(norn_tensor_new(NULL, NORN_I64, 1, (int64_t[]){5}, (int64_t[]){images, 2, C / 2, SIZE, SIZE},
                           &shape));
        y = op(g, "Reshape", 2, y, norn_graph_constant(g, "five", shape));
        norn_tensor_free(shape);
        y = op(g, "Transpose<perm=[0,2,1,3,4]>", 1, y, NULL);
        OK(norn_tensor_new(NULL, NORN_I64, 1, (int64_t[]){4}, (int64_t[]){images, C, SIZE, SIZE}, &shape));
        middle = y = op(g, "Reshape", 2, y, norn_graph_constant(g, "four", shape));
        norn_tensor_free(shape);
    }
    OK(norn_graph_output(g, "middle", middle));
    OK(norn_graph_output(g, "y", op(g, "GlobalAveragePool", 1, y, NULL)));
    OK(norn_graph_status(g));
    return g;
}

static void less_memory(void **state) {
    norn_device *d = snapshot("pocl-avx512");
    norn_graph *g = network(IMAGES);
    norn_plan *p;
    char *text;
    (void)state;
    OK(norn_plan_new(g, d, NULL, &p));
    OK(norn_plan_verify(p));
    OK(norn_plan_print(p, &text));
    assert_non_null(strstr(text, "(float[4,192")); /* some images at a time, and never all */
    assert_null(strstr(text, "(float[7,192"));
    uint64_t wide = (uint64_t)IMAGES * WIDE * SIZE * SIZE * 4;
    assert_true(norn_plan_arena_bytes(p) < 2 * wide);
    norn_text_free(text);
    norn_plan_free(p);
    norn_graph_free(g);
    norn_device_free(d);
}

static norn_tensor *images(int from, int n) {
    norn_tensor *x;
    OK(norn_tensor_new(NULL, NORN_F32, 4, (int64_t[]){n, C, SIZE, SIZE}, NULL, &x));
    int64_t each = C * SIZE * SIZE;
    for (int64_t i = 0; i < n * each; i++)
        norn_tensor_set(x, i, (double)((from * each + i) * 2654435761u % 1000) / 500 - 1);
    return x;
}

static void run(norn_session *s, int from, int n, norn_fetch *out) {
    norn_graph *g = network(n);
    norn_executable *e;
    norn_tensor *x = images(from, n);
    norn_feed feed = {"x", x};
    OK(norn_executable_new(s, g, NULL, NULL, &e));
    OK(norn_executable_run(e, 1, &feed, 2, out));
    norn_executable_free(e);
    norn_tensor_free(x);
    norn_graph_free(g);
}

static void same_results(void **state) {
    norn_session *s;
    norn_fetch all[] = {{"middle", NULL}, {"y", NULL}}, one[] = {{"middle", NULL}, {"y", NULL}};
    (void)state;
    if (!have_device())
        skip();
    OK(norn_session_open(NULL, &s));
    run(s, 0, IMAGES, all);
    for (int i = 0; i < IMAGES; i++) {
        run(s, i, 1, one);
        for (int k = 0; k < 2; k++) {
            int64_t n = norn_tensor_elems(one[k].tensor);
            for (int64_t j = 0; j < n; j++) {
                double a = norn_tensor_get(all[k].tensor, i * n + j), b = norn_tensor_get(one[k].tensor, j);
                if (fabs(a - b) > 1e-4 * (1 + fabs(b)))
                    fail_msg("image %d, %s, element %lld: %g (alone %g)", i, all[k].name, (long long)j, a, b);
            }
            norn_tensor_free(one[k].tensor);
        }
    }
    norn_tensor_free(all[0].tensor);
    norn_tensor_free(all[1].tensor);
    norn_session_close(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(less_memory), cmocka_unit_test(same_results)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
