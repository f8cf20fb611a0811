/* SPDX-License-Identifier: Apache-2.0 */
/* Gemm, MatMul and Conv by CLBlast where the caller wants it: its kernels run, and the results are those of norn's own. */
#include "tests/backend.h"
#include <math.h>

static norn_session *session;

/* Runs the graph with these implementations; the number of CLBlast's launches in the profile. */
static int run(norn_graph *g, const char *implementations, norn_tensor *x, norn_tensor *w, norn_tensor **y) {
    norn_plan_options o = {.implementations = implementations};
    norn_executable *e;
    norn_context *ctx = norn_session_context(session, 0);
    norn_feed feeds[] = {{"x", x}, {"w", w}};
    norn_fetch out = {"y", NULL};
    int found = 0;
    OK(norn_executable_new(session, g, &o, NULL, &e));
    OK(norn_context_profile(ctx, true));
    OK(norn_executable_run(e, 2, feeds, 1, &out));
    OK(norn_context_profile(ctx, false));
    for (size_t i = 0; i < norn_context_profile_count(ctx); i++)
        found += !strncmp(norn_context_profile_at(ctx, i)->kernel, "clblast", 7);
    norn_executable_free(e);
    *y = out.tensor;
    return found;
}

static norn_tensor *numbers(int rank, const int64_t *dims, int step) {
    norn_tensor *t;
    OK(norn_tensor_new(NULL, NORN_F32, rank, dims, NULL, &t));
    for (int64_t i = 0; i < norn_tensor_elems(t); i++)
        norn_tensor_set(t, i, (double)(i * step % 19) / 19 - 0.5);
    return t;
}

static void compare(const char *text, const char *forced, const char *own, int rank, const int64_t *dx,
                    const int64_t *dw) {
    norn_graph *g;
    norn_tensor *x = numbers(rank, dx, 7), *w = numbers(rank, dw, 5), *a, *b;
    if (!have_device())
        skip();
    OK(norn_session_open(NULL, &session));
    OK(norn_graph_parse(text, &g));
    assert_true(run(g, forced, x, w, &a) > 0);
    assert_int_equal(run(g, own, x, w, &b), 0);
    assert_int_equal(norn_tensor_elems(a), norn_tensor_elems(b));
    for (int64_t i = 0; i < norn_tensor_elems(a); i++)
        assert_true(fabs(norn_tensor_get(a, i) - norn_tensor_get(b, i)) < 1e-4);
    norn_tensor_free(a);
    norn_tensor_free(b);
    norn_tensor_free(x);
    norn_tensor_free(w);
    norn_graph_free(g);
    norn_session_close(session);
}

static void gemm(void **state) {
    (void)state;
    compare("g (float[33,47] x, float[29,47] w) => (float[33,29] y) { y = Gemm<transB=1>(x, w) }",
            "Gemm=clblast", "Gemm=packed", 2, (int64_t[]){33, 47}, (int64_t[]){29, 47});
}

static void matmul(void **state) {
    (void)state;
    compare("g (float[3,17,40] x, float[3,40,21] w) => (float[3,17,21] y) { y = MatMul(x, w) }",
            "MatMul=clblast", "MatMul=packed", 3, (int64_t[]){3, 17, 40}, (int64_t[]){3, 40, 21});
}

static void conv(void **state) {
    (void)state;
    compare(
        "g (float[2,5,9,11] x, float[7,5,3,3] w) => (float[2,7,9,11] y) { y = Conv<pads=[1,1,1,1]>(x, w) }",
        "Conv=im2col_clblast", "Conv=reference", 4, (int64_t[]){2, 5, 9, 11}, (int64_t[]){7, 5, 3, 3});
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(gemm), cmocka_unit_test(matmul),
                                       cmocka_unit_test(conv)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
