/* SPDX-License-Identifier: Apache-2.0 */
/* Level 6: a training loop: a small network learns sin(x) on [-3, 3]. Usage: 6_training [DEVICE] */
#include <math.h>
#include <norn.h>
#include <stdio.h>

#define CHECK(call)                                                                                          \
    if ((call) != NORN_OK)                                                                                   \
    return fprintf(stderr, "%s\n", norn_error()), 1
enum { BATCH = 64, HIDDEN = 32, STEPS = 300 };

static norn_value *parameter(norn_graph *g, const char *name, int64_t rows, int64_t cols, double size) {
    static double at = 0.3;
    norn_tensor *t;
    if (norn_tensor_new(NULL, NORN_F32, 2, (int64_t[]){rows, cols}, NULL, &t) != NORN_OK)
        return NULL;
    for (int64_t i = 0; i < rows * cols; i++, at = fmod(at + 0.6180339887, 1)) /* spread evenly */
        norn_tensor_set(t, i, size * (2 * at - 1));
    norn_value *p = norn_graph_parameter(g, name, t);
    norn_tensor_free(t);
    return p;
}

int main(int argc, char **argv) {
    norn_graph *g;
    norn_optimizer adam;
    CHECK(norn_graph_new("sine", &g));
    norn_value *x = norn_graph_input(g, "x", "float[64,1]"),
               *want = norn_graph_input(g, "want", "float[64,1]");
    norn_value *w1 = parameter(g, "w1", 1, HIDDEN, 3), *b1 = parameter(g, "b1", 1, HIDDEN, 4);
    norn_value *w2 = parameter(g, "w2", HIDDEN, 1, 0.3), *b2 = parameter(g, "b2", 1, 1, 0);
    norn_value *h = norn_tanh(g, norn_add(g, norn_matmul(g, x, w1), b1));
    norn_value *error = norn_sub(g, norn_add(g, norn_matmul(g, h, w2), b2), want);
    norn_value *loss = norn_reduce_mean(g, norn_mul(g, error, error), 0, NULL, false);
    norn_optimizer_init(&adam, NORN_ADAM);
    adam.lr = 0.02;
    CHECK(norn_graph_minimize(g, loss, &adam, false, 0, NULL)); /* adds gradients and update to the graph */
    CHECK(norn_graph_output(g, "loss", loss));

    norn_session *s;
    norn_executable *e;
    norn_tensor *tx, *tw;
    norn_fetch out = {"loss", NULL};
    CHECK(norn_session_open(argc > 1 ? argv[1] : NULL, &s));
    CHECK(norn_executable_new(s, g, NULL, NULL, &e)); /* the parameters stay on the device */
    CHECK(norn_tensor_new(NULL, NORN_F32, 2, (int64_t[]){BATCH, 1}, NULL, &tx));
    CHECK(norn_tensor_new(NULL, NORN_F32, 2, (int64_t[]){BATCH, 1}, NULL, &tw));
    for (int step = 1; step <= STEPS; step++) {
        for (int i = 0; i < BATCH; i++) {
            double v = 6 * fmod((step * BATCH + i) * 0.6180339887, 1) - 3;
            norn_tensor_set(tx, i, v);
            norn_tensor_set(tw, i, sin(v));
        }
        norn_tensor_free(out.tensor);
        CHECK(norn_executable_run(e, 2, (norn_feed[]){{"x", tx}, {"want", tw}}, 1, &out));
        if (step % 100 == 0)
            printf("step %d: mean squared error %.6f\n", step, norn_tensor_get(out.tensor, 0));
    }
    return norn_tensor_get(out.tensor, 0) > 0.01; /* it has learned; the system takes the memory back */
}
